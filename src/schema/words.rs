use crate::base::shell_word;

/// Splits a string option into words as PM2 does: at white space, quotes protecting it. Quotes around a whole word
/// are taken off, quotes within one (`--x="y z"`) stay. Words that are empty are dropped: a list can hold them.
pub(super) fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = word_end(rest);
        let (word, after) = rest.split_at(end);
        let bare = unquoted(word).unwrap_or(word);
        if !bare.trim().is_empty() {
            words.push(bare.to_owned());
        }
        rest = after.trim_start();
    }
    words
}

/// Appends arguments to a shell's command line so that each arrives as it is.
pub(super) fn shell_append(line: &str, args: &[String]) -> String {
    args.iter().fold(line.to_owned(), |line, arg| format!("{line} {}", shell_word(arg)))
}

/// Where the first word ends: at white space outside of quotes. A quote that nothing closes is a letter.
fn word_end(text: &str) -> usize {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() {
            return at;
        }
        if matches!(c, '"' | '\'')
            && let Some(length) = text[at + 1..].find(c)
        {
            let close = at + 1 + length;
            while chars.next().is_some_and(|(at, _)| at < close) {}
        }
    }
    text.len()
}

fn unquoted(word: &str) -> Option<&str> {
    let quote = word.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = word[1..].strip_suffix(quote)?;
    (!inner.contains(quote)).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_pm2s() {
        let table: [(&str, &[&str]); 9] = [
            ("", &[]),
            ("  a\tb\n c ", &["a", "b", "c"]),
            (r#"-c 'a b' --x="y z" q"#, &["-c", "a b", r#"--x="y z""#, "q"]),
            (r#""one two""#, &["one two"]),
            (r"it's fine", &["it's", "fine"]),
            (r#"'a' "b""#, &["a", "b"]),
            (r"--a.b='c d' e", &["--a.b='c d'", "e"]),
            (r#"a "" b"#, &["a", "b"]),
            ("é\u{a0}ü 🦀", &["é", "ü", "🦀"]),
        ];
        for (text, want) in table {
            assert_eq!(split_words(text), want, "{text:?}");
        }
    }

    #[test]
    fn appended_arguments_arrive_whole() {
        let args = ["--port", "80", "a b", "it's", ""].map(str::to_owned);
        assert_eq!(shell_append("npm start", &args), r"npm start --port 80 'a b' 'it'\''s' ''");
    }
}
