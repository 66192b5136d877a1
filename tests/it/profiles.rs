//! `--env`, relative paths, and what a process finds in its environment.

use serde_json::json;

use crate::support::{Home, needs_node, procs, stay};

#[test]
fn overlays_are_picked_by_env_and_an_unknown_one_is_an_error_that_lists_them() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut a = stay("a");
    a["env"] = json!({ "MODE": "base", "KEPT": "1" });
    a["env_production"] = json!({ "MODE": "prod" });
    let mut b = stay("b");
    b["env_staging"] = json!({ "MODE": "stage" });
    home.write_json("eco.json", &json!([a, b]));

    let mode = |args: &[&str]| home.json(&[&["render", "eco.json", "--json"], args].concat())["apps"][0]["env"].clone();
    assert_eq!(mode(&[]), json!({ "KEPT": "1", "MODE": "base" }));
    assert_eq!(mode(&["--env", "production"]), json!({ "KEPT": "1", "MODE": "prod" }));
    assert_eq!(mode(&["--env", "staging"]), json!({ "KEPT": "1", "MODE": "base" }));

    let unknown = home.exits(65, &["apply", "eco.json", "--env", "prodution"]);
    unknown.says("prodution").says("production").says("staging");
    assert!(home.daemon().is_none());
}

#[test]
fn relative_paths_resolve_against_the_file_and_the_apps_folder() {
    let home = Home::new();
    home.app("stay.sh", "conf/site/run/stay.sh");
    home.write_json(
        "conf/eco.json",
        &json!([{ "name": "a", "cwd": "./site", "script": "run/stay.sh", "out_file": "logs/o.log", "error_file": "~/e.log" }]),
    );
    let app = &home.json(&["render", "conf/eco.json", "--json"])["apps"][0];
    let at = |path: &str| home.work.join(path).to_str().expect("UTF-8").to_owned();
    assert_eq!(app["cwd"], at("conf/site"));
    assert_eq!(app["script"], at("conf/site/run/stay.sh"));
    assert_eq!(app["logs"]["out"], json!({ "path": at("conf/site/logs/o.log") }));
    assert_eq!(app["logs"]["error"], json!({ "path": at("../user/e.log").replace("w/../", "") }));

    home.ok(&["apply", "conf/eco.json"]);
    let pid = home.pid("a:0");
    assert_eq!(procs::cwd(pid), Some(home.work.join("conf/site")));
    let written = std::fs::read_to_string(home.work.join("conf/site/logs/o.log")).expect("the folder was made");
    assert_eq!(written, "started a:0\n");
}

#[test]
fn the_layers_of_the_environment_are_visible_in_the_process() {
    let mut home = Home::new();
    home.set_env("FROM_SHELL", "shell");
    home.set_env("LAYER", "shell");
    home.set_env("SHLVL", "7");
    home.set_env("SECRET_OF_SHELL", "x");
    home.app("stay.sh", "stay.sh");
    home.write("app.env", "# comment\nLAYER=file\nFROM_FILE=\"two words\"\nONLY_FILE=1\n");
    let mut a = stay("a");
    a["env_file"] = json!("app.env");
    a["env"] = json!({ "LAYER": "env", "FROM_FILE": "env", "NUMBER": 8080, "LIST": "a,b" });
    a["env_production"] = json!({ "LAYER": "production" });
    a["filter_env"] = json!(["SECRET_OF"]);
    a["instances"] = json!(2);
    home.write_json("eco.json", &json!([a]));
    home.ok(&["apply", "eco.json", "--env", "production"]);

    let pids = home.pids();
    let environ = procs::environ(pids["a:1"]);
    let get = |name: &str| environ.get(name).map(String::as_str);
    assert_eq!(get("FROM_SHELL"), Some("shell"));
    assert_eq!(get("LAYER"), Some("production"));
    assert_eq!(get("FROM_FILE"), Some("env"));
    assert_eq!(get("ONLY_FILE"), Some("1"));
    assert_eq!(get("NUMBER"), Some("8080"));
    assert_eq!(get("SHLVL").filter(|level| *level == "7"), None, "noise of the shell's own session");
    assert_eq!(get("SECRET_OF_SHELL"), None);
    assert_eq!(get("NODE_APP_INSTANCE"), Some("1"));
    assert_eq!(get("PMRUN_INSTANCE"), Some("a:1"));
    assert_eq!(get("PMRUN_HOME"), home.folder.to_str());
}

