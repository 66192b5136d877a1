//! Reading files within limits.
use std::path::Path;

use crate::diag::{Code, Diagnostic};
use crate::document::Location;

pub(super) fn read(real: &Path, shown: &Path) -> Result<String, Box<Diagnostic>> {
    std::fs::read_to_string(real).map_err(|err| {
        Box::new(Diagnostic::error(Code::File, format!("failed to read: {err}"), Location::File(shown.to_owned())))
    })
}
