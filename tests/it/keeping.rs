//! A daemon that is killed is followed by another at once, which goes on where that one stood.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Fifo, Home, needs_node, procs, stay};

const SOON: Duration = Duration::from_secs(30);

/// Until another daemon serves than this one.
#[track_caller]
fn follower(home: &Home, daemon: u32) -> u32 {
    let deadline = Instant::now() + SOON;
    loop {
        let serving = std::fs::read_to_string(home.folder.join("pmrun.pid")).unwrap_or_default();
        match serving.trim().parse() {
            Ok(pid) if pid != daemon && procs::alive(pid) => return pid,
            _ => assert!(Instant::now() < deadline, "no daemon follows{}", home.daemon_log()),
        }
        std::thread::yield_now();
    }
}

#[track_caller]
fn kill_daemon(home: &Home) {
    let daemon = home.daemon().expect("a daemon runs");
    procs::signal(daemon, Signal::KILL);
    follower(home, daemon);
}

fn restarts(home: &Home, instance: &str) -> u64 {
    home.list().iter().find(|known| known.label() == instance).expect("it is known").restarts()
}

#[test]
fn the_next_daemon_knows_what_the_last_one_knew() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut late = stay("late");
    late["wait_ready"] = json!(true);
    late["listen_timeout"] = json!(300);
    let mut dated = stay("dated");
    dated["time"] = json!(true);
    let crash = json!({ "name": "crash", "script": "sh -c 'exit 3'", "restart_delay": 600_000 });
    let lost = json!({ "name": "lost", "script": "sh -c 'exit 4'", "max_restarts": 2 });
    let job = json!({ "name": "job", "script": "sh -c 'exit 0'", "autorestart": false });
    let apps = json!([stay("a"), dated, late, crash, lost, job]);
    home.write_json("eco.json", &apps);
    home.exits(3, &["apply", "eco.json"]);
    home.ok(&["restart", "a"]);
    home.ok(&["stop", "dated"]);
    home.ok(&["start", "dated"]);
    home.until_state("lost:0", "errored");
    let stands = |home: &Home| -> Vec<(String, String, Option<u32>, u64)> {
        let all = home.list();
        all.iter().map(|known| (known.label(), known.state(), known.pid(), known.restarts())).collect()
    };
    let before = stands(&home);
    assert_eq!(restarts(&home, "a:0"), 1);
    for _ in 0..3 {
        kill_daemon(&home);
        assert_eq!(stands(&home), before, "{}", home.daemon_log());
    }
    home.ok(&["show", "late"]).prints("not ready within 300ms");
    home.ok(&["show", "lost"]).prints("2 unstable runs");
    // It waits no longer than it would have.
    home.ok(&["show", "crash"]).prints("starts again in");
    home.exits(2, &["diff", "eco.json"]).prints("Plan: 1 to start, 5 unchanged");
}

#[test]
fn who_is_being_stopped_is_told_once_and_waited_for() {
    let home = Home::new();
    home.write("deaf.sh", "trap 'echo got >> got' INT\necho up\nwhile :; do sleep 1000 & wait $!; done\n");
    let apps = json!([{ "name": "deaf", "script": "deaf.sh", "interpreter": "bash", "kill_timeout": 3_000 }]);
    home.apply(&apps);
    home.until("it said so", |_| home.log("deaf-out.log") == "up\n");
    let told = || std::fs::read_to_string(home.work.join("got")).unwrap_or_default().lines().count();
    let standings = home.folder.join("standings");
    let last = || std::fs::read_to_string(&standings).unwrap_or_default().lines().last().unwrap_or_default().to_owned();
    let stopping = || {
        let before = told();
        let (mut restart, ..) = home.start_command(&mut home.command(&["restart", "deaf"]));
        home.until("it was told", |all| told() > before && all[0].state() == "stopping" && !last().contains("untold"));
        restart.kill().expect("killed");
        restart.wait().expect("reaped");
        (home.pid("deaf:0"), told())
    };
    let (pid, before) = stopping();
    kill_daemon(&home);
    home.ok(&["apply", "eco.json"]);
    assert_eq!((home.state("deaf:0").as_str(), told()), ("online", before));
    assert_ne!(home.pid("deaf:0"), pid);

    // As a daemon leaves it that dies before the signal has gone out.
    let (pid, before) = stopping();
    home.lose_daemon();
    let text = std::fs::read_to_string(&standings).expect("it is there");
    std::fs::write(&standings, text.replace("\"standing\":{", "\"standing\":{\"untold\":true,")).expect("written");
    home.ok(&["apply", "eco.json"]);
    assert_eq!((home.state("deaf:0").as_str(), told()), ("online", before + 1));
    assert_ne!(home.pid("deaf:0"), pid);
}

