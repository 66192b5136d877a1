use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::process::{Pid, WaitOptions, kill_process_group, pidfd_send_signal, waitpid};

use super::channel::Channel;
use super::notify::{Notify, NotifyFolder};
use super::procfs::{self, Marks, Process, Table};
use super::setup::ProcessSetup;
use super::spawn::{Extras, spawn};
use super::survivors::{self, Adopted, open_pid, pin};
use super::tree::{Closer, Kin, Known, Member, Stopping, Survey, Todo};
use super::{reason, sys};
use crate::base::{ExitStatus, Signal};
use crate::supervisor::{Launch, LaunchId, Output};

/// How often the descendants of one launch are looked for again before a stop is called done regardless. What forks
/// faster than it can be frozen this often needs a cgroup.
const ROUNDS_MAX: u32 = 50;
/// How often it is looked again in one go while everything is being frozen; the loop stands still meanwhile.
const FREEZES_MAX: u32 = 10;
const EVENTS_PER_TURN: usize = 256;

/// What happened to a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first process ended; once a launch.
    Exited {
        launch: LaunchId,
        status: ExitStatus,
    },
    /// After a stop or kill: nothing is left. After `Exited`, where there was one.
    TreeGone {
        launch: LaunchId,
    },
    Ready {
        launch: LaunchId,
    },
    /// Something went wrong beside the point; a line for the daemon's log.
    Notice(String),
}

/// How a stop begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Signal(Signal),
    Message,
    Kill,
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
    running: HashMap<LaunchId, Running>,
    roots: HashMap<u32, LaunchId>,
    requests: Vec<(LaunchId, How, bool)>,
    stopping: BTreeMap<LaunchId, Stopping>,
    /// By epoll key, which member of which stop.
    members: HashMap<u64, (LaunchId, u32)>,
    next_member: u64,
    cache: Cache,
    /// No process that started before this, in clock ticks since boot, can descend from a launch of this daemon.
    oldest: u64,
    any_adopted: bool,
    events: Vec<Event>,
    /// Of processes that have ended; most are about to be written again.
    stale_pid_files: HashMap<PathBuf, u32>,
    scratch: Vec<u8>,
}

/// A first process.
#[derive(Debug)]
struct Running {
    pid: u32,
    pidfd: OwnedFd,
    /// False: taken over from an earlier daemon, its status is for another to collect.
    child: bool,
    mark: String,
    instance: String,
    logs: Vec<String>,
    pid_file: PathBuf,
    tree: bool,
    channel: Option<Channel>,
    notify: Option<Notify>,
}

/// What an epoll key stands for, in its two highest bits.
#[derive(Clone, Copy)]
enum Key {
    Root(LaunchId),
    Channel(LaunchId),
    Notify(LaunchId),
    Member(u64),
}

impl Host {
    /// # Errors
    /// The system's.
    pub fn new(home: &Path, setup: ProcessSetup) -> io::Result<Self> {
        let me = procfs::process(std::process::id());
        Ok(Self {
            home: home.to_string_lossy().into_owned(),
            nonce: nonce()?,
            setup,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            notify: NotifyFolder::open(home)?,
            running: HashMap::new(),
            roots: HashMap::new(),
            requests: Vec::new(),
            stopping: BTreeMap::new(),
            members: HashMap::new(),
            next_member: 0,
            cache: Cache::default(),
            oldest: me.map_or(0, |me| me.start),
            any_adopted: false,
            events: Vec::new(),
            stale_pid_files: HashMap::new(),
            scratch: vec![0; 16 << 10],
        })
    }

    /// Takes over what an earlier daemon left of `launches`, and ends everything else that carries this home's mark.
    pub fn adopt(&mut self, launches: &[Launch]) -> Vec<Adopted> {
        let mut adopted = Vec::new();
        for launch in launches {
            if let Some(survivor) = survivors::find(launch, &self.home)
                && !self.roots.contains_key(&survivor.process.pid)
            {
                let pid = survivor.process.pid;
                let started_at_ms = procfs::started_at_ms(&survivor.process);
                let running = Running::new(launch, pid, survivor.pidfd, survivor.mark, false);
                match self.watch_root(launch.id, running) {
                    Ok(()) => {
                        let spec_digest = survivor.spec_digest;
                        adopted.push(Adopted { launch: launch.id, pid, spec_digest, started_at_ms });
                    }
                    Err(error) => self.notice(format!("cannot watch process {pid}: {}", reason(&error))),
                }
            }
        }
        self.any_adopted |= !adopted.is_empty();
        let marks = self.running.values().map(|running| running.mark.clone()).collect();
        let ended = survivors::end_leftovers(&self.home, &marks);
        if ended > 0 {
            self.notice(format!("ended {ended} processes that an earlier daemon left and nobody needs"));
        }
        adopted
    }

