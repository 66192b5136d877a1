//! YAML 1.2, composed from the parser's events: anchors, aliases, `<<`, the core scalars, and a budget.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StrInput, StructureStyle, Tag};

use super::bytes::{Origin, lower, whole};
use crate::diag::{Code, Diagnostic};
use crate::document::{Entry, Key, Kind, Node, SourceId, Span};

/// Nodes of the whole document, each alias counted with all that it stands for.
const MAX_NODES: usize = 100_000;
/// Bytes of text, counted the same way.
const MAX_TEXT: usize = 32 * 1024 * 1024;
/// Aliases within what an alias stands for.
const MAX_ALIAS_DEPTH: usize = 64;
/// Collections within each other, aliases expanded.
const MAX_DEPTH: usize = 512;

/// The tree, unless the text is broken beyond one.
///
/// The parser stops at 255 open brackets and as many indentations, and expansion at `MAX_DEPTH`, so neither composing
/// nor dropping the tree can overflow a stack.
pub(super) fn parse(text: &str, source: SourceId) -> (Option<Node>, Vec<Diagnostic>) {
    let (text, origin) = Origin::of(text, source);
    let mut composer = Composer {
        events: Parser::new_from_str(text),
        text,
        origin,
        anchors: HashMap::new(),
        open: 0,
        read: 0,
        nodes: 0,
        bytes: 0,
        written: (0, 0),
        problems: Vec::new(),
    };
    match composer.document() {
        Ok(node) => (Some(node), composer.problems),
        Err(stop) => {
            composer.problems.push(*stop);
            (None, composer.problems)
        }
    }
}

struct Composer<'a> {
    events: Parser<'a, StrInput<'a>>,
    text: &'a str,
    origin: Origin,
    anchors: HashMap<usize, Anchor>,
    open: usize,
    /// Where the last event ends.
    read: usize,
    nodes: usize,
    bytes: usize,
    /// Where the last collection ended, and where what was written in it did: those within each other end together.
    written: (usize, usize),
    problems: Vec<Diagnostic>,
}

/// A composed node and what a copy of it costs.
#[derive(Clone)]
struct Anchor {
    node: Node,
    cost: Cost,
}

#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    bytes: usize,
    depth: usize,
    aliases: usize,
}

impl Cost {
    fn add(&mut self, inner: Self) {
        self.nodes += inner.nodes;
        self.bytes += inner.bytes;
        self.depth = self.depth.max(inner.depth + 1);
        self.aliases = self.aliases.max(inner.aliases);
    }
}

type Stop = Box<Diagnostic>;

