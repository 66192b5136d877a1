//! What may be seen of a value.
//!
//! A value is hidden because of the name it is kept under, and parts of one are hidden where they look like
//! credentials wherever they stand: in a URL, behind `--token`, `password=` or `Bearer`. In doubt more is hidden:
//! what is shown ends up in terminals, logs of CI and pull requests.

use std::ops::Range;

pub use crate::base::is_secret_name;
use crate::base::{Key, TOKEN_BEGINNINGS, announces_user, keyed_digest, merge_ranges, user_password};

/// A longer value is cut, and a digest of all of it is put behind.
const LONGEST_SHOWN: usize = 120;
const SHOWN_OF_LONG: usize = 80;

/// What may stand between `Authorization:` and the secret.
const AUTH_SCHEMES: [&str; 4] = ["bearer", "basic", "token", "digest"];

/// Whether a value kept under a name is, or has in it, what may not be seen.
#[must_use]
pub fn holds_secret(name: &str, value: &str) -> bool {
    !value.is_empty() && (is_secret_name(name) || !secret_parts(value).is_empty())
}

/// A variable's value as it may be shown.
#[must_use]
pub fn shown_env(name: &str, value: &str, key: &Key) -> String {
    if is_secret_name(name) && !value.is_empty() { hidden(value, key) } else { shown_text(value, key) }
}

/// Any other value as it may be shown: URLs lose their credentials, `--token=x` its value. What cannot be seen
/// (control characters, spaces at an end) is written out, in quotes.
#[must_use]
pub fn shown_text(value: &str, key: &Key) -> String {
    shortened(presented(value, &secret_parts(value), key, false), value, key)
}

/// A list as `[a, "b c"]`. The word after `--token` is hidden.
#[must_use]
pub(super) fn shown_list(values: &[String], key: &Key) -> String {
    let shown: Vec<String> = list_secrets(values).map(|(value, hide)| presented(value, &hide, key, true)).collect();
    shortened(format!("[{}]", shown.join(", ")), &values.join("\0"), key)
}

/// Each word of a command line as it may be shown. The word after `--token` is hidden.
#[must_use]
pub fn shown_words(values: &[String], key: &Key) -> Vec<String> {
    let shown = |(value, hide): (&str, Vec<Range<usize>>)| match value {
        // Whoever prints words puts the quotes.
        "" => String::new(),
        _ => shortened(presented(value, &hide, key, false), value, key),
    };
    list_secrets(values).map(shown).collect()
}

/// The digest of a file as it may be shown: of one that holds secrets, as env files do, it could be guessed from.
#[must_use]
pub fn shown_digest(file: &str, digest: &str, key: &Key) -> String {
    if is_secret_file(file) { keyed_digest(key, digest) } else { digest.to_owned() }
}

/// Whether a file is one that secrets are kept in, by its name.
#[must_use]
pub fn is_secret_file(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.rsplit('.').next() == Some("env") || name.starts_with(".env.") || is_secret_name(name)
}

/// A name (an app's, a file's, a variable's) on one line that nothing in it can break out of.
#[must_use]
pub(super) fn shown_name(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() && !is_odd(c) || "._-@:/+#$%*~=".contains(c);
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { format!("\"{}\"", escaped(name)) }
}

/// The words of a list, and where the secrets in each are.
fn list_secrets(values: &[String]) -> impl Iterator<Item = (&str, Vec<Range<usize>>)> {
    let (mut follows_secret, mut follows_user) = (false, false);
    values.iter().map(move |value| {
        let hide = if follows_secret && !value.starts_with("--") {
            whole(value)
        } else if let Some(part) = user_password(value, follows_user) {
            vec![part]
        } else {
            assigned_whole(value).map_or_else(|| secret_parts(value), |part| vec![part])
        };
        follows_secret = announces_secret(value);
        follows_user = announces_user(value);
        (value.as_str(), hide)
    })
}

#[expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
fn whole(text: &str) -> Vec<Range<usize>> {
    vec![0..text.len()]
}

fn hidden(value: &str, key: &Key) -> String {
    format!("<secret {}>", keyed_digest(key, value))
}

