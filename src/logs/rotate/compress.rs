use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// Twice as fast as the usual 6, and hardly larger for logs.
const LEVEL: u32 = 4;

/// As much at a time: whoever wants it to stop waits for no more.
const SLICE: usize = 64 << 10;

/// Whoever may write to the folder could have made one.
const NO_LINK: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();

/// Puts `FILE.gz` in the place of a file; at every moment one of them is whole. A file that somebody removes meanwhile
/// stays removed. When `is_over`, it is left as it is.
pub(super) fn compress(path: &Path, is_over: &dyn Fn() -> bool) -> io::Result<()> {
    let (part, whole) = (with(path, ".gz.part"), with(path, ".gz"));
    let mut source = match OpenOptions::new().read(true).custom_flags(NO_LINK).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    // Somebody who had it open as a log, when it was renamed, and writes to it still.
    if crate::platform::is_written_to(&source) == Some(true) {
        return Ok(());
    }
    let meta = source.metadata()?;
    // Somebody else's has come there.
    if whole.symlink_metadata().is_ok() && !super::head::is_piece(&whole) {
        return Ok(());
    }
    if is_being_made(&part) {
        return Ok(());
    }
    // What is there was left by a crash, or is a link that somebody has put there to have another file written.
    if let Err(error) = fs::remove_file(&part)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let target = OpenOptions::new().write(true).create_new(true).open(&part)?;
    // From now on nobody takes it for left over; somebody may have done so a moment ago.
    let _ = flock(&target, FlockOperation::NonBlockingLockExclusive);
    if !is_at(&target, &part) {
        return Ok(());
    }
    target.set_permissions(meta.permissions())?;
    super::head::keep_from(&source, &target);
    let _ = std::os::unix::fs::fchown(&target, Some(meta.uid()), Some(meta.gid()));
    let mut encoder = GzEncoder::new(&target, Compression::new(LEVEL));
    let written = copy(&mut source, &mut encoder, is_over).and_then(|whole| {
        encoder.finish()?;
        // What tells its age is when its last line was written.
        target.set_modified(meta.modified()?)?;
        if whole {
            target.sync_data()?;
        }
        Ok(whole)
    });
    if !matches!(written, Ok(true)) {
        let _ = fs::remove_file(&part);
        return written.map(|_| ());
    }
    if !is_at(&target, &part) {
        return Ok(());
    }
    match fs::rename(&part, &whole) {
        // By who has emptied the log.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_file(&whole),
        removed => removed,
    }
}

/// Removes what somebody was killed in the midst of making; what somebody is at work on stays.
pub(super) fn discard(part: &Path) {
    if super::head::is_piece(part) && !is_being_made(part) {
        let _ = fs::remove_file(part);
    }
}

fn is_being_made(part: &Path) -> bool {
    let Ok(file) = OpenOptions::new().read(true).custom_flags(NO_LINK).open(part) else { return false };
    flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::AGAIN)
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let there = path.symlink_metadata().map(identity).ok();
    there.is_some() && there == file.metadata().map(identity).ok()
}

/// False when it was not wanted to the end.
fn copy(source: &mut File, target: &mut impl io::Write, is_over: &dyn Fn() -> bool) -> io::Result<bool> {
    let mut slice = vec![0; SLICE];
    while !is_over() {
        match source.read(&mut slice) {
            Ok(0) => return Ok(true),
            Ok(length) => target.write_all(&slice[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::rotate::head::{FROM, mark};

    fn piece(path: &Path, text: &str) -> File {
        fs::write(path, text).unwrap();
        let file = File::open(path).unwrap();
        mark(&file, FROM, "0").unwrap();
        file
    }

    #[test]
    fn what_is_left_over_goes_and_what_somebody_is_at_work_on_stays() {
        let folder = tempfile::tempdir().unwrap();
        let [plain, part] = ["a.log.1", "a.log.1.gz.part"].map(|name| folder.path().join(name));
        drop(piece(&plain, "a line\n"));
        let at_work = piece(&part, "half");
        flock(&at_work, FlockOperation::NonBlockingLockExclusive).unwrap();
        compress(&plain, &|| false).unwrap();
        discard(&part);
        assert_eq!(fs::read_to_string(&part).unwrap(), "half");
        drop(at_work);
        discard(&part);
        assert!(!part.exists());
        drop(piece(&part, "half"));
        compress(&plain, &|| false).unwrap();
        assert!(!part.exists() && !plain.exists() && folder.path().join("a.log.1.gz").exists());
    }

    #[test]
    fn who_is_told_to_stop_leaves_it_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("a.log.1");
        drop(piece(&plain, &"a line\n".repeat(100_000)));
        let turns = std::cell::Cell::new(0);
        let is_over = || turns.replace(turns.get() + 1) == 3;
        compress(&plain, &is_over).unwrap();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a.log.1"]);
    }

    #[test]
    fn what_was_removed_meanwhile_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        compress(&folder.path().join("a.log.1"), &|| false).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
