//! What of a source line may not be shown.
//!
//! The line may be of any format and is often broken: it is shown because something in it is wrong. So this reads no
//! format, only names, separators, quotes and brackets, and where they do not add up, all the rest is hidden.

use std::ops::Range;

use crate::base::{TOKEN_BEGINNINGS, announces_user, is_secret_name, merge_ranges, user_password};

/// Bytes that are looked at before and after the place that is shown: lines can have megabytes.
const BEFORE: usize = 8_192;
const AFTER: usize = 1_024;

/// More than a URL, or a name and a password, ever has: what is looked at for each `//` and each `@` is bounded.
const URL_MAX: usize = 1_024;
const LOGIN_MAX: usize = 1_024;

/// From this length on, what stands before an `@` alone is a token and no user's name.
const LONG_USER: usize = 12;

/// Where the secrets of a line are, in bytes of the line, sorted and apart from each other. `line` is where the line
/// is in `text`, `place` what is shown of it.
pub(super) fn secrets(text: &str, line: &Range<usize>, place: &Range<usize>) -> Vec<Range<usize>> {
    let from = text.floor_char_boundary(line.start.max(place.start.saturating_sub(BEFORE)));
    let to = text.ceil_char_boundary(line.end.min(place.start.saturating_add(AFTER)));
    let shown = &text[from..to];
    let before = &text[text.floor_char_boundary(line.start.saturating_sub(BEFORE))..line.start];
    let indent = shown.len() - shown.trim_start().len();
    let whole = std::iter::once(indent..shown.len());
    let mut within = if continues(before, shown) { whole.collect() } else { scan(shown) };
    if from > line.start {
        // What is shown may begin within a value whose name is too far away: it ends at a quote, or where there is none at
        // whatever ends a word.
        let end = shown.find('"').or_else(|| shown.find([',', ' ', ']', '}', '&'])).unwrap_or(shown.len());
        let hidden = 0..end;
        within = merge_ranges(within.into_iter().chain([hidden]).collect());
    }
    within.into_iter().map(|part| part.start + from - line.start..part.end + from - line.start).collect()
}

/// Parts of a sentence that are secret wherever they stand.
pub(super) fn in_message(text: &str) -> Vec<Range<usize>> {
    let states = states(text);
    let mut found = Vec::new();
    found.extend(urls(text, &states));
    found.extend(logins(text));
    found.extend(tokens(text));
    // `--token=x` and `TOKEN=x` within a sentence end with their word.
    for (at, _) in text.match_indices('=') {
        if is_secret_name(last_name(&text[..at])) {
            found.push(at + 1..word_end(text, at + 1));
        }
    }
    merge_ranges(found)
}

/// The text with a mark for each character of the parts.
pub(super) fn covered(text: &str, parts: &[Range<usize>], mark: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut parts = parts.iter().peekable();
    for (at, c) in text.char_indices() {
        while parts.next_if(|part| part.end <= at).is_some() {}
        let hide = parts.peek().is_some_and(|part| part.start <= at) && c != '\u{feff}' && c != '\n';
        out.push(if hide { mark } else { c });
    }
    out
}

