use std::path::Path;

use super::Code;
use crate::document::{Location, Sources};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
    Info,
}

/// One problem: what, where, and how to mend it. Lower case, no full stop, names in backticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: Code,
    pub message: String,
    pub location: Location,
    /// Advice, kept apart from what is wrong.
    pub hint: Option<String>,
}

/// Everything that one load found, with the files it points into.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub sources: Sources,
    pub diagnostics: Vec<Diagnostic>,
}

impl Diagnostic {
    pub fn new(severity: Severity, code: Code, message: impl Into<String>, location: Location) -> Self {
        Self { severity, code, message: message.into(), location, hint: None }
    }

    pub fn error(code: Code, message: impl Into<String>, location: Location) -> Self {
        Self::new(Severity::Error, code, message, location)
    }

    pub fn warning(code: Code, message: impl Into<String>, location: Location) -> Self {
        Self::new(Severity::Warning, code, message, location)
    }

    pub fn info(code: Code, message: impl Into<String>, location: Location) -> Self {
        Self::new(Severity::Info, code, message, location)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Report {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Calls a file by another name.
    pub fn rename(&mut self, from: &Path, to: &Path) {
        if from == to {
            return;
        }
        self.sources.rename(from, to);
        let [old, new] = [from, to].map(|path| format!("`{}`", path.display()));
        for Diagnostic { message, location, .. } in &mut self.diagnostics {
            *message = message.replace(&old, &new);
            match location {
                Location::File(file) | Location::Line { file, .. } | Location::Value { file, .. } if file == from => {
                    to.clone_into(file);
                }
                _ => {}
            }
        }
    }

    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}
