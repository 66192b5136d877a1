use super::is_scalar;
use super::scalar::{json, quoted};
use crate::document::{Kind, Node};

const WIDTH: usize = 90;

pub(super) fn document(node: &Node) -> String {
    match inline(node, 0) {
        Some(line) => line + "\n",
        None => block(node, 0),
    }
}

/// Whatever needs no lines of its own.
fn inline(node: &Node, indent: usize) -> Option<String> {
    match &node.kind {
        Kind::String(text) => Some(if is_plain(text) { text.clone() } else { quoted(text) }),
        Kind::Sequence(items) if items.iter().all(is_scalar) => {
            let items: Vec<String> = items.iter().filter_map(|item| inline(item, indent)).collect();
            let line = format!("[{}]", items.join(", "));
            (items.is_empty() || line.chars().count() + indent <= WIDTH).then_some(line)
        }
        Kind::Mapping(entries) if entries.is_empty() => Some("{}".to_owned()),
        Kind::Sequence(_) | Kind::Mapping(_) => None,
        _ => Some(json(node)),
    }
}

/// Lines, the first of them indented too.
fn block(node: &Node, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let mut out = String::new();
    match &node.kind {
        Kind::Sequence(items) => {
            for item in items {
                match inline(item, indent) {
                    Some(line) => out.extend([&margin, "- ", &line, "\n"]),
                    // The first line stands behind the dash.
                    None => out.extend([&margin, "- ", &block(item, indent + 2)[indent + 2..]]),
                }
            }
        }
        Kind::Mapping(entries) => {
            for entry in entries {
                let key = if is_plain(&entry.key.text) { entry.key.text.clone() } else { quoted(&entry.key.text) };
                match inline(&entry.value, indent + key.len()) {
                    Some(line) => out.extend([&margin, &key, ": ", &line, "\n"]),
                    None => out.extend([&margin, &key, ":\n", &block(&entry.value, indent + 2)]),
                }
            }
        }
        _ => {}
    }
    out
}

/// Whether every YAML reads a text without quotes as this text, in brackets and as a key, too. The words are those
/// that YAML 1.1 takes for booleans and nulls.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '/')) || text.starts_with("./");
    let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | ' ' | '@' | '+' | '=');
    first && text.chars().all(rest) && !text.ends_with(' ') && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}
