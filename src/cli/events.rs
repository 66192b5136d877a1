use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::error::CliError;
use super::exit::Exit;
use super::history::{self, History};
use super::terminal::{Colour, Terminal, harmless, paint};
use super::{arguments, columns, exchange, instances, logs, progress, surroundings};
use crate::base::InstanceId;
use crate::logs::{FollowError, Follower, Line, Log, Reader, Sink, Stamps, Told};
use crate::platform::time_zone;
use crate::rpc::wire::InstanceView;
use crate::runtime::history::{Entry, HISTORY, What};

/// How many lines `--follow` begins with, when nothing else is said.
const LINES_BEFORE: usize = 15;

pub(super) fn run(arguments: &arguments::Events, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    // Before it is read: nothing that happens from then on is missed.
    let log = || Log { path: home.join(HISTORY), stamps: Stamps::new(None, false, TimeZone::UTC), lines: None };
    let follow =
        || Follower::new(Reader::new(vec![log()], crate::logs::Wanted::default())).map_err(|err| cannot_follow(&err));
    let follower = arguments.follow.then(follow).transpose()?;
    let history = History::read(&home)?;
    let lines: Vec<(u64, &str, Entry)> =
        history.lines().into_iter().filter_map(|(number, line)| Some((number, line, history::parse(line)?))).collect();
    let wanted = wanted(&home, &arguments.targets, &lines.iter().map(|(_, _, entry)| entry), terminal)?;
    let from_ms = arguments.since.map_or(0, |since| u64::try_from(since.as_millisecond()).unwrap_or(0));
    let mut printer = Printer { wanted, from_ms, json: arguments.json, serves: false, last: 0, terminal };
    let shown: Vec<bool> = lines.iter().map(|(_, _, entry)| printer.shows(entry)).collect();
    let default = follower.as_ref().filter(|_| arguments.since.is_none()).map(|_| LINES_BEFORE);
    let count = shown.iter().filter(|shown| **shown).count();
    let mut skip = arguments.lines.or(default).map_or(0, |most| count.saturating_sub(most));
    for ((number, line, entry), shown) in lines.iter().zip(shown) {
        if shown && skip > 0 {
            skip -= 1;
            printer.pass(*number, entry);
        } else {
            printer.print(*number, line, entry).map_err(|err| CliError::output(&err))?;
        }
    }
    let Some(follower) = follower else { return Ok(Exit::Done) };
    // All of the file once more: what was seen has a number.
    let stdout = io::stdout();
    match follower.with_listener(stdout.as_fd()).run(&mut printer) {
        Ok(()) => Ok(Exit::Done),
        Err(err) => Err(cannot_follow(&err)),
    }
}

fn cannot_follow(err: &FollowError) -> CliError {
    logs::cannot_follow(err, "leaving out `--follow`")
}

/// Whose events are wanted. What the history alone still knows can be named, too.
#[derive(Debug, Default)]
struct Wanted {
    all: bool,
    apps: BTreeSet<String>,
    instances: BTreeSet<InstanceId>,
}

impl Wanted {
    fn has(&self, entry: &Entry) -> bool {
        self.all
            || entry.app.as_ref().is_some_and(|app| {
                let of_slot = |slot| self.instances.contains(&InstanceId::new(app.as_str(), slot));
                self.apps.contains(app) || entry.slot.is_some_and(of_slot)
            })
    }
}

fn wanted<'a>(
    home: &Path,
    targets: &[String],
    entries: &(impl Iterator<Item = &'a Entry> + Clone),
    terminal: &mut Terminal,
) -> Result<Wanted, CliError> {
    let mut wanted = Wanted { all: targets.is_empty(), ..Wanted::default() };
    let mut known: Option<Vec<InstanceView>> = None;
    for target in targets {
        let named = |entry: &Entry| entry.app.as_ref() == Some(target);
        if target == "all" {
            wanted.all = true;
        } else if entries.clone().any(named) {
            wanted.apps.insert(target.clone());
        } else {
            let views = match &known {
                Some(views) => views,
                None => known.insert(instances::shown(home, terminal)?.instances),
            };
            match crate::runtime::resolve(std::slice::from_ref(target), views) {
                Ok(found) => wanted.instances.extend(found),
                Err(err) => {
                    let gone = target.parse::<InstanceId>().ok().filter(|id| {
                        entries.clone().any(|entry| entry.app.as_ref() == Some(&id.app) && entry.slot == Some(id.slot))
                    });
                    let id = gone.ok_or_else(|| exchange::unknown_target(&err))?;
                    wanted.instances.insert(id);
                }
            }
        }
    }
    Ok(wanted)
}

struct Printer<'a> {
    wanted: Wanted,
    from_ms: u64,
    json: bool,
    /// A daemon was started and has not said that it ended.
    serves: bool,
    /// The number of the last entry that was seen.
    last: u64,
    terminal: &'a mut Terminal,
}

