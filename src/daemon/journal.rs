use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::log;
use crate::base::Now;
use crate::platform::{must_be_regular, read_regular};
use crate::runtime::history::{Entry, HISTORY, OLDER_HISTORY, What};

/// From here on a new file is begun: some seven thousand entries.
const SIZE_MAX: u64 = 1 << 20;
/// What is kept of one instance when it is: one that crashes again and again must not make others forgotten.
const KEPT: usize = 10;
const KEPT_BYTES_MAX: usize = 1 << 20;
const ENTRIES_MAX: usize = 1_000;
/// What may wait for a disk that takes nothing.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// Writes the history, when the loop rests. Nothing waits for it, and that it cannot be written stops nothing.
#[derive(Debug)]
pub(super) struct Journal {
    home: PathBuf,
    /// Of the last entry.
    number: u64,
    entries: Vec<Entry>,
    /// Whole lines that the disk has not taken yet.
    lines: Vec<u8>,
    lost: u64,
    /// It was said that it cannot be written.
    troubled: bool,
}

impl Journal {
    pub(super) fn open(home: &Path) -> Self {
        let last = |name| read(&home.join(name)).and_then(|text| text.lines().rev().find_map(number_of));
        let number = last(HISTORY).or_else(|| last(OLDER_HISTORY)).unwrap_or(0);
        Self { home: home.to_owned(), number, entries: Vec::new(), lines: Vec::new(), lost: 0, troubled: false }
    }

    pub(super) fn note(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// So much has come that it is not to wait for a rest that may be long in coming.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX
    }

    /// Writes what has come. Whether that was much work.
    pub(super) fn flush(&mut self, now: Now) -> bool {
        if self.entries.is_empty() && self.lines.is_empty() {
            return false;
        }
        self.encode();
        let mut began_anew = false;
        let mut written = self.write(&mut began_anew);
        if written.is_ok() && self.lost > 0 {
            let count = std::mem::take(&mut self.lost);
            self.note(Entry::of_daemon(What::Lost { count }, now));
            self.encode();
            written = self.write(&mut began_anew);
        }
        if let Err(error) = &written
            && !self.troubled
        {
            log::line(format_args!("cannot write `{HISTORY}`: {error}"));
        }
        self.troubled = written.is_err();
        if self.lines.is_empty() {
            self.lines = Vec::new();
        }
        began_anew
    }

    fn encode(&mut self) {
        for mut entry in std::mem::take(&mut self.entries) {
            self.number += 1;
            entry.number = self.number;
            // Names and numbers: there is nothing that JSON could refuse.
            if serde_json::to_writer(&mut self.lines, &entry).is_ok() {
                self.lines.push(b'\n');
            }
        }
    }

    fn write(&mut self, began_anew: &mut bool) -> io::Result<()> {
        let result = self.append(began_anew);
        let mut excess = self.lines.len().saturating_sub(WAITING_BYTES_MAX);
        while excess > 0
            && let Some(end) = memchr::memchr(b'\n', &self.lines[excess..])
        {
            let end = excess + end + 1;
            self.lost += memchr::memchr_iter(b'\n', &self.lines[..end]).count() as u64;
            self.lines.drain(..end);
            excess = 0;
        }
        result
    }

