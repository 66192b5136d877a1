//! What all commands share that change apps that are known; `scale`.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use super::arguments::{Scale, Turn};
use super::error::CliError;
use super::exchange::Outcome;
use super::exit::Exit;
use super::terminal::{Terminal, harmless};
use super::{apply, exchange, instances, surroundings};
use crate::base::format_span;
use crate::platform::{self, Use};
use crate::rpc::wire::{Answer, AppView, Request};
use crate::spec::AppSpec;

pub(super) fn scale(arguments: &Scale, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let Scale { target, to, turn } = arguments;
    let targets = vec![target.clone()];
    check_code(&targets)?;
    bring_up(&Request::Scale { targets: targets.clone(), to: *to }, &targets, "scaled", *turn, terminal)
}

/// What runs is not stopped for what cannot be started.
pub(super) fn check_code(targets: &[String]) -> Result<Vec<AppView>, CliError> {
    let request = Request::Show { targets: targets.to_vec(), reveal: true, ambient: false };
    let answer = exchange::ask(&surroundings::home()?, request)?;
    let Some(Answer::Show { apps, .. }) = answer else { return Ok(Vec::new()) };
    for app in &apps {
        if let Some(problem) = obstacle(&app.spec) {
            return Err(CliError::error(format!("{problem}: nothing was restarted"))
                .hint("put it right, or `pmrun apply` a file that says it otherwise"));
        }
    }
    Ok(apps)
}

/// That a reload of it is none, how long it took the last time, and what to set.
pub(super) fn downtime(app: &AppView) -> Option<String> {
    let remedy = app.spec.downtime_remedy()?;
    let last = app.instances.iter().filter_map(|view| view.downtime_ms).max();
    let last = last.map(|ms| format!(" ({} last time)", format_span(ms))).unwrap_or_default();
    let name = harmless(app.spec.name.as_bytes(), false);
    let runs = app.instances.iter().any(|view| view.pid.is_some());
    runs.then(|| format!("`{name}` is restarted, with downtime{last}; a server is reloaded without it by {remedy}"))
}

/// Why an app could not be started again, as far as that shows: what is found by its name in the app's PATH is not looked for.
fn obstacle(spec: &AppSpec) -> Option<String> {
    let problem = |path: &str, access| {
        let path = Path::new(path);
        let denied = path.is_absolute().then(|| platform::may(path, access).err())??;
        Some(match (denied.kind(), access) {
            (ErrorKind::NotFound, _) => "does not exist".to_owned(),
            (ErrorKind::PermissionDenied, Use::Run) => "is not executable".to_owned(),
            (ErrorKind::PermissionDenied, Use::Enter) => "may not be entered".to_owned(),
            _ => format!("cannot be used: {}", platform::reason(&denied)),
        })
    };
    let script = if spec.interpreter.is_some() { Use::Read } else { Use::Run };
    let needed = [
        ("folder", Some(spec.cwd.clone()), Use::Enter),
        ("script", Some(spec.script.clone()), script),
        ("interpreter", spec.interpreter.clone(), Use::Run),
        ("interpreter", first_line(spec), Use::Run),
    ];
    needed.into_iter().find_map(|(what, path, access)| {
        let path = path?;
        Some(format!("the {what} `{path}` of app `{}` {}", spec.name, problem(&path, access)?))
    })
}

/// The interpreter that a script names that is run by itself.
fn first_line(spec: &AppSpec) -> Option<String> {
    let mut head = [0; 256];
    let length = std::fs::File::open(&spec.script).ok()?.read(&mut head).ok().filter(|_| spec.interpreter.is_none())?;
    let line = head[..length].strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.split_whitespace().next().map(str::to_owned)
}

/// Each starts a daemon where none runs: only it may change what is recorded, and one rule is easier to keep in mind
/// than two.
pub(super) fn run(request: &Request, verb: &str, turn: Turn, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let outcome = exchange::perform(&surroundings::home()?, request, turn.no_queue, terminal, &mut |_, _| ())?;
    apply::conclude(verb, &outcome, Exit::Error, terminal)
}

/// And says which limits of `targets` are not in force.
pub(super) fn bring_up(
    request: &Request,
    targets: &[String],
    verb: &str,
    turn: Turn,
    terminal: &mut Terminal,
) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let outcome = exchange::perform(&home, request, turn.no_queue, terminal, &mut |_, _| ())?;
    concluded(&home, targets, verb, &outcome, terminal)
}

/// The end of what brings apps up.
pub(super) fn concluded(
    home: &Path,
    targets: &[String],
    verb: &str,
    outcome: &Outcome,
    terminal: &mut Terminal,
) -> Result<Exit, CliError> {
    // One that was taken back, or has failed, may have left none of them.
    if let Ok(views) = instances::all(home).and_then(|all| instances::select(targets, &all)) {
        apply::say_limits(&views, &|_| true, &BTreeSet::new(), terminal);
    }
    apply::conclude(verb, outcome, Exit::NotReady, terminal)
}
