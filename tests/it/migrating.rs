//! `migrate pm2`, from a PM2 that this file plays.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{Home, procs};

type Calls = Arc<Mutex<Vec<String>>>;

/// Answers what is asked of a PM2 in this folder with this list, and remembers what else is.
fn play(folder: &std::path::Path, list: Value) -> Calls {
    std::fs::create_dir_all(folder).expect("mkdir");
    let listener = UnixListener::bind(folder.join("rpc.sock")).expect("a socket");
    let calls = Calls::default();
    let heard = Arc::clone(&calls);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &list, &heard);
        }
    });
    calls
}

fn answer(mut stream: UnixStream, list: &Value, heard: &Calls) {
    let take = |stream: &mut UnixStream, length: usize| {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).ok().map(|()| bytes)
    };
    while let Some(meta) = take(&mut stream, 1) {
        assert_eq!(meta[0], 0x12);
        let parts: Vec<Vec<u8>> = (0..2)
            .map(|_| {
                let length = take(&mut stream, 4).expect("a length");
                take(&mut stream, u32::from_be_bytes(length.try_into().expect("four")) as usize).expect("a part")
            })
            .collect();
        let message: Value = serde_json::from_slice(&parts[0][2..]).expect("JSON");
        let method = message["method"].as_str().expect("a method");
        let result = if method == "getMonitorData" { list.clone() } else { json!({}) };
        if method != "getMonitorData" {
            heard.lock().expect("alive").push(format!("{method} {}", message["args"][0]));
        }
        let reply = format!("j:{}", json!({ "args": [result] })).into_bytes();
        let mut frame = vec![0x12];
        for part in [reply, parts[1].clone()] {
            frame.extend(u32::try_from(part.len()).expect("short").to_be_bytes());
            frame.extend(part);
        }
        stream.write_all(&frame).expect("it reads");
    }
}

fn process(home: &Home, name: &str, id: u32, line: &str, more: &Value) -> Value {
    let mut env = json!({
        "name": name, "namespace": "default", "pm_id": id, "pm_exec_path": "/bin/sh", "args": ["-c", line], "pm_cwd": home.work,
        "exec_interpreter": "none", "exec_mode": "fork_mode", "status": "online", "env": { "COLOUR": "green" }, "min_uptime": 300,
        "autorestart": false,
    });
    for (key, value) in more.as_object().expect("options") {
        env[key] = value.clone();
    }
    json!({ "name": name, "pm_id": id, "pid": 1, "pm2_env": env })
}

fn folder(home: &Home) -> PathBuf {
    home.work.join("theirs")
}

#[test]
fn apps_are_taken_over_one_by_one_and_what_does_not_come_up_goes_back() {
    let home = Home::new();
    let stay = "exec sleep 1000";
    let list = json!([
        process(&home, "good", 0, stay, &json!({ "cron_restart": "0 0 1 1 *" })),
        process(&home, "bad", 1, "exit 3", &json!({})),
        process(&home, "idle", 2, stay, &json!({ "status": "stopped" })),
        process(&home, "many", 3, stay, &json!({})),
        process(&home, "many", 4, stay, &json!({})),
    ]);
    let calls = play(&folder(&home), list);
    let theirs = folder(&home).to_str().expect("text").to_owned();
    let output = home.exits(2, &["migrate", "pm2", "--pm2-home", &theirs, "--dry-run"]);
    output.prints("+ good").prints("+ many");
    assert!(calls.lock().expect("alive").is_empty());
    assert!(home.list().is_empty());
    home.write("ecosystem.config.json", "{}");
    home.exits(1, &["migrate", "pm2", "--pm2-home", &theirs]).says("--force");
    home.exits(2, &["migrate", "pm2", "--pm2-home", &theirs, "--dry-run", "--force"]);
    home.exits(1, &["migrate", "pm2", "--pm2-home", &theirs, "--only", "goot"]).says("did you mean `good`?");
    let output = home.exits(3, &["migrate", "pm2", "--pm2-home", &theirs]);
    output.says("not taken over: `bad`, which run in PM2 as before");
    let names: Vec<(String, String)> = home.list().iter().map(|one| (one.label(), one.state())).collect();
    let named = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(
        names,
        [named("good:0", "online"), named("idle:0", "stopped"), named("many:0", "online"), named("many:1", "online")]
    );
    assert_eq!(
        *calls.lock().expect("alive"),
        [
            "stopProcessId 0",
            "deleteProcessId 0",
            "stopProcessId 1",
            "restartProcessId {\"id\":1,\"env\":{}}",
            "stopProcessId 3",
            "stopProcessId 4"
        ]
    );
    // PM2 has them as stopped by now.
    home.exits(1, &["migrate", "pm2", "--pm2-home", &theirs, "--force"])
        .says("taken over before: `good`, `idle`, `many`");
    // What was written is what runs.
    home.ok(&["diff", "ecosystem.config.json", "--only", "good,idle,many"]);
}

#[test]
fn without_a_pm2_that_runs_its_dump_is_taken() {
    let home = Home::new();
    std::fs::create_dir_all(folder(&home)).expect("mkdir");
    let theirs = folder(&home).to_str().expect("text").to_owned();
    home.exits(1, &["migrate", "pm2", "--pm2-home", &theirs]).says("dump.pm2");
    let file = folder(&home).join("good-0.pid");
    let more = json!({ "pm_pid_path": file });
    let dump = json!([process(&home, "good", 0, "exec sleep 1000", &more)["pm2_env"]]);
    std::fs::write(folder(&home).join("dump.pm2"), dump.to_string()).expect("write");
    // It has outlived its PM2.
    let mut orphan = procs::spawn(Command::new("sleep").arg("1000").env("PM2_HOME", &theirs)).expect("a process");
    std::fs::write(&file, orphan.id().to_string()).expect("write");
    home.exits(1, &["migrate", "pm2", "--pm2-home", &theirs]).says(&format!("`kill {}` ends them", orphan.id()));
    orphan.kill().expect("it runs");
    orphan.wait().expect("it was ours");
    home.ok(&["migrate", "pm2", "--pm2-home", &theirs]).says("1 app taken over");
    home.until_state("good:0", "online");
    let ours = home.folder.to_str().expect("text").to_owned();
    home.exits(1, &["migrate", "pm2", "--pm2-home", &ours]).says("is a home of pmrun's");
}
