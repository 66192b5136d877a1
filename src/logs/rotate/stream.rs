use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::OFlags;

use super::head::{FROM, LIVING, TAKEN, data_start, from, is_living, mark, taken, text};
use super::names::{Rotated, rotated};

/// Of what was begun as the next file of a log, and of what was rotated out of one: which log that is.
const STREAM: &str = "user.pmrun.stream";

/// The log that a file is a part of, whatever the file is called: places are counted from the first byte of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream(String);

impl Stream {
    /// One that is marked as nothing else is its own.
    ///
    /// # Errors
    /// The system's.
    pub fn of(file: &File) -> io::Result<Self> {
        let mut space = [0; 64];
        if let Some(known) = text(file, STREAM, &mut space) {
            return Ok(Self(known.to_owned()));
        }
        let meta = file.metadata()?;
        // Numbers are used again.
        let made = meta.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        Ok(Self(format!("{}-{}", meta.ino(), made.as_nanos())))
    }

    /// Where a file begins that is a part of it and holds a place of it.
    pub fn holds(&self, file: &File, place: u64) -> Option<u64> {
        let begin = if is_living(file) { None } else { from(file) };
        let begin = begin.unwrap_or_else(|| taken(file));
        let end = begin + if is_gzip(file) { unpacked(file)? } else { file.metadata().ok()?.len() };
        (Self::of(file).ok()? == *self && begin + data_start(file).ok()? <= place && place < end).then_some(begin)
    }

    pub(super) fn mark(&self, file: &File) -> rustix::io::Result<()> {
        mark(file, STREAM, &self.0)
    }
}

/// Where a file ends that its log goes on behind.
#[derive(Clone, Debug)]
pub struct End {
    stream: Stream,
    place: u64,
}

impl End {
    /// # Errors
    /// The system's.
    pub fn of(log: &File) -> io::Result<Self> {
        Ok(Self { stream: Stream::of(log)?, place: taken(log) + log.metadata()?.len() })
    }

    /// Makes the next file of it, so that whoever follows knows. One in which something was written already, or that belongs
    /// to another, stays what it is.
    pub fn go_on_in(&self, next: &File) {
        let is_fresh = next.metadata().is_ok_and(|meta| meta.len() == 0);
        if !is_fresh || text(next, TAKEN, &mut [0; 64]).is_some() || text(next, STREAM, &mut [0; 64]).is_some() {
            return;
        }
        let place = self.place.to_string();
        // What is missing where the file system keeps none is missing everywhere.
        let _ = mark(next, LIVING, "1")
            .and_then(|()| mark(next, FROM, &place))
            .and_then(|()| self.stream.mark(next))
            // Readers look for the others when this changes.
            .and_then(|()| mark(next, TAKEN, &place));
    }
}

/// What was rotated out of a log, with its place in it.
#[derive(Clone, Debug)]
pub struct Part {
    pub file: Rotated,
    pub from: u64,
    pub stream: Stream,
}

/// Of what is named like that, what pmrun has rotated, the oldest first: others number theirs the other way round.
pub fn parts_of(log: &Path) -> Vec<Part> {
    let part = |rotated: Rotated| {
        let file = File::open(&rotated.path).ok().filter(|file| !is_living(file))?;
        Some(Part { from: from(&file)?, stream: Stream::of(&file).ok()?, file: rotated })
    };
    rotated(log).into_iter().filter_map(part).collect()
}

/// Whether it is one that was compressed, whatever it is called by now.
pub fn is_gzip(file: &File) -> bool {
    let mut magic = [0; 3];
    !is_living(file) && file.read_exact_at(&mut magic, 0).is_ok() && magic == [0x1f, 0x8b, 8]
}

/// How long a compressed file was, which its last bytes tell. One that is longer than they can tell is none of pmrun's.
fn unpacked(file: &File) -> Option<u64> {
    let mut length = [0; 4];
    file.read_exact_at(&mut length, file.metadata().ok()?.len().checked_sub(4)?).ok()?;
    Some(u32::from_le_bytes(length).into())
}

/// In the folder of a log, what somebody has given another name and holds a place of it, and where it begins.
pub fn renamed_part(log: &Path, stream: &Stream, next: u64, place: u64) -> Option<(u64, PathBuf, File)> {
    let entries = fs::read_dir(log.parent()?).ok()?.flatten();
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file())).find_map(|entry| {
        let path = entry.path();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).ok()?;
        // What is being compressed is not all there.
        let is_whole = !(is_gzip(&file) && path.extension().is_some_and(|extension| extension == "part"));
        let from = stream.holds(&file, place).filter(|from| is_whole && *from >= next)?;
        Some((from, path, file))
    })
}
