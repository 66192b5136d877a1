//! Options whose value is an object, by their parts.

use std::collections::BTreeMap;

use super::number::{quantity, whole_number};
use super::{Decoder, Reading, found};
use crate::base::{format_millis, parse_millis};
use crate::diag::{Code, Diagnostic};
use crate::document::{Entry, Kind, Node};
use crate::schema::parts::{HEALTH_CHECK, NEED, PROBES, Part, PartKind, meant, part};
use crate::schema::resolve::shown;
use crate::spec::{Condition, Distribution, HealthAction, HealthCheck, Need, OnExit, Overlap, Probe};

/// Shorter ones would be nothing but work.
const INTERVAL_MS_MIN: u64 = 100;
/// Nobody could answer in less.
const TIMEOUT_MS_MIN: u64 = 10;

/// Nothing is up in no time.
const STARTUP_MS_MIN: u64 = 1_000;

/// What is read of an object's keys.
#[derive(Default)]
struct Read {
    numbers: BTreeMap<&'static str, u64>,
    texts: BTreeMap<&'static str, String>,
    commands: BTreeMap<&'static str, Vec<String>>,
}

impl Decoder<'_> {
    pub(super) fn needs(&mut self, reading: Reading<'_>, node: &Node) -> Option<Vec<(String, Need)>> {
        let Some(entries) = node.entries() else {
            let names = self.names(reading, node)?;
            return Some(names.into_iter().map(|name| (name, Need::default())).collect());
        };
        let mut needs = Some(Vec::with_capacity(entries.len()));
        for Entry { key, value } in entries {
            let mark = reading.mark.key(&key.text, value.span);
            let reading = Reading { key: reading.key, mark: &mark, ..reading };
            let need = if key.text.trim().is_empty() || key.text.contains('\0') {
                self.error(Code::Value, format!("a key of `{}` must be the name of an app", reading.key), &mark);
                None
            } else {
                self.need(reading, value)
            };
            match need {
                Some(need) => needs.iter_mut().for_each(|needs| needs.push((key.text.clone(), need))),
                None => needs = None,
            }
        }
        needs
    }

    fn need(&mut self, reading: Reading<'_>, node: &Node) -> Option<Need> {
        if let Some(condition) = node.as_str().and_then(Condition::named) {
            return Some(Need { condition, ..Need::default() });
        }
        if node.entries().is_none() {
            let expects =
                "\"started\", \"ready\", \"healthy\", \"completed\", or an object with `condition` and `on_exit`";
            let message = format!("what `{}` needs of an app must be {expects}, not {}", reading.key, found(node));
            self.error(Code::Value, message, reading.mark);
            return None;
        }
        let Read { texts, .. } = self.parts(reading, node, NEED)?;
        Some(Need {
            condition: texts.get("condition").and_then(|word| Condition::named(word)).unwrap_or_default(),
            on_exit: texts.get("on_exit").and_then(|word| OnExit::named(word)).unwrap_or_default(),
        })
    }

    pub(super) fn overlap(&mut self, reading: Reading<'_>, node: &Node) -> Option<Overlap> {
        match node.as_str().and_then(Overlap::named) {
            Some(overlap) => Some(overlap),
            None => self.wrong(reading, node),
        }
    }

    pub(super) fn distribution(&mut self, reading: Reading<'_>, node: &Node) -> Option<Distribution> {
        match node.as_str().and_then(Distribution::named) {
            Some(distribution) => Some(distribution),
            None => self.wrong(reading, node),
        }
    }

    pub(super) fn health_check(&mut self, reading: Reading<'_>, node: &Node) -> Option<HealthCheck> {
        if node.entries().is_none() {
            return self.wrong(reading, node);
        }
        let Read { numbers, mut texts, mut commands } = self.parts(reading, node, HEALTH_CHECK)?;
        let probes = [
            texts.remove("http").map(Probe::Http),
            texts.remove("tcp").map(Probe::Tcp),
            commands.remove("exec").map(Probe::Exec),
        ];
        let mut probes = probes.into_iter().flatten();
        let (Some(probe), None) = (probes.next(), probes.next()) else {
            let [http, tcp, exec] = PROBES;
            let message = format!("`{}` must have exactly one of `{http}`, `{tcp}` and `{exec}`", reading.key);
            self.error(Code::Value, message, reading.mark);
            return None;
        };
        let mut check = HealthCheck::new(probe);
        let number = |name: &str, usual: u64| numbers.get(name).copied().unwrap_or(usual);
        let count = |name: &str, usual: u32| u32::try_from(number(name, usual.into())).unwrap_or(usual);
        let least = [
            ("interval", INTERVAL_MS_MIN, &mut check.interval_ms),
            ("timeout", TIMEOUT_MS_MIN, &mut check.timeout_ms),
            ("startup", STARTUP_MS_MIN, &mut check.startup_ms),
        ];
        let mut raised = Vec::new();
        for (name, least, value) in least {
            *value = number(name, *value);
            if *value < least {
                raised.push((name, *value, least));
                *value = least;
            }
        }
        check.unhealthy_threshold = count("unhealthy_threshold", check.unhealthy_threshold);
        check.healthy_threshold = count("healthy_threshold", check.healthy_threshold);
        check.action = texts.get("action").and_then(|word| HealthAction::named(word)).unwrap_or_default();
        for (name, written, least) in raised {
            let (key, least) = (reading.key, format_millis(least));
            let message =
                format!("`{name}` of `{key}` is {}: {least} is the least, and what holds", format_millis(written));
            self.push(Diagnostic::warning(Code::Value, message, reading.mark.location(self.file)));
        }
        Some(check)
    }

    /// Every key by its row; all that is wrong is told.
    fn parts(&mut self, reading: Reading<'_>, node: &Node, parts: &'static [Part]) -> Option<Read> {
        let mut read = Read::default();
        let mut fine = true;
        for Entry { key, value } in node.entries().unwrap_or_default() {
            let mark = reading.mark.key(&key.text, value.span);
            let Some(part) = part(parts, &key.text) else {
                let message = format!("unknown option `{}` in `{}`", shown(&key.text), reading.key);
                let mark = reading.mark.key(&key.text, key.span.or(value.span));
                let diagnostic = Diagnostic::warning(Code::UnknownOption, message, mark.location(self.file));
                let names: Vec<&str> = parts.iter().map(|part| part.name).collect();
                self.push(match meant(parts, &key.text) {
                    Some(known) => diagnostic.hint(format!("did you mean `{known}`?")),
                    None => diagnostic.hint(format!("there are: {}", names.join(", "))),
                });
                continue;
            };
            if !read.take(part, value) {
                fine = false;
                let (name, expects) = (part.name, part.kind.expects());
                let message = format!("`{name}` in `{}` must be {expects}, not {}", reading.key, found(value));
                self.error(Code::Value, message, &mark);
            }
        }
        fine.then_some(read)
    }
}

