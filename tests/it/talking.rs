//! What is said to apps, and what they say: their standard input, Node's channel.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Fifo, Home, needs_node, procs};

/// Lives as long as somebody may type to it, and tells what was typed.
fn reader(fifo: &Fifo) -> Value {
    let line = "echo there >\"$FIFO\"; while read -r line; do echo \"heard $line\" | tee -a \"$FIFO\"; done; echo over >\"$FIFO\"";
    json!({ "name": "reader", "script": "/bin/sh", "interpreter": "none", "args": ["-c", line], "env": { "FIFO": fifo.path } })
}

#[test]
fn an_app_hears_what_is_sent_to_it_whatever_becomes_of_the_daemon() {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    home.apply(&json!([reader(&fifo)]));
    assert_eq!(fifo.line(), "there");
    home.ok(&["send", "reader", "one", "two"]).says("sent to 1 instance");
    assert_eq!(fifo.line(), "heard one two");
    let pid = home.pid("reader:0");
    procs::signal(home.daemon().expect("it runs"), Signal::KILL);
    home.ok(&["send", "0", "-three"]);
    assert_eq!(fifo.line(), "heard -three");
    home.lose_daemon();
    home.ok(&["resurrect"]);
    home.ok(&["send", "reader", "four"]);
    assert_eq!(fifo.line(), "heard four");
    assert_eq!(home.pid("reader:0"), pid);
    assert!(fifo.pending().is_empty());
    home.exits(1, &["send", "nobody", "x"]).says("nobody");
    home.ok(&["stop", "reader"]);
    home.exits(1, &["send", "reader", "x"]).says("does not run");
}

#[test]
fn nobody_is_kept_from_anything_by_an_app_that_does_not_read_and_cluster_and_jobs_have_no_input() {
    let home = Home::new();
    let sleeps =
        json!({ "name": "deaf", "script": "/bin/sh", "interpreter": "none", "args": ["-c", "exec sleep 1000"] });
    let job = json!({ "name": "job", "script": "/bin/sh", "interpreter": "none", "args": ["-c", "cat; exec sleep 1000"],
                      "schedule": "0 0 1 1 *" });
    home.apply(&json!([sleeps, job]));
    let line = "x".repeat(10_000);
    home.ok(&["send", "deaf", &line]);
    home.exits(1, &["send", "deaf", &line]).says("does not read its standard input: 10001 bytes wait there already");
    home.exits(1, &["send", "deaf", &"x".repeat(20_000)]).says("too many");
    home.exits(1, &["send", "job", "x"]).says("neither workers of a cluster nor jobs have a standard input");
    // What it is given for that is nothing that others hold.
    let pipe = std::fs::read_link(format!("/proc/{}/fd/0", home.pid("deaf:0"))).expect("it has one");
    for process in [home.daemon(), home.keeper()].into_iter().flatten() {
        let open = std::fs::read_dir(format!("/proc/{process}/fd")).expect("it is ours").flatten();
        let held = open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).find(|link| *link == pipe);
        assert_eq!(held, None, "{process} holds the standard input of an app");
    }
}

#[test]
fn attach_types_to_an_app_and_shows_what_it_writes() {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    home.apply(&json!([reader(&fifo)]));
    assert_eq!(fifo.line(), "there");
    let mut command = home.command(&["attach", "reader"]);
    let (mut child, out, _) = home.start_command(command.stdin(Stdio::piped()));
    let mut typed = child.stdin.take().expect("a pipe");
    let deadline = Instant::now() + Duration::from_mins(1);
    let shown = || std::fs::read_to_string(&out).unwrap_or_default();
    // It shows what is written from some moment on.
    while !shown().contains("heard again\n") {
        typed.write_all(b"again\n").expect("it reads");
        assert_eq!(fifo.line(), "heard again");
        assert!(Instant::now() < deadline, "nothing is shown: {}", home.daemon_log());
    }
    drop(typed);
    assert!(procs::finish(child).0.success());
    home.exits(1, &["attach", "nobody"]).says("nobody");
}

#[test]
fn a_server_that_lives_by_its_standard_input_goes_on() {
    if !needs_node() {
        return;
    }
    let home = Home::new();
    home.write(
        "repl.js",
        "process.stdin.on('data', data => console.log(`got ${data}`)).on('end', () => console.log('end'))",
    );
    home.apply(&json!([{ "name": "repl", "script": "repl.js", "min_uptime": 300 }]));
    home.ok(&["send", "repl", "hello"]);
    home.until("it to hear", |_| home.log("repl-out.log").contains("got hello\n"));
    assert!(!home.log("repl-out.log").contains("end"));
    assert_eq!(home.list()[0].restarts(), 0);
}

#[test]
fn an_app_does_what_it_offers_and_its_answer_is_shown() {
    if !needs_node() {
        return;
    }
    let home = Home::new();
    home.write(
        "offers.js",
        "process.send({ type: 'axm:action', data: { action_name: 'level', arity: 1 } })
         process.on('message', message => {
           if (message === 'level' || message.msg === 'level')
             process.send({ type: 'axm:reply', data: { action_name: 'level', return: { now: message.opts || 'none' } } })
         })",
    );
    let app =
        json!({ "name": "offers", "script": "offers.js", "instances": 2, "exec_mode": "fork", "min_uptime": 300 });
    home.apply(&json!([app, { "name": "other", "script": "/bin/sh", "interpreter": "none", "args": ["-c", "exec sleep 1000"] }]));
    let both = || {
        home.json(&["jlist"])
            .as_array()
            .expect("a list")
            .iter()
            .filter(|one| one["pm2_env"]["axm_actions"][0]["action_name"] == "level")
            .count()
            == 2
    };
    home.until("both to have said what they offer", |_| both());
    let output = home.ok(&["trigger", "offers", "level", "debug"]);
    output.prints("[offers:0:default]={\"now\":\"debug\"}").prints("[offers:1:default]={\"now\":\"debug\"}");
    assert_eq!(home.json(&["trigger", "0", "level", "--json"])["replies"][0]["return"], json!({ "now": "none" }));
    home.exits(1, &["trigger", "offers", "levels"]).says("offers the action `levels`").says("did you mean `level`?");
    home.exits(1, &["trigger", "other", "level"]).says("offers the action");
    home.exits(1, &["inspect", "offers"]).says("internal:inspect");
    home.ok(&["trigger", "all", "level"]).prints("[offers:0:default]={\"now\":\"none\"}");
    // An app may have said so to a daemon that is gone: it is asked all the same.
    procs::signal(home.daemon().expect("it runs"), Signal::KILL);
    home.ok(&["trigger", "offers:1", "level"]).prints("[offers:1:default]={\"now\":\"none\"}");
}
