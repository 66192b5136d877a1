//! `explain APP.OPTION`: which value holds, what set it, and what it stands in for.

use serde_json::{Value, json};

use crate::support::Home;

/// The same ecosystem in every format, and where `env_production.PORT` and `env.PORT` are in it.
const FORMATS: [(&str, &str, [&str; 2]); 5] = [
    (
        "eco.yaml",
        "apps:\n- name: api\n  script: ./api.sh\n  env: {PORT: 3000}\n  env_production:\n    PORT: 8080\n  env_file: a.env\n",
        ["eco.yaml:6:11", "eco.yaml:4:15"],
    ),
    (
        "eco.toml",
        "[[apps]]\nname = \"api\"\nscript = \"./api.sh\"\nenv_file = \"a.env\"\n[apps.env]\nPORT = 3000\n[apps.env_production]\nPORT = 8080\n",
        ["eco.toml:8:8", "eco.toml:6:8"],
    ),
    (
        "eco.json5",
        "{apps: [{name: 'api', script: './api.sh', env_file: 'a.env',\n env: {PORT: 3000}, env_production: {PORT: 8080}}]}",
        ["eco.json5:2:44", "eco.json5:2:14"],
    ),
    (
        "eco.json",
        "{\"apps\": [{\"name\": \"api\", \"script\": \"./api.sh\", \"env_file\": \"a.env\",\n\"env\": {\"PORT\": 3000}, \"env_production\": {\"PORT\": 8080}}]}",
        ["eco.json:2:51", "eco.json:2:17"],
    ),
    (
        "eco.config.js",
        "module.exports = {apps: [{name: 'api', script: './api.sh', env_file: 'a.env',\n env: {PORT: 3000}, env_production: {PORT: 8080}}]}",
        ["eco.config.js:2:44", "eco.config.js:2:14"],
    ),
];

fn home() -> Home {
    let mut home = Home::new();
    home.app("stay.sh", "api.sh");
    home.write("a.env", "# ports\nexport PORT=80\nONLY_HERE=1\n");
    home.set_env("PORT", "9999");
    home
}

/// `key=value` of each layer, and where it is.
fn layers(home: &Home, args: &[&str]) -> Vec<String> {
    let document = home.json(&[&["explain"], args, &["--json"]].concat());
    let layers = document["values"][0]["layers"].as_array().expect("a list").clone();
    let told = |layer: &Value| {
        let place = match (&layer["file"], &layer["line"]) {
            (Value::String(file), Value::Number(line)) => format!(" {file}:{line}:{}", layer["column"]),
            (Value::String(file), _) => format!(" {file}"),
            _ => String::new(),
        };
        format!("{}={}{place}", layer["layer"].as_str().expect("text"), layer["value"].as_str().unwrap_or("-"))
    };
    layers.iter().map(told).collect()
}

#[test]
fn a_variable_is_explained_layer_by_layer_in_every_format() {
    let home = home();
    for (file, text, [production, plain]) in FORMATS {
        home.write(file, text);
        let want = [
            format!("env_production=8080 {production}"),
            format!("env=3000 {plain}"),
            "env_file=80 a.env:2:8".to_owned(),
            "shell=9999".to_owned(),
        ];
        assert_eq!(layers(&home, &["api.env.PORT", file, "--env", "production"]), want, "{file}");
        assert_eq!(layers(&home, &["api.env.PORT", file]), want[1..], "{file}");
        assert_eq!(layers(&home, &["api.env.ONLY_HERE", file]), ["env_file=1 a.env:3:1"], "{file}");
        let output = home.ok(&["explain", "api.env.PORT", file]);
        output.prints(&format!("api.env.PORT = 3000\n\nset by `env` at {plain}\n"));
        output.prints("note: with `--env production` it is 8080");
    }
}

