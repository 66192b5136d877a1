//! JSON, JSONC and JSON5 by one reader: whatever JSON5 allows is allowed in all three.

use jsonc_parser::ast::{ObjectProp, ObjectPropName, StringLit, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, ParseResult, ParseStringErrorKind, parse_to_ast};

use super::bytes::Origin;
use crate::diag::{Code, Diagnostic};
use crate::document::{Entry, Key, Kind, Node, SourceId};

/// The tree, unless the text is broken beyond one.
///
/// The parser stops at 512 open brackets, so neither the walk below nor dropping either tree can overflow a stack.
pub(super) fn parse(text: &str, source: SourceId) -> (Option<Node>, Vec<Diagnostic>) {
    let (text, origin) = Origin::of(text, source);
    let mended;
    let parsed = match parse_once(text) {
        Err(error) => match mend(text, error) {
            Ok(text) => {
                mended = text;
                parse_once(&mended)
            }
            Err(error) => Err(error),
        },
        parsed => parsed,
    };
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return (None, vec![explain(&error, text, origin)]),
    };
    let Some(value) = parsed.value else {
        let end = text.len();
        let problem = Diagnostic::error(Code::Syntax, "there is no value in this file", origin.at(&(end..end)));
        return (None, vec![problem.hint("an ecosystem file has at least `apps`")]);
    };
    let mut reader = Reader { text, origin, problems: Vec::new() };
    let node = reader.node(value);
    (Some(node), reader.problems)
}

fn parse_once(text: &str) -> Result<ParseResult<'_>, ParseError> {
    // Its default would take `{a: 1 b: 2}`.
    let options = ParseOptions { allow_missing_commas: false, ..ParseOptions::default() };
    parse_to_ast(text, &CollectOptions::default(), &options)
}

/// A text of the same length that the parser does not stumble over in these ways: it takes `true_x` for `true` and `_x`,
/// and a byte order mark for no white space, and knows no escapes in names. Letters are replaced, and names are read from
/// the text as it was. Else the error.
fn mend(text: &str, mut error: ParseError) -> Result<String, ParseError> {
    const TIMES_MAX: usize = 100;
    const MARK: &str = "\u{feff}";
    let mut mended = text.to_owned();
    for _ in 0..TIMES_MAX {
        // At the `_` of `true_x`, behind the `-` of `true-x`.
        let at = error.range().start;
        let before = mended.get(..at).unwrap_or_default();
        let before = before.strip_suffix('-').unwrap_or(before);
        if let Some(escapes) = escapes_of_name(&mended, at) {
            for at in escapes {
                mended.replace_range(at..at + ESCAPE, "______");
            }
            match parse_once(&mended) {
                Ok(_) => return Ok(mended),
                Err(next) => error = next,
            }
            continue;
        }
        match ["true", "false", "null"].into_iter().find(|word| before.ends_with(word)) {
            Some(word) if mended[before.len()..].starts_with(['_', '-']) => {
                let start = before.len() - word.len();
                mended.replace_range(start..=start, "_");
            }
            _ if mended.get(at..).is_some_and(|rest| rest.starts_with(MARK)) => {
                mended.replace_range(at..at + MARK.len(), "   ");
            }
            _ => return Err(error),
        }
        match parse_once(&mended) {
            Ok(_) => return Ok(mended),
            Err(next) => error = next,
        }
    }
    Err(error)
}

/// The length of `\u0061`.
const ESCAPE: usize = 6;

/// Where the escapes of the name are that begins, or goes on, at a place.
fn escapes_of_name(text: &str, mut at: usize) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if escaped(&text[at..]).is_some() {
            found.push(at);
            at += ESCAPE;
        } else if c.is_alphanumeric() || matches!(c, '_' | '$') {
            at += c.len_utf8();
        } else {
            break;
        }
    }
    Some(found).filter(|found| !found.is_empty())
}

/// The character that `\u0061` stands for at the beginning of a text.
fn escaped(text: &str) -> Option<char> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| is_hex).and_then(char::from_u32)
}

/// A name without its escapes.
fn unescaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let (c, length) = escaped(rest).map_or((c, c.len_utf8()), |c| (c, ESCAPE));
        text.push(c);
        rest = &rest[length..];
    }
    text
}

