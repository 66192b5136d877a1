//! The other commands, and how apps are named to them.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Home, Instance, procs, stay};

fn three() -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut api = stay("api");
    api["instances"] = json!(2);
    let mut web = stay("web");
    web["namespace"] = json!("front");
    home.apply(&json!([api, web, stay("worker")]));
    home
}

fn stopped(home: &Home) -> Vec<String> {
    home.list().iter().filter(|one| one.state() == "stopped").map(Instance::label).collect()
}

#[test]
fn targets_are_names_instances_ids_namespaces_patterns_and_all() {
    let home = three();
    let id = home.list().iter().find(|one| one.name() == "worker").expect("it runs").id().to_string();
    let table: [(&[&str], &[&str]); 7] = [
        (&["api"], &["api:0", "api:1"]),
        (&["api:1"], &["api:1"]),
        (&[&id], &["worker:0"]),
        (&["front"], &["web:0"]),
        (&["/^w/"], &["web:0", "worker:0"]),
        (&["api:0", "web"], &["api:0", "web:0"]),
        (&["all"], &["api:0", "api:1", "web:0", "worker:0"]),
    ];
    for (targets, want) in table {
        home.ok(&[&["stop"], targets].concat());
        assert_eq!(stopped(&home), want, "{targets:?}");
        home.ok(&[&["start"], targets].concat());
        assert_eq!(stopped(&home), [""; 0], "{targets:?}");
    }
}

#[test]
fn an_unknown_target_is_exit_1_with_a_suggestion_and_nothing_is_done() {
    let home = three();
    let before = home.pids();
    for command in ["stop", "restart", "delete", "start", "show", "logs"] {
        home.exits(1, &[command, "wroker"]).says("wroker").says("did you mean `worker`?");
        home.exits(1, &[command, "api", "nothing-like-it"]).says("nothing-like-it");
        home.exits(1, &[command, "api:9"]).says("`api` has no instance 9");
    }
    assert_eq!(home.pids(), before);
}

#[test]
fn list_is_a_table_or_json_and_holds_no_environment() {
    let home = three();
    let table = home.ok(&["list"]);
    for word in ["api:0", "api:1", "web", "worker", "online"] {
        table.prints(word);
    }
    for alias in ["ls", "ps", "status"] {
        home.ok(&[alias]).prints("worker");
    }
    let value = home.json(&["list", "--json"]);
    assert_eq!(value["version"], 1);
    assert_eq!(value["instances"].as_array().map(Vec::len), Some(4));
    assert!(!value.to_string().contains("PATH"), "{value}");
}

#[test]
fn show_tells_about_an_app() {
    let home = three();
    let output = home.ok(&["show", "web"]);
    output.prints("web").prints("stay.sh").prints("online").prints("web-out.log");
    let value = home.json(&["show", "web", "--json"]);
    assert_eq!(value["apps"][0]["spec"]["name"], "web");
    assert_eq!(value["apps"][0]["instances"][0]["state"], "online");
}

#[test]
fn restart_replaces_each_process_once() {
    let home = three();
    let before = home.pids();
    home.ok(&["restart", "api"]);
    let after = home.pids();
    for instance in ["api:0", "api:1"] {
        assert_ne!(before[instance], after[instance]);
        assert!(!procs::alive(before[instance]));
    }
    assert_eq!((before["web:0"], before["worker:0"]), (after["web:0"], after["worker:0"]));
    home.ok(&["diff", "eco.json"]);
}

#[test]
fn delete_forgets_an_app() {
    let home = three();
    home.ok(&["delete", "api"]);
    assert!(home.list().iter().all(|one| one.name() != "api"));
    home.exits(1, &["show", "api"]);
    home.exits(2, &["diff", "eco.json"]).prints("1 to create");
}

