use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::head::is_piece;

/// A file that is being written.
const PART: &str = ".part";

/// The earlier part of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    pub path: PathBuf,
    pub number: u64,
    pub compressed: bool,
    pub(super) bytes: u64,
    pub modified: SystemTime,
}

/// What was rotated out of a log, the oldest first.
#[must_use]
pub fn rotated(log: &Path) -> Vec<Rotated> {
    let mut files = every(log);
    // Both are there when it ended between making one and removing the other.
    files.dedup_by_key(|file| file.number);
    files
}

/// Of those, what pmrun has rotated itself: logrotate's files have such names, too, and so may an app's log. Where a file
/// system keeps no attributes nobody can tell, and none is.
pub(super) fn own(files: Vec<Rotated>) -> Vec<Rotated> {
    files.into_iter().filter(|file| is_piece(&file.path)).collect()
}

/// Of one number there may be two.
pub(super) fn every(log: &Path) -> Vec<Rotated> {
    let mut files = in_folder(log.parent(), |name| log.file_name().is_some_and(|log| log == name));
    files.sort_by_key(|file| (file.number, file.compressed));
    files
}

/// What was rotated out of any log of a folder.
pub(super) fn all_rotated(folder: &Path) -> Vec<Rotated> {
    in_folder(Some(folder), |name| name.to_string_lossy().ends_with(".log"))
}

/// The next file that a part of the log goes to, and its name once that is whole.
pub(super) fn next(log: &Path, number: u64) -> (PathBuf, PathBuf) {
    let named = with_suffix(log, &format!(".{number}"));
    (with_suffix(&named, PART), named)
}

pub(super) fn next_number(log: &Path) -> u64 {
    rotated(log).last().map_or(0, |file| file.number).max(parts(log).last().map_or(0, |part| part.0)) + 1
}

/// What was taken out of the log, or may have been, gets its name.
pub(super) fn finish(log: &Path) -> io::Result<()> {
    for (_, part) in parts(log) {
        fs::rename(&part, part.with_extension(""))?;
    }
    Ok(())
}

pub(super) fn retain(log: &Path, count: u32) {
    let every = own(every(log));
    let mut files = every.clone();
    files.dedup_by_key(|file| file.number);
    let surplus = files.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
    let Some(last) = surplus.checked_sub(1).map(|last| files[last].number) else { return };
    for file in every.iter().take_while(|file| file.number <= last) {
        let _ = remove(file);
    }
}

/// Under the name that it has got meanwhile, where it was compressed since it was listed: the oldest would be left, and
/// what came after it not.
pub(super) fn remove(file: &Rotated) -> io::Result<()> {
    match fs::remove_file(&file.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !file.compressed => {
            let mut path = file.path.clone().into_os_string();
            path.push(".gz");
            fs::remove_file(path)
        }
        removed => removed,
    }
}

pub(super) fn parts(log: &Path) -> Vec<(u64, PathBuf)> {
    unfinished(log, PART)
}

/// What was being compressed.
pub(super) fn compressed_parts(log: &Path) -> Vec<PathBuf> {
    unfinished(log, ".gz.part").into_iter().map(|(_, path)| path).collect()
}

/// What was being compressed of any log of a folder.
pub(super) fn compressed_parts_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| compressed_part_of(path).is_some()).collect()
}

/// The logs of a folder of which something was being compressed, or more is not compressed than the newest.
pub(super) fn left_over(folder: &Path) -> HashSet<PathBuf> {
    let (mut left, mut plain) = (HashSet::new(), HashSet::new());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if let Some(log) = compressed_part_of(&path) {
            left.insert(log);
        } else if let Some(log) = numbered(&path)
            && !plain.insert(log.clone())
        {
            left.insert(log);
        }
    }
    left
}

fn compressed_part_of(path: &Path) -> Option<PathBuf> {
    let gz = path.extension().is_some_and(|extension| extension == "part").then(|| path.with_extension(""))?;
    gz.extension().is_some_and(|extension| extension == "gz").then(|| numbered(&gz.with_extension("")))?
}

/// The log whose piece has this name.
fn numbered(path: &Path) -> Option<PathBuf> {
    path.extension()?.to_str()?.parse::<u64>().ok()?;
    Some(path.with_extension(""))
}

