use std::collections::BTreeSet;
use std::sync::Arc;

use super::{
    Action, ActualApp, Change, Downtime, Liveness, Reason, Step, compare, differs_in_code_at_most, process_visible_eq,
};
use crate::base::Key;
use crate::spec::{AppSpec, Field, Fingerprint, Impact};

/// What is known about an app that the file has.
pub(super) struct Known<'a> {
    pub(super) actual: &'a ActualApp,
    /// It is known under this name, and renamed by this plan.
    pub(super) renamed_from: Option<&'a str>,
    /// It is another's, and taken over by this plan.
    pub(super) adopted: bool,
}

/// What makes a known app as it is declared.
///
/// A process is replaced when what it was started from differs in something that it sees; what was last applied does
/// not matter for that, so an apply that broke off half way is completed by the next.
pub(super) fn existing(app: &AppSpec, known: &Known<'_>, key: &Key) -> Step {
    let moves = known.renamed_from.is_some() || known.adopted;
    if !moves && is_settled(app, known.actual) {
        return Step::keep(&app.name, vec![Reason::Unchanged]);
    }
    let changes = shown_changes(app, known, key);
    let slots = Slots::of(app, known.actual);
    let action = action(&changes, &slots, known);
    let reasons = reasons(app, &changes, &slots, known);
    if action == Action::Keep {
        return Step::keep(&app.name, reasons);
    }
    Step {
        action,
        renamed_from: known.renamed_from.map(str::to_owned),
        start: slots.start(),
        overlaps: slots.overlaps(known.actual, app),
        downtime: slots.downtime(known.actual, app),
        replace: slots.replace,
        remove: slots.remove,
        changes,
        ..Step::keep(&app.name, reasons)
    }
}

/// Every field that differs and that something follows from.
pub(super) fn shown_changes(app: &AppSpec, known: &Known<'_>, key: &Key) -> Vec<Change> {
    let follows = |change: &Change| change.impact > Impact::None || change.field == Field::Name;
    compare(&known.actual.spec, app, key).into_iter().filter(follows).collect()
}

/// The usual case, found without allocating: everything as declared and up.
fn is_settled(app: &AppSpec, actual: &ActualApp) -> bool {
    let as_declared =
        |launched: &Arc<AppSpec>| Arc::ptr_eq(launched, &actual.spec) || process_visible_eq(launched, app);
    *actual.spec == *app
        && actual.instances.len() == app.instances as usize
        && actual.instances.iter().zip(0..).all(|((slot, instance), expected)| {
            *slot == expected
                && instance.liveness == Liveness::Up
                && instance.launched.as_ref().is_some_and(as_declared)
        })
}

/// What is to be done about each slot, by the reason for it; each list in order.
#[derive(Default)]
pub(super) struct Slots {
    /// How many there are.
    pub(super) count: u32,
    pub(super) replace: Vec<u32>,
    /// Those of `replace` whose process was behind before the file changed.
    pub(super) outdated: Vec<u32>,
    /// Those of `replace` and `rerun` whose process ran other code than was applied, and than there is now; and in which files.
    pub(super) recoded: Vec<u32>,
    pub(super) files: BTreeSet<String>,
    pub(super) remove: Vec<u32>,
    pub(super) stopped: Vec<u32>,
    pub(super) errored: Vec<u32>,
    /// Done with an earlier version.
    pub(super) rerun: Vec<u32>,
    /// Slots that the app did not have.
    pub(super) added: Vec<u32>,
    /// Of `added`, those that get a process.
    pub(super) started: Vec<u32>,
    /// Not running, and `autostart: false` leaves it so.
    pub(super) idle: bool,
    /// Done, and nothing changed.
    pub(super) completed: bool,
}

impl Slots {
    fn of(app: &AppSpec, actual: &ActualApp) -> Self {
        let mut slots = Self { count: u32::try_from(actual.instances.len()).unwrap_or(u32::MAX), ..Self::default() };
        slots.remove = actual.instances.keys().copied().filter(|slot| *slot >= app.instances).collect();
        for (&slot, instance) in actual.instances.range(..app.instances) {
            let launched = instance.launched.as_deref();
            // A job that goes on is let go on: the next run is by what holds then.
            let current =
                |known: &AppSpec| known.schedule.is_some() && app.schedule.is_some() || process_visible_eq(known, app);
            match instance.liveness {
                Liveness::Up if launched.is_some_and(current) => {}
                Liveness::Up => {
                    slots.replace.push(slot);
                    slots.note_behind(slot, launched, &actual.spec, app);
                }
                // One that is to be started again from now on is: the new policy only acts when something ends.
                Liveness::Completed
                    if current(launched.unwrap_or(&actual.spec)) && (actual.spec.restart.auto || !app.restart.auto) =>
                {
                    slots.completed = true;
                }
                _ if !app.autostart => slots.idle = true,
                Liveness::Completed => {
                    slots.rerun.push(slot);
                    slots.note_other_code(slot, launched, &actual.spec, app);
                }
                Liveness::Stopped => slots.stopped.push(slot),
                Liveness::Errored => slots.errored.push(slot),
            }
        }
        slots.added = (0..app.instances).filter(|slot| !actual.instances.contains_key(slot)).collect();
        // An app that is not started by itself but runs is scaled as it runs.
        let runs = actual.instances.values().any(|instance| instance.liveness == Liveness::Up);
        if app.autostart || runs {
            slots.started.clone_from(&slots.added);
        } else if !slots.added.is_empty() {
            slots.idle = true;
        }
        slots
    }

