use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

/// Tells that something in a folder was removed, or moved away; what is below it does not count.
#[derive(Debug)]
pub struct Removals {
    fd: OwnedFd,
}

impl Removals {
    /// # Errors
    /// The system's: there is a limit of watches (`fs.inotify.max_user_instances`).
    pub fn of(folder: &Path) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&fd, folder, WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::ONLYDIR)?;
        Ok(Self { fd })
    }

    /// Forgets what was told; never blocks.
    pub fn clear(&self) {
        // Room for one event with the longest name.
        let mut buffer = [MaybeUninit::uninit(); 512];
        let mut reader = Reader::new(&self.fd, &mut buffer);
        while reader.next().is_ok() {}
    }
}

impl AsFd for Removals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
