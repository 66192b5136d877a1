//! Sockets that apps are given: in any language, one process relieves another and nobody is refused.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::{ask, free_port};
use crate::support::{Home, needs_node, needs_python, procs};

/// Ends when it is told to with what it is at, and says so.
const PYTHON: &str = r"
import os, signal, socket, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
assert os.environ['LISTEN_PID'] == str(os.getpid()), os.environ['LISTEN_PID']
assert os.environ['LISTEN_FDS'] == '1' and os.environ['LISTEN_FDNAMES'] == 'web'
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *words): pass
server = HTTPServer(('127.0.0.1', 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
assert server.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
signal.signal(signal.SIGINT, lambda *_: threading.Thread(target=server.shutdown).start())
print('serves', flush=True)
server.serve_forever(0.02)
";

/// Ends at once when it is told to, whatever it is at. Where there is to be a file, it waits for that before it serves.
const CARELESS: &str = r"
import os, socket, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
if 'BROKEN' in os.environ: sys.exit(7)
while 'GATE' in os.environ and not os.path.exists(os.environ['GATE']): time.sleep(0.01)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *words): pass
server = HTTPServer(('127.0.0.1', 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
print('serves', flush=True)
server.serve_forever()
";

const NODE: &str = "
const server = require('http').createServer((_, answer) => answer.end(`${process.pid}`))
server.listen({ fd: 3 }, () => process.send('ready'))
process.on('SIGINT', () => { server.close(() => process.exit(0)); server.closeIdleConnections() })
";

/// Asks by four clients, on a connection for each time, while something is done: how often, and how often in vain.
fn while_asking(port: u16, deed: impl FnOnce()) -> (u32, u32) {
    let over = AtomicBool::new(false);
    let client = || {
        let (mut asked, mut failed) = (0, 0);
        while !over.load(Ordering::Relaxed) && asked < 100_000 {
            asked += 1;
            failed += u32::from(ask(port).is_none());
        }
        (asked, failed)
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        deed();
        over.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().expect("it ends")).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    })
}

fn apps(port: u16) -> Vec<(&'static str, &'static str, Value)> {
    let socket = format!("web=tcp:127.0.0.1:{port}");
    let base = json!({ "name": "web", "listen": [socket], "kill_timeout": "10s" });
    let with = |more: Value| {
        let mut app = base.clone();
        app.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        app
    };
    let mut all = Vec::new();
    if needs_python() {
        all.push((
            "server.py",
            PYTHON,
            with(json!({ "script": "server.py", "interpreter": "python3", "min_uptime": 300 })),
        ));
    }
    if needs_node() {
        all.push(("server.js", NODE, with(json!({ "script": "server.js", "exec_mode": "fork", "wait_ready": true }))));
    }
    all
}

#[test]
fn one_process_relieves_another_in_any_language() {
    let port = free_port();
    for (file, text, mut app) in apps(port) {
        for instances in [1, 2] {
            let home = Home::new();
            home.write(file, text);
            app["instances"] = json!(instances);
            home.apply(&json!([app]));
            let before = home.pids();
            let (asked, failed) = while_asking(port, || {
                for _ in 0..3 {
                    home.ok(&["reload", "web"]);
                }
                app["env"] = json!({ "MORE": "1" });
                home.apply(&json!([app]));
            });
            assert_eq!(failed, 0, "of {asked} by {file}{}", home.daemon_log());
            assert!(before.iter().all(|(instance, pid)| home.pid(instance) != *pid));
            // Who dies is waited for.
            let (asked, failed) = while_asking(port, || {
                home.ok(&["restart", "web"]);
            });
            assert_eq!(failed, 0, "of {asked} by {file}{}", home.daemon_log());
            home.ok(&["stop", "web"]);
            home.until("nobody listens", |_| ask(port).is_none());
            assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
        }
    }
}

/// What serves without a thought of its end.
fn careless(home: &Home, port: u16, instances: u32) -> Value {
    home.write("careless.py", CARELESS);
    json!({
        "name": "web", "script": "careless.py", "interpreter": "python3", "listen": format!("tcp:127.0.0.1:{port}"),
        "instances": instances, "stop_signal": "SIGTERM", "ready_log": "^serves$",
    })
}

#[test]
fn who_ends_at_once_at_its_signal_has_answered_all_who_came() {
    if !needs_python() {
        return;
    }
    let port = free_port();
    for instances in [1, 3] {
        let home = Home::new();
        let mut app = careless(&home, port, instances);
        home.apply(&json!([app]));
        let before = home.pids();
        let (asked, failed) = while_asking(port, || {
            for _ in 0..3 {
                home.ok(&["reload", "web"]);
            }
            home.ok(&["reload", "web", "--parallel", "3"]);
            // Whoever does not come up was given nobody.
            let serving = home.pids();
            app["env"] = json!({ "BROKEN": "1" });
            home.write_json("eco.json", &json!([app]));
            home.exits(3, &["apply", "eco.json"]);
            assert_eq!(home.pids(), serving);
            app["env"] = json!({});
            home.apply(&json!([app]));
            home.ok(&["reload", "web"]);
            if instances > 1 {
                home.ok(&["scale", "web", "-1"]);
            }
        });
        assert_eq!(failed, 0, "of {asked}{}", home.daemon_log());
        assert!(home.pids().iter().all(|(instance, pid)| before.get(instance) != Some(pid)));
    }
}

#[test]
fn a_daemon_that_follows_knows_whom_to_give_who_connects() {
    if !needs_python() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    let mut app = careless(&home, port, 1);
    home.apply(&json!([app]));
    let (before, gate) = (home.pid("web:0"), home.work.join("gate"));
    app["env"] = json!({ "GATE": gate });
    app["listen_timeout"] = json!("60s");
    home.write_json("eco.json", &json!([app]));
    let (asked, failed) = while_asking(port, || {
        let (mut apply, ..) = home.start_command(&mut home.command(&["apply", "eco.json"]));
        home.until("another comes", |all| all.iter().any(|one| one.beside().is_some_and(|(_, pid)| pid.is_some())));
        procs::signal(home.daemon().expect("a daemon"), Signal::KILL);
        home.until("another daemon is there", |all| all.iter().any(|one| one.pid() == Some(before)));
        let _ = apply.wait();
        // It is the one before that still answers.
        assert_eq!(ask(port), Some(before.to_string()));
        home.write("gate", "");
        home.until("it has taken over, and is alone", |all| {
            all.iter().all(|one| one.pid() != Some(before) && one.beside().is_none() && one.state() == "online")
        });
        home.ok(&["reload", "web"]);
    });
    assert_eq!(failed, 0, "of {asked}{}", home.daemon_log());
}

#[test]
fn sockets_outlive_the_daemon_and_go_when_nobody_is_given_them_any_more() {
    if !needs_python() {
        return;
    }
    let (home, port, other) = (Home::new(), free_port(), free_port());
    let (file, text, mut app) = apps(port).remove(0);
    home.write(file, text);
    home.apply(&json!([app]));
    let pid = home.pid("web:0");
    procs::signal(home.daemon().expect("a daemon"), Signal::KILL);
    home.until("another serves", |_| home.daemon().is_some());
    assert_eq!(home.pid("web:0"), pid);
    let (asked, failed) = while_asking(port, || {
        home.ok(&["reload", "web"]);
        home.ok(&["daemon", "upgrade"]);
        home.ok(&["reload", "web"]);
    });
    assert_eq!(failed, 0, "of {asked}{}", home.daemon_log());
    // Elsewhere from now on.
    app["listen"] = json!([format!("web=tcp:127.0.0.1:{other}")]);
    home.apply(&json!([app]));
    assert!(ask(other).is_some());
    home.until("nobody listens", |_| TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn what_is_lost_with_everybody_keeps_nobody_from_being_relieved() {
    if !needs_python() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    let (file, text, mut app) = apps(port).remove(0);
    home.write(file, text);
    home.apply(&json!([app]));
    let before = home.pid("web:0");
    home.lose_daemon();
    // The process has its sockets still; nobody else does.
    app["env"] = json!({ "MORE": "1" });
    home.apply(&json!([app]));
    assert!(home.pid("web:0") != before && ask(port).is_some());
    let (asked, failed) = while_asking(port, || {
        home.ok(&["reload", "web"]);
    });
    assert_eq!(failed, 0, "of {asked}{}", home.daemon_log());
    home.ok(&["stop", "web"]);
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
}

#[test]
fn paths_and_datagrams_are_passed_too_and_keep_what_waits() {
    if !needs_python() {
        return;
    }
    let (home, port) = (Home::new(), free_port());
    let text = r"
import os, socket
tcp, udp = socket.socket(fileno=3), socket.socket(fileno=4)
print(os.environ['LISTEN_FDNAMES'], tcp.family.name, udp.type.name, flush=True)
while True:
    stream, _ = tcp.accept()
    stream.sendall(udp.recv(100))
    stream.close()
";
    home.write("app.py", text);
    let path = home.work.join("ü x.sock");
    let listen = json!([format!("unix:{}", path.display()), format!("udp:127.0.0.1:{port}")]);
    home.apply(&json!([{ "name": "a", "script": "app.py", "interpreter": "python3", "listen": listen }]));
    home.until("it runs", |_| home.log("a-out.log") == "unix:udp AF_UNIX SOCK_DGRAM\n");
    let pid = home.pid("a:0");
    procs::signal(pid, Signal::KILL);
    assert!(procs::wait_gone(pid, Duration::from_secs(30)));
    // While nobody is there, or somebody is about to be.
    UdpSocket::bind("127.0.0.1:0")
        .and_then(|socket| socket.send_to(b"hello", ("127.0.0.1", port)))
        .expect("it is open");
    let mut stream = UnixStream::connect(&path).expect("it is open");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("it answers");
    assert_eq!(said, "hello");
    home.ok(&["delete", "a"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while path.exists() {
        assert!(Instant::now() < deadline, "its file is left");
    }
}

#[test]
fn what_is_taken_or_is_no_address_is_said() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let socket = format!("tcp:{}", taken.local_addr().expect("its address"));
    let mut app = json!({ "name": "a", "script": "sleep 100", "listen": socket, "max_restarts": 1 });
    home.write_json("eco.json", &json!([app]));
    home.exits(3, &["apply", "eco.json"])
        .says(&format!("cannot listen on `{socket}` (listen): Address already in use"));
    drop(taken);
    home.ok(&["apply", "eco.json"]);
    for (listen, problem) in [
        ("tcp:80x", "must be an address such as `tcp:0.0.0.0:8000`"),
        ("unix:x.sock", "must have an absolute path after `unix:`"),
        ("tcp:0", "must have a port from 1 to 65535"),
    ] {
        app["listen"] = json!(listen);
        home.write_json("eco.json", &json!([app]));
        home.exits(65, &["apply", "eco.json"]).says(problem);
    }
}
