//! `logs`: what apps have written, and go on to write.

mod files;
mod printer;

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(super) use self::files::{LogFile, Stream, log_files};
use self::printer::{Printer, Style};
use super::error::CliError;
use super::exit::Exit;
use super::terminal::{Colour, Terminal, counted, harmless, paint};
use super::{arguments, instances, surroundings};
use crate::logs::{FollowError, Follower, Log, Reader, Stamps, Wanted};
use crate::runtime::history::HISTORY;

const LINES_DEFAULT: usize = 15;

/// Which logs are shown, and how much of them.
#[derive(Debug)]
struct Choice<'a> {
    arguments: &'a arguments::Logs,
    home: PathBuf,
    zone: TimeZone,
    known: BTreeSet<PathBuf>,
    /// What is said of logs that were removed under their writers.
    removed: Vec<String>,
}

pub(super) fn run(arguments: &arguments::Logs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    run_telling(arguments, terminal, || ())
}

/// The same; says when it has begun to follow, after which nothing is missed.
pub(super) fn run_telling(
    arguments: &arguments::Logs,
    terminal: &mut Terminal,
    begun: impl FnOnce(),
) -> Result<Exit, CliError> {
    if terminal.manners.are_pm2s() {
        return as_pm2(arguments, terminal);
    }
    let home = surroundings::home()?;
    let (zone, known) = (TimeZone::system(), BTreeSet::new());
    let mut choice = Choice { arguments, home: home.clone(), zone, known, removed: Vec::new() };
    let files = choice.files(terminal)?;
    for note in std::mem::take(&mut choice.removed) {
        terminal.note(&note);
    }
    let follows = arguments.follow || (terminal.interactive && !arguments.nostream && arguments.until.is_none());
    if files.is_empty() {
        terminal.note("no log files");
        return Ok(Exit::Done);
    }
    let logs: Vec<Log> = files.iter().map(|file| choice.log(file)).collect();
    if let Some(note) = undated(arguments, &files, &logs) {
        terminal.note(&note);
    }
    let wanted = Wanted { since: arguments.since, until: arguments.until, grep: arguments.grep.clone() };
    let mut reader = Reader::new(logs, wanted);
    let style = Style::of(arguments, terminal);
    let mut printer = Printer::new(files, style, terminal, choice);
    if follows {
        return follow(reader, &mut printer, &home, begun);
    }
    reader.read(&mut printer).map_err(|err| CliError::output(&err))?;
    Ok(if printer.failed { Exit::Error } else { Exit::Done })
}

/// The tail of each file below its name, then all of them as they grow, unless somebody says otherwise.
fn as_pm2(arguments: &arguments::Logs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let (zone, known) = (TimeZone::system(), BTreeSet::new());
    let mut choice = Choice { arguments, home: home.clone(), zone, known, removed: Vec::new() };
    let mut files = choice.files(terminal)?;
    let shows_tail = !arguments.json && !arguments.format && arguments.lines != Some(0);
    let lines = arguments.lines.unwrap_or(LINES_DEFAULT);
    if shows_tail {
        let targets = if arguments.targets.is_empty() { "all".to_owned() } else { arguments.targets.join(" ") };
        let words = format!(
            "[TAILING] Tailing last {lines} lines for [{}] processes (change the value with --lines option)",
            harmless(targets.as_bytes(), false)
        );
        terminal.print(format!("{}\n", paint(terminal.colour, Colour::Bold, &words)))?;
        let own = home.join("pm2.log");
        let is_all = arguments.targets.is_empty() || arguments.targets.iter().any(|target| target == "all");
        if is_all && own.exists() {
            tail(LogFile::of_daemon(own), arguments, &home, terminal)?;
        }
        // What was written to last comes last, next to what comes now.
        files.sort_by_cached_key(|file| file.path.metadata().and_then(|metadata| metadata.modified()).ok());
        for file in &files {
            tail(file.clone(), arguments, &home, terminal)?;
        }
        terminal.flush()?;
    }
    if arguments.nostream {
        return Ok(Exit::Done);
    }
    // As JSON PM2 tells of what happens to apps between what they write.
    let events = arguments.json.then_some(files.len());
    if events.is_some() {
        files.push(LogFile::of_daemon(home.join(HISTORY)));
    }
    let at_end = |file: &LogFile| Log { lines: Some(0), ..choice.log(file) };
    let logs: Vec<Log> = files.iter().map(at_end).collect();
    let wanted = Wanted { since: None, until: None, grep: arguments.grep.clone() };
    let style = Style::of(arguments, terminal);
    let mut printer = Printer::new(files, style, terminal, choice);
    printer.events = events;
    follow(Reader::new(logs, wanted), &mut printer, &home, || ())
}

