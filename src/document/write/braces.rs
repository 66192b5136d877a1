//! JSON, JSON5 and JavaScript's literals.

use super::scalar::{json, quoted};
use super::{all_scalars, is_scalar};
use crate::document::{Kind, Node};

/// What fits into a line is not spread over several.
const WIDTH: usize = 90;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Strict,
    /// Bare keys, commas at the end.
    Loose,
}

pub(super) fn strict(node: &Node) -> String {
    value(node, Style::Strict, 0)
}

pub(super) fn loose(node: &Node) -> String {
    value(node, Style::Loose, 0)
}

fn value(node: &Node, style: Style, depth: usize) -> String {
    let (open, close, members, simple) = match &node.kind {
        Kind::Sequence(items) => {
            let members: Vec<String> = items.iter().map(|item| value(item, style, depth + 1)).collect();
            ("[", "]", members, items.iter().all(is_scalar))
        }
        Kind::Mapping(entries) => {
            let member = |entry: &crate::document::Entry| {
                format!("{}: {}", key(&entry.key.text, style), value(&entry.value, style, depth + 1))
            };
            ("{", "}", entries.iter().map(member).collect(), depth > 1 && all_scalars(entries))
        }
        _ => return json(node),
    };
    if members.is_empty() {
        return format!("{open}{close}");
    }
    let line = members.join(", ");
    if simple && line.chars().count() + 2 * depth <= WIDTH {
        let space = if open == "{" { " " } else { "" };
        return format!("{open}{space}{line}{space}{close}");
    }
    let indent = "  ".repeat(depth);
    let end = if style == Style::Loose { "," } else { "" };
    let lines = members.join(&format!(",\n{indent}  "));
    format!("{open}\n{indent}  {lines}{end}\n{indent}{close}")
}

fn key(text: &str, style: Style) -> String {
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if bare && style == Style::Loose { text.to_owned() } else { quoted(text) }
}
