//! What reading a config may do, and what it did.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::js::Limits;
use crate::base::sha256_hex;
use crate::diag::Diagnostic;

/// A config that reads more than this has its record cut off there: `Inputs::incomplete`.
const EACH_MAX: usize = 10_000;

/// How a config is read: within which limits, with access to what; and what it read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub limits: Limits,
    /// Nothing beyond it, where there is one (`--hermetic`).
    pub hermetic: Option<Hermetic>,
    /// What a function that is exported is told as `mode` (`--env`); none: the config's own `NODE_ENV`.
    pub mode: Option<String>,
    /// Places are wanted of all values, not only of those that something is said of.
    pub exact: bool,
    /// Of what it declares pmrun writes no log and pid files (`run`): whether it could is not asked.
    pub writes_nothing: bool,
    /// Instances write to the same files unless something is said of how many there are, as PM2 has it.
    pub merges_logs: bool,
    /// A profile (`--env`) that no app has is passed over, as PM2 does.
    pub overlooks_profiles: bool,
    /// Apps whose programs are not there are left out, and told of, as PM2 does: the others are none the worse for it.
    pub overlooks_missing: bool,
    /// GitHub's runner reads what is printed.
    pub for_runner: bool,
    pub journal: Journal,
}

/// What a config may see besides its own modules when it may see nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hermetic {
    /// Names; `*` stands for anything.
    pub variables: Vec<String>,
    /// Files, and folders with everything below them; absolute, without symlinks.
    pub paths: Vec<PathBuf>,
}

impl Hermetic {
    #[must_use]
    pub fn allows_variable(&self, name: &str) -> bool {
        self.variables.iter().any(|pattern| fits(pattern, name))
    }

    /// Of a path without symlinks.
    #[must_use]
    pub fn allows_path(&self, path: &Path) -> bool {
        self.paths.iter().any(|allowed| path.starts_with(allowed))
    }
}

/// Whether a name fits a pattern whose `*` stand for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(head) else { return false };
    (0..=name.len()).filter(|at| name.is_char_boundary(*at)).any(|at| fits(rest, &name[at..]))
}

/// What a config read. Values of variables and contents of files are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Asked for by name, whether they were there or not.
    pub variables: BTreeSet<String>,
    /// All variables were enumerated.
    pub all_variables: bool,
    /// Files by absolute path, with the SHA-256 of what was read.
    pub files: BTreeMap<PathBuf, String>,
    /// Paths that were only looked at, and whether there was something.
    pub checks: BTreeMap<PathBuf, bool>,
    /// Folders that were listed, with the SHA-256 of the sorted names, each with a line end.
    pub folders: BTreeMap<PathBuf, String>,
    /// In the order in which they were run.
    pub commands: Vec<CommandRun>,
    /// Facts about the machine were asked for (`os`).
    pub host: bool,
    /// There was more than is kept, or the config ran in Node, which tells nothing.
    pub incomplete: bool,
    /// What kept the config's process in: `limits`, and `landlock` and `seccomp` where the kernel has them. Empty where no
    /// program was run.
    pub confined_by: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRun {
    pub argv: Vec<String>,
    pub cwd: PathBuf,
    /// The exit code; None when a signal ended it, or it never started.
    pub exit: Option<i32>,
    /// What ended it otherwise: a signal's name or a system error's.
    pub ended_by: Option<String>,
}

/// A folder that a program has made, or meant to: what it was answered, a system error's number or the first one that was
/// not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FolderMade {
    pub(super) path: PathBuf,
    pub(super) recursive: bool,
    pub(super) made: Result<Option<PathBuf>, i32>,
}

/// A record that is written to from several places.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    inputs: Rc<RefCell<Inputs>>,
    assigned: Rc<RefCell<BTreeMap<String, String>>>,
    folders: Rc<RefCell<Vec<FolderMade>>>,
    diagnostics: Rc<RefCell<Vec<Diagnostic>>>,
}

