use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::{World, bytes, dotenv, fingerprint, js, writing};
use crate::base::{Cpus, sha256_hex};
use crate::schema::{EnvText, FileEntry, Surroundings};

/// The machine that a load runs on. Each file, program and folder is looked at once: 500 apps may share them.
pub(super) struct Machine<'a> {
    world: &'a World,
    /// The config's.
    folder: PathBuf,
    entries: Known<PathBuf, FileEntry>,
    /// By name and the `PATH` it was looked for in.
    programs: Known<(String, Option<String>), Option<PathBuf>>,
    digests: Known<PathBuf, Result<String, String>>,
    revisions: Known<PathBuf, Result<String, String>>,
}

type Known<K, V> = RefCell<HashMap<K, V>>;

impl<'a> Machine<'a> {
    pub(super) fn new(world: &'a World, folder: &Path) -> Self {
        Self {
            world,
            folder: folder.to_owned(),
            entries: RefCell::default(),
            programs: RefCell::default(),
            digests: RefCell::default(),
            revisions: RefCell::default(),
        }
    }

    /// Whether a config may make us read what it names: only what it may read itself.
    fn may_read(&self, path: &Path, own: bool) -> Result<(), String> {
        if !self.refuses(path, own) {
            return Ok(());
        }
        let path = js::canonical(path, self.world);
        let shown = path.strip_prefix(&self.world.cwd).unwrap_or(&path).display();
        Err(format!("is refused by `--hermetic`: `--allow-read {shown}` allows it"))
    }

    /// Whether the apps are not started, as another version of the file is only compared, or without files of their own.
    fn writes_nothing(&self) -> bool {
        self.world.mapping.is_some() || self.world.reading.writes_nothing
    }

    /// Where a path's bytes are. A revision that is read in place of the work tree has no built files and no
    /// installed modules, so what it lacks is taken from where it would stand.
    fn real(&self, path: &Path) -> PathBuf {
        let real = self.world.real(path);
        if self.world.mapping.is_some() && !real.exists() { path.to_owned() } else { real }
    }

    /// Whether a folder is read as a commit of the work tree has it. One that holds a work tree of its own (a
    /// submodule) is not: nothing of that is in the commit.
    fn is_of_revision(&self, folder: &Path) -> bool {
        let Some(mapping) = self.world.mapping.as_ref().filter(|mapping| mapping.revision.is_some()) else {
            return false;
        };
        let tops = [&mapping.named.seen, &mapping.canonical.seen];
        let within = folder.ancestors().take_while(|folder| tops.iter().all(|top| folder != top));
        mapping.real(folder).is_some() && !within.into_iter().any(|folder| folder.join(".git").exists())
    }
}

