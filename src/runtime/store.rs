//! What should run, durably: redb in `PMRUN_HOME/state`.
//!
//! The file is data: it is never evaluated, and never reset because it cannot be read. A new one is prepared under
//! another name and moved into place whole, so an empty or torn `state` is always damage and never a fresh start.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `meta` | `format` | the digit 1 |
//! | `meta` | `generation` | a decimal number |
//! | `meta` | `boot` | which start of the machine the last daemon was of |
//! | `meta` | `key` | 32 random bytes, for digests of secrets |
//! | `meta` | `saves` | how often it was saved: a decimal number |
//! | `meta` | `strangers` | what is left alone though nobody knows it, as JSON; not there where nothing is |
//! | `apps` | name | [`AppRecord`] as JSON |
//! | `ambients` | digest | an inherited environment as JSON |
//!
//! Beside them is what was: [`generations`].
//!
//! Beside the file lie its [backups](BACKUPS): what is built anew from when it is damaged. Before it is used all of it is
//! checked on a copy ([`sound`]).
//!
//! `PMRUN_HOME/daemon.lock` says who may touch it: the daemon holds it alone, [`read`] shares it.

mod backup;
mod generations;
mod sound;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use redb::{
    Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError, WriteTransaction,
};

pub use self::backup::{BACKUPS, Backup, SAVED, backups, is_current, keep, read as read_backup, write as write_backup};
use self::generations::Ledger;
use self::sound::Locked;
use super::{AppRecord, Recall, RecallError, Recalled, Save, State};
use crate::base::Key;
use crate::plan::Generation;
use crate::platform::{LockFile, LockKind, Shared, ensure_home, random_bytes};

const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
const APPS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("apps");
const AMBIENTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("ambients");

/// What the names of damaged ones begin with; the time, and a number from the second on, follows.
pub const SET_ASIDE: &str = "state.damaged-";
/// Grows when an older pmrun could misread what this one writes.
pub const FORMAT: u32 = 1;
/// The state is read once and then only written: a cache would be memory for nothing.
const CACHE_BYTES: usize = 256 << 10;
/// Longer than a daemon needs to end after it answered, or to look around when it starts.
const KEY_PATIENCE: Duration = Duration::from_secs(2);
/// Others who read are done by then. A daemon is not: it can be asked instead.
const READ_PATIENCE: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A daemon has it; ask that one.
    #[error("the state in `{path}` is held by a running daemon")]
    Held { path: String },
    #[error("the state in `{path}` cannot be read and was left as it is: {reason}")]
    Damaged { path: String, reason: String },
    #[error("the state in `{path}` was written by a newer pmrun (its format is {format}, this one knows {FORMAT})")]
    Newer { path: String, format: String },
    #[error("cannot {doing} the state in `{path}`: {reason}")]
    Io { doing: &'static str, path: String, reason: String },
}

impl StoreError {
    /// How to go on.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Held { .. } => "it is most likely just starting or ending: try again".to_owned(),
            Self::Damaged { .. } => {
                "nothing that runs was touched; `pmrun state repair` sets it aside and builds it anew \
                                     from its backup and what runs"
                    .to_owned()
            }
            Self::Newer { .. } => "use that pmrun, or a newer one".to_owned(),
            Self::Io { path, .. } => {
                format!("see that `{path}` can be read and written, and that its disk is not full")
            }
        })
    }
}

/// The open state file. Only the daemon holds one.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// None after a write failed: redb wants to be opened anew then.
    database: Option<Database>,
    /// What this process has left of it: another may have come in its place, or none, or somebody has written to it. redb
    /// would not notice: it writes what is beyond a cut and says that all is well.
    left: Option<Left>,
    /// The file itself: what is in it is there as long as this is open, whatever becomes of its name.
    handle: Option<File>,
    /// Which environment each app refers to, so that one that nobody refers to any more can go.
    ambient_of: HashMap<String, String>,
    saves: u64,
}

