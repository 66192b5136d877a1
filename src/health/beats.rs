//! Times that many wait for together: one timer for all of them.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::platform::{Timer, awaitable};

#[derive(Clone, Debug)]
pub(super) struct Beats {
    waits: UnboundedSender<Wait>,
}

#[derive(Debug)]
struct Wait {
    at: Instant,
    bell: oneshot::Sender<()>,
}

impl Beats {
    /// Must be called on the loop that is to see to them.
    pub(super) fn start() -> Self {
        let (waits, waiting) = unbounded_channel();
        tokio::spawn(beat(waiting));
        Self { waits }
    }

    /// Comes with all others who wait for the same time.
    pub(super) async fn until(&self, at: Instant) {
        let (bell, comes) = oneshot::channel();
        if self.waits.send(Wait { at, bell }).is_err() || comes.await.is_err() {
            // There is no such timer on this machine.
            sleep_until(at).await;
        }
    }
}

async fn beat(mut waiting: UnboundedReceiver<Wait>) {
    let timer = Timer::new().and_then(|timer| Ok((awaitable(timer.as_fd().try_clone_to_owned()?)?, timer)));
    let Ok((ready, timer)) = timer else { return };
    let mut bells: BTreeMap<Instant, Vec<oneshot::Sender<()>>> = BTreeMap::new();
    let mut comes_at = None;
    loop {
        tokio::select! {
            wait = waiting.recv() => match wait {
                Some(Wait { at, bell }) => bells.entry(at).or_default().push(bell),
                None => return,
            },
            guard = ready.readable() => match guard {
                // What was not read is there until it is set again, and that is said once.
                Ok(mut guard) => {
                    guard.clear_ready();
                    comes_at = None;
                }
                Err(_) => return,
            },
        }
        let now = Instant::now();
        while let Some(first) = bells.first_entry().filter(|first| *first.key() <= now) {
            for bell in first.remove() {
                // Who waits no more has been told otherwise.
                let _ = bell.send(());
            }
        }
        let next = bells.first_key_value().map(|(next, _)| *next);
        if let Some(next) = next.filter(|_| comes_at != next) {
            timer.set(next.saturating_duration_since(now));
        }
        comes_at = next;
    }
}
