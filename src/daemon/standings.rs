//! Where each instance stands, for the daemon that follows when this one is killed: `PMRUN_HOME/standings`.
//!
//! A line is JSON, the last about an instance counts. It is written to the page cache and not to the disk: it has to
//! outlive processes, not the machine. What cannot be read of it is done without: then the processes alone say what is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::log;
use crate::base::{Now, Wall};
use crate::platform::{Begun, launch_mark, read_regular, reason};
use crate::runtime::{Core, Standing};

const FILE: &str = "standings";
/// It is written anew when it has grown to this and to so many times what is of use in it.
const GROWN_BYTES: u64 = 256 << 10;
const GROWN_TIMES: u64 = 4;

/// How soon it is tried again where it could not be written.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Standings {
    path: PathBuf,
    boot: String,
    /// How the marks of what this daemon starts begin.
    nonce: String,
    /// None when it cannot be written.
    file: Option<File>,
    bytes: u64,
    /// What it had when it was written anew.
    useful: u64,
    /// When it could not be written, and has not been since.
    failed: Option<Instant>,
    /// Said and not written yet.
    pending: BTreeMap<u32, Option<Box<Standing>>>,
    /// How often the state was saved.
    saves: Option<u64>,
}

/// The first line: which start of the machine all is about.
#[derive(Serialize, Deserialize)]
struct Begin<'a> {
    boot: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Wall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    saves: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    id: u32,
    /// What its process is marked with, should one have been started: until it has a pid, that says which it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mark: Option<Cow<'a, str>>,
    /// None: it is no more.
    standing: Option<Cow<'a, Standing>>,
    /// When this was written: until then all has been done that was due. Whatever is done is written down, so what was due
    /// after the last line has not been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Wall>,
    /// How often the state had been saved: one that says less is older than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    saves: Option<u64>,
}

/// Of a line that cannot be understood whole.
#[derive(Deserialize)]
struct About {
    id: u32,
}

