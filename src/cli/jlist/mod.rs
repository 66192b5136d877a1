//! `jlist`, `prettylist` and `env`: what scripts written for PM2 read, in its words.

mod inspect;
mod process;

use std::collections::HashMap;

use serde::Serialize as _;
use serde_json::Value;

use self::inspect::inspected;
use self::process::{Inherited, Process};
pub(super) use self::process::{exit_code, program};
use super::error::CliError;
use super::exit::Exit;
use super::manners::Manners;
use super::package::Packages;
use super::show::{self, Ambients};
use super::terminal::{Terminal, harmless};
use super::worktrees::{self, Worktrees};
use super::{arguments, looks, offline, surroundings, trigger};
use crate::rpc::wire::{AppView, InstanceView};
use crate::supervisor::{LaunchId, launch};

/// One line, and no end of it: what PM2 prints.
pub(super) fn run(arguments: &arguments::PlainList, terminal: &mut Terminal) -> Result<Exit, CliError> {
    with_processes(arguments.reveal, terminal, |processes, terminal| terminal.json_line(&processes))?
        .map(|()| Exit::Done)
}

pub(super) fn pretty(arguments: &arguments::PlainList, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let value =
        with_processes(arguments.reveal, terminal, |processes, _| processes.serialize(serde_json::value::Serializer))?;
    let value = value.map_err(|err| CliError::error(format!("cannot be written: {err}")))?;
    terminal.print(inspected(&value) + "\n")?;
    Ok(Exit::Done)
}

/// What an instance's process is given, a variable a line, and what PM2 keeps beside it.
pub(super) fn env(arguments: &arguments::Env, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let targets = std::slice::from_ref(&arguments.target);
    let (apps, ambients) = show::everything(&home, targets, reveals(arguments.reveal), true, terminal)?;
    let layout = offline::layout(&home);
    let Some((app, view)) = apps.iter().find_map(|app| Some((app, app.instances.first()?))) else {
        return Err(CliError::error(format!("nothing is called `{}`", arguments.target)));
    };
    let none = std::sync::Arc::default();
    let ambient = inherited(app, &ambients).map_or(none, |known| std::sync::Arc::new(known.clone()));
    let launch = launch(LaunchId(0), &app.spec, view.slot, view.id, &layout, &ambient);
    let mut variables = (*launch.ambient).clone();
    variables.extend(launch.env);
    if arguments.json {
        terminal.json(&serde_json::json!({ "version": 1, "name": view.name, "slot": view.slot, "env": variables }))?;
        return Ok(Exit::Done);
    }
    for (name, value) in variables {
        let line = |text: &str| harmless(text.as_bytes(), false);
        terminal.print(format!("{}: {}\n", line(&name), line(&value)))?;
    }
    Ok(Exit::Done)
}

/// PM2 shows everything to everybody who asks; who calls this by its name expects that.
fn reveals(asked: bool) -> bool {
    asked || Manners::own().are_pm2s()
}

fn inherited<'a>(app: &AppView, ambients: &'a Ambients) -> Option<&'a std::collections::BTreeMap<String, String>> {
    ambients.get(app.ambient.as_ref()?)
}

/// Every instance as PM2 tells it to who asks over its socket: with its variables.
pub(super) fn values(terminal: &mut Terminal) -> Result<Vec<Value>, CliError> {
    let value = |process: &Process<'_>| process.serialize(serde_json::value::Serializer);
    with_processes(true, terminal, |processes, _| processes.iter().filter_map(|one| value(one).ok()).collect())
}

