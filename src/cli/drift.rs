//! What is not as it was applied, though nobody has edited the file.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::error::CliError;
use super::exit::Exit;
use super::offline::{self, Past};
use super::terminal::{Colour, Terminal, harmless, paint};
use super::{arguments, columns, exchange, list, surroundings};
use crate::config::retake;
use crate::daemon::stood;
use crate::plan::{Drift, DriftKind, Formers, Running};
use crate::platform::{deleted_program, user_name};
use crate::rpc::wire::{Answer, Request};
use crate::runtime::generation::former_of;
use crate::runtime::{self, Recall};
use crate::spec::AppSpec;

pub(super) fn run(arguments: &arguments::Json, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let drifts = all(&surroundings::home()?, terminal)?;
    if arguments.json {
        let values: Vec<Value> = drifts.iter().map(value).collect();
        terminal.json(&json!({ "version": 1, "drift": values }))?;
    } else {
        let now = list::now_ms();
        let text: String = drifts.iter().map(|drift| line(drift, now, terminal.colour) + "\n").collect();
        terminal.print(text)?;
        if drifts.is_empty() {
            terminal.say("no drift: everything is as it was applied");
        } else if drifts.iter().any(Drift::is_put_right) {
            terminal.note("`pmrun apply` puts right what it does not leave");
        }
        if drifts.iter().any(|drift| drift.ecosystem.is_none()) {
            terminal.note("apps of no file are put right by `pmrun restart NAME`");
        }
    }
    Ok(if drifts.is_empty() { Exit::Done } else { Exit::Changes })
}

/// As the daemon and the processes say; where no daemon runs, as what is stored says.
pub(super) fn all(home: &Path, terminal: &mut Terminal) -> Result<Vec<Drift>, CliError> {
    let past = offline::show_past(home, &Request::Drift, &Recall::ByHand, terminal)?;
    let (mut drifts, running) = known(home, past)?;
    drifts.extend(of_processes(&running)?);
    drifts.sort_by(|a, b| a.app.cmp(&b.app));
    Ok(drifts)
}

/// What is known to be changed by hand, for who tells that apart; nothing where that cannot be found out.
pub(super) fn by_hand(home: &Path) -> Vec<Drift> {
    let past = offline::recall(home, &Request::Drift, &Recall::ByHand);
    past.and_then(|past| known(home, past)).map(|(drifts, _)| drifts).unwrap_or_default()
}

fn known(home: &Path, past: Past) -> Result<(Vec<Drift>, Vec<Running>), CliError> {
    let (found, state) = match past {
        Past::Daemon(Answer::Drift { drifts, running }) => return Ok((drifts, running)),
        Past::Daemon(other) => return Err(exchange::unexpected(&other)),
        Past::Store(found, state) => (found, state),
    };
    let (Ok(found), Some(mut state)) = (found, state) else { return Ok(Default::default()) };
    let unwatched = offline::unwatched(home, &mut state);
    let snapshot = runtime::offline_snapshot(&state, &unwatched, &stood(home));
    let now: Formers = state.apps.iter().map(|(name, record)| (name.clone(), former_of(record))).collect();
    let running = snapshot.apps.iter().flat_map(|(name, app)| {
        let own = unwatched.iter().filter(|(id, _)| id.app == *name);
        let pids: BTreeMap<u32, u32> = own.map(|(id, survivor)| (id.slot, survivor.pid)).collect();
        runtime::drift::running(name, app, &pids)
    });
    let mut drifts = runtime::drift::of(&snapshot, &now, &found, &state.key);
    drifts.extend(runtime::drift::down(&snapshot, &state));
    Ok((drifts, running.collect()))
}

/// What only a look at the disk says.
fn of_processes(running: &[Running]) -> Result<Vec<Drift>, CliError> {
    let env = surroundings::world()?.env;
    let mut found: Vec<Drift> = Vec::new();
    let mut add = |one: &Running, what: DriftKind| {
        // Instances that are alike are one line.
        let known = found.iter_mut().find(|known| known.app == one.app && alike(&known.what, &what));
        match known.map(|known| &mut known.what) {
            Some(
                DriftKind::OlderCode { slots, .. }
                | DriftKind::DeletedProgram { slots, .. }
                | DriftKind::MissingProgram { slots, .. },
            ) => slots.push(one.slot),
            _ => found.push(Drift { app: one.app.clone(), ecosystem: one.ecosystem.clone(), what, by: None }),
        }
    };
    let mut last: Option<(&Running, Vec<String>)> = None;
    for one in running {
        // What else there is to say of its code is no news then.
        if is_missing(&one.script) {
            add(one, DriftKind::MissingProgram { slots: vec![one.slot], program: one.script.clone() });
            continue;
        }
        let files = match &last {
            Some((same, files)) if (&same.code, &same.cwd, &same.by) == (&one.code, &one.cwd, &one.by) => files.clone(),
            _ => older_files(one, &env),
        };
        if !files.is_empty() {
            add(one, DriftKind::OlderCode { slots: vec![one.slot], files: files.clone() });
        }
        last = Some((one, files));
        if let Some(program) = deleted_program(one.pid) {
            add(one, DriftKind::DeletedProgram { slots: vec![one.slot], program });
        }
    }
    Ok(found)
}

/// Of a name in PATH, or a command line, nobody can say.
fn is_missing(script: &str) -> bool {
    let script = Path::new(script);
    script.is_absolute() && matches!(script.try_exists(), Ok(false)) && !script.to_string_lossy().contains(' ')
}

fn alike(a: &DriftKind, b: &DriftKind) -> bool {
    match (a, b) {
        (DriftKind::OlderCode { files: a, .. }, DriftKind::OlderCode { files: b, .. }) => a == b,
        (DriftKind::DeletedProgram { program: a, .. }, DriftKind::DeletedProgram { program: b, .. })
        | (DriftKind::MissingProgram { program: a, .. }, DriftKind::MissingProgram { program: b, .. }) => a == b,
        _ => false,
    }
}

fn older_files(one: &Running, env: &BTreeMap<String, String>) -> Vec<String> {
    if one.code.0.is_empty() {
        return Vec::new();
    }
    let of = |code| {
        let mut spec = AppSpec::new(one.app.as_str(), "", one.cwd.as_str());
        spec.fingerprint = code;
        spec
    };
    let disk = of(retake(&one.cwd, &one.code, &one.by, env));
    let run = of(one.code.clone());
    crate::spec::Fingerprint::changed(&run, &disk).into_iter().map(|(file, ..)| file.to_owned()).collect()
}

pub(super) fn value(drift: &Drift) -> Value {
    let mut value = json!(drift);
    value["text"] = json!(drift.text());
    value["put_right"] = json!(drift.is_put_right());
    if let Some(by) = &drift.by {
        value["by"]["user"] = json!(user_name(by.uid));
    }
    value
}

/// `api  stopped by hand: api:0 (@12 `stop api` by root, 5m ago)`.
pub(super) fn line(drift: &Drift, now_ms: u64, colour: bool) -> String {
    let by = drift.by.as_ref().map(|by| {
        let who = user_name(by.uid).unwrap_or_else(|| by.uid.to_string());
        format!(" ({by} by {who}, {} ago)", columns::rough(now_ms.saturating_sub(by.at_ms) / 1_000))
    });
    let text = format!("{}{}", drift.text(), by.unwrap_or_default());
    let app = paint(colour, Colour::Yellow, &harmless(drift.app.as_bytes(), false));
    format!("{app}  {}", harmless(text.as_bytes(), false))
}
