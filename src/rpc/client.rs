use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::frame;
use super::wire::{Answer, Call};
use crate::platform::{LockFile, LockKind, Wish, ensure_home, reason, short_address, tell_keeper};

/// The socket's name in `PMRUN_HOME`.
pub const SOCKET: &str = "pmrun.sock";
/// Held as long as a daemon lives.
pub const DAEMON_LOCK: &str = "daemon.lock";
/// The daemon's pid, while it serves.
pub const PID_FILE: &str = "pmrun.pid";
/// Whose turn it is to start a daemon.
pub const START_LOCK: &str = "start.lock";
/// Where the daemon's own few lines go.
pub const DAEMON_LOG: &str = "pmrun.log";
/// What the daemon writes to its standard output when it serves; anything else is why it does not.
pub const SERVING: &str = "ok";

/// What its first line begins with when what is recorded cannot be used: no daemon is missing then.
pub const STATE: &str = "state: ";

/// The same when another daemon has it open, which has lost its lock and is about to have it again.
pub const HELD: &str = "held: ";

/// In what it writes there, between what is wrong and what to do about it.
pub const HINT: &str = "\nhint: ";

/// A daemon that has a thousand records to read and a full disk to wait for is still faster.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long a keeper may take to start a daemon, 7 s in all, before one is started without it.
const KEEPER_PAUSES_MS: [u64; 12] = [5, 10, 20, 40, 80, 150, 300, 500, 1_000, 1_500, 1_500, 2_000];

/// The same of a daemon that runs and makes its socket again, which somebody has taken away.
const SOCKET_PAUSES_MS: [u64; 7] = [5, 20, 50, 100, 200, 400, 800];

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No daemon runs for this home.
    #[error("no daemon is running")]
    NoDaemon,
    #[error("{message}")]
    Failed { message: String, hint: Option<String> },
    /// What is recorded cannot be used.
    #[error("{message}")]
    State { message: String, hint: Option<String> },
    /// Another daemon has it open.
    #[error("{message}")]
    Held { message: String, hint: Option<String> },
}

/// One exchange with the daemon. Blocking: commands have nothing else to do.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    /// What the daemon that was started for it had to say.
    notes: Vec<String>,
}

