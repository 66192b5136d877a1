use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use jiff::Timestamp;
use regex_lite::Regex;

use super::{FollowError, Follower, Line, Log, Reader, Sink, Told, Wanted};

/// The line by which an app says that it is up (`ready_log`), in whichever of its logs it comes.
#[derive(Debug)]
pub struct Awaited {
    follower: Follower<'static>,
    pattern: Regex,
}

impl Awaited {
    /// Lines that are written from now on count, and those that were written before do not. The files need not be there yet.
    ///
    /// # Errors
    /// When the system has no watches left.
    pub fn begin(paths: impl IntoIterator<Item = Log>, pattern: Regex) -> Result<Self, FollowError> {
        let logs = paths.into_iter().map(|log| Log { lines: Some(0), ..log }).collect();
        let mut follower = Follower::new(Reader::new(logs, Wanted::default()))?;
        follower.begin(&mut Found { pattern: &pattern, yes: false })?;
        Ok(Self { follower, pattern })
    }

    /// Waits for it. False when the other end of `until` is closed before, or the logs cannot be watched any more.
    #[must_use]
    pub fn comes(self, until: BorrowedFd<'_>) -> bool {
        let Self { follower, pattern } = self;
        let mut found = Found { pattern: &pattern, yes: false };
        // It ends with an error, too, when it is found.
        let _ = follower.with_listener(until).go_on(&mut found);
        found.yes
    }
}

struct Found<'a> {
    pattern: &'a Regex,
    yes: bool,
}

impl Sink for Found<'_> {
    fn line(&mut self, _: usize, _: &Line, told: &Told<'_>, _: Option<Timestamp>) -> io::Result<()> {
        self.yes = says(self.pattern, &told.message);
        if self.yes { Err(io::Error::other("it is found")) } else { Ok(()) }
    }

    fn trouble(&mut self, _: usize, _: &Path, _: &io::Error) {}

    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a line is the one.
pub(super) fn says(pattern: &Regex, line: &[u8]) -> bool {
    pattern.is_match(&String::from_utf8_lossy(line))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::logs::Stamps;

    #[test]
    fn only_a_whole_line_that_is_written_since_counts_in_either_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            let file = OpenOptions::new().create(true).append(true).open(path(name));
            file.unwrap().write_all(text.as_bytes()).unwrap();
        };
        write("out", "2026-11-21 10:00:00: up on 1\n");
        let log = |name: &str, format: Option<&str>| Log {
            path: path(name),
            stamps: Stamps::new(format, false, TimeZone::UTC),
            lines: None,
        };
        let begin = || {
            let logs = [log("out", Some("YYYY-MM-DD HH:mm:ss")), log("new/error", None)];
            Awaited::begin(logs, Regex::new("^up on [0-9]+$").unwrap()).unwrap()
        };
        for (name, text) in [("out", "2026-11-21 10:00:01: up on 2\n"), ("new/error", "up on 3\n")] {
            let awaited = begin();
            std::fs::create_dir_all(path("new")).unwrap();
            write("out", "2026-11-21 10:00:01: not up on 2\nup on");
            let (until, _open) = UnixStream::pair().unwrap();
            let (said, heard) = channel();
            std::thread::spawn(move || said.send(awaited.comes(until.as_fd())));
            assert!(heard.recv_timeout(Duration::from_millis(50)).is_err());
            write("out", " its way\n");
            write(name, text);
            assert_eq!(heard.recv_timeout(Duration::from_secs(30)), Ok(true), "{name}");
        }
        let awaited = begin();
        let (until, open) = UnixStream::pair().unwrap();
        drop(open);
        assert!(!awaited.comes(until.as_fd()), "nobody waits for it");
    }
}
