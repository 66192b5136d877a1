//! What the routes serve, as they see it. Who has it is said elsewhere: this layer knows of HTTP, and of nothing else.

use std::io;
use std::sync::Arc;

use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::problem::Problem;
use crate::rpc::wire::InstanceView;

/// An instance, and what its process uses with all that it has started.
#[derive(Clone, Debug)]
pub struct Instance {
    pub view: InstanceView,
    pub load: Option<Load>,
}

#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub memory_bytes: u64,
    /// Of one processor, since somebody last looked.
    pub cpu_percent: f64,
    /// On processors, since its start.
    pub cpu_ms: u64,
    pub processes: u32,
}

/// What somebody has a daemon do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Start,
    Stop,
    Restart,
    Reload,
    Delete,
    Scale(u32),
}

/// Everything that can be asked for. Each of these blocks, and is called where that is no matter.
pub trait Source: Send + Sync + 'static {
    /// Whether a daemon answers.
    fn is_up(&self) -> bool;
    /// The list in PM2's shape, and what PM2 says of the machine. No variables.
    fn pm2(&self) -> Result<Value, Problem>;
    /// Of those that a target names; all without one.
    fn instances(&self, target: Option<&str>) -> Result<Vec<Instance>, Problem>;
    /// With the names of their variables, and none of their values.
    fn apps(&self, target: &str) -> Result<Vec<Value>, Problem>;
    /// The same of all, as the JSON that is answered: whoever asks again and again is not to cost what it took the first time.
    fn all_apps(&self) -> Result<Arc<str>, Problem>;
    /// The last so many of those after a number, oldest first.
    fn events(&self, after: u64, most: usize) -> Result<Vec<Value>, Problem>;
    fn history(&self, count: u64) -> Result<Vec<Value>, Problem>;
    fn generation(&self, number: u64) -> Result<Value, Problem>;
    /// What applying a file that some app came from would do.
    fn plan(&self, file: Option<&str>, profile: Option<&str>) -> Result<Value, Problem>;
    /// The last so many lines.
    fn logs(&self, target: &str, streams: Streams, lines: usize) -> Result<Vec<Value>, Problem>;
    /// Gives what happens until nobody listens.
    fn follow_events(&self, feed: Feed);
    /// Gives what is written, after the last so many lines, until nobody listens.
    fn follow_logs(&self, target: &str, streams: Streams, lines: usize, feed: Feed) -> Result<(), Problem>;
    fn act(&self, target: &str, action: Action) -> Result<Value, Problem>;
}

/// Which of an app's streams are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    pub out: bool,
    pub error: bool,
}

/// Where what goes on is given to: one client, or all.
#[derive(Debug)]
pub struct Feed {
    frames: mpsc::Sender<Frame>,
    /// Nobody reads from its other end any more when nobody listens.
    pub listener: io::PipeWriter,
}

/// Something that has happened.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) number: Option<u64>,
    pub(super) bytes: Bytes,
}

impl Feed {
    pub(super) fn new(frames: mpsc::Sender<Frame>, listener: io::PipeWriter) -> Self {
        Self { frames, listener }
    }

    /// Waits for a client that reads slowly: it is cut off elsewhere when it does not at all.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub fn give(&self, event: &str, number: Option<u64>, data: &Value) -> io::Result<()> {
        let id = number.map(|number| format!("id: {number}\n")).unwrap_or_default();
        // JSON has no line ends of its own.
        let bytes = Bytes::from(format!("{id}event: {event}\ndata: {data}\n\n"));
        self.frames.blocking_send(Frame { number, bytes }).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Instance {
    /// As it is served.
    pub(super) fn json(&self) -> Value {
        let mut value = json!(self.view);
        if let Some(fields) = value.as_object_mut() {
            let load = self.load;
            fields.insert("memory_bytes".to_owned(), json!(load.map(|load| load.memory_bytes)));
            fields.insert("cpu_percent".to_owned(), json!(load.map(|load| load.cpu_percent)));
            fields.insert("processes".to_owned(), json!(load.map(|load| load.processes)));
        }
        value
    }
}
