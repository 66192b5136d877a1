//! The daemon of a service manager, which is in the foreground and takes over from one that runs already.
//!
//! There is always a whole daemon, with a keeper: the one before goes on until this one is there. Whatever this one is
//! started for (its unit is restarted, its keeper was killed, a command has started a daemon before), what runs does not
//! notice.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::{cannot, finish, start};
use crate::platform::{
    LockFile, LockKind, Part, Succession, Wish, become_daemon, default_home, divide_for_manager, ensure_home, reason,
    tell_keeper,
};
use crate::rpc::client::{ConnectError, Connection, DAEMON_LOCK, DAEMON_LOG, START_LOCK, open_log};
use crate::rpc::wire::{Answer, Call, Request};

/// How long another may be starting a daemon.
const TURN_PATIENCE: Duration = Duration::from_secs(30);
/// How long a command may be at work: less than a unit may take to start.
const WORK_PATIENCE: Duration = Duration::from_secs(75);
/// How long the daemon before may take to end when it has said that it does.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Runs the daemon of `PMRUN_HOME` below this process, until it is told to end.
///
/// What keeps it from serving goes to standard output, everything else to its log. Must be called before the process has
/// opened files or started threads.
#[must_use]
pub fn service() -> ExitCode {
    let divided = || -> Result<_, String> {
        let home = default_home(|name| std::env::var_os(name))?;
        let setup = become_daemon().map_err(cannot("leave the terminal"))?;
        ensure_home(&home).map_err(cannot("make PMRUN_HOME"))?;
        let log = open_log(&home.join(DAEMON_LOG)).map_err(cannot("open its log"))?;
        nix::unistd::dup2_stderr(&log).map_err(|error| cannot("write its log")(error.into()))?;
        drop(log);
        let (turn, before) = begin(&home)?;
        let left = before.map(|connection| take_over(&home, connection)).transpose()?;
        let part = divide_for_manager(&home, left, turn).map_err(cannot("start its keeper"))?;
        Ok(match part {
            Part::Keeper(code) => Ok(code),
            Part::Daemon(link) => Err((home, setup, link)),
        })
    };
    finish(divided().and_then(|part| match part {
        Ok(code) => Ok(code),
        Err((home, setup, link)) => start(&home, setup, link, None).map(|()| ExitCode::SUCCESS),
    }))
}

/// Where apps with limits run on in a unit's cgroup, nobody else is let into it (cgroups(7), "no internal processes"): not
/// the next daemon either, until their limits are taken back. It sets them again.
#[must_use]
pub fn make_room() -> ExitCode {
    let made = default_home(|name| std::env::var_os(name)).and_then(|home| {
        crate::platform::make_room(&home.to_string_lossy()).map_err(cannot("make room in the cgroup"))
    });
    finish(made.map(|()| ExitCode::SUCCESS))
}

/// From now on nobody else starts a daemon; the one that runs, where one does.
///
/// Where there is only a keeper, it starts a daemon first, which knows what the last one knew. Without a thread, of which
/// a process that divides itself has none.
fn begin(home: &Path) -> Result<(LockFile, Option<Connection>), String> {
    let until = Instant::now() + TURN_PATIENCE;
    loop {
        let turn = LockFile::acquire(&home.join(START_LOCK), LockKind::Exclusive, Duration::ZERO);
        let turn = turn.map_err(cannot("lock `start.lock`"))?;
        let is_late = Instant::now() > until;
        match (turn, Connection::open(home)) {
            (None, _) if is_late => {
                return Err(format!("a command has been starting a daemon for {}s", TURN_PATIENCE.as_secs()));
            }
            (Some(turn), Ok(connection)) => return Ok((turn, Some(connection))),
            (Some(_), Err(ConnectError::NoDaemon)) if !is_late && tell_keeper(home, Wish::Daemon) => {}
            (Some(turn), Err(ConnectError::NoDaemon)) => return Ok((turn, None)),
            (Some(_), Err(error)) => return Err(format!("a daemon runs that cannot be asked to leave: {error}")),
            (None, _) => {}
        }
        std::thread::sleep(PAUSE);
    }
}

/// Has a daemon that runs leave: what it had open for apps.
fn take_over(home: &Path, mut connection: Connection) -> Result<BTreeMap<String, OwnedFd>, String> {
    let mut succession = Succession::begin(home).map_err(cannot("receive what the daemon before leaves"))?;
    ask_to_leave(&mut connection)?;
    drop(connection);
    let until = Instant::now() + END_PATIENCE;
    let mut has_ended = false;
    // Its keeper ends after it, and takes the name of its socket away.
    while !has_ended || tell_keeper(home, Wish::Nothing) {
        if Instant::now() > until {
            return Err("the daemon before, or its keeper, has said that it ends, and does not".to_owned());
        }
        succession.receive(PAUSE);
        let lock = LockFile::acquire(&home.join(DAEMON_LOCK), LockKind::Exclusive, Duration::ZERO);
        has_ended |= lock.map_err(cannot("lock `daemon.lock`"))?.is_some();
    }
    succession.receive(Duration::ZERO);
    Ok(succession.end())
}

fn ask_to_leave(connection: &mut Connection) -> Result<(), String> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let (pid, request) = (std::process::id(), Request::Leave);
    let protocol = request.protocol();
    let call = Call { protocol, version, pid, no_wait: false, hasty: false, uid: None, words: Vec::new(), request };
    // What it said last is read all the same.
    let _ = connection.limit_wait(WORK_PATIENCE).and_then(|()| connection.send(&call));
    let mut at_work = String::new();
    loop {
        match connection.next_answer() {
            Ok(Answer::Done { .. } | Answer::Ending) => return Ok(()),
            Ok(Answer::Waiting { holder, .. }) => at_work = format!(": {holder} is at work"),
            Ok(Answer::Error { message, .. }) => return Err(format!("the daemon before does not leave: {message}")),
            Ok(_) => {}
            Err(error) => match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                    let seconds = WORK_PATIENCE.as_secs();
                    return Err(format!("the daemon before has not left within {seconds}s{at_work}"));
                }
                std::io::ErrorKind::InvalidData => {
                    return Err(format!("cannot understand the daemon before: {}", reason(&error)));
                }
                // It has ended, however that was.
                _ => return Ok(()),
            },
        }
    }
}
