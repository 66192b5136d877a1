//! Where a string was written, whoever has carried it since.
//!
//! A mark gives each text of the program bytes of its own, which stay where they are as long as the run lasts. Names,
//! parameters, lists and objects hand a string on without copying it, and parts of it (`slice`, `split`, `trim`) lie within
//! the same bytes: so the address of a string's bytes tells which text it is, or was cut out of. A string that
//! was put together has bytes that nobody wrote.

use std::collections::{BTreeMap, HashSet};

use boa_engine::{JsStr, JsString};

use super::site::{Place, Spot};

/// More texts than any config has; a bundle's are not worth their memory.
const TEXTS_MAX: usize = 20_000;

/// The engine has some words only once; one with this behind it is not among them.
const BEHIND: JsStr<'_> = JsStr::latin1(b"\0");

#[derive(Default)]
pub(super) struct Texts {
    /// By the address of their first byte.
    known: BTreeMap<usize, Text>,
    /// Where there is a text that can be told from all others.
    spots: HashSet<Spot>,
}

struct Text {
    /// Kept, so that nothing else gets its bytes.
    held: JsString,
    spot: Spot,
}

impl Texts {
    /// A string of the same characters, with bytes of its own.
    pub(super) fn add(&mut self, text: &JsString, spot: Spot) -> JsString {
        if self.known.len() >= TEXTS_MAX || text.is_empty() {
            return text.clone();
        }
        let held = JsString::concat(text.as_str(), BEHIND);
        let own = held.slice(0, text.len());
        self.insert(&own, spot);
        own
    }

    /// A string that already has its own, unless the engine has it only once.
    pub(super) fn know(&mut self, text: &JsString, spot: Spot) {
        if self.known.len() < TEXTS_MAX && !text.is_static() && !text.is_empty() {
            self.insert(text, spot);
        }
    }

    fn insert(&mut self, text: &JsString, spot: Spot) {
        self.known.insert(bytes(text).start, Text { held: text.clone(), spot });
        self.spots.insert(spot);
    }

    /// Whether the text that is written there can be told from others of the same characters.
    pub(super) fn tells(&self, spot: Spot) -> bool {
        self.spots.contains(&spot)
    }

    /// Where a string was written, or what it was cut out of.
    pub(super) fn find(&self, text: &JsString) -> Option<Place> {
        let found = bytes(text);
        let (start, known) = self.known.range(..=found.start).next_back()?;
        let whole = bytes(&known.held);
        if found.is_empty() || found.end > whole.end {
            return None;
        }
        let is_whole = *start == found.start && found.end == whole.end;
        Some(if is_whole { Place::written(known.spot) } else { Place::computed(known.spot) })
    }
}

/// The addresses.
fn bytes(text: &JsString) -> std::ops::Range<usize> {
    let text = text.as_str();
    match text.variant() {
        boa_engine::string::JsStrVariant::Latin1(text) => {
            let range = text.as_ptr_range();
            range.start.addr()..range.end.addr()
        }
        boa_engine::string::JsStrVariant::Utf16(text) => {
            let range = text.as_ptr_range();
            range.start.addr()..range.end.addr()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::js::provenance::text::Bytes;

    #[test]
    fn texts_are_told_apart_by_their_bytes() {
        let mut texts = Texts::default();
        let spot = |at: usize| Spot { file: 0, bytes: Bytes::new(at, at + 1) };
        for text in ["name", "x", "ünï ☃", "same", "same"] {
            let text = JsString::from(text);
            let own = texts.add(&text, spot(text.len()));
            assert_eq!(own, text);
            assert_eq!(texts.find(&own), Some(Place::written(spot(text.len()))));
            assert_eq!(texts.find(&own.slice(0, 1)).is_some_and(|place| place.computed), text.len() > 1);
            assert_eq!(texts.find(&text), None, "{text:?}");
            let longer = JsString::concat(own.as_str(), own.as_str());
            assert_eq!(texts.find(&longer), None);
        }
        let empty = texts.add(&JsString::from(""), spot(9));
        assert_eq!(texts.find(&empty), None);
    }
}
