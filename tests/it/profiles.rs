//! `--env`, relative paths, and what a process finds in its environment.

use serde_json::json;

use crate::support::{Home, procs, stay};

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
