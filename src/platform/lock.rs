use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// A file whose lock says something; unlocked when dropped, and by the system when the process ends however it ends.
#[derive(Debug)]
pub struct LockFile {
    file: File,
}

/// Who else may hold the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    Shared,
    Exclusive,
}

/// What came of a wish to read.
#[derive(Debug)]
pub enum Shared {
    Locked(LockFile),
    /// Somebody else holds it alone.
    Held,
    /// It can be read without.
    Without,
}

impl LockFile {
    /// One that was locked by an earlier program in this process.
    #[must_use]
    pub fn of(file: OwnedFd) -> Self {
        Self { file: file.into() }
    }

    /// The file, locked as long as this or any copy of it is open.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.file.into()
    }

    /// Waits for the lock, at most `patience`; none when somebody held it all that time.
    ///
    /// # Errors
    /// When the file cannot be made or opened, or there are too many threads to wait by another.
    pub fn acquire(path: &Path, kind: LockKind, patience: Duration) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        Self::lock(file, kind, patience)
    }

    /// As [`Self::acquire`], shared, for who only reads: also where nothing can be written. Where there is no such file
    /// then, or it cannot be read, nobody holds it who could be waited for.
    ///
    /// # Errors
    /// As there.
    pub fn share(path: &Path, patience: Duration) -> io::Result<Shared> {
        use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
        let shared = |lock: Option<Self>| lock.map_or(Shared::Held, Shared::Locked);
        match Self::acquire(path, LockKind::Shared, patience) {
            Err(error) if matches!(error.kind(), ReadOnlyFilesystem | PermissionDenied) => {}
            other => return other.map(shared),
        }
        match File::open(path) {
            Ok(file) => Self::lock(file, LockKind::Shared, patience).map(shared),
            Err(error) if matches!(error.kind(), NotFound | PermissionDenied) => Ok(Shared::Without),
            Err(error) => Err(error),
        }
    }

    fn lock(file: File, kind: LockKind, patience: Duration) -> io::Result<Option<Self>> {
        let (at_once, waiting) = match kind {
            LockKind::Shared => (FlockOperation::NonBlockingLockShared, FlockOperation::LockShared),
            LockKind::Exclusive => (FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive),
        };
        match flock(&file, at_once) {
            Ok(()) => return Ok(Some(Self { file })),
            Err(rustix::io::Errno::WOULDBLOCK) if patience.is_zero() => return Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        // flock(2) knows no timeout; a thread that is left behind waits on its own copy of the descriptor and gives
        // the lock back as soon as it gets it.
        let (sender, receiver) = mpsc::channel();
        std::thread::Builder::new().spawn(move || {
            let locked = loop {
                match flock(&file, waiting) {
                    Err(rustix::io::Errno::INTR) => {}
                    other => break other,
                }
            };
            let _ = sender.send(locked.map(|()| file));
        })?;
        match receiver.recv_timeout(patience) {
            Ok(locked) => Ok(Some(Self { file: locked? })),
            Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusive_excludes_and_dropping_lets_the_next_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = LockFile::acquire(&path, LockKind::Exclusive, Duration::ZERO).unwrap();
        assert!(first.is_some());
        for kind in [LockKind::Shared, LockKind::Exclusive] {
            assert!(LockFile::acquire(&path, kind, Duration::ZERO).unwrap().is_none(), "{kind:?}");
        }
        assert!(LockFile::acquire(&path, LockKind::Shared, Duration::from_millis(5)).unwrap().is_none());
        let waiting = {
            let path = path.clone();
            std::thread::spawn(move || LockFile::acquire(&path, LockKind::Exclusive, Duration::from_secs(10)).unwrap())
        };
        drop(first);
        assert!(waiting.join().unwrap().is_some());
    }
}
