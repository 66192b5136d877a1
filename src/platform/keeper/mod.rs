//! The process above the daemon, which does next to nothing and so outlives it: when the daemon is killed, it starts
//! another at once, and tells it how those ended that were left without a parent meanwhile.
//!
//! ```text
//! keeper ── waits for signals ── inherits what the daemon leaves (prctl(2), PR_SET_CHILD_SUBREAPER)
//!   └ daemon ── apps
//! ```
//!
//! It is the same program, forked before that has opened anything, and knows nothing of apps. A daemon that loses its
//! keeper starts another, below itself: that one starts the next daemon as its own child, and all is as before.

mod link;
mod manager;
mod succession;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, wait};
use serde::{Deserialize, Serialize};

pub use self::link::KeeperLink;
pub(super) use self::link::Told;
use self::link::{BECOME, DROP, FAREWELL, HOLD, LISTEN, SERVES, TELL, WORD_BYTES_MAX, encode, heard, rest_of};
pub use self::manager::say_ready;
pub(super) use self::succession::Legacy;
pub use self::succession::Succession;
use super::handover::{hand_over, take_watches, taken_over};
use super::lock::LockFile;
use super::memory::give_back;
use super::notify::short_address;
use super::setup::{ProcessSetup, Signals};
use super::survivors::Child;
use super::sys;
use crate::base::ExitStatus;

/// What `ps -o comm` shows.
const NAME: &CStr = c"pmrun: keeper";
/// A daemon that lived for less is not started again at once another time.
const LONG: Duration = Duration::from_secs(10);
/// The first wait, which doubles up to the last.
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_LAST: Duration = Duration::from_mins(1);
/// Who has served, if not for long, is followed within a second each time, whoever kills it: after the first wait, and after so
/// many in a row after this one. One that crashes as soon as it serves costs no more than a tenth of a processor then.
const SERVED_MAX: u32 = 20;
const WAIT_SERVED: Duration = Duration::from_millis(750);
/// So often in a row a daemon may fail to start before that is left to people.
const FAILURES_MAX: u32 = 12;
/// How many ends are remembered while nobody listens.
const ENDED_MAX: usize = 65_536;
/// What a daemon was told so shortly before it died is told the next one as well: it may have read nothing of it. Not longer,
/// for pids are given again.
const UNREAD: Duration = Duration::from_secs(10);

/// In `PMRUN_HOME`: where the keeper hears commands that find no daemon.
pub const KEEPER_SOCKET: &str = "keeper.sock";
/// That they want one now, or none at all.
const WAKE: &[u8] = b"wake";
const DISMISS: &[u8] = b"end";

/// What a command that finds no daemon has to say to the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Is there one?
    Nothing,
    /// Start a daemon now.
    Daemon,
    /// Start none, and go.
    End,
}

/// Whether there is a keeper, which has heard it.
#[must_use]
pub fn tell_keeper(home: &Path, wish: Wish) -> bool {
    let word: &[u8] = match wish {
        Wish::Nothing => b"",
        Wish::Daemon => WAKE,
        Wish::End => DISMISS,
    };
    let told = || -> io::Result<usize> {
        let (address, _folder) = short_address(home, KEEPER_SOCKET)?;
        let mouth = UnixDatagram::unbound()?;
        mouth.set_nonblocking(true)?;
        mouth.send_to(word, address)
    };
    told().is_ok()
}

/// Which of the two this process is.
#[derive(Debug)]
pub enum Part {
    Daemon(KeeperLink),
    /// It was, and ends.
    Keeper(ExitCode),
}

/// What became of the daemon before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follows {
    /// It was killed, or crashed.
    Ended(ExitStatus),
    /// It was of this version, and has become this one.
    Version(String),
    /// A service manager has asked for this one; `left` where another has left for it.
    Asked { left: bool },
}

/// What a daemon has left to the program that is in its place now.
#[derive(Debug)]
pub struct Resumed {
    pub setup: ProcessSetup,
    pub link: KeeperLink,
    /// What others wait at: the control socket.
    pub listener: OwnedFd,
    /// `daemon.lock`, locked.
    pub lock: OwnedFd,
}

/// Divides this process in two. Returns in the daemon at once, and again in each that follows it; in the keeper when
/// there is nothing left to keep.
///
/// Must be called before there are threads.
///
/// # Errors
/// The system's.
pub fn divide(home: &Path) -> io::Result<Part> {
    let signals = Signals::block()?;
    Keeping::new(signals, home).start(None)
}

