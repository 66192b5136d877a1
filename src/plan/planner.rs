use std::collections::{BTreeMap, BTreeSet};

use super::existing::{Known, existing};
use super::order::ordered;
use super::{
    Action, ActualApp, Change, Liveness, Plan, PlanPolicy, Reason, Refusal, Snapshot, Step, compare, note_followers,
};
use crate::base::Key;
use crate::graph::{Graph, Selection};
use crate::spec::{AppSpec, Impact};

/// What must happen so that the ecosystem's apps are as the graph says.
///
/// Apps that are not selected, and those of other ecosystems, have no step. A plan with refusals has no steps.
#[must_use]
pub fn plan(desired: &Graph, actual: &Snapshot, policy: &PlanPolicy) -> Plan {
    let wanted: BTreeMap<&str, &AppSpec> = desired
        .apps
        .iter()
        .filter(|app| policy.selection.contains(&app.name))
        .map(|app| (app.name.as_str(), app))
        .collect();
    let mut refusals = Vec::new();
    if desired.apps.is_empty() && !policy.allow_empty {
        refusals.push(Refusal::Empty);
    }
    let renames = renames(&wanted, desired, actual, policy.adopt, &mut refusals);
    if !policy.adopt {
        refuse_foreign(&wanted, desired, actual, &mut refusals);
    }
    let steps = if refusals.is_empty() {
        let mut steps = gone(desired, actual, policy, &renames);
        let ending = ending(&steps, actual);
        steps.extend(declared(&wanted, desired, actual, policy, &renames));
        begin_after(&mut steps, &ending);
        steps
    } else {
        Vec::new()
    };
    let mut plan = Plan { ecosystem: desired.ecosystem.clone(), generation: actual.generation, steps, refusals };
    note_followers(&mut plan, actual);
    plan
}

/// New names to old ones, for the apps that take over what runs under another name.
///
/// `renamed_from` counts while the new name is unknown, the old one is known, and the file no longer has that.
/// Otherwise it says nothing: the rename has happened, or both names are apps of their own (refusing these would
/// refuse what an apply of this very file leaves when it breaks off after the first of them).
/// Two apps that both want what runs under the old name are refused, and so is one that wants what is not this
/// ecosystem's, unless that is taken over.
fn renames<'a>(
    wanted: &BTreeMap<&'a str, &'a AppSpec>,
    desired: &Graph,
    actual: &Snapshot,
    adopt: bool,
    refusals: &mut Vec<Refusal>,
) -> BTreeMap<&'a str, &'a str> {
    let mut renames = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (name, app) in wanted {
        let Some(from) = app.renamed_from.as_deref() else { continue };
        let Some(known) = actual.apps.get(from) else { continue };
        if actual.apps.contains_key(*name) || desired.apps.iter().any(|other| other.name == from) {
            continue;
        }
        if !adopt && known.ecosystem.as_ref() != Some(&desired.ecosystem) {
            let (app, from, owner) = ((*name).to_owned(), from.to_owned(), known.ecosystem.clone());
            refusals.push(Refusal::RenameForeign { app, from, owner });
        } else if taken.insert(from) {
            renames.insert(*name, from);
        } else {
            refusals.push(Refusal::RenameTaken { app: (*name).to_owned(), from: from.to_owned() });
        }
    }
    renames
}

fn refuse_foreign(wanted: &BTreeMap<&str, &AppSpec>, desired: &Graph, actual: &Snapshot, refusals: &mut Vec<Refusal>) {
    let foreign = wanted.keys().filter_map(|name| {
        let owner = &actual.apps.get(*name)?.ecosystem;
        (owner.as_ref() != Some(&desired.ecosystem))
            .then(|| Refusal::OwnedByOther { app: (*name).to_owned(), owner: owner.clone() })
    });
    refusals.extend(foreign);
}

