//! Calls of PM2's library, as requests to the daemon, and what it expects back: nearly all of its logic is in the library itself,
//! which asks for the list (`getMonitorData`) and then for one thing at a time, by number.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::{Pid, Signal as Posix, kill_process};
use serde_json::{Map, Value, json};

use super::{Api, start};
use crate::base::Signal;
use crate::cli::error::CliError;
use crate::cli::terminal::Terminal;
use crate::cli::{exchange, instances, jlist, reload_logs, trigger};
use crate::platform::outlive_parent;
use crate::rpc::client::Connection;
use crate::rpc::wire::{Alter, Altered, Answer, AppView, InstanceView, OffersView, Request, Scale};

/// Everything that can be called.
const METHODS: &[&str] = &[
    "deleteProcessId",
    "duplicateProcessId",
    "getMonitorData",
    "getReport",
    "getSystemData",
    "getVersion",
    "killMe",
    "monitor",
    "msgProcess",
    "notifyByProcessId",
    "notifyKillPM2",
    "ping",
    "prepare",
    "profileCPU",
    "profileMEM",
    "reloadLogs",
    "reloadProcessId",
    "resetMetaProcessId",
    "restartProcessId",
    "sendDataToProcessId",
    "sendLineToStdin",
    "sendSignalToProcessId",
    "sendSignalToProcessName",
    "softReloadProcessId",
    "startProcessId",
    "startWatch",
    "stopProcessId",
    "stopWatch",
    "toggleWatch",
    "unmonitor",
];

/// Ends the daemon, and this process with it: nobody waits for an answer.
pub(super) fn is_end(message: &Value) -> bool {
    message["method"] == "killMe"
}

/// The whole answer to a message.
pub(super) fn reply(api: &Api, message: &Value, caller: Option<u32>) -> Value {
    if message["type"] == "methods" {
        let methods: Map<String, Value> =
            METHODS.iter().map(|name| ((*name).to_owned(), json!({ "name": name, "params": [] }))).collect();
        return json!({ "methods": methods });
    }
    let Some(method) = message["method"].as_str() else { return json!({ "error": ".method required" }) };
    let Some(args) = message["args"].as_array() else { return json!({ "error": ".args required" }) };
    if !METHODS.contains(&method) {
        return json!({ "error": format!("method \"{method}\" does not exist") });
    }
    match call(api, method, args, caller) {
        Ok(value) => json!({ "args": [value] }),
        Err(error) => json!({ "error": error, "stack": error }),
    }
}

fn call(api: &Api, method: &str, args: &[Value], caller: Option<u32>) -> Result<Value, String> {
    let nothing = Value::Null;
    let first = args.first().unwrap_or(&nothing);
    match method {
        "ping" => Ok(json!({ "msg": "pong" })),
        "getVersion" => Ok(json!(env!("CARGO_PKG_VERSION"))),
        "getReport" => Ok(report(api)),
        "getMonitorData" => Ok(Value::Array(processes()?)),
        "getSystemData" => Ok(json!({ "system_infos": null, "processes": processes()? })),
        "prepare" => start::prepare(api, first, caller),
        "startProcessId" => one(api, first, "start", |targets| Request::Start { targets }),
        "stopProcessId" => one(api, first, "stop", |targets| Request::Stop { targets }),
        "restartProcessId" => restart(api, first),
        "reloadProcessId" | "softReloadProcessId" => {
            one(api, first, "reload", |targets| Request::Reload { targets, parallel: None })
        }
        "deleteProcessId" => delete(api, first),
        "duplicateProcessId" => duplicate(api, first),
        "resetMetaProcessId" => {
            one(api, first, "reset", |targets| Request::Reset { targets })?;
            Ok(Value::Array(processes()?))
        }
        "startWatch" | "toggleWatch" => watch(api, args.get(1).unwrap_or(&nothing), method == "toggleWatch"),
        // What is stopped is not started by its watch here, and is watched again when it is. Of the rest the daemon tells by itself.
        "stopWatch" | "notifyByProcessId" | "notifyKillPM2" => Ok(json!({ "success": true })),
        // Nothing is sent to a hosted dashboard.
        "monitor" | "unmonitor" => {
            let view = known(api, first)?;
            Ok(json!({ "success": true, "pm_id": view.id }))
        }
        "sendSignalToProcessId" => signal(api, &first["process_id"], &first["signal"]),
        "sendSignalToProcessName" => signal_all(api, &first["process_name"], &first["signal"]),
        "sendLineToStdin" => send_line(api, first),
        "sendDataToProcessId" => send_data(api, first),
        "msgProcess" => act(api, first),
        "reloadLogs" => {
            reload_logs::run(&mut mute()).map_err(said)?;
            Ok(json!({}))
        }
        _ => Err("nothing is injected into apps that could be profiled: Node's own --cpu-prof and --heap-prof do it"
            .to_owned()),
    }
}

