//! Instances of unchanged Node servers share what they listen on, and nothing that pmrun does refuses a connection.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, Instance, needs_node, procs};

const SOON: Duration = Duration::from_secs(30);

/// Answers with its pid, its worker's number, and the port of its request.
const SERVER: &str = "
const http = require('http'), cluster = require('cluster')
http.createServer((question, answer) => answer.end(`${process.pid} ${cluster.isWorker && cluster.worker.id}`))
  .listen(process.env.LISTEN || Number(process.env.PORT), () => console.log('listens'))
";

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port()
}

fn server(port: u16, instances: u32) -> Value {
    json!({ "name": "web", "script": "server.js", "instances": instances, "env": { "PORT": port.to_string() } })
}

/// What it answers; none where the connection is refused or cut.
pub(crate) fn ask(port: u16) -> Option<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    answer(stream)
}

fn answer(mut stream: impl std::io::Read + std::io::Write) -> Option<String> {
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text.rsplit_once("\r\n\r\n")?.1.to_owned())
}

/// Asks until so many have answered.
#[track_caller]
fn all_answer(port: u16, count: usize) -> BTreeSet<String> {
    let (mut seen, deadline) = (BTreeSet::new(), Instant::now() + SOON);
    while seen.len() < count {
        seen.extend(ask(port));
        assert!(Instant::now() < deadline, "only {seen:?} answer");
    }
    seen
}

/// The pid of the one process that is there beside the one that serves.
#[track_caller]
fn until_beside(home: &Home, state: &str) -> u32 {
    let of = |known: &Instance| {
        let beside = known.beside().filter(|(beside, _)| beside == state)?;
        beside.1
    };
    let all = home.until(&format!("one is {state} beside another"), |all| all.iter().any(|known| of(known).is_some()));
    all.iter().find_map(of).expect("it was there")
}

fn workers(home: &Home, instances: u32) -> BTreeSet<String> {
    (0..instances).map(|slot| format!("{} {}", home.pid(&format!("web:{slot}")), slot + 1)).collect()
}

#[test]
fn the_instances_of_an_unchanged_server_share_its_port() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write("server.js", SERVER);
    home.apply(&json!([server(port, 3)]));
    assert_eq!(all_answer(port, 3), workers(&home, 3));
    // One more, and the others are not touched.
    let before = home.pids();
    home.apply(&json!([server(port, 4)]));
    assert_eq!(all_answer(port, 4), workers(&home, 4));
    assert!(before.iter().all(|(instance, pid)| home.pid(instance) == *pid));
    home.apply(&json!([server(port, 2)]));
    assert_eq!(all_answer(port, 2), workers(&home, 2));
    home.ok(&["stop", "web"]);
    home.until("nobody listens", |_| ask(port).is_none());
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
}

#[test]
fn nobody_is_refused_while_a_server_is_started_anew() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write("server.js", SERVER);
    home.apply(&json!([server(port, 1)]));
    for signal in [Signal::KILL, Signal::TERM] {
        let pid = home.pid("web:0");
        procs::signal(pid, signal);
        assert!(procs::wait_gone(pid, SOON));
        // The process is gone, and who connects is answered by the next one.
        let answer = ask(port).expect("an answer");
        assert!(!answer.starts_with(&pid.to_string()), "{answer}");
    }
    home.ok(&["restart", "web"]);
    assert!(ask(port).is_some());
}

#[test]
fn who_waits_for_a_server_is_let_go_when_that_listens_elsewhere() {
    if !needs_node() {
        return;
    }
    let (home, port, other) = (Home::new(), free_port(), free_port());
    home.write("server.js", SERVER);
    let app = |port: u16| {
        let mut app = server(port, 1);
        app["distribution"] = json!("round_robin");
        (app["drain_timeout"], app["kill_timeout"]) = (json!(200), json!(200));
        json!([app])
    };
    home.apply(&app(port));
    // It is given those who come, and takes none.
    procs::signal(home.pid("web:0"), Signal::STOP);
    let waiting: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the daemon accepts");
            stream.set_read_timeout(Some(SOON)).expect("a socket");
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it is sent");
            stream
        })
        .collect();
    home.apply(&app(other));
    assert!(ask(other).is_some());
    for mut stream in waiting {
        let end = stream.read(&mut [0; 64]);
        let waits = end.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!waits && !matches!(end, Ok(1..)), "{end:?}");
    }
}

