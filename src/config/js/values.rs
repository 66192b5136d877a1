//! What a config exports, as `JSON.stringify` would walk it, except that NaN and infinities stay what they are (so that
//! the decoder can name them) and that a cycle or a BigInt is named by its path.

use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use boa_engine::object::JsObject;
use boa_engine::object::builtins::JsFunction;
use boa_engine::{Context, JsBigInt, JsError, JsString, JsValue, js_string};
use serde::Deserialize;

use super::provenance::{Found, Place, Trace};
use crate::document::{Entry, Key, Kind, Node, SourceId, Span};

/// Deeper than any option goes.
const DEPTH_MAX: usize = 200;
const NODES_MAX: usize = 1_000_000;
const BYTES_MAX: usize = 48 << 20;

/// What a config exports, and the files that its spans are in, by `SourceId`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exported {
    pub(super) node: Node,
    pub(super) files: Vec<Origin>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Origin {
    /// Absolute.
    pub(super) path: PathBuf,
    pub(super) text: Arc<str>,
    /// Spans into it are where values were computed.
    pub(super) computed: bool,
    /// And only by their words.
    pub(super) guessed: bool,
}

/// Why a value cannot be taken over.
pub(super) enum Unfit {
    /// A getter, a `toJSON` or a proxy threw.
    Threw(JsError),
    Value(String, Option<Place>),
    TooMuch(String),
    TooDeep(String),
}

impl From<JsError> for Unfit {
    fn from(error: JsError) -> Self {
        Self::Threw(error)
    }
}

pub(super) struct Walker {
    keys: JsFunction,
    trace: Rc<Trace>,
    /// Files by their number in the trace and by whether what they hold was computed.
    sources: HashMap<(u32, bool), u32>,
    files: Vec<Origin>,
    above: Vec<JsObject>,
    path: Vec<Step>,
    nodes: usize,
    bytes: usize,
}

/// A step of a path into a value.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Step {
    Index(u64),
    Key(String),
}

impl Walker {
    /// `keys` is the genuine `Object.keys`.
    pub(super) fn new(keys: JsFunction, trace: Rc<Trace>) -> Self {
        Self {
            keys,
            trace,
            sources: HashMap::new(),
            files: Vec::new(),
            above: Vec::new(),
            path: Vec::new(),
            nodes: 0,
            bytes: 0,
        }
    }

    /// The whole value, which comes from `place` as far as it does not say itself; what JSON cannot hold at the top
    /// (undefined, a function) is null.
    pub(super) fn walk(
        mut self,
        value: &JsValue,
        place: Option<Place>,
        context: &mut Context,
    ) -> Result<Exported, Unfit> {
        let origin = match value.as_object() {
            Some(object) => self.trace.origin(&object, context)?,
            None => None,
        };
        let place = origin.or(place);
        let node = self.value(value, "", place, context)?;
        let node = match node {
            Some(node) => node,
            None => Node::new(Kind::Null, self.span(place)),
        };
        Ok(Exported { node, files: self.files })
    }

    fn span(&mut self, place: Option<Place>) -> Option<Span> {
        let place = place?;
        let key = (place.spot.file, place.computed);
        let source = if let Some(known) = self.sources.get(&key) {
            *known
        } else {
            let (path, text) = self.trace.file(place.spot.file)?;
            let known = u32::try_from(self.files.len()).ok()?;
            self.files.push(Origin { path, text: text.as_ref().into(), computed: place.computed, guessed: false });
            self.sources.insert(key, known);
            known
        };
        Some(Span { source: SourceId(source), start: place.spot.bytes.start, end: place.spot.bytes.end })
    }

    /// Where an entry comes from; the place of what holds it, where that is not known.
    fn find(
        &self,
        object: &JsObject,
        key: &str,
        value: &JsValue,
        above: Option<Place>,
        context: &mut Context,
    ) -> Result<Found, Unfit> {
        let found = self.trace.find(object, key, value, context)?;
        let above = above.map(|place| Place::computed(place.spot));
        Ok(Found { key: found.key.or(above), value: found.value.or(above) })
    }

    /// None for what `JSON.stringify` leaves out.
    fn value(
        &mut self,
        value: &JsValue,
        key: &str,
        place: Option<Place>,
        context: &mut Context,
    ) -> Result<Option<Node>, Unfit> {
        self.count(1, 0)?;
        let value = Self::plain(value, key, context)?;
        let kind = if value.is_null() {
            Kind::Null
        } else if let Some(flag) = value.as_boolean() {
            Kind::Bool(flag)
        } else if let Some(number) = value.as_number() {
            Kind::Number(number)
        } else if let Some(text) = value.as_string() {
            let text = text.to_std_string_lossy();
            self.count(0, text.len())?;
            Kind::String(text)
        } else if value.is_bigint() {
            return Err(Unfit::Value(a_bigint(&self.path), place));
        } else {
            match value.as_object() {
                Some(object) if !object.is_callable() => self.object(&object, place, context)?,
                _ => return Ok(None),
            }
        };
        let span = self.span(place);
        Ok(Some(Node::new(kind, span)))
    }

