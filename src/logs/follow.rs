use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::fs::inotify::{ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::reader::{Reader, Sink};

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("failed to watch `{path}`")]
    Watch {
        path: PathBuf,
        #[source]
        err: io::Error,
    },
    #[error("failed to watch files")]
    Start(#[source] io::Error),
    /// The sink would not go on.
    #[error("failed to write")]
    Sink(#[source] io::Error),
}

/// What may happen in a folder that a log is in, or will be.
const OF_FOLDERS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);
/// The folder itself has gone, and its watch is of no use.
const GONE: ReadFlags = ReadFlags::DELETE_SELF.union(ReadFlags::MOVE_SELF).union(ReadFlags::IGNORED);
/// How long it takes for others to be looked for after something was started: many may be.
const SETTLED: Duration = Duration::from_millis(200);

/// Which file, and the kernel's number of its watch.
type Watched = ((u64, u64), i32);

/// Logs that are read as they grow, by one thread that sleeps while nothing is written.
///
/// Each file is watched for what is written to it, and its folder, because a file may come later or be replaced. Of a
/// folder that is not there, the nearest one above is watched until it is.
#[derive(Debug)]
pub struct Follower<'a> {
    reader: Reader,
    by_path: BTreeMap<PathBuf, usize>,
    inotify: OwnedFd,
    /// By the kernel's numbers.
    folders: HashMap<i32, BTreeSet<PathBuf>>,
    files: HashMap<i32, BTreeSet<usize>>,
    /// The files of each log that are watched: the one that is read, and the one that its path names.
    watched: Vec<[Option<Watched>; 2]>,
    /// When something is made in it, others may have come.
    news: Option<PathBuf>,
    look_at: Option<Instant>,
    /// Whoever reads what the sink writes: when it is gone, so is the reason to go on.
    listener: Option<BorrowedFd<'a>>,
}

