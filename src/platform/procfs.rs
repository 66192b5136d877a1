//! One look at every process, and a closer one at some.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

/// Variables that every app process is given, and that its descendants inherit.
pub(super) const MARK_HOME: &str = "PMRUN_HOME";
pub(super) const MARK_INSTANCE: &str = "PMRUN_INSTANCE";
pub(super) const MARK_LAUNCH: &str = "PMRUN_LAUNCH";
pub(super) const MARK_SPEC: &str = "PMRUN_SPEC";
/// PM2's name for it; it tells two apart that had the same name one after the other.
pub(super) const MARK_LIST_ID: &str = "pm_id";

/// The first argument of a daemon.
const DAEMON_WORDS: [&[u8]; 4] = [b"__daemon", b"__daemon-resume", b"__keeper", b"__keeper-resume"];

/// One process, by proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) session: u32,
    /// Clock ticks since the machine started. With the pid it names a process for good.
    pub(super) start: u64,
    /// A zombie: it holds nothing any more and only waits for its parent.
    pub(super) dead: bool,
    /// It is about to be one: there is no telling any more what it was started with, and its files may be open still.
    pub(super) ends: bool,
}

/// Of the flags in proc_pid_stat(5): `PF_EXITING` in the kernel's include/linux/sched.h.
const EXITING: u32 = 0x4;

/// What a process was started with, as far as it concerns pmrun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) home: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) launch: Option<String>,
    pub(super) spec: Option<String>,
    pub(super) list_id: Option<String>,
}

/// Whether a process runs the program that this one is, under whichever name. False where nobody may look.
#[must_use]
pub fn is_same_program(pid: u32) -> bool {
    let file = |pid: &str| {
        let found = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
        Some((found.dev(), found.ino()))
    };
    file(&pid.to_string()).is_some_and(|its| Some(its) == file("self"))
}

/// The program that a process runs, where that is no longer on disk. None, too, of who may not be looked at.
#[must_use]
pub fn deleted_program(pid: u32) -> Option<String> {
    let target = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    // A file may be called so.
    let program = target.to_str()?.strip_suffix(" (deleted)").filter(|_| !target.exists())?;
    Some(program.to_owned())
}

/// Whether a process waits for something to happen, or is gone.
#[must_use]
pub fn is_at_rest(pid: u32) -> bool {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = memchr::memrchr(b')', &stat).and_then(|end| stat.get(end + 2));
    matches!(state, None | Some(b'S' | b'Z'))
}

/// Whether somebody has suspended a process (SIGSTOP, Ctrl-Z, a debugger): it does nothing until it is let go on.
#[must_use]
pub fn is_suspended(pid: u32) -> bool {
    let text = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let name_end = text.iter().rposition(|byte| *byte == b')');
    name_end.and_then(|end| text.get(end + 2)).is_some_and(|state| matches!(state, b'T' | b't'))
}

/// All processes at one moment, indexed.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) processes: Vec<Process>,
    by_pid: HashMap<u32, usize>,
    by_parent: HashMap<u32, Vec<usize>>,
    by_session: HashMap<u32, Vec<usize>>,
}

impl Table {
    /// # Errors
    /// When /proc cannot be listed, or not be read to its end: half a table would say that processes are gone.
    pub(super) fn scan() -> io::Result<Self> {
        let mut processes = Vec::with_capacity(256);
        let before = last_pid();
        each_stat(|text| processes.extend(parse_stat(text)))?;
        if let Some(before) = before {
            add_newcomers(&mut processes, before)?;
        }
        Ok(Self::of(processes))
    }

    pub(super) fn of(processes: Vec<Process>) -> Self {
        let mut table = Self { processes, ..Self::default() };
        for (index, process) in table.processes.iter().enumerate() {
            table.by_pid.insert(process.pid, index);
            table.by_parent.entry(process.parent).or_default().push(index);
            table.by_session.entry(process.session).or_default().push(index);
        }
        table
    }

    pub(super) fn get(&self, pid: u32) -> Option<&Process> {
        self.by_pid.get(&pid).map(|index| &self.processes[*index])
    }

    pub(super) fn children(&self, pid: u32) -> impl Iterator<Item = &Process> {
        self.by_parent.get(&pid).into_iter().flatten().map(|index| &self.processes[*index])
    }

    pub(super) fn session(&self, session: u32) -> impl Iterator<Item = &Process> {
        self.by_session.get(&session).into_iter().flatten().map(|index| &self.processes[*index])
    }
}

/// How often it is looked again who has come since.
const NEWCOMER_LOOKS_MAX: u32 = 16;
/// So many more are not looked at one by one: where numbers begin again, or somebody forks without end.
const NEWCOMERS_MAX: u32 = 4_096;

