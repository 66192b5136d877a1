use std::fmt::Write as _;

use crate::document::{Kind, Node, to_json};

/// A string in double quotes, by escapes that JSON, JavaScript, YAML and TOML share. Nothing that steers a terminal or
/// ends a line in one of them stays as it is.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A scalar as JSON has it.
pub(super) fn json(node: &Node) -> String {
    match &node.kind {
        Kind::String(text) => quoted(text),
        _ => to_json(node).to_string(),
    }
}
