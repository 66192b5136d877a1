//! What an earlier daemon left running: taken over where it is known for sure, ended where it belongs to nobody.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::host::pid_file::beside;
use super::procfs::{self, MARK_LIST_ID, Marks, Process, Table};
use super::tag::{Tag, launch_bits, list_bits};
use crate::base::InstanceId;
use crate::supervisor::{Launch, LaunchId};

/// A process of an earlier daemon that is watched from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    pub launch: LaunchId,
    pub pid: u32,
    /// By its own mark: the digest of the spec that it was started from.
    pub spec_digest: String,
    /// Wall clock, milliseconds since 1970.
    pub started_at_ms: u64,
    /// Node's channel to it is open still.
    pub channel: bool,
    /// So is its notify socket.
    pub notify: bool,
    /// What it writes passes through pmrun.
    pub piped: bool,
    /// Its pid is in the file of who does not serve yet, or any more, while one process relieves another.
    pub beside: bool,
}

/// What is known beforehand of a launch whose end is the end of all that it has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Its process has ended: none of what that has left is taken for it.
    Over,
    /// Its process was being stopped: where that is gone, what it has left is as with those that are over.
    OnceGone,
}

/// A process that is surely the first of an instance.
pub(super) struct Survivor {
    pub(super) process: Process,
    pub(super) mark: String,
    pub(super) spec_digest: String,
    /// Whether there is a pid in its pid file.
    pub(super) filed: bool,
    /// That is the one of who does not serve yet, or any more, while one process relieves another.
    pub(super) beside: bool,
    /// It is a child, which is known from before.
    pub(super) child: Option<Child>,
}

/// What this process knew of a child before it became another program. Nobody else collects a child's status, and until that is
/// done its pid is nobody else's: so this holds of whoever has that pid and is a child still.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Child {
    pub(super) pid: u32,
    pub(super) instance: String,
    pub(super) list_id: u64,
    /// What it is marked with.
    pub(super) launch: String,
    pub(super) spec: String,
    /// It is in a control group of its own.
    pub(super) grouped: bool,
    /// What it writes passes through pipes; none: of one that does not say.
    #[serde(default)]
    pub(super) piped: Option<bool>,
}

/// Looks for what an earlier daemon started.
pub(super) struct Search<'a> {
    home: &'a str,
    /// What was just being started: what was to be written down of it may not have been.
    begun: &'a Begun,
    /// By instance.
    children: HashMap<String, Child>,
    /// What leads a session and bears this home's marks; looked for when a pid file is of no help.
    leaders: Option<Vec<(Process, Marks)>>,
}

/// By their marks, processes that were just being started, and which pid what they were to follow had.
pub type Begun = BTreeMap<String, Option<u32>>;

/// How long leftovers may take to vanish after SIGKILL before their successors are started regardless.
const LEFTOVERS_PATIENCE: Duration = Duration::from_secs(5);
/// How long one that is ending is waited for: mostly for its turn on a busy machine, or until much memory is given back.
const ENDING_PATIENCE: Duration = Duration::from_secs(1);

impl Survivor {
    pub(super) fn adopted(&self, launch: LaunchId) -> Adopted {
        Adopted {
            launch,
            pid: self.process.pid,
            spec_digest: self.spec_digest.clone(),
            started_at_ms: procfs::started_at_ms(&self.process),
            channel: false,
            notify: false,
            piped: false,
            beside: self.beside,
        }
    }
}

impl<'a> Search<'a> {
    pub(super) fn new(home: &'a str, begun: &'a Begun) -> Self {
        Self { home, begun, children: HashMap::new(), leaders: None }
    }

    /// Nothing is to be looked for of these but whether they are there.
    pub(super) fn knows(&mut self, children: Vec<Child>) {
        let mut twice = HashSet::new();
        for child in children {
            if let Some(other) = self.children.insert(child.instance.clone(), child) {
                twice.insert(other.instance);
            }
        }
        // Which of them it is, is to be found out.
        self.children.retain(|instance, _| !twice.contains(instance));
    }

