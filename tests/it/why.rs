//! `why` and `events`: what happened is known, and who or what it was.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, procs, stay};

/// Events in the order in which they came, as `events --json` prints them.
fn events(home: &Home, args: &[&str]) -> Vec<Value> {
    let output = home.ok(&[&["events", "--json"], args].concat());
    output.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// `started autorestart`: what happened, and the rule.
fn brief(events: &[Value]) -> Vec<String> {
    let line = |event: &Value| {
        let rule = event["why"]["rule"].as_str().map(|rule| format!(" {rule}")).unwrap_or_default();
        format!("{}{rule}", event["event"].as_str().expect("event"))
    };
    events.iter().map(line).collect()
}

fn why(home: &Home, target: &str) -> Value {
    let answer = home.json(&["why", target, "--json"]);
    answer["instances"][0].clone()
}

fn until_printed(path: &Path, text: &str) -> String {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let printed = std::fs::read_to_string(path).expect("its output");
        if printed.contains(text) {
            return printed;
        }
        assert!(Instant::now() < deadline, "`{text}` is not in\n{printed}");
        std::thread::yield_now();
    }
}

#[test]
fn a_crash_loop_is_explained_with_its_rule_its_last_words_and_a_way_out() {
    let home = Home::new();
    home.app("crash.sh", "crash.sh");
    let app = json!({ "name": "bad", "script": "./crash.sh", "max_restarts": 3, "env": { "WHY": "no database" } });
    home.write_json("eco.json", &json!({ "name": "shop", "apps": [app] }));
    home.exits(3, &["apply", "eco.json"]);
    home.until_state("bad:0", "errored");
    home.ok(&["why", "bad"])
        .prints("bad:0 has been errored for ")
        .prints("given up on: it ended too soon 3 times (max_restarts), last: exit code 3")
        .prints("apply of `shop` (pid ")
        .prints("| going down: no database")
        .prints("max_restarts: 3")
        .prints("`pmrun restart bad:0` tries again");
    let told = why(&home, "bad");
    assert_eq!(told["rules"][0]["option"], "max_restarts", "{told}");
    assert!(told["rules"][0]["place"].as_str().expect("a place").ends_with("eco.json"), "{told}");
    assert_eq!(told["stderr"]["lines"], json!(["going down: no database"]), "{told}");
    let place = told["rules"][0]["place"].as_str().expect("a place").to_owned();
    home.run_command(home.shell(&place), Duration::from_secs(20)).exited(0).prints("eco.json:");
    let all = events(&home, &["bad"]);
    assert_eq!(
        brief(&all).into_iter().filter(|line| line != "waiting").collect::<Vec<_>>(),
        [
            "created command",
            "started command",
            "exited",
            "started autorestart",
            "exited",
            "started autorestart",
            "exited",
            "given_up",
        ]
    );
    assert!(all.iter().all(|event| event["event"] != "exited" || event["status"] == json!({ "code": 3 })));
    home.exits(1, &["why", "baf"]).says("did you mean `bad`?");
    home.exits(1, &["events", "baf"]).says("did you mean `bad`?");
    home.exits(64, &["why"]);
}

#[test]
fn who_asked_is_known_for_what_runs_and_what_does_not() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.apply(&json!({ "name": "shop", "apps": [stay("a"), stay("b")] }));
    home.ok(&["restart", "a"]);
    home.ok(&["stop", "b"]);
    home.ok(&["why", "a"]).prints("a:0 has been online for ").prints("restart of `a` (pid ").prints("as asked: ");
    home.ok(&["why", "b"]).prints("stopped: stop of `b` (pid ").prints("`pmrun start b:0` starts it");
    let of_b = brief(&events(&home, &["b"]));
    assert_eq!(of_b, ["created command", "started command", "online", "stopping command", "exited", "stopped command"]);
    // What is gone is still known by its name, and a new app of that name is none of its business.
    home.ok(&["delete", "b"]);
    home.exits(1, &["why", "b"]);
    assert_eq!(brief(&events(&home, &["b"])).last().map(String::as_str), Some("deleted command"));
    assert_eq!(brief(&events(&home, &["a", "-n", "1"])), ["online"]);
    assert_eq!(events(&home, &["--since", "1h"]), events(&home, &[]));
    home.ok(&["kill"]);
    let all = brief(&events(&home, &[]));
    assert_eq!((all[0].as_str(), all.last().map(String::as_str)), ("daemon_started", Some("daemon_ended command")));
    home.ok(&["why", "a"]).prints("stopped: kill (pid ");
}

