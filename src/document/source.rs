use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

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
    /// Spans into it are where something of the same words stands, and nobody knows more.
    pub guessed: bool,
    /// Found on first use: most files are read without anything being said of them.
    lines: OnceLock<Lines>,
}

#[derive(Clone, Debug)]
struct Lines {
    starts: Vec<usize>,
    /// Then a column is a difference: a minified file is one long line, whose characters need not be counted.
    ascii: bool,
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
        let (path, text) = (path.to_owned(), text.into());
        self.files.push(Source { path, text, computed: false, guessed: false, lines: OnceLock::new() });
        id
    }

    /// The same file once more, for what was computed in it.
    pub fn add_computed(&mut self, path: &Path, text: impl Into<Arc<str>>) -> SourceId {
        let id = self.add(path, text);
        self.files[id.0 as usize].computed = true;
        id
    }

    /// The same file once more, for what most likely comes from it.
    pub fn add_guessed(&mut self, path: &Path, text: impl Into<Arc<str>>) -> SourceId {
        let id = self.add_computed(path, text);
        self.files[id.0 as usize].guessed = true;
        id
    }

    /// Calls a file by another name.
    pub fn rename(&mut self, from: &Path, to: &Path) {
        for file in self.files.iter_mut().filter(|file| file.path == from) {
            to.clone_into(&mut file.path);
        }
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
        let Source { text, lines, .. } = self.get(span.source);
        let Lines { starts, ascii } = lines.get_or_init(|| Lines::of(text));
        let offset = text.floor_char_boundary((span.start as usize).min(text.len()));
        let line = starts.partition_point(|start| *start <= offset);
        let before = starts[line - 1]..offset;
        let column =
            if *ascii { before.len() + 1 } else { text[before].chars().filter(|c| *c != '\u{feff}').count() + 1 };
        Position { line: saturate(line), column: saturate(column) }
    }
}

impl Lines {
    fn of(text: &str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { starts, ascii: text.is_ascii() }
    }
}

fn saturate(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a position is, counted from the start of the file each time.
    fn counted(text: &str, offset: usize) -> (u32, u32) {
        let before = &text[..offset];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[start..].chars().filter(|c| *c != '\u{feff}').count() + 1;
        (saturate(before.matches('\n').count() + 1), saturate(column))
    }

    #[test]
    fn positions_count_lines_and_characters() {
        let mut sources = Sources::default();
        sources.add(Path::new("a.json"), "\u{feff}{\n  \"é\": 1,\r\n\n}\n");
        sources.add(Path::new("b.json"), "{\n  \"e\": 1,\r\n\n}\n");
        sources.add(Path::new("empty.json"), "");
        for source in [SourceId(0), SourceId(1), SourceId(2)] {
            let text = sources.get(source).text.clone();
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let start = saturate(at);
                let Position { line, column } = sources.position(Span { source, start, end: start });
                assert_eq!((line, column), counted(&text, at), "byte {at}");
            }
            let beyond = Span { source, start: 1_000, end: 1_001 };
            assert_eq!(sources.position(beyond), sources.position(Span { start: saturate(text.len()), ..beyond }));
        }
    }
}
