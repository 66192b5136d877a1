//! `apply` brings apps up, waits until they are, and says what is not; what crashes is restarted.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use crate::support::{Home, Instance, needs_node, needs_python, procs, stay};

/// Writes to a gate that a fixture reads from, as soon as it reads.
fn open_gate(path: &std::path::Path) {
    std::fs::write(path, "open\n").expect("the app reads from it");
}

fn gate(home: &Home) -> std::path::PathBuf {
    let path = home.work.join("gate");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("mkfifo");
    path
}

#[test]
fn apply_starts_the_daemon_shows_the_plan_and_returns_when_every_app_is_up() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    assert!(home.daemon().is_none());
    home.write_json("eco.json", &json!([stay("a"), stay("b")]));
    let output = home.ok(&["apply", "eco.json"]);
    output.prints("Plan: 2 to create").says("a:0").says("applied: 2 apps up");
    assert!(!output.stderr.contains('\x1b') && !output.stdout.contains('\x1b'), "no terminal, no colour: {output}");
    assert!(home.daemon().is_some());
    assert!(home.list().iter().all(|one| one.state() == "online"));
    assert_eq!(home.log("a-out.log"), "started a:0\n");
    assert_eq!(home.log("a-error.log"), "talk of a:0\n");

    let mode = |name: &str| home.folder.join(name).metadata().expect(name).permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    assert_eq!(mode("pmrun.sock"), 0o600);
}

#[test]
fn up_means_min_uptime_has_passed() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut app = stay("a");
    app["min_uptime"] = json!(700);
    home.write_json("eco.json", &json!([app]));
    let output = home.ok(&["apply", "eco.json"]);
    assert!(output.took >= Duration::from_millis(700), "{output}");
}

#[test]
fn two_first_commands_at_once_start_one_daemon() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write_json("a.json", &json!({ "name": "a", "apps": [stay("a")] }));
    home.write_json("b.json", &json!({ "name": "b", "apps": [stay("b")] }));
    std::thread::scope(|scope| {
        for file in ["a.json", "b.json"] {
            let home = &home;
            scope.spawn(move || home.ok(&["apply", file]).exited(0).code);
        }
    });
    // Fails when there are two.
    assert!(home.daemon().is_some());
    assert_eq!(home.pids().len(), 2);
}

#[test]
fn wait_ready_by_nodes_channel() {
    if needs_node() {
        is_up_when_it_says_so("ready.js");
    }
}

#[test]
fn wait_ready_by_sd_notify() {
    if needs_python() {
        is_up_when_it_says_so("notify.py");
    }
}

/// In a file that it writes itself, in one that its lines pass through to, and to stderr, after another run that was up.
#[test]
fn ready_log_by_a_line_of_either_log() {
    for (stream, options) in
        [("1", json!({})), ("2", json!({})), ("2", json!({ "time": true })), ("1", json!({ "log_type": "json" }))]
    {
        let home = Home::new();
        home.write("before.log", "up on 8000\n");
        let mut app = json!({ "ready_log": "^up on [0-9]+$", "out_file": "before.log", "env": { "STREAM": stream } });
        for (name, value) in options.as_object().unwrap() {
            app[name] = value.clone();
        }
        is_up_as_it_says(&home, "says.sh", app);
    }
}

#[test]
fn who_never_writes_the_line_is_reported_and_one_that_cannot_be_found_refused() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let app = |more: serde_json::Value| {
        let mut app = json!({ "name": "a", "script": "./stay.sh", "ready_log": "never", "listen_timeout": 300 });
        app.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        home.write_json("eco.json", &json!([app]));
    };
    app(json!({}));
    home.exits(3, &["apply", "eco.json"]).says("`a:0`").says("ready_log").says("talk of a:0");
    assert!(procs::alive(home.pid("a:0")));
    for (more, said) in [
        (json!({ "ready_log": "up (" }), "no regular expression"),
        (json!({ "disable_logs": true }), "nothing that it writes is kept"),
        (json!({ "instances": 2, "merge_logs": true }), "cannot tell its 2 instances from each other"),
    ] {
        app(more);
        home.exits(65, &["apply", "eco.json"]).says("ready_log").says(said);
    }
}

fn is_up_when_it_says_so(script: &str) {
    is_up_as_it_says(&Home::new(), script, json!({ "wait_ready": true, "env": {} }));
}

