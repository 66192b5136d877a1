//! When each of many is asked, whose times are seconds apart.

use crate::supervisor::LaunchId;

/// What is asked more often goes by times of its own.
const OFTEN_MS: u64 = 5_000;
/// How many are asked at one time, about. The first of them costs what it takes to wake the daemon and the way to the
/// system, 200 microseconds; each further one 30 (measured): fewer times are cheaper, and more of them fairer to what is
/// asked.
const TOGETHER: usize = 25;
/// The times of an interval. Powers of two, so that those that came when there were fewer share theirs with those that came later.
const TIMES_MIN: usize = 2;
const TIMES_MAX: usize = 16;

/// Which of the times of an interval is one's own: what was started together is not asked together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    number: u64,
    of: u64,
}

impl Turn {
    pub(super) fn new(launch: LaunchId, others: usize) -> Self {
        let of = (others / TOGETHER + 1).next_power_of_two().clamp(TIMES_MIN, TIMES_MAX) as u64;
        Self { number: launch.0 % of, of }
    }

    /// The next time, as `now_ms` in milliseconds since a time that all count from; a quarter of the interval away at least.
    /// Who is asked in less than that is asked exactly each interval. None for those that are asked too often to share theirs.
    pub(super) fn after(self, now_ms: u64, interval_ms: u64) -> Option<u64> {
        if interval_ms < OFTEN_MS {
            return None;
        }
        // Longer than anybody waits: the product below stays a number.
        let interval_ms = interval_ms.min(u64::MAX / (4 * TIMES_MAX as u64));
        let offset = interval_ms * self.number / self.of;
        let earliest = now_ms.saturating_add(interval_ms / 4).saturating_sub(offset);
        Some(earliest.div_ceil(interval_ms).saturating_mul(interval_ms).saturating_add(offset))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// How many of `count` that are looked after since the same moment are asked at each time of an interval.
    fn asked_at(count: u64, interval_ms: u64) -> BTreeMap<u64, u32> {
        let mut times = BTreeMap::new();
        for launch in 0..count {
            let turn = Turn::new(LaunchId(launch), usize::try_from(launch).unwrap());
            let at = turn.after(123_456, interval_ms).unwrap();
            *times.entry(at % interval_ms).or_default() += 1;
        }
        times
    }

    #[test]
    fn what_was_started_together_is_asked_in_turns() {
        assert_eq!(asked_at(50, 10_000), BTreeMap::from([(0, 25), (5_000, 25)]));
        let many = asked_at(1_000, 10_000);
        assert_eq!(many.len(), 16);
        assert!(many.values().all(|asked| *asked <= 125), "{many:?}");
    }

    #[test]
    fn each_is_asked_once_an_interval() {
        for (number, interval_ms) in [(0, 5_000), (1, 10_000), (1, 7_001), (3, 60_000)] {
            let turn = Turn { number, of: 4 };
            let first = turn.after(1_000_000, interval_ms).unwrap();
            assert!((interval_ms / 4..=interval_ms * 5 / 4).contains(&(first - 1_000_000)), "{first}");
            let mut before = first;
            for took_ms in [0, 1, interval_ms / 2, 0] {
                let next = turn.after(before + took_ms, interval_ms).unwrap();
                assert_eq!(next - before, interval_ms, "after {took_ms}");
                before = next;
            }
        }
    }

    #[test]
    fn no_interval_is_too_long_and_short_ones_are_their_own() {
        let turn = Turn { number: 15, of: 16 };
        assert_eq!(turn.after(5, 4_999), None);
        assert!(turn.after(u64::MAX, u64::MAX).is_some() && turn.after(0, u64::MAX).is_some());
    }
}
