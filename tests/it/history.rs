//! What was changed can be looked up, compared and taken back; what nobody's file says is told apart.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, needs_git, procs, stay};

fn shop(home: &Home, apps: &[Value]) {
    home.write_json("eco.json", &json!({ "name": "shop", "apps": apps }));
}

/// Two apps that run.
fn running() -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    shop(&home, &[stay("api"), stay("db")]);
    home.ok(&["apply", "eco.json"]);
    home
}

fn with(mut app: Value, name: &str, value: Value) -> Value {
    app[name] = value;
    app
}

#[test]
fn history_says_who_changed_what_and_diff_compares_two_moments() {
    let home = running();
    home.ok(&["stop", "db"]);
    let changed = with(stay("api"), "env", json!({ "COLOUR": "red", "API_TOKEN": "hunter2hunter2" }));
    shop(&home, &[changed, stay("db"), stay("new")]);
    home.ok(&["apply", "eco.json", "--only", "api,new"]);
    // Nothing durable comes of these.
    home.ok(&["restart", "api"]);
    home.ok(&["apply", "eco.json", "--only", "api"]);

    let listed = home.json(&["history", "--json"]);
    let generations = listed["generations"].as_array().expect("generations");
    let commands: Vec<&str> = generations.iter().filter_map(|one| one["command"].as_str()).collect();
    assert_eq!(commands, ["apply eco.json", "stop db", "apply eco.json --only api,new"]);
    assert_eq!(generations[0]["number"], 1);
    assert_eq!(generations[0]["result"], json!({ "outcome": "done", "touched": 2 }));
    assert!(generations[0]["at_ms"].as_u64().is_some_and(|at| at > 1_600_000_000_000));
    assert_eq!(generations[2]["ecosystem"], "shop");
    let table = home.ok(&["history", "-n", "1"]);
    table.prints("@3").prints("eco.json").prints("done (2)");
    assert!(!table.stdout.contains("stop db"), "{}", table.stdout);

    home.ok(&["history", "@3"]).prints("command  pmrun apply eco.json --only api,new").prints("COLOUR").prints("+ new");
    home.ok(&["history", "@2"]).prints("stopped in @2: db:0");
    home.exits(2, &["diff", "@1", "@3"]).prints("env.COLOUR: (none) -> red").prints("@3 has it").prints("db");
    home.exits(2, &["diff", "@3", "@1"]).prints("@1 does not have it");
    home.exits(0, &["diff", "@3"]).prints("nothing to do");
    let plan = home.run(&["diff", "@1", "@3", "--json"]);
    assert!(!plan.stdout.contains("hunter2") && plan.stdout.contains("<secret"), "{}", plan.stdout);
    home.exits(1, &["history", "@99"]).says("there is no generation @99");
    home.exits(64, &["history", "seven"]);
    home.exits(64, &["diff", "@1", "@3", "--only", "api"]);

    // The same when no daemon runs.
    home.ok(&["kill"]);
    let after = home.json(&["history", "--json"]);
    assert_eq!(after["generations"].as_array().map(Vec::len), Some(4), "{after}");
    assert_eq!(after["generations"][3]["command"], "kill");
    home.exits(2, &["diff", "@1", "@3"]).prints("env.COLOUR: (none) -> red");
    home.exits(2, &["diff", "@3"]).prints("stopped in what is there now: api:0");
    home.exits(2, &["drift"]).prints("stopped by hand: api:0").prints("@4 `kill`");
    assert!(home.daemon().is_none());
    // What `kill` has ended comes back with the moment before it.
    home.exits(2, &["rollback", "--dry-run"]).prints("start 1 instance");
    home.ok(&["rollback"]);
    assert_eq!(home.state("api:0"), "online");
    assert_eq!(home.state("db:0"), "stopped");
}

#[test]
fn a_way_back_to_another_script_is_what_the_file_said_then() {
    let home = Home::new();
    home.app("stay.sh", "one.sh");
    home.app("stay.sh", "two.sh");
    let app = |script: &str| json!([with(stay("a"), "script", json!(script))]);
    home.apply(&app("one.sh"));
    home.apply(&app("two.sh"));
    home.ok(&["rollback"]);
    home.exits(0, &["diff", "@1"]);
    let pid = home.pid("a:0");
    home.apply(&app("one.sh"));
    assert_eq!(home.pid("a:0"), pid, "nothing is restarted");
}

