//! TOML: every problem at once, in the order of the file.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::bytes::{Origin, lower, whole};
use crate::diag::{Code, Diagnostic};
use crate::document::{Entry, Key, Kind, Node, SourceId, Span};

/// One unclosed bracket makes a dozen errors follow; the first ones are the true ones.
const SHOWN: usize = 5;

/// The tree, unless the text is broken beyond one.
///
/// The parser stops at 80 open brackets and at dotted keys of that length, headers included, so neither the walk below nor dropping
/// either tree can overflow a stack.
pub(super) fn parse(text: &str, source: SourceId) -> (Option<Node>, Vec<Diagnostic>) {
    let (text, origin) = Origin::of(text, source);
    let (table, errors) = DeTable::parse_recoverable(text);
    let problems = explain(errors, text, origin);
    // What the parser made of a broken value would only be complained about again. A repeated key leaves the first.
    if problems.iter().any(|problem| problem.message != REPEATED) {
        return (None, problems);
    }
    let reader = Reader { text, origin, odd: RefCell::default() };
    let mut root = reader.table(table.get_ref(), None);
    root.span = Some(origin.span(&(0..text.len())));
    // The parser lets `1_000x` pass as a number, and only its own values refuse it.
    let odd = reader.odd.into_inner().into_iter().take(SHOWN);
    let odd: Vec<_> = odd
        .map(|range| Diagnostic::error(Code::Syntax, "this is no number, or one that is too large", origin.at(&range)))
        .collect();
    if odd.is_empty() { (Some(root), problems) } else { (None, odd) }
}

const REPEATED: &str = "this key stands here for the second time";

struct Reader<'a> {
    text: &'a str,
    origin: Origin,
    /// Numbers that are none.
    odd: RefCell<Vec<Range<usize>>>,
}

impl Reader<'_> {
    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let span = self.origin.span(&value.span());
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::String(text.clone().into_owned()),
            DeValue::Integer(integer) => self.number(value.span(), integral(integer.as_str(), integer.radix())),
            DeValue::Float(float) => self.number(value.span(), float.as_str().parse().ok()),
            DeValue::Boolean(value) => Kind::Bool(*value),
            // No option takes a date: what was meant is the text.
            DeValue::Datetime(date) => {
                Kind::String(self.text.get(value.span()).map_or_else(|| date.to_string(), str::to_owned))
            }
            DeValue::Array(items) => {
                let items: Vec<Node> = items.iter().map(|item| self.node(item)).collect();
                let span = items.iter().filter_map(|item| item.span).fold(span, cover);
                return Node::new(Kind::Sequence(items), Some(span));
            }
            DeValue::Table(table) => return self.table(table, Some(span)),
        };
        Node::new(kind, Some(span))
    }

    fn number(&self, at: Range<usize>, number: Option<f64>) -> Kind {
        if number.is_none() {
            self.odd.borrow_mut().push(at);
        }
        Kind::Number(number.unwrap_or_default())
    }

    /// The parser gives a table's header (or key) as its span; here it reaches to the end of its last value.
    fn table(&self, table: &DeTable<'_>, span: Option<Span>) -> Node {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| Entry {
            key: Key { text: key_text(key), span: Some(self.origin.span(&key.span())) },
            value: self.node(value),
        };
        let mut entries: Vec<Entry> = table.iter().map(entry).collect();
        // The parser sorts by name; the file's order is the order of apps, and of their environment.
        entries.sort_by_key(|entry| entry.key.span);
        let span = span.map(|span| entries.iter().filter_map(|entry| entry.value.span).fold(span, cover));
        Node::new(Kind::Mapping(entries), span)
    }
}

fn key_text(key: &Spanned<std::borrow::Cow<'_, str>>) -> String {
    key.get_ref().clone().into_owned()
}

fn cover(outer: Span, inner: Span) -> Span {
    Span { start: outer.start.min(inner.start), end: outer.end.max(inner.end), ..outer }
}

fn integral(text: &str, radix: u32) -> Option<f64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    // TOML's integers have 64 bits, and one that has more is an error.
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) || i64::from_str_radix(text, radix).is_err() {
        return None;
    }
    match (radix, text.starts_with('-')) {
        (10, _) => text.parse().ok(),
        (_, true) => Some(-whole(digits, radix)),
        (_, false) => Some(whole(digits, radix)),
    }
}

fn explain(mut errors: Vec<Error>, text: &str, origin: Origin) -> Vec<Diagnostic> {
    errors.sort_by_key(|error| error.span().map_or(usize::MAX, |span| span.start));
    if let Some(deep) = errors.iter().find(|error| error.message().contains("recurs")) {
        let range = deep.span().unwrap_or(0..0);
        return vec![Diagnostic::error(Code::Syntax, "more than 80 brackets are open here", origin.at(&range))];
    }
    errors.dedup_by_key(|error| error.span().map_or(usize::MAX, |span| span.start));
    let left = errors.len().saturating_sub(SHOWN);
    let mut problems: Vec<Diagnostic> = errors.iter().take(SHOWN).map(|error| one(error, text, origin)).collect();
    if let (Some(last), true) = (problems.last_mut(), left > 0) {
        last.hint = Some(format!("{left} more problems follow, perhaps only because of these"));
    }
    problems
}

fn one(error: &Error, text: &str, origin: Origin) -> Diagnostic {
    let range = error.span().unwrap_or(text.len()..text.len());
    if error.message().starts_with("duplicate key") {
        let problem = Diagnostic::error(Code::Syntax, REPEATED, origin.at(&range));
        return problem.hint("a table is written once; a list of tables is written `[[apps]]`");
    }
    let problem = Diagnostic::error(Code::Syntax, lower(error.message()), origin.at(&range));
    if error.message().contains("string values must be quoted") {
        problem.hint("put quotes around it")
    } else {
        problem
    }
}

#[cfg(test)]
#[path = "toml_tests.rs"]
mod tests;
