//! What git says of the folders that scripts are in, as PM2 tells it where PM2_ENABLE_GIT_PARSING has it look.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::config::git;

const VARIABLE: &str = "PM2_ENABLE_GIT_PARSING";

/// By whoever asks, or by whoever has started it.
pub(super) fn are_asked_for(ambient: Option<&BTreeMap<String, String>>) -> bool {
    let own = std::env::var(VARIABLE).ok();
    [own.as_ref(), ambient.and_then(|env| env.get(VARIABLE))].into_iter().flatten().any(|value| value == "true")
}

/// What was found, by folder.
#[derive(Debug, Default)]
pub(super) struct Worktrees(HashMap<PathBuf, Option<Value>>);

impl Worktrees {
    pub(super) fn look(&mut self, script: &str) {
        if let Some(folder) = folder_of(script) {
            self.0.entry(folder.to_owned()).or_insert_with(|| ask(folder));
        }
    }

    /// Of what was looked at.
    pub(super) fn of(&self, script: &str) -> Option<&Value> {
        self.0.get(folder_of(script)?)?.as_ref()
    }
}

fn folder_of(script: &str) -> Option<&Path> {
    Path::new(script).parent().filter(|folder| folder.is_absolute())
}

/// None where it is no work tree, or has no commit.
fn ask(folder: &Path) -> Option<Value> {
    let env: BTreeMap<String, String> =
        std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok())).collect();
    let says = |words: &[&str]| {
        let output = git::command(folder, &env).args(words).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        output.status.success().then_some(text)
    };
    let commit = says(&["log", "-1", "--format=%H%n%cI%n%s"])?;
    let mut lines = commit.lines();
    let (revision, at, comment) = (lines.next()?, lines.next()?, lines.next().unwrap_or_default());
    let place = says(&["rev-parse", "--show-toplevel", "--abbrev-ref", "HEAD"])?;
    let (root, branch) = place.split_once('\n')?;
    let remotes = says(&["remote"]).unwrap_or_default();
    let remotes: Vec<&str> = remotes.lines().collect();
    let remote = remotes.iter().find(|name| **name == "origin").or(remotes.first()).copied();
    let url = remote.and_then(|remote| says(&["remote", "get-url", remote]));
    Some(json!({
        "type": "git", "url": url, "revision": revision, "comment": comment, "update_time": at, "branch": branch,
        "remotes": remotes, "remote": remote, "repo_path": root,
    }))
}
