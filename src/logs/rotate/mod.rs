//! Keeping logs small without losing a line, while their apps go on writing to them.
//!
//! An app's log file belongs to the app, which has it open and appends to it: it cannot be renamed away, and truncating
//! it loses what was written since it was copied. So its head is copied to `NAME.log.1`, `.2` and so on, the highest
//! number being the newest, and then taken out of the living file (`fallocate(2)`, `FALLOC_FL_COLLAPSE_RANGE`), which
//! goes on with what followed. That works in whole blocks: the head ends with the line in which a block ends, and what of
//! that line lies behind the block's end is left in the living file as spaces. Where a file system cannot take out
//! (tmpfs, btrfs), the head becomes a hole that takes no room.
//!
//! How much was taken out is an attribute of the file, which is changed together with it under a lock: whoever follows
//! the file knows by it where it has got to. A crash in between loses nothing; what it leaves is taken for rotated, so
//! that lines may be there twice.

mod compress;
mod head;
mod names;
mod rotator;

use std::io;
use std::path::Path;

pub use head::{data_start, from, lock_shared, taken};
pub use names::rotated;
pub use rotator::Rotator;

use crate::spec::Rotation;

/// For all rotated files in `PMRUN_HOME/logs`, unless `PMRUN_LOGS_MAX` says otherwise.
pub const BUDGET_DEFAULT: u64 = 4 << 30;

/// Rotates a log that has grown too big. Whether it was.
///
/// # Errors
/// The system's; the log is then as it was.
pub fn rotate(path: &Path, rotation: &Rotation) -> io::Result<bool> {
    // Left by a crash.
    names::finish(path)?;
    let rotated = head::take(path, rotation)?;
    if rotated {
        names::retain(path, rotation.retain);
    }
    Ok(rotated)
}

/// Compresses what was rotated, but for the newest, which somebody may still be reading.
///
/// # Errors
/// The system's; what could not be compressed stays as it is.
pub fn compress(path: &Path) -> io::Result<()> {
    let mut plain = names::rotated(path);
    plain.pop();
    for file in plain.into_iter().filter(|file| !file.compressed) {
        compress::compress(&file.path)?;
    }
    Ok(())
}

/// Removes the oldest rotated files of a folder until they fit.
pub fn keep_within(folder: &Path, budget: u64) {
    let mut files = names::all_rotated(folder);
    let mut total: u64 = files.iter().map(|file| file.bytes).sum();
    files.sort_by_key(|file| (file.modified, file.number));
    for file in files {
        if total <= budget {
            return;
        }
        if std::fs::remove_file(&file.path).is_ok() {
            total -= file.bytes;
        }
    }
}
