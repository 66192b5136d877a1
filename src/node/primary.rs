use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Endpoint, Family, Query};

/// More sockets than this no app has open at a time: a worker that asks without end would use up the descriptors of all.
const SOCKETS_MAX: usize = 256;
/// Nor do more than this wait who were accepted for a worker that went before it took them.
const WAITING_MAX: usize = 1_024;
/// Nor are more than these on their way to workers of which the primary accepts all: the rest wait in the system's queue.
const GIVEN_MAX: usize = 256;

/// A process that shares the sockets of its app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Tells it from every other, earlier ones included.
    pub id: u64,
    pub slot: u32,
    pub share: Share,
}

/// How the workers of an app share out who connects, where that can be chosen: datagrams, and ports that are yet to be
/// found, come to one socket for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// Each slot has a socket.
    #[default]
    BySlot,
    /// There is one for all.
    One,
    /// Workers are told who has come, as [`Told`] says.
    Told(Told),
}

/// Whom a connection is given to that the primary has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Who has the fewest that it has not taken yet.
    RoundRobin,
    /// By the client's address the same one, as long as it is there.
    Sticky,
}

/// What a worker is sent: a line with its end, and the descriptor that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<F> {
    pub line: Vec<u8>,
    pub fd: Option<F>,
}

/// A socket and the name by which another primary can go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<F> {
    pub name: String,
    pub endpoint: Endpoint,
    pub fd: F,
    /// Nobody who has it can be told of connections.
    pub passed: bool,
}

/// The sockets of one app, and who of its workers uses them.
///
/// They stay open while no worker does: who connects between a crash and the next start waits for an answer and is not
/// refused. They go when the slot is let go of, or when those that came after ask for others.
#[derive(Debug)]
pub struct Primary<F> {
    sockets: BTreeMap<Name, Socket<F>>,
    /// Slots that have, or are about to have, a worker.
    slots: BTreeSet<u32>,
    /// And those that there are, with their slots.
    workers: BTreeMap<u64, u32>,
    /// Those of them that an earlier primary looked after.
    adopted: BTreeSet<u64>,
    /// Who is about to end and is told nothing more, nor given anybody.
    leaving: BTreeSet<u64>,
    /// Who has sockets of its own and is given nobody by the system, as long as others are there.
    aside: BTreeMap<u64, Aside>,
    /// The sockets of each port in the order in which the system has them that shares out who connects: as they began to
    /// listen; when one is closed, the last takes its place (`reuseport_detach_sock` in the kernel's sock_reuseport.c).
    groups: BTreeMap<Endpoint, Vec<Seat>>,
    /// Those of them whose order an earlier primary has not left: nobody knows which place is whose.
    unordered: BTreeSet<Endpoint>,
    /// Connections that were accepted here and given to a worker that has not said yet whether it takes them: by the number of
    /// the message, with the worker.
    given: BTreeMap<u64, (u64, Connection<F>)>,
    /// And those for which there is no worker.
    waiting: VecDeque<Connection<F>>,
    /// Numbers what is sent.
    seq: u64,
}

/// Somebody who has connected, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection<F> {
    pub endpoint: Endpoint,
    pub fd: F,
    /// Of where it comes from.
    pub origin: u64,
}

/// Whether one worker can be reached by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handed<F> {
    /// It says by this number whether it takes it.
    Told { seq: u64, answer: Answer<F> },
    /// Others listen there, or are to, and it does not.
    NotThere,
    /// It is no port that workers share.
    Unknown,
}

/// Why a process is given nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aside {
    /// It is to relieve another of its slot, if that is there, and is not up yet.
    Comes,
    /// It is about to end.
    Goes,
}

/// To which of the sockets of a port the system is to give those who connect, by their places in its own order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steering<F> {
    pub endpoint: Endpoint,
    /// Any of them.
    pub fd: F,
    pub open: Vec<u32>,
    /// How many there are.
    pub of: usize,
}

impl<F> Steering<F> {
    /// Whether it is as the system does by itself.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.open.len() == self.of
    }
}

/// Which socket it is. As text it goes through other programs: what is added later is optional.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Name {
    #[serde(flatten)]
    endpoint: Endpoint,
    /// Of several servers with any port, which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    /// Where each slot has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot: Option<u32>,
    /// It is given to processes when they are started, and not when they ask for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    passed: bool,
    /// Nobody has it but the primary, which tells workers who has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<Told>,
    /// Of those of a slot that one process after the other has: who relieves another may have one of its own.
    #[serde(default, skip_serializing_if = "is_zero")]
    turn: u64,
}

/// A socket in the order of its port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seat {
    name: Name,
    /// It is about to be closed, and has its place until it is.
    closing: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A name with what belongs to it.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    /// Of one that a slot has: which it is of those of its port, from 0 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<usize>,
}

#[derive(Debug)]
struct Socket<F> {
    fd: F,
    written: String,
    /// As it is written.
    place: Option<usize>,
    data: Option<Value>,
    /// Workers that have it, and whether that is known for sure: of those that an earlier primary looked after it is presumed.
    users: BTreeMap<u64, bool>,
    /// Who had it last was to be given nobody, and nobody is before another has it: it may be closed instead.
    left: bool,
}

impl Name {
    fn of(endpoint: Endpoint, index: u64, slot: u32, share: Share) -> Self {
        let index = (endpoint.port == 0 && endpoint.family != Family::Unix).then_some(index);
        let slot = (endpoint.is_by_slot() && share == Share::BySlot).then_some(slot);
        let told = match share {
            // Who comes by a path has no address.
            Share::Told(_) if endpoint.family == Family::Unix => Some(Told::RoundRobin),
            Share::Told(told) if endpoint.is_served() && index.is_none() => Some(told),
            _ => None,
        };
        Self { endpoint, index, slot, passed: false, told, turn: 0 }
    }

    /// Whether they differ in nothing but the turn.
    fn is_turn_of(&self, other: &Self) -> bool {
        Self { turn: other.turn, ..self.clone() } == *other
    }

    /// What workers call it: the same in all slots, so that what waits in one's can be given to another's.
    fn key(&self) -> String {
        let Self { endpoint, index, slot: _, passed: _, told: _, turn: _ } = self;
        let address = endpoint.address.as_deref().unwrap_or("*");
        let index = index.map(|index| format!(":{index}")).unwrap_or_default();
        format!("{address}:{}:{:?}:{}{index}", endpoint.port, endpoint.family, u8::from(endpoint.ipv6_only))
    }
}

impl<F> Default for Primary<F> {
    fn default() -> Self {
        Self {
            sockets: BTreeMap::new(),
            slots: BTreeSet::new(),
            workers: BTreeMap::new(),
            adopted: BTreeSet::new(),
            leaving: BTreeSet::new(),
            aside: BTreeMap::new(),
            groups: BTreeMap::new(),
            unordered: BTreeSet::new(),
            given: BTreeMap::new(),
            waiting: VecDeque::new(),
            seq: 0,
        }
    }
}

impl<F: Clone> Primary<F> {
    /// Whether some worker shares a socket there.
    pub fn has(&self, endpoint: &Endpoint) -> bool {
        self.sockets.keys().any(|name| name.endpoint == *endpoint)
    }

    /// A worker wants to listen. `open` opens what there is none of yet; its last argument says whether it is opened beside
    /// others of the same app. It fails with the system's number. `fresh`: as in [`Self::pass`].
    ///
    /// With the answer comes what was opened for it. As from node's own there is no answer for who is leaving: a socket that comes
    /// while its channel is about to close would end it by an assertion of node's.
    pub fn query(
        &mut self,
        worker: Worker,
        query: Query,
        fresh: bool,
        open: impl FnOnce(&Query, &Endpoint, bool) -> Result<F, i32>,
    ) -> Option<(Answer<F>, Option<Kept<F>>)> {
        (!self.leaving.contains(&worker.id)).then(|| self.answer(worker, query, fresh, open))
    }

