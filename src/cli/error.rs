use std::io;

use serde_json::{Value, json};

use super::exit::Exit;
use crate::runtime::store::StoreError;

/// Why a command ends early: what to say, and with which code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CliError {
    pub exit: Exit,
    /// Empty when everything has been said, or when nobody listens any more.
    pub message: String,
    /// Advice, kept apart from what is wrong.
    pub hint: Option<String>,
    /// More of it, for programs (`--json`).
    pub details: Option<Box<Value>>,
    /// How PM2 says it, where scripts look for that.
    pub pm2: Option<Box<str>>,
}

impl CliError {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, details: None, pm2: None }
    }

    pub(super) fn error(message: impl Into<String>) -> Self {
        Self::new(Exit::Error, message)
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Ends with a code; what there is to say has been said.
    pub(super) fn said(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn in_pm2s_words(mut self, words: impl Into<Box<str>>) -> Self {
        self.pm2 = Some(words.into());
        self
    }

    /// With the hint "did you mean", where there is something to mean.
    pub(super) fn suggest(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// What is recorded cannot be read.
    pub(super) fn store(err: &StoreError) -> Self {
        Self { hint: err.hint(), ..Self::error(err.to_string()) }
    }

    /// What `--json` prints of it.
    pub(super) fn json(&self) -> Value {
        let mut error = json!({ "exit": self.exit.code(), "message": self.message, "hint": self.hint });
        if let Some(details) = &self.details {
            error["details"] = (**details).clone();
        }
        json!({ "version": 1, "error": error })
    }

    /// For errors of reading and writing files.
    pub(super) fn io(doing: &str, path: &std::path::Path, err: &io::Error) -> Self {
        Self::error(format!("failed to {doing} `{}`: {err}", path.display()))
    }

    /// An error of writing to stdout. Nobody reading is none, and the end of a command that only prints: `pmrun logs | head`.
    pub(super) fn output(err: &io::Error) -> Self {
        match err.kind() {
            io::ErrorKind::BrokenPipe => Self::said(Exit::Done),
            _ => Self::error(format!("failed to write to stdout: {err}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
        let closed = CliError::output(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((closed.exit, closed.message.as_str()), (Exit::Done, ""));
        assert_eq!(CliError::output(&io::Error::from(io::ErrorKind::StorageFull)).exit, Exit::Error);
    }
}