impl Printer<'_> {
    fn shows(&self, entry: &Entry) -> bool {
        entry.at_ms >= self.from_ms && self.wanted.has(entry)
    }

    /// What is not shown may still say something about what comes after it.
    fn pass(&mut self, number: u64, entry: &Entry) {
        self.last = self.last.max(number);
        match entry.what {
            What::DaemonStarted { .. } => self.serves = true,
            What::DaemonEnded { .. } => self.serves = false,
            _ => {}
        }
    }

    fn print(&mut self, number: u64, line: &str, entry: &Entry) -> io::Result<()> {
        if self.shows(entry) {
            let text = if self.json {
                format!("{line}\n")
            } else {
                let colour = self.terminal.colour;
                format!("{}\n", text(entry, self.serves, time_zone(None).as_ref(), colour))
            };
            self.terminal.write(text.as_bytes())?;
        }
        self.pass(number, entry);
        Ok(())
    }
}

impl Sink for Printer<'_> {
    fn line(&mut self, _: usize, line: &Line, _: &Told<'_>, _: Option<Timestamp>) -> io::Result<()> {
        let line = String::from_utf8_lossy(&line.bytes);
        match history::number(&line).zip(history::parse(&line)) {
            Some((number, entry)) if number > self.last => self.print(number, &line, &entry),
            _ => Ok(()),
        }
    }

    /// It is read again when it is there again.
    fn trouble(&mut self, _: usize, _: &Path, _: &io::Error) {}

    fn idle(&mut self) -> io::Result<()> {
        self.terminal.flush_now()
    }
}

/// `2026-11-21 20:51:02.123  api:0  online after 1.0s`
pub(super) fn text(entry: &Entry, serves: bool, zone: Option<&TimeZone>, colour: bool) -> String {
    let subject = match &entry.app {
        Some(app) => progress::subject(app, entry.slot),
        None => "the daemon".to_owned(),
    };
    let mut what = harmless(entry.what.to_string().as_bytes(), false);
    if entry.beside {
        what.insert_str(0, "beside it: ");
    }
    if serves && matches!(entry.what, What::DaemonStarted { upgraded: false, .. }) {
        what += "; the one before it was killed, or crashed";
    }
    format!("{}  {subject}  {}", at(entry.at_ms, zone, "%Y-%m-%d %H:%M:%S%.3f"), paint(colour, hue(&entry.what), &what))
}

pub(super) fn at(at_ms: u64, zone: Option<&TimeZone>, form: &str) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    at.map_or_else(|| at_ms.to_string(), |at| at.to_zoned(zone).strftime(form).to_string())
}

pub(super) fn hue(what: &What) -> Colour {
    match what {
        What::Exited { status, asked: false, .. } if !status.is_success() => Colour::Red,
        What::Lost { .. } | What::Killed { .. } => Colour::Red,
        _ => what.state().map_or(Colour::Dim, columns::hue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ExitStatus, Now, Wall};
    use crate::runtime::history::Why;

    #[test]
    fn an_event_is_a_line() {
        let now = Now { wall: Wall(1_774_742_400_123), ..Now::default() };
        let id = InstanceId::new("api", 1);
        let status = ExitStatus::Code(3);
        let command = Why::Command { command: "restart of `api`".into(), pid: 7, uid: Some(0) };
        let started = |why| What::Started { pid: 5, restarts: 1, why, error_log: None, error_log_offset: 0 };
        let daemon = What::DaemonStarted { pid: 5, version: "1.0".into(), upgraded: false };
        let table = [
            (
                Entry::of_instance(&id, started(command.clone()), now),
                "api:1  started (pid 5): restart of `api` (pid 7, root)",
            ),
            (
                Entry::of_instance(&id, started(Why::Exit { status, after_ms: 12_000 }), now),
                "api:1  started (pid 5): it had ended after 12.0s: exit code 3 (autorestart)",
            ),
            (
                Entry::of_instance(&id, What::Exited { status, after_ms: Some(90_000), asked: true }, now),
                "api:1  ended after 1m 30s, as asked: exit code 3",
            ),
            (
                Entry::of_app("api", What::Scaled { from: 1, to: 3, why: Why::Cron }, now),
                "api  scaled from 1 to 3: its time had come (cron_restart)",
            ),
            (
                Entry::of_app("a\x1b[2J", What::Deleted { why: Why::Signal }, now),
                "a\\u{1b}[2J  deleted: the daemon was told to end by a signal",
            ),
            (
                Entry::of_daemon(daemon, now),
                "the daemon  pmrun 1.0 serves (pid 5); the one before it was killed, or crashed",
            ),
        ];
        for (entry, want) in table {
            assert_eq!(text(&entry, true, None, false), format!("2026-03-29 00:00:00.123  {want}"));
        }
        let upgraded = What::DaemonStarted { pid: 5, version: "1.1".into(), upgraded: true };
        let upgraded = Entry::of_daemon(upgraded, now);
        let text = text(&upgraded, true, None, false);
        assert!(
            text.ends_with("pmrun 1.1 serves (pid 5) in place of the program before, which was upgraded"),
            "{text}"
        );
    }
}
