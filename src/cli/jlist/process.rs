//! One instance as PM2's list has it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::status;
use crate::base::{ExitStatus, InstanceId};
use crate::cli::looks::Load;
use crate::cli::package::node_version;
use crate::platform::account_numbers;
use crate::rpc::wire::{AppView, InstanceView, OffersView};
use crate::spec::AppSpec;
use crate::supervisor::{Layout, declared, pid_file, unique_id};

#[derive(Debug)]
pub(super) struct Process<'a> {
    view: &'a InstanceView,
    env: Environment<'a>,
    load: Option<Load>,
}

/// `pm2_env`: what PM2 knows of a process, and all of its variables once more among that.
#[derive(Debug)]
struct Environment<'a> {
    app: &'a AppView,
    view: &'a InstanceView,
    inherited: &'a Inherited<'a>,
    /// What is declared, and what counts up.
    declared: BTreeMap<String, String>,
    unique_id: String,
    pid_file: String,
    version: Option<String>,
    node_version: Option<String>,
    owner: &'a str,
    offers: Option<&'a OffersView>,
    /// What git says of its folder, where that is asked for.
    versioning: Option<&'a Value>,
}

/// What is said of a process beside its variables, sorted: one that is called the same is only among these.
const OWN: &[&str] = &[
    "NODE_APP_INSTANCE",
    "_pm2_version",
    "args",
    "automation",
    "autorestart",
    "autostart",
    "axm_actions",
    "axm_dynamic",
    "axm_monitor",
    "axm_options",
    "created_at",
    "cron_restart",
    "env",
    "exec_interpreter",
    "exec_mode",
    "exit_code",
    "exp_backoff_restart_delay",
    "filter_env",
    "gid",
    "ignore_watch",
    "increment_var",
    "instance_var",
    "instances",
    "kill_retry_time",
    "kill_timeout",
    "km_link",
    "listen_timeout",
    "log_date_format",
    "log_type",
    "max_memory_restart",
    "max_restarts",
    "merge_logs",
    "min_uptime",
    "name",
    "namespace",
    "node_args",
    "node_version",
    "pm_cwd",
    "pm_err_log_path",
    "pm_exec_path",
    "pm_id",
    "pm_log_path",
    "pm_out_log_path",
    "pm_pid_path",
    "pm_uptime",
    "pmx",
    "prev_restart_delay",
    "restart_delay",
    "restart_time",
    "shutdown_with_message",
    "status",
    "stop_exit_codes",
    "time",
    "treekill",
    "uid",
    "unique_id",
    "unstable_restarts",
    "username",
    "version",
    "versioning",
    "vizion",
    "vizion_running",
    "wait_ready",
    "watch",
    "watch_delay",
    "windowsHide",
];

fn is_own(name: &str) -> bool {
    OWN.binary_search(&name).is_ok()
}

/// What processes inherit, looked through once for all that inherit the same.
#[derive(Debug)]
pub(super) struct Inherited<'a> {
    ambient: &'a BTreeMap<String, String>,
    /// Sorted; whether each is called as something of PM2's own.
    variables: Vec<(&'a str, &'a str, bool)>,
}

impl<'a> Inherited<'a> {
    pub(super) fn new(ambient: &'a BTreeMap<String, String>) -> Self {
        let variables = ambient.iter().map(|(name, value)| (name.as_str(), value.as_str(), is_own(name))).collect();
        Self { ambient, variables }
    }
}

impl<'a> Process<'a> {
    pub(super) fn new(
        app: &'a AppView,
        view: &'a InstanceView,
        inherited: &'a Inherited<'a>,
        load: Option<Load>,
        version: Option<String>,
        owner: &'a str,
        layout: &Layout,
    ) -> Self {
        let declared = declared(&app.spec, inherited.ambient, view.slot);
        let unique_id = unique_id(&InstanceId::new(view.name.as_str(), view.slot), view.id, layout);
        let pid_file = pid_file(&app.spec, view.slot, view.id, layout);
        let node_version = app.spec.is_node().then(|| view.pid.and_then(node_version)).flatten();
        let env = Environment {
            app,
            view,
            inherited,
            declared,
            unique_id,
            pid_file,
            version,
            node_version,
            owner,
            offers: None,
            versioning: None,
        };
        Self { view, env, load }
    }

    /// With what the process has said of itself.
    pub(super) fn offering(mut self, offers: Option<&'a OffersView>) -> Self {
        self.env.offers = offers;
        self
    }

