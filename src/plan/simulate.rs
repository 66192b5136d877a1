//! What executing a plan comes to, for tests: every process that is started comes up.

use std::sync::Arc;

use super::{ActualApp, ActualInstance, Liveness, Plan, Snapshot, Step, process_visible_eq};
use crate::graph::Graph;

/// The first `count` steps of a plan, done.
pub(super) fn apply(plan: &Plan, count: usize, before: &Snapshot, graph: &Graph) -> Snapshot {
    let mut after = before.clone();
    for step in plan.steps.iter().take(count).filter(|step| !step.is_keep()) {
        perform(step, plan, graph, &mut after, true);
        after.generation += 1;
    }
    after
}

/// A step that broke off as soon as it was on record what should run.
pub(super) fn begin(plan: &Plan, index: usize, before: &Snapshot, graph: &Graph) -> Snapshot {
    let mut after = before.clone();
    if let Some(step) = plan.steps.get(index).filter(|step| !step.is_keep()) {
        perform(step, plan, graph, &mut after, false);
    }
    after
}

fn perform(step: &Step, plan: &Plan, graph: &Graph, state: &mut Snapshot, wholly: bool) {
    let known = state.apps.remove(step.renamed_from.as_ref().unwrap_or(&step.app));
    let Some(spec) = graph.apps.iter().find(|app| app.name == step.app) else {
        return;
    };
    let spec = Arc::new(spec.clone());
    let mut instances = known.map(|app| app.instances).unwrap_or_default();
    for instance in instances.values_mut() {
        let launched = instance.launched.as_deref();
        if launched.is_some_and(|launched| process_visible_eq(launched, &spec)) {
            instance.launched = Some(Arc::clone(&spec));
        }
    }
    if wholly {
        for slot in step.start.iter().chain(&step.replace) {
            instances.insert(*slot, ActualInstance { liveness: Liveness::Up, launched: Some(Arc::clone(&spec)) });
        }
        for slot in &step.remove {
            instances.remove(slot);
        }
        for slot in 0..spec.instances {
            instances.entry(slot).or_insert(ActualInstance { liveness: Liveness::Stopped, launched: None });
        }
    }
    state.apps.insert(
        step.app.clone(),
        ActualApp { ecosystem: Some(plan.ecosystem.clone()), file: None, spec, instances, downtime_ms: None },
    );
}
