use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of one source file, half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub source: SourceId,
    pub start: u32,
    pub end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// A file that was read, as its user names it.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    pub text: Arc<str>,
    /// Spans into it are where a program computed something, not where it is written.
    pub computed: bool,
}

/// All files that one load has read. Spans index into it.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// Where something is, counted from 1; columns count characters, as editors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// What a diagnostic points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Nothing in particular.
    Nowhere,
    /// A file as a whole (it is missing, empty, too large).
    File(PathBuf),
    /// A place in a file that is known only by its line and column (errors of the JavaScript engine).
    Line { file: PathBuf, position: Position },
    /// A value that has no bytes of its own, by its path: `apps[0] (api).env.PORT`.
    Value { file: PathBuf, path: String },
    /// Exact bytes, and the value's path.
    At { span: Span, path: String },
}

impl Sources {
    pub fn add(&mut self, path: &Path, text: impl Into<Arc<str>>) -> SourceId {
        let id = SourceId(u32::try_from(self.files.len()).expect("fewer than 4 billion config files"));
        self.files.push(Source { path: path.to_owned(), text: text.into(), computed: false });
        id
    }

    /// The same file once more, for what was computed in it.
    pub fn add_computed(&mut self, path: &Path, text: impl Into<Arc<str>>) -> SourceId {
        let id = self.add(path, text);
        self.files[id.0 as usize].computed = true;
        id
    }

    #[must_use]
    pub fn get(&self, id: SourceId) -> &Source {
        &self.files[id.0 as usize]
    }

    #[must_use]
    pub fn find(&self, path: &Path) -> Option<&Source> {
        self.files.iter().find(|source| source.path == path)
    }

    /// All of them; a [`SourceId`] is an index into this.
    pub fn all(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    #[must_use]
    pub fn position(&self, span: Span) -> Position {
        let text = &self.get(span.source).text;
        let before = &text.as_bytes()[..(span.start as usize).min(text.len())];
        let line = before.split(|byte| *byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().filter(|c| *c != '\u{feff}').count() + 1;
        Position { line: saturate(line), column: saturate(column) }
    }
}

fn saturate(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