impl<'a> Follower<'a> {
    /// Begins to watch; nothing that is written from now on is missed.
    ///
    /// # Errors
    /// When the system has no watches left.
    pub fn new(reader: Reader) -> Result<Self, FollowError> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let mut follower = Self {
            inotify: inotify::init(flags).map_err(|err| FollowError::Start(err.into()))?,
            by_path: BTreeMap::new(),
            folders: HashMap::new(),
            files: HashMap::new(),
            watched: Vec::new(),
            news: None,
            look_at: None,
            listener: None,
            reader,
        };
        follower.know()?;
        Ok(follower)
    }

    /// Asks the sink for other logs when something is made in a folder.
    ///
    /// # Errors
    /// When the system has no watches left.
    pub fn with_news(mut self, folder: &Path) -> Result<Self, FollowError> {
        self.news = Some(folder.to_owned());
        self.watch_folders()?;
        Ok(self)
    }

    /// Ends when nobody reads the other end of this any more.
    #[must_use]
    pub fn with_listener(mut self, listener: BorrowedFd<'a>) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Gives what was wanted of what is there, then every line that is written, until the sink refuses one.
    ///
    /// # Errors
    /// When the sink refuses a line, and when no more can be watched.
    pub fn run(self, sink: &mut dyn Sink) -> Result<(), FollowError> {
        self.run_telling(sink, || ())
    }

    /// The same; says when it has begun, after which nothing is missed.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_telling(mut self, sink: &mut dyn Sink, begun: impl FnOnce()) -> Result<(), FollowError> {
        self.begin(sink)?;
        begun();
        self.go_on(sink)
    }

    /// Gives what was wanted of what is there.
    ///
    /// # Errors
    /// When the sink refuses a line.
    pub(super) fn begin(&mut self, sink: &mut dyn Sink) -> Result<(), FollowError> {
        let all: Vec<usize> = (0..self.reader.logs.len()).collect();
        self.reader.begin(&all, sink).map_err(FollowError::Sink)
    }

    /// Gives every line that was written since it began, and is written from now on.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) fn go_on(mut self, sink: &mut dyn Sink) -> Result<(), FollowError> {
        // What was opened is watched from now on; what was written before that is read below.
        let mut touched: BTreeSet<usize> = (0..self.reader.logs.len()).collect();
        loop {
            for at in &touched {
                self.watch_file(*at)?;
            }
            let which: Vec<usize> = std::mem::take(&mut touched).into_iter().collect();
            let more = self.reader.go_on(&which, sink).map_err(FollowError::Sink)?;
            touched.extend(more);
            if touched.is_empty() {
                sink.idle().map_err(FollowError::Sink)?;
            }
            if !self.wait(!touched.is_empty())? {
                return Ok(());
            }
            self.hear(&mut touched)?;
            if self.look_at.is_some_and(|at| at <= Instant::now()) {
                self.look_at = None;
                let known = self.reader.logs.len();
                let by_path = &self.by_path;
                let fresh = sink.others().into_iter().filter(|log| !by_path.contains_key(&log.path)).collect();
                self.reader.add(fresh);
                self.know()?;
                let fresh: Vec<usize> = (known..self.reader.logs.len()).collect();
                self.reader.begin(&fresh, sink).map_err(FollowError::Sink)?;
                touched.extend(fresh);
            }
        }
    }

    /// Sleeps until something happens, unless there is more to do. False when nobody listens.
    fn wait(&self, busy: bool) -> Result<bool, FollowError> {
        let left = self.look_at.map(|at| at.saturating_duration_since(Instant::now()));
        let patience = if busy { Some(Duration::ZERO) } else { left };
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let mut fds = vec![PollFd::new(&self.inotify, PollFlags::IN)];
        fds.extend(self.listener.as_ref().map(|listener| PollFd::new(listener, PollFlags::empty())));
        match poll(&mut fds, patience.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(err) => return Err(FollowError::Start(err.into())),
        }
        Ok(!fds.get(1).is_some_and(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP)))
    }

    /// Takes what the kernel has to tell.
    fn hear(&mut self, touched: &mut BTreeSet<usize>) -> Result<(), FollowError> {
        let mut space = [MaybeUninit::uninit(); 16 << 10];
        let mut moved = false;
        let mut gone = Vec::new();
        let mut reader = inotify::Reader::new(&self.inotify, &mut space);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => break,
            };
            let (watch, flags) = (event.wd(), event.events());
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                touched.extend(0..self.reader.logs.len());
                moved = true;
            }
            if let Some(files) = self.files.get(&watch) {
                touched.extend(files);
            }
            // The file has gone, and another may have its number already.
            if flags.contains(ReadFlags::IGNORED) {
                for at in self.files.remove(&watch).into_iter().flatten() {
                    for file in &mut self.watched[at] {
                        file.take_if(|(_, known)| *known == watch);
                    }
                }
            }
            let Some(folders) = self.folders.get(&watch) else { continue };
            let Some(name) = event.file_name() else {
                moved |= flags.intersects(GONE);
                gone.extend(flags.intersects(GONE).then_some(watch));
                continue;
            };
            for path in folders.iter().map(|folder| folder.join(OsStr::from_bytes(name.to_bytes()))) {
                if let Some(at) = self.by_path.get(&path) {
                    touched.insert(*at);
                } else if self.news.as_deref().is_some_and(|news| news == path || Some(news) == path.parent()) {
                    self.look_at.get_or_insert_with(|| Instant::now() + SETTLED);
                    moved |= self.news.as_ref() == Some(&path);
                }
                let mut below = self.by_path.range(path.clone()..).take_while(|(known, _)| known.starts_with(&path));
                moved |= below.any(|(known, _)| *known != path);
            }
        }
        for watch in gone {
            // Moved, not removed: the kernel's watch would go on by the new name.
            let _ = inotify::remove_watch(&self.inotify, watch);
            self.folders.remove(&watch);
        }
        if moved {
            self.watch_folders()?;
            touched.extend(0..self.reader.logs.len());
        }
        Ok(())
    }

    /// Watches what was added.
    fn know(&mut self) -> Result<(), FollowError> {
        let known = self.watched.len();
        self.watched.resize(self.reader.logs.len(), [None; 2]);
        for (at, open) in self.reader.logs.iter().enumerate().skip(known) {
            self.by_path.insert(open.log.path.clone(), at);
        }
        self.watch_folders()?;
        for at in known..self.reader.logs.len() {
            self.watch_file(at)?;
        }
        Ok(())
    }

    fn watch_folders(&mut self) -> Result<(), FollowError> {
        let folders: BTreeSet<PathBuf> = self
            .by_path
            .keys()
            .filter_map(|path| path.parent())
            .chain(self.news.as_deref())
            .map(Path::to_owned)
            .collect();
        for wanted in folders {
            // A folder that is made between looking and watching would go unseen: look again.
            while let Some(folder) = wanted.ancestors().find(|folder| folder.is_dir()) {
                if self.folders.values().any(|known| known.contains(folder)) {
                    break;
                }
                match inotify::add_watch(&self.inotify, folder, OF_FOLDERS) {
                    Ok(watch) => _ = self.folders.entry(watch).or_default().insert(folder.to_owned()),
                    Err(err) if folder.is_dir() => {
                        return Err(FollowError::Watch { path: folder.to_owned(), err: err.into() });
                    }
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// The file that is open, and the one that the path names: what is written to them is told from now on.
    fn watch_file(&mut self, at: usize) -> Result<(), FollowError> {
        let open = &self.reader.logs[at];
        let named = open.log.path.metadata().ok().map(|meta| (open.log.path.clone(), meta));
        let read = open.lines.as_ref().and_then(|lines| {
            let path = PathBuf::from(format!("/proc/self/fd/{}", lines.file().as_raw_fd()));
            Some((path, lines.file().metadata().ok()?))
        });
        for (which, file) in [read, named].into_iter().enumerate() {
            let Some((path, meta)) = file else { continue };
            self.watch(at, which, &path, &meta)?;
        }
        Ok(())
    }

    fn watch(&mut self, at: usize, which: usize, path: &Path, meta: &std::fs::Metadata) -> Result<(), FollowError> {
        let identity = super::lines::identity(meta);
        let files = &mut self.watched[at];
        if files[which].is_some_and(|(known, _)| known == identity) || !meta.is_file() {
            return Ok(());
        }
        if let Some((_, watch)) = files[which].take()
            && files[1 - which].is_none_or(|(_, other)| other != watch)
            && let Some(files) = self.files.get_mut(&watch)
        {
            files.remove(&at);
            if files.is_empty() {
                self.files.remove(&watch);
                let _ = inotify::remove_watch(&self.inotify, watch);
            }
        }
        match inotify::add_watch(&self.inotify, path, WatchFlags::MODIFY) {
            Ok(watch) => {
                self.files.entry(watch).or_default().insert(at);
                self.watched[at][which] = Some((identity, watch));
                Ok(())
            }
            // Gone again, or not for us to read.
            Err(Errno::NOENT | Errno::ACCESS) => Ok(()),
            Err(err) => Err(FollowError::Watch { path: self.reader.logs[at].log.path.clone(), err: err.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::Write as _;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::logs::{Line, Log, Stamps, Told, Wanted};

    /// Hands lines to the test, which waits for each with a bound.
    struct ToTest(Sender<String>);

    impl Sink for ToTest {
        fn line(&mut self, log: usize, line: &Line, _: &Told<'_>, _: Option<jiff::Timestamp>) -> io::Result<()> {
            let text = format!("{log} {}", String::from_utf8_lossy(&line.bytes));
            self.0.send(text).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
        }

        fn trouble(&mut self, log: usize, _: &Path, error: &io::Error) {
            panic!("{log}: {error}");
        }

        fn idle(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn follow(paths: &[&Path], count: usize) -> Receiver<String> {
        let (sender, lines) = channel();
        let stamps = Stamps::new(None, false, jiff::tz::TimeZone::UTC);
        let log = |path: &&Path| Log { path: path.to_path_buf(), stamps: stamps.clone(), lines: Some(count) };
        let reader = Reader::new(paths.iter().map(log).collect(), Wanted::default());
        let follower = Follower::new(reader).unwrap();
        std::thread::spawn(move || follower.run(&mut ToTest(sender)));
        lines
    }

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn expect(lines: &Receiver<String>, want: &str) {
        assert_eq!(lines.recv_timeout(Duration::from_mins(1)).as_deref(), Ok(want));
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

    /// `aside`: by another file in its place.
    fn comes_once(aside: bool) {
        use crate::logs::rotate::{Aside, compress, put_aside, rotate, rotated};
        use crate::spec::Rotation;

        let rotation = Rotation { max_size: 40_000, retain: 1_000, compress: true };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        append(&path, "0\n");
        let lines = follow(&[&path], 1);
        expect(&lines, "0 0");
        let mut written = 0;
        for round in 0..60 {
            let numbers = (written + 1..=written + 4_000).map(|number| number.to_string());
            let text = numbers.collect::<Vec<_>>().join("\n") + "\n";
            written += 4_000;
            append(&path, &text);
            // Now and then the reader is far behind, and what it lacks is compressed.
            if round % 7 > 2 {
                if aside {
                    let log = File::options().append(true).open(&path).unwrap();
                    assert!(matches!(put_aside(&path, log, |path| File::create(path)).unwrap(), Aside::Done(_)));
                } else {
                    rotate(&path, &rotation).unwrap();
                }
                compress(&path).unwrap();
            }
        }
        assert!(rotated(&path).len() > 10);
        for number in 1..=written {
            expect(&lines, &format!("0 {number}"));
        }
    }

    #[test]
    fn what_is_rotated_meanwhile_comes_once() {
        comes_once(false);
        comes_once(true);
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