    fn answer(
        &mut self,
        worker: Worker,
        query: Query,
        fresh: bool,
        open: impl FnOnce(&Query, &Endpoint, bool) -> Result<F, i32>,
    ) -> (Answer<F>, Option<Kept<F>>) {
        self.slots.insert(worker.slot);
        self.workers.insert(worker.id, worker.slot);
        let seq = query.seq;
        let Some(endpoint) = query.endpoint.clone().filter(|_| query.fd.is_none()) else {
            // A number of ours means nothing to it.
            let errno = if query.fd.is_some() { Errno::BADF } else { Errno::INVAL };
            return (self.refusal(seq, "", errno.raw_os_error()), None);
        };
        let mut name = Name::of(endpoint, query.index, worker.slot, worker.share);
        let key = name.key();
        // Where there is no room for one of its own, it has what the others have.
        let fresh = fresh && name.slot.is_some() && self.sockets.len() < SOCKETS_MAX;
        if name.slot.is_some() {
            name.turn = self.turn(worker.id, &name, fresh);
        }
        let mut opened = None;
        match self.sockets.get(&name).map(|socket| socket.users.get(&worker.id)) {
            // As if it had tried to bind it itself.
            Some(Some(true)) => return (self.refusal(seq, &key, Errno::ADDRINUSE.raw_os_error()), None),
            Some(_) => {}
            None if self.sockets.len() >= SOCKETS_MAX => {
                return (self.refusal(seq, &key, Errno::MFILE.raw_os_error()), None);
            }
            None => {
                let is_beside = |other: &Name| other.endpoint == name.endpoint && *other != name;
                // What a worker has whose sockets were lost with an earlier primary nobody knows: it may be this one.
                let beside = self.sockets.keys().any(is_beside) || self.is_blind();
                match open(&query, &name.endpoint, beside) {
                    Err(errno) => return (self.refusal(seq, &key, errno), None),
                    Ok(fd) => {
                        let data = self.data_of(&name).or_else(|| query.data.clone());
                        opened = Some(self.insert(&name, fd, data));
                    }
                }
            }
        }
        if fresh {
            self.come(worker.id);
        }
        // It has this one, so not those that it was presumed to have: they would wait for it for ever.
        for (other, socket) in &mut self.sockets {
            if *other != name && other.is_turn_of(&name) && socket.users.get(&worker.id) == Some(&false) {
                socket.users.remove(&worker.id);
            }
        }
        let seq_out = self.next();
        let Some(socket) = self.sockets.get_mut(&name) else {
            return (self.refusal(seq, &key, Errno::INVAL.raw_os_error()), None);
        };
        socket.users.insert(worker.id, true);
        socket.left = false;
        // The first who brings some has it for all.
        socket.data = socket.data.take().or(query.data);
        let inner = json!({
            "cmd": "NODE_CLUSTER", "ack": seq, "seq": seq_out, "key": key, "errno": 0, "data": socket.data
        });
        if name.told.is_some() {
            // Without a descriptor node's worker waits to be told.
            let mut inner = inner;
            inner["sockname"] = sockname(&name.endpoint);
            return (Answer { line: line(&inner), fd: None }, opened);
        }
        let answer = Answer { line: handle(name.endpoint.handle_type(), &inner), fd: Some(socket.fd.clone()) };
        (answer, opened)
    }

    /// A process that is about to be started is given a socket; as [`Self::query`]. `fresh`: it relieves another, and has one of
    /// its own, to which nobody is given before it is up.
    ///
    /// # Errors
    /// The system's number.
    pub fn pass(
        &mut self,
        worker: Worker,
        endpoint: Endpoint,
        fresh: bool,
        open: impl FnOnce(&Endpoint, bool) -> Result<F, i32>,
    ) -> Result<(F, Option<Kept<F>>), i32> {
        let mut name = Name { passed: true, ..Name::of(endpoint, 0, worker.slot, Share::BySlot) };
        if let Some(last) = self.sockets.keys().filter(|other| other.is_turn_of(&name)).map(|other| other.turn).max() {
            name.turn = last + u64::from(fresh);
        }
        let mut opened = None;
        if !self.sockets.contains_key(&name) {
            let is_beside = |other: &Name| other.endpoint == name.endpoint && *other != name;
            let fd = open(&name.endpoint, self.sockets.keys().any(is_beside) || self.is_blind())?;
            opened = Some(self.insert(&name, fd, None));
        }
        self.slots.insert(worker.slot);
        self.workers.insert(worker.id, worker.slot);
        if fresh {
            self.come(worker.id);
        }
        let socket = self.sockets.get_mut(&name).ok_or(Errno::INVAL.raw_os_error())?;
        socket.users.insert(worker.id, true);
        socket.left = false;
        Ok((socket.fd.clone(), opened))
    }

    /// Nobody is given to a process that is to relieve another, before it has.
    fn come(&mut self, worker: u64) {
        // Who was to relieve one that is gone by now is relieved itself.
        let beside: Vec<u64> = self.beside(worker).collect();
        if beside.iter().all(|other| self.aside.contains_key(other)) {
            self.aside.retain(|other, aside| *aside == Aside::Goes || !beside.contains(other));
        }
        self.aside.insert(worker, Aside::Comes);
    }

    /// Which of the sockets of its slot is the one of a worker that asks: that which it has; of a `fresh` one, one that nobody
    /// else has; else the last, but for that of who is yet to take over.
    fn turn(&self, worker: u64, name: &Name, fresh: bool) -> u64 {
        let same = || self.sockets.iter().filter(|(other, _)| other.is_turn_of(name));
        let last = |of: &mut dyn Iterator<Item = (&Name, &Socket<F>)>| of.map(|(other, _)| other.turn).max();
        if let Some((own, _)) = same().find(|(_, socket)| socket.users.get(&worker) == Some(&true)) {
            return own.turn;
        }
        if fresh {
            let taken = last(&mut same().filter(|(_, socket)| socket.users.keys().any(|user| *user != worker)));
            let free = last(&mut same().filter(|(other, _)| taken.is_some_and(|taken| other.turn > taken)));
            return free.or(taken.map(|taken| taken + 1)).or_else(|| last(&mut same())).unwrap_or_default();
        }
        let comes = |user: &u64| self.aside.get(user) == Some(&Aside::Comes);
        let older = last(&mut same().filter(|(_, socket)| !socket.users.keys().any(comes)));
        older.or_else(|| last(&mut same())).unwrap_or_default()
    }

    /// How the system is to share out who connects to a port while a process begins to listen that relieves another and has a
    /// socket of its own there: to those that there are. None where there is nothing to relieve, or what there is is not known.
    #[must_use]
    pub fn steering_beside(&self, worker: Worker, endpoint: &Endpoint) -> Option<Steering<F>> {
        let mut own =
            self.sockets.iter().filter(|(name, _)| name.endpoint == *endpoint && name.slot == Some(worker.slot));
        let is_served = own.any(|(_, socket)| socket.users.keys().any(|user| *user != worker.id));
        let is_known = !self.is_blind() && !self.unordered.contains(endpoint);
        if is_known && is_served { self.steering(endpoint) } else { None }
    }

    /// Whether somebody is there whom a worker can relieve.
    #[must_use]
    pub fn is_beside(&self, worker: Worker) -> bool {
        self.workers.iter().any(|(other, slot)| *other != worker.id && *slot == worker.slot)
    }

    /// The same of each port of which sockets were passed, or of which a process has one of its own, as it is now; and of those
    /// of which the system `was_told` something, which may be over.
    pub fn steerings(&self, was_told: impl Fn(&Endpoint) -> bool) -> impl Iterator<Item = Steering<F>> {
        let has_own = |seat: &Seat| (seat.name.passed || seat.name.turn > 0) && !seat.closing;
        let steered = self.groups.iter().filter(move |(at, group)| was_told(at) || group.iter().any(has_own));
        steered.filter_map(|(endpoint, _)| self.steering(endpoint))
    }

    fn steering(&self, endpoint: &Endpoint) -> Option<Steering<F>> {
        let seats = self.groups.get(endpoint)?;
        let fd = seats.iter().find(|seat| !seat.closing).and_then(|seat| self.sockets.get(&seat.name))?.fd.clone();
        let of = seats.len();
        // Of sockets that nobody here knows some are before these.
        if self.is_blind() || self.unordered.contains(endpoint) {
            return Some(Steering { endpoint: endpoint.clone(), fd, open: (0..).take(of).collect(), of });
        }
        let open = places(seats, |name| self.is_open(name, seats));
        // Where all are about to end, or nobody has come yet.
        let manned = || places(seats, |name| self.is_manned(name));
        let open = Some(open).filter(|open| !open.is_empty()).unwrap_or_else(manned);
        let open = Some(open).filter(|open| !open.is_empty()).unwrap_or_else(|| places(seats, |_| true));
        Some(Steering { endpoint: endpoint.clone(), fd, open, of })
    }

    /// Whether the system is to give somebody to a socket, by itself, of those of its port.
    fn is_open(&self, name: &Name, all: &[Seat]) -> bool {
        let Some(socket) = self.sockets.get(name).filter(|_| name.slot.is_some()) else { return true };
        if self.is_manned(name) {
            return !socket.users.keys().all(|user| self.is_aside(*user));
        }
        // It waits for who is started anew, unless that has another. Who is about to end is not started anew.
        let stays = |other: &Name| {
            let users = self.sockets.get(other).into_iter().flat_map(|socket| socket.users.keys());
            users.into_iter().any(|user| self.aside.get(user) != Some(&Aside::Goes))
        };
        let mut others = all.iter().filter(|seat| !seat.closing).map(|seat| &seat.name);
        !socket.left && !others.any(|other| other.is_turn_of(name) && other != name && stays(other))
    }

    fn is_manned(&self, name: &Name) -> bool {
        self.sockets.get(name).is_some_and(|socket| !socket.users.is_empty())
    }

    fn is_aside(&self, worker: u64) -> bool {
        match self.aside.get(&worker) {
            Some(Aside::Goes) => true,
            Some(Aside::Comes) => self.beside(worker).any(|other| !self.aside.contains_key(&other)),
            None => false,
        }
    }

    /// The others of its slot.
    fn beside(&self, worker: u64) -> impl Iterator<Item = u64> {
        let slot = self.workers.get(&worker);
        let all = self.workers.iter().filter(move |(other, of)| **other != worker && Some(*of) == slot);
        all.map(|(other, _)| *other)
    }

    /// A process is about to end: nobody is given to it any more, as long as others are there. Who is beside it takes over.
    pub fn give_way(&mut self, worker: u64) {
        // Unless that is about to end, too: where it is relieved and its relief is stopped.
        for other in self.beside(worker).collect::<Vec<_>>() {
            if self.aside.get(&other) == Some(&Aside::Comes) {
                self.aside.remove(&other);
            }
        }
        if self.workers.contains_key(&worker) {
            self.aside.insert(worker, Aside::Goes);
        }
    }

