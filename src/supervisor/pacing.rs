//! How fast what ended is started again.

use super::LaunchId;
use crate::spec::RestartPolicy;

/// PM2's longest wait between two starts.
const BACKOFF_MS_MAX: u64 = 15_000;
/// A run that is shorter is never a stable one, whatever `min_uptime` says: an app that ends at once would be started
/// hundreds of times a second for ever. PM2 refuses a `min_uptime` below it.
const STABLE_MS_MIN: u64 = 100;
/// From the second short run in a row on, starts are at least so far apart: PM2 was seen at 13 a second for ever.
const BETWEEN_STARTS_MS: u64 = 100;
/// PM2's `max_restarts`. Where more are allowed, those beyond come later and later; where fewer are, a run makes up for
/// them no sooner: the stricter rule must not be the laxer one.
const RESTARTS_USUAL: u32 = 16;
/// A run of this length ends a backoff, as PM2's `EXP_BACKOFF_RESET_TIMER`.
const BACKOFF_RESET_MS: u64 = 30_000;
/// An app that has run for this long is out of its crash loop, however many runs a loop is made of.
const WINDOW_MS_MAX: u64 = 60_000;
/// The first wait of one that keeps crashing, each time after it had come up.
const CRASH_BACKOFF_MS: u64 = 100;
/// How long to wait before trying again to start what could not be started: the reason (no memory, too many
/// processes, a script that is just being replaced) does not go away in no time.
const SPAWN_RETRY_MS: u64 = 1_000;

/// How the last run of an instance went, as far as its next start depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Run {
    /// It did not come up: shorter than `min_uptime`.
    Short,
    /// It came up, and ended before it was out of a crash loop that it may be in.
    Doubtful,
    Long,
}

pub(super) fn judged(uptime_ms: u64, rules: &RestartPolicy) -> Run {
    let stable = rules.min_uptime_ms.max(STABLE_MS_MIN);
    if uptime_ms < stable {
        Run::Short
    } else if uptime_ms < window_ms(rules) {
        Run::Doubtful
    } else {
        Run::Long
    }
}

/// As long as `max_restarts` runs of `min_uptime` take, or PM2's 16: PM2's own measure of a crash loop, which it applies to an app's
/// age, so that an old one may crash for ever. Here it is the length of a run that makes up for the short ones before.
fn window_ms(rules: &RestartPolicy) -> u64 {
    let stable = rules.min_uptime_ms.max(STABLE_MS_MIN);
    stable.saturating_mul(u64::from(rules.max_restarts.max(RESTARTS_USUAL))).clamp(stable, stable.max(WINDOW_MS_MAX))
}

/// Whether a run was long enough for the backoff to begin anew.
pub(super) fn ends_backoff(uptime_ms: u64, rules: &RestartPolicy) -> bool {
    let configured = if rules.backoff_ms == 0 { window_ms(rules) } else { BACKOFF_RESET_MS };
    uptime_ms >= configured.max(rules.min_uptime_ms)
}

/// What happened before a start that is due.
pub(super) struct Ended {
    pub(super) uptime_ms: u64,
    pub(super) run: Run,
    /// Not with success.
    pub(super) crashed: bool,
    /// Short runs since the last long one.
    pub(super) unstable: u32,
    /// Waits so far of the backoff.
    pub(super) backoff: u32,
}

/// How long to wait before the next start, and whether that is a turn of the backoff.
///
/// What is configured holds as it is, but for the short runs beyond PM2's sixteen, which come later and later. Without it
/// the first crash costs no time; who crashes again and again waits.
pub(super) fn wait(ended: &Ended, rules: &RestartPolicy, launch: LaunchId) -> (u64, bool) {
    // However short the waits are that somebody asks for.
    let apart = match ended.run {
        Run::Short if ended.unstable > 1 => BETWEEN_STARTS_MS.saturating_sub(ended.uptime_ms),
        Run::Short | Run::Doubtful | Run::Long => 0,
    };
    if rules.backoff_ms > 0 {
        return (jittered(backoff_ms(rules.backoff_ms, ended.backoff), launch).max(apart), true);
    }
    match ended.run {
        Run::Short if ended.unstable > RESTARTS_USUAL => {
            let backoff = jittered(backoff_ms(BETWEEN_STARTS_MS, ended.unstable - RESTARTS_USUAL), launch);
            (backoff.max(rules.delay_ms), false)
        }
        _ if rules.delay_ms > 0 => (rules.delay_ms, false),
        Run::Short if ended.unstable > 1 => (apart, false),
        // One that ends with success again and again does its work in runs.
        Run::Doubtful if ended.crashed => match ended.backoff.checked_sub(1) {
            None => (0, true),
            Some(turn) => (jittered(backoff_ms(CRASH_BACKOFF_MS, turn), launch), true),
        },
        Run::Short | Run::Doubtful | Run::Long => (0, false),
    }
}

