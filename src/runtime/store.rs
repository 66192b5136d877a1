//! What should run, durably: redb in `PMRUN_HOME/state`.

use std::path::Path;

use super::{Save, State};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A daemon has it; ask that one.
    #[error("the state in `{path}` is held by a running daemon")]
    Held { path: String },
    #[error("{0}")]
    Other(String),
}

/// The open state file. Only the daemon holds one.
#[derive(Debug)]
pub struct Store;

impl Store {
    /// Opens or creates it.
    ///
    /// # Errors
    /// When it cannot be read, locked or written.
    pub fn open(_home: &Path) -> Result<Self, StoreError> {
        unimplemented!()
    }

    /// # Errors
    /// When it cannot be read.
    pub fn load(&self) -> Result<State, StoreError> {
        unimplemented!()
    }

    /// All of it or nothing; durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written; then nothing was.
    pub fn save(&self, _saves: &[Save]) -> Result<(), StoreError> {
        unimplemented!()
    }
}

/// Reads the state without a daemon; none when there is none yet.
///
/// # Errors
/// When it cannot be read, or a daemon holds it.
pub fn read(_home: &Path) -> Result<Option<State>, StoreError> {
    unimplemented!()
}

/// The key of a home, which is made, with an empty state, where there is none yet: digests that are kept (`diff --out`)
/// have to mean the same later.
///
/// # Errors
/// When it cannot be read or made, or a daemon holds it.
pub fn key(_home: &Path) -> Result<crate::base::Key, StoreError> {
    unimplemented!()
}
