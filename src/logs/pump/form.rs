use std::cell::{Cell, RefCell};
use std::rc::Rc;

use jiff::Zoned;
use serde_json::json;

use crate::base::DateFormat;
use crate::logs::civil;
use crate::platform::PumpOrder;

/// What becomes of a line: the same for both streams of a process.
#[derive(Debug)]
pub(super) struct Form {
    app: String,
    process_id: u32,
    /// Nothing becomes of it: there are no lines.
    pub(super) raw: bool,
    json: bool,
    date_format: Option<DateFormat>,
    /// The number of the next record, which goes on when the process is started anew.
    sequence: Rc<Cell<u64>>,
    /// What the lines of a moment have in common, for stdout and stderr: what goes before each, or after the message.
    common: RefCell<(i64, [String; 2])>,
}

/// Makes lines of what pmrun itself has to say in a stream.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    pub(super) form: Rc<Form>,
    pub(super) error: bool,
}

impl Voice {
    pub(super) fn line(&self, text: &str) -> Vec<u8> {
        let mut line = Vec::new();
        self.form.set_time(&Zoned::now());
        self.form.line(text.as_bytes(), self.error, &mut line);
        line
    }
}

impl Form {
    pub(super) fn new(order: &PumpOrder, sequence: Rc<Cell<u64>>) -> Self {
        Self {
            app: order.app.clone(),
            process_id: order.process_id,
            raw: order.raw,
            json: order.json,
            date_format: order.date_format.as_deref().map(DateFormat::parse),
            sequence,
            common: RefCell::new((i64::MIN, Default::default())),
        }
    }

    /// To be called before lines of this moment are written.
    pub(super) fn set_time(&self, now: &Zoned) {
        let mut common = self.common.borrow_mut();
        let ms = now.timestamp().as_millisecond();
        if common.0 == ms {
            return;
        }
        common.0 = ms;
        let mut time = String::new();
        match &self.date_format {
            Some(format) => format.write(&civil(now), &mut time),
            None if self.json => time = now.timestamp().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            None => return,
        }
        common.1 = if self.json {
            ["out", "err"].map(|stream| self.record_end(&time, stream))
        } else {
            time.push_str(": ");
            [time.clone(), time]
        };
    }

    /// PM2's keys, and a number that tells whether one is missing.
    fn record_end(&self, time: &str, stream: &str) -> String {
        let (time, app) = (json!(time), json!(self.app));
        let process_id = self.process_id;
        format!(r#","timestamp":{time},"type":"{stream}","process_id":{process_id},"app_name":{app},"sequence":"#)
    }

    pub(super) fn line(&self, line: &[u8], error: bool, out: &mut Vec<u8>) {
        let common = self.common.borrow();
        let common = common.1[usize::from(error)].as_bytes();
        if self.json {
            let sequence = self.sequence.replace(self.sequence.get() + 1);
            out.extend_from_slice(b"{\"message\":");
            write_string(line, out);
            out.extend_from_slice(common);
            write_number(sequence, out);
            out.extend_from_slice(b"}\n");
        } else {
            out.extend_from_slice(common);
            out.extend_from_slice(line);
            out.push(b'\n');
        }
    }
}

/// As `write!` does, in a tenth of the time.
fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// As JSON. Most lines hold nothing that would have to be escaped, and are copied.
fn write_string(line: &[u8], out: &mut Vec<u8>) {
    // Without an early end, so that many bytes are looked at at once.
    let is = |yes: bool| u8::from(yes);
    let special = |byte: u8| is(byte < b' ') | is(byte >= 0x7f) | is(byte == b'"') | is(byte == b'\\');
    if line.iter().fold(0, |any, byte| any | special(*byte)) > 0 {
        let _ = serde_json::to_writer(out, &String::from_utf8_lossy(line));
    } else {
        out.push(b'"');
        out.extend_from_slice(line);
        out.push(b'"');
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
        let form = Form::new(order, Rc::default());
        let now: Zoned = "2026-11-21T01:51:46.007+01:00[+01:00]".parse().unwrap();
        form.set_time(&now);
        let mut out = Vec::new();
        for (line, error) in lines {
            form.line(line.as_bytes(), *error, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for number in [0, 7, 10, 99, 100, 12_345_678_901, u64::MAX] {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
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
