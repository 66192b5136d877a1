//! Where each instance stands: what is known of it besides what is recorded for good. Noted whenever it changes, so that
//! the next daemon goes on where this one was killed. After a start of the machine it means nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::code::OtherCode;
use super::history::Why;
use super::table::Instance;
use super::{InstanceRecord, Intent, Survivor};
use crate::base::{ExitStatus, InstanceId, Mono, Wall};
use crate::plan::spec_digest;
use crate::spec::AppSpec;
use crate::supervisor::{Awaits, Cause, ErrorReason, LaunchId, Machine, State, StopPhase, Then};

/// What a process's own beginning may be off by: more than that, and the clock was set since.
const STARTED_SLACK_MS: u64 = 2_000;

/// What a daemon knew of an instance. Its names are those of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    pub state: State,
    #[serde(default)]
    pub(super) restarts: u32,
    #[serde(default)]
    pub(super) unstable: u32,
    #[serde(default)]
    pub(super) backoff: u32,
    #[serde(default)]
    pub(super) last_exit: Option<ExitStatus>,
    /// What its last process has started may still be there.
    #[serde(default)]
    pub(super) remains: bool,
    /// Its process is the one that was seen to end, and only what that has left is waited for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) over: bool,
    /// Its process bears the second name of its slot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) second_name: bool,
    /// What its app was called when it was started; said of what is being stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) launched_as: Option<String>,
    #[serde(default)]
    pub(super) streak: u32,
    #[serde(default)]
    pub(super) ailment: Option<String>,
    #[serde(default)]
    pub(super) well_since: Option<Mono>,
    #[serde(default)]
    pub(super) failing_since: Option<Mono>,
    #[serde(default)]
    pub(super) queued: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) listens: bool,
    #[serde(default)]
    pub(super) cause: Option<Cause>,
    #[serde(default)]
    pub(super) error_log_offset: u64,
    #[serde(default)]
    pub(super) started_at_ms: Option<u64>,
    #[serde(default)]
    pub(super) limits_note: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) down_since: Option<Mono>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) downtime_ms: Option<u64>,
    #[serde(default)]
    pub(super) asked_at: Option<Mono>,
    #[serde(default)]
    pub(super) lost: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) bereft: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) excused: Option<bool>,
    #[serde(default)]
    pub(super) why: Why,
    /// It is asked to end, and the signal may not have gone out yet. Where nothing is said of it, it has: a second one may mean
    /// something else to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) untold: bool,
    /// It is done and was about to run anew: nothing of that is recorded yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) renews: Option<Cause>,
    /// Of what is done: [`crate::plan::spec_digest`] of what it was started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) done_of: Option<String>,
    /// Of what is just being started, which pid it had before: a pid file that names another has been written since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pid_before: Option<u32>,
    /// What it was found to run besides what it is marked with; where nothing is said of it, it runs the code that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<OtherCode>,
}

/// What is known of the time before a daemon started.
#[derive(Clone, Debug, Default)]
pub struct Past {
    pub survivors: Vec<Survivor>,
    /// By the number that `list` shows.
    pub standings: BTreeMap<u32, Standing>,
    /// How those ended that did while no daemon was there, as far as anybody knows.
    pub ended: BTreeMap<InstanceId, ExitStatus>,
    /// Nobody has asked for this daemon: it follows one that was killed, and what should run is started at once.
    pub follows: bool,
    /// Until when all was done that was due by the clock.
    pub until: Option<Wall>,
    pub leaving: Vec<Leaving>,
}

/// What was being stopped for good when the daemon before was killed: it is known no more, and has the time that it was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaving {
    pub launch: LaunchId,
    /// What `list` showed.
    pub(super) number: u32,
    /// As which process it is marked, where that is known.
    pub(super) instance: Option<InstanceId>,
    /// For the daemon that follows should this one be killed as well.
    pub(super) standing: Box<Standing>,
    /// When what follows does.
    pub(super) deadline: Mono,
    pub(super) next: Farewell,
}

