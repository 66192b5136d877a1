use super::{Entry, What, Why};
use crate::base::{ExitStatus, InstanceId, Now};
use crate::runtime::Effect;
use crate::runtime::table::Instance;
use crate::supervisor::{Cause, ErrorReason, Event, LaunchId, Machine, State, StopPhase};

/// What a machine hears, as far as it says why something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Heard {
    Command,
    Renewed,
    /// What it depends on is not as it must be any more.
    Needs,
    Ended {
        launch: LaunchId,
        status: ExitStatus,
    },
    NotStarted,
    Other,
}

impl Heard {
    pub(in crate::runtime) fn of(event: &Event) -> Self {
        match event {
            Event::Start
            | Event::Resume
            | Event::Schedule
            | Event::Stop
            | Event::Restart
            | Event::Reload
            | Event::Retire => Self::Command,
            Event::Renew { .. } => Self::Renewed,
            Event::Needs { ended: true, .. } => Self::Needs,
            Event::Exited { launch, status, .. } => Self::Ended { launch: *launch, status: *status },
            Event::SpawnFailed { .. } => Self::NotStarted,
            Event::Conclude { .. }
            | Event::Needs { ended: false, .. }
            | Event::Policy(_)
            | Event::Spawned { .. }
            | Event::TreeGone { .. }
            | Event::Ready { .. }
            | Event::Listening { .. }
            | Event::Drained { .. }
            | Event::Untold
            | Event::Probed { .. }
            | Event::Tick => Self::Other,
        }
    }
}

/// An event and what there was before it.
pub(in crate::runtime) struct Moment<'a> {
    pub(in crate::runtime) id: &'a InstanceId,
    pub(in crate::runtime) before: &'a State,
    /// The launch of which the first process had ended already.
    pub(in crate::runtime) ended: Option<LaunchId>,
    pub(in crate::runtime) heard: Heard,
    /// Who is at work.
    pub(in crate::runtime) asking: &'a Why,
    pub(in crate::runtime) now: Now,
}

