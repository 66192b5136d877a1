//! `pmrun run`: apps in the foreground, and nothing beside it.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde_json::{Value, json};

use crate::support::{Home, procs, skipped};

const BOUND: Duration = Duration::from_mins(1);
/// For an app that ends as soon as it is asked to, and says so. What it is just starting then may not hear of it, and is
/// not waited for long.
const POLITE: &str = "trap 'echo bye; exit 0' INT TERM; echo up; while :; do /bin/sleep 0.1; done";
/// And for one that does not.
const STUBBORN: &str = "trap '' INT TERM; echo up; while :; do /bin/sleep 1000; done";

fn job(name: &str, line: &str) -> Value {
    json!({ "name": name, "script": "/bin/sh", "interpreter": "none", "args": ["-c", line], "autorestart": false })
}

fn service(name: &str, line: &str) -> Value {
    with(job(name, line), &json!({ "autorestart": true, "kill_timeout": 60_000 }))
}

fn with(mut app: Value, options: &Value) -> Value {
    for (name, value) in options.as_object().expect("options") {
        app[name] = value.clone();
    }
    app
}

/// A run that goes on.
struct Run {
    child: Option<Child>,
    watched: OwnedFd,
    out: PathBuf,
    err: PathBuf,
}

/// And one that has ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    fn of(home: &Home, mut command: Command) -> Self {
        let (child, out, err) = home.start_command(&mut command);
        Self::watch(child, out, err)
    }

    fn watch(child: Child, out: PathBuf, err: PathBuf) -> Self {
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("pid")).expect("not 0");
        let watched = pidfd_open(pid, PidfdFlags::empty()).expect("our child");
        Self { child: Some(child), watched, out, err }
    }

    /// In a home of its own, which nobody else knows.
    fn start(home: &Home, apps: &Value, args: &[&str]) -> Self {
        Self::of(home, private(home, apps, args))
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    fn out(&self) -> String {
        read(&self.out)
    }

    fn signal(&self, signal: Signal) {
        procs::signal(self.pid(), signal);
    }

    /// Looks again and again.
    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + BOUND;
        while !holds() {
            let ended = procs::wait_readable(&self.watched, Instant::now() + Duration::from_millis(5));
            let late = ended || Instant::now() > deadline;
            assert!(!late || holds(), "waited for {what}\n{}\n{}", self.out(), read(&self.err));
        }
    }

    #[track_caller]
    fn until_out(&self, text: &str) {
        self.until(text, || self.out().contains(text));
    }

    #[track_caller]
    fn end(mut self) -> Ended {
        let in_time = procs::wait_readable(&self.watched, Instant::now() + BOUND);
        let (out, err) = (self.out(), read(&self.err));
        assert!(in_time, "it does not end\n{out}\n{err}");
        let (status, _) = procs::finish(self.child.take().expect("once"));
        assert_eq!(status.signal(), None, "{out}\n{err}");
        // Its last words may have come since.
        Ended { code: status.code(), out: self.out(), err: read(&self.err) }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            procs::finish(child);
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

fn private(home: &Home, apps: &Value, args: &[&str]) -> Command {
    home.write_json("eco.json", &json!({ "apps": apps }));
    let mut command = home.command(&[&["run", "eco.json"], args].concat());
    command.env_remove("PMRUN_HOME");
    command
}

#[track_caller]
fn ran(home: &Home, apps: &Value, args: &[&str]) -> Ended {
    Run::start(home, apps, args).end()
}

/// Neither processes nor files; the home looks for the rest when it goes.
#[track_caller]
fn leaves_nothing(home: &Home) {
    let left: Vec<String> = procs::of_folder(&home.work).into_iter().map(procs::command_line).collect();
    assert!(left.is_empty(), "{left:?}");
    let files: Vec<_> = std::fs::read_dir(home.temporary()).expect("a folder").flatten().collect();
    assert!(files.is_empty(), "{files:?}");
    assert!(!home.folder.exists());
}

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn what_apps_write_is_printed_with_whose_it_is() {
    let home = Home::new();
    let apps = json!([
        job("api", "echo one; echo wrong >&2; printf 'no end'; exit 3"),
        with(job("worker", "echo \"i am $NODE_APP_INSTANCE\""), &json!({ "instances": 2, "out_file": "/dev/null" })),
    ]);
    let Ended { code, out, err } = ran(&home, &apps, &[]);
    assert_eq!(code, Some(3), "{out}{err}");
    let want = ["api      | no end", "api      | one", "worker:0 | i am 0", "worker:1 | i am 1"];
    assert_eq!(lines(&out), want);
    for line in ["api      | wrong", "pmrun    | api ended after", "pmrun    | `api:0` failed first: exit code 3"] {
        assert!(err.contains(line), "{line}\n{err}");
    }
    assert!(!err.contains("are not written"), "{err}");
    leaves_nothing(&home);

    let apps = json!([with(job("api", "echo one; echo wrong >&2"), &json!({ "out_file": "./o.log" }))]);
    let Ended { code, out, err } = ran(&home, &apps, &["--raw"]);
    assert_eq!((code, out.as_str()), (Some(0), "one\n"), "{err}");
    assert!(err.contains("\nwrong\n") && err.contains("log files of `api` are not written"), "{err}");
    assert!(!home.work.join("o.log").exists());
}

#[test]
fn with_json_a_line_and_an_event_are_objects() {
    let home = Home::new();
    let apps = json!([with(job("api", "echo one; echo wrong >&2; exit 3"), &json!({ "instances": 2 }))]);
    let Ended { code, out, err } = ran(&home, &apps, &["--json"]);
    assert_eq!(code, Some(3));
    let parse = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    };
    let lines = parse(&out);
    assert_eq!(lines.len(), 4, "{out}");
    let wrong = lines.iter().find(|line| line["type"] == "err" && line["instance"] == "api:1").expect("a line");
    assert_eq!(
        (&wrong["message"], &wrong["app_name"], &wrong["process_id"], &wrong["timestamp_from"]),
        (&json!("wrong"), &json!("api"), &json!(1), &json!("arrival"))
    );
    // `using eco.json` is not said of a file that was named.
    let events = parse(&err);
    let exited = events.iter().find(|event| event["event"] == "exited").expect("an event");
    assert_eq!((&exited["app"], &exited["status"]), (&json!("api"), &json!({ "code": 3 })));
    assert!(events.last().is_some_and(|last| last["note"].is_string()), "{err}");
}

