//! A revision's files in a folder of their own, where git answers as if the revision were checked out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::exit::Exit;
use crate::base::Signal;
use crate::config::js::Engine;
use crate::config::{Mapping, Place, World, git};
use crate::platform::Interrupts;

/// Goes away with this. While it is there, SIGINT and SIGTERM are held back.
#[derive(Debug)]
pub(super) struct Checkout {
    pub mapping: Mapping,
    folder: PathBuf,
    interrupts: RefCell<Interrupts>,
}

impl Checkout {
    /// Of the repository that the entry is in.
    pub(super) fn new(revision: &str, entry: &Path, world: &World) -> Result<Self, CliError> {
        let folder = entry.parent().unwrap_or(Path::new("/"));
        let interrupts = Interrupts::hold().map_err(|err| CliError::error(format!("cannot hold signals: {err}")))?;
        let interrupts = RefCell::new(interrupts);
        let source =
            Source::find(folder, revision, &Git { folder, index: None, env: &world.env, interrupts: &interrupts })?;

        let scratch = scratch_folder()?;
        // Configs name apps after the folder that git says they are in.
        let files = scratch.join(source.top.file_name().unwrap_or(OsStr::new("tree")));
        let mapping = source.mapping(folder, &files);
        // Made before anything else can fail, so that it is taken away whatever happens.
        let checkout = Self { mapping, folder: scratch, interrupts };
        let git = Git { folder: &files, index: None, env: &world.env, interrupts: &checkout.interrupts };
        source.check_out(&files, &git)?;
        // Where the config is, and where it is run: they need not be in the revision.
        let folders = [files.join(&source.prefix), checkout.mapping.real(&world.cwd).unwrap_or_else(|| files.clone())];
        for folder in folders {
            // Where the revision has a file there, what comes of it is said by whoever wants a folder.
            let _ = fs::create_dir_all(folder);
        }
        lend_modules(folder, &source, &files);
        if world.engine == Engine::Node {
            source.lend_ignored(&files);
        }
        Ok(checkout)
    }

