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
    /// By source: where each line begins.
    lines: Vec<Vec<usize>>,
}

impl<'a> Places<'a> {
    #[must_use]
    pub fn new(file: &'a Path, sources: &'a Sources) -> Self {
        let lines = sources.all().map(|source| line_starts(&source.text)).collect();
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
        let starts = &self.lines[span.source.0 as usize];
        let mut offset = (span.start as usize).min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = starts.partition_point(|start| *start <= offset);
        let start = starts[line - 1];
        let mark = usize::from(start == 0 && offset > 0 && text.starts_with('\u{feff}'));
        (line, text[start..offset].chars().count() + 1 - mark)
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::SourceId;

    #[test]
    fn positions_are_those_of_the_sources() {
        let mut sources = Sources::default();
        sources.add(Path::new("a.json"), "\u{feff}{\n  \"é\": 1,\r\n\n}\n");
        let places = Places::new(Path::new("a.json"), &sources);
        let text = sources.get(SourceId(0)).text.clone();
        for (start, _) in text.char_indices() {
            let start = u32::try_from(start).unwrap();
            let span = Span { source: SourceId(0), start, end: start };
            let want = sources.position(span);
            assert_eq!(places.position(span), (want.line as usize, want.column as usize), "byte {start}");
        }
    }
}
