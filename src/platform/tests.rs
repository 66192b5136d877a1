//! The host with real processes. Each test waits for states, with a bound, and never sleeps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::Timespec;

use super::procfs::{self, Table};
use super::{Event, Host, Left, ProcessSetup, Signals};
use crate::base::{ExitStatus, InstanceId, Signal};
use crate::supervisor::{Launch, LaunchId, Output};

const PATIENCE: Duration = Duration::from_secs(20);
const ID: LaunchId = LaunchId(1);

/// A host in a home of its own, and what it said.
struct Stage {
    folder: tempfile::TempDir,
    host: Host,
    events: Vec<Event>,
    /// Whether this process may reap whatever ends.
    alone: bool,
}

impl Stage {
    fn new() -> Self {
        Self::with(ProcessSetup::default(), false)
    }

    fn with(setup: ProcessSetup, alone: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::new(folder.path(), setup).unwrap();
        Self { folder, host, events: Vec::new(), alone }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn launch(&self, program: &str, args: &[&str]) -> Launch {
        Launch {
            id: ID,
            instance: InstanceId::new("app", 0),
            program: program.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            cwd: "/".to_owned(),
            ambient: Arc::new(BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())])),
            env: BTreeMap::new(),
            out: Output::File(self.path("logs/out.log")),
            error: Output::File(self.path("logs/error.log")),
            framing: None,
            rotation: crate::spec::Rotation::default(),
            pid_file: self.path("pids/app-0.pid"),
            channel: false,
            notify: false,
            ready_log: None,
            stdin: false,
            user: None,
            group: None,
            umask: None,
            nice: 0,
            rlimits: BTreeMap::new(),
            limits: crate::spec::Limits::default(),
            listen: Vec::new(),
            distribution: crate::spec::Distribution::default(),
            worker: false,
            preload: false,
            mapped: None,
            relieves: false,
            steered: false,
            tree: true,
        }
    }

    fn shell(&self, script: &str) -> Launch {
        self.launch("/bin/sh", &["-c", script])
    }

    fn out(&self) -> String {
        std::fs::read_to_string(self.path("logs/out.log")).unwrap_or_default()
    }

    /// Goes on until `done` says so.
    fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.alone {
                self.host.reap();
            }
            self.host.bury();
            self.host.flush();
            self.host.reap_others();
            let events = self.host.take_events();
            self.host.tidy();
            self.events.extend(events);
            if done(self) {
                return;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}; so far: {:?}\n{}", self.events, self.out());
            self.host.poll(Some(&Timespec { tv_sec: 0, tv_nsec: 5_000_000 }));
        }
    }

    fn until_event(&mut self, event: &Event) {
        self.until(&format!("{event:?}"), |stage| stage.events.contains(event));
    }

    fn exit_of(&mut self, launch: &Launch) -> ExitStatus {
        self.host.spawn(launch).unwrap();
        let exited = |event: &Event| match event {
            Event::Exited { launch: id, status, .. } if *id == launch.id => Some(*status),
            _ => None,
        };
        self.until("its exit", |stage| stage.events.iter().any(|event| exited(event).is_some()));
        self.events.iter().find_map(exited).unwrap()
    }
}

/// Runs the test in a process that has no other tests in it: it adopts orphans and reaps whatever ends.
#[expect(unsafe_code, reason = "runs between fork and exec, where little is allowed")]
fn alone(name: &str, body: impl FnOnce()) {
    const INSIDE: &str = "PMRUN_TEST_ALONE";
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return body();
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args([&format!("platform::tests::{name}"), "--exact", "--nocapture", "--test-threads=1"]);
    command.env(INSIDE, name);
    // Another test may be starting an app at this moment, and then its tag is on this process and all that it starts.
    let untag = || {
        super::tag::take_off();
        Ok(())
    };
    // SAFETY: it makes two system calls and nothing else.
    unsafe { command.pre_exec(untag) };
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn adopting_stage() -> Stage {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    Stage::with(ProcessSetup::default(), true)
}

/// Living processes that have `word` among their arguments.
fn with_argument(word: &str) -> Vec<u32> {
    let table = Table::scan().unwrap();
    let living = table.processes.iter().filter(|process| !process.dead).map(|process| process.pid);
    let has = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    };
    living.filter(has).collect()
}

/// What this process passes on because it was given it that way; the daemon closes those when it starts.
fn inherited_fds() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
    let passed_on = |name: &String| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{name}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).map_or("02000000", str::trim);
        i64::from_str_radix(flags, 8).unwrap() & 0o2_000_000 == 0
    };
    entries.map(|entry| entry.file_name().into_string().unwrap()).filter(passed_on).collect()
}

/// A number of seconds that nobody else sleeps.
fn nap(number: u32) -> String {
    format!("7{:05}.{number}", std::process::id() % 100_000)
}