    pub(super) fn versioned(mut self, versioning: Option<&'a Value>) -> Self {
        self.env.versioning = versioning.filter(|_| self.env.is_on("vizion"));
        self
    }

    pub(super) fn id(&self) -> u32 {
        self.view.id
    }
}

impl Serialize for Process<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(5))?;
        let view = self.view;
        // Of what has never run here there is none.
        let has_run = view.pid.is_some() || view.last_exit.is_some() || view.restarts > 0 || view.state != "stopped";
        if has_run {
            map.serialize_entry("pid", &view.pid.unwrap_or(0))?;
        }
        map.serialize_entry("name", &self.view.name)?;
        map.serialize_entry("pm2_env", &self.env)?;
        map.serialize_entry("pm_id", &self.view.id)?;
        let load = self.load.map(|load| (load.memory_bytes, number(load.cpu_percent())));
        let (memory, cpu) = load.unwrap_or((0, json!(0)));
        map.serialize_entry("monit", &json!({ "memory": memory, "cpu": cpu }))?;
        map.end()
    }
}

/// A whole one without a fraction, as JavaScript writes it.
fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "a percentage")]
    if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
}

impl Environment<'_> {
    /// Inherited and declared, as the process has them, and whether each is called as something of PM2's own.
    fn variables(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let mut over = self.declared.keys().peekable();
        let inherited = self.inherited.variables.iter().copied().filter(move |(name, ..)| {
            while over.next_if(|declared| declared.as_str() < *name).is_some() {}
            self.passes(name) && over.peek().is_none_or(|declared| declared != name)
        });
        let declared = self.declared.iter().map(|(name, value)| (name.as_str(), value.as_str(), is_own(name)));
        inherited.chain(declared)
    }

    /// What counts up is a number.
    fn value<'a>(&self, name: &str, value: &'a str) -> Variable<'a> {
        let counts = self.app.spec.increment_var.as_deref() == Some(name);
        let number = if counts { value.parse().ok() } else { None };
        number.map_or(Variable::Text(value), Variable::Number)
    }

    /// What is switched off an app of PM2's finds among its variables.
    fn is_on(&self, name: &str) -> bool {
        self.declared.get(name).is_none_or(|value| value != "false")
    }

    fn passes(&self, name: &str) -> bool {
        !self.app.spec.filter_env.iter().any(|part| !part.is_empty() && name.contains(part.as_str()))
    }
}

/// There are thousands: none is copied.
#[derive(Serialize)]
#[serde(untagged)]
enum Variable<'a> {
    Number(i64),
    Text(&'a str),
}

/// The variables alone.
struct Variables<'a>(&'a Environment<'a>);

impl Serialize for Variables<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let app = &self.0.app.spec.name;
        let mut is_said = false;
        for (name, value, _) in self.0.variables().filter(|(name, ..)| *name != "unique_id") {
            is_said |= name == app;
            map.serialize_entry(name, &self.0.value(name, value))?;
        }
        // What is kept for it by `set`: nothing.
        if !is_said {
            map.serialize_entry(app, &json!({}))?;
        }
        map.serialize_entry("unique_id", &self.0.unique_id)?;
        map.end()
    }
}

