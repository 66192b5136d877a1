//! What pmrun adds to lines, and that none is torn, glued or lost on the way: whoever is killed meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, needs_python, procs};

const BOUND: Duration = Duration::from_secs(30);

/// Asks until it holds; each question is a command of some milliseconds.
#[track_caller]
fn until(home: &Home, what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !holds() {
        assert!(Instant::now() < deadline, "waited for {what}{}", home.daemon_log());
        assert!(home.run(&["ping"]).code.is_some());
    }
}

fn shell_app(name: &str, line: &str) -> Value {
    json!({ "name": name, "script": "/bin/sh", "interpreter": "none", "args": ["-c", line], "min_uptime": 1 })
}

fn with(mut app: Value, options: &Value) -> Value {
    for (name, value) in options.as_object().expect("options") {
        app[name] = value.clone();
    }
    app
}

/// The process that lines pass through.
fn log_process(home: &Home) -> Option<u32> {
    let mut found =
        procs::of_folder(&home.folder).into_iter().filter(|pid| procs::command_line(*pid).contains("__log"));
    let first = found.next();
    assert!(found.next().is_none(), "two log processes at once");
    first
}

#[test]
fn times_records_and_both_streams_in_one_file() {
    let home = Home::new();
    let line = "printf 'one\\ntwo\\nno end'; printf 'wrong\\n' >&2; exec sleep 1000";
    home.apply(&json!([
        with(shell_app("t", line), &json!({ "log_date_format": "[at] YYYY" })),
        with(shell_app("j", line), &json!({ "log_type": "json", "log_file": "./all.log", "error_file": "NULL" })),
        with(shell_app("r", line), &json!({ "log_file": true, "out_file": "NULL", "error_file": "/dev/null" })),
        with(shell_app("d", line), &json!({ "time": true, "disable_logs": true })),
    ]));
    until(&home, "lines", || home.log("r-all.log").lines().count() == 3 && home.log("t-out.log").lines().count() == 2);
    let year = jiff_year();
    assert_eq!(home.log("t-out.log"), format!("at {year}: one\nat {year}: two\n"), "what has no end waits for it");
    assert_eq!(home.log("t-error.log"), format!("at {year}: wrong\n"));
    let all = || std::fs::read_to_string(home.work.join("all.log")).unwrap_or_default();
    until(&home, "records", || all().lines().count() == 3);
    let records: Vec<Value> = all().lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    let of = |stream: &str| -> Vec<&str> {
        records
            .iter()
            .filter(|record| record["type"] == stream)
            .filter_map(|record| record["message"].as_str())
            .collect()
    };
    assert_eq!((of("out"), of("err")), (vec!["one", "two"], vec!["wrong"]));
    let mut sequence: Vec<u64> = records.iter().filter_map(|record| record["sequence"].as_u64()).collect();
    sequence.sort_unstable();
    assert_eq!(sequence, [0, 1, 2]);
    assert!(records.iter().all(|record| record["app_name"] == "j" && record["process_id"] == 1));
    assert_eq!(home.log("j-out.log").lines().count(), 2);
    assert!(home.log("d-out.log").is_empty());
    // The tail comes when the app ends, and the log process is none of it.
    home.ok(&["stop", "all"]).never_shows("killed");
    until(&home, "the tail", || {
        home.log("t-out.log") == format!("at {year}: one\nat {year}: two\nat {year}: no end\n")
    });
    home.ok(&["logs", "r"]).prints("one").prints("wrong");
    until(&home, "its end", || log_process(&home).is_none());
}

#[test]
fn what_a_run_left_without_an_end_is_a_line_of_its_own() {
    let home = Home::new();
    let line = "printf 'Error: disk gone'; printf wrong >&2; exit 1";
    home.write_json(
        "eco.json",
        &json!([with(shell_app("e", line), &json!({ "max_restarts": 2, "min_uptime": 60_000 }))]),
    );
    home.exits(3, &["apply", "eco.json"]);
    until(&home, "two runs", || home.log("e-error.log").matches("wrong").count() >= 2);
    assert!(home.log("e-out.log").lines().all(|line| line == "Error: disk gone"), "{}", home.log("e-out.log"));
    assert!(home.log("e-error.log").lines().all(|line| line == "wrong"), "{}", home.log("e-error.log"));
}

fn jiff_year() -> String {
    let output = std::process::Command::new("date").args(["-u", "+%Y"]).output().expect("date");
    String::from_utf8(output.stdout).expect("a year").trim().to_owned()
}

