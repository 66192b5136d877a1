use cron::Cron;
use cron::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::base::Wall;

/// Words for usual patterns.
const WORDS: [&str; 6] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly"];

/// What a field is called, the numbers it takes, and how many they are.
const FIELDS: [(&str, &str, u32); 6] = [
    ("second", "0-59", 60),
    ("minute", "0-59", 60),
    ("hour", "0-23", 24),
    ("day of the month", "1-31", 31),
    ("month", "1-12", 12),
    ("day of the week", "0-7", 7),
];

/// A cron pattern that was understood, and whose time comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<Cron>);

/// What is wrong with a pattern; the end of a sentence that begins with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error(
        "has {0} fields: a pattern has five (minute, hour, day of the month, month, day of the week), or six with the second first"
    )]
    Fields(usize),
    #[error("is no word for a pattern: there are @hourly, @daily, @weekly, @monthly and @yearly")]
    Word,
    #[error("has an empty item in `{0}`")]
    EmptyItem(String),
    #[error("has a step of {step} in `{field}`: there are only {count}")]
    Step { field: String, step: String, count: u32 },
    #[error("has `{field}` for the {name}, which must be of {range}")]
    Field { field: String, name: &'static str, range: &'static str },
    #[error("never comes true: there is no such day")]
    Never,
    #[error("is no cron pattern")]
    Unknown,
}

impl Pattern {
    /// # Errors
    /// When it is no pattern, or one whose time never comes.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        if text.starts_with('@') {
            let is_known = WORDS.contains(&text);
            return if is_known { parse(text).ok_or(PatternError::Unknown) } else { Err(PatternError::Word) };
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        if !(5..=6).contains(&fields.len()) {
            return Err(PatternError::Fields(fields.len()));
        }
        let kinds = &FIELDS[FIELDS.len() - fields.len()..];
        for (at, (field, kind)) in fields.iter().zip(kinds).enumerate() {
            check(&fields, at, field, *kind)?;
        }
        let pattern = parse(text).ok_or(PatternError::Unknown)?;
        // Patterns have no years, so that what does not come in a cycle of the calendar never does. It is looked for
        // once, here: where there is no such day that takes milliseconds.
        pattern.next(Wall(0), &TimeZone::UTC).map(|_| ()).ok_or(PatternError::Never)?;
        Ok(pattern)
    }

    /// The first time after `after`.
    #[must_use]
    pub fn next(&self, after: Wall, zone: &TimeZone) -> Option<Wall> {
        // Its times are whole seconds.
        let second = i64::try_from(after.0 / 1_000).ok()?;
        let start = Timestamp::from_second(second).ok()?.to_zoned(zone.clone());
        let next = self.0.find_next_occurrence(&start, false).ok()?;
        let next = u64::try_from(next.timestamp().as_millisecond()).ok().map(Wall)?;
        (next > after).then_some(next)
    }
}

fn parse(text: &str) -> Option<Pattern> {
    let parser =
        CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).dom_and_dow(true).sloppy_ranges(true);
    parser.build().parse(text).ok().map(|cron| Pattern(Box::new(cron)))
}

