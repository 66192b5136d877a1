//! `a?.b.c()` and tagged templates: the engine says no place of what fails in them, or that of the call around them. So it is
//! looked at before, without running anything of the config's, what they are about to find.

use boa_engine::property::PropertyKey;
use boa_engine::{Context, JsString, JsValue};

use super::Trace;
use super::site::{Chain, SiteId, Spot, Step};
use super::text::Bytes;
use crate::document::js_number;

/// Objects above each other.
const ABOVE_MAX: usize = 100;

/// What following a chain has come to.
pub(super) enum Followed {
    /// It does not fail.
    Sound,
    /// Some of it is only known when it runs.
    Unsure,
    /// It fails at a name that is not computed yet: its mark, and whether it is read of null.
    Awaits(SiteId, bool),
    Fails(String, Spot),
}

impl Chain {
    fn follow(&self, target: &JsValue, context: &mut Context) -> Followed {
        let mut value = target.clone();
        for (index, (optional, step)) in self.steps.iter().enumerate() {
            if *optional && value.is_null_or_undefined() {
                return Followed::Sound;
            }
            match step {
                Step::Read { name, at } if value.is_null_or_undefined() => {
                    let said = format!("Cannot read properties of {} (reading '{name}')", value.display());
                    return Followed::Fails(said, *at);
                }
                Step::Read { name, .. } => match held(&value, name, self.variables && index == 0, context) {
                    Some(inner) => value = inner,
                    None => return Followed::Unsure,
                },
                Step::Call { callee, at, plain } => {
                    if value.is_callable() {
                        return if index + 1 == self.steps.len() { Followed::Sound } else { Followed::Unsure };
                    }
                    let fails = || Followed::Fails(format!("{callee} is not a function"), *at);
                    return if *plain { fails() } else { Followed::Unsure };
                }
                Step::Key(key) if value.is_null_or_undefined() => return Followed::Awaits(*key, value.is_null()),
                Step::Key(_) | Step::Unknown => return Followed::Unsure,
            }
        }
        Followed::Sound
    }
}

impl Trace {
    /// What following a chain comes to. What it awaited when it was last evaluated is over.
    pub(super) fn followed(&self, chain: &Chain, target: &JsValue, context: &mut Context) -> Followed {
        for (_, step) in &chain.steps {
            if let Step::Key(key) = step {
                self.awaited.borrow_mut().remove(key);
            }
        }
        chain.follow(target, context)
    }

    /// An object is about to be read by a computed name: if it is nothing, that is told once the name is known.
    pub(super) fn awaits(&self, key: SiteId, object: &JsValue) {
        let mut awaited = self.awaited.borrow_mut();
        if object.is_null_or_undefined() {
            awaited.insert(key, object.is_null());
        } else {
            awaited.remove(&key);
        }
    }

    /// A computed name is known; what is wrong if it is read of nothing.
    pub(super) fn named(&self, key: SiteId, name: &JsValue) -> Option<String> {
        let of = if self.awaited.borrow_mut().remove(&key)? { "null" } else { "undefined" };
        let name = match (name.as_string(), name.as_number()) {
            (Some(text), _) => text.to_std_string_lossy(),
            (_, Some(number)) => js_number(number),
            // It says itself what it is called, and may do anything then.
            _ if name.is_object() => return None,
            _ => name.display().to_string(),
        };
        Some(format!("Cannot read properties of {of} (reading '{name}')"))
    }

    /// Whether something that may have failed instead stands in these bytes.
    pub(super) fn has_unsure(&self, file: u32, within: Bytes) -> bool {
        let unsure = self.unsure.borrow();
        let inside = |bytes: Bytes| within.start <= bytes.start && bytes.end <= within.end;
        unsure.iter().any(|whole| whole.file == file && inside(whole.bytes))
    }
}

/// Whether nothing can go through a value, as far as that can be said without running anything of the config's.
pub(super) fn is_no_list(value: &JsValue, context: &mut Context) -> bool {
    if value.is_string() {
        return false;
    }
    value.is_null_or_undefined() || {
        let found = property(value, &boa_engine::JsSymbol::iterator().into(), context);
        found.is_some_and(|found| found.is_null_or_undefined())
    }
}

/// What a property holds, if that can be said without running anything of the config's.
fn held(value: &JsValue, name: &str, variables: bool, context: &mut Context) -> Option<JsValue> {
    let key: PropertyKey = JsString::from(name).into();
    if variables {
        // It is ours, and is asked the same in a moment.
        return value.as_object()?.get(key, context).ok();
    }
    if value.is_string() && (name == "length" || name.parse::<u64>().is_ok()) {
        return None;
    }
    property(value, &key, context)
}

fn property(value: &JsValue, key: &PropertyKey, context: &mut Context) -> Option<JsValue> {
    let constructors = context.intrinsics().constructors();
    let wrapper = if value.is_string() {
        Some(constructors.string().prototype())
    } else if value.is_number() {
        Some(constructors.number().prototype())
    } else {
        value.is_boolean().then(|| constructors.boolean().prototype())
    };
    let mut object = wrapper.clone().or_else(|| value.as_object())?;
    for _ in 0..ABOVE_MAX {
        if !object.is_ordinary() && !object.is_array() && wrapper.as_ref() != Some(&object) {
            return None;
        }
        let property = object.borrow().properties().get(key);
        if let Some(property) = property {
            return property.value().cloned();
        }
        match object.prototype() {
            Some(above) => object = above,
            None => return Some(JsValue::undefined()),
        }
    }
    None
}
