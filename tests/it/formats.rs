//! Reading: the formats, the shapes, which file is taken, and what is said about unknown keys.

use serde_json::{Value, json};

use crate::support::{Home, needs_git, stay};

const JS: &str = r"
const port = 3000 + 1;
module.exports = {
  apps: [
    {
      name: 'api',
      script: './stay.sh',
      args: ['--verbose', 'two words'],
      instances: 2,
      env: { PORT: port, NODE_ENV: 'development' },
      env_production: { NODE_ENV: 'production' },
      max_memory_restart: '300M',
      min_uptime: '5s',
      kill_timeout: 3000,
      depends_on: ['db'],
    },
    { name: 'db', script: './stay.sh', autorestart: false, out_file: 'logs/db.log', max_restarts: 0 },
  ],
  deploy: { production: { user: 'deploy', host: ['one', 'two'], ref: 'origin/main' } },
};
";

const JSON: &str = r#"{
  "apps": [
    {
      "name": "api",
      "script": "./stay.sh",
      "args": ["--verbose", "two words"],
      "instances": 2,
      "env": { "PORT": 3001, "NODE_ENV": "development" },
      "env_production": { "NODE_ENV": "production" },
      "max_memory_restart": "300M",
      "min_uptime": "5s",
      "kill_timeout": 3000,
      "depends_on": ["db"]
    },
    { "name": "db", "script": "./stay.sh", "autorestart": false, "out_file": "logs/db.log", "max_restarts": 0 }
  ],
  "deploy": { "production": { "user": "deploy", "host": ["one", "two"], "ref": "origin/main" } }
}
"#;

const JSON5: &str = r"// the same again
{
  apps: [
    {
      name: 'api',
      script: './stay.sh',
      args: ['--verbose', 'two words'],
      instances: 0x2,
      env: { PORT: 3001, NODE_ENV: 'development' },
      env_production: { NODE_ENV: 'production', },
      max_memory_restart: '300M',
      min_uptime: '5s',
      kill_timeout: 3e3,
      depends_on: ['db'],
    },
    { name: 'db', script: './stay.sh', autorestart: false, out_file: 'logs/db.log', max_restarts: 0 },
  ],
  deploy: { production: { user: 'deploy', host: ['one', 'two'], ref: 'origin/main' } },
}
";

const YAML: &str = "
apps:
  - name: api
    script: ./stay.sh
    args: ['--verbose', two words]
    instances: 2
    env: &env
      PORT: 3001
      NODE_ENV: development
    env_production:
      NODE_ENV: production
    max_memory_restart: 300M
    min_uptime: 5s
    kill_timeout: 3000
    depends_on: [db]
  - name: db
    script: ./stay.sh
    autorestart: false
    out_file: logs/db.log
    max_restarts: 0
deploy:
  production: { user: deploy, host: [one, two], ref: origin/main }
";

const TOML: &str = r#"
[[apps]]
name = "api"
script = "./stay.sh"
args = ["--verbose", "two words"]
instances = 2
env = { PORT = 3001, NODE_ENV = "development" }
max_memory_restart = "300M"
min_uptime = "5s"
kill_timeout = 3_000
depends_on = ["db"]

[apps.env_production]
NODE_ENV = "production"

[[apps]]
name = "db"
script = "./stay.sh"
autorestart = false
out_file = "logs/db.log"
max_restarts = 0

[deploy.production]
user = "deploy"
host = ["one", "two"]
ref = "origin/main"
"#;

fn with_stay() -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home
}

fn render(home: &Home, args: &[&str]) -> Value {
    let mut value = home.json(&[&["render", "--json", "--reveal"], args].concat());
    value.as_object_mut().expect("an object").remove("file");
    value
}

