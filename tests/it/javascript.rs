//! Configs that are programs: what they may use, and what ends them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Home, Output, needs_node};

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
    refused("throw new Error('\\x1b[31mred\\x07');").says("config threw: ").never_shows("\u{1b}").never_shows("\u{7}");
    refused("module.exports = fetch('http://x.example');").says("a config cannot use the network");
    refused("const a = ;\n").says("eco.config.js");
    refused("module.exports = nowhere.apps;\n").says("nowhere");
    refused("module.exports = require('./gone');\n").says("./gone");
    refused("module.exports = require('left-pad-of-nowhere');\n").says("left-pad-of-nowhere");
}

#[test]
fn what_is_thrown_is_shown_with_its_place_in_every_kind_of_module() {
    let home = with("");
    for (name, text, place) in [
        ("eco.config.js", "const a = 1;\nthrow new Error('no database');\n", "eco.config.js:2:"),
        ("eco.config.cjs", "const a = 1;\nthrow new Error('no database');\n", "eco.config.cjs:2:"),
        ("eco.config.mjs", "const a = 1;\nthrow new Error('no database');\nexport default a;\n", "eco.config.mjs:2:"),
        ("by.config.js", "\nmodule.exports = require('./lib').apps;\n", "lib.js:3:"),
        // Not where the error's class is.
        (
            "own.config.js",
            "class A extends Error {\n  constructor(m) { super(m); }\n}\nclass B extends A { constructor(m) { super(m); } }\n\
             const need = () => { throw new B('no database'); };\nneed();\n",
            "own.config.js:5:",
        ),
        ("by.config.mjs", "import { apps } from './lib.js';\nexport default apps;\n", "lib.js:3:"),
    ] {
        home.write("lib.js", "\n\nthrow new Error('no database');\n");
        home.write(name, text);
        let output = home.exits(65, &["validate", name]);
        output.says("config threw: no database").says(place);
    }
}

/// What `validate` says of a config and its helpers: `file:line:column code message` for each diagnostic.
fn told(home: &Home, entry: &str) -> Vec<String> {
    let output = home.run(&["validate", "--json", entry]);
    let json: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let diagnostics = json["diagnostics"].as_array().unwrap_or_else(|| panic!("{output}"));
    let word = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    let one = |diagnostic: &Value| {
        let place: Vec<String> = ["file", "line", "column"].iter().map(|key| word(&diagnostic[*key])).collect();
        let computed = if diagnostic["computed"] == true { " (computed)" } else { "" };
        format!("{}{computed} {} {}", place.join(":"), word(&diagnostic["path"]), word(&diagnostic["message"]))
    };
    diagnostics.iter().map(one).collect()
}

#[test]
fn every_problem_points_to_its_bytes() {
    let home = with(
        r"
const { defaults } = require('./lib/base');
const services = require('./conf/services.json');
const app = (name, more = {}) => ({ ...defaults, name, script: './stay.sh', ...more });
module.exports = {
  apps: [
    app('web', { instances: 'lots' }),
    ...Object.keys(services).map((name) => app(name, services[name])),
    app('sum', { kill_timeout: 'a' + 'b', env: { AT: Date.now() * 1000 + process.hrtime()[1] % 1000 } }),
    require('./lib/timed')('a', -3), require('./lib/timed')('b', -3),
  ],
};
",
    );
    home.write(
        "lib/timed.js",
        "module.exports = (name, kill_timeout) => ({ name, script: './stay.sh', kill_timeout });\n",
    );
    home.write("lib/base.js", "exports.defaults = {\n  max_restarts: 3, instnaces: 1,\n};\n");
    home.write("conf/services.json", "{\n  \"api\": { \"exec_mode\": \"clutser\" }\n}\n");
    let told = told(&home, "eco.config.js");
    for want in [
        "eco.config.js:7:29 apps[0] (web).instances `instances` must be",
        "conf/services.json:2:25 apps[1] (api).exec_mode `exec_mode` must be",
        "eco.config.js:9:32 (computed) apps[2] (sum).kill_timeout `kill_timeout` must be",
        "lib/base.js:2:20 apps[0] (web).instnaces unknown option `instnaces`",
        // Which of two equal numbers it was, only another run tells.
        "eco.config.js:10:33 apps[3] (a).kill_timeout `kill_timeout` must be",
        "eco.config.js:10:66 apps[4] (b).kill_timeout `kill_timeout` must be",
    ] {
        assert!(told.iter().any(|line| line.starts_with(want)), "{want}\n{told:#?}");
    }
    let output = home.exits(65, &["validate", "eco.config.js"]);
    output.says("kill_timeout, computed here").says("instances: 'lots'").says("\"exec_mode\": \"clutser\"");
}

