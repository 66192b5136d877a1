//! Sockets that apps listen on and that stay open while they are started anew.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, shutdown, socket_with,
    sockopt,
};

use super::account::Account;
use super::sys;
use crate::node::{Endpoint, Family, Query, Steering};

/// How many connections may wait for an app to accept them: as systemd's sockets, less where the system has a lower limit.
const BACKLOG: u32 = 4_096;

/// Opens what a worker asks for; `beside` says that the same app has the same already, in another slot.
///
/// Errors are the system's numbers, for the worker: it fails as if it had tried itself.
pub(super) fn open(
    query: &Query,
    endpoint: &Endpoint,
    beside: bool,
    account: Option<&Account>,
) -> Result<Arc<OwnedFd>, i32> {
    let opened = match endpoint.family {
        Family::Unix => open_unix(query, endpoint, beside, account),
        Family::Tcp4 | Family::Tcp6 => open_tcp(query, endpoint, beside),
        Family::Udp4 | Family::Udp6 => open_udp(endpoint),
    };
    opened.map(Arc::new).map_err(Errno::raw_os_error)
}

/// Opens what an app is to be given: its answers are not held back for more to come, which costs tens of milliseconds where
/// both sides wait for each other (TCP_NODELAY, which accepted connections inherit: tcp(7)).
pub(super) fn open_listener(endpoint: &Endpoint, beside: bool, account: Option<&Account>) -> Result<Arc<OwnedFd>, i32> {
    let query = Query {
        seq: 0,
        endpoint: Some(endpoint.clone()),
        fd: None,
        index: 0,
        backlog: BACKLOG,
        readable_all: false,
        writable_all: false,
        data: None,
    };
    let opened = open(&query, endpoint, beside, account)?;
    let prepare = || -> Result<(), Errno> {
        if matches!(endpoint.family, Family::Tcp4 | Family::Tcp6) {
            sockopt::set_tcp_nodelay(&opened, true)?;
        }
        // Most who are given one expect it to wait, as systemd's do.
        rustix::io::ioctl_fionbio(&opened, false)
    };
    prepare().map_err(Errno::raw_os_error)?;
    Ok(opened)
}

/// Nobody can connect any more, whoever else has the socket open: the keeper lets go of it only later.
pub(super) fn close(fd: &OwnedFd, endpoint: &Endpoint) {
    let _ = shutdown(fd, Shutdown::Both);
    let Some(path) = endpoint.address.as_deref().filter(|_| endpoint.family == Family::Unix) else { return };
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    // Whoever has made it anew meanwhile listens on it.
    if is_socket && !is_served(path) {
        let _ = std::fs::remove_file(path);
    }
}

/// From now on nobody begins to connect there; who has begun is still taken. Whoever tries is not answered, and asks again
/// after a second, by when another socket may be there for it.
///
/// # Errors
/// The system's.
pub(super) fn take_no_new(fd: &OwnedFd) -> io::Result<()> {
    sys::drop_segments(fd.as_fd(), TCP_FLAGS_AT, TCP_SYN)
}

/// From now on the system gives those who connect to some of the sockets of a port: to all of them as it does by itself, else
/// by chance.
///
/// # Errors
/// The system's: then it is as it was.
pub(super) fn steer(steering: &Steering<Arc<OwnedFd>>) -> io::Result<()> {
    if steering.is_none() {
        return sys::choose_as_ever(steering.fd.as_fd());
    }
    sys::choose_among(steering.fd.as_fd(), &steering.open)
}

/// As [`steer`], for a moment in which another socket is about to begin to listen there, and is to be given nobody.
///
/// # Errors
/// As there.
pub(super) fn steer_past_the_next(steering: &Steering<Arc<OwnedFd>>) -> io::Result<()> {
    sys::choose_among(steering.fd.as_fd(), &steering.open)
}

/// Whether somebody has connected whom nobody has accepted yet.
pub(super) fn is_waited_at(fd: &OwnedFd) -> bool {
    sys::waiting_to_be_accepted(fd.as_fd()).is_ok_and(|waiting| waiting > 0)
}

/// Whether its connections are of IPv6, those of IPv4 among them.
pub(super) fn is_ipv6(fd: &OwnedFd) -> bool {
    sockopt::socket_domain(fd).is_ok_and(|family| family == AddressFamily::INET6)
}

/// Where a segment has its flags, and that of who begins (RFC 9293, section 3.1).
const TCP_FLAGS_AT: u32 = 13;
const TCP_SYN: u32 = 0b10;

