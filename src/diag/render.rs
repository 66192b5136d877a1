use std::fmt;
use std::ops::Range;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents, ThemeCharacters, ThemeStyles,
};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use super::{Diagnostic, Report, Severity, mask};
use crate::base::merge_ranges;
use crate::document::{Location, Position, Sources};

/// Columns that a rendering may take, and what is shown of a longer line around the place that matters.
const WIDTH: usize = 100;
const WINDOW: usize = 120;
/// Bytes around it that are read: characters have four at most.
const NEAR: usize = 8 * WINDOW;

/// Every diagnostic with its excerpt, errors first, for a terminal. Each says `file:line:column` literally where that
/// is known. Empty for an empty report.
#[must_use]
pub fn render_text(report: &Report, colour: bool, unicode: bool) -> String {
    let handler = handler(colour, unicode);
    let mut out = String::new();
    for diagnostic in sorted(report) {
        if !out.is_empty() {
            out.push('\n');
        }
        let drawn = Drawn::new(diagnostic, &report.sources, unicode);
        if handler.render_report(&mut out, &drawn).is_err() {
            // Only a fault in the drawing leads here: the message is what must not be lost.
            out.extend([name(diagnostic.severity), ": ", &drawn.message, "\n"]);
        }
    }
    out
}

/// `{"version": 1, "diagnostics": [...]}`, in the same order. `line` and `column` count from 1 and are null where they
/// are not known, as are `file`, `path` and `hint`. `computed`: what is there computed the value, it is not the value.
#[must_use]
pub fn render_json(report: &Report) -> Value {
    let one = |diagnostic: &Diagnostic| {
        let spot = Spot::of(&report.sources, &diagnostic.location);
        let known = Known::of(&report.sources, &diagnostic.location);
        json!({
            "severity": name(diagnostic.severity),
            "code": diagnostic.code.name(),
            "message": known.cover(&diagnostic.message, mark(true)),
            "file": spot.file,
            "line": spot.position.map(|position| position.line),
            "column": spot.position.map(|position| position.column),
            "path": spot.path,
            "computed": spot.computed,
            "hint": diagnostic.hint.as_deref().map(|hint| known.cover(hint, mark(true))),
        })
    };
    json!({ "version": 1, "diagnostics": sorted(report).into_iter().map(one).collect::<Vec<_>>() })
}

/// The line that a location is on, with a mark under its bytes. Secrets are covered where they are not to be revealed.
#[must_use]
pub fn excerpt(sources: &Sources, location: &Location, unicode: bool, reveal: bool) -> Option<String> {
    let Excerpt { position, text, mark, .. } = Excerpt::of(sources, location, unicode, reveal)?;
    let line = position.line.to_string();
    let indent = text.len() - text.trim_start().len();
    let cut = indent.min(mark.start);
    let before = text[cut..mark.start].width();
    let carets = "^".repeat(text[mark].width().max(1));
    Some(format!("{line} | {}\n{:width$} | {:before$}{carets}\n", &text[cut..], "", "", width = line.len()))
}

/// Where something was written: `file:line:column`, `file (apps[0] (api).env.PORT)` or `file`.
#[must_use]
pub fn place(sources: &Sources, location: &Location) -> Option<String> {
    let spot = Spot::of(sources, location);
    let file = spot.file?;
    Some(match (spot.position, spot.path) {
        (Some(position), _) => format!("{file}:{}:{}", position.line, position.column),
        (None, Some(path)) => format!("{file} ({path})"),
        (None, None) => file,
    })
}

/// Whether what stands at a place computed the value, and is not the value.
#[must_use]
pub fn is_computed(sources: &Sources, location: &Location) -> bool {
    Spot::of(sources, location).computed
}

/// The most severe first, then as they stand in the files. What has no place there, and what shares one, stays in the
/// order in which it was found; problems of a file as a whole go first.
pub(super) fn sorted(report: &Report) -> Vec<&Diagnostic> {
    let mut all: Vec<&Diagnostic> = report.diagnostics.iter().collect();
    all.sort_by_cached_key(|diagnostic| (diagnostic.severity, order(&report.sources, &diagnostic.location)));
    all
}

