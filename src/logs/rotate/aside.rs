use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, fremovexattr};
use rustix::io::Errno;

use super::head::{FROM, LIVING, TAKEN, data_start, mark, taken};
use super::names;
use super::stream::Stream;
use crate::platform::is_written_to;

/// Behind the log's name, until it has that. What watches files for changes knows such endings.
const NEXT: &str = ".new";

/// What became of it.
#[derive(Debug)]
pub enum Aside {
    /// It has another name; this one has its place, and goes on where it ended.
    Done(File),
    /// Somebody else writes to it, too, or it is reached by a link: it can be rotated in its place only.
    InPlace,
}

/// Gives a log another name, under which it is as a rotated one, and puts another in its place. `log` is the only handle
/// that the caller has on it; `open` makes a log.
///
/// # Errors
/// The system's; unless the very last step has failed, it has its name still.
pub fn put_aside(path: &Path, log: File, open: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<Aside> {
    let meta = log.metadata()?;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let there = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => return Ok(Aside::InPlace),
        opened => opened?,
    };
    let same = there.metadata()?;
    if (same.dev(), same.ino()) != (meta.dev(), meta.ino()) || same.nlink() != 1 {
        return Ok(Aside::InPlace);
    }
    // Without anybody's handle that writes: what they went on to write would be in a file that is going to be compressed.
    drop(log);
    if is_written_to(&there) != Some(false) {
        return Ok(Aside::InPlace);
    }
    // Its beginning was rotated in its place: what is there of it does not begin where the file does.
    if data_start(&there)? > 0 {
        return Ok(Aside::InPlace);
    }
    let (stream, place) = (Stream::of(&there)?, taken(&there).to_string());
    // Whoever follows it goes by these: they are there before the next one has the name.
    let next_place = (taken(&there) + same.len()).to_string();
    let next_name = names::with_suffix(path, NEXT);
    let next = open(&next_name)?;
    let marked = mark(&next, LIVING, "1")
        .and_then(|()| mark(&there, FROM, &place))
        .and_then(|()| mark(&next, FROM, &next_place))
        .and_then(|()| mark(&next, TAKEN, &next_place))
        .and_then(|()| stream.mark(&next).and_then(|()| stream.mark(&there)));
    if marked.is_err() || next.metadata()?.len() > 0 {
        fs::remove_file(next_name)?;
        return Ok(Aside::InPlace);
    }
    // From here on it is a rotated one.
    let _ = fremovexattr(&there, LIVING);
    let (_, name) = names::next(path, names::next_number(path));
    if let Err(error) = next.set_permissions(same.permissions()).and_then(|()| fs::rename(path, &name)) {
        let _ = mark(&there, LIVING, "1");
        let _ = fs::remove_file(next_name);
        return Err(error);
    }
    // Emptied meanwhile, by somebody who took it for the log still; or sees now that it is none.
    if there.metadata()?.len() == 0 {
        let _ = fs::remove_file(name);
    }
    fs::rename(next_name, path)?;
    Ok(Aside::Done(next))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::logs::rotate::head::is_piece;
    use crate::logs::rotate::rotated;

    fn append(path: &Path) -> File {
        OpenOptions::new().append(true).create(true).open(path).unwrap()
    }

    #[test]
    fn a_log_that_somebody_else_writes_to_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = append(&path);
        log.write_all(b"1\n2\n").unwrap();
        let other = append(&path);
        let open = |path: &Path| Ok(append(path));
        assert!(matches!(put_aside(&path, log, open).unwrap(), Aside::InPlace));
        drop(other);
        let reader = File::open(&path).unwrap();
        let Aside::Done(next) = put_aside(&path, append(&path), open).unwrap() else {
            panic!("readers are no writers")
        };
        drop(reader);
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        assert_eq!(fs::read_to_string(&rotated(&path)[0].path).unwrap(), "1\n2\n");
        assert_eq!((taken(&next), super::super::from(&next)), (4, Some(4)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
        assert!(!is_piece(&path) && is_piece(&rotated(&path)[0].path));
        drop(next);
        assert!(matches!(put_aside(&path, append(&path), open).unwrap(), Aside::Done(_)));
        assert!(!is_piece(&path) && rotated(&path).iter().all(|piece| is_piece(&piece.path)));

        let link = folder.path().join("link.log");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(put_aside(&link, append(&link), open).unwrap(), Aside::InPlace));
    }
}