/// As where old releases are removed.
#[test]
fn what_could_not_be_started_as_it_was_then_stops_nothing_that_runs() {
    let home = Home::new();
    let of = |release: &str| json!({ "name": "a", "script": format!("{release}/s.sh"), "interpreter": "bash" });
    for release in ["r1", "r2"] {
        std::fs::create_dir(home.work.join(release)).expect("a folder");
        home.write(&format!("{release}/s.sh"), "exec sleep 1000\n");
        home.apply(&json!([of(release), { "name": "b", "script": "sleep", "args": "1000", "env": { "R": release } }]));
    }
    let before = home.pids();
    std::fs::remove_dir_all(home.work.join("r1")).expect("it was there");
    for args in [&["rollback"][..], &["rollback", "--dry-run"]] {
        home.exits(65, args).says("`a` could not be started as it was then").says("r1/s.sh` does not exist");
    }
    assert_eq!(home.pids(), before);
    // Nor from a file in place of its folder.
    home.write("r1", "");
    home.exits(65, &["rollback"]).says("`a` could not be started as it was then").says("r1/s.sh` does not exist");
    assert_eq!(home.pids(), before);
    // The others can go back, and what is not started lacks nothing.
    home.ok(&["rollback", "--only", "b"]);
    assert_eq!(home.pids()["a:0"], before["a:0"]);
    assert_ne!(home.pids()["b:0"], before["b:0"]);
}

/// As with a port, of which there is one.
#[test]
fn what_is_new_begins_when_what_it_is_in_place_of_has_ended() {
    let home = Home::new();
    home.write(
        "one.sh",
        "exec 9>lock\nflock -n 9 || exit 1\ntrap 'sleep 0.3; exit 0' INT\nwhile :; do sleep 1000 9>&- & wait; done\n",
    );
    let app = |name: &str| json!([{ "name": name, "script": "one.sh", "interpreter": "bash", "autorestart": false }]);
    home.apply(&app("old"));
    home.apply(&app("new"));
    assert_eq!(home.state("new:0"), "online");
    home.ok(&["rollback"]);
    assert_eq!(home.state("old:0"), "online");
}

#[test]
fn a_rename_is_taken_back_as_it_was_done() {
    let home = running();
    let before = home.pids();
    let mut renamed = stay("c");
    renamed["renamed_from"] = json!("api");
    shop(&home, &[renamed, stay("db")]);
    home.ok(&["apply", "eco.json"]);
    for (name, only) in [("api:0", "api,c"), ("c:0", "c"), ("api:0", "c")] {
        home.ok(&["rollback", "--only", only]).prints("rename");
        let pids = home.pids();
        assert_eq!((pids.get(name), pids.len()), (before.get("api:0"), before.len()), "{name}");
    }
    // What is not started needs no script.
    std::fs::remove_file(home.work.join("stay.sh")).expect("it is there");
    home.ok(&["rollback", "--only", "c"]).prints("rename");
    assert_eq!(home.pids().get("c:0"), before.get("api:0"));
}

#[test]
fn rollback_brings_everything_back_and_can_be_taken_back() {
    let home = running();
    let db = home.pid("db:0");
    home.write("stay.sh", home_script(&home, "# newer\n"));
    shop(&home, &[with(stay("api"), "env", json!({ "X": "2" })), with(stay("late"), "instances", json!(2))]);
    home.ok(&["apply", "eco.json"]);
    let late = home.pid("late:1");

    let shown = home.exits(2, &["rollback", "--dry-run"]);
    shown.prints("@1 has it").prints("@1 does not have it").prints("env.X: 2 -> (none)");
    shown.prints("its code has changed since and stays as it is: stay.sh").says("only what is configured goes back");
    assert_eq!(home.pid("late:1"), late, "nothing was touched");
    home.exits(1, &["rollback", "--only", "nobody"]).says("no app `nobody`");

    home.ok(&["rollback"]).says("rolled back to @1");
    let names: Vec<String> = home.pids().into_keys().collect();
    assert_eq!(names, ["api:0", "db:0"]);
    assert_ne!(home.pid("db:0"), db);
    let left = home.exits(2, &["diff", "@1"]);
    left.prints("code changed: stay.sh").prints("Plan: 2 to restart, 0 unchanged");
    assert!(!left.stdout.contains("env."), "only code is not as it was: {}", left.stdout);
    // It is a generation itself.
    home.ok(&["rollback"]).says("rolled back to @2");
    assert_eq!(home.pids().into_keys().collect::<Vec<_>>(), ["api:0", "late:0", "late:1"]);
    home.exits(0, &["diff", "eco.json"]);
    let result = home.json(&["rollback", "@1", "--only", "db", "--json"]);
    assert_eq!(result["plan"]["counts"]["create"], 1);
    assert_eq!(home.pids().len(), 4);
    home.exits(1, &["rollback", "@77"]).says("@77");
}