impl Connection {
    /// # Errors
    /// `NoDaemon` when none runs.
    pub fn open(home: &Path) -> Result<Self, ConnectError> {
        let connect = || {
            let (address, _folder) = short_address(home, SOCKET)?;
            UnixStream::connect(address)
        };
        match connect() {
            Ok(stream) => Ok(Self { stream, notes: Vec::new() }),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                    Err(ConnectError::NoDaemon)
                }
                _ => Err(failed(&format!("cannot reach the daemon at `{}`", home.join(SOCKET).display()), &error)),
            },
        }
    }

    /// Starts a daemon when none runs; two at once start one.
    ///
    /// # Errors
    /// When it cannot be started, with its own words.
    pub fn open_or_start(home: &Path) -> Result<Self, ConnectError> {
        match Self::open(home) {
            Err(ConnectError::NoDaemon) => {}
            other => return other,
        }
        ensure_home(home).map_err(|error| failed(&format!("cannot make the folder `{}`", home.display()), &error))?;
        let path = home.join(START_LOCK);
        let turn = LockFile::acquire(&path, LockKind::Exclusive, START_PATIENCE)
            .map_err(|error| failed(&format!("cannot lock `{}`", path.display()), &error))?
            .ok_or_else(|| ConnectError::Failed {
                message: "another command has been starting a daemon for 30s".into(),
                hint: Some(format!("its own words are in `{}`", home.join(DAEMON_LOG).display())),
            })?;
        // Whoever had the turn before has most likely started one.
        match Self::open(home) {
            Err(ConnectError::NoDaemon) => {}
            other => return other,
        }
        // The daemon was killed, and somebody knows what it knew.
        if tell_keeper(home, Wish::Daemon) {
            drop(turn);
            for ms in KEEPER_PAUSES_MS {
                std::thread::sleep(Duration::from_millis(ms));
                match Self::open(home) {
                    Err(ConnectError::NoDaemon) => {}
                    other => return other,
                }
                // It may not have known until now that the daemon is dead.
                if !tell_keeper(home, Wish::Daemon) {
                    break;
                }
            }
        }
        for ms in SOCKET_PAUSES_MS {
            if !is_locked(home) {
                break;
            }
            std::thread::sleep(Duration::from_millis(ms));
            match Self::open(home) {
                Err(ConnectError::NoDaemon) => {}
                other => return other,
            }
        }
        match start(home) {
            Ok(notes) => Ok(Self { notes, ..Self::open(home)? }),
            // There may be one that has just found out that its lock was taken away, and has it again.
            Err(error) => SOCKET_PAUSES_MS
                .iter()
                .take_while(|_| matches!(error, ConnectError::Held { .. }) || is_locked(home))
                .find_map(|ms| {
                    std::thread::sleep(Duration::from_millis(*ms));
                    Self::open(home).ok()
                })
                .ok_or(error),
        }
    }

    /// What the daemon had to say when it was started for this; to be shown.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// An answer that takes longer is an error (`WouldBlock`).
    ///
    /// # Errors
    /// The system's.
    pub fn limit_wait(&self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.set_write_timeout(Some(patience))
    }

    /// # Errors
    /// When the daemon is gone.
    pub fn send(&mut self, call: &Call) -> io::Result<()> {
        frame::write(&mut self.stream, call)
    }

    /// Takes the call back; the daemon says what that comes to.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn cancel(&mut self) -> io::Result<()> {
        self.stream.write_all(&[0])
    }

    /// The next answer.
    ///
    /// # Errors
    /// `UnexpectedEof` when the daemon is gone.
    pub fn next_answer(&mut self) -> io::Result<Answer> {
        let body = frame::read_body(&mut self.stream)?;
        Answer::decode(&body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Whether a daemon lives, though it may not serve.
fn is_locked(home: &Path) -> bool {
    let lock = home.join(DAEMON_LOCK);
    lock.exists() && matches!(LockFile::acquire(&lock, LockKind::Shared, Duration::ZERO), Ok(None))
}

/// Returns when the daemon serves, with what it has to say.
///
/// Its standard output is a pipe until then: it says there that it serves, or why it cannot, and an end without a word
/// means that it died.
fn start(home: &Path) -> Result<Vec<String>, ConnectError> {
    let log = home.join(DAEMON_LOG);
    let cannot = |what: &str, error: &io::Error| failed(&format!("cannot start the daemon: {what}"), error);
    let log_file = open_log(&log).map_err(|error| cannot(&format!("cannot open `{}`", log.display()), &error))?;
    let program = std::env::current_exe().map_err(|error| cannot("cannot tell where pmrun is", &error))?;
    let mut command = Command::new(program);
    command.arg("__daemon").env("PMRUN_HOME", home);
    // A command that runs inside an app must not pass the app's marks on: the daemon would belong to the app.
    for mark in ["PMRUN_INSTANCE", "PMRUN_LAUNCH", "PMRUN_SPEC", "NODE_CHANNEL_FD", "NOTIFY_SOCKET"] {
        command.env_remove(mark);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file);
    let mut daemon = command.spawn().map_err(|error| cannot("cannot run pmrun", &error))?;
    let mut said = String::new();
    if let Some(mut pipe) = daemon.stdout.take() {
        pipe.read_to_string(&mut said).map_err(|error| cannot("it said nothing", &error))?;
    }
    let mut lines = said.trim().lines();
    if lines.next() == Some(SERVING) {
        return Ok(lines.map(str::to_owned).collect());
    }
    match said.trim() {
        "" => {
            let how = daemon.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            let message = format!("the daemon ended while it started ({how})");
            Err(ConnectError::Failed { message, hint: Some(format!("its own words are in `{}`", log.display())) })
        }
        problem => {
            let _ = daemon.wait();
            let (problem, hint) = problem.split_once(HINT).map_or((problem, None), |(what, hint)| (what, Some(hint)));
            let hint = hint.map(str::to_owned);
            Err(match (problem.strip_prefix(STATE), problem.strip_prefix(HELD)) {
                (Some(problem), _) => ConnectError::State { message: problem.to_owned(), hint },
                (None, Some(problem)) => ConnectError::Held { message: problem.to_owned(), hint },
                (None, None) => ConnectError::Failed { message: format!("cannot start the daemon: {problem}"), hint },
            })
        }
    }
}

/// The daemon's own words go to the end of it.
///
/// # Errors
/// The system's; that it is a pipe: whoever opens one waits for its other end.
pub fn open_log(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
    if path.metadata().is_ok_and(|meta| meta.file_type().is_fifo()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe: move it away"));
    }
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn failed(what: &str, error: &io::Error) -> ConnectError {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory => {
            Some("PMRUN_HOME has to be a folder of yours that you may write to".to_owned())
        }
        _ => None,
    };
    ConnectError::Failed { message: format!("{what}: {}", reason(error)), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_daemon_that_is_what_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(150));
        std::fs::create_dir(&long).unwrap();
        for home in [folder.path(), &long, &folder.path().join("missing")] {
            assert!(matches!(Connection::open(home), Err(ConnectError::NoDaemon)), "{}", home.display());
        }
        // A socket that nobody listens on any more.
        let (address, _handle) = short_address(&long, SOCKET).unwrap();
        drop(std::os::unix::net::UnixListener::bind(address).unwrap());
        assert!(matches!(Connection::open(&long), Err(ConnectError::NoDaemon)));
    }
}