impl Standings {
    /// With what an earlier daemon has left, which is [`known`]. Where that was this very process, and its file is whole and still
    /// short, it is gone on with: a file that takes another's name keeps its writer waiting for the disk (ext4's
    /// `auto_da_alloc`), and commands with it. Another daemon, which may live, is not to write to the same file.
    pub(super) fn open(home: &Path, boot: String, known: &Known, is_same: bool) -> Self {
        let path = home.join(FILE);
        let mut standings = Self { path, boot, saves: known.saves, ..Self::nowhere() };
        if let Some(length) = known.whole.filter(|length| is_same && *length <= GROWN_BYTES)
            && let Ok(file) = OpenOptions::new().append(true).open(&standings.path)
            && file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == length)
        {
            (standings.file, standings.bytes) = (Some(file), length);
            return standings;
        }
        let line = |(id, standing): (&u32, _)| (*id, standing, known.begun.get(id).cloned());
        standings.begin(known.standings.iter().map(line), known.until);
        standings
    }

    /// For a daemon that none follows.
    pub(super) fn nowhere() -> Self {
        Self {
            path: PathBuf::new(),
            boot: String::new(),
            nonce: String::new(),
            file: None,
            bytes: 0,
            useful: 0,
            failed: None,
            pending: BTreeMap::new(),
            saves: None,
        }
    }

    /// To be written with the next that is.
    pub(super) fn saved(&mut self, saves: u64) {
        self.saves = Some(saves);
    }

    /// What is started from now on is marked so.
    pub(super) fn mark_with(&mut self, nonce: &str) {
        nonce.clone_into(&mut self.nonce);
    }

    /// What the process of one that is being started is marked with.
    fn mark(&self, standing: &Standing) -> Option<String> {
        Some(launch_mark(&self.nonce, standing.begins()?))
    }

    pub(super) fn note(&mut self, id: u32, standing: Option<Box<Standing>>) {
        self.pending.insert(id, standing);
    }

    pub(super) fn flush(&mut self, core: &Core, now: Now) {
        // What is on disk is too old to be gone by: it is tried again whatever happens, but not all the time.
        let is_tried_again = self.failed.is_some_and(|at| at.elapsed() >= RETRY);
        if self.pending.is_empty() && !is_tried_again {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        if self.path.as_os_str().is_empty() {
            return;
        }
        let grown = self.bytes > GROWN_BYTES && self.bytes > GROWN_TIMES * self.useful;
        if grown || self.file.is_none() {
            self.begin_anew(core, now);
            return;
        }
        let text = self.lines(&pending, core.turned_until(now));
        let Some(file) = &mut self.file else { return };
        match file.write_all(&text) {
            Ok(()) => self.bytes += text.len() as u64,
            Err(error) => self.give_up(&error),
        }
    }

    /// Where somebody has taken it away, it is written again.
    pub(super) fn mend(&mut self, core: &Core, now: Now) {
        if !self.path.as_os_str().is_empty() && !self.path.exists() {
            self.begin_anew(core, now);
        }
    }

    fn begin_anew(&mut self, core: &Core, now: Now) {
        let marked = |(id, standing)| {
            let mark = self.mark(&standing);
            (id, standing, mark)
        };
        let all: Vec<(u32, Standing, Option<String>)> = core.standings().map(marked).collect();
        self.begin(all.iter().map(|(id, standing, mark)| (*id, standing, mark.clone())), Some(core.turned_until(now)));
    }

    fn lines(&self, said: &BTreeMap<u32, Option<Box<Standing>>>, until: Wall) -> Vec<u8> {
        let mut text = Vec::new();
        let last = said.keys().next_back();
        for (id, standing) in said {
            let standing = standing.as_deref();
            let mark = standing.and_then(|standing| self.mark(standing)).map(Cow::Owned);
            let is_last = Some(id) == last;
            let (until, saves) = (is_last.then_some(until), self.saves.filter(|_| is_last));
            write_line(&mut text, &Line { id: *id, mark, standing: standing.map(Cow::Borrowed), until, saves });
        }
        text
    }

    /// Nothing is left that should go on.
    pub(super) fn end(&mut self) {
        if !self.path.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Under another name first: the old one counts until the new one is whole.
    fn begin<'a>(&mut self, all: impl Iterator<Item = (u32, &'a Standing, Option<String>)>, until: Option<Wall>) {
        let mut text = Vec::new();
        write_line(&mut text, &Begin { boot: self.boot.as_str().into(), until, saves: self.saves });
        for (id, standing, mark) in all {
            let (mark, standing) = (mark.map(Cow::Owned), Some(Cow::Borrowed(standing)));
            write_line(&mut text, &Line { id, mark, standing, until: None, saves: None });
        }
        match replace(&self.path, &text) {
            Ok(file) => {
                self.file = Some(file);
                self.bytes = text.len() as u64;
                self.useful = self.bytes;
                self.failed = None;
            }
            Err(error) => self.give_up(&error),
        }
    }

    /// What was written stays: where it is too old, the processes say otherwise. It is tried again with the next change.
    fn give_up(&mut self, error: &io::Error) {
        self.failed = Some(Instant::now());
        if self.file.take().is_some() || self.bytes == 0 {
            let (path, reason) = (self.path.display(), reason(error));
            log::line(format_args!(
                "cannot write `{path}`: {reason}; should the daemon be killed now, the next one knows what was before"
            ));
            self.bytes = 1;
        }
    }
}

/// What an earlier daemon has left.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub standings: BTreeMap<u32, Standing>,
    /// What the processes are marked with that were just being started, if there are any.
    begun: BTreeMap<u32, String>,
    /// Until when all was done that was due.
    pub until: Option<Wall>,
    /// How often the state had been saved, at least.
    pub saves: Option<u64>,
    /// What is wrong with it, where something is.
    pub unusable: Option<Unusable>,
    /// How long the file is, where all of it is of this start of the machine and understood.
    whole: Option<u64>,
}

impl Known {
    /// What was just being started.
    pub(super) fn begun(&self) -> Begun {
        let before = |id: &u32| self.standings.get(id).and_then(Standing::pid_before);
        self.begun.iter().map(|(id, mark)| (mark.clone(), before(id))).collect()
    }
}

pub(super) fn known(home: &Path, boot: &str) -> Known {
    let path = home.join(FILE);
    let (known, problem) = match read_regular(&path) {
        Ok(text) => {
            let (known, problem) = read(&text, boot);
            let is_whole = problem.is_none() && text.ends_with(b"\n") && is_of(&text, boot);
            (Known { whole: is_whole.then_some(text.len() as u64), ..known }, problem)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Known::default(),
        Err(error) => (Known::default(), Some(reason(&error))),
    };
    Known { unusable: problem.map(|reason| Unusable { path, reason }), ..known }
}

fn is_of(text: &[u8], boot: &str) -> bool {
    let first = text.split(|byte| *byte == b'\n').next().map(serde_json::from_slice::<Begin>);
    matches!(first, Some(Ok(begin)) if begin.boot == boot)
}

/// A file that could not be used, or not all of it.
#[derive(Debug)]
pub(super) struct Unusable {
    pub path: PathBuf,
    pub reason: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, reason } = self;
        let path = path.display();
        write!(
            f,
            "`{path}` could not be used: {reason}; where that was to say how an app stood, its processes alone do"
        )
    }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<File> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(text)?;
    std::fs::rename(&fresh, path)?;
    Ok(file)
}

