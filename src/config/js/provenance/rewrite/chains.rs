//! `a?.b.c()` and tagged templates: their steps.

use boa_ast::Spanned;
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::expression::literal::{LiteralKind, TemplateElement};
use boa_ast::expression::{Expression, Optional, OptionalOperation, OptionalOperationKind, TaggedTemplate};

use super::super::known;
use super::super::site::{Chain, Scalar, Site, Spot, Step};
use super::super::text::Bytes;
use super::scribe::{DEPTH_MAX, Scribe, scalar};
use crate::document::js_number;

impl Scribe<'_> {
    /// Marks what the chain begins with.
    pub(super) fn optional(&mut self, optional: &Optional) {
        let target = optional.target();
        let called =
            matches!(optional.chain().first().map(OptionalOperation::kind), Some(OptionalOperationKind::Call { .. }));
        let (Some(start), Some(mut end)) = (self.start(target), self.end(target)) else { return };
        let Some(mut begun) = self.beginning(target, called, &['?']) else {
            self.facts.unfollowed.push(Bytes::new(start, end));
            return;
        };
        for operation in optional.chain() {
            let step = match operation.kind() {
                OptionalOperationKind::SimplePropertyAccess { field } => match (self.field(field), field) {
                    (Step::Unknown, PropertyAccessField::Expr(name)) => {
                        self.read_key(name).map_or(Step::Unknown, Step::Key)
                    }
                    (step, _) => step,
                },
                OptionalOperationKind::PrivatePropertyAccess { .. } => Step::Unknown,
                OptionalOperationKind::Call { args } => {
                    let plain = args.iter().all(|argument| self.is_plain(argument));
                    let at = begun.last.unwrap_or(self.spot(start, end));
                    Step::Call { callee: self.one_line(start, end), at, plain }
                }
            };
            begun.last = match &step {
                Step::Read { at, .. } => Some(*at),
                _ => None,
            };
            begun.steps.push((operation.shorted(), step));
            let Some(next) = self.offset(operation.span().end()) else { return };
            end = next;
        }
        self.chain(begun, self.spot(start, end));
    }

    /// A chain that is an argument tells that it has not failed, lest it be taken for the call.
    pub(super) fn done(&mut self, argument: &Expression) {
        if let Expression::Optional(_) = argument
            && let Some((start, end)) = self.extent(argument, &[',', ')'])
            && self.depth < DEPTH_MAX
        {
            let whole = self.spot(start, end);
            self.add(start, end, Site::Done { whole });
        }
    }

    /// a.b`text`
    pub(super) fn tagged(&mut self, tagged: &TaggedTemplate) {
        let tag = tagged.tag();
        let (Some(start), Some(end)) = (self.start(tag), self.end(tag)) else { return };
        let Some(mut begun) = self.beginning(tag, true, &['`']) else { return };
        let plain = tagged.exprs().iter().all(|inner| self.is_plain(inner));
        let at = begun.last.unwrap_or(self.spot(start, end));
        begun.steps.push((false, Step::Call { callee: self.one_line(start, end), at, plain }));
        let end = self.offset(tagged.span().end()).unwrap_or(end).max(end);
        self.chain(begun, self.spot(start, end));
    }

    fn chain(&mut self, begun: Begun, whole: Spot) {
        let variables = self.code[begun.start..begun.end] == *"process.env";
        if self.depth < DEPTH_MAX {
            self.add(begun.start, begun.end, Site::Chain(Chain { steps: begun.steps, whole, variables }));
        }
    }

    /// What is called keeps its object: that is marked then.
    fn beginning(&self, target: &Expression, called: bool, followed_by: &[char]) -> Option<Begun> {
        let access = match target {
            Expression::PropertyAccess(PropertyAccess::Simple(access)) if called => Some(access),
            Expression::PropertyAccess(PropertyAccess::Simple(_)) | Expression::Call(_) | Expression::This(_)
                if !called =>
            {
                None
            }
            Expression::Identifier(name) if !called || self.names.text(name.sym()) != "eval" => None,
            Expression::Parenthesized(_) if !called => None,
            // Without brackets, `new` would take the mark for what it constructs.
            Expression::New(_) if !called && self.code[..self.end(target)?].ends_with(')') => None,
            _ => return None,
        };
        let Some(access) = access else {
            let (start, end) = self.extent(target, followed_by)?;
            return Some(Begun { start, end, steps: Vec::new(), last: None });
        };
        let (start, end) = self.extent(access.target(), &['.', '['])?;
        let step = self.field(access.field());
        let last = match &step {
            Step::Read { at, .. } => Some(*at),
            _ => None,
        };
        Some(Begun { start, end, steps: vec![(false, step)], last })
    }

    fn field(&self, field: &PropertyAccessField) -> Step {
        let (name, at) = match field {
            PropertyAccessField::Const(field) => (Some(self.names.text(field.sym())), self.span(field.span())),
            PropertyAccessField::Expr(field) => {
                let name = match scalar(field, self.names.interner) {
                    Some(Scalar::Text(text)) => Some(text),
                    Some(Scalar::Number(number)) => Some(js_number(number)),
                    _ => None,
                };
                (name, self.start(field).zip(self.end(field)))
            }
        };
        match name.zip(at) {
            Some((name, (start, end))) => Step::Read { name, at: self.spot(start, end) },
            None => Step::Unknown,
        }
    }

    /// Whether evaluating it does nothing that could be missed.
    pub(super) fn is_plain(&self, expression: &Expression) -> bool {
        match expression.flatten() {
            Expression::Literal(literal) => !matches!(literal.kind(), LiteralKind::Undefined),
            Expression::ArrowFunction(_) | Expression::FunctionExpression(_) | Expression::This(_) => true,
            Expression::Identifier(name) => {
                self.names.declared.contains_key(&name.sym()) || known::is_global(&self.names.text(name.sym()))
            }
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => {
                matches!(access.field(), PropertyAccessField::Const(_)) && self.is_plain(access.target())
            }
            Expression::TemplateLiteral(template) => template.elements().iter().all(|element| match element {
                TemplateElement::Expr(inner) => self.is_plain(inner),
                TemplateElement::String(_) => true,
            }),
            Expression::Binary(binary) => self.is_plain(binary.lhs()) && self.is_plain(binary.rhs()),
            _ => false,
        }
    }

    fn one_line(&self, start: usize, end: usize) -> String {
        self.code.get(start..end).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// What is marked of a chain, and what comes before its own steps.
struct Begun {
    start: usize,
    end: usize,
    steps: Vec<(bool, Step)>,
    /// The name that was read last.
    last: Option<Spot>,
}