/// Who was started while all others were being read. One that hands over to another of itself and ends would else be seen by
/// nobody: gone when its turn came, and the other not there yet when the list was begun. Pids are given in order
/// (`alloc_pid` in the kernel), so whoever is new lies between the last that there was before and the last that there is.
fn add_newcomers(processes: &mut Vec<Process>, mut before: u32) -> io::Result<()> {
    let mut known: HashSet<u32> = processes.iter().map(|process| process.pid).collect();
    for _ in 0..NEWCOMER_LOOKS_MAX {
        let Some(last) = last_pid() else { return Ok(()) };
        if last == before || last.wrapping_sub(before) > NEWCOMERS_MAX {
            return Ok(());
        }
        for pid in before + 1..=last {
            // A thread has a number, too, and is none.
            if !known.contains(&pid)
                && let Some(process) = process(pid)?.filter(|process| process.pid == pid && is_first_thread(pid))
            {
                known.insert(pid);
                processes.push(process);
            }
        }
        before = last;
    }
    Ok(())
}

/// The number that was given last in this pid namespace: proc_loadavg(5).
fn last_pid() -> Option<u32> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_ascii_whitespace().nth(4)?.parse().ok()
}

fn is_first_thread(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    group.is_some_and(|group| group.trim().parse() == Ok(pid))
}

/// None when there is no such process.
///
/// # Errors
/// When that cannot be known.
pub(super) fn process(pid: u32) -> io::Result<Option<Process>> {
    let path = format!("/proc/{pid}/stat");
    stat_of(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()))
}

/// The children of this process's first thread, which starts all apps and is given all orphans (`find_new_reaper` in the
/// kernel takes the first living thread). None where the kernel does not list them (`CONFIG_PROC_CHILDREN`).
pub(super) fn own_children() -> Option<Vec<u32>> {
    let me = std::process::id();
    let mut file = std::fs::File::open(format!("/proc/self/task/{me}/children")).ok()?;
    // In few reads: the kernel counts its way to where the one before ended.
    let mut listed = String::with_capacity(32 << 10);
    std::io::Read::read_to_string(&mut file, &mut listed).ok()?;
    Some(listed.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// What a process was started with. In few reads: the kernel looks for where each begins.
fn environ(pid: u32) -> Option<Vec<u8>> {
    let mut environ = Vec::with_capacity(16 << 10);
    let mut file = std::fs::File::open(format!("/proc/{pid}/environ")).ok()?;
    std::io::Read::read_to_end(&mut file, &mut environ).ok()?;
    Some(environ)
}

/// What a process was started with; nothing where that may not be seen.
#[must_use]
pub fn variables_of(pid: u32) -> BTreeMap<String, String> {
    let environ = String::from_utf8_lossy(&environ(pid).unwrap_or_default()).into_owned();
    let pairs = environ.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(super) fn marks(pid: u32) -> Option<Marks> {
    let environ = environ(pid)?;
    let mut marks = Marks::default();
    for variable in environ.split(|byte| *byte == 0) {
        // Most variables are not ours, and this runs for every process of a busy machine.
        if !variable.starts_with(b"PMRUN_") && !variable.starts_with(b"pm_id=") {
            continue;
        }
        let Some((name, value)) = std::str::from_utf8(variable).ok().and_then(|text| text.split_once('=')) else {
            continue;
        };
        let slot = match name {
            MARK_HOME => &mut marks.home,
            MARK_INSTANCE => &mut marks.instance,
            MARK_LAUNCH => &mut marks.launch,
            MARK_SPEC => &mut marks.spec,
            MARK_LIST_ID => &mut marks.list_id,
            _ => continue,
        };
        *slot = Some(value.to_owned());
    }
    Some(marks)
}

/// Pages of memory, by proc_pid_statm(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) resident: u64,
    /// Of these, what other processes may have too: of files, and shared memory.
    pub(super) shared: u64,
}

pub(super) fn memory(pid: u32) -> Option<Pages> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut fields = text.split_ascii_whitespace().skip(1).map(str::parse);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(Pages { resident, shared })
}

/// A variable that a process was started with.
pub(super) fn variable(pid: u32, name: &str) -> Option<String> {
    let environ = environ(pid)?;
    let mut values = environ.split(|byte| *byte == 0).filter_map(|pair| pair.strip_prefix(name.as_bytes()));
    let value = values.find_map(|rest| rest.strip_prefix(b"="))?;
    String::from_utf8(value.to_owned()).ok()
}

/// The soft limit of file locks, which everybody may read; none when there is no limit or no such process.
pub(super) fn file_locks(pid: u32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file locks"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Device and inode of what a process has as stdout and stderr.
pub(super) fn outputs(pid: u32) -> Vec<(u64, u64)> {
    [1, 2].into_iter().filter_map(|fd| file_id(&format!("/proc/{pid}/fd/{fd}"))).collect()
}

pub(super) fn file_id(path: &str) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether a process sees our home where we see it. One in a container may have a home of its own that is called the
/// same, and marks that say the same. Where somebody has taken it away, neither may see one in the folder that it was in.
pub(super) fn sees_home(pid: u32, home: &str) -> bool {
    for place in Path::new(home).ancestors().filter_map(Path::to_str) {
        let (ours, theirs) = (file_id(place), file_id(&format!("/proc/{pid}/root{place}")));
        if ours.is_some() || theirs.is_some() {
            return ours == theirs;
        }
    }
    false
}

/// Whether a process is a daemon that was started for this home.
pub(super) fn is_daemon_of(pid: u32, home: &str) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let word = words.split(|byte| *byte == 0).nth(1);
    let is_daemon = word.is_some_and(|word| DAEMON_WORDS.contains(&word));
    is_daemon && marks(pid).is_some_and(|marks| marks.home.as_deref() == Some(home))
}

/// Wall clock, milliseconds since 1970, of a process's start.
pub(super) fn started_at_ms(process: &Process) -> u64 {
    let millis = |clock| {
        let read = Duration::try_from(clock_gettime(clock)).unwrap_or_default();
        u64::try_from(read.as_millis()).unwrap_or(0)
    };
    // By the clocks, and not by /proc/stat, which costs as much as it has processors and interrupts.
    let boot_ms = millis(ClockId::Realtime).saturating_sub(millis(ClockId::Boottime));
    // Linux shows times to programs in hundredths of a second on every architecture.
    boot_ms + process.start * 10
}

fn open_dir(path: &CStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The line of `stat` of every process.
///
/// # Errors
/// When /proc cannot be listed, or not be read to its end.
pub(super) fn each_stat(mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let proc = open_dir(c"/proc")?;
    for entry in Dir::read_from(&proc)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name.first().is_some_and(u8::is_ascii_digit) {
            read_stat(&proc, name, &mut take)?;
        }
    }
    Ok(())
}

fn read_stat(proc: &OwnedFd, pid: &[u8], take: impl FnOnce(&[u8])) -> io::Result<()> {
    let mut path = [0_u8; 24];
    let Some(path) = stat_path(pid, &mut path) else { return Ok(()) };
    with_stat(rustix::fs::openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()), take)
}

