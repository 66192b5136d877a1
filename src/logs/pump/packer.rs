use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::say;
use crate::base::parse_bytes;
use crate::logs::rotate::{BUDGET_DEFAULT, compress, keep_within};
use crate::platform::{LogOwner, low_priority, reason};

/// Compresses what was rotated, by a thread that is there while there is something to compress: apps do not wait for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Packer(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<(PathBuf, Option<LogOwner>, bool)>,
    is_at_work: bool,
    thread: Option<JoinHandle<()>>,
}

impl Packer {
    /// Of a log that was just rotated.
    pub(super) fn pack(&self, log: PathBuf, owner: Option<LogOwner>, compresses: bool) {
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
    pub(super) fn finish(&self) {
        let thread = self.queue().thread.take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn work(&self) {
        low_priority();
        loop {
            let mut queue = self.queue();
            let Some((log, owner, compresses)) = queue.waiting.pop() else {
                queue.is_at_work = false;
                return;
            };
            drop(queue);
            let packed = match &owner {
                _ if !compresses => Ok(()),
                Some(owner) => owner.beside(&log, || compress(&log)),
                None => compress(&log),
            };
            if let Err(error) = packed {
                say(format_args!("cannot compress what was rotated of `{}`: {}", log.display(), reason(&error)));
            }
            let home = std::env::var_os("PMRUN_HOME").map(PathBuf::from).unwrap_or_default();
            // The daemon has said what is wrong with it.
            let budget = std::env::var("PMRUN_LOGS_MAX").ok().and_then(|text| parse_bytes(&text));
            keep_within(&home.join("logs"), budget.unwrap_or(BUDGET_DEFAULT));
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
