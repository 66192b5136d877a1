//! One process relieves another: both are there until the new one is up, and who goes has finished what it is at.
//!
//! The slot's own name is that of the process that serves, its second name that of the other: of the one that is coming
//! until it is up, then of the one that goes. What is coming is tried once. Where it fails it goes, and all is as it was.

use std::sync::Arc;

use super::Effect;
use super::history::{Entry, What, Why};
use super::table::{Instance, Moved, Table};
use super::view::outputs;
use crate::base::{InstanceId, Now, first, second};
use crate::supervisor::{ErrorReason, Event, Machine, Output, State, Then, deadline};

/// Why a process will not be relieved, and where what was to do it has said its last words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unrelieved {
    pub(super) reason: String,
    pub(super) error_log: Option<String>,
    pub(super) error_log_offset: u64,
}

impl Table {
    /// Lets an event happen to an instance, and what follows from it to the other process of its slot.
    pub(super) fn feed(&mut self, id: &InstanceId, event: Event, now: Now, out: &mut Vec<Effect>) -> Vec<Moved> {
        let mut moved = Vec::new();
        let id = self.prepare(id, &event, now, out, &mut moved);
        moved.extend(self.step(&id, event, now, out));
        self.tend(&id, now, out, &mut moved);
        moved
    }

    /// Starts a process beside an instance's own, to take over when it is up. None where that cannot be.
    pub(super) fn relieve(&mut self, id: &InstanceId, now: Now, out: &mut Vec<Effect>) -> Option<Vec<Moved>> {
        let other = id.second();
        let app = self.apps.get_mut(&id.app).filter(|app| !app.instances.contains_key(&other.slot))?;
        let instance = app.instances.get(&id.slot).filter(|instance| instance.machine.can_be_relieved())?;
        let machine = Machine {
            unmet: instance.machine.unmet.clone(),
            must_listen: instance.machine.listens,
            ..Machine::new(Arc::clone(&instance.machine.policy))
        };
        let relief =
            Instance { by_second_name: !instance.by_second_name, ..Instance::new(second(instance.list_id), machine) };
        app.instances.insert(other.slot, Box::new(relief));
        Some(self.feed(&other, Event::Start, now, out))
    }

    /// Whether a process is on its way that is to take over from an instance's own.
    pub(super) fn is_being_relieved(&self, id: &InstanceId) -> bool {
        self.instance(&id.second()).is_some_and(|relief| is_coming(&relief.machine.state))
    }

    /// Whether of two processes of a slot one will go, and the other could be relieved then.
    pub(super) fn is_about_to_be_single(&self, id: &InstanceId) -> bool {
        let serves = self.instance(id).is_some_and(|instance| instance.machine.can_be_relieved());
        let beside = self.instance(&id.second()).map(|beside| &beside.machine.state);
        serves && beside.is_some_and(|state| !matches!(state, State::Errored { .. }))
    }

    /// What is to take over does not: its slot's process goes on.
    pub(super) fn call_off(&mut self, id: &InstanceId, reason: &str, now: Now, out: &mut Vec<Effect>) -> Vec<Moved> {
        let other = id.second();
        if !self.is_being_relieved(id) {
            return Vec::new();
        }
        let mut moved: Vec<Moved> = self.unrelieved(&other, reason.to_owned(), now, out).into_iter().collect();
        // As with one that is late: it may have accepted connections.
        moved.extend(self.step_beside(&other, Event::Retire, now, out));
        moved
    }

    /// Sees to it that what is adopted of two processes of a slot goes on as it should.
    pub(super) fn tend_all(&mut self, now: Now, out: &mut Vec<Effect>) {
        let reliefs: Vec<InstanceId> = self.ids().filter(InstanceId::is_second).collect();
        for id in reliefs {
            self.tend(&id, now, out, &mut Vec::new());
        }
    }

    /// Who the event is about, once those have changed places that it makes change.
    fn prepare(
        &mut self,
        id: &InstanceId,
        event: &Event,
        now: Now,
        out: &mut Vec<Effect>,
        moved: &mut Vec<Moved>,
    ) -> InstanceId {
        let (ended, why) = match event {
            Event::Exited { launch, status, .. } => (*launch, status.to_string()),
            Event::SpawnFailed { launch, reason } => (*launch, format!("cannot be started: {reason}")),
            // It may have accepted connections, though it is not ready: they are not cut.
            Event::Tick if id.is_second() => {
                if let Some(reason) = self.lateness(id, now) {
                    moved.extend(self.unrelieved(id, reason, now, out));
                    moved.extend(self.step_beside(id, Event::Retire, now, out));
                }
                return id.clone();
            }
            _ => return id.clone(),
        };
        let is_current = self.instance(id).is_some_and(|instance| instance.machine.state.launch() == Some(ended));
        if !is_current || !self.is_being_relieved(id) {
            return id.clone();
        }
        let other = id.second();
        if id.is_second() {
            moved.extend(self.unrelieved(id, why, now, out));
        } else {
            // It need not be started again: another is on its way.
            moved.extend(self.change_places(id, now, out));
        }
        moved.extend(self.step_beside(&other, Event::Stop, now, out));
        if id.is_second() { id.clone() } else { other }
    }

    /// Why what is coming has not come in time, where it has not.
    fn lateness(&self, id: &InstanceId, now: Now) -> Option<String> {
        let machine = &self.instance(id)?.machine;
        match machine.state {
            State::Starting { awaits, late: false, .. } if awaits.any() => {
                deadline(machine).filter(|at| *at <= now.mono).map(|_| machine.lateness(awaits))
            }
            _ => None,
        }
    }