impl Leaving {
    /// With what is found out by `name`, of its number.
    #[must_use]
    pub fn named(self, name: impl Fn(u32) -> Option<InstanceId>) -> Self {
        Self { instance: name(self.number), ..self }
    }
}

/// What is done next about what leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// It may not have been asked to end.
    AskNow,
    /// It finishes what it is at, and is asked to end when its time for that is over.
    Ask,
    Kill,
    /// It would not die, and nobody waits for it any more.
    Forget,
}

/// What is to be done about an instance because of where it stood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// Its process has ended meanwhile.
    Ended { launch: LaunchId, status: ExitStatus },
    /// The same, and nobody knows how.
    Unseen,
    /// It was to be stopped, and is.
    Stopped,
    /// It was being stopped, and nothing of it is left.
    Gone { launch: LaunchId },
    /// Its time has come, and it was not begun.
    Due { cause: Cause },
    /// It is being stopped, or what it has left is: nobody else waits for the end of that.
    Stopping { launch: LaunchId },
}

impl Standing {
    pub(super) fn of(instance: &Instance) -> Self {
        let Machine {
            state,
            restarts,
            unstable,
            backoff,
            last_exit,
            streak,
            ailment,
            well_since,
            failing_since,
            queued,
            listens,
            cause,
            ..
        } = &instance.machine;
        Self {
            state: state.clone(),
            restarts: *restarts,
            unstable: *unstable,
            backoff: *backoff,
            last_exit: *last_exit,
            remains: instance.machine.remains.is_some(),
            over: instance.machine.remains.is_some_and(|ended| state.launch() == Some(ended)),
            second_name: instance.by_second_name,
            launched_as: instance.launched_as.clone().filter(|_| is_ending(state)),
            streak: *streak,
            ailment: ailment.clone(),
            well_since: *well_since,
            failing_since: *failing_since,
            queued: *queued,
            listens: *listens,
            cause: cause.clone(),
            error_log_offset: instance.error_log_offset,
            started_at_ms: instance.started_at_ms,
            limits_note: instance.limits_note.clone(),
            down_since: instance.down_since,
            downtime_ms: instance.downtime_ms,
            asked_at: instance.asked_at,
            lost: instance.lost.clone(),
            bereft: instance.bereft.clone(),
            excused: instance.excused,
            why: instance.why.clone(),
            renews: instance.renews.clone(),
            untold: instance.untold && matches!(state, State::Stopping { phase: StopPhase::Asked { .. }, .. }),
            done_of: match state {
                State::Completed { .. } => {
                    let launched = instance.machine.launched.as_ref();
                    launched.map(|launched| instance.mark.clone().unwrap_or_else(|| spec_digest(launched)))
                }
                _ => None,
            },
            pid_before: instance.last_pid.filter(|_| begins(state).is_some()),
            code: OtherCode::of(instance),
        }
    }

    /// It was done as something else than what it is to be now: the command that said so had come no further.
    pub(super) fn is_outdated(&self, known: &InstanceRecord, spec: &AppSpec) -> bool {
        let is_other = self.done_of.as_ref().is_some_and(|digest| !known.is_current(digest, spec));
        // It may have run before what was applied since: then nothing was to be run anew.
        let ran = || self.code.as_ref().is_some_and(|code| code.is_of(spec));
        known.intent == Intent::Up && is_other && !ran()
    }

