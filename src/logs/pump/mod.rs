//! The process that apps' output passes through where something is added to it, or both streams go to one file.
//!
//! It is none of the daemon's threads: the pipes must have a reader when the daemon is killed, or the apps would die
//! of it. One for all apps, because one costs little. It is handed the reading ends over a socket in `PMRUN_HOME`, goes
//! on without a daemon until all writers are gone, and the next daemon finds it by that socket. When it is the one
//! that is killed, the daemon, which keeps the same ends open, starts another: apps wait meanwhile, at most.
//!
//! It rotates what it writes: nobody else has its files open, and so they are renamed, and others made.
//!
//! An app waits, too, when its pipe is full, which happens when the disk takes less than the app writes. A disk that
//! takes nothing at all keeps nobody waiting: lines are dropped and counted.

mod file;
mod form;
mod sequence;
mod source;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::Zoned;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use self::file::LogFile;
use self::form::Form;
use self::sequence::Sequences;
use self::source::{Source, Turn};
use crate::base::parse_bytes;
use crate::logs::rotate::{BUDGET_DEFAULT, Packer};
use crate::platform::{Heard, LogOwner, PumpCaller, PumpOrder, PumpSocket, give_back, reason};

/// Most of what is read at a time; lines of it go out in one write. Half of what a pipe holds, so that its writer fills one
/// half while the other is written: a whole pipe at a time takes half as much CPU again, and both wait for each other.
const BLOCK: usize = 128 << 10;
/// Whoever writes more than this at a time is not kept waiting for more to come.
const MUCH: usize = 32 << 10;
/// Small writes are collected for as long when they come one after the other: each by itself costs ten times as much.
const GATHER: Duration = Duration::from_millis(2);
/// How long it waits for somebody to come before it ends.
const LINGER: Duration = Duration::from_secs(1);
/// How long nothing has to happen before memory is given back.
const QUIET: Duration = Duration::from_secs(5);

/// What there was no room for is tried again after this, twice as late each time.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_mins(1);

const LISTENER: u64 = 0;