fn is_up_as_it_says(home: &Home, script: &str, mut app: serde_json::Value) {
    home.app(script, script);
    let mut fifo = home.fifo("fifo");
    let gate = gate(home);
    app["name"] = json!("a");
    app["script"] = json!(script);
    app["listen_timeout"] = json!(30_000);
    app["env"]["FIFO"] = json!(fifo.path);
    app["env"]["GATE"] = json!(gate);
    home.write_json("eco.json", &json!([app]));
    let (child, out, err) = home.start_command(&mut home.command(&["apply", "eco.json"]));
    fifo.line_of("began");
    assert_eq!(home.state("a:0"), "starting");
    open_gate(&gate);
    let (status, _) = procs::finish(child);
    let said = std::fs::read_to_string(out).expect("stdout") + &std::fs::read_to_string(err).expect("stderr");
    assert!(status.success(), "{said}{}", home.daemon_log());
    assert_eq!(home.state("a:0"), "online");
}

#[test]
fn an_app_that_never_says_it_is_ready_is_reported_and_goes_on() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let app = json!({ "name": "a", "script": "./stay.sh", "wait_ready": true, "listen_timeout": 300 });
    home.write_json("eco.json", &json!([app]));
    let output = home.exits(3, &["apply", "eco.json"]);
    output.says("`a:0`").says("not ready").says("talk of a:0");
    assert_eq!(home.state("a:0"), "errored");
    assert!(procs::alive(home.pid("a:0")));
}

#[test]
fn a_failing_app_exits_3_with_its_last_stderr_lines_and_stops_no_other() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.app("crash.sh", "crash.sh");
    let crash = json!({ "name": "bad", "script": "./crash.sh", "max_restarts": 2, "env": { "WHY": "no port" } });
    home.write_json("eco.json", &json!([stay("a"), crash, stay("z")]));
    let output = home.exits(3, &["apply", "eco.json"]);
    output.says("bad").says("going down: no port");
    assert_eq!((home.state("a:0"), home.state("z:0")), ("online".to_owned(), "online".to_owned()));
    assert_eq!(home.until_state("bad:0", "errored").pid(), None);
    // Lines of an earlier attempt are not taken for this one's.
    home.write_json(
        "eco.json",
        &json!([
            stay("a"),
            json!({ "name": "bad", "script": "./crash.sh", "max_restarts": 2, "env": { "WHY": "other" } }),
            stay("z")
        ]),
    );
    let output = home.exits(3, &["apply", "eco.json"]);
    output.says("going down: other").never_shows("going down: no port");
}

#[test]
fn dependencies_come_up_first_and_a_failed_one_holds_back_what_needs_it() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.app("crash.sh", "crash.sh");
    let mut fifo = home.fifo("fifo");
    let path = fifo.path.clone();
    let on = |name: &str, needs: &[&str]| {
        let mut app = stay(name);
        app["depends_on"] = json!(needs);
        app["env"] = json!({ "FIFO": path });
        app
    };
    home.apply(&json!([on("web", &["api"]), on("api", &["db"]), on("db", &[])]));
    let order: Vec<String> =
        fifo.pending().iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(order, ["db:0", "api:0", "web:0"]);

    let bad = json!({ "name": "bad", "script": "./crash.sh", "max_restarts": 1 });
    let config = json!([on("web", &["api"]), on("api", &["db"]), on("db", &[]), bad, on("needs-bad", &["bad"])]);
    home.write_json("eco.json", &config);
    let output = home.exits(3, &["apply", "eco.json"]);
    output.says("needs-bad").says("bad");
    assert!(!home.marked().contains_key("needs-bad:0"));
    assert!(fifo.pending().is_empty(), "the others were not touched");
}

#[test]
fn a_failed_rollout_stops_and_leaves_the_other_instances_running() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut app = stay("a");
    app["instances"] = json!(3);
    app["max_restarts"] = json!(1);
    home.apply(&json!([app]));
    let before = home.pids();
    home.write("stay.sh", "#!/bin/sh\necho 'the new version is broken' >&2\nexit 1\n");
    home.exits(3, &["apply", "eco.json"]).says("the new version is broken");
    let after = home.pids();
    assert_eq!((before.get("a:1"), before.get("a:2")), (after.get("a:1"), after.get("a:2")), "{before:?} {after:?}");
    // Mended, it converges.
    home.app("stay.sh", "stay.sh");
    home.ok(&["apply", "eco.json"]);
    home.ok(&["diff", "eco.json"]);
    assert_eq!(home.pids().len(), 3);
}