/// The file's number, line and column.
fn order(sources: &Sources, location: &Location) -> (usize, u32, u32) {
    let number = |path: &std::path::Path| sources.all().position(|source| source.path == path).unwrap_or(usize::MAX);
    match location {
        Location::Nowhere => (0, 0, 0),
        Location::File(path) | Location::Value { file: path, .. } => (number(path), 0, 0),
        Location::Line { file, position } => (number(file), position.line, position.column),
        Location::At { span, .. } => {
            let position = sources.position(*span);
            (number(&sources.get(span.source).path), position.line, position.column)
        }
    }
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// Built by hand: what the drawing looks like is decided by the arguments, never by the environment.
fn handler(colour: bool, unicode: bool) -> GraphicalReportHandler {
    let theme = GraphicalTheme {
        characters: if unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() },
        styles: if colour { ThemeStyles::ansi() } else { ThemeStyles::none() },
    };
    // Messages are not wrapped: a terminal does that, and a search for one in a log finds it whole.
    GraphicalReportHandler::new_themed(theme)
        .with_width(WIDTH)
        .with_wrap_lines(false)
        .with_links(false)
        .without_cause_chain()
        .without_syntax_highlighting()
        .with_context_lines(1)
}

/// A location, taken apart.
#[derive(Default)]
pub(super) struct Spot {
    pub(super) file: Option<String>,
    pub(super) position: Option<Position>,
    pub(super) path: Option<String>,
    /// What is there computed the value; it is not the value.
    pub(super) computed: bool,
}

impl Spot {
    pub(super) fn of(sources: &Sources, location: &Location) -> Self {
        let file = |path: &std::path::Path| Some(path.display().to_string());
        match location {
            Location::Nowhere => Self::default(),
            Location::File(path) => Self { file: file(path), ..Self::default() },
            Location::Line { file: path, position } => {
                Self { file: file(path), position: Some(*position), ..Self::default() }
            }
            Location::Value { file: path, path: value } => {
                Self { file: file(path), path: Some(value.clone()), ..Self::default() }
            }
            Location::At { span, path } => Self {
                file: file(&sources.get(span.source).path),
                position: Some(sources.position(*span)),
                path: Some(path.clone()).filter(|path| !path.is_empty()),
                computed: sources.get(span.source).computed,
            },
        }
    }
}

/// A diagnostic in the words of miette. Nothing in it can steer a terminal.
#[derive(Debug)]
struct Drawn {
    severity: Severity,
    code: &'static str,
    message: String,
    hint: Option<String>,
    excerpt: Option<Excerpt>,
    label: Option<String>,
}

impl Drawn {
    fn new(diagnostic: &Diagnostic, sources: &Sources, unicode: bool) -> Self {
        let known = Known::of(sources, &diagnostic.location);
        let told = |text: &str| clean(&known.cover(text, mark(unicode)), unicode);
        let clean = |text: &str| clean(text, unicode);
        let excerpt = Excerpt::of(sources, &diagnostic.location, unicode, false);
        let mut message = told(&diagnostic.message);
        // Where there is no excerpt whose head says it.
        if let (None, Some(place)) = (&excerpt, place(sources, &diagnostic.location)) {
            message.extend(["\nat ", &clean(&place)]);
        }
        let label = match &diagnostic.location {
            Location::At { span, path } => {
                let source = sources.get(span.source);
                let how = if source.guessed { "perhaps from here" } else { "computed here" };
                let computed = source.computed.then_some(how);
                let parts = [Some(path.as_str()).filter(|path| !path.is_empty()), computed];
                let parts: Vec<&str> = parts.into_iter().flatten().collect();
                (!parts.is_empty()).then(|| clean(&parts.join(", ")))
            }
            _ => None,
        };
        Self {
            severity: diagnostic.severity,
            code: diagnostic.code.name(),
            message,
            hint: diagnostic.hint.as_deref().map(told),
            excerpt,
            label,
        }
    }
}

/// The byte at a line and column of a text, as an empty range.
fn line_range(text: &str, position: Position) -> Option<Range<usize>> {
    let line = text.split('\n').nth((position.line as usize).checked_sub(1)?)?;
    let bare = line.trim_start_matches('\u{feff}');
    let skip = (position.column as usize).saturating_sub(1);
    let at = bare.char_indices().nth(skip).map_or(bare.len(), |(at, _)| at);
    let at = bare.as_ptr() as usize - text.as_ptr() as usize + at;
    Some(at..at)
}

