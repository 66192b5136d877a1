//! `logs`, `flush` and `reloadLogs`: what was written is found, whatever became of its files.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Fifo, Home, procs, stay};

const BOUND: Duration = Duration::from_secs(30);

/// Asks until it holds; each question is a command of some milliseconds.
#[track_caller]
fn until(home: &Home, what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < deadline, "waited for {what}{}", home.daemon_log());
        assert!(home.run(&["version"]).code.is_some());
    }
}

/// Prints what is written to its fifo.
fn echo(home: &Home, name: &str, options: &Value) -> (Value, Fifo) {
    home.write("echo.sh", "#!/bin/sh\nwhile :; do read -r line <\"${GATE}\" && echo \"${line}\"; done\n");
    let gate = home.fifo(&format!("{name}-gate"));
    let mut app = stay(name);
    (app["script"], app["env"]) = (json!("./echo.sh"), json!({ "GATE": gate.path }));
    for (name, value) in options.as_object().expect("options") {
        app[name] = value.clone();
    }
    (app, gate)
}

#[track_caller]
fn say(gate: &Fifo, line: &str) {
    std::fs::write(&gate.path, format!("{line}\n")).expect("write");
}

fn log_path(home: &Home, name: &str) -> PathBuf {
    home.folder.join("logs").join(name)
}

/// Has it begun to follow so many logs?
fn follows(follower: u32, logs: usize) -> bool {
    let fds = std::fs::read_dir(format!("/proc/{follower}/fd")).into_iter().flatten().flatten();
    fds.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| link.to_string_lossy().ends_with(".log"))).count()
        == logs
}

/// Stopped apps whose logs hold what the test has put there.
fn written() -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let with = |name: &str, options: Value| {
        let mut app = stay(name);
        for (name, value) in options.as_object().expect("options") {
            app[name] = value.clone();
        }
        app
    };
    home.apply(&json!([
        with("api", json!({ "log_date_format": "YYYY-MM-DD HH:mm:ss Z", "namespace": "shop" })),
        with("db", json!({ "log_type": "json", "namespace": "shop" })),
        with("raw", json!({})),
    ]));
    home.ok(&["kill"]);
    let put = |name: &str, text: &str| std::fs::write(log_path(&home, name), text).expect("write");
    put("api-out.log", "2026-11-01 10:00:00 +00:00: one\n2026-11-01 10:00:04 +00:00: four\n");
    put("api-error.log", "2026-11-01 10:00:02 +00:00: two GET /x\n");
    let record = |second: u32, message: &str, stream: &str| {
        format!(
            "{}\n",
            json!({ "message": message, "timestamp": format!("2026-11-01T10:00:0{second}.500Z"), "type": stream, "process_id": 1, "app_name": "db", "sequence": second })
        )
    };
    put("db-out.log", &(record(1, "rec \"1\"", "out") + &record(3, "rec 3", "out")));
    put("db-error.log", "");
    put("raw-out.log", "r1\nr2\nr3\n");
    put("raw-error.log", "e1\n");
    home
}

#[test]
fn logs_are_chosen_by_target_time_and_text_and_merged() {
    let home = written();
    let out = |args: &[&str]| home.ok(&[&["logs", "--nostream"], args].concat()).stdout;
    let merged = out(&["shop"]);
    let order: Vec<&str> = ["one", "rec \\\"1\\\"", "two", "rec 3", "four"].into();
    let places: Vec<usize> = order.iter().map(|word| merged.find(word).expect(word)).collect();
    assert!(places.is_sorted() && merged.lines().count() == 5, "{merged}");
    assert!(merged.starts_with("api | 2026-11-01 10:00:00 +00:00: one\ndb  | {"), "{merged}");
    assert_eq!(out(&["api", "--out", "--grep", "f.ur"]), "2026-11-01 10:00:04 +00:00: four\n");
    assert_eq!(out(&["/^d/", "--since", "2026-11-01T10:00:02Z", "--out"]).lines().count(), 1);
    assert_eq!(out(&["shop", "--until", "2026-11-01T10:00:02Z"]).lines().count(), 3);
    assert_eq!(out(&["shop", "--since", "10m"]), "");
    assert_eq!(out(&["raw", "--out", "--lines", "2"]), "r2\nr3\n");
    assert_eq!(out(&["raw", "--grep", "r[12]", "-n", "1"]), "raw | r2\n");
    assert_eq!(out(&["api:0", "0"]).lines().count(), 3);
    home.exits(1, &["logs", "apo"]).says("nothing is called `apo`").says("did you mean `api`?");
    home.exits(64, &["logs", "--since", "soon"]).says("not a time");
    home.exits(64, &["logs", "--grep", "("]).says("--grep");
    // Nothing is guessed: what bears no times is shown, and that is said.
    let raw = home.ok(&["logs", "raw", "api", "--since", "2026-11-01T10:00:01Z", "--until", "2026-11-01T10:00:03Z"]);
    raw.says("lines of `raw` do not say when they were written")
        .prints("raw | r3")
        .prints("two GET")
        .never_shows("four");
    let old: std::time::SystemTime = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = std::fs::File::options().append(true).open(log_path(&home, "raw-out.log")).expect("open");
    file.set_modified(old).expect("set");
    assert_eq!(out(&["raw", "--since", "1h"]), "e1\n".replace("e1", "raw | e1"));
}

