use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use super::{apply, exchange, instances, surroundings};

pub(super) fn run(terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let Some(outcome) = exchange::kill(&home, terminal)? else {
        terminal.say("no daemon is running");
        return Ok(Exit::Done);
    };
    let idle =
        outcome.touched == 0 && outcome.tally.is_empty() && outcome.failed.is_empty() && outcome.cancelled.is_none();
    let exit = if idle { Exit::Done } else { apply::conclude("stopped", &outcome, Exit::Error, terminal)? };
    terminal.say("the daemon has ended");
    let left = instances::known(&home).map(|known| known.strangers).unwrap_or_default();
    if !left.is_empty() {
        let named = left.iter().map(|one| format!("`{}:{}` (process {})", one.name, one.slot, one.pid));
        let pids: Vec<String> = left.iter().map(|one| one.pid.to_string()).collect();
        terminal.note(&format!(
            "left alone, for nobody knows them since the state was built anew: {}; `kill {}` ends them",
            named.collect::<Vec<_>>().join(", "),
            pids.join(" ")
        ));
    }
    Ok(exit)
}