impl Moment<'_> {
    /// Says what the event has led to.
    pub(in crate::runtime) fn tell(
        &self,
        instance: &mut Instance,
        error_log: impl FnOnce(&Instance) -> Option<String>,
        out: &mut Vec<Effect>,
    ) {
        let entry = |what| Effect::History(Box::new(Entry::of_instance(self.id, what, self.now)));
        if let Heard::Ended { launch, status } = self.heard
            && self.before.launch() == Some(launch)
            && self.ended != Some(launch)
        {
            let asked = !runs(self.before);
            out.push(entry(What::Exited { status, after_ms: self.ran_ms(instance), asked }));
        }
        if *self.before == instance.machine.state {
            return;
        }
        if let Some(why) = self.why(&instance.machine) {
            out.extend(self.own_doing(&instance.machine, &why).map(Effect::Log));
            instance.why = why;
        }
        let (machine, why) = (&instance.machine, &instance.why);
        if let (State::Launching { .. }, State::Starting { pid, .. } | State::Online { pid, .. }) =
            (self.before, &machine.state)
        {
            out.push(entry(What::Started {
                pid: *pid,
                restarts: machine.restarts,
                why: why.clone(),
                error_log: error_log(instance),
                error_log_offset: instance.error_log_offset,
            }));
        }
        if let Some(what) = self.arrival(machine, why) {
            out.push(entry(what));
        }
    }

    /// Why the instance is on its new way; none when that is known already.
    fn why(&self, machine: &Machine) -> Option<Why> {
        let of_cause = || machine.cause.as_ref().map(Why::from);
        match self.heard {
            Heard::Command => Some(self.asking.clone()),
            Heard::Renewed => of_cause(),
            Heard::Needs => Some(Why::Needs { needs: machine.unmet.clone() }),
            // Its time had come while it ran.
            Heard::Ended { .. } if machine.cause == Some(Cause::Schedule) => of_cause(),
            Heard::Ended { status, .. } if runs(self.before) => {
                Some(Why::Exit { status, after_ms: self.since_ms().unwrap_or(0) })
            }
            Heard::NotStarted if runs(self.before) => Some(Why::Retry),
            // By its age, or its health, or as it has left.
            Heard::Other if runs(self.before) && matches!(machine.state, State::Stopping { .. }) => of_cause(),
            Heard::Ended { .. } | Heard::NotStarted | Heard::Other => None,
        }
    }

    /// For the daemon's log: what pmrun does to what runs, or is done, though nobody has asked for it just now. Changed
    /// files and memory are told where they are found, with more; of each run of a job there is no line.
    fn own_doing(&self, machine: &Machine, why: &Why) -> Option<String> {
        let id = self.id;
        match (why, &machine.cause) {
            (Why::Cron | Why::Age | Why::Left | Why::Unhealthy { .. } | Why::Dependency { .. }, Some(cause)) => {
                Some(format!("`{id}` is restarted: {cause}"))
            }
            (Why::Needs { needs }, _) if runs(self.before) => {
                Some(format!("`{id}` is stopped, for it depends on {} (on_exit)", needs.join(", ")))
            }
            _ => None,
        }
    }

    /// What its new state is worth saying.
    fn arrival(&self, machine: &Machine, why: &Why) -> Option<What> {
        let in_ms = |at: crate::base::Mono| at.ms_since(self.now.mono);
        Some(match (self.before, &machine.state) {
            (State::Online { .. }, State::Online { healthy: true, .. }) => What::Healthy,
            (State::Online { .. }, State::Online { healthy: false, .. }) => {
                What::Unhealthy { reason: machine.ailment.clone().unwrap_or_else(|| "no answer".to_owned()) }
            }
            (_, State::Online { since, .. }) => What::Online { after_ms: self.now.mono.ms_since(*since) },
            (State::Starting { late: false, .. }, State::Starting { late: true, awaits, .. }) => {
                What::NotReady { reason: machine.lateness(*awaits) }
            }
            (State::Stopping { phase, then, .. }, State::Stopping { launch, phase: next, then: next_then, .. }) => {
                let is_killed = |phase: &StopPhase| matches!(phase, StopPhase::Killed { .. });
                if is_killed(next) && !is_killed(phase) {
                    let remains = self.ended == Some(*launch);
                    What::Killed { after_ms: machine.policy.stop.timeout_ms, remains }
                } else if then != next_then && self.heard == Heard::Command {
                    let remains = self.before.pid().is_none() && *phase != StopPhase::Spawning;
                    What::Stopping { why: why.clone(), remains }
                } else {
                    return None;
                }
            }
            (_, State::Stopping { .. }) if matches!(self.heard, Heard::Ended { .. }) => {
                What::Stopping { why: Why::Remains, remains: false }
            }
            // Where nothing of it runs, what an earlier process may have left is seen to.
            (before, State::Stopping { .. }) => What::Stopping { why: why.clone(), remains: before.launch().is_none() },
            (_, State::Stopped) => What::Stopped { why: why.clone() },
            (_, State::Waiting { until }) => What::Waiting { for_ms: Some(in_ms(*until)), needs: Vec::new() },
            (_, State::Blocked) => What::Waiting { for_ms: None, needs: machine.unmet.clone() },
            (_, State::Errored { reason: ErrorReason::SpawnFailed { reason, again } }) => {
                What::SpawnFailed { reason: reason.clone(), again_ms: again.map(in_ms) }
            }
            (_, State::Errored { reason }) => What::GivenUp { reason: reason.to_string() },
            (_, State::Scheduled) => What::Scheduled,
            (_, State::Completed { status }) => What::Completed { status: *status },
            (_, State::Launching { .. } | State::Starting { .. }) => return None,
        })
    }

    fn since_ms(&self) -> Option<u64> {
        match self.before {
            State::Launching { .. } => Some(0),
            State::Starting { since, .. } | State::Online { since, .. } => Some(self.now.mono.ms_since(*since)),
            _ => None,
        }
    }

    /// How long a process ran that just ended.
    fn ran_ms(&self, instance: &Instance) -> Option<u64> {
        let by_wall = || instance.started_at_ms.map(|at| self.now.wall.0.saturating_sub(at));
        self.since_ms().or_else(by_wall)
    }
}

fn runs(state: &State) -> bool {
    matches!(state, State::Launching { .. } | State::Starting { .. } | State::Online { .. })
}
