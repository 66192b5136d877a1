//! Where to begin reading a log: found from its end, through what was rotated.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::lines::{LINE_MAX, Lines, Piece, has_rest, is_rest};
use super::rotate::{Rotated, Stream, data_start, is_living, lock_shared, rotated, taken};
use crate::platform::open_regular;

const BLOCK: usize = 256 << 10;
/// How often it is begun anew because the log was rotated meanwhile.
const TRIES: u32 = 4;
/// Between two of these. Of two names that change one after the other the second has changed by then.
const PAUSE: Duration = Duration::from_millis(1);

/// What is thought of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts.
    Take,
    Leave,
    /// It is too old, and so is what comes before.
    Older,
}

/// What is looked for.
pub(super) struct Search<'a> {
    /// How many lines that count; none is all.
    pub(super) count: Option<usize>,
    /// What was last written before this is too old, whatever it holds.
    pub(super) since: Option<SystemTime>,
    /// Whether a line may be too old by what it says.
    pub(super) tells: bool,
    /// How many of what was rotated may be kept open.
    pub(super) holds: usize,
    pub(super) verdict: &'a mut dyn FnMut(&[u8]) -> Verdict,
}

impl Search<'_> {
    /// A log's lines from where those begin, to where it ended when it was looked at.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<Lines> {
        let count = self.count;
        for _ in 1..TRIES {
            self.count = count;
            match self.try_open(path, false) {
                Ok(Some(lines)) => return Ok(lines),
                Ok(None) => {}
                // Renamed, and the next one is not made yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !rotated(path).is_empty() => {
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        // Its writer is faster than this: nothing is taken out of it until this has seen what is there.
        self.count = count;
        if let Some(lines) = self.try_open(path, true)? {
            return Ok(lines);
        }
        let mut lines = Lines::open(path)?;
        lines.limit(u64::MAX)?;
        Ok(lines)
    }

    /// None when it was rotated meanwhile, unless that is `held` up.
    fn try_open(&mut self, path: &Path, held: bool) -> io::Result<Option<Lines>> {
        let file = open_regular(path)?;
        let lock = lock_shared(&file);
        let taken_before = taken(&file);
        let meta = file.metadata()?;
        let (floor, end) = (data_start(&file)?, meta.len());
        let pieces = if self.count == Some(0) { Vec::new() } else { rotated(path) };
        let lock = held.then_some(lock);
        let at = if meta.modified().is_ok_and(|modified| self.is_old(modified)) {
            Some(end)
        } else {
            self.plain(&file, floor, end, has_rest(&file))?
        };
        if taken(&file) != taken_before || data_start(&file)? != floor {
            return Ok(None);
        }
        drop(lock);
        // What has come twice by a crash is read once.
        let (mut stream, mut begins) = (Stream::of(&file)?, taken_before + floor);
        let mut living = Lines::new(file, path, at.unwrap_or(floor), taken_before)?.until(end);
        let (mut earliest, mut held) = (None, Vec::new());
        let mut unreadable = Vec::new();
        if at.is_none() {
            held = hold(&pieces, self.holds);
        }
        for rotated in pieces.into_iter().rev().filter(|_| at.is_none()) {
            let known = held.iter().find(|(held, _)| *held == rotated).map(|(_, file)| file.try_clone());
            let opened = match known {
                Some(file) => Piece::within(&rotated, file?).map(|piece| Some((rotated.clone(), piece))),
                None => open_piece(path, &rotated),
            };
            let (rotated, opened) = match opened {
                Ok(Some(opened)) => opened,
                // It was removed, and so was what came before.
                Ok(None) => break,
                Err(error) => {
                    unreadable.push((rotated.path, error));
                    continue;
                }
            };
            let is_new = |piece: &Piece| *piece.stream() != stream || piece.from() < begins;
            let Some(piece) = opened.filter(is_new) else { continue };
            (stream, begins) = (piece.stream().clone(), piece.from());
            if self.is_old(rotated.modified) {
                break;
            }
            let at = self.piece(&rotated, piece)?;
            earliest = Some((stream.clone(), begins + at.unwrap_or(0), rotated.number));
            if at.is_some() {
                break;
            }
        }
        if let Some((stream, place, first)) = earliest {
            held.retain(|(rotated, _)| rotated.number >= first);
            living = living.since_place(stream, place).holding(held);
        }
        Ok(Some(living.without(unreadable)))
    }

    fn is_old(&self, modified: SystemTime) -> bool {
        self.since.is_some_and(|since| modified < since)
    }

    fn piece(&mut self, rotated: &Rotated, piece: Piece) -> io::Result<Option<u64>> {
        if self.count.is_none() && (rotated.compressed || !self.tells) {
            return Ok(None);
        }
        if rotated.compressed {
            return Ok(self.compressed(piece));
        }
        match File::open(&rotated.path) {
            Ok(file) => {
                let end = file.metadata()?.len();
                self.plain(&file, 0, end, piece.has_rest())
            }
            // It has just got another name.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.compressed(piece)),
            Err(error) => Err(error),
        }
    }

    /// From the end; where to begin, unless that is further ahead.
    fn plain(&mut self, file: &File, floor: u64, end: u64, has_rest: bool) -> io::Result<Option<u64>> {
        match self.count {
            Some(0) => return last_line_end(file, floor, end).map(Some),
            None if !self.tells => return Ok(None),
            _ => {}
        }
        let mut chunk = Vec::new();
        // What stands between here and the end of a line.
        let (mut position, mut held) = (end, Vec::new());
        let mut is_last = true;
        while position > floor {
            let size = usize::try_from(position - floor).unwrap_or(BLOCK).min(BLOCK);
            position -= size as u64;
            chunk.resize(size, 0);
            match file.read_exact_at(&mut chunk, position) {
                // Truncated just now.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read?,
            }
            if std::mem::take(&mut is_last) && chunk.last() == Some(&b'\n') {
                chunk.pop();
            }
            let mut rest = chunk.as_slice();
            while let Some(at) = memchr::memrchr(b'\n', rest) {
                let found = if held.is_empty() {
                    self.line(&rest[at + 1..])
                } else {
                    held.splice(0..0, rest[at + 1..].iter().copied());
                    self.line(&held)
                };
                let length = if held.is_empty() { rest.len() - at - 1 } else { held.len() };
                let begin = position + at as u64 + 1;
                if let Some(older) = found {
                    return Ok(Some(if older { begin + length as u64 + 1 } else { begin }));
                }
                held.clear();
                rest = &rest[..at];
            }
            held.splice(0..0, rest.iter().copied());
            if held.len() >= LINE_MAX {
                if let Some(older) = self.line(&held) {
                    return Ok(Some(if older { position + held.len() as u64 } else { position }));
                }
                held.clear();
            }
        }
        let is_line = end > floor && !(has_rest && is_rest(&held));
        let length = held.len() as u64 + 1;
        Ok(is_line.then(|| self.line(&held)).flatten().map(|older| if older { floor + length } else { floor }))
    }

    /// Some when it is enough: whether because this one is too old.
    fn line(&mut self, line: &[u8]) -> Option<bool> {
        match (self.verdict)(line) {
            Verdict::Leave => None,
            Verdict::Older => Some(true),
            Verdict::Take => {
                let count = self.count.as_mut()?;
                *count -= 1;
                (*count == 0).then_some(false)
            }
        }
    }

    /// What is compressed, or held open only, can be read forwards only.
    fn compressed(&mut self, mut piece: Piece) -> Option<u64> {
        let needed = self.count.unwrap_or(usize::MAX);
        let has_rest = piece.has_rest();
        let mut reader = BufReader::with_capacity(BLOCK, piece.reader());
        let (mut line, mut at, mut older) = (Vec::new(), 0, None);
        let mut found: VecDeque<u64> = VecDeque::new();
        loop {
            line.clear();
            // What is damaged ends there; whoever reads it says so.
            let Ok(length @ 1..) = reader.read_until(b'\n', &mut line) else { break };
            let length = length as u64;
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            if at == 0 && has_rest && is_rest(text) {
                at += length;
                continue;
            }
            match (self.verdict)(text) {
                Verdict::Leave => {}
                Verdict::Older => {
                    found.clear();
                    older = Some(at + length);
                }
                Verdict::Take => {
                    found.push_back(at);
                    if found.len() > needed {
                        found.pop_front();
                    }
                }
            }
            at += length;
        }
        if found.len() == needed {
            return found.front().copied();
        }
        self.count = Some(needed - found.len());
        older
    }
}

