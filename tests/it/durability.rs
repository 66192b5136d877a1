//! What should run is durable: the daemon, a command, or a connection may end at any moment.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Fifo, Home, Instance, fill, needs_root, procs, small_disk, stay};

const SOON: Duration = Duration::from_secs(30);

fn two() -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut b = stay("b");
    b["instances"] = json!(2);
    home.apply(&json!([stay("a"), b]));
    home
}

/// Each instance has one process, the one that `list` shows.
#[track_caller]
fn one_process_each(home: &Home) {
    let pids = home.pids();
    for (instance, marked) in home.marked() {
        assert_eq!(Some(&marked[0]), pids.get(&instance), "{instance}: {pids:?}");
        assert_eq!(marked.len(), 1, "{instance} has {marked:?}");
    }
    assert_eq!(home.marked().len(), pids.len());
}

#[test]
fn kill_stops_everything_and_apps_stay_known_as_stopped_by_hand() {
    let home = two();
    let pids = home.pids();
    home.ok(&["kill"]);
    assert!(pids.values().all(|pid| !procs::alive(*pid)));
    assert_eq!(home.list().iter().map(Instance::state).collect::<Vec<_>>(), ["stopped"; 3]);
    // A command that needs the daemon brings it back, not the apps.
    home.ok(&["stop", "a"]);
    assert!(home.pids().is_empty());
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids().len(), 3);
    home.ok(&["kill"]);
    home.ok(&["resurrect"]);
    assert_eq!(home.pids().len(), 3);
    home.exits(0, &["diff", "eco.json"]);
}

#[test]
fn resurrect_starts_what_kill_ended_and_nothing_that_was_stopped() {
    let home = two();
    home.ok(&["stop", "a"]);
    for _ in 0..2 {
        home.ok(&["kill"]);
        home.ok(&["resurrect"]);
        assert_eq!(home.state("a:0"), "stopped");
        assert_eq!(home.pids().keys().collect::<Vec<_>>(), ["b:0", "b:1"]);
    }
    home.ok(&["start", "all"]);
    assert_eq!(home.pids().len(), 3);
}

#[test]
fn what_a_killed_daemon_left_is_shown_as_it_is_and_ended_by_kill() {
    let home = two();
    let pids = home.pids();
    home.lose_daemon();
    // Read-only commands see what runs, and start nothing.
    assert_eq!(home.pids(), pids);
    home.exits(0, &["diff", "eco.json"]);
    assert_eq!(home.daemon(), None);
    home.ok(&["kill"]);
    assert!(pids.values().all(|pid| !procs::alive(*pid)));
    assert_eq!(home.list().iter().map(Instance::state).collect::<Vec<_>>(), ["stopped"; 3]);
    home.exits(2, &["diff", "eco.json"]);
}

#[test]
fn a_lost_pid_file_makes_no_difference_to_what_runs() {
    let home = two();
    let pids = home.pids();
    home.lose_daemon();
    std::fs::remove_dir_all(home.folder.join("pids")).expect("there are some");
    assert_eq!(home.pids(), pids, "without a daemon");
    home.exits(0, &["diff", "eco.json"]);
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids(), pids, "taken over");
    one_process_each(&home);
}

#[test]
fn a_daemon_that_was_killed_is_restored_by_the_next_command_never_two_copies() {
    let home = two();
    home.ok(&["stop", "a"]);
    let before = home.pids();
    for _ in 0..3 {
        home.lose_daemon();
        home.ok(&["apply", "eco.json", "--only", "b"]);
        home.until("both to be up", |list| {
            list.iter().filter(|one| one.name() == "b" && one.state() == "online").count() == 2
        });
        one_process_each(&home);
        assert_eq!(home.state("a:0"), "stopped", "what was stopped by hand stays so");
    }
    // Old processes were either taken up, or are gone.
    let after = home.pids();
    for (instance, pid) in &before {
        assert!(after.get(instance) == Some(pid) || !procs::alive(*pid), "{instance}");
    }
    // It watches what it took up.
    let pid = home.pid("b:0");
    procs::signal(pid, Signal::KILL);
    home.until("a new b:0", |list| {
        list.iter().any(|one| one.label() == "b:0" && one.state() == "online" && one.pid() != Some(pid))
    });
    home.ok(&["stop", "b"]);
    assert!(home.marked().is_empty());
}

