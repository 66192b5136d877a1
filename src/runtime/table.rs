use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::code;
use super::core::Measured;
use super::history::{Heard, Moment, Why};
use super::relief::Unrelieved;
use super::rename::Rename;
use super::roster::Roster;
use super::view::outputs;
use super::{AppRecord, Effect, Intent, Standing, Stranger};
use crate::base::{InstanceId, Mono, Now, Run, first, sha256_hex};
use crate::schedule::Agenda;
use crate::spec::ExecMode;
use crate::supervisor::{
    Ask, Cause, ErrorReason, Event, Launch, LaunchId, Layout, Machine, Output, State, Then, check, deadline, launch,
    step,
};

/// Who connects is let wait for so long until somebody is back who serves: balancers have patience with a crash, and are
/// told by a refusal that there will be nobody for a while.
const PATIENCE_MS: u64 = 5_000;
/// Runs of a job that are kept.
const RUNS_MAX: usize = 20;

/// An inherited environment and the digest that records refer to it by.
#[derive(Clone, Debug)]
pub(super) struct Ambient {
    pub(super) digest: String,
    pub(super) variables: Arc<BTreeMap<String, String>>,
}

impl Ambient {
    pub(super) fn new(variables: BTreeMap<String, String>) -> Self {
        // Strings only, sorted by key: there is nothing that JSON could refuse, and one text for one map.
        let digest = sha256_hex(&serde_json::to_vec(&variables).unwrap_or_default());
        Self { digest, variables: Arc::new(variables) }
    }
}

/// An app as the daemon holds it: what is durable, and what runs.
#[derive(Debug)]
pub(super) struct App {
    pub(super) record: AppRecord,
    pub(super) ambient: Ambient,
    /// More than the record's while slots that went away are being stopped, and while one process relieves another: then the
    /// one that has not taken over yet, or goes, is there under the slot's second name.
    /// Boxed: a map has room for eleven even where there is one.
    pub(super) instances: BTreeMap<u32, Box<Instance>>,
    /// Its record is gone; it vanishes with its last process.
    pub(super) deleted: bool,
    /// Nobody knows whether its record is on disk.
    pub(super) unsaved: bool,
    /// The times of `cron_restart` or `schedule`, while they are for something.
    pub(super) agenda: Option<Agenda>,
}

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) machine: Machine,
    pub(super) list_id: u32,
    /// Its processes are known by their slot's second name.
    pub(super) by_second_name: bool,
    /// The app's name when its process was started.
    pub(super) launched_as: Option<String>,
    /// It is done and runs anew as soon as that is recorded, and why.
    pub(super) renews: Option<Cause>,
    /// Wall clock; of the process that runs.
    pub(super) started_at_ms: Option<u64>,
    pub(super) error_log_offset: u64,
    /// Where it has a limit of memory.
    pub(super) measured: Option<Measured>,
    /// What it depends on that ended while it ran, and that it is to be restarted after.
    pub(super) lost: BTreeSet<String>,
    /// What it depends on that was deleted while it waited for it, and that it goes on waiting for.
    pub(super) bereft: BTreeSet<String>,
    /// It is brought back after a start of the machine: what somebody has stopped is not waited for. `false` where it waited before a
    /// daemon's death, and waits on.
    pub(super) excused: Option<bool>,
    /// Of a job, the last few.
    pub(super) runs: Vec<Run>,
    /// What of its `limits` is not in force.
    pub(super) limits_note: Option<String>,
    /// Since when it has not served, where it is to again.
    pub(super) down_since: Option<Mono>,
    /// How long that was the last time.
    pub(super) downtime_ms: Option<u64>,
    /// When the host was last asked for a process of it.
    pub(super) asked_at: Option<Mono>,
    /// Why it went the way that it is on: why its process was started, or ended.
    pub(super) why: Why,
    /// It is asked to end, and that may not have gone out to it yet.
    pub(super) untold: bool,
    /// Of the process that it had last.
    pub(super) last_pid: Option<u32>,
    /// The last process that was asked for.
    pub(super) asked_for: Option<LaunchId>,
    /// What its process is marked with ([`crate::plan::spec_digest`] of what it was started as), where it has been found to
    /// run other code than that: what its machine says that it was launched from is then as it was found.
    pub(super) mark: Option<String>,
}