/// Writes numbered lines to both streams until it is stopped.
const COUNTER: &str = "n=0; while :; do n=$((n+1)); echo \"out $n\"; echo \"err $n\" >&2; done";

/// All lines are there, once and in order; how many.
#[track_caller]
fn numbered(text: &str, word: &str) -> usize {
    let mut count = 0;
    for line in text.lines().map(|line| line.rsplit(": ").next().unwrap_or_default()) {
        count += 1;
        assert_eq!(line, format!("{word} {count}"));
    }
    count
}

#[test]
fn whoever_is_killed_the_app_lives_on_and_its_lines_arrive() {
    let mut home = Home::new();
    home.set_env("TZ", "Asia/Kolkata");
    home.apply(&json!([with(shell_app("c", COUNTER), &json!({ "log_date_format": "Z", "log_file": true }))]));
    let pid = home.pid("c:0");
    let lines = |home: &Home| home.log("c-out.log").lines().count();
    let grows = |home: &Home, what: &str| {
        let before = lines(home);
        until(home, what, || lines(home) > before + 1_000);
    };
    grows(&home, "first lines");
    let first = log_process(&home).expect("a log process");
    for round in ["daemon", "log process", "both"] {
        if round != "log process" {
            home.lose_daemon();
            if round == "daemon" {
                home.ok(&["resurrect"]);
            }
        }
        if round != "daemon" {
            let process = log_process(&home).expect("a log process");
            procs::signal(process, Signal::KILL);
            procs::wait_gone(process, BOUND);
        }
        if round == "both" {
            // Nobody reads: the app dies of it, and only then.
            break;
        }
        assert_eq!(home.pid("c:0"), pid, "{round}: the app lives on{}", home.daemon_log());
        if round == "daemon" {
            assert_eq!(log_process(&home), Some(first), "the daemon's successor has found it");
        }
        grows(&home, round);
        if round == "daemon" {
            // Up to here nothing may be missing; the one that is killed next takes what it has just read with it.
            let text = home.log("c-out.log");
            assert!(numbered(text.rsplit_once('\n').expect("lines").0, "out") > 1_000);
        }
    }
    home.ok(&["resurrect"]);
    home.ok(&["stop", "all"]);
    assert!(home.log("c-out.log").starts_with("+05:30: "), "TZ is the daemon's");
}

#[test]
fn what_was_written_arrives_once_and_in_order() {
    let home = Home::new();
    let line = "n=0; while [ $n -lt 20000 ]; do n=$((n+1)); echo \"out $n\"; echo \"err $n\" >&2; done";
    let once = json!({ "autorestart": false, "log_date_format": "HH:mm:ss.SSS", "log_file": true });
    home.apply(&json!([with(shell_app("c", line), &once)]));
    home.until_state("c:0", "completed");
    until(&home, "all lines", || home.log("c-all.log").lines().count() >= 40_000);
    assert_eq!(numbered(&home.log("c-out.log"), "out"), 20_000);
    assert_eq!(numbered(&home.log("c-error.log"), "err"), 20_000);
    let all = home.log("c-all.log");
    let of = |word: &str| all.lines().filter(|line| line.contains(word)).collect::<Vec<_>>().join("\n");
    assert_eq!((numbered(&of(": out "), "out"), numbered(&of(": err "), "err")), (20_000, 20_000));
    assert!(all.lines().all(|line| line.len() > 14 && line.as_bytes()[12] == b':'), "nothing is glued");
}

#[test]
fn instances_that_share_a_file_do_not_tear_each_others_lines() {
    let home = Home::new();
    let line = "n=0; while [ $n -lt 5000 ]; do n=$((n+1)); echo \"of $NODE_APP_INSTANCE $n\"; done";
    let shared = json!({ "instances": 4, "merge_logs": true, "autorestart": false, "time": true });
    home.apply(&json!([with(shell_app("m", line), &shared)]));
    until(&home, "all lines", || home.log("m-out.log").lines().count() >= 20_000);
    let text = home.log("m-out.log");
    for slot in 0..4 {
        let word = format!("of {slot}");
        let of: Vec<&str> = text.lines().filter(|line| line.contains(&format!(": {word} "))).collect();
        assert_eq!(numbered(&of.join("\n"), &word), 5_000);
    }
}