    /// Why the process of a slot is replaced, where that is not only for what changes between what was applied and what is to
    /// be.
    pub(super) fn note_behind(&mut self, slot: u32, launched: Option<&AppSpec>, was: &AppSpec, is: &AppSpec) {
        if launched.is_none_or(|launched| !differs_in_code_at_most(launched, was)) {
            self.outdated.push(slot);
        } else {
            self.note_other_code(slot, launched, was, is);
        }
    }

    /// Where it is what there is now, it is replaced for another reason.
    pub(super) fn note_other_code(&mut self, slot: u32, launched: Option<&AppSpec>, was: &AppSpec, is: &AppSpec) {
        let only_in_code =
            |launched: &&AppSpec| differs_in_code_at_most(launched, was) && !process_visible_eq(launched, was);
        let Some(launched) = launched.filter(only_in_code) else { return };
        let files = Fingerprint::changed(launched, is);
        if !files.is_empty() {
            self.recoded.push(slot);
            self.files.extend(files.into_iter().map(|(file, ..)| file.to_owned()));
        }
    }

    pub(super) fn start(&self) -> Vec<u32> {
        let mut start = [&self.stopped[..], &self.errored, &self.rerun, &self.started].concat();
        start.sort_unstable();
        start
    }

    /// Whether every process that is replaced is relieved by what is started from `app`.
    pub(super) fn overlaps(&self, actual: &ActualApp, app: &AppSpec) -> bool {
        let runs = |slot| actual.instances.get(slot).and_then(|instance| instance.launched.as_deref());
        let is_relieved = |slot| runs(slot).unwrap_or(&actual.spec).can_be_relieved_by(app);
        !self.replace.is_empty() && self.replace.iter().all(is_relieved)
    }

    pub(super) fn downtime(&self, actual: &ActualApp, app: &AppSpec) -> Option<Downtime> {
        let remedy = app.downtime_remedy().map(str::to_owned);
        let is_down = !self.replace.is_empty() && !self.overlaps(actual, app);
        is_down.then_some(Downtime { last_ms: actual.downtime_ms, remedy })
    }

    fn starts_again(&self) -> bool {
        !(self.stopped.is_empty() && self.errored.is_empty() && self.rerun.is_empty())
    }

    fn scales(&self) -> bool {
        !(self.added.is_empty() && self.remove.is_empty())
    }
}

/// The strongest thing that happens.
pub(super) fn action(changes: &[Change], slots: &Slots, known: &Known<'_>) -> Action {
    if !slots.replace.is_empty() {
        Action::Restart
    } else if slots.starts_again() {
        Action::Start
    } else if slots.scales() {
        Action::Scale
    } else if known.adopted || changes.iter().any(|change| change.impact > Impact::None) {
        Action::Update
    } else if known.renamed_from.is_some() {
        Action::Rename
    } else {
        Action::Keep
    }
}

pub(super) fn reasons(app: &AppSpec, changes: &[Change], slots: &Slots, known: &Known<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    reasons.extend(known.renamed_from.map(|from| Reason::Renamed { from: from.to_owned() }));
    reasons.extend(known.adopted.then(|| Reason::Adopted { from: known.actual.ecosystem.clone() }));
    reasons.extend(changes.iter().filter_map(|change| changed(change, slots)));
    let kept = slots.count.saturating_sub(u32::try_from(slots.remove.len()).unwrap_or(u32::MAX));
    if !slots.remove.is_empty() {
        reasons.push(Reason::ScaledDown { from: slots.count, to: kept });
    }
    if !slots.added.is_empty() {
        let added = u32::try_from(slots.added.len()).unwrap_or(u32::MAX);
        reasons.push(Reason::ScaledUp { from: kept, to: kept.saturating_add(added) });
    }
    let mut push = |slots: &Vec<u32>, reason: fn(Vec<u32>) -> Reason| {
        if !slots.is_empty() {
            reasons.push(reason(slots.clone()));
        }
    };
    push(&slots.stopped, |slots| Reason::Stopped { slots });
    push(&slots.errored, |slots| Reason::Errored { slots });
    push(&slots.outdated, |slots| Reason::RunsEarlierVersion { slots });
    let rerun = slots.rerun.iter().copied().filter(|slot| !slots.recoded.contains(slot)).collect();
    push(&rerun, |slots| Reason::RunsEarlierVersion { slots });
    if !slots.recoded.is_empty() {
        let files = slots.files.iter().cloned().collect();
        reasons.push(Reason::RunsOtherCode { slots: slots.recoded.clone(), files });
    }
    if slots.idle {
        reasons.push(Reason::NotAutostarted);
    }
    if slots.completed {
        reasons.push(Reason::Completed);
    }
    if app.schedule.is_some() && !changes.is_empty() {
        reasons.push(Reason::Scheduled);
    }
    if reasons.is_empty() {
        reasons.push(Reason::Unchanged);
    }
    reasons
}

/// None for what another reason says.
fn changed(change: &Change, slots: &Slots) -> Option<Reason> {
    match change.field {
        Field::Name => None,
        Field::Instances if slots.scales() => None,
        Field::Code => {
            Some(Reason::CodeChanged { file: change.path.strip_prefix("code.").unwrap_or(&change.path).to_owned() })
        }
        _ => Some(Reason::Changed { path: change.path.clone(), impact: change.impact }),
    }
}
