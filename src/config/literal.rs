//! A config program that is one literal, exported as it is or by way of `const config`, means that literal: no engine
//! has to run, and every place in it is known.
//!
//! What is accepted is what JavaScript and the JSON5 reader certainly read alike. Everything else, and everything that
//! is an error, is left to the engine: None is never wrong, Some has to be right.

use super::js::Form;
use crate::document::{Entry, Kind, Node, SourceId, javascript_order};

const BOM: &str = "\u{feff}";
/// What the engine takes at most: it says so by itself.
const DEPTH_MAX: usize = 200;
/// Every value and every key is a token.
const TOKENS_MAX: usize = 1_000_000;

/// The tree of a text that is `module.exports = LITERAL` or `export default LITERAL`, or that does the same with a
/// `const config`, to which editors can give a type; with spans into the text.
pub(super) fn parse(text: &str, form: Form, source: SourceId) -> Option<Node> {
    let literal = locate(text, form)?;
    // Blanks keep every offset. The byte order mark stays: the reader takes it off and counts it.
    let start = if text.starts_with(BOM) { BOM.len() } else { 0 };
    let mut blanked = String::with_capacity(literal.end);
    blanked.push_str(&text[..start]);
    blanked.extend(std::iter::repeat_n(' ', literal.start - start));
    blanked.push_str(&text[literal]);
    let (node, problems) = super::json::parse(&blanked, source);
    node.filter(|node| problems.is_empty() && means_the_same(node))
}