impl Instance {
    pub(super) fn new(list_id: u32, machine: Machine) -> Self {
        Self {
            machine,
            list_id,
            by_second_name: false,
            launched_as: None,
            renews: None,
            started_at_ms: None,
            error_log_offset: 0,
            measured: None,
            lost: BTreeSet::new(),
            bereft: BTreeSet::new(),
            excused: None,
            runs: Vec::new(),
            limits_note: None,
            down_since: None,
            downtime_ms: None,
            asked_at: None,
            why: Why::Unknown,
            untold: false,
            last_pid: None,
            asked_for: None,
            mark: None,
        }
    }
}

impl Instance {
    /// What somebody has stopped, or what has come to its end, is not missing.
    fn clock_downtime(&mut self, before: &State, now: Mono) {
        let serves = |state: &State| matches!(state, State::Online { .. });
        let comes_back = |state: &State| match state {
            State::Launching { .. } | State::Starting { .. } | State::Waiting { .. } | State::Online { .. } => true,
            State::Stopping { then, .. } => matches!(then, Then::Restart | Then::Again { .. }),
            State::Stopped | State::Blocked | State::Scheduled | State::Completed { .. } | State::Errored { .. } => {
                false
            }
        };
        match (serves(before), serves(&self.machine.state)) {
            (true, false) => self.down_since = Some(now),
            (_, true) => {
                self.downtime_ms = self.down_since.take().map(|since| now.ms_since(since)).or(self.downtime_ms);
            }
            (false, false) => {}
        }
        if !comes_back(&self.machine.state) {
            self.down_since = None;
        }
    }

    /// The run of a job that an event ends, or that it would have begun if the one before did not go on.
    fn run(&self, event: &Event, now: Now) -> Option<Run> {
        let Machine { state, policy, unmet, .. } = &self.machine;
        policy.schedule.as_ref()?;
        match event {
            Event::Exited { launch, status, .. } if state.launch() == Some(*launch) => {
                let at_ms = self.started_at_ms.unwrap_or(now.wall.0);
                Some(Run { at_ms, took_ms: now.wall.0.saturating_sub(at_ms), status: Some(*status), error: None })
            }
            Event::SpawnFailed { launch, reason } if state.launch() == Some(*launch) => {
                Some(Run { at_ms: now.wall.0, took_ms: 0, status: None, error: Some(reason.clone()) })
            }
            Event::Renew { cause: Cause::Schedule } if !unmet.is_empty() && state.launch().is_none() => {
                let error = Some(format!("it needs {}", unmet.join(", ")));
                Some(Run { at_ms: now.wall.0, took_ms: 0, status: None, error })
            }
            Event::Renew { cause: Cause::Schedule } if state.launch().is_some() => {
                Some(Run { at_ms: now.wall.0, took_ms: 0, status: None, error: None })
            }
            _ => None,
        }
    }
}

impl App {
    /// Whether the slot is only there until its process has ended.
    pub(super) fn is_leaving(&self, slot: u32) -> bool {
        self.deleted || !self.record.instances.contains_key(&slot)
    }

    pub(super) fn intent(&self, slot: u32) -> Option<Intent> {
        self.record.instances.get(&slot).filter(|_| !self.deleted).map(|record| record.intent)
    }
}

/// What an event did to an instance, for the command that may be waiting for it.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) instance: InstanceId,
    pub(super) before: State,
    pub(super) after: State,
    /// What was to relieve its process will not, and that goes on.
    pub(super) unrelieved: Option<Unrelieved>,
}

/// Every app that is known, and which launch is whose.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) apps: BTreeMap<String, App>,
    pub(super) layout: Layout,
    /// What `list` numbers next.
    pub(super) next_list_id: u32,
    next_launch: u64,
    pub(super) launches: BTreeMap<LaunchId, InstanceId>,
    /// Apps of which an instance completed, ended a run, or came to wait for what was deleted, since it was last recorded.
    pub(super) completed: BTreeSet<String>,
    /// Apps that a command has had its say on since it was last looked at.
    pub(super) touched: BTreeSet<String>,
    /// Who is at work, for the history.
    pub(super) asking: Why,
    pub(super) roster: Roster,
    /// Who may stand elsewhere since that was last said, by its number.
    pub(super) restless: BTreeMap<u32, InstanceId>,
    /// What runs, is nobody's, and is left alone.
    pub(super) strangers: Vec<Stranger>,
}

