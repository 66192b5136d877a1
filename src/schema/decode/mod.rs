//! From a document's values to drafts, by the option table.

mod number;
mod objects;
mod readers;

use std::collections::HashMap;
use std::path::Path;

pub(super) use readers::{MEMORY_MIN, MILLIS_MAX, PIDS_MAX, variable_name_problem};

use super::draft::{Draft, Mark, Outdone};
use super::options::{self, OVERLAY_PREFIX, Row, Status};
use super::resolve::shown;
use super::value::Value;
use crate::diag::{Code, Diagnostic};
use crate::document::{Entry, Kind, Node, js_number, to_json_text};

/// Reads values by the table and notes everything that is wrong with them.
pub(super) struct Decoder<'a> {
    pub(super) file: &'a Path,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// An option as one app writes it.
struct Written<'a> {
    row: &'static Row,
    rank: usize,
    entry: &'a Entry,
}

impl Written<'_> {
    fn outdone(&self, option: &str, whole: &Mark) -> Outdone {
        let Entry { key, value } = self.entry;
        let text = match (&self.row.value, &value.kind) {
            // `env` as a whole may hold secrets under any name.
            (Value::Variables(_) | Value::Overlay(_), kind) => kind.name().to_owned(),
            (_, Kind::String(text)) => text.clone(),
            _ => to_json_text(value),
        };
        let mark = whole.key(&key.text, value.span);
        Outdone { option: option.to_owned(), key: key.text.clone(), value: text, mark }
    }
}

/// Diagnostics after which nobody reads suggestions, each of which compares a key with all options.
const SUGGESTIONS_MAX: usize = 500;

