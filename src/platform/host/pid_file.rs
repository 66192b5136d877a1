use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const BESIDE: &str = "beside";

/// Where the pid is of the process that does not serve yet, or any more, while one relieves another.
pub(in crate::platform) fn beside(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".");
    path.push(BESIDE);
    path.into()
}

/// And of the one that serves.
pub(super) fn own(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|extension| extension == BESIDE) { path.with_extension("") } else { path.into() }
}

/// Whoever reads it sees a whole number or the one before: a new file is renamed into place, one that is still there
/// from a moment ago is overwritten where that takes the same number of bytes. (Removing and making it at every crash
/// costs ext4 more than starting the process.)
pub(super) fn write(path: &Path, pid: u32, in_place: bool) -> io::Result<()> {
    let text = format!("{pid}\n");
    if in_place && std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == text.len() as u64) {
        return std::fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    match (std::fs::write(&fresh, &text), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(folder)?;
            std::fs::write(&fresh, &text)?;
        }
        (written, _) => written?,
    }
    std::fs::rename(&fresh, path)
}

/// Unless it names this one.
pub(super) fn remove_other(path: &Path, pid: u32) {
    if std::fs::read_to_string(path).is_ok_and(|text| text.trim() != pid.to_string()) {
        let _ = std::fs::remove_file(path);
    }
}

/// Unless a later launch has written it since.
pub(super) fn remove(path: &Path, pid: u32) {
    if std::fs::read_to_string(path).is_ok_and(|text| text.trim() == pid.to_string()) {
        let _ = std::fs::remove_file(path);
    }
}
