mod cache;
mod children;
mod clustered;
mod conversation;
mod grouped;
mod kept;
mod lost;
mod orphans;
pub(super) mod pid_file;
mod pumped;
mod running;
mod steered;
mod stops;
mod usage;

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::process::pidfd_send_signal;
use serde_json::Value;

use self::cache::Cache;
use self::children::{bury, end_child, look_how_ended, raw_signal};
pub use self::children::{ended_child, living_children};
pub use self::clustered::Reach;
use self::orphans::Orphan;
use self::running::{How, Running};
use self::steered::Emptying;
use super::account::Account;
use super::cgroup::{Groups, Kills};
use super::fault::fault_point;
use super::keeper::KeeperLink;
use super::notify::NotifyFolder;
use super::oom::{self, Killer};
use super::procfs::{self, MARK_SPEC, Process};
use super::pump::PumpLink;
use super::random::random_bytes;
use super::setup::ProcessSetup;
use super::spawn::{Extras, Outputs, Tap, account, spawn};
use super::survivors::{self, Adopted, Begun, Child, Left, Marked, Search, Spared, Survivor, open_pid, pin};
use super::tag::{Tag, launch_bits, list_bits};
use super::tree::{Kin, Stopping, Todo};
use super::{reason, sys};
use crate::base::{ExitStatus, InstanceId, Shortage, Signal, first, is_second};
use crate::node::{Endpoint, Kept, Primary};
use crate::supervisor::{Launch, LaunchId};

const EVENTS_PER_TURN: usize = 256;
/// A look at all processes has three files open at once; what else opens some in between shall not spoil it.
const SPARE_FILES: usize = 4;

/// What happened to a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first process ended; once a launch.
    Exited {
        launch: LaunchId,
        status: ExitStatus,
        /// Processes that it started are still there, or may be.
        left: bool,
    },
    /// After a stop or kill: nothing is left. After `Exited`, where there was one.
    TreeGone {
        launch: LaunchId,
    },
    Ready {
        launch: LaunchId,
    },
    /// A worker of Node's cluster can be connected to.
    Listening {
        launch: LaunchId,
    },
    /// A worker has a connection that was opened for it alone, or does not want it.
    Reached {
        launch: LaunchId,
        seq: u64,
        accepted: bool,
    },
    /// It has closed its channel, or never had one.
    Drained {
        launch: LaunchId,
    },
    /// What of its `limits` is not in force, and why; none where all of them are.
    Limits {
        launch: LaunchId,
        note: Option<String>,
    },
    /// What an app says to whoever listens; while somebody does.
    Said {
        launch: LaunchId,
        message: Box<Value>,
    },
    /// Something went wrong beside the point; a line for the daemon's log.
    Notice(String),
}