/// What stands for one hidden character.
pub(super) fn mark(unicode: bool) -> char {
    if unicode { '\u{2022}' } else { '*' }
}

/// The secrets of the line that a diagnostic is about: its words may not repeat them.
pub(super) struct Known {
    secrets: Vec<String>,
    /// The place itself is in one of them, so a part of it may be what is quoted.
    inside: bool,
}

impl Known {
    pub(super) fn of(sources: &Sources, location: &Location) -> Self {
        let place = match location {
            Location::At { span, .. } => {
                let text: &str = &sources.get(span.source).text;
                let start = text.floor_char_boundary((span.start as usize).min(text.len()));
                let end = text.ceil_char_boundary((span.end as usize).min(text.len())).max(start);
                Some((text, start, end))
            }
            Location::Line { file, position } => sources.find(file).and_then(|source| {
                let at = line_range(&source.text, *position)?;
                Some((&*source.text, at.start, at.end))
            }),
            _ => None,
        };
        let Some((text, start, end)) = place else {
            return Self { secrets: Vec::new(), inside: false };
        };
        let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[begin..].split('\n').next().unwrap_or("");
        let parts = mask::secrets(text, &(begin..begin + line.len()), &(start..end));
        let inside = parts.iter().any(|part| part.start + begin <= end && start <= part.end + begin);
        // What the place itself shows is none, whatever else on the line has the same words.
        let shown = |secret: &String| !inside && text[start..end].contains(secret.as_str());
        let secrets = parts.into_iter().map(|part| line[part].trim().to_owned());
        let secrets = secrets.filter(|secret| !shown(secret)).collect();
        Self { secrets, inside }
    }

    pub(super) fn cover(&self, text: &str, mark: char) -> String {
        let mut parts = mask::in_message(text);
        for secret in self.secrets.iter().filter(|secret| secret.chars().count() > 3) {
            parts.extend(text.match_indices(secret.as_str()).map(|(at, found)| at..at + found.len()));
        }
        for quote in ['`', '"'] {
            let ends: Vec<usize> = text.match_indices(quote).map(|(at, _)| at).collect();
            for pair in ends.windows(2) {
                let piece = &text[pair[0] + 1..pair[1]];
                let quoted = |secret: &String| secret == piece || self.inside && secret.contains(piece);
                if piece.chars().count() > 1 && self.secrets.iter().any(quoted) {
                    parts.push(pair[0] + 1..pair[1]);
                }
            }
        }
        mask::covered(text, &merge_ranges(parts), mark)
    }
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Drawn {}

impl miette::Diagnostic for Drawn {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("{}[{}]", name(self.severity), self.code)))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Info => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|excerpt| excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt.as_ref()?;
        let span = (excerpt.mark.start, excerpt.mark.len());
        Some(Box::new(std::iter::once(LabeledSpan::new_primary_with_span(self.label.clone(), span))))
    }
}

/// The one line that matters, or a window of it, with the real file's numbers. miette's own reading counts bytes
/// and would print a file of one huge line whole.
#[derive(Debug)]
struct Excerpt {
    file: String,
    /// From 1.
    position: Position,
    text: String,
    /// Bytes of `text` under which the caret goes.
    mark: Range<usize>,
}

impl Excerpt {
    fn of(sources: &Sources, location: &Location, unicode: bool, reveal: bool) -> Option<Self> {
        match location {
            Location::At { span, .. } => {
                let source = sources.get(span.source);
                let text: &str = &source.text;
                let start = text.floor_char_boundary((span.start as usize).min(text.len()));
                let end = text.ceil_char_boundary((span.end as usize).min(text.len())).max(start);
                let file = clean(&source.path.display().to_string(), unicode);
                Some(Self::cut(file, sources.position(*span), text, &(start..end), unicode, reveal))
            }
            Location::Line { file, position } => {
                let source = sources.find(file)?;
                let at = line_range(&source.text, *position)?;
                let file = clean(&file.display().to_string(), unicode);
                Some(Self::cut(file, *position, &source.text, &at, unicode, reveal))
            }
            _ => None,
        }
    }

