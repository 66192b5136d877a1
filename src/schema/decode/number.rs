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
