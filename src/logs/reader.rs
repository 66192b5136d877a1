//! Several logs read as one: what is wanted of each, by time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use regex_lite::Regex;

use super::history::{Search, Verdict};
use super::lines::{Line, Lines, identity};
use super::rotate::rotated;
use super::{Stamps, Told};

/// A log and how its lines say when they were written.
#[derive(Clone, Debug)]
pub struct Log {
    /// Absolute.
    pub path: PathBuf,
    pub stamps: Stamps,
    /// How many lines at most, the last ones; none is all.
    pub lines: Option<usize>,
}

/// What is wanted of each log.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub grep: Option<Regex>,
}

/// Where lines go.
pub trait Sink {
    /// A line of the log with this number, taken apart; when it was seen to arrive, where it was.
    ///
    /// # Errors
    /// Ends the reading.
    fn line(&mut self, log: usize, line: &Line, told: &Told<'_>, arrived: Option<Timestamp>) -> io::Result<()>;

    /// A log, or what was rotated out of it, cannot be read.
    fn trouble(&mut self, log: usize, file: &Path, error: &io::Error);

    /// There is nothing more for now: what was held back may be shown.
    ///
    /// # Errors
    /// Ends the reading.
    fn idle(&mut self) -> io::Result<()>;

    /// Logs that are to be followed from now on, too.
    fn others(&mut self) -> Vec<Log> {
        Vec::new()
    }
}

/// How many of what was rotated are kept open at a time, of all logs: what is removed meanwhile can still be read then.
const HELD_MAX: usize = 512;
/// Read of one log before others have their turn.
const TURN: u64 = 1 << 20;

#[derive(Debug)]
pub struct Reader {
    pub(super) logs: Vec<Open>,
    wanted: Wanted,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) log: Log,
    pub(super) lines: Option<Lines>,
    /// What was rotated up to this number was so before the log was not there.
    known: u64,
    /// Of the line before: what bears no time was written with it.
    last_at: Option<Timestamp>,
    /// Where lines stand that do not say when they were written.
    stands_at: Timestamp,
}

impl Reader {
    #[must_use]
    pub fn new(logs: Vec<Log>, wanted: Wanted) -> Self {
        let mut reader = Self { logs: Vec::new(), wanted };
        reader.add(logs);
        reader
    }

    pub(super) fn add(&mut self, logs: Vec<Log>) {
        let open = |log| Open { log, lines: None, known: 0, last_at: None, stands_at: Timestamp::UNIX_EPOCH };
        self.logs.extend(logs.into_iter().map(open));
    }

    /// Gives what there is. A line without an end is one, too, unless it is going to be followed.
    ///
    /// # Errors
    /// The sink's.
    pub fn read(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        let all: Vec<usize> = (0..self.logs.len()).collect();
        self.begin(&all, sink)?;
        for (at, open) in self.logs.iter_mut().enumerate().filter(|(_, open)| open.log.lines != Some(0)) {
            let Some(rest) = open.lines.as_mut().and_then(Lines::take_partial) else { continue };
            if open.is_wanted(&rest, &self.wanted).is_some() {
                sink.line(at, &rest, &open.log.stamps.read(&rest.bytes), None)?;
            }
        }
        sink.idle()
    }

