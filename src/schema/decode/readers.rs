//! One reader a kind of value: the value, or nothing once everything that is wrong with it has been told.

use std::collections::{BTreeMap, HashMap};

use super::number::{SAFE, processors, quantity, whole_number};
use super::{Decoder, Reading, found};
use crate::base::{Signal, closest, parse_bytes, parse_millis};
use crate::diag::{Code, Diagnostic};
use crate::document::{Entry, Kind, Node, js_number, to_json, to_json_text};
use crate::schedule::Pattern;
use crate::schema::draft::{CodeOption, Count, Mark, Variable};
use crate::schema::resolve::shown;
use crate::schema::value::{ACCOUNT_MAX, INSTANCES_MAX, INSTANCES_PERCENT_MAX, PathOrFlag, TEXT_BYTES_MAX};
use crate::schema::words::split_words;
use crate::spec::{ExecMode, LIMITS, Limits, Listener, WatchOption};

/// More than Linux can number.
/// Sockets of one app: descriptors are numbered from 3 on, and none of ours may lie there.
const SOCKETS_MAX: usize = 64;
pub(in crate::schema) const PIDS_MAX: i64 = 9_999_999;
/// A shell with nothing to do takes two.
pub(in crate::schema) const MEMORY_MIN: u64 = 4 << 20;
/// What `limits` has.
const USES: [&str; 3] = ["memory", "cpu", "pids"];

/// A year: longer waits are typing errors.
pub(in crate::schema) const MILLIS_MAX: u64 = 31_536_000_000;

