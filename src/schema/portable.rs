//! What a document is in another format: the same meaning, in values that this format has.

use std::collections::{HashMap, HashSet};

use super::options;
use super::value::Value;
use crate::document::{Entry, Format, Key, Kind, Node, javascript_order, js_number, to_json_text};

/// A value that is not written as it was, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub path: String,
    pub why: &'static str,
    /// Whether what is written means the same.
    pub meant: bool,
}

/// Makes a document one that a format can say. It resolves to the same apps, but for what is lost; what is not told
/// is the same JSON.
#[must_use]
pub fn portable(document: &Node, format: Format) -> (Node, Vec<Lost>) {
    let mut fitting = Fitting { toml: format == Format::Toml, lost: Vec::new() };
    let node = fitting.document(document, "");
    let node = if matches!(format, Format::CommonJs | Format::Module) { in_javascript_order(&node) } else { node };
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
                    "name" if this.toml && entry.value.kind == Kind::Null => this.unset(path),
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
        let named = entries.iter().rev().find(|entry| entry.key.text == "name");
        let named = named.is_some_and(|entry| entry.value.kind != Kind::Null);
        let read: Vec<Entry> = entries
            .iter()
            .filter(|entry| READ.contains(&entry.key.text.as_str()))
            // The last one counts, and as null it is none.
            .filter(|entry| entry.key.text != "name" || named)
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

    /// Options have no order; one that is null is not set, whatever stands after it.
    fn app(&mut self, node: &Node, path: &str) -> Node {
        let Some(entries) = node.entries() else {
            return self.other(node, path).unwrap_or_else(|| mapping(Vec::new()));
        };
        let set = entries.iter().filter(|entry| entry.value.kind != Kind::Null);
        let set: HashSet<&str> = set.map(|entry| entry.key.text.as_str()).collect();
        let counts = |entry: &&Entry| entry.value.kind != Kind::Null || !set.contains(entry.key.text.as_str());
        let counting: Vec<Entry> = entries.iter().filter(counts).cloned().collect();
        self.entries(&counting, path, true, |this, entry, path| {
            if entry.value.kind == Kind::Null && this.toml {
                return this.unset(path);
            }
            match options::find(&entry.key.text).map(|(row, _)| row.value) {
                Some(Value::Variables(_) | Value::Overlay(_)) => this.variables(&entry.value, path),
                Some(Value::Patterns(_)) => this.patterns(&entry.value, path),
                Some(Value::Words(_)) => {
                    let words = words(&entry.value);
                    if entry.value.items().is_some_and(|items| items.iter().any(is_no_number)) {
                        this.otherwise(path, "as the text that the argument has in any case");
                    }
                    this.other(&words, path)
                }
                _ => this.other(&entry.value, path),
            }
        })
    }

    /// Variables become text in the end: what a format cannot say is written as this text.
    fn variables(&mut self, node: &Node, path: &str) -> Option<Node> {
        let Some(entries) = node.entries() else { return self.other(node, path) };
        let variables = self.entries(entries, path, true, |this, entry, path| {
            let text = match &entry.value.kind {
                Kind::Number(number) if !number.is_finite() => js_number(*number),
                Kind::Null if this.toml => "null".to_owned(),
                Kind::Sequence(_) | Kind::Mapping(_) if this.toml && holds_null(&entry.value) => {
                    to_json_text(&entry.value)
                }
                _ => return Some(plain(&entry.value)),
            };
            this.otherwise(path, "as the text that the variable has in any case");
            Some(Node::new(Kind::String(text), None))
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
        self.lost.push(Lost { path: path.to_owned(), why, meant: false });
    }

    fn otherwise(&mut self, path: &str, how: &'static str) {
        self.lost.push(Lost { path: path.to_owned(), why: how, meant: true });
    }

    fn unset(&mut self, path: &str) -> Option<Node> {
        self.otherwise(path, "not at all: TOML has no `null`, which means that it is not set");
        None
    }
}

/// Keys that are whole numbers go first there, wherever they stand. What JSON is made of a document has this order,
/// too.
fn in_javascript_order(node: &Node) -> Node {
    let kind = match &node.kind {
        Kind::Sequence(items) => Kind::Sequence(items.iter().map(in_javascript_order).collect()),
        Kind::Mapping(entries) => {
            let ordered = javascript_order(entries).into_iter();
            Kind::Mapping(ordered.map(|found| entry(&found.key.text, in_javascript_order(&found.value))).collect())
        }
        kind => kind.clone(),
    };
    Node::new(kind, None)
}

fn is_no_number(node: &Node) -> bool {
    matches!(node.kind, Kind::Number(number) if !number.is_finite())
}

/// Arguments that are numbers are text in the end.
fn words(node: &Node) -> Node {
    let word = |item: &Node| match item.kind {
        Kind::Number(number) if is_no_number(item) => Node::new(Kind::String(js_number(number)), None),
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
