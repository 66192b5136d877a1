use super::Span;

/// A value of a config file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub kind: Kind,
    /// None for values that a program computed: those are named by their path (`apps[0].env`).
    pub span: Option<Span>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Null,
    Bool(bool),
    /// Every format's numbers as JavaScript sees them.
    Number(f64),
    String(String),
    Sequence(Vec<Node>),
    /// In the order of the file. A key that stands twice is kept twice: the decoder decides what that means.
    Mapping(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: Key,
    pub value: Node,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub text: String,
    pub span: Option<Span>,
}

impl Node {
    #[must_use]
    pub fn new(kind: Kind, span: Option<Span>) -> Self {
        Self { kind, span }
    }

    /// The value of a key; the last one wins where a key stands twice, as in JavaScript.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?.iter().rev().find(|entry| entry.key.text == key).map(|entry| &entry.value)
    }

    #[must_use]
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Mapping(entries) => Some(entries),
            _ => None,
        }
    }

    #[must_use]
    pub fn items(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// Visits this node and all below it.
    pub fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Node)) {
        visit(self);
        match &self.kind {
            Kind::Sequence(items) => items.iter().for_each(|item| item.each(visit)),
            Kind::Mapping(entries) => entries.iter().for_each(|entry| entry.value.each(visit)),
            _ => {}
        }
    }

    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }
}

impl Kind {
    /// What a message calls it: "a number", "a list".
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "an object",
        }
    }
}
