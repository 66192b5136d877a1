use std::collections::{BTreeMap, BTreeSet};

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
/// soon found again.
const MARGIN_MS: u64 = 200;
const STARTS_AGAIN: u32 = 2;
/// Nobody waits longer than this for what is passed over to be answered all the same: that it was the app's own is put to the
/// test.
const HELD_MS: u64 = 10_000;
/// After so many starts in a row at which it was written again nobody has to be in doubt any more: a person would have had to
/// save it right after each, for minutes. It is passed over for good where it comes at no other time, else held ever longer.
const TESTS: u32 = 20;
const HELD_MS_MAX: u64 = 3_600_000;
const DOUBLINGS_MAX: u32 = 10;
const OTHERS_SHOWN: usize = 3;

/// What an app writes at each start. Without it, a file that is watched and written at start is a restart for ever.
///
/// It may be wrong about that, when a person saves a file at even intervals, say. What was passed over is therefore answered
/// all the same, a little later: if it is not written again at that start, it was somebody else's change, and counts from then
/// on.
///
/// Who wrote a file nobody can tell. What starts each time between this app's start and the change may have done it as well.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// By path, or by folder with a `/` at its end.
    streaks: BTreeMap<String, Streak>,
    paused: BTreeMap<String, Paused>,
    /// What was found and is not only written at starts.
    relapsed: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Paused {
    /// What of it changed last, and when.
    path: String,
    last: Mono,
    /// The first change since the last start.
    first: Mono,
    /// The earliest and the latest that it did after a start when it was found.
    shortest_ms: u64,
    longest_ms: u64,
    /// At how many starts since then it was written again.
    again: u32,
    /// And at no other time.
    only_then: bool,
    /// When it was last put to the test.
    tested: Option<Mono>,
    /// Apps that were started each time before it changed.
    others: BTreeSet<String>,
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

#[derive(Clone, Debug, Default)]
struct Streak {
    starts: u32,
    shortest_ms: u64,
    longest_ms: u64,
    others: BTreeSet<String>,
}

impl Habits {
    /// Whether changes of a path are passed over. That an app writes files beside it is nothing against its `script`.
    pub(super) fn is_paused(&self, path: &str, script: Option<&str>) -> bool {
        let by_folder = || script != Some(path) && self.paused.contains_key(folder_of(path));
        !self.paused.is_empty() && (self.paused.contains_key(path) || by_folder())
    }

    /// A path changes, and `started` is the app's last start, after which `others` were started. One that was quiet and changes
    /// long after a start, or later than it ever did, is not (only) written at starts: from now on it counts again.
    pub(super) fn changes(&mut self, path: &str, at: Mono, started: Option<Mono>, others: &BTreeSet<String>) {
        let after_ms = started.map(|started| at.ms_since(started));
        for key in [path, folder_of(path)] {
            let Some(paused) = self.paused.get_mut(key) else { continue };
            let is_late = after_ms.is_some_and(|ms| ms > paused.at_start_ms().max(AT_START_MS));
            let was_quiet = is_late && at.ms_since(paused.last) > QUIET_MS;
            let is_later = after_ms.is_some_and(|ms| ms > paused.at_start_ms());
            if was_quiet || is_later && !self.relapsed.contains(key) {
                self.paused.remove(key);
                self.streaks.clear();
                if was_quiet {
                    self.relapsed.remove(key);
                } else {
                    self.relapsed.insert(key.to_owned());
                }
                continue;
            }
            if started.is_some_and(|started| started > paused.last) {
                paused.first = at;
                paused.again = paused.again.saturating_add(1);
                paused.others.retain(|other| others.contains(other));
            }
            paused.only_then &= after_ms.is_some_and(|ms| paused.is_own(ms));
            (paused.last, paused.path) = (at, path.to_owned());
        }
    }

    /// What is to be done next, and when.
    pub(super) fn duty(&self, starts: &Starts) -> Option<(Mono, Duty)> {
        let duty = |(key, paused): (&String, &Paused)| {
            if starts.oldest.is_some_and(|oldest| oldest <= paused.last) {
                let held_ms = paused.held_ms()?;
                let since = paused.tested.map_or(paused.first, |tested| tested.max(paused.first));
                let duty = Duty::Restart { path: paused.path.clone(), changed: paused.last };
                return Some((since.plus_ms(held_ms), duty));
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
        self.relapsed.remove(key);
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
                    now.insert(key.to_owned(), Streak::after(self.streaks.get(key), after_ms, &burst.others));
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
            let Streak { shortest_ms, longest_ms, others, .. } = self.streaks.get(key).cloned().unwrap_or_default();
            let path = burst.paths.iter().map(|(path, _)| path).find(|path| *path == key || folder_of(path) == key);
            let paused = Paused {
                path: path.unwrap_or(key).clone(),
                last: burst.last,
                first: burst.first,
                shortest_ms,
                longest_ms,
                again: 0,
                only_then: true,
                tested: None,
                others,
            };
            (key.clone(), paused)
        };
        self.paused.extend(found.iter().map(paused));
        found
    }

    /// In how many starts in a row it has to be written.
    fn needed(&self, key: &str) -> u32 {
        match (self.relapsed.contains(key), key.ends_with('/')) {
            (true, _) => STARTS_AGAIN,
            (false, true) => STARTS_FOLDER,
            (false, false) => STARTS,
        }
    }

    /// For people; None where nothing is paused.
    pub(super) fn note(&self) -> Option<String> {
        let (first, paused) = self.paused.first_key_value()?;
        let more = match self.paused.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let verb = if more.is_empty() && !first.ends_with('/') { "seems" } else { "seem" };
        let what = if first.ends_with('/') { "files in " } else { "" };
        let others: Vec<String> = paused.others.iter().take(OTHERS_SHOWN).map(|app| format!("`{app}`")).collect();
        let by = match (others.as_slice(), paused.others.len()) {
            ([], _) => "the app itself after each start".to_owned(),
            ([one], _) => format!("{one}, which starts each time before that, or by the app itself after each start"),
            (some, count) => {
                let more = if count > some.len() { format!(" or {} more", count - some.len()) } else { String::new() };
                let some = some.join(" or ");
                format!("{some}{more}, which start each time before that, or by the app itself after each start")
            }
        };
        Some(format!("watch: {what}`{first}`{more} {verb} to be written by {by} (add it to ignore_watch)"))
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

    /// How long after the first of them changes are answered; None when they are the app's own without a doubt.
    fn held_ms(&self) -> Option<u64> {
        let Some(beyond) = self.again.checked_sub(TESTS) else { return Some(HELD_MS) };
        (!self.only_then).then(|| (HELD_MS << (beyond + 1).min(DOUBLINGS_MAX)).min(HELD_MS_MAX))
    }
}

impl Streak {
    fn after(before: Option<&Self>, after_ms: u64, others: &BTreeSet<String>) -> Self {
        let first = Self { starts: 1, shortest_ms: after_ms, longest_ms: after_ms, others: others.clone() };
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
        let others = before.others.intersection(others).cloned().collect();
        Self { starts: before.starts + 1, shortest_ms, longest_ms, others }
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
            let mut burst = Burst::new(at, None, BTreeSet::new());
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
            habits.changes("edit/m", at, Some(started), &BTreeSet::new());
            let counts = !habits.is_paused("edit/m", None);
            if counts {
                let mut burst = Burst::new(at, None, BTreeSet::new());
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
        // One that writes all the time is found at once.
        let (mut now, mut started, mut counted) = (10_000, 10_000, 0);
        while now < 200_000 {
            now += 700;
            if saved(&mut habits, started, now - started) {
                counted += 1;
                started = now;
            }
        }
        assert_eq!(counted, STARTS_AGAIN);
    }

    #[test]
    fn who_may_have_written_it_is_who_starts_each_time_in_between() {
        let name = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let note = |others: &dyn Fn(u64) -> BTreeSet<String>| {
            let mut habits = Habits::default();
            for turn in 0..8 {
                let (started, at) = (Mono(turn * 1_000), Mono(turn * 1_000 + 200));
                let mut burst = Burst::new(at, None, others(turn));
                burst.add(one("in/x"), 1, false, at);
                habits.judge(&burst, Some(started));
            }
            (habits.note().unwrap(), habits)
        };
        let itself = "watch: `in/x` seems to be written by the app itself after each start (add it to ignore_watch)";
        assert_eq!(note(&|_| name(&[])).0, itself);
        assert_eq!(note(&|turn| if turn % 3 == 0 { name(&["b"]) } else { name(&[]) }).0, itself);
        let (text, mut habits) = note(&|turn| if turn % 3 == 0 { name(&["b"]) } else { name(&["b", "c"]) });
        let or_b = "watch: `in/x` seems to be written by `b`, which starts each time before that, or by the app itself \
                    after each start (add it to ignore_watch)";
        assert_eq!(text, or_b);
        let text = note(&|_| name(&["b", "c", "d", "e"])).0;
        assert!(text.contains("by `b` or `c` or `d` or 1 more, which start each time before that, or by"), "{text}");
        // It is put to the test, and written without `b` having been started.
        habits.changes("in/x", Mono(20_200), Some(Mono(20_000)), &name(&["b"]));
        assert_eq!(habits.note().unwrap(), or_b);
        habits.changes("in/x", Mono(40_200), Some(Mono(40_000)), &name(&["c"]));
        assert_eq!(habits.note().unwrap(), itself);
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
                habits.changes(path, Mono(now), Some(at), &BTreeSet::new());
                if habits.is_paused(path, None) {
                    continue;
                }
                let mut burst = Burst::new(Mono(now), Some(at), BTreeSet::new());
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

    /// How long the longest waited for a start that has seen it.
    fn longest_wait(written: &[u64], starts: &[u64]) -> u64 {
        let wait = |at: &u64| starts.iter().find(|start| *start > at).map_or(u64::MAX, |start| start - at);
        written.iter().map(wait).max().unwrap_or(0)
    }

    #[test]
    fn each_save_of_a_person_is_answered_however_evenly_they_come() {
        for interval in [300, 750, 1_000, 2_000, 3_300, 5_000, 9_000, 12_000, 20_000] {
            for saves in (1..60).filter(|saves| saves * interval <= 240_000) {
                let next = |_, last| (last < interval * saves).then_some(last + interval);
                let (written, starts, habits) = life(10_000_000, next);
                let longest = longest_wait(&written, &starts);
                assert!(longest < 10_100, "{saves} every {interval}: {longest}, {written:?}, {starts:?}");
                assert_eq!(habits.note(), None, "and from then on it counts at once");
            }
        }
    }

    #[test]
    fn somebody_who_saves_right_after_each_restart_does_not_wait_longer_and_longer() {
        for offset in [5, 200, 1_500, 4_000] {
            let next = |started, last| (last < started + offset).then_some(started + offset);
            let (written, starts, _) = life(600_000, next);
            let longest = longest_wait(&written[..26], &starts);
            assert!(longest < 10_100, "{offset} after each: {longest}, {written:?}, {starts:?}");
        }
    }

    #[test]
    fn what_an_app_writes_at_each_start_restarts_it_some_times_and_no_more() {
        for offset in [1, 40, 900, 4_000, 30_000] {
            let next = |started, last| (last < started + offset).then_some(started + offset);
            let (_, starts, habits) = life(100_000_000, next);
            assert_eq!(starts.len(), 28, "{offset}: {starts:?}");
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
            first: Mono(last),
            shortest_ms: 0,
            longest_ms: 3_000,
            again: 0,
            only_then: true,
            tested: None,
            others: BTreeSet::new(),
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
        habits.changes("tmp/a", Mono(10_000_000), Some(Mono(9_999_000)), &BTreeSet::new());
        assert!(habits.is_paused("tmp/a", None), "at a start");
        habits.changes("tmp/a", Mono(10_100_000), Some(Mono(9_999_000)), &BTreeSet::new());
        assert!(!habits.is_paused("tmp/a", None));
    }
}