    /// Looks where `launch`'s process would have left its pid, else everywhere. A process is believed to be it only when
    /// all its marks agree.
    ///
    /// # Errors
    /// When processes cannot be looked at.
    pub(super) fn find(&mut self, launch: &Launch) -> io::Result<Option<Survivor>> {
        if let Some(known) = self.child(launch)? {
            return Ok(Some(known));
        }
        let places = places(launch);
        let filed: Vec<Option<u32>> = places.iter().map(|place| pid_in(&place.path)).collect();
        let (mut any_ended, mut any_other, mut serves) = (false, false, false);
        for (place, pid) in places.iter().zip(&filed) {
            let Some(pid) = pid else { continue };
            let Some(process) = living(*pid)? else {
                any_ended = true;
                continue;
            };
            if let Some((process, marks)) = self.leader(process)? {
                if is_of(&marks, launch) {
                    return Ok(survivor(&process, &marks, true).map(|found| Survivor { beside: place.beside, ..found }));
                }
                let is_other = is_other_of(&marks, launch);
                any_other |= is_other;
                serves |= is_other && !place.beside;
            } else if living(*pid)?.is_none_or(|now| now.start != process.start) {
                // It has begun to since.
                any_ended = true;
            }
        }
        // What else bears the marks of a process that has ended descends from it; and of two processes of a slot each is in a
        // file, but for the moment in which they change places.
        let are_changing = filed.windows(2).any(|two| two[0] == two[1]);
        let is_in_file = any_ended || (any_other && !are_changing);
        // What one that is on its own has started is on its own, too: none of that is to be taken for it.
        let only_begun = is_in_file || !launch.tree;
        // Who was to relieve one that serves is tried again: nobody has heard yet whether it is up, and nobody would.
        if only_begun && (serves || self.begun.is_empty()) {
            return Ok(None);
        }
        let begun = self.begun;
        // Once its own pid is in the file, nobody else is it.
        let is_unwritten = |before: &Option<u32>| filed[0].is_none_or(|pid| Some(pid) == *before);
        let has_begun =
            |marks: &Marks| marks.launch.as_ref().and_then(|mark| begun.get(mark)).is_some_and(is_unwritten);
        let may_be = |marks: &Marks| is_of(marks, launch) && (!only_begun || has_begun(marks));
        // Its descendants may lead sessions too, and so may those of its predecessors.
        let mut firsts: HashMap<Option<&str>, &(Process, Marks)> = HashMap::new();
        for leader in self.leaders()?.iter().filter(|leader| may_be(&leader.1)) {
            let first = firsts.entry(leader.1.launch.as_deref()).or_insert(leader);
            if began(leader) < began(first) {
                *first = leader;
            }
        }
        let latest = firsts.into_values().max_by_key(|leader| began(leader));
        Ok(latest.and_then(|(process, marks)| survivor(process, marks, !is_in_file && filed[0].is_some())))
    }

    /// Where one process may relieve another it has to be found out which of two it is.
    fn child(&self, launch: &Launch) -> io::Result<Option<Survivor>> {
        let known = self.children.get(&launch.instance.to_string());
        let Some(child) = known.filter(|child| child.list_id == list_bits(launch) && !launch.shares_sockets()) else {
            return Ok(None);
        };
        let process =
            living(child.pid)?.filter(|process| process.session == process.pid && process.parent == std::process::id());
        Ok(process.map(|process| Survivor {
            process,
            mark: child.launch.clone(),
            spec_digest: child.spec.clone(),
            filed: true,
            beside: false,
            child: Some(child.clone()),
        }))
    }

    /// Looks only where `launch`'s process would have left its pid: what such a one has left behind may look as it did.
    ///
    /// # Errors
    /// When processes cannot be looked at.
    pub(super) fn filed(&self, launch: &Launch) -> io::Result<Option<Survivor>> {
        for place in places(launch) {
            let process = pid_in(&place.path).map(living).transpose()?.flatten();
            let leader = process.map(|process| self.leader(process)).transpose()?.flatten();
            if let Some((process, marks)) = leader.filter(|(_, marks)| is_of(marks, launch)) {
                return Ok(survivor(&process, &marks, true).map(|found| Survivor { beside: place.beside, ..found }));
            }
        }
        Ok(None)
    }

    fn leaders(&mut self) -> io::Result<&[(Process, Marks)]> {
        if self.leaders.is_none() {
            let mut leaders = Vec::new();
            for process in Table::scan()?.processes {
                if let Some(leader) = self.leader(process)?
                    // One in a container may bear the same marks, of a home of its own.
                    && procfs::sees_home(process.pid, self.home)
                {
                    leaders.push(leader);
                }
            }
            self.leaders = Some(leaders);
        }
        Ok(self.leaders.as_deref().unwrap_or_default())
    }

    /// With its marks, where it leads a session and bears this home's.
    fn leader(&self, process: Process) -> io::Result<Option<(Process, Marks)>> {
        if process.dead || process.session != process.pid {
            return Ok(None);
        }
        let Some(marks) = procfs::marks(process.pid) else { return Ok(None) };
        // Read again: in between the pid may have gone to somebody else.
        let same = procfs::process(process.pid)?.is_some_and(|now| now.start == process.start && !now.dead);
        Ok((same && marks.home.as_deref() == Some(self.home)).then_some((process, marks)))
    }
}

