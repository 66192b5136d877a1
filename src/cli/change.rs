//! Commands that change apps that are known: `stop`, `restart`, `delete`, `resurrect`.

use std::path::Path;

use super::arguments::Targets;
use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use super::{apply, exchange, surroundings};
use crate::rpc::wire::{Answer, Request};

pub(super) fn stop(arguments: &Targets, terminal: &mut Terminal) -> Result<Exit, CliError> {
    run(&Request::Stop { targets: arguments.targets.clone() }, "stopped", Exit::Error, terminal)
}

pub(super) fn restart(arguments: &Targets, terminal: &mut Terminal) -> Result<Exit, CliError> {
    check_code(&arguments.targets)?;
    run(&Request::Restart { targets: arguments.targets.clone() }, "restarted", Exit::NotReady, terminal)
}

pub(super) fn delete(arguments: &Targets, terminal: &mut Terminal) -> Result<Exit, CliError> {
    run(&Request::Delete { targets: arguments.targets.clone() }, "deleted", Exit::Error, terminal)
}

pub(super) fn resurrect(terminal: &mut Terminal) -> Result<Exit, CliError> {
    run(&Request::Resurrect, "resurrected", Exit::NotReady, terminal)
}

/// What runs is not stopped for what cannot be started.
fn check_code(targets: &[String]) -> Result<(), CliError> {
    let request = Request::Show { targets: targets.to_vec(), reveal: true };
    let Some(Answer::Show { apps }) = exchange::ask(&surroundings::home()?, request)? else { return Ok(()) };
    let missing = |path: &str| Path::new(path).is_absolute() && matches!(Path::new(path).try_exists(), Ok(false));
    for spec in apps.iter().map(|app| &app.spec) {
        let needed =
            [("folder", Some(&spec.cwd)), ("script", Some(&spec.script)), ("interpreter", spec.interpreter.as_ref())];
        let gone = needed.into_iter().find_map(|(what, path)| Some((what, path.filter(|path| missing(path))?)));
        if let Some((what, path)) = gone {
            let message = format!("the {what} `{path}` of app `{}` does not exist: nothing was restarted", spec.name);
            return Err(CliError::error(message).hint("put it back, or `pmrun apply` a file that names another"));
        }
    }
    Ok(())
}

/// Each starts a daemon where none runs: only it may change what is recorded, and one rule is easier to keep in mind
/// than two.
fn run(request: &Request, verb: &str, failed: Exit, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let outcome = exchange::perform(&surroundings::home()?, request, false, terminal, &mut |_, _| ())?;
    apply::conclude(verb, &outcome, failed, terminal)
}
