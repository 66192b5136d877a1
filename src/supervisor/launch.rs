use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{InstanceId, sha256_hex};
use crate::plan::spec_digest;
use crate::spec::{AppSpec, Distribution, ExecMode, Limits, LogTarget, Rotation, Runtime};

/// File names stay well below the 255 bytes that file systems allow, whatever is appended to them.
const SAFE_NAME_BYTES_MAX: usize = 100;
/// Node's own (`--inspect`).
const INSPECT_PORT: u16 = 9_229;

/// The argument that pmrun serves files with.
pub const SERVE_FILES: &str = "__serve";

/// Makes a process of node's a worker of a cluster.
pub(super) const NODE_UNIQUE_ID: &str = "NODE_UNIQUE_ID";

/// Variables that would connect a process to somebody else's supervisor: the one of the shell that pmrun was
/// called from. Not inherited; where the app gets one of its own, the host sets it.
const NOT_INHERITED: [&str; 9] = [
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    NODE_UNIQUE_ID,
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];

/// One attempt to run an instance. Never used twice, unlike a pid: every event that comes back from the
/// operating system names the launch it is about, so that a late one cannot be taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaunchId(pub u64);

/// Everything the host needs to start a process; it decides nothing itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub id: LaunchId,
    pub instance: InstanceId,
    /// Absolute, or to be found in the new process's PATH.
    pub program: String,
    /// Without the program itself.
    pub args: Vec<String>,
    pub cwd: String,
    /// What the invoking shell had, already filtered. Shared by all that were started by one command.
    pub ambient: Arc<BTreeMap<String, String>>,
    /// Declared and computed variables; they win over `ambient`.
    pub env: BTreeMap<String, String>,
    pub out: Output,
    pub error: Output,
    /// What it writes passes through pmrun, which adds something or puts both streams into one file; none: it writes
    /// its files itself.
    pub framing: Option<Framing>,
    pub rotation: Rotation,
    pub pid_file: String,
    /// Give it Node's channel on a socket pair (`NODE_CHANNEL_FD`).
    pub channel: bool,
    /// Give it `NOTIFY_SOCKET`.
    pub notify: bool,
    /// It says that it is ready by a line that this regular expression matches.
    pub ready_log: Option<String>,
    /// Give it a standard input that can be written to and never ends; without, `/dev/null`.
    pub stdin: bool,
    /// As whom it runs: names or numbers; as the daemon without.
    pub user: Option<String>,
    pub group: Option<String>,
    /// None is the daemon's.
    pub umask: Option<u32>,
    /// Added to the daemon's.
    pub nice: i32,
    /// By the names of [`crate::spec::LIMITS`].
    pub rlimits: BTreeMap<String, Option<u64>>,
    /// Of it with all that it starts.
    pub limits: Limits,
    /// Sockets that it is given from descriptor 3 on, as [`crate::spec::Listener`] reads them.
    pub listen: Vec<String>,
    /// How what it asks for over its channel is shared out.
    pub distribution: Distribution,
    /// It shares its app's sockets with the other instances, over its channel: a worker of Node's cluster.
    pub worker: bool,
    /// What helps node's workers to finish what they have begun is loaded before their own code.
    pub preload: bool,
    /// The script that node is to read the source map of, where it has one.
    pub mapped: Option<String>,
    /// When its first process ends by itself, kill what is left of its process group.
    pub tree: bool,
    /// Another process is there in its slot, which it relieves: its pid is written beside that one's.
    pub relieves: bool,
    /// Nobody who connects is given to it before it has taken over, and when it is relieved: it has TCP sockets of its own then.
    pub steered: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Opened for appending by the process itself; its folder is made when missing.
    File(String),
    Null,
}

/// What pmrun makes of the lines that pass through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framing {
    /// The instance, as `list` numbers it.
    pub process_id: u32,
    /// A further file for both streams.
    pub combined: Option<String>,
    /// Before each line, or in each record.
    pub date_format: Option<String>,
    /// Each line is an object.
    pub json: bool,
    /// Others write to the same files.
    pub shared: bool,
}

impl Framing {
    /// Whether what is written stays as it is, and where it would go by itself.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.combined.is_none() && self.date_format.is_none() && !self.json && !self.shared
    }
}

