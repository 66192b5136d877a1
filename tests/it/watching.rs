//! `watch`: files change, and their app is restarted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Fifo, Home, stay};

/// An app in `app/` that reports each start.
fn watched(home: &Home, fifo: &Fifo, name: &str, options: &Value) -> Value {
    home.app("stay.sh", "stay.sh");
    fs::create_dir_all(home.work.join("app")).expect("mkdir");
    let mut app = stay(name);
    app["script"] = json!("../stay.sh");
    app["cwd"] = json!("./app");
    app["watch"] = json!(true);
    app["env"] = json!({ "FIFO": fifo.path });
    for (key, value) in options.as_object().expect("an object") {
        app[key] = value.clone();
    }
    app
}

/// `IN_CREATE` (inotify(7)).
const CREATE: u32 = 0x100;

/// How many folders the daemon has the system watch. Of its own files it only wants to hear when they go.
fn folders_watched(home: &Home) -> usize {
    let daemon = home.daemon().expect("a daemon");
    let fds = fs::read_dir(format!("/proc/{daemon}/fdinfo")).expect("it is ours");
    let infos = fds.flatten().filter_map(|fd| fs::read_to_string(fd.path()).ok());
    let is_of_folder = |line: &&str| {
        let mask = line.split(' ').find_map(|word| u32::from_str_radix(word.strip_prefix("mask:")?, 16).ok());
        line.starts_with("inotify wd:") && mask.is_some_and(|mask| mask & CREATE != 0)
    };
    infos.map(|info| info.lines().filter(is_of_folder).count()).sum()
}

/// Looks are cheap, and there is a bound: nothing sleeps.
#[track_caller]
fn until_watched(home: &Home, folders: usize) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while folders_watched(home) != folders {
        assert!(Instant::now() < deadline, "{} folders are watched{}", folders_watched(home), home.daemon_log());
        std::thread::yield_now();
    }
}

fn restarts(home: &Home, instance: &str) -> u64 {
    home.list().iter().find(|one| one.label() == instance).expect("it is there").restarts()
}

#[test]
fn a_change_restarts_the_app_and_what_is_not_its_own_business_does_not() {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    let logs = json!({
        "instances": 2, "out_file": "./logs/out.log", "error_file": "./err", "pid_file": "./run.pid",
        "ignore_watch": ["uploads"], "watch_delay": 50,
    });
    for file in ["app/src/é.js", "app/node_modules/x/y/z.js", "app/uploads/a"] {
        home.write(file, "1");
    }
    home.write_json("eco.json", &json!([watched(&home, &fifo, "a", &logs)]));
    home.ok(&["apply", "eco.json"]);
    fifo.pid_of("a:0");
    // app, logs, src
    until_watched(&home, 3);
    // None of these restarts it: what comes after them does, and once.
    home.write("app/node_modules/x/y/z.js", "2");
    home.write("app/uploads/a", "2");
    home.write("app/.git/HEAD", "2");
    home.write("app/logs/out.log.1.gz", "2");
    home.write("app/src/é.js", "2");
    fifo.line_of("a:0");
    let list =
        home.until("both restarted", |list| list.iter().all(|one| one.restarts() == 1 && one.state() == "online"));
    assert_eq!(list.len(), 2);
    assert!(home.daemon_log().contains("a: restarts: `src/é.js` changed (watch)"), "{}", home.daemon_log());
    // Its own logs were written at both starts.
    assert!(fs::read_to_string(home.work.join("app/logs/out-1.log")).expect("it logs").lines().count() == 2);
    home.write("app/new/folder/x.js", "1");
    home.until("restarted again", |list| list.iter().all(|one| one.restarts() == 2 && one.state() == "online"));
}

/// One restart answers all that is done to the files, and another what is written after that.
fn is_one_restart(burst: impl FnOnce(&Home)) {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    home.write_json("eco.json", &json!([watched(&home, &fifo, "a", &json!({}))]));
    home.ok(&["apply", "eco.json"]);
    fifo.pid_of("a:0");
    until_watched(&home, 1);
    burst(&home);
    fifo.pid_of("a:0");
    home.until_state("a:0", "online");
    // The next one is told after whatever else the burst had led to.
    home.write("app/last.js", "1");
    fifo.pid_of("a:0");
    home.until_state("a:0", "online");
    assert_eq!(restarts(&home, "a:0"), 2, "{}", home.daemon_log());
}

#[test]
fn a_burst_of_a_thousand_writes_is_one_restart() {
    is_one_restart(|home| {
        for number in 0..1_000 {
            home.write(&format!("app/{}.js", number % 250), format!("{number}"));
        }
    });
}

