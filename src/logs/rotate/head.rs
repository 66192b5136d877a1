use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, FlockOperation, XattrFlags, fallocate, fgetxattr, flock, fsetxattr, lgetxattr};
use rustix::io::Errno;

use super::names;
use super::stream::Stream;
use crate::spec::Rotation;

/// How much was taken out of the beginning of a file, in decimal.
pub(super) const TAKEN: &str = "user.pmrun.taken";
/// Of a rotated file: how much was taken out of the log before it.
pub(super) const FROM: &str = "user.pmrun.from";
/// Of a log that bears the other, too, as it has the place of one that was rotated.
pub(super) const LIVING: &str = "user.pmrun.living";
/// Of a rotated file that can bear none of these: the sticky bit, which means nothing for files, and which they have from nobody.
const NO_MARKS: u32 = 0o1000;
/// Where no line ends within this, the log is cut anywhere.
const LINE_SOUGHT: u64 = 1 << 20;
/// How long a reader may hold the lock; it needs it for single reads.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// What is copied at a time, and taken out at a time of a log that may not be larger: others do not wait any longer.
pub(super) const SLICE: u64 = 16 << 20;

/// Where a log is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// The first byte that is there.
    start: u64,
    /// What comes before goes, in whole blocks.
    blocks: u64,
    /// What comes before is copied; as much of the line as lies behind the blocks stays as spaces.
    lines: u64,
}

/// Copies the head of a log that is too big to files of its own and takes it out, or some of it. False when it is small
/// enough. There is a `turn` for others after each slice.
pub(super) fn take(path: &Path, rotation: &Rotation, turn: &mut dyn FnMut()) -> io::Result<bool> {
    let meta = path.metadata()?;
    if meta.len() < rotation.max_size || !meta.is_file() {
        return Ok(false);
    }
    // A link that its owner could not have followed to there is none of an app's: `log -> /etc/passwd`.
    let is_trusted = |link: std::fs::Metadata| !link.is_symlink() || [0, meta.uid()].contains(&link.uid());
    if !path.symlink_metadata().is_ok_and(is_trusted) {
        return Err(io::Error::other("it is a link of somebody else's"));
    }
    let log = OpenOptions::new().read(true).write(true).open(path)?;
    let same = log.metadata()?;
    if (same.dev(), same.ino()) != (meta.dev(), meta.ino()) {
        return Ok(false);
    }
    let before = taken(&log);
    let start = data_start(&log)?;
    let size = log.metadata()?.len();
    if rotation.max_size == 0 || size.saturating_sub(start) < rotation.max_size {
        return Ok(false);
    }
    let block = rustix::fs::fstatfs(&log).ok().and_then(|stat| u64::try_from(stat.f_bsize).ok()).unwrap_or(4096);
    // What was copied is not wanted then, and what is there was not copied.
    let is_emptied = || taken(&log) != before || log.metadata().is_ok_and(|meta| meta.len() < size);
    // What would be removed at once is not copied.
    let kept = u64::from(rotation.retain).saturating_add(1).saturating_mul(rotation.max_size);
    let earliest = size.saturating_sub(kept).max(start);
    let slice = rotation.max_size.saturating_mul((SLICE / rotation.max_size).max(1));
    let cut = match cut(&log, start, size.min(earliest.saturating_add(slice)), block.max(512)) {
        Err(_) if is_emptied() => None,
        cut => cut?,
    };
    let Some(cut) = cut else { return Ok(false) };
    let done = copy(&log, path, (earliest, cut), rotation.max_size, turn).and_then(|()| {
        // Nobody reads from now on until what was taken out has its name; with the file the lock goes.
        lock_exclusive(&log);
        if is_emptied() { Ok(false) } else { take_out(&log, cut).map(|()| true) }
    });
    if let Ok(true) = done {
        names::finish(path)?;
        return Ok(true);
    }
    // It is all in the log still, or has gone.
    for (_, part) in names::parts(path) {
        let _ = std::fs::remove_file(part);
    }
    if is_emptied() { Ok(false) } else { done }
}

/// At least one byte stays: a file cannot be taken out as a whole.
fn cut(log: &File, start: u64, size: u64, block: u64) -> io::Result<Option<Cut>> {
    let mut at = (size - 1) / block * block;
    let cut = |blocks, lines| (blocks > start).then_some(Cut { start, blocks, lines });
    loop {
        if at == 0 {
            return Ok(None);
        }
        match line_end_from(log, at - 1, size)? {
            None => break,
            // Nothing but a newline would stay, which looks like a line: it takes the next line along.
            Some(end) if end == at + 1 => match line_end_from(log, end, size)? {
                Some(end) => return Ok(cut(at, end)),
                None => at -= block,
            },
            Some(end) => return Ok(cut(at, end)),
        }
    }
    // The last line begins before the block: it stays.
    let earliest = at.saturating_sub(LINE_SOUGHT).max(start);
    Ok(match last_line_end(log, earliest, at)? {
        Some(end) => cut(end.saturating_sub(2) / block * block, end),
        None if at - earliest < LINE_SOUGHT => None,
        None => cut(at, at),
    })
}