impl<'a> Composer<'a> {
    fn document(&mut self) -> Result<Node, Stop> {
        let node = loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd, at) => return Err(Box::new(nothing(self.origin, &at))),
                (event, at) => {
                    let (node, _) = self.node(event, at.clone())?;
                    if node.kind == Kind::Null && at.is_empty() {
                        return Err(Box::new(nothing(self.origin, &at)));
                    }
                    break node;
                }
            }
        };
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(node),
                (Event::DocumentStart(..), at) => {
                    let problem = self.error("a second document begins here", &at);
                    return Err(Box::new(problem.hint("a file holds one document: take out the `---`")));
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Range<usize>), Stop> {
        let (event, span) = self.next_spanned()?;
        Ok((event, span.byte_range().unwrap_or(0..0)))
    }

    fn next_spanned(&mut self) -> Result<(Event<'a>, granit_parser::Span), Stop> {
        match self.events.next_event() {
            Some(Ok((event, span))) => {
                self.tag(&event, &span);
                self.read = span.byte_range().map_or(self.read, |range| range.end);
                Ok((event, span))
            }
            Some(Err(error)) => Err(Box::new(explain(&error, self.text, self.read, self.origin))),
            None => Err(Box::new(self.error("the file ends too early", &(self.text.len()..self.text.len())))),
        }
    }

    fn node(&mut self, event: Event<'a>, at: Range<usize>) -> Result<(Node, Cost), Stop> {
        let (anchor, composed) = match event {
            Event::Alias(id) => return self.alias(id, &at),
            Event::Scalar(text, style, anchor, tag) => {
                let cost = Cost { nodes: 1, bytes: text.len(), ..Cost::default() };
                let kind = self.scalar(&text, style, tag.as_deref(), &at);
                self.spend(cost, &at)?;
                (anchor, (Node::new(kind, Some(self.origin.span(&self.written(style, at.clone())))), cost))
            }
            Event::SequenceStart(style, anchor, _) => (anchor, self.sequence(style, at.clone())?),
            Event::MappingStart(style, anchor, _) => (anchor, self.mapping(style, at.clone())?),
            _ => return Err(Box::new(self.error("this does not belong here", &at))),
        };
        if anchor != 0 {
            // The kept copy counts too: anchors within anchors would multiply otherwise.
            self.spend(composed.1, &at)?;
            self.anchors.insert(anchor, Anchor { node: composed.0.clone(), cost: composed.1 });
        }
        Ok(composed)
    }

    /// The parser's range of a block scalar takes in the blank lines after it.
    fn written(&self, style: ScalarStyle, at: Range<usize>) -> Range<usize> {
        match (style, self.text.get(at.clone())) {
            (ScalarStyle::Literal | ScalarStyle::Folded, Some(text)) => at.start..at.start + text.trim_end().len(),
            _ => at,
        }
    }

    fn alias(&mut self, id: usize, at: &Range<usize>) -> Result<(Node, Cost), Stop> {
        let Some(anchor) = self.anchors.get(&id) else {
            return Err(Box::new(self.error("this alias stands within its own anchor", at)));
        };
        let mut cost = anchor.cost;
        cost.aliases += 1;
        if cost.aliases > MAX_ALIAS_DEPTH || self.open + cost.depth > MAX_DEPTH {
            return Err(Box::new(self.error("aliases are nested too deeply here", at)));
        }
        self.spend(cost, at)?;
        Ok((self.anchors[&id].node.clone(), cost))
    }

    /// Checked before anything is copied.
    fn spend(&mut self, cost: Cost, at: &Range<usize>) -> Result<(), Stop> {
        self.nodes += cost.nodes;
        self.bytes += cost.bytes;
        if self.nodes > MAX_NODES || self.bytes > MAX_TEXT {
            let message = format!(
                "the document is too large from here on: more than {MAX_NODES} values with its aliases expanded"
            );
            return Err(Box::new(self.error(&message, at)));
        }
        Ok(())
    }

    fn sequence(&mut self, style: StructureStyle, at: Range<usize>) -> Result<(Node, Cost), Stop> {
        let mut cost = self.enter(&at)?;
        let mut items = Vec::new();
        let end = loop {
            match self.next()? {
                (Event::SequenceEnd, end) => break end,
                (event, at) => {
                    let (node, inner) = self.node(event, at)?;
                    cost.add(inner);
                    items.push(node);
                }
            }
        };
        self.open -= 1;
        let span = self.extent(style, &at, &end);
        Ok((Node::new(Kind::Sequence(items), Some(span)), cost))
    }

    fn mapping(&mut self, style: StructureStyle, at: Range<usize>) -> Result<(Node, Cost), Stop> {
        let mut cost = self.enter(&at)?;
        let mut entries = Vec::new();
        let mut merges = Vec::new();
        let end = loop {
            let (event, place) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break place;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.key(event, &place)?;
            let (event, place) = self.next()?;
            let (value, inner) = self.node(event, place)?;
            cost.add(inner);
            if merge {
                merges.push(entries.len());
            }
            entries.push(Entry { key, value });
        };
        self.open -= 1;
        let entries = if merges.is_empty() { entries } else { self.merged(entries, &merges) };
        let span = self.extent(style, &at, &end);
        Ok((Node::new(Kind::Mapping(entries), Some(span)), cost))
    }

    fn enter(&mut self, at: &Range<usize>) -> Result<Cost, Stop> {
        self.open += 1;
        let cost = Cost { nodes: 1, depth: 1, ..Cost::default() };
        self.spend(cost, at)?;
        Ok(cost)
    }

    /// Block collections have no brackets: they reach to the end of their last written value, which is where the
    /// white space and comments before `end` begin.
    fn extent(&mut self, style: StructureStyle, at: &Range<usize>, end: &Range<usize>) -> Span {
        if style == StructureStyle::Flow {
            return self.origin.span(&(at.start..end.end));
        }
        if self.written.0 != end.start {
            self.written = (end.start, written_end(&self.text[..end.start]));
        }
        self.origin.span(&(at.start..self.written.1.max(at.start)))
    }

    fn key(&mut self, event: Event<'a>, at: &Range<usize>) -> Result<Key, Stop> {
        let (node, _) = self.node(event, at.clone())?;
        let written = self.text.get(at.clone()).unwrap_or("");
        let text = match node.kind {
            Kind::String(text) => text,
            // A key is a text in every other format: what is written is the name.
            Kind::Number(_) | Kind::Bool(_) if !written.starts_with('*') => written.to_owned(),
            Kind::Number(value) => value.to_string(),
            Kind::Bool(value) => value.to_string(),
            Kind::Null => "null".to_owned(),
            Kind::Sequence(_) | Kind::Mapping(_) => {
                return Err(Box::new(
                    self.error("a key has to be a plain text", at).hint("`{` and `[` at its start need quotes"),
                ));
            }
        };
        Ok(Key { text, span: Some(self.origin.span(at)) })
    }

    /// Puts what `<<` names in its place: keys written beside it win, earlier sources win over later ones.
    fn merged(&mut self, entries: Vec<Entry>, merges: &[usize]) -> Vec<Entry> {
        let own = entries.iter().enumerate().filter(|(at, _)| merges.binary_search(at).is_err());
        let mut taken: HashSet<String> = own.map(|(_, entry)| entry.key.text.clone()).collect();
        let mut out = Vec::new();
        for (at, entry) in entries.into_iter().enumerate() {
            if merges.binary_search(&at).is_err() {
                out.push(entry);
                continue;
            }
            let key = entry.key.span;
            let sources = match entry.value.kind {
                Kind::Sequence(items) => items,
                _ => vec![entry.value],
            };
            for source in sources {
                let Kind::Mapping(inner) = source.kind else {
                    let place = crate::document::Location::At {
                        span: source.span.or(key).unwrap_or_else(|| self.origin.span(&(0..0))),
                        path: String::new(),
                    };
                    let message = format!("`<<` takes an object or a list of them, not {}", source.kind.name());
                    self.problems.push(Diagnostic::error(Code::Syntax, message, place));
                    continue;
                };
                let fresh: Vec<Entry> = inner.into_iter().filter(|entry| !taken.contains(&entry.key.text)).collect();
                taken.extend(fresh.iter().map(|entry| entry.key.text.clone()));
                out.extend(fresh);
            }
        }
        out
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: &Range<usize>) -> Kind {
        let Some(tag) = tag else {
            return if style == ScalarStyle::Plain { plain(text, at) } else { Kind::String(text.to_owned()) };
        };
        let Some(wanted) = tag.core_suffix() else {
            // `!` alone says: a text. Any other one has been complained about where it was read.
            return Kind::String(text.to_owned());
        };
        // An empty value is told to us as `~`.
        let text = if at.is_empty() && style == ScalarStyle::Plain { "" } else { text };
        let kind = if wanted == "str" { Kind::String(text.to_owned()) } else { plain(text, &(0..1)) };
        let fits = match wanted {
            "str" => true,
            "null" => kind == Kind::Null,
            "bool" => matches!(kind, Kind::Bool(_)),
            "int" => matches!(kind, Kind::Number(value) if value.fract() == 0.0),
            "float" => matches!(kind, Kind::Number(_)),
            _ => false,
        };
        if !fits {
            let problem = self.error(&format!("this is not what its tag `!!{wanted}` says"), at);
            self.problems.push(problem);
        }
        kind
    }

    /// Tags that mean something to other programs mean nothing here.
    fn tag(&mut self, event: &Event<'_>, span: &granit_parser::Span) {
        let (tag, core): (_, &[&str]) = match event {
            Event::Scalar(_, _, _, Some(tag)) => (tag, &["str", "null", "bool", "int", "float"]),
            Event::SequenceStart(_, _, Some(tag)) => (tag, &["seq"]),
            Event::MappingStart(_, _, Some(tag)) => (tag, &["map"]),
            _ => return,
        };
        if tag.parts() == ("!", "")
            || tag.parts() == ("", "!")
            || tag.core_suffix().is_some_and(|name| core.contains(&name))
        {
            return;
        }
        let place = span.tag_span().and_then(|span| span.byte_range()).or_else(|| span.byte_range()).unwrap_or(0..0);
        let written = self.text.get(place.clone()).unwrap_or("").to_owned();
        let problem = self.error(&format!("the tag `{written}` means nothing here"), &place);
        self.problems.push(problem.hint("take it out, or put quotes around the value when it starts with `!`"));
    }

    fn error(&self, message: &str, at: &Range<usize>) -> Diagnostic {
        Diagnostic::error(Code::Syntax, message, self.origin.at(at))
    }
}

