//! What runs, in PM2's keys: what `save` writes under its name.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::base::InstanceId;
use crate::rpc::wire::{AppView, InstanceView};
use crate::spec::LogTarget;
use crate::supervisor::{Layout, declared, pid_file, unique_id};

/// By the name or number of a user and of a group.
type Numbers = fn(Option<&str>, Option<&str>) -> (Option<u32>, Option<u32>);

/// What a dump has to say beside the apps: PM2 starts a process with nothing but what stands there.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub layout: &'a Layout,
    /// What apps inherit, by what stands for it in [`AppView::ambient`].
    pub ambients: &'a BTreeMap<String, BTreeMap<String, String>>,
    /// Whose the daemon is.
    pub owner: &'a str,
    /// The numbers of a user and a group, which is all that PM2 takes there.
    pub numbers: Numbers,
}

/// A process an element, in PM2's keys: what each resurrects from.
#[must_use]
pub fn pm2_dump(apps: &[AppView], around: Around<'_>) -> Value {
    let mut processes: Vec<(u32, Value)> = Vec::new();
    for app in apps {
        processes.extend(app.instances.iter().map(|view| (view.id, process(app, view, around))));
    }
    processes.sort_by_key(|(id, _)| *id);
    processes.into_iter().map(|(_, process)| process).collect()
}

/// Inherited and declared: a daemon of PM2's adds none of its own.
fn variables(app: &AppView, view: &InstanceView, around: Around<'_>, id: &str) -> Map<String, Value> {
    let spec = &app.spec;
    let nothing = BTreeMap::new();
    let ambient = app.ambient.as_ref().and_then(|digest| around.ambients.get(digest)).unwrap_or(&nothing);
    let passes = |name: &str| !spec.filter_env.iter().any(|part| !part.is_empty() && name.contains(part.as_str()));
    let mut all: Map<String, Value> =
        ambient.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), json!(value))).collect();
    all.extend(declared(spec, ambient, view.slot).into_iter().map(|(name, value)| (name, json!(value))));
    all.insert("unique_id".to_owned(), json!(id));
    all
}

