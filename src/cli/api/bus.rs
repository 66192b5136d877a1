//! What happens, to whoever listens: what apps say over Node's channel, what they write, what becomes of them. None of that is looked at
//! while nobody listens.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::amp::{self, Arg};
use super::events;
use crate::cli::trigger;
use crate::platform::is_readable;
use crate::rpc::wire::Answer;

/// What may wait for somebody who does not read; who does not for so long is cut off.
const WAITING_MAX: usize = 4_096;
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Bus(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    home: PathBuf,
    next: AtomicU64,
    listeners: Mutex<Vec<Listener>>,
    /// Held by those who look: when it is dropped they end.
    looking: Mutex<Option<UnixStream>>,
}

#[derive(Debug)]
struct Listener {
    number: u64,
    frames: SyncSender<Arc<Vec<u8>>>,
    stream: UnixStream,
}

#[derive(Debug)]
pub(super) struct Subscription(u64);

impl Bus {
    pub(super) fn new(home: PathBuf) -> Self {
        let (next, listeners, looking) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { home, next, listeners, looking }))
    }

    /// Told everything from now on.
    pub(super) fn subscribe(&self, stream: &UnixStream) -> Option<Subscription> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (frames, waiting) = sync_channel(WAITING_MAX);
        let (mine, written) = (stream.try_clone().ok()?, stream.try_clone().ok()?);
        thread::Builder::new().spawn(move || write(written, &waiting)).ok()?;
        let mut listeners = self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.push(Listener { number, frames, stream: mine });
        let mut looking = self.0.looking.lock().unwrap_or_else(PoisonError::into_inner);
        if looking.is_none() {
            *looking = look(&self.0);
        }
        Some(Subscription(number))
    }

    pub(super) fn publish(&self, event: &str, payload: Value) {
        self.0.publish(event, payload);
    }

    pub(super) fn leave(&self, subscription: &Subscription) {
        self.0.forget(|listener| listener.number == subscription.0);
    }
}

impl Shared {
    fn forget(&self, is_gone: impl Fn(&Listener) -> bool) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| !is_gone(listener));
        if listeners.is_empty() {
            *self.looking.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(super) fn publish(&self, event: &str, payload: Value) {
        let frame = Arc::new(amp::encode(&[Arg::Text(event.to_owned()), Arg::Json(payload)]));
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| {
            let keeps_up = listener.frames.try_send(Arc::clone(&frame)).is_ok();
            if !keeps_up {
                let _ = listener.stream.shutdown(Shutdown::Both);
            }
            keeps_up
        });
    }
}

fn write(mut stream: UnixStream, frames: &Receiver<Arc<Vec<u8>>>) {
    while let Ok(frame) = frames.recv() {
        if stream.write_all(&frame).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// Begins to look. Ends when the other end of what is returned does.
fn look(shared: &Arc<Shared>) -> Option<UnixStream> {
    let (ours, theirs) = UnixStream::pair().ok()?;
    for follow in [messages as fn(&Shared, &UnixStream), events::follow, events::follow_logs] {
        let (shared, end) = (Arc::clone(shared), theirs.try_clone().ok()?);
        thread::Builder::new().spawn(move || follow(&shared, &end)).ok()?;
    }
    Some(ours)
}

impl Shared {
    pub(super) fn home(&self) -> &Path {
        &self.home
    }
}

/// What apps say.
fn messages(shared: &Shared, end: &UnixStream) {
    use std::os::fd::AsFd as _;
    // Readable at its end only.
    let is_over = |patience| is_readable(end.as_fd(), patience);
    while !is_over(Duration::ZERO) {
        let Ok(mut ear) = trigger::listen(shared.home()) else {
            if is_over(AGAIN) {
                return;
            }
            continue;
        };
        while !is_over(Duration::ZERO) {
            if !is_readable(ear.as_fd(), AGAIN) {
                continue;
            }
            let Ok(answer) = ear.next_answer() else { break };
            if let Answer::Said { id, name, namespace, message, .. } = answer {
                let (event, payload) = said(id, &name, &namespace, &message, now_ms());
                shared.publish(&event, payload);
            }
        }
    }
}

/// One with a type and data goes by its type, any other as it is.
fn said(id: u32, name: &str, namespace: &str, message: &Value, at: u64) -> (String, Value) {
    let process = json!({ "pm_id": id, "name": name, "namespace": namespace });
    let has_data = message.get("data").is_some_and(|data| !matches!(data, Value::Null | Value::Bool(false)));
    match message.get("type").and_then(Value::as_str).filter(|kind| has_data && !kind.is_empty()) {
        Some(kind) => (kind.to_owned(), json!({ "at": at, "data": message["data"], "process": process })),
        None => ("process:msg".to_owned(), json!({ "at": at, "raw": message, "process": process })),
    }
}

pub(super) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_by_their_type_where_they_have_one() {
        let said = |message: Value| said(3, "api", "default", &message, 7);
        let process = json!({ "pm_id": 3, "name": "api", "namespace": "default" });
        assert_eq!(
            said(json!({ "type": "axm:reply", "data": { "return": 1 } })),
            ("axm:reply".to_owned(), json!({ "at": 7, "data": { "return": 1 }, "process": process }))
        );
        for raw in [json!("ready"), json!({ "type": "x" }), json!({ "data": 1 }), json!([1])] {
            assert_eq!(
                said(raw.clone()),
                ("process:msg".to_owned(), json!({ "at": 7, "raw": raw, "process": process }))
            );
        }
    }
}
