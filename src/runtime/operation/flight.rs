//! Slots on their way: when they have arrived, and when nobody waits for them any more.

use std::collections::BTreeSet;

use super::{Aim, Operation, Phase, Rigour, Surroundings, Task};
use crate::base::{InstanceId, Mono, format_span};
use crate::rpc::wire::{Failure, ProgressKind};
use crate::runtime::Intent;
use crate::runtime::needs::{Outlook, is_far_off, outlook, waits_for};
use crate::runtime::relief::Unrelieved;
use crate::runtime::table::{Instance, Moved, Table};
use crate::runtime::view::outputs;
use crate::spec::Condition;
use crate::supervisor::{Cause, ErrorReason, Event, Machine, Output, State, Then};

/// When a command stops waiting for an instance that keeps ending. Its policy goes on restarting it.
///
/// A crash is only final when the machine says so, which with a `restart_delay` can take minutes. Nobody who applies
/// a file wants to wait for that: an instance counts as failed when its next start is more than `CRASH_WAIT_MS_MAX`
/// away, or when it ends `CRASH_PATIENCE_MS` after it was begun. With no delay the default sixteen launches are over
/// long before that.
const CRASH_WAIT_MS_MAX: u64 = 2_000;
const CRASH_PATIENCE_MS: u64 = 5_000;

/// What somebody waits for to become healthy or done is given up on when it has ended so often after that time.
pub(super) const RELAPSES_MAX: u32 = 2;

/// And what somebody waits for to be done, when its own rules have restarted it so often.
const CUTS_MAX: u32 = 2;

/// A slot on its way to where the task wants it.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) goal: Goal,
    pub(super) since: Mono,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Up,
    Down,
}

/// What a look at a slot in flight says.
enum Verdict {
    Wait,
    Arrived,
    Failed(String),
}

impl Operation {
    pub(super) fn moved(&mut self, moved: &Moved, around: &mut Surroundings<'_>) {
        let id = &moved.instance;
        if let Some(unrelieved) = &moved.unrelieved {
            return self.not_relieved(id, unrelieved, around);
        }
        if id.is_second() {
            return self.moved_beside(moved, around);
        }
        self.follow_relieved(id, &moved.before, around);
        // Somebody may wait for it to become what it was not when it was done with, or for what will not come now.
        if self.held.contains(&id.app) {
            self.stirred = true;
            let relapsed = match moved.after {
                State::Waiting { .. } | State::Blocked => moved.before.pid().is_some(),
                State::Launching { .. } => matches!(moved.before, State::Starting { .. } | State::Online { .. }),
                _ => false,
            };
            if relapsed && around.now.mono.ms_since(self.caller.since) >= CRASH_PATIENCE_MS {
                *self.relapses.entry(id.app.clone()).or_default() += 1;
            }
        }
        self.stop_rollout(moved, around);
        self.note_cut(moved, around);
        self.note_follower(moved, around);
        // What was up, or was none of its own, may fail as long as anybody waits.
        if let State::Errored { reason } = &moved.after
            && !self.given_up
            && (self.arrived.contains(id) || self.held.contains(&id.app))
            && !self.failed.iter().any(|known| known.app == id.app && known.slot == Some(id.slot))
        {
            self.progress(&id.app, Some(id.slot), ProgressKind::Failed { reason: reason.to_string() }, around.out);
            self.blame(id, reason.to_string(), around);
        }
        match moved.after {
            State::Errored { .. } | State::Stopped | State::Starting { late: true, .. } => {
                self.look_at_blocked(None, around);
            }
            State::Waiting { .. } | State::Blocked => self.look_at_blocked(Some(&id.app), around),
            _ => {}
        }
        let is_ours = self.running(&id.app).is_some_and(|running| running.in_flight.contains_key(&id.slot));
        if !is_ours {
            return;
        }
        let what = match (&moved.before, &moved.after) {
            (State::Launching { .. }, State::Starting { pid, .. } | State::Online { pid, .. }) => {
                Some(ProgressKind::Starting { pid: *pid })
            }
            (before, State::Stopping { .. }) if !matches!(before, State::Stopping { .. }) => {
                Some(ProgressKind::Stopping)
            }
            _ => None,
        };
        if let Some(what) = what {
            self.progress(&id.app, Some(id.slot), what, around.out);
        }
        let ran = matches!(
            moved.before,
            State::Launching { .. }
                | State::Starting { .. }
                | State::Online { .. }
                | State::Stopping { then: Then::Again { .. } | Then::Block, .. }
        );
        let crashed = ran
            && match &moved.after {
                // Not by the command: that was longer ago than anybody is patient.
                State::Stopping { .. } => !matches!(moved.before, State::Stopping { .. }),
                State::Waiting { .. } | State::Blocked => true,
                State::Launching { launch, .. } => moved.before.launch() != Some(*launch),
                _ => false,
            };
        self.judge(id, crashed, around);
    }

