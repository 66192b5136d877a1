use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;

use super::rotate::{data_start, from, lock_shared, rotated, taken};

/// Bytes of a line that are kept; the rest is counted.
pub const LINE_MAX: usize = 1 << 20;

/// How often, and how long after each other, a rotated file is looked for.
const LOOKS: u32 = 5;
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One line, without what ended it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub bytes: Vec<u8>,
    /// How many bytes were left out because there were more than [`LINE_MAX`].
    pub cut: u64,
}

/// The lines of a file that may be growing, and out of which the beginning may be taken meanwhile.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<File>,
    path: PathBuf,
    /// Where reading has got to, counted from the first byte that was ever in the file.
    place: u64,
    /// How much of that is no longer there, as far as is known here.
    taken: u64,
    /// What was taken out before it was read, where it went to.
    missed: Option<Missed>,
    /// The number of what was read of that last: where to go on is to be found.
    astray: Option<u64>,
    /// The beginning of a line whose end has not been written yet.
    partial: Line,
}

struct Missed {
    number: u64,
    reader: Box<dyn BufRead + Send>,
}

impl Lines {
    /// Opens a file to be read from an offset.
    ///
    /// # Errors
    /// When it cannot be opened, or is no regular file: opening a pipe would wait for its writer.
    pub fn open(path: &Path, from: u64) -> io::Result<Self> {
        let file = open_regular(path)?;
        let taken = taken(&file);
        let from = if from == 0 { data_start(&file)? } else { from };
        Self::new(file, path, from, taken)
    }

    /// From an offset that was so when so much was taken out.
    pub(super) fn new(mut file: File, path: &Path, from: u64, taken: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(from))?;
        Ok(Self {
            reader: BufReader::with_capacity(64 << 10, file),
            path: path.to_owned(),
            place: taken + from,
            taken,
            missed: None,
            astray: None,
            partial: Line::default(),
        })
    }

    /// The next line that is complete; none where the file ends for now.
    pub fn next_complete(&mut self) -> io::Result<Option<Line>> {
        loop {
            self.fill()?;
            let at_beginning = self.missed.is_none() && self.place == self.taken && self.partial.bytes.is_empty();
            let bytes = match &mut self.missed {
                Some(missed) => missed.reader.fill_buf()?,
                None => self.reader.buffer(),
            };
            if bytes.is_empty() {
                return Ok(None);
            }
            let end = memchr::memchr(b'\n', bytes);
            self.partial.push(&bytes[..end.unwrap_or(bytes.len())]);
            let read = end.map_or(bytes.len(), |end| end + 1);
            match &mut self.missed {
                Some(missed) => missed.reader.consume(read),
                None => self.reader.consume(read),
            }
            self.place += read as u64;
            if end.is_some() {
                let line = std::mem::take(&mut self.partial);
                // Spaces are what is left of a line that was rotated.
                let rest = at_beginning && self.taken > 0 && !line.bytes.is_empty();
                if !(rest && line.bytes.iter().all(|byte| *byte == b' ')) {
                    return Ok(Some(line));
                }
            }
        }
    }

    /// Reads, when everything that was read is used up.
    fn fill(&mut self) -> io::Result<()> {
        loop {
            match self.fill_once() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
    }

    /// False when it is to be tried again, elsewhere.
    fn fill_once(&mut self) -> io::Result<bool> {
        if let Some(missed) = &mut self.missed {
            if !missed.reader.fill_buf()?.is_empty() {
                return Ok(true);
            }
            let number = missed.number;
            self.missed = self.next_missed(number);
            self.astray = self.missed.is_none().then_some(number);
            return Ok(false);
        }
        if self.reader.buffer().is_empty() {
            self.fill_locked()?;
        }
        Ok(self.missed.is_none())
    }

    /// Nothing is taken out of the file while this looks how much was, and reads.
    fn fill_locked(&mut self) -> io::Result<()> {
        let file = self.reader.get_ref().try_clone()?;
        let _unlock = lock_shared(&file);
        let taken = taken(&file);
        if taken != self.taken || self.astray.is_some() {
            self.taken = taken;
            let after = self.astray.take().unwrap_or(0);
            self.missed = self.next_missed(after);
            if self.missed.is_some() {
                return Ok(());
            }
            self.place = self.place.max(taken);
            self.reader.seek(SeekFrom::Start(self.place - taken))?;
        }
        self.reader.fill_buf().map(|_| ())
    }

    /// The rotated file that goes on where reading has got to; only of those that come after one.
    fn next_missed(&mut self, after: u64) -> Option<Missed> {
        if self.place >= self.taken {
            return None;
        }
        let mut found = self.look_for_missed(after);
        // A file that is being compressed is not there for a moment; one that was removed does not come back.
        for _ in 1..LOOKS {
            if found.as_ref().is_some_and(|(_, begin, _, _)| *begin <= self.place) {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
            found = self.look_for_missed(after);
        }
        let (number, begin, file, compressed) = found?;
        let mut reader: Box<dyn BufRead + Send> =
            if compressed { Box::new(BufReader::new(GzDecoder::new(file))) } else { Box::new(BufReader::new(file)) };
        let skipped = self.place.saturating_sub(begin);
        io::copy(&mut (&mut reader).take(skipped), &mut io::sink()).ok()?;
        self.place = self.place.max(begin);
        Some(Missed { number, reader })
    }

    /// Its number, its place, and whether it is compressed.
    fn look_for_missed(&self, after: u64) -> Option<(u64, u64, File, bool)> {
        let mut found: Option<(u64, u64, File, bool)> = None;
        for rotated in rotated(&self.path).into_iter().filter(|rotated| rotated.number > after) {
            let Ok(file) = File::open(&rotated.path) else { continue };
            let Some(begin) = from(&file) else { continue };
            // The last one that begins before, else the first one.
            if begin <= self.place || found.is_none() {
                found = Some((rotated.number, begin, file, rotated.compressed));
            }
        }
        found
    }

    /// What stands after the last line's end.
    pub fn take_partial(&mut self) -> Option<Line> {
        let line = std::mem::take(&mut self.partial);
        (!line.bytes.is_empty()).then_some(line)
    }

    /// Begins anew when the file has become shorter than what was read of it.
    pub(super) fn rewind_if_truncated(&mut self) -> io::Result<()> {
        let file = self.reader.get_ref().try_clone()?;
        let unlock = lock_shared(&file);
        let known = self.missed.is_none() && self.astray.is_none() && taken(&file) == self.taken;
        let truncated = known && file.metadata()?.len() < self.place - self.taken;
        drop(unlock);
        if truncated {
            self.reader.seek(SeekFrom::Start(0))?;
            self.place = self.taken;
            self.partial = Line::default();
        }
        Ok(())
    }

    pub(super) fn file(&self) -> &File {
        self.reader.get_ref()
    }
}

impl fmt::Debug for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Missed").field("number", &self.number).finish_non_exhaustive()
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
