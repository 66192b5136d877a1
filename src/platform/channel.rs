use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recvmsg, sendmsg, socketpair,
};

use serde_json::Value;

use crate::node::{Answer, Said};

/// A message longer than this is dropped. Only short ones mean something here; an app may send whatever it likes, and
/// the daemon must not grow with it.
const LINE_BYTES_MAX: usize = 1 << 20;
/// What is read at most before others get their turn: what is in it may be a hundred questions, each of which opens a socket.
const TURN_BYTES_MAX: usize = 16 << 10;
/// What waits at most for an app that asks and does not read the answers.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// That a descriptor has arrived: node sends nothing more before it is told.
const ARRIVED: &[u8] = b"{\"cmd\":\"NODE_HANDLE_ACK\"}\n";
/// How a message begins with which a descriptor comes: node sends nothing more before it is told that it has arrived.
const WITH_HANDLE: &[u8] = b"{\"cmd\":\"NODE_HANDLE\",";
/// To what a worker has loaded before its own code (`node::PRELOAD`): it is about to close its servers. Node passes over it.
const DRAINS: &[u8] = b"{\"cmd\":\"NODE_PMRUN_DRAIN\"}\n";
/// What Bun has before messages between it and its parent, and wants before theirs.
const BUN: u8 = 2;

/// Our end of Node's channel: lines of JSON on a stream socket.
#[derive(Debug)]
pub(super) struct Channel {
    fd: OwnedFd,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// The line that is coming is too long: what was to be made of it.
    dropping: Option<Said>,
    /// What the app has not taken yet.
    waiting: VecDeque<Waiting>,
    /// The other end is Bun.
    bun: bool,
}

#[derive(Debug)]
struct Waiting {
    line: Vec<u8>,
    sent: usize,
    /// Goes with the first byte.
    fd: Option<Arc<OwnedFd>>,
}

/// What a read brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Heard {
    /// But for what means nothing.
    pub(super) said: Vec<Said>,
    /// What the app says to whoever listens, where that is wanted.
    pub(super) messages: Vec<Value>,
    pub(super) closed: bool,
}

