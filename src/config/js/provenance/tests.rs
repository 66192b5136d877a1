//! Places, told as `path: file text`; and that marks change nothing that a program can see.

use std::fs;
use std::path::Path;

use super::super::engine::{self, STACK_BYTES};
use super::super::host::Outside;
use super::super::orders::{Failure, Orders};
use super::super::values::Exported;
use crate::config::Journal;
use crate::document::{Kind, Node, Span, to_json_text};

/// Runs the first of the files.
fn run(files: &[(&str, &str)], trace: bool) -> Result<Exported, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    run_file(&root.join(files[0].0), trace)
}

fn run_file(entry: &Path, trace: bool) -> Result<Exported, Failure> {
    let env = [("STAGE", "test"), ("HOME", "/home/app")];
    let orders = Orders {
        entry: entry.to_owned(),
        env: env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        cwd: "/".into(),
        home: None,
        cpus: 4,
        mapping: None,
        memory_bytes: 512 << 20,
        deadline_ms: 5_000,
        hermetic: None,
        mode: None,
        stringify: false,
        trace,
        aside: None,
        folders: Vec::new(),
    };
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES);
    let outside = || Outside {
        print: Box::new(|_| ()),
        ask: Box::new(|_| Err(std::io::ErrorKind::Unsupported.into())),
        journal: Journal::default(),
        refused: Box::new(|_| ()),
    };
    worker.spawn(move || engine::run(orders, outside())).unwrap().join().unwrap()
}

/// Every key and value with the text that it comes from: `apps[0].name = base.js 'x'`, `~` where it was computed.
fn places(exported: &Exported) -> Vec<String> {
    fn shown(exported: &Exported, span: Option<Span>) -> String {
        let Some(span) = span else { return "nowhere".to_owned() };
        let file = &exported.files[span.source.0 as usize];
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let text = &file.text[span.start as usize..span.end as usize];
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{}{name} {text}", if file.computed { "~" } else { "" })
    }
    fn walk(exported: &Exported, node: &Node, path: &str, out: &mut Vec<String>) {
        out.push(format!("{path} = {}", shown(exported, node.span)));
        match &node.kind {
            Kind::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    walk(exported, item, &format!("{path}[{index}]"), out);
                }
            }
            Kind::Mapping(entries) => {
                for entry in entries {
                    let path =
                        if path.is_empty() { entry.key.text.clone() } else { format!("{path}.{}", entry.key.text) };
                    out.push(format!("{path}: {}", shown(exported, entry.key.span)));
                    walk(exported, &entry.value, &path, out);
                }
            }
            _ => {}
        }
    }
    let mut out = Vec::new();
    walk(exported, &exported.node, "", &mut out);
    out
}

/// The wanted lines that are missing.
fn wrong(files: &[(&str, &str)], wanted: &[&str]) -> Option<String> {
    let exported = match run(files, true) {
        Ok(exported) => exported,
        Err(failure) => return Some(format!("{files:?}\n{failure:?}")),
    };
    let got = places(&exported);
    let missing: Vec<&&str> = wanted.iter().filter(|line| !got.iter().any(|got| got == **line)).collect();
    (!missing.is_empty()).then(|| format!("{files:?}\n  missing {missing:#?}\n  got {got:#?}"))
}

