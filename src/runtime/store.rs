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
//! | `apps` | name | [`AppRecord`] as JSON |
//! | `ambients` | digest | an inherited environment as JSON |
//!
//! Beside them is what was: [`generations`].
//!
//! `PMRUN_HOME/daemon.lock` says who may touch it: the daemon holds it alone, [`read`] shares it.

mod generations;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redb::{
    Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError, WriteTransaction,
};

use self::generations::Ledger;
use super::{AppRecord, Recall, RecallError, Recalled, Save, State};
use crate::base::Key;
use crate::platform::{LockFile, LockKind, ensure_home, random_bytes};

const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
const APPS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("apps");
const AMBIENTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("ambients");

/// Grows when an older pmrun could misread what this one writes.
pub const FORMAT: u32 = 1;
/// The state is read once and then only written: a cache would be memory for nothing.
const CACHE_BYTES: usize = 1 << 20;
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
            Self::Damaged { path, .. } => format!(
                "to go on without it: mv '{path}' '{path}.damaged'; which apps there are and what should run is then \
                 forgotten, what still runs of them is ended, and `pmrun apply` of each ecosystem file starts it again"
            ),
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
    /// Which environment each app refers to, so that one that nobody refers to any more can go.
    ambient_of: HashMap<String, String>,
}

impl Store {
    /// Opens or creates it. The caller holds `daemon.lock`.
    ///
    /// # Errors
    /// When it cannot be read or written, is damaged or too new.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        let path = home.join("state");
        if !path.try_exists().map_err(|error| io_error("open", &path, &error))? {
            create(home, &path)?;
        }
        let database = open_database(&path)?;
        let state = guarded(&path, || load(&begin_read(&database)?, &path))?;
        let ambient_of = state.apps.into_iter().map(|(name, record)| (name, record.ambient)).collect();
        Ok(Self { path, database: Some(database), ambient_of })
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
        let database = self.database()?;
        let written = guarded(&path, || write(database, saves, &changes.unreferenced));
        if let Err(error) = written {
            // An I/O error poisons the open database for good (`PreviousIo`).
            self.database = None;
            return Err(match error {
                Fault::Store(error) => error,
                Fault::Redb(error) => io_error("write", &path, &system_error(error)),
            });
        }
        for (name, ambient) in changes.references {
            match ambient {
                Some(digest) => self.ambient_of.insert(name, digest),
                None => self.ambient_of.remove(&name),
            };
        }
        Ok(())
    }

    fn database(&mut self) -> Result<&Database, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open_database(&self.path)?,
        };
        Ok(self.database.insert(database))
    }
}

/// Reads the state without a daemon; none when there is none yet.
///
/// # Errors
/// When it cannot be read, or a daemon holds it.
pub fn read(home: &Path) -> Result<Option<State>, StoreError> {
    reading(home, load)
}

/// The same of what was.
///
/// # Errors
/// When it cannot be read, or a daemon holds it; within, that there is no such generation.
pub fn read_back(home: &Path, wanted: &Recall) -> Result<Result<Recalled, RecallError>, StoreError> {
    let found = reading(home, |transaction, path| {
        // What it is, is said there.
        load(transaction, path)?;
        generations::recall(transaction, wanted)
    })?;
    Ok(found.unwrap_or_else(|| Recalled::without_any(wanted, 0)))
}

fn reading<T>(
    home: &Path,
    load: impl Fn(&ReadTransaction, &Path) -> Result<T, Fault>,
) -> Result<Option<T>, StoreError> {
    let path = home.join("state");
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => return Err(io_error("read", &path, &error)),
    }
    let lock = home.join("daemon.lock");
    let held = || StoreError::Held { path: path.display().to_string() };
    let _lock = LockFile::acquire(&lock, LockKind::Shared, READ_PATIENCE)
        .map_err(|error| io_error("lock", &lock, &error))?
        .ok_or_else(held)?;
    let opened = guarded_open(&path, || redb::Builder::new().set_cache_size(CACHE_BYTES).open_read_only(&path));
    let found = match opened {
        Ok(database) => guarded(&path, || load(&begin_read(&database)?, &path)),
        // The last daemon did not close it; redb puts that right by writing. Others who read at the same moment do
        // the same, and find it open.
        Err(DatabaseError::RepairAborted) => {
            let database = open_database(&path)?;
            guarded(&path, || load(&begin_read(&database)?, &path))
        }
        Err(error) => return Err(open_error(&path, error)),
    };
    found.map(Some)
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
        for save in saves {
            match save {
                Save::App(name, record) => after.insert(name, Some(&record.ambient)),
                Save::DeleteApp(name) => after.insert(name, None),
                Save::Ambient(..)
                | Save::Generation(_)
                | Save::Began(_)
                | Save::Ended { .. }
                | Save::Applied { .. }
                | Save::Boot(_) => None,
            };
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

fn create(home: &Path, path: &Path) -> Result<(), StoreError> {
    let fresh = home.join("state.new");
    let failed = |error: &io::Error| io_error("create", &fresh, error);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&fresh);
    let file = file.map_err(|error| failed(&error))?;
    let key: [u8; 32] = random_bytes().map_err(|error| failed(&error))?;
    let fill = || -> Result<(), Fault> {
        let database = redb::Builder::new().set_cache_size(CACHE_BYTES).create_file(file)?;
        let transaction = begin_write(&database)?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert("format", FORMAT.to_string().as_bytes())?;
            meta.insert("generation", b"0".as_slice())?;
            meta.insert("key", key.as_slice())?;
            transaction.open_table(APPS)?;
            transaction.open_table(AMBIENTS)?;
        }
        transaction.commit()?;
        Ok(())
    };
    guarded(&fresh, fill).map_err(|fault| match fault {
        Fault::Store(error) => error,
        Fault::Redb(error) => io_error("create", &fresh, &system_error(error)),
    })?;
    std::fs::rename(&fresh, path).map_err(|error| failed(&error))?;
    // Without this the name itself may be lost with the power.
    File::open(home).and_then(|folder| folder.sync_all()).map_err(|error| failed(&error))
}