#[test]
fn how_something_ended_is_known_though_no_daemon_was_there() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("ends.sh", "trap 'exit 7' TERM\necho up\nwhile :; do sleep 1000 & wait; done\n");
    let ends = |name: &str, auto: bool| json!({ "name": name, "script": "ends.sh", "interpreter": "bash", "autorestart": auto, "min_uptime": 0, "treekill": true });
    home.apply(&json!([stay("a"), ends("again", true), ends("job", false)]));
    home.until("both said so", |_| home.log("again-out.log") == "up\n" && home.log("job-out.log") == "up\n");
    let pids = home.pids();
    let (daemon, keeper) = (home.daemon().expect("a daemon"), home.keeper().expect("a keeper"));
    // No daemon is there until the keeper goes on.
    procs::signal(keeper, Signal::STOP);
    procs::signal(daemon, Signal::KILL);
    for name in ["again:0", "job:0"] {
        procs::signal(pids[name], Signal::TERM);
    }
    procs::signal(keeper, Signal::CONT);
    follower(&home, daemon);
    home.until_state("again:0", "online");
    assert_ne!(home.pid("again:0"), pids["again:0"]);
    assert_eq!((home.pid("a:0"), restarts(&home, "again:0")), (pids["a:0"], 1));
    home.ok(&["why", "again"]).prints("exit code 7");
    // It failed, and is not run again.
    assert_eq!(home.state("job:0"), "errored");
    home.ok(&["why", "job"]).prints("exit code 7");
    // And so it is with those that end later, whose parent the new daemon is not.
    let (daemon, pid) = (home.daemon().expect("a daemon"), home.pid("a:0"));
    procs::signal(pid, Signal::KILL);
    home.until("it is back", |all| all.iter().any(|known| known.label() == "a:0" && known.restarts() == 1));
    home.ok(&["why", "a"]).prints("killed by SIGKILL");
    assert_eq!(home.daemon(), Some(daemon));
    kill_daemon(&home);
    assert_eq!(home.state("job:0"), "errored");
    home.ok(&["why", "job"]).prints("exit code 7");
}

#[test]
fn who_is_being_stopped_is_not_asked_twice() {
    let home = Home::new();
    home.write("deaf.sh", "trap 'echo asked' INT TERM\necho up\nwhile :; do sleep 1000 & wait; done\n");
    let deaf = json!({ "name": "deaf", "script": "deaf.sh", "interpreter": "bash", "kill_timeout": 4_000 });
    home.apply(&json!([deaf]));
    home.until("it is up", |_| home.log("deaf-out.log") == "up\n");
    let pid = home.pid("deaf:0");
    let (mut stop, ..) = home.start_command(&mut home.command(&["stop", "deaf"]));
    home.until("it was asked", |_| home.log("deaf-out.log") == "up\nasked\n");
    kill_daemon(&home);
    assert_eq!(home.state("deaf:0"), "stopping");
    let _ = stop.wait();
    home.until_state("deaf:0", "stopped");
    assert!(!procs::alive(pid));
    assert_eq!(home.log("deaf-out.log"), "up\nasked\n");
}