#[test]
fn lines_are_printed_for_programs_and_for_people() {
    let home = written();
    let json = home.ok(&["logs", "all", "--json"]);
    let lines: Vec<Value> = json.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let line = |message: &str| lines.iter().find(|line| line["message"] == message).expect("a line").clone();
    assert_eq!(
        line("two GET /x"),
        json!({
            "message": "two GET /x", "timestamp": "2026-11-01T10:00:02.000Z", "timestamp_from": "line", "type": "err",
            "process_id": 0, "app_name": "api", "namespace": "shop",
        })
    );
    let record = line("rec \"1\"");
    assert_eq!((&record["timestamp"], &record["process_id"]), (&json!("2026-11-01T10:00:01.500Z"), &json!(1)));
    let raw = line("r1");
    assert_eq!((&raw["timestamp"], &raw["timestamp_from"], &raw["type"]), (&json!(null), &json!(null), &json!("out")));
    let mut utc = home;
    utc.set_env("TZ", "Asia/Kolkata");
    let keys = utc.ok(&["logs", "--format"]);
    keys.prints("timestamp=2026-11-01-15:30:02+0530 app=api id=0 type=error message=two GET /x\n");
    keys.prints("timestamp=- app=raw id=2 type=out message=r1\n");
    let timed = utc.ok(&["logs", "--timestamp", "HH:mm:ss"]);
    timed.prints("15:30:02 api | two GET /x\n").prints("-------- raw | r1\n");
    utc.ok(&["logs", "api", "--timestamp"]).prints("2026-11-01-15:30:00 api | one\n");
    utc.exits(64, &["logs", "--timestamp", "web"]).says("targets come first");
    let bare = utc.ok(&["logs", "raw", "--raw"]);
    assert_eq!((bare.stdout.as_str(), bare.stderr.as_str()), ("r1\nr2\nr3\n", "e1\n"));
    // What is left out is said, wherever the line does not say it.
    let length = (1 << 20) + 7;
    std::fs::write(log_path(&utc, "raw-out.log"), "x".repeat(length) + "\n").expect("write");
    let cut = utc.ok(&["logs", "raw", "--raw", "--out"]);
    cut.says("`raw` wrote lines longer than 1 MiB: their rest is only in its log file");
    assert_eq!(cut.stdout.len(), (1 << 20) + 1);
    utc.ok(&["logs", "raw", "--out"]).prints("x [7 bytes cut]\n");
    std::fs::write(log_path(&utc, "raw-out.log"), "r1\nr2\nr3\n").expect("write");
    // No colours where nobody looks.
    utc.ok(&["logs", "raw", "--highlight", "r2"]).prints("r2").never_shows("\u{1b}");
    let mut command = utc.command(&["logs", "raw", "--nostream", "--out", "--highlight", "2"]);
    command.env("TERM", "xterm");
    let (_, shown, _) = crate::support::Pty::start(command, 80, 24).finish();
    assert!(shown.contains("r\u{1b}[100m2\u{1b}[49m"), "{shown:?}");
    let mut command = utc.command(&["logs", "raw", "--nostream", "--out", "--highlight", "2"]);
    command.env("TERM", "xterm").env("NO_COLOR", "1");
    let (_, shown, _) = crate::support::Pty::start(command, 80, 24).finish();
    assert!(shown.contains("r2") && !shown.contains("[100m"), "{shown:?}");
}