/// As [`divide`], for a service manager. `left` is what a daemon has left that ran before; `turn` is given back as soon as
/// commands hear that a daemon is about to come.
///
/// # Errors
/// The system's.
pub fn divide_for_manager(home: &Path, left: Option<BTreeMap<String, OwnedFd>>, turn: LockFile) -> io::Result<Part> {
    let signals = Signals::block()?;
    let mut keeping = Keeping::new(signals, home);
    keeping.hear_commands();
    drop(turn);
    let follows = Follows::Asked { left: left.is_some() };
    keeping.held = left.unwrap_or_default();
    keeping.start(Some(follows))
}

/// As [`divide`], in a process that is the keeper already, of a daemon that has lost its own: its standard input is the
/// link (`pmrun __keeper`, hidden).
///
/// # Errors
/// The system's.
pub fn keep(home: &Path, daemon: u32) -> io::Result<Part> {
    let socket = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    let signals = Signals::block()?;
    let pid = raw(daemon)?;
    let watched = pidfd_open(pid, PidfdFlags::empty())?;
    // Gone before it was looked at, its pid may be another's.
    if rustix::process::getppid() != Some(pid) {
        return Ok(Part::Keeper(ExitCode::FAILURE));
    }
    let _ = rustix::thread::set_name(NAME);
    let mut keeping = Keeping { daemons: 1, ..Keeping::new(signals, home) };
    keeping.daemon = Some(Daemon {
        is: Who::Other(watched),
        socket,
        serves: true,
        leaves: false,
        since: Instant::now(),
        wants: None,
        is_unheard: false,
    });
    keeping.hear_commands();
    keeping.watch()
}

/// As [`keep`], in a process that was the keeper before, as another program (`pmrun __keeper-resume`, hidden).
///
/// # Errors
/// The system's.
pub fn keep_on(home: &Path, fd: i32) -> io::Result<Part> {
    let (mut fds, note) = taken_over::<Kept>(fd)?;
    drop(take_watches(&mut fds));
    let signals = Signals::block()?;
    let socket = fds.remove(LINK).ok_or(rustix::io::Errno::BADF)?;
    let is = match (note.child, fds.remove(PIDFD)) {
        (Some(pid), _) => Who::Child(pid),
        (None, Some(pidfd)) => Who::Other(pidfd),
        (None, None) => return Err(rustix::io::Errno::BADF.into()),
    };
    let now = Instant::now();
    let since = now.checked_sub(Duration::from_millis(note.lived_ms)).unwrap_or(now);
    let mut keeping = Keeping::new(signals, home);
    keeping.daemons = note.daemons;
    keeping.short_lives = note.short_lives;
    keeping.held = note.held.into_iter().filter_map(|name| Some((name.clone(), fds.remove(&name)?))).collect();
    keeping.daemon = Some(Daemon { is, socket, serves: true, leaves: false, since, wants: None, is_unheard: false });
    let _ = rustix::thread::set_name(NAME);
    keeping.hear_commands();
    keeping.watch()
}

/// What a daemon has left to this program (`pmrun __daemon-resume`, hidden).
///
/// # Errors
/// The system's.
pub fn resume(fd: i32) -> io::Result<Resumed> {
    let (mut fds, note) = taken_over::<Left>(fd)?;
    let mut take = |name: &str| fds.remove(name).ok_or(rustix::io::Errno::BADF);
    let (listener, lock, socket) = (take(LISTENER)?, take(LOCK)?, take(LINK)?);
    let watches = take_watches(&mut fds);
    let setup = super::setup::remain_daemon(note.soft_file_limit);
    // Commands wait. Without a thread they are closed here and now.
    let _ = std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(watches));
    let _ = rustix::thread::set_name(c"pmrun");
    let follows = Some(Follows::Version(note.version));
    let link = KeeperLink { socket, ended: Vec::new(), follows, held: fds, children: note.children };
    Ok(Resumed { setup, link, listener, lock })
}

/// What a daemon tells the program that comes in its place.
#[derive(Serialize, Deserialize)]
struct Left {
    version: String,
    soft_file_limit: Option<u64>,
    /// Of one that does not say, they are looked for as of one that was killed.
    #[serde(default)]
    children: Vec<Child>,
}

