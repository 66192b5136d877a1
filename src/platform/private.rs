use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where one may be, when neither TMPDIR nor XDG_RUNTIME_DIR says so. All of them are in memory in most containers, also where
/// everything else is read-only.
const PLACES: [&str; 5] = ["/tmp", "/dev/shm", "/run", "/var/tmp", "/dev"];

/// What its name begins with.
const PREFIX: &str = "pmrun-run-";

/// A folder for this process alone (0700); gone with all that is in it when this is dropped.
#[derive(Debug)]
pub struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// In the first place that takes one.
    ///
    /// `variable` looks a variable up.
    ///
    /// # Errors
    /// Where it was tried, and why it could not be there.
    pub fn make(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<Self, Vec<(PathBuf, io::Error)>> {
        let named = ["TMPDIR", "XDG_RUNTIME_DIR"].into_iter().filter_map(variable).map(PathBuf::from);
        let places = named.filter(|place| place.is_absolute()).chain(PLACES.into_iter().map(PathBuf::from));
        let mut problems = Vec::new();
        for place in places {
            match make_in(&place) {
                Ok(folder) => return Ok(Self(folder)),
                Err(error) => problems.push((place, error)),
            }
        }
        Err(problems)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Those of other processes beside it, where they are this user's own.
    #[must_use]
    pub fn others(&self) -> Vec<PathBuf> {
        let own = nix::unistd::geteuid().as_raw();
        let entries = self.0.parent().and_then(|place| std::fs::read_dir(place).ok()).into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()));
        // What a link leads to is somebody else's.
        let is_own = |path: &PathBuf| {
            path.symlink_metadata()
                .is_ok_and(|meta| meta.is_dir() && meta.uid() == own && (meta.mode() & 0o777) == 0o700)
        };
        named.map(|entry| entry.path()).filter(|path| *path != self.0 && is_own(path)).collect()
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Its real path: processes are known by it.
fn make_in(place: &Path) -> io::Result<PathBuf> {
    // mkdtemp(3) puts its own in the place of six of these.
    let name = format!("{PREFIX}{}", "X".repeat(6));
    let folder = nix::unistd::mkdtemp(&place.canonicalize()?.join(name))?;
    // It is text, or no app could be told of it.
    if folder.to_str().is_none() {
        let _ = std::fs::remove_dir(&folder);
        return Err(io::Error::other("its name is not valid UTF-8"));
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_where_that_can_be_and_goes_with_its_owner() {
        let place = tempfile::tempdir().unwrap();
        let missing = place.path().join("missing");
        let variable =
            |name: &str| Some(if name == "TMPDIR" { missing.clone() } else { place.path().to_owned() }.into());
        let folder = PrivateFolder::make(variable).unwrap();
        let path = folder.path().to_owned();
        assert!(path.starts_with(place.path().canonicalize().unwrap()));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(path.join("x"), "x").unwrap();
        let other = PrivateFolder::make(variable).unwrap();
        std::fs::create_dir(place.path().join("pmrun-run-open")).unwrap();
        std::os::unix::fs::symlink(&path, place.path().join("pmrun-run-link")).unwrap();
        assert_eq!(other.others(), vec![path.clone()]);
        drop(other);
        drop(folder);
        assert!(!path.exists());
    }
}