/// How long to wait before what could not be started is tried again, after `failures`.
pub(super) fn spawn_retry_ms(failures: u32, rules: &RestartPolicy, launch: LaunchId) -> u64 {
    rules.delay_ms.max(jittered(backoff_ms(SPAWN_RETRY_MS, failures.saturating_sub(1)), launch))
}

/// How long the exponential backoff waits the `attempt`th time, counted from 0. Who begins with more than PM2's longest wait
/// means it.
pub(super) fn backoff_ms(first: u64, attempt: u32) -> u64 {
    // Rounded down at each turn as PM2 does, so that the series is the same number by number; but for 1, of which that makes 1.
    let longest = first.max(BACKOFF_MS_MAX);
    let mut delay = first;
    for _ in 0..attempt {
        if delay >= longest {
            break;
        }
        delay = (delay.saturating_mul(3) / 2).max(delay + 1).min(longest);
    }
    delay
}

/// Up to a tenth longer, differently for each launch: what fell together, because the same database went away, must not
/// rise together again and again.
fn jittered(ms: u64, launch: LaunchId) -> u64 {
    ms + (ms / 10) * spread(launch) / 1_000
}

/// Up to a tenth less: what was started together shall not be old together.
pub(super) fn age_ms(max_age_ms: u64, launch: LaunchId) -> u64 {
    max_age_ms - (max_age_ms / 10) * spread(launch) / 1_000
}

/// A tenth more or less.
pub(super) fn around(ms: u64, launch: LaunchId) -> u64 {
    ms - ms / 10 + (ms / 5) * spread(launch) / 1_000
}

