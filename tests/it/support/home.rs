//! A `PMRUN_HOME` and a folder to work in; gone, with every process, when the test ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde_json::{Value, json};

use super::{Fifo, fixture, procs, python_folder};

/// For a command that should take milliseconds, on a machine that does other things too.
const BOUND: Duration = Duration::from_mins(1);

/// For a state to come.
const STATE_BOUND: Duration = Duration::from_mins(1);

/// What the keeper calls itself.
const KEEPER: &str = "pmrun: keeper";

pub(crate) struct Home {
    root: tempfile::TempDir,
    /// `PMRUN_HOME`.
    pub folder: PathBuf,
    /// Where commands are run.
    pub work: PathBuf,
    path: String,
    env: BTreeMap<String, String>,
    counter: AtomicU32,
    /// File systems that are to be unmounted at the end.
    pub mounted: Vec<PathBuf>,
}

/// One command that has run.
#[derive(Debug)]
pub(crate) struct Output {
    pub line: String,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub timed_out: bool,
    pub took: Duration,
}

/// A line of `list --json`.
#[derive(Clone, Debug)]
pub(crate) struct Instance(pub Value);

impl Home {
    pub(crate) fn new() -> Self {
        // Not TMPDIR: the socket's path has 108 bytes at most.
        let root = tempfile::Builder::new().prefix("pmr-").tempdir_in("/tmp").expect("a folder in /tmp");
        let base = root.path().canonicalize().expect("it is there");
        for folder in ["w", "user", "tmp", "out"] {
            std::fs::create_dir(base.join(folder)).expect("mkdir");
        }
        let inherited = std::env::var("PATH").unwrap_or_default();
        let path = match python_folder() {
            Some(folder) => format!("{}:{inherited}", folder.display()),
            None => inherited,
        };
        Self {
            folder: base.join("h"),
            work: base.join("w"),
            root,
            path,
            env: BTreeMap::new(),
            counter: AtomicU32::new(0),
            mounted: Vec::new(),
        }
    }

