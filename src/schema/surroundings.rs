use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::Cpus;

/// What resolving asks of the machine. The real one is in `config`; tests bring a table.
pub trait Surroundings {
    /// CPUs that may be used.
    fn cpus(&self) -> Cpus;

    /// Whether logs are merged unless something is said of instances, as PM2 does.
    fn merges_logs(&self) -> bool;

    /// Whether a profile that no app has is passed over, as PM2 does.
    fn overlooks_profiles(&self) -> bool;

    /// Whether an app can be run as a user and a group, each by name or number.
    ///
    /// # Errors
    /// Why not, as a sentence.
    fn account(&self, user: Option<&str>, group: Option<&str>) -> Result<(), String>;

    /// Whether the machine knows a time zone by this name.
    fn knows_zone(&self, name: &str) -> bool;

    /// A path as a file writes it: `~` is the home folder, a relative one is below `base`.
    fn absolute(&self, base: &Path, written: &str) -> PathBuf;

    fn entry(&self, path: &Path) -> FileEntry;

    /// The first 512 bytes of a file, fewer where it is shorter, none where it cannot be read.
    fn head(&self, path: &Path) -> Vec<u8>;

    /// Finds a program by name in `search` (a value of `PATH`), or in the invoking shell's `PATH`.
    fn program(&self, name: &str, search: Option<&str>) -> Option<PathBuf>;

    /// Whether a process in `cwd` finds a program by its name: as `program`, and in folders of `PATH` that are
    /// relative to `cwd` too.
    fn finds(&self, name: &str, search: Option<&str>, cwd: &Path) -> bool;

    /// Whether a file can be appended to, or made, together with its folder.
    ///
    /// # Errors
    /// Why it cannot: the end of a sentence that begins with its path.
    fn appendable(&self, path: &Path) -> Result<(), String>;

    /// Whether a new file can be put in a path's place, in a folder that may have to be made.
    ///
    /// # Errors
    /// Why it cannot: the end of a sentence that begins with its path.
    fn replaceable(&self, path: &Path) -> Result<(), String>;

    /// Whether `--hermetic` keeps a config from making us read a path. `own` says that the config's folder, and what is
    /// below it, is its own in any case.
    fn refuses(&self, path: &Path, own: bool) -> bool;

    /// What an env file holds.
    ///
    /// # Errors
    /// Why it cannot be read: the end of a sentence that begins with its path.
    fn env_file(&self, path: &Path) -> Result<EnvText, String>;

    /// The digest of a file's content.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn digest(&self, path: &Path) -> Result<String, String>;

    /// Whether globs are any.
    ///
    /// # Errors
    /// What is wrong with the first that is none.
    fn patterns(&self, globs: &[String]) -> Result<(), String>;

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

/// An env file that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvText {
    /// In the file's order.
    pub variables: Vec<(String, String)>,
    /// Of its content.
    pub digest: String,
    /// Lines, counted from 1, that hardly do what whoever wrote them meant, and what is wrong with each.
    pub oddities: Vec<(u32, &'static str)>,
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
