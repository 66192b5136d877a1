//! Stopping ends the whole tree, and leaves nothing behind whatever it does.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Home, needs_node, procs, stay};

const SOON: Duration = Duration::from_secs(30);

/// App `a` with a tree that clings to life, beside `b`; and the pids of that tree, with what each calls itself.
fn stubborn() -> (Home, Vec<(String, u32)>) {
    let home = Home::new();
    home.app("stubborn.sh", "stubborn.sh");
    home.app("stay.sh", "stay.sh");
    let mut fifo = home.fifo("fifo");
    let app = json!({
        "name": "a", "script": "./stubborn.sh", "min_uptime": 100, "kill_timeout": 200,
        "env": { "FIFO": fifo.path },
    });
    home.apply(&json!([app, stay("b")]));
    let told = (0..5).map(|_| {
        let line = fifo.line();
        let pid: u32 = line.split(' ').nth(1).and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("{line}"));
        assert!(procs::alive(pid), "{line}");
        (line, pid)
    });
    let tree = told.collect();
    (home, tree)
}

#[test]
fn stop_leaves_nothing_of_a_tree_that_ignores_signals_forks_and_changes_sessions() {
    for command in ["stop", "delete", "restart", "kill"] {
        let (home, tree) = stubborn();
        let target: &[&str] = if command == "kill" { &[] } else { &["a"] };
        home.ok(&[&[command], target].concat());
        for (line, pid) in tree {
            // `restart` answers when the new one is up; by then the old tree must be gone as well.
            assert!(!procs::alive(pid), "after `{command}`: {line}");
        }
        let left = match command {
            "restart" => 2,
            "kill" => 0,
            _ => 1,
        };
        assert_eq!(home.marked().len(), left, "after `{command}`");
    }
}

#[test]
fn nothing_is_left_of_such_a_tree_when_its_daemon_was_killed_in_between() {
    let (home, tree) = stubborn();
    home.lose_daemon();
    let b = home.pids()["b:0"];
    home.ok(&["stop", "a"]);
    for (line, pid) in tree {
        assert!(!procs::alive(pid), "{line}");
    }
    assert!(procs::alive(b));
}

#[test]
fn what_a_crash_left_behind_is_ended_with_the_next_stop() {
    let (home, tree) = stubborn();
    let root = tree.iter().find(|(line, _)| line.starts_with("root")).expect("it told").1;
    let bare = tree.iter().find(|(line, _)| line.starts_with("bare")).expect("it told").1;
    procs::signal(root, Signal::KILL);
    assert!(procs::wait_gone(root, SOON));
    home.ok(&["stop", "a"]);
    assert!(!procs::alive(bare));
}

#[test]
fn a_crash_of_the_first_process_takes_its_children_along() {
    let home = Home::new();
    home.write(
        "parent.sh",
        "#!/bin/sh\nsleep 100000 &\necho \"child $!\" >\"${FIFO}\"\necho \"root $$\" >\"${FIFO}\"\nwait\n",
    );
    let mut fifo = home.fifo("fifo");
    home.apply(&json!([{ "name": "a", "script": "./parent.sh", "min_uptime": 100, "env": { "FIFO": fifo.path } }]));
    let child = fifo.pid_of("child");
    let root = fifo.pid_of("root");
    procs::signal(root, Signal::KILL);
    let second = fifo.pid_of("child");
    assert_ne!(child, second);
    assert!(procs::wait_gone(child, SOON), "the old child still runs beside the new one");
}