#[test]
fn start_takes_a_script_with_its_own_options() {
    let home = Home::new();
    home.app("stay.sh", "x.sh");
    home.write("args.sh", "#!/bin/sh\nprintf '%s|' \"$@\"\necho\nexec sleep 100000\n");
    home.ok(&["start", "./x.sh", "--name", "x"]);
    assert_eq!(home.state("x:0"), "online");
    home.ok(&["start", "args.sh", "-i", "2", "--", "--name", "two words", "$HOME"]);
    assert_eq!(home.log("args-out.log"), "--name|two words|$HOME|\n");
    assert_eq!(home.pids().len(), 3);
    home.ok(&["start", "./x.sh", "--name", "python", "--interpreter", "/bin/sh", "--cwd", "/"]);
    assert_eq!(procs::cwd(home.pid("python:0")).as_deref(), Some(std::path::Path::new("/")));
    // The same name again is a clear error, not a second copy.
    let before = home.pids();
    let again = home.run(&["start", "./args.sh", "--name", "x"]);
    assert_ne!(again.code, Some(0), "{again}");
    again.says("`x`");
    assert_eq!(home.pids(), before);
    let gone = home.run(&["start", "./gone.sh"]);
    assert_ne!(gone.code, Some(0), "{gone}");
    gone.says("gone.sh");
}

#[test]
fn logs_prints_the_last_lines_of_either_stream() {
    let home = Home::new();
    home.write(
        "talk.sh",
        "#!/bin/sh\nfor i in 1 2 3 4 5; do echo \"out $i\"; echo \"err $i\" >&2; done\nexec sleep 100000\n",
    );
    let mut app = stay("a");
    app["script"] = json!("./talk.sh");
    home.apply(&json!([app]));
    assert_eq!(home.ok(&["logs", "a", "--out", "--lines", "2"]).stdout, "out 4\nout 5\n");
    assert_eq!(home.ok(&["logs", "a", "--err", "--lines", "1"]).stdout, "err 5\n");
    home.ok(&["logs"]).prints("out 1").prints("err 5");
    assert_eq!(home.ok(&["logs", "a", "--lines", "0"]).stdout, "");
    // After a stop, too.
    home.ok(&["stop", "a"]);
    home.ok(&["logs", "a"]).prints("out 5");
}

#[test]
fn logs_follow_prints_what_is_written_as_it_is_written() {
    let home = Home::new();
    home.write("echo.sh", "#!/bin/sh\necho first\nwhile read -r line <\"${GATE}\"; do echo \"got ${line}\"; done\n");
    let gate = home.fifo("gate");
    let mut app = stay("a");
    app["script"] = json!("./echo.sh");
    app["env"] = json!({ "GATE": gate.path });
    home.apply(&json!([app]));
    let mut command = home.command(&["logs", "a", "-f", "--out"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = procs::spawn(&mut command).expect("spawn");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("it goes on").expect("UTF-8");
    assert_eq!(next(), "first");
    std::fs::write(&gate.path, "one\n").expect("write");
    assert_eq!(next(), "got one");
    std::fs::write(&gate.path, "two\n").expect("write");
    assert_eq!(next(), "got two");
    child.kill().expect("kill");
    procs::finish(child);
}

#[test]
fn ping_kill_and_version() {
    let home = Home::new();
    home.exits(69, &["ping"]).says("no daemon");
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("a")]));
    home.ok(&["ping"]).prints("pong");
    let daemon = home.json(&["ping", "--json"])["daemon"]["pid"].clone();
    assert_eq!(daemon.as_u64(), home.daemon().map(u64::from));
    home.ok(&["kill"]);
    home.exits(69, &["ping"]);
    home.ok(&["kill"]).says("no daemon");
    let version = format!("pmrun {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(home.ok(&["version"]).stdout, version);
    assert_eq!(home.ok(&["--version"]).stdout, version);
}

#[test]
fn wrong_usage_is_64_and_names_what_was_meant() {
    let home = Home::new();
    home.exits(64, &["aply"]).says("apply");
    home.exits(64, &["apply", "--onyl", "x"]).says("--only");
    home.exits(64, &["stop"]);
    let help = home.ok(&["--help"]);
    for word in ["apply", "diff", "Exit codes", "PMRUN_HOME"] {
        help.prints(word);
    }
    help.never_shows("__daemon");
}