#[test]
fn a_renamed_app_and_the_new_owner_of_its_name_each_keep_their_own_process() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("old")]));
    let mut renamed = stay("new");
    renamed["renamed_from"] = json!("old");
    home.apply(&json!([renamed]));
    home.apply(&json!([stay("new"), stay("old")]));
    let pids = home.pids();
    assert_eq!(pids.len(), 2);
    home.lose_daemon();
    home.ok(&["stop", "old"]);
    assert!(procs::alive(pids["new:0"]), "its process was taken for the other's");
    assert_eq!(home.pids(), [("new:0".to_owned(), pids["new:0"])].into());
    assert!(!procs::alive(pids["old:0"]));
}

#[test]
fn an_app_that_crashed_while_no_daemon_ran_is_started_again() {
    let home = two();
    let old = home.pid("a:0");
    home.lose_daemon();
    procs::signal(old, Signal::KILL);
    assert!(procs::wait_gone(old, SOON));
    home.ok(&["apply", "eco.json"]);
    home.until_state("a:0", "online");
    one_process_each(&home);
    home.exits(0, &["diff", "eco.json"]);
}

#[test]
fn a_daemon_that_is_asked_to_end_restores_what_should_run() {
    let home = two();
    let daemon = home.daemon().expect("it runs");
    procs::signal(daemon, Signal::TERM);
    assert!(procs::wait_gone(daemon, SOON), "{}", home.daemon_log());
    home.ok(&["apply", "eco.json"]);
    home.until("all to be up", |list| list.iter().all(|one| one.state() == "online"));
    one_process_each(&home);
}

#[test]
fn a_changed_file_is_planned_rightly_after_the_daemon_was_killed() {
    let home = two();
    home.lose_daemon();
    let mut a = stay("a");
    a["env"] = json!({ "NOTE": "new" });
    let mut b = stay("b");
    b["instances"] = json!(2);
    home.write_json("eco.json", &json!([a, b]));
    home.ok(&["apply", "eco.json"]);
    home.until("all to be up", |list| list.iter().all(|one| one.state() == "online"));
    assert_eq!(procs::environ(home.pid("a:0"))["NOTE"], "new");
    one_process_each(&home);
    home.exits(0, &["diff", "eco.json"]);
}

/// An ecosystem whose apply takes a while: `second` waits for `first` to be up.
fn slow(fifo: &Fifo) -> Value {
    let app = |name: &str, needs: &[&str]| {
        let mut app = stay(name);
        app["min_uptime"] = json!(1500);
        app["depends_on"] = json!(needs);
        app["env"] = json!({ "FIFO": fifo.path });
        app
    };
    json!([app("first", &[]), app("second", &["first"])])
}

#[test]
fn two_applies_at_once_never_interleave() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut fifo = home.fifo("fifo");
    home.write_json("eco.json", &slow(&fifo));
    let (first, _, err) = home.start_command(&mut home.command(&["apply", "eco.json"]));
    fifo.line_of("first:0");
    home.exits(75, &["apply", "eco.json", "--no-queue"]).says("busy").says("apply");
    // Reading is always answered.
    assert_eq!(home.state("first:0"), "starting");
    // The second waits, and then has nothing to do.
    let second = home.ok(&["apply", "eco.json"]);
    second.says("waiting").says("nothing to do");
    let (status, _) = procs::finish(first);
    assert!(status.success(), "{}", std::fs::read_to_string(err).expect("stderr"));
    let started: Vec<String> = fifo.pending();
    assert_eq!(started.len(), 1, "only `second`, and only once: {started:?}");
    assert_eq!(home.pids().len(), 2);
}