#[test]
fn a_thousand_writes_of_one_file_over_seconds_are_one_restart() {
    is_one_restart(|home| {
        let line = "for i in $(seq 1000); do echo $i > app/x.js; read -t 0.003 _ <> \"$1\"; done; true";
        let never = home.fifo("never");
        let written = home.shell(&format!("set -- '{}'; bash -c '{}' _ \"$1\"", never.path.display(), line)).output();
        assert!(written.expect("a shell").status.success());
    });
}

#[test]
fn the_last_of_many_saves_is_what_runs() {
    let home = Home::new();
    let fifo = home.fifo("fifo");
    let mut app = watched(&home, &fifo, "a", &json!({ "script": "./start.sh", "min_uptime": 0 }));
    app["interpreter"] = json!("sh");
    home.write("app/start.sh", "cp save.txt ../seen.txt; exec sleep 100000\n");
    home.write("app/save.txt", "0");
    home.write_json("eco.json", &json!([app]));
    home.ok(&["apply", "eco.json"]);
    until_watched(&home, 1);
    // So evenly that it looks like what the app writes at each start.
    let saves = "for i in $(seq 12); do echo $i > app/save.txt; sleep 0.4; done";
    assert!(home.shell(saves).status().expect("a shell").success());
    let seen = || fs::read_to_string(home.work.join("seen.txt")).unwrap_or_default();
    let bound = Instant::now() + Duration::from_secs(30);
    while seen() != "12\n" {
        assert!(Instant::now() < bound, "the last save is lost, {} runs{}", seen(), home.daemon_log());
        std::thread::yield_now();
    }
}

#[test]
fn what_was_stopped_stays_so_and_a_later_start_watches_again() {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    let other = watched(&home, &fifo, "other", &json!({ "watch": ["other.js"] }));
    home.write_json("eco.json", &json!([watched(&home, &fifo, "a", &json!({ "watch": ["a.js"] })), other]));
    home.ok(&["apply", "eco.json"]);
    home.ok(&["stop", "a"]);
    until_watched(&home, 1);
    home.write("app/a.js", "1");
    home.write("app/other.js", "1");
    home.until("the other restarted", |list| list.iter().any(|one| one.name() == "other" && one.restarts() == 1));
    assert_eq!(home.state("a:0"), "stopped");
    home.ok(&["stop", "other"]);
    until_watched(&home, 0);
    home.ok(&["start", "a"]);
    until_watched(&home, 1);
    fifo.pending();
    home.write("app/a.js", "2");
    fifo.pid_of("a:0");
    // A changed `watch` moves no process.
    let pid = home.until_state("a:0", "online").pid();
    let off = watched(&home, &fifo, "a", &json!({ "watch": false }));
    home.write_json("eco.json", &json!([off]));
    home.ok(&["apply", "eco.json", "--no-prune"]).prints("watch: [a.js] -> false");
    until_watched(&home, 0);
    assert_eq!(home.until_state("a:0", "online").pid(), pid);
}

#[test]
fn a_change_starts_what_was_given_up_on() {
    let home = Home::new();
    fs::create_dir(home.work.join("app")).expect("mkdir");
    home.write("app/run.sh", "exit 1\n");
    let app = json!({ "name": "a", "script": "sh", "args": ["run.sh"], "interpreter": "none", "cwd": "./app",
        "max_restarts": 2, "watch": true, "min_uptime": 100 });
    home.write_json("eco.json", &json!([app]));
    home.exits(3, &["apply", "eco.json"]);
    home.until_state("a:0", "errored");
    until_watched(&home, 1);
    home.write("app/run.sh", "exec sleep 100000\n");
    home.until_state("a:0", "online");
}

#[test]
fn an_app_that_writes_what_is_watched_is_found_out() {
    let home = Home::new();
    let fifo = home.fifo("fifo");
    let mut app = watched(&home, &fifo, "a", &json!({ "script": "./start.sh", "min_uptime": 0 }));
    app["interpreter"] = json!("sh");
    home.write("app/start.sh", "mkdir -p gen; echo x > gen/routes.txt; exec sleep 100000\n");
    home.write_json("eco.json", &json!([app]));
    home.ok(&["apply", "eco.json"]);
    let note =
        "watch: `gen/routes.txt` seems to be written by the app itself after each start (add it to ignore_watch)";
    // Where the machine was too busy to watch before the app wrote, somebody else's change begins it.
    until_watched(&home, 2);
    home.write("app/begin.js", "1");
    let list = home.until("it to be named", |list| list[0].0["detail"] == json!(note));
    assert_eq!(list[0].state(), "online");
    assert!(home.daemon_log().contains(note));
    home.ok(&["show", "a"]).prints(note);
    let before = list[0].restarts();
    home.write("app/x.js", "a change of somebody else");
    home.until("restarted once more", |list| list[0].restarts() == before + 1);
    app["ignore_watch"] = json!(["gen"]);
    home.write_json("eco.json", &json!([app]));
    home.ok(&["apply", "eco.json"]);
    home.until("no longer named", |list| list[0].0["detail"] != json!(note));
}

