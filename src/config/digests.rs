//! What stands for an app's code when a process of it is started, for who starts some all the time.
//!
//! What an earlier look has found of a file holds as long as the file is the same by its inode, size and times: an app that
//! crashes and is started again costs a few `stat(2)`. Times are only as fine as the clock that the kernel stamps them with,
//! so that what was written just now may be written again without looking any different: that is looked at anew.
//!
//! A revision is read from git's own files, which is two short reads and needs no memory of it, rather than asked of git: a
//! program for each start of a process would cost more than the start. Where those files are not the usual ones (`reftable`)
//! nobody knows the revision here.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::fingerprint::{REVISION, digest_of, meant_by, retake_with};
use super::world::normalise;
use crate::platform::open_regular;
use crate::spec::{AppSpec, Fingerprint, FingerprintBy};

/// What was written so recently may be written again within the same tick of the file system's clock, which for some is
/// two seconds.
const FRESH: Duration = Duration::from_secs(2);
/// More files than any one fingerprint is of; what is known of all is forgotten then, and found anew.
const KNOWN_MAX: usize = 20_000;
/// `HEAD` names a branch; a branch may be another name for one.
const REFS_MAX: usize = 5;

/// Digests of files that were looked at before.
#[derive(Debug, Default)]
pub struct Digests {
    known: HashMap<PathBuf, (Stamp, Box<str>)>,
    #[cfg(test)]
    read: usize,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// By the clock that it was stamped with; one that was set back makes it look young, and that is only looked at anew.
    fn is_old(&self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let limit = i64::try_from(now.saturating_sub(FRESH).as_secs()).unwrap_or(i64::MAX);
        self.modified.0 < limit && self.changed.0 < limit
    }
}

impl Digests {
    /// What stands for an app's code now. What is not there is left out.
    ///
    /// As recorded stays what cannot be known, and what is no code: env files are read when a file is applied, and what a
    /// process gets of them is recorded, however often it is started.
    #[must_use]
    pub fn look(&mut self, spec: &AppSpec) -> Fingerprint {
        let folder = Path::new(&spec.cwd);
        let known = &spec.fingerprint;
        let is_code = code_of(spec);
        retake_with(folder, known, &spec.fingerprint_by, |label| {
            let recorded = || known.0.get(label).cloned();
            if spec.fingerprint_by == FingerprintBy::Git && label == REVISION {
                return head(folder).or_else(recorded);
            }
            if !is_code(label) {
                return recorded();
            }
            match self.digest(folder.join(label)) {
                Ok(digest) => Some(digest),
                Err(err) if err.kind() == io::ErrorKind::NotFound => None,
                Err(_) => recorded(),
            }
        })
    }

    fn digest(&mut self, path: PathBuf) -> io::Result<String> {
        let now = SystemTime::now();
        let stamp = Stamp::of(&fs::metadata(&path)?);
        if let Some((_, digest)) = self.known.get(&path).filter(|(known, _)| *known == stamp) {
            return Ok(digest.to_string());
        }
        self.known.remove(&path);
        #[cfg(test)]
        {
            self.read += 1;
        }
        let mut file = open_regular(&path)?;
        let before = Stamp::of(&file.metadata()?);
        let digest = digest_of(&mut file)?;
        if before == Stamp::of(&file.metadata()?) && before.is_old(now) {
            if self.known.len() >= KNOWN_MAX {
                self.known = HashMap::new();
            }
            self.known.insert(path, (before, digest.as_str().into()));
        }
        Ok(digest)
    }
}

/// Which parts of an app's fingerprint its process reads itself: the script, the file that its command names, and what its
/// globs mean.
fn code_of(spec: &AppSpec) -> impl Fn(&str) -> bool {
    let folder = Path::new(&spec.cwd);
    let place = move |path: &str| normalise(&folder.join(path));
    let words = spec.script.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
    let words = words.chain([spec.script.as_str()]).chain(spec.args.iter().map(String::as_str));
    let named: Vec<PathBuf> = words.map(place).collect();
    let globs = match &spec.fingerprint_by {
        FingerprintBy::Globs(globs) => globs.as_slice(),
        FingerprintBy::Script | FingerprintBy::Git | FingerprintBy::Off => &[],
    };
    let is_meant = meant_by(globs);
    move |label| named.contains(&place(label)) || is_meant(label)
}

/// The commit that is checked out in the work tree around a folder, as [`super::fingerprint::revision`] says it.
fn head(folder: &Path) -> Option<String> {
    let folder = fs::canonicalize(folder).ok()?;
    let (tree, found) = folder.ancestors().find_map(|tree| {
        let found = tree.join(".git");
        found.exists().then_some((tree, found))
    })?;
    // Of a work tree beside others, and of a submodule, a file says where the rest is.
    let own = if found.is_dir() {
        found
    } else {
        tree.join(fs::read_to_string(&found).ok()?.strip_prefix("gitdir:")?.trim())
    };
    let common = match fs::read_to_string(own.join("commondir")) {
        Ok(path) => own.join(path.trim()),
        Err(_) => own.clone(),
    };
    // What git would take for no repository may be within one.
    if !common.join("objects").is_dir() {
        return None;
    }
    let mut said = fs::read_to_string(own.join("HEAD")).ok()?;
    for _ in 0..REFS_MAX {
        let Some(name) = said.strip_prefix("ref:").map(str::trim) else { return commit(&said) };
        said = match fs::read_to_string(common.join(name)) {
            Ok(said) => said,
            Err(_) => packed(&common, name)?,
        };
    }
    None
}

fn packed(common: &Path, name: &str) -> Option<String> {
    let refs = fs::read_to_string(common.join("packed-refs")).ok()?;
    refs.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').map(str::to_owned))
}

