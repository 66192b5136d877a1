use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::history::{Entry, What};
use super::table::{Ambient, Instance, Table};
use super::{AppRecord, Effect, InstanceRecord, Intent, Save};
use crate::base::{ExitStatus, InstanceId, Now};
use crate::plan::{Action, Meant, Step, process_visible_eq, spec_digest};
use crate::spec::{AppSpec, EcosystemId};
use crate::supervisor::{Event, Machine, State};

/// What a command wants of one app.
#[derive(Debug)]
pub(super) enum Aim {
    /// A step of a plan.
    Apply { step: Box<Step>, declared: Option<Declared> },
    /// These slots run; with `renew`, in processes that did not run before; `gently`, when those have finished what they are at.
    Up { slots: Vec<u32>, renew: bool, gently: bool },
    /// `by_kill`: with everything else.
    Stop { slots: Vec<u32>, by_kill: bool },
    /// These slots are gone, and the app with its last.
    Delete { slots: Vec<u32> },
    /// Nothing is changed, these slots are waited for: by what depends on them, or by who `asked` for them.
    Watch { slots: Vec<u32>, asked: bool },
}

/// What a file, or a hand, says of an app.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) ecosystem: Option<EcosystemId>,
    pub(super) file: Option<String>,
    pub(super) spec: Arc<AppSpec>,
    pub(super) ambient: Ambient,
    /// Where it is a generation that says it: the slots that the app has. A file says how many.
    pub(super) slots: Option<BTreeMap<u32, Meant>>,
    /// And how those ended that had done their work.
    pub(super) done: BTreeMap<u32, ExitStatus>,
}

/// An aim against what there is: what becomes durable, and what is then done to which slots.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) app: String,
    pub(super) renamed_from: Option<String>,
    /// Nobody knew the app.
    pub(super) is_new: bool,
    /// None deletes the app.
    pub(super) record: Option<AppRecord>,
    pub(super) ambient: Option<Ambient>,
    pub(super) stop: Vec<u32>,
    pub(super) start: Vec<u32>,
    /// One after the other, each when the one before is up.
    pub(super) replace: Vec<u32>,
    /// Neither saved nor done: only waited for.
    pub(super) watch: Vec<u32>,
}

impl Aim {
    /// Whether what depends on the app must not be begun when this fails.
    pub(super) fn brings_up(&self) -> bool {
        match self {
            Self::Apply { step, .. } => step.action != Action::Delete,
            Self::Up { .. } | Self::Watch { .. } => true,
            Self::Stop { .. } | Self::Delete { .. } => false,
        }
    }

    /// Whether a plan starts or replaces processes of the app.
    pub(super) fn applies_processes(&self) -> bool {
        matches!(self, Self::Apply { step, .. } if !(step.start.is_empty() && step.replace.is_empty()))
    }

    /// Whether nobody wants to hear of it.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self, Self::Watch { asked: false, .. })
    }

    /// What is to be done. `next_list_id` counts up by what is given out. None when there is no such app (any more).
    pub(super) fn work(&self, app: &str, table: &Table, next_list_id: &mut u32) -> Option<Work> {
        let work = Work { app: app.to_owned(), ..Work::default() };
        if let Self::Apply { step, declared } = self {
            return apply(work, step, declared.as_ref(), table, next_list_id);
        }
        let known = table.apps.get(app)?;
        let mut record = current(table, app)?;
        let there =
            |slots: &[u32]| slots.iter().copied().filter(|slot| known.record.instances.contains_key(slot)).collect();
        let ambient = Some(known.ambient.clone());
        Some(match self {
            Self::Apply { .. } => return None,
            Self::Up { slots, renew, gently: _ } => {
                let slots: Vec<u32> = there(slots);
                intend(&mut record, &slots, Intent::Up);
                // One that is just being stopped is started again like one that is: a rollout that is given up would
                // leave it stopped.
                let runs = |slot: &u32| {
                    let state = known.instances.get(slot).map(|instance| &instance.machine.state);
                    state.is_some_and(|state| !state.is_terminal() && !matches!(state, State::Stopping { .. }))
                };
                let (replace, start) = slots.into_iter().partition(|slot| *renew && runs(slot));
                Work { record: Some(record), ambient, start, replace, ..work }
            }
            Self::Stop { slots, by_kill } => {
                let slots: Vec<u32> = there(slots);
                for (_, instance) in record.instances.iter_mut().filter(|(slot, _)| slots.contains(slot)) {
                    instance.until_kill = *by_kill && instance.is_wanted();
                }
                // What a job has done stays done, whatever ends everything.
                let is_done = |slot: &u32| {
                    let intent = record.instances.get(slot).map(|instance| instance.intent);
                    *by_kill && matches!(intent, Some(Intent::Done { .. }))
                };
                let meant: Vec<u32> = slots.iter().copied().filter(|slot| !is_done(slot)).collect();
                intend(&mut record, &meant, Intent::Stopped);
                Work { record: Some(record), ambient, stop: slots, ..work }
            }
            Self::Delete { slots } => {
                let slots: Vec<u32> = there(slots);
                record.instances.retain(|slot, _| !slots.contains(slot));
                let record = (!record.instances.is_empty()).then_some(record);
                Work { record, ambient, stop: slots, ..work }
            }
            Self::Watch { slots, .. } => {
                Work { record: Some(known.record.clone()), ambient, watch: there(slots), ..work }
            }
        })
    }
}

