//! What users do, at random: commands about a small family of apps, and files that change.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::rng::Rng;
use crate::graph::Graph;
use crate::rpc::wire::{Alter, Altered, Apply, Back, PlanOptions, Request};
use crate::spec::{AppSpec, Condition, EcosystemId, ExecMode, HealthAction, HealthCheck, Need, OnExit, Overlap, Probe};

const SCRIPTS: [&str; 16] = [
    "stay",
    "ill 1500",
    "stay 2",
    "forks",
    "exit 5 1",
    "exit 40 0",
    "exit 1500 1",
    "exit 300 3",
    "ready 20",
    "ready 900",
    "never",
    "deaf",
    "undead",
    "nospawn",
    "ill",
    "forks 300 1",
];
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

pub(super) fn graph(rng: &mut Rng) -> Graph {
    let ecosystem = EcosystemId((*rng.pick(&["one", "one", "one", "two"])).to_owned());
    let mut apps: Vec<AppSpec> = Vec::new();
    for name in NAMES {
        if rng.percent(60) {
            let before: Vec<String> = apps.iter().map(|app| app.name.clone()).collect();
            apps.push(app(name, &before, rng));
        }
    }
    let mut graph = Graph { ecosystem, file: "/p/ecosystem.json5".to_owned(), profile: None, apps, deploy: None };
    need_what_can_come(&mut graph);
    graph
}

pub(super) fn ends(app: &AppSpec) -> bool {
    app.script.starts_with("exit") && !app.restart.auto
}

/// Nobody waits for the end of what never ends, as the file's checks have it.
fn need_what_can_come(graph: &mut Graph) {
    let jobs: Vec<String> = graph.apps.iter().filter(|app| ends(app)).map(|app| app.name.clone()).collect();
    for app in &mut graph.apps {
        for (name, need) in &mut app.needs {
            if need.condition == Condition::Completed && !jobs.contains(name) {
                need.condition = Condition::Ready;
            }
        }
    }
}

/// The same file, edited.
pub(super) fn edited(graph: &Graph, rng: &mut Rng) -> Graph {
    let mut graph = graph.clone();
    if graph.apps.is_empty() {
        return graph;
    }
    let index = usize::try_from(rng.below(graph.apps.len() as u64)).unwrap();
    match rng.below(7) {
        6 => {
            let patterns = [None, Some("0 * * * *".to_owned()), Some("0 */2 * * *".to_owned())];
            graph.apps[index].schedule = None;
            graph.apps[index].cron_restart = rng.pick(&patterns).clone();
        }
        7 => graph.apps[index].watch.enabled ^= true,
        0 => graph.apps[index].instances = 1 + u32::try_from(rng.below(3)).unwrap(),
        1 => {
            graph.apps[index].env.insert("X".to_owned(), rng.below(5).to_string());
        }
        2 => graph.apps[index].stop.timeout_ms = 100 + rng.below(2_000),
        3 => {
            let app = &mut graph.apps[index];
            app.script = (*rng.pick(&SCRIPTS)).to_owned();
            app.readiness.wait_ready = says_ready(&app.script);
        }
        4 => {
            let gone = graph.apps.remove(index).name;
            for app in &mut graph.apps {
                app.depends_on.retain(|need| *need != gone);
                app.needs.remove(&gone);
            }
        }
        _ => rename(&mut graph, index),
    }
    need_what_can_come(&mut graph);
    graph
}

fn says_ready(script: &str) -> bool {
    script.starts_with("ready") || script == "never"
}

fn rename(graph: &mut Graph, index: usize) {
    let old = graph.apps[index].name.clone();
    let new = format!("{old}{}", graph.apps.len());
    graph.apps[index].name.clone_from(&new);
    graph.apps[index].renamed_from = Some(old.clone());
    for app in &mut graph.apps {
        for need in &mut app.depends_on {
            if *need == old {
                need.clone_from(&new);
                if let Some(kept) = app.needs.remove(&old) {
                    app.needs.insert(new.clone(), kept);
                }
            }
        }
    }
}