#[test]
fn the_invoking_shells_environment_never_shows_up_as_a_difference() {
    let mut home = Home::new();
    home.set_env("AMBIENT", "one");
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("a")]));
    let before = home.pids();
    home.set_env("AMBIENT", "two");
    home.ok(&["diff", "eco.json"]);
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids(), before);
}

/// What PM2, which evaluates a config in its own process, hands down to the apps.
#[test]
fn what_a_program_puts_into_its_environment_reaches_the_apps() {
    let engines: &[&str] = if needs_node() { &["embedded", "node"] } else { &["embedded"] };
    for engine in engines {
        let mut home = Home::new();
        home.set_env("PMRUN_JS_ENGINE", engine);
        home.set_env("GIVEN", "shell");
        home.set_env("CHANGED", "shell");
        home.set_env("DELETED", "shell");
        home.app("stay.sh", "stay.sh");
        home.write(
            "ecosystem.config.js",
            "process.loadEnvFile('.env');\nprocess.env.CHANGED = 1;\nprocess.env.GIVEN = 'shell';\ndelete process.env.DELETED;\n\
             module.exports = async () => {\n  process.env.LATE = 'late';\n  return { apps: [\n    \
             { name: 'a', script: './stay.sh', env: { OWN: 'mine' } },\n    { name: 'b', script: './stay.sh', env: { FILED: 'b' } },\n  ] };\n};\n",
        );
        home.write(".env", "FILED=one\nOWN=two\nGIVEN=file\n");
        home.ok(&["apply"]);
        let environ = procs::environ(home.pid("a:0"));
        for (name, want) in [
            ("FILED", Some("one")),
            ("OWN", Some("mine")),
            ("CHANGED", Some("1")),
            ("LATE", Some("late")),
            ("GIVEN", Some("shell")),
            ("DELETED", Some("shell")),
        ] {
            assert_eq!(environ.get(name).map(String::as_str), want, "{engine}: {name}");
        }
        let declared = home.json(&["render", "--json"]);
        let names: Vec<&String> = declared["apps"][0]["env"].as_object().expect("variables").keys().collect();
        assert_eq!(names, ["CHANGED", "FILED", "GIVEN", "LATE", "OWN"], "{engine}");
        let explained = home.ok(&["explain", "a.env.FILED"]);
        explained.prints("set by the program, in `process.env`: .env:1:1");
        home.ok(&["explain", "a.env.OWN"]).prints("over what the program sets in `process.env`, .env:2:1: two");
        // An edited file rolls the apps that get something else by it.
        let before = home.pids();
        home.write(".env", "FILED=two\nOWN=two\n");
        home.exits(2, &["diff"]).prints("env.FILED: one -> two").prints("1 to restart, 1 unchanged");
        home.ok(&["apply"]);
        assert_ne!(home.pid("a:0"), before["a:0"]);
        assert_eq!(home.pid("b:0"), before["b:0"]);
        home.exits(0, &["diff"]);
        // A shell that has them already makes no difference.
        home.set_env("FILED", "two");
        home.set_env("LATE", "late");
        home.exits(0, &["diff"]);
        home.ok(&["convert", "ecosystem.config.js", "--to", "yaml"])
            .says("not kept: what the code puts into `process.env`: CHANGED, FILED, GIVEN, LATE, OWN");
    }
}

#[test]
fn a_hermetic_program_hands_down_what_it_sets_and_nothing_that_it_did_not_see() {
    let mut home = Home::new();
    home.set_env("SEEN", "shell");
    home.app("stay.sh", "stay.sh");
    home.write(
        "ecosystem.config.js",
        "process.env.SET = process.env.SEEN + '!';\nmodule.exports = [{ name: 'a', script: './stay.sh' }];\n",
    );
    let rendered = home.json(&["render", "--json", "--hermetic", "--allow-env", "SEEN"]);
    assert_eq!(rendered["apps"][0]["env"], serde_json::json!({ "SET": "shell!" }));
}
