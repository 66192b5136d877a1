//! Takes from this process what running a config does not need, for good: what it runs has no way out even where the
//! JavaScript engine has a hole.
//!
//! Four layers, of which each kernel gives what it has: limits that cannot be raised again, `no_new_privs`, Landlock
//! (no path can be written to, and under `--hermetic` few can be read) and seccomp (only the system calls that
//! computing and reading need: no sockets, no new process, no open for writing).

use std::io;
use std::path::PathBuf;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// Sets a limit for good; never above what was inherited.
///
/// # Errors
/// The system's.
pub fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    let value = if hard == RLIM_INFINITY { value } else { value.min(hard) };
    setrlimit(resource, value, value)?;
    Ok(())
}

/// First of all: no inherited descriptors, an end together with the parent, no core files, no files to be written.
///
/// # Errors
/// The system's.
pub fn leave_everything() -> io::Result<()> {
    super::sys::close_inherited();
    #[cfg(target_os = "linux")]
    {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        nix::sys::prctl::set_no_new_privs()?;
    }
    limit(Resource::RLIMIT_CORE, 0)?;
    limit(Resource::RLIMIT_FSIZE, 0)
}

/// Of the file system, this thread and those that it starts keep reading: everything, or only `readable`. The name of
/// the means, where the kernel has one.
#[cfg(target_os = "linux")]
#[must_use]
pub fn only_read(readable: Option<&[PathBuf]>) -> Option<&'static str> {
    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _,
        RulesetStatus, Scope, path_beneath_rules,
    };
    let everything = [PathBuf::from("/")];
    let paths = readable.unwrap_or(&everything);
    let abi = ABI::V6;
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(paths, AccessFs::ReadFile | AccessFs::ReadDir)))
        .and_then(RulesetCreated::restrict_self);
    restricted.ok().filter(|status| status.ruleset != RulesetStatus::NotEnforced).map(|_| "landlock")
}

/// For tests that ask for what only it can keep.
#[cfg(test)]
pub(super) fn has_landlock() -> bool {
    std::thread::spawn(|| only_read(None).is_some()).join().unwrap_or(false)
}

#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn only_read(_readable: Option<&[PathBuf]>) -> Option<&'static str> {
    None
}

/// From now on all threads of this process may compute, and read files; no more of them can be started. The name of the
/// means, where the kernel has one.
#[cfg(target_os = "linux")]
#[must_use]
pub fn only_compute() -> Option<&'static str> {
    let program = calls::program()?;
    seccompiler::apply_filter_all_threads(&program).ok().map(|()| "seccomp")
}

#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn only_compute() -> Option<&'static str> {
    None
}

#[cfg(target_os = "linux")]
pub(super) mod calls {
    use std::collections::BTreeMap;

    use nix::libc;
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    /// Harmless whatever their arguments are: they take what is open already, and memory.
    const ALWAYS: &[libc::c_long] = &[
        libc::SYS_brk,
        libc::SYS_clock_getres,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_faccessat,
        libc::SYS_faccessat2,
        libc::SYS_fstat,
        libc::SYS_futex,
        libc::SYS_getcwd,
        libc::SYS_getdents64,
        libc::SYS_getegid,
        libc::SYS_geteuid,
        libc::SYS_getgid,
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_gettimeofday,
        libc::SYS_getuid,
        libc::SYS_lseek,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_nanosleep,
        libc::SYS_newfstatat,
        libc::SYS_ppoll,
        libc::SYS_pread64,
        libc::SYS_read,
        libc::SYS_readlinkat,
        libc::SYS_readv,
        libc::SYS_restart_syscall,
        libc::SYS_rseq,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_set_robust_list,
        libc::SYS_sigaltstack,
        libc::SYS_statx,
        libc::SYS_write,
        libc::SYS_writev,
    ];

    /// The same under the names that only old architectures have.
    #[cfg(target_arch = "x86_64")]
    const OLD: &[libc::c_long] =
        &[libc::SYS_access, libc::SYS_lstat, libc::SYS_poll, libc::SYS_readlink, libc::SYS_stat];
    #[cfg(not(target_arch = "x86_64"))]
    const OLD: &[libc::c_long] = &[];

    /// Any of these in an open's flags is more than reading.
    const MORE_THAN_READING: libc::c_int =
        libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND | (libc::O_TMPFILE & !libc::O_DIRECTORY);

