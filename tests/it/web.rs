//! `web`: who may ask what over HTTP, what is answered, and that nobody can take more than there is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, procs, stay};

const BOUND: Duration = Duration::from_mins(1);

#[test]
fn what_is_told_again_is_what_is_there_by_then() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("api"), stay("db")]));
    let web = Web::start(&home);
    // An answer may be a fifth of a second old.
    let until = |want: &[&str]| {
        web.until(&want.join(", "), |web| {
            let apps = web.json("/api/v1/apps");
            let of = |app: &Value| format!("{} {}", app["name"], app["instances"][0]["state"]).replace('"', "");
            let states: Vec<String> = apps["apps"].as_array().expect("apps").iter().map(of).collect();
            (states == want).then_some(())
        });
    };
    until(&["api online", "db online"]);
    home.ok(&["stop", "api"]);
    until(&["api stopped", "db online"]);
    home.ok(&["delete", "api"]);
    until(&["db online"]);
    // The next daemon counts anew, and is not taken for the one before.
    home.ok(&["stop", "db"]);
    home.ok(&["kill"]);
    home.ok(&["start", "db"]);
    until(&["db online"]);
}

/// A server that runs beside the daemon, and tokens for it.
struct Web<'a> {
    home: &'a Home,
    child: Option<Child>,
    said: PathBuf,
    port: u16,
    read: String,
    write: String,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl<'a> Web<'a> {
    fn start(home: &'a Home) -> Self {
        let token = |more: &[&str]| home.ok(&[&["web", "--new-token"], more].concat()).stdout.trim().to_owned();
        let (read, write) = (token(&[]), token(&["--write"]));
        let (child, _, said) = home.start_command(&mut home.command(&["web", "--port", "0"]));
        let mut web = Self { home, child: Some(child), said, port: 0, read, write };
        web.port = web.until("it serves", |web| {
            let said = web.said();
            let address = said.lines().find_map(|line| line.strip_prefix("serving on http://127.0.0.1:"))?;
            address.trim().parse().ok()
        });
        web
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).expect("a file")
    }

    #[track_caller]
    fn until<T>(&self, what: &str, holds: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + BOUND;
        loop {
            if let Some(found) = holds(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "waited for: {what}; it says: {}", self.said());
            assert!(self.home.run(&["version"]).code.is_some());
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(BOUND)).expect("a timeout");
        stream
    }

    /// What is sent, and what comes back until it hangs up.
    fn raw(&self, text: &str) -> Answer {
        let mut stream = self.connect();
        // Who is turned away may be so before everything is sent.
        let _ = stream.write_all(text.as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn send(&self, method: &str, path: &str, token: &str, extra: &str, body: &str) -> Answer {
        let length = body.len();
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\
             connection: close\r\n{extra}\r\n{body}",
            self.port
        ))
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &self.read, "", "")
    }

    #[track_caller]
    fn json(&self, path: &str) -> Value {
        self.get(path).is(200).json()
    }

    /// Ends as it is asked to.
    fn end(mut self) {
        let child = self.child.take().expect("it runs");
        procs::signal(child.id(), Signal::TERM);
        assert_eq!(procs::finish(child).0.code(), Some(0));
    }
}

impl Drop for Web<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Answer {
    #[track_caller]
    fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n\n{}", self.head, self.body);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}\n\n{}", self.head, self.body))
    }
}

fn two() -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut api = stay("api");
    (api["instances"], api["env"]) = (json!(2), json!({ "PORT": "48080", "DB_PASSWORD": "hunter2" }));
    home.apply(&json!({ "name": "shop", "apps": [api, stay("web")] }));
    home
}

