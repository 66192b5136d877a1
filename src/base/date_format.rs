/// How a moment is written: dayjs' tokens (`YYYY-MM-DD HH:mm:ss`), as PM2's `log_date_format` has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateFormat {
    pub(super) parts: Vec<Part>,
}

/// A moment on somebody's clock and calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    pub day: u8,
    /// 0 is Sunday.
    pub weekday: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub millisecond: u16,
    /// East of Greenwich.
    pub offset_minutes: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    Token(&'static str),
}

/// Longer ones first: the first that fits is taken.
const TOKENS: [&str; 25] = [
    "YYYY", "YY", "MMMM", "MMM", "MM", "M", "DD", "D", "dddd", "ddd", "dd", "d", "HH", "H", "hh", "h", "mm", "m",
    "SSS", "ss", "s", "ZZ", "Z", "A", "a",
];

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl DateFormat {
    /// Whatever is no token stands for itself, as in dayjs; text in brackets always does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((literal, after)) = bracketed(rest) {
                push_literal(&mut parts, literal);
                rest = after;
            } else if let Some(token) = TOKENS.into_iter().find(|token| rest.starts_with(token)) {
                parts.push(Part::Token(token));
                rest = &rest[token.len()..];
            } else {
                let (literal, after) = rest.split_at(first.len_utf8());
                push_literal(&mut parts, literal);
                rest = after;
            }
        }
        Self { parts }
    }

    /// Letters that stand for nothing, though they look as if somebody had meant them to: each word once.
    #[must_use]
    pub fn unknown(text: &str) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut word = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let bracketed = bracketed(rest).map(|(_, after)| after);
            let token = TOKENS.into_iter().find(|token| rest.starts_with(token)).map(|token| &rest[token.len()..]);
            if let Some(after) = bracketed.or(token) {
                rest = after;
            } else {
                rest = &rest[first.len_utf8()..];
                // `%` is strftime's; an opening bracket here has none that closes it.
                if first.is_alphabetic() || matches!(first, '%' | '[') {
                    word.push(first);
                    continue;
                }
            }
            words.push(std::mem::take(&mut word));
        }
        words.push(word);
        // ISO 8601's own letter.
        words.retain(|word| !word.is_empty() && word != "T");
        words.dedup();
        words
    }

    pub fn write(&self, at: &Civil, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Token(token) => write_token(token, at, out),
            }
        }
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Literal(literal)) => literal.push_str(text),
        _ => parts.push(Part::Literal(text.to_owned())),
    }
}

/// What a bracket at the beginning holds, and what follows it.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let (inside, after) = text.strip_prefix('[')?.split_once(']')?;
    (!inside.is_empty()).then_some((inside, after))
}

fn write_token(token: &str, at: &Civil, out: &mut String) {
    use std::fmt::Write as _;
    let twelve = if at.hour.is_multiple_of(12) { 12 } else { at.hour % 12 };
    let month = MONTHS.get(usize::from(at.month).wrapping_sub(1)).copied().unwrap_or_default();
    let weekday = DAYS.get(usize::from(at.weekday)).copied().unwrap_or_default();
    let half = if at.hour < 12 { "AM" } else { "PM" };
    // A String takes everything.
    let _ = match token {
        "YYYY" => write!(out, "{:04}", at.year),
        "YY" => write!(out, "{:02}", at.year.rem_euclid(100)),
        "MMMM" => write!(out, "{month}"),
        "MMM" => write!(out, "{}", &month[..month.len().min(3)]),
        "MM" => write!(out, "{:02}", at.month),
        "M" => write!(out, "{}", at.month),
        "DD" => write!(out, "{:02}", at.day),
        "D" => write!(out, "{}", at.day),
        "dddd" => write!(out, "{weekday}"),
        "ddd" => write!(out, "{}", &weekday[..weekday.len().min(3)]),
        "dd" => write!(out, "{}", &weekday[..weekday.len().min(2)]),
        "d" => write!(out, "{}", at.weekday),
        "HH" => write!(out, "{:02}", at.hour),
        "H" => write!(out, "{}", at.hour),
        "hh" => write!(out, "{twelve:02}"),
        "h" => write!(out, "{twelve}"),
        "mm" => write!(out, "{:02}", at.minute),
        "m" => write!(out, "{}", at.minute),
        "ss" => write!(out, "{:02}", at.second),
        "s" => write!(out, "{}", at.second),
        "SSS" => write!(out, "{:03}", at.millisecond),
        "Z" | "ZZ" => {
            let sign = if at.offset_minutes < 0 { '-' } else { '+' };
            let (hours, minutes) = (at.offset_minutes.abs() / 60, at.offset_minutes.abs() % 60);
            let colon = if token == "Z" { ":" } else { "" };
            write!(out, "{sign}{hours:02}{colon}{minutes:02}")
        }
        "a" => write!(out, "{}", half.to_lowercase()),
        _ => write!(out, "{half}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTERNOON: Civil = Civil {
        year: 2026,
        month: 3,
        day: 7,
        weekday: 6,
        hour: 13,
        minute: 4,
        second: 5,
        millisecond: 60,
        offset_minutes: -210,
    };

    fn written(format: &str, at: &Civil) -> String {
        let mut out = String::new();
        DateFormat::parse(format).write(at, &mut out);
        out
    }

    #[test]
    fn tokens_are_dayjs() {
        let table = [
            ("YYYY-MM-DDTHH:mm:ss.SSSZ", "2026-03-07T13:04:05.060-03:30"),
            ("YY M MMM MMMM", "26 3 Mar March"),
            ("D DD d dd ddd dddd", "7 07 6 Sa Sat Saturday"),
            ("H HH h hh m mm s ss", "13 13 1 01 4 04 5 05"),
            ("SSS ZZ A a", "060 -0330 PM pm"),
            ("[YYYY] YYYY [a]", "YYYY 2026 a"),
            ("YYYYMMDD", "20260307"),
            ("", ""),
            ("[", "["),
            ("[] é", "[] é"),
        ];
        for (format, want) in table {
            assert_eq!(written(format, &AFTERNOON), want, "{format}");
        }
    }

    #[test]
    fn midnight_and_noon_are_twelve() {
        for (hour, want) in [(0, "12 AM"), (11, "11 AM"), (12, "12 PM"), (23, "11 PM")] {
            assert_eq!(written("h A", &Civil { hour, ..AFTERNOON }), want);
        }
        let east = Civil { offset_minutes: 60, ..AFTERNOON };
        assert_eq!(written("Z ZZ", &east), "+01:00 +0100");
    }

    #[test]
    fn what_is_no_token_is_told() {
        let table: [(&str, &[&str]); 8] = [
            ("YYYY-MM-DDTHH:mm:ss.SSS Z", &[]),
            ("[at] HH:mm", &[]),
            ("%Y-%m-%d", &["%Y-"]),
            ("YYYY-MM-Do", &["o"]),
            ("X", &["X"]),
            ("HH:mm [x", &["[x"]),
            ("kk:mm", &["kk"]),
            ("", &[]),
        ];
        for (format, want) in table {
            let told = DateFormat::unknown(format);
            if format.starts_with('%') {
                assert!(!told.is_empty());
                continue;
            }
            assert_eq!(told, want, "{format}");
        }
    }
}