fn unfinished(log: &Path, ending: &str) -> Vec<(u64, PathBuf)> {
    let Some(name) = log.file_name().map(|name| name.to_string_lossy().into_owned()) else { return Vec::new() };
    let entries = log.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let part = |entry: fs::DirEntry| {
        let entry_name = entry.file_name();
        let number = entry_name.to_str()?.strip_prefix(&name)?.strip_prefix('.')?.strip_suffix(ending)?.parse().ok()?;
        Some((number, entry.path()))
    };
    let mut parts: Vec<(u64, PathBuf)> = entries.filter_map(part).collect();
    parts.sort();
    parts
}

fn in_folder(folder: Option<&Path>, of: impl Fn(&std::ffi::OsStr) -> bool) -> Vec<Rotated> {
    let entries = folder.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    entries.filter_map(|entry| file(&entry, &of)).collect()
}

fn file(entry: &fs::DirEntry, of: impl Fn(&std::ffi::OsStr) -> bool) -> Option<Rotated> {
    let path = entry.path();
    let compressed = path.extension().is_some_and(|extension| extension == "gz");
    let plain = if compressed { path.with_extension("") } else { path.clone() };
    // There is one behind it.
    let number = plain.extension()?.to_str()?.parse().ok().filter(|number| *number < u64::MAX)?;
    if !of(plain.file_stem()?) {
        return None;
    }
    let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
    let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Some(Rotated { path, number, compressed, bytes: meta.len(), modified })
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::rotate::head::FROM;
    use crate::logs::rotate::{compress, keep_within, rotate};
    use crate::spec::Rotation;

    fn mark(path: &Path) {
        fs::write(path, "a line\n").unwrap();
        let file = fs::File::open(path).unwrap();
        rustix::fs::fsetxattr(&file, FROM, b"0", rustix::fs::XattrFlags::empty()).unwrap();
    }

    #[test]
    fn what_others_have_named_alike_stays() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("app.log");
        let others = ["app.log.1", "app.log.2.gz", "app.log.20251101"].map(|name| folder.path().join(name));
        for other in &others {
            fs::write(other, "somebody else's").unwrap();
        }
        for _ in 0..5 {
            fs::write(&log, "a line\n".repeat(3_000)).unwrap();
            assert!(rotate(&log, &Rotation { max_size: 10_000, retain: 2, compress: true }).unwrap());
            compress(&log).unwrap();
        }
        assert_eq!(own(every(&log)).len(), 2);
        keep_within(folder.path(), 0);
        assert!(own(every(&log)).is_empty());
        assert!(others.iter().all(|other| fs::read_to_string(other).unwrap() == "somebody else's"));
        assert_eq!(rotated(&log).len(), 3);
    }

    #[test]
    fn numbers_tell_the_order_and_others_files_are_nobodys() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        for name in
            ["a.log", "a.log.9", "a.log.10", "a.log.2.gz", "a.log.2", "a.log.x", "a.logs.3", "b.log.4", "a.log.11.part"]
        {
            mark(&folder.path().join(name));
        }
        let numbers = |log: &Path| rotated(log).iter().map(|file| (file.number, file.compressed)).collect::<Vec<_>>();
        assert_eq!(numbers(&log), [(2, false), (9, false), (10, false)]);
        assert_eq!(next_number(&log), 12);
        finish(&log).unwrap();
        assert_eq!(numbers(&log), [(2, false), (9, false), (10, false), (11, false)]);
        retain(&log, 3);
        assert!(!folder.path().join("a.log.2").exists() && !folder.path().join("a.log.2.gz").exists());
        retain(&log, 2);
        let oldest = rotated(&log).remove(0);
        fs::rename(&oldest.path, folder.path().join("a.log.10.gz")).unwrap();
        remove(&oldest).unwrap();
        assert_eq!(numbers(&log), [(11, false)], "compressed since it was listed");
        assert_eq!(rotated(&log).last().unwrap().number, 11);
        assert!(!folder.path().join("a.log.9").exists() && folder.path().join("b.log.4").exists());
        super::super::keep_within(folder.path(), 0);
        assert!(rotated(&log).is_empty() && log.exists() && !folder.path().join("b.log.4").exists());
    }
}
