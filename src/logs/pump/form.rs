use std::cell::{Cell, RefCell};

use jiff::Zoned;
use serde::Serialize;

use crate::base::{Civil, DateFormat};
use crate::platform::PumpOrder;

/// What becomes of a line: the same for both streams of a process.
#[derive(Debug)]
pub(super) struct Form {
    app: String,
    process_id: u32,
    json: bool,
    date_format: Option<DateFormat>,
    sequence: Cell<u64>,
    /// How the moment is written, which many lines have in common.
    time: RefCell<(i64, String)>,
}

/// PM2's keys, and a number that tells whether one is missing.
#[derive(Serialize)]
struct Record<'a> {
    message: &'a str,
    timestamp: &'a str,
    #[serde(rename = "type")]
    stream: &'a str,
    process_id: u32,
    app_name: &'a str,
    sequence: u64,
}

impl Form {
    pub(super) fn new(order: &PumpOrder) -> Self {
        Self {
            app: order.app.clone(),
            process_id: order.process_id,
            json: order.json,
            date_format: order.date_format.as_deref().map(DateFormat::parse),
            sequence: Cell::new(0),
            time: RefCell::new((i64::MIN, String::new())),
        }
    }

    /// To be called before lines of this moment are written.
    pub(super) fn set_time(&self, now: &Zoned) {
        let mut time = self.time.borrow_mut();
        let ms = now.timestamp().as_millisecond();
        if time.0 == ms {
            return;
        }
        time.0 = ms;
        time.1.clear();
        match &self.date_format {
            Some(format) => format.write(&civil(now), &mut time.1),
            None if self.json => time.1 = now.timestamp().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            None => return,
        }
        if !self.json {
            time.1.push_str(": ");
        }
    }

    pub(super) fn line(&self, line: &[u8], error: bool, out: &mut Vec<u8>) {
        let time = self.time.borrow();
        if self.json {
            let message = String::from_utf8_lossy(line);
            let stream = if error { "err" } else { "out" };
            let sequence = self.sequence.replace(self.sequence.get() + 1);
            let (process_id, app_name) = (self.process_id, self.app.as_str());
            let record = Record { message: &message, timestamp: &time.1, stream, process_id, app_name, sequence };
            // Strings and numbers, into memory: it cannot fail.
            let _ = serde_json::to_writer(&mut *out, &record);
        } else {
            out.extend_from_slice(time.1.as_bytes());
            out.extend_from_slice(line);
        }
        out.push(b'\n');
    }
}

fn civil(now: &Zoned) -> Civil {
    let part = |value: i8| value.unsigned_abs();
    Civil {
        year: now.year().into(),
        month: part(now.month()),
        day: part(now.day()),
        weekday: part(now.weekday().to_sunday_zero_offset()),
        hour: part(now.hour()),
        minute: part(now.minute()),
        second: part(now.second()),
        millisecond: now.millisecond().unsigned_abs(),
        offset_minutes: now.offset().seconds() / 60,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(json: bool, date_format: Option<&str>) -> PumpOrder {
        let date_format = date_format.map(str::to_owned);
        PumpOrder { app: "a".into(), process_id: 7, json, date_format, ..PumpOrder::default() }
    }

    fn written(order: &PumpOrder, lines: &[(&str, bool)]) -> String {
        let form = Form::new(order);
        let now: Zoned = "2026-11-21T01:51:46.007+01:00[+01:00]".parse().unwrap();
        form.set_time(&now);
        let mut out = Vec::new();
        for (line, error) in lines {
            form.line(line.as_bytes(), *error, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_get_what_was_asked_for() {
        assert_eq!(written(&order(false, None), &[("x", false), ("", true)]), "x\n\n");
        let stamped = written(&order(false, Some("HH:mm:ss.SSS Z ddd")), &[("x", false), ("y", true)]);
        assert_eq!(stamped, "01:51:46.007 +01:00 Sat: x\n01:51:46.007 +01:00 Sat: y\n");
        let json = written(&order(true, None), &[("say \"hi\"\t\u{1}", false), ("é", true)]);
        assert_eq!(
            json,
            concat!(
                r#"{"message":"say \"hi\"\t\u0001","timestamp":"2026-11-21T00:51:46.007Z","type":"out","process_id":7,"#,
                r#""app_name":"a","sequence":0}"#,
                "\n",
                r#"{"message":"é","timestamp":"2026-11-21T00:51:46.007Z","type":"err","process_id":7,"#,
                r#""app_name":"a","sequence":1}"#,
                "\n",
            )
        );
        assert!(written(&order(true, Some("YYYY")), &[("x", false)]).contains(r#""timestamp":"2026","#));
    }
}
