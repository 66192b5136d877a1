//! Who ends a config's commands when the process that reads the config is killed and can do so no more.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::brood::kill_tagged;
use super::cgroup::Pen;
use super::tag::Tag;

/// A command that was just being started puts its tag on within this.
const LATE: Duration = Duration::from_millis(300);
/// Whoever is still there then cannot be ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process of its own, which waits for the end of its stdin.
#[derive(Debug)]
pub(super) struct Warden(Child);

impl Warden {
    /// In a process group of its own, so that what interrupts us leaves it.
    pub(super) fn start(tag: Tag, scratch: &Path, pen: Option<&Pen>) -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("__ward")
            .arg(tag.bits().to_string())
            .arg(scratch)
            .args(pen.map(Pen::folder))
            .env_clear()
            .current_dir("/")
            .process_group(0);
        Ok(Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Everybody is ended. Where something is left to remove, it is told nothing, and does that.
    pub(super) fn dismiss(mut self, removed: bool) {
        let stdin = self.0.stdin.take();
        if removed {
            let _ = stdin.map(|mut stdin| stdin.write_all(b"."));
            // It has nothing to do but to go.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// What the warden does (`pmrun __ward`, hidden).
#[must_use]
pub fn ward(tag: u64, scratch: &Path, pen: Option<&Path>) -> ExitCode {
    let mut told = [0];
    // Nobody but us is to be ended by a number that somebody has typed in.
    let Some(tag) = Tag::of_limit(tag).filter(|tag| tag.is_of_brood()) else { return ExitCode::FAILURE };
    if !matches!(io::stdin().read(&mut told), Ok(0)) {
        return ExitCode::SUCCESS;
    }
    let is_of_brood = |folder: &Path| {
        folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(super::brood::SCRATCH))
    };
    if let Some(pen) = pen.filter(|pen| is_of_brood(pen)) {
        Pen::at(pen).end();
    }
    let begun = Instant::now();
    while (kill_tagged(tag) > 0 || begun.elapsed() < LATE) && begun.elapsed() < PATIENCE {
        thread::yield_now();
    }
    if is_of_brood(scratch) {
        let _ = remove(scratch, Instant::now() + PATIENCE);
    }
    ExitCode::SUCCESS
}

/// Whether all of it is gone by then.
pub(super) fn remove(folder: &Path, until: Instant) -> bool {
    // Made in a mode that keeps its owner out, it could not be looked into.
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(folder) else { return false };
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let gone = if is_folder { remove(&entry.path(), until) } else { fs::remove_file(entry.path()).is_ok() };
        if !gone || Instant::now() >= until {
            return false;
        }
    }
    fs::remove_dir(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_to_remove_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("c"), "").unwrap();
        std::os::unix::fs::symlink("/", inner.join("link")).unwrap();
        assert!(!remove(folder.path(), Instant::now()));
        assert!(remove(&folder.path().join("a"), Instant::now() + PATIENCE) || !folder.path().join("a").exists());
    }
}