/// 0 to 1,000, evenly: a step of `SplitMix64`, which takes numbers in a row far apart.
fn spread(launch: LaunchId) -> u64 {
    let mut bits = launch.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (bits ^ (bits >> 31)) % 1_001
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(change: impl FnOnce(&mut RestartPolicy)) -> RestartPolicy {
        let mut rules = RestartPolicy::default();
        change(&mut rules);
        rules
    }

    #[test]
    fn the_backoff_is_pm2s_series() {
        let series: Vec<u64> = (0..15).map(|attempt| backoff_ms(100, attempt)).collect();
        let pm2 = [100, 150, 225, 337, 505, 757, 1135, 1702, 2553, 3829, 5743, 8614, 12921, 15000, 15000];
        assert_eq!(series, pm2);
        assert_eq!((backoff_ms(60_000, 0), backoff_ms(60_000, 3)), (60_000, 60_000));
        let least: Vec<u64> = (0..8).map(|attempt| backoff_ms(1, attempt)).collect();
        assert_eq!(least, [1, 2, 3, 4, 6, 9, 13, 19]);
        // However little it begins with, there are never more than ten starts a second.
        let ended = |unstable| Ended { uptime_ms: 5, run: Run::Short, crashed: true, unstable, backoff: 2 };
        let waits = |unstable| wait(&ended(unstable), &rules(|r| r.backoff_ms = 1), LaunchId(1)).0;
        assert_eq!([waits(1), waits(2), waits(9)], [3, 95, 95]);
    }

    #[test]
    fn what_a_run_was() {
        let usual = rules(|_| {});
        let table = [(0, Run::Short), (999, Run::Short), (1_000, Run::Doubtful), (15_999, Run::Doubtful)];
        for (uptime, want) in table.into_iter().chain([(16_000, Run::Long)]) {
            assert_eq!(judged(uptime, &usual), want, "{uptime}");
        }
        let none = rules(|r| r.min_uptime_ms = 0);
        assert_eq!((judged(99, &none), judged(1_600, &none)), (Run::Short, Run::Long));
        // The stricter rule forgets no sooner.
        for few in [0, 1, 5] {
            let few = rules(|r| r.max_restarts = few);
            assert_eq!((judged(15_999, &few), judged(16_000, &few)), (Run::Doubtful, Run::Long));
        }
        let endless = rules(|r| r.max_restarts = 1_000_000);
        assert_eq!((judged(59_999, &endless), judged(60_000, &endless)), (Run::Doubtful, Run::Long));
    }

    #[test]
    fn the_first_crash_costs_no_time_and_the_next_ones_do() {
        let wait = |run, uptime_ms, crashed, unstable, backoff| {
            wait(&Ended { uptime_ms, run, crashed, unstable, backoff }, &rules(|_| {}), LaunchId(1)).0
        };
        assert_eq!(wait(Run::Short, 5, true, 1, 0), 0);
        assert_eq!(wait(Run::Short, 5, true, 2, 0), 95);
        assert_eq!(wait(Run::Short, 5, false, 9, 0), 95);
        assert_eq!((wait(Run::Short, 500, true, 9, 0), wait(Run::Short, 5, true, 16, 0)), (0, 95));
        // Where more are allowed than is usual, later and later.
        assert!((150..=165).contains(&wait(Run::Short, 5, true, 17, 0)));
        assert!((15_000..=16_500).contains(&wait(Run::Short, 5, true, 99, 0)));
        assert_eq!(wait(Run::Doubtful, 1_500, true, 0, 0), 0);
        assert!((100..=110).contains(&wait(Run::Doubtful, 1_500, true, 0, 1)));
        assert!((15_000..=16_500).contains(&wait(Run::Doubtful, 1_500, true, 0, 99)));
        assert_eq!(wait(Run::Doubtful, 1_500, false, 0, 5), 0);
        assert_eq!(wait(Run::Long, 60_000, true, 0, 0), 0);
    }

    #[test]
    fn what_is_configured_holds() {
        let ended = Ended { uptime_ms: 5, run: Run::Short, crashed: true, unstable: 9, backoff: 1 };
        assert_eq!(wait(&ended, &rules(|r| r.delay_ms = 7), LaunchId(1)), (7, false));
        let endless = |delay_ms, unstable| {
            wait(
                &Ended { unstable, ..ended },
                &rules(|r| (r.delay_ms, r.max_restarts) = (delay_ms, 1_000_000)),
                LaunchId(1),
            )
            .0
        };
        assert_eq!((endless(50, 16), endless(3_000, 16), endless(3_000, 20)), (50, 3_000, 3_000));
        assert!((150..=165).contains(&endless(50, 17)) && (15_000..=16_500).contains(&endless(3_000, 99)));
        let (ms, turn) = wait(&ended, &rules(|r| r.backoff_ms = 1_000), LaunchId(1));
        assert!((1_500..=1_650).contains(&ms) && turn);
    }

    #[test]
    fn jitter_keeps_within_a_tenth_and_leaves_no_herd() {
        const LAUNCHES: u64 = 1_000;
        let month = 30 * 24 * 3_600_000;
        for ms in [0, 1, 9, 10, 99, 1_000, 15_000, 60_000, 3_600_000, month] {
            for launch in (0..LAUNCHES).chain([u64::MAX]).map(LaunchId) {
                assert!((ms..=ms + ms / 10).contains(&jittered(ms, launch)), "backoff of {ms}");
                assert!((ms - ms / 10..=ms).contains(&age_ms(ms, launch)), "age of {ms}");
                assert!((ms - ms / 10..=ms + ms / 10).contains(&around(ms, launch)), "check every {ms}");
            }
        }
        // Whatever launches follow each other: of a hundred equal parts of the time none has more than three times its share.
        let kinds: [fn(u64, LaunchId) -> u64; 3] = [jittered, age_ms, around];
        for (first, kind) in [0, 1_000_000].into_iter().flat_map(|first| kinds.map(|kind| (first, kind))) {
            let mut all: Vec<u64> = (first..first + LAUNCHES).map(|launch| kind(1_000_000, LaunchId(launch))).collect();
            all.sort_unstable();
            let width = (all[all.len() - 1] - all[0]) / 100 + 1;
            let most = all.iter().map(|from| all.iter().filter(|at| (*from..from + width).contains(*at)).count()).max();
            assert!(most <= Some(30), "{most:?} of 1,000 in one part of a hundred");
        }
    }

    #[test]
    fn launches_are_spread() {
        let ages: std::collections::BTreeSet<u64> = (0..50).map(|launch| age_ms(10_000, LaunchId(launch))).collect();
        assert!(ages.len() > 40 && ages.iter().all(|age| (9_000..=10_000).contains(age)));
    }
}