/// Apps of this ecosystem that the file no longer has: deleted, those that need others first.
fn gone(desired: &Graph, actual: &Snapshot, policy: &PlanPolicy, renames: &BTreeMap<&str, &str>) -> Vec<Step> {
    if policy.selection != Selection::All {
        return Vec::new();
    }
    let stays: BTreeSet<&str> =
        desired.apps.iter().map(|app| app.name.as_str()).chain(renames.values().copied()).collect();
    let gone: BTreeMap<&str, &ActualApp> = actual
        .apps
        .iter()
        .filter(|(name, app)| app.ecosystem.as_ref() == Some(&desired.ecosystem) && !stays.contains(name.as_str()))
        .map(|(name, app)| (name.as_str(), app))
        .collect();
    if !policy.prune {
        return gone.keys().map(|name| Step::keep(name, vec![Reason::LeftAlone])).collect();
    }
    let mut dependents: BTreeMap<&str, Vec<&str>> = gone.keys().map(|name| (*name, Vec::new())).collect();
    for (name, app) in &gone {
        for need in &app.spec.depends_on {
            if let Some(dependents) = dependents.get_mut(need.as_str()) {
                dependents.push(name);
            }
        }
    }
    let mut done = BTreeSet::new();
    let mut steps = Vec::with_capacity(gone.len());
    for name in ordered(&dependents) {
        let after = dependents[name].iter().filter(|dependent| done.contains(*dependent));
        steps.push(Step::delete(name, gone[name], &desired.file, after.map(|name| (*name).to_owned()).collect()));
        done.insert(name);
    }
    steps
}

/// What runs and is deleted.
pub(super) fn ending(gone: &[Step], actual: &Snapshot) -> Vec<String> {
    let runs = |step: &&Step| {
        let instances = actual.apps.get(&step.app).map(|app| app.instances.values()).into_iter().flatten();
        step.action == Action::Delete && instances.into_iter().any(|instance| instance.liveness == Liveness::Up)
    };
    gone.iter().filter(runs).map(|step| step.app.clone()).collect()
}

/// What is started may be what is deleted under another name, or listen where that does, and would find its port taken until that
/// has ended.
pub(super) fn begin_after(steps: &mut [Step], ending: &[String]) {
    for step in steps.iter_mut().filter(|step| !step.start.is_empty() || !step.replace.is_empty()) {
        step.after.extend_from_slice(ending);
    }
}

/// The selected apps of the file, each after what it depends on.
fn declared(
    wanted: &BTreeMap<&str, &AppSpec>,
    desired: &Graph,
    actual: &Snapshot,
    policy: &PlanPolicy,
    renames: &BTreeMap<&str, &str>,
) -> Vec<Step> {
    let needs: BTreeMap<&str, Vec<&str>> =
        wanted.iter().map(|(name, app)| (*name, app.depends_on.iter().map(String::as_str).collect())).collect();
    let mut acting = BTreeSet::new();
    let mut steps = Vec::with_capacity(wanted.len());
    for name in ordered(&needs) {
        let app = wanted[name];
        let renamed_from = renames.get(name).copied();
        let mut step = match actual.apps.get(renamed_from.unwrap_or(name)) {
            Some(actual) => {
                let adopted = actual.ecosystem.as_ref() != Some(&desired.ecosystem);
                existing(app, &Known { actual, renamed_from, adopted }, &policy.key)
            }
            None => create(app, &policy.key),
        };
        if !step.is_keep() {
            step.after = app.depends_on.iter().filter(|need| acting.contains(need.as_str())).cloned().collect();
            acting.insert(name);
        }
        steps.push(step);
    }
    steps
}

fn create(app: &AppSpec, key: &Key) -> Step {
    let start = if app.autostart { (0..app.instances).collect() } else { Vec::new() };
    let mut reasons = vec![Reason::NewInFile];
    if !app.autostart {
        reasons.push(Reason::NotAutostarted);
    } else if app.schedule.is_some() {
        reasons.push(Reason::Scheduled);
    }
    Step { start, changes: declarations(app, key), ..Step::create(&app.name, reasons) }
}

/// What a new app says beyond the defaults, so that a saved plan notices when any of it moves.
pub(super) fn declarations(app: &AppSpec, key: &Key) -> Vec<Change> {
    compare(&AppSpec::new(app.name.clone(), "", ""), app, key)
        .into_iter()
        .filter(|change| change.impact > Impact::None)
        .map(|change| Change { old: None, ..change })
        .collect()
}
