//! What editors are helped with: the schema, a first file, other formats, annotations.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Home, fixture, needs_node, needs_python, skipped};

fn graph(home: &Home, file: &str) -> Value {
    let mut graph = home.json(&["render", "--json", "--reveal", file]);
    graph["file"] = Value::Null;
    graph
}

#[test]
fn the_schema_is_printed_as_it_is_committed() {
    let home = Home::new();
    for (format, committed) in [
        ("json", include_str!("../../schema/ecosystem.schema.json")),
        ("ts", include_str!("../../schema/ecosystem.d.ts")),
    ] {
        assert_eq!(home.ok(&["schema", "--format", format]).stdout, committed);
    }
    assert_eq!(home.ok(&["schema"]).stdout, include_str!("../../schema/ecosystem.schema.json"));
    home.ok(&["schema", "--format", "markdown"]).prints("### `instances`").prints("Also written: `kill_signal`");
}

#[test]
fn the_editors_line_is_accepted_and_ignored_in_every_format() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let files = [
        ("a.json", "{\"$schema\": \"./pmrun.schema.json\", \"apps\": [{\"script\": \"./stay.sh\"}]}"),
        ("a.json5", "{$schema: './pmrun.schema.json', apps: [{script: './stay.sh'}]}"),
        ("bare.json", "{\"$schema\": \"./pmrun.schema.json\", \"script\": \"./stay.sh\"}"),
        ("a.yaml", "# yaml-language-server: $schema=./pmrun.schema.json\napps:\n  - script: ./stay.sh\n"),
        ("b.yaml", "$schema: ./pmrun.schema.json\napps:\n  - script: ./stay.sh\n"),
        ("a.toml", "#:schema ./pmrun.schema.json\n[[apps]]\nscript = './stay.sh'\n"),
        ("b.toml", "\"$schema\" = './pmrun.schema.json'\n[[apps]]\nscript = './stay.sh'\n"),
        (
            "a.config.js",
            "/** @type {import('./pmrun').Config} */\nmodule.exports = {$schema: 'x', apps: [{script: './stay.sh'}]};",
        ),
        (
            "b.config.js",
            "const { defineConfig } = require('pmrun');\nmodule.exports = defineConfig({apps: [{script: './stay.sh'}]});",
        ),
        (
            "b.config.mjs",
            "import { defineConfig } from 'pmrun';\nexport default defineConfig({apps: [{script: './stay.sh'}]});",
        ),
    ];
    for (name, text) in files {
        home.write(name, text);
        home.ok(&["validate", "--strict", name]);
        assert_eq!(graph(&home, name)["apps"], graph(&home, "a.json")["apps"], "{name}");
    }
}

#[test]
fn annotations_name_lines_below_the_checkout() {
    let mut home = Home::new();
    let checkout = home.work.parent().expect("it is below the root").to_string_lossy().into_owned();
    home.set_env("GITHUB_WORKSPACE", &checkout);
    home.app("stay.sh", "stay.sh");
    home.write("eco.yaml", "apps:\n  - script: ./stay.sh\n    instnaces: 2\n");
    let warned = home.exits(0, &["validate", "--format", "github", "eco.yaml"]);
    let want = "::warning file=w/eco.yaml,line=3,col=5::unknown option `instnaces`%0Ahint: did you mean `instances`?\n";
    assert_eq!(warned.stdout, want);
    let strict = home.exits(65, &["validate", "--strict", "--format", "github", "eco.yaml"]);
    assert_eq!(strict.stdout, want.replace("warning", "error"));
    home.write("eco.yaml", "apps:\n  - script: ./stay.sh\n    port: many\n");
    home.exits(65, &["validate", "--format", "github", "eco.yaml"])
        .prints("::error file=w/eco.yaml,line=3,col=11::`port` ");
    assert_eq!(
        home.exits(65, &["validate", "--format", "json", "eco.yaml"]).stdout,
        home.run(&["validate", "--json", "eco.yaml"]).stdout
    );
    home.exits(65, &["validate", "--format", "github", "gone.yaml"]).prints("::error file=w/gone.yaml::");
}