fn home_script(home: &Home, more: &str) -> String {
    std::fs::read_to_string(home.work.join("stay.sh")).expect("a script") + more
}

#[test]
fn what_fails_is_taken_back_when_that_is_asked_for() {
    let home = running();
    home.write("bad.sh", "#!/bin/sh\necho 'no such table: orders' >&2\nexit 3\n");
    let bad = json!({ "name": "bad", "script": "./bad.sh", "interpreter": "sh", "max_restarts": 1 });
    let db = home.pid("db:0");
    shop(&home, &[with(stay("api"), "env", json!({ "X": "2" })), stay("db"), bad.clone()]);
    let failed = home.exits(4, &["apply", "eco.json", "--auto-rollback"]);
    failed.says("no such table: orders").says("goes back to what it was").says("what it was in @1 again");
    assert_eq!(home.pids().into_keys().collect::<Vec<_>>(), ["api:0", "db:0"]);
    assert_eq!(home.pid("db:0"), db, "what was not touched was not touched");
    home.exits(0, &["diff", "@1"]);
    home.ok(&["history", "-n", "1"]).prints("rolled back to @1, as this failed: bad");

    let run = home.run(&["apply", "eco.json", "--auto-rollback", "--json"]);
    assert_eq!(run.code, Some(4));
    let result: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(result["result"]["rolled_back"], json!({ "to": 2, "left": [] }));
    assert_eq!(result["result"]["failed"][0]["app"], "bad");

    // A version of one that is there: the old one runs again.
    shop(&home, &[with(bad, "name", json!("api")), stay("db")]);
    home.exits(4, &["apply", "eco.json", "--auto-rollback"]);
    assert_eq!(home.state("api:0"), "online");
    shop(&home, &[stay("api"), stay("db")]);
    home.exits(0, &["diff", "eco.json"]);
}

#[test]
fn what_a_killed_daemon_has_left_half_done_is_said_with_the_way_back() {
    let mut home = running();
    let mut fifo = home.fifo("f");
    home.set_env("FIFO", fifo.path.to_str().expect("UTF-8"));
    home.write("slow.sh", "#!/bin/sh\necho began >\"$FIFO\"\nexec sleep 1000\n");
    let slow = json!({ "name": "slow", "script": "./slow.sh", "interpreter": "sh", "wait_ready": true,
        "listen_timeout": 600_000, "depends_on": ["api"] });
    shop(&home, &[with(stay("api"), "env", json!({ "X": "2" })), stay("db"), slow]);
    let (child, _, err) = home.start_command(&mut home.command(&["apply", "eco.json", "--auto-rollback"]));
    fifo.line_of("began");
    procs::signal(home.daemon().expect("it runs"), Signal::KILL);
    let (status, _) = procs::finish(child);
    let said = std::fs::read_to_string(err).expect("it is there");
    assert!(status.code() == Some(69) && said.contains("nothing goes back by itself: `pmrun history`"), "{said}");
    home.ok(&["history", "-n", "1"]).prints("nothing went back (`pmrun rollback @1` does)");
    let one = home.json(&["history", "@2", "--json"]);
    let (result, wanted) = (&one["generation"]["result"]["outcome"], &one["generation"]["auto_rollback"]);
    assert_eq!((result, wanted), (&json!("interrupted"), &json!(true)));
    let told = || home.ok(&["events", "--json"]).stdout.matches("\"event\":\"interrupted\"").count();
    home.until("the next daemon to say so", |_| told() > 0);
    home.ok(&["events"])
        .prints("(@2) was interrupted, the daemon was killed")
        .prints("`pmrun rollback @1` takes it back");
    // It is said once, whoever comes next.
    home.lose_daemon();
    home.ok(&["rollback", "@1"]);
    home.exits(0, &["diff", "@1"]);
    assert_eq!(told(), 1);
    assert_eq!(home.pids().into_keys().collect::<Vec<_>>(), ["api:0", "db:0"]);
}