/// Where the one literal of the program lies, if its tokens are such that both languages read them alike.
fn locate(text: &str, form: Form) -> Option<std::ops::Range<usize>> {
    let mut scanner = Scanner { text, at: if text.starts_with(BOM) { BOM.len() } else { 0 } };
    scanner.blank()?;
    if scanner.directive()? {
        let newline = scanner.blank()?;
        // Without either, what follows would belong to the string's expression.
        if !scanner.take(";") && !newline {
            return None;
        }
    }
    let export: &[&str] = match form {
        Form::CommonJs => &["module", ".", "exports", "="],
        Form::Module => &["export", "default"],
    };
    // By this one name: others may be taken, or reserved.
    let named = scanner.tokens(&["const", "config", "="]);
    if !named && !scanner.tokens(export) {
        return None;
    }
    scanner.blank()?;
    let start = scanner.at;
    scanner.literal()?;
    let end = scanner.at;
    if named && !(scanner.end_of_statement()? && scanner.tokens(export) && scanner.tokens(&["config"])) {
        return None;
    }
    scanner.end_of_statement()?;
    (scanner.at == text.len()).then_some(start..end)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    /// Over these tokens and what stands before each, or over nothing.
    fn tokens(&mut self, tokens: &[&str]) -> bool {
        let start = self.at;
        let found = tokens.iter().all(|token| {
            let is_word = token.starts_with(|c: char| c.is_ascii_alphabetic());
            self.blank().is_some() && if is_word { self.word() == Some(token) } else { self.take(token) }
        });
        if !found {
            self.at = start;
        }
        found
    }

    /// Over a `;` or a line's end, and the blanks around it; whether there was one. None as with [`Self::blank`].
    fn end_of_statement(&mut self) -> Option<bool> {
        let newline = self.blank()?;
        let semicolon = self.take(";");
        self.blank()?;
        Some(semicolon || newline)
    }

    /// Over white space and comments; whether a line ended outside a block comment. None for what ends lines in one
    /// language only.
    fn blank(&mut self) -> Option<bool> {
        let mut newline = false;
        loop {
            let rest = self.rest();
            let bytes = rest.as_bytes();
            let length = match bytes.first() {
                Some(b' ' | b'\t') => 1,
                Some(b'\n' | b'\r') => {
                    newline = true;
                    1
                }
                Some(b'/') => match bytes.get(1) {
                    Some(b'/') => rest.find(['\n', '\r']).unwrap_or(rest.len()),
                    Some(b'*') => rest[2..].find("*/")? + 4,
                    _ => return Some(newline),
                },
                _ => return Some(newline),
            };
            if rest[..length].contains(['\u{2028}', '\u{2029}']) {
                return None;
            }
            self.at += length;
        }
    }

    /// `'use strict'`, which changes no literal. None for any other directive.
    fn directive(&mut self) -> Option<bool> {
        match self.peek() {
            Some(b'\'' | b'"') => (self.take("'use strict'") || self.take("\"use strict\"")).then_some(true),
            _ => Some(false),
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
        let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
        // Other letters, and escapes, would go on with the word.
        if length == 0 || rest[length..].starts_with(|c: char| c == '\\' || !c.is_ascii()) {
            return None;
        }
        self.at += length;
        Some(&rest[..length])
    }

    /// Over the tokens up to the bracket that closes the first one. How they go together is for the reader to say.
    fn literal(&mut self) -> Option<()> {
        if !matches!(self.peek(), Some(b'{' | b'[')) {
            return None;
        }
        let mut depth = 0_usize;
        for _ in 0..TOKENS_MAX {
            match self.peek()? {
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    if depth > DEPTH_MAX {
                        return None;
                    }
                }
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        return Some(());
                    }
                }
                b',' => self.at += 1,
                b'\'' | b'"' => {
                    self.string()?;
                    self.colon()?;
                }
                b'+' | b'-' | b'.' | b'0'..=b'9' => self.number()?,
                _ => {
                    let word = self.word()?;
                    let value = matches!(word, "true" | "false" | "null" | "NaN" | "Infinity");
                    if !self.colon()? && !value {
                        return None;
                    }
                }
            }
            self.blank()?;
        }
        None
    }

    /// Over a `:`, which is only taken after a word or a string.
    fn colon(&mut self) -> Option<bool> {
        self.blank()?;
        Some(self.take(":"))
    }

    fn string(&mut self) -> Option<()> {
        let quote = self.peek()?;
        self.at += 1;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'\\' => self.escape()?,
                b'\t' => {}
                0..0x20 => return None,
                // The first byte of U+2028 and U+2029, among others.
                0xe2 if self.text[self.at - 1..].starts_with(['\u{2028}', '\u{2029}']) => return None,
                _ if byte == quote => return Some(()),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b'\\' | b'\'' | b'"' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' => Some(()),
            b'x' => self.hex(2),
            b'u' => self.hex(4),
            _ => None,
        }
    }

    /// Halves of surrogate pairs are the reader's to refuse.
    fn hex(&mut self, count: usize) -> Option<()> {
        let digits = self.rest().as_bytes().get(..count)?;
        self.at += count;
        digits.iter().all(u8::is_ascii_hexdigit).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        if matches!(self.peek(), Some(b'+' | b'-')) {
            self.at += 1;
        }
        let hex = self.rest().strip_prefix("0x").or_else(|| self.rest().strip_prefix("0X"));
        if let Some(hex) = hex {
            let length = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
            // Below 2^52: nothing to round.
            if !(1..=13).contains(&length) {
                return None;
            }
            self.at += 2 + length;
        } else {
            let whole = self.digits();
            // `08` and `010` are octal, or not, by rules of their own.
            if whole > 1 && self.text.as_bytes()[self.at - whole] == b'0' {
                return None;
            }
            let fraction = if self.take(".") { self.digits() } else { 0 };
            if whole + fraction == 0 {
                return None;
            }
            if self.take("e") || self.take("E") {
                let _ = self.take("+") || self.take("-");
                if self.digits() == 0 {
                    return None;
                }
            }
        }
        // `1n`, `1_0`, `1.e`, `1..x`
        let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.' | '\\') || !c.is_ascii();
        (!self.rest().starts_with(goes_on)).then_some(())
    }

    fn digits(&mut self) -> usize {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at += count;
        count
    }
}

/// Whether an object with these keys is, to JavaScript, the list of these entries in this order.
fn means_the_same(node: &Node) -> bool {
    match &node.kind {
        Kind::Sequence(items) => items.iter().all(means_the_same),
        Kind::Mapping(entries) => {
            // `__proto__` sets no key, `__esModule` chooses what is exported.
            let is_plain = |entry: &Entry| {
                let key = entry.key.text.as_str();
                !matches!(key, "__proto__" | "__esModule" | "") && means_the_same(&entry.value)
            };
            // Whole numbers go first, and a key that stands twice once.
            let in_order = || {
                let ordered = javascript_order(entries);
                ordered.len() == entries.len()
                    && ordered.into_iter().zip(entries).all(|(one, other)| std::ptr::eq(one, other))
            };
            entries.iter().all(is_plain) && in_order()
        }
        _ => true,
    }
}

#[cfg(test)]
#[path = "literal_tests.rs"]
mod tests;