    /// What is not listed fails with EPERM, as the rest of the program expects of calls that may fail.
    pub(super) fn program() -> Option<BpfProgram> {
        let mut rules: BTreeMap<libc::c_long, Vec<SeccompRule>> =
            ALWAYS.iter().chain(OLD).map(|call| (*call, Vec::new())).collect();
        let none_of = |argument, bits: libc::c_int| {
            rule(argument, Length::Dword, Op::MaskedEq(u64::from(bits.cast_unsigned())), 0)
        };
        rules.insert(libc::SYS_openat, vec![none_of(2, MORE_THAN_READING)?]);
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_open, vec![none_of(1, MORE_THAN_READING)?]);
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            rules.insert(call, vec![none_of(2, libc::PROT_EXEC)?]);
        }
        // Descriptors are asked about, limits are looked up, and abort(3) signals this process alone.
        let is = |argument, value: libc::c_int| rule(argument, Length::Dword, Op::Eq, u64::from(value.cast_unsigned()));
        rules.insert(libc::SYS_fcntl, vec![is(1, libc::F_GETFD)?, is(1, libc::F_GETFL)?]);
        rules.insert(libc::SYS_prlimit64, vec![rule(2, Length::Qword, Op::Eq, 0)?]);
        rules.insert(libc::SYS_tgkill, vec![is(0, std::process::id().cast_signed())?]);
        let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        let arch = std::env::consts::ARCH.try_into().ok()?;
        SeccompFilter::new(rules, refuse, SeccompAction::Allow, arch).ok()?.try_into().ok()
    }

    pub(in super::super) fn rule(argument: u8, length: Length, op: Op, value: u64) -> Option<SeccompRule> {
        SeccompRule::new(vec![SeccompCondition::new(argument, length, op, value).ok()?]).ok()
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::UnixStream;
    use std::process::Command;
    use std::thread;

    use super::*;

    /// In a thread of its own: both means are a thread's.
    fn confined<T: Send + 'static>(inside: impl FnOnce() -> T + Send + 'static) -> T {
        thread::spawn(inside).join().unwrap()
    }

    #[test]
    fn a_filtered_thread_reads_and_does_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (there, new) = (folder.path().join("there"), folder.path().join("new"));
        fs::write(&there, "text").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        let refused = confined(move || {
            seccompiler::apply_filter(&calls::program().unwrap()).unwrap();
            assert_eq!(fs::read_to_string(&there).unwrap(), "text");
            assert_eq!(fs::read_dir(there.parent().unwrap()).unwrap().count(), 1);
            assert!(fs::metadata(&there).unwrap().is_file() && there.canonicalize().is_ok());
            let io = |result: io::Result<()>| result.map_err(|error| error.kind());
            vec![
                ("create", io(File::create(&new).map(drop))),
                ("append", io(File::options().append(true).open(&there).map(drop))),
                ("read and write", io(File::options().read(true).write(true).open(&there).map(drop))),
                ("mkdir", io(fs::create_dir(&new))),
                ("unlink", io(fs::remove_file(&there))),
                ("rename", io(fs::rename(&there, &new))),
                ("link", io(fs::hard_link(&there, &new))),
                ("symlink", io(std::os::unix::fs::symlink(&there, &new))),
                ("chmod", io(fs::set_permissions(&there, fs::metadata(&there).unwrap().permissions()))),
                ("connect", io(TcpStream::connect(address).map(drop))),
                ("listen", io(TcpListener::bind("127.0.0.1:0").map(drop))),
                ("datagrams", io(UdpSocket::bind("127.0.0.1:0").map(drop))),
                ("local sockets", io(UnixStream::pair().map(drop))),
                ("run", io(Command::new("/bin/true").status().map(drop))),
                ("thread", io(thread::Builder::new().spawn(|| ()).map(drop))),
                ("signal", io(nix::sys::signal::kill(nix::unistd::getppid(), None).map_err(io::Error::from))),
                ("limits", io(setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(io::Error::from))),
                ("memory to run", io(executable_memory())),
            ]
        });
        for (what, result) in refused {
            assert_eq!(result, Err(ErrorKind::PermissionDenied), "{what}");
        }
    }

    #[expect(unsafe_code, reason = "asks for memory that could hold code")]
    fn executable_memory() -> io::Result<()> {
        use nix::libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_EXEC, PROT_READ, mmap};
        // SAFETY: a new anonymous mapping touches no memory that there is.
        let mapped =
            unsafe { mmap(std::ptr::null_mut(), 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) };
        if mapped == MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    #[test]
    fn a_thread_that_only_reads_writes_nowhere_and_reads_where_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let (open, closed) = (folder.path().join("open"), folder.path().join("closed"));
        for folder in [&open, &closed] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("file"), "").unwrap();
        }
        let kind = |result: io::Result<()>| result.err().map(|error| error.kind());
        for readable in [None, Some(vec![open.clone(), folder.path().join("not there")])] {
            let (open, closed, limited) = (open.clone(), closed.clone(), readable.is_some());
            confined(move || {
                if only_read(readable.as_deref()).is_none() {
                    // This kernel has no Landlock.
                    return;
                }
                let denied = Some(ErrorKind::PermissionDenied);
                assert_eq!(kind(fs::write(open.join("new"), "")), denied);
                assert_eq!(kind(fs::write(open.join("file"), "")), denied);
                assert_eq!(kind(fs::create_dir(open.join("new"))), denied);
                assert_eq!(kind(fs::read(open.join("file")).map(drop)), None);
                assert_eq!(kind(fs::read(closed.join("file")).map(drop)), denied.filter(|_| limited));
                assert_eq!(kind(fs::read_dir(&closed).map(drop)), denied.filter(|_| limited));
            });
        }
    }
}
