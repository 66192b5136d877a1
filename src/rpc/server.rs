//! The daemon's end of the control socket.
//!
//! One task a connection: it reads one call, hands it over, and writes whatever answers come back until the last one,
//! the other end's hang-up, or until so much waits for a slow reader that it is cut off.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, WeakSender, unbounded_channel};

use super::client::SOCKET;
use super::frame;
use super::wire::{Answer, Call, NOT_UNDERSTOOD, PROTOCOL};
use crate::platform::short_address;

/// What may wait for a reader that does not read. The daemon must not grow with it.
const WAITING_BYTES_MAX: u64 = 64 << 20;

/// A connection, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// What clients do.
#[derive(Debug)]
pub enum FromClient {
    Call {
        client: ConnectionId,
        call: Box<Call>,
        replies: Replies,
    },
    /// It takes its call back, and still listens.
    Cancel {
        client: ConnectionId,
    },
    Gone {
        client: ConnectionId,
    },
}

/// Where the answers to one call go.
#[derive(Clone, Debug)]
pub struct Replies {
    frames: UnboundedSender<Outgoing>,
    waiting: Arc<AtomicU64>,
    cut: Arc<Notify>,
}

#[derive(Debug)]
struct Outgoing {
    frame: Vec<u8>,
    last: bool,
}

/// The listening socket. Dropping it stops new connections; those that are open go on.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    /// Given up for a moment when no more files may be opened, so that a command can still get in.
    spare: Option<OwnedFd>,
    clients: Arc<AtomicU64>,
}

impl Replies {
    /// False when the client is to be given up: it is gone, or reads too slowly.
    #[must_use]
    pub fn send(&self, answer: &Answer, last: bool) -> bool {
        let frame = frame::encode(answer).or_else(|error| frame::encode(&problem(error.to_string())));
        let Ok(frame) = frame else { return false };
        let bytes = frame.len() as u64;
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes > WAITING_BYTES_MAX {
            self.cut.notify_one();
            return false;
        }
        self.frames.send(Outgoing { frame, last }).is_ok()
    }
}

impl Server {
    /// Listens in `home`, for this user alone; what an ended daemon left there is replaced. The caller holds
    /// `daemon.lock`, so there is no other.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(home: &Path) -> io::Result<Self> {
        let path = home.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (address, _folder) = short_address(home, SOCKET)?;
        // The socket must not exist with other permissions for even a moment.
        let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = std::os::unix::net::UnixListener::bind(address);
        rustix::process::umask(umask);
        let listener = bound?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, spare: spare(), clients: Arc::default() })
    }

    /// Goes on listening at what an earlier program in this process has left.
    ///
    /// # Errors
    /// The system's.
    pub fn go_on(listener: OwnedFd) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::from(listener);
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, spare: spare(), clients: Arc::default() })
    }

    /// How many have connected.
    #[must_use]
    pub fn clients(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.clients)
    }

    /// Goes on counting them where another has left off, whose connections go on.
    #[must_use]
    pub fn after(self, clients: Arc<AtomicU64>) -> Self {
        Self { clients, ..self }
    }

    /// What it listens at.
    ///
    /// # Errors
    /// The system's.
    pub fn listener(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }

    /// Accepts for ever; `alive` is held by every connection that has asked for something.
    pub async fn serve(mut self, sink: UnboundedSender<FromClient>, alive: Sender<()>) {
        loop {
            let stream = self.accept().await;
            let own = rustix::process::geteuid().as_raw();
            let Some(peer) = stream.peer_cred().ok().map(|peer| peer.uid()).filter(|peer| may_command(*peer, own))
            else {
                continue;
            };
            let client = ConnectionId(self.clients.fetch_add(1, Ordering::Relaxed) + 1);
            let uid = (peer != own).then_some(peer);
            tokio::spawn(converse(stream, uid, client, sink.clone(), alive.downgrade()));
        }
    }

    async fn accept(&mut self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    self.spare = self.spare.take().or_else(spare);
                    return stream;
                }
                Err(_) if self.spare.is_some() => self.spare = None,
                // Nothing tells when files can be opened again.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

fn spare() -> Option<OwnedFd> {
    std::fs::File::open("/dev/null").ok().map(OwnedFd::from)
}

