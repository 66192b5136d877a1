//! `explain CODE`: what a diagnostic means. `explain APP.OPTION`: where a value comes from.

mod page;

use super::arguments;
use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use crate::base::closest;
use crate::diag::Code;

pub(super) fn run(arguments: &arguments::Explain, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let Some(what) = arguments.what.as_deref() else {
        page::list(arguments.json, terminal)?;
        return Ok(Exit::Done);
    };
    match code(what) {
        Some(code) => page::print(code, arguments.json, terminal)?,
        None => return Err(unknown(what)),
    }
    Ok(Exit::Done)
}

/// A code as people copy it: `unknown-option`, `error[unknown-option]`.
fn code(what: &str) -> Option<Code> {
    let bare = what.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']')).unwrap_or(what);
    Code::find(bare)
}

fn unknown(what: &str) -> CliError {
    let near = closest(what, Code::ALL.iter().map(|code| code.name()));
    CliError::error(format!("`{what}` is no code of a diagnostic")).suggest(near)
}