/// A pid file is a short regular file, or none: a FIFO is not waited for, a device not read without end.
#[must_use]
pub fn pid_in(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().filter(|file| file.is_file() && file.len() <= 64)?;
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Where a pid may be.
struct Place {
    path: PathBuf,
    /// Of who does not serve yet, or any more.
    beside: bool,
}

/// While one process relieves another there are two.
fn places(launch: &Launch) -> Vec<Place> {
    let own = Place { path: PathBuf::from(&launch.pid_file), beside: false };
    let second = launch.shares_sockets().then(|| Place { path: beside(&own.path), beside: true });
    std::iter::once(own).chain(second).collect()
}

fn is_of(marks: &Marks, launch: &Launch) -> bool {
    let instance = launch.instance.to_string();
    marks.instance.as_deref() == Some(instance.as_str()) && marks.list_id.as_ref() == launch.env.get(MARK_LIST_ID)
}

/// The same slot by its other name.
fn is_other_of(marks: &Marks, launch: &Launch) -> bool {
    let theirs = marks.instance.as_deref().and_then(|instance| instance.parse::<InstanceId>().ok());
    theirs.is_some_and(|theirs| theirs != launch.instance && theirs.first() == launch.instance.first())
}

fn survivor(process: &Process, marks: &Marks, filed: bool) -> Option<Survivor> {
    let (mark, spec_digest) = (marks.launch.clone()?, marks.spec.clone()?);
    Some(Survivor { process: *process, mark, spec_digest, filed, beside: false, child: None })
}

/// Time is told in hundredths of a second; within one, pids are given in order.
fn began((process, _): &(Process, Marks)) -> (u64, u32) {
    (process.start, process.pid)
}

/// What runs of `launches` though no daemon watches it. Only looks.
#[must_use]
pub fn unwatched(launches: &[Launch], home: &str) -> Vec<Adopted> {
    let begun = Begun::new();
    let mut search = Search::new(home, &begun);
    launches.iter().filter_map(|launch| Some(search.find(launch).ok()??.adopted(launch.id))).collect()
}

/// Which of `launches` have left a pid file and nothing else: they ended, and no daemon saw it.
///
/// Such a file says nothing when the machine was started anew since: [`boot_id`].
#[must_use]
pub fn ended_unseen(launches: &[Launch], home: &str, begun: &Begun) -> Vec<LaunchId> {
    let is_filed = |launch: &&Launch| pid_in(Path::new(&launch.pid_file)).is_some();
    let filed: Vec<&Launch> = launches.iter().filter(is_filed).collect();
    let mut search = Search::new(home, begun);
    let mut alive = HashSet::new();
    for launch in &filed {
        // What cannot be looked at may be there.
        if !matches!(search.find(launch), Ok(None)) {
            alive.insert(launch.env.get(MARK_LIST_ID));
        }
    }
    filed.into_iter().filter(|launch| !alive.contains(&launch.env.get(MARK_LIST_ID))).map(|launch| launch.id).collect()
}

/// Whether a process is there that does more than end, and wait for its parent. What cannot be looked at may be.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    living(pid).map_or(true, |process| process.is_some())
}

/// A process that is there to stay. Who is just ending is waited for: its memory is gone before its status is known, and so
/// its marks, by which it would be found.
fn living(pid: u32) -> io::Result<Option<Process>> {
    let Some(process) = procfs::process(pid)?.filter(|process| !process.dead) else { return Ok(None) };
    if process.ends {
        if let Some(pidfd) = pin(&process)? {
            wait_all(&[pidfd], Instant::now() + ENDING_PATIENCE);
        }
        return Ok(None);
    }
    Ok(Some(process))
}

/// Tells one start of the machine, or of the container that this runs in, from another.
#[must_use]
pub fn boot_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let first = procfs::process(1).ok().flatten().map_or(0, |process| process.start);
    format!("{}+{first}", boot.trim())
}

/// A process that an earlier daemon started, or that descends from such a one, by its own marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    pub pid: u32,
    /// With the pid it names a process for good.
    pub start: u64,
    pub instance: InstanceId,
    pub list_id: u32,
    pub launch: String,
    /// It leads its session, as the first process of a launch does.
    pub leads: bool,
}

/// Everything that bears the marks of this home. Only looks.
///
/// # Errors
/// When not all processes can be looked at.
pub fn marked(home: &Path) -> io::Result<Vec<Marked>> {
    let home = home.to_string_lossy();
    let mut found = Vec::new();
    for process in Table::scan()?.processes.into_iter().filter(|process| !process.dead) {
        let Process { pid, start, session, .. } = process;
        let Some(Marks { home: Some(theirs), launch: Some(launch), instance: Some(instance), list_id, .. }) =
            procfs::marks(pid)
        else {
            continue;
        };
        let list_id = list_id.and_then(|id| id.parse().ok());
        let same = procfs::process(pid)?.is_some_and(|now| now.start == start && !now.dead);
        if let (Ok(instance), Some(list_id)) = (instance.parse(), list_id)
            && same
            && theirs == home
            && procfs::sees_home(pid, &home)
        {
            found.push(Marked { pid, start, instance, list_id, launch, leads: session == pid });
        }
    }
    Ok(found)
}

