//! What apps write, on this process's own stdout and stderr: for `pmrun run`.
//!
//! One thread each reads all that goes to one of the two, and writes what has become whole lines. Whoever reads slowly is
//! waited for: the pipes fill, and then the apps wait, as they would if they wrote there themselves. The loop that looks
//! after them never does, nor does the other stream, unless both are one pipe: then they take turns. When nobody reads any more, what is written is thrown away, and that is
//! told.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll};
use rustix::fs::fstat;
use rustix::io::Errno;

use regex_lite::Regex;

use super::awaited::says;
use super::frame::Framer;
use crate::base::InstanceId;
use crate::platform::{Tap, reason};

/// Most of what is read of one at a time.
const BLOCK: usize = 64 << 10;
/// What may wait to be said while nobody reads. More is not said.
const WAITING_MAX: usize = 4_096;
const BELL: u64 = 0;

/// Makes of a line what is printed.
pub trait Press: Send + Sync {
    /// `line` is without what ended it.
    fn line(&self, instance: &InstanceId, error: bool, line: &[u8], page: &mut Vec<u8>);

    /// Whether what an app writes to its stderr, or stdout, goes to ours.
    fn is_for_stderr(&self, error: bool) -> bool;
}

/// What it has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nobody reads stdout, or stderr, any more.
    Unread,
    /// All that came before its end was asked for is written, to one of them.
    Written,
    /// The launch with this number has written the line by which it says that it is up.
    Ready(u64),
}

/// How many streams there are, each of which is told of.
pub const STREAMS: usize = 2;

/// The other end: where the loop hands over what is to be printed.
#[derive(Clone)]
pub struct Console {
    press: Arc<dyn Press>,
    out: Writer,
    err: Writer,
    /// Said and not written yet.
    waiting: Arc<AtomicUsize>,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Writer {
    orders: Sender<Order>,
    bell: Arc<OwnedFd>,
}

#[derive(Debug)]
enum Order {
    Read(Tap),
    Say(Vec<u8>),
    End,
}

impl Console {
    /// # Errors
    /// The system's.
    pub fn start(press: Arc<dyn Press>, told: impl Fn(Heard) + Clone + Send + 'static) -> io::Result<Self> {
        let waiting = Arc::new(AtomicUsize::new(0));
        let turn = same_file(io::stdout(), io::stderr()).then(Arc::default);
        let writer = |to| Writer::start(Paper::new(to, turn.clone()), &press, &waiting, Box::new(told.clone()));
        let (out, err) = (writer(Stream::Out)?, writer(Stream::Err)?);
        Ok(Self { press, out, err, waiting })
    }

    /// From now on it is read, until it ends.
    pub fn read(&self, tap: Tap) {
        let writer = if self.press.is_for_stderr(tap.error) { &self.err } else { &self.out };
        writer.order(Order::Read(tap));
    }

    /// Lines for stderr. Never waits.
    pub fn say(&self, lines: Vec<u8>) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < WAITING_MAX {
            self.err.order(Order::Say(lines));
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What there is is written, then it is told, of each stream.
    pub fn end(&self) {
        self.out.order(Order::End);
        self.err.order(Order::End);
    }
}

impl Writer {
    fn start(
        paper: Paper,
        press: &Arc<dyn Press>,
        waiting: &Arc<AtomicUsize>,
        told: Box<dyn Fn(Heard) + Send>,
    ) -> io::Result<Self> {
        let (orders, ordered) = channel();
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        watch(&epoll, &bell, BELL)?;
        let desk = Desk {
            bell: bell.try_clone()?,
            epoll,
            orders: ordered,
            waiting: Arc::clone(waiting),
            sources: HashMap::new(),
            next_key: BELL,
            block: vec![0; BLOCK],
            page: Vec::new(),
            paper,
            press: Arc::clone(press),
            told,
        };
        std::thread::Builder::new().name("console".to_owned()).stack_size(512 << 10).spawn(move || desk.work())?;
        Ok(Self { orders, bell: Arc::new(bell) })
    }

    fn order(&self, order: Order) {
        // Nobody hears it who has ended.
        if self.orders.send(order).is_ok() {
            let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
        }
    }
}

struct Source {
    tap: Tap,
    framer: Framer,
    /// The line that is still to come.
    awaited: Option<Regex>,
}

struct Desk {
    bell: OwnedFd,
    epoll: OwnedFd,
    orders: Receiver<Order>,
    waiting: Arc<AtomicUsize>,
    sources: HashMap<u64, Source>,
    next_key: u64,
    block: Vec<u8>,
    page: Vec<u8>,
    paper: Paper,
    press: Arc<dyn Press>,
    told: Box<dyn Fn(Heard) + Send>,
}

enum Turn {
    More,
    Nothing,
    Ended,
}

impl Desk {
    fn work(mut self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(64);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                // Without it nothing more can be read: that nobody reads is what follows from it.
                Err(_) => return (self.told)(Heard::Unread),
            }
            let keys: Vec<u64> = events.iter().map(|event| event.data.u64()).collect();
            for key in keys.iter().copied().filter(|key| *key != BELL) {
                if matches!(self.turn(key), Turn::Ended) {
                    self.sources.remove(&key);
                }
                self.print();
            }
            // After what apps have written before it.
            if keys.contains(&BELL) && self.obey() {
                return self.end();
            }
        }
    }

