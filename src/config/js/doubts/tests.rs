//! Programs, and where the values of their first app come from: `~` where it was only computed.

use std::fs;

use super::*;
use crate::config::js::engine::STACK_BYTES;

type Files = &'static [(&'static str, &'static str)];

/// `key = file text` of everything in the first app.
fn places(files: Files) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let world = World {
        env: std::collections::BTreeMap::new(),
        cwd: root,
        home: None,
        cpus: crate::base::Cpus::of_machine(4),
        mapping: None,
        engine: Engine::Embedded,
        reading: Reading::default(),
    };
    let orders = Orders::new(Path::new(files[0].0), &world);
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let exported =
            engine::run(orders.clone(), nothing_outside(&orders)).unwrap_or_else(|failure| panic!("{failure:?}"));
        let mut doubts = Vec::new();
        each(&exported.node, "", &mut |_, node| {
            let computed = node.span.is_some_and(|span| exported.files[span.source.0 as usize].computed);
            doubts.extend(scalar(&node.kind).filter(|_| computed));
        });
        let settled = if doubts.is_empty() { exported.clone() } else { located(&orders, &doubts).unwrap() };
        assert!(same(&settled.node, &exported.node), "{files:?}");
        let mut out = Vec::new();
        each(&settled.node, "", &mut |path, node| {
            let Some(span) = node.span else { return out.push(format!("{path} = nowhere")) };
            let file = &settled.files[span.source.0 as usize];
            let name = file.path.file_name().unwrap_or_default().to_string_lossy();
            let text = &file.text[span.start as usize..span.end as usize];
            let before = file.text[..span.start as usize].matches(text).count();
            let nth = if before == 0 { String::new() } else { format!(" #{}", before + 1) };
            out.push(format!("{path} = {}{name} {text}{nth}", if file.computed { "~" } else { "" }));
        });
        out
    });
    worker.unwrap().join().unwrap()
}

fn each(node: &Node, path: &str, visit: &mut dyn FnMut(&str, &Node)) {
    visit(path, node);
    match &node.kind {
        Kind::Sequence(items) => {
            items.iter().enumerate().for_each(|(index, item)| each(item, &format!("{path}[{index}]"), visit));
        }
        Kind::Mapping(entries) => {
            for entry in entries {
                each(&entry.value, &format!("{path}.{}", entry.key.text), visit);
            }
        }
        _ => {}
    }
}

#[track_caller]
fn check(files: Files, wanted: &[&str]) -> Option<String> {
    let got = places(files);
    let missing: Vec<_> = wanted.iter().filter(|line| !got.iter().any(|got| got == *line)).collect();
    (!missing.is_empty()).then(|| format!("{files:#?}\n  missing {missing:#?}\n  got {got:#?}"))
}

