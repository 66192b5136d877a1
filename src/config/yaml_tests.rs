use std::fmt::Write as _;

use serde_json::json;

use super::*;
use crate::config::samples;
use crate::document::to_json;

fn check(text: &str) -> Node {
    let (node, problems) = parse(text, SourceId(0));
    assert_eq!(problems, [], "{text}");
    node.expect("a tree")
}

fn problem(text: &str) -> (String, Range<usize>) {
    samples::first_problem(parse(text, SourceId(0)), text)
}

#[test]
fn scalars_are_those_of_the_core_schema() {
    let table = [
        ("[null, Null, NULL, ~, ]", json!([null, null, null, null])),
        (
            "[true, True, TRUE, false, yes, no, on, off, y]",
            json!([true, true, true, false, "yes", "no", "on", "off", "y"]),
        ),
        ("[0, -1, +2, 017, 0o17, 0x1F, 1_000]", json!([0, -1, 2, 17, 15, 31, "1_000"])),
        (
            "[1.5, .5, 5., 1e3, -2.5E-1, 1.2.3, '.', e5, 1e]",
            json!([1.5, 0.5, 5, 1000, -0.25, "1.2.3", ".", "e5", "1e"]),
        ),
        (
            "[inf, nan, infinity, 0x, 0o9, -0x1, 2024-01-02, 12:30]",
            json!(["inf", "nan", "infinity", "0x", "0o9", "-0x1", "2024-01-02", "12:30"]),
        ),
        ("['1', \"true\", 'it''s', \"\\u00e9\\n\"]", json!(["1", "true", "it's", "é\n"])),
        ("[!!str 1, !!str , !!int 3, !!float 1, !!bool true, ! 5, !!null ~]", json!(["1", "", 3, 1, true, "5", null])),
        ("a:\nb: ''\nc: ~", json!({"a": null, "b": "", "c": null})),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", json!({"a": "x\ny\n", "b": "x y"})),
        ("1: a\ntrue: b\n0x10: c\n~: d\n'': e", json!({"1": "a", "true": "b", "0x10": "c", "null": "d", "": "e"})),
        ("a: 9007199254740993", json!({"a": 9_007_199_254_740_992_i64})),
    ];
    for (text, want) in table {
        assert_eq!(to_json(&check(text)), want, "{text}");
    }
    let Kind::Sequence(items) = check("[.inf, -.INF, .nan]").kind else { panic!("a list") };
    assert!(matches!(items[0].kind, Kind::Number(value) if value == f64::INFINITY));
    assert!(matches!(items[1].kind, Kind::Number(value) if value == f64::NEG_INFINITY));
    assert!(matches!(items[2].kind, Kind::Number(value) if value.is_nan()));
}

