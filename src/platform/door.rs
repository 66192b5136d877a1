//! Two sockets that somebody may come to, and a process that is only there while somebody is.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use super::notify::short_address;
use super::spawn::{TARGETS, out_of_the_way};
use super::survivors::{is_alive, open_pid};
use super::sys::{self, Spawner};

/// What PM2's library connects to.
const NAMES: [&str; 2] = ["rpc.sock", "pub.sock"];

/// Open as long as it is there.
#[derive(Debug)]
pub struct Door {
    home: PathBuf,
    listeners: [OwnedFd; 2],
}

impl Door {
    /// # Errors
    /// The system's; and where another process serves there, which is left alone.
    pub fn open(home: &Path) -> io::Result<Self> {
        for name in NAMES {
            if let Some(pid) = server(home, name) {
                return Err(io::Error::other(format!("process {pid} serves at `{}`", home.join(name).display())));
            }
        }
        let [asked, told] = NAMES.map(|name| bind(home, name));
        Ok(Self { home: home.to_owned(), listeners: [asked?, told?] })
    }

    /// Copies, to wait by.
    ///
    /// # Errors
    /// The system's.
    pub fn listeners(&self) -> io::Result<[OwnedFd; 2]> {
        let [asked, told] = &self.listeners;
        Ok([asked.try_clone()?, told.try_clone()?])
    }

    /// Somebody waits to be let in.
    #[must_use]
    pub fn is_knocked_at(&self) -> bool {
        self.listeners.iter().any(|listener| sys::is_readable(listener.as_fd(), Duration::ZERO))
    }

    /// Starts who lets them in; readable when that has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn answer(&self) -> io::Result<OwnedFd> {
        let null: OwnedFd = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into();
        let log = rustix::io::fcntl_dupfd_cloexec(io::stderr(), 0)?;
        let [asked, told] = self.listeners()?;
        let fds = [null.try_clone()?, null, log, asked, told].into_iter();
        let fds = fds.map(|fd| out_of_the_way(fd, TARGETS + 1)).collect::<io::Result<Vec<_>>>()?;
        // Nothing of the daemon's environment but what programs and times are found by: it must not look like a part of an app.
        let mut env = vec![[b"PMRUN_HOME=", self.home.as_os_str().as_bytes()].concat()];
        for name in ["TZ", "TZDIR", "PATH", "HOME"] {
            env.extend(std::env::var_os(name).map(|value| [name.as_bytes(), b"=", value.as_bytes()].concat()));
        }
        let env = env.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let daemon = CString::new(std::process::id().to_string())?;
        let pid = Spawner::new(&fds, c"/")?.start(c"/proc/self/exe", &[c"pmrun", c"__api", &daemon], &env)?;
        open_pid(pid)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        for name in NAMES {
            let _ = std::fs::remove_file(self.home.join(name));
        }
    }
}

/// Who listens there, where that is another process that lives.
fn server(home: &Path, name: &str) -> Option<u32> {
    let (address, _folder) = short_address(home, name).ok()?;
    let stream = UnixStream::connect(address).ok()?;
    // Of the one that has begun to listen, whoever has the socket now.
    let (pid, _) = peer(&stream)?;
    (pid != std::process::id() && is_alive(pid)).then_some(pid)
}

fn bind(home: &Path, name: &str) -> io::Result<OwnedFd> {
    match std::fs::remove_file(home.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (address, _folder) = short_address(home, name)?;
    // As with the control socket.
    let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(address);
    rustix::process::umask(umask);
    let listener = bound?;
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}

/// The sockets that this process was started with. To be called first thing.
///
/// # Errors
/// When it was started by somebody else.
pub fn passed_listeners() -> io::Result<[UnixListener; 2]> {
    let listener = |fd| {
        let found = sys::inherited(fd);
        let found = found.filter(|fd| rustix::net::sockopt::socket_acceptconn(fd).unwrap_or(false));
        found.map(UnixListener::from).ok_or_else(|| io::Error::other("it is started by pmrun itself"))
    };
    Ok([listener(3)?, listener(4)?])
}

/// Has this process end with its parent. False where that is another already.
#[must_use]
pub fn end_with_parent(parent: u32) -> bool {
    let parent = i32::try_from(parent).ok();
    set_parent_process_death_signal(Some(Signal::KILL)).is_ok()
        && getppid().map(|pid| pid.as_raw_nonzero().get()) == parent
}

/// It may end first from now on.
pub fn outlive_parent() {
    // Without this it ends a little early.
    let _ = set_parent_process_death_signal(None);
}

/// The process at the other end, and its user.
#[must_use]
pub fn peer(stream: &UnixStream) -> Option<(u32, u32)> {
    let peer = socket_peercred(stream).ok()?;
    Some((u32::try_from(peer.pid.as_raw_nonzero().get()).ok()?, peer.uid.as_raw()))
}

/// False when none is readable by then.
#[must_use]
pub fn wait_for_any(fds: &[BorrowedFd<'_>], patience: Duration) -> bool {
    let mut fds: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    matches!(poll(&mut fds, Timespec::try_from(patience).ok().as_ref()), Ok(1..))
}