#[test]
fn exits_are_told_as_what_they_are() {
    let table = [
        ("exit 0", ExitStatus::Code(0)),
        ("exit 3", ExitStatus::Code(3)),
        ("exit 255", ExitStatus::Code(255)),
        ("kill -KILL $$", ExitStatus::Signal(9)),
        ("kill -TERM $$", ExitStatus::Signal(15)),
        ("kill -40 $$", ExitStatus::Signal(40)),
    ];
    for (script, want) in table {
        let mut stage = Stage::new();
        let launch = stage.shell(script);
        assert_eq!(stage.exit_of(&launch), want, "{script}");
        assert!(!Path::new(&launch.pid_file).exists(), "the pid file goes with the process");
        stage.host.poll(Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        assert_eq!(stage.host.take_events(), [], "once");
    }
}

#[test]
fn the_environment_is_exactly_what_was_asked_for() {
    let mut stage = Stage::new();
    let mut launch = stage.launch("env", &["-0"]);
    let strings = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    launch.ambient = Arc::new(strings(&[("PATH", "/usr/bin:/bin"), ("A", "ambient"), ("B", "ambient")]));
    launch.env = strings(&[("B", "declared"), ("EMPTY", ""), ("ODD", "a=b\n'\"é"), ("PMRUN_SPEC", "s")]);
    assert_eq!(stage.exit_of(&launch), ExitStatus::Code(0));
    let home = stage.folder.path().to_str().unwrap().to_owned();
    let out = stage.out();
    let got: BTreeMap<&str, &str> = out.split_terminator('\0').map(|line| line.split_once('=').unwrap()).collect();
    let mark = got["PMRUN_LAUNCH"];
    assert!(mark.ends_with(".1"), "{mark}");
    let want = BTreeMap::from([
        ("PATH", "/usr/bin:/bin"),
        ("A", "ambient"),
        ("B", "declared"),
        ("EMPTY", ""),
        ("ODD", "a=b\n'\"é"),
        ("PMRUN_HOME", &home),
        ("PMRUN_INSTANCE", "app:0"),
        ("PMRUN_LAUNCH", mark),
        ("PMRUN_SPEC", "s"),
        ("PWD", "/"),
    ]);
    assert_eq!(got, want);
}

#[test]
fn processes_start_clean_and_on_their_own() {
    alone("processes_start_clean_and_on_their_own", || {
        let _blocked = Signals::block().unwrap();
        for channel in [false, true] {
            let mut stage = adopting_stage();
            let _leak = std::fs::File::open("/dev/null").unwrap();
            let mut launch =
                stage.shell("ls /proc/self/fd | tr '\\n' ' '; grep -E 'Sig(Blk|Ign)' /proc/self/status; read x");
            launch.channel = channel;
            launch.env.insert("LC_ALL".to_owned(), "C".to_owned());
            let (pid, offset) = stage.host.spawn(&launch).unwrap();
            assert_eq!(offset, 0);
            let process = procfs::process(pid).unwrap();
            assert!(process.is_none_or(|process| process.session == pid && process.parent == std::process::id()));
            stage.until_event(&Event::Exited { launch: ID, status: ExitStatus::Code(1), left: false });
            let out = stage.out();
            let (fds, signals) = out.split_once('S').unwrap();
            let fds: BTreeSet<&str> = fds.split_whitespace().collect();
            // `ls` has one more for the folder that it lists; whoever runs the tests may leave some open as well.
            let own = if channel { 5 } else { 4 };
            let own: Vec<String> = (0..own).map(|fd| fd.to_string()).collect();
            let inherited = inherited_fds();
            let want: BTreeSet<&str> = own.iter().chain(&inherited).map(String::as_str).collect();
            assert_eq!(fds, want, "channel: {channel}");
            let zero = "0000000000000000";
            assert_eq!(signals, format!("igBlk:\t{zero}\nSigIgn:\t{zero}\n"));
        }
    });
}

#[test]
fn logs_are_appended_to_and_their_folders_made() {
    let mut stage = Stage::new();
    let mut launch = stage.shell("echo out; echo err >&2");
    launch.error = Output::File(stage.path("deep/er/error.log"));
    for round in 1..=2_u64 {
        launch.id = LaunchId(round);
        let (_, offset) = stage.host.spawn(&launch).unwrap();
        assert_eq!(offset, (round - 1) * 4);
        stage.until_event(&Event::Exited { launch: launch.id, status: ExitStatus::Code(0), left: false });
    }
    assert_eq!(stage.out(), "out\nout\n");
    assert_eq!(std::fs::read_to_string(stage.path("deep/er/error.log")).unwrap(), "err\nerr\n");
    // Both streams in one file do not overwrite each other.
    let both = Output::File(stage.path("both.log"));
    launch = Launch { id: LaunchId(3), out: both.clone(), error: both, ..launch };
    stage.exit_of(&launch);
    assert_eq!(std::fs::read_to_string(stage.path("both.log")).unwrap(), "out\nerr\n");
}

#[test]
fn what_cannot_be_started_says_why() {
    let mut stage = Stage::new();
    let bad_interpreter = stage.path("bad");
    std::fs::write(&bad_interpreter, "#!/no/such/thing -x\n").unwrap();
    let not_executable = stage.path("plain");
    std::fs::write(&not_executable, "x").unwrap();
    for path in [&bad_interpreter, &not_executable] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = if path == &bad_interpreter { 0o755 } else { 0o644 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let fifo = stage.path("fifo");
    nix::unistd::mkfifo(fifo.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let good = stage.shell("exit");
    let program = |program: &str| Launch { program: program.to_owned(), ..good.clone() };
    let log = |path: &str| Launch { out: Output::File(path.to_owned()), ..good.clone() };
    let table = [
        (
            program("no-such-program"),
            "cannot run `no-such-program`: No such file or directory (is the interpreter installed?)".to_owned(),
        ),
        (program("/no/such/program"), "cannot run `/no/such/program`: No such file or directory".to_owned()),
        (
            program(&bad_interpreter),
            format!("cannot run `{bad_interpreter}`: its interpreter `/no/such/thing` does not exist"),
        ),
        (
            program(&not_executable),
            format!(
                "cannot run `{not_executable}`: Permission denied (is it executable, or is an interpreter missing?)"
            ),
        ),
        (program(&format!("{not_executable}/x")), format!("cannot run `{not_executable}/x`: Not a directory")),
        (program("/bin/sh\0x"), "cannot run `/bin/sh\0x`: its arguments or variables hold a zero byte".to_owned()),
        (
            Launch { cwd: "/no/such".to_owned(), ..good.clone() },
            "cannot enter the folder `/no/such`: No such file or directory".to_owned(),
        ),
        (
            Launch { cwd: not_executable.clone(), ..good.clone() },
            format!("cannot enter the folder `{not_executable}`: it is not a folder"),
        ),
        (
            log(&format!("{not_executable}/x.log")),
            format!("cannot open the log `{not_executable}/x.log`: Not a directory"),
        ),
        (log("/"), "cannot open the log `/`: Is a directory".to_owned()),
        (log(&fifo), format!("cannot open the log `{fifo}`: No such device or address")),
    ];
    for (launch, want) in table {
        assert_eq!(stage.host.spawn(&launch).unwrap_err(), want);
    }
    assert_eq!(stage.exit_of(&good), ExitStatus::Code(0), "and the next one starts");
}

#[test]
fn programs_are_looked_for_in_the_apps_own_path_and_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut stage = Stage::new();
    std::fs::create_dir(stage.path("bin")).unwrap();
    let tool = stage.path("bin/pmrun-test-tool");
    std::fs::write(&tool, "#!/bin/sh\npwd; exit 5\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut id = 0;
    for (program, path) in [("pmrun-test-tool", "bin:/bin"), ("bin/pmrun-test-tool", "/bin"), (tool.as_str(), "")] {
        id += 1;
        let mut launch = Launch { id: LaunchId(id), cwd: stage.path(""), ..stage.launch(program, &[]) };
        launch.env.insert("PATH".to_owned(), path.to_owned());
        assert_eq!(stage.exit_of(&launch), ExitStatus::Code(5), "{program}");
    }
}

#[test]
fn programs_that_cannot_be_run_do_not_hide_those_that_can() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut stage = Stage::new();
    let files = [("a", "#!/no/such/thing\n", 0o755), ("b", "x", 0o644), ("c", "echo \"$@\"; exit 6\n", 0o755)];
    for (folder, text, mode) in files {
        let tool = stage.path(&format!("{folder}/tool"));
        std::fs::create_dir(stage.path(folder)).unwrap();
        std::fs::write(&tool, text).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut launch = Launch { cwd: stage.path(""), ..stage.launch("tool", &["x", "y z"]) };
    launch.env.insert("PATH".to_owned(), "none:a:b:c".to_owned());
    assert_eq!(stage.exit_of(&launch), ExitStatus::Code(6));
    assert_eq!(stage.out(), "x y z\n", "without a `#!` the shell runs it");
    launch.env.insert("PATH".to_owned(), "a:b:none".to_owned());
    assert_eq!(
        stage.host.spawn(&launch).unwrap_err(),
        "cannot run `tool`: Permission denied (is it executable, or is an interpreter missing?)"
    );
}

#[test]
fn apps_get_the_limits_that_the_daemon_was_given() {
    alone("apps_get_the_limits_that_the_daemon_was_given", || {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let raised = getrlimit(Resource::Nofile);
        let given = Rlimit { current: Some(77), maximum: raised.maximum };
        setrlimit(Resource::Nofile, Rlimit { current: raised.maximum, maximum: raised.maximum }).unwrap();
        let raised = getrlimit(Resource::Nofile);
        let mut stage = Stage::with(ProcessSetup { files: Some(given) }, true);
        // Descriptors above the limit that the app gets.
        let _open: Vec<_> = (0..100).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let launch = Launch { channel: true, ..stage.shell("ulimit -n; umask; : >&3") };
        assert_eq!(stage.exit_of(&launch), ExitStatus::Code(0));
        let umask = rustix::process::umask(rustix::fs::Mode::empty());
        assert_eq!(stage.out(), format!("77\n{:04o}\n", umask.bits()));
        assert_eq!(getrlimit(Resource::Nofile), raised);
        let missing = stage.launch("/no/such/program", &[]);
        stage.host.spawn(&missing).unwrap_err();
        assert_eq!(getrlimit(Resource::Nofile), raised);
    });
}

#[test]
fn readiness_and_shutdown_go_over_the_channel() {
    let mut stage = Stage::new();
    let script =
        r#"printf '"read' >&3; printf 'y"\n' >&3; read line <&3; [ "$line" = '"shutdown"' ] && exit 7; exit 8"#;
    let launch = Launch { channel: true, ..stage.shell(script) };
    let (pid, _) = stage.host.spawn(&launch).unwrap();
    assert_eq!(std::fs::read_to_string(&launch.pid_file).unwrap(), format!("{pid}\n"));
    stage.until_event(&Event::Ready { launch: ID });
    stage.host.stop_by_message(ID, true);
    stage.until_event(&Event::TreeGone { launch: ID });
    assert!(
        stage.events.contains(&Event::Exited { launch: ID, status: ExitStatus::Code(7), left: false }),
        "{:?}",
        stage.events
    );
}

#[test]
fn node_speaks_the_channel() {
    if std::process::Command::new("node").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no node on this machine");
        return;
    }
    let mut stage = Stage::new();
    let script = "process.on('message', m => process.exit(m === 'shutdown' ? 7 : 8)); process.send({a: 1}); process.send('ready')";
    let launch = Launch { channel: true, ..stage.launch("node", &["-e", script]) };
    stage.host.spawn(&launch).unwrap();
    stage.until_event(&Event::Ready { launch: ID });
    stage.host.stop_by_message(ID, true);
    stage.until_event(&Event::TreeGone { launch: ID });
    assert!(
        stage.events.contains(&Event::Exited { launch: ID, status: ExitStatus::Code(7), left: false }),
        "{:?}",
        stage.events
    );
}

#[test]
fn helpers_of_an_app_may_say_that_it_is_ready() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3 on this machine");
        return;
    }
    let mut stage = Stage::new();
    let say = "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])";
    let launch = Launch { notify: true, ..stage.shell(&format!("python3 -c \"{say}\"; exec sleep 1000")) };
    stage.host.spawn(&launch).unwrap();
    stage.until_event(&Event::Ready { launch: ID });
    stage.host.kill(ID, true);
    stage.until_event(&Event::TreeGone { launch: ID });
}