#[test]
fn one_ecosystem_in_five_formats_is_one_graph() {
    let home = with_stay();
    let files = [
        ("eco.config.js", JS),
        ("eco.json", JSON),
        ("eco.json5", JSON5),
        ("eco.jsonc", JSON),
        ("eco.yaml", YAML),
        ("eco.yml", YAML),
        ("eco.toml", TOML),
    ];
    for profile in [&[][..], &["--env", "production"]] {
        let mut seen: Option<(&str, Value)> = None;
        for (name, text) in files {
            home.write(name, text);
            let graph = render(&home, &[&[name], profile].concat());
            assert_eq!(graph["version"], 1, "{name}");
            match &seen {
                None => seen = Some((name, graph)),
                Some((first, want)) => assert_eq!(&graph, want, "{name} differs from {first}"),
            }
        }
        let (_, graph) = seen.expect("there were files");
        let api = &graph["apps"][0];
        assert_eq!(api["name"], "api");
        assert_eq!(api["instances"], 2);
        assert_eq!(api["args"], json!(["--verbose", "two words"]));
        assert_eq!(api["env"]["PORT"], "3001");
        assert_eq!(api["env"]["NODE_ENV"], if profile.is_empty() { "development" } else { "production" });
        assert_eq!(api["script"], home.work.join("stay.sh").to_str().expect("UTF-8"));
        assert_eq!(api["restart"]["min_uptime_ms"], 5000);
        assert_eq!(graph["apps"][1]["restart"]["max_restarts"], 0);
        assert_eq!(graph["deploy"]["production"]["host"], json!(["one", "two"]));
    }
}

#[test]
fn every_shape_that_pm2_takes_is_taken() {
    let home = with_stay();
    let app = json!({ "name": "a", "script": "./stay.sh" });
    let shapes = [
        json!({ "apps": [app] }),
        json!({ "apps": app }),
        json!([app]),
        app.clone(),
        json!({ "pm2": [app] }),
        json!({ "pm2": { "apps": [app] } }),
    ];
    let want = {
        home.write_json("eco.json", &shapes[0]);
        render(&home, &["eco.json"])
    };
    for shape in shapes {
        home.write_json("eco.json", &shape);
        assert_eq!(render(&home, &["eco.json"])["apps"], want["apps"], "{shape}");
    }
}