#[test]
fn a_worker_that_disconnects_and_goes_on_running_is_replaced() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write(
        "server.js",
        "
        const cluster = require('cluster')
        require('http').createServer((question, answer) => {
          answer.shouldKeepAlive = false
          answer.end(String(process.pid))
          if (question.url === '/leave') cluster.worker.disconnect()
        }).listen(Number(process.env.PORT))
        setInterval(() => {}, 1000)
        ",
    );
    let mut app = server(port, 1);
    app["kill_timeout"] = json!(300);
    home.apply(&json!([app]));
    let before = home.pid("web:0");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.write_all(b"GET /leave HTTP/1.0\r\n\r\n").expect("it is sent");
    stream.read_to_string(&mut String::new()).expect("an answer");
    // Who comes meanwhile waits for the next.
    let answer = ask(port).expect("an answer");
    assert_ne!(answer, before.to_string());
    home.until_state("web:0", "online");
    assert!(procs::wait_gone(before, SOON));
    home.ok(&["why", "web"]).prints("disconnected from its cluster by itself");
    home.ok(&["events", "web"]).prints("disconnected from its cluster by itself");
}

#[test]
fn workers_outlive_the_daemon_and_listen_under_the_next_one() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write("server.js", SERVER);
    home.apply(&json!([server(port, 2)]));
    let pids = home.pids();
    for upgrade in [false, true, false] {
        let daemon = home.daemon().expect("a daemon");
        if upgrade {
            home.ok(&["daemon", "upgrade"]);
        } else {
            procs::signal(daemon, Signal::KILL);
            assert!(ask(port).is_some());
            home.until("another serves", |_| home.daemon().is_some_and(|other| other != daemon));
        }
        assert_eq!(home.pids(), pids);
        assert_eq!(all_answer(port, 2), workers(&home, 2));
    }
    // The sockets are the same ones still.
    let pid = home.pid("web:0");
    procs::signal(pid, Signal::KILL);
    home.until("it is back", |all| all.iter().any(|known| known.restarts() == 1 && known.state() == "online"));
    assert_eq!(all_answer(port, 2), workers(&home, 2));
    home.ok(&["delete", "web"]);
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
}

#[test]
fn workers_outlive_daemon_and_keeper_together_and_are_replaced_without_a_gap_all_the_same() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write("server.js", SERVER);
    home.write_json("eco.json", &json!([server(port, 2)]));
    home.ok(&["apply", "eco.json"]);
    // Each is by its second name then.
    home.ok(&["reload", "web"]);
    let (pids, served) = (home.pids(), workers(&home, 2));
    home.lose_daemon();
    assert_eq!((all_answer(port, 2), home.pids()), (served, pids.clone()));
    home.exits(0, &["drift"]);
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids(), pids);
    home.ok(&["restart", "web"]);
    assert_eq!(all_answer(port, 2), workers(&home, 2));
    home.lose_daemon();
    for pid in home.marked().into_values().flatten() {
        procs::signal(pid, Signal::KILL);
    }
    home.until("they are down", |_| ask(port).is_none());
    home.exits(2, &["drift"]).prints("should run and is down, and no daemon runs: web:0, web:1");
}

