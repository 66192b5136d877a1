use std::cell::Cell;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process, kill_process_group,
    pidfd_open, pidfd_send_signal, setrlimit, waitid,
};

use super::cgroup::Pen;
use super::procfs::{Table, file_locks, own_children};
use super::tag::Tag;
use super::warden::{Warden, remove};

/// A flood of processes that outruns a processor for this long is left to the system.
const PATIENCE: Duration = Duration::from_secs(2);

/// What they wrote is taken away within this, or by the warden.
const REMOVAL: Duration = Duration::from_millis(500);

/// What a command writes to a file of its own, at most.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How the folder of theirs begins.
pub(super) const SCRATCH: &str = "pmrun-config-";

/// What commands make in their folder, at most: more takes long to remove.
const ENTRIES_MAX: u64 = 20_000;

/// Every so many looks at their memory all processes are looked at, and what they have written.
const THOROUGH: u32 = 5;

/// What commands may take.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Processes and threads, of all of them at one time.
    pub tasks: u64,
    /// Of all of them together, less what they share.
    pub memory_bytes: u64,
    /// Where they may make folders.
    pub project: PathBuf,
}

/// What they have taken too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    Tasks,
    Memory,
    /// As much as of memory: their folder may lie in it.
    Disk,
}

/// Commands that are run for a while, with everything that they start: dropping it ends them all.
///
/// They may read, compute and use the network. What they write goes to a folder that is theirs alone (`TMPDIR`) and goes
/// away with them; that, and that they signal nobody else, is seen to by Landlock and seccomp where the kernel has them.
/// Each leads a process group, which the kernel ends as a whole, faster than it can fork. Who has left that is found by
/// the tag, which neither a new session nor the loss of its parents takes from it, and among the orphans that are given
/// to this process (`take_in_orphans`). Where a cgroup can be made they are in one, which ends whatever forks over and over.
#[derive(Debug)]
pub struct Brood {
    tag: Tag,
    /// None is reaped before the end, so that each pid is that of a group which can be signalled.
    children: Vec<Child>,
    /// Processes and threads of the machine, before the first was started.
    before: u64,
    bounds: Bounds,
    scratch: Option<PathBuf>,
    pen: Option<Pen>,
    /// How often their memory was looked at.
    looks: Cell<u32>,
    /// This process's other children, where it is given all orphans.
    others: Option<Vec<u32>>,
    /// Whether there is to be a warden.
    kept: bool,
    warden: Option<Warden>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub exit: Option<i32>,
    pub signal: Option<i32>,
}