    /// Starts a process: its pid, and how long its error log was before.
    ///
    /// # Errors
    /// In words, with what was wrong with the app.
    pub fn spawn(&mut self, launch: &Launch) -> Result<(u32, u64), String> {
        let mark = format!("{}.{}", self.nonce, launch.id.0);
        let notify = launch.notify.then(|| self.notify.bind(&mark)).transpose();
        let notify = notify.map_err(|error| format!("cannot make its notify socket: {}", reason(&error)))?;
        let extras = Extras {
            home: &self.home,
            mark: &mark,
            notify: notify.as_ref().map(|notify| notify.address.as_str()),
            files: self.setup.files,
        };
        let spawned = spawn(launch, &extras)?;
        let pid = spawned.pid;
        let pidfd = open_pid(pid).map_err(|error| {
            end_child(pid);
            format!("cannot watch the new process: {}", reason(&error))
        })?;
        let mut running = Running::new(launch, pid, pidfd, mark, true);
        running.channel = spawned.channel;
        running.notify = notify;
        if let Err(error) = self.watch_root(launch.id, running) {
            end_child(pid);
            return Err(format!("cannot watch the new process: {}", reason(&error)));
        }
        let pid_file = Path::new(&launch.pid_file);
        let in_place = self.stale_pid_files.remove(pid_file).is_some();
        if let Err(error) = write_pid_file(pid_file, pid, in_place) {
            self.notice(format!("cannot write the pid file `{}`: {}", launch.pid_file, reason(&error)));
        }
        Ok((pid, spawned.error_log_offset))
    }

    /// Answered by `TreeGone`. Nothing is done before [`Self::flush`], so that many stops share one look at /proc.
    pub fn stop(&mut self, launch: LaunchId, signal: Signal, tree: bool) {
        self.requests.push((launch, How::Signal(signal), tree));
    }

    /// As [`Self::stop`], by `"shutdown"` over the channel; by SIGINT where that cannot be said.
    pub fn stop_by_message(&mut self, launch: LaunchId, tree: bool) {
        self.requests.push((launch, How::Message, tree));
    }

    /// SIGKILL, until nothing is left; answered by `TreeGone`.
    pub fn kill(&mut self, launch: LaunchId, tree: bool) {
        self.requests.push((launch, How::Kill, tree));
    }

    /// What happened since it was last asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Looks what has become of everything that is watched; never blocks. True when there may be more at once.
    pub fn dispatch(&mut self) -> bool {
        self.poll(Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
    }

    /// Reaps children that have ended: orphaned descendants that became ours are nobody else's to reap.
    /// To be called after SIGCHLD.
    pub fn reap(&mut self) {
        while let Some(pid) = sys::ended_child() {
            let progress = match self.roots.get(&pid) {
                Some(launch) => self.root_exited(*launch),
                None => reap_child(pid).is_some(),
            };
            if !progress {
                break;
            }
        }
    }

    /// Removes the pid files of what has ended and was not started again. To be called when nothing is about to be.
    pub fn tidy(&mut self) {
        for (path, pid) in self.stale_pid_files.drain() {
            remove_pid_file(&path, pid);
        }
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
            self.cache = Cache::default();
        }
    }

    /// As [`Self::dispatch`], waiting for something to happen.
    pub(super) fn poll(&mut self, timeout: Option<&Timespec>) -> bool {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_PER_TURN);
        if epoll::wait(&self.epoll, spare_capacity(&mut events), timeout).is_err() {
            return false;
        }
        for event in &events {
            let data = event.data;
            match Key::decode(data.u64()) {
                Key::Root(launch) => {
                    self.root_exited(launch);
                }
                Key::Channel(launch) => self.channel_readable(launch),
                Key::Notify(launch) => self.notify_readable(launch),
                Key::Member(key) => self.member_exited(key),
            }
        }
        !events.is_empty()
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