#[test]
fn commands_that_only_read_never_start_a_daemon_and_read_the_store_without_one() {
    let home = three();
    let daemon = home.daemon().expect("it runs");
    home.ok(&["kill"]);
    // It has said its last word; its process may take a millisecond more.
    assert!(procs::wait_gone(daemon, std::time::Duration::from_secs(30)));
    let states: Vec<String> = home.list().iter().map(Instance::state).collect();
    assert_eq!(states, ["stopped"; 4]);
    home.ok(&["show", "api"]).prints("stay.sh");
    home.ok(&["logs", "api"]).prints("started api:0");
    home.exits(2, &["diff", "eco.json"]);
    home.ok(&["render", "eco.json"]);
    home.ok(&["validate", "eco.json"]);
    home.exits(69, &["ping"]);
    home.ok(&["version"]);
    assert!(home.daemon().is_none());

    // Nor in a home that does not even exist.
    let mut fresh = Home::new();
    let nowhere = fresh.work.join("no/such/home");
    fresh.set_env("PMRUN_HOME", nowhere.to_str().expect("UTF-8"));
    fresh.app("stay.sh", "stay.sh");
    fresh.write_json("eco.json", &json!([stay("a")]));
    assert_eq!(fresh.list().len(), 0);
    fresh.exits(2, &["diff", "eco.json"]);
    fresh.ok(&["validate", "eco.json"]);
    assert!(!nowhere.exists());
}

#[test]
fn what_is_wrong_with_a_target_is_said() {
    let home = Home::new();
    home.ok(&["stop", "all"]).says("nothing to do");
    home.ok(&["show", "all"]).says("there are no apps");
    home.ok(&["logs"]).says("no log files");
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("api"), stay("api:0")]));
    for command in ["stop", "show", "logs"] {
        home.exits(1, &[command, "/(/"]).says("`/(/` is not a valid regular expression: ").never_shows("called");
        home.exits(1, &[command, "17"]).says("no instance has this id: there are 0 to 1");
        home.exits(1, &[command, ""]).says("an empty target names nothing");
    }
    // An app of exactly that name comes before an instance.
    home.ok(&["stop", "api:0"]).says("api:0:0 stopped");
    assert_eq!(stopped(&home), ["api:0:0"]);
    home.ok(&["delete", "api:0:0"]).says("deleted: 1 app in ");
}

#[test]
fn deleting_one_of_several_instances_is_said_as_that() {
    let home = three();
    home.ok(&["delete", "api:1"]).says("deleted: 1 instance in ");
}

/// The last line of stderr.
fn json_error(output: &crate::support::Output) -> Value {
    let line = output.stderr.lines().last().unwrap_or_else(|| panic!("nothing was said: {output}"));
    let error: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert_eq!((&error["version"], &error["error"]["exit"]), (&json!(1), &json!(output.code)), "{output}");
    error["error"].clone()
}

#[test]
fn errors_are_json_where_json_was_asked_for() {
    let home = Home::new();
    let error = json_error(&home.exits(1, &["show", "nobody", "--json"]));
    assert_eq!(error["message"], "nothing is called `nobody`");
    assert!(error["hint"].is_string());
    json_error(&home.exits(69, &["ping", "--json"]));
    let error = json_error(&home.exits(64, &["list", "--json", "--onyl"]));
    assert!(error["message"].as_str().is_some_and(|text| text.starts_with("unexpected argument '--onyl'")), "{error}");
    json_error(&home.exits(65, &["diff", "--json"]));

    home.write("bad.json", "[{ \"name\": \"a\", \"script\": 7 }]");
    for command in ["apply", "diff", "render"] {
        let error = json_error(&home.exits(65, &[command, "bad.json", "--json"]));
        assert_eq!(error["details"]["version"], 1, "{error}");
    }
    // Its report is what `validate` prints anyway.
    let error = json_error(&home.exits(65, &["validate", "bad.json", "--json"]));
    assert!(error["details"].is_null(), "{error}");
    let none = home.ok(&["logs", "--json"]);
    assert_eq!(none.stdout, "");
    assert_eq!(none.stderr, "{\"version\":1,\"note\":\"no log files\"}\n");

    // What was not begun is told apart from what failed.
    home.app("stay.sh", "stay.sh");
    home.app("crash.sh", "crash.sh");
    let mut needs = stay("needs");
    needs["depends_on"] = json!(["bad"]);
    let bad = json!({ "name": "bad", "script": "./crash.sh", "max_restarts": 1 });
    home.write_json("eco.json", &json!([needs, bad]));
    let output = home.exits(3, &["apply", "eco.json", "--json"]);
    let error = json_error(&output);
    assert_eq!(error["message"], "applied, but 1 of 2 apps failed, 1 was not begun");
    let result: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let failed = result["result"]["failed"].as_array().expect("a list");
    let of = |app: &str| failed.iter().find(|one| one["app"] == app).unwrap_or_else(|| panic!("{app}: {result}"));
    assert_eq!((&of("bad")["skipped"], &of("needs")["skipped"]), (&json!(false), &json!(true)));
    assert_eq!(of("needs")["reason"], "`bad`, which it depends on, is not up");
    home.exits(3, &["apply", "eco.json"]).says("error: `needs:0` failed: it waits for `bad` to be ready");
}