/// Opens what would be removed first. What has another name by now, or is removed already, is found out when it is looked for.
fn hold(pieces: &[Rotated], most: usize) -> Vec<(Rotated, File)> {
    let open = |piece: &Rotated| {
        let file = open_regular(&piece.path).ok().filter(|file| !is_living(file))?;
        Some((piece.clone(), file))
    };
    pieces.iter().take(most).filter_map(open).collect()
}

/// Under the name that it has by now, where it was compressed meanwhile; none when it is no more. Nothing in it where it is
/// somebody else's.
fn open_piece(log: &Path, listed: &Rotated) -> io::Result<Option<(Rotated, Option<Piece>)>> {
    let mut named = Some(listed.clone());
    for _ in 0..TRIES {
        match named.take().map(|named| (Piece::open(&named), named)) {
            Some((Ok(piece), named)) => return Ok(Some((named, piece))),
            Some((Err(error), _)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            // A folder may be read so that neither of the names is seen.
            _ => std::thread::sleep(PAUSE),
        }
        named = rotated(log).into_iter().find(|other| other.number == listed.number);
    }
    Ok(None)
}

/// Where a line begins that has not ended yet: whoever follows is to see all of it. A write of more than a page is not
/// there all at once.
fn last_line_end(file: &File, floor: u64, end: u64) -> io::Result<u64> {
    let mut chunk = Vec::new();
    let mut position = end;
    let farthest = floor.max(end.saturating_sub(LINE_MAX as u64));
    while position > farthest {
        let size = usize::try_from(position - farthest).unwrap_or(BLOCK).min(BLOCK);
        chunk.resize(size, 0);
        match file.read_exact_at(&mut chunk, position - size as u64) {
            // Truncated just now.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(end),
            read => read?,
        }
        position -= size as u64;
        if let Some(at) = memchr::memrchr(b'\n', &chunk) {
            return Ok(position + at as u64 + 1);
        }
    }
    Ok(farthest)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_written_during_the_search_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "1\n2\n3\n4\n").unwrap();
        let mut log = File::options().append(true).open(&path).unwrap();
        let mut verdict = |_: &[u8]| {
            log.write_all(b"late\nlater\n").unwrap();
            Verdict::Take
        };
        let mut search = Search { count: Some(2), since: None, tells: false, holds: 0, verdict: &mut verdict };
        let mut lines = search.open(&path).unwrap();
        let shown = std::iter::from_fn(|| lines.next_complete().unwrap()).map(|line| line.bytes);
        assert_eq!(shown.collect::<Vec<_>>(), [b"3", b"4"]);
    }

    #[test]
    fn what_follows_begins_with_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let long = "x".repeat(BLOCK + 3);
        for (text, begin) in [("", 0), ("1\n", 2), ("1\n2", 2), ("1", 0), (&format!("1\n{long}"), 2)] {
            std::fs::write(&path, text).unwrap();
            let file = File::open(&path).unwrap();
            assert_eq!(last_line_end(&file, 0, text.len() as u64).unwrap(), begin, "{}", text.len());
        }
        std::fs::write(&path, vec![b'x'; LINE_MAX + 7]).unwrap();
        assert_eq!(last_line_end(&File::open(&path).unwrap(), 0, LINE_MAX as u64 + 7).unwrap(), 7);
    }
}
