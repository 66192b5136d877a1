use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use super::{apply, exchange, surroundings};

pub(super) fn run(terminal: &mut Terminal) -> Result<Exit, CliError> {
    let Some(outcome) = exchange::kill(&surroundings::home()?, terminal)? else {
        terminal.say("no daemon is running");
        return Ok(Exit::Done);
    };
    let idle =
        outcome.touched == 0 && outcome.tally.is_empty() && outcome.failed.is_empty() && outcome.cancelled.is_none();
    let exit = if idle { Exit::Done } else { apply::conclude("stopped", &outcome, Exit::Error, terminal)? };
    terminal.say("the daemon has ended");
    Ok(exit)
}