#[test]
fn values_come_from_their_bytes() {
    let table: &[(&str, &[&str])] = &[
        (
            "module.exports = { apps: [{ name: 'a', 'instances': -1, n: null, t: true, u: `x` }] };",
            &[
                "apps: a.js apps",
                "apps[0] = a.js { name: 'a', 'instances': -1, n: null, t: true, u: `x` }",
                "apps[0].name: a.js name",
                "apps[0].name = a.js 'a'",
                "apps[0].instances: a.js 'instances'",
                "apps[0].instances = a.js -1",
                "apps[0].n = a.js null",
                "apps[0].t = a.js true",
                "apps[0].u = a.js `x`",
            ],
        ),
        (
            "const path = require('path'); const port = 3; module.exports = [{ script: path.join('/a', 'b.js'), port, x: `a${port}`, \
             y: [1, 2].map(String).join(), z: process.env.STAGE || 'dev', w: 1 + port }];",
            &[
                "[0].script = ~a.js path.join('/a', 'b.js')",
                "[0].port: a.js port",
                "[0].port = a.js 3",
                "[0].x = ~a.js `a${port}`",
                "[0].y = ~a.js [1, 2].map(String).join()",
                "[0].z = ~a.js process.env.STAGE || 'dev'",
                "[0].w = ~a.js 1 + port",
            ],
        ),
        (
            "const env = { A: 1, B: 2 }; const app = (name, more) => ({ name, script: 's.js', env: { ...env, B: 3, ...more } });\n\
             module.exports = { apps: ['x', 'y'].map((n) => app(n, { C: 4 })).concat([app('z')]) };",
            &[
                "apps: a.js apps",
                "apps = ~a.js ['x', 'y'].map((n) => app(n, { C: 4 })).concat([app('z')])",
                "apps[0] = a.js { name, script: 's.js', env: { ...env, B: 3, ...more } }",
                "apps[0].script = a.js 's.js'",
                "apps[0].env.A: a.js A",
                "apps[0].env.A = a.js 1",
                "apps[0].env.B = a.js 3",
                "apps[1].env.C = a.js 4",
                "apps[2].env.B = a.js 3",
            ],
        ),
        (
            "const base = { max: 1, env: { A: 'a' } };\nconst one = Object.assign({}, base, { max: 2, name: 'n' });\n\
             one.cwd = '/srv'; one['watch'] = true; for (const k of ['x', 'y']) one[k] = 'v' + k; one.max += 1; one.env.B = 'b';\n\
             module.exports = { apps: [one] };",
            &[
                "apps[0] = a.js {}",
                "apps[0].env = a.js { A: 'a' }",
                "apps[0].env: a.js env",
                "apps[0].env.A = a.js 'a'",
                "apps[0].env.B: a.js B",
                "apps[0].env.B = a.js 'b'",
                "apps[0].name = a.js 'n'",
                "apps[0].cwd: a.js cwd",
                "apps[0].cwd = a.js '/srv'",
                "apps[0].watch: a.js 'watch'",
                "apps[0].watch = a.js true",
                "apps[0].x: a.js 'x'",
                "apps[0].x = ~a.js 'v' + k",
                "apps[0].max = ~a.js 1",
            ],
        ),
        (
            "const common = ['--a', '--b']; module.exports = [{ args: [...common, '--c', ...['--d']], l: ['z', 'y'].sort() }];",
            &[
                "[0].args[0] = a.js '--a'",
                "[0].args[1] = a.js '--b'",
                "[0].args[2] = a.js '--c'",
                "[0].args[3] = a.js '--d'",
                "[0].l[0] = a.js 'y'",
            ],
        ),
        (
            "const stage = 'test'; module.exports = { [`env_${stage}`]: { A: 1 }, ['plain']: 2, 7: 'seven', get g() { return 5 } };",
            &[
                "env_test: ~a.js `env_${stage}`",
                "env_test = a.js { A: 1 }",
                "env_test.A = a.js 1",
                "plain: a.js 'plain'",
                "plain = a.js 2",
                "7: a.js 7",
                "g: a.js g",
                "g = ~a.js g",
            ],
        ),
        (
            "class App { constructor(name) { this.name = name; this.script = 's.js'; } }\nmodule.exports = [new App('x')];",
            &["[0].name: a.js name", "[0].name = a.js 'x'", "[0].script = a.js 's.js'", "[0] = ~a.js new App('x')"],
        ),
        (
            "exports.apps = [{ name: 'é😀',\r\n  bad: 1 }];\nexports.deploy = make();\nfunction make() { return JSON.parse('{\"a\": 1}'); }",
            &[
                "apps: a.js apps",
                "apps[0].bad: a.js bad",
                "apps[0].bad = a.js 1",
                "deploy = ~a.js make()",
                "deploy.a = ~a.js make()",
            ],
        ),
        (
            "module.exports = build(); function build() { return JSON.parse('{\"a\": [1]}'); }",
            &[" = ~a.js build()", "a: ~a.js build()", "a[0] = ~a.js build()"],
        ),
        (
            "const o = { a: 1 }; Object.defineProperty(o, 'a', { value: 2, enumerable: true }); module.exports = Object.freeze(o);",
            &["a: a.js a", "a = ~a.js a"],
        ),
        (
            "module.exports = async () => ({ apps: await Promise.all(['x'].map(async (name) => ({ name, ...(await extra()), b: 2 }))) });\n\
             const extra = async () => ({ c: 3 });",
            &["apps[0].b = a.js 2", "apps[0].c = ~a.js (await extra())"],
        ),
        (
            "module.exports = new Proxy({ a: { b: 1 } }, {});",
            &[
                " = ~a.js new Proxy({ a: { b: 1 } }, {})",
                "a = a.js { b: 1 }",
                "a.b = a.js 1",
                "a: ~a.js new Proxy({ a: { b: 1 } }, {})",
            ],
        ),
        (
            "module.exports = [, 1, undefined, () => 2];",
            &["[0] = ~a.js [, 1, undefined, () => 2]", "[1] = a.js 1", "[2] = ~a.js undefined"],
        ),
        ("module.exports = 42;", &[" = a.js 42"]),
    ];
    let wrong: Vec<String> = table.iter().filter_map(|(text, wanted)| wrong(&[("a.js", text)], wanted)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn values_come_from_other_files() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let table: &[Case<'_>] = &[
        (
            &[
                (
                    "a.js",
                    "const { app } = require('./lib/base'); const ports = require('./ports.json');\nmodule.exports = { apps: [{ ...app, ...ports, env: ports.env }] };",
                ),
                ("lib/base.js", "\u{feff}#!/usr/bin/env node\nexports.app = { name: 'x', instances: 2 };"),
                ("ports.json", "{\"port\": 80, \"env\": {\"A\": [1]}}"),
            ],
            &[
                "apps[0].name = base.js 'x'",
                "apps[0].name: base.js name",
                "apps[0].instances = base.js 2",
                "apps[0].port: ports.json \"port\"",
                "apps[0].port = ports.json 80",
                "apps[0].env = ports.json {\"A\": [1]}",
                "apps[0].env.A[0] = ports.json 1",
            ],
        ),
        (
            &[
                (
                    "a.mjs",
                    "import { app } from './b.mjs';\nimport ports from './p.json' with { type: 'json' };\nexport const apps = [{ ...app, port: ports.web, ...ports }];\nexport const deploi = 1;",
                ),
                ("b.mjs", "export const app = { name: 'x' };"),
                ("p.json", "{\"web\": 80}"),
            ],
            &[
                "apps: a.mjs apps",
                "apps[0].name = b.mjs 'x'",
                "apps[0].port = p.json 80",
                "apps[0].web = p.json 80",
                "deploi: a.mjs deploi",
                "deploi = a.mjs 1",
            ],
        ),
        (
            &[("a.mjs", "const x = 'm';\nexport default { apps: [{ name: 'n', mode: x }] };")],
            &["apps: a.mjs apps", "apps[0].name = a.mjs 'n'", "apps[0].mode = a.mjs 'm'"],
        ),
        (
            &[("a.mjs", "export default async ({ env }) => ({ apps: [{ name: env.STAGE }] });")],
            &["apps: a.mjs apps", "apps[0].name = ~a.mjs env.STAGE"],
        ),
        (
            &[
                ("a.js", "const merge = require('merge-it');\nmodule.exports = { apps: [merge({ a: 1 }, { b: 2 })] };"),
                (
                    "node_modules/merge-it/index.js",
                    "module.exports = (...all) => { const out = {}; for (const one of all) for (const k in one) out[k] = one[k]; return out; };",
                ),
            ],
            &["apps[0] = ~a.js merge({ a: 1 }, { b: 2 })", "apps[0].a: ~a.js merge({ a: 1 }, { b: 2 })"],
        ),
    ];
    let wrong: Vec<String> = table.iter().filter_map(|(files, wanted)| wrong(files, wanted)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn values_keep_their_place_through_names() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let table: &[Case<'_>] = &[
        // Texts, through whatever carries them.
        (
            &[(
                "a.js",
                "const app = (name, mode = 'fork') => ({ name, mode, script: `${name}.js` });\n\
                 const map = new Map([['k', 'from a map']]); class C { kind = 'field' }\n\
                 const [first, , third = 'third'] = ['one', 'two']; const { deep: { x: y } } = { deep: { x: 'inner' } };\n\
                 module.exports = [app('web'), app('api', 'cluster'), ...['p', 'q'].map((name) => ({ name })), \
                 { a: map.get('k'), b: new C().kind, c: first, d: third, e: y, f: process.env.NOPE || 'else', g: 'a,b'.split(',')[1], \
                 h: ' x '.trim(), i: 'q' + first, j: [...new Set(['s', 's'])][0], k: Object.values({ z: 'held' })[0] }];",
            )],
            &[
                "[0].name = a.js 'web'",
                "[0].mode = a.js 'fork'",
                "[0].script = ~a.js `${name}.js`",
                "[1].name = a.js 'api'",
                "[1].mode = a.js 'cluster'",
                "[2].name = a.js 'p'",
                "[3].name = a.js 'q'",
                "[4].a = a.js 'from a map'",
                "[4].b = a.js 'field'",
                "[4].c = a.js 'one'",
                "[4].d = a.js 'third'",
                "[4].e = a.js 'inner'",
                "[4].f = a.js 'else'",
                "[4].g = ~a.js 'a,b'",
                "[4].h = ~a.js ' x '",
                "[4].i = ~a.js 'q' + first",
                "[4].j = a.js 's'",
                "[4].k = a.js 'held'",
            ],
        ),
        (
            &[
                ("a.mjs", "import make, { MODE } from './lib/make.mjs';\nexport default [make('x', MODE)];"),
                (
                    "lib/make.mjs",
                    "export const MODE = 'cluster';\nexport default (name, mode) => ({ name, mode, kind: 'made' });",
                ),
            ],
            &["[0].name = a.mjs 'x'", "[0].mode = make.mjs 'cluster'", "[0].kind = make.mjs 'made'"],
        ),
        // Numbers and booleans, as far as the text says it.
        (
            &[(
                "a.js",
                "const N = 4, M = -1; let moved = 5; moved++; const defaults = { watch: true, n: 7 };\n\
                 function app(name, instances, { port, cwd = null } = {}) { return { name, instances, port, cwd } }\n\
                 const list = [{ p: 1 }, { p: 2 }];\n\
                 module.exports = [{ a: N, b: M, c: moved, d: defaults.watch, e: N > 3 ? 8 : 9, f: N + 1, N },\n\
                 app('x', 2, { port: 80 }), app('y', 3), ...list.map(({ p }) => ({ p })), ...list.map((one) => ({ q: one.p }))];\n\
                 for (const r of [11, 12]) module.exports.push({ r });",
            )],
            &[
                "[0].a = a.js 4",
                "[0].b = a.js -1",
                "[0].c = ~a.js moved",
                "[0].d = a.js true",
                "[0].e = a.js 8",
                "[0].f = ~a.js N + 1",
                "[0].N = a.js 4",
                "[1].instances = a.js 2",
                "[1].port = a.js 80",
                "[1].cwd = a.js null",
                "[2].instances = a.js 3",
                "[3].p = a.js 1",
                "[4].p = a.js 2",
                "[5].q = a.js 1",
                "[6].q = a.js 2",
                "[7].r = a.js 11",
                "[8].r = a.js 12",
            ],
        ),
        // Where two may be meant, or somebody else may have called, the place is where the value is used.
        (
            &[
                (
                    "a.js",
                    "const same = (n) => ({ n }); const { given } = require('./lib');\n\
                     let late = 1; const read = () => late; late = 2; var twice = 6; var twice = 6;\n\
                     const shadow = 3; const inner = (() => { const shadow = Number('3'); return { shadow } })();\n\
                     module.exports = [same(1), same(1), given(5), { late: read(), twice }, inner];",
                ),
                ("lib.js", "const given = (n) => ({ n }); given(5); exports.given = given;"),
            ],
            &[
                "[0].n = ~a.js n",
                "[1].n = ~a.js n",
                "[2].n = ~lib.js n",
                "[3].late = ~a.js read()",
                "[3].twice = ~a.js twice",
                "[4].shadow = ~a.js Number('3')",
            ],
        ),
        (
            &[
                (
                    "a.js",
                    "const p = require('./p.json'), l = require('./l');\nmodule.exports = [{ web: p.web, name: p.name, n: l.N, t: l.sub.t }];",
                ),
                ("p.json", "{\"web\": 80, \"name\": \"from json\"}"),
                ("l.js", "exports.N = 3; exports.sub = { t: false };"),
            ],
            &["[0].web = p.json 80", "[0].name = p.json \"from json\"", "[0].n = l.js 3", "[0].t = l.js false"],
        ),
    ];
    let wrong: Vec<String> = table.iter().filter_map(|(files, wanted)| wrong(files, wanted)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn of_equal_texts_the_one_that_came_is_told() {
    let text =
        "let mode = 'zz'; const later = () => ({ mode: 'zz' });\n({ mode } = later());\nmodule.exports = [{ mode }];";
    let exported = run(&[("a.js", text)], true).unwrap();
    let Kind::Sequence(items) = &exported.node.kind else { panic!("a list") };
    let span = items[0].get("mode").and_then(|mode| mode.span).unwrap();
    assert_eq!(span.start as usize, text.rfind("'zz'").unwrap());
}

/// Programs whose value is the same whether they are marked or not; each is marked, so that this says something.
const SEMANTICS: &[&str] = &[
    "'use strict'; module.exports = [(function () { return this === undefined })(), { a: 1 }]",
    "module.exports = [(function () { return typeof this })(), [1]]",
    "const f = ({ a = { b: 1 }, ...rest }, [c = [2], d] = [3, 4], { e: { g } = { g: 5 } } = {}) => ({ a, rest, c, d, g });\nmodule.exports = f({ z: 1 })",
    "let a, b, c; ({ a, b: [c = { d: 1 }] } = { a: { x: 1 }, b: [] }); [b, ...a] = [1, 2, 3]; module.exports = { a, b, c }",
    "const f = function (x) { return { x: [x, 1] } /* c */ };\nmodule.exports = [f.toString(), String((a) => [a]), (class A { m() { return {a:1} } }).toString(), ({ m() { return[1] } }).m + '']",
    "module.exports = [Object.assign.name, Object.assign.length, Object.assign.toString(), Function.prototype.toString.call(Object.assign), Object.keys(globalThis).includes('$pmrun'), Function.prototype.toString.name]",
    "function f() { return{a:1} } function g(){ switch (1) { case[1][0]: return[2] } }\nmodule.exports = [f(), g(), typeof{}, typeof[], void{}, [...'ab'].length, 'x'in{x:1}, delete{}.a]",
    "const tag = (s, ...v) => ({ raw: s.raw, v }); module.exports = [tag`a${{ b: 1 }.b}c\\n${[1]}`, `x${`y${[{ z: 1 }][0].z}`}`, /[{]\\/(a)/.source]",
    "let x = 1\nx++\n;[1, 2].forEach((n) => { x += n })\nlet y = x\n/* c */ ;({ y } = { y })\nmodule.exports = { x, y }",
    "let i = 0\ni++\n[1].length\nmodule.exports = [i]",
    "function f() { return\n{ a: 1 } }\nmodule.exports = [f()]",
    "function* g() { const x = yield [1]; yield { x, ...(yield x) }; yield\n[2] }\nconst it = g(); module.exports = [it.next(), it.next(5), it.next({ q: 1 }), it.next(), it.next()]",
    "const o = { get a() { return { n: this.n++ } }, n: 1, set b(v) { this.c = v } }; o.b = [1]; module.exports = { x: o.a, y: o.a, o }",
    "class A { static s = { a: 1 }; #p = [1]; f = { g: 2 }; static { A.t = { u: [3] } } get p() { return this.#p } inc() { this.#p[0]++; return this } }\nclass B extends A { constructor() { super(); this.k = super.inc().p } }\nmodule.exports = [new B(), A.s, A.t, new B().p, { ...new A() }]",
    "const o = { m() { return this === o }, n: { k() { return this === o.n } } }; module.exports = [o.m(), o.n.k(), o['m'](), (o.m)(), o?.m(), o.n?.['k']()]",
    "let log = []; const t = (n, v) => (log.push(n), v); t(1, {})[t(2, 'k')] = t(3, 4); const a = [0]; let i = 0; a[i++] += 10; a[i] = i = 5; module.exports = { log, a, i }",
    "'use strict'; const o = Object.freeze({ a: 1 }); let e; try { o.a = 2 } catch (x) { e = x.constructor.name } module.exports = [o, e]",
    "const p = new Proxy({}, { get: (t, k) => String(k), set: (t, k, v) => { t[k] = v; return true }, has: () => true }); p.x = 1; module.exports = [p.foo, p.x, 'y' in p]",
    "const s = new Set([1, ...[2, 3]]); const m = new Map(Object.entries({ a: 1 })); module.exports = [[...s], [...m], Math.max(...[1, 2]), { ...'ab', ...null, ...undefined, ...[7] }]",
    "function f() { return [arguments.length, ...arguments] } module.exports = [f(1, ...[2, 3]), f.call({}, { a: 1 }), f.apply(null, [1])]",
    "module.exports = [new (class { a = [1] })(), new Date(0).toISOString(), new (require('url').URL)('http://a/b').host, new Array(3).length, new Object().x, new function () { this.q = { r: 1 } }]",
    "var r = []; for (const { a, b = [1] } of [{ a: 1 }]) r.push(a, b); for (var k in { p: 1 }) r.push(k); for (let i = 0, l = [1, 2]; i < l.length; i++) r.push(l[i]); for ([r[9]] of [[8]]); module.exports = r",
    "label: for (;;) { { break label } }\nif (1) { module.exports = { a: 1 } } else { }",
    "const a = null ?? { b: [1] }, c = a?.b?.[0], d = a && { e: 1 }, f = (1, [2]), g = a.b ? { h: 1 } : [3]; module.exports = { a, c, d, f, g }; a.z ??= { y: 1 }; a.z ||= 1; a.w &&= 1",
    "try { throw { code: [1] } } catch ({ code: [n] = [0] }) { module.exports = { n } } finally { [1] }",
    "module.exports = (function () { try { return { a: 1 } } finally { ({}) } })()",
    "module.exports = eval('({ a: [1], b: this === module.exports })'); module.exports.f = new Function('a', 'return { a }')(3)",
    "const a = { f: () => {}, g: function () {}, h: class {}, ['i']: () => {} }; a.j = () => {}; let k = () => {}; module.exports = [a.f.name, a.g.name, a.h.name, a.i.name, a.j.name, k.name]",
    "module.exports = { __proto__: { inherited: [1] }, 'a b': 1, 0x10: 2, 1e3: 3, 'x': { __proto__: null, y: 1 }, async: 1, get: 2, set: 3, static: 4, of: 5, let: 6, new: 7 }",
    "var undefined_ = typeof nowhere; module.exports = [undefined_, (() => { try { nowhere } catch (e) { return e.message } })(), (() => { try { nowhere() } catch (e) { return e.name } })()]",
    "const o = {}; let e; try { o.a.b.c } catch (x) { e = [x instanceof TypeError, x.message] } module.exports = e.slice(0, 1)",
    "<!-- an old comment\nmodule.exports = [1 <!--x\n]\n--> another\n",
    "if (true) function f() { return [1] }\nmodule.exports = [f(), typeof f]; do { var q = { a: 1 } } while (false) module.exports.push(q)",
    "const big = { n: 10n ** 20n, s: '\\u{1F600}', r: /x/giu.flags, t: [1_000, 0b11, 0o17, .5, 5.] }; module.exports = { ...big, n: String(big.n) }",
    "with_(); function with_() { module.exports = [[], {}, [[]], [{}], {a:{}}, {a:[]}] }",
    "with ({ a: [1] }) { module.exports = { a } }",
    "const { a: { b: [c] }, ...d } = { a: { b: [{ e: 1 }] }, f: 2 }; module.exports = { c, d }",
    "async function f() { const r = []; for await (const x of [Promise.resolve({ a: 1 }), { a: 2 }]) r.push(x); return { r, ...(await { b: 3 }), c: [...await [4]] } }\nmodule.exports = f()",
    "module.exports = [[3, 1, 2].sort(), [1, 2].reverse(), [, 1, , 2,].length, [...[, 1]].length, Array.from({ length: 2 }, (_, i) => ({ i }))]",
    "let a = { n: 1 }; a.n++; ++a.n; a.n--; a['n'] += 1; a.m = a.n = 7; delete a.n; module.exports = a",
    "const w = new WeakMap(), k = {}; w.set(k, { a: 1 }); module.exports = [w.get(k), structuredClone({ a: [1] }), JSON.parse(JSON.stringify({ a: [{}] }))]",
    "var a = 1, b = 2\n[a, b] = [b, a]\nmodule.exports = [a, b]",
    "const x = { a: 1 }/* c */, y = [1] // d\nmodule.exports = { x, y,/* e */ z: [ /* f */ ], /* g */ }",
    "let s = Symbol('q'); const o = { [s]: 1, a: 2 }; module.exports = [Object.getOwnPropertySymbols(o).length, Reflect.ownKeys(o).length, Object.getOwnPropertyNames(o), Object.isExtensible(o)]",
    "Object.assign = () => ({ mine: [1] }); module.exports = Object.assign({}, { a: 1 })",
    "module.exports = [typeof $pmrun_, new Error('x').message, (() => { try { null.x } catch (e) { return e.constructor === TypeError } })()]",
];

#[test]
fn marks_change_no_value() {
    let differ: Vec<String> = SEMANTICS
        .iter()
        .filter_map(|text| {
            let shown = |trace| match run(&[("a.js", text)], trace) {
                Ok(exported) => to_json_text(&exported.node),
                Err(failure) => format!("error: {}", failure.message),
            };
            let (with, without) = (shown(true), shown(false));
            let same = with == without && !with.starts_with("error");
            (!same).then(|| format!("{text}\n  with    {with}\n  without {without}"))
        })
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn programs_are_marked() {
    let unmarked: Vec<&&str> = SEMANTICS
        .iter()
        .filter(|text| {
            super::rewrite::rewrite(text, super::Shape::CommonJs, &[], (0, 0), &super::Trial::default())
                .is_none_or(|done| done.sites.is_empty())
        })
        .filter(|text| !text.contains("with (") && !text.contains("$pmrun"))
        .collect();
    assert!(unmarked.is_empty(), "{unmarked:#?}");
}

#[test]
fn real_programs_mean_the_same_and_every_value_has_a_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/programs");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    assert!(files.len() >= 20);
    let mut wrong = Vec::new();
    for file in files {
        let shown = |trace| match run_file(&file, trace) {
            Ok(exported) => (to_json_text(&exported.node), places(&exported)),
            Err(failure) => (format!("error: {failure:?}"), Vec::new()),
        };
        let ((with, places), (without, _)) = (shown(true), shown(false));
        if with != without || with.starts_with("error") {
            wrong.push(format!("{}\n  with    {with}\n  without {without}", file.display()));
        }
        wrong.extend(
            places
                .iter()
                .filter(|place| place.ends_with("nowhere") && !place.starts_with(" ="))
                .map(|at| format!("{}: {at}", file.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_name_holds_was_computed_where_it_was_made() {
    let table: &[(&str, &[&str])] = &[
        (
            "const base = 'x'; const q = base + 'y'; const r = q; module.exports = { q, r, s: q, t: [q] };",
            &["q = ~a.js base + 'y'", "r = ~a.js base + 'y'", "s = ~a.js base + 'y'", "t[0] = ~a.js base + 'y'"],
        ),
        (
            "const path = require('path'); const n = 5; const a = path.join('a', 'b'), b = String(n), c = `${n}y`,\n\
             d = ['a', 'b'].join(''), e = 'abc'.replace('a', 'z'), f = 2 * n, g = process.env.NOPE || 2 * 3;\n\
             module.exports = { a, b, c, d, e, f, g };",
            &[
                "a = ~a.js path.join('a', 'b')",
                "b = ~a.js String(n)",
                "c = ~a.js `${n}y`",
                "d = ~a.js ['a', 'b'].join('')",
                "e = ~a.js 'abc'.replace('a', 'z')",
                "f = ~a.js 2 * n",
                "g = ~a.js process.env.NOPE || 2 * 3",
            ],
        ),
        (
            "const app = (name, { max }) => ({ name, max }); const { pid } = { pid: 1 + process.pid };\n\
             module.exports = [app('a' + 1, { max: 2 * 3 })].concat({ pid });",
            &["[0].name = ~a.js 'a' + 1", "[0].max = ~a.js 2 * 3", "[1].pid = ~a.js 1 + process.pid"],
        ),
        // Of what is given more than once, only the use is certain.
        (
            "let q = 1 + 1; q = 2 + 2; const app = (name) => ({ name }); const o = {}; o.z = q;\n\
             module.exports = [{ q }, app('a' + 1), app('b' + 1), o];",
            &["[0].q = ~a.js q", "[1].name = ~a.js name", "[2].name = ~a.js name", "[3].z = ~a.js q"],
        ),
    ];
    let failed: Vec<String> = table.iter().filter_map(|(text, wanted)| wrong(&[("a.js", text)], wanted)).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn an_equal_text_behind_the_texts_back_is_not_the_written_one() {
    let table: &[(&str, &[&str])] = &[
        (
            "const a = { x: 'one', y: 'one' }; Reflect.set(a, 'x', ['o', 'ne'].join('')); module.exports = a;",
            &["x = ~a.js 'one'", "y = a.js 'one'"],
        ),
        (
            "const a = { x: 'one' }; Object.defineProperty(a, 'x', { value: 'o' + 'ne' }); module.exports = [a, { ...a }];",
            &["[0].x = ~a.js 'one'", "[1].x = ~a.js 'one'"],
        ),
        ("const a = { x: 'one' }; Reflect.set(a, 'x', a.x.trim()); module.exports = a;", &["x = a.js 'one'"]),
    ];
    let failed: Vec<String> = table.iter().filter_map(|(text, wanted)| wrong(&[("a.js", text)], wanted)).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_marks_word_in_a_text_or_a_comment_costs_no_places() {
    let text = "// $pmrun is not $pmrun's\nmodule.exports = { a: 'of $pmrun', b: 5 };";
    assert_eq!(wrong(&[("a.js", text)], &["a = a.js 'of $pmrun'", "b = a.js 5"]), None);
    let named = "const $pmrun = 1; module.exports = { b: $pmrun };";
    assert_eq!(
        run(&[("a.js", named)], true).map(|it| it.node.kind),
        run(&[("a.js", named)], false).map(|it| it.node.kind)
    );
}

#[test]
fn keys_that_are_copied_keep_their_place() {
    let base = "const b = { name: 'a',\n  instnaces: 2, 'x-y': 3, ['z' + 1]: 4 }, r = {};\n";
    let told = ["instnaces: a.js instnaces", "x-y: a.js 'x-y'", "name: a.js name", "name = a.js 'a'", "z1: ~a.js k"];
    for copy in [
        "for (const [k, v] of Object.entries(b)) r[k] = v; module.exports = r",
        "Object.keys(b).forEach((k) => { r[k] = b[k] }); module.exports = r",
        "Object.entries(b).filter(([k]) => k).sort().map(([k, v]) => { r[k] = v }); module.exports = r",
    ] {
        let text = format!("{base}{copy}");
        assert_eq!(wrong(&[("a.js", &text)], &told), None);
    }
    for (text, told) in [
        // The engine has these names only once, wherever they come from.
        ("const b = { foo: 1 }, r = {}; for (const k in b) { r[k] = b[k] } module.exports = r", "foo: a.js foo"),
        ("const f = (o, k, v) => { o[k] = v; return o };\nmodule.exports = f({}, 'foo', 1)", "foo: a.js 'foo'"),
        ("const k = 'fo' + 'o', r = {}; r[k] = 1; module.exports = r", "foo: ~a.js k"),
        ("const r = {}; for (const k of 'bar foo'.split(' ')) r[k] = 1; module.exports = r", "foo: ~a.js 'bar foo'"),
        ("const r = {}; r['foo'] = 1; module.exports = r", "foo: a.js 'foo'"),
        (
            "const [a, b] = [{ foo: 1 }, { foo: 2 }], r = {};\nObject.keys(b).map((k) => r[k] = a[k]); module.exports = r",
            "foo: a.js foo",
        ),
    ] {
        assert_eq!(wrong(&[("a.js", text)], &[told]), None);
    }
    let text = "const a = { b: 1, c: 2 }; Object.defineProperty(a, 'd', { value: 1 }); a.e = 3;\n\
                module.exports = [Object.keys(a), Object.entries(a), Object.keys('ab'), Object.entries([5]), Object.keys.name, Object.entries.length]";
    let exported = run(&[("a.js", text)], true).unwrap();
    let want = r#"[["b","c","e"],[["b",1],["c",2],["e",3]],["0","1"],[["0",5]],"keys",1]"#;
    assert_eq!(to_json_text(&exported.node).split_whitespace().collect::<String>(), want);
}

/// Of a number or a boolean nobody knows more than that it is equal: where it may come from elsewhere, it is computed.
#[test]
fn what_may_have_been_written_over_is_not_blamed() {
    let app = "const app = (name, v) => ({ name, instances: v });\nmodule.exports = { apps: [app('b', 14), app('a', ";
    // Each is the length of `/home/app` and 5, which only the program knows.
    for (before, value) in [
        ("const o = {}; o.k = process.env.HOME.length + 5;", "o.k"),
        ("const o = {}; o['k'] = process.env.HOME.length + 5;", "o.k"),
        ("const o = {}; for (const k of ['k']) o[k] = process.env.HOME.length + 5;", "o.k"),
        ("const o = {}; o.k ??= process.env.HOME.length + 5;", "o.k"),
        ("const o = {}; Object.assign(o, { k: process.env.HOME.length + 5 });", "o.k"),
        ("const o = {}; [o.k] = [process.env.HOME.length + 5];", "o.k"),
        ("const o = {}; ({ a: o.k } = { a: process.env.HOME.length + 5 });", "o.k"),
        ("const o = {}; for (o.k of [process.env.HOME.length + 5]);", "o.k"),
        ("const o = {}; const p = o; p.k = process.env.HOME.length + 5;", "o.k"),
        ("const o = {}; const set = (x) => { x.k = process.env.HOME.length + 5 }; set(o);", "o.k"),
        ("const o = { k: 14 }; o.k = process.env.HOME.length + 5; const n = o.k;", "n"),
        ("const o = { k: 14 }; o.k = process.env.HOME.length + 5; const { k } = o;", "k"),
        ("const o = { k: 1, set() { this.k = process.env.HOME.length + 5 } }; o.set();", "o.k"),
        ("const up = { k: process.env.HOME.length + 5 }, o = { __proto__: up };", "o.k"),
    ] {
        let text = format!("{before}\n{app}{value})] }};");
        let exported = run(&[("a.js", &text)], true).unwrap();
        let places = places(&exported);
        assert!(!places.iter().any(|place| place == "apps[1].instances = a.js 14"), "{text}\n{places:#?}");
        let computed = places.iter().any(|place| place.starts_with("apps[1].instances = ~a.js"));
        assert!(computed, "{text}\n{places:#?}");
    }
    for write in [
        "[o.instances] = [n]",
        "({ a: o['instances'] } = { a: n })",
        "for (o.instances of [n]);",
        "Object.defineProperty(o, 'instances', { value: n, enumerable: true })",
        "Object.defineProperties(o, { instances: { value: n, enumerable: true } })",
        "Reflect.defineProperty(o, 'instances', { value: n, enumerable: true })",
        "Reflect.set(o, 'instances', n)",
    ] {
        let text = format!(
            "const n = process.env.HOME.length + 5; const o = {{ max: 2, instances: 14 }};\n{write}; module.exports = {{ apps: [o] }};"
        );
        let places = places(&run(&[("a.js", &text)], true).unwrap());
        assert!(places.iter().any(|place| place.starts_with("apps[0].instances = ~a.js")), "{text}\n{places:#?}");
        assert!(places.iter().any(|place| place == "apps[0].max = a.js 2"), "{text}\n{places:#?}");
    }
    for text in [
        "const list = [14, 2]; list[0] = process.env.HOME.length + 5; module.exports = { apps: list.map((n) => ({ instances: n })) };",
        "const list = [14, 2]; list.fill(process.env.HOME.length + 5); module.exports = { apps: list.map((n) => ({ instances: n })) };",
        "const list = [{ n: 14 }]; list[0].n = process.env.HOME.length + 5; module.exports = { apps: list.map((a) => ({ instances: a.n })) };",
        "const list = [{ n: 14 }]; list.filter((a) => a)[0].n = process.env.HOME.length + 5; module.exports = { apps: list.map((a) => ({ instances: a.n })) };",
        "const list = [{ n: 14 }]; for (const a of list) a.n = process.env.HOME.length + 5; module.exports = { apps: list.map((a) => ({ instances: a.n })) };",
        "const list = [{ n: 14 }]; list.forEach((a) => { a.n = process.env.HOME.length + 5 }); module.exports = { apps: list.map(({ n }) => ({ instances: n })) };",
        "const defaults = { instances: true }; defaults.instances = process.env.HOME !== undefined; const n = defaults.instances;\n\
         module.exports = { apps: [{ instances: n }] };",
    ] {
        let exported = run(&[("a.js", text)], true).unwrap();
        let places = places(&exported);
        assert!(places.iter().any(|place| place.starts_with("apps[0].instances = ~a.js")), "{text}\n{places:#?}");
    }
}

#[test]
fn fields_of_classes_stand_where_they_are_declared() {
    let text = "class App {\n  name = 'a';\n  instnaces = 2;\n  env = { A: 1 } // it\n  f = () => this.name\n}\n\
                const a = new App(); module.exports = { ...a, called: a.f(), f: a.f.name };";
    let exported = run(&[("a.js", text)], true).unwrap();
    let found = places(&exported);
    for want in
        ["instnaces: a.js instnaces", "instnaces = a.js 2", "env: a.js env", "env.A = a.js 1", "name = a.js 'a'"]
    {
        assert!(found.iter().any(|line| line == want), "{want}\n{found:#?}");
    }
    let said = |key: &str| exported.node.get(key).and_then(Node::as_str).unwrap().to_owned();
    assert_eq!((said("called"), said("f")), ("a".to_owned(), "f".to_owned()));
}

#[test]
fn a_computed_field_stands_over_the_field_of_the_base() {
    let base = "class App { n = 5; constructor() { this.m = 1 } }\n";
    for (field, want) in [
        ("n = Number('5');", "n = ~a.js Number('5')"),
        ("n = f()", "n = ~a.js f()"),
        ("n = (f())\n", "n = ~a.js "),
        ("n = (2) + 3;", "n = ~a.js "),
        ("n = f() ?? 2;", "n = ~a.js f() ?? 2"),
        ("'n' = f();", "n = ~a.js f()"),
        ("[k] = f();", ""),
        ("['n'] = 5;", ""),
    ] {
        for class in ["class Api extends App", "const mix = (A) => class extends A"] {
            let made = if class.starts_with("const") { "new (mix(App))()" } else { "new Api()" };
            let text = format!(
                "const k = 'n', f = () => 5;\n{base}{class} {{\n {field} }}\nconst a = {made};\n\
                 module.exports = {{ a, text: String(a.constructor) }};"
            );
            let exported = run(&[("a.js", &text)], true).unwrap();
            assert_eq!(exported.node.get("a").and_then(|a| a.get("n")).map(|n| &n.kind), Some(&Kind::Number(5.0)));
            let own = exported.node.get("text").and_then(Node::as_str).unwrap().to_owned();
            assert!(own.contains("[native code]") || text.contains(&own), "{own}");
            let found = places(&exported);
            let place = found.iter().find(|line| line.contains("a.n = ")).unwrap_or_else(|| panic!("{found:#?}"));
            assert!(place.contains(want), "{text}\n{place}");
            assert!(!place.ends_with("= a.js 5"), "{text}\n{place}");
        }
    }
}