/// What follows the first newline at or behind a place.
fn line_end_from(log: &File, from: u64, size: u64) -> io::Result<Option<u64>> {
    let mut bytes = vec![0; usize::try_from(size - from).unwrap_or(usize::MAX).min(64 << 10)];
    log.read_exact_at(&mut bytes, from)?;
    Ok(memchr::memchr(b'\n', &bytes).map(|at| from + at as u64 + 1))
}

fn last_line_end(log: &File, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut bytes = vec![0; usize::try_from(to - from).unwrap_or_default()];
    log.read_exact_at(&mut bytes, from)?;
    Ok(memchr::memrchr(b'\n', &bytes).map(|at| from + at as u64 + 1))
}

/// In pieces of about the size that a log may have; on disk when this returns.
fn copy(log: &File, path: &Path, (earliest, cut): (u64, Cut), max_size: u64, turn: &mut dyn FnMut()) -> io::Result<()> {
    let meta = log.metadata()?;
    let (taken, stream) = (taken(log), Stream::of(log)?);
    let mut number = names::next_number(path);
    let mut from = cut.start;
    if earliest > from {
        from = line_end_from(log, earliest - 1, cut.lines.max(earliest))?.unwrap_or(earliest);
    }
    while from < cut.lines {
        let mut to = cut.lines;
        // What would be a sliver stays with what comes before it: pieces are counted, however small they are.
        if to - from > max_size.saturating_add(max_size / 4) {
            to = line_end_from(log, from + max_size - 1, cut.lines)?.unwrap_or(from + max_size);
        }
        let (part, _) = names::next(path, number);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&part)?;
        // As the log is: for its owner only, if that is so.
        file.set_permissions(meta.permissions())?;
        let _ = std::os::unix::fs::fchown(&file, Some(meta.uid()), Some(meta.gid()));
        let mut source = log;
        source.seek(SeekFrom::Start(from))?;
        let mut left = to - from;
        while left > 0 {
            let slice = left.min(SLICE);
            if io::copy(&mut source.take(slice), &mut file)? != slice {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= slice;
            if left > 0 {
                file.sync_data()?;
                turn();
            }
        }
        let marked = mark(&file, FROM, &(taken + from).to_string()).and_then(|()| stream.mark(&file));
        tell_apart(&file, marked.is_ok())?;
        file.sync_data()?;
        (from, number) = (to, number + 1);
    }
    Ok(())
}

fn take_out(log: &File, cut: Cut) -> io::Result<()> {
    let taken = taken(log);
    let keep = |value: u64| mark(log, TAKEN, &value.to_string());
    // Without the attribute nobody could follow.
    if cut.start == 0 && keep(taken).is_ok() {
        let rest = usize::try_from(cut.lines - cut.blocks).unwrap_or_default();
        let mut was = vec![0; rest.saturating_sub(1)];
        log.read_exact_at(&mut was, cut.blocks)?;
        let out = log.write_all_at(&vec![b' '; was.len()], cut.blocks).and_then(|()| {
            keep(taken + cut.blocks)?;
            Ok(fallocate(log, FallocateFlags::COLLAPSE_RANGE, 0, cut.blocks)?)
        });
        if out.is_ok() {
            return Ok(());
        }
        log.write_all_at(&was, cut.blocks)?;
        keep(taken)?;
    }
    match fallocate(log, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, cut.lines) {
        Err(Errno::OPNOTSUPP) => Err(io::Error::other("its file system can take nothing out of a file")),
        result => Ok(result?),
    }
}

/// Somebody who was stopped in the middle of a read is not waited for.
pub(super) fn lock_exclusive(log: &File) {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match flock(log, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::AGAIN) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Ok(()) | Err(_) => return,
        }
    }
}

/// While it is held, nothing is taken out of the file. Released by [`Unlock`]'s end.
pub fn lock_shared(log: &File) -> Unlock<'_> {
    let _ = flock(log, FlockOperation::LockShared);
    Unlock(log)
}

#[derive(Debug)]
pub struct Unlock<'a>(&'a File);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

/// How much was taken out of the beginning of a log since it was made.
pub fn taken(log: &File) -> u64 {
    number(log, TAKEN).unwrap_or(0)
}

