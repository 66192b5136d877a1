//! What programs that use PM2's library see, by a client that is written by hand.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Home, needs_node};

const BOUND: Duration = Duration::from_mins(1);

/// The library's end of a socket: a byte with a count, and each argument with its length before it.
struct Library {
    stream: UnixStream,
    calls: u32,
}

impl Library {
    fn connect(home: &Home, socket: &str) -> Self {
        let stream = UnixStream::connect(home.folder.join(socket)).expect("somebody listens");
        stream.set_read_timeout(Some(BOUND)).expect("a timeout");
        Self { stream, calls: 0 }
    }

    fn say(&mut self, method: &str, arg: &Value) -> String {
        let message = json!({ "type": "call", "method": method, "args": [arg] });
        let id = format!("s:test:{}", self.calls);
        self.calls += 1;
        let mut frame = vec![0x12];
        for part in [format!("j:{message}"), id.clone()] {
            frame.extend(u32::try_from(part.len()).expect("short").to_be_bytes());
            frame.extend(part.as_bytes());
        }
        self.stream.write_all(&frame).expect("it reads");
        id
    }

    fn call(&mut self, method: &str, arg: &Value) -> Result<Value, String> {
        let id = self.say(method, arg);
        let mut answer = self.frame().expect("an answer");
        assert_eq!(answer.pop(), Some(id.into_bytes()), "the answer to another call");
        let answer: Value = serde_json::from_slice(&answer[0][2..]).expect("JSON");
        match answer.get("error") {
            Some(error) => Err(error.as_str().expect("words").to_owned()),
            None => Ok(answer["args"][0].clone()),
        }
    }

    #[track_caller]
    fn ok(&mut self, method: &str, arg: &Value) -> Value {
        self.call(method, arg).unwrap_or_else(|error| panic!("{method} {arg}: {error}"))
    }

    fn frame(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut take = |length: usize| {
            let mut bytes = vec![0; length];
            self.stream.read_exact(&mut bytes).ok().map(|()| bytes)
        };
        let meta = take(1)?[0];
        assert_eq!(meta >> 4, 1);
        let mut args = Vec::new();
        for _ in 0..meta & 15 {
            let length = take(4)?;
            args.push(take(u32::from_be_bytes(length.try_into().expect("four")) as usize)?);
        }
        Some(args)
    }

    /// What happens next of these kinds that holds.
    #[track_caller]
    fn until(&mut self, kind: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + BOUND;
        let mut seen = Vec::new();
        while Instant::now() < deadline {
            let Some(frame) = self.frame() else { break };
            let event = String::from_utf8_lossy(&frame[0][2..]).into_owned();
            let payload: Value = serde_json::from_slice(&frame[1][2..]).expect("JSON");
            if event == kind && holds(&payload) {
                return payload;
            }
            seen.push((event, payload["event"].clone()));
        }
        panic!("no `{kind}` among {seen:?}");
    }
}

/// As the library makes it of a script and options.
fn prepared(home: &Home, name: &str, script: &str, interpreter: &str) -> Value {
    json!({
        "name": name, "namespace": "default", "pm_exec_path": home.work.join(script), "pm_cwd": home.work, "args": ["a b"],
        "exec_interpreter": interpreter, "exec_mode": "fork_mode", "instances": 1, "autorestart": true, "autostart": true,
        "vizion": true, "pmx": true, "automation": true, "treekill": true, "username": "me", "windowsHide": true,
        "kill_retry_time": 100, "node_args": [], "merge_logs": true, "instance_var": "NODE_APP_INSTANCE", "km_link": false,
        "pm_out_log_path": home.folder.join(format!("logs/{name}-out.log")), "min_uptime": 300,
        "pm_err_log_path": home.folder.join(format!("logs/{name}-error.log")),
        "pm_pid_path": home.folder.join(format!("pids/{name}.pid")),
        "env": { "COLOUR": "green", "PM2_HOME": home.folder, "unique_id": "x" },
    })
}

fn ids(list: &Value) -> Vec<u64> {
    list.as_array().expect("a list").iter().filter_map(|one| one["pm_id"].as_u64()).collect()
}

