//! Running git about the repository that a folder is in, whoever runs us.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// Variables that say which repository is meant, as `git rev-parse --local-env-vars` lists them, less those of its
/// configuration. Within a hook they mean the hook's, which need not be the one that is asked about.
const OF_ONE_REPOSITORY: [&str; 12] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// A repository that a stranger has put into the work tree must not have us run what it names.
const SAFELY: [&str; 4] = ["-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit"];

/// git in a folder, asked for nothing yet. It writes nothing that it could do without.
#[must_use]
pub fn command(folder: &Path, env: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new("git");
    command
        .args(SAFELY)
        .current_dir(folder)
        .env_clear()
        .envs(wherever(env))
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null());
    command
}

/// An environment in which git finds the repository by the folder that it is run in.
#[must_use]
pub fn wherever(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut env = env.clone();
    env.retain(|name, _| !OF_ONE_REPOSITORY.contains(&name.as_str()));
    env
}
