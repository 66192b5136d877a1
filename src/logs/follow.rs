use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{Line, Lines, Tail};

/// Where followed lines go.
pub trait Sink {
    /// A line of the file with this number.
    ///
    /// # Errors
    /// Ends the following.
    fn line(&mut self, file: usize, line: &Line) -> io::Result<()>;

    /// There is nothing more for now: what was held back may be shown.
    ///
    /// # Errors
    /// Ends the following.
    fn idle(&mut self) -> io::Result<()>;
}

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("failed to watch `{folder}`")]
    Watch {
        folder: PathBuf,
        #[source]
        err: notify::Error,
    },
    #[error("failed to watch files")]
    Start(#[source] notify::Error),
    #[error("the watch on files ended")]
    Ended,
    /// The sink would not go on.
    #[error("failed to write")]
    Sink(#[source] io::Error),
}

/// Of the system's events: while the reader of `logs -f` stands still, no more are kept.
const EVENTS_MAX: usize = 1_024;

/// Files that are read as they grow.
///
/// Folders are watched, not files, because a file may come later or be replaced. Of a folder that is not there,
/// the nearest one above is watched until it is.
#[derive(Debug)]
pub struct Follower {
    files: Vec<Followed>,
    by_path: BTreeMap<PathBuf, usize>,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    events: Receiver<notify::Result<Event>>,
    /// There were more events than have room: any file may have more.
    missed: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Followed {
    path: PathBuf,
    lines: Option<Lines>,
}

impl Follower {
    /// Begins to watch; nothing that is written from now on is missed. Paths are absolute, each given once.
    ///
    /// # Errors
    /// When the system has no watches left.
    pub fn new(paths: Vec<PathBuf>) -> Result<Self, FollowError> {
        let (sender, events) = sync_channel(EVENTS_MAX);
        let missed = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&missed);
        // Not blocked when nobody reads what is printed: the watcher's own calls wait for this thread.
        let tell = move |event| {
            if let Err(TrySendError::Full(event)) = sender.try_send(event) {
                told.store(true, Ordering::SeqCst);
                // Whoever emptied it just now has not seen that.
                let _ = sender.try_send(event);
            }
        };
        let watcher = notify::recommended_watcher(tell).map_err(FollowError::Start)?;
        let by_path = paths.iter().cloned().enumerate().map(|(at, path)| (path, at)).collect();
        let files = paths.into_iter().map(|path| Followed { path, lines: None }).collect();
        let mut follower = Self { files, by_path, watcher, watched: BTreeSet::new(), events, missed };
        follower.watch()?;
        Ok(follower)
    }

    /// Gives the last `count` lines of each file, then every line that is written, until the sink refuses one.
    ///
    /// # Errors
    /// Always ends with one.
    pub fn run(mut self, count: usize, sink: &mut dyn Sink) -> Result<(), FollowError> {
        for (at, file) in self.files.iter_mut().enumerate() {
            file.begin(at, count, sink).map_err(FollowError::Sink)?;
        }
        loop {
            sink.idle().map_err(FollowError::Sink)?;
            for at in self.wait()? {
                self.files[at].read(at, sink).map_err(FollowError::Sink)?;
            }
        }
    }

    /// Sleeps until something was written; the files that may have more.
    fn wait(&mut self) -> Result<BTreeSet<usize>, FollowError> {
        let mut touched = BTreeSet::new();
        let mut folders_moved = false;
        let mut next = Some(self.events.recv().map_err(|_| FollowError::Ended)?);
        while let Some(event) = next {
            match event {
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
                Ok(event) if !event.need_rescan() => {
                    for path in &event.paths {
                        match self.by_path.get(path) {
                            Some(at) => {
                                touched.insert(*at);
                            }
                            None => folders_moved |= self.is_above(path, event.kind),
                        }
                    }
                }
                // Events were lost.
                Ok(_) | Err(_) => folders_moved = true,
            }
            next = self.events.try_recv().ok();
        }
        folders_moved |= self.missed.swap(false, Ordering::SeqCst);
        if folders_moved {
            self.watch()?;
            touched.extend(0..self.files.len());
        }
        Ok(touched)
    }

    /// Whether a folder that matters has come or gone. A watch that lost its folder is forgotten.
    fn is_above(&mut self, path: &Path, kind: EventKind) -> bool {
        if self.watched.contains(path) && !matches!(kind, EventKind::Create(_)) {
            self.watched.remove(path);
            // Moved, not removed: the kernel's watch would go on by the new name.
            let _ = self.watcher.unwatch(path);
        }
        self.by_path.keys().any(|file| file.starts_with(path))
    }

    fn watch(&mut self) -> Result<(), FollowError> {
        let folders: BTreeSet<PathBuf> =
            self.files.iter().filter_map(|file| file.path.parent()).map(Path::to_owned).collect();
        for wanted in folders {
            // A folder that is made between looking and watching would go unseen: look again.
            while let Some(folder) = wanted.ancestors().find(|folder| folder.is_dir()) {
                if !self.watched.insert(folder.to_owned()) {
                    break;
                }
                match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                    Ok(()) => {}
                    Err(err) if folder.is_dir() => return Err(FollowError::Watch { folder: folder.to_owned(), err }),
                    Err(_) => {
                        self.watched.remove(folder);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Followed {
    fn begin(&mut self, at: usize, count: usize, sink: &mut dyn Sink) -> io::Result<()> {
        // A file that is not there yet, or may not be read, is read when it can be.
        let Ok(mut tail) = Tail::open(&self.path, count, 0) else { return Ok(()) };
        let result = drain(tail.lines(), at, sink);
        self.lines = Some(tail.into_lines());
        result
    }

    fn read(&mut self, at: usize, sink: &mut dyn Sink) -> io::Result<()> {
        loop {
            let Some(lines) = &mut self.lines else {
                match Lines::open(&self.path, 0) {
                    Ok(lines) => self.lines = Some(lines),
                    Err(_) => return Ok(()),
                }
                continue;
            };
            // A file that can no longer be read has nothing more to say.
            let _ = lines.rewind_if_truncated();
            drain(lines, at, sink)?;
            if self.is_current() {
                return Ok(());
            }
            // It was renamed or removed. Its writer may go on for a moment, but what it writes next to the new file is
            // what is wanted.
            if let Some(rest) = self.lines.take().and_then(|mut lines| lines.take_partial()) {
                sink.line(at, &rest)?;
            }
        }
    }

    /// Whether the open file is the one that the path names, or the path names none yet.
    fn is_current(&self) -> bool {
        let identity = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        let opened = self.lines.as_ref().and_then(|lines| lines.file().metadata().ok()).map(identity);
        match self.path.metadata() {
            Ok(meta) => opened == Some(identity(meta)),
            Err(_) => true,
        }
    }
}

fn drain(lines: &mut Lines, at: usize, sink: &mut dyn Sink) -> io::Result<()> {
    while let Ok(Some(line)) = lines.next_complete() {
        sink.line(at, &line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::Write as _;
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use super::*;

    /// Hands lines to the test, which waits for each with a bound.
    struct ToTest(Sender<String>);

    impl Sink for ToTest {
        fn line(&mut self, file: usize, line: &Line) -> io::Result<()> {
            let text = format!("{file} {}", String::from_utf8_lossy(&line.bytes));
            self.0.send(text).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
        }

        fn idle(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn follow(paths: &[&Path], count: usize) -> Receiver<String> {
        let (sender, lines) = channel();
        let follower = Follower::new(paths.iter().map(|path| (*path).to_owned()).collect()).unwrap();
        std::thread::spawn(move || follower.run(count, &mut ToTest(sender)));
        lines
    }

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn expect(lines: &Receiver<String>, want: &str) {
        assert_eq!(lines.recv_timeout(Duration::from_secs(10)).as_deref(), Ok(want));
    }

    #[test]
    fn what_is_appended_comes_after_the_tail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "1\n2\n3\n4").unwrap();
        let lines = follow(&[&path], 2);
        expect(&lines, "0 3");
        append(&path, "4\n5\n");
        expect(&lines, "0 44");
        expect(&lines, "0 5");
    }

    #[test]
    fn a_truncated_file_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "a long first line\n").unwrap();
        let lines = follow(&[&path], 1);
        expect(&lines, "0 a long first line");
        File::create(&path).unwrap();
        append(&path, "new\n");
        expect(&lines, "0 new");
    }

    #[test]
    fn a_renamed_file_is_read_to_its_end_and_then_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "1\n").unwrap();
        let lines = follow(&[&path], 1);
        expect(&lines, "0 1");
        append(&path, "2\n");
        fs::rename(&path, folder.path().join("a.log.1")).unwrap();
        append(&path, "3\n");
        expect(&lines, "0 2");
        expect(&lines, "0 3");
    }

    #[test]
    fn what_is_rotated_meanwhile_comes_once() {
        use crate::logs::rotate::{compress, rotate, rotated};
        use crate::spec::Rotation;

        let rotation = Rotation { max_size: 40_000, retain: 1_000, compress: true };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        append(&path, "0\n");
        let lines = follow(&[&path], 1);
        expect(&lines, "0 0");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        let mut written = 0;
        for round in 0..60 {
            let numbers = (written + 1..=written + 4_000).map(|number| number.to_string());
            let text = numbers.collect::<Vec<_>>().join("\n") + "\n";
            written += 4_000;
            file.write_all(text.as_bytes()).unwrap();
            // Now and then the reader is far behind, and what it lacks is compressed.
            if round % 7 > 2 {
                rotate(&path, &rotation).unwrap();
                compress(&path).unwrap();
            }
        }
        assert!(rotated(&path).len() > 10);
        for number in 1..=written {
            expect(&lines, &format!("0 {number}"));
        }
    }

    #[test]
    fn files_in_folders_that_are_not_there_yet_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let (near, far) = (folder.path().join("b.log"), folder.path().join("x/y/c.log"));
        let lines = follow(&[&near, &far], 5);
        append(&near, "near\n");
        expect(&lines, "0 near");
        fs::create_dir_all(far.parent().unwrap()).unwrap();
        append(&far, "far\n");
        expect(&lines, "1 far");
        append(&far, "further\n");
        expect(&lines, "1 further");
    }
}