/// The value with its secret parts replaced, in quotes if it would be misread without.
fn presented(value: &str, hide: &[Range<usize>], key: &Key, in_list: bool) -> String {
    let mut pieces = Vec::new();
    let mut at = 0;
    for part in hide {
        pieces.push((&value[at..part.start], Some(&value[part.clone()])));
        at = part.end;
    }
    pieces.push((&value[at..], None));
    let misread = |text: &str| {
        text.chars().any(|c| is_odd(c) || in_list && (c.is_whitespace() || "[],\"".contains(c)))
            || text.contains("<secret ")
    };
    let quote = value.is_empty()
        || value.starts_with(|c: char| c.is_whitespace() || c == '"' || c == '(')
        || value.ends_with(char::is_whitespace)
        || pieces.iter().any(|(text, _)| misread(text));
    let mut shown = String::new();
    for (text, secret) in pieces {
        shown.push_str(&if quote { escaped(text) } else { text.to_owned() });
        if let Some(secret) = secret {
            shown.push_str(&hidden(secret, key));
        }
    }
    if quote { format!("\"{shown}\"") } else { shown }
}

/// Cannot be seen, or changes how the rest is seen (control characters, marks of writing direction, joiners).
fn is_odd(c: char) -> bool {
    !matches!(c, '\'' | '"' | '\\') && c.escape_debug().next() == Some('\\')
}

/// A text that steers no terminal.
pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c == '\'' {
            out.push(c);
        } else {
            out.extend(c.escape_debug());
        }
        out
    })
}

/// Two long values that differ only behind the cut still differ by the digest.
fn shortened(shown: String, value: &str, key: &Key) -> String {
    let length = shown.chars().count();
    if length <= LONGEST_SHOWN {
        return shown;
    }
    let head: String = shown.chars().take(SHOWN_OF_LONG).collect();
    format!("{head}... ({length} characters, {})", keyed_digest(key, value))
}

/// Where the secrets in a text are: sorted, apart from each other.
fn secret_parts(text: &str) -> Vec<Range<usize>> {
    if text.contains("PRIVATE KEY-----") {
        return whole(text);
    }
    let mut found = Vec::new();
    // Quotes may hold a word together or be an apostrophe, so both readings count.
    for words in [words(text, false), words(text, true)] {
        let (mut follows_secret, mut follows_name, mut follows_user) = (false, false, false);
        for word in words {
            let inside = &text[word.clone()];
            let separates = inside == "=" || inside == ":";
            let hide = follows_secret && !separates && !inside.starts_with("--");
            if hide {
                found.push(word.clone());
            }
            let shifted = |part: Range<usize>| part.start + word.start..part.end + word.start;
            found.extend(url_credentials(inside).into_iter().map(shifted));
            found.extend(plain_credentials(inside).map(shifted));
            found.extend(user_password(inside, follows_user).map(shifted));
            follows_user = announces_user(inside);
            found.extend(assigned(inside).into_iter().map(shifted));
            found.extend(known_token(inside).map(shifted));
            follows_secret = announces_secret(inside)
                || separates && (follows_secret || follows_name)
                || hide && AUTH_SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(inside));
            follows_name = is_secret_name(last_name(inside.trim_end_matches(['"', '\''])));
        }
    }
    merge_ranges(found)
}

/// Runs of characters that are no white space; with `quotes`, a quoted part belongs to its word whatever is in it.
fn words(text: &str, quotes: bool) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut open = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() && open.is_none() {
            words.extend(start.take().map(|start| start..at));
            continue;
        }
        start.get_or_insert(at);
        if quotes && !escaped && matches!(c, '"' | '\'') {
            open = match open {
                None => Some(c),
                Some(quote) if quote == c => None,
                other => other,
            };
        }
        escaped = c == '\\' && !escaped;
    }
    words.extend(start.map(|start| start..text.len()));
    words
}

/// `--password`, `"password":`, `Authorization:`, `Bearer`: the secret is the next word.
fn announces_secret(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| "\"'{}[](),\\".contains(c));
    if let Some(name) = bare.strip_prefix('-') {
        return !name.contains(['=', ':']) && is_secret_name(name);
    }
    let (name, marked) = match bare.strip_suffix(':').or_else(|| bare.strip_suffix('=')) {
        Some(name) => (name, true),
        None => (bare, false),
    };
    let name = name.trim_matches(['"', '\'', '\\']);
    marked && is_secret_name(last_name(name)) || name.eq_ignore_ascii_case("bearer")
}

