use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::error::CliError;
use crate::base::Key;

/// A key that nobody knows and that is not kept: its digests can be compared within one output only.
pub(super) fn key() -> Result<Key, CliError> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 32];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|err| CliError::io("read", source, &err))?;
    Ok(Key(bytes))
}