#[test]
fn the_exit_code_is_that_of_the_first_that_failed_for_good() {
    let home = Home::new();
    let loops = json!({ "max_restarts": 2, "restart_delay": 1, "min_uptime": 60_000 });
    let table = [
        (json!([job("a", "exit 0"), job("b", "exit 0")]), 0),
        (json!([job("a", "exit 3")]), 3),
        (json!([job("a", "kill -9 $$")]), 137),
        (json!([with(service("a", "exit 7"), &loops)]), 7),
        (json!([with(service("a", "exit 0"), &loops)]), 1),
        (json!([with(service("a", "exit 9"), &json!({ "stop_exit_codes": [9] }))]), 0),
        // The other is not asked to end, and its own failure comes later.
        (json!([job("a", "exit 3"), job("b", "until [ -e go ]; do :; done; exit 4")]), 3),
        (json!([job("a", "exit 3"), with(job("b", "exit 0"), &json!({ "depends_on": { "a": "completed" } }))]), 3),
    ];
    for (apps, want) in table {
        let run = Run::start(&home, &apps, &[]);
        run.until("the first's end", || read(&run.err).contains("ended after"));
        home.write("go", "");
        let ended = run.end();
        assert_eq!(ended.code, Some(want), "{apps}\n{ended:?}");
        std::fs::remove_file(home.work.join("go")).expect("it is there");
    }
    leaves_nothing(&home);
}