/// Whether a process is there and is the one that began then.
#[must_use]
pub fn is_same(pid: u32, start: u64) -> bool {
    procfs::process(pid).map_or(true, |process| process.is_some_and(|now| now.start == start && !now.dead))
}

/// What is not ended though nobody watches it.
#[derive(Debug, Default)]
pub(super) struct Spared {
    /// Of single launches.
    pub(super) marks: HashSet<String>,
    /// Processes that are watched: they cannot become others unnoticed.
    pub(super) pids: HashSet<u32>,
    /// All launches of an instance, by either of its names.
    pub(super) instances: HashSet<String>,
    pub(super) list_ids: HashSet<u64>,
}

/// Ends what carries this home's mark and belongs to nothing that is `spared`. Returns how many there were.
///
/// The caller holds the home's lock, so another daemon of this home has lost it together with all that it knew.
pub(super) fn end_leftovers(home: &str, spared: &Spared) -> usize {
    let spared_tags: HashSet<u64> = spared.marks.iter().map(|mark| launch_bits(mark)).collect();
    let is_marked = |process: &Process| match procfs::marks(process.pid) {
        Some(Marks { home: Some(theirs), launch: Some(launch), instance, list_id, .. }) => {
            // Since a rename the instance is called otherwise, and its number is the same.
            let is_known = instance.is_some_and(|instance| spared.instances.contains(&instance))
                || list_id.and_then(|id| id.parse().ok()).is_some_and(|id| spared.list_ids.contains(&id));
            theirs == home && !is_known && !spared.marks.contains(&launch)
        }
        // A daemon whose lock was taken away with its folder: it would start anew what is ended here.
        Some(_) if procfs::is_daemon_of(process.pid, home) => true,
        _ => procfs::file_locks(process.pid)
            .and_then(Tag::of_limit)
            .filter(|tag| tag.is_of(home) && !spared.list_ids.contains(&tag.list_id))
            .is_some_and(|tag| !spared_tags.contains(&tag.launch)),
    };
    end_while_any(|process| {
        !spared.pids.contains(&process.pid) && is_marked(process) && procfs::sees_home(process.pid, home)
    })
}

/// Ends what was ever started of these instances, but not by launches that are `watched`: one may be called as another was
/// before a rename.
pub(super) fn end_instances(home: &str, instances: &HashSet<String>, watched: &HashSet<String>) {
    end_while_any(|process| match procfs::marks(process.pid) {
        Some(Marks { home: Some(theirs), launch: Some(launch), instance: Some(instance), .. }) => {
            let is_meant = theirs == home && instances.contains(&instance) && !watched.contains(&launch);
            is_meant && procfs::sees_home(process.pid, home)
        }
        _ => false,
    });
}

/// Returns how many there were.
fn end_while_any(is_meant: impl Fn(&Process) -> bool) -> usize {
    let mut ended = 0;
    let deadline = Instant::now() + LEFTOVERS_PATIENCE;
    while Instant::now() < deadline {
        let Ok(table) = Table::scan() else { return ended };
        let ancestors = ancestors(&table);
        let others = table.processes.iter().filter(|process| !process.dead && !ancestors.contains(&process.pid));
        let pinned: Vec<OwnedFd> =
            others.filter(|process| is_meant(process)).filter_map(|process| pin(process).ok()?).collect();
        if pinned.is_empty() {
            return ended;
        }
        ended += pinned.len();
        for pidfd in &pinned {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
        wait_all(&pinned, deadline);
    }
    ended
}

/// Ends everything that bears the marks of this home: nobody goes on with it. The caller holds its lock. How many there were.
pub fn end_abandoned(home: &Path) -> usize {
    end_leftovers(&home.to_string_lossy(), &Spared::default())
}

/// Pins a process that a scan saw; none when it is gone.
pub(super) fn pin(process: &Process) -> io::Result<Option<OwnedFd>> {
    let pidfd = open_pid(process.pid);
    match procfs::process(process.pid)? {
        Some(now) if now.start == process.start && !now.dead => pidfd.map(Some),
        _ => Ok(None),
    }
}

pub(super) fn open_pid(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// This process and those it comes from: a command that starts the daemon may itself run inside an app.
fn ancestors(table: &Table) -> HashSet<u32> {
    let mut line = HashSet::new();
    let mut pid = std::process::id();
    while line.insert(pid) {
        match table.get(pid) {
            Some(process) => pid = process.parent,
            None => break,
        }
    }
    line
}

fn wait_all(pidfds: &[OwnedFd], deadline: Instant) {
    for pidfd in pidfds {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = rustix::event::Timespec::try_from(left).ok();
        let _ = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], timeout.as_ref());
    }
}