/// Where the white space and the comments at the end of a text begin.
fn written_end(text: &str) -> usize {
    let mut written = text.trim_end();
    loop {
        let line = written.rfind('\n').map_or(0, |at| at + 1);
        if !written[line..].trim_start().starts_with('#') {
            return written.len();
        }
        written = written[..line].trim_end();
    }
}

/// The core schema: what has no quotes and no tag.
fn plain(text: &str, at: &Range<usize>) -> Kind {
    if at.is_empty() {
        return Kind::Null;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        _ => {}
    }
    number(text).map_or_else(|| Kind::String(text.to_owned()), Kind::Number)
}

fn number(text: &str) -> Option<f64> {
    let digits = |text: &str, radix: u32| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, 16).then(|| whole(hex, 16));
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8).then(|| whole(octal, 8));
    }
    let (sign, bare) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match bare {
        ".inf" | ".Inf" | ".INF" => return Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if bare.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    let (mantissa, exponent) = match bare.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (bare, None),
    };
    let fits = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction, 10),
        Some((head, fraction)) => digits(head, 10) && (fraction.is_empty() || digits(fraction, 10)),
        None => digits(mantissa, 10),
    };
    let fits = fits && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text), 10));
    // Rust reads all of this grammar and more: `inf`, `nan`.
    if fits { bare.parse::<f64>().ok().map(|value| sign * value) } else { None }
}