#[test]
fn an_apply_that_is_interrupted_is_recorded_and_the_next_diff_is_right() {
    for signal in [Signal::INT, Signal::KILL] {
        let home = Home::new();
        home.app("stay.sh", "stay.sh");
        let mut fifo = home.fifo("fifo");
        home.write_json("eco.json", &slow(&fifo));
        let (child, _, _) = home.start_command(&mut home.command(&["apply", "eco.json"]));
        let first = fifo.pid_of("first:0");
        procs::signal(child.id(), signal);
        let (status, _) = procs::finish(child);
        assert!(!status.success());
        // Whatever is not done yet is a change, and nothing else is.
        let plan = home.json(&["diff", "eco.json", "--json"]);
        for step in plan["steps"].as_array().expect("steps") {
            assert!(matches!(step["action"].as_str(), Some("keep" | "create" | "start")), "{step}");
            assert_ne!(step["action"] == "create", step["app"] == "first", "{plan}");
        }
        home.ok(&["apply", "eco.json"]);
        assert_eq!(home.pid("first:0"), first, "what was done is kept");
        home.exits(0, &["diff", "eco.json"]);
        one_process_each(&home);
    }
}

fn socket(home: &Home) -> UnixStream {
    let stream = UnixStream::connect(home.folder.join("pmrun.sock")).expect("a daemon listens");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    stream
}

fn frame(call: &Value) -> Vec<u8> {
    let body = serde_json::to_vec(call).expect("JSON");
    let mut frame = u32::try_from(body.len()).expect("small").to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

#[test]
fn clients_that_misbehave_or_vanish_do_no_harm() {
    let home = two();
    let before = home.pids();
    let call = |request: Value| frame(&json!({ "protocol": 1, "version": "test", "pid": 1, "request": request }));
    let list = call(json!({ "do": "list" }));
    let pieces: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0, 0],
        list[..list.len() / 2].to_vec(),
        [&u32::MAX.to_be_bytes()[..], b"x"].concat(),
        frame(&json!("not a call")),
        [&5u32.to_be_bytes()[..], b"\xff\xfe{}x"].concat(),
        call(json!({ "do": "no-such-thing" })),
        // Hangs up instead of reading the answer.
        list.clone(),
        call(json!({ "do": "restart", "targets": ["nothing-like-it"] })),
    ];
    for piece in &pieces {
        let mut stream = socket(&home);
        // The daemon may hang up first; that is an answer, too.
        let _ = stream.write_all(piece);
        drop(stream);
        home.ok(&["ping"]);
    }
    // One that never says anything, and one that never finishes, hold up nobody.
    let silent = socket(&home);
    let mut half = socket(&home);
    half.write_all(&list[..6]).expect("write");
    home.ok(&["restart", "a"]);
    drop((silent, half));
    let after = home.pids();
    assert_eq!((before["b:0"], before["b:1"]), (after["b:0"], after["b:1"]));

    // In the middle of the answer to something that takes a while.
    let mut stream = socket(&home);
    stream.write_all(&call(json!({ "do": "restart", "targets": ["b"] }))).expect("write");
    drop(stream);
    home.until("both to be up", |list| list.iter().all(|one| one.state() == "online"));
    home.ok(&["restart", "b"]);
    one_process_each(&home);
}

#[test]
fn a_full_disk_for_logs_harms_no_app() {
    if !needs_root() {
        return;
    }
    let mut home = Home::new();
    let disk = home.work.join("disk");
    if !small_disk(&mut home, &disk, "64k") {
        return;
    }
    home.app("stay.sh", "stay.sh");
    let filler = fill(&disk);
    let mut a = stay("a");
    a["out_file"] = json!("disk/a-out.log");
    a["error_file"] = json!("disk/a-error.log");
    home.write_json("eco.json", &json!([a, stay("b")]));
    let output = home.run(&["apply", "eco.json"]);
    assert!(matches!(output.code, Some(0 | 3)), "{output}");
    assert_eq!(home.state("b:0"), "online");
    std::fs::remove_file(filler).expect("it is there");
    home.ok(&["apply", "eco.json"]);
    home.until_state("a:0", "online");
    home.exits(0, &["diff", "eco.json"]);
}