/// Whether a line is a part of a secret that began on one of the lines before it.
fn continues(before: &str, line: &str) -> bool {
    let private = "PRIVATE KEY-----";
    let open = before.rfind(private).is_some_and(|at| {
        let start = before[..at].rfind("-----").unwrap_or(0);
        before[start..].starts_with("-----BEGIN") && !before[at..].contains("-----END")
    });
    if open || line.contains(private) {
        return true;
    }
    let mut lines = before.lines().rev().filter(|line| !line.trim().is_empty());
    if lines.clone().next().is_some_and(announces) {
        return true;
    }
    // Lines that this one is indented below: a block, a list, a value that goes on.
    let mut indent = indent_of(line);
    for above in lines.by_ref() {
        if indent == 0 {
            break;
        }
        if indent_of(above) < indent {
            indent = indent_of(above);
            let end = above.trim_end().len();
            if announces(above) || scan(above).last().is_some_and(|part| part.end >= end) {
                return true;
            }
        }
    }
    // Of the sections of TOML the last one counts.
    let section = before.lines().rev().map(str::trim).find(|line| line.starts_with('[') && line.ends_with(']'));
    if let Some(section) = section
        && line.contains('=')
        && section.trim_matches(['[', ']']).split(['.', '"', '\'']).any(is_secret_name)
    {
        return true;
    }
    // Quotes and brackets that are still open.
    separators(before).any(|(_, value)| {
        let start = value + leading_space(&before[value..]);
        is_enclosed(&before[start..]) && closed_end(&before[start..]).is_none()
    })
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Ends with a name whose value is still to come: `"API_KEY":`, `KEY: |`, `- --token`, `? KEY`.
fn announces(line: &str) -> bool {
    let line = line.trim_end();
    let bare = line.trim_end_matches([',', '"', '\'', '`', '\\', '[', '(']);
    let flag = last_name(bare);
    if flag.starts_with('-') && is_secret_name(flag) {
        return true;
    }
    if line.trim_start().starts_with("? ") && is_secret_name(last_name(bare)) {
        return true;
    }
    separators(line).any(|(_, value)| {
        let value = line[value..].trim();
        value.is_empty() || value.starts_with(['|', '>']) || value.starts_with("\"\"\"") && value.len() == 3
    })
}

/// Where the values of secret names may begin: behind `name:` and `name=`: the separator's place and the first byte behind it.
fn separators(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    text.match_indices([':', '=']).filter_map(|(at, separator)| {
        let before = text[..at].trim_end_matches(|c: char| " \t\"'`\\]?)".contains(c));
        let name = last_name(before);
        // Cheap first: there can be thousands of them.
        if name.len() < 2 || !is_secret_name(name) {
            return None;
        }
        let after = &text[at + 1..];
        if separator == ":" {
            let host = before[..before.len() - name.len()].ends_with(['/', '@']) && before.len() == at;
            if after.starts_with("//") || host && after.starts_with(|c: char| c.is_ascii_digit()) {
                return None;
            }
        }
        let more = after.len() - after.trim_start_matches(['=', ':', '>']).len();
        Some((at, at + 1 + more))
    })
}

/// The name that a text ends with.
fn last_name(text: &str) -> &str {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.rsplit(|c: char| !is_part(c)).next().unwrap_or("")
}

fn leading_space(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// What a byte of a line stands in: the quote that is open there, and how many brackets.
#[derive(Clone, Copy, Default)]
struct State {
    quote: Option<char>,
    depth: usize,
}

fn states(text: &str) -> Vec<State> {
    let mut states = vec![State::default(); text.len() + 1];
    let mut now = State::default();
    let mut escaped = false;
    let mut last = ' ';
    for (at, c) in text.char_indices() {
        states[at..at + c.len_utf8()].fill(now);
        match now.quote {
            Some(quote) if c == quote && !escaped => now.quote = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' | '`' if !last.is_alphanumeric() => now.quote = Some(c),
                '{' | '[' => now.depth += 1,
                '}' | ']' => now.depth = now.depth.saturating_sub(1),
                _ => {}
            },
        }
        escaped = c == '\\' && !escaped && now.quote != Some('\'');
        last = c;
    }
    states[text.len()] = now;
    states
}

/// The secrets of a line that begins outside of any.
fn scan(line: &str) -> Vec<Range<usize>> {
    let states = states(line);
    let mut found = Vec::new();
    for (at, value) in separators(line) {
        found.extend(value_at(line, value, states[at]));
    }
    found.extend(flags(line, &states));
    found.extend(urls(line, &states));
    found.extend(logins(line));
    found.extend(tokens(line));
    merge_ranges(found)
}

/// The value that begins at a byte, without its quotes. What stands behind it has to look like the next one, or all
/// of the line is taken.
fn value_at(line: &str, at: usize, state: State) -> Option<Range<usize>> {
    let start = at + leading_space(&line[at..]);
    let rest = &line[start..];
    let all = start..line.trim_end().len().max(start);
    let first = rest.chars().next()?;
    if is_enclosed(rest) {
        let Some(end) = closed_end(rest).filter(|end| goes_on(&rest[*end..])) else {
            return Some(all);
        };
        let quotes = if rest.starts_with("\"\"\"") || rest.starts_with("'''") { 3 } else { 1 };
        let inner = if matches!(first, '"' | '\'' | '`') { quotes } else { 0 };
        return Some(start + inner..start + end - inner);
    }
    if let Some(quote) = state.quote {
        let end = unescaped(rest, quote).filter(|end| {
            let after = rest[end + 1..].trim_start();
            after.is_empty() || after.starts_with([',', ';', '}', ']', ')', ':', '#'])
        });
        return Some(end.map_or(all, |end| start..start + end));
    }
    if state.depth == 0 {
        return Some(all);
    }
    let end = rest.find([',', '}', ']', '{', '[', '(', '"', '\'', '`']);
    // Of a program's expression every part is hidden.
    if let Some(end) = expression_end(rest).filter(|end| goes_on(&rest[*end..])) {
        return Some(start..start + rest[..end].trim_end().len());
    }
    match end.filter(|end| rest[*end..].starts_with([',', '}', ']']) && goes_on(&rest[*end..])) {
        Some(end) => Some(start..start + rest[..end].trim_end().len()),
        None => Some(all),
    }
}

/// Where a program's expression such as `process.env.KEY || "x"` ends: at a comma or bracket that is not its own. None
/// for what only looks like one: its quotes and brackets have to stand where those of an expression do.
fn expression_end(value: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut skip = 0;
    let mut last = ' ';
    for (at, c) in value.char_indices() {
        if at < skip {
            continue;
        }
        match c {
            '"' | '\'' | '`' => {
                if !"|?:&+([,!=".contains(last) {
                    return None;
                }
                skip = at + unescaped(&value[at + 1..], c)? + 2;
            }
            ',' | '}' | ']' | ')' if depth == 0 => return Some(at),
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            _ => {}
        }
        last = if c.is_whitespace() { last } else { c };
    }
    None
}

/// In quotes or brackets.
fn is_enclosed(value: &str) -> bool {
    value.starts_with(['"', '\'', '`', '{', '[', '('])
}

/// Where a value in quotes or brackets ends, if it does.
fn closed_end(value: &str) -> Option<usize> {
    let first = value.chars().next()?;
    match first {
        '"' | '\'' | '`' => {
            if let Some(three) = ["\"\"\"", "'''"].into_iter().find(|three| value.starts_with(three)) {
                return value[3..].find(three).map(|at| at + 6);
            }
            let end = unescaped(&value[1..], first).map(|at| at + 2);
            // `''` within a string of YAML, as well as two strings without anything between.
            end.filter(|end| *end == 2 || !value[*end..].starts_with(first))
        }
        '{' | '[' | '(' => {
            let mut depth = 0_usize;
            let mut skip = 0;
            for (at, c) in value.char_indices() {
                if at < skip {
                    continue;
                }
                match c {
                    '{' | '[' | '(' => depth += 1,
                    '}' | ']' | ')' => depth -= 1,
                    '"' | '\'' | '`' => skip = at + unescaped(&value[at + 1..], c)? + 2,
                    _ => {}
                }
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            None
        }
        _ => None,
    }
}

/// The first such quote that no backslash stands before.
fn unescaped(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return Some(at);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

/// Whether what stands behind a value is the end, or another key.
fn goes_on(rest: &str) -> bool {
    let mut rest = rest.trim_start();
    while !rest.is_empty() {
        let inner = rest.trim_start_matches(['}', ']', ')', ',', ';']);
        if inner.len() == rest.len() {
            return false;
        }
        rest = inner.trim_start();
        let bare = rest.trim_start_matches(['{', '[', ' ']);
        let quoted = bare.strip_prefix(['"', '\'']);
        let key = quoted.unwrap_or(bare);
        let end = key.find(|c: char| !c.is_alphanumeric() && !"_-.$".contains(c)).unwrap_or(key.len());
        let after = if quoted.is_some() { key[end..].trim_start_matches(['"', '\'']) } else { &key[end..] };
        if end > 0 && after.trim_start().starts_with([':', '=']) {
            return true;
        }
    }
    true
}

/// The word after `--token` and `Bearer`, on the same line.
fn flags(line: &str, states: &[State]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut at = 0;
    while let Some(skip) = line[at..].find(is_part) {
        let start = at + skip;
        let length = line[start..].find(|c| !is_part(c)).unwrap_or(line.len() - start);
        let name = &line[start..start + length];
        at = start + length;
        let is_flag = name.len() > 2 && name.starts_with('-') && is_secret_name(name);
        // `-u user:password`, `-uuser:password`, `--user=user:password`
        let user = if announces_user(name) { Some(at) } else { name.starts_with("-u").then_some(start + 2) };
        if let Some(from) = user {
            let value = line[from..].trim_start_matches([' ', '\t', '"', '\'', '`', ',', '\\', '=']);
            let begin = line.len() - value.len();
            let end = begin + value.find([' ', '"', '\'', '`', ',', ']']).unwrap_or(value.len());
            let part = user_password(&line[begin..end], true);
            found.extend(part.map(|part| begin + part.start..begin + part.end));
        }
        if !is_flag && !name.eq_ignore_ascii_case("bearer") {
            continue;
        }
        let rest = &line[at..];
        let value = rest.trim_start_matches([' ', '\t', '"', '\'', '`', ',', '\\']);
        let skipped = &rest[..rest.len() - value.len()];
        let begin = at + skipped.len();
        if skipped.is_empty() || value.starts_with("--") {
            continue;
        }
        // A quote that opened just before holds the word together.
        let opening = skipped.chars().last().filter(|c| matches!(c, '"' | '\'' | '`'));
        let end = match opening {
            Some(_) if skipped.ends_with("\\\"") => value.find("\\\"").unwrap_or(value.len()),
            Some(quote) => unescaped(value, quote).unwrap_or(value.len()),
            None if states[at].quote.is_none() && states[at].depth > 0 => {
                value.find([',', ']', '}']).unwrap_or(value.len())
            }
            None => word_end(value, 0),
        };
        found.push(begin..begin + end);
    }
    found
}

/// White space ends a word, and so does the quote that may be around it.
fn word_end(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        return unescaped(&rest[1..], quote).map_or(text.len(), |end| at + end + 1);
    }
    at + rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`')).unwrap_or(rest.len())
}

/// What stands between `//` and the last `@` of a URL, but for a user's name.
fn urls(text: &str, states: &[State]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if !text.contains('@') {
        return found;
    }
    for (at, _) in text.match_indices("//") {
        let start = at + 2;
        let rest = &text[start..text.ceil_char_boundary(start.saturating_add(URL_MAX))];
        let end = match states[at].quote {
            Some(quote) => rest.find(quote),
            None => rest.find(char::is_whitespace),
        };
        let rest = &rest[..end.unwrap_or(rest.len())];
        let Some(last) = rest.rfind('@') else {
            continue;
        };
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        if !authority.contains('@') && !text[..at].ends_with(':') {
            continue;
        }
        let port = |text: &str| text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
        match rest[..last].find(':') {
            Some(colon) if !authority.contains('@') && port(authority.get(colon + 1..).unwrap_or("")) => {}
            Some(colon) if colon < LONG_USER => found.push(start + colon + 1..start + last),
            None if authority.find('@').is_none_or(|user| user < LONG_USER) => {}
            _ => found.push(start..start + last),
        }
    }
    found
}

/// `user:password@tcp(host)/db`, as some drivers write it.
fn logins(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('@') {
        let near = &text[..at][text.floor_char_boundary(at.saturating_sub(LOGIN_MAX))..];
        let ends = |(_, c): &(usize, char)| c.is_whitespace() || "\"'`=,{[(".contains(*c);
        let word = near.char_indices().rev().find(ends).map_or(0, |(at, c)| at + c.len_utf8());
        let Some((user, password)) = near[word..].split_once(':') else {
            continue;
        };
        let is_other = ["mailto", "npm", "workspace"].contains(&user) || password.starts_with("//");
        if !user.is_empty() && !is_other && !password.is_empty() {
            found.push(at - password.len()..at);
        }
    }
    found
}

/// Tokens that show what they are by how they begin.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c)) {
        if word.len() >= 20 && TOKEN_BEGINNINGS.iter().any(|begin| word.starts_with(begin)) {
            let start = word.as_ptr() as usize - text.as_ptr() as usize;
            found.push(start..start + word.len());
        }
    }
    found
}
