//! Numbers as files write them.

use crate::document::{Kind, Node};

/// Whole numbers up to this one are what was written.
pub(super) const SAFE: f64 = 9_007_199_254_740_991.0;

/// A whole number, or a string of one.
pub(super) fn whole_number(node: &Node) -> Option<i64> {
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

/// Hundredths of a processor: `1.5`, `"1.5"` and `"150%"` are 150. What is written as more than nothing is that.
pub(super) fn processors(node: &Node) -> Option<u32> {
    let percent = match &node.kind {
        Kind::Number(number) => number * 100.0,
        Kind::String(text) => {
            let text = text.trim();
            let (digits, factor) = match text.strip_suffix('%') {
                Some(percent) => (percent.trim_end(), 1.0),
                None => (text, 100.0),
            };
            let plain =
                digits.starts_with(|c: char| c.is_ascii_digit()) && digits.ends_with(|c: char| c.is_ascii_digit());
            let plain = plain && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            digits.parse::<f64>().ok().filter(|_| plain)? * factor
        }
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    (0.0..100_000.0).contains(&percent).then_some(if percent > 0.0 { (percent.round() as u32).max(1) } else { 0 })
}