#[test]
fn what_fails_in_a_package_is_told_in_its_words_at_the_users_place() {
    let home = with("const set = require('p');\nmodule.exports = { apps: [set({})] };\n");
    home.write("node_modules/p/index.js", "module.exports = (it) => {\n  console.log('once');\n  it.a.b = 1;\n};\n");
    let output = home.exits(65, &["validate", "eco.config.js"]);
    output.says("Cannot set properties of undefined (setting 'b')").says("eco.config.js:2:27");
    assert_eq!(output.stderr.matches("once").count(), 1, "{output}");
    home.write(
        "eco.config.js",
        "const set = require('p');\ntry {\n  set({});\n} catch (error) {\n  throw new Error('no: ' + error.message);\n}\n",
    );
    let output = home.exits(65, &["validate", "eco.config.js"]);
    output.says("no: Cannot set properties of undefined (setting 'b')").says("eco.config.js:5:9");
}

#[test]
fn what_cannot_be_exported_points_to_where_it_comes_from() {
    let home = with("");
    for (text, place) in [
        ("module.exports = [{\n  script: './stay.sh', max_restarts: 5n }];", "eco.config.js:2:38"),
        ("const e = {};\ne.self = e;\nmodule.exports = [{ env: e }];", "eco.config.js:1:11"),
    ] {
        home.write("eco.config.js", text);
        home.exits(65, &["validate", "eco.config.js"]).says("error[export]").says(place);
    }
}

#[test]
fn attributes_of_imports_may_have_their_older_name() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("apps.json", "[{ \"script\": \"./stay.sh\" }]");
    home.write("eco.config.mjs", "import apps from './apps.json' assert { type: 'json' };\nexport default { apps };\n");
    home.ok(&["validate", "eco.config.mjs"]);
}

#[test]
fn places_of_what_node_ran_never_pass_for_more_than_they_are() {
    if !needs_node() {
        return;
    }
    let home = with("");
    home.write(
        "eco.config.js",
        "const unused = { exec_mode: 'clustr' };\nmodule.exports = [{ script: './stay.sh', exec_mode: process.env.MODE, args: [{}] }];\n",
    );
    let mut command = home.command(&["validate", "--json", "--js-engine", "node", "eco.config.js"]);
    command.env("MODE", "clustr");
    let output = home.run_command(command, Duration::from_secs(30));
    let json: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let diagnostics = json["diagnostics"].as_array().expect("a list");
    assert!(!diagnostics.is_empty());
    for diagnostic in diagnostics {
        let of_mode = diagnostic["path"] == "[0].exec_mode";
        assert!(diagnostic["computed"] == of_mode && diagnostic["line"] == 2, "{diagnostic}");
    }
    let said = |text: &str| {
        home.write("eco.config.js", text);
        home.exits(65, &["validate", "--js-engine", "node", "eco.config.js"])
    };
    // Where the embedded engine comes to the same, it knows more.
    let same = "const no = { kill_timeout: -3 };\nconst mk = (n) => ({ script: './stay.sh', kill_timeout: n });\nmodule.exports = [mk(\n -3)];\n";
    let output = said(same);
    output.says("eco.config.js:4:2").says("kill_timeout\n");
    assert!(!output.stderr.contains("computed") && !output.stderr.contains("perhaps"), "{output}");
    said(&format!("require('worker_threads');\n{same}")).says("kill_timeout, perhaps from here");
    for class in
        ["const a = 1;\nmodule.exports = class App {};\n", "require('tls');\nclass App {}\nmodule.exports = App;\n"]
    {
        let line = class.lines().position(|line| line.starts_with("module")).unwrap_or_default() + 1;
        said(class).says("exports a class").says(&format!("eco.config.js:{line}:18"));
    }
    // What has a `then` is awaited.
    home.write("then.config.js", "module.exports = { then(done) { done({ apps: [{ script: './stay.sh' }] }) } };\n");
    home.exits(0, &["validate", "--js-engine", "node", "then.config.js"]);
    // A module has no `require`, in Node either.
    home.write("eco.config.mjs", "const p = require('path');\nexport default [];\n");
    home.exits(65, &["validate", "--js-engine", "node", "eco.config.mjs"]).says("require is not defined");
    home.write("eco.config.mjs", "const n = 1;\nmodule.exports = [];\n");
    let output = home.exits(65, &["validate", "--js-engine", "node", "eco.config.mjs"]);
    output.says("ReferenceError: module is not defined in ES module scope").says("eco.config.mjs:2:1").says("`.cjs`");
    // Nor does anything else know Node's modules unasked.
    home.write("eco.config.js", "const n = 1;\nmodule.exports = { apps: [], n: os.cpus() };\n");
    home.exits(65, &["validate", "--js-engine", "node", "eco.config.js"]).says("os is not defined");
}

