//! What a config exports, as `JSON.stringify` would walk it, except that NaN and infinities stay what they are (so that
//! the decoder can name them) and that a cycle or a BigInt is named by its path.

use boa_engine::object::JsObject;
use boa_engine::object::builtins::JsFunction;
use boa_engine::{Context, JsBigInt, JsError, JsString, JsValue, js_string};

use crate::document::{Entry, Key, Kind, Node};

/// Deeper than any option goes.
const DEPTH_MAX: usize = 200;
const NODES_MAX: usize = 1_000_000;
const BYTES_MAX: usize = 48 << 20;

/// Why a value cannot be taken over.
pub(super) enum Unfit {
    /// A getter, a `toJSON` or a proxy threw.
    Threw(JsError),
    Value(String),
}

impl From<JsError> for Unfit {
    fn from(error: JsError) -> Self {
        Self::Threw(error)
    }
}

pub(super) struct Walker {
    keys: JsFunction,
    above: Vec<JsObject>,
    path: Vec<Step>,
    nodes: usize,
    bytes: usize,
}

enum Step {
    Key(String),
    Index(u64),
}

impl Walker {
    /// `keys` is the genuine `Object.keys`.
    pub(super) fn new(keys: JsFunction) -> Self {
        Self { keys, above: Vec::new(), path: Vec::new(), nodes: 0, bytes: 0 }
    }

    /// The whole value; what JSON cannot hold at the top (undefined, a function) is null.
    pub(super) fn walk(&mut self, value: &JsValue, context: &mut Context) -> Result<Node, Unfit> {
        Ok(self.value(value, "", context)?.unwrap_or(Node::new(Kind::Null, None)))
    }

    /// None for what `JSON.stringify` leaves out.
    fn value(&mut self, value: &JsValue, key: &str, context: &mut Context) -> Result<Option<Node>, Unfit> {
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
            let advice = "write a number or a string";
            return Err(Unfit::Value(format!(
                "{} is a BigInt, which a config cannot hold: {advice}",
                self.shown_path()
            )));
        } else {
            match value.as_object() {
                Some(object) if !object.is_callable() => self.object(&object, context)?,
                _ => return Ok(None),
            }
        };
        Ok(Some(Node::new(kind, None)))
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

    fn object(&mut self, object: &JsObject, context: &mut Context) -> Result<Kind, Unfit> {
        if self.above.iter().any(|above| JsObject::equals(above, object)) {
            return Err(Unfit::Value(format!("{} contains itself", self.shown_path())));
        }
        if self.above.len() >= DEPTH_MAX {
            return Err(Unfit::Value(format!("the exported value is nested deeper than {DEPTH_MAX} levels")));
        }
        self.above.push(object.clone());
        let kind = if object.is_array() { self.items(object, context) } else { self.entries(object, context) };
        self.above.pop();
        kind
    }

    fn items(&mut self, array: &JsObject, context: &mut Context) -> Result<Kind, Unfit> {
        let length = array.get(js_string!("length"), context)?.to_length(context)?;
        let mut items = Vec::new();
        for index in 0..length {
            let item = array.get(index, context)?;
            self.path.push(Step::Index(index));
            let node = self.value(&item, &index.to_string(), context)?;
            self.path.pop();
            items.push(node.unwrap_or(Node::new(Kind::Null, None)));
        }
        Ok(Kind::Sequence(items))
    }

    fn entries(&mut self, object: &JsObject, context: &mut Context) -> Result<Kind, Unfit> {
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
            let node = self.value(&value, &text, context)?;
            self.path.pop();
            if let Some(value) = node {
                entries.push(Entry { key: Key { text, span: None }, value });
            }
        }
        Ok(Kind::Mapping(entries))
    }

    fn count(&mut self, nodes: usize, bytes: usize) -> Result<(), Unfit> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > NODES_MAX || self.bytes > BYTES_MAX {
            return Err(Unfit::Value(
                "the exported value is too large: more than 48 MB, or a million values".to_owned(),
            ));
        }
        Ok(())
    }

    /// `apps[0].env`, in backticks.
    fn shown_path(&self) -> String {
        if self.path.is_empty() {
            return "the exported value".to_owned();
        }
        let mut out = String::new();
        for step in &self.path {
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
}
