use std::path::Path;

use super::draft::{CodeOption, Count, Draft, Mark, Variable};
use super::options::{self, OVERLAY_PREFIX, Row, Status};
use super::value::{INSTANCES_MAX, PathOrFlag, Value};
use super::words::split_words;
use crate::base::{closest, parse_bytes, parse_millis};
use crate::diag::{Code, Diagnostic};
use crate::document::{Entry, Kind, Node, to_json};
use crate::spec::ExecMode;

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

/// A year: longer waits are typing errors.
const MILLIS_MAX: u64 = 31_536_000_000;

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
        for written in self.choose(entries, skip, &whole) {
            let key = &written.entry.key.text;
            let mark = whole.key(key, written.entry.value.span);
            draft.marks.insert(written.row.name, mark.clone());
            let before = self.diagnostics.len();
            self.option(&written, &mark, &mut draft);
            if self.diagnostics.len() == before {
                self.announce(&written, &mark);
            }
        }
        Some(draft)
    }

    /// Which entry counts for each option; tells about keys that are unknown or said twice.
    fn choose<'a>(&mut self, entries: &'a [Entry], skip: &[&str], whole: &Mark) -> Vec<Written<'a>> {
        let mut chosen: Vec<Written<'a>> = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = entry.key.text.as_str();
            if skip.contains(&key) || entry.value.kind == Kind::Null {
                continue;
            }
            let Some((row, rank)) = options::find(key) else {
                self.unknown(entry, whole);
                continue;
            };
            let written = Written { row, rank, entry };
            let same = |other: &Written<'_>| {
                std::ptr::eq(other.row, row) && (!row.is_overlay() || other.entry.key.text == key)
            };
            let Some(at) = chosen.iter().position(same) else {
                chosen.push(written);
                continue;
            };
            let mark = whole.key(key, entry.key.span);
            let earlier = &chosen[at].entry.key.text;
            if earlier == key {
                let message = format!("`{key}` is written twice, the last one counts");
                self.warning(Code::Conflict, message, &mark);
            } else {
                let counts = if rank <= chosen[at].rank { key } else { earlier.as_str() };
                let message = format!("`{earlier}` and `{key}` are the same option, `{counts}` counts");
                self.warning(Code::Conflict, message, &mark);
            }
            if rank <= chosen[at].rank {
                chosen[at] = written;
            }
        }
        chosen
    }

    fn unknown(&mut self, entry: &Entry, whole: &Mark) {
        let key = &entry.key.text;
        let mark = whole.key(key, entry.key.span);
        let diagnostic =
            Diagnostic::warning(Code::UnknownOption, format!("unknown option `{key}`"), mark.location(self.file));
        self.diagnostics.push(match closest(key, options::keys()) {
            Some(known) => diagnostic.hint(format!("did you mean `{known}`?")),
            None => diagnostic,
        });
    }

    /// Tells when an option has no effect. One that is written only to be switched off has the effect it asks for.
    fn announce(&mut self, written: &Written<'_>, mark: &Mark) {
        let key = &written.entry.key.text;
        match written.row.status {
            Status::Honoured => {}
            Status::Later(effect) => {
                if !is_off(&written.entry.value) {
                    let message = format!("`{key}` is not honoured yet: {effect}");
                    self.warning(Code::NotHonoured, message, mark);
                }
            }
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
            Value::Filter(set) => apply(set, draft, self.filter(reading, node)),
            Value::NumberOrText(set) => apply(set, draft, self.number_or_text(reading, node)),
            Value::ExitCodes(set) => apply(set, draft, self.exit_codes(reading, node)),
            Value::Count(set) => apply(set, draft, self.count(reading, node)),
            Value::Mode(set) => apply(set, draft, self.mode(reading, node)),
            Value::LogType(set) => apply(set, draft, self.log_type(reading, node)),
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
            Value::Object(set) => {
                let value = if node.entries().is_some() { Some(to_json(node)) } else { self.wrong(reading, node) };
                apply(set, draft, value);
            }
            Value::Ignored(_) => {
                if !accepts(&written.row.value, node) {
                    self.wrong::<()>(reading, node);
                }
            }
        }
    }

    fn text(&mut self, reading: Reading<'_>, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::String(text) => self.clean(reading, text),
            Kind::Number(_) | Kind::Bool(_) => self.wrong_but(reading, node, "put it in quotes"),
            _ => self.wrong(reading, node),
        }
    }

    /// A string that can be given to a process, or to the file system.
    fn clean(&mut self, reading: Reading<'_>, text: &str) -> Option<String> {
        if text.contains('\0') {
            let message = format!("`{}` contains a NUL character", reading.key);
            self.error(Code::Value, message, reading.mark);
            return None;
        }
        Some(text.to_owned())
    }

    fn flag(&mut self, reading: Reading<'_>, node: &Node) -> Option<bool> {
        match &node.kind {
            Kind::Bool(on) => Some(*on),
            Kind::String(text) if matches!(text.as_str(), "true" | "false") => {
                self.wrong_but(reading, node, &format!("write {text} without quotes"))
            }
            _ => self.wrong(reading, node),
        }
    }

    fn whole(&mut self, reading: Reading<'_>, node: &Node, min: i64, max: i64) -> Option<i64> {
        match whole_number(node).filter(|number| (min..=max).contains(number)) {
            Some(number) => Some(number),
            None => self.wrong(reading, node),
        }
    }

    fn millis(&mut self, reading: Reading<'_>, node: &Node) -> Option<u64> {
        match quantity(node, parse_millis) {
            Some(ms) if ms > MILLIS_MAX => self.wrong_but(reading, node, "the longest is a year"),
            Some(ms) => Some(ms),
            None => self.wrong(reading, node),
        }
    }

    fn bytes(&mut self, reading: Reading<'_>, node: &Node) -> Option<u64> {
        match quantity(node, parse_bytes) {
            Some(bytes) => Some(bytes),
            None => self.wrong(reading, node),
        }
    }

    fn words(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<String>> {
        match &node.kind {
            Kind::String(text) => self.clean(reading, text).map(|text| split_words(&text)),
            Kind::Sequence(items) => self.items(reading, items, |this, reading, item| match &item.kind {
                // A list of arguments is where people write ports: `args: ["--port", 3000]`.
                Kind::Number(number) => Some(js_number(*number)),
                Kind::Bool(value) => Some(value.to_string()),
                Kind::String(text) => this.clean(reading, text),
                _ => this.wrong_item(reading, "a string", item),
            }),
            _ => self.wrong(reading, node),
        }
    }

    fn names(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<String>> {
        match &node.kind {
            Kind::String(text) if text.is_empty() => Some(Vec::new()),
            Kind::String(text) => self.clean(reading, text).map(|text| vec![text]),
            Kind::Sequence(items) => self.strings(reading, items),
            _ => self.wrong(reading, node),
        }
    }

    fn strings(&mut self, reading: Reading<'_>, items: &[Node]) -> Option<Vec<String>> {
        self.items(reading, items, |this, reading, item| match &item.kind {
            Kind::String(text) if !text.is_empty() => this.clean(reading, text),
            _ => this.wrong_item(reading, "a string that is not empty", item),
        })
    }

    fn filter(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<String>> {
        match &node.kind {
            Kind::Bool(false) => Some(Vec::new()),
            // PM2 documents `true` as "all" and ignores it.
            Kind::Bool(true) => self.wrong_but(reading, node, "list parts of the names to leave out"),
            _ => self.names(reading, node),
        }
    }

    fn number_or_text(&mut self, reading: Reading<'_>, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::String(text) => self.clean(reading, text),
            Kind::Number(number) if number.fract() == 0.0 && *number >= 0.0 => Some(js_number(*number)),
            _ => self.wrong(reading, node),
        }
    }

    fn exit_codes(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<i32>> {
        let code = |node: &Node| {
            whole_number(node).filter(|code| (0..=255).contains(code)).and_then(|code| i32::try_from(code).ok())
        };
        match &node.kind {
            Kind::Sequence(items) => self.items(reading, items, |this, reading, item| match code(item) {
                Some(code) => Some(code),
                None => this.wrong_item(reading, "a whole number from 0 to 255", item),
            }),
            _ => match code(node) {
                Some(code) => Some(vec![code]),
                None => self.wrong(reading, node),
            },
        }
    }

    fn count(&mut self, reading: Reading<'_>, node: &Node) -> Option<Count> {
        if node.as_str() == Some("max") {
            return Some(Count::Max);
        }
        let count = whole_number(node).and_then(|number| match number {
            0 => Some(Count::Max),
            1.. => u32::try_from(number).ok().filter(|count| *count <= INSTANCES_MAX).map(Count::Exactly),
            _ => u32::try_from(-number).ok().map(Count::MaxLess),
        });
        match count {
            Some(count) => Some(count),
            None => self.wrong(reading, node),
        }
    }

    fn mode(&mut self, reading: Reading<'_>, node: &Node) -> Option<ExecMode> {
        match node.as_str() {
            Some("fork" | "fork_mode") => Some(ExecMode::Fork),
            Some("cluster" | "cluster_mode") => Some(ExecMode::Cluster),
            _ => self.wrong(reading, node),
        }
    }

    fn log_type(&mut self, reading: Reading<'_>, node: &Node) -> Option<bool> {
        match node.as_str() {
            Some("json") => Some(true),
            Some("raw" | "") => Some(false),
            _ => self.wrong(reading, node),
        }
    }

    fn signal(&mut self, reading: Reading<'_>, node: &Node) -> Option<crate::base::Signal> {
        let signal = match &node.kind {
            Kind::String(text) => text.parse().ok(),
            Kind::Number(number) => js_number(*number).parse().ok(),
            _ => None,
        };
        match signal {
            Some(signal) => Some(signal),
            None => {
                let hint = node
                    .as_str()
                    .and_then(|text| closest(text, crate::base::Signal::names()))
                    .map(|name| format!("did you mean `{name}`?"));
                self.mismatch(reading, node, hint)
            }
        }
    }

    fn variables(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<Variable>> {
        let Some(entries) = node.entries() else {
            let hint =
                matches!(node.kind, Kind::String(_)).then(|| format!("write `{}: {{ NAME: \"value\" }}`", reading.key));
            return self.mismatch(reading, node, hint);
        };
        let mut variables: Vec<Variable> = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(variable) = self.variable(reading, entry) {
                match variables.iter_mut().find(|known| known.name == variable.name) {
                    Some(known) => {
                        let message = format!("`{}` is written twice, the last one counts", variable.name);
                        let mark = reading.mark.key(&variable.name, entry.key.span);
                        *known = variable;
                        self.warning(Code::Conflict, message, &mark);
                    }
                    None => variables.push(variable),
                }
            }
        }
        Some(variables)
    }

    /// Values become text as PM2 makes them: `null` is `null`, lists and objects are JSON.
    fn variable(&mut self, reading: Reading<'_>, entry: &Entry) -> Option<Variable> {
        let name = &entry.key.text;
        let mark = reading.mark.key(name, entry.value.span);
        if let Some(why) = variable_name_problem(name) {
            let at = Mark { span: entry.key.span, ..mark };
            self.error(Code::Value, format!("a variable in `{}` has a name that {why}", reading.key), &at);
            return None;
        }
        let value = match &entry.value.kind {
            Kind::Null => "null".to_owned(),
            Kind::Bool(value) => value.to_string(),
            Kind::Number(number) => js_number(*number),
            Kind::String(text) => text.clone(),
            Kind::Sequence(_) | Kind::Mapping(_) => to_json(&entry.value).to_string(),
        };
        if value.contains('\0') {
            self.error(Code::Value, format!("the value of `{name}` contains a NUL character"), &mark);
            return None;
        }
        Some(Variable { name: name.clone(), value, mark })
    }

    fn path_or_flag(&mut self, reading: Reading<'_>, node: &Node) -> Option<PathOrFlag> {
        match &node.kind {
            Kind::Bool(on) => Some(PathOrFlag::Flag(*on)),
            Kind::String(text) => self.clean(reading, text).map(PathOrFlag::Path),
            _ => self.wrong(reading, node),
        }
    }

    fn watch(&mut self, reading: Reading<'_>, node: &Node) -> Option<(bool, Vec<String>)> {
        match &node.kind {
            Kind::Bool(on) => Some((*on, Vec::new())),
            _ => self.names(reading, node).map(|paths| (!paths.is_empty(), paths)),
        }
    }

    fn patterns(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<String>> {
        let is_regular_expression = |item: &Node| item.entries().is_some_and(<[Entry]>::is_empty);
        match &node.kind {
            Kind::Sequence(items) => {
                let kept: Vec<(usize, &Node)> =
                    items.iter().enumerate().filter(|(_, item)| !is_regular_expression(item)).collect();
                let mut patterns = Vec::with_capacity(kept.len());
                let mut fine = true;
                for (index, item) in kept {
                    let mark = reading.mark.item(index, item.span);
                    let reading = Reading { mark: &mark, ..reading };
                    match &item.kind {
                        Kind::String(text) => patterns.extend(self.clean(reading, text)),
                        _ => fine = self.wrong_item::<()>(reading, "a string", item).is_some(),
                    }
                }
                fine.then_some(patterns)
            }
            _ => self.words(reading, node),
        }
    }

    fn code(&mut self, reading: Reading<'_>, node: &Node) -> Option<CodeOption> {
        match &node.kind {
            Kind::Bool(true) => Some(CodeOption::Script),
            Kind::Bool(false) => Some(CodeOption::Off),
            Kind::String(text) if text == "git" => Some(CodeOption::Git),
            Kind::String(text) if !text.is_empty() => {
                self.clean(reading, text).map(|glob| CodeOption::Globs(vec![glob]))
            }
            Kind::Sequence(items) => self.strings(reading, items).map(CodeOption::Globs),
            _ => self.wrong(reading, node),
        }
    }

    /// Every item of a list by one rule; all bad ones are told.
    fn items<T>(
        &mut self,
        reading: Reading<'_>,
        items: &[Node],
        read: impl Fn(&mut Self, Reading<'_>, &Node) -> Option<T>,
    ) -> Option<Vec<T>> {
        let values: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let mark = reading.mark.item(index, item.span);
                read(self, Reading { mark: &mark, ..reading }, item)
            })
            .collect();
        values.into_iter().collect()
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

/// Written only to say that it is not wanted.
fn is_off(node: &Node) -> bool {
    match &node.kind {
        Kind::Null | Kind::Bool(false) => true,
        Kind::Bool(true) => false,
        Kind::Number(number) => *number == 0.0,
        Kind::String(text) => matches!(text.as_str(), "" | "0" | "raw"),
        Kind::Sequence(items) => items.is_empty(),
        Kind::Mapping(entries) => entries.is_empty(),
    }
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

pub(super) fn variable_name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.contains('=') {
        Some("contains `=`")
    } else if name.contains('\0') {
        Some("contains a NUL character")
    } else {
        None
    }
}

fn whole_number(node: &Node) -> Option<i64> {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    let number = match &node.kind {
        Kind::Number(number) => *number,
        Kind::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "a whole number within 2^53")]
    (number.fract() == 0.0 && number.abs() <= SAFE).then_some(number as i64)
}

fn quantity(node: &Node, parse: fn(&str) -> Option<u64>) -> Option<u64> {
    match &node.kind {
        Kind::Number(_) => whole_number(node).and_then(|number| u64::try_from(number).ok()),
        Kind::String(text) => parse(text),
        _ => None,
    }
}

/// A number as JavaScript's `String()` writes it.
pub(super) fn js_number(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() }
    } else if number == 0.0 {
        "0".to_owned()
    } else if (1e-6..1e21).contains(&number.abs()) {
        number.to_string()
    } else {
        let text = format!("{number:e}");
        if text.contains("e-") { text } else { text.replace('e', "e+") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_javascripts() {
        let table = [
            (3000.0, "3000"),
            (-0.0, "0"),
            (1.5, "1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e21, "1e+21"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e-7, "1e-7"),
            (1.5e-10, "1.5e-10"),
            (0.000_001, "0.000001"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (number, want) in table {
            assert_eq!(js_number(number), want);
        }
    }
}
