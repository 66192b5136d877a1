use std::collections::BTreeSet;

use crate::base::Mono;

/// So many changes are one save of an editor, which writes its file in several steps.
const FEW: usize = 8;
const SETTLE_FEW_MS: u64 = 10;
/// A build or a checkout has pauses.
const MANY: usize = 100;
const SETTLE_SOME_MS: u64 = 100;
const SETTLE_MANY_MS: u64 = 300;
/// What comes so soon after a start may be the rest of what that was for.
const AFTER_START_MS: u64 = 500;
/// How many times the wait for quiet a restart is put off at most, when it never becomes quiet.
const PATIENCE: u64 = 10;
const PATIENCE_MS_MIN: u64 = 2_000;
/// While so many come one right after the other, somebody is at work who will be done soon: a restart in the midst of it would
/// have to be made once more.
const PATIENCE_DENSE_MS_MIN: u64 = 10_000;

/// Changes that one restart answers.
#[derive(Clone, Debug)]
pub(super) struct Burst {
    pub(super) first: Mono,
    /// What was started later has seen all of it.
    pub(super) last: Mono,
    count: usize,
    /// The paths, and when each changed first.
    pub(super) paths: Vec<(String, Mono)>,
    /// There were more paths than are kept.
    pub(super) more: bool,
    /// It may be the rest of what the app was just started for.
    is_rest: bool,
    /// Apps that were started between the app's last start and the first of the changes.
    pub(super) others: BTreeSet<String>,
}

impl Burst {
    /// As many paths as are kept.
    const PATHS_MAX: usize = 256;

    /// `started`: the app's last start; `others` were started since.
    pub(super) fn new(now: Mono, started: Option<Mono>, others: BTreeSet<String>) -> Self {
        let is_rest = started.is_some_and(|started| now.ms_since(started) < AFTER_START_MS);
        Self { first: now, last: now, count: 0, paths: Vec::new(), more: false, is_rest, others }
    }

    pub(super) fn add(&mut self, paths: Vec<String>, count: usize, more: bool, now: Mono) {
        self.last = now;
        self.count = self.count.saturating_add(count);
        self.more |= more;
        for path in paths {
            if self.paths.len() == Self::PATHS_MAX {
                self.more = true;
                break;
            }
            if !self.paths.iter().any(|(known, _)| *known == path) {
                self.paths.push((path, now));
            }
        }
    }

    /// When it is answered, unless more comes before.
    pub(super) fn due(&self, quiet_ms: u64) -> Mono {
        let settle = match self.count {
            0..=FEW if !self.is_rest => SETTLE_FEW_MS,
            0..=MANY => SETTLE_SOME_MS,
            _ => SETTLE_MANY_MS,
        };
        let patience_ms_min = if self.is_dense() { PATIENCE_DENSE_MS_MIN } else { PATIENCE_MS_MIN };
        let longest = quiet_ms.saturating_mul(PATIENCE).max(patience_ms_min);
        self.last.plus_ms(quiet_ms.max(settle)).min(self.first.plus_ms(longest))
    }

    /// Whether the changes have no more than the pauses of a build between them.
    fn is_dense(&self) -> bool {
        let count = u64::try_from(self.count).unwrap_or(u64::MAX);
        self.count > MANY && self.last.ms_since(self.first) <= count.saturating_mul(SETTLE_SOME_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: &[u64], quiet_ms: u64) -> u64 {
        let mut burst = Burst::new(Mono(ms[0]), None, BTreeSet::new());
        for ms in ms {
            burst.add(vec!["a".to_owned()], 1, false, Mono(*ms));
        }
        burst.due(quiet_ms).0
    }

    #[test]
    fn one_restart_comes_when_it_has_become_quiet() {
        assert_eq!(at(&[1_000], 0), 1_010);
        assert_eq!(at(&[1_000, 1_004], 0), 1_014);
        assert_eq!(at(&[1_000], 500), 1_500);
        assert_eq!(at(&[1_000, 1_400], 500), 1_900);
        // Many are waited for longer: their writer may pause.
        assert_eq!(at(&(1_000..1_020).collect::<Vec<_>>(), 0), 1_119);
        assert_eq!(at(&(1_000..1_101).collect::<Vec<_>>(), 0), 1_400);
        let due = |started| Burst::new(Mono(1_000), Some(Mono(started)), BTreeSet::new()).due(0).0;
        assert_eq!((due(400), due(980)), (1_010, 1_100));
        // It is never put off for ever.
        assert_eq!(at(&(0..99).map(|turn| turn * 90).collect::<Vec<_>>(), 0), 2_000);
        assert_eq!(at(&(0..3_000).map(|turn| turn * 9).collect::<Vec<_>>(), 0), 10_000);
        // A thousand that take three seconds are one burst.
        assert_eq!(at(&(0..1_000).map(|turn| turn * 3).collect::<Vec<_>>(), 0), 2_997 + 300);
        assert_eq!(at(&(0..60).map(|turn| turn * 50).collect::<Vec<_>>(), 0), 2_000);
        assert_eq!(at(&(0..100).map(|turn| turn * 400).collect::<Vec<_>>(), 500), 5_000);
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let mut burst = Burst::new(Mono(0), None, BTreeSet::new());
        burst.add((0..1_000).map(|number| number.to_string()).collect(), 1_000, false, Mono(1));
        assert_eq!((burst.paths.len(), burst.more), (Burst::PATHS_MAX, true));
    }
}
