use std::future::pending;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;

use super::log;
use crate::platform::{KEEPER_SOCKET, LockFile, LockKind, NameWatch, awaitable, read_regular, reason};
use crate::rpc::client::{DAEMON_LOCK, PID_FILE, SOCKET};
use crate::rpc::server::Server;

/// Whoever takes one of them away mostly takes more: that is over by then. A folder that is being removed is not to be filled
/// meanwhile.
const LULL: Duration = Duration::from_millis(50);
/// When they cannot be made again, that is tried later: first after this, then after twice as long each time, up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_LAST: Duration = Duration::from_mins(1);

/// How long a command may take to read what is recorded, for which it shares the lock.
const LOCK_PATIENCE: Duration = Duration::from_millis(200);

/// Which file that is.
type Identity = (u64, u64);

/// What others know the daemon by: its lock, its socket and its pid. Who tidies up in `PMRUN_HOME` takes them away under a
/// daemon that runs, and no command would find it any more: they are made again as soon as that is noticed, which costs
/// nothing until then.
#[derive(Debug)]
pub(super) struct Presence {
    home: PathBuf,
    /// There is a keeper, which commands find in the same way.
    is_kept: bool,
    /// None where the system has no watches left.
    watch: Option<(NameWatch, AsyncFd<OwnedFd>)>,
    /// When it is to be looked at.
    due: Option<Instant>,
    pause: Duration,
    /// What is in `daemon.lock`'s place since the file that was locked first is not.
    lock: Option<LockFile>,
    locked: Option<Identity>,
    bound: Option<Identity>,
}

/// What a look comes to.
#[derive(Debug)]
pub(super) enum Seen {
    /// All is in its place.
    All,
    /// Something was gone, and is there again; with another socket where that was it.
    Again(Option<Server>),
}

impl Presence {
    /// Of a daemon that has its lock and has bound its socket.
    pub(super) fn begin(home: &Path, is_kept: bool) -> io::Result<Self> {
        write_pid(home)?;
        let mut presence = Self {
            home: home.to_owned(),
            is_kept,
            watch: None,
            due: None,
            pause: PAUSE_FIRST,
            lock: None,
            locked: identity(&home.join(DAEMON_LOCK)),
            bound: identity(&home.join(SOCKET)),
        };
        presence.watch();
        presence.look_for_keeper();
        Ok(presence)
    }

    /// Comes when something of it may be gone.
    pub(super) async fn doubtful(&mut self) {
        let due = loop {
            if let Some(due) = self.due {
                break due;
            }
            let Some((watch, ready)) = &self.watch else { return pending().await };
            match ready.readable().await {
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => return pending().await,
            }
            if watch.take() {
                self.due = Some(Instant::now() + LULL);
            }
        };
        tokio::time::sleep_until(tokio::time::Instant::from_std(due)).await;
    }

    /// Makes again what is gone.
    pub(super) fn look(&mut self) -> Seen {
        self.due = None;
        match self.renew() {
            Ok(seen) => {
                self.watch();
                self.look_for_keeper();
                // What another has put there, that could not be a daemon here, goes with it a moment later.
                if matches!(seen, Seen::Again(_)) {
                    self.look_again();
                }
                seen
            }
            Err(error) => {
                if self.pause == PAUSE_FIRST {
                    let home = self.home.display();
                    log::line(format_args!(
                        "somebody has tidied up in `{home}`, and no command reaches this daemon until that can be made again: {}",
                        reason(&error)
                    ));
                }
                self.look_again();
                Seen::All
            }
        }
    }

    /// It is told when something is gone, and makes its own again: that is watched then.
    fn look_for_keeper(&mut self) {
        if self.is_kept && !self.home.join(KEEPER_SOCKET).exists() {
            self.look_again();
        } else {
            self.pause = PAUSE_FIRST;
        }
    }

    fn look_again(&mut self) {
        self.due = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_LAST);
    }

    /// What is locked in the place of the first, where that is gone: whoever goes on needs this one.
    pub(super) fn lock(&mut self) -> Option<LockFile> {
        self.lock.take()
    }

    /// It ends. What another has put there stays.
    pub(super) fn withdraw(&self) {
        let socket = self.home.join(SOCKET);
        if self.bound.is_some() && identity(&socket) == self.bound {
            let _ = std::fs::remove_file(socket);
        }
        if is_ours(&self.home) {
            let _ = std::fs::remove_file(self.home.join(PID_FILE));
        }
    }

    fn renew(&mut self) -> io::Result<Seen> {
        let mut any = false;
        if !self.home.try_exists()? {
            // Where the folder above is gone, too, this one is not wanted any more.
            std::fs::DirBuilder::new().mode(0o700).create(&self.home)?;
        }
        let path = self.home.join(DAEMON_LOCK);
        if self.locked.is_none() || identity(&path) != self.locked {
            let Some(lock) = LockFile::acquire(&path, LockKind::Exclusive, LOCK_PATIENCE)? else {
                // One that has just been started in its place, and has this one end, or finds that it cannot be.
                return Err(io::Error::other("`daemon.lock` is another's"));
            };
            self.lock = Some(lock);
            self.locked = identity(&path);
            any = true;
        }
        let path = self.home.join(SOCKET);
        let mut server = None;
        if self.bound.is_none() || identity(&path) != self.bound {
            server = Some(Server::bind(&self.home)?);
            self.bound = identity(&path);
            any = true;
        }
        any |= write_pid(&self.home)?;
        Ok(if any { Seen::Again(server) } else { Seen::All })
    }

    fn watch(&mut self) {
        let names = [DAEMON_LOCK, SOCKET, PID_FILE, KEEPER_SOCKET].map(|name| self.home.join(name));
        let watch = || {
            let watch = NameWatch::of(names.iter().map(PathBuf::as_path))?;
            let ready = awaitable(watch.as_fd().try_clone_to_owned()?)?;
            Ok((watch, ready))
        };
        self.watch = watch()
            .map_err(|error: io::Error| {
                log::line(format_args!("should somebody take the socket away, it is not noticed: {}", reason(&error)));
            })
            .ok();
    }
}

