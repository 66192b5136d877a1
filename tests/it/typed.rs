//! Commands as PM2's users type them, under this program's own name.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Home, Instance, stay};

fn scripts() -> Home {
    let home = Home::new();
    for name in ["stay.sh", "other.sh"] {
        home.app("stay.sh", name);
    }
    home
}

fn names(home: &Home) -> Vec<String> {
    home.list().iter().map(Instance::label).collect()
}

fn spec(home: &Home, app: &str) -> Value {
    home.json(&["show", app, "--json", "--reveal"])["apps"][0]["spec"].clone()
}

#[test]
fn start_takes_scripts_command_lines_programs_and_apps_in_one_command() {
    let home = scripts();
    home.ok(&["start", "stay.sh", "other.sh", "--min-uptime", "100"]);
    assert_eq!(names(&home), ["stay:0", "other:0"]);
    home.ok(&["start", "exec sleep 1000", "--name", "line"]);
    home.ok(&["start", "sleep", "-n", "program", "--", "1000"]);
    assert_eq!(names(&home), ["stay:0", "other:0", "line:0", "program:0"]);
    home.ok(&["stop", "stay"]);
    // What is there by its path and name, and does not run, is started; what runs is not, unless that is wanted.
    home.ok(&["start", "stay.sh", "line"]);
    home.exits(1, &["start", "./stay.sh"]).says("runs already, as `stay`").says("-f");
    home.ok(&["start", "stay.sh", "--force"]);
    assert_eq!(names(&home), ["stay:0", "other:0", "line:0", "program:0", "stay:1"]);
    home.exits(1, &["start", "stay", "nobody"]).says("nobody");
    let output = home.exits(65, &["start", "./gone.sh"]);
    output.says("gone.sh");
    // By the path of its script.
    home.ok(&["delete", "./other.sh"]);
    assert_eq!(names(&home), ["stay:0", "line:0", "program:0", "stay:1"]);
}

#[test]
fn what_is_said_of_an_app_is_what_a_file_would_say_wherever_it_stands() {
    let home = scripts();
    let line = [
        "--name",
        "w",
        "start",
        "-i",
        "2",
        "stay.sh",
        "--max-memory-restart",
        "100M",
        "-o",
        "out.log",
        "-k",
        "700",
        "--stop-exit-codes",
        "0,3",
        "--no-autorestart",
        "--cron",
        "0 3 * * *",
        "--namespace",
        "n",
        "--time",
        "--min-uptime",
        "100",
        "--watch-delay",
        "2",
        "--ignore-watch",
        "a b",
        "--trace",
        "--",
        "-x",
        "--name",
        "y",
    ];
    home.ok(&line).says("`--trace` has no meaning here");
    let spec = spec(&home, "w");
    assert_eq!(spec["instances"], 2);
    assert_eq!(spec["args"], json!(["-x", "--name", "y"]));
    assert_eq!(spec["max_memory_restart"], 100 << 20);
    assert_eq!(spec["stop"]["timeout_ms"], 700);
    assert_eq!(spec["restart"]["stop_exit_codes"], json!([0, 3]));
    assert_eq!(spec["restart"]["auto"], false);
    assert_eq!((&spec["cron_restart"], &spec["namespace"]), (&json!("0 3 * * *"), &json!("n")));
    assert_eq!(spec["watch"]["delay_ms"], 2_000);
    assert_eq!(spec["watch"]["ignore"], json!(["a", "b"]));
    assert_eq!(spec["logs"]["out"]["path"], home.work.join("out.log").to_str().expect("text"));
    home.exits(65, &["start", "other.sh", "--cron", "soon"]).says("cron_restart");
    home.exits(64, &["start", "other.sh", "--nonsense"]);
    // `--watch FILE` and no script: the file is the script.
    home.ok(&["start", "--watch", "other.sh", "--min-uptime", "100"]);
    assert_eq!(self::spec(&home, "other")["watch"]["enabled"], true);
}

