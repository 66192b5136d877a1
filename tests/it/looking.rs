//! What is shown of what runs: `list`, `jlist`, `prettylist`, `env`, and how much processes use.

use serde_json::{Value, json};

use crate::support::{Home, Pty, stay};

/// Keeps a processor busy, in a child of its own, which it names.
const BUSY: &str = "#!/bin/sh\n(while :; do :; done) &\necho \"$!\" > child\nwait\n";

fn crash(name: &str) -> Value {
    json!({ "name": name, "script": "/bin/false", "max_restarts": 0 })
}

fn two() -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("package.json", r#"{ "version": "4.5.6" }"#);
    let mut api = stay("api");
    (api["instances"], api["env"]) = (json!(2), json!({ "PORT": 8080, "DB_PASSWORD": "hunter2" }));
    api["args"] = json!(["--a", "two words"]);
    let mut web = stay("漢字");
    (web["max_memory_restart"], web["watch"]) = (json!("200M"), json!(["src"]));
    home.apply(&json!([api, web]));
    home
}

#[test]
fn what_processes_use_is_of_all_that_they_have_started() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("busy.sh", BUSY);
    home.apply(&json!([{ "name": "busy", "script": "sh", "args": ["busy.sh"], "min_uptime": 100 }, stay("idle")]));
    let cpu = |name: &str| {
        let list = home.list();
        let one = list.into_iter().find(|one| one.name() == name).expect("it is there").0;
        assert!(one["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{one}");
        (one["cpu_percent"].as_f64().expect("a number"), one["processes"].as_u64().expect("a number"))
    };
    home.until("it has used a processor", |_| cpu("busy").0 > 5.0);
    assert_eq!(cpu("busy").1, 2, "it and its child");
    assert!(cpu("idle").0 < 50.0);
    // The last look is remembered, for its owner only, and is no more than that.
    let path = home.folder.join("usage");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("there").permissions()) & 0o777, 0o600);
    std::fs::write(&path, "junk\n\0").expect("write");
    home.ok(&["list"]).prints("busy");
    home.ok(&["stop", "all"]);
    let list = home.list();
    assert!(list.iter().all(|one| one.0["cpu_percent"].is_null() && one.0["memory_bytes"].is_null()), "{list:?}");
}

#[test]
fn the_table_tells_what_is_wrong_and_where_to_go_on() {
    let home = two();
    home.ok(&["list"]).prints("version").prints("4.5.6").prints("api:1").never_shows("why");
    home.write_json("more.json", &json!({ "name": "more", "apps": [crash("bad")] }));
    home.exits(3, &["apply", "more.json"]);
    let output = home.ok(&["list"]);
    let line = output.stdout.lines().find(|line| line.contains("bad")).expect("its line");
    assert!(line.contains("errored") && line.contains("exit code 1"), "{output}");
    output.says("`bad` is errored: `pmrun why bad` says why");
    let columns: Vec<&str> = output.stdout.lines().next().expect("a heading").split_whitespace().collect();
    let all = "id name namespace version mode pid uptime ↺ status cpu mem user watching why";
    assert_eq!(columns.join(" "), all);
    home.ok(&["list", "-m", "bad"]).prints("+--- bad\n").prints("status : errored");
    let by_name = home.ok(&["list", "--sort", "name:desc"]);
    let names: Vec<&str> = by_name.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(names, ["漢字", "bad", "api:1", "api:0"]);
    home.exits(64, &["list", "--sort", "size"]).says("cpu, memory");
    home.exits(64, &["list", "--watch"]).says("stdout is none");
}

#[test]
fn a_terminal_gets_what_it_has_room_for() {
    let home = two();
    let (status, _, seen) = Pty::start(home.command(&["list"]), 60, 24).finish();
    assert!(status.success() && seen.iter().any(|line| line.contains("漢字")), "{seen:?}");
    assert!(seen[0].contains("status") && !seen[0].contains("version"), "{seen:?}");
    // It is drawn in its place until it is ended.
    let command = home.shell("exec timeout -s INT 4 pmrun list --watch");
    let (_, written, seen) = Pty::start(command, 100, 24).finish();
    assert!(written.matches("\x1b[H").count() > 1, "{written:?}");
    assert_eq!(seen.iter().filter(|line| line.contains("api:1")).count(), 1, "{seen:?}");
}

