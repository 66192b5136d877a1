//! What the keeper says, and what is done when it says no more.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use super::running::Running;
use super::{Host, Key};
use crate::platform::channel::Channel;
use crate::platform::keeper::{KeeperLink, Legacy, Told};
use crate::platform::reason;
use crate::supervisor::LaunchId;

impl Host {
    /// From now on it is listened to.
    ///
    /// # Errors
    /// The system's.
    pub fn be_kept(&mut self, mut link: KeeperLink) -> io::Result<()> {
        for (pid, status) in std::mem::take(&mut link.ended) {
            if self.roots.contains_key(&pid) {
                self.told.insert(pid, status);
            }
        }
        self.watch(&link, Key::Keeper)?;
        // Of what was not taken over nobody has any use.
        for name in std::mem::take(&mut self.held).into_keys() {
            link.release(&name);
        }
        self.notify.tidy(&self.running.values().map(|running| running.mark.clone()).collect());
        self.keeper = Some(link);
        for (app, kept) in std::mem::take(&mut self.found) {
            self.have_socket_held(&app, &kept);
        }
        Ok(())
    }

    /// What an earlier daemon had had held, for those that are taken over.
    pub fn take_held(&mut self, link: &mut KeeperLink) {
        self.held = std::mem::take(&mut link.held);
        self.known = std::mem::take(&mut link.children);
        // Their pids may be anybody's by now.
        self.known.retain(|child| link.ended.iter().all(|(pid, _)| *pid != child.pid));
    }

    pub(super) fn take_over_held(&mut self, running: &mut Running) {
        running.channel = self.held.remove(&channel_of(&running.mark)).map(Channel::of);
        running.notify = self.held.remove(&notify_of(&running.mark)).map(|fd| self.notify.of(fd, &running.mark));
    }

    /// So that a daemon that follows can go on listening to it.
    pub(super) fn have_held(&mut self, running: &Running) {
        let Some(keeper) = &self.keeper else { return };
        let channel = running.channel.as_ref().map(|channel| keeper.hold(&channel_of(&running.mark), channel));
        let notify = running.notify.as_ref().map(|notify| keeper.hold(&notify_of(&running.mark), notify));
        if let Some(Err(error)) = channel.into_iter().chain(notify).find(Result::is_err) {
            let (instance, reason) = (running.instance.clone(), reason(&error));
            self.notice(format!("the keeper cannot hold the channel of `{instance}`: {reason}"));
        }
    }

    pub(super) fn release_held(&self, running: &Running) {
        let Some(keeper) = &self.keeper else { return };
        if running.channel.is_some() || running.closed {
            keeper.release(&channel_of(&running.mark));
        }
        if running.notify.is_some() {
            keeper.release(&notify_of(&running.mark));
        }
    }

    /// Becomes another program, which goes on with everything. Returns when that cannot be.
    pub fn hand_over(mut self, program: &Path, listener: OwnedFd, lock: OwnedFd) -> io::Error {
        let Some(link) = self.keeper.take() else { return io::Error::other("there is no keeper") };
        // What has been started since is sorted out by who has started it.
        self.end_leftovers();
        let held = self.holdings();
        let all = self.running.iter();
        let children = all.filter_map(|(launch, running)| running.as_child(self.groups.has(*launch))).collect();
        let error = link.hand_over(program, &self.setup, listener, lock, held, children);
        // The names of its sockets stay: whoever follows goes on with them.
        std::mem::forget(self.running);
        error
    }

    /// Copies of what is open for apps.
    fn holdings(&self) -> BTreeMap<String, OwnedFd> {
        let mut held = BTreeMap::new();
        for running in self.running.values() {
            let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().ok();
            let channel = running.channel.as_ref().and_then(|channel| copy(channel.as_fd()));
            let notify = running.notify.as_ref().and_then(|notify| copy(notify.as_fd()));
            held.extend(channel.map(|fd| (channel_of(&running.mark), fd)));
            held.extend(notify.map(|fd| (notify_of(&running.mark), fd)));
        }
        held.extend(self.held_sockets());
        held
    }

    /// Leaves everything as it runs to a daemon that waits for it.
    ///
    /// # Errors
    /// What of it that one does without, and why.
    pub fn leave(self) -> Result<(), String> {
        let left = Legacy::of(Path::new(&self.home)).map_err(|error| reason(&error)).and_then(|legacy| {
            let failed = |(name, fd): (String, OwnedFd)| {
                legacy.leave(&name, &fd).err().map(|error| format!("`{name}`: {}", reason(&error)))
            };
            let failed: Vec<String> = self.holdings().into_iter().filter_map(failed).collect();
            if failed.is_empty() { Ok(()) } else { Err(failed.join(", ")) }
        });
        self.take_leave();
        // As above.
        std::mem::forget(self.running);
        left
    }

    /// Whether a keeper looks after this process.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.keeper.is_some()
    }

    /// What the service manager is to know that has started the keeper, where one has.
    pub fn tell_manager(&self, text: &str) {
        if let Some(keeper) = &self.keeper {
            keeper.tell_manager(text);
        }
    }

    /// The keeper becomes what this process is.
    pub fn have_keeper_follow(&self) {
        if let (Some(keeper), Ok(program)) = (&self.keeper, std::env::current_exe()) {
            keeper.follow(&program);
        }
    }

    /// Commands are to find the keeper, where somebody has taken away what they find it by.
    pub fn have_keeper_listen(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.listen_again();
        }
    }

    /// Should the daemon be killed from now on, another is started.
    pub fn serves(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.serves();
        }
    }

    /// The daemon ends, whatever happens to it from now on: none is to follow.
    pub fn take_leave(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.farewell();
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
                        self.killer.begin();
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
        let running = std::mem::take(&mut self.running);
        for running in running.values() {
            self.have_held(running);
        }
        self.running = running;
        if let Some(keeper) = &self.keeper {
            for (name, fd) in self.held_sockets() {
                let _ = keeper.hold(&name, &fd);
            }
        }
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

fn channel_of(mark: &str) -> String {
    format!("{mark}/channel")
}

fn notify_of(mark: &str) -> String {
    format!("{mark}/notify")
}
