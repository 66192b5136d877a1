//! Numbers as files write them.

use crate::document::{Kind, Node};

/// A whole number, or a string of one.
pub(super) fn whole_number(node: &Node) -> Option<i64> {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    let number = match &node.kind {
        Kind::Number(number) => *number,
        Kind::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "a whole number within 2^53")]
    (number.fract() == 0.0 && number.abs() <= SAFE).then_some(number as i64)
}

/// A whole number that is not negative, or a string with a unit.
pub(super) fn quantity(node: &Node, parse: fn(&str) -> Option<u64>) -> Option<u64> {
    match &node.kind {
        Kind::Number(_) => whole_number(node).and_then(|number| u64::try_from(number).ok()),
        Kind::String(text) => parse(text),
        _ => None,
    }
}

/// A number as JavaScript's `String()` writes it.
pub(in crate::schema) fn js_number(number: f64) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

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
            (0.000_001, "0.000001"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, want) in table {
            assert_eq!(js_number(number), want);
        }
    }
}