impl Store {
    /// Opens or creates it. The caller holds `daemon.lock`.
    ///
    /// # Errors
    /// When it cannot be read or written, is damaged or too new.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        let (mut store, ..) = Self::take_up(home)?;
        store.wake()?;
        Ok(store)
    }

    /// The same for who is in a hurry: with what it says, and the generations whose command was at work when the last daemon was
    /// killed. That redb opens the file, and waits for the disk, is left to [`Self::wake`], or to whatever needs it first.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn take_up(home: &Path) -> Result<(Self, State, Vec<Generation>), StoreError> {
        let path = home.join("state");
        if !exists(&path)? && !backup::is_there(home) {
            let key: [u8; 32] = random_bytes().map_err(|error| io_error("create", &path, &error))?;
            create(home, &path, &State::empty(Key(key)))?;
        }
        let found = look(home, |transaction, _| generations::unfinished(transaction))?;
        let (state, unfinished) = found.ok_or_else(|| damaged(&path, "it is gone"))?;
        let ambient_of = state.apps.iter().map(|(name, record)| (name.clone(), record.ambient.clone())).collect();
        let (left, handle) = (Left::of(&path), File::open(&path).ok());
        let saves = state.saves;
        Ok((Self { path, database: None, left, handle, ambient_of, saves }, state, unfinished))
    }

    /// Opens it, where that is still to be done.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn wake(&mut self) -> Result<(), StoreError> {
        self.database().map(|_| ())
    }

    /// Closes it, which waits for the disk, until something needs it.
    pub fn sleep(&mut self) {
        let database = self.database.take();
        let _ = quietly(|| drop(database));
    }

    /// Why what is on disk is not `known`, which was saved last; none where it is.
    ///
    /// # Errors
    /// When that cannot be looked at.
    pub fn damage(&self, known: &State) -> Result<Option<String>, StoreError> {
        match sound::read(&self.path, Locked::ByUs, load) {
            Ok(State { generation, key, boot: _, saves, strangers: _, apps, ambients })
                if generation == known.generation
                    && key == known.key
                    && saves == self.saves
                    && apps == known.apps
                    && ambients == known.ambients =>
            {
                Ok(None)
            }
            Ok(_) => Ok(Some("it is not what was last saved".to_owned())),
            Err(StoreError::Damaged { reason, .. }) => Ok(Some(reason)),
            Err(StoreError::Newer { .. }) => Ok(Some("it is another pmrun's".to_owned())),
            Err(StoreError::Io { .. }) if !self.path.exists() => Ok(Some("it is gone".to_owned())),
            Err(error) => Err(error),
        }
    }

    /// How often it was written, ever.
    #[must_use]
    pub fn saves(&self) -> u64 {
        self.saves
    }

    /// Whether what is written is what the next one reads.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.database.is_none() || self.left.is_some() && Left::of(&self.path) == self.left
    }

    /// Where its name is gone and nothing else, all that is in it gets its name again. Whether that was so.
    ///
    /// # Errors
    /// When that cannot be.
    pub fn put_back(&mut self, home: &Path) -> Result<bool, StoreError> {
        let failed = |path: &Path, error: &io::Error| io_error("put back", path, error);
        let Some(mut handle) = self.handle.take().filter(|_| self.database.is_some()) else { return Ok(false) };
        if self.path.symlink_metadata().is_ok()
            || Left::of_file(&handle).map(|left| left.file) != self.left.map(|left| left.file)
        {
            return Ok(false);
        }
        let fresh = home.join("state.new");
        // Only who saves writes to it, and that is who is here.
        let mut copy = || {
            let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
            let mut to = options.open(&fresh)?;
            handle.seek(io::SeekFrom::Start(0))?;
            io::copy(&mut handle, &mut to)?;
            to.sync_all()?;
            std::fs::rename(&fresh, &self.path)?;
            backup::sync(home)
        };
        copy().map_err(|error| failed(&self.path, &error))?;
        self.sleep();
        self.database().map(|_| true)
    }

    /// # Errors
    /// When the next one could not write it.
    pub fn can_be_written(&self) -> Result<(), StoreError> {
        let opened = OpenOptions::new().write(true).open(&self.path);
        opened.map(|_| ()).map_err(|error| io_error("write", &self.path, &error))
    }

    /// Writes all of it anew, beside what is there, which is set aside as [`set_aside`] does it.
    ///
    /// # Errors
    /// When it cannot be written; what was there is there.
    pub fn renew(
        &mut self,
        home: &Path,
        state: &State,
        note: &Generation,
        now: &str,
    ) -> Result<Option<PathBuf>, StoreError> {
        // The file is to be closed, or it would be written to when that is done.
        self.sleep();
        let aside = replace(home, state, note, now)?;
        self.saves = state.saves;
        self.ambient_of = state.apps.iter().map(|(name, record)| (name.clone(), record.ambient.clone())).collect();
        Ok(aside)
    }

    /// # Errors
    /// When it cannot be read.
    pub fn load(&mut self) -> Result<State, StoreError> {
        let path = self.path.clone();
        let database = self.database()?;
        guarded(&path, || load(&begin_read(database)?, &path))
    }

    /// What was.
    ///
    /// # Errors
    /// There is no such generation, or it cannot be read.
    pub fn recall(&mut self, wanted: &Recall) -> Result<Recalled, RecallError> {
        let path = self.path.clone();
        let database = self.database().map_err(|error| RecallError::Unreadable(error.to_string()))?;
        let found = guarded(&path, || generations::recall(&begin_read(database)?, wanted));
        found.unwrap_or_else(|error: StoreError| Err(RecallError::Unreadable(error.to_string())))
    }

    /// All of it or nothing; durable when it returns. Environments that lose their last app go with it.
    ///
    /// # Errors
    /// When it cannot be written; then nothing was, and a later save may well succeed.
    pub fn save(&mut self, saves: &[Save]) -> Result<(), StoreError> {
        let path = self.path.clone();
        let changes = Changes::of(saves, &self.ambient_of);
        let number = self.saves + 1;
        let database = self.database()?;
        let written = guarded(&path, || write(database, saves, &changes.unreferenced, number));
        if let Err(error) = written {
            // An I/O error poisons the open database for good (`PreviousIo`).
            self.database = None;
            return Err(match error {
                Fault::Store(error) => error,
                Fault::Redb(error) => io_error("write", &path, &system_error(error)),
            });
        }
        self.saves = number;
        // Not by its name: that may be gone by now, or another's.
        self.left = self.handle.as_ref().and_then(Left::of_file);
        for (name, ambient) in changes.references {
            match ambient {
                Some(digest) => self.ambient_of.insert(name, digest),
                None => self.ambient_of.remove(&name),
            };
        }
        Ok(())
    }

    fn database(&mut self) -> Result<&Database, StoreError> {
        let database = if let Some(database) = self.database.take() {
            database
        } else {
            let database = open_database(&self.path)?;
            (self.left, self.handle) = (Left::of(&self.path), File::open(&self.path).ok());
            database
        };
        Ok(self.database.insert(database))
    }
}

