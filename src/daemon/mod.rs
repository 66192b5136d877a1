//! Assembly: lock, socket, restore, serve.

use std::process::ExitCode;

/// The daemon (`pmrun __daemon`, hidden): returns when it has been told to end.
#[must_use]
pub fn main() -> ExitCode {
    unimplemented!()
}
