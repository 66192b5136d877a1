//! What is recorded on disk: whether it is whole, and building it anew where it is not.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::arguments::{Json, StateCommand};
use super::error::CliError;
use super::exit::Exit;
use super::offline::{self, Failure, Source};
use super::terminal::{Terminal, counted};
use super::{events, exchange, surroundings};
use crate::daemon::rebuild::{self, RebuildError};
use crate::platform::time_zone;
use crate::rpc::wire::{Answer, Request};
use crate::runtime::store::{self, StoreError};

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

/// Damaged ones of before.
fn set_aside(home: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(home).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("state.damaged-")).collect();
    names.sort_unstable();
    names
}