#[test]
fn render_raw_prints_what_the_file_says_and_nothing_else() {
    let home = with_stay();
    for (name, text) in [("a.config.js", JS), ("a.json", JSON), ("a.json5", JSON5)] {
        home.write(name, text);
        let raw = home.ok(&["render", "--raw", name]);
        let got: Value = serde_json::from_str(&raw.stdout).unwrap_or_else(|error| panic!("{error}: {raw}"));
        assert_eq!(got, serde_json::from_str::<Value>(JSON).expect("JSON"), "{name}");
        // As JSON.stringify: one line, keys in the file's order.
        assert_eq!(raw.stdout.lines().count(), 1, "{raw}");
        assert!(raw.stdout.starts_with(r#"{"apps":[{"name":"api","script":"./stay.sh","#), "{raw}");
    }
}

#[test]
fn without_a_file_the_usual_names_are_looked_for() {
    let home = with_stay();
    let none = home.exits(65, &["validate"]);
    none.says("no ecosystem file").says("looked for ecosystem.config.");

    // A `process.json` that is plainly another tool's is not taken.
    home.write("process.json", r#"{"nodes": [1, 2], "pipeline": "x"}"#);
    home.exits(65, &["validate"]).says("no ecosystem file");

    home.write_json("ecosystem.json", &json!([stay("plain")]));
    home.ok(&["validate"]).says("using ecosystem.json");

    // `ecosystem.config.*` comes before the others.
    home.write_json("ecosystem.config.json", &json!([stay("config")]));
    let used = home.ok(&["validate"]);
    used.says("using ecosystem.config.json").prints("ecosystem.config.json: ok, 1 app");

    home.write("ecosystem.config.yaml", "- { name: two, script: ./stay.sh }\n");
    let several = home.exits(65, &["validate"]);
    several.says("more than one").says("ecosystem.config.json").says("ecosystem.config.yaml");

    // A name is all it takes, and a name that is not there is said to be so.
    home.ok(&["validate", "ecosystem.config.yaml"]);
    home.exits(65, &["validate", "gone.yaml"]).says("gone.yaml");
    home.exits(65, &["apply", "gone.json"]).says("gone.json");
    home.exits(65, &["diff", "gone.config.js"]).says("gone.config.js");
}

#[test]
fn a_package_json_is_taken_where_it_has_pm2_and_nothing_else_is_there() {
    let home = with_stay();
    home.write_json("package.json", &json!({ "name": "shop", "main": "stay.sh" }));
    home.exits(65, &["validate"]).says("no ecosystem file").says("package.json (has no `pm2`)");
    home.exits(65, &["validate", "package.json"]).says("the file has no `apps`").says("write `pm2: [");

    home.write_json("package.json", &json!({ "name": "shop", "scripts": { "x": "y" }, "pm2": [stay("packaged")] }));
    home.ok(&["validate"]).says("using package.json").prints("package.json: ok, 1 app");
    assert_eq!(render(&home, &["package.json"])["ecosystem"], "shop");
    assert_eq!(render(&home, &[])["apps"][0]["name"], "packaged");
    home.ok(&["validate", "."]).says("using package.json");

    home.write_json("process.json", &json!([stay("plain")]));
    home.ok(&["validate"]).says("using process.json");
}

#[test]
fn a_file_without_apps_says_what_apply_will_do() {
    let home = with_stay();
    for (name, text) in [
        ("eco.json", "[]"),
        ("eco.json5", "{apps: []}"),
        ("eco.yaml", "apps: []\n"),
        ("eco.toml", "apps = []\n"),
        ("eco.config.js", "module.exports = { apps: [] };\n"),
        ("run.config.js", "const apps = [];\nmodule.exports = { apps };\n"),
    ] {
        home.write(name, text);
        let output = home.ok(&["validate", name]);
        output.says("there are no apps in this file").says("`apply` refuses it").says("--allow-empty");
        output.prints(&format!("{name}: ok, 0 apps"));
        home.exits(65, &["validate", "--strict", name]);
        home.exits(1, &["apply", name]).says("--allow-empty");
    }
}

#[test]
fn an_unknown_key_is_a_warning_with_its_place_and_a_suggestion() {
    let home = with_stay();
    let files = [
        (
            "eco.json",
            "{\n  \"apps\": [\n    { \"name\": \"a\", \"script\": \"./stay.sh\", \"instnaces\": 2 }\n  ]\n}\n",
            "3:43",
        ),
        ("eco.json5", "{\n  apps: [\n    { name: 'a', script: './stay.sh', instnaces: 2 },\n  ],\n}\n", "3:39"),
        ("eco.yaml", "apps:\n  - name: a\n    script: ./stay.sh\n    instnaces: 2\n", "4:5"),
        ("eco.toml", "[[apps]]\nname = \"a\"\nscript = \"./stay.sh\"\ninstnaces = 2\n", "4:1"),
        ("lit.config.js", "module.exports = [\n  { name: 'a', script: './stay.sh', instnaces: 2 }];\n", "2:37"),
        ("lit.config.mjs", "export default [\n  { name: 'a', script: './stay.sh', instnaces: 2 }];\n", "2:37"),
    ];
    for (name, text, place) in files {
        home.write(name, text);
        let output = home.ok(&["validate", name]);
        output.says("instnaces").says("did you mean `instances`?").says(&format!("{name}:{place}"));
        home.exits(65, &["validate", "--strict", name]).says("instnaces");
    }
    // What a program computes has no place of its own.
    home.write("eco.config.js", "const n = 2;\nmodule.exports = [{ name: 'a', script: './stay.sh', instnaces: n }];\n");
    home.ok(&["validate", "eco.config.js"]).says("did you mean `instances`?").says("eco.config.js").says("instnaces");

    let report = home.json(&["validate", "--json", "eco.json"]);
    let found = report["diagnostics"].as_array().expect("diagnostics");
    assert!(found.iter().any(|one| one["code"] == "unknown-option" && one["severity"] == "warning"), "{report}");
}

#[test]
fn all_problems_of_a_file_are_reported_in_one_run() {
    let home = with_stay();
    let text = "\
apps:
  - name: a
    script: ./stay.sh
    max_restarts: many
    kill_timeout: [1]
  - name: b
    script: ./gone.sh
    depends_on: [c]
  - name: a
    script: ./stay.sh
    autorestart: 'maybe'
";
    home.write("eco.yaml", text);
    for command in ["validate", "apply", "diff", "render"] {
        let output = home.exits(65, &[command, "eco.yaml"]);
        for (what, line) in
            [("max_restarts", 4), ("kill_timeout", 5), ("gone.sh", 7), ("depends_on", 8), ("autorestart", 11)]
        {
            output.says(what).says(&format!("eco.yaml:{line}:"));
        }
        // The same name twice.
        output.says("`a`").says("eco.yaml:9:");
        assert_eq!(output.stdout, "", "{output}");
    }
    assert!(home.daemon().is_none(), "a file that is wrong starts no daemon");
}

#[test]
fn options_that_mean_nothing_here_are_named_by_validate() {
    let home = with_stay();
    home.write_json(
        "eco.json",
        &json!([{ "name": "a", "script": "./stay.sh", "pmx": false, "vizion": false, "exec_mode": "cluster" }]),
    );
    let output = home.ok(&["validate", "eco.json"]);
    output.says("`pmx`").says("`vizion`").says("`exec_mode`");
    // Not an error even where warnings are.
    home.write_json("eco.json", &json!([{ "name": "a", "script": "./stay.sh", "pmx": false }]));
    home.ok(&["validate", "--strict", "eco.json"]);
}

#[test]
fn falsy_values_mean_what_they_say() {
    let home = with_stay();
    let app = json!({
        "name": "a", "script": "./stay.sh", "max_restarts": 0, "kill_timeout": 0, "restart_delay": 0,
        "wait_ready": false, "autorestart": false, "treekill": false, "env": { "EMPTY": "", "ZERO": 0, "NO": false },
    });
    home.write_json("eco.json", &json!([app]));
    let app = &render(&home, &["eco.json"])["apps"][0];
    assert_eq!(app["restart"]["max_restarts"], 0);
    assert_eq!(app["restart"]["auto"], false);
    assert_eq!(app["stop"]["timeout_ms"], 0);
    assert_eq!(app["stop"]["tree"], false);
    assert_eq!(
        (&app["env"]["EMPTY"], &app["env"]["ZERO"], &app["env"]["NO"]),
        (&json!(""), &json!("0"), &json!("false"))
    );
}

#[test]
fn camel_case_and_aliases_are_the_same_options() {
    let home = with_stay();
    home.write_json(
        "a.json",
        &json!([{ "name": "a", "exec": "./stay.sh", "maxRestarts": 3, "user": "0", "error": "e.log", "killTimeout": 7 }]),
    );
    home.write_json(
        "b.json",
        &json!([{ "name": "a", "script": "./stay.sh", "max_restarts": 3, "uid": "0", "error_file": "e.log", "kill_timeout": 7 }]),
    );
    assert_eq!(render(&home, &["a.json"]), render(&home, &["b.json"]));
}

#[test]
fn an_ecosystem_is_its_name_or_else_its_folder() {
    let home = with_stay();
    home.write_json("eco.json", &json!({ "name": "shop", "apps": [stay("a")] }));
    assert_eq!(render(&home, &["eco.json"])["ecosystem"], "shop");
    home.write_json("eco.json", &json!([stay("a")]));
    let by_folder = render(&home, &["eco.json"])["ecosystem"].clone();
    assert_eq!(by_folder, home.work.to_str().expect("UTF-8"));
    // A symlink is one ecosystem, as the user named it.
    std::os::unix::fs::symlink(&home.work, home.work.join("current")).expect("symlink");
    let by_link = render(&home, &["current/eco.json"])["ecosystem"].clone();
    assert_eq!(by_link, home.work.join("current").to_str().expect("UTF-8"));
}

#[test]
fn code_counts_by_git_revision_where_the_file_says_so() {
    if !needs_git() {
        return;
    }
    let home = with_stay();
    home.write_json(
        "eco.json",
        &json!([
            { "name": "git", "script": "./stay.sh", "fingerprint": "git" },
            { "name": "none", "script": "./stay.sh", "fingerprint": false },
            { "name": "glob", "script": "./stay.sh", "fingerprint": ["lib/**"] },
            { "name": "default", "script": "./stay.sh" },
        ]),
    );
    home.write("lib/a.txt", "one");
    let git = |line: &str| {
        let line = format!("git -c user.name=t -c user.email=t@example.org -c init.defaultBranch=main {line}");
        home.run_command(home.shell(&line), std::time::Duration::from_secs(30)).exited(0);
    };
    git("init -q");
    git("add -A");
    git("commit -qm one");
    let fingerprints = || -> Vec<Value> {
        let graph = render(&home, &["eco.json"]);
        graph["apps"].as_array().expect("apps").iter().map(|app| app["fingerprint"].clone()).collect()
    };
    let before = fingerprints();
    assert_eq!(before[1], json!({}));
    home.write("lib/a.txt", "two");
    git("commit -qam two");
    let after = fingerprints();
    let changed: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before != after).collect();
    assert_eq!(changed, [true, false, true, false], "{before:?} {after:?}");
}
