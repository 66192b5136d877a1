//! What becomes of apps, and what they write, in the words of PM2's bus.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::bus::{Shared, now_ms};
use super::calls::mute;
use crate::cli::instances;
use crate::cli::jlist;
use crate::cli::logs::{LogFile, Stream, log_files};
use crate::logs::{Follower, Line, Log, Reader, Sink, Stamps, Told, Wanted};
use crate::runtime::history::{Entry, HISTORY, What, Why};

const FRESH: Duration = Duration::from_millis(100);

/// Until nobody listens: the other end of `end` is gone then.
pub(super) fn follow(shared: &Shared, end: &UnixStream) {
    let path = shared.home().join(HISTORY);
    let log = Log { path, stamps: Stamps::new(None, false, TimeZone::UTC), lines: Some(0) };
    let Ok(follower) = Follower::new(Reader::new(vec![log], Wanted::default())) else { return };
    let _ = follower.with_listener(end.as_fd()).run(&mut Events { shared, seen: None });
}

pub(super) fn follow_logs(shared: &Shared, end: &UnixStream) {
    let mut lines = Lines { shared, files: Vec::new(), known: BTreeSet::new(), began: Timestamp::now() };
    let logs = lines.fresh();
    let follower = Follower::new(Reader::new(logs, Wanted::default()));
    let Ok(follower) = follower.and_then(|follower| follower.with_news(&shared.home().join("pids"))) else { return };
    let _ = follower.with_listener(end.as_fd()).run(&mut lines);
}

struct Events<'a> {
    shared: &'a Shared,
    /// What there was when it was last looked: many things may happen at once.
    seen: Option<(Instant, Vec<Value>)>,
}

impl Events<'_> {
    /// What PM2 tells of it with an event: all but its variables.
    fn process(&mut self, app: &str, slot: u32) -> Option<Value> {
        if self.seen.as_ref().is_none_or(|(at, _)| at.elapsed() > FRESH) {
            let all = jlist::values(&mut mute()).ok()?;
            self.seen = Some((Instant::now(), all));
        }
        let is_it = |one: &&Value| one["name"] == app && one["pm2_env"]["NODE_APP_INSTANCE"] == slot;
        let mut env = self.seen.as_ref()?.1.iter().find(is_it)?.get("pm2_env")?.clone();
        env.as_object_mut()?.remove("env");
        Some(env)
    }
}

impl Sink for Events<'_> {
    fn line(&mut self, _: usize, line: &Line, _: &Told<'_>, _: Option<Timestamp>) -> io::Result<()> {
        let Ok(entry) = serde_json::from_slice::<Entry>(&line.bytes) else { return Ok(()) };
        let Some((event, manually)) = event(&entry.what) else { return Ok(()) };
        // While one relieves the other, it is about the one that PM2 does not list.
        let (Some(app), Some(slot), false) = (&entry.app, entry.slot, entry.beside) else { return Ok(()) };
        let process = self.process(app, slot).unwrap_or_else(|| json!({ "name": app }));
        let payload = json!({ "event": event, "manually": manually, "process": process, "at": entry.at_ms });
        self.shared.publish("process:event", payload);
        Ok(())
    }

    fn trouble(&mut self, _: usize, _: &Path, _: &io::Error) {}

    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// PM2's word for it, and whether somebody asked for it.
fn event(what: &What) -> Option<(&'static str, bool)> {
    let is_asked = |why: &Why| matches!(why, Why::Command { .. });
    Some(match what {
        What::Started { restarts: 0, why, .. } => ("start", is_asked(why)),
        What::Started { why, .. } => ("restart", is_asked(why)),
        What::Online { .. } => ("online", false),
        What::Exited { asked, .. } => ("exit", *asked),
        What::Stopped { why } => ("stop", is_asked(why)),
        What::Deleted { why } => ("delete", is_asked(why)),
        What::GivenUp { .. } => ("restart overlimit", false),
        What::TookOver { .. } => ("reload", true),
        _ => return None,
    })
}

struct Lines<'a> {
    shared: &'a Shared,
    files: Vec<LogFile>,
    known: BTreeSet<PathBuf>,
    began: Timestamp,
}

impl Lines<'_> {
    /// Those that have come since it was last asked.
    fn fresh(&mut self) -> Vec<Log> {
        let all = instances::all(self.shared.home()).unwrap_or_default();
        let files: Vec<LogFile> =
            log_files(&all, true, true).into_iter().filter(|file| self.known.insert(file.path.clone())).collect();
        let log = |file: &LogFile| {
            let made = file.path.metadata().and_then(|meta| meta.created()).ok();
            let is_new = made.and_then(|made| Timestamp::try_from(made).ok()).is_some_and(|made| made >= self.began);
            let stamps = Stamps::new(file.date_format.as_deref(), file.json, TimeZone::system());
            // All of it was written since this began.
            Log { path: file.path.clone(), stamps, lines: if is_new { None } else { Some(0) } }
        };
        let logs = files.iter().map(log).collect();
        self.files.extend(files);
        logs
    }
}

impl Sink for Lines<'_> {
    fn line(&mut self, log: usize, line: &Line, told: &Told<'_>, _: Option<Timestamp>) -> io::Result<()> {
        let Some(file) = self.files.get(log) else { return Ok(()) };
        let is_error = told.error.unwrap_or(file.stream == Stream::Error);
        let id = told.process_id.or(file.id).or_else(|| {
            let all = instances::all(self.shared.home()).unwrap_or_default();
            all.iter().find(|view| view.name == file.app).map(|view| view.id)
        });
        let process = json!({ "pm_id": id, "name": file.app, "rev": null, "namespace": file.namespace });
        let data = format!("{}\n", String::from_utf8_lossy(&line.bytes));
        let event = if is_error { "log:err" } else { "log:out" };
        self.shared.publish(event, json!({ "process": process, "at": now_ms(), "data": data }));
        Ok(())
    }

    fn trouble(&mut self, _: usize, _: &Path, _: &io::Error) {}

    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn others(&mut self) -> Vec<Log> {
        self.fresh()
    }
}
