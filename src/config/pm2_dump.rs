//! What `pm2 save` wrote: the processes that ran, with all that PM2 knew of them. Read as data, and given back as apps as
//! an ecosystem file would declare them.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::{Map, Value};

use crate::document::{Entry, Key, Kind, Node};
use crate::schema;

/// A dump of a thousand processes with a large environment each is far smaller.
const SIZE_MAX: u64 = 32 << 20;
const PROCESSES_MAX: usize = 10_000;

/// An app of a dump.
#[derive(Clone, Debug)]
pub struct Dumped {
    pub name: String,
    /// As an ecosystem file would say it.
    pub node: Node,
    /// Which of its instances ran.
    pub up: Vec<u32>,
}

/// What PM2 keeps for itself: states, counters, measurements, and what it sets by itself.
const OWN: &[&str] = &[
    "_km_monitored",
    "_pm2_version",
    "_tree_pids",
    "NODE_APP_INSTANCE",
    "automation",
    "axm_actions",
    "axm_dynamic",
    "axm_monitor",
    "axm_options",
    "created_at",
    "exit_code",
    "km_link",
    "kill_retry_time",
    "node_version",
    "pm_id",
    "pm_uptime",
    "pmx",
    "pmx_module",
    "prev_restart_delay",
    "restart_time",
    "status",
    "unique_id",
    "unstable_restarts",
    "username",
    "version",
    "versioning",
    "vizion",
    "vizion_running",
    "windowsHide",
];

/// What is said in another way here.
const TRANSLATED: &[&str] = &[
    "args",
    "env",
    "exec_interpreter",
    "exec_mode",
    "instances",
    "name",
    "pm_cwd",
    "pm_err_log_path",
    "pm_exec_path",
    "pm_log_path",
    "pm_out_log_path",
    "pm_pid_path",
];

/// Variables that PM2 sets for itself, or that are of the shell that it was called from, and that got into the environment of its apps.
const OWN_VARIABLES: &[&str] =
    &["NODE_APP_INSTANCE", "OLDPWD", "PROCESS_TITLE", "PWD", "SHLVL", "_", "pm_id", "unique_id"];
const OWN_PREFIX: &str = "PM2_";
/// What we set for ourselves, where one was started from an app of ours.
const OUR_PREFIX: &str = "PMRUN_";

/// # Errors
/// The system's; and of what is too large to be one.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(SIZE_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > SIZE_MAX {
        return Err(io::Error::other(format!("it is larger than {} MB", SIZE_MAX >> 20)));
    }
    Ok(text)
}

/// The apps of a dump, and what is left out of it. What `inherited` has, too, is left to be inherited: PM2 does not say what
/// was declared.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn parse(text: &[u8], inherited: &BTreeMap<String, String>) -> Result<(Vec<Dumped>, Vec<String>), String> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let value: Value = serde_json::from_slice(text).map_err(|error| format!("{error}"))?;
    let Value::Array(processes) = value else { return Err(format!("it is {}, not a list", kind(&value))) };
    if processes.len() > PROCESSES_MAX {
        return Err(format!("it has more than {PROCESSES_MAX} processes"));
    }
    let (mut notes, mut first_problem) = (Vec::new(), None);
    let mut apps: Vec<(String, Vec<Map<String, Value>>)> = Vec::new();
    for (number, process) in processes.into_iter().enumerate() {
        let (name, process) = match named(process) {
            Ok(named) => named,
            Err(problem) => {
                notes.push(format!("its entry {number} is left out: {problem}"));
                first_problem.get_or_insert(format!("none of its entries is an app; entry {number}: {problem}"));
                continue;
            }
        };
        if process.get("pmx_module").is_some_and(|module| module == &Value::Bool(true)) {
            notes.push(format!("`{name}` is a module of PM2's, and left out"));
            continue;
        }
        match apps.iter_mut().find(|(known, _)| *known == name) {
            Some((_, processes)) => processes.push(process),
            None => apps.push((name, vec![process])),
        }
    }
    // Where none is one, it is something else.
    if let Some(problem) = first_problem.as_ref().filter(|_| apps.is_empty()) {
        return Err(problem.clone());
    }
    let mut dumped = Vec::new();
    for (name, processes) in apps {
        match app(&name, &processes, inherited) {
            Ok(app) => dumped.push(app),
            // The others are none the worse for it.
            Err(problem) => {
                notes.push(format!("`{name}` is left out: {problem}"));
                first_problem.get_or_insert(format!("app `{name}`: {problem}"));
            }
        }
    }
    match first_problem.filter(|_| dumped.is_empty()) {
        Some(problem) => Err(problem),
        None => Ok((dumped, notes)),
    }
}