/// Nobody can tell it any more to leave: it is sent a signal, of which it would die.
#[test]
fn a_worker_without_a_channel_finishes_what_it_has_begun() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write(
        "server.js",
        "require('http').createServer((_, answer) => {
          answer.write('first')
          process.once('SIGUSR2', () => answer.end('last'))
        }).listen(process.env.PORT)",
    );
    let mut app = server(port, 1);
    (app["exec_mode"], app["kill_timeout"]) = (json!("cluster"), json!(20_000));
    home.apply(&json!([app]));
    let mut held = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    held.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it reads");
    held.set_read_timeout(Some(SOON)).expect("a socket");
    let (mut text, mut some) = (String::new(), [0; 256]);
    while !text.ends_with("first") {
        let count = held.read(&mut some).expect("it answers");
        text.push_str(std::str::from_utf8(&some[..count]).expect("UTF-8"));
    }
    let pid = home.pid("web:0");
    home.lose_daemon();
    home.ok(&["apply", "eco.json"]);
    let (mut reload, ..) = home.start_command(&mut home.command(&["reload", "web"]));
    assert_eq!(until_beside(&home, "stopping"), pid);
    procs::signal(pid, Signal::USR2);
    held.read_to_string(&mut text).expect("it goes on");
    assert!(text.ends_with("firstlast"), "{text}");
    assert!(reload.wait().expect("reaped").success());
    assert!(!procs::alive(pid));
}

#[test]
fn without_its_preload_a_worker_runs_all_the_same() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write("server.js", SERVER);
    home.apply(&json!([server(port, 1)]));
    let preload = home.folder.join("preload.cjs");
    std::fs::remove_file(&preload).expect("it was there");
    home.ok(&["restart", "web"]);
    assert!(preload.is_file(), "it is written again");
    std::fs::remove_file(&preload).expect("it was there");
    std::fs::create_dir(&preload).expect("a folder");
    home.ok(&["restart", "web"]);
    assert!(home.daemon_log().contains("cannot write"), "{}", home.daemon_log());
}

#[test]
fn a_port_of_somebody_elses_is_an_error_in_the_app() {
    if !needs_node() {
        return;
    }
    let home = Home::new();
    home.write("server.js", SERVER);
    let other = TcpListener::bind("[::]:0").expect("a port");
    let port = other.local_addr().expect("its address").port();
    let mut app = server(port, 2);
    app["max_restarts"] = json!(1);
    home.write_json("eco.json", &json!([app]));
    home.exits(3, &["apply", "eco.json"]).says("EADDRINUSE");
}

#[test]
fn other_ports_take_the_place_of_those_that_nobody_asks_for_again() {
    if !needs_node() {
        return;
    }
    let (home, old, new) = (Home::new(), free_port(), free_port());
    home.write("server.js", SERVER);
    home.apply(&json!([server(old, 2)]));
    home.apply(&json!([server(new, 2)]));
    assert_eq!(all_answer(new, 2), workers(&home, 2));
    home.until("the old one is closed", |_| TcpListener::bind(("127.0.0.1", old)).is_ok());
    assert_eq!(all_answer(new, 2), workers(&home, 2));
}

#[test]
fn unix_sockets_any_port_and_datagrams_are_one_for_all() {
    if !needs_node() {
        return;
    }
    let home = Home::new();
    home.write("server.js", SERVER);
    let path = home.folder.join("web.sock");
    let mut app = server(0, 2);
    app["env"] = json!({ "LISTEN": path.to_str() });
    let any = "
        const net = require('net'), dgram = require('dgram')
        const server = net.createServer(socket => socket.end()).listen(0, () => {
          const socket = dgram.createSocket('udp4').bind(0, () => console.log(server.address().port, socket.address().port))
        })";
    home.write("any.js", any);
    home.apply(&json!([app, { "name": "any", "script": "any.js", "instances": 2 }]));
    let (mut seen, deadline) = (BTreeSet::new(), Instant::now() + SOON);
    while seen.len() < 2 {
        seen.extend(UnixStream::connect(&path).ok().and_then(answer));
        assert!(Instant::now() < deadline, "only {seen:?} answer");
    }
    assert_eq!(seen, workers(&home, 2));
    home.until("both have said it", |_| {
        home.log("any-out.log").lines().count() + home.log("any-out-1.log").lines().count() == 2
    });
    assert_eq!(home.log("any-out.log"), home.log("any-out-1.log"));
    home.ok(&["delete", "all"]);
    home.until("its file is gone", |_| !path.exists());
}