#[test]
fn what_fails_in_node_is_one_diagnostic_with_a_place() {
    if !needs_node() {
        return;
    }
    let home = with("");
    home.write("bad.json", "{\n  \"a\": }\n");
    home.write("thrower.js", "const n = 1;\nthrow 'inner';\n");
    for (index, (text, place, said)) in [
        ("const n = 1;\nrequire('./bad.json');", "bad.json:2:8", "is not JSON: Unexpected token '}'"),
        ("const n = 1;\nJSON.parse('{a');", "bad1.config.js:2:6", "config threw: SyntaxError: Expected property name"),
        ("const n = 1;\nmodule.exports = { apps: [{ n: 10n }] };", "bad2.config.js:2:29", "`apps[0].n` is a BigInt"),
        ("const n = { a: [{}] };\nn.a[0].c = n;\nmodule.exports = n;", "bad3.config.js", "`a[0].c` contains itself"),
        ("const n = 1;\nthrow null;", "bad4.config.js:2:7", "config threw: null"),
        ("const n = 1;\nrequire('./thrower');", "thrower.js:2:7", "config threw: inner"),
        ("const n = 1;\nprocess.exit(3);", "bad6.config.js:2:9", "the config called `process.exit(3)`"),
        ("const n = 1;\nnull.x;", "bad7.config.js:2:6", "Cannot read properties of null"),
        ("const n = 1;\nconst m = ;", "bad8.config.js:2:11", "Unexpected token ';'"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("bad{index}.config.js");
        home.write(&name, text);
        let output = home.exits(65, &["validate", "--js-engine", "node", &name]);
        output.says(place).says(said).never_shows("    at ");
    }
}

#[test]
fn every_problem_of_a_module_points_to_its_bytes() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("base.mjs", "export const base = { script: './stay.sh',\n  max_restarts: 'ten' };\n");
    home.write("ports.json", "{ \"instances\": \"x\" }");
    let text = "import { base } from './base.mjs';\nimport ports from './ports.json' with { type: 'json' };\n\
                export const apps = [{ ...base, ...ports, name: 'a', watch: 3 }];\nexport const deploi = {};\n";
    home.write("eco.config.mjs", text);
    let told = told(&home, "eco.config.mjs");
    for want in [
        "base.mjs:2:17 apps[0] (a).max_restarts",
        "ports.json:1:16 apps[0] (a).instances",
        "eco.config.mjs:3:61 apps[0] (a).watch",
        "eco.config.mjs:4:14 deploi",
    ] {
        assert!(told.iter().any(|line| line.starts_with(want)), "{want}\n{told:#?}");
    }
}

#[test]
fn secrets_of_programs_are_not_shown() {
    let home = with(
        "const app = { name: 'a', script: './stay.sh', env: { API_KEY: process.env.NOPE || 'hunter2hunter2' }, instances: 'x' };\n\
         module.exports = [app];\n",
    );
    let output = home.exits(65, &["validate", "eco.config.js"]);
    output.says("`instances` must be").says("instances: 'x'").never_shows("hunter2");
    home.write("eco.config.js", "const token = { DB_PASSWORD: 'hunter2hunter2', A: nowhere };\n");
    home.exits(65, &["validate", "eco.config.js"]).says("nowhere is not defined").never_shows("hunter2");
}