/// Reads the state without a daemon; none when there is none yet.
///
/// # Errors
/// When it cannot be read, or a daemon holds it.
pub fn read(home: &Path) -> Result<Option<State>, StoreError> {
    Ok(reading(home, |_, _| Ok(()))?.map(|(state, ())| state))
}

/// The same of what was.
///
/// # Errors
/// When it cannot be read, or a daemon holds it; within, that there is no such generation.
pub fn read_back(home: &Path, wanted: &Recall) -> Result<Result<Recalled, RecallError>, StoreError> {
    let found = reading(home, |transaction, _| generations::recall(transaction, wanted))?;
    Ok(found.map_or_else(|| Recalled::without_any(wanted, 0), |(_, recalled)| recalled))
}

fn reading<T>(
    home: &Path,
    more: impl FnOnce(&ReadTransaction, &Path) -> Result<T, Fault>,
) -> Result<Option<(State, T)>, StoreError> {
    let path = home.join("state");
    if !exists(&path)? && !backup::is_there(home) {
        return Ok(None);
    }
    let lock = home.join("daemon.lock");
    let shared = LockFile::share(&lock, READ_PATIENCE).map_err(|error| io_error("lock", &lock, &error))?;
    if let Shared::Held = shared {
        return Err(StoreError::Held { path: path.display().to_string() });
    }
    look(home, more)
}