#[test]
fn an_endless_line_goes_out_in_pieces_and_nothing_grows() {
    let home = Home::new();
    let line = "head -c 20000000 /dev/zero | tr '\\0' x; exec sleep 1000";
    home.apply(&json!([with(shell_app("e", line), &json!({ "time": true, "log_max_size": 0 }))]));
    let text = || home.log("e-out.log");
    until(&home, "most of it", || text().len() > 19_900_000);
    let process = log_process(&home).expect("a log process");
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM").trim();
    let peak: u64 = peak.trim_end_matches(" kB").parse().expect("kB");
    assert!(peak < 200_000, "{peak} kB");
    assert!(text().lines().all(|line| line.len() < 140_000));
    home.ok(&["stop", "all"]);
    let written = || -> usize { text().lines().filter_map(|line| Some(line.split_once(": ")?.1.len())).sum() };
    until(&home, "all of it", || written() == 20_000_000);
}

#[test]
fn what_fails_to_start_leaves_nothing_over() {
    let home = Home::new();
    let app = json!({ "name": "f", "script": "/bin/sh", "interpreter": "none", "time": true, "max_restarts": 1 });
    let mut app = app;
    app["args"] = json!(["-c", "exec /no/such/program"]);
    home.write_json("eco.json", &json!([app]));
    home.exits(3, &["apply", "eco.json"]).says("not found");
    until(&home, "the log process to end", || log_process(&home).is_none());
    let daemon = home.daemon().expect("a daemon");
    let pipes = std::fs::read_dir(format!("/proc/{daemon}/fd"))
        .expect("fds")
        .flatten()
        .filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|link| link.to_string_lossy().starts_with("pipe:")));
    assert_eq!(pipes.count(), 0);
}

#[test]
fn the_log_process_holds_nothing_of_the_daemons() {
    let home = Home::new();
    home.apply(&json!([with(shell_app("a", "echo; exec sleep 1000"), &json!({ "time": true }))]));
    let process = log_process(&home).expect("a log process");
    until(&home, "a line", || home.log("a-out.log").ends_with(": \n"));
    let links: Vec<String> = std::fs::read_dir(format!("/proc/{process}/fd"))
        .expect("fds")
        .flatten()
        .filter_map(|fd| Some(std::fs::read_link(fd.path()).ok()?.to_string_lossy().into_owned()))
        .collect();
    let known = |link: &str| {
        link == "/dev/null"
            || link.starts_with("pipe:")
            || link.starts_with("anon_inode:[eventpoll]")
            || link.ends_with("/pmrun.log")
            || link.ends_with("/logs/a-out.log")
    };
    let others: Vec<&String> = links.iter().filter(|link| !known(link)).collect();
    // Where daemons come to, and the one that has come.
    assert!(others.len() == 2 && others.iter().all(|link| link.starts_with("socket:")), "{links:?}");
    let environ = procs::environ(process);
    assert!(environ.keys().all(|name| ["PMRUN_HOME", "TZ", "TZDIR"].contains(&name.as_str())), "{environ:?}");
    let app = home.pid("a:0");
    let app_fds = std::fs::read_dir(format!("/proc/{app}/fd")).expect("fds").count();
    assert_eq!(app_fds, 3, "the app has its three");
}

/// Rotated files of a log by number; of those that are not compressed, how many there are.
fn rotated_files(home: &Home, name: &str) -> (BTreeMap<u64, PathBuf>, usize) {
    let entries = std::fs::read_dir(home.folder.join("logs")).expect("logs").flatten();
    let mut plain = 0;
    let files = entries.filter_map(|entry| {
        let file = entry.file_name().into_string().ok()?;
        let number = file.strip_prefix(name)?.strip_prefix('.')?;
        plain += usize::from(number.strip_suffix(".gz").is_none());
        Some((number.trim_end_matches(".gz").trim_end_matches(".part").parse().ok()?, entry.path()))
    });
    (files.collect(), plain)
}

/// A log and all that was rotated out of it, the oldest first; none while that is going on.
fn whole_log(home: &Home, name: &str) -> Option<String> {
    let (files, plain) = rotated_files(home, name);
    let mut text = String::new();
    for path in files.values().filter(|_| plain <= 1) {
        let bytes = std::fs::read(path).ok()?;
        if path.extension().is_some_and(|extension| extension == "gz") {
            let mut decoder = flate2::read::GzDecoder::new(bytes.as_slice());
            std::io::Read::read_to_string(&mut decoder, &mut text).ok()?;
        } else {
            text.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
        }
    }
    (plain <= 1).then(|| text + &home.log(name))
}