impl Decoder<'_> {
    pub(super) fn text(&mut self, reading: Reading<'_>, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::String(text) => self.named(reading, text),
            Kind::Number(_) | Kind::Bool(_) => self.wrong_but(reading, node, "put it in quotes"),
            _ => self.wrong(reading, node),
        }
    }

    /// A name or a path: white space alone is neither. What an empty one means is the option's affair.
    fn named(&mut self, reading: Reading<'_>, text: &str) -> Option<String> {
        if !text.is_empty() && text.trim().is_empty() {
            self.error(Code::Value, format!("`{}` is only white space", reading.key), reading.mark);
            return None;
        }
        self.clean(reading, text)
    }

    /// A string that can be given to a process, or to the file system.
    fn clean(&mut self, reading: Reading<'_>, text: &str) -> Option<String> {
        if text.contains('\0') {
            let message = format!("`{}` contains a NUL character", reading.key);
            self.error(Code::Value, message, reading.mark);
            return None;
        }
        if text.len() > TEXT_BYTES_MAX {
            let message = format!(
                "a text in `{}` has {} bytes, a process can be given {TEXT_BYTES_MAX}",
                reading.key,
                text.len()
            );
            self.error(Code::Value, message, reading.mark);
            return None;
        }
        Some(text.to_owned())
    }

    pub(super) fn flag(&mut self, reading: Reading<'_>, node: &Node) -> Option<bool> {
        match &node.kind {
            Kind::Bool(on) => Some(*on),
            Kind::String(text) if matches!(text.as_str(), "true" | "false") => {
                self.wrong_but(reading, node, &format!("write {text} without quotes"))
            }
            _ => self.wrong(reading, node),
        }
    }

    pub(super) fn whole(&mut self, reading: Reading<'_>, node: &Node, min: i64, max: i64) -> Option<i64> {
        match whole_number(node).filter(|number| (min..=max).contains(number)) {
            Some(number) => Some(number),
            None => self.wrong(reading, node),
        }
    }

    pub(super) fn millis(&mut self, reading: Reading<'_>, node: &Node) -> Option<u64> {
        match quantity(node, parse_millis) {
            Some(ms) if ms > MILLIS_MAX => self.wrong_but(reading, node, "the longest is a year"),
            Some(ms) => Some(ms),
            None => self.wrong(reading, node),
        }
    }

    pub(super) fn bytes(&mut self, reading: Reading<'_>, node: &Node) -> Option<u64> {
        match quantity(node, parse_bytes) {
            Some(bytes) => Some(bytes),
            None => self.wrong(reading, node),
        }
    }

    pub(super) fn words(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<String>> {
        match &node.kind {
            Kind::String(text) => split_words(text).iter().map(|word| self.clean(reading, word)).collect(),
            Kind::Sequence(items) => self.items(reading, items, |this, reading, item| match &item.kind {
                // A list of arguments is where people write ports: `args: ["--port", 3000]`.
                Kind::Number(number) => {
                    Some(this.printed(*number, &format!("an item of `{}`", reading.key), || reading.mark.clone()))
                }
                Kind::Bool(value) => Some(value.to_string()),
                Kind::String(text) => this.clean(reading, text),
                _ => this.wrong_item(reading, "a string", item),
            }),
            _ => self.wrong(reading, node),
        }
    }

    pub(super) fn names(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<String>> {
        match &node.kind {
            Kind::String(text) if text.is_empty() => Some(Vec::new()),
            Kind::String(text) => self.named(reading, text).map(|text| vec![text]),
            Kind::Sequence(items) => self.strings(reading, items),
            _ => self.wrong(reading, node),
        }
    }

    fn strings(&mut self, reading: Reading<'_>, items: &[Node]) -> Option<Vec<String>> {
        self.items(reading, items, |this, reading, item| match &item.kind {
            Kind::String(text) if !text.trim().is_empty() => this.clean(reading, text),
            _ => this.wrong_item(reading, "a string that is not empty", item),
        })
    }

    pub(super) fn sockets(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<String>> {
        let names = self.names(reading, node)?;
        if names.len() > SOCKETS_MAX {
            return self.wrong_but(reading, node, "an app can be given 64 at most");
        }
        let mut sockets: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            let problem = match name.trim().parse::<Listener>() {
                Ok(socket) if sockets.contains(&socket.to_string()) => "is there twice",
                Ok(socket) => {
                    sockets.push(socket.to_string());
                    continue;
                }
                Err(problem) => problem,
            };
            let message = format!("`{name}` in `{}` {problem}", reading.key);
            self.error(Code::Value, message, reading.mark);
            return None;
        }
        Some(sockets)
    }

    pub(super) fn filter(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<String>> {
        match &node.kind {
            Kind::Bool(false) => Some(Vec::new()),
            // PM2 documents `true` as "all" and ignores it.
            Kind::Bool(true) => self.wrong_but(reading, node, "list parts of the names to leave out"),
            _ => self.names(reading, node),
        }
    }

    /// The outer None is an error. `""` and 0 are how PM2's users switch it off.
    #[expect(clippy::option_option, reason = "an option that is written as not set")]
    pub(super) fn cron(&mut self, reading: Reading<'_>, node: &Node) -> Option<Option<String>> {
        match &node.kind {
            Kind::Number(number) if *number == 0.0 => Some(None),
            Kind::String(text) if matches!(text.as_str(), "" | "0") => Some(None),
            Kind::String(text) if text.trim().contains(char::is_whitespace) || text.trim().starts_with('@') => {
                let Err(problem) = Pattern::parse(text) else { return Some(Some(text.clone())) };
                self.error(Code::Value, format!("`{}`: {} {problem}", reading.key, found(node)), reading.mark);
                None
            }
            _ => self.wrong(reading, node),
        }
    }

    /// The outer None is an error.
    #[expect(clippy::option_option, reason = "an option that is written as not set")]
    pub(super) fn account(&mut self, reading: Reading<'_>, node: &Node) -> Option<Option<String>> {
        let id = whole_number(node).map(|id| u32::try_from(id).ok().filter(|id| *id <= ACCOUNT_MAX));
        match (id, &node.kind) {
            (Some(Some(id)), _) => Some(Some(id.to_string())),
            (None, Kind::String(text)) if text.is_empty() => Some(None),
            (None, Kind::String(text)) if is_account_name(text) => Some(Some(text.clone())),
            _ => self.wrong(reading, node),
        }
    }

    /// The outer None is an error.
    #[expect(clippy::option_option, reason = "an option that is written as not set")]
    pub(super) fn umask(&mut self, reading: Reading<'_>, node: &Node) -> Option<Option<String>> {
        let is_mask = |text: &str| {
            let short = if text.len() == 4 { text.strip_prefix('0') } else { Some(text) };
            short.is_some_and(|text| {
                (1..=3).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'))
            })
        };
        match &node.kind {
            Kind::String(text) if text.is_empty() => Some(None),
            Kind::String(text) if is_mask(text) => {
                Some(u32::from_str_radix(text, 8).ok().map(|mask| format!("{mask:03o}")))
            }
            Kind::Number(_) => self.wrong_but(reading, node, "put it in quotes: it is octal then in every format"),
            _ => self.wrong(reading, node),
        }
    }

    pub(super) fn limits(&mut self, reading: Reading<'_>, node: &Node) -> Option<BTreeMap<String, Option<u64>>> {
        let Some(entries) = node.entries() else { return self.wrong(reading, node) };
        let mut limits = Some(BTreeMap::new());
        for entry in entries {
            let name = &entry.key.text;
            let value = match entry.value.as_str() {
                Some("unlimited") => Some(None),
                _ => quantity(&entry.value, parse_bytes).map(Some),
            };
            let known = LIMITS.contains(&name.as_str());
            if let Some(value) = value.filter(|_| known) {
                limits = limits.map(|mut limits| {
                    limits.insert(name.clone(), value);
                    limits
                });
                continue;
            }
            let message = if known {
                format!(
                    "`{name}` in `{}` must be a number, a size, or \"unlimited\", not {}",
                    reading.key,
                    found(&entry.value)
                )
            } else {
                format!("`{}` has no limit `{name}`: there are {}", reading.key, LIMITS.join(", "))
            };
            let near = closest(name.strip_prefix("RLIMIT_").unwrap_or(name), LIMITS).filter(|_| !known);
            let place = reading.mark.key(name, entry.value.span).location(self.file);
            let diagnostic = Diagnostic::error(Code::Value, message, place);
            self.push(match near {
                Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
                None => diagnostic,
            });
            limits = None;
        }
        limits
    }

    pub(super) fn uses(&mut self, reading: Reading<'_>, node: &Node) -> Option<Limits> {
        let Some(entries) = node.entries() else { return self.wrong(reading, node) };
        let (mut limits, mut fine) = (Limits::default(), true);
        for Entry { key, value } in entries {
            // What it must be, and whether it is that and too little.
            let (expects, least) = match key.text.as_str() {
                "memory" | "cpu" | "pids" if value.kind == Kind::Null => continue,
                "memory" => {
                    let bytes = quantity(value, parse_bytes);
                    limits.memory = bytes.filter(|bytes| *bytes >= MEMORY_MIN);
                    ("a number of bytes, or a size such as \"512M\"", bytes.map(|_| limits.memory.is_none()))
                }
                "cpu" => {
                    let percent = processors(value);
                    limits.cpu_percent = percent.filter(|percent| *percent > 0);
                    let expects = "a number of processors up to 999, or a share of one such as \"150%\"";
                    (expects, percent.map(|_| limits.cpu_percent.is_none()))
                }
                "pids" => {
                    let pids = whole_number(value).filter(|pids| (0..=PIDS_MAX).contains(pids));
                    limits.pids = pids.and_then(|pids| u32::try_from(pids).ok()).filter(|pids| *pids > 0);
                    ("a whole number of processes", pids.map(|_| limits.pids.is_none()))
                }
                _ => ("", None),
            };
            let name = &key.text;
            let (message, hint) = match (expects, least) {
                (_, Some(false)) => continue,
                ("", None) => {
                    let near = closest(name, USES).map(|near| format!("did you mean `{near}`?"));
                    (format!("`{}` has no limit `{}`: there are memory, cpu, pids", reading.key, shown(name)), near)
                }
                (_, None) => (format!("`{name}` in `{}` must be {expects}, not {}", reading.key, found(value)), None),
                (_, Some(true)) => {
                    let message = format!("`{name}` in `{}` is less than any program needs", reading.key);
                    let hint = "memory is 4M at least, cpu 1%, pids 1; for no limit leave it out";
                    (message, Some(hint.to_owned()))
                }
            };
            let place = reading.mark.key(name, value.span).location(self.file);
            let diagnostic = Diagnostic::error(Code::Value, message, place);
            self.push(match hint {
                Some(hint) => diagnostic.hint(hint),
                None => diagnostic,
            });
            fine = false;
        }
        fine.then_some(limits)
    }

    pub(super) fn exit_codes(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<i32>> {
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

    pub(super) fn count(&mut self, reading: Reading<'_>, node: &Node) -> Option<Count> {
        if node.as_str() == Some("max") {
            return Some(Count::Max);
        }
        if let Some(share) = node.as_str().and_then(|text| text.trim().strip_suffix('%')) {
            let percent = share.parse().ok().filter(|percent| (1..=INSTANCES_PERCENT_MAX).contains(percent));
            return percent.map(Count::Percent).or_else(|| self.wrong(reading, node));
        }
        let count = whole_number(node).and_then(|number| match number {
            0 => Some(Count::Max),
            1.. => u32::try_from(number).ok().filter(|count| *count <= INSTANCES_MAX).map(Count::Exactly),
            _ => u32::try_from(-number).ok().filter(|less| *less <= INSTANCES_MAX).map(Count::MaxLess),
        });
        match count {
            Some(count) => Some(count),
            None => self.wrong(reading, node),
        }
    }

    pub(super) fn mode(&mut self, reading: Reading<'_>, node: &Node) -> Option<ExecMode> {
        match node.as_str() {
            Some("fork" | "fork_mode") => Some(ExecMode::Fork),
            Some("cluster" | "cluster_mode") => Some(ExecMode::Cluster),
            _ => self.wrong(reading, node),
        }
    }

    pub(super) fn log_type(&mut self, reading: Reading<'_>, node: &Node) -> Option<bool> {
        match node.as_str() {
            Some("json") => Some(true),
            // PM2 knows `json` only, and takes everything else without a word: these stand in people's files.
            Some("raw" | "text" | "format" | "") => Some(false),
            _ => self.wrong(reading, node),
        }
    }

    pub(super) fn signal(&mut self, reading: Reading<'_>, node: &Node) -> Option<Signal> {
        let signal = match &node.kind {
            Kind::String(text) => text.parse().ok(),
            Kind::Number(number) => js_number(*number).parse().ok(),
            _ => None,
        };
        if signal.is_some() {
            return signal;
        }
        let near = node.as_str().and_then(|text| closest(text, Signal::names()));
        self.mismatch(reading, node, near.map(|name| format!("did you mean `{name}`?")))
    }

    pub(super) fn variables(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<Variable>> {
        let Some(entries) = node.entries() else {
            let hint =
                matches!(node.kind, Kind::String(_)).then(|| format!("write `{}: {{ NAME: \"value\" }}`", reading.key));
            return self.mismatch(reading, node, hint);
        };
        let mut variables: Vec<Variable> = Vec::with_capacity(entries.len());
        let mut known: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
        for entry in entries {
            let Some(variable) = self.variable(reading, entry) else { continue };
            let bytes = variable.name.len() + 1 + variable.value.len();
            if bytes > TEXT_BYTES_MAX {
                let message = format!(
                    "the variable `{}` has {bytes} bytes, a process can be given {TEXT_BYTES_MAX} in one",
                    variable.name
                );
                self.error(Code::Value, message, &reading.mark.key(&variable.name, entry.value.span));
                continue;
            }
            if let Some(&at) = known.get(entry.key.text.as_str()) {
                let message = format!("`{}` is written twice, the last one counts", variable.name);
                self.warning(Code::DuplicateOption, message, &reading.mark.key(&variable.name, entry.key.span));
                variables[at] = variable;
            } else {
                known.insert(&entry.key.text, variables.len());
                variables.push(variable);
            }
        }
        Some(variables)
    }

    /// Values become text as PM2 makes them: `null` is `null`, lists and objects are JSON.
    fn variable(&mut self, reading: Reading<'_>, entry: &Entry) -> Option<Variable> {
        let name = &entry.key.text;
        // Made where something is wrong: there are thousands of variables.
        let mark = || reading.mark.key(name, entry.value.span);
        if let Some(why) = variable_name_problem(name) {
            let at = Mark { span: entry.key.span, ..mark() };
            self.error(Code::Value, format!("a variable in `{}` has a name that {why}", reading.key), &at);
            return None;
        }
        let value = match &entry.value.kind {
            Kind::Null => "null".to_owned(),
            Kind::Bool(value) => value.to_string(),
            Kind::Number(number) => self.printed(*number, &format!("`{name}`"), mark),
            Kind::String(text) => text.clone(),
            Kind::Sequence(_) | Kind::Mapping(_) => to_json_text(&entry.value),
        };
        if value.contains('\0') {
            self.error(Code::Value, format!("the value of `{name}` contains a NUL character"), &mark());
            return None;
        }
        Some(Variable { name: name.clone(), value, span: entry.value.span })
    }

    /// A number as text. What a program computed from something that was not there is passed on, as PM2 does, and so
    /// is a long id that lost its last digits: somebody has to be told.
    fn printed(&mut self, number: f64, what: &str, mark: impl Fn() -> Mark) -> String {
        let text = js_number(number);
        if !number.is_finite() {
            self.warning(Code::Value, format!("{what} is the number `{text}`, and is passed on as this text"), &mark());
        } else if number.abs() > SAFE {
            let message = format!("{what} is too large for an exact number, and is passed on as `{text}`");
            let diagnostic = Diagnostic::warning(Code::Value, message, mark().location(self.file));
            self.push(diagnostic.hint("put it in quotes to keep every digit"));
        }
        text
    }

    pub(super) fn path_or_flag(&mut self, reading: Reading<'_>, node: &Node) -> Option<PathOrFlag> {
        match &node.kind {
            Kind::Bool(on) => Some(PathOrFlag::Flag(*on)),
            Kind::String(text) => self.named(reading, text).map(PathOrFlag::Path),
            _ => self.wrong(reading, node),
        }
    }

    pub(super) fn watch(&mut self, reading: Reading<'_>, node: &Node) -> Option<(bool, Vec<String>)> {
        match &node.kind {
            Kind::Bool(on) => Some((*on, Vec::new())),
            _ => self.names(reading, node).map(|paths| (!paths.is_empty(), paths)),
        }
    }

    /// Names that no watcher knows are carried along: PM2 hands them on, and they harm nobody.
    pub(super) fn watch_options(&mut self, reading: Reading<'_>, node: &Node) -> Option<serde_json::Value> {
        let Some(entries) = node.entries() else { return self.wrong(reading, node) };
        let mut fine = true;
        for Entry { key, value } in entries {
            let mark = reading.mark.key(&key.text, value.span);
            let Some(option) = WatchOption::find(&key.text) else {
                let message = format!("unknown option `{}` in `{}`", shown(&key.text), reading.key);
                let mark = reading.mark.key(&key.text, key.span.or(value.span));
                let diagnostic = Diagnostic::warning(Code::UnknownOption, message, mark.location(self.file));
                self.push(match closest(&key.text, WatchOption::names()) {
                    Some(known) => diagnostic.hint(format!("did you mean `{known}`?")),
                    None => diagnostic,
                });
                continue;
            };
            if !option.accepts(&to_json(value)) {
                fine = false;
                let (name, expects) = (&key.text, option.expects());
                let message = format!("`{name}` in `{}` must be {expects}, not {}", reading.key, found(value));
                self.error(Code::Value, message, &mark);
            }
        }
        fine.then(|| to_json(node))
    }

    pub(super) fn patterns(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<String>> {
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

    pub(super) fn code(&mut self, reading: Reading<'_>, node: &Node) -> Option<CodeOption> {
        match &node.kind {
            Kind::Bool(true) => Some(CodeOption::Script),
            Kind::Bool(false) => Some(CodeOption::Off),
            Kind::String(text) if text == "git" => Some(CodeOption::Git),
            Kind::String(text) if !text.is_empty() => {
                self.named(reading, text).map(|glob| CodeOption::Globs(vec![glob]))
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
}

/// As `useradd` takes it, and what directories of other systems have. Something that looks like a number is none.
fn is_account_name(name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "_-.$@\\+ ".contains(c);
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(part) && name.trim() == name
}

/// Why a variable cannot have this name.
pub(in crate::schema) fn variable_name_problem(name: &str) -> Option<&'static str> {
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
