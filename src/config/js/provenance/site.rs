//! What is known of a place in a program before it runs.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use boa_engine::JsString;
use serde::{Deserialize, Serialize};

use super::text::Bytes;

/// A number that stands in the rewritten text for one [`Site`].
pub(in crate::config::js) type SiteId = u32;

/// Bytes of one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::config::js) struct Spot {
    /// An index into the files of the run.
    pub(in crate::config::js) file: u32,
    pub(in crate::config::js) bytes: Bytes,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::config::js) struct Place {
    pub(in crate::config::js) spot: Spot,
    /// These bytes are not the value: they are the nearest ones to what computed it.
    pub(in crate::config::js) computed: bool,
}

impl Place {
    pub(super) fn written(spot: Spot) -> Self {
        Self { spot, computed: false }
    }

    pub(in crate::config::js) fn computed(spot: Spot) -> Self {
        Self { spot, computed: true }
    }
}

/// What an expression is before it runs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Worth {
    Scalar(Scalar),
    /// An object or array literal.
    Literal(SiteId),
    Computed,
    /// One of these, if its value says so; computed otherwise.
    OneOf(Rc<[(Spot, Scalar)]>),
    /// A property of the object that was told by this number.
    Member {
        slot: u32,
        key: String,
    },
}

impl Worth {
    /// Only its value says whether it is still what the expression made.
    pub(super) fn is_computed(&self) -> bool {
        matches!(self, Self::Computed | Self::OneOf(_) | Self::Member { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::config::js) enum Scalar {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
}

/// An expression and its bytes.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) spot: Spot,
    pub(super) worth: Worth,
}

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Named {
        key: String,
        at: Spot,
        value: Value,
    },
    /// `[expression]: value`
    Unnamed {
        at: Spot,
        value: Value,
    },
    /// `...value`, the spread of this number.
    Spread {
        slot: u32,
        value: Spot,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Item {
    Value(Value),
    Hole,
    Spread { slot: u32, value: Spot },
}

/// An object literal.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) whole: Spot,
    pub(super) entries: Vec<Entry>,
    /// The last entry of each name, and which of the computed ones it is.
    pub(super) names: HashMap<String, (usize, Option<usize>)>,
    /// The entries whose keys are not known before they are evaluated.
    pub(super) open: Vec<usize>,
    /// How many objects are told of: what it spreads, and whose properties it takes.
    pub(super) slots: u32,
}

impl Object {
    pub(super) fn new(whole: Spot, entries: Vec<Entry>) -> Self {
        let mut names = HashMap::new();
        let mut open = Vec::new();
        let mut computed = 0;
        let mut slots = 0;
        for (index, entry) in entries.iter().enumerate() {
            match entry {
                Entry::Spread { slot, .. }
                | Entry::Named { value: Value { worth: Worth::Member { slot, .. }, .. }, .. } => slots = slot + 1,
                _ => {}
            }
            match entry {
                Entry::Named { key, value, .. } => {
                    let is_computed = value.worth.is_computed();
                    names.insert(key.clone(), (index, is_computed.then_some(computed)));
                    computed += usize::from(is_computed);
                }
                Entry::Unnamed { .. } | Entry::Spread { .. } => open.push(index),
            }
        }
        Self { whole, entries, names, open, slots }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Site {
    Object(Object),
    Array {
        whole: Spot,
        items: Vec<Item>,
    },
    /// What a literal spreads.
    Spread {
        literal: SiteId,
        slot: u32,
    },
    /// The object that `object.key = value` writes to. The key is None where it is computed.
    Write {
        key: Option<String>,
        at: Spot,
        value: Value,
    },
    /// The computed key of a write.
    Key {
        write: SiteId,
    },
    /// The object whose property is read; the property's name, and its bytes.
    Read {
        name: String,
        at: Spot,
    },
    /// The object whose property is read, by the mark of its computed name.
    ReadOf {
        key: SiteId,
    },
    /// A computed name that is read, and its bytes.
    ReadKey {
        at: Spot,
    },
    /// What is taken apart: its first property, where that is taken, and its text.
    Unpack {
        first: Option<String>,
        place: Spot,
        at: Spot,
    },
    /// What stands where a pattern inside of another one finds nothing: what is said then, and where.
    Missing {
        said: String,
        at: Spot,
    },
    /// What `for (... of x)` goes through.
    Iterate {
        at: Spot,
    },
    /// What `for (... in x)` goes through.
    Keys,
    /// A name that holds one of its keys, by the [`Site::Keys`].
    KeyOf(SiteId),
    /// A text in quotes, and the string that stands for it.
    Text {
        at: Spot,
        own: OnceCell<JsString>,
    },
    /// What a chain of properties and calls begins with.
    Chain(Chain),
    /// A chain that has come to its end.
    Done {
        whole: Spot,
    },
    /// What is about to happen once this is evaluated.
    Operation {
        of: Operation,
        at: Spot,
    },
    /// A literal that a value in question may come from.
    Doubted {
        at: Spot,
        scalar: Scalar,
    },
    /// What decides which way a program takes.
    Choice,
    /// What a `catch` has caught.
    Caught,
    /// A name that the file does not declare.
    Free,
}

impl Site {
    /// Where it is about to be used, or was made.
    pub(super) fn place(&self) -> Option<Spot> {
        Some(match self {
            Self::Object(Object { whole, .. }) | Self::Array { whole, .. } | Self::Done { whole } => *whole,
            Self::Chain(chain) => chain.whole,
            Self::Write { at, .. }
            | Self::Read { at, .. }
            | Self::ReadKey { at }
            | Self::Unpack { at, .. }
            | Self::Missing { at, .. }
            | Self::Iterate { at }
            | Self::Text { at, .. }
            | Self::Operation { at, .. }
            | Self::Doubted { at, .. } => *at,
            _ => return None,
        })
    }
}

/// `a?.b.c()`, and a.b`text`.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// Each with whether it is left out where there is nothing.
    pub(super) steps: Vec<(bool, Step)>,
    pub(super) whole: Spot,
    /// It begins with `process.env`.
    pub(super) variables: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Read {
        name: String,
        at: Spot,
    },
    Call {
        callee: String,
        at: Spot,
        /// Its arguments do nothing.
        plain: bool,
    },
    /// A property with a computed name, by its mark.
    Key(SiteId),
    Unknown,
}

/// What can fail without the engine saying where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// The key, where it is written down.
    In(Option<String>),
    InstanceOf,
    Extends,
    Arithmetic,
    /// A value in a template.
    Text,
    Throw,
}

/// A module's `export const name = value`.
#[derive(Clone, Debug)]
pub(super) struct Export {
    pub(super) name: String,
    pub(super) at: Spot,
    pub(super) value: Option<Value>,
}