    /// One has taken over from another, which may have ended before.
    pub fn relieve(&mut self, worker: u64, from: u64) {
        self.aside.remove(&worker);
        self.give_way(from);
    }

    /// The sockets of a process that nobody is given to any more, all of them for itself: who has connected there has to be
    /// served before it ends. Empty where others take them, or may still come.
    pub fn parting(&self, worker: u64) -> Vec<Kept<F>> {
        let is_its = |socket: &Socket<F>| socket.users.keys().eq([&worker]);
        let is_closed = |name: &Name| {
            let place = self.groups.get(&name.endpoint).and_then(|group| seat_of(group, name));
            let steering = self.steering(&name.endpoint);
            place
                .zip(steering)
                .is_some_and(|(place, it)| it.open.iter().all(|open| usize::try_from(*open) != Ok(place)))
        };
        let its = self.sockets.iter().filter(|(name, socket)| name.passed && is_its(socket) && is_closed(name));
        its.map(|(name, socket)| socket.kept(name)).collect()
    }

    /// Closes what was passed to processes and is not to those that came after them; and what nobody uses because all
    /// who would have asked for the same in another way. A later primary would take it for used.
    pub fn shed(&mut self) -> Vec<Kept<F>> {
        let superseded: BTreeSet<Name> =
            self.sockets.iter().filter(|one| self.is_superseded(one)).map(|one| one.0.clone()).collect();
        let mut closed = self.close_unused(|name| name.passed);
        closed.extend(self.remove(|name, _| superseded.contains(name)));
        closed
    }

    fn is_superseded(&self, (name, socket): &(&Name, &Socket<F>)) -> bool {
        if name.passed || !socket.users.is_empty() {
            return false;
        }
        let asks = |worker: u64| {
            let same = self.sockets.iter().filter(|(other, _)| other.endpoint == name.endpoint && !other.passed);
            same.into_iter().any(|(_, socket)| socket.users.contains_key(&worker))
        };
        let would = |of: u32| name.slot.is_none_or(|slot| slot == of);
        let mut there = self.workers.iter().filter(|(_, slot)| would(**slot)).map(|(worker, _)| *worker).peekable();
        there.peek().is_some() && there.all(asks)
    }

    /// A worker that an earlier primary looked after: what it has of what there is, nobody knows. Of several that processes of its
    /// slot were passed `has` says which; `beside` says that another serves there.
    pub fn adopt(&mut self, worker: Worker, beside: bool, has: impl Fn(&F) -> bool) {
        self.slots.insert(worker.slot);
        self.workers.insert(worker.id, worker.slot);
        self.adopted.insert(worker.id);
        if beside {
            self.aside.insert(worker.id, Aside::Comes);
        }
        let is_of_slot = |name: &Name| name.slot.is_none_or(|slot| slot == worker.slot);
        let doubtful = self.sockets.iter().filter(|(name, _)| is_of_slot(name) && self.has_other_turns(name));
        let (its, mut turns): (Vec<Name>, Vec<Name>) = doubtful
            .map(|(name, _)| name.clone())
            .partition(|name| self.sockets.get(name).is_some_and(|it| has(&it.fd)));
        // Where it seems to have none it cannot be seen.
        turns.retain(|name| its.iter().any(|one| one.is_turn_of(name)));
        for (name, socket) in &mut self.sockets {
            if is_of_slot(name) && !turns.contains(name) {
                socket.users.entry(worker.id).or_insert(false);
            }
        }
    }

    fn has_other_turns(&self, name: &Name) -> bool {
        self.sockets.keys().any(|other| other != name && other.is_turn_of(name))
    }

    /// Whether something runs that was given sockets of which nothing has come down to this primary.
    fn is_blind(&self) -> bool {
        let is_known = |worker: &u64| self.sockets.values().any(|socket| socket.users.contains_key(worker));
        !self.adopted.iter().all(is_known)
    }

    /// Goes on with a socket of an earlier primary. What is of no use comes back, by its name: one that nobody can make sense
    /// of, or of two for the same socket the older.
    pub fn take_over(&mut self, name: &str, fd: F) -> Option<(String, F)> {
        let Ok(Written { name: which, data, place }) = serde_json::from_str(name) else {
            return Some((name.to_owned(), fd));
        };
        let socket = Socket { fd, written: name.to_owned(), place, data, users: BTreeMap::new(), left: false };
        let known = self.sockets.remove(&which);
        // One that is moved is moved forward: the later is the one with the lower place.
        let (socket, older) = match known {
            Some(known) if known.place.is_some_and(|before| place.is_none_or(|place| before <= place)) => {
                (known, Some(socket))
            }
            known => (socket, known),
        };
        let endpoint = which.endpoint.clone();
        self.sit(&which);
        self.sockets.insert(which, socket);
        if let Some(group) = self.groups.get_mut(&endpoint) {
            let place = |seat: &Seat| self.sockets.get(&seat.name).and_then(|socket| socket.place);
            group.sort_by_key(place);
            // Of one alone there is no doubt.
            if group.len() < 2 || (0..).zip(&*group).all(|(at, seat)| place(seat) == Some(at)) {
                self.unordered.remove(&endpoint);
            } else {
                self.unordered.insert(endpoint);
            }
        }
        older.map(|older| (older.written, older.fd))
    }

    /// A socket that a worker was found to have which an earlier primary looked after and whose own have not come down. To be said
    /// before [`Self::adopt`]. None where it is known. Nobody knows its place among those of its port.
    pub fn found(
        &mut self,
        worker: Worker,
        endpoint: Endpoint,
        passed: bool,
        fd: F,
        is_same: impl Fn(&F) -> bool,
    ) -> Option<Kept<F>> {
        let share = if passed { Share::BySlot } else { worker.share };
        let mut name = Name { passed, ..Name::of(endpoint, 0, worker.slot, share) };
        if name.told.is_some() || name.index.is_some() || self.sockets.len() >= SOCKETS_MAX {
            return None;
        }
        while let Some(known) = self.sockets.get(&name) {
            if name.slot.is_none() || is_same(&known.fd) {
                return None;
            }
            name.turn += 1;
        }
        if name.endpoint.is_by_slot() {
            self.unordered.insert(name.endpoint.clone());
        }
        Some(self.insert(&name, fd, None))
    }

    /// One that has just begun to listen.
    fn insert(&mut self, name: &Name, fd: F, data: Option<Value>) -> Kept<F> {
        let place = self.sit(name);
        let written = write(name, data.as_ref(), place);
        let socket = Socket { fd, written, place, data, users: BTreeMap::new(), left: false };
        let kept = socket.kept(name);
        self.sockets.insert(name.clone(), socket);
        kept
    }

    /// It is the last of its port. Its place, where that is to be written.
    fn sit(&mut self, name: &Name) -> Option<usize> {
        if !name.endpoint.is_by_slot() {
            return None;
        }
        // When those close that nobody here knows, the others change places.
        if self.is_blind() {
            self.unordered.insert(name.endpoint.clone());
        }
        let group = self.groups.entry(name.endpoint.clone()).or_default();
        if seat_of(group, name).is_none() {
            group.push(Seat { name: name.clone(), closing: false });
        }
        let is_known = name.slot.is_some() && !self.unordered.contains(&name.endpoint);
        seat_of(group, name).filter(|_| is_known)
    }

    /// A socket that was let go of is closed now, and the last of its port has its place. Which have another name by that: the
    /// one before, and what is kept by the new one.
    pub fn closed(&mut self, kept: &Kept<F>) -> Vec<(String, Kept<F>)> {
        let Ok(Written { name, .. }) = serde_json::from_str(&kept.name) else { return Vec::new() };
        let is_blind = self.is_blind();
        let Some(group) = self.groups.get_mut(&name.endpoint) else { return Vec::new() };
        if let Some(place) = group.iter().position(|seat| seat.closing && seat.name == name) {
            group.swap_remove(place);
        }
        if group.len() < 2 && !is_blind {
            self.unordered.remove(&name.endpoint);
        }
        let mut renamed = Vec::new();
        for (place, seat) in group.iter().enumerate().filter(|(_, seat)| seat.name.slot.is_some() && !seat.closing) {
            let Some(socket) = self.sockets.get_mut(&seat.name) else { continue };
            let place = Some(place).filter(|_| !self.unordered.contains(&name.endpoint));
            if socket.place != place {
                socket.place = place;
                let written = write(&seat.name, socket.data.as_ref(), place);
                renamed.push((std::mem::replace(&mut socket.written, written), socket.kept(&seat.name)));
            }
        }
        if group.is_empty() {
            self.groups.remove(&name.endpoint);
        }
        renamed
    }

    /// A worker has closed a server.
    pub fn close(&mut self, worker: Worker, key: &str) {
        for (name, socket) in &mut self.sockets {
            if socket.users.contains_key(&worker.id) && name.key() == key {
                socket.users.remove(&worker.id);
            }
        }
    }

    /// A worker has ended. What it was given and has not taken is another's now.
    pub fn gone(&mut self, worker: Worker) {
        self.workers.remove(&worker.id);
        self.adopted.remove(&worker.id);
        self.leaving.remove(&worker.id);
        let was_to_go = self.aside.remove(&worker.id) == Some(Aside::Goes);
        for socket in self.sockets.values_mut() {
            let was_its = socket.users.remove(&worker.id).is_some();
            socket.left |= was_to_go && was_its && socket.users.is_empty();
        }
        let left: Vec<Connection<F>> =
            (self.given.extract_if(.., |_, (to, _)| *to == worker.id)).map(|(_, (_, connection))| connection).collect();
        for connection in left {
            self.wait(connection);
        }
    }

