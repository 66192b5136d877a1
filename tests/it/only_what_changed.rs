//! The main promise, shown by pids, on ten apps: shell, Node and Python, some with several instances.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Home, needs_node, needs_python, procs, stay};

type Pids = BTreeMap<String, u32>;

/// Ten apps that run.
struct Ten {
    home: Home,
    apps: Vec<Value>,
    before: Pids,
}

impl Ten {
    fn running() -> Self {
        let home = Home::new();
        let mut apps = Vec::new();
        let shell = ["api-app", "worker", "mailer", "cron", "cache", "gateway"];
        for name in shell {
            home.app("stay.sh", &format!("{name}.sh"));
            let mut app = stay(name);
            app["script"] = json!(format!("./{name}.sh"));
            app["env"] = json!({ "NOTE": name, "OLD_KEY": "still here" });
            apps.push(app);
        }
        apps[0]["instances"] = json!(2);
        apps[1]["instances"] = json!(2);
        let (node, python) = (needs_node(), needs_python());
        let others = [("site", node, "stay.js"), ("admin", node, "stay.js")];
        let python = [("model", python, "stay.py"), ("report", python, "stay.py")];
        for (name, there, program) in others.into_iter().chain(python) {
            // Where the machine has no such interpreter, the shell stands in.
            let program = if there { program } else { "stay.sh" };
            let ending = program.rsplit('.').next().expect("it has one");
            let script = format!("{name}.{ending}");
            home.app(program, &script);
            let mut app = stay(name);
            app["script"] = json!(format!("./{script}"));
            apps.push(app);
        }
        assert_eq!(apps.len(), 10);
        let mut ten = Self { home, apps, before: Pids::new() };
        ten.apply();
        ten.before = ten.home.pids();
        assert_eq!(ten.before.len(), 12, "{:?}", ten.before);
        ten
    }

    fn write(&self) {
        self.home.write_json("eco.json", &json!({ "name": "ten", "apps": self.apps }));
    }

    fn apply(&self) {
        self.write();
        self.home.ok(&["apply", "eco.json"]);
        self.home.exits(0, &["diff", "eco.json"]).prints("unchanged");
    }

    fn app(&mut self, name: &str) -> &mut Value {
        self.apps.iter_mut().find(|app| app["name"] == name).expect("it is one of the ten")
    }

    /// Instances that are not as they were: another pid, new, or gone.
    fn changed(&self) -> Vec<String> {
        changed(&self.before, &self.home.pids())
    }
}

