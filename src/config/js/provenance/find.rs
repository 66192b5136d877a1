//! From an object and one of its keys to the bytes that both come from.

use boa_engine::object::JsObject;
use boa_engine::{Context, JsResult, JsValue};

use super::site::{Entry, Item, Object, Place, Scalar, Site, SiteId, Spot, Value, Worth};
use super::{Record, Trace, Written, data, key_of, length};

/// Copies of copies are followed this far.
const HOPS_MAX: u32 = 200;

/// Where an entry's key and value were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::config::js) struct Found {
    pub(in crate::config::js) key: Option<Place>,
    pub(in crate::config::js) value: Option<Place>,
}

impl Found {
    fn computed(spot: Spot) -> Self {
        let place = Some(Place::computed(spot));
        Self { key: place, value: place }
    }
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Asked<'a> {
    key: &'a str,
    /// What the key holds now.
    value: &'a JsValue,
    hops: u32,
}

impl Asked<'_> {
    fn hop(self) -> Self {
        Self { hops: self.hops - 1, ..self }
    }
}

impl Trace {
    /// The literal that made an object.
    pub(in crate::config::js) fn origin(&self, object: &JsObject, context: &mut Context) -> JsResult<Option<Place>> {
        let Some(record) = self.record(object, context)? else { return Ok(None) };
        let literal = record.downcast_ref::<Record>().and_then(|record| record.literal);
        Ok(literal.and_then(|literal| self.whole_of(literal)).filter(|spot| spot.bytes.end > 0).map(Place::written))
    }

    fn whole_of(&self, literal: SiteId) -> Option<Spot> {
        match self.site(literal).as_deref() {
            Some(Site::Object(Object { whole, .. }) | Site::Array { whole, .. }) => Some(*whole),
            _ => None,
        }
    }

    /// Where the entry of a key comes from, that now has this value.
    pub(in crate::config::js) fn find(
        &self,
        object: &JsObject,
        key: &str,
        value: &JsValue,
        context: &mut Context,
    ) -> JsResult<Found> {
        let mut found = self.entry(object, Asked { key, value, hops: HOPS_MAX }, context)?.unwrap_or_default();
        // What an object says of itself is nearer than who mentions it.
        if let Some(inner) = value.as_object()
            && let Some(origin) = self.origin(&inner, context)?
        {
            found.value = Some(origin);
        }
        // A text says it for itself, through whatever it came here: another of the same words may have been there before.
        if let Some(text) = value.as_string() {
            let texts = self.texts.borrow();
            let place = texts.find(&text);
            // An equal text that is not the one that was written there has been put in its place.
            let other =
                found.value.filter(|at| !at.computed && texts.tells(at.spot)).map(|at| Place::computed(at.spot));
            found.value = place.or(other).or(found.value);
        }
        Ok(found)
    }

    fn entry(&self, object: &JsObject, asked: Asked<'_>, context: &mut Context) -> JsResult<Option<Found>> {
        let Some(held) = self.record(object, context)? else { return Ok(None) };
        let Some(record) = held.downcast_ref::<Record>() else { return Ok(None) };
        if asked.hops == 0 {
            return Ok(None);
        }
        let (written, site) =
            record.written.get(asked.key).map_or((0, None), |written| (written.order, Some(*written)));
        let newer = record.assigned_order.iter().zip(&record.assigned).rev();
        for (_, source) in newer.take_while(|(order, _)| **order > written) {
            let Some(source) = source.as_object() else { return Ok(None) };
            if let Some(held) = data(&source, &key_of(asked.key)) {
                let same = JsValue::same_value(&held, asked.value);
                return if same { self.entry(&source, asked.hop(), context) } else { Ok(None) };
            }
        }
        if let Some(site) = site {
            return Ok(self.write(site, asked.value, context));
        }
        match record.literal.and_then(|literal| self.site(literal)).as_deref() {
            Some(Site::Object(literal)) => self.in_object(literal, &record, asked, context),
            Some(Site::Array { whole, items }) => self.in_array(*whole, items, &record, asked, context),
            _ => Ok(None),
        }
    }

    fn write(&self, how: Written, value: &JsValue, context: &mut Context) -> Option<Found> {
        let site = self.site(how.site)?;
        let Site::Write { key, at, value: written } = site.as_ref() else { return None };
        let place = self.place(written, None, value, context);
        let here = if key.is_some() { Place::written(*at) } else { Place::computed(*at) };
        Some(Found { key: Some(how.name.unwrap_or(here)), value: Some(place.unwrap_or(Place::computed(*at))) })
    }

    /// The bytes of an expression, if they are still what the value comes from.
    fn place(&self, written: &Value, seen: Option<&JsValue>, value: &JsValue, context: &mut Context) -> Option<Place> {
        match &written.worth {
            Worth::Scalar(scalar) => is(scalar, value).then_some(Place::written(written.spot)),
            Worth::Literal(site) => {
                let object = value.as_object()?;
                let record = self.record(&object, context).ok()??;
                let literal = record.downcast_ref::<Record>().and_then(|record| record.literal);
                (literal == Some(*site)).then_some(Place::written(written.spot))
            }
            Worth::OneOf(scalars) => {
                let mut same = scalars.iter().filter(|(_, scalar)| is(scalar, value));
                let one = same.next().filter(|_| same.next().is_none());
                one.map_or_else(|| computed(written, seen, value), |(spot, _)| Some(Place::written(*spot)))
            }
            Worth::Computed | Worth::Member { .. } => computed(written, seen, value),
        }
    }

