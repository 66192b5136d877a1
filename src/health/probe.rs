//! One question over the network.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as Connected};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use tokio::net::TcpStream;

use crate::platform::reason;

/// Nobody's status line and headers are longer, with those before them that say that it is on its way; of what comes after them
/// nothing is read.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 100;

/// Who is asked.
#[derive(Debug)]
pub(super) struct Peer<'a> {
    host: &'a str,
    pub(super) port: u16,
}

impl Peer<'_> {
    /// Whether it is this machine by its own name for itself.
    pub(super) fn is_local(&self) -> bool {
        let is_own = |address: IpAddr| address.is_loopback() || address.is_unspecified();
        let bare = bare(self.host);
        bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_own)
    }
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host)
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("`{text}` is no port"))
}

pub(super) fn tcp_peer(address: &str) -> Result<Peer<'_>, String> {
    let (host, number) = address.rsplit_once(':').ok_or_else(|| format!("`{address}` names no port"))?;
    Ok(Peer { host, port: port(number)? })
}

/// Passes when somebody accepts a connection, or has taken this one.
pub(super) async fn tcp(peer: &Peer<'_>, own: Option<OwnedFd>) -> Result<(), String> {
    match own {
        Some(_) => Ok(()),
        None => connect(peer.host, peer.port).await.map(drop),
    }
}

/// The host of a URL as it is written there, with its port, and what follows.
fn parts(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
}

pub(super) fn http_peer(url: &str) -> Result<Peer<'_>, String> {
    let (host, _) = parts(url);
    match host.rsplit_once(':') {
        Some((host, number)) if !number.ends_with(']') => Ok(Peer { host, port: port(number)? }),
        _ => Ok(Peer { host, port: 80 }),
    }
}

/// Passes when the answer's status is from 200 to 399.
pub(super) async fn http(url: &str, own: Option<OwnedFd>) -> Result<(), String> {
    let (host, target) = parts(url);
    let target = target.split('#').next().unwrap_or_default();
    let slash = if target.starts_with('/') { "" } else { "/" };
    let mut stream = if let Some(fd) = own {
        fd.into()
    } else {
        let peer = http_peer(url)?;
        connect(peer.host, peer.port).await?
    };
    let request = format!(
        "GET {slash}{target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pmrun/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut head = Head::default();
    let sent = sent(stream.write(request.as_bytes()))?;
    let mut found = None;
    if sent == request.len() {
        // When all who are asked now have been, some have answered: those need not be watched.
        tokio::task::yield_now().await;
        found = head.status(|part| stream.read(part))?;
    }
    let status = match found {
        Some(status) => status,
        None => awaited(stream, &request.as_bytes()[sent..], head).await?,
    };
    match status {
        200..=399 => Ok(()),
        status => Err(format!("status {status}")),
    }
}

/// The same, of one who takes its time to hear or to answer.
async fn awaited(stream: Connected, mut request: &[u8], mut head: Head) -> Result<u16, String> {
    let stream = TcpStream::from_std(stream).map_err(|error| reason(&error))?;
    while !request.is_empty() {
        stream.writable().await.map_err(|error| reason(&error))?;
        request = &request[sent(stream.try_write(request))?..];
    }
    loop {
        stream.readable().await.map_err(|error| reason(&error))?;
        if let Some(status) = head.status(|part| stream.try_read(part))? {
            return Ok(status);
        }
    }
}

/// How much of it was taken.
fn sent(written: io::Result<usize>) -> Result<usize, String> {
    match written {
        Err(error) if is_later(&error) => Ok(0),
        written => written.map_err(|error| reason(&error)),
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// What has come of an answer.
#[derive(Default)]
struct Head {
    text: Vec<u8>,
    /// With what said that it is on its way.
    bytes: usize,
}

impl Head {
    /// Past those that say that it is on its way; none where more of it is to come. Who sends without end keeps nobody waiting.
    fn status(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Result<Option<u16>, String> {
        let mut part = [0; 4 << 10];
        loop {
            match read(&mut part) {
                Ok(0) => return Err("the connection was closed without an answer".to_owned()),
                Ok(length) => {
                    self.text.extend(&part[..length]);
                    self.bytes += length;
                }
                Err(error) if is_later(&error) => return Ok(None),
                Err(error) => return Err(reason(&error)),
            }
            while !self.text.is_empty() {
                let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
                let mut response = httparse::Response::new(&mut headers);
                match response.parse(&self.text) {
                    Ok(httparse::Status::Complete(length)) => match response.code {
                        Some(100..=199) => drop(self.text.drain(..length)),
                        Some(code) => return Ok(Some(code)),
                        None => return Err("no status in the answer".to_owned()),
                    },
                    Ok(httparse::Status::Partial) => break,
                    Err(_) => return Err("the answer is not HTTP".to_owned()),
                }
            }
            if self.bytes >= HEAD_BYTES_MAX {
                return Err("the answer is not HTTP".to_owned());
            }
        }
    }
}

/// Names other than `localhost` are looked up each time: what they stand for changes.
async fn connect(host: &str, port: u16) -> Result<Connected, String> {
    let bare = bare(host);
    let addresses: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
        Ok(address) => vec![(address, port).into()],
        Err(_) if bare.eq_ignore_ascii_case("localhost") => {
            vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
        }
        Err(_) => {
            let found = tokio::net::lookup_host((bare, port)).await;
            found.map_err(|error| format!("`{bare}` cannot be looked up: {}", reason(&error)))?.collect()
        }
    };
    let mut problem = io::Error::other(format!("`{bare}` has no address"));
    for (index, address) in addresses.into_iter().enumerate() {
        match dial(address).await {
            Ok(stream) => return Ok(stream),
            // That there is no IPv6 is not what is wrong.
            Err(error) if index == 0 => problem = error,
            Err(_) => {}
        }
    }
    Err(reason(&problem).to_lowercase())
}

/// On one machine somebody is there at once, or nobody: the kernel has shaken hands when the call returns, though it says that
/// it is in progress, and another call says how that went. Only what takes its time is waited for.
async fn dial(address: SocketAddr) -> io::Result<Connected> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    let mut called = rustix::net::connect(&socket, &address);
    if called == Err(Errno::INPROGRESS) {
        called = rustix::net::connect(&socket, &address);
    }
    let stream = Connected::from(socket);
    match called {
        Ok(()) | Err(Errno::ISCONN) => Ok(stream),
        Err(Errno::INPROGRESS | Errno::ALREADY | Errno::INTR) => {
            let stream = TcpStream::from_std(stream)?;
            stream.writable().await?;
            stream.take_error()?.map_or(Ok(()), Err)?;
            stream.into_std()
        }
        Err(error) => Err(error.into()),
    }
}
