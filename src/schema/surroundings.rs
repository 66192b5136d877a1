use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What resolving asks of the machine. The real one is in `config`; tests bring a table.
pub trait Surroundings {
    /// CPUs that may be used.
    fn cpus(&self) -> u32;

    /// A path as a file writes it: `~` is the home folder, a relative one is below `base`.
    fn absolute(&self, base: &Path, written: &str) -> PathBuf;

    fn entry(&self, path: &Path) -> FileEntry;

    /// The first 512 bytes of a file, fewer where it is shorter, none where it cannot be read.
    fn head(&self, path: &Path) -> Vec<u8>;

    /// Finds a program by name in `search` (a value of `PATH`), or in the invoking shell's `PATH`.
    fn program(&self, name: &str, search: Option<&str>) -> Option<PathBuf>;

    /// The variables of an env file in its order, and the digest of its content.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn env_file(&self, path: &Path) -> Result<(Vec<(String, String)>, String), String>;

    /// The digest of a file's content.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn digest(&self, path: &Path) -> Result<String, String>;

    /// The digests of all files below a folder that a glob matches, by their path relative to it. A glob that
    /// begins with `!` takes files out.
    ///
    /// # Errors
    /// Too many files, too many bytes, an unreadable file, an impossible pattern.
    fn matching(&self, folder: &Path, globs: &[String]) -> Result<BTreeMap<String, String>, String>;

    /// The revision of the git work tree that holds a folder.
    ///
    /// # Errors
    /// There is no git, or no work tree.
    fn revision(&self, folder: &Path) -> Result<String, String>;
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEntry {
    Missing,
    /// One that can be entered.
    Folder,
    /// A regular file that can be read, or at least run.
    File {
        executable: bool,
    },
    /// A socket, a pipe, a device.
    Other,
    /// It is there, or may be, and the system says why it cannot be used.
    Unusable(String),
}