fn tail(file: LogFile, arguments: &arguments::Logs, home: &Path, terminal: &mut Terminal) -> Result<(), CliError> {
    if !file.path.exists() {
        return Ok(());
    }
    let lines = arguments.lines.unwrap_or(LINES_DEFAULT);
    let words = format!("{} last {lines} lines:", file.path.display());
    terminal.print(format!("{}\n", paint(terminal.colour, Colour::Dim, &words)))?;
    let is_empty = file.path.metadata().is_ok_and(|metadata| metadata.len() == 0);
    let (zone, known) = (TimeZone::system(), BTreeSet::new());
    let choice = Choice { arguments, home: home.to_owned(), zone, known, removed: Vec::new() };
    let wanted = Wanted { since: arguments.since, until: arguments.until, grep: arguments.grep.clone() };
    let mut reader = Reader::new(vec![choice.log(&file)], wanted);
    let style = Style::of(arguments, terminal);
    let mut printer = Printer::new(vec![file], style, terminal, choice);
    reader.read(&mut printer).map_err(|err| CliError::output(&err))?;
    if is_empty { Ok(()) } else { terminal.print("\n") }
}

fn follow(reader: Reader, printer: &mut Printer<'_>, home: &Path, begun: impl FnOnce()) -> Result<Exit, CliError> {
    let stdout = std::io::stdout();
    raise_files_limit();
    let follower = Follower::new(reader).and_then(|follower| follower.with_news(&home.join("pids")));
    match follower.and_then(|follower| follower.with_listener(stdout.as_fd()).run_telling(printer, begun)) {
        Ok(()) => Ok(Exit::Done),
        Err(err) => Err(cannot_follow(&err, "`--nostream`")),
    }
}

/// What `instead` does needs no watches.
pub(super) fn cannot_follow(err: &FollowError, instead: &str) -> CliError {
    if let FollowError::Sink(err) = err {
        return CliError::output(err);
    }
    let cause = std::error::Error::source(err).map(|cause| format!(": {cause}")).unwrap_or_default();
    CliError::error(format!("{err}{cause}"))
        .hint(format!("the system's limits are in `/proc/sys/fs/inotify`; {instead} needs none of it"))
}

/// Each log that is followed stays open.
fn raise_files_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

impl Choice<'_> {
    /// Those that have not been asked for before.
    fn files(&mut self, terminal: &mut Terminal) -> Result<Vec<LogFile>, CliError> {
        let all = instances::shown(&self.home, terminal)?.instances;
        let everything = ["all".to_owned()];
        let arguments = self.arguments;
        let targets = if arguments.targets.is_empty() { &everything[..] } else { &arguments.targets };
        let chosen = match instances::select(targets, &all) {
            // Who is not there yet may come.
            Err(_) if terminal.manners.are_pm2s() => Vec::new(),
            chosen => chosen?,
        };
        self.removed = chosen.iter().flat_map(super::reload_logs::removed).collect();
        // Neither flag is both streams, and so are both flags.
        let both = arguments.out == arguments.err;
        let files = log_files(&chosen, both || arguments.out, both || arguments.err);
        Ok(files.into_iter().filter(|file| self.known.insert(file.path.clone())).collect())
    }

    fn log(&self, file: &LogFile) -> Log {
        let stamps = Stamps::new(file.date_format.as_deref(), file.json, self.zone.clone());
        let dated = self.arguments.since.is_some() || self.arguments.until.is_some();
        // What says nothing about times would come whole, however large it is.
        let all = dated && stamps.tell();
        let lines = self.arguments.lines.or_else(|| (!all).then_some(LINES_DEFAULT));
        Log { path: file.path.clone(), stamps, lines }
    }
}

/// What a time cannot tell of lines that do not say when they were written.
fn undated(arguments: &arguments::Logs, files: &[LogFile], logs: &[Log]) -> Option<String> {
    if arguments.since.is_none() && arguments.until.is_none() {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    for (file, log) in files.iter().zip(logs) {
        if !log.stamps.tell() && !names.contains(&file.app.as_str()) && log.path.exists() {
            names.push(&file.app);
        }
    }
    let (first, rest) = names.split_first()?;
    let others = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    let lines = counted(arguments.lines.unwrap_or(LINES_DEFAULT), "line");
    let which = arguments.since.map_or_else(String::new, |since| {
        let since = local(since);
        format!(" of files that were written to since {since}")
    });
    Some(format!(
        "lines of `{first}`{others} do not say when they were written: the last {lines}{which} are shown, whatever their age; \
         `time` or `log_date_format` makes them say it"
    ))
}

fn local(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
