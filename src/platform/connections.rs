//! Connections that processes have accepted and not answered yet, as the kernel knows them (sock_diag(7)).
//!
//! Nothing of what is said on them is looked at: whether something has come and not been read, or read and not answered, the
//! kernel counts by itself.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

use super::brood::children;
use super::sys::is_readable;

/// Who has connected and says nothing for so long is not about to ask something.
const SILENCE_MS: u32 = 300;
/// What came in the same tick as the last answer went may be another request, behind it. After so long it is held for the one
/// that was answered.
const SAME_TICK_MS: u32 = 1_000;
/// The kernel answers at once, or never.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);
/// What it tells at a time, at most.
const ANSWER_BYTES: usize = 64 << 10;
/// No app has more processes that are looked at.
const PROCESSES_MAX: usize = 4_096;

/// A connection, as far as it concerns whether somebody waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection {
    /// 0: nobody has accepted it.
    inode: u32,
    /// Bytes that have come and were not read, and that were written and have not arrived.
    unread: u32,
    unsent: u32,
    traffic: Option<Traffic>,
}

/// By `tcp_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Traffic {
    sent_ms_ago: u32,
    received_ms_ago: u32,
    segments_received: u32,
    segments_sent: u32,
}

impl Connection {
    /// Whether somebody waits for an answer on it, or is about to: what is kept open between requests does not count.
    fn is_busy(&self) -> bool {
        let waits = |traffic: Traffic| match (traffic.segments_received, traffic.segments_sent) {
            (0, 0) => traffic.received_ms_ago < SILENCE_MS,
            (_, 0) => true,
            _ if traffic.received_ms_ago == traffic.sent_ms_ago => traffic.received_ms_ago < SAME_TICK_MS,
            _ => traffic.received_ms_ago < traffic.sent_ms_ago,
        };
        self.inode != 0 && (self.unread > 0 || self.unsent > 0 || self.traffic.is_some_and(waits))
    }
}

/// The sockets of a port, by their numbers, on which somebody waits for an answer, whoever has them.
///
/// # Errors
/// Where the kernel does not say.
pub(super) fn busy(port: u16, ipv6: bool) -> io::Result<BTreeSet<u32>> {
    Ok(connections(port, ipv6)?.iter().filter(|it| it.is_busy()).map(|it| it.inode).collect())
}

/// Whether a process, or one that it has started, has one of some sockets open.
pub(super) fn has_any(pid: u32, these: &BTreeSet<u32>) -> bool {
    !these.is_empty() && is_any(pid, |pid| sockets(pid).any(|inode| these.contains(&inode)))
}

/// Whether a process, or one that it has started, has a socket open; true where that cannot be seen.
pub(super) fn has_socket(pid: u32, socket: &OwnedFd) -> bool {
    let Ok(stat) = rustix::fs::fstat(socket) else { return true };
    let mut is_seen = false;
    let is_found = is_any(pid, |pid| {
        let mut all = sockets(pid).inspect(|_| is_seen = true);
        all.any(|inode| u64::from(inode) == stat.st_ino)
    });
    is_found || !is_seen
}

/// Whether something holds of a process or of one that it has started.
fn is_any(pid: u32, mut it_is: impl FnMut(u32) -> bool) -> bool {
    let mut processes = vec![pid];
    let mut at = 0;
    while let Some(pid) = processes.get(at).copied().filter(|_| processes.len() < PROCESSES_MAX) {
        if it_is(pid) {
            return true;
        }
        processes.extend(children(pid));
        at += 1;
    }
    false
}

/// The numbers of those that a process has open.
fn sockets(pid: u32) -> impl Iterator<Item = u32> {
    open_sockets(pid).map(|(_, inode)| inode)
}

/// The descriptors by which a process has sockets open, the first it has opened mostly first.
pub(super) fn sockets_of(pid: u32) -> impl Iterator<Item = i32> {
    open_sockets(pid).filter_map(|(descriptor, _)| descriptor.parse().ok())
}

/// By their descriptors.
fn open_sockets(pid: u32) -> impl Iterator<Item = (String, u32)> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
        Some((entry.file_name().into_string().ok()?, inode))
    })
}

/// Those of a local port, established or half closed by the other side.
fn connections(port: u16, ipv6: bool) -> io::Result<Vec<Connection>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    send(&socket, &question(port, ipv6), SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0; ANSWER_BYTES];
    loop {
        if !is_readable(socket.as_fd(), PATIENCE) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let (_, length) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        if take(buffer.get(..length).unwrap_or_default(), &mut found)? {
            return Ok(found);
        }
    }
}

/// `nlmsghdr` and `inet_diag_req_v2` (linux/netlink.h, linux/inet_diag.h), for all of one port.
fn question(port: u16, ipv6: bool) -> Vec<u8> {
    const BY_FAMILY: u16 = 20;
    const REQUEST_DUMP: u16 = 0x301;
    const INFO: u8 = 1 << (INET_DIAG_INFO - 1);
    const ESTABLISHED: u32 = 1 << 1;
    const CLOSE_WAIT: u32 = 1 << 8;
    const LENGTH: u32 = 72;
    let family: u8 = if ipv6 { 10 } else { 2 };
    let tcp: u8 = 6;
    let mut bytes = Vec::with_capacity(72);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_DUMP.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, tcp, INFO, 0]);
    bytes.extend((ESTABLISHED | CLOSE_WAIT).to_ne_bytes());
    // Its own port in the order of the network; any other, any address, any interface, no cookie.
    bytes.extend(port.to_be_bytes());
    bytes.extend([0; 2 + 32 + 4]);
    bytes.extend([0xff; 8]);
    bytes
}