#[test]
fn errors_point_to_the_line_and_column_in_words_of_nodes() {
    let home = with("");
    home.write("lib.js", "exports.f = (o) => ({ a: 1, b: o.deep.x });\nexports.a = 1;\n");
    home.write("lib.mjs", "export const b = 1;\n");
    home.write("broken.js", "module.exports = {\n  a: 1\n  b: 2\n};\n");
    home.write("broken.json", "{\n  \"a\": oops\n}");
    let table = [
        (
            "module.exports = {\n  apps: [{ name: 'a', env: { X: undefinedVar } }] };",
            "2:33",
            "undefinedVar is not defined",
        ),
        (
            "const x = { a: 1 }, y = [x];\nmodule.exports = { apps: [{ a: y }, { b: y[1].deep }] };",
            "2:47",
            "Cannot read properties of undefined (reading 'deep')",
        ),
        (
            "const m = 'x'.match(/y/); module.exports = { a: m[1] };",
            "1:51",
            "Cannot read properties of null (reading '1')",
        ),
        ("let list;\nconst n = list.map((x) => x);", "2:16", "Cannot read properties of undefined (reading 'map')"),
        (
            "const c = { d: {} };\nmodule.exports = { apps: [{ a: { b: 1 } }, c.d.go()] };",
            "2:48",
            "c.d.go is not a function",
        ),
        ("const A = {}; module.exports = [new A.B()];", "1:33", "A.B is not a constructor"),
        ("const { a } = [{}][1];", "1:9", "Cannot destructure property 'a' of '[{}][1]' as it is undefined."),
        ("for (const x of {}.y) ;", "1:17", "{}.y is not iterable"),
        ("const a = 1;\na = 2;", "2:1", "Assignment to constant variable."),
        ("// './gone'\nconst g = 1, { a } = require('./gone');", "2:30", "Cannot find module './gone'"),
        (
            "const f = require('./lib').f; module.exports = f({});",
            "lib.js:1:39",
            "Cannot read properties of undefined (reading 'x')",
        ),
        ("module.exports = { a: require('./broken') };", "broken.js:3:3", "unexpected `b` in object literal"),
        ("module.exports = { a: require('./broken.json') };", "broken.json:2:8", "is not JSON"),
        (
            "module.exports = async () => { const x = { y: [1] }; await null; throw new Error('later') };",
            "1:72",
            "config threw: later",
        ),
        ("module.exports = { a: [{ b: (() => { throw new TypeError('odd') })() }] };", "1:44", "TypeError: odd"),
        ("module.exports = { apps: [{ name: 'x' script: 'y' }] };", "1:39", "unexpected `script`"),
        ("module.exports = { a: 'x };", "1:23", "this string does not end"),
        ("module.exports = { a: /x\n};", "1:23", "this regular expression does not end"),
        ("module.exports = {\n  apps: [{ name: 'x' }\n", "2:22", "the `[` on line 2 is never closed"),
        ("module.exports = { a: 1 }}\n", "1:26", "unexpected `}`"),
        ("module.exports = {\n  a: 1 // one\n  b: 2 };", "3:3", "is a comma missing at the end of line 2?"),
    ];
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(text, place, said)| {
            home.write("eco.config.js", text);
            let output = home.run(&["validate", "eco.config.js"]);
            let place = if place.contains("js") { (*place).to_owned() } else { format!("eco.config.js:{place}") };
            let fine = output.code == Some(65)
                && output.stderr.contains(&format!("[{place}]"))
                && output.stderr.contains(said)
                && !output.stderr.contains("$pmrun");
            (!fine).then(|| format!("{text}\n  {place} {said}\n{output}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    home.write("eco.config.mjs", "import {\n  b, nope } from './lib.mjs';\nexport default b;\n");
    let output = home.exits(65, &["validate", "eco.config.mjs"]);
    output.says("eco.config.mjs:2:6").says("'./lib.mjs' does not provide an export named 'nope'");
    home.write("eco.config.mjs", "import lib from './lib.js';\nimport x from './gone.mjs';\n");
    home.exits(65, &["validate", "eco.config.mjs"]).says("eco.config.mjs:2:15").says("Cannot find module './gone.mjs'");
}

#[test]
fn a_plan_names_the_line_and_column_of_a_program() {
    let home = with(
        "const port = 1 + 2;\nmodule.exports = { apps: [{ name: 'a', script: './stay.sh', env: { PORT: port, A: 'b' } }] };\n",
    );
    let output = home.run(&["diff", "eco.config.js"]);
    for place in ["eco.config.js:2:48", "eco.config.js:2:66"] {
        assert!(output.stdout.contains(place), "{output}");
    }
    output.never_shows("(apps[0]");
}

#[test]
fn what_a_config_did_to_its_process_is_said_in_words() {
    for (call, said) in [
        ("process.exit(3)", "the config called `process.exit(3)`"),
        ("process.exit()", "the config called `process.exit()`"),
        ("process.abort()", "the config called `process.abort()`"),
        ("process.kill(process.pid)", "the config called `process.kill(process.pid, \"SIGTERM\")`"),
        ("throw { code: 7, toString() { throw 1; } }", "config threw: {\"code\":7}"),
        ("throw undefined", "config threw: undefined"),
        (
            "throw new Error('no config', { cause: new Error('vault is sealed') })",
            "config threw: no config (because of: vault is sealed)",
        ),
    ] {
        refused(&format!("{call};\n")).says(said).never_shows("panicked");
    }
}

/// What the file exports, and what `render --raw` prints of it; None where there is no such text.
const STRINGIFIED: &[(&str, Option<&str>)] = &[
    (
        "{ n: new Number(3), s: new String('x'), b: new Boolean(false), y: Object(Symbol()) }",
        Some(r#"{"n":3,"s":"x","b":false,"y":{}}"#),
    ),
    (r"['\ud800', '\udc00x', '\ud83d\ude00', '\ude00\ud83d']", Some(r#"["\ud800","\udc00x","😀","\ude00\ud83d"]"#)),
    (r"{ '\udfff': 1 }", Some(r#"{"\udfff":1}"#)),
    (r#"'\u2028\u0007\b\f\n\r\t\v"\\/\x7f'"#, Some("\"\u{2028}\\u0007\\b\\f\\n\\r\\t\\u000b\\\"\\\\/\u{7f}\"")),
    (
        "{ u: undefined, f() {}, y: Symbol(), l: [undefined, () => 1, Symbol(), , 1] }",
        Some(r#"{"l":[null,null,null,null,1]}"#),
    ),
    ("undefined", None),
    ("Symbol('x')", None),
    ("null", Some("null")),
    ("{ a: { toJSON: (key) => key + '!' }, l: [{ toJSON: (key) => key }] }", Some(r#"{"a":"a!","l":["0"]}"#)),
    ("{ toJSON: () => new String('boxed') }", Some(r#""boxed""#)),
    ("{ toJSON: () => undefined }", None),
    ("{ toJSON() { throw new Error('no') } }", None),
    ("{ get a() { throw new Error('no') } }", None),
    ("[new Date(0), new Date(NaN)]", Some(r#"["1970-01-01T00:00:00.000Z",null]"#)),
    ("[new Map([[1, 2]]), new Set([1]), /a/, new Error('x')]", Some("[{},{},{},{}]")),
    ("[NaN, Infinity, -Infinity, -0, 0]", Some("[null,null,null,0,0]")),
    (
        "[1e21, 1e20, 123456789012345680000, 1e-6, 1e-7, 0.1 + 0.2, 5e-324, 1.5e300]",
        Some("[1e+21,100000000000000000000,123456789012345680000,0.000001,1e-7,0.30000000000000004,5e-324,1.5e+300]"),
    ),
    ("[1n]", None),
    ("{ a: Object(1n) }", None),
    ("(() => { const a = {}; a.a = { b: [a] }; return a })()", None),
    ("(() => { const a = { b: 1 }; return { x: a, y: [a, a] } })()", Some(r#"{"x":{"b":1},"y":[{"b":1},{"b":1}]}"#)),
    (
        "{ b: 1, 10: 2, 2: 3, '01': 4, 4294967295: 5, 4294967294: 6, '-1': 7 }",
        Some(r#"{"2":3,"10":2,"4294967294":6,"b":1,"01":4,"4294967295":5,"-1":7}"#),
    ),
    ("{ __proto__: { inherited: 1 }, own: 2 }", Some(r#"{"own":2}"#)),
    ("{ ['__proto__']: 1 }", Some(r#"{"__proto__":1}"#)),
    (r#"JSON.parse('{"__proto__": {"a": 1}, "b": 2}')"#, Some(r#"{"__proto__":{"a":1},"b":2}"#)),
    ("Object.defineProperty({ a: 1 }, 'hidden', { value: 2 })", Some(r#"{"a":1}"#)),
    ("new Proxy({ a: 1 }, {})", Some(r#"{"a":1}"#)),
    ("new Uint8Array([1, 2])", Some(r#"{"0":1,"1":2}"#)),
    ("{ a: 'twice', b: 1, a: 'last' }", Some(r#"{"a":"last","b":1}"#)),
    ("{ 'a': -0, 'b': 1e-7, 'c': 0x10, 'd': .5 }", Some(r#"{"a":0,"b":1e-7,"c":16,"d":0.5}"#)),
];

#[test]
fn render_raw_prints_what_json_stringify_would() {
    let home = with("");
    let wrong: Vec<String> = STRINGIFIED
        .iter()
        .filter_map(|(expression, want)| {
            home.write("eco.config.js", format!("module.exports = {expression}\n"));
            let output = home.run(&["render", "--raw", "eco.config.js"]);
            let got = (output.code == Some(0)).then_some(output.stdout.as_str());
            let fine =
                got == want.map(|want| format!("{want}\n")).as_deref() && (got.is_some() || output.code == Some(65));
            (!fine).then(|| format!("{expression}: {output}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The table is right about JavaScript.
#[test]
fn json_stringify_prints_what_render_raw_does() {
    if !needs_node() {
        return;
    }
    let home = with("");
    let expressions: Vec<&str> = STRINGIFIED.iter().map(|(expression, _)| *expression).collect();
    home.write("expressions.json", serde_json::to_vec(&expressions).expect("JSON"));
    let program = "const text = (e) => { try { return JSON.stringify(eval('(' + e + ')')) ?? null } catch { return null } }; \
                   console.log(JSON.stringify(require('./expressions.json').map(text)))";
    home.write("print.js", program);
    let output = home.run_command(home.shell("node print.js"), Duration::from_secs(30));
    let got: Vec<Option<String>> =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    for ((expression, want), got) in STRINGIFIED.iter().zip(got) {
        assert_eq!(got.as_deref(), *want, "{expression}");
    }
}

#[test]
fn a_module_that_is_awaited_is_what_it_exports() {
    let home = Home::new();
    home.write("apps.mjs", "export default { apps: [{ name: 'a', script: 'x.sh' }] };\n");
    for (name, text) in [
        ("a.config.mjs", "export default await import('./apps.mjs');"),
        ("b.config.mjs", "export default import('./apps.mjs');"),
        ("c.config.js", "module.exports = import('./apps.mjs');"),
        ("d.config.cjs", "module.exports = () => import('./apps.mjs');"),
        ("e.config.cjs", "module.exports = require('./apps.mjs').default;"),
    ] {
        home.write(name, text);
        assert_eq!(raw(&home, name), json!({ "apps": [{ "name": "a", "script": "x.sh" }] }), "{name}");
    }
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
    home.write("eco.config.cjs", "exports.early = 1; exports.apps = [{ name: 'a' + require('./round.cjs').seen }];");
    home.write("round.cjs", "exports.seen = require('./eco.config.cjs').early;\n");
    assert_eq!(raw(&home, "eco.config.cjs")["apps"][0]["name"], "a1");
    home.write(
        "eco.config.mjs",
        "import { f } from './round.mjs'; export const early = 1; export const apps = [{ name: f() }];",
    );
    home.write("round.mjs", "import { early } from './eco.config.mjs'; export const f = () => 'a' + early;\n");
    assert_eq!(raw(&home, "eco.config.mjs")["apps"][0]["name"], "a1");
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

fn engines() -> &'static [&'static str] {
    if needs_node() { &["embedded", "node"] } else { &["embedded"] }
}

#[test]
fn modules_are_known_wherever_their_statements_stand() {
    for engine in engines() {
        let home = Home::new();
        for (name, text) in [
            ("end.config.mjs", "const apps = [];\nexport { apps }\n"),
            ("end.config.js", "const apps = [];\nexport { apps }"),
            ("line.config.mjs", "const x = 1; export default async () => ({ apps: [] })"),
            ("block.config.mjs", "{ } export default async () => ({ apps: [] })"),
            ("line.config.js", "const apps = []; export { apps };"),
            ("comment.config.js", "/* us */ export const apps = [];"),
            ("word.config.js", "const apps = [];\nconst exported = 'a; export default';\nmodule.exports = { apps };"),
        ] {
            home.write(name, text);
            home.ok(&["render", "--raw", name, "--js-engine", engine]).prints(r#"{"apps":[]}"#);
        }
        home.write("line.config.ts", "const apps: string[] = []; export { apps };");
        home.ok(&["render", "--raw", "line.config.ts"]).prints(r#"{"apps":[]}"#);
        for (name, text) in [
            ("class.config.mjs", "export default class { apps = [] }"),
            ("class.config.cjs", "class A { apps = [] }\nmodule.exports = async () => A;"),
        ] {
            home.write(name, text);
            home.exits(65, &["render", "--raw", name, "--js-engine", engine]).says("the config exports a class");
        }
    }
    let home = Home::new();
    for (name, text, place) in [
        ("a.config.mjs", "const x = 1;\nexport const apps =\n", "a.config.mjs:2:19"),
        ("a.config.js", "module.exports =", "a.config.js:1:"),
    ] {
        home.write(name, text);
        home.exits(65, &["validate", name]).says("unexpected end of the file").says(place);
    }
}

#[test]
fn excerpts_of_typescript_are_its_users_lines() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    for (text, place, line) in [
        (
            "interface Ä { a: number }\nexport default { apps: [{ script: \"./stay.sh\" as string, instnaces: <number>1 }] } satisfies object;\n",
            "t.config.ts:2:58",
            "export default { apps: [{ script: \"./stay.sh\" as string, instnaces: <number>1 }] }",
        ),
        (
            "const port: number | string = \"many\" as any;\nexport default [{ script: \"./stay.sh\", port: port as number }];\n",
            "t.config.ts:1:31",
            "const port: number | string = \"many\" as any;",
        ),
        (
            "const x: string = (undefined as any).foo as string;\nexport default [];\n",
            "t.config.ts:1:38",
            "const x: string = (undefined as any).foo as string;",
        ),
        ("const x: number = 1;\nconst y: number = x +* 2;\n", "t.config.ts:2:22", "const y: number = x +* 2;"),
        ("enum Stage { Live }\nexport default [];\n", "t.config.ts:1:1", "enum Stage { Live }"),
    ] {
        home.write("t.config.ts", text);
        home.run(&["validate", "t.config.ts"]).says(place).says(line);
    }
}

#[test]
fn what_a_program_throws_when_nobody_is_there_to_catch_it_is_an_error() {
    for engine in engines() {
        let home = Home::new();
        for (index, bad) in [
            "async function main() { throw new Error('boom'); }\nmain();\nmodule.exports = { apps: [] };",
            "Promise.resolve().then(() => { throw new Error('boom'); });\nmodule.exports = { apps: [] };",
            "setTimeout(() => { throw new Error('boom'); }, 0);\nmodule.exports = { apps: [] };",
            "setImmediate(() => Promise.reject(new Error('boom')));\nmodule.exports = { apps: [] };",
            "module.exports = async () => { Promise.reject(new Error('boom')); return { apps: [] }; };",
            "module.exports = new Promise((done) => { Promise.reject(new Error('boom')); setTimeout(done, 5, { apps: [] }); });",
        ]
        .iter()
        .enumerate()
        {
            let name = format!("bad{index}.config.js");
            home.write(&name, bad);
            let output = home.exits(65, &["render", "--raw", &name, "--js-engine", engine]);
            output.says("config threw: boom").says(&format!("{name}:"));
        }
        home.write("throws.mjs", "throw new Error('boom');\n");
        for (index, good) in [
            "const p = Promise.reject(new Error('boom'));\np.catch(() => {});\nmodule.exports = { apps: [] };",
            "module.exports = (async () => { try { await import('./gone.mjs'); } catch {} return { apps: [] }; })();",
            "module.exports = (async () => { try { await import('./throws.mjs'); } catch {} return { apps: [] }; })();",
            "try { require('./throws.mjs'); } catch {}\nmodule.exports = { apps: [] };",
            "const a = Promise.allSettled([Promise.reject(1)]);\nmodule.exports = a.then(() => ({ apps: [] }));",
            "setTimeout(() => { throw new Error('boom'); }, 60_000).unref?.();\nmodule.exports = { apps: [] };",
            "setInterval(() => {}, 1);\nmodule.exports = { apps: [] };",
            "process.on('unhandledRejection', () => {});\nPromise.reject(new Error('boom'));\nmodule.exports = { apps: [] };",
        ]
        .iter()
        .enumerate()
        {
            let name = format!("good{index}.config.js");
            home.write(&name, good);
            home.ok(&["render", "--raw", &name, "--js-engine", engine]).prints(r#"{"apps":[]}"#);
        }
    }
}