    /// Of what is to take over only its start is news, of what goes its end.
    fn moved_beside(&mut self, moved: &Moved, around: &mut Surroundings<'_>) {
        let serving = moved.instance.first();
        let is_ours = self.running(&serving.app).is_some_and(|running| running.in_flight.contains_key(&serving.slot));
        if let (State::Launching { .. }, Some(pid)) = (&moved.before, moved.after.pid())
            && is_ours
        {
            self.progress(&serving.app, Some(serving.slot), ProgressKind::Starting { pid }, around.out);
        }
        self.judge(&moved.instance, false, around);
    }

    /// What has just been relieved is not over before it has gone; the next need not wait for that.
    fn follow_relieved(&mut self, id: &InstanceId, before: &State, around: &mut Surroundings<'_>) {
        let other = id.second();
        let goes = around.table.instance(&other).is_some_and(|other| other.machine.state.launch() == before.launch());
        let since = around.now.mono;
        if let Some(running) = self.running(&id.app).filter(|running| goes && running.in_flight.contains_key(&id.slot))
        {
            running.in_flight.insert(other.slot, Flight { goal: Goal::Down, since });
        }
    }

    /// The new process goes, the old one serves on.
    fn not_relieved(&mut self, id: &InstanceId, unrelieved: &Unrelieved, around: &mut Surroundings<'_>) {
        let other = id.second();
        let goes = around.table.instance(&other).is_some();
        let since = around.now.mono;
        let Some(running) = self.running(&id.app) else { return };
        if running.in_flight.remove(&id.slot).is_none() {
            return;
        }
        running.failed = true;
        if goes {
            running.in_flight.insert(other.slot, Flight { goal: Goal::Down, since });
        }
        let Unrelieved { reason, error_log, error_log_offset } = unrelieved.clone();
        let reason = format!("{reason}; its process before goes on");
        self.progress(&id.app, Some(id.slot), ProgressKind::Failed { reason: reason.clone() }, around.out);
        let failure = Failure::of_app(id.app.clone(), reason);
        self.failed.push(Failure { slot: Some(id.slot), error_log, error_log_offset, ..failure });
        self.starting.remove(id);
        self.next_replacement(&id.app);
        self.settle(&id.app, around);
    }

    /// What was brought up and ends by itself while others of its app are still to be replaced: they would go the same way.
    fn stop_rollout(&mut self, moved: &Moved, around: &mut Surroundings<'_>) {
        let id = &moved.instance;
        let ended = matches!(moved.before, State::Starting { .. } | State::Online { .. })
            && match moved.after {
                State::Waiting { .. } => true,
                State::Launching { launch, .. } => moved.before.launch() != Some(launch),
                _ => false,
            };
        if !ended || self.given_up || !self.arrived.contains(id) {
            return;
        }
        let Some(running) = self.running(&id.app).filter(|running| !running.failed) else { return };
        let coming = running.in_flight.iter().filter(|(_, flight)| flight.goal == Goal::Up);
        let coming: Vec<InstanceId> = coming.map(|(slot, _)| InstanceId::new(&id.app, *slot)).collect();
        if running.replace.is_empty() && !coming.iter().any(|id| around.table.is_being_relieved(id)) {
            return;
        }
        running.failed = true;
        running.replace.clear();
        let exit = around.table.instance(id).and_then(|instance| instance.machine.last_exit);
        let how = exit.map_or_else(String::new, |exit| format!(": {exit}"));
        let reason = format!("it was up, and ended at once{how}; no other instance is replaced");
        self.progress(&id.app, Some(id.slot), ProgressKind::Failed { reason: reason.clone() }, around.out);
        self.blame(id, reason, around);
        for id in coming {
            around.call_off(&id, "another instance of this version ended at once");
        }
        self.settle(&id.app, around);
    }

