//! Run under the name `pm2`: the layouts that scripts look into, and what options do to apps that are known.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::named_pm2::Pm2;
use crate::support::procs;

#[test]
fn a_process_is_described_by_pm2s_names() {
    let pm2 = Pm2::new();
    pm2.says(0, &["start", "echo.sh", "-l", "all.log", "--", "a", "b"], &[]);
    let output = pm2.says(0, &["show", "echo"], &[]);
    let row = |name: &str| {
        let cells = output.stdout.lines().map(|line| line.split('│').map(str::trim).collect::<Vec<_>>());
        let found = cells.into_iter().find(|cells| cells.get(1) == Some(&name));
        found.unwrap_or_else(|| panic!("no `{name}`: {output}"))[2].to_owned()
    };
    let script = pm2.home.work.join("echo.sh").display().to_string();
    let out = pm2.home.folder.join("logs/echo-out.log").display().to_string();
    for (name, want) in [
        ("status", "online"),
        ("name", "echo"),
        ("namespace", "default"),
        ("version", "N/A"),
        ("restarts", "0"),
        ("script path", &script),
        ("script args", "a b"),
        ("out log path", &out),
        ("interpreter", "bash"),
        ("exec mode", "fork_mode"),
        ("watch & reload", "✘"),
        ("unstable restarts", "0"),
    ] {
        assert_eq!(row(name), want, "{name}");
    }
    for name in ["uptime", "error log path", "entire log path", "pid path", "node.js version", "created at"] {
        assert!(!row(name).is_empty(), "{name}");
    }
    pm2.says(1, &["describe", "nobody"], &["[PM2][WARN] nobody doesn't exist"]);
}

#[test]
fn the_list_and_the_logs_have_pm2s_layout() {
    let pm2 = Pm2::new();
    pm2.home.write("say.sh", "echo one; echo two; echo bad >&2; exec sleep 1000\n");
    pm2.says(0, &["start", "say.sh", "--name", "a_b"], &[]);
    pm2.home.until("a line", |_| {
        std::fs::read(pm2.home.folder.join("logs/a-b-error.log")).is_ok_and(|text| !text.is_empty())
    });
    let listed = pm2.says(0, &["ls"], &[]);
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert!(lines[0].starts_with('┌') && lines[1].starts_with("│ id │ name "), "{listed}");
    assert!(lines[3].starts_with("│ 0  │ a_b ") && lines[3].contains("│ online "), "{listed}");
    let out = pm2.home.folder.join("logs/a-b-out.log");
    let heading = format!("{} last 1 lines:", out.display());
    let tail = "[TAILING] Tailing last 1 lines for [a_b] processes (change the value with --lines option)";
    let lines = [tail, &heading, "0|a_b      | two", "0|a_b      | bad"];
    let output = pm2.says(0, &["logs", "a_b", "--lines", "1", "--nostream"], &lines);
    assert!(!output.stdout.contains("| one"), "{output}");
    pm2.says(0, &["logs", "nobody", "--nostream"], &[]);
    let silent = pm2.run(&["ls", "-s"]);
    assert!(silent.stdout.is_empty() || silent.stdout.starts_with('┌'), "{silent}");
}

#[test]
fn stop_disarms_watch_and_the_option_turns_it_over() {
    let pm2 = Pm2::new();
    let watch = || pm2.list()[0]["pm2_env"]["watch"].clone();
    for (args, want) in [
        (&["start", "echo.sh", "--watch"][..], true),
        (&["stop", "echo"], false),
        (&["start", "echo"], false),
        (&["restart", "echo", "--watch"], true),
        (&["restart", "echo", "--watch"], false),
        (&["restart", "echo", "--watch"], true),
        (&["stop", "all"], false),
    ] {
        pm2.says(0, args, &[]);
        assert_eq!(watch(), json!(want), "{args:?}");
    }
}

#[test]
fn what_is_set_for_an_app_restarts_it_with_that() {
    let pm2 = Pm2::new();
    pm2.says(0, &["start", "echo.sh"], &[]);
    assert_eq!(pm2.list()[0]["pm2_env"]["env"]["echo"], json!({}));
    pm2.says(0, &["set", "echo.colour", "red"], &["[PM2] Setting changed"]);
    pm2.says(0, &["multiset", "echo.size 7 echo.deep yes"], &[]);
    let list = pm2.list();
    let env = &list[0]["pm2_env"];
    assert_eq!((&env["colour"], &env["env"]["size"], &env["restart_time"]), (&json!("red"), &json!("7"), &json!(2)));
}

