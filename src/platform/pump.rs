//! Both ends of the way to the process that apps' output passes through: `crate::logs` has what it does.

use std::ffi::{CStr, CString};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, recvmsg, sendmsg,
    socket_with,
};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use serde::{Deserialize, Serialize};

use super::notify::short_address;
use super::spawn::{TARGETS, out_of_the_way};
use super::sys::Spawner;
use super::{reason, sys};
use crate::spec::Rotation;

/// In `PMRUN_HOME`. The number is the protocol's: a later daemon that speaks another starts a process of its own.
const SOCKET: &str = "logs-1.sock";
/// What it is started with: this very program, even when its file was replaced.
const PROGRAM: &CStr = c"/proc/self/exe";
const WORDS: [&CStr; 2] = [c"pmrun", c"__log"];
const ORDER_BYTES_MAX: usize = 192 << 10;
const PIPES_MAX: usize = 2;
/// How long it may take to hear an order while it waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so many that died soon, one after the other, the next is started after a pause, which grows.
const DEATHS_MAX: u32 = 5;
/// Who dies within this dies soon.
const SOON: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// What is to be done with what a process writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PumpOrder {
    pub app: String,
    pub process_id: u32,
    /// It goes out as it comes, not line by line.
    #[serde(default)]
    pub raw: bool,
    #[serde(default)]
    pub json: bool,
    #[serde(default)]
    pub date_format: Option<String>,
    /// As whom its files are opened, where that is not as the daemon's user.
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub group: Option<String>,
    /// When its files are rotated.
    #[serde(default)]
    pub rotation: Option<Rotation>,
    /// Nothing else is asked but to open files anew that were moved away; answered by how many there were.
    #[serde(default)]
    pub reopen: bool,
    /// Nothing else is asked but to end, as soon as nobody writes to it; whoever asks waits for the connection's end.
    #[serde(default)]
    pub end: bool,
    /// One for each reading end that comes with this.
    pub streams: Vec<PumpStream>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PumpStream {
    pub error: bool,
    /// Absolute.
    pub files: Vec<String>,
}

/// The daemon's end.
#[derive(Debug)]
pub(super) struct PumpLink {
    home: PathBuf,
    link: Option<OwnedFd>,
    /// When the one was started whose end has not been heard of.
    started: Option<Instant>,
    /// Of those that died soon, one after the other.
    deaths: u32,
    /// Tells when the next is to be started.
    timer: Option<OwnedFd>,
}

/// What the link, or its timer, has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It has not ended.
    Not,
    /// Another is to be started.
    Now,
    /// After a pause.
    Later(Duration),
    /// The pause is over.
    Waited,
}

impl PumpLink {
    pub(super) fn new(home: &Path) -> Self {
        Self { home: home.to_owned(), link: None, started: None, deaths: 0, timer: None }
    }

    /// Hands over the reading ends. True when there is a new connection to be watched.
    pub(super) fn send(&mut self, order: &PumpOrder, pipes: &[OwnedFd]) -> io::Result<bool> {
        let bytes = serde_json::to_vec(order).map_err(io::Error::other)?;
        if bytes.len() > ORDER_BYTES_MAX {
            return Err(io::Error::other("its log options are too long"));
        }
        if let Some(link) = &self.link {
            match send(link, &bytes, pipes) {
                // It has just ended.
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => self.link = None,
                result => return result.map(|()| false).map_err(Into::into),
            }
        }
        let link = match connect_to(&self.home) {
            Ok(link) if send(&link, &bytes, pipes).is_ok() => link,
            _ => {
                let link = start(&self.home)?;
                self.started = Some(Instant::now());
                send(&link, &bytes, pipes)?;
                link
            }
        };
        self.link = Some(link);
        Ok(true)
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.link.as_ref().map(AsFd::as_fd)
    }

    /// Nobody needs it any more.
    pub(super) fn release(&mut self) {
        self.link = None;
    }

    /// To be asked when the link or the timer can be read.
    pub(super) fn ended(&mut self) -> Ended {
        if self.timer.take_if(|timer| rustix::io::read(timer, &mut [0; 8][..]).is_ok()).is_some() {
            return Ended::Waited;
        }
        // An event may be of the one before.
        if self.link.take_if(|link| is_closed(link)).is_none() {
            return Ended::Not;
        }
        // One that was dying already when it was spoken to counts once.
        if let Some(started) = self.started.take() {
            self.deaths = if started.elapsed() < SOON { self.deaths + 1 } else { 0 };
        }
        match self.deaths.checked_sub(DEATHS_MAX) {
            None | Some(0) => Ended::Now,
            Some(surplus) => Ended::Later(pause(surplus)),
        }
    }

