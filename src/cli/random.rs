use super::error::CliError;
use crate::base::Key;
use crate::platform::{random_bytes, reason};

/// A key that nobody knows and that is not kept: its digests can be compared within one output only.
pub(super) fn key() -> Result<Key, CliError> {
    let bytes = random_bytes().map_err(|err| CliError::error(format!("failed to make a key: {}", reason(&err))))?;
    Ok(Key(bytes))
}
