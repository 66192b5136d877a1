use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::say;
use crate::platform::{LogOwner, open_log, reason};

/// How often it is looked whether somebody has moved a file away.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A file that lines are appended to, by as many streams as there are.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    owner: Option<LogOwner>,
    file: Option<File>,
    checked: Option<Instant>,
    /// What was written last has no end: the disk was full in the middle of a line.
    torn: bool,
    lost: Option<Lost>,
}

/// Lines that could not be written.
#[derive(Debug)]
struct Lost {
    lines: usize,
    why: String,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, owner: Option<LogOwner>) -> Self {
        Self { path, owner, file: None, checked: None, torn: false, lost: None }
    }

    /// Appends whole lines. What cannot be written is counted; `note` makes a line of what is said about it.
    pub(super) fn append(&mut self, lines: &[u8], note: impl Fn(&str) -> Vec<u8>) {
        if let Some(lost) = &self.lost {
            let count = lost.lines;
            let text = format!("[pmrun] {count} lines were lost here: {}", lost.why);
            let mut note = note(&text);
            if self.torn {
                note.insert(0, b'\n');
            }
            match self.write_all(&note) {
                Ok(()) => {
                    say(format_args!("`{}` can be written again, {count} lines were lost", self.path.display()));
                    self.lost = None;
                    self.torn = false;
                }
                Err((written, error)) => {
                    self.torn |= written > 0;
                    return self.lose(lines, &error);
                }
            }
        }
        if let Err((written, error)) = self.write_all(lines) {
            self.torn = written > 0 && lines[written - 1] != b'\n';
            let begun = lines[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.lose(&lines[begun..], &error);
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
                Ok(count) => written += count,
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
            self.file = Some(match &self.owner {
                Some(owner) => owner.open(&self.path)?,
                None => open_log(&self.path)?,
            });
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
        let mut log = LogFile::new(path.clone(), None);
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
        let mut log = LogFile::new(path.clone(), None);
        log.append(b"1\n", note);
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        log.checked = None;
        log.append(b"2\n", note);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
        assert_eq!(std::fs::read_to_string(folder.path().join("moved")).unwrap(), "1\n");
    }
}
