use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags, open, statat};

use super::head::SLICE;
use super::{Packer, Right, rotate_in_turns};
use crate::platform::{low_priority, reason};
use crate::spec::Rotation;

/// How often files are looked at that hardly grow: what an app may write at most beyond its log's size is what it
/// writes in this time. A look at a thousand files is some two milliseconds.
const CALM: Duration = Duration::from_secs(30);
/// Of what has just been started.
const FIRST: Duration = Duration::from_secs(1);
/// Of files that grow fast.
const HASTY: Duration = Duration::from_millis(250);
/// Who keeps the daemon busy for ever keeps no log from being looked at.
const PENDING_MAX: usize = 4_096;

/// The thread that keeps logs small. It sleeps without a timeout when there is nothing to look at.
#[derive(Debug)]
pub struct Rotator {
    orders: Sender<Vec<Order>>,
    packer: Packer,
    /// Not sent yet. Woken for each of them, the thread would take its time from what starts five hundred apps.
    pending: RefCell<Vec<Order>>,
}

#[derive(Debug)]
enum Order {
    /// Somebody writes to these.
    Look(u64, Vec<PathBuf>, Rotation),
    Change(u64, Rotation),
    Forget(u64),
}

/// The folders of one round of looks. A thousand logs lie in one or two: found from there, each costs the system a step
/// instead of one for every folder above it. They are told apart as they are written: by its parts a path is compared ten times
/// as slowly.
#[derive(Debug, Default)]
struct Folders {
    known: HashMap<OsString, Option<OwnedFd>>,
    /// That of the file before, which is that of the next one mostly.
    last: Option<(OsString, Option<OwnedFd>)>,
}

impl Folders {
    /// None when there is no such file, or it cannot be looked at.
    fn size(&mut self, path: &Path) -> Option<u64> {
        let text = path.as_os_str().as_bytes();
        let slash = memchr::memrchr(b'/', text)?;
        // Of a file in the root, the root.
        let (folder, name) = (OsStr::from_bytes(&text[..slash.max(1)]), OsStr::from_bytes(&text[slash + 1..]));
        if self.last.as_ref().is_none_or(|(last, _)| last != folder) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let found = self.known.remove(folder).unwrap_or_else(|| open(folder, flags, Mode::empty()).ok());
            self.known.extend(self.last.replace((folder.to_owned(), found)));
        }
        let folder = self.last.as_ref()?.1.as_ref()?;
        u64::try_from(statat(folder, name, AtFlags::empty()).ok()?.st_size).ok()
    }
}

#[derive(Debug)]
struct Watched {
    rotation: Rotation,
    bytes: u64,
    looked: Instant,
    next: Instant,
    /// That it could not be rotated was said.
    said: bool,
    /// It is too big still, and was cut as far as is done at a time.
    more: bool,
}

impl Rotator {
    /// `say` gets a line for the daemon's log.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(logs: PathBuf, budget: u64, say: fn(String)) -> std::io::Result<Self> {
        let (orders, heard) = channel();
        let packer = Packer::new(logs.clone(), budget, say);
        let files = Files { packer: packer.clone(), ..Files::new(logs, budget, say) };
        let run = move || {
            let mut files = files;
            low_priority();
            files.run(&heard);
        };
        std::thread::Builder::new().name("rotator".to_owned()).stack_size(512 << 10).spawn(run)?;
        Ok(Self { orders, packer, pending: RefCell::default() })
    }

    /// What is not compressed yet is left to who comes next.
    pub fn stop(&self) {
        self.packer.stop();
    }

    /// There is time for it now.
    pub fn flush(&self) {
        let pending = self.pending.take();
        if !pending.is_empty() {
            // The thread ends only with this sender.
            let _ = self.orders.send(pending);
        }
    }

    fn order(&self, order: Order) {
        self.pending.borrow_mut().push(order);
        if self.pending.borrow().len() >= PENDING_MAX {
            self.flush();
        }
    }

    pub fn look(&self, writer: u64, files: Vec<PathBuf>, rotation: Rotation) {
        self.order(Order::Look(writer, files, rotation));
    }

    pub fn change(&self, writer: u64, rotation: Rotation) {
        self.order(Order::Change(writer, rotation));
    }

    /// It writes no more; what it has written is looked at once again.
    pub fn forget(&self, writer: u64) {
        self.order(Order::Forget(writer));
    }
}

