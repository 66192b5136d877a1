//! What is started again later runs the code that is on disk then, and that is known of it.

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, needs_git, procs, stay};

const OTHER: &str = "runs other code than there is on disk";

fn shop(home: &Home, app: &Value) {
    home.write_json("eco.json", &json!({ "name": "shop", "apps": [app] }));
    home.ok(&["apply", "eco.json"]);
}

/// What runs is what is on disk, and is not what was applied.
#[track_caller]
fn runs_what_is_there(home: &Home) {
    let diff = home.exits(2, &["diff", "eco.json"]);
    diff.prints("~ web  update, no process is touched").prints("what runs has it already").prints("Plan: 1 to update");
    home.exits(0, &["drift"]);
}

#[track_caller]
fn runs_something_else(home: &Home, files: &str, instances: &str) {
    let said = format!("{OTHER} ({files}): {instances}");
    home.exits(2, &["diff", "eco.json"]).prints("! web  re").prints(&said);
    home.exits(2, &["drift"]).prints(&said);
}

#[track_caller]
fn nothing_to_do(home: &Home) {
    home.exits(0, &["diff", "eco.json"]);
    home.exits(0, &["drift"]);
}

#[track_caller]
fn kill_daemon(home: &Home) {
    let daemon = home.daemon().expect("a daemon runs");
    procs::signal(daemon, Signal::KILL);
    assert!(procs::wait_gone(daemon, std::time::Duration::from_secs(30)));
}

#[track_caller]
fn crash(home: &Home, instance: &str) {
    let before = home.pid(instance);
    procs::signal(before, Signal::KILL);
    home.until("another process to be up", |all| {
        let there = all.iter().find(|one| one.label() == instance).expect("it is known");
        there.state() == "online" && there.pid() != Some(before)
    });
}

#[test]
fn what_is_started_again_runs_the_code_that_is_on_disk_then() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let one = std::fs::read_to_string(home.work.join("stay.sh")).expect("a script");
    let two = format!("{one}# two\n");
    let mut web = stay("web");
    web["instances"] = json!(2);
    shop(&home, &web);
    for by in ["reload", "restart", "crash"] {
        home.write("stay.sh", &two);
        match by {
            "crash" => ["web:0", "web:1"].into_iter().for_each(|instance| crash(&home, instance)),
            by => _ = home.ok(&[by, "web"]),
        }
        let pids = home.pids();
        runs_what_is_there(&home);
        home.write("stay.sh", &one);
        runs_something_else(&home, "stay.sh", "web:0, web:1");
        match by {
            "reload" => kill_daemon(&home),
            "restart" => _ = home.ok(&["daemon", "upgrade"]),
            _ => home.lose_daemon(),
        }
        runs_something_else(&home, "stay.sh", "web:0, web:1");
        home.write("stay.sh", &two);
        runs_what_is_there(&home);
        assert_eq!(home.pids(), pids);
        home.write("stay.sh", &one);
        home.ok(&["apply", "eco.json"]);
        assert!(home.pids().iter().all(|(instance, pid)| pids[instance] != *pid), "{by}");
        nothing_to_do(&home);
    }
    home.write("stay.sh", &two);
    crash(&home, "web:1");
    home.write("stay.sh", &one);
    runs_something_else(&home, "stay.sh", "web:1");
    home.write("stay.sh", &two);
    home.ok(&["reload", "web"]);
    let pids = home.pids();
    home.ok(&["apply", "eco.json"]).says("1 app updated");
    nothing_to_do(&home);
    kill_daemon(&home);
    nothing_to_do(&home);
    home.lose_daemon();
    home.exits(0, &["diff", "eco.json"]);
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids(), pids);
}

#[test]
fn whatever_stands_for_the_code_is_looked_at_and_env_files_are_not_code() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    std::fs::create_dir(home.work.join("lib")).expect("a folder");
    home.write("lib/a.js", "1");
    home.write(".env", "X=1\n");
    let mut web = stay("web");
    web["fingerprint"] = json!(["lib/**"]);
    web["env_file"] = json!(".env");
    shop(&home, &web);
    home.write("lib/b.js", "2");
    home.write(".env", "X=1\n# only said\n");
    home.ok(&["restart", "web"]);
    // What it has of that it was given when the file was applied.
    home.exits(2, &["drift"]).prints(&format!("{OTHER} (.env): web:0"));
    home.write(".env", "X=1\n");
    runs_what_is_there(&home);
    std::fs::remove_file(home.work.join("lib/b.js")).expect("removed");
    runs_something_else(&home, "lib/b.js", "web:0");
    home.ok(&["restart", "web"]);
    nothing_to_do(&home);
}

#[test]
fn a_revision_is_that_of_the_moment_when_it_is_started_and_no_way_back_starts_it_for_that() {
    if !needs_git() {
        return;
    }
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let git = |arguments: &[&str]| {
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"];
        let done = Command::new("git").args(who).args(arguments).current_dir(&home.work).output().expect("git");
        assert!(done.status.success(), "{done:?}");
    };
    git(&["init", "-q"]);
    git(&["commit", "-q", "--allow-empty", "-m", "one"]);
    let mut web = stay("web");
    web["fingerprint"] = json!("git");
    shop(&home, &web);
    web["env"] = json!({ "X": "2" });
    shop(&home, &web);
    git(&["commit", "-q", "--allow-empty", "-m", "two"]);
    home.ok(&["restart", "web"]);
    runs_what_is_there(&home);
    let back = home.exits(0, &["rollback", "@2", "--dry-run"]);
    assert!(!back.stdout.contains("web:0"), "{back}");
    git(&["reset", "-q", "--hard", "HEAD~1"]);
    runs_something_else(&home, "git", "web:0");
    home.ok(&["apply", "eco.json"]);
    nothing_to_do(&home);
}
