use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// The longest path that fits into a socket's address (unix(7)).
pub(crate) const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The folder of the sockets that apps say `READY=1` to (sd_notify(3)).
///
/// Each launch has one of its own: who is meant is plain even when the sender is a helper that has ended already.
#[derive(Debug)]
pub(super) struct NotifyFolder {
    path: PathBuf,
    /// Open only where the path is too long for an address; then apps reach it through this process's /proc entry.
    handle: Option<OwnedFd>,
}

/// One launch's socket; its name goes when it is dropped.
#[derive(Debug)]
pub(super) struct Notify {
    socket: UnixDatagram,
    /// None has no name in the file system.
    path: Option<PathBuf>,
    /// What the app is told.
    pub(super) address: String,
}

impl NotifyFolder {
    /// Makes it.
    pub(super) fn open(home: &Path) -> io::Result<Self> {
        let path = home.join("notify");
        super::ensure_home(&path)?;
        // Room for the name of a launch.
        let handle = (path.as_os_str().len() + 48 > SOCKET_PATH_BYTES_MAX).then(|| open_folder(&path)).transpose()?;
        Ok(Self { path, handle })
    }

    /// Removes what an earlier daemon left there, but for these.
    pub(super) fn tidy(&self, used: &HashSet<String>) {
        let unused = |name: &str| !used.contains(name);
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_none_or(unused) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// One that an earlier daemon had bound by this name.
    pub(super) fn of(&self, fd: OwnedFd, name: &str) -> Notify {
        let path = self.path.join(name);
        let path = path.exists().then_some(path);
        Notify { socket: fd.into(), path, address: String::new() }
    }

    /// `open`: for an app of another user, who may not enter our home.
    pub(super) fn bind(&self, name: &str, open: bool) -> io::Result<Notify> {
        if open {
            let name = format!("pmrun-notify-{name}");
            let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
            socket.set_nonblocking(true)?;
            return Ok(Notify { socket, path: None, address: format!("@{name}") });
        }
        let path = self.path.join(name);
        let address = match &self.handle {
            None => path.clone(),
            Some(handle) => format!("/proc/{}/fd/{}/{name}", std::process::id(), handle.as_raw_fd()).into(),
        };
        let socket = match UnixDatagram::bind(&address) {
            // Somebody has tidied up. Where it is reached by its handle, that is of the folder that is gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.handle.is_none() => {
                super::ensure_home(&self.path)?;
                UnixDatagram::bind(&address)?
            }
            bound => bound?,
        };
        socket.set_nonblocking(true)?;
        Ok(Notify { socket, path: Some(path), address: address.to_string_lossy().into_owned() })
    }
}

impl Notify {
    /// Whether it said that it is ready since the last look.
    pub(super) fn read(&self, scratch: &mut [u8]) -> bool {
        let mut ready = false;
        // Bounded, so that an app that never stops talking does not stop the others.
        for _ in 0..64 {
            match self.socket.recv(scratch) {
                Ok(length) => ready |= scratch[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1"),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        ready
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Notify {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A path for an address of something in a folder whose own path may be too long for one.
///
/// The descriptor has to live as long as the address is used.
pub(crate) fn short_address(folder: &Path, name: &str) -> io::Result<(PathBuf, Option<OwnedFd>)> {
    let path = folder.join(name);
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return Ok((path, None));
    }
    let handle = open_folder(folder)?;
    Ok((format!("/proc/self/fd/{}/{name}", handle.as_raw_fd()).into(), Some(handle)))
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_comes_through_paths_of_any_length() {
        let folder = tempfile::tempdir().unwrap();
        for home in [folder.path().to_owned(), folder.path().join("x".repeat(200))] {
            let sockets = NotifyFolder::open(&home).unwrap();
            let notify = sockets.bind("ab12.7", false).unwrap();
            assert!(notify.address.len() <= SOCKET_PATH_BYTES_MAX);
            let app = UnixDatagram::unbound().unwrap();
            let mut scratch = [0; 256];
            for (message, want) in [
                ("STATUS=warming up", false),
                ("READY=10", false),
                ("XREADY=1", false),
                ("STATUS=done\nREADY=1\n", true),
                ("READY=1", true),
            ] {
                app.send_to(message.as_bytes(), &notify.address).unwrap();
                assert_eq!(notify.read(&mut scratch), want, "{message}");
            }
            drop(notify);
            assert_eq!(std::fs::read_dir(home.join("notify")).unwrap().count(), 0);
        }
        let sockets = NotifyFolder::open(folder.path()).unwrap();
        let open = sockets.bind("ab12.9", true).unwrap();
        let name = open.address.strip_prefix('@').unwrap();
        let app = UnixDatagram::unbound().unwrap();
        app.send_to_addr(b"READY=1", &SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        assert!(open.read(&mut [0; 64]));
        std::fs::remove_dir_all(folder.path().join("notify")).unwrap();
        assert!(sockets.bind("ab12.8", false).is_ok(), "the folder is made again");
    }
}
