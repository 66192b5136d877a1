//! The engine in this process, without the child: text in, JSON or a failure out.

mod stand_ins;
mod words;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::broker::Broker;
use super::engine::{self, STACK_BYTES};
use super::host::Outside;
use super::orders::{Failure, Orders};
use crate::config::{Hermetic, Inputs, Journal};
use crate::diag::Code;
use crate::document::{Node, to_json};

/// A folder of files; the first one is the entry.
struct Case {
    folder: tempfile::TempDir,
    entry: PathBuf,
}

struct Ran {
    result: Result<Node, Failure>,
    printed: String,
    root: String,
    inputs: Inputs,
    refused: Vec<Failure>,
}

impl Case {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { entry: root.join(files[0].0), folder }
    }

    fn run(&self) -> Ran {
        let root = self.folder.path().canonicalize().unwrap();
        run(orders(&self.entry, &root))
    }
}

impl Ran {
    fn json(&self) -> String {
        match &self.result {
            Ok(node) => to_json(node).to_string().replace(&self.root, "{DIR}"),
            Err(failure) => format!("{failure:?}"),
        }
    }

    /// `file:line:column: message` of the failure.
    fn failure(&self) -> String {
        let Err(failure) = &self.result else { return self.json() };
        let file = failure.file.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let place = failure.position.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
        format!("{file}{place}: {}", failure.message).replace(&self.root, "{DIR}")
    }
}

fn orders(entry: &Path, root: &Path) -> Orders {
    let env = [("HOME", "/home/app"), ("PATH", "/usr/bin:/bin"), ("STAGE", "test")];
    Orders {
        entry: entry.to_owned(),
        env: env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>(),
        cwd: root.to_owned(),
        home: Some("/home/app".into()),
        cpus: 2,
        mapping: None,
        memory_bytes: 512 << 20,
        deadline_ms: 5_000,
        hermetic: None,
        mode: None,
        stringify: false,
        trace: true,
        aside: None,
        folders: Vec::new(),
    }
}

fn run(orders: Orders) -> Ran {
    let root = orders.cwd.to_string_lossy().into_owned();
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let printed = Rc::new(RefCell::new(String::new()));
        let sink = Rc::clone(&printed);
        let journal = Journal::default();
        let broker = Broker::new(&orders, Instant::now() + Duration::from_mins(1), journal.clone());
        let broker = Rc::new(RefCell::new(Some(broker)));
        let served = Rc::clone(&broker);
        let refused = Rc::new(RefCell::new(Vec::new()));
        let outside = Outside {
            print: Box::new(move |text| sink.borrow_mut().push_str(text)),
            ask: Box::new(move |request| {
                let mut broker = served.borrow_mut();
                let reply = broker.as_mut().map(|broker| broker.serve(request));
                reply.and_then(Result::ok).ok_or(io::ErrorKind::TimedOut.into())
            }),
            journal: journal.clone(),
            refused: Box::new({
                let refused = Rc::clone(&refused);
                move |refusals| *refused.borrow_mut() = refusals
            }),
        };
        let result = engine::run(orders, outside);
        // The engine may keep what it was given.
        drop(broker.take());
        let refused = refused.take();
        let printed = printed.borrow().clone();
        let result = result.map(|exported| exported.node);
        Ran { result, printed, root, inputs: journal.inputs(), refused }
    });
    worker.unwrap().join().unwrap()
}

/// What a file of this name exports, run in this process.
pub(in crate::config) fn exported_by_the_engine(name: &str, text: &str) -> Result<Node, String> {
    Case::new(&[(name, text)]).run().result.map_err(|failure| failure.message)
}

/// One CommonJS file that exports an expression.
fn check(table: &[(&str, &str)]) {
    for (expression, want) in table {
        let ran = Case::new(&[("pm.config.js", &format!("module.exports = {expression}"))]).run();
        assert_eq!(ran.json(), *want, "{expression}");
    }
}

fn check_files(files: &[(&str, &str)], want: &str) {
    assert_eq!(Case::new(files).run().json(), want, "{files:?}");
}

/// The failure, where it is not the wanted one.
fn check_failure(files: &[(&str, &str)], want: &str) -> Option<String> {
    let got = Case::new(files).run().failure();
    (got != want).then(|| format!("{files:.200?}\n  want {want}\n  got  {got}"))
}

