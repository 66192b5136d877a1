use serde_json::{Map, Number, Value};

use super::{Kind, Node};

/// What `JSON.stringify` would print: whole numbers without a fraction, no number for NaN and infinities.
#[must_use]
pub fn to_json(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(value) => Value::Bool(*value),
        Kind::Number(value) => number(*value),
        Kind::String(text) => Value::String(text.clone()),
        Kind::Sequence(items) => Value::Array(items.iter().map(to_json).collect()),
        Kind::Mapping(entries) => {
            let pairs = entries.iter().map(|entry| (entry.key.text.clone(), to_json(&entry.value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
    }
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

    #[test]
    fn numbers_print_as_in_javascript() {
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
        }
    }
}
