//! After a start of the machine what should run is brought back, and only that; and what PM2's users do about it by hand.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, procs, stay};

/// As after a start of the machine: nothing of ours runs, and what is on disk is of another start. Its pid files are of processes that
/// may be anybody's now.
fn reboot(home: &Home, innocent: u32) {
    const META: redb::TableDefinition<'static, &str, &[u8]> = redb::TableDefinition::new("meta");
    home.lose_daemon();
    for pid in home.marked().into_values().flatten() {
        procs::signal(pid, Signal::KILL);
        procs::wait_gone(pid, std::time::Duration::from_secs(30));
    }
    let database = redb::Database::open(home.folder.join("state")).expect("it is one");
    let transaction = database.begin_write().expect("a transaction");
    transaction.open_table(META).expect("it is there").insert("boot", b"another".as_slice()).expect("insert");
    transaction.commit().expect("commit");
    drop(database);
    let standings = home.folder.join("standings");
    let text = std::fs::read_to_string(&standings).expect("it is there");
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    std::fs::write(&standings, format!("{{\"boot\":\"another\"}}\n{rest}")).expect("write");
    for entry in std::fs::read_dir(home.folder.join("pids")).expect("it is there").flatten() {
        std::fs::write(entry.path(), format!("{innocent}\n")).expect("write");
    }
}

#[test]
fn a_reboot_brings_back_what_should_run_in_its_order_and_nothing_else() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("told.sh", "#!/bin/sh\necho \"$1\" >>order\nexec sleep 100000\n");
    let told = |name: &str, needs: &[&str]| json!({ "name": name, "script": "./told.sh", "args": [name], "depends_on": needs, "min_uptime": 100 });
    let job = json!({ "name": "job", "script": "sh -c 'echo ran >>jobs'", "autorestart": false, "min_uptime": 50 });
    home.apply(&json!([told("web", &["api"]), told("api", &["db"]), told("db", &[]), stay("stopped"), job]));
    home.until_state("job:0", "completed");
    home.ok(&["stop", "stopped"]);
    let order = || std::fs::read_to_string(home.work.join("order")).unwrap_or_default();
    let mut innocent = procs::spawn(std::process::Command::new("sleep").arg("100000")).expect("sleep");
    for round in 1..=2 {
        std::fs::remove_file(home.work.join("order")).expect("it is there");
        reboot(&home, innocent.id());
        assert!(home.pids().is_empty());
        // What runs at boot.
        home.ok(&["resurrect"]);
        home.until("all to be up", |list| list.iter().filter(|one| one.state() == "online").count() == 3);
        assert_eq!(order(), "db\napi\nweb\n", "round {round}");
        assert_eq!(home.state("stopped:0"), "stopped");
        assert_eq!(std::fs::read_to_string(home.work.join("jobs")).expect("it is there"), "ran\n", "it is done");
        assert!(procs::alive(innocent.id()));
    }
    home.ok(&["resurrect"]).says("nothing to do");
    innocent.kill().expect("it runs");
    procs::finish(innocent);
}

#[test]
fn what_was_saved_comes_back_after_everything_was_deleted() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.exits(1, &["save"]).says("no app is known");
    home.exits(1, &["resurrect", "--saved"]).says("nothing was saved");
    home.exits(64, &["resurrect", "--dry-run"]);
    home.exits(64, &["resurrect", "--saved", "--from", "x"]);
    let mut b = stay("b");
    b["instances"] = json!(2);
    b["depends_on"] = json!(["a"]);
    home.apply(&json!([stay("a"), b, stay("c")]));
    home.ok(&["stop", "c"]);
    home.ok(&["save"]).says("saved: 3 apps");
    let up = ["a:0", "b:0", "b:1"];
    let runs = || home.pids().into_keys().collect::<Vec<_>>();

    // After `kill` it is what should run now that comes back, not what was saved.
    home.ok(&["stop", "a"]);
    home.ok(&["kill"]);
    home.ok(&["resurrect"]);
    assert_eq!(runs(), ["b:0", "b:1"]);
    home.exits(2, &["resurrect", "--saved", "--dry-run"])
        .prints("> a  start 1 instance")
        .prints("Plan: 1 to start, 2 unchanged")
        .says("would bring back what was saved at");
    assert_eq!(runs(), ["b:0", "b:1"], "nothing was started");
    home.ok(&["resurrect", "--saved"]).says("brings back what was saved at");
    assert_eq!(runs(), up);
    home.exits(0, &["resurrect", "--saved", "--dry-run"]).prints("nothing to do");

    home.ok(&["delete", "all"]);
    assert!(home.list().is_empty());
    let dry = home.exits(2, &["resurrect", "--saved", "--dry-run"]);
    dry.prints("+ b  create and start 2 instances").prints("+ c  create, start nothing").prints("Plan: 3 to create");
    assert!(home.list().is_empty());
    home.ok(&["resurrect"]).says("brings back what was saved at");
    assert_eq!(runs(), up);
    assert_eq!(home.state("c:0"), "stopped");
    home.exits(2, &["diff", "eco.json"]).prints("1 to start");
    home.ok(&["start", "c"]);
    home.exits(0, &["diff", "eco.json"]);

    // Without a daemon, too.
    home.ok(&["kill"]);
    home.ok(&["dump"]).says("saved: 3 apps");
    home.ok(&["delete", "b"]);
    home.ok(&["resurrect", "--saved"]);
    assert_eq!(runs(), ["a:0", "b:0", "b:1", "c:0"]);

    std::fs::write(home.folder.join("saved"), "{}").expect("write");
    home.exits(1, &["resurrect", "--saved"]).says("cannot be used");
    home.ok(&["cleardump"]).says("forgotten");
    home.ok(&["cleardump"]).says("nothing was saved");
    home.ok(&["delete", "all"]);
    home.ok(&["resurrect"]);
    assert!(home.list().is_empty());
}

