use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Action, Change, Plan, Reason, Refusal, Step, words};
use crate::base::{Key, keyed_checksum, keyed_digest};

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

/// What a home gives a plan that it made, so that it knows it again and sees every edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Stands for the home.
    pub home: String,
    pub checksum: String,
}

impl Seal {
    /// Of a plan's text.
    #[must_use]
    pub fn of(text: &str, key: &Key) -> Self {
        // What begins so is no value that a digest stands for elsewhere.
        let checksum = keyed_checksum(key, &format!("pmrun plan\0{text}"));
        Self { home: keyed_digest(key, "pmrun home\0"), checksum }
    }
}

/// What has moved since a plan was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stale {
    pub app: String,
    /// An option, a variable, a file of the code; `state` and `instances` of its processes; `ecosystem` where it
    /// changed hands, `app` where it came or went. None where no single thing can be named.
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
        if let Some(owner) = now.refusals.iter().find_map(|refusal| owner_now(refusal, &step.app)) {
            let (field, saved) = (Some("ecosystem".to_owned()), Some(saved.ecosystem.to_string()));
            return Err(Stale { app: step.app.clone(), field, saved, now: Some(owner) });
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

/// Which other apps come first may differ: they are not what this step is about. Nor is how long something was down meanwhile.
fn same(saved: &Step, now: &Step) -> bool {
    let Step {
        app,
        action,
        renamed_from,
        start,
        replace,
        overlaps,
        downtime: _,
        remove,
        stop,
        done,
        changes,
        reasons,
        after: _,
        follows,
    } = saved;
    *app == now.app
        && *action == now.action
        && *renamed_from == now.renamed_from
        && *start == now.start
        && *replace == now.replace
        && *overlaps == now.overlaps
        && *remove == now.remove
        && *stop == now.stop
        && *done == now.done
        && *changes == now.changes
        && *reasons == now.reasons
        && *follows == now.follows
}

/// Whose an app is that a plan made now may not touch.
fn owner_now(refusal: &Refusal, app: &str) -> Option<String> {
    match refusal {
        Refusal::OwnedByOther { app: named, owner } | Refusal::RenameForeign { app: named, owner, .. }
            if named == app =>
        {
            Some(owner.as_ref().map_or_else(|| "started by hand".to_owned(), ToString::to_string))
        }
        Refusal::OwnedByOther { .. } | Refusal::RenameForeign { .. } | Refusal::Empty | Refusal::RenameTaken { .. } => {
            None
        }
    }
}

fn difference(saved: &Step, now: Option<&Step>) -> Stale {
    let app = || saved.app.clone();
    let Some(now) = now else {
        let field = Some("app".to_owned());
        return Stale { app: app(), field, saved: Some("there".to_owned()), now: None };
    };
    moved_field(saved, now).or_else(|| moved_name(saved, now)).or_else(|| moved_state(saved, now)).unwrap_or_else(
        || Stale { app: app(), field: None, saved: Some(words::step(saved)), now: Some(words::step(now)) },
    )
}

fn moved_name(saved: &Step, now: &Step) -> Option<Stale> {
    let known = |step: &Step| step.renamed_from.clone().unwrap_or_else(|| step.app.clone());
    let found = |field: &str, saved_as, now_as| {
        let (app, field) = (saved.app.clone(), Some(field.to_owned()));
        Some(Stale { app, field, saved: Some(saved_as), now: Some(now_as) })
    };
    if known(saved) != known(now) {
        return found("name", known(saved), known(now));
    }
    let there = |step: &Step| if step.action == Action::Create { "new" } else { "known" };
    (there(saved) != there(now)).then(|| found("app", there(saved).to_owned(), there(now).to_owned())).flatten()
}

/// What is different about the processes: which there are, and how each is.
fn moved_state(saved: &Step, now: &Step) -> Option<Stale> {
    let found = |field: &str, was: &[String], is: &[String]| {
        let text = |values: &[String]| (!values.is_empty()).then(|| values.join(", "));
        Some(Stale { app: saved.app.clone(), field: Some(field.to_owned()), saved: text(was), now: text(is) })
    };
    let named = |slots: &[u32]| slots.iter().map(|slot| format!("{}:{slot}", saved.app)).collect::<Vec<_>>();
    if saved.action == Action::Delete && saved.remove != now.remove {
        return found("instances", &named(&saved.remove), &named(&now.remove));
    }
    let (before, after) = (States::of(saved), States::of(now));
    let slots: BTreeSet<u32> = before.slots.keys().chain(after.slots.keys()).copied().collect();
    let differing: Vec<u32> = slots.into_iter().filter(|slot| before.at(*slot) != after.at(*slot)).collect();
    if differing.is_empty() {
        return None;
    }
    let said = |states: &States| {
        let each = differing.iter().map(|slot| format!("{}:{slot} {}", saved.app, states.at(*slot)));
        each.collect::<Vec<_>>()
    };
    found("state", &said(&before), &said(&after))
}

/// How each slot is, as far as a step tells.
struct States {
    slots: BTreeMap<u32, &'static str>,
    others: &'static str,
}

impl States {
    fn of(step: &Step) -> Self {
        let mut slots = BTreeMap::new();
        slots.extend(step.start.iter().map(|slot| (*slot, "not there")));
        slots.extend(step.replace.iter().map(|slot| (*slot, "running")));
        slots.extend(step.remove.iter().map(|slot| (*slot, "there")));
        let mut others = "running";
        for reason in &step.reasons {
            let (of, state) = match reason {
                Reason::Stopped { slots } => (slots, "stopped"),
                Reason::Errored { slots } => (slots, "errored"),
                Reason::RunsEarlierVersion { slots } => (slots, "of an earlier version"),
                Reason::RunsOtherCode { slots, .. } => (slots, "running other code"),
                Reason::Scheduled | Reason::NotAutostarted | Reason::Completed => {
                    others = "not running";
                    continue;
                }
                _ => continue,
            };
            slots.extend(of.iter().map(|slot| (*slot, state)));
        }
        Self { slots, others }
    }

    fn at(&self, slot: u32) -> &'static str {
        self.slots.get(&slot).copied().unwrap_or(self.others)
    }
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
