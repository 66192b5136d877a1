//! Run under PM2's names: what its own scripts look for.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::named_pm2::Pm2;
use crate::support::{needs_node, procs};

const BOUND: Duration = Duration::from_mins(1);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn logs_that_are_removed_are_there_again_after_reload_logs() {
    let pm2 = Pm2::new();
    pm2.home.write("tick.sh", "printf unended; while :; do echo tick; echo $PWD >&2; sleep 0.05; done\n");
    pm2.says(0, &["start", "tick.sh"], &[]);
    let logs = ["out", "error"].map(|stream| pm2.home.folder.join(format!("logs/tick-{stream}.log")));
    let has = |at: usize, text: &str| std::fs::read_to_string(&logs[at]).is_ok_and(|log| log.contains(text));
    until("it writes", || has(0, "unendedtick\ntick\n"));
    let here = pm2.home.work.canonicalize().expect("a folder");
    until("its folder is told it", || has(1, here.to_str().expect("text")));
    for log in &logs {
        std::fs::remove_file(log).expect("it is there");
    }
    pm2.says(0, &["reloadLogs"], &["Reloading all logs...", "All logs reloaded"]);
    until("both are written anew", || has(0, "tick") && has(1, "/"));
}

#[test]
fn files_of_folders_names_alone_and_second_scripts_are_taken_as_pm2_takes_them() {
    let pm2 = Pm2::new();
    pm2.home.write("index.html", "here");
    let port = crate::cluster::free_port();
    pm2.home.write_json("serve.json", &json!({ "static": [{ "path": ".", "port": port, "spa": true }] }));
    pm2.says(0, &["start", "serve.json"], &[]);
    let name = format!("static-page-server-{port}");
    pm2.home.until_state(&format!("{name}:0"), "online");
    pm2.says(0, &["delete", "serve.json"], &[]);
    pm2.home.write("a.sh", "exec sleep 1000\n");
    pm2.home.write("b.sh", "exec sleep 1000\n");
    pm2.says(0, &["start", "a.sh", "b.sh", "--name", "x1", "-f", "--no-pmx", "--no-vizion"], &[]);
    let names: Vec<String> = pm2.list().iter().map(|one| one["name"].as_str().expect("text").to_owned()).collect();
    assert_eq!(names, ["x1", "x1-1"]);
    let env = &pm2.list()[0]["pm2_env"];
    assert_eq!((&env["pmx"], &env["vizion"], &env["automation"]), (&json!(false), &json!(false), &json!(true)));
    let mut command = pm2.command(&["restart", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), b"[{\"name\":\"x1\"}]").expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(pm2.list()[0]["pm2_env"]["restart_time"], 1);
    pm2.home.write_json("x.json", &json!([{ "name": "x1", "script": "a.sh" }]));
    for args in [&["startOrReload", "x.json"], &["ls", "whatever"]] {
        let output = pm2.says(0, args, &[]);
        assert!(output.stdout.contains("│ x1 "), "{output}");
    }
    pm2.home.write_json("ecosystem.config.json", &json!({ "apps": [] }));
    for verb in ["restart", "reload", "startOrReload"] {
        let missing = "[PM2][ERROR] missing required argument `id|name|namespace|file|json|stdin`";
        pm2.says(1, &[verb], &[missing]);
    }
    let mut silent = pm2.command(&["ls"]);
    silent.env("PM2_SILENT", "true");
    assert_eq!(pm2.home.run_command(silent, BOUND).stdout, "");
}

#[test]
fn a_service_of_pm2s_has_its_home_below_the_users() {
    let pm2 = Pm2::new();
    let folder = pm2.home.work.to_str().expect("text");
    let output = pm2.run(&["startup", "systemd", "--hp", folder, "--print"]);
    assert!(output.stdout.contains(&format!("PMRUN_HOME={folder}/.pm2")), "{output}");
    pm2.says(0, &["-v"], &[env!("CARGO_PKG_VERSION")]);
}

#[test]
fn a_known_apps_name_is_meant_though_a_file_is_called_so() {
    let pm2 = Pm2::new();
    pm2.home.write("api.sh", "exec sleep 1000\n");
    pm2.home.write("api", "no script\n");
    pm2.home.ok(&["start", "./api.sh", "--name", "api"]);
    pm2.home.ok(&["stop", "api"]);
    pm2.home.ok(&["start", "api"]);
    pm2.home.until_state("api:0", "online");
}

