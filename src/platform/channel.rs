use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

/// A message longer than this is dropped. Only a short string means something here; an app may send whatever it
/// likes, and the daemon must not grow with it.
const LINE_BYTES_MAX: usize = 1 << 20;
/// What is read at most before others get their turn.
const TURN_BYTES_MAX: usize = 256 << 10;

/// Our end of Node's channel: lines of JSON on a stream socket.
#[derive(Debug)]
pub(super) struct Channel {
    fd: OwnedFd,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// The line that is coming is too long.
    dropping: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) ready: bool,
    pub(super) closed: bool,
}

impl Channel {
    /// Ours and the app's end.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // Not on the pair: node expects its end to block until it says otherwise.
        rustix::io::ioctl_fionbio(&ours, true)?;
        Ok((Self { fd: ours, partial: Vec::new(), dropping: false }, theirs))
    }

    /// One that an earlier daemon had made.
    pub(super) fn of(fd: OwnedFd) -> Self {
        Self { fd, partial: Vec::new(), dropping: false }
    }

    pub(super) fn read(&mut self, scratch: &mut [u8]) -> Heard {
        let mut heard = Heard::default();
        let mut total = 0;
        while total < TURN_BYTES_MAX {
            match recv(&self.fd, &mut *scratch, RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    heard.closed = true;
                    break;
                }
                Ok((length, _)) => {
                    total += length;
                    heard.ready |= self.take(&scratch[..length]);
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
    pub(super) fn ask_to_shut_down(&self) -> bool {
        let message = b"\"shutdown\"\n";
        send(&self.fd, message, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok_and(|sent| sent == message.len())
    }

    fn take(&mut self, mut bytes: &[u8]) -> bool {
        let mut ready = false;
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if std::mem::take(&mut self.dropping) {
                continue;
            }
            if self.partial.is_empty() {
                ready |= says_ready(line);
            } else {
                self.partial.extend_from_slice(line);
                ready |= says_ready(&self.partial);
                self.partial = Vec::new();
            }
        }
        if self.partial.len() + bytes.len() > LINE_BYTES_MAX {
            self.partial = Vec::new();
            self.dropping = true;
        } else if !self.dropping {
            self.partial.extend_from_slice(bytes);
        }
        ready
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn says_ready(line: &[u8]) -> bool {
    line.trim_ascii() == b"\"ready\""
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
                let ready = text.as_bytes().chunks(chunk).fold(false, |ready, bytes| channel.take(bytes) | ready);
                assert_eq!(ready, want, "{:?} by {chunk}", &text[..text.len().min(40)]);
                assert!(channel.partial.len() <= LINE_BYTES_MAX);
            }
        }
    }

    #[test]
    fn the_end_of_the_other_side_is_heard_and_speaking_into_it_fails_quietly() {
        let (mut channel, other) = Channel::pair().unwrap();
        let mut scratch = [0; 64];
        assert_eq!(channel.read(&mut scratch), Heard::default());
        assert!(channel.ask_to_shut_down());
        rustix::io::write(&other, b"\"ready\"\n").unwrap();
        drop(other);
        assert_eq!(channel.read(&mut scratch), Heard { ready: true, closed: true });
        assert!(!channel.ask_to_shut_down());
    }
}
