//! Whether the kernel has killed for want of memory. It is asked when a process was killed and nobody here did it, and
//! at no other time.

use std::cell::OnceCell;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The kernel's log, a record at each read (Documentation/ABI/testing/dev-kmsg in the kernel's source).
const KERNEL_LOG: &str = "/dev/kmsg";
/// No record is longer (`PRINTKRB_RECORD_MAX` and what its variables take); a read with less room fails.
const RECORD_MAX: usize = 16 << 10;
/// More records than any log has room for: whoever writes to it all the time keeps nobody here.
const RECORDS_MAX: usize = 1 << 17;
/// The namespace whose pids the kernel's log has (`PROC_PID_INIT_INO`).
const FIRST_PIDS: &str = "pid:[4026531836]";

/// What is killed together is told of one by one.
const TOGETHER: Duration = Duration::from_secs(1);

/// A count of the kernel's, and what it was when it was last looked at.
#[derive(Debug)]
pub(super) struct Killer {
    file: PathBuf,
    seen: Option<u64>,
    seen_at: Instant,
    /// When it was last found to have risen, and since when it may have.
    rose: Option<(Instant, Instant)>,
    /// What it was when the deaths were found that are told of just now: whatever it has counted of them, it had then.
    now: OnceCell<Option<u64>>,
}

impl Killer {
    /// `group` is the folder of the cgroup that this process is in: what counts there is nearer than what the machine does.
    pub(super) fn new(group: Option<PathBuf>) -> Self {
        let of_group = group.map(|group| group.join("memory.events")).filter(|file| kills(file).is_some());
        let file = of_group.unwrap_or_else(|| "/proc/vmstat".into());
        Self { seen: kills(&file), file, seen_at: Instant::now(), rose: None, now: OnceCell::new() }
    }

    /// Further deaths are found. One look is enough for all that are found together: the kernel adds up a page of
    /// numbers for it.
    pub(super) fn begin(&mut self) {
        self.now.take();
    }

    /// How long ago, at most, it acted, where it has acted since this was last asked.
    pub(super) fn acted(&mut self) -> Option<Duration> {
        let count = *self.now.get_or_init(|| kills(&self.file));
        self.judge(count, Instant::now())
    }

    fn judge(&mut self, count: Option<u64>, now: Instant) -> Option<Duration> {
        let since = std::mem::replace(&mut self.seen_at, now);
        let before = std::mem::replace(&mut self.seen, count);
        if count? > before? {
            self.rose = Some((now, since));
        }
        let (found, since) = self.rose.filter(|(found, _)| now.duration_since(*found) < TOGETHER)?;
        debug_assert!(since <= found);
        Some(now.duration_since(since))
    }
}

/// Whether the kernel's log says that it has killed this process for want of memory; none where that cannot be read, as for most
/// users, or has other pids, as in a container. It is long: to be asked only where the kernel has killed somebody.
pub(super) fn is_in_log(pid: u32) -> Option<bool> {
    std::fs::read_link("/proc/self/ns/pid").ok().filter(|link| link == Path::new(FIRST_PIDS))?;
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(KERNEL_LOG)
        .ok()?;
    let mut record = vec![0; RECORD_MAX];
    for _ in 0..RECORDS_MAX {
        match log.read(&mut record) {
            Ok(length) if tells_of(&record[..length], pid) => return Some(true),
            Ok(0) => break,
            Ok(_) => {}
            // What it was about to say was written over.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => return None,
        }
    }
    Some(false)
}

/// `6,339,5140900,-;Out of memory: Killed process 1234 (node) total-vm:...`, which begins in as many ways as there are reasons.
fn tells_of(record: &[u8], pid: u32) -> bool {
    let text = String::from_utf8_lossy(record);
    let Some((head, said)) = text.split_once(';') else { return false };
    // What programs write there has another facility than the kernel's, which is 0.
    let is_kernels =
        head.split(',').next().and_then(|flags| flags.parse::<u32>().ok()).is_some_and(|flags| flags >> 3 == 0);
    is_kernels && said.contains("ut of memory") && said.contains(&format!("Killed process {pid} ("))
}

fn kills(file: &Path) -> Option<u64> {
    // In one read: the kernel adds it all up anew for each.
    let mut text = vec![0; 32 << 10];
    let length = std::fs::File::open(file).and_then(|mut file| file.read(&mut text)).ok()?;
    count(std::str::from_utf8(&text[..length]).ok()?, "oom_kill")
}

/// Lines of a name and a number, as in `/proc/vmstat` and `memory.events`.
pub(super) fn count(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(word, _)| *word == name)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_many_counts() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!((count(text, "oom_kill"), count(text, "oom"), count(text, "max")), (Some(2), Some(3), None));
        assert_eq!(count("oom_kill x\n", "oom_kill"), None);
        assert!(kills(std::path::Path::new("/proc/vmstat")).is_some());
    }

    #[test]
    fn the_kernels_log_names_whom_it_has_killed() {
        let told = |record: &str| tells_of(record.as_bytes(), 1234);
        assert!(told(
            "3,339,5140900,-;Out of memory: Killed process 1234 (node) total-vm:1kB, anon-rss:1kB\n SUBSYSTEM=x\n"
        ));
        assert!(told("3,340,5140900,-;Memory cgroup out of memory: Killed process 1234 (node) total-vm:1kB\n"));
        assert!(!told("3,341,5140900,-;Out of memory: Killed process 12345 (node) total-vm:1kB\n"));
        assert!(!told("12,342,5140900,-;Out of memory: Killed process 1234 (node)\n"), "that is what a program wrote");
        assert!(!told("6,343,5140900,-;audit: killed 1234\n") && !told("Out of memory: Killed process 1234 ("));
        assert_ne!(is_in_log(std::process::id()), Some(true));
    }

    #[test]
    fn what_has_not_risen_since_is_nobodys_death() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut killer =
            Killer { file: PathBuf::new(), seen: Some(5), seen_at: start, rose: None, now: OnceCell::new() };
        let ms = |within: Option<Duration>| within.map(|within| within.as_millis());
        assert_eq!(ms(killer.judge(Some(5), at(10_000))), None);
        assert_eq!(ms(killer.judge(Some(7), at(13_000))), Some(3_000));
        // The second of the two, told a moment later.
        assert_eq!(ms(killer.judge(Some(7), at(13_005))), Some(3_005));
        assert_eq!(ms(killer.judge(Some(7), at(15_000))), None);
        // What cannot be read says nothing, nor does the first look after that.
        assert_eq!(ms(killer.judge(None, at(16_000))), None);
        assert_eq!(ms(killer.judge(Some(9), at(17_000))), None);
        assert_eq!(ms(killer.judge(Some(10), at(17_500))), Some(500));
    }
}
