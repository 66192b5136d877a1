use std::io;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::files::{LogFile, Stream};
use super::{Choice, arguments};
use crate::base::DateFormat;
use crate::cli::api::events;
use crate::cli::error::CliError;
use crate::cli::terminal::{Colour, Terminal, harmless, paint};
use crate::logs::{Line, Log, Sink, Told, civil};
use crate::runtime::history::Entry;

/// What PM2 writes times by where it writes them for programs.
const FORMAT_TIMES: &str = "YYYY-MM-DD-HH:mm:ssZZ";
/// Around what is highlighted: a background, so that a line keeps its colours.
const MARK: (&str, &str) = ("\x1b[100m", "\x1b[49m");

/// How lines are printed.
#[derive(Debug)]
pub(super) struct Style {
    shape: Shape,
    highlight: Option<String>,
}

#[derive(Debug)]
enum Shape {
    /// With whose it is in front, where that is not plain; and with its time, where that was asked for.
    Named(Option<DateFormat>),
    Raw,
    Json,
    KeyValue(DateFormat),
}

impl Style {
    pub(super) fn of(arguments: &arguments::Logs, terminal: &Terminal) -> Self {
        let shape = if arguments.json {
            Shape::Json
        } else if arguments.format {
            Shape::KeyValue(DateFormat::parse(FORMAT_TIMES))
        } else if arguments.raw {
            Shape::Raw
        } else {
            Shape::Named(arguments.timestamp.as_deref().map(DateFormat::parse))
        };
        let highlight = arguments.highlight.clone().filter(|text| terminal.colour && !text.is_empty());
        Self { shape, highlight }
    }
}

/// Prints lines.
pub(super) struct Printer<'a> {
    files: Vec<LogFile>,
    /// By file.
    prefixes: Vec<String>,
    style: Style,
    zone: TimeZone,
    terminal: &'a mut Terminal,
    choice: Choice<'a>,
    begun: SystemTime,
    /// Which of the files says what happens.
    pub(super) events: Option<usize>,
    /// Something could not be read.
    pub(super) failed: bool,
}

impl<'a> Printer<'a> {
    pub(super) fn new(files: Vec<LogFile>, style: Style, terminal: &'a mut Terminal, choice: Choice<'a>) -> Self {
        let prefixes = prefixes(&files, terminal);
        Self {
            files,
            prefixes,
            style,
            zone: choice.zone.clone(),
            terminal,
            choice,
            begun: SystemTime::now(),
            events: None,
            failed: false,
        }
    }

    /// A time that is not known is as wide.
    fn time(&self, format: &DateFormat, at: Option<Timestamp>) -> String {
        let mut text = String::new();
        let moment = at.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(self.zone.clone());
        format.write(&civil(&moment), &mut text);
        if at.is_none() { "-".repeat(text.chars().count()) } else { text }
    }

    fn fit(&self, bytes: &[u8]) -> Vec<u8> {
        if !self.terminal.interactive {
            return bytes.to_owned();
        }
        let text = harmless(bytes, true);
        match &self.style.highlight {
            Some(mark) => text.replace(mark.as_str(), &format!("{}{mark}{}", MARK.0, MARK.1)).into_bytes(),
            None => text.into_bytes(),
        }
    }
}