    /// The line around a range; a range of several lines is marked on its first.
    fn cut(file: String, position: Position, text: &str, range: &Range<usize>, unicode: bool, reveal: bool) -> Self {
        let start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[start..].split('\n').next().unwrap_or("").trim_end_matches('\r');
        let from = (range.start - start).min(line.len());
        let to = (range.end - start).min(line.len());
        let place = start + from..start + to;
        let secrets = if reveal { Vec::new() } else { mask::secrets(text, &(start..start + line.len()), &place) };
        let covered = |text: Range<usize>| {
            let cut = |at: usize| at.clamp(text.start, text.end) - text.start;
            let parts: Vec<_> = secrets.iter().map(|part| cut(part.start)..cut(part.end)).collect();
            mask::covered(&line[text.clone()], &merge_ranges(parts), mark(unicode))
        };
        // Nothing beyond this is shown of a line of megabytes.
        let near = line.floor_char_boundary(from.saturating_sub(NEAR));
        let to = line.floor_char_boundary(to.min(from + NEAR)).max(from);
        let far = line.floor_char_boundary(to + NEAR);
        let (head, middle, tail) = (covered(near..from), covered(from..to), covered(to..far));
        let (from, to) = (head.len(), head.len() + middle.len());
        let line = &(head + &middle + &tail);
        let marked = line[from..to].trim_end();
        // A little of what stands before, the place itself, and what still fits after it.
        let before: Vec<char> = line[..from].chars().rev().take(WINDOW / 3 + 1).collect();
        let mut out = String::new();
        if before.len() > WINDOW / 3 && line.chars().nth(WINDOW).is_some() {
            out.push_str("...");
            before[..WINDOW / 3].iter().rev().for_each(|c| out.extend(shown(*c, unicode)));
        } else {
            line[..from].chars().for_each(|c| out.extend(shown(c, unicode)));
        }
        let mark = out.len();
        let left = WINDOW.saturating_sub(out.chars().count()).max(1);
        marked.chars().take(left).for_each(|c| out.extend(shown(c, unicode)));
        if out.len() == mark {
            // Nothing to underline: the caret stands under the next character, or behind the line.
            out.extend(line[from..].chars().next().map_or(Some(' '), |c| shown(c, unicode)));
            if out.len() == mark {
                out.push(' ');
            }
        }
        let end = out.len();
        let rest = from + line[from..].chars().take(out[mark..].chars().count()).map(char::len_utf8).sum::<usize>();
        let left = WINDOW.saturating_sub(out.chars().count());
        line[rest..].chars().take(left).for_each(|c| out.extend(shown(c, unicode)));
        if line[rest..].chars().nth(left).is_some() {
            out.push_str("...");
        }
        Self { file, position, text: out, mark: mark..end }
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        _span: &SourceSpan,
        context_lines_before: usize,
        _context_lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        // Without context it asks for the numbers of the head, with context for the line to draw.
        let column = if context_lines_before == 0 { self.position.column.saturating_sub(1) } else { 0 };
        Ok(Box::new(MietteSpanContents::new_named(
            self.file.clone(),
            self.text.as_bytes(),
            (0, self.text.len()).into(),
            self.position.line.saturating_sub(1) as usize,
            column as usize,
            1,
        )))
    }
}

fn clean(text: &str, unicode: bool) -> String {
    text.chars().filter_map(|c| if c == '\n' { Some(c) } else { shown(c, unicode) }).collect()
}

