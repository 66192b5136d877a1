//! What is recorded on disk: whether it is whole, and building it anew where it is not.

use std::fmt::Write as _;
use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::arguments::{Json, StateCommand};
use super::error::CliError;
use super::exit::Exit;
use super::offline::{self, Failure, Source};
use super::terminal::{Terminal, counted};
use super::{events, exchange, surroundings};
use crate::daemon::rebuild::{self, RebuildError, SET_ASIDE_TIME};
use crate::platform::time_zone;
use crate::rpc::wire::{Answer, Request};
use crate::runtime::store::{self, SET_ASIDE, StoreError};

/// How long it is said that one was set aside.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn run(command: &StateCommand, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    match command {
        StateCommand::Check(Json { json }) => check(&home, *json, terminal),
        StateCommand::Repair(Json { json }) => repair(&home, *json, terminal),
    }
}

/// What a file says: so many apps, or what is wrong with it. None: there is none.
type Found = Option<Result<usize, String>>;

fn look(home: &Path) -> Result<Found, CliError> {
    match offline::find(home, &Request::CheckState) {
        Ok(Source::Daemon(Answer::State { problem, apps, .. })) => Ok(Some(problem.map_or(Ok(apps), Err))),
        Ok(Source::Daemon(other)) => Err(exchange::unexpected(&other)),
        Ok(Source::Store(state)) => Ok(state.map(|state| Ok(state.apps.len()))),
        Err(Failure::Store(StoreError::Damaged { reason, .. })) => Ok(Some(Err(reason))),
        Err(failure) => Err(failure.into()),
    }
}

