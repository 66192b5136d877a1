use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{Distribution, HealthCheck, ListenAddress, Listener, Need, Overlap, Runtime};
use crate::base::Signal;

/// The `script` that is no program but pmrun's own server of files.
pub const FILE_SERVER: &str = "serve";

/// One app, resolved: overlays merged, paths absolute, defaults filled in.
///
/// Whoever adds a field is asked by the compiler what a change of it costs: [`crate::plan`] compares two specs by
/// destructuring both without `..`, and [`super::Field::impact`] matches without `_`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppSpec {
    pub name: String,
    pub namespace: String,
    /// What is run: an absolute path, a program to be found in PATH, or (with a shell as interpreter and `-c` as
    /// its argument) a command line.
    pub script: String,
    pub args: Vec<String>,
    /// The program that runs the script: an absolute path, or a name to be found in PATH; none runs it directly.
    pub interpreter: Option<String>,
    pub interpreter_args: Vec<String>,
    /// Absolute.
    pub cwd: String,
    /// Declared variables only (`env_file` < `env` < `env_<profile>` < `port`), never the invoking shell's.
    pub env: BTreeMap<String, String>,
    /// Parts of names: inherited variables whose name contains one are not passed on.
    pub filter_env: Vec<String>,
    /// Sockets that it is given, each as [`super::Listener`] writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<String>,
    #[serde(default, skip_serializing_if = "Distribution::is_default")]
    pub distribution: Distribution,
    pub exec_mode: ExecMode,
    /// At least 1; `max` and negative numbers are resolved.
    pub instances: u32,
    /// The variable that holds an instance's slot.
    pub instance_var: String,
    /// A declared variable that counts up by one an instance.
    pub increment_var: Option<String>,
    pub autostart: bool,
    pub restart: RestartPolicy,
    pub stop: StopPolicy,
    pub readiness: Readiness,
    pub logs: Logs,
    /// Absolute; none is the default in `PMRUN_HOME/pids`.
    pub pid_file: Option<String>,
    pub depends_on: Vec<String>,
    /// Of those in `depends_on` of which more is asked than the usual.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub needs: BTreeMap<String, Need>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    pub fingerprint: Fingerprint,
    /// What the fingerprint was asked to be of. When that changes, the code that runs has not.
    #[serde(default, skip_serializing_if = "FingerprintBy::is_default")]
    pub fingerprint_by: FingerprintBy,
    /// The app's name in an earlier version of the file. Says how to plan; is not part of what runs.
    pub renamed_from: Option<String>,
    pub watch: Watch,
    pub cron_restart: Option<String>,
    /// A job: run at the times of this pattern, and at no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    #[serde(default, skip_serializing_if = "Overlap::is_default")]
    pub schedule_overlap: Overlap,
    /// An IANA name; none is the machine's own zone.
    pub cron_timezone: Option<String>,
    /// Bytes.
    pub max_memory_restart: Option<u64>,
    /// A user's name or number.
    pub uid: Option<String>,
    pub gid: Option<String>,
    /// Three octal digits; none is what the daemon has.
    #[serde(default)]
    pub umask: Option<String>,
    /// Added to the daemon's own.
    #[serde(default)]
    pub nice: i32,
    /// By name, as in [`LIMITS`]; none is no limit.
    #[serde(default)]
    pub rlimits: BTreeMap<String, Option<u64>>,
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
}

/// What an instance may use with all that it has started; none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Hundredths of a processor.
    pub cpu_percent: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