#[test]
fn options_with_a_known_app_change_it_and_are_drift() {
    let home = scripts();
    home.apply(&json!([stay("api"), stay("web")]));
    let before = home.pids();
    home.ok(&["restart", "api", "--max-memory-restart", "200M"]).prints("max_memory_restart").prints("200M");
    let after = home.pids();
    assert_eq!(spec(&home, "api")["max_memory_restart"], 200 << 20);
    assert!(before["api:0"] != after["api:0"] && before["web:0"] == after["web:0"]);
    home.exits(2, &["drift"]).prints("api  changed by hand: max_memory_restart");
    // Where nothing has to be started anew, `start` changes what is.
    home.ok(&["start", "web", "--kill-timeout", "900"]);
    assert_eq!(home.pids()["web:0"], after["web:0"]);
    home.exits(2, &["drift"]).prints("web  changed by hand: kill_timeout");
    home.ok(&["apply", "eco.json"]);
    home.ok(&["drift"]);
    assert_eq!(spec(&home, "api")["max_memory_restart"], Value::Null);
    home.ok(&["restart", "api", "--name", "renamed"]);
    assert_eq!(names(&home), ["renamed:0", "web:0"]);
    home.exits(1, &["restart", "web", "-n", "renamed"]).says("already");
    home.exits(65, &["restart", "web", "--max-memory-restart", "lots"]).says("max_memory_restart");
    home.exits(64, &["restart", "web", "--env", "production"]);
    assert_eq!(home.json(&["history", "--json"])["generations"].as_array().map(Vec::len), Some(5));
}

#[test]
fn update_env_is_this_shells() {
    let mut home = scripts();
    home.set_env("GREETING", "one");
    home.ok(&["start", "stay.sh", "--min-uptime", "100"]);
    let said = |home: &Home| {
        let environ = std::fs::read(format!("/proc/{}/environ", home.pid("stay:0"))).expect("it runs");
        String::from_utf8_lossy(&environ).split('\0').find_map(|pair| pair.strip_prefix("GREETING=").map(str::to_owned))
    };
    home.set_env("GREETING", "two");
    home.ok(&["restart", "stay"]);
    assert_eq!(said(&home).as_deref(), Some("one"));
    home.ok(&["restart", "stay", "--update-env"]);
    assert_eq!(said(&home).as_deref(), Some("two"));
}

#[test]
fn files_are_applied_by_what_starts_and_nothing_is_deleted_for_them() {
    let home = scripts();
    home.write_json("eco.json", &json!([stay("a"), stay("b")]));
    home.write_json("more.json", &json!([stay("a"), stay("c")]));
    home.ok(&["start", "eco.json", "--only", "b"]);
    assert_eq!(names(&home), ["b:0"]);
    home.ok(&["start", "more.json"]);
    let before = home.pids();
    home.ok(&["start", "more.json"]);
    assert_eq!(home.pids(), before, "it is as the file has it");
    home.ok(&["restart", "more.json", "--only", "a"]);
    let after = home.pids();
    assert!(after["a:0"] != before["a:0"] && after["c:0"] == before["c:0"] && after["b:0"] == before["b:0"]);
    home.ok(&["startOrReload", "eco.json", "--only", "b"]);
    assert_ne!(home.pids()["b:0"], before["b:0"]);
    home.ok(&["stop", "more.json"]);
    assert_eq!(home.pids().keys().collect::<Vec<_>>(), ["b:0"]);
    home.ok(&["startOrRestart", "more.json"]);
    home.exits(1, &["start", "eco.json", "--only", "nobody"]);
    home.exits(64, &["start", "eco.json", "--name", "x"]).says("what a file says");
    home.ok(&["delete", "more.json", "--only", "c"]);
    assert_eq!(names(&home), ["b:0", "a:0"]);
    home.exits(1, &["delete", "more.json", "--only", "c"]);
    let mut command = home.command(&["start", "-", "--only", "d"]);
    command.stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let text = "{apps: [{name: 'd', script: './stay.sh', min_uptime: 100}, {name: 'e', script: './stay.sh'}]}";
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(names(&home), ["b:0", "a:0", "d:0"]);
}

