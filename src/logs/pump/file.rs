use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::packer::Packer;
use super::say;
use crate::logs::rotate::{Aside, Right, put_aside, retain, rotate};
use crate::platform::{LogOwner, end_last_line, is_written_to, open_log, reason};
use crate::spec::Rotation;

/// How often it is looked whether somebody has moved a file away.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A file that lines are appended to, by as many streams as there are.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    owner: Option<LogOwner>,
    file: Option<File>,
    checked: Option<Instant>,
    rotation: Option<Rotation>,
    /// How large it is, if nobody has made it smaller.
    size: u64,
    /// Not rotated before it is as large.
    rotates_at: u64,
    packer: Packer,
    /// That it cannot be rotated was said.
    said: bool,
    torn: Option<Torn>,
    lost: Option<Lost>,
}

/// What was written last has no end: the disk was full in the middle of a line.
#[derive(Debug)]
struct Torn {
    /// What is missing.
    rest: Vec<u8>,
    /// How much of the line is there.
    begun: u64,
    /// The file, and how long it was then.
    id: (u64, u64),
    size: u64,
}

/// Lines that could not be written.
#[derive(Debug)]
struct Lost {
    lines: usize,
    why: String,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, owner: Option<LogOwner>, packer: Packer) -> Self {
        Self {
            path,
            owner,
            file: None,
            checked: None,
            rotation: None,
            size: 0,
            rotates_at: u64::MAX,
            packer,
            said: false,
            torn: None,
            lost: None,
        }
    }

    /// When it is rotated from now on.
    pub(super) fn set_rotation(&mut self, rotation: Option<&Rotation>) {
        if self.rotation.as_ref() != rotation {
            self.rotation = rotation.cloned();
            self.rotates_at = self.max_size();
        }
    }

    /// Looks now whether somebody has moved it away; whether so.
    pub(super) fn reopen(&mut self) -> bool {
        let moved = self.file.as_ref().is_some_and(|file| is_moved(file, &self.path));
        if moved {
            self.file = None;
            // It is there when whoever asked for this has been answered.
            let _ = self.opened();
        }
        moved
    }

    fn max_size(&self) -> u64 {
        self.rotation.as_ref().map(|rotation| rotation.max_size).filter(|size| *size > 0).unwrap_or(u64::MAX)
    }

    /// Appends whole lines. What cannot be written is counted; `note` makes a line of what is said about it.
    pub(super) fn append(&mut self, lines: &[u8], note: impl Fn(&str) -> Vec<u8>) {
        if let Err(error) = self.complete() {
            return self.lose(lines, &error);
        }
        if let Some(lost) = &self.lost {
            let count = lost.lines;
            let text = format!("[pmrun] {count} lines were lost here: {}", lost.why);
            let note = note(&text);
            match self.write_all(&note) {
                Ok(()) => {
                    say(format_args!("`{}` can be written again, {count} lines were lost", self.path.display()));
                    self.lost = None;
                }
                Err((written, error)) => {
                    // It is made anew, with the right number, when there is room.
                    self.keep_rest(&note[..written], &[]);
                    self.take_back();
                    return self.lose(lines, &error);
                }
            }
        }
        if let Err((written, error)) = self.write_all(lines) {
            let end = memchr::memchr(b'\n', &lines[written..]).map_or(lines.len(), |end| written + end + 1);
            let lost = if written > 0 && lines[written - 1] != b'\n' {
                self.keep_rest(&lines[..written], &lines[written..end]);
                &lines[end..]
            } else {
                &lines[written..]
            };
            self.lose(lost, &error);
        } else if self.size >= self.rotates_at {
            self.rotate();
        }
    }

    /// What there was no room for is written when there is some, so that no half of a line stays.
    fn keep_rest(&mut self, written: &[u8], rest: &[u8]) {
        let begun = written.len() - memchr::memrchr(b'\n', written).map_or(0, |end| end + 1);
        let Some(meta) = self.file.as_ref().and_then(|file| file.metadata().ok()).filter(|_| begun > 0) else { return };
        let (id, size) = ((meta.dev(), meta.ino()), meta.len());
        self.torn = Some(Torn { rest: rest.to_vec(), begun: begun as u64, id, size });
    }

    /// Writes what is missing of the last line; where that has been emptied meanwhile, or has another's line behind it,
    /// nothing belongs there any more.
    fn complete(&mut self) -> io::Result<()> {
        let Some(mut torn) = self.torn.take() else { return Ok(()) };
        let meta = match self.opened().and_then(|file| file.metadata()) {
            Ok(meta) => meta,
            Err(error) => {
                self.torn = Some(torn);
                return Err(error);
            }
        };
        let is_it = (meta.dev(), meta.ino()) == torn.id;
        if is_it && meta.len() != torn.size && meta.len() > 0 {
            torn.rest = b"\n".to_vec();
        } else if !is_it || meta.len() == 0 {
            return Ok(());
        }
        self.write_all(&torn.rest).map_err(|(written, error)| {
            torn.rest.drain(..written);
            (torn.begun, torn.size) = (torn.begun + written as u64, meta.len() + written as u64);
            self.torn = Some(torn);
            error
        })
    }

    /// Takes out what there is of the last line, where nobody else writes to the file: it stays without the rest.
    fn take_back(&mut self) {
        let Some(torn) = self.torn.take() else { return };
        // Its own handle would count, too.
        self.file = None;
        let taken = self.beside(|| {
            let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
            let there = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
            if is_written_to(&there) != Some(false) {
                return Ok(false);
            }
            let log = self.open(&self.path)?;
            let meta = log.metadata()?;
            let is_it = (meta.dev(), meta.ino()) == torn.id && meta.len() == torn.size;
            is_it.then(|| log.set_len(torn.size - torn.begun)).transpose().map(|done| done.is_some())
        });
        if !matches!(taken, Ok(true)) {
            // Whatever comes is not glued to it.
            self.file = self.open(&self.path).ok();
            self.torn = self.file.is_some().then(|| Torn { rest: b"\n".to_vec(), ..torn });
        }
    }

    /// What was written is whole lines: nothing that belongs together is taken apart.
    fn rotate(&mut self) {
        self.size = self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len());
        let max_size = self.max_size();
        if self.size < max_size || self.torn.is_some() {
            self.rotates_at = max_size;
            return;
        }
        // Somebody else has the right, or it cannot be done: not before it has grown some more.
        self.rotates_at = self.size.saturating_add(max_size / 4);
        let home = std::env::var_os("PMRUN_HOME").unwrap_or_default();
        let Some(_right) = Right::at_once(Path::new(&home), &self.path) else { return };
        match self.put_aside() {
            Ok(true) => {
                (self.rotates_at, self.said) = (max_size, false);
                let Some(rotation) = &self.rotation else { return };
                let path = self.path.clone();
                let count = rotation.retain;
                let _ = self.beside(|| {
                    retain(&path, count);
                    Ok(())
                });
                self.packer.pack(self.path.clone(), self.owner.clone(), rotation.compress);
            }
            Ok(false) => {}
            Err(_) if self.said => {}
            Err(error) => {
                self.said = true;
                say(format_args!("cannot rotate `{}`: {}", self.path.display(), reason(&error)));
            }
        }
    }

    /// Where somebody else writes to it, too, its beginning is taken out. False when that is not done now.
    fn put_aside(&mut self) -> io::Result<bool> {
        let Some(file) = self.file.take() else { return Ok(false) };
        match self.beside(|| put_aside(&self.path, file, |path| self.open(path)))? {
            Aside::Done(next) => {
                (self.file, self.size) = (Some(next), 0);
                Ok(true)
            }
            Aside::InPlace if self.owner.as_ref().is_some_and(|owner| !owner.is_ours(&self.path)) => {
                Err(io::Error::other("somebody else writes to it, or it is a link; it is another user's"))
            }
            Aside::InPlace => {
                self.opened()?;
                let Some(rotation) = &self.rotation else { return Ok(false) };
                rotate(&self.path, rotation)
            }
        }
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        match &self.owner {
            Some(owner) => owner.open(path),
            None => open_log(path),
        }
    }

    /// With the rights of who owns it.
    fn beside<T>(&self, inside: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match &self.owner {
            Some(owner) => owner.beside(&self.path, inside),
            None => inside(),
        }
    }

    fn lose(&mut self, lines: &[u8], error: &io::Error) {
        let path = self.path.display();
        let lost = self.lost.get_or_insert_with(|| {
            let why = reason(error);
            say(format_args!("cannot write the log `{path}`: {why}; lines are dropped and counted"));
            Lost { lines: 0, why }
        });
        lost.lines += memchr::memchr_iter(b'\n', lines).count();
    }

    /// In one call where the system takes it all: lines of others do not get in between.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        while written < bytes.len() {
            let file = self.opened().map_err(|error| (written, error))?;
            match file.write(&bytes[written..]) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    self.size += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }

    /// The file that the path names now.
    fn opened(&mut self) -> io::Result<&mut File> {
        if self.checked.is_none_or(|checked| checked.elapsed() >= CHECK_EVERY) {
            self.checked = Some(Instant::now());
            if self.file.as_ref().is_some_and(|file| is_moved(file, &self.path)) {
                self.file = None;
            }
        }
        if self.file.is_none() {
            // What an earlier run, or the app itself, has left there.
            let (file, _) = end_last_line(self.open(&self.path)?, || self.open(&self.path))?;
            self.size = file.metadata()?.len();
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Nobody writes to it any more.
impl Drop for LogFile {
    fn drop(&mut self) {
        if self.complete().is_err() {
            self.take_back();
        }
    }
}

fn is_moved(file: &File, path: &Path) -> bool {
    let identity = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(there)) => identity(open) != identity(there),
        (_, Err(error)) => error.kind() == io::ErrorKind::NotFound,
        (Err(_), _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(text: &str) -> Vec<u8> {
        format!("{text}\n").into_bytes()
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        // A folder stands where the file should be: nothing can be written.
        std::fs::create_dir(&path).unwrap();
        let mut log = LogFile::new(path.clone(), None, Packer::default());
        log.append(b"1\n2\n", note);
        log.append(b"3\n", note);
        std::fs::remove_dir(&path).unwrap();
        log.append(b"4\n", note);
        log.append(b"5\n", note);
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with("[pmrun] 3 lines were lost here: "), "{first}");
        assert_eq!(rest, "4\n5\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/log");
        let mut log = LogFile::new(path.clone(), None, Packer::default());
        log.append(b"1\n", note);
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        log.checked = None;
        log.append(b"2\n", note);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
        assert_eq!(std::fs::read_to_string(folder.path().join("moved")).unwrap(), "1\n");
    }
}