/// Where lines pass through pmrun. The app is not held up, what is lost is counted, and it is said once.
#[test]
fn a_disk_that_fills_up_under_a_log_stops_no_app_and_is_said_once() {
    if !needs_root() {
        return;
    }
    let mut home = Home::new();
    let disk = home.work.join("disk");
    if !small_disk(&mut home, &disk, "64k") {
        return;
    }
    let mut fifo = home.fifo("fifo");
    // More than the disk and the pipe take.
    home.write(
        "chatty.sh",
        "#!/bin/sh\nyes 'a line that is written over and over' | head -n 20000\necho done >\"${FIFO}\"\nexec sleep 100000\n",
    );
    home.write_json(
        "eco.json",
        &json!([{
            "name": "a", "script": "./chatty.sh", "min_uptime": 100, "log_type": "json", "out_file": "disk/a-out.log",
            "fingerprint": false, "env": { "FIFO": fifo.path },
        }]),
    );
    home.run(&["apply", "eco.json"]).exited(0);
    fifo.line_of("done");
    let pid = home.pid("a:0");
    home.until("it is said", |_| home.daemon_log().contains("disk/a-out.log`: No space left on device"));
    assert_eq!(home.daemon_log().matches("No space left on device").count(), 1, "{}", home.daemon_log());
    assert_eq!(home.pid("a:0"), pid);
    assert_eq!(home.state("a:0"), "online");
}

/// Whatever the disk had no room for: what is there are whole lines, and none is lost without being counted.
#[test]
fn no_half_of_a_line_stays_where_a_disk_was_full() {
    if !needs_root() {
        return;
    }
    let mut home = Home::new();
    let disk = home.work.join("disk");
    if !small_disk(&mut home, &disk, "64k") {
        return;
    }
    let mut fifo = home.fifo("fifo");
    let gate = home.fifo("gate");
    std::fs::write(disk.join("filler"), vec![0; 32 << 10]).expect("there is room");
    home.write(
        "chatty.sh",
        "#!/bin/sh\nyes 'a line that is written over and over' | head -n 2000\necho done >\"$FIFO\"\nread -r go <\"$GATE\"\necho after\nexec sleep 100000\n",
    );
    let app = json!({
        "name": "a", "script": "./chatty.sh", "min_uptime": 100, "log_type": "json", "out_file": "disk/a-out.log",
        "fingerprint": false, "env": { "FIFO": fifo.path, "GATE": gate.path },
    });
    home.apply(&json!([app]));
    fifo.line_of("done");
    home.until("it is said", |_| home.daemon_log().contains("No space left on device"));
    std::fs::remove_file(disk.join("filler")).expect("it is there");
    let text = || std::fs::read_to_string(disk.join("a-out.log")).expect("it is there");
    // No other line has to come for that.
    home.until("the count", |_| text().ends_with('\n') && text().contains("lines were lost here"));
    std::fs::write(&gate.path, "go\n").expect("write");
    home.until("the last line", |_| text().contains("\"after\""));
    let lines: Vec<Value> = text().lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect();
    let said = |line: &Value| line["message"].as_str().expect("a message").to_owned();
    let lost: usize = lines
        .iter()
        .filter_map(|line| said(line).strip_prefix("[pmrun] ")?.split(' ').next()?.parse::<usize>().ok())
        .sum();
    let kept = lines.iter().filter(|line| said(line).starts_with("a line")).count();
    assert_eq!((kept + lost, lost > 0), (2_000, true), "{kept} are there");

    // One that ends while there is no room: nothing is taken out, and the next run's first line comes behind the count.
    let before = text();
    let filler = fill(&disk);
    home.ok(&["restart", "a"]);
    fifo.line_of("done");
    home.ok(&["stop", "a"]);
    home.until("the count is said", |_| home.daemon_log().contains("not noted there yet"));
    assert!(text().starts_with(&before));
    std::fs::remove_file(filler).expect("it is there");
    home.ok(&["restart", "a"]);
    fifo.line_of("done");
    let is_note = |line: &str| line.contains("lines were lost here");
    home.until("the count is noted", |_| text()[before.len()..].lines().any(is_note));
    let text = text();
    let (mut kept, mut lost) = (0, 0);
    for line in text[before.len()..].lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        if let Some(note) = said(&line).strip_prefix("[pmrun] ") {
            lost = note.split(' ').next().and_then(|count| count.parse().ok()).expect("a count");
            break;
        }
        kept += 1;
    }
    assert_eq!((kept + lost, lost > 0), (2_000, true), "{kept} are there");
}