/// As `pm2 save` writes it, less what nobody reads.
fn process(home: &Home, name: &str, script: &str, status: &str, number: u32) -> Value {
    let work = home.work.display();
    let mut process = json!({
        "name": name, "namespace": "default", "args": ["one", "two words"],
        "env": { "PATH": "/usr/bin:/bin", "PM2_HOME": "/nowhere/.pm2", "PM2_USAGE": "CLI", "GREETING": "hello", "unique_id": "x" },
        "pm_exec_path": format!("{work}/{script}"), "pm_cwd": format!("{work}"), "exec_interpreter": "sh",
        "exec_mode": "fork_mode", "instances": 2, "min_uptime": 100, "kill_timeout": 1000, "merge_logs": false,
        "pm_out_log_path": format!("/nowhere/.pm2/logs/{name}-out-{number}.log"),
        "pm_err_log_path": format!("{work}/err-{number}.log"),
        "pm_pid_path": format!("/nowhere/.pm2/pids/{name}-{number}.pid"),
        "PATH": "/usr/bin:/bin", "GREETING": "hello", "unique_id": "x", "status": status,
    });
    let own = json!({
        "vizion": true, "autostart": true, "autorestart": true, "instance_var": "NODE_APP_INSTANCE", "pmx": true,
        "automation": true, "treekill": true, "username": "root", "windowsHide": true, "kill_retry_time": 100, "node_args": [],
        "km_link": false, "vizion_running": false, "NODE_APP_INSTANCE": 0, "pm_uptime": 1, "axm_actions": [],
        "axm_monitor": {}, "axm_options": {}, "axm_dynamic": {}, "created_at": 1, "restart_time": 3,
        "unstable_restarts": 0, "version": "1.0.0", "node_version": "20.0.0",
    });
    for (key, value) in own.as_object().expect("an object") {
        process[key] = value.clone();
    }
    process
}

#[test]
fn a_dump_of_pm2_s_is_started_as_apps_of_no_file() {
    let home = Home::new();
    home.write("stay.sh", "#!/bin/sh\nprintf '<%s> ' \"$@\"\necho\nexec sleep 100000\n");
    let one = |name, script, status, number| process(&home, name, script, status, number);
    let dump = json!([
        one("api", "stay.sh", "online", 3),
        one("api", "stay.sh", "online", 4),
        one("old", "stay.sh", "stopped", 5),
        one("gone", "gone.sh", "online", 6),
        { "name": "pm2-logrotate", "pmx_module": true },
        "not a process",
        { "name": 5, "pm_exec_path": "/bin/true" },
    ]);
    home.write_json("dump.pm2", &dump);
    let dry = home.exits(3, &["resurrect", "--from", "dump.pm2", "--dry-run"]);
    dry.prints("+ api").prints("2 to create").says("`pm2-logrotate` is a module of PM2's").says("`gone`");
    dry.says("its entry 5 is left out: it is a text, not an object")
        .says("its entry 6 is left out: its `name` is a number");
    assert!(home.list().is_empty());
    home.exits(3, &["resurrect", "--from", "dump.pm2"])
        .prints("2 to create")
        .says("1 app could not be taken over: `gone`");
    assert_eq!(home.pids().into_keys().collect::<Vec<_>>(), ["api:0", "api:1"]);
    assert_eq!(home.state("old:0"), "stopped");
    let environ = procs::environ(home.pid("api:0"));
    assert_eq!(environ["GREETING"], "hello");
    assert!(!environ.contains_key("PM2_USAGE") && environ["unique_id"] != "x", "{environ:?}");
    home.ok(&["logs", "api", "--nostream"]).prints("<one> <two words>");
    assert!(home.work.join("err.log").exists() && home.work.join("err-1.log").exists());
    let before = home.pids();
    home.exits(3, &["resurrect", "--from", "dump.pm2"]).says("`api` is known already, and left as it is");
    assert_eq!(home.pids(), before);

    let nested = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    for broken in [
        "",
        "[{]",
        "{}",
        "[1]",
        "[{\"name\":[]}]",
        "[{\"name\":\"a\",\"pm_exec_path\":{}}]",
        "process.exit(1)",
        &nested,
    ] {
        home.write("broken.pm2", broken);
        let output = home.exits(65, &["resurrect", "--from", "broken.pm2"]);
        assert_eq!(output.stderr.matches("error:").count(), 1, "{output}");
        output.says("is no dump of PM2's");
    }
    home.exits(1, &["resurrect", "--from", "nowhere.pm2"]).says("No such file");
}