#[test]
fn the_librarys_calls_start_look_at_and_end_apps() {
    let home = Home::new();
    home.ok(&["start", "exec sleep 1000", "--name", "first"]);
    for socket in ["rpc.sock", "pub.sock"] {
        let mode = home.folder.join(socket).metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{socket}");
    }
    home.app("stay.sh", "stay.sh");
    let mut library = Library::connect(&home, "rpc.sock");
    assert_eq!(library.ok("ping", &json!({})), json!({ "msg": "pong" }));
    assert_eq!(ids(&library.ok("getMonitorData", &json!({}))), [0]);
    let started = library.ok("prepare", &prepared(&home, "second", "stay.sh", "bash"));
    assert_eq!((ids(&started), &started[0]["pm2_env"]["name"]), (vec![1], &json!("second")));
    assert_eq!(started[0]["pm2_env"]["env"]["COLOUR"], "green");
    assert_eq!(started[0]["process"]["pid"], home.pid("second:0"));
    // What is there already, and forced.
    assert_eq!(ids(&library.ok("prepare", &prepared(&home, "second", "stay.sh", "bash"))), [2]);
    assert_eq!(
        ids(&library.ok("duplicateProcessId", &json!(1)).as_object().map(|one| json!([one])).expect("one")),
        [3]
    );
    let old = home.pid("second:0");
    let again = library.ok("restartProcessId", &json!({ "id": 1, "env": { "COLOUR": "blue", "current_conf": {} } }));
    assert_eq!((&again["pm2_env"]["env"]["COLOUR"], &again["pm2_env"]["status"]), (&json!("blue"), &json!("online")));
    assert_ne!(home.pid("second:0"), old);
    assert_eq!(library.ok("stopProcessId", &json!(2))["pm2_env"]["status"], "stopped");
    assert_eq!(library.ok("startProcessId", &json!(2))["pm2_env"]["status"], "online");
    assert_eq!(library.ok("deleteProcessId", &json!("3"))["pm2_env"]["status"], "stopped");
    library.ok("sendSignalToProcessName", &json!({ "process_name": "first", "signal": "SIGWINCH" }));
    for (method, arg, error) in [
        ("stopProcessId", json!(99), "99 id unknown"),
        ("sendSignalToProcessId", json!({ "process_id": 0, "signal": "SIGFOO" }), "signal unknown"),
        ("sendLineToStdin", json!({ "pm_id": 99, "line": "x" }), "Process with ID <99> unknown."),
        ("sendDataToProcessId", json!({ "id": 0 }), "ID, DATA or TOPIC field is missing"),
        ("msgProcess", json!({ "id": 0, "msg": "x" }), "Action doesn't exist x for first"),
        ("nothing", json!({}), "does not exist"),
    ] {
        let said = library.call(method, &arg).expect_err("an error");
        assert!(said.contains(error), "{method}: {said}");
    }
    let line = library.ok("sendLineToStdin", &json!({ "pm_id": 0, "line": "x\n" }));
    assert_eq!(line, json!({ "pm_id": 0, "line": "x\n" }));
    // Nobody waits for an answer, but for a signal; of another process that is no matter.
    library.say("killMe", &json!({ "pid": 1 }));
    assert_eq!(library.frame(), None, "it ends with its daemon");
    // Who answers may be gone a moment before the daemon is.
    let deadline = Instant::now() + Duration::from_mins(1);
    while home.folder.join("rpc.sock").exists() {
        assert!(Instant::now() < deadline, "the socket stays");
        home.ok(&["version"]);
    }
}

#[test]
fn who_sends_garbage_or_nothing_is_cut_off_and_keeps_nobody_from_anything() {
    let home = Home::new();
    home.ok(&["start", "exec sleep 1000", "--name", "app"]);
    let mut hanging: Vec<Library> = (0..30).map(|_| Library::connect(&home, "rpc.sock")).collect();
    for library in &mut hanging {
        library.stream.write_all(&[0x12, 0, 0, 1]).expect("it reads");
    }
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x12, 0xff, 0xff, 0xff, 0xff],
        b"\x12\x00\x00\x00\x04j:{]\x00\x00\x00\x03s:a",
    ] {
        let mut library = Library::connect(&home, "rpc.sock");
        library.stream.write_all(garbage).expect("it reads");
        assert_eq!(library.frame(), None, "{garbage:?}");
    }
    assert_eq!(ids(&Library::connect(&home, "rpc.sock").ok("getMonitorData", &json!({}))), [0]);
    // What was begun has to be ended.
    assert_eq!(hanging[0].frame(), None);
}

#[test]
fn the_bus_tells_what_happens_what_is_written_and_what_apps_say() {
    if !needs_node() {
        return;
    }
    let home = Home::new();
    home.ok(&["start", "exec sleep 1000", "--name", "first"]);
    home.write(
        "talk.js",
        "process.send({ type: 'axm:action', data: { action_name: 'ask', arity: 1 } })
         process.send({ type: 'axm:monitor', data: { Users: { value: 3 } } })
         process.on('message', message => {
           if (message.msg === 'ask') process.send({ type: 'axm:reply', data: { action_name: 'ask', return: { got: message.opts } } })
           else if (message === 'ask') process.send({ type: 'axm:reply', data: { action_name: 'ask', return: 'plain' } })
           else process.send({ type: 'custom', data: message })
         })
         process.on('SIGUSR2', () => { console.log('signal'); process.send('raw') })
         console.log('hello')",
    );
    let (mut library, mut bus) = (Library::connect(&home, "rpc.sock"), Library::connect(&home, "pub.sock"));
    // It hears what happens from some moment on.
    library.ok("getMonitorData", &json!({}));
    let started = library.ok("prepare", &prepared(&home, "talk", "talk.js", "node"));
    assert_eq!(ids(&started), [1]);
    library.ok("restartProcessId", &json!({ "id": 1 }));
    let event = bus.until("process:event", |told| told["event"] == "online" && told["process"]["name"] == "talk");
    assert!(event["process"]["env"].is_null() && event["at"].is_u64());
    home.until("it to have said what it can", |_| {
        home.json(&["jlist"])[1]["pm2_env"]["axm_monitor"]["Users"]["value"] == 3
    });
    library.ok("sendDataToProcessId", &json!({ "id": 1, "type": "process:msg", "topic": "t", "data": { "n": 1 } }));
    let custom = bus.until("custom", |_| true);
    assert_eq!((&custom["data"]["data"]["n"], &custom["process"]["pm_id"]), (&json!(1), &json!(1)));
    assert_eq!(library.ok("msgProcess", &json!({ "name": "talk", "msg": "ask", "opts": "x" }))["process_count"], 1);
    assert_eq!(bus.until("axm:reply", |_| true)["data"]["return"], json!({ "got": "x" }));
    library.ok("sendSignalToProcessId", &json!({ "process_id": 1, "signal": "SIGUSR2" }));
    let line = bus.until("log:out", |told| told["data"] == "signal\n");
    assert_eq!(line["process"]["name"], "talk");
    library.ok("sendSignalToProcessId", &json!({ "process_id": 1, "signal": "SIGUSR2" }));
    assert_eq!(bus.until("process:msg", |_| true)["raw"], "raw");
    home.ok(&["stop", "talk"]);
    bus.until("process:event", |told| told["event"] == "exit" && told["process"]["status"] == "stopping");
}
