//! Health checks and what apps need of each other, with real processes and connections.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::free_port;
use crate::support::{Home, Instance, needs_node, procs, stay};

/// Answers every request with 200 or 503, until it is dropped with the test's process.
fn server() -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let well = Arc::new(AtomicBool::new(true));
    let answers = Arc::clone(&well);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten().take(10_000) {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 1024]);
            let status = if answers.load(Ordering::SeqCst) { "200 OK" } else { "503 Busy" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        }
    });
    (port, well)
}

fn detail(home: &Home, name: &str) -> String {
    let shown = home.json(&["show", name, "--json"]);
    shown["apps"][0]["instances"][0]["detail"].as_str().unwrap_or_default().to_owned()
}

fn checked(name: &str, check: &Value) -> Value {
    let mut app = stay(name);
    app["health_check"] = check.clone();
    app
}

#[test]
fn a_command_that_checks_an_app_with_sockets_is_given_none() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let seen = home.work.join("seen");
    let check = format!("echo \"${{LISTEN_FDS:-none}}\" > '{}'", seen.display());
    let mut api = checked("api", &json!({ "exec": ["sh", "-c", check], "interval": 100, "unhealthy_threshold": 1 }));
    api["listen"] = json!(format!("tcp:127.0.0.1:{}", free_port()));
    home.apply(&json!([api]));
    let before = home.until_state("api:0", "online");
    assert_eq!(std::fs::read_to_string(&seen).expect("it was asked").trim(), "none");
    // And what comes after finds the socket as it was.
    home.ok(&["reload", "api"]);
    home.until("it is another", |all| all[0].state() == "online" && all[0].pid() != before.pid());
    assert_eq!(home.list()[0].restarts(), 1);
}

#[test]
fn an_app_is_up_when_it_answers_and_restarted_when_it_does_not() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let (port, well) = server();
    let mut api =
        checked("api", &json!({ "http": "http://127.0.0.1:$PORT/health", "interval": 100, "unhealthy_threshold": 2 }));
    api["env"] = json!({ "PORT": port });
    api["min_uptime"] = json!("1h");
    home.write_json("eco.json", &json!([api]));
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.state("api:0"), "online", "the check says so, long before `min_uptime`");
    let pid = home.pid("api:0");
    well.store(false, Ordering::SeqCst);
    home.until("it is restarted", |all| all[0].restarts() == 1);
    well.store(true, Ordering::SeqCst);
    home.until("it is up again", |all| all[0].state() == "online" && all[0].pid() != Some(pid));
    assert_eq!(detail(&home, "api"), "restarted: it was unhealthy: status 503 (health_check)");
    let line = "`api:0` is restarted: it was unhealthy: status 503 (health_check)";
    assert!(home.daemon_log().contains(line), "{}", home.daemon_log());
}

/// Any of the workers of a cluster may answer whoever connects to their port: each is asked by itself.
#[test]
fn the_worker_that_hangs_is_the_one_that_is_restarted() {
    if !needs_node() {
        return;
    }
    for (distribution, kind) in [("reuseport", "http"), ("shared", "tcp"), ("round_robin", "http")] {
        let (home, port) = (Home::new(), free_port());
        home.write(
            "server.js",
            "const fs = require('fs')
            require('http').createServer((question, answer) => answer.end('ok')).listen(process.env.PORT)
            const hang = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
            setInterval(() => { try { fs.renameSync('hang' + process.env.NODE_APP_INSTANCE, 'hangs'); hang() } catch {} }, 20)",
        );
        let address = if kind == "http" { format!("http://localhost:{port}/") } else { format!("127.0.0.1:{port}") };
        let mut check = json!({ "interval": 100, "timeout": 400, "unhealthy_threshold": 2 });
        check[kind] = json!(address);
        let app = json!({ "name": "web", "script": "server.js", "instances": 3, "distribution": distribution,
            "env": { "PORT": port.to_string() }, "kill_timeout": 200, "health_check": check });
        home.apply(&json!([app]));
        let before = home.pids();
        for slot in ["1", "2"] {
            home.write(&format!("hang{slot}"), "");
            let label = format!("web:{slot}");
            let restarted = |one: &Instance| one.label() == label && one.restarts() == 1 && one.state() == "online";
            home.until(&format!("{label} is restarted"), |all| all.iter().any(restarted));
        }
        let after: Vec<u64> = home.list().iter().map(Instance::restarts).collect();
        assert_eq!(after, [0, 1, 1], "{distribution}");
        assert_eq!(home.pid("web:0"), before["web:0"]);
        assert!(detail(&home, "web").is_empty());
        // The daemon that comes next asks them so, too.
        let (daemon, before) = (home.daemon().expect("a daemon runs"), home.pids());
        procs::signal(daemon, Signal::KILL);
        assert!(procs::wait_gone(daemon, Duration::from_secs(30)));
        home.until("all are taken over", |all| all.iter().all(|one| one.state() == "online"));
        home.write("hang0", "");
        let is_another = |one: &Instance| one.pid() != Some(before["web:0"]) && one.state() == "online";
        home.until("web:0 is restarted", |all| all.iter().any(|one| one.label() == "web:0" && is_another(one)));
        let after = home.pids();
        assert_eq!([&after["web:1"], &after["web:2"]], [&before["web:1"], &before["web:2"]], "{distribution}");
    }
}