#[test]
fn a_stop_leaves_nothing_however_it_hides() {
    alone("a_stop_leaves_nothing_however_it_hides", || {
        let scripts = [
            "exec sleep NAP",
            "sleep NAP & sleep NAP & wait",
            "trap '' TERM INT HUP; sleep NAP & while :; do wait; sleep NAP; done",
            "setsid sleep NAP & sleep NAP & wait",
            "(setsid sh -c 'sleep NAP & sleep NAP; :' &); sleep NAP",
            "(setsid sh -c '(setsid sleep NAP &) ; sleep NAP; :' &); exec sleep NAP",
            "env -i setsid sh -c 'sleep NAP; :' & sleep NAP",
            "(env -i setsid sh -c 'sleep NAP & sleep NAP; :' &); sleep NAP",
            "(trap '' TERM; nohup setsid sleep NAP >/dev/null 2>&1 </dev/null &); sleep NAP",
            "(env -i setsid sh -c 'sleep NAP & sleep NAP; :' >/dev/null 2>&1 </dev/null &); sleep NAP",
            // One that hands over to another of itself all the time.
            "next() { (sleep 0.02; next) & }; next; exec sleep NAP",
            "i=0; while [ $i -lt 150 ]; do sleep NAP & i=$((i+1)); done; wait",
        ];
        for (number, script) in (0..).zip(scripts) {
            for hard in [false, true] {
                let mut stage = adopting_stage();
                let nap = nap(number * 2 + u32::from(hard));
                let script = format!("printf '\"ready\"\\n' >&3; {}", script.replace("NAP", &nap));
                let launch = Launch { channel: true, ..stage.shell(&script) };
                stage.host.spawn(&launch).unwrap();
                stage.until_event(&Event::Ready { launch: ID });
                if !script.contains("next") {
                    let enough = script.matches(nap.as_str()).count().min(1);
                    stage.until("its processes", |_| with_argument(&nap).len() >= enough);
                }
                if !hard {
                    stage.host.stop(ID, Signal::TERM, true);
                    stage.host.flush();
                }
                stage.host.kill(ID, true);
                stage.until_event(&Event::TreeGone { launch: ID });
                assert_eq!(with_argument(&nap), Vec::<u32>::new(), "{script} (hard: {hard})");
                let exits = |event: &&Event| matches!(event, Event::Exited { .. });
                assert_eq!(stage.events.iter().filter(exits).count(), 1, "{:?}", stage.events);
                assert!(matches!(stage.events.last(), Some(Event::TreeGone { .. })), "{:?}", stage.events);
                // Who was the last to end may have done so just now: it is reaped the next time.
                let none = |_: &Stage| Table::scan().unwrap().children(std::process::id()).next().is_none();
                stage.until(&format!("all of `{script}` to be reaped"), none);
            }
        }
    });
}

