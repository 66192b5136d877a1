use std::sync::Arc;

use super::pacing;
use super::{Awaits, Cause, ErrorReason, LaunchId, State, StopPhase};
use crate::base::{ExitStatus, Mono, format_millis};
use crate::spec::{AppSpec, HealthAction, HealthCheck, Probe, Readiness};

/// How long it may at least take until a process listens that is to relieve one that does. Nobody waits for it meanwhile, and
/// `listen_timeout` (3 s), which PM2 goes on after, is short for what compiles at its start.
const LISTEN_MS_MIN: u64 = 30_000;

/// Everything that the state machine knows of one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    pub state: State,
    /// What it goes by from now on: restart, stop and readiness rules, and what the next process is started from.
    pub policy: Arc<AppSpec>,
    /// What the process was started from, where one runs or is being started; none when it was adopted from an
    /// earlier daemon and runs something older than what is known.
    pub launched: Option<Arc<AppSpec>>,
    /// The process belonged to an earlier daemon: its channel is gone, so it can be stopped by signal only.
    pub adopted: bool,
    /// Times it was started again, by policy or by command.
    pub restarts: u32,
    /// Runs shorter than `min_uptime` since the last long one.
    pub unstable: u32,
    /// Waits so far of the backoff.
    pub backoff: u32,
    pub last_exit: Option<ExitStatus>,
    /// The last launch whose first process ended by itself: what that started may still be there, and goes with the
    /// next stop.
    pub remains: Option<LaunchId>,
    /// What it depends on and is not as it must be; as text for people.
    pub unmet: Vec<String>,
    /// Results of its health check in a row that speak against what it is taken for.
    pub streak: u32,
    /// What the last health check that failed said.
    pub ailment: Option<String>,
    /// When it last came up, or was well again.
    pub well_since: Option<Mono>,
    /// When the first of the failures in a row came that are counted now.
    pub failing_since: Option<Mono>,
    /// A run of the job is due as soon as the one before has ended.
    pub queued: bool,
    /// Its process has been heard to listen.
    pub listens: bool,
    /// The process that it is to relieve does, so this one is not up before it does, too.
    pub must_listen: bool,
    /// When its process has closed its channel, though nobody had told it to: a worker of Node's cluster that is to end soon.
    pub left: Option<Mono>,
    /// Why the process that runs, or is about to, was started, where that was pmrun's own doing.
    pub cause: Option<Cause>,
}

impl Machine {
    /// One that does not run.
    #[must_use]
    pub fn new(policy: Arc<AppSpec>) -> Self {
        Self {
            state: State::Stopped,
            policy,
            launched: None,
            adopted: false,
            restarts: 0,
            unstable: 0,
            backoff: 0,
            last_exit: None,
            remains: None,
            unmet: Vec::new(),
            streak: 0,
            ailment: None,
            well_since: None,
            failing_since: None,
            queued: false,
            listens: false,
            must_listen: false,
            left: None,
            cause: None,
        }
    }

    /// One that has done what it was started for.
    #[must_use]
    pub fn completed(policy: Arc<AppSpec>, status: ExitStatus) -> Self {
        let launched = Some(Arc::clone(&policy));
        Self { state: State::Completed { status }, launched, last_exit: Some(status), ..Self::new(policy) }
    }

    /// One whose process an earlier daemon started.
    #[must_use]
    pub fn adopt(
        policy: Arc<AppSpec>,
        launched: Option<Arc<AppSpec>>,
        launch: LaunchId,
        pid: u32,
        since: Mono,
        now: Mono,
    ) -> Self {
        // Whether it works is found out; whether it ever said that it is ready nobody knows.
        let state = match policy.health_check {
            Some(_) => {
                let awaits = Awaits { health: true, ..Awaits::default() };
                State::Starting { launch, pid, since: now, awaits, late: false }
            }
            None => State::Online { launch, pid, since, healthy: true },
        };
        Self { state, launched, adopted: true, ..Self::new(policy) }
    }

    /// What has to come before a process that was just started is up.
    #[must_use]
    pub fn to_await(&self) -> Awaits {
        let says = |how: fn(&Readiness) -> bool| self.launched.as_ref().is_some_and(|spec| how(&spec.readiness));
        // What says itself when it is ready is believed; but its log may be another's, too, which it relieves.
        let listening = self.must_listen && !says(|readiness| readiness.wait_ready);
        Awaits { ready: says(Readiness::is_said), health: self.policy.health_check.is_some(), listening }
    }

    /// Whether its process can finish what it is at before it is replaced: others of its kind accept connections meanwhile, or
    /// those wait on the socket.
    #[must_use]
    pub(super) fn drains(&self) -> bool {
        let runs = self.launched.as_ref().unwrap_or(&self.policy);
        self.policy.stop.drain_ms > 0 && runs.can_drain()
    }