    /// A variable for every command from now on.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// What commands use for temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.path().join("tmp")
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work.join(name);
        std::fs::create_dir_all(path.parent().expect("it is below the folder")).expect("mkdir");
        std::fs::write(&path, text).expect("write");
        path
    }

    pub(crate) fn write_json(&self, name: &str, value: &Value) -> PathBuf {
        self.write(name, serde_json::to_string_pretty(value).expect("JSON"))
    }

    /// Copies a helper program to the folder, under a name of its own: it can be edited there.
    pub(crate) fn app(&self, program: &str, name: &str) -> PathBuf {
        let text = std::fs::read(fixture("apps").join(program)).expect("a fixture");
        self.write(name, text)
    }

    pub(crate) fn fifo(&self, name: &str) -> Fifo {
        Fifo::new(&self.root.path().join(name))
    }

    // ---- commands

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pmrun"));
        command.args(args);
        self.prepare(&mut command);
        command
    }

    /// A line for `sh`, with `pmrun` in its PATH.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        let bin = Path::new(env!("CARGO_BIN_EXE_pmrun")).parent().expect("it is in a folder");
        command
            .env_clear()
            .current_dir(&self.work)
            .env("PATH", format!("{}:{}", bin.display(), self.path))
            .env("PMRUN_HOME", &self.folder)
            .env("HOME", self.root.path().join("user"))
            .env("TMPDIR", self.temporary())
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .envs(&self.env)
            .stdin(Stdio::null());
    }

    /// Runs to the end, or kills it when that takes too long. What it writes goes to files, so that a process that
    /// it leaves behind cannot hold a pipe open.
    #[must_use = "look at its exit code"]
    pub(crate) fn run_command(&self, mut command: Command, bound: Duration) -> Output {
        let (mut child, out, err) = self.start_command(&mut command);
        let begun = Instant::now();
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("pid")).expect("not 0");
        let fd = pidfd_open(pid, PidfdFlags::empty()).expect("our child");
        let timed_out = !procs::wait_readable(&fd, begun + bound);
        if timed_out {
            let _ = child.kill();
        }
        let (status, _) = procs::finish(child);
        let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).expect("output")).into_owned();
        Output {
            line: describe(&command),
            code: status.code(),
            signal: status.signal(),
            stdout: read(&out),
            stderr: read(&err),
            timed_out,
            took: begun.elapsed(),
        }
    }

    /// Starts a command; the files that its output goes to.
    pub(crate) fn start_command(&self, command: &mut Command) -> (Child, PathBuf, PathBuf) {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let base = self.root.path().join("out");
        let (out, err) = (base.join(format!("{number}.out")), base.join(format!("{number}.err")));
        command.stdout(File::create(&out).expect("create")).stderr(File::create(&err).expect("create"));
        let child = procs::spawn(command).unwrap_or_else(|error| panic!("{}: {error}", describe(command)));
        (child, out, err)
    }

    #[must_use = "look at its exit code"]
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.run_command(self.command(args), BOUND)
    }

    /// Runs, and must end with 0.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> Output {
        self.exits(0, args)
    }

    #[track_caller]
    pub(crate) fn exits(&self, code: i32, args: &[&str]) -> Output {
        let output = self.run(args);
        assert_eq!(output.code, Some(code), "{output}{}", self.daemon_log());
        output
    }

    /// `apply`, on an ecosystem that is written to `eco.json` first.
    #[track_caller]
    pub(crate) fn apply(&self, ecosystem: &Value) -> Output {
        self.write_json("eco.json", ecosystem);
        self.ok(&["apply", "eco.json"])
    }

    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    }

    // ---- what is known and what runs

    #[track_caller]
    pub(crate) fn list(&self) -> Vec<Instance> {
        let output = self.ok(&["list", "--json"]);
        let value: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
        value["instances"].as_array().expect("instances").iter().cloned().map(Instance).collect()
    }

    /// Pids by instance (`api:0`), of those that have one.
    #[track_caller]
    pub(crate) fn pids(&self) -> BTreeMap<String, u32> {
        self.list().iter().filter_map(|one| Some((one.label(), one.pid()?))).collect()
    }

    #[track_caller]
    pub(crate) fn pid(&self, instance: &str) -> u32 {
        let pids = self.pids();
        *pids.get(instance).unwrap_or_else(|| panic!("no process of `{instance}` in {pids:?}"))
    }

    #[track_caller]
    pub(crate) fn state(&self, instance: &str) -> String {
        let list = self.list();
        let found = list.iter().find(|one| one.label() == instance);
        found.unwrap_or_else(|| panic!("no `{instance}` in {list:?}")).state()
    }

    /// Asks again until it holds. Each question is a command of some milliseconds; nothing sleeps.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&[Instance]) -> bool) -> Vec<Instance> {
        let deadline = Instant::now() + STATE_BOUND;
        loop {
            let list = self.list();
            if holds(&list) {
                return list;
            }
            assert!(Instant::now() < deadline, "waited for: {what}\nlast seen: {list:#?}{}", self.daemon_log());
        }
    }

    #[track_caller]
    pub(crate) fn until_state_within(&self, instance: &str, state: &str, bound: Duration) {
        let deadline = Instant::now() + bound;
        while self.state(instance) != state {
            assert!(Instant::now() < deadline, "waited for `{instance}` to be {state}{}", self.daemon_log());
        }
    }

    #[track_caller]
    pub(crate) fn until_state(&self, instance: &str, state: &str) -> Instance {
        let holds = |list: &[Instance]| list.iter().any(|one| one.label() == instance && one.state() == state);
        let list = self.until(&format!("`{instance}` to be {state}"), holds);
        list.into_iter().find(|one| one.label() == instance).expect("it was just seen")
    }

    /// Of this home; none when none runs.
    pub(crate) fn daemon(&self) -> Option<u32> {
        let found = procs::of_folder(&self.folder).into_iter().filter(|pid| {
            let line = procs::command_line(*pid);
            (line.contains("__daemon") || line.contains("__keeper") || line.ends_with(" daemon"))
                && procs::name(*pid) != KEEPER
                && procs::environ(*pid).get("PMRUN_HOME").map(Path::new) == Some(self.folder.as_path())
        });
        let found: Vec<u32> = found.collect();
        // A child that is about to become another program is the daemon's image until it has.
        let is_child = |pid: &u32| procs::parent(*pid).is_some_and(|parent| found.contains(&parent));
        let mut daemons = found.iter().copied().filter(|pid| !is_child(pid));
        let first = daemons.next();
        assert!(daemons.next().is_none(), "two daemons at once");
        first
    }

    /// Processes, by the instance that their marker names.
    pub(crate) fn marked(&self) -> BTreeMap<String, Vec<u32>> {
        let mut found = BTreeMap::<String, Vec<u32>>::new();
        for pid in procs::of_folder(&self.folder) {
            let environ = procs::environ(pid);
            if environ.get("PMRUN_HOME").map(Path::new) == Some(self.folder.as_path())
                && let Some(instance) = environ.get("PMRUN_INSTANCE")
            {
                found.entry(instance.clone()).or_default().push(pid);
            }
        }
        found
    }

    pub(crate) fn log(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.join("logs").join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The process that starts another daemon when this one is killed.
    pub(crate) fn keeper(&self) -> Option<u32> {
        procs::of_folder(&self.folder).into_iter().find(|pid| procs::name(*pid) == KEEPER)
    }

    /// Kills the daemon together with its keeper, so that none is there.
    #[track_caller]
    pub(crate) fn lose_daemon(&self) {
        let daemon = self.daemon().expect("a daemon runs");
        // Or it would start another keeper in between.
        procs::signal(daemon, Signal::STOP);
        let keeper = self.keeper();
        for pid in keeper.into_iter().chain([daemon]) {
            procs::signal(pid, Signal::KILL);
            assert!(procs::wait_gone(pid, Duration::from_secs(30)));
        }
    }

    pub(crate) fn daemon_log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("pmrun.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("\n--- the daemon's log\n{}\n", lines[lines.len().saturating_sub(40)..].join("\n"))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let killed = self.run_command(self.command(&["kill"]), BOUND);
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut left = Vec::new();
        for pid in procs::of_folder(self.root.path()) {
            let line = format!("{pid}: {}", procs::command_line(pid));
            if !procs::wait_gone(pid, deadline.saturating_duration_since(Instant::now())) {
                procs::signal(pid, Signal::KILL);
                procs::wait_gone(pid, Duration::from_secs(5));
                left.push(line);
            }
        }
        for mounted in &self.mounted {
            let _ = self.run_command(self.shell(&format!("umount -l '{}'", mounted.display())), BOUND);
        }
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "{}", self.daemon_log());
            return;
        }
        assert!(left.is_empty(), "processes were left behind: {left:#?}\n{killed}{}", self.daemon_log());
        assert_eq!(killed.code, Some(0), "{killed}{}", self.daemon_log());
    }
}