impl Launch {
    /// As [`AppSpec::shares_sockets`].
    #[must_use]
    pub fn shares_sockets(&self) -> bool {
        self.worker || !self.listen.is_empty()
    }

    /// The same by the second name of its slot: whose process is whose must be plain while there are two.
    #[must_use]
    pub fn by_second_name(mut self) -> Self {
        self.instance = self.instance.second();
        self.env.insert("PMRUN_INSTANCE".to_owned(), self.instance.to_string());
        self
    }

    /// Every file that what it writes goes to.
    #[must_use]
    pub fn log_files(&self) -> Vec<String> {
        let own = [&self.out, &self.error].into_iter().filter_map(|output| match output {
            Output::File(path) => Some(path.clone()),
            Output::Null => None,
        });
        let combined = self.framing.as_ref().and_then(|framing| framing.combined.clone());
        own.chain(combined).collect()
    }
}

/// Where files go when nothing else is said: `PMRUN_HOME` and what is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Absolute.
    pub home: String,
    pub names: Names,
}

/// What files that are not named otherwise are called: a property of the home, so that a daemon of it calls them the same
/// whoever asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// By slot, from the second on; a name that cannot be a file's is made one that no other app's is.
    #[default]
    Own,
    /// As PM2 has them: by number in the list, unless they are merged.
    Pm2,
}

/// How an instance of an app is started.
#[must_use]
pub fn launch(
    id: LaunchId,
    spec: &AppSpec,
    slot: u32,
    list_id: u32,
    layout: &Layout,
    ambient: &Arc<BTreeMap<String, String>>,
) -> Launch {
    let instance = InstanceId::new(&spec.name, slot);
    let (program, mut args) = command(spec, slot);
    if layout.names == Names::Pm2 && survives_rejections(spec, ambient) {
        args.insert(0, "--unhandled-rejections=warn".to_owned());
    }
    let (out, error) = log_outputs(spec, slot, list_id, layout);
    let env = environment(spec, ambient, &instance, list_id, layout);
    Launch {
        id,
        program,
        args,
        cwd: spec.cwd.clone(),
        ambient: inherited(spec, ambient),
        env,
        out,
        error,
        framing: framing(spec, slot, list_id, layout),
        rotation: spec.logs.rotation.clone(),
        pid_file: pid_file(spec, slot, list_id, layout),
        channel: spec.is_node() || spec.readiness.wait_ready || spec.stop.message,
        notify: spec.readiness.wait_ready,
        ready_log: spec.readiness.log.clone(),
        stdin: spec.has_stdin(),
        user: spec.uid.clone(),
        group: spec.gid.clone(),
        umask: spec.umask.as_deref().and_then(|mask| u32::from_str_radix(mask, 8).ok()),
        nice: spec.nice,
        rlimits: spec.rlimits.clone(),
        limits: spec.limits,
        listen: spec.listen.clone(),
        distribution: spec.shares_by(),
        worker: spec.is_worker(),
        preload: is_preloaded(spec),
        mapped: maps_sources(spec).then(|| spec.script.clone()),
        tree: spec.stop.tree,
        relieves: false,
        steered: is_steered(spec),
        instance,
    }
}

/// Of workers, those that are looked at before they are to serve. What is passed its sockets cannot close them as these can, and
/// needs one of its own to finish in peace.
fn is_steered(spec: &AppSpec) -> bool {
    if spec.is_worker() {
        return spec.shares_by() == Distribution::Reuseport && spec.health_check.is_some();
    }
    spec.can_drain() && spec.stop.drain_ms > 0
}

/// Where an instance's stdout and stderr go.
#[must_use]
pub fn log_outputs(spec: &AppSpec, slot: u32, list_id: u32, layout: &Layout) -> (Output, Output) {
    let output = |target, stream| log_output(spec, target, stream, (slot, list_id), layout);
    (output(&spec.logs.out, "out"), output(&spec.logs.error, "error"))
}

/// The further file that both of an instance's streams go to.
#[must_use]
pub fn combined_log(spec: &AppSpec, slot: u32, list_id: u32, layout: &Layout) -> Option<String> {
    match log_output(spec, spec.logs.combined.as_ref()?, "all", (slot, list_id), layout) {
        Output::File(path) => Some(path),
        Output::Null => None,
    }
}

