//! Run under the name `pm2`: what its files are called, and what is in them.

use serde_json::{Value, json};

use crate::named_pm2::Pm2;

#[test]
fn logs_and_pid_files_have_pm2s_names() {
    let pm2 = Pm2::new();
    let work = pm2.home.work.clone();
    pm2.says(0, &["start", "echo.sh", "--name", "my_app"], &[]);
    pm2.says(0, &["start", "echo.sh", "--name", "two", "-i", "2"], &[]);
    pm2.says(0, &["start", "echo.sh", "--name", "own", "-i", "1", "-o", "o.log", "-e", "e.txt", "-p", "o.pid"], &[]);
    let merged = ["start", "echo.sh", "--name", "one", "-i", "2", "--merge-logs", "-o", "one.log", "-e", "NULL"];
    pm2.says(0, &merged, &[]);
    let home = pm2.home.folder.clone();
    let files = ["logs/my-app-out.log", "logs/my-app-error.log", "logs/two-out-1.log", "logs/two-error-2.log"];
    for file in files
        .map(|file| home.join(file))
        .into_iter()
        .chain(["pids/my-app-0.pid", "pids/two-1.pid", "pids/two-2.pid"].map(|file| home.join(file)))
    {
        assert!(file.exists(), "{}", file.display());
    }
    for file in ["o-3.log", "e.txt", "o-3.pid", "one.log"] {
        assert!(work.join(file).exists(), "{file}");
    }
    let paths: Vec<String> = pm2.list().iter().map(|one| one["pm2_env"]["pm_out_log_path"].to_string()).collect();
    assert!(paths[1].ends_with("two-out-1.log\"") && paths[4] == paths[5], "{paths:?}");
    // The home remembers that, whoever asks.
    pm2.home.ok(&["restart", "two"]);
    assert!(home.join("logs/two-out-1.log").exists() && !home.join("logs/two-out.log").exists());
    pm2.says(0, &["stop", "own"], &[]);
    assert!(!work.join("o-3.pid").exists());
}

#[test]
fn a_home_of_pmruns_keeps_its_names() {
    let pm2 = Pm2::new();
    pm2.home.ok(&["start", "echo.sh", "--name", "a_b"]);
    pm2.says(0, &["start", "echo.sh", "--name", "c_d"], &[]);
    for file in ["logs/a_b-out.log", "logs/c_d-out.log"] {
        assert!(pm2.home.folder.join(file).exists(), "{file}");
    }
}

#[test]
fn a_dump_is_taken_apart_entry_by_entry() {
    let pm2 = Pm2::new();
    pm2.says(0, &["start", "echo.sh", "--name", "env"], &[]);
    pm2.says(0, &["stop", "env"], &[]);
    pm2.says(0, &["save"], &[]);
    let path = pm2.home.folder.join("dump.pm2");
    let mut dump: Value = serde_json::from_slice(&std::fs::read(&path).expect("a dump")).expect("JSON");
    let entries = dump.as_array_mut().expect("a list");
    let mut named_env = entries[0].clone();
    // As PM2 writes it of an app that is called so.
    named_env["env"] = json!("{}");
    named_env["COLOUR"] = json!("red");
    *entries = vec![named_env, json!({ "name": "bare" }), json!(7), {
        let mut good = entries[0].clone();
        good["name"] = json!("good");
        good["status"] = json!("online");
        good
    }];
    pm2.says(0, &["delete", "all"], &[]);
    std::fs::write(&path, dump.to_string()).expect("written");
    pm2.says(0, &["resurrect"], &[]);
    pm2.home.until_state("good:0", "online");
    assert_eq!(pm2.home.state("env:0"), "stopped");
    let list = pm2.list();
    let env = list.iter().find(|one| one["name"] == "env").expect("known");
    assert_eq!((env.get("pid"), &env["pm2_env"]["COLOUR"]), (None, &json!("red")));
    // A broken one is removed, and the one before it is used.
    pm2.says(0, &["save"], &[]);
    pm2.says(0, &["save"], &[]);
    pm2.says(0, &["delete", "all"], &[]);
    std::fs::write(&path, "[{").expect("written");
    pm2.says(0, &["resurrect"], &[]);
    assert!(!path.exists());
    assert_eq!(pm2.list().len(), 2);
}

#[test]
fn a_daemon_that_a_signal_ends_writes_a_dump() {
    let pm2 = Pm2::new();
    pm2.says(0, &["start", "echo.sh"], &[]);
    let dump = pm2.home.folder.join("dump.pm2");
    assert!(!dump.exists());
    let pid = std::fs::read_to_string(pm2.home.folder.join("pm2.pid")).expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().expect("a number")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    pm2.home.until("a dump", |_| dump.exists());
    let dumped: Value = serde_json::from_slice(&std::fs::read(&dump).expect("a dump")).expect("JSON");
    assert_eq!((&dumped[0]["name"], &dumped[0]["status"]), (&json!("echo"), &json!("online")));
}

#[test]
fn a_file_is_told_what_it_does_not_say() {
    let pm2 = Pm2::new();
    pm2.home.write("stay.sh", "exec sleep 1000\n");
    let apps = json!([
        { "name": "a", "script": "stay.sh" },
        { "name": "b", "script": "stay.sh", "namespace": "own", "ignore_watch": ["y"] },
    ]);
    pm2.home.write_json("eco.json", &json!({ "apps": apps }));
    let flags = ["--watch", "--namespace", "z", "--ignore-watch", "x", "--cwd", "/"];
    let said = pm2.says(0, &[&["start", "eco.json"][..], &flags].concat(), &[]);
    assert!(said.stdout.contains("`--cwd` is not taken with a file"), "{said}");
    let list = pm2.list();
    let of = |at: usize| {
        let env = &list[at]["pm2_env"];
        (env["namespace"].clone(), env["watch"].clone(), env["ignore_watch"].clone())
    };
    assert_eq!(of(0), (json!("z"), json!(true), json!(["x"])));
    assert_eq!(of(1), (json!("own"), json!(true), json!(["y"])));
}