fn process(app: &AppView, view: &InstanceView, around: Around<'_>) -> Value {
    let spec = &app.spec;
    let id = unique_id(&InstanceId::new(spec.name.as_str(), view.slot), view.id, around.layout);
    let is_on = |name: &str| spec.env.get(name).is_none_or(|value| value != "false");
    let runs = !matches!(view.state.as_str(), "stopped" | "errored" | "completed");
    let path = |target: &LogTarget, known: &Option<String>| match target {
        LogTarget::Null => json!("/dev/null"),
        LogTarget::Default | LogTarget::Path(_) => json!(known),
    };
    let mut process = json!({
        "name": spec.name,
        "namespace": spec.namespace,
        "args": spec.args,
        "node_args": spec.interpreter_args,
        "exec_interpreter": spec.interpreter.as_deref().unwrap_or("none"),
        "exec_mode": if spec.is_worker() { "cluster_mode" } else { "fork_mode" },
        "pm_exec_path": spec.script,
        "pm_cwd": spec.cwd,
        "pm_out_log_path": path(&spec.logs.out, &view.out_file),
        "pm_err_log_path": path(&spec.logs.error, &view.error_file),
        "pm_pid_path": pid_file(spec, view.slot, view.id, around.layout),
        "merge_logs": spec.logs.merge,
        "instance_var": spec.instance_var,
        spec.instance_var.as_str(): view.slot,
        "autostart": spec.autostart,
        "autorestart": spec.restart.auto,
        "treekill": spec.stop.tree,
        "kill_timeout": spec.stop.timeout_ms,
        "max_restarts": spec.restart.max_restarts,
        "min_uptime": spec.restart.min_uptime_ms,
        "restart_delay": spec.restart.delay_ms,
        "exp_backoff_restart_delay": spec.restart.backoff_ms,
        "stop_exit_codes": spec.restart.stop_exit_codes,
        "wait_ready": spec.readiness.wait_ready,
        "listen_timeout": spec.readiness.timeout_ms,
        "shutdown_with_message": spec.stop.message,
        "filter_env": spec.filter_env,
        "watch": if spec.watch.paths.is_empty() { json!(spec.watch.enabled) } else { json!(spec.watch.paths) },
        "ignore_watch": spec.watch.ignore,
        "watch_delay": spec.watch.delay_ms,
        "env": variables(app, view, around, &id),
        "unique_id": id,
        "status": if runs { "online" } else { "stopped" },
    });
    let (uid, gid) = (around.numbers)(spec.uid.as_deref(), spec.gid.as_deref());
    // What PM2 keeps beside what was declared.
    let own = json!({
        "vizion": is_on("vizion"),
        "pmx": is_on("pmx"),
        "automation": is_on("automation"),
        "username": around.owner,
        "windowsHide": true,
        "kill_retry_time": 100,
        "km_link": false,
        "vizion_running": false,
        "axm_actions": [],
        "axm_monitor": {},
        "axm_options": {},
        "axm_dynamic": {},
        "restart_time": view.restarts,
        "unstable_restarts": view.unstable_restarts,
        "pm_uptime": view.started_at_ms.or(view.last_started_at_ms).unwrap_or(0),
        "created_at": view.started_at_ms.or(view.last_started_at_ms),
    });
    let own = own.as_object().cloned().unwrap_or_default().into_iter();
    let more = [
        ("cron_restart", json!(spec.cron_restart)),
        ("max_memory_restart", json!(spec.max_memory_restart)),
        ("log_date_format", json!(spec.logs.date_format)),
        ("log_type", json!(spec.logs.json.then_some("json"))),
        ("pm_log_path", json!(view.log_file)),
        ("uid", json!(uid)),
        ("gid", json!(gid)),
        ("increment_var", json!(spec.increment_var)),
    ];
    let more = more.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.to_owned(), value));
    for (key, value) in own.chain(more) {
        process[key] = value;
    }
    process
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::AppSpec;
    use crate::supervisor::Names;

    /// PM2 reads these of each entry without a look whether they are there, and gives a process no other variables.
    #[test]
    fn an_entry_has_what_pm2_starts_a_process_from() {
        let mut spec = AppSpec::new("api", "/srv/api.js", "/srv");
        spec.env = [("PORT", "80")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        (spec.uid, spec.instance_var) = (Some("somebody".to_owned()), "AT".to_owned());
        spec.filter_env = vec!["SECRET".to_owned()];
        let ambient = [("PATH", "/bin"), ("A_SECRET", "x"), ("PORT", "1")];
        let ambient: BTreeMap<_, _> = ambient.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let ambients = BTreeMap::from([("d".to_owned(), ambient)]);
        let instances = vec![InstanceView::sample(3, "api", 1)];
        let app = AppView { spec, file: None, ambient: Some("d".to_owned()), instances };
        let layout = Layout { home: "/h".to_owned(), names: Names::Pm2 };
        let numbers = |user: Option<&str>, _: Option<&str>| (user.map(|_| 7), user.map(|_| 8));
        let dump = pm2_dump(&[app], Around { layout: &layout, ambients: &ambients, owner: "me", numbers });
        let entry = &dump[0];
        assert_eq!(entry["pm_pid_path"], "/h/pids/api-3.pid");
        assert_eq!((&entry["uid"], &entry["gid"], &entry["username"]), (&json!(7), &json!(8), &json!("me")));
        assert_eq!((&entry["AT"], entry.get("instances"), entry.get("pm_id")), (&json!(1), None, None));
        assert_eq!(entry["env"], json!({ "PATH": "/bin", "PORT": "80", "unique_id": entry["unique_id"] }));
    }
}
