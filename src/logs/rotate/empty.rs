use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::head::{FROM, LIVING, TAKEN, lock_exclusive, mark, taken};
use super::names;
use crate::platform::user_id;

/// Empties a log, whoever writes to it, and removes what was rotated out of it. How many bytes that were.
///
/// Whoever follows it goes on with what is written next: what was there counts as taken out.
///
/// # Errors
/// The system's; where it is a link of somebody else's, it is left alone.
pub fn empty(log: &Path) -> io::Result<u64> {
    let mut freed = remove_rotated(log, u64::MAX);
    if let Some(link) = foreign_link(log, user_id()) {
        return Err(io::Error::other(format!("`{}` is a link of somebody else's", link.display())));
    }
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = match OpenOptions::new().write(true).custom_flags(flags).open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(freed),
        opened => opened?,
    };
    let meta = file.metadata()?;
    // A terminal, or `/dev/null`: nothing is kept there.
    if !meta.is_file() {
        return Ok(freed);
    }
    if meta.nlink() > 1 && meta.uid() != user_id() {
        return Err(io::Error::other("it has a second name, and belongs to somebody else"));
    }
    lock_exclusive(&file);
    // Whoever is copying its head finds below that this was in vain.
    for part in names::parts(log).into_iter().map(|(_, part)| part).chain(names::compressed_parts(log)) {
        let _ = fs::remove_file(part);
    }
    let length = file.metadata()?.len();
    let place = taken(&file) + length;
    for name in [LIVING, TAKEN, FROM] {
        let _ = mark(&file, name, &place.to_string());
    }
    file.set_len(0)?;
    // And what was rotated while this was at it.
    freed += remove_rotated(log, place);
    Ok(freed + length)
}

/// What begins before a place; the rest was written later.
fn remove_rotated(log: &Path, before: u64) -> u64 {
    let is_wanted =
        |path: &Path| fs::File::open(path).is_ok_and(|file| super::from(&file).is_some_and(|at| at < before));
    let files = names::own(names::every(log)).into_iter().filter(|rotated| is_wanted(&rotated.path));
    files.filter(|rotated| fs::remove_file(&rotated.path).is_ok()).map(|rotated| rotated.bytes).sum()
}

/// One on the way there that neither root nor this user has made.
fn foreign_link(path: &Path, user: u32) -> Option<&Path> {
    path.ancestors()
        .find(|part| part.symlink_metadata().is_ok_and(|meta| meta.is_symlink() && ![0, user].contains(&meta.uid())))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::logs::rotate::{compress, from, rotate, rotated};
    use crate::spec::Rotation;

    #[test]
    fn a_log_is_emptied_under_its_writer_and_what_others_have_put_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        assert_eq!(empty(&path).unwrap(), 0, "nothing was written yet");
        let mut log = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        log.write_all("a line\n".repeat(3_000).as_bytes()).unwrap();
        assert!(rotate(&path, &Rotation { max_size: 10_000, retain: 9, compress: false }).unwrap());
        fs::write(folder.path().join("a.log.7"), "somebody else's").unwrap();
        assert!(empty(&path).unwrap() > 20_000);
        log.write_all(b"next\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "next\n");
        let left: Vec<u64> = rotated(&path).iter().map(|file| file.number).collect();
        assert_eq!(left, [7]);
    }

    #[test]
    fn what_a_crash_has_left_between_compressing_and_removing_goes_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        for name in ["a.log", "a.log.1", "a.log.1.gz", "a.log.2.gz.part"] {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            mark(&file, FROM, "0").unwrap();
            mark(&file, TAKEN, "10").unwrap();
        }
        empty(&path).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["a.log"]);
    }

    #[test]
    fn what_is_rotated_at_that_moment_goes_as_well() {
        use std::sync::atomic::{AtomicBool, Ordering};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let lines = "a line\n".repeat(20_000);
        let is_over = AtomicBool::new(false);
        let mut place = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    rotate(&path, &Rotation { max_size: 20_000, retain: 1_000, compress: true }).unwrap();
                    compress(&path).unwrap();
                }
            });
            for _ in 0..20 {
                for _ in 0..5 {
                    log.write_all(lines.as_bytes()).unwrap();
                }
                empty(&path).unwrap();
                place = from(&log_file(&path)).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        let left = rotated(&path).into_iter().map(|piece| from(&log_file(&piece.path)));
        assert!(left.clone().all(|from| from >= Some(place)), "{place} {:?}", left.collect::<Vec<_>>());
    }

    fn log_file(path: &Path) -> fs::File {
        fs::File::open(path).unwrap()
    }
}
