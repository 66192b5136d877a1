use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Change, Plan, Reason, Step, words};

/// A plan that was shown and kept (`diff --out`), with what it takes to make it anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// Of this format: 1.
    pub version: u32,
    /// The config file, absolute.
    pub file: String,
    pub profile: Option<String>,
    pub only: Vec<String>,
    pub no_prune: bool,
    pub adopt: bool,
    pub allow_empty: bool,
    pub plan: Plan,
}

/// What has moved since a plan was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stale {
    pub app: String,
    /// None where the app itself came, went, or changed hands, or where it is its processes that moved.
    pub field: Option<String>,
    pub saved: Option<String>,
    pub now: Option<String>,
}

/// Whether a plan made now does the same to the apps that the saved one touches.
///
/// What a fresh plan would do to other apps does not count: [`restrict`] leaves it out.
///
/// # Errors
/// The first app and field that moved.
pub fn check_stale(saved: &Plan, now: &Plan) -> Result<(), Stale> {
    for step in saved.steps.iter().filter(|step| !step.is_keep()) {
        if saved.ecosystem != now.ecosystem {
            let (saved, now) = (saved.ecosystem.to_string(), now.ecosystem.to_string());
            let field = Some("ecosystem".to_owned());
            return Err(Stale { app: step.app.clone(), field, saved: Some(saved), now: Some(now) });
        }
        match now.steps.iter().find(|other| other.app == step.app) {
            Some(other) if same(step, other) => {}
            other => return Err(difference(step, other)),
        }
    }
    Ok(())
}

/// What is left of a fresh plan when only what a saved one does may be done.
#[must_use]
pub fn restrict(now: &Plan, saved: &Plan) -> Plan {
    let touched: BTreeSet<&str> =
        saved.steps.iter().filter(|step| !step.is_keep()).map(|step| step.app.as_str()).collect();
    let steps = now.steps.iter().map(|step| {
        if step.is_keep() {
            step.clone()
        } else if touched.contains(step.app.as_str()) {
            let mut step = step.clone();
            step.after.retain(|name| touched.contains(name.as_str()));
            step
        } else {
            Step::keep(&step.app, vec![Reason::LeftAlone])
        }
    });
    Plan { steps: steps.collect(), ..now.clone() }
}

/// Which other apps come first may differ: they are not what this step is about.
fn same(saved: &Step, now: &Step) -> bool {
    let Step { app, action, renamed_from, start, replace, remove, changes, reasons, after: _ } = saved;
    *app == now.app
        && *action == now.action
        && *renamed_from == now.renamed_from
        && *start == now.start
        && *replace == now.replace
        && *remove == now.remove
        && *changes == now.changes
        && *reasons == now.reasons
}

fn difference(saved: &Step, now: Option<&Step>) -> Stale {
    let moved = now.and_then(|now| moved_field(saved, now));
    moved.unwrap_or_else(|| Stale {
        app: saved.app.clone(),
        field: None,
        saved: Some(words::step(saved)),
        now: now.map(words::step),
    })
}

fn whole(change: Option<&Change>) -> String {
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
    change.map_or_else(|| "no change".to_owned(), |change| format!("{} -> {}", side(&change.old), side(&change.new)))
}

/// The first field whose change is not the saved one, with the side of it that moved: what the file says, else
/// what was applied before.
fn moved_field(saved: &Step, now: &Step) -> Option<Stale> {
    let find = |step: &Step, path: &str| step.changes.iter().find(|change| change.path == path).cloned();
    let text = |value: &Option<String>| Some(value.clone().unwrap_or_else(|| "not set".to_owned()));
    let paths = saved.changes.iter().chain(&now.changes).map(|change| change.path.as_str());
    for path in paths {
        let (was, is) = match (find(saved, path), find(now, path)) {
            (was, is) if was == is => continue,
            (Some(was), Some(is)) if was.new != is.new => (text(&was.new), text(&is.new)),
            (Some(was), Some(is)) => (text(&was.old), text(&is.old)),
            // Whether the file went back or somebody was faster cannot be told from here: what was planned can.
            (was, is) => (Some(whole(was.as_ref())), Some(whole(is.as_ref()))),
        };
        return Some(Stale { app: saved.app.clone(), field: Some(path.to_owned()), saved: was, now: is });
    }
    None
}
