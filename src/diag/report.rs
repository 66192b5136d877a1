use crate::document::{Location, Sources};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Error,
    Warning,
    Info,
}

/// What kind of problem it is. The name is what `--json` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The file cannot be read, is empty, or is too large.
    File,
    /// The file is not what its ending says.
    Syntax,
    /// The config program threw, or could not be run to its end.
    Evaluation,
    /// The file's shape is none that holds apps.
    Shape,
    /// A value has the wrong type or is out of range.
    Value,
    /// An option that does not exist.
    UnknownOption,
    /// An option that this version knows and does not honour yet.
    NotHonoured,
    /// An option that means nothing here.
    Meaningless,
    /// A required option is missing.
    Missing,
    /// Two apps cannot be told apart, or one option contradicts another.
    Conflict,
    /// `depends_on` names no app, or goes in a circle.
    Dependency,
    /// `--env` names no profile.
    Profile,
    /// A script, interpreter, folder or env file is not there.
    NotFound,
}

impl Code {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Syntax => "syntax",
            Self::Evaluation => "evaluation",
            Self::Shape => "shape",
            Self::Value => "value",
            Self::UnknownOption => "unknown-option",
            Self::NotHonoured => "not-honoured",
            Self::Meaningless => "meaningless",
            Self::Missing => "missing",
            Self::Conflict => "conflict",
            Self::Dependency => "dependency",
            Self::Profile => "profile",
            Self::NotFound => "not-found",
        }
    }
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

    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}
