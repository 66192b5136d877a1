use std::fmt;
use std::io::Write as _;
use std::sync::OnceLock;

type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// Where lines go instead, in a process that has no log.
static SINK: OnceLock<Sink> = OnceLock::new();

/// One line into `PMRUN_HOME/pmrun.log`, which is the daemon's standard error. Few: what nobody is there to be told.
pub(super) fn line(text: impl fmt::Display) {
    let text = harmless(&text.to_string());
    if let Some(sink) = SINK.get() {
        return sink(&text);
    }
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    // With the log's disk full there is nothing left to say it to.
    let _ = writeln!(std::io::stderr().lock(), "{now} {text}");
}

/// From now on, for as long as this process lives.
pub(super) fn into(sink: Sink) {
    // Only a run in the foreground has one, and there is one of those in a process.
    let _ = SINK.set(sink);
}

/// Whatever is in it, a file's name for one: it stays one line, and does nothing to a terminal.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_writes_a_line_of_the_log_by_the_name_of_a_file() {
        let forged = "`a\n2026-01-01T00:00:00Z ended` \u{1b}[2J ü\tb";
        assert_eq!(harmless(forged), "`a\\n2026-01-01T00:00:00Z ended` \\u{1b}[2J ü\tb");
    }
}
