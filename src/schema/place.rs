use std::path::Path;

use super::Mark;
use crate::document::{Sources, Span};

/// Names places for people: `file:line:column`, or `file (apps[0] (api).script)` for values that a program computed.
///
/// Line starts are found once: a file of 500 apps has thousands of values whose origin is recorded.
#[derive(Debug)]
pub struct Places<'a> {
    file: &'a Path,
    sources: &'a Sources,
    /// By source.
    lines: Vec<Lines>,
}

#[derive(Debug)]
struct Lines {
    starts: Vec<usize>,
    /// Then a column is a difference: a minified file is one long line, whose characters need not be counted.
    ascii: bool,
}

impl<'a> Places<'a> {
    #[must_use]
    pub fn new(file: &'a Path, sources: &'a Sources) -> Self {
        let lines = sources.all().map(|source| Lines::of(&source.text)).collect();
        Self { file, sources, lines }
    }

    #[must_use]
    pub fn place(&self, mark: &Mark) -> String {
        match mark.span {
            Some(span) => {
                let (line, column) = self.position(span);
                format!("{}:{line}:{column}", self.sources.get(span.source).path.display())
            }
            None if mark.path.is_empty() => self.file.display().to_string(),
            None => format!("{} ({})", self.file.display(), mark.path),
        }
    }

    /// What [`Sources::position`] says, without reading the file from its start each time.
    fn position(&self, span: Span) -> (usize, usize) {
        let text = &self.sources.get(span.source).text;
        let Lines { starts, ascii } = &self.lines[span.source.0 as usize];
        let mut offset = (span.start as usize).min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = starts.partition_point(|start| *start <= offset);
        let start = starts[line - 1];
        if *ascii {
            return (line, offset - start + 1);
        }
        let mark = usize::from(start == 0 && offset > 0 && text.starts_with('\u{feff}'));
        (line, text[start..offset].chars().count() + 1 - mark)
    }
}

impl Lines {
    fn of(text: &str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { starts, ascii: text.is_ascii() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::SourceId;

    #[test]
    fn positions_are_those_of_the_sources() {
        let mut sources = Sources::default();
        sources.add(Path::new("a.json"), "\u{feff}{\n  \"é\": 1,\r\n\n}\n");
        sources.add(Path::new("b.json"), "{\n  \"e\": 1,\r\n\n}\n");
        let places = Places::new(Path::new("a.json"), &sources);
        for source in [SourceId(0), SourceId(1)] {
            for (start, _) in sources.get(source).text.char_indices() {
                let start = u32::try_from(start).unwrap();
                let span = Span { source, start, end: start };
                let want = sources.position(span);
                assert_eq!(places.position(span), (want.line as usize, want.column as usize), "byte {start}");
            }
        }
    }
}
