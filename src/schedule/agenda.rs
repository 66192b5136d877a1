use jiff::tz::TimeZone;

use super::Pattern;
use crate::base::Wall;

/// A run that was missed is made up for when it is not older: the machine slept, or was too busy.
const LATE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// A clock that goes back further was wrong before, as cron(8) has it.
const BACK_MS_MAX: u64 = 3 * 60 * 60 * 1_000;

/// One app's times.
#[derive(Clone, Debug)]
pub struct Agenda {
    text: String,
    zone: Option<String>,
    /// None when nobody here understands it.
    pattern: Option<Pattern>,
    next: Option<Wall>,
    /// The latest that the clock has said.
    seen: Wall,
}

impl Agenda {
    /// Its first time is the first after `now`. Without a zone it has none.
    #[must_use]
    pub fn new(text: &str, zone_name: Option<&str>, zone: Option<&TimeZone>, now: Wall) -> Self {
        let pattern = Pattern::parse(text).ok();
        let next = pattern.as_ref().zip(zone).and_then(|(pattern, zone)| pattern.next(now, zone));
        Self { text: text.to_owned(), zone: zone_name.map(str::to_owned), pattern, next, seen: now }
    }

    /// Whether it is about the same times.
    #[must_use]
    pub fn is_of(&self, text: &str, zone: Option<&str>) -> bool {
        self.text == text && self.zone.as_deref() == zone
    }

    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    #[must_use]
    pub fn next(&self) -> Option<Wall> {
        self.next
    }

    /// Until when all its runs were due and had their turn. `now` may be later than what it was told.
    #[must_use]
    pub fn turned_until(&self, now: Wall) -> Wall {
        match self.next.filter(|next| *next <= now) {
            Some(due) => Wall(due.0.saturating_sub(1)),
            None => self.seen.max(now),
        }
    }

    /// Takes notice of the time; whether a run is due. Several that were missed are one.
    #[must_use]
    pub fn turn(&mut self, now: Wall, zone: Option<&TimeZone>) -> bool {
        let (Some(pattern), Some(zone)) = (&self.pattern, zone) else {
            self.next = None;
            return false;
        };
        if now.0.saturating_add(BACK_MS_MAX) < self.seen.0 {
            self.seen = now;
            self.next = pattern.next(now, zone);
            return false;
        }
        self.seen = self.seen.max(now);
        let Some(next) = self.next.filter(|next| *next <= now) else { return false };
        let oldest = Wall(now.0.saturating_sub(LATE_MS_MAX));
        let is_recent = next >= oldest || pattern.next(oldest, zone).is_some_and(|next| next <= now);
        self.next = pattern.next(now, zone);
        is_recent
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 60 * 60 * 1_000;
    /// A midnight.
    const START: u64 = 1_700_006_400_000;

    fn agenda(pattern: &str) -> Agenda {
        Agenda::new(pattern, None, Some(&TimeZone::UTC), Wall(START))
    }

    /// What the clock says one after the other, in tenths of an hour; which of them ran something.
    fn runs(pattern: &str, clock: &[u64]) -> Vec<u64> {
        let mut agenda = agenda(pattern);
        let mut turn = |tenths: u64| agenda.turn(Wall(START + tenths * HOUR / 10), Some(&TimeZone::UTC));
        clock.iter().copied().filter(|tenths| turn(*tenths)).collect()
    }

    #[test]
    fn what_a_clock_that_jumps_does() {
        // On time, and never before it.
        assert_eq!(runs("0 3 * * *", &[0, 29, 30, 31, 269, 270]), [30, 270]);
        // Asleep over one: made up for on waking, once; and over three: still once.
        assert_eq!(runs("0 3 * * *", &[20, 80, 81, 270]), [80, 270]);
        assert_eq!(runs("0 3 * * *", &[20, 800, 801, 990]), [800, 990]);
        // What is older than a day is not made up for.
        assert_eq!(runs("0 3 20 * *", &[20, 9_600]), [0; 0]);
        // Set back: what has run does not run again.
        assert_eq!(runs("0 3 * * *", &[30, 25, 30, 35, 270]), [30, 270]);
        assert_eq!(runs("0 * * * *", &[30, 15, 20, 30, 40]), [30, 40]);
        // Set back by more than three hours: the clock was wrong.
        assert_eq!(runs("0 3 * * *", &[10_000, 10, 30, 270]), [10_000, 30, 270]);
        // Back and forth again.
        assert_eq!(runs("0 3 * * *", &[29, 20, 29, 30, 20, 30]), [30]);
    }

    #[test]
    fn without_a_zone_or_a_pattern_there_are_no_times() {
        assert_eq!(Agenda::new("0 3 * * *", Some("Mars/Olympus"), None, Wall(START)).next(), None);
        assert_eq!(Agenda::new("junk", None, Some(&TimeZone::UTC), Wall(START)).next(), None);
        assert!(!agenda("junk").turn(Wall(START * 2), Some(&TimeZone::UTC)));
        let mut lost = agenda("0 3 * * *");
        assert!(!lost.turn(Wall(START * 2), None) && lost.next().is_none(), "nobody is woken for what cannot be known");
    }

    proptest! {
        /// A clock that goes on in steps, now and then back by less than three hours of the furthest: each minute runs
        /// at most once, and what is due is never put off by more than the clock has gone back.
        #[test]
        fn no_time_runs_twice(steps in proptest::collection::vec((0_u64..20_000, 0_u64..100), 1..400)) {
            let mut agenda = agenda("* * * * *");
            let (mut now, mut furthest, mut last) = (START, START, START);
            for (step, kind) in steps {
                now = if kind < 5 { furthest.saturating_sub(step * 500).max(START) } else { now + step };
                furthest = furthest.max(now);
                if agenda.turn(Wall(now), Some(&TimeZone::UTC)) {
                    prop_assert!(now / 60_000 > last / 60_000, "{now} after {last}");
                    last = now;
                }
                let next = agenda.next().unwrap().0;
                prop_assert!(next > now && next <= furthest / 60_000 * 60_000 + 60_000);
            }
        }
    }
}