impl Output {
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "stderr does not say `{text}`\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn prints(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "stdout does not have `{text}`\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn never_shows(&self, text: &str) -> &Self {
        assert!(!self.stdout.contains(text) && !self.stderr.contains(text), "it shows `{text}`\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn exited(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, code, signal, stdout, stderr, timed_out, took } = self;
        writeln!(f, "\n$ {line}")?;
        if *timed_out {
            writeln!(f, "TIMED OUT after {took:?}")?;
        }
        write!(f, "exit code {code:?}, signal {signal:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n")
    }
}

impl Instance {
    pub(crate) fn name(&self) -> &str {
        self.0["name"].as_str().expect("name")
    }

    pub(crate) fn label(&self) -> String {
        format!("{}:{}", self.name(), self.0["slot"])
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.0["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    pub(crate) fn id(&self) -> u64 {
        self.0["id"].as_u64().expect("id")
    }

    pub(crate) fn state(&self) -> String {
        self.0["state"].as_str().expect("state").to_owned()
    }

    /// The state and the pid of its other process, while one relieves the other.
    pub(crate) fn beside(&self) -> Option<(String, Option<u32>)> {
        let beside = self.0.get("beside")?;
        let pid = beside["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        Some((beside["state"].as_str()?.to_owned(), pid))
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.0["restarts"].as_u64().expect("restarts")
    }
}

/// An app that needs a shell and nothing else, and is up soon.
pub(crate) fn stay(name: &str) -> Value {
    json!({ "name": name, "script": "./stay.sh", "min_uptime": 100, "kill_timeout": 1000 })
}

fn describe(command: &Command) -> String {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let line = words.join(" ");
    if line.len() > 500 { format!("{}...", line.chars().take(500).collect::<String>()) } else { line }
}