    /// Its process, where it had one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.state.pid()
    }

    /// The same, where nobody had seen it end: of others only what they have left behind was still there.
    #[must_use]
    pub fn unended_pid(&self) -> Option<u32> {
        self.pid().filter(|_| !self.over)
    }

    /// What was about to have a process.
    #[must_use]
    pub fn begins(&self) -> Option<LaunchId> {
        begins(&self.state)
    }

    /// Whether what its process leaves behind is awaited like the process itself: it was being stopped.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        is_ending(&self.state)
    }

    /// The same as [`Self::is_ending`], of what is known no more and is called so from now on.
    #[must_use]
    pub fn leaving(&self, number: u32, launch: LaunchId) -> Option<Leaving> {
        let (deadline, next) = match self.state {
            State::Stopping { phase: StopPhase::Asked { deadline }, .. } if self.untold => (deadline, Farewell::AskNow),
            State::Stopping { phase: StopPhase::Asked { deadline }, .. } => (deadline, Farewell::Kill),
            State::Stopping { phase: StopPhase::Draining { deadline }, .. } => (deadline, Farewell::Ask),
            // It has had its time.
            _ => return None,
        };
        Some(Leaving { launch, number, instance: None, standing: Box::new(self.clone()), deadline, next })
    }

    /// It was asked to end, and is killed at `deadline`.
    pub(super) fn asked(&mut self, deadline: Mono) {
        self.untold = false;
        if let State::Stopping { phase, .. } = &mut self.state {
            *phase = StopPhase::Asked { deadline };
        }
    }

    /// Whether it has said that it listens on what it was given for that.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// Whether its process was seen to end, and only what that has left may be there.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What its process is marked as, where that is the one of a slot that is being stopped.
    #[must_use]
    pub fn name(&self, slot: &InstanceId) -> InstanceId {
        let name = InstanceId::new(self.launched_as.as_ref().unwrap_or(&slot.app), slot.slot);
        if self.second_name { name.second() } else { name.first() }
    }

    /// Which pid that had before, where that is known.
    #[must_use]
    pub fn pid_before(&self) -> Option<u32> {
        self.pid_before
    }

    /// Whether it had a process, or was about to.
    #[must_use]
    pub fn may_run(&self) -> bool {
        self.state.launch().is_some()
    }

    /// Whether it may have come to its end with nobody there who would have seen it. Who was being stopped was to be started again;
    /// and who was just being started has run where its pid is in its pid file.
    #[must_use]
    pub fn may_have_ended(&self, filed: Option<u32>) -> bool {
        match self.state {
            State::Stopping { .. } => false,
            State::Launching { .. } => filed.is_some() && filed != self.pid_before,
            _ => self.may_run(),
        }
    }

    /// Lets an instance whose process is not there any more, or that had none, go on from here. `launch` is what its
    /// process would be called now, `ended` how that ended, where somebody knows.
    pub(super) fn resume(
        &self,
        instance: &mut Instance,
        intent: Intent,
        launch: Option<LaunchId>,
        ended: Option<ExitStatus>,
    ) -> Option<Open> {
        if let Intent::Done { status } = intent {
            if self.state == (State::Completed { status }) {
                self.recall(instance);
                self.recall_code(instance, self.done_of.as_deref());
            }
            return self.due();
        }
        self.recall(instance);
        instance.started_at_ms = self.started_at_ms;
        instance.last_pid = self.pid().or(self.pid_before);
        let tree = instance.machine.policy.stop.tree;
        if let Some(launch) = launch.filter(|_| tree && self.is_ending()) {
            instance.machine.last_exit = ended.or(self.last_exit);
            self.go_on_without(instance, intent, launch);
            return Some(Open::Stopping { launch });
        }
        let machine = &mut instance.machine;
        machine.remains = launch.filter(|_| self.remains && tree);
        if intent == Intent::Stopped {
            return (self.state != State::Stopped).then_some(Open::Stopped);
        }
        match &self.state {
            // What it waits for is looked at anew.
            State::Blocked => {
                instance.excused = Some(self.excused == Some(true));
                None
            }
            State::Stopped => None,
            State::Launching { .. } if machine.policy.schedule.is_some() => {
                if let (Some(launch), Some(status)) = (launch, ended) {
                    machine.state = self.state.clone().of_launch(launch);
                    machine.launched = Some(Arc::clone(&machine.policy));
                    return Some(Open::Ended { launch, status });
                }
                machine.state = State::Scheduled;
                Some(Open::Due { cause: self.cause.clone().unwrap_or(Cause::Schedule) })
            }
            // It was counted as started again, and is once more where something has to end first; runs of a job are not counted.
            State::Launching { .. } => {
                let is_counted_again = machine.remains.is_some() && machine.policy.schedule.is_none();
                machine.restarts = machine.restarts.saturating_sub(u32::from(is_counted_again));
                None
            }
            State::Scheduled if machine.policy.schedule.is_none() => None,
            State::Waiting { .. } | State::Errored { .. } if machine.policy.schedule.is_some() => None,
            State::Starting { .. } | State::Online { .. } => {
                let (Some(launch), Some(status)) = (launch, ended) else { return Some(Open::Unseen) };
                machine.state = self.state.clone().of_launch(launch);
                machine.launched = Some(Arc::clone(&machine.policy));
                Some(Open::Ended { launch, status })
            }
            State::Stopping { .. } | State::Errored { reason: ErrorReason::WouldNotDie { .. } } => {
                let launch = launch?;
                machine.state = should_run(self.state.clone().of_launch(launch));
                machine.last_exit = ended.or(self.last_exit);
                Some(Open::Gone { launch })
            }
            State::Completed { .. } => {
                machine.state = self.state.clone();
                machine.launched = Some(Arc::clone(&machine.policy));
                self.recall_code(instance, self.done_of.as_deref());
                self.due()
            }
            State::Waiting { .. } | State::Scheduled | State::Errored { .. } => {
                machine.state = self.state.clone();
                None
            }
        }
    }

    fn due(&self) -> Option<Open> {
        self.renews.clone().map(|cause| Open::Due { cause })
    }

    /// What a process that was being stopped has left is awaited, as it was.
    pub(super) fn go_on_without(&self, instance: &mut Instance, intent: Intent, launch: LaunchId) {
        instance.by_second_name = self.second_name;
        instance.launched_as.clone_from(&self.launched_as);
        let machine = &mut instance.machine;
        machine.remains = Some(launch);
        machine.state = match self.state.clone().of_launch(launch) {
            // Nobody is there any more who would say that it is done: what it has left is asked to end.
            State::Stopping { phase: StopPhase::Draining { deadline }, then, .. } => {
                instance.untold = true;
                State::Stopping { launch, pid: None, phase: StopPhase::Asked { deadline }, then }
            }
            State::Stopping { phase, then, .. } => State::Stopping { launch, pid: None, phase, then },
            State::Errored { reason: ErrorReason::WouldNotDie { then, .. } } => {
                State::Errored { reason: ErrorReason::WouldNotDie { launch, pid: None, then } }
            }
            state => state,
        };
        machine.state = match intent {
            Intent::Up => should_run(machine.state.clone()),
            Intent::Stopped | Intent::Done { .. } => should_not_run(machine.state.clone()),
        };
    }

    /// Lets an instance whose process was found go on from here, where it is the process that was known.
    pub(super) fn go_on(&self, instance: &mut Instance, intent: Intent, survivor: &Survivor) -> Option<Open> {
        self.recall(instance);
        let machine = &mut instance.machine;
        let launch = survivor.launch;
        machine.adopted = !survivor.channel;
        match (&self.state, machine.state.clone()) {
            // It has not been up yet.
            (State::Launching { .. }, State::Online { pid, since, .. } | State::Starting { pid, since, .. }) => {
                let awaits = machine.to_await();
                machine.state = State::Starting { launch, pid, since, awaits, late: false };
            }
            (_, found) if self.pid() == found.pid() => {
                machine.state = self.state.clone().of_launch(launch);
                self.recall_code(instance, Some(&survivor.spec_digest));
            }
            _ => return None,
        }
        let machine = &mut instance.machine;
        // The process itself only knows it in ticks, since a boot that is known in seconds.
        if let Some(noted) = self.started_at_ms.filter(|at| at.abs_diff(survivor.started_at_ms) < STARTED_SLACK_MS) {
            instance.started_at_ms = Some(noted);
        }
        let readiness = &machine.policy.readiness;
        // Of a line that was written before nobody knows whose it is.
        let only_in_log = readiness.log.is_some() && !readiness.wait_ready;
        let is_unheard = !survivor.channel && !survivor.notify;
        match &mut machine.state {
            // Where nobody would hear it say so any more, it is up after its time.
            State::Starting { awaits, late, .. } if only_in_log => {
                (awaits.ready, *late) = (false, false);
            }
            State::Starting { awaits, late: false, .. } if is_unheard => {
                *awaits = Awaits { ready: false, listening: false, ..*awaits };
            }
            State::Stopping { .. } | State::Errored { .. } => {
                if intent == Intent::Up {
                    machine.state = should_run(machine.state.clone());
                }
                return Some(Open::Stopping { launch });
            }
            _ => {}
        }
        None
    }

    /// What its process was launched from, where that was found to have other code than what it is marked with, and to differ
    /// from what its app is to be in nothing else.
    pub(super) fn other_code(&self, spec: &Arc<AppSpec>) -> Option<Arc<AppSpec>> {
        self.code.as_ref()?.launched(spec)
    }

    fn recall_code(&self, instance: &mut Instance, mark: Option<&str>) {
        if let (Some(launched), Some(mark)) = (self.other_code(&instance.machine.policy), mark) {
            instance.machine.launched = Some(launched);
            instance.mark = Some(mark.to_owned());
        }
    }

    fn recall(&self, instance: &mut Instance) {
        instance.error_log_offset = self.error_log_offset;
        instance.limits_note.clone_from(&self.limits_note);
        instance.down_since = self.down_since;
        instance.downtime_ms = self.downtime_ms;
        instance.asked_at = self.asked_at;
        instance.lost.clone_from(&self.lost);
        instance.bereft.clone_from(&self.bereft);
        instance.why = self.why.clone();
        instance.untold = self.untold;
        let machine = &mut instance.machine;
        machine.restarts = self.restarts;
        machine.unstable = self.unstable;
        machine.backoff = self.backoff;
        machine.last_exit = self.last_exit;
        machine.streak = self.streak;
        machine.ailment.clone_from(&self.ailment);
        machine.well_since = self.well_since;
        machine.failing_since = self.failing_since;
        machine.queued = self.queued;
        machine.listens = self.listens;
        machine.cause.clone_from(&self.cause);
    }
}

