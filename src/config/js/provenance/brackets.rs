//! What is open or closed once too often in a text that does not parse: the engine then only says where it gave up.

/// What is wrong, and the byte at which it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config::js) enum Odd {
    /// A string, template, comment or regular expression does not end.
    Endless(usize, &'static str),
    /// A bracket is never closed.
    Open(usize, char),
    /// A bracket closes nothing, or something else.
    Extra(usize, char),
}

/// The first such thing. Reads no grammar: whether `/` divides is told by what stands before it.
pub(super) fn odd(text: &str) -> Option<Odd> {
    // Brackets that are open; `$` is a template's `${`.
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut at = 0;
    let mut before = "";
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let start = at;
        let rest = &text[at..];
        at += c.len_utf8();
        match c {
            '/' if rest.starts_with("//") => at = start + rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => match rest.get(2..).and_then(|rest| rest.find("*/")) {
                Some(end) => at = start + end + 4,
                None => return Some(Odd::Endless(start, "comment")),
            },
            '/' if is_pattern(before) => match pattern(rest) {
                Some(length) => at = start + length,
                None => return Some(Odd::Endless(start, "regular expression")),
            },
            '\'' | '"' => match string(rest, c) {
                Some(length) => at = start + length,
                None => return Some(Odd::Endless(start, "string")),
            },
            '`' => match template(&text[at..]) {
                Some((length, ended)) => {
                    at += length;
                    if !ended {
                        open.push((start, '$'));
                    }
                }
                None => return Some(Odd::Endless(start, "template")),
            },
            '(' | '[' | '{' => open.push((start, c)),
            ')' | ']' | '}' => match open.pop() {
                Some((quote, '$')) if c == '}' => match template(&text[at..]) {
                    Some((length, ended)) => {
                        at += length;
                        if !ended {
                            open.push((quote, '$'));
                        }
                    }
                    None => return Some(Odd::Endless(quote, "template")),
                },
                Some((_, opened)) if matches!((opened, c), ('(', ')') | ('[', ']') | ('{', '}')) => {}
                _ => return Some(Odd::Extra(start, c)),
            },
            _ => {}
        }
        if !c.is_whitespace() && !rest.starts_with("//") && !rest.starts_with("/*") {
            before = &text[..at];
        }
    }
    open.pop().map(|(at, c)| if c == '$' { Odd::Endless(at, "template") } else { Odd::Open(at, c) })
}

/// Whether a `/` behind this starts a regular expression.
pub(super) fn is_pattern(before: &str) -> bool {
    let word = before.rsplit(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$')).next().unwrap_or_default();
    match before.chars().next_back() {
        None => true,
        Some(_) if !word.is_empty() => matches!(word, "return" | "typeof" | "case" | "in" | "of" | "delete" | "void"),
        Some(c) => !matches!(c, ')' | ']' | '}' | '"' | '\'' | '`'),
    }
}

pub(super) fn string(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' | '\r' => return None,
            _ if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

pub(super) fn pattern(rest: &str) -> Option<usize> {
    let mut escaped = false;
    let mut class = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' | '\r' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '/' if !class => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// How far a template's text goes, and whether it ends there or a `${` begins.
pub(super) fn template(rest: &str) -> Option<(usize, bool)> {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '`' => return Some((at + 1, true)),
            '$' if rest[at..].starts_with("${") => return Some((at + 2, false)),
            _ => {}
        }
    }
    None
}

/// How far the bracket goes that a text begins with.
pub(super) fn closed(text: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let c = rest.chars().next()?;
        at += match c {
            '\'' | '"' => string(rest, c)?,
            '`' => template(rest.get(1..)?).filter(|(_, ended)| *ended)?.0 + 1,
            _ => c.len_utf8(),
        };
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_is_found() {
        let table = [
            ("f({ a: [1, '(', `]${ { b: `}` } }[`], c: /[(/]\\//.test(x) }) // (\n/* [ */", None),
            ("a / b / (c) / 2", None),
            ("a(\n[", Some(Odd::Open(3, '['))),
            ("a(]", Some(Odd::Extra(2, ']'))),
            ("{ a }}", Some(Odd::Extra(5, '}'))),
            ("x = 'a\n'", Some(Odd::Endless(4, "string"))),
            ("x = \"a\\\nb\"", None),
            ("x = `a ${1}", Some(Odd::Endless(4, "template"))),
            ("x = `a ${1", Some(Odd::Endless(4, "template"))),
            ("x /* a", Some(Odd::Endless(2, "comment"))),
            ("return /a\n", Some(Odd::Endless(7, "regular expression"))),
        ];
        for (text, want) in table {
            assert_eq!(odd(text), want, "{text}");
        }
    }
}