fn named(process: Value) -> Result<(String, Map<String, Value>), String> {
    let Value::Object(process) = process else { return Err(format!("it is {}, not an object", kind(&process))) };
    // `jlist` wraps it.
    let process = match process.get("pm2_env") {
        Some(Value::Object(inner)) => inner.clone(),
        _ => process,
    };
    Ok((text_of(&process, "name")?, process))
}

fn app(name: &str, processes: &[Map<String, Value>], inherited: &BTreeMap<String, String>) -> Result<Dumped, String> {
    let mut first = processes.first().ok_or("it has no process")?.clone();
    // Of one that is called `env`, that is seen to where its variables are read.
    if name != "env" && first.get(name).is_some_and(is_of_the_name) {
        first.remove(name);
    }
    let first = &first;
    let mut entries = vec![("name".to_owned(), Value::from(name)), ("script".to_owned(), script(first)?)];
    let mut put = |key: &str, value: Value| entries.push((key.to_owned(), value));
    if let Some(cwd) = first.get("pm_cwd") {
        put("cwd", cwd.clone());
    }
    if let Some(args) = first.get("args").filter(|args| !args.is_null()) {
        put("args", args.clone());
    }
    if let Some(interpreter) = first.get("exec_interpreter").filter(|one| !one.is_null()) {
        put("interpreter", interpreter.clone());
    }
    if let Some(mode) = first.get("exec_mode") {
        let mode = mode.as_str().map_or_else(|| mode.clone(), |mode| Value::from(mode.trim_end_matches("_mode")));
        put("exec_mode", mode);
    }
    put("instances", Value::from(processes.len()));
    let environment = variables(first)?;
    let declared: Map<String, Value> = environment
        .iter()
        .filter(|(key, _)| {
            !OWN_VARIABLES.contains(&key.as_str()) && !key.starts_with(OWN_PREFIX) && !key.starts_with(OUR_PREFIX)
        })
        .filter(|(key, value)| key.as_str() != name || !is_of_the_name(value))
        .filter(|(key, value)| value.as_str().is_none_or(|value| inherited.get(*key).is_none_or(|own| own != value)))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if !declared.is_empty() {
        put("env", Value::Object(declared));
    }
    let home = environment.get("PM2_HOME").and_then(Value::as_str);
    for (theirs, ours) in [
        ("pm_out_log_path", "out_file"),
        ("pm_err_log_path", "error_file"),
        ("pm_log_path", "log_file"),
        ("pm_pid_path", "pid_file"),
    ] {
        if let Some(path) = first.get(theirs).and_then(Value::as_str).filter(|path| !is_own(path, home)) {
            put(ours, Value::from(unnumbered(path, first)));
        }
    }
    for (key, value) in first {
        // PM2 writes each variable beside its options, too.
        let is_variable = environment.get(key) == Some(value);
        let is_overlay = key.strip_prefix("env_").is_some_and(|profile| !profile.is_empty() && value.is_object());
        let is_number = first.get("instance_var").is_some_and(|name| name == key.as_str());
        let is_said = is_number || OWN.contains(&key.as_str()) || TRANSLATED.contains(&key.as_str());
        let is_option = schema::is_option(key);
        if !is_said && !is_overlay && !value.is_null() && (is_option || !is_variable) && !is_default(key, value) {
            put(key, value.clone());
        }
    }
    let runs = |process: &Map<String, Value>| {
        !matches!(process.get("status").and_then(Value::as_str), Some("stopped" | "stopping" | "errored"))
    };
    let up = (0..).zip(processes).filter(|(_, process)| runs(process)).map(|(slot, _)| slot).collect();
    let entries =
        entries.into_iter().map(|(key, value)| Entry { key: Key { text: key, span: None }, value: node(value) });
    Ok(Dumped { name: name.to_owned(), node: Node::new(Kind::Mapping(entries.collect()), None), up })
}