#[test]
fn a_gentle_stop_reaches_descendants_and_waits_for_the_last() {
    alone("a_gentle_stop_reaches_descendants_and_waits_for_the_last", || {
        let mut stage = adopting_stage();
        let nap = nap(90);
        let child = format!("trap 'echo child; exit' USR2; printf '\\\"ready\\\"\\n' >&3; sleep {nap} & wait");
        let script = format!("trap 'echo root; exit 4' USR2; setsid sh -c \"{child}\" & wait");
        let launch = Launch { channel: true, ..stage.shell(&script) };
        stage.host.spawn(&launch).unwrap();
        stage.until_event(&Event::Ready { launch: ID });
        // Between fork and exec a shell's child still has its parent's handler, and would swallow the signal.
        stage.until("the innermost process", |_| with_argument(&nap).len() == 1);
        stage.host.stop(ID, "USR2".parse().unwrap(), true);
        stage.until_event(&Event::TreeGone { launch: ID });
        let lines: BTreeSet<String> = stage.out().lines().map(str::to_owned).collect();
        assert!(lines.contains("root") && lines.contains("child"), "{lines:?}");
        assert_eq!(with_argument(&nap), Vec::<u32>::new());
    });
}

#[test]
fn without_tree_only_the_first_process_counts() {
    alone("without_tree_only_the_first_process_counts", || {
        let mut stage = adopting_stage();
        let nap = nap(91);
        let script = format!("setsid sleep {nap} & printf '\"ready\"\\n' >&3; wait");
        let launch = Launch { channel: true, tree: false, ..stage.shell(&script) };
        stage.host.spawn(&launch).unwrap();
        stage.until_event(&Event::Ready { launch: ID });
        stage.until("its child", |_| with_argument(&nap).len() == 1);
        stage.host.stop(ID, Signal::TERM, false);
        stage.until_event(&Event::TreeGone { launch: ID });
        // Between two programs a process has no arguments: not just one look.
        stage.until("what is left as asked", |_| with_argument(&nap).len() == 1);
        // A stop that comes late is still answered, and what carries the mark is still found.
        stage.events.clear();
        stage.host.kill(ID, true);
        stage.until_event(&Event::TreeGone { launch: ID });
        assert_eq!(with_argument(&nap), Vec::<u32>::new());
    });
}