#[test]
fn messages_and_handles_of_a_worker_stop_nothing() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    // Long messages, a handle for nobody, and only then `ready` and the server: node sends nothing more before a handle
    // has arrived.
    let text = format!(
        "const net = require('net'), http = require('http')
         process.send({{ long: 'x'.repeat(300000) }})
         const gift = net.createServer().listen({{ port: 0, exclusive: true }}, () => {{
           process.send('here', gift, () => {{
             process.send('ready')
             http.createServer((_, answer) => answer.end('yes')).listen({port})
           }})
         }})
         setInterval(() => process.send({{ cmd: 'NODE_CLUSTER', act: 'nonsense', seq: 'x' }}), 20)"
    );
    home.write("server.js", text);
    let mut app = server(port, 2);
    app["wait_ready"] = json!(true);
    home.apply(&json!([app]));
    assert_eq!(ask(port).as_deref(), Some("yes"));
    assert_eq!(home.list().iter().map(Instance::restarts).sum::<u64>(), 0);
}

/// As [`ask`], on a connection that is kept as long as the server says so.
fn ask_again(port: u16, held: &mut Option<BufReader<TcpStream>>) -> Option<()> {
    let mut stream = match held.take() {
        Some(stream) => stream,
        None => BufReader::new(TcpStream::connect(("127.0.0.1", port)).ok()?),
    };
    stream.get_ref().set_read_timeout(Some(SOON)).ok()?;
    stream.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let (mut length, mut is_last) = (None, false);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        is_last |= line == "connection: close";
        length = line.strip_prefix("content-length: ").map_or(length, |length| length.parse().ok());
    }
    stream.read_exact(&mut vec![0; length?]).ok()?;
    *held = (!is_last).then_some(stream);
    Some(())
}

/// Asks again and again while something is done, on a connection for each time and on one that is kept: how often, and how
/// often in vain.
fn while_asking(port: u16, deed: impl FnOnce()) -> (u32, u32) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = || {
            let (mut asked, mut failed) = (0, 0);
            while !over.load(Ordering::Relaxed) && asked < 100_000 {
                asked += 1;
                failed += u32::from(ask(port).is_none());
            }
            (asked, failed)
        };
        let loyal = || {
            let (mut asked, mut failed, mut held) = (0, 0, None);
            while !over.load(Ordering::Relaxed) && asked < 100_000 {
                asked += 1;
                failed += u32::from(ask_again(port, &mut held).is_none());
            }
            (asked, failed)
        };
        let mut clients: Vec<_> = (0..3).map(|_| scope.spawn(client)).collect();
        clients.push(scope.spawn(loyal));
        deed();
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().expect("it ends")).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    })
}

#[test]
fn no_request_is_lost_by_reload_apply_or_scaling() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    // As naive as servers are: no handler of signals, and each request takes a while.
    let slow =
        SERVER.replace("answer.end(", "setTimeout(() => answer.end(").replace("worker.id}`))", "worker.id}`), 20))");
    home.write("server.js", slow);
    home.apply(&json!([server(port, 2)]));
    let before = home.pids();
    let (asked, failed) = while_asking(port, || {
        for _ in 0..3 {
            home.ok(&["reload", "web"]);
        }
    });
    assert_eq!(failed, 0, "of {asked}{}", home.daemon_log());
    assert!(before.iter().all(|(instance, pid)| home.pid(instance) != *pid));
    let (asked, failed) = while_asking(port, || {
        let mut app = server(port, 3);
        app["env"]["MORE"] = json!("1");
        home.apply(&json!([app.clone()]));
        app["instances"] = json!(1);
        home.apply(&json!([app]));
    });
    assert_eq!(failed, 0, "of {asked}{}", home.daemon_log());
}