/// It leads a session and bears the app's marks, as the app's own process does.
#[test]
fn what_one_that_is_being_stopped_has_left_is_awaited_and_taken_for_nothing_else() {
    let home = Home::new();
    home.write(
        "left.sh",
        "trap '' INT TERM\necho $$ > left.tmp; mv left.tmp left\nwhile :; do sleep 1000 & wait; done\n",
    );
    home.write("leaves.sh", "setsid bash left.sh &\nexec sleep 1000\n");
    let leaves = json!({ "name": "leaves", "script": "leaves.sh", "interpreter": "bash", "kill_timeout": 5_000 });
    home.apply(&json!([leaves]));
    for (command, ends) in [("restart", "online"), ("stop", "stopped"), ("delete", "gone")] {
        let file = home.work.join("left");
        let left = || std::fs::read_to_string(&file).ok()?.trim().parse::<u32>().ok();
        home.until("it has left something", |_| left().is_some());
        let (pid, left) = (home.pid("leaves:0"), left().expect("a pid"));
        std::fs::remove_file(&file).expect("it is there");
        let (mut asks, ..) = home.start_command(&mut home.command(&[command, "leaves"]));
        home.until("its process has ended", |all| all[0].state() == "stopping" && !procs::alive(pid));
        // Who follows tells the next one what it was told.
        for _ in 0..if ends == "gone" { 2 } else { 1 } {
            kill_daemon(&home);
            assert!(home.list().iter().all(|one| one.state() == "stopping"), "nobody else is taken for it");
            assert!(procs::alive(left), "it has its time");
        }
        let _ = asks.wait();
        if ends == "gone" {
            home.until("it has had its time", |all| all.is_empty() && !procs::alive(left));
            break;
        }
        home.until_state("leaves:0", ends);
        assert!(!procs::alive(left) && home.list()[0].pid() != Some(left));
        home.ok(&["start", "leaves"]);
    }
}

#[test]
fn what_is_to_go_and_is_wanted_again_meanwhile_has_its_time() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let [mut asked, end] = ["asked", "end"].map(|name| Fifo::new(&home.work.join(name)));
    let may_end = || std::fs::write(&end.path, "\n").expect("written");
    let last_work = "echo > asked; read < end; echo done >> done; exit 0";
    home.write("ends.sh", format!("trap '{last_work}' INT\nwhile :; do sleep 1000 & wait $!; done\n"));
    let ends = json!({ "name": "ends", "script": "ends.sh", "interpreter": "bash", "kill_timeout": 20_000 });
    home.apply(&json!([ends, stay("other")]));
    let pid = home.pid("ends:0");
    let (mut deletes, ..) = home.start_command(&mut home.command(&["delete", "ends"]));
    asked.line();
    kill_daemon(&home);
    let _ = deletes.wait();
    assert_eq!((home.state("ends:0").as_str(), home.pid("ends:0")), ("stopping", pid));
    home.exits(75, &["apply", "eco.json", "--no-queue"]).says("the end of `ends:0`");
    let (mut applies, _, said) = home.start_command(&mut home.command(&["apply", "eco.json"]));
    home.until("it waits", |_| {
        std::fs::read_to_string(&said).unwrap_or_default().contains("waiting for the end of `ends:0`")
    });
    // What starts nothing does not wait behind it.
    home.ok(&["stop", "other"]);
    assert!(procs::alive(pid), "it is doing its last work");
    may_end();
    assert!(applies.wait().expect("reaped").success());
    assert_eq!(std::fs::read_to_string(home.work.join("done")).unwrap_or_default(), "done\n");
    assert!(!procs::alive(pid) && home.pid("ends:0") != pid);
    may_end();
    home.ok(&["kill"]);
}

#[test]
fn the_loss_of_the_keeper_costs_nothing_but_the_keeper() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("a")]));
    let pids = home.pids();
    for _ in 0..2 {
        let (daemon, keeper) = (home.daemon().expect("a daemon"), home.keeper().expect("a keeper"));
        procs::signal(keeper, Signal::KILL);
        assert!(procs::wait_gone(keeper, SOON));
        home.until("there is another", |_| home.keeper().is_some_and(|other| other != keeper));
        assert_eq!((home.daemon(), home.pids()), (Some(daemon), pids.clone()));
        kill_daemon(&home);
        assert_eq!(home.pids(), pids);
    }
    // Files that may be open are those of the shell that started it all, not the daemon's many.
    let limit = |pid: u32| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
        limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit").to_owned()
    };
    home.ok(&["restart", "a"]);
    assert_eq!(limit(home.pid("a:0")), limit(std::process::id()));
    // Told to end, both do.
    let (daemon, keeper) = (home.daemon().expect("a daemon"), home.keeper().expect("a keeper"));
    home.ok(&["kill"]);
    assert!(procs::wait_gone(daemon, SOON) && procs::wait_gone(keeper, SOON));
}

