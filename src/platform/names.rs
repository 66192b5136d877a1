use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// Hears when one of a few files loses its name: when it is removed, or another comes in its place. What is done with a
/// file otherwise, and with others in its folder, wakes nobody.
#[derive(Debug)]
pub struct NameWatch {
    inotify: OwnedFd,
}

impl NameWatch {
    /// Those that are not there are left out.
    ///
    /// # Errors
    /// When the system has no more of these.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // A name that goes is a change of the number of names (inotify(7)).
        let what = WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF | WatchFlags::DONT_FOLLOW;
        for path in paths {
            match inotify::add_watch(&inotify, path, what) {
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self { inotify })
    }

    /// Whether something of that kind has happened since the last look. It may have been less.
    #[must_use]
    pub fn take(&self) -> bool {
        let mut space = [MaybeUninit::uninit(); 1024];
        let mut reader = inotify::Reader::new(&self.inotify, &mut space);
        let mut any = false;
        loop {
            match reader.next() {
                Ok(event) => any |= event.events() != ReadFlags::IGNORED,
                Err(Errno::INTR) => {}
                Err(_) => return any,
            }
        }
    }
}

impl AsFd for NameWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_name_that_goes_is_heard_and_what_is_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["file", "socket", "other", "missing"].map(|name| folder.path().join(name));
        let [file, socket, other, missing] = &paths;
        let heard = |change: &dyn Fn()| {
            for path in [file, other] {
                fs::write(path, "1").unwrap();
            }
            let _ = fs::remove_file(socket);
            let _listener = UnixListener::bind(socket).unwrap();
            let watch = NameWatch::of([file, socket, missing].map(PathBuf::as_path)).unwrap();
            assert!(!watch.take());
            change();
            watch.take()
        };
        assert!(heard(&|| fs::remove_file(file).unwrap()));
        assert!(heard(&|| fs::remove_file(socket).unwrap()));
        assert!(heard(&|| fs::rename(socket, folder.path().join("elsewhere")).unwrap()));
        assert!(heard(&|| fs::rename(other, file).unwrap()));
        assert!(!heard(&|| fs::write(file, "2").unwrap()));
        assert!(!heard(&|| fs::remove_file(other).unwrap()));
    }
}