#[derive(Debug)]
struct Files {
    writers: BTreeMap<u64, Vec<PathBuf>>,
    /// Some are watched that nobody writes to any more, or may be.
    forgotten: bool,
    watched: HashMap<PathBuf, Watched>,
    logs: PathBuf,
    packer: Packer,
    say: fn(String),
}

impl Files {
    fn new(logs: PathBuf, budget: u64, say: fn(String)) -> Self {
        let packer = Packer::new(logs.clone(), budget, say);
        Self { writers: BTreeMap::new(), forgotten: false, watched: HashMap::new(), logs, packer, say }
    }

    fn run(&mut self, orders: &Receiver<Vec<Order>>) {
        loop {
            let order = match self.watched.values().map(|file| file.next).min() {
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(next) => orders.recv_timeout(next.saturating_duration_since(Instant::now())),
            };
            match order {
                Ok(orders) => orders.into_iter().for_each(|order| self.obey(order)),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Look(writer, paths, rotation) => {
                for path in &paths {
                    self.set(path, &rotation);
                }
                self.forgotten |= self.writers.insert(writer, paths).is_some();
            }
            Order::Change(writer, rotation) => {
                for path in self.writers.get(&writer).cloned().unwrap_or_default() {
                    self.set(&path, &rotation);
                }
            }
            Order::Forget(writer) => self.forgotten |= self.writers.remove(&writer).is_some(),
        }
    }

    fn set(&mut self, path: &Path, rotation: &Rotation) {
        let now = Instant::now();
        if let Some(known) = self.watched.get_mut(path) {
            if known.rotation != *rotation {
                (known.rotation, known.next) = (rotation.clone(), now + HASTY);
            }
            return;
        }
        self.packer.resume(path, None, rotation.compress && rotation.max_size > 0);
        let bytes = path.metadata().map_or(0, |meta| meta.len());
        let file =
            Watched { rotation: rotation.clone(), bytes, looked: now, next: now + FIRST, said: false, more: false };
        self.watched.insert(path.to_owned(), file);
    }

    fn look(&mut self) {
        let now = Instant::now();
        let mut folders = Folders::default();
        let due = self.watched.iter_mut().filter(|(_, file)| file.is_due(now));
        // Most of a thousand have hardly grown: nothing is to be done about those.
        let full: Vec<PathBuf> =
            due.filter_map(|(path, file)| (!file.glance(folders.size(path))).then(|| path.clone())).collect();
        for path in full {
            self.look_at(&path, true);
        }
        if self.forgotten {
            let written: HashSet<&PathBuf> = self.writers.values().flatten().collect();
            self.watched.retain(|path, file| file.looked < now || file.more || written.contains(path));
            self.forgotten = self.watched.len() > written.len();
        }
    }

    fn due(&self, now: Instant) -> Vec<PathBuf> {
        self.watched.iter().filter(|(_, file)| file.is_due(now)).map(|(path, _)| path.clone()).collect()
    }

    /// While it is copied, those have their turn that take no time.
    fn look_at(&mut self, path: &PathBuf, takes_turns: bool) {
        let Some(mut file) = self.watched.remove(path) else { return };
        let (logs, say) = (self.logs.clone(), self.say);
        let mut turn = || {
            let due = if takes_turns { self.due(Instant::now()) } else { Vec::new() };
            for path in due.iter().filter(|path| path.metadata().is_ok_and(|meta| meta.len() <= SLICE)) {
                self.look_at(path, false);
            }
        };
        let is_rotated = file.look(path, &logs, say, &mut turn);
        if is_rotated {
            self.packer.pack(path.clone(), None, file.rotation.compress);
        }
        self.watched.insert(path.clone(), file);
    }
}

impl Watched {
    /// What is due soon is looked at as well.
    fn is_due(&self, now: Instant) -> bool {
        self.next <= now + self.next.saturating_duration_since(self.looked) / 4
    }

    /// False when it is to be rotated; else all is done that there is to do.
    fn glance(&mut self, bytes: Option<u64>) -> bool {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.looked);
        match bytes {
            Some(bytes) if self.is_full(bytes) => return false,
            Some(bytes) => {
                let pause = pause(grown(bytes, self.bytes), passed, self.rotation.max_size);
                self.next = now + if self.said { CALM } else { pause };
                self.bytes = bytes;
            }
            None => self.next = now + CALM,
        }
        self.looked = now;
        true
    }

    fn is_full(&self, bytes: u64) -> bool {
        self.rotation.max_size > 0 && bytes >= self.rotation.max_size
    }