#[test]
fn a_full_disk_for_state_is_a_clear_error_and_nothing_is_half_done() {
    if !needs_root() {
        return;
    }
    let mut home = Home::new();
    let disk = home.folder.clone();
    if !small_disk(&mut home, &disk, "8m") {
        return;
    }
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("a")]));
    let before = home.pids();
    let filler = fill(&disk);
    // Enough that it cannot fit into what the state file has left over.
    let many: Vec<Value> = (0..380)
        .map(|number| {
            let mut app = stay(&format!("app-{number}"));
            app["env"] = json!({ "BIG": format!("{number}").repeat(3000) });
            app
        })
        .collect();
    home.write_json("eco.json", &json!(many));
    let output = home.run(&["apply", "eco.json", "--no-prune"]);
    assert!(!matches!(output.code, Some(0)), "{output}");
    let words = output.stderr.to_lowercase();
    assert!(words.contains("no space left") || words.contains("disk"), "{output}");
    assert_eq!(home.pid("a:0"), before["a:0"], "what runs goes on running");
    std::fs::remove_file(filler).expect("it is there");
    let mut a = stay("a");
    a["env"] = json!({ "NOTE": "room again" });
    home.apply(&json!([a]));
    assert_eq!(procs::environ(home.pid("a:0"))["NOTE"], "room again");
    home.exits(0, &["diff", "eco.json"]);
}

/// Until the daemon has noticed that something was taken away: no command has to come for that.
#[track_caller]
fn until_there(home: &Home, names: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !names.iter().all(|name| home.folder.join(name).exists()) {
        let missing: Vec<&&str> = names.iter().filter(|name| !home.folder.join(name).exists()).collect();
        assert!(Instant::now() < deadline, "{missing:?} were not made again{}", home.daemon_log());
        std::thread::yield_now();
    }
}

#[test]
fn a_socket_that_is_taken_away_is_made_again_at_once() {
    let home = two();
    let (daemon, keeper) = (home.daemon().expect("it runs"), home.keeper().expect("it runs"));
    let pids = home.pids();
    let ours = ["pmrun.sock", "pmrun.pid", "daemon.lock", "keeper.sock"];
    for names in [&ours[..1], &ours[1..2], &ours[2..3], &ours[3..], &ours[..]] {
        let mut waiting = socket(&home);
        for name in names {
            std::fs::remove_file(home.folder.join(name)).expect("it is there");
        }
        // Who is being answered goes on to be.
        waiting.write_all(&frame(&json!({ "protocol": 1, "pid": 1, "request": { "do": "ping" } }))).expect("a daemon");
        assert!(waiting.read(&mut [0; 64]).expect("an answer") > 0);
        // Somebody who comes in between is not told that there is no daemon.
        home.ok(&["stop", "b"]);
        home.ok(&["start", "b"]);
        until_there(&home, names);
        // One that a command has started may be on its way out.
        let written = std::fs::read_to_string(home.folder.join("pmrun.pid")).expect("it is there");
        assert_eq!((written.trim().parse(), home.pid("a:0")), (Ok(daemon), pids["a:0"]), "{names:?}");
        assert!(procs::alive(keeper));
    }
    // The lock is the daemon's still, also in the program that goes on in its place.
    home.ok(&["upgrade"]);
    home.exits(75, &["run", "eco.json"]).says("runs in");
    assert_eq!((procs::alive(daemon), home.pid("a:0")), (true, pids["a:0"]));
    one_process_each(&home);
}

