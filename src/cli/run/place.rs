//! Where a run has its sockets and pid files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::surroundings;
use crate::cli::terminal::Terminal;
use crate::platform::{LockFile, LockKind, PrivateFolder, end_abandoned, ensure_home, reason};
use crate::rpc::client::{DAEMON_LOCK, PID_FILE};

/// What only a daemon writes: the folder is its own.
const OF_A_DAEMON: [&str; 3] = ["state", "state.backup", "state.backup.1"];

/// What a run leaves in a folder that it was given, where nothing is in it.
const EMPTY: [&str; 3] = ["notify", "pids", "logs"];

#[derive(Debug)]
pub(super) enum Place {
    /// `PMRUN_HOME`, where commands look for it.
    Given(PathBuf),
    Private(PrivateFolder),
}

impl Place {
    /// `PMRUN_HOME` where that is set and can be written to, else a folder that goes with this process.
    pub(super) fn find(terminal: &mut Terminal) -> Result<(Self, LockFile), CliError> {
        if std::env::var_os("PMRUN_HOME").is_some() {
            let home = surroundings::home()?;
            match ensure_home(&home).and_then(|()| lock(&home)) {
                Ok(Some(lock)) => return given(home).map(|place| (place, lock)),
                Ok(None) => return Err(taken(&home)),
                Err(err) => terminal.note(&format!(
                    "PMRUN_HOME (`{}`) cannot be written to ({}): other commands do not reach this run",
                    home.display(),
                    reason(&err)
                )),
            }
        }
        let folder = PrivateFolder::make(|name| std::env::var_os(name)).map_err(|tried| nowhere(&tried))?;
        let lock = lock(folder.path());
        let lock = lock.ok().flatten().ok_or_else(|| taken(folder.path()))?;
        for other in folder.others() {
            tidy(&other, terminal);
        }
        Ok((Self::Private(folder), lock))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Given(home) => home,
            Self::Private(folder) => folder.path(),
        }
    }

    pub(super) fn is_private(&self) -> bool {
        matches!(self, Self::Private(_))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Given(home) = self {
            for name in EMPTY {
                let _ = std::fs::remove_dir(home.join(name));
            }
        }
    }
}

/// A run that was killed could not do it itself. One that has served has had its lock: where nobody has it any more, that one
/// is gone.
fn tidy(folder: &Path, terminal: &mut Terminal) {
    if !folder.join(PID_FILE).exists() {
        return;
    }
    let Ok(Some(_lock)) = lock(folder) else { return };
    let ended = match end_abandoned(folder) {
        0 => "nothing that ran".to_owned(),
        1 => "1 process, which was ended".to_owned(),
        ended => format!("{ended} processes, which were ended"),
    };
    let _ = std::fs::remove_dir_all(folder);
    let folder = folder.display();
    terminal.note(&format!("a `pmrun run` that was killed had left `{folder}`, which is gone now, and {ended}"));
}

fn lock(home: &Path) -> std::io::Result<Option<LockFile>> {
    LockFile::acquire(&home.join(DAEMON_LOCK), LockKind::Exclusive, Duration::ZERO)
}

fn given(home: PathBuf) -> Result<Place, CliError> {
    let is_there = |name: &str| home.join(OsStr::new(name)).symlink_metadata().is_ok();
    if OF_A_DAEMON.iter().any(|name| is_there(name)) {
        let problem = format!("`{}` (PMRUN_HOME) is a daemon's, which keeps there what it runs", home.display());
        return Err(CliError::error(problem)
            .hint("`env -u PMRUN_HOME pmrun run` has nothing to do with it; or name a folder of its own"));
    }
    Ok(Place::Given(home))
}

fn taken(home: &Path) -> CliError {
    CliError::new(Exit::Busy, format!("another `pmrun run`, or a daemon, runs in `{}` (PMRUN_HOME)", home.display()))
        .hint("`pmrun list` shows its apps; without PMRUN_HOME, or with another, both run side by side")
}

fn nowhere(tried: &[(PathBuf, std::io::Error)]) -> CliError {
    let tried: Vec<String> =
        tried.iter().map(|(place, err)| format!("`{}`: {}", place.display(), reason(err))).collect();
    CliError::error(format!("there is no folder for sockets and pid files: {}", tried.join("; ")))
        .hint("mount a tmpfs at /tmp, or set TMPDIR or PMRUN_HOME to a folder that can be written to")
}
