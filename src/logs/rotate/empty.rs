use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{OFlags, fremovexattr};

use super::head::{FROM, LIVING, TAKEN, lock_exclusive, mark, taken};
use super::names;
use crate::platform::user_id;

/// How often it is begun anew, because the log has got another name meanwhile.
const TRIES: u32 = 8;
/// Between two of these: of two names that change one after the other the second has changed by then.
const PAUSE: Duration = Duration::from_millis(1);

/// Empties a log, whoever writes to it, and removes what was rotated out of it. How many bytes that were.
///
/// Whoever follows it goes on with what is written next: what was there counts as taken out.
///
/// # Errors
/// The system's; where it is a link of somebody else's, it is left alone.
pub fn empty(log: &Path) -> io::Result<u64> {
    let mut freed = 0;
    for attempt in 0..TRIES {
        // The one that is going to have its name may not be there yet.
        let is_renamed = attempt == 0 && !log.exists() && !names::every(log).is_empty();
        freed += remove_rotated(log, u64::MAX);
        if is_renamed {
            std::thread::sleep(PAUSE);
        } else if empty_living(log, &mut freed)? {
            return Ok(freed);
        }
    }
    Err(io::Error::other("it is being rotated all the time"))
}

/// False when what it has emptied was rotated at that moment.
fn empty_living(log: &Path, freed: &mut u64) -> io::Result<bool> {
    if let Some(link) = foreign_link(log, user_id()) {
        return Err(io::Error::other(format!("`{}` is a link of somebody else's", link.display())));
    }
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = match OpenOptions::new().write(true).custom_flags(flags).open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        // Somebody is about to rotate it, and has just asked whether anybody writes to it.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            std::thread::sleep(PAUSE);
            return Ok(false);
        }
        opened => opened?,
    };
    let meta = file.metadata()?;
    // A terminal, or `/dev/null`: nothing is kept there.
    if !meta.is_file() {
        return Ok(true);
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
    *freed += length + remove_rotated(log, place);
    let is_it = |there: fs::Metadata| (there.dev(), there.ino()) == (meta.dev(), meta.ino());
    if log.metadata().is_ok_and(is_it) {
        return Ok(true);
    }
    let _ = fremovexattr(&file, LIVING);
    Ok(false)
}

/// What begins before a place; the rest was written later.
fn remove_rotated(log: &Path, before: u64) -> u64 {
    // Of what cannot say it nothing is known; it is removed by who empties it all.
    let from = |path: &Path| fs::File::open(path).ok().and_then(|file| super::from(&file));
    let is_wanted = |path: &Path| from(path).map_or(before == u64::MAX, |at| at < before);
    let files = names::own(names::every(log)).into_iter().filter(|rotated| is_wanted(&rotated.path));
    files.filter(|rotated| names::remove(rotated).is_ok()).map(|rotated| rotated.bytes).sum()
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

    #[test]
    fn what_gets_another_name_at_that_moment_is_left_under_none() {
        use crate::logs::rotate::{Aside, put_aside};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let open = |path: &Path| OpenOptions::new().append(true).create(true).open(path);
        let lines = "a line\n".repeat(200);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut log = open(&path).unwrap();
                for _ in 0..1_000 {
                    log.write_all(lines.as_bytes()).unwrap();
                    log = match put_aside(&path, log, open).unwrap() {
                        Aside::Done(next) => next,
                        Aside::InPlace => open(&path).unwrap(),
                    };
                }
            });
            while !writer.is_finished() {
                // Where the writer is always faster, that is said.
                if let Err(error) = empty(&path) {
                    assert_eq!(error.to_string(), "it is being rotated all the time");
                }
            }
        });
        empty(&path).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["a.log"]);
    }

    fn log_file(path: &Path) -> fs::File {
        fs::File::open(path).unwrap()
    }
}