impl Brood {
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let tag = Tag::of_brood(&format!("{}.{}", std::process::id(), now.as_nanos()));
        Self {
            tag,
            children: Vec::new(),
            before: 0,
            bounds,
            scratch: None,
            pen: None,
            looks: Cell::new(0),
            others: None,
            kept: false,
            warden: None,
        }
    }

    /// Orphans of commands become this process's children from now on. Only for a process that starts no others but them:
    /// what else it has started is known by now.
    pub fn take_in_orphans(&mut self) {
        #[cfg(target_os = "linux")]
        if rustix::process::set_child_subreaper(Pid::from_raw(1)).is_ok() {
            self.others = own_children();
        }
    }

    /// From the first command on somebody waits for an end of this process that leaves it no time to end them.
    pub fn be_kept(&mut self) {
        self.kept = true;
    }

    /// The child, whose pipes can be taken.
    ///
    /// # Errors
    /// The system's.
    pub fn start(&mut self, command: &mut Command) -> io::Result<&mut Child> {
        let scratch = self.scratch()?;
        if self.pen.is_none() && self.children.is_empty() {
            self.pen = scratch.file_name().and_then(|name| Pen::new(&name.to_string_lossy()));
        }
        if self.kept && self.warden.is_none() {
            let warden = Warden::start(self.tag, &scratch, self.pen.as_ref())?;
            self.others.iter_mut().for_each(|others| others.push(warden.pid()));
            self.warden = Some(warden);
        }
        if self.children.is_empty() {
            self.before = tasks();
        }
        command.env("TMPDIR", &scratch);
        self.mark(command, super::confined::for_command(&scratch, &self.bounds.project));
        let child = command.process_group(0).spawn()?;
        self.children.push(child);
        self.children.last_mut().ok_or(io::ErrorKind::NotFound.into())
    }

    /// What commands are told as `TMPDIR`, once there was one.
    #[must_use]
    pub fn temporary(&self) -> Option<&Path> {
        self.scratch.as_deref()
    }

    fn scratch(&mut self) -> io::Result<PathBuf> {
        if let Some(scratch) = &self.scratch {
            return Ok(scratch.clone());
        }
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let name = format!("{SCRATCH}{}-{}", std::process::id(), now.as_nanos());
        // One that is not there is nobody's fault who only runs a command.
        let parent = std::env::temp_dir().canonicalize().or_else(|_| PathBuf::from("/tmp").canonicalize())?;
        let scratch = parent.join(name);
        DirBuilder::new().mode(0o700).create(&scratch)?;
        Ok(self.scratch.insert(scratch).clone())
    }

    /// The new process puts the tag on, and is killed when this one is: nobody would end it then. The kernel holds a
    /// flood up by itself where it does not come from root; for others it is the net below `exceeded`.
    #[expect(unsafe_code, reason = "runs between fork and exec, where little is allowed")]
    fn mark(&self, command: &mut Command, mut confined: super::confined::Confined) {
        let entrance = self.pen.as_ref().and_then(|pen| pen.entrance().ok());
        let tag = self.tag;
        let most = self.before + self.bounds.tasks;
        // A net below `exceeded`, which names the limit: high enough for what is only reserved.
        let memory = self.bounds.memory_bytes.saturating_mul(8);
        let prepare = move || {
            tag.put_on();
            if let Some(entrance) = &entrance {
                // Who is not let in is ended all the same, only not so fast.
                let _ = rustix::io::write(entrance, b"0");
            }
            let limit = getrlimit(Resource::Nproc);
            let hard = limit.maximum.map_or(most, |hard| hard.min(most));
            setrlimit(Resource::Nproc, Rlimit { current: Some(hard), maximum: Some(hard) })?;
            for (resource, most) in [(Resource::Data, memory), (Resource::Fsize, FILE_BYTES_MAX), (Resource::Core, 0)] {
                let hard = getrlimit(resource).maximum.map_or(most, |hard| hard.min(most));
                setrlimit(resource, Rlimit { current: Some(hard), maximum: Some(hard) })?;
            }
            #[cfg(target_os = "linux")]
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            super::sys::close_inherited_on_exec();
            confined.begin();
            Ok(())
        };
        // SAFETY: it does nothing but system calls: no allocation, no lock. What it confines itself with was made before.
        unsafe { command.pre_exec(prepare) };
    }

    /// How the command that was started last ended, if it does until then.
    pub fn ended(&self, until: Instant) -> Option<Ended> {
        let pid = pid(self.children.last()?)?;
        if let Ok(pinned) = pidfd_open(pid, PidfdFlags::empty()) {
            let left = until.saturating_duration_since(Instant::now());
            // Whatever it says, the next line knows.
            let _ = poll(
                &mut [PollFd::new(&pinned.as_fd(), PollFlags::IN)],
                Some(&Timespec::try_from(left).unwrap_or_default()),
            );
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(pid), options).ok()??;
        Some(Ended { exit: status.exit_status(), signal: status.terminating_signal() })
    }

    /// What they have taken too much of, if they have.
    #[must_use]
    pub fn exceeded(&self) -> Option<Excess> {
        if self.children.is_empty() {
            return None;
        }
        // Nobody else waits for orphans: of who forks and ends over and over there would be thousands to look at.
        self.living();
        if self.are_many() {
            return Some(Excess::Tasks);
        }
        if self.memory_bytes() > self.bounds.memory_bytes {
            return Some(Excess::Memory);
        }
        let looks_at_disk = self.looks.get() % THOROUGH == 1;
        let disk = self.scratch.as_deref().filter(|_| looks_at_disk).map_or(0, disk_bytes);
        (disk > self.bounds.memory_bytes).then_some(Excess::Disk)
    }

    /// Whether there are too many of them. Cheap as long as the machine has not many more than before.
    fn are_many(&self) -> bool {
        if tasks() <= self.before + self.bounds.tasks {
            return false;
        }
        // A flood that goes on leaves no time to count it.
        self.signal(Signal::STOP);
        let exceeded = Table::scan().map_or(true, |table| {
            let living = table.processes.iter().filter(|process| !process.dead);
            living.filter(|process| self.is_ours(process.pid)).count() as u64 > self.bounds.tasks
        });
        if !exceeded {
            self.signal(Signal::CONT);
        }
        exceeded
    }

    /// Who has lost its parents is looked for only now and then, where it did not become a child of ours: that takes a look at
    /// every process.
    fn memory_bytes(&self) -> u64 {
        let looks = self.looks.replace(self.looks.get().wrapping_add(1));
        let thorough = self.others.is_none() && looks % THOROUGH == THOROUGH - 1;
        let pids = if thorough { self.all() } else { self.descendants() };
        let most = pids.iter().map(|pid| memory(*pid, Memory::Resident)).sum();
        // Memory that a fork shares with its parent is in both: only when it would be too much, it is told apart.
        if most > self.bounds.memory_bytes { pids.iter().map(|pid| memory(*pid, Memory::Shared)).sum() } else { most }
    }

    /// As far as they are known by their parents.
    fn descendants(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = match &self.others {
            Some(others) => {
                own_children().unwrap_or_default().into_iter().filter(|pid| !others.contains(pid)).collect()
            }
            None => self.children.iter().map(Child::id).collect(),
        };
        let mut at = 0;
        while let Some(pid) = pids.get(at).copied() {
            // More are counted elsewhere, and pids that are given anew while we look could lead in a circle.
            if pids.len() < 4_096 {
                pids.extend(children(pid));
            }
            at += 1;
        }
        pids
    }

    fn all(&self) -> Vec<u32> {
        let first = self.children.first().and_then(|child| super::procfs::process(child.id()).ok()?);
        let since = first.map_or(0, |first| first.start);
        let table = Table::scan().unwrap_or_default();
        let young = table.processes.iter().filter(|process| !process.dead && process.start >= since);
        young.map(|process| process.pid).filter(|pid| self.is_ours(*pid)).collect()
    }

    fn signal(&self, signal: Signal) {
        for child in &self.children {
            // A group that is empty already is what is wanted.
            let _ = pid(child).map(|group| kill_process_group(group, signal));
        }
    }

    /// Ends all of them that still run. Those that became another user's stay.
    pub fn end(&mut self) {
        if let Some(pen) = self.pen.take() {
            // Whoever was not in it is looked for in any case.
            pen.end();
        }
        if !self.children.is_empty() {
            self.kill_all();
        }
        let removed = self.scratch.take().is_none_or(|scratch| match &self.warden {
            Some(_) => remove(&scratch, Instant::now() + REMOVAL),
            None => remove(&scratch, Instant::now() + PATIENCE),
        });
        if let Some(warden) = self.warden.take() {
            warden.dismiss(removed);
        }
    }

    fn kill_all(&mut self) {
        self.signal(Signal::KILL);
        let begun = Instant::now();
        // Whoever forks and ends over and over is outrun by looking only at those who can be its.
        while self.kill_descendants() > 0 && begun.elapsed() < PATIENCE {}
        // Whoever is killed forks no more; who was forked during a look is found by the next one.
        while self.kill_each() > 0 && begun.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        for mut child in self.children.drain(..) {
            // Killed above; one that cannot be must not hold us up.
            let _ = child.try_wait();
        }
    }

    /// How many of this process's own were there to be killed: orphans become its own. Nobody but this reaps them, so that
    /// a pid is who it was, and each costs one call: a fork takes longer than a look at them all.
    fn kill_descendants(&self) -> usize {
        for pid in self.own() {
            let _ = kill_process(pid, Signal::KILL);
        }
        self.living()
    }

    /// Commands, and the orphans that this process was given.
    fn own(&self) -> Vec<Pid> {
        let Some(others) = &self.others else { return Vec::new() };
        let own = own_children().unwrap_or_default();
        let own = own.into_iter().filter(|pid| !others.contains(pid));
        own.filter_map(|pid| Pid::from_raw(pid.cast_signed())).collect()
    }

    /// How many of them live; orphans that do not are reaped.
    fn living(&self) -> usize {
        let lives = |pid: &Pid| {
            let started = self.children.iter().any(|child| child.id().cast_signed() == pid.as_raw_nonzero().get());
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            let options = if started { options | WaitIdOptions::NOWAIT } else { options };
            matches!(waitid(WaitId::Pid(*pid), options), Ok(None))
        };
        self.own().iter().filter(|pid| lives(pid)).count()
    }

    /// How many were there to be killed.
    fn kill_each(&self) -> usize {
        kill_tagged(self.tag)
    }

    fn is_ours(&self, pid: u32) -> bool {
        file_locks(pid).and_then(Tag::of_limit) == Some(self.tag)
    }
}

