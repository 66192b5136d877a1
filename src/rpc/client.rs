use std::io;
use std::path::Path;

use super::wire::{Answer, Call};

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No daemon runs for this home.
    #[error("no daemon is running")]
    NoDaemon,
    #[error("{message}")]
    Failed { message: String },
}

/// One exchange with the daemon. Blocking: commands have nothing else to do.
#[derive(Debug)]
pub struct Connection;

impl Connection {
    /// # Errors
    /// `NoDaemon` when none runs.
    pub fn open(_home: &Path) -> Result<Self, ConnectError> {
        unimplemented!()
    }

    /// Starts a daemon when none runs; two at once start one.
    ///
    /// # Errors
    /// When it cannot be started, with its own words.
    pub fn open_or_start(_home: &Path) -> Result<Self, ConnectError> {
        unimplemented!()
    }

    /// # Errors
    /// When the daemon is gone.
    pub fn send(&mut self, _call: &Call) -> io::Result<()> {
        unimplemented!()
    }

    /// The next answer.
    ///
    /// # Errors
    /// `UnexpectedEof` when the daemon is gone.
    pub fn next_answer(&mut self) -> io::Result<Answer> {
        unimplemented!()
    }
}