#[test]
fn an_option_is_explained_with_its_aliases_its_default_and_what_it_became() {
    let home = home();
    home.write("sub/api.sh", "#!/bin/sh\nexec sleep 1000\n");
    home.write_json(
        "eco.json",
        &json!({ "apps": [{ "name": "v1.api", "cwd": "./sub", "exec": "./old.sh", "script": "./api.sh", "port": 81,
            "maxRestarts": 3, "instances": 2, "increment_var": "PORT" }] }),
    );
    let table = [
        ("v1.api.max_restarts", "= 3\n\nset by `maxRestarts` at eco.json:"),
        ("v1.api.max_restarts", "over the default: 16 (PM2's)"),
        ("v1.api.maxRestarts", "v1.api.max_restarts = 3"),
        ("v1.api.kill_timeout", "= 1.6s\n\nnothing sets it; default: 1600 (PM2's)"),
        ("v1.api.script", "over `exec` at eco.json:"),
        ("v1.api.script", "note: `./api.sh` is read against `cwd`, which is /"),
        ("v1.api.interpreter", "note: guessed from the script's ending, `.sh`"),
        ("v1.api.cwd", "/sub\n\nset by `cwd` at eco.json:"),
        ("v1.api.env.PORT", "= 81\n\nset by `port` at eco.json:"),
        ("v1.api.env.PORT", "`increment_var`: each further instance gets one more"),
        ("v1.api.env.NODE_APP_INSTANCE", "= 0 to 1, an instance's number\n\nset by pmrun itself"),
        ("v1.api.env.HOME", "inherited from the shell"),
        ("v1.api.code", "v1.api.fingerprint = the script and env files"),
        ("v1.api.fingerprint", "note: what stands for the code: api.sh\n"),
        ("v1.api.uid", "v1.api.uid is not set"),
        ("v1.api", "  max_restarts   3 "),
        ("v1.api", "\ndefaults\n  namespace "),
        ("v1.api.env", "  env.PORT  81  eco.json:"),
    ];
    for (what, want) in table {
        home.ok(&["explain", what, "eco.json"]).prints(want);
    }
}

#[test]
fn secrets_are_hidden_and_revealed_on_request() {
    let home = home();
    home.write(
        "eco.yaml",
        "apps:\n- name: api\n  script: ./api.sh\n  args: [--token, LEAK]\n  node_args: [--password, LEAK]\n  interpreter_args: [--token, LEAK, -x]\n  env:\n    API_KEY: LEAK\n  env_a: {API_KEY: LEAK}\n  env_file: k.env\n",
    );
    home.write("k.env", "API_KEY='LEAK'\nDB=postgres://u:LEAK@db/x\n");
    for what in ["api", "api.env", "api.args", "api.node_args", "api.env.API_KEY", "api.env.DB"] {
        for form in [&[][..], &["--json"], &["--env", "a"]] {
            home.ok(&[&["explain", what, "eco.yaml"], form].concat()).never_shows("LEAK");
        }
        home.ok(&["explain", what, "eco.yaml", "--reveal"]).prints("LEAK");
    }
}

#[test]
fn what_is_not_there_is_told_with_what_was_meant() {
    let home = home();
    home.write("eco.yaml", FORMATS[0].1);
    let table = [
        (1, "apii.env.PORT", "did you mean `api.env.PORT`?"),
        (1, "api.env.PROT", "did you mean `api.env.PORT`?"),
        (1, "api.maxMemory", "did you mean `api.max_memory_restart`?"),
        (1, "api.nothing_like_it", "`pmrun explain api` lists what it has"),
        (1, "zzz", "there are: `api`"),
        (64, "api.env_production.PORT", "`pmrun explain api.env.PORT --env production`"),
        (64, "eco.yaml", "the value goes first"),
    ];
    for (code, what, says) in table {
        home.exits(code, &["explain", what, "eco.yaml"]).says(says);
    }
    home.exits(65, &["explain", "api.env.PORT", "eco.yaml", "--env", "prodution"]).says("did you mean `production`?");
}

/// Not all values of a program have bytes of their own; where they are in what it exports is always known.
#[test]
fn a_programs_value_is_explained_by_its_path() {
    let home = home();
    home.write(
        "eco.config.js",
        "const port = 2999 + 1;\nmodule.exports = { apps: [{ name: 'api', script: './api.sh', env: { PORT: port } }] };\n",
    );
    let document = home.json(&["explain", "api.env.PORT", "eco.config.js", "--json"]);
    let layer = &document["values"][0]["layers"][0];
    assert_eq!((&layer["value"], &layer["file"]), (&json!("3000"), &json!("eco.config.js")));
    assert_eq!(layer["path"], "apps[0] (api).env.PORT");
}

/// With `dotenv`, or by hand: apps get it too.
#[test]
fn what_a_program_has_put_into_its_environment_is_explained_by_its_place() {
    let home = home();
    home.write(".env", "# of dotenv\nFROM_FILE=1\n");
    let program = "require('dotenv').config();\nprocess.env.BY_HAND = 'two';\nconst made = 'th' + 'ree';\n\
        process.env.MADE = made;\nmodule.exports = {apps: [{name: 'api', script: './api.sh'}]};\n";
    home.write("eco.config.js", program);
    let explained = |name: &str| layers(&home, &[&format!("api.env.{name}"), "eco.config.js"]);
    assert_eq!(explained("BY_HAND"), ["process.env=two eco.config.js:2:23"]);
    assert_eq!(explained("MADE"), ["process.env=three eco.config.js:4:20"]);
    assert_eq!(explained("FROM_FILE"), ["process.env=1 .env:2:1"]);
}