#[test]
fn node_maps_sources_and_rejections_end_nothing() {
    if !needs_node() {
        return;
    }
    let pm2 = Pm2::new();
    let map = json!({
        "version": 3, "sources": ["main.ts"], "names": [], "mappings": "AAAA,MAAM,IAAI,KAAK,CAAC,MAAM,CAAC",
    });
    pm2.home.write(
        "main.js",
        "console.error(new Error('here').stack)\nsetInterval(() => {}, 1000)\n//# sourceMappingURL=main.js.map\n",
    );
    pm2.home.write("main.js.map", map.to_string());
    let wrote = |name: &str, text: &str| {
        let log = pm2.home.folder.join(format!("logs/{name}.log"));
        until(&format!("{name}: {text}"), || std::fs::read_to_string(&log).is_ok_and(|log| log.contains(text)));
    };
    pm2.says(0, &["start", "main.js", "--name", "mapped"], &[]);
    wrote("mapped-error", "main.ts");
    pm2.says(0, &["start", "main.js", "-f", "--name", "plain", "--disable-source-map-support"], &[]);
    wrote("plain-error", "main.js:1");
    pm2.home.write("reject.js", "Promise.reject(new Error('nobody'))\nsetInterval(() => console.log('on'), 100)\n");
    pm2.says(0, &["start", "reject.js", "-i", "1", "--name", "worker"], &[]);
    let id = pm2.list().iter().find(|one| one["name"] == "worker").expect("it is there")["pm_id"].to_string();
    wrote(&format!("worker-error-{id}"), "You have triggered an unhandledRejection");
    wrote(&format!("worker-out-{id}"), "on\n");
    pm2.says(0, &["reloadLogs"], &[]);
    wrote(&format!("worker-out-{id}"), "Reloading log...");
    let worker = pm2.list().into_iter().find(|one| one["name"] == "worker").expect("it is there");
    assert_eq!(worker["pm2_env"]["restart_time"], 0);
}

#[test]
fn a_container_runs_a_script_in_the_foreground() {
    let pm2 = Pm2::new();
    let named = |name: &str, args: &[&str]| {
        let program = pm2.home.work.with_file_name(name);
        symlink(env!("CARGO_BIN_EXE_pmrun"), &program).expect("a link");
        let like = pm2.home.command(args);
        let mut command = Command::new(&program);
        command.args(args).env_clear().current_dir(&pm2.home.work);
        let set = like.get_envs().filter_map(|(name, value)| Some((name, value?)));
        command.envs(set.filter(|(name, _)| *name != "PMRUN_HOME"));
        pm2.home.run_command(command, BOUND)
    };
    pm2.home.write("once.sh", "echo done $1; exit 3\n");
    let output = named("pm2-runtime", &["start", "once.sh", "--no-autorestart", "--no-auto-exit", "--", "now"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), "done now\n"), "{output}");
    let output = named("pm2-dev", &["once.sh"]);
    assert!(output.code == Some(1) && output.stderr.contains("pmrun run FILE"), "{output}");
}

#[test]
fn one_more_with_other_arguments_is_an_app_of_its_own() {
    let pm2 = Pm2::new();
    pm2.home.write("say.sh", "echo $1\nexec sleep 1000\n");
    pm2.says(0, &["start", "say.sh", "--name", "f", "--", "one"], &[]);
    let other = "[PM2][WARN] `f` is there with other options: this one is called `f-1`";
    pm2.says(0, &["start", "say.sh", "--name", "f", "-f", "--", "two"], &[other]);
    pm2.says(0, &["start", "say.sh", "--name", "f", "-f", "--", "one"], &[]);
    let list = pm2.list();
    let args: Vec<_> = list.iter().map(|one| (&one["name"], &one["pm2_env"]["args"])).collect();
    let (one, two) = (json!(["one"]), json!(["two"]));
    assert_eq!(args, [(&json!("f"), &one), (&json!("f-1"), &two), (&json!("f"), &one)]);
    // By pmrun's own name nothing is dropped without a word either.
    pm2.home.ok(&["start", "say.sh", "--name", "f", "-f", "--", "three"]).says("runs with other options");
    // Words that nothing is done with, and an order that there is none of.
    pm2.says(0, &["jlist", "extra"], &[]);
    pm2.says(0, &["list", "--sort", "zzz"], &[]);
    pm2.says(1, &[], &["usage: pm2 [options] <command>"]).prints("usage");
    let pid_file = format!("PID file : {}", pm2.home.folder.join("pids/f-1-1.pid").display());
    pm2.says(0, &["ls", "-m"], &["+--- f-1", "pm2 id : 1", "status : online", "watching : no", &pid_file]);
}