#[test]
fn what_never_ends_holds_a_reload_up_for_the_drain_timeout_and_a_stop_not_at_all() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write(
        "server.js",
        "require('http').createServer((_, answer) => answer.write('never')).listen(process.env.PORT)",
    );
    let mut app = server(port, 1);
    app["drain_timeout"] = json!("600s");
    home.apply(&json!([app.clone()]));
    let mut held = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    held.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    held.read_exact(&mut [0; 12]).expect("it answers");
    let (mut reload, ..) = home.start_command(&mut home.command(&["reload", "web"]));
    until_beside(&home, "stopping");
    home.ok(&["show", "web"]).prints("(drain_timeout)");
    home.ok(&["stop", "web"]);
    let _ = reload.wait();
    assert_eq!(home.state("web:0"), "stopped");
    drop(held);
    app["drain_timeout"] = json!(200);
    home.apply(&json!([app]));
    let mut held = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    held.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
    held.read_exact(&mut [0; 12]).expect("it answers");
    let pid = home.pid("web:0");
    home.ok(&["reload", "web"]);
    assert_ne!(home.pid("web:0"), pid);
}

#[test]
fn who_connects_while_an_instance_finishes_or_is_down_is_served_by_the_others() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    let text = SERVER.replace("=> answer.end(", "=> question.url == '/never' ? answer.write('never') : answer.end(");
    home.write("server.js", text);
    let mut app = server(port, 2);
    app["drain_timeout"] = json!("600s");
    home.apply(&json!([app.clone()]));
    // Requests that never end hold both up, whichever is first.
    let held: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut held = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            held.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").expect("it reads");
            held.read_exact(&mut [0; 12]).expect("it answers");
            held
        })
        .collect();
    let (mut reload, ..) = home.start_command(&mut home.command(&["reload", "web"]));
    let draining = until_beside(&home, "stopping");
    for _ in 0..50 {
        let answer = ask(port).expect("an answer");
        assert!(!answer.starts_with(&draining.to_string()), "{answer} of the one that finishes");
    }
    home.ok(&["stop", "web"]);
    let _ = reload.wait();
    drop(held);
    // A crash loop of one slot is nobody's business but its own.
    home.write("server.js", "if (process.env.NODE_APP_INSTANCE === '1') process.exit(1)\n".to_owned() + SERVER);
    app["restart_delay"] = json!(4_000);
    home.write_json("eco.json", &json!([app]));
    home.exits(3, &["apply", "eco.json"]);
    for _ in 0..50 {
        assert!(ask(port).is_some());
    }
}

/// Milliseconds of processor time that a process has used.
fn cpu_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    (fields[11].parse::<u64>().expect("a number") + fields[12].parse::<u64>().expect("a number")) * 10
}

#[test]
fn a_worker_that_leaves_its_channel_or_its_port_and_lives_on_costs_nothing() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    let text = "
        const http = require('http'), cluster = require('cluster')
        const server = http.createServer((question, answer) => {
          answer.end('yes')
          if (question.url == '/disconnect') cluster.worker.disconnect()
          if (question.url == '/close') server.close()
        }).listen(process.env.PORT)
        setInterval(() => {}, 1000)";
    home.write("server.js", text);
    home.write("alone.js", "process.disconnect(); setInterval(() => {}, 1000); console.log('alone')");
    home.apply(&json!([server(port, 2), { "name": "alone", "script": "alone.js" }]));
    home.until("it is alone", |_| home.log("alone-out.log") == "alone\n");
    for path in ["/close", "/disconnect"] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        home.ok(&["restart", "web:1"]);
    }
    let daemon = home.daemon().expect("a daemon");
    let before = cpu_ms(daemon);
    for _ in 0..20 {
        home.ok(&["ping"]);
    }
    home.ok(&["restart", "web"]);
    assert!(ask(port).is_some());
    let used = cpu_ms(daemon) - before;
    assert!(used < 2_000, "{used} ms");
}

#[test]
fn what_is_told_to_shut_down_is_told_so_by_a_reload_too() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    let text = "
        const server = require('http').createServer((_, answer) => answer.end('yes')).listen(process.env.PORT)
        process.on('message', message => {
          if (message == 'shutdown') { console.log('asked'); server.close(() => process.exit(0)) }
        })";
    home.write("server.js", text);
    let mut app = server(port, 2);
    app["shutdown_with_message"] = json!(true);
    home.apply(&json!([app]));
    let (asked, failed) = while_asking(port, || _ = home.ok(&["reload", "web"]));
    assert_eq!(failed, 0, "of {asked}");
    assert_eq!((home.log("web-out.log").as_str(), home.log("web-out-1.log").as_str()), ("asked\n", "asked\n"));
}

