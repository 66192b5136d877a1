//! What apps write, on this process's own stdout and stderr: for `pmrun run`.
//!
//! One thread reads all pipes and writes what has become whole lines. Whoever reads slowly is waited for: the pipes fill,
//! and then the apps wait, as they would if they wrote there themselves. The loop that looks after them never does. When
//! nobody reads any more, what is written is thrown away, and that is told.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll};
use rustix::io::Errno;

use super::frame::Framer;
use crate::base::InstanceId;
use crate::platform::{Tap, reason};

/// Most of what is read of one at a time.
const BLOCK: usize = 64 << 10;
/// What may wait to be said while nobody reads. More is not said.
const WAITING_MAX: usize = 4_096;
const BELL: u64 = 0;

/// Makes of a line what is printed.
pub trait Press: Send {
    /// `line` is without what ended it.
    fn line(&mut self, instance: &InstanceId, error: bool, line: &[u8], pages: &mut Pages);
}

/// What is to be written: whole lines.
#[derive(Debug, Default)]
pub struct Pages {
    pub out: Vec<u8>,
    pub err: Vec<u8>,
}

/// What it has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nobody reads stdout, or stderr, any more.
    Unread,
    /// All that came before its end was asked for is written.
    Written,
}

/// The other end: where the loop hands over what is to be printed.
#[derive(Clone, Debug)]
pub struct Console {
    orders: Sender<Order>,
    /// Said and not written yet.
    waiting: Arc<AtomicUsize>,
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
    pub fn start(press: Box<dyn Press>, told: impl Fn(Heard) + Send + 'static) -> io::Result<Self> {
        let (orders, ordered) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        watch(&epoll, &bell, BELL)?;
        let desk = Desk {
            bell: bell.try_clone()?,
            epoll,
            orders: ordered,
            waiting: Arc::clone(&waiting),
            sources: HashMap::new(),
            next_key: BELL,
            block: vec![0; BLOCK],
            pages: Pages::default(),
            paper: Paper { out: Page::default(), err: Page::default() },
            press,
            told: Box::new(told),
        };
        std::thread::Builder::new().name("console".to_owned()).stack_size(512 << 10).spawn(move || desk.work())?;
        Ok(Self { orders, waiting, bell: Arc::new(bell) })
    }

    /// From now on it is read, until it ends.
    pub fn read(&self, tap: Tap) {
        self.order(Order::Read(tap));
    }

    /// Lines for stderr. Never waits.
    pub fn say(&self, lines: Vec<u8>) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < WAITING_MAX {
            self.order(Order::Say(lines));
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What there is is written, then it is told.
    pub fn end(&self) {
        self.order(Order::End);
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
}

struct Desk {
    bell: OwnedFd,
    epoll: OwnedFd,
    orders: Receiver<Order>,
    waiting: Arc<AtomicUsize>,
    sources: HashMap<u64, Source>,
    next_key: u64,
    block: Vec<u8>,
    pages: Pages,
    paper: Paper,
    press: Box<dyn Press>,
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
                        self.sources.insert(self.next_key, Source { tap, framer: Framer::default() });
                    }
                }
                Order::Say(lines) => {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    self.pages.err.extend(lines);
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
                let Source { tap, framer } = &mut source;
                framer.finish(|line| self.press.line(&tap.instance, tap.error, line, &mut self.pages));
            }
            self.print();
        }
        (self.told)(Heard::Written);
    }

    /// Reads once, so that others get their turn.
    fn turn(&mut self, key: u64) -> Turn {
        let Some(Source { tap, framer }) = self.sources.get_mut(&key) else { return Turn::Nothing };
        let (press, pages) = (&mut self.press, &mut self.pages);
        let mut line = |line: &[u8]| press.line(&tap.instance, tap.error, line, pages);
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
        if self.paper.write(&mut self.pages) {
            (self.told)(Heard::Unread);
        }
    }
}

/// This process's stdout and stderr.
struct Paper {
    out: Page,
    err: Page,
}

#[derive(Default)]
struct Page {
    /// Nobody reads it.
    unread: bool,
    /// It was said that it takes nothing.
    troubled: bool,
}

impl Paper {
    /// Whether nobody reads one of them any more, which is told once.
    fn write(&mut self, pages: &mut Pages) -> bool {
        let (out, err) = (io::stdout(), io::stderr());
        let mut news = self.out.write(out.as_fd(), &pages.out);
        if let Err(problem) = &news {
            pages.err.extend(format!("pmrun: cannot write to stdout, lines are lost: {problem}\n").bytes());
            news = Ok(false);
        }
        let unread = self.err.write(err.as_fd(), &pages.err).unwrap_or(false) || news.unwrap_or(false);
        pages.out.clear();
        pages.err.clear();
        unread
    }
}

impl Page {
    fn write(&mut self, to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<bool, String> {
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
                    return Ok(true);
                }
                // A full disk may be emptied.
                Err(error) => {
                    let news = !std::mem::replace(&mut self.troubled, true);
                    return if news { Err(reason(&error.into())) } else { Ok(false) };
                }
            }
        }
        Ok(false)
    }
}

fn watch(epoll: &OwnedFd, fd: &impl AsFd, key: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, fd, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?)
}
