use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal as Nix;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::base::Signal;

/// What ends a command from outside.
pub(super) const ENDINGS: [Nix; 4] = [Nix::SIGINT, Nix::SIGTERM, Nix::SIGHUP, Nix::SIGQUIT];

/// While this is there, what would end the command only makes `interrupted` true: there is something to be put in order
/// first. It ends the command when this goes away, unless somebody else holds it back.
#[derive(Debug)]
pub struct Postponed {
    before: SigSet,
}

impl Postponed {
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        // What is ignored (`nohup`, a script's `&`) would come once it is held back.
        let held: SigSet = ENDINGS.into_iter().filter(|signal| !super::sys::is_ignored(*signal)).collect();
        let before = held.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
        Ok(Self { before })
    }
}

impl Drop for Postponed {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}

/// What ends a command that is at work, held back once: the first can be answered in good order, the next
/// ends the command as if nothing had ever been held back.
#[derive(Debug)]
pub struct Interrupts {
    fd: SignalFd,
    mask: SigSet,
}

impl Interrupts {
    /// To be called by the only thread there is, after the last process was forked: both would not know of it.
    ///
    /// # Errors
    /// The system's.
    pub fn hold() -> io::Result<Self> {
        // What is ignored (`nohup`, a script's `&`) would come once it is held back.
        let held = ENDINGS.into_iter().filter(|signal| !super::sys::is_ignored(*signal));
        let mask: SigSet = held.collect();
        mask.thread_block()?;
        match SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC) {
            Ok(fd) => Ok(Self { fd, mask }),
            Err(error) => {
                mask.thread_unblock()?;
                Err(error.into())
            }
        }
    }

    /// The signal that has come, if one has. After it nothing is held back any more.
    pub fn take(&mut self) -> Option<Signal> {
        let info = self.fd.read_signal().ok().flatten()?;
        let _ = self.mask.thread_unblock();
        let is_term = i32::try_from(info.ssi_signo).is_ok_and(|number| number == Nix::SIGTERM as i32);
        Some(if is_term { Signal::TERM } else { Signal::INT })
    }

    /// Waits for one.
    ///
    /// # Errors
    /// The system's.
    pub fn await_one(&mut self) -> io::Result<Signal> {
        loop {
            if let Some(signal) = self.take() {
                return Ok(signal);
            }
            match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until there is something to read, a signal has come, or the time is over. Whether there is.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&self, source: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
        let timeout = timeout.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
        });
        let mut both = [PollFd::new(source, PollFlags::POLLIN), PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut both, timeout) {
            Ok(_) => Ok(both[0].any() == Some(true)),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        let _ = self.mask.thread_unblock();
    }
}

/// Columns and rows of a terminal, as of now; none where it does not say.
#[must_use]
pub fn terminal_size(terminal: impl AsFd) -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}
