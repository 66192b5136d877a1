use serde_json::{Value, json};

use super::Origin;
use crate::plan::{Change, Plan, Step, words};

/// For programs: the format of `schema/plan.schema.json`, version 1. Every key is always there.
#[must_use]
pub fn render_json(plan: &Plan, origin: Origin<'_>) -> Value {
    let Plan { ecosystem, generation, steps, refusals } = plan;
    let refusals: Vec<Value> = refusals
        .iter()
        .map(|refusal| {
            let mut value = json!(refusal);
            value["message"] = json!(refusal.to_string());
            value
        })
        .collect();
    json!({
        "version": 1,
        "ecosystem": ecosystem,
        "generation": generation,
        "counts": plan.counts(),
        "steps": steps.iter().map(|step| self::step(plan, step, origin)).collect::<Vec<_>>(),
        "refusals": refusals,
    })
}

fn step(plan: &Plan, whole: &Step, origin: Origin<'_>) -> Value {
    let Step {
        app,
        action,
        renamed_from,
        start,
        replace,
        overlaps,
        downtime,
        remove,
        stop,
        done,
        changes,
        reasons,
        after,
        follows,
    } = whole;
    json!({
        "app": app,
        "summary": words::summary(whole),
        "action": action,
        "cause": plan.cause(whole),
        "renamed_from": renamed_from,
        "start": start,
        "replace": replace,
        "overlaps": overlaps,
        "downtime": downtime,
        "remove": remove,
        "stop": stop,
        "done": done,
        "changes": changes.iter().map(|change| self::change(whole, change, origin)).collect::<Vec<_>>(),
        "reasons": reasons,
        "after": after,
        "follows": follows,
    })
}

fn change(step: &Step, change: &Change, origin: Origin<'_>) -> Value {
    let Change { field, path, old, new, impact } = change;
    json!({
        "field": field,
        "path": path,
        "old": old,
        "new": new,
        "impact": impact,
        "why": words::why(change, step),
        "origin": super::place(change, step, origin),
    })
}