#[test]
fn small_questions_have_small_answers() {
    let home = scripts();
    home.apply(&json!([stay("api"), stay("web")]));
    assert_eq!(home.ok(&["pid", "api"]).stdout.trim(), home.pid("api:0").to_string());
    assert_eq!(home.ok(&["pid"]).stdout.lines().count(), 2);
    assert_eq!(home.ok(&["id", "web"]).stdout, "[ 1 ]\n");
    home.exits(1, &["id", "wbe"]).says("did you mean `web`?");
    home.ok(&["restart", "api"]);
    assert_eq!(home.list()[0].restarts(), 1);
    home.ok(&["reset", "api"]);
    assert_eq!(home.list()[0].restarts(), 0);
    home.exits(1, &["reset", "nobody"]);
    home.exits(1, &["sendSignal", "SIGFOO", "api"]).says("no signal");
    home.exits(1, &["sendSignal", "SIGUSR1", "nobody"]);
    let before = home.pid("api:0");
    home.ok(&["sendSignal", "KILL", "api"]);
    home.until("it was started again", |all| all[0].pid().is_some_and(|pid| pid != before));
    home.ok(&["set", "api:level", "3"]);
    assert_eq!(home.ok(&["get", "api.level"]).stdout, "3\n");
    home.ok(&["multiset", "a.b 1 a.c 2"]);
    home.ok(&["conf"]).prints("$ pmrun set a:c 2");
    home.ok(&["unset", "api:level"]);
    home.exits(1, &["get", "api:level"]);
    home.ok(&["report"]).prints("instances: 2, of which 2 run");
    home.ok(&["logrotate"]).prints("log_max_size");
    for gone in
        [&["link", "a", "b"][..], &["install", "pm2-logrotate"], &["deploy", "eco.json", "production"], &["plus"]]
    {
        let output = home.exits(1, gone);
        assert!(output.stderr.contains("hint: "), "{output}");
    }
    home.exits(64, &["strat", "api"]).says("did you mean `start`?");
}

#[test]
fn help_topics_and_completions_come_from_the_one_definition() {
    let home = scripts();
    home.apply(&json!([stay("api")]));
    for (topic, word) in [
        ("exit-codes", "69  the daemon"),
        ("env", "PMRUN_HOME"),
        ("ecosystem", "pmrun init"),
        ("protocol", "pmrun.sock"),
        ("restart", "--max-memory-restart"),
    ] {
        home.ok(&["help", topic]).prints(word);
    }
    home.ok(&["help", "man", "apply"]).prints(".TH");
    home.exits(64, &["help", "exit-code"]).says("did you mean `exit-codes`?");
    for shell in ["bash", "zsh", "fish"] {
        home.ok(&["completion", shell]).prints("PMRUN_COMPLETE");
    }
    let mut command = home.command(&["--", "pmrun", "stop", "a"]);
    command.env("PMRUN_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2").env("_CLAP_IFS", "\n");
    let output = home.run_command(command, Duration::from_secs(20));
    output.prints("api").prints("all");
}

#[test]
fn what_there_is_none_of_says_what_to_use_instead() {
    let home = Home::new();
    for (command, instead) in [
        ("link secret public", "pmrun list"),
        ("install pm2-logrotate", "built in"),
        ("deploy production setup", "pmrun apply"),
        ("sysinfos", "pmrun report"),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        home.exits(1, &words).says(instead);
    }
}

#[test]
fn what_is_not_to_be_started_by_itself_is_known_and_stopped() {
    let home = scripts();
    home.ok(&["start", "./other.sh", "--no-autostart"]);
    home.until_state("other:0", "stopped");
    home.ok(&["start", "other"]);
    home.until_state("other:0", "online");
}
