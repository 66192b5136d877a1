use serde_json::{Map, Number, Value};

use super::{Entry, Kind, Node};

/// What `JSON.stringify` would hold: whole numbers without a fraction, no number for NaN and infinities.
#[must_use]
pub fn to_json(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(value) => Value::Bool(*value),
        Kind::Number(value) => number(*value),
        Kind::String(text) => Value::String(text.clone()),
        Kind::Sequence(items) => Value::Array(items.iter().map(to_json).collect()),
        Kind::Mapping(entries) => {
            let pairs =
                javascript_order(entries).into_iter().map(|entry| (entry.key.text.clone(), to_json(&entry.value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
    }
}

/// What `JSON.stringify` would print, to the byte: [`to_json`] holds the same values, but its numbers are printed as
/// Rust does.
#[must_use]
pub fn to_json_text(node: &Node) -> String {
    let mut out = String::new();
    write(node, &mut out);
    out
}

/// A number as JavaScript's `String()` writes it.
#[must_use]
pub fn js_number(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else if number == 0.0 {
        "0".to_owned()
    } else if (1e-6..1e21).contains(&number.abs()) {
        number.to_string()
    } else {
        let text = format!("{number:e}");
        if text.contains("e-") { text } else { text.replace('e', "e+") }
    }
}

fn write(node: &Node, out: &mut String) {
    match &node.kind {
        Kind::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Kind::Number(value) if value.is_finite() => out.push_str(&js_number(*value)),
        Kind::Null | Kind::Number(_) => out.push_str("null"),
        Kind::String(text) => quote(text, out),
        Kind::Sequence(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write(item, out);
            }
            out.push(']');
        }
        Kind::Mapping(entries) => {
            out.push('{');
            for (at, entry) in javascript_order(entries).into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                quote(&entry.key.text, out);
                out.push(':');
                write(&entry.value, out);
            }
            out.push('}');
        }
    }
}

/// Both languages escape the same characters in the same way.
fn quote(text: &str, out: &mut String) {
    out.push_str(&Value::from(text).to_string());
}

/// The entries as an object of JavaScript's has them: keys that are indexes go first, by their number; of a key that
/// stands twice the last value, at the first one's place.
#[must_use]
pub fn javascript_order(entries: &[Entry]) -> Vec<&Entry> {
    let mut at_key = std::collections::HashMap::with_capacity(entries.len());
    let mut kept: Vec<&Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        let at = *at_key.entry(entry.key.text.as_str()).or_insert(kept.len());
        match kept.get_mut(at) {
            Some(earlier) => *earlier = entry,
            None => kept.push(entry),
        }
    }
    // The sort is stable.
    kept.sort_by_key(|entry| index(&entry.key.text).unwrap_or(u32::MAX));
    kept
}

/// An array index: below 2^32 - 1, written as a number is printed.
fn index(key: &str) -> Option<u32> {
    let plain = key.bytes().all(|byte| byte.is_ascii_digit()) && (key == "0" || !key.starts_with('0'));
    key.parse().ok().filter(|number| plain && *number < u32::MAX)
}

fn number(value: f64) -> Value {
    // Beyond 2^53 both languages print the shortest digits that read back as this double, then zeros.
    if value.fract() == 0.0 && value.abs() < 1e21 {
        let digits = value.to_string();
        if let Ok(whole) = digits.parse::<i64>() {
            return Value::Number(Number::from(whole));
        }
        if let Ok(whole) = digits.parse::<u64>() {
            return Value::Number(Number::from(whole));
        }
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Key;

    #[test]
    fn whole_numbers_are_held_as_such() {
        let table = [
            (0.0, "0"),
            (-0.0, "0"),
            (-5.0, "-5"),
            (0.1, "0.1"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (1_152_921_504_606_846_976.0, "1152921504606847000"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ];
        for (value, want) in table {
            assert_eq!(number(value).to_string(), want);
            assert_eq!(to_json_text(&Node::new(Kind::Number(value), None)), want);
        }
    }

    #[test]
    fn numbers_are_javascripts() {
        let table = [
            (3000.0, "3000"),
            (-0.0, "0"),
            (1.5, "1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e21, "1e+21"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e-7, "1e-7"),
            (1.5e-10, "1.5e-10"),
            (1.5e300, "1.5e+300"),
            (0.000_001, "0.000001"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, want) in table {
            assert_eq!(js_number(number), want);
        }
    }

    #[test]
    fn keys_are_in_javascripts_order() {
        let keys = ["b", "10", "2", "01", "4294967295", "4294967294", "-1", "a", "0", "b"];
        let entries = keys.iter().enumerate().map(|(at, key)| {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let value = Node::new(Kind::Number(at as f64), None);
            Entry { key: Key { text: (*key).to_owned(), span: None }, value }
        });
        let node = Node::new(Kind::Mapping(entries.collect()), None);
        let want = r#"{"0":8,"2":2,"10":1,"4294967294":5,"b":9,"01":3,"4294967295":4,"-1":6,"a":7}"#;
        assert_eq!(to_json_text(&node), want);
        assert_eq!(to_json(&node).to_string(), want);
    }

    #[test]
    fn strings_are_quoted_as_in_javascript() {
        let text = "\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}\u{2028}é😀";
        let want = "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\u{2028}é😀\"";
        assert_eq!(to_json_text(&Node::new(Kind::String(text.to_owned()), None)), want);
    }
}
