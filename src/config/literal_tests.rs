use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::js::exported_by_the_engine;
use crate::config::samples;
use crate::document::to_json;

fn common(text: &str) -> Option<Node> {
    parse(text, Form::CommonJs, SourceId(0))
}

/// What a file exports, with numbers that JSON has no word for.
fn shown(node: &Node) -> String {
    match &node.kind {
        Kind::Number(value) => format!("{value:?}"),
        Kind::Sequence(items) => items.iter().fold("[".to_owned(), |out, item| out + &shown(item) + ",") + "]",
        Kind::Mapping(entries) => {
            let pair =
                |out, entry: &crate::document::Entry| format!("{out}{:?}:{},", entry.key.text, shown(&entry.value));
            entries.iter().fold("{".to_owned(), pair) + "}"
        }
        kind => format!("{kind:?}"),
    }
}

#[test]
fn literal_programs_are_read() {
    let table = [
        "module.exports={a:1}",
        "module.exports = { a: 1 };\n",
        "\u{feff}module.exports = {a: 1,}",
        "/* é */ // 😀\r\nmodule // x\n . /**/ exports\n=\n{a: 1} // y\n; /* z */",
        "'use strict';\nmodule.exports = {'a': 1}",
        "\"use strict\" // no semicolon\nmodule.exports = {\"a\": 0x1}",
        "/** @type {import('x')} */\nmodule.exports = { /* } */ a /**/ : /* : */ 1. // ]\n }",
        "module.exports = {'\\x61': +1e0}",
    ];
    for text in table {
        let node = common(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(to_json(&node), json!({"a": 1}), "{text}");
        assert_eq!(parse(text, Form::Module, SourceId(0)), None, "{text}");
        let module = text.replace("module // x\n . /**/ exports\n=", "export /**/\n default");
        let module = module.replace("module.exports =", "export default").replace("module.exports=", "export default");
        assert!(parse(&module, Form::Module, SourceId(0)).is_some(), "{module}");
        assert_eq!(common(&module), None, "{module}");
    }
}

/// TypeScript gives such a constant the type that stands before it, in every version.
#[test]
fn a_literal_may_have_a_name() {
    for text in [
        "const config = {a: 1};\nmodule.exports = config;\n",
        "/** @type {import('./pmrun').Config} */\nconst config = {a: 1}\nmodule.exports = config",
        "'use strict';const config={a:1};module.exports=config",
    ] {
        let node = common(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(to_json(&node), json!({"a": 1}), "{text}");
        let module = text.replace("module.exports = ", "export default ").replace("module.exports=", "export default ");
        assert!(parse(&module, Form::Module, SourceId(0)).is_some(), "{module}");
    }
    for text in [
        "const config = {a: 1} module.exports = config",
        "const config = {a: 1};",
        "const config = {a: 1}; module.exports = other",
        "const config = {a: 1}; module.exports = config.a",
        "const config = {a: 1}; module.exports = config; config.a = 2",
        "const config = {a: 1}; module.exports = config\n(1)",
        "const config = {a: 1}, b = 2; module.exports = config",
        "const other = {a: 1}; module.exports = other",
        "let config = {a: 1}; module.exports = config",
    ] {
        assert_eq!(common(text), None, "{text}");
    }
}

#[test]
fn other_programs_are_left_to_the_engine() {
    let deep = format!("module.exports = {}{}", "[".repeat(201), "]".repeat(201));
    let long = format!("module.exports = [{}]", "1,".repeat(TOKENS_MAX / 2));
    let table = [
        "",
        "{a: 1}",
        "module.exports",
        "module.exports =",
        "module.exports == {}",
        "module.exports += {}",
        "module.exports.apps = []",
        "module['exports'] = {}",
        "module?.exports = {}",
        "modulé.exports = {}",
        "module.exportsé = {}",
        "module.exports\\u0061 = {}",
        "exports = {}",
        "#!/usr/bin/env node\nmodule.exports = {}",
        "<!-- x\nmodule.exports = {}",
        "module.exports = {}\n--> x",
        "module.exports = {} <!-- x",
        "'use strict' module.exports = {}",
        "'use strict' /*\n*/ module.exports = {}",
        "'use asm'; module.exports = {}",
        "'use strict'; 'use strict'; module.exports = {}",
        "'use strict'\n.length; module.exports = {}",
        "module.exports = 1",
        "module.exports = 'a'",
        "module.exports = ({})",
        "module.exports = {};;",
        "module.exports = {}\n(1)",
        "module.exports = {}\n[0]",
        "module.exports = {}\n/a/g",
        "module.exports = {}\n.a",
        "module.exports = {}, 1",
        "module.exports = {}; f()",
        "module.exports = {} /* ",
        "module.exports = {",
        "module.exports = {]",
        "module.exports = [}",
        "module.exports = []]",
        "module.exports = [[1] [0]]",
        "module.exports = [,]",
        "module.exports = [1,,2]",
        "module.exports = [1 2]",
        "module.exports = [1 -1]",
        "module.exports = [- 1]",
        "module.exports = [--1]",
        "module.exports = ['a' 'b']",
        "module.exports = ['a' + 'b']",
        "module.exports = ['a': 1]",
        "module.exports = [a]",
        "module.exports = [undefined]",
        "module.exports = [-Infinity]",
        "module.exports = [true_]",
        "module.exports = [null$]",
        "module.exports = [`a`]",
        "module.exports = [/a/]",
        "module.exports = [!0]",
        "module.exports = [...[]]",
        "module.exports = {,}",
        "module.exports = {a}",
        "module.exports = {a: b}",
        "module.exports = {a: 1 b: 2}",
        "module.exports = {a: 1; b: 2}",
        "module.exports = {a: 'b': 1}",
        "module.exports = {a() {}}",
        "module.exports = {get a() {}}",
        "module.exports = {[a]: 1}",
        "module.exports = {a-b: 1}",
        "module.exports = {\\u0061: 1}",
        "module.exports = {é: 1}",
        "module.exports = {1: 1}",
        "module.exports = {1e3: 1}",
        "module.exports = {.5: 1}",
        "module.exports = {-Infinity: 1}",
        "module.exports = {b: 1, '0': 2}",
        "module.exports = {'1': 1, '0': 2}",
        "module.exports = {b: 1, '': 2}",
        "module.exports = {b: 1, \"\\x31\": 2}",
        "module.exports = {a: 1, 'a': 2}",
        "module.exports = {a: {b: 1, c: 2, '\\u0062': 3}}",
        "module.exports = {__proto__: {a: 1}}",
        "module.exports = {'__proto__': null}",
        "module.exports = {'\\x5f_proto__': null}",
        "module.exports = {__esModule: true, default: {}}",
        "module.exports = [010]",
        "module.exports = [08]",
        "module.exports = [-01]",
        "module.exports = [00]",
        "module.exports = [1_000]",
        "module.exports = [1n]",
        "module.exports = [0x]",
        "module.exports = [0xfg]",
        "module.exports = [0b1]",
        "module.exports = [0o7]",
        "module.exports = [0x1.8]",
        "module.exports = [0x12345678901234]",
        "module.exports = [.]",
        "module.exports = [1e]",
        "module.exports = [1..toFixed()]",
        "module.exports = [1.e]",
        "module.exports = [5.a]",
        "module.exports = ['\\1']",
        "module.exports = ['\\0']",
        "module.exports = ['\\01']",
        "module.exports = ['\\8']",
        "module.exports = ['\\a']",
        "module.exports = ['\\x4']",
        "module.exports = ['\\u004']",
        "module.exports = ['\\u{41}']",
        "module.exports = ['\\u+041']",
        "module.exports = ['\\ud800']",
        "module.exports = ['\\udc00\\ud800']",
        "module.exports = ['\\é']",
        "module.exports = ['a\nb']",
        "module.exports = ['a\rb']",
        "module.exports = ['a\\\nb']",
        "module.exports = ['a\u{2028}b']",
        "module.exports = ['a\0b']",
        "module.exports = ['a\"]",
        "module.exports = [1, // \u{2028} 2\n]",
        "// \u{2029}\nmodule.exports = [1]",
        "module.exports =\u{a0}[1]",
        "module.exports = [\u{feff}1]",
        "module.exports = [\u{85}1]",
        "\u{feff}\u{feff}module.exports = [1]",
        &deep,
        &long,
    ];
    for text in table {
        let short: String = text.chars().take(80).collect();
        assert_eq!(common(text), None, "{short}");
        let module = text.replace("module.exports =", "export default");
        assert_eq!(parse(&module, Form::Module, SourceId(0)), None, "{short}");
    }
    assert!(common(&deep.replacen("[[", "[", 1).replacen("]]", "]", 1)).is_some());
}

#[test]
fn cut_off_anywhere_nothing_panics() {
    let text = "\u{feff}/*é*/'use strict'\nmodule.exports = {é: 1, a: ['😀\\x41\\u0041', -1.5e+3, 0x1f, true]} // é";
    for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
        for part in [&text[..at], &text[at..], &format!("module.exports = {}", &text[at..])] {
            let _ = common(part);
            let _ = parse(part, Form::Module, SourceId(0));
        }
    }
}

#[test]
fn places_are_exact() {
    let text = "/* é😀 */ module.exports =\n  { 'é😀': ['ü', 1.5], /* é */ b: {} };";
    let dos = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    for text in [text, &dos] {
        let node = common(text).unwrap();
        let want = ["{ 'é😀': ['ü', 1.5], /* é */ b: {} }", "key 'é😀'", "['ü', 1.5]", "'ü'", "1.5", "key b", "{}"];
        assert_eq!(samples::spans(&node, text), want);
    }
}

/// The engine makes the same of each, to the bit.
#[test]
fn the_engine_reads_the_same() {
    let literals = [
        "{}",
        "[]",
        "[[], {}, [{}],]",
        "[0, -0, +0, 1, -1, +1, 1.5, .5, 5., -.5, +5., 0.0]",
        "[1e3, 1E3, 1e+3, 1e-3, 5.e3, .5e-1, 0e0, 1e21, 1e400, -1e400, 1e-400]",
        "[0.1, 0.30000000000000004, 123456789.123456789, 5e-324, 1.7976931348623157e308, 2.2250738585072011e-308]",
        "[9007199254740991, 9007199254740993, 18446744073709551616, 123456789012345678901234567890]",
        "[0x0, 0xff, 0XFF, -0xFF, +0x1f, 0xfffffffffffff, 0xe5, 0x00f]",
        "[NaN, Infinity]",
        "[true, false, null]",
        r#"['\n\t\r\b\f\v\\\'\"\/', "\n\t\r\b\f\v\\\'\"\/"]"#,
        r#"['it"s', "it's", '\x41\xe9\xff\x00', '\u0041\u00e9\uFFFD\uffff\u0000']"#,
        r"['\ud83d\ude00', '\uD83D\uDE00x', 'é😀\t']",
        "['tab\there', '\u{7f}\u{80}\u{a0}\u{feff}\u{ffff}\u{10ffff}']",
        "['//', '/* ', '*/', '<!--', '-->', '{', ']', ';', ',', ':']",
        "['', \"\", {a: ''}]",
        "{a: 1, b: 2, c: {d: 3}, _: 4, $: 5, $a_1: 6}",
        "{z: 1, a: 2, 'm n': 3, \"é\": 4, '😀': 5}",
        "{if: 1, class: 2, default: 3, true: 4, null: 5, NaN: 6, Infinity: 7, undefined: 8, new: 9, get: 10, async: 11}",
        "{constructor: 1, toString: 2, hasOwnProperty: 3, length: 4, prototype: 5, valueOf: 6}",
        "{toJSON: 1, then: 2, default: {apps: []}, apps: 3}",
        "{b: 1, '-1': 4, '1.5': 5, '1e3': 6, ' 1': 7}",
        "{'0': 1, '2': 2, '10': 3, a: 4, '01': 5, '4294967295': 6}",
        "{__Proto__: 1, proto: 2}",
        "{a /* : */ : /* , */ 1 // }\n, /**/ b: [ // ]\n ] }",
        "{\ta:\r\n1\r,b\n:\n2}",
        "{apps: [{name: 'a', script: './a.js', instances: -1, env: {PORT: 3000, A: '1', B: null, C: false}}]}",
    ];
    for literal in literals {
        for (form, name, text) in [
            (Form::CommonJs, "a.cjs", format!("module.exports = {literal};\n")),
            (Form::Module, "a.mjs", format!("export default {literal}\n")),
        ] {
            let node = parse(&text, form, SourceId(0)).unwrap_or_else(|| panic!("{text}"));
            let engine = exported_by_the_engine(name, &text).map(|node| shown(&node));
            assert_eq!(Ok(shown(&node)), engine, "{text}");
        }
    }
}

/// Texts that are often, and not always, JavaScript.
fn any_literal() -> impl Strategy<Value = String> {
    let number =
        prop_oneof!["[-+]?[0-9]{1,3}", "[-+]?[0-9]{0,2}\\.?[0-9]{0,20}(e[-+]?[0-9]{1,3})?", "0[xX][0-9a-fA-F]{1,15}"];
    let piece = prop_oneof![
        4 => "[ -~]{0,4}".prop_map(|text| text.replace(['\\', '\''], "")),
        2 => "\\\\(x[0-9a-f]{2}|u[0-9a-f]{4}|[ -~])",
        1 => proptest::sample::select(vec!["é", "😀", "\t", "\\ud83d\\ude00", "\u{2028}", "\u{a0}", "\\\n", "\n"])
            .prop_map(str::to_owned),
    ];
    let text = proptest::collection::vec(piece, 0..4).prop_map(|pieces| format!("'{}'", pieces.concat()));
    let word = proptest::sample::select(vec!["true", "false", "null", "NaN", "Infinity", "undefined", "-Infinity"]);
    let leaf = prop_oneof![number, text.clone(), word.prop_map(str::to_owned)];
    let key = prop_oneof![4 => "[a-z_$][a-z0-9_$]{0,3}", 2 => text, 1 => "[0-9]{1,2}"];
    let blank = proptest::sample::select(vec!["", " ", "\n", "\r\n", "\t", "/* x */", "// y\n", "/*\n*/"]);
    leaf.prop_recursive(3, 24, 5, move |inner| {
        let pair =
            (key.clone(), blank.clone(), inner.clone()).prop_map(|(key, blank, value)| format!("{key}{blank}:{value}"));
        let end = proptest::sample::select(vec!["", ","]);
        let items = proptest::collection::vec(inner, 0..5);
        prop_oneof![
            (items, blank.clone(), end.clone()).prop_map(|(items, blank, end)| format!(
                "[{}{}]",
                items.join(&format!(",{blank}")),
                if items.is_empty() { "" } else { end }
            )),
            (proptest::collection::vec(pair, 0..5), blank.clone(), end).prop_map(|(pairs, blank, end)| format!(
                "{{{}{}}}",
                pairs.join(&format!("{blank},")),
                if pairs.is_empty() { "" } else { end }
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_reads_the_same_of_anything(literal in any_literal()) {
        let text = format!("module.exports = [{literal}]");
        if let Some(node) = common(&text) {
            let engine = exported_by_the_engine("a.cjs", &text).map(|node| shown(&node));
            prop_assert_eq!(Ok(shown(&node)), engine);
        }
    }
}