#[test]
fn everything_is_answered_as_the_document_says_and_without_any_value_of_a_variable() {
    let home = two();
    let web = Web::start(&home);
    let document = web.json("/api/v1/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    for (route, operations) in document["paths"].as_object().expect("paths") {
        let Some(operation) = operations.get("get").filter(|_| !route.ends_with("/stream")) else { continue };
        let number = web.json("/api/v1/history")["generations"][0]["number"].to_string();
        let path = route.replace("{target}", "api").replace("{number}", &number);
        let answer = web.get(&path).is(200);
        for secret in ["48080", "hunter2"] {
            assert!(!answer.body.contains(secret), "{path} shows {secret}: {}", answer.body);
        }
        let Some(schema) = operation["responses"]["200"]["content"]["application/json"].get("schema") else { continue };
        let schema = json!({ "components": document["components"], "allOf": [schema] });
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let value = answer.json();
        let wrong: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{path}: {wrong:#?}\n{value:#}");
    }
    // What scripts for PM2's web interface read.
    let pm2 = web.json("/");
    assert_eq!(pm2["processes"].as_array().map(Vec::len), Some(3));
    let process = &pm2["processes"][0];
    assert_eq!((&process["name"], &process["pm2_env"]["status"]), (&json!("api"), &json!("online")));
    assert!(process["pm2_env"].get("env").is_none() && process["monit"]["memory"].as_u64() > Some(0), "{process}");
    assert!(pm2["monit"]["total_mem"].as_u64() > Some(0) && pm2["system_info"]["hostname"].is_string());
    let apps = web.json("/api/v1/apps");
    assert_eq!(apps["apps"][0]["variables"], json!(["DB_PASSWORD", "PORT"]));
    assert_eq!(web.json("/api/v1/plan")["changes"], false);
    assert_eq!(web.json("/api/v1/apps/api/logs?stream=out")["lines"][0]["line"], "started api:0");
    let metrics = web.get("/metrics").is(200).body;
    assert!(metrics.contains("pmrun_up 1\n") && !metrics.contains("# EOF"), "{metrics}");
    assert!(metrics.contains("state=\"online\"} 1.0"), "{metrics}");
    // Who scrapes says which format it takes.
    let answer = web.send("GET", "/metrics", &web.read, "accept: application/openmetrics-text\r\n", "").is(200);
    assert!(answer.head.contains("openmetrics-text") && answer.body.ends_with("# EOF\n"), "{}", answer.head);
    assert!(web.get("/metrics").head.contains("text/plain; version=0.0.4"));
    web.end();
}

#[test]
fn who_may_not_ask_is_told_so() {
    let home = two();
    let web = Web::start(&home);
    let send = |method: &str, path: &str, token: &str, extra: &str| web.send(method, path, token, extra, "");
    assert_eq!(
        web.raw("GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").is(200).json()["daemon"],
        "up"
    );
    for path in ["/", "/metrics", "/api/v1/apps", "/api/v1/openapi.json", "/api/v1/events/stream"] {
        let without = web.raw(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).is(401);
        assert!(without.head.contains("www-authenticate: bearer"), "{}", without.head);
        send("GET", path, "pmr_wrong", "").is(401);
    }
    // A token for looking changes nothing.
    let pids = home.pids();
    for (method, path) in [("POST", "/api/v1/apps/api/restart"), ("DELETE", "/api/v1/apps/api")] {
        send(method, path, &web.read, "").is(403);
        send(method, path, &web.write, "origin: https://evil.example\r\n").is(403);
    }
    assert_eq!(home.pids(), pids);
    // Neither a page of another place, nor one that calls us by a name of its own.
    send("GET", "/", &web.read, "origin: http://localhost:3000\r\n").is(403);
    let own = format!("origin: http://localhost:{}\r\n", web.port);
    let answer = send("GET", "/", &web.read, &own).is(200);
    assert!(!answer.head.contains("access-control"), "{}", answer.head);
    let rebound = format!(
        "GET / HTTP/1.1\r\nhost: evil.example\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        web.read
    );
    web.raw(&rebound).is(421);
    // Without its line it is a token no more, at once.
    let path = home.folder.join("web-tokens");
    let text = std::fs::read_to_string(&path).expect("tokens");
    assert!(!text.contains(&web.read) && !text.contains(&web.write), "{text}");
    std::fs::write(&path, text.lines().filter(|line| line.starts_with("write")).collect::<String>()).expect("write");
    web.get("/").is(401);
    send("GET", "/", &web.write, "").is(200);
    assert!(!web.said().contains(&web.write));
    web.end();
}

#[test]
fn what_makes_no_sense_is_turned_down() {
    let home = two();
    let web = Web::start(&home);
    for (path, status) in [
        ("/nothing", 404),
        ("/api/v1/apps/nothing", 404),
        ("/api/v1/apps/nothing/logs", 404),
        ("/api/v1/apps/nothing/logs/stream", 404),
        ("/api/v1/history/999", 404),
        ("/api/v1/history/x", 400),
        ("/api/v1/events?limit=0", 400),
        ("/api/v1/events?other=1", 400),
        ("/api/v1/apps/%ff", 400),
        ("/api/v1/apps/..%2f..%2fetc", 404),
        ("/api/v1/plan?file=/etc/passwd", 404),
    ] {
        let answer = web.get(path).is(status);
        assert!(answer.json()["error"].is_string(), "{path}: {}", answer.body);
    }
    let post =
        |method: &str, path: &str, extra: &str, body: &str| web.send(method, path, &web.write, extra, body).status;
    assert_eq!(post("PATCH", "/api/v1/apps/api", "", ""), 405);
    assert_eq!(post("POST", "/api/v1/apps/nothing/restart", "", ""), 404);
    let scale = |extra: &str, body: &str| post("PUT", "/api/v1/apps/api/instances", extra, body);
    let kind = "content-type: application/json\r\n";
    assert_eq!(scale("", "{\"instances\": 3}"), 415);
    for body in
        ["", "3", "{}", "{\"instances\": 0}", "{\"instances\": -1}", "{\"instances\": 9999}", "{\"instances\": \"3\"}"]
    {
        assert_eq!(scale(kind, body), 400, "{body}");
    }
    assert_eq!(scale(kind, &format!("{{\"instances\": {}}}", " ".repeat(20 << 10))), 413);
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(40 << 10));
    assert_eq!(web.raw(&long).status, 431);
    for junk in [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n",
    ] {
        assert!(matches!(web.raw(junk).status, 0 | 400), "{junk:?}");
    }
    assert_eq!(web.json("/api/v1/instances")["instances"].as_array().map(Vec::len), Some(3));
    web.end();
}