    /// Whether the revision has a file.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.mapping.real(path).is_some_and(|real| real != path && real.exists())
    }

    /// Whether somebody has asked the command to end.
    pub(super) fn check(&self) -> Result<(), CliError> {
        check(&self.interrupts)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn check(interrupts: &RefCell<Interrupts>) -> Result<(), CliError> {
    match interrupts.borrow_mut().take() {
        None => Ok(()),
        Some(signal) => {
            let (exit, word) = match signal {
                Signal::TERM => (Exit::Terminated, "terminated"),
                _ => (Exit::Interrupted, "interrupted"),
            };
            Err(CliError::new(exit, word))
        }
    }
}

/// What is known of the repository and the revision before anything is written.
struct Source {
    /// The work tree, as git names it.
    top: PathBuf,
    /// The folder below it that was asked about; empty, or with a slash at its end.
    prefix: String,
    /// What all work trees of the repository have in common.
    common: PathBuf,
    tree: String,
    /// The commit; of what is only a tree, none.
    commit: Option<String>,
    /// Where the revision is a branch, its full name.
    branch: Option<String>,
    /// What no revision has, relative to the work tree; a folder stands for all that is in it.
    ignored: Vec<PathBuf>,
}

impl Source {
    fn find(folder: &Path, revision: &str, git: &Git<'_>) -> Result<Self, CliError> {
        let top = PathBuf::from(git.say(&["rev-parse", "--show-toplevel"])?);
        let parse = |options: &[&str], revision: &str| {
            let words = [&["rev-parse", "--verify", "--quiet"], options, &["--end-of-options", revision]].concat();
            git.say(&words)
        };
        let tree = parse(&[], &format!("{revision}^{{tree}}")).map_err(|err| match err.exit {
            Exit::Error => CliError::error(format!("no revision `{revision}` in `{}`", top.display())),
            _ => err,
        })?;
        let branch = parse(&["--symbolic-full-name"], revision).ok();
        let ignored = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"];
        let there = Git { folder: &top, ..*git };
        let ignored = there.run(&ignored)?;
        let ignored: Vec<PathBuf> = ignored
            .split_terminator('\0')
            // Other names cannot be handed to a config's process.
            .filter(|name| !name.contains('\u{fffd}'))
            .map(|name| PathBuf::from(name.trim_end_matches('/')))
            .collect();
        Ok(Self {
            prefix: git.say(&["rev-parse", "--show-prefix"])?,
            common: folder.join(git.say(&["rev-parse", "--git-common-dir"])?),
            commit: parse(&[], &format!("{revision}^{{commit}}")).ok(),
            branch: branch.filter(|name| name.starts_with("refs/heads/")),
            ignored,
            tree,
            top,
        })
    }

    /// As a further work tree of the repository, of which the repository itself is not told: its git folder is in it.
    fn check_out(&self, files: &Path, git: &Git<'_>) -> Result<(), CliError> {
        let git_folder = files.join(".git");
        // Which of the two holds `HEAD` is the repository's choice. Without them this is no git folder.
        for part in ["refs", "reftable"] {
            let part = git_folder.join(part);
            fs::create_dir_all(&part).map_err(|err| CliError::io("make", &part, &err))?;
        }
        let common = [self.common.as_os_str().as_encoded_bytes(), b"\n"].concat();
        for (name, text) in [("commondir", common.as_slice()), ("HEAD", b"ref: refs/heads/.invalid\n")] {
            let path = git_folder.join(name);
            fs::write(&path, text).map_err(|err| CliError::io("write", &path, &err))?;
        }
        // A branch stays a branch for whoever asks for its name.
        match (&self.branch, &self.commit) {
            (Some(branch), _) => git.quietly(&["symbolic-ref", "HEAD", branch])?,
            (None, Some(commit)) => git.quietly(&["update-ref", "--no-deref", "HEAD", commit])?,
            (None, None) => {}
        }
        git.quietly(&["read-tree", &self.tree])?;
        git.quietly(&["checkout-index", "--all", "--quiet", "--index"])?;
        if git.has(&format!("{}:.gitmodules", self.tree)) {
            self.check_out_submodules(files, git)?;
        }
        Ok(())
    }

    /// Of those that are here and know the commit; the others stay empty, as a fresh clone has them.
    fn check_out_submodules(&self, files: &Path, git: &Git<'_>) -> Result<(), CliError> {
        let listed = git.run(&["ls-tree", "-r", "-z", &self.tree])?;
        let links =
            listed.split_terminator('\0').filter_map(|line| line.strip_prefix("160000 commit ")?.split_once('\t'));
        for (commit, path) in links {
            let folder = self.top.join(path);
            // An empty one would answer for the repository that it is in.
            if !folder.join(".git").exists() {
                continue;
            }
            let index = files.join(".git").join("submodule-index");
            let there = Git { folder: &folder, index: Some(&index), ..*git };
            if there.has(commit) {
                there.quietly(&["read-tree", commit])?;
                let prefix = format!("--prefix={}/", files.join(path).display());
                there.quietly(&["checkout-index", "--all", "--quiet", &prefix])?;
            }
        }
        Ok(())
    }

    /// Node knows no mapping: it finds what git ignores beside the revision's files.
    fn lend_ignored(&self, files: &Path) {
        for path in &self.ignored {
            let lent = files.join(path);
            // What the revision has itself stays, and what cannot be lent is missed by whoever reads it.
            if let Some(above) = lent.parent().filter(|_| !lent.exists()) {
                let _ = fs::create_dir_all(above).and_then(|()| symlink(self.top.join(path), &lent));
            }
        }
    }

    fn mapping(&self, folder: &Path, files: &Path) -> Mapping {
        let (named, canonical) = self.places(folder, files);
        // Who names a revision by a tree can have no commit by which to call it.
        let revision = Some(self.commit.clone().unwrap_or_else(|| self.tree.clone()));
        let ignored: BTreeSet<PathBuf> = self.ignored.iter().map(|path| files.join(path)).collect();
        Mapping { named, canonical, revision, ignored, shown: None }
    }

    /// The work tree is named as the user names it, which with symlinks is not as git names it.
    fn places(&self, folder: &Path, files: &Path) -> (Place, Place) {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let prefix = self.prefix.trim_end_matches('/');
        let depth = Path::new(prefix).components().count();
        let named = folder
            .ancestors()
            .nth(depth)
            .filter(|named| folder.ends_with(prefix) && named.canonicalize().ok() == self.top.canonicalize().ok());
        let named = match named {
            Some(named) => Place { seen: named.to_owned(), real: files.to_owned() },
            None => Place { seen: folder.to_owned(), real: files.join(prefix) },
        };
        (named, Place { seen: real(&self.top), real: files.to_owned() })
    }
}

/// Installed modules are in no revision, and a config may need them to be read at all.
fn lend_modules(folder: &Path, source: &Source, files: &Path) {
    for (from, to) in [(source.top.clone(), files.to_owned()), (folder.to_owned(), files.join(&source.prefix))] {
        let (from, to) = (from.join("node_modules"), to.join("node_modules"));
        if from.is_dir() && !to.exists() {
            let _ = symlink(from, to);
        }
    }
}

/// Without symlinks in its name, so that what is found in it is known by it.
fn scratch_folder() -> Result<PathBuf, CliError> {
    let parent = std::env::temp_dir();
    let parent = parent.canonicalize().map_err(|err| CliError::io("use", &parent, &err))?;
    let key = super::random::key()?;
    let folder = parent.join(format!("pmrun-base-{}", &crate::base::sha256_hex(&key.0)[..16]));
    fs::DirBuilder::new().mode(0o700).create(&folder).map_err(|err| CliError::io("make", &folder, &err))?;
    Ok(folder)
}

#[derive(Clone, Copy)]
struct Git<'a> {
    folder: &'a Path,
    /// Instead of the repository's.
    index: Option<&'a Path>,
    env: &'a BTreeMap<String, String>,
    interrupts: &'a RefCell<Interrupts>,
}