/// Of a rotated file: how much was taken out of its log before it.
pub fn from(rotated: &File) -> Option<u64> {
    number(rotated, FROM)
}

/// Whether pmrun has rotated it out of a log; not a log that somebody else has given such a name.
pub(super) fn is_piece(path: &Path) -> bool {
    let bears = |name: &str| lgetxattr(path, name, &mut [0_u8; 64][..]).is_ok();
    let is_told = || path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.mode() & NO_MARKS != 0);
    if bears(FROM) { !bears(LIVING) } else { is_told() }
}

/// Where a file system keeps no attributes, a bit tells that pmrun may remove a file. Where in the log it belongs is not known then.
fn tell_apart(piece: &File, is_marked: bool) -> io::Result<()> {
    if is_marked {
        return Ok(());
    }
    let mode = piece.metadata()?.mode();
    piece.set_permissions(Permissions::from_mode(mode & 0o7777 | NO_MARKS))
}

/// A log that somebody may still write to, whatever it is called by now.
pub fn is_living(file: &File) -> bool {
    number(file, FROM).is_none() || text(file, LIVING, &mut [0; 64]).is_some()
}

/// So that a compressed file is found like the one that it was made of.
pub(super) fn keep_from(source: &File, target: &File) {
    for name in [FROM, TAKEN] {
        if let Some(place) = number(source, name) {
            let _ = mark(target, name, &place.to_string());
        }
    }
    if let Ok(stream) = Stream::of(source) {
        let _ = stream.mark(target);
    }
}

pub(super) fn mark(file: &File, name: &str, value: &str) -> rustix::io::Result<()> {
    fsetxattr(file, name, value.as_bytes(), XattrFlags::empty())
}

fn number(file: &File, name: &str) -> Option<u64> {
    text(file, name, &mut [0; 64])?.parse().ok()
}

pub(super) fn text<'a>(file: &File, name: &str, space: &'a mut [u8; 64]) -> Option<&'a str> {
    let length = fgetxattr(file, name, &mut space[..]).ok()?;
    std::str::from_utf8(space.get(..length)?).ok()
}

