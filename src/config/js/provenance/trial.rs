//! Which literal a number, boolean or null comes from, where nothing that the program did says so.
//!
//! The program is run again, with other values in the place of the literals that may have been it: one that turns up
//! where the value was, in a run that took the same way through the program, has come from there by being handed on.

use boa_engine::object::JsObject;
use boa_engine::{Context, JsResult, JsString, JsValue};

use super::site::{Entry, Item, Scalar, Site, SiteId, Spot, Value, Worth};
use super::{Trace, key_of};
use crate::document::Kind;

/// As many tags as fit into the last bits of a number.
const TAGS_MAX: u32 = 1 << 20;
/// No text of a program begins with it.
const TAG: &str = "\0pmrun:";

/// What one run is tried with.
#[derive(Clone, Debug, Default)]
pub(in crate::config::js) struct Trial {
    /// Values whose literals are looked for.
    pub(in crate::config::js) wanted: Vec<Scalar>,
    pub(in crate::config::js) with: With,
    /// The files of packages are marked as well.
    pub(in crate::config::js) packages: bool,
    /// Each operation notes where it fails.
    pub(in crate::config::js) guarded: bool,
}

/// What stands for the literals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::config::js) enum With {
    /// Themselves.
    #[default]
    Own,
    /// A value of its own for each: a number that differs in its last bits, a text for `true`. Neither is taken for false.
    Tags,
    /// An empty text for this one, which is as false as it.
    Nothing(SiteId),
}

/// What is known after a trial.
pub(in crate::config::js) struct Observed {
    /// The way that was taken.
    pub(in crate::config::js) way: u64,
    pub(in crate::config::js) literals: Vec<(SiteId, Spot, Scalar)>,
}

impl Trial {
    pub(super) fn wants(&self, scalar: &Scalar) -> bool {
        self.wanted.contains(scalar)
    }

    /// What stands in this run for a literal.
    pub(in crate::config::js) fn stands(&self, site: SiteId, scalar: &Scalar) -> Option<Kind> {
        match (self.with, scalar) {
            (With::Nothing(one), _) => (one == site).then(|| Kind::String(String::new())),
            (With::Tags, Scalar::Number(number)) if is_tagged(scalar) && site < TAGS_MAX => {
                Some(Kind::Number(f64::from_bits(number.to_bits() ^ u64::from(site + 1))))
            }
            (With::Tags, Scalar::Bool(true)) => Some(Kind::String(format!("{TAG}{site}"))),
            _ => None,
        }
    }
}

/// Whether a literal is told by a tag; any other has to be tried by itself.
pub(in crate::config::js) fn is_tagged(scalar: &Scalar) -> bool {
    match scalar {
        Scalar::Number(number) => number.is_normal(),
        Scalar::Bool(flag) => *flag,
        Scalar::Text(_) | Scalar::Null => false,
    }
}

impl Trace {
    /// What stands for a literal in this run; None where it is itself.
    pub(super) fn substitute(&self, id: SiteId) -> Option<JsValue> {
        let site = self.site(id)?;
        let Site::Doubted { scalar, .. } = site.as_ref() else { return None };
        Some(match self.trial.stands(id, scalar)? {
            Kind::Number(number) => number.into(),
            Kind::String(text) => JsString::from(text.as_str()).into(),
            _ => return None,
        })
    }

    /// A mark was passed, and a choice made at it.
    pub(super) fn pass(&self, id: SiteId, value: &JsValue) {
        if self.trial.wanted.is_empty() {
            return;
        }
        let is_choice = matches!(self.site(id).as_deref(), Some(Site::Choice));
        let (truthy, none) = (is_choice && value.to_boolean(), is_choice && value.is_null_or_undefined());
        let step = (u64::from(id) << 2) | (u64::from(none) << 1) | u64::from(truthy);
        // FNV: the order counts.
        self.way.set((self.way.get() ^ step).wrapping_mul(0x0100_0000_01b3).rotate_left(5));
    }

    /// The literals of a JSON file.
    pub(super) fn doubt(&self, site: &Site, object: &JsObject, context: &mut Context) -> JsResult<()> {
        let entries: Vec<(String, &Value)> = match site {
            Site::Object(literal) => literal.entries.iter().filter_map(named).collect(),
            Site::Array { items, .. } => items.iter().enumerate().filter_map(numbered).collect(),
            _ => return Ok(()),
        };
        for (key, value) in entries {
            let Worth::Scalar(scalar) = &value.worth else { continue };
            if self.trial.wants(scalar) {
                let id = self.add(Site::Doubted { at: value.spot, scalar: scalar.clone() });
                if let Some(other) = self.substitute(id) {
                    object.create_data_property(key_of(&key), other, context)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the program takes its ways by chance: another run says nothing of this one.
    pub(in crate::config::js) fn is_by_chance(&self) -> bool {
        self.files.borrow().iter().any(|file| file.text.contains("Math.random"))
    }

    pub(in crate::config::js) fn observed(&self) -> Observed {
        let sites = self.sites.borrow();
        let literals = sites.iter().enumerate().filter_map(|(id, site)| match site.as_ref() {
            Site::Doubted { at, scalar } => Some((SiteId::try_from(id).ok()?, *at, scalar.clone())),
            _ => None,
        });
        Observed { way: self.way.get(), literals: literals.collect() }
    }
}

fn named(entry: &Entry) -> Option<(String, &Value)> {
    match entry {
        Entry::Named { key, value, .. } => Some((key.clone(), value)),
        _ => None,
    }
}

fn numbered((index, item): (usize, &Item)) -> Option<(String, &Value)> {
    match item {
        Item::Value(value) => Some((index.to_string(), value)),
        _ => None,
    }
}
