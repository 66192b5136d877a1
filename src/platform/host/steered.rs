//! Whom of the processes that share a port the system gives who connects: nobody to one that is to relieve another and is not
//! up yet, nor to one that is about to end, which finishes first what has come to it.
//!
//! Each process of a slot that relieves another has a socket of its own for that. Where the system cannot be told (before
//! Linux 4.6, and elsewhere), and of paths and datagrams, both have the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::{Event, Host, Key};
use crate::node::{Endpoint, Kept, Steering, Worker};
use crate::platform::connections::{busy, has_any};
use crate::platform::{reason, sockets};
use crate::supervisor::LaunchId;

/// As long as it may take until those have connected whose handshake had begun: a round trip of most.
const ON_THEIR_WAY: Duration = Duration::from_millis(100);
/// How often it is looked then whether the last has been answered: of that the system tells nobody.
const LOOK: Duration = Duration::from_millis(20);
/// Of all time no more than one part of so many goes into looking.
const LOOK_SHARE: u32 = 10;
/// Between being taken from the queue and being the process's somebody is in neither, for a moment.
const LOOKS: u32 = 2;

/// A process that nobody is given to any more, and that finishes what it has begun.
#[derive(Debug)]
pub(super) struct Emptying {
    kept: Vec<Kept<Arc<OwnedFd>>>,
    since: Instant,
    /// Looks in a row that found nobody who waits.
    empty: u32,
    /// The system does not say who is not answered: nobody is, then.
    blind: bool,
}

/// Of each port, by its number and whether it is of IPv6, on which sockets somebody waits; none where the system does not say.
type Busy = BTreeMap<(u16, bool), Option<BTreeSet<u32>>>;

impl Host {
    /// Sees to it that a socket that is about to be opened for a process that relieves another is given nobody before that is
    /// up. False where both are to have the same.
    pub(super) fn is_steered_past(&mut self, app: &str, worker: Worker, endpoint: &Endpoint) -> bool {
        if !endpoint.is_by_slot() {
            return false;
        }
        let steering = self.clusters.get(app).and_then(|primary| primary.steering_beside(worker, endpoint));
        let Some(steering) = steering.filter(|steering| sockets::steer_past_the_next(steering).is_ok()) else {
            return false;
        };
        self.steered.insert((app.to_owned(), steering.endpoint), (steering.open, steering.of));
        true
    }

    /// Has the system do as it is to be by now. False where it cannot.
    pub(super) fn steer(&mut self, app: &str) -> bool {
        self.steer_anew(app, false)
    }