#[test]
fn numbers_are_followed_to_their_literals() {
    let table: &[(Files, &[&str])] = &[
        // Helpers, called more than once with the same value, and in each other.
        (
            &[(
                "a.js",
                "const app = (name, n) => ({ name, instances: n });\nmodule.exports = { apps: [app('a', -3), app('b', -3)] };",
            )],
            &[".apps[0].instances = a.js -3", ".apps[1].instances = a.js -3 #2"],
        ),
        (
            &[(
                "a.js",
                "const low = (n) => ({ instances: n }); const app = (name, n) => ({ name, ...low(n) });\n\
              module.exports = { apps: [app('a', -3), app('b', -3)] };",
            )],
            &[".apps[0].instances = a.js -3", ".apps[1].instances = a.js -3 #2"],
        ),
        (
            &[(
                "a.js",
                "function app(name, { n, port = 70000 } = {}) { return { name, instances: n, env: { PORT: port } }; }\n\
              module.exports = { apps: [app('a', { n: -1 }), app('b', { n: -1, port: 5 })] };",
            )],
            &[
                ".apps[0].instances = a.js -1",
                ".apps[0].env.PORT = a.js 70000",
                ".apps[1].instances = a.js -1 #2",
                ".apps[1].env.PORT = a.js 5",
            ],
        ),
        (
            &[(
                "a.js",
                "const rest = (name, ...more) => ({ name, instances: more[1] }); module.exports = { apps: [rest('a', 1, -2)] };",
            )],
            &[".apps[0].instances = a.js -2"],
        ),
        (
            &[(
                "a.js",
                "const args = ['a', -2]; const app = (name, n) => ({ name, instances: n }); module.exports = { apps: [app(...args)] };",
            )],
            &[".apps[0].instances = a.js -2"],
        ),
        // Classes.
        (
            &[(
                "a.js",
                "class App { max_restarts = -5; constructor(name, n) { this.name = name; this.instances = n; } }\n\
              module.exports = { apps: [new App('a', -3), new App('b', -3)] };",
            )],
            &[".apps[0].max_restarts = a.js -5", ".apps[0].instances = a.js -3", ".apps[1].instances = a.js -3 #2"],
        ),
        (
            &[(
                "a.js",
                "class Base { autorestart = 'x'; instances = -1 } class App extends Base { kill_timeout = -9 }\n\
              module.exports = { apps: [{ ...new App() }, Object.assign({}, new App())] };",
            )],
            &[".apps[0].instances = a.js -1", ".apps[0].kill_timeout = a.js -9", ".apps[1].instances = a.js -1"],
        ),
        (
            &[("a.js", "const app = { get instances() { return -4; }, name: 'a' }; module.exports = { apps: [app] };")],
            &[".apps[0].instances = a.js -4"],
        ),
        (
            &[(
                "a.js",
                "class A { static n = -4; #k = -6; toJSON() { return { instances: A.n, kill_timeout: this.#k }; } }\n\
              module.exports = { apps: [new A()] };",
            )],
            &[".apps[0].instances = a.js -4", ".apps[0].kill_timeout = a.js -6"],
        ),
        // Other files.
        (
            &[
                (
                    "a.js",
                    "const { port, limits: { max } } = require('./shared'); module.exports = { apps: [{ name: 'a', instances: max, env: { port } }] };",
                ),
                ("shared.js", "module.exports = { port: 70000, limits: { max: -7 } };"),
            ],
            &[".apps[0].env.port = shared.js 70000", ".apps[0].instances = shared.js -7"],
        ),
        (
            &[
                (
                    "a.js",
                    "const { a: { instances }, flag } = require('./x.json'); module.exports = { apps: [{ instances, name: flag }] };",
                ),
                ("x.json", "{ \"b\": -3, \"a\": { \"instances\": -3 },\n \"flag\": true }"),
            ],
            &[".apps[0].instances = x.json -3 #2", ".apps[0].name = x.json true"],
        ),
        (
            &[
                ("a.js", "const mk = require('./mk'); module.exports = { apps: [mk('a', -3), mk('b', -3), mk('c')] };"),
                ("mk.js", "module.exports = (name, n = -8) => ({ name, script: 's.js', instances: n });"),
            ],
            &[".apps[0].instances = a.js -3", ".apps[1].instances = a.js -3 #2", ".apps[2].instances = mk.js -8"],
        ),
        (
            &[
                (
                    "a.ts",
                    "import { mk } from './mk.ts';\nconst n: number = -3;\nexport default { apps: [mk('a', n as number), mk('b', <number>-3)] };",
                ),
                ("mk.ts", "export function mk(name: string, n: number = 0) { return { name, instances: n }; }"),
            ],
            &[".apps[0].instances = a.ts -3", ".apps[1].instances = a.ts -3 #2"],
        ),
        (
            &[
                (
                    "a.mjs",
                    "import shared, { n } from './b.mjs'; export const apps = [{ instances: n, kill_timeout: shared.k }];",
                ),
                ("b.mjs", "export const n = -2; export default { k: -6 };"),
            ],
            &[".apps[0].instances = b.mjs -2", ".apps[0].kill_timeout = b.mjs -6"],
        ),
        // Lists, entries, maps.
        (
            &[("a.js", "module.exports = { apps: [-1, -2, -1].map((n, i) => ({ name: `a${i}`, instances: n })) };")],
            &[
                ".apps[0].instances = a.js -1",
                ".apps[1].instances = a.js -2",
                ".apps[2].instances = a.js -1 #2",
                ".apps[0].name = ~a.js `a${i}`",
            ],
        ),
        (
            &[(
                "a.js",
                "const ports = { api: 70000, web: 70000 };\n\
              module.exports = { apps: Object.entries(ports).map(([name, port]) => ({ name, env: { PORT: port } })) };",
            )],
            &[".apps[0].env.PORT = a.js 70000", ".apps[1].env.PORT = a.js 70000 #2"],
        ),
        (
            &[(
                "a.js",
                "const m = new Map([['a', -1], ['b', -2]]); const apps = []; for (const [name, n] of m) apps.push({ name, instances: n });\n\
              module.exports = { apps };",
            )],
            &[".apps[0].instances = a.js -1", ".apps[1].instances = a.js -2"],
        ),
        (
            &[(
                "a.js",
                "const o = { a: -1, b: -1 }; const apps = []; for (const k in o) apps.push({ name: k, instances: o[k] });\nmodule.exports = { apps };",
            )],
            &[".apps[0].name = a.js a", ".apps[0].instances = a.js -1", ".apps[1].instances = a.js -1 #2"],
        ),
        (
            &[(
                "a.js",
                "const env = { q: 'x', w: 'y' }, apps = [{}, { q: 1 }]; for (const k in env) { apps[0][k] = [k]; const { ...o } = { k }; apps[1].name = o.k + k; }\n\
              module.exports = { apps };",
            )],
            &[
                ".apps[0].q = a.js [k] #2",
                ".apps[0].q[0] = a.js q",
                ".apps[0].w[0] = a.js w",
                ".apps[1].name = ~a.js o.k + k",
            ],
        ),
        (
            // The same key of two objects.
            &[(
                "a.js",
                "const walk = (o) => { const out = []; for (const k in o) out.push({ name: k }); return out; };\n\
              module.exports = { apps: [...walk({ q: 1, w: 2 }), ...walk({ q: 3 })] };",
            )],
            &[".apps[0].name = a.js q", ".apps[1].name = a.js w #3", ".apps[2].name = ~a.js k #3"],
        ),
        (
            &[(
                "a.js",
                "const list = [-3, -1, -2].sort((a, b) => b - a).filter((n) => n < 0).slice(1); module.exports = { apps: [{ instances: list[0] }] };",
            )],
            &[".apps[0].instances = a.js -2"],
        ),
        (
            &[(
                "a.js",
                "const base = { instances: -1 }; const copy = JSON.parse(JSON.stringify(base)); module.exports = { apps: [copy, structuredClone(base)] };",
            )],
            &[".apps[0].instances = a.js -1", ".apps[1].instances = a.js -1"],
        ),
        (
            &[(
                "a.js",
                "const base = { instances: -1, kill_timeout: -2 }; const { instances, ...rest } = base;\n\
              module.exports = { apps: [Object.assign({}, base, { instances: -5 }), { ...rest }, Object.fromEntries(Object.entries(base))] };",
            )],
            &[".apps[0].instances = a.js -5", ".apps[1].kill_timeout = a.js -2", ".apps[2].instances = a.js -1"],
        ),
        // Choices.
        (
            &[(
                "a.js",
                "const prod = process.env.NOPE; module.exports = { apps: [{ instances: prod ? -1 : -1, kill_timeout: prod || -2, listen_timeout: prod ?? -2 }] };",
            )],
            &[
                ".apps[0].instances = a.js -1 #2",
                ".apps[0].kill_timeout = a.js -2",
                ".apps[0].listen_timeout = a.js -2 #2",
            ],
        ),
        (
            &[(
                "a.js",
                "function pick(x) { if (x) { return -1; } else { return -1; } } module.exports = { apps: [{ instances: pick(0) }] };",
            )],
            &[".apps[0].instances = a.js -1 #2"],
        ),
        (
            &[(
                "a.js",
                "let n = -1; n = -2; const o = {}; o.a = n; o['b'] = o.a; module.exports = { apps: [{ instances: o.b }] };",
            )],
            &[".apps[0].instances = a.js -2"],
        ),
        (
            &[(
                "a.js",
                "module.exports = async () => { const n = await Promise.resolve(-2); return { apps: [{ instances: n }] }; };",
            )],
            &[".apps[0].instances = a.js -2"],
        ),
        (
            &[(
                "a.js",
                "const curry = (n) => (name) => ({ name, instances: n }); const low = curry(-1), high = curry(-1);\nmodule.exports = { apps: [low('a'), high('b')] };",
            )],
            &[".apps[0].instances = a.js -1", ".apps[1].instances = a.js -1 #2"],
        ),
        (
            &[(
                "a.js",
                "const deep = (n, d) => (d ? deep(n, d - 1) : { instances: n }); module.exports = { apps: [deep(-1, 3), deep(-1, 0)] };",
            )],
            &[".apps[0].instances = a.js -1", ".apps[1].instances = a.js -1 #2"],
        ),
        (
            &[
                (
                    "a.js",
                    "const merge = require('m'); module.exports = { apps: [merge({ instances: -1 }, { kill_timeout: -2 })] };",
                ),
                (
                    "node_modules/m/index.js",
                    "module.exports = (...all) => { const out = {}; for (const o of all) for (const k of Object.keys(o)) out[k] = o[k]; return out; };",
                ),
            ],
            &[".apps[0].instances = a.js -1", ".apps[0].kill_timeout = a.js -2"],
        ),
        // Booleans, null and nothing.
        (
            &[(
                "a.js",
                "const app = (name, on, off, no, zero) => ({ name, cwd: on, script: off, args: no, instances: zero });\n\
              module.exports = { apps: [app('a', true, false, null, 0), app('b', true, false, null, 0)] };",
            )],
            &[
                ".apps[0].cwd = a.js true",
                ".apps[1].cwd = a.js true #2",
                ".apps[0].script = a.js false",
                ".apps[1].script = a.js false #2",
                ".apps[0].args = a.js null",
                ".apps[1].args = a.js null #2",
                ".apps[1].instances = a.js 0 #2",
            ],
        ),
    ];
    let wrong: Vec<String> = table.iter().filter_map(|(files, wanted)| check(files, wanted)).collect();
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), table.len(), wrong.join("\n"));
}

