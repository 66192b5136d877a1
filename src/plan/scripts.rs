//! Stories about plans: `fixtures/plan/*.txt` say what is declared, what runs and what is done, the snapshots beside
//! them say what comes of it. `INSTA_UPDATE=always cargo test` accepts what has changed.
//!
//! ```text
//! # why this story is told
//! //- desired            apps as parts of an `AppSpec`, in JSON5; script and cwd have defaults
//! //- actual             apps likewise, and `owner`, `slots` (up, recoded, stopped, completed, redone, errored, behind, adopted)
//! $ plan [--only a,b] [--no-prune] [--adopt] [--allow-empty] [--ascii]
//! $ apply [N]            the first N steps of the last plan, or all
//! $ break N              step N of the last plan breaks off when it has hardly begun
//! $ stop|fail|complete api:0
//! $ save                 keeps the last plan
//! $ check                compares it with a fresh one; prints what is left of that
//! ```

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

use super::render::tests::golden;
use super::{
    ActualApp, ActualInstance, Liveness, Plan, PlanPolicy, Snapshot, Style, check_stale, plan, render_text, restrict,
    simulate,
};
use crate::base::{InstanceId, Key};
use crate::graph::{Graph, Selection};
use crate::spec::{AppSpec, EcosystemId};

macro_rules! stories {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name), include_str!(concat!("../../fixtures/plan/", stringify!($name), ".txt")));
        }
    )*};
}

stories! {
    adoption
    autostart
    code
    convergence
    creation
    deletion
    editing
    empty
    ends
    names
    ownership
    rename
    scale
    secrets
    selection
    stale
}

fn check(name: &str, script: &str) {
    golden(name, &Story::default().tell(script));
}

struct Story {
    desired: Graph,
    actual: Snapshot,
    plan: Option<Plan>,
    saved: Option<Plan>,
    policy: PlanPolicy,
}

impl Default for Story {
    fn default() -> Self {
        let ecosystem = EcosystemId("shop".to_owned());
        Self {
            desired: Graph {
                ecosystem,
                file: "ecosystem.json5".to_owned(),
                profile: None,
                apps: Vec::new(),
                deploy: None,
            },
            actual: Snapshot { generation: 7, ..Snapshot::default() },
            plan: None,
            saved: None,
            policy: PlanPolicy::new(Key([1; 32])),
        }
    }
}

impl Story {
    fn tell(mut self, script: &str) -> String {
        let mut out = String::new();
        let mut lines = script.lines().peekable();
        while let Some(line) = lines.next() {
            let _ = writeln!(out, "{line}");
            if let Some(section) = line.strip_prefix("//- ") {
                let mut body = String::new();
                while let Some(line) = lines.next_if(|line| !line.starts_with(['$', '#']) && !line.starts_with("//-")) {
                    let _ = writeln!(out, "{line}");
                    let _ = writeln!(body, "{line}");
                }
                self.section(section, &body);
            } else if let Some(command) = line.strip_prefix("$ ") {
                out.push_str(&self.command(command));
            }
        }
        out
    }

    fn section(&mut self, name: &str, body: &str) {
        let apps: Vec<Value> = json5::from_str(body).unwrap();
        match name {
            "desired" => self.desired.apps = apps.into_iter().map(|app| spec(app).0).collect(),
            "actual" => self.actual.apps = apps.into_iter().map(|app| self.known(app)).collect(),
            _ => panic!("no section {name}"),
        }
    }

    fn known(&self, value: Value) -> (String, ActualApp) {
        let (spec, extra) = spec(value);
        let spec = Arc::new(spec);
        let owner = extra.get("owner").cloned().unwrap_or_else(|| Value::from(self.desired.ecosystem.0.clone()));
        let all_up = || vec!["up".to_owned(); spec.instances as usize];
        let slots = extra.get("slots").map_or_else(all_up, |slots| serde_json::from_value(slots.clone()).unwrap());
        let instances = slots.iter().map(|state| instance(state, &spec));
        let app = ActualApp {
            file: None,
            ecosystem: owner.as_str().map(|owner| EcosystemId(owner.to_owned())),
            instances: (0..).zip(instances).collect(),
            spec: Arc::clone(&spec),
            downtime_ms: None,
        };
        (spec.name.clone(), app)
    }

