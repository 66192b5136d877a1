//! What stands in for parts of Node, beside what Node 20 prints; and what is said of the parts that nothing stands in for.

use super::{Case, check, check_failure, check_files};
use crate::diag::Code;

#[test]
fn what_commands_say_goes_where_they_are_told() {
    for (stdio, printed, want) in [
        ("'inherit'", "out\nerr\n", "[null,null]"),
        ("[0, 1, 2]", "out\nerr\n", "[null,null]"),
        ("['ignore', process.stdout, 'pipe']", "out\n", "[null,\"err\\n\"]"),
        ("['ignore', 2, process.stderr]", "out\nerr\n", "[null,null]"),
        ("['ignore', 'ignore', null]", "", "[null,\"err\\n\"]"),
        ("[0]", "", "[\"out\\n\",\"err\\n\"]"),
    ] {
        let text = format!(
            "const {{ spawnSync }} = require('child_process');\n\
             const r = spawnSync('sh', ['-c', 'echo out; echo err >&2'], {{ stdio: {stdio}, encoding: 'utf8' }});\n\
             module.exports = [r.stdout, r.stderr];"
        );
        let ran = Case::new(&[("a.js", &text)]).run();
        assert_eq!((ran.json().as_str(), ran.printed.as_str()), (want, printed), "{stdio}");
    }
}

