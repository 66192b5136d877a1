use std::collections::BTreeSet;
use std::path::PathBuf;

use super::error::CliError;
use super::exit::Exit;
use super::terminal::{Terminal, counted};
use super::{arguments, instances, surroundings};
use crate::base::format_bytes;
use crate::logs::rotate;
use crate::platform::reason;

pub(super) fn run(arguments: &arguments::Flush, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let all = instances::all(&surroundings::home()?)?;
    let everything = ["all".to_owned()];
    let targets = if arguments.targets.is_empty() { &everything[..] } else { &arguments.targets };
    let chosen = instances::select(targets, &all)?;
    let files: BTreeSet<PathBuf> = chosen
        .iter()
        .flat_map(|view| [&view.out_file, &view.error_file, &view.log_file].into_iter().flatten().map(PathBuf::from))
        .collect();
    if files.is_empty() {
        terminal.note("no log files");
        return Ok(Exit::Done);
    }
    let (mut freed, mut emptied, mut exit) = (0, 0, Exit::Done);
    for file in files {
        match rotate::empty(&file) {
            Ok(bytes) => {
                freed += bytes;
                emptied += 1;
            }
            Err(error) => {
                exit = Exit::Error;
                let problem = format!("cannot empty `{}`: {}", file.display(), reason(&error));
                terminal.say_error(&CliError::error(problem));
            }
        }
    }
    terminal.say(format!("flushed: {}, {}", counted(emptied, "log"), format_bytes(freed)));
    Ok(exit)
}