    /// To be watched like the link.
    pub(super) fn wait(&mut self, pause: Duration) -> io::Result<BorrowedFd<'_>> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let it_value = Timespec::try_from(pause).map_err(io::Error::other)?;
        let value = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &value)?;
        let timer: &OwnedFd = self.timer.insert(timer);
        Ok(timer.as_fd())
    }
}

fn pause(surplus: u32) -> Duration {
    PAUSE.saturating_mul(1 << (surplus - 1).min(6)).min(PAUSE_MAX)
}

/// It says nothing unless it is asked.
fn is_closed(link: &OwnedFd) -> bool {
    !matches!(
        rustix::net::recv(link, &mut [0; 1][..], RecvFlags::DONTWAIT | RecvFlags::PEEK),
        Err(Errno::AGAIN | Errno::INTR)
    )
}

/// Has the log process look for files that were moved away, and open them anew: how many there were. None when there is
/// no such process.
///
/// # Errors
/// When it does not answer.
pub fn reopen_logs(home: &Path) -> io::Result<Option<usize>> {
    let Ok(link) = connect_to(home) else { return Ok(None) };
    let order = PumpOrder { reopen: true, ..PumpOrder::default() };
    send(&link, &serde_json::to_vec(&order).map_err(io::Error::other)?, &[])?;
    let patience = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
    poll(&mut [PollFd::new(&link, PollFlags::IN)], Some(&patience))?;
    let mut bytes = [0; 64];
    let length = match rustix::net::recv(&link, &mut bytes[..], RecvFlags::DONTWAIT) {
        Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
        received => received?.0,
    };
    serde_json::from_slice(&bytes[..length]).map(Some).map_err(io::Error::other)
}

/// Waits until the log process has ended, which it does as soon as nobody writes to it any more; no longer than this.
pub fn wait_for_log_process(home: &Path, patience: Duration) {
    let deadline = Instant::now() + patience;
    let Ok(link) = connect_to(home) else { return };
    let order = PumpOrder { end: true, ..PumpOrder::default() };
    let Ok(bytes) = serde_json::to_vec(&order) else { return };
    if send(&link, &bytes, &[]).is_err() {
        return;
    }
    while !is_closed(&link) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let _ = poll(&mut [PollFd::new(&link, PollFlags::IN)], Timespec::try_from(left).ok().as_ref());
    }
}

fn connect_to(home: &Path) -> io::Result<OwnedFd> {
    let (address, _handle) = address(home)?;
    let link = new_socket()?;
    connect(&link, &address)?;
    Ok(link)
}

/// It can be spoken to before it runs: the socket is there already.
fn start(home: &Path) -> io::Result<OwnedFd> {
    let (address, _handle) = address(home)?;
    let _ = std::fs::remove_file(home.join(SOCKET));
    let listener = new_socket()?;
    bind(&listener, &address)?;
    listen(&listener, 16)?;
    let null: OwnedFd = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into();
    let log = rustix::io::fcntl_dupfd_cloexec(io::stderr(), 0)?;
    let fds = [null.try_clone()?, null, log, listener].into_iter().map(|fd| out_of_the_way(fd, TARGETS));
    let fds = fds.collect::<io::Result<Vec<_>>>()?;
    // Nothing of the daemon's environment but what times are told by, and what logs may take: it must not look like a part of an app.
    let mut env = vec![format!("PMRUN_HOME={}", home.display())];
    for name in ["TZ", "TZDIR", "PMRUN_LOGS_MAX"] {
        env.extend(std::env::var(name).ok().map(|value| format!("{name}={value}")));
    }
    let env = env.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>()?;
    Spawner::new(&fds, c"/")?.start(PROGRAM, &WORDS, &env)?;
    connect_to(home)
}

fn new_socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

fn address(home: &Path) -> io::Result<(SocketAddrUnix, Option<OwnedFd>)> {
    let (path, handle) = short_address(home, SOCKET)?;
    Ok((SocketAddrUnix::new(path)?, handle))
}

