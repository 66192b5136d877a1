use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// A byte of a file, locked until this goes. Many may be locked at a time, by as many.
///
/// The lock belongs to the open file (`F_OFD_SETLK`), not to the process: threads keep each other out, too.
#[derive(Debug)]
pub struct RangeLock(#[expect(dead_code, reason = "held for its lock")] File);

impl RangeLock {
    /// Waits until nobody else has it; none where there can be no lock.
    #[must_use]
    pub fn wait(path: &Path, at: u64) -> Option<Self> {
        Self::take(path, at, |lock| FcntlArg::F_OFD_SETLKW(lock))
    }

    /// None while somebody else has it.
    #[must_use]
    pub fn at_once(path: &Path, at: u64) -> Option<Self> {
        Self::take(path, at, |lock| FcntlArg::F_OFD_SETLK(lock))
    }

    fn take(path: &Path, at: u64, how: fn(&libc::flock) -> FcntlArg<'_>) -> Option<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).ok()?;
        let lock = libc::flock {
            l_type: libc::c_short::try_from(libc::F_WRLCK).ok()?,
            l_whence: libc::c_short::try_from(libc::SEEK_SET).ok()?,
            // The highest places are none: two numbers that differ there only share one.
            l_start: libc::off_t::try_from(at & (u64::MAX >> 2)).ok()?,
            l_len: 1,
            l_pid: 0,
        };
        loop {
            match fcntl(&file, how(&lock)) {
                Err(nix::errno::Errno::EINTR) => {}
                result => return result.is_ok().then_some(Self(file)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_locked_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = RangeLock::at_once(&path, 7).unwrap();
        assert!(RangeLock::at_once(&path, 7).is_none());
        assert!(RangeLock::at_once(&path, u64::MAX).is_some() && RangeLock::wait(&path, 8).is_some());
        drop(first);
        assert!(RangeLock::at_once(&path, 7).is_some());
    }
}