/// The same of a keeper.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The daemon, where it is a child.
    child: Option<u32>,
    lived_ms: u64,
    daemons: u32,
    short_lives: u32,
    held: Vec<String>,
}

/// Names of descriptors; those of launches have a slash.
const LINK: &str = "link";
const PIDFD: &str = "pidfd";
const LISTENER: &str = "listener";
const LOCK: &str = "lock";

fn raw(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| rustix::io::Errno::SRCH.into())
}

/// What a keeper knows.
struct Keeping {
    home: PathBuf,
    /// Where commands that find no daemon are heard.
    ear: Option<UnixDatagram>,
    signals: Signals,
    daemon: Option<Daemon>,
    /// Not told yet.
    ended: VecDeque<(u32, ExitStatus)>,
    /// Told just now.
    told: VecDeque<(Instant, u32, ExitStatus)>,
    /// How many there were.
    daemons: u32,
    /// Daemons in a row that did not live long.
    short_lives: u32,
    /// Those among them that did not come to serve.
    failures: u32,
    /// When the next is started, and what came of the last.
    due: Option<(Instant, ExitStatus)>,
    /// Open as long as this process lives, so that whoever has the other end does not notice that a daemon died.
    held: BTreeMap<String, OwnedFd>,
    /// Nothing is to be done while the daemon serves, and memory was given back.
    rests: bool,
}

struct Daemon {
    is: Who,
    socket: OwnedFd,
    serves: bool,
    /// It has said that it ends.
    leaves: bool,
    since: Instant,
    /// It has become another program, and wants its keeper to be that too.
    wants: Option<PathBuf>,
    /// It has seen that nobody can reach the keeper.
    is_unheard: bool,
}

enum Who {
    Child(u32),
    Other(OwnedFd),
}

