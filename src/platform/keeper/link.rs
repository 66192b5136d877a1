//! What the daemon has of its keeper, and what the two say to each other: a message a word.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg, socketpair,
};

use super::manager::MANAGER;
use super::{Follows, LINK, LISTENER, LOCK, Left};
use crate::base::ExitStatus;
use crate::platform::handover::hand_over;
use crate::platform::reason;
use crate::platform::setup::ProcessSetup;
use crate::platform::survivors::Child;

/// What the daemon says: that it serves, and that it ends because it was told to; and, with a name behind it, that the
/// descriptor that comes with it is to be held, or is not any more.
pub(super) const SERVES: &[u8] = b"S";
pub(super) const FAREWELL: &[u8] = b"E";
pub(super) const HOLD: u8 = b'H';
pub(super) const DROP: u8 = b'D';
/// What the service manager is to be told, where there is one.
pub(super) const TELL: u8 = b'N';
/// That somebody has taken away the name by which commands find the keeper.
pub(super) const LISTEN: &[u8] = b"L";
/// That the keeper is to become the program of this path.
pub(super) const BECOME: u8 = b'X';
/// The longest of these.
pub(super) const WORD_BYTES_MAX: usize = 4_200;
/// How long the keeper may take to read what it is to hold, which it does nothing but.
const HOLD_PATIENCE: Duration = Duration::from_millis(200);

/// What the daemon has of its keeper.
#[derive(Debug)]
pub struct KeeperLink {
    pub(super) socket: OwnedFd,
    /// How processes ended that the daemon before this one has left.
    pub ended: Vec<(u32, ExitStatus)>,
    /// Where this daemon follows another.
    pub follows: Option<Follows>,
    /// What it had had held.
    pub(in crate::platform) held: BTreeMap<String, OwnedFd>,
    /// What it knew of its children, where it was in this process.
    pub(in crate::platform) children: Vec<Child>,
}

/// What a keeper says, one message an end.
pub(in crate::platform) enum Told {
    Ended(u32, ExitStatus),
    /// For now.
    Nothing,
    /// There is no keeper any more.
    Gone,
}

impl KeeperLink {
    /// The daemon serves: should it die from now on, another is started.
    pub fn serves(&self) {
        let _ = send(&self.socket, SERVES, SendFlags::NOSIGNAL);
    }

    /// Becomes another program, with all that this one has open for apps, or where that cannot be this one anew: by now it serves
    /// nobody. Returns when not even that can be.
    pub(in crate::platform) fn hand_over(
        self,
        program: &Path,
        setup: &ProcessSetup,
        listener: OwnedFd,
        lock: OwnedFd,
        held: BTreeMap<String, OwnedFd>,
        children: Vec<Child>,
    ) -> io::Error {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let note = Left { version, soft_file_limit: setup.soft_file_limit(), children };
        let mut fds = held;
        fds.extend([(LINK, self.socket), (LISTENER, listener), (LOCK, lock)].map(|(name, fd)| (name.to_owned(), fd)));
        let error = hand_over(program, "__daemon-resume", &fds, &note);
        let (name, reason) = (program.display(), reason(&error));
        let _ = writeln!(io::stderr(), "cannot become `{name}`: {reason}; goes on as the program that it was");
        // Also where that has no name any more: proc_pid_exe(5).
        hand_over(Path::new("/proc/self/exe"), "__daemon-resume", &fds, &note)
    }

    /// The daemon is another program now: so be its keeper.
    pub(in crate::platform) fn follow(&self, program: &Path) {
        let word = [&[BECOME], program.as_os_str().as_bytes()].concat();
        let _ = send(&self.socket, &word, SendFlags::NOSIGNAL);
    }

    /// Commands are to find the keeper again.
    pub(in crate::platform) fn listen_again(&self) {
        let _ = send(&self.socket, LISTEN, SendFlags::NOSIGNAL);
    }

    /// It ends, and nothing is to follow.
    pub(in crate::platform) fn farewell(&self) {
        let _ = send(&self.socket, FAREWELL, SendFlags::NOSIGNAL);
    }

    /// Keeps the other end of a descriptor from being the last: for a daemon that follows, by this name.
    ///
    /// # Errors
    /// The system's.
    pub(in crate::platform) fn hold(&self, name: &str, fd: &impl AsFd) -> io::Result<()> {
        hand(&self.socket, name, fd)
    }

