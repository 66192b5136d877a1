use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use rustix::fs::OFlags;

use super::lease::is_written_to;

/// Gives the last line of a log an end where it has none: what was left there is not to be glued to what comes. Not while
/// somebody writes to it, whose line that may be. Where that cannot be known, nobody does.
///
/// `log` is the only handle that the caller has on it, `open` makes another. Whether there was such a line; the
/// error is that it has no end still.
///
/// # Errors
/// When it cannot be opened again.
pub fn end_last_line(log: File, open: impl FnOnce() -> io::Result<File>) -> io::Result<(File, io::Result<bool>)> {
    let Some(reading) = unfinished(&log) else { return Ok((log, Ok(false))) };
    drop(log);
    let is_shared = is_written_to(&reading) == Some(true);
    let mut log = open()?;
    let has_half = !is_shared && unfinished(&log).is_some();
    let ended = if has_half { log.write_all(b"\n").map(|()| true) } else { Ok(false) };
    Ok((log, ended))
}

/// To be read, where its last line has no end.
fn unfinished(log: &File) -> Option<File> {
    let last = log.metadata().ok().filter(Metadata::is_file)?.len().checked_sub(1)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    // This very file, whatever its path names by now.
    let path = format!("/proc/self/fd/{}", log.as_raw_fd());
    let reading = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let mut byte = [0];
    reading.read_exact_at(&mut byte, last).ok()?;
    (byte != *b"\n").then_some(reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gets_an_end_only_when_nobody_is_left_to_write_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let open = || OpenOptions::new().append(true).create(true).open(&path);
        let end = || end_last_line(open().unwrap(), open).unwrap().1.unwrap();
        let text = || std::fs::read_to_string(&path).unwrap();
        assert!(!end());
        let mut other = open().unwrap();
        other.write_all(b"half").unwrap();
        assert!(!end(), "its writer is about to go on");
        other.write_all(b" a line").unwrap();
        assert_eq!(text(), "half a line");
        drop(other);
        assert!(end());
        assert!(!end());
        assert_eq!(text(), "half a line\n");
    }
}
