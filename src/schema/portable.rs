//! What a document is in another format: the same meaning, in values that this format has.

use std::collections::HashMap;

use super::options;
use super::value::Value;
use crate::document::{Entry, Format, Key, Kind, Node, js_number, to_json_text};

/// A value that could not be kept, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub path: String,
    pub why: &'static str,
}

/// Makes a document one that a format can say. It resolves to the same apps, but for what is told.
#[must_use]
pub fn portable(document: &Node, format: Format) -> (Node, Vec<Lost>) {
    let mut fitting = Fitting { toml: format == Format::Toml, lost: Vec::new() };
    let node = fitting.document(document, "");
    // TOML has no list at the top; there it is what `apps` holds.
    let node = match node.kind {
        Kind::Sequence(_) if fitting.toml => mapping(vec![entry("apps", node)]),
        _ => node,
    };
    (node, fitting.lost)
}

struct Fitting {
    toml: bool,
    lost: Vec<Lost>,
}

impl Fitting {
    fn document(&mut self, node: &Node, path: &str) -> Node {
        match &node.kind {
            Kind::Sequence(_) => self.apps(node, path),
            Kind::Mapping(entries) if node.get("apps").is_some() => {
                let fit = |this: &mut Self, entry: &Entry, path: &str| match entry.key.text.as_str() {
                    "apps" => Some(this.apps(&entry.value, path)),
                    "name" if entry.value.kind == Kind::Null => None,
                    _ => this.other(&entry.value, path),
                };
                self.entries(entries, path, true, fit)
            }
            Kind::Mapping(entries) if node.get("pm2").is_some() && path.is_empty() => self.package(entries),
            _ => self.app(node, path),
        }
    }

    /// What a package.json says to pmrun: its `pm2`, with the name of the package. The rest is npm's.
    fn package(&mut self, entries: &[Entry]) -> Node {
        const READ: [&str; 3] = ["name", "deploy", "pm2"];
        let read: Vec<Entry> = entries
            .iter()
            .filter(|entry| READ.contains(&entry.key.text.as_str()))
            .filter(|entry| entry.key.text != "name" || entry.value.kind != Kind::Null)
            .cloned()
            .collect();
        let fitted = self.entries(&read, "", false, |this, entry, path| match entry.key.text.as_str() {
            "pm2" => Some(this.document(&entry.value, path)),
            _ => this.other(&entry.value, path),
        });
        let Kind::Mapping(beside) = fitted.kind else { return fitted };
        let (pm2, beside): (Vec<Entry>, Vec<Entry>) = beside.into_iter().partition(|entry| entry.key.text == "pm2");
        let inner = pm2.into_iter().next().map_or_else(|| mapping(Vec::new()), |entry| entry.value);
        if beside.is_empty() {
            return inner;
        }
        let inner = match inner.kind {
            Kind::Mapping(entries) if entries.iter().any(|entry| entry.key.text == "apps") => entries,
            // A bare app: `deploy` and `$schema` are the file's there.
            Kind::Mapping(entries) => {
                let is_files = |entry: &Entry| matches!(entry.key.text.as_str(), "deploy" | "$schema");
                let (mut files, app): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(is_files);
                files.push(entry("apps", sequence(vec![mapping(app)])));
                files
            }
            kind => vec![entry("apps", Node::new(kind, None))],
        };
        let missing = |outer: &Entry| inner.iter().all(|entry| entry.key.text != outer.key.text);
        let mut whole: Vec<Entry> = beside.into_iter().filter(missing).collect();
        whole.extend(inner);
        self.sorted(whole)
    }

    fn apps(&mut self, node: &Node, path: &str) -> Node {
        match &node.kind {
            Kind::Sequence(items) => {
                let app = |(index, item): (usize, &Node)| self.app(item, &format!("{path}[{index}]"));
                sequence(items.iter().enumerate().map(app).collect())
            }
            _ => self.app(node, path),
        }
    }

    /// Options have no order; one that is null is not set.
    fn app(&mut self, node: &Node, path: &str) -> Node {
        let Some(entries) = node.entries() else {
            return self.other(node, path).unwrap_or_else(|| mapping(Vec::new()));
        };
        let set: Vec<Entry> = entries.iter().filter(|entry| entry.value.kind != Kind::Null).cloned().collect();
        self.entries(&set, path, true, |this, entry, path| {
            match options::find(&entry.key.text).map(|(row, _)| row.value) {
                Some(Value::Variables(_) | Value::Overlay(_)) => this.variables(&entry.value, path),
                Some(Value::Patterns(_)) => this.patterns(&entry.value, path),
                Some(Value::Words(_)) => this.other(&words(&entry.value), path),
                _ => this.other(&entry.value, path),
            }
        })
    }

    /// Variables become text in the end: what a format cannot say is written as this text.
    fn variables(&mut self, node: &Node, path: &str) -> Option<Node> {
        let Some(entries) = node.entries() else { return self.other(node, path) };
        let toml = self.toml;
        let variables = self.entries(entries, path, true, |_, entry, _| {
            let text = match &entry.value.kind {
                Kind::Number(number) if !number.is_finite() => Some(js_number(*number)),
                Kind::Null if toml => Some("null".to_owned()),
                Kind::Sequence(_) | Kind::Mapping(_) if toml && holds_null(&entry.value) => {
                    Some(to_json_text(&entry.value))
                }
                _ => None,
            };
            Some(text.map_or_else(|| plain(&entry.value), |text| Node::new(Kind::String(text), None)))
        });
        Some(variables)
    }