/// What the file says, when it is as it was written; none where there never was one. The caller holds `daemon.lock`, and
/// nothing is changed.
///
/// # Errors
/// When it is damaged, or gone and not its backup, or cannot be read.
pub fn check(home: &Path) -> Result<Option<State>, StoreError> {
    Ok(look(home, |_, _| Ok(()))?.map(|(state, ())| state))
}

/// The same, with more that is read of it.
fn look<T>(
    home: &Path,
    more: impl FnOnce(&ReadTransaction, &Path) -> Result<T, Fault>,
) -> Result<Option<(State, T)>, StoreError> {
    let path = home.join("state");
    if !exists(&path)? {
        let gone = || damaged(&path, "it is gone, and its backup is there");
        return if backup::is_there(home) { Err(gone()) } else { Ok(None) };
    }
    let found = sound::read(&path, Locked::ByOthers, |transaction, path| {
        // What it is, is said there.
        let state = load(transaction, path)?;
        Ok((state, more(transaction, path)?))
    })?;
    if backup::is_ahead(home, &found.0) {
        return Err(damaged(&path, "it is older than its backup"));
    }
    Ok(Some(found))
}

/// Which file it is and when it was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
}

impl Left {
    fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::with(&metadata))
    }

    fn of_file(file: &File) -> Option<Self> {
        file.metadata().ok().map(|metadata| Self::with(&metadata))
    }

    fn with(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { file: (metadata.dev(), metadata.ino()), length: metadata.len(), modified }
    }
}

/// Whether there is one, or a backup of one, of whatever worth.
#[must_use]
pub fn is_there(home: &Path) -> bool {
    home.join("state").symlink_metadata().is_ok() || backup::is_there(home)
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    match path.try_exists() {
        Err(error) if is_loop(&error) => Ok(true),
        found => found.map_err(|error| io_error("read", path, &error)),
    }
}

/// A link that leads back to itself is there, and no state.
fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// Makes a state what the file says, and keeps what was there under a name of its own: `state.damaged-` and the time. Never is
/// one missing, and never one of those replaced. Of what was before nothing is known from then on but the note. The
/// caller holds `daemon.lock`.
///
/// # Errors
/// When it cannot be written; what was there is there.
pub fn replace(home: &Path, state: &State, note: &Generation, now: &str) -> Result<Option<PathBuf>, StoreError> {
    let path = home.join("state");
    let fresh = home.join("state.new");
    build(&fresh, state, Some(note))?;
    let aside = set_aside(&path, now).map_err(|error| io_error("set aside", &path, &error))?;
    let placed = std::fs::rename(&fresh, &path).and_then(|()| backup::sync(home));
    placed.map_err(|error| io_error("create", &path, &error))?;
    Ok(aside)
}