#[test]
fn profiles_numbers_and_expressions_are_taken_as_pm2_takes_them() {
    let pm2 = Pm2::new();
    let app = json!({ "name": "n", "script": "./echo.sh", "instances": 2, "instance_var": "AT", "increment_var": "PORT",
                      "env": { "PORT": 3000 } });
    pm2.home.write_json("n.json", &json!({ "apps": [app], "deploy": { "live": { "env": { "FROM": "deploy" } } } }));
    let warning = "[PM2][WARN] Environment [live] is not defined in process file";
    pm2.says(0, &["start", "n.json", "--env", "live"], &[warning]);
    let list = pm2.list();
    let of = |at: usize, key: &str| list[at]["pm2_env"][key].clone();
    assert_eq!((of(0, "AT"), of(1, "AT"), of(1, "PORT")), (json!(0), json!(1), json!(3001)));
    assert_eq!((of(0, "NODE_APP_INSTANCE"), of(0, "FROM")), (json!(null), json!("deploy")));
    // Those with the lowest numbers go first.
    pm2.says(0, &["scale", "n", "1"], &["[PM2] [n](0) ✓"]);
    assert_eq!(pm2.list()[0]["pm2_env"]["AT"], json!(1));
    pm2.home.write("e.json", "// JSON?\n[{ name: ['x', 'y'].join(''), script: './echo.sh' }]\n");
    pm2.says(0, &["start", "e.json"], &["[PM2] App [xy] launched (1 instances)"]);
    pm2.says(1, &["start", "gone.json"], &["[PM2][ERROR] File gone.json not found"]);
    pm2.home.write("half.json", "[{ name:");
    pm2.says(1, &["start", "half.json"], &["[PM2][ERROR] File half.json malformated"]);
    pm2.says(1, &["restart", "0", "--env", "x"], &[]);
}

#[test]
fn start_returns_when_a_process_runs_and_a_second_reload_is_refused() {
    let pm2 = Pm2::new();
    let begun = Instant::now();
    pm2.says(0, &["start", "echo.sh", "--min-uptime", "20000"], &[]);
    pm2.says(0, &["restart", "echo"], &[]);
    assert!(begun.elapsed() < Duration::from_secs(15), "nobody waits until it has proved itself");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("later").as_millis();
    std::fs::write(pm2.home.folder.join("reload.lock"), now.to_string()).expect("written");
    let refused = pm2.says(1, &["reload", "echo"], &[]);
    refused.says("Reload already in progress, please try again in ");
    pm2.says(0, &["reload", "echo", "--force"], &[]);
    pm2.says(0, &["reload", "echo"], &[]);
    assert!(!pm2.home.folder.join("reload.lock").exists());
}

#[test]
fn in_the_foreground_a_signal_ends_everything() {
    let pm2 = Pm2::new();
    pm2.home.write("say.sh", "while :; do echo \"here $1\"; sleep 0.1; done\n");
    let mut command = pm2.command(&["start", "say.sh", "--no-daemon", "--", "now"]);
    let (child, out, _) = pm2.home.start_command(&mut command);
    pm2.home
        .until("a line", |_| std::fs::read_to_string(&out).is_ok_and(|text| text.contains("0|say      | here now")));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    let (status, _) = procs::finish(child);
    assert_eq!(status.code(), Some(0));
    pm2.home.until("nothing to be left", |list| list.is_empty() && pm2.home.daemon().is_none());
}

#[test]
fn in_the_foreground_a_signal_ends_nothing_that_others_count_on() {
    let pm2 = Pm2::new();
    pm2.home.write("say.sh", "while :; do echo \"here $1\"; sleep 0.1; done\n");
    pm2.says(0, &["start", "say.sh", "--name", "before"], &[]);
    let before = pm2.home.pid("before:0");
    let mut command = pm2.command(&["start", "say.sh", "--name", "now", "--no-daemon", "--", "now"]);
    let (child, out, _) = pm2.home.start_command(&mut command);
    pm2.home
        .until("a line", |_| std::fs::read_to_string(&out).is_ok_and(|text| text.contains("1|now      | here now")));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    let (status, _) = procs::finish(child);
    assert_eq!(status.code(), Some(0));
    pm2.home.until_state("now:0", "online");
    assert_eq!(pm2.home.pid("before:0"), before);
}

#[test]
fn a_script_is_looked_for_in_its_cwd_first() {
    let pm2 = Pm2::new();
    for (file, text) in [("say.sh", "outer"), ("sub/say.sh", "inner"), ("sub/only.sh", "only"), ("here.sh", "here")] {
        pm2.home.write(file, format!("echo {text}\nexec sleep 1000\n"));
    }
    for (script, name, text) in [("say.sh", "a", "inner\n"), ("only.sh", "b", "only\n"), ("here.sh", "c", "here\n")] {
        pm2.says(0, &["start", script, "--cwd", "./sub", "--name", name], &[]);
        let log = format!("{name}-out.log");
        pm2.home.until("its line", |_| pm2.home.log(&log) == text);
    }
}