#[test]
fn a_home_that_cannot_be_one_is_a_clear_error() {
    let mut home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write_json("eco.json", &json!([stay("a")]));
    let file = home.write("file", "");
    let missing = std::path::Path::new("/proc/no/such");
    let table = [
        (file.clone(), "is not a folder", "name a folder"),
        (file.join("below"), "Not a directory", "has to be a folder of yours"),
        (std::path::PathBuf::new(), "PMRUN_HOME is set, and empty", "unset it"),
        (missing.to_owned(), "cannot make the folder", "has to be a folder of yours"),
    ];
    let usual = home.folder.clone();
    for (path, problem, hint) in table {
        home.set_env("PMRUN_HOME", path.to_str().expect("UTF-8"));
        for command in [&["list"][..], &["apply", "eco.json"], &["stop", "all"]] {
            // Where nothing is, nothing is known.
            if path == missing && command == ["list"] {
                continue;
            }
            let output = home.run(command);
            assert!(matches!(output.code, Some(1 | 69)), "{output}");
            output.says(problem).says("hint: ").says(hint);
            assert!(output.took < std::time::Duration::from_secs(20), "{output}");
        }
    }
    home.set_env("PMRUN_HOME", usual.to_str().expect("UTF-8"));
}

#[test]
fn a_home_may_have_any_name_and_be_relative() {
    for name in ["with spaces and ümlaut \u{1f980}", &"long".repeat(50), "rel/ative"] {
        let mut home = Home::new();
        home.app("stay.sh", "stay.sh");
        home.write_json("eco.json", &json!([stay("a")]));
        let path = if name.starts_with("rel") { name.to_owned() } else { format!("{}/{name}", home.work.display()) };
        home.set_env("PMRUN_HOME", &path);
        home.ok(&["apply", "eco.json"]);
        assert_eq!(home.state("a:0"), "online", "{name}");
        home.ok(&["kill"]);
    }
}

#[test]
fn damaged_state_without_a_backup_is_left_alone_and_said_with_the_way_on() {
    let home = three();
    home.ok(&["kill"]);
    let state = home.folder.join("state");
    let whole = std::fs::read(&state).expect("it is there");
    let backups = ["state.backup", "state.backup.1"].map(|name| home.folder.join(name));
    for backup in backups.iter().filter(|backup| backup.exists()) {
        std::fs::remove_file(backup).expect("it is there");
    }
    for damaged in [&whole[..5_000], b"", b"not a database at all"] {
        std::fs::write(&state, damaged).expect("write");
        for command in [&["list"][..], &["diff", "eco.json"], &["apply", "eco.json"], &["kill"]] {
            let output = home.run(command);
            output
                .exited(1)
                .says("nothing that runs was touched")
                .says("`pmrun state repair`")
                .never_shows("pmrun.log");
        }
        assert_eq!(std::fs::read(&state).expect("it is there"), damaged);
    }
    home.ok(&["state", "repair"]).says("from nothing").says("`pmrun apply` of each ecosystem file");
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids().len(), 4);
}