impl Limits {
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits of a process, by the names of setrlimit(2) in lower case and without `RLIMIT_`. `locks` is not among them:
/// Linux has no use for it, and pmrun knows its processes by it.
pub const LIMITS: [&str; 11] =
    ["as", "core", "cpu", "data", "fsize", "memlock", "nofile", "nproc", "rtprio", "sigpending", "stack"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecMode {
    Fork,
    Cluster,
}

/// When an app that ended is started again. Names, defaults and units are PM2's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// `autorestart`
    pub auto: bool,
    /// Unstable runs, with no long one in between, after which an app is errored: 16 launches by default.
    pub max_restarts: u32,
    /// A run shorter than this is unstable; one that lasts this long is up.
    pub min_uptime_ms: u64,
    pub delay_ms: u64,
    /// First delay of the exponential backoff (times 1.5 up to 15 s, as PM2); 0 is off.
    pub backoff_ms: u64,
    /// Exit codes that end in `completed` instead of a restart.
    pub stop_exit_codes: Vec<i32>,
    /// A process that has run for so long, up to a tenth less, is replaced; 0 is never.
    #[serde(default)]
    pub max_age_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    pub signal: Signal,
    /// From the signal to SIGKILL.
    pub timeout_ms: u64,
    /// Before the signal, for a worker of a cluster that is to be replaced: how long it may go on with the connections that it
    /// has; 0 is not at all.
    #[serde(default = "drain_ms")]
    pub drain_ms: u64,
    /// Signal all descendants, not only the first process.
    pub tree: bool,
    /// Send `"shutdown"` over the Node channel instead of the signal.
    pub message: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// The app says itself when it is ready: `process.send('ready')` or `READY=1`.
    pub wait_ready: bool,
    /// It says so in its log: by a line that this regular expression matches.
    #[serde(default)]
    pub log: Option<String>,
    /// How long that may take.
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    pub out: LogTarget,
    pub error: LogTarget,
    /// Both streams in one further file.
    pub combined: Option<LogTarget>,
    /// All instances share slot 0's files. Off by default, unlike PM2's guess from `instances`: slot 0 writes
    /// `<name>-out.log` either way, so scaling an app never moves the files of an instance that runs.
    pub merge: bool,
    /// A prefix for every line, in dayjs tokens.
    pub date_format: Option<String>,
    /// `json` makes every line an object.
    pub json: bool,
    #[serde(default)]
    pub rotation: Rotation,
}

/// When what was written is put aside. Of each of an instance's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Bytes; 0 is never.
    pub max_size: u64,
    /// How many rotated files are kept.
    pub retain: u32,
    pub compress: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogTarget {
    /// In `PMRUN_HOME/logs`, named after the app.
    Default,
    /// Absolute.
    Path(String),
    /// Thrown away.
    Null,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    pub enabled: bool,
    /// What is watched; empty is the app's folder.
    pub paths: Vec<String>,
    pub ignore: Vec<String>,
    pub delay_ms: u64,
    /// `watch_options`, as written.
    pub options: Option<serde_json::Value>,
}

/// What stands for an app's code: a label (a file's path relative to `cwd`, or `git`) and a digest of its content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub BTreeMap<String, String>);

/// What stands for an app's code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FingerprintBy {
    /// Its script and its env files.
    #[default]
    Script,
    /// The same and what these globs match.
    Globs(Vec<String>),
    /// The revision of the work tree, and its env files, which are rarely in it.
    Git,
    Off,
}

impl FingerprintBy {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Fingerprint {
    /// The files that differ where both can be compared, by name.
    ///
    /// Fingerprints of the same kind, taken in the same folder, can be compared wholly. Of others only what both have
    /// says that the code changed: a file that has just one of them was not looked at for the other.
    #[must_use]
    pub fn changed<'a>(old: &'a AppSpec, new: &'a AppSpec) -> Vec<(&'a str, Option<&'a str>, Option<&'a str>)> {
        // Without a folder it is the bare default that a new app is held against.
        let comparable = old.fingerprint_by == new.fingerprint_by && old.cwd == new.cwd || old.cwd.is_empty();
        let (Self(before), Self(after)) = (&old.fingerprint, &new.fingerprint);
        let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let sides = names.into_iter().map(|name| (name, before.get(name), after.get(name)));
        let elsewhere = after.iter().filter(|_| old.cwd != new.cwd);
        let at_place: HashMap<String, &String> = elsewhere.map(|(name, digest)| (new.place_of(name), digest)).collect();
        let differing = sides.filter(|(name, old_digest, new_digest)| {
            let both = old_digest.is_some() && new_digest.is_some();
            // The name is relative to `cwd`, so with another `cwd` the file may be there under another name.
            let moved = || old.cwd != new.cwd && at_place.get(&old.place_of(name)).copied() == *old_digest;
            old_digest != new_digest && (comparable || both && !moved())
        });
        differing.map(|(name, old, new)| (name.as_str(), old.map(String::as_str), new.map(String::as_str))).collect()
    }
}

impl AppSpec {
    /// What it needs of an app that it depends on.
    #[must_use]
    pub fn need(&self, app: &str) -> Need {
        self.needs.get(app).copied().unwrap_or_default()
    }

    /// Whether it is pmrun's own server of files, which PM2's files call by this name. What else is called so is run by its path.
    #[must_use]
    pub fn is_file_server(&self) -> bool {
        self.script == FILE_SERVER && self.interpreter.is_none()
    }

    #[must_use]
    pub fn runtime(&self) -> Option<Runtime> {
        self.interpreter.as_deref().and_then(Runtime::of)
    }

    /// Whether Node runs it, or Bun or Deno, which do as Node.
    #[must_use]
    pub fn is_node(&self) -> bool {
        self.runtime().is_some()
    }

    /// The shell that a command line is run by: its script is that line.
    #[must_use]
    pub fn shell(&self) -> Option<&str> {
        let shell = self.interpreter.as_deref()?;
        let name = shell.rsplit('/').next().unwrap_or_default();
        let runs_line = self.interpreter_args.last().is_some_and(|last| last == "-c");
        (matches!(name, "sh" | "bash") && runs_line).then_some(shell)
    }

