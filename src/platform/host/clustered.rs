//! What workers of Node's cluster ask for over their channels, and the sockets that they share.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::epoll;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::running::Running;
use super::{Event, Host, Key};
use crate::base::{InstanceId, first};
use crate::node::{Answer, Endpoint, Family, Handed, Kept, PRELOAD, Primary, Query, Said, Share, Told, Worker};
use crate::platform::account::Account;
use crate::platform::connections::has_socket;
use crate::platform::sockets;
use crate::platform::spawn::account;
use crate::platform::{names, reason};
use crate::spec::{Distribution, ListenAddress, Listener};
use crate::supervisor::{Launch, LaunchId, Names};

/// A worker that listens has asked for all that it wants after this long: what nobody has by then is closed.
const SETTLED_S: i64 = 3;
/// Before the names of sockets that the keeper holds.
const HELD: &str = "listen/";

/// How a process is reached over the network.
#[derive(Debug)]
pub enum Reach {
    /// As by everybody.
    AsEverybody,
    /// By this, once it says by this number that it has the other end.
    Told { seq: u64, near: OwnedFd },
    /// Others of its app listen there, and it does not.
    NotThere,
}

/// Which sockets a process may ask for.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) app: String,
    pub(super) worker: Worker,
    /// Over its channel: a worker of Node's cluster.
    pub(super) asks: bool,
    /// What it asks for is its own until it has relieved another.
    pub(super) comes: bool,
    pub(super) account: Option<Account>,
}

impl Member {
    pub(super) fn of(launch: &Launch) -> Option<Self> {
        let worker = worker_of(launch);
        let account = account(launch).ok().flatten();
        let (app, asks, comes) = (launch.instance.app.clone(), launch.worker, launch.relieves && launch.steered);
        launch.shares_sockets().then_some(Self { app, worker, asks, comes, account })
    }
}

impl Host {
    /// Written when it is first needed; without it a worker runs all the same.
    pub(super) fn preload(&mut self, launch: &Launch) -> Option<PathBuf> {
        if !launch.preload {
            return None;
        }
        let path = Path::new(&self.home).join("preload.cjs");
        if self.preload.as_ref().is_some_and(|path| path.is_file()) {
            return self.preload.clone();
        }
        let is_there = std::fs::read(&path).is_ok_and(|found| found == PRELOAD.as_bytes());
        let fresh = path.with_extension("new");
        let write = || std::fs::write(&fresh, PRELOAD).and_then(|()| std::fs::rename(&fresh, &path));
        if let Err(error) = if is_there { Ok(()) } else { write() } {
            let reason = reason(&error);
            self.notice(format!("cannot write `{}`: {reason}; a reload may cut requests off", path.display()));
            return None;
        }
        self.preload = Some(path);
        self.preload.clone()
    }

    /// What it is given when it is started; it is there for those that come after it, too.
    ///
    /// # Errors
    /// In words.
    pub(super) fn pass_sockets(&mut self, launch: &Launch, account: Option<&Account>) -> Result<Vec<OwnedFd>, String> {
        let worker = worker_of(launch);
        let parsed = |text: &String| text.parse().map_err(|problem| format!("`{text}` (listen) {problem}"));
        let listeners: Vec<Listener> = launch.listen.iter().map(parsed).collect::<Result<_, _>>()?;
        let mut passed = Vec::with_capacity(listeners.len());
        let mut opened = Vec::new();
        let mut failed = None;
        for (listener, text) in listeners.iter().zip(&launch.listen) {
            let endpoint = endpoint(listener);
            // A worker that has such ones as well closes them only with its channel: who waits there is its successor's.
            let fresh = launch.relieves
                && launch.steered
                && !launch.worker
                && self.is_steered_past(&launch.instance.app, worker, &endpoint);
            let primary = self.clusters.entry(launch.instance.app.clone()).or_default();
            let open = |endpoint: &Endpoint, beside: bool| sockets::open_listener(endpoint, beside, account);
            let copied = primary.pass(worker, endpoint, fresh, open).map_err(std::io::Error::from_raw_os_error);
            let copied = copied.and_then(|(fd, kept)| {
                opened.extend(kept);
                fd.try_clone()
            });
            match copied {
                Ok(fd) => passed.push(fd),
                Err(error) => {
                    failed = Some(format!("cannot listen on `{text}` (listen): {}", reason(&error)));
                    break;
                }
            }
        }
        for kept in opened {
            self.have_socket_held(&launch.instance.app, &kept);
        }
        if let Some(failed) = failed {
            self.unpass(launch);
            return Err(failed);
        }
        // What one of two that both died has left, whose successor has the other's: who waits there would wait for ever.
        let unused = self.clusters.get_mut(&launch.instance.app).map(Primary::shed).unwrap_or_default();
        if !unused.is_empty() {
            self.let_go(&launch.instance.app, unused);
        }
        self.steer(&launch.instance.app);
        Ok(passed)
    }