impl Decoder<'_> {
    /// One app. `skip` holds keys that belong to the file where the app is all there is in it.
    pub(super) fn app(&mut self, node: &Node, path: &str, skip: &[&str]) -> Option<Draft> {
        let Some(entries) = node.entries() else {
            let mark = Mark { span: node.span, path: path.to_owned() };
            let message = format!("an app must be an object, not {}", found(node));
            self.error(Code::Shape, message, &mark);
            return None;
        };
        let whole = Mark { span: node.span, path: labelled(path, node) };
        let mut draft = Draft::new(whole.clone());
        for written in self.choose(entries, skip, &whole, &mut draft.outdone) {
            let Written { row, entry, .. } = written;
            let mark = whole.key(&entry.key.text, entry.value.span);
            match (row.value, &entry.value.kind) {
                (Value::Names(_) | Value::Needs(_), Kind::Sequence(items)) => {
                    draft.items.insert(row.name, items.iter().map(|item| (None, item.span)).collect());
                }
                (Value::Needs(_), Kind::Mapping(entries)) => {
                    let keys = entries.iter().map(|entry| (Some(entry.key.text.clone()), entry.key.span));
                    draft.items.insert(row.name, keys.collect());
                }
                _ => {}
            }
            let before = self.diagnostics.len();
            self.option(&written, &mark, &mut draft);
            if self.diagnostics.len() == before {
                self.announce(&written, &mark);
            }
            draft.marks.insert(row.name, mark);
        }
        Some(draft)
    }

    /// Which entry counts for each option; tells about keys that are unknown or said twice.
    fn choose<'a>(
        &mut self,
        entries: &'a [Entry],
        skip: &[&str],
        whole: &Mark,
        outdone: &mut Vec<Outdone>,
    ) -> Vec<Written<'a>> {
        let mut chosen: Vec<Written<'a>> = Vec::with_capacity(entries.len());
        let mut at_option: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
        for entry in entries {
            let key = entry.key.text.as_str();
            if skip.contains(&key) || entry.value.kind == Kind::Null {
                continue;
            }
            let Some((row, rank)) = options::find(key) else {
                self.unknown(entry, whole);
                continue;
            };
            let is_unset = match &entry.value.kind {
                Kind::Bool(false) => row.false_is_unset(),
                Kind::String(text) => text.is_empty() && row.value.may_be_empty(),
                _ => false,
            };
            if is_unset {
                continue;
            }
            let written = Written { row, rank, entry };
            let option = if row.is_overlay() { key } else { row.name };
            let Some(&at) = at_option.get(option) else {
                at_option.insert(option, chosen.len());
                chosen.push(written);
                continue;
            };
            let mark = whole.key(key, entry.key.span);
            let earlier = &chosen[at].entry.key.text;
            if earlier == key {
                let message = format!("`{key}` is written twice, the last one counts");
                self.warning(Code::DuplicateOption, message, &mark);
            } else {
                let counts = if rank <= chosen[at].rank { key } else { earlier.as_str() };
                let message = format!("`{earlier}` and `{key}` are the same option, `{counts}` counts");
                self.warning(Code::DuplicateOption, message, &mark);
            }
            let loser = if rank <= chosen[at].rank { std::mem::replace(&mut chosen[at], written) } else { written };
            outdone.push(loser.outdone(option, whole));
        }
        chosen
    }

    fn unknown(&mut self, entry: &Entry, whole: &Mark) {
        let key = &entry.key.text;
        let mark = whole.key(key, entry.key.span);
        let diagnostic = Diagnostic::warning(
            Code::UnknownOption,
            format!("unknown option `{}`", shown(key)),
            mark.location(self.file),
        );
        // A file of 100,000 keys that are no options is no file with typing errors.
        let near = if self.diagnostics.len() < SUGGESTIONS_MAX { options::meant(key) } else { None };
        self.diagnostics.push(match near {
            Some(known) => diagnostic.hint(format!("did you mean `{known}`?")),
            None => diagnostic,
        });
    }

    /// Tells when an option has no effect.
    fn announce(&mut self, written: &Written<'_>, mark: &Mark) {
        let key = &written.entry.key.text;
        match written.row.status {
            Status::Honoured => {}
            Status::Meaningless(why) => {
                let message = format!("`{key}` means nothing here: {why}");
                self.push(Diagnostic::info(Code::Meaningless, message, mark.location(self.file)));
            }
        }
    }

    /// Decodes one option into the draft.
    fn option(&mut self, written: &Written<'_>, mark: &Mark, draft: &mut Draft) {
        let reading = Reading { key: &written.entry.key.text, value: &written.row.value, mark };
        let node = &written.entry.value;
        match written.row.value {
            Value::Text(set) => apply(set, draft, self.text(reading, node)),
            Value::Flag(set) => apply(set, draft, self.flag(reading, node)),
            Value::Whole { min, max, set } => apply(set, draft, self.whole(reading, node, min, max)),
            Value::Millis(set) => apply(set, draft, self.millis(reading, node)),
            Value::Bytes(set) => apply(set, draft, self.bytes(reading, node)),
            Value::Words(set) => apply(set, draft, self.words(reading, node)),
            Value::Names(set) => apply(set, draft, self.names(reading, node)),
            Value::Sockets(set) => apply(set, draft, self.sockets(reading, node)),
            Value::Needs(set) => apply(set, draft, self.needs(reading, node)),
            Value::HealthCheck(set) => apply(set, draft, self.health_check(reading, node)),
            Value::Filter(set) => apply(set, draft, self.filter(reading, node)),
            Value::Cron(set) => apply(set, draft, self.cron(reading, node)),
            Value::Account(set) => apply(set, draft, self.account(reading, node)),
            Value::Umask(set) => apply(set, draft, self.umask(reading, node)),
            Value::Limits(set) => apply(set, draft, self.limits(reading, node)),
            Value::Uses(set) => apply(set, draft, self.uses(reading, node)),
            Value::ExitCodes(set) => apply(set, draft, self.exit_codes(reading, node)),
            Value::Count(set) => apply(set, draft, self.count(reading, node)),
            // PM2's way of not setting it.
            Value::Mode(_) if node.as_str() == Some("") => {}
            Value::Mode(set) => apply(set, draft, self.mode(reading, node)),
            Value::LogType(set) => apply(set, draft, self.log_type(reading, node)),
            Value::Overlap(set) => apply(set, draft, self.overlap(reading, node)),
            Value::Distribution(set) => apply(set, draft, self.distribution(reading, node)),
            Value::Signal(set) => apply(set, draft, self.signal(reading, node)),
            Value::Variables(set) => apply(set, draft, self.variables(reading, node)),
            Value::Overlay(set) => {
                if let Some(variables) = self.variables(reading, node) {
                    let profile = reading.key.strip_prefix(OVERLAY_PREFIX).unwrap_or(reading.key);
                    set(draft, profile, variables);
                }
            }
            Value::PathOrFlag(set) => apply(set, draft, self.path_or_flag(reading, node)),
            Value::Watch(set) => {
                if let Some((on, paths)) = self.watch(reading, node) {
                    set(draft, on, paths);
                }
            }
            Value::Patterns(set) => apply(set, draft, self.patterns(reading, node)),
            Value::Code(set) => apply(set, draft, self.code(reading, node)),
            Value::WatchOptions(set) => apply(set, draft, self.watch_options(reading, node)),
            Value::Off(_, set) if matches!(&node.kind, Kind::Bool(false)) => set(draft),
            Value::Ignored(_) | Value::Off(..) => {
                if !accepts(&written.row.value, node) {
                    self.wrong::<()>(reading, node);
                }
            }
        }
    }

    fn wrong<T>(&mut self, reading: Reading<'_>, node: &Node) -> Option<T> {
        self.mismatch(reading, node, None)
    }

    fn wrong_but<T>(&mut self, reading: Reading<'_>, node: &Node, hint: &str) -> Option<T> {
        self.mismatch(reading, node, Some(hint.to_owned()))
    }

    fn mismatch<T>(&mut self, reading: Reading<'_>, node: &Node, hint: Option<String>) -> Option<T> {
        // `env: "TOKEN=..."` may hold a secret.
        let secret = matches!(reading.value, Value::Variables(_) | Value::Overlay(_));
        let found = if secret { node.kind.name().to_owned() } else { found(node) };
        let message = format!("`{}` must be {}, not {found}", reading.key, reading.value.expects());
        let diagnostic = Diagnostic::error(Code::Value, message, reading.mark.location(self.file));
        self.diagnostics.push(match hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        });
        None
    }

    fn wrong_item<T>(&mut self, reading: Reading<'_>, expects: &str, item: &Node) -> Option<T> {
        let message = format!("an item of `{}` must be {expects}, not {}", reading.key, found(item));
        self.error(Code::Value, message, reading.mark);
        None
    }

    pub(super) fn error(&mut self, code: Code, message: String, mark: &Mark) {
        self.push(Diagnostic::error(code, message, mark.location(self.file)));
    }

    pub(super) fn warning(&mut self, code: Code, message: String, mark: &Mark) {
        self.push(Diagnostic::warning(code, message, mark.location(self.file)));
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
}