    /// The value after its own `toJSON`, dates become ISO text, and out of its box: `new String("x")`.
    fn plain(value: &JsValue, key: &str, context: &mut Context) -> Result<JsValue, JsError> {
        let Some(object) = value.as_object() else { return Ok(value.clone()) };
        let method = object.get(js_string!("toJSON"), context)?.as_callable();
        let value = match method {
            Some(method) => method.call(value, &[JsString::from(key).into()], context)?,
            None => value.clone(),
        };
        let Some(object) = value.as_object() else { return Ok(value) };
        if object.is::<f64>() {
            return Ok(value.to_number(context)?.into());
        }
        if object.is::<JsString>() {
            return Ok(value.to_string(context)?.into());
        }
        let boolean = object.downcast_ref::<bool>().map(|held| JsValue::from(*held));
        let bigint = object.downcast_ref::<JsBigInt>().map(|held| JsValue::from(held.clone()));
        Ok(boolean.or(bigint).unwrap_or(value))
    }

    fn object(&mut self, object: &JsObject, place: Option<Place>, context: &mut Context) -> Result<Kind, Unfit> {
        if self.above.iter().any(|above| JsObject::equals(above, object)) {
            return Err(Unfit::Value(a_circle(&self.path), place));
        }
        if self.above.len() >= DEPTH_MAX {
            return Err(Unfit::TooDeep(format!("the exported value is nested deeper than {DEPTH_MAX} levels")));
        }
        self.above.push(object.clone());
        let kind =
            if object.is_array() { self.items(object, place, context) } else { self.entries(object, place, context) };
        self.above.pop();
        kind
    }

    fn items(&mut self, array: &JsObject, place: Option<Place>, context: &mut Context) -> Result<Kind, Unfit> {
        let length = array.get(js_string!("length"), context)?.to_length(context)?;
        let mut items = Vec::new();
        for index in 0..length {
            let item = array.get(index, context)?;
            self.path.push(Step::Index(index));
            let key = index.to_string();
            let found = self.find(array, &key, &item, place, context)?;
            let node = self.value(&item, &key, found.value, context)?;
            self.path.pop();
            let span = self.span(found.value);
            items.push(node.unwrap_or(Node::new(Kind::Null, span)));
        }
        Ok(Kind::Sequence(items))
    }

    fn entries(&mut self, object: &JsObject, place: Option<Place>, context: &mut Context) -> Result<Kind, Unfit> {
        let keys = self.keys.call(&JsValue::undefined(), &[object.clone().into()], context)?;
        let Some(keys) = keys.as_object() else { return Ok(Kind::Mapping(Vec::new())) };
        let length = keys.get(js_string!("length"), context)?.to_length(context)?;
        let mut entries = Vec::new();
        for index in 0..length {
            let key = keys.get(index, context)?.to_string(context)?;
            let value = object.get(key.clone(), context)?;
            let text = key.to_std_string_lossy();
            self.count(0, text.len())?;
            self.path.push(Step::Key(text.clone()));
            let found = self.find(object, &text, &value, place, context)?;
            let node = self.value(&value, &text, found.value, context)?;
            self.path.pop();
            if let Some(value) = node {
                let span = self.span(found.key);
                entries.push(Entry { key: Key { text, span }, value });
            }
        }
        Ok(Kind::Mapping(entries))
    }

    fn count(&mut self, nodes: usize, bytes: usize) -> Result<(), Unfit> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > NODES_MAX || self.bytes > BYTES_MAX {
            return Err(Unfit::TooMuch(
                "the exported value is too large: more than 48 MB, or a million values".to_owned(),
            ));
        }
        Ok(())
    }
}

pub(super) fn a_bigint(path: &[Step]) -> String {
    format!("{} is a BigInt, which a config cannot hold: write a number or a string", shown(path))
}

pub(super) fn a_circle(path: &[Step]) -> String {
    format!("{} contains itself", shown(path))
}

/// `apps[0].env`, in backticks.
fn shown(path: &[Step]) -> String {
    if path.is_empty() {
        return "the exported value".to_owned();
    }
    let mut out = String::new();
    for step in path {
        match step {
            Step::Index(index) => out.extend(["[", &index.to_string(), "]"]),
            Step::Key(key) if out.is_empty() => out.push_str(key),
            Step::Key(key) => {
                out.push('.');
                out.push_str(key);
            }
        }
    }
    format!("`{out}`")
}
