//! Another version of a config as what runs (`diff --base`): no daemon is asked, no work tree is touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use super::error::CliError;
use super::loading::{self, EntryFile, Talk};
use super::terminal::Terminal;
use crate::config::{self, Mapping, Place, World, git};
use crate::graph::Selection;
use crate::plan::Snapshot;

/// What would run had the other version been applied.
pub(super) fn snapshot(
    written: &str,
    entry: &EntryFile,
    profile: Option<&str>,
    selection: &Selection,
    world: &World,
    terminal: &mut Terminal,
) -> Result<Snapshot, CliError> {
    let Some(revision) = written.strip_prefix("git:") else {
        let file = loading::absolute(Path::new(written), world);
        if !file.exists() {
            let error = CliError::error(format!("no such file: `{written}`"));
            // `main` and `HEAD~1` may be meant as revisions, `old/eco.json` hardly.
            let is_revision = Path::new(written).extension().is_none();
            return Err(if is_revision {
                error.hint(format!("a revision is written as `git:{written}`"))
            } else {
                error
            });
        }
        let seen = seen_as(&entry.path, &file);
        let mapping = Mapping::new(seen.clone(), file);
        return read(&EntryFile::at(seen, world), mapping, written, profile, selection, world, terminal);
    };
    if revision.is_empty() {
        return Err(CliError::usage("`--base git:` names no revision").hint("like `git:HEAD` or `git:origin/main`"));
    }
    let checkout = Checkout::new(revision, &entry.path, &world.env)?;
    if !mapped(&checkout.mapping, &entry.path).exists() {
        terminal.say(format!("`{}` is new since `{revision}`", entry.named.display()));
        return Ok(Snapshot::default());
    }
    read(entry, checkout.mapping.clone(), written, profile, selection, world, terminal)
}

/// A base file stands where the entry stands. One of another format keeps its own name there.
fn seen_as(entry: &Path, file: &Path) -> PathBuf {
    if entry.extension() == file.extension() {
        return entry.to_owned();
    }
    entry.with_file_name(file.file_name().unwrap_or_default())
}

fn read(
    entry: &EntryFile,
    mapping: Mapping,
    written: &str,
    profile: Option<&str>,
    selection: &Selection,
    world: &World,
    terminal: &mut Terminal,
) -> Result<Snapshot, CliError> {
    let world = World { mapping: Some(mapping), ..world.clone() };
    let loaded = config::load_selected(&entry.named, profile, selection, &world);
    if loaded.report.has_errors() {
        terminal.say(format!("in the base, `{written}`:"));
    }
    // Its warnings are no longer anybody's concern.
    let talk = if loaded.report.has_errors() { Talk::Warnings } else { Talk::None };
    let graph = loading::judge(loaded.graph, &loaded.report, false, talk, terminal)?;
    Ok(Snapshot::of(&graph))
}

fn mapped(mapping: &Mapping, path: &Path) -> PathBuf {
    mapping.real(path).unwrap_or_else(|| path.to_owned())
}

/// A revision's files in a folder of their own, which goes away with this.
#[derive(Debug)]
struct Checkout {
    folder: PathBuf,
    mapping: Mapping,
}