/// As GitHub's documentation has it: `%`, CR and LF of a message are encoded, `:` and `,` of a property besides.
#[test]
fn no_config_gives_github_a_command() {
    let mut home = Home::new();
    let root = home.work.to_string_lossy().into_owned();
    home.set_env("GITHUB_WORKSPACE", &root);
    home.app("stay.sh", "stay.sh");
    let forged = "x\r::stop-commands::t\n::error file=a.js,line=1::forged%0A##[add-mask]x";
    let app = json!({ "name": forged, "script": "./stay.sh", forged: 1, "exec_mode": forged, "depends_on": [forged, "no"],
        "env": { forged: "1", "A=B": forged }, "port": forged, "cwd": forged });
    let (file, encoded) = ("we,ird:%0A\n::debug::x.json", "we%2Cird%3A%250A%0A%3A%3Adebug%3A%3Ax.json");
    home.write_json(file, &json!({ "apps": [app], forged: forged }));
    let output = home.exits(65, &["validate", "--format", "github", file]);
    let report: serde_json::Value =
        serde_json::from_str(&home.exits(65, &["validate", "--json", file]).stdout).expect("JSON");
    let lines: Vec<&str> = output.stdout.split(['\n', '\r']).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), report["diagnostics"].as_array().expect("a list").len(), "{output}");
    for line in lines {
        let (command, message) = line[2..].split_once("::").expect("a command and its message");
        let properties = command.split_once(' ').expect("properties").1;
        let names: Vec<&str> = properties.split(',').filter_map(|one| Some(one.split_once('=')?.0)).collect();
        assert_eq!(names, ["file", "line", "col"], "{line}");
        assert!(properties.starts_with(&format!("file={encoded},line=")), "{line}");
        assert!(!message.contains("forged%0A"), "{line}");
    }
    let said = |line: &str| line.trim_start().starts_with("::") || line.contains("##[");
    assert!(!output.stderr.split(['\n', '\r']).any(said), "{output}");
    // What a program prints, wherever this runs.
    home.write("eco.config.js", "console.log('::stop-commands::t\\n on ##[group]'); module.exports = { apps: [] };");
    let output = home.run(&["validate", "--format", "github", "eco.config.js"]);
    output.says("| ::stop-commands::t");
    assert!(!output.stderr.split(['\n', '\r']).any(said), "{output}");
}

#[test]
fn a_converted_file_means_the_same_and_what_is_lost_is_said() {
    let mut home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.set_env("API_KEY", "sk-0123456789abcdef");
    home.write(
        "ecosystem.config.js",
        "// all of it\nconst key = process.env.API_KEY;\nmodule.exports = { name: 'shop', apps: ['a', 'b'].map((name) => ({\n  name, script: './stay.sh', env: { API_KEY: key, N: null, L: [1, null] }, ignore_watch: [/x/, 'logs'], cwd: undefined,\n})) };\n",
    );
    let want = graph(&home, "ecosystem.config.js");
    for to in ["yaml", "toml", "json5", "json", "js", "ts"] {
        let out = home.ok(&["convert", "ecosystem.config.js", "--to", to]);
        out.says("not kept: comments").says("not kept: code").says("`apps[1].env.API_KEY` looks like a secret");
        out.says("`apps[0].ignore_watch`: a regular expression");
        let name = format!("copy.{}", if to == "js" { "config.js" } else { to });
        home.write(&name, &out.stdout);
        assert_eq!(graph(&home, &name), want, "{}", out.stdout);
        // From there to every other one, too.
        let again = home.ok(&["convert", &name, "--to", "toml", "--out", "again.toml", "--force"]);
        if to != "ts" {
            // Which is run, whatever it holds.
            again.never_shows("not kept");
        }
        assert_eq!(graph(&home, "again.toml"), want);
    }
}