    /// Whether it is to end.
    fn obey(&mut self) -> bool {
        let _ = rustix::io::read(&self.bell, &mut [0; 8][..]);
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Read(tap) => {
                    self.next_key += 1;
                    // What cannot be watched cannot be read; its writer learns that as it would of any closed pipe.
                    if watch(&self.epoll, &tap.pipe, self.next_key).is_ok() {
                        let awaited = tap.ready_log.as_deref().and_then(|pattern| Regex::new(pattern).ok());
                        self.sources.insert(self.next_key, Source { tap, framer: Framer::default(), awaited });
                    }
                }
                Order::Say(lines) => {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    self.page.extend(lines);
                    self.print();
                }
                Order::End => return true,
            }
        }
        false
    }

    /// Whoever still has the other end of a pipe has written what it has.
    fn end(mut self) {
        let keys: Vec<u64> = self.sources.keys().copied().collect();
        for key in keys {
            while matches!(self.turn(key), Turn::More) {
                self.print();
            }
            if let Some(mut source) = self.sources.remove(&key) {
                let Source { tap, framer, .. } = &mut source;
                framer.finish(|line| self.press.line(&tap.instance, tap.error, line, &mut self.page));
            }
            self.print();
        }
        (self.told)(Heard::Written);
    }

    /// Reads once, so that others get their turn.
    fn turn(&mut self, key: u64) -> Turn {
        let Some(Source { tap, framer, awaited }) = self.sources.get_mut(&key) else { return Turn::Nothing };
        let (press, page, told) = (&self.press, &mut self.page, &self.told);
        let mut line = |line: &[u8]| {
            if awaited.take_if(|pattern| says(pattern, line)).is_some() {
                told(Heard::Ready(tap.launch.0));
            }
            press.line(&tap.instance, tap.error, line, page);
        };
        match rustix::io::read(&tap.pipe, &mut self.block[..]) {
            Ok(0) => {
                framer.finish(line);
                Turn::Ended
            }
            Ok(length) => {
                framer.push(&self.block[..length], &mut line);
                Turn::More
            }
            Err(Errno::AGAIN | Errno::INTR) => Turn::Nothing,
            Err(_) => Turn::Ended,
        }
    }

    fn print(&mut self) {
        if self.paper.write(&self.page) {
            (self.told)(Heard::Unread);
        }
        self.page.clear();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

/// This process's stdout, or stderr.
struct Paper {
    to: Stream,
    /// Where both streams are one file: what a pipe has no room for is written piece by piece, and nothing may come in between.
    turn: Option<Arc<Mutex<()>>>,
    /// Nobody reads it.
    unread: bool,
    /// It was said that it takes nothing.
    troubled: bool,
}

impl Paper {
    fn new(to: Stream, turn: Option<Arc<Mutex<()>>>) -> Self {
        Self { to, turn, unread: false, troubled: false }
    }

    /// Whether nobody reads it any more, which is told once.
    fn write(&mut self, mut bytes: &[u8]) -> bool {
        let (out, err) = (io::stdout(), io::stderr());
        let to = match self.to {
            Stream::Out => out.as_fd(),
            Stream::Err => err.as_fd(),
        };
        let _turn = self.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
        while !bytes.is_empty() && !self.unread {
            match rustix::io::write(to, bytes) {
                Ok(written) => {
                    self.troubled = false;
                    bytes = &bytes[written..];
                }
                Err(Errno::INTR) => {}
                // Whoever started us may have made it so.
                Err(Errno::AGAIN) => _ = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None),
                // Closed, or a terminal that is gone.
                Err(Errno::PIPE | Errno::IO | Errno::BADF) => {
                    self.unread = true;
                    return true;
                }
                // A full disk may be emptied; what it does not take now is lost.
                Err(error) => {
                    if !std::mem::replace(&mut self.troubled, true) && self.to == Stream::Out {
                        let problem = reason(&error.into());
                        let text = format!("pmrun: cannot write to stdout, lines are lost: {problem}\n");
                        let _ = rustix::io::write(err.as_fd(), text.as_bytes());
                    }
                    return false;
                }
            }
        }
        false
    }
}

/// `2>&1`, most likely.
fn same_file(one: impl AsFd, other: impl AsFd) -> bool {
    let file = |fd: BorrowedFd<'_>| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    file(one.as_fd()).is_some_and(|one| file(other.as_fd()) == Some(one))
}

fn watch(epoll: &OwnedFd, fd: &impl AsFd, key: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, fd, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?)
}
