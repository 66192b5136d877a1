use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the daemon changed of its own process and gives back to the apps.
#[derive(Clone, Debug, Default)]
pub struct ProcessSetup {
    /// The limit of open files, as inherited.
    pub(super) files: Option<Rlimit>,
}

/// Leaves the terminal and everything inherited behind, and adopts orphaned descendants from now on.
///
/// To be called first thing, before any descriptor is opened or thread started.
///
/// # Errors
/// The system's.
pub fn become_daemon() -> io::Result<ProcessSetup> {
    super::sys::close_inherited();
    super::tag::take_off();
    // Fails only for the leader of a process group, which is on its own already.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(ProcessSetup { files: raise_file_limit() })
}

/// Adopts orphaned descendants from now on, in a process that stays where it was started: in its terminal, its session and
/// its folder. What it has inherited, its apps do not.
///
/// # Errors
/// The system's.
pub fn become_foreground() -> io::Result<ProcessSetup> {
    super::sys::close_inherited_on_exec();
    super::tag::take_off();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(ProcessSetup { files: raise_file_limit() })
}

impl ProcessSetup {
    /// What [`limit_files`] is to be told in a process that this one starts, and that is a daemon too.
    pub(super) fn soft_file_limit(&self) -> Option<u64> {
        self.files.as_ref()?.current
    }
}

/// What a daemon has that is forked from a keeper which was another program before.
#[must_use]
pub fn become_follower() -> ProcessSetup {
    ProcessSetup { files: raise_file_limit() }
}

/// As [`become_daemon`], of a process that is one already, in which another program was before.
#[must_use]
pub(super) fn remain_daemon(soft: Option<u64>) -> ProcessSetup {
    if let Some(soft) = soft {
        limit_files(soft);
    }
    ProcessSetup { files: raise_file_limit() }
}

/// Undoes what the daemon has changed that started this process.
pub fn limit_files(soft: u64) {
    let given = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(soft), ..given });
}

/// Every app costs descriptors; the usual soft limit of 1024 is there for programs that use select(2).
fn raise_file_limit() -> Option<Rlimit> {
    let given = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: given.maximum, maximum: given.maximum }).ok()?;
    Some(given)
}

/// The signals that the daemon hears of, as a descriptor: SIGCHLD, SIGTERM, SIGINT; SIGUSR1, which has a keeper go and
/// leave the daemon as it is, for a service manager that is about to start another keeper; and SIGHUP, which means nothing, and SIGXFSZ: with a limit on file sizes, what cannot be saved is an error and no death.
///
/// They are blocked in the calling thread and in threads that it starts afterwards.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    before: SigSet,
}

/// What came since the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    pub terminate: bool,
    pub leave: bool,
    pub child: bool,
}

impl Signals {
    /// # Errors
    /// The system's.
    pub fn block() -> io::Result<Self> {
        let mask = SigSet::from_iter([
            Signal::SIGCHLD,
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGUSR1,
            Signal::SIGHUP,
            Signal::SIGXFSZ,
        ]);
        // Inherited as ignored, it would make the system reap our children and drop their status.
        super::sys::default_child_signal();
        Self::of(mask)
    }

    /// Of a process in the foreground, which everything that asks it to end has to stop its apps first: SIGHUP and SIGQUIT too,
    /// where whoever started it has not had them ignored. What else would end it means nothing. The first process of a
    /// container hears of nothing that it has no handler for (pid_namespaces(7)).
    ///
    /// # Errors
    /// The system's.
    pub fn block_all() -> io::Result<Self> {
        let wished = [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];
        let meaningless = [
            Signal::SIGUSR1,
            Signal::SIGUSR2,
            Signal::SIGALRM,
            Signal::SIGVTALRM,
            Signal::SIGPROF,
            Signal::SIGIO,
            Signal::SIGXFSZ,
        ];
        let wished = wished.into_iter().filter(|signal| !super::sys::is_ignored(*signal));
        let mask = [Signal::SIGCHLD, Signal::SIGTERM].into_iter().chain(wished).chain(meaningless).collect::<SigSet>();
        super::sys::default_child_signal();
        Self::of(mask)
    }

    fn of(mask: SigSet) -> io::Result<Self> {
        let before = mask.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Self { fd: SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?, before })
    }

    /// They do again what they did before: it turns out that nobody is to hear of them.
    pub fn let_go(self) {
        let _ = self.before.thread_set_mask();
    }

    /// Of [`Self::block_all`]: whether a child has ended, and whether somebody wants an end. Never blocks.
    pub fn take_wish(&mut self) -> Pending {
        let mut pending = Pending::default();
        while let Ok(Some(info)) = self.fd.read_signal() {
            match i32::try_from(info.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGCHLD)) => pending.child = true,
                Ok(Ok(Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT)) => pending.terminate = true,
                _ => {}
            }
        }
        pending
    }

    /// Never blocks.
    pub fn take(&mut self) -> Pending {
        let mut pending = Pending::default();
        while let Ok(Some(info)) = self.fd.read_signal() {
            match i32::try_from(info.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGCHLD)) => pending.child = true,
                Ok(Ok(Signal::SIGUSR1)) => pending.leave = true,
                Ok(Ok(Signal::SIGHUP | Signal::SIGXFSZ)) => {}
                _ => pending.terminate = true,
            }
        }
        pending
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