#[test]
fn with_exit_on_failure_the_others_are_stopped() {
    let home = Home::new();
    let fails = "until [ -e go ]; do :; done; exit 4";
    let run = Run::start(&home, &json!([job("a", fails), service("b", POLITE)]), &["--exit-on-failure"]);
    run.until_out("b     | up");
    home.write("go", "");
    let ended = run.end();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.out.contains("b     | bye"), "{ended:?}");
    leaves_nothing(&home);
}

#[test]
fn a_signal_stops_everything_and_dependents_first() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let home = Home::new();
        let api = with(service("api", POLITE), &json!({ "depends_on": ["db"] }));
        let db = with(service("db", POLITE), &json!({ "min_uptime": 1 }));
        let run = Run::start(&home, &json!([api, db]), &[]);
        run.until_out("api   | up");
        // Means nothing.
        run.signal(Signal::USR2);
        run.signal(signal);
        let ended = run.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let place = |line: &str| ended.out.find(line).unwrap_or_else(|| panic!("{line}: {ended:?}"));
        assert!(place("db    | up") < place("api   | up") && place("api   | bye") < place("db    | bye"), "{ended:?}");
        leaves_nothing(&home);
    }
}

#[test]
fn an_app_is_up_when_its_line_is_printed() {
    let home = Home::new();
    let says = "echo soon; read line <fifo; echo up on 1 >&2; exec /bin/sleep 1000";
    let db = with(service("db", says), &json!({ "ready_log": "^up on [0-9]$", "listen_timeout": 600_000 }));
    let api = with(service("api", POLITE), &json!({ "depends_on": { "db": "ready" } }));
    let fifo = home.work.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let run = Run::start(&home, &json!([api, db]), &[]);
    run.until_out("db    | soon");
    assert!(!run.out().contains("api"), "{}", run.out());
    std::fs::write(&fifo, "go\n").expect("it reads");
    run.until_out("api   | up");
    run.signal(Signal::TERM);
    assert_eq!(run.end().code, Some(0));
    leaves_nothing(&home);
}

#[test]
fn what_does_not_end_is_killed() {
    let home = Home::new();
    let brief = with(service("a", STUBBORN), &json!({ "kill_timeout": 100 }));
    let polite = with(service("b", POLITE), &json!({ "depends_on": ["a"], "min_uptime": 1 }));
    // Its own time; everybody's time; somebody's patience.
    for (apps, args, signals) in [
        (json!([brief]), &[][..], 1),
        (json!([service("a", STUBBORN)]), &["--grace", "100ms"], 1),
        (json!([with(service("a", STUBBORN), &json!({ "min_uptime": 1 })), polite]), &[], 2),
    ] {
        let run = Run::start(&home, &apps, args);
        run.until("all to be up", || run.out().matches("| up").count() == apps.as_array().map_or(0, Vec::len));
        run.signal(Signal::TERM);
        run.until("its answer", || read(&run.err).contains("stopping everything"));
        if signals == 2 {
            run.signal(Signal::INT);
        }
        let ended = run.end();
        assert_eq!(ended.code, Some(137), "{ended:?}");
        leaves_nothing(&home);
    }
}

#[test]
fn orphans_are_adopted_reaped_and_ended() {
    let home = Home::new();
    // Its parent is gone, and what started that is its parent from then on.
    let orphan = "export R=$PPID; (sh -c 'until grep -q \"^PPid:.$R$\" /proc/$$/status; do :; done; echo adopted' &)";
    let lasting = "(/bin/sleep 1000 </dev/null >/dev/null 2>&1 &)";
    let app = with(
        job("a", &format!("{orphan}; {lasting}; echo up; until [ -e go ]; do :; done")),
        &json!({ "treekill": false }),
    );
    let run = Run::start(&home, &json!([app]), &[]);
    run.until_out("adopted");
    run.until("it to be reaped", || procs::zombies_of(run.pid()).is_empty());
    home.write("go", "");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    leaves_nothing(&home);
}

