//! What the tests of the three data front-ends share.

use std::ops::Range;

use serde_json::Value;

use crate::diag::{Diagnostic, Severity};
use crate::document::{Kind, Location, Node, SourceId, to_json};

/// Well-formed JSON5 that the json5 crate reads too.
pub(super) const JSON5: &[&str] = &[
    include_str!("../../fixtures/config/ok/shop.json5"),
    include_str!("../../fixtures/config/ok/shop.json"),
    "{}",
    "[]",
    "'text'",
    "[[], {}, [[{}]]]",
    "{a: {b: {c: [1, 2, {d: 'e'}]}}}",
    "{'a b': 1, \"c\": 2, _d: 3, $: 4}",
    "[+1, -1, .5, 5., 0x1f, -0XFF, 1e2, 1E-2, 0, -0.0]",
    "/* a */ [ // b\n 1, /* c */ 2 ]",
    r#"["\n\t\\\"\/\b\f\r", '\'', "\u0041", "é😀"]"#,
    "['line \\\n two']",
    "[true, false, null,]",
];

/// The source text of each key and value, depth first.
pub(super) fn spans(node: &Node, text: &str) -> Vec<String> {
    let slice = |span: Option<crate::document::Span>| {
        let span = span.expect("front-ends know every place");
        text[span.start as usize..span.end as usize].to_owned()
    };
    let mut out = vec![slice(node.span)];
    match &node.kind {
        Kind::Sequence(items) => out.extend(items.iter().flat_map(|item| spans(item, text))),
        Kind::Mapping(entries) => {
            for entry in entries {
                out.push(format!("key {}", slice(entry.key.span)));
                out.extend(spans(&entry.value, text));
            }
        }
        _ => {}
    }
    out
}

pub(super) fn first_problem((_, problems): (Option<Node>, Vec<Diagnostic>), text: &str) -> (String, Range<usize>) {
    let short: String = text.chars().take(60).collect();
    let first = problems.first().unwrap_or_else(|| panic!("no problem in {short}"));
    assert_eq!(first.severity, Severity::Error, "{short}");
    let Location::At { span, .. } = first.location else { panic!("{first:?}") };
    (first.message.clone(), span.start as usize..span.end as usize)
}

/// Every number as the document's tree has it.
pub(super) fn doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => to_json(&Node::new(Kind::Number(number.as_f64().expect("fits")), None)),
        Value::Array(items) => items.into_iter().map(doubles).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, doubles(value))).collect(),
        other => other,
    }
}

fn read(name: &str, text: &str) -> Value {
    let parse = match name.rsplit('.').next() {
        Some("toml") => super::toml::parse,
        Some("yaml") => super::yaml::parse,
        _ => super::json::parse,
    };
    let (node, problems) = parse(text, SourceId(0));
    assert_eq!(problems, [], "{name}");
    to_json(&node.expect("a tree"))
}

#[test]
fn one_ecosystem_in_four_formats_is_one_tree() {
    let want = read("shop.json", include_str!("../../fixtures/config/ok/shop.json"));
    for (name, text) in [
        ("shop.json5", include_str!("../../fixtures/config/ok/shop.json5")),
        ("shop.yaml", include_str!("../../fixtures/config/ok/shop.yaml")),
        ("shop.toml", include_str!("../../fixtures/config/ok/shop.toml")),
    ] {
        assert_eq!(read(name, text), want, "{name}");
        let dos = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        assert_eq!(read(name, &dos), want, "{name} with a byte order mark and CRLF");
    }
}

#[test]
fn cut_off_anywhere_nothing_panics() {
    for (name, text) in [
        ("json5", include_str!("../../fixtures/config/ok/shop.json5")),
        ("yaml", include_str!("../../fixtures/config/ok/shop.yaml")),
        ("toml", include_str!("../../fixtures/config/ok/shop.toml")),
    ] {
        let parse = match name {
            "toml" => super::toml::parse,
            "yaml" => super::yaml::parse,
            _ => super::json::parse,
        };
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            for part in [&text[..at], &text[at..]] {
                let (node, problems) = parse(part, SourceId(0));
                assert!(node.is_some() || !problems.is_empty(), "{name}, cut at {at}");
                for problem in problems {
                    let Location::At { span, .. } = problem.location else { panic!("{problem:?}") };
                    assert!(part.get(span.start as usize..span.end as usize).is_some(), "{name}, {at}: {problem:?}");
                }
            }
        }
    }
}