/// As a second name: the first is taken over by what comes in its place. None where there is nothing.
fn set_aside(path: &Path, now: &str) -> io::Result<Option<PathBuf>> {
    for number in 1..=1_000 {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let aside = path.with_file_name(format!("{SET_ASIDE}{now}{suffix}"));
        match std::fs::hard_link(path, &aside) {
            Ok(()) => return Ok(Some(aside)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // Not every file system has second names.
            Err(_) if !aside.try_exists()? => return std::fs::rename(path, &aside).map(|()| Some(aside)),
            Err(_) => {}
        }
    }
    Err(io::Error::other("there are a thousand of these"))
}

/// The key of a home, which is made, with an empty state, where there is none yet: digests that are kept (`diff --out`)
/// have to mean the same later.
///
/// # Errors
/// When it cannot be read or made, or a daemon holds it.
pub fn key(home: &Path) -> Result<Key, StoreError> {
    let path = home.join("daemon.lock");
    ensure_home(home).map_err(|error| io_error("create", home, &error))?;
    let _lock = LockFile::acquire(&path, LockKind::Exclusive, KEY_PATIENCE)
        .map_err(|error| io_error("lock", &path, &error))?
        .ok_or_else(|| StoreError::Held { path: home.join("state").display().to_string() })?;
    Ok(Store::open(home)?.load()?.key)
}

/// What a list of saves means for the environments.
struct Changes {
    references: Vec<(String, Option<String>)>,
    unreferenced: Vec<String>,
}

impl Changes {
    fn of(saves: &[Save], before: &HashMap<String, String>) -> Self {
        let mut after: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        for (name, record) in saves.iter().filter_map(Save::app) {
            after.insert(name, record.map(|record| record.ambient.as_str()));
        }
        let lost = after.keys().filter_map(|name| before.get(*name));
        let still_used = |digest: &String| {
            after.values().flatten().any(|used| used == digest)
                || before.iter().any(|(name, used)| used == digest && !after.contains_key(name.as_str()))
        };
        let mut unreferenced: Vec<String> = lost.filter(|digest| !still_used(digest)).cloned().collect();
        unreferenced.sort_unstable();
        unreferenced.dedup();
        let owned = |(name, digest): (&str, Option<&str>)| (name.to_owned(), digest.map(str::to_owned));
        Self { references: after.into_iter().map(owned).collect(), unreferenced }
    }
}

/// What may go wrong between here and the disk.
enum Fault {
    Store(StoreError),
    Redb(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

fn create(home: &Path, path: &Path, state: &State) -> Result<(), StoreError> {
    let fresh = home.join("state.new");
    build(&fresh, state, None)?;
    let placed = std::fs::rename(&fresh, path).and_then(|()| backup::sync(home));
    placed.map_err(|error| io_error("create", path, &error))
}

/// A whole one under a name of its own.
fn build(fresh: &Path, state: &State, note: Option<&Generation>) -> Result<(), StoreError> {
    let failed = |error: &io::Error| io_error("create", fresh, error);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(fresh);
    let file = file.map_err(|error| failed(&error))?;
    // Of what was there is nothing: it begins with the note, or the next save.
    let fill = || -> Result<(), Fault> {
        let database = redb::Builder::new().set_cache_size(CACHE_BYTES).create_file(file)?;
        let transaction = begin_write(&database)?;
        {
            let mut meta = transaction.open_table(META)?;
            let (generation, saves) = (state.generation.to_string(), state.saves.to_string());
            meta.insert("format", FORMAT.to_string().as_bytes())?;
            meta.insert("generation", generation.as_bytes())?;
            meta.insert("key", state.key.0.as_slice())?;
            meta.insert("boot", state.boot.as_bytes())?;
            meta.insert("saves", saves.as_bytes())?;
            if !state.strangers.is_empty() {
                meta.insert("strangers", json(&state.strangers)?.as_slice())?;
            }
            let mut apps = transaction.open_table(APPS)?;
            for (name, record) in &state.apps {
                apps.insert(name.as_str(), json(record)?.as_slice())?;
            }
            let mut ambients = transaction.open_table(AMBIENTS)?;
            for (digest, variables) in &state.ambients {
                ambients.insert(digest.as_str(), json(variables.as_ref())?.as_slice())?;
            }
        }
        transaction.commit()?;
        let Some(note) = note else { return Ok(()) };
        let notes = [Save::Generation(note.number), Save::Began(Box::new(note.clone()))];
        write(&database, &notes, &[], state.saves)
    };
    guarded(fresh, fill).map_err(|fault| {
        // What is left of it only takes room.
        let _ = std::fs::remove_file(fresh);
        match fault {
            Fault::Store(error) => error,
            Fault::Redb(error) => io_error("create", fresh, &system_error(error)),
        }
    })
}

fn open_database(path: &Path) -> Result<Database, StoreError> {
    // redb would take an empty file for a new database.
    let metadata = std::fs::metadata(path).map_err(|error| io_error("open", path, &error))?;
    if metadata.len() == 0 {
        return Err(damaged(path, "the file is empty"));
    }
    let open = || redb::Builder::new().set_cache_size(CACHE_BYTES).open(path);
    patiently(|| guarded_open(path, open).map_err(|error| open_error(path, error)))
}

/// What was closed a moment ago is locked still while a child that was started meanwhile has its copy of the descriptor:
/// from its fork to its exec (flock(2), execve(2)). Who really holds the file holds `daemon.lock`, and that is asked first.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    const PAUSES_MS: [u64; 6] = [1, 3, 10, 30, 100, 300];
    for ms in PAUSES_MS {
        match attempt() {
            Err(StoreError::Held { .. }) => std::thread::sleep(Duration::from_millis(ms)),
            other => return other,
        }
    }
    attempt()
}

fn begin_read(database: &impl ReadableDatabase) -> Result<ReadTransaction, Fault> {
    Ok(database.begin_read()?)
}

fn begin_write(database: &Database) -> Result<WriteTransaction, Fault> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    Ok(transaction)
}

fn load(transaction: &ReadTransaction, path: &Path) -> Result<State, Fault> {
    let wrong = |reason: String| Fault::Store(damaged(path, &reason));
    let meta = match transaction.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Err(wrong("it is not pmrun's".to_owned())),
        other => other?,
    };
    let text = |name: &str| -> Result<Option<String>, Fault> {
        Ok(meta.get(name)?.map(|value| String::from_utf8_lossy(value.value()).into_owned()))
    };
    let format = text("format")?.unwrap_or_default();
    match format.parse::<u32>() {
        Ok(FORMAT) => {}
        Ok(newer) if newer > FORMAT => {
            return Err(Fault::Store(StoreError::Newer { path: path.display().to_string(), format }));
        }
        _ => return Err(wrong(format!("its format `{format}` is unknown"))),
    }
    let generation = text("generation")?.and_then(|text| text.parse().ok());
    let boot = text("boot")?.unwrap_or_default();
    let saves = text("saves")?.and_then(|text| text.parse().ok()).unwrap_or(0);
    let strangers = text("strangers")?.map_or(Ok(Vec::new()), |text| serde_json::from_str(&text));
    let strangers = strangers.map_err(|error| wrong(format!("whom it leaves alone: {error}")))?;
    let key = meta.get("key")?.and_then(|value| value.value().try_into().ok()).map(Key);
    let mut apps: BTreeMap<String, AppRecord> = BTreeMap::new();
    for entry in transaction.open_table(APPS)?.iter()? {
        let (name, value) = entry?;
        let record = serde_json::from_slice(value.value());
        let record = record.map_err(|error| wrong(format!("the record of app `{}`: {error}", name.value())))?;
        apps.insert(name.value().to_owned(), record);
    }
    // What only a generation that is over refers to is not read.
    let used: BTreeSet<&str> = apps.values().map(|record| record.ambient.as_str()).collect();
    let mut ambients: BTreeMap<String, Arc<BTreeMap<String, String>>> = BTreeMap::new();
    for entry in transaction.open_table(AMBIENTS)?.iter()? {
        let (digest, value) = entry?;
        if !used.contains(digest.value()) {
            continue;
        }
        let variables = serde_json::from_slice(value.value());
        let variables = variables.map_err(|error| wrong(format!("an environment: {error}")))?;
        ambients.insert(digest.value().to_owned(), Arc::new(variables));
    }
    Ok(State {
        generation: generation.ok_or_else(|| wrong("it has no generation".to_owned()))?,
        key: key.ok_or_else(|| wrong("it has no key".to_owned()))?,
        boot,
        saves,
        strangers,
        apps,
        ambients,
    })
}