    /// What has a rule that ends it may never come to its own end. Once is bad luck, but at the same age the next run
    /// ends as well.
    fn note_cut(&mut self, moved: &Moved, around: &mut Surroundings<'_>) {
        let runs = matches!(moved.before, State::Starting { .. } | State::Online { .. });
        if !runs || !matches!(moved.after, State::Stopping { then: Then::Restart, .. }) {
            return;
        }
        let machine = around.table.instance(&moved.instance).map(|instance| &instance.machine);
        let cause = machine.and_then(|machine| machine.cause.clone());
        // Whoever changes its files wants that.
        let Some(cause) = cause.filter(|cause| !matches!(cause, Cause::Files { .. })) else { return };
        let app = &moved.instance.app;
        let count = self.cut.get(app).map_or(0, |(count, _)| *count) + 1;
        self.cut.insert(app.clone(), (count, cause));
        if self.cut_short(app).is_none() {
            return;
        }
        let waits = |id: &InstanceId| {
            around.table.instance(id).map(|instance| &instance.machine).is_some_and(|machine| {
                let (state, spec) = (&machine.state, &machine.policy);
                let needs = spec.depends_on.contains(app) && spec.need(app).condition == Condition::Completed;
                *state == State::Blocked && needs
            })
        };
        let waiting: Vec<InstanceId> = self.in_flight().filter(waits).collect();
        for id in waiting {
            self.judge(&id, true, around);
        }
    }

    /// Why an app will not come to its end, where one of its own rules sees to that.
    pub(super) fn cut_short(&self, app: &str) -> Option<&Cause> {
        let (count, cause) = self.cut.get(app)?;
        (*count >= if *cause == Cause::Age { 1 } else { CUTS_MAX }).then_some(cause)
    }

    /// What waits for others, which may not come any more; or, itself or in the end, for one that `ended`.
    pub(super) fn look_at_blocked(&mut self, ended: Option<&str>, around: &mut Surroundings<'_>) {
        // What needs nobody never waits.
        if around.table.roster.dependents.is_empty() {
            return;
        }
        let waits = |id: &InstanceId| {
            around.table.instance(id).is_some_and(|instance| {
                let machine = &instance.machine;
                let needs = |app: &str| waits_for(around.table, &machine.policy, app);
                machine.state == State::Blocked && ended.is_none_or(needs)
            })
        };
        let waiting: Vec<InstanceId> = self.in_flight().filter(waits).collect();
        for id in waiting {
            self.judge(&id, ended.is_some(), around);
        }
    }

    /// Whether an app is still to be brought up.
    fn brings(&self, app: &str) -> bool {
        let is_open = |task: &Task| !matches!(task.phase, Phase::Done | Phase::Failed) && task.aim.brings_up();
        self.tasks.get(app).is_some_and(is_open)
    }

    fn in_flight(&self) -> impl Iterator<Item = InstanceId> {
        let running = self.tasks.iter().filter_map(|(app, task)| match &task.phase {
            Phase::Running(running) => Some((app, running)),
            Phase::Pending | Phase::Saving | Phase::Done | Phase::Failed => None,
        });
        running.flat_map(|(app, running)| running.in_flight.keys().map(move |slot| InstanceId::new(app, *slot)))
    }

    /// Everything in flight once more: what had to be waited for need not be any more.
    pub(super) fn look_again(&mut self, around: &mut Surroundings<'_>) {
        let in_flight: Vec<InstanceId> = self.in_flight().collect();
        for id in in_flight {
            self.judge(&id, false, around);
        }
    }

