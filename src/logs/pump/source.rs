use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use jiff::Zoned;

use super::file::LogFile;
use super::form::{Form, Voice};
use crate::logs::frame::Framer;

/// One stream of a process.
pub(super) struct Source {
    pipe: OwnedFd,
    pub(super) id: (u64, u64),
    framer: Framer,
    voice: Voice,
    files: Vec<Rc<RefCell<LogFile>>>,
}

pub(super) enum Turn {
    /// So many bytes; there may be more.
    Read(usize),
    /// Nobody has the other end any more, and everything is written.
    Ended,
}

/// The same for whoever has one of the pipe's ends.
pub(super) fn pipe_id(pipe: &impl AsFd) -> Option<(u64, u64)> {
    rustix::fs::fstat(pipe).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

impl Source {
    pub(super) fn new(
        pipe: OwnedFd,
        id: (u64, u64),
        error: bool,
        form: Rc<Form>,
        files: Vec<Rc<RefCell<LogFile>>>,
    ) -> Self {
        Self { pipe, id, framer: Framer::default(), voice: Voice { form, error }, files }
    }

    /// Reads once, so that others get their turn, and writes what has become complete.
    pub(super) fn read(&mut self, block: &mut [u8], lines: &mut Vec<u8>, now: &Zoned) -> Turn {
        let length = match rustix::io::read(&self.pipe, &mut *block) {
            Ok(length) => length,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Turn::Read(0),
            Err(_) => 0,
        };
        lines.clear();
        let Voice { form, error } = &self.voice;
        let error = *error;
        form.set_time(now);
        if form.raw {
            lines.extend_from_slice(&block[..length]);
        } else if length == 0 {
            self.framer.finish(|line| form.line(line, error, lines));
        } else {
            self.framer.push(&block[..length], |line| form.line(line, error, lines));
        }
        if !lines.is_empty() {
            for file in &self.files {
                file.borrow_mut().append(lines, &self.voice);
            }
        }
        if length == 0 { Turn::Ended } else { Turn::Read(length) }
    }
}