impl Work {
    /// What must be durable before it is begun; nothing when it already is.
    pub(super) fn saves(&self, table: &Table, saves: &mut Vec<Save>) {
        if let Some(from) = &self.renamed_from {
            saves.push(Save::DeleteApp(from.clone()));
        }
        let known = table.apps.get(&self.app).filter(|app| !app.deleted);
        match &self.record {
            None if known.is_some() => saves.push(Save::DeleteApp(self.app.clone())),
            Some(record) if known.is_none_or(|app| app.unsaved || app.record != *record) => {
                let saved = |save: &Save| matches!(save, Save::Ambient(digest, _) if *digest == record.ambient);
                if let Some(ambient) = &self.ambient
                    && !table.refers_to(&record.ambient)
                    && !saves.iter().any(saved)
                {
                    saves.push(Save::Ambient(ambient.digest.clone(), Arc::clone(&ambient.variables)));
                }
                saves.push(Save::App(self.app.clone(), Box::new(record.clone())));
            }
            None | Some(_) => {}
        }
    }

    /// What becomes of the app as a whole.
    fn tell(&self, table: &Table, now: Now, out: &mut Vec<Effect>) {
        let mut say = |what| out.push(Effect::History(Box::new(Entry::of_app(&self.app, what, now))));
        let why = || table.asking.clone();
        if let Some(from) = &self.renamed_from {
            say(What::Renamed { from: from.clone(), why: why() });
        }
        let before = table.apps.get(self.renamed_from.as_ref().unwrap_or(&self.app)).filter(|app| !app.deleted);
        let count = |record: &AppRecord| record.instances.len();
        match (before.map(|app| count(&app.record)), self.record.as_ref().map(count)) {
            (None, Some(instances)) => say(What::Created { instances, why: why() }),
            (Some(_), None) => say(What::Deleted { why: why() }),
            (Some(from), Some(to)) if from != to => say(What::Scaled { from, to, why: why() }),
            _ => {}
        }
    }

    /// Makes the table say what is durable now. Starts and stops nothing.
    pub(super) fn install(&self, table: &mut Table, now: Now, out: &mut Vec<Effect>) {
        table.touched.insert(self.app.clone());
        self.write(table, now, out);
        table.enrol(&self.app);
    }

    fn write(&self, table: &mut Table, now: Now, out: &mut Vec<Effect>) {
        self.tell(table, now, out);
        if let Some(from) = &self.renamed_from {
            table.rename(from, &self.app);
            out.push(Effect::Rename { from: from.clone(), to: self.app.clone() });
        }
        let Some(record) = &self.record else {
            if let Some(app) = table.apps.get_mut(&self.app) {
                app.deleted = true;
            }
            let slots = table.apps.get(&self.app).map(|app| app.instances.keys().copied().collect::<Vec<_>>());
            for slot in slots.into_iter().flatten() {
                table.forget_if_gone(&InstanceId::new(&self.app, slot));
            }
            if table.apps.get(&self.app).is_some_and(|app| app.instances.is_empty()) {
                table.apps.remove(&self.app);
            }
            return;
        };
        let Some(ambient) = self.ambient.clone() else { return };
        let app = table.apps.entry(self.app.clone()).or_insert_with(|| super::table::App {
            record: record.clone(),
            ambient: ambient.clone(),
            instances: BTreeMap::new(),
            deleted: false,
            unsaved: false,
            agenda: None,
        });
        app.record = record.clone();
        app.ambient = ambient;
        app.deleted = false;
        app.unsaved = false;
        for (slot, instance) in &record.instances {
            let new = || Box::new(Instance::new(instance.id, Machine::new(Arc::clone(&record.spec))));
            app.instances.entry(*slot).or_insert_with(new).list_id = instance.id;
        }
        let slots: Vec<u32> = app.instances.keys().copied().collect();
        for slot in slots {
            // Changes rules only: no state is left.
            let id = InstanceId::new(&self.app, slot);
            let mut restless = None;
            if let Some(instance) = table.apps.get_mut(&self.app).and_then(|app| app.instances.get_mut(&slot)) {
                let launched = &mut instance.machine.launched;
                if launched.as_deref().is_some_and(|launched| keeps_its_code(launched, &record.spec)) {
                    *launched = Some(Arc::clone(&record.spec));
                    restless = instance.mark.is_some().then_some(instance.list_id);
                }
            }
            table.restless.extend(restless.map(|list_id| (list_id, id.clone())));
            table.feed(&id, Event::Policy(Arc::clone(&record.spec)), now, out);
        }
    }
}

