use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::Path;

/// Bytes of a line that are kept; the rest is counted.
pub const LINE_MAX: usize = 1 << 20;

/// One line, without what ended it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub bytes: Vec<u8>,
    /// How many bytes were left out because there were more than [`LINE_MAX`].
    pub cut: u64,
}

/// The lines of a file that may be growing.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<File>,
    /// Bytes of the file that were read.
    position: u64,
    /// The beginning of a line whose end has not been written yet.
    partial: Line,
}

impl Lines {
    /// Opens a file to be read from an offset.
    ///
    /// # Errors
    /// When it cannot be opened, or is no regular file: opening a pipe would wait for its writer.
    pub fn open(path: &Path, from: u64) -> io::Result<Self> {
        Self::new(open_regular(path)?, from)
    }

    pub(super) fn new(mut file: File, from: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(from))?;
        Ok(Self { reader: BufReader::with_capacity(64 << 10, file), position: from, partial: Line::default() })
    }

    /// The next line that is complete; none where the file ends for now.
    pub fn next_complete(&mut self) -> io::Result<Option<Line>> {
        loop {
            let bytes = match self.reader.fill_buf() {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            if bytes.is_empty() {
                return Ok(None);
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            self.partial.push(&bytes[..end.unwrap_or(bytes.len())]);
            let taken = end.map_or(bytes.len(), |end| end + 1);
            self.reader.consume(taken);
            self.position += taken as u64;
            if end.is_some() {
                return Ok(Some(std::mem::take(&mut self.partial)));
            }
        }
    }

    /// What stands after the last line's end.
    pub fn take_partial(&mut self) -> Option<Line> {
        let line = std::mem::take(&mut self.partial);
        (!line.bytes.is_empty()).then_some(line)
    }

    /// Begins anew when the file has become shorter than what was read of it.
    pub(super) fn rewind_if_truncated(&mut self) -> io::Result<()> {
        if self.file().metadata()?.len() < self.position {
            self.reader.seek(SeekFrom::Start(0))?;
            self.position = 0;
            self.partial = Line::default();
        }
        Ok(())
    }

    pub(super) fn file(&self) -> &File {
        self.reader.get_ref()
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(LINE_MAX - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.cut += (bytes.len() - kept) as u64;
    }
}

pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn line(text: &str) -> Line {
        Line { bytes: text.into(), cut: 0 }
    }

    #[test]
    fn a_line_comes_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\n\ntw").unwrap();
        let mut lines = Lines::open(&path, 0).unwrap();
        assert_eq!(lines.next_complete().unwrap(), Some(line("one")));
        assert_eq!(lines.next_complete().unwrap(), Some(line("")));
        assert_eq!(lines.next_complete().unwrap(), None);
        file.write_all(b"o\nthree").unwrap();
        assert_eq!(lines.next_complete().unwrap(), Some(line("two")));
        assert_eq!(lines.next_complete().unwrap(), None);
        assert_eq!(lines.take_partial(), Some(line("three")));
        assert_eq!(lines.take_partial(), None);
    }

    #[test]
    fn an_endless_line_is_cut_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, [vec![0xff; LINE_MAX + 10], b"\nnext\n".to_vec()].concat()).unwrap();
        let mut lines = Lines::open(&path, 0).unwrap();
        let long = lines.next_complete().unwrap().unwrap();
        assert_eq!((long.bytes.len(), long.cut), (LINE_MAX, 10));
        assert_eq!(lines.next_complete().unwrap(), Some(line("next")));
    }

    #[test]
    fn a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Lines::open(folder.path(), 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