impl Journal {
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        self.inputs.borrow().clone()
    }

    pub(super) fn variable(&self, name: &str) {
        self.note(|inputs| {
            let room = inputs.variables.len() < EACH_MAX;
            room.then(|| inputs.variables.insert(name.to_owned())).is_some()
        });
    }

    pub(super) fn all_variables(&self) {
        self.inputs.borrow_mut().all_variables = true;
    }

    pub(super) fn host(&self) {
        self.inputs.borrow_mut().host = true;
    }

    /// There is more, of which nothing is known.
    pub(super) fn incomplete(&self) {
        self.inputs.borrow_mut().incomplete = true;
    }

    pub(super) fn confined_by(&self, means: Vec<String>) {
        self.inputs.borrow_mut().confined_by = means;
    }

    pub(super) fn file(&self, path: &Path, bytes: &[u8]) {
        self.digested(path, sha256_hex(bytes));
    }

    pub(super) fn digested(&self, path: &Path, digest: String) {
        self.note(|inputs| {
            // What was read was looked at, too.
            inputs.checks.remove(path);
            insert(&mut inputs.files, path, digest)
        });
    }

    pub(super) fn looked(&self, path: &Path, found: bool) {
        self.note(|inputs| {
            inputs.files.contains_key(path)
                || inputs.folders.contains_key(path)
                || insert(&mut inputs.checks, path, found)
        });
    }

    pub(super) fn listed<'a>(&self, path: &Path, names: impl Iterator<Item = &'a str>) {
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        let text = names.into_iter().fold(String::new(), |text, name| text + name + "\n");
        self.note(|inputs| {
            inputs.checks.remove(path);
            insert(&mut inputs.folders, path, sha256_hex(text.as_bytes()))
        });
    }

    pub(super) fn ran(&self, command: CommandRun) {
        self.note(|inputs| {
            let room = inputs.commands.len() < EACH_MAX;
            room.then(|| inputs.commands.push(command)).is_some()
        });
    }

    pub(super) fn made(&self, folder: Option<FolderMade>) {
        let mut folders = self.folders.borrow_mut();
        let room = folders.len() < EACH_MAX;
        folders.extend(folder.filter(|_| room));
    }

    pub(super) fn folders(&self) -> Vec<FolderMade> {
        self.folders.borrow().clone()
    }

    /// Takes over what a config's process has recorded of itself.
    pub(super) fn merge(&self, other: Inputs) {
        let Inputs { variables, all_variables, files, checks, folders, commands, host, incomplete, confined_by } =
            other;
        let mut inputs = self.inputs.borrow_mut();
        inputs.variables.extend(variables);
        inputs.all_variables |= all_variables;
        inputs.checks.extend(checks);
        inputs.files.extend(files);
        inputs.folders.extend(folders);
        inputs.commands.extend(commands);
        inputs.host |= host;
        inputs.incomplete |= incomplete;
        inputs.confined_by.extend(confined_by);
    }

    /// What a program has put into its environment.
    pub(super) fn assign(&self, variables: BTreeMap<String, String>) {
        *self.assigned.borrow_mut() = variables;
    }

    /// What the program that was read last has put into its environment.
    #[must_use]
    pub fn take_assigned(&self) -> BTreeMap<String, String> {
        self.assigned.take()
    }

    /// Something to tell the user besides how the reading ended.
    pub(super) fn tell(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    pub(super) fn take_told(&self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.diagnostics.borrow_mut())
    }

    /// `write` says whether there was room.
    fn note(&self, write: impl FnOnce(&mut Inputs) -> bool) {
        let mut inputs = self.inputs.borrow_mut();
        let kept = write(&mut inputs);
        inputs.incomplete |= !kept;
    }
}

fn insert<V>(map: &mut BTreeMap<PathBuf, V>, path: &Path, value: V) -> bool {
    let room = map.len() < EACH_MAX || map.contains_key(path);
    if room {
        map.insert(path.to_owned(), value);
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, want) in [
            ("CI", "CI", true),
            ("CI", "CI_JOB", false),
            ("CI_*", "CI_JOB", true),
            ("CI_*", "CI_", true),
            ("CI_*", "CI", false),
            ("*", "", true),
            ("*_URL", "DB_URL", true),
            ("A*B*C", "AxBByC", true),
            ("A*B*C", "AxC", false),
            ("", "", true),
            ("É*", "Éa", true),
        ] {
            assert_eq!(fits(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_are_allowed_with_what_is_below_them() {
        let hermetic = Hermetic { variables: Vec::new(), paths: vec!["/srv/a".into(), "/etc/x.json".into()] };
        for (path, want) in
            [("/srv/a", true), ("/srv/a/b/c", true), ("/srv/ab", false), ("/etc/x.json", true), ("/etc", false)]
        {
            assert_eq!(hermetic.allows_path(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn a_record_is_kept_short_and_says_so() {
        let journal = Journal::default();
        journal.looked(Path::new("/a"), true);
        journal.file(Path::new("/a"), b"");
        journal.looked(Path::new("/a"), true);
        let inputs = journal.inputs();
        assert_eq!((inputs.checks.len(), inputs.files.len(), inputs.incomplete), (0, 1, false));
        for number in 0..=EACH_MAX {
            journal.looked(&PathBuf::from(format!("/{number}")), false);
        }
        let inputs = journal.inputs();
        assert_eq!((inputs.checks.len(), inputs.incomplete), (EACH_MAX, true));
    }
}
