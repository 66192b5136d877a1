//! Stops under way: found, signalled, watched, frozen, ended, and looked at again.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::OwnedFd;

use rustix::process::pidfd_send_signal;

use super::children::raw_signal;
use super::running::{How, wake};
use super::{Event, Host, Key, launch_mark};
use crate::base::Signal;
use crate::platform::procfs::{Process, Table};
use crate::platform::reason;
use crate::platform::survivors::pin;
use crate::platform::tree::{Kin, Known, Member, Stopping, Survey, Todo};
use crate::supervisor::LaunchId;

/// How often the descendants of one launch are looked for again before a stop rests until the next, sterner request:
/// it is not done, and does not keep the daemon from everything else. What forks faster than it can be frozen this
/// often needs a cgroup.
const ROUNDS_MAX: u32 = 50;
/// How often it is looked again in one go while everything is being frozen; the loop stands still meanwhile.
const FREEZES_MAX: u32 = 10;

impl Host {
    pub(super) fn begin(&mut self, launch: LaunchId, how: How, tree: bool) {
        self.end_emptying(launch);
        let mut running = self.running.get_mut(&launch);
        if !tree {
            let Some(running) = running else {
                // Its first process has ended; whatever was begun with the tree goes on.
                if !self.stopping.contains_key(&launch) {
                    self.events.push(Event::TreeGone { launch });
                }
                return;
            };
            running.send(how);
            let kin = running.kin();
            self.stopping.entry(launch).or_insert_with(|| Stopping::new(kin, false, Todo::Nothing, Signal::KILL));
            return;
        }
        if how == How::Message
            && let Some(running) = &mut running
        {
            running.send(how);
        }
        let (todo, signal) = match how {
            How::Signal(signal) => (Todo::Signal, signal),
            How::Message | How::Nothing => (Todo::Watch, Signal::TERM),
            How::Kill => (Todo::Kill, Signal::KILL),
        };
        let ended = || self.ended.values().find(|ended| ended.launch == launch).map(|ended| ended.kin.clone());
        let by_mark = || Kin { mark: launch_mark(&self.nonce, launch), ..Kin::default() };
        let kin = || running.map(|running| running.kin()).or_else(ended).unwrap_or_else(by_mark);
        let stopping = self.stopping.entry(launch).or_insert_with(|| Stopping::new(kin(), true, todo, signal));
        // A stop that is under way becomes sterner, never milder.
        stopping.tree = true;
        stopping.killing |= how == How::Kill;
        if stopping.killing == (how == How::Kill) {
            stopping.todo = todo;
            stopping.signal = signal;
            stopping.rounds = 0;
        }
    }

    /// One look at all processes, and what it means for every stop that has something to do.
    pub(super) fn sweep(&mut self) {
        let Some(survey) = self.survey() else {
            return self.signal_watched();
        };
        let busy = |stopping: &Stopping| stopping.todo != Todo::Nothing;
        let launches: Vec<LaunchId> =
            self.stopping.iter().filter(|(_, stopping)| busy(stopping)).map(|(launch, _)| *launch).collect();
        let mut kills = Vec::new();
        for launch in launches {
            let found = self.find(&survey, launch);
            let Some(stopping) = self.stopping.get_mut(&launch) else { continue };
            let todo = std::mem::replace(&mut stopping.todo, Todo::Nothing);
            if todo == Todo::Verify && !found.is_empty() {
                stopping.rounds += 1;
                if stopping.rounds > ROUNDS_MAX {
                    let (left, killing) = (found.len(), stopping.killing);
                    let until = if killing { "somebody asks again" } else { "they are killed" };
                    self.notice(format!("{left} processes start others as fast as they end: left alone until {until}"));
                    continue;
                }
            }
            let stern = todo == Todo::Kill || (todo == Todo::Verify && stopping.killing);
            if stern {
                kills.push((launch, found));
                continue;
            }
            let signal = (todo != Todo::Watch).then_some(stopping.signal);
            if todo == Todo::Signal
                && let Some(running) = self.running.get_mut(&launch)
            {
                running.send(How::Signal(stopping.signal));
            }
            self.add_members(launch, &found, signal, todo == Todo::Signal);
            self.finish_if_gone(launch, found.is_empty());
        }
        if !kills.is_empty() {
            self.kill_all(kills);
        }
    }

