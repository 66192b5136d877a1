//! How much processes use: sampled when somebody looks, and never else.
//!
//! How busy a process is takes two looks. The last one is remembered: by a command that goes on looking in memory, by one
//! that looks once in a small file in `PMRUN_HOME`. What was never looked at is shown by what it has used since its
//! start, as `ps` does.
//!
//! A look costs some 10 microseconds for every process of the machine, so within a second nobody looks twice: a dashboard
//! that asks all the time is told what was seen last.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::platform::{Glance, Look, Usage, open_regular, since_boot_ms, usage};

/// In `PMRUN_HOME`.
const FILE: &str = "usage";
/// In a shorter time one tick of the clock is more than a percent, and whoever looks twice in a row wants to see the same.
/// So long what was seen is shown again.
const BETWEEN_MS: u64 = 1_000;
/// What nobody has looked at for so long is forgotten.
const KEPT_MS: u64 = 24 * 3_600_000;
/// More is not read: the file is ours, and small.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// A command that writes it takes less than a moment: one that has not finished by then never will.
const WRITER_PATIENCE: Duration = Duration::from_secs(10);

/// What a process uses with everything that it has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub memory_bytes: u64,
    /// Of one processor, in tenths of a percent.
    pub cpu_permille: u32,
    /// On processors, since its start.
    pub cpu_ms: u64,
    pub processes: u32,
}

impl Load {
    /// In percent, with one decimal.
    pub(super) fn cpu_percent(self) -> f64 {
        f64::from(self.cpu_permille) / 10.0
    }
}

/// `0%`, `12.3%`
pub(super) fn percent(permille: u32) -> String {
    if permille == 0 { "0%".to_owned() } else { format!("{}.{}%", permille / 10, permille % 10) }
}

/// By the pid of each tree's first process.
pub(super) type Loads = HashMap<u32, Load>;

/// What was seen before, by pid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Looks(HashMap<u32, Seen>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// Of the process, in ticks: a pid may be had again.
    start: u64,
    at_ms: u64,
    ticks: u64,
    /// What was shown then.
    permille: u32,
    memory_bytes: u64,
    processes: u32,
}

/// A look that has begun, while whoever needs it asks the daemon whom to look at.
#[derive(Debug)]
pub(super) struct Begun {
    before: Looks,
    /// None where somebody has looked just now.
    glance: Option<io::Result<Glance>>,
}

pub(super) fn begin(home: &Path) -> Begun {
    let before = Looks::read(home);
    let glance = (!before.has_any_since(since_boot_ms())).then(Glance::begin);
    Begun { before, glance }
}

impl Begun {
    /// Where that is not possible nothing is known, and everything else can be shown all the same.
    pub(super) fn of(self, home: &Path, pids: impl IntoIterator<Item = u32>) -> Loads {
        let Self { before, glance } = self;
        let pids: Vec<u32> = pids.into_iter().collect();
        let look = match glance {
            Some(glance) => glance.and_then(|glance| glance.at(pids)),
            None => match before.seen(&pids, since_boot_ms()) {
                Some(loads) => return loads,
                None => usage(pids),
            },
        };
        let Ok(look) = look else { return Loads::new() };
        let mut looks = before.clone();
        let loads = looks.judge(&look);
        if looks != before {
            // The next command tells a little less, and that is all.
            let _ = looks.write(home);
        }
        loads
    }
}

impl Seen {
    fn is_fresh(&self, now_ms: u64) -> bool {
        self.at_ms <= now_ms && now_ms - self.at_ms < BETWEEN_MS
    }

    fn load(&self) -> Load {
        let Self { ticks, permille, memory_bytes, processes, .. } = *self;
        let cpu_ms = Usage { cpu_ticks: ticks, ..Usage::default() }.cpu_ms();
        Load { memory_bytes, cpu_permille: permille, cpu_ms, processes }
    }
}

impl Looks {
    /// Looks again, where nobody has just now.
    pub(super) fn look(&mut self, pids: impl IntoIterator<Item = u32>) -> Loads {
        let pids: Vec<u32> = pids.into_iter().collect();
        if let Some(loads) = self.seen(&pids, since_boot_ms()) {
            return loads;
        }
        usage(pids).map(|look| self.judge(&look)).unwrap_or_default()
    }

    fn has_any_since(&self, now_ms: u64) -> bool {
        self.0.values().any(|seen| seen.is_fresh(now_ms))
    }

    /// What was seen of all of them just now.
    fn seen(&self, pids: &[u32], now_ms: u64) -> Option<Loads> {
        let load = |pid: &u32| Some((*pid, self.0.get(pid).filter(|seen| seen.is_fresh(now_ms))?.load()));
        pids.iter().map(load).collect()
    }

    fn judge(&mut self, look: &Look) -> Loads {
        let mut loads = Loads::with_capacity(look.trees.len());
        for (pid, tree) in &look.trees {
            let before = self.0.get(pid).filter(|seen| seen.start == tree.start && seen.at_ms <= look.at_ms);
            let Usage { start, memory_bytes, cpu_ticks: ticks, processes } = *tree;
            let permille = match before {
                Some(seen) if seen.is_fresh(look.at_ms) => seen.permille,
                before => {
                    let permille = tree.cpu_permille(look.at_ms, before.map(|seen| (seen.at_ms, seen.ticks)));
                    let at_ms = look.at_ms;
                    self.0.insert(*pid, Seen { start, at_ms, ticks, permille, memory_bytes, processes });
                    permille
                }
            };
            loads.insert(*pid, Load { memory_bytes, cpu_permille: permille, cpu_ms: tree.cpu_ms(), processes });
        }
        self.0.retain(|_, seen| seen.at_ms <= look.at_ms && look.at_ms - seen.at_ms < KEPT_MS);
        loads
    }