#[test]
fn values_as_json_would_hold_them() {
    check(&[
        ("{b: 1, a: [1.5, -0, 1e21], 2: 'x', 1: 'y'}", r#"{"1":"y","2":"x","b":1,"a":[1.5,0,1e+21]}"#),
        ("{u: undefined, f() {}, [Symbol('s')]: 1, l: [undefined, () => 1]}", r#"{"l":[null,null]}"#),
        ("{d: new Date(0), n: NaN, i: Infinity}", r#"{"d":"1970-01-01T00:00:00.000Z","n":null,"i":null}"#),
        ("{t: {toJSON: (key) => key + '!'}, m: new Map([[1, 2]])}", r#"{"t":"t!","m":{}}"#),
        ("{get a() { return 1 }, __proto__: {b: 2}}", r#"{"a":1}"#),
        ("[{s: 'é😀\\n'}]", r#"[{"s":"é😀\n"}]"#),
        ("{n: new Number(3), s: new String('x'), b: new Boolean(false)}", r#"{"n":3,"s":"x","b":false}"#),
        ("undefined", "null"),
        ("'text'", "\"text\""),
        ("7", "7"),
        ("(({env, mode}) => ({apps: [{name: env.STAGE, mode}]}))", r#"{"apps":[{"name":"test"}]}"#),
        ("Promise.resolve(async () => ({apps: []}))", r#"{"apps":[]}"#),
        ("new Promise((done) => setTimeout(() => done([1]), 1))", "[1]"),
        ("Object.defineProperty({a: 1}, 'h', {value: 2})", r#"{"a":1}"#),
    ]);
}

#[test]
fn not_a_number_stays_one() {
    let ran = Case::new(&[("pm.config.js", "module.exports = [NaN, -Infinity]")]).run();
    let node = ran.result.unwrap();
    let kinds: Vec<_> = node.items().unwrap().iter().map(|item| format!("{:?}", item.kind)).collect();
    assert_eq!(kinds, ["Number(NaN)", "Number(-inf)"]);
}

#[test]
fn values_that_no_config_holds() {
    for (expression, want) in [
        ("{apps: [{n: 10n}]}", "`apps[0].n` is a BigInt, which a config cannot hold: write a number or a string"),
        ("(() => { const a = {b: [{}]}; a.b[0].c = a; return {a} })()", "`a.b[0].c` contains itself"),
        (
            "(() => { let a = {}; for (let i = 0; i < 300; i++) a = {a}; return a })()",
            "the exported value is nested deeper than 200 levels",
        ),
        ("new Promise(() => {})", "the config waits for a promise that nothing settles"),
        (
            "(function f() { return f() })()",
            "Maximum call stack size exceeded: the config recurses without end or is nested too deeply",
        ),
    ] {
        let ran = Case::new(&[("pm.config.js", &format!("module.exports = {expression}"))]).run();
        assert_eq!(ran.result.unwrap_err().message, want, "{expression}");
    }
}

#[test]
fn commonjs() {
    check_files(&[("a.js", "exports.x = __dirname; exports.y = __filename")], r#"{"x":"{DIR}","y":"{DIR}/a.js"}"#);
    check_files(
        &[("a.js", "this.x = require.main === module; exports.y = typeof require.main + typeof module.parent")],
        r#"{"x":false,"y":"objectobject"}"#,
    );
    check_files(&[("a.js", "if (true) { exports.x = 1; return } exports.x = 2")], r#"{"x":1}"#);
    check_files(
        &[
            ("a.js", "module.exports = [require('./b').n, require('./b.js').n]"),
            ("b.js", "global.n = (global.n || 0) + 1; exports.n = n"),
        ],
        "[1,1]",
    );
    check_files(
        &[
            ("a.js", "exports.early = 1; const b = require('./b'); exports.seen = b.seen; exports.late = b.late()"),
            ("b.js", "const a = require('./a'); exports.seen = {...a}; exports.late = () => Object.keys(a).length"),
        ],
        r#"{"early":1,"seen":{"early":1},"late":2}"#,
    );
    check_files(
        &[
            ("a.js", "module.exports = [require('./d'), require('pkg'), require('./data'), require.resolve('pkg')]"),
            ("d/index.js", "module.exports = 'd'"),
            ("node_modules/pkg/package.json", r#"{"main": "m.js"}"#),
            ("node_modules/pkg/m.js", "module.exports = 'pkg'"),
            ("data.json", "\u{feff}{\"a\": [1]}"),
        ],
        r#"["d","pkg",{"a":[1]},"{DIR}/node_modules/pkg/m.js"]"#,
    );
    check_files(
        &[("a.js", "try { require('nope') } catch (e) { exports.code = e.code }")],
        r#"{"code":"MODULE_NOT_FOUND"}"#,
    );
    check_files(&[("a.js", "\u{feff}#!/usr/bin/env node\r\nmodule.exports = 1 // end")], "1");
    check_files(&[("a.js", "")], "{}");
    check_files(
        &[("a.js", "Object.defineProperty(exports, '__esModule', {value: true}); exports.default = {apps: []}")],
        r#"{"apps":[]}"#,
    );
    check_files(&[("a.cjs", "module.exports = require('./b.mjs').n"), ("b.mjs", "export const n = 3")], "3");
}

#[test]
fn modules() {
    check_files(&[("a.mjs", "export default {apps: [1]}")], r#"{"apps":[1]}"#);
    check_files(&[("a.mjs", "export const apps = [1]; export const deploy = {}")], r#"{"apps":[1],"deploy":{}}"#);
    check_files(&[("a.mjs", "export const apps = [1]; export default {other: 1}")], r#"{"apps":[1]}"#);
    check_files(&[("a.mjs", "export const apps = [1]; export default {apps: [2]}")], r#"{"apps":[2]}"#);
    check_files(&[("a.mjs", "export default async () => [await Promise.resolve(1)]")], "[1]");
    check_files(&[("a.js", "export default [1]")], "[1]");
    check_files(
        &[("a.js", "export default [typeof require]"), ("package.json", r#"{"type": "module"}"#)],
        r#"["undefined"]"#,
    );
    check_files(
        &[
            (
                "a.mjs",
                "import d, {x} from './c.cjs'; import j from './j.json' with {type: 'json'}; import * as p from 'node:path'; export default [d, x, j, p.join('a', 'b'), p.default.sep]",
            ),
            ("c.cjs", "exports.x = 1"),
            ("j.json", "[2]"),
        ],
        r#"[{"x":1},1,[2],"a/b","/"]"#,
    );
    check_files(
        &[("a b.mjs", "export default [import.meta.url, import.meta.filename, import.meta.dirname]")],
        r#"["file://{DIR}/a%20b.mjs","{DIR}/a b.mjs","{DIR}"]"#,
    );
    check_files(
        &[
            ("a.mjs", "const {n} = await import('./b.mjs'); export default n"),
            ("b.mjs", "export const n = await Promise.resolve(4)"),
        ],
        "4",
    );
    // A module that was awaited is what it exports, as if it had been imported.
    for entry in [
        "export default await import('./b.mjs')",
        "export default import('./b.mjs')",
        "import * as b from './b.mjs'; export default Promise.resolve(b)",
        "import * as b from './b.mjs'; export default b",
        "export default () => import('./b.mjs')",
    ] {
        check_files(&[("a.mjs", entry), ("b.mjs", "export default {apps: [1]}")], r#"{"apps":[1]}"#);
        check_files(&[("a.mjs", entry), ("b.mjs", "export const apps = [2]")], r#"{"apps":[2]}"#);
        check_files(&[("a.mjs", entry), ("b.mjs", "export default async () => [3]")], "[3]");
    }
    check_files(&[("a.cjs", "module.exports = import('./b.cjs')"), ("b.cjs", "module.exports = [4]")], "[4]");
    check_files(&[("a.cjs", "module.exports = import('./b.json', {with: {type: 'json'}})"), ("b.json", "[5]")], "[5]");
    check_files(
        &[("a.js", "module.exports = import('./b.mjs').then((b) => b.n)"), ("b.mjs", "export const n = 5")],
        "5",
    );
    check_files(
        &[
            ("a.mjs", "import {f} from './b.mjs'; export const n = 1; export default [f()]"),
            ("b.mjs", "import {n} from './a.mjs'; export const f = () => n"),
        ],
        "[1]",
    );
}

#[test]
fn a_file_and_its_module_twin() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/js/shop");
    let of = |name: &str| run(orders(&folder.join(name), &folder)).json();
    let script = of("ecosystem.config.js");
    assert!(script.starts_with(r#"{"apps":[{"cwd":"{DIR}","max_restarts":5"#), "{script}");
    assert!(script.contains(r#""instances":"2""#), "{script}");
    assert_eq!(script.matches(r#""name":"#).count(), 12);
    assert_eq!(of("ecosystem.config.mjs"), script);
}

#[test]
fn failures_say_where() {
    let wrong = [
        check_failure(
            &[("a.js", "const a = {\n  b: 1\n  c: 2\n}")],
            "a.js:3:3: unexpected `c` in object literal: expected `,` or `}`",
        ),
        check_failure(&[("a.js", "let a = ;")], "a.js:1:9: unexpected `;`"),
        check_failure(
            &[("a.mjs", "export default {\n  a b\n}")],
            "a.mjs:2:5: unexpected `b` in method definition: expected `(`",
        ),
        check_failure(&[("a.js", "1\nthrow new Error('set STAGE first')")], "a.js:2:7: config threw: set STAGE first"),
        check_failure(&[("a.js", "1\nthrow new TypeError('no')")], "a.js:2:7: config threw: TypeError: no"),
        check_failure(
            &[("a.js", "require('./b')"), ("b.js", "\n\nnull.x")],
            "b.js:3:6: config threw: TypeError: Cannot read properties of null (reading 'x')",
        ),
        check_failure(&[("a.js", "1\nrequire('./b')"), ("b.js", "\n{ [ }")], "b.js:2:5: unexpected `}`"),
        check_failure(&[("a.js", "1\nconst x = require('nope')")], "a.js:2:19: Cannot find module 'nope'"),
        check_failure(&[("a.mjs", "1\nimport x from './nope.mjs'")], "a.mjs:2:15: Cannot find module './nope.mjs'"),
        check_failure(
            &[("a.js", "require('./b')"), ("b.js", "1\nrequire(\n  './c')")],
            "b.js:3:3: Cannot find module './c'",
        ),
        check_failure(
            &[("a.js", "require('./j.json')"), ("j.json", "{\n  'a': 1}")],
            "j.json:2:3: `{DIR}/j.json` is not JSON: Expected property name or '}' in JSON at position 4",
        ),
        check_failure(&[("a.js", "1\nprocess.exit(2)")], "a.js:2:9: the config called `process.exit(2)`"),
        check_failure(&[("a.js", "try { process.exit(2) } catch {}")], ": the config called `process.exit(2)`"),
        check_failure(&[("a.js", "process.exit()")], "a.js:1:9: the config called `process.exit()`"),
        check_failure(
            &[("a.js", "process.exitCode = 4; process.exit()")],
            "a.js:1:31: the config called `process.exit(4)`",
        ),
        check_failure(&[("a.js", "process.abort()")], "a.js:1:9: the config called `process.abort()`"),
        check_failure(
            &[("a.js", "process.kill(process.pid)")],
            "a.js:1:9: the config called `process.kill(process.pid, \"SIGTERM\")`",
        ),
        check_failure(
            &[("a.js", "try { process.kill(process.pid, 9) } finally { process.exit(1) }")],
            "a.js:1:56: the config called `process.kill(process.pid, 9)`",
        ),
        check_failure(&[("a.js", "exports.a = process.kill(process.pid, 0)")], r#"{"a":true}"#),
        check_failure(
            &[("a.js", "process.kill(1)")],
            "a.js:1:9: config threw: process.kill is not available: a config may only read",
        ),
        check_failure(
            &[("a.js", &format!("1\n{}", "[".repeat(200_000)))],
            "a.js:2:1: brackets are nested too deeply: more than 1000",
        ),
        check_failure(
            &[("a.mjs", "export default module.exports = 1")],
            "a.mjs:1:16: config threw: ReferenceError: module is not defined",
        ),
        check_failure(
            &[("a.js", "module.exports = JSON.parse('{')")],
            "a.js:1:23: config threw: SyntaxError: Expected property name or '}' in JSON at position 1",
        ),
        check_failure(
            &[("a.js", "module.exports = Promise.reject(new Error('later'))")],
            "a.js:1:33: config threw: later",
        ),
    ];
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_thrown_is_shown() {
    for (thrown, want) in [
        ("'text'", "config threw: text"),
        ("{message: 'm'}", "config threw: m"),
        ("42", "config threw: 42"),
        ("null", "config threw: null"),
        ("undefined", "config threw: undefined"),
        ("Symbol('s')", "config threw: Symbol(s)"),
        ("() => 1", "config threw: a function"),
        ("{}", "config threw: an object without a message"),
        ("{code: 5, why: ['a']}", r#"config threw: {"code":5,"why":["a"]}"#),
        ("[1, 2]", "config threw: [1,2]"),
        ("Object.create(null)", "config threw: an object without a message"),
        ("{toString() { return 'odd words' }}", "config threw: odd words"),
        ("{toString() { throw 1 }}", "config threw: an object without a message"),
        ("{toString() { return {} }, toJSON() { throw 2 }}", "config threw: an object without a message"),
        (
            "{get message() { throw 1 }, get name() { throw 2 }, get cause() { throw 3 }}",
            "config threw: an object without a message",
        ),
        ("new Proxy({}, {get() { throw 1 }})", "config threw: an object without a message"),
        ("new Error()", "config threw: Error"),
        (
            "new Error('a', {cause: new TypeError('b', {cause: 'c'})})",
            "config threw: a (because of: TypeError: b (because of: c))",
        ),
        (
            "new AggregateError([new Error('a'), 'b'], 'all failed')",
            "config threw: AggregateError: all failed (because of: a; b)",
        ),
        (
            "(() => { const e = new Error('round'); e.cause = e; return e })()",
            "config threw: round (because of: round (because of: round (because of: round)))",
        ),
        ("new (class Missing extends Error { name = 'Missing' })('DB_URL')", "config threw: Missing: DB_URL"),
    ] {
        let ran = Case::new(&[("a.js", &format!("throw {thrown}"))]).run();
        assert_eq!(ran.result.unwrap_err().message, want, "{thrown}");
    }
}

#[test]
fn a_module_that_is_too_large_is_not_handed_to_the_engine() {
    let large = " ".repeat(5 << 20);
    for (entry, module) in [("a.js", "b.js"), ("a.js", "b.cjs"), ("a.js", "b.json"), ("a.mjs", "b.mjs")] {
        let text = if entry == "a.js" { format!("1\nrequire('./{module}')") } else { format!("import './{module}'") };
        let failure = Case::new(&[(entry, &text), (module, &large)]).run().failure();
        let want = format!("`{{DIR}}/{module}` is too large for a config (5 MB): at most 4 MB are read");
        assert!(failure.ends_with(&want), "{failure}");
        assert!(entry == "a.mjs" || failure.starts_with("a.js:2:"), "{failure}");
    }
}

#[test]
fn files_that_cannot_be_run() {
    let case = Case::new(&[("a.tsx", "export default {}")]);
    let failure = case.run().result.unwrap_err();
    assert_eq!((failure.code, failure.message.as_str()), (Code::File, "this kind of file cannot be run"));
    let mut gone = orders(Path::new("/nowhere/a.js"), Path::new("/"));
    gone.cwd = "/".into();
    let failure = run(gone).result.unwrap_err();
    assert_eq!(failure.code, Code::File);
    assert!(failure.message.starts_with("cannot read the config: No such file"), "{}", failure.message);
}

#[test]
fn another_version_under_the_same_name() {
    let case = Case::new(&[
        ("old/a.js", "module.exports = [require('./n'), __dirname, require('fs').readdirSync('.')]"),
        ("old/n.js", "module.exports = 1"),
        ("seen/a.js", ""),
    ]);
    let root = case.folder.path().canonicalize().unwrap();
    let mut orders = orders(&root.join("seen/a.js"), &root.join("seen"));
    orders.mapping = Some(crate::config::Mapping::new(root.join("seen"), root.join("old")));
    assert_eq!(run(orders).json(), r#"[1,"{DIR}",["a.js","n.js"]]"#);
}

#[test]
fn printing_is_kept_apart() {
    let text = "console.log('a %s %d', 'b', 3, {c: [1, {d: {e: {}}}]}); console.error(new Map([['k', 'v']])); process.stdout.write('raw'); for (let i = 0; i < 3; i++) console.info(i)";
    let ran = Case::new(&[("a.js", text)]).run();
    assert_eq!(ran.printed, "a b 3 { c: [ 1, { d: [Object] } ] }\nMap(1) { 'k' => 'v' }\nraw0\n1\n2\n");
    assert_eq!(ran.json(), "{}");
}

#[test]
fn globals_in_loops() {
    let loops = [
        ("for (let i = 0; i < 3; i++) console.log('a'.repeat(2))", "aa\naa\naa\n"),
        ("for (const k of ['STAGE', 'HOME']) console.log(process.env[k])", "test\n/home/app\n"),
        (
            "for (let i = 0; i < 2; i++) console.log(Buffer.from('aa', 'hex').length, new URL('http://h/' + i).pathname)",
            "1 /0\n1 /1\n",
        ),
    ];
    for (text, want) in loops {
        let ran = Case::new(&[("a.js", text)]).run();
        assert_eq!((ran.printed.as_str(), ran.json().as_str()), (want, "{}"), "{text}");
    }
}

#[test]
fn path() {
    check(&[
        (
            "(p => [p.join('/a', '..', './b/', 'c'), p.join(), p.join('a', '..'), p.join('../x', 'y')])(require('path'))",
            r#"["/b/c",".",".","../x/y"]"#,
        ),
        (
            "(p => [p.resolve('/a', 'b', '../c'), p.resolve('/a', '/b'), p.resolve('x') === process.cwd() + '/x'])(require('path'))",
            r#"["/a/c","/b",true]"#,
        ),
        (
            "(p => [p.normalize('/a//b/../c/.'), p.normalize('./a/'), p.normalize('../../a')])(require('path'))",
            r#"["/a/c","a/","../../a"]"#,
        ),
        (
            "(p => [p.dirname('/a/b'), p.dirname('/a'), p.dirname('a'), p.dirname('/a/b/')])(require('path'))",
            r#"["/a","/",".","/a"]"#,
        ),
        (
            "(p => [p.basename('/a/b.js', '.js'), p.basename('/a/'), p.extname('a.b.c'), p.extname('.env'), p.extname('a.')])(require('path'))",
            r#"["b","a",".c","","."]"#,
        ),
        (
            "(p => [p.relative('/a/b/c', '/a/d'), p.relative('/a', '/a'), p.isAbsolute('/a'), p.isAbsolute('a')])(require('path'))",
            r#"["../../d","",true,false]"#,
        ),
        (
            "require('path').parse('/home/u/f.txt')",
            r#"{"root":"/","dir":"/home/u","base":"f.txt","ext":".txt","name":"f"}"#,
        ),
        (
            "(p => [p.format({dir: '/a', name: 'b', ext: 'c'}), p.sep, p.delimiter, p.posix === p, p.win32.join('C:\\\\a', 'b')])(require('node:path'))",
            r#"["/a/b.c","/",":",true,"C:\\a\\b"]"#,
        ),
    ]);
}

#[test]
fn files() {
    check_files(
        &[
            (
                "a.js",
                "const fs = require('fs'); module.exports = [fs.readFileSync(__dirname + '/t.txt', 'utf8'), fs.readFileSync('t.txt').toString('hex'), fs.existsSync('no'), fs.statSync('d').isDirectory(), fs.lstatSync('t.txt').size, fs.readdirSync('d', {withFileTypes: true}).map((e) => [e.name, e.isFile()])]",
            ),
            ("t.txt", "é\n"),
            ("d/x", ""),
        ],
        r#"["é\n","c3a90a",false,true,3,[["x",true]]]"#,
    );
    check_files(
        &[
            (
                "a.mjs",
                "import {readFile} from 'fs/promises'; export default [JSON.parse(await readFile(new URL('./j.json', import.meta.url), 'utf8'))]",
            ),
            ("j.json", "{}"),
        ],
        "[{}]",
    );
    check_files(
        &[(
            "a.js",
            "const fs = require('fs'); fs.mkdirSync('x/y', {recursive: true}); module.exports = fs.existsSync(__dirname + '/x/y')",
        )],
        "true",
    );
    check(&[
        (
            "(() => { try { require('fs').readFileSync('/no') } catch (e) { return [e.code, e.message] } })()",
            r#"["ENOENT","ENOENT: no such file or directory, open '/no'"]"#,
        ),
        (
            "(() => { try { require('fs').writeFileSync('a', '') } catch (e) { return e.message } })()",
            r#""fs.writeFileSync is not available: a config may only read""#,
        ),
        ("require('fs').statSync('/no', {throwIfNoEntry: false}) === undefined", "true"),
        (
            "['/proc/1/environ', '/proc/self/cwd/../../../../../../../../proc/1/environ'].map((path) => { try { return require('fs').readFileSync(path) } catch (e) { return e.code } })",
            r#"["EACCES","EACCES"]"#,
        ),
        ("require('fs').readFileSync('/proc/self/stat').length > 10", "true"),
    ]);
}

#[test]
fn the_process_and_the_machine() {
    check(&[
        ("[process.env.STAGE, process.env.NOPE, process.env.HOME]", r#"["test",null,"/home/app"]"#),
        (
            "(process.env.N = 1, process.env.U = undefined, [process.env.N, process.env.U, 'N' in process.env, {...process.env}.N])",
            r#"["1","undefined",true,"1"]"#,
        ),
        ("(delete process.env.STAGE, process.env.STAGE === undefined)", "true"),
        (
            "[process.platform, process.version, process.versions.node, typeof process.pid, process.argv.length]",
            r#"["linux","v20.20.2","20.20.2","number",2]"#,
        ),
        (
            "(os => [os.EOL, os.platform(), os.type(), os.homedir(), os.tmpdir(), os.cpus().length > 0, os.totalmem() > os.freemem(), os.availableParallelism()])(require('os'))",
            r#"["\n","linux","Linux","/home/app","/tmp",true,true,2]"#,
        ),
        (
            "(os => [os.hostname().length > 0, os.platform(), os.userInfo().uid === process.getuid()])(require('os'))",
            r#"[true,"linux",true]"#,
        ),
        ("[process === global.process, process === require('process'), global === globalThis]", "[true,true,true]"),
    ]);
}

#[test]
fn the_small_modules() {
    check(&[
        (
            "(u => [u.fileURLToPath('file:///a%20b'), u.pathToFileURL('/a b').href])(require('url'))",
            r#"["/a b","file:///a%20b"]"#,
        ),
        (
            "(u => [u.host, u.port, u.pathname, u.username, u.password, u.search, u.hash, u.searchParams.get('q')])(new URL('http://me:pw@Host:8080/a/../b?q=1#h'))",
            r##"["host:8080","8080","/b","me","pw","?q=1","#h","1"]"##,
        ),
        (
            "[new URL('http://h:80').href, new URL('../c', 'http://h/a/b/d').href, new URL('postgres://u:p@h/db').pathname]",
            r#"["http://h/","http://h/a/c","/db"]"#,
        ),
        ("(() => { try { new URL('nope') } catch (e) { return e.code } })()", r#""ERR_INVALID_URL""#),
        (
            "(b => [b.from('hé').toString('base64'), b.from('aMOp', 'base64').toString(), b.from('68', 'hex').toString(), b.byteLength('é'), b.isBuffer(b.alloc(2))])(Buffer)",
            r#"["aMOp","hé","h",2,true]"#,
        ),
        ("require('util').format('%s-%d-%j', 'a', 1, {b: 2}, 'c')", r#""a-1-{\"b\":2} c""#),
        (
            "require('util').inspect({a: 'x', b: [1], c: null, d() {}})",
            r#""{ a: 'x', b: [ 1 ], c: null, d: [Function: d] }""#,
        ),
        ("structuredClone({a: [1, new Date(0)]})", r#"{"a":[1,"1970-01-01T00:00:00.000Z"]}"#),
        ("require('dotenv').parse('A=1\\nB=\"x\\\\ny\"')", r#"{"A":"1","B":"x\ny"}"#),
        (
            "(c => [c.execSync('echo hi').toString(), c.execFileSync('echo', ['a b'], {encoding: 'utf8'}), c.spawnSync('sh', ['-c', 'exit 3']).status, c.spawnSync('no-such-command').error.code])(require('child_process'))",
            r#"["hi\n","a b\n",3,"ENOENT"]"#,
        ),
        (
            "(() => { try { require('child_process').execSync('echo oops >&2; exit 1', {stdio: 'pipe'}) } catch (e) { return [e.status, e.message] } })()",
            r#"[1,"Command failed: echo oops >&2; exit 1\noops\n"]"#,
        ),
        ("[atob('aGk='), btoa('hi'), new TextDecoder().decode(new TextEncoder().encode('é'))]", r#"["hi","aGk=","é"]"#),
    ]);
}

#[test]
fn variables_from_a_file() {
    let files = [
        (
            "a.js",
            "process.env.KEPT = 'mine'; const r = require('dotenv').config({path: '.env.x'}); module.exports = [r.parsed, process.env.KEPT, process.env.NEW, require('dotenv').config().error.code]",
        ),
        (".env.x", "KEPT=theirs\nNEW='a b' # c\n"),
    ];
    check_files(&files, r#"[{"KEPT":"theirs","NEW":"a b"},"mine","a b","ENOENT"]"#);
    check_files(&[("a.js", "require('dotenv/config'); module.exports = process.env.X"), (".env", "X=1")], "\"1\"");
}

fn hermetic(files: &[(&str, &str)], variables: &[&str], paths: &[&str]) -> Ran {
    let case = Case::new(files);
    let root = case.folder.path().canonicalize().unwrap();
    let mut orders = orders(&case.entry, &root);
    orders.hermetic = Some(Hermetic {
        variables: variables.iter().map(|name| (*name).to_owned()).collect(),
        paths: paths.iter().map(|path| root.join(path)).collect(),
    });
    run(orders)
}

#[test]
fn what_was_looked_at_is_recorded() {
    let text = "const fs = require('fs'); const { STAGE } = process.env; 'NOPE' in process.env;\n\
                process.env.OWN = 1; process.env.OWN; delete process.env.GONE; process.env.GONE; process.env.toString();\n\
                require('./lib'); require('./j'); fs.existsSync('no'); fs.statSync('d'); fs.readdirSync('d');\n\
                process.chdir('d'); try { fs.readFileSync('../none') } catch {} fs.readFileSync('x', 'utf8');\n\
                require('child_process').execSync('exit 0'); require('child_process').spawnSync('no-such-program')";
    let files = [("sub/a.js", text), ("sub/lib.js", "exports.a = 1"), ("sub/j.json", "{}"), ("d/x", "x"), ("d/y", "")];
    let ran = Case::new(&files).run();
    let shown = |path: &Path| path.display().to_string().replace(&ran.root, "");
    assert_eq!(ran.inputs.variables.iter().collect::<Vec<_>>(), ["NOPE", "STAGE"], "{}", ran.json());
    assert!(!ran.inputs.all_variables && !ran.inputs.host && !ran.inputs.incomplete);
    let files: Vec<String> = ran.inputs.files.keys().map(|path| shown(path)).collect();
    assert_eq!(files, ["/d/x", "/sub/a.js", "/sub/j.json", "/sub/lib.js"]);
    let digest = &ran.inputs.files[&Path::new(&ran.root).join("d/x")];
    assert_eq!(*digest, crate::base::sha256_hex(b"x"));
    let checks: Vec<(String, bool)> = ran.inputs.checks.iter().map(|(path, found)| (shown(path), *found)).collect();
    assert_eq!(checks, [("/no".to_owned(), false), ("/none".to_owned(), false)]);
    let folders: Vec<(String, &String)> =
        ran.inputs.folders.iter().map(|(path, digest)| (shown(path), digest)).collect();
    assert_eq!(folders, [("/d".to_owned(), &crate::base::sha256_hex(b"x\ny\n"))]);
    let commands: Vec<_> =
        ran.inputs.commands.iter().map(|run| (run.argv.join(" "), run.exit, run.ended_by.as_deref())).collect();
    assert_eq!(
        commands,
        [("/bin/sh -c exit 0".to_owned(), Some(0), None), ("no-such-program".to_owned(), None, Some("ENOENT"))]
    );
    for (text, all, host) in [
        ("Object.keys(process.env)", true, false),
        ("({...process.env})", true, false),
        ("require('os')", false, true),
        ("require('child_process').execSync('true')", false, false),
    ] {
        let inputs = Case::new(&[("a.js", text)]).run().inputs;
        assert_eq!((inputs.all_variables, inputs.host), (all, host), "{text}");
    }
}

#[test]
fn what_is_not_allowed_is_refused_at_its_place() {
    let refused = |text: &str, variables: &[&str], paths: &[&str]| {
        let others = [("data.txt", "x"), ("sub/in.js", "module.exports = 1"), ("sub/j.json", "1"), ("above.js", "1")];
        let files: Vec<(&str, &str)> = std::iter::once(("sub/a.js", text)).chain(others).collect();
        let ran = hermetic(&files, variables, paths);
        let said = |failure: &Failure| {
            let (line, column) = failure.position.unwrap_or_default();
            let message = failure.message.strip_suffix(" is refused: the config is read with `--hermetic`").unwrap();
            format!("{line}:{column} {message}: {}", failure.hint.as_deref().unwrap_or_default())
        };
        let refused: Vec<String> = ran.refused.iter().map(said).collect();
        refused.join("; ").replace(&ran.root, "")
    };
    let nothing: (&[&str], &[&str]) = (&[], &[]);
    let stage = "1:30 the variable STAGE: `--allow-env STAGE` allows it";
    let data = "the file `data.txt`: `--allow-read data.txt` allows it";
    for (text, (variables, paths), want) in [
        ("module.exports = process.env.STAGE", nothing, stage.to_owned()),
        ("module.exports = process.env.STAGE", (&["ST*"], &[]), String::new()),
        (
            "module.exports = process.env.UNSET",
            (&["ST*"], &[]),
            "1:30 the variable UNSET: `--allow-env UNSET` allows it".to_owned(),
        ),
        ("process.env.OWN = 1; module.exports = process.env.OWN + Object.keys(process.env)", nothing, String::new()),
        ("module.exports = [require('./in'), require('./j')]", nothing, String::new()),
        (
            "\n  require('../above')",
            nothing,
            "2:11 the module `above.js`, which is not below the config's folder: `--allow-read above.js` allows it"
                .to_owned(),
        ),
        ("require('../above')", (&[], &["above.js"]), String::new()),
        ("const fs = require('fs');\nfs.readFileSync('data.txt')", nothing, format!("2:4 {data}")),
        ("const fs = require('fs');\nfs.existsSync('data.txt')", nothing, format!("2:4 {data}")),
        ("const fs = require('fs');\ntry { fs.statSync('data.txt') } catch {}", nothing, format!("2:10 {data}")),
        ("require('fs').readFileSync('data.txt')", (&[], &["data.txt"]), String::new()),
        ("require('fs').readFileSync('data.txt')", (&[], &[""]), String::new()),
        (
            "require('os').homedir(); require('os').tmpdir(); module.exports = ({ mode }) => mode",
            nothing,
            String::new(),
        ),
        ("require('fs').mkdirSync('logs/x', { recursive: true }); process.chdir('sub')", nothing, String::new()),
    ] {
        assert_eq!(refused(text, variables, paths), want, "{text}");
    }
    let command = refused("require('child_process').execSync('echo hi')", &["*"], &["/"]);
    assert!(command.starts_with("1:26 the command `/bin/sh -c echo hi`: no flag allows it"), "{command}");
    let many =
        refused("for (const n of ['A', 'B', 'A']) process.env[n];\nrequire('fs').existsSync('/etc/passwd')", &[], &[]);
    assert_eq!(many.matches("allows it").count(), 3, "{many}");
}

#[test]
fn a_link_leads_nowhere_that_is_not_allowed() {
    let files = [("a.js", "module.exports = require('fs').readFileSync('ok/link/passwd')"), ("ok/x", "")];
    let case = Case::new(&files);
    let root = case.folder.path().canonicalize().unwrap();
    std::os::unix::fs::symlink("/etc", root.join("ok/link")).unwrap();
    let mut orders = orders(&case.entry, &root);
    orders.hermetic = Some(Hermetic { variables: Vec::new(), paths: vec![root.join("ok")] });
    assert_eq!(run(orders).refused.len(), 1);
}

#[test]
fn whether_there_are_folders_elsewhere_is_not_told() {
    let text = "module.exports = ['/', '/etc/passwd', '/no/such'].map((path) => { try { return require('fs').mkdirSync(path, {recursive: true}) ?? 'made' } catch (e) { return e.code } })";
    let ran = hermetic(&[("a.js", text)], &[], &[]);
    assert_eq!(ran.json(), r#"["EACCES","EACCES","EACCES"]"#);
}

#[test]
fn folders_are_made_in_the_project_only() {
    let mkdir = |cwd: &str, path: &str, recursive: bool| {
        let text = format!(
            "try {{ module.exports = require('fs').mkdirSync('{path}', {{recursive: {recursive}}}) ?? 'made' }} catch (e) {{ module.exports = e.code }}"
        );
        let case = Case::new(&[("p/sub/a.js", &text), ("p/there/x", "")]);
        let root = case.folder.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&root, root.join("p/out")).unwrap();
        run(orders(&case.entry, &root.join(cwd))).json()
    };
    for (cwd, path, recursive, want) in [
        ("p", "logs", false, r#""made""#),
        ("p", "logs/a/b", true, r#""{DIR}/logs""#),
        ("p", "logs/a/b", false, r#""ENOENT""#),
        ("p", "there", false, r#""EEXIST""#),
        ("p", "there", true, r#""made""#),
        ("p", "there/x", true, r#""EEXIST""#),
        ("p", "../q", true, r#""EACCES""#),
        ("p", "out/q", true, r#""EACCES""#),
        ("p", "/", true, r#""made""#),
        ("p", ".git/index.lock", true, r#""EACCES""#),
        ("p/sub", "../logs", true, r#""EACCES""#),
        ("p/there", "../sub/logs", false, r#""made""#),
        ("p/there", "logs", false, r#""EACCES""#),
    ] {
        assert_eq!(mkdir(cwd, path, recursive), want, "{cwd} {path} {recursive}");
    }
}

#[test]
fn commands_end_as_nodes_do() {
    check(&[
        (
            "(c => { try { c.execSync('sleep 100', {timeout: 50}) } catch (e) { return [e.code, e.status, e.signal] } })(require('child_process'))",
            r#"["ETIMEDOUT",null,"SIGTERM"]"#,
        ),
        (
            "(r => [r.error.code, r.stdout.length])(require('child_process').spawnSync('yes', [], {maxBuffer: 1000}))",
            r#"["ENOBUFS",1000]"#,
        ),
        ("require('child_process').spawnSync('sh', ['-c', 'kill -9 $$']).signal", r#""SIGKILL""#),
        ("require('child_process').execSync('cat', {input: 'x'.repeat(300000)}).length", "300000"),
        ("require('child_process').execSync('exec cat', {input: 'é'}).toString()", r#""é""#),
    ]);
}