#[test]
fn who_does_not_listen_any_more_is_not_waited_for() {
    let home = written();
    let mut command = home.command(&["logs", "raw", "-f", "--out"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = procs::spawn(&mut command).expect("spawn");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("UTF-8"), "r1");
    // Nothing is written meanwhile.
    drop(lines);
    let (status, stderr) = procs::finish(child);
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn many_logs_are_followed_by_one_thread_and_new_ones_too() {
    let home = Home::new();
    let gates: Vec<(Value, Fifo)> = (0..50)
        .map(|number| {
            let timed = if number % 2 == 0 { json!({}) } else { json!({ "time": true }) };
            echo(&home, &format!("app{number}"), &timed)
        })
        .collect();
    let apps: Vec<&Value> = gates.iter().map(|(app, _)| app).collect();
    home.apply(&json!(apps));
    let (mut follower, out, _) = home.start_command(&mut home.command(&["logs", "-f", "--lines", "0", "--json"]));
    let shown = || std::fs::read_to_string(&out).unwrap_or_default();
    until(&home, "the follower", || follows(follower.id(), 100));
    for (number, (_, gate)) in gates.iter().enumerate() {
        say(gate, &format!("hello {number}"));
    }
    until(&home, "all of them", || (0..50).all(|number| shown().contains(&format!("\"hello {number}\""))));
    for line in shown().lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert!(line["timestamp"].is_string(), "{line}");
        let from = line["timestamp_from"].as_str().expect("a word");
        let odd = line["app_name"].as_str().is_some_and(|name| name.ends_with(['1', '3', '5', '7', '9']));
        assert_eq!(from == "line", odd, "{line}");
    }
    let count = |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", follower.id())).expect("it runs").count();
    assert_eq!(count("task"), 1);
    assert!(count("fd") <= 50 * 2 + 8, "{}", count("fd"));
    // Another app comes, and is followed, too.
    let (late, gate) = echo(&home, "late", &json!({}));
    home.write_json("late.json", &json!({ "name": "late", "apps": [late] }));
    home.ok(&["apply", "late.json"]);
    say(&gate, "here I am");
    until(&home, "the new one", || shown().contains("\"here I am\""));
    follower.kill().expect("kill");
    procs::finish(follower);
}

#[test]
fn flush_empties_what_is_written_to_and_what_was_rotated() {
    let home = Home::new();
    let (mut raw, to_raw) = echo(&home, "raw", &json!({ "log_compress": false }));
    let (timed, to_timed) =
        echo(&home, "timed", &json!({ "time": true, "log_max_size": "20K", "log_compress": false }));
    home.apply(&json!([raw, timed]));
    raw["log_max_size"] = json!("20K");
    let (mut follower, out, _) = home.start_command(&mut home.command(&["logs", "-f", "--lines", "0", "--out"]));
    until(&home, "the follower", || follows(follower.id(), 2));
    let pids = home.pids();
    let long = "x".repeat(30_000);
    for gate in [&to_raw, &to_timed] {
        say(gate, &long);
        say(gate, &long);
        say(gate, "before");
    }
    let rotated = |name: &str| log_path(&home, &format!("{name}-out.log.1")).exists();
    // A new size is looked at soon; otherwise what hardly grows has half a minute.
    until(&home, "what was written", || home.log("raw-out.log").ends_with("before\n"));
    home.apply(&json!([raw, timed]));
    until(&home, "rotation", || rotated("raw") && rotated("timed"));
    until(&home, "all lines", || home.ok(&["logs", "timed", "--lines", "9"]).stdout.contains("before"));
    home.ok(&["logs", "timed", "--lines", "9"]).prints("xxx");
    home.ok(&["flush", "timed"]).says("flushed: 2 logs, 58.");
    assert!(rotated("raw"), "it was not asked for");
    assert!(!rotated("timed"));
    assert_eq!(home.log("timed-out.log"), "");
    home.ok(&["flush"]).says("flushed: 4 logs");
    assert!(!rotated("raw") && home.log("raw-out.log").is_empty());
    assert_eq!(home.ok(&["logs", "--nostream"]).stdout, "");
    say(&to_raw, "after raw");
    say(&to_timed, "after timed");
    until(&home, "what came after", || {
        home.log("raw-out.log") == "after raw\n" && !home.log("timed-out.log").is_empty()
    });
    assert!(home.log("timed-out.log").ends_with(": after timed\n") && home.log("timed-out.log").lines().count() == 1);
    let shown = || std::fs::read_to_string(&out).unwrap_or_default();
    until(&home, "the follower", || shown().contains("after raw\n") && shown().contains("after timed\n"));
    assert_eq!(home.pids(), pids, "nothing was restarted");
    follower.kill().expect("kill");
    procs::finish(follower);
    home.exits(1, &["flush", "tamed"]).says("did you mean `timed`?");
    home.ok(&["kill"]);
    home.ok(&["flush", "raw"]).says("flushed: 2 logs, 10B");
    // Nobody else's file is emptied by a link.
    let precious = home.write("precious", "precious");
    std::fs::remove_file(log_path(&home, "raw-out.log")).expect("remove");
    std::os::unix::fs::symlink("/dev/null", log_path(&home, "raw-out.log")).expect("a link");
    home.ok(&["flush", "raw"]);
    assert_eq!(std::fs::read_to_string(precious).expect("it is there"), "precious");
}

#[test]
fn files_that_were_moved_away_are_opened_anew_or_named() {
    let home = Home::new();
    let (raw, to_raw) = echo(&home, "raw", &json!({}));
    let (timed, to_timed) = echo(&home, "timed", &json!({ "time": true }));
    home.apply(&json!([timed]));
    say(&to_timed, "one");
    until(&home, "a line", || home.log("timed-out.log").contains("one"));
    home.ok(&["reloadLogs"]).says("reloaded: the log process has opened 0 files anew");
    let (log, moved) = (log_path(&home, "timed-out.log"), log_path(&home, "timed-old"));
    std::fs::rename(&log, &moved).expect("rename");
    home.ok(&["reload-logs"]).says("has opened 1 file anew");
    assert!(log.exists());
    say(&to_timed, "two");
    until(&home, "the next line", || home.log("timed-out.log").contains("two"));
    assert!(!home.log("timed-old").contains("two"));

    home.apply(&json!([raw]));
    home.ok(&["reloadLogs"]).says("1 instance writes their logs themselves").never_shows("still");
    let (log, moved) = (log_path(&home, "raw-out.log"), log_path(&home, "raw-old"));
    std::fs::rename(&log, &moved).expect("rename");
    let still = format!("`raw:0` still writes to `{}`, which was `{}`", moved.display(), log.display());
    home.exits(1, &["reloadLogs"]).says(&still).says("copytruncate");
    home.ok(&["restart", "raw"]);
    home.ok(&["reloadLogs"]);
    say(&to_raw, "three");
    until(&home, "the line", || home.log("raw-out.log") == "three\n");
    home.ok(&["logs", "raw", "--nostream"]).never_shows("removed");
    std::fs::remove_file(log_path(&home, "raw-out.log")).expect("remove");
    home.ok(&["logs", "raw", "--nostream"]).says("raw-out.log`, which was removed");
    home.ok(&["restart", "raw"]);
    let (log, moved) = (home.folder.join("logs/raw-out.log"), home.folder.join("logs/moved.log"));
    std::fs::rename(&log, &moved).expect("it is there");
    home.ok(&["logs", "raw", "--nostream"]).says("moved.log`, which was").says("until it is restarted");
    std::fs::remove_file(&moved).expect("it is there");
    home.ok(&["logs", "raw", "--nostream"]).says("raw-out.log`, which was removed");
}

#[test]
fn the_log_process_rotates_what_it_writes_with_no_daemon_too() {
    let home = Home::new();
    let (app, gate) = echo(&home, "a", &json!({ "log_file": true, "log_max_size": "20K" }));
    home.apply(&json!([app]));
    let inode = |name: &str| std::os::unix::fs::MetadataExt::ino(&log_path(&home, name).metadata().expect(name));
    say(&gate, "first");
    until(&home, "a line", || home.log("a-all.log") == "first\n");
    let first = inode("a-out.log");
    home.lose_daemon();
    let long = "y".repeat(25_000);
    let rotated = |name: &str| log_path(&home, name).exists();
    for number in 1..=3 {
        say(&gate, &long);
        let names = [format!("a-out.log.{number}"), format!("a-all.log.{number}")];
        until(&home, "rotation", || names.iter().all(|name| rotated(name)));
        if number == 1 {
            assert_eq!(inode("a-out.log.1"), first, "it was renamed");
        }
    }
    until(&home, "compression", || rotated("a-out.log.1.gz") && rotated("a-out.log.2.gz"));
    assert_eq!(home.log("a-out.log"), "");
    say(&gate, "last");
    until(&home, "the last line", || home.log("a-all.log") == "last\n");
    // Read back, with no daemon.
    let all = home.ok(&["logs", "a", "--out", "--lines", "9"]).stdout;
    assert_eq!(all, format!("first\n{long}\n{long}\n{long}\nlast\n"));
    assert!(home.daemon().is_none());
    home.ok(&["resurrect"]);
}
