//! Processes, as /proc shows them. A zombie counts as gone: it runs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Children that somebody here waits for; orphans handed to us are nobody's, and are reaped as they are found.
static OURS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn ours() -> MutexGuard<'static, BTreeSet<u32>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every child of the tests is started here.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    static SUBREAPER: Once = Once::new();
    // Whatever loses its parent becomes our child, and cannot hide.
    SUBREAPER.call_once(|| nix::sys::prctl::set_child_subreaper(true).expect("prctl"));
    let mut ours = ours();
    let child = command.spawn()?;
    ours.insert(child.id());
    Ok(child)
}

/// Waits for the end; what it wrote to a piped stdout.
pub(crate) fn finish(mut child: Child) -> (ExitStatus, String) {
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut text).expect("UTF-8 on stdout");
    }
    let status = child.wait().expect("wait");
    ours().remove(&child.id());
    (status, text)
}

fn reap_orphans() {
    let ours = ours();
    let me = std::process::id();
    for pid in all() {
        if let Some((state, parent)) = stat(pid)
            && (state, parent) == ('Z', me)
            && !ours.contains(&pid)
            && let Some(raw) = raw(pid)
        {
            let _ = rustix::process::waitpid(Some(raw), rustix::process::WaitOptions::NOHANG);
        }
    }
}

pub(crate) fn all() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// State and parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut rest = text[text.rfind(')')? + 1..].split_whitespace();
    Some((rest.next()?.chars().next()?, rest.next()?.parse().ok()?))
}

pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat(pid).map(|(_, parent)| parent)
}

/// Children that have ended and that their parent has not taken notice of.
pub(crate) fn zombies_of(parent: u32) -> Vec<u32> {
    all().into_iter().filter(|pid| stat(*pid) == Some(('Z', parent))).collect()
}

pub(crate) fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

pub(crate) fn environ(pid: u32) -> BTreeMap<String, String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|entry| {
            let entry = String::from_utf8_lossy(entry).into_owned();
            entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
        })
        .collect()
}

pub(crate) fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

pub(crate) fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned()
}

pub(crate) fn cwd(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/cwd")).ok()
}

/// Waits for the end of a process, without being its parent. False when the time is over.
pub(crate) fn wait_gone(pid: u32, bound: Duration) -> bool {
    let deadline = Instant::now() + bound;
    let fd = raw(pid).and_then(|raw| pidfd_open(raw, PidfdFlags::empty()).ok());
    if let Some(fd) = fd {
        wait_readable(&fd, deadline);
    }
    reap_orphans();
    !alive(pid)
}

/// False when the deadline passed first.
pub(crate) fn wait_readable(fd: &OwnedFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that the last millisecond is not spent in circles.
        let timeout = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if left.is_zero() => return false,
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return true,
            Err(error) => panic!("poll: {error}"),
        }
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    let raw = raw(pid).expect("a pid is not 0");
    // It may just have ended; then there is nothing to signal.
    let _ = kill_process(raw, signal);
}

/// Processes, other than this one, that have to do with a folder: by environment, arguments, or working directory.
pub(crate) fn of_folder(folder: &Path) -> Vec<u32> {
    let me = std::process::id();
    let text = folder.to_string_lossy().into_owned();
    let touches = |pid: &u32| {
        environ(*pid).get("PMRUN_HOME").is_some_and(|home| home.starts_with(&text))
            || command_line(*pid).contains(&text)
            || cwd(*pid).is_some_and(|cwd| cwd.starts_with(folder))
    };
    all().into_iter().filter(|pid| *pid != me && alive(*pid)).filter(touches).collect()
}

fn raw(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}