#[test]
fn what_a_process_leaves_behind_is_told_and_ends_when_asked() {
    alone("what_a_process_leaves_behind_is_told_and_ends_when_asked", || {
        for tree in [true, false] {
            let mut stage = adopting_stage();
            let nap = nap(92 + u32::from(tree));
            let script = format!("sleep {nap} & read x <&3; exit 3");
            let launch = Launch { channel: true, tree, ..stage.shell(&script) };
            stage.host.spawn(&launch).unwrap();
            stage.until("its child", |_| with_argument(&nap).len() == 1);
            stage.host.stop_by_message(LaunchId(99), false);
            let [pid] = with_argument(&nap)[..] else { panic!() };
            let root = procfs::process(pid).unwrap().unwrap().parent;
            // Not a stop: it is ended behind the host's back.
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(root.cast_signed()), nix::sys::signal::Signal::SIGTERM)
                .unwrap();
            stage.until_event(&Event::Exited { launch: ID, status: ExitStatus::Signal(15), left: tree });
            assert_eq!(with_argument(&nap), [pid], "nobody has asked it to end");
            if tree {
                stage.host.stop(ID, Signal::TERM, true);
            } else {
                stage.host.kill(ID, true);
            }
            stage.until_event(&Event::TreeGone { launch: ID });
            assert_eq!(with_argument(&nap), Vec::<u32>::new());
        }
    });
}