/// How many bore it and were there to be killed.
pub(super) fn kill_tagged(tag: Tag) -> usize {
    let Ok(table) = Table::scan() else { return 0 };
    let own = std::process::id();
    let candidates = table.processes.iter().filter(|process| !process.dead && process.pid != own);
    let kill = |pid: u32| {
        let pinned = pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok()?;
        // Whoever has its pid now is either who was pinned, or that one is gone.
        file_locks(pid).and_then(Tag::of_limit).filter(|found| *found == tag)?;
        pidfd_send_signal(&pinned, Signal::KILL).ok()
    };
    candidates.filter(|process| kill(process.pid).is_some()).count()
}

impl Drop for Brood {
    fn drop(&mut self) {
        self.end();
        #[cfg(target_os = "linux")]
        if self.others.is_some() {
            // What is started from now on is to lose its parents as usual.
            let _ = rustix::process::set_child_subreaper(None);
        }
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id().cast_signed())
}

/// Processes and threads of the whole machine (proc_loadavg(5)).
fn tasks() -> u64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let counts = text.split(' ').nth(3).and_then(|counts| counts.split_once('/'));
    counts.and_then(|(_, total)| total.parse().ok()).unwrap_or(0)
}

/// Whichever of its threads started them.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let listed = |thread| std::fs::read_to_string(format!("/proc/{pid}/task/{thread}/children")).unwrap_or_default();
    let listed: Vec<String> = threads(pid).into_iter().map(listed).collect();
    listed.iter().flat_map(|pids| pids.split_ascii_whitespace()).filter_map(|pid| pid.parse().ok()).collect()
}

