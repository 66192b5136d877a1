use std::collections::BTreeSet;

use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, kill_process_group, waitid, waitpid};

use crate::base::{ExitStatus, Signal};
use crate::platform::{procfs, sys};

/// None when the child has not ended. It stays a zombie until [`bury`]: should this process be killed before anybody has noted
/// how it ended, whoever inherits it can still be told.
pub(super) fn look_how_ended(pid: u32) -> Option<ExitStatus> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = match raw_pid(pid).map(|pid| waitid(WaitId::Pid(pid), options)) {
        Some(Ok(ended)) => ended?,
        // Somebody else has its status; waiting for it again would never end.
        Some(Err(_)) | None => return Some(ExitStatus::Unknown),
    };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(ExitStatus::Code(code)),
        (None, Some(signal)) => Some(ExitStatus::Signal(signal)),
        (None, None) => None,
    }
}

/// A child that has ended and that nobody will ask about any more. False when it has not ended.
pub(super) fn bury(pid: u32) -> bool {
    !matches!(waitpid(raw_pid(pid), WaitOptions::NOHANG), Ok(None))
}

/// How a child of this process ended that nobody has asked about; none when it has not, or is none.
#[must_use]
pub fn ended_child(pid: u32) -> Option<ExitStatus> {
    match waitpid(raw_pid(pid), WaitOptions::NOHANG) {
        Ok(Some((_, status))) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(ExitStatus::Code(code)),
            (None, signal) => signal.map(ExitStatus::Signal),
        },
        Ok(None) | Err(_) => None,
    }
}

/// The children of this process, where none of them has ended; none where that cannot be told at one look.
#[must_use]
pub fn living_children() -> BTreeSet<u32> {
    let listed = procfs::own_children().unwrap_or_default();
    // Only after that: who ends in between is seen.
    if sys::ended_child().is_some() { BTreeSet::new() } else { listed.into_iter().collect() }
}

fn end_group(pid: u32) {
    if let Some(pid) = raw_pid(pid) {
        let _ = kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

/// A child that was started and cannot be kept.
pub(super) fn end_child(pid: u32) {
    end_group(pid);
    if let Some(pid) = raw_pid(pid) {
        let _ = waitpid(Some(pid), WaitOptions::empty());
    }
}

pub(super) fn raw_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

pub(super) fn raw_signal(signal: Signal) -> Option<rustix::process::Signal> {
    rustix::process::Signal::from_named_raw(signal.number())
}
