//! Whether a file could be written, found out without writing it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{Access, access};

use crate::platform::reason;

/// Whether a file can be opened for appending, or made.
pub(super) fn appendable(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err("is a folder".to_owned()),
        Ok(metadata) if metadata.file_type().is_socket() => Err("is a socket".to_owned()),
        Ok(_) => access(path, Access::WRITE_OK).map_err(|err| format!("cannot be written: {}", reason(&err.into()))),
        Err(_) => has_room(path),
    }
}

/// Whether a new file can be put in its place.
pub(super) fn replaceable(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err("is a folder".to_owned()),
        // It would be replaced, and removed in the end.
        Ok(metadata) if !metadata.is_file() => Err("is not a regular file".to_owned()),
        _ => has_room(path),
    }
}

/// Holds what the kernel tells: nobody makes a file or a folder in it, and nothing says so before it is tried.
fn is_the_kernels(folder: &Path) -> bool {
    const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;
    let kind = rustix::fs::statfs(folder).map(|found| found.f_type);
    kind.is_ok_and(|kind| [rustix::fs::PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&kind))
}

/// Whether the nearest folder above that exists can take a file, or the folder that it has to be in.
fn has_room(path: &Path) -> Result<(), String> {
    for above in path.ancestors().skip(1) {
        let shown = above.display();
        match fs::metadata(above) {
            Ok(metadata) if !metadata.is_dir() => return Err(format!("cannot be made: `{shown}` is not a folder")),
            Ok(_) if is_the_kernels(above) => {
                return Err(format!("cannot be made: nothing can be made in `{shown}`"));
            }
            Ok(_) => {
                return access(above, Access::WRITE_OK | Access::EXEC_OK)
                    .map_err(|err| format!("cannot be made: `{shown}` cannot be written: {}", reason(&err.into())));
            }
            Err(err) if matches!(err.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(err) => return Err(format!("cannot be made: `{shown}` cannot be entered: {}", reason(&err))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_cannot_be_written_is_told_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::create_dir(path("folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        let below = format!("cannot be made: `{}` is not a folder", path("file").display());
        assert_eq!(appendable(&path("file")), Ok(()));
        assert_eq!(appendable(&path("new/deep/x.log")), Ok(()));
        assert_eq!(appendable(&path("folder")), Err("is a folder".to_owned()));
        assert_eq!(appendable(&path("socket")), Err("is a socket".to_owned()));
        assert_eq!(appendable(&path("file/x.log")), Err(below.clone()));
        assert_eq!(appendable(&path("file/deep/x.log")), Err(below));
        assert_eq!(appendable(Path::new("/dev/null")), Ok(()));
        assert_eq!(replaceable(&path("file")), Ok(()));
        assert_eq!(replaceable(&path("folder")), Err("is a folder".to_owned()));
        assert!(!path("new").exists());
        for (file, folder) in [("/proc/nope/x.log", "/proc"), ("/proc/x.log", "/proc"), ("/sys/nope/x.log", "/sys")] {
            let why = format!("cannot be made: nothing can be made in `{folder}`");
            assert_eq!(
                (appendable(Path::new(file)), replaceable(Path::new(file))),
                (Err(why.clone()), Err(why)),
                "{file}"
            );
        }
        assert_eq!(appendable(Path::new("/proc/self/fd/2")), Ok(()));
    }

    #[test]
    fn permissions_count() {
        if nix::unistd::geteuid().is_root() {
            // Root may write anywhere.
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let set = |name: &str, mode| fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        fs::create_dir(path("locked")).unwrap();
        fs::write(path("locked/open"), "").unwrap();
        fs::write(path("file"), "").unwrap();
        set("file", 0o444);
        set("locked", 0o555);
        assert_eq!(appendable(&path("file")), Err("cannot be written: Permission denied".to_owned()));
        assert_eq!(appendable(&path("locked/open")), Ok(()));
        assert_eq!(replaceable(&path("file")), Ok(()));
        for problem in [appendable(&path("locked/new")), replaceable(&path("locked/open"))] {
            assert!(problem.unwrap_err().ends_with("locked` cannot be written: Permission denied"));
        }
        set("locked", 0o755);
    }
}