    /// How its workers share out who connects.
    #[must_use]
    pub fn shares_by(&self) -> Distribution {
        match (self.runtime(), self.distribution) {
            (Some(Runtime::Deno), Distribution::Reuseport | Distribution::Shared) => Distribution::RoundRobin,
            (_, distribution) => distribution,
        }
    }

    /// A worker of Node's cluster, which what is run by another program cannot be.
    #[must_use]
    pub fn is_worker(&self) -> bool {
        self.exec_mode == ExecMode::Cluster && self.is_node()
    }

    /// Whether it can be written to. PM2's cluster has no input, and a job that reads to the end of its is to get there.
    #[must_use]
    pub fn has_stdin(&self) -> bool {
        !self.is_worker() && self.schedule.is_none()
    }

    /// Whether the sockets of a slot are open beside its process.
    #[must_use]
    pub fn shares_sockets(&self) -> bool {
        self.is_worker() || !self.listen.is_empty()
    }

    /// Whether a process can finish what it is at while others accept who connects: it is told to over its channel, or nobody is
    /// given to its TCP sockets any more. What is told in words to shut down sees to that itself, as a worker's channel is closed
    /// when it has drained.
    #[must_use]
    pub fn can_drain(&self) -> bool {
        let is_tcp = |text: &String| {
            text.parse::<Listener>().is_ok_and(|listener| matches!(listener.address, ListenAddress::Tcp { .. }))
        };
        !self.stop.message && (self.is_worker() || self.listen.iter().any(is_tcp))
    }

    /// Whether a process of `next` can be started beside one of this, to take over when it is up: both accept what comes to the
    /// sockets of their slot.
    #[must_use]
    pub fn can_be_relieved_by(&self, next: &Self) -> bool {
        self.shares_sockets() && next.shares_sockets()
    }

    /// What to set so that a process is relieved by its successor, and not missing until that is up: as it is written in a file.
    /// None where that is so already, or where nobody waits for it: a job.
    #[must_use]
    pub fn downtime_remedy(&self) -> Option<&'static str> {
        match () {
            () if self.shares_sockets() || self.schedule.is_some() || !self.restart.auto => None,
            () if self.is_node() => Some("exec_mode: \"cluster\""),
            () => Some("listen: [\"tcp:0.0.0.0:PORT\"]"),
        }
    }

    /// Where a file of the fingerprint is.
    fn place_of(&self, name: &str) -> String {
        if name.starts_with('/') { name.to_owned() } else { format!("{}/{name}", self.cwd.trim_end_matches('/')) }
    }

    /// An app with every default, as a file that names only a script would give it.
    #[must_use]
    pub fn new(name: impl Into<String>, script: impl Into<String>, cwd: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            namespace: "default".to_owned(),
            script: script.into(),
            args: Vec::new(),
            interpreter: None,
            interpreter_args: Vec::new(),
            cwd: cwd.into(),
            env: BTreeMap::new(),
            filter_env: Vec::new(),
            listen: Vec::new(),
            distribution: Distribution::default(),
            exec_mode: ExecMode::Fork,
            instances: 1,
            instance_var: "NODE_APP_INSTANCE".to_owned(),
            increment_var: None,
            autostart: true,
            restart: RestartPolicy::default(),
            stop: StopPolicy::default(),
            readiness: Readiness::default(),
            logs: Logs::default(),
            pid_file: None,
            depends_on: Vec::new(),
            needs: BTreeMap::new(),
            health_check: None,
            fingerprint: Fingerprint::default(),
            fingerprint_by: FingerprintBy::default(),
            renamed_from: None,
            watch: Watch::default(),
            cron_restart: None,
            schedule: None,
            schedule_overlap: Overlap::Skip,
            cron_timezone: None,
            max_memory_restart: None,
            uid: None,
            gid: None,
            umask: None,
            nice: 0,
            rlimits: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            auto: true,
            max_restarts: 16,
            min_uptime_ms: 1_000,
            delay_ms: 0,
            backoff_ms: 0,
            stop_exit_codes: Vec::new(),
            max_age_ms: 0,
        }
    }
}

/// Nearly all requests are done by then. Who connects to an app of one instance waits meanwhile, so that what never ends by
/// itself (WebSockets) must not hold it up for long.
fn drain_ms() -> u64 {
    3_000
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self { signal: Signal::INT, timeout_ms: 1_600, drain_ms: drain_ms(), tree: true, message: false }
    }
}

impl Readiness {
    /// Whether the app says itself when it is ready, one way or the other.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.wait_ready || self.log.is_some()
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self { wait_ready: false, log: None, timeout_ms: 3_000 }
    }
}

impl Default for Rotation {
    fn default() -> Self {
        Self { max_size: 10 << 20, retain: 10, compress: true }
    }
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            out: LogTarget::Default,
            error: LogTarget::Default,
            combined: None,
            merge: false,
            date_format: None,
            json: false,
            rotation: Rotation::default(),
        }
    }
}
