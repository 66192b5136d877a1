//! What a config's command may not do, though the config asks for it: change anything outside of its own folder, have
//! somebody else do it, or see into others.

use std::path::Path;

#[cfg(target_os = "linux")]
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
};

/// What a command is confined with when it begins.
pub(super) struct Confined {
    #[cfg(target_os = "linux")]
    rules: Option<landlock::RulesetCreated>,
    #[cfg(target_os = "linux")]
    programs: Vec<seccompiler::BpfProgram>,
}

/// Made before the command is forked, so that nothing has to be allocated in the fork: it may write below `scratch`, and
/// to devices that keep nothing, make folders below `project`, signal only what is confined like it, speak to nobody by
/// a socket of this machine, and change neither files' attributes nor the limits and the machine that others live with.
#[cfg(target_os = "linux")]
pub(super) fn for_command(scratch: &Path, project: &Path) -> Confined {
    use landlock::{
        ABI, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, Scope,
        path_beneath_rules,
    };
    const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
    let all = AccessFs::from_write(ABI::V5);
    // A node of a device is a way out.
    let own = all & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(|rules| rules.scope(Scope::Signal | Scope::AbstractUnixSocket))
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules([scratch], own)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(DEVICES, AccessFs::WriteFile | AccessFs::Truncate)))
        .and_then(|rules| rules.add_rules(path_beneath_rules([project], AccessFs::MakeDir)));
    Confined { rules: rules.ok(), programs: calls::programs() }
}

#[cfg(target_os = "linux")]
impl Confined {
    /// In the command, for good, as far as the kernel has the means.
    pub(super) fn begin(&mut self) {
        let _ = self.rules.take().map(landlock::RulesetCreated::restrict_self);
        keep_to_reading();
        for program in &self.programs {
            let _ = seccompiler::apply_filter(program);
        }
    }
}

