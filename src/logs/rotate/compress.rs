use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Twice as fast as the usual 6, and hardly larger for logs.
const LEVEL: u32 = 4;

/// Whoever may write to the folder could have made one.
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// Puts `FILE.gz` in the place of a file; at every moment one of them is whole. A file that somebody removes meanwhile
/// stays removed.
pub(super) fn compress(path: &Path) -> io::Result<()> {
    let (part, whole) = (with(path, ".gz.part"), with(path, ".gz"));
    let mut source = match OpenOptions::new().read(true).custom_flags(NO_LINK).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    // Somebody who had it open as a log, when it was renamed, and writes to it still.
    if crate::platform::is_written_to(&source) == Some(true) {
        return Ok(());
    }
    let meta = source.metadata()?;
    // Somebody else's has come there.
    if whole.symlink_metadata().is_ok() && !super::head::is_piece(&whole) {
        return Ok(());
    }
    // What is there was left by a crash, or is a link that somebody has put there to have another file written.
    if let Err(error) = fs::remove_file(&part)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let target = OpenOptions::new().write(true).create_new(true).open(&part)?;
    target.set_permissions(meta.permissions())?;
    super::head::keep_from(&source, &target);
    let _ = std::os::unix::fs::fchown(&target, Some(meta.uid()), Some(meta.gid()));
    let mut encoder = GzEncoder::new(target, Compression::new(LEVEL));
    let written = io::copy(&mut source, &mut encoder).and_then(|_| encoder.finish()).and_then(|file| {
        // What tells its age is when its last line was written.
        file.set_modified(meta.modified()?)?;
        file.sync_data()
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    match fs::rename(&part, &whole) {
        // By who has emptied the log.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_file(&whole),
        removed => removed,
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_removed_meanwhile_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        super::compress(&folder.path().join("a.log.1")).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
