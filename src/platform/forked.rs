//! Starting a process that is not quite as this one, another user's for one: what posix_spawn(3) has no attribute for happens between fork and exec.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_long};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::libc;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Rlimit;

use super::account::Account;
use super::reason;

/// As in the kernel's `linux/sched.h`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which process sockets are passed to: sd_listen_fds(3) of any other does not take them.
pub(super) const LISTEN_PID: &str = "LISTEN_PID";
/// Room for the highest pid that there is: `PID_MAX_LIMIT` is 2^22.
pub(super) const NO_PID: &str = "0000000";

/// The highest number of a signal.
const SIGNAL_MAX: c_int = 64;

/// What a process has of its own.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    pub(super) account: Option<&'a Account>,
    pub(super) umask: Option<u32>,
    /// Added to this process's.
    pub(super) nice: i32,
    pub(super) limits: &'a BTreeMap<String, Option<u64>>,
    /// The folder of the cgroup that it is to be in.
    pub(super) group: Option<&'a OwnedFd>,
    /// It writes its pid into the variable [`LISTEN_PID`], which is [`NO_PID`] before.
    pub(super) names_itself: bool,
}

impl Own<'_> {
    pub(super) fn is_any(&self) -> bool {
        let plain = self.account.is_none() && self.umask.is_none() && self.nice == 0;
        !plain || !self.limits.is_empty() || self.group.is_some() || self.names_itself
    }
}

/// How such processes are started.
pub(super) struct Forker<'a> {
    fds: &'a [OwnedFd],
    cwd: &'a CStr,
    own: Own<'a>,
    /// The limit of open files that the process gets, where this one has another.
    files: Option<Rlimit>,
}

/// What the child did when the system refused it.
#[derive(Clone, Copy)]
enum Step {
    Prepare,
    Limits,
    Nice,
    Groups,
    Group,
    User,
    Folder,
    Exec,
}

/// Everything that the child needs, made before it is there: until exec it may only make system calls.
struct Plan {
    fds: Vec<c_int>,
    cwd: *const c_char,
    account: Option<(libc::uid_t, libc::gid_t, Vec<libc::gid_t>)>,
    umask: Option<libc::mode_t>,
    nice: c_int,
    /// -1 is none.
    group: c_int,
    limits: Vec<(libc::__rlimit_resource_t, libc::rlimit)>,
    program: *const c_char,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    report: c_int,
    /// Where its pid is to be written, with a zero byte after it: there is room for [`NO_PID`]; null is nowhere.
    pid: *mut c_char,
}

impl<'a> Forker<'a> {
    /// As [`super::sys::Spawner::new`].
    pub(super) fn new(fds: &'a [OwnedFd], cwd: &'a CStr, own: Own<'a>, files: Option<Rlimit>) -> Self {
        Self { fds, cwd, own, files }
    }