    /// Sockets on which the primary is to accept: those of which workers are told who has come, and those of slots whose
    /// worker is not there, or accepts no more, while others serve the same.
    #[must_use]
    pub fn orphans(&self) -> Vec<Kept<F>> {
        let is_left = |name: &Name, socket: &Socket<F>| {
            // One for all has nobody where they have just been shared out in another way.
            let has_nobody = name.endpoint.is_served() && !name.passed && socket.users.is_empty();
            // Who is slow to take those that it was given is not given more without end.
            has_nobody || (name.told.is_some() && self.given.len() + self.waiting.len() < GIVEN_MAX)
        };
        let left = self.sockets.iter().filter(|(name, socket)| is_left(name, socket));
        left.filter(|(name, _)| self.heirs(&name.endpoint).next().is_some())
            .map(|(name, socket)| socket.kept(name))
            .collect()
    }

    /// Somebody was accepted whom a worker is to serve.
    pub fn accept(&mut self, connection: Connection<F>) {
        if self.waiting.len() < WAITING_MAX {
            self.wait(connection);
        }
    }

    /// Nobody waits where nobody can listen any more: it is closed, for it would not be answered ever.
    fn wait(&mut self, connection: Connection<F>) {
        if self.can_serve(&connection.endpoint) {
            self.waiting.push_back(connection);
        }
    }

    /// Whether there is a socket that workers ask for.
    fn can_serve(&self, endpoint: &Endpoint) -> bool {
        self.sockets.keys().any(|name| name.endpoint == *endpoint && !name.passed)
    }

    /// Gives those who wait to workers, of which `is_there` says which can be told: whom to tell what.
    pub fn give(&mut self, is_there: impl Fn(u64) -> bool) -> Vec<(u64, Answer<F>)> {
        let mut told = Vec::new();
        for connection in std::mem::take(&mut self.waiting) {
            let heirs: Vec<u64> = self.heirs(&connection.endpoint).filter(|heir| is_there(*heir)).collect();
            let seq = self.next();
            let Some(heir) = self.choose(&heirs, &connection, seq) else {
                self.waiting.push_back(connection);
                continue;
            };
            let key = Name::of(connection.endpoint.clone(), 0, 0, Share::One).key();
            let inner = json!({ "cmd": "NODE_CLUSTER", "act": "newconn", "key": key, "seq": seq });
            let line = handle(connection.endpoint.handle_type(), &inner);
            told.push((heir, Answer { line, fd: Some(connection.fd.clone()) }));
            self.given.insert(seq, (heir, connection));
        }
        told
    }

    /// Whom of `heirs` a connection is given to.
    fn choose(&self, heirs: &[u64], connection: &Connection<F>, turn: u64) -> Option<u64> {
        // Where that has just been changed, what counts is what somebody has asked for.
        let is_used =
            |(name, socket): &(&Name, &Socket<F>)| name.endpoint == connection.endpoint && !socket.users.is_empty();
        if self.sockets.iter().filter(is_used).filter_map(|(name, _)| name.told).max() == Some(Told::Sticky) {
            // By slot, which outlives its worker. Of two that are there while one relieves the other, the newer.
            let weight = |heir: &u64| {
                (mixed(connection.origin ^ u64::from(self.workers.get(heir).copied().unwrap_or(u32::MAX)) << 32), *heir)
            };
            return heirs.iter().copied().max_by_key(|heir| weight(heir));
        }
        let owed = |heir: u64| self.given.values().filter(|(to, _)| *to == heir).count();
        let count = heirs.len();
        let start = usize::try_from(turn).unwrap_or(0) % count.max(1);
        let in_turn = (0..count).filter_map(|step| heirs.get((start + step) % count).copied());
        in_turn.min_by_key(|heir| owed(*heir))
    }

    /// A worker has taken a connection, or not: it has closed its server meanwhile. False where it is none that waited here.
    pub fn took(&mut self, seq: u64, accepted: bool) -> bool {
        let Some((_, connection)) = self.given.remove(&seq) else { return false };
        if !accepted {
            self.wait(connection);
        }
        true
    }

    /// A connection that this worker is to take, and no other: who connects to a port that workers share is served by any.
    pub fn hand(&mut self, worker: u64, port: u16, fd: impl FnOnce() -> Option<F>) -> Handed<F> {
        let at_port = |name: &Name| {
            name.endpoint.port == port && matches!(name.endpoint.family, Family::Tcp4 | Family::Tcp6) && !name.passed
        };
        let mut same = self.sockets.iter().filter(|(name, _)| at_port(name)).peekable();
        if same.peek().is_none() {
            return Handed::Unknown;
        }
        let serves = |socket: &Socket<F>| self.workers.contains_key(&worker) && socket.users.contains_key(&worker);
        let Some((name, _)) = same.find(|(_, socket)| serves(socket)) else { return Handed::NotThere };
        let (key, handle_type) = (name.key(), name.endpoint.handle_type());
        let Some(fd) = fd() else { return Handed::Unknown };
        let seq = self.next();
        let inner = json!({ "cmd": "NODE_CLUSTER", "act": "newconn", "key": key, "seq": seq });
        Handed::Told { seq, answer: Answer { line: handle(handle_type, &inner), fd: Some(fd) } }
    }

    /// Closes what nobody uses. To be said when workers have been up for a while: they have asked for what they want. What
    /// belongs to a slot whose worker is yet to come stays.
    pub fn sweep(&mut self) -> Vec<Kept<F>> {
        self.close_unused(|_| true)
    }

    fn close_unused(&mut self, which: impl Fn(&Name) -> bool) -> Vec<Kept<F>> {
        // Who is about to end is not who the others wait for.
        let stays = |worker: &u64| self.aside.get(worker) != Some(&Aside::Goes);
        let manned: BTreeSet<u32> =
            self.workers.iter().filter(|(worker, _)| stays(worker)).map(|(_, slot)| *slot).collect();
        let has_asked = |name: &Name| name.slot.map_or(!manned.is_empty(), |slot| manned.contains(&slot));
        self.remove(|name, socket| which(name) && socket.users.is_empty() && has_asked(name))
    }

    /// There will be no worker in this slot for some time.
    pub fn release(&mut self, slot: u32) -> Vec<Kept<F>> {
        self.slots.remove(&slot);
        let none_left = self.slots.is_empty();
        self.remove(|name, _| name.slot.map_or(none_left, |of| of == slot))
    }

    /// Everything that is open.
    pub fn kept(&self) -> impl Iterator<Item = Kept<F>> {
        self.sockets.iter().map(|(name, socket)| socket.kept(name))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// A worker may leave, as it wants to: it has closed what it listens on.
    pub fn leave(&mut self, worker: Worker, seq: u64) -> Answer<F> {
        self.let_leave(worker);
        let message = json!({ "cmd": "NODE_CLUSTER", "ack": seq, "seq": self.next() });
        Answer { line: line(&message), fd: None }
    }

    /// Whether a worker listens there.
    #[must_use]
    pub fn is_served(&self, endpoint: &Endpoint) -> bool {
        self.heirs(endpoint).next().is_some()
    }

    /// Who serves the same as a socket that nobody serves any more. A worker that was told to disconnect takes nobody: it may
    /// end by an assertion of node's own when a connection comes while it does (ERR_INTERNAL_ASSERTION, seen with node 20). Nor
    /// does one that is to relieve another and has not yet.
    fn heirs(&self, endpoint: &Endpoint) -> impl Iterator<Item = u64> {
        let same = self.sockets.iter().filter(move |(name, _)| name.endpoint == *endpoint && !name.passed);
        let all = same.flat_map(|(_, socket)| socket.users.keys().copied());
        all.filter(|user| self.workers.contains_key(user) && !self.is_aside(*user))
    }

    /// A worker is to close what it listens on, and its channel when it is done with its connections.
    pub fn disconnect(&mut self, worker: Worker) -> Answer<F> {
        self.let_leave(worker);
        let message = json!({ "cmd": "NODE_CLUSTER", "act": "disconnect", "seq": self.next() });
        Answer { line: line(&message), fd: None }
    }

    /// What it closes now is its successor's.
    fn let_leave(&mut self, worker: Worker) {
        self.workers.remove(&worker.id);
        self.leaving.insert(worker.id);
        // One that was to come goes before it has.
        self.aside.entry(worker.id).and_modify(|aside| *aside = Aside::Goes);
    }

    fn refusal(&mut self, seq: u64, key: &str, errno: i32) -> Answer<F> {
        let message = json!({
            "cmd": "NODE_CLUSTER", "ack": seq, "seq": self.next(), "key": key, "errno": -errno.abs(), "data": null
        });
        Answer { line: line(&message), fd: None }
    }

    /// Of the same server in another slot.
    fn data_of(&self, name: &Name) -> Option<Value> {
        let mut same =
            self.sockets.iter().filter(|(other, _)| other.endpoint == name.endpoint && other.index == name.index);
        same.find_map(|(_, socket)| socket.data.clone())
    }

    /// They are to be closed, and [`Self::closed`] to be told.
    fn remove(&mut self, which: impl Fn(&Name, &Socket<F>) -> bool) -> Vec<Kept<F>> {
        let removed = self.sockets.extract_if(.., |name, socket| which(name, socket));
        let removed: Vec<(Name, Socket<F>)> = removed.collect();
        for (name, _) in &removed {
            let mut group = self.groups.get_mut(&name.endpoint).into_iter().flatten();
            if let Some(seat) = group.find(|seat| !seat.closing && seat.name == *name) {
                seat.closing = true;
            }
        }
        let removed = removed.into_iter().map(|(name, socket)| socket.kept(&name)).collect();
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter(|connection| self.can_serve(&connection.endpoint)).collect();
        removed
    }

    fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }
}