fn log_output(spec: &AppSpec, target: &LogTarget, stream: &str, number: (u32, u32), layout: &Layout) -> Output {
    let path = match target {
        LogTarget::Null => return Output::Null,
        LogTarget::Path(path) => path.clone(),
        LogTarget::Default => {
            let name = layout.names.of_file(&spec.name);
            match (layout.names, stream) {
                (Names::Pm2, "all") => format!("{}/logs/{name}.log", layout.home),
                _ => format!("{}/logs/{name}-{stream}.log", layout.home),
            }
        }
    };
    let (slot, list_id) = number;
    Output::File(match layout.names {
        _ if spec.logs.merge => path,
        Names::Own => numbered(&path, slot),
        Names::Pm2 => numbered_as_pm2(&path, ".log", list_id),
    })
}

impl Names {
    fn of_file(self, name: &str) -> String {
        match self {
            // Two names may share files: so it is there.
            Self::Pm2 if !name.is_empty() && name.len() <= SAFE_NAME_BYTES_MAX => {
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
                name.chars().map(|c| if plain(c) { c } else { '-' }).collect()
            }
            Self::Own | Self::Pm2 => safe_name(name),
        }
    }
}

/// The number comes before the extension, in place of one that is there; a path without that extension keeps it.
fn numbered_as_pm2(path: &str, extension: &str, number: u32) -> String {
    let Some(stem) = path.strip_suffix(extension) else { return path.to_owned() };
    let kept = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let stem = kept.strip_suffix('-').filter(|_| kept.len() < stem.len()).unwrap_or(stem);
    format!("{stem}-{number}{extension}")
}

/// None where there is nothing to add or to keep apart, or nowhere to write it.
fn framing(spec: &AppSpec, slot: u32, process_id: u32, layout: &Layout) -> Option<Framing> {
    let combined = combined_log(spec, slot, process_id, layout);
    let date_format = spec.logs.date_format.clone();
    let json = spec.logs.json;
    let written = spec.logs.out != LogTarget::Null || spec.logs.error != LogTarget::Null;
    // What one writes without a newline at its end is not to be one line with what another writes.
    let shared = spec.logs.merge && spec.instances > 1;
    let framing = Framing { process_id, combined, date_format, json, shared };
    // PM2's `reloadLogs` has every log opened anew, which only who is not the app itself can do.
    let passes = !framing.is_raw() || layout.names == Names::Pm2;
    (framing.combined.is_some() || written && passes).then_some(framing)
}

/// Where an instance's pid is written.
///
/// By its number in the list (as PM2 names it), which stays with it when its app is renamed and which nobody gets
/// after it: whoever takes the old name meanwhile does not write over it.
#[must_use]
pub fn pid_file(spec: &AppSpec, slot: u32, list_id: u32, layout: &Layout) -> String {
    match &spec.pid_file {
        Some(path) if layout.names == Names::Pm2 => numbered_as_pm2(path, ".pid", list_id),
        Some(path) => numbered(path, slot),
        None => format!("{}/pids/{}-{list_id}.pid", layout.home, layout.names.of_file(&spec.name)),
    }
}

/// An app's name as part of a file's name: no path, no hidden file, and two names never give the same
/// (PM2 writes `a_b` and `a-b` to one file).
#[must_use]
pub fn safe_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let dots = name.chars().take_while(|c| *c == '.').count();
    let mut safe: String = name.chars().enumerate().map(|(i, c)| if i >= dots && plain(c) { c } else { '-' }).collect();
    if safe == name && !name.is_empty() && name.len() <= SAFE_NAME_BYTES_MAX {
        return safe;
    }
    safe.truncate(SAFE_NAME_BYTES_MAX);
    safe.push('-');
    safe.push_str(&sha256_hex(name.as_bytes())[..8]);
    safe
}