impl Surroundings for Machine<'_> {
    fn cpus(&self) -> Cpus {
        self.world.cpus
    }

    fn merges_logs(&self) -> bool {
        self.world.reading.merges_logs
    }

    fn overlooks_profiles(&self) -> bool {
        self.world.reading.overlooks_profiles
    }

    fn account(&self, user: Option<&str>, group: Option<&str>) -> Result<(), String> {
        // Another version of the file is compared and never started.
        if self.world.mapping.is_some() { Ok(()) } else { crate::platform::check_account(user, group) }
    }

    fn knows_zone(&self, name: &str) -> bool {
        crate::platform::time_zone(Some(name)).is_some()
    }

    fn absolute(&self, base: &Path, written: &str) -> PathBuf {
        self.world.resolve(base, written)
    }

    fn entry(&self, path: &Path) -> FileEntry {
        remember(&self.entries, path.to_owned(), || look(&self.real(path)))
    }

    fn head(&self, path: &Path) -> Vec<u8> {
        use std::io::Read as _;
        let mut head = Vec::with_capacity(512);
        match std::fs::File::open(self.real(path)).and_then(|file| file.take(512).read_to_end(&mut head)) {
            Ok(_) => head,
            Err(_) => Vec::new(),
        }
    }

    fn program(&self, name: &str, search: Option<&str>) -> Option<PathBuf> {
        let key = (name.to_owned(), search.map(str::to_owned));
        remember(&self.programs, key, || {
            let search = search.or_else(|| self.world.env.get("PATH").map(String::as_str))?;
            search
                .split(':')
                .filter(|folder| folder.starts_with('/'))
                .map(|folder| Path::new(folder).join(name))
                .find(|path| matches!(self.entry(path), FileEntry::File { executable: true }))
        })
    }

    fn finds(&self, name: &str, search: Option<&str>, cwd: &Path) -> bool {
        let search = search.or_else(|| self.world.env.get("PATH").map(String::as_str)).unwrap_or_default();
        let is_in = |folder| matches!(self.entry(&cwd.join(folder).join(name)), FileEntry::File { executable: true });
        search.split(':').any(is_in)
    }

    fn appendable(&self, path: &Path) -> Result<(), String> {
        if self.writes_nothing() { Ok(()) } else { writing::appendable(path) }
    }

    fn replaceable(&self, path: &Path) -> Result<(), String> {
        if self.writes_nothing() { Ok(()) } else { writing::replaceable(path) }
    }

    fn refuses(&self, path: &Path, own: bool) -> bool {
        let Some(hermetic) = &self.world.reading.hermetic else { return false };
        let canonical = |path: &Path| js::canonical(path, self.world);
        let path = canonical(path);
        !(hermetic.allows_path(&path) || own && path.starts_with(canonical(&self.folder)))
    }

    fn env_file(&self, path: &Path) -> Result<EnvText, String> {
        match self.entry(path) {
            FileEntry::Missing => return Err("does not exist".to_owned()),
            FileEntry::Folder => return Err("is a folder".to_owned()),
            FileEntry::File { .. } | FileEntry::Other | FileEntry::Unusable(_) => {}
        }
        self.may_read(path, false)?;
        let text = bytes::read_text(&self.real(path), path).map_err(|diagnostic| {
            let named = format!("`{}` ", path.display());
            diagnostic.message.strip_prefix(&named).unwrap_or(&diagnostic.message).to_owned()
        })?;
        self.world.reading.journal.file(path, text.as_bytes());
        let digest = sha256_hex(text.as_bytes());
        Ok(EnvText { variables: dotenv::parse(&text), digest, oddities: dotenv::oddities(&text) })
    }

    fn digest(&self, path: &Path) -> Result<String, String> {
        remember(&self.digests, path.to_owned(), || {
            let digest = fingerprint::digest_file(&self.real(path)).map_err(|err| format!("cannot be read: {err}"))?;
            self.world.reading.journal.digested(path, digest.clone());
            Ok(digest)
        })
    }

    fn patterns(&self, globs: &[String]) -> Result<(), String> {
        fingerprint::check(globs)
    }

    fn matching(&self, folder: &Path, globs: &[String]) -> Result<BTreeMap<String, String>, String> {
        self.may_read(folder, true).map_err(|why| format!("the folder `{}` {why}", folder.display()))?;
        let mut found = fingerprint::find(&self.real(folder), globs)?;
        if self.is_of_revision(folder) {
            // No revision has what git ignores: what is built, most likely, which is the same on both sides then.
            let present = fingerprint::find(folder, globs).unwrap_or_default();
            let lacking: BTreeSet<String> = present.difference(&found).cloned().collect();
            found.extend(fingerprint::ignored(folder, lacking, &self.world.env));
        }
        found.into_iter().map(|label| Ok((label.clone(), self.digest(&folder.join(&label))?))).collect()
    }

    fn revision(&self, folder: &Path) -> Result<String, String> {
        self.may_read(folder, true).map_err(|why| format!("the folder `{}` {why}", folder.display()))?;
        remember(&self.revisions, folder.to_owned(), || {
            let commit = self.world.mapping.as_ref().and_then(|mapping| mapping.revision.clone());
            match commit {
                Some(commit) if self.is_of_revision(folder) => Ok(commit),
                _ => fingerprint::revision(folder, &self.world.env),
            }
        })
    }
}

fn remember<K: std::hash::Hash + Eq, V: Clone>(known: &Known<K, V>, key: K, find: impl FnOnce() -> V) -> V {
    if let Some(value) = known.borrow().get(&key) {
        return value.clone();
    }
    let value = find();
    known.borrow_mut().insert(key, value.clone());
    value
}

fn look(path: &Path) -> FileEntry {
    use rustix::fs::{Access, access};
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(err) if matches!(err.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return FileEntry::Missing;
        }
        Err(err) => return FileEntry::Unusable(err.to_string()),
    };
    if metadata.is_dir() {
        return match access(path, Access::EXEC_OK) {
            Ok(()) => FileEntry::Folder,
            Err(err) => FileEntry::Unusable(std::io::Error::from(err).to_string()),
        };
    }
    if !metadata.is_file() {
        return FileEntry::Other;
    }
    let executable = access(path, Access::EXEC_OK).is_ok();
    if !executable && let Err(err) = access(path, Access::READ_OK) {
        return FileEntry::Unusable(std::io::Error::from(err).to_string());
    }
    FileEntry::File { executable }
}