#[test]
fn a_release_link_that_is_moved_restarts_the_app() {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    home.app("stay.sh", "r1/stay.sh");
    home.app("stay.sh", "r2/stay.sh");
    symlink("r1", home.work.join("current")).expect("symlink");
    let mut app = watched(&home, &fifo, "a", &json!({ "cwd": "./current" }));
    app["script"] = json!("./stay.sh");
    home.write_json("eco.json", &json!([app]));
    home.ok(&["apply", "eco.json"]);
    fifo.pid_of("a:0");
    until_watched(&home, 2);
    symlink("r2", home.work.join("next")).expect("symlink");
    fs::rename(home.work.join("next"), home.work.join("current")).expect("rename");
    fifo.pid_of("a:0");
    home.until_state("a:0", "online");
    home.write("r2/x.js", "1");
    fifo.pid_of("a:0");
}

#[test]
fn a_checkout_of_another_branch_is_one_restart() {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    let app = home.work.join("app");
    home.write_json("eco.json", &json!([watched(&home, &fifo, "a", &json!({}))]));
    let git = |line: &str| {
        let all =
            format!("cd '{}' && git -c user.name=n -c user.email=e@x -c init.defaultBranch=one {line}", app.display());
        assert!(home.shell(&all).output().expect("git").status.success(), "{line}");
    };
    if !has_git(&app) {
        return;
    }
    git("init -q");
    for (branch, text) in [("one", "1"), ("two", "2")] {
        git(&format!("checkout -q -b {branch} || true"));
        for number in 0..300 {
            home.write(&format!("app/src/{}/{number}.js", number % 10), text);
        }
        git("add . && git -c user.name=n -c user.email=e@x commit -q -m x");
    }
    home.ok(&["apply", "eco.json"]);
    fifo.pid_of("a:0");
    until_watched(&home, 12);
    git("checkout -q one");
    fifo.pid_of("a:0");
    home.until_state("a:0", "online");
    home.write("app/last.js", "1");
    fifo.pid_of("a:0");
    home.until_state("a:0", "online");
    assert_eq!(restarts(&home, "a:0"), 2, "{}", home.daemon_log());
}

fn has_git(folder: &Path) -> bool {
    std::process::Command::new("git").arg("--version").current_dir(folder).output().is_ok()
}

#[test]
fn polling_finds_changes_too() {
    let home = Home::new();
    let mut fifo = home.fifo("fifo");
    let options = json!({ "watch_options": { "usePolling": true, "interval": 30 } });
    home.write("app/a.js", "1");
    home.write_json("eco.json", &json!([watched(&home, &fifo, "a", &options)]));
    home.ok(&["apply", "eco.json"]);
    fifo.pid_of("a:0");
    assert_eq!(folders_watched(&home), 0);
    // Until the first look has been taken, a change is part of it.
    let mut answered = |turn: u32| {
        home.write("app/a.js", format!("changed {turn}"));
        fifo.line_within(Duration::from_secs(2)).is_some()
    };
    assert!((0..10).any(&mut answered), "{}", home.daemon_log());
}

#[test]
fn options_of_the_watcher_are_checked() {
    let home = Home::new();
    let fifo = home.fifo("fifo");
    let options = json!({ "watch_options": { "usePoling": true, "followSymlinks": false, "interval": "x" } });
    home.write_json("eco.json", &json!([watched(&home, &fifo, "a", &options)]));
    let output = home.exits(65, &["validate", "eco.json"]);
    output.says("unknown option `usePoling` in `watch_options`").says("did you mean `usePolling`?");
    output.says("`interval` in `watch_options` must be a whole number");
}

/// In a user namespace of its own, where the limit can be lowered for one daemon.
#[test]
fn what_the_system_does_not_watch_for_want_of_watches_is_named() {
    let home = Home::new();
    let fifo = home.fifo("fifo");
    for number in 0..9 {
        home.write(&format!("app/{number}/x.js"), "1");
    }
    home.write_json("eco.json", &json!([watched(&home, &fifo, "a", &json!({}))]));
    // As many are the daemon's own.
    let lowered = "echo 8 > /proc/sys/user/max_inotify_watches";
    let within = |line: &str| home.shell(&format!("unshare -Ur sh -c '{line}'")).output().expect("a shell");
    if !within(lowered).status.success() {
        return;
    }
    let applied = within(&format!("{lowered} && \"{}\" apply eco.json", env!("CARGO_BIN_EXE_pmrun")));
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let list = home.until("it is named", |list| list[0].0["detail"].is_string());
    let detail = list[0].0["detail"].as_str().expect("it was just seen");
    assert!(
        detail.starts_with("watch: the system's limit of watches is reached, 6 folders are not watched"),
        "{detail}"
    );
    assert!(home.daemon_log().contains(detail), "{}", home.daemon_log());
}