fn app(name: &str, before: &[String], rng: &mut Rng) -> AppSpec {
    let mut app = AppSpec::new(name, *rng.pick(&SCRIPTS), "/p");
    app.instances = 1 + u32::try_from(rng.below(3)).unwrap();
    app.readiness.wait_ready = says_ready(&app.script);
    app.autostart = !rng.percent(10);
    app.restart.auto = !rng.percent(15);
    app.restart.delay_ms = *rng.pick(&[0, 0, 0, 100, 3_000]);
    app.restart.backoff_ms = *rng.pick(&[0, 0, 100]);
    app.restart.max_restarts = *rng.pick(&[16, 16, 0, 3]);
    app.restart.stop_exit_codes = rng.pick(&[vec![], vec![3]]).clone();
    app.stop.timeout_ms = *rng.pick(&[1_600, 50, 0]);
    app.stop.tree = !rng.percent(10);
    // Aside: what else a seed does stays as it was.
    let mut aside = rng.clone();
    let is_worker = aside.percent(20);
    let is_given = !is_worker && aside.percent(20);
    if is_worker {
        (app.exec_mode, app.interpreter) = (ExecMode::Cluster, Some("node".to_owned()));
        app.stop.drain_ms = *aside.pick(&[8_000, 500, 0]);
    } else if is_given {
        app.listen = vec!["tcp:80".to_owned()];
        app.stop.drain_ms = *aside.pick(&[8_000, 500, 0]);
    }
    app.cron_restart = rng.pick(&[None, None, None, Some("0 * * * *".to_owned())]).clone();
    if app.cron_restart.is_none() && rng.percent(15) {
        app.schedule = Some("0 * * * *".to_owned());
        app.schedule_overlap = *rng.pick(&[Overlap::Skip, Overlap::Queue, Overlap::Replace]);
    }
    app.max_memory_restart = *rng.pick(&[None, None, None, Some(100)]);
    app.watch.enabled = rng.percent(40);
    app.watch.delay_ms = *rng.pick(&[0, 0, 500]);
    app.depends_on = before.iter().filter(|_| rng.percent(30)).cloned().collect();
    for name in &app.depends_on {
        let need = Need {
            condition: *rng.pick(&[Condition::Ready, Condition::Ready, Condition::Started, Condition::Completed]),
            on_exit: *rng.pick(&[OnExit::Ignore, OnExit::Ignore, OnExit::Restart, OnExit::Stop]),
        };
        app.needs.insert(name.clone(), need);
    }
    if rng.percent(30) {
        let check = HealthCheck::new(Probe::Tcp("localhost:1".to_owned()));
        let action = *rng.pick(&[HealthAction::Restart, HealthAction::None]);
        app.health_check = Some(HealthCheck { unhealthy_threshold: 2, startup_ms: 5_000, action, ..check });
    }
    app
}

/// Apps by hand otherwise than the file says.
fn alter(file: &Graph, targets: Vec<String>, rng: &mut Rng) -> Request {
    let mut edit = edited(file, rng);
    edit.apps.retain(|_| rng.percent(60));
    let apps = edit.apps.into_iter().map(|spec| Altered { name: spec.name.clone(), spec }).collect();
    let ambient = rng.percent(20).then(|| BTreeMap::from([("SHELL_LEVEL".to_owned(), rng.below(3).to_string())]));
    Request::Alter(Box::new(Alter { apps, targets, renew: rng.percent(50), ambient }))
}

pub(super) fn request(file: &mut Graph, rng: &mut Rng) -> Request {
    let mut targets = || {
        let count = 1 + rng.below(2);
        (0..count)
            .map(|_| {
                (*rng.pick(&["a", "b", "c", "d", "e", "f", "a:0", "b:1", "0", "3", "all", "/[ab]/", "default"]))
                    .to_owned()
            })
            .collect::<Vec<_>>()
    };
    let targets = targets();
    match rng.below(26) {
        0..=8 => {
            *file = if rng.percent(25) { graph(rng) } else { edited(file, rng) };
            apply(file, rng)
        }
        9 | 10 => apply(file, rng),
        11 | 12 => Request::Start { targets },
        13..=15 => Request::Stop { targets },
        16 | 17 => Request::Restart { targets },
        18 => Request::Reload { targets, parallel: NonZeroU32::new(*rng.pick(&[0, 0, 2])) },
        19 => Request::Delete { targets },
        20 => {
            let name = *rng.pick(&["hand", "a"]);
            Request::StartScript { spec: Box::new(app(name, &[], rng)), ambient: BTreeMap::new() }
        }
        21 if rng.percent(60) => Request::Rollback(Back::default()),
        21 => Request::Resurrect,
        22 if rng.percent(30) => Request::Kill,
        23 => alter(file, targets, rng),
        24 => Request::Reset { targets },
        _ => Request::List,
    }
}

pub(super) fn apply(file: &Graph, rng: &mut Rng) -> Request {
    let variable = (*rng.pick(&["1", "2"])).to_owned();
    Request::Apply(Box::new(Apply {
        graph: file.clone(),
        options: PlanOptions { adopt: rng.percent(50), allow_empty: true, ..PlanOptions::default() },
        ambient: BTreeMap::from([("SHELL_LEVEL".to_owned(), variable)]),
        expected: None,
        parallel: NonZeroU32::new(*rng.pick(&[0, 0, 1, 3])),
        revision: None,
        auto_rollback: rng.percent(20),
    }))
}
