use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::process::pidfd_send_signal;

use super::children::raw_signal;
use super::clustered::Member;
use super::pid_file::beside;
use crate::base::{Offers, Signal};
use crate::platform::channel::Channel;
use crate::platform::notify::Notify;
use crate::platform::piped::Piped;
use crate::platform::survivors::Child;
use crate::platform::tag::list_bits;
use crate::platform::tree::Kin;
use crate::supervisor::{Launch, Output};

/// A first process.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pid: u32,
    pub(super) pidfd: OwnedFd,
    /// False: taken over from an earlier daemon, its status is for another to collect.
    pub(super) child: bool,
    /// That other is our keeper, who tells.
    pub(super) kept: bool,
    start: Option<u64>,
    pub(super) mark: String,
    pub(super) instance: String,
    list_id: u64,
    /// The digest that it is marked with, of what it was started from.
    spec: String,
    pub(super) logs: Vec<String>,
    pub(super) pid_file: PathBuf,
    pub(super) tree: bool,
    pub(super) channel: Option<Channel>,
    pub(super) notify: Option<Notify>,
    /// It has closed the channel that it had.
    pub(super) closed: bool,
    /// It has asked for something over it, as workers do, or was told to disconnect.
    pub(super) engaged: bool,
    pub(super) piped: Option<Piped>,
    /// Where it is a worker of Node's cluster.
    pub(super) member: Option<Member>,
    /// Something waits until it reads its channel.
    pub(super) writing: bool,
    /// What it has said of itself.
    pub(super) offers: Option<Box<Offers>>,
}

/// How a stop begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Signal(Signal),
    Message,
    Kill,
    /// Somebody has begun it already.
    Nothing,
}

impl Running {
    /// `start` is known of what is taken over, and of nothing else.
    pub(super) fn new(
        launch: &Launch,
        pid: u32,
        pidfd: OwnedFd,
        mark: String,
        spec: String,
        start: Option<u64>,
    ) -> Self {
        let logs = [&launch.out, &launch.error].into_iter().filter_map(|output| match output {
            Output::File(path) => Some(path.clone()),
            Output::Null => None,
        });
        Self {
            pid,
            pidfd,
            child: start.is_none(),
            kept: false,
            start,
            mark,
            instance: launch.instance.to_string(),
            list_id: list_bits(launch),
            spec,
            logs: logs.collect(),
            pid_file: if launch.relieves {
                beside(Path::new(&launch.pid_file))
            } else {
                launch.pid_file.clone().into()
            },
            tree: launch.tree,
            channel: None,
            notify: None,
            closed: false,
            engaged: false,
            piped: None,
            member: Member::of(launch),
            writing: false,
            offers: None,
        }
    }

    /// For the program that this process becomes; none of what is no child of it, or no instance's.
    pub(super) fn as_child(&self, grouped: bool) -> Option<Child> {
        let is_ours = self.child && !self.pid_file.as_os_str().is_empty();
        is_ours.then(|| Child {
            pid: self.pid,
            instance: self.instance.clone(),
            list_id: self.list_id,
            launch: self.mark.clone(),
            spec: self.spec.clone(),
            grouped,
            piped: Some(self.piped.is_some()),
        })
    }

    /// Started by this daemon, in this program.
    pub(super) fn is_fresh(&self) -> bool {
        self.start.is_none()
    }

    pub(super) fn kin(&self) -> Kin {
        Kin {
            root: Some(self.pid),
            start: self.start,
            session: self.pid,
            mark: self.mark.clone(),
            instance: Some(self.instance.clone()),
            list_id: Some(self.list_id),
            logs: self.logs.clone(),
            adopted: self.start.is_some(),
        }
    }

    pub(super) fn send(&mut self, how: How) {
        let signal = match how {
            How::Message if self.ask_to_shut_down() => None,
            How::Message => Some(Signal::INT),
            How::Signal(signal) => Some(signal),
            How::Kill => Some(Signal::KILL),
            How::Nothing => return,
        };
        if let Some(signal) = signal.and_then(raw_signal) {
            let _ = pidfd_send_signal(&self.pidfd, signal);
        }
        if how != How::Kill {
            wake(&self.pidfd);
        }
    }

    /// Of Node's cluster.
    pub(super) fn is_worker(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.asks)
    }

    fn ask_to_shut_down(&mut self) -> bool {
        let is_worker = self.is_worker();
        self.channel.as_mut().is_some_and(|channel| channel.ask_to_shut_down(is_worker))
    }

    pub(super) fn freeze(&self) -> bool {
        pidfd_send_signal(&self.pidfd, rustix::process::Signal::STOP).is_ok()
    }
}

/// What was stopped by job control, or a debugger, can act on no signal before it goes on.
pub(super) fn wake(pidfd: &OwnedFd) {
    let _ = pidfd_send_signal(pidfd, rustix::process::Signal::CONT);
}
