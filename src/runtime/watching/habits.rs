use std::collections::BTreeMap;

use super::burst::Burst;
use crate::base::Mono;

/// A change that comes later than this after a start has to do with it only if it comes at the same moment each time.
const AT_START_MS: u64 = 10_000;
/// And one that comes later than this has not.
const AFTER_START_MS: u64 = 300_000;
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
/// That what is passed over was the app's own is put to the test when nothing has come for so long, twice as long each time.
const QUIET_BEFORE_TEST_MS: u64 = 10_000;
/// After so many starts at which it was written again nobody has to be in doubt any more. A person would have had to save it
/// right after each.
const TESTS: u32 = 4;
const TEST_PAUSE_MS_MAX: u64 = 3_600_000;

/// What an app writes at each start. Without it, a file that is watched and written at start is a restart for ever.
///
/// It may be wrong about that, when a person saves a file at even intervals, say. What was passed over is therefore answered
/// all the same, once it has become quiet: if it is not written again at that start, it was somebody else's change, and counts
/// from then on.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// By path, or by folder with a `/` at its end.
    streaks: BTreeMap<String, Streak>,
    paused: BTreeMap<String, Paused>,
    /// How often each was found that was not only written at starts.
    relapses: BTreeMap<String, u32>,
}

#[derive(Clone, Debug)]
struct Paused {
    /// What of it changed last, and when.
    path: String,
    last: Mono,
    /// How long after a start that was.
    after_ms: u64,
    /// The earliest and the latest that it did after a start when it was found.
    shortest_ms: u64,
    longest_ms: u64,
    /// At how many starts since then it was written again.
    confirmed: u32,
    /// When it was last put to the test.
    tested: Option<Mono>,
}

/// When an app's processes were asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Starts {
    /// Of those that run on: what changed since then, not all of them have seen.
    pub(super) oldest: Option<Mono>,
    pub(super) newest: Option<Mono>,
}

/// What is to be done about something that is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Somebody's change may have been among what was passed over: this path, at that time.
    Restart { path: String, changed: Mono },
    /// It was not written at the last start, by this key: it is not the app's own.
    Count { key: String },
}