#[test]
fn a_daemon_whose_home_was_deleted_makes_it_again_and_nothing_that_runs_is_harmed() {
    let home = two();
    let (daemon, pids) = (home.daemon(), home.pids());
    // The daemon may be faster than who removes all that, who then finds a folder that is not empty.
    let deadline = Instant::now() + SOON;
    while let Err(error) = std::fs::remove_dir_all(&home.folder) {
        assert!(Instant::now() < deadline, "{error}");
    }
    until_there(&home, &["pmrun.sock", "state", "state.backup", "keeper.sock"]);
    home.exits(0, &["diff", "eco.json"]);
    home.ok(&["state", "check"]).prints("state: sound, 2 apps");
    home.ok(&["history"]).prints("@1").never_shows("built anew");
    assert_eq!((home.daemon(), home.pids()), (daemon, pids.clone()));
    home.lose_daemon();
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids(), pids);
    one_process_each(&home);
}

/// Appends a line to `runs` and ends.
fn with_job() -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("job.sh", "#!/bin/sh\necho ran >>runs\n");
    let job = json!({ "name": "job", "script": "./job.sh", "autorestart": false, "min_uptime": 50 });
    home.apply(&json!([job, stay("web")]));
    home.until_state("job:0", "completed");
    home
}

#[test]
fn a_job_that_is_done_is_not_done_again_by_another_daemon() {
    for command in [&["kill"][..], &["stop", "web"], &["delete", "all"], &["apply", "eco.json"], &["stop", "job"]] {
        let home = with_job();
        home.lose_daemon();
        assert_eq!(home.state("job:0"), "completed");
        home.exits(0, &["diff", "eco.json"]);
        home.ok(command);
        home.until("the daemon to have had time", |list| {
            list.iter().all(|one| one.name() != "web" || one.state() == "online") || command != ["apply", "eco.json"]
        });
        let runs = std::fs::read_to_string(home.work.join("runs")).expect("it ran");
        assert_eq!(runs, "ran\n", "after {command:?}");
    }
}

/// A job that runs when its daemon is killed, and ends when it is let.
fn with_job_at_work(gate: &Fifo) -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("job.sh", "#!/bin/sh\necho ran >>runs\nread -r go <\"$GATE\"\n");
    let job = json!({
        "name": "job", "script": "./job.sh", "autorestart": false, "min_uptime": 50, "env": { "GATE": gate.path },
    });
    home.apply(&json!([job, stay("web")]));
    let pid = home.pid("job:0");
    home.lose_daemon();
    std::fs::write(&gate.path, "go\n").expect("write");
    assert!(procs::wait_gone(pid, SOON));
    home
}