impl Table {
    /// Whether something is shown of an instance that changes without anything happening: how long it still waits.
    pub(super) fn is_on_its_way(&self) -> bool {
        let mut states = self.apps.values().flat_map(|app| app.instances.values()).map(|it| &it.machine.state);
        states.any(|state| {
            matches!(
                state,
                State::Waiting { .. }
                    | State::Scheduled
                    | State::Stopping { .. }
                    | State::Errored { reason: ErrorReason::SpawnFailed { .. } }
            )
        })
    }

    pub(super) fn new(layout: Layout, first_launch: u64) -> Self {
        Self {
            apps: BTreeMap::new(),
            layout,
            next_list_id: 0,
            next_launch: first_launch,
            launches: BTreeMap::new(),
            completed: BTreeSet::new(),
            touched: BTreeSet::new(),
            asking: Why::Unknown,
            roster: Roster::default(),
            restless: BTreeMap::new(),
            strangers: Vec::new(),
        }
    }

    pub(super) fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.apps.get(&id.app)?.instances.get(&id.slot).map(Box::as_ref)
    }

    pub(super) fn owner(&self, launch: LaunchId) -> Option<InstanceId> {
        self.launches.get(&launch).cloned()
    }

    /// Says whose a launch is that was made elsewhere: by an earlier daemon.
    pub(super) fn own(&mut self, launch: LaunchId, instance: InstanceId) {
        self.launches.insert(launch, instance);
    }

    pub(super) fn note_renewal(&mut self, id: &InstanceId, cause: Option<Cause>) {
        let app = self.apps.get_mut(&id.app);
        if let Some(instance) = app.and_then(|app| app.instances.get_mut(&id.slot)) {
            instance.renews = cause;
            self.restless.insert(instance.list_id, id.clone());
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = InstanceId> {
        self.apps.iter().flat_map(|(name, app)| app.instances.keys().map(move |slot| InstanceId::new(name, *slot)))
    }

    /// The earliest that any instance waits for.
    pub(super) fn deadline(&self) -> Option<Mono> {
        debug_assert_eq!(self.roster.next_due(), self.machines().filter_map(deadline).min());
        self.roster.next_due()
    }

    /// Instances whose time has come.
    pub(super) fn due(&self, now: Now) -> Vec<InstanceId> {
        self.roster.due(now.mono).cloned().collect()
    }

    /// Has an app looked at from now on whenever what it is made of demands it.
    pub(super) fn enrol(&mut self, name: &str) {
        let app = self.apps.get(name);
        self.roster.note(name, app);
        for (slot, instance) in app.into_iter().flat_map(|app| &app.instances) {
            self.roster.set_due(&InstanceId::new(name, *slot), deadline(&instance.machine));
        }
    }

    pub(super) fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.apps.values().flat_map(|app| app.instances.values().map(|instance| &instance.machine))
    }

    /// Whether some app's record refers to the environment, so that it is stored already.
    pub(super) fn refers_to(&self, ambient: &str) -> bool {
        self.apps.values().any(|app| !app.deleted && !app.unsaved && app.record.ambient == ambient)
    }

    /// An environment that is held already, so that equal ones are held once.
    pub(super) fn shared(&self, ambient: Ambient) -> Ambient {
        let same = self.apps.values().map(|app| &app.ambient).find(|held| held.digest == ambient.digest);
        same.cloned().unwrap_or(ambient)
    }

    /// Lets an event happen to an instance, and does what its machine asks for.
    pub(super) fn step(&mut self, id: &InstanceId, event: Event, now: Now, out: &mut Vec<Effect>) -> Option<Moved> {
        let app = self.apps.get_mut(&id.app)?;
        let instance = app.instances.get_mut(&id.slot)?;
        let before = instance.machine.state.clone();
        let (heard, ended) = (Heard::of(&event), instance.machine.remains);
        let checked = instance.machine.checked().map(|(launch, check)| (launch, check.clone()));
        let run = instance.run(&event, now);
        let streak = instance.machine.streak;
        let is_routine = matches!(
            event,
            Event::Tick | Event::Needs { .. } | Event::Policy(_) | Event::Probed { result: Ok(()), .. }
        );
        let next = step(&instance.machine, event, now, LaunchId(self.next_launch));
        let rotation = &next.machine.policy.logs.rotation;
        if *rotation != instance.machine.policy.logs.rotation
            && let Some(launch) = next.machine.state.launch()
        {
            out.push(Effect::Rotation { launch, rotation: rotation.clone() });
        }
        let limits = next.machine.policy.limits;
        if limits != instance.machine.policy.limits
            && let Some(launch) = next.machine.state.launch()
        {
            out.push(Effect::Limits { launch, limits });
        }
        instance.machine = next.machine;
        if !is_routine || instance.machine.state != before || instance.machine.streak != streak {
            self.restless.insert(instance.list_id, id.clone());
        }
        for ask in next.asks {
            match ask {
                Ask::Launch { launch: fresh } => {
                    self.next_launch += 1;
                    self.launches.insert(fresh, id.clone());
                    instance.launched_as = Some(id.app.clone());
                    instance.started_at_ms = None;
                    instance.asked_at = Some(now.mono);
                    instance.limits_note = None;
                    (instance.asked_for, instance.mark) = (Some(fresh), None);
                    let spec = &instance.machine.policy;
                    out.extend(code::look(fresh, spec));
                    let variables = &app.ambient.variables;
                    let list_id = first(instance.list_id);
                    let launch = launch(fresh, spec, first(id.slot), list_id, &self.layout, variables);
                    let launch = Launch { relieves: id.is_second(), ..launch };
                    let launch = if instance.by_second_name { launch.by_second_name() } else { launch };
                    out.push(Effect::Spawn(Box::new(launch)));
                }
                Ask::Drain { launch } => out.push(Effect::Drain { launch }),
                Ask::Stop { launch, signal, tree } => {
                    instance.untold = true;
                    // Its first process may have ended long ago.
                    self.launches.insert(launch, id.clone());
                    out.push(Effect::Stop { launch, signal, tree });
                }
                Ask::StopByMessage { launch, tree } => {
                    instance.untold = true;
                    out.push(Effect::StopByMessage { launch, tree });
                }
                Ask::Kill { launch, tree } => {
                    self.launches.insert(launch, id.clone());
                    out.push(Effect::Kill { launch, tree });
                }
                Ask::Tree { launch, tree } => out.push(Effect::Tree { launch, tree }),
            }
        }
        let now_checked = instance.machine.checked();
        if now_checked != checked.as_ref().map(|(launch, check)| (*launch, check)) {
            if let Some((launch, _)) = checked
                && now_checked.is_none_or(|(now, _)| now != launch)
            {
                out.push(Effect::Check { launch, check: None });
            }
            out.extend(checking(&app.ambient, instance, id.slot, &self.layout));
        }
        let moment = Moment { id, before: &before, ended, heard, asking: &self.asking, now };
        let error_log = |instance: &Instance| match outputs(&app.record, first(id.slot), instance, &self.layout).1 {
            Output::File(path) => Some(path),
            Output::Null => None,
        };
        moment.tell(instance, error_log, out);
        self.roster.set_due(id, deadline(&instance.machine));
        let after = instance.machine.state.clone();
        instance.clock_downtime(&before, now.mono);
        if let Some(launch) = before.launch()
            && after.launch() != Some(launch)
        {
            self.launches.remove(&launch);
        }
        // What is skipped changes nothing.
        let was_skipped = before == after && !instance.machine.queued;
        let run = run.filter(|run| run.status.is_some() || run.error.is_some() || was_skipped);
        let is_run = run.is_some();
        if let Some(run) = run {
            // One that ended after another was skipped had begun before that.
            let place = instance.runs.partition_point(|other| other.at_ms <= run.at_ms);
            instance.runs.insert(place, run);
            let surplus = instance.runs.len().saturating_sub(RUNS_MAX);
            instance.runs.drain(..surplus);
        }
        if is_run || matches!(after, State::Completed { .. }) {
            self.completed.insert(id.app.clone());
        }
        self.forget_if_gone(id);
        (before != after).then(|| Moved { instance: id.clone(), before, after, unrelieved: None })
    }

    /// Has everything looked after that has a health check: what an earlier daemon started.
    pub(super) fn check_all(&self, out: &mut Vec<Effect>) {
        for app in self.apps.values() {
            for (slot, instance) in &app.instances {
                out.extend(checking(&app.ambient, instance, *slot, &self.layout));
            }
        }
    }

    /// Takes out a slot that went away and has no process any more, and its app with its last slot.
    pub(super) fn forget_if_gone(&mut self, id: &InstanceId) {
        let Some(app) = self.apps.get_mut(&id.app) else { return };
        let stopped = app.instances.get(&id.slot).is_some_and(|instance| instance.machine.state == State::Stopped);
        if stopped && app.is_leaving(id.slot) {
            let gone = app.instances.remove(&id.slot).map(|instance| instance.list_id);
            self.restless.extend(gone.map(|list_id| (list_id, id.clone())));
            self.roster.set_due(id, None);
        }
        if app.deleted && app.instances.is_empty() {
            self.apps.remove(&id.app);
            self.roster.note(&id.app, None);
        }
    }

    /// What these were asked has gone out to them.
    pub(super) fn told(&mut self, launches: &[LaunchId]) {
        for id in launches.iter().filter_map(|launch| self.owner(*launch)).collect::<Vec<_>>() {
            let app = self.apps.get_mut(&id.app);
            if let Some(instance) = app.and_then(|app| app.instances.get_mut(&id.slot)).filter(|it| it.untold) {
                instance.untold = false;
                self.restless.insert(instance.list_id, id);
            }
        }
    }

    /// Something about it has changed that a daemon that follows is to know.
    pub(super) fn unsettle(&mut self, id: &InstanceId) {
        if let Some(instance) = self.instance(id) {
            self.restless.insert(instance.list_id, id.clone());
        }
    }

    /// Says where those stand that may stand elsewhere than when that was last said.
    pub(super) fn note_standings(&mut self, now: Now, out: &mut Vec<Effect>) {
        for (id, instance) in std::mem::take(&mut self.restless) {
            let known = self.instance(&instance).filter(|instance| instance.list_id == id);
            if !instance.is_second() && known.is_none_or(|known| !is_served(&known.machine, now)) {
                out.push(Effect::Unlisten { instance: instance.clone() });
            }
            out.push(Effect::Standing { id, standing: known.map(|known| Box::new(Standing::of(known))) });
        }
    }

    /// Where everybody stands.
    pub(super) fn standings(&self) -> impl Iterator<Item = (u32, Standing)> {
        let instances = self.apps.values().flat_map(|app| app.instances.values());
        instances.map(|instance| (instance.list_id, Standing::of(instance)))
    }

    /// Gives an app another name, also where others depend on it; nothing that runs notices.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let Some(app) = self.apps.remove(from) else { return };
        let rename = Rename { from, to, ecosystem: app.record.ecosystem.clone() };
        self.apps.values_mut().for_each(|other| rename.follow(other));
        for (slot, instance) in &app.instances {
            if let Some(launch) = instance.machine.state.launch() {
                self.launches.insert(launch, InstanceId::new(to, *slot));
            }
            if let Some(restless) = self.restless.get_mut(&instance.list_id) {
                *restless = InstanceId::new(to, *slot);
            }
        }
        for slot in app.instances.keys() {
            self.roster.set_due(&InstanceId::new(from, *slot), None);
        }
        self.apps.insert(to.to_owned(), app);
        self.enrol(from);
        self.enrol(to);
        if self.completed.remove(from) {
            self.completed.insert(to.to_owned());
        }
    }
}

/// Whether who connects to it may wait: it is there, or will be soon.
fn is_served(machine: &Machine, now: Now) -> bool {
    match &machine.state {
        State::Waiting { until } => until.ms_since(now.mono) <= PATIENCE_MS,
        State::Launching { .. } | State::Starting { .. } | State::Online { .. } | State::Stopping { .. } => true,
        // Of others there are no sockets.
        State::Stopped | State::Blocked | State::Scheduled | State::Errored { .. } | State::Completed { .. } => {
            machine.policy.exec_mode != ExecMode::Cluster && machine.policy.listen.is_empty()
        }
    }
}

fn checking(ambient: &Ambient, instance: &Instance, slot: u32, layout: &Layout) -> Option<Effect> {
    let (launch, _) = instance.machine.checked()?;
    let (slot, list_id) = (first(slot), first(instance.list_id));
    let check = check(launch, &instance.machine.policy, slot, list_id, layout, &ambient.variables)?;
    Some(Effect::Check { launch, check: Some(Box::new(check)) })
}