impl<F: Clone> Socket<F> {
    fn kept(&self, name: &Name) -> Kept<F> {
        let (endpoint, fd) = (name.endpoint.clone(), self.fd.clone());
        Kept { name: self.written.clone(), endpoint, fd, passed: name.passed }
    }
}

/// The places of some among all.
fn places(seats: &[Seat], which: impl Fn(&Name) -> bool) -> Vec<u32> {
    (0..).zip(seats).filter(|(_, seat)| !seat.closing && which(&seat.name)).map(|(place, _)| place).collect()
}

fn seat_of(group: &[Seat], name: &Name) -> Option<usize> {
    group.iter().position(|seat| !seat.closing && seat.name == *name)
}

/// As node says it: what a worker answers when it is asked where its server listens.
fn sockname(endpoint: &Endpoint) -> Value {
    let family = match endpoint.family {
        Family::Tcp4 => "IPv4",
        Family::Tcp6 => "IPv6",
        Family::Unix | Family::Udp4 | Family::Udp6 => return Value::Null,
    };
    let (any, family) = if endpoint.address.is_none() { ("::", "IPv6") } else { ("", family) };
    json!({ "address": endpoint.address.as_deref().unwrap_or(any), "family": family, "port": endpoint.port })
}

/// Spreads what differs little (the finalizer of SplitMix64, public domain: Steele, Lea, Flood 2014).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn write(name: &Name, data: Option<&Value>, place: Option<usize>) -> String {
    let written = Written { name: name.clone(), data: data.cloned(), place };
    serde_json::to_string(&written).unwrap_or_default()
}

fn handle(kind: &str, inner: &Value) -> Vec<u8> {
    line(&json!({ "cmd": "NODE_HANDLE", "type": kind, "msg": inner }))
}

