//! Times that many wait for together: one timer for all of them.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::platform::{Timer, awaitable};

#[derive(Clone, Debug, Default)]
pub(super) struct Beats {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// The next is another than before.
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    at: BTreeMap<Instant, Vec<oneshot::Sender<()>>>,
    /// Somebody sees to them.
    is_beaten: bool,
}

impl Beats {
    /// Comes with all others who wait for the same time.
    pub(super) async fn until(&self, at: Instant) {
        let comes = {
            let mut waiting = self.shared.lock();
            if !std::mem::replace(&mut waiting.is_beaten, true) {
                tokio::spawn(beat(Arc::clone(&self.shared)));
            }
            let (bell, comes) = oneshot::channel();
            if waiting.at.first_key_value().is_none_or(|(next, _)| at < *next) {
                self.shared.sooner.notify_one();
            }
            waiting.at.entry(at).or_default().push(bell);
            comes
        };
        if comes.await.is_err() {
            // There is no such timer on this machine.
            sleep_until(at).await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that could panic is done while it is locked.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn beat(shared: Arc<Shared>) {
    let timer = Timer::new().and_then(|timer| Ok((awaitable(timer.as_fd().try_clone_to_owned()?)?, timer)));
    let Ok((ready, timer)) = timer else {
        let mut waiting = shared.lock();
        waiting.is_beaten = false;
        waiting.at.clear();
        return;
    };
    loop {
        let next = {
            let mut waiting = shared.lock();
            let now = Instant::now();
            while let Some(first) = waiting.at.first_entry().filter(|first| *first.key() <= now) {
                for bell in first.remove() {
                    // Who waits no more has been told otherwise.
                    let _ = bell.send(());
                }
            }
            waiting.at.first_key_value().map(|(next, _)| next.saturating_duration_since(now))
        };
        if let Some(after) = next {
            timer.set(after);
        }
        tokio::select! {
            guard = ready.readable() => match guard {
                // What was not read is there until it is set again, and that is said once.
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => return,
            },
            () = shared.sooner.notified() => {}
        }
    }
}