    /// What follows from where the two processes of a slot are now.
    fn tend(&mut self, id: &InstanceId, now: Now, out: &mut Vec<Effect>, moved: &mut Vec<Moved>) {
        let (serving, other) = (id.first(), id.second());
        let Some(relief) = self.instance(&other).map(|relief| &relief.machine) else { return };
        let fails = match &relief.state {
            State::Online { .. } => {
                moved.extend(self.change_places(&serving, now, out));
                moved.extend(self.step_for(&serving, &other, Event::Retire, now, out));
                return;
            }
            State::Stopped
            | State::Stopping { then: Then::Stop, .. }
            | State::Errored { reason: ErrorReason::WouldNotDie { .. } } => return,
            State::Launching { .. } | State::Starting { late: false, .. } => {
                let serves = |state: &State| matches!(state, State::Starting { .. } | State::Online { .. });
                if self.instance(&serving).is_some_and(|instance| serves(&instance.machine.state)) {
                    return;
                }
                None
            }
            State::Starting { awaits, .. } => Some(relief.lateness(*awaits)),
            State::Errored { reason } => Some(reason.to_string()),
            State::Stopping { .. }
            | State::Waiting { .. }
            | State::Blocked
            | State::Scheduled
            | State::Completed { .. } => {
                let cause = relief.cause.as_ref().map(ToString::to_string);
                Some(cause.unwrap_or_else(|| "it was stopped".to_owned()))
            }
        };
        moved.extend(fails.and_then(|reason| self.unrelieved(&other, reason, now, out)));
        moved.extend(self.step_for(&serving, &other, Event::Stop, now, out));
    }

    /// Lets an event happen to who is beside the one that serves: for whoever is at work, else as [`Self::step_for`].
    fn step_beside(&mut self, other: &InstanceId, event: Event, now: Now, out: &mut Vec<Effect>) -> Vec<Moved> {
        match self.asking {
            Why::Unknown => self.step_for(&other.first(), other, event, now, out),
            _ => self.step(other, event, now, out).into_iter().collect(),
        }
    }

    /// Lets an event happen to who is beside the one that serves, for the same reason for which that is where it is: whoever asked
    /// for it may have gone, and the daemon been another.
    fn step_for(
        &mut self,
        serving: &InstanceId,
        other: &InstanceId,
        event: Event,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Vec<Moved> {
        let why = self.instance(serving).map(|instance| instance.why.clone());
        let why = why.filter(|why| *why != Why::Unknown).unwrap_or(Why::CutShort);
        let asking = std::mem::replace(&mut self.asking, why);
        let moved = self.step(other, event, now, out);
        self.asking = asking;
        moved.into_iter().collect()
    }

    /// From now on the slot's name is the other's.
    fn change_places(&mut self, id: &InstanceId, now: Now, out: &mut Vec<Effect>) -> Option<Moved> {
        let other = id.second();
        let app = self.apps.get_mut(&id.app)?;
        let mut relief = app.instances.remove(&other.slot)?;
        let Some(mut relieved) = app.instances.remove(&id.slot) else {
            app.instances.insert(other.slot, relief);
            return None;
        };
        std::mem::swap(&mut relieved.list_id, &mut relief.list_id);
        relief.machine.restarts = relieved.machine.restarts + 1;
        relief.machine.must_listen = false;
        let (before, after) = (relieved.machine.state.clone(), relief.machine.state.clone());
        if let (Some(launch), Some(from)) = (after.launch(), before.launch()) {
            out.push(Effect::TakeOver { launch, from });
        }
        let what = What::TookOver { pid: after.pid(), from: before.pid(), up: matches!(after, State::Online { .. }) };
        out.push(Effect::History(Box::new(Entry::of_instance(id, what, now))));
        for (id, instance) in [(id, relief), (&other, relieved)] {
            self.launches.extend(instance.machine.state.launch().map(|launch| (launch, id.clone())));
            self.restless.insert(instance.list_id, id.clone());
            self.apps.get_mut(&id.app)?.instances.insert(id.slot, instance);
        }
        self.enrol(&id.app);
        Some(Moved { instance: id.clone(), before, after, unrelieved: None })
    }

    /// Says why what was coming does not take over.
    fn unrelieved(&self, relief: &InstanceId, reason: String, now: Now, out: &mut Vec<Effect>) -> Option<Moved> {
        let id = relief.first();
        let app = self.apps.get(&id.app)?;
        let (serving, relief) = (app.instances.get(&id.slot)?, app.instances.get(&relief.slot)?);
        // What never ran has said nothing: the last lines there are another's.
        let ran = relief.started_at_ms.is_some();
        let error_log = match outputs(&app.record, first(id.slot), relief, &self.layout).1 {
            Output::File(path) if ran => Some(path),
            Output::File(_) | Output::Null => None,
        };
        let error_log_offset = relief.error_log_offset;
        let what = What::Unrelieved { reason: reason.clone(), error_log: error_log.clone(), error_log_offset };
        out.push(Effect::History(Box::new(Entry::of_instance(&id, what, now))));
        let state = serving.machine.state.clone();
        let unrelieved = Some(Unrelieved { reason, error_log, error_log_offset });
        Some(Moved { instance: id, before: state.clone(), after: state, unrelieved })
    }
}

fn is_coming(state: &State) -> bool {
    matches!(state, State::Launching { .. } | State::Starting { late: false, .. })
}
