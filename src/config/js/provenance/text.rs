//! Places in a text: from the parser's lines and columns to bytes, and from a text with insertions back to the one without.

use std::borrow::Cow;

/// Bytes of a text, half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::config::js) struct Bytes {
    pub(in crate::config::js) start: u32,
    pub(in crate::config::js) end: u32,
}

impl Bytes {
    pub(super) fn new(start: usize, end: usize) -> Self {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: place(start), end: place(end.max(start)) }
    }

    pub(super) fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Where lines begin, as JavaScript counts them; columns are characters.
#[derive(Debug)]
pub(super) struct Lines {
    /// In characters.
    starts: Vec<usize>,
    /// The byte of every character; empty for a text of ASCII.
    chars: Vec<u32>,
    length: usize,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let ascii = text.is_ascii();
        let mut starts = vec![0];
        let mut chars = Vec::new();
        let mut after_return = false;
        for (count, (at, c)) in text.char_indices().enumerate() {
            if !ascii {
                chars.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
            if c == '\n' && after_return {
                starts.pop();
            }
            if matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}') {
                starts.push(count + 1);
            }
            after_return = c == '\r';
        }
        Self { starts, chars, length: text.len() }
    }

    /// The byte at a line and column, both from 1.
    pub(super) fn offset(&self, line: u32, column: u32) -> Option<usize> {
        let start = self.starts.get((line as usize).checked_sub(1)?)?;
        let at = start + (column as usize).checked_sub(1)?;
        Some(if self.chars.is_empty() {
            at.min(self.length)
        } else {
            self.chars.get(at).map_or(self.length, |at| *at as usize)
        })
    }
}

/// Texts that were put into another one, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct Insertions {
    /// The byte of the old text before which it stands, and its length.
    made: Vec<(usize, usize)>,
}

impl Insertions {
    /// The text with all of them, which are given in order.
    pub(super) fn apply<'a>(text: &str, all: impl IntoIterator<Item = (usize, Cow<'a, str>)>) -> (String, Self) {
        let mut out = String::with_capacity(text.len() * 2);
        let mut made = Vec::new();
        let mut done = 0;
        for (at, inserted) in all {
            out.push_str(&text[done..at]);
            out.push_str(&inserted);
            made.push((at, inserted.len()));
            done = at;
        }
        out.push_str(&text[done..]);
        (out, Self { made })
    }

    /// The byte of the old text for one of the new text; of an insertion, the byte before which it stands.
    pub(super) fn back(&self, offset: usize) -> usize {
        let mut added = 0;
        for (at, length) in &self.made {
            if offset < at + added {
                break;
            }
            if offset < at + added + length {
                return *at;
            }
            added += length;
        }
        offset - added
    }
}

/// The first byte at or after `at` that is neither white space nor a comment.
pub(super) fn skip_blank(text: &str, mut at: usize) -> usize {
    loop {
        let Some(rest) = text.get(at..) else { return at };
        let length = if rest.starts_with("//") {
            rest.find(['\n', '\r', '\u{2028}', '\u{2029}']).unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            match rest.chars().next() {
                Some(c) if c.is_whitespace() || c == '\u{feff}' => c.len_utf8(),
                _ => return at,
            }
        };
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_javascripts() {
        let text = "aé\r\n😀b\u{2028}c\rd\n";
        let lines = Lines::of(text);
        for (line, column, want) in [(1, 1, "a"), (1, 2, "é"), (2, 2, "b"), (3, 1, "c"), (4, 1, "d")] {
            let at = lines.offset(line, column).unwrap();
            assert!(text[at..].starts_with(want), "{line}:{column}");
        }
        assert_eq!(lines.offset(9, 1), None);
        assert_eq!(Lines::of("ab").offset(1, 9), Some(2));
    }

    #[test]
    fn insertions_are_undone() {
        let (text, insertions) = Insertions::apply("abc", [(1, "XX".into()), (1, "Y".into()), (3, "Z".into())]);
        assert_eq!(text, "aXXYbcZ");
        let back: Vec<usize> = (0..8).map(|at| insertions.back(at)).collect();
        assert_eq!(back, [0, 1, 1, 1, 1, 2, 3, 3]);
    }

    #[test]
    fn blanks_are_skipped() {
        for (text, want) in [(" /* x */ // y\n\u{a0}z", "z"), ("a", "a"), ("", ""), ("/* open", "")] {
            assert_eq!(&text[skip_blank(text, 0)..], want);
        }
    }
}
