//! What is to be seen while a command works, and what becomes of it when it is interrupted.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Fifo, Home, Pty, procs, stay};

const SOON: Duration = Duration::from_secs(30);

/// `ready` is up at once, `slow` never says that it is, `after` needs it.
fn stuck(home: &Home, fifo: &Fifo) {
    home.app("stay.sh", "stay.sh");
    let app = |name: &str, more: Value| {
        let mut app = stay(name);
        app["env"] = json!({ "FIFO": fifo.path });
        app.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        app
    };
    let slow = json!({ "wait_ready": true, "listen_timeout": 600_000, "depends_on": ["ready"] });
    let apps = [app("ready", json!({})), app("slow", slow), app("after", json!({ "depends_on": ["slow"] }))];
    home.write_json("eco.json", &json!({ "name": "shop", "apps": apps }));
}

fn text(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).expect("output")
}

#[test]
fn an_interrupted_command_says_what_was_done_what_goes_on_and_what_was_not_begun() {
    for (signal, code, word) in [(Signal::INT, 130, "interrupted"), (Signal::TERM, 143, "terminated")] {
        let home = Home::new();
        let mut fifo = home.fifo("fifo");
        stuck(&home, &fifo);
        let (child, out, err) = home.start_command(&mut home.command(&["apply", "eco.json", "--json"]));
        let slow = fifo.pid_of("slow:0");
        procs::signal(child.id(), signal);
        let (status, _) = procs::finish(child);
        let said = text(&err);
        assert_eq!(status.code(), Some(code), "{said}");
        let last: Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
        assert_eq!(last["error"]["exit"], code, "{said}");
        let message = last["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with(word) && message.contains("1 app up, 1 starting"), "{message}");
        assert!(message.ends_with("\n  goes on: slow:0\n  not begun: after"), "{message}");
        let result: Value = serde_json::from_str(&text(&out)).expect("JSON");
        let rest = json!({ "going_on": ["slow:0"], "not_begun": ["after"] });
        assert_eq!(result["result"]["interrupted"], rest, "{result}");
        // And so it is.
        assert_eq!((home.pid("slow:0"), home.state("slow:0")), (slow, "starting".to_owned()));
        assert!(home.list().iter().all(|one| one.name() != "after"));
        home.exits(2, &["diff", "eco.json"]).prints("1 to create");
        // Nothing holds up whoever comes next.
        home.ok(&["stop", "ready"]);
    }
}

#[test]
fn who_vanishes_leaves_the_same_as_who_is_interrupted() {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    stuck(&home, &fifo);
    let (child, _, _) = home.start_command(&mut home.command(&["apply", "eco.json"]));
    let slow = fifo.pid_of("slow:0");
    procs::signal(child.id(), Signal::KILL);
    procs::finish(child);
    home.ok(&["stop", "ready"]);
    assert_eq!(home.pids(), [("slow:0".to_owned(), slow)].into());
    assert!(home.list().iter().all(|one| one.name() != "after"));
}

#[test]
fn a_second_interrupt_ends_the_command_at_once_whatever_the_daemon_does() {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    stuck(&home, &fifo);
    let (child, _, _) = home.start_command(&mut home.command(&["apply", "eco.json"]));
    fifo.pid_of("slow:0");
    let daemon = home.daemon().expect("it runs");
    procs::signal(daemon, Signal::STOP);
    procs::signal(child.id(), Signal::INT);
    assert!(!procs::wait_gone(child.id(), Duration::from_millis(300)), "it waits for the daemon's word");
    // On a machine that is busy it may not have looked at the first one yet.
    let gone = (0..40).any(|_| {
        procs::signal(child.id(), Signal::INT);
        procs::wait_gone(child.id(), Duration::from_millis(250))
    });
    procs::signal(daemon, Signal::CONT);
    assert!(gone);
    let (status, _) = procs::finish(child);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2));
}

#[test]
fn what_is_to_be_ignored_is_ignored() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut fifo = home.fifo("fifo");
    let mut app = stay("a");
    app["min_uptime"] = json!(500);
    app["env"] = json!({ "FIFO": fifo.path });
    home.write_json("eco.json", &json!([app]));
    let (child, _, err) = home.start_command(&mut home.shell("trap '' INT; exec pmrun apply eco.json"));
    fifo.pid_of("a:0");
    procs::signal(child.id(), Signal::INT);
    let (status, _) = procs::finish(child);
    assert!(status.success(), "{}", text(&err));
}

