//! `.env` files, read as the npm package `dotenv` (16 and 17) and Node's `--env-file` read them: no expansion of `$NAME`.

use std::collections::HashMap;
use std::ops::Range;

/// The variables in the order in which they first stand. The last value of a name wins.
#[must_use]
pub fn parse(text: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    each(&plain(text), |key, value, _| {
        if let Some(at) = places.get(key) {
            pairs[*at].1 = value;
        } else {
            places.insert(key.to_owned(), pairs.len());
            pairs.push((key.to_owned(), value));
        }
    });
    pairs
}

/// The bytes of the plain text at which the value of a variable is set that counts, from its name on.
pub(crate) fn find(plain: &str, name: &str) -> Option<Range<usize>> {
    let mut found = None;
    each(plain, |key, _, at| {
        if key == name {
            let line = &plain[at..];
            found = Some(at..at + line.find('\n').unwrap_or(line.len()));
        }
    });
    found
}

/// Without a byte order mark, and with the line ends of Unix.
pub(crate) fn plain(text: &str) -> String {
    text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n")
}

/// Tells of each assignment: its name, its value, and where the name is.
fn each(plain: &str, mut tell: impl FnMut(&str, String, usize)) {
    let mut rest = plain;
    while !rest.is_empty() {
        let Some((key, value, after)) = assignment(rest) else {
            rest = next_line(rest);
            continue;
        };
        tell(key, value, key.as_ptr() as usize - plain.as_ptr() as usize);
        rest = after;
    }
}

/// `export KEY = value # comment` at the start of a line, and the text after it.
fn assignment(line: &str) -> Option<(&str, String, &str)> {
    let line = line.trim_start_matches(blank);
    let exported = line.strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace));
    // A variable may be called `export`.
    exported.and_then(|rest| pair(rest.trim_start())).or_else(|| pair(line))
}

fn pair(line: &str) -> Option<(&str, String, &str)> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))).unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    if key.is_empty() {
        return None;
    }
    let value = match rest.trim_start().strip_prefix('=') {
        Some(value) => value,
        // `KEY: value` is accepted too.
        None => rest.strip_prefix(':').filter(|value| value.starts_with(char::is_whitespace))?,
    };
    // What is in quotes may begin on a later line.
    let found = quoted(value.trim_start()).unwrap_or_else(|| bare(value.trim_start_matches(blank)));
    Some((key, found.0, found.1))
}

/// A value in quotes, which may go over several lines; None when its quote is not closed, or closed before the end.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'))?;
    let mut escaped = false;
    // An escaped quote ends the value when nothing better does, as in the package's regular expression.
    let mut candidates = Vec::new();
    for (at, c) in text.char_indices().skip(1) {
        if c == quote {
            candidates.push(at);
            if !escaped {
                break;
            }
        }
        escaped = c == '\\' && !escaped;
    }
    candidates.into_iter().rev().find_map(|end| {
        let after = text[end + 1..].trim_start_matches(blank);
        if !(after.is_empty() || after.starts_with(['\n', '#'])) {
            return None;
        }
        let value = &text[1..end];
        let value = if quote == '"' { value.replace("\\n", "\n").replace("\\r", "\r") } else { value.to_owned() };
        Some((value, next_line(after)))
    })
}

/// A value without quotes ends at `#` or with its line.
fn bare(text: &str) -> (String, &str) {
    let end = text.find(['#', '\n']).unwrap_or(text.len());
    let value = text[..end].trim();
    let quote = value.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'));
    let inner = quote.and_then(|quote| value[1..].strip_suffix(quote)).unwrap_or(value);
    let value = if quote == Some('"') { inner.replace("\\n", "\n").replace("\\r", "\r") } else { inner.to_owned() };
    (value, next_line(&text[end..]))
}

fn next_line(text: &str) -> &str {
    text.find('\n').map_or("", |at| &text[at + 1..])
}

/// Lines, counted from 1, that hardly do what whoever wrote them meant, and what is wrong with each.
pub(crate) fn oddities(text: &str) -> Vec<(u32, &'static str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let mut found = Vec::new();
    let (mut rest, mut number) = (text.as_str(), 1);
    while !rest.is_empty() {
        let line = rest.lines().next().unwrap_or_default().trim();
        let (problem, after) = match assignment(rest) {
            Some((_, value, after)) if is_left_open(line, &value) => {
                (Some("opens a quote and does not close it"), after)
            }
            Some((_, _, after)) => (None, after),
            None if line.is_empty() || line.starts_with('#') => (None, next_line(rest)),
            None => (Some("is no `NAME=value`, and is passed over"), next_line(rest)),
        };
        found.extend(problem.map(|problem| (number, problem)));
        let read = &rest[..rest.len() - after.len()];
        number += u32::try_from(read.matches('\n').count()).unwrap_or(u32::MAX);
        rest = after;
    }
    found
}

