//! What git says of the folder that a config is in: asked while the config is read, and not waited for.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::config::git;
use crate::plan::Revision;

/// How much longer than the config it may take. Who wants to know later what was applied can do without; who applies
/// does not wait.
const PATIENCE: Duration = Duration::from_millis(250);

/// A question that is under way.
#[derive(Debug)]
pub(super) struct Question {
    child: Child,
    answer: Receiver<String>,
}

impl Question {
    /// None where there is no git.
    pub(super) fn ask(folder: &Path, env: &BTreeMap<String, String>) -> Option<Self> {
        let mut child = git::command(folder, env)
            .args(["status", "--porcelain=v2", "--branch", "--untracked-files=no", "--", "."])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut stdout = child.stdout.take()?;
        let (sink, answer) = channel();
        let reads = std::thread::Builder::new().name("git".to_owned()).spawn(move || {
            let mut said = String::new();
            let _ = stdout.read_to_string(&mut said);
            let _ = sink.send(said);
        });
        if reads.is_err() {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        Some(Self { child, answer })
    }

    /// None where it is no work tree, has no commit, or takes too long.
    pub(super) fn answer(mut self) -> Option<Revision> {
        let said = self.answer.recv_timeout(PATIENCE);
        if said.is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        parse(&said.ok()?)
    }
}

fn parse(said: &str) -> Option<Revision> {
    let commit = said.lines().find_map(|line| line.strip_prefix("# branch.oid "))?;
    let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let dirty = said.lines().any(|line| !line.starts_with('#'));
    is_commit.then(|| Revision { commit: commit.to_owned(), dirty })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_dirty_when_anything_that_git_knows_has_changed() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let table = [
            ("", None),
            ("# branch.oid (initial)\n# branch.head main\n", None),
            (&*format!("# branch.oid {commit}\n# branch.head main\n"), Some(false)),
            (&*format!("# branch.oid {commit}\n1 .M N... 100644 100644 100644 a b eco.json\n"), Some(true)),
        ];
        for (said, want) in table {
            let want = want.map(|dirty| Revision { commit: commit.to_owned(), dirty });
            assert_eq!(parse(said), want, "{said}");
        }
    }
}
