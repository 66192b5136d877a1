//! What programs that use PM2's library (`require('pm2')`) speak to: `rpc.sock`, where they ask, and `pub.sock`, where they are told
//! what happens. It is a client of the daemon, in a process of its own that the daemon starts when somebody connects
//! ([`crate::platform::Door`]) and that ends when nobody has for a while, and with the daemon.

pub(super) mod amp;
mod bus;
mod calls;
mod events;
mod start;

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::amp::{Arg, Decoder};
use self::bus::Bus;
pub(super) use self::events::events;
use super::surroundings;
use crate::platform::{end_with_parent, is_readable, passed_listeners, peer, user_id, wait_for_any};

const CLIENTS_MAX: usize = 100;
/// Calls of one client that are at work at a time; what comes after these waits.
const CALLS_MAX: usize = 16;
/// How long somebody may take to finish what was begun, or to read an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long this process stays when nobody is connected.
const IDLE: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Api {
    home: PathBuf,
    clients: AtomicUsize,
    bus: Bus,
    /// What is started or changed by a look and an order is so one at a time.
    turn: Mutex<()>,
    /// Shut when the daemon was told to end.
    ended: UnixStream,
}

/// Counted as long as it is there.
struct Guest(Arc<Api>);

impl Guest {
    fn of(api: &Arc<Api>) -> Option<Self> {
        let guest = Self(Arc::clone(api));
        (api.clients.fetch_add(1, Ordering::AcqRel) < CLIENTS_MAX).then_some(guest)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Serves until nobody wants anything.
pub(super) fn main(daemon: u32) -> ExitCode {
    let Ok(home) = surroundings::home() else { return ExitCode::FAILURE };
    if !end_with_parent(daemon) {
        return ExitCode::FAILURE;
    }
    let Ok([asked, told]) = passed_listeners() else { return ExitCode::FAILURE };
    let Ok((ended, end)) = UnixStream::pair() else { return ExitCode::FAILURE };
    let (bus, clients) = (Bus::new(home.clone()), AtomicUsize::new(0));
    let api = Arc::new(Api { home, clients, bus, turn: Mutex::default(), ended });
    let mut last_seen = Instant::now();
    loop {
        // Whoever comes after this process has ended has the daemon start another.
        let came = wait_for_any(&[asked.as_fd(), told.as_fd(), end.as_fd()], IDLE);
        if is_readable(end.as_fd(), Duration::ZERO) {
            return ExitCode::SUCCESS;
        }
        for (listener, serve) in [(&asked, answer as fn(&Arc<Api>, UnixStream)), (&told, tell)] {
            while let Some(stream) = accept(listener) {
                let (Some(guest), true) = (Guest::of(&api), is_welcome(&stream)) else { continue };
                let api = Arc::clone(&api);
                let _ = thread::Builder::new().spawn(move || {
                    let _guest = guest;
                    serve(&api, stream);
                });
            }
        }
        if came || api.clients.load(Ordering::Acquire) > 0 {
            last_seen = Instant::now();
        } else if last_seen.elapsed() >= IDLE {
            return ExitCode::SUCCESS;
        }
    }
}

fn accept(listener: &UnixListener) -> Option<UnixStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(false).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// The permissions of the sockets keep others out; this holds where somebody has changed them.
fn is_welcome(stream: &UnixStream) -> bool {
    peer(stream).is_some_and(|(_, uid)| uid == user_id() || uid == 0)
}

/// A client that asks: each call is answered when it is done, whatever came before it.
fn answer(api: &Arc<Api>, stream: UnixStream) {
    let Ok(writer) = stream.try_clone() else { return };
    let writer = Arc::new(Mutex::new(writer));
    let caller = peer(&stream).map(|(pid, _)| pid);
    let at_work = Arc::new(AtomicUsize::new(0));
    let mut stream = stream;
    let (mut decoder, mut piece) = (Decoder::default(), vec![0; 64 << 10]);
    loop {
        let patience = decoder.is_within().then_some(PATIENCE);
        if stream.set_read_timeout(patience).is_err() {
            break;
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(length) => decoder.take(&piece[..length]),
        }
        loop {
            let args = match decoder.next() {
                Ok(Some(args)) => args,
                Ok(None) => break,
                Err(_) => {
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
            };
            let Some((message, id)) = question(args) else { continue };
            let (api, writer, count) = (Arc::clone(api), Arc::clone(&writer), Arc::clone(&at_work));
            if calls::is_end(&message) {
                calls::end(&api, &message, caller);
                let _ = api.ended.shutdown(Shutdown::Both);
                return;
            }
            let work = move || {
                let reply = calls::reply(&api, &message, caller);
                let frame = amp::encode(&[Arg::Json(reply), id]);
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                if writer.write_all(&frame).is_err() {
                    let _ = writer.shutdown(Shutdown::Both);
                }
                drop(writer);
                count.fetch_sub(1, Ordering::AcqRel);
            };
            if at_work.fetch_add(1, Ordering::AcqRel) < CALLS_MAX {
                let _ = thread::Builder::new().spawn(work);
            } else {
                work();
            }
        }
    }
}

/// What is asked, and the number of the answer.
fn question(mut args: Vec<Arg>) -> Option<(Value, Arg)> {
    let id = args.pop()?;
    match args.into_iter().next()? {
        Arg::Json(message) => Some((message, id)),
        Arg::Text(_) | Arg::Bytes(_) => Some((json!({}), id)),
    }
}

/// A client that is told what happens.
fn tell(api: &Arc<Api>, mut stream: UnixStream) {
    let Some(subscription) = api.bus.subscribe(&stream) else { return };
    let mut piece = [0; 4096];
    // It has nothing to say: only its end is waited for.
    while matches!(stream.read(&mut piece), Ok(1..)) {}
    api.bus.leave(&subscription);
}