#[test]
fn an_interrupted_wait_for_ones_turn_does_nothing() {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    stuck(&home, &fifo);
    let (first, _, _) = home.start_command(&mut home.command(&["apply", "eco.json"]));
    fifo.pid_of("slow:0");
    let (second, _, err) = home.start_command(&mut home.command(&["restart", "ready", "slow"]));
    let holder = format!("waiting for apply of `shop` (pid {}), at work for ", first.id());
    let deadline = std::time::Instant::now() + SOON;
    while !text(&err).contains(&holder) {
        assert!(std::time::Instant::now() < deadline, "{}", text(&err));
    }
    procs::signal(second.id(), Signal::INT);
    let (status, _) = procs::finish(second);
    assert_eq!(status.code(), Some(130));
    assert!(text(&err).contains("nothing was done\n  not begun: restart of `ready`, `slow`"), "{}", text(&err));
    assert_eq!(home.state("ready:0"), "online");
    procs::signal(first.id(), Signal::INT);
    procs::finish(first);
}

fn three(home: &Home) {
    home.app("stay.sh", "stay.sh");
    home.app("crash.sh", "crash.sh");
    let slow = |name: &str| {
        let mut app = stay(name);
        app["min_uptime"] = json!(600);
        app
    };
    let bad = json!({ "name": "bad", "script": "./crash.sh", "max_restarts": 1 });
    home.write_json("eco.json", &json!([slow("a"), slow("b"), bad]));
}

#[test]
fn on_a_terminal_each_instance_has_a_line_that_is_drawn_over() {
    let home = Home::new();
    three(&home);
    let (status, written, seen) = Pty::start(home.command(&["apply", "eco.json"]), 60, 24).finish();
    assert_eq!(status.code(), Some(3), "{written}");
    let shows = |start: &str| seen.iter().filter(|line| line.starts_with(start)).count();
    for line in ["a:0    up after ", "b:0    up after ", "bad:0  failed: it ended too soon"] {
        assert_eq!(shows(line), 1, "{line}: {seen:#?}");
    }
    assert!(!seen.iter().any(|line| line.contains("starting (pid")), "{seen:#?}");
    assert!(written.contains("starting (pid") && written.contains("A\x1b") | written.contains("Aa:0"), "{written:?}");
    assert!(written.contains("\x1b[32mup after"), "{written:?}");
    assert_eq!(seen.last().map(String::as_str), Some(""));
}

#[test]
fn no_color_is_no_colour_and_a_dumb_terminal_gets_plain_lines() {
    let mut home = Home::new();
    three(&home);
    home.set_env("NO_COLOR", "1");
    let (_, written, _) = Pty::start(home.command(&["apply", "eco.json"]), 60, 24).finish();
    assert!(written.contains("\x1b[J") && !written.replace("\x1b[J", "").contains("m up"), "{written:?}");
    assert!(!written.contains("\x1b[0m"), "{written:?}");
    let mut command = home.shell("TERM=dumb exec pmrun restart a b");
    command.env("COLUMNS", "60");
    let (status, written, _) = Pty::start(command, 60, 24).finish();
    assert!(status.success(), "{written}");
    assert!(!written.contains('\x1b') && written.contains("a:0 stopping\r\n"), "{written:?}");
}

#[test]
fn many_apps_on_a_small_terminal_are_counted() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut app = stay("many");
    app["instances"] = json!(40);
    app["min_uptime"] = json!(400);
    home.write_json("eco.json", &json!([app]));
    let (status, written, seen) = Pty::start(home.command(&["apply", "eco.json"]), 60, 6).finish();
    assert!(status.success(), "{written}");
    assert!(written.contains("of 40 done, "), "{written:?}");
    assert!(!seen.iter().any(|line| line.starts_with("many:")), "{seen:#?}");
    assert!(seen.iter().any(|line| line.starts_with("applied: 1 app up in ")), "{seen:#?}");
    // A line fits no better than it can.
    let (status, written, _) = Pty::start(home.command(&["restart", "many:0"]), 5, 2).finish();
    assert!(status.success(), "{written}");
}

#[test]
fn an_interrupt_leaves_the_terminal_as_it_was() {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    stuck(&home, &fifo);
    let pty = Pty::start(home.command(&["apply", "eco.json"]), 80, 24);
    fifo.pid_of("slow:0");
    procs::signal(pty.child.id(), Signal::INT);
    let (status, written, seen) = pty.finish();
    assert_eq!(status.code(), Some(130), "{written}");
    let place = |start: &str| seen.iter().position(|line| line.starts_with(start));
    let (last, message) = (place("slow:0   starting"), place("error: interrupted after"));
    assert!(last.is_some() && last < message, "{seen:#?}");
    assert!(!written.contains("\x1b[?"), "no mode was set: {written:?}");
}