/// Every process that was started here or taken over, and what is being done to it.
#[derive(Debug)]
pub struct Host {
    home: String,
    /// Tells this daemon's launches from another's.
    nonce: String,
    setup: ProcessSetup,
    epoll: OwnedFd,
    notify: NotifyFolder,
    pump: PumpLink,
    /// What apps write, where it is read here; none where they write to files.
    taps: Option<Vec<Tap>>,
    running: HashMap<LaunchId, Running>,
    roots: HashMap<u32, LaunchId>,
    requests: Vec<(LaunchId, How, bool)>,
    stopping: BTreeMap<LaunchId, Stopping>,
    /// By instance, the launch whose first process ended last without being asked to: what that left behind is looked
    /// for when a stop asks for it.
    ended: HashMap<String, Ended>,
    /// Marks of launches that nobody knows, and nobody ends.
    strangers: HashSet<String>,
    /// By epoll key, which member of which stop.
    members: HashMap<u64, (LaunchId, u32)>,
    next_member: u64,
    cache: Cache,
    killer: Killer,
    /// Apps of whose sockets some have come down from an earlier daemon.
    come_down: HashSet<String>,
    listened: HashSet<LaunchId>,
    /// Those of the others that were found, and that the keeper is to hold.
    found: Vec<(String, Kept<Arc<OwnedFd>>)>,
    /// What those have left behind that were found dead together: one look is enough for all, since what a process leaves has
    /// another parent before its own end is told of.
    inherited: OnceCell<Option<Vec<u32>>>,
    keeper: Option<KeeperLink>,
    /// By pid, how those ended that it has reaped and that are still watched.
    told: HashMap<u32, ExitStatus>,
    /// By name, what it held for an earlier daemon.
    held: BTreeMap<String, OwnedFd>,
    /// What was known of children by the program that this process was before.
    known: Vec<Child>,
    /// Marks of what an earlier daemon was just starting.
    begun: Begun,
    /// What is to be left alone when leftovers are ended, where that is still to be done.
    spared: Option<Spared>,
    /// By app, the sockets that its workers share.
    clusters: BTreeMap<String, Primary<Arc<OwnedFd>>>,
    /// By epoll key, those of slots without a worker, where others serve the same.
    orphans: BTreeMap<u64, Orphan>,
    next_orphan: u64,
    /// What node's workers load first, once it is there.
    preload: Option<PathBuf>,
    /// Tells when those have asked for what they want.
    sweep: Option<OwnedFd>,
    /// Tells when sockets that take nobody new can be closed.
    parting: Option<OwnedFd>,
    /// By app and port, where the system has been told to which sockets alone it is to give who connects: these, of so many.
    steered: BTreeMap<(String, Endpoint), (Vec<u32>, usize)>,
    /// What is known no more, and has its time to end.
    leaving: Vec<(u32, InstanceId)>,
    /// Who finishes what has come to it.
    emptying: BTreeMap<LaunchId, Emptying>,
    /// Tells when these are to be looked at.
    looks: Option<OwnedFd>,
    groups: Groups,
    /// No process that started before this, in clock ticks since boot, can descend from a launch of this daemon.
    oldest: u64,
    any_adopted: bool,
    /// Somebody listens to what apps say.
    heeds: bool,
    events: Vec<Event>,
    /// First processes that have ended and are zombies still.
    unburied: HashSet<u32>,
    /// Others may have ended, whom the kernel tells of after these.
    reaps_again: bool,
    /// How launches of an earlier daemon's have ended while there was none.
    unseen: Vec<(InstanceId, ExitStatus)>,
    /// Of processes that have ended; most are about to be written again.
    stale_pid_files: HashMap<PathBuf, u32>,
    scratch: Vec<u8>,
    /// Given up for a moment when processes are looked at: a stop must work when no more files may be opened.
    spare: Vec<OwnedFd>,
}

/// What an epoll key stands for, in its two highest bits.
#[derive(Clone, Copy)]
enum Key {
    Root(LaunchId),
    Channel(LaunchId),
    Notify(LaunchId),
    Member(u64),
    Pump,
    Keeper,
    Sweep,
    Parting,
    Looks,
    Orphan(u64),
}

/// No member gets as far as these.
const PUMP_KEY: u64 = !(3 << 62);
const KEEPER_KEY: u64 = PUMP_KEY - 1;
const SWEEP_KEY: u64 = PUMP_KEY - 2;
const PARTING_KEY: u64 = PUMP_KEY - 3;
const LOOKS_KEY: u64 = PUMP_KEY - 4;
/// From here on, among those of members.
const ORPHANS: u64 = 1 << 61;

/// A first process that ended without being asked to.
#[derive(Debug)]
struct Ended {
    launch: LaunchId,
    kin: Kin,
    /// Kept while others of the launch are there, one of which could be taken for the first without it.
    pid_file: Option<(PathBuf, u32)>,
}

impl Host {
    /// # Errors
    /// The system's.
    pub fn new(home: &Path, setup: ProcessSetup) -> io::Result<Self> {
        let me = procfs::process(std::process::id()).ok().flatten();
        let home_text = home.to_string_lossy();
        let mut host = Self {
            cache: Cache::new(&home_text),
            groups: Groups::new(&home_text),
            home: home_text.into_owned(),
            nonce: nonce()?,
            setup,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            notify: NotifyFolder::open(home)?,
            killer: Killer::new(Groups::own()),
            come_down: HashSet::new(),
            listened: HashSet::new(),
            found: Vec::new(),
            inherited: OnceCell::new(),
            keeper: None,
            told: HashMap::new(),
            held: BTreeMap::new(),
            known: Vec::new(),
            begun: Begun::new(),
            spared: None,
            clusters: BTreeMap::new(),
            orphans: BTreeMap::new(),
            next_orphan: 0,
            preload: None,
            sweep: None,
            parting: None,
            steered: BTreeMap::new(),
            leaving: Vec::new(),
            emptying: BTreeMap::new(),
            looks: None,
            pump: PumpLink::new(home),
            taps: None,
            running: HashMap::new(),
            roots: HashMap::new(),
            requests: Vec::new(),
            stopping: BTreeMap::new(),
            ended: HashMap::new(),
            strangers: HashSet::new(),
            members: HashMap::new(),
            next_member: 0,
            oldest: me.map_or(0, |me| me.start),
            any_adopted: false,
            heeds: false,
            events: Vec::new(),
            unburied: HashSet::new(),
            reaps_again: false,
            unseen: Vec::new(),
            stale_pid_files: HashMap::new(),
            scratch: vec![0; 16 << 10],
            spare: Vec::new(),
        };
        host.with_spare_files(|_| ());
        Ok(host)
    }