fn write(database: &Database, saves: &[Save], unreferenced: &[String], number: u64) -> Result<(), Fault> {
    let transaction = begin_write(database)?;
    {
        let mut meta = transaction.open_table(META)?;
        let mut apps = transaction.open_table(APPS)?;
        let mut ambients = transaction.open_table(AMBIENTS)?;
        meta.insert("saves", number.to_string().as_bytes())?;
        let mut ledger = Ledger::begin(&transaction, &meta, &apps)?;
        for save in saves {
            match save {
                Save::App(name, record) => {
                    apps.insert(name.as_str(), json(record)?.as_slice())?;
                    ledger.set(name, Some(record))?;
                }
                Save::DeleteApp(name) => {
                    apps.remove(name.as_str())?;
                    ledger.set(name, None)?;
                }
                Save::Ambient(digest, variables) => {
                    ambients.insert(digest.as_str(), json(variables.as_ref())?.as_slice())?;
                }
                Save::Generation(generation) => {
                    meta.insert("generation", generation.to_string().as_bytes())?;
                    ledger.turn(*generation)?;
                }
                Save::Began(generation) => ledger.note(generation)?,
                Save::Ended { number, outcome } => ledger.end(*number, outcome)?,
                Save::Applied { ecosystem, number } => ledger.applied(ecosystem, *number)?,
                Save::Boot(boot) => {
                    meta.insert("boot", boot.as_bytes())?;
                }
                Save::Strangers(strangers) if strangers.is_empty() => _ = meta.remove("strangers")?,
                Save::Strangers(strangers) => {
                    meta.insert("strangers", json(strangers)?.as_slice())?;
                }
            }
        }
        // A generation may refer to them still.
        if !unreferenced.is_empty() {
            ledger.sweep_after();
        }
        ledger.finish(&mut ambients, &apps)?;
    }
    transaction.commit()?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value).map_err(|error| Fault::Redb(redb::Error::Io(error.into())))
}