fn line(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Said;

    const ONE: Worker = Worker { id: 1, slot: 0, share: Share::BySlot };
    const TWO: Worker = Worker { id: 2, slot: 1, share: Share::BySlot };
    /// What follows the first worker in its slot.
    const NEXT: Worker = Worker { id: 3, slot: 0, share: Share::BySlot };

    fn tcp(port: u16) -> Query {
        ask(&format!(r#""address":null,"port":{port},"addressType":4,"index":0"#))
    }

    fn ask(what: &str) -> Query {
        let line = format!(r#"{{"cmd":"NODE_CLUSTER","act":"queryServer",{what},"seq":7}}"#);
        match Said::of(line.as_bytes()) {
            Said::Query(query) => *query,
            other => panic!("{other:?}"),
        }
    }

    /// Opens descriptors that are numbers, each of its own.
    #[derive(Default)]
    struct World {
        primary: Primary<u32>,
        opened: u32,
        beside: bool,
    }

    impl World {
        fn pass(&mut self, worker: Worker, fresh: bool) -> u32 {
            let mut open = |_: &Endpoint, _| {
                self.opened += 1;
                Ok(self.opened)
            };
            self.primary.pass(worker, tcp(80).endpoint.unwrap(), fresh, &mut open).unwrap().0
        }

        /// What is closed by now.
        fn shed(&mut self) -> Vec<u32> {
            let shed = self.primary.shed();
            for kept in &shed {
                self.primary.closed(kept);
            }
            shed.iter().map(|kept| kept.fd).collect()
        }

        /// Another primary, to which all names come that one and then the other has seen.
        fn follow(&self, seen: &[Kept<u32>]) -> Self {
            let mut next = Self::default();
            for kept in seen.iter().cloned().chain(self.primary.kept()) {
                next.primary.take_over(&kept.name, kept.fd);
            }
            next
        }

        /// What the system is to be told, as descriptors; and how many there are.
        fn open(&self) -> (Vec<u32>, usize) {
            let steering = self.primary.steerings(|_| true).next().expect("there are some");
            (steering.open, steering.of)
        }

        /// What it was given, or the number of the error.
        fn ask(&mut self, worker: Worker, query: Query) -> Result<u32, i64> {
            self.ask_as(worker, query, false)
        }

        fn ask_as(&mut self, worker: Worker, query: Query, fresh: bool) -> Result<u32, i64> {
            let answered = self.primary.query(worker, query, fresh, |_, _, beside| {
                self.opened += 1;
                self.beside = beside;
                Ok(self.opened)
            });
            let (answer, kept) = answered.expect("it is not leaving");
            assert_eq!(answer.line.last(), Some(&b'\n'));
            let message: Value = serde_json::from_slice(&answer.line).unwrap();
            let inner = message.get("msg").unwrap_or(&message);
            assert_eq!((inner["cmd"].as_str(), inner["ack"].as_u64()), (Some("NODE_CLUSTER"), Some(7)));
            assert!(kept.is_none_or(|kept| Some(kept.fd) == answer.fd));
            match inner["errno"].as_i64().unwrap() {
                0 => Ok(answer.fd.unwrap()),
                errno => Err(errno),
            }
        }
    }

    #[test]
    fn each_slot_has_a_socket_of_its_own_and_keeps_it() {
        let mut world = World::default();
        assert_eq!(world.ask(ONE, tcp(80)), Ok(1));
        assert!(!world.beside);
        assert_eq!(world.ask(TWO, tcp(80)), Ok(2));
        assert!(world.beside);
        world.primary.gone(ONE);
        assert_eq!(world.ask(NEXT, tcp(80)), Ok(1));
        assert_eq!(world.ask(NEXT, tcp(81)), Ok(3));
        assert!(!world.beside);
    }

    #[test]
    fn paths_datagrams_and_any_port_are_shared_by_all_slots() {
        let udp = r#""address":null,"port":53,"addressType":"udp4","fd":-1,"index":0"#;
        let unix = r#""address":"/tmp/x","port":-1,"addressType":-1,"index":4"#;
        for what in [udp, unix, r#""address":null,"port":0,"addressType":4,"index":0"#] {
            let mut world = World::default();
            assert_eq!((world.ask(ONE, ask(what)), world.ask(TWO, ask(what))), (Ok(1), Ok(1)), "{what}");
        }
        let mut world = World::default();
        let any = |index| ask(&format!(r#""address":null,"port":0,"addressType":4,"index":{index}"#));
        assert_eq!((world.ask(ONE, any(0)), world.ask(ONE, any(1))), (Ok(1), Ok(2)));
        assert_eq!((world.ask(TWO, any(0)), world.ask(TWO, any(1))), (Ok(1), Ok(2)));
    }

    #[test]
    fn a_worker_cannot_listen_twice_on_one_port_unless_it_has_closed_it() {
        let mut world = World::default();
        assert_eq!(world.ask(ONE, tcp(80)), Ok(1));
        assert_eq!(world.ask(ONE, tcp(80)), Err(-98));
        let key = world.primary.sockets.keys().next().unwrap().key();
        world.primary.close(ONE, &key);
        assert_eq!(world.ask(ONE, tcp(80)), Ok(1));
    }

    #[test]
    fn what_cannot_be_opened_is_said_with_the_systems_number() {
        let mut world = World::default();
        let (answer, kept) = world.primary.query(ONE, tcp(80), false, |_, _, _| Err(13)).unwrap();
        assert_eq!((answer.fd, kept), (None, None));
        assert!(String::from_utf8(answer.line).unwrap().contains("\"errno\":-13"));
        assert_eq!(world.ask(ONE, ask(r#""address":null,"port":-1,"addressType":4,"fd":3"#)), Err(-9));
        assert_eq!(world.ask(ONE, ask(r#""address":7,"port":80,"addressType":4"#)), Err(-22));
        for port in 1..=u16::try_from(SOCKETS_MAX).unwrap() {
            assert!(world.ask(ONE, tcp(port)).is_ok());
        }
        assert_eq!(world.ask(ONE, tcp(9_999)), Err(-24));
    }

    #[test]
    fn tickets_of_the_first_are_everybodys() {
        let tls =
            |keys: &str| ask(&format!(r#""address":null,"port":443,"addressType":4,"data":{{"ticketKeys":"{keys}"}}"#));
        let mut primary: Primary<u32> = Primary::default();
        let mut keys = |worker, query| {
            let (answer, kept) = primary.query(worker, query, false, |_, _, _| Ok(1)).unwrap();
            let message: Value = serde_json::from_slice(&answer.line).unwrap();
            (message["msg"]["data"]["ticketKeys"].as_str().unwrap().to_owned(), kept)
        };
        let (first, kept) = keys(ONE, tls("aa"));
        assert_eq!((first.as_str(), keys(TWO, tls("bb")).0.as_str()), ("aa", "aa"));
        // Another primary goes on with them.
        let mut next: Primary<u32> = Primary::default();
        assert_eq!(next.take_over(&kept.unwrap().name, 9), None);
        let (answer, _) = next.query(NEXT, tls("cc"), false, |_, _, _| Err(1)).unwrap();
        assert_eq!(answer.fd, Some(9));
        assert!(String::from_utf8(answer.line).unwrap().contains("\"aa\""));
        assert_eq!(["{}", "x"].map(|name| next.take_over(name, 1).is_some()), [true; 2]);
    }

    #[test]
    fn sockets_go_with_their_slot_or_when_nobody_asks_for_them_again() {
        let mut world = World::default();
        let unix = || ask(r#""address":"/tmp/x","port":-1,"addressType":-1"#);
        for (worker, query) in [(ONE, tcp(80)), (TWO, tcp(80)), (ONE, unix()), (TWO, unix())] {
            world.ask(worker, query).unwrap();
        }
        assert_eq!(world.primary.release(1).len(), 1);
        assert_eq!(world.primary.heirs(&tcp(80).endpoint.unwrap()).collect::<Vec<_>>(), [1]);
        assert_eq!(world.primary.release(0).len(), 2);
        assert!(world.primary.is_empty());

        let mut world = World::default();
        world.ask(ONE, tcp(80)).unwrap();
        world.primary.gone(ONE);
        world.ask(NEXT, tcp(81)).unwrap();
        assert_eq!(world.primary.sweep().iter().map(|kept| kept.endpoint.port).collect::<Vec<_>>(), [80]);
        assert!(world.primary.sweep().is_empty());
    }

    #[test]
    fn who_connects_to_a_slot_without_a_worker_is_given_to_another_until_one_takes_it() {
        let mut world = World::default();
        world.ask(ONE, tcp(80)).unwrap();
        world.ask(TWO, tcp(80)).unwrap();
        assert!(world.primary.orphans().is_empty());
        world.primary.gone(ONE);
        assert_eq!(world.primary.orphans().iter().map(|kept| kept.fd).collect::<Vec<_>>(), [1]);
        let connection = |fd| Connection { endpoint: tcp(80).endpoint.unwrap(), fd, origin: 0 };
        let number = |answer: &Answer<u32>| {
            let message: Value = serde_json::from_slice(&answer.line).unwrap();
            assert_eq!(message["msg"]["act"], "newconn");
            message["msg"]["seq"].as_u64().unwrap()
        };
        world.primary.accept(connection(10));
        let told = world.primary.give(|_| true);
        assert_eq!(told.iter().map(|(to, answer)| (*to, answer.fd)).collect::<Vec<_>>(), [(2, Some(10))]);
        // It was closing its server: as nobody else is there, it waits for who comes.
        world.primary.took(number(&told[0].1), false);
        assert!(world.primary.give(|_| false).is_empty());
        world.primary.gone(TWO);
        assert!(world.primary.orphans().is_empty() && world.primary.give(|_| true).is_empty());
        world.ask(NEXT, tcp(80)).unwrap();
        let told = world.primary.give(|_| true);
        assert_eq!(told.iter().map(|(to, answer)| (*to, answer.fd)).collect::<Vec<_>>(), [(3, Some(10))]);
        // That one dies before it has said anything.
        world.primary.gone(NEXT);
        world.ask(TWO, tcp(80)).unwrap();
        let told = world.primary.give(|_| true);
        assert_eq!(told[0].0, 2);
        world.primary.took(number(&told[0].1), true);
        assert!(world.primary.given.is_empty() && world.primary.waiting.is_empty());
    }

    #[test]
    fn nobody_is_given_to_who_comes_before_it_has_taken_over_nor_to_who_goes() {
        let mut world = World::default();
        let endpoint = tcp(80).endpoint.unwrap();
        assert!(world.primary.steering_beside(NEXT, &endpoint).is_none(), "there is nobody to relieve");
        assert_eq!((world.pass(ONE, false), world.pass(TWO, false), world.open()), (1, 2, (vec![0, 1], 2)));
        assert_eq!(world.primary.steering_beside(NEXT, &endpoint).map(|it| (it.open, it.fd)), Some((vec![0, 1], 1)));
        assert_eq!((world.pass(NEXT, true), world.open()), (3, (vec![0, 1], 3)));
        assert!(world.primary.parting(ONE.id).is_empty());
        world.primary.give_way(ONE.id);
        assert_eq!(world.open(), (vec![1, 2], 3));
        assert_eq!(world.primary.parting(ONE.id).iter().map(|kept| kept.fd).collect::<Vec<_>>(), [1]);
        world.primary.gone(ONE);
        assert_eq!(world.open(), (vec![1, 2], 3), "it is still to be closed");
        assert_eq!(world.shed(), [1]);
        // The last has taken its place.
        assert_eq!(world.open(), (vec![0, 1], 2));
        // One that never comes up.
        let third = Worker { id: 4, ..TWO };
        assert_eq!((world.pass(third, true), world.open()), (4, (vec![0, 1], 3)));
        world.primary.gone(third);
        assert_eq!(world.shed(), [4]);
        // One that dies while another comes, which then is waited for.
        assert_eq!(world.pass(third, true), 5);
        world.primary.gone(TWO);
        assert_eq!(world.open(), (vec![0, 2], 3));
        // Started anew, it has the same.
        world.primary.gone(third);
        assert_eq!((world.pass(TWO, false), world.open()), (5, (vec![0, 2], 3)));
        assert_eq!(world.shed(), [2]);
    }

    #[test]
    fn who_goes_is_given_nobody_though_who_has_relieved_it_is_to_go_too() {
        let mut world = World::default();
        assert_eq!((world.pass(ONE, false), world.pass(TWO, false), world.pass(NEXT, true)), (1, 2, 3));
        world.primary.relieve(NEXT.id, ONE.id);
        assert_eq!(world.open(), (vec![1, 2], 3));
        world.primary.give_way(NEXT.id);
        assert_eq!(world.open(), (vec![1], 3));
    }

    #[test]
    fn a_worker_that_asks_is_given_nobody_before_it_has_taken_over() {
        let mut world = World::default();
        let endpoint = tcp(80).endpoint.unwrap();
        assert!(!world.primary.is_beside(NEXT), "there is nobody to relieve");
        assert_eq!((world.ask(ONE, tcp(80)), world.ask(TWO, tcp(80))), (Ok(1), Ok(2)));
        assert_eq!(world.primary.steerings(|_| false).count(), 0, "the system chooses by itself");
        assert!(world.primary.is_beside(NEXT) && !world.primary.is_beside(ONE));
        assert_eq!(world.primary.steering_beside(NEXT, &endpoint).map(|it| (it.open, it.fd)), Some((vec![0, 1], 1)));
        assert_eq!((world.ask_as(NEXT, tcp(80), true), world.open()), (Ok(3), (vec![0, 1], 3)));
        // It has that one only, also when it closes it and listens again; and can be reached by itself.
        assert_eq!(world.ask_as(NEXT, tcp(80), true), Err(-i64::from(Errno::ADDRINUSE.raw_os_error())));
        let key = Name::of(endpoint.clone(), 0, 0, Share::BySlot).key();
        world.primary.close(NEXT, &key);
        assert_eq!((world.ask_as(NEXT, tcp(80), true), world.open()), (Ok(3), (vec![0, 1], 3)));
        assert!(matches!(world.primary.hand(NEXT.id, 80, || Some(9)), Handed::Told { .. }));
        assert_eq!(world.primary.heirs(&endpoint).collect::<Vec<_>>(), [ONE.id, TWO.id]);
        // One that fails leaves all as it was.
        world.primary.gone(NEXT);
        assert_eq!((world.shed(), world.open()), (vec![3], (vec![0, 1], 2)));
        // One that takes over.
        assert_eq!((world.ask_as(NEXT, tcp(80), true), world.open()), (Ok(4), (vec![0, 1], 3)));
        world.primary.relieve(NEXT.id, ONE.id);
        assert_eq!(world.open(), (vec![1, 2], 3));
        world.primary.disconnect(ONE);
        world.primary.close(ONE, &key);
        assert_eq!(world.primary.orphans().iter().map(|kept| kept.fd).collect::<Vec<_>>(), [1]);
        world.primary.gone(ONE);
        assert_eq!((world.shed(), world.open()), (vec![1], (vec![0, 1], 2)));
        // Started anew after a crash it has the same, as have those of a primary that follows.
        world.primary.gone(NEXT);
        assert_eq!(world.open(), (vec![0, 1], 2));
        let third = Worker { id: 9, ..NEXT };
        assert_eq!(world.ask(third, tcp(80)), Ok(4));
        let mut next = world.follow(&[]);
        next.primary.adopt(third, false, |fd| *fd == 4);
        next.primary.adopt(TWO, false, |fd| *fd == 2);
        let fourth = Worker { id: 10, ..NEXT };
        assert!(next.primary.is_beside(fourth));
        assert_eq!(next.primary.steering_beside(fourth, &endpoint).map(|it| it.open), Some(vec![0, 1]));
        // One that has not asked yet when another primary comes is presumed to have what there is, until it asks.
        next.primary.adopt(fourth, true, |_| false);
        assert_eq!((next.ask_as(fourth, tcp(80), true), next.open()), (Ok(1), (vec![0, 1], 3)));
        let users = |world: &World, fd: u32| -> Vec<u64> {
            let socket = world.primary.sockets.values().find(|socket| socket.fd == fd).expect("it is open");
            socket.users.keys().copied().collect()
        };
        assert_eq!((users(&next, 4), users(&next, 1)), (vec![third.id], vec![fourth.id]));
        // Told to disconnect, it is given nobody either, though it may be long until it has.
        next.primary.disconnect(fourth);
        assert_eq!(next.open(), (vec![0, 1], 3));
    }

    #[test]
    fn of_several_slots_one_that_goes_leaves_who_connects_to_the_others() {
        let mut world = World::default();
        assert_eq!((world.pass(ONE, false), world.pass(TWO, false)), (1, 2));
        world.primary.give_way(TWO.id);
        assert_eq!((world.open(), world.primary.parting(TWO.id).len()), ((vec![0], 2), 1));
        // Another may come in its slot, or none.
        world.primary.gone(TWO);
        assert_eq!(world.open(), (vec![0], 2));
        assert_eq!((world.pass(TWO, false), world.open()), (2, (vec![0, 1], 2)));
        world.primary.give_way(TWO.id);
        // When all go nobody is left to give them to.
        world.primary.give_way(ONE.id);
        assert_eq!((world.open(), world.primary.parting(TWO.id).len()), ((vec![0, 1], 2), 0));
    }

    #[test]
    fn another_primary_knows_who_of_two_in_a_slot_has_which_socket() {
        let mut world = World::default();
        let before = [world.pass(ONE, false), world.pass(TWO, false), world.pass(NEXT, true)];
        assert_eq!(before, [1, 2, 3]);
        let kept: Vec<Kept<u32>> = world.primary.kept().collect();
        assert_eq!(kept.iter().filter(|kept| kept.name.contains("turn")).count(), 1, "an older one reads the others");
        let next = || {
            let mut next = World::default();
            for kept in &kept {
                assert_eq!(next.primary.take_over(&kept.name, kept.fd), None);
            }
            next
        };
        let mut world = next();
        world.primary.adopt(TWO, false, |_| panic!("there is no doubt"));
        world.primary.adopt(NEXT, true, |fd| *fd == 3);
        world.primary.adopt(ONE, false, |fd| *fd == 1);
        assert_eq!(world.open(), (vec![0, 1], 3));
        world.primary.give_way(ONE.id);
        assert_eq!(world.open(), (vec![1, 2], 3));
        // Of whom nobody is left to relieve.
        let mut world = next();
        world.primary.adopt(NEXT, true, |fd| *fd == 3);
        world.primary.adopt(TWO, false, |_| true);
        assert_eq!(world.open(), (vec![1, 2], 3));
    }

    #[test]
    fn another_primary_knows_the_places_after_a_reload_of_several() {
        let mut world = World::default();
        // In their slots one after the other, and the sockets of both closed in turn.
        let [third, fourth] = [NEXT, Worker { id: 4, ..TWO }];
        let passed = [(ONE, false), (TWO, false), (third, true), (fourth, true)];
        assert_eq!(passed.map(|(worker, fresh)| world.pass(worker, fresh)), [1, 2, 3, 4]);
        let before: Vec<Kept<u32>> = world.primary.kept().collect();
        for (old, new) in [(ONE, third), (TWO, fourth)] {
            world.primary.relieve(new.id, old.id);
            world.primary.gone(old);
            world.shed();
        }
        // The last took the place of the first, and again: [4, 2, 3], then [4, 3].
        let seats = |world: &World| {
            let fds = |seat: &Seat| world.primary.sockets[&seat.name].fd;
            world.primary.groups.values().next().unwrap().iter().map(fds).collect::<Vec<_>>()
        };
        assert_eq!(seats(&world), [4, 3]);
        let mut next = world.follow(&[]);
        assert_eq!((seats(&next), next.primary.unordered.len()), (vec![4, 3], 0));
        next.primary.adopt(third, false, |_| true);
        next.primary.adopt(fourth, false, |_| true);
        next.opened = 4;
        assert_eq!((next.pass(Worker { id: 5, ..ONE }, true), next.open()), (5, (vec![0, 1], 3)));
        next.primary.relieve(5, third.id);
        assert_eq!(next.open(), (vec![0, 2], 3));
        // Of one socket the older name comes back, in whatever order they come.
        let older: Vec<Kept<u32>> = before.into_iter().filter(|kept| kept.fd > 2).collect();
        let next = world.follow(&older);
        assert_eq!((seats(&next), next.primary.unordered.len()), (vec![4, 3], 0));
        let mut next = world.follow(&[]);
        let back: Vec<_> = older.iter().map(|kept| next.primary.take_over(&kept.name, kept.fd)).collect();
        assert_eq!(back, older.iter().map(|kept| Some((kept.name.clone(), kept.fd))).collect::<Vec<_>>());
        assert_eq!((seats(&next), next.primary.unordered.len()), (vec![4, 3], 0));
    }

    #[test]
    fn where_nobody_has_left_the_order_nothing_is_steered_until_there_is_one() {
        let mut world = World::default();
        assert_eq!((world.pass(ONE, false), world.pass(TWO, false)), (1, 2));
        let mut next = World { opened: 2, ..World::default() };
        for kept in world.primary.kept() {
            let name = kept.name.replace(",\"place\":0", "").replace(",\"place\":1", "");
            assert!(!name.contains("place"));
            assert_eq!(next.primary.take_over(&name, kept.fd), None);
        }
        next.primary.adopt(ONE, false, |_| true);
        next.primary.adopt(TWO, false, |_| true);
        let endpoint = tcp(80).endpoint.unwrap();
        assert!(next.primary.steering_beside(NEXT, &endpoint).is_none());
        next.primary.give_way(ONE.id);
        assert_eq!((next.open(), next.primary.parting(ONE.id)), ((vec![0, 1], 2), vec![]));
        next.primary.gone(ONE);
        let released = next.primary.release(0);
        assert_eq!(released.len(), 1);
        // What is left has a name that says so.
        let renamed = next.primary.closed(&released[0]);
        assert!(renamed.len() == 1 && renamed[0].1.name.contains("\"place\":0") && !renamed[0].0.contains("place"));
        assert!(next.primary.steering_beside(Worker { id: 9, ..TWO }, &endpoint).is_some());
    }

    #[test]
    fn what_they_are_found_to_have_is_gone_on_with() {
        let endpoint = || tcp(80).endpoint.unwrap();
        let mut world = World { opened: 9, ..World::default() };
        let kept = world.primary.found(ONE, endpoint(), false, 5, |other| *other == 5).unwrap();
        assert!(kept.name.contains("\"slot\":0") && !kept.name.contains("place") && !kept.name.contains("turn"));
        world.primary.adopt(ONE, false, |fd| *fd == 5);
        // The same again, and one of who is beside it.
        assert!(world.primary.found(NEXT, endpoint(), false, 5, |other| *other == 5).is_none());
        let kept = world.primary.found(NEXT, endpoint(), false, 6, |other| *other == 6).unwrap();
        assert!(kept.name.contains("\"turn\":1"));
        world.primary.adopt(NEXT, true, |fd| *fd == 6);
        assert!(world.primary.found(TWO, endpoint(), false, 7, |other| *other == 7).is_some());
        world.primary.adopt(TWO, false, |fd| *fd == 7);
        // Who comes shares what the one before has: among those whose order nobody knows nobody is steered.
        assert!(world.primary.steering_beside(NEXT, &endpoint()).is_none());
        let other = Worker { id: 9, ..TWO };
        assert_eq!((world.ask(other, tcp(80)), world.opened), (Ok(7), 9));
        // What waits there outlives who goes.
        world.primary.gone(TWO);
        world.primary.gone(other);
        assert_eq!(world.primary.orphans().iter().map(|kept| kept.fd).collect::<Vec<_>>(), [7]);
        // A port that is yet to be found, or where workers are told who has come, is nobody's.
        let none = Endpoint { port: 0, ..endpoint() };
        assert!(world.primary.found(TWO, none, false, 8, |_| false).is_none());
        let told = Worker { share: Share::Told(Told::RoundRobin), ..TWO };
        assert!(world.primary.found(told, endpoint(), false, 8, |_| false).is_none());
    }

    /// Their own are before those that are opened now, and change places with them when they close.
    #[test]
    fn beside_sockets_that_nobody_knows_nothing_is_steered() {
        let mut world = World::default();
        world.primary.adopt(ONE, false, |_| true);
        world.primary.adopt(TWO, false, |_| true);
        assert_eq!((world.pass(NEXT, false), world.open()), (1, (vec![0], 1)));
        world.primary.gone(ONE);
        let other = Worker { id: 9, ..TWO };
        assert_eq!((world.pass(other, false), world.open()), (2, (vec![0, 1], 2)));
        world.primary.give_way(NEXT.id);
        assert_eq!(world.open(), (vec![0, 1], 2));
        world.primary.gone(TWO);
        let endpoint = tcp(80).endpoint.unwrap();
        assert_eq!((world.open(), world.primary.steering_beside(other, &endpoint).is_some()), ((vec![0, 1], 2), false));
    }

    #[test]
    fn who_took_over_from_one_that_was_gone_is_given_nobody_when_it_is_relieved_itself() {
        for told in [true, false] {
            let mut world = World::default();
            assert_eq!((world.pass(ONE, false), world.pass(NEXT, true)), (1, 2));
            world.primary.gone(ONE);
            assert_eq!(world.shed(), [1]);
            if told {
                world.primary.relieve(NEXT.id, ONE.id);
            }
            let third = Worker { id: 4, ..ONE };
            assert_eq!((world.pass(third, true), world.open()), (3, (vec![0], 2)), "{told}");
        }
    }

    #[test]
    fn who_connects_waits_for_one_that_is_started_anew_and_does_not_go_to_who_goes() {
        let mut world = World::default();
        assert_eq!((world.pass(ONE, false), world.pass(NEXT, true)), (1, 2));
        world.primary.relieve(NEXT.id, ONE.id);
        world.primary.gone(NEXT);
        assert_eq!((world.shed(), world.open()), (vec![], (vec![1], 2)));
        world.primary.gone(ONE);
        assert_eq!((world.shed(), world.open()), (vec![], (vec![1], 2)));
        assert_eq!((world.pass(NEXT, false), world.shed(), world.open()), (2, vec![1], (vec![0], 1)));
    }

    #[test]
    fn what_is_about_to_be_closed_has_its_place_until_it_is() {
        let mut world = World::default();
        assert_eq!((world.ask(ONE, tcp(80)), world.pass(TWO, false)), (Ok(1), 2));
        assert_eq!(world.open(), (vec![0, 1], 2));
        let released = world.primary.release(0);
        assert_eq!((released.len(), world.open()), (1, (vec![1], 2)));
        assert_eq!(world.primary.closed(&released[0]).len(), 1);
        assert_eq!(world.open(), (vec![0], 1));
    }

    #[test]
    fn where_an_adopted_worker_has_its_socket_cannot_be_seen() {
        let mut world = World::default();
        assert_eq!((world.pass(ONE, false), world.pass(NEXT, true)), (1, 2));
        let mut next = world.follow(&[]);
        next.primary.adopt(NEXT, false, |_| false);
        assert!(next.primary.sockets.values().all(|socket| socket.users.contains_key(&NEXT.id)));
    }

    #[test]
    fn what_an_adopted_worker_has_is_presumed_and_not_held_against_it() {
        let mut world = World::default();
        world.ask(ONE, tcp(80)).unwrap();
        let names: Vec<Kept<u32>> = world.primary.kept().collect();
        let mut next = World::default();
        for kept in names {
            assert_eq!(next.primary.take_over(&kept.name, kept.fd), None);
        }
        next.primary.adopt(ONE, false, |_| true);
        assert!(next.primary.sweep().is_empty());
        assert_eq!(next.ask(ONE, tcp(80)), Ok(1));
        assert_eq!(next.ask(ONE, tcp(80)), Err(-98));
    }

    #[test]
    fn a_worker_that_disconnects_is_given_nobody() {
        let mut world = World::default();
        world.ask(ONE, tcp(80)).unwrap();
        world.ask(TWO, tcp(80)).unwrap();
        world.primary.gone(ONE);
        world.primary.disconnect(TWO);
        world.primary.accept(Connection { endpoint: tcp(80).endpoint.unwrap(), fd: 10, origin: 0 });
        assert_eq!(world.primary.give(|_| true), []);
        assert!(world.primary.orphans().is_empty(), "those who come wait in the system's queue");
        let next = Worker { id: 9, ..ONE };
        world.ask(next, tcp(80)).unwrap();
        assert_eq!(world.primary.give(|_| true)[0].0, next.id);
    }

    #[test]
    fn who_leaves_is_not_answered_and_what_it_had_is_its_successors() {
        for by_itself in [false, true] {
            let mut world = World::default();
            world.ask(ONE, tcp(80)).unwrap();
            let answer = if by_itself { world.primary.leave(ONE, 5) } else { world.primary.disconnect(ONE) };
            assert_eq!(String::from_utf8(answer.line).unwrap().contains(r#""ack":5"#), by_itself);
            assert!(world.primary.query(ONE, tcp(81), false, |_, _, _| panic!("nothing is opened for it")).is_none());
            assert_eq!(world.ask(NEXT, tcp(80)), Ok(1));
            world.primary.gone(ONE);
            assert_eq!(world.ask(ONE, tcp(81)), Ok(2), "by this number there is another");
        }
    }

    #[test]
    fn nobody_waits_where_nobody_can_listen_any_more() {
        let mut world = World::default();
        let connection = |port, fd| Connection { endpoint: tcp(port).endpoint.unwrap(), fd, origin: 0 };
        for worker in [ONE, TWO] {
            world.ask(worker, tcp(80)).unwrap();
        }
        world.primary.gone(ONE);
        for fd in 10..14 {
            world.primary.accept(connection(80, fd));
        }
        let told = world.primary.give(|_| true);
        assert_eq!(told.len(), 4);
        // They listen elsewhere now, and the last who was told of some goes without a word.
        let next = [NEXT, Worker { id: 4, ..TWO }];
        for worker in next {
            world.ask(worker, tcp(81)).unwrap();
        }
        world.primary.disconnect(TWO);
        let message: Value = serde_json::from_slice(&told[0].1.line).unwrap();
        assert!(world.primary.took(message["msg"]["seq"].as_u64().unwrap(), false));
        world.primary.accept(connection(80, 20));
        assert!(!world.primary.waiting.is_empty());
        world.primary.gone(TWO);
        assert!(!world.primary.sweep().is_empty());
        assert_eq!((world.primary.waiting.len(), world.primary.given.len()), (0, 0));
        // Nor who is accepted as it is closed.
        world.primary.accept(connection(80, 21));
        assert!(world.primary.waiting.is_empty());
        world.primary.accept(connection(81, 22));
        assert_eq!(world.primary.give(|_| true).len(), 1);
    }

    #[test]
    fn by_a_path_nobody_has_an_address_to_stick_to() {
        let mut primary: Primary<u32> = Primary::default();
        let unix = || ask(r#""address":"/tmp/x","port":-1,"addressType":-1"#);
        for id in 0..3 {
            let worker = Worker { id, slot: u32::try_from(id).unwrap(), share: Share::Told(Told::Sticky) };
            primary.query(worker, unix(), false, |_, _, _| Ok(9)).unwrap();
        }
        let mut to = BTreeSet::new();
        for fd in 0..6 {
            primary.accept(Connection { endpoint: unix().endpoint.unwrap(), fd, origin: 0 });
            to.extend(primary.give(|_| true).into_iter().map(|(to, _)| to));
        }
        assert_eq!(to.len(), 3);
    }

    #[test]
    fn one_worker_can_be_reached_by_itself() {
        let mut world = World::default();
        world.ask(ONE, tcp(80)).unwrap();
        assert_eq!(world.primary.hand(ONE.id, 81, || panic!("not opened")), Handed::Unknown);
        assert_eq!(world.primary.hand(TWO.id, 80, || panic!("not opened")), Handed::NotThere);
        let Handed::Told { seq, answer } = world.primary.hand(ONE.id, 80, || Some(5)) else { panic!("it listens") };
        let message: Value = serde_json::from_slice(&answer.line).unwrap();
        let inner = &message["msg"];
        assert_eq!((&inner["act"], &inner["seq"], answer.fd), (&json!("newconn"), &json!(seq), Some(5)));
        // Whether it takes it is nobody else's business.
        assert!(!world.primary.took(seq, false));
        assert_eq!(world.primary.give(|_| true), []);
        assert_eq!(world.primary.hand(ONE.id, 80, || None), Handed::Unknown);
        world.primary.close(ONE, inner["key"].as_str().unwrap());
        assert_eq!(world.primary.hand(ONE.id, 80, || panic!("not opened")), Handed::NotThere);
    }

    #[test]
    fn who_comes_is_given_to_who_has_fewest_or_to_the_same_by_its_address() {
        for told in [Told::RoundRobin, Told::Sticky] {
            let mut primary: Primary<u32> = Primary::default();
            let worker = |id: u64| Worker { id, slot: u32::try_from(id).unwrap(), share: Share::Told(told) };
            for id in 0..4 {
                let (answer, _) = primary.query(worker(id), tcp(80), false, |_, _, _| Ok(9)).unwrap();
                assert_eq!(answer.fd, None);
                assert!(String::from_utf8(answer.line).unwrap().contains(r#""sockname":{"#));
            }
            // It is the primary's from the first on.
            assert_eq!(primary.orphans().iter().map(|kept| kept.fd).collect::<Vec<_>>(), [9]);
            let came = |primary: &mut Primary<u32>, origin| {
                primary.accept(Connection { endpoint: tcp(80).endpoint.unwrap(), fd: 10, origin });
                primary.give(|_| true).into_iter().map(|(to, _)| to).collect::<Vec<_>>()
            };
            let to: Vec<u64> = (0..64).flat_map(|origin| came(&mut primary, origin)).collect();
            let counts: Vec<usize> = (0..4).map(|id| to.iter().filter(|to| **to == id).count()).collect();
            if told == Told::RoundRobin {
                assert_eq!(counts, [16; 4]);
            } else {
                assert!(counts.iter().all(|count| (6..30).contains(count)), "{counts:?}");
                let again: Vec<u64> = (0..64).flat_map(|origin| came(&mut primary, origin)).collect();
                assert_eq!(again, to);
                // Whoever goes takes only its own with it.
                primary.gone(worker(2));
                primary.give(|_| true);
                let fewer: Vec<u64> = (0..64).flat_map(|origin| came(&mut primary, origin)).collect();
                assert!(to.iter().zip(&fewer).all(|(before, now)| before == now || *before == 2));
            }
            for _ in 0..GIVEN_MAX {
                came(&mut primary, 1);
            }
            assert!(primary.orphans().is_empty(), "nobody takes them");
        }
    }
}