    fn read(home: &Path) -> Self {
        let mut text = String::new();
        let read = open_regular(&home.join(FILE)).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
        if read.is_ok() { Self::parse(&text) } else { Self::default() }
    }

    fn parse(text: &str) -> Self {
        let seen = |line: &str| {
            let mut fields = line.split(' ').map(str::parse::<u64>);
            let mut next = || fields.next()?.ok();
            let pid = u32::try_from(next()?).ok()?;
            let (start, at_ms, ticks) = (next()?, next()?, next()?);
            let (permille, memory_bytes) = (u32::try_from(next()?).ok()?, next()?);
            let processes = u32::try_from(next()?).ok()?;
            Some((pid, Seen { start, at_ms, ticks, permille, memory_bytes, processes }))
        };
        Self(text.lines().filter_map(seen).collect())
    }

    fn text(&self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::with_capacity(self.0.len() * 56), |mut text, (pid, seen)| {
            let Seen { start, at_ms, ticks, permille, memory_bytes, processes } = seen;
            // A string takes everything.
            let _ = writeln!(text, "{pid} {start} {at_ms} {ticks} {permille} {memory_bytes} {processes}");
            text
        })
    }

    /// As a whole or not at all; of two that write at once, one.
    fn write(&self, home: &Path) -> io::Result<()> {
        let new = home.join(format!("{FILE}.new"));
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let age = new.metadata()?.modified()?.elapsed().unwrap_or_default();
                return if age > WRITER_PATIENCE { std::fs::remove_file(new) } else { Ok(()) };
            }
            opened => opened?,
        };
        let written = file.write_all(self.text().as_bytes());
        written.and_then(|()| std::fs::rename(&new, home.join(FILE))).inspect_err(|_| {
            // A full disk: it must not be in the way of the next.
            let _ = std::fs::remove_file(&new);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at_ms: u64, cpu_ticks: u64) -> Look {
        let usage = Usage { start: 100, memory_bytes: 1 << 20, cpu_ticks, processes: 2 };
        Look { at_ms, trees: [(7, usage)].into() }
    }

    #[test]
    fn cpu_is_since_the_last_look() {
        let mut looks = Looks::default();
        let mut permille = |at_ms, ticks| looks.judge(&look(at_ms, ticks))[&7].cpu_permille;
        assert_eq!(permille(2_000, 50), 500, "since its start");
        assert_eq!(permille(2_500, 60), 500, "so soon it is the same");
        assert_eq!(permille(3_000, 60), 100);
        assert_eq!(permille(13_000, 1_060), 1_000);
        let other = Usage { start: 1_350, memory_bytes: 0, cpu_ticks: 100, processes: 1 };
        let look = Look { at_ms: 15_500, trees: [(7, other)].into() };
        assert_eq!(looks.judge(&look)[&7].cpu_permille, 500, "another that has the pid");
    }

    #[test]
    fn what_was_seen_is_found_again_and_junk_is_nothing() {
        let home = tempfile::tempdir().unwrap();
        let mut looks = Looks::default();
        looks.judge(&look(2_000, 50));
        looks.write(home.path()).unwrap();
        assert_eq!(Looks::read(home.path()), looks);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
        std::fs::write(home.path().join("usage.new"), "half").unwrap();
        looks.judge(&look(9_000, 50));
        looks.write(home.path()).unwrap();
        assert_ne!(Looks::read(home.path()), looks, "another is about to write it");
        std::fs::remove_file(home.path().join("usage.new")).unwrap();
        for junk in ["", "\n", "7", "7 1 2 3", "x 1 2 3 4", "99999999999 1 2 3 4", "\0"] {
            assert_eq!(Looks::parse(junk), Looks::default(), "{junk:?}");
        }
        // The machine was started again since.
        looks.judge(&look(1_000, 0));
        assert_eq!(looks.0.len(), 1);
        assert_eq!(looks.0[&7].at_ms, 1_000);
    }

    #[test]
    fn within_a_second_what_was_seen_is_shown_again() {
        let mut looks = Looks::default();
        let loads = looks.judge(&look(2_000, 50));
        assert_eq!(looks.seen(&[7], 2_999), Some(loads));
        assert_eq!(looks.seen(&[], 2_999), Some(Loads::new()));
        for (pids, now_ms) in [(&[7_u32][..], 3_000), (&[7], 1_999), (&[7, 8], 2_500), (&[8], 2_500)] {
            assert_eq!(looks.seen(pids, now_ms), None, "{pids:?} at {now_ms}");
        }
        assert!(looks.has_any_since(2_500) && !looks.has_any_since(3_000));
        assert!(Looks::default().seen(&[7], 0).is_none());
    }

    #[test]
    fn percent_has_one_decimal_where_there_is_something() {
        for (permille, want) in [(0, "0%"), (1, "0.1%"), (123, "12.3%"), (2_000, "200.0%")] {
            assert_eq!(percent(permille), want);
        }
    }
}
