use serde_json::json;

use super::*;
use crate::config::samples;
use crate::document::{Location, to_json};

fn check(text: &str) -> Node {
    let (node, problems) = parse(text, SourceId(0));
    assert_eq!(problems, [], "{text}");
    node.expect("a tree")
}

fn problem(text: &str) -> (String, std::ops::Range<usize>) {
    samples::first_problem(parse(text, SourceId(0)), text)
}

#[test]
fn all_of_json5_is_read() {
    let table = [
        ("null // tail", json!(null)),
        ("/* head */ [1, 2,]", json!([1, 2])),
        ("{a: 'x', $b_1: \"y\", 'c d': \"it's\",}", json!({"a": "x", "$b_1": "y", "c d": "it's"})),
        ("{é: 1, true: 2, null: 3, Infinity: 4}", json!({"é": 1, "true": 2, "null": 3, "Infinity": 4})),
        (
            r"{\u0061b: 1, c\u00E9d: {\u005f: [2]}, tru\u0065: 3, true\u0061: 4, é\u0031: 5}",
            json!({"ab": 1, "céd": {"_": [2]}, "true": 3, "truea": 4, "é1": 5}),
        ),
        ("[0x10, -0xFF, +1, .5, 5., 1e3, -2.5E-1]", json!([16, -255, 1, 0.5, 5, 1000, -0.25])),
        ("['a\\\nb', '\\x41\\u00e9\\ud83d\\ude00\\v\\0', \"\\'\"]", json!(["ab", "Aé😀\u{b}\0", "'"])),
        ("\u{feff}{\r\n\t\"a\":\u{a0}1\r\n}", json!({"a": 1})),
        ("{\u{feff}a: [1,\u{feff}'\u{feff}'] /* \u{feff} */\u{feff}}", json!({"a": [1, "\u{feff}"]})),
        ("{\"a\": 9007199254740993}", json!({"a": 9_007_199_254_740_992_i64})),
    ];
    for (text, want) in table {
        assert_eq!(to_json(&check(text)), want, "{text}");
    }
    let Kind::Sequence(items) = check("[Infinity, -Infinity, NaN, 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF]").kind else {
        panic!("a list");
    };
    let numbers: Vec<f64> =
        items.iter().map(|item| if let Kind::Number(value) = item.kind { value } else { 0.5 }).collect();
    assert_eq!(numbers[..2], [f64::INFINITY, f64::NEG_INFINITY]);
    assert!(numbers[2].is_nan() && numbers[3] > 8e40);
}

#[test]
fn every_span_is_its_bytes() {
    let text = "\u{feff}{\r\n  // é\r\n  \"é😀\": [1, 'x'],\r\n  b: {c: null, a\\u0062: 2}\r\n}\r\n";
    let want = [
        "{\r\n  // é\r\n  \"é😀\": [1, 'x'],\r\n  b: {c: null, a\\u0062: 2}\r\n}",
        "key \"é😀\"",
        "[1, 'x']",
        "1",
        "'x'",
        "key b",
        "{c: null, a\\u0062: 2}",
        "key c",
        "null",
        "key a\\u0062",
        "2",
    ];
    assert_eq!(samples::spans(&check(text), text), want);
}

#[test]
fn a_key_that_stands_twice_is_kept_twice() {
    let node = check("{a: 1, a: 2}");
    assert_eq!(node.entries().unwrap().len(), 2);
    assert_eq!(node.get("a").unwrap().kind, Kind::Number(2.0));
}

#[test]
fn problems_point_to_their_bytes() {
    let table = [
        ("{ name: 'a' script: 'b' }", "a comma is missing here", ""),
        ("[1 2]", "a comma is missing here", ""),
        ("{ a: api }", "`api` is not a value", "api"),
        ("{ a: undefined }", "`undefined` is not a value of JSON", "undefined"),
        ("{ a-b: 1 }", "the key `a-b` has to be in quotes", "a-b"),
        (r"{ \u0031a: 1 }", r"the key `\u0031a` has to be in quotes", r"\u0031a"),
        (r"{ a\u0020b: 1 }", r"the key `a\u0020b` has to be in quotes", r"a\u0020b"),
        (r"{ a: \u0062 }", r"`\u0062` is not a value", r"\u0062"),
        ("{ 10: 1 }", "the key `10` has to be in quotes", "10"),
        ("{ a: 'x\n, b: 1 }'}", "this string is not closed on its line", "'x"),
        ("{ a: 'x }", "this string is never closed", "'x }"),
        ("{ a: [1, }", "unexpected close brace", "}"),
        ("{ a: 1", "this `{` is never closed", "{ a: 1"),
        ("{} {}", "something follows after the end of the value", "{"),
        ("{a 1}", "a `:` is missing after this key", "1"),
        ("{a:}", "unexpected close brace", "}"),
        ("// only", "there is no value in this file", ""),
        ("module.exports = {}", "`module` does not belong here", "module"),
    ];
    for (text, message, bytes) in table {
        let (found, range) = problem(text);
        assert_eq!((found.as_str(), &text[range]), (message, bytes), "{text}");
    }
}

#[test]
fn depth_is_an_error_not_a_crash() {
    for text in ["[".repeat(200_000), "{a:".repeat(200_000), "[{a:".repeat(100_000)] {
        assert_eq!(problem(&text).0, "more than 512 brackets are open here");
    }
    let fits = format!("{}{}", "[".repeat(500), "]".repeat(500));
    drop(check(&fits));
}

#[test]
fn json5_reads_the_same() {
    for text in samples::JSON5 {
        let want: serde_json::Value = json5::from_str(text).expect(text);
        // Through numbers as doubles, as ours are.
        assert_eq!(to_json(&check(text)), samples::doubles(want), "{text}");
    }
}

/// The parser takes `true_x` for `true` and something behind it.
#[test]
fn words_that_begin_with_a_value_are_words() {
    let words = [
        "trueish",
        "true_x",
        "null_x",
        "nullable",
        "false_",
        "Infinity",
        "Infinity_x",
        "NaN",
        "NaNcy",
        "null",
        "true_null_x",
    ];
    let text: Vec<String> = words.iter().enumerate().map(|(at, word)| format!("{word}: {at} // {word}\n")).collect();
    let text = format!("\u{feff}{{s: 'true_x', {}}}", text.join(","));
    let (node, problems) = parse(&text, SourceId(0));
    assert_eq!(problems, []);
    let node = node.unwrap();
    let entries = node.entries().unwrap();
    assert_eq!(entries[0].value.as_str(), Some("true_x"));
    for (at, (entry, word)) in entries[1..].iter().zip(words).enumerate() {
        let span = entry.key.span.unwrap();
        assert_eq!((entry.key.text.as_str(), &text[span.start as usize..span.end as usize]), (word, word));
        assert_eq!(entry.value.kind, Kind::Number(f64::from(u32::try_from(at).unwrap())));
    }
    for (text, want, place) in [
        ("{a: true_}", "`true_` is not a value", 4..9),
        ("[null_x]", "`null_x` is not a value", 1..7),
        ("{true-x: 1}", "the key `true-x` has to be in quotes", 1..7),
        ("{a: truex}", "`truex` is not a value", 4..9),
    ] {
        let (_, problems) = parse(text, SourceId(0));
        assert_eq!(problems[0].message, want, "{text}");
        let Location::At { span, .. } = problems[0].location else { panic!("{text}") };
        assert_eq!((span.start, span.end), (place.start, place.end), "{text}");
    }
}