/// A line in a process table of its own; none where that is not allowed.
fn contained(home: &Home, apps: &Value, before: &str) -> Option<Command> {
    let unshare = "unshare --pid --mount --fork --kill-child --mount-proc";
    let probe = home.run_command(home.shell(&format!("{unshare} true")), BOUND);
    if probe.code != Some(0) {
        skipped(&format!("no process table of its own: {}", probe.stderr.trim()));
        return None;
    }
    home.write_json("eco.json", &json!({ "apps": apps }));
    let mut command = home.shell(&format!("exec {unshare} sh -c '{before} exec pmrun run eco.json'"));
    command.env_remove("PMRUN_HOME");
    Some(command)
}

#[test]
fn as_the_first_process_it_reaps_and_hears_signals() {
    let home = Home::new();
    let orphan = "(sh -c 'until grep -q \"^PPid:.1$\" /proc/$$/status; do :; done; echo adopted; touch adopted' &)";
    let waits = "until [ -e adopted ]; do :; done; until [ \"$(grep -l '^PPid:.1$' /proc/[0-9]*/status | wc -l)\" = 2 ]; do :; done";
    let ends = format!("{orphan}; {waits}; kill -TERM 1; exec /bin/sleep 1000");
    let apps = json!([job("a", &ends), service("b", POLITE)]);
    let Some(command) = contained(&home, &apps, "") else { return };
    let ended = Run::of(&home, command).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("adopted") && ended.out.contains("b     | bye"), "{ended:?}");
    let Some(command) = contained(&home, &json!([job("a", "exit 5")]), "") else { return };
    assert_eq!(Run::of(&home, command).end().code, Some(5));
    leaves_nothing(&home);
}

#[test]
fn nothing_has_to_be_writable_but_memory() {
    let home = Home::new();
    let apps = json!([job("a", "echo \"$PMRUN_HOME\"; exit 5")]);
    let Some(command) = contained(&home, &apps, "mount -t tmpfs -o ro tmpfs \"$TMPDIR\" &&") else { return };
    let ended = Run::of(&home, command).end();
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(!ended.out.contains("/tmp/pmr-"), "{ended:?}");
    // Files that are not written need not be there to be written to.
    let files = json!({ "out_file": "./eco.json/out", "error_file": "./eco.json/err", "log_file": "./eco.json/all", "pid_file": "./eco.json/pid" });
    let ended = ran(&home, &json!([with(job("a", "exit 5"), &files)]), &[]);
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.err.contains("log files of `a` are not written"), "{ended:?}");
    // One that cannot be written to is no reason not to run.
    let mut command = private(&home, &apps, &[]);
    command.env("PMRUN_HOME", "/proc/pmrun");
    let ended = Run::of(&home, command).end();
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.err.contains("cannot be written to"), "{ended:?}");
}

#[test]
fn nobody_reading_ends_it() {
    let home = Home::new();
    let endless = "while :; do echo line; done";
    home.write_json("eco.json", &json!({ "apps": [service("a", endless), service("b", POLITE)] }));
    let mut command = home.shell("{ pmrun run eco.json; echo \"code $?\" >&2; } | head -n 1");
    command.env_remove("PMRUN_HOME");
    let ended = Run::of(&home, command).end();
    assert_eq!((ended.code, ended.out.lines().count()), (Some(0), 1), "{ended:?}");
    assert!(ended.err.contains("code 0\n"), "{ended:?}");
    leaves_nothing(&home);
}

#[test]
fn a_reader_that_does_not_read_keeps_nothing_from_ending() {
    let home = Home::new();
    let endless = with(service("a", "while :; do echo line; done"), &json!({ "min_uptime": 1 }));
    let mut command = private(&home, &json!([endless]), &[]);
    let err = home.work.join("err");
    command.stdout(Stdio::piped()).stderr(std::fs::File::create(&err).expect("create"));
    let mut child = procs::spawn(&mut command).expect("a run");
    let unread = child.stdout.take();
    let run = Run::watch(child, PathBuf::new(), err);
    // Restarts, or whatever else there is to say, is not waited for either.
    run.until("it to be up", || read(&run.err).contains("online after"));
    run.signal(Signal::TERM);
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    drop(unread);
    leaves_nothing(&home);
}

