use std::collections::HashMap;

use crate::platform::procfs::{self, Marks, Process};
use crate::platform::tag::Tag;
use crate::platform::tree::Closer;

/// Marks of processes that several looks in a row see. A mark is kept for life, so what was read stays true; it is
/// forgotten when no stop is under way.
#[derive(Debug)]
pub(super) struct Cache {
    home: String,
    marks: HashMap<(u32, u64), Marks>,
}

impl Cache {
    pub(super) fn new(home: &str) -> Self {
        Self { home: home.to_owned(), marks: HashMap::new() }
    }

    pub(super) fn forget(&mut self) {
        self.marks = HashMap::new();
    }
}

impl Closer for Cache {
    fn marks(&mut self, process: &Process) -> Option<Marks> {
        let key = (process.pid, process.start);
        if let Some(marks) = self.marks.get(&key) {
            return Some(marks.clone());
        }
        let marks = procfs::marks(process.pid)?;
        // A child between fork and exec has its parent's; only a mark of our own is final.
        if marks.launch.is_some() {
            self.marks.insert(key, marks.clone());
        }
        Some(marks)
    }

    fn tag(&mut self, pid: u32) -> Option<Tag> {
        procfs::file_locks(pid).and_then(Tag::of_limit)
    }

    fn sees_home(&mut self, pid: u32) -> bool {
        procfs::sees_home(pid, &self.home)
    }

    fn outputs(&mut self, pid: u32) -> Vec<(u64, u64)> {
        procfs::outputs(pid)
    }

    fn file_id(&mut self, path: &str) -> Option<(u64, u64)> {
        // Every service's thrown-away output is the same file.
        if path == "/dev/null" { None } else { procfs::file_id(path) }
    }
}