#[test]
fn a_crashed_app_is_restarted() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut fifo = home.fifo("fifo");
    let mut app = stay("a");
    app["env"] = json!({ "FIFO": fifo.path });
    home.apply(&json!([app]));
    let first = fifo.pid_of("a:0");
    procs::signal(first, rustix::process::Signal::KILL);
    let second = fifo.pid_of("a:0");
    assert_ne!(first, second);
    let one = home.until_state("a:0", "online");
    assert_eq!((one.pid(), one.restarts()), (Some(second), 1));
    home.ok(&["show", "a"]).prints("SIGKILL");
}

#[test]
fn a_crash_loop_ends_as_errored_after_max_restarts() {
    let home = Home::new();
    home.app("crash.sh", "crash.sh");
    let mut fifo = home.fifo("fifo");
    let app = json!({ "name": "a", "script": "./crash.sh", "max_restarts": 4, "env": { "FIFO": fifo.path } });
    home.write_json("eco.json", &json!([app]));
    home.exits(3, &["apply", "eco.json"]).says("going down");
    home.until_state("a:0", "errored");
    assert_eq!(fifo.pending().len(), 4, "launches");
    // Asked again, it is tried again.
    home.exits(3, &["start", "a"]);
    home.until_state("a:0", "errored");
    assert_eq!(fifo.pending().len(), 4);
}

#[test]
fn ends_that_are_meant_are_no_crashes() {
    let home = Home::new();
    home.app("crash.sh", "crash.sh");
    home.app("stay.sh", "stay.sh");
    let ends = |name: &str, code: i32, more: serde_json::Value| {
        let mut app = json!({ "name": name, "script": "./crash.sh", "env": { "CODE": code } });
        app.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        app
    };
    home.write_json(
        "eco.json",
        &json!([
            ends("job", 0, json!({ "autorestart": false })),
            ends("broken-job", 3, json!({ "autorestart": false })),
            ends("coded", 7, json!({ "stop_exit_codes": [7] })),
        ]),
    );
    let _ = home.run(&["apply", "eco.json"]);
    home.until_state("job:0", "completed");
    home.until_state("broken-job:0", "errored");
    home.until_state("coded:0", "completed");
    assert!(home.list().iter().all(|one| one.restarts() == 0));

    // A death by signal is never an exit code.
    let mut app = stay("signalled");
    app["stop_exit_codes"] = json!([0, 137, 9]);
    home.write_json("other.json", &json!({ "name": "other", "apps": [app] }));
    home.ok(&["apply", "other.json"]);
    let first = home.pid("signalled:0");
    procs::signal(first, rustix::process::Signal::KILL);
    home.until("a new process", |list| {
        list.iter().any(|one| one.name() == "signalled" && one.pid().is_some_and(|pid| pid != first))
    });
}

#[test]
fn restart_delay_is_waited_and_can_be_cut_short() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut fifo = home.fifo("fifo");
    let mut app = stay("a");
    app["restart_delay"] = json!(600_000);
    app["env"] = json!({ "FIFO": fifo.path });
    home.apply(&json!([app]));
    procs::signal(fifo.pid_of("a:0"), rustix::process::Signal::KILL);
    let waiting = home.until_state("a:0", "waiting");
    assert_eq!(waiting.pid(), None);
    home.ok(&["restart", "a"]);
    fifo.pid_of("a:0");
    procs::signal(home.pid("a:0"), rustix::process::Signal::KILL);
    home.until_state("a:0", "waiting");
    home.ok(&["stop", "a"]);
    assert_eq!(home.state("a:0"), "stopped");
}

#[test]
fn many_killed_at_once_all_come_back() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut app = stay("many");
    app["instances"] = json!(60);
    home.apply(&json!([app]));
    let before = home.pids();
    assert_eq!(before.len(), 60);
    for pid in before.values() {
        procs::signal(*pid, rustix::process::Signal::KILL);
    }
    let after = home.until("all to be back", |list| {
        list.iter().filter(|one| one.state() == "online" && one.pid() != before.get(&one.label()).copied()).count()
            == 60
    });
    assert!(after.iter().all(|one| one.restarts() == 1));
    for (instance, pids) in home.marked() {
        assert_eq!(pids.len(), 1, "{instance}");
    }
}