#[test]
fn apps_whose_script_is_missing_keep_nobody_else() {
    let pm2 = Pm2::new();
    let app = |name: &str, script: &str| json!({ "name": name, "script": script });
    pm2.home.write_json("mix.json", &json!([app("ok", "echo.sh"), app("bad", "nope.js")]));
    let output = pm2.says(1, &["start", "mix.json"], &["[PM2] App [ok] launched (1 instances)"]);
    assert!(output.stderr.contains("nope.js` does not exist"), "{output}");
    // What ran is told of as what is new.
    pm2.home.write_json("two.json", &json!([app("ok", "echo.sh"), app("new", "echo.sh")]));
    let restarted = ["[PM2] Applying action restartProcessId on app [ok](ids: [ 0 ])", "[PM2] [ok](0) ✓"];
    pm2.says(0, &["restart", "two.json"], &restarted);
    // Who needs what is not there is not begun.
    let needs = json!({ "name": "front", "script": "echo.sh", "depends_on": ["bad"] });
    pm2.home.write_json("needs.json", &json!([needs, app("bad", "nope.js")]));
    pm2.says(1, &["start", "needs.json"], &[]);
    assert!(pm2.list().iter().all(|one| one["name"] != "front"));
}

#[test]
fn what_an_app_answers_to_what_was_typed_at_once_is_shown() {
    let pm2 = Pm2::new();
    pm2.home.write("answer.sh", "while read line; do echo \"got $line\"; done\nexec sleep 1000\n");
    pm2.says(0, &["start", "answer.sh"], &[]);
    pm2.home.until_state("answer:0", "online");
    let mut command = pm2.command(&["attach", "0"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, b"typed\n").expect("it reads");
    let (sender, lines) = std::sync::mpsc::channel();
    let stdout = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let reader = std::thread::spawn(move || {
        for line in std::io::BufRead::lines(stdout).map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    assert_eq!(lines.recv_timeout(BOUND).as_deref(), Ok("got typed"));
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
    reader.join().expect("it ends with the program");
}

#[test]
fn what_happens_is_told_between_what_is_written() {
    let pm2 = Pm2::new();
    pm2.says(0, &["start", "echo.sh"], &[]);
    let mut command = pm2.command(&["logs", "--json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let stdout = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let (sender, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in std::io::BufRead::lines(stdout).map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut told = Vec::new();
    let deadline = Instant::now() + BOUND;
    // It says nothing of when it has begun.
    while told.last().is_none_or(|status| status != "restart") {
        assert!(Instant::now() < deadline, "{told:?}");
        pm2.says(0, &["restart", "echo"], &[]);
        while let Ok(line) = lines.recv_timeout(Duration::from_secs(1)) {
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            if line["type"] == "process_event" {
                assert!(line["app_name"] == "echo" && line["timestamp"].is_string(), "{line}");
                told.push(line["status"].as_str().expect("text").to_owned());
            }
        }
    }
    assert!(told.ends_with(&["exit", "online", "restart"].map(str::to_owned)), "{told:?}");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    reader.join().expect("it ends with the program");
}

/// PM2's daemon forgets all when a signal ends it, and brings back what it has dumped.
#[test]
fn what_a_signal_to_the_daemon_has_stopped_is_resurrected() {
    let pm2 = Pm2::new();
    pm2.home.write("stay.sh", "exec sleep 1000\n");
    pm2.says(0, &["start", "stay.sh", "--name", "keep"], &[]);
    pm2.says(0, &["start", "stay.sh", "--name", "rest"], &[]);
    pm2.says(0, &["stop", "rest"], &[]);
    pm2.says(0, &["save"], &[]);
    let pid = || std::fs::read_to_string(pm2.home.folder.join("pm2.pid")).ok()?.trim().parse::<u32>().ok();
    let daemon = pid().expect("it runs");
    procs::signal(daemon, Signal::TERM);
    assert!(procs::wait_gone(daemon, BOUND));
    let back = pm2.says(0, &["resurrect"], &["[PM2] Resurrecting"]);
    assert!(!back.stdout.contains("Plan:") && back.stdout.contains("stay.sh restored"), "{back}");
    let status = |at: usize| pm2.list()[at]["pm2_env"]["status"].clone();
    assert_eq!((status(0), status(1)), (json!("online"), json!("stopped")));
}

#[test]
fn what_does_not_run_has_the_words_and_the_time_that_pm2_has_for_it() {
    let pm2 = Pm2::new();
    pm2.home.write("crash.sh", "exit 3\n");
    pm2.says(0, &["start", "crash.sh", "--no-autorestart"], &[]);
    until("it has ended", || pm2.list()[0]["pm2_env"]["status"] == "stopped");
    let env = pm2.list()[0]["pm2_env"].clone();
    assert!(env["pm_uptime"].as_u64().is_some_and(|at| at > 1_700_000_000_000), "{env}");
    assert_eq!(env["created_at"], env["pm_uptime"]);
    for args in [&["list"][..], &["ls", "-m"]] {
        pm2.says(0, args, &[]).prints("stopped").never_shows("errored");
    }
    assert_eq!(pm2.says(0, &["-s", "list"], &[]).stdout, "");
}
