//! Commands that change apps that are known: `stop`, `restart`, `delete`, `resurrect`.

use super::arguments::Targets;
use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use super::{apply, exchange, surroundings};
use crate::rpc::wire::Request;

pub(super) fn stop(arguments: &Targets, terminal: &mut Terminal) -> Result<Exit, CliError> {
    run(Request::Stop { targets: arguments.targets.clone() }, "stopped", Exit::Error, terminal)
}

pub(super) fn restart(arguments: &Targets, terminal: &mut Terminal) -> Result<Exit, CliError> {
    run(Request::Restart { targets: arguments.targets.clone() }, "restarted", Exit::NotReady, terminal)
}

pub(super) fn delete(arguments: &Targets, terminal: &mut Terminal) -> Result<Exit, CliError> {
    run(Request::Delete { targets: arguments.targets.clone() }, "deleted", Exit::Error, terminal)
}

pub(super) fn resurrect(terminal: &mut Terminal) -> Result<Exit, CliError> {
    run(Request::Resurrect, "resurrected", Exit::NotReady, terminal)
}

/// Each starts a daemon where none runs: only it may change what is recorded, and one rule is easier to keep in mind
/// than two.
fn run(request: Request, verb: &str, failed: Exit, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let outcome = exchange::perform(&surroundings::home()?, request, false, terminal, &mut |_, _| ())?;
    apply::conclude(verb, &outcome, failed, terminal)
}