impl Channel {
    /// Ours and the app's end.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // Not on the pair: node expects its end to block until it says otherwise.
        rustix::io::ioctl_fionbio(&ours, true)?;
        Ok((Self::of(ours), theirs))
    }

    /// One that an earlier daemon had made.
    pub(super) fn of(fd: OwnedFd) -> Self {
        Self { fd, partial: Vec::new(), dropping: None, waiting: VecDeque::new(), bun: false }
    }

    /// Descriptors that come are closed: nobody here has any use for them.
    pub(super) fn read(&mut self, scratch: &mut [u8], heeds: bool) -> Heard {
        let mut heard = Heard::default();
        let mut total = 0;
        while total < TURN_BYTES_MAX {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let parts = &mut [IoSliceMut::new(scratch)];
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            match recvmsg(&self.fd, parts, &mut ancillary, flags).map(|got| got.bytes) {
                Ok(0) => {
                    heard.closed = true;
                    break;
                }
                Ok(length) => {
                    total += length;
                    ancillary.drain().for_each(drop);
                    self.take(&scratch[..length], heeds, &mut heard);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => {
                    heard.closed = true;
                    break;
                }
            }
        }
        heard
    }

    /// False when it could not be said: the app has closed its end, or does not read it.
    pub(super) fn ask_to_shut_down(&mut self, is_worker: bool) -> bool {
        if is_worker {
            self.say(DRAINS.to_vec(), None);
        }
        self.say(b"\"shutdown\"\n".to_vec(), None) && self.waiting.is_empty()
    }

    /// A message for the app itself. False when it could not be said.
    pub(super) fn tell(&mut self, message: &Value) -> bool {
        let mut line = message.to_string().into_bytes();
        line.push(b'\n');
        self.answer(Answer { line, fd: None })
    }

    /// False when it could not be said.
    pub(super) fn answer(&mut self, answer: Answer<Arc<OwnedFd>>) -> bool {
        let Answer { mut line, fd } = answer;
        if self.bun {
            line.insert(0, BUN);
        }
        self.say(line, fd)
    }

    /// The descriptor that came with a message has arrived.
    pub(super) fn acknowledge(&mut self) {
        let _ = self.answer(Answer { line: ARRIVED.to_vec(), fd: None });
    }

    /// Sends what waits, as far as the app takes it.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(next) = self.waiting.front_mut() {
            let fds: Vec<BorrowedFd<'_>> = next.fd.iter().map(|fd| fd.as_fd()).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(&fds));
            }
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(&self.fd, &[IoSlice::new(&next.line[next.sent..])], &mut ancillary, flags) {
                Ok(sent) => {
                    next.sent += sent;
                    next.fd = None;
                    if next.sent >= next.line.len() {
                        self.waiting.pop_front();
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                // Too many descriptors are on their way: they are taken one by one.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::TOOMANYREFS) => return true,
                Err(_) => {
                    self.waiting.clear();
                    return false;
                }
            }
        }
        true
    }

    /// Whether there is something that the app has not taken yet.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn say(&mut self, line: Vec<u8>, fd: Option<Arc<OwnedFd>>) -> bool {
        let size: usize = self.waiting.iter().map(|waiting| waiting.line.len()).sum();
        if size + line.len() > WAITING_BYTES_MAX {
            return false;
        }
        self.waiting.push_back(Waiting { line, sent: 0, fd });
        self.flush()
    }

    fn take(&mut self, mut bytes: &[u8], heeds: bool, heard: &mut Heard) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if let Some(said) = self.dropping.take() {
                heard.said.extend(Some(said).filter(|said| *said != Said::Other));
                continue;
            }
            if self.partial.is_empty() {
                self.bun |= line.first() == Some(&BUN);
                heard.take(line, heeds);
            } else {
                self.partial.extend_from_slice(line);
                self.bun |= self.partial.first() == Some(&BUN);
                heard.take(&self.partial, heeds);
                self.partial = Vec::new();
            }
        }
        if self.dropping.is_some() {
            return;
        }
        if self.partial.len() + bytes.len() > LINE_BYTES_MAX {
            let before = std::mem::take(&mut self.partial);
            let is_handle = before.iter().chain(bytes).zip(WITH_HANDLE).all(|(byte, want)| byte == want);
            self.dropping = Some(if is_handle { Said::Handle } else { Said::Other });
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Heard {
    fn take(&mut self, line: &[u8], heeds: bool) {
        self.said.extend(Some(Said::of(line)).filter(|said| *said != Said::Other));
        if heeds {
            self.messages.extend(Said::message(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_string_ready_on_a_line_of_its_own_means_ready() {
        let long = format!("\"{}\"\n\"ready\"\n", "x".repeat(2 * LINE_BYTES_MAX));
        let never = format!("\"{}\"\n", "ready".repeat(LINE_BYTES_MAX / 3));
        let table: [(&str, bool); 11] = [
            ("\"ready\"\n", true),
            ("\"ready\"\r\n", true),
            ("{\"a\":1}\n\"ready\"\n", true),
            ("\"ready\"", false),
            ("ready\n", false),
            ("{\"x\":\"ready\"}\n", false),
            ("\"not ready\"\n", false),
            ("\n\n\n", false),
            ("", false),
            (&long, true),
            (&never, false),
        ];
        for (text, want) in table {
            for chunk in [1_usize, 7, 65_536] {
                if text.len() > 100_000 && chunk < 1_000 {
                    continue;
                }
                let (mut channel, _other) = Channel::pair().unwrap();
                let mut heard = Heard::default();
                text.as_bytes().chunks(chunk).for_each(|bytes| channel.take(bytes, false, &mut heard));
                assert_eq!(heard.said.contains(&Said::Ready), want, "{:?} by {chunk}", &text[..text.len().min(40)]);
                assert!(channel.partial.len() <= LINE_BYTES_MAX);
                assert!(!heard.said.contains(&Said::Handle));
            }
        }
        let handle = format!("{{\"cmd\":\"NODE_HANDLE\",\"msg\":\"{}\"}}\n", "x".repeat(2 * LINE_BYTES_MAX));
        let (mut channel, _other) = Channel::pair().unwrap();
        let mut heard = Heard::default();
        handle.as_bytes().chunks(65_536).for_each(|bytes| channel.take(bytes, false, &mut heard));
        assert_eq!(heard.said, [Said::Handle], "whatever it is about, its sender waits");
    }

    #[test]
    fn the_end_of_the_other_side_is_heard_and_speaking_into_it_fails_quietly() {
        let (mut channel, other) = Channel::pair().unwrap();
        let mut scratch = [0; 64];
        assert_eq!(channel.read(&mut scratch, false), Heard::default());
        assert!(channel.ask_to_shut_down(false));
        rustix::io::write(&other, b"\"ready\"\n").unwrap();
        drop(other);
        assert_eq!(
            channel.read(&mut scratch, false),
            Heard { said: vec![Said::Ready], closed: true, ..Heard::default() }
        );
        assert!(!channel.ask_to_shut_down(false));
    }
}