impl Checkout {
    fn new(revision: &str, entry: &Path, env: &BTreeMap<String, String>) -> Result<Self, CliError> {
        let folder = entry.parent().unwrap_or(Path::new("/"));
        let git = Git { folder, env, index: None };
        let top = PathBuf::from(git.run(&["rev-parse", "--show-toplevel"])?);
        let prefix = git.run(&["rev-parse", "--show-prefix"])?;
        let tree = git
            .run(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{tree}}")])
            .map_err(|_| CliError::error(format!("no revision `{revision}` in `{}`", top.display())))?;

        let scratch = scratch_folder()?;
        let files = scratch.join("tree");
        // Made before anything else can fail, so that it is taken away whatever happens.
        let mut checkout = Self { mapping: mapping(folder, &top, &prefix, &files), folder: scratch };
        let commit = |revision: &str| git.run(&["rev-parse", "--verify", "--quiet", "--end-of-options", revision]);
        // What is only a tree is no commit, so it cannot be the one that is checked out.
        checkout.mapping.revision = Some(commit(&format!("{revision}^{{commit}}")).unwrap_or_else(|_| tree.clone()));
        let git = Git { folder: &top, env, index: Some(checkout.folder.join("index")) };
        git.run(&["read-tree", &tree])?;
        git.run(&["checkout-index", "--all", "--quiet", &format!("--prefix={}/", files.display())])?;
        fs::create_dir_all(files.join(&prefix)).map_err(|err| CliError::io("make", &files, &err))?;
        lend_modules(folder, &top, &files, &prefix);
        Ok(checkout)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Installed modules are in no revision, and a config may need them to be read at all.
fn lend_modules(folder: &Path, top: &Path, files: &Path, prefix: &str) {
    for (from, to) in [(top.to_owned(), files.to_owned()), (folder.to_owned(), files.join(prefix))] {
        let (from, to) = (from.join("node_modules"), to.join("node_modules"));
        if from.is_dir() && !to.exists() {
            let _ = symlink(from, to);
        }
    }
}

/// The work tree is named as the user names it, which with symlinks is not as git names it.
fn mapping(folder: &Path, top: &Path, prefix: &str, files: &Path) -> Mapping {
    let depth = Path::new(prefix).components().count();
    let named = folder.ancestors().nth(depth).filter(|named| {
        folder.ends_with(prefix.trim_end_matches('/')) && named.canonicalize().ok() == top.canonicalize().ok()
    });
    let named = match named {
        Some(named) => Place { seen: named.to_owned(), real: files.to_owned() },
        None => Place { seen: folder.to_owned(), real: files.join(prefix.trim_end_matches('/')) },
    };
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // The scratch folder's own name may go through symlinks, while `files` is not there yet.
    let files = files.parent().map(real).unwrap_or_default().join(files.file_name().unwrap_or_default());
    Mapping { named, canonical: Place { seen: real(top), real: files }, revision: None }
}

fn scratch_folder() -> Result<PathBuf, CliError> {
    let parent = std::env::temp_dir();
    let key = super::random::key()?;
    let name = format!("pmrun-base-{}", &crate::base::sha256_hex(&key.0)[..16]);
    let folder = parent.join(name);
    fs::DirBuilder::new().mode(0o700).create(&folder).map_err(|err| CliError::io("make", &folder, &err))?;
    Ok(folder)
}

/// Runs git so that neither its index nor its work tree is written.
struct Git<'a> {
    folder: &'a Path,
    env: &'a BTreeMap<String, String>,
    /// Used in place of the repository's own.
    index: Option<PathBuf>,
}

impl Git<'_> {
    /// What it printed, without the last newline.
    fn run(&self, arguments: &[&str]) -> Result<String, CliError> {
        let mut command = git::command(self.folder, self.env);
        command.args(arguments);
        if let Some(index) = &self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        let output = command.output().map_err(|err| match err.kind() {
            std::io::ErrorKind::NotFound if self.folder.is_dir() => {
                CliError::error("`--base git:` needs git, and there is none in PATH")
            }
            _ => CliError::error(format!("failed to run git in `{}`: {err}", self.folder.display())),
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned());
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

    fn env() -> BTreeMap<String, String> {
        std::env::vars().collect()
    }

    fn run(folder: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"];
        let output =
            git::command(folder, &env()).args(identity).args(arguments).output().expect("git is needed by this test");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
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
        let checkout = Checkout::new("HEAD", &entry, &env()).unwrap();
        let real = mapped(&checkout.mapping, &entry);
        assert_eq!(fs::read_to_string(&real).unwrap(), "old");
        assert_eq!(fs::read_to_string(&entry).unwrap(), "new");
        assert!(!mapped(&checkout.mapping, &entry.with_file_name("later.json")).exists());
        assert_eq!(checkout.mapping.named.seen, folder.path().join("repo"));
        drop(checkout);
        assert!(!real.exists());
    }

    #[test]
    fn a_symlink_to_the_work_tree_keeps_its_name() {
        let folder = repository();
        let link = folder.path().join("current");
        symlink(folder.path().join("repo"), &link).unwrap();
        let checkout = Checkout::new("HEAD", &link.join("app/eco.json"), &env()).unwrap();
        assert_eq!(checkout.mapping.named.seen, link);

        let inner = folder.path().join("app");
        symlink(folder.path().join("repo/app"), &inner).unwrap();
        let checkout = Checkout::new("HEAD", &inner.join("eco.json"), &env()).unwrap();
        assert_eq!(checkout.mapping.named.seen, inner);
        assert_eq!(fs::read_to_string(mapped(&checkout.mapping, &inner.join("eco.json"))).unwrap(), "old");
    }

    #[test]
    fn what_git_cannot_do_is_said() {
        let folder = repository();
        let entry = folder.path().join("repo/app/eco.json");
        let error = Checkout::new("nowhere", &entry, &env()).unwrap_err().message;
        assert!(error.starts_with("no revision `nowhere` in `"), "{error}");
        let outside = tempfile::tempdir().unwrap();
        let error = Checkout::new("HEAD", &outside.path().join("eco.json"), &env()).unwrap_err().message;
        assert!(error.contains("not a git repository"), "{error}");
    }

    #[test]
    fn a_base_of_another_format_keeps_its_ending() {
        let entry = Path::new("/srv/ecosystem.config.js");
        assert_eq!(seen_as(entry, Path::new("/tmp/old.js")), entry);
        assert_eq!(seen_as(entry, Path::new("/tmp/old.yaml")), Path::new("/srv/old.yaml"));
    }
}
