use super::date_format::{Civil, DAYS, DateFormat, MONTHS, Part};

/// What a text says that begins with a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dated {
    /// Its offset is 0 where the text says none.
    pub civil: Civil,
    pub has_offset: bool,
    /// How many bytes of the text say it.
    pub length: usize,
}

impl DateFormat {
    /// Whether what is written so can be told from any other minute: a time of day alone could be any day's.
    #[must_use]
    pub fn tells_minutes(&self) -> bool {
        let has = |tokens: &[&str]| {
            self.parts.iter().any(|part| matches!(part, Part::Token(token) if tokens.contains(token)))
        };
        let hour = has(&["HH", "H"]) || has(&["hh", "h"]) && has(&["A", "a"]);
        hour && has(&["YYYY", "YY"]) && has(&["MMMM", "MMM", "MM", "M"]) && has(&["DD", "D"]) && has(&["mm", "m"])
    }

    /// Reads what [`DateFormat::write`] wrote, at the beginning of a text. None where something else stands there.
    #[must_use]
    pub fn read(&self, text: &[u8]) -> Option<Dated> {
        let mut reading = Reading { rest: text, civil: Civil::EARLIEST, half: None, offset: None };
        for part in &self.parts {
            match part {
                Part::Literal(literal) => reading.rest = reading.rest.strip_prefix(literal.as_bytes())?,
                Part::Token(token) => reading.token(token)?,
            }
        }
        let Reading { rest, mut civil, half, offset } = reading;
        if let Some(afternoon) = half {
            civil.hour = civil.hour % 12 + if afternoon { 12 } else { 0 };
        }
        civil.offset_minutes = offset.unwrap_or(0);
        Some(Dated { civil, has_offset: offset.is_some(), length: text.len() - rest.len() })
    }
}

impl Civil {
    const EARLIEST: Self = Self {
        year: 1970,
        month: 1,
        day: 1,
        weekday: 4,
        hour: 0,
        minute: 0,
        second: 0,
        millisecond: 0,
        offset_minutes: 0,
    };
}

struct Reading<'a> {
    rest: &'a [u8],
    civil: Civil,
    /// Whether it is the one after noon.
    half: Option<bool>,
    offset: Option<i32>,
}

impl Reading<'_> {
    fn token(&mut self, token: &str) -> Option<()> {
        match token {
            "YYYY" => self.civil.year = self.number(4, 4)?.into(),
            "YY" => self.civil.year = 2_000 + i32::from(self.number(2, 2)?),
            "MMMM" => self.civil.month = self.name(&MONTHS, usize::MAX)? + 1,
            "MMM" => self.civil.month = self.name(&MONTHS, 3)? + 1,
            "MM" | "M" => self.civil.month = self.small(token.len(), 1, 12)?,
            "DD" | "D" => self.civil.day = self.small(token.len(), 1, 31)?,
            "dddd" => self.civil.weekday = self.name(&DAYS, usize::MAX)?,
            "ddd" => self.civil.weekday = self.name(&DAYS, 3)?,
            "dd" => self.civil.weekday = self.name(&DAYS, 2)?,
            "d" => self.civil.weekday = u8::try_from(self.number(1, 1)?).ok()?,
            "HH" | "H" => self.civil.hour = self.small(token.len(), 0, 23)?,
            "hh" | "h" => self.civil.hour = self.small(token.len(), 1, 12)?,
            "mm" | "m" => self.civil.minute = self.small(token.len(), 0, 59)?,
            "ss" | "s" => self.civil.second = self.small(token.len(), 0, 60)?.min(59),
            "SSS" => self.civil.millisecond = self.number(3, 3)?,
            "Z" | "ZZ" => self.offset = Some(self.offset(token == "Z")?),
            _ => self.half = Some(self.name(&["AM", "PM"], 2)? == 1),
        }
        Some(())
    }

    fn number(&mut self, least: usize, most: usize) -> Option<u16> {
        let digits = self.rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        (digits >= least).then(|| number.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
    }

    /// With a leading zero where there are two digits at least.
    fn small(&mut self, digits: usize, least: u16, most: u16) -> Option<u8> {
        let value = self.number(digits, 2).filter(|value| (least..=most).contains(value))?;
        u8::try_from(value).ok()
    }

    /// Which of the names stands there, with so many of its letters.
    fn name(&mut self, names: &[&str], letters: usize) -> Option<u8> {
        let rest = self.rest;
        let found = names.iter().position(|name| {
            let name = &name.as_bytes()[..name.len().min(letters)];
            rest.get(..name.len()).is_some_and(|there| there.eq_ignore_ascii_case(name))
        })?;
        self.rest = &rest[names[found].len().min(letters)..];
        u8::try_from(found).ok()
    }

    fn offset(&mut self, colon: bool) -> Option<i32> {
        let (sign, rest) = self.rest.split_first()?;
        self.rest = rest;
        let hours = i32::from(self.number(2, 2)?);
        if colon {
            self.rest = self.rest.strip_prefix(b":")?;
        }
        let minutes = hours * 60 + i32::from(self.number(2, 2)?);
        match sign {
            b'+' => Some(minutes),
            b'-' => Some(-minutes),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let moment = Civil {
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
        let formats = [
            "YYYY-MM-DDTHH:mm:ss.SSSZ",
            "[on] dddd, D MMMM YYYY h:m:s A SSS ZZ",
            "ddd dd d DD MMM YY hh:mm:ss a SSS Z",
            "M/D/YYYY H:mm:ss SSSZ",
        ];
        for format in formats {
            let format = DateFormat::parse(format);
            let mut text = String::new();
            format.write(&moment, &mut text);
            let length = text.len();
            text.push_str(": a line");
            // A format without the day of the week does not tell it.
            let weekday = format.read(text.as_bytes()).map_or(0, |told| told.civil.weekday);
            assert!([4, moment.weekday].contains(&weekday), "{text}");
            let civil = Civil { weekday, ..moment };
            assert_eq!(format.read(text.as_bytes()), Some(Dated { civil, has_offset: true, length }), "{text}");
        }
    }

    #[test]
    fn what_is_something_else_is_not_read() {
        let format = DateFormat::parse("YYYY-MM-DD HH:mm:ss");
        for text in ["", "2026-03-07", "2026-13-07 10:00:00", "2026-03-07 24:00:00", "at 2026-03-07 10:00:00", "é"] {
            assert_eq!(format.read(text.as_bytes()), None, "{text}");
        }
        let told = format.read(b"2026-03-07 10:00:00 x").unwrap();
        assert_eq!((told.has_offset, told.length), (false, 19));
        for (hour, want) in [("12 AM", 0), ("11 AM", 11), ("12 pm", 12), ("1 PM", 13)] {
            assert_eq!(DateFormat::parse("h A").read(hour.as_bytes()).map(|told| told.civil.hour), Some(want));
        }
    }

    #[test]
    fn a_time_of_day_alone_is_no_moment() {
        let table = [
            ("YYYY-MM-DDTHH:mm:ss", true),
            ("HH:mm:ss", false),
            ("MM-DD HH:mm", false),
            ("YYYY-MM-DD hh:mm", false),
            ("D MMM YY h:m a", true),
            ("Z", false),
        ];
        for (format, want) in table {
            assert_eq!(DateFormat::parse(format).tells_minutes(), want, "{format}");
        }
    }
}