    fn in_object(
        &self,
        literal: &Object,
        record: &Record,
        asked: Asked<'_>,
        context: &mut Context,
    ) -> JsResult<Option<Found>> {
        let named = literal.names.get(asked.key).copied();
        // What may have brought the key, as far as its text does not say: later entries win.
        let mut maybe = Vec::new();
        let behind = |index: &&usize| named.is_none_or(|(named, _)| **index > named);
        for index in literal.open.iter().rev().take_while(behind) {
            match &literal.entries[*index] {
                Entry::Spread { slot, value: spot } => {
                    match record.operands.get(*slot as usize).and_then(JsValue::as_object) {
                        Some(operand) => {
                            let Some(held) = data(&operand, &key_of(asked.key)) else { continue };
                            if JsValue::same_value(&held, asked.value) {
                                let found = self.entry(&operand, asked.hop(), context)?;
                                return Ok(Some(found.unwrap_or(Found::computed(*spot))));
                            }
                        }
                        None => maybe.push((*spot, *spot)),
                    }
                }
                Entry::Unnamed { at, value } => maybe.push((*at, value.spot)),
                Entry::Named { .. } => {}
            }
        }
        if let Some((index, seen)) = named
            && let Entry::Named { at, value: written, .. } = &literal.entries[index]
        {
            let seen = seen.and_then(|seen| record.seen.get(seen));
            let place = self.place(written, seen, asked.value, context);
            if place.is_some() || maybe.is_empty() {
                let member = self.member(written, record, asked, context)?;
                let value = member.or(place).unwrap_or(Place::computed(*at));
                return Ok(Some(Found { key: Some(Place::written(*at)), value: Some(value) }));
            }
        }
        Ok(match maybe.as_slice() {
            [(at, spot)] => Some(Found { key: Some(Place::computed(*at)), value: Some(Place::computed(*spot)) }),
            _ if literal.whole.bytes.end == 0 => None,
            _ => Some(Found::computed(literal.whole)),
        })
    }

    /// Where the property that an entry takes from another object was written, if that is known for certain.
    fn member(
        &self,
        written: &Value,
        record: &Record,
        asked: Asked<'_>,
        context: &mut Context,
    ) -> JsResult<Option<Place>> {
        let Worth::Member { slot, key } = &written.worth else { return Ok(None) };
        let object = record.operands.get(*slot as usize).and_then(JsValue::as_object);
        let Some(object) = object else { return Ok(None) };
        if !data(&object, &key_of(key)).is_some_and(|held| JsValue::same_value(&held, asked.value)) {
            return Ok(None);
        }
        let found = self.entry(&object, Asked { key, ..asked.hop() }, context)?;
        Ok(found.and_then(|found| found.value).filter(|place| !place.computed))
    }

    fn in_array(
        &self,
        whole: Spot,
        items: &[Item],
        record: &Record,
        asked: Asked<'_>,
        context: &mut Context,
    ) -> JsResult<Option<Found>> {
        let elsewhere = Ok(Some(Found::computed(whole)));
        let Ok(index) = asked.key.parse::<usize>() else { return elsewhere };
        if !record.seen.get(index).is_some_and(|seen| JsValue::same_value(seen, asked.value)) {
            return elsewhere;
        }
        let mut at = 0;
        for item in items {
            match item {
                Item::Hole => at += 1,
                Item::Value(written) => {
                    if at == index {
                        let place = self.place(written, None, asked.value, context);
                        let place = place.unwrap_or(Place::computed(whole));
                        return Ok(Some(Found { key: None, value: Some(place) }));
                    }
                    at += 1;
                }
                Item::Spread { slot, value: spot } => {
                    let operand = record.operands.get(*slot as usize).and_then(JsValue::as_object);
                    let Some(operand) = operand.filter(JsObject::is_array) else { return elsewhere };
                    let count = length(&operand);
                    if index < at + count {
                        let inner = (index - at).to_string();
                        let held = data(&operand, &key_of(&inner));
                        if !held.is_some_and(|held| JsValue::same_value(&held, asked.value)) {
                            return elsewhere;
                        }
                        let found = self.entry(&operand, Asked { key: &inner, ..asked.hop() }, context)?;
                        return Ok(Some(found.unwrap_or(Found::computed(*spot))));
                    }
                    at += count;
                }
            }
        }
        elsewhere
    }
}

/// The bytes of what computed a value, while it is that value.
fn computed(written: &Value, seen: Option<&JsValue>, value: &JsValue) -> Option<Place> {
    seen.is_none_or(|seen| JsValue::same_value(seen, value)).then_some(Place::computed(written.spot))
}

fn is(scalar: &Scalar, value: &JsValue) -> bool {
    match scalar {
        Scalar::Null => value.is_null(),
        Scalar::Bool(flag) => value.as_boolean() == Some(*flag),
        Scalar::Number(number) => value.as_number().is_some_and(|value| value.to_bits() == number.to_bits()),
        Scalar::Text(text) => value.as_string().is_some_and(|value| value.to_std_string_lossy() == *text),
    }
}
