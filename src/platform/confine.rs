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
        ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus,
        Scope, path_beneath_rules,
    };
    let everything = [PathBuf::from("/")];
    let paths = readable.unwrap_or(&everything);
    let abi = ABI::V6;
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(|rules| rules.create())
        .and_then(|rules| rules.add_rules(path_beneath_rules(paths, AccessFs::ReadFile | AccessFs::ReadDir)))
        .and_then(|rules| rules.restrict_self());
    restricted.ok().filter(|status| status.ruleset != RulesetStatus::NotEnforced).map(|_| "landlock")
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
mod calls {
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

    fn rule(argument: u8, length: Length, op: Op, value: u64) -> Option<SeccompRule> {
        SeccompRule::new(vec![SeccompCondition::new(argument, length, op, value).ok()?]).ok()
    }

    #[cfg(test)]
    mod tests {
        /// On a kernel that this test runs on, and an architecture that the crate knows.
        #[test]
        fn there_is_a_program() {
            assert!(super::program().is_some_and(|program| program.len() > super::ALWAYS.len()));
        }
    }
}
