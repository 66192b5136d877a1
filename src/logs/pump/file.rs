use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::form::Voice;
use super::say;
use crate::logs::rotate::{Aside, End, Packer, Right, put_aside, retain, rotate};
use crate::platform::{LogOwner, end_last_line, open_log, reason};
use crate::spec::Rotation;

/// How often it is looked whether somebody has moved a file away.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A file that lines are appended to, by as many streams as there are.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    owner: Option<LogOwner>,
    file: Option<File>,
    /// Where the one ends that it had before, if somebody has moved that away.
    before: Option<End>,
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
    /// How many lost lines it tells of, if it is a note.
    told: usize,
    /// The file, and how long it was then.
    id: (u64, u64),
    size: u64,
}

/// Lines that could not be written.
#[derive(Debug)]
struct Lost {
    lines: usize,
    /// How many the daemon's log has.
    said: usize,
    why: String,
    /// Who tells of them.
    voice: Voice,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, owner: Option<LogOwner>, packer: Packer) -> Self {
        Self {
            path,
            owner,
            file: None,
            before: None,
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
        let moved = self.leave_moved();
        if moved {
            // It is there when whoever asked for this has been answered.
            let _ = self.opened();
        }
        moved
    }

    /// What somebody has moved away gets no more lines; whether so.
    fn leave_moved(&mut self) -> bool {
        let moved = self.file.take_if(|file| is_moved(file, &self.path));
        if let Some(file) = &moved {
            self.before = End::of(file).ok();
        }
        moved.is_some()
    }

    fn max_size(&self) -> u64 {
        self.rotation.as_ref().map(|rotation| rotation.max_size).filter(|size| *size > 0).unwrap_or(u64::MAX)
    }

    /// Appends whole lines, or what goes out as it comes. What cannot be written is counted; `voice` makes a line of what is said about it.
    pub(super) fn append(&mut self, lines: &[u8], voice: &Voice) {
        if let Err(error) = self.settle() {
            return self.lose(lines, &error, voice);
        }
        if let Err((written, error)) = self.write_all(lines) {
            let end = memchr::memchr(b'\n', &lines[written..]).map_or(lines.len(), |end| written + end + 1);
            let lost = if written > 0 && lines[written - 1] != b'\n' {
                self.keep_rest(&lines[..written], &lines[written..end], 0);
                &lines[end..]
            } else {
                &lines[written..]
            };
            self.lose(lost, &error, voice);
        } else if self.size >= self.rotates_at && (lines.ends_with(b"\n") || self.size / 2 >= self.rotates_at) {
            // What goes out as it comes is not torn apart where that can be helped.
            self.rotate();
        }
    }

    /// Whether something is still to be written that there was no room for.
    pub(super) fn owes(&self) -> bool {
        self.torn.is_some() || self.lost.as_ref().is_some_and(|lost| lost.lines > 0)
    }

    /// Writes what there was no room for: the rest of a line, and how many were lost.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.complete()?;
        let Some(lost) = &self.lost else { return Ok(()) };
        let count = lost.lines;
        if count > 0 {
            let note = lost.voice.line(&format!("[pmrun] {count} lines were lost here: {}", lost.why));
            if let Err((written, error)) = self.write_all(&note) {
                // What is lost from now on is told by another.
                if self.keep_rest(&note[..written], &note[written..], count) {
                    self.recount(|_| 0);
                }
                return Err(error);
            }
        }
        say(format_args!("`{}` can be written again, {count} lines were lost", self.path.display()));
        self.lost = None;
        Ok(())
    }

    /// What there was no room for is written when there is some, so that no half of a line stays. False where nothing
    /// is there of it.
    fn keep_rest(&mut self, written: &[u8], rest: &[u8], told: usize) -> bool {
        if written.last().is_none_or(|last| *last == b'\n') {
            return false;
        }
        let Some(meta) = self.file.as_ref().and_then(|file| file.metadata().ok()) else { return false };
        let (id, size) = ((meta.dev(), meta.ino()), meta.len());
        self.torn = Some(Torn { rest: rest.to_vec(), told, id, size });
        true
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
        if !is_it || meta.len() != torn.size {
            let told = std::mem::take(&mut torn.told);
            self.recount(|lines| lines + told);
            torn.rest = b"\n".to_vec();
        }
        if !is_it || meta.len() == 0 {
            return Ok(());
        }
        self.write_all(&torn.rest).map_err(|(written, error)| {
            torn.rest.drain(..written);
            torn.size = meta.len() + written as u64;
            self.torn = Some(torn);
            error
        })
    }

    /// Nobody writes to it for now. True while something is still to be written that there is no room for.
    pub(super) fn release(&mut self) -> bool {
        let _ = self.settle();
        if self.torn.is_none() {
            self.file = None;
        }
        self.tell();
        self.owes()
    }

    /// Nobody writes to it any more. What it has of a line that there is no room for stays, and whoever opens it next ends that.
    pub(super) fn close(&mut self) {
        if let Err(error) = self.settle()
            && let Some(torn) = self.torn.take()
            // Of a line that is whole but for its newline nothing is lost.
            && (torn.told > 0 || torn.rest != b"\n")
        {
            say(format_args!("the last line of `{}` is not whole: {}", self.path.display(), reason(&error)));
            self.recount(|lines| lines + torn.told);
        }
        self.tell();
    }

    /// In the daemon's log, what its own does not have.
    fn tell(&mut self) {
        let Some(lost) = self.lost.as_mut().filter(|lost| lost.said != lost.lines && lost.lines > 0) else { return };
        lost.said = lost.lines;
        let (path, lines, why) = (self.path.display(), lost.lines, &lost.why);
        say(format_args!("{lines} lines for `{path}` were lost, which is not noted there yet: {why}"));
    }

    /// Whose it is for the next run.
    pub(super) fn set_owner(&mut self, owner: Option<LogOwner>) {
        self.owner = owner;
    }

    fn recount(&mut self, count: impl FnOnce(usize) -> usize) {
        if let Some(lost) = &mut self.lost {
            lost.lines = count(lost.lines);
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
        // If it has just been moved away, or cannot get its name back.
        self.before = End::of(&file).ok();
        match self.beside(|| put_aside(&self.path, file, |path| self.open(path)))? {
            Aside::Done(next) => {
                (self.file, self.size, self.before) = (Some(next), 0, None);
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

    fn lose(&mut self, lines: &[u8], error: &io::Error, voice: &Voice) {
        let path = self.path.display();
        let lost = self.lost.get_or_insert_with(|| {
            let why = reason(error);
            say(format_args!("cannot write the log `{path}`: {why}; lines are dropped and counted"));
            Lost { lines: 0, said: 0, why, voice: voice.clone() }
        });
        lost.voice = voice.clone();
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
            self.leave_moved();
        }
        if self.file.is_none() {
            // What an earlier run, or the app itself, has left there.
            let (file, ended) = end_last_line(self.open(&self.path)?, || self.open(&self.path))?;
            // Nothing is glued to it where there is no room for its end.
            ended?;
            if let Some(before) = self.before.take() {
                before.go_on_in(&file);
            }
            self.size = file.metadata()?.len();
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
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
    use super::super::packer;
    use super::*;
    use crate::logs::rotate::Stream;

    fn voice() -> Voice {
        let form = super::super::form::Form::new(&crate::platform::PumpOrder::default(), std::rc::Rc::default());
        Voice { form: form.into(), error: false }
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        // A folder stands where the file should be: nothing can be written.
        std::fs::create_dir(&path).unwrap();
        let mut log = LogFile::new(path.clone(), None, packer());
        log.append(b"1\n2\n", &voice());
        log.append(b"3\n", &voice());
        std::fs::remove_dir(&path).unwrap();
        log.append(b"4\n", &voice());
        log.append(b"5\n", &voice());
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with("[pmrun] 3 lines were lost here: "), "{first}");
        assert_eq!(rest, "4\n5\n");
    }

    #[test]
    fn what_one_run_has_lost_is_told_when_the_next_can_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::create_dir(&path).unwrap();
        let mut log = LogFile::new(path.clone(), None, packer());
        for _ in 0..3 {
            log.append(b"1\n2\n", &voice());
            assert!(log.release());
        }
        std::fs::remove_dir(&path).unwrap();
        log.append(b"next\n", &voice());
        assert!(!log.release());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("[pmrun] 6 lines were lost here: ") && text.ends_with("\nnext\n"), "{text}");
    }

    /// A disk that takes a few bytes of what is written.
    fn tear(log: &mut LogFile, written: &[u8], rest: &[u8], told: usize) {
        log.opened().unwrap();
        log.write_all(written).unwrap();
        assert!(log.keep_rest(written, rest, told));
        log.lose(b"a lost one\n", &io::ErrorKind::StorageFull.into(), &voice());
    }

    #[test]
    fn a_half_of_a_line_stays_and_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::new(path.clone(), None, packer());
        tear(&mut log, b"whole\nha", b"lf\n", 0);
        log.append(b"next\n", &voice());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("whole\nhalf\n[pmrun] 1 lines were lost here"), "{text}");

        // Its writer has gone, there is no room, and then there is: no other line has to come.
        tear(&mut log, b"no", b"te\n", 4);
        let moved = folder.path().join("moved");
        let swap = |log: &mut LogFile, from: &Path, to: &Path| {
            std::fs::rename(from, to).unwrap();
            (log.file, log.checked) = (None, None);
        };
        swap(&mut log, &path, &moved);
        std::fs::create_dir(&path).unwrap();
        assert!(log.release() && log.owes());
        let size = moved.metadata().unwrap().len();
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&moved, &path).unwrap();
        log.file = Some(open_log(&path).unwrap());
        log.settle().unwrap();
        assert!(!log.owes() && path.metadata().unwrap().len() > size);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\nnext\nnote\n[pmrun] 1 lines were lost here"), "{text}");
        assert!(!log.release());
    }

    #[test]
    fn what_has_no_end_when_all_ends_is_ended_by_who_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::new(path.clone(), None, packer());
        tear(&mut log, b"no", b"te\n", 4);
        let moved = folder.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        std::fs::create_dir(&path).unwrap();
        (log.file, log.checked) = (None, None);
        log.close();
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&moved, &path).unwrap();
        LogFile::new(path.clone(), None, packer()).append(b"next\n", &voice());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "no\nnext\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/log");
        let mut log = LogFile::new(path.clone(), None, packer());
        log.append(b"1\n", &voice());
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        log.checked = None;
        log.append(b"2\n", &voice());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
        let moved = folder.path().join("moved");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "1\n");
        // Whoever follows knows that it goes on behind that.
        let [moved, next] = [&moved, &path].map(|path| File::open(path).unwrap());
        assert_eq!(Stream::of(&moved).unwrap(), Stream::of(&next).unwrap());
        assert_eq!(crate::logs::rotate::taken(&next), 2);
    }
}
