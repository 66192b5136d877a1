//! What runs, in PM2's keys: what `save` writes under its name.

use serde_json::{Value, json};

use crate::rpc::wire::{AppView, InstanceView};
use crate::spec::{ExecMode, LogTarget};

/// A process an element, in PM2's keys: what each resurrects from.
#[must_use]
pub fn pm2_dump(apps: &[AppView]) -> Value {
    let mut processes: Vec<(u32, Value)> = Vec::new();
    for app in apps {
        processes.extend(app.instances.iter().map(|view| (view.id, process(app, view))));
    }
    processes.sort_by_key(|(id, _)| *id);
    processes.into_iter().map(|(_, process)| process).collect()
}

fn process(app: &AppView, view: &InstanceView) -> Value {
    let spec = &app.spec;
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
        "exec_mode": if spec.exec_mode == ExecMode::Cluster { "cluster_mode" } else { "fork_mode" },
        "pm_exec_path": spec.script,
        "pm_cwd": spec.cwd,
        "pm_out_log_path": path(&spec.logs.out, &view.out_file),
        "pm_err_log_path": path(&spec.logs.error, &view.error_file),
        "merge_logs": spec.logs.merge,
        "instance_var": spec.instance_var,
        "NODE_APP_INSTANCE": view.slot,
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
        "env": spec.env,
        "status": if runs { "online" } else { "stopped" },
        "restart_time": view.restarts,
    });
    let more = [
        ("cron_restart", json!(spec.cron_restart)),
        ("max_memory_restart", json!(spec.max_memory_restart)),
        ("log_date_format", json!(spec.logs.date_format)),
        ("log_type", json!(spec.logs.json.then_some("json"))),
        ("pm_log_path", json!(view.log_file)),
        ("uid", json!(spec.uid)),
        ("gid", json!(spec.gid)),
        ("increment_var", json!(spec.increment_var)),
    ];
    for (key, value) in more.into_iter().filter(|(_, value)| !value.is_null()) {
        process[key] = value;
    }
    process
}