    pub(super) fn begin(&mut self, which: &[usize], sink: &mut dyn Sink) -> io::Result<()> {
        let holds = HELD_MAX / which.len().max(1);
        for at in which {
            match self.logs[*at].begin(&self.wanted, holds) {
                // Nothing was written yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let open = &mut self.logs[*at];
                    open.known = rotated(&open.log.path).last().map_or(0, |last| last.number);
                }
                Err(error) => sink.trouble(*at, &self.logs[*at].log.path, &error),
                Ok(()) => {}
            }
        }
        self.merge(which, None, sink)
    }

    /// What was written to some of them meanwhile; those that have more.
    pub(super) fn go_on(&mut self, which: &[usize], sink: &mut dyn Sink) -> io::Result<Vec<usize>> {
        let now = Timestamp::now();
        for at in which {
            let open = &mut self.logs[*at];
            open.stands_at = now;
            if let Some(lines) = &mut open.lines {
                // What can no longer be read has nothing more to say.
                let _ = lines.notice();
                let _ = lines.rewind_if_truncated();
                let _ = lines.limit(TURN);
            }
        }
        self.merge(which, Some(now), sink)?;
        let mut more = Vec::new();
        for at in which {
            match self.logs[*at].move_on() {
                Ok(false) => {}
                Ok(true) => more.push(*at),
                Err(error) => sink.trouble(*at, &self.logs[*at].log.path, &error),
            }
        }
        Ok(more)
    }

    /// Lines of some logs, the oldest first; of each log in their order.
    fn merge(&mut self, which: &[usize], arrived: Option<Timestamp>, sink: &mut dyn Sink) -> io::Result<()> {
        let mut heads = BinaryHeap::new();
        let mut first: Vec<Option<Line>> = vec![None; which.len()];
        let wanted = &self.wanted;
        for (place, at) in which.iter().enumerate() {
            if let Some((key, line)) = self.logs[*at].next(wanted) {
                first[place] = Some(line);
                heads.push(Reverse((key, place)));
            }
        }
        while let Some(Reverse((_, place))) = heads.pop() {
            let at = which[place];
            // As long as it is its turn: no heap is needed for one log.
            while let Some(line) = first[place].take() {
                let open = &mut self.logs[at];
                sink.line(at, &line, &open.log.stamps.read(&line.bytes), arrived)?;
                let Some((key, line)) = open.next(wanted) else { break };
                first[place] = Some(line);
                if heads.peek().is_some_and(|Reverse(next)| *next < (key, place)) {
                    heads.push(Reverse((key, place)));
                    break;
                }
            }
        }
        for at in which {
            for (file, error) in self.logs[*at].lines.as_mut().map(Lines::take_damaged).unwrap_or_default() {
                sink.trouble(*at, &file, &error);
            }
        }
        Ok(())
    }
}

impl Open {
    fn begin(&mut self, wanted: &Wanted, holds: usize) -> io::Result<()> {
        let tells = self.log.stamps.tell();
        let stamps = &mut self.log.stamps;
        let mut verdict = |line: &[u8]| {
            let at = if tells { stamps.read(line).at } else { None };
            if let (Some(at), Some(since)) = (at, wanted.since)
                && at < since
            {
                return Verdict::Older;
            }
            let late = at.zip(wanted.until).is_some_and(|(at, until)| at > until);
            if late || !matches(wanted.grep.as_ref(), line, stamps) { Verdict::Leave } else { Verdict::Take }
        };
        let since = wanted.since.map(Into::into);
        let mut search = Search { count: self.log.lines, since, tells, holds, verdict: &mut verdict };
        let lines = search.open(&self.log.path)?;
        self.stands_at = Timestamp::try_from(lines.file().metadata()?.modified()?).unwrap_or_default();
        self.lines = Some(lines);
        Ok(())
    }

    /// The next line that is wanted, and where it stands among those of other logs.
    fn next(&mut self, wanted: &Wanted) -> Option<(Timestamp, Line)> {
        loop {
            let line = self.lines.as_mut()?.next_complete().ok()??;
            if let Some(at) = self.is_wanted(&line, wanted) {
                return Some((at, line));
            }
        }
    }

    fn is_wanted(&mut self, line: &Line, wanted: &Wanted) -> Option<Timestamp> {
        let mut stands_at = self.stands_at;
        if self.log.stamps.tell() {
            let at = self.log.stamps.read(&line.bytes).at.or(self.last_at);
            self.last_at = at;
            let is_in =
                |at| wanted.since.is_none_or(|since| at >= since) && wanted.until.is_none_or(|until| at <= until);
            if !at.is_none_or(is_in) {
                return None;
            }
            stands_at = at.unwrap_or(Timestamp::MIN);
        }
        matches(wanted.grep.as_ref(), &line.bytes, &mut self.log.stamps).then_some(stands_at)
    }