/// The name that a text ends with.
fn last_name(text: &str) -> &str {
    let start = text.char_indices().rev().take_while(|(_, c)| is_name_char(*c)).last().map_or(text.len(), |(at, _)| at);
    &text[start..]
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// `--token=...` and `TOKEN=...` that are an argument of their own: all the rest is the secret, with its spaces.
fn assigned_whole(argument: &str) -> Option<Range<usize>> {
    let (name, value) = argument.split_once('=')?;
    let is_name = !name.is_empty() && name.chars().all(is_name_char);
    (is_name && is_secret_name(name) && !value.is_empty()).then_some(name.len() + 1..argument.len())
}

/// `name=secret`, `"name":"secret"`, `?name=secret&`, anywhere in a word.
fn assigned(word: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, separator) in word.match_indices(['=', ':']) {
        let before = word[..at].trim_end_matches(['"', '\'', '\\']);
        let name = last_name(before);
        let value = &word[at + 1..];
        if !is_secret_name(name) || value.is_empty() {
            continue;
        }
        if separator == ":" && (value.starts_with("//") || is_port(value)) {
            continue;
        }
        let in_query = before[..before.len() - name.len()].ends_with(['?', '&']);
        let part = value_range(value, in_query);
        if !part.is_empty() {
            found.push(at + 1 + part.start..at + 1 + part.end);
        }
    }
    found
}

/// Which part of what follows a separator is the value.
fn value_range(value: &str, in_query: bool) -> Range<usize> {
    if in_query {
        return 0..value.find(['&', '#']).unwrap_or(value.len());
    }
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return 0..value.len();
    };
    let mut escaped = false;
    for (at, c) in value.char_indices().skip(1) {
        if c == quote && !escaped {
            return 1..at;
        }
        escaped = c == '\\' && !escaped;
    }
    1..value.len()
}

/// `auth:8080` and `auth:8080/path` are a host and a port.
fn is_port(value: &str) -> bool {
    // Of a long value no more is looked at than a port has.
    let number = value.as_bytes().iter().take(6).take_while(|byte| !matches!(byte, b'/' | b',')).count();
    let number = &value.as_bytes()[..number];
    !number.is_empty() && number.len() <= 5 && number.iter().all(u8::is_ascii_digit)
}

/// The password of `scheme://user:password@host`, and a user's name that is rather a token.
fn url_credentials(word: &str) -> Vec<Range<usize>> {
    // Where each URL's scheme begins and ends. Within a password, `://` begins no other URL.
    let mut schemes: Vec<(usize, usize)> = Vec::new();
    for (at, _) in word.match_indices("://") {
        let begin = at - last_name(&word[..at]).len();
        let is_scheme = word[begin..at].len() > 2 && word[begin..].starts_with(|c: char| c.is_ascii_alphabetic());
        let parted = is_scheme && word[..begin].ends_with([',', ';']);
        if schemes.is_empty() || parted {
            schemes.push((begin, at + 3));
        }
    }
    let ends = schemes.iter().skip(1).map(|(begin, _)| *begin).chain([word.len()]);
    let parts = schemes.iter().zip(ends).filter_map(|((_, start), end)| {
        let part = credentials_of(&word[*start..end])?;
        Some(start + part.start..start + part.end)
    });
    parts.collect()
}

/// What is secret in what follows `://`. A password that was not encoded may hold anything, so it reaches to the
/// last `@`, unless what stands before the first `/` can only be a host and its port.
fn credentials_of(rest: &str) -> Option<Range<usize>> {
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if let Some((user, _)) = authority.rsplit_once('@')
        && !user.contains(':')
    {
        // A token instead of a user's name, as hosters of git and error trackers want it.
        return (user.len() >= 12).then_some(0..user.len());
    }
    let colon = authority.find(':')?;
    if !authority.contains('@') && is_port(&authority[colon + 1..]) {
        return None;
    }
    let at = rest.rfind('@').filter(|at| *at > colon + 1)?;
    let start = if colon >= 20 { 0 } else { colon + 1 };
    Some(start..at)
}

