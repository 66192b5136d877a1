use std::sync::Arc;

use super::pacing::{self, Ended, Run};
use super::{Cause, ErrorReason, LaunchId, Machine, State, StopPhase, Then, deadline};
use crate::base::{ExitStatus, Mono, Now, Signal};
use crate::spec::{AppSpec, HealthAction, Overlap};

/// SIGKILL works at once unless the system is in trouble (a hung disk); it gets at least this long.
const KILL_MS_MIN: u64 = 5_000;
/// What happens to an instance.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It should run. Nothing when it does.
    Start,
    /// As `Start`, when what it depends on is as it must be.
    Resume,
    /// It is a job: it is run when its time comes, and not now.
    Schedule,
    /// It should not run.
    Stop,
    /// It did its work in an earlier time that is there again, and is not run: from where it is stopped.
    Conclude {
        status: ExitStatus,
    },
    /// It should run, and not in the process that it has now.
    Restart,
    /// As `Restart`, when its process has finished what it is at.
    Reload,
    /// As `Stop`, when its process has finished what it is at: others go on.
    Retire,
    /// As `Restart`, of pmrun's own accord: what somebody stopped stays stopped.
    Renew {
        cause: Cause,
    },
    /// Other rules hold from now on.
    Policy(Arc<AppSpec>),
    /// What it depends on and is not as it must be. With `ended`, that is why it is stopped until it is.
    Needs {
        unmet: Vec<String>,
        ended: bool,
    },

    // From the host, about one launch. One about another launch than the current is out of date and changes nothing.
    Spawned {
        launch: LaunchId,
        pid: u32,
    },
    SpawnFailed {
        launch: LaunchId,
        reason: String,
    },
    Exited {
        launch: LaunchId,
        status: ExitStatus,
        /// Processes that it started are still there. They belong to the app: they end before it is started again.
        left: bool,
    },
    TreeGone {
        launch: LaunchId,
    },
    Ready {
        launch: LaunchId,
    },
    /// It can be connected to.
    Listening {
        launch: LaunchId,
    },
    /// It has finished what it was at.
    Drained {
        launch: LaunchId,
    },
    /// It is being asked to end, and whoever was to tell it has died: it may not have heard of it.
    Untold,
    /// What its health check found; with why, where it failed.
    Probed {
        launch: LaunchId,
        result: Result<(), String>,
    },

    /// The deadline may have passed.
    Tick,
}

/// What a machine asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Start a process from the policy's spec, under the id that was offered to `step`.
    Launch {
        launch: LaunchId,
    },
    /// Have it accept no more connections, and say when it is done with those that it has.
    Drain {
        launch: LaunchId,
    },
    Stop {
        launch: LaunchId,
        signal: Signal,
        tree: bool,
    },
    StopByMessage {
        launch: LaunchId,
        tree: bool,
    },
    Kill {
        launch: LaunchId,
        tree: bool,
    },
    /// From now on, whether its descendants end when it ends by itself.
    Tree {
        launch: LaunchId,
        tree: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    pub machine: Machine,
    pub asks: Vec<Ask>,
}

/// Next state and what is asked for. Every event is defined in every state; where it means nothing, nothing changes.
///
/// `fresh` is an id that no launch ever had; it is used up when the answer asks for a launch.
#[must_use]
pub fn step(machine: &Machine, event: Event, now: Now, fresh: LaunchId) -> Transition {
    let mut next = Next { machine: machine.clone(), asks: Vec::new(), now: now.mono, fresh };
    match event {
        Event::Start => next.start(),
        Event::Resume => next.resume(),
        Event::Schedule => next.schedule(),
        Event::Stop => next.stop(),
        Event::Conclude { status } => next.conclude(status),
        Event::Restart => next.restart(false),
        Event::Reload => next.restart(true),
        Event::Retire => next.retire(),
        Event::Renew { cause } => next.renew(cause),
        Event::Policy(policy) => next.policy(policy),
        Event::Needs { unmet, ended } => next.needs(unmet, ended),
        Event::Spawned { launch, pid } => next.spawned(launch, pid),
        Event::SpawnFailed { launch, reason } => next.spawn_failed(launch, reason),
        Event::Exited { launch, status, left } => next.exited(launch, status, left),
        Event::TreeGone { launch } => next.tree_gone(launch),
        Event::Ready { launch } => next.ready(launch),
        Event::Listening { launch } => next.listening(launch),
        Event::Drained { launch } => next.drained(launch),
        Event::Untold => next.untold(),
        Event::Probed { launch, result } => next.probed(launch, result),
        Event::Tick => next.tick(),
    }
    Transition { machine: next.machine, asks: next.asks }
}

