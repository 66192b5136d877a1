//! What is known when no daemon runs. Commands that only read never start one.

use std::path::Path;
use std::time::Duration;

use super::error::CliError;
use super::exchange;
use crate::rpc::wire::{Answer, Request};
use crate::runtime::State;
use crate::runtime::store::{self, StoreError};
use crate::supervisor::Layout;

/// What knows the answer to a question.
#[derive(Debug)]
pub(super) enum Source {
    Daemon(Answer),
    /// None: nothing was ever started.
    Store(Option<State>),
}

/// Asks the daemon, or where none runs reads what is stored.
///
/// A daemon that is just starting or ending holds the store and answers nobody yet, or no longer: that passes within
/// moments, so both are tried again.
pub(super) fn ask(home: &Path, request: &Request) -> Result<Source, CliError> {
    const PAUSES_MS: [u64; 2] = [10, 100];
    let mut pauses = PAUSES_MS.into_iter();
    loop {
        if let Some(answer) = exchange::ask(home, request.clone())? {
            return Ok(Source::Daemon(answer));
        }
        match (store::read(home), pauses.next()) {
            (Ok(state), _) => return Ok(Source::Store(state)),
            (Err(StoreError::Held { .. }), Some(ms)) => std::thread::sleep(Duration::from_millis(ms)),
            (Err(err), _) => return Err(CliError::error(err.to_string())),
        }
    }
}

pub(super) fn layout(home: &Path) -> Layout {
    Layout { home: home.to_string_lossy().into_owned() }
}
