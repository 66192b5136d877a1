//! Several logs read as one: what is wanted of each, by time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use regex_lite::Regex;

use super::history::{Search, Verdict};
use super::lines::{Line, Lines, identity};
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

    /// A log cannot be read.
    fn trouble(&mut self, log: usize, error: &io::Error);

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
        let open = |log| Open { log, lines: None, last_at: None, stands_at: Timestamp::UNIX_EPOCH };
        self.logs.extend(logs.into_iter().map(open));
    }

    /// Gives what there is. A line without an end is one, too, unless it is going to be followed.
    ///
    /// # Errors
    /// The sink's.
    pub fn read(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        let all: Vec<usize> = (0..self.logs.len()).collect();
        self.begin(&all, sink)?;
        for (at, open) in self.logs.iter_mut().enumerate() {
            let Some(rest) = open.lines.as_mut().and_then(Lines::take_partial) else { continue };
            if open.is_wanted(&rest, &self.wanted).is_some() {
                sink.line(at, &rest, &open.log.stamps.read(&rest.bytes), None)?;
            }
        }
        sink.idle()
    }

    pub(super) fn begin(&mut self, which: &[usize], sink: &mut dyn Sink) -> io::Result<()> {
        for at in which {
            match self.logs[*at].begin(&self.wanted) {
                // Nothing was written yet.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => sink.trouble(*at, &error),
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
                let _ = lines.rewind_if_truncated();
                let _ = lines.limit(TURN);
            }
        }
        self.merge(which, Some(now), sink)?;
        let mut more = Vec::new();
        for at in which {
            match self.logs[*at].move_on() {
                Ok(Moved::Nowhere) => {}
                Ok(Moved::On(rest)) => {
                    let open = &mut self.logs[*at];
                    if let Some(rest) = rest.filter(|rest| open.is_wanted(rest, &self.wanted).is_some()) {
                        sink.line(*at, &rest, &open.log.stamps.read(&rest.bytes), Some(now))?;
                    }
                    more.push(*at);
                }
                Err(error) => sink.trouble(*at, &error),
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
        Ok(())
    }
}

enum Moved {
    Nowhere,
    /// To another file, with what the one before ended with.
    On(Option<Line>),
}

impl Open {
    fn begin(&mut self, wanted: &Wanted) -> io::Result<()> {
        let modified = self.log.path.metadata()?.modified()?;
        self.stands_at = Timestamp::try_from(modified).unwrap_or_default();
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
            if late || !matches(wanted.grep.as_ref(), line) { Verdict::Leave } else { Verdict::Take }
        };
        let since = wanted.since.map(Into::into);
        let mut search = Search { count: self.log.lines, since, tells, verdict: &mut verdict };
        let mut lines = search.open(&self.log.path)?;
        lines.limit(u64::MAX)?;
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
        matches(wanted.grep.as_ref(), &line.bytes).then_some(stands_at)
    }

    /// Where the path names another file by now, to that one.
    fn move_on(&mut self) -> io::Result<Moved> {
        let Some(lines) = &mut self.lines else {
            self.lines = match Lines::open(&self.log.path) {
                Ok(lines) => Some(lines),
                // A file that is not there yet, or may not be read, is read when it can be.
                Err(_) => return Ok(Moved::Nowhere),
            };
            return Ok(Moved::On(None));
        };
        if lines.is_at_limit() && !lines.is_at_end()? {
            return Ok(Moved::On(None));
        }
        let opened = identity(&lines.file().metadata()?);
        match self.log.path.metadata() {
            Ok(there) if there.is_file() && identity(&there) != opened => {}
            _ => return Ok(Moved::Nowhere),
        }
        // Its writer may have gone on until the path named another.
        if !lines.is_at_end()? {
            return Ok(Moved::On(None));
        }
        // A line that goes on in the next file belongs together; one of a file that somebody has moved away has ended.
        lines.reopen()?;
        let rest = if lines.goes_on() { None } else { lines.take_partial() };
        Ok(Moved::On(rest))
    }
}

fn matches(grep: Option<&Regex>, line: &[u8]) -> bool {
    grep.is_none_or(|grep| grep.is_match(&String::from_utf8_lossy(line)))
}
