//! Server-sent events: what goes on, to whoever listens. There are so many listeners at most, each has a small queue of
//! its own, and who does not read is let go.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use hyper::body::Frame as Piece;
use hyper::{HeaderMap, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio::time::{Instant, Sleep, sleep};

use super::problem::{Problem, answer};
use super::source::{Feed, Frame, Source};

/// A line that is for nobody, so often: who is gone is noticed, and what is in between does not take it for dead.
const STILL_HERE: Duration = Duration::from_secs(15);
/// What may wait for one client.
const WAITING_MAX: usize = 64;
/// What may have happened that some client has not been told of yet.
const BEHIND_MAX: usize = 1_024;
/// A client that was away is told of so many things that happened meanwhile.
const MISSED_MAX: usize = 1_000;

pub(super) const KIND: &str = "text/event-stream";

/// What happens, for all who want to know: it is followed once, while there is somebody.
#[derive(Debug)]
pub(super) struct Happenings {
    all: broadcast::Sender<Frame>,
    followed: tokio::sync::Mutex<Option<Following>>,
}

/// Whoever follows sees when its pipe is gone, and is begun anew where it has ended all the same.
#[derive(Debug)]
struct Following {
    _pipe: std::io::PipeReader,
    task: tokio::task::JoinHandle<()>,
}

impl Happenings {
    pub(super) fn new() -> Self {
        Self { all: broadcast::Sender::new(BEHIND_MAX), followed: tokio::sync::Mutex::new(None) }
    }

    async fn subscribe(&self, source: &Arc<dyn Source>) -> Result<broadcast::Receiver<Frame>, Problem> {
        let mut followed = self.followed.lock().await;
        let listener = self.all.subscribe();
        if followed.as_ref().is_none_or(|following| following.task.is_finished()) {
            let (reader, writer) = std::io::pipe().map_err(|error| unavailable(&error))?;
            let (sender, mut frames) = mpsc::channel(WAITING_MAX);
            let (source, all) = (Arc::clone(source), self.all.clone());
            thread("events", move || source.follow_events(Feed::new(sender, writer)))?;
            let task = tokio::spawn(async move {
                while let Some(frame) = frames.recv().await {
                    // Nobody listening just now is no matter: it costs next to nothing to go on.
                    let _ = all.send(frame);
                }
            });
            *followed = Some(Following { _pipe: reader, task });
        }
        Ok(listener)
    }
}

/// What happens from now on, and what has since `after`.
pub(super) async fn happenings(
    source: &Arc<dyn Source>,
    happenings: &Happenings,
    slots: &Arc<Semaphore>,
    after: Option<u64>,
) -> Result<Response, Problem> {
    let slot = slot(slots)?;
    // Before what was is looked up: nothing is missed in between.
    let mut listener = happenings.subscribe(source).await?;
    let mut missed = Vec::new();
    if let Some(after) = after {
        let source = Arc::clone(source);
        let events = tokio::task::spawn_blocking(move || source.events(after, MISSED_MAX));
        missed = events.await.map_err(|_| Problem::broken("it was given up"))??;
    }
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        let mut last = after.unwrap_or(0);
        for event in missed {
            let number = event["number"].as_u64();
            last = number.unwrap_or(last);
            let id = number.map(|number| format!("id: {number}\n")).unwrap_or_default();
            let bytes = Bytes::from(format!("{id}event: app\ndata: {event}\n\n"));
            if sender.send(Frame { number, bytes }).await.is_err() {
                return;
            }
        }
        loop {
            let heard = tokio::select! {
                heard = listener.recv() => heard,
                () = sender.closed() => return,
            };
            match heard {
                Ok(frame) if frame.number.is_some_and(|number| number <= last) => {}
                Ok(frame) => {
                    if sender.send(frame).await.is_err() {
                        return;
                    }
                }
                // It reads too slowly. It may come back, and is told then what it has missed.
                Err(_) => return,
            }
        }
    });
    Ok(response(receiver, None, slot))
}

/// What one listener has asked for.
pub(super) fn stream(slots: &Arc<Semaphore>, follow: impl FnOnce(Feed) + Send + 'static) -> Result<Response, Problem> {
    let slot = slot(slots)?;
    let (reader, writer) = std::io::pipe().map_err(|error| unavailable(&error))?;
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    thread("logs", move || follow(Feed::new(sender, writer)))?;
    Ok(response(receiver, Some(reader), slot))
}

fn slot(slots: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(slots).try_acquire_owned().map_err(|_| {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "as many listen as may").hint("hang up somewhere else first")
    })
}

/// It waits for what the system tells it, and for slow clients: not on the loop.
fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Problem> {
    let made = std::thread::Builder::new().name(name.to_owned()).stack_size(512 << 10).spawn(work);
    made.map(drop).map_err(|error| unavailable(&error))
}

fn unavailable(error: &std::io::Error) -> Problem {
    Problem::unavailable(format!("there is no room for it: {error}"))
}

fn response(frames: mpsc::Receiver<Frame>, hold: Option<std::io::PipeReader>, slot: OwnedSemaphorePermit) -> Response {
    let events = Events { frames, begun: false, quiet: Box::pin(sleep(STILL_HERE)), _hold: hold, _slot: slot };
    answer(StatusCode::OK, KIND, HeaderMap::new(), Body::new(events))
}

/// The body of an answer that goes on.
struct Events {
    frames: mpsc::Receiver<Frame>,
    begun: bool,
    quiet: Pin<Box<Sleep>>,
    /// Whoever follows for it alone sees when this is gone.
    _hold: Option<std::io::PipeReader>,
    _slot: OwnedSemaphorePermit,
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Piece<Bytes>, Infallible>>> {
        let bytes = if std::mem::replace(&mut self.begun, true) {
            match self.frames.poll_recv(context) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(frame)) => frame.bytes,
                Poll::Pending => {
                    ready!(self.quiet.as_mut().poll(context));
                    Bytes::from_static(b": still here\n\n")
                }
            }
        } else {
            // Who waits for the head of the answer has it at once.
            Bytes::from_static(b": here\n\n")
        };
        let next = Instant::now() + STILL_HERE;
        self.quiet.as_mut().reset(next);
        Poll::Ready(Some(Ok(Piece::data(bytes))))
    }
}