    /// How the marks of all that is started here begin.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// What was just being started is marked so, and had these pids before. To be said before [`Self::adopt`].
    pub fn expect(&mut self, begun: Begun) {
        self.begun = begun;
    }

    /// Launches by these marks are left alone. To be said before [`Self::adopt`].
    pub fn spare(&mut self, marks: impl IntoIterator<Item = String>) {
        self.strangers.extend(marks);
    }

    /// Takes over what an earlier daemon left of `launches`, and ends everything else that carries this home's mark, but what
    /// is `left` behind by some of them: that goes on until its launch is stopped.
    pub fn adopt(
        &mut self,
        launches: &[Launch],
        left: &HashMap<LaunchId, Left>,
        leaving: &BTreeMap<u32, LaunchId>,
    ) -> Vec<Adopted> {
        let mut adopted = Vec::new();
        let mut spared = Spared::default();
        self.keep_leaving(leaving, &mut spared);
        spared.marks.extend(self.running.values().map(|running| running.mark.clone()));
        spared.marks.extend(self.strangers.iter().cloned());
        let mut complete = true;
        let home = self.home.clone();
        let begun = std::mem::take(&mut self.begun);
        let mut search = Search::new(&home, &begun);
        let known = std::mem::take(&mut self.known);
        let can_wait = !known.is_empty();
        search.knows(known);
        let left_over = self.groups.left_over();
        self.take_over_sockets();
        for launch in launches {
            let over = left.get(&launch.id) == Some(&Left::Over);
            if over {
                self.keep_left(launch, &mut spared);
            } else if !launch.tree {
                // What it has started is left alone, whatever becomes of it.
                spared.instances.insert(launch.instance.to_string());
                spared.list_ids.insert(list_bits(launch));
            }
            let found = if over { search.filed(launch) } else { search.find(launch) };
            match found {
                Ok(Some(survivor)) if !self.roots.contains_key(&survivor.process.pid) => {
                    match self.take_over(launch, &survivor) {
                        Ok(taken) => adopted.push(taken),
                        Err(error) => {
                            self.notice(format!("cannot watch process {}: {}", survivor.process.pid, reason(&error)));
                        }
                    }
                    // Not watched is no reason to end it.
                    spared.marks.insert(survivor.mark);
                }
                Ok(Some(_)) => {}
                Ok(None) if over => {}
                Ok(None) => {
                    if left.contains_key(&launch.id) {
                        self.keep_left(launch, &mut spared);
                    }
                    self.look_how_it_ended(launch, &left_over);
                }
                Err(error) => {
                    self.notice(format!("cannot look for {}: {}", launch.instance, reason(&error)));
                    complete = false;
                }
            }
        }
        // Who has connected meanwhile, and is to be told of, waits.
        for app in self.clusters.keys().cloned().collect::<Vec<_>>() {
            self.mind(&app);
            self.steer_anew(&app, true);
        }
        self.any_adopted |= !adopted.is_empty() || !left.is_empty();
        if complete {
            spared.pids.extend(self.roots.keys());
            self.spared = Some(spared);
            if !can_wait {
                self.end_leftovers();
            }
        }
        adopted
    }

    /// By their numbers, what is known no more and has its time to end.
    fn keep_leaving(&mut self, leaving: &BTreeMap<u32, LaunchId>, spared: &mut Spared) {
        if leaving.is_empty() {
            return;
        }
        let Ok(marked) = survivors::marked(Path::new(&self.home)) else { return };
        for (number, launch) in leaving {
            let is_its =
                |one: &&Marked| one.list_id == first(*number) && one.instance.is_second() == is_second(*number);
            let Some(one) = marked.iter().find(is_its) else { continue };
            let kin = Kin { instance: Some(one.instance.to_string()), adopted: true, ..Kin::default() };
            spared.instances.extend(kin.instance.clone());
            self.any_adopted = true;
            self.leaving.push((*number, one.instance.clone()));
            self.ended.insert(one.instance.to_string(), Ended { launch: *launch, kin, pid_file: None });
        }
    }

