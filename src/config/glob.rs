//! Patterns over relative paths: `*` and `?` within a name, `**` across folders, `[a-z]`, `{a,b}`.
//!
//! Wild cards pass over names that begin with a dot and over `node_modules`, as shells and build tools do; who
//! means them writes them.

/// As many patterns as a list of globs may come to, braces expanded: each is a walk through the folder.
pub(super) const PATTERNS_MAX: usize = 1_000;

/// One pattern without braces, as a list of parts, one a folder.
#[derive(Debug)]
pub(super) struct Glob {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq)]
enum Part {
    /// `**`: any number of folders, never the last part.
    Any,
    Name(String),
}

impl Glob {
    /// The patterns that a written one stands for, braces expanded.
    ///
    /// # Errors
    /// It is empty, absolute, leaves its folder, comes to too many patterns, or a bracket is not closed.
    pub(super) fn parse(written: &str) -> Result<Vec<Self>, String> {
        if written.matches('{').count() > 8 {
            return Err(format!("`{written}` has too many braces"));
        }
        let patterns = expand(written)
            .ok_or_else(|| format!("the braces of one glob come to more than {PATTERNS_MAX} patterns"))?;
        patterns.iter().map(|pattern| Self::parse_one(pattern, written)).collect()
    }

    fn parse_one(pattern: &str, written: &str) -> Result<Self, String> {
        if pattern.starts_with('/') || pattern.starts_with('~') {
            return Err(format!("`{written}` is absolute: globs are below `cwd`"));
        }
        let mut parts = Vec::new();
        for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
            match part {
                ".." => return Err(format!("`{written}` leads out of `cwd`")),
                "**" if parts.last() == Some(&Part::Any) => {}
                "**" => parts.push(Part::Any),
                _ if unclosed(part) => return Err(format!("`{written}` has a `[` that is not closed")),
                _ => parts.push(Part::Name(part.to_owned())),
            }
        }
        if parts.last() == Some(&Part::Any) {
            parts.push(Part::Name("*".to_owned()));
        }
        if parts.is_empty() {
            return Err("a glob is empty".to_owned());
        }
        Ok(Self { parts })
    }

    /// Where a name leads from these places in the pattern; nowhere when it does not match.
    pub(super) fn step(&self, states: &[usize], name: &str) -> Vec<usize> {
        let mut next = Vec::new();
        for &state in states {
            match self.parts.get(state) {
                Some(Part::Any) => {
                    if !is_hidden(name) {
                        next.push(state);
                    }
                    if let Some(Part::Name(pattern)) = self.parts.get(state + 1)
                        && matches_name(pattern, name)
                    {
                        next.push(state + 2);
                    }
                }
                Some(Part::Name(pattern)) if matches_name(pattern, name) => next.push(state + 1),
                Some(Part::Name(_)) | None => {}
            }
        }
        next.sort_unstable();
        next.dedup();
        next
    }

    /// Whether a path that has come to these places is matched.
    pub(super) fn is_end(&self, states: &[usize]) -> bool {
        states.contains(&self.parts.len())
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        self.is_end(&path.split('/').fold(vec![0], |states, name| self.step(&states, name)))
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name == "node_modules"
}

/// `a{b,c}d` is `abd` and `acd`; braces within braces are expanded in turn. None where that gets out of hand.
fn expand(pattern: &str) -> Option<Vec<String>> {
    let (mut open, mut done) = (vec![pattern.to_owned()], Vec::new());
    while let Some(pattern) = open.pop() {
        let Some((start, end)) = braces(&pattern) else {
            done.push(pattern);
            continue;
        };
        let (before, after) = (&pattern[..start], &pattern[end + 1..]);
        let alternatives = alternatives(&pattern[start + 1..end]);
        // Each that is open comes to one at least.
        if open.len() + done.len() + alternatives.len() > PATTERNS_MAX {
            return None;
        }
        open.extend(alternatives.iter().rev().map(|alternative| format!("{before}{alternative}{after}")));
    }
    Some(done)
}

fn braces(pattern: &str) -> Option<(usize, usize)> {
    let open = pattern.find('{')?;
    let mut depth = 0_u32;
    for (at, c) in pattern[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some((open, open + at)),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn alternatives(inner: &str) -> Vec<String> {
    let mut depth = 0_u32;
    let mut parts = vec![String::new()];
    for c in inner.chars() {
        match c {
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

fn unclosed(part: &str) -> bool {
    part.find('[').is_some_and(|open| !part[open + 1..].contains(']'))
}

fn matches_name(pattern: &str, name: &str) -> bool {
    let wild = pattern.starts_with(['*', '?', '[']);
    if wild && is_hidden(name) {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    matches_chars(&pattern, &name)
}

/// One backtracking point is enough: a later `*` can take whatever an earlier one could.
fn matches_chars(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(length) = pattern.get(p..).and_then(|rest| match_one(rest, name[n])) {
            p += length;
            n += 1;
        } else if let Some((star_p, star_n)) = star {
            star = Some((star_p, star_n + 1));
            (p, n) = (star_p + 1, star_n + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How many letters of the pattern one letter of the name uses up.
fn match_one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => {
            let close = pattern.iter().skip(2).position(|c| *c == ']')? + 2;
            let (negated, set) = match pattern[1..close].split_first() {
                Some(('!' | '^', rest)) => (true, rest),
                _ => (false, &pattern[1..close]),
            };
            (in_set(set, c) != negated).then_some(close + 1)
        }
        letter => (*letter == c).then_some(1),
    }
}

fn in_set(set: &[char], c: char) -> bool {
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == '-' {
            if (set[at]..=set[at + 2]).contains(&c) {
                return true;
            }
            at += 3;
        } else {
            if set[at] == c {
                return true;
            }
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_paths() {
        let table = [
            ("*.js", "a.js", true),
            ("*.js", "dir/a.js", false),
            ("**/*.js", "a.js", true),
            ("**/*.js", "x/y/a.js", true),
            ("**/*.js", "x/node_modules/a.js", false),
            ("**", ".env", false),
            ("dist/**", "dist/a/b", true),
            ("dist/**", "dist", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/**/b", "a/b", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("a*b*c", "aXXbYbZc", true),
            ("a*b*c", "aXXbYbZ", false),
            ("x.{js,{c,m}js}", "x.mjs", true),
            ("é?", "éü", true),
        ];
        for (pattern, path, want) in table {
            let globs = Glob::parse(pattern).unwrap();
            assert_eq!(globs.iter().any(|glob| glob.matches(path)), want, "{pattern} {path}");
        }
    }

    #[test]
    fn braces_are_expanded_in_order_and_within_bounds() {
        assert_eq!(expand("a{b,c{d,e}}{f,}").unwrap(), ["abf", "ab", "acdf", "acd", "acef", "ace"]);
        let ten = "{1,2,3,4,5,6,7,8,9,0}";
        assert_eq!(expand(&ten.repeat(3)).unwrap().len(), PATTERNS_MAX);
        for bomb in [ten.repeat(8), format!("{{{}}}", ",".repeat(1_000_000)), format!("{{{},x}}", ten.repeat(3))] {
            assert!(Glob::parse(&bomb).unwrap_err().contains("more than 1000 patterns"));
        }
    }

    #[test]
    fn a_pattern_of_stars_takes_no_exponential_time() {
        let glob = &Glob::parse(&"a*".repeat(200)).unwrap()[0];
        assert!(!glob.matches(&format!("{}b", "a".repeat(199))));
    }
}