/// What a file may say, and a shell would run as a line, is none here: PM2 keeps a path, and a dump is never evaluated.
fn script(process: &Map<String, Value>) -> Result<Value, String> {
    let script = text_of(process, "pm_exec_path")?;
    let is_file = || script.starts_with('/') && Path::new(&script).is_file();
    if script.contains(char::is_whitespace) && !is_file() && !is_line(process) {
        return Err(format!("its `pm_exec_path` is no file: `{script}`"));
    }
    Ok(Value::from(script))
}

/// An app that was declared as a command line, as our own dump has it: its interpreter is a shell that is told to run one.
fn is_line(process: &Map<String, Value>) -> bool {
    let shell = process.get("exec_interpreter").and_then(Value::as_str);
    let name = shell.map(|shell| shell.rsplit('/').next().unwrap_or_default());
    let arguments = process.get("node_args").and_then(Value::as_array);
    matches!(name, Some("sh" | "bash")) && arguments.and_then(|all| all.last()).is_some_and(|last| last == "-c")
}

/// What PM2 writes under the name of each app, whatever else is called so: what was set for that app alone.
fn is_of_the_name(value: &Value) -> bool {
    value.is_object() || matches!(value.as_str(), Some("{}" | "[object Object]"))
}

fn variables(process: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    match process.get("env") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(variables)) => Ok(variables.clone()),
        // Of an app that is called so, PM2 writes the variable of that name over it; each of the others stands beside it.
        Some(Value::String(_)) => Ok(beside(process)),
        Some(other) => Err(format!("its `env` is {}, not an object", kind(other))),
    }
}

/// What stands beside what PM2 knows, and is none of that.
fn beside(process: &Map<String, Value>) -> Map<String, Value> {
    let is_own = |key: &str| {
        OWN.contains(&key) || TRANSLATED.contains(&key) || schema::is_option(key) || key.starts_with("env_")
    };
    let is_variable = |(key, value): &(&String, &Value)| value.is_string() && !is_own(key);
    process.iter().filter(is_variable).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn text_of(process: &Map<String, Value>, key: &str) -> Result<String, String> {
    match process.get(key) {
        Some(Value::String(text)) if text.is_empty() => Err(format!("its `{key}` is empty")),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("its `{key}` is {}, not a text", kind(other))),
        None => Err(format!("it has no `{key}`")),
    }
}

/// Where PM2 puts files that nobody named.
fn is_own(path: &str, home: Option<&str>) -> bool {
    let below = |home: &str| path.starts_with(&format!("{home}/logs/")) || path.starts_with(&format!("{home}/pids/"));
    home.is_some_and(|home| below(home.trim_end_matches('/')))
        || path.contains("/.pm2/logs/")
        || path.contains("/.pm2/pids/")
}

/// Less the process's number, which PM2 puts before the ending: `out-3.log`.
fn unnumbered(path: &str, process: &Map<String, Value>) -> String {
    let pid_file = process.get("pm_pid_path").and_then(Value::as_str).unwrap_or_default();
    let number = pid_file.strip_suffix(".pid").and_then(|path| path.rsplit_once('-')).map(|(_, number)| number);
    let number = number.filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let (stem, ending) = path.rsplit_once('.').unwrap_or((path, ""));
    match number.and_then(|number| stem.strip_suffix(&format!("-{number}"))) {
        Some(stem) if ending.is_empty() => stem.to_owned(),
        Some(stem) => format!("{stem}.{ending}"),
        None => path.to_owned(),
    }
}

/// What PM2 writes where nothing was said.
fn is_default(key: &str, value: &Value) -> bool {
    match key {
        "namespace" => value == "default",
        "instance_var" => value == "NODE_APP_INSTANCE",
        "autostart" | "autorestart" | "treekill" => value == &Value::Bool(true),
        "watch" => value == &Value::Bool(false),
        "node_args" | "filter_env" => value.as_array().is_some_and(Vec::is_empty),
        _ => false,
    }
}