fn check(home: &Path, as_json: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let found = look(home)?;
    let backups = store::backups(home);
    let aside = set_aside(home);
    if as_json {
        let backups: Vec<Value> = backups
            .iter()
            .map(|(path, backup)| match backup {
                Ok(backup) => {
                    json!({ "file": path, "sound": true, "apps": backup.state.apps.len(), "at_ms": backup.at_ms })
                }
                Err(problem) => json!({ "file": path, "sound": false, "problem": problem }),
            })
            .collect();
        let (apps, problem) = match &found {
            Some(Ok(apps)) => (Some(*apps), None),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        terminal.json(&json!({
            "version": 1, "file": home.join("state"), "exists": found.is_some(), "sound": problem.is_none(),
            "apps": apps, "problem": problem, "backups": backups, "set_aside": aside,
        }))?;
    } else {
        let zone = time_zone(None);
        let mut text = match &found {
            None => "state: there is none yet\n".to_owned(),
            Some(Ok(apps)) => format!("state: sound, {}\n", counted(*apps, "app")),
            Some(Err(problem)) => format!("state: damaged: {problem}\n"),
        };
        for (path, backup) in &backups {
            let name = path.file_name().unwrap_or_default().display();
            let _ = match backup {
                Ok(backup) => {
                    let at = events::at(backup.at_ms, zone.as_ref(), "%Y-%m-%d %H:%M:%S");
                    writeln!(text, "{name}: sound, {}, of {at}", counted(backup.state.apps.len(), "app"))
                }
                Err(problem) => writeln!(text, "{name}: damaged: {problem}"),
            };
        }
        for path in aside {
            let _ = writeln!(text, "set aside before: {path}");
        }
        terminal.print(text)?;
    }
    if !matches!(found, Some(Err(_))) {
        return Ok(Exit::Done);
    }
    let from = if backups.iter().any(|(_, backup)| backup.is_ok()) {
        "its backup and what runs"
    } else {
        "nothing but what runs: no backup can be used"
    };
    terminal.note(&format!("nothing was changed; `pmrun state repair` sets it aside and builds it anew from {from}"));
    Ok(Exit::Error)
}

fn repair(home: &Path, as_json: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let sound =
        || CliError::error("the state is sound: there is nothing to repair").hint("`pmrun state check` shows it");
    if let Some(answer) = exchange::ask(home, Request::RepairState)? {
        let Answer::State { problem, apps, aside } = answer else { return Err(exchange::unexpected(&answer)) };
        let problem = problem.ok_or_else(sound)?;
        let apps = counted(apps, "app");
        terminal.note(&format!("the state was damaged ({problem}): the daemon wrote it anew, with {apps}"));
        if let Some(aside) = &aside {
            terminal.note(&format!("the damaged one is kept as `{aside}`"));
        }
        if as_json {
            terminal.json(&json!({ "version": 1, "problem": problem, "set_aside": aside, "from": "the daemon" }))?;
        }
        return Ok(Exit::Done);
    }
    let rebuilt = rebuild::repair(home).map_err(|error| match error {
        RebuildError::Store(error) => CliError::store(&error),
        error => CliError::error(error.to_string()),
    })?;
    let rebuilt = rebuilt.ok_or_else(sound)?;
    for line in rebuilt.lines() {
        terminal.note(&line);
    }
    if as_json {
        let strangers: Vec<Value> = rebuilt
            .strangers
            .iter()
            .map(|stranger| json!({ "pid": stranger.pid, "name": stranger.instance.app, "slot": stranger.instance.slot }))
            .collect();
        terminal.json(&json!({
            "version": 1, "problem": rebuilt.reason, "set_aside": rebuilt.aside,
            "from": rebuilt.from.as_ref().map(|(path, _)| path), "apps": rebuilt.apps, "strangers": strangers,
        }))?;
    } else if rebuilt.from.is_none() {
        terminal.note("`pmrun apply` of each ecosystem file makes its apps known again");
    }
    Ok(Exit::Done)
}

/// That the state was built anew not long ago is said until somebody has looked at the damaged one, and removed it: a daemon
/// that nobody waited for has told nobody.
pub(super) fn note_rebuilt(home: &Path, terminal: &mut Terminal) {
    let names = set_aside(home);
    let Some((name, at)) = newest(&names, Timestamp::now()) else { return };
    // By the daemon that this command has started.
    if terminal.has_noted(name) {
        return;
    }
    let at = events::at(at, time_zone(None).as_ref(), "%Y-%m-%d %H:%M:%S");
    let kept = home.join(name);
    terminal.note(&format!(
        "the state was damaged, and built anew at {at}; the damaged one is kept as `{}` (this is said for a day, or until that \
         is removed); `pmrun history` and `pmrun state check` tell more",
        kept.display()
    ));
}

/// The last one, where it is of the last day, and when that was, in milliseconds since 1970.
fn newest(names: &[String], now: Timestamp) -> Option<(&str, u64)> {
    let of = |name: &String| {
        let time = name.strip_prefix(SET_ASIDE)?.split_inclusive('Z').next()?;
        let time = DateTime::strptime(SET_ASIDE_TIME, time).ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(time.timestamp())
    };
    // Of one second, the later ones have longer names.
    let (at, _, name) = names.iter().filter_map(|name| Some((of(name)?, name.len(), name.as_str()))).max()?;
    let is_recent = now.duration_since(at) < TOLD_FOR;
    is_recent.then_some(name).zip(u64::try_from(at.as_millisecond()).ok())
}

/// Damaged ones of before.
fn set_aside(home: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(home).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(SET_ASIDE)).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_of_the_last_day_is_told_of() {
        let names = |names: &[&str]| names.iter().map(|name| format!("state.damaged-{name}")).collect::<Vec<_>>();
        let now: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        for (all, want) in [
            (&[][..], None),
            (&["2026-03-01T09-59-59Z"], None),
            (&["2026-03-01T10-00-01Z"], Some("2026-03-01T10-00-01Z")),
            (&["2026-03-02T09-00-00Z", "2026-02-01T00-00-00Z"], Some("2026-03-02T09-00-00Z")),
            (
                &["2026-03-02T09-00-00Z", "2026-03-02T09-00-00Z-10", "2026-03-02T09-00-00Z-9"],
                Some("2026-03-02T09-00-00Z-10"),
            ),
            (&["somebody's"], None),
        ] {
            let names = names(all);
            let told = newest(&names, now).map(|(name, _)| name.to_owned());
            assert_eq!(told, want.map(|name| format!("state.damaged-{name}")), "{all:?}");
        }
        assert_eq!(newest(&names(&["2026-03-02T09-00-00Z"]), now).unwrap().1, 1_772_442_000_000);
    }
}