    /// Who that is that leaves, by its number.
    #[must_use]
    pub fn who_leaves(&self, number: u32) -> Option<InstanceId> {
        self.leaving.iter().find(|(other, _)| *other == number).map(|(_, instance)| instance.clone())
    }

    fn keep_left(&mut self, launch: &Launch, spared: &mut Spared) {
        let kin = Kin::of_instance(launch);
        spared.instances.extend(kin.instance.clone());
        spared.list_ids.extend(kin.list_id);
        self.ended.insert(launch.instance.to_string(), Ended { launch: launch.id, kin, pid_file: None });
    }

    /// Whether [`Self::end_leftovers`] is still to be called. Where this process was the daemon all the time there is hardly
    /// anything to end, and commands wait.
    #[must_use]
    pub fn has_leftovers(&self) -> bool {
        self.spared.is_some()
    }

    /// Ends what an earlier daemon has left and nobody needs. Nothing is started before that: it could be a second copy.
    pub fn end_leftovers(&mut self) {
        let Some(spared) = self.spared.take() else { return };
        let ended = survivors::end_leftovers(&self.home, &spared);
        if ended > 0 {
            self.notice(format!("ended {ended} processes that an earlier daemon left and nobody needs"));
        }
    }

    /// Nobody is started beside what goes and was called the same.
    fn end_leaving(&mut self, launch: &Launch) {
        let is_same = |(_, one): &mut (u32, InstanceId)| one.first() == launch.instance.first();
        let same: HashSet<String> = self.leaving.extract_if(.., is_same).map(|(_, one)| one.to_string()).collect();
        if !same.is_empty() {
            let watched = self.running.values().map(|running| running.mark.clone()).collect();
            survivors::end_instances(&self.home, &same, &watched);
        }
    }

    /// Starts a process: its pid, and how long its error log was before.
    ///
    /// # Errors
    /// In words, with what was wrong with the app.
    pub fn spawn(&mut self, launch: &Launch) -> Result<(u32, u64), String> {
        self.end_leftovers();
        self.end_leaving(launch);
        let mark = launch_mark(&self.nonce, launch.id);
        let account = account(launch)?;
        let notify = launch.notify.then(|| self.notify.bind(&mark, account.is_some())).transpose();
        let notify = notify.map_err(|error| format!("cannot make its notify socket: {}", reason(&error)))?;
        // Of a health check nobody reads anything.
        let is_tapped = self.taps.is_some() && !launch.pid_file.is_empty();
        let (outputs, taps) = match is_tapped.then(|| Outputs::tap(launch)).transpose()? {
            Some((outputs, taps)) => (outputs, Some(taps)),
            None => (Outputs::open(launch, &self.home, account.as_ref())?, None),
        };
        // Before there is a process: if none comes of it, the pipes end, and nothing is left over there.
        self.pump_out(outputs.piped.as_ref())?;
        let group = self.open_group(launch, &mark);
        let preload = self.preload(launch);
        let sockets = self.pass_sockets(launch, account.as_ref()).inspect_err(|_| self.groups.release(launch.id))?;
        let extras = Extras {
            sockets,
            home: &self.home,
            preload: preload.as_deref(),
            mark: &mark,
            tag: Tag::new(launch, &self.home, &mark),
            notify: notify.as_ref().map(|notify| notify.address.as_str()),
            files: self.setup.files,
            account: account.as_ref(),
            group,
        };
        let (spawned, piped) = match spawn(launch, &extras, outputs) {
            Ok(spawned) => spawned,
            Err(error) => {
                self.groups.release(launch.id);
                self.unpass(launch);
                return Err(error);
            }
        };
        let pid = spawned.pid;
        if let Some(all) = &mut self.taps {
            all.extend(taps.into_iter().flatten());
        }
        fault_point();
        self.entered_group(launch, pid);
        let pidfd = match open_pid(pid) {
            Ok(pidfd) => pidfd,
            Err(error) => return Err(self.give_up(launch, pid, &error)),
        };
        let spec = launch.env.get(MARK_SPEC).cloned().unwrap_or_default();
        let mut running = Running::new(launch, pid, pidfd, mark, spec, None);
        running.channel = spawned.channel;
        running.notify = notify;
        running.piped = piped;
        self.have_held(&running);
        if let Err(error) = self.watch_root(launch.id, running) {
            return Err(self.give_up(launch, pid, &error));
        }
        fault_point();
        // A health check has none.
        if !launch.pid_file.is_empty() {
            let pid_file = self.running.get(&launch.id).map(|running| running.pid_file.clone()).unwrap_or_default();
            let stale = self.stale_pid_files.remove(&pid_file);
            self.write_pid_file(&pid_file, pid, stale, account.as_ref());
        }
        Ok((pid, spawned.error_log_offset))
    }

