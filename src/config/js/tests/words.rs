//! What goes wrong in a program, in the words and at the places of Node 20.

use super::{Case, check, check_failure};
use crate::config::js::doubts;
use crate::config::js::engine::STACK_BYTES;
use crate::config::js::orders::Aside;
use crate::diag::Code;

fn told(table: &[(&str, &str)]) {
    let wrong: Vec<String> = table.iter().filter_map(|(text, want)| check_failure(&[("a.js", text)], want)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_that_are_used_too_early() {
    told(&[
        (
            "console.log(a); let a = 1",
            "a.js:1:13: config threw: ReferenceError: Cannot access 'a' before initialization",
        ),
        (
            "const f = () => b;\nf();\nconst b = 2",
            "a.js:1:17: config threw: ReferenceError: Cannot access 'b' before initialization",
        ),
        ("const a = a + 1", "a.js:1:11: config threw: ReferenceError: Cannot access 'a' before initialization"),
        (
            "class B extends C {} class C {}",
            "a.js:1:17: config threw: ReferenceError: Cannot access 'C' before initialization",
        ),
        (
            "function f(a = b, b) {} f()",
            "a.js:1:16: config threw: ReferenceError: Cannot access 'b' before initialization",
        ),
        (
            "module.exports = { apps: [{ script: name }] }; const name = 'x'",
            "a.js:1:37: config threw: ReferenceError: Cannot access 'name' before initialization",
        ),
        ("{ let b; b } b", "a.js:1:14: config threw: ReferenceError: b is not defined"),
        ("new Missing()", "a.js:1:5: config threw: ReferenceError: Missing is not defined"),
        ("'use strict'; x = 5", "a.js:1:15: config threw: ReferenceError: x is not defined"),
    ]);
}

#[test]
fn what_cannot_be_iterated_or_taken_apart() {
    told(&[
        ("for (const x of 5) {}", "a.js:1:17: config threw: TypeError: 5 is not iterable"),
        ("const n = 5; const a = [...n]", "a.js:1:28: config threw: TypeError: n is not iterable"),
        ("const n = {}; const [a] = n", "a.js:1:27: config threw: TypeError: n is not iterable"),
        ("const a = { b: {} };\nfor (const x of a.b) {}", "a.js:2:19: config threw: TypeError: a.b is not iterable"),
        ("Math.max(...{})", "a.js:1:13: config threw: TypeError: {} is not iterable"),
        ("(() => 1)(...undefined)", "a.js:1:14: config threw: TypeError: undefined is not iterable"),
        (
            "module.exports = [...process.env.NOPE]",
            "a.js:1:34: config threw: TypeError: process.env.NOPE is not iterable",
        ),
        (
            "Object.fromEntries(5)",
            "a.js:1:8: config threw: TypeError: number is not iterable (cannot read property Symbol(Symbol.iterator))",
        ),
        (
            "function f({ a }) {}\nf()",
            "a.js:1:14: config threw: TypeError: Cannot destructure property 'a' of 'undefined' as it is undefined.",
        ),
        (
            "const { a: { b } } = {}",
            "a.js:1:14: config threw: TypeError: Cannot read properties of undefined (reading 'b')",
        ),
        ("let v = null; v.x = 1", "a.js:1:17: config threw: TypeError: Cannot set properties of null (setting 'x')"),
        ("Object.keys(null)", "a.js:1:8: config threw: TypeError: Cannot convert undefined or null to object"),
    ]);
}

#[test]
fn steps_of_optional_chains() {
    let read = |at: &str, name: &str| {
        format!("a.js:{at}: config threw: TypeError: Cannot read properties of undefined (reading '{name}')")
    };
    let called = |at: &str, name: &str| format!("a.js:{at}: config threw: TypeError: {name} is not a function");
    let nowhere = "a.js:1:24: config threw: TypeError: the called value is not a function".to_owned();
    let begins = "a.js:2:8: config threw: TypeError: the called value is not a function".to_owned();
    let table = [
        (
            "const path = require('path'), cfg = {};\nconst dir = path.join(\n  __dirname,\n  cfg?.dir(),\n);",
            called("4:8", "cfg?.dir"),
        ),
        (
            "const p = { config: {} }, mk = (a) => a;\nmk('a', p.config?.getPort('x'))",
            called("2:19", "p.config?.getPort"),
        ),
        ("const cfg = {};\nconst x = cfg?.get('port')", called("2:16", "cfg?.get")),
        ("const cfg = {};\nconst x = cfg?.[`get`]('port')", called("2:17", "cfg?.[`get`]")),
        ("const cfg = {};\nconst y = cfg?.db.host", read("2:19", "host")),
        ("const y = process.env?.NOPE.split(',')", read("1:29", "split")),
        ("const o = {};\nmodule.exports = { apps: [{ name: 'a', script: o?.x.y }] }", read("2:53", "y")),
        ("const o = {};\nfunction f() {\n  return o?.x.y;\n}\nf()", read("3:15", "y")),
        ("const o = {};\n[1].map((v) => o?.b.c(v)).join('')", read("2:21", "c")),
        ("const o = { f: 1 };\nString(o.f?.())", called("2:10", "o.f")),
        ("const o = { a: 'x' };\nString(o?.a.nope())", called("2:13", "o?.a.nope")),
        ("const sql = {};\nconst q = sql.raw`x`", called("2:15", "sql.raw")),
        ("const sql = {};\n{\nconst q = sql`x`\n}", called("3:11", "sql")),
        // Who failed is only known to the engine, which does not say it.
        ("const o = { f() { return {} } };\nString(o?.f().g())", begins.clone()),
        ("const o = { f() { return {} } };\nString([o?.f().g()])", begins.clone()),
        ("class A { f() { return {} } };\nString(new A()?.f().g())", nowhere),
        ("const o = { get f() { return 1 } };\nString(o?.f())", begins),
        // What is sound is not blamed, and neither is what comes before.
        ("const o = { f: () => 1 };\nlet mk;\nmk(o?.f(), o?.g?.h.i, o.h?.())", called("3:1", "mk")),
        ("const o = { f() { return {} } };\nlet mk;\nmk(o?.f().g)", called("3:1", "mk")),
        ("const o = {};\ntry { o?.f() } catch {}\nlet mk;\nmk(1)", called("4:1", "mk")),
    ];
    let wrong: Vec<String> = table.iter().filter_map(|(text, want)| check_failure(&[("a.js", text)], want)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nothing else changes.
    let sound = "const o = { f() { return this.n }, n: 2, a: [[7]], 'x-y': null, t(s) { return s.raw[0] + this.n } };\n\
                 const none = null;\n\
                 module.exports = [o?.f(), o.f?.(), o?.a?.[0][0], none?.b.c.d(), o['x-y']?.z, o?.['f'](), o.t`q`, (o?.f)(), ((f) => f)(o?.f(1).toFixed) === (1).toFixed, 'ab'?.length, [1]?.at?.(0)]";
    super::check_files(&[("a.js", sound)], "[2,2,7,null,null,2,\"q2\",2,true,2,1]");
}

#[test]
fn what_is_called_behind_brackets_in_brackets() {
    let called = |at: &str, name: &str| format!("a.js:{at}: config threw: TypeError: {name} is not a function");
    let table = [
        ("const f = (x) => x, o = {};\nf(f(o, ')')).foo()", called("2:14", "f(...).foo")),
        (
            "const fs = require('fs'), path = require('path');\nfs.readFileSync(path.join(__dirname, 'a.js')).split('x')",
            called("2:47", "fs.readFileSync(...).split"),
        ),
        ("const o = {};\n(((o))).f(o.g(1))", called("2:13", "o.g")),
        ("const f = (x) => x;\nf(f({}))[f('k')]()", called("2:10", "f(...)[f(...)]")),
        (
            "const f = (x) => class {};\nconst a = new (f(f(1)).B)()",
            "a.js:2:11: config threw: TypeError: f(...).B is not a constructor".to_owned(),
        ),
    ];
    let table: Vec<(&str, &str)> = table.iter().map(|(text, want)| (*text, want.as_str())).collect();
    told(&table);
}

#[test]
fn names_that_are_computed() {
    let read = |at: &str, name: &str| {
        format!("a.js:{at}: config threw: TypeError: Cannot read properties of undefined (reading '{name}')")
    };
    let table = [
        ("const o = {}, k = 'x';\no.a[k](1)", read("2:5", "x")),
        ("const o = {}, k = 'x';\no.a[k]", read("2:5", "x")),
        ("const o = {}, k = 'x';\no?.list[k]", read("2:9", "x")),
        ("const o = {}, k = 'x';\no?.list[k].y.z()", read("2:9", "x")),
        ("const o = {}, n = 1;\no.list[n]", read("2:8", "1")),
        ("const o = {}, n = 1;\no.list[n] += 1", read("2:8", "1")),
        ("const o = {}, n = 1;\no.list[`${n}a`].x = 1", read("2:8", "1a")),
        ("const o = {};\no.a[process.env.HOME]", read("2:5", "/home/app")),
        ("const o = {}, s = Symbol('q');\no.a[s]", read("2:5", "Symbol(q)")),
        ("const o = {};\no.a[o.q.y]", read("2:9", "y")),
        (
            "const o = {}, f = () => 3;\nlet i = 0;\no.list[i++]",
            "a.js:3:8: config threw: TypeError: Cannot read properties of undefined or null".to_owned(),
        ),
    ];
    let table: Vec<(&str, &str)> = table.iter().map(|(text, want)| (*text, want.as_str())).collect();
    told(&table);
    // What was caught is over.
    let text = "const at = (o, k) => { try { return o.a[k.x.y] } catch { return 0 } };\n\
                const of = (o, k) => { try { return o?.a[k.x.y] } catch { return 0 } };\n\
                const held = { a: { z: 1 } }, k = { x: { y: 'z' } };\n\
                module.exports = [at({}, {}), at(held, k), at({}, k), at(held, k), of({}, {}), of(held, k), of(null, k), of(held, k)];";
    super::check_files(&[("a.js", text)], "[0,1,0,1,0,1,null,1]");
}

#[test]
fn patterns_inside_of_patterns() {
    let read = |at: &str, value: &str, name: &str| {
        format!("a.js:{at}: config threw: TypeError: Cannot read properties of {value} (reading '{name}')")
    };
    let apart = |at: &str, said: &str| format!("a.js:{at}: config threw: TypeError: Cannot destructure {said}");
    let iterated = |at: &str| {
        let said = "undefined is not iterable (cannot read property Symbol(Symbol.iterator))";
        format!("a.js:{at}: config threw: TypeError: {said}")
    };
    let table = [
        ("const { a: { b: { c } } } = { a: {} }", read("1:19", "undefined", "c")),
        ("const { a: { b: { c } }, d: { e } } = {}", read("1:14", "undefined", "b")),
        (
            "const apps = [{ name: 'a' }];\napps.map(({ name, opts: { port } }) => ({ name, port }))",
            read("2:27", "undefined", "port"),
        ),
        ("let z;\nconst f = ([a]) => a;\nf()", iterated("2:12")),
        ("const { a: [b], c: { d } } = { c: {} }", iterated("1:12")),
        ("for (const { a: { b } } of [{}]) {}", read("1:19", "undefined", "b")),
        ("const { a, ...r } = null", apart("1:9", "property 'a' of 'null' as it is null.")),
        ("const { ...r } = null", apart("1:12", "'null' as it is null.")),
        ("const o = {};\nconst { a } = o?.apps;", apart("2:9", "property 'a' of 'o?.apps' as it is undefined.")),
        ("const o = {};\nconst { a } = o.x || o.y\n", apart("2:9", "property 'a' of 'o.x || o.y' as it is undefined.")),
        ("function f(x, { b: { c } }) {}\nf(1, {})", read("1:22", "undefined", "c")),
        ("let c;\n({ b: { c } } = {});", read("2:9", "undefined", "c")),
        ("const [{ c }, { d }] = [{}]", read("1:17", "undefined", "d")),
        ("const { b: { c } } = { b: null }", read("1:14", "null", "c")),
        // Of several, it is the one that was called.
        (
            "const f = ({ a }) => a, g = ({ b }) => b;\ng()",
            apart("1:32", "property 'b' of 'undefined' as it is undefined."),
        ),
        (
            "const o = { f({ a }) {}, g: ({ b }) => b };\no.g()",
            apart("1:32", "property 'b' of 'undefined' as it is undefined."),
        ),
        (
            "class K { constructor({ a }) {} m({ b }) {} }\nnew K()",
            apart("1:25", "property 'a' of 'undefined' as it is undefined."),
        ),
        (
            "const f = ({ a }) => a;\n[1, undefined].map(({ z }) => z);",
            apart("2:23", "property 'z' of 'undefined' as it is undefined."),
        ),
        ("let c;\n({ c } = c);", apart("2:4", "property 'c' of 'c' as it is undefined.")),
        (
            "const fs = [({ a }) => a, ({ b }) => b];\nfs[0]()",
            "a.js:1:12: config threw: TypeError: Cannot destructure 'undefined' as it is undefined.".to_owned(),
        ),
        (
            "const f = ({ a }) => a, g = ({ b } = {}) => b;\nf()",
            apart("1:14", "property 'a' of 'undefined' as it is undefined."),
        ),
    ];
    let wrong: Vec<String> = table.iter().filter_map(|(text, want)| check_failure(&[("a.js", text)], want)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let sound = "const f = ({ a: { b }, c: [d, { e } = { e: 5 }] }, [[g]]) => [b, d, e, g];\n\
                 let h; [{ h }] = [{ h: 6 }];\n\
                 module.exports = [...f({ a: { b: 1 }, c: [2] }, [[4]]), h, f.length, String(f)]";
    let own = "({ a: { b }, c: [d, { e } = { e: 5 }] }, [[g]]) => [b, d, e, g]";
    super::check_files(&[("a.js", sound)], &format!("[1,2,5,4,6,2,{own:?}]"));
}

#[test]
fn errors_of_the_language() {
    told(&[
        ("class V extends Error {}\nthrow new V('bad')", "a.js:2:7: config threw: bad"),
        (
            "[...new Set(5)]",
            "a.js:1:5: config threw: TypeError: number is not iterable (cannot read property Symbol(Symbol.iterator))",
        ),
        ("const f = 5; f`x`", "a.js:1:14: config threw: TypeError: f is not a function"),
        ("(5).toString(1)", "a.js:1:5: config threw: RangeError: toString() radix argument must be between 2 and 36"),
        ("class A {}\nA()", "a.js:2:1: config threw: TypeError: Class constructor A cannot be invoked without 'new'"),
        (
            "const a = {}; a.b = a; JSON.stringify(a)",
            "a.js:1:29: config threw: TypeError: Converting circular structure to JSON",
        ),
        ("decodeURIComponent('%')", "a.js:1:1: config threw: URIError: URI malformed"),
        ("[].reduce((a) => a)", "a.js:1:4: config threw: TypeError: Reduce of empty array with no initial value"),
        ("new RegExp('(')", "a.js:1:1: config threw: SyntaxError: Invalid regular expression: Unterminated group"),
        ("const r = /(/", "a.js:1:11: Invalid regular expression: /(/: Unterminated group"),
        ("const r = /a/gg", "a.js:1:11: Invalid regular expression flags"),
        (
            "JSON.parse('{a: 1}')",
            "a.js:1:6: config threw: SyntaxError: Expected property name or '}' in JSON at position 1",
        ),
        ("JSON.parse(undefined)", "a.js:1:6: config threw: SyntaxError: \"undefined\" is not valid JSON"),
        (
            "throw new Error('value with type `number` is not iterable')",
            "a.js:1:7: config threw: value with type `number` is not iterable",
        ),
    ]);
    let circle = [("a.mjs", "import './b.mjs'; export { a } from './b.mjs'"), ("b.mjs", "export { a } from './a.mjs'")];
    let want = "a.mjs:1:28: config threw: SyntaxError: Detected cycle while resolving name 'a' in './b.mjs'";
    assert_eq!(check_failure(&circle, want), None);
    let lacks = [("a.mjs", "export { a } from './b.mjs'"), ("b.mjs", "export const b = 1")];
    let want =
        "a.mjs:1:10: config threw: SyntaxError: The requested module './b.mjs' does not provide an export named 'a'";
    assert_eq!(check_failure(&lacks, want), None);
}

#[test]
fn comments_of_other_languages() {
    for (text, want) in [("# my config\n", true), ("x = {\n  #comment\n}", true), ("x = { # y }", false)] {
        let failure = Case::new(&[("a.js", text)]).run().result.unwrap_err();
        assert_eq!(failure.hint.is_some_and(|hint| hint.contains("`//`")), want, "{text}");
    }
}

#[test]
fn what_is_refused_before_it_runs() {
    told(&[
        ("let a = 1;\nlet a = 2", "a.js:2:5: Identifier 'a' has already been declared"),
        ("const a = 1;\nfunction a() {}", "a.js:2:1: Identifier 'a' has already been declared"),
        ("function f() { const q = 1; const q = 2 }", "a.js:1:35: Identifier 'q' has already been declared"),
        ("(q) => { let q }", "a.js:1:14: Identifier 'q' has already been declared"),
        ("break", "a.js:1:1: Illegal break statement"),
        ("# my config\nmodule.exports = []", "a.js:1:1: Invalid or unexpected token"),
        ("module.exports = [\n  # one\n]", "a.js:2:3: Invalid or unexpected token"),
        ("module.exports = [@x]", "a.js:1:19: Invalid or unexpected token"),
        ("export default [];\nexport default [1];", "a.js:2:8: Duplicate export of 'default'"),
        ("const x = [];\nexport default [];\nexport { x as default };", "a.js:3:15: Duplicate export of 'default'"),
        ("export default function f() {}\nexport default class {}", "a.js:2:8: Duplicate export of 'default'"),
        ("for (;;) { (() => { break })() }", "a.js:1:21: Illegal break statement"),
        ("function f() { super.x }", "a.js:1:16: 'super' keyword unexpected here"),
        ("module.exports = { apps = [] }", "a.js:1:20: Invalid shorthand property initializer"),
        ("function () {}", "a.js:1:1: Function statements require a function name"),
        ("1 = 2", "a.js:1:1: Invalid left-hand side in assignment"),
        ("const a", "a.js:1:7: Missing initializer in const declaration"),
        (
            "function f() { await x }",
            "a.js:1:16: await is only valid in async functions and the top level bodies of modules",
        ),
        (
            "const o = { __proto__: 1, __proto__: 2 }",
            "a.js:1:27: Duplicate __proto__ fields are not allowed in object literals",
        ),
    ]);
    let typed = Case::new(&[("a.ts", "let a: number = 1; let a: string = ''")]).run().result.unwrap_err();
    assert_eq!(typed.message, "Identifier 'a' has already been declared");
    assert_eq!(typed.excerpt.unwrap().0, "let a: number = 1; let a: string = ''");
    // Node runs it as a module, where the name is free.
    assert_eq!(check_failure(&[("a.js", "const require = 1")], "{}"), None);
    let common =
        check_failure(&[("a.cjs", "const require = 1")], "a.cjs:1:7: Identifier 'require' has already been declared");
    assert_eq!(common, None);
}

#[test]
fn limits_are_named() {
    let recursing = "Maximum call stack size exceeded: the config recurses without end or is nested too deeply";
    for (text, want) in [
        ("function f() { return f() + 1 }\nf()", recursing),
        ("JSON.parse('['.repeat(5000))", "JSON.parse: the text is nested deeper than 127 levels"),
        (
            "new RegExp('('.repeat(5000) + ')'.repeat(5000))",
            "config threw: SyntaxError: Invalid regular expression: Regular expression is too deeply nested: pmrun's own engine reads 256 levels",
        ),
    ] {
        let failure = Case::new(&[("a.js", text)]).run().result.unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (Code::DepthLimit, want), "{text}");
    }
}

#[test]
fn stacks_are_the_users() {
    let stack = |text: &str| Case::new(&[("a.js", text)]).run().json();
    for (text, want) in [
        (
            "function f() { throw new RangeError('no') }\ntry {\n  const a = {}; f({ a: [{}] }, {})\n} catch (e) { module.exports = e.stack.split('\\n') }",
            r#"["RangeError: no","    at f ({DIR}/a.js:1:22)","    at Object.<anonymous> ({DIR}/a.js:3:17)"]"#,
        ),
        (
            "try { null.x } catch (e) { module.exports = e.stack.split('\\n') }",
            r#"["TypeError: Cannot read properties of null (reading 'x')","    at Object.<anonymous> ({DIR}/a.js:1:12)"]"#,
        ),
        (
            "class E extends Error { constructor(m) { super(m); Error.captureStackTrace(this, E) } }\nmodule.exports = new E('m').stack.split('\\n')",
            r#"["Error: m","    at Object.<anonymous> ({DIR}/a.js:2:18)"]"#,
        ),
        ("const e = new Error('m'); e.stack = 'own'; module.exports = e.stack", r#""own""#),
    ] {
        assert_eq!(stack(text), want, "{text}");
    }
    check(&[("require('util').inspect(new Error('x')).split('\\n')[0]", r#""Error: x""#)]);
}

#[test]
fn operations_that_the_engine_has_no_place_of() {
    told(&[
        (
            "const s = 'str';\nif ('k' in s) {}",
            "a.js:2:9: config threw: TypeError: Cannot use 'in' operator to search for 'k' in str",
        ),
        (
            "const o = {}; 1 in o; const f = (k, t) => k in t;\nf('a', 5)",
            "a.js:1:45: config threw: TypeError: Cannot use 'in' operator to search for a key in a number",
        ),
        (
            "const x = {};\nconst y = x instanceof 5;",
            "a.js:2:13: config threw: TypeError: Right-hand side of 'instanceof' is not an object",
        ),
        (
            "const f = async () => ({} instanceof (await 'x'));\nmodule.exports = f()",
            "a.js:1:27: config threw: TypeError: Right-hand side of 'instanceof' is not an object",
        ),
        (
            "const n = 1; const m = n + 1;\nconst y = 5n + n; const z = n + n",
            "a.js:2:14: config threw: TypeError: Cannot mix BigInt and other types, use explicit conversions",
        ),
        (
            "let n = 1;\nn *= BigInt(2)",
            "a.js:2:6: config threw: TypeError: Cannot mix BigInt and other types, use explicit conversions",
        ),
        ("const n = 1;\n+5n", "a.js:2:1: config threw: TypeError: Cannot convert a BigInt value to a number"),
        (
            "const n = Symbol('x');\nconst a = 'a' + n",
            "a.js:2:15: config threw: TypeError: Cannot convert a Symbol value to a string",
        ),
        (
            "const n = Symbol('x');\nconst a = `a${1}${n}${2}`",
            "a.js:2:19: config threw: TypeError: Cannot convert a Symbol value to a string",
        ),
        (
            "const o = Object.create(null);\nconst a = 'a' + o",
            "a.js:2:15: config threw: TypeError: Cannot convert object to primitive value",
        ),
        (
            "const n = 1;\nclass A extends n {}",
            "a.js:2:17: config threw: TypeError: Class extends value 1 is not a constructor or null",
        ),
        (
            "const n = 1;\nfor (const [a] of [n]) {}",
            "a.js:2:12: config threw: TypeError: number is not iterable (cannot read property Symbol(Symbol.iterator))",
        ),
        (
            "function f([a]) {}\nf(1)",
            "a.js:1:12: config threw: TypeError: number is not iterable (cannot read property Symbol(Symbol.iterator))",
        ),
        (
            "const [a, [b]] = [1, 2]",
            "a.js:1:11: config threw: TypeError: number is not iterable (cannot read property Symbol(Symbol.iterator))",
        ),
    ]);
}

#[test]
fn what_is_thrown_has_the_place_of_its_throw() {
    told(&[
        ("module.exports = async () => {\n  await null; throw 'x' }", "a.js:2:21: config threw: x"),
        ("try { throw 'a' } catch {}\nthrow null", "a.js:2:7: config threw: null"),
        ("function f() { throw undefined }\nf()", "a.js:1:22: config threw: undefined"),
        ("module.exports = async () => {\n  await null; throw { a: 1 } }", "a.js:2:21: config threw: {\"a\":1}"),
        ("const n = 1;\nmodule.exports = class X {}", "a.js:2:18: the config exports a class, which describes no apps"),
    ]);
    let required = [("a.js", "require('./b')"), ("b.js", "const n = 1;\nthrow 'inner'")];
    assert_eq!(check_failure(&required, "b.js:2:7: config threw: inner"), None);
    let class = [("a.mjs", "export default class X {}")];
    assert_eq!(check_failure(&class, "a.mjs:1:22: the config exports a class, which describes no apps"), None);
}

#[test]
fn what_the_engine_lacks_leads_to_node() {
    for text in [
        "crypto.subtle.digest('SHA-256', new Uint8Array(1))",
        "const { subtle } = require('crypto').webcrypto; subtle.digest()",
        "process.report.getReport()",
        "require('fs').createReadStream('a.js')",
        "require('fs').watch('.')",
        "module.exports = require('fs/promises').open('a.js')",
        "new ReadableStream()",
        "require('worker_threads')",
        "require('node:http')",
        "require('wasi')",
        "process.binding('fs')",
        "Array.fromAsync([1])",
        "Uint8Array.fromBase64('')",
        "new Worker('x')",
        "Temporal.Now.instant()",
        "new Float16Array(1)",
    ] {
        let failure = Case::new(&[("a.js", text)]).run().result.unwrap_err();
        let hint = failure.hint.unwrap_or_default();
        assert!(hint.contains("--js-engine node"), "{text}: {} {hint}", failure.message);
        assert!(failure.position.is_some(), "{text}");
    }
    let ran = Case::new(&[("a.js", "module.exports = [typeof crypto.subtle, MyRequest]")]).run();
    let failure = ran.result.unwrap_err();
    assert_eq!(
        (failure.message.as_str(), failure.hint),
        ("config threw: ReferenceError: MyRequest is not defined", None)
    );
}

/// What a program sees of an error that it has caught, as Node has it.
#[test]
fn what_is_caught_is_in_words_of_nodes() {
    let package =
        "exports.call = (x) => x.run();\nexports.on = ({ a: { b } }) => b;\nexports.late = () => { z; let z };";
    let table = [
        ("o.run()", "o.run is not a function"),
        ("o['x y'].z()", "Cannot read properties of undefined (reading 'z')"),
        ("o['x y']()", "o.x y is not a function"),
        ("o.f(1)(2)", "o.f(...) is not a function"),
        ("new o.X()", "o.X is not a constructor"),
        ("u.x = 1", "Cannot set properties of undefined (setting 'x')"),
        ("o.a.b = 1", "Cannot set properties of undefined (setting 'b')"),
        ("null[o.k] = 1", "Cannot set properties of null (setting 'k')"),
        ("o.a.b++", "Cannot read properties of undefined (reading 'b')"),
        ("o.a.b += u.c", "Cannot read properties of undefined (reading 'b')"),
        ("[...o]", "o is not iterable"),
        ("[...u]", "u is not iterable"),
        ("for (const x of o.k.length);", "o.k.length is not iterable"),
        ("new (class X {})()?.y.z", "Cannot read properties of undefined (reading 'z')"),
        ("(({ a }) => a)()", "Cannot destructure property 'a' of 'undefined' as it is undefined."),
        ("late; let late", "Cannot access 'late' before initialization"),
        ("class A extends u {}", "Class extends value undefined is not a constructor or null"),
        ("const c = 1; c = 2", "Assignment to constant variable."),
        ("new Array(-1)", "Invalid array length"),
        ("String.fromCodePoint(-1)", "Invalid code point -1"),
        ("p.call({})", "x.run is not a function"),
        ("p.late()", "Cannot access 'z' before initialization"),
        ("throw new TypeError('of my own')", "of my own"),
        ("throw new TypeError('not a constructor')", "not a constructor"),
        ("const t = TypeError('not a constructor'); throw t", "not a constructor"),
    ];
    for (code, want) in table {
        let text = format!(
            "const p = require('p'), u = undefined, o = {{ k: 'k', f() {{}} }}, out = [];\n\
             try {{ {code} }} catch (e) {{ out.push(e.message) }}\n\
             try {{ {code} }} catch {{ }} finally {{ }}\n\
             const late_ = async () => {{ {code} }};\n\
             module.exports = (async () => {{ try {{ await late_() }} catch (e) {{ out.push(e.message) }}\n\
             await late_().catch((e) => out.push(e.message));\n\
             await Promise.allSettled([late_()]).then(([done]) => out.push(done.reason.message)); return out }})();"
        );
        let want = format!("{:?}", [want; 4]).replace("\", \"", "\",\"");
        super::check_files(&[("a.js", &text), ("node_modules/p/index.js", package)], &want);
    }
    // As it is taken apart.
    for (catch, want) in [
        ("({ message }) { out.push(message) }", r#"["o.z is not a function"]"#),
        (
            "({ name: n, message: m = `}` }/* ) */) { if (/}/.test('}')) { out.push(`${`${n}`}`, m) } }",
            r#"["TypeError","o.z is not a function"]"#,
        ),
        ("({ message: { length } }) {\n out.push(length) } finally { out.push(1) }", "[21,1]"),
        ("({ message: [a, b] }) { { } (() => { out.push(a + b) })() }", r#"["o."]"#),
    ] {
        let text = format!(
            "const out = [], o = {{}};\nconst f = () => {{ try {{ o.z() }} catch {catch} }}; f();\n\
             module.exports = String(f).endsWith({:?}) ? out : String(f);",
            format!("catch {catch} }}")
        );
        super::check_files(&[("a.js", &text)], want);
    }
    let text = "const f = (a) => { try { a() } catch (/* it */ e /* ) */ ) /* { */ { let b; return e } };\nmodule.exports = String(f)";
    let own = text.split_once(" = ").unwrap().1.split_once(";\nmodule").unwrap().0;
    super::check_files(&[("a.js", text)], &format!("{own:?}"));
}

#[test]
fn what_is_thrown_on_has_the_place_of_that_and_says_where_it_comes_from() {
    let failure = |text: &str| {
        let case = Case::new(&[("a.js", text), ("node_modules/p/index.js", "module.exports = (x) => { x.a.b = 1 }")]);
        let failure = case.run().result.unwrap_err();
        (failure.position, failure.message, failure.hint)
    };
    let (place, said, hint) = failure("const x = {};\ntry { x.run() }\ncatch (e) {\n  throw e\n}");
    assert_eq!((place, said.as_str()), (Some((4, 9)), "config threw: TypeError: x.run is not a function"));
    assert_eq!(hint.as_deref(), Some("it was caught, and comes from line 2, column 9"));
    for (text, want) in [
        ("const o = {};\ntry { o.a.b } catch (e) {\n  throw new Error('cfg: ' + e.message) }", (3, 9)),
        ("const o = {};\ntry { o.a.b } catch (e) {\n  throw new Error(String(e)) }", (3, 9)),
        (
            "const o = {};\ntry { o?.f() } catch ({ message }) {\n  const e = new Error(`cfg: ${message}`); throw e }",
            (3, 13),
        ),
    ] {
        assert_eq!(failure(text).0, Some(want), "{text}");
    }
    let (place, said, hint) = failure("try { require('p')({}) }\ncatch (e) {\n  throw new Error('no: ' + e.message) }");
    assert_eq!(place, Some((3, 9)));
    // The child runs it again for the rest of the words.
    assert_eq!(said, "config threw: no: Cannot set properties of undefined or null (setting 'b')");
    assert_eq!(hint, None);
}

#[test]
fn a_module_is_told_what_it_has_instead() {
    for (text, want) in [
        ("export default { apps: [{ cwd: __dirname }] }", "`import.meta.dirname`"),
        ("const a: string = __filename;\nexport default {}", "`import.meta.filename`"),
        ("import 'path'; require('os')", "`import` what it needs"),
        ("import 'path'; module.exports = {}", "`.cts`"),
    ] {
        let failure = Case::new(&[("a.ts", text)]).run().result.unwrap_err();
        assert!(failure.hint.as_deref().unwrap_or_default().contains(want), "{text}: {failure:?}");
    }
}

/// The failure as it is told after another run for the sake of its place.
fn placed(entry: &str, text: &str, others: &[(&str, &str)]) -> String {
    let case = Case::new(&[&[(entry, text)], others].concat());
    let ran = case.run();
    let root = case.folder.path().canonicalize().unwrap();
    let Err(failure) = ran.result else { return ran.json() };
    let failure = if failure.doubt.is_some() {
        let orders = super::orders(&case.entry, &root);
        let again = move || doubts::run(orders, Aside::Error, Box::new(|_| ()));
        let again = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(again).unwrap().join().unwrap();
        again.err().map_or(failure.clone(), |other| doubts::told_by(failure, other))
    } else {
        failure
    };
    super::Ran { result: Err(failure), ..ran }.failure().replace("config threw: ", "")
}

#[test]
fn what_the_engine_forgets_the_place_of_is_found_by_another_run() {
    const MADE: &str = "const o = { f() {} }, f = () => undefined, g = (x) => x;\n";
    let name = "TypeError: Cannot read properties of undefined (reading 'name')";
    let js = [
        ("o?.f().name", format!("2:8: {name}")),
        ("o.f?.()\n  .name", format!("3:4: {name}")),
        ("o?.f(g(1)).name", format!("2:12: {name}")),
        ("(o.x)`t`", "2:4: TypeError: o.x is not a function".to_owned()),
        ("o.x`t${g(1)}`", "2:3: TypeError: o.x is not a function".to_owned()),
        ("f?.é[0]", "2:6: TypeError: Cannot read properties of undefined (reading '0')".to_owned()),
        ("o[f()][g('q')]", "2:8: TypeError: Cannot read properties of undefined (reading 'q')".to_owned()),
        ("o?.[f()](g(1))", "2:5: TypeError: o?.[f(...)] is not a function".to_owned()),
        ("o?.f(g(1))()", "2:1: TypeError: o?.f(...) is not a function".to_owned()),
        ("delete f().x", "2:12: TypeError: Cannot convert undefined or null to object".to_owned()),
        ("o.q[g('a')] = g(3)", "2:5: TypeError: Cannot set properties of undefined (setting 'a')".to_owned()),
        ("class A { static x =\n o?.f().name }", format!("3:9: {name}")),
        (
            "class A { constructor() { o?.f().name } }\nclass B extends A { constructor() {\n super(); } }\nnew B",
            format!("2:34: {name}"),
        ),
        ("const t = { get a() { return o?.f().name } };\nmodule.exports = [t]", format!("2:37: {name}")),
        (
            "function* h() { (yield 1).a; o?.f().name }\nconst all = h(); all.next(); all.next({})",
            format!("2:37: {name}"),
        ),
        (
            "module.exports = async ({ env, mode }) => {\n await 1; return o?.f(env)[mode ?? 'name'] }",
            format!("3:28: {name}"),
        ),
        ("setTimeout(() => o?.f().name, 0)", format!("2:25: {name}")),
        ("Promise.resolve().then(() => o?.f().name)", format!("2:37: {name}")),
        ("try { o?.f().name } catch (e) {\n throw e }", format!("3:8: {name}")),
        ("[1].map(() => { 'use strict'; return o?.f().name })", format!("2:45: {name}")),
        (
            "for (const { b } of [g()]) ;",
            "2:14: TypeError: Cannot destructure property 'b' of 'undefined' as it is undefined.".to_owned(),
        ),
        (
            "const {\n  X } = f()",
            "3:3: TypeError: Cannot destructure property 'X' of 'f(...)' as it is undefined.".to_owned(),
        ),
        (
            "const h = ({ a }) => a;\nh(g())",
            "2:14: TypeError: Cannot destructure property 'a' of 'undefined' as it is undefined.".to_owned(),
        ),
        ("require('./lib')", format!("lib.js:3:9: {name}")),
    ];
    let lib = ("lib.js", "\n'use strict'; const o = { f() {} };\n o?.f().name; exports.a = 1");
    let mut wrong = Vec::new();
    let mut check = |entry: &str, text: &str, want: &str| {
        let want = if want.starts_with("lib") { want.to_owned() } else { format!("{entry}:{want}") };
        let found = placed(entry, text, &[lib]);
        if found != want {
            wrong.push(format!("{text}\n  {found}\n  {want}"));
        }
    };
    for (text, want) in &js {
        check("a.js", &format!("{MADE}{text}"), want);
    }
    let want = format!("2:23: {name}");
    for entry in ["a.mjs", "a.ts", "a.mts"] {
        check(entry, &format!("{MADE}export default o?.f().name"), &want);
        check(entry, &format!("{MADE}export default async () => (await o)?.f().name"), &format!("2:43: {name}"));
    }
    check("a.cjs", &format!("{MADE}o?.f().name"), &format!("2:8: {name}"));
    check("a.ts", "const o: any = { f() {} };\nconst x: string = (o as any)?.f().name", &format!("2:35: {name}"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