fn write_line(out: &mut Vec<u8>, line: &impl Serialize) {
    // Only strings, numbers and names: there is nothing that JSON could refuse.
    if serde_json::to_writer(&mut *out, line).is_ok() {
        out.push(b'\n');
    }
}

/// What it says of this start of the machine, and what is wrong with it.
fn read(text: &[u8], boot: &str) -> (Known, Option<String>) {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let (mut known, mut garbled) = (Known::default(), 0);
    match lines.next().map(serde_json::from_slice::<Begin>) {
        Some(Ok(begin)) if begin.boot == boot => (known.until, known.saves) = (begin.until, begin.saves),
        Some(Ok(_)) => return (known, None),
        Some(Err(_)) => return (known, Some("it is not pmrun's".to_owned())),
        None => return (known, Some("it is empty".to_owned())),
    }
    for line in lines {
        // A newer pmrun's is not understood. What is older does not count in its place.
        let nothing = |id| Line { id, mark: None, standing: None, until: None, saves: None };
        let of_other = || serde_json::from_slice(line).map(|About { id }| nothing(id));
        let Ok(Line { id, mark, standing, until, saves }) = serde_json::from_slice(line).or_else(|_| of_other()) else {
            // The last was just being written when the daemon was killed.
            garbled += usize::from(line.ends_with(b"\n"));
            continue;
        };
        known.until = until.or(known.until);
        known.saves = saves.or(known.saves);
        match standing {
            Some(standing) => _ = known.standings.insert(id, standing.into_owned()),
            None => _ = known.standings.remove(&id),
        }
        match mark {
            Some(mark) => _ = known.begun.insert(id, mark.into_owned()),
            None => _ = known.begun.remove(&id),
        }
    }
    let lines = if garbled == 1 { "1 of its lines" } else { "some of its lines" };
    (known, (garbled > 0).then(|| format!("{lines} cannot be understood")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn standing(restarts: u32) -> Standing {
        let text = format!(r#"{{"state":"Stopped","restarts":{restarts}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_last_line_about_an_instance_counts_and_what_is_torn_does_not() {
        let home = tempfile::tempdir().unwrap();
        let open = |boot: &str| {
            let known = known(home.path(), boot);
            (Standings::open(home.path(), boot.to_owned(), &known, true), known.standings)
        };
        let (mut first, known) = open("one");
        assert_eq!(known, BTreeMap::new());
        let file = home.path().join(FILE);
        let append = |text: &[u8]| {
            OpenOptions::new().append(true).open(&file).and_then(|mut file| file.write_all(text)).unwrap();
        };
        for (id, said) in [(1, Some(1)), (2, Some(1))] {
            first.note(id, said.map(standing).map(Box::new));
        }
        let said = std::mem::take(&mut first.pending);
        append(&first.lines(&said, Wall(7)));
        for (id, said) in [(1, Some(2)), (3, Some(1)), (2, None)] {
            first.note(id, said.map(standing).map(Box::new));
        }
        append(&first.lines(&first.pending, Wall(8)));
        let want = BTreeMap::from([(1, standing(2)), (3, standing(1))]);
        assert_eq!(open("one").1, want);
        assert_eq!(open("one").1, want, "gone on with");
        append(br#"{"id":3,"standing":{"state":"OfTheFuture"}}"#);
        append(b"\n{\"id\":1,\"stan");
        assert_eq!(open("one").1, BTreeMap::from([(1, standing(2))]));
        assert_eq!(open("two").1, BTreeMap::new(), "the machine was started anew");
        assert_eq!(open("one").1, BTreeMap::new(), "and all that was before is gone");
    }

    #[test]
    fn until_when_all_was_done_stays_known_until_more_is_written() {
        let home = tempfile::tempdir().unwrap();
        let open = || {
            let known = known(home.path(), "one");
            (Standings::open(home.path(), "one".to_owned(), &known, false), known.until)
        };
        let (first, until) = open();
        assert_eq!(until, None);
        let said = BTreeMap::from([(1, Some(Box::new(standing(1)))), (2, None)]);
        let append = |text: &[u8]| {
            let file = OpenOptions::new().append(true).open(home.path().join(FILE));
            file.and_then(|mut file| file.write_all(text)).unwrap();
        };
        append(&first.lines(&said, Wall(7)));
        // Written anew by each.
        assert_eq!((open().1, open().1), (Some(Wall(7)), Some(Wall(7))));
        append(&first.lines(&said, Wall(8)));
        assert_eq!((open().1, known(home.path(), "two").until), (Some(Wall(8)), None));
    }

    #[test]
    fn what_is_just_being_started_is_told_by_its_mark_until_it_has_a_pid() {
        let home = tempfile::tempdir().unwrap();
        let open = |nonce: &str| {
            let known = known(home.path(), "one");
            let mut standings = Standings::open(home.path(), "one".to_owned(), &known, false);
            standings.mark_with(nonce);
            (standings, known.begun)
        };
        let say = |standings: &mut Standings, id, state: &str| {
            let standing = serde_json::from_str(&format!(r#"{{"state":{state}}}"#)).unwrap();
            standings.pending.insert(id, Some(Box::new(standing)));
            let said = std::mem::take(&mut standings.pending);
            let text = standings.lines(&said, Wall(9));
            standings.file.as_mut().unwrap().write_all(&text).unwrap();
        };
        let (mut first, _) = open("aa");
        say(&mut first, 1, r#"{"Launching":{"launch":7}}"#);
        say(&mut first, 2, r#"{"Stopping":{"launch":8,"pid":null,"phase":"Spawning","then":"Stop"}}"#);
        say(&mut first, 3, r#"{"Launching":{"launch":9}}"#);
        say(&mut first, 3, r#"{"Online":{"launch":9,"pid":5,"since":1,"healthy":true}}"#);
        let (mut second, begun) = open("bb");
        let marks = |of: &[(u32, &str)]| of.iter().map(|(id, mark)| (*id, (*mark).to_owned())).collect();
        let want: BTreeMap<u32, String> = marks(&[(1, "aa.7"), (2, "aa.8")]);
        assert_eq!(begun, want);
        say(&mut second, 1, r#"{"Launching":{"launch":7}}"#);
        let want: BTreeMap<u32, String> = marks(&[(1, "bb.7"), (2, "aa.8")]);
        assert_eq!(open("cc").1, want, "what is not known better is as it was");
    }

    #[test]
    fn a_file_that_is_whole_is_gone_on_with_and_any_other_written_anew() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(FILE);
        let whole = "{\"boot\":\"one\"}\n{\"id\":1,\"standing\":{\"state\":\"Stopped\",\"restarts\":2}}\n";
        let line = format!("{}\n", whole.lines().last().unwrap());
        let long = format!("{whole}{}", line.repeat(6_000));
        let torn = format!("{whole}{{\"id\":1,\"stan");
        for (text, boot, is_same, goes_on) in [
            (whole, "one", true, true),
            (whole, "one", false, false),
            (whole, "two", true, false),
            (&torn, "one", true, false),
            (&long, "one", true, false),
            ("", "one", true, false),
        ] {
            std::fs::write(&file, text).unwrap();
            let before = std::fs::metadata(&file).unwrap().ino();
            let found = known(home.path(), boot);
            let opened = Standings::open(home.path(), boot.to_owned(), &found, is_same);
            let after = std::fs::metadata(&file).unwrap();
            assert_eq!((after.ino() == before, opened.bytes), (goes_on, after.len()), "{text:.60} {boot}");
            assert_eq!(known(home.path(), boot).standings, found.standings);
        }
    }

    #[test]
    fn what_cannot_be_understood_is_said_and_what_can_be_counts() {
        let good = r#"{"id":1,"standing":{"state":"Stopped","restarts":2}}"#;
        let begin = r#"{"boot":"one"}"#;
        for (text, want, problem) in [
            (format!("{begin}\n{good}\n"), 1, None),
            (format!("{begin}\n{good}\n{{\"id\":1,\"stan"), 1, None),
            (format!("{begin}\n{good}\n{{\"id\":1,\"standing\":{{\"state\":\"OfTheFuture\"}}}}\n"), 0, None),
            (format!("{{\"boot\":\"two\"}}\n{good}\n"), 0, None),
            (format!("{begin}\nnoise\n{good}\n"), 1, Some("1 of its lines cannot be understood")),
            (format!("{begin}\nnoise\nnoise\n{good}\n"), 1, Some("some of its lines cannot be understood")),
            (format!("noise\n{good}\n"), 0, Some("it is not pmrun's")),
            (String::new(), 0, Some("it is empty")),
        ] {
            let (known, said) = read(text.as_bytes(), "one");
            assert_eq!((known.standings.len(), said.as_deref()), (want, problem), "{text}");
        }
        let home = tempfile::tempdir().unwrap();
        assert!(known(home.path(), "one").unusable.is_none(), "there is none yet");
    }
}