impl Keeping {
    fn new(signals: Signals, home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            ear: None,
            signals,
            daemon: None,
            ended: VecDeque::new(),
            told: VecDeque::new(),
            daemons: 0,
            short_lives: 0,
            failures: 0,
            due: None,
            held: BTreeMap::new(),
            rests: false,
        }
    }

    /// Both go on from here.
    fn start(mut self, follows: Option<Follows>) -> io::Result<Part> {
        let kind = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, kind, None)?;
        match sys::fork()? {
            None => {
                rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
                let _ = rustix::thread::set_name(c"pmrun");
                Ok(Part::Daemon(KeeperLink {
                    socket: theirs,
                    ended: self.ended.into(),
                    follows,
                    held: self.held,
                    children: Vec::new(),
                }))
            }
            Some(pid) => {
                drop(theirs);
                let _ = rustix::thread::set_name(NAME);
                self.ended.clear();
                self.daemons += 1;
                // Whoever started us waits for its end.
                let _ = nix::unistd::dup2_stdout(io::stderr());
                let is = Who::Child(pid);
                self.daemon = Some(Daemon {
                    is,
                    socket: ours,
                    serves: false,
                    leaves: false,
                    since: Instant::now(),
                    wants: None,
                    is_unheard: false,
                });
                self.due = None;
                self.hear_commands();
                self.watch()
            }
        }
    }

    /// Until another daemon is to be started, or nothing.
    fn watch(mut self) -> io::Result<Part> {
        loop {
            self.pass_on();
            self.wait()?;
            let pending = self.signals.take();
            if let Some(daemon) = &mut self.daemon {
                daemon.listen(&mut self.held);
                if std::mem::take(&mut daemon.is_unheard) && !self.home.join(KEEPER_SOCKET).exists() {
                    self.ear = None;
                    self.hear_commands();
                }
            }
            self.become_what_is_wanted();
            if pending.leave {
                // The daemon finds itself another keeper, until the next that is started takes its place.
                return Ok(self.end(ExitCode::SUCCESS));
            }
            if pending.terminate {
                manager::tell("STOPPING=1");
                let Some(daemon) = &self.daemon else {
                    let _ = writeln!(io::stderr(), "the keeper was asked to end while no daemon ran");
                    return Ok(self.end(ExitCode::SUCCESS));
                };
                daemon.is.terminate();
            }
            if let Some(status) = self.reap()
                && let Some(end) = self.died(status)
            {
                return Ok(self.end(end));
            }
            if self.is_dismissed() {
                return Ok(self.end(ExitCode::SUCCESS));
            }
            if let Some((at, status)) = self.due
                && at <= Instant::now()
            {
                return self.start(Some(Follows::Ended(status)));
            }
        }
    }

    /// Commands that find no daemon need not wait, and need not start one that knows less.
    fn hear_commands(&mut self) {
        // Never without a name in between.
        if self.ear.is_some() {
            return;
        }
        let bind = || -> io::Result<UnixDatagram> {
            let _ = std::fs::remove_file(self.home.join(KEEPER_SOCKET));
            let (address, _folder) = short_address(&self.home, KEEPER_SOCKET)?;
            let ear = UnixDatagram::bind(address)?;
            ear.set_nonblocking(true)?;
            Ok(ear)
        };
        // Without it, commands start daemons of their own.
        self.ear = bind().ok();
    }

    /// Does what commands ask for that have found no daemon; whether that is to end.
    fn is_dismissed(&mut self) -> bool {
        let Some(ear) = &self.ear else { return false };
        let mut word = [0; 8];
        while let Ok(length) = ear.recv(&mut word) {
            if let Some((at, _)) = &mut self.due {
                match &word[..length] {
                    WAKE => *at = Instant::now(),
                    DISMISS => return true,
                    _ => {}
                }
            }
        }
        false
    }

    fn end(self, code: ExitCode) -> Part {
        if self.ear.is_some() {
            let _ = std::fs::remove_file(self.home.join(KEEPER_SOCKET));
        }
        Part::Keeper(code)
    }

    /// Should it fail, all is as before: this program keeps another just as well.
    fn become_what_is_wanted(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        let Some(program) = daemon.wants.take() else { return };
        let note = Kept {
            child: match &daemon.is {
                Who::Child(pid) => Some(*pid),
                Who::Other(_) => None,
            },
            lived_ms: u64::try_from(daemon.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            daemons: self.daemons,
            short_lives: self.short_lives,
            held: self.held.keys().cloned().collect(),
        };
        let mut fds: BTreeMap<String, OwnedFd> = BTreeMap::new();
        fds.extend(daemon.socket.try_clone().ok().map(|fd| (LINK.to_owned(), fd)));
        if let Who::Other(pidfd) = &daemon.is {
            fds.extend(pidfd.try_clone().ok().map(|fd| (PIDFD.to_owned(), fd)));
        }
        fds.extend(self.held.iter().filter_map(|(name, fd)| Some((name.clone(), fd.try_clone().ok()?))));
        let error = hand_over(&program, "__keeper-resume", &fds, &note);
        let _ = writeln!(io::stderr(), "the keeper cannot become `{}`: {error}", program.display());
    }

    /// Until something happens.
    fn wait(&mut self) -> io::Result<()> {
        let serves = self.daemon.as_ref().is_some_and(|daemon| daemon.serves);
        if serves && !std::mem::replace(&mut self.rests, serves) {
            give_back();
        }
        self.rests = serves;
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        fds.extend(self.ear.as_ref().map(|ear| PollFd::new(ear, PollFlags::IN)));
        if let Some(daemon) = &self.daemon {
            let out = if self.ended.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            fds.push(PollFd::new(&daemon.socket, PollFlags::IN | out));
            if let Who::Other(pidfd) = &daemon.is {
                fds.push(PollFd::new(pidfd, PollFlags::IN));
            }
        }
        let left = self.due.map(|(at, _)| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How the daemon ended, if it did. What else has ended is remembered.
    fn reap(&mut self) -> Option<ExitStatus> {
        let mut died = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let status = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => ExitStatus::Code(code),
                (None, Some(signal)) => ExitStatus::Signal(signal),
                (None, None) => continue,
            };
            let pid = pid.as_raw_pid().cast_unsigned();
            if matches!(&self.daemon, Some(Daemon { is: Who::Child(child), .. }) if *child == pid) {
                died = Some(status);
            } else if self.ended.len() < ENDED_MAX {
                self.ended.push_back((pid, status));
            }
        }
        if let Some(Daemon { is: Who::Other(pidfd), .. }) = &self.daemon
            && poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
        {
            died = Some(ExitStatus::Unknown);
        }
        died
    }

    /// With what this process ends too, where it does.
    fn died(&mut self, status: ExitStatus) -> Option<ExitCode> {
        let mut daemon = self.daemon.take()?;
        daemon.listen(&mut self.held);
        // One that has served says so before it ends: else another program was in its place, by an upgrade, and has.
        if daemon.leaves || status.is_success() && !daemon.serves {
            return Some(ExitCode::SUCCESS);
        }
        if !daemon.serves && (self.daemons <= 1 || self.failures >= FAILURES_MAX) {
            // Whoever started it has been told, or has not: then it reads so in the log.
            return Some(ExitCode::FAILURE);
        }
        self.failures = if daemon.serves { 0 } else { self.failures + 1 };
        self.short_lives = if daemon.since.elapsed() < LONG { self.short_lives + 1 } else { 0 };
        self.due = Some((Instant::now() + pause(self.short_lives, self.failures), status));
        self.forget_what_was_read();
        for (_, pid, status) in self.told.drain(..).rev() {
            self.ended.push_front((pid, status));
        }
        None
    }

    fn forget_what_was_read(&mut self) {
        let unread = |(at, ..): &(Instant, u32, ExitStatus)| at.elapsed() < UNREAD;
        let read = self.told.iter().take_while(|told| !unread(told)).count();
        self.told.drain(..read.max(self.told.len().saturating_sub(ENDED_MAX)));
    }

    /// Tells the daemon what it does not know, as far as it listens. One that is killed leaves its children before it closes
    /// its end: `find_alive_thread` in the kernel passes over threads that have only begun to end.
    fn pass_on(&mut self) {
        let Some(daemon) = &self.daemon else { return };
        while let Some((pid, status)) = self.ended.front() {
            if send(&daemon.socket, &encode(*pid, *status), SendFlags::NOSIGNAL).is_err() {
                break;
            }
            self.told.push_back((Instant::now(), *pid, *status));
            self.ended.pop_front();
        }
        self.forget_what_was_read();
    }
}

