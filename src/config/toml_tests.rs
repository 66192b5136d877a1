use serde_json::json;

use super::*;
use crate::config::samples;
use crate::document::to_json;

fn check(text: &str) -> Node {
    let (node, problems) = parse(text, SourceId(0));
    assert_eq!(problems, [], "{text}");
    node.expect("a tree")
}

fn problem(text: &str) -> (String, std::ops::Range<usize>) {
    samples::first_problem(parse(text, SourceId(0)), text)
}

#[test]
fn values_are_as_in_the_other_formats() {
    let table = [
        ("a = [1, 0x1F, 0o17, 0b11, 1_000, -5, +3]", json!({"a": [1, 31, 15, 3, 1000, -5, 3]})),
        ("a = [1.5, 1e3, -2.5E-1]\nb = true", json!({"a": [1.5, 1000, -0.25], "b": true})),
        ("a = 9007199254740993", json!({"a": 9_007_199_254_740_992_i64})),
        (
            "a = 'x\\y'\nb = \"\\u00e9\\n\"\nc = \"\"\"\none\ntwo\"\"\"",
            json!({"a": "x\\y", "b": "é\n", "c": "one\ntwo"}),
        ),
        (
            "a = 2024-01-02\nb = 07:32:00\nc = 1979-05-27T07:32:00Z",
            json!({"a": "2024-01-02", "b": "07:32:00", "c": "1979-05-27T07:32:00Z"}),
        ),
        (
            "[[apps]]\nname = 'a'\n[apps.env]\nB = '1'\n[[apps]]\nname = 'b'",
            json!({"apps": [{"name": "a", "env": {"B": "1"}}, {"name": "b"}]}),
        ),
        ("a.b.c = 1\na.d = 2", json!({"a": {"b": {"c": 1}, "d": 2}})),
        ("\u{feff}a = 1\r\n", json!({"a": 1})),
    ];
    for (text, want) in table {
        assert_eq!(to_json(&check(text)), want, "{text}");
    }
    let node = check("a = [inf, -inf, nan]");
    let items = node.get("a").unwrap().items().unwrap();
    assert!(matches!(items[1].kind, Kind::Number(value) if value == f64::NEG_INFINITY));
    assert!(matches!(items[2].kind, Kind::Number(value) if value.is_nan()));
}

#[test]
fn the_order_is_the_files() {
    let node = check("z = 1\na = 2\n[m]\ny = 1\nb = {q = 1, c = 2}\n[k]\n");
    assert_eq!(
        serde_json::to_string(&to_json(&node)).unwrap(),
        r#"{"z":1,"a":2,"m":{"y":1,"b":{"q":1,"c":2}},"k":{}}"#
    );
}

#[test]
fn every_span_is_its_bytes() {
    let text = "\u{feff}# é\r\n\"é😀\" = 'x' # 😀\r\n[[apps]]\r\nname = \"a\"\r\nenv.PORT = 1\r\n[apps.more]\r\nd = 2024-01-02\r\n";
    let apps = "[[apps]]\r\nname = \"a\"\r\nenv.PORT = 1\r\n[apps.more]\r\nd = 2024-01-02";
    let want = [
        &text[3..],
        "key \"é😀\"",
        "'x'",
        "key apps",
        apps,
        apps,
        "key name",
        "\"a\"",
        "key env",
        "env.PORT = 1",
        "key PORT",
        "1",
        "key more",
        "[apps.more]\r\nd = 2024-01-02",
        "key d",
        "2024-01-02",
    ];
    assert_eq!(samples::spans(&check(text), text), want);
}

#[test]
fn problems_come_together_and_in_order() {
    let (node, problems) = parse("a = \nb = 1\nb = 2\nc = nope\n[x\n", SourceId(0));
    assert!(node.is_none());
    let places: Vec<u32> = problems
        .iter()
        .map(|problem| match problem.location {
            crate::document::Location::At { span, .. } => span.start,
            _ => panic!("{problem:?}"),
        })
        .collect();
    assert!(problems.len() >= 3 && problems.len() <= SHOWN, "{problems:?}");
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_repeated_key_is_an_error_and_the_rest_is_still_read() {
    let text = "a = 1\na = 2\nb = 3\n";
    let (node, problems) = parse(text, SourceId(0));
    assert_eq!(to_json(&node.unwrap()), json!({"a": 1, "b": 3}));
    assert_eq!(problems.len(), 1);
    let (message, range) = problem(text);
    assert_eq!((message.as_str(), range), (REPEATED, 6..7));
}

#[test]
fn depth_is_an_error_not_a_crash() {
    let dotted = format!("{}a = 1", "a.".repeat(200_000));
    let table = format!("[{}a]", "a.".repeat(200_000));
    for text in [format!("a = {}", "[".repeat(200_000)), format!("a = {}", "{a=".repeat(200_000)), dotted, table] {
        let (_, problems) = parse(&text, SourceId(0));
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].message, "more than 80 brackets are open here");
    }
    drop(check(&format!("a = {}{}", "[".repeat(70), "]".repeat(70))));
}