#[test]
fn a_stderr_that_nobody_reads_keeps_nothing_from_ending() {
    let home = Home::new();
    // What it has to say at the end has no room, either.
    let endless = with(service("a", "trap '' TERM INT; while :; do echo line >&2; done"), &json!({ "min_uptime": 1 }));
    let mut command = private(&home, &json!([endless]), &["--grace", "100ms"]);
    let out = home.work.join("out");
    let (unread, pipe) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
    command.stderr(pipe.try_clone().expect("a copy")).stdout(std::fs::File::create(&out).expect("create"));
    let child = procs::spawn(&mut command).expect("a run");
    let run = Run::watch(child, out, PathBuf::new());
    run.until("its pipe to be full", || {
        poll(&mut [PollFd::new(&pipe, PollFlags::OUT)], Some(&Timespec::default())) == Ok(0)
    });
    run.signal(Signal::TERM);
    let ended = run.end();
    assert_eq!(ended.code, Some(137), "{ended:?}");
    drop(unread);
    leaves_nothing(&home);
}

#[test]
fn lines_are_whole_where_both_streams_are_one_pipe() {
    let home = Home::new();
    let wide = "x".repeat(3_000);
    let line = format!("i=0; while [ $i -lt 150 ]; do echo {wide}; echo {wide} >&2; i=$((i+1)); done");
    home.write_json("eco.json", &json!({ "apps": [job("a", &line), job("b", &line)] }));
    // In small bites, so that it is always full.
    let mut command = home.shell("pmrun run --raw eco.json 2>&1 | while IFS= read -r line; do echo \"${#line}\"; done");
    command.env_remove("PMRUN_HOME");
    let ended = Run::of(&home, command).end();
    let whole = ended.out.lines().filter(|length| *length == "3000").count();
    assert_eq!(whole, 600, "{:?}", ended.out.lines().filter(|length| *length != "3000").collect::<Vec<_>>());
}

#[test]
fn two_run_side_by_side_and_one_in_a_home() {
    let home = Home::new();
    let apps = json!([service("a", POLITE)]);
    let first = Run::start(&home, &apps, &[]);
    let second = Run::start(&home, &apps, &[]);
    for run in [first, second] {
        run.until_out("a     | up");
        run.signal(Signal::TERM);
        assert_eq!(run.end().code, Some(0));
    }
    leaves_nothing(&home);
    // Where it is said where, commands reach it, and there is one.
    let run = Run::of(&home, home.command(&["run", "eco.json"]));
    run.until_out("a     | up");
    let pid = home.pid("a:0");
    assert!(procs::alive(pid));
    home.exits(75, &["run", "eco.json"]).says("runs in");
    home.ok(&["restart", "a"]);
    assert_ne!(home.pid("a:0"), pid);
    home.exits(1, &["upgrade"]).says("no daemon");
    // It runs what it was told at first, and that only.
    for args in [&["diff", "eco.json"][..], &["apply", "eco.json"], &["delete", "a"], &["start", "/bin/true"]] {
        home.exits(1, args).says("what its file said");
    }
    home.ok(&["kill"]);
    assert_eq!(run.end().code, Some(0));
    assert!(home.list().is_empty() && !home.folder.join("pmrun.sock").exists());
    // What a daemon keeps is not run over.
    home.ok(&["apply", "eco.json"]);
    home.ok(&["kill"]);
    home.exits(1, &["run", "eco.json"]).says("is a daemon's");
}

#[test]
fn what_a_killed_run_has_left_ends_with_the_next() {
    let home = Home::new();
    home.write_json("eco.json", &json!({ "apps": [service("a", POLITE)] }));
    let first = Run::of(&home, home.command(&["run", "eco.json"]));
    first.until_out("a     | up");
    let left = home.pid("a:0");
    first.signal(Signal::KILL);
    drop(first);
    assert!(procs::alive(left));
    let second = Run::of(&home, home.command(&["run", "eco.json"]));
    second.until_out("a     | up");
    assert!(procs::wait_gone(left, BOUND));
    second.signal(Signal::TERM);
    assert_eq!(second.end().code, Some(0));
}