impl Sink for Printer<'_> {
    fn line(&mut self, log: usize, line: &Line, told: &Told<'_>, arrived: Option<Timestamp>) -> io::Result<()> {
        if self.events == Some(log) {
            return happened(&line.bytes).iter().try_for_each(|event| self.terminal.write(event.as_bytes()));
        }
        let file = &self.files[log];
        let error = told.error.unwrap_or(file.stream == Stream::Error);
        let at = told.at.or(arrived);
        let mut text = match &self.style.shape {
            Shape::Json => object(file, line, told, arrived).into_bytes(),
            Shape::KeyValue(format) => {
                let time = at.map_or_else(|| "-".to_owned(), |at| self.time(format, Some(at)));
                let id = told.process_id.or(file.id).map_or_else(|| "-".to_owned(), |id| id.to_string());
                let stream = if error { "error" } else { "out" };
                let app = harmless(file.app.as_bytes(), false);
                let mut text = format!("timestamp={time} app={app} id={id} type={stream} message=").into_bytes();
                text.extend(self.fit(&told.message));
                text
            }
            Shape::Raw => self.fit(&line.bytes),
            Shape::Named(None) => [self.prefixes[log].as_bytes(), &self.fit(&line.bytes)].concat(),
            Shape::Named(Some(format)) => {
                let time = paint(self.terminal.colour, Colour::Dim, &self.time(format, at));
                let message = self.fit(&told.message);
                [time.as_bytes(), b" ", self.prefixes[log].as_bytes(), &message].concat()
            }
        };
        if line.cut > 0 && !matches!(self.style.shape, Shape::Json | Shape::Raw) {
            text.extend_from_slice(format!(" [{} bytes cut]", line.cut).as_bytes());
        }
        text.push(b'\n');
        if !matches!(self.style.shape, Shape::Raw) {
            return self.terminal.write(&text);
        }
        // It is to be what the app wrote and nothing else.
        if line.cut > 0 {
            let app = &file.app;
            self.terminal
                .note_once(&format!("`{app}` wrote lines longer than 1 MiB: their rest is only in its log file"));
        }
        if error { self.terminal.write_err(&text) } else { self.terminal.write(&text) }
    }

    fn trouble(&mut self, _: usize, file: &Path, error: &io::Error) {
        self.failed = true;
        self.terminal.say_error(&CliError::io("read", file, error));
    }

    fn idle(&mut self) -> io::Result<()> {
        self.terminal.flush_now()
    }

    fn others(&mut self) -> Vec<Log> {
        // A daemon that does not answer now is asked again when the next one is started.
        let fresh = self.choice.files(self.terminal).unwrap_or_default();
        let log = |file| {
            let mut log = self.choice.log(file);
            // All of it was written since this began, or is going to be.
            let is_new = match log.path.metadata() {
                Ok(meta) => meta.created().is_ok_and(|made| made >= self.begun),
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            };
            if is_new {
                log.lines = None;
            }
            log
        };
        let logs = fresh.iter().map(log).collect();
        self.files.extend(fresh);
        self.prefixes = prefixes(&self.files, self.terminal);
        logs
    }
}

/// A line of the history in PM2's words, which may be several or none.
fn happened(line: &[u8]) -> Vec<String> {
    let Ok(entry) = serde_json::from_slice::<Entry>(line) else { return Vec::new() };
    let (Some(app), Some(_)) = (&entry.app, entry.slot) else { return Vec::new() };
    let at = i64::try_from(entry.at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).map(iso);
    let event = |status| {
        json!({ "timestamp": at, "type": "process_event", "status": status, "app_name": app }).to_string() + "\n"
    };
    events(&entry).into_iter().map(event).collect()
}

fn object(file: &LogFile, line: &Line, told: &Told<'_>, arrived: Option<Timestamp>) -> String {
    let error = told.error.unwrap_or(file.stream == Stream::Error);
    let from = if told.at.is_some() { Some("line") } else { arrived.map(|_| "arrival") };
    let mut object = json!({
        "message": String::from_utf8_lossy(&told.message),
        "timestamp": told.at.or(arrived).map(iso),
        "timestamp_from": from,
        "type": if error { "err" } else { "out" },
        "process_id": told.process_id.or(file.id),
        "app_name": file.app,
        "namespace": file.namespace,
    });
    if line.cut > 0 {
        object["cut_bytes"] = line.cut.into();
    }
    object.to_string()
}

/// As wide as those of PM2 are at least.
const PM2_WIDTH: usize = 10;

/// `0|name     | `
fn prefix_as_pm2(file: &LogFile, colour: bool) -> String {
    let name = harmless(file.app.as_bytes(), false);
    let label = file.first.map_or_else(|| name.clone(), |id| format!("{id}|{name}"));
    let hue = match (file.first, file.stream) {
        (None, _) => Colour::Blue,
        (_, Stream::Out) => Colour::Green,
        (_, Stream::Error) => Colour::Red,
    };
    paint(colour, hue, &format!("{label:PM2_WIDTH$} | "))
}

fn prefixes(files: &[LogFile], terminal: &Terminal) -> Vec<String> {
    let colour = terminal.colour;
    if terminal.manners.are_pm2s() {
        return files.iter().map(|file| prefix_as_pm2(file, colour)).collect();
    }
    let labels: Vec<String> = files.iter().map(|file| harmless(file.label.as_bytes(), false)).collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let prefix = |(file, label): (&LogFile, String)| {
        if files.len() == 1 {
            return String::new();
        }
        let hue = if file.stream == Stream::Out { Colour::Green } else { Colour::Red };
        paint(colour, hue, &format!("{label:width$} | "))
    };
    files.iter().zip(labels).map(prefix).collect()
}

fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