impl Serialize for Environment<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (spec, view) = (&self.app.spec, self.view);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &spec.name)?;
        map.serialize_entry("namespace", &spec.namespace)?;
        // PM2 keeps a command line as its shell with arguments.
        let shell = spec.shell().map(|shell| program(shell, self.inherited.ambient.get("PATH").map(String::as_str)));
        let args: Vec<&String> = match shell {
            Some(_) => spec.interpreter_args.iter().chain([&spec.script]).chain(&spec.args).collect(),
            None => spec.args.iter().collect(),
        };
        if !args.is_empty() {
            map.serialize_entry("args", &args)?;
        }
        if self.app.file.is_none() && spec.filter_env.is_empty() {
            map.serialize_entry("filter_env", &json!([]))?;
        }
        map.serialize_entry("env", &Variables(self))?;
        if spec.logs.merge {
            map.serialize_entry("merge_logs", &true)?;
        }
        map.serialize_entry("vizion", &self.is_on("vizion"))?;
        if let Some(versioning) = self.versioning {
            map.serialize_entry("versioning", versioning)?;
        }
        map.serialize_entry("autostart", &spec.autostart)?;
        map.serialize_entry("autorestart", &spec.restart.auto)?;
        map.serialize_entry("instance_var", &spec.instance_var)?;
        map.serialize_entry("pmx", &self.is_on("pmx"))?;
        map.serialize_entry("automation", &self.is_on("automation"))?;
        map.serialize_entry("treekill", &spec.stop.tree)?;
        map.serialize_entry("username", self.owner)?;
        map.serialize_entry("windowsHide", &true)?;
        map.serialize_entry("kill_retry_time", &100)?;
        map.serialize_entry("watch", &watch(spec))?;
        for (name, value) in explicit(spec) {
            map.serialize_entry(name, &value)?;
        }
        let interpreter = spec.interpreter.as_deref().filter(|_| shell.is_none());
        map.serialize_entry("node_args", if shell.is_some() { &[][..] } else { &spec.interpreter_args })?;
        map.serialize_entry("pm_exec_path", shell.as_ref().unwrap_or(&spec.script))?;
        map.serialize_entry("pm_cwd", &spec.cwd)?;
        map.serialize_entry("exec_interpreter", interpreter.unwrap_or("none"))?;
        // What has no channel to share a port by is no worker, whatever was asked for.
        let mode = if spec.is_worker() { "cluster_mode" } else { "fork_mode" };
        map.serialize_entry("exec_mode", mode)?;
        map.serialize_entry("instances", &spec.instances)?;
        map.serialize_entry("pm_out_log_path", view.out_file.as_deref().unwrap_or("/dev/null"))?;
        map.serialize_entry("pm_err_log_path", view.error_file.as_deref().unwrap_or("/dev/null"))?;
        if let Some(path) = &view.log_file {
            map.serialize_entry("pm_log_path", path)?;
        }
        map.serialize_entry("pm_pid_path", &self.pid_file)?;
        map.serialize_entry("km_link", &false)?;
        map.serialize_entry("vizion_running", &false)?;
        map.serialize_entry(&spec.instance_var, &view.slot)?;
        // Among PM2's own words they could be taken for these.
        for (name, value, _) in self.variables().filter(|(name, _, is_own)| !is_own && *name != spec.instance_var) {
            map.serialize_entry(name, &self.value(name, value))?;
        }
        map.serialize_entry("unique_id", &self.unique_id)?;
        map.serialize_entry("status", status(self.app, view))?;
        let launched = view.started_at_ms.or(view.last_started_at_ms);
        map.serialize_entry("pm_uptime", &launched.unwrap_or(0))?;
        let offers = self.offers.and_then(|view| view.offers.clone()).unwrap_or_default();
        map.serialize_entry("axm_actions", &offers.actions)?;
        map.serialize_entry("axm_monitor", &offers.measures)?;
        let mut options = offers.options;
        options.entry("module_name").or_insert_with(|| json!(spec.name));
        map.serialize_entry("axm_options", &options)?;
        map.serialize_entry("axm_dynamic", &json!({}))?;
        map.serialize_entry("created_at", &launched)?;
        map.serialize_entry("pm_id", &view.id)?;
        map.serialize_entry("restart_time", &view.restarts)?;
        map.serialize_entry("unstable_restarts", &view.unstable_restarts)?;
        map.serialize_entry("version", self.version.as_deref().unwrap_or("N/A"))?;
        map.serialize_entry("node_version", self.node_version.as_deref().unwrap_or("N/A"))?;
        if spec.is_worker() {
            map.serialize_entry("_pm2_version", env!("CARGO_PKG_VERSION"))?;
        }
        if let Some(code) = view.last_exit.and_then(exit_code) {
            map.serialize_entry("exit_code", &code)?;
        }
        if let Some(ms) = view.backoff_ms {
            map.serialize_entry("prev_restart_delay", &ms)?;
        }
        map.end()
    }
}

/// As a shell says it: what a signal ended did not end with success.
pub(in crate::cli) fn exit_code(status: ExitStatus) -> Option<i32> {
    match status {
        ExitStatus::Code(code) => Some(code),
        ExitStatus::Signal(signal) => Some(128 + signal),
        ExitStatus::OutOfMemory(_) => Some(137),
        ExitStatus::Unknown => None,
    }
}

/// `true`, or the paths where it is not all that is there.
fn watch(spec: &AppSpec) -> Value {
    if spec.watch.enabled && !spec.watch.paths.is_empty() { json!(spec.watch.paths) } else { json!(spec.watch.enabled) }
}

