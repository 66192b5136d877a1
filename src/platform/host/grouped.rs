//! Launches with `limits`, which run in groups.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::{Event, Host};
use crate::base::{ExitStatus, InstanceId, Shortage};
use crate::platform::cgroup::{Kills, kills_of};
use crate::platform::spawn::out_of_the_way;
use crate::spec::Limits;
use crate::supervisor::{Launch, LaunchId, safe_name};

impl Host {
    /// The folder of its group. Without one it runs all the same.
    pub(super) fn open_group(&mut self, launch: &Launch, mark: &str) -> Option<OwnedFd> {
        if launch.limits.is_none() {
            return None;
        }
        let name = group_name(&launch.instance.to_string(), mark);
        let (folder, note) = self.groups.open(launch.id, &name, &launch.limits);
        self.events.push(Event::Limits { launch: launch.id, note });
        out_of_the_way(folder?.into()).ok()
    }

    pub(super) fn entered_group(&mut self, launch: &Launch, pid: u32) {
        if let Some(note) = self.groups.entered(launch.id, pid) {
            self.events.push(Event::Limits { launch: launch.id, note: Some(note) });
        }
    }

    pub(super) fn adopt_group(&mut self, launch: &Launch, pid: u32) {
        if self.groups.adopt(launch.id, pid, &launch.limits) || !launch.limits.is_none() {
            self.set_limits(launch.id, &launch.limits);
        }
    }

    /// A launch of an earlier daemon's has ended while there was none: its group still knows whether the kernel did that.
    pub(super) fn look_how_it_ended(&mut self, launch: &Launch, left_over: &[(PathBuf, Kills)]) {
        let name = launch_name(&launch.instance.to_string());
        let shortage = match kills_of(left_over, &name, launch.limits.memory) {
            None | Some(Kills::None) => return,
            Some(Kills::AtLimit(bytes)) => Shortage::Limit(bytes),
            Some(Kills::Above) => Shortage::Above,
        };
        self.unseen.push((launch.instance.first(), ExitStatus::OutOfMemory(shortage)));
    }

    /// How launches have ended that no daemon saw end, where that is known; told once.
    pub fn take_unseen(&mut self) -> Vec<(InstanceId, ExitStatus)> {
        std::mem::take(&mut self.unseen)
    }

    /// Other limits for a launch that runs.
    pub fn set_limits(&mut self, launch: LaunchId, limits: &Limits) {
        let Some(running) = self.running.get(&launch) else { return };
        let name = group_name(&running.instance, &running.mark);
        let mut groups = std::mem::replace(&mut self.groups, super::Groups::new(""));
        let (note, escapes) = groups.change(launch, &name, limits, || self.members(launch));
        self.groups = groups;
        if escapes {
            let instance = &self.running[&launch].instance;
            self.notice(format!("limits of `{instance}`: memory that it has already counts from its next start on"));
        }
        self.events.push(Event::Limits { launch, note });
    }
}

fn group_name(instance: &str, mark: &str) -> String {
    format!("{}.{mark}", launch_name(instance))
}

fn launch_name(instance: &str) -> String {
    let (app, slot) = instance.rsplit_once(':').unwrap_or((instance, "0"));
    format!("{}-{slot}", safe_name(app))
}