#[test]
fn what_waits_leads_on_to_why_what_it_waits_for_is_down() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.app("crash.sh", "crash.sh");
    let disk = json!({ "name": "disk", "script": "./crash.sh", "max_restarts": 2, "env": { "WHY": "no disk" } });
    let mut db = stay("db");
    db["depends_on"] = json!(["disk"]);
    let mut web = stay("web");
    web["depends_on"] = json!({ "db": { "on_exit": "stop" } });
    home.write_json("eco.json", &json!({ "name": "shop", "apps": [disk, db, web] }));
    home.exits(3, &["apply", "eco.json"]);
    home.until_state("disk:0", "errored");
    home.until_state("web:0", "waiting");
    home.ok(&["why", "web"])
        .prints("web:0 has been waiting for ")
        .prints("waits for `db` to be ready")
        .prints("it depends on:\n  db:0 has been waiting for ")
        .prints("  it depends on:\n    disk:0 has been errored for ")
        .prints("    | going down: no disk");
    let told = why(&home, "web");
    assert_eq!(told["dependencies"][0]["dependencies"][0]["name"], "disk", "{told}");
    // What somebody has stopped says who it was.
    home.ok(&["start", "db"]);
    home.until_state("web:0", "online");
    home.ok(&["stop", "db"]);
    home.until_state("web:0", "waiting");
    home.ok(&["why", "web"])
        .prints("it depends on:\n  db:0 has been stopped for ")
        .prints("stopped: stop of `db` (pid ");
}

#[test]
fn a_change_of_files_is_named_as_what_it_was() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("src/a.js", "1");
    let mut app = stay("a");
    app["watch"] = json!(["src"]);
    home.apply(&json!([app]));
    let before = home.pid("a:0");
    // Whether it is watched by now is not known from outside: it is written until it was noticed; not so soon again that what
    // has come of it is under way.
    let written = std::cell::Cell::new(None);
    home.until("restarted", |list| {
        if written.get().is_none_or(|at: Instant| at.elapsed() > Duration::from_secs(5)) {
            home.write("src/a.js", format!("{list:?}"));
            written.set(Some(Instant::now()));
        }
        list.iter().any(|one| one.state() == "online" && one.pid() != Some(before))
    });
    home.ok(&["why", "a"]).prints("`src/a.js` changed (watch)").prints("watch: true");
}

#[test]
fn the_history_outlives_the_daemon_and_the_next_one_goes_on_with_it() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.apply(&json!({ "name": "shop", "apps": [stay("a"), stay("b")] }));
    home.lose_daemon();
    home.ok(&["why", "a"]).prints("a:0 has been online for ").prints("apply of `shop` (pid ");
    assert_eq!(brief(&events(&home, &["a"])), ["created command", "started command", "online"]);
    home.ok(&["stop", "b"]);
    home.ok(&["events"]).prints("the one before it was killed, or crashed").prints("taken over by a new daemon (pid ");
    let all = events(&home, &[]);
    let numbers: Vec<u64> = all.iter().filter_map(|event| event["number"].as_u64()).collect();
    assert!(numbers.iter().copied().eq(1..=all.len() as u64), "{numbers:?}");
    // Its start is known still, though another daemon watches it now.
    home.ok(&["why", "a"]).prints("started (pid ").prints("apply of `shop` (pid ");
}

#[test]
fn what_happens_is_followed_from_before_there_is_anything() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.ok(&["events"]);
    std::fs::create_dir(&home.folder).expect("mkdir");
    let (mut follower, out, _) = home.start_command(&mut home.command(&["events", "-f"]));
    home.apply(&json!([stay("a"), stay("b")]));
    until_printed(&out, "b:0  online after ");
    let (mut of_a, out_of_a, _) = home.start_command(&mut home.command(&["events", "a", "-f", "-n", "1", "--json"]));
    until_printed(&out_of_a, "\"event\":\"online\"");
    let before = home.pid("a:0");
    procs::signal(before, Signal::KILL);
    let printed = until_printed(&out, "it had ended after ");
    assert!(printed.contains(": killed by SIGKILL\n"), "{printed}");
    until_printed(&out_of_a, "\"rule\":\"autorestart\"");
    home.until("it is up again", |list| list.iter().all(|one| one.state() == "online"));
    until_printed(&out_of_a, "\"restarts\":1");
    home.ok(&["restart", "b"]);
    home.ok(&["restart", "a"]);
    let printed = until_printed(&out_of_a, "\"command\":\"restart of `a`\"");
    assert!(!printed.contains("\"app\":\"b\""), "{printed}");
    for (child, signal) in [(&mut follower, Signal::INT), (&mut of_a, Signal::TERM)] {
        procs::signal(child.id(), signal);
    }
    let (_, said) = procs::finish(follower);
    assert_eq!(said, "");
    procs::finish(of_a);
}

#[test]
fn a_follower_ends_when_nobody_reads_it_any_more() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("a")]));
    home.run_command(home.shell("pmrun events -f | head -n 1"), Duration::from_secs(30)).exited(0).prints("the daemon");
}

#[test]
fn a_disk_that_takes_no_events_is_in_nobodys_way() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    // Nobody can write to a folder as if it were a file.
    std::fs::create_dir_all(home.folder.join("events.jsonl")).expect("mkdir");
    home.apply(&json!([stay("a")]));
    home.ok(&["restart", "a"]);
    assert!(home.daemon_log().contains("cannot write `events.jsonl`"), "{}", home.daemon_log());
    std::fs::remove_dir(home.folder.join("events.jsonl")).expect("rmdir");
    home.ok(&["stop", "a"]);
    let all = brief(&events(&home, &[]));
    assert_eq!(all.first().map(String::as_str), Some("daemon_started"), "what waited was written: {all:?}");
    assert_eq!(all.last().map(String::as_str), Some("stopped command"));
}
