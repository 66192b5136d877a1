//! What a program was about to do when the engine failed without a place.

use std::collections::HashMap;

use boa_engine::JsValue;

use super::Trace;
use super::site::{Operation, Site, SiteId, Spot};
use super::text::Bytes;

/// What was evaluated last for the operations of each kind.
#[derive(Default)]
pub(super) struct Doing(HashMap<std::mem::Discriminant<Operation>, (SiteId, JsValue)>);

impl Doing {
    pub(super) fn note(&mut self, of: &Operation, site: SiteId, operand: &JsValue) {
        // Texts, numbers and their like never fail to become one.
        if *of != Operation::Text || operand.is_symbol() || operand.is_object() {
            self.0.insert(std::mem::discriminant(of), (site, operand.clone()));
        }
    }
}

impl Trace {
    /// Where a value was thrown, if that was what was thrown last.
    pub(in crate::config::js) fn thrown(&self, value: &JsValue) -> Option<Spot> {
        let (spot, _, operand) = self.doing(&Operation::Throw)?;
        JsValue::same_value(&operand, value).then_some(spot)
    }

    /// Whether a value was caught before, and nothing since.
    pub(in crate::config::js) fn has_caught(&self, value: &JsValue) -> bool {
        value.is_object() && self.caught.borrow().as_ref().is_some_and(|caught| JsValue::same_value(caught, value))
    }

    /// An error has other words now than the engine gave it.
    pub(in crate::config::js) fn know_reworded(&self, error: &JsValue, message: &str) {
        let mut known = self.reworded.borrow_mut();
        if known.len() < REWORDED_MAX {
            known.push((error.clone(), message.to_owned()));
        }
    }

    /// What the engine said of it.
    pub(in crate::config::js) fn reworded(&self, error: &JsValue) -> Option<String> {
        let known = self.reworded.borrow();
        known.iter().find(|(known, _)| JsValue::same_value(known, error)).map(|(_, message)| message.clone())
    }

    /// Whether packages would have more to say if they were marked.
    pub(in crate::config::js) fn is_vague(&self) -> bool {
        self.vague.get() && !self.trial.packages
    }

    /// The operation that an error without a place is about, in V8's words.
    pub(super) fn failed(&self, bare: &str, file: u32) -> Option<(String, Bytes)> {
        let found = |of: Operation| self.doing(&of).filter(|(spot, ..)| spot.file == file);
        let is_text = bare.ends_with("convert symbol to string") || bare == TO_PRIMITIVE;
        let told = |(spot, ..): (Spot, Operation, JsValue)| (bare.to_owned(), spot.bytes);
        if bare.starts_with("right-hand side of 'in'") {
            // One that was fine is not the one that failed.
            let (spot, of, operand) = found(Operation::In(None)).filter(|(.., operand)| !operand.is_object())?;
            let Operation::In(Some(key)) = of else { return Some((bare.to_owned(), spot.bytes)) };
            let said = operand.as_string().map(|text| text.to_std_string_lossy());
            let said = said.unwrap_or_else(|| operand.display().to_string());
            return Some((format!("Cannot use 'in' operator to search for '{key}' in {said}"), spot.bytes));
        }
        if bare.starts_with("right-hand side of 'instanceof'") {
            return found(Operation::InstanceOf).filter(|(.., operand)| !operand.is_callable()).map(told);
        }
        if bare == "superclass must be a constructor" {
            let is_class = |value: &JsValue| value.as_object().is_some_and(|object| object.is_constructor());
            let (spot, _, above) = found(Operation::Extends).filter(|(.., above)| !is_class(above))?;
            let said = if above.is_object() { String::new() } else { format!("{} ", above.display()) };
            return Some((format!("Class extends value {said}is not a constructor or null"), spot.bytes));
        }
        if self.files.borrow().get(file as usize).is_none_or(|file| file.facts.untold) {
            return None;
        }
        if is_text && let Some(text) = found(Operation::Text) {
            return Some(told(text));
        }
        let arithmetic = is_text || ["BigInt", "bigint", "symbol"].iter().any(|kind| bare.contains(kind));
        found(Operation::Arithmetic).filter(|_| arithmetic).map(told)
    }

    fn doing(&self, of: &Operation) -> Option<(Spot, Operation, JsValue)> {
        let doing = self.doing.borrow();
        let (site, operand) = doing.0.get(&std::mem::discriminant(of))?;
        match self.site(*site)?.as_ref() {
            Site::Operation { of, at } => Some((*at, of.clone(), operand.clone())),
            _ => None,
        }
    }
}

/// Errors that are caught and kept for their words.
const REWORDED_MAX: usize = 100;
const TO_PRIMITIVE: &str = "cannot convert object to primitive value";