fn changed(before: &Pids, after: &Pids) -> Vec<String> {
    let mut names: Vec<String> =
        before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn a_second_apply_changes_no_pid_and_exits_0() {
    let ten = Ten::running();
    let again = ten.home.ok(&["apply", "eco.json"]);
    again.says("nothing to do");
    assert_eq!(ten.changed(), [""; 0]);
    // The same ecosystem in another order, and from another folder, is the same.
    let mut apps = ten.apps.clone();
    apps.reverse();
    ten.home.write_json("eco.json", &json!({ "name": "ten", "apps": apps }));
    let mut command = ten.home.command(&["apply", "w/eco.json"]);
    command.current_dir(ten.home.work.parent().expect("it has one"));
    ten.home.run_command(command, std::time::Duration::from_secs(30)).exited(0);
    assert_eq!(ten.changed(), [""; 0]);
}

#[test]
fn one_changed_env_value_changes_only_that_app() {
    let mut ten = Ten::running();
    ten.app("mailer")["env"]["NOTE"] = json!("changed");
    ten.apply();
    assert_eq!(ten.changed(), ["mailer:0"]);
    assert_eq!(procs::environ(ten.home.pid("mailer:0"))["NOTE"], "changed");
    assert!(!procs::alive(ten.before["mailer:0"]));
}

#[test]
fn a_removed_app_is_deleted() {
    let mut ten = Ten::running();
    ten.apps.retain(|app| app["name"] != "cron");
    ten.write();
    // Unless the user says otherwise.
    ten.home.ok(&["apply", "eco.json", "--no-prune"]);
    assert_eq!(ten.changed(), [""; 0]);
    ten.apply();
    assert_eq!(ten.changed(), ["cron:0"]);
    assert!(!procs::alive(ten.before["cron:0"]));
    assert!(ten.home.list().iter().all(|one| one.name() != "cron"));
}

#[test]
fn instances_2_to_3_starts_one_process_and_touches_no_other() {
    let mut ten = Ten::running();
    ten.app("worker")["instances"] = json!(3);
    ten.apply();
    assert_eq!(ten.changed(), ["worker:2"]);
    ten.app("worker")["instances"] = json!(1);
    ten.apply();
    assert_eq!(ten.changed(), ["worker:1"], "the youngest go first");
    assert_eq!(ten.home.pid("worker:0"), ten.before["worker:0"]);
}

#[test]
fn a_changed_max_memory_restart_changes_no_pid() {
    let mut ten = Ten::running();
    for (option, value) in [
        ("max_memory_restart", json!("300M")),
        ("kill_timeout", json!(2000)),
        ("max_restarts", json!(3)),
        ("autorestart", json!(false)),
    ] {
        ten.app("api-app")[option] = value;
        ten.write();
        let diff = ten.home.exits(2, &["diff", "eco.json"]);
        diff.prints(option);
        ten.apply();
        assert_eq!(ten.changed(), [""; 0], "{option}");
    }
}

#[test]
fn only_touches_nothing_else_and_prunes_nothing() {
    let mut ten = Ten::running();
    for name in ["api-app", "mailer", "cache"] {
        ten.app(name)["env"]["NOTE"] = json!("changed");
    }
    ten.apps.retain(|app| app["name"] != "cron");
    ten.apps.push(stay("brand-new"));
    ten.home.app("stay.sh", "stay.sh");
    ten.write();
    ten.home.ok(&["apply", "eco.json", "--only", "api-app"]);
    assert_eq!(ten.changed(), ["api-app:0", "api-app:1"]);
    let typo = ten.home.exits(1, &["apply", "eco.json", "--only", "api-ap"]);
    typo.says("api-ap").says("did you mean `api-app`?");
    assert_eq!(ten.changed(), ["api-app:0", "api-app:1"]);
}

#[test]
fn a_renamed_app_keeps_its_pid() {
    let mut ten = Ten::running();
    ten.app("gateway")["name"] = json!("edge");
    ten.app("edge")["renamed_from"] = json!("gateway");
    ten.apply();
    let after = ten.home.pids();
    assert_eq!(after.get("edge:0"), ten.before.get("gateway:0"));
    assert_eq!(changed(&ten.before, &after), ["edge:0", "gateway:0"]);
    // The hint may stay in the file.
    ten.apply();
    assert_eq!(ten.home.pids(), after);
    // It goes on writing where it did: that is where its lines are looked for, whoever has the name now.
    let logs = |home: &Home| home.json(&["show", "edge", "--json"])["apps"][0]["instances"][0]["out_file"].clone();
    assert!(logs(&ten.home).as_str().expect("a file").ends_with("/gateway-out.log"));
    ten.home.lose_daemon();
    assert!(logs(&ten.home).as_str().expect("a file").ends_with("/gateway-out.log"), "with no daemon");
    // Brings a daemon, which takes it over.
    ten.home.ok(&["stop", "cache"]);
    assert!(logs(&ten.home).as_str().expect("a file").ends_with("/gateway-out.log"), "taken over");
    assert_eq!(ten.home.pids().get("edge:0"), after.get("edge:0"));
    ten.home.ok(&["restart", "edge"]);
    assert!(logs(&ten.home).as_str().expect("a file").ends_with("/edge-out.log"));
    assert_eq!(procs::environ(ten.home.pid("edge:0"))["PMRUN_INSTANCE"], "edge:0");
}

#[test]
fn a_key_deleted_from_env_is_absent_from_the_new_process() {
    let mut ten = Ten::running();
    assert_eq!(procs::environ(ten.before["cache:0"])["OLD_KEY"], "still here");
    ten.app("cache")["env"].as_object_mut().expect("an object").remove("OLD_KEY");
    ten.apply();
    assert_eq!(ten.changed(), ["cache:0"]);
    assert_eq!(procs::environ(ten.home.pid("cache:0")).get("OLD_KEY"), None);
}

#[test]
fn an_edited_script_rolls_just_its_app() {
    let ten = Ten::running();
    let text = std::fs::read_to_string(ten.home.work.join("api-app.sh")).expect("it is there");
    ten.home.write("api-app.sh", text + "# edited\n");
    ten.apply();
    assert_eq!(ten.changed(), ["api-app:0", "api-app:1"]);
    // A touch is not an edit.
    let before = ten.home.pids();
    let text = std::fs::read_to_string(ten.home.work.join("worker.sh")).expect("it is there");
    ten.home.write("worker.sh", text);
    ten.apply();
    assert_eq!(ten.home.pids(), before);
}

#[test]
fn apps_of_others_are_never_touched_and_a_duplicate_name_is_a_clear_conflict() {
    let ten = Ten::running();
    ten.home.app("stay.sh", "x.sh");
    ten.home.ok(&["start", "./x.sh", "--name", "x"]);
    ten.home.app("stay.sh", "other/stay.sh");
    ten.home.write_json("other/eco.json", &json!({ "name": "other", "apps": [stay("elsewhere")] }));
    ten.home.ok(&["apply", "other/eco.json"]);
    let before = ten.home.pids();
    assert_eq!(changed(&ten.before, &before), ["elsewhere:0", "x:0"]);

    // Neither is pruned by the ten's own file.
    ten.apply();
    assert_eq!(ten.home.pids(), before);
    let x = ten.home.list().into_iter().find(|one| one.name() == "x").expect("it runs");
    assert_eq!(x.0["ecosystem"], Value::Null);

    // The same name twice: refused, and nothing at all is done.
    let both = json!({ "name": "other", "apps": [stay("elsewhere"), stay("mailer"), stay("fresh")] });
    ten.home.write_json("other/eco.json", &both);
    ten.home.exits(1, &["apply", "other/eco.json"]).says("`mailer`").says("`ten`").says("--adopt");
    assert_eq!(ten.home.pids(), before);
    let by_hand = json!({ "name": "other", "apps": [stay("elsewhere"), stay("x")] });
    ten.home.write_json("other/eco.json", &by_hand);
    ten.home.exits(1, &["apply", "other/eco.json"]).says("`x`").says("by hand");
    ten.home.ok(&["apply", "other/eco.json", "--adopt"]);
    let x = ten.home.list().into_iter().find(|one| one.name() == "x").expect("it runs");
    assert_eq!(x.0["ecosystem"], "other");
}

#[test]
fn another_fingerprint_option_is_recorded_and_restarts_nothing() {
    let mut ten = Ten::running();
    ten.app("worker")["fingerprint"] = json!(["*.sh"]);
    ten.app("mailer")["fingerprint"] = json!(false);
    ten.write();
    ten.home.exits(2, &["diff", "eco.json"]).prints("fingerprint: true -> [*.sh]").never_shows("code changed");
    ten.apply();
    assert_eq!(ten.changed(), [""; 0]);
    // A daemon that comes after knows them again.
    ten.home.lose_daemon();
    ten.home.exits(0, &["diff", "eco.json"]);
    ten.apply();
    assert_eq!(ten.changed(), [""; 0]);
    // From now on the new option counts.
    let text = std::fs::read_to_string(ten.home.work.join("mailer.sh")).expect("it is there");
    ten.home.write("mailer.sh", text + "# edited\n");
    ten.apply();
    assert_eq!(ten.changed(), ["worker:0", "worker:1"], "by its globs; mailer has none");
}

#[test]
fn another_cwd_alone_changes_no_code() {
    let mut ten = Ten::running();
    let script = ten.home.work.join("cache.sh");
    std::fs::create_dir(ten.home.work.join("sub")).expect("a folder");
    ten.app("cache")["script"] = json!(script);
    ten.app("cache")["cwd"] = json!("./sub");
    ten.write();
    ten.home.exits(2, &["diff", "eco.json"]).prints("cwd: ").never_shows("code changed");
    ten.apply();
    assert_eq!(ten.changed(), ["cache:0"]);
}

#[test]
fn a_command_lines_own_code_counts_and_its_data_does_not() {
    let mut ten = Ten::running();
    ten.home.write("data.db", "1");
    ten.app("cache")["script"] = json!("sh cache.sh data.db");
    ten.apply();
    let before = ten.home.pids();
    ten.home.write("data.db", "2");
    ten.apply();
    assert_eq!(ten.home.pids(), before);
    let text = std::fs::read_to_string(ten.home.work.join("cache.sh")).expect("it is there");
    ten.home.write("cache.sh", text + "# edited\n");
    ten.home.exits(2, &["diff", "eco.json"]).prints("code changed: cache.sh");
    ten.apply();
    assert_eq!(changed(&before, &ten.home.pids()), ["cache:0"]);
    ten.app("cache")["script"] = json!("sleep 100000 ");
    ten.write();
    ten.home.ok(&["validate", "eco.json"]).says("no file stands for the code of app `cache`");
}