    /// It cannot be watched, and ends.
    fn give_up(&mut self, launch: &Launch, pid: u32, error: &io::Error) -> String {
        end_child(pid);
        self.groups.release(launch.id);
        self.unpass(launch);
        format!("cannot watch the new process: {}", reason(error))
    }

    /// The pid of who serves from now on is where that of the one before was.
    pub fn change_places(&mut self, launch: LaunchId, from: LaunchId) {
        self.steer_past(launch, from);
        let Some(fresh) = self.running.get(&launch) else { return };
        let (pid, beside) = (fresh.pid, fresh.pid_file.clone());
        let account = fresh.member.as_ref().and_then(|member| member.account.clone());
        let path = pid_file::own(&beside);
        // The one before may have ended already.
        let former = self.running.get(&from).map(|former| former.pid);
        if let Some(former) = former {
            self.write_pid_file(&beside, former, None, account.as_ref());
        }
        self.stale_pid_files.remove(&path);
        self.write_pid_file(&path, pid, None, account.as_ref());
        if former.is_none() {
            pid_file::remove(&beside, pid);
        }
        if let Some(running) = self.running.get_mut(&launch) {
            running.pid_file = path;
        }
        if let Some(running) = self.running.get_mut(&from) {
            running.pid_file = beside;
        }
    }

    /// Whether the descendants of a first process end when it ends by itself.
    pub fn set_tree(&mut self, launch: LaunchId, tree: bool) {
        if let Some(running) = self.running.get_mut(&launch) {
            running.tree = tree;
        }
    }

    /// Answered by `TreeGone`. Nothing is done before [`Self::flush`], so that many stops share one look at /proc.
    pub fn stop(&mut self, launch: LaunchId, signal: Signal, tree: bool) {
        self.requests.push((launch, How::Signal(signal), tree));
    }

    /// Sends the first process a signal, and is not concerned with what it makes of it.
    pub fn signal(&mut self, launch: LaunchId, signal: Signal) {
        if let (Some(running), Some(signal)) = (self.running.get(&launch), raw_signal(signal)) {
            // One that has ended has nothing to say to it.
            let _ = pidfd_send_signal(&running.pidfd, signal);
        }
    }

    /// As [`Self::stop`], by `"shutdown"` over the channel; by SIGINT where that cannot be said.
    pub fn stop_by_message(&mut self, launch: LaunchId, tree: bool) {
        self.requests.push((launch, How::Message, tree));
    }

    /// As [`Self::stop`], of what was asked to end by an earlier daemon: nobody is sent anything.
    pub fn await_end(&mut self, launch: LaunchId, tree: bool) {
        self.requests.push((launch, How::Nothing, tree));
    }

    /// SIGKILL, until nothing is left; answered by `TreeGone`.
    pub fn kill(&mut self, launch: LaunchId, tree: bool) {
        self.requests.push((launch, How::Kill, tree));
    }

    /// From now on all that apps write is for [`Self::take_taps`].
    pub fn tap(&mut self) {
        self.taps = Some(Vec::new());
    }