fn open_database(path: &Path) -> Result<Database, StoreError> {
    // redb would take an empty file for a new database.
    let metadata = std::fs::metadata(path).map_err(|error| io_error("open", path, &error))?;
    if metadata.len() == 0 {
        return Err(damaged(path, "the file is empty"));
    }
    guarded_open(path, || redb::Builder::new().set_cache_size(CACHE_BYTES).open(path))
        .map_err(|error| open_error(path, error))
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
        apps,
        ambients,
    })
}

fn write(database: &Database, saves: &[Save], unreferenced: &[String]) -> Result<(), Fault> {
    let transaction = begin_write(database)?;
    {
        let mut meta = transaction.open_table(META)?;
        let mut apps = transaction.open_table(APPS)?;
        let mut ambients = transaction.open_table(AMBIENTS)?;
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
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|fault| E::from_fault(path, fault)),
        Err(_) => Err(E::from_fault(path, Fault::Store(damaged(path, "its structure is broken")))),
    }
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
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
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
    StoreError::Io { doing, path: path.display().to_string(), reason: crate::platform::reason(error) }
}

fn system_error(error: redb::Error) -> io::Error {
    match error {
        redb::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::runtime::{InstanceRecord, Intent};
    use crate::spec::AppSpec;

    fn record(name: &str, ambient: &str) -> AppRecord {
        let spec = Arc::new(AppSpec::new(name, "/bin/true", "/"));
        let instances = BTreeMap::from([(0, InstanceRecord::new(7, Intent::Up))]);
        AppRecord { ecosystem: None, file: None, spec, ambient: ambient.to_owned(), instances }
    }

    fn ambient(digest: &str) -> Save {
        let variables =
            BTreeMap::from([("PATH".to_owned(), "/bin".to_owned()), ("ODD".to_owned(), "a\n\"é".to_owned())]);
        Save::Ambient(digest.to_owned(), Arc::new(variables))
    }

    #[test]
    fn a_key_that_was_asked_for_is_the_one_that_the_daemon_has_later() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("not/there/yet");
        let made = key(&home).unwrap();
        assert_eq!(key(&home).unwrap(), made);
        assert_eq!(Store::open(&home).unwrap().load().unwrap().key, made);
    }

    #[test]
    fn what_is_saved_is_read_back_with_and_without_a_daemon() {
        let home = tempfile::tempdir().unwrap();
        assert!(read(home.path()).unwrap().is_none(), "nothing yet, and nothing is made by looking");
        assert!(!home.path().join("state").exists());

        let mut store = Store::open(home.path()).unwrap();
        let key = store.load().unwrap().key;
        store.save(&[ambient("d"), Save::App("a".into(), record("a", "d").into()), Save::Generation(3)]).unwrap();
        store.save(&[Save::App("b b/../é".into(), record("b", "d").into()), Save::Generation(4)]).unwrap();
        store.save(&[Save::DeleteApp("a".into()), Save::Generation(5)]).unwrap();
        assert!(matches!(read(home.path()), Err(StoreError::Held { .. })));
        drop(store);

        for state in [read(home.path()).unwrap().unwrap(), Store::open(home.path()).unwrap().load().unwrap()] {
            assert_eq!(state.generation, 5);
            assert_eq!(state.key, key, "made once");
            assert_eq!(state.apps.keys().collect::<Vec<_>>(), ["b b/../é"]);
            assert_eq!(state.apps["b b/../é"], record("b", "d"));
            assert_eq!(state.ambients["d"]["ODD"], "a\n\"é");
        }
        let mode = std::fs::metadata(home.path().join("state")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn an_environment_goes_with_the_last_app_that_refers_to_it() {
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path()).unwrap();
        let digests = |store: &mut Store| store.load().unwrap().ambients.into_keys().collect::<Vec<_>>();
        store
            .save(&[
                ambient("x"),
                Save::App("a".into(), record("a", "x").into()),
                Save::App("b".into(), record("b", "x").into()),
            ])
            .unwrap();
        store.save(&[ambient("y"), Save::App("a".into(), record("a", "y").into())]).unwrap();
        assert_eq!(digests(&mut store), ["x", "y"], "b still refers to x");
        // A rename: the record leaves one name and comes under another.
        store.save(&[Save::DeleteApp("b".into()), Save::App("c".into(), record("c", "x").into())]).unwrap();
        assert_eq!(digests(&mut store), ["x", "y"]);
        drop(store);
        let mut store = Store::open(home.path()).unwrap();
        store.save(&[Save::DeleteApp("c".into())]).unwrap();
        assert_eq!(digests(&mut store), ["y"], "known after reopening too");
        store
            .save(&[Save::DeleteApp("a".into()), ambient("y"), Save::App("a".into(), record("a", "y").into())])
            .unwrap();
        assert_eq!(digests(&mut store), ["y"]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_is_left_alone() {
        let good = {
            let home = tempfile::tempdir().unwrap();
            Store::open(home.path())
                .unwrap()
                .save(&[ambient("d"), Save::App("a".into(), record("a", "d").into())])
                .unwrap();
            std::fs::read(home.path().join("state")).unwrap()
        };
        let mut flipped = good.clone();
        flipped.iter_mut().skip(4096).step_by(97).for_each(|byte| *byte ^= 0xff);
        let table: Vec<(&str, Vec<u8>)> = vec![
            ("empty", Vec::new()),
            ("text", b"not a database\n".repeat(1000)),
            ("torn", good[..good.len() / 3].to_vec()),
            ("head only", good[..100].to_vec()),
            ("flipped", flipped),
            ("zeros", vec![0; 65536]),
        ];
        for (name, bytes) in table {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("state");
            std::fs::write(&path, &bytes).unwrap();
            let error = read(home.path()).expect_err(name);
            assert!(matches!(error, StoreError::Damaged { .. }), "{name}: {error}");
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}: reading changed it");
            let error = Store::open(home.path()).expect_err(name);
            assert!(matches!(error, StoreError::Damaged { .. }), "{name}: {error}");
            assert!(error.to_string().contains("left as it is"), "{error}");
            assert!(path.exists(), "{name}");
        }
    }

    #[test]
    fn a_newer_format_is_said_and_not_touched() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let transaction = store.database.as_ref().unwrap().begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("format", b"2".as_slice()).unwrap();
        transaction.commit().unwrap();
        drop(store);
        for error in [read(home.path()).unwrap_err(), Store::open(home.path()).unwrap_err()] {
            assert!(matches!(&error, StoreError::Newer { format, .. } if format == "2"), "{error}");
        }
    }

    /// In a process whose files may not grow: that is as good as a full disk, and needs no disk.
    #[test]
    fn a_full_disk_is_said_and_the_next_save_works() {
        const INSIDE: &str = "PMRUN_TEST_FULL";
        if std::env::var_os(INSIDE).is_none() {
            let output = std::process::Command::new("/bin/sh")
                .args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$@\"", "sh"])
                .arg(std::env::current_exe().unwrap())
                .args(["runtime::store::tests::a_full_disk_is_said_and_the_next_save_works", "--exact"])
                .env(INSIDE, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            return assert!(output.status.success() && said.contains("1 passed"), "{said}");
        }
        let home = tempfile::tempdir().unwrap();
        let mut store = Store::open(home.path()).unwrap();
        store.save(&[ambient("d"), Save::App("a".into(), record("a", "d").into()), Save::Generation(1)]).unwrap();
        let big = BTreeMap::from([("BIG".to_owned(), "x".repeat(8 << 20))]);
        let saves = [Save::Ambient("big".into(), Arc::new(big)), Save::App("a".into(), record("a", "big").into())];
        for _ in 0..2 {
            let error = store.save(&saves).unwrap_err().to_string();
            assert!(error.starts_with("cannot write the state in") && error.ends_with("File too large"), "{error}");
            assert_eq!(store.load().unwrap().apps["a"].ambient, "d", "nothing was changed");
        }
        store.save(&[Save::Generation(2)]).unwrap();
        drop(store);
        let state = read(home.path()).unwrap().unwrap();
        assert_eq!((state.generation, state.apps["a"].ambient.as_str()), (2, "d"));
        assert!(state.ambients.contains_key("d"), "it is not taken for unreferenced");
    }

    #[test]
    fn a_database_that_is_not_ours_is_said() {
        let home = tempfile::tempdir().unwrap();
        Database::create(home.path().join("state")).unwrap();
        let error = Store::open(home.path()).unwrap_err();
        assert!(error.to_string().contains("it is not pmrun's"), "{error}");
    }
}
