//! System calls that neither rustix nor nix offers safely in the form needed here.

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A child that has ended and was not reaped; it stays one.
#[expect(unsafe_code, reason = "rustix's waitid does not say which child, nix's fails on real-time signals")]
pub(super) fn ended_child() -> Option<u32> {
    // SAFETY: all zeros is a valid siginfo_t; waitid(2) only writes to it.
    let pid = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        if libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) != 0 {
            return None;
        }
        info.si_pid()
    };
    // 0 is "children, but none has ended".
    u32::try_from(pid).ok().filter(|pid| *pid != 0)
}

/// Undoes an ignored SIGCHLD (waitpid(2), NOTES).
#[expect(unsafe_code, reason = "sets a signal's disposition")]
pub(super) fn default_child_signal() {
    // SAFETY: SIG_DFL runs no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Whether whoever started this process wants a signal to be ignored.
#[expect(unsafe_code, reason = "asks for a signal's disposition")]
pub(super) fn is_ignored(signal: nix::sys::signal::Signal) -> bool {
    // SAFETY: all zeros is a valid sigaction; with no new one, sigaction(2) only writes the present one.
    unsafe {
        let mut present: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal as libc::c_int, std::ptr::null(), &raw mut present) == 0
            && present.sa_sigaction == libc::SIG_IGN
    }
}

/// Whether somebody wants this process to end, which is held back, and nobody has taken notice of it yet.
#[expect(unsafe_code, reason = "asks for the pending signals")]
#[must_use]
pub fn interrupted() -> bool {
    // SAFETY: sigpending(2) only writes the set that it is given, and sigismember(3) reads it.
    unsafe {
        let mut pending: libc::sigset_t = std::mem::zeroed();
        libc::sigpending(&raw mut pending) == 0
            && super::foreground::ENDINGS
                .iter()
                .any(|signal| libc::sigismember(&raw const pending, *signal as libc::c_int) == 1)
    }
}

/// Has the kernel drop what comes to a socket and has any bit of `mask` set at an offset (socket(7), `SO_ATTACH_FILTER`;
/// of TCP it begins with the segment's header).
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "rustix and nix have no packet filters")]
pub(super) fn drop_segments(fd: BorrowedFd<'_>, offset: u32, mask: u32) -> io::Result<()> {
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut program =
        [step(LOAD_BYTE, 0, offset), step(JUMP_IF_SET, 1, mask), step(RETURN, 0, 0), step(RETURN, 0, u32::MAX)];
    let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    // SAFETY: setsockopt(2) copies the program, which outlives the call, and its length is that of the array.
    let result = unsafe {
        let size = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap_or(0);
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, (&raw const filter).cast(), size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Elsewhere there are none.
#[cfg(not(target_os = "linux"))]
pub(super) fn drop_segments(_fd: BorrowedFd<'_>, _offset: u32, _mask: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Has the kernel choose by a program of places among the sockets that share a port (socket(7), `SO_ATTACH_REUSEPORT_CBPF`):
/// one of these for each who connects, by chance. Where a place is none any more it chooses by itself.
#[cfg(target_os = "linux")]
pub(super) fn choose_among(fd: BorrowedFd<'_>, places: &[u32]) -> io::Result<()> {
    const LOAD_WORD: u16 = 0x20;
    const REMAINDER: u16 = 0x94;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // What is no packet's (linux/filter.h): SKF_AD_OFF and SKF_AD_RANDOM.
    const RANDOM: u32 = 0xffff_f000 + 56;
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let count = u32::try_from(places.len()).map_err(io::Error::other)?;
    let mut program = match places {
        [] => return Err(io::ErrorKind::InvalidInput.into()),
        [one] => vec![step(RETURN, 0, *one)],
        several => {
            let choose = [step(LOAD_WORD, 0, RANDOM), step(REMAINDER, 0, count)];
            let cases = (0..).zip(several);
            let cases = cases.flat_map(|(number, place)| [step(JUMP_IF_EQUAL, 1, number), step(RETURN, 0, *place)]);
            choose.into_iter().chain(cases).chain([step(RETURN, 0, u32::MAX)]).collect()
        }
    };
    attach(fd, &mut program)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "rustix and nix have no packet filters")]
fn attach(fd: BorrowedFd<'_>, program: &mut [libc::sock_filter]) -> io::Result<()> {
    let len = libc::c_ushort::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: setsockopt(2) copies the program, which outlives the call, and its length is that of the slice.
    let result = unsafe {
        let size = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).unwrap_or(0);
        let option = libc::SO_ATTACH_REUSEPORT_CBPF;
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const program).cast(), size)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The kernel chooses as it does by itself.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "neither rustix nor nix know this option")]
pub(super) fn choose_as_ever(fd: BorrowedFd<'_>) -> io::Result<()> {
    const DETACH_REUSEPORT_BPF: libc::c_int = 68;
    let none: libc::c_int = 0;
    // SAFETY: setsockopt(2) reads one number, which this option does not even look at.
    let result = unsafe {
        let size = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
        libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, DETACH_REUSEPORT_BPF, (&raw const none).cast(), size)
    };
    match io::Error::last_os_error().raw_os_error() {
        _ if result == 0 => Ok(()),
        // There is no program; or the socket shares its port with none.
        Some(libc::ENOENT | libc::EINVAL) => Ok(()),
        _ => choose_none(fd),
    }
}