#[test]
fn what_was_deleted_by_hand_stands_once_and_a_way_back_says_what_it_lacks() {
    let home = running();
    shop(&home, &[with(stay("api"), "depends_on", json!(["db"])), stay("db")]);
    home.ok(&["apply", "eco.json"]);
    home.ok(&["delete", "db"]);
    let diff = home.exits(2, &["diff", "eco.json"]);
    diff.prints("Drift, changed since it was applied:\n+ db  create").prints("db  deleted by hand (@3 `delete db`");
    assert!(!diff.stdout.contains("Your edit"), "{diff}");
    let plan = home.run(&["diff", "eco.json", "--json"]);
    let plan: Value = serde_json::from_str(&plan.stdout).expect("JSON");
    let steps = plan["steps"].as_array().expect("steps");
    let db = steps.iter().find(|step| step["app"] == "db").expect("it is to be created");
    assert_eq!((&db["cause"], &db["reasons"][0]["reason"]), (&json!("drift"), &json!("deleted_by_hand")));
    // A plan that is kept is one that can be applied.
    home.exits(2, &["diff", "eco.json", "--out", "plan.json"]);

    shop(&home, &[stay("api")]);
    home.ok(&["apply", "eco.json"]);
    let lacks = "depends on `db`, which there is not";
    let back = home.exits(2, &["rollback", "@2", "--only", "api", "--dry-run"]);
    back.prints("depends on db, which there is not").says(lacks);
    let plan = home.run(&["rollback", "@2", "--only", "api", "--json"]);
    plan.says(lacks).prints("needs_nobody");
    let back = home.exits(2, &["rollback", "@2", "--dry-run"]);
    assert!(!back.stderr.contains(lacks), "{back}");
}

#[test]
fn drift_is_told_apart_from_an_edit_and_apply_puts_it_right() {
    let home = running();
    home.exits(0, &["drift"]).says("no drift");
    home.ok(&["stop", "db"]);
    let drift = home.exits(2, &["drift"]);
    drift.prints("db  stopped by hand: db:0 (@2 `stop db`");
    let values = home.run(&["drift", "--json"]);
    let values: Value = serde_json::from_str(&values.stdout).expect("JSON");
    assert_eq!(values["drift"][0]["drift"], "stopped");
    assert_eq!(values["drift"][0]["by"]["generation"], 2);

    shop(&home, &[with(stay("api"), "env", json!({ "X": "2" })), stay("db")]);
    let diff = home.exits(2, &["diff", "eco.json"]);
    diff.prints("Your edit:\n! api").prints("Drift, changed since it was applied:\n> db").prints("@2 `stop db`");
    let plan = home.run(&["diff", "eco.json", "--json"]);
    let plan: Value = serde_json::from_str(&plan.stdout).expect("JSON");
    let causes: Vec<&Value> = plan["steps"].as_array().expect("steps").iter().map(|step| &step["cause"]).collect();
    assert_eq!(causes, ["edit", "drift"]);
    assert_eq!(plan["drift"][0]["app"], "db");
    home.exits(2, &["diff", "eco.json", "--markdown"]).prints("changed since it was applied");

    home.ok(&["apply", "eco.json"]);
    home.exits(0, &["drift"]);
    home.exits(0, &["diff", "eco.json"]);
    home.write("stay.sh", home_script(&home, "# newer\n"));
    home.exits(2, &["drift"]).prints("runs other code than there is on disk (stay.sh)");
    home.ok(&["delete", "db"]);
    home.exits(2, &["drift"]).prints("db  deleted by hand (@4 `delete db`");
    home.ok(&["apply", "eco.json"]);
    home.exits(0, &["drift"]);
}