    fn notice(&mut self, text: String) {
        self.events.push(Event::Notice(text));
    }

    fn channel_readable(&mut self, launch: LaunchId) {
        let Some(running) = self.running.get_mut(&launch) else { return };
        let Some(channel) = &mut running.channel else { return };
        let heard = channel.read(&mut self.scratch);
        if heard.closed {
            running.channel = None;
        }
        if heard.ready {
            self.events.push(Event::Ready { launch });
        }
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
            if running.tree && !asked {
                // Not reaped yet, so the group's number cannot be another's.
                end_group(running.pid);
            }
            let Some(status) = reap_child(running.pid) else { return false };
            status
        } else {
            ExitStatus::Unknown
        };
        let Some(running) = self.running.remove(&launch) else { return false };
        self.roots.remove(&running.pid);
        self.stale_pid_files.insert(running.pid_file.clone(), running.pid);
        self.events.push(Event::Exited { launch, status });
        if let Some(stopping) = self.stopping.get_mut(&launch) {
            stopping.kin.root = None;
            if !stopping.tree {
                self.finish(launch);
            } else if stopping.members.is_empty() && stopping.todo == Todo::Nothing {
                stopping.todo = Todo::Verify;
            }
        } else if !running.child && running.tree {
            // The group is not pinned by a zombie of ours; its marks tell what is left of it.
            let mut kin = running.kin();
            kin.root = None;
            self.stopping.insert(launch, Stopping::new(kin, true, Todo::Kill, Signal::KILL, true));
        }
        true
    }

    fn member_exited(&mut self, key: u64) {
        let Some((launch, pid)) = self.members.remove(&key) else { return };
        let Some(stopping) = self.stopping.get_mut(&launch) else { return };
        stopping.members.remove(&pid);
        if stopping.members.is_empty() && stopping.kin.root.is_none() && stopping.todo == Todo::Nothing {
            stopping.todo = Todo::Verify;
        }
    }

    fn begin(&mut self, launch: LaunchId, how: How, tree: bool) {
        let running = self.running.get(&launch);
        if !tree {
            let Some(running) = running else {
                // Its first process has ended; whatever was begun with the tree goes on.
                if !self.stopping.contains_key(&launch) {
                    self.events.push(Event::TreeGone { launch });
                }
                return;
            };
            running.send(how);
            let kin = running.kin();
            self.stopping
                .entry(launch)
                .or_insert_with(|| Stopping::new(kin, false, Todo::Nothing, Signal::KILL, false));
            return;
        }
        if how == How::Message
            && let Some(running) = running
        {
            running.send(how);
        }
        let (todo, signal) = match how {
            How::Signal(signal) => (Todo::Signal, signal),
            How::Message => (Todo::Watch, Signal::TERM),
            How::Kill => (Todo::Kill, Signal::KILL),
        };
        let nonce = &self.nonce;
        let kin = || match running {
            Some(running) => running.kin(),
            // It ended a moment ago; only its marks can tell what it left.
            None => Kin { mark: format!("{nonce}.{}", launch.0), ..Kin::default() },
        };
        let stopping = self.stopping.entry(launch).or_insert_with(|| Stopping::new(kin(), true, todo, signal, false));
        // A stop that is under way becomes sterner, never milder.
        stopping.silent = false;
        stopping.tree = true;
        if !stopping.killing && stopping.todo != Todo::Kill {
            stopping.todo = todo;
            stopping.signal = signal;
        }
        stopping.killing |= how == How::Kill;
    }

    /// One look at all processes, and what it means for every stop that has something to do.
    fn sweep(&mut self) {
        let Some(survey) = self.survey() else {
            // Without /proc nothing but first processes is known; what is watched still counts.
            for stopping in self.stopping.values_mut() {
                stopping.todo = Todo::Nothing;
            }
            return;
        };
        let busy = |stopping: &Stopping| stopping.todo != Todo::Nothing;
        let launches: Vec<LaunchId> =
            self.stopping.iter().filter(|(_, stopping)| busy(stopping)).map(|(launch, _)| *launch).collect();
        let mut kills = Vec::new();
        for launch in launches {
            let found = self.find(&survey, launch);
            let Some(stopping) = self.stopping.get_mut(&launch) else { continue };
            let todo = std::mem::replace(&mut stopping.todo, Todo::Nothing);
            if todo == Todo::Verify && !found.is_empty() {
                stopping.rounds += 1;
                if stopping.rounds > ROUNDS_MAX {
                    let left = found.len();
                    self.notice(format!("gave up on {left} processes that start others faster than they are ended"));
                    self.finish(launch);
                    continue;
                }
            }
            let stern = todo == Todo::Kill || (todo == Todo::Verify && stopping.killing);
            if stern {
                kills.push((launch, found));
                continue;
            }
            let signal = (todo != Todo::Watch).then_some(stopping.signal);
            if todo == Todo::Signal
                && let Some(running) = self.running.get(&launch)
            {
                running.send(How::Signal(stopping.signal));
            }
            self.add_members(launch, &found, signal, todo == Todo::Signal);
            self.finish_if_gone(launch, found.is_empty());
        }
        if !kills.is_empty() {
            self.kill_all(kills);
        }
    }

    /// Freezes first, until nothing new turns up: what is frozen cannot fork away from what follows.
    fn kill_all(&mut self, kills: Vec<(LaunchId, Vec<Process>)>) {
        let launches: Vec<LaunchId> = kills.iter().map(|(launch, _)| *launch).collect();
        let mut any_new = false;
        for (launch, found) in kills {
            if let Some(running) = self.running.get(&launch) {
                any_new |= running.freeze();
            }
            any_new |= self.freeze_members(launch, &found);
        }
        for _ in 0..FREEZES_MAX {
            if !any_new {
                break;
            }
            let Some(survey) = self.survey() else { break };
            any_new = false;
            for launch in &launches {
                let found = self.find(&survey, *launch);
                any_new |= self.freeze_members(*launch, &found);
            }
        }
        for launch in launches {
            if let Some(running) = self.running.get(&launch) {
                running.send(How::Kill);
            }
            if let Some(stopping) = self.stopping.get_mut(&launch) {
                stopping.killing = true;
                for member in stopping.members.values() {
                    let _ = pidfd_send_signal(&member.pidfd, rustix::process::Signal::KILL);
                }
            }
            self.finish_if_gone(launch, !any_new);
        }
    }

    /// True when there was one that had not been frozen before. One that is gone already counts: it may have left
    /// another in its place.
    fn freeze_members(&mut self, launch: LaunchId, found: &[Process]) -> bool {
        let Some(stopping) = self.stopping.get(&launch) else { return false };
        let is_new = |process: &Process| stopping.members.get(&process.pid).is_none_or(|m| m.start != process.start);
        let any_new = found.iter().any(is_new);
        self.add_members(launch, found, None, false);
        let Some(stopping) = self.stopping.get(&launch) else { return false };
        for process in found {
            if let Some(member) = stopping.members.get(&process.pid) {
                let _ = pidfd_send_signal(&member.pidfd, rustix::process::Signal::STOP);
            }
        }
        any_new
    }

    fn survey(&mut self) -> Option<Survey> {
        let table = match Table::scan() {
            Ok(table) => table,
            Err(error) => {
                self.notice(format!("cannot look for descendants: {}", reason(&error)));
                return None;
            }
        };
        let live_marks: HashSet<String> = self.running.values().map(|running| running.mark.clone()).collect();
        let known = Known {
            home: &self.home,
            roots: &self.roots,
            live_marks: &live_marks,
            oldest: self.oldest,
            any_adopted: self.any_adopted,
        };
        Some(Survey::new(table, std::process::id(), &known, &mut self.cache))
    }

    fn find(&mut self, survey: &Survey, launch: LaunchId) -> Vec<Process> {
        let Some(stopping) = self.stopping.get(&launch) else { return Vec::new() };
        let (running, all_stopping) = (&self.running, &self.stopping);
        // When nothing but stops is left, an orphan of whatever kind belongs to one of them.
        let last = self.setup.adopts_orphans
            && running.keys().all(|id| all_stopping.get(id).is_some_and(|stopping| stopping.tree));
        let shared = |log: &str| {
            running.iter().any(|(id, other)| *id != launch && other.logs.iter().any(|theirs| theirs == log))
        };
        let mut found = survey.members(&stopping.kin, stopping.members.keys().copied(), shared, last, &mut self.cache);
        found.retain(|process| !self.roots.contains_key(&process.pid));
        found
    }

    /// Pins and watches what is new, and sends the signal to it, or to all.
    fn add_members(&mut self, launch: LaunchId, found: &[Process], signal: Option<Signal>, to_all: bool) {
        let mut unpinned = 0_u32;
        for process in found {
            let Some(stopping) = self.stopping.get(&launch) else { return };
            let known = stopping.members.get(&process.pid).is_some_and(|member| member.start == process.start);
            if !known && !self.add_member(launch, process) {
                unpinned += 1;
                continue;
            }
            if (to_all || !known)
                && let Some(signal) = signal.and_then(raw_signal)
                && let Some(member) = self.stopping.get(&launch).and_then(|s| s.members.get(&process.pid))
            {
                let _ = pidfd_send_signal(&member.pidfd, signal);
                wake(&member.pidfd);
            }
        }
        if unpinned > 0 {
            self.notice(format!("cannot watch {unpinned} descendants: no more files may be opened"));
        }
    }

    /// True unless it is there and cannot be pinned.
    fn add_member(&mut self, launch: LaunchId, process: &Process) -> bool {
        let Some(pidfd) = pin(process) else {
            return procfs::process(process.pid).is_none_or(|now| now.start != process.start || now.dead);
        };
        let key = self.next_member;
        self.next_member += 1;
        if self.watch(&pidfd, Key::Member(key)).is_err() {
            return false;
        }
        self.members.insert(key, (launch, process.pid));
        if let Some(stopping) = self.stopping.get_mut(&launch) {
            let old = stopping.members.insert(process.pid, Member { pidfd, start: process.start, key });
            if let Some(old) = old {
                self.members.remove(&old.key);
            }
        }
        true
    }

    /// `settled`: the last look found nothing that had to be pinned. What was found and was gone before that may have
    /// left another in its place, so it has to be looked again.
    fn finish_if_gone(&mut self, launch: LaunchId, settled: bool) {
        let Some(stopping) = self.stopping.get_mut(&launch) else { return };
        if stopping.kin.root.is_some() || !stopping.members.is_empty() {
            return;
        }
        if settled {
            self.finish(launch);
        } else {
            stopping.todo = Todo::Verify;
        }
    }

    fn finish(&mut self, launch: LaunchId) {
        let Some(stopping) = self.stopping.remove(&launch) else { return };
        for member in stopping.members.values() {
            self.members.remove(&member.key);
        }
        if !stopping.silent {
            self.events.push(Event::TreeGone { launch });
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

impl Running {
    fn new(launch: &Launch, pid: u32, pidfd: OwnedFd, mark: String, child: bool) -> Self {
        let logs = [&launch.out, &launch.error].into_iter().filter_map(|output| match output {
            Output::File(path) => Some(path.clone()),
            Output::Null => None,
        });
        Self {
            pid,
            pidfd,
            child,
            mark,
            instance: launch.instance.to_string(),
            logs: logs.collect(),
            pid_file: launch.pid_file.clone().into(),
            tree: launch.tree,
            channel: None,
            notify: None,
        }
    }

    fn kin(&self) -> Kin {
        Kin {
            root: Some(self.pid),
            session: self.pid,
            mark: self.mark.clone(),
            instance: Some(self.instance.clone()),
            logs: self.logs.clone(),
            adopted: !self.child,
        }
    }

    fn send(&self, how: How) {
        let signal = match how {
            How::Message if self.channel.as_ref().is_some_and(Channel::ask_to_shut_down) => None,
            How::Message => Some(Signal::INT),
            How::Signal(signal) => Some(signal),
            How::Kill => Some(Signal::KILL),
        };
        if let Some(signal) = signal.and_then(raw_signal) {
            let _ = pidfd_send_signal(&self.pidfd, signal);
        }
        if how != How::Kill {
            wake(&self.pidfd);
        }
    }

    fn freeze(&self) -> bool {
        pidfd_send_signal(&self.pidfd, rustix::process::Signal::STOP).is_ok()
    }
}

/// What was stopped by job control, or a debugger, can act on no signal before it goes on.
fn wake(pidfd: &OwnedFd) {
    let _ = pidfd_send_signal(pidfd, rustix::process::Signal::CONT);
}

impl Stopping {
    fn new(kin: Kin, tree: bool, todo: Todo, signal: Signal, silent: bool) -> Self {
        let killing = todo == Todo::Kill;
        Self { kin, tree, silent, todo, signal, killing, members: BTreeMap::new(), rounds: 0 }
    }
}

impl Key {
    fn encode(self) -> u64 {
        match self {
            Self::Root(LaunchId(id)) => id,
            Self::Channel(LaunchId(id)) => id | 1 << 62,
            Self::Notify(LaunchId(id)) => id | 2 << 62,
            Self::Member(key) => key | 3 << 62,
        }
    }

    fn decode(bits: u64) -> Self {
        let id = bits & !(3 << 62);
        match bits >> 62 {
            0 => Self::Root(LaunchId(id)),
            1 => Self::Channel(LaunchId(id)),
            2 => Self::Notify(LaunchId(id)),
            _ => Self::Member(id),
        }
    }
}

/// Marks of processes that several looks in a row see. A mark is kept for life, so what was read stays true; it is
/// forgotten when no stop is under way.
#[derive(Debug, Default)]
struct Cache {
    marks: HashMap<(u32, u64), Marks>,
}

impl Closer for Cache {
    fn marks(&mut self, process: &Process) -> Option<Marks> {
        let key = (process.pid, process.start);
        if let Some(marks) = self.marks.get(&key) {
            return Some(marks.clone());
        }
        let marks = procfs::marks(process.pid)?;
        // A child between fork and exec has its parent's; only a mark of our own is final.
        if marks.launch.is_some() {
            self.marks.insert(key, marks.clone());
        }
        Some(marks)
    }

    fn outputs(&mut self, pid: u32) -> Vec<(u64, u64)> {
        procfs::outputs(pid)
    }

    fn file_id(&mut self, path: &str) -> Option<(u64, u64)> {
        // Every service's thrown-away output is the same file.
        if path == "/dev/null" { None } else { procfs::file_id(path) }
    }
}

/// None when the child has not ended.
fn reap_child(pid: u32) -> Option<ExitStatus> {
    let (_, status) = match waitpid(raw_pid(pid), WaitOptions::NOHANG) {
        Ok(ended) => ended?,
        // Somebody else has its status; waiting for it again would never end.
        Err(_) => return Some(ExitStatus::Unknown),
    };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(ExitStatus::Code(code)),
        (None, Some(signal)) => Some(ExitStatus::Signal(signal)),
        (None, None) => None,
    }
}

fn end_group(pid: u32) {
    if let Some(pid) = raw_pid(pid) {
        let _ = kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

/// A child that was started and cannot be kept.
fn end_child(pid: u32) {
    end_group(pid);
    if let Some(pid) = raw_pid(pid) {
        let _ = waitpid(Some(pid), WaitOptions::empty());
    }
}

fn raw_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn raw_signal(signal: Signal) -> Option<rustix::process::Signal> {
    rustix::process::Signal::from_named_raw(signal.number())
}

/// Whoever reads it sees a whole number or the one before: a new file is renamed into place, one that is still there
/// from a moment ago is overwritten where that takes the same number of bytes. (Removing and making it at every crash
/// costs ext4 more than starting the process.)
fn write_pid_file(path: &Path, pid: u32, in_place: bool) -> io::Result<()> {
    let text = format!("{pid}\n");
    if in_place && std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == text.len() as u64) {
        return std::fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    match (std::fs::write(&fresh, &text), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(folder)?;
            std::fs::write(&fresh, &text)?;
        }
        (written, _) => written?,
    }
    std::fs::rename(&fresh, path)
}

/// Unless a later launch has written it since.
fn remove_pid_file(path: &Path, pid: u32) {
    if std::fs::read_to_string(path).is_ok_and(|text| text.trim() == pid.to_string()) {
        let _ = std::fs::remove_file(path);
    }
}

fn nonce() -> io::Result<String> {
    use io::Read as _;
    use std::fmt::Write as _;
    let mut bytes = [0; 6];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
