use std::collections::HashMap;
use std::os::fd::OwnedFd;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::base::ExitStatus;
use crate::health::{Prober, Reached, Report};
use crate::platform::{Event, Host, Reach};
use crate::supervisor::{Check, Launch, LaunchId};

/// Launches of health checks are counted from here: far above those of instances, and below what the host can tell
/// apart.
const FIRST_LAUNCH: u64 = 1 << 48;

/// Health checks, and the processes that run for them.
#[derive(Debug)]
pub(super) struct Checks {
    prober: Prober,
    running: HashMap<LaunchId, Running>,
    /// Workers that have not said yet whether they take a connection: by whose health it is.
    reaching: HashMap<LaunchId, Reaching>,
    next: u64,
}

/// A connection that a worker is to take.
#[derive(Debug)]
struct Reaching {
    seq: u64,
    near: OwnedFd,
    answer: oneshot::Sender<Reached>,
}

/// A command of a health check.
#[derive(Debug)]
struct Running {
    /// Whose health it is.
    of: LaunchId,
    answer: oneshot::Sender<Result<ExitStatus, String>>,
}

impl Checks {
    pub(super) fn new(to_loop: UnboundedSender<Report>) -> Self {
        Self { prober: Prober::new(to_loop), running: HashMap::new(), reaching: HashMap::new(), next: FIRST_LAUNCH }
    }

    pub(super) fn set(&mut self, launch: LaunchId, check: Option<Box<Check>>) {
        self.reaching.remove(&launch);
        self.prober.set(launch, check);
    }

    /// What the core is to be told.
    pub(super) fn heard(&mut self, report: Report, host: &mut Host) -> Option<(LaunchId, Result<(), String>)> {
        match report {
            Report::Probed { launch, result } => return Some((launch, result)),
            Report::Run { of, launch, answer } => self.run(of, *launch, answer, host),
            Report::Reach { of, port, answer } => {
                // Of one that was asked before and has not answered, nobody waits any more for that.
                self.reaching.remove(&of);
                // Nor for this, where nobody hears the answer.
                let _ = match host.reach(of, port) {
                    Reach::AsEverybody => answer.send(Reached::AsEverybody),
                    Reach::NotThere => answer.send(Reached::NotThere),
                    Reach::Told { seq, near } => {
                        self.reaching.insert(of, Reaching { seq, near, answer });
                        Ok(())
                    }
                };
            }
            Report::Abandon { of } => {
                for (launch, _) in self.running.iter().filter(|(_, running)| running.of == of) {
                    host.kill(*launch, true);
                }
            }
        }
        None
    }

    fn run(
        &mut self,
        of: LaunchId,
        launch: Launch,
        answer: oneshot::Sender<Result<ExitStatus, String>>,
        host: &mut Host,
    ) {
        self.next += 1;
        let id = LaunchId(self.next);
        match host.spawn(&Launch { id, ..launch }) {
            Ok(_) => _ = self.running.insert(id, Running { of, answer }),
            // Whoever asked may have gone meanwhile.
            Err(reason) => _ = answer.send(Err(reason)),
        }
    }

    /// What is not about a health check is passed on.
    pub(super) fn host_did(&mut self, event: Event, host: &mut Host) -> Option<Event> {
        match &event {
            Event::Exited { launch, status, left } => {
                let Some(running) = self.running.remove(launch) else { return Some(event) };
                let _ = running.answer.send(Ok(*status));
                if *left {
                    host.kill(*launch, true);
                }
                None
            }
            Event::Reached { launch, seq, accepted } => {
                let is_it = self.reaching.get(launch).is_some_and(|reaching| reaching.seq == *seq);
                if let Some(Reaching { near, answer, .. }) = is_it.then(|| self.reaching.remove(launch)).flatten() {
                    let _ = answer.send(if *accepted { Reached::Own(near) } else { Reached::NotThere });
                }
                None
            }
            Event::TreeGone { launch } | Event::Ready { launch } if launch.0 > FIRST_LAUNCH => None,
            _ => Some(event),
        }
    }
}