#[test]
fn many_are_started_and_stopped_at_once() {
    alone("many_are_started_and_stopped_at_once", || {
        let mut stage = adopting_stage();
        let nap = nap(95);
        let started = Instant::now();
        for id in 0..200 {
            let name = format!("app{id}");
            let launch = Launch {
                id: LaunchId(id),
                instance: InstanceId::new(name.as_str(), 0),
                pid_file: stage.path(&format!("pids/{name}.pid")),
                ..stage.launch("/bin/sleep", &[&nap])
            };
            stage.host.spawn(&launch).unwrap();
        }
        eprintln!("200 started in {:?}", started.elapsed());
        let stopped = Instant::now();
        for id in 0..200 {
            stage.host.stop(LaunchId(id), Signal::TERM, true);
        }
        let gone = |event: &&Event| matches!(event, Event::TreeGone { .. });
        stage.until("the end of all", |stage| stage.events.iter().filter(gone).count() == 200);
        eprintln!("200 stopped in {:?}", stopped.elapsed());
        assert_eq!(with_argument(&nap), Vec::<u32>::new());
        assert_eq!(std::fs::read_dir(stage.path("pids")).unwrap().count(), 0);
    });
}

#[test]
fn the_next_daemon_takes_over_what_is_known_and_ends_the_rest() {
    alone("the_next_daemon_takes_over_what_is_known_and_ends_the_rest", || {
        let mut stage = adopting_stage();
        let nap = nap(96);
        let app = |stage: &Stage, id: u64, name: &str, script: &str| {
            let mut launch = Launch {
                id: LaunchId(id),
                instance: InstanceId::new(name, 0),
                pid_file: stage.path(&format!("pids/{name}.pid")),
                channel: true,
                ..stage.shell(&script.replace("NAP", &nap))
            };
            launch.env.insert("PMRUN_SPEC".to_owned(), format!("digest of {name}"));
            launch
        };
        let keep = app(&stage, 5, "keep", "setsid sleep NAP & printf '\"ready\"\\n' >&3; wait");
        let drop_it = app(&stage, 6, "drop", "setsid sleep NAP & printf '\"ready\"\\n' >&3; wait");
        let (keep_pid, _) = stage.host.spawn(&keep).unwrap();
        stage.host.spawn(&drop_it).unwrap();
        stage.until_event(&Event::Ready { launch: keep.id });
        stage.until_event(&Event::Ready { launch: drop_it.id });
        stage.until("all processes", |_| with_argument(&nap).len() == 2);

        stage.host = Host::new(stage.folder.path(), ProcessSetup::default()).unwrap();
        stage.alone = false;
        stage.events.clear();
        // A pid file that names somebody else's process is not believed.
        std::fs::write(stage.path("pids/liar.pid"), std::process::id().to_string()).unwrap();
        let candidates = [app(&stage, 1, "liar", ""), Launch { id: LaunchId(2), ..keep.clone() }];
        let adopted = stage.host.adopt(&candidates, &HashMap::new(), &BTreeMap::new());
        let [survivor] = &adopted[..] else { panic!("{adopted:?}") };
        assert_eq!((survivor.launch, survivor.pid), (LaunchId(2), keep_pid));
        assert_eq!(survivor.spec_digest, "digest of keep");
        assert_eq!(with_argument(&nap).len(), 1, "what belonged to `drop` has been ended");

        stage.host.stop(LaunchId(2), Signal::KILL, true);
        stage.until_event(&Event::TreeGone { launch: LaunchId(2) });
        // It is this process's own child still.
        let status = ExitStatus::Signal(Signal::KILL.number());
        assert!(stage.events.contains(&Event::Exited { launch: LaunchId(2), status, left: false }));
        assert_eq!(with_argument(&nap), Vec::<u32>::new());
    });
}

/// Whether there is a python3; says so when there is none.
fn needs_python() -> bool {
    let there = std::process::Command::new("python3").arg("--version").output().is_ok();
    if !there {
        eprintln!("SKIPPED: there is no python3 on this machine");
    }
    there
}

#[test]
fn what_hands_over_at_every_signal_has_not_ended_before_it_is_killed() {
    if !needs_python() {
        return;
    }
    alone("what_hands_over_at_every_signal_has_not_ended_before_it_is_killed", || {
        let mut stage = adopting_stage();
        let nap = nap(97);
        let script = r#"
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.write(3, b'"ready"\n')
while True:
    signal.sigwait([signal.SIGTERM])
    if os.fork():
        os._exit(0)
    os.setsid()
"#;
        let launch = Launch { channel: true, ..stage.launch("python3", &["-c", script, &nap]) };
        stage.host.spawn(&launch).unwrap();
        stage.until_event(&Event::Ready { launch: ID });
        stage.host.stop(ID, Signal::TERM, true);
        stage.until("a word about it", |stage| stage.events.iter().any(|event| matches!(event, Event::Notice(_))));
        assert!(!stage.events.contains(&Event::TreeGone { launch: ID }), "{:?}", stage.events);
        assert_eq!(with_argument(&nap).len(), 1, "its time to end in is not over");
        stage.host.kill(ID, true);
        stage.until_event(&Event::TreeGone { launch: ID });
        assert_eq!(with_argument(&nap), Vec::<u32>::new());
    });
}

/// Opens files until no more may be opened.
fn fill(files: &mut Vec<std::fs::File>) {
    files.extend(std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()));
}

fn few_files() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).unwrap();
}