/// The folder's permissions keep others out; this holds where somebody has opened the folder.
fn may_command(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

async fn converse(
    mut stream: UnixStream,
    uid: Option<u32>,
    client: ConnectionId,
    sink: UnboundedSender<FromClient>,
    alive: WeakSender<()>,
) {
    let call = match frame::read_bytes(&mut stream).await {
        Ok(bytes) => decode(&bytes),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(problem(error.to_string())),
        Err(_) => return,
    };
    // Nobody waits any more for who has said nothing yet.
    let Some(_alive) = alive.upgrade() else { return };
    let call = match call {
        Ok(call) => Call { uid, ..call },
        Err(answer) => {
            if let Ok(frame) = frame::encode(&answer) {
                let _ = stream.write_all(&frame).await;
            }
            return;
        }
    };
    let (frames, outgoing) = unbounded_channel();
    let waiting = Arc::new(AtomicU64::new(0));
    let cut = Arc::new(Notify::new());
    let replies = Replies { frames, waiting: Arc::clone(&waiting), cut: Arc::clone(&cut) };
    if sink.send(FromClient::Call { client, call: Box::new(call), replies }).is_err() {
        return;
    }
    let answered = tokio::select! {
        answered = answer(stream, outgoing, &waiting, client, &sink) => answered,
        () = cut.notified() => false,
    };
    if !answered {
        let _ = sink.send(FromClient::Gone { client });
    }
}

/// True when the last answer was written.
async fn answer(
    mut stream: UnixStream,
    mut outgoing: UnboundedReceiver<Outgoing>,
    waiting: &AtomicU64,
    client: ConnectionId,
    sink: &UnboundedSender<FromClient>,
) -> bool {
    let (mut from, mut to) = stream.split();
    let mut one = [0; 1];
    let mut cancelled = false;
    loop {
        let next = tokio::select! {
            biased;
            next = outgoing.recv() => next,
            // All that a client may still say, once, is that it takes its call back.
            read = from.read(&mut one) => match read {
                Ok(1..) if !std::mem::replace(&mut cancelled, true) => {
                    let _ = sink.send(FromClient::Cancel { client });
                    continue;
                }
                _ => return false,
            },
        };
        let Some(Outgoing { frame, last }) = next else { return false };
        if to.write_all(&frame).await.is_err() {
            return false;
        }
        waiting.fetch_sub(frame.len() as u64, Ordering::Relaxed);
        if last {
            return to.shutdown().await.is_ok();
        }
    }
}

fn decode(bytes: &[u8]) -> Result<Call, Answer> {
    // Only this much is the same in every protocol.
    #[derive(Deserialize)]
    struct Head {
        protocol: u32,
        #[serde(default)]
        version: String,
    }
    let mine = env!("CARGO_PKG_VERSION");
    match serde_json::from_slice::<Head>(bytes) {
        Ok(Head { protocol, version }) if protocol > PROTOCOL => Err(Answer::Error {
            message: format!("the daemon is pmrun {mine} and does not understand pmrun {version}"),
            hint: Some("`pmrun upgrade` has it become the newer one; what runs goes on".to_owned()),
        }),
        Ok(_) => serde_json::from_slice(bytes).map_err(|error| problem(format!("{NOT_UNDERSTOOD}{error}"))),
        Err(error) => Err(problem(format!("that is no call: {error}"))),
    }
}

fn problem(message: String) -> Answer {
    Answer::Error { message, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::client::Connection;
    use crate::rpc::wire::Request;

    fn call(request: Request) -> Call {
        Call {
            protocol: PROTOCOL,
            version: "test".into(),
            pid: 1,
            no_wait: false,
            hasty: false,
            uid: None,
            words: Vec::new(),
            request,
        }
    }

    /// Serves `home` while `clients` runs on a thread, and answers every call with `respond`.
    fn with_server<T: Send>(
        home: &Path,
        mut respond: impl FnMut(FromClient) + Send,
        clients: impl FnOnce() -> T + Send,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (sink, mut calls) = unbounded_channel();
        let (alive, _ended) = tokio::sync::mpsc::channel(1);
        let (done, finished) = tokio::sync::oneshot::channel();
        std::thread::scope(|scope| {
            runtime.block_on(async {
                let server = Server::bind(home).unwrap();
                let serving = tokio::spawn(server.serve(sink, alive));
                scope.spawn(move || done.send(clients()));
                let mut finished = finished;
                let result = loop {
                    tokio::select! {
                        result = &mut finished => break result.unwrap(),
                        Some(event) = calls.recv() => respond(event),
                    }
                };
                serving.abort();
                result
            })
        })
    }

    #[test]
    fn calls_are_answered_in_order_through_paths_of_any_length() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(150));
        std::fs::create_dir(&long).unwrap();
        for home in [folder.path(), &long] {
            let respond = |event| {
                if let FromClient::Call { replies, call, .. } = event {
                    assert!(matches!(call.request, Request::List));
                    let waiting = Answer::Waiting { holder: "x".into(), pid: 1, for_ms: 2 };
                    assert!(replies.send(&waiting, false));
                    assert!(replies.send(&Answer::List { instances: vec![], strangers: vec![] }, true));
                }
            };
            with_server(home, respond, || {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = std::fs::metadata(home.join(SOCKET)).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
                let mut connection = Connection::open(home).unwrap();
                connection.send(&call(Request::List)).unwrap();
                assert!(matches!(connection.next_answer().unwrap(), Answer::Waiting { .. }));
                assert!(matches!(connection.next_answer().unwrap(), Answer::List { .. }));
                assert_eq!(connection.next_answer().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            });
        }
    }

    #[test]
    fn nonsense_is_answered_and_newer_programs_are_told() {
        let home = tempfile::tempdir().unwrap();
        let table: [(&[u8], &str); 5] = [
            (b"\0\0\0\x02{}", "that is no call"),
            (b"\0\0\0\x04junk", "that is no call"),
            (b"GET / HTTP/1.1\r\n\r\n", "a message of more than 64 MB"),
            (b"\0\0\0\x20{\"protocol\":1,\"request\":\"dance\"}", "the call makes no sense"),
            (b"\0\0\0\x20{\"protocol\":999,\"version\":\"9.9\"} ", "does not understand pmrun 9.9"),
        ];
        with_server(
            home.path(),
            |event| assert!(matches!(event, FromClient::Gone { .. }), "{event:?}"),
            || {
                for (bytes, want) in table {
                    let (address, _handle) = short_address(home.path(), SOCKET).unwrap();
                    let mut stream = std::os::unix::net::UnixStream::connect(address).unwrap();
                    io::Write::write_all(&mut stream, bytes).unwrap();
                    match frame::read(&mut stream).unwrap() {
                        Answer::Error { message, .. } => assert!(message.contains(want), "{message}"),
                        other => panic!("{other:?}"),
                    }
                }
            },
        );
    }

    #[test]
    fn a_call_can_be_taken_back_once_and_is_still_answered() {
        let home = tempfile::tempdir().unwrap();
        let mut held = None;
        let (gone, given_up) = std::sync::mpsc::channel();
        let respond = |event| match event {
            FromClient::Call { replies, .. } => held = Some(replies),
            FromClient::Cancel { client } => {
                let last = Answer::Error { message: format!("cancelled {}", client.0), hint: None };
                assert!(held.as_ref().unwrap().send(&last, false));
            }
            FromClient::Gone { client } => gone.send(client).unwrap(),
        };
        let home = home.path();
        with_server(home, respond, move || {
            let mut connection = Connection::open(home).unwrap();
            connection.send(&call(Request::Ping)).unwrap();
            connection.cancel().unwrap();
            assert!(
                matches!(connection.next_answer().unwrap(), Answer::Error { message, .. } if message == "cancelled 1")
            );
            connection.cancel().unwrap();
            assert_eq!(given_up.recv().unwrap(), ConnectionId(1), "who goes on talking is not listened to");
        });
    }

    #[test]
    fn a_hang_up_is_noticed_and_a_slow_reader_is_given_up() {
        let home = tempfile::tempdir().unwrap();
        let (gone, hung_up) = std::sync::mpsc::channel();
        let (said, cut_off) = std::sync::mpsc::channel();
        let mut calls = 0;
        let mut held = Vec::new();
        let respond = |event| match event {
            FromClient::Cancel { .. } => {}
            FromClient::Call { replies, .. } => {
                calls += 1;
                if calls == 2 {
                    let big = Answer::Error { message: "x".repeat(10 << 20), hint: None };
                    let sent = (0..100).take_while(|_| replies.send(&big, false)).count();
                    said.send(sent).unwrap();
                }
                held.push(replies);
            }
            // The second one's may come when nobody asks any more.
            FromClient::Gone { client } => drop(gone.send(client)),
        };
        let home = home.path();
        with_server(home, respond, move || {
            let mut connection = Connection::open(home).unwrap();
            connection.send(&call(Request::Ping)).unwrap();
            drop(connection);
            assert_eq!(hung_up.recv().unwrap(), ConnectionId(1));
            let mut slow = Connection::open(home).unwrap();
            slow.send(&call(Request::Ping)).unwrap();
            assert_eq!(cut_off.recv().unwrap(), 6, "64 MB hold six answers of 10 MB");
        });
    }
}