fn command(spec: &AppSpec, slot: u32) -> (String, Vec<String>) {
    match &spec.interpreter {
        // Whatever the daemon is: it is the same program, wherever that is by now.
        None if spec.is_file_server() => ("/proc/self/exe".to_owned(), vec![SERVE_FILES.to_owned()]),
        None => (spec.script.clone(), spec.args.clone()),
        Some(interpreter) => {
            let script = std::iter::once(&spec.script);
            let options = spec.interpreter_args.iter().cloned().chain(inspect_port(spec, slot));
            let args = options.chain(script.chain(&spec.args).cloned()).collect();
            (interpreter.clone(), args)
        }
    }
}

/// Instances cannot share the port of Node's inspector: each has the next, as Node's own cluster gives them out (cluster
/// documentation, `inspectPort`). With port 0 each finds one by itself.
fn inspect_port(spec: &AppSpec, slot: u32) -> Option<String> {
    if slot == 0 || spec.runtime() != Some(Runtime::Node) {
        return None;
    }
    let port = |arg: &String| {
        let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
        let port = value.rsplit_once(':').map_or(value, |(_, port)| port).parse::<u16>().ok();
        match name {
            "--inspect" | "--inspect-brk" | "--inspect-wait" => Some(port.unwrap_or(INSPECT_PORT)),
            "--inspect-port" | "--debug-port" => port,
            _ => None,
        }
    };
    let first = spec.interpreter_args.iter().rev().find_map(port).filter(|port| *port != 0)?;
    let own = u16::try_from(slot).ok().and_then(|slot| first.checked_add(slot)).unwrap_or(0);
    Some(format!("--inspect-port={own}"))
}

/// What is not to finish needs no help with it; Bun and Deno have ways of their own, and another user may not read our folder.
fn is_preloaded(spec: &AppSpec) -> bool {
    let is_helped = spec.is_worker() && spec.runtime() == Some(Runtime::Node);
    is_helped && spec.stop.drain_ms > 0 && spec.uid.is_none() && spec.gid.is_none()
}

fn runs_node(spec: &AppSpec) -> bool {
    spec.interpreter.as_deref().and_then(|program| program.rsplit('/').next()) == Some("node")
}

/// What PM2 puts into apps keeps them from ending by a promise that is rejected and that nobody minds. Whoever says something of that
/// is heard.
fn survives_rejections(spec: &AppSpec, ambient: &BTreeMap<String, String>) -> bool {
    let options = spec.env.get("NODE_OPTIONS").or_else(|| ambient.get("NODE_OPTIONS"));
    let said = spec.interpreter_args.iter().chain(options).any(|words| words.contains("unhandled-rejections"));
    runs_node(spec) && !said
}

/// As PM2 has it: what its own arguments say of it counts.
fn maps_sources(spec: &AppSpec) -> bool {
    runs_node(spec) && !spec.interpreter_args.iter().any(|arg| arg.ends_with("enable-source-maps"))
}

/// The same shared map where there is nothing to take out, which is nearly always.
fn inherited(spec: &AppSpec, ambient: &Arc<BTreeMap<String, String>>) -> Arc<BTreeMap<String, String>> {
    let passes = |name: &str| {
        !NOT_INHERITED.contains(&name)
            && !name.starts_with("PMRUN_")
            && !spec.filter_env.iter().any(|part| !part.is_empty() && name.contains(part.as_str()))
    };
    if ambient.keys().all(|name| passes(name)) {
        return Arc::clone(ambient);
    }
    Arc::new(
        ambient.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), value.clone())).collect(),
    )
}

