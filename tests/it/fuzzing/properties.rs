//! What holds of any bytes that a front-end, or the decoder after it, is given. `fuzz/` makes the bytes; the test beside
//! this file goes through those that are kept.

use pmrun::config;
use pmrun::diag::{self, Report, Severity};
use pmrun::document::{Format, Kind, Location, Node, Sources, Span, to_json};
use serde_json::Value;

type Check = fn(&[u8]);

/// A target of `fuzz/`, and the folder of its seeds in `fixtures/fuzz`.
pub(super) const TARGETS: [(&str, Check); 7] = [
    ("json", json),
    ("yaml", yaml),
    ("toml", toml),
    ("literal", literal),
    ("program", program),
    ("dotenv", dotenv),
    ("document", super::document::document),
];

/// What all parsers here are known to take without a stack overflow.
const BRACKETS_MAX: usize = 60;

/// JSON means what serde_json makes of it, JSON5 what json5 does; neither takes what the other refuses.
fn json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let node = read(text, Format::Json5);
    if let Some(node) = &node {
        check_nesting(node);
    }
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let node = node.as_ref().expect("JSON is JSON5");
        assert!(same(&to_json(node), &value), "{text:?}");
    }
    if text.matches(['[', '{']).count() > BRACKETS_MAX {
        return;
    }
    match (json5::from_str::<Value>(text), node) {
        (Ok(value), Some(node)) => assert!(same(&to_json(&node), &value), "{text:?}"),
        (Err(_), None) => {}
        (Ok(_), None) => assert!(is_refused_on_purpose(text), "json5 takes it: {text:?}"),
        // A number of any length is one in JavaScript.
        (Err(error), Some(_)) if error.to_string().starts_with("overflow parsing number") => {}
        (Err(error), Some(_)) => panic!("json5 does not take it: {text:?}: {error}"),
    }
}

/// A YAML document, and JSON as the part of YAML that it is.
fn yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let node = read(text, Format::Yaml);
    if text.matches(['[', '{']).count() > BRACKETS_MAX || !is_plain_json(text) {
        return;
    }
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let node = node.unwrap_or_else(|| panic!("JSON is YAML: {text:?}"));
        assert!(same(&to_json(&node), &value), "{text:?}");
    }
}

/// The tree says what the parser's own values do.
fn toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let node = read(text, Format::Toml);
    // One byte order mark is none of the text's.
    match (text.strip_prefix('\u{feff}').unwrap_or(text).parse::<toml::Table>(), node) {
        (Ok(table), Some(node)) => assert!(same(&to_json(&node), &toml_value(&table.into())), "{text:?}"),
        (Err(_), None) => {}
        (taken, node) => panic!("{text:?}: {:?}, {node:?}", taken.err()),
    }
}

/// Whatever is read without the engine is what the engine makes of it.
fn literal(bytes: &[u8]) {
    const LENGTH_MAX: usize = 4_096;
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for format in [Format::CommonJs, Format::Module] {
        let Some(node) = read(text, format) else { continue };
        check_nesting(&node);
        if text.len() <= LENGTH_MAX && text.matches(['[', '{']).count() <= BRACKETS_MAX {
            let ours = pmrun::document::to_json_text(&node);
            assert_eq!(Ok(ours), super::engine::exported(text, format), "{text:?}");
        }
    }
}

/// The marks that places are found by change nothing, and types that are taken out leave every byte where it was.
fn program(bytes: &[u8]) {
    const LENGTH_MAX: usize = 4_096;
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.len() > LENGTH_MAX || text.matches(['[', '{', '(']).count() > BRACKETS_MAX {
        return;
    }
    let stripped = config::js::without_types(text);
    if let Some(stripped) = &stripped {
        assert_eq!(stripped.len(), text.len(), "{text:?}");
        let lines = |text: &str| text.match_indices('\n').map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!(lines(stripped), lines(text), "{text:?}");
        assert_eq!(config::js::without_types(stripped).as_ref(), Some(stripped), "{text:?}");
    }
    let text = stripped.as_deref().unwrap_or(text);
    for is_module in [false, true] {
        let (plain, marked) = config::js::marked(text, is_module);
        let Some(marked) = marked else { continue };
        let (plain, marked) = (super::engine::outcome(&plain, is_module), super::engine::outcome(&marked, is_module));
        if let (Some(plain), Some(marked)) = (plain, marked) {
            assert_eq!(plain, marked, "{text:?}");
        }
    }
}

