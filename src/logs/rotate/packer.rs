use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::compress::{compress, discard};
use super::{keep_within, names, uncompressed};
use crate::platform::{LogOwner, low_priority, reason};

/// Compresses what was rotated, by a thread that is there while there is something to compress: neither apps nor what
/// is rotated meanwhile wait for it.
#[derive(Clone, Debug)]
pub struct Packer {
    queue: Arc<Mutex<Queue>>,
    is_over: Arc<AtomicBool>,
    logs: PathBuf,
    budget: u64,
    say: fn(String),
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<(PathBuf, Option<LogOwner>, bool)>,
    is_at_work: bool,
    thread: Option<JoinHandle<()>>,
    /// By folder: of which logs somebody before has left something undone.
    left: HashMap<PathBuf, HashSet<PathBuf>>,
}

impl Packer {
    /// What was rotated in a folder is kept within a budget; `say` gets what goes wrong.
    pub fn new(logs: PathBuf, budget: u64, say: fn(String)) -> Self {
        Self { queue: Arc::default(), is_over: Arc::default(), logs, budget, say }
    }

    /// Goes on with what somebody before, who was killed or told to stop, has left undone of a log.
    pub fn resume(&self, log: &Path, owner: Option<&LogOwner>, compresses: bool) {
        let Some(folder) = log.parent() else { return };
        let mut queue = self.queue();
        if !queue.left.contains_key(folder) {
            let left = names::left_over(folder);
            if folder == self.logs {
                // Of apps, too, that are never started again.
                for part in names::compressed_parts_in(folder) {
                    discard(&part);
                }
            }
            queue.left.insert(folder.to_owned(), left);
        }
        let is_left = queue.left.get_mut(folder).is_some_and(|left| left.remove(log));
        drop(queue);
        if is_left {
            self.pack(log.to_owned(), owner.cloned(), compresses);
        }
    }

    /// Of a log that was just rotated.
    pub fn pack(&self, log: PathBuf, owner: Option<LogOwner>, compresses: bool) {
        let mut queue = self.queue();
        if self.is_over() {
            return;
        }
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

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// What is not done yet is left to who comes next.
    pub fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.finish();
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
            if queue.waiting.is_empty() || self.is_over() {
                queue.is_at_work = false;
                return;
            }
            let (log, owner, compresses) = queue.waiting.remove(0);
            drop(queue);
            keep_within(&self.logs, self.budget);
            let sweep = || {
                for part in names::compressed_parts(&log) {
                    discard(&part);
                }
                Ok(())
            };
            let _ = owner.as_ref().map_or_else(sweep, |owner| owner.beside(&log, sweep));
            for piece in uncompressed(&log).into_iter().filter(|_| compresses) {
                let packed = match &owner {
                    Some(owner) => owner.beside(&log, || compress(&piece, &|| self.is_over())),
                    None => compress(&piece, &|| self.is_over()),
                };
                if let Err(error) = packed {
                    let (path, reason) = (log.display(), reason(&error));
                    (self.say)(format!("cannot compress what was rotated of `{path}`: {reason}"));
                    break;
                }
                if self.is_over() {
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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::logs::rotate::head::{FROM, mark};

    fn packer(folder: &Path) -> Packer {
        Packer::new(folder.to_owned(), u64::MAX, |text| panic!("{text}"))
    }

    #[test]
    fn what_somebody_before_has_left_undone_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a.log", "a.log.1", "a.log.1.gz.part", "a.log.2", "b.log", "b.log.4", "b.log.3.gz.part"];
        for name in names {
            let file = File::create(folder.path().join(name)).unwrap();
            if name.len() > "a.log".len() {
                mark(&file, FROM, "0").unwrap();
            }
        }
        // Somebody else's, whatever it is.
        fs::write(folder.path().join("a.log.9.gz.part"), "").unwrap();
        let packer = packer(folder.path());
        packer.resume(&folder.path().join("a.log"), None, true);
        packer.finish();
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.log", "a.log.1.gz", "a.log.2", "a.log.9.gz.part", "b.log", "b.log.4"]);
    }

    #[test]
    fn who_was_told_to_stop_begins_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let packer = packer(folder.path());
        packer.stop();
        packer.pack(folder.path().join("a.log"), None, true);
        assert!(packer.queue().thread.is_none());
    }
}