#[test]
fn anchors_aliases_and_merges() {
    let table = [
        ("a: &x 1\nb: *x", json!({"a": 1, "b": 1})),
        ("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}", json!({"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}})),
        (
            "a: &x {p: 1}\nb: &y {p: 2, r: 2}\nc: {<<: [*x, *y], s: 3}",
            json!({"a": {"p": 1}, "b": {"p": 2, "r": 2}, "c": {"p": 1, "r": 2, "s": 3}}),
        ),
        (
            "a: &x {p: 1}\nb: &y {<<: *x, q: 2}\nc:\n  <<: *y\n  p: 9",
            json!({"a": {"p": 1}, "b": {"p": 1, "q": 2}, "c": {"q": 2, "p": 9}}),
        ),
        ("a: {'<<': 1}", json!({"a": {"<<": 1}})),
        ("a: &x k\n*x : v", json!({"a": "k", "k": "v"})),
        ("a: &x 1\nb: &x 2\nc: *x", json!({"a": 1, "b": 2, "c": 2})),
    ];
    for (text, want) in table {
        assert_eq!(to_json(&check(text)), want, "{text}");
    }
    let twice = check("a: 1\na: 2");
    assert_eq!(twice.entries().unwrap().len(), 2);
}

#[test]
fn every_span_is_its_bytes() {
    let text = "\u{feff}# é\r\napps:\r\n  - é😀: \"x\" # 😀\r\n    b: [1, {c: 2}]\r\n    d: |\r\n      one\r\n      two\r\n\r\n# end\r\nz: &a plain text\r\ny: *a\r\n";
    let want = [
        "apps:\r\n  - é😀: \"x\" # 😀\r\n    b: [1, {c: 2}]\r\n    d: |\r\n      one\r\n      two\r\n\r\n# end\r\nz: &a plain text\r\ny: *a",
        "key apps",
        "- é😀: \"x\" # 😀\r\n    b: [1, {c: 2}]\r\n    d: |\r\n      one\r\n      two",
        "é😀: \"x\" # 😀\r\n    b: [1, {c: 2}]\r\n    d: |\r\n      one\r\n      two",
        "key é😀",
        "\"x\"",
        "key b",
        "[1, {c: 2}]",
        "1",
        "{c: 2}",
        "key c",
        "2",
        "key d",
        "one\r\n      two",
        "key z",
        "plain text",
        "key y",
        "plain text",
    ];
    assert_eq!(samples::spans(&check(text), text), want);
}

#[test]
fn problems_point_to_their_bytes() {
    let table = [
        ("a: *nope", "this names an anchor that does not exist", "*"),
        ("cron: */5 * * * *", "this names an anchor that does not exist", "*"),
        ("a: 1\n---\nb: 2", "a second document begins here", "---"),
        ("# only", "there is no value in this file", ""),
        ("a: !env X", "the tag `!env` means nothing here", "!env"),
        ("a: !!int x", "this is not what its tag `!!int` says", "x"),
        ("a: {<<: 5}", "`<<` takes an object or a list of them, not a number", "5"),
        ("? [a]\n: b", "a key has to be a plain text", "["),
        ("a: &x [*x]", "this alias stands within its own anchor", "*x"),
        ("a: [1, 2", "this `[` is never closed", "["),
        ("a: @daily", "a value cannot start with `@`", "@"),
        ("a:\n\t- b", "a tab in the indentation", "-"),
        ("apps:\n  - name: a\n\tscript: a.js\n", "a tab in the indentation", "\t"),
        ("a: \"b", "this string is never closed", "\""),
        ("l:\n  - a: \"b\n    c: d\n    e: \"f\"\n", "this quote is not closed before the next line", "\""),
        ("l:\n  - a: 'b\n    c: \"d\"\n", "this quote is not closed before the next line", "'"),
    ];
    for (text, message, bytes) in table {
        let (found, range) = problem(text);
        assert_eq!((found.as_str(), &text[range]), (message, bytes), "{text}");
    }
}

#[test]
fn usual_slips_have_a_hint() {
    let table = [
        ("a: */5 * * * *", "quote it when it is text: \"*/5 * * * *\""),
        ("a: * * * * *", "quote it when it is text: \"* * * * *\""),
        ("apps:\n  - name: a\n   script: b", "indentation"),
        ("apps:\n  - name: a\n script: b", "indentation"),
        ("a: b: c", "needs quotes"),
        ("a:\n\tb: 1", "spaces only"),
    ];
    for (text, want) in table {
        let (_, problems) = parse(text, SourceId(0));
        let hint = problems[0].hint.as_deref().unwrap_or("");
        assert!(hint.contains(want), "{text}: {problems:?}");
    }
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..10 {
        let inner = vec![format!("*a{}", level - 1); 9].join(",");
        writeln!(laughs, "a{level}: &a{level} [{inner}]").unwrap();
    }
    let long = format!("a: &a {}\nb: [{}]", "x".repeat(1_000_000), vec!["*a"; 1000].join(","));
    let merges = format!("a: &a {{k: 1}}\nb: {{{}}}", vec!["<<: [*a,*a,*a]"; 40_000].join(","));
    let wide = format!("[{}]", "1,".repeat(150_000));
    for text in [laughs, long, merges, wide] {
        assert!(problem(&text).0.starts_with("the document is too large from here on"), "{}", &text[..40]);
    }
    let mut chain = String::from("a0: &a0 x\n");
    for level in 1..80 {
        writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    assert_eq!(problem(&chain).0, "aliases are nested too deeply here");
    let mut deep = format!("a0: &a0 {}{}\n", "[".repeat(200), "]".repeat(200));
    for level in 1..5 {
        writeln!(deep, "a{level}: &a{level} {}*a{}{}", "[".repeat(200), level - 1, "]".repeat(200)).unwrap();
    }
    assert_eq!(problem(&deep).0, "aliases are nested too deeply here");
}

#[test]
fn depth_is_an_error_not_a_crash() {
    for text in ["[".repeat(200_000), "{a: ".repeat(200_000), "- ".repeat(200_000)] {
        assert!(problem(&text).0.contains("255"), "{:?}", problem(&text));
    }
    drop(check(&format!("{}{}", "[".repeat(250), "]".repeat(250))));
}
