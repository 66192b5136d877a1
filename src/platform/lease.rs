use std::fs::File;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::libc;

/// Whether anybody has a file open to write to it; none where that cannot be known. `file` is open for reading.
///
/// The system gives a lease for reading only where nobody has; it is given back at once, so that nobody waits for it.
#[must_use]
pub fn is_written_to(file: &File) -> Option<bool> {
    let lease = |kind: libc::c_int| {
        #[expect(unsafe_code, reason = "no crate at hand wraps leases")]
        // SAFETY: the descriptor is open as long as `file` is borrowed, and the argument is a number.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
        Errno::result(result)
    };
    match lease(libc::F_RDLCK).and_then(|_| lease(libc::F_UNLCK)) {
        Ok(_) => Some(false),
        Err(Errno::EAGAIN) => Some(true),
        Err(_) => None,
    }
}