impl Read {
    /// Whether the value is what the part takes.
    fn take(&mut self, part: &Part, value: &Node) -> bool {
        match part.kind {
            PartKind::Millis => match quantity(value, parse_millis).filter(|ms| *ms <= super::MILLIS_MAX) {
                Some(ms) => _ = self.numbers.insert(part.name, ms),
                None => return false,
            },
            PartKind::Count { min, max } => {
                let number = whole_number(value).and_then(|number| u32::try_from(number).ok());
                match number.filter(|number| (min..=max).contains(number)) {
                    Some(number) => _ = self.numbers.insert(part.name, number.into()),
                    None => return false,
                }
            }
            PartKind::Word(words) => match value.as_str().filter(|word| words.iter().any(|(known, _)| known == word)) {
                Some(word) => _ = self.texts.insert(part.name, word.to_owned()),
                None => return false,
            },
            PartKind::Text { fits, .. } => match value.as_str().filter(|text| fits(text)) {
                Some(text) => _ = self.texts.insert(part.name, text.to_owned()),
                None => return false,
            },
            PartKind::Command => match command(value) {
                Some(words) => _ = self.commands.insert(part.name, words),
                None => return false,
            },
        }
        true
    }
}

/// A command line is the shell's.
fn command(value: &Node) -> Option<Vec<String>> {
    let is_fine = |text: &&str| !text.contains('\0');
    match &value.kind {
        Kind::String(line) if !line.trim().is_empty() && is_fine(&line.as_str()) => {
            Some(["/bin/sh", "-c", line.as_str()].map(str::to_owned).into())
        }
        Kind::Sequence(items) => {
            let words: Option<Vec<String>> =
                items.iter().map(|item| item.as_str().filter(is_fine).map(str::to_owned)).collect();
            words.filter(|words| words.first().is_some_and(|program| !program.trim().is_empty()))
        }
        _ => None,
    }
}