    fn command(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |default| words.get(1).map_or(default, |word| word.parse().unwrap());
        let last = self.plan.clone().unwrap_or_else(|| plan(&self.desired, &self.actual, &self.policy));
        match words[0] {
            "plan" => return self.make_plan(&words[1..]),
            "apply" => self.actual = simulate::apply(&last, number(usize::MAX), &self.actual, &self.desired),
            "break" => self.actual = simulate::begin(&last, number(1) - 1, &self.actual, &self.desired),
            "stop" => self.set(words[1], Liveness::Stopped),
            "fail" => self.set(words[1], Liveness::Errored),
            "complete" => self.set(words[1], Liveness::Completed),
            "save" => self.saved = Some(last),
            "check" => return self.check_saved(),
            other => panic!("no command {other}"),
        }
        String::new()
    }

    fn make_plan(&mut self, options: &[&str]) -> String {
        self.policy = PlanPolicy::new(self.policy.key);
        let mut unicode = true;
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match *option {
                "--only" => {
                    let names: Vec<String> = options.next().unwrap().split(',').map(str::to_owned).collect();
                    self.policy.selection = Selection::named(&names);
                }
                "--no-prune" => self.policy.prune = false,
                "--adopt" => self.policy.adopt = true,
                "--allow-empty" => self.policy.allow_empty = true,
                "--ascii" => unicode = false,
                other => panic!("no option {other}"),
            }
        }
        let plan = plan(&self.desired, &self.actual, &self.policy);
        let mut out = String::new();
        for refusal in &plan.refusals {
            let _ = writeln!(out, "error: {refusal}");
        }
        out.push_str(&render_text(&plan, &|_, _| None, Style { colour: false, unicode }));
        self.plan = Some(plan);
        out
    }

    fn check_saved(&self) -> String {
        let saved = self.saved.as_ref().unwrap();
        let now = plan(&self.desired, &self.actual, &self.policy);
        match check_stale(saved, &now) {
            Ok(()) => render_text(&restrict(&now, saved), &|_, _| None, Style { colour: false, unicode: true }),
            Err(stale) => format!("{stale:?}\n"),
        }
    }

    fn set(&mut self, instance: &str, liveness: Liveness) {
        let id: InstanceId = instance.parse().unwrap();
        let app = self.actual.apps.get_mut(&id.app).unwrap();
        app.instances.get_mut(&id.slot).unwrap().liveness = liveness;
    }
}

fn instance(state: &str, spec: &Arc<AppSpec>) -> ActualInstance {
    let mut behind = AppSpec::clone(spec);
    behind.env.insert("OLD".to_owned(), "1".to_owned());
    let mut other = AppSpec::clone(spec);
    other.fingerprint.0.values_mut().for_each(|digest| *digest = "0ther".to_owned());
    let (liveness, launched) = match state {
        // Started again since, when there was other code on disk.
        "recoded" => (Liveness::Up, Some(Arc::new(other))),
        "redone" => (Liveness::Completed, Some(Arc::new(other))),
        "up" => (Liveness::Up, Some(Arc::clone(spec))),
        "behind" => (Liveness::Up, Some(Arc::new(behind))),
        "adopted" => (Liveness::Up, None),
        "stopped" => (Liveness::Stopped, None),
        "completed" => (Liveness::Completed, None),
        "errored" => (Liveness::Errored, None),
        other => panic!("no state {other}"),
    };
    ActualInstance { liveness, launched }
}

/// An app's spec from a part of its JSON, and the keys that are not the spec's.
fn spec(mut part: Value) -> (AppSpec, Value) {
    let name = part["name"].as_str().unwrap().to_owned();
    let mut whole = serde_json::to_value(AppSpec::new(name.as_str(), format!("/srv/{name}.js"), "/srv")).unwrap();
    let mut extra = serde_json::json!({});
    for key in ["owner", "slots"] {
        if let Some(value) = part.as_object_mut().unwrap().remove(key) {
            extra[key] = value;
        }
    }
    merge(&mut whole, part);
    (serde_json::from_value(whole).unwrap(), extra)
}

fn merge(whole: &mut Value, part: Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (key, value) in part {
                merge(whole.entry(key).or_insert(Value::Null), value);
            }
        }
        (whole, part) => *whole = part,
    }
}