/// A transition while it is made.
struct Next {
    machine: Machine,
    asks: Vec<Ask>,
    now: Mono,
    fresh: LaunchId,
}

impl Next {
    fn start(&mut self) {
        match self.machine.state.clone() {
            State::Errored { reason: ErrorReason::WouldNotDie { launch, pid, .. } } => {
                self.forgive();
                self.kill(launch, pid, Then::Restart);
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Blocked
            | State::Scheduled
            | State::Completed { .. }
            | State::Errored { .. } => {
                self.forgive();
                match self.machine.remains {
                    Some(launch) => self.end_remains(launch, Then::Restart),
                    None => self.launch(),
                }
            }
            State::Stopping { launch, pid, phase, .. } => {
                self.machine.state = State::Stopping { launch, pid, phase, then: Then::Restart };
            }
            // It has been given up on, though it runs: it is tried once more.
            State::Starting { launch, pid, late: true, .. } => {
                self.forgive();
                self.ask_to_stop(launch, pid, Then::Restart);
            }
            State::Launching { .. } | State::Starting { .. } | State::Online { .. } => {}
        }
    }

    fn stop(&mut self) {
        self.machine.cause = None;
        self.machine.queued = false;
        match self.machine.state.clone() {
            State::Errored { reason: ErrorReason::WouldNotDie { launch, pid, .. } } => {
                self.kill(launch, pid, Then::Stop);
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Blocked
            | State::Scheduled
            | State::Completed { .. }
            | State::Errored { .. } => match self.machine.remains {
                Some(launch) => self.end_remains(launch, Then::Stop),
                None => self.machine.state = State::Stopped,
            },
            State::Launching { launch, .. } => self.stop_when_spawned(launch, Then::Stop),
            // Whoever stops it does not wait until it has finished what it is at.
            State::Starting { launch, pid, .. }
            | State::Online { launch, pid, .. }
            | State::Stopping { launch, pid: Some(pid), phase: StopPhase::Draining { .. }, .. } => {
                self.ask_to_stop(launch, pid, Then::Stop);
            }
            State::Stopping { launch, pid, phase, .. } => {
                self.machine.state = State::Stopping { launch, pid, phase, then: Then::Stop };
            }
        }
    }

    /// One of several goes, the others stay.
    fn retire(&mut self) {
        match self.machine.state {
            State::Starting { launch, pid, .. } | State::Online { launch, pid, .. } if self.machine.drains() => {
                self.machine.cause = None;
                self.machine.queued = false;
                self.drain(launch, pid, Then::Stop);
            }
            State::Stopping { launch, pid, phase: phase @ StopPhase::Draining { .. }, .. } => {
                self.machine.state = State::Stopping { launch, pid, phase, then: Then::Stop };
            }
            _ => self.stop(),
        }
    }

    fn conclude(&mut self, status: ExitStatus) {
        if self.machine.state == State::Stopped {
            self.machine = Machine {
                restarts: self.machine.restarts,
                ..Machine::completed(Arc::clone(&self.machine.policy), status)
            };
        }
    }

    fn policy(&mut self, policy: Arc<AppSpec>) {
        let tree = policy.stop.tree;
        if tree != self.machine.policy.stop.tree
            && let Some(launch) = self.machine.state.launch()
        {
            self.asks.push(Ask::Tree { launch, tree });
        }
        self.machine.policy = policy;
        // What nobody looks at any more is not waited for, and not held against it.
        if self.machine.policy.health_check.is_none() {
            (self.machine.streak, self.machine.ailment) = (0, None);
            match &mut self.machine.state {
                State::Starting { awaits, .. } if awaits.health => {
                    awaits.health = false;
                    self.come_up();
                }
                State::Online { healthy, .. } => *healthy = true,
                _ => {}
            }
        }
    }

    fn resume(&mut self) {
        match (self.machine.state == State::Stopped && !self.machine.unmet.is_empty(), self.machine.remains) {
            (false, _) => self.start(),
            (true, None) => self.machine.state = State::Blocked,
            (true, Some(launch)) => self.end_remains(launch, Then::Block),
        }
    }

    fn needs(&mut self, unmet: Vec<String>, ended: bool) {
        self.machine.unmet = unmet;
        if ended && !self.machine.unmet.is_empty() {
            match self.machine.state.clone() {
                State::Waiting { .. } => self.machine.state = State::Blocked,
                State::Launching { launch } => self.stop_when_spawned(launch, Then::Block),
                State::Starting { launch, pid, .. } | State::Online { launch, pid, .. } => {
                    self.ask_to_stop(launch, pid, Then::Block);
                }
                State::Stopping { launch, pid, phase, then: Then::Again { .. } | Then::Restart } => {
                    self.machine.state = State::Stopping { launch, pid, phase, then: Then::Block };
                }
                State::Stopping { .. }
                | State::Stopped
                | State::Blocked
                | State::Scheduled
                | State::Errored { .. }
                | State::Completed { .. } => {}
            }
        } else if self.machine.state == State::Blocked && self.machine.unmet.is_empty() {
            self.launch_again();
        }
    }

    fn restart(&mut self, gently: bool) {
        match self.machine.state.clone() {
            State::Launching { launch, .. } => {
                self.forgive();
                self.stop_when_spawned(launch, Then::Restart);
            }
            State::Starting { launch, pid, .. } | State::Online { launch, pid, .. } => {
                self.forgive();
                if gently {
                    self.drain(launch, pid, Then::Restart);
                } else {
                    self.ask_to_stop(launch, pid, Then::Restart);
                }
            }
            State::Stopping { launch, pid: Some(pid), phase: StopPhase::Draining { .. }, .. } if !gently => {
                self.ask_to_stop(launch, pid, Then::Restart);
            }
            State::Stopped
            | State::Waiting { .. }
            | State::Blocked
            | State::Scheduled
            | State::Stopping { .. }
            | State::Errored { .. }
            | State::Completed { .. } => {
                self.start();
            }
        }
    }

    /// What runs by its schedule is let go on, what runs without one ends.
    fn schedule(&mut self) {
        let is_run = self.machine.launched.as_ref().is_some_and(|spec| spec.schedule.is_some());
        match self.machine.state.clone() {
            State::Stopped
            | State::Waiting { .. }
            | State::Blocked
            | State::Completed { .. }
            | State::Errored {
                reason: ErrorReason::CrashLoop { .. } | ErrorReason::Exited(_) | ErrorReason::SpawnFailed { .. },
            } => match self.machine.remains {
                Some(launch) => self.end_remains(launch, Then::Schedule),
                None => self.rest(),
            },
            State::Errored { reason: ErrorReason::WouldNotDie { launch, pid, .. } } => {
                self.kill(launch, pid, Then::Schedule);
            }
            State::Launching { launch } if !is_run => self.stop_when_spawned(launch, Then::Schedule),
            State::Starting { launch, pid, .. } | State::Online { launch, pid, .. } if !is_run => {
                self.ask_to_stop(launch, pid, Then::Schedule);
            }
            State::Stopping { launch, pid, phase, .. } => {
                self.machine.state = State::Stopping { launch, pid, phase, then: Then::Schedule };
            }
            State::Scheduled | State::Launching { .. } | State::Starting { .. } | State::Online { .. } => {}
        }
    }

    /// The time of the job's next run has come.
    fn run(&mut self) {
        match (self.machine.state.clone(), self.machine.policy.schedule_overlap) {
            // What it depends on is down: it is not run beside that.
            (State::Scheduled | State::Errored { reason: ErrorReason::SpawnFailed { .. } }, _)
                if !self.machine.unmet.is_empty() => {}
            (State::Scheduled | State::Errored { reason: ErrorReason::SpawnFailed { .. } }, _) => {
                self.launch();
                self.machine.cause = Some(Cause::Schedule);
            }
            (State::Launching { launch }, Overlap::Replace) => self.stop_when_spawned(launch, Then::Restart),
            (State::Starting { launch, pid, .. } | State::Online { launch, pid, .. }, Overlap::Replace) => {
                self.ask_to_stop(launch, pid, Then::Restart);
                self.machine.cause = Some(Cause::Schedule);
            }
            (
                State::Launching { .. }
                | State::Starting { .. }
                | State::Online { .. }
                | State::Stopping { then: Then::Schedule | Then::Again { .. }, .. },
                Overlap::Queue,
            ) => self.machine.queued = true,
            _ => {}
        }
    }

    /// Until its time comes.
    fn rest(&mut self) {
        self.machine.launched = None;
        if std::mem::take(&mut self.machine.queued) {
            self.launch();
            self.machine.cause = Some(Cause::Schedule);
        } else {
            self.machine.state = State::Scheduled;
        }
    }

    fn renew(&mut self, cause: Cause) {
        if cause == Cause::Schedule {
            return self.run();
        }
        match self.machine.state.clone() {
            // What is on its way is brought there.
            State::Stopped
            | State::Blocked
            | State::Scheduled
            | State::Stopping { then: Then::Stop | Then::Restart | Then::Block | Then::Schedule, .. }
            | State::Errored { reason: ErrorReason::WouldNotDie { .. } } => return,
            State::Stopping { launch, pid, phase, then: Then::Again { .. } } => {
                self.machine.state = State::Stopping { launch, pid, phase, then: Then::Restart };
            }
            State::Launching { launch, .. } => self.stop_when_spawned(launch, Then::Restart),
            State::Starting { launch, pid, since, .. } | State::Online { launch, pid, since, .. } => {
                let then = self.then(&cause, since);
                if cause.is_patient() {
                    self.drain(launch, pid, then);
                } else {
                    self.ask_to_stop(launch, pid, then);
                }
            }
            State::Waiting { .. } | State::Errored { .. } | State::Completed { .. } => {
                if !cause.revives() {
                    return;
                }
                self.forgive();
                if let Some(launch) = self.machine.remains {
                    self.end_remains(launch, Then::Restart);
                } else {
                    self.machine.restarts += 1;
                    self.launch();
                }
            }
        }
        self.machine.cause = Some(cause);
    }

    fn spawned(&mut self, spawned: LaunchId, pid: u32) {
        match self.machine.state.clone() {
            State::Launching { launch, .. } if launch == spawned => {
                let awaits = self.machine.to_await();
                (self.machine.streak, self.machine.ailment) = (0, None);
                (self.machine.well_since, self.machine.failing_since) = (None, None);
                self.machine.state = State::Starting { launch, pid, since: self.now, awaits, late: false };
                if self.machine.policy.restart.min_uptime_ms == 0 {
                    self.come_up();
                }
            }
            State::Stopping { launch, phase: StopPhase::Spawning, then, .. } if launch == spawned => {
                self.ask_to_stop(launch, pid, then);
            }
            _ => {}
        }
    }

    fn spawn_failed(&mut self, failed: LaunchId, reason: String) {
        match self.machine.state.clone() {
            State::Launching { launch } if launch == failed => {
                self.machine.unstable += 1;
                let (failures, rules) = (self.machine.unstable, &self.machine.policy.restart);
                let retried = rules.auto && self.machine.policy.schedule.is_none();
                let again = (retried && failures < rules.max_restarts)
                    .then(|| self.now.plus_ms(pacing::spawn_retry_ms(failures, rules, failed)));
                self.give_up(ErrorReason::SpawnFailed { reason, again });
            }
            State::Stopping { launch, phase: StopPhase::Spawning, then, .. } if launch == failed => self.gone(then),
            _ => {}
        }
    }

    fn exited(&mut self, ended: LaunchId, status: ExitStatus, left: bool) {
        if self.machine.state.launch() != Some(ended) {
            return;
        }
        self.machine.last_exit = Some(status);
        self.machine.remains = self.machine.policy.stop.tree.then_some(ended);
        match self.machine.state.clone() {
            State::Launching { .. } => self.ended(status, 0, left),
            State::Starting { since, .. } | State::Online { since, .. } => {
                self.ended(status, self.now.ms_since(since), left);
            }
            // It was done, and has gone by itself: what it has left is asked to end.
            State::Stopping { launch, phase: StopPhase::Draining { .. }, then, .. } => self.end_remains(launch, then),
            // Its children may still be there: only the end of the whole tree counts. The others have no launch.
            State::Stopping { .. }
            | State::Errored { .. }
            | State::Stopped
            | State::Waiting { .. }
            | State::Blocked
            | State::Scheduled
            | State::Completed { .. } => {}
        }
    }

    fn tree_gone(&mut self, gone: LaunchId) {
        match self.machine.state.clone() {
            State::Stopping { launch, then, .. } if launch == gone => self.gone(then),
            State::Errored { reason: ErrorReason::WouldNotDie { launch, then, .. } } if launch == gone => {
                self.gone(then);
            }
            _ => {}
        }
    }

    fn ready(&mut self, ready: LaunchId) {
        if let State::Starting { launch, awaits, .. } = &mut self.machine.state
            && *launch == ready
            && awaits.ready
        {
            awaits.ready = false;
            self.come_up();
        }
    }

    /// Who serves is up, unless it was to say so itself, or is to be asked: nobody need wait for time to pass.
    fn listening(&mut self, listening: LaunchId) {
        if self.machine.state.launch() != Some(listening) {
            return;
        }
        self.machine.listens = true;
        if let State::Starting { awaits, .. } = &mut self.machine.state {
            awaits.listening = false;
            self.come_up();
        }
    }

    fn drained(&mut self, drained: LaunchId) {
        match self.machine.state {
            State::Stopping { launch, pid: Some(pid), phase: StopPhase::Draining { .. }, then }
                if launch == drained =>
            {
                self.ask_to_stop(launch, pid, then);
            }
            // Nobody had told it to: most end right after, and as they like.
            State::Starting { launch, .. } | State::Online { launch, .. } if launch == drained => {
                self.machine.left.get_or_insert(self.now);
            }
            _ => {}
        }
    }

    /// It has as long as if it had not been asked before.
    fn untold(&mut self) {
        match self.machine.state {
            State::Stopping { launch, pid: Some(pid), phase: StopPhase::Asked { .. }, then } => {
                self.ask_to_stop(launch, pid, then);
            }
            State::Stopping { launch, pid: None, phase: StopPhase::Asked { .. }, then } => {
                self.end_remains(launch, then);
            }
            _ => {}
        }
    }

    /// What has nothing to wait for any more is up.
    fn come_up(&mut self) {
        if let State::Starting { launch, pid, since, awaits, .. } = self.machine.state
            && !awaits.any()
        {
            self.machine.state = State::Online { launch, pid, since, healthy: true };
            self.machine.well_since = Some(self.now);
        }
    }

    fn probed(&mut self, probed: LaunchId, result: Result<(), String>) {
        let Some((_, check)) = self.machine.checked().filter(|(launch, _)| *launch == probed) else { return };
        // The first pass will do for one that is starting.
        let starts = matches!(self.machine.state, State::Starting { .. });
        let to_heal = if starts { 1 } else { check.healthy_threshold };
        let to_ail = check.unhealthy_threshold;
        let passed = result.is_ok();
        if let Err(ailment) = result {
            self.machine.ailment = Some(ailment);
        }
        let believed = matches!(self.machine.state, State::Online { healthy: true, .. });
        if believed && !passed && self.machine.streak == 0 {
            self.machine.failing_since = Some(self.now);
        }
        self.machine.streak = if passed == believed { 0 } else { self.machine.streak + 1 };
        let enough = self.machine.streak >= if believed { to_ail } else { to_heal };
        if passed == believed || !enough {
            return;
        }
        self.machine.streak = 0;
        match &mut self.machine.state {
            State::Starting { awaits, .. } => {
                awaits.health = false;
                self.machine.ailment = None;
                self.come_up();
            }
            State::Online { healthy: healthy @ false, .. } => {
                *healthy = true;
                self.machine.ailment = None;
                self.machine.well_since = Some(self.now);
            }
            State::Online { healthy, .. } => {
                *healthy = false;
                self.treat(false);
            }
            _ => {}
        }
    }

    /// Something is done about what is unhealthy, or has not become healthy in time. Each time later, and not for ever
    /// where nothing helps: what comes up so often without getting anywhere is left as it is.
    ///
    /// It is stopped before the wait and not after: what is sick may do harm, and what waits is seen to.
    fn treat(&mut self, never_up: bool) {
        let (State::Starting { launch, pid, since, .. } | State::Online { launch, pid, since, .. }) =
            self.machine.state
        else {
            return;
        };
        let policy = Arc::clone(&self.machine.policy);
        let rules = &policy.restart;
        let Some(check) = policy.health_check.as_ref().filter(|check| check.action != HealthAction::None) else {
            return;
        };
        if !rules.auto {
            return;
        }
        let well_since = self.machine.well_since.unwrap_or(since);
        let well_ms = self.machine.failing_since.unwrap_or(self.now).ms_since(well_since);
        // It may have fallen ill as soon as it had passed for the last time.
        let surely_ms = if never_up { 0 } else { well_ms.saturating_sub(check.interval_ms) };
        let run = if never_up || pacing::judged(well_ms, rules) == Run::Short {
            Run::Short
        } else {
            pacing::judged(surely_ms, rules).max(Run::Doubtful)
        };
        let ended = self.count(run, surely_ms, true);
        if self.machine.unstable < rules.max_restarts {
            let delay_ms = self.delay_ms(&ended);
            let reason = self.machine.ailment.clone().unwrap_or_else(|| "no answer".to_owned());
            if check.action == HealthAction::Reload {
                self.drain(launch, pid, Then::Again { delay_ms });
            } else {
                self.ask_to_stop(launch, pid, Then::Again { delay_ms });
            }
            self.machine.cause = Some(Cause::Unhealthy { reason });
        }
    }

    /// What depends on something that comes and goes is not to be restarted as often as that: later each time. Nor what leaves
    /// again and again.
    fn then(&mut self, cause: &Cause, since: Mono) -> Then {
        if !matches!(cause, Cause::Dependency { .. } | Cause::Left) {
            return Then::Restart;
        }
        let uptime_ms = self.now.ms_since(since);
        let run = pacing::judged(uptime_ms, &self.machine.policy.restart).max(Run::Doubtful);
        let ended = self.count(run, uptime_ms, true);
        match self.delay_ms(&ended) {
            0 => Then::Restart,
            delay_ms => Then::Again { delay_ms },
        }
    }

    /// A run is over, or is about to be.
    fn count(&mut self, run: Run, uptime_ms: u64, crashed: bool) -> Ended {
        match run {
            Run::Short => self.machine.unstable += 1,
            Run::Doubtful => {}
            Run::Long => self.machine.unstable = 0,
        }
        if pacing::ends_backoff(uptime_ms, &self.machine.policy.restart) {
            self.machine.backoff = 0;
        }
        Ended { uptime_ms, run, crashed, unstable: self.machine.unstable, backoff: self.machine.backoff }
    }

    /// Until the next start.
    fn delay_ms(&mut self, ended: &Ended) -> u64 {
        let (delay_ms, turn) = pacing::wait(ended, &self.machine.policy.restart, self.fresh);
        self.machine.backoff += u32::from(turn);
        delay_ms
    }

    fn tick(&mut self) {
        if deadline(&self.machine).is_none_or(|deadline| deadline > self.now) {
            return;
        }
        if self.machine.ends_by().is_some_and(|by| by <= self.now) {
            return self.renew(Cause::Left);
        }
        match self.machine.state.clone() {
            State::Waiting { .. } | State::Errored { reason: ErrorReason::SpawnFailed { .. } } => self.launch_again(),
            State::Online { .. } => self.renew(Cause::Age),
            State::Starting { launch, pid, since, awaits, .. } => {
                if awaits.any() {
                    self.machine.state = State::Starting { launch, pid, since, awaits, late: true };
                    if awaits.health {
                        self.treat(true);
                    }
                } else {
                    self.come_up();
                }
            }
            State::Stopping { launch, pid: Some(pid), phase: StopPhase::Draining { .. }, then } => {
                self.ask_to_stop(launch, pid, then);
            }
            State::Stopping { launch, pid, phase: StopPhase::Draining { .. } | StopPhase::Asked { .. }, then } => {
                self.kill(launch, pid, then);
            }
            State::Stopping { launch, pid, phase: StopPhase::Killed { .. }, then } => {
                self.machine.state = State::Errored { reason: ErrorReason::WouldNotDie { launch, pid, then } };
            }
            State::Stopping { phase: StopPhase::Spawning, .. }
            | State::Stopped
            | State::Blocked
            | State::Scheduled
            | State::Launching { .. }
            | State::Errored { .. }
            | State::Completed { .. } => {}
        }
    }

    /// What an exit that nobody asked for leads to.
    fn ended(&mut self, status: ExitStatus, uptime_ms: u64, left: bool) {
        self.machine.cause = None;
        let rules = Arc::clone(&self.machine.policy);
        if rules.schedule.is_some() {
            return match self.machine.remains.filter(|_| left) {
                Some(launch) => self.end_remains(launch, Then::Schedule),
                None => self.rest(),
            };
        }
        let rules = &rules.restart;
        let ended = self.count(pacing::judged(uptime_ms, rules), uptime_ms, !status.is_success());
        let runs = ended.unstable;
        if matches!(status, ExitStatus::Code(code) if rules.stop_exit_codes.contains(&code)) {
            self.complete(status);
        } else if !rules.auto {
            // Of one that an earlier daemon started nobody knows the status; a job is not run twice for that.
            if status.is_success() || status == ExitStatus::Unknown {
                self.complete(status);
            } else {
                self.give_up(ErrorReason::Exited(status));
            }
        } else if ended.run == Run::Short && runs >= rules.max_restarts {
            self.give_up(ErrorReason::CrashLoop { runs, status });
        } else {
            let delay_ms = self.delay_ms(&ended);
            match self.machine.remains.filter(|_| left) {
                Some(launch) => self.end_remains(launch, Then::Again { delay_ms }),
                None => self.again(delay_ms),
            }
        }
    }

    fn again(&mut self, delay_ms: u64) {
        if delay_ms > 0 {
            self.wait(delay_ms);
        } else {
            self.launch_again();
        }
    }

    /// Of pmrun's own accord: nothing is started only to find what it depends on missing.
    fn launch_again(&mut self) {
        if self.machine.unmet.is_empty() {
            self.machine.restarts += u32::from(self.machine.last_exit.is_some() || self.machine.unstable > 0);
            self.launch();
        } else {
            self.machine.launched = None;
            self.machine.state = State::Blocked;
        }
    }

    /// Asked for by somebody: earlier crashes are not held against it.
    fn forgive(&mut self) {
        self.machine.cause = None;
        self.machine.unstable = 0;
        self.machine.backoff = 0;
    }

    fn launch(&mut self) {
        self.machine.launched = Some(Arc::clone(&self.machine.policy));
        self.machine.adopted = false;
        self.machine.listens = false;
        self.machine.left = None;
        self.machine.state = State::Launching { launch: self.fresh };
        self.asks.push(Ask::Launch { launch: self.fresh });
    }

    fn stop_when_spawned(&mut self, launch: LaunchId, then: Then) {
        self.machine.state = State::Stopping { launch, pid: None, phase: StopPhase::Spawning, then };
    }

    /// Lets it finish what it is at, where it can, before it is asked to stop.
    fn drain(&mut self, launch: LaunchId, pid: u32, then: Then) {
        if !self.machine.drains() {
            return self.ask_to_stop(launch, pid, then);
        }
        self.asks.push(Ask::Drain { launch });
        let phase = StopPhase::Draining { deadline: self.now.plus_ms(self.machine.policy.stop.drain_ms) };
        self.machine.state = State::Stopping { launch, pid: Some(pid), phase, then };
    }

    fn ask_to_stop(&mut self, launch: LaunchId, pid: u32, then: Then) {
        let rules = &self.machine.policy.stop;
        // The channel exists only if the process was started with one by this daemon.
        let has_channel = !self.machine.adopted && self.machine.left.is_none();
        let by_message = has_channel && self.machine.launched.as_ref().is_some_and(|spec| spec.stop.message);
        self.asks.push(if by_message {
            Ask::StopByMessage { launch, tree: rules.tree }
        } else {
            Ask::Stop { launch, signal: rules.signal, tree: rules.tree }
        });
        let phase = StopPhase::Asked { deadline: self.now.plus_ms(rules.timeout_ms) };
        self.machine.state = State::Stopping { launch, pid: Some(pid), phase, then };
    }

    /// What an ended process left behind is asked to end, as the process would have been.
    fn end_remains(&mut self, launch: LaunchId, then: Then) {
        let rules = &self.machine.policy.stop;
        self.asks.push(Ask::Stop { launch, signal: rules.signal, tree: true });
        let phase = StopPhase::Asked { deadline: self.now.plus_ms(rules.timeout_ms) };
        self.machine.state = State::Stopping { launch, pid: None, phase, then };
    }

    fn kill(&mut self, launch: LaunchId, pid: Option<u32>, then: Then) {
        let rules = &self.machine.policy.stop;
        // What an ended process left was asked to end, whatever the rules are by now.
        self.asks.push(Ask::Kill { launch, tree: rules.tree || pid.is_none() });
        let phase = StopPhase::Killed { deadline: self.now.plus_ms(rules.timeout_ms.max(KILL_MS_MIN)) };
        self.machine.state = State::Stopping { launch, pid, phase, then };
    }

    fn gone(&mut self, then: Then) {
        self.machine.launched = None;
        self.machine.remains = None;
        self.machine.adopted = false;
        match then {
            Then::Stop => self.machine.state = State::Stopped,
            Then::Restart => {
                self.machine.restarts += 1;
                self.launch();
            }
            Then::Again { delay_ms } => self.again(delay_ms),
            Then::Block => self.launch_again(),
            Then::Schedule => self.rest(),
        }
    }

    fn wait(&mut self, delay_ms: u64) {
        self.machine.launched = None;
        self.machine.state = State::Waiting { until: self.now.plus_ms(delay_ms) };
    }

    /// What it was started from stays known: a job that is done is run again when that changes.
    fn complete(&mut self, status: ExitStatus) {
        self.machine.state = State::Completed { status };
    }

    fn give_up(&mut self, reason: ErrorReason) {
        self.machine.launched = None;
        self.machine.state = State::Errored { reason };
    }
}