    /// What the service manager is to know that has started the keeper, in sd_notify(3)'s words; nobody, where there is none.
    pub(in crate::platform) fn tell_manager(&self, text: &str) {
        let _ = send(&self.socket, &[&[TELL], text.as_bytes()].concat(), SendFlags::NOSIGNAL);
    }

    /// It need not be held any more.
    pub(in crate::platform) fn release(&self, name: &str) {
        let _ = send(&self.socket, &[&[DROP], name.as_bytes()].concat(), SendFlags::NOSIGNAL);
    }

    /// Never blocks.
    pub(in crate::platform) fn hear(&self) -> Told {
        let mut word = [0; 12];
        match recv(&self.socket, &mut word, RecvFlags::empty()) {
            Ok((_, 12)) => decode(word),
            Ok((_, 0)) => Told::Gone,
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Told::Nothing,
            Err(_) => Told::Gone,
        }
    }

    /// Waits until it is known how all of `pids` ended; not for long: they have ended, and may be anybody's children.
    pub fn learn(&mut self, pids: &[u32], patience: Duration) {
        let until = Instant::now() + patience;
        loop {
            let known = |pid: &u32| self.ended.iter().any(|(ended, _)| ended == pid);
            if pids.iter().all(known) {
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).unwrap_or_default();
            if !poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout)).is_ok_and(|ready| ready > 0) {
                return;
            }
            match self.hear() {
                Told::Ended(pid, status) => self.ended.push((pid, status)),
                Told::Nothing => {}
                Told::Gone => return,
            }
        }
    }

    /// Another keeper, for a daemon that has lost its own: a child of this process.
    ///
    /// # Errors
    /// The system's.
    pub(in crate::platform) fn replace(setup: &ProcessSetup) -> io::Result<Self> {
        let kind = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, kind, None)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("__keeper")
            .arg(std::process::id().to_string())
            // It is not the one that was started by a service manager.
            .env_remove(MANAGER)
            .args(setup.soft_file_limit().map(|limit| limit.to_string()))
            .stdin(theirs)
            .stdout(Stdio::null());
        // Reaped with everything else that ends.
        command.spawn()?;
        Ok(Self { socket: ours, ended: Vec::new(), follows: None, held: BTreeMap::new(), children: Vec::new() })
    }
}

impl AsFd for KeeperLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A descriptor with its name, for whoever holds it from now on.
pub(super) fn hand(socket: &impl AsFd, name: &str, fd: &impl AsFd) -> io::Result<()> {
    let word = [&[HOLD], name.as_bytes()].concat();
    let fds = [fd.as_fd()];
    let until = Instant::now() + HOLD_PATIENCE;
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        match sendmsg(socket, &[IoSlice::new(&word)], &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::TOOMANYREFS) if Instant::now() < until => {
                let left = until.saturating_duration_since(Instant::now());
                let timeout = Timespec::try_from(left).unwrap_or_default();
                poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&timeout))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The next word that has come, and the descriptor with it. Never blocks.
pub(super) fn heard<'a>(socket: &impl AsFd, word: &'a mut [u8; WORD_BYTES_MAX]) -> Option<(&'a [u8], Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let parts = &mut [IoSliceMut::new(word)];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let length = recvmsg(socket, parts, &mut ancillary, flags).ok().filter(|got| got.bytes > 0)?.bytes;
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Some((&word[..length], fd))
}

/// What is behind the first letter of a word.
pub(super) fn rest_of(word: &[u8]) -> String {
    String::from_utf8_lossy(word.get(1..).unwrap_or_default()).into_owned()
}

pub(super) fn encode(pid: u32, status: ExitStatus) -> [u8; 12] {
    let (kind, number) = match status {
        ExitStatus::Code(code) => (0, code),
        ExitStatus::Signal(signal) => (1, signal),
        ExitStatus::OutOfMemory(_) | ExitStatus::Unknown => (2, 0),
    };
    let mut word = [0; 12];
    word[..4].copy_from_slice(&pid.to_ne_bytes());
    word[4..8].copy_from_slice(&u32::to_ne_bytes(kind));
    word[8..].copy_from_slice(&i32::to_ne_bytes(number));
    word
}

fn decode(word: [u8; 12]) -> Told {
    let part = |at: usize| <[u8; 4]>::try_from(&word[at..at + 4]).unwrap_or_default();
    let number = i32::from_ne_bytes(part(8));
    let status = match u32::from_ne_bytes(part(4)) {
        0 => ExitStatus::Code(number),
        1 => ExitStatus::Signal(number),
        _ => ExitStatus::Unknown,
    };
    Told::Ended(u32::from_ne_bytes(part(0)), status)
}