/// What somebody has said, in PM2's units: bytes and milliseconds. What is as it would be anyway nobody has.
fn explicit(spec: &AppSpec) -> Vec<(&'static str, Value)> {
    let usual = AppSpec::new("", "", "");
    let mut said = Vec::new();
    let mut say = |name, is_said: bool, value: Value| said.extend(is_said.then_some((name, value)));
    let (restart, stop) = (&spec.restart, &spec.stop);
    say("max_memory_restart", spec.max_memory_restart.is_some(), json!(spec.max_memory_restart));
    say("min_uptime", restart.min_uptime_ms != usual.restart.min_uptime_ms, json!(restart.min_uptime_ms));
    say("max_restarts", restart.max_restarts != usual.restart.max_restarts, json!(restart.max_restarts));
    say("restart_delay", restart.delay_ms > 0, json!(restart.delay_ms));
    say("exp_backoff_restart_delay", restart.backoff_ms > 0, json!(restart.backoff_ms));
    say("kill_timeout", stop.timeout_ms != usual.stop.timeout_ms, json!(stop.timeout_ms));
    let listen_ms = spec.readiness.timeout_ms;
    say("listen_timeout", listen_ms != usual.readiness.timeout_ms, json!(listen_ms));
    say("wait_ready", spec.readiness.wait_ready, json!(true));
    say("cron_restart", spec.cron_restart.is_some(), json!(spec.cron_restart));
    say("ignore_watch", !spec.watch.ignore.is_empty(), json!(spec.watch.ignore));
    say("watch_delay", spec.watch.delay_ms != usual.watch.delay_ms, json!(spec.watch.delay_ms));
    // One alone is none of a list.
    let codes = match &restart.stop_exit_codes[..] {
        [one] => json!(one),
        codes => json!(codes),
    };
    say("stop_exit_codes", !restart.stop_exit_codes.is_empty(), codes);
    say("log_date_format", spec.logs.date_format.is_some(), json!(spec.logs.date_format));
    say("time", spec.logs.date_format.as_deref() == Some(TIME), json!(true));
    say("log_type", spec.logs.json, json!("json"));
    say("filter_env", !spec.filter_env.is_empty(), json!(spec.filter_env));
    say("increment_var", spec.increment_var.is_some(), json!(spec.increment_var));
    say("shutdown_with_message", stop.message, json!(true));
    let (uid, gid) = account_numbers(spec.uid.as_deref(), spec.gid.as_deref());
    say("uid", spec.uid.is_some(), uid.map_or_else(|| json!(spec.uid), |uid| json!(uid)));
    say("gid", gid.is_some() || spec.gid.is_some(), gid.map_or_else(|| json!(spec.gid), |gid| json!(gid)));
    said
}

/// What `time` stands for.
const TIME: &str = "YYYY-MM-DDTHH:mm:ss";