    /// When one that has left its cluster, and serves nobody any more, is ended, so that another comes in its place.
    #[must_use]
    pub(super) fn ends_by(&self) -> Option<Mono> {
        let runs = matches!(self.state, State::Starting { .. } | State::Online { .. });
        let is_due = runs && self.policy.restart.auto && self.policy.schedule.is_none();
        self.left.filter(|_| is_due).map(|left| left.plus_ms(self.policy.stop.timeout_ms))
    }

    /// Whether another process can be started beside its own, to take over when it is up.
    #[must_use]
    pub fn can_be_relieved(&self) -> bool {
        let runs = self.launched.as_ref().unwrap_or(&self.policy);
        matches!(self.state, State::Online { .. }) && runs.can_be_relieved_by(&self.policy)
    }

    /// The launch whose health is to be looked after.
    #[must_use]
    pub fn checked(&self) -> Option<(LaunchId, &HealthCheck)> {
        let check = self.policy.health_check.as_ref()?;
        match &self.state {
            // Until it listens, somebody else answers at its port.
            State::Starting { awaits: Awaits { listening: true, .. }, .. }
                if !matches!(check.probe, Probe::Exec(_)) =>
            {
                None
            }
            State::Starting { launch, .. } | State::Online { launch, .. } => Some((*launch, check)),
            _ => None,
        }
    }

    /// Whether it is unhealthy and left so, for no restart has helped.
    #[must_use]
    pub fn is_given_up_on(&self) -> bool {
        let rules = &self.policy.restart;
        let is_treated = self.policy.health_check.as_ref().is_some_and(|check| check.action != HealthAction::None);
        is_treated && rules.auto && self.unstable >= rules.max_restarts
    }

    /// How long it may take until it is up, where that is more than a matter of time.
    #[must_use]
    pub fn patience_ms(&self, awaits: Awaits) -> u64 {
        let policy = &self.policy;
        let health = policy.health_check.as_ref().filter(|_| awaits.health).map_or(0, |check| check.startup_ms);
        let ready = if awaits.ready { policy.readiness.timeout_ms } else { 0 };
        let listening = if awaits.listening { policy.readiness.timeout_ms.max(LISTEN_MS_MIN) } else { 0 };
        health.max(ready).max(listening)
    }

    /// How long its `exp_backoff_restart_delay` had it wait before it was last started, or has it wait now. None where that
    /// is not turned on, or a long run has ended it.
    #[must_use]
    pub fn last_backoff_ms(&self) -> Option<u64> {
        let first = Some(self.policy.restart.backoff_ms).filter(|ms| *ms > 0)?;
        Some(pacing::backoff_ms(first, self.backoff.checked_sub(1)?))
    }

    /// Why it is not up, when that has taken too long.
    #[must_use]
    pub fn lateness(&self, awaits: Awaits) -> String {
        let within = format_millis(self.patience_ms(awaits));
        match &self.ailment {
            Some(ailment) if awaits.health && !awaits.listening => {
                format!("no health check passed within {within} (health_check.startup): {ailment}")
            }
            _ if awaits.listening => format!(
                "it has not listened within {within}, as the process does that it was to relieve (`restart` replaces that all the same)"
            ),
            _ if awaits.health => format!("no health check passed within {within} (health_check.startup)"),
            _ if self.launched.as_ref().is_some_and(|spec| spec.readiness.log.is_some()) => {
                format!("no line of its log that says it is ready (ready_log) within {within} (listen_timeout)")
            }
            _ => format!("not ready within {within} (listen_timeout)"),
        }
    }
}

/// When the machine wants `Tick`. Derived from the state, so that no timer outlives its reason, and from the policy
/// as it is now, so that a changed timeout holds at once.
#[must_use]
pub fn deadline(machine: &Machine) -> Option<Mono> {
    [of_state(machine), machine.ends_by()].into_iter().flatten().min()
}

fn of_state(machine: &Machine) -> Option<Mono> {
    let policy = &machine.policy;
    match &machine.state {
        State::Waiting { until } => Some(*until),
        State::Online { launch, since, .. } => {
            let age = policy.restart.max_age_ms;
            // A run of a job ends by itself.
            (age > 0 && policy.schedule.is_none()).then(|| since.plus_ms(pacing::age_ms(age, *launch)))
        }
        State::Errored { reason: ErrorReason::SpawnFailed { again, .. } } => *again,
        State::Starting { since, awaits, late: false, .. } if awaits.any() => {
            Some(since.plus_ms(machine.patience_ms(*awaits)))
        }
        State::Starting { since, late: false, .. } => Some(since.plus_ms(policy.restart.min_uptime_ms)),
        State::Stopping {
            phase: StopPhase::Draining { deadline } | StopPhase::Asked { deadline } | StopPhase::Killed { deadline },
            ..
        } => Some(*deadline),
        State::Stopping { phase: StopPhase::Spawning, .. }
        | State::Stopped
        | State::Blocked
        | State::Scheduled
        | State::Starting { late: true, .. }
        | State::Launching { .. }
        | State::Errored {
            reason: ErrorReason::CrashLoop { .. } | ErrorReason::Exited(_) | ErrorReason::WouldNotDie { .. },
        }
        | State::Completed { .. } => None,
    }
}
