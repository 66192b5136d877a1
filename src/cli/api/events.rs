//! What becomes of apps, and what they write, in the words of PM2's bus.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::cli::jlist::{self, exit_code};
use crate::cli::logs::{LogFile, Stream, log_files};
use crate::logs::{Follower, Line, Log, Reader, Sink, Stamps, Told as LineTold, Wanted};
use crate::rpc::client::DAEMON_LOG;
use crate::runtime::history::{Entry, HISTORY, What, Why};

const FRESH: Duration = Duration::from_millis(100);

/// Until nobody listens: the other end of `end` is gone then.
pub(super) fn follow(shared: &Shared, end: &UnixStream) {
    let path = shared.home().join(HISTORY);
    let log = Log { path, stamps: Stamps::new(None, false, TimeZone::UTC), lines: Some(0) };
    let Ok(follower) = Follower::new(Reader::new(vec![log], Wanted::default())) else { return };
    let mut events =
        Events { shared, seen: None, known: BTreeMap::new(), ran: BTreeSet::new(), taking_over: BTreeSet::new() };
    // What is deleted before anything else happens has to be known, too.
    let ran = events.look();
    events.ran.extend(ran);
    let _ = follower.with_listener(end.as_fd()).run(&mut events);
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
    /// When it was last looked what there is: many things may happen at once.
    seen: Option<Instant>,
    /// What PM2 tells of a process with an event, all but its variables, by app and slot: as it was last, where there is none any more.
    known: BTreeMap<(String, u32), Value>,
    /// Slots in which a process was started before: the next is no first.
    ran: BTreeSet<(String, u32)>,
    /// Slots in which one process relieves another that has not ended yet.
    taking_over: BTreeSet<(String, u32)>,
}

impl Events<'_> {
    /// Says where a process is, or was.
    fn look(&mut self) -> Vec<(String, u32)> {
        let mut ran = Vec::new();
        if self.seen.is_some_and(|at| at.elapsed() <= FRESH) {
            return ran;
        }
        let Ok(all) = jlist::values(&mut mute()) else { return ran };
        self.seen = Some(Instant::now());
        for mut one in all {
            let Some(mut env) = one.get_mut("pm2_env").map(Value::take) else { continue };
            let slot = env["instance_var"].as_str().and_then(|variable| env[variable].as_u64());
            let slot = slot.and_then(|slot| u32::try_from(slot).ok());
            if let (Some(name), Some(slot), Some(fields)) = (one["name"].as_str(), slot, env.as_object_mut()) {
                fields.remove("env");
                ran.extend(one["pid"].is_number().then(|| (name.to_owned(), slot)));
                self.known.insert((name.to_owned(), slot), env);
            }
        }
        ran
    }

    fn publish(&self, told: &Told, of: &(String, u32), at_ms: u64) {
        let mut process = self.known.get(of).cloned().unwrap_or_else(|| json!({ "name": of.0 }));
        process["status"] = json!(told.status);
        if let Some(code) = told.code {
            process["exit_code"] = json!(code);
        }
        let payload = json!({ "event": told.event, "manually": told.manually, "process": process, "at": at_ms });
        self.shared.publish("process:event", payload);
    }
}

impl Sink for Events<'_> {
    fn line(&mut self, _: usize, line: &Line, _: &LineTold<'_>, _: Option<Timestamp>) -> io::Result<()> {
        let Ok(entry) = serde_json::from_slice::<Entry>(&line.bytes) else { return Ok(()) };
        if let (Some(app), What::Deleted { .. }) = (&entry.app, &entry.what) {
            self.ran.retain(|(name, _)| name != app);
        }
        let (Some(app), Some(slot)) = (&entry.app, entry.slot) else { return Ok(()) };
        let of = (app.clone(), slot);
        self.look();
        let is_new = !self.ran.contains(&of);
        if matches!(entry.what, What::Started { .. }) {
            self.ran.insert(of.clone());
        }
        let waits = self.known.get(&of).is_some_and(|process| process["wait_ready"] == true);
        let taken_over = match &entry.what {
            What::TookOver { .. } => {
                self.taking_over.insert(of);
                return Ok(());
            }
            What::Exited { .. } => entry.beside && self.taking_over.remove(&of),
            _ => false,
        };
        let side = match (taken_over, entry.beside) {
            (true, _) => Side::Relieved,
            (false, true) => Side::Beside,
            (false, false) => Side::Alone,
        };
        for told in told(&entry.what, side, is_new, waits) {
            self.publish(&told, &of, entry.at_ms);
        }
        Ok(())
    }

    fn trouble(&mut self, _: usize, _: &Path, _: &io::Error) {}

    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An event of PM2's.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    event: &'static str,
    manually: bool,
    status: &'static str,
    code: Option<i32>,
}

/// Which process of its slot it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Alone,
    /// Another serves.
    Beside,
    /// Another has taken over.
    Relieved,
}

