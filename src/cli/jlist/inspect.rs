//! Values as Node's `util.inspect` shows them, but for one thing: never two names on one line, so that counting lines
//! counts values.

use serde_json::Value;

/// What Node puts on one line.
const LINE_MAX: usize = 72;

pub(super) fn inspected(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

fn write(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Array(items) if items.is_empty() => out.push_str("[]"),
        Value::Object(entries) if entries.is_empty() => out.push_str("{}"),
        Value::Array(items) => {
            let plain = !items.iter().any(|item| item.is_object() || item.is_array());
            let line: Vec<String> = items.iter().filter(|_| plain).map(inspected).collect();
            if plain && line.iter().map(|item| item.chars().count() + 2).sum::<usize>() <= LINE_MAX {
                out.extend(["[ ", &line.join(", "), " ]"]);
                return;
            }
            block(('[', ']'), depth, items.iter().map(|item| (None, item)), out);
        }
        Value::Object(entries) => {
            block(('{', '}'), depth, entries.iter().map(|(name, value)| (Some(name), value)), out);
        }
        other => out.push_str(&other.to_string()),
    }
}

fn block<'a>(
    (open, close): (char, char),
    depth: usize,
    items: impl ExactSizeIterator<Item = (Option<&'a String>, &'a Value)>,
    out: &mut String,
) {
    let last = items.len();
    out.push(open);
    for (number, (name, value)) in (1..).zip(items) {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth + 1));
        if let Some(name) = name {
            out.push_str(&if is_identifier(name) { name.clone() } else { quoted(name) });
            out.push_str(": ");
        }
        write(value, depth + 1, out);
        if number < last {
            out.push(',');
        }
    }
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
    out.push(close);
}

fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '$')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
}

/// In the quotes that need no escaping, single ones first.
fn quoted(text: &str) -> String {
    let quote = ['\'', '"', '`'].into_iter().find(|quote| !text.contains(*quote)).unwrap_or('\'');
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => {
                let code = format!("\\x{:02X}", u32::from(c));
                out.push_str(&code);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_look_as_node_shows_them_with_one_name_a_line() {
        let value = json!([{
            "pid": 7,
            "name": "it's",
            "pm2_env": { "args": ["--a", "1", "two words"], "axm_actions": [], "axm_monitor": {}, "x.y": null, "ok": true },
            "monit": { "memory": 5, "cpu": 0.5 },
        }]);
        let want = "\
[
  {
    pid: 7,
    name: \"it's\",
    pm2_env: {
      args: [ '--a', '1', 'two words' ],
      axm_actions: [],
      axm_monitor: {},
      'x.y': null,
      ok: true
    },
    monit: {
      memory: 5,
      cpu: 0.5
    }
  }
]";
        assert_eq!(inspected(&value), want);
        assert_eq!(inspected(&json!([])), "[]");
    }

    #[test]
    fn texts_are_on_one_line_whatever_is_in_them() {
        for (text, want) in [
            ("a\nb", r"'a\nb'"),
            ("\x1b[2J", r"'\x1B[2J'"),
            ("c:\\x", r"'c:\\x'"),
            ("'\"", "`'\"`"),
            ("'\"`", "'\\'\"`'"),
        ] {
            assert_eq!(quoted(text), want);
        }
    }
}