#[test]
fn what_was_computed_blames_no_literal() {
    let table: &[(Files, &[&str])] = &[
        (
            &[(
                "a.js",
                "const n = 3; module.exports = { apps: [{ instances: -n, kill_timeout: n - 6, listen_timeout: n * -1, max_restarts: Math.min(n, -3 + 0) }] };",
            )],
            &[
                ".apps[0].instances = ~a.js -n",
                ".apps[0].kill_timeout = ~a.js n - 6",
                ".apps[0].listen_timeout = ~a.js n * -1",
            ],
        ),
        (
            &[(
                "a.js",
                "const no = -3; const list = [1, 2]; module.exports = { apps: [{ instances: parseInt('-3'), kill_timeout: -1 - list.length }] };",
            )],
            &[".apps[0].instances = ~a.js parseInt('-3')", ".apps[0].kill_timeout = ~a.js -1 - list.length"],
        ),
        (
            // The way depends on it.
            &[(
                "a.js",
                "const mode = -3, a = -3, b = -3; const pick = (m) => (m === -3 ? a : b); const o = { get n() { return pick(mode); } };\n\
              module.exports = { apps: [{ instances: o.n }] };",
            )],
            &[".apps[0].instances = ~a.js o.n"],
        ),
        (
            &[(
                "a.js",
                "const no = -1; module.exports = { apps: [{ instances: ['x'].indexOf('y'), kill_timeout: ~0 }] };",
            )],
            &[".apps[0].instances = ~a.js ['x'].indexOf('y')", ".apps[0].kill_timeout = ~a.js ~0"],
        ),
        (
            &[(
                "a.js",
                "const f = false, z = 0; module.exports = { apps: [{ name: !true, script: 1 > 2, instances: z * 5, kill_timeout: Number('') }] };",
            )],
            &[
                ".apps[0].name = ~a.js !true",
                ".apps[0].script = ~a.js 1 > 2",
                ".apps[0].instances = ~a.js z * 5",
                ".apps[0].kill_timeout = ~a.js Number('')",
            ],
        ),
        (
            &[(
                "a.js",
                "const id = (x) => x; const n = id(-2) | 0; module.exports = { apps: [{ instances: n, kill_timeout: Math.trunc(id(-2)) }] };",
            )],
            &[".apps[0].kill_timeout = ~a.js Math.trunc(id(-2))"],
        ),
        (
            &[(
                "a.js",
                "const list = [1, 2, 3]; let n = 0; for (let i = 0; i < 3; i++) n -= list[i]; module.exports = { apps: [{ instances: n, no: id(-6) }] };\nfunction id(x) { return x; }",
            )],
            &[".apps[0].no = a.js -6"],
        ),
        (
            &[(
                "a.js",
                "const list = [-3, -3]; module.exports = { apps: [{ instances: list[Math.floor(Math.random() * 2)] }] };",
            )],
            &[".apps[0].instances = ~a.js list[Math.floor(Math.random() * 2)]"],
        ),
    ];
    let wrong: Vec<String> = table.iter().filter_map(|(files, wanted)| check(files, wanted)).collect();
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), table.len(), wrong.join("\n"));
}