#[test]
fn a_stop_reaches_everything_when_no_more_files_may_be_opened() {
    alone("a_stop_reaches_everything_when_no_more_files_may_be_opened", || {
        let scripts = [
            (false, "(setsid sleep NAP &); sleep NAP & wait"),
            (true, "trap '' TERM; (setsid sleep NAP &); sleep NAP & while :; do wait; done"),
        ];
        for (number, (hard, script)) in (98..).zip(scripts) {
            let mut stage = adopting_stage();
            let nap = nap(number);
            let script = format!("{}; :", script.replace("NAP", &nap));
            let launch = stage.shell(&script);
            stage.host.spawn(&launch).unwrap();
            stage.until("its processes", |_| with_argument(&nap).len() == 2);
            few_files();
            let mut files = Vec::new();
            fill(&mut files);
            stage.host.stop(ID, Signal::TERM, true);
            if hard {
                stage.host.flush();
                stage.host.kill(ID, true);
            }
            stage.until("its end", |stage| {
                fill(&mut files);
                stage.events.contains(&Event::TreeGone { launch: ID })
            });
            drop(files);
            assert_eq!(with_argument(&nap), Vec::<u32>::new(), "{script}");
            assert!(stage.events.iter().any(|event| matches!(event, Event::Exited { .. })), "{:?}", stage.events);
        }
    });
}

#[test]
fn a_look_that_cannot_be_complete_fails() {
    alone("a_look_that_cannot_be_complete_fails", || {
        let mut files = Vec::new();
        few_files();
        fill(&mut files);
        let mut complete = false;
        while !complete && files.pop().is_some() {
            // Not `unwrap_err`: how many files a look opens is its own affair.
            if let Ok(table) = Table::scan() {
                assert!(table.get(std::process::id()).is_some(), "it left out what it could not read");
                complete = true;
            }
        }
        assert!(complete);
    });
}

#[test]
fn a_stop_reaches_the_first_process_when_the_others_cannot_be_looked_for() {
    alone("a_stop_reaches_the_first_process_when_the_others_cannot_be_looked_for", || {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let mut stage = adopting_stage();
        let nap = nap(102);
        for (id, signal) in [(1, Signal::TERM), (2, Signal::KILL)] {
            let script = format!("(setsid sleep {nap} &); printf '\"ready\"\\n' >&3; read x <&3");
            let launch = Launch { id: LaunchId(id), channel: true, ..stage.shell(&script) };
            stage.host.spawn(&launch).unwrap();
            stage.until_event(&Event::Ready { launch: launch.id });
            stage.until("its child", |_| with_argument(&nap).len() == 1);
            let files = getrlimit(Resource::Nofile);
            // Not even what is given up for it can be opened again.
            setrlimit(Resource::Nofile, Rlimit { current: Some(3), maximum: files.maximum }).unwrap();
            if signal == Signal::KILL {
                stage.host.kill(launch.id, true);
            } else {
                stage.host.stop(launch.id, signal, true);
            }
            let status = ExitStatus::Signal(signal.number());
            stage.until_event(&Event::Exited { launch: launch.id, status, left: false });
            assert!(!stage.events.contains(&Event::TreeGone { launch: launch.id }), "nobody knows: {:?}", stage.events);
            setrlimit(Resource::Nofile, files).unwrap();
            assert_eq!(with_argument(&nap).len(), 1);
            stage.host.kill(launch.id, true);
            stage.until_event(&Event::TreeGone { launch: launch.id });
            assert_eq!(with_argument(&nap), Vec::<u32>::new());
        }
    });
}

