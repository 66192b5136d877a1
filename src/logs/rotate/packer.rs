use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::compress::compress;
use super::{keep_within, uncompressed};
use crate::platform::{LogOwner, low_priority, reason};

/// Compresses what was rotated, by a thread that is there while there is something to compress: neither apps nor what
/// is rotated meanwhile wait for it.
#[derive(Clone, Debug)]
pub struct Packer {
    queue: Arc<Mutex<Queue>>,
    logs: PathBuf,
    budget: u64,
    say: fn(String),
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<(PathBuf, Option<LogOwner>, bool)>,
    is_at_work: bool,
    thread: Option<JoinHandle<()>>,
}

impl Packer {
    /// What was rotated in a folder is kept within a budget; `say` gets what goes wrong.
    pub fn new(logs: PathBuf, budget: u64, say: fn(String)) -> Self {
        Self { queue: Arc::default(), logs, budget, say }
    }

    /// Of a log that was just rotated.
    pub fn pack(&self, log: PathBuf, owner: Option<LogOwner>, compresses: bool) {
        let mut queue = self.queue();
        if !queue.waiting.iter().any(|(waiting, _, _)| *waiting == log) {
            queue.waiting.push((log, owner, compresses));
        }
        if !queue.is_at_work {
            queue.is_at_work = true;
            let packer = self.clone();
            let work = move || packer.work();
            match std::thread::Builder::new().name("packer".to_owned()).stack_size(512 << 10).spawn(work) {
                Ok(thread) => queue.thread = Some(thread),
                // It is tried again when the next log is rotated.
                Err(_) => queue.is_at_work = false,
            }
        }
    }

    /// Until everything is done.
    pub fn finish(&self) {
        let thread = self.queue().thread.take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn work(&self) {
        low_priority();
        loop {
            let mut queue = self.queue();
            if queue.waiting.is_empty() {
                queue.is_at_work = false;
                return;
            }
            let (log, owner, compresses) = queue.waiting.remove(0);
            drop(queue);
            keep_within(&self.logs, self.budget);
            for piece in uncompressed(&log).into_iter().filter(|_| compresses) {
                let packed = match &owner {
                    Some(owner) => owner.beside(&log, || compress(&piece)),
                    None => compress(&piece),
                };
                if let Err(error) = packed {
                    let (path, reason) = (log.display(), reason(&error));
                    (self.say)(format!("cannot compress what was rotated of `{path}`: {reason}"));
                    break;
                }
                // Others have been rotated meanwhile, and wait.
                keep_within(&self.logs, self.budget);
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