/// The same where a program cannot be taken away again (before Linux 5.3): by one that names a place that there is not.
#[cfg(target_os = "linux")]
pub(super) fn choose_none(fd: BorrowedFd<'_>) -> io::Result<()> {
    const RETURN: u16 = 0x06;
    attach(fd, &mut [libc::sock_filter { code: RETURN, jt: 0, jf: 0, k: u32::MAX }])
}

/// How many have connected to a socket that listens and wait to be accepted (tcp(7), `TCP_INFO`).
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "neither rustix nor nix know this option")]
pub(super) fn waiting_to_be_accepted(fd: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: all zeros is a valid tcp_info; getsockopt(2) writes at most as much of it as it is told.
    unsafe {
        let mut info: libc::tcp_info = std::mem::zeroed();
        let mut size = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).unwrap_or(0);
        let to = (&raw mut info).cast();
        if libc::getsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, to, &raw mut size) != 0 {
            return Err(io::Error::last_os_error());
        }
        // Of one that listens it is that (`tcp_get_info` in the kernel's tcp.c).
        Ok(info.tcpi_unacked)
    }
}

/// Elsewhere there is nothing of the kind.
#[cfg(not(target_os = "linux"))]
pub(super) fn choose_among(_fd: BorrowedFd<'_>, _places: &[u32]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// As above.
#[cfg(not(target_os = "linux"))]
pub(super) fn choose_as_ever(_fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(())
}

/// As above.
#[cfg(not(target_os = "linux"))]
pub(super) fn waiting_to_be_accepted(_fd: BorrowedFd<'_>) -> io::Result<u32> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whatever this process was handed beyond the standard descriptors does not go on to what it executes.
#[expect(unsafe_code, reason = "marks descriptors by number")]
pub(super) fn close_inherited_on_exec() {
    // SAFETY: close_range(2) with this flag closes nothing in this process.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 4_u32) };
}

/// Which groups the calling thread is a member of, other threads left as they are.
#[expect(unsafe_code, reason = "the C library would change all threads")]
pub(super) fn set_groups_of_thread(groups: &[u32]) -> io::Result<()> {
    // SAFETY: setgroups(2) only reads the list that it is given.
    let result = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes every descriptor but the standard ones.
#[expect(unsafe_code, reason = "closes descriptors by number")]
pub(super) fn close_inherited() {
    // SAFETY: called first thing in a process, before it opened any descriptor of its own: what is open was
    // inherited, and no object in this process owns it.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// A descriptor that this process was handed by its number, from now on for itself alone; none where it is not open.
#[expect(unsafe_code, reason = "takes a descriptor by number")]
pub(super) fn inherited(fd: i32) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: called for numbers that whoever executed this program has left to it, first thing, before it opened any
    // descriptor of its own and once for each: no object in this process owns it. That it is open is asked first.
    unsafe { (fd > 2 && libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) == 0).then(|| OwnedFd::from_raw_fd(fd)) }
}

/// Another descriptor of what is open by this number, which a program that is executed has, too; none where nothing is.
#[expect(unsafe_code, reason = "copies a descriptor by number")]
pub(super) fn copy_of(fd: i32) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: the number is only looked up, and the copy is nobody else's.
    unsafe {
        let copy = libc::fcntl(fd, libc::F_DUPFD, 3);
        (copy >= 0).then(|| OwnedFd::from_raw_fd(copy))
    }
}

/// Divides this process; none in the child.
#[expect(unsafe_code, reason = "fork")]
pub(super) fn fork() -> io::Result<Option<u32>> {
    // SAFETY: called where there is one thread alone, so that no lock is held by one that the child does not have.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid.cast_unsigned())),
    }
}

/// The descriptor that this process was handed beyond the standard ones; every other is closed.
#[expect(unsafe_code, reason = "takes and closes descriptors by number")]
pub(super) fn inherited_descriptor() -> Option<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: called first thing in a process, before it opened any descriptor of its own: what is open was inherited,
    // and no object in this process owns it. That it is open is asked first.
    unsafe {
        libc::close_range(4, libc::c_uint::MAX, 0);
        (libc::fcntl(3, libc::F_SETFD, libc::FD_CLOEXEC) == 0).then(|| OwnedFd::from_raw_fd(3))
    }
}