    /// Should this daemon be killed, the next goes on with it.
    pub(super) fn have_socket_held(&mut self, app: &str, kept: &Kept<Arc<OwnedFd>>) -> bool {
        if let Some(keeper) = &self.keeper
            && let Err(error) = keeper.hold(&held(app, &kept.name), &*kept.fd)
        {
            self.notice(format!("the keeper cannot hold a socket of `{app}`: {}", reason(&error)));
            return false;
        }
        true
    }

    /// What takes the place of a socket that is closed has another name by that. At no time it has none.
    pub(super) fn socket_closed(&mut self, app: &str, kept: &Kept<Arc<OwnedFd>>) {
        let renamed = self.clusters.get_mut(app).map(|primary| primary.closed(kept)).unwrap_or_default();
        for (before, kept) in renamed {
            if self.have_socket_held(app, &kept)
                && let Some(keeper) = &self.keeper
            {
                keeper.release(&held(app, &before));
            }
        }
    }

    /// No process came of it.
    pub(super) fn unpass(&mut self, launch: &Launch) {
        if !launch.listen.is_empty()
            && let Some(primary) = self.clusters.get_mut(&launch.instance.app)
        {
            primary.gone(worker_of(launch));
            // That of one that was to relieve another is nobody's.
            let unused = if launch.relieves { primary.shed() } else { Vec::new() };
            self.let_go(&launch.instance.app, unused);
        }
    }

    /// There will be no process in this slot for some time: nobody who connects is to wait for one.
    pub fn unlisten(&mut self, instance: &InstanceId) {
        let Some(primary) = self.clusters.get_mut(&instance.app) else { return };
        let released = primary.release(instance.slot);
        self.let_go(&instance.app, released);
        self.mind(&instance.app);
    }

    /// Has a worker close what it listens on; it closes its channel when it is done with its connections. To what was passed its
    /// sockets nobody is given any more.
    pub fn drain(&mut self, launch: LaunchId) {
        if let Some(running) = self.running.get_mut(&launch) {
            running.engaged = true;
        }
        let running = self.running.get(&launch);
        let member = running.filter(|running| running.channel.is_some()).and_then(|running| running.member.clone());
        match member.filter(|member| member.asks) {
            Some(member) => {
                let answer = self.clusters.entry(member.app).or_default().disconnect(member.worker);
                self.tell(launch, Some(answer));
            }
            None => match running.and_then(|running| running.member.as_ref()).map(|member| member.app.clone()) {
                Some(app) => self.empty(launch, &app),
                None => self.events.push(Event::Drained { launch }),
            },
        }
    }

    /// An app has another name: what it listens on goes with it.
    pub fn rename(&mut self, from: &str, to: &str) {
        let Some(primary) = self.clusters.remove(from) else { return };
        if let Some(keeper) = &self.keeper {
            for kept in primary.kept() {
                keeper.release(&held(from, &kept.name));
                let _ = keeper.hold(&held(to, &kept.name), &*kept.fd);
            }
        }
        for running in self.running.values_mut() {
            if let Some(member) = running.member.as_mut().filter(|member| member.app == from) {
                to.clone_into(&mut member.app);
            }
        }
        self.clusters.insert(to.to_owned(), primary);
        self.rename_orphans(from, to);
        self.steered.retain(|(app, _), _| app != from);
        self.mind(from);
        self.mind(to);
        self.steer_anew(to, true);
    }

    /// A connection to a worker of Node's cluster, and to no other that shares the port with it; [`Event::Reached`] says whether
    /// it takes it.
    pub fn reach(&mut self, launch: LaunchId, port: u16) -> Reach {
        let running = self.running.get(&launch).filter(|running| running.channel.is_some());
        let member = running.and_then(|running| running.member.as_ref()).filter(|member| member.asks);
        let Some(primary) = member.and_then(|member| self.clusters.get_mut(&member.app)) else {
            return Reach::AsEverybody;
        };
        let mut near = None;
        let handed = primary.hand(launch.0, port, || {
            let (ours, its) = sockets::pair().ok()?;
            near = Some(ours);
            Some(Arc::new(its))
        });
        match (handed, near) {
            (Handed::Told { seq, answer }, Some(near)) => {
                self.tell(launch, Some(answer));
                Reach::Told { seq, near }
            }
            (Handed::NotThere, _) => Reach::NotThere,
            (Handed::Unknown | Handed::Told { .. }, _) => Reach::AsEverybody,
        }
    }

