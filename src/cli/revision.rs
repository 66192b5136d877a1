//! What git says of the folder that a config is in: asked while the config is read, and not waited for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::config::git;
use crate::plan::Revision;

/// How much longer than the config it may take. Who wants to know later what was applied can do without; who applies
/// does not wait.
const PATIENCE: Duration = Duration::from_millis(250);

/// A question that is under way.
#[derive(Debug)]
pub(super) struct Question {
    status: Asked,
    /// Which files of that name git knows: a status would look through all that it does not know.
    known: Asked,
}

impl Question {
    /// None where there is no git.
    pub(super) fn ask(file: &Path, env: &BTreeMap<String, String>) -> Option<Self> {
        let (folder, name) = (file.parent()?, file.file_name()?);
        let ask = |args: &[&str], what: &OsStr| Asked::begin(git::command(folder, env).args(args).arg("--").arg(what));
        let status = ask(&["status", "--porcelain=v2", "--branch", "--untracked-files=no"], OsStr::new("."))?;
        let known = ask(&["--literal-pathspecs", "ls-files"], name)?;
        Some(Self { status, known })
    }

    /// None where it is no work tree, has no commit, or takes too long.
    pub(super) fn answer(self) -> Option<Revision> {
        let Self { status, known } = self;
        let begun = Instant::now();
        let (said, known) = (status.answer(PATIENCE), known.answer(PATIENCE.saturating_sub(begun.elapsed())));
        let is_unknown = known.is_some_and(|known| known.is_empty());
        parse(&said?).map(|revision| Revision { dirty: revision.dirty || is_unknown, ..revision })
    }
}

/// A command that is at work, and what it says.
#[derive(Debug)]
struct Asked {
    child: Child,
    answer: Receiver<String>,
}

impl Asked {
    fn begin(command: &mut Command) -> Option<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let mut stdout = child.stdout.take()?;
        let (sink, answer) = channel();
        let reads = std::thread::Builder::new().name("git".to_owned()).spawn(move || {
            let mut said = String::new();
            let _ = stdout.read_to_string(&mut said);
            let _ = sink.send(said);
        });
        let asked = Self { child, answer };
        if reads.is_err() {
            asked.end();
            return None;
        }
        Some(asked)
    }

    fn answer(self, patience: Duration) -> Option<String> {
        let said = self.answer.recv_timeout(patience).ok();
        self.end();
        said
    }

    /// Where it has ended that does nothing.
    fn end(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
