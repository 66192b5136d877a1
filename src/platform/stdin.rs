//! What apps have as standard input: a pipe that never ends, and that costs nobody anything.
//!
//! The process itself has both ends of it open, in one descriptor. Nobody else holds it: it is the same whatever becomes of the
//! daemon and of its keeper, and goes when the process and all that it has started have gone. Who wants to write to it opens
//! it through `/proc` just then.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fchown, fstat};
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};
use rustix::process::{Gid, Uid};

use super::account::Account;
use super::reason;

/// What may wait there for a process that does not read. A user may have so much in all pipes together (pipe(7)).
pub(super) const WAITING_BYTES_MAX: usize = 16 << 10;

/// For a process that is about to start, as whom it will run.
pub(super) fn open(account: Option<&Account>) -> io::Result<OwnedFd> {
    let (end, _other) = pipe_with(PipeFlags::CLOEXEC)?;
    let path = format!("/proc/self/fd/{}", end.as_raw_fd());
    let both = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    // Where it may not be made smaller it is as it is.
    let _ = fcntl_setpipe_size(&both, WAITING_BYTES_MAX);
    if let Some(account) = account {
        // Or it could not open `/dev/stdin`.
        fchown(&both, Some(Uid::from_raw(account.uid)), Some(Gid::from_raw(account.gid)))?;
    }
    Ok(both)
}

/// All of it or nothing. The caller makes sure that the pid is still whose it was when this returns.
///
/// Errors are in words.
pub(super) fn write(pid: u32, text: &[u8], is_same: impl Fn() -> bool) -> Result<(), String> {
    if text.len() > WAITING_BYTES_MAX {
        return Err(format!("{} bytes are too many: at most {WAITING_BYTES_MAX} are taken at once", text.len()));
    }
    let cannot = |error: io::Error| format!("cannot open its standard input: {}", reason(&error));
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if !is_ours(pid).map_err(cannot)? {
        return Err("its standard input is not the one that it was started with".to_owned());
    }
    let pipe =
        rustix::fs::open(format!("/proc/{pid}/fd/0"), flags, Mode::empty()).map_err(|error| cannot(error.into()))?;
    let is_pipe = fstat(&pipe).is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Fifo);
    if !is_pipe || !is_same() {
        return Err("its standard input is not the one that it was started with".to_owned());
    }
    let waiting = rustix::io::ioctl_fionread(&pipe).unwrap_or(0);
    let size = fcntl_getpipe_size(&pipe).unwrap_or(WAITING_BYTES_MAX);
    let room = size.saturating_sub(usize::try_from(waiting).unwrap_or(usize::MAX));
    let unread = || format!("it does not read its standard input: {waiting} bytes wait there already");
    if text.len() > room {
        return Err(unread());
    }
    match rustix::io::write(&pipe, text) {
        Ok(written) if written < text.len() => {
            Err(format!("it does not read its standard input: only {written} of {} bytes were taken", text.len()))
        }
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::AGAIN) => Err(unread()),
        Err(error) => Err(format!("cannot write to its standard input: {}", reason(&error.into()))),
    }
}

/// Hardly anything else has both ends of a pipe in one descriptor.
fn is_ours(pid: u32) -> io::Result<bool> {
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/0"))?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).unwrap_or(0);
    Ok(flags & OFlags::ACCMODE.bits() == OFlags::RDWR.bits())
}
