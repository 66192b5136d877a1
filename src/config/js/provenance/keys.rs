//! Names of properties that a program goes through: each is given bytes of its own, by which it can be told where it was
//! written, as texts can (`origin`).

use std::collections::HashMap;

use boa_engine::object::JsObject;
use boa_engine::object::builtins::JsArray;
use boa_engine::{Context, JsResult, JsString, JsValue};

use super::hooks::replace;
use super::site::{Place, Site, SiteId};
use super::{SEEN_MAX, Trace, data, key_of};

/// Names in all: what goes through the same object again and again is no config.
const NAMES_MAX: u32 = 4_000;

/// A loop that goes through more objects is no config's.
const LOOPED_MAX: usize = 100;

/// What one loop has gone through the keys of.
#[derive(Default)]
pub(super) struct Looped {
    objects: Vec<JsObject>,
    told: HashMap<JsString, Option<JsString>>,
}

/// `Object.keys` and `Object.entries`.
pub(super) fn wrap(context: &mut Context) -> JsResult<()> {
    replace("Object", None, "keys", 1, context, |genuine, this, args, context| {
        let listed = genuine.call(this, args, context)?;
        told(args.first(), &listed, false, context)?;
        Ok(listed)
    })?;
    replace("Object", None, "entries", 1, context, |genuine, this, args, context| {
        let listed = genuine.call(this, args, context)?;
        told(args.first(), &listed, true, context)?;
        Ok(listed)
    })
}

fn told(of: Option<&JsValue>, listed: &JsValue, pairs: bool, context: &mut Context) -> JsResult<()> {
    let (Some(object), Some(listed)) = (of.and_then(JsValue::as_object), listed.as_object()) else { return Ok(()) };
    let trace = Trace::of(context);
    if object.is_array() || trace.is_unknown(&object, context) {
        return Ok(());
    }
    let list = JsArray::from_object(listed)?;
    let length = list.length(context)?;
    if length > SEEN_MAX as u64 {
        return Ok(());
    }
    for index in 0..length {
        let item = list.get(index, context)?;
        let pair = item.as_object().filter(|_| pairs);
        let name = if let Some(pair) = &pair { pair.get(0, context)? } else { item };
        let Some(own) = name.as_string().map(|name| trace.own_name(&object, &name, context)).transpose()?.flatten()
        else {
            continue;
        };
        match pair {
            Some(pair) => pair.create_data_property_or_throw(0, own, context)?,
            None => list.create_data_property_or_throw(index, own, context)?,
        };
    }
    Ok(())
}

impl Trace {
    /// A loop begins to go through the keys of a value.
    pub(super) fn looped(&self, id: SiteId, value: &JsValue) {
        let mut loops = self.loops.borrow_mut();
        let looped = loops.entry(id).or_default();
        if let Some(object) = value.as_object()
            && looped.objects.len() <= LOOPED_MAX
            && !looped.objects.iter().any(|known| JsObject::equals(known, &object))
        {
            looped.objects.push(object);
            looped.told.clear();
        }
    }

    /// A key that a loop has come to, as a string by which it can be told. Where it may be that of more than one object,
    /// nothing is said.
    pub(super) fn own_key(&self, id: SiteId, value: &JsValue, context: &mut Context) -> JsResult<Option<JsString>> {
        let site = self.site(id);
        let Some(Site::KeyOf(each)) = site.as_deref() else { return Ok(None) };
        let Some(name) = value.as_string() else { return Ok(None) };
        let objects = match self.loops.borrow().get(each) {
            Some(looped) if looped.objects.len() <= LOOPED_MAX => match looped.told.get(&name) {
                Some(told) => return Ok(told.clone()),
                None => looped.objects.clone(),
            },
            _ => return Ok(None),
        };
        let key = name.to_std_string_lossy();
        let mut places: Vec<Option<Place>> = Vec::new();
        for object in objects {
            if let Some(value) = data(&object, &key_of(&key)) {
                places.push(self.find(&object, &key, &value, context)?.key);
            }
        }
        let same = places.windows(2).all(|pair| pair[0] == pair[1]);
        let place = places.first().copied().flatten().filter(|place| same && !place.computed);
        let told = place.filter(|_| self.names.get() < NAMES_MAX).map(|place| {
            self.names.set(self.names.get() + 1);
            self.texts.borrow_mut().add(&name, place.spot)
        });
        if let Some(looped) = self.loops.borrow_mut().get_mut(each) {
            looped.told.insert(name, told.clone());
        }
        Ok(told)
    }

    fn own_name(&self, object: &JsObject, name: &JsString, context: &mut Context) -> JsResult<Option<JsString>> {
        if self.names.get() >= NAMES_MAX {
            return Ok(None);
        }
        let key = name.to_std_string_lossy();
        let Some(value) = data(object, &key_of(&key)) else { return Ok(None) };
        let place = self.find(object, &key, &value, context)?.key.filter(|place| !place.computed);
        self.names.set(self.names.get() + u32::from(place.is_some()));
        Ok(place.map(|place| self.texts.borrow_mut().add(name, place.spot)))
    }
}