/// How processes are started: what becomes of the descriptors, the folder, the session and the signals.
///
/// By posix_spawn(3): until exec the child borrows this process's memory, where a fork would copy its page tables.
pub(super) struct Spawner {
    attributes: libc::posix_spawnattr_t,
    actions: libc::posix_spawn_file_actions_t,
}

impl Spawner {
    /// `fds` become numbers 0, 1, 2 and so on, of which none may be one of them.
    ///
    /// To be called before the limit of open files is lowered: the C library refuses descriptors above it.
    #[expect(unsafe_code, reason = "system calls without safe counterparts")]
    pub(super) fn new(fds: &[OwnedFd], cwd: &CStr) -> io::Result<Self> {
        // SAFETY: both are structs of numbers and pointers, for which all zeros is valid, and initialised before
        // anything else is done with them; what is set is copied. A sigset_t is nothing but bits.
        unsafe {
            let (mut attributes, mut actions) = (std::mem::zeroed(), std::mem::zeroed());
            checked(libc::posix_spawnattr_init(&raw mut attributes))?;
            if let Err(error) = checked(libc::posix_spawn_file_actions_init(&raw mut actions)) {
                libc::posix_spawnattr_destroy(&raw mut attributes);
                return Err(error);
            }
            let mut new = Self { attributes, actions };
            let flags = libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK;
            let flags = libc::c_short::try_from(flags).map_err(io::Error::other)? | libc::POSIX_SPAWN_SETSID;
            checked(libc::posix_spawnattr_setflags(&raw mut new.attributes, flags))?;
            // Ignored signals survive exec: a shell's `&` ignores SIGINT, and bun would never stop on it.
            // Not by sigfillset(3): it leaves out the two that the C library uses, and posix_spawn ignores those.
            let mut all: libc::sigset_t = std::mem::zeroed();
            (&raw mut all).write_bytes(0xff, 1);
            checked(libc::posix_spawnattr_setsigdefault(&raw mut new.attributes, &raw const all))?;
            let none: libc::sigset_t = std::mem::zeroed();
            checked(libc::posix_spawnattr_setsigmask(&raw mut new.attributes, &raw const none))?;
            for (target, fd) in (0..).zip(fds) {
                checked(libc::posix_spawn_file_actions_adddup2(&raw mut new.actions, fd.as_raw_fd(), target))?;
            }
            checked(libc::posix_spawn_file_actions_addchdir_np(&raw mut new.actions, cwd.as_ptr()))?;
            Ok(new)
        }
    }

    /// The pid of the process, which has called exec when this returns. `program` is relative to its folder.
    #[expect(unsafe_code, reason = "a system call without a safe counterpart")]
    pub(super) fn start(&self, program: &CStr, args: &[&CStr], env: &[CString]) -> io::Result<u32> {
        let end = std::ptr::null_mut();
        let argv: Vec<*mut c_char> = args.iter().map(|arg| arg.as_ptr().cast_mut()).chain([end]).collect();
        let envp: Vec<*mut c_char> = env.iter().map(|pair| pair.as_ptr().cast_mut()).chain([end]).collect();
        let mut pid = 0;
        // SAFETY: all strings end in zero, both lists in a null pointer, and all of them outlive the call, which
        // writes to nothing but `pid`. The child runs code of the C library alone, on a stack of its own.
        checked(unsafe {
            let (actions, attributes) = (&raw const self.actions, &raw const self.attributes);
            libc::posix_spawn(&raw mut pid, program.as_ptr(), actions, attributes, argv.as_ptr(), envp.as_ptr())
        })?;
        Ok(pid.cast_unsigned())
    }
}

impl Drop for Spawner {
    #[expect(unsafe_code, reason = "frees what the C library allocated")]
    fn drop(&mut self) {
        // SAFETY: both are initialised, as there is no `Spawner` otherwise, and nobody uses them afterwards.
        unsafe {
            libc::posix_spawn_file_actions_destroy(&raw mut self.actions);
            libc::posix_spawnattr_destroy(&raw mut self.attributes);
        }
    }
}

/// These functions return the error's number.
fn checked(errno: libc::c_int) -> io::Result<()> {
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}

/// Whether there is something to read, or an end, before so long is over.
#[must_use]
pub fn is_readable(source: BorrowedFd<'_>, within: Duration) -> bool {
    let timeout = rustix::event::Timespec::try_from(within).ok();
    let mut source = [rustix::event::PollFd::new(&source, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut source, timeout.as_ref()).is_ok_and(|ready| ready > 0)
}

/// A descriptor whose readiness to be read the event loop waits for.
///
/// Must be called inside of the runtime.
///
/// # Errors
/// The system's.
#[expect(unsafe_code, reason = "tokio asks to be promised that the descriptor stays what it is")]
pub fn awaitable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and the same as long as it lives, and it lives as long as the `AsyncFd`.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}