/// `PMRUN_LAUNCH` is the host's: only it knows what no earlier daemon has used.
fn environment(
    spec: &AppSpec,
    ambient: &BTreeMap<String, String>,
    instance: &InstanceId,
    list_id: u32,
    layout: &Layout,
) -> BTreeMap<String, String> {
    let mut env = declared(spec, ambient, instance.slot);
    if !spec.instance_var.is_empty() {
        env.insert(spec.instance_var.clone(), instance.slot.to_string());
    }
    env.insert("pm_id".to_owned(), list_id.to_string());
    // What programs that know PM2 ask for: loggers for `name`, schedulers for `instances`. What the file declares wins.
    let mode = match spec.exec_mode {
        ExecMode::Fork => "fork_mode",
        ExecMode::Cluster => "cluster_mode",
    };
    let of_pm2 = [
        ("name", spec.name.clone()),
        ("namespace", spec.namespace.clone()),
        ("exec_mode", mode.to_owned()),
        ("instances", spec.instances.to_string()),
        ("pm_cwd", spec.cwd.clone()),
        ("pm_exec_path", spec.script.clone()),
        ("pm_pid_path", pid_file(spec, instance.slot, list_id, layout)),
        ("exec_interpreter", spec.interpreter.clone().unwrap_or_else(|| "none".to_owned())),
        ("unique_id", unique_id(instance, list_id, layout)),
        // How programs find out that they are run by it at all.
        ("PM2_HOME", layout.home.clone()),
    ];
    let (out, error) = log_outputs(spec, instance.slot, list_id, layout);
    let logs = [("pm_out_log_path", out), ("pm_err_log_path", error)].map(|(name, output)| match output {
        Output::File(path) => (name, path),
        Output::Null => (name, "/dev/null".to_owned()),
    });
    for (name, value) in of_pm2.into_iter().chain(logs) {
        env.entry(name.to_owned()).or_insert(value);
    }
    if spec.is_worker() {
        // Makes it one, and is its `cluster.worker.id`: counted from 1, as node does.
        env.insert(NODE_UNIQUE_ID.to_owned(), instance.slot.saturating_add(1).to_string());
    }
    env.insert("PMRUN_HOME".to_owned(), layout.home.clone());
    env.insert("PMRUN_INSTANCE".to_owned(), instance.to_string());
    env.insert("PMRUN_SPEC".to_owned(), spec_digest(spec));
    env
}

/// What its file says of its environment, and what counts up from one instance to the next.
#[must_use]
pub fn declared(spec: &AppSpec, ambient: &BTreeMap<String, String>, slot: u32) -> BTreeMap<String, String> {
    let mut env = spec.env.clone();
    if let Some(counted) = &spec.increment_var {
        let base = env.get(counted).or_else(|| ambient.get(counted));
        let base: i64 = base.and_then(|value| value.trim().parse().ok()).unwrap_or(0);
        env.insert(counted.clone(), base.saturating_add(i64::from(slot)).to_string());
    }
    env
}

/// In the form of a UUID, as PM2 has it; of the instance, and the same at each start.
#[must_use]
pub fn unique_id(instance: &InstanceId, list_id: u32, layout: &Layout) -> String {
    let digest = sha256_hex(format!("{}\0{instance}\0{list_id}", layout.home).as_bytes());
    format!("{}-{}-4{}-8{}-{}", &digest[..8], &digest[8..12], &digest[13..16], &digest[17..20], &digest[20..32])
}