#[test]
fn what_does_not_answer_in_time_is_told_with_the_reason() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
    let check = json!({ "tcp": format!("localhost:{port}"), "startup": 1_000, "action": "none" });
    home.write_json("eco.json", &json!([checked("api", &check)]));
    home.exits(3, &["apply", "eco.json"])
        .says("no health check passed within 1s (health_check.startup): connection refused; it goes on running");
    assert!(procs::alive(home.pid("api:0")));
    // It comes up after all.
    let _listener = TcpListener::bind(("127.0.0.1", port)).expect("the same port");
    home.until_state("api:0", "online");
}

/// Nor does who comes after it.
#[test]
fn an_apply_waits_for_nobody_who_waits_for_what_is_not_well() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let check =
        json!({ "exec": ["sh", "-c", "test ! -e bad"], "interval": 100, "unhealthy_threshold": 1, "action": "none" });
    let dep = checked("dep", &check);
    let needs = |name: &str, other: &str| {
        json!({ "name": name, "script": "stay.sh", "interpreter": "bash",
            "depends_on": { other: { "condition": "healthy", "on_exit": "stop" } } })
    };
    let last = json!({ "name": "last", "script": "stay.sh", "interpreter": "bash",
        "depends_on": { "web": { "condition": "ready", "on_exit": "stop" } } });
    home.apply(&json!([dep, needs("web", "dep"), last]));
    home.write("bad", "");
    home.until_state("dep:0", "unhealthy");
    home.until_state("last:0", "waiting");
    home.exits(3, &["apply", "eco.json"])
        .says("`web:0` failed: it waits for `dep`")
        .says("`last:0` failed: it waits for");
    std::fs::remove_file(home.work.join("bad")).expect("it is there");
    home.until_state("last:0", "online");
    home.ok(&["apply", "eco.json"]);
}

#[test]
fn a_command_checks_with_the_apps_variables_and_leaves_nothing_behind() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("check.sh", "echo \"$PORT $NODE_APP_INSTANCE\" >> asked; test -e well");
    home.write("well", "");
    let check = json!({ "exec": "sh ./check.sh", "interval": 100, "unhealthy_threshold": 1, "action": "none" });
    let mut api = checked("api", &check);
    api["env"] = json!({ "PORT": 80 });
    home.write_json("eco.json", &json!([api]));
    home.ok(&["apply", "eco.json"]);
    std::fs::remove_file(home.work.join("well")).expect("it is there");
    home.until_state("api:0", "unhealthy");
    assert_eq!(detail(&home, "api"), "its command ended: exit code 1 (health_check)");
    assert!(std::fs::read_to_string(home.work.join("asked")).expect("it was asked").lines().all(|line| line == "80 0"));
    // One that hangs is ended, and counts as failed.
    home.write("check.sh", "sleep 1000 & wait");
    home.write_json(
        "eco.json",
        &json!([{ "name": "api", "script": "./stay.sh", "env": { "PORT": 80 },
        "health_check": { "exec": ["sh", "./check.sh"], "interval": 100, "timeout": 200, "action": "none" } }]),
    );
    home.ok(&["apply", "eco.json"]);
    home.until("it is told", |_| detail(&home, "api").contains("no answer within 200ms"));
    home.ok(&["kill"]);
    assert_eq!(procs::of_folder(&home.work), Vec::<u32>::new());
}

#[test]
fn what_needs_a_job_waits_until_it_is_done_and_a_dependency_takes_along_who_asked_for_it() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut gate = home.fifo("gate");
    let job = json!({ "name": "job", "script": "mkfifo open; echo here > ../gate; cat open", "autorestart": false });
    let mut web = stay("web");
    web["depends_on"] = json!({ "job": "completed", "db": { "on_exit": "restart" } });
    let apps = json!([job, stay("db"), web]);
    home.write_json("eco.json", &apps);
    let (child, _, _) = home.start_command(&mut home.command(&["apply", "eco.json"]));
    assert_eq!(gate.line(), "here");
    home.until_state("db:0", "online");
    assert!(!home.list().iter().any(|one| one.name() == "web"), "it is not begun");
    home.write("open", "go");
    let (status, said) = procs::finish(child);
    assert!(status.success(), "{said}");
    let web = home.pid("web:0");
    procs::signal(home.pid("db:0"), rustix::process::Signal::KILL);
    home.until("web is restarted", |all| {
        all.iter().any(|one| one.name() == "web" && one.pid() != Some(web) && one.state() == "online")
    });
    assert_eq!(detail(&home, "web"), "restarted: `db`, which it depends on, is back (on_exit)");
    let line = "`web:0` is restarted: `db`, which it depends on, is back (on_exit)";
    assert!(home.daemon_log().contains(line), "{}", home.daemon_log());
}

#[test]
fn a_job_that_fails_after_it_was_up_is_named_with_its_last_words() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let script = "mkfifo open; cat open; echo no such table >&2; exit 7";
    let job = json!({ "name": "job", "script": script, "autorestart": false, "min_uptime": 50 });
    let mut web = stay("web");
    web["depends_on"] = json!({ "job": "completed" });
    home.write_json("eco.json", &json!([job, web]));
    let (child, _, err) = home.start_command(&mut home.command(&["apply", "eco.json"]));
    home.until_state("job:0", "online");
    home.write("open", "go");
    let (status, _) = procs::finish(child);
    let said = std::fs::read_to_string(err).expect("what it said");
    assert_eq!(status.code(), Some(3), "{said}");
    for want in ["exit code 7", "no such table", "`job`, which it depends on, is not up"] {
        assert!(said.contains(want), "{want}: {said}");
    }
}