fn threads(pid: u32) -> Vec<u32> {
    let listed = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    listed.filter_map(|thread| thread.file_name().to_str()?.parse().ok()).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// All that is resident and of no file (proc_pid_status(5)).
    Resident,
    /// Its share of that: what others have as well is divided among them (proc_pid_smaps_rollup, Linux 5.9).
    Shared,
}

fn memory(pid: u32, kind: Memory) -> u64 {
    let (file, lines) = match kind {
        Memory::Resident => ("status", ["RssAnon:", "RssShmem:"]),
        Memory::Shared => ("smaps_rollup", ["Pss_Anon:", "Pss_Shmem:"]),
    };
    let kilobytes = |line: &str| {
        let rest = lines.iter().find_map(|name| line.strip_prefix(name))?;
        rest.trim().split(' ').next()?.parse::<u64>().ok()
    };
    let of = |path: String| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let told: Vec<u64> = text.lines().filter_map(kilobytes).collect();
        (!told.is_empty()).then(|| told.iter().sum::<u64>() * 1_024)
    };
    // One whose first thread has ended has its memory all the same: its other threads tell.
    let other = || threads(pid).into_iter().find_map(|thread| of(format!("/proc/{pid}/task/{thread}/{file}")));
    of(format!("/proc/{pid}/{file}")).or_else(other).unwrap_or(0)
}