    /// Whether it was rotated.
    fn look(&mut self, path: &Path, logs: &Path, say: fn(String), turn: &mut dyn FnMut()) -> bool {
        let now = Instant::now();
        self.more = false;
        let Ok(meta) = path.metadata() else {
            (self.looked, self.next) = (now, now + CALM);
            return false;
        };
        let grown = grown(meta.len(), self.bytes);
        let passed = now.saturating_duration_since(self.looked);
        let mut rotated = false;
        if self.is_full(meta.len()) {
            let _right = logs.parent().and_then(|home| Right::wait(home, path));
            match rotate_in_turns(path, &self.rotation, turn) {
                Ok(done) => (rotated, self.said) = (done, false),
                Err(error) if self.said => drop(error),
                Err(error) => {
                    self.said = true;
                    say(format!("cannot rotate `{}`: {}", path.display(), reason(&error)));
                }
            }
        }
        let now = Instant::now();
        self.bytes = path.metadata().map_or(0, |meta| meta.len());
        // There is more of it, when others have had their turn.
        self.more = rotated && meta.len() > SLICE && self.is_full(self.bytes);
        let next = if self.said {
            CALM
        } else if self.more {
            Duration::ZERO
        } else {
            pause(grown, passed, self.rotation.max_size)
        };
        (self.looked, self.next) = (now, now + next);
        rotated
    }
}

/// What is smaller than it was has been emptied, and was written since.
fn grown(bytes: u64, before: u64) -> u64 {
    bytes.checked_sub(before).unwrap_or(bytes)
}

/// Half the time in which a file that grows like this becomes too big.
fn pause(grown: u64, passed: Duration, max_size: u64) -> Duration {
    let passed_ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
    match (max_size / 2).saturating_mul(passed_ms).checked_div(grown) {
        Some(ms) => Duration::from_millis(ms).clamp(HASTY, CALM),
        // It rests, or was looked at a moment ago.
        None => passed.saturating_mul(2).clamp(HASTY, CALM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::rotate::rotated;

    #[test]
    fn who_is_copied_for_long_keeps_nobody_from_being_rotated() {
        let home = tempfile::tempdir().unwrap();
        let [huge, small] = ["huge.log", "small.log"].map(|name| home.path().join(name));
        std::fs::write(&huge, "a line\n".repeat(3_000_000)).unwrap();
        std::fs::write(&small, "a line\n".repeat(3_000)).unwrap();
        let mut files = Files::new(home.path().to_owned(), u64::MAX, |line| panic!("{line}"));
        for (path, max_size) in [(&huge, 20 << 20), (&small, 10_000)] {
            let now = Instant::now();
            let rotation = Rotation { max_size, retain: 3, compress: false };
            files
                .watched
                .insert(path.clone(), Watched { rotation, bytes: 0, looked: now, next: now, said: false, more: false });
        }
        files.look_at(&huge, true);
        assert!([&huge, &small].iter().all(|log| !rotated(log).is_empty()));
        files.packer.finish();
    }

    #[test]
    fn sizes_are_found_from_their_folders() {
        let home = tempfile::tempdir().unwrap();
        let [log, link] = ["a ☃.log", "link.log"].map(|name| home.path().join(name));
        std::fs::write(&log, "four").unwrap();
        std::os::unix::fs::symlink(&log, &link).unwrap();
        let mut folders = Folders::default();
        let missing = [home.path().join("no.log"), home.path().join("no").join("a.log"), PathBuf::from("/")];
        assert_eq!([&log, &link].map(|path| folders.size(path)), [Some(4), Some(4)]);
        assert_eq!(missing.map(|path| folders.size(&path)), [None; 3]);
        // That of each, and the root.
        assert_eq!(folders.known.len() + 1, 3);
    }

    #[test]
    fn what_grows_fast_is_looked_at_often() {
        let s = Duration::from_secs;
        assert_eq!([(7, 5), (5, 5), (4, 5), (0, 5)].map(|(bytes, before)| grown(bytes, before)), [2, 0, 4, 0]);
        assert_eq!(pause(0, s(30), 10 << 20), CALM);
        assert_eq!(pause(0, Duration::ZERO, 10 << 20), HASTY);
        assert_eq!(pause(0, s(2), 10 << 20), s(4));
        assert_eq!(pause(1, s(30), 10 << 20), CALM);
        assert_eq!(pause(10 << 20, s(10), 10 << 20), s(5));
        assert_eq!(pause(u64::MAX, s(1), 10 << 20), HASTY);
    }
}