    /// What can be done without a look at all processes. The rest is found when the first process has ended, or with the
    /// next request.
    fn signal_watched(&mut self) {
        for (launch, stopping) in &mut self.stopping {
            let how = match std::mem::replace(&mut stopping.todo, Todo::Nothing) {
                Todo::Signal => How::Signal(stopping.signal),
                Todo::Kill => How::Kill,
                Todo::Nothing | Todo::Watch | Todo::Verify => continue,
            };
            if let Some(running) = self.running.get_mut(launch) {
                running.send(how);
            }
            for member in stopping.members.values() {
                send(&member.pidfd, stopping.signal);
            }
        }
    }

    /// Freezes first, until nothing new turns up: what is frozen cannot fork away from what follows.
    fn kill_all(&mut self, kills: Vec<(LaunchId, Vec<Process>)>) {
        let launches: Vec<LaunchId> = kills.iter().map(|(launch, _)| *launch).collect();
        // Where there is a group, all of it ends at once, however fast it forks. Who has left it is found as ever.
        for launch in &launches {
            self.groups.kill(*launch);
        }
        let mut any_new = false;
        for (launch, found) in kills {
            if let Some(running) = self.running.get_mut(&launch) {
                any_new |= running.freeze();
            }
            any_new |= self.freeze_members(launch, &found);
        }
        for _ in 0..FREEZES_MAX {
            if !any_new {
                break;
            }
            let Some(survey) = self.survey() else { break };
            any_new = false;
            for launch in &launches {
                let found = self.find(&survey, *launch);
                any_new |= self.freeze_members(*launch, &found);
            }
        }
        for launch in launches {
            if let Some(running) = self.running.get_mut(&launch) {
                running.send(How::Kill);
            }
            if let Some(stopping) = self.stopping.get_mut(&launch) {
                stopping.killing = true;
                for member in stopping.members.values() {
                    let _ = pidfd_send_signal(&member.pidfd, rustix::process::Signal::KILL);
                }
            }
            self.finish_if_gone(launch, !any_new);
        }
    }

    /// True when there was one that had not been frozen before. One that is gone already counts: it may have left
    /// another in its place.
    fn freeze_members(&mut self, launch: LaunchId, found: &[Process]) -> bool {
        let Some(stopping) = self.stopping.get(&launch) else { return false };
        let is_new = |process: &Process| stopping.members.get(&process.pid).is_none_or(|m| m.start != process.start);
        let any_new = found.iter().any(is_new);
        self.add_members(launch, found, None, false);
        let Some(stopping) = self.stopping.get(&launch) else { return false };
        let mut unwatched = Vec::new();
        for process in found {
            match stopping.members.get(&process.pid) {
                Some(member) => freeze(&member.pidfd),
                None => unwatched.push(process),
            }
        }
        for process in unwatched {
            self.signal_unwatched(process, Signal::KILL);
        }
        any_new
    }

    fn survey(&mut self) -> Option<Survey> {
        self.with_spare_files(Self::look)
    }

    fn look(&mut self) -> Option<Survey> {
        let table = match Table::scan() {
            Ok(table) => table,
            Err(error) => {
                self.notice(format!("cannot look for descendants: {}", reason(&error)));
                return None;
            }
        };
        let live_marks: HashSet<String> = self.running.values().map(|running| running.mark.clone()).collect();
        let known = Known {
            home: &self.home,
            roots: &self.roots,
            live_marks: &live_marks,
            oldest: self.oldest,
            any_adopted: self.any_adopted,
        };
        Some(Survey::new(table, std::process::id(), &known, &mut self.cache))
    }