    /// Of what was started since it was last asked.
    pub fn take_taps(&mut self) -> Vec<Tap> {
        self.taps.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Ends what apps have left behind, and is still there: nobody is to follow who would look after it.
    pub fn end_all(&mut self) {
        survivors::end_leftovers(&self.home, &Spared::default());
        self.bury();
        self.reap();
        self.bury();
    }

    /// What happened since it was last asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Looks what has become of everything that is watched; never blocks. True when there may be more at once.
    pub fn dispatch(&mut self) -> bool {
        self.poll(Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
    }

    /// Reaps children that have ended: orphaned descendants that became ours are nobody else's to reap. First processes of
    /// launches stay zombies until [`Self::bury`]. To be called after SIGCHLD.
    pub fn reap(&mut self) {
        // Of first processes the kernel tells here only one: they are told of by their own descriptors.
        self.dispatch();
        while let Some(pid) = sys::ended_child() {
            self.find_more();
            let progress = match self.roots.get(&pid) {
                Some(launch) => self.root_exited(*launch) && !self.unburied.contains(&pid),
                None => !self.unburied.contains(&pid) && bury(pid),
            };
            if !progress {
                // It tells of no other before this one is buried.
                self.reaps_again = !self.unburied.is_empty();
                break;
            }
        }
    }

    /// Lets go of those whose end was told by [`Self::take_events`]. To be called once that is noted where the next daemon finds
    /// it: should this one be killed before, the keeper inherits them, and tells.
    pub fn bury(&mut self) {
        for pid in self.unburied.drain() {
            bury(pid);
        }
    }

    /// Goes on with [`Self::reap`] where that had to wait for [`Self::bury`].
    pub fn reap_others(&mut self) {
        if self.unburied.is_empty() && std::mem::take(&mut self.reaps_again) {
            self.reap();
        }
    }

    /// Removes the pid files of what has ended and was not started again. To be called when nothing is about to be.
    pub fn tidy(&mut self) {
        for (path, pid) in self.stale_pid_files.drain() {
            pid_file::remove(&path, pid);
        }
        self.groups.tidy();
    }

    /// To be called last, by the daemon that no other follows yet.
    pub fn end(&mut self) {
        self.tidy();
        self.groups.end();
        self.take_leave();
    }

    /// Begins the stops that were asked for and goes on with those under way.
    pub fn flush(&mut self) {
        for (launch, how, tree) in std::mem::take(&mut self.requests) {
            self.begin(launch, how, tree);
        }
        while self.stopping.values().any(|stopping| stopping.todo != Todo::Nothing) {
            self.sweep();
        }
        if self.stopping.is_empty() {
            self.cache.forget();
        }
    }

    /// As [`Self::dispatch`], waiting for something to happen.
    pub(in crate::platform) fn poll(&mut self, timeout: Option<&Timespec>) -> bool {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_PER_TURN);
        if epoll::wait(&self.epoll, spare_capacity(&mut events), timeout).is_err() {
            return false;
        }
        self.find_more();
        for event in &events {
            let data = event.data;
            match Key::decode(data.u64()) {
                Key::Root(launch) => {
                    if !self.root_exited(launch)
                        && let Some(held) = self.running.get(&launch)
                    {
                        // Dead, and a tracer has its status: SIGCHLD tells when it lets go.
                        let _ = epoll::delete(&self.epoll, &held.pidfd);
                    }
                }
                Key::Channel(launch) => self.channel_readable(launch),
                Key::Notify(launch) => self.notify_readable(launch),
                Key::Member(key) => self.member_exited(key),
                Key::Pump => self.pump_ended(),
                Key::Keeper => self.hear_keeper(),
                Key::Sweep => self.sweep_sockets(),
                Key::Parting => self.part(),
                Key::Looks => self.look_who_is_served(),
                Key::Orphan(key) => self.accept_for(key),
            }
        }
        !events.is_empty()
    }

    fn take_over(&mut self, launch: &Launch, survivor: &Survivor) -> io::Result<Adopted> {
        // Gone by now, it is none that survived; what it left is found with its successor.
        let pidfd = match &survivor.child {
            Some(child) => open_pid(child.pid)?,
            None => pin(&survivor.process)?.ok_or(rustix::io::Errno::SRCH)?,
        };
        let Process { pid, start, .. } = survivor.process;
        let (mark, spec) = (survivor.mark.clone(), survivor.spec_digest.clone());
        let launch = &Launch { relieves: survivor.beside, ..launch.clone() };
        let mut running = Running::new(launch, pid, pidfd, mark, spec, Some(start));
        let is_unpiped = survivor.child.as_ref().is_some_and(|child| child.piped == Some(false));
        running.piped = if is_unpiped { None } else { self.take_over_pipes(launch, pid) };
        running.kept = survivor.process.parent == std::os::unix::process::parent_id();
        // This process was another program, and is still the parent.
        running.child = survivor.process.parent == std::process::id();
        self.take_over_held(&mut running);
        let adopted = Adopted {
            channel: running.channel.is_some(),
            notify: running.notify.is_some(),
            piped: running.piped.is_some(),
            ..survivor.adopted(launch.id)
        };
        let unfiled = (!survivor.filed).then(|| running.pid_file.clone());
        self.watch_root(launch.id, running)?;
        self.take_over_member(launch);
        let is_alone = survivor.child.as_ref().is_some_and(|child| !child.grouped);
        if !is_alone || !launch.limits.is_none() {
            self.adopt_group(launch, pid);
        }
        if let Some(path) = unfiled {
            let account = account(launch).ok().flatten();
            self.write_pid_file(&path, pid, None, account.as_ref());
        }
        Ok(adopted)
    }

    /// `stale` is what is in it of a process that has ended.
    fn write_pid_file(&mut self, path: &Path, pid: u32, stale: Option<u32>, account: Option<&Account>) {
        // Below our home nobody else may write. Elsewhere links may lie in wait: it is written as the user would.
        let theirs = account.filter(|_| !path.starts_with(&self.home));
        let written = match theirs {
            Some(account) => match account.lend(|| pid_file::write(path, pid, false)) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => pid_file::write(path, pid, false),
                written => written,
            },
            None => pid_file::write(path, pid, stale.is_some()),
        };
        if let Err(error) = written {
            self.notice(format!("cannot write the pid file `{}`: {}", path.display(), reason(&error)));
            // Without a pid file the process is found all the same, but not behind one that names another.
            if theirs.is_none() {
                pid_file::remove_other(path, pid);
            }
        }
    }