    /// As [`super::sys::Spawner::start`].
    pub(super) fn start(&self, program: &CStr, args: &[&CStr], env: &[CString]) -> io::Result<u32> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut report = std::fs::File::from(ours);
        let theirs = super::spawn::out_of_the_way(theirs)?;
        let end = std::ptr::null();
        // A copy, for the child writes to it: its writes are its own, and nobody here reads it.
        let blank = format!("{LISTEN_PID}={NO_PID}\0").into_bytes();
        let mut named = blank.clone();
        let named_at = named.as_mut_ptr();
        let place = |pair: &CString| {
            let is_named = self.own.names_itself && pair.as_bytes_with_nul() == blank;
            if is_named { named_at.cast_const().cast() } else { pair.as_ptr() }
        };
        let envp: Vec<*const c_char> = env.iter().map(place).chain([end]).collect();
        let digits = if self.own.names_itself {
            named_at.wrapping_add(LISTEN_PID.len() + 1).cast()
        } else {
            std::ptr::null_mut()
        };
        let plan = Plan {
            pid: digits,
            fds: self.fds.iter().map(OwnedFd::as_raw_fd).collect(),
            cwd: self.cwd.as_ptr(),
            account: self.own.account.map(|account| (account.uid, account.gid, account.groups.clone())),
            umask: self.own.umask,
            nice: self.own.nice,
            group: self.own.group.map_or(-1, OwnedFd::as_raw_fd),
            limits: self.limits(),
            program: program.as_ptr(),
            argv: args.iter().map(|arg| arg.as_ptr()).chain([end]).collect(),
            envp,
            report: theirs.as_raw_fd(),
        };
        let pid = fork_into(&plan)?;
        drop(theirs);
        let mut told = [0; 8];
        match report.read_exact(&mut told) {
            // Its end was closed by exec.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(pid),
            Err(error) => Err(error),
            Ok(()) => {
                let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid.cast_signed()), None);
                let (step, errno) = told.split_at(4);
                let number = |bytes: &[u8]| bytes.try_into().map_or(0, i32::from_ne_bytes);
                Err(self.explain(number(step), io::Error::from_raw_os_error(number(errno))))
            }
        }
    }

    /// What this process changed of its own is given back first.
    fn limits(&self) -> Vec<(libc::__rlimit_resource_t, libc::rlimit)> {
        let limit = |limit: Option<u64>| limit.unwrap_or(libc::RLIM_INFINITY);
        let files = self.files.map(|files| {
            (libc::RLIMIT_NOFILE, libc::rlimit { rlim_cur: limit(files.current), rlim_max: limit(files.maximum) })
        });
        let own = self.own.limits.iter().filter_map(|(name, value)| {
            Some((resource(name)?, libc::rlimit { rlim_cur: limit(*value), rlim_max: limit(*value) }))
        });
        files.into_iter().filter(|_| !self.own.limits.contains_key("nofile")).chain(own).collect()
    }

    fn explain(&self, step: i32, error: io::Error) -> io::Error {
        let name = self.own.account.map_or("the same", |account| account.name.as_str());
        let what = match step {
            step if step == Step::Limits as i32 => "set its limits (`rlimits`)".to_owned(),
            step if step == Step::Nice as i32 => format!("be {} nice", self.own.nice),
            step if step == Step::Groups as i32 => format!("take on the groups of user `{name}`"),
            step if step == Step::Group as i32 => format!("take on the group of user `{name}`"),
            step if step == Step::User as i32 => format!("become user `{name}`"),
            step if step == Step::Folder as i32 => {
                format!("enter the folder `{}` as user `{name}`", self.cwd.to_string_lossy())
            }
            _ => return error,
        };
        io::Error::other(format!("cannot {what}: {}", reason(&error)))
    }
}

fn resource(name: &str) -> Option<libc::__rlimit_resource_t> {
    Some(match name {
        "as" => libc::RLIMIT_AS,
        "core" => libc::RLIMIT_CORE,
        "cpu" => libc::RLIMIT_CPU,
        "data" => libc::RLIMIT_DATA,
        "fsize" => libc::RLIMIT_FSIZE,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "sigpending" => libc::RLIMIT_SIGPENDING,
        "stack" => libc::RLIMIT_STACK,
        _ => return None,
    })
}

#[expect(unsafe_code, reason = "fork")]
fn fork_into(plan: &Plan) -> io::Result<u32> {
    // SAFETY: the child makes nothing but system calls, and ends in exec or _exit: no lock that another thread held
    // is waited for, nothing is allocated, and nothing of Rust's is run down twice.
    let (pid, is_in_group) = unsafe { fork_into_group(plan).map_or_else(|| (libc::fork(), false), |pid| (pid, true)) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: this is the child.
        0 => unsafe { become_it(plan, is_in_group) },
        pid => Ok(pid.cast_unsigned()),
    }
}

