//! Apps that say by a line of theirs when they are up (`ready_log`). A thread each reads what they write, until it has come: it
//! sleeps while nothing is written.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use jiff::tz::TimeZone;
use regex_lite::Regex;
use tokio::sync::mpsc::UnboundedSender;

use super::log;
use crate::logs::{Awaited, Log, Stamps};
use crate::platform::reason;
use crate::supervisor::{Launch, LaunchId, Output};

/// How long an app's start waits until its logs are watched, which takes a millisecond.
const PATIENCE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Ready {
    to_loop: UnboundedSender<LaunchId>,
    /// Its thread ends when this is closed.
    waiting: HashMap<LaunchId, UnixStream>,
}

impl Ready {
    pub(super) fn new(to_loop: UnboundedSender<LaunchId>) -> Self {
        Self { to_loop, waiting: HashMap::new() }
    }

    /// To be called before it is started: nothing that it writes is missed. False where nobody can look for it.
    pub(super) fn await_line(&mut self, launch: &Launch) -> bool {
        // What is none is refused before anything is started.
        let Some(pattern) = launch.ready_log.as_deref().and_then(|pattern| Regex::new(pattern).ok()) else {
            return true;
        };
        match self.begin(launch.id, logs(launch), pattern) {
            Ok(end) => {
                self.waiting.insert(launch.id, end);
                true
            }
            Err(error) => {
                log::line(format_args!(
                    "cannot look for the line by which `{}` says that it is up: {error}; it counts as up",
                    launch.instance
                ));
                false
            }
        }
    }

    /// The log may be locked by whoever may write to it: the loop does not wait for that.
    fn begin(&self, id: LaunchId, logs: Vec<Log>, pattern: Regex) -> Result<UnixStream, String> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| reason(&error))?;
        let (begun, begins) = channel();
        let to_loop = self.to_loop.clone();
        let wait = move || {
            let awaited = match Awaited::begin(logs, pattern) {
                Ok(awaited) => awaited,
                Err(error) => {
                    let _ = begun.send(Err(error.to_string()));
                    return;
                }
            };
            // Where it has taken too long nobody hears it.
            let _ = begun.send(Ok(()));
            if awaited.comes(theirs.as_fd()) {
                let _ = to_loop.send(id);
            }
        };
        let thread = std::thread::Builder::new().name("ready".to_owned()).stack_size(512 << 10);
        thread.spawn(wait).map_err(|error| reason(&error))?;
        match begins.recv_timeout(PATIENCE) {
            Ok(Err(problem)) => Err(problem),
            Ok(Ok(())) | Err(_) => Ok(ours),
        }
    }

    /// It has said so, or is gone.
    pub(super) fn forget(&mut self, launch: LaunchId) {
        self.waiting.remove(&launch);
    }
}

/// What it writes, and how.
fn logs(launch: &Launch) -> Vec<Log> {
    let (format, json) = match &launch.framing {
        Some(framing) => (framing.date_format.as_deref(), framing.json),
        None => (None, false),
    };
    let file = |output: &Output| match output {
        Output::File(path) => Some(PathBuf::from(path)),
        Output::Null => None,
    };
    let mut paths: Vec<PathBuf> = [&launch.out, &launch.error].into_iter().filter_map(file).collect();
    paths.dedup();
    // When lines were written is no matter.
    let log = |path| Log { path, stamps: Stamps::new(format, json, TimeZone::UTC), lines: None };
    paths.into_iter().map(log).collect()
}