#[test]
fn exports_with_a_then_are_awaited() {
    let then = "{ then(done) { setTimeout(() => done({ apps: [1] }), 1) } }";
    for (name, text) in [
        ("a.js", format!("module.exports = {then}")),
        ("a.js", format!("module.exports = async () => ({then})")),
        ("a.mjs", format!("export default {then}")),
        ("a.js", format!("module.exports = Object.assign(() => 1, {then})")),
        ("a.js", "module.exports = { then: 5, apps: [1] }; delete module.exports.then".to_owned()),
    ] {
        check_files(&[(name, &text)], r#"{"apps":[1]}"#);
    }
    let refused = "module.exports = { then(done, fail) { fail(new Error('no')) } }";
    assert_eq!(check_failure(&[("a.js", refused)], "a.js:1:44: config threw: no"), None);
}

#[test]
fn what_the_engine_lacks_names_the_way_out() {
    let node = "`--js-engine node` runs the config with Node";
    for (text, lacks) in [
        ("const util = require('util'); util.parseArgs({})", "`util.parseArgs`: "),
        ("const { parseArgs } = require('node:util'); parseArgs({})", "`util.parseArgs`: "),
        ("require('path').matchesGlob('a', 'b')", "`path.matchesGlob`: "),
        ("process.binding('fs')", "`process.binding`: "),
        ("const fs = require('fs'); new fs.ReadStream('a')", "`fs.ReadStream`: "),
        ("import { scrypt } from 'crypto'; export default scrypt", "`crypto.scrypt`: "),
    ] {
        let failure = Case::new(&[("a.js", text)]).run().result.unwrap_err();
        let want = format!("pmrun's own engine does not have {lacks}{node}");
        assert_eq!((failure.code, failure.hint.as_deref()), (Code::Unsupported, Some(want.as_str())), "{text}");
        assert!(failure.position.is_some(), "{text}");
    }
    for text in [
        "new Intl.NumberFormat()",
        "(1).toLocaleString('de-DE')",
        "new Date(0).toLocaleDateString('en', { month: 'short' })",
    ] {
        let failure = Case::new(&[("a.js", text)]).run().result.unwrap_err();
        assert_eq!((failure.code, failure.hint.as_deref()), (Code::Unsupported, Some(node)), "{text}");
    }
    // Of what is nobody's, nothing is said.
    for text in ["const util = require('util'); util.parseArg({})", "const a = {}; a.parseArgs()"] {
        let failure = Case::new(&[("a.js", text)]).run().result.unwrap_err();
        assert_eq!((failure.code, failure.hint), (Code::Thrown, None), "{text}");
    }
}

#[test]
fn dates_as_people_write_them() {
    check(&[
        (
            "['July 1, 2020 UTC', '2020-07-01 12:00Z', 'Wed, 01 Jul 2020 12:00:00 GMT', '1 July 2020 10:00 PM GMT', 'Jul 1 2020 12:00:00 GMT+0200 (CEST)', 'Tue Mar 01 2022 00:00:00 UTC', '2020-07-01 12:00:00 +0200', '07/01/2020 UTC'].map((text) => Date.parse(text))",
            "[1593561600000,1593604800000,1593604800000,1593640800000,1593597600000,1646092800000,1593597600000,1593561600000]",
        ),
        (
            "['2020/07/01', '07/01/2020', 'July 1, 2020', '2020-7-1'].map((text) => new Date(text).getTime() - new Date(2020, 6, 1).getTime())",
            "[0,0,0,0]",
        ),
        (
            "['garbage', '2020-13-45 1', 'July 99, 2020', '13'].map((text) => String(new Date(text)))",
            r#"["Invalid Date","Invalid Date","Invalid Date","Invalid Date"]"#,
        ),
        (
            "[new Date(0) instanceof Date, new Date(0).constructor === Date, new Date(2020, 0).getFullYear(), typeof Date(), new (class extends Date {})('July 1, 2020').getMonth()]",
            r#"[true,true,2020,"string",6]"#,
        ),
    ]);
}

#[test]
fn numbers_and_dates_for_people() {
    check(&[
        (
            "[1234567.891, 0.0005, -0, 1e21, NaN, 999.9996, 1.005].map((n) => n.toLocaleString())",
            r#"["1,234,567.891","0.001","-0","1,000,000,000,000,000,000,000","NaN","1,000","1.005"]"#,
        ),
        (
            "[(1234.5).toLocaleString('en-US', { minimumFractionDigits: 2 }), (1.005).toLocaleString(undefined, { maximumFractionDigits: 2 })]",
            r#"["1,234.50","1.01"]"#,
        ),
        (
            "[[1, [2, 30000], null, undefined, 1.5].toLocaleString(), [1, 10, 2].toLocaleString()]",
            r#"["1,2,30,000,,,1.5","1,10,2"]"#,
        ),
        (
            "(d => [d.toLocaleDateString(), d.toLocaleTimeString(), d.toLocaleString('en-US')])(new Date(2024, 0, 2, 15, 4, 5))",
            "[\"1/2/2024\",\"3:04:05\u{202f}PM\",\"1/2/2024, 3:04:05\u{202f}PM\"]",
        ),
    ]);
}

#[test]
fn values_as_node_shows_them() {
    let shown = |call: &str| Case::new(&[("a.js", &format!("module.exports = require('util').{call}"))]).run().json();
    for (call, want) in [
        (
            "inspect({ a: {}, b: [], c: { d: 1 }, e: [1], m: new Map() }, { depth: 0 })",
            "{ a: {}, b: [], c: [Object], e: [Array], m: Map(0) {} }",
        ),
        ("inspect({ a: 1, b: [1, 2] }, { compact: false })", "{\\n  a: 1,\\n  b: [\\n    1,\\n    2\\n  ]\\n}"),
        ("inspect([0, 1, 2, 3], { maxArrayLength: 2 })", "[ 0, 1, ... 2 more items ]"),
        ("inspect([0, 1, 2], { maxArrayLength: 2 })", "[ 0, 1, ... 1 more item ]"),
        ("inspect({ a: { b: { c: {} } } }, { depth: null })", "{ a: { b: { c: {} } } }"),
        (
            "inspect({ a: { b: { c: { d: { e: {} } } } } }, { depth: null })",
            "{\\n  a: {\\n    b: { c: { d: { e: {} } } }\\n  }\\n}",
        ),
        ("inspect((a => (a.a = a))({ n: 1 }))", "<ref *1> { n: 1, a: [Circular *1] }"),
        (
            "inspect((a => (a.push(a), { a, b: a }))([1]))",
            "{ a: <ref *1> [ 1, [Circular *1] ], b: <ref *1> [ 1, [Circular *1] ] }",
        ),
        ("inspect(class A {})", "[class A]"),
        ("format('%%')", "%%"),
        ("format('%% %s', 1)", "% 1"),
        ("format('%s %s %s', -0, 5n, { toString() { return 'own' } })", "-0 5n own"),
        ("format('%o', [1])", "[ 1, [length]: 1 ]"),
        ("format('%O', { a: { b: { c: { d: 1 } } } })", "{ a: { b: { c: [Object] } } }"),
        ("format('%j', (() => { const a = {}; a.a = a; return a })())", "[Circular]"),
    ] {
        assert_eq!(shown(call), format!("\"{want}\""), "{call}");
    }
}

#[test]
fn arguments_are_refused_in_nodes_words() {
    let refused = |call: &str| Case::new(&[("a.js", call)]).run().result.unwrap_err().message;
    let table = [
        ("setTimeout(5)", "\"callback\" argument must be of type function. Received type number (5)"),
        ("require('child_process').execSync()", "\"command\" argument must be of type string. Received undefined"),
        ("require('child_process').execFileSync(null)", "\"file\" argument must be of type string. Received null"),
    ];
    for (call, want) in table {
        assert_eq!(refused(call), format!("config threw: TypeError: The {want}"), "{call}");
    }
}

#[test]
fn only_folders_end_in_a_slash() {
    let text =
        "const { existsSync: is } = require('fs'); module.exports = [is('a.js'), is('a.js/'), is('d/'), is('no/')]";
    check_files(&[("a.js", text), ("d/x", "")], "[true,false,true,false]");
}

#[test]
fn what_is_printed_looks_as_in_node() {
    let printed = |text: &str| Case::new(&[("a.js", text)]).run().printed;
    for (text, want) in [
        ("console.log([1, 2, 3, 4, 5, 6, 70])", "[\n  1, 2,  3, 4,\n  5, 6, 70\n]\n"),
        (
            "console.log(['apple', 'banana', 'cherry', 'date', 'elder', 'fig', 'grape', 'hazel'])",
            "[\n  'apple',  'banana',\n  'cherry', 'date',\n  'elder',  'fig',\n  'grape',  'hazel'\n]\n",
        ),
        ("console.log([1, 2, 3, 4, 5, 6])", "[ 1, 2, 3, 4, 5, 6 ]\n"),
        (
            "console.log(Array.from({ length: 102 }, () => 5))",
            &format!(
                "[\n{}  5, 5, 5, 5,\n  ... 2 more items\n]\n",
                "  5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,\n".repeat(8)
            ),
        ),
        (
            "console.table([{ a: 1, b: 'x' }, { a: 2, c: true }])",
            "┌─────────┬───┬─────┬──────┐\n│ (index) │ a │ b   │ c    │\n├─────────┼───┼─────┼──────┤\n\
             │ 0       │ 1 │ 'x' │      │\n│ 1       │ 2 │     │ true │\n└─────────┴───┴─────┴──────┘\n",
        ),
        (
            "console.table(new Map([['a', 1]]))",
            "┌───────────────────┬─────┬────────┐\n│ (iteration index) │ Key │ Values │\n├───────────────────┼─────┼────────┤\n\
             │ 0                 │ 'a' │ 1      │\n└───────────────────┴─────┴────────┘\n",
        ),
        ("console.table(5)", "5\n"),
    ] {
        assert_eq!(printed(text), want, "{text}");
    }
}

#[test]
fn the_quick_half_of_path_does_what_the_whole_one_does() {
    let program = r"
        const quick = require('path');
        const whole = require('pmrun:paths').posix;
        const parts = ['', '.', '..', '/', '//', 'a', 'b.js', '.env', '..a', 'a.', 'a..b', 'é☃', '\ud800', 'a/', '/a', './a', '../..', '/a//b/./..', 'a/b/../../..', '//a/b//', '/.', '/..', undefined, 7];
        const said = (call) => { try { return ['is', call()]; } catch (error) { return [error.code, error.message]; } };
        const wrong = [];
        const compare = (name, ...args) => {
          const [got, want] = [said(() => quick[name](...args)), said(() => whole[name](...args))];
          if (got[0] !== want[0] || got[1] !== want[1]) wrong.push(`${name}(${args.map(String)}): ${got}, not ${want}`);
        };
        for (const name of ['isAbsolute', 'normalize', 'join', 'resolve', 'dirname', 'basename', 'extname', 'relative', 'toNamespacedPath']) {
          compare(name);
          for (const a of parts) {
            compare(name, a);
            for (const b of parts) compare(name, a, b);
          }
          if (quick[name].name !== whole[name].name || quick[name].length !== whole[name].length) wrong.push(name);
        }
        for (const a of parts) for (const b of parts) compare('join', a, '..', b), compare('resolve', 'x', a, b);
        const own = (path) => Object.keys(path).filter((key) => !['_makeLong', 'posix', 'win32'].includes(key)).join();
        if (own(quick) !== own(whole)) wrong.push(own(quick));
        module.exports = { wrong: wrong.slice(0, 20) };
    ";
    assert_eq!(Case::new(&[("a.js", program)]).run().json(), r#"{"wrong":[]}"#);
}