/// How long the next daemon is waited with, after so many `short_lives` in a row, `failures` of which never came to serve.
fn pause(short_lives: u32, failures: u32) -> Duration {
    match (failures, short_lives) {
        (0, 0 | 1) | (1, 1) => Duration::ZERO,
        (0 | 1, ..=SERVED_MAX) => WAIT_FIRST,
        (0 | 1, _) => WAIT_SERVED,
        (failures, _) => WAIT_LAST.min(WAIT_FIRST * 2_u32.saturating_pow(failures - 2)),
    }
}

impl Daemon {
    fn listen(&mut self, held: &mut BTreeMap<String, OwnedFd>) {
        let mut space = [0; WORD_BYTES_MAX];
        while let Some((word, fd)) = heard(&self.socket, &mut space) {
            self.leaves |= word == FAREWELL;
            match (word.first(), fd) {
                _ if word == LISTEN => self.is_unheard = true,
                _ if word == SERVES => {
                    self.serves = true;
                    manager::tell("READY=1");
                }
                (Some(&HOLD), Some(fd)) => drop(held.insert(rest_of(word), fd)),
                (Some(&DROP), _) => drop(held.remove(&rest_of(word))),
                (Some(&TELL), _) => manager::tell(&rest_of(word)),
                (Some(&BECOME), _) => self.wants = Some(OsStr::from_bytes(&word[1..]).into()),
                _ => {}
            }
        }
    }
}

impl Who {
    fn terminate(&self) {
        let _ = match self {
            // Not reaped yet, so nobody else has its pid.
            Self::Child(pid) => raw(*pid).map(|pid| rustix::process::kill_process(pid, Signal::TERM)).ok(),
            Self::Other(pidfd) => Some(pidfd_send_signal(pidfd, Signal::TERM)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_kills_daemons_is_served_within_a_second_and_what_never_serves_is_left_alone_ever_longer() {
        let ms = |short_lives, failures| pause(short_lives, failures).as_millis();
        let served = [(0, 0), (1, 0), (2, 250), (3, 250), (20, 250), (21, 750), (99, 750), (u32::MAX, 750)];
        for (short_lives, want) in served {
            assert_eq!(ms(short_lives, 0), want, "{short_lives}");
        }
        let failures = [(1, 0), (2, 250), (3, 500), (4, 1_000), (11, 60_000)];
        for (failures, want) in failures {
            assert_eq!(ms(failures, failures), want, "{failures}");
        }
        assert_eq!((ms(30, 1), ms(30, 3), ms(30, u32::MAX)), (750, 500, 60_000));
    }
}
