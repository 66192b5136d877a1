//! Node's cluster protocol, spoken with real ones: that of PATH, and each that `PMRUN_TEST_NODES` names (paths, with `:` between
//! them; `.ci/run` gets those of the supported versions).

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::free_port;
use crate::support::{Home, needs_node};

const SOON: Duration = Duration::from_secs(30);

/// Listens in every way, and is ready when all of that and what it has to say has come to the other end: a descriptor, of which
/// node waits to hear that it has arrived, and a message of 300 KB.
const KIT: &str = r"
const cluster = require('cluster'), dgram = require('dgram'), http = require('http'), net = require('net')
const port = Number(process.env.PORT)
const any = [net.createServer(), net.createServer()], ports = []
let twice, left = 6
const up = () => {
  if (--left) return
  net.createServer().listen({ port: 0, exclusive: true }, function () {
    process.send({ type: 'a server' }, this)
    process.send({ type: 'long', text: 'x'.repeat(300 * 1024) })
    process.send('ready')
  }).unref()
}
http.createServer((question, answer) => {
  answer.shouldKeepAlive = false
  const known = {
    pid: process.pid, id: cluster.worker.id, primary: cluster.isMaster, version: process.version, twice,
    any: ports, leaked: Boolean(process.env.NODE_CHANNEL_FD || process.env.NODE_UNIQUE_ID),
  }
  answer.end(JSON.stringify(known))
  if (question.url === '/disconnect') cluster.worker.disconnect()
  if (question.url === '/kill') cluster.worker.kill()
}).listen(port, () => {
  http.createServer().on('error', error => { twice = error.code; up() }).listen(port)
  up()
})
net.createServer(socket => socket.end(String(process.pid))).listen(process.env.SOCKET, up)
const udp = dgram.createSocket('udp4')
udp.on('message', (_, from) => udp.send(String(process.pid), from.port, from.address)).bind(port, '127.0.0.1', up)
any.forEach((server, at) => server.listen(0, '127.0.0.1', () => { ports[at] = server.address().port; up() }))
";

/// Node, and what it calls itself.
fn nodes() -> Vec<PathBuf> {
    let named = std::env::var("PMRUN_TEST_NODES").unwrap_or_default();
    let mut nodes: Vec<PathBuf> = named.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    assert!(nodes.iter().all(|node| node.is_file()), "PMRUN_TEST_NODES names what is not there: {named}");
    if needs_node() {
        nodes.push(PathBuf::from("node"));
    }
    nodes
}

fn get(port: u16, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(SOON)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.rsplit_once("\r\n\r\n")?.1).ok()
}

/// What the workers say of themselves, once as many have.
#[track_caller]
fn all(port: u16, count: usize) -> Vec<Value> {
    let (mut seen, mut found, deadline) = (BTreeSet::new(), Vec::new(), Instant::now() + SOON);
    while found.len() < count {
        let one = get(port, "/").expect("an answer");
        if seen.insert(one["pid"].as_u64()) {
            found.push(one);
        }
        assert!(Instant::now() < deadline, "only {found:?}");
    }
    found
}

fn ids(workers: &[Value]) -> BTreeSet<u64> {
    workers.iter().filter_map(|worker| worker["id"].as_u64()).collect()
}

fn serves(node: &str, distribution: &str) {
    let (home, port) = (Home::new(), free_port());
    home.write("kit.js", KIT);
    let socket = home.work.join("s");
    let env = json!({ "PORT": port.to_string(), "SOCKET": socket });
    home.apply(&json!([{
        "name": "kit", "script": "kit.js", "interpreter": node, "exec_mode": "cluster", "instances": 2, "env": env,
        "wait_ready": true, "listen_timeout": "25s", "distribution": distribution,
    }]));
    let workers = all(port, 2);
    let context = format!("{node} {distribution}: {workers:?}");
    assert_eq!(ids(&workers), BTreeSet::from([1, 2]), "{context}");
    for worker in &workers {
        let said = (&worker["primary"], &worker["leaked"], &worker["twice"]);
        assert_eq!(said, (&json!(false), &json!(false), &json!("EADDRINUSE")), "{context}");
    }
    // Any port is one for all, and each server has its own.
    assert_eq!(workers[0]["any"], workers[1]["any"], "{context}");
    assert_ne!(workers[0]["any"][0], workers[0]["any"][1], "{context}");

    let pids: BTreeSet<String> = workers.iter().map(|worker| worker["pid"].to_string()).collect();
    let mut text = String::new();
    UnixStream::connect(&socket).expect("a path").read_to_string(&mut text).expect("an answer");
    assert!(pids.contains(&text), "{context}: {text}");
    let udp = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    udp.set_read_timeout(Some(SOON)).expect("a time");
    udp.send_to(b"?", ("127.0.0.1", port)).expect("it is sent");
    let mut bytes = [0; 32];
    let length = udp.recv(&mut bytes).expect("an answer");
    assert!(pids.contains(&String::from_utf8_lossy(&bytes[..length]).into_owned()), "{context}");

    // They leave as they like, and others come in their places.
    for path in ["/disconnect", "/kill"] {
        let gone = get(port, path).expect("an answer")["pid"].as_u64();
        home.until("it is another", |all| {
            all.iter().all(|known| known.state() == "online" && known.pid().map(u64::from) != gone)
        });
        assert_eq!(ids(&all(port, 2)), BTreeSet::from([1, 2]), "{context} {path}");
    }

    // Nobody notices a reload.
    let ends = Arc::new(AtomicBool::new(false));
    let asks = std::thread::spawn({
        let ends = Arc::clone(&ends);
        move || {
            let (mut asked, mut lost) = (0, 0);
            while !ends.load(Ordering::SeqCst) {
                asked += 1;
                lost += u32::from(get(port, "/").is_none());
            }
            (asked, lost)
        }
    });
    let before = home.pids();
    home.ok(&["reload", "kit"]);
    ends.store(true, Ordering::SeqCst);
    let (asked, lost) = asks.join().expect("it ends");
    assert!(asked > 0 && lost == 0, "{context}: {lost} of {asked}");
    assert!(home.pids().iter().all(|(instance, pid)| before[instance] != *pid), "{context}");
    home.ok(&["delete", "all"]);
}

#[test]
fn every_node_that_is_there_is_served_as_by_its_own_primary() {
    for node in nodes() {
        let node = node.to_str().expect("UTF-8");
        for distribution in ["reuseport", "round_robin"] {
            serves(node, distribution);
        }
    }
}
