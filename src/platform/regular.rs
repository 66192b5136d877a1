use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file for reading, and nothing else: whoever opens a pipe waits for its other end, and a device may never end.
///
/// # Errors
/// The system's; that it is something else.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Looked at before: opening alone may do something to a device. And after, where something else came in its place.
    must_be_regular(&path.metadata()?)?;
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    must_be_regular(&file.metadata()?)?;
    Ok(file)
}

/// All of one.
///
/// # Errors
/// As [`open_regular`].
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// # Errors
/// It is something else.
pub fn must_be_regular(meta: &std::fs::Metadata) -> io::Result<()> {
    if meta.is_file() { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_is_opened_and_nobody_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert_eq!(read_regular(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for other in [&path, folder.path(), Path::new("/dev/zero")] {
            assert_eq!(read_regular(other).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{}", other.display());
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "text").unwrap();
        assert_eq!(read_regular(&path).unwrap(), b"text");
    }
}