/// Says nothing of its own.
pub(super) fn mute() -> Terminal {
    let mut terminal = Terminal::new(true, false);
    (terminal.silent, terminal.hushed) = (true, true);
    terminal
}

pub(super) fn said(error: CliError) -> String {
    match error.hint {
        Some(hint) => format!("{} ({hint})", error.message),
        None => error.message,
    }
}

/// The last answer to a request; however long that takes.
pub(super) fn ask(home: &Path, request: Request, word: &str) -> Result<Answer, String> {
    let mut connection = Connection::open(home).map_err(|error| error.to_string())?;
    let mut call = exchange::call(request, false);
    call.words = vec!["api:".to_owned(), word.to_owned()];
    // As the library's own daemon: else twenty calls at once would be answered one a second.
    call.hasty = true;
    connection.send(&call).map_err(|error| format!("the daemon does not listen: {error}"))?;
    loop {
        match connection.next_answer().map_err(|error| format!("the daemon does not answer: {error}"))? {
            Answer::Waiting { .. } | Answer::Begun { .. } | Answer::Progress(_) | Answer::GoingBack { .. } => {}
            Answer::UnknownTarget { target, problem, .. } => {
                return Err(problem.unwrap_or_else(|| format!("{target} unknown")));
            }
            Answer::Error { message, hint } => {
                return Err(hint.map_or_else(|| message.clone(), |hint| format!("{message} ({hint})")));
            }
            Answer::Refused { refusals } => {
                return Err(refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
            }
            Answer::Ending => return Err("the daemon is on its way out".to_owned()),
            answer => return Ok(answer),
        }
    }
}

pub(super) fn processes() -> Result<Vec<Value>, String> {
    jlist::values(&mut mute()).map_err(said)
}

/// An instance by its number, as a number or a text, or in an object under `id`.
fn number(id: &Value) -> Option<u32> {
    match id {
        Value::Object(fields) => number(fields.get("id").or_else(|| fields.get("pm_id"))?),
        Value::String(text) => text.parse().ok(),
        id => id.as_u64().and_then(|id| u32::try_from(id).ok()),
    }
}

fn known(api: &Api, id: &Value) -> Result<InstanceView, String> {
    let all = instances::all(&api.home).map_err(said)?;
    let wanted = number(id);
    let found = all.into_iter().find(|view| Some(view.id) == wanted);
    found.ok_or_else(|| format!("{} id unknown", wanted.map_or_else(|| id.to_string(), |id| id.to_string())))
}

/// An app may be called like a number.
pub(super) fn target(view: &InstanceView) -> Vec<String> {
    vec![format!("{}:{}", view.name, view.slot)]
}

/// One of the list, with what the library looks for in a process that was just started.
pub(super) fn process(id: u32) -> Option<Value> {
    let mut found = processes().ok()?.into_iter().find(|one| one["pm_id"] == id)?;
    found["process"] = json!({ "pid": found["pid"] });
    Some(found)
}

fn one(api: &Api, id: &Value, word: &str, request: impl FnOnce(Vec<String>) -> Request) -> Result<Value, String> {
    let view = known(api, id)?;
    ask(&api.home, request(target(&view)), word)?;
    Ok(process(view.id).unwrap_or_else(|| json!({})))
}

/// With variables that come beside what it has.
fn restart(api: &Api, opts: &Value) -> Result<Value, String> {
    let view = known(api, opts)?;
    let fresh = variables(&opts["env"]);
    let turn = api.turn.lock();
    let app = app(api, &view)?;
    let is_new = |(name, value): &(&String, &String)| app.spec.env.get(*name) != Some(*value);
    if !fresh.iter().any(|pair| is_new(&pair)) {
        drop(turn);
        return one(api, opts, "restart", |targets| Request::Restart { targets });
    }
    let mut spec = app.spec.clone();
    spec.env.extend(fresh);
    let apps = vec![Altered { name: view.name.clone(), spec }];
    let alter = Alter { apps, targets: target(&view), renew: true, ambient: None };
    ask(&api.home, Request::Alter(Box::new(alter)), "restart")?;
    Ok(process(view.id).unwrap_or_else(|| json!({})))
}

/// What is for the app, and not for PM2 itself.
pub(super) fn variables(env: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    let is_own = |name: &str| name == "current_conf" || name == "updateEnv" || name.starts_with("PM2_");
    let fields = env.as_object().into_iter().flatten().filter(|(name, _)| !is_own(name));
    fields.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

/// As it is recorded, with its secrets.
fn app(api: &Api, view: &InstanceView) -> Result<AppView, String> {
    let request = Request::Show { targets: target(view), reveal: true, ambient: false };
    let Answer::Show { apps, .. } = ask(&api.home, request, "show")? else { return Err(strange()) };
    apps.into_iter().next().ok_or_else(|| format!("{} id unknown", view.id))
}

fn strange() -> String {
    "the daemon gave an answer of another kind".to_owned()
}

/// As it was, but that it does not run.
fn delete(api: &Api, id: &Value) -> Result<Value, String> {
    let view = known(api, id)?;
    let mut gone = process(view.id).unwrap_or_else(|| json!({}));
    ask(&api.home, Request::Delete { targets: target(&view) }, "delete")?;
    (gone["pid"], gone["process"]["pid"]) = (json!(0), json!(0));
    gone["pm2_env"]["status"] = json!("stopped");
    Ok(gone)
}

fn duplicate(api: &Api, id: &Value) -> Result<Value, String> {
    let view = known(api, id)?;
    let (_turn, before) = (api.turn.lock(), ids(api)?);
    ask(&api.home, Request::Scale { targets: vec![view.name.clone()], to: Scale::By(1) }, "scale")?;
    let fresh = ids(api)?.into_iter().find(|id| !before.contains(id));
    Ok(fresh.and_then(process).unwrap_or_else(|| json!({})))
}

pub(super) fn ids(api: &Api) -> Result<Vec<u32>, String> {
    Ok(instances::all(&api.home).map_err(said)?.iter().map(|view| view.id).collect())
}

fn watch(api: &Api, opts: &Value, toggle: bool) -> Result<Value, String> {
    let view = known(api, opts)?;
    let _turn = api.turn.lock();
    let mut spec = app(api, &view)?.spec;
    spec.watch.enabled = !(toggle && spec.watch.enabled);
    let apps = vec![Altered { name: view.name.clone(), spec }];
    let alter = Alter { apps, targets: Vec::new(), renew: false, ambient: None };
    ask(&api.home, Request::Alter(Box::new(alter)), "watch")?;
    Ok(json!({ "success": true }))
}

fn signal_of(signal: &Value) -> Result<Signal, String> {
    let text = signal.as_str().map_or_else(|| signal.to_string(), str::to_owned);
    text.parse().map_err(|()| "Error when sending signal (signal unknown)".to_owned())
}

fn signal(api: &Api, id: &Value, signal: &Value) -> Result<Value, String> {
    let (view, signal) = (known(api, id)?, signal_of(signal)?);
    ask(&api.home, Request::Signal { targets: target(&view), signal }, "sendSignal")?;
    Ok(Value::Array(processes()?))
}

fn signal_all(api: &Api, name: &Value, signal: &Value) -> Result<Value, String> {
    let signal = signal_of(signal)?;
    let all = instances::all(&api.home).map_err(said)?;
    let named: Vec<String> = all.iter().filter(|view| *name == view.name).flat_map(target).collect();
    if named.is_empty() {
        return Err("Unknown process name".to_owned());
    }
    ask(&api.home, Request::Signal { targets: named, signal }, "sendSignal")?;
    Ok(Value::Array(processes()?))
}

/// A conversation with one that runs.
fn online(api: &Api, id: &Value) -> Result<InstanceView, String> {
    let view =
        known(api, id).map_err(|_| format!("Process with ID <{}> unknown.", id.to_string().trim_matches('"')))?;
    if view.pid.is_some() { Ok(view) } else { Err(format!("Process with ID <{}> offline.", view.id)) }
}

fn told(answer: &Answer) -> Result<(), String> {
    match answer {
        Answer::Done { failed, .. } => failed.first().map_or(Ok(()), |failure| Err(failure.reason.clone())),
        _ => Err(strange()),
    }
}

fn send_line(api: &Api, packet: &Value) -> Result<Value, String> {
    let Some(line) = packet["line"].as_str().filter(|line| !line.is_empty() && !packet["pm_id"].is_null()) else {
        return Err("pm_id or line field missing".to_owned());
    };
    let view = online(api, &packet["pm_id"])?;
    if view.mode == "cluster" {
        return Err("Cannot send line to processes in cluster mode".to_owned());
    }
    told(&ask(&api.home, Request::Feed { targets: target(&view), text: line.to_owned() }, "send")?)?;
    Ok(json!({ "pm_id": packet["pm_id"], "line": line }))
}

fn send_data(api: &Api, packet: &Value) -> Result<Value, String> {
    let has = |name: &str| packet.get(name).is_some_and(|value| !value.is_null());
    if !has("id") || packet.get("data").is_none() || !has("topic") {
        return Err("ID, DATA or TOPIC field is missing".to_owned());
    }
    let view = online(api, &packet["id"])?;
    told(&ask(&api.home, Request::Tell { targets: target(&view), message: packet.clone() }, "send")?)?;
    Ok(json!({ "success": true, "data": packet }))
}

/// An action that apps offer; the answers come over the bus.
fn act(api: &Api, order: &Value) -> Result<Value, String> {
    let Some(action) = order["msg"].as_str() else { return Err("method requires a msg field".to_owned()) };
    let offers = trigger::offers(&api.home);
    let all = instances::all(&api.home).map_err(said)?;
    let has = |view: &&InstanceView| {
        let offers = offers.get(&view.id).map(|known: &OffersView| &known.offers);
        offers.is_some_and(|offers| offers.as_ref().is_none_or(|offers| offers.has(action)))
    };
    let meant: Vec<&InstanceView> = if order.get("id").is_some() {
        let view = known(api, &order["id"])?;
        let found: Vec<&InstanceView> = all.iter().filter(|one| one.id == view.id).filter(has).collect();
        if found.is_empty() {
            return Err(format!("Action doesn't exist {action} for {}", view.name));
        }
        found
    } else if let Some(name) = order["name"].as_str() {
        let script = |view: &InstanceView| Path::new(&view.script).file_name().is_some_and(|file| file == name);
        let is_meant =
            |view: &&InstanceView| name == "all" || view.name == name || view.namespace == name || script(view);
        all.iter().filter(is_meant).filter(has).collect()
    } else {
        return Err("method requires name or id field".to_owned());
    };
    let is_plain = order["opts"].is_null() && order["uuid"].is_null();
    let message = if is_plain { json!(action) } else { order.clone() };
    let targets: Vec<String> = meant.into_iter().flat_map(target).collect();
    let mut sent = targets.len();
    if sent > 0
        && let Answer::Done { failed, .. } = ask(&api.home, Request::Tell { targets, message }, "trigger")?
    {
        sent -= failed.len();
    }
    Ok(json!({ "process_count": sent, "success": true }))
}

fn report(api: &Api) -> Value {
    let count = instances::all(&api.home).map_or(0, |all| all.len());
    json!({
        "pm2_version": env!("CARGO_PKG_VERSION"),
        "node_version": "N/A",
        "node_path": "not found",
        "argv0": "pmrun",
        "argv": ["pmrun"],
        "user": crate::platform::user_name(crate::platform::user_id()),
        "uid": crate::platform::user_id(),
        "gid": "N/A",
        "env": {},
        "managed_apps": count,
        "started_at": null,
    })
}

/// The library waits to be sent SIGQUIT, as a sign that it is done.
pub(super) fn end(api: &Api, message: &Value, caller: Option<u32>) {
    let opts = &message["args"][0];
    api.bus.publish("pm2:kill", json!({ "status": "killed", "msg": "pm2 has been killed" }));
    outlive_parent();
    let _ = ask(&api.home, Request::Kill, "kill");
    let pid = number(&opts["pid"]).filter(|pid| Some(*pid) == caller).and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // Gone by now, it waits for nothing.
        let _ = kill_process(pid, Posix::QUIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_those_of_the_app() {
        let env =
            json!({ "A": "1", "N": 2, "T": true, "O": {}, "current_conf": { "x": 1 }, "PM2_HOME": "/h", "Z": null });
        let want: BTreeMap<String, String> = [("A", "1"), ("N", "2"), ("T", "true")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(variables(&env), want);
        assert_eq!(variables(&Value::Null), BTreeMap::new());
    }

    #[test]
    fn numbers_are_understood_as_the_library_says_them() {
        for (id, want) in [
            (json!(3), Some(3)),
            (json!("3"), Some(3)),
            (json!({ "id": "3", "env": {} }), Some(3)),
            (json!(-1), None),
            (json!("x"), None),
            (json!({}), None),
        ] {
            assert_eq!(number(&id), want, "{id}");
        }
        assert!(METHODS.is_sorted());
    }
}