    /// With `anew`, whatever an earlier daemon has told it.
    pub(super) fn steer_anew(&mut self, app: &str, anew: bool) -> bool {
        let was_told = |at: &Endpoint| self.steered.keys().any(|(of, endpoint)| of == app && endpoint == at);
        let primary = self.clusters.get(app).into_iter();
        let wanted: Vec<_> = primary.flat_map(|primary| primary.steerings(|at| anew || was_told(at))).collect();
        self.steered.retain(|(of, endpoint), _| of != app || wanted.iter().any(|it| it.endpoint == *endpoint));
        let mut failed = None;
        for steering in wanted {
            let key = (app.to_owned(), steering.endpoint.clone());
            let is_so = match self.steered.get(&key) {
                Some((open, _)) => *open == steering.open && !steering.is_none(),
                None => steering.is_none(),
            };
            if is_so && !anew {
                self.steered.entry(key).and_modify(|known| known.1 = steering.of);
                continue;
            }
            match sockets::steer(&steering) {
                Ok(()) if steering.is_none() => _ = self.steered.remove(&key),
                Ok(()) => _ = self.steered.insert(key, (steering.open, steering.of)),
                Err(error) => failed = Some(error),
            }
        }
        // Where there is nothing of the kind it goes on as it does by itself.
        // So where it is forbidden, in some containers.
        let is_unknown = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) || is_no_option(error)
        };
        if let Some(error) = failed.as_ref().filter(|error| !is_unknown(error)) {
            let reason = reason(error);
            self.notice(format!(
                "cannot say who is given those who connect to `{app}`: {reason}; a reload may cut some off"
            ));
        }
        failed.is_none()
    }

    /// One of the sockets of a port is about to be closed, and the last takes its place. Between that and the next order the
    /// system would choose by itself where it was told the last, and perhaps one that is to be given nobody: so it is told
    /// another, where there is one.
    pub(super) fn steer_past_the_last(&mut self, app: &str, kept: &Kept<Arc<OwnedFd>>) {
        let Some((open, of)) = self.steered.get_mut(&(app.to_owned(), kept.endpoint.clone())) else { return };
        *of = of.saturating_sub(1);
        let last = u32::try_from(*of).unwrap_or(u32::MAX);
        if open.len() > 1 && open.contains(&last) {
            open.retain(|place| *place != last);
            let steering =
                Steering { endpoint: kept.endpoint.clone(), fd: Arc::clone(&kept.fd), open: open.clone(), of: *of };
            let _ = sockets::steer_past_the_next(&steering);
        }
    }

    /// Nobody is given to a process from now on, as long as others are there; `Drained` when it has finished what it has begun.
    pub(super) fn empty(&mut self, launch: LaunchId, app: &str) {
        let is_steered = match self.clusters.get_mut(app) {
            Some(primary) => {
                primary.give_way(launch.0);
                self.steer(app)
            }
            None => false,
        };
        let kept = self.clusters.get(app).map(|primary| primary.parting(launch.0)).unwrap_or_default();
        if !is_steered || kept.is_empty() || !self.look_soon() {
            self.events.push(Event::Drained { launch });
            return;
        }
        self.emptying.insert(launch, Emptying { kept, since: Instant::now(), empty: 0, blind: false });
    }

    /// A process has taken over from another, which may have ended before.
    pub(super) fn steer_past(&mut self, launch: LaunchId, from: LaunchId) {
        let mut members = [launch, from].into_iter().filter_map(|it| self.running.get(&it)?.member.as_ref());
        let Some(app) = members.next().map(|member| member.app.clone()) else { return };
        if let Some(member) = self.running.get_mut(&launch).and_then(|running| running.member.as_mut()) {
            member.comes = false;
        }
        if let Some(primary) = self.clusters.get_mut(&app) {
            primary.relieve(launch.0, from.0);
        }
        self.steer(&app);
    }

    pub(super) fn look_who_is_served(&mut self) {
        // Read, so that it does not tell for ever.
        let _ = self.looks.as_ref().map(|timer| rustix::io::read(timer, &mut [0; 8]));
        let began = Instant::now();
        let mut busy = Busy::new();
        let mut drained = Vec::new();
        for (launch, emptying) in &mut self.emptying {
            let Some(running) = self.running.get(launch) else {
                drained.push((*launch, false));
                continue;
            };
            if emptying.since.elapsed() >= ON_THEIR_WAY {
                emptying.empty = if emptying.is_waited_for(running.pid, &mut busy) { 0 } else { emptying.empty + 1 };
                if emptying.empty >= LOOKS {
                    drained.push((*launch, true));
                }
            }
        }
        for (launch, is_there) in drained {
            self.emptying.remove(&launch);
            if is_there {
                self.events.push(Event::Drained { launch });
            }
        }
        self.look_no_more();
        if let Some(timer) = &self.looks {
            let _ = look_after(timer, LOOK.max(began.elapsed() * LOOK_SHARE));
        }
    }

    /// It is told to end.
    pub(super) fn end_emptying(&mut self, launch: LaunchId) {
        self.emptying.remove(&launch);
        self.look_no_more();
    }

    fn look_soon(&mut self) -> bool {
        if self.looks.is_some() {
            return true;
        }
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK);
        self.looks = timer.ok().filter(|timer| look_after(timer, LOOK) && self.watch(timer, Key::Looks).is_ok());
        self.looks.is_some()
    }

    fn look_no_more(&mut self) {
        if self.emptying.is_empty()
            && let Some(timer) = self.looks.take()
        {
            let _ = epoll::delete(&self.epoll, &timer);
        }
    }
}

impl Emptying {
    /// Whether somebody has connected and is not accepted, or not answered.
    fn is_waited_for(&mut self, pid: u32, known: &mut Busy) -> bool {
        if self.kept.iter().any(|kept| sockets::is_waited_at(&kept.fd)) {
            return true;
        }
        let mut all = BTreeSet::new();
        let kept = if self.blind { [].iter() } else { self.kept.iter() };
        for Kept { endpoint, fd, .. } in kept {
            let ipv6 = sockets::is_ipv6(fd);
            match known.entry((endpoint.port, ipv6)).or_insert_with(|| busy(endpoint.port, ipv6).ok()) {
                Some(these) => all.extend(&*these),
                // It would be waited for again each time.
                None => self.blind = true,
            }
        }
        !self.blind && has_any(pid, &all)
    }
}

fn look_after(timer: &OwnedFd, time: Duration) -> bool {
    let none = Timespec { tv_sec: 0, tv_nsec: 0 };
    let time = Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(1), tv_nsec: i64::from(time.subsec_nanos()) };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: none, it_value: time }).is_ok()
}

fn is_no_option(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOPROTOOPT.raw_os_error())
}