    fn watch_root(&mut self, launch: LaunchId, running: Running) -> io::Result<()> {
        self.watch(&running.pidfd, Key::Root(launch))?;
        if let Some(channel) = &running.channel {
            self.watch(channel, Key::Channel(launch))?;
        }
        if let Some(notify) = &running.notify {
            self.watch(notify, Key::Notify(launch))?;
        }
        self.roots.insert(running.pid, launch);
        self.running.insert(launch, running);
        Ok(())
    }

    fn watch(&self, fd: &impl AsFd, key: Key) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, epoll::EventData::new_u64(key.encode()), epoll::EventFlags::IN)?)
    }

    fn with_spare_files<T>(&mut self, inside: impl FnOnce(&mut Self) -> T) -> T {
        self.spare.clear();
        let result = inside(self);
        while self.spare.len() < SPARE_FILES
            && let Ok(spare) = rustix::io::fcntl_dupfd_cloexec(&self.epoll, 0)
        {
            self.spare.push(spare);
        }
        result
    }

    fn notice(&mut self, text: String) {
        self.events.push(Event::Notice(text));
    }

    fn notify_readable(&mut self, launch: LaunchId) {
        let notify = self.running.get(&launch).and_then(|running| running.notify.as_ref());
        if notify.is_some_and(|notify| notify.read(&mut self.scratch)) {
            self.events.push(Event::Ready { launch });
        }
    }

    /// False when it has not ended after all.
    fn root_exited(&mut self, launch: LaunchId) -> bool {
        let asked = self.stopping.contains_key(&launch) || self.requests.iter().any(|request| request.0 == launch);
        let Some(running) = self.running.get(&launch) else { return false };
        let status = if running.child {
            let Some(status) = look_how_ended(running.pid) else { return false };
            self.unburied.insert(running.pid);
            status
        } else if let Some(status) = self.told.remove(&running.pid) {
            status
        } else if running.kept {
            return false;
        } else {
            ExitStatus::Unknown
        };
        let Some(running) = self.running.remove(&launch) else { return false };
        let status = if asked { status } else { self.who_killed(launch, running.pid, status) };
        if running.piped.is_some() {
            self.pump_released();
        }
        // Where another has it open still, it would go on telling.
        if let Some(channel) = &running.channel {
            let _ = epoll::delete(&self.epoll, channel);
        }
        self.worker_gone(&running);
        self.release_held(&running);
        self.roots.remove(&running.pid);
        let left = running.tree && !asked && self.left_behind(&running);
        let mut pid_file = Some((running.pid_file.clone(), running.pid));
        // As long as it names who has ended, none of what that has left is taken for it.
        if !(left || (running.tree && asked)) {
            self.stale_pid_files.extend(pid_file.take());
        }
        if running.tree {
            // The session's number may be another's by the time somebody asks.
            let kin = Kin { root: None, session: 0, ..running.kin() };
            self.ended.insert(running.instance.clone(), Ended { launch, kin, pid_file });
        }
        // Of the others it may be wanted to end them.
        if !running.tree || !(left || asked) {
            self.groups.release(launch);
        }
        self.events.push(Event::Exited { launch, status, left });
        if let Some(stopping) = self.stopping.get_mut(&launch) {
            stopping.kin.root = None;
            if !stopping.tree {
                self.finish(launch);
            } else if stopping.members.is_empty() && stopping.todo == Todo::Nothing {
                stopping.todo = Todo::Verify;
            }
        }
        true
    }

    /// Nobody here did, if anybody did.
    fn who_killed(&mut self, launch: LaunchId, pid: u32, status: ExitStatus) -> ExitStatus {
        let killed = status == ExitStatus::Signal(Signal::KILL.number());
        if !killed && status != ExitStatus::Unknown {
            return status;
        }
        // Looked at in any case: what it counts is told once.
        let acted = if killed { self.killer.acted() } else { None };
        let somewhere = |within: Duration| u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let shortage = match self.groups.kills(launch) {
            Some(Kills::None) => None,
            Some(Kills::AtLimit(bytes)) => Some(Shortage::Limit(bytes)),
            Some(Kills::Above) => Some(Shortage::Above),
            None => acted.and_then(|within| match oom::is_in_log(pid) {
                Some(true) => Some(Shortage::Above),
                Some(false) => None,
                None => Some(Shortage::Somewhere { within_ms: somewhere(within) }),
            }),
        };
        shortage.map_or(status, ExitStatus::OutOfMemory)
    }

    /// Whether processes of a launch are still there though its first one has ended. What lost its parents is this
    /// daemon's child now; of what an earlier daemon started that is not so, and only a look at all processes tells.
    fn left_behind(&self, running: &Running) -> bool {
        let Some(inherited) =
            self.inherited.get_or_init(|| self.look_what_is_inherited()).as_ref().filter(|_| running.child)
        else {
            return true;
        };
        let launch = launch_bits(&running.mark);
        inherited.iter().any(|pid| match procfs::file_locks(*pid).and_then(Tag::of_limit) {
            Some(tag) => tag.launch == launch && tag.is_of(&self.home),
            None => procfs::marks(*pid).is_some_and(|marks| marks.launch.as_ref() == Some(&running.mark)),
        })
    }

    /// Whose parents are gone, and that are this process's children since.
    fn look_what_is_inherited(&self) -> Option<Vec<u32>> {
        let mut children = procfs::own_children()?;
        children.retain(|pid| !self.roots.contains_key(pid) && !self.unburied.contains(pid));
        Some(children)
    }

    /// Further deaths are found: what was looked at for the others does not hold for them.
    fn find_more(&mut self) {
        self.killer.begin();
        self.inherited.take();
    }

    fn member_exited(&mut self, key: u64) {
        let Some((launch, pid)) = self.members.remove(&key) else { return };
        let Some(stopping) = self.stopping.get_mut(&launch) else { return };
        stopping.members.remove(&pid);
        if stopping.members.is_empty() && stopping.kin.root.is_none() && stopping.todo == Todo::Nothing {
            stopping.todo = Todo::Verify;
        }
    }
}