/// What may go to a terminal for a character of somebody's file: never one that moves the cursor, changes colours or
/// turns the reading direction.
fn shown(c: char, unicode: bool) -> Option<char> {
    match c {
        '\t' => Some(' '),
        '\u{feff}' => None,
        '\0'..='\u{1f}' if unicode => char::from_u32(0x2400 + u32::from(c)),
        '\u{7f}' if unicode => Some('\u{2421}'),
        _ if c.is_control() => Some('?'),
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => Some('?'),
        _ => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;
    use crate::document::Span;

    fn report(text: &str, range: Range<usize>, path: &str) -> Report {
        let mut report = Report::default();
        let source = report.sources.add("conf/eco.json".as_ref(), text);
        let span = |at: usize| u32::try_from(at).unwrap();
        let span = Span { source, start: span(range.start), end: span(range.end) };
        let location = Location::At { span, path: path.to_owned() };
        report.push(Diagnostic::error(Code::Value, "`PORT` is odd", location).hint("make it even"));
        report
    }

    #[test]
    fn an_excerpt_has_a_caret_under_its_bytes() {
        let text = "\u{feff}{\r\n\té😀: 'x' }\r\n";
        let at = text.find("'x'").unwrap();
        let plain = render_text(&report(text, at..at + 3, "apps[0]"), false, false);
        insta::assert_snapshot!(plain, @r"
        error[value]

          x `PORT` is odd
           ,-[conf/eco.json:2:6]
         2 |  é😀: 'x' }
           :       ^|^
           :        `-- apps[0]
           `----
          help: make it even
        ");
    }

    #[test]
    fn places_without_bytes_are_named() {
        let mut report = Report::default();
        let value = Location::Value { file: "a.js".into(), path: "apps[0] (api).env.PORT".into() };
        let line = Location::Line { file: "a.js".into(), position: Position { line: 7, column: 3 } };
        report.push(Diagnostic::info(Code::Meaningless, "fourth", Location::Nowhere));
        report.push(Diagnostic::warning(Code::Value, "third", line));
        report.push(Diagnostic::error(Code::Value, "first", value));
        report.push(Diagnostic::error(Code::File, "second", Location::File("b.json".into())));
        let plain = render_text(&report, false, false);
        insta::assert_snapshot!(plain, @r"
        error[value]

          x first
          | at a.js (apps[0] (api).env.PORT)

        error[file]

          x second
          | at b.json

        warning[value]

          ! third
          | at a.js:7:3

        info[meaningless]

          > fourth
        ");
    }

    #[test]
    fn the_order_is_by_severity_then_by_place_whatever_was_found_first() {
        let mut report = Report::default();
        // One file may be there twice, read in two ways.
        let sources = ["a.json", "b.json", "a.json"].map(|name| report.sources.add(name.as_ref(), "one\ntwo\nthree"));
        let at = |file: usize, start| Location::At {
            span: Span { source: sources[file], start, end: start + 1 },
            path: String::new(),
        };
        let line = Location::Line { file: "a.json".into(), position: Position { line: 2, column: 1 } };
        let told = [
            (Severity::Warning, "7", at(0, 0)),
            (Severity::Error, "6", at(1, 0)),
            (Severity::Error, "4", at(0, 5)),
            (Severity::Error, "5", at(2, 9)),
            (Severity::Error, "3", line),
            (Severity::Error, "2", at(2, 2)),
            (Severity::Error, "1", Location::File("a.json".into())),
        ];
        for (severity, message, location) in told {
            report.push(Diagnostic::new(severity, Code::Value, message, location));
        }
        let order: Vec<&str> = sorted(&report).into_iter().map(|one| one.message.as_str()).collect();
        assert_eq!(order, ["1", "2", "3", "4", "5", "6", "7"]);
    }

    #[test]
    fn lines_of_known_files_are_shown() {
        let mut report = Report::default();
        report.sources.add("a.js".as_ref(), "one\ntwo()\n");
        let position = Position { line: 2, column: 4 };
        report.push(Diagnostic::error(Code::Thrown, "thrown", Location::Line { file: "a.js".into(), position }));
        let plain = render_text(&report, false, true);
        assert!(plain.contains("a.js:2:4") && plain.contains("two()"), "{plain}");
        let position = Position { line: 99, column: 4 };
        report.diagnostics[0].location = Location::Line { file: "a.js".into(), position };
        assert!(render_text(&report, false, true).contains("at a.js:99:4"));
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let text = "{ \"\u{1b}[2J\u{202e}\u{9b}\": 1 }";
        let mut report = report(text, 2..8, "a\u{1b}[0m");
        report.diagnostics[0].message = "bad \u{1b}[31m\r\u{7}".into();
        report.diagnostics[0].hint = Some("\u{1b}]0;x\u{7}".into());
        for unicode in [false, true] {
            let plain = render_text(&report, false, unicode);
            assert!(plain.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{plain:?}");
        }
        assert!(render_text(&report, true, true).contains("\u{1b}["), "colours are ours");
    }

    #[test]
    fn a_huge_line_is_cut_around_its_place() {
        let text = format!("[{}x{}]", "1,".repeat(500_000), ",1".repeat(500_000));
        let at = text.find('x').unwrap();
        let plain = render_text(&report(&text, at..at + 1, ""), false, false);
        assert!(plain.len() < 600, "{}", plain.len());
        assert!(plain.contains("conf/eco.json:1:1000002") && plain.contains(",x,"), "{plain}");
        let wide = render_text(&report(&text, 0..text.len(), ""), false, false);
        assert!(wide.len() < 800 && wide.contains("eco.json:1:1"), "{wide}");
    }

    #[test]
    fn every_range_of_a_text_can_be_drawn() {
        let text = "\u{feff}a: é😀\r\n\r\n  b:\t\"x\n";
        for start in 0..=text.len() + 1 {
            for end in start..=text.len() + 1 {
                assert!(
                    render_text(&report(text, start..end, "p"), false, true).contains("eco.json:"),
                    "{start}..{end}"
                );
            }
        }
    }

    #[test]
    fn json_has_the_same_facts() {
        let json = render_json(&report("{\n \"a\": 1}", 3..6, "a"));
        let want = json!({ "version": 1, "diagnostics": [{
            "severity": "error", "code": "value", "message": "`PORT` is odd", "file": "conf/eco.json",
            "line": 2, "column": 2, "path": "a", "computed": false, "hint": "make it even",
        }] });
        assert_eq!(json, want);
    }

    #[test]
    fn a_place_is_one_word_for_others() {
        let report = report("{\n \"a\": 1}", 3..6, "a");
        assert_eq!(place(&report.sources, &report.diagnostics[0].location).as_deref(), Some("conf/eco.json:2:2"));
        assert_eq!(place(&report.sources, &Location::Nowhere), None);
    }

    #[test]
    fn no_secret_is_shown() {
        // The bytes that the diagnostic is about are those of `@`'s word.
        let hidden = [
            r#"{"apps":[{"env":{"MY_SECRET":"LEAK"},"max_restarts":"@many"}]}"#,
            r#"{"API_KEY": LEAK, "@x": 1}"#,
            r#"{"API_KEY": @LEAK"#,
            r#"{"auth": {"user": "LEAK", "b": ["LEAK"]}, "@x": 1}"#,
            r#"{"args": ["--token", "LEAK", "--port", 80], "@x": 1}"#,
            r#"{"args": "--password LEAK --port 80", "@x": 1}"#,
            r#"{"script": "API_KEY=LEAK,LEAK node x", "@x": 1}"#,
            r#"{"env": {"URL": "postgres://user:p/LEAK@host/db"}, "@x": 1}"#,
            "{\n  \"API_KEY\":\n    @\"LEAK\"\n}",
            "{\n\"auth\": {\n\"a\": @\"LEAK\"\n}}",
            "API_KEY: 'LEAK' @'LEAK'",
            "API_KEY: 'it''s LEAK' @x",
            "API_KEY: @LEAK, LEAK",
            "envv: { API_KEY: LEAKenvv, @x: 1 }",
            "env:\n  API_KEY: |\n    LEAK\n    @LEAK",
            "env:\n  API_KEY: LEAK\n    @LEAK",
            "? API_KEY\n: @LEAK",
            "args: [--token, LEAK, @x]",
            "- --token\n- @LEAK",
            "key: |\n -----BEGIN PRIVATE KEY-----\n @LEAK",
            "max_restart=3, env={API_KEY=\"LEAKtoml\"} @x",
            "[env.secrets]\na = @\"LEAK\"",
            "API_KEY = \"\"\"\nLEAK\n@LEAK\n\"\"\"",
            "API_KEY=LEAK LEAK @x",
            "export API_KEY=\"LEAK\n@LEAK\"",
            "process.env['API_KEY'] = `LEAK` + @x",
            "module.exports = { token: \"a\" + \"b,LEAK\", x: @1 }",
            "db: user:LEAK@tcp(host)/x @x",
            "env: { API_KEY: process.env.KEY || 'LEAK', @x: 1 }",
            "env: { API_KEY: pick('LEAK', [\"LEAK\"]) ?? `LEAK`, @x: 1 }",
            "env: { API_KEY: a\"b,LEAK\", @x: 1 }",
            "env: { API_KEY: f('LEAK, @x: 1 }",
            r#"{"args": ["-u", "bob:LEAK"], "@x": 1}"#,
            "args: -ubob:LEAK @x",
            "script: curl --user=bob:LEAK @x",
            &format!(r#"{{"API_KEY": "{}LEAK" "@x":1}}"#, "A".repeat(9_000)),
            "\u{e9}\u{1f600}: 1, API_KEY: '\u{e9}LEAK' @x",
        ];
        for text in hidden {
            let at = text.find('@').unwrap();
            let at = if text[at..].contains("@x") { text.find("@x").unwrap() } else { at };
            let text = if text.contains("user:") { text.to_owned() } else { text.replacen('@', "", 1) };
            let end = text[at..].find([' ', ',', '}', '\n']).map_or(text.len(), |end| at + end);
            let mut report = report(&text, at..end, "apps[0]");
            report.diagnostics[0].message = format!("`{}` is odd", text[at..end].trim_matches('"'));
            for drawn in [
                render_text(&report, false, true),
                render_text(&report, false, false),
                render_json(&report).to_string(),
            ] {
                assert!(!drawn.contains("LEAK"), "{text}\n{drawn}");
            }
        }
    }

    #[test]
    fn what_a_place_shows_is_said_whatever_is_secret_elsewhere() {
        let text = r#"[{"env":{"DB_PASSWORD":"xx","API_KEY":"long-word"},"max":"xx"},{"max":"long-word"},{"max":7}]"#;
        for value in ["\"xx\"", "\"long-word\"", "7"] {
            let at = text.rfind(value).unwrap();
            let mut report = report(text, at..at + value.len(), "apps[0].max");
            report.diagnostics[0].message = format!("`max` must be a number, not {value}; `xx` is elsewhere");
            let drawn = render_text(&report, false, false);
            assert!(drawn.contains(&format!("not {value};")), "{drawn}");
            assert_eq!(drawn.contains("`xx`"), value == "\"xx\"", "{drawn}");
        }
    }

    /// What a program throws, or a key that is not known, can be of any length: this took minutes.
    #[test]
    fn long_messages_are_shown_in_time() {
        for part in ["@", "/", "//@", "a:b@", "pw:"] {
            let mut report = report("a: 1", 0..1, "");
            report.diagnostics[0].message = part.repeat(20_000);
            assert!(render_text(&report, false, false).len() > 1_000);
        }
    }

    #[test]
    fn what_is_no_secret_stays_with_its_columns() {
        let table = [
            (
                r#"{"env":{"MY_SECRET":"LEAK2"},"max_restarts":"x"}"#,
                r#"{"env":{"MY_SECRET":"*****"},"max_restarts":"x"}"#,
            ),
            ("{ API_KEY: LEAK, max: 3 }", "{ API_KEY: ****, max: 3 }"),
            (
                "{ env: { API_KEY: process.env.KEY || 'LEAK' }, max: 'x' }",
                "{ env: { API_KEY: ************************* }, max: 'x' }",
            ),
            ("url: http://auth:8080/img@2x.png", "url: http://auth:8080/img@2x.png"),
            ("url: redis://:pw@host:1", "url: redis://:**@host:1"),
            ("name: monkey, author: x", "name: monkey, author: x"),
            ("A: ssh://git@github.com/a/b", "A: ssh://git@github.com/a/b"),
        ];
        for (text, want) in table {
            let plain = render_text(&report(text, 0..1, ""), false, false);
            assert!(plain.lines().any(|line| line.ends_with(want)), "{want}\n{plain}");
        }
        let mut thrown = report("const token = `a\nLEAK`", 0..1, "");
        let position = Position { line: 2, column: 2 };
        thrown.diagnostics[0].location = Location::Line { file: "conf/eco.json".into(), position };
        let plain = render_text(&thrown, false, false);
        assert!(plain.contains("eco.json:2:2") && !plain.contains("LEAK"), "{plain}");
        let mut report = report("a: 1", 0..1, "");
        report.diagnostics[0].message = "`--token=abc` and http://u:abc@h".into();
        let plain = render_text(&report, false, false);
        assert!(!plain.contains("abc"), "{plain}");
    }
}
