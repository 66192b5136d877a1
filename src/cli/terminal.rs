use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use super::error::CliError;
use super::manners::Manners;

/// Where a command prints: stdout is data, stderr is talk. The only place that writes to either.
#[derive(Debug)]
pub(super) struct Terminal {
    out: BufWriter<Stdout>,
    /// stdout is a terminal: somebody looks at it now.
    pub interactive: bool,
    /// Programs read what is printed: errors are JSON, too.
    pub for_programs: bool,
    /// stderr is one that can draw over what it shows.
    pub live: bool,
    pub colour: bool,
    pub colour_err: bool,
    pub unicode: bool,
    pub manners: Manners,
    /// How it goes is not said: PM2 does not.
    pub hushed: bool,
    /// Nothing is said but what was asked for, and errors.
    pub silent: bool,
    /// Nor is what was asked for, as PM2 has it: programs run it so.
    pub mute: bool,
    /// The table of what runs is printed at the end.
    pub owes_table: bool,
    /// Another exit code than the command's own.
    exit: Option<ExitCode>,
    /// What was to be known.
    noted: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Red,
    Green,
    Yellow,
    Cyan,
    Magenta,
    Blue,
    Bold,
    Dim,
}

impl Terminal {
    pub(super) fn new(no_color: bool, for_programs: bool) -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        let plain = no_color || dumb || set("NO_COLOR").is_some();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let (interactive, looked_at) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            out: BufWriter::new(io::stdout()),
            interactive,
            for_programs,
            colour: interactive && !plain,
            live: looked_at && !dumb,
            colour_err: looked_at && !plain,
            unicode: locale.is_none_or(|locale| is_utf8(&locale.to_string_lossy())),
            manners: Manners::Own,
            hushed: false,
            silent: false,
            mute: false,
            owes_table: false,
            exit: None,
            noted: Vec::new(),
        }
    }

    /// A plain one, whatever the test runs in.
    #[cfg(test)]
    pub(super) fn for_test() -> Self {
        let out = BufWriter::new(io::stdout());
        Self {
            out,
            interactive: false,
            for_programs: false,
            live: false,
            colour: false,
            colour_err: false,
            unicode: false,
            manners: Manners::Own,
            hushed: false,
            silent: false,
            mute: false,
            owes_table: false,
            exit: None,
            noted: Vec::new(),
        }
    }

    /// Text for stdout, as it is.
    pub(super) fn print(&mut self, text: impl AsRef<str>) -> Result<(), CliError> {
        if self.mute {
            return Ok(());
        }
        unread_is_no_error(self.out.write_all(text.as_ref().as_bytes()))
    }

    /// Bytes for stdout, where the caller has its own way with errors.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Bytes for stderr, after what was printed before.
    pub(super) fn write_err(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.flush()?;
        io::stderr().write_all(bytes)
    }

    pub(super) fn flush_now(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub(super) fn json(&mut self, value: &Value) -> Result<(), CliError> {
        if self.mute {
            return Ok(());
        }
        let written = serde_json::to_writer_pretty(&mut self.out, value)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(self.out));
        unread_is_no_error(written)
    }

    /// In one line without an end. It may be megabytes, which are not held: they pass in pieces of what a pipe has room for.
    pub(super) fn json_line(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        if self.mute {
            return Ok(());
        }
        let mut out = BufWriter::with_capacity(64 << 10, &mut self.out);
        let written = serde_json::to_writer(&mut out, value).map_err(io::Error::from);
        unread_is_no_error(written.and_then(|()| out.flush()))
    }

    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        unread_is_no_error(self.out.flush())
    }

    /// A line for stderr. That it cannot be written stops nothing.
    pub(super) fn say(&mut self, line: impl AsRef<str>) {
        if self.hushed || self.silent {
            return;
        }
        // What was printed before comes first where both go to one place.
        let _ = self.out.flush();
        let line = line.as_ref().trim_end_matches('\n');
        // Whoever is told what to type has typed the other name.
        let line = if self.manners.are_pm2s() { line.replace("`pmrun ", "`pm2 ") } else { line.to_owned() };
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// Text for stderr, as it is: what is drawn over what is there.
    pub(super) fn draw(&mut self, text: &str) {
        let _ = self.out.flush();
        if self.hushed || self.silent {
            return;
        }
        let mut err = io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// Something to know that is no error.
    pub(super) fn note(&mut self, text: &str) {
        if self.for_programs {
            self.say(json!({ "version": 1, "note": text }).to_string());
        } else {
            self.say(text);
        }
        self.noted.push(text.to_owned());
    }

    /// The same, however often there is a reason for it.
    pub(super) fn note_once(&mut self, text: &str) {
        if !self.has_noted(text) {
            self.note(text);
        }
    }

    /// Whether some note had this in it.
    pub(super) fn has_noted(&self, text: &str) -> bool {
        self.noted.iter().any(|note| note.contains(text))
    }

    pub(super) fn exit_with(&mut self, code: ExitCode) {
        self.exit = Some(code);
    }

    pub(super) fn exit(&mut self) -> Option<ExitCode> {
        self.exit.take()
    }

    pub(super) fn say_error(&mut self, error: &CliError) {
        if self.manners.are_pm2s() && self.silent {
            return;
        }
        self.silent = false;
        if self.manners.are_pm2s() && !self.for_programs {
            self.hushed = false;
            let message = error.pm2.as_deref().unwrap_or(&error.message);
            if !message.is_empty() {
                // What is said under this name is to be typed under it.
                let message = message.replace("pmrun ", "pm2 ");
                self.say(format!("{} {message}", paint(self.colour_err, Colour::Red, "[PM2][ERROR]")));
            }
            return;
        }
        if self.for_programs {
            if !error.message.is_empty() {
                self.say(error.json().to_string());
            }
            return;
        }
        if !error.message.is_empty() {
            let mark = paint(self.colour_err, Colour::Red, "error:");
            self.say(format!("{mark} {}", error.message));
        }
        if let Some(hint) = &error.hint {
            let mark = paint(self.colour_err, Colour::Cyan, "hint:");
            self.say(format!("{mark} {hint}"));
        }
    }
}

/// `pmrun list | head -1`: that nobody reads on changes neither what the command does nor its exit code.
fn unread_is_no_error(written: io::Result<()>) -> Result<(), CliError> {
    match written {
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|err| CliError::output(&err)),
    }
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Cyan => "36",
            Self::Magenta => "35",
            Self::Blue => "34",
            Self::Bold => "1",
            Self::Dim => "2",
        }
    }
}