#[test]
fn json_is_on_everything_that_reads() {
    let home = three();
    for args in [
        &["list"][..],
        &["show", "api"],
        &["diff", "eco.json"],
        &["render", "eco.json"],
        &["validate", "eco.json"],
        &["ping"],
        &["version"],
    ] {
        let value: Value = home.json(&[args, &["--json"]].concat());
        assert_eq!(value["version"], 1, "{args:?}: {value}");
    }
    let mut api = stay("api");
    api["instances"] = json!(3);
    home.write_json("eco.json", &json!([api, stay("worker")]));
    let applied = home.json(&["apply", "eco.json", "--json"]);
    assert_eq!(applied["version"], 1, "{applied}");
}

#[test]
fn a_restart_stops_nothing_that_cannot_be_started() {
    let home = Home::new();
    let script = home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("a")]));
    let pid = home.pid("a:0");
    std::fs::rename(&script, home.work.join("elsewhere.sh")).expect("rename");
    home.exits(1, &["restart", "a"]).says("does not exist: nothing was restarted");
    assert_eq!(home.pid("a:0"), pid);
    let app = |name: &str| json!({ "name": name, "script": format!("./{name}"), "interpreter": "none" });
    for (name, mode, line, said) in [
        ("plain", 0o644, "#!/bin/sh", "plain` of app `plain` is not executable: nothing was restarted"),
        ("odd", 0o755, "#!/no/such/sh", "interpreter `/no/such/sh` of app `odd` does not exist"),
    ] {
        let script = home.app("stay.sh", name);
        std::fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("chmod");
        home.write_json("other.json", &json!({ "name": name, "apps": [app(name)] }));
        home.ok(&["apply", "other.json"]);
        let pid = home.pid(&format!("{name}:0"));
        std::fs::write(&script, format!("{line}\n")).expect("write");
        std::fs::set_permissions(&script, Permissions::from_mode(mode)).expect("chmod");
        home.exits(1, &["restart", name]).says(said);
        assert_eq!(home.pid(&format!("{name}:0")), pid);
    }
}

#[test]
fn an_app_with_a_space_in_its_name_can_be_selected() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write_json("eco.json", &json!([stay("my app"), stay("a"), stay("b")]));
    home.ok(&["apply", "eco.json", "--only", "my app"]);
    assert_eq!(home.pids().keys().collect::<Vec<_>>(), ["my app:0"]);
    home.ok(&["apply", "eco.json", "--only", "a b"]);
    assert_eq!(home.pids().len(), 3);
    assert_eq!(home.json(&["list", "a", "--json"])["instances"].as_array().map(Vec::len), Some(1));
    home.ok(&["restart", "eco.json", "--only", "my app"]);
    home.exits(1, &["show", "eco.json"]).says("`pmrun apply eco.json`");
}

#[test]
fn scaling_leaves_alone_who_stays_also_where_one_in_the_middle_is_gone() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut many = crate::support::stay("many");
    many["instances"] = json!(4);
    home.apply(&json!([many]));
    home.ok(&["stop", "many:3"]);
    home.ok(&["delete", "many:0", "many:1"]);
    let before = home.pids();
    home.ok(&["scale", "many", "+1"]);
    let names = || home.list().iter().map(crate::support::Instance::label).collect::<std::collections::BTreeSet<_>>();
    let of = |slots: &[u32]| slots.iter().map(|slot| format!("many:{slot}")).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(names(), of(&[0, 2, 3]));
    assert_eq!((home.pid("many:2"), home.state("many:3").as_str()), (before["many:2"], "stopped"));
    home.ok(&["scale", "many", "2"]);
    assert_eq!((names(), home.pid("many:2")), (of(&[0, 2]), before["many:2"]));
    home.ok(&["scale", "many", "4"]);
    assert_eq!((names(), home.pid("many:2")), (of(&[0, 1, 2, 3]), before["many:2"]));
}
