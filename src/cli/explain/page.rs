//! What a diagnostic's code means.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::error::CliError;
use super::super::terminal::{Colour, Terminal, paint};
use crate::diag::{Code, Page, Sample};

/// Columns that a line of text may take.
const WIDTH: usize = 90;

/// Every code with its line.
pub(super) fn list(json: bool, terminal: &mut Terminal) -> Result<(), CliError> {
    let pages = Code::ALL.iter().map(|code| code.page());
    if json {
        let codes: Vec<Value> = pages.map(|page| json!({ "code": page.name, "title": page.title })).collect();
        return terminal.json(&json!({ "version": 1, "codes": codes }));
    }
    let width = pages.clone().map(|page| page.name.len()).max().unwrap_or(0);
    for Page { name, title, .. } in pages {
        let name = paint(terminal.colour, Colour::Bold, &format!("{name:width$}"));
        terminal.print(format!("{name}  {title}\n"))?;
    }
    terminal.say("`pmrun explain CODE` says more of one; `pmrun explain APP.OPTION` where a value comes from");
    Ok(())
}

pub(super) fn print(code: Code, json: bool, terminal: &mut Terminal) -> Result<(), CliError> {
    let page = code.page();
    if json {
        return terminal.json(&document(page));
    }
    terminal.print(text(page, terminal.colour))
}

fn document(page: &Page) -> Value {
    let Page { name, title, text, mistake, fix } = page;
    let sample =
        |Sample { file, arguments, text }: &Sample| json!({ "file": file, "arguments": arguments, "text": text });
    json!({ "version": 1, "code": name, "title": title, "text": text, "mistake": sample(mistake), "fix": sample(fix) })
}

fn text(page: &Page, colour: bool) -> String {
    let Page { name, title, text, mistake, fix } = page;
    let name = paint(colour, Colour::Bold, name);
    let mut out = format!("{name}: {title}\n\n{}", wrapped(text));
    for (heading, Sample { file, arguments, text }) in [("The mistake", mistake), ("The fix", fix)] {
        let ending = file.split_once('.').map_or("", |(_, ending)| ending);
        let with = if arguments.is_empty() { String::new() } else { format!(", with {}", arguments.join(" ")) };
        let _ = writeln!(out, "\n{} (.{ending}{with}):\n", paint(colour, Colour::Bold, heading));
        for line in text.lines() {
            let _ = writeln!(out, "{}", format!("    {line}").trim_end());
        }
    }
    out
}

fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            out.push('\n');
            column = 0;
        }
        if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_text_a_mistake_and_its_fix() {
        let page = text(Code::Profile.page(), false);
        assert!(
            page.starts_with("profile: `--env` names a profile that no app has\n\nThe profile `production`"),
            "{page}"
        );
        assert!(
            page.contains("The mistake (.yaml, with --env prodution):\n\n    apps:\n      - name: api\n"),
            "{page}"
        );
        assert!(page.lines().all(|line| line.len() <= WIDTH + 10), "{page}");
    }

    #[test]
    fn names_are_words_with_hyphens_and_pages_say_something() {
        for code in Code::ALL {
            let Page { name, title, text, mistake, fix } = code.page();
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
            assert_eq!(Code::find(name), Some(*code), "{name} is the name of two codes");
            assert!(!title.ends_with('.') && text.ends_with('.'), "{name}");
            assert_ne!((mistake.text, mistake.arguments, mistake.file), (fix.text, fix.arguments, fix.file), "{name}");
        }
    }
}
