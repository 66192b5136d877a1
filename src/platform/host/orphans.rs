//! Sockets that nobody accepts on but the daemon, which gives those who connect there to workers of the same app.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::clustered::held;
use super::{Host, Key};
use crate::node::{Connection, Kept, Primary};
use crate::platform::sockets;
use crate::supervisor::LaunchId;

/// Others have their turn after so many.
const ACCEPTS_A_TURN: usize = 64;
/// How long a socket that is about to be closed takes those whose handshake had begun: a round trip of most. Who begins
/// one meanwhile, and comes to this socket, is heard when its system asks again, after a second (RFC 6298, section 2).
const PARTING_NS: i64 = 100_000_000;

/// A socket of a slot that has no worker just now: who connects there is given to the others.
#[derive(Debug)]
pub(super) struct Orphan {
    app: String,
    kept: Kept<Arc<OwnedFd>>,
    /// It is closed when those have come who are on their way.
    parting: bool,
}

impl Host {
    /// Sees to it that nobody waits on a socket whose slot has no worker, as long as others serve the same.
    pub(super) fn mind(&mut self, app: &str) {
        let wanted = self.clusters.get(app).map(Primary::orphans).unwrap_or_default();
        let is_wanted = |orphan: &Orphan| wanted.iter().any(|kept| kept.name == orphan.kept.name);
        self.unmind(|orphan| orphan.app == app && !orphan.parting && !is_wanted(orphan));
        for kept in wanted {
            let is_it = |orphan: &Orphan| orphan.app == app && !orphan.parting && orphan.kept.name == kept.name;
            if !self.orphans.values().any(is_it) {
                self.adopt_orphan(Orphan { app: app.to_owned(), kept, parting: false });
            }
        }
        self.give(app);
    }

    fn adopt_orphan(&mut self, orphan: Orphan) {
        // One that cannot be watched is still to be closed.
        if self.watch(&*orphan.kept.fd, Key::Orphan(self.next_orphan)).is_ok() || orphan.parting {
            self.orphans.insert(self.next_orphan, orphan);
            self.next_orphan += 1;
        }
    }

    pub(super) fn accept_for(&mut self, key: u64) {
        let Some(orphan) = self.orphans.get(&key) else { return };
        let app = orphan.app.clone();
        let is_open = match self.clusters.get_mut(&app) {
            Some(primary) => accept(primary, &orphan.kept, ACCEPTS_A_TURN),
            None => false,
        };
        // A worker may have shut it down for all.
        if !is_open && let Some(orphan) = self.orphans.remove(&key) {
            let _ = epoll::delete(&self.epoll, &*orphan.kept.fd);
        }
        self.give(&app);
    }

    /// Those who connect there are left to whoever accepts them.
    fn unmind(&mut self, which: impl Fn(&Orphan) -> bool) {
        for (_, orphan) in self.orphans.extract_if(.., |_, orphan| which(orphan)) {
            let _ = epoll::delete(&self.epoll, &*orphan.kept.fd);
        }
    }

    /// Those who have connected are told to workers.
    pub(super) fn give(&mut self, app: &str) {
        let Some(primary) = self.clusters.get_mut(app) else { return };
        let is_there = |worker: u64| {
            let running = self.running.get(&LaunchId(worker));
            running.is_some_and(|running| running.channel.is_some())
        };
        for (worker, answer) in primary.give(is_there) {
            self.tell(LaunchId(worker), Some(answer));
        }
    }

    /// Closes sockets; who has connected there already is given to others.
    pub(super) fn let_go(&mut self, app: &str, kept: Vec<Kept<Arc<OwnedFd>>>) {
        for kept in kept {
            self.unmind(|orphan| orphan.app == app && !orphan.parting && orphan.kept.name == kept.name);
            if let Some(keeper) = &self.keeper {
                keeper.release(&held(app, &kept.name));
            }
            let primary = self.clusters.get_mut(app).filter(|_| kept.endpoint.is_served() && !kept.passed);
            let Some(primary) = primary else {
                self.steer_past_the_last(app, &kept);
                sockets::close(&kept.fd, &kept.endpoint);
                self.socket_closed(app, &kept);
                continue;
            };
            // With others beside it the system goes on sending this one its part, and cuts off whom it has not handed out
            // when it is closed (tcp_migrate_req in ip-sysctl says so, and is off by default).
            let is_beside = kept.endpoint.is_by_slot() && primary.is_served(&kept.endpoint);
            if is_beside && sockets::take_no_new(&kept.fd).is_ok() {
                accept(primary, &kept, usize::MAX);
                self.adopt_orphan(Orphan { app: app.to_owned(), kept, parting: true });
                self.part_later();
            } else {
                accept(primary, &kept, usize::MAX);
                sockets::close(&kept.fd, &kept.endpoint);
                self.socket_closed(app, &kept);
            }
        }
        if self.clusters.get(app).is_some_and(Primary::is_empty) {
            self.clusters.remove(app);
        }
        // Where nobody serves the same any more, there is nobody to wait for: a stop leaves its port free.
        let served: Vec<u64> = (self.orphans.iter())
            .filter(|(_, orphan)| self.clusters.get(&orphan.app).is_some_and(|it| it.is_served(&orphan.kept.endpoint)))
            .map(|(key, _)| *key)
            .collect();
        self.close_parting(|key| !served.contains(&key));
        self.give(app);
        self.steer(app);
    }

    fn part_later(&mut self) {
        if self.parting.is_some() {
            return;
        }
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK);
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval: none, it_value: Timespec { tv_sec: 0, tv_nsec: PARTING_NS } };
        self.parting = timer.ok().filter(|timer| {
            timerfd_settime(timer, TimerfdTimerFlags::empty(), &once).is_ok() && self.watch(timer, Key::Parting).is_ok()
        });
        if self.parting.is_none() {
            self.part();
        }
    }

    /// Closes those that nobody is on their way to any more.
    pub(super) fn part(&mut self) {
        if let Some(timer) = self.parting.take() {
            let _ = epoll::delete(&self.epoll, &timer);
        }
        self.close_parting(|_| true);
    }

    fn close_parting(&mut self, which: impl Fn(u64) -> bool) {
        let parted = self.orphans.extract_if(.., |key, orphan| orphan.parting && which(*key));
        let parted: Vec<Orphan> = parted.map(|(_, orphan)| orphan).collect();
        for Orphan { app, kept, .. } in parted {
            let _ = epoll::delete(&self.epoll, &*kept.fd);
            if let Some(primary) = self.clusters.get_mut(&app) {
                accept(primary, &kept, usize::MAX);
            }
            self.steer_past_the_last(&app, &kept);
            sockets::close(&kept.fd, &kept.endpoint);
            self.socket_closed(&app, &kept);
            self.give(&app);
            self.steer(&app);
        }
    }

    pub(super) fn rename_orphans(&mut self, from: &str, to: &str) {
        for orphan in self.orphans.values_mut().filter(|orphan| orphan.parting && orphan.app == from) {
            to.clone_into(&mut orphan.app);
        }
    }
}

/// False where nobody can be accepted there any more.
fn accept(primary: &mut Primary<Arc<OwnedFd>>, kept: &Kept<Arc<OwnedFd>>, most: usize) -> bool {
    let (pending, is_open) = sockets::pending(&kept.fd, most);
    for fd in pending {
        let origin = sockets::origin(&fd);
        primary.accept(Connection { endpoint: kept.endpoint.clone(), fd: Arc::new(fd), origin });
    }
    is_open
}
