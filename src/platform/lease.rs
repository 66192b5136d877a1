use std::fs::File;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::libc;

/// `F_SETSIG`, which is the same on every architecture, and which the crate has not.
const SET_SIGNAL: libc::c_int = 10;

/// Whether anybody has a file open to write to it; none where that cannot be known. `file` is open for reading.
///
/// The system gives a lease for reading only where nobody has; it is given back at once, so that nobody waits for it.
#[must_use]
pub fn is_written_to(file: &File) -> Option<bool> {
    let control = |command: libc::c_int, argument: libc::c_int| {
        #[expect(unsafe_code, reason = "no crate at hand wraps leases")]
        // SAFETY: the descriptor is open as long as `file` is borrowed, and the argument is a number.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
        Errno::result(result)
    };
    // Whoever opens it to write just then has this process sent a signal: not SIGIO, which would end it.
    let lease = control(SET_SIGNAL, libc::SIGURG).and_then(|_| control(libc::F_SETLEASE, libc::F_RDLCK));
    match lease.and_then(|_| control(libc::F_SETLEASE, libc::F_UNLCK)) {
        Ok(_) => Some(false),
        Err(Errno::EAGAIN) => Some(true),
        Err(_) => None,
    }
}
