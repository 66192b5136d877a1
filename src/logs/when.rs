use jiff::civil::{Date, DateTime, Time};
use jiff::{Timestamp, ToSpan as _, Zoned};

/// What a moment may be given as, for messages.
pub const MOMENTS: &str = "like `10m`, `2h30m`, `1d`, `2026-11-21T20:00:00Z`, `2026-11-21 20:00` or `20:00`";

/// Reads a moment as people give it: so long before now (`10m`), RFC 3339, or a date and time on the local clock, of
/// which seconds, the time (midnight) or the date (today) may be missing.
#[must_use]
pub fn parse_moment(text: &str, now: &Zoned) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(ms) = ago(text) {
        return now.timestamp().checked_sub(jiff::SignedDuration::from_millis(ms)).ok();
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    let local = |at: DateTime| at.to_zoned(now.time_zone().clone()).map(|at| at.timestamp()).ok();
    let date = match text.to_ascii_lowercase().as_str() {
        "now" => return Some(now.timestamp()),
        "today" => Some(now.date()),
        "yesterday" => now.date().checked_sub(1.day()).ok(),
        _ => None,
    };
    if let Some(date) = date {
        return local(date.at(0, 0, 0, 0));
    }
    // jiff reads a date alone as a date and midnight; a time alone has no `-`.
    if text.contains('-') {
        return local(text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(|date| date.at(0, 0, 0, 0))).ok()?);
    }
    if !text.contains(':') {
        return None;
    }
    local(now.date().to_datetime(text.parse::<Time>().ok()?))
}

/// Numbers with units, one after the other; in milliseconds.
fn ago(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let factor = match unit {
            "ms" => 1,
            "s" | "sec" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(factor)?)?;
        rest = after.trim_start();
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_give_them() {
        let now: Zoned = "2026-11-21T20:30:15.250+01:00[Europe/Berlin]".parse().unwrap();
        let table = [
            ("10m", Some("2026-11-21T19:20:15.25Z")),
            ("2h30m", Some("2026-11-21T17:00:15.25Z")),
            ("1d 12h", Some("2026-11-20T07:30:15.25Z")),
            ("250ms", Some("2026-11-21T19:30:15Z")),
            ("now", Some("2026-11-21T19:30:15.25Z")),
            ("2026-11-21T20:00:00Z", Some("2026-11-21T20:00:00Z")),
            ("2026-11-21T20:00:00.5+02:00", Some("2026-11-21T18:00:00.5Z")),
            ("2026-11-21 20:00", Some("2026-11-21T19:00:00Z")),
            ("2026-11-21T20:00:01", Some("2026-11-21T19:00:01Z")),
            ("2026-07-01", Some("2026-06-30T22:00:00Z")),
            ("20:00", Some("2026-11-21T19:00:00Z")),
            ("20:00:01", Some("2026-11-21T19:00:01Z")),
            ("today", Some("2026-11-20T23:00:00Z")),
            ("Yesterday", Some("2026-11-19T23:00:00Z")),
            ("", None),
            ("10", None),
            ("10x", None),
            ("soon", None),
            ("2026-13-01", None),
            ("25:00", None),
            ("m", None),
            ("-5m", None),
            ("99999999999999999d", None),
        ];
        for (text, want) in table {
            assert_eq!(parse_moment(text, &now).map(|at| at.to_string()).as_deref(), want, "{text:?}");
        }
    }
}