/// Whether a value begins with the quote that its line begins it with, and has no second one.
fn is_left_open(line: &str, value: &str) -> bool {
    let written = line.find(['=', ':']).map_or("", |at| line[at + 1..].trim_start());
    let quote = written.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'));
    quote.is_some_and(|quote| value.strip_prefix(quote).is_some_and(|rest| !rest.contains(quote)))
}

/// White space within a line.
fn blank(c: char) -> bool {
    c.is_whitespace() && c != '\n'
}

#[cfg(test)]
mod tests {
    use super::{find, oddities, parse, plain};

    #[test]
    fn the_assignment_that_counts_is_found() {
        let text = plain("\u{feff}# A=0\r\nA=1\r\n  export B = 'x\ny' # A=2\n A: 3\n");
        let at = |name| find(&text, name).map(|range| &text[range]);
        assert_eq!((at("A"), at("B"), at("C")), (Some("A: 3"), Some("B = 'x"), None));
    }

    /// What npm's dotenv makes of each line.
    #[test]
    fn values() {
        let table = [
            ("A=b", "b"),
            ("A = b ", "b"),
            ("  export A=b", "b"),
            ("exporter=1\nA=b", "b"),
            ("A: b", "b"),
            ("A=", ""),
            ("A=\nB=c", ""),
            ("A=b # c", "b"),
            ("A=b#c", "b"),
            ("A=#c", ""),
            ("A='#c'", "#c"),
            ("A=\"b # c\" # d", "b # c"),
            ("A='b' # 'd'", "b"),
            ("A='$B'", "$B"),
            ("A=${B}/c", "${B}/c"),
            ("A='a\\nb'", "a\\nb"),
            ("A=a\\nb", "a\\nb"),
            ("A=\"a\\nb\"", "a\nb"),
            ("A=\"a\\tb\"", "a\\tb"),
            ("A=\"a\nb\"", "a\nb"),
            ("A=\"a\r\nb\"\r\n", "a\nb"),
            ("A='a\n#b\nc'", "a\n#b\nc"),
            ("A=`it's \"b\"`", "it's \"b\""),
            ("A=\"b\\\"c\"", "b\\\"c"),
            ("A='  b  '", "  b  "),
            ("A=  b  c  ", "b  c"),
            ("A=b=c", "b=c"),
            ("A='b' c", "'b' c"),
            ("A='b", "'b"),
            ("A={\"b\": 1}", "{\"b\": 1}"),
            ("A=1\nA=2", "2"),
            ("\u{feff}A=b", "b"),
            ("# A=c\nA=b", "b"),
            ("no assignment\nA=b", "b"),
            ("\n\n\tA=b\n", "b"),
            ("A=é😀", "é😀"),
            ("A\n=b", "b"),
            ("A=\n'b'", "b"),
            ("export\nA=b", "b"),
            ("export = 1\nA=b", "b"),
        ];
        for (text, want) in table {
            let got = parse(text);
            let got = got.iter().find(|(key, _)| key == "A").map(|(_, value)| value.as_str());
            assert_eq!(got, Some(want), "{text:?}");
        }
    }

    #[test]
    fn names() {
        let table: [(&str, &[&str]); 6] = [
            ("A=1\nB.c-d=2", &["A", "B.c-d"]),
            ("=1", &[]),
            ("A", &[]),
            ("A:1", &[]),
            ("", &[]),
            ("A='x\nB=2'\nC=3", &["A", "C"]),
        ];
        for (text, want) in table {
            let got = parse(text);
            assert_eq!(got.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), want, "{text:?}");
        }
    }

    #[test]
    fn odd_lines_are_told_with_their_number() {
        let odd = |text: &str| oddities(text).iter().map(|(line, _)| *line).collect::<Vec<_>>();
        let table: [(&str, &[u32]); 9] = [
            ("", &[]),
            ("# note\n\n  # note\nA=1\nexport B = 2 # note\nC: 3\r\nD=\n", &[]),
            ("PASSWORD hunter2\n=5\nA=\"unterminated\n", &[1, 2, 3]),
            ("\u{feff}A=1\r\nset -a\r\nB=2", &[2]),
            ("A='x\ny\nz'\nexport B", &[4]),
            ("A='\"x'\nB=\"\\\"x\"\nC='it' is\nD=\"a\" b \"c\"\nE=don't", &[]),
            ("A='twas\nB=1", &[1]),
            ("A=\"open # note\nB=1", &[1]),
            ("A:1", &[1]),
        ];
        for (text, want) in table {
            assert_eq!(odd(text), want, "{text:?}");
        }
        let [(_, passed_over), (_, open)] = oddities("A b\nB='c")[..] else { panic!("two are odd") };
        assert_eq!(
            (passed_over, open),
            ("is no `NAME=value`, and is passed over", "opens a quote and does not close it")
        );
    }

    #[test]
    fn first_place_last_value() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(parse("A=1\nB=2\nA=3"), [pair("A", "3"), pair("B", "2")]);
    }
}
