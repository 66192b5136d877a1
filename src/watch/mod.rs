//! File notifications: which folders are watched for which app, and what is worth telling.
//!
//! One thread for all apps, which is there while something is watched. It decides nothing about processes: what has
//! changed goes to the daemon's loop as [`Report`]s, many changes in one.
//!
//! * What is ignored is never looked into and has no watch, so that it costs nothing.
//! * A root that is not there yet, or is deleted and made again, is waited for in the nearest folder that is there; one
//!   that is reached through a symbolic link is looked up again when the link changes.
//! * Folders by themselves are no change, only files are.

mod folders;
mod own_files;
mod polling;
mod scope;
#[cfg(test)]
mod tests;
mod tracker;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use tokio::sync::mpsc::UnboundedSender;

use self::tracker::Tracker;
use crate::platform::reason;
use crate::spec::AppSpec;

/// What is told of an app's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Changed {
        app: String,
        /// Relative to the app's folder where they are in it.
        paths: Vec<String>,
        /// How many changes that were, of any path.
        count: usize,
        /// There were other paths as well.
        more: bool,
    },
    /// Why not everything can be watched; None when it can be again.
    Trouble { app: String, trouble: Option<String> },
}

/// Watches what it is told to.
#[derive(Debug)]
pub struct Watcher {
    home: PathBuf,
    sink: UnboundedSender<Report>,
    /// The thread ends with it.
    thread: Option<Sender<Message>>,
}

#[derive(Debug)]
enum Message {
    Set { apps: BTreeMap<String, Arc<AppSpec>>, own_files: Arc<BTreeSet<String>> },
    Event(notify::Result<notify::Event>),
    End,
}

impl Watcher {
    /// Costs nothing until something is watched.
    #[must_use]
    pub fn new(home: &Path, sink: UnboundedSender<Report>) -> Self {
        Self { home: home.to_owned(), sink, thread: None }
    }

    /// From now on exactly these apps are watched. Returns at once; changes that come before the thread has looked at
    /// an app's folders are not noticed.
    pub fn set(&mut self, apps: &BTreeMap<String, Arc<AppSpec>>, own_files: &Arc<BTreeSet<String>>) {
        if apps.is_empty() {
            self.end();
            return;
        }
        let thread = match self.thread.take().map_or_else(|| self.start(), Ok) {
            Ok(thread) => thread,
            Err(error) => {
                for app in apps.keys() {
                    let trouble = Some(format!("cannot start a thread: {}", reason(&error)));
                    let _ = self.sink.send(Report::Trouble { app: app.clone(), trouble });
                }
                return;
            }
        };
        let _ = thread.send(Message::Set { apps: apps.clone(), own_files: Arc::clone(own_files) });
        self.thread = Some(thread);
    }

    fn start(&self) -> std::io::Result<Sender<Message>> {
        let (sender, messages) = channel();
        let tracker = Tracker::new(&self.home, sender.clone(), self.sink.clone());
        std::thread::Builder::new()
            .name("watch".to_owned())
            .stack_size(512 << 10)
            .spawn(move || tracker.run(&messages))?;
        Ok(sender)
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.send(Message::End);
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.end();
    }
}