/// Where a log begins that has a hole in its place.
///
/// # Errors
/// The system's.
pub fn data_start(log: &File) -> io::Result<u64> {
    let data = match rustix::fs::seek(log, rustix::fs::SeekFrom::Data(0)) {
        Ok(0) => return Ok(0),
        Ok(data) => data,
        // Nothing but a hole, or no such question.
        Err(Errno::NXIO) => return Ok(log.metadata()?.len()),
        Err(_) => return Ok(0),
    };
    // A hole begins and ends with pages.
    let mut bytes = vec![0; 64 << 10];
    let length = log.read_at(&mut bytes, data)?;
    let zeros = bytes[..length].iter().take_while(|byte| **byte == 0).count();
    Ok(data + zeros as u64)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::logs::rotate::{compress, rotate, rotated};

    fn rotation(max_size: u64) -> Rotation {
        Rotation { max_size, retain: 1_000, compress: false }
    }

    /// Of all rotated files and the log.
    fn lines(path: &Path) -> Vec<String> {
        let files = rotated(path).into_iter().map(|file| file.path).chain([path.to_owned()]);
        let text: String = files.map(|file| std::fs::read_to_string(file).unwrap().replace('\0', "")).collect();
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    }

    fn check(folder: &Path) {
        let path = folder.join("a.log");
        let mut log = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let mut written = 0;
        for round in 1..5_u64 {
            for _ in 0..2_000 {
                written += 1;
                writeln!(log, "line {written} of some length").unwrap();
            }
            assert!(rotate(&path, &rotation(20_000)).unwrap(), "round {round}");
            assert!(path.metadata().unwrap().blocks() * 512 <= 3 * 4096);
            let want: Vec<String> = (1..=written).map(|number| format!("line {number} of some length")).collect();
            assert_eq!(lines(&path), want);
        }
        assert!(!rotate(&path, &rotation(20_000)).unwrap());
        for file in rotated(&path) {
            let text = std::fs::read_to_string(&file.path).unwrap();
            assert!(
                text.ends_with('\n') && text.starts_with([' ', 'l']) && text.len() < 21_000,
                "{}",
                file.path.display()
            );
        }
        let before = rotated(&path).len();
        compress(&path).unwrap();
        let after = rotated(&path);
        assert_eq!((after.len(), after.iter().filter(|file| !file.compressed).count()), (before, 1));
        let text = std::fs::read(&after[0].path).unwrap();
        let mut first = String::new();
        flate2::read::GzDecoder::new(text.as_slice()).read_to_string(&mut first).unwrap();
        assert!(first.starts_with("line 1 of"));
    }

    #[test]
    fn a_head_that_is_taken_out_is_in_the_rotated_files() {
        check(tempfile::tempdir().unwrap().path());
    }

    #[test]
    fn where_nothing_can_be_taken_out_a_hole_is_made() {
        let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return };
        check(folder.path());
    }

    #[test]
    fn of_a_huge_log_a_slice_is_taken_at_a_time_and_others_have_their_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let text = "a line of some length, as lines have\n".repeat(1_200_000);
        let length = text.len() as u64;
        for (max_size, rotations, turns) in [(1 << 20, 3, 0), (40 << 20, 1, 2)] {
            std::fs::write(&path, &text).unwrap();
            let (mut taken, mut breaks) = (0, 0);
            while take(&path, &rotation(max_size), &mut || breaks += 1).unwrap() {
                taken += 1;
            }
            assert_eq!((taken, breaks), (rotations, turns));
            let left = path.metadata().unwrap().len();
            let total: u64 = rotated(&path).iter().map(|file| file.bytes).sum();
            assert!(left < max_size && (length..length + 4096 * 4).contains(&(total + left)), "{left} {total}");
            assert!(rotated(&path).iter().all(|file| file.bytes <= max_size + 100));
            crate::logs::rotate::empty(&path).unwrap();
        }
        // What is not kept is not copied.
        std::fs::write(&path, &text).unwrap();
        assert!(take(&path, &Rotation { retain: 2, ..rotation(1 << 20) }, &mut || ()).unwrap());
        let total: u64 = rotated(&path).iter().map(|file| file.bytes).sum();
        assert!(total <= 4 << 20 && path.metadata().unwrap().len() < 1 << 20, "{total}");
    }

    #[test]
    fn a_small_rest_is_no_piece_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        // In blocks of 4096 bytes, and what lies behind them.
        for (length, pieces) in [(12_500, 1), (16_500, 2), (20_600, 2), (24_700, 3)] {
            std::fs::write(&path, "a line\n".repeat(length / 7)).unwrap();
            assert!(rotate(&path, &rotation(10_000)).unwrap());
            assert_eq!(rotated(&path).len(), pieces, "{length}");
            crate::logs::rotate::empty(&path).unwrap();
        }
    }

    #[test]
    fn where_no_attributes_are_kept_a_bit_tells_what_may_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        for number in 1..=4 {
            let piece = File::create(folder.path().join(format!("a.log.{number}"))).unwrap();
            tell_apart(&piece, number == 2).unwrap();
        }
        compress(&log).unwrap();
        let names =
            || rotated(&log).into_iter().map(|file| file.number.to_string() + if file.compressed { "z" } else { "" });
        assert_eq!(names().collect::<Vec<_>>(), ["1z", "2", "3z", "4"]);
        crate::logs::rotate::retain(&log, 1);
        assert_eq!(names().collect::<Vec<_>>(), ["2", "4"]);
        crate::logs::rotate::empty(&log).unwrap();
        assert_eq!(names().collect::<Vec<_>>(), ["2"]);
    }

    #[test]
    fn no_line_is_added_where_a_block_ends_with_a_line() {
        for (before, after) in [(4095, 9), (4096, 9), (4097, 9), (4096, 0), (8192, 0), (8191, 1)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.log");
            let text = format!("first\n{}\n{}", "a".repeat(before - 6), "b\n".repeat(after));
            std::fs::write(&path, &text).unwrap();
            let _ = rotate(&path, &rotation(100)).unwrap();
            assert_eq!(lines(&path), text.lines().collect::<Vec<_>>(), "{before} {after}");
            assert!(!std::fs::read_to_string(&path).unwrap().starts_with('\n'), "{before} {after}");
        }
    }

    #[test]
    fn only_what_is_kept_is_copied_and_an_endless_line_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let text = (0..10_000).map(|number| number.to_string()).collect::<Vec<_>>().join("\n") + "\n";
        std::fs::write(&path, &text).unwrap();
        rotate(&path, &Rotation { retain: 2, ..rotation(10_000) }).unwrap();
        assert_eq!(rotated(&path).len(), 2);
        assert_eq!(lines(&path).last().unwrap(), "9999");
        let endless = folder.path().join("e.log");
        std::fs::write(&endless, vec![b'x'; 5 << 20]).unwrap();
        assert!(rotate(&endless, &rotation(1 << 20)).unwrap());
        let total: u64 = rotated(&endless).iter().map(|file| file.bytes).sum();
        assert!(endless.metadata().unwrap().len() <= 4096 && total >= (5 << 20) - 4096);
    }
}