/// Without a PMRUN_HOME as well: the next run is another, and finds what is nobody's any more.
#[test]
fn what_a_killed_run_has_left_in_a_folder_of_its_own_ends_with_the_next() {
    let home = Home::new();
    let apps = json!([service("a", POLITE)]);
    let lives = Run::start(&home, &apps, &[]);
    lives.until_out("a     | up");
    let folders = || {
        let found = std::fs::read_dir(home.temporary()).expect("a folder").flatten().map(|entry| entry.path());
        found.collect::<std::collections::BTreeSet<PathBuf>>()
    };
    let before = folders();
    let killed = Run::start(&home, &apps, &[]);
    killed.until_out("a     | up");
    let mut left = folders().into_iter().filter(|path| !before.contains(path));
    let folder = left.next().expect("its own");
    let is_app = |pid: &u32| procs::command_line(*pid).contains("trap");
    let pid = procs::of_folder(&folder).into_iter().find(is_app).expect("its app");
    killed.signal(Signal::KILL);
    drop(killed);
    assert!(procs::alive(pid) && folder.exists());
    let next = Run::start(&home, &apps, &[]);
    next.until_out("a     | up");
    assert!(procs::wait_gone(pid, BOUND) && !folder.exists());
    for run in [next, lives] {
        run.signal(Signal::TERM);
        let ended = run.end();
        assert_eq!((ended.code, ended.out.matches("bye").count()), (Some(0), 1), "who lives is left alone: {ended:?}");
    }
    leaves_nothing(&home);
}

#[test]
fn policies_hold_as_under_the_daemon() {
    let home = Home::new();
    let setup = job("setup", "echo setting up; touch done");
    let needs = json!({ "depends_on": { "setup": "completed" }, "restart_delay": 1 });
    let line = "[ -e done ] || exit 9; echo run; [ -e again ] && echo twice && exec sleep 1000; touch again; exit 1";
    let app = with(service("app", line), &needs);
    let run = Run::start(&home, &json!([app, setup]), &[]);
    run.until_out("app   | twice");
    run.signal(Signal::TERM);
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.out.matches("app   | run").count(), 2, "{ended:?}");
    assert!(ended.err.contains("app started (pid"), "{ended:?}");
    leaves_nothing(&home);
}

#[test]
fn what_cannot_be_run_is_refused() {
    let home = Home::new();
    home.write_json("empty.json", &json!({ "apps": [] }));
    home.write_json("later.json", &json!({ "apps": [with(job("a", "exit 0"), &json!({ "autostart": false }))] }));
    home.write_json("eco.json", &json!({ "apps": [job("api", "exit 0")] }));
    home.exits(65, &["run", "nowhere.json"]);
    home.exits(65, &["run", "empty.json"]).says("nothing to run");
    // Most likely they are what an app runs.
    home.write("server.js", "require('not-installed')");
    home.write("empty.js", "console.log('up')");
    for script in ["server.js", "empty.js"] {
        home.exits(65, &["run", script]).says("takes an ecosystem file");
    }
    home.exits(65, &["run", "later.json"]).says("nothing to run");
    home.exits(1, &["run", "eco.json", "--only", "apo"]).says("did you mean `api`?");
    home.exits(64, &["run", "eco.json", "--raw", "--json"]);
    assert!(!home.folder.exists(), "nothing was begun");
}

#[test]
fn what_an_app_has_left_is_killed_and_is_not_the_app() {
    let home = Home::new();
    let left = "(trap '' INT TERM; while :; do /bin/sleep 1000; done) & ";
    let app = with(service("a", &format!("{left}{POLITE}")), &json!({ "kill_timeout": 100, "min_uptime": 1 }));
    let run = Run::start(&home, &json!([app]), &[]);
    run.until_out("| up");
    run.signal(Signal::TERM);
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("what it had left is killed"), "{ended:?}");
    leaves_nothing(&home);
}