/// Names are names, each stands once, and a value that is written in quotes comes back.
fn dotenv(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let pairs = config::parse_dotenv(text);
    let mut known = std::collections::HashSet::new();
    for (name, value) in &pairs {
        let part = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        assert!(!name.is_empty() && name.chars().all(part), "{text:?}: {name:?}");
        assert!(known.insert(name), "{text:?}: {name:?} twice");
        assert!(value.len() <= text.len(), "{text:?}: {value:?}");
    }
    let quotable: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.contains(['\'', '\r', '\\'])).collect();
    let written: Vec<String> = quotable.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
    assert_eq!(config::parse_dotenv(&written.concat()), quotable, "{text:?}");
    // The end of a line is the same in every system.
    let (unix, dos) = (text.replace('\r', ""), text.replace('\r', "").replace('\n', "\r\n"));
    assert_eq!(config::parse_dotenv(&dos), config::parse_dotenv(&unix), "{text:?}");
}

/// What a front-end makes of a text: only what it found no fault with. Every place is one in the text, and what is said
/// can be shown.
fn read(text: &str, format: Format) -> Option<Node> {
    let (node, diagnostics) = config::parse(text, format);
    for diagnostic in &diagnostics {
        if let Location::At { span, .. } = &diagnostic.location {
            check_span(*span, text);
        }
    }
    if let Some(node) = &node {
        check_spans(node, text);
    }
    let is_literal = matches!(format, Format::CommonJs | Format::Module);
    let fine = diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error);
    assert!(node.is_some() || is_literal || !fine, "{text:?}: refused, and no error");
    // It takes most of the time, and the same problems are found in many texts.
    if text.len().is_multiple_of(8) {
        let mut sources = Sources::default();
        sources.add(std::path::Path::new("fuzz"), text);
        check_shown(&Report { sources, diagnostics });
    }
    node.filter(|_| fine)
}

/// All three ways of saying what is wrong.
pub(super) fn check_shown(report: &Report) {
    for unicode in [true, false] {
        let shown = diag::render_text(report, false, unicode);
        assert_eq!(shown.is_empty(), report.diagnostics.is_empty());
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!shown.contains(steers), "it can steer a terminal: {shown:?}");
    }
    let count = diag::render_json(report)["diagnostics"].as_array().map_or(0, Vec::len);
    assert_eq!(count, report.diagnostics.len());
    let lines = diag::render_github(report, true, std::path::Path::to_owned);
    assert_eq!(lines.lines().count(), report.diagnostics.len(), "{lines:?}");
}

fn check_spans(node: &Node, text: &str) {
    node.span.iter().for_each(|span| check_span(*span, text));
    for item in node.items().unwrap_or_default() {
        check_spans(item, text);
    }
    for entry in node.entries().unwrap_or_default() {
        entry.key.span.iter().for_each(|span| check_span(*span, text));
        check_spans(&entry.value, text);
    }
}

fn check_span(span: Span, text: &str) {
    let range = span.start as usize..span.end as usize;
    assert!(text.get(range.clone()).is_some(), "{range:?} of {text:?}");
}

/// What stands in brackets is between them, in its order.
fn check_nesting(node: &Node) {
    let Some(outer) = node.span else { return };
    let mut at = outer.start;
    let mut step = |span: Option<Span>| {
        let span = span.expect("it was written");
        assert!(at <= span.start && span.end <= outer.end, "{span:?} in {outer:?} from {at}");
        at = span.end;
    };
    for item in node.items().unwrap_or_default() {
        step(item.span);
        check_nesting(item);
    }
    for entry in node.entries().unwrap_or_default() {
        step(entry.key.span);
        step(entry.value.span);
        check_nesting(&entry.value);
    }
}

/// The same values; numbers as close as serde_json reads them.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap_or(f64::NAN), other.as_f64().unwrap_or(f64::NAN));
            (one - other).abs() <= (one.abs().max(other.abs()) * 1e-15).max(1e-300)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let alike = |(key, one): (&String, &Value)| other.get(key).is_some_and(|other| same(one, other));
            one.len() == other.len() && one.iter().all(alike)
        }
        (one, other) => one == other,
    }
}

fn toml_value(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.clone().into(),
        #[expect(clippy::cast_precision_loss, reason = "numbers are doubles, as in JavaScript")]
        toml::Value::Integer(number) => to_json(&Node::new(Kind::Number(*number as f64), None)),
        toml::Value::Float(number) => to_json(&Node::new(Kind::Number(*number), None)),
        toml::Value::Boolean(value) => (*value).into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.iter().map(toml_value).collect(),
        toml::Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), toml_value(value))).collect(),
    }
}

/// Halves of surrogate pairs: no text can hold them.
fn is_refused_on_purpose(text: &str) -> bool {
    text.to_ascii_lowercase().contains("\\ud")
}

/// JSON that is YAML by its specification: no tabs, no escaped surrogates, no character that YAML does not print, and
/// keys that are not too long.
fn is_plain_json(text: &str) -> bool {
    text.len() < 1_000
        && !text.contains(['\t', '\u{7f}', '\u{feff}'])
        && !text.contains(|c: char| ('\u{80}'..='\u{9f}').contains(&c) || ('\u{fffe}'..='\u{ffff}').contains(&c))
        && !text.to_ascii_lowercase().contains("\\ud")
}