#[test]
fn what_a_hand_has_changed_is_not_called_an_edit_by_diff_nor_by_apply() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut many = stay("many");
    many["instances"] = json!(3);
    let limited = with(stay("limited"), "max_memory_restart", json!("200M"));
    let deleted = stay("deleted");
    shop(&home, &[many, limited, deleted]);
    home.ok(&["apply", "eco.json"]);
    for (by_hand, app) in [
        (&["scale", "many", "1"][..], "many"),
        (&["scale", "many", "5"], "many"),
        (&["restart", "limited", "--max-memory-restart", "300M"], "limited"),
        (&["delete", "deleted"], "deleted"),
    ] {
        home.ok(by_hand);
        let plan = home.run(&["diff", "eco.json", "--json"]);
        let plan: Value = serde_json::from_str(&plan.stdout).expect("JSON");
        let step = plan["steps"].as_array().expect("steps").iter().find(|step| step["app"] == app).expect("a step");
        assert_eq!(step["cause"], "drift", "{by_hand:?}: {step}");
        for command in [&["diff", "eco.json"][..], &["apply", "eco.json"]] {
            let said = home.run(command);
            said.prints("Drift, changed since it was applied:");
            assert!(!said.stdout.contains("Your edit"), "{by_hand:?} {said}");
        }
        home.exits(0, &["diff", "eco.json"]);
    }
}

#[test]
fn a_program_that_was_deleted_is_drift_that_apply_leaves() {
    let home = Home::new();
    let sleep = home.work.join("my-sleep");
    let there = ["/bin/sleep", "/usr/bin/sleep"].into_iter().find(|path| std::path::Path::new(path).exists());
    std::fs::copy(there.expect("sleep"), &sleep).expect("copied");
    shop(
        &home,
        &[
            json!({ "name": "z", "script": "./my-sleep", "interpreter": "none", "args": ["1000"], "fingerprint": false }),
        ],
    );
    home.ok(&["apply", "eco.json"]);
    home.exits(0, &["drift"]);
    std::fs::remove_file(&sleep).expect("removed");
    let gone = home.exits(2, &["drift"]);
    gone.prints("its program is gone").prints("my-sleep): z:0 runs on, and cannot be started again");
    assert!(!gone.stdout.contains("other code") && !gone.stderr.contains("puts right"), "{gone}");
    home.exits(65, &["apply", "eco.json"]);
    std::fs::copy(there.expect("sleep"), &sleep).expect("copied");
    let pid = home.pid("z:0");
    home.exits(2, &["drift"]).prints("runs a program that was deleted or replaced");
    home.exits(0, &["diff", "eco.json"]).prints("runs a program that was deleted");
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pid("z:0"), pid);
    home.ok(&["restart", "z"]);
    home.exits(0, &["drift"]);
}

#[test]
fn a_generation_has_the_commit_of_its_file() {
    if !needs_git() {
        return;
    }
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    shop(&home, &[stay("api")]);
    let git = "git init -q . && git -c user.name=a -c user.email=a@b.c add eco.json stay.sh && \
               git -c user.name=a -c user.email=a@b.c commit -qm x && git rev-parse HEAD";
    let made = home.run_command(home.shell(git), std::time::Duration::from_secs(20));
    let commit = made.stdout.trim().to_owned();
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    home.ok(&["apply", "eco.json"]);
    shop(&home, &[stay("api"), stay("db")]);
    home.ok(&["apply", "eco.json"]);
    // No commit has this one.
    shop(&home, &[stay("api")]);
    home.write_json("other.json", &json!({ "name": "other", "apps": [stay("other")] }));
    home.ok(&["apply", "other.json"]);
    let listed = home.json(&["history", "--json"]);
    // Git may have taken longer than anybody waits; what it said is right.
    let revisions: Vec<&Value> = (0..3).map(|at| &listed["generations"][at]["revision"]).collect();
    for (revision, dirty) in revisions.into_iter().zip([false, true, true]) {
        if !revision.is_null() {
            assert_eq!(*revision, json!({ "commit": commit, "dirty": dirty }));
        }
    }
}
