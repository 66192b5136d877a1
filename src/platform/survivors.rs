//! What an earlier daemon left running: taken over where it is known for sure, ended where it belongs to nobody.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::procfs::{self, MARK_LIST_ID, Marks, Process, Table};
use super::tag::{Tag, launch_bits};
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
}

/// A process that is surely the first of an instance.
pub(super) struct Survivor {
    pub(super) process: Process,
    pub(super) pidfd: OwnedFd,
    pub(super) mark: String,
    pub(super) spec_digest: String,
}

/// How long leftovers may take to vanish after SIGKILL before their successors are started regardless.
const LEFTOVERS_PATIENCE: Duration = Duration::from_secs(5);

/// Looks where `launch`'s process would have left its pid, and believes it only when all its marks agree.
pub(super) fn find(launch: &Launch, home: &str) -> Option<Survivor> {
    let pid = std::fs::read_to_string(&launch.pid_file).ok()?.trim().parse().ok()?;
    let before = procfs::process(pid).ok()??;
    let pidfd = open_pid(pid).ok()?;
    // Read again: between the two the pid may have gone to somebody else, now it cannot any more.
    let process =
        procfs::process(pid).ok()?.filter(|process| *process == before && !process.dead && process.session == pid)?;
    let marks = procfs::marks(pid)?;
    let instance = launch.instance.to_string();
    let is_it = marks.home.as_deref() == Some(home)
        && marks.instance.as_deref() == Some(instance.as_str())
        && marks.list_id.as_ref() == launch.env.get(MARK_LIST_ID);
    if !is_it {
        return None;
    }
    Some(Survivor { process, pidfd, mark: marks.launch?, spec_digest: marks.spec? })
}

/// What runs of `launches` though no daemon watches it. Only looks.
#[must_use]
pub fn unwatched(launches: &[Launch], home: &str) -> Vec<Adopted> {
    let seen = |launch: &Launch| {
        let Survivor { process, spec_digest, .. } = find(launch, home)?;
        let started_at_ms = procfs::started_at_ms(&process);
        Some(Adopted { launch: launch.id, pid: process.pid, spec_digest, started_at_ms })
    };
    launches.iter().filter_map(seen).collect()
}

/// Ends what carries this home's mark and belongs to no launch that was taken over. Returns how many there were.
///
/// The caller holds the home's lock, so another daemon of this home has lost it together with all that it knew.
pub(super) fn end_leftovers(home: &str, adopted: &HashSet<String>) -> usize {
    let mut ended = 0;
    let deadline = Instant::now() + LEFTOVERS_PATIENCE;
    let adopted_tags: HashSet<u64> = adopted.iter().map(|mark| launch_bits(mark)).collect();
    while Instant::now() < deadline {
        let Ok(table) = Table::scan() else { return ended };
        let spared = ancestors(&table);
        let is_marked = |process: &Process| match procfs::marks(process.pid) {
            Some(Marks { home: Some(theirs), launch: Some(launch), .. }) => {
                theirs == home && !adopted.contains(&launch)
            }
            // A daemon whose lock was taken away with its folder: it would start anew what is ended here.
            Some(_) if procfs::is_daemon_of(process.pid, home) => true,
            _ => procfs::file_locks(process.pid)
                .and_then(Tag::of_limit)
                .is_some_and(|tag| tag.is_of(home) && !adopted_tags.contains(&tag.launch)),
        };
        let stray = |process: &Process| is_marked(process) && procfs::sees_home(process.pid, home);
        let others = table.processes.iter().filter(|process| !process.dead && !spared.contains(&process.pid));
        let pinned: Vec<OwnedFd> =
            others.filter(|process| stray(process)).filter_map(|process| pin(process).ok()?).collect();
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