/// What is in a folder, on the disk; beyond a number of entries it is too much in any case.
fn disk_bytes(folder: &Path) -> u64 {
    let (mut bytes, mut entries) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            entries += 1;
            if entries > ENTRIES_MAX {
                return u64::MAX;
            }
            let Ok(meta) = entry.metadata() else { continue };
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Stdio;

    use super::*;

    fn brood(tasks: u64) -> Brood {
        Brood::new(Bounds { tasks, memory_bytes: 128 << 20, project: std::env::temp_dir() })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn whoever_left_session_parents_and_environment_is_ended() {
        let mut brood = brood(1_000);
        let mut command = Command::new("sh");
        command.args(["-c", "(setsid env -i sleep 1000 &) ; sleep 1000 & exit 7"]).stdout(Stdio::piped());
        let mut output = brood.start(&mut command).unwrap().stdout.take().unwrap();
        assert_eq!(brood.ended(soon()), Some(Ended { exit: Some(7), signal: None }));
        brood.end();
        // Both sleepers had it open.
        assert_eq!(output.read(&mut [0; 1]).unwrap(), 0);
    }

    /// Eight of them, each a process after the other in sessions of their own, that nobody waits for.
    #[test]
    fn who_forks_over_and_over_ends_at_one_moment_where_there_are_groups() {
        let comet = "import os,time\nfor _ in range(8):\n  if os.fork() == 0: break\nelse: os._exit(0)\n\
                     for n in range(100):\n  if os.fork(): os._exit(0)\n  os.setsid()\n  time.sleep(.02)\n\
                     os.mkdir('survived')";
        let project = tempfile::tempdir().unwrap();
        let bounds = Bounds { tasks: 1_000, memory_bytes: 1 << 30, project: project.path().to_owned() };
        let mut brood = Brood::new(bounds);
        let mut command = Command::new("python3");
        if brood.start(command.args(["-c", comet]).current_dir(&project)).is_err() {
            eprintln!("NOT TESTED: there is no python3");
            return;
        }
        assert_eq!(brood.ended(soon()), Some(Ended { exit: Some(0), signal: None }));
        let Some(pen) = brood.pen.take() else {
            eprintln!("NOT TESTED: no cgroup can be made");
            return;
        };
        let members = || std::fs::read_to_string(pen.folder().join("cgroup.procs")).unwrap_or_default();
        assert!(!members().is_empty());
        assert!(pen.end());
        assert!(!pen.folder().exists());
        assert_eq!(kill_tagged(brood.tag), 0);
        assert!(!project.path().join("survived").exists());
    }

    #[test]
    fn how_a_command_ended_is_known_and_how_many_there_are() {
        let mut brood = brood(1_000);
        brood.start(Command::new("sh").args(["-c", "kill -9 $$"])).unwrap();
        assert_eq!(brood.ended(soon()), Some(Ended { exit: None, signal: Some(9) }));
        assert!(brood.start(&mut Command::new("/nowhere")).is_err());
        brood.start(Command::new("sleep").arg("1000")).unwrap();
        assert_eq!(brood.ended(Instant::now()), None);
        assert_eq!(brood.exceeded(), None);
        (brood.before, brood.bounds.tasks) = (0, 1);
        assert_eq!(brood.exceeded(), None);
        brood.bounds.tasks = 0;
        assert_eq!(brood.exceeded(), Some(Excess::Tasks));
    }

    #[test]
    fn memory_is_counted_with_that_of_children() {
        let mut brood = brood(1_000);
        // A shell's variable of 256 MB, in a child of the shell.
        let script = "(x=$(head -c 16000000 /dev/zero | tr '\\0' a); while :; do x=$x$x; sleep 0.1; done) & wait";
        brood.start(Command::new("sh").args(["-c", script])).unwrap();
        let until = soon();
        while brood.exceeded().is_none() && Instant::now() < until {
            std::thread::yield_now();
        }
        assert_eq!(brood.exceeded(), Some(Excess::Memory));
    }

    #[test]
    fn what_a_thread_has_started_counts_and_so_does_what_is_written() {
        let forked = "import os,threading,time\ndef go():\n  if os.fork() == 0:\n    x=bytearray(200<<20); time.sleep(1000)\nt=threading.Thread(target=go); t.start(); time.sleep(1000)";
        let written = "import os,time\nfor i in range(4):\n  open(os.environ['TMPDIR']+f'/{i}','wb').write(bytes(40<<20))\ntime.sleep(1000)";
        for (program, excess) in [(forked, Excess::Memory), (written, Excess::Disk)] {
            let mut brood = brood(1_000);
            if brood.start(Command::new("python3").args(["-c", program])).is_err() {
                eprintln!("NOT TESTED: there is no python3");
                return;
            }
            let until = soon();
            while brood.exceeded().is_none() && Instant::now() < until {
                std::thread::yield_now();
            }
            let found = (0..20).find_map(|_| brood.exceeded());
            assert_eq!(found, Some(excess), "{program}");
        }
    }

    #[test]
    fn memory_that_is_shared_by_a_fork_counts_once_and_what_is_shared_with_all_counts() {
        let Ok(python) = Command::new("python3").arg("--version").output() else {
            eprintln!("NOT TESTED: there is no python3");
            return;
        };
        assert!(python.status.success());
        let fork = "import os,time\nx=bytearray(60<<20)\n[os.fork() or time.sleep(1000) for _ in range(4)]\nprint(1,flush=True)\ntime.sleep(1000)";
        let shared = "import mmap,time\nx=mmap.mmap(-1,200<<20)\nfor i in range(0,200<<20,4096): x[i]=1\nprint(1,flush=True)\ntime.sleep(1000)";
        for (program, excess) in [(fork, None), (shared, Some(Excess::Memory))] {
            let mut brood = brood(1_000);
            let mut command = Command::new("python3");
            let child = brood.start(command.args(["-c", program]).stdout(Stdio::piped())).unwrap();
            let mut ready = [0; 1];
            child.stdout.take().unwrap().read_exact(&mut ready).unwrap();
            assert_eq!(brood.exceeded(), excess, "{program}");
        }
    }

    #[test]
    fn commands_write_only_to_their_own_folder_and_make_folders_in_the_project() {
        // Signals are kept in from 6.12 on, and writes by every kernel that has Landlock.
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut release = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let keeps_signals = (release.next(), release.next()) >= (Some(6), Some(12));
        if !super::super::confine::has_landlock() {
            eprintln!("NOT TESTED: this kernel has no Landlock");
            return;
        }
        let project = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join("there"), "").unwrap();
        let bounds = Bounds { tasks: 100, memory_bytes: 1 << 30, project: project.path().to_owned() };
        let mut brood = Brood::new(bounds);
        let own = std::process::id();
        let table = [
            ("echo x > \"$TMPDIR/file\" && cat \"$TMPDIR/file\" && rm \"$TMPDIR/file\"", true),
            ("echo x > /dev/null", true),
            ("mkdir -p made/inside && ls -d made/inside", true),
            ("ls / && cat /proc/self/status", true),
            ("echo x > new", false),
            ("echo x >> there", false),
            ("rm there", false),
            ("mv there made/", false),
            ("ln -s there link", false),
            ("mkdir \"$OUTSIDE/folder\"", false),
            ("mknod \"$TMPDIR/null\" c 1 3", false),
            ("mkfifo \"$TMPDIR/pipe\"", true),
            (&format!("prlimit --pid {own} --core=0:0"), false),
            ("bash -c 'ulimit -x 7'", false),
            ("echo x >&9", false),
            ("echo x > \"$OUTSIDE/new\"", false),
            (&format!("kill -0 {own}"), !keeps_signals),
        ];
        for (script, works) in table {
            let mut command = Command::new("sh");
            command.args(["-c", script]).current_dir(&project).env("OUTSIDE", outside.path());
            brood.start(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
            let ended = brood.ended(soon()).unwrap();
            assert_eq!(ended.exit == Some(0), works, "{script}: {ended:?}");
        }
        let scratch = brood.scratch.clone().unwrap();
        assert!(scratch.exists());
        drop(brood);
        assert!(!scratch.exists());
    }
}
