use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::own_files::OwnFiles;
use super::scope::Scope;
use super::walk::{Found, walk};

/// Endings of files that are looked at every `binaryInterval` only.
const BINARY: [&str; 30] = [
    "png", "jpg", "jpeg", "gif", "webp", "avif", "ico", "bmp", "tiff", "pdf", "zip", "gz", "tgz", "bz2", "xz", "zst",
    "7z", "jar", "war", "mp3", "mp4", "webm", "ogg", "wav", "woff", "woff2", "ttf", "otf", "wasm", "so",
];

/// Looks at the files of an app again and again.
///
/// By hand, because notify's own polling compares times in whole seconds, and only later ones: a second change within
/// one second, or a file that is put back, is never noticed.
#[derive(Debug)]
pub(super) struct Polling {
    files: BTreeMap<PathBuf, Stamp>,
    interval: Duration,
    binary_interval: Duration,
    pub(super) next: Instant,
    next_binary: Instant,
}

/// A file that is another, or has other content, has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Polling {
    pub(super) fn new(scope: &Scope, own: &OwnFiles, now: Instant) -> Self {
        let interval = Duration::from_millis(scope.options.interval_ms);
        let binary_interval = Duration::from_millis(scope.options.binary_interval_ms);
        let files = look(scope, own, None);
        Self { files, interval, binary_interval, next: now + interval, next_binary: now + binary_interval }
    }

    /// What has changed since the last look.
    pub(super) fn look(&mut self, scope: &Scope, own: &OwnFiles, now: Instant) -> Vec<PathBuf> {
        let with_binary = self.next_binary <= now;
        let files = look(scope, own, (!with_binary).then_some(&self.files));
        let changed = files.iter().filter(|(path, stamp)| self.files.get(*path) != Some(stamp));
        let gone = self.files.keys().filter(|path| !files.contains_key(*path));
        let news = changed.map(|(path, _)| path).chain(gone).cloned().collect();
        self.files = files;
        // From when it ended, so that a large tree on a slow disk leaves time for something else.
        let ended = now.max(Instant::now());
        self.next = ended + self.interval;
        if with_binary {
            self.next_binary = ended + self.binary_interval;
        }
        news
    }
}

/// `kept`: what is said of binary files, in place of a look.
fn look(scope: &Scope, own: &OwnFiles, kept: Option<&BTreeMap<PathBuf, Stamp>>) -> BTreeMap<PathBuf, Stamp> {
    let mut files = BTreeMap::new();
    for root in &scope.roots {
        walk(scope, own, &root.base, &mut |found| {
            if let Found::File { path } = found {
                let known = kept.filter(|_| is_binary(path)).and_then(|kept| kept.get(*path)).copied();
                if let Some(stamp) = known.or_else(|| Stamp::of(path)) {
                    files.insert((*path).to_owned(), stamp);
                }
            }
        });
    }
    files
}

fn is_binary(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| BINARY.contains(&ending.to_ascii_lowercase().as_str()))
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}
