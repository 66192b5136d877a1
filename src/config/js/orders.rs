use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::provenance::Scalar;
use crate::config::{FolderMade, Hermetic, Inputs, Mapping, World};
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
    pub(super) hermetic: Option<Hermetic>,
    /// What a function that is exported is told; none: the config's own `NODE_ENV`.
    pub(super) mode: Option<String>,
    /// What is wanted is the text that `JSON.stringify` makes of the value, not the value.
    pub(super) stringify: bool,
    /// Whether values are traced to where they come from.
    pub(super) trace: bool,
    /// The config was run before, and nobody is to notice that it is run again.
    pub(super) aside: Option<Aside>,
    /// What was answered then when it made folders, in order.
    pub(super) folders: Vec<FolderMade>,
}

/// What a config is run again for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Aside {
    /// Its places: nothing says so far which literals these values come from.
    Places(Vec<Scalar>),
    /// The words for what fails in a package.
    Words,
    /// Where an error is thrown, and why.
    Error,
}

/// What the child asks of its parent, as it can do none of it: it has no way to write, and none to start a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Request {
    Command(Command),
    /// To make a folder.
    Folder {
        path: PathBuf,
        recursive: bool,
    },
}

/// A command to run to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Command {
    pub(super) file: String,
    pub(super) args: Vec<String>,
    pub(super) cwd: PathBuf,
    pub(super) env: Vec<(String, String)>,
    #[serde(with = "latin1")]
    pub(super) input: Vec<u8>,
    pub(super) timeout_ms: Option<u64>,
    /// Bytes of each of its outputs before it is ended.
    pub(super) output_max: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    Ran(Ran),
    /// And the first one that was not there, where several may have been made.
    Made(Option<PathBuf>),
    /// A system error's number.
    Failed(i32),
    /// In words: it will never be done.
    Refused(String),
}

/// How a command went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ran {
    pub(super) pid: u32,
    pub(super) status: Option<i32>,
    /// What ended it, where a signal did.
    pub(super) signal: Option<i32>,
    #[serde(with = "latin1")]
    pub(super) stdout: Vec<u8>,
    #[serde(with = "latin1")]
    pub(super) stderr: Vec<u8>,
    /// `ENOENT`, `ETIMEDOUT`, `ENOBUFS`: why it did not start, or was ended.
    pub(super) code: Option<String>,
}

/// What the child tells before its result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) inputs: Inputs,
    /// What the config has put into `process.env`.
    pub(super) assigned: BTreeMap<String, String>,
    /// What `--hermetic` refused. There is no result then, whatever comes after this.
    pub(super) refusals: Vec<Failure>,
}

/// Bytes as text of as many characters: JSON's lists of numbers are four times as long.
mod latin1 {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&bytes.iter().map(|byte| char::from(*byte)).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect())
    }
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    #[serde(with = "named")]
    pub(super) code: Code,
    pub(super) message: String,
    /// Absolute; None when it is not known which file is at fault.
    pub(super) file: Option<PathBuf>,
    /// Line and column, from 1.
    pub(super) position: Option<(u32, u32)>,
    /// It is not the error's own place, but one near it.
    pub(super) near: bool,
    pub(super) hint: Option<String>,
    /// The file's text, and the bytes in it that are at fault.
    pub(super) excerpt: Option<Box<(String, u32, u32)>>,
    /// A package has failed: run with marks in its files, it would say more.
    pub(super) in_package: bool,
    /// An error that was thrown, of which not everything is certain.
    pub(super) doubt: Option<Box<Doubt>>,
}

/// How an error is known again in another run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Doubt {
    /// In the engine's words.
    pub(super) message: String,
    pub(super) has_place: bool,
    pub(super) has_words: bool,
    /// It was caught, and its place is where it was thrown on.
    pub(super) thrown_on: bool,
}

/// Codes by their names.
mod named {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::diag::Code;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(code.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
        let name = String::deserialize(deserializer)?;
        Code::find(&name).ok_or_else(|| serde::de::Error::custom("no such code"))
    }
}

impl Orders {
    pub(super) fn new(entry: &Path, world: &World) -> Self {
        let limits = world.reading.limits;
        Self {
            entry: world.cwd.join(entry),
            env: world.env.clone(),
            cwd: world.cwd.clone(),
            home: world.home.clone(),
            cpus: world.cpus.usable,
            mapping: world.mapping.clone(),
            memory_bytes: limits.memory_bytes,
            deadline_ms: limits.deadline_ms,
            hermetic: world.reading.hermetic.clone(),
            mode: world.reading.mode.clone(),
            stringify: false,
            trace: true,
            aside: None,
            folders: Vec::new(),
        }
    }
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            file: None,
            position: None,
            near: false,
            hint: None,
            excerpt: None,
            in_package: false,
            doubt: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The diagnostic. What names no file is said of the entry, under the name by which it was asked for.
    #[expect(clippy::unnecessary_box_returns, reason = "the front-ends return it boxed")]
    pub(super) fn into_diagnostic(self, asked: &Path, absolute: &Path, sources: &mut Sources) -> Box<Diagnostic> {
        let file = self.file.map_or_else(|| asked.to_owned(), |file| shown(file, asked, absolute));
        let location = match (self.excerpt, self.position) {
            (Some(excerpt), _) => {
                let (text, start, end) = *excerpt;
                let source = if self.near { sources.add_guessed(&file, text) } else { sources.add(&file, text) };
                Location::At { span: Span { source, start, end }, path: String::new() }
            }
            (None, Some((line, column))) => Location::Line { file, position: Position { line, column } },
            (None, None) => Location::File(file),
        };
        let diagnostic = Diagnostic::error(self.code, self.message, location);
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