/// Empty items make the search for the next time take seconds, and steps beyond a field's end mean nothing.
fn check(
    fields: &[&str],
    at: usize,
    field: &str,
    (name, range, count): (&'static str, &'static str, u32),
) -> Result<(), PatternError> {
    for item in field.split(',') {
        if item.is_empty() {
            return Err(PatternError::EmptyItem(field.to_owned()));
        }
        if let Some((_, step)) = item.split_once('/')
            && step.parse::<u32>().is_ok_and(|step| step > count)
        {
            return Err(PatternError::Step { field: field.to_owned(), step: step.to_owned(), count });
        }
    }
    // Which one is wrong is known when each is looked at alone.
    let mut alone = vec!["*"; fields.len()];
    alone[at] = field;
    match parse(&alone.join(" ")) {
        Some(_) => Ok(()),
        None => Err(PatternError::Field { field: field.to_owned(), name, range }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in Europe/Berlin since 1996, from no database.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn wall(text: &str) -> Wall {
        Wall(u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap())
    }

    /// The next times after a moment, by the clock on the wall in Berlin.
    fn times(pattern: &str, after: &str, count: usize) -> Vec<String> {
        let pattern = Pattern::parse(pattern).unwrap();
        let mut at = wall(after);
        let mut next = || {
            at = pattern.next(at, &berlin())?;
            let zoned = Timestamp::from_millisecond(i64::try_from(at.0).unwrap()).unwrap().to_zoned(berlin());
            Some(zoned.strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string())
        };
        (0..count).map_while(|_| next()).collect()
    }

    #[test]
    fn the_dialect_is_pm2s() {
        // 2026-11-21 is a Saturday.
        let table = [
            ("0 3 * * *", "Sun 2026-11-22 03:00:00 CET"),
            ("30 0 3 * * *", "Sun 2026-11-22 03:00:30 CET"),
            ("*/5 * * * *", "Sat 2026-11-21 12:05:00 CET"),
            ("*/10 * * * * *", "Sat 2026-11-21 12:00:10 CET"),
            ("5/15 * * * *", "Sat 2026-11-21 12:05:00 CET"),
            ("0 9 * * 1", "Mon 2026-11-23 09:00:00 CET"),
            ("0 9 * * MON", "Mon 2026-11-23 09:00:00 CET"),
            ("0 9 * * 1-5", "Mon 2026-11-23 09:00:00 CET"),
            ("0 0 * * 7", "Sun 2026-11-22 00:00:00 CET"),
            ("0 0 * * 0", "Sun 2026-11-22 00:00:00 CET"),
            ("0 0 13 * 5", "Fri 2027-08-13 00:00:00 CEST"),
            ("0 0 L * *", "Mon 2026-11-30 00:00:00 CET"),
            ("0 0 1 jan *", "Fri 2027-01-01 00:00:00 CET"),
            ("0 0 29 2 *", "Tue 2028-02-29 00:00:00 CET"),
            (" @daily ", "Sun 2026-11-22 00:00:00 CET"),
            ("0 0 ? * 1#2", "Mon 2026-12-14 00:00:00 CET"),
        ];
        for (pattern, want) in table {
            assert_eq!(times(pattern, "2026-11-21T11:00:00Z", 1), [want], "{pattern}");
        }
    }

    #[test]
    fn a_time_that_does_not_exist_comes_when_the_gap_is_over() {
        let night = "2026-03-28T20:00:00Z";
        assert_eq!(times("30 2 * * *", night, 2), ["Sun 2026-03-29 03:00:00 CEST", "Mon 2026-03-30 02:30:00 CEST"]);
        let every = times("*/30 * * * *", "2026-03-29T00:29:00Z", 3);
        assert_eq!(
            every,
            ["Sun 2026-03-29 01:30:00 CET", "Sun 2026-03-29 03:00:00 CEST", "Sun 2026-03-29 03:30:00 CEST"]
        );
    }

    #[test]
    fn a_time_that_comes_twice_is_the_first_and_what_repeats_goes_on() {
        let night = "2026-10-24T20:00:00Z";
        assert_eq!(times("30 2 * * *", night, 2), ["Sun 2026-10-25 02:30:00 CEST", "Mon 2026-10-26 02:30:00 CET"]);
        let every = times("*/30 * * * *", "2026-10-25T00:01:00Z", 4);
        assert_eq!(
            every,
            [
                "Sun 2026-10-25 02:30:00 CEST",
                "Sun 2026-10-25 02:00:00 CET",
                "Sun 2026-10-25 02:30:00 CET",
                "Sun 2026-10-25 03:00:00 CET"
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            ("* * * *", "has 4 fields"),
            ("0 0 0 1 1 * 2030", "has 7 fields"),
            ("@Daily", "is no word for a pattern"),
            ("@reboot", "is no word for a pattern"),
            (",, * * * *", "has an empty item in `,,`"),
            ("0 , * * *", "has an empty item in `,`"),
            ("1, * * * *", "has an empty item in `1,`"),
            ("*/70 * * * *", "has a step of 70 in `*/70`: there are only 60"),
            ("0 */25 * * *", "has a step of 25 in `*/25`: there are only 24"),
            ("0 25 * * *", "has `25` for the hour, which must be of 0-23"),
            ("61 * * * *", "has `61` for the minute, which must be of 0-59"),
            ("0 0 32 * *", "has `32` for the day of the month, which must be of 1-31"),
            ("0 0 * foo *", "has `foo` for the month, which must be of 1-12"),
            ("*/0 * * * *", "has `*/0` for the minute, which must be of 0-59"),
            ("0 0 31 2 *", "never comes true: there is no such day"),
            ("0 0 30 feb *", "never comes true: there is no such day"),
        ];
        for (pattern, want) in table {
            let found = Pattern::parse(pattern).map(|_| ()).unwrap_err().to_string();
            assert!(found.starts_with(want), "{pattern}: {found}");
        }
    }

    #[test]
    fn times_go_on_and_are_whole_seconds() {
        for pattern in ["* * * * * *", "59 59 23 * * *", "30 2 * * *", "0 0 29 2 *", "15,45 1-3 * * *"] {
            let pattern = Pattern::parse(pattern).unwrap();
            for start in ["2026-03-28T23:59:59.5Z", "2026-10-24T22:00:00.001Z", "2026-10-25T00:59:59.999Z"] {
                let mut at = wall(start);
                for _ in 0..200 {
                    let next = pattern.next(at, &berlin()).unwrap();
                    assert!(next > at && next.0.is_multiple_of(1_000), "{pattern:?} {at:?} {next:?}");
                    at = next;
                }
            }
        }
    }
}
