//! Keeping logs small without losing a line, while their apps go on writing to them.
//!
//! An app's log file belongs to the app, which has it open and appends to it: it cannot be renamed away, and truncating
//! it loses what was written since it was copied. So its head is copied to `NAME.log.1`, `.2` and so on, the highest
//! number being the newest, and then taken out of the living file (`fallocate(2)`, `FALLOC_FL_COLLAPSE_RANGE`), which
//! goes on with what followed. That works in whole blocks: the head ends with the line in which a block ends, and what of
//! that line lies behind the block's end is left in the living file as spaces. Where a file system cannot take out
//! (tmpfs, btrfs), the head becomes a hole that takes no room.
//!
//! Where lines pass through the log process ([`super::pump`]) nobody else has the file open, as a rule: it gets the next
//! of these names as a whole, and another takes its place.
//!
//! Which log a file is a part of, and where in it, its attributes tell, too ([`Stream`]): somebody may move a log away, and
//! what is rotated next begins behind what that holds.
//!
//! How much was taken out is an attribute of the file, which is changed together with it under a lock: whoever follows
//! the file knows by it where it has got to. A crash in between loses nothing; what it leaves is taken for rotated, so
//! that lines may be there twice.

mod aside;
mod compress;
mod empty;
mod head;
mod names;
mod packer;
mod rotator;
mod stream;

#[cfg(test)]
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub use aside::{Aside, put_aside};
pub use empty::empty;
pub use head::{data_start, from, is_living, lock_shared, taken};
pub use names::{Rotated, rotated};
pub use packer::Packer;
pub use rotator::Rotator;
pub use stream::{End, Part, Stream, is_gzip, parts_of, renamed_part};

use crate::platform::RangeLock;
use crate::spec::Rotation;

/// For all rotated files in `PMRUN_HOME/logs`, unless `PMRUN_LOGS_MAX` says otherwise.
pub const BUDGET_DEFAULT: u64 = 4 << 30;

/// In `PMRUN_HOME`: whose turn it is to rotate which log.
const LOCK: &str = "rotate.lock";

/// The right to rotate a log, which one process of a `PMRUN_HOME` has at a time.
///
/// Both the daemon and the log process may be about to rotate a file that apps of both kinds write to. Nobody else can
/// keep them from it: nobody else may enter that folder. For each log there is a byte of one file that is locked, so that
/// nobody waits while another log is copied.
#[derive(Debug)]
pub struct Right(#[expect(dead_code, reason = "held for its lock")] RangeLock);

impl Right {
    /// Waits until nobody else has it; none where there can be no lock.
    #[must_use]
    pub fn wait(home: &Path, log: &Path) -> Option<Self> {
        loop {
            let inode = inode(log)?;
            let lock = RangeLock::wait(&home.join(LOCK), inode)?;
            // Meanwhile another may have its place.
            if self::inode(log)? == inode {
                return Some(Self(lock));
            }
        }
    }

    /// None while somebody else has it.
    #[must_use]
    pub fn at_once(home: &Path, log: &Path) -> Option<Self> {
        let inode = inode(log)?;
        let lock = RangeLock::at_once(&home.join(LOCK), inode)?;
        (self::inode(log)? == inode).then_some(Self(lock))
    }
}

fn inode(log: &Path) -> Option<u64> {
    Some(log.metadata().ok()?.ino())
}

/// Rotates a log in its place when it has grown too big. Whether it was; of one that is huge there may be more to do.
///
/// # Errors
/// The system's; the log is then as it was.
pub fn rotate(path: &Path, rotation: &Rotation) -> io::Result<bool> {
    rotate_in_turns(path, rotation, &mut || ())
}

/// Others have their turn now and then while it is copied.
fn rotate_in_turns(path: &Path, rotation: &Rotation, turn: &mut dyn FnMut()) -> io::Result<bool> {
    // Left by a crash.
    names::finish(path)?;
    let rotated = head::take(path, rotation, turn)?;
    if rotated {
        names::retain(path, rotation.retain);
    }
    Ok(rotated)
}

/// On a file system that takes nothing out of a file, but makes holes; none where `/dev/shm` is no such, or bears no
/// attributes: then there is nothing to be tested.
#[cfg(test)]
pub(super) fn folder_with_holes() -> Option<tempfile::TempDir> {
    const TMPFS: rustix::fs::FsWord = 0x0102_1994;
    let folder = tempfile::tempdir_in("/dev/shm").ok()?;
    let file = File::create(folder.path().join("probe")).ok()?;
    let is_tmpfs = rustix::fs::fstatfs(&file).is_ok_and(|stat| stat.f_type == TMPFS);
    let flags = rustix::fs::XattrFlags::empty();
    let has_attributes = rustix::fs::fsetxattr(&file, head::FROM, b"0", flags).is_ok();
    (is_tmpfs && has_attributes).then_some(folder)
}

/// Removes the oldest of what was rotated out of a log.
pub fn retain(path: &Path, count: u32) {
    names::retain(path, count);
}

/// Compresses what was rotated.
///
/// # Errors
/// The system's; what could not be compressed stays as it is.
#[cfg(test)]
pub fn compress(path: &Path) -> io::Result<()> {
    uncompressed(path).iter().try_for_each(|piece| compress::compress(piece, &|| false))
}

/// What was rotated and is to be compressed: all but the newest, which somebody may still be reading.
fn uncompressed(path: &Path) -> Vec<PathBuf> {
    let mut plain = names::own(names::rotated(path));
    plain.pop();
    plain.into_iter().filter(|file| !file.compressed).map(|file| file.path).collect()
}

/// Removes the oldest rotated files of a folder until they fit.
pub fn keep_within(folder: &Path, budget: u64) {
    let mut files = names::own(names::all_rotated(folder));
    let mut total: u64 = files.iter().map(|file| file.bytes).sum();
    files.sort_by_key(|file| (file.modified, file.number));
    for file in files {
        if total <= budget {
            return;
        }
        if names::remove(&file).is_ok() {
            total -= file.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_while_another_log_is_rotated() {
        let home = tempfile::tempdir().unwrap();
        let [raw, piped] = ["raw.log", "piped.log"].map(|name| home.path().join(name));
        assert!(Right::wait(home.path(), &raw).is_none(), "there is nothing to rotate");
        File::create(&raw).unwrap();
        File::create(&piped).unwrap();
        let _copying = Right::wait(home.path(), &raw).unwrap();
        assert!(Right::at_once(home.path(), &raw).is_none());
        assert!(Right::at_once(home.path(), &piped).is_some());
    }
}
