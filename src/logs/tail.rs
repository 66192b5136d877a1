use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::lines::{LINE_MAX, Line, Lines};
use super::rotate::{data_start, taken};
use crate::platform::open_regular;

const BLOCK: usize = 64 << 10;

/// The last lines of a file, found from its end: what a file held before costs nothing.
#[derive(Debug)]
pub struct Tail {
    lines: Lines,
}

impl Tail {
    /// The last `count` lines of what was written after `floor` bytes.
    ///
    /// # Errors
    /// When the file cannot be opened or read, or is no regular file.
    pub fn open(path: &Path, count: usize, floor: u64) -> io::Result<Self> {
        let file = open_regular(path)?;
        let taken = taken(&file);
        let end = file.metadata()?.len();
        // A file that is shorter than it was has been truncated since: all of it is new.
        let floor = if floor > end { 0 } else { floor };
        // What was rotated may have left a hole.
        let floor = floor.max(data_start(&file)?).min(end);
        let start = start(&file, end, floor, count)?;
        Ok(Self { lines: Lines::new(file, path, start, taken)? })
    }

    /// The next line; a last one that has no end yet is one too.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        match self.lines.next_complete()? {
            Some(line) => Ok(Some(line)),
            None => Ok(self.lines.take_partial()),
        }
    }
}

/// Where the last `count` lines begin. A stretch of [`LINE_MAX`] bytes without a line's end counts as a line, so that
/// the search is bounded.
fn start(file: &File, end: u64, floor: u64, count: usize) -> io::Result<u64> {
    let (mut needed, mut position, mut line_end) = (count, end, end);
    let mut block = vec![0; BLOCK];
    while position > floor && needed > 0 {
        let size = usize::try_from(position - floor).unwrap_or(BLOCK).min(BLOCK);
        position -= size as u64;
        let block = &mut block[..size];
        file.read_exact_at(block, position)?;
        for at in (0..size).rev() {
            let after = position + at as u64 + 1;
            let is_end = block[at] == b'\n' && after != end;
            if is_end || line_end - after >= LINE_MAX as u64 {
                needed -= 1;
                line_end = after;
                if needed == 0 {
                    return Ok(after);
                }
            }
        }
    }
    Ok(if needed == 0 { end } else { floor })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(content: &[u8], count: usize, floor: u64) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, content).unwrap();
        let mut tail = Tail::open(&path, count, floor).unwrap();
        std::iter::from_fn(|| tail.next_line().unwrap()).map(|line| String::from_utf8(line.bytes).unwrap()).collect()
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let table: [(&str, usize, u64, &[&str]); 10] = [
            ("", 5, 0, &[]),
            ("a", 5, 0, &["a"]),
            ("a\nb\nc\n", 2, 0, &["b", "c"]),
            ("a\nb\nc", 2, 0, &["b", "c"]),
            ("a\nb\nc\n", 9, 0, &["a", "b", "c"]),
            ("a\nb\nc\n", 0, 0, &[]),
            ("\n\n\n", 2, 0, &["", ""]),
            ("old\nnew\n", 9, 4, &["new"]),
            ("old\n", 9, 4, &[]),
            ("shorter\n", 9, 400, &["shorter"]),
        ];
        for (content, count, floor, want) in table {
            assert_eq!(tail(content.as_bytes(), count, floor), want, "{content:?} {count} {floor}");
        }
    }

    #[test]
    fn lines_longer_than_a_block_are_whole() {
        let long = "x".repeat(BLOCK * 2 + 7);
        let content = format!("first\n{long}\nlast\n");
        assert_eq!(tail(content.as_bytes(), 2, 0), [long.as_str(), "last"]);
    }

    #[test]
    fn a_line_of_many_megabytes_is_not_searched_to_its_beginning() {
        let content = vec![b'x'; LINE_MAX * 3];
        let found = tail(&content, 1, 0);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), LINE_MAX);
    }

    #[test]
    fn every_count_over_every_shape_agrees_with_reading_it_all() {
        for content in ["a\nbb\n\nccc\n", "a\nbb\n\nccc", "\n", "\n\nx", "only"] {
            let all: Vec<&str> = content.strip_suffix('\n').unwrap_or(content).split('\n').collect();
            for count in 0..6 {
                let want = &all[all.len().saturating_sub(count)..];
                assert_eq!(tail(content.as_bytes(), count, 0), want, "{content:?} {count}");
            }
        }
    }
}