pub(super) fn paint(on: bool, colour: Colour, text: &str) -> String {
    if on { format!("\x1b[{}m{text}\x1b[0m", colour.code()) } else { text.to_owned() }
}

/// `1 app`, `3 apps`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What other programs wrote, made fit to be shown: no control character reaches the terminal but tabs and, with
/// `keep_colour`, colours.
pub(super) fn harmless(bytes: &[u8], keep_colour: bool) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
        shown.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(length) = colour_sequence(rest) {
            if keep_colour {
                shown.push_str(&rest[..length]);
            }
            rest = &rest[length..];
            continue;
        }
        let mut characters = rest.chars();
        let control = characters.next().unwrap_or_default();
        // A carriage return at the end of a line is how Windows ends lines.
        if !(control == '\r' && characters.as_str().is_empty()) {
            shown.extend(control.escape_default());
        }
        rest = characters.as_str();
    }
    shown.push_str(rest);
    shown
}

/// The length of a "select graphic rendition" sequence that the text begins with.
fn colour_sequence(text: &str) -> Option<usize> {
    let body = text.strip_prefix("\x1b[")?;
    let end = body.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    body[end..].starts_with('m').then_some(end + 3)
}

fn is_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        let table: [(&[u8], &str); 8] = [
            (b"plain\ttext", "plain\ttext"),
            (b"dos\r", "dos"),
            (b"a\rb", "a\\rb"),
            (b"\x1b[2Jgone", "\\u{1b}[2Jgone"),
            (b"\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            (b"\x1b[1;31mred\x1b[0m", "red"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"\x1b[31", "\\u{1b}[31"),
        ];
        for (bytes, want) in table {
            assert_eq!(harmless(bytes, false), want);
        }
        assert_eq!(harmless(b"\x1b[1;31mred\x1b[0m", true), "\x1b[1;31mred\x1b[0m");
    }

    #[test]
    fn locales_say_whether_they_are_utf8() {
        for (locale, want) in [("C.UTF-8", true), ("de_DE.utf8", true), ("C", false), ("POSIX", false)] {
            assert_eq!(is_utf8(locale), want, "{locale}");
        }
    }
}
