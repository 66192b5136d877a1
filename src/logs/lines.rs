use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;

use super::rotate::{
    Part, Rotated, Stream, data_start, from, is_gzip, is_living, lock_shared, parts_of, renamed_part, taken,
};

use crate::platform::{open_regular, reason};

/// Bytes of a line that are kept; the rest is counted.
pub const LINE_MAX: usize = 1 << 20;

const BLOCK: usize = 64 << 10;
const UNPACKED_AT_ONCE: usize = 4 << 10;
/// How often a rotated file is looked for, which may just be getting another name.
const LOOKS: u32 = 5;
/// Before it is looked for again, the first time; then twice as long each time. A folder may be read so that neither of the
/// names is seen.
const PAUSE: Duration = Duration::from_millis(1);
/// Files that were moved away and are kept open until they are read.
const MOVED_MAX: usize = 16;

/// One line, without what ended it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub bytes: Vec<u8>,
    /// How many bytes were left out because there were more than [`LINE_MAX`].
    pub cut: u64,
}

/// The lines of a file that may be growing, and that may be rotated meanwhile: by taking out its beginning, or by
/// another in its place.
#[derive(Debug)]
pub struct Lines {
    file: File,
    path: PathBuf,
    /// What was read and not used yet.
    chunk: Vec<u8>,
    used: usize,
    /// The log that is being read: the one that the file is a part of, or one before that.
    stream: Stream,
    /// Where reading has got to, counted from the first byte that was ever in that.
    place: u64,
    /// How much of its log is no longer in the file, as far as is known here.
    taken: u64,
    /// What was rotated before it was read.
    missed: Option<Piece>,
    /// What goes on is to be found, and begins here at the earliest.
    next: Option<u64>,
    /// What was read last has ended, and so has its last line.
    parted: bool,
    /// Nothing behind this place is read.
    limit: Option<(Stream, u64)>,
    /// How much may be read for now.
    turn: u64,
    /// Files that somebody has moved away are read, too.
    finds_renamed: bool,
    /// The file that the path names, where that is another by now.
    named: Option<File>,
    /// Files that it named meanwhile and that somebody has moved away, wherever they are.
    moved: Vec<File>,
    /// What was rotated and is to be read, the oldest first: kept open, so that it can be when it was removed.
    held: Vec<(Rotated, File)>,
    /// So many bytes were removed before they could be read.
    gap: u64,
    /// What is missing next was told already.
    told: bool,
    /// What could not be read, and why.
    damaged: Vec<(PathBuf, io::Error)>,
    /// The beginning of a line whose end has not been written yet.
    partial: Line,
}

/// What was rotated, being read.
pub(super) struct Piece {
    path: PathBuf,
    stream: Stream,
    /// The place of its first byte.
    from: u64,
    /// It may begin with what is left of a line.
    has_rest: bool,
    /// Its last line goes on in the next one, if it has no end.
    goes_on: bool,
    reader: Box<dyn Read + Send>,
}