fn commit(said: &str) -> Option<String> {
    let said = said.trim();
    let is_one = matches!(said.len(), 40 | 64) && said.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use super::super::fingerprint::revision;
    use super::*;
    use crate::base::sha256_hex;

    /// Labels, and what they stand for.
    type Parts = &'static [(&'static str, &'static str)];

    fn spec(folder: &Path, script: &str, by: FingerprintBy, labels: &[&str]) -> AppSpec {
        let known = labels.iter().map(|label| ((*label).to_owned(), "known".to_owned()));
        AppSpec {
            fingerprint: Fingerprint(known.collect()),
            fingerprint_by: by,
            ..AppSpec::new("api", script, folder.to_str().unwrap())
        }
    }

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (file, text) in files {
            fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            fs::write(folder.join(file), text).unwrap();
        }
    }

    #[test]
    fn what_is_code_is_looked_at_and_what_is_not_stays_as_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        write(folder, &[("a.js", "a"), (".env", "e"), ("dist/b.js", "b"), ("run.sh", "r")]);
        let absolute = folder.join("a.js").to_str().unwrap().to_owned();
        let globs = |globs: &[&str]| FingerprintBy::Globs(globs.iter().map(|glob| (*glob).to_owned()).collect());
        let table: [(&str, FingerprintBy, &[&str], Parts); 7] = [
            (&absolute, FingerprintBy::Script, &["a.js", ".env"], &[("a.js", "a"), (".env", "known")]),
            ("node ./dist/../a.js 'x'", FingerprintBy::Script, &["a.js", ".env"], &[("a.js", "a"), (".env", "known")]),
            ("sh \"run.sh\"", FingerprintBy::Script, &["run.sh"], &[("run.sh", "r")]),
            (&absolute, globs(&["dist/**"]), &["a.js", "dist/gone.js"], &[("a.js", "a"), ("dist/b.js", "b")]),
            (&absolute, globs(&["*.js", ".env"]), &["a.js", ".env"], &[("a.js", "a"), (".env", "e")]),
            (&absolute, FingerprintBy::Git, &["git", ".env"], &[("git", "known"), (".env", "known")]),
            ("/no/such.js", FingerprintBy::Script, &["/no/such.js"], &[]),
        ];
        for (script, by, labels, want) in table {
            let digest = |text: &str| if text == "known" { text.to_owned() } else { sha256_hex(text.as_bytes()) };
            let want: BTreeMap<String, String> =
                want.iter().map(|(label, text)| ((*label).to_owned(), digest(text))).collect();
            let found = Digests::default().look(&spec(folder, script, by, labels));
            assert_eq!(found.0, want, "{script}");
        }
    }

    #[test]
    fn a_file_is_read_again_only_where_it_may_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, path) = (folder.path(), folder.path().join("a.js"));
        let app = spec(folder, path.to_str().unwrap(), FingerprintBy::Script, &["a.js"]);
        let mut digests = Digests::default();
        let look = |digests: &mut Digests, times: usize, text: &str| {
            for _ in 0..times {
                assert_eq!(digests.look(&app).0["a.js"], sha256_hex(text.as_bytes()));
            }
            std::mem::take(&mut digests.read)
        };
        write(folder, &[("a.js", "one")]);
        assert_eq!(look(&mut digests, 3, "one"), 3, "it may be written again without looking any different");
        write(folder, &[("a.js", "two")]);
        assert_eq!(look(&mut digests, 2, "two"), 2);
        let other = folder.join("b.js");
        fs::write(&other, "six").unwrap();
        let now = SystemTime::now();
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        assert!(!stamp.is_old(now) && stamp.is_old(now + 2 * FRESH));
        // As if that were long ago.
        digests.known.insert(path.clone(), (stamp, sha256_hex(b"two").into()));
        assert_eq!(look(&mut digests, 200, "two"), 0);
        fs::rename(&other, &path).unwrap();
        assert_eq!(look(&mut digests, 1, "six"), 1, "another file has its name");
    }

    #[test]
    fn the_revision_is_the_one_that_git_says() {
        let folder = tempfile::tempdir().unwrap();
        let env: BTreeMap<String, String> =
            [("PATH".to_owned(), std::env::var("PATH").unwrap()), ("HOME".to_owned(), "/nonexistent".to_owned())]
                .into();
        let repository = folder.path().join("repository");
        fs::create_dir_all(repository.join("below")).unwrap();
        let git = |at: &Path, arguments: &[&str]| {
            let who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"];
            let status = Command::new("git").args(who).args(arguments).current_dir(at).envs(&env).output().unwrap();
            assert!(status.status.success(), "{status:?}");
        };
        assert_eq!(head(&repository), None);
        git(&repository, &["init", "-q"]);
        assert_eq!(head(&repository), None, "there is no commit yet");
        let same = |at: &Path| {
            let found = head(at);
            assert_eq!(found, revision(at, &env).ok(), "{}", at.display());
            found.unwrap()
        };
        let commit = |text: &str| git(&repository, &["commit", "-q", "--allow-empty", "-m", text]);
        commit("one");
        let first = same(&repository.join("below"));
        commit("two");
        assert_ne!(same(&repository), first);
        git(&repository, &["pack-refs", "--all"]);
        same(&repository);
        let other = folder.path().join("other");
        git(&repository, &["worktree", "add", "-q", "-b", "side/branch", other.to_str().unwrap(), &first]);
        assert_eq!(same(&other), first);
        git(&repository, &["checkout", "-q", "--detach", &first]);
        assert_eq!(same(&repository), first);
    }
}