fn stat_of(file: rustix::io::Result<OwnedFd>) -> io::Result<Option<Process>> {
    let mut process = None;
    with_stat(file, |text| process = parse_stat(text))?;
    Ok(process)
}

/// Nothing where the process is gone.
fn with_stat(file: rustix::io::Result<OwnedFd>, take: impl FnOnce(&[u8])) -> io::Result<()> {
    let mut text = [0_u8; 512];
    match file.and_then(|file| rustix::io::read(&file, &mut text)) {
        Ok(length) => take(&text[..length]),
        Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => return Err(error.into()),
        Err(_) => {}
    }
    Ok(())
}

fn stat_path<'a>(pid: &[u8], path: &'a mut [u8; 24]) -> Option<&'a CStr> {
    path.get_mut(..pid.len())?.copy_from_slice(pid);
    path.get_mut(pid.len()..pid.len() + 6)?.copy_from_slice(b"/stat\0");
    CStr::from_bytes_until_nul(path).ok()
}

/// The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
fn parse_stat(text: &[u8]) -> Option<Process> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(text.get(..open)?).ok()?.trim().parse().ok()?;
    let mut fields = std::str::from_utf8(text.get(close + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    // flags is field 9, num_threads field 20, starttime field 22.
    let flags: u32 = fields.nth(2)?.parse().ok()?;
    let threads: u64 = fields.nth(10)?.parse().ok()?;
    let start = fields.nth(1)?.parse().ok()?;
    // A leader that ended its own thread only is shown as a zombie while the others work on.
    let dead = matches!(state, "Z" | "X") && threads <= 1;
    let ends = flags & EXITING != 0 && threads <= 1;
    Some(Process { pid, parent, session, start, dead, ends })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_are_read_whatever_the_program_is_called() {
        let line = |name: &str, state: &str, threads: u32| {
            format!("12 ({name}) {state} 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 4711 1000 1 2 3\n")
        };
        let want = Process { pid: 12, parent: 7, session: 9, start: 4711, dead: false, ends: false };
        for name in ["sh", "a b", "x) R 1 2 3 (y", ")", ""] {
            assert_eq!(parse_stat(line(name, "S", 1).as_bytes()), Some(want), "{name:?}");
        }
        assert_eq!(parse_stat(line("z", "Z", 1).as_bytes()), Some(Process { dead: true, ..want }));
        assert_eq!(parse_stat(line("z", "Z", 2).as_bytes()), Some(want), "threads live on");
        let ending = line("e", "R", 1).replace(" 4194560 ", " 4194564 ");
        assert_eq!(parse_stat(ending.as_bytes()), Some(Process { ends: true, ..want }));
        assert_eq!(parse_stat(ending.replace(" 20 0 1 ", " 20 0 2 ").as_bytes()), Some(want), "threads live on");
        for junk in ["", "12", "12 (sh", "12 (sh) S", "x (sh) S 1 2 3"] {
            assert_eq!(parse_stat(junk.as_bytes()), None, "{junk:?}");
        }
    }

    #[test]
    fn this_process_is_in_the_table() {
        let table = Table::scan().unwrap();
        let me = table.get(std::process::id()).unwrap();
        assert_eq!(me.parent, std::os::unix::process::parent_id());
        assert!(table.children(me.parent).any(|process| process.pid == me.pid));
        assert!(table.session(me.session).any(|process| process.pid == me.pid));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let started = u128::from(started_at_ms(me));
        assert!(started <= now + 1_000 && started + 3_600_000 > now, "{started} {now}");
    }
}
