//! System calls that neither rustix nor nix offers safely in the form needed here.

use std::io;
use std::os::fd::OwnedFd;

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

/// Closes every descriptor but the standard ones.
#[expect(unsafe_code, reason = "closes descriptors by number")]
pub(super) fn close_inherited() {
    // SAFETY: called first thing in a process, before it opened any descriptor of its own: what is open was
    // inherited, and no object in this process owns it.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// What a new process does between fork and exec.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChildSetup {
    /// This descriptor becomes number 3.
    pub(super) channel: Option<i32>,
    /// Soft and hard limit of open files.
    pub(super) files: Option<(u64, u64)>,
}

#[expect(unsafe_code, reason = "registers code that runs after fork")]
pub(super) fn prepare_child(command: &mut std::process::Command, setup: ChildSetup) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: `run` only makes system calls that signal-safety(7) lists or that do not touch memory, and allocates
    // nothing, so no lock that another thread held at the fork can be waited for.
    unsafe { command.pre_exec(move || setup.run()) };
}

impl ChildSetup {
    #[expect(unsafe_code, reason = "system calls without safe counterparts that are known not to allocate")]
    fn run(self) -> io::Result<()> {
        let checked = |result: i32| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        // SAFETY: plain system calls on this process; every pointer is to a live local.
        unsafe {
            checked(libc::setsid())?;
            // Ignored signals survive exec: a shell's `&` ignores SIGINT, and bun would never stop on it.
            // Not by signal(3): it refuses the two that the C library uses, and those may be ignored as well. All
            // zeros is SIG_DFL, and longer than any architecture's `struct sigaction`.
            let default = [0_u64; 8];
            let null = std::ptr::null_mut::<u64>();
            for signal in 1..=64_i64 {
                libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), null, 8_usize);
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            checked(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()))?;
            if let Some((soft, hard)) = self.files {
                let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
                checked(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit))?;
            }
            match self.channel {
                None => {}
                // dup2 onto itself would leave close-on-exec set.
                Some(3) => checked(libc::fcntl(3, libc::F_SETFD, 0))?,
                Some(fd) => checked(libc::dup2(fd, 3))?,
            }
        }
        Ok(())
    }
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