impl Lines {
    /// Opens a file to be read from its beginning.
    ///
    /// # Errors
    /// When it cannot be opened, or is no regular file: opening a pipe would wait for its writer.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = open_regular(path)?;
        let taken = taken(&file);
        let from = data_start(&file)?;
        Self::new(file, path, from, taken)
    }

    /// And through what was rotated after something, so that nothing is missed of a log that was not there before.
    pub(super) fn open_after(path: &Path, number: u64) -> io::Result<Self> {
        let lines = Self::open(path)?;
        match parts_of(path).into_iter().find(|part| part.file.number > number) {
            Some(part) => match Piece::open(&part.file)? {
                Some(piece) => Ok(lines.since(piece, 0)),
                None => Ok(lines),
            },
            None => Ok(lines),
        }
    }

    /// From an offset that was so when so much was taken out.
    pub(super) fn new(file: File, path: &Path, from: u64, taken: u64) -> io::Result<Self> {
        Ok(Self {
            stream: Stream::of(&file)?,
            file,
            path: path.to_owned(),
            chunk: Vec::new(),
            used: 0,
            place: taken + from,
            taken,
            missed: None,
            next: None,
            parted: false,
            limit: None,
            turn: u64::MAX,
            finds_renamed: false,
            named: None,
            moved: Vec::new(),
            held: Vec::new(),
            gap: 0,
            told: false,
            damaged: Vec::new(),
            partial: Line::default(),
        })
    }

    /// To an offset of the file as it is, and no further for now.
    pub(super) fn until(mut self, end: u64) -> Self {
        self.limit = Some((self.stream.clone(), self.taken + end));
        self
    }

    /// From an offset of something rotated on.
    pub(super) fn since(mut self, mut piece: Piece, offset: u64) -> Self {
        // One that cannot be read says so again.
        let _ = piece.skip(offset);
        (self.stream, self.place) = (piece.stream.clone(), piece.from + offset);
        self.missed = Some(piece);
        self
    }

    /// From a place of something that was rotated on, whatever it is called by now.
    pub(super) fn since_place(mut self, stream: Stream, place: u64) -> Self {
        (self.stream, self.place) = (stream, place);
        self.next = Some(0);
        self
    }

    /// Of what was rotated, what is open already.
    pub(super) fn holding(mut self, held: Vec<(Rotated, File)>) -> Self {
        self.held = held;
        self
    }

    /// This is missing, too.
    pub(super) fn without(mut self, damaged: Vec<(PathBuf, io::Error)>) -> Self {
        self.damaged.extend(damaged);
        self
    }

    /// What could not be read since this was last asked, and why.
    pub(super) fn take_damaged(&mut self) -> Vec<(PathBuf, io::Error)> {
        let mut damaged = std::mem::take(&mut self.damaged);
        let gap = std::mem::take(&mut self.gap);
        if gap > 0 {
            let text = format!("{gap} bytes of it were removed before they could be read");
            damaged.push((self.path.clone(), io::Error::other(text)));
        }
        damaged
    }

    /// For now nothing is read but what is there already, and at most so much. Whoever calls this follows.
    pub(super) fn limit(&mut self, bytes: u64) -> io::Result<()> {
        let end = taken(&self.file) + self.file.metadata()?.len();
        self.limit = Some((Stream::of(&self.file)?, end));
        (self.turn, self.finds_renamed) = (bytes, true);
        Ok(())
    }

    /// Keeps hold of what the path names: before it was read somebody may move it to where it is not found.
    pub(super) fn notice(&mut self) -> io::Result<()> {
        let (there, own) = (identity(&self.path.metadata()?), identity(&self.file.metadata()?));
        if there == own {
            if self.missed.is_none() && self.next.is_none() {
                (self.named, self.moved) = (None, Vec::new());
            }
            return Ok(());
        }
        if self.named.as_ref().and_then(|file| file.metadata().ok()).is_some_and(|meta| identity(&meta) == there) {
            return Ok(());
        }
        let before = self.named.replace(open_regular(&self.path)?);
        self.moved.extend(before.filter(is_living));
        if self.moved.len() > MOVED_MAX {
            self.moved.remove(0);
        }
        Ok(())
    }

    /// Whether it ended there with more to come.
    pub(super) fn is_at_limit(&self) -> bool {
        let is_behind = |(stream, limit): &(Stream, u64)| *stream == self.stream && self.place >= *limit;
        self.next.is_none() && (self.turn == 0 || self.limit.as_ref().is_some_and(is_behind))
    }

    /// Whether everything that is in the file was read.
    pub(super) fn is_at_end(&self) -> io::Result<bool> {
        // What was rotated ends where the file begins: its last read, which says that it has ended, may still be to come.
        let read = self.used == self.chunk.len() && self.next.is_none();
        if self.missed.is_some() && Stream::of(&self.file)? != self.stream {
            return Ok(false);
        }
        Ok(read && self.place >= taken(&self.file) + self.file.metadata()?.len())
    }

    /// Whether something was ever in the file that the path names now, or it is the next one of this log: else the writer of
    /// this one has not heard of it yet.
    pub(super) fn is_begun(&self, path: &Path) -> io::Result<bool> {
        let there = open_regular(path)?;
        Ok(there.metadata()?.len() > 0 || taken(&there) > 0 || Stream::of(&there)? == Stream::of(&self.file)?)
    }

    /// The next line that is complete; none where the file ends for now.
    pub fn next_complete(&mut self) -> io::Result<Option<Line>> {
        loop {
            if self.used == self.chunk.len() {
                self.fill()?;
                if std::mem::take(&mut self.parted)
                    && let Some(line) = self.take_partial()
                {
                    return Ok(Some(line));
                }
            }
            let at_beginning = self.partial.bytes.is_empty()
                && self
                    .missed
                    .as_ref()
                    .map_or(self.place == self.taken, |piece| piece.has_rest && self.place == piece.from);
            let bytes = &self.chunk[self.used..];
            if bytes.is_empty() {
                return Ok(None);
            }
            let end = memchr::memchr(b'\n', bytes);
            self.partial.push(&bytes[..end.unwrap_or(bytes.len())]);
            let read = end.map_or(bytes.len(), |end| end + 1);
            self.used += read;
            self.place += read as u64;
            if end.is_some() {
                let line = std::mem::take(&mut self.partial);
                let has_rest = self.missed.is_some() || has_rest(&self.file);
                if !(at_beginning && is_rest(&line.bytes) && has_rest) {
                    return Ok(Some(line));
                }
            }
        }
    }

    /// Reads, when everything that was read is used up.
    fn fill(&mut self) -> io::Result<()> {
        self.used = 0;
        let length = loop {
            if self.is_at_limit() {
                break 0;
            }
            let left =
                |(stream, limit): &(Stream, u64)| (*stream == self.stream).then(|| limit.saturating_sub(self.place));
            let most = self.limit.as_ref().and_then(left).unwrap_or(u64::MAX).min(self.turn).max(1);
            self.chunk.resize(BLOCK.min(usize::try_from(most).unwrap_or(BLOCK)), 0);
            match self.fill_once() {
                Ok(Some(length)) => break length,
                Ok(None) => {}
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => {
                    self.chunk.clear();
                    return Err(err);
                }
            }
        };
        self.chunk.truncate(length);
        self.turn = self.turn.saturating_sub(length as u64);
        if length == 0 {
            // Who waits for many files holds no memory for each.
            self.chunk = Vec::new();
        }
        Ok(())
    }

    /// None when it is to be tried again, elsewhere.
    fn fill_once(&mut self) -> io::Result<Option<usize>> {
        if let Some(missed) = &mut self.missed {
            match missed.reader.read(&mut self.chunk) {
                Ok(length) if length > 0 => {
                    self.told = false;
                    return Ok(Some(length));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Ok(_) => {}
                // What follows is read, and nobody knows how much it should have been.
                Err(error) => {
                    self.damaged.push((missed.path.clone(), error));
                    self.told = true;
                    (self.place, self.partial) = (missed.from, Line::default());
                }
            }
            self.parted |= !missed.goes_on;
            self.next = Some(missed.from + 1);
            self.missed = None;
        }
        self.fill_locked()
    }

    /// Nothing is taken out of the file while this looks how much was, and reads.
    fn fill_locked(&mut self) -> io::Result<Option<usize>> {
        let file = self.file.try_clone()?;
        let _unlock = lock_shared(&file);
        let taken = taken(&file);
        if taken != self.taken || self.next.is_some() {
            let stream = Stream::of(&file)?;
            if self.next.is_none() && stream != self.stream {
                // While it was empty it was made the next one of another.
                (self.place, self.stream) = (taken + (self.place - self.taken), stream.clone());
            } else if from(&file).is_some_and(|from| from > self.taken) {
                // Emptied: what a line began with is in it no more.
                self.partial = Line::default();
            }
            self.taken = taken;
            let next = self.next.take().unwrap_or(0);
            self.find_missed(next, &stream, taken + data_start(&file)?);
            if self.missed.is_some() {
                return Ok(None);
            }
        }
        let length = file.read_at(&mut self.chunk, self.place - self.taken)?;
        // Where nothing can be taken out of a file, a hole is made, and nothing else tells.
        if length > 0 && self.chunk[0] == 0 {
            let begins = taken + data_start(&file)?;
            if self.place < begins {
                self.find_missed(0, &Stream::of(&file)?, begins);
                return Ok(None);
            }
        }
        Ok(Some(length))
    }

    /// Where the file, which is a part of `own`, begins only behind what was read: goes on in what was rotated, or else
    /// there.
    fn find_missed(&mut self, next: u64, own: &Stream, begins: u64) {
        if self.stream == *own && self.place >= begins {
            return;
        }
        let mut found = self.take_held(next, own, begins);
        // What is being compressed may be missed under both its names; what was removed does not come back.
        for look in 0..if found.is_some() { 0 } else { LOOKS } {
            if look > 0 {
                std::thread::sleep(PAUSE * (1 << (look - 1)));
            }
            found = self.look_for_missed(next, own, begins);
            if found.as_ref().is_some_and(|piece| piece.stream == self.stream && piece.from <= self.place) {
                break;
            }
        }
        if found.as_ref().is_none_or(|piece| piece.stream != self.stream || piece.from > self.place) {
            found = self.take_held_behind(found.as_ref(), next, own, begins).or(found);
        }
        let told = std::mem::take(&mut self.told);
        let (stream, place) = found.as_ref().map_or((own, begins), |piece| (&piece.stream, piece.from));
        if *stream != self.stream {
            self.parted = true;
            (self.stream, self.place) = (stream.clone(), place);
        } else if self.place < place {
            // What a line began with has gone, or what it ended with.
            self.gap += if told { 0 } else { place - self.place };
            (self.partial, self.place) = (Line::default(), place);
        }
        let before = self.place.saturating_sub(place);
        if let Some(piece) = &mut found {
            // One that cannot be read says so again.
            let _ = piece.skip(before);
        }
        self.missed = found;
    }

    /// What goes on where reading has got to, if that is open already.
    fn take_held(&mut self, next: u64, own: &Stream, begins: u64) -> Option<Piece> {
        let at = self.held_from(next, own, begins).filter(|(from, _)| *from <= self.place).max()?.1;
        self.use_held(at)
    }

    /// Or what comes next of that, where it does before what was found.
    fn take_held_behind(&mut self, found: Option<&Piece>, next: u64, own: &Stream, begins: u64) -> Option<Piece> {
        let before = found.filter(|piece| piece.stream == self.stream).map_or(u64::MAX, |piece| piece.from);
        let at = self.held_from(next, own, begins).filter(|(from, _)| *from < before).min()?.1;
        self.use_held(at)
    }

    /// Where what is open begins, and which it is.
    fn held_from(&self, next: u64, own: &Stream, begins: u64) -> impl Iterator<Item = (u64, usize)> {
        let is_own = self.stream == *own;
        let place = |(at, (_, file)): (usize, &(Rotated, File))| {
            let is_mine = Stream::of(file).is_ok_and(|stream| stream == self.stream);
            from(file).filter(|_| is_mine).map(|from| (from, at))
        };
        let held = self.held.iter().enumerate().filter_map(place);
        held.filter(move |(from, _)| *from >= next && (!is_own || *from < begins))
    }

    /// What comes before was read.
    fn use_held(&mut self, at: usize) -> Option<Piece> {
        let (rotated, file) = self.held.drain(..=at).next_back()?;
        Piece::within(&rotated, file).ok().flatten()
    }

    /// What goes on where reading has got to; else what comes next.
    fn look_for_missed(&self, next: u64, own: &Stream, begins: u64) -> Option<Piece> {
        let open = |part: &Part| Piece::open(&part.file).ok().flatten();
        let (mine, others): (Vec<Part>, Vec<Part>) =
            parts_of(&self.path).into_iter().partition(|part| part.stream == self.stream);
        let is_left = |part: &&Part| part.from >= next && (self.stream != *own || part.from < begins);
        let left = || mine.iter().filter(is_left);
        // The last one that begins before. What is in the file still is read there.
        if let Some(part) = left().filter(|part| part.from <= self.place).max_by_key(|part| part.from) {
            return open(part);
        }
        let held = |file: &File| {
            let from = self.stream.holds(file, self.place).filter(|from| *from >= next)?;
            Some((from, self.path.clone(), file.try_clone().ok()?))
        };
        let renamed = || renamed_part(&self.path, &self.stream, next, self.place);
        if self.finds_renamed
            && let Some((from, path, file)) = self.moved.iter().find_map(held).or_else(renamed)
        {
            return Piece::of(path, file, from).ok();
        }
        if let Some(part) = left().min_by_key(|part| part.from) {
            return open(part);
        }
        // The log was moved away while nobody wrote to it, and another has begun.
        let last = mine.iter().map(|part| part.file.number).max();
        let is_next = |part: &&Part| last.map_or(part.stream == *own, |last| part.file.number > last);
        others.iter().filter(|_| self.stream != *own).find(is_next).and_then(open)
    }

    /// The path names another file by now: goes on with what was rotated after this one, and then with that.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let file = open_regular(&self.path)?;
        self.stream = Stream::of(&self.file)?;
        // What somebody has moved away goes on nowhere.
        self.parted = is_living(&self.file);
        // Of an empty one the next has the same place.
        self.next = Some(self.taken + u64::from(self.place > self.taken));
        self.taken = taken(&file);
        self.file = file;
        (self.chunk, self.used, self.missed) = (Vec::new(), 0, None);
        Ok(())
    }

    /// What stands after the last line's end.
    pub fn take_partial(&mut self) -> Option<Line> {
        let line = std::mem::take(&mut self.partial);
        (!line.bytes.is_empty()).then_some(line)
    }

    /// Begins anew when the file has become shorter than what was read of it.
    pub(super) fn rewind_if_truncated(&mut self) -> io::Result<()> {
        let file = self.file.try_clone()?;
        let unlock = lock_shared(&file);
        let known = self.missed.is_none() && self.next.is_none() && taken(&file) == self.taken;
        let read = self.place + (self.chunk.len() - self.used) as u64;
        let truncated = known && file.metadata()?.len() < read - self.taken;
        drop(unlock);
        if truncated {
            self.place = self.taken;
            (self.chunk, self.used) = (Vec::new(), 0);
            self.partial = Line::default();
        }
        Ok(())
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Piece {
    /// None where it is nothing that was rotated here: others number theirs the other way round.
    pub(super) fn open(rotated: &Rotated) -> io::Result<Option<Self>> {
        Self::within(rotated, File::open(&rotated.path)?)
    }

    /// As it was opened by this name.
    pub(super) fn within(rotated: &Rotated, file: File) -> io::Result<Option<Self>> {
        let Some(from) = from(&file).filter(|_| !is_living(&file)) else { return Ok(None) };
        if rotated.compressed {
            return Self::packed(rotated.path.clone(), file, from).map(Some);
        }
        Self::of(rotated.path.clone(), file, from).map(Some)
    }

    /// Whatever it is called.
    fn of(path: PathBuf, file: File, from: u64) -> io::Result<Self> {
        if is_gzip(&file) { Self::packed(path, file, from) } else { Self::plain(path, file, from) }
    }

    fn packed(path: PathBuf, mut file: File, from: u64) -> io::Result<Self> {
        // It may have been looked through.
        file.rewind()?;
        let (stream, has_rest) = (Stream::of(&file)?, has_rest(&file));
        let reader = Box::new(Unpacker { decoder: GzDecoder::new(BufReader::new(file)), damage: None });
        Ok(Self { path, stream, from, has_rest, goes_on: true, reader })
    }

    /// What begins with a hole begins behind it.
    fn plain(path: PathBuf, mut file: File, from: u64) -> io::Result<Self> {
        let hole = data_start(&file)?;
        file.seek(SeekFrom::Start(hole))?;
        let (stream, has_rest, goes_on) = (Stream::of(&file)?, has_rest(&file), !is_living(&file));
        Ok(Self { path, stream, from: from + hole, has_rest, goes_on, reader: Box::new(file) })
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn from(&self) -> u64 {
        self.from
    }

    pub(super) fn has_rest(&self) -> bool {
        self.has_rest
    }

    pub(super) fn reader(&mut self) -> &mut dyn Read {
        &mut *self.reader
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        io::copy(&mut (&mut self.reader).take(bytes), &mut io::sink()).map(|_| ())
    }
}

/// Reads as far as something damaged can be read, and then says so each time.
struct Unpacker {
    decoder: GzDecoder<BufReader<File>>,
    damage: Option<String>,
}

impl Read for Unpacker {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if let Some(damage) = &self.damage {
            return Err(io::Error::new(io::ErrorKind::InvalidData, damage.clone()));
        }
        // What came before the damage in one call is lost with it.
        let length = space.len().min(UNPACKED_AT_ONCE);
        match self.decoder.read(&mut space[..length]) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let damage = if error.kind() == io::ErrorKind::UnexpectedEof {
                    "it is damaged: its end is missing".to_owned()
                } else {
                    format!("it is damaged: {}", reason(&error))
                };
                self.damage = Some(damage.clone());
                Err(io::Error::new(io::ErrorKind::InvalidData, damage))
            }
            read => read,
        }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(LINE_MAX - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..kept]);
        self.cut += (bytes.len() - kept) as u64;
    }
}