#[test]
fn an_app_whose_pid_file_is_lost_is_taken_over_all_the_same() {
    alone("an_app_whose_pid_file_is_lost_is_taken_over_all_the_same", || {
        let mut stage = adopting_stage();
        let (nap, old_nap) = (nap(100), nap(101));
        let app = |stage: &Stage, id: u64, name: &str, nap: &str| {
            // Its child leads a session as well, and has the same marks.
            let script = format!("setsid sleep {nap} & printf '\"ready\"\\n' >&3; wait");
            let mut launch = Launch {
                id: LaunchId(id),
                instance: InstanceId::new(name, 0),
                pid_file: stage.path(&format!("pids/{name}.pid")),
                channel: true,
                ..stage.shell(&script)
            };
            launch.env.insert("PMRUN_SPEC".to_owned(), "digest".to_owned());
            launch
        };
        // What an earlier launch of the same instance left is not the app.
        let ended = Launch { tree: false, ..app(&stage, 4, "app", &old_nap) };
        stage.host.spawn(&ended).unwrap();
        stage.until_event(&Event::Ready { launch: ended.id });
        stage.until("its child", |_| with_argument(&old_nap).len() == 1);
        stage.host.stop(ended.id, Signal::TERM, false);
        stage.until_event(&Event::TreeGone { launch: ended.id });
        let launch = app(&stage, 5, "app", &nap);
        // Nor is what is left of one that ended while no daemon ran: its pid file says so.
        let crashed = Launch { tree: false, ..app(&stage, 6, "crashed", &old_nap) };
        stage.host.spawn(&crashed).unwrap();
        stage.until_event(&Event::Ready { launch: crashed.id });
        stage.until("its child", |_| with_argument(&old_nap).len() == 2);
        let (pid, _) = stage.host.spawn(&launch).unwrap();
        stage.until_event(&Event::Ready { launch: launch.id });
        stage.until("its child", |_| with_argument(&nap).len() == 1);

        stage.host = Host::new(stage.folder.path(), ProcessSetup::default()).unwrap();
        stage.alone = false;
        std::fs::remove_file(&launch.pid_file).unwrap();
        let root = std::fs::read_to_string(&crashed.pid_file).unwrap().trim().parse().unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(root), nix::sys::signal::Signal::SIGKILL).unwrap();
        stage.until("its death", |_| procfs::process(root.cast_unsigned()).unwrap().is_none_or(|root| root.dead));
        let candidates =
            [Launch { id: LaunchId(1), tree: true, ..crashed }, Launch { id: LaunchId(2), ..launch.clone() }];
        let seen = super::unwatched(&candidates, stage.folder.path().to_str().unwrap());
        assert_eq!(seen.iter().map(|seen| seen.pid).collect::<Vec<_>>(), [pid], "the view without a daemon");
        // When it was started is reckoned from two clocks that are read one after the other.
        let mut adopted = stage.host.adopt(&candidates, &HashMap::new(), &BTreeMap::new());
        for (one, other) in adopted.iter_mut().zip(&seen) {
            assert!(one.started_at_ms.abs_diff(other.started_at_ms) <= 1);
            one.started_at_ms = other.started_at_ms;
        }
        assert_eq!(adopted, seen);
        assert_eq!(std::fs::read_to_string(&launch.pid_file).unwrap(), format!("{pid}\n"));
        assert_eq!((with_argument(&nap).len(), with_argument(&old_nap).len()), (1, 0));

        // What a job that is done has left is not taken for it; what its pid file names is.
        std::fs::remove_file(&launch.pid_file).unwrap();
        for (filed, want) in [(false, vec![]), (true, vec![pid])] {
            if filed {
                std::fs::write(&launch.pid_file, format!("{pid}\n")).unwrap();
            }
            stage.host = Host::new(stage.folder.path(), ProcessSetup::default()).unwrap();
            let adopted = stage.host.adopt(
                &candidates,
                &HashMap::from([LaunchId(1), LaunchId(2)].map(|launch| (launch, Left::Over))),
                &BTreeMap::new(),
            );
            assert_eq!(adopted.iter().map(|adopted| adopted.pid).collect::<Vec<_>>(), want);
            assert_eq!(with_argument(&nap).len(), 1, "it goes on either way");
        }

        stage.host.kill(LaunchId(2), true);
        stage.until_event(&Event::TreeGone { launch: LaunchId(2) });
        assert_eq!(with_argument(&nap), Vec::<u32>::new());
    });
}

#[test]
fn a_dead_process_that_a_tracer_holds_is_not_asked_about_all_the_time() {
    use std::io::BufRead as _;
    use std::process::Stdio;
    if !needs_python() {
        return;
    }
    alone("a_dead_process_that_a_tracer_holds_is_not_asked_about_all_the_time", || {
        let mut stage = adopting_stage();
        // PR_SET_PTRACER: anybody may trace it.
        let script = r#"
import ctypes, os, signal
ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(2**64 - 1), 0, 0, 0)
os.write(3, b'"ready"\n')
signal.pause()
"#;
        let launch = Launch { channel: true, ..stage.launch("python3", &["-c", script]) };
        let (pid, _) = stage.host.spawn(&launch).unwrap();
        stage.until_event(&Event::Ready { launch: ID });
        // PTRACE_SEIZE.
        let script = r"
import ctypes, sys
held = ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), None, None) == 0
print('held' if held else 'refused', flush=True)
sys.stdin.read()
";
        let mut tracer = std::process::Command::new("python3")
            .args(["-c", script, &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        std::io::BufReader::new(tracer.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said == "refused\n" {
            eprintln!("SKIPPED: nothing may be traced here");
        } else {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), nix::sys::signal::Signal::SIGKILL)
                .unwrap();
            stage.until("its death", |_| procfs::process(pid).unwrap().is_some_and(|process| process.dead));
            stage.host.dispatch();
            assert!(!stage.host.dispatch(), "nothing new");
            assert_eq!(stage.events, [Event::Ready { launch: ID }], "its status is not known yet");
        }
        tracer.wait().unwrap();
        stage.host.kill(ID, true);
        stage.until_event(&Event::TreeGone { launch: ID });
        assert!(stage.events.contains(&Event::Exited { launch: ID, status: ExitStatus::Signal(9), left: false }));
    });
}