fn begins(state: &State) -> Option<LaunchId> {
    let begins = matches!(state, State::Launching { .. } | State::Stopping { phase: StopPhase::Spawning, .. });
    state.launch().filter(|_| begins)
}

fn is_ending(state: &State) -> bool {
    match state {
        State::Stopping { phase, .. } => *phase != StopPhase::Spawning,
        State::Errored { reason: ErrorReason::WouldNotDie { .. } } => true,
        _ => false,
    }
}

/// What was being stopped only because the daemon was told to end is started again.
fn should_run(state: State) -> State {
    match state {
        State::Stopping { launch, pid, phase, then: Then::Stop } => {
            State::Stopping { launch, pid, phase, then: Then::Restart }
        }
        State::Errored { reason: ErrorReason::WouldNotDie { launch, pid, then: Then::Stop } } => {
            State::Errored { reason: ErrorReason::WouldNotDie { launch, pid, then: Then::Restart } }
        }
        state => state,
    }
}

/// What was being stopped to be started again is not.
fn should_not_run(state: State) -> State {
    match state {
        State::Stopping { launch, pid, phase, .. } => State::Stopping { launch, pid, phase, then: Then::Stop },
        State::Errored { reason: ErrorReason::WouldNotDie { launch, pid, .. } } => {
            State::Errored { reason: ErrorReason::WouldNotDie { launch, pid, then: Then::Stop } }
        }
        state => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_to_end_is_not_asked_after() {
        let stopping = r#"{"Stopping":{"launch":1,"pid":7,"phase":{"Asked":{"deadline":9}},"then":"Stop"}}"#;
        let read =
            |more: &str| -> Standing { serde_json::from_str(&format!(r#"{{"state":{stopping}{more}}}"#)).unwrap() };
        assert_eq!(read("").unended_pid(), Some(7));
        assert_eq!(read(r#","remains":true,"over":true"#).unended_pid(), None);
        assert_eq!(read(r#","remains":true"#).unended_pid(), Some(7), "what is left is of another before it");
        assert!(!read("").untold, "an earlier pmrun says nothing of it");
        assert!(read(r#","untold":true"#).untold);
    }
}