/// Half of them are jobs, half are services that stay the second time.
#[test]
fn three_hundred_that_end_at_once_are_all_taken_notice_of_once() {
    const EACH: usize = 150;
    let home = Home::new();
    // Whoever opens the gate to write lets all of them go, as nobody reads from it before.
    home.write(
        "run.sh",
        "#!/bin/sh\necho run >>\"runs-${name}-${NODE_APP_INSTANCE}\"\n\
         [ \"${name}\" = service ] && [ \"$(wc -l <runs-service-${NODE_APP_INSTANCE})\" -gt 1 ] && exec sleep 100000\n\
         read -r line <\"${GATE}\"\nexit 0\n",
    );
    let gate = home.work.join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let app = |name: &str, restart: bool| {
        json!({
            "name": name, "script": "./run.sh", "instances": EACH, "autorestart": restart, "min_uptime": 100,
            "fingerprint": false, "env": { "GATE": gate },
        })
    };
    home.apply(&json!([app("service", true), app("job", false)]));
    let before = home.pids();
    assert_eq!(before.len(), 2 * EACH);
    drop(std::fs::OpenOptions::new().write(true).open(&gate).expect("somebody waits at the gate"));
    let is_done = |one: &Instance| match one.name() {
        "job" => one.state() == "completed" && one.restarts() == 0,
        _ => one.state() == "online" && one.restarts() == 1 && one.pid() != before.get(&one.label()).copied(),
    };
    let list = home.until("all of them to be where they belong", |list| list.iter().all(is_done));
    assert!(list.iter().all(|one| one.0["last_exit"] == json!({ "code": 0 })));
    for one in &list {
        let runs = std::fs::read_to_string(home.work.join(format!("runs-{}-{}", one.name(), one.0["slot"])));
        let want = if one.name() == "job" { "run\n" } else { "run\nrun\n" };
        assert_eq!(runs.expect("it ran"), want, "{}", one.label());
    }
    assert_eq!(procs::zombies_of(home.daemon().expect("a daemon runs")), [0; 0]);
    for (instance, pids) in home.marked() {
        assert_eq!(pids.len(), 1, "{instance}");
    }
}

#[test]
fn a_process_starts_clean() {
    let home = Home::new();
    let script = "#!/bin/sh\nls -l /proc/self/fd >&2\ncat /proc/self/status\necho \"$(cut -d ' ' -f 5,6 /proc/$$/stat) $$\"\n\
                  exec sleep 100000\n";
    home.write("look.sh", script);
    // The second is started in the way of those that are another user's.
    let app = |name: &str| json!({ "name": name, "script": "./look.sh", "min_uptime": 200, "fingerprint": false });
    let mut own = app("own");
    own["umask"] = json!("027");
    let mut grouped = app("grouped");
    grouped["limits"] = json!({ "pids": 100 });
    home.write_json("eco.json", &json!([app("plain"), own, grouped]));
    // As `nohup` and scripts leave it: what is ignored stays so over exec.
    let line = format!("trap '' HUP INT QUIT PIPE TERM; exec '{}' apply eco.json", env!("CARGO_BIN_EXE_pmrun"));
    home.run_command(home.shell(&line), Duration::from_secs(30)).exited(0);
    for name in ["plain", "own", "grouped"] {
        let pid = home.pid(&format!("{name}:0"));
        let out = home.log(&format!("{name}-out.log"));
        let line = |name: &str| {
            let found = out.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {out}"));
            found.trim().to_owned()
        };
        assert_eq!(line("SigIgn:").trim_start_matches('0'), "", "ignored signals");
        assert_eq!(line("SigBlk:").trim_start_matches('0'), "", "blocked signals");
        assert_eq!(out.lines().last(), Some(format!("{pid} {pid} {pid}").as_str()), "own group and session");
        // 0, 1, 2, and the folder that `ls` itself reads.
        let error = home.log(&format!("{name}-error.log"));
        assert_eq!(error.lines().filter(|line| line.contains(" -> ")).count(), 4, "{error}");
    }
}