fn node(value: Value) -> Node {
    let kind = match value {
        Value::Null => Kind::Null,
        Value::Bool(value) => Kind::Bool(value),
        Value::Number(number) => Kind::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::String(text),
        Value::Array(items) => Kind::Sequence(items.into_iter().map(node).collect()),
        Value::Object(entries) => Kind::Mapping(
            entries
                .into_iter()
                .map(|(text, value)| Entry { key: Key { text, span: None }, value: node(value) })
                .collect(),
        ),
    };
    Node::new(kind, None)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::to_json;
    use serde_json::json;

    fn check(dump: &Value, want: &Value) {
        let inherited =
            BTreeMap::from([("PATH".to_owned(), "/bin".to_owned()), ("HOME".to_owned(), "/root".to_owned())]);
        let got = match parse(dump.to_string().as_bytes(), &inherited) {
            Ok((apps, notes)) => {
                let apps: Vec<Value> = apps.iter().map(|app| json!([to_json(&app.node), app.up])).collect();
                if notes.is_empty() { json!(apps) } else { json!([apps, notes]) }
            }
            Err(problem) => json!(problem),
        };
        assert_eq!(got, *want, "{dump}");
    }

    /// As PM2 7 writes it, shortened.
    fn process() -> Value {
        json!({
            "name": "api", "namespace": "default", "args": ["--a", "two words"],
            "env": {
                "PATH": "/bin", "HOME": "/home/app", "PM2_HOME": "/home/app/.pm2", "PM2_USAGE": "CLI",
                "unique_id": "d1", "api": "{}", "PORT": 8080, "LANG": "C",
            },
            "env_production": { "PORT": 1 }, "merge_logs": true, "vizion": true, "autostart": true, "autorestart": true,
            "instance_var": "NODE_APP_INSTANCE", "pmx": true, "treekill": true, "username": "root", "windowsHide": true,
            "kill_retry_time": 100, "node_args": [], "pm_exec_path": "/srv/app/api.js", "pm_cwd": "/srv/app",
            "exec_interpreter": "node", "exec_mode": "cluster_mode", "max_memory_restart": 209_715_200,
            "pm_out_log_path": "/home/app/.pm2/logs/api-out-3.log", "pm_err_log_path": "/var/log/api-3.log",
            "pm_pid_path": "/home/app/.pm2/pids/api-3.pid", "NODE_APP_INSTANCE": 0,
            "PATH": "/bin", "HOME": "/home/app", "PORT": 8080, "LANG": "C", "PM2_HOME": "/home/app/.pm2", "PM2_USAGE": "CLI",
            "unique_id": "d1", "api": "{}", "status": "online", "pm_uptime": 1, "axm_actions": [], "axm_monitor": {},
            "created_at": 1, "restart_time": 0, "version": "1.0.0",
        })
    }

    #[test]
    fn processes_of_one_name_are_the_instances_of_an_app() {
        let mut second = process();
        second["status"] = json!("stopped");
        let want = json!({
            "name": "api", "script": "/srv/app/api.js", "cwd": "/srv/app", "args": ["--a", "two words"],
            "interpreter": "node", "exec_mode": "cluster", "instances": 2,
            "env": { "HOME": "/home/app", "PORT": 8080, "LANG": "C" }, "error_file": "/var/log/api.log",
            "merge_logs": true, "max_memory_restart": 209_715_200,
        });
        check(&json!([process(), second]), &json!([[want, [0]]]));
        check(
            &json!([{ "pm2_env": { "name": "a", "pm_exec_path": "/a" }, "pid": 1 }]),
            &json!([
                [{ "name": "a", "script": "/a", "instances": 1 }, [0]]
            ]),
        );
        check(&json!([]), &json!([]));
    }

    #[test]
    fn what_is_no_file_is_never_run_by_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my app.js");
        let script = path.to_str().unwrap();
        let left_out = |script: &str| json!(format!("app `a`: its `pm_exec_path` is no file: `{script}`"));
        for script in ["$(touch /tmp/x)", "touch /tmp/x", "/bin/sh -c 'touch x'", "./a b.js", script] {
            check(&json!([{ "name": "a", "pm_exec_path": script, "exec_interpreter": "none" }]), &left_out(script));
            let shell = json!({ "name": "a", "pm_exec_path": script, "exec_interpreter": "bash" });
            check(&json!([shell]), &left_out(script));
        }
        std::fs::write(&path, "").unwrap();
        let app = json!([{ "name": "a", "script": script, "interpreter": "node", "instances": 1 }, [0]]);
        check(&json!([{ "name": "a", "pm_exec_path": script, "exec_interpreter": "node" }]), &json!([app]));
        // Our own, of an app that was declared so.
        let line = json!({ "name": "a", "pm_exec_path": "sleep 9", "exec_interpreter": "bash", "node_args": ["-c"] });
        let app =
            json!({ "name": "a", "script": "sleep 9", "interpreter": "bash", "node_args": ["-c"], "instances": 1 });
        check(&json!([line]), &json!([[app, [0]]]));
    }

    #[test]
    fn an_app_may_be_called_as_an_option_is() {
        for name in ["user", "port", "cron", "exec", "cmd", "args", "instances", "watch", "max_restarts"] {
            for value in [json!("{}"), json!("[object Object]"), json!({}), json!({ "X": "1" })] {
                let mut process = json!({ "name": name, "pm_exec_path": "/a", "env": { "Y": "2", name: value } });
                process[name] = value;
                let app = json!({ "name": name, "script": "/a", "instances": 1, "env": { "Y": "2" } });
                check(&json!([process]), &json!([[app, [0]]]));
            }
        }
        // What it says of the option stays.
        let process = json!({ "name": "watch", "pm_exec_path": "/a", "watch": true });
        check(&json!([process]), &json!([[{ "name": "watch", "script": "/a", "instances": 1, "watch": true }, [0]]]));
    }

    #[test]
    fn modules_are_left_out_and_said() {
        let module = json!({ "name": "pm2-logrotate", "pmx_module": true });
        check(&json!([module]), &json!([[], ["`pm2-logrotate` is a module of PM2's, and left out"]]));
    }

    #[test]
    fn an_entry_that_is_no_app_takes_nobody_with_it() {
        let app = json!([{ "name": "a", "script": "/a", "instances": 1 }, [0]]);
        for (other, why) in [
            (json!({ "pm_exec_path": "/b" }), "it has no `name`"),
            (json!({ "name": 5, "pm_exec_path": "/b" }), "its `name` is a number, not a text"),
            (json!({ "name": ["b"], "pm_exec_path": "/b" }), "its `name` is a list, not a text"),
            (json!({ "name": null, "pm_exec_path": "/b" }), "its `name` is null, not a text"),
            (json!({ "name": "", "pm_exec_path": "/b" }), "its `name` is empty"),
            (json!(null), "it is null, not an object"),
            (json!(7), "it is a number, not an object"),
            (json!("b"), "it is a text, not an object"),
            (json!([{ "name": "b" }]), "it is a list, not an object"),
        ] {
            let good = json!({ "name": "a", "pm_exec_path": "/a" });
            let said = |number: u32| json!([[app], [format!("its entry {number} is left out: {why}")]]);
            check(&json!([good, other]), &said(1));
            check(&json!([other, good]), &said(0));
        }
    }

    #[test]
    fn what_is_the_shell_s_is_not_declared() {
        let env = json!({ "SHLVL": "1", "_": "/usr/bin/pm2", "OLDPWD": "/", "PWD": "/srv", "a": {}, "PORT": "1" });
        let app = json!([{ "name": "a", "script": "/a", "instances": 1, "env": { "PORT": "1" } }, [0]]);
        check(&json!([{ "name": "a", "pm_exec_path": "/a", "env": env }]), &json!([app]));
    }

    #[test]
    fn what_is_no_dump_is_one_clear_error() {
        check(&json!({ "apps": [] }), &json!("it is an object, not a list"));
        check(&json!([1, {}]), &json!("none of its entries is an app; entry 0: it is a number, not an object"));
        check(
            &json!([{ "name": 5 }]),
            &json!("none of its entries is an app; entry 0: its `name` is a number, not a text"),
        );
        check(&json!([{ "name": "a" }]), &json!("app `a`: it has no `pm_exec_path`"));
        check(
            &json!([{ "name": "a", "pm_exec_path": "/a", "env": [1] }]),
            &json!("app `a`: its `env` is a list, not an object"),
        );
        let said = |text: &[u8]| parse(text, &BTreeMap::new()).unwrap_err();
        assert!(said(b"").contains("EOF"));
        assert!(said(b"[{\"name\": (function(){ return 1 })()}]").contains("line 1"), "nothing is evaluated");
        let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
        assert!(said(&deep).contains("recursion limit"), "{}", said(&deep));
        let many = format!("[{}]", vec!["{}"; PROCESSES_MAX + 1].join(","));
        assert!(said(many.as_bytes()).contains("more than"));
    }
}
