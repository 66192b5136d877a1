//! What of the apps is not as it was applied.

use std::collections::{BTreeMap, BTreeSet};

use super::generation::{ByHand, Recalled};
use super::{Intent, State};
use crate::base::Key;
use crate::plan::{
    ActualApp, ByWhom, Change, Drift, DriftKind, Former, Formers, Generation, Liveness, Meant, Running, Snapshot,
    compare, differs_in_code_at_most,
};
use crate::spec::Field;

/// By hand, and by itself; in the order of the apps' names.
#[must_use]
pub fn of(snapshot: &Snapshot, now: &Formers, found: &Recalled, key: &Key) -> Vec<Drift> {
    let by_hand = |one: &ByHand| changed(one, now.get(&one.app), &found.generations, key);
    let mut drifts: Vec<Drift> = found.by_hand.iter().flat_map(by_hand).collect();
    for (name, app) in snapshot.apps.iter().filter(|(_, app)| app.ecosystem.is_some()) {
        let mut say = |slots: Vec<u32>, what: fn(Vec<u32>) -> DriftKind| {
            if !slots.is_empty() {
                drifts.push(Drift { app: name.clone(), ecosystem: app.ecosystem.clone(), what: what(slots), by: None });
            }
        };
        let slots = |wanted: &dyn Fn(&crate::plan::ActualInstance) -> bool| -> Vec<u32> {
            app.instances.iter().filter(|(_, instance)| wanted(instance)).map(|(slot, _)| *slot).collect()
        };
        say(slots(&|instance| instance.liveness == Liveness::Errored), |slots| DriftKind::GivenUp { slots });
        say(slots(&|instance| runs_another(app, instance)), |slots| DriftKind::EarlierVersion { slots });
    }
    drifts.sort_by(|a, b| a.app.cmp(&b.app));
    drifts
}

/// What should run and does not, where no daemon runs.
#[must_use]
pub fn down(snapshot: &Snapshot, state: &State) -> Vec<Drift> {
    let mut drifts = Vec::new();
    for (name, app) in snapshot.apps.iter().filter(|(_, app)| app.spec.schedule.is_none()) {
        let is_up = |slot: &u32| {
            let record = state.apps.get(name).and_then(|record| record.instances.get(slot));
            record.is_some_and(|record| record.intent == Intent::Up)
        };
        let down = app.instances.iter().filter(|(slot, one)| one.liveness == Liveness::Stopped && is_up(slot));
        let slots: Vec<u32> = down.map(|(slot, _)| *slot).collect();
        if !slots.is_empty() {
            let what = DriftKind::Down { slots };
            drifts.push(Drift { app: name.clone(), ecosystem: app.ecosystem.clone(), what, by: None });
        }
    }
    drifts
}

/// Whether what runs was started from something else than what was applied. Of its code only the disk says whether it is
/// another.
fn runs_another(app: &ActualApp, instance: &crate::plan::ActualInstance) -> bool {
    let same = instance.launched.as_ref().is_some_and(|launched| differs_in_code_at_most(launched, &app.spec));
    instance.liveness == Liveness::Up && app.spec.schedule.is_none() && !same
}

fn changed(by_hand: &ByHand, now: Option<&Former>, generations: &[Generation], key: &Key) -> Vec<Drift> {
    let ByHand { app, ecosystem, befores } = by_hand;
    let by = |number: Option<u64>| {
        let generation = generations.iter().find(|generation| Some(generation.number) == number)?;
        Some(ByWhom {
            generation: generation.number,
            at_ms: generation.at_ms,
            uid: generation.uid,
            command: generation.command.clone(),
        })
    };
    let drift = |what, number| Drift { app: app.clone(), ecosystem: ecosystem.clone(), what, by: by(number) };
    let Some(before) = befores.values().next() else { return Vec::new() };
    let Some(now) = now else {
        return vec![drift(DriftKind::Deleted, by_hand.culprit(None, |former| former.is_some()))];
    };
    let mut found = Vec::new();
    if now.slots.len() != before.slots.len() {
        let number = by_hand.culprit(Some(now), |former| former.map(|former| former.slots.len()));
        found.push(drift(DriftKind::Scaled { from: before.slots.len(), to: now.slots.len() }, number));
    }
    let options = |former: Option<&Former>| former.map(|former| differing(before, former));
    let changes: Vec<Change> =
        compare(&before.spec, &now.spec, key).into_iter().filter(|change| is_option(change.field)).collect();
    if !changes.is_empty() {
        let what = DriftKind::Changed { options: differing(before, now), changes };
        found.push(drift(what, by_hand.culprit(Some(now), options)));
    }
    let both = before.slots.iter().filter_map(|(slot, was)| Some((*slot, *was, *now.slots.get(slot)?)));
    // What one command has done is one line.
    let (mut stopped, mut started) = (BTreeMap::<_, Vec<u32>>::new(), BTreeMap::<_, Vec<u32>>::new());
    for (slot, was, is) in both {
        let runs = |former: Option<&Former>| Some(*former?.slots.get(&slot)? == Meant::Up);
        let number = || by_hand.culprit(Some(now), runs);
        match (was, is) {
            (Meant::Up, Meant::Stopped | Meant::Killed) => stopped.entry(number()).or_default().push(slot),
            (Meant::Stopped | Meant::Killed, Meant::Up) => started.entry(number()).or_default().push(slot),
            _ => {}
        }
    }
    found.extend(stopped.into_iter().map(|(number, slots)| drift(DriftKind::Stopped { slots }, number)));
    found.extend(started.into_iter().map(|(number, slots)| drift(DriftKind::Started { slots }, number)));
    found
}

/// The options that say something else, by their names in a file. How many instances there are is told apart, and code is
/// nobody's option.
fn differing(before: &Former, now: &Former) -> Vec<String> {
    // Nobody sees the values.
    let changes = compare(&before.spec, &now.spec, &Key([0; 32])).into_iter().map(|change| change.field);
    let options: BTreeSet<String> =
        changes.filter(|field| is_option(*field)).map(|field| field.option().to_owned()).collect();
    options.into_iter().collect()
}

fn is_option(field: Field) -> bool {
    !matches!(field, Field::Instances | Field::Code | Field::Fingerprint | Field::RenamedFrom)
}

/// What the processes of an app were started from.
#[must_use]
pub fn running(name: &str, app: &ActualApp, pids: &BTreeMap<u32, u32>) -> Vec<Running> {
    let of_slot = |(slot, pid): (&u32, &u32)| {
        let launched = app.instances.get(slot)?.launched.as_ref()?;
        Some(Running {
            app: name.to_owned(),
            slot: *slot,
            pid: *pid,
            ecosystem: app.ecosystem.clone(),
            cwd: launched.cwd.clone(),
            script: launched.script.clone(),
            code: launched.fingerprint.clone(),
            by: launched.fingerprint_by.clone(),
        })
    };
    pids.iter().filter_map(of_slot).collect()
}
