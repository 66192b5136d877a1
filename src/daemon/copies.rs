use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::log;
use crate::platform::give_back;
use crate::runtime::store;
use crate::runtime::{Save, State};

/// What is saved together, as the waves of a command are, is copied together.
const LULL: Duration = Duration::from_millis(20);
/// Between two copies, as a multiple of what the last one took: what is saved again and again is not copied each time.
const PAUSE_TIMES: u32 = 9;
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long there was none when memory is given back.
const QUIET: Duration = Duration::from_secs(1);

/// The thread that keeps a backup of the state beside it. It copies what was said to be saved and not what the disk says:
/// no damage gets from there into a backup. Nobody waits for it.
#[derive(Debug)]
pub(super) struct Copies {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    latest: Mutex<Latest>,
    woken: Condvar,
}

#[derive(Debug)]
struct Latest {
    state: State,
    /// No copy says this yet.
    stale: bool,
    ended: bool,
}

impl Copies {
    pub(super) fn start(home: &Path, state: State) -> std::io::Result<Self> {
        let latest = Mutex::new(Latest { state, stale: false, ended: false });
        let shared = Arc::new(Shared { latest, woken: Condvar::new() });
        let (home, theirs) = (home.to_owned(), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("backup".to_owned()).stack_size(512 << 10).spawn(move || {
            theirs.look(&home);
            theirs.copy_all(&home);
        })?;
        Ok(Self { shared, thread })
    }

    /// What is on disk from now on.
    pub(super) fn saved(&self, saves: &[Save]) {
        let mut latest = self.shared.lock();
        latest.state.apply(saves);
        latest.stale = true;
        self.shared.woken.notify_one();
    }

    /// Where somebody has taken the copy away, there is another.
    pub(super) fn look(&self, home: &Path) {
        self.shared.look(home);
        self.shared.woken.notify_one();
    }

    pub(super) fn latest(&self) -> State {
        self.shared.lock().state.clone()
    }

    /// Returns when the last copy is written.
    pub(super) fn finish(self) {
        self.shared.lock().ended = true;
        self.shared.woken.notify_one();
        let _ = self.thread.join();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody waits meanwhile for what is read.
    fn look(&self, home: &Path) {
        let state = self.lock().state.clone();
        let stale = !store::is_current(home, &state);
        self.lock().stale |= stale;
    }

    fn copy_all(&self, home: &Path) {
        let mut troubled = false;
        while let Some(state) = self.next() {
            let begun = Instant::now();
            let written = store::write_backup(home, &state, now_ms());
            drop(state);
            if let Err(error) = &written
                && !troubled
            {
                log::line(format_args!("{error}; what is saved is saved all the same"));
            }
            troubled = written.is_err();
            let pause = if troubled { PAUSE_MAX } else { (begun.elapsed() * PAUSE_TIMES).min(PAUSE_MAX) };
            let mut latest = self.pause(self.lock(), pause);
            if troubled {
                if latest.ended {
                    return;
                }
                latest.stale = true;
            }
            self.rest(latest);
        }
    }

    /// Mostly a copy is what is done last: what it took is given back where there is not soon another.
    fn rest(&self, latest: MutexGuard<'_, Latest>) {
        let waited = self.woken.wait_timeout_while(latest, QUIET, |latest| !latest.stale && !latest.ended);
        let (latest, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(latest);
        if timeout.timed_out() {
            give_back();
        }
    }

    /// Not at the end.
    fn pause<'a>(&self, latest: MutexGuard<'a, Latest>, time: Duration) -> MutexGuard<'a, Latest> {
        let waited = self.woken.wait_timeout_while(latest, time, |latest| !latest.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// None at the end.
    fn next(&self) -> Option<State> {
        let latest = self.lock();
        let waited = self.woken.wait_while(latest, |latest| !latest.stale && !latest.ended);
        let mut latest = self.pause(waited.unwrap_or_else(PoisonError::into_inner), LULL);
        std::mem::take(&mut latest.stale).then(|| latest.state.clone())
    }
}

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Where a copy of the state is that a command asked for.
pub(super) fn keep(home: &Path, state: &State) -> Result<PathBuf, store::StoreError> {
    store::keep(home, state, now_ms()).map(|()| home.join(store::SAVED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Key;

    #[test]
    fn the_last_thing_that_was_saved_is_in_the_last_copy() {
        let home = tempfile::tempdir().unwrap();
        let copies = Copies::start(home.path(), State::empty(Key([1; 32]))).unwrap();
        for generation in 1..=50 {
            copies.saved(&[Save::Generation(generation)]);
        }
        copies.finish();
        let (_, newest) = store::backups(home.path()).remove(0);
        let newest = newest.unwrap().state;
        assert_eq!((newest.generation, newest.saves), (50, 50));
        assert!(store::is_current(home.path(), &newest));
    }
}