#[test]
fn a_new_build_that_fails_leaves_every_old_process_serving() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write("server.js", SERVER);
    let mut app = server(port, 2);
    app["listen_timeout"] = json!(700);
    home.apply(&json!([app.clone()]));
    let before = home.pids();
    let crashes = "console.error('broken build'); setTimeout(() => process.exit(7), 100)";
    let no_script = "process.send";
    for (build, status, words) in [
        (crashes.to_owned(), "exit code 7", "broken build"),
        (format!("{no_script}({{}}); throw new Error('at once')"), "exit code 1", "at once"),
    ] {
        home.write("server.js", build);
        let (asked, failed) = while_asking(port, || {
            let failed = home.exits(3, &["reload", "web"]);
            failed.says(status).says(words).says("goes on");
        });
        assert_eq!((failed, home.pids()), (0, before.clone()), "of {asked}{}", home.daemon_log());
        home.until("it is gone", |all| all.iter().all(|known| known.beside().is_none()));
    }
    // The same where it does not say that it is ready, or is ill.
    app["wait_ready"] = json!(true);
    home.write("server.js", format!("{SERVER}\nsetTimeout(() => process.send('ready'), 50)"));
    home.apply(&json!([app.clone()]));
    let before = home.pids();
    home.write("server.js", SERVER);
    let (asked, failed) = while_asking(port, || {
        home.exits(3, &["reload", "web"]).says("not ready within 700ms");
    });
    assert_eq!((failed, home.pids()), (0, before), "of {asked}{}", home.daemon_log());
    home.ok(&["why", "web:0"]).prints("the new one failed");
    // A way that works is taken.
    home.write("server.js", format!("{SERVER}\nprocess.send('ready')"));
    home.ok(&["reload", "--parallel", "2", "web"]);
    assert_eq!(all_answer(port, 2), workers(&home, 2));
}

/// Answers who looks whether it is well as `health` says, and everybody else by `answer`.
fn with_health(health: u32, answer: &str) -> String {
    format!(
        "require('http').createServer((question, answer) => {{
           if (question.url === '/health') {{ answer.statusCode = {health}; answer.end() }} else {{ {answer} }}
         }}).listen(Number(process.env.PORT))"
    )
}

#[test]
fn nobody_is_served_by_a_new_build_that_is_not_well() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    let good = |text: &str| with_health(200, &format!("answer.end('{text}')"));
    home.write("server.js", good("first"));
    let mut app = server(port, 2);
    app["health_check"] =
        json!({ "http": format!("http://127.0.0.1:{port}/health"), "startup": "1s", "interval": "1s" });
    home.apply(&json!([app]));
    let answers = || (0..20).filter_map(|_| ask(port)).collect::<BTreeSet<String>>();
    for (round, dies) in [(0, false), (1, true)] {
        // Whom it accepts it cuts off.
        home.write("server.js", with_health(500, "question.socket.destroy()"));
        let before = home.pids();
        let (asked, failed) = while_asking(port, || {
            home.exits(3, &["reload", "web"]).says("status 500").says("goes on");
        });
        assert_eq!((failed, home.pids()), (0, before), "round {round}, of {asked}{}", home.daemon_log());
        home.until("it is gone", |all| all.iter().all(|known| known.beside().is_none()));
        if dies {
            let daemon = home.daemon().expect("a daemon");
            procs::signal(daemon, Signal::KILL);
            home.until("another daemon serves", |_| home.daemon().is_some_and(|now| now != daemon));
        }
        let text = format!("next {round}");
        home.write("server.js", good(&text));
        let (asked, failed) = while_asking(port, || {
            home.ok(&["reload", "web"]);
        });
        assert_eq!(failed, 0, "round {round}, of {asked}{}", home.daemon_log());
        assert_eq!(answers(), BTreeSet::from([text]));
    }
    // Who is started anew, or comes in addition, serves as ever.
    let killed = home.pid("web:0");
    procs::signal(killed, Signal::KILL);
    home.until("it is back", |all| {
        all.iter().any(|known| known.label() == "web:0" && known.state() == "online" && known.pid() != Some(killed))
    });
    home.ok(&["scale", "web", "3"]);
    let (asked, failed) = while_asking(port, || {
        home.ok(&["reload", "web"]);
        home.ok(&["scale", "web", "2"]);
    });
    assert_eq!(failed, 0, "of {asked}{}", home.daemon_log());
}