fn nothing(origin: Origin, at: &Range<usize>) -> Diagnostic {
    let problem = Diagnostic::error(Code::Syntax, "there is no value in this file", origin.at(at));
    problem.hint("an ecosystem file has at least `apps`")
}

fn explain(error: &ScanError, text: &str, read: usize, origin: Origin) -> Diagnostic {
    if *error.kind() == ErrorKind::InvalidQuotedScalarIndent
        && let Some(problem) = left_open(error, text, read, origin)
    {
        return problem;
    }
    let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    if error.info().contains("found a tab")
        && let Some(tab) = tab_in_indentation(text, at)
    {
        let problem = Diagnostic::error(Code::Syntax, "a tab in the indentation", origin.at(&(tab..tab + 1)));
        return problem.hint("YAML is indented by spaces only");
    }
    let rest = text.get(at..).unwrap_or("");
    let width = rest.chars().next().filter(|c| !c.is_whitespace()).map_or(0, char::len_utf8);
    let range = at..at + width;
    let problem = |message: String| Diagnostic::error(Code::Syntax, message, origin.at(&range));
    let line = text[..text.floor_char_boundary(at)].rfind('\n').map_or(0, |at| at + 1);
    let line = text[line..].lines().next().unwrap_or("");
    if value_of(line).is_some_and(|value| value.starts_with('*')) {
        let value = value_of(line).unwrap_or("").trim_end();
        return problem(match error.kind() {
            ErrorKind::UnknownAnchor => "this names an anchor that does not exist".to_owned(),
            _ => "a value that starts with `*` names an anchor".to_owned(),
        })
        .hint(format!("quote it when it is text: \"{value}\""));
    }
    match error.kind() {
        ErrorKind::UnknownAnchor => problem("this names an anchor that does not exist".into()),
        ErrorKind::RecursionLimitExceeded => problem("more than 255 brackets or indentations are open here".into()),
        ErrorKind::UnclosedFlowCollection { open } => problem(format!("this `{open}` is never closed")),
        ErrorKind::UnclosedQuotedScalar => problem("this string is never closed".into()),
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => {
            problem("a tab in the indentation".into()).hint("YAML is indented by spaces only")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            problem(format!("a value cannot start with `{character}`")).hint("put quotes around it")
        }
        ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::BlockSequenceEntryNotAllowed
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::InvalidBlockScalarIndent
        | ErrorKind::InvalidIndentation => problem(lower(&error.info())).hint(
            "look at the indentation of this line and of those above it: what belongs together starts in one column",
        ),
        _ if value_of(line).is_some_and(|value| value.contains(": ")) => {
            problem(lower(&error.info())).hint("a value with `: ` in it needs quotes")
        }
        _ => problem(lower(&error.info())),
    }
}

/// The first tab that a line from here on is indented with.
fn tab_in_indentation(text: &str, from: usize) -> Option<usize> {
    let from = text.get(..from)?.rfind('\n').map_or(0, |at| at + 1);
    let mut at = from;
    for line in text[from..].split_inclusive('\n') {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indentation].find('\t') {
            return Some(at + tab);
        }
        at += line.len();
    }
    None
}

/// A quote whose text goes on into lines that are not indented as part of it: forgotten at its end, most likely. It is
/// the first one after what was read.
fn left_open(error: &ScanError, text: &str, read: usize, origin: Origin) -> Option<Diagnostic> {
    let before = text.get(read..error.marker().byte_offset()?)?;
    let open = read + before.find(['"', '\''])?;
    let problem =
        Diagnostic::error(Code::Syntax, "this quote is not closed before the next line", origin.at(&(open..open + 1)));
    Some(problem.hint("close it, or indent all lines of its text by more than its key"))
}

/// What follows the first `key: ` or `- ` of a line.
fn value_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("- ").unwrap_or(line);
    line.split_once(": ").map(|(_, value)| value.trim_start()).or(Some(line)).filter(|value| !value.is_empty())
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