/// Reads and writes until nobody is left who writes or gives orders.
#[must_use]
pub fn main() -> ExitCode {
    match PumpSocket::inherited().and_then(Pump::new).and_then(|mut pump| pump.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("the log process cannot go on: {}", reason(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Into the daemon's own log.
fn say(text: fmt::Arguments<'_>) {
    use std::io::Write as _;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let _ = writeln!(io::stderr().lock(), "{now} {text}");
}

/// Of this log process.
fn packer() -> Packer {
    let home = std::env::var_os("PMRUN_HOME").map(PathBuf::from).unwrap_or_default();
    // The daemon has said what is wrong with it.
    let budget = std::env::var("PMRUN_LOGS_MAX").ok().and_then(|text| parse_bytes(&text));
    Packer::new(home.join("logs"), budget.unwrap_or(BUDGET_DEFAULT), |text| say(format_args!("{text}")))
}

struct Pump {
    socket: PumpSocket,
    epoll: OwnedFd,
    callers: HashMap<u64, PumpCaller>,
    /// Those of them who only wait for its end.
    waiting: HashSet<u64>,
    sources: HashMap<u64, Source>,
    next_key: u64,
    /// By path, so that those who share a file do not tear each other's lines.
    files: HashMap<PathBuf, Rc<RefCell<LogFile>>>,
    sequences: Sequences,
    packer: Packer,
    /// When it was last tried to write what there was no room for, and when that is done again while there is such.
    tried: Instant,
    again: Option<Duration>,
    block: Vec<u8>,
    lines: Vec<u8>,
}

impl Pump {
    fn new(socket: PumpSocket) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        watch(&epoll, &socket, LISTENER)?;
        Ok(Self {
            socket,
            epoll,
            callers: HashMap::new(),
            waiting: HashSet::new(),
            sources: HashMap::new(),
            next_key: LISTENER + 1,
            files: HashMap::new(),
            sequences: Sequences::default(),
            packer: packer(),
            tried: Instant::now(),
            again: None,
            block: Vec::new(),
            lines: Vec::new(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        // When the last turn was that brought little.
        let mut poor: Option<Instant> = None;
        let mut rested = false;
        loop {
            let idle = self.callers.len() == self.waiting.len() && self.sources.is_empty();
            let patience = match idle {
                true if self.waiting.is_empty() => Some(LINGER),
                true => Some(Duration::ZERO),
                false => self.again.or((!rested).then_some(QUIET)),
            };
            let timeout = patience.and_then(|patience| Timespec::try_from(patience).ok());
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if events.is_empty() {
                if idle {
                    // Whoever comes now starts another.
                    self.socket.remove();
                    self.files.values().for_each(|file| file.borrow_mut().close());
                    self.packer.stop();
                    return Ok(());
                }
                self.settle();
                if !rested {
                    rested = true;
                    self.rest();
                }
                continue;
            }
            rested = false;
            if let Some(early) = poor.and_then(|poor| GATHER.checked_sub(poor.elapsed()))
                && !self.sources.is_empty()
            {
                std::thread::sleep(early);
            }
            if self.tried.elapsed() >= self.again.unwrap_or(QUIET) {
                self.settle();
            }
            let full = self.turn(events.iter().map(|event| event.data.u64()));
            poor = (!full).then(Instant::now);
        }
    }

    /// What there was no room for is written when there is some, whether or not another line comes.
    fn settle(&mut self) {
        self.tried = Instant::now();
        let owing = self.files.values().filter(|file| file.borrow().owes());
        let left = owing.filter(|file| file.borrow_mut().settle().is_err()).count();
        self.again = (left > 0).then(|| self.again.map_or(AGAIN, |again| (again * 2).min(AGAIN_MAX)));
        self.forget_files();
    }

    /// Nothing happens for now.
    fn rest(&mut self) {
        (self.block, self.lines) = (Vec::new(), Vec::new());
        give_back();
    }

    /// True when it was worth its while.
    fn turn(&mut self, keys: impl Iterator<Item = u64>) -> bool {
        let now = Zoned::now();
        let mut full = false;
        self.block.resize(BLOCK, 0);
        for key in keys {
            if key == LISTENER {
                self.accept();
            } else if self.callers.contains_key(&key) {
                self.hear(key);
            } else if let Some(source) = self.sources.get_mut(&key) {
                match source.read(&mut self.block, &mut self.lines, &now) {
                    Turn::Read(length) => full |= length >= MUCH,
                    Turn::Ended => self.end(key),
                }
            }
        }
        full
    }

    fn accept(&mut self) {
        while let Some(caller) = self.socket.accept() {
            let key = self.key();
            match watch(&self.epoll, &caller, key) {
                Ok(()) => _ = self.callers.insert(key, caller),
                Err(error) => say(format_args!("the log process cannot hear the daemon: {}", reason(&error))),
            }
        }
    }

    fn hear(&mut self, key: u64) {
        loop {
            let Some(caller) = self.callers.get(&key) else { return };
            match caller.receive() {
                Heard::Order(order, _) if order.reopen => {
                    let files = self.files.values().filter(|file| file.borrow_mut().reopen());
                    caller.answer(files.count());
                }
                Heard::Order(order, _) if order.end => _ = self.waiting.insert(key),
                Heard::Order(order, pipes) => self.obey(&order, pipes),
                Heard::Nothing => return,
                Heard::Closed => {
                    self.callers.remove(&key);
                    self.waiting.remove(&key);
                }
            }
        }
    }

    fn obey(&mut self, order: &PumpOrder, pipes: Vec<OwnedFd>) {
        let form = Rc::new(Form::new(order, self.sequences.of(order)));
        let home = std::env::var_os("PMRUN_HOME").map(PathBuf::from).unwrap_or_default();
        // What it writes is read in any case, or it would have to wait for ever.
        let owner = LogOwner::find(order.user.as_deref(), order.group.as_deref(), &home);
        if let Err(problem) = &owner {
            say(format_args!("what `{}` writes is lost: {problem}", order.app));
        }
        for (stream, pipe) in order.streams.iter().zip(pipes) {
            let Some(id) = source::pipe_id(&pipe) else { continue };
            let files: Vec<Rc<RefCell<LogFile>>> = match &owner {
                Ok(owner) => {
                    let compresses = order.rotation.as_ref().is_some_and(|rotation| rotation.compress);
                    for path in &stream.files {
                        self.packer.resume(Path::new(path), owner.as_ref(), compresses);
                    }
                    stream.files.iter().map(|path| self.file(path, owner.as_ref())).collect()
                }
                Err(_) => Vec::new(),
            };
            for file in &files {
                file.borrow_mut().set_rotation(order.rotation.as_ref());
            }
            // Given again by a daemon that cannot know that it is here.
            if self.sources.values().any(|known| known.id == id) {
                continue;
            }
            let key = self.key();
            match watch(&self.epoll, &pipe, key) {
                Ok(()) => {
                    _ = self.sources.insert(key, Source::new(pipe, id, stream.error, Rc::clone(&form), files));
                }
                Err(error) => say(format_args!("cannot read what `{}` writes: {}", order.app, reason(&error))),
            }
        }
        self.forget_files();
    }

    fn file(&mut self, path: &str, owner: Option<&LogOwner>) -> Rc<RefCell<LogFile>> {
        let packer = &self.packer;
        let new = || Rc::new(RefCell::new(LogFile::new(path.into(), owner.cloned(), packer.clone())));
        let file = self.files.entry(path.into()).or_insert_with(new);
        if Rc::strong_count(file) == 1 {
            file.borrow_mut().set_owner(owner.cloned());
        }
        Rc::clone(file)
    }

    fn end(&mut self, key: u64) {
        self.sources.remove(&key);
        self.forget_files();
    }

    fn forget_files(&mut self) {
        self.files.retain(|_, file| Rc::strong_count(file) > 1 || file.borrow_mut().release());
    }

    fn key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }
}

fn watch(epoll: &OwnedFd, fd: &impl AsFd, key: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, fd, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?)
}