fn open_tcp(query: &Query, endpoint: &Endpoint, beside: bool) -> Result<OwnedFd, Errno> {
    either(endpoint, |address| {
        // With SO_REUSEPORT a stranger who has it too would be joined silently, and take part of the connections.
        if !beside && address.port() != 0 {
            bound(address, SocketType::STREAM, endpoint, |fd| sockopt::set_socket_reuseaddr(fd, true))?;
        }
        let fd = bound(address, SocketType::STREAM, endpoint, |fd| {
            sockopt::set_socket_reuseaddr(fd, true)?;
            sockopt::set_socket_reuseport(fd, true)
        })?;
        listen(&fd, i32::try_from(query.backlog).unwrap_or(i32::MAX))?;
        Ok(fd)
    })
}

fn open_udp(endpoint: &Endpoint) -> Result<OwnedFd, Errno> {
    either(endpoint, |address| {
        bound(address, SocketType::DGRAM, endpoint, |fd| {
            if endpoint.reuse_address { sockopt::set_socket_reuseaddr(fd, true) } else { Ok(()) }
        })
    })
}

/// As node: any address is all of IPv6 with IPv4 beside it, and all of IPv4 where there is no IPv6.
fn either(endpoint: &Endpoint, open: impl Fn(SocketAddr) -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    match &endpoint.address {
        Some(address) => {
            let address: IpAddr = address.parse().map_err(|_| Errno::INVAL)?;
            open(SocketAddr::new(address, endpoint.port))
        }
        None if endpoint.family == Family::Udp4 => open((Ipv4Addr::UNSPECIFIED, endpoint.port).into()),
        None => match open((Ipv6Addr::UNSPECIFIED, endpoint.port).into()) {
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if endpoint.family == Family::Tcp4 => {
                open((Ipv4Addr::UNSPECIFIED, endpoint.port).into())
            }
            opened => opened,
        },
    }
}

fn bound(
    address: SocketAddr,
    kind: SocketType,
    endpoint: &Endpoint,
    prepare: impl Fn(&OwnedFd) -> Result<(), Errno>,
) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let fd = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, endpoint.ipv6_only)?;
    }
    prepare(&fd)?;
    bind(&fd, &address)?;
    Ok(fd)
}

fn open_unix(query: &Query, endpoint: &Endpoint, beside: bool, account: Option<&Account>) -> Result<OwnedFd, Errno> {
    let path = endpoint.address.as_deref().ok_or(Errno::INVAL)?;
    let open = || -> io::Result<OwnedFd> {
        let fd =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        let address = SocketAddrUnix::new(path)?;
        match bind(&fd, &address) {
            // What an app leaves that was killed; or what one listens on that is to be relieved, and does so until it ends.
            Err(Errno::ADDRINUSE) if beside || is_left(path) => {
                std::fs::remove_file(path)?;
                bind(&fd, &address)?;
            }
            bound => bound?,
        }
        if query.readable_all || query.writable_all {
            let mode = std::fs::metadata(path)?.permissions().mode();
            let more = if query.readable_all { 0o444 } else { 0 } | if query.writable_all { 0o222 } else { 0 };
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode | more))?;
        }
        listen(&fd, i32::try_from(query.backlog).unwrap_or(i32::MAX))?;
        Ok(fd)
    };
    // With the rights of the app: a worker gets no file where it could not make one itself.
    let opened = match account {
        Some(account) => account.lend(open),
        None => open(),
    };
    opened.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}

/// A socket's file behind which nobody listens.
fn is_left(path: &str) -> bool {
    let is_socket = std::fs::symlink_metadata(Path::new(path)).is_ok_and(|file| file.file_type().is_socket());
    is_socket && !is_served(path)
}

fn is_served(path: &str) -> bool {
    let try_it = || -> Result<(), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&fd, &SocketAddrUnix::new(path)?)
    };
    // Whatever else the system says to it, somebody may be there.
    !matches!(try_it(), Err(Errno::CONNREFUSED | Errno::NOENT))
}

/// A number for where a connection comes from: its address, without the port.
pub(super) fn origin(fd: &OwnedFd) -> u64 {
    let address = rustix::net::getpeername(fd).ok().flatten();
    match address.and_then(|address| SocketAddr::try_from(address).ok()).map(|address| address.ip().to_canonical()) {
        Some(IpAddr::V4(address)) => u64::from(address.to_bits()),
        Some(IpAddr::V6(address)) => {
            let bits = address.to_bits();
            // Whoever has one address of a network has all of it.
            u64::try_from(bits >> 64).unwrap_or(0)
        }
        None => 0,
    }
}