/// Born there, a process costs nothing more; to move it would have the kernel wait for all processors, some 10 ms.
/// None where the system cannot (Linux 5.7), or the group may not have it: then it moves, or runs without.
///
/// # Safety
/// As of fork(2).
#[expect(unsafe_code, reason = "clone3(2) has no wrapper")]
unsafe fn fork_into_group(plan: &Plan) -> Option<libc::pid_t> {
    let group = u64::try_from(plan.group).ok()?;
    // SAFETY: a structure of numbers, for which all zeros is valid. Without flags about memory, it is a fork.
    let pid = unsafe {
        let mut order: libc::clone_args = std::mem::zeroed();
        order.flags = CLONE_INTO_CGROUP;
        order.exit_signal = libc::SIGCHLD as u64;
        order.cgroup = group;
        libc::syscall(libc::SYS_clone3, &raw const order, size_of::<libc::clone_args>())
    };
    libc::pid_t::try_from(pid).ok().filter(|pid| *pid >= 0)
}

/// # Safety
/// To be called in a child that was forked, whose pointers in `plan` are those of its parent.
#[expect(unsafe_code, reason = "system calls between fork and exec")]
unsafe fn become_it(plan: &Plan, is_in_group: bool) -> ! {
    // SAFETY: all strings end in zero and all lists in a null pointer; what the kernel writes to is on this stack.
    // Users and groups are set by the calls themselves: the C library would tell threads that are not in this process.
    unsafe {
        let told = |step: Step, result: c_long| {
            if result < 0 {
                give_up(plan.report, step);
            }
        };
        // No handler, nothing ignored: see `Spawner`. The kernel's own structure, all zeros being the default.
        let default = [0_u64; 4];
        for signal in 1..=SIGNAL_MAX {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), 8_usize);
        }
        let none = 0_u64;
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, std::ptr::null::<u64>(), 8_usize);
        told(Step::Prepare, c_long::from(libc::setsid()));
        if plan.group >= 0 && !is_in_group {
            // Who is not let in runs without: the parent looks where it is.
            let procs = libc::openat(plan.group, c"cgroup.procs".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            libc::write(procs, c"0".as_ptr().cast(), 1);
        }
        for (target, fd) in (0..).zip(&plan.fds) {
            told(Step::Prepare, c_long::from(libc::dup2(*fd, target)));
        }
        for (resource, limit) in &plan.limits {
            told(Step::Limits, c_long::from(libc::setrlimit(*resource, limit)));
        }
        if plan.nice != 0 {
            // Its result may be -1 where nothing is wrong.
            *libc::__errno_location() = 0;
            libc::nice(plan.nice);
            told(Step::Nice, -c_long::from(*libc::__errno_location() != 0));
        }
        if let Some(umask) = plan.umask {
            libc::umask(umask);
        }
        if let Some((uid, gid, groups)) = &plan.account {
            told(Step::Groups, libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()));
            told(Step::Group, libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid));
            told(Step::User, libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid));
        }
        told(Step::Folder, c_long::from(libc::chdir(plan.cwd)));
        if !plan.pid.is_null() {
            let pid = libc::getpid().cast_unsigned();
            let (mut size, mut digits) = (1_u32, 1);
            while pid / size >= 10 {
                (size, digits) = (size * 10, digits + 1);
            }
            // Without zeros before it, which would make it octal to some who read it; what is left of the room is cut off.
            for place in 0..digits {
                *plan.pid.add(place) = b"0123456789"[(pid / size % 10) as usize].cast_signed();
                size = (size / 10).max(1);
            }
            *plan.pid.add(digits) = 0;
        }
        libc::execve(plan.program, plan.argv.as_ptr(), plan.envp.as_ptr());
        give_up(plan.report, Step::Exec)
    }
}

/// # Safety
/// As [`become_it`].
#[expect(unsafe_code, reason = "tells the parent and ends")]
unsafe fn give_up(report: c_int, step: Step) -> ! {
    // SAFETY: eight bytes of this stack are read, and a pipe takes so few whole.
    unsafe {
        let told = [step as i32, *libc::__errno_location()];
        libc::write(report, told.as_ptr().cast(), 8);
        libc::_exit(127)
    }
}