/// The events of an entry by their names, for who follows no instance: what was started without a restart is new.
pub(in crate::cli) fn events(entry: &Entry) -> Vec<&'static str> {
    let side = if entry.beside { Side::Beside } else { Side::Alone };
    let is_new = matches!(&entry.what, What::Started { restarts: 0, .. });
    told(&entry.what, side, is_new, false).into_iter().map(|told| told.event).collect()
}

/// What PM2 tells of it, in this order. Of what is beside another in its slot only that it comes and goes.
fn told(what: &What, side: Side, is_new: bool, waits: bool) -> Vec<Told> {
    let beside = side != Side::Alone;
    let say = |event, manually, status| Told { event, manually, status, code: None };
    let asked_by = |why: &Why| match why {
        Why::Command { command, .. } => Some(command.starts_with("reload")),
        _ => None,
    };
    match what {
        What::Started { why, restarts, .. } => {
            let online = (!waits).then(|| say("online", false, "launching"));
            let done = match asked_by(why) {
                Some(_) if beside => None,
                Some(_) if is_new && *restarts == 0 => Some("start"),
                Some(true) => Some("reload"),
                Some(false) => Some("restart"),
                None => None,
            };
            online.into_iter().chain(done.map(|event| say(event, true, "online"))).collect()
        }
        What::Online { .. } if waits => vec![say("online", false, "online")],
        What::Exited { status, asked, .. } => {
            let code = exit_code(*status);
            let first = (*asked || beside).then(|| Told { code, ..say("exit", false, "stopping") });
            let reload = (side == Side::Relieved).then(|| say("reload", true, "online"));
            first.into_iter().chain([Told { code, ..say("exit", false, "stopped") }]).chain(reload).collect()
        }
        What::Stopped { why } if !beside && !is_deletion(why) => vec![say("stop", asked_by(why).is_some(), "stopped")],
        What::GivenUp { .. } if !beside => vec![say("restart overlimit", false, "errored")],
        _ => Vec::new(),
    }
}

/// What is deleted is stopped for that, of which PM2 says nothing.
fn is_deletion(why: &Why) -> bool {
    matches!(why, Why::Command { command, .. } if ["delete", "kill"].iter().any(|verb| command.starts_with(verb)))
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
        let own = LogFile::of_daemon(self.shared.home().join(DAEMON_LOG));
        let files = log_files(&all, true, true).into_iter().chain([own]);
        let files: Vec<LogFile> = files.filter(|file| self.known.insert(file.path.clone())).collect();
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
    fn line(&mut self, log: usize, line: &Line, told: &LineTold<'_>, _: Option<Timestamp>) -> io::Result<()> {
        let Some(file) = self.files.get(log) else { return Ok(()) };
        if file.path.ends_with(DAEMON_LOG) {
            let process = json!({ "pm_id": "PM2", "name": "PM2", "rev": null });
            let data = String::from_utf8_lossy(&line.bytes);
            self.shared.publish("log:PM2", json!({ "process": process, "at": now_ms(), "data": data }));
            return Ok(());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ExitStatus;

    fn words(what: &What, side: Side, is_new: bool) -> Vec<String> {
        let word = |told: Told| {
            let by = if told.manually { "m" } else { "a" };
            let code = told.code.map(|code| format!(":{code}")).unwrap_or_default();
            format!("{}:{by}:{}{code}", told.event, told.status)
        };
        told(what, side, is_new, false).into_iter().map(word).collect()
    }

    #[test]
    fn each_change_has_pm2s_events_in_its_order() {
        let by = |command: &str| Why::Command { command: command.to_owned(), pid: 1, uid: None };
        let crash = Why::Exit { status: ExitStatus::Code(42), after_ms: 5 };
        let started = |restarts, why| What::Started { pid: 7, restarts, why, error_log: None, error_log_offset: 0 };
        let exited = |asked| What::Exited { status: ExitStatus::Code(42), after_ms: None, asked };
        let ended = ["exit:a:stopping:42", "exit:a:stopped:42"];
        let check = |what: &What, side, is_new, want: &[&str]| {
            assert_eq!(words(what, side, is_new), want, "{what:?}");
        };
        check(&started(0, by("start")), Side::Alone, true, &["online:a:launching", "start:m:online"]);
        check(&started(0, by("start")), Side::Alone, false, &["online:a:launching", "restart:m:online"]);
        check(&started(1, by("reload all")), Side::Alone, false, &["online:a:launching", "reload:m:online"]);
        check(&started(1, crash), Side::Alone, false, &["online:a:launching"]);
        check(&started(1, by("reload all")), Side::Beside, false, &["online:a:launching"]);
        check(&exited(true), Side::Alone, false, &ended);
        check(&exited(false), Side::Alone, false, &ended[1..]);
        check(&exited(true), Side::Relieved, false, &[ended[0], ended[1], "reload:m:online"]);
        check(&What::Stopped { why: by("stop x") }, Side::Alone, false, &["stop:m:stopped"]);
        check(&What::Stopped { why: by("delete x") }, Side::Alone, false, &[]);
        check(&What::GivenUp { reason: String::new() }, Side::Alone, false, &["restart overlimit:a:errored"]);
    }
}
