//! What stands for an app's code: digests of files, globs over a folder, the revision of a work tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use sha2::{Digest as _, Sha256};

use super::git;
use super::glob::{Glob, PATTERNS_MAX};
use crate::platform::open_regular;
use crate::spec::{Fingerprint, FingerprintBy};

/// A fingerprint is taken at every `diff` and `apply`: what is larger than this belongs under `"git"`.
const FILES_MAX: usize = 10_000;
const BYTES_MAX: u64 = 200 << 20;
/// What a revision is called in a fingerprint.
pub(super) const REVISION: &str = "git";

/// SHA-256 of a file's content, in hexadecimal.
pub(super) fn digest_file(path: &Path) -> io::Result<String> {
    digest_of(&mut open_regular(path)?)
}

/// The same of one that is open.
pub(super) fn digest_of(file: &mut fs::File) -> io::Result<String> {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => hash.update(&buffer[..length]),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Whether globs mean anything.
///
/// # Errors
/// A pattern that means nothing, or too many of them.
pub(super) fn check(globs: &[String]) -> Result<(), String> {
    parse(globs).map(drop)
}

/// Which files globs mean, by their path relative to the folder. None does where they mean nothing.
pub(super) fn meant_by(globs: &[String]) -> impl Fn(&str) -> bool + use<> {
    let (wanted, unwanted) = parse(globs).unwrap_or_default();
    move |label| wanted.iter().any(|glob| glob.matches(label)) && !unwanted.iter().any(|glob| glob.matches(label))
}

/// The patterns of what is wanted, and of what is not.
fn parse(globs: &[String]) -> Result<(Vec<Glob>, Vec<Glob>), String> {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for written in globs {
        match written.strip_prefix('!') {
            Some(rest) => unwanted.extend(Glob::parse(rest)?),
            None => wanted.extend(Glob::parse(written)?),
        }
        if wanted.len() + unwanted.len() > PATTERNS_MAX {
            return Err(format!("the globs come to more than {PATTERNS_MAX} patterns"));
        }
    }
    Ok((wanted, unwanted))
}

/// The files below a folder that one of the globs matches and none of those that begin with `!`, by their path
/// relative to it.
///
/// # Errors
/// A pattern that means nothing, a folder that cannot be read, too much of it.
pub(super) fn find(folder: &Path, globs: &[String]) -> Result<BTreeSet<String>, String> {
    let (wanted, unwanted) = parse(globs)?;
    let mut search = Search { unwanted, found: BTreeSet::new(), bytes: 0 };
    for glob in &wanted {
        search.walk(folder, "", glob, &[0])?;
    }
    Ok(search.found)
}

/// The commit that is checked out in the work tree around a folder.
///
/// # Errors
/// There is no git, no work tree, or no commit in it.
pub(super) fn revision(folder: &Path, env: &BTreeMap<String, String>) -> Result<String, String> {
    let output = git::command(folder, env)
        .args(["rev-parse", "--verify", "HEAD"])
        .output()
        .map_err(|err| format!("failed to run `git`: {err}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`git rev-parse HEAD` in `{}`: {}", folder.display(), said.lines().next().unwrap_or("failed").trim()))
}

/// What stands for an app's code now, where it is known what that was made of. What cannot be read is left out.
#[must_use]
pub fn retake(cwd: &str, known: &Fingerprint, by: &FingerprintBy, env: &BTreeMap<String, String>) -> Fingerprint {
    let folder = Path::new(cwd);
    retake_with(folder, known, by, |label| match by {
        FingerprintBy::Git if label == REVISION => revision(folder, env).ok(),
        _ => digest_file(&folder.join(label)).ok(),
    })
}

/// The same, by who says what stands for each part: nothing does for what is left out.
pub(super) fn retake_with(
    folder: &Path,
    known: &Fingerprint,
    by: &FingerprintBy,
    mut digest: impl FnMut(&str) -> Option<String>,
) -> Fingerprint {
    let mut labels: BTreeSet<String> = known.0.keys().cloned().collect();
    if let FingerprintBy::Globs(globs) = by {
        labels.extend(find(folder, globs).unwrap_or_default());
    }
    let taken = labels.into_iter().filter_map(|label| digest(&label).map(|digest| (label, digest)));
    Fingerprint(taken.collect())
}

/// Which of the files below a folder git ignores: none where there is no git to ask.
pub(super) fn ignored(folder: &Path, files: BTreeSet<String>, env: &BTreeMap<String, String>) -> BTreeSet<String> {
    if files.is_empty() {
        return files;
    }
    let spawned = git::command(folder, env)
        .args(["check-ignore", "-z", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut git) = spawned else { return BTreeSet::new() };
    let listed: Vec<u8> = files.iter().flat_map(|file| file.bytes().chain([0])).collect();
    let stdin = git.stdin.take();
    let output = std::thread::scope(|scope| {
        // It answers while it reads: whoever only wrote would block it, and be blocked by it.
        let write = move || stdin.map(|mut stdin| stdin.write_all(&listed));
        std::thread::Builder::new().spawn_scoped(scope, write)?;
        git.wait_with_output()
    });
    let said = output.map(|output| output.stdout).unwrap_or_default();
    said.split(|byte| *byte == 0)
        .filter_map(|file| std::str::from_utf8(file).ok().filter(|file| files.contains(*file)))
        .map(str::to_owned)
        .collect()
}

struct Search {
    unwanted: Vec<Glob>,
    found: BTreeSet<String>,
    bytes: u64,
}

impl Search {
    /// One folder; `states` are the places in the glob that its path has come to.
    fn walk(&mut self, folder: &Path, prefix: &str, glob: &Glob, states: &[usize]) -> Result<(), String> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            // Gone since it was listed.
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(err) => return Err(format!("cannot read `{}`: {err}", folder.display())),
        };
        for entry in entries {
            let entry = entry.map_err(|err| format!("cannot read `{}`: {err}", folder.display()))?;
            let name = entry.file_name();
            // A name that is no UTF-8 cannot be written in a config file.
            let Some(name) = name.to_str() else { continue };
            let next = glob.step(states, name);
            if next.is_empty() {
                continue;
            }
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            let label = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            if kind.is_dir() {
                self.walk(&path, &label, glob, &next)?;
            } else if glob.is_end(&next)
                && let Ok(metadata) = fs::metadata(&path)
                && metadata.is_file()
                && !self.unwanted.iter().any(|glob| glob.matches(&label))
            {
                self.add(label, metadata.len())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, label: String, bytes: u64) -> Result<(), String> {
        if self.found.insert(label) {
            self.bytes += bytes;
        }
        if self.found.len() > FILES_MAX {
            return Err(format!("the globs match more than {FILES_MAX} files"));
        }
        if self.bytes > BYTES_MAX {
            return Err(format!("the globs match more than {} MB", BYTES_MAX >> 20));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        folder
    }

    #[test]
    fn globs_find_files_below_the_folder() {
        let folder = tree(&[
            "a.js",
            "dist/b.js",
            "dist/sub/c.js",
            "dist/sub/c.map",
            "package-lock.json",
            ".env",
            ".git/x.js",
            "node_modules/m/i.js",
        ]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("dist/loop")).unwrap();
        let table: [(&[&str], &[&str]); 8] = [
            (&["*.js"], &["a.js"]),
            (&["dist/**"], &["dist/b.js", "dist/sub/c.js", "dist/sub/c.map"]),
            (&["**/*.js"], &["a.js", "dist/b.js", "dist/sub/c.js"]),
            (&["**/*.{js,map}", "!**/b.*"], &["a.js", "dist/sub/c.js", "dist/sub/c.map"]),
            (&["./dist/?.js", "package-lock.json"], &["dist/b.js", "package-lock.json"]),
            (&["node_modules/**"], &["node_modules/m/i.js"]),
            (&[".env", "*.nothing"], &[".env"]),
            (&["dist"], &[]),
        ];
        for (globs, want) in table {
            let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
            let found = find(folder.path(), &globs).unwrap();
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), want, "{globs:?}");
        }
    }

    #[test]
    fn impossible_patterns_are_errors() {
        let folder = tree(&[]);
        for glob in ["", "/etc/*", "../x", "a[b"] {
            assert!(find(folder.path(), &[glob.to_owned()]).is_err(), "{glob:?}");
        }
        let many = vec!["{a,b}".to_owned(); 501];
        assert_eq!(check(&many).unwrap_err(), "the globs come to more than 1000 patterns");
    }

    #[test]
    fn a_digest_is_the_contents() {
        let folder = tree(&["a"]);
        assert_eq!(digest_file(&folder.path().join("a")).unwrap(), crate::base::sha256_hex(b"a"));
    }

    #[test]
    fn a_folder_without_a_work_tree_has_no_revision() {
        let folder = tree(&[]);
        let env = [("PATH", std::env::var("PATH").unwrap()), ("GIT_CEILING_DIRECTORIES", "/".to_owned())];
        let env = env.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        assert!(revision(folder.path(), &env).is_err());
    }
}