/// Readable when [`Host::dispatch`] has something to do.
impl AsFd for Host {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Host {
    /// A descriptor of its own for the same, so that a reactor can own it while the host is at work.
    ///
    /// # Errors
    /// The system's.
    pub fn readiness(&self) -> io::Result<OwnedFd> {
        self.epoll.try_clone()
    }
}

impl Key {
    fn encode(self) -> u64 {
        match self {
            Self::Root(LaunchId(id)) => id,
            Self::Channel(LaunchId(id)) => id | 1 << 62,
            Self::Notify(LaunchId(id)) => id | 2 << 62,
            Self::Member(key) => key | 3 << 62,
            Self::Pump => PUMP_KEY | 3 << 62,
            Self::Keeper => KEEPER_KEY | 3 << 62,
            Self::Sweep => SWEEP_KEY | 3 << 62,
            Self::Parting => PARTING_KEY | 3 << 62,
            Self::Looks => LOOKS_KEY | 3 << 62,
            Self::Orphan(key) => key | ORPHANS | 3 << 62,
        }
    }

    fn decode(bits: u64) -> Self {
        let id = bits & !(3 << 62);
        match bits >> 62 {
            0 => Self::Root(LaunchId(id)),
            1 => Self::Channel(LaunchId(id)),
            2 => Self::Notify(LaunchId(id)),
            _ if id == PUMP_KEY => Self::Pump,
            _ if id == KEEPER_KEY => Self::Keeper,
            _ if id == SWEEP_KEY => Self::Sweep,
            _ if id == PARTING_KEY => Self::Parting,
            _ if id == LOOKS_KEY => Self::Looks,
            _ if id & ORPHANS != 0 => Self::Orphan(id & !ORPHANS),
            _ => Self::Member(id),
        }
    }
}

/// What a daemon's launch is marked with, which no other is.
#[must_use]
pub fn launch_mark(nonce: &str, launch: LaunchId) -> String {
    format!("{nonce}.{}", launch.0)
}

fn nonce() -> io::Result<String> {
    use std::fmt::Write as _;
    Ok(random_bytes::<6>()?.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