#[test]
fn a_signal_to_the_keeper_ends_everything_in_order() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("a")]));
    let (daemon, keeper, pid) = (home.daemon().expect("a daemon"), home.keeper().expect("a keeper"), home.pid("a:0"));
    procs::signal(keeper, Signal::TERM);
    assert!([keeper, daemon, pid].into_iter().all(|pid| procs::wait_gone(pid, SOON)));
    home.ok(&["resurrect"]);
    assert_eq!(home.state("a:0"), "online");
}

#[test]
fn what_apps_say_and_are_told_over_node_s_channel_outlives_the_daemon() {
    if !needs_node() {
        return;
    }
    let home = Home::new();
    home.write(
        "talks.js",
        "process.on('SIGUSR2', () => process.send('ready'));\n\
         process.on('disconnect', () => console.log('disconnected'));\n\
         process.on('message', (message) => { console.log('told ' + message); process.exit(0); });\n\
         console.log('up');\n",
    );
    let app = json!({ "name": "talks", "script": "talks.js", "wait_ready": true, "listen_timeout": 600_000, "shutdown_with_message": true });
    home.write_json("eco.json", &json!([app]));
    let (mut apply, ..) = home.start_command(&mut home.command(&["apply", "eco.json"]));
    home.until("it is up", |_| home.log("talks-out.log") == "up\n");
    let pid = home.pid("talks:0");
    kill_daemon(&home);
    let _ = apply.wait();
    assert_eq!((home.state("talks:0"), home.pid("talks:0")), ("starting".to_owned(), pid));
    // Nor does the loss of the keeper cost it.
    let keeper = home.keeper().expect("a keeper");
    procs::signal(keeper, Signal::KILL);
    assert!(procs::wait_gone(keeper, SOON));
    home.until("there is another", |_| home.keeper().is_some_and(|other| other != keeper));
    kill_daemon(&home);
    procs::signal(pid, Signal::USR2);
    home.until_state("talks:0", "online");
    kill_daemon(&home);
    home.ok(&["stop", "talks"]);
    assert_eq!(home.log("talks-out.log"), "up\ntold shutdown\n");
}

#[test]
fn a_command_that_meets_a_daemon_on_its_way_out_is_done_by_the_next() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("a"), stay("b")]));
    let (pid, keeper) = (home.pid("a:0"), home.keeper());
    for round in 0..6 {
        let daemon = home.daemon().expect("a daemon");
        let command = if round % 2 == 0 { "stop" } else { "start" };
        procs::signal(daemon, Signal::KILL);
        home.ok(&[command, "b"]);
        follower(&home, daemon);
    }
    assert_eq!((home.pid("a:0"), home.state("b:0").as_str()), (pid, "online"));
    assert_eq!(home.keeper(), keeper, "who knows what the last one knew{}", home.daemon_log());
}

/// The same command by another copy of the program.
fn by(program: &Path, command: &Command) -> Command {
    let mut other = Command::new(program);
    other.args(command.get_args());
    other.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other.current_dir(command.get_current_dir().expect("a folder"));
    other
}

