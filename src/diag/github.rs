use std::path::{Path, PathBuf};

use super::render::{Known, Spot, mark, sorted};
use super::{Diagnostic, Report, Severity};
use crate::document::Location;

/// Every diagnostic as a workflow command, which GitHub shows at its line:
/// `::error file=app.json,line=3,col=5::message`. `path` says what a file is called below the repository's root;
/// with `strict` warnings are errors.
#[must_use]
pub fn render_github(report: &Report, strict: bool, path: impl Fn(&Path) -> PathBuf) -> String {
    sorted(report).into_iter().map(|diagnostic| one(diagnostic, report, strict, &path)).collect()
}

fn one(diagnostic: &Diagnostic, report: &Report, strict: bool, path: &impl Fn(&Path) -> PathBuf) -> String {
    let spot = Spot::of(&report.sources, &diagnostic.location);
    let known = Known::of(&report.sources, &diagnostic.location);
    let command = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning if strict => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let mut properties = Vec::new();
    if let Some(file) = &spot.file {
        properties.push(format!("file={}", property(&path(Path::new(file)).display().to_string())));
    }
    if let Some(position) = spot.position {
        properties.push(format!("line={},col={}", position.line, position.column));
    }
    let mut message = known.cover(&diagnostic.message, mark(true));
    // Where no line says which value it is.
    if let (None, Some(value)) = (spot.position, &spot.path) {
        message = format!("{value}: {message}");
    }
    if let Location::At { span, .. } = &diagnostic.location
        && report.sources.get(span.source).guessed
    {
        message.push_str(" (perhaps from here)");
    }
    if let Some(hint) = &diagnostic.hint {
        message.extend(["\nhint: ", &known.cover(hint, mark(true))]);
    }
    let space = if properties.is_empty() { "" } else { " " };
    format!("::{command}{space}{}::{}\n", properties.join(","), data(&message))
}

/// A message may have lines, and none of them may be a command of its own. What would steer a terminal is shown.
fn data(text: &str) -> String {
    let steers = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let mut data = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => data.push_str("%25"),
            '\r' => data.push_str("%0D"),
            '\n' => data.push_str("%0A"),
            c if steers(c) => data.extend(c.escape_default()),
            c => data.push(c),
        }
    }
    data
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;
    use crate::document::{Location, Span};

    #[test]
    fn annotations_say_where_and_cannot_be_forged() {
        let mut report = Report::default();
        let source = report.sources.add(Path::new("a,b:c.json"), "{\n  \"x\": 1\n}\n");
        let at = Location::At { span: Span { source, start: 4, end: 7 }, path: "x".to_owned() };
        report.push(Diagnostic::warning(Code::UnknownOption, "unknown option `x`", at));
        let value = Location::Value { file: "eco.js".into(), path: "apps[0].env".to_owned() };
        report.push(Diagnostic::info(Code::Meaningless, "nothing", value));
        let message = "100%\r\n::error::forged\x1b[2J";
        report.push(Diagnostic::error(Code::File, message, Location::File("eco.js".into())).hint("a\nb"));
        report.push(Diagnostic::error(Code::File, "nowhere", Location::Nowhere));
        let below = |path: &Path| Path::new("site").join(path);
        assert_eq!(
            render_github(&report, false, below),
            "::error::nowhere\n\
             ::error file=site/eco.js::100%25%0D%0A::error::forged\\u{1b}[2J%0Ahint: a%0Ab\n\
             ::warning file=site/a%2Cb%3Ac.json,line=2,col=3::unknown option `x`\n\
             ::notice file=site/eco.js::apps[0].env: nothing\n"
        );
        assert!(render_github(&report, true, below).contains("\n::error file=site/a%2Cb%3Ac.json,line=2,col=3::"));
    }
}
