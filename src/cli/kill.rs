use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use super::{apply, exchange, surroundings};

pub(super) fn run(terminal: &mut Terminal) -> Result<Exit, CliError> {
    match exchange::kill(&surroundings::home()?, terminal)? {
        None => {
            terminal.say("no daemon is running");
            Ok(Exit::Done)
        }
        Some(outcome) => apply::conclude("stopped", &outcome, Exit::Error, terminal).inspect(|_| {
            terminal.say("the daemon has ended");
        }),
    }
}
