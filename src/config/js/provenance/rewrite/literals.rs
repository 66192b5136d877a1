//! Object and array literals: what makes a config's values.

use boa_ast::Spanned;
use boa_ast::expression::Expression;
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::expression::literal::{ArrayLiteral, ObjectLiteral, PropertyDefinition};
use boa_ast::property::{MethodDefinitionKind, PropertyName};
use boa_ast::visitor::{VisitWith, Visitor};

use super::super::site::{Entry, Item, Object, Scalar, Site, SiteId, Spot, Value, Worth};
use super::super::text::Bytes;
use super::scribe::{Scribe, pauses, scalar};
use crate::document::js_number;

impl Scribe<'_> {
    pub(super) fn object(&mut self, literal: &ObjectLiteral) -> Option<SiteId> {
        let (start, end) = self.span(literal.span())?;
        if !self.code[start..end].starts_with('{') || !self.code[..end].ends_with('}') {
            self.broken = true;
            return None;
        }
        let id = self.add(start, end, Site::Free);
        let told = !(self.pauses && pauses(literal));
        let mut entries = Vec::new();
        let mut slot = 0;
        for property in literal.properties() {
            let entry = match property {
                PropertyDefinition::SpreadObject(operand) => {
                    let spread = self.spread(operand, id, told.then_some(slot), &[',', '}']);
                    slot += 1;
                    let _ = self.visit_expression(operand);
                    spread.map(|value| Entry::Spread { slot: slot - 1, value })
                }
                PropertyDefinition::Property(_, expression) if told => {
                    let member = self.member(expression, id, slot);
                    slot += u32::from(member.is_some());
                    let mut entry = self.entry(property);
                    if let (Some(Entry::Named { value, .. }), Some(member)) = (&mut entry, member) {
                        value.worth = member;
                    }
                    entry
                }
                other => self.entry(other),
            };
            // An entry that is not understood hides what stands before it.
            entries.push(entry.unwrap_or(Entry::Unnamed {
                at: self.spot(start, end),
                value: Value { spot: self.spot(start, end), worth: Worth::Computed },
            }));
        }
        let whole = self.spot(start, end);
        self.sites[id as usize] = Site::Object(Object::new(whole, entries));
        Some(self.first + id)
    }

    /// `key: object.property`: tells the object, which may know where its property was written.
    fn member(&mut self, expression: &Expression, literal: u32, slot: u32) -> Option<Worth> {
        let Expression::PropertyAccess(PropertyAccess::Simple(access)) = expression else { return None };
        let PropertyAccessField::Const(field) = access.field() else { return None };
        // What the system hands in was written nowhere.
        let outer = matches!(access.target(), Expression::PropertyAccess(_)) && self.names.is_defined(access.target());
        if outer || self.names.is_defined(expression) || matches!(access.target(), Expression::This(_)) {
            return None;
        }
        let (start, end) = self.extent(access.target(), &['.'])?;
        let literal = self.first + literal;
        self.add(start, end, Site::Spread { literal, slot });
        Some(Worth::Member { slot, key: self.names.text(field.sym()) })
    }

    pub(super) fn entry(&mut self, property: &PropertyDefinition) -> Option<Entry> {
        match property {
            PropertyDefinition::IdentifierReference(name) => {
                let (start, end) = self.span(name.span())?;
                let key = self.names.text(name.sym());
                self.free(*name, Bytes::new(start, end));
                let at = self.spot(start, end);
                let worth = self.one_of(self.flow.named(*name));
                let spot = self.named_at(*name, at, &worth);
                Some(Entry::Named { key, at, value: Value { spot, worth } })
            }
            PropertyDefinition::Property(name, expression) => {
                let key = self.key(name);
                let mut value = self.value(expression, &[',', '}']);
                let site = self.inner(expression);
                if let (Some(value), Some(site)) = (&mut value, site) {
                    value.worth = Worth::Literal(site);
                }
                let (text, at) = key?;
                let value = value.unwrap_or(Value { spot: at, worth: Worth::Computed });
                Some(match text {
                    Some(key) => Entry::Named { key, at, value },
                    None => Entry::Unnamed { at, value },
                })
            }
            PropertyDefinition::MethodDefinition(method) => {
                let key = self.key(method.name());
                let _ = property.visit_with(self);
                let (text, at) = key?;
                let value = Value { spot: at, worth: Worth::Computed };
                match text {
                    Some(key) if method.kind() != MethodDefinitionKind::Set => Some(Entry::Named { key, at, value }),
                    _ => Some(Entry::Unnamed { at, value }),
                }
            }
            PropertyDefinition::SpreadObject(_) | PropertyDefinition::CoverInitializedName(..) => {
                let _ = property.visit_with(self);
                None
            }
        }
    }

    /// A key's text, where it is known, and its bytes.
    pub(super) fn key(&mut self, name: &PropertyName) -> Option<(Option<String>, Spot)> {
        match name {
            PropertyName::Literal(name) => {
                let (start, end) = self.span(name.span())?;
                let text = self.names.text(name.sym());
                Some(((text != "__proto__").then_some(text), self.spot(start, end)))
            }
            PropertyName::Computed(expression) => {
                let (start, end) = (self.start(expression)?, self.end(expression)?);
                let in_brackets = self.next(end) == Some(']');
                let text = match scalar(expression, self.names.interner) {
                    Some(Scalar::Text(text)) => Some(text),
                    Some(Scalar::Number(number)) => Some(js_number(number)),
                    _ => None,
                };
                if in_brackets && text.is_none() {
                    let _ = self.visit_expression(expression);
                }
                Some((text, self.spot(start, end)))
            }
        }
    }

    pub(super) fn spread(
        &mut self,
        operand: &Expression,
        literal: u32,
        slot: Option<u32>,
        followed_by: &[char],
    ) -> Option<Spot> {
        let (start, end) = self.extent(operand, followed_by)?;
        if let Some(slot) = slot {
            let literal = self.first + literal;
            self.add(start, end, Site::Spread { literal, slot });
        }
        Some(self.spot(start, end))
    }

    pub(super) fn array(&mut self, literal: &ArrayLiteral) -> Option<SiteId> {
        let (start, end) = self.span(literal.span())?;
        if !self.code[start..end].starts_with('[') || !self.code[..end].ends_with(']') {
            self.broken = true;
            return None;
        }
        let id = self.add(start, end, Site::Free);
        let spreads = literal.as_ref().iter().flatten().any(|item| matches!(item, Expression::Spread(_)));
        let told = !(spreads && self.pauses && pauses(literal));
        let whole = self.spot(start, end);
        let mut items = Vec::new();
        let mut slot = 0;
        for item in literal.as_ref() {
            items.push(match item {
                None => Item::Hole,
                Some(Expression::Spread(spread)) => {
                    let value = self.spread(spread.target(), id, told.then_some(slot), &[',', ']']);
                    let _ = self.visit_expression(spread.target());
                    slot += 1;
                    Item::Spread { slot: slot - 1, value: value.unwrap_or(whole) }
                }
                Some(expression) => {
                    let mut value = self.value(expression, &[',', ']']);
                    let site = self.inner(expression);
                    if let (Some(value), Some(site)) = (&mut value, site) {
                        value.worth = Worth::Literal(site);
                    }
                    Item::Value(value.unwrap_or(Value { spot: whole, worth: Worth::Computed }))
                }
            });
        }
        self.sites[id as usize] = Site::Array { whole, items };
        Some(self.first + id)
    }
}