#[test]
fn who_may_changes_what_runs_and_it_is_remembered() {
    let home = two();
    let web = Web::start(&home);
    let act = |method: &str, path: &str, body: &str| {
        let kind = "content-type: application/json\r\n";
        web.send(method, &format!("/api/v1/apps/{path}"), &web.write, kind, body).is(200).json()
    };
    let before = home.pids();
    assert_eq!(act("POST", "api/restart", ""), json!({ "touched": 1, "failed": [] }));
    let after = home.pids();
    assert_ne!((before["api:0"], before["api:1"]), (after["api:0"], after["api:1"]));
    assert_eq!(before["web:0"], after["web:0"]);
    act("PUT", "api/instances", "{\"instances\": 3}");
    assert!(home.pids().contains_key("api:2"));
    act("POST", "api:2/stop", "");
    assert_eq!(home.state("api:2"), "stopped");
    act("POST", "api:2/start", "");
    assert_eq!(home.state("api:2"), "online");
    act("POST", "web/reload", "");
    act("DELETE", "web", "");
    assert!(home.list().iter().all(|one| one.name() != "web"));
    home.ok(&["history"]).prints("web: stop api:2").prints("web: delete web");
    home.ok(&["events", "api"]).prints("restart of `api`");
    // An answer that was kept is not one from before.
    assert_eq!(web.json("/api/v1/instances")["instances"].as_array().map(Vec::len), Some(3));
    home.ok(&["kill"]);
    web.get("/api/v1/apps").is(503);
    assert!(web.get("/metrics").is(200).body.contains("pmrun_up 0"));
    web.end();
}

/// Reads until something is there that was not before.
#[track_caller]
fn hear(stream: &mut TcpStream, heard: &mut String, what: &str) {
    let mut bytes = [0; 4096];
    while !heard.contains(what) {
        let count = stream.read(&mut bytes).unwrap_or_else(|error| panic!("{error}: waited for `{what}` in {heard}"));
        assert!(count > 0, "it hung up: waited for `{what}` in {heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
}

fn listen(web: &Web<'_>, path: &str, extra: &str) -> (TcpStream, String) {
    let mut stream = web.connect();
    let text = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n{extra}\r\n", web.read);
    stream.write_all(text.as_bytes()).expect("write");
    let mut heard = String::new();
    hear(&mut stream, &mut heard, "\r\n\r\n");
    (stream, heard)
}

#[test]
fn what_goes_on_is_heard_as_it_does() {
    let home = two();
    let web = Web::start(&home);
    let (mut events, mut heard) = listen(&web, "/api/v1/events/stream", "");
    hear(&mut events, &mut heard, ": here");
    assert!(heard.contains("text/event-stream"), "{heard}");
    let (mut logs, mut written) = listen(&web, "/api/v1/apps/web/logs/stream?lines=1&stream=out", "");
    hear(&mut logs, &mut written, "started web:0");
    home.ok(&["restart", "web"]);
    hear(&mut events, &mut heard, "\"event\":\"started\"");
    let number = heard.lines().find_map(|line| line.strip_prefix("id: ")).expect("it has a number").to_owned();
    assert_eq!(written.matches("event: log").count(), 1);
    written.clear();
    hear(&mut logs, &mut written, "started web:0");
    // Who was away is told what it has missed.
    let (mut again, mut all) = listen(&web, "/api/v1/events/stream", "last-event-id: 0\r\n");
    hear(&mut again, &mut all, &format!("id: {number}\n"));
    assert!(all.contains("id: 1\n"), "{all}");
    web.end();
}

#[test]
fn who_hangs_on_and_reads_nothing_is_no_matter() {
    let home = two();
    let web = Web::start(&home);
    let hanging: Vec<(TcpStream, String)> = (0..200).map(|_| listen(&web, "/api/v1/events/stream", "")).collect();
    let silent: Vec<TcpStream> = (0..20).map(|_| web.connect()).collect();
    for _ in 0..3 {
        home.ok(&["restart", "web"]);
    }
    assert_eq!(web.json("/api/v1/instances")["instances"].as_array().map(Vec::len), Some(3));
    // Of those who listen to logs there are fewer: each takes a thread.
    let listeners: Vec<u16> = (0..40)
        .map(|_| {
            let (stream, heard) = listen(&web, "/api/v1/apps/web/logs/stream", "");
            // They are to stay.
            std::mem::forget(stream);
            heard.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
        })
        .collect();
    assert_eq!(listeners.iter().filter(|status| **status == 200).count(), 32, "{listeners:?}");
    assert!(listeners[32..].iter().all(|status| *status == 429), "{listeners:?}");
    drop((hanging, silent));
    web.end();
}