/// Whether who has connected to a socket, and is not accepted when it is closed, is given to another that listens beside it
/// (`tcp_migrate_req` in the kernel's ip-sysctl; from Linux 5.14 on).
#[must_use]
pub fn migrates_requests() -> bool {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req").is_ok_and(|text| text.trim() != "0")
}

/// The two ends of a connection within this machine: the one who connects, and the other. Both do not block.
///
/// # Errors
/// The system's.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let stream = || socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
    let listener = stream()?;
    bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    listen(&listener, 1)?;
    let near = stream()?;
    // Within a machine it is there when this returns, though that says that it is in progress.
    match connect(&near, &rustix::net::getsockname(&listener)?) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let own = rustix::net::getsockname(&near)?;
    // Anybody may connect to a port of this machine.
    for far in pending(&listener, usize::MAX).0 {
        if rustix::net::getpeername(&far)? == Some(own.clone()) {
            return Ok((near, far));
        }
    }
    Err(io::Error::from(io::ErrorKind::ConnectionAborted))
}

/// Those who wait on a socket for somebody to accept them, `most` at a time, and whether others can follow.
pub(super) fn pending(fd: &OwnedFd, most: usize) -> (Vec<OwnedFd>, bool) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let mut found = Vec::new();
    while found.len() < most.min(PENDING_MAX) {
        match rustix::net::accept_with(fd, flags) {
            Ok(connection) => found.push(connection),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            // Where there are no descriptors left they wait.
            Err(error) => return (found, error == Errno::AGAIN),
        }
    }
    (found, true)
}

/// No backlog is longer that an app asks for.
const PENDING_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_gives_who_connects_to_whom_it_is_told() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let endpoint = Endpoint { port: free.port(), ..Endpoint::new(Family::Tcp4, Some("127.0.0.1".to_owned())) };
        let mut all: Vec<_> = (0..3).map(|number| open_listener(&endpoint, number > 0, None).unwrap()).collect();
        // So that it ends when all are taken.
        for fd in &all {
            rustix::io::ioctl_fionbio(&**fd, true).unwrap();
        }
        let came = |all: &[Arc<OwnedFd>]| -> Vec<usize> {
            let clients: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(free).unwrap()).collect();
            let waited: Vec<bool> = all.iter().map(|fd| is_waited_at(fd)).collect();
            let counts: Vec<usize> = all.iter().map(|fd| pending(fd, usize::MAX).0.len()).collect();
            assert_eq!(waited, counts.iter().map(|count| *count > 0).collect::<Vec<_>>());
            drop(clients);
            counts
        };
        let to = |all: &[Arc<OwnedFd>], open: &[u32]| {
            let steering =
                Steering { endpoint: endpoint.clone(), fd: all[0].clone(), open: open.to_vec(), of: all.len() };
            steer(&steering).unwrap();
        };
        to(&all, &[1]);
        assert_eq!(came(&all), [0, 40, 0]);
        // As where a program cannot be taken away.
        to(&all, &[1]);
        sys::choose_none(all[0].as_fd()).unwrap();
        let counts = came(&all);
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        to(&all, &[0, 2]);
        let counts = came(&all);
        assert!(counts[0] > 0 && counts[1] == 0 && counts[2] > 0, "{counts:?}");
        // The last takes the place of one that is closed.
        let closed = all.swap_remove(0);
        close(&closed, &endpoint);
        to(&all, &[0]);
        assert_eq!(came(&all), [40, 0]);
        to(&all, &[0, 1]);
        let counts = came(&all);
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    }

    #[test]
    fn a_pair_is_two_ends_of_one_connection() {
        let (near, far) = pair().unwrap();
        rustix::io::write(&near, b"asked").unwrap();
        let mut bytes = [0; 8];
        assert_eq!(rustix::io::read(&far, &mut bytes).map(|count| bytes[..count].to_vec()), Ok(b"asked".to_vec()));
        assert_eq!(rustix::io::read(&far, &mut [0; 8]), Err(Errno::AGAIN), "it does not block");
        drop(far);
        assert_eq!(rustix::io::read(&near, &mut [0; 8]), Ok(0));
    }
}