const INET_DIAG_INFO: u16 = 2;

/// Reads what the kernel answers; true when that was all.
fn take(mut answer: &[u8], found: &mut Vec<Connection>) -> io::Result<bool> {
    const DONE: u16 = 3;
    const ERROR: u16 = 2;
    const HEADER: usize = 16;
    while let (Some(length), Some(kind)) = (u32_at(answer, 0), u16_at(answer, 4)) {
        match kind {
            DONE => return Ok(true),
            ERROR => {
                let errno = u32_at(answer, HEADER).map_or(0, u32::cast_signed);
                return Err(io::Error::from_raw_os_error(errno.saturating_abs()));
            }
            _ => {}
        }
        let length = usize::try_from(length).unwrap_or(0);
        let message = answer.get(HEADER..length).ok_or(io::ErrorKind::InvalidData)?;
        found.extend(connection(message));
        answer = answer.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

/// `inet_diag_msg`, with what follows it.
fn connection(message: &[u8]) -> Option<Connection> {
    const LENGTH: usize = 72;
    let mut attributes = message.get(LENGTH..)?;
    let mut traffic = None;
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length).max(4);
        if kind == INET_DIAG_INFO {
            traffic = attributes.get(4..length).and_then(self::traffic);
        }
        attributes = attributes.get(aligned(length)..).unwrap_or_default();
    }
    Some(Connection {
        unread: u32_at(message, 56)?,
        unsent: u32_at(message, 60)?,
        inode: u32_at(message, 68)?,
        traffic,
    })
}

/// `tcp_info` (linux/tcp.h), as of Linux 4.6.
fn traffic(info: &[u8]) -> Option<Traffic> {
    Some(Traffic {
        sent_ms_ago: u32_at(info, 44)?,
        received_ms_ago: u32_at(info, 52)?,
        segments_received: u32_at(info, 152)?,
        segments_sent: u32_at(info, 156)?,
    })
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn who_waits_for_an_answer_is_known_from_who_only_stays() {
        let traffic = |received, sent, segments_received, segments_sent| {
            Some(Traffic { received_ms_ago: received, sent_ms_ago: sent, segments_received, segments_sent })
        };
        let connection = Connection { inode: 1, unread: 0, unsent: 0, traffic: None };
        let cases = [
            ("it has just connected", traffic(SILENCE_MS - 1, 5, 0, 0), true),
            ("it is opened for later", traffic(SILENCE_MS, 5, 0, 0), false),
            ("it was never answered", traffic(9_000, 9_000, 1, 0), true),
            ("it was answered", traffic(5, 1, 1, 1), false),
            ("it may have asked again at once", traffic(5, 5, 1, 1), true),
            ("it was answered at once", traffic(SAME_TICK_MS, SAME_TICK_MS, 1, 1), false),
            ("it has asked again", traffic(1, 5, 2, 1), true),
            ("the server speaks first", traffic(5, 1, 0, 1), false),
            ("nothing is known", None, false),
        ];
        for (what, traffic, busy) in cases {
            assert_eq!(Connection { traffic, ..connection }.is_busy(), busy, "{what}");
        }
        assert!(Connection { unread: 1, ..connection }.is_busy() && Connection { unsent: 1, ..connection }.is_busy());
        assert!(!Connection { inode: 0, unread: 1, ..connection }.is_busy());
    }

    #[test]
    fn what_is_cut_off_or_is_no_answer_is_none() {
        let mut found = Vec::new();
        assert!(!take(&[], &mut found).unwrap() && !take(&[1, 2, 3], &mut found).unwrap());
        assert!(take(&[200, 0, 0, 0, 20, 0, 0, 0, 0, 0], &mut found).is_err());
        assert!(take(&[20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255], &mut found).is_err());
        assert_eq!((connection(&[0; 71]), found), (None, vec![]));
        assert_eq!(connection(&[0; 75]).and_then(|it| it.traffic), None);
    }

    #[test]
    fn the_kernel_says_who_waits() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let local = listener.local_addr().unwrap();
            let has_busy = || has_any(std::process::id(), &busy(local.port(), local.is_ipv6()).unwrap());
            assert!(!has_busy());
            let mut client = TcpStream::connect(local).unwrap();
            assert!(!has_busy(), "nobody has accepted it");
            let (mut server, _) = listener.accept().unwrap();
            client.write_all(b"asked").unwrap();
            assert!(has_busy(), "it is not read");
            server.read_exact(&mut [0; 5]).unwrap();
            assert!(has_busy(), "it is not answered");
            server.write_all(b"answer").unwrap();
            client.read_exact(&mut [0; 6]).unwrap();
            drop(client);
            drop(server);
            assert!(!has_busy());
            let listening: OwnedFd = listener.into();
            assert!(has_socket(std::process::id(), &listening));
            // Of one without sockets nothing is seen.
            let mut child =
                std::process::Command::new("sleep").arg("9").stdin(std::process::Stdio::piped()).spawn().unwrap();
            let ours = std::net::TcpListener::bind(address).unwrap();
            assert!(!has_any(child.id(), &BTreeSet::from([1])) && has_socket(child.id(), &ours.into()));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
