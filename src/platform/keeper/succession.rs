//! A daemon that leaves what runs to another one, which was not started by its keeper.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::link::{HOLD, WORD_BYTES_MAX, hand, heard, rest_of};
use crate::platform::notify::short_address;

/// In `PMRUN_HOME`, while somebody waits there for what is left to it.
const SOCKET: &str = "successor.sock";

/// What the next daemon receives: channels and notify sockets, by their names.
#[derive(Debug)]
pub struct Succession {
    socket: UnixDatagram,
    path: PathBuf,
    held: BTreeMap<String, OwnedFd>,
}

impl Succession {
    /// # Errors
    /// The system's.
    pub fn begin(home: &Path) -> io::Result<Self> {
        let path = home.join(SOCKET);
        // Of one that did not come to its end.
        let _ = std::fs::remove_file(&path);
        let (address, _folder) = short_address(home, SOCKET)?;
        let socket = UnixDatagram::bind(address)?;
        Ok(Self { socket, path, held: BTreeMap::new() })
    }

    /// Takes what comes within that time.
    pub fn receive(&mut self, patience: Duration) {
        let timeout = Timespec::try_from(patience).unwrap_or_default();
        let _ = poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout));
        let mut space = [0; WORD_BYTES_MAX];
        while let Some((word, fd)) = heard(&self.socket, &mut space) {
            if let (Some(&HOLD), Some(fd)) = (word.first(), fd) {
                self.held.insert(rest_of(word), fd);
            }
        }
    }

    /// Everything that was received.
    #[must_use]
    pub fn end(mut self) -> BTreeMap<String, OwnedFd> {
        std::mem::take(&mut self.held)
    }
}

impl Drop for Succession {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The other end of it.
#[derive(Debug)]
pub(in crate::platform) struct Legacy {
    socket: UnixDatagram,
}

impl Legacy {
    /// # Errors
    /// The system's: nobody waits for it, for one.
    pub(in crate::platform) fn of(home: &Path) -> io::Result<Self> {
        let (address, _folder) = short_address(home, SOCKET)?;
        let socket = UnixDatagram::unbound()?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// # Errors
    /// The system's.
    pub(in crate::platform) fn leave(&self, name: &str, fd: &OwnedFd) -> io::Result<()> {
        hand(&self.socket, name, &fd.as_fd())
    }
}