#[test]
fn jlist_is_what_scripts_for_pm2_read() {
    let home = two();
    let output = home.ok(&["jlist"]);
    assert!(!output.stdout.contains('\n'), "one line, and no end of it");
    let list: Vec<Value> = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(list.iter().map(|one| one["pm_id"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    let (pid, env) = (&list[1]["pid"], &list[1]["pm2_env"]);
    assert_eq!(pid.as_u64(), Some(u64::from(home.pid("api:1"))));
    for (name, want) in [
        ("name", json!("api")),
        ("status", json!("online")),
        ("exec_mode", json!("fork_mode")),
        ("instances", json!(2)),
        ("NODE_APP_INSTANCE", json!(1)),
        ("args", json!(["--a", "two words"])),
        ("restart_time", json!(0)),
        ("unstable_restarts", json!(0)),
        ("version", json!("4.5.6")),
        ("PORT", json!("8080")),
        ("watch", json!(false)),
    ] {
        assert_eq!(env[name], want, "{name}");
    }
    assert_eq!(env["env"]["PORT"], "8080");
    assert_eq!(env["env"]["TZ"], "UTC", "what it inherits is there, too");
    assert_eq!(list[2]["pm2_env"]["max_memory_restart"], 200 << 20);
    assert!(list[0]["monit"]["memory"].as_u64().is_some_and(|bytes| bytes > 0), "{}", list[0]["monit"]);
    // Secrets are, unless they are asked for.
    output.never_shows("hunter2");
    home.ok(&["jlist", "--reveal"]).prints("hunter2");
    let link = home.work.join("pm2");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_pmrun"), &link).expect("a link");
    let as_pm2 = home.run_command(home.shell("PM2_HOME=$PMRUN_HOME ./pm2 jlist"), std::time::Duration::from_mins(1));
    as_pm2.exited(0).prints("hunter2");

    home.ok(&["stop", "api:1"]);
    let list = home.json(&["jlist"]);
    assert_eq!((&list[1]["pid"], &list[1]["pm2_env"]["status"]), (&json!(0), &json!("stopped")));
    home.ok(&["restart", "api:0"]);
    assert_eq!(home.json(&["jlist"])[0]["pm2_env"]["restart_time"], 1);
    home.lose_daemon();
    assert_eq!(home.json(&["jlist"])[0]["pm2_env"]["PORT"], "8080", "without a daemon, too");
}

#[test]
fn prettylist_has_a_name_a_line() {
    let home = two();
    let output = home.ok(&["prettylist"]);
    let count = |text: &str| output.stdout.lines().filter(|line| line.trim() == text).count();
    assert_eq!(count("status: 'online',"), 3);
    assert_eq!(count("name: 'api',"), 4, "of the process, and of its environment");
    assert_eq!(output.stdout.matches("name: 'api'").count(), 6, "and in axm_options");
    assert_eq!(output.stdout.matches("PORT: '8080'").count(), 4, "nested and flattened");
    assert_eq!(count("args: [ '--a', 'two words' ],"), 2);
    assert_eq!(home.ok(&["delete", "all"]).code, Some(0));
    assert_eq!(home.ok(&["prettylist"]).stdout, "[]\n");
    assert_eq!(home.ok(&["jlist"]).stdout, "[]");
}

#[test]
fn env_is_what_the_process_is_given() {
    let home = two();
    let output = home.ok(&["env", "1"]);
    let line = |text: &str| output.stdout.lines().any(|line| line == text);
    assert!(line("PORT: 8080") && line("pm_id: 1") && line("NODE_APP_INSTANCE: 1") && line("TZ: UTC"), "{output}");
    output.prints("DB_PASSWORD: <secret").never_shows("hunter2");
    home.ok(&["env", "api", "--reveal"]).prints("DB_PASSWORD: hunter2");
    assert_eq!(home.json(&["env", "api:1", "--json"])["env"]["PORT"], "8080");
    home.exits(1, &["env", "99"]);
}