    /// Where the path names another file by now, to that one. Whether there is more to read.
    fn move_on(&mut self) -> io::Result<bool> {
        let path = &self.log.path;
        let Some(lines) = &mut self.lines else {
            // A file that is not there yet, or may not be read, is read when it can be.
            self.lines = Lines::open_after(path, self.known).ok();
            return Ok(self.lines.is_some());
        };
        if lines.is_at_limit() && !lines.is_at_end()? {
            return Ok(true);
        }
        let opened = identity(&lines.file().metadata()?);
        match path.metadata() {
            Ok(there) if there.is_file() && identity(&there) != opened => {}
            _ => return Ok(false),
        }
        // Somebody has moved the log away and made another: its writer goes on in the old one until it is told to.
        if !lines.is_begun(path)? {
            return Ok(false);
        }
        // Its writer may have gone on until the path named another.
        if lines.is_at_end()? {
            lines.reopen()?;
        }
        Ok(true)
    }
}

/// As it stands there, or what is shown of it: that has no quotes around it, and its own are not escaped.
fn matches(grep: Option<&Regex>, line: &[u8], stamps: &mut Stamps) -> bool {
    let Some(grep) = grep else { return true };
    let is_found = |text: &[u8]| grep.is_match(&String::from_utf8_lossy(text));
    is_found(line) || stamps.tell() && is_found(&stamps.read(line).message)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::Write as _;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::logs::rotate::{Aside, End, compress, folder_with_holes, put_aside, rotate, rotated};
    use crate::spec::Rotation;

    #[derive(Default)]
    struct Lines(Vec<String>);

    impl Sink for Lines {
        fn line(&mut self, log: usize, line: &Line, _: &Told<'_>, _: Option<Timestamp>) -> io::Result<()> {
            self.0.push(format!("{log} {}", String::from_utf8_lossy(&line.bytes)));
            Ok(())
        }

        fn trouble(&mut self, log: usize, file: &Path, error: &io::Error) {
            let name = file.file_name().unwrap_or_default().display();
            self.0.push(format!("{log}: {name}: {error}"));
        }

        fn idle(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(path: &Path, timed: bool, lines: Option<usize>) -> Log {
        let stamps = Stamps::new(timed.then_some("YYYY-MM-DD HH:mm:ss"), false, TimeZone::UTC);
        Log { path: path.to_owned(), stamps, lines }
    }

    fn read(logs: Vec<Log>, wanted: Wanted) -> Vec<String> {
        let mut lines = Lines::default();
        Reader::new(logs, wanted).read(&mut lines).unwrap();
        lines.0
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-11-21T{time}Z").parse().unwrap()
    }

    fn timed(folder: &Path, name: &str, lines: &[(&str, &str)]) -> std::path::PathBuf {
        let path = folder.join(name);
        let text: Vec<String> = lines.iter().map(|(time, text)| format!("2026-11-21 {time}: {text}\n")).collect();
        fs::write(&path, text.concat()).unwrap();
        path
    }

    #[test]
    fn several_logs_are_merged_by_the_times_of_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let a =
            timed(folder.path(), "a", &[("10:00:00", "1"), ("10:00:02", "3"), ("10:00:02", "4"), ("10:00:09", "6")]);
        let b = timed(folder.path(), "b", &[("10:00:01", "2"), ("10:00:02", "5")]);
        File::options().append(true).open(&b).unwrap().write_all(b"    at a frame\n    no end").unwrap();
        let raw = folder.path().join("raw");
        fs::write(&raw, "x\ny\n").unwrap();
        let written: std::time::SystemTime = at("10:00:05").into();
        File::options().append(true).open(&raw).unwrap().set_modified(written).unwrap();
        let logs = |lines| vec![log(&a, true, lines), log(&b, true, lines), log(&raw, false, lines)];
        let texts = |lines: Vec<String>| -> Vec<String> {
            lines.iter().map(|line| line.rsplit(": ").next().unwrap_or_default().trim().to_owned()).collect()
        };
        let all = read(logs(None), Wanted::default());
        assert_eq!(texts(all), ["1", "2", "3", "4", "5", "1     at a frame", "2 x", "2 y", "6", "1     no end"]);
        assert_eq!(read(logs(Some(1)), Wanted::default()).len(), 3);
        let since = Wanted { since: Some(at("10:00:02")), until: Some(at("10:00:05")), ..Wanted::default() };
        let kept = texts(read(vec![log(&a, true, None), log(&b, true, None)], since));
        assert_eq!(kept, ["3", "4", "5", "1     at a frame", "1     no end"]);
    }

    #[test]
    fn what_was_last_written_before_is_left_out_whatever_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("raw");
        fs::write(&raw, "x\ny\n").unwrap();
        let written: std::time::SystemTime = at("10:00:05").into();
        File::options().append(true).open(&raw).unwrap().set_modified(written).unwrap();
        for (since, want) in [("10:00:06", 0), ("10:00:05", 2), ("09:00:00", 2)] {
            let wanted = Wanted { since: Some(at(since)), ..Wanted::default() };
            assert_eq!(read(vec![log(&raw, false, Some(15))], wanted).len(), want, "{since}");
        }
    }

    /// Everything that was ever written, rotated in either way, partly compressed.
    fn rotated_log(folder: &Path, aside: bool) -> std::path::PathBuf {
        let path = folder.join("a.log");
        let rotation = Rotation { max_size: 8_000, retain: 1_000, compress: true };
        for round in 0..5 {
            let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
            for number in round * 1_000..(round + 1) * 1_000 {
                writeln!(file, "line {number}").unwrap();
            }
            if round == 4 {
                break;
            }
            if aside {
                let open = |path: &Path| OpenOptions::new().append(true).create(true).open(path);
                assert!(matches!(put_aside(&path, file, open).unwrap(), Aside::Done(_)));
            } else {
                assert!(rotate(&path, &rotation).unwrap());
            }
            compress(&path).unwrap();
        }
        assert!(rotated(&path).iter().any(|piece| piece.compressed));
        // Somebody else's numbers grow the other way.
        fs::write(folder.join("a.log.99"), "not ours\n").unwrap();
        path
    }

    #[test]
    fn what_was_rotated_is_read_back_into() {
        let on_disk = || tempfile::tempdir().unwrap();
        let folders = [Some((on_disk(), false)), Some((on_disk(), true)), folder_with_holes().map(|it| (it, false))];
        for (folder, aside) in folders.into_iter().flatten() {
            let path = rotated_log(folder.path(), aside);
            for count in [1, 15, 999, 1_000, 1_001, 2_500, 4_321, 5_000, 9_000] {
                let want: Vec<String> =
                    (5_000_u32.saturating_sub(count)..5_000).map(|number| format!("0 line {number}")).collect();
                let count = usize::try_from(count).unwrap();
                assert_eq!(read(vec![log(&path, false, Some(count))], Wanted::default()), want, "{aside} {count}");
            }
            assert_eq!(read(vec![log(&path, false, None)], Wanted::default()).len(), 5_000);
            let since = Wanted { since: Some(Timestamp::UNIX_EPOCH), ..Wanted::default() };
            assert_eq!(read(vec![log(&path, false, None)], since).len(), 5_000);
            assert_eq!(read(vec![log(&path, false, Some(0))], Wanted::default()).len(), 0);
            let grep = Some(Regex::new("7[05]0$").unwrap());
            let found = read(vec![log(&path, false, Some(3))], Wanted { grep, ..Wanted::default() });
            assert_eq!(found, ["0 line 3750", "0 line 4700", "0 line 4750"], "{aside}");
        }
    }

    /// Who removes what was rotated while it is being read.
    struct Removing<'a>(&'a Path, Lines);

    impl Sink for Removing<'_> {
        fn line(&mut self, log: usize, line: &Line, told: &Told<'_>, at: Option<Timestamp>) -> io::Result<()> {
            for piece in rotated(self.0) {
                let _ = fs::remove_file(piece.path);
            }
            self.1.line(log, line, told, at)
        }

        fn trouble(&mut self, log: usize, file: &Path, error: &io::Error) {
            self.1.trouble(log, file, error);
        }

        fn idle(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_removed_while_it_is_read_is_read_all_the_same() {
        for (aside, count) in [(false, None), (true, None), (false, Some(4_321)), (true, Some(9_000))] {
            let folder = tempfile::tempdir().unwrap();
            let path = rotated_log(folder.path(), aside);
            let mut sink = Removing(&path, Lines::default());
            Reader::new(vec![log(&path, false, count)], Wanted::default()).read(&mut sink).unwrap();
            let first = 5_000 - count.unwrap_or(5_000).min(5_000);
            let want: Vec<String> = (first..5_000).map(|number| format!("0 line {number}")).collect();
            assert_eq!(sink.1.0, want, "{aside} {count:?}");
        }
    }

    #[test]
    fn what_was_removed_before_it_could_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = rotated_log(folder.path(), true);
        let mut sink = Removing(&path, Lines::default());
        // As if there were more than can be kept open.
        let mut reader = Reader::new(vec![log(&path, false, None)], Wanted::default());
        reader.logs[0].begin(&Wanted::default(), 1).unwrap();
        reader.merge(&[0], None, &mut sink).unwrap();
        let (last, lines) = sink.1.0.split_last().unwrap();
        assert_eq!(lines.len(), 2_000, "the first, and what is in the log still");
        assert!(
            last.starts_with("0: a.log: ") && last.ends_with(" bytes of it were removed before they could be read")
        );
    }

    /// A log that is followed by somebody who never keeps up.
    struct Followed {
        folder: tempfile::TempDir,
        path: std::path::PathBuf,
        file: File,
        written: u32,
        reader: Reader,
        seen: Lines,
    }

    impl Followed {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.log");
            let file = append(&path);
            let mut reader = Reader::new(vec![log(&path, false, Some(0))], Wanted::default());
            reader.begin(&[0], &mut Lines::default()).unwrap();
            Self { folder, path, file, written: 0, reader, seen: Lines::default() }
        }

        fn write(&mut self, count: u32) {
            for _ in 0..count {
                self.written += 1;
                writeln!(self.file, "{}", self.written).unwrap();
            }
        }

        fn rotate(&mut self) {
            let file = std::mem::replace(&mut self.file, append(&self.folder.path().join("none")));
            let Aside::Done(next) = put_aside(&self.path, file, |path| Ok(append(path))).unwrap() else { panic!() };
            self.file = next;
        }

        /// Where its writer had got to.
        fn move_away(&mut self, name: &str) -> End {
            let end = End::of(&self.file).unwrap();
            fs::rename(&self.path, self.folder.path().join(name)).unwrap();
            self.file = append(&self.path);
            end
        }

        fn go_on(&mut self) {
            let more = |_: &u32| !self.reader.go_on(&[0], &mut self.seen).unwrap().is_empty();
            assert!((0..1_000).take_while(more).count() < 1_000, "there is an end");
        }

        #[track_caller]
        fn has_seen_all(&mut self) {
            self.go_on();
            let want: Vec<String> = (1..=self.written).map(|number| format!("0 {number}")).collect();
            let differs = self.seen.0.iter().zip(&want).find(|(seen, want)| seen != want);
            assert_eq!((differs, self.seen.0.len()), (None, want.len()));
        }
    }

    fn append(path: &Path) -> File {
        OpenOptions::new().append(true).create(true).open(path).unwrap()
    }

    #[test]
    fn what_is_moved_away_by_hand_is_read_where_it_has_gone() {
        for (compresses, goes_on) in [(false, true), (true, true), (false, false), (true, false)] {
            let mut log = Followed::new();
            for round in 0..14 {
                log.write(2_000);
                match round % 5 {
                    1 | 2 => {
                        // Where its writer does not go on in the next one, only what is open is known.
                        if !goes_on {
                            log.go_on();
                        }
                        let end = log.move_away(&format!("moved-{round}"));
                        if goes_on {
                            end.go_on_in(&log.file);
                        }
                    }
                    _ => log.rotate(),
                }
                if compresses {
                    compress(&log.path).unwrap();
                }
                if round == 6 || !goes_on {
                    log.go_on();
                }
            }
            if goes_on {
                fs::rename(log.folder.path().join("a.log.2"), log.folder.path().join("b")).ok();
            }
            log.write(10);
            log.has_seen_all();
            assert!(log.seen.0.len() > 20_000, "{compresses}");
        }
    }

    #[test]
    fn what_was_compressed_is_read_as_such_whatever_it_is_called() {
        let mut log = Followed::new();
        for _ in 0..5 {
            log.write(2_000);
            log.rotate();
        }
        compress(&log.path).unwrap();
        for (number, name) in [(1, "old-a.log.1.gz"), (2, "two"), (4, "a.log.4.gz.bak")] {
            let packed = log.folder.path().join(format!("a.log.{number}.gz"));
            fs::rename(packed, log.folder.path().join(name)).unwrap();
        }
        // Half of what is being compressed.
        fs::copy(log.folder.path().join("two"), log.folder.path().join("a.log.2.gz.part")).unwrap();
        log.write(10);
        log.has_seen_all();
    }

    #[test]
    fn what_is_moved_to_another_folder_while_whoever_follows_is_behind_is_read() {
        let (mut log, elsewhere) = (Followed::new(), tempfile::tempdir().unwrap());
        // More than is read at a time.
        log.write(200_000);
        log.rotate();
        log.write(10);
        assert_eq!(log.reader.go_on(&[0], &mut log.seen).unwrap(), [0]);
        let end = End::of(&log.file).unwrap();
        fs::rename(&log.path, elsewhere.path().join("a.log")).unwrap();
        log.file = append(&log.path);
        end.go_on_in(&log.file);
        log.write(10);
        log.rotate();
        log.write(10);
        log.has_seen_all();
    }

    #[test]
    fn what_was_rotated_after_a_log_was_moved_away_is_read_though_another_has_begun() {
        let mut log = Followed::new();
        for round in 0..3 {
            log.write(100);
            log.rotate();
            log.write(100);
            log.rotate();
            log.write(100);
            if round < 1 {
                log.go_on();
            }
            if round < 2 {
                log.move_away(&format!("moved-{round}"));
            }
            // The follower has what is moved away open.
            log.write(1);
            log.rotate();
            if round == 0 {
                log.write(1);
            }
        }
        log.has_seen_all();
    }

    #[test]
    fn whoever_writes_to_what_was_moved_away_is_followed_until_the_next_one_is_written_to() {
        let mut log = Followed::new();
        log.write(3);
        log.go_on();
        fs::rename(&log.path, log.folder.path().join("a.log.1")).unwrap();
        let next = append(&log.path);
        log.write(3);
        log.has_seen_all();
        log.write(3);
        let end = End::of(&log.file).unwrap();
        end.go_on_in(&next);
        log.file = next;
        log.has_seen_all();
        log.write(3);
        log.rotate();
        log.write(3);
        log.has_seen_all();
        let all = read(vec![self::log(&log.path, false, None)], Wanted::default());
        assert_eq!(
            all,
            (10..=15).map(|number| format!("0 {number}")).collect::<Vec<_>>(),
            "what others number is theirs"
        );
    }

    #[test]
    fn what_others_have_named_like_a_rotated_one_is_not_read_back_into() {
        let mut log = Followed::new();
        for name in ["a.log.9", "a.log.4"] {
            log.write(3);
            log.rotate();
            log.write(3);
            log.move_away(name);
        }
        log.write(3);
        let all = read(vec![self::log(&log.path, false, None)], Wanted::default());
        let want = (1..=3).chain(7..=9).chain(13..=15).map(|number| format!("0 {number}"));
        assert_eq!(all, want.collect::<Vec<_>>());
    }

    #[test]
    fn of_a_log_that_was_not_there_nothing_is_missed() {
        let mut log = Followed::new();
        log.write(1);
        log.rotate();
        fs::remove_file(&log.path).unwrap();
        log.reader = Reader::new(vec![self::log(&log.path, false, Some(0))], Wanted::default());
        log.reader.begin(&[0], &mut log.seen).unwrap();
        (log.file, log.written) = (append(&log.path), 0);
        for _ in 0..3 {
            log.write(5);
            log.rotate();
        }
        log.has_seen_all();
    }

    #[test]
    fn what_cannot_be_read_of_a_damaged_file_ends_nothing() {
        for offset in [0, 3_000, 7_000] {
            let mut log = Followed::new();
            log.write(10_000);
            for _ in 0..3 {
                log.rotate();
                log.write(10_000);
            }
            compress(&log.path).unwrap();
            let damaged = OpenOptions::new().write(true).open(log.folder.path().join("a.log.2.gz")).unwrap();
            if offset == 7_000 {
                damaged.set_len(offset).unwrap();
            } else {
                std::os::unix::fs::FileExt::write_all_at(&damaged, &[0xff; 9], offset).unwrap();
            }
            for count in [None, Some(100_000)] {
                let seen = read(vec![self::log(&log.path, false, count)], Wanted::default());
                let (troubles, lines): (Vec<_>, Vec<_>) =
                    seen.into_iter().partition(|line| line.contains("it is damaged"));
                assert!(troubles.len() == 1 && troubles[0].starts_with("0: a.log.2.gz: "), "{troubles:?}");
                let line = |number: u32| format!("0 {number}");
                assert!(lines.iter().take(10_000).cloned().eq((1..=10_000).map(line)), "{offset} {count:?}");
                let rest = lines.len() - 20_000;
                assert!(lines[rest..].iter().cloned().eq((20_001..=40_000).map(line)), "{offset} {count:?}");
                assert_eq!(rest > 10_000, offset > 0, "{rest}");
            }
        }
    }

    #[test]
    fn older_lines_end_the_search_wherever_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        for hour in 10..14 {
            let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
            for minute in 0..60 {
                writeln!(file, "2026-11-21 {hour}:{minute:02}:00: {hour}.{minute}").unwrap();
            }
            let open = |path: &Path| OpenOptions::new().append(true).create(true).open(path);
            assert!(matches!(put_aside(&path, file, open).unwrap(), Aside::Done(_)));
            compress(&path).unwrap();
        }
        for (since, until, lines, want) in [
            ("11:30:00", "23:00:00", None, 150),
            ("11:30:00", "12:00:00", None, 31),
            ("11:30:00", "12:00:00", Some(5), 5),
            ("14:00:00", "23:00:00", None, 0),
            ("09:00:00", "23:00:00", Some(200), 200),
            ("09:00:00", "23:00:00", None, 240),
        ] {
            let wanted = Wanted { since: Some(at(since)), until: Some(at(until)), grep: None };
            assert_eq!(read(vec![log(&path, true, lines)], wanted).len(), want, "{since} {until} {lines:?}");
        }
    }
}