/// `user:password@tcp(host)/db`, as Go's and some other drivers write it.
fn plain_credentials(word: &str) -> Option<Range<usize>> {
    let at = word.rfind('@')?;
    let colon = word[..at].find(':').filter(|colon| !word[*colon..].starts_with("://"))?;
    let user = last_name(&word[..colon]);
    let is_other = ["mailto", "npm"].contains(&user) || word[at + 1..].starts_with("sha256:");
    (!user.is_empty() && !is_other && colon + 1 < at).then_some(colon + 1..at)
}

fn known_token(word: &str) -> Option<Range<usize>> {
    let start = word.rfind(['=', ':', '"', '\'', ',']).filter(|at| at + 1 < word.len()).map_or(0, |at| at + 1);
    let token = &word[start..];
    (token.len() >= 20 && TOKEN_BEGINNINGS.iter().any(|begin| token.starts_with(begin))).then_some(start..word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key([7; 32]);

    /// Digests are replaced by dots, so that the tables can be read.
    fn dots(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("<secret ") {
            out.push_str(before);
            out.push_str("<..>");
            rest = &after[9..];
        }
        out + rest
    }

    #[test]
    fn names_of_secrets() {
        let secret = [
            "TOKEN",
            "GITHUB_TOKEN",
            "githubToken",
            "DB_PASSWORD",
            "DBPASSWORD",
            "PGPASSWORD",
            "passwd",
            "SMTP_PASS",
            "pass",
            "API_KEY",
            "apiKey",
            "APIKey",
            "KEY",
            "KEY1",
            "API_KEYS",
            "SECRET_KEY_BASE",
            "secret",
            "MY_SECRETS",
            "SENTRY_DSN",
            "AWS_CREDENTIALS",
            "PRIVATE",
            "PRIVATE_KEY",
            "BASIC_AUTH",
            "auth-token",
            "db.password",
            "APIKEY",
            "clientSecret",
            "--api-key",
            "PASSWORD_HASH",
            "PGPASS",
            "X-Amz-Signature",
            "WEBHOOK_SIG",
            "COOKIE",
            "SESSION_ID",
            "HASH_SALT",
            "CARD_PIN",
            "SLACK_WEBHOOK_URL",
        ];
        let open = [
            "KEYBOARD",
            "MONKEY",
            "AUTHOR",
            "AUTHORS",
            "PORT",
            "NODE_ENV",
            "COMPASS",
            "BYPASS",
            "SECRETARY",
            "TOKENIZERS",
            "PATH",
            "HOST",
            "PASSENGER",
            "HOTKEY",
            "",
            "_",
            "PRIVATEER",
            "PING_MS",
            "SPINNER",
            "DESIGN",
            "SIGTERM",
            "SESSIONLESS",
        ];
        for name in secret {
            assert!(is_secret_name(name), "{name}");
        }
        for name in open {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn secrets_within_values() {
        let table = [
            ("3000", "3000"),
            ("hello world", "hello world"),
            ("postgres://user:pw@host/db", "postgres://user:<..>@host/db"),
            ("redis://:pw@host:6379/0", "redis://:<..>@host:6379/0"),
            ("postgres://user:p/w@host/db", "postgres://user:<..>@host/db"),
            ("postgres://user:p@w@host/db", "postgres://user:<..>@host/db"),
            ("postgres://user:p@/#w@host/db", "postgres://user:<..>@host/db"),
            ("https://0123456789abcdef01234:x-oauth-basic@github.com", "https://<..>@github.com"),
            ("redis://:a@h1:1,redis://:b@h2:2", "redis://:<..>@h1:1,redis://:<..>@h2:2"),
            ("https://0123456789abcdef@sentry.io/1", "https://<..>@sentry.io/1"),
            ("ssh://git@github.com/a/b", "ssh://git@github.com/a/b"),
            ("http://host:8080/img@2x.png", "http://host:8080/img@2x.png"),
            ("http://auth:8080/x", "http://auth:8080/x"),
            ("pw:123456", "pw:<..>"),
            ("https://x/?a=1&token=abc&b=2", "https://x/?a=1&token=<..>&b=2"),
            (
                "https://b.s3/k?X-Amz-Date=1&X-Amz-Signature=ab12&x=1",
                "https://b.s3/k?X-Amz-Date=1&X-Amz-Signature=<..>&x=1",
            ),
            ("https://x/?sig=a&key=b&n=1", "https://x/?sig=<..>&key=<..>&n=1"),
            ("curl -u bob:pw http://x", "curl -u bob:<..> http://x"),
            ("curl -u 'bob:p w' http://x", "curl -u 'bob:<..>' http://x"),
            ("curl -ubob:pw http://x", "curl -ubob:<..> http://x"),
            ("curl --user bob:pw http://x", "curl --user bob:<..> http://x"),
            ("run -u bob -p 80", "run -u bob -p 80"),
            ("docker -u 1000:1000 x", "docker -u 1000:<..> x"),
            ("user:pw@tcp(db:3306)/x", "user:<..>@tcp(db:3306)/x"),
            ("run --token=abc --port 80", "run --token=<..> --port 80"),
            ("run --verbose --password abc x", "run --verbose --password <..> x"),
            ("run --password 'a b' x", "run --password <..> x"),
            ("it's --password abc", "it's --password <..>"),
            ("run --token --port 80", "run --token --port 80"),
            ("API_KEY=abc node x.js", "API_KEY=<..> node x.js"),
            (r#"{"user":"a","password":"b c","x":1}"#, r#"{"user":"a","password":"<..>","x":1}"#),
            (r#"{"password": "b"}"#, r#"{"password": <..>"#),
            ("Authorization: Bearer abc", "Authorization: <..> <..>"),
            ("Authorization: Basic abc", "Authorization: <..> <..>"),
            ("password = abc", "password = <..>"),
            ("the token bucket", "the token bucket"),
            ("ghp_0123456789abcdefghij", "<..>"),
            ("-----BEGIN PRIVATE KEY-----\nabc", "<..>"),
            ("", "\"\""),
            (" x", "\" x\""),
            ("a\nb\u{1b}[31m\u{202e}", "\"a\\nb\\u{1b}[31m\\u{202e}\""),
            ("<secret 12345678>", "\"<..>\""),
            ("caf\u{e9} \u{1f680}", "caf\u{e9} \u{1f680}"),
        ];
        for (value, want) in table {
            assert_eq!(dots(&shown_text(value, &KEY)), want, "{value}");
        }
    }

    #[test]
    fn lists() {
        let table: [(&[&str], &str); 9] = [
            (&["-u", "bob:p w", "x"], "[-u, bob:<..>, x]"),
            (&["-u", "bob", "-p", "80:80"], "[-u, bob, -p, 80:80]"),
            (&[], "[]"),
            (&["--port", "80"], "[--port, 80]"),
            (&["a b", "", "c,d"], r#"["a b", "", "c,d"]"#),
            (&["--password", "-a b", "x"], "[--password, <..>, x]"),
            (&["--token=a b", "x"], "[--token=<..>, x]"),
            (&["-c", "curl --token abc"], "[-c, \"curl --token <..>\"]"),
            (&["--api-key", "--verbose"], "[--api-key, --verbose]"),
        ];
        for (values, want) in table {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            assert_eq!(dots(&shown_list(&values, &KEY)), want);
        }
    }

    #[test]
    fn variables_are_hidden_by_name() {
        assert_eq!(shown_env("PORT", "3000", &KEY), "3000");
        assert_eq!(dots(&shown_env("TOKEN", "3000", &KEY)), "<..>");
        assert_eq!(shown_env("TOKEN", "", &KEY), "\"\"");
    }

    #[test]
    fn long_values_that_differ_are_shown_differently() {
        let long = "x".repeat(5_000);
        let a = shown_text(&format!("{long}a"), &KEY);
        let b = shown_text(&format!("{long}b"), &KEY);
        assert_ne!(a, b);
        assert!(a.len() < 130, "{a}");
        assert!(a.contains("... (5001 characters, "), "{a}");
    }

    #[test]
    fn names_stay_on_their_line() {
        let table = [
            ("api", "api"),
            ("my app", "\"my app\""),
            ("a\nb", "\"a\\nb\""),
            ("../x", "../x"),
            ("", "\"\""),
            ("\u{1f680}", "\"\u{1f680}\""),
            ("caf\u{e9}", "caf\u{e9}"),
            ("a`b|c", "\"a`b|c\""),
        ];
        for (name, want) in table {
            assert_eq!(shown_name(name), want);
        }
    }
}