/// By hand with `PMRUN_TEST_LINES=1250000 PMRUN_TEST_PAUSE=0`: five million at full speed.
fn every_line_arrives_while_logs_are_rotated(options: &Value) {
    if !needs_python() {
        return;
    }
    let home = Home::new();
    home.app("lines.py", "lines.py");
    let gate = home.write("gate", "");
    std::fs::remove_file(&gate).expect("removed");
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, 0o600.into()).expect("a pipe");
    let variable = |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.to_owned());
    let lines = variable("PMRUN_TEST_LINES", "60000");
    let app = json!({
        "name": "l", "script": "lines.py", "autorestart": false, "log_max_size": "300K", "log_retain": 10_000,
        "env": { "LINES": lines, "PAUSE": variable("PMRUN_TEST_PAUSE", "0.001"), "GATE": gate }, "min_uptime": 1,
    });
    home.apply(&json!([with(app, options)]));
    // It begins to write when it is followed: else it may be done before.
    let (mut follower, out, _) = home.start_command(&mut home.command(&["logs", "l", "-f", "--out", "--lines", "1"]));
    until(&home, "the follower", || {
        std::fs::read_to_string(&out).is_ok_and(|out| out.ends_with("waits 1 of some length, as lines have\n"))
    });
    let begun = Instant::now();
    std::fs::write(&gate, "").expect("it waits");
    home.until_state_within("l:0", "completed", Duration::from_mins(5));
    let took = begun.elapsed();
    let lines: usize = lines.parse().expect("a number");
    let is_blank = |line: &str| !line.is_empty() && line.bytes().all(|byte| byte == b' ');
    let text = std::cell::RefCell::new(String::new());
    until(&home, "all lines to be in the log, and rotated", || {
        if home.log("l-out.log").len() > 300 << 10 {
            return false;
        }
        *text.borrow_mut() = whole_log(&home, "l-out.log").unwrap_or_default();
        text.borrow().lines().filter(|line| !is_blank(line)).count() > 4 * lines
    });
    let text = text.into_inner();
    let rotated = rotated_files(&home, "l-out.log").0.len();
    assert!(rotated > 4, "{rotated} files");
    let mut counts = BTreeMap::<&str, usize>::new();
    for line in text.lines().filter(|line| !is_blank(line)) {
        let own = line.rsplit_once(": ").map_or(line, |(_, own)| own);
        let (name, rest) = own.split_once(' ').unwrap_or_else(|| panic!("torn: {line:?}"));
        let count = counts.entry(name).or_default();
        *count += 1;
        assert_eq!(rest, format!("{count} of some length, as lines have"), "{line:?}");
    }
    assert_eq!(counts.remove("waits"), Some(1));
    assert_eq!(counts, ["a", "b", "c", "d"].into_iter().map(|name| (name, lines)).collect());
    let last = text.lines().last().expect("a line").to_owned();
    // Half a character may be there already.
    let seen = || String::from_utf8_lossy(&std::fs::read(&out).expect("what it printed")).into_owned();
    let deadline = Instant::now() + BOUND;
    while seen().lines().last() != Some(last.as_str()) {
        let out = seen();
        let got = (out.lines().count(), out.lines().last().map(str::to_owned));
        assert!(Instant::now() < deadline, "the follower got to {got:?}, not to {last:?}{}", home.daemon_log());
        assert!(home.run(&["ping"]).code.is_some());
    }
    let _ = follower.kill();
    procs::finish(follower);
    let followed = std::fs::read_to_string(&out).expect("what it printed");
    let begin = followed.lines().next().expect("a line");
    let from = text.find(&format!("{begin}\n")).expect("a line of the log");
    let want = text[from..].lines().filter(|line| !is_blank(line));
    let differs = followed.lines().zip(want.clone()).enumerate().find(|(_, (got, want))| got != want);
    assert_eq!(differs, None, "the follower got every line once");
    assert_eq!(followed.lines().count(), want.count(), "the follower got every line once");
    let mb = f64::from(u32::try_from(text.len() >> 10).expect("size")) / 1024.0;
    let figures = format!("{} lines, {mb:.0} MB, {rotated} files, {:.1} s\n", 4 * lines, took.as_secs_f64());
    // Not through the test's captured output: it is what a run by hand is for.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), figures.as_bytes());
}