    /// Whether a slot has got to where it was to go.
    pub(super) fn judge(&mut self, id: &InstanceId, crashed: bool, around: &mut Surroundings<'_>) {
        let patient = !self.given_up && (self.rigour == Rigour::Strict || self.has_dependents(&id.app));
        let Some(flight) = self.running(&id.app).and_then(|running| running.in_flight.get_mut(&id.slot)) else {
            return;
        };
        let goal = flight.goal;
        let after_ms = around.now.mono.ms_since(flight.since);
        let is_being_relieved = !self.given_up && around.table.is_being_relieved(id);
        let verdict = match around.table.instance(id) {
            None if goal == Goal::Down => Verdict::Arrived,
            None => Verdict::Failed("it was taken away".to_owned()),
            Some(instance) => {
                let state = &instance.machine.state;
                let policy = &instance.machine.policy;
                let says = policy.readiness.is_said() || policy.health_check.is_some();
                let patient = patient && (says || !self.caller.hasty);
                let until_up = self.parallel.is_some() || says;
                let holds = (until_up && patient) || matches!(state, State::Launching { .. });
                if !holds {
                    self.starting.remove(id);
                }
                let Some(flight) = self.running(&id.app).and_then(|running| running.in_flight.get(&id.slot)) else {
                    return;
                };
                match goal {
                    Goal::Down => down(state),
                    Goal::Up if is_being_relieved => Verdict::Wait,
                    Goal::Up if !patient && settled(state) => Verdict::Arrived,
                    Goal::Up if *state == State::Blocked => {
                        let again = crashed && after_ms >= CRASH_PATIENCE_MS;
                        blocked(instance, again, around.table, &|app| self.brings(app), around.now.mono)
                    }
                    Goal::Up => up(&instance.machine, flight, crashed, around.now.mono),
                }
            }
        };
        match verdict {
            Verdict::Wait => return,
            Verdict::Arrived if goal == Goal::Down && self.concludes(id, around) => {}
            Verdict::Arrived => {
                if goal == Goal::Up {
                    self.arrived.insert(id.clone());
                }
                let is_up = around.table.instance(id).is_some_and(|instance| {
                    !matches!(instance.machine.state, State::Starting { .. } | State::Waiting { .. } | State::Blocked)
                });
                match goal {
                    Goal::Up if is_up || !self.given_up => {
                        self.progress(&id.app, Some(id.slot), ProgressKind::Up { after_ms }, around.out);
                    }
                    // Only nobody waits for it any more.
                    Goal::Up => {}
                    Goal::Down if id.is_second() => {}
                    Goal::Down => self.progress(&id.app, Some(id.slot), ProgressKind::Stopped, around.out),
                }
            }
            Verdict::Failed(reason) => self.fail(id, reason, around),
        }
        self.starting.remove(id);
        if let Some(running) = self.running(&id.app) {
            running.in_flight.remove(&id.slot);
        }
        self.next_replacement(&id.app);
        self.settle(&id.app, around);
    }

    /// Whether what is stopped had done its work in the time that is gone back to: then that is what it is.
    fn concludes(&self, id: &InstanceId, around: &mut Surroundings<'_>) -> bool {
        let task = self.tasks.get(&id.app);
        let is_meant =
            matches!(task.map(|task| &task.aim), Some(Aim::Apply { step, .. }) if step.done.contains(&id.slot));
        let intent = around.table.apps.get(&id.app).and_then(|app| app.intent(id.slot));
        let Some(Intent::Done { status }) = intent.filter(|_| is_meant) else { return false };
        around.feed(id, Event::Conclude { status });
        true
    }

    fn has_dependents(&self, app: &str) -> bool {
        self.tasks.values().any(|task| matches!(task.phase, Phase::Pending) && task.after.contains(app))
    }

    fn fail(&mut self, id: &InstanceId, reason: String, around: &mut Surroundings<'_>) {
        if let Some(running) = self.running(&id.app) {
            running.failed = true;
        }
        self.progress(&id.app, Some(id.slot), ProgressKind::Failed { reason: reason.clone() }, around.out);
        self.blame(id, reason, around);
    }

    /// Names what failed in the answer, and where its last words are.
    fn blame(&mut self, id: &InstanceId, reason: String, around: &mut Surroundings<'_>) {
        let known = around.table.apps.get(&id.app).and_then(|app| Some((app, app.instances.get(&id.slot)?)));
        // What never ran has said nothing: the last lines there are another run's.
        let known = known.filter(|(_, instance)| {
            !matches!(&instance.machine.state, State::Errored { reason: ErrorReason::SpawnFailed { .. } })
        });
        let error_log =
            known.and_then(|(app, instance)| match outputs(&app.record, id.slot, instance, &around.table.layout).1 {
                Output::File(path) => Some(path),
                Output::Null => None,
            });
        let error_log_offset = around.table.instance(id).map_or(0, |instance| instance.error_log_offset);
        let failure = Failure::of_app(id.app.clone(), reason);
        self.failed.push(Failure { slot: Some(id.slot), error_log, error_log_offset, ..failure });
    }
}

