use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Limits;
use crate::config::{Mapping, World};
use crate::diag::{Code, Diagnostic};
use crate::document::{Location, Position, Sources, Span};

/// Everything that the child is told. It takes nothing from its own environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    /// Absolute, as its user names it.
    pub(super) entry: PathBuf,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: PathBuf,
    pub(super) home: Option<PathBuf>,
    pub(super) cpus: u32,
    pub(super) mapping: Option<Mapping>,
    pub(super) memory_bytes: u64,
    pub(super) deadline_ms: u64,
    /// What is wanted is the text that `JSON.stringify` makes of the value, not the value.
    pub(super) stringify: bool,
    /// Whether values are traced to where they come from.
    pub(super) trace: bool,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) message: String,
    /// Absolute; None when it is not known which file is at fault.
    pub(super) file: Option<PathBuf>,
    /// Line and column, from 1.
    pub(super) position: Option<(u32, u32)>,
    pub(super) hint: Option<String>,
    /// The file's text, and the bytes in it that are at fault.
    pub(super) excerpt: Option<(String, u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FailureKind {
    /// The file cannot be read.
    File,
    Syntax,
    Evaluation,
}

impl Orders {
    pub(super) fn new(entry: &Path, world: &World, limits: Limits) -> Self {
        Self {
            entry: world.cwd.join(entry),
            env: world.env.clone(),
            cwd: world.cwd.clone(),
            home: world.home.clone(),
            cpus: world.cpus,
            mapping: world.mapping.clone(),
            memory_bytes: limits.memory_bytes,
            deadline_ms: limits.deadline_ms,
            stringify: false,
            trace: true,
        }
    }
}

impl Failure {
    pub(super) fn evaluation(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Evaluation,
            message: message.into(),
            file: None,
            position: None,
            hint: None,
            excerpt: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The diagnostic. What names no file is said of the entry, under the name by which it was asked for.
    #[expect(clippy::unnecessary_box_returns, reason = "the front-ends return it boxed")]
    pub(super) fn into_diagnostic(self, asked: &Path, absolute: &Path, sources: &mut Sources) -> Box<Diagnostic> {
        let code = match self.kind {
            FailureKind::File => Code::File,
            FailureKind::Syntax => Code::Syntax,
            FailureKind::Evaluation => Code::Evaluation,
        };
        let file = self.file.map_or_else(|| asked.to_owned(), |file| shown(file, asked, absolute));
        let location = match (self.excerpt, self.position) {
            (Some((text, start, end)), _) => {
                let source = sources.add(&file, text);
                Location::At { span: Span { source, start, end }, path: String::new() }
            }
            (None, Some((line, column))) => Location::Line { file, position: Position { line, column } },
            (None, None) => Location::File(file),
        };
        let diagnostic = Diagnostic::error(code, self.message, location);
        Box::new(match self.hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        })
    }
}

/// A file's name for a person: the entry as it was asked for, and its neighbours in the same manner.
pub(super) fn shown(file: PathBuf, asked: &Path, absolute: &Path) -> PathBuf {
    if file == absolute {
        return asked.to_owned();
    }
    let below = asked.is_relative().then(|| {
        let start = absolute.ancestors().nth(asked.components().filter(|part| *part != Component::CurDir).count())?;
        let inside = absolute.starts_with(start) && start.join(asked) == *absolute;
        file.strip_prefix(start).ok().filter(|_| inside).map(Path::to_owned)
    });
    below.flatten().unwrap_or(file)
}
