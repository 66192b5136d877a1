//! `save` keeps what should run now under a name of its own; `cleardump` forgets it.

use std::io::ErrorKind;
use std::path::Path;

use super::arguments::Save;
use super::error::CliError;
use super::exit::Exit;
use super::list::now_ms;
use super::offline::{self, Source};
use super::terminal::{Terminal, counted};
use super::{exchange, instances, surroundings};
use crate::rpc::wire::{Answer, Request};
use crate::runtime::State;
use crate::runtime::store::{self, Backup, SAVED};

pub(super) fn save(arguments: &Save, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    if !arguments.force && instances::all(&home)?.is_empty() {
        return Err(CliError::error("no app is known: nothing was saved")
            .hint("`--force` saves that all the same, `pmrun cleardump` forgets what was saved before"));
    }
    let kept = match offline::ask(&home, &Request::Keep)? {
        Source::Daemon(Answer::Kept { apps, .. }) => apps,
        Source::Daemon(other) => return Err(exchange::unexpected(&other)),
        Source::Store(None) => 0,
        Source::Store(Some(state)) => keep(&home, &state)?,
    };
    terminal.say(format!(
        "saved: {}; what should run is recorded with each command anyway, `pmrun resurrect --saved` brings this back",
        counted(kept, "app")
    ));
    Ok(Exit::Done)
}

fn keep(home: &Path, state: &State) -> Result<usize, CliError> {
    store::keep(home, state, now_ms()).map_err(|error| CliError::store(&error))?;
    Ok(state.apps.len())
}

/// What was saved; none where nothing was.
pub(super) fn saved(home: &Path) -> Result<Option<Backup>, CliError> {
    let path = home.join(SAVED);
    store::read_backup(&path).transpose().map_err(|problem| {
        CliError::error(format!("what was saved in `{}` cannot be used: {problem}", path.display()))
            .hint("nothing was changed; `pmrun save` saves what should run now, `pmrun cleardump` forgets it")
    })
}

pub(super) fn forget(terminal: &mut Terminal) -> Result<Exit, CliError> {
    let path = surroundings::home()?.join(SAVED);
    match std::fs::remove_file(&path) {
        Ok(()) => terminal.say("forgotten; what should run is recorded as before"),
        Err(error) if error.kind() == ErrorKind::NotFound => terminal.say("nothing was saved"),
        Err(error) => return Err(CliError::io("remove", &path, &error)),
    }
    Ok(Exit::Done)
}
