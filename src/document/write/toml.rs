use super::scalar::{json, quoted};
use crate::document::{Entry, Kind, Node};

const WIDTH: usize = 90;
/// From here on TOML's integers end.
const INTEGERS_END: f64 = 9_223_372_036_854_775_808.0;

pub(super) fn document(node: &Node) -> String {
    table(node.entries().unwrap_or_default(), "")
}

/// The entries of a table: `key = value` lines, then sections. What has a plain value behind it cannot be a section,
/// or the order would be another one.
fn table(entries: &[Entry], path: &str) -> String {
    let lines = entries.iter().rposition(|entry| !is_section(&entry.value)).map_or(0, |at| at + 1);
    let (lines, sections) = entries.split_at(lines);
    let mut out = String::new();
    for entry in lines {
        let key = key(&entry.key.text);
        let line = inline(&entry.value);
        let value = match (&entry.value.kind, key.chars().count() + line.chars().count() > WIDTH) {
            (Kind::Sequence(items), true) => spread(items),
            _ => line,
        };
        out.extend([&key, " = ", &value, "\n"]);
    }
    for entry in sections {
        let path = if path.is_empty() { key(&entry.key.text) } else { format!("{path}.{}", key(&entry.key.text)) };
        match &entry.value.kind {
            Kind::Sequence(items) => {
                for item in items {
                    out = header(out, &format!("[[{path}]]")) + &table(item.entries().unwrap_or_default(), &path);
                }
            }
            _ => out = header(out, &format!("[{path}]")) + &table(entry.value.entries().unwrap_or_default(), &path),
        }
    }
    out
}

fn header(mut out: String, line: &str) -> String {
    if !out.is_empty() {
        out.push('\n');
    }
    out + line + "\n"
}

fn is_section(node: &Node) -> bool {
    let is_table = |node: &Node| node.entries().is_some_and(|entries| !entries.is_empty());
    is_table(node) || node.items().is_some_and(|items| !items.is_empty() && items.iter().all(is_table))
}

fn inline(node: &Node) -> String {
    match &node.kind {
        Kind::Sequence(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Kind::Mapping(entries) if entries.is_empty() => "{}".to_owned(),
        Kind::Mapping(entries) => {
            let pairs = entries.iter().map(|entry| format!("{} = {}", key(&entry.key.text), inline(&entry.value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        Kind::Number(number) if number.abs() >= INTEGERS_END => format!("{number:e}"),
        _ => json(node),
    }
}

fn spread(items: &[Node]) -> String {
    items.iter().fold("[\n".to_owned(), |out, item| out + "  " + &inline(item) + ",\n") + "]"
}

fn key(text: &str) -> String {
    let bare = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { text.to_owned() } else { quoted(text) }
}
