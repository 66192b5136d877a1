//! Whether the kernel has killed for want of memory. It is asked when a process was killed and nobody here did it, and
//! at no other time.

use std::cell::OnceCell;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

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

fn kills(file: &std::path::Path) -> Option<u64> {
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
