//! What the keeper says, and what is done when it says no more.

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use super::{Host, Key};
use crate::platform::keeper::{KeeperLink, Told};
use crate::platform::reason;
use crate::supervisor::LaunchId;

impl Host {
    /// From now on it is listened to.
    ///
    /// # Errors
    /// The system's.
    pub fn be_kept(&mut self, mut link: KeeperLink) -> std::io::Result<()> {
        for (pid, status) in std::mem::take(&mut link.ended) {
            if self.roots.contains_key(&pid) {
                self.told.insert(pid, status);
            }
        }
        self.watch(&link, Key::Keeper)?;
        self.keeper = Some(link);
        Ok(())
    }

    /// Should the daemon be killed from now on, another is started.
    pub fn serves(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.serves();
        }
    }

    pub(super) fn hear_keeper(&mut self) {
        while let Some(keeper) = &self.keeper {
            match keeper.hear() {
                Told::Nothing => return,
                Told::Ended(pid, status) => {
                    // Of what others have left behind nobody wants to know.
                    if let Some(launch) = self.roots.get(&pid).copied() {
                        self.told.insert(pid, status);
                        self.root_exited(launch);
                    }
                }
                Told::Gone => return self.lose_keeper(),
            }
        }
    }

    /// How those ended whose parent it was nobody will ever know.
    fn lose_keeper(&mut self) {
        if let Some(gone) = self.keeper.take() {
            let _ = epoll::delete(&self.epoll, &gone);
        }
        let kept = self.running.iter_mut().filter(|(_, running)| running.kept);
        let kept: Vec<LaunchId> = kept
            .map(|(launch, running)| {
                running.kept = false;
                *launch
            })
            .collect();
        for launch in kept {
            let ended = self.running.get(&launch).is_some_and(|running| {
                let now = Some(&Timespec::default());
                poll(&mut [PollFd::new(&running.pidfd, PollFlags::IN)], now).is_ok_and(|ready| ready > 0)
            });
            if ended {
                self.root_exited(launch);
            }
        }
        let link = KeeperLink::replace(&self.setup).and_then(|link| {
            link.serves();
            self.be_kept(link)
        });
        match link {
            Ok(()) => self.notice("the keeper was gone, another was started".to_owned()),
            Err(error) => self.notice(format!(
                "the keeper is gone and another cannot be started: {}; should this daemon be killed, the next command \
                 starts one",
                reason(&error)
            )),
        }
    }
}
