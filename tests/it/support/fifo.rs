//! Where apps report: a line each, written by `fixtures/apps`. Reading blocks until one comes.

use std::io::{ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;

use super::procs;

pub(crate) struct Fifo {
    pub path: PathBuf,
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Fifo {
    pub(crate) const BOUND: Duration = Duration::from_secs(20);

    pub(crate) fn new(path: &Path) -> Self {
        nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o600)).expect("mkfifo");
        let file = std::fs::OpenOptions::new();
        Self { path: path.to_owned(), fd: open(file, path), buffer: Vec::new() }
    }

    /// The next line, within the usual bound.
    pub(crate) fn line(&mut self) -> String {
        self.line_within(Self::BOUND).unwrap_or_else(|| panic!("nothing came through `{}`", self.path.display()))
    }

    pub(crate) fn line_within(&mut self, bound: Duration) -> Option<String> {
        let deadline = Instant::now() + bound;
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if !procs::wait_readable(&self.fd, deadline) {
                return None;
            }
            self.fill();
        }
    }

    /// Lines until one begins with this word; that one.
    pub(crate) fn line_of(&mut self, word: &str) -> String {
        loop {
            let line = self.line();
            if line.split(' ').next() == Some(word) {
                return line;
            }
        }
    }

    /// The pid in the next line of an instance: `name:slot pid ...`.
    pub(crate) fn pid_of(&mut self, instance: &str) -> u32 {
        let line = self.line_of(instance);
        line.split(' ').nth(1).and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("no pid in `{line}`"))
    }

    /// Everything that has come and was not read.
    pub(crate) fn pending(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line_within(Duration::ZERO) {
            lines.push(line);
        }
        lines
    }

    fn fill(&mut self) {
        let mut file = std::fs::File::from(self.fd.try_clone().expect("dup"));
        let mut chunk = [0; 4096];
        match file.read(&mut chunk) {
            Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("`{}`: {error}", self.path.display()),
        }
    }
}

/// Open for both, so that it never ends and writers never block for want of a reader.
fn open(mut options: std::fs::OpenOptions, path: &Path) -> OwnedFd {
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    options.read(true).write(true).custom_flags(flags).open(path).expect("FIFO").into()
}