#[test]
fn what_a_finished_process_leaves_goes_on_and_is_asked_to_end_like_any_other() {
    for command in ["stop", "delete", "restart", "kill"] {
        let home = Home::new();
        home.write(
            "serve.sh",
            // Starts nothing once it serves: what a shell forks while it is asked to end may miss the signal.
            "trap 'kill -9 $!; echo asked >\"${FIFO}\"; exit 0' TERM\n(trap '' TERM; exec sleep 100000) &\n\
             echo \"server $$\" >\"${FIFO}\"\nwait $!\n",
        );
        // As programs do that call daemon(3): one is in a session of its own, one is not.
        let lines =
            "#!/bin/sh\nsetsid sh serve.sh </dev/null >/dev/null 2>&1 &\nsh serve.sh </dev/null >/dev/null 2>&1 &\n";
        home.write("start.sh", lines);
        let mut fifo = home.fifo("fifo");
        let apps = json!([{
            "name": "a", "script": "./start.sh", "autorestart": false, "stop_signal": "SIGTERM", "kill_timeout": 600_000,
            "env": { "FIFO": fifo.path },
        }]);
        home.apply(&apps);
        let servers = [fifo.pid_of("server"), fifo.pid_of("server")];
        assert_eq!(home.state("a:0"), "completed");
        assert!(servers.into_iter().all(procs::alive));
        // Nor does another daemon mind.
        home.lose_daemon();
        home.apply(&apps).says("nothing to do");
        assert_eq!(home.state("a:0"), "completed");
        assert!(servers.into_iter().all(procs::alive), "{}", home.daemon_log());
        let target: &[&str] = if command == "kill" { &[] } else { &["a"] };
        home.ok(&[&[command], target].concat());
        for _ in 0..2 {
            fifo.line_of("asked");
        }
        // They are nobody's children any more, so somebody else takes their status.
        assert!(servers.into_iter().all(|pid| procs::wait_gone(pid, SOON)), "after `{command}`");
        // While somebody still reads what they say.
        home.ok(&["kill"]);
    }
}

#[test]
fn kill_timeout_is_given_before_sigkill() {
    let home = Home::new();
    // Ends in good order when asked to, if it is given the time to be answered.
    home.write(
        "graceful.sh",
        "#!/bin/sh\ntrap 'kill $!; echo asked >\"${FIFO}\"; read -r go <\"${GATE}\"; echo done >\"${FIFO}\"; exit 0' INT\n\
         echo up >\"${FIFO}\"\nwhile :; do sleep 100000 & wait $!; done\n",
    );
    let mut fifo = home.fifo("fifo");
    let gate = home.fifo("gate");
    home.apply(&json!([{
        "name": "a", "script": "./graceful.sh", "min_uptime": 100, "kill_timeout": 30000,
        "env": { "FIFO": fifo.path, "GATE": gate.path },
    }]));
    fifo.line_of("up");
    let (child, _, err) = home.start_command(&mut home.command(&["stop", "a"]));
    fifo.line_of("asked");
    assert_eq!(home.state("a:0"), "stopping");
    std::fs::write(&gate.path, "go\n").expect("write");
    fifo.line_of("done");
    let (status, _) = procs::finish(child);
    assert!(status.success(), "{}", std::fs::read_to_string(err).expect("stderr"));
    assert_eq!(home.state("a:0"), "stopped");
}

#[test]
fn what_is_suspended_is_woken_to_be_stopped() {
    let home = Home::new();
    home.write(
        "graceful.sh",
        "#!/bin/sh\ntrap 'kill $!; echo bye >\"${FIFO}\"; exit 0' INT\necho \"up $$\" >\"${FIFO}\"\n\
         while :; do sleep 100000 & wait $!; done\n",
    );
    let mut fifo = home.fifo("fifo");
    home.apply(&json!([{
        "name": "a", "script": "./graceful.sh", "min_uptime": 100, "kill_timeout": 30000, "env": { "FIFO": fifo.path },
    }]));
    procs::signal(fifo.pid_of("up"), rustix::process::Signal::STOP);
    let output = home.ok(&["stop", "a"]);
    assert!(output.took < Duration::from_secs(10), "{output}");
    assert_eq!(fifo.line(), "bye");
}