#[test]
fn a_job_that_ends_while_no_daemon_lives_is_done_and_not_run_again() {
    let folder = Home::new();
    let gate = folder.fifo("gate");
    let home = with_job_at_work(&gate);
    let is_told = |job: &Instance| {
        assert_eq!((job.state().as_str(), &job.0["last_exit"]), ("completed", &json!("unknown")));
        job.0["detail"].as_str().is_some_and(|detail| detail.starts_with("unknown exit status (the daemon"))
    };
    assert!(is_told(&home.list()[0]), "without a daemon");
    home.ok(&["why", "job"]).prints("completed").prints("unknown exit status");
    home.exits(0, &["diff", "eco.json"]);
    home.ok(&["restart", "web"]);
    assert!(is_told(&home.list()[0]), "by the next daemon");
    home.ok(&["why", "job"]).prints("completed: unknown exit status");
    assert!(home.daemon_log().contains("`job:0` ended while no daemon watched it"), "{}", home.daemon_log());
    // Whether it did what it was there for nobody knows.
    let mut ecosystem: Value =
        serde_json::from_slice(&std::fs::read(home.work.join("eco.json")).expect("read")).expect("JSON");
    let mut after = stay("after");
    after["depends_on"] = json!({ "job": "completed" });
    ecosystem.as_array_mut().expect("a list").push(after);
    home.write_json("eco.json", &ecosystem);
    home.exits(3, &["apply", "eco.json"]).says("`pmrun start job` runs it again");
    // Nor by those after it, until somebody asks.
    home.lose_daemon();
    home.ok(&["stop", "web"]);
    assert_eq!(std::fs::read_to_string(home.work.join("runs")).expect("it ran"), "ran\n");
    home.ok(&["start", "job"]);
    assert_eq!(std::fs::read_to_string(home.work.join("runs")).expect("it ran"), "ran\nran\n");
    home.lose_daemon();
    home.ok(&["stop", "web"]);
    home.until_state("job:0", "online");
}

#[test]
fn a_job_that_was_cut_off_by_its_daemons_end_is_run_by_the_next() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("job.sh", "#!/bin/sh\necho ran >>runs\nexec sleep 100000\n");
    let job = json!({ "name": "job", "script": "./job.sh", "autorestart": false, "min_uptime": 50 });
    home.apply(&json!([job, stay("web")]));
    let daemon = home.daemon().expect("a daemon runs");
    procs::signal(daemon, Signal::TERM);
    assert!(procs::wait_gone(daemon, SOON));
    assert_eq!(home.state("job:0"), "stopped");
    home.ok(&["restart", "web"]);
    home.until_state("job:0", "online");
    assert_eq!(std::fs::read_to_string(home.work.join("runs")).expect("it ran"), "ran\nran\n");
}

#[test]
fn what_no_daemon_watches_is_listed_as_such() {
    let home = two();
    home.ok(&["list"]).prints("online").never_shows("no daemon");
    home.lose_daemon();
    let pid = home.pid("a:0");
    procs::signal(pid, Signal::KILL);
    assert!(procs::wait_gone(pid, SOON));
    home.ok(&["list"]).prints("unwatched").prints("down").never_shows("online").says("no daemon runs");
    assert_eq!(home.json(&["list", "--json"])["daemon"], json!(false));
    for pid in home.pids().values() {
        procs::signal(*pid, Signal::KILL);
        assert!(procs::wait_gone(*pid, SOON));
    }
    home.ok(&["list"]).prints("down").says("nothing that should run does");
    home.ok(&["kill"]);
    home.ok(&["list"]).prints("stopped").never_shows("no daemon");
}

#[test]
fn what_died_with_its_daemon_is_started_only_as_the_next_command_wants_it() {
    let home = Home::new();
    home.write("tell.sh", "#!/bin/sh\necho \"$1 $V\" >>runs\nexec sleep 100000\n");
    let app = |name: &str, version: &str| json!({ "name": name, "script": "./tell.sh", "args": name, "min_uptime": 50, "env": { "V": version } });
    home.apply(&json!([app("a", "1"), app("b", "1")]));
    let pids = home.pids();
    home.lose_daemon();
    for pid in pids.values() {
        procs::signal(*pid, Signal::KILL);
        assert!(procs::wait_gone(*pid, SOON));
    }
    std::fs::remove_file(home.work.join("runs")).expect("it is there");
    home.write_json("eco.json", &json!([app("a", "2")]));
    home.exits(2, &["diff", "eco.json"]).prints("start");
    home.ok(&["apply", "eco.json"]).prints("start");
    assert_eq!(std::fs::read_to_string(home.work.join("runs")).expect("it ran"), "a 2\n");
}