/// Every instance, by its number.
fn with_processes<T>(
    reveal: bool,
    terminal: &mut Terminal,
    take: impl FnOnce(&[Process<'_>], &mut Terminal) -> T,
) -> Result<T, CliError> {
    let home = surroundings::home()?;
    let look = looks::begin(&home);
    let (apps, ambients) = show::everything(&home, &[], reveals(reveal), true, terminal)?;
    let pids = apps.iter().flat_map(|app| app.instances.iter().filter_map(|view| view.pid));
    let loads = look.of(&home, pids);
    let (layout, owner) = (offline::layout(&home), super::list::owner(&home));
    let mut packages = Packages::default();
    let (none, offers) = (std::collections::BTreeMap::new(), trigger::offers(&home));
    let nothing = Inherited::new(&none);
    let all: HashMap<&String, Inherited<'_>> =
        ambients.iter().map(|(digest, ambient)| (digest, Inherited::new(ambient))).collect();
    let mut processes = Vec::new();
    let mut worktrees = Worktrees::default();
    for app in apps.iter().filter(|app| worktrees::are_asked_for(inherited(app, &ambients))) {
        worktrees.look(&app.spec.script);
    }
    for app in &apps {
        let inherited = app.ambient.as_ref().and_then(|digest| all.get(digest)).unwrap_or(&nothing);
        let version = packages.version(&app.spec.script);
        for view in &app.instances {
            let load = view.pid.and_then(|pid| loads.get(&pid).copied());
            let process = Process::new(app, view, inherited, load, version.clone(), &owner, &layout);
            let versioning = worktrees.of(&app.spec.script);
            processes.push(process.offering(offers.get(&view.id)).versioned(versioning));
        }
    }
    processes.sort_by_key(Process::id);
    Ok(take(&processes, terminal))
}

/// The state of an instance in PM2's words.
pub(super) fn status(app: &AppView, view: &InstanceView) -> &'static str {
    let is_awaited = app.spec.readiness.is_said() || app.spec.health_check.is_some();
    match view.state.as_str() {
        "starting" if is_awaited || view.pid.is_none() => "launching",
        "stopping" => "stopping",
        "waiting" if view.waits_ms.is_some() => "waiting restart",
        // A job between its runs is stopped; this waits for others to be up.
        "waiting" if app.spec.schedule.is_none() => "launching",
        // What is not to be started again has come to its end, whatever that was.
        "errored" if view.pid.is_none() && !app.spec.restart.auto && view.last_exit.is_some() => "stopped",
        "errored" if view.pid.is_none() => "errored",
        // What was not ready in time runs on: PM2 takes that for readiness.
        "online" | "unhealthy" | "starting" | "errored" => "online",
        _ => "stopped",
    }
}

/// For those who ask in PM2's shape over the network: without any environment.
pub(super) fn bare(
    app: &AppView,
    view: &InstanceView,
    load: Option<looks::Load>,
    owner: &str,
    layout: &crate::supervisor::Layout,
) -> Value {
    let none = std::collections::BTreeMap::new();
    let nothing = Inherited::new(&none);
    let spec = crate::spec::AppSpec { env: std::collections::BTreeMap::new(), ..app.spec.clone() };
    let app = AppView { spec, file: None, ambient: None, instances: Vec::new() };
    let process = Process::new(&app, view, &nothing, load, None, owner, layout);
    let mut value = process.serialize(serde_json::value::Serializer).unwrap_or_default();
    if let Some(env) = value.get_mut("pm2_env").and_then(Value::as_object_mut) {
        env.remove("env");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::AppSpec;

    #[test]
    fn states_have_the_words_that_scripts_look_for() {
        let mut app = AppView {
            spec: AppSpec::new("api", "/srv/api.js", "/srv"),
            file: None,
            ambient: None,
            instances: Vec::new(),
        };
        let mut view = InstanceView::sample(0, "api", 0);
        let mut check = |app: &AppView, state: &str, pid: Option<u32>, waits_ms: Option<u64>, want: &str| {
            (view.state, view.pid, view.waits_ms) = (state.to_owned(), pid, waits_ms);
            assert_eq!(status(app, &view), want, "{state} {pid:?} {waits_ms:?}");
        };
        for (state, pid, waits_ms, want) in [
            ("online", Some(1), None, "online"),
            ("unhealthy", Some(1), None, "online"),
            ("starting", Some(1), None, "online"),
            ("starting", None, None, "launching"),
            ("stopping", Some(1), None, "stopping"),
            ("waiting", None, Some(100), "waiting restart"),
            ("waiting", None, None, "launching"),
            ("errored", None, None, "errored"),
            ("errored", Some(1), None, "online"),
            ("completed", None, None, "stopped"),
            ("stopped", None, None, "stopped"),
        ] {
            check(&app, state, pid, waits_ms, want);
        }
        app.spec.readiness.wait_ready = true;
        check(&app, "starting", Some(1), None, "launching");
        app.spec.restart.auto = false;
        check(&app, "errored", None, None, "errored");
        app.spec.autostart = false;
        check(&app, "stopped", None, None, "stopped");
        app.spec.schedule = Some("@daily".to_owned());
        check(&app, "waiting", None, None, "stopped");
    }
}
