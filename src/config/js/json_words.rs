//! What V8 says of a text that `JSON.parse` refuses.

use std::path::Path;

use super::orders::Failure;
use crate::diag::Code;

/// A text as V8 counts it, and how far it is read.
struct Reader<'a> {
    units: &'a [u16],
    at: usize,
}

/// What is open: whether a value has to follow is said by where the reader is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    List,
    Object,
}

/// A file that should be JSON and is not.
pub(super) fn not_json(path: &Path, text: &str, error: &serde_json::Error) -> Failure {
    let said = complaint(&text.encode_utf16().collect::<Vec<_>>()).unwrap_or_else(|| error.to_string());
    let position = u32::try_from(error.line()).ok().zip(u32::try_from(error.column().max(1)).ok());
    let failure = Failure::new(Code::Syntax, format!("`{}` is not JSON: {said}", path.display()));
    Failure { file: Some(path.to_owned()), position, ..failure }
}

/// V8's message; None for JSON.
pub(super) fn complaint(units: &[u16]) -> Option<String> {
    let mut reader = Reader { units, at: 0 };
    reader.document().err()
}

type Read = Result<(), String>;

impl Reader<'_> {
    fn document(&mut self) -> Read {
        let mut open: Vec<Open> = Vec::new();
        loop {
            // A value.
            match self.peek() {
                Some('{') => {
                    self.at += 1;
                    if self.peek() == Some('}') {
                        self.at += 1;
                    } else {
                        self.key("Expected property name or '}' in JSON")?;
                        open.push(Open::Object);
                        continue;
                    }
                }
                Some('[') => {
                    self.at += 1;
                    if self.peek() == Some(']') {
                        self.at += 1;
                    } else {
                        open.push(Open::List);
                        continue;
                    }
                }
                Some('"') => self.string()?,
                Some('-' | '0'..='9') => self.number()?,
                Some('t') => self.word("true")?,
                Some('f') => self.word("false")?,
                Some('n') => self.word("null")?,
                _ => return Err(self.unexpected()),
            }
            // What follows it, which may close what is around.
            loop {
                let next = self.peek();
                match (open.last(), next) {
                    (None, None) => return Ok(()),
                    (None, Some(_)) => return Err(self.place("Unexpected non-whitespace character after JSON")),
                    (Some(Open::List), Some(']')) | (Some(Open::Object), Some('}')) => {
                        self.at += 1;
                        open.pop();
                    }
                    (Some(Open::List), Some(',')) => {
                        self.at += 1;
                        break;
                    }
                    (Some(Open::Object), Some(',')) => {
                        self.at += 1;
                        self.key("Expected double-quoted property name in JSON")?;
                        break;
                    }
                    (Some(Open::List), _) => return Err(self.place("Expected ',' or ']' after array element in JSON")),
                    (Some(Open::Object), _) => {
                        return Err(self.place("Expected ',' or '}' after property value in JSON"));
                    }
                }
            }
        }
    }

    fn key(&mut self, wanted: &str) -> Read {
        if self.peek() != Some('"') {
            return Err(self.place(wanted));
        }
        self.string()?;
        if self.peek() != Some(':') {
            return Err(self.place("Expected ':' after property name in JSON"));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Read {
        self.at += 1;
        loop {
            match self.unit() {
                None => return Err(self.place("Unterminated string in JSON")),
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\\') => self.escape()?,
                Some(c) if c < ' ' => return Err(self.place("Bad control character in string literal in JSON")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Read {
        self.at += 1;
        match self.unit() {
            None => return Err(self.unexpected()),
            Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {}
            Some('u') => {
                for _ in 0..4 {
                    self.at += 1;
                    if !self.unit().is_some_and(|c| c.is_ascii_hexdigit()) {
                        return Err(self.place("Bad Unicode escape in JSON"));
                    }
                }
            }
            Some(_) => return Err(self.place("Bad escaped character in JSON")),
        }
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Read {
        if self.unit() == Some('-') {
            self.at += 1;
            if !self.is_digit() {
                return Err(self.place("No number after minus sign in JSON"));
            }
        }
        if self.unit() == Some('0') {
            self.at += 1;
            if self.is_digit() {
                return Err(self.place("Unexpected number in JSON"));
            }
        }
        self.digits();
        if self.unit() == Some('.') {
            self.at += 1;
            if !self.is_digit() {
                return Err(self.place("Unterminated fractional number in JSON"));
            }
            self.digits();
        }
        if matches!(self.unit(), Some('e' | 'E')) {
            self.at += 1;
            if matches!(self.unit(), Some('+' | '-')) {
                self.at += 1;
            }
            if !self.is_digit() {
                return Err(self.place("Exponent part is missing a number in JSON"));
            }
            self.digits();
        }
        Ok(())
    }

    fn is_digit(&self) -> bool {
        self.unit().is_some_and(|c| c.is_ascii_digit())
    }

    fn digits(&mut self) {
        while self.is_digit() {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str) -> Read {
        for c in word.chars() {
            if self.unit() != Some(c) {
                return Err(self.unexpected());
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Half of a pair counts as a character that JSON has no use for.
    fn unit(&self) -> Option<char> {
        self.units.get(self.at).map(|unit| char::from_u32(u32::from(*unit)).unwrap_or('\u{fffd}'))
    }

    fn peek(&mut self) -> Option<char> {
        while matches!(self.unit(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
        self.unit()
    }

    fn place(&self, said: &str) -> String {
        format!("{said} at position {}", self.at)
    }

    fn text(&self, from: usize, to: usize) -> String {
        String::from_utf16_lossy(&self.units[from..to])
    }

    fn unexpected(&self) -> String {
        const AROUND: usize = 10;
        let (at, length) = (self.at, self.units.len());
        let whole = self.text(0, length);
        match self.unit() {
            None => return "Unexpected end of JSON input".to_owned(),
            Some('"') => return self.place("Unexpected string in JSON"),
            Some('-' | '0'..='9') => return self.place("Unexpected number in JSON"),
            Some(_) if matches!(whole.as_str(), "undefined" | "NaN" | "Infinity" | "[object Object]") => {
                return format!("\"{whole}\" is not valid JSON");
            }
            Some(_) => {}
        }
        let token = self.text(at, at + 1);
        let context = if length <= 2 * AROUND {
            format!("\"{whole}\"")
        } else if at < AROUND {
            format!("\"{}\"...", self.text(0, at + AROUND))
        } else if at < length - AROUND {
            format!("...\"{}\"...", self.text(at - AROUND, at + AROUND))
        } else {
            format!("...\"{}\"", self.text(at - AROUND, length))
        };
        format!("Unexpected token '{token}', {context} is not valid JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_v8s() {
        // As Node 20 prints them.
        let table = [
            ("", "Unexpected end of JSON input"),
            (" ", "Unexpected end of JSON input"),
            ("{", "Expected property name or '}' in JSON at position 1"),
            ("[", "Unexpected end of JSON input"),
            ("[1", "Expected ',' or ']' after array element in JSON at position 2"),
            ("[1,", "Unexpected end of JSON input"),
            ("[1, 2", "Expected ',' or ']' after array element in JSON at position 5"),
            ("{\"a\"", "Expected ':' after property name in JSON at position 4"),
            ("{\"a\":", "Unexpected end of JSON input"),
            ("{\"a\":1", "Expected ',' or '}' after property value in JSON at position 6"),
            ("{\"a\":1,", "Expected double-quoted property name in JSON at position 7"),
            ("{\"a\": 1,}", "Expected double-quoted property name in JSON at position 8"),
            ("{'a': 1}", "Expected property name or '}' in JSON at position 1"),
            ("{a: 1}", "Expected property name or '}' in JSON at position 1"),
            ("{\"a\" 1}", "Expected ':' after property name in JSON at position 5"),
            ("[1,]", "Unexpected token ']', \"[1,]\" is not valid JSON"),
            ("[,1]", "Unexpected token ',', \"[,1]\" is not valid JSON"),
            ("undefined", "\"undefined\" is not valid JSON"),
            ("NaN", "\"NaN\" is not valid JSON"),
            ("[object Object]", "\"[object Object]\" is not valid JSON"),
            ("abc", "Unexpected token 'a', \"abc\" is not valid JSON"),
            ("tru", "Unexpected end of JSON input"),
            ("trux", "Unexpected token 'x', \"trux\" is not valid JSON"),
            ("nul", "Unexpected end of JSON input"),
            ("{\"a\": x}", "Unexpected token 'x', \"{\"a\": x}\" is not valid JSON"),
            (
                "{\"apps\": [undefined, \"and so on\"]}",
                "Unexpected token 'u', ...\"{\"apps\": [undefined,\"... is not valid JSON",
            ),
            (
                "{\"apps\": [\"and so on and on and on\", y]}",
                "Unexpected token 'y', ...\" and on\", y]}\" is not valid JSON",
            ),
            ("x{\"apps\": [\"and so on and on\"]}", "Unexpected token 'x', \"x{\"apps\": \"... is not valid JSON"),
            ("\"a", "Unterminated string in JSON at position 2"),
            ("\"a\nb\"", "Bad control character in string literal in JSON at position 2"),
            ("\"a\\x\"", "Bad escaped character in JSON at position 3"),
            ("\"\\u12g4\"", "Bad Unicode escape in JSON at position 5"),
            ("\"\\u12", "Bad Unicode escape in JSON at position 5"),
            ("-", "No number after minus sign in JSON at position 1"),
            ("-a", "No number after minus sign in JSON at position 1"),
            ("01", "Unexpected number in JSON at position 1"),
            ("1.", "Unterminated fractional number in JSON at position 2"),
            ("1.a", "Unterminated fractional number in JSON at position 2"),
            ("1e", "Exponent part is missing a number in JSON at position 2"),
            ("1e+", "Exponent part is missing a number in JSON at position 3"),
            ("1 2", "Unexpected non-whitespace character after JSON at position 2"),
            ("{\"a\":1} x", "Unexpected non-whitespace character after JSON at position 8"),
            ("1\"a\"", "Unexpected non-whitespace character after JSON at position 1"),
            ("[1 2]", "Expected ',' or ']' after array element in JSON at position 3"),
            ("[\"a\" \"b\"]", "Expected ',' or ']' after array element in JSON at position 5"),
            ("{\"a\":1 \"b\":2}", "Expected ',' or '}' after property value in JSON at position 7"),
            ("{\"a\":\"b\\", "Unexpected end of JSON input"),
            ("// comment\n{}", "Unexpected token '/', \"// comment\n{}\" is not valid JSON"),
            ("{\"a\": 1 /* c */}", "Expected ',' or '}' after property value in JSON at position 8"),
            ("{\"a\": .5}", "Unexpected token '.', \"{\"a\": .5}\" is not valid JSON"),
            ("{\"a\": +1}", "Unexpected token '+', \"{\"a\": +1}\" is not valid JSON"),
            ("{\"a\": 1}}", "Unexpected non-whitespace character after JSON at position 8"),
            ("\u{a0}{}", "Unexpected token '\u{a0}', \"\u{a0}{}\" is not valid JSON"),
            ("\"\u{1f600}\" x", "Unexpected non-whitespace character after JSON at position 5"),
            ("'", "Unexpected token ''', \"'\" is not valid JSON"),
            ("[1}", "Expected ',' or ']' after array element in JSON at position 2"),
            ("{\"a\":1]", "Expected ',' or '}' after property value in JSON at position 6"),
            ("true false", "Unexpected non-whitespace character after JSON at position 5"),
            ("{1: 2}", "Expected property name or '}' in JSON at position 1"),
            ("{\"a\":\"x\ty\"}", "Bad control character in string literal in JSON at position 7"),
            ("abcdefghijklmnopqrst", "Unexpected token 'a', \"abcdefghijklmnopqrst\" is not valid JSON"),
            ("abcdefghijklmnopqrstu", "Unexpected token 'a', \"abcdefghij\"... is not valid JSON"),
            ("[12345678,xyz]  12345678", "Unexpected token 'x', ...\"[12345678,xyz]  1234\"... is not valid JSON"),
        ];
        let said = |text: &str| complaint(&text.encode_utf16().collect::<Vec<_>>()).unwrap_or_default();
        let wrong: Vec<_> =
            table.iter().map(|(text, want)| (text, said(text), want)).filter(|(_, got, want)| got != *want).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