#[derive(Clone, Copy, Debug, Default)]
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
            let at_start_ms = paused.at_start_ms() << relapses.min(RELAPSES_MAX);
            let is_late = after_ms.is_some_and(|ms| ms > paused.at_start_ms().max(AT_START_MS));
            let was_quiet = is_late && at.ms_since(paused.last) > QUIET_MS;
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
                let is_first = started.is_some_and(|started| started > paused.last);
                if is_first && after_ms.is_some_and(|ms| paused.is_own(ms)) {
                    paused.confirmed = paused.confirmed.saturating_add(1);
                }
                (paused.last, paused.path) = (at, path.to_owned());
                paused.after_ms = after_ms.unwrap_or(u64::MAX);
            }
        }
    }

    /// What is to be done next, and when.
    pub(super) fn duty(&self, starts: &Starts) -> Option<(Mono, Duty)> {
        let duty = |(key, paused): (&String, &Paused)| {
            if starts.oldest.is_some_and(|oldest| oldest <= paused.last) {
                let wait_ms = paused.wait_ms()?;
                let since = paused.tested.map_or(paused.last, |tested| tested.max(paused.last));
                let duty = Duty::Restart { path: paused.path.clone(), changed: paused.last };
                return Some((since.plus_ms(wait_ms), duty));
            }
            let newest = starts.newest.filter(|newest| *newest > paused.last)?;
            Some((newest.plus_ms(paused.at_start_ms().max(AT_START_MS)), Duty::Count { key: key.clone() }))
        };
        self.paused.iter().filter_map(duty).min_by_key(|(due, _)| *due)
    }

    /// That what is passed over is put to the test now.
    pub(super) fn tests(&mut self, now: Mono) {
        for paused in self.paused.values_mut() {
            paused.tested = Some(now);
        }
    }

    /// From now on it counts again, as if it had never been found.
    pub(super) fn count(&mut self, key: &str) {
        self.paused.remove(key);
        self.relapses.remove(key);
        self.streaks.remove(key);
    }

    /// What the app is found to write at each start, as of this burst. `started`: its last start, by whatever reason.
    pub(super) fn judge(&mut self, burst: &Burst, started: Option<Mono>) -> Vec<String> {
        let mut now: BTreeMap<String, Streak> = BTreeMap::new();
        for (path, at) in &burst.paths {
            let Some(after_ms) = started.filter(|started| started <= at).map(|started| at.ms_since(started)) else {
                continue;
            };
            if after_ms > AFTER_START_MS {
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
            let Streak { shortest_ms, longest_ms, .. } = self.streaks.get(key).copied().unwrap_or_default();
            let after_ms = started.map_or(0, |started| burst.last.ms_since(started));
            let path = burst.paths.iter().map(|(path, _)| path).find(|path| *path == key || folder_of(path) == key);
            let path = path.unwrap_or(key).clone();
            (
                key.clone(),
                Paused { path, last: burst.last, after_ms, shortest_ms, longest_ms, confirmed: 0, tested: None },
            )
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
        let verb = if others.is_empty() && !first.ends_with('/') { "seems" } else { "seem" };
        let what = if first.ends_with('/') { "files in " } else { "" };
        Some(format!(
            "watch: {what}`{first}`{others} {verb} to be written by the app itself after each start (add it to ignore_watch)"
        ))
    }
}

impl Paused {
    /// Later than this after a start it is not what is written then.
    fn at_start_ms(&self) -> u64 {
        self.longest_ms * 3 / 2 + MARGIN_MS
    }

    /// Whether it is what is written at a start, by its moment.
    fn is_own(&self, after_ms: u64) -> bool {
        (self.shortest_ms * 2 / 3).saturating_sub(MARGIN_MS) <= after_ms && after_ms <= self.at_start_ms()
    }

    /// How long it has to be quiet before the last change is answered; None when that was the app's own without a doubt.
    fn wait_ms(&self) -> Option<u64> {
        let is_own = self.confirmed >= TESTS && self.is_own(self.after_ms);
        let pause_ms = QUIET_BEFORE_TEST_MS << self.confirmed.min(RELAPSES_MAX);
        (!is_own).then_some(pause_ms.min(TEST_PAUSE_MS_MAX))
    }
}

impl Streak {
    fn after(before: Option<&Self>, after_ms: u64) -> Self {
        let first = Self { starts: 1, shortest_ms: after_ms, longest_ms: after_ms };
        let Some(before) = before else { return first };
        let (shortest_ms, longest_ms) = (before.shortest_ms.min(after_ms), before.longest_ms.max(after_ms));
        let spread_max = match longest_ms {
            ..=SOON_MS => SOON_MS,
            ms if ms <= AT_START_MS => longest_ms / 5,
            // Of so long a time, a timer is that exact, give or take how long a start takes.
            _ => SOON_MS.max(longest_ms / 50),
        };
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
        assert_eq!(found_after(at(&[30_000, 30_300])), Some((8, one("src/x.txt"))), "every half a minute");
        assert_eq!(found_after(at(&[20_100, 20_700, 20_300])), Some((8, one("src/x.txt"))), "by a timer");
        assert_eq!(found_after(at(&[11_000, 12_500])), None);
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

    /// A life of one file that is watched: `next` says when it is written, by the last start and the last writing. The times
    /// of writing and of starting.
    fn life(until: u64, next: impl Fn(u64, u64) -> Option<u64>) -> (Vec<u64>, Vec<u64>, Habits) {
        let (mut habits, path) = (Habits::default(), "src/x.js");
        let (mut written, mut starts, mut now) = (Vec::new(), vec![0], 0);
        while now < until {
            let started = starts[starts.len() - 1];
            let at = Mono(started);
            let duty = habits.duty(&Starts { oldest: Some(at), newest: Some(at) });
            let write = next(started, written.last().copied().unwrap_or(0)).filter(|at| *at > now);
            let due = duty.as_ref().map(|(due, _)| due.0.max(now));
            let Some(then) = write.into_iter().chain(due).min() else { break };
            now = then;
            if write == Some(now) {
                written.push(now);
                habits.changes(path, Mono(now), Some(at));
                if habits.is_paused(path, None) {
                    continue;
                }
                let mut burst = Burst::new(Mono(now), Some(at));
                burst.add(one(path), 1, false, Mono(now));
                if habits.judge(&burst, Some(at)).is_empty() {
                    now += 1;
                    starts.push(now);
                }
                continue;
            }
            match duty.map(|(_, duty)| duty) {
                Some(Duty::Restart { changed, .. }) => {
                    assert!(changed >= at);
                    habits.tests(Mono(now));
                    now += 1;
                    starts.push(now);
                }
                Some(Duty::Count { key }) => habits.count(&key),
                None => {}
            }
        }
        (written, starts, habits)
    }

    #[test]
    fn the_last_save_of_a_person_is_answered_however_evenly_they_come() {
        for interval in [300, 750, 1_000, 2_000, 3_300, 5_000, 9_000, 20_000] {
            for saves in 1..40 {
                let next = |_, last| (last < interval * saves).then_some(last + interval);
                let (written, starts, habits) = life(10_000_000, next);
                let (last, seen) = (written[written.len() - 1], starts[starts.len() - 1]);
                assert!(seen > last && seen < last + 10_100, "{saves} every {interval}: {last}, {seen}");
                assert_eq!(habits.note(), None, "and from then on it counts at once");
            }
        }
    }

    #[test]
    fn what_an_app_writes_at_each_start_restarts_it_a_few_times_and_no_more() {
        for offset in [1, 40, 900, 4_000, 30_000] {
            let next = |started, last| (last < started + offset).then_some(started + offset);
            let (_, starts, habits) = life(100_000_000, next);
            assert_eq!(starts.len(), 12, "{offset}: {starts:?}");
            assert!(habits.note().is_some_and(|note| note.contains("src/x.js")));
        }
        // All the time: ever less often.
        let (_, starts, _) = life(24 * 3_600_000, |_, last| Some(last + 700));
        assert!(starts.len() < 200, "{}", starts.len());
        // Twice at each start, the second time late.
        let late = |started, last| [300, 2_000].into_iter().map(|ms| started + ms).find(|at| *at > last);
        let (_, starts, _) = life(24 * 3_600_000, late);
        assert!(starts.len() < 80, "{}", starts.len());
    }

    #[test]
    fn the_note_names_what_and_the_way_out() {
        let mut habits = Habits::default();
        assert_eq!(habits.note(), None);
        let paused = |path: &str, last| Paused {
            path: path.to_owned(),
            last: Mono(last),
            after_ms: 0,
            shortest_ms: 0,
            longest_ms: 3_000,
            confirmed: 0,
            tested: None,
        };
        habits.paused.insert("src/x.txt".to_owned(), paused("src/x.txt", 0));
        let note = habits.note().unwrap();
        assert_eq!(
            note,
            "watch: `src/x.txt` seems to be written by the app itself after each start (add it to ignore_watch)"
        );
        habits.paused.insert("tmp/".to_owned(), paused("tmp/a", 9_990_000));
        assert!(habits.note().unwrap().contains("`src/x.txt` and 1 more seem to be written"));
        assert!(habits.is_paused("tmp/a", None) && !habits.is_paused("tmp/a/b", None) && !habits.is_paused("a", None));
        assert!(!habits.is_paused("tmp/a", Some("tmp/a")), "its own code");
        // Somebody else's change, when all was quiet.
        habits.changes("tmp/a", Mono(10_000_000), Some(Mono(9_999_000)));
        assert!(habits.is_paused("tmp/a", None), "at a start");
        habits.changes("tmp/a", Mono(10_100_000), Some(Mono(9_999_000)));
        assert!(!habits.is_paused("tmp/a", None));
    }
}