/// What is being read: the key as it was written, what it may be, and where it stands.
#[derive(Clone, Copy)]
struct Reading<'a> {
    key: &'a str,
    value: &'a Value,
    mark: &'a Mark,
}

fn apply<T>(set: fn(&mut Draft, T), draft: &mut Draft, value: Option<T>) {
    if let Some(value) = value {
        set(draft, value);
    }
}

/// `apps[0] (api)`
fn labelled(path: &str, node: &Node) -> String {
    const SHOWN: usize = 40;
    match node.get("name").and_then(Node::as_str) {
        Some(name) if !path.is_empty() && !name.is_empty() && !name.contains(char::is_control) => {
            let short: String = name.chars().take(SHOWN).collect();
            let dots = if short.len() < name.len() { "..." } else { "" };
            format!("{path} ({short}{dots})")
        }
        _ => path.to_owned(),
    }
}

fn accepts(value: &Value, node: &Node) -> bool {
    use super::Shape;
    let shape = match node.kind {
        Kind::Null => return false,
        Kind::Bool(_) => Shape::Boolean,
        Kind::Number(_) => Shape::Number,
        Kind::String(_) => Shape::String,
        Kind::Sequence(_) => Shape::List,
        Kind::Mapping(_) => Shape::Object,
    };
    value.shapes().contains(&shape)
}

/// What a message calls a value: itself where it is short, else its type.
pub(super) fn found(node: &Node) -> String {
    match &node.kind {
        Kind::Bool(value) => format!("`{value}`"),
        Kind::Number(number) => format!("`{}`", js_number(*number)),
        Kind::String(text) if text.chars().count() <= 40 => format!("{text:?}"),
        other => other.name().to_owned(),
    }
}
