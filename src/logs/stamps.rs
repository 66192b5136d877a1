use std::borrow::Cow;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};
use serde::Deserialize;

use crate::base::{Civil, DateFormat, Dated};

/// How the lines of a log say when they were written.
#[derive(Clone, Debug)]
pub struct Stamps {
    form: Form,
    zone: TimeZone,
    /// The beginning of the line before, and what it says: most lines of a busy log begin alike.
    last: (Vec<u8>, Timestamp),
}

#[derive(Clone, Debug)]
enum Form {
    /// As the app wrote them.
    Raw,
    /// `TIME: LINE`.
    Prefix(DateFormat),
    /// What only says the time of day, or nothing.
    Vague(DateFormat),
    /// Objects; with what their times are written by, where that is not ISO 8601.
    Records(Option<DateFormat>),
}

/// A line taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told<'a> {
    pub at: Option<Timestamp>,
    /// What the app wrote.
    pub message: Cow<'a, [u8]>,
    /// Whether it wrote it to stderr, where the line says that.
    pub error: Option<bool>,
    /// Its instance, as `list` numbers it.
    pub process_id: Option<u32>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    timestamp: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    stream: Cow<'a, str>,
    #[serde(default)]
    process_id: Option<u32>,
}

impl Stamps {
    /// Of an app with this `log_date_format` and, with `json`, `log_type: "json"`. Times without an offset are of
    /// `zone`.
    #[must_use]
    pub fn new(date_format: Option<&str>, json: bool, zone: TimeZone) -> Self {
        let format = date_format.map(DateFormat::parse);
        let form = match format {
            format if json => Form::Records(format),
            None => Form::Raw,
            Some(format) if format.tells_minutes() => Form::Prefix(format),
            Some(format) => Form::Vague(format),
        };
        Self { form, zone, last: (Vec::new(), Timestamp::UNIX_EPOCH) }
    }

    /// Whether lines say when they were written.
    #[must_use]
    pub fn tell(&self) -> bool {
        match &self.form {
            Form::Raw | Form::Vague(_) => false,
            Form::Prefix(_) => true,
            Form::Records(format) => format.as_ref().is_none_or(DateFormat::tells_minutes),
        }
    }

    pub fn read<'a>(&mut self, line: &'a [u8]) -> Told<'a> {
        match &self.form {
            Form::Raw => Told { message: line.into(), ..Told::default() },
            Form::Prefix(format) => {
                let known = &self.last.0;
                if !known.is_empty() && line.starts_with(known) {
                    return Told { at: Some(self.last.1), message: line[known.len()..].into(), ..Told::default() };
                }
                let Some((told, message)) = prefixed(format, line) else {
                    return Told { message: line.into(), ..Told::default() };
                };
                let at = moment(&told, &self.zone);
                if let Some(at) = at {
                    self.last.0.clear();
                    self.last.0.extend_from_slice(&line[..line.len() - message.len()]);
                    self.last.1 = at;
                }
                Told { at, message: message.into(), ..Told::default() }
            }
            Form::Vague(format) => {
                let message = prefixed(format, line).map_or(line, |(_, message)| message);
                Told { message: message.into(), ..Told::default() }
            }
            Form::Records(format) => record(line, format.as_ref(), &self.zone),
        }
    }
}

fn prefixed<'a>(format: &DateFormat, line: &'a [u8]) -> Option<(Dated, &'a [u8])> {
    let told = format.read(line)?;
    Some((told, line[told.length..].strip_prefix(b": ")?))
}

fn record<'a>(line: &'a [u8], format: Option<&DateFormat>, zone: &TimeZone) -> Told<'a> {
    let Ok(Record { message, timestamp, stream, process_id }) = serde_json::from_slice(line) else {
        return Told { message: line.into(), ..Told::default() };
    };
    let at = match format {
        None => timestamp.parse().ok(),
        Some(format) if format.tells_minutes() => {
            format.read(timestamp.as_bytes()).and_then(|told| moment(&told, zone))
        }
        Some(_) => None,
    };
    let message = match message {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    let error = match stream.as_ref() {
        "err" => Some(true),
        "out" => Some(false),
        _ => None,
    };
    Told { at, message, error, process_id }
}