/// Where a shell is that is only named.
pub(in crate::cli) fn program(shell: &str, path: Option<&str>) -> String {
    let found = || {
        let folders = path.unwrap_or("/usr/bin:/bin").split(':').filter(|folder| folder.starts_with('/'));
        let mut paths = folders.map(|folder| format!("{folder}/{shell}"));
        paths.find(|path| Path::new(path).is_file())
    };
    if shell.contains('/') { shell.to_owned() } else { found().unwrap_or_else(|| shell.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(spec: AppSpec, view: &InstanceView, ambient: &BTreeMap<String, String>) -> Value {
        let app = AppView { spec, file: None, ambient: None, instances: Vec::new() };
        let load = Some(Load { memory_bytes: 7, cpu_permille: 15, cpu_ms: 0, processes: 1 });
        let layout = Layout { home: "/h".to_owned(), names: crate::supervisor::Names::Own };
        let inherited = Inherited::new(ambient);
        json!(Process::new(&app, view, &inherited, load, Some("1.0.0".to_owned()), "me", &layout))
    }

    #[test]
    fn every_name_of_pm2_is_there() {
        let spec = AppSpec::new("forky", "/srv/echo.js", "/srv");
        let value = value(spec, &InstanceView::sample(3, "forky", 0), &BTreeMap::new());
        let names: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(names, ["name", "pm2_env", "pm_id", "monit"], "it has never run");
        assert_eq!(value["monit"], json!({ "memory": 7, "cpu": 1.5 }));
        let env = value["pm2_env"].as_object().unwrap();
        for name in [
            "name",
            "namespace",
            "env",
            "autostart",
            "autorestart",
            "instance_var",
            "treekill",
            "username",
            "node_args",
            "pm_exec_path",
            "pm_cwd",
            "exec_interpreter",
            "exec_mode",
            "instances",
            "pm_out_log_path",
            "pm_err_log_path",
            "pm_pid_path",
            "NODE_APP_INSTANCE",
            "unique_id",
            "status",
            "pm_uptime",
            "axm_actions",
            "axm_monitor",
            "axm_options",
            "axm_dynamic",
            "created_at",
            "pm_id",
            "restart_time",
            "unstable_restarts",
            "version",
            "node_version",
            "vizion",
            "pmx",
            "automation",
            "windowsHide",
            "kill_retry_time",
            "km_link",
            "vizion_running",
        ] {
            assert!(env.contains_key(name), "{name}");
        }
        assert_eq!(env["pm_pid_path"], "/h/pids/forky-3.pid");
        assert_eq!(env["axm_options"]["module_name"], "forky");
        assert!(OWN.is_sorted());
        for name in env.keys() {
            assert!(OWN.contains(&name.as_str()), "{name} could be there twice");
        }
    }

    #[test]
    fn variables_are_there_twice_and_never_take_the_place_of_what_is_pm2s_own() {
        let mut spec = AppSpec::new("api", "/srv/api.js", "/srv");
        spec.env = [("PORT", "80"), ("status", "mine"), ("N", "7")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        spec.increment_var = Some("N".to_owned());
        spec.filter_env = vec!["SECRET".to_owned()];
        let ambient = [("HOME", "/root"), ("PORT", "1"), ("A_SECRET", "x")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let value = value(spec, &InstanceView::sample(3, "api", 2), &ambient.into());
        let env = value["pm2_env"].as_object().unwrap();
        let nested = env["env"].as_object().unwrap();
        for (name, want) in [("HOME", json!("/root")), ("PORT", json!("80")), ("N", json!(9))] {
            assert_eq!((&nested[name], &env[name]), (&want, &want));
        }
        assert_eq!((&nested["api"], env.get("api")), (&json!({}), None));
        assert_eq!((&nested["status"], &env["status"]), (&json!("mine"), &json!("stopped")));
        assert!(!nested.contains_key("A_SECRET") && !env.contains_key("A_SECRET"));
        assert_eq!(nested["unique_id"], env["unique_id"]);
        // As text: a map would hide what is there twice.
        let text = value.to_string();
        assert_eq!(text.matches("\"PORT\"").count(), 2);
    }

    #[test]
    fn a_command_line_is_its_shell_with_arguments() {
        let mut spec = AppSpec::new("line", "node a.js --port 3", "/srv");
        (spec.interpreter, spec.interpreter_args) = (Some("sh".to_owned()), vec!["-c".to_owned()]);
        spec.restart.stop_exit_codes = vec![3];
        (spec.logs.date_format, spec.uid) = (Some(TIME.to_owned()), Some("root".to_owned()));
        let ambient = BTreeMap::from([("PATH".to_owned(), "nowhere:/bin".to_owned())]);
        let env = &value(spec, &InstanceView::sample(3, "line", 0), &ambient)["pm2_env"];
        assert_eq!(env["pm_exec_path"], "/bin/sh");
        assert_eq!(env["args"], json!(["-c", "node a.js --port 3"]));
        assert_eq!((&env["exec_interpreter"], &env["node_args"]), (&json!("none"), &json!([])));
        assert_eq!((&env["stop_exit_codes"], &env["time"]), (&json!(3), &json!(true)));
        assert_eq!((&env["uid"], &env["gid"], &env["username"]), (&json!(0), &json!(0), &json!("me")));
    }

    #[test]
    fn what_was_said_is_in_pm2s_units() {
        let mut spec = AppSpec::new("api", "/srv/api.js", "/srv");
        assert!(explicit(&spec).is_empty());
        spec.max_memory_restart = Some(200 << 20);
        spec.restart.min_uptime_ms = 5_000;
        spec.watch.enabled = true;
        let mut view = InstanceView::sample(3, "api", 0);
        (view.last_exit, view.backoff_ms) = (Some(ExitStatus::Signal(9)), Some(150));
        let env = &value(spec.clone(), &view, &BTreeMap::new())["pm2_env"];
        assert_eq!(env["max_memory_restart"], 209_715_200);
        assert_eq!((&env["min_uptime"], &env["watch"]), (&json!(5_000), &json!(true)));
        assert_eq!((&env["exit_code"], &env["prev_restart_delay"]), (&json!(137), &json!(150)));
        spec.instance_var = "AT".to_owned();
        let value = value(spec, &view, &BTreeMap::new());
        assert_eq!((&value["pid"], &value["pm2_env"]["AT"]), (&json!(0), &json!(0)));
    }
}
