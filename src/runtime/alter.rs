//! Apps that somebody wants otherwise than they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::AppRecord;
use super::operation::{Afterwards, Caller, Operation, Rigour};
use super::request::{Begun, ByApp, add_step};
use super::table::{Ambient, Table};
use super::work::Declared;
use crate::base::{Key, shell_word};
use crate::plan::{Action, EVERYTHING, Plan, Snapshot, altered, note_followers};
use crate::rpc::wire::{Alter, Answer};
use crate::spec::EcosystemId;

/// Each app goes on being its file's.
pub(super) fn alter(
    wanted: Alter,
    named: &ByApp,
    caller: Caller,
    table: &Table,
    snapshot: &Snapshot,
    key: &Key,
) -> Result<Begun, Answer> {
    let Alter { apps, targets: _, renew, ambient } = wanted;
    let ambient = ambient.map(|ambient| table.shared(Ambient::new(ambient)));
    let mut operation = Operation::new(caller, Rigour::Strict, Afterwards::GoOn);
    let mut steps = Vec::with_capacity(apps.len());
    let mut declarations = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for app in apps {
        let (name, mut spec) = (app.name, app.spec);
        let (Some(known), Some(actual)) = (table.apps.get(&name).filter(|app| !app.deleted), snapshot.apps.get(&name))
        else {
            return Err(Answer::UnknownTarget { target: name, suggestion: None, problem: None });
        };
        let is_taken = spec.name != name && table.apps.get(&spec.name).is_some_and(|app| !app.deleted);
        if is_taken || !taken.insert(spec.name.clone()) {
            return Err(Answer::Error {
                message: format!("there is an app `{}` already: nothing was changed", spec.name),
                hint: Some(format!(
                    "give another name with --name, or delete it first: pmrun delete {}",
                    shell_word(&spec.name)
                )),
            });
        }
        // What runs is as it was read; how many there are may have changed since.
        if spec.instances == known.record.spec.instances {
            spec.instances = u32::try_from(known.record.instances.len()).unwrap_or(spec.instances).max(1);
        }
        let slots = named.get(&name).map(Vec::as_slice).unwrap_or_default();
        let step = altered(&spec, actual, &name, slots, renew, key);
        let AppRecord { ecosystem, file, .. } = known.record.clone();
        let ambient = ambient.clone().unwrap_or_else(|| known.ambient.clone());
        let (spec, slots, done) = (Arc::new(spec), None, BTreeMap::new());
        declarations.insert(step.app.clone(), Declared { ecosystem, file, spec, ambient, slots, done });
        steps.push(step);
    }
    let ecosystem = EcosystemId(EVERYTHING.to_owned());
    let mut plan = Plan { ecosystem, generation: snapshot.generation, steps, refusals: Vec::new() };
    note_followers(&mut plan, snapshot);
    for step in plan.steps.iter().filter(|step| step.action != Action::Keep) {
        add_step(&mut operation, step, declarations.remove(&step.app), table);
    }
    Ok(Begun { operation, first: Some(Answer::Begun { plan: Box::new(plan) }) })
}