/// redb asserts some of what it reads: a damaged file may panic, which must not take the caller down.
fn guarded<T, E: FaultLike>(path: &Path, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, E> {
    match quietly(work) {
        Some(result) => result.map_err(|fault| E::from_fault(path, fault)),
        None => Err(E::from_fault(path, Fault::Store(damaged(path, "its structure is broken")))),
    }
}

/// None when it panics: about that nothing is printed, it is told as damage.
fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work)).ok();
    QUIET.set(before);
    result
}

/// Whether a fault is explained at once, or by the caller.
trait FaultLike {
    fn from_fault(path: &Path, fault: Fault) -> Self;
}

impl FaultLike for Fault {
    fn from_fault(_path: &Path, fault: Fault) -> Self {
        fault
    }
}

impl FaultLike for StoreError {
    fn from_fault(path: &Path, fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => error,
            Fault::Redb(redb::Error::Io(error)) => io_error("read", path, &error),
            Fault::Redb(error) => damaged(path, &error.to_string()),
        }
    }
}

fn guarded_open<T>(path: &Path, open: impl FnOnce() -> Result<T, DatabaseError>) -> Result<T, DatabaseError> {
    quietly(open).unwrap_or_else(|| {
        Err(DatabaseError::Storage(StorageError::Corrupted(format!("the structure of `{}` is broken", path.display()))))
    })
}

fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::Held { path: path.display().to_string() },
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            io_error("open", path, &error)
        }
        DatabaseError::Storage(StorageError::Corrupted(reason)) => damaged(path, &reason),
        error => damaged(path, &error.to_string()),
    }
}

fn damaged(path: &Path, reason: &str) -> StoreError {
    StoreError::Damaged { path: path.display().to_string(), reason: reason.to_owned() }
}

fn io_error(doing: &'static str, path: &Path, error: &io::Error) -> StoreError {
    if is_loop(error) {
        return damaged(path, "it is a link that leads back to itself");
    }
    StoreError::Io { doing, path: path.display().to_string(), reason: crate::platform::reason(error) }
}

fn system_error(error: redb::Error) -> io::Error {
    match error {
        redb::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