fn apply(work: Work, step: &Step, declared: Option<&Declared>, table: &Table, next_list_id: &mut u32) -> Option<Work> {
    let Some(declared) = declared else {
        let stop = table.apps.get(&step.app)?.record.instances.keys().copied().collect();
        return Some(Work { stop, ..work });
    };
    let before = step.renamed_from.as_deref().unwrap_or(&step.app);
    let known = table.apps.get(before).filter(|app| !app.deleted);
    let starts_all = matches!(step.action, Action::Create | Action::Start | Action::Restart);
    // What is not started anew keeps the environment that it was started with.
    let ambient = match known {
        Some(app) if !starts_all => app.ambient.clone(),
        _ => declared.ambient.clone(),
    };
    let mut instances = known.and_then(|_| current(table, before)).map(|record| record.instances).unwrap_or_default();
    instances.retain(|slot, _| !step.remove.contains(slot));
    let mut slots: BTreeSet<u32> = step.start.iter().chain(&step.replace).copied().collect();
    match &declared.slots {
        Some(former) => slots.extend(former.keys()),
        None => slots.extend(0..declared.spec.instances),
    }
    for slot in slots {
        let instance = instances.entry(slot).or_insert_with(|| {
            let id = *next_list_id;
            *next_list_id += 1;
            Box::new(InstanceRecord::new(id, Intent::Stopped))
        });
        if step.start.contains(&slot) || step.replace.contains(&slot) {
            instance.intent = Intent::Up;
        }
        let meant = declared.slots.as_ref().and_then(|former| former.get(&slot));
        if let Some(meant @ (Meant::Stopped | Meant::Killed)) = meant {
            instance.intent = Intent::Stopped;
            instance.until_kill = *meant == Meant::Killed;
        }
        if let Some(status) = declared.done.get(&slot).filter(|_| step.done.contains(&slot)) {
            instance.intent = Intent::Done { status: *status };
        }
    }
    if step.renamed_from.is_some() {
        let held = table.apps.get(before);
        for (slot, instance) in &mut instances {
            let held =
                held.and_then(|app| app.instances.get(slot)).filter(|held| held.machine.state.launch().is_some());
            instance.launched_as = held.and_then(|held| held.launched_as.clone());
        }
    }
    for (slot, instance) in &mut instances {
        let held = table.apps.get(before).and_then(|app| app.instances.get(slot));
        let launched = held.and_then(|held| held.machine.launched.as_deref());
        let mark = held.and_then(|held| held.mark.as_ref());
        match launched.filter(|launched| keeps_its_code(launched, &declared.spec)) {
            // What an earlier change of this kind left holds on: the process is the same.
            Some(launched) if mark.is_none() => {
                _ = instance.launched_spec.get_or_insert_with(|| spec_digest(launched));
            }
            // It was found to run this already, whatever it is marked with.
            _ if mark.is_some() && launched.is_some_and(|launched| process_visible_eq(launched, &declared.spec)) => {
                instance.launched_spec = mark.cloned();
            }
            _ if launched.is_none_or(|launched| launched.fingerprint != declared.spec.fingerprint) => {
                instance.launched_spec = None;
            }
            _ => {}
        }
    }
    let record = AppRecord {
        ecosystem: declared.ecosystem.clone(),
        file: declared.file.clone(),
        spec: Arc::clone(&declared.spec),
        ambient: ambient.digest.clone(),
        instances,
    };
    Some(Work {
        renamed_from: step.renamed_from.clone(),
        is_new: known.is_none(),
        record: Some(record),
        ambient: Some(ambient),
        stop: step.remove.iter().chain(&step.stop).chain(&step.done).copied().collect(),
        start: step.start.clone(),
        replace: step.replace.clone(),
        ..work
    })
}

/// Whether only what stands for the code differs, and not what a process sees.
fn keeps_its_code(launched: &AppSpec, spec: &AppSpec) -> bool {
    launched.fingerprint != spec.fingerprint && process_visible_eq(launched, spec)
}

/// The record as it is, less names that processes no longer have.
fn current(table: &Table, app: &str) -> Option<AppRecord> {
    let known = table.apps.get(app).filter(|app| !app.deleted)?;
    let mut record = known.record.clone();
    for (slot, instance) in &mut record.instances {
        let launched_as = known.instances.get(slot).and_then(|held| held.launched_as.as_deref());
        if instance.launched_as.is_some() && launched_as == Some(app) {
            instance.launched_as = None;
        }
    }
    Some(record)
}

fn intend(record: &mut AppRecord, slots: &[u32], intent: Intent) {
    for slot in slots {
        if let Some(instance) = record.instances.get_mut(slot) {
            instance.intent = intent;
        }
    }
}
