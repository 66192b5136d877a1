//! Where news come from: a thread each, which ends with the program.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use nix::sys::signal::{SigSet, Signal};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Deed, Key, Line as Shown, News};
use crate::cli::history::{self, History};
use crate::cli::logs::{LogFile, Stream, log_files};
use crate::cli::terminal::{Colour, harmless};
use crate::cli::web::Knowledge;
use crate::cli::{events as happenings, list};
use crate::http::Source as _;
use crate::logs::{Follower, Line, Log, Reader, Sink, Stamps, Told, Wanted};
use crate::platform::time_zone;
use crate::rpc::wire::InstanceView;
use crate::runtime::history::{Entry, HISTORY};

/// How often it is looked what runs and what it uses.
const PERIOD: Duration = Duration::from_secs(1);
/// Of what was before this was begun.
const LINES_BEFORE: usize = 200;
const EVENTS_BEFORE: usize = 200;

/// That a thread has panicked ends everything: the terminal is restored by then, and nothing must be drawn on it.
struct Guard(SyncSender<News>);

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.send(News::End);
        }
    }
}

fn start(to: SyncSender<News>, work: impl FnOnce(&SyncSender<News>) + Send + 'static) {
    thread::spawn(move || {
        let guard = Guard(to);
        work(&guard.0);
    });
}

/// What would end the program, with the terminal as it is.
pub(super) fn block_signals() -> io::Result<SigSet> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT].into_iter().collect();
    signals.thread_block()?;
    Ok(signals)
}

pub(super) fn signals(signals: SigSet, to: SyncSender<News>) {
    start(to, move |to| {
        if signals.wait().is_ok() {
            let _ = to.send(News::End);
        }
    });
}

pub(super) fn keys(to: SyncSender<News>) {
    start(to, |to| {
        loop {
            let news = match event::read() {
                Ok(Event::Key(event)) if event.kind != KeyEventKind::Release => key(event).map(News::Key),
                Ok(Event::Resize(..)) => Some(News::Resized),
                Ok(_) => None,
                // Nobody types any more: the terminal is gone.
                Err(_) => Some(News::End),
            };
            let is_end = matches!(news, Some(News::End));
            if news.is_some_and(|news| to.send(news).is_err()) || is_end {
                return;
            }
        }
    });
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(event.code, KeyCode::Char('c' | 'd')).then_some(Key::Interrupt);
    }
    Some(match event.code {
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Tab | KeyCode::BackTab => Key::Tab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

/// Once a second, of a daemon that may come and go.
pub(super) fn figures(knowledge: Arc<Knowledge>, to: SyncSender<News>) {
    start(to, move |to| {
        loop {
            let news = match knowledge.instances(None) {
                Ok(instances) => News::Figures { instances, now_ms: list::now_ms() },
                Err(problem) => News::Away(problem.message().to_owned()),
            };
            if to.send(news).is_err() {
                return;
            }
            thread::sleep(PERIOD);
        }
    });
}

pub(super) fn act(knowledge: Arc<Knowledge>, deed: Deed, to: SyncSender<News>) {
    start(to, move |to| {
        let result = match knowledge.act(&deed.app, deed.action) {
            Ok(done) => match done["failed"].as_array().and_then(|failed| failed.first()) {
                Some(failure) => Err(failure["reason"].as_str().unwrap_or("it failed").to_owned()),
                None => Ok(()),
            },
            Err(problem) => Err(problem.message().to_owned()),
        };
        let _ = to.send(News::Done { deed, result });
    });
}

/// What happened before, and what happens.
pub(super) fn events(home: PathBuf, to: SyncSender<News>) {
    start(to, move |to| {
        let mut sink = Events { to, zone: time_zone(None), last: 0 };
        // Begun before it is read: nothing that happens from then on is missed.
        let log = Log { path: home.join(HISTORY), stamps: Stamps::new(None, false, TimeZone::UTC), lines: None };
        let follower = Follower::new(Reader::new(vec![log], Wanted::default()));
        let history = History::read(&home).unwrap_or_default();
        let lines = history.lines();
        for (number, line) in &lines[lines.len().saturating_sub(EVENTS_BEFORE)..] {
            if history::parse(line).is_some_and(|entry| sink.tell(*number, &entry).is_err()) {
                return;
            }
        }
        let ended = follower.and_then(|follower| follower.run(&mut sink));
        if let Err(err) = ended {
            let _ = to.send(News::Event(trouble(&err.to_string())));
        }
    });
}

struct Events<'a> {
    to: &'a SyncSender<News>,
    zone: Option<TimeZone>,
    last: u64,
}

impl Events<'_> {
    fn tell(&mut self, number: u64, entry: &Entry) -> io::Result<()> {
        self.last = self.last.max(number);
        let is_bad = happenings::hue(&entry.what) == Colour::Red;
        let text = happenings::text(entry, false, self.zone.as_ref(), false);
        send(self.to, News::Event(Shown { label: String::new(), is_bad, text }))
    }
}

impl Sink for Events<'_> {
    fn line(&mut self, _: usize, line: &Line, _: &Told<'_>, _: Option<Timestamp>) -> io::Result<()> {
        let line = String::from_utf8_lossy(&line.bytes);
        match history::number(&line).zip(history::parse(&line)) {
            Some((number, entry)) if number > self.last => self.tell(number, &entry),
            _ => Ok(()),
        }
    }

    /// It is read again when it is there again.
    fn trouble(&mut self, _: usize, _: &Path, _: &io::Error) {}

    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an app has written last, and what it writes, until the other end of the pipe is closed.
pub(super) fn logs(views: Vec<InstanceView>, following: u64, to: SyncSender<News>) -> Option<io::PipeReader> {
    let (reader, listener) = io::pipe().ok()?;
    start(to, move |to| {
        let files = log_files(&views, true, true);
        let log = |file: &LogFile| {
            let stamps = Stamps::new(file.date_format.as_deref(), file.json, TimeZone::system());
            Log { path: file.path.clone(), stamps, lines: Some(LINES_BEFORE / files.len().max(1)) }
        };
        let follower = Follower::new(Reader::new(files.iter().map(log).collect(), Wanted::default()));
        let mut sink = Logs { to, files: &files, following };
        let ended = follower.and_then(|follower| follower.with_listener(listener.as_fd()).run(&mut sink));
        if let Err(err) = ended {
            let _ = to.send(News::Line { following, line: trouble(&err.to_string()) });
        }
    });
    Some(reader)
}

struct Logs<'a> {
    to: &'a SyncSender<News>,
    files: &'a [LogFile],
    following: u64,
}

impl Sink for Logs<'_> {
    fn line(&mut self, log: usize, _: &Line, told: &Told<'_>, _: Option<Timestamp>) -> io::Result<()> {
        let file = &self.files[log];
        let is_bad = told.error.unwrap_or(file.stream == Stream::Error);
        let line = Shown { label: file.label.clone(), is_bad, text: harmless(&told.message, false) };
        send(self.to, News::Line { following: self.following, line })
    }

    fn trouble(&mut self, _: usize, _: &Path, _: &io::Error) {}

    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn trouble(what: &str) -> Shown {
    Shown { label: String::new(), is_bad: true, text: format!("pmrun: {what}") }
}

fn send(to: &SyncSender<News>, news: News) -> io::Result<()> {
    to.send(news).map_err(|_| io::ErrorKind::BrokenPipe.into())
}
