//! A group without limits, for processes that are all to end at one moment: not even who forks over and over gets away.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::kernel::{self, Kernel};
use super::place::{Tree, may_use};

/// Who was killed is gone within this, unless the machine is in trouble.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(in crate::platform) struct Pen {
    folder: PathBuf,
}

impl Pen {
    /// None where no group can be made, or none be killed (before Linux 5.14).
    pub(in crate::platform) fn new(name: &str) -> Option<Self> {
        let me = kernel::me("")?;
        if !may_use(&Kernel, &me, &me.group) {
            return None;
        }
        let folder = me.group.join(name);
        Kernel.make(&folder).ok()?;
        let pen = Self { folder };
        // Not to be found out when it matters.
        if pen.folder.join("cgroup.kill").exists() {
            return Some(pen);
        }
        pen.end();
        None
    }

    /// One that somebody else has made.
    pub(in crate::platform) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(in crate::platform) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who writes `0` to it is in.
    pub(in crate::platform) fn entrance(&self) -> io::Result<File> {
        File::options().write(true).open(self.folder.join("cgroup.procs"))
    }

    /// Ends everybody in it and takes it away. False where somebody is left.
    pub(in crate::platform) fn end(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        loop {
            let _ = Kernel.write(&self.folder.join("cgroup.kill"), "1");
            match Kernel.remove(&self.folder) {
                Ok(()) => return true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
                Err(_) if Instant::now() >= until => return false,
                Err(_) => std::thread::yield_now(),
            }
        }
    }
}