    fn find(&mut self, survey: &Survey, launch: LaunchId) -> Vec<Process> {
        let Some(stopping) = self.stopping.get(&launch) else { return Vec::new() };
        let running = &self.running;
        let shared = |log: &str| {
            running.iter().any(|(id, other)| *id != launch && other.logs.iter().any(|theirs| theirs == log))
        };
        let pinned = stopping.members.iter().map(|(pid, member)| (*pid, member.start));
        let mut found = survey.members(&stopping.kin, pinned, shared, &mut self.cache);
        found.retain(|process| !self.roots.contains_key(&process.pid));
        found
    }

    /// Pins and watches what is new, and sends the signal to it, or to all.
    fn add_members(&mut self, launch: LaunchId, found: &[Process], signal: Option<Signal>, to_all: bool) {
        let mut unpinned = 0_u32;
        for process in found {
            let Some(stopping) = self.stopping.get(&launch) else { return };
            let known = stopping.members.get(&process.pid).is_some_and(|member| member.start == process.start);
            if !known && !self.add_member(launch, process) {
                unpinned += 1;
                // Once: nobody remembers that it has been sent.
                if let Some(signal) = signal.filter(|_| to_all) {
                    self.signal_unwatched(process, signal);
                }
                continue;
            }
            if (to_all || !known)
                && let Some(signal) = signal
                && let Some(member) = self.stopping.get(&launch).and_then(|s| s.members.get(&process.pid))
            {
                send(&member.pidfd, signal);
            }
        }
        if unpinned > 0 {
            self.notice(format!("cannot watch {unpinned} descendants: no more files may be opened"));
        }
    }

    /// True unless it is there and cannot be pinned.
    fn add_member(&mut self, launch: LaunchId, process: &Process) -> bool {
        let pidfd = match pin(process) {
            Ok(Some(pidfd)) => pidfd,
            Ok(None) => return true,
            Err(_) => return false,
        };
        let key = self.next_member;
        self.next_member += 1;
        if self.watch(&pidfd, Key::Member(key)).is_err() {
            return false;
        }
        self.members.insert(key, (launch, process.pid));
        if let Some(stopping) = self.stopping.get_mut(&launch) {
            let old = stopping.members.insert(process.pid, Member { pidfd, start: process.start, key });
            if let Some(old) = old {
                self.members.remove(&old.key);
            }
        }
        true
    }

    /// Pins it for this one moment.
    fn signal_unwatched(&mut self, process: &Process, signal: Signal) {
        self.with_spare_files(|_| {
            if let Ok(Some(pidfd)) = pin(process) {
                send(&pidfd, signal);
            }
        });
    }

    /// `settled`: the last look found nothing that had to be pinned. What was found and was gone before that may have
    /// left another in its place, so it has to be looked again.
    fn finish_if_gone(&mut self, launch: LaunchId, settled: bool) {
        let Some(stopping) = self.stopping.get_mut(&launch) else { return };
        if stopping.kin.root.is_some() || !stopping.members.is_empty() {
            return;
        }
        if settled {
            self.finish(launch);
        } else {
            stopping.todo = Todo::Verify;
        }
    }

    pub(super) fn finish(&mut self, launch: LaunchId) {
        let Some(stopping) = self.stopping.remove(&launch) else { return };
        self.groups.release(launch);
        let ended = self.ended.extract_if(|_, ended| ended.launch == launch);
        self.stale_pid_files.extend(ended.filter_map(|(_, ended)| ended.pid_file));
        for member in stopping.members.values() {
            self.members.remove(&member.key);
        }
        self.events.push(Event::TreeGone { launch });
    }
}

fn freeze(pidfd: &OwnedFd) {
    let _ = pidfd_send_signal(pidfd, rustix::process::Signal::STOP);
}

fn send(pidfd: &OwnedFd, signal: Signal) {
    if let Some(signal) = raw_signal(signal) {
        let _ = pidfd_send_signal(pidfd, signal);
    }
    wake(pidfd);
}

impl Stopping {
    pub(super) fn new(kin: Kin, tree: bool, todo: Todo, signal: Signal) -> Self {
        let killing = todo == Todo::Kill;
        Self { kin, tree, todo, signal, killing, members: BTreeMap::new(), rounds: 0 }
    }
}