#[test]
fn every_line_arrives_while_the_app_writes_its_file_itself() {
    every_line_arrives_while_logs_are_rotated(&json!({}));
}

#[test]
fn every_line_arrives_while_lines_pass_through() {
    every_line_arrives_while_logs_are_rotated(&json!({ "log_date_format": "HH:mm:ss.SSS" }));
}

#[test]
fn a_new_size_holds_from_now_on() {
    let home = Home::new();
    let mut app = shell_app("a", "head -c 200000 /dev/zero | tr '\\0' '\\n'; exec sleep 1000");
    home.apply(&json!([app]));
    let pid = home.pid("a:0");
    app["log_max_size"] = json!("50K");
    home.apply(&json!([app])).prints("~ a").never_shows("restart");
    assert_eq!(home.pid("a:0"), pid);
    until(&home, "rotation", || home.log("a-out.log").len() < 10_000);
    until(&home, "all of it", || whole_log(&home, "a-out.log").is_some_and(|text| text.len() == 200_000));
}

/// Behind its last line: what it leaves is as it was, or done.
#[test]
fn kill_leaves_nobody_at_work_on_the_logs() {
    let home = Home::new();
    let line = "yes 'a line that is written over and over' | head -c 40000000; exec sleep 1000";
    home.apply(&json!([with(shell_app("a", line), &json!({ "time": true, "log_max_size": "8M", "log_retain": 100 }))]));
    until(&home, "rotation", || rotated_files(&home, "a-out.log").0.len() > 2);
    home.ok(&["kill"]);
    assert_eq!(log_process(&home), None, "{}", home.daemon_log());
    let names = |home: &Home| -> Vec<String> {
        let entries = std::fs::read_dir(home.folder.join("logs")).expect("logs").flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    assert!(names(&home).iter().all(|name| !name.ends_with(".gz.part")), "{:?}", names(&home));
    // What was not compressed yet is when its app is started again, and so is what somebody was killed in the midst of.
    let part = home.folder.join("logs/a-out.log.1.gz.part");
    std::fs::write(&part, "half").expect("write");
    let is_piece = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(&part, "user.pmrun.from", b"0", is_piece).is_err() {
        return;
    }
    home.apply(&json!([with(shell_app("a", "exec sleep 1000"), &json!({ "time": true, "log_retain": 100 }))]));
    until(&home, "what was left to be done", || {
        let plain = |name: &str| name.rsplit('.').next().is_some_and(|number| number.parse::<u64>().is_ok());
        !part.exists() && names(&home).iter().filter(|name| plain(name)).count() <= 1
    });
}

#[test]
fn numbers_of_records_go_on_over_restarts_of_everything() {
    let home = Home::new();
    let app = with(shell_app("j", "echo one; echo two >&2; exec sleep 1000"), &json!({ "log_type": "json" }));
    home.apply(&json!([app]));
    let numbers = |home: &Home| -> Vec<u64> {
        let text = home.log("j-out.log") + &home.log("j-error.log");
        let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut numbers: Vec<u64> = records.filter_map(|record| record["sequence"].as_u64()).collect();
        numbers.sort_unstable();
        numbers
    };
    until(&home, "two", || numbers(&home) == [0, 1]);
    home.ok(&["restart", "j"]);
    until(&home, "four", || numbers(&home) == [0, 1, 2, 3]);
    home.ok(&["kill"]);
    home.apply(&json!([app]));
    until(&home, "six", || numbers(&home) == [0, 1, 2, 3, 4, 5]);
    home.lose_daemon();
    let process = log_process(&home).expect("a log process");
    procs::signal(process, Signal::KILL);
    procs::wait_gone(process, BOUND);
    home.ok(&["resurrect"]);
    home.ok(&["restart", "j"]);
    until(&home, "eight", || numbers(&home) == [0, 1, 2, 3, 4, 5, 6, 7]);
    // What is shown is found, not only as it is written there.
    let app = with(shell_app("q", "echo 'say \"hi\" 39'; exec sleep 1000"), &json!({ "log_type": "json" }));
    home.apply(&json!([app]));
    home.until("it wrote", |_| home.log("q-out.log").contains("39"));
    for grep in ["say \"hi\"", "39$"] {
        home.ok(&["logs", "q", "--nostream", "--json", "--grep", grep]).prints("say");
    }
}