/// A moment on the clock and calendar that it is of.
#[must_use]
pub fn civil(at: &Zoned) -> Civil {
    let part = |value: i8| value.unsigned_abs();
    Civil {
        year: at.year().into(),
        month: part(at.month()),
        day: part(at.day()),
        weekday: part(at.weekday().to_sunday_zero_offset()),
        hour: part(at.hour()),
        minute: part(at.minute()),
        second: part(at.second()),
        millisecond: at.millisecond().unsigned_abs(),
        offset_minutes: at.offset().seconds() / 60,
    }
}

fn moment(told: &Dated, zone: &TimeZone) -> Option<Timestamp> {
    let Civil { year, month, day, hour, minute, second, millisecond, offset_minutes, .. } = told.civil;
    let part = |value: u8| i8::try_from(value).ok();
    let nanoseconds = i32::from(millisecond) * 1_000_000;
    let at = DateTime::new(
        i16::try_from(year).ok()?,
        part(month)?,
        part(day)?,
        part(hour)?,
        part(minute)?,
        part(second)?,
        nanoseconds,
    );
    let at = at.ok()?;
    if told.has_offset {
        return Offset::from_seconds(offset_minutes * 60).ok()?.to_timestamp(at).ok();
    }
    zone.to_timestamp(at).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(2))
    }

    #[track_caller]
    fn check(stamps: &mut Stamps, line: &str, at: Option<&str>, message: &str) {
        let told = stamps.read(line.as_bytes());
        assert_eq!(told.at.map(|at| at.to_string()).as_deref(), at, "{line}");
        assert_eq!(told.message, message.as_bytes(), "{line}");
    }

    #[test]
    fn lines_say_when_they_were_written_in_their_apps_format() {
        let mut raw = Stamps::new(None, false, zone());
        assert!(!raw.tell());
        check(&mut raw, "2026-11-21 20:00:00: x", None, "2026-11-21 20:00:00: x");

        let mut local = Stamps::new(Some("YYYY-MM-DD HH:mm:ss"), false, zone());
        assert!(local.tell());
        for _ in 0..2 {
            check(&mut local, "2026-11-21 20:00:00: x: y", Some("2026-11-21T18:00:00Z"), "x: y");
        }
        check(&mut local, "2026-11-21 20:00:01: ", Some("2026-11-21T18:00:01Z"), "");
        check(&mut local, "2026-11-21 20:00:01 x", None, "2026-11-21 20:00:01 x");
        check(&mut local, "    at frame", None, "    at frame");

        let mut offset = Stamps::new(Some("YYYY-MM-DDTHH:mm:ss.SSSZ"), false, zone());
        check(&mut offset, "2026-11-21T20:00:00.250-03:30: x", Some("2026-11-21T23:30:00.25Z"), "x");

        let mut vague = Stamps::new(Some("HH:mm"), false, zone());
        assert!(!vague.tell());
        check(&mut vague, "20:00: x", None, "x");
    }

    #[test]
    fn records_say_what_they_hold() {
        let mut records = Stamps::new(None, true, zone());
        assert!(records.tell());
        let line = br#"{"message":"say \"hi\"","timestamp":"2026-11-21T20:00:00.007Z","type":"err","process_id":7,"app_name":"a","sequence":0}"#;
        let told = records.read(line);
        assert_eq!(told.at.map(|at| at.as_millisecond() % 1_000), Some(7));
        assert_eq!((told.message.as_ref(), told.error, told.process_id), (&b"say \"hi\""[..], Some(true), Some(7)));
        check(&mut records, "no record", None, "no record");
        let mut formed = Stamps::new(Some("YYYY-MM-DD HH:mm:ss"), true, zone());
        check(&mut formed, r#"{"message":"m","timestamp":"2026-11-21 20:00:00"}"#, Some("2026-11-21T18:00:00Z"), "m");
        assert!(!Stamps::new(Some("HH:mm"), true, zone()).tell());
    }
}