#[test]
fn what_is_written_otherwise_is_said_and_what_cannot_be_written_is_named() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write(
        "ecosystem.config.js",
        "module.exports = { apps: [{ name: 'a', script: './stay.sh', cwd: null, env: { B: 'x\\ud800', N: null, 2: 'two', 1: 'one' } }] };\n",
    );
    let want = graph(&home, "ecosystem.config.js");
    for to in ["yaml", "toml", "json5", "json", "js"] {
        let out = home.ok(&["convert", "ecosystem.config.js", "--to", to]);
        out.says("written otherwise: `apps[0].env.B`, with U+FFFD");
        let null = "written otherwise: `apps[0].env.N`, as the text that the variable has in any case";
        let unset = "written otherwise: `apps[0].cwd`, not at all: TOML has no `null`";
        if to == "toml" {
            out.says(null).says(unset)
        } else {
            out.never_shows(null).never_shows(unset)
        };
        let name = format!("copy.{}", if to == "js" { "config.js" } else { to });
        home.write(&name, &out.stdout);
        assert_eq!(graph(&home, &name), want, "{}", out.stdout);
        let raw = home.ok(&["render", "--raw", &name]).stdout;
        assert!(to == "toml" || raw.contains(r#""cwd":null,"env":{"1":"one","2":"two","B":"#), "{raw}");
    }

    // The user's own character is kept, and nothing need be said.
    home.write("own.config.js", "const b = 'x\\ufffd';\nmodule.exports = { script: './stay.sh', env: { B: b } };\n");
    home.ok(&["convert", "own.config.js", "--to", "yaml"]).never_shows("written otherwise");

    home.write(
        "eco.json",
        "{\"apps\": [\n  {\"script\": \"./stay.sh\", \"env\": {\"A\": \"1\", \"__proto__\": \"2\"}}\n]}\n",
    );
    home.exits(1, &["convert", "eco.json", "--to", "js"])
        .says("eco.json:2:45: JavaScript cannot say `apps[0].env.__proto__` so that it means the same")
        .says("`--to json5` can");
}

#[test]
fn every_fixture_that_is_a_program_converts_to_what_it_means() {
    let mut count = 0;
    for folder in ["config/equiv", "config/js/shop"] {
        let home = Home::new();
        let copied =
            home.run_command(home.shell(&format!("cp -R '{}'/. .", fixture(folder).display())), Duration::from_mins(1));
        copied.exited(0);
        for name in ["ecosystem.config.js", "ecosystem.config.cjs", "ecosystem.config.mjs"] {
            if !home.work.join(name).exists() {
                continue;
            }
            // Where its scripts are not here, its errors are the same, too.
            let want = home.run(&["render", "--json", "--reveal", name]);
            for to in ["yaml", "toml", "json5", "json", "js"] {
                let out = if to == "js" { "copy.cjs".to_owned() } else { format!("copy.{to}") };
                home.ok(&["convert", name, "--to", to, "--out", &out, "--force"]);
                let got = home.run(&["render", "--json", "--reveal", &out]);
                assert_eq!(
                    (got.code, got.stdout.replace(&out, name)),
                    (want.code, want.stdout.clone()),
                    "{name}: {to}"
                );
            }
            count += usize::from(want.code == Some(0));
        }
    }
    assert!(count >= 3, "{count} of them could be resolved");
}

#[test]
fn converting_overwrites_nothing_and_moves_nothing() {
    let home = Home::new();
    home.write("a.yaml", "script: ./x.sh\n");
    home.ok(&["convert", "a.yaml", "--to", "json", "--out", "b.json"]).says("b.json: written");
    home.exits(1, &["convert", "a.yaml", "--to", "json5", "--out", "b.json"]).says("already there").says("--force");
    home.write("sub/x", "");
    home.exits(1, &["convert", "a.yaml", "--to", "json", "--out", "sub/b.json"]).says("another folder");
    home.write("bad.yaml", "apps:\n  - script: 5\n");
    home.exits(65, &["convert", "bad.yaml", "--to", "json"]).says("`script` must be a string");
    home.write("package.json", "{\"type\": \"module\"}");
    home.ok(&["convert", "a.yaml", "--to", "js"]).prints("export default {");
    home.ok(&["convert", "a.yaml", "--to", "js", "--out", "c.cjs"]);
    assert!(std::fs::read_to_string(home.work.join("c.cjs")).expect("written").starts_with("module.exports = {"));
}

#[test]
fn a_package_converts_to_its_ecosystem() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write_json(
        "package.json",
        &json!({ "name": "site", "scripts": { "start": "x" }, "pm2": [{ "name": "api", "script": "./stay.sh" }] }),
    );
    let want = graph(&home, "package.json");
    home.ok(&["convert", "package.json", "--to", "yaml", "--out", "a.yaml"]).says("whose `pm2` can go now");
    let text = std::fs::read_to_string(home.work.join("a.yaml")).expect("written");
    assert_eq!(text, "name: site\napps:\n  - name: api\n    script: ./stay.sh\n");
    assert_eq!(graph(&home, "a.yaml"), want);
    home.ok(&["init", "--format", "toml"]).says("1 app from package.json");
    assert_eq!(graph(&home, "ecosystem.config.toml"), want);
}

#[test]
fn a_saved_plan_is_no_config() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write_json("eco.json", &json!({ "apps": [{ "name": "api", "script": "./stay.sh" }] }));
    home.exits(2, &["diff", "eco.json", "--out", "plan.json"]);
    for command in [&["validate", "plan.json"][..], &["convert", "plan.json", "--to", "yaml"]] {
        home.exits(64, command).says("`plan.json` is a saved plan");
    }
}