    /// A regular expression has become an empty object, which is passed over.
    fn patterns(&mut self, node: &Node, path: &str) -> Option<Node> {
        let Some(items) = node.items() else { return self.other(node, path) };
        let kept: Vec<Node> =
            items.iter().filter(|item| !item.entries().is_some_and(<[Entry]>::is_empty)).cloned().collect();
        if kept.len() < items.len() {
            self.lost(path, "a regular expression is no data; it was passed over before, too");
        }
        self.other(&sequence(kept), path)
    }

    /// Whatever else there is, as JSON has it. None where a TOML file cannot have the key.
    fn other(&mut self, node: &Node, path: &str) -> Option<Node> {
        Some(match &node.kind {
            Kind::Null if self.toml => {
                self.lost(path, "TOML has no `null`");
                return None;
            }
            Kind::Number(number) if !number.is_finite() => {
                self.lost(path, "it is no number that JSON has");
                if self.toml {
                    return None;
                }
                Node::new(Kind::Null, None)
            }
            Kind::Sequence(items) => {
                let items = items.iter().enumerate();
                sequence(items.filter_map(|(index, item)| self.other(item, &format!("{path}[{index}]"))).collect())
            }
            Kind::Mapping(entries) => {
                self.entries(entries, path, false, |this, entry, path| this.other(&entry.value, path))
            }
            _ => plain(node),
        })
    }

    /// Each key once, with its last value.
    fn entries(
        &mut self,
        entries: &[Entry],
        path: &str,
        unordered: bool,
        mut fit: impl FnMut(&mut Self, &Entry, &str) -> Option<Node>,
    ) -> Node {
        let mut once: Vec<&Entry> = Vec::with_capacity(entries.len());
        let mut at_key = HashMap::with_capacity(entries.len());
        for entry in entries {
            let at = *at_key.entry(entry.key.text.as_str()).or_insert(once.len());
            if at < once.len() {
                once[at] = entry;
                self.lost(&below(path, &entry.key.text), "it is written twice, and the last one counts");
            } else {
                once.push(entry);
            }
        }
        let mut kept: Vec<Entry> = Vec::with_capacity(once.len());
        for found in once {
            if let Some(value) = fit(self, found, &below(path, &found.key.text)) {
                kept.push(entry(&found.key.text, value));
            }
        }
        if unordered { self.sorted(kept) } else { mapping(kept) }
    }

    /// For TOML tables come last: they are sections then.
    fn sorted(&self, mut entries: Vec<Entry>) -> Node {
        if self.toml {
            entries.sort_by_key(|entry| is_table(&entry.value));
        }
        mapping(entries)
    }

    fn lost(&mut self, path: &str, why: &'static str) {
        self.lost.push(Lost { path: path.to_owned(), why });
    }
}

/// Arguments that are numbers are text in the end.
fn words(node: &Node) -> Node {
    let word = |item: &Node| match item.kind {
        Kind::Number(number) if !number.is_finite() => Node::new(Kind::String(js_number(number)), None),
        _ => item.clone(),
    };
    match node.items() {
        Some(items) => sequence(items.iter().map(word).collect()),
        None => node.clone(),
    }
}

/// Without places, each key once, and the zero that every format has; what is no number is null, as in JSON.
fn plain(node: &Node) -> Node {
    match &node.kind {
        Kind::Number(number) if *number == 0.0 => Node::new(Kind::Number(0.0), None),
        Kind::Number(number) if !number.is_finite() => Node::new(Kind::Null, None),
        Kind::Sequence(items) => sequence(items.iter().map(plain).collect()),
        Kind::Mapping(entries) => {
            let mut once: Vec<Entry> = Vec::with_capacity(entries.len());
            let mut at_key = HashMap::with_capacity(entries.len());
            for found in entries {
                let at = *at_key.entry(found.key.text.as_str()).or_insert(once.len());
                match once.get_mut(at) {
                    Some(earlier) => earlier.value = plain(&found.value),
                    None => once.push(entry(&found.key.text, plain(&found.value))),
                }
            }
            mapping(once)
        }
        kind => Node::new(kind.clone(), None),
    }
}

fn holds_null(node: &Node) -> bool {
    match &node.kind {
        Kind::Null => true,
        Kind::Number(number) => !number.is_finite(),
        Kind::Sequence(items) => items.iter().any(holds_null),
        Kind::Mapping(entries) => entries.iter().any(|entry| holds_null(&entry.value)),
        _ => false,
    }
}

fn is_table(node: &Node) -> bool {
    node.entries().is_some_and(|entries| !entries.is_empty())
        || node.items().is_some_and(|items| {
            !items.is_empty() && items.iter().all(|item| item.entries().is_some_and(|entries| !entries.is_empty()))
        })
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn entry(key: &str, value: Node) -> Entry {
    Entry { key: Key { text: key.to_owned(), span: None }, value }
}

fn mapping(entries: Vec<Entry>) -> Node {
    Node::new(Kind::Mapping(entries), None)
}

fn sequence(items: Vec<Node>) -> Node {
    Node::new(Kind::Sequence(items), None)
}