/// Spaces at the beginning are what is left of a line whose beginning was taken out.
pub(super) fn is_rest(line: &[u8]) -> bool {
    !line.is_empty() && line.iter().all(|byte| *byte == b' ')
}

/// Whether something was taken out of it since it was made.
pub(super) fn has_rest(file: &File) -> bool {
    from(file).unwrap_or(0) != taken(file)
}

pub(super) fn identity(meta: &std::fs::Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
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
        let mut lines = Lines::open(&path).unwrap();
        assert_eq!(lines.next_complete().unwrap(), Some(line("one")));
        assert_eq!(lines.next_complete().unwrap(), Some(line("")));
        assert_eq!(lines.next_complete().unwrap(), None);
        file.write_all(b"o\nthree").unwrap();
        assert_eq!(lines.next_complete().unwrap(), Some(line("two")));
        assert_eq!(lines.next_complete().unwrap(), None);
        assert_eq!(lines.take_partial(), Some(line("three")));
        assert_eq!(lines.take_partial(), None);
    }

    /// Whoever follows would go round and round, and show nothing of it, until somebody writes the next line.
    #[test]
    fn the_end_of_what_was_rotated_is_the_end_while_nothing_is_written() {
        use super::super::rotate::{Aside, put_aside};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "one\n").unwrap();
        let mut lines = Lines::open(&path).unwrap();
        assert_eq!(lines.next_complete().unwrap(), Some(line("one")));
        let aside = || {
            let log = File::options().append(true).open(&path).unwrap();
            assert!(matches!(put_aside(&path, log, |path| File::create(path)).unwrap(), Aside::Done(_)));
        };
        aside();
        std::fs::write(&path, "two\n").unwrap();
        aside();
        lines.reopen().unwrap();
        lines.limit(100).unwrap();
        assert_eq!(lines.next_complete().unwrap(), Some(line("two")));
        assert_eq!(lines.next_complete().unwrap(), None);
        assert!(lines.is_at_end().unwrap());
        std::fs::write(&path, "three\n").unwrap();
        assert!(!lines.is_at_end().unwrap());
        lines.limit(100).unwrap();
        assert_eq!(lines.next_complete().unwrap(), Some(line("three")));
    }

    #[test]
    fn an_endless_line_is_cut_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, [vec![0xff; LINE_MAX + 10], b"\nnext\n".to_vec()].concat()).unwrap();
        let mut lines = Lines::open(&path).unwrap();
        let long = lines.next_complete().unwrap().unwrap();
        assert_eq!((long.bytes.len(), long.cut), (LINE_MAX, 10));
        assert_eq!(lines.next_complete().unwrap(), Some(line("next")));
    }

    #[test]
    fn half_a_line_that_was_flushed_away_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = File::options().append(true).create(true).open(&path).unwrap();
        file.write_all(b"one\nhal").unwrap();
        let mut lines = Lines::open(&path).unwrap();
        assert_eq!(lines.next_complete().unwrap(), Some(line("one")));
        assert_eq!(lines.next_complete().unwrap(), None);
        crate::logs::rotate::empty(&path).unwrap();
        file.write_all(b"next\n").unwrap();
        assert_eq!(lines.next_complete().unwrap(), Some(line("next")));
    }

    #[test]
    fn who_is_behind_a_hole_reads_what_it_was() {
        let Some(folder) = crate::logs::rotate::folder_with_holes() else { return };
        let path = folder.path().join("log");
        let mut file = File::options().append(true).create(true).open(&path).unwrap();
        let mut lines = Lines::open(&path).unwrap();
        for round in 0..3 {
            for number in 0..3_000 {
                writeln!(file, "{}", round * 3_000 + number).unwrap();
            }
            let rotation = crate::spec::Rotation { max_size: 5_000, retain: 100, compress: false };
            assert!(crate::logs::rotate::rotate(&path, &rotation).unwrap());
        }
        for number in 0..9_000 {
            assert_eq!(lines.next_complete().unwrap(), Some(line(&number.to_string())));
        }
        assert_eq!(lines.next_complete().unwrap(), None);
    }

    #[test]
    fn a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Lines::open(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
