//! `prepare`: an app as PM2's library has made it of what it was given, all paths absolute, every variable among its own.

use std::path::Path;

use serde_json::{Value, json};

use super::Api;
use super::calls::{ask, ids, mute, process, said};
use crate::cli::ambient::ambient;
use crate::cli::loading::{self, Talk};
use crate::cli::{instances, surroundings};
use crate::config::pm2_dump::{self, Dumped};
use crate::config::{self, World};
use crate::diag::Severity;
use crate::platform;
use crate::rpc::wire::{Request, Scale};
use crate::spec::{AppSpec, ExecMode};

/// Of an app, as many as a file may say.
const INSTANCES_MAX: u64 = 512;

pub(super) fn prepare(api: &Api, app: &Value, caller: Option<u32>) -> Result<Value, String> {
    let mut world = surroundings::world().map_err(said)?;
    // What the caller was given itself was not declared by it.
    world.env = caller.map(platform::variables_of).unwrap_or_default();
    if let Some(cwd) = app["pm_cwd"].as_str() {
        world.cwd = cwd.into();
    }
    let inherited = ambient(&world.env);
    let text = json!([app]).to_string();
    let (dumped, _) = pm2_dump::parse(text.as_bytes(), &inherited)?;
    let dumped = dumped.into_iter().next().ok_or("it is no app")?;
    let spec = AppSpec { instances: wanted(app), exec_mode: mode(app), ..spec(dumped, &world)? };
    let _turn = api.turn.lock();
    let before = ids(api)?;
    let is_known = instances::all(&api.home).map_err(said)?.iter().any(|view| view.name == spec.name);
    let request = if is_known {
        // With `force`: PM2 has two of one name then.
        let more = i32::try_from(spec.instances).unwrap_or(1);
        Request::Scale { targets: vec![spec.name], to: Scale::By(more) }
    } else {
        Request::StartScript { spec: Box::new(spec), ambient: inherited }
    };
    // What does not come up is there all the same, as with PM2.
    ask(&api.home, request, "start")?;
    Ok(ids(api)?.into_iter().filter(|id| !before.contains(id)).filter_map(process).collect())
}

/// By the rules of files.
fn spec(app: Dumped, world: &World) -> Result<AppSpec, String> {
    let loaded = config::load_node(&world.cwd, Path::new("pm2.start"), app.node, world);
    let mut errors = loaded.report.diagnostics.iter().filter(|one| one.severity == Severity::Error);
    let problem = errors.next().map(|one| one.message.clone());
    let graph = loading::judge(loaded.graph, &loaded.report, false, Talk::None, &mut mute());
    let graph = graph.map_err(|error| problem.unwrap_or_else(|| said(error)))?;
    graph.apps.into_iter().next().ok_or_else(|| "it is no app".to_owned())
}

fn wanted(app: &Value) -> u32 {
    let cpus = || platform::cpus().usable;
    let number = match &app["instances"] {
        Value::Null => return 1,
        Value::String(text) => text.parse::<i64>().unwrap_or(0),
        value => value.as_i64().unwrap_or(1),
    };
    match number {
        0 => cpus(),
        number if number < 0 => cpus().saturating_sub(u32::try_from(-number).unwrap_or(u32::MAX)).max(1),
        number => u32::try_from(number.min(i64::try_from(INSTANCES_MAX).unwrap_or(1))).unwrap_or(1),
    }
}

fn mode(app: &Value) -> ExecMode {
    if app["exec_mode"].as_str().is_some_and(|mode| mode.starts_with("cluster")) {
        ExecMode::Cluster
    } else {
        ExecMode::Fork
    }
}