impl Git<'_> {
    /// Without what the user has set up to happen when he does such things himself.
    fn quietly(&self, arguments: &[&str]) -> Result<(), CliError> {
        let quiet =
            ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.logAllRefUpdates=false"];
        self.run(&[&quiet, arguments].concat()).map(drop)
    }

    /// What it printed, without the last newline.
    fn say(&self, arguments: &[&str]) -> Result<String, CliError> {
        self.run(arguments).map(|said| said.trim_end_matches('\n').to_owned())
    }

    fn has(&self, object: &str) -> bool {
        self.run(&["cat-file", "-e", object]).is_ok()
    }

    fn run(&self, arguments: &[&str]) -> Result<String, CliError> {
        let mut command = git::command(self.folder, self.env);
        command.envs(self.index.map(|index| ("GIT_INDEX_FILE", index)));
        let output = command.args(arguments.iter().map(OsStr::new)).output();
        // It gets the terminal's signals as well, and fails of them.
        check(self.interrupts)?;
        let output = output.map_err(|err| match err.kind() {
            std::io::ErrorKind::NotFound if self.folder.is_dir() => {
                CliError::error("`--base git:` needs git, and there is none in PATH")
            }
            _ => CliError::error(format!("failed to run git in `{}`: {err}", self.folder.display())),
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("it did not say why");
        Err(CliError::error(format!(
            "git failed in `{}`: {}",
            self.folder.display(),
            said.trim_start_matches("fatal: ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(cwd: &Path) -> World {
        World {
            env: std::env::vars().collect(),
            cwd: cwd.to_owned(),
            home: None,
            cpus: crate::base::Cpus::of_machine(1),
            mapping: None,
            engine: Engine::Embedded,
            reading: crate::config::Reading::default(),
        }
    }

    fn checked_out(revision: &str, entry: &Path) -> Result<Checkout, CliError> {
        Checkout::new(revision, entry, &world(entry.parent().unwrap()))
    }

    fn real(checkout: &Checkout, path: &Path) -> PathBuf {
        checkout.mapping.real(path).unwrap()
    }

    /// What git says in a folder, without the last newline.
    fn run(folder: &Path, arguments: &[&str]) -> String {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"];
        let output = git::command(folder, &world(folder).env)
            .args(identity)
            .args(arguments)
            .output()
            .expect("git is needed by this test");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// A repository whose `app/eco.json` says `old` in the first commit and `new` in the work tree.
    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("repo");
        fs::create_dir_all(top.join("app")).unwrap();
        fs::write(top.join("app/eco.json"), "old").unwrap();
        run(&top, &["init", "-q"]);
        run(&top, &["add", "."]);
        run(&top, &["commit", "-q", "-m", "first"]);
        fs::write(top.join("app/eco.json"), "new").unwrap();
        fs::write(top.join("app/later.json"), "new").unwrap();
        folder
    }

    #[test]
    fn a_revision_is_read_beside_the_work_tree_and_cleaned_up() {
        let folder = repository();
        let entry = folder.path().join("repo/app/eco.json");
        let checkout = checked_out("HEAD", &entry).unwrap();
        let old = real(&checkout, &entry);
        assert_eq!(fs::read_to_string(&old).unwrap(), "old");
        assert_eq!(fs::read_to_string(&entry).unwrap(), "new");
        assert!(!real(&checkout, &entry.with_file_name("later.json")).exists());
        assert_eq!(checkout.mapping.named.seen, folder.path().join("repo"));
        drop(checkout);
        assert!(!old.exists());
    }

    #[test]
    fn a_symlink_to_the_work_tree_keeps_its_name() {
        let folder = repository();
        let link = folder.path().join("current");
        symlink(folder.path().join("repo"), &link).unwrap();
        let checkout = checked_out("HEAD", &link.join("app/eco.json")).unwrap();
        assert_eq!(checkout.mapping.named.seen, link);

        let inner = folder.path().join("app");
        symlink(folder.path().join("repo/app"), &inner).unwrap();
        let checkout = checked_out("HEAD", &inner.join("eco.json")).unwrap();
        assert_eq!(checkout.mapping.named.seen, inner);
        assert_eq!(fs::read_to_string(real(&checkout, &inner.join("eco.json"))).unwrap(), "old");
    }

    #[test]
    fn what_git_cannot_do_is_said() {
        let folder = repository();
        let entry = folder.path().join("repo/app/eco.json");
        let error = checked_out("nowhere", &entry).unwrap_err().message;
        assert!(error.starts_with("no revision `nowhere` in `"), "{error}");
        let outside = tempfile::tempdir().unwrap();
        let error = checked_out("HEAD", &outside.path().join("eco.json")).unwrap_err().message;
        assert!(error.contains("not a git repository"), "{error}");
    }

    /// Everything below a folder, with what it holds.
    fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => all.extend(contents(&entry.path())),
                _ => drop(all.insert(entry.path(), fs::read(entry.path()).unwrap())),
            }
        }
        all
    }

    #[test]
    fn git_answers_for_the_revision_and_the_repository_is_not_touched() {
        for format in ["files", "reftable"] {
            let folder = tempfile::tempdir().unwrap();
            let top = folder.path().join("repo");
            fs::create_dir(&top).unwrap();
            let init = ["init", "-q", &format!("--ref-format={format}")];
            let output = git::command(&top, &world(&top).env).args(init).output().unwrap();
            if !output.status.success() && format == "reftable" {
                // git before 2.45
                continue;
            }
            run(&top, &["checkout", "-q", "-b", "trunk"]);
            for (text, tag) in [("one", "v1"), ("two", "v2")] {
                fs::write(top.join("eco.json"), text).unwrap();
                run(&top, &["add", "."]);
                run(&top, &["commit", "-q", "-m", text]);
                run(&top, &["tag", tag]);
            }
            let hook = top.join(".git/hooks/reference-transaction");
            fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
            fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            let before = contents(folder.path());
            let entry = top.join("eco.json");
            let table =
                [("v1", "v1", "HEAD"), ("HEAD", "v2", "trunk"), ("trunk", "v2", "trunk"), ("trunk~1", "v1", "HEAD")];
            for (revision, tag, branch) in table {
                let checkout = checked_out(revision, &entry).unwrap();
                let there = real(&checkout, &top);
                let asks = |arguments: &[&str]| run(&there, arguments);
                let commit = run(&top, &["rev-parse", tag]);
                assert_eq!(asks(&["rev-parse", "HEAD"]), commit, "{format} {revision}");
                assert_eq!(asks(&["rev-parse", "--abbrev-ref", "HEAD"]), branch, "{format} {revision}");
                assert_eq!(asks(&["describe", "--tags", "--dirty"]), tag, "{format} {revision}");
                assert_eq!(asks(&["status", "--short"]), "", "{format} {revision}");
                assert_eq!(asks(&["rev-parse", "--show-toplevel"]), there.to_str().unwrap());
            }
            assert!(contents(folder.path()) == before, "{format}: the repository was written");
        }
    }

    #[test]
    fn what_git_ignores_is_read_where_it_is_unless_the_revision_has_it() {
        let folder = repository();
        let top = folder.path().join("repo");
        fs::write(top.join(".gitignore"), ".env\n/dist\n*.json\n").unwrap();
        fs::create_dir(top.join("dist")).unwrap();
        for path in ["app/.env", "dist/built.js", "plain.js"] {
            fs::write(top.join(path), "here").unwrap();
        }
        let checkout = checked_out("HEAD", &top.join("app/eco.json")).unwrap();
        for (path, is_here) in
            [("app/.env", true), ("dist/built.js", true), ("app/eco.json", false), ("plain.js", false)]
        {
            assert_eq!(real(&checkout, &top.join(path)) == top.join(path), is_here, "{path}");
        }
    }
}