/// Of what root may, that which reads what others own: a program of root's is given no more than the bounding set has.
#[cfg(target_os = "linux")]
fn keep_to_reading() {
    let kept = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    // All of these fail for who has nothing to give up.
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if !kept.contains(capability) {
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    let reading = CapabilitySets { effective: kept, permitted: kept, inheritable: none };
    if set_capabilities(None, reading).is_err() {
        let _ = set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none });
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn for_command(_scratch: &Path, _project: &Path) -> Confined {
    Confined {}
}

#[cfg(not(target_os = "linux"))]
impl Confined {
    pub(super) fn begin(&mut self) {}
}

#[cfg(target_os = "linux")]
mod calls {
    use std::collections::BTreeMap;

    use nix::libc;
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    use super::super::confine::calls::rule;

    type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

    /// Of files, what is no writing and yet a change; of the system, what others live with; of others, what sees into
    /// them; and ways around all of this.
    const REFUSED: &[libc::c_long] = &[
        // file_setattr, Linux 6.17
        469,
        libc::SYS_shmget,
        libc::SYS_semget,
        libc::SYS_msgget,
        libc::SYS_mq_open,
        libc::SYS_mq_unlink,
        libc::SYS_reboot,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_syslog,
        libc::SYS_vhangup,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_adjtimex,
        libc::SYS_clock_adjtime,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_fanotify_init,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_open_by_handle_at,
        libc::SYS_setns,
        libc::SYS_chroot,
        libc::SYS_pivot_root,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        // open_tree_attr, Linux 6.15
        467,
    ];

    #[cfg(target_arch = "x86_64")]
    const OLD_REFUSED: &[libc::c_long] = &[libc::SYS_kexec_file_load, libc::SYS_ioperm, libc::SYS_iopl];
    #[cfg(not(target_arch = "x86_64"))]
    const OLD_REFUSED: &[libc::c_long] = &[];

    /// Changes of modes, owners and times seem to succeed. They cannot be told apart by the file that they are meant for,
    /// and who is told of a failure gives up: `git init`, `tar`, `cp -p`, in the command's own folder as well. There
    /// nothing is lost, as nobody else may enter it; elsewhere nothing has happened.
    const PRETENDED: &[libc::c_long] = &[
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        // fchmodat2, Linux 6.6
        452,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_utimensat,
    ];

    #[cfg(target_arch = "x86_64")]
    const OLD_PRETENDED: &[libc::c_long] =
        &[libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat];
    #[cfg(not(target_arch = "x86_64"))]
    const OLD_PRETENDED: &[libc::c_long] = &[];

    /// As on a file system that has none of them, which `cp -p` takes for granted and says nothing about.
    const EXTENDED: &[libc::c_long] = &[
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
        // setxattrat and removexattrat, Linux 6.13
        463,
        466,
    ];

    /// Who is told that the kernel is too old for these goes another way: flags of `clone3` lie where no filter sees them,
    /// and `io_uring` makes calls that none is asked about.
    const UNKNOWN: &[libc::c_long] = &[
        libc::SYS_clone3,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        // Memory that no process has mapped is counted for none.
        libc::SYS_memfd_create,
        libc::SYS_memfd_secret,
    ];

    /// In the order to be applied: of two that answer the same call, the later one is heard. A program of another
    /// architecture is ended.
    pub(super) fn programs() -> Vec<BpfProgram> {
        let always = |calls: &[libc::c_long]| calls.iter().map(|call| (*call, Vec::new())).collect::<Rules>();
        let pretended = || compiled(always(&[PRETENDED, OLD_PRETENDED].concat()), 0);
        let extended = || compiled(always(EXTENDED), libc::ENOTSUP);
        let unknown = || compiled(always(UNKNOWN), libc::ENOSYS);
        let refused = || {
            compiled(
                [always(&[REFUSED, OLD_REFUSED].concat()), depending()?].into_iter().flatten().collect(),
                libc::EPERM,
            )
        };
        let barred = || compiled(barred()?, libc::EACCES);
        [pretended(), extended(), unknown(), refused(), barred(), foreign()].into_iter().flatten().collect()
    }

    fn compiled(rules: Rules, errno: libc::c_int) -> Option<BpfProgram> {
        let answer = SeccompAction::Errno(errno.cast_unsigned());
        let arch = std::env::consts::ARCH.try_into().ok()?;
        SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).ok()?.try_into().ok()
    }

    /// What is refused by its arguments.
    fn depending() -> Option<Rules> {
        let mut rules = Rules::new();
        let another = |argument| rule(argument, Length::Dword, Op::Ne, 0);
        // Of another process; and of its own the limit that it is known by.
        let locks = u64::from(libc::RLIMIT_LOCKS);
        let sets = || SeccompCondition::new(2, Length::Qword, Op::Ne, 0).ok();
        let of_another = SeccompCondition::new(0, Length::Dword, Op::Ne, 0).ok()?;
        let of_locks = SeccompCondition::new(1, Length::Dword, Op::Eq, locks).ok()?;
        let limits = [of_another, of_locks].into_iter().map(|which| SeccompRule::new(vec![which, sets()?]).ok());
        rules.insert(libc::SYS_prlimit64, limits.collect::<Option<Vec<_>>>()?);
        rules.insert(libc::SYS_setrlimit, vec![rule(0, Length::Dword, Op::Eq, locks)?]);
        for call in [libc::SYS_sched_setaffinity, libc::SYS_sched_setscheduler, libc::SYS_sched_setparam] {
            rules.insert(call, vec![another(0)?]);
        }
        rules.insert(libc::SYS_sched_setattr, vec![another(0)?]);
        // 0 is oneself only where a process is meant: as a user it is all that one's user runs.
        for (call, process) in [(libc::SYS_setpriority, 0), (libc::SYS_ioprio_set, 1)] {
            rules.insert(call, vec![rule(0, Length::Dword, Op::Ne, process)?, another(1)?]);
        }
        // In a user namespace of its own it would be root.
        let users = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
        for call in [libc::SYS_clone, libc::SYS_unshare] {
            rules.insert(call, vec![rule(0, Length::Dword, Op::MaskedEq(users), users)?]);
        }
        rules.insert(libc::SYS_ioctl, controls()?);
        Some(rules)
    }

    /// Typing into the terminal that this is run from, and attributes of files: those of `_IOW` of ext4's letter, which all
    /// file systems share, of XFS's and of btrfs's.
    fn controls() -> Option<Vec<SeccompRule>> {
        const TYPING: [u64; 2] = [libc::TIOCSTI, libc::TIOCLINUX];
        const WRITES: u64 = 0x4000_0000;
        let typing = TYPING.map(|call| rule(1, Length::Dword, Op::Eq, call));
        let changing = [b'f', b'X', 0x94]
            .map(|letter| rule(1, Length::Dword, Op::MaskedEq(WRITES | 0xff00), WRITES | (u64::from(letter) << 8)));
        typing.into_iter().chain(changing).collect()
    }

    /// Sockets of this machine: who listens at one (a container's engine, a bus, a daemon of pmrun's) does for others what
    /// they may not. There are the internet's, and what the C library asks of the kernel to find an address. Pairs are
    /// pipes; but a datagram of one could be addressed to anybody.
    fn barred() -> Option<Rules> {
        let kind = |argument, value: libc::c_int, op| {
            SeccompCondition::new(argument, Length::Dword, op, u64::from(value.cast_unsigned())).ok()
        };
        let no_internet = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(|family| kind(0, family, Op::Ne));
        let other_netlink = [kind(0, libc::AF_NETLINK, Op::Eq), kind(2, libc::NETLINK_ROUTE, Op::Ne)];
        let sockets = [no_internet.to_vec(), other_netlink.to_vec()];
        let sockets = sockets.into_iter().map(|all| SeccompRule::new(all.into_iter().collect::<Option<_>>()?).ok());
        let type_of = |value: libc::c_int| rule(1, Length::Dword, Op::MaskedEq(0xf), u64::from(value.cast_unsigned()));
        let pairs = [
            rule(0, Length::Dword, Op::Ne, u64::from(libc::AF_UNIX.cast_unsigned())),
            type_of(libc::SOCK_DGRAM),
            // Which is the same there.
            type_of(libc::SOCK_RAW),
        ];
        // "Now" for a name is what `touch` asks for: were it told of a success, it would make no file.
        let now = |path: u8, times: u8| {
            let named = SeccompCondition::new(path, Length::Qword, Op::Ne, 0).ok()?;
            let now = SeccompCondition::new(times, Length::Qword, Op::Eq, 0).ok()?;
            Some(vec![SeccompRule::new(vec![named, now]).ok()?])
        };
        let mut rules = Rules::from([
            (libc::SYS_socket, sockets.collect::<Option<Vec<_>>>()?),
            (libc::SYS_socketpair, pairs.into_iter().collect::<Option<Vec<_>>>()?),
            (libc::SYS_utimensat, now(1, 2)?),
        ]);
        #[cfg(target_arch = "x86_64")]
        rules.extend([
            (libc::SYS_utime, now(0, 1)?),
            (libc::SYS_utimes, now(0, 1)?),
            (libc::SYS_futimesat, now(1, 2)?),
        ]);
        Some(rules)
    }

    /// Calls of x32, which have the architecture of the others and numbers of their own.
    #[cfg(target_arch = "x86_64")]
    fn foreign() -> Option<BpfProgram> {
        use seccompiler::sock_filter;
        const X32: u32 = 0x4000_0000;
        let code = |code: u32| u16::try_from(code).ok();
        let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
        Some(vec![
            // The call's number is what the data begins with.
            step(code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS)?, 0, 0, 0),
            step(code(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K)?, 0, 1, X32),
            step(code(libc::BPF_RET | libc::BPF_K)?, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned()),
            step(code(libc::BPF_RET | libc::BPF_K)?, 0, 0, libc::SECCOMP_RET_ALLOW),
        ])
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn foreign() -> Option<BpfProgram> {
        None
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixListener;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::path::Path;
    use std::process::{Command, Output, Stdio};

    use super::super::brood::{Bounds, Brood};
    use super::*;

    /// Runs it as a config's command, in `folder`.
    fn run(folder: &Path, words: &[&str]) -> Option<Output> {
        let bounds = Bounds { tasks: 500, memory_bytes: 1 << 30, project: folder.to_owned() };
        let mut brood = Brood::new(bounds);
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = brood.start(&mut command).ok()?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        std::io::Read::read_to_end(&mut child.stdout.take()?, &mut stdout).ok()?;
        std::io::Read::read_to_end(&mut child.stderr.take()?, &mut stderr).ok()?;
        let ended = brood.ended(std::time::Instant::now() + std::time::Duration::from_secs(20))?;
        let status = ended.signal.or(ended.exit.map(|code| code << 8)).map(std::process::ExitStatus::from_raw)?;
        Some(Output { status, stdout, stderr })
    }

    #[track_caller]
    fn check(folder: &Path, words: &[&str], works: bool, said: &str) {
        match run(folder, words) {
            Some(output) => {
                let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
                assert_eq!(output.status.success(), works, "{words:?}: {text}");
                assert!(text.contains(said), "{words:?}: {text}");
            }
            None => eprintln!("NOT TESTED: {} is not there", words[0]),
        }
    }

    /// Whether filters are in force at all.
    fn has_seccomp() -> bool {
        let filtered =
            std::thread::spawn(|| calls::programs().iter().all(|one| seccompiler::apply_filter(one).is_ok()));
        let has = filtered.join().unwrap();
        if !has {
            eprintln!("NOT TESTED: this kernel has no seccomp");
        }
        has
    }

    #[test]
    fn commands_speak_to_nobody_on_this_machine_but_by_the_network() {
        if !has_seccomp() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address =
            format!("import socket as s; s.create_connection(('127.0.0.1', {}))", port.local_addr().unwrap().port());
        for (program, works) in [
            ("import socket as s; s.socket(s.AF_UNIX).connect('socket')", false),
            ("import socket as s; s.socket(s.AF_UNIX)", false),
            ("import socket as s; s.socket(s.AF_VSOCK)", false),
            ("import socket as s; s.socket(s.AF_NETLINK, s.SOCK_RAW, 15)", false),
            ("import socket as s; s.socket(s.AF_PACKET, s.SOCK_RAW)", false),
            ("import socket as s; s.socketpair(s.AF_UNIX, s.SOCK_DGRAM)", false),
            ("import socket as s; s.socketpair(s.AF_UNIX, s.SOCK_RAW)", false),
            ("import socket as s; a, b = s.socketpair(); a.send(b'x'); b.recv(1)", true),
            ("import socket as s; s.socket(s.AF_NETLINK, s.SOCK_RAW, 0)", true),
            ("import socket as s; s.getaddrinfo('localhost', 80)", true),
            ("import socket as s; s.socket(s.AF_INET6)", Path::new("/proc/net/if_inet6").exists()),
            (address.as_str(), true),
        ] {
            check(folder.path(), &["python3", "-c", program], works, if works { "" } else { "Error" });
        }
    }

    #[test]
    fn commands_have_no_way_around() {
        use nix::libc;

        if !has_seccomp() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let call = |call: libc::c_long, args: &str| {
            format!(
                "import ctypes as c, os; l = c.CDLL(None, use_errno=True); l.syscall({call}, {args}); os._exit(c.get_errno())"
            )
        };
        for (program, errno) in [
            (call(libc::SYS_clone3, "0, 0"), libc::ENOSYS),
            (call(libc::SYS_io_uring_setup, "1, 0"), libc::ENOSYS),
            (call(libc::SYS_memfd_create, "b'x', 0"), libc::ENOSYS),
            // Of all that the user runs.
            (call(libc::SYS_setpriority, "2, 0, 9"), libc::EPERM),
            (call(libc::SYS_setpriority, "0, 0, 9"), 0),
            (call(libc::SYS_unshare, "0x10000000"), libc::EPERM),
            (call(libc::SYS_unshare, "0x10020000"), libc::EPERM),
            (call(libc::SYS_clone, "0x10000011, 0, 0, 0, 0"), libc::EPERM),
            (call(libc::SYS_ptrace, "0, 0, 0, 0"), libc::EPERM),
            (call(libc::SYS_keyctl, "0, 0, 0"), libc::EPERM),
            (call(libc::SYS_bpf, "0, 0, 0"), libc::EPERM),
            (call(libc::SYS_mount, "0, 0, 0, 0, 0"), libc::EPERM),
            (call(libc::SYS_ioctl, "0, 0x5412, 0"), libc::EPERM),
            (call(libc::SYS_ioctl, "0, 0x40086602, 0"), libc::EPERM),
            (call(libc::SYS_ioctl, "0, 0x401c5820, 0"), libc::EPERM),
        ] {
            if let Some(output) = run(folder.path(), &["python3", "-c", &program]) {
                assert_eq!(output.status.code(), Some(errno), "{program}");
            }
        }
    }

    /// A process ends that makes a call by 32 bits' rules, and one by x32's is told that there is none.
    #[test]
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "makes calls that no library makes")]
    fn calls_of_other_architectures_are_no_way_around() {
        use nix::libc;
        if !has_seccomp() {
            return;
        }
        let programs = calls::programs();
        let mut command = Command::new("/bin/true");
        let prepare = move || {
            for program in &programs {
                seccompiler::apply_filter(program).map_err(std::io::Error::other)?;
            }
            // SAFETY: getpid(2) takes nothing and touches no memory.
            let told = unsafe { libc::syscall(0x4000_0000 | libc::SYS_getpid) };
            if told != -1 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS) {
                return Err(std::io::ErrorKind::Other.into());
            }
            // SAFETY: call 20 is getpid(2) there; this process ends, or goes on with another value in a register.
            unsafe { std::arch::asm!("int 0x80", inout("eax") 20 => _) };
            Ok(())
        };
        // SAFETY: nothing but system calls.
        unsafe { command.pre_exec(prepare) };
        let status = command.status().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{status}");
    }

    #[test]
    fn root_is_left_nothing_but_reading() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "text").unwrap();
        let (root, wanted) =
            if nix::unistd::geteuid().is_root() { (true, "0000000000000006") } else { (false, "0000000000000000") };
        for set in ["CapEff", "CapPrm"] {
            check(folder.path(), &["grep", set, "/proc/self/status"], true, wanted);
        }
        for set in ["CapInh", "CapAmb"] {
            check(folder.path(), &["grep", set, "/proc/self/status"], true, "0000000000000000");
        }
        if !root {
            eprintln!("NOT TESTED: only root reads what others own");
            return;
        }
        std::os::unix::fs::chown(folder.path().join("secret"), Some(65_534), Some(65_534)).unwrap();
        fs::set_permissions(folder.path().join("secret"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        check(folder.path(), &["cat", "secret"], true, "text");
    }

    #[test]
    fn attributes_seem_to_change_and_do_not() {
        if !has_seccomp() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        fs::write(&there, "").unwrap();
        let attributes = |path: &Path| {
            let now = fs::metadata(path).unwrap();
            (now.mtime(), now.mtime_nsec(), now.mode(), now.uid(), now.gid())
        };
        let before = attributes(&there);
        for script in [
            "touch -d 2001-01-01 there",
            "touch -a -d 2001-01-01 there",
            "chmod 600 there",
            "chmod 777 .",
            "chown $(id -u) there",
            "cd \"$TMPDIR\" && echo x > x && touch x y && cp -p x z && tar cf a.tar x z && rm x && tar xf a.tar && ls x y z",
        ] {
            check(folder.path(), &["sh", "-c", script], true, "");
            assert_eq!(attributes(&there), before, "{script}");
        }
        for (words, works) in [
            (&["git", "-c", "init.defaultBranch=main", "init", "-q", "--bare"][..], true),
            (
                &[
                    "python3",
                    "-c",
                    "import os, pathlib as p; f = p.Path(os.environ['TMPDIR'], 'x'); f.touch(); f.stat()",
                ],
                true,
            ),
            (&["sh", "-c", "touch new"], false),
            (&["sh", "-c", "mknod \"$TMPDIR/null\" c 1 3"], false),
        ] {
            if words[0] == "git" {
                check(folder.path(), &["sh", "-c", &format!("cd \"$TMPDIR\" && {}", words.join(" "))], works, "");
            } else if words[2] != "touch new" || super::super::confine::has_landlock() {
                check(folder.path(), words, works, "");
            }
        }
    }
}