#[test]
fn an_apply_waits_for_what_is_on_its_way_up_and_tells_when_it_does_not_get_there() {
    let home = Home::new();
    home.write("db.sh", "#!/bin/sh\ntest -e db || { echo 'no db' >&2; exit 1; }\nexec sleep 100000\n");
    home.write("db", "");
    let app = json!({ "name": "a", "script": "./db.sh", "max_restarts": 3, "restart_delay": 300, "min_uptime": 200 });
    home.apply(&json!([app]));
    let pid = home.pid("a:0");
    home.lose_daemon();
    procs::signal(pid, Signal::KILL);
    assert!(procs::wait_gone(pid, SOON));
    std::fs::remove_file(home.work.join("db")).expect("it is there");
    home.exits(2, &["diff", "eco.json"]);
    home.exits(3, &["apply", "eco.json"]).says("no db");
    // One that is not ready is as much a failure the second time as the first.
    home.write("never.sh", "#!/bin/sh\nexec sleep 100000\n");
    let never = json!({ "name": "a", "script": "./never.sh", "wait_ready": true, "listen_timeout": 200 });
    home.write_json("eco.json", &json!([never]));
    for _ in 0..2 {
        home.exits(3, &["apply", "eco.json"]).says("not ready within");
    }
}

#[test]
fn a_stop_that_was_cut_short_is_brought_to_its_end() {
    for command in ["stop", "kill"] {
        let home = Home::new();
        home.app("stubborn.sh", "stubborn.sh");
        let fifo = home.fifo("fifo");
        let app = json!({
            "name": "a", "script": "./stubborn.sh", "min_uptime": 100, "kill_timeout": 2_000,
            "env": { "FIFO": fifo.path },
        });
        home.apply(&json!([app]));
        let pid = home.pid("a:0");
        let target: &[&str] = if command == "stop" { &["a"] } else { &[] };
        let (child, ..) = home.start_command(&mut home.command(&[&[command], target].concat()));
        home.until_state("a:0", "stopping");
        home.lose_daemon();
        procs::finish(child);
        assert!(procs::alive(pid));
        home.exits(2, &["diff", "eco.json"]).prints("start");
        home.ok(&["kill"]);
        assert!(home.marked().is_empty(), "after `{command}`: {:?}", home.marked());
    }
}

#[test]
fn a_command_that_meets_a_daemon_on_its_way_out_is_done_by_the_next() {
    let home = Home::new();
    home.write(
        "slow.sh",
        "#!/bin/sh\ntrap 'read -r go <\"${GATE}\"; kill $!; exit 0' INT\nwhile :; do sleep 100000 & wait $!; done\n",
    );
    home.app("stay.sh", "stay.sh");
    let gate = home.fifo("gate");
    let slow = json!({
        "name": "slow", "script": "./slow.sh", "min_uptime": 100, "kill_timeout": 60_000, "env": { "GATE": gate.path },
    });
    home.apply(&json!([slow]));
    let (kill, ..) = home.start_command(&mut home.command(&["kill"]));
    home.until_state("slow:0", "stopping");
    home.write_json("other.json", &json!({ "name": "other", "apps": [stay("a")] }));
    let (apply, _, err) = home.start_command(&mut home.command(&["apply", "other.json"]));
    home.until("the apply to wait", |_| std::fs::read_to_string(&err).is_ok_and(|text| text.contains("waiting")));
    std::fs::write(&gate.path, "go\n").expect("write");
    assert!(procs::finish(kill).0.success());
    let said = procs::finish(apply);
    assert!(said.0.success(), "{}", std::fs::read_to_string(&err).unwrap_or_default());
    assert_eq!((home.state("a:0"), home.state("slow:0")), ("online".to_owned(), "stopped".to_owned()));
}