#[test]
fn an_upgrade_is_the_same_process_and_nothing_that_runs_notices() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("ends.sh", "trap 'exit 7' TERM\necho up\nwhile :; do sleep 1000 & wait; done\n");
    let mut dated = stay("dated");
    dated["time"] = json!(true);
    let mut late = stay("late");
    late["wait_ready"] = json!(true);
    late["listen_timeout"] = json!(300);
    let ends = json!({ "name": "ends", "script": "ends.sh", "interpreter": "bash", "restart_delay": 600_000 });
    home.write_json("eco.json", &json!([stay("a"), dated, late, ends]));
    home.exits(3, &["apply", "eco.json"]);
    home.ok(&["restart", "a"]);
    let stands = || -> Vec<_> {
        home.list().iter().map(|known| (known.label(), known.state(), known.pid(), known.restarts())).collect()
    };
    let (before, daemon, keeper) = (stands(), home.daemon().expect("a daemon"), home.keeper().expect("a keeper"));
    let program = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).expect("a program");
    for name in ["one", "two"] {
        let copy = home.work.join(name);
        std::fs::copy(env!("CARGO_BIN_EXE_pmrun"), &copy).expect("copy");
        // Whoever asks meanwhile is answered, by the one or the other.
        let asking: Vec<_> = (0..8).map(|_| home.start_command(&mut home.command(&["list"]))).collect();
        home.run_command(by(&copy, &home.command(&["upgrade"])), SOON).exited(0).prints("(pid ");
        for (child, ..) in asking {
            assert_eq!(procs::finish(child).0.code(), Some(0));
        }
        home.until("its keeper follows", |_| home.keeper() == Some(keeper) && program(keeper) == copy);
        assert_eq!((home.daemon(), program(daemon)), (Some(daemon), copy.clone()));
        assert_eq!(stands(), before, "{}", home.daemon_log());
    }
    home.exits(0, &["diff", "eco.json"]);
    // It is still their parent, and the keeper still starts the next.
    procs::signal(home.pid("ends:0"), Signal::TERM);
    home.until_state("ends:0", "waiting");
    home.ok(&["why", "ends"]).prints("exit code 7");
    kill_daemon(&home);
    assert_eq!(program(home.daemon().expect("a daemon")), home.work.join("two"));
    home.until("it says that it serves", |_| {
        let told = home.ok(&["events"]).stdout;
        let count = |words| told.matches(words).count();
        count("in place of the program before, which was upgraded") == 2 && count("one before it was killed") == 1
    });
    assert_eq!(home.state("ends:0"), "waiting");
    assert_eq!(home.pid("a:0"), before[0].2.expect("a pid"));
}

#[test]
fn an_upgrade_needs_a_daemon_and_a_program() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.exits(69, &["upgrade"]).says("no daemon is running");
    home.apply(&json!([stay("a")]));
    let (daemon, pid) = (home.daemon().expect("a daemon"), home.pid("a:0"));
    // Gone by the time that the daemon is to be it.
    let copy = home.work.join("gone");
    std::fs::copy(env!("CARGO_BIN_EXE_pmrun"), &copy).expect("copy");
    procs::signal(daemon, Signal::STOP);
    let (child, ..) = home.start_command(&mut by(&copy, &home.command(&["upgrade"])));
    std::fs::remove_file(&copy).expect("remove");
    procs::signal(daemon, Signal::CONT);
    assert_ne!(procs::finish(child).0.code(), Some(0));
    home.until("somebody serves", |all| all.len() == 1);
    assert_eq!(home.pid("a:0"), pid);
}

#[test]
fn what_waits_for_something_that_is_stopped_goes_on_waiting() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut web = stay("web");
    web["depends_on"] = json!(["db"]);
    home.apply(&json!([stay("db"), web]));
    home.ok(&["stop", "db"]);
    procs::signal(home.pid("web:0"), Signal::KILL);
    home.until_state("web:0", "waiting");
    kill_daemon(&home);
    home.lose_daemon();
    home.ok(&["stop", "db"]);
    home.until_state("web:0", "waiting");
    home.ok(&["start", "db"]);
    home.until_state("web:0", "online");
}

#[test]
fn who_is_told_to_end_is_not_followed() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("deaf.sh", "trap '' INT TERM\necho up\nwhile :; do sleep 1000 & wait; done\n");
    let deaf = json!({ "name": "deaf", "script": "deaf.sh", "interpreter": "bash", "kill_timeout": 5_000 });
    home.apply(&json!([deaf]));
    home.until("it is up", |_| home.log("deaf-out.log") == "up\n");
    let (daemon, keeper) = (home.daemon().expect("a daemon"), home.keeper().expect("a keeper"));
    procs::signal(daemon, Signal::TERM);
    home.until_state("deaf:0", "stopping");
    procs::signal(daemon, Signal::KILL);
    assert!(procs::wait_gone(keeper, SOON), "nor does its keeper stay");
    // Nor where there is nothing to run, and the keeper has stopped for a moment.
    home.ok(&["delete", "all"]);
    let keeper = home.keeper().expect("a keeper");
    kill_daemon(&home);
    let daemon = home.daemon().expect("a daemon");
    procs::signal(daemon, Signal::KILL);
    assert!(procs::wait_gone(daemon, SOON));
    home.ok(&["kill"]);
    assert!(procs::wait_gone(keeper, SOON));
    assert_eq!(home.daemon(), None);
}
