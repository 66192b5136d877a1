//! What apps have written, for who asks over the network.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::cli::logs::{LogFile, Stream, log_files};
use crate::http::{Feed, Problem, Streams};
use crate::logs::{Follower, Line, Log, Reader, Sink, Stamps, Told, Wanted};
use crate::rpc::wire::InstanceView;

/// Of all files together, at a time.
const LINES_MAX: usize = 5_000;

/// The last so many lines of each file.
pub(super) fn last(views: &[InstanceView], streams: Streams, lines: usize) -> Result<Vec<Value>, Problem> {
    let (files, mut reader) = reader(views, streams, lines);
    let mut collected = Collected { files, lines: Vec::new() };
    reader.read(&mut collected).map_err(|error| Problem::unavailable(format!("logs cannot be read: {error}")))?;
    Ok(collected.lines)
}

/// These, and all that is written from then on.
pub(super) fn follow(views: &[InstanceView], streams: Streams, lines: usize, feed: &Feed) -> Result<(), Problem> {
    use std::os::fd::AsFd as _;
    let (files, reader) = reader(views, streams, lines);
    let follower =
        Follower::new(reader).map_err(|error| Problem::unavailable(format!("logs cannot be followed: {error}")))?;
    let mut fed = Fed { files, feed };
    // It ends when nobody listens.
    let _ = follower.with_listener(feed.listener.as_fd()).run(&mut fed);
    Ok(())
}

fn reader(views: &[InstanceView], streams: Streams, lines: usize) -> (Vec<LogFile>, Reader) {
    let files = log_files(views, streams.out, streams.error);
    let lines = lines.min(LINES_MAX / files.len().max(1));
    let log = |file: &LogFile| {
        let stamps = Stamps::new(file.date_format.as_deref(), file.json, TimeZone::system());
        Log { path: file.path.clone(), stamps, lines: Some(lines) }
    };
    let logs = files.iter().map(log).collect();
    (files, Reader::new(logs, Wanted::default()))
}

fn told(file: &LogFile, told: &Told<'_>, arrived: Option<Timestamp>) -> Value {
    let is_error = told.error.unwrap_or(file.stream == Stream::Error);
    json!({
        "app": file.app,
        "id": told.process_id.or(file.id),
        "stream": if is_error { "error" } else { "out" },
        "at": told.at.or(arrived).map(|at| at.to_string()),
        "line": String::from_utf8_lossy(&told.message),
    })
}

struct Collected {
    files: Vec<LogFile>,
    lines: Vec<Value>,
}

impl Sink for Collected {
    fn line(&mut self, log: usize, _: &Line, line: &Told<'_>, arrived: Option<Timestamp>) -> io::Result<()> {
        self.lines.push(told(&self.files[log], line, arrived));
        Ok(())
    }

    /// Of what cannot be read there are no lines.
    fn trouble(&mut self, _: usize, _: &Path, _: &io::Error) {}

    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Fed<'a> {
    files: Vec<LogFile>,
    feed: &'a Feed,
}

impl Sink for Fed<'_> {
    fn line(&mut self, log: usize, _: &Line, line: &Told<'_>, arrived: Option<Timestamp>) -> io::Result<()> {
        self.feed.give("log", None, &told(&self.files[log], line, arrived))
    }

    fn trouble(&mut self, _: usize, _: &Path, _: &io::Error) {}

    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }
}
