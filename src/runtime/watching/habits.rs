use std::collections::BTreeMap;

use super::burst::Burst;
use crate::base::Mono;

/// A change that comes later than this after a start has nothing to do with it.
const AT_START_MS: u64 = 10_000;
/// After so many starts in a row a path is taken to be written by the app itself. Nobody can tell who wrote a file; a
/// person who saves the same one over and over does it seconds later, and not at the same moment each time.
const STARTS: u32 = 8;
/// For a folder in which each start writes a file of another name.
const STARTS_FOLDER: u32 = 12;
/// What has not changed for so long, and does long after a start, is not what an app writes at its start.
const QUIET_MS: u64 = 60_000;
/// Within this after the start, moments need not be the same.
const SOON_MS: u64 = 1_000;
/// What comes that much later after a start than it ever did is somebody else's, or the app writes it all the time: then it is
/// soon found again, and so on, twice as long each time.
const MARGIN_MS: u64 = 200;
const STARTS_AGAIN: u32 = 2;
const RELAPSES_MAX: u32 = 10;

/// What an app writes at each start. Without it, a file that is watched and written at start is a restart for ever.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// By path, or by folder with a `/` at its end.
    streaks: BTreeMap<String, Streak>,
    paused: BTreeMap<String, Paused>,
    /// How often each was found that was not only written at starts.
    relapses: BTreeMap<String, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Paused {
    /// When it changed last.
    last: Mono,
    /// The latest that it did after a start when it was found.
    longest_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Streak {
    starts: u32,
    shortest_ms: u64,
    longest_ms: u64,
}

impl Habits {
    /// Whether changes of a path are passed over. That an app writes files beside it is nothing against its `script`.
    pub(super) fn is_paused(&self, path: &str, script: Option<&str>) -> bool {
        let by_folder = || script != Some(path) && self.paused.contains_key(folder_of(path));
        !self.paused.is_empty() && (self.paused.contains_key(path) || by_folder())
    }

    /// A path changes, and `started` is the app's last start. One that was quiet and changes long after a start, or later than
    /// it ever did, is not (only) written at starts: from now on it counts again.
    pub(super) fn changes(&mut self, path: &str, at: Mono, started: Option<Mono>) {
        let after_ms = started.map(|started| at.ms_since(started));
        for key in [path, folder_of(path)] {
            let Some(paused) = self.paused.get_mut(key) else { continue };
            let relapses = self.relapses.get(key).copied().unwrap_or(0);
            let at_start_ms = (paused.longest_ms * 3 / 2 + MARGIN_MS) << relapses.min(RELAPSES_MAX);
            let was_quiet = after_ms.is_some_and(|ms| ms > AT_START_MS) && at.ms_since(paused.last) > QUIET_MS;
            if was_quiet {
                self.relapses.remove(key);
            }
            if was_quiet || after_ms.is_some_and(|ms| ms > at_start_ms) {
                self.paused.remove(key);
                self.streaks.clear();
                if !was_quiet {
                    *self.relapses.entry(key.to_owned()).or_default() += 1;
                }
            } else {
                paused.last = at;
            }
        }
    }

    /// What the app is found to write at each start, as of this burst. `started`: its last start, by whatever reason.
    pub(super) fn judge(&mut self, burst: &Burst, started: Option<Mono>) -> Vec<String> {
        let mut now: BTreeMap<String, Streak> = BTreeMap::new();
        for (path, at) in &burst.paths {
            let Some(after_ms) = started.filter(|started| started <= at).map(|started| at.ms_since(started)) else {
                continue;
            };
            if after_ms > AT_START_MS {
                continue;
            }
            for key in [path.as_str(), folder_of(path)] {
                if !now.contains_key(key) {
                    now.insert(key.to_owned(), Streak::after(self.streaks.get(key), after_ms));
                }
            }
        }
        let of_path: Vec<String> =
            now.iter().filter(|(key, streak)| streak.starts >= self.needed(key)).map(|(key, _)| key.clone()).collect();
        self.streaks = now;
        let found: Vec<String> = of_path.into_iter().filter(|key| !self.is_paused(key, None)).collect();
        // A folder says no more than its one file does.
        let only_folders = found.iter().all(|key| key.ends_with('/'));
        let found: Vec<String> = found.into_iter().filter(|key| only_folders || !key.ends_with('/')).collect();
        let paused = |key: &String| {
            let longest_ms = self.streaks.get(key).map_or(0, |streak| streak.longest_ms);
            (key.clone(), Paused { last: burst.last, longest_ms })
        };
        self.paused.extend(found.iter().map(paused));
        found
    }

    /// In how many starts in a row it has to be written.
    fn needed(&self, key: &str) -> u32 {
        match (self.relapses.contains_key(key), key.ends_with('/')) {
            (true, _) => STARTS_AGAIN,
            (false, true) => STARTS_FOLDER,
            (false, false) => STARTS,
        }
    }

    /// For people; None where nothing is paused.
    pub(super) fn note(&self) -> Option<String> {
        let (first, _) = self.paused.first_key_value()?;
        let others = match self.paused.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let verb = if others.is_empty() && !first.ends_with('/') { "is" } else { "are" };
        let what = if first.ends_with('/') { "files in " } else { "" };
        Some(format!(
            "watch: {what}`{first}`{others} {verb} written by the app itself at each start (add it to ignore_watch)"
        ))
    }
}

impl Streak {
    fn after(before: Option<&Self>, after_ms: u64) -> Self {
        let first = Self { starts: 1, shortest_ms: after_ms, longest_ms: after_ms };
        let Some(before) = before else { return first };
        let (shortest_ms, longest_ms) = (before.shortest_ms.min(after_ms), before.longest_ms.max(after_ms));
        let spread_max = if longest_ms <= SOON_MS { SOON_MS } else { longest_ms / 5 };
        if longest_ms - shortest_ms > spread_max {
            return first;
        }
        Self { starts: before.starts + 1, shortest_ms, longest_ms }
    }
}

fn folder_of(path: &str) -> &str {
    path.rfind('/').map_or("./", |slash| &path[..=slash])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts and the moments after each at which paths change; after how many it is found out.
    fn found_after(turns: impl IntoIterator<Item = (u64, Vec<String>)>) -> Option<(usize, Vec<String>)> {
        let mut habits = Habits::default();
        for (turn, (after_ms, paths)) in turns.into_iter().enumerate() {
            let started = Mono(turn as u64 * 60_000);
            let at = started.plus_ms(after_ms);
            let mut burst = Burst::new(at, None);
            burst.add(paths, 1, false, at);
            let found = habits.judge(&burst, Some(started));
            if !found.is_empty() {
                assert!(found.iter().all(|path| habits.is_paused(path, None)));
                return Some((turn + 1, found));
            }
        }
        None
    }

    fn one(path: &str) -> Vec<String> {
        vec![path.to_owned()]
    }

    #[test]
    fn what_is_written_at_each_start_is_found() {
        let at = |after: &'static [u64]| (0..30_usize).map(|turn| (after[turn % after.len()], one("src/x.txt")));
        assert_eq!(found_after(at(&[3])), Some((8, one("src/x.txt"))));
        assert_eq!(found_after(at(&[3, 900, 40])), Some((8, one("src/x.txt"))));
        assert_eq!(found_after(at(&[5_000, 5_400])), Some((8, one("src/x.txt"))));
        // Somebody saves it again and again.
        assert_eq!(found_after(at(&[1_200, 2_400, 1_900, 1_400])), None);
        assert_eq!(found_after(at(&[11_000])), None);
        assert_eq!(found_after(at(&[3, 3, 3, 3, 3, 3, 3, 8_000])), None);
    }

    #[test]
    fn another_name_each_time_is_found_by_its_folder() {
        let turns = (0..30_usize).map(|turn| (20, vec![format!("tmp/{turn}.json")]));
        assert_eq!(found_after(turns), Some((12, one("tmp/"))));
        // Many files that a person changes in turn are not at each start.
        let turns = (0..30_usize).map(|turn| (3_000 * (turn as u64 % 3), vec![format!("src/{turn}.js")]));
        assert_eq!(found_after(turns), None);
    }

    /// Quick saves of a person look like an app's own at first.
    #[test]
    fn what_comes_later_than_it_ever_did_counts_again() {
        let mut habits = Habits::default();
        let saved = |habits: &mut Habits, started: u64, after_ms: u64| {
            let (started, at) = (Mono(started), Mono(started + after_ms));
            habits.changes("edit/m", at, Some(started));
            let counts = !habits.is_paused("edit/m", None);
            if counts {
                let mut burst = Burst::new(at, None);
                burst.add(one("edit/m"), 1, false, at);
                habits.judge(&burst, Some(started));
            }
            counts
        };
        for turn in 0..8 {
            assert!(saved(&mut habits, turn * 750, 750));
        }
        // The eighth was found to be one too many, and the next comes too soon.
        assert!(!saved(&mut habits, 6_000, 750));
        assert!(saved(&mut habits, 6_000, 1_500), "no app that writes at its start");
        // One that writes all the time is found at once, and is tried again later each time.
        let (mut now, mut tries) = (10_000, Vec::new());
        let mut started = now;
        while now < 200_000 {
            now += 700;
            if saved(&mut habits, started, now - started) {
                tries.push(now / 1_000);
                started = now;
            }
        }
        assert!(tries.len() < 25, "{tries:?}");
    }

    #[test]
    fn the_note_names_what_and_the_way_out() {
        let mut habits = Habits::default();
        assert_eq!(habits.note(), None);
        habits.paused.insert("src/x.txt".to_owned(), Paused { last: Mono(0), longest_ms: 30_000 });
        let note = habits.note().unwrap();
        assert_eq!(note, "watch: `src/x.txt` is written by the app itself at each start (add it to ignore_watch)");
        habits.paused.insert("tmp/".to_owned(), Paused { last: Mono(9_990_000), longest_ms: 30_000 });
        assert!(habits.note().unwrap().contains("`src/x.txt` and 1 more are written"));
        assert!(habits.is_paused("tmp/a", None) && !habits.is_paused("tmp/a/b", None) && !habits.is_paused("a", None));
        assert!(!habits.is_paused("tmp/a", Some("tmp/a")), "its own code");
        // Somebody else's change, when all was quiet.
        habits.changes("tmp/a", Mono(10_000_000), Some(Mono(9_999_000)));
        assert!(habits.is_paused("tmp/a", None), "at a start");
        habits.changes("tmp/a", Mono(10_030_000), Some(Mono(9_999_000)));
        assert!(habits.is_paused("tmp/a", None), "not quiet");
        habits.changes("tmp/a", Mono(10_100_000), Some(Mono(9_999_000)));
        assert!(!habits.is_paused("tmp/a", None));
    }
}