fn is_ours(home: &Path) -> bool {
    read_regular(&home.join(PID_FILE)).is_ok_and(|text| text == pid_line().as_bytes())
}

/// Whether it was another's, or gone.
fn write_pid(home: &Path) -> io::Result<bool> {
    if is_ours(home) {
        return Ok(false);
    }
    let path = home.join(PID_FILE);
    // Whatever is there: nobody waits for the other end of a pipe.
    let _ = std::fs::remove_file(&path);
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot write `{}`: {}", path.display(), reason(&error)))
    };
    std::fs::write(&path, pid_line()).map_err(named)?;
    Ok(true)
}

fn pid_line() -> String {
    format!("{}\n", std::process::id())
}

fn identity(path: &Path) -> Option<Identity> {
    path.symlink_metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With what it takes to bind.
    fn with_presence(check: impl AsyncFnOnce(&Path, &mut Presence)) {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let _lock = LockFile::acquire(&home.join(DAEMON_LOCK), LockKind::Exclusive, Duration::ZERO).unwrap();
            let _server = Server::bind(&home).unwrap();
            check(&home, &mut Presence::begin(&home, false).unwrap()).await;
        });
    }

    #[test]
    fn whatever_is_taken_away_is_there_again() {
        with_presence(async |home, presence| {
            assert!(matches!(presence.look(), Seen::All));
            for names in [&[SOCKET][..], &[PID_FILE], &[DAEMON_LOCK], &[SOCKET, PID_FILE, DAEMON_LOCK]] {
                for name in names {
                    std::fs::remove_file(home.join(name)).unwrap();
                }
                tokio::time::timeout(Duration::from_secs(20), presence.doubtful()).await.unwrap();
                let Seen::Again(server) = presence.look() else { panic!("{names:?}") };
                assert_eq!(server.is_some(), names.contains(&SOCKET), "{names:?}");
                assert!([SOCKET, PID_FILE, DAEMON_LOCK].iter().all(|name| home.join(name).exists()), "{names:?}");
                let other = LockFile::acquire(&home.join(DAEMON_LOCK), LockKind::Shared, Duration::ZERO);
                assert!(other.unwrap().is_none(), "{names:?}");
                assert!(matches!(presence.look(), Seen::All));
            }
            std::fs::remove_dir_all(home).unwrap();
            presence.doubtful().await;
            assert!(matches!(presence.look(), Seen::Again(Some(_))));
            presence.withdraw();
            assert!(!home.join(SOCKET).exists() && !home.join(PID_FILE).exists());
        });
    }

    #[test]
    fn what_another_daemon_has_is_left_to_it() {
        with_presence(async |home, presence| {
            for name in [SOCKET, PID_FILE, DAEMON_LOCK] {
                std::fs::remove_file(home.join(name)).unwrap();
            }
            let _lock =
                LockFile::acquire(&home.join(DAEMON_LOCK), LockKind::Exclusive, Duration::ZERO).unwrap().unwrap();
            std::fs::write(home.join(PID_FILE), "1\n").unwrap();
            presence.doubtful().await;
            assert!(matches!(presence.look(), Seen::All));
            presence.withdraw();
            assert!(!home.join(SOCKET).exists() && home.join(PID_FILE).exists());
            std::fs::remove_file(home.join(DAEMON_LOCK)).unwrap();
            presence.doubtful().await;
            assert!(matches!(presence.look(), Seen::Again(Some(_))), "it is gone again");
        });
    }

    #[test]
    fn what_cannot_be_made_again_is_tried_again() {
        with_presence(async |home, presence| {
            std::fs::remove_file(home.join(SOCKET)).unwrap();
            // Nothing can be bound in its place.
            std::fs::create_dir(home.join(SOCKET)).unwrap();
            assert!(matches!(presence.look(), Seen::All));
            assert!(presence.due.is_some());
            std::fs::remove_dir(home.join(SOCKET)).unwrap();
            presence.doubtful().await;
            assert!(matches!(presence.look(), Seen::Again(Some(_))));
        });
    }
}