/// Before the new one listens, the old ones answer at its port: that is no proof of its health, and hides none.
#[test]
fn who_is_checked_is_the_new_one_though_nobody_knows_the_sockets_of_the_old() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write("server.js", with_health(200, "answer.end('served')"));
    let mut app = server(port, 2);
    app["health_check"] =
        json!({ "http": format!("http://127.0.0.1:{port}/health"), "startup": "5s", "interval": "1s" });
    home.write_json("eco.json", &json!([app]));
    home.ok(&["apply", "eco.json"]);
    home.lose_daemon();
    home.ok(&["apply", "eco.json"]);
    let before = home.pids();
    // Who connects while all are suspended waits in the sockets of the old ones.
    for pid in before.values() {
        procs::signal(*pid, Signal::STOP);
    }
    let waits: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("it listens")).collect();
    home.ok(&["reload", "web"]);
    assert!(home.pids().iter().all(|(name, pid)| before[name] != *pid));
    // Copies of those may be had by root, and by others where ptrace(2) may be used.
    if rustix::process::geteuid().is_root() {
        assert!(waits.into_iter().all(|stream| answer(stream).is_some_and(|text| text == "served")));
    }
}

/// Nobody else keeps it open then, and who comes next finds the port free.
#[test]
fn what_a_worker_has_opened_for_itself_stays_its_own() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    let own = SERVER.replace(
        "process.env.LISTEN || Number(process.env.PORT)",
        "{ port: Number(process.env.PORT), exclusive: true }",
    );
    home.write("server.js", own);
    let mut app = server(port, 1);
    app["exec_mode"] = json!("cluster");
    app["listen_timeout"] = json!(1_000);
    home.write_json("eco.json", &json!([app]));
    let _ = home.run(&["apply", "eco.json"]);
    home.until("it serves", |_| ask(port).is_some());
    home.lose_daemon();
    let _ = home.run(&["apply", "eco.json"]);
    let before = home.pid("web:0");
    let _ = home.run(&["restart", "web"]);
    let after = home.pid("web:0");
    assert_ne!(before, after);
    home.until("the next one serves", |_| ask(port).is_some_and(|said| said.starts_with(&format!("{after} "))));
}

#[test]
fn one_instance_is_relieved_without_a_moment_in_which_nobody_serves() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    // Whoever had to wait for its start would wait for long.
    home.write("server.js", format!("const until = Date.now() + 600; while (Date.now() < until);\n{SERVER}"));
    home.apply(&json!([server(port, 1)]));
    let slowest = std::sync::Mutex::new(Duration::ZERO);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100_000 {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let begun = Instant::now();
                assert!(ask(port).is_some());
                let mut slowest = slowest.lock().expect("nobody panics with it");
                *slowest = begun.elapsed().max(*slowest);
            }
        });
        for _ in 0..3 {
            home.ok(&["reload", "web"]);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(home.list()[0].restarts(), 3);
    let pid_file = std::fs::read_to_string(home.folder.join("pids/web-0.pid")).expect("a pid file");
    assert_eq!(pid_file.trim(), home.pid("web:0").to_string());
    eprintln!("slowest answer: {:?}", slowest.lock().expect("nobody panics with it"));
}