fn send(link: &OwnedFd, bytes: &[u8], pipes: &[OwnedFd]) -> Result<(), Errno> {
    let deadline = Instant::now() + PATIENCE;
    let pipes: Vec<BorrowedFd<'_>> = pipes.iter().take(PIPES_MAX).map(AsFd::as_fd).collect();
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PIPES_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&pipes));
        match sendmsg(link, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(Errno::AGAIN);
                }
                let _ = poll(&mut [PollFd::new(link, PollFlags::OUT)], Timespec::try_from(left).ok().as_ref());
            }
            Err(error) => return Err(error),
        }
    }
}

/// The other end: where daemons come to.
#[derive(Debug)]
pub struct PumpSocket(OwnedFd);

/// A daemon that has come.
#[derive(Debug)]
pub struct PumpCaller(OwnedFd);

/// What a daemon said.
#[derive(Debug)]
pub enum Heard {
    Order(PumpOrder, Vec<OwnedFd>),
    Nothing,
    Closed,
}

impl PumpSocket {
    /// Nobody can come any more: while it is there, whoever wants one is answered by this process, and makes no other.
    pub fn remove(&self) {
        if let Some(home) = std::env::var_os("PMRUN_HOME") {
            let _ = std::fs::remove_file(Path::new(&home).join(SOCKET));
        }
    }

    /// The one that this process was started with. To be called first thing.
    ///
    /// # Errors
    /// When it was started by somebody else.
    pub fn inherited() -> io::Result<Self> {
        let listener = sys::inherited_descriptor()
            .filter(|fd| rustix::net::sockopt::socket_acceptconn(fd).unwrap_or(false))
            .ok_or_else(|| io::Error::other("it is started by pmrun itself"))?;
        rustix::io::ioctl_fionbio(&listener, true)?;
        let mut blocked = nix::sys::signal::SigSet::empty();
        // Its apps end, and then it does; a file that may grow no more is an error.
        for signal in [
            nix::sys::signal::Signal::SIGHUP,
            nix::sys::signal::Signal::SIGINT,
            nix::sys::signal::Signal::SIGTERM,
            nix::sys::signal::Signal::SIGXFSZ,
        ] {
            blocked.add(signal);
        }
        blocked.thread_block()?;
        Ok(Self(listener))
    }

    pub fn accept(&self) -> Option<PumpCaller> {
        accept_with(&self.0, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).ok().map(PumpCaller)
    }
}

impl AsFd for PumpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl PumpCaller {
    /// Never blocks.
    #[must_use]
    pub fn receive(&self) -> Heard {
        let mut bytes = vec![0; ORDER_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PIPES_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let length = match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags) {
            Ok(message) => message.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Heard::Nothing,
            Err(_) => return Heard::Closed,
        };
        let mut pipes = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                pipes.extend(fds);
            }
        }
        // Nobody sends an empty message, and one that makes no sense comes from somebody who cannot be understood.
        match serde_json::from_slice(&bytes[..length]) {
            Ok(order) => Heard::Order(order, pipes),
            Err(_) => Heard::Closed,
        }
    }
}

impl PumpCaller {
    /// What was asked for has been done; whoever does not listen does not care.
    pub fn answer(&self, count: usize) {
        let _ = rustix::net::send(&self.0, count.to_string().as_bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}

impl AsFd for PumpCaller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// In words, for whoever wanted an app to be started.
pub(super) fn explain(error: &io::Error) -> String {
    format!("cannot hand its output to the log process: {}", reason(error))
}

#[cfg(test)]
mod tests {
    use rustix::net::socketpair;

    use super::*;

    #[test]
    fn each_death_counts_once_and_the_pause_grows() {
        let mut link = PumpLink::new(Path::new("/"));
        let mut told = Vec::new();
        for round in 0..14 {
            let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
            let (ours, theirs) = pair();
            (link.link, link.started) = (Some(ours), Some(Instant::now()));
            assert_eq!(link.ended(), Ended::Not);
            drop(theirs);
            told.push(link.ended());
            assert_eq!(link.ended(), Ended::Not, "it was heard of already");
            // Spoken to while it was dying.
            link.link = Some(pair().0);
            assert_eq!(link.ended(), told[round]);
        }
        let later = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(|s| Ended::Later(Duration::from_secs(s)));
        assert_eq!(told, [[Ended::Now; 5].as_slice(), &later].concat());
        assert_eq!(link.ended(), Ended::Not);
        let timer = link.wait(Duration::from_millis(1)).unwrap();
        poll(&mut [PollFd::new(&timer, PollFlags::IN)], None).unwrap();
        assert_eq!(link.ended(), Ended::Waited);
        assert_eq!(link.ended(), Ended::Not);
    }
}