fn down(state: &State) -> Verdict {
    match state {
        State::Stopped => Verdict::Arrived,
        State::Errored { reason } => Verdict::Failed(reason.to_string()),
        _ => Verdict::Wait,
    }
}

/// Its outcome is the policy's business from now on.
fn settled(state: &State) -> bool {
    !matches!(state, State::Launching { .. } | State::Stopping { .. } | State::Stopped)
}

fn up(machine: &Machine, flight: &Flight, crashed: bool, now: Mono) -> Verdict {
    let ended = || match (&machine.cause, machine.last_exit) {
        (Some(cause @ Cause::Unhealthy { .. }), _) => cause.to_string(),
        (_, Some(status)) => status.to_string(),
        (_, None) => "it ended".to_owned(),
    };
    let waited_ms = now.ms_since(flight.since);
    match &machine.state {
        State::Online { healthy: false, .. } => {
            let ailment = machine.ailment.as_deref().unwrap_or("no health check passes");
            Verdict::Failed(format!("it runs, and is unhealthy: {ailment}"))
        }
        State::Online { .. } | State::Completed { .. } | State::Scheduled => Verdict::Arrived,
        State::Errored { reason } => Verdict::Failed(reason.to_string()),
        State::Stopped => Verdict::Failed("it was stopped".to_owned()),
        State::Starting { late: true, awaits, .. } => {
            Verdict::Failed(format!("{}; it goes on running", machine.lateness(*awaits)))
        }
        State::Stopping { then: Then::Again { .. }, .. }
            if let Some(cause @ Cause::Unhealthy { .. }) = &machine.cause =>
        {
            Verdict::Failed(format!("{cause}; it is restarted"))
        }
        State::Waiting { until } => {
            let wait_ms = until.ms_since(now);
            if wait_ms > CRASH_WAIT_MS_MAX || waited_ms >= CRASH_PATIENCE_MS {
                Verdict::Failed(format!("{}; it is started again in {}", ended(), format_span(wait_ms)))
            } else {
                Verdict::Wait
            }
        }
        State::Stopping { .. } if crashed && waited_ms >= CRASH_PATIENCE_MS => {
            let cause = machine.cause.as_ref().map_or_else(|| "it ended".to_owned(), ToString::to_string);
            Verdict::Failed(format!("{cause}; it is started again and again"))
        }
        State::Launching { .. } if crashed && waited_ms >= CRASH_PATIENCE_MS => {
            Verdict::Failed(format!("{}; it is started again and again", ended()))
        }
        State::Blocked | State::Launching { .. } | State::Starting { .. } | State::Stopping { .. } => Verdict::Wait,
    }
}

/// What it depends on may still come up, unless that ends `again` and again.
fn blocked(instance: &Instance, again: bool, table: &Table, brings: &dyn Fn(&str) -> bool, now: Mono) -> Verdict {
    let machine = &instance.machine;
    let spec = &machine.policy;
    // Somebody has deleted it.
    let is_gone = instance.bereft.iter().any(|app| !brings(app));
    // What the same command is about to start is not given up on.
    let others = spec.depends_on.iter().filter(|app| !brings(app));
    let mut outlooks = others.map(|app| outlook(table, app, spec.need(app).condition));
    // Whom nobody but itself makes well may never be, and another may be started in hours.
    let far = |state: &State| match state {
        State::Online { healthy, .. } => !healthy,
        State::Waiting { until } => until.ms_since(now) > CRASH_WAIT_MS_MAX,
        _ => false,
    };
    let needs = || spec.depends_on.iter().map(|app| (app.as_str(), spec.need(app).condition));
    let is_far = |need| is_far_off(table, need, &far, brings, &mut BTreeSet::new());
    if again || is_gone || outlooks.any(|outlook| outlook == Outlook::WillNot) || needs().any(is_far) {
        Verdict::Failed(format!("it waits for {}", machine.unmet.join(", ")))
    } else {
        Verdict::Wait
    }
}
