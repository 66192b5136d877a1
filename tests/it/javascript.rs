//! Configs that are programs: what they may use, and what ends them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Home, Output};

fn with(text: &str) -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("eco.config.js", text);
    home
}

fn raw(home: &Home, file: &str) -> Value {
    let output = home.ok(&["render", "--raw", file]);
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

fn refused(text: &str) -> Output {
    with(text).exits(65, &["validate", "eco.config.js"])
}

#[test]
fn commonjs_with_relative_files_and_builtin_modules() {
    let home = with(
        r"
const path = require('path');
const os = require('node:os');
const fs = require('fs');
const url = require('url');
const { common } = require('./lib/common');
const ports = require('./ports.json');
require('dotenv').config();
console.log('this is talk, not data');
module.exports = {
  apps: [{
    name: path.basename(__filename, '.config.js'),
    script: path.join(__dirname, 'stay.sh'),
    instances: Math.max(1, Math.min(1, os.cpus().length)),
    env: {
      ...common,
      PORT: ports.web,
      SHELL_SAID: process.env.SAID,
      DOTENV_SAID: process.env.FROM_DOTENV,
      FIRST_LINE: fs.readFileSync('./note.txt', 'utf8').split('\n')[0],
      HOST: new url.URL('http://db.example:5432/x').hostname,
      SAME: String(process.cwd() === __dirname),
    },
  }],
};
",
    );
    home.write("lib/common.js", "exports.common = { SHARED: require('./deep').value };\n");
    home.write("lib/deep/index.js", "module.exports = { value: 'yes' };\n");
    home.write("ports.json", r#"{ "web": 8080 }"#);
    home.write("note.txt", "hello\nworld\n");
    home.write(".env", "FROM_DOTENV='a b'\n");
    let mut command = home.command(&["render", "--raw", "eco.config.js"]);
    command.env("SAID", "so");
    let output = home.run_command(command, Duration::from_secs(30));
    output.exited(0).says("this is talk, not data");
    let got: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let app = &got["apps"][0];
    assert_eq!(app["name"], "eco");
    assert_eq!(app["script"], home.work.join("stay.sh").to_str().expect("UTF-8"));
    assert_eq!(
        app["env"],
        json!({
            "SHARED": "yes", "PORT": 8080, "SHELL_SAID": "so", "DOTENV_SAID": "a b", "FIRST_LINE": "hello",
            "HOST": "db.example", "SAME": "true",
        })
    );
}

#[test]
fn every_way_to_export_is_read() {
    let home = Home::new();
    let app = "[{ name: 'a', script: 'x.sh' }]";
    let files = [
        ("a.config.js", format!("module.exports = {{ apps: {app} }};")),
        ("b.config.js", format!("exports.apps = {app};")),
        ("c.config.cjs", format!("module.exports.apps = {app};")),
        ("d.config.mjs", format!("export default {{ apps: {app} }};")),
        ("e.config.mjs", format!("export const apps = {app};")),
    ];
    for (name, text) in files {
        home.write(name, text);
        assert_eq!(raw(&home, name)["apps"], json!([{ "name": "a", "script": "x.sh" }]), "{name}");
    }
}

#[test]
fn what_is_thrown_is_shown_in_its_own_words() {
    let output = refused("function f() { throw new Error('no database URL, sorry'); }\nf();\n");
    output.says("no database URL, sorry").says("eco.config.js");
    refused("throw 'just a string';").says("just a string");
    refused("const a = ;\n").says("eco.config.js");
    refused("module.exports = nowhere.apps;\n").says("nowhere");
    refused("module.exports = require('./gone');\n").says("./gone");
    refused("module.exports = require('left-pad-of-nowhere');\n").says("left-pad-of-nowhere");
}

#[test]
fn an_endless_loop_ends_as_a_clear_error() {
    let output = refused("for(;;){}\n");
    assert!(output.took < Duration::from_secs(20), "{output}");
    output.says("eco.config.js");
    assert!(!output.stderr.contains("panicked"), "{output}");
}

#[test]
fn a_memory_bomb_ends_as_a_clear_error() {
    let bombs = [
        "module.exports = 'x'.repeat(1e10);\n",
        "const a = []; for (;;) a.push(new Array(1e5).fill('x'.repeat(1000)));\n",
        "let s = 'x'; for (;;) s += s;\n",
        "function f(n) { return f(n + 1) + 1; } module.exports = f(0);\n",
    ];
    for bomb in bombs {
        let output = refused(bomb);
        assert!(output.took < Duration::from_secs(30), "{output}");
        output.says("error").says("eco.config.js");
        assert!(!output.stderr.contains("panicked"), "{output}");
    }
}

#[test]
fn a_circular_require_gets_what_is_there_so_far() {
    let home =
        with("exports.early = 1; exports.apps = [{ name: 'a' + require('./other').seen, script: './stay.sh' }];");
    home.write("other.js", "exports.seen = require('./eco.config.js').early;\n");
    assert_eq!(raw(&home, "eco.config.js")["apps"][0]["name"], "a1");
}

#[test]
fn what_cannot_be_apps_is_said_not_guessed() {
    refused("module.exports = 42;\n").says("eco.config.js");
    refused("module.exports = { apps: 'x' };\n").says("apps");
    refused("\n").says("eco.config.js");
    let circle = "const a = { name: 'a', script: './stay.sh' }; a.self = a; module.exports = [a];\n";
    refused(circle).says("eco.config.js");
}

#[test]
fn deep_nesting_and_long_lists_do_not_kill_the_reader() {
    let deep = format!("module.exports = {}{};\n", "[".repeat(200_000), "]".repeat(200_000));
    let output = refused(&deep);
    assert_eq!(output.signal, None, "{output}");
    let built = "let a = []; for (let i = 0; i < 200000; i++) a = [a]; module.exports = a;\n";
    let output = refused(built);
    assert_eq!(output.signal, None, "{output}");
}