struct Reader<'a> {
    text: &'a str,
    origin: Origin,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn node(&mut self, value: Value<'_>) -> Node {
        let range = value.range();
        let kind = match value {
            Value::NullKeyword(_) => Kind::Null,
            Value::BooleanLit(literal) => Kind::Bool(literal.value),
            Value::NumberLit(literal) => Kind::Number(number(literal.value)),
            Value::StringLit(literal) => Kind::String(self.string(literal)),
            Value::Array(array) => Kind::Sequence(array.elements.into_iter().map(|item| self.node(item)).collect()),
            Value::Object(object) => Kind::Mapping(object.properties.into_iter().map(|p| self.entry(p)).collect()),
        };
        Node::new(kind, Some(self.origin.span(&(range.start..range.end))))
    }

    fn entry(&mut self, property: ObjectProp<'_>) -> Entry {
        let range = property.name.range();
        let text = match property.name {
            ObjectPropName::String(literal) => self.string(literal),
            ObjectPropName::Word(word) => {
                let written = self.text.get(range.start..range.end).unwrap_or(word.value);
                let text = unescaped(written);
                if !is_identifier(&text) {
                    let message = format!("the key `{written}` has to be in quotes");
                    let place = self.origin.at(&(range.start..range.end));
                    let hint = format!("write `\"{written}\"`");
                    self.problems.push(Diagnostic::error(Code::Syntax, message, place).hint(hint));
                }
                text
            }
        };
        let key = Key { text, span: Some(self.origin.span(&(range.start..range.end))) };
        Entry { key, value: self.node(property.value) }
    }

    /// The parser lets a string run over the end of its line; then a forgotten quote swallows the lines after it.
    fn string(&mut self, literal: StringLit<'_>) -> String {
        let raw = &self.text[literal.range.start..literal.range.end];
        if let Some(at) = bare_line_end(raw) {
            let place = self.origin.at(&(literal.range.start..literal.range.start + at));
            let problem = Diagnostic::error(Code::Syntax, "this string is not closed on its line", place);
            self.problems.push(problem.hint("close the quote, or write `\\n` for a line end"));
        }
        literal.value.into_owned()
    }
}

/// A line end that no backslash continues.
fn bare_line_end(raw: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in raw.bytes().enumerate() {
        match byte {
            b'\r' if escaped && raw.as_bytes().get(at + 1) == Some(&b'\n') => {}
            b'\n' | b'\r' if !escaped => return Some(at),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// As JavaScript reads it; the parser has already checked the grammar.
fn number(raw: &str) -> f64 {
    let (negative, digits) = match raw.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, raw.strip_prefix('+').unwrap_or(raw)),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => super::bytes::whole(hex, 16),
        None => digits.parse().unwrap_or(f64::NAN),
    };
    if negative { -value } else { value }
}

fn is_identifier(word: &str) -> bool {
    let start = |c: char| c.is_alphabetic() || c == '_' || c == '$';
    word.starts_with(start) && word.chars().all(|c| start(c) || c.is_alphanumeric())
}

fn explain(error: &ParseError, text: &str, origin: Origin) -> Diagnostic {
    // A mended text has three blanks where this one may have a byte order mark.
    let range = text.floor_char_boundary(error.range().start)..text.ceil_char_boundary(error.range().end);
    let found = text.get(range.start..range.end).unwrap_or("").trim();
    let found: String = found.chars().take(40).collect();
    let problem = |message: String| Diagnostic::error(Code::Syntax, message, origin.at(&(range.start..range.end)));
    match error.kind() {
        ParseErrorKind::NestingDepthExceeded => problem("more than 512 brackets are open here".into()),
        ParseErrorKind::ExpectedComma => problem("a comma is missing here".into()),
        ParseErrorKind::UnterminatedObject => problem("this `{` is never closed".into()),
        ParseErrorKind::UnterminatedArray => problem("this `[` is never closed".into()),
        ParseErrorKind::UnterminatedCommentBlock => problem("this comment is never closed".into()),
        ParseErrorKind::String(ParseStringErrorKind::UnterminatedStringLiteral) => {
            problem("this string is never closed".into())
        }
        ParseErrorKind::MultipleRootJsonValues => {
            problem("something follows after the end of the value".into()).hint("a file holds one object or one list")
        }
        ParseErrorKind::ExpectedColonAfterObjectKey => problem("a `:` is missing after this key".into()),
        ParseErrorKind::ExpectedObjectValue => problem("a value is missing after the `:`".into()),
        ParseErrorKind::UnexpectedWord if found == "undefined" => {
            problem("`undefined` is not a value of JSON".into()).hint("leave the key out, or write `null`")
        }
        ParseErrorKind::UnexpectedWord => {
            problem(format!("`{found}` is not a value")).hint("put quotes around it when it is text")
        }
        ParseErrorKind::UnexpectedToken | ParseErrorKind::UnexpectedTokenInObject if found.is_empty() => {
            problem("this does not belong here".into())
        }
        ParseErrorKind::UnexpectedToken | ParseErrorKind::UnexpectedTokenInObject => {
            let next = text[range.end.min(text.len())..].trim_start().chars().next();
            if is_identifier(&found) && matches!(next, Some(',' | '}' | ']') | None) {
                return problem(format!("`{found}` is not a value")).hint("put quotes around it when it is text");
            }
            let problem = problem(format!("`{found}` does not belong here"));
            if found.starts_with(|c: char| c == '(' || c == '`' || c.is_alphabetic()) {
                problem.hint("JSON holds no code: a file that needs some is named `.config.js`")
            } else {
                problem
            }
        }
        kind => problem(super::bytes::lower(&kind.to_string())),
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