    pub(super) fn channel_readable(&mut self, launch: LaunchId) {
        let Some(running) = self.running.get_mut(&launch) else { return };
        let Some(channel) = &mut running.channel else { return };
        let heard = channel.read(&mut self.scratch, self.heeds);
        self.events
            .extend(heard.messages.into_iter().map(|message| Event::Said { launch, message: Box::new(message) }));
        for said in heard.said {
            match said {
                Said::Ready => self.events.push(Event::Ready { launch }),
                Said::Offer(offer) => self.take_offer(launch, offer),
                said => self.worker_said(launch, said),
            }
        }
        let Some(running) = self.running.get_mut(&launch) else { return };
        if heard.closed {
            // The keeper has it open still: without that it would be told for ever that it is closed.
            if let Some(channel) = running.channel.take() {
                let _ = epoll::delete(&self.epoll, &channel);
            }
            running.closed = true;
            // One that never spoke there has nothing to do with it: a wrapper, say, that closes what it does not know.
            if running.is_worker() && running.engaged {
                self.events.push(Event::Drained { launch });
            }
        } else {
            self.flush_channel(launch);
        }
    }

    /// Sends what waits, and asks to be told when more of it can be sent.
    pub(super) fn flush_channel(&mut self, launch: LaunchId) {
        let Some(running) = self.running.get_mut(&launch) else { return };
        let Some(channel) = &mut running.channel else { return };
        channel.flush();
        if channel.is_waiting() != running.writing {
            running.writing = channel.is_waiting();
            let more = if running.writing { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let data = epoll::EventData::new_u64(Key::Channel(launch).encode());
            let _ = epoll::modify(&self.epoll, channel, data, epoll::EventFlags::IN | more);
        }
    }

    fn worker_said(&mut self, launch: LaunchId, said: Said) {
        if said == Said::Handle {
            self.tell(launch, None);
            return;
        }
        if let Some(running) = self.running.get_mut(&launch) {
            running.engaged = true;
        }
        let member = self.running.get(&launch).and_then(|running| running.member.clone());
        let Some(member) = member.filter(|member| member.asks) else { return };
        match said {
            Said::Query(query) => self.worker_asks(launch, &member, *query),
            Said::Listening(endpoint) => {
                // Bun says that it listens on what it has opened itself.
                if endpoint.is_none_or(|endpoint| endpoint.is_served()) {
                    self.events.push(Event::Listening { launch });
                }
                self.sweep_later();
            }
            Said::Close { key } => {
                if let Some(primary) = self.clusters.get_mut(&member.app) {
                    primary.close(member.worker, &key);
                }
                self.mind(&member.app);
            }
            Said::Took { ack, accepted } => {
                if self.clusters.get_mut(&member.app).is_some_and(|primary| primary.took(ack, accepted)) {
                    self.mind(&member.app);
                } else {
                    self.events.push(Event::Reached { launch, seq: ack, accepted });
                }
            }
            Said::Leaving { seq } => {
                let answer = self.clusters.entry(member.app.clone()).or_default().leave(member.worker, seq);
                self.tell(launch, Some(answer));
                self.mind(&member.app);
            }
            Said::Ready | Said::Handle | Said::Arrived | Said::Lost | Said::Offer(_) | Said::Other => {}
        }
    }

    fn worker_asks(&mut self, launch: LaunchId, member: &Member, query: Query) {
        // PM2 is one primary for all: its apps may share a port, as the workers of one do.
        let others = query.endpoint.as_ref().filter(|_| names(Path::new(&self.home)) == Names::Pm2);
        let is_shared = others.is_some_and(|endpoint| {
            self.clusters.iter().any(|(app, primary)| *app != member.app && primary.has(endpoint))
        });
        let is_to_come = member.comes
            && member.worker.share == Share::BySlot
            && self.clusters.get(&member.app).is_some_and(|primary| primary.is_beside(member.worker));
        let fresh = is_to_come
            && !is_shared
            && (query.endpoint.as_ref())
                .is_some_and(|endpoint| self.is_steered_past(&member.app, member.worker, endpoint));
        let primary = self.clusters.entry(member.app.clone()).or_default();
        let account = member.account.as_ref();
        let answered = primary.query(member.worker, query, fresh, |query, endpoint, beside| {
            sockets::open(query, endpoint, beside || is_shared, account)
        });
        let Some((answer, opened)) = answered else { return };
        if let Some(kept) = opened {
            self.have_socket_held(&member.app, &kept);
        }
        self.tell(launch, Some(answer));
        self.mind(&member.app);
        self.steer(&member.app);
    }

    /// None tells that a descriptor has arrived.
    pub(super) fn tell(&mut self, launch: LaunchId, answer: Option<Answer<Arc<OwnedFd>>>) {
        let Some(running) = self.running.get_mut(&launch) else { return };
        let Some(channel) = &mut running.channel else { return };
        match answer {
            Some(answer) => {
                channel.answer(answer);
            }
            None => channel.acknowledge(),
        }
        self.flush_channel(launch);
    }

    pub(super) fn worker_gone(&mut self, running: &Running) {
        if let Some(member) = &running.member
            && let Some(primary) = self.clusters.get_mut(&member.app)
        {
            primary.gone(member.worker);
            let unused = primary.shed();
            if !unused.is_empty() {
                self.let_go(&member.app, unused);
            }
            self.mind(&member.app);
            self.steer(&member.app);
        }
    }

    /// Closes what nobody has asked for again.
    pub(super) fn sweep_sockets(&mut self) {
        // Read, so that it does not tell for ever.
        let timer = self.sweep.as_ref().map(|timer| rustix::io::read(timer, &mut [0; 8]));
        if !matches!(timer, Some(Ok(_))) {
            return;
        }
        let apps: Vec<String> = self.clusters.keys().cloned().collect();
        for app in apps {
            if let Some(primary) = self.clusters.get_mut(&app) {
                let unused = primary.sweep();
                self.let_go(&app, unused);
                self.give(&app);
            }
        }
    }

    fn sweep_later(&mut self) {
        if self.sweep.is_none() {
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK);
            self.sweep = timer.ok().filter(|timer| self.watch(timer, Key::Sweep).is_ok());
        }
        let at = Timespec { tv_sec: SETTLED_S, tv_nsec: 0 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        if let Some(timer) = &self.sweep {
            let _ = timerfd_settime(timer, TimerfdTimerFlags::empty(), &once);
        }
    }

    /// Goes on with what an earlier daemon had open for apps.
    pub(super) fn take_over_sockets(&mut self) {
        let names: Vec<String> = self.held.keys().filter(|name| name.starts_with(HELD)).cloned().collect();
        for name in names {
            let Some((app, socket)) = name.strip_prefix(HELD).and_then(parts) else { continue };
            let Some(fd) = self.held.remove(&name) else { continue };
            let unused = self.clusters.entry(app.clone()).or_default().take_over(socket, Arc::new(fd));
            // The keeper is told to let go of it, as of all that nobody takes over.
            self.come_down.insert(app.clone());
            self.held.extend(unused.and_then(|(socket, fd)| Some((held(&app, &socket), Arc::into_inner(fd)?))));
        }
    }

    /// Where it relieves another, that serves in its slot.
    pub(super) fn take_over_member(&mut self, launch: &Launch) {
        self.find_lost(launch);
        if let Some(running) = self.running.get(&launch.id)
            && let Some(member) = &running.member
        {
            let primary = self.clusters.entry(member.app.clone()).or_default();
            primary.adopt(member.worker, launch.relieves, |fd| has_socket(running.pid, fd));
        }
    }

    /// By name, copies of what is open.
    pub(super) fn held_sockets(&self) -> impl Iterator<Item = (String, OwnedFd)> {
        let all = self.clusters.iter().flat_map(|(app, primary)| primary.kept().map(move |kept| (app, kept)));
        all.filter_map(|(app, kept)| Some((held(app, &kept.name), kept.fd.try_clone().ok()?)))
    }
}

fn worker_of(launch: &Launch) -> Worker {
    let share = match launch.distribution {
        Distribution::Reuseport => Share::BySlot,
        Distribution::Shared => Share::One,
        Distribution::RoundRobin => Share::Told(Told::RoundRobin),
        Distribution::Sticky => Share::Told(Told::Sticky),
    };
    Worker { id: launch.id.0, slot: first(launch.instance.slot), share }
}

pub(super) fn endpoint(listener: &Listener) -> Endpoint {
    let inet = |of4, of6, address: Option<IpAddr>, port| {
        let family = if address.is_some_and(|address| address.is_ipv4()) { of4 } else { of6 };
        Endpoint { port, ..Endpoint::new(family, address.map(|address| address.to_string())) }
    };
    match &listener.address {
        ListenAddress::Tcp { address, port } => inet(Family::Tcp4, Family::Tcp6, *address, *port),
        ListenAddress::Udp { address, port } => inet(Family::Udp4, Family::Udp6, *address, *port),
        ListenAddress::Unix(path) => Endpoint::new(Family::Unix, Some(path.clone())),
    }
}

/// An app's name may hold anything: its length tells where it ends.
pub(super) fn held(app: &str, socket: &str) -> String {
    format!("{HELD}{}:{app}{socket}", app.len())
}

fn parts(name: &str) -> Option<(String, &str)> {
    let (length, rest) = name.split_once(':')?;
    let (app, socket) = rest.split_at_checked(length.parse().ok()?)?;
    Some((app.to_owned(), socket))
}