/// Slot 0 has the path as it is; others get their number before the extension.
fn numbered(path: &str, slot: u32) -> String {
    if slot == 0 {
        return path.to_owned();
    }
    let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
    match path[name_at..].rfind('.') {
        // A leading dot is no extension.
        Some(dot) if dot > 0 => {
            let (stem, extension) = path.split_at(name_at + dot);
            format!("{stem}-{slot}{extension}")
        }
        _ => format!("{path}-{slot}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout { home: "/h".to_owned(), names: Names::Own }
    }

    fn launched(spec: &AppSpec, slot: u32, ambient: &[(&str, &str)]) -> Launch {
        let ambient = ambient.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        launch(LaunchId(7), spec, slot, 3, &layout(), &Arc::new(ambient))
    }

    #[test]
    fn files_are_served_by_this_program_itself() {
        let mut spec = AppSpec::new("site", "serve", "/srv");
        spec.args = vec!["-s".into()];
        assert_eq!(command(&spec, 0), ("/proc/self/exe".to_owned(), vec!["__serve".to_owned()]));
        spec.script = "/usr/bin/serve".into();
        assert_eq!(command(&spec, 0).0, "/usr/bin/serve");
    }

    #[test]
    fn who_connects_is_kept_from_whom_is_given_tcp_sockets_and_can_wait_for_them() {
        let steered = |change: fn(&mut AppSpec)| {
            let mut spec = AppSpec::new("web", "/a/web", "/a");
            spec.listen = vec!["unix:/x.sock".to_owned(), "web=tcp:80".to_owned()];
            change(&mut spec);
            launched(&spec, 0, &[]).steered
        };
        assert!(steered(|_| {}));
        assert!(!steered(|app| app.listen = vec!["unix:/x.sock".to_owned(), "udp:80".to_owned()]));
        assert!(!steered(|app| app.stop.drain_ms = 0));
        assert!(!steered(|app| app.stop.message = true));
        assert!(!steered(|app| (app.exec_mode, app.interpreter) = (ExecMode::Cluster, Some("node".to_owned()))));
    }

    #[test]
    fn the_command_is_interpreter_its_arguments_script_arguments() {
        let mut spec = AppSpec::new("api", "/a/api.js", "/a");
        spec.args = vec!["--x".to_owned()];
        let bare = launched(&spec, 0, &[]);
        assert_eq!((bare.program.as_str(), bare.args.as_slice()), ("/a/api.js", ["--x".to_owned()].as_slice()));
        assert!(!bare.channel && !bare.notify);

        spec.interpreter = Some("/usr/bin/node".to_owned());
        spec.interpreter_args = vec!["--no-warnings".to_owned()];
        let with = launched(&spec, 0, &[]);
        assert_eq!(with.program, "/usr/bin/node");
        assert_eq!(with.args, ["--no-warnings", "/a/api.js", "--x"]);
        assert!(with.channel && !with.notify);
    }

    #[test]
    fn each_instance_has_a_port_of_its_own_for_the_inspector() {
        let port = |args: &[&str], slot| {
            let mut spec = AppSpec::new("api", "/a/api.js", "/a");
            spec.interpreter = Some("/usr/bin/node".to_owned());
            spec.interpreter_args = args.iter().map(|arg| (*arg).to_owned()).collect();
            let args = launched(&spec, slot, &[]).args;
            args.into_iter().find_map(|arg| arg.strip_prefix("--inspect-port=").map(str::to_owned))
        };
        let table: [(&[&str], u32, Option<&str>); 9] = [
            (&["--inspect"], 0, None),
            (&["--inspect"], 1, Some("9230")),
            (&["--inspect=127.0.0.1:9400", "--no-warnings"], 2, Some("9402")),
            (&["--inspect-brk=9500"], 3, Some("9503")),
            (&["--inspect=0"], 1, None),
            (&["--inspect=[::1]:65535"], 1, Some("0")),
            (&["--no-warnings"], 1, None),
            (&["--inspect-publish-uid=http"], 1, None),
            (&[], 1, None),
        ];
        for (args, slot, want) in table {
            assert_eq!(port(args, slot).as_deref(), want, "{args:?} {slot}");
        }
    }

    #[test]
    fn deno_is_told_who_has_come_and_loads_nothing_of_ours() {
        let table = [
            ("node", Distribution::Reuseport, Distribution::Reuseport, true),
            ("/usr/bin/nodejs", Distribution::Shared, Distribution::Shared, true),
            ("bun", Distribution::Reuseport, Distribution::Reuseport, false),
            ("deno", Distribution::Reuseport, Distribution::RoundRobin, false),
            ("/opt/deno", Distribution::Shared, Distribution::RoundRobin, false),
            ("deno", Distribution::Sticky, Distribution::Sticky, false),
        ];
        for (interpreter, written, want, preload) in table {
            let mut spec = AppSpec::new("a", "/a/x.js", "/a");
            spec.interpreter = Some(interpreter.to_owned());
            (spec.exec_mode, spec.distribution) = (ExecMode::Cluster, written);
            let launch = launched(&spec, 0, &[]);
            assert_eq!((launch.distribution, launch.preload, launch.worker), (want, preload, true), "{interpreter}");
        }
    }

    #[test]
    fn who_gets_a_channel() {
        let table: [(Option<&str>, bool, bool, bool); 8] = [
            (Some("nodejs"), false, false, true),
            (Some("deno"), false, false, true),
            (Some("node"), false, false, true),
            (Some("/opt/bun"), false, false, true),
            (Some("python3"), false, false, false),
            (Some("python3"), true, false, true),
            (None, false, true, true),
            (None, false, false, false),
        ];
        for (interpreter, wait_ready, message, channel) in table {
            let mut spec = AppSpec::new("a", "/a/x", "/a");
            spec.interpreter = interpreter.map(str::to_owned);
            spec.readiness.wait_ready = wait_ready;
            spec.stop.message = message;
            let launch = launched(&spec, 0, &[]);
            assert_eq!((launch.channel, launch.notify), (channel, wait_ready), "{interpreter:?}");
        }
    }

    #[test]
    fn variables_are_ambient_then_declared_then_computed() {
        let mut spec = AppSpec::new("api", "/a/api", "/a");
        spec.env = BTreeMap::from([("PORT".to_owned(), "3000".to_owned()), ("pm_id".to_owned(), "mine".to_owned())]);
        spec.increment_var = Some("PORT".to_owned());
        spec.filter_env = vec!["SECRET".to_owned()];
        let ambient = [("PATH", "/bin"), ("MY_SECRET_X", "1"), ("PMRUN_INSTANCE", "other:0"), ("NODE_CHANNEL_FD", "3")];
        let launch = launched(&spec, 2, &ambient);
        assert_eq!(launch.ambient.keys().collect::<Vec<_>>(), ["PATH"]);
        let env = |name: &str| launch.env.get(name).map(String::as_str);
        assert_eq!(env("PORT"), Some("3002"));
        assert_eq!(env("NODE_APP_INSTANCE"), Some("2"));
        assert_eq!(env("pm_id"), Some("3"));
        assert_eq!(
            (env("name"), env("exec_mode"), env("pm_exec_path")),
            (Some("api"), Some("fork_mode"), Some("/a/api"))
        );
        assert_eq!((env("PM2_HOME"), env("exec_interpreter")), (Some("/h"), Some("none")));
        assert_eq!(env("pm_out_log_path"), Some("/h/logs/api-out-2.log"));
        assert_eq!(env("unique_id").map(str::len), Some(36));
        assert_eq!(env("PMRUN_HOME"), Some("/h"));
        assert_eq!(env("PMRUN_INSTANCE"), Some("api:2"));
        assert!(env("PMRUN_SPEC").is_some_and(|digest| !digest.is_empty()));
    }

    #[test]
    fn an_ambient_with_nothing_to_hide_is_shared() {
        let ambient = Arc::new(BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]));
        let spec = AppSpec::new("a", "/x", "/");
        let launch = launch(LaunchId(1), &spec, 0, 0, &layout(), &ambient);
        assert!(Arc::ptr_eq(&launch.ambient, &ambient));
    }

    #[test]
    fn logs_and_pid_files_are_numbered_from_the_second_instance_on() {
        let file = |path: &str| Output::File(path.to_owned());
        let mut spec = AppSpec::new("api", "/x", "/");
        assert_eq!(log_outputs(&spec, 0, 4, &layout()), (file("/h/logs/api-out.log"), file("/h/logs/api-error.log")));
        assert_eq!(
            log_outputs(&spec, 2, 4, &layout()),
            (file("/h/logs/api-out-2.log"), file("/h/logs/api-error-2.log"))
        );
        assert_eq!(pid_file(&spec, 0, 7, &layout()), "/h/pids/api-7.pid");
        assert_eq!(pid_file(&spec, 2, 9, &layout()), "/h/pids/api-9.pid");

        spec.logs.out = LogTarget::Path("/l.d/x.log".to_owned());
        spec.logs.error = LogTarget::Path("/l.d/err".to_owned());
        assert_eq!(log_outputs(&spec, 0, 4, &layout()), (file("/l.d/x.log"), file("/l.d/err")));
        assert_eq!(log_outputs(&spec, 1, 4, &layout()), (file("/l.d/x-1.log"), file("/l.d/err-1")));

        spec.logs.merge = true;
        spec.logs.error = LogTarget::Null;
        assert_eq!(log_outputs(&spec, 1, 4, &layout()), (file("/l.d/x.log"), Output::Null));
        spec.pid_file = Some("/run/.pid".to_owned());
        assert_eq!(pid_file(&spec, 1, 8, &layout()), "/run/.pid-1");
    }

    #[test]
    fn pm2s_names_have_the_number_in_the_list() {
        let layout = Layout { names: Names::Pm2, ..layout() };
        let path = |output: Output| match output {
            Output::File(path) => path,
            Output::Null => "null".to_owned(),
        };
        let outs = |spec: &AppSpec| {
            let (out, error) = log_outputs(spec, 1, 7, &layout);
            (path(out), path(error), combined_log(spec, 1, 7, &layout))
        };
        let mut spec = AppSpec::new("my_app", "/x", "/");
        spec.logs.combined = Some(LogTarget::Default);
        let text = |text: &str| text.to_owned();
        let want = |out, error, all| (text(out), text(error), Some(text(all)));
        assert_eq!(outs(&spec), want("/h/logs/my-app-out-7.log", "/h/logs/my-app-error-7.log", "/h/logs/my-app-7.log"));
        assert_eq!(pid_file(&spec, 1, 7, &layout), "/h/pids/my-app-7.pid");
        spec.logs.merge = true;
        assert_eq!(outs(&spec), want("/h/logs/my-app-out.log", "/h/logs/my-app-error.log", "/h/logs/my-app.log"));
        spec.logs.merge = false;
        spec.logs.out = LogTarget::Path("/l/a-12.log".to_owned());
        spec.logs.error = LogTarget::Path("/l/err.txt".to_owned());
        spec.logs.combined = Some(LogTarget::Path("/l/-.log".to_owned()));
        assert_eq!(outs(&spec), want("/l/a-7.log", "/l/err.txt", "/l/--7.log"));
        spec.pid_file = Some(text("/run/a.pid"));
        assert_eq!(pid_file(&spec, 1, 7, &layout), "/run/a-7.pid");
    }

    #[test]
    fn output_passes_through_pmrun_only_where_something_is_to_be_done_with_it() {
        let framing = |change: fn(&mut crate::spec::Logs)| {
            let mut spec = AppSpec::new("api", "/x", "/");
            change(&mut spec.logs);
            launched(&spec, 1, &[]).framing
        };
        assert_eq!(framing(|_| ()), None);
        let plain = Framing { process_id: 3, combined: None, date_format: None, json: false, shared: false };
        assert_eq!(framing(|logs| logs.json = true), Some(Framing { json: true, ..plain.clone() }));
        let combined = framing(|logs| logs.combined = Some(LogTarget::Default));
        assert_eq!(combined, Some(Framing { combined: Some("/h/logs/api-all-1.log".to_owned()), ..plain }));
        let mut shared = AppSpec::new("api", "/x", "/");
        (shared.logs.merge, shared.instances) = (true, 2);
        assert!(launched(&shared, 1, &[]).framing.is_some(), "one's last words are not to be a line with another's");
        shared.instances = 1;
        assert_eq!(launched(&shared, 1, &[]).framing, None);
        // Of a home of PM2's every log can be opened anew, and what one writes alone goes out as it comes.
        let layout = Layout { home: "/h".to_owned(), names: Names::Pm2 };
        assert!(super::framing(&shared, 0, 3, &layout).is_some_and(|framing| framing.is_raw()));
        let nowhere = framing(|logs| {
            (logs.out, logs.error) = (LogTarget::Null, LogTarget::Null);
            (logs.combined, logs.json) = (Some(LogTarget::Null), true);
        });
        assert_eq!(nowhere, None);
    }

    #[test]
    fn names_make_safe_and_distinct_file_names() {
        for name in ["api", "a_b", "a-b", "v1.2", "A"] {
            assert_eq!(safe_name(name), name);
        }
        let odd =
            ["../x", "..", ".x", "-x", "", "a b", "a/b", "a\0b", "🚀", "🚀🚀", &"n".repeat(300), &"n".repeat(301)];
        let mut seen = std::collections::BTreeSet::new();
        for name in odd {
            let safe = safe_name(name);
            assert!(safe.len() <= 109, "{safe}");
            assert!(!safe.starts_with('.') && !safe.contains(['/', '\0', ' ']), "{safe}");
            assert!(safe.is_ascii());
            assert!(seen.insert(safe), "{name:?}");
        }
        assert_eq!(safe_name("../x"), format!("---x-{}", &sha256_hex(b"../x")[..8]));
    }
}