#[test]
fn a_first_file_is_made_of_what_is_there() {
    for (format, line) in [
        ("js", "\n/** @type {import(\"./pmrun\").Config} */\nconst config = {"),
        ("ts", "import type { Config } from \"./pmrun\";"),
        ("json5", "$schema: \"./pmrun.schema.json\""),
        ("json", "\"$schema\": \"./pmrun.schema.json\""),
        ("yaml", "# yaml-language-server: $schema=./pmrun.schema.json"),
        ("toml", "#:schema ./pmrun.schema.json"),
    ] {
        let home = Home::new();
        let script = home.app("stay.sh", "stay.sh");
        // A command line runs it by itself.
        std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        home.write("Procfile", "web: ./stay.sh --port 3000\nworker: ./stay.sh\n");
        home.write("package.json", "{\"scripts\": {\"start\": \"node .\"}}");
        let name = format!("ecosystem.config.{format}");
        home.ok(&["init", "--format", format]).says(&format!("{name}: written, 2 apps from Procfile"));
        let text = std::fs::read_to_string(home.work.join(&name)).expect("written");
        assert!(text.contains(line), "{text}");
        assert_eq!(text.starts_with("// @ts-check\n"), format == "js", "{text}");
        assert!(format == "json" || text.contains("instances"), "{text}");
        home.ok(&["validate", "--strict", &name]).prints("ok, 2 apps");
        home.exits(1, &["init", "--format", format]).says("already there");
        home.ok(&["init", "--format", format, "--force"]);
        let other = if format == "yaml" { "toml" } else { "yaml" };
        home.exits(1, &["init", "--format", other]).says("pmrun convert");
    }
}

#[test]
fn a_first_file_takes_over_what_pm2_has() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write_json("process.json", &json!({ "apps": [{ "name": "api", "script": "./stay.sh", "instances": 2 }] }));
    let want = graph(&home, "process.json");
    home.ok(&["init", "--format", "yaml"]).says("1 app from process.json");
    assert_eq!(graph(&home, "ecosystem.config.yaml"), want);
    home.ok(&["validate"]).says("using ecosystem.config.yaml");

    let mut home = Home::new();
    home.set_env("API_KEY", "sk-0123456789abcdef");
    home.app("stay.sh", "stay.sh");
    let program = "module.exports = { apps: [{ script: './stay.sh', env: { API_KEY: process.env.API_KEY } }] };";
    home.write("pm2.config.js", program);
    home.ok(&["init"])
        .says("from pm2.config.js")
        .says("not kept: code")
        .says("`apps[0].env.API_KEY` looks like a secret");

    let home = Home::new();
    home.write("package.json", "{\"name\": \"@shop/api\", \"type\": \"module\", \"scripts\": {\"start\": \"node .\"}}");
    home.write("pmrun.d.ts", "// mine\n");
    home.ok(&["init"]).says("1 app from package.json").says("pmrun.d.ts: left as it is");
    let text = std::fs::read_to_string(home.work.join("ecosystem.config.js")).expect("written");
    assert!(text.contains("npm start") && text.contains("export default config;"), "{text}");
    assert_eq!(home.json(&["render", "--raw"])["apps"][0]["name"], "api");
}

#[test]
fn what_a_first_file_leaves_out_is_said() {
    let home = Home::new();
    home.write("Procfile", "# all\nweb: ./stay.sh\nweb server\nworker:\n");
    let output = home.ok(&["init", "--format", "yaml"]);
    output.says("Procfile:3: left out").says("web server\n").says("Procfile:4: left out").says("1 app from Procfile");
    let home = Home::new();
    home.write("package.json", "{ \"name\": \"api\", }");
    let nowhere = home.work.join("nowhere");
    std::os::unix::fs::symlink(&nowhere, home.work.join("pmrun.d.ts")).expect("symlink");
    let output = home.ok(&["init"]);
    output.says("package.json: nothing is taken from it, as it is not JSON").says("with an app to fill in");
    output.says("pmrun.d.ts: left as it is");
    assert!(!nowhere.exists() && home.work.join("pmrun.d.ts").is_symlink());
}

/// The servers themselves come from the network; `PMRUN_EDITOR_SERVERS` names a folder that has them.
#[test]
fn editors_complete_and_check() {
    let Some(servers) = std::env::var_os("PMRUN_EDITOR_SERVERS") else {
        skipped("PMRUN_EDITOR_SERVERS names no folder of language servers; tests/editor/run.py fetches them");
        return;
    };
    if !needs_node() || !needs_python() {
        return;
    }
    let home = Home::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/editor/run.py");
    let mut command: Command = home.command(&[]);
    let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value.map(ToOwned::to_owned));
    command = Command::new("python3");
    command.args([script, "--pmrun", env!("CARGO_BIN_EXE_pmrun"), "--servers"]).arg(servers);
    command.env("PATH", path.unwrap_or_default()).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(&home.work);
    home.run_command(command, Duration::from_mins(5)).exited(0).prints(", 0 failed");
}