#[test]
fn another_stop_signal_and_the_shutdown_message() {
    let home = Home::new();
    home.write(
        "usr2.sh",
        "#!/bin/sh\ntrap '' INT TERM\ntrap 'kill -9 $!; echo usr2 >\"${FIFO}\"; exit 0' USR2\necho up >\"${FIFO}\"\n\
         while :; do sleep 100000 & wait $!; done\n",
    );
    let mut fifo = home.fifo("fifo");
    let env = json!({ "FIFO": fifo.path });
    let mut apps = vec![json!({
        "name": "usr2", "script": "./usr2.sh", "min_uptime": 100, "kill_timeout": 20000, "stop_signal": "SIGUSR2", "env": env,
    })];
    if needs_node() {
        home.write(
            "message.js",
            "const fs = require('fs');\nconst say = (text) => fs.writeFileSync(process.env.FIFO, text + '\\n');\n\
             process.on('SIGINT', () => {});\nprocess.on('message', (m) => { say('message ' + m); process.exit(0); });\n\
             say('up');\n",
        );
        apps.push(json!({
            "name": "message", "script": "./message.js", "min_uptime": 100, "kill_timeout": 20000,
            "shutdown_with_message": true, "env": env,
        }));
    }
    let count = apps.len();
    home.apply(&json!(apps));
    for _ in 0..count {
        fifo.line_of("up");
    }
    home.ok(&["stop", "usr2"]);
    assert_eq!(fifo.line(), "usr2");
    if count > 1 {
        home.ok(&["stop", "message"]);
        assert_eq!(fifo.line(), "message shutdown");
    }
}

#[test]
fn what_was_stopped_by_hand_stays_stopped_until_somebody_starts_it() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("a"), stay("b")]));
    home.ok(&["stop", "a"]);
    assert_eq!(home.state("a:0"), "stopped");
    assert_eq!(home.state("b:0"), "online");
    // It should run by the file, and does not: that is a change, and apply mends it.
    home.exits(2, &["diff", "eco.json"]).prints("a");
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.state("a:0"), "online");
}

#[test]
fn dependents_stop_before_what_they_need() {
    let home = Home::new();
    home.write(
        "tell.sh",
        "#!/bin/sh\ntrap 'kill $!; echo \"${PMRUN_INSTANCE}\" >\"${FIFO}\"; exit 0' INT\nwhile :; do sleep 100000 & wait $!; done\n",
    );
    let mut fifo = home.fifo("fifo");
    let app = |name: &str, needs: &[&str]| json!({ "name": name, "script": "./tell.sh", "min_uptime": 100, "depends_on": needs, "env": { "FIFO": fifo.path } });
    home.apply(&json!([app("db", &[]), app("api", &["db"]), app("web", &["api"])]));
    home.ok(&["stop", "all"]);
    assert_eq!(fifo.pending(), ["web:0", "api:0", "db:0"]);
}

#[test]
fn what_a_process_that_ended_by_itself_left_goes_with_the_next_stop() {
    for (end, rules) in [
        ("exit 0", json!({ "autorestart": false })),
        ("exit 1", json!({ "autorestart": false })),
        ("exit 1", json!({ "max_restarts": 2 })),
        ("exit 1", json!({ "restart_delay": 600_000 })),
    ] {
        for command in ["stop", "delete", "kill"] {
            let home = Home::new();
            home.app("stay.sh", "stay.sh");
            home.write(
                "leaves.sh",
                format!(
                    "#!/bin/sh\nenv -i FIFO=\"${{FIFO}}\" GATE=\"${{GATE}}\" setsid \\\n\
                     sh -c 'echo left $$ >\"${{FIFO}}\"; echo go >\"${{GATE}}\"; exec sleep 100000' >/dev/null 2>&1 &\n\
                     read -r go <\"${{GATE}}\"\n{end}\n"
                ),
            );
            let mut fifo = home.fifo("fifo");
            // So that it has said its pid before the first process ends.
            let gate = home.fifo("gate");
            let env = json!({ "FIFO": fifo.path, "GATE": gate.path });
            let mut app = json!({ "name": "a", "script": "./leaves.sh", "min_uptime": 60_000, "env": env });
            app.as_object_mut().expect("it is one").extend(rules.as_object().expect("it is one").clone());
            home.write_json("eco.json", &json!([app, stay("b")]));
            let _ = home.run(&["apply", "eco.json"]);
            let mut left = vec![fifo.pid_of("left")];
            if rules.get("max_restarts").is_some() {
                left.push(fifo.pid_of("left"));
            }
            let target: &[&str] = if command == "kill" { &[] } else { &["a"] };
            home.ok(&[&[command], target].concat());
            for pid in left {
                assert!(!procs::alive(pid), "`{command}` after `{end}` with {rules}");
            }
        }
    }
}