    /// What was written only in part is written again as a whole: half a line is passed over by who reads.
    fn append(&mut self, began_anew: &mut bool) -> io::Result<()> {
        let path = self.home.join(HISTORY);
        let mut file = open(&path)?;
        let meta = file.metadata()?;
        // A pipe would take it, until it is full.
        must_be_regular(&meta)?;
        let mut length = meta.len();
        if length > 0 && length + self.lines.len() as u64 > SIZE_MAX {
            begin_anew(&self.home)?;
            *began_anew = true;
            file = open(&path)?;
            length = 0;
        }
        let mut last = [0];
        if length > 0 && file.read_exact_at(&mut last, length - 1).is_ok() && last != *b"\n" {
            file.write_all(b"\n")?;
        }
        let mut written = 0;
        let result = loop {
            match file.write(&self.lines[written..]) {
                Ok(0) => break Ok(()),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let whole = memchr::memrchr(b'\n', &self.lines[..written]).map_or(0, |end| end + 1);
        self.lines.drain(..whole);
        result
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// The file becomes the older one, and takes along the last of each instance that has been quiet meanwhile.
fn begin_anew(home: &Path) -> io::Result<()> {
    let (path, older) = (home.join(HISTORY), home.join(OLDER_HISTORY));
    let text = read(&path).unwrap_or_default();
    let kept = read(&older).map(|before| keep(&before, &text)).unwrap_or_default();
    let new = home.join("events.jsonl.new");
    let copy = || {
        let mut file = OpenOptions::new().write(true).truncate(true).create(true).mode(0o600).open(&new)?;
        file.write_all(kept.as_bytes())?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &older)?;
        fs::remove_file(&path)
    };
    copy().or_else(|_| {
        let _ = fs::remove_file(&new);
        fs::rename(&path, &older)
    })
}

/// Lines of `before` that are to be kept beside `text`.
fn keep(before: &str, text: &str) -> String {
    let mut counts = HashMap::<_, usize>::new();
    for key in text.lines().filter_map(key_of) {
        *counts.entry(key).or_default() += 1;
    }
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for line in before.lines().rev() {
        let Some(key) = key_of(line) else { continue };
        let count = counts.entry(key).or_default();
        *count += 1;
        if *count <= KEPT && bytes + line.len() < KEPT_BYTES_MAX {
            bytes += line.len() + 1;
            kept.push(line);
        }
    }
    kept.iter().rev().flat_map(|line| [*line, "\n"]).collect()
}

/// Whose a line is. Of the daemon's own nothing need be kept.
fn key_of(line: &str) -> Option<(Cow<'_, str>, Option<u32>)> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        app: Option<Cow<'a, str>>,
        slot: Option<u32>,
    }
    let Head { app, slot } = serde_json::from_str(line).ok()?;
    Some((app?, slot))
}

fn number_of(line: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Head {
        number: u64,
    }
    serde_json::from_str::<Head>(line).ok().map(|head| head.number)
}

fn read(path: &Path) -> Option<String> {
    read_regular(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::base::{InstanceId, Wall};
    use crate::runtime::history::Why;

    fn now() -> Now {
        Now { wall: Wall(1), ..Now::default() }
    }

    fn stopped(app: &str) -> Entry {
        Entry::of_instance(&InstanceId::new(app, 0), What::Stopped { why: Why::Cron }, now())
    }

    fn numbers(home: &Path, name: &str) -> Vec<u64> {
        read(&home.join(name)).unwrap_or_default().lines().filter_map(number_of).collect()
    }

    #[test]
    fn numbers_go_on_in_the_next_daemon_and_half_a_line_is_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(HISTORY);
        let mut journal = Journal::open(home.path());
        journal.flush(now());
        assert!(!path.exists(), "nothing happened");
        for _ in 0..3 {
            journal.note(stopped("a"));
        }
        journal.flush(now());
        let mut file = open(&path).unwrap();
        file.write_all(b"{\"number\":9,\"ap").unwrap();
        let mut journal = Journal::open(home.path());
        journal.note(stopped("a"));
        journal.flush(now());
        assert_eq!(numbers(home.path(), HISTORY), [1, 2, 3, 4]);
        let read: Vec<Entry> =
            read(&path).unwrap().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(read.len(), 4);
        assert_eq!(read[3], Entry { number: 4, ..stopped("a") });
    }

    #[test]
    fn a_pipe_in_its_place_takes_nothing_and_nobody_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(HISTORY);
        for name in [HISTORY, OLDER_HISTORY] {
            nix::unistd::mkfifo(&home.path().join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        let mut journal = Journal::open(home.path());
        // More than a pipe holds.
        for _ in 0..2_000 {
            journal.note(stopped("a"));
            journal.flush(now());
        }
        fs::remove_file(&path).unwrap();
        journal.flush(now());
        assert_eq!(numbers(home.path(), HISTORY).len(), 2_000);
    }

    #[test]
    fn it_stays_small_and_nobody_is_forgotten_for_another() {
        let home = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(home.path());
        for _ in 0..KEPT + 5 {
            journal.note(stopped("quiet"));
        }
        let mut began_anew = 0;
        for _ in 0..400 {
            for _ in 0..100 {
                journal.note(stopped("loud"));
            }
            began_anew += usize::from(journal.flush(now()));
        }
        assert!(began_anew > 2, "{began_anew}");
        let size = |name: &str| home.path().join(name).metadata().unwrap().len();
        assert!(size(HISTORY) <= SIZE_MAX && size(OLDER_HISTORY) <= SIZE_MAX + 10_000);
        let older = read(&home.path().join(OLDER_HISTORY)).unwrap();
        assert_eq!(older.lines().filter(|line| line.contains("quiet")).count(), KEPT);
        let all: HashSet<u64> = [OLDER_HISTORY, HISTORY].iter().flat_map(|name| numbers(home.path(), name)).collect();
        assert!(all.contains(&40_015) && all.contains(&15) && !all.contains(&5) && !all.contains(&100));
    }

    #[test]
    fn what_the_disk_does_not_take_waits_and_is_counted_when_it_is_too_much() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(HISTORY);
        // Nobody can append to a folder.
        fs::create_dir(&path).unwrap();
        let mut journal = Journal::open(home.path());
        journal.note(stopped("a"));
        journal.flush(now());
        fs::remove_dir(&path).unwrap();
        journal.flush(now());
        assert_eq!(numbers(home.path(), HISTORY), [1]);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        for _ in 0..5_000 {
            journal.note(stopped("a"));
            journal.flush(now());
        }
        assert!(journal.lines.len() <= WAITING_BYTES_MAX);
        fs::remove_dir(&path).unwrap();
        journal.flush(now());
        let written = numbers(home.path(), HISTORY);
        let last = read(&path).unwrap().lines().last().unwrap().to_owned();
        let lost = 5_001 - (written.len() - 1) - 1;
        assert!(last.contains(&format!("\"event\":\"lost\",\"count\":{lost}")), "{last}");
        assert_eq!(*written.last().unwrap(), 5_002);
    }
}