#[test]
fn who_is_whose_outlives_the_daemon_in_the_middle_of_a_reload() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write("server.js", format!("{SERVER}\nprocess.on('message', () => {{}})"));
    let mut app = server(port, 1);
    app["wait_ready"] = json!(true);
    app["listen_timeout"] = json!("60s");
    app["drain_timeout"] = json!("60s");
    home.write("server.js", format!("{SERVER}\nif (require('fs').existsSync('ready')) process.send('ready')"));
    home.write("ready", "");
    home.apply(&json!([app]));
    let old = home.pid("web:0");
    std::fs::remove_file(home.work.join("ready")).expect("it was there");
    // One is on its way.
    let (mut reload, ..) = home.start_command(&mut home.command(&["reload", "web"]));
    let new = until_beside(&home, "starting");
    procs::signal(home.daemon().expect("a daemon"), Signal::KILL);
    let _ = reload.wait();
    home.until("another daemon serves", |all| all.first().is_some_and(|known| known.beside().is_some()));
    assert_eq!((home.pid("web:0"), until_beside(&home, "starting")), (old, new));
    assert!(ask(port).is_some());
    // What is on its way is not left over when its app stops.
    home.ok(&["stop", "web"]);
    assert!(!procs::alive(old) && !procs::alive(new));
}

#[test]
fn scaling_touches_no_other_instance_and_is_drift() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write("server.js", SERVER);
    home.write_json("eco.json", &json!([server(port, 2)]));
    home.ok(&["apply", "eco.json"]);
    let before = home.pids();
    let (asked, failed) = while_asking(port, || {
        home.ok(&["scale", "web", "4"]);
        assert_eq!(all_answer(port, 4), workers(&home, 4));
        home.ok(&["scale", "web", "-1"]);
    });
    assert_eq!(failed, 0, "of {asked}{}", home.daemon_log());
    assert_eq!(all_answer(port, 3), workers(&home, 3));
    assert!(before.iter().all(|(instance, pid)| home.pid(instance) == *pid));
    home.exits(2, &["drift"]).prints("instances changed by hand: 2 -> 3");
    home.ok(&["history"]).prints("scale web 4").prints("scale web -1");
    home.ok(&["scale", "web", "3"]);
    home.exits(1, &["scale", "web", "-3"]).says("`web` has 3 instances, and would have 0: 1 to 512 can be had");
    home.exits(1, &["scale", "nobody", "2"]);
    home.exits(64, &["scale", "web", "two"]);
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids(), before);
}

#[test]
fn who_connects_is_shared_out_as_the_app_says() {
    if !needs_node() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    home.write("server.js", SERVER);
    // By the daemon that has opened the sockets itself.
    for distribution in ["shared", "sticky", "round_robin", "shared", "reuseport"] {
        let mut app = server(port, 3);
        app["distribution"] = json!(distribution);
        home.apply(&json!([app]));
        assert!(ask(port).is_some(), "{distribution}");
    }
    for distribution in ["round_robin", "sticky", "shared", "reuseport"] {
        let mut app = server(port, 3);
        app["distribution"] = json!(distribution);
        // From one to the other without a gap.
        let (asked, failed) = while_asking(port, || {
            home.apply(&json!([app]));
            home.ok(&["reload", "web"]);
        });
        // One that it has accepted and not given to anybody yet goes with it: nobody asks just now.
        procs::signal(home.daemon().expect("a daemon"), Signal::KILL);
        home.until("another serves", |_| home.daemon().is_some());
        assert_eq!(failed, 0, "of {asked} by {distribution}{}", home.daemon_log());
        let seen: Vec<String> = (0..30).filter_map(|_| ask(port)).collect();
        let of = |worker: &String| seen.iter().filter(|answer| *answer == worker).count();
        let counts: Vec<usize> = workers(&home, 3).iter().map(of).collect();
        match distribution {
            "round_robin" => assert_eq!(counts, [10, 10, 10]),
            "sticky" => assert_eq!(counts.iter().max(), Some(&30), "{counts:?}"),
            _ => assert_eq!(counts.iter().sum::<usize>(), 30),
        }
        // Those of who dies come to others.
        procs::signal(home.pid("web:1"), Signal::KILL);
        for _ in 0..20 {
            assert!(ask(port).is_some());
        }
        home.until_state("web:1", "online");
    }
}
