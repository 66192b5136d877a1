//! What is read, written, called and taken apart.

use std::ops::ControlFlow;

use boa_ast::declaration::{Binding, Variable};
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField, SimplePropertyAccess};
use boa_ast::expression::operator::assign::{Assign, AssignOp, AssignTarget};
use boa_ast::expression::operator::update::{Update, UpdateTarget};
use boa_ast::expression::{Call, Expression, Identifier, New};
use boa_ast::function::ClassFieldDefinition;
use boa_ast::pattern::{ArrayPatternElement, ObjectPatternElement, Pattern};
use boa_ast::property::PropertyName;
use boa_ast::visitor::{VisitWith, Visitor};
use boa_ast::{Span, Spanned};
use boa_interner::Sym;

use super::super::known;
use super::super::site::{Export, Scalar, Site, SiteId, Spot, Value, Worth};
use super::super::text::{Bytes, skip_blank};
use super::super::token;
use super::scribe::{DEPTH_MAX, Scribe, pauses, scalar};
use super::{Callee, Extra, Request, Wrap};
use crate::document::js_number;

impl Scribe<'_> {
    pub(super) fn name(&mut self, name: Identifier, start: usize, end: usize) {
        let text = self.names.text(name.sym());
        let keyword = matches!(text.as_str(), "eval" | "arguments" | "undefined" | "async" | "let");
        if self.names.declared.contains_key(&name.sym()) || keyword || self.code[start..end] != text {
            return;
        }
        self.free(name, Bytes::new(start, end));
        if !known::is_global(&text) {
            self.add(start, end, Site::Free);
        }
    }

    pub(super) fn free(&mut self, name: Identifier, at: Bytes) {
        if !self.names.declared.contains_key(&name.sym()) {
            self.facts.free.push((self.names.text(name.sym()), at));
        }
    }

    /// Checks what a property is read of: the engine does not say which one was undefined.
    pub(super) fn read(&mut self, access: &SimplePropertyAccess) {
        if self.names.is_defined(access.target()) {
            return;
        }
        let (name, at) = match access.field() {
            PropertyAccessField::Const(field) => (self.names.text(field.sym()), self.span(field.span())),
            PropertyAccessField::Expr(field) => {
                let name = match scalar(field, self.names.interner) {
                    Some(Scalar::Text(text)) => text,
                    Some(Scalar::Number(number)) => js_number(number),
                    _ => {
                        let target = self.extent(access.target(), &['[']);
                        if let Some(((start, end), key)) =
                            target.and_then(|target| Some((target, self.read_key(field)?)))
                        {
                            self.add(start, end, Site::ReadOf { key });
                        }
                        return;
                    }
                };
                (name, self.start(field).zip(self.end(field)))
            }
        };
        let (Some((start, end)), Some((from, to))) = (self.extent(access.target(), &['.', '[']), at) else { return };
        let at = self.spot(from, to);
        self.add(start, end, Site::Read { name, at });
    }

    /// Marks a computed name, if nothing else can happen while it is evaluated.
    pub(super) fn read_key(&mut self, field: &Expression) -> Option<SiteId> {
        let (start, end) = self.extent(field, &[']']).filter(|_| self.is_plain(field) && self.depth < DEPTH_MAX)?;
        let at = self.spot(start, end);
        Some(self.first + self.add(start, end, Site::ReadKey { at }))
    }

    pub(super) fn assign(&mut self, assign: &Assign) {
        let rhs = assign.rhs();
        self.augmented(assign);
        if let AssignTarget::Access(PropertyAccess::Simple(access)) = assign.lhs() {
            let plain = assign.op() == AssignOp::Assign;
            let start = self.start(rhs);
            let spot = start.zip(self.end(rhs)).map(|(start, end)| self.spot(start, end));
            if !plain {
                self.read(access);
            }
            let write = self.write(access, spot);
            let site = self.inner(rhs);
            let worth = match site {
                _ if !plain => Worth::Computed,
                Some(site) => Worth::Literal(site),
                None => self.worth(rhs),
            };
            if let Some(spot) = spot {
                let value = Value { spot: if plain { self.made_at(rhs, spot, &worth) } else { spot }, worth };
                if plain && self.is_exports(access) {
                    self.wholes += 1;
                    self.facts.whole = Some(value.clone());
                }
                if let Some(Site::Write { value: known, .. }) = write.and_then(|id| self.sites.get_mut(id as usize)) {
                    *known = value;
                }
            }
            return;
        }
        if let AssignTarget::Pattern(pattern) = assign.lhs() {
            self.unpack(pattern, rhs);
        }
        let _ = self.visit_assign_target(assign.lhs());
        let _ = self.inner(rhs);
    }

    pub(super) fn update(&mut self, update: &Update) {
        match update.target() {
            UpdateTarget::PropertyAccess(PropertyAccess::Simple(access)) => {
                let spot = self.start(access.target()).zip(self.access_end(access));
                let spot = spot.map(|(start, end)| self.spot(start, end));
                self.read(access);
                self.write(access, spot);
            }
            UpdateTarget::PropertyAccess(other) => {
                let _ = other.visit_with(self);
            }
            UpdateTarget::Identifier(_) => {}
        }
    }

    pub(super) fn is_exports(&self, access: &SimplePropertyAccess) -> bool {
        let (Expression::Identifier(object), PropertyAccessField::Const(field)) = (access.target(), access.field())
        else {
            return false;
        };
        self.names.text(object.sym()) == "module" && self.names.text(field.sym()) == "exports"
    }

    /// Marks what parts of a value are written to.
    pub(super) fn written_apart(&mut self, pattern: &Pattern) {
        let accesses: Vec<&PropertyAccess> = match pattern {
            Pattern::Object(object) => {
                let bindings = object.bindings().iter();
                bindings
                    .filter_map(|element| match element {
                        ObjectPatternElement::AssignmentPropertyAccess { access, .. }
                        | ObjectPatternElement::AssignmentRestPropertyAccess { access } => Some(access),
                        _ => None,
                    })
                    .collect()
            }
            Pattern::Array(list) => {
                let bindings = list.bindings().iter();
                bindings
                    .filter_map(|element| match element {
                        ArrayPatternElement::PropertyAccess { access, .. }
                        | ArrayPatternElement::PropertyAccessRest { access } => Some(access),
                        _ => None,
                    })
                    .collect()
            }
        };
        for access in accesses {
            self.written_to(access);
        }
    }

    pub(super) fn written_to(&mut self, access: &PropertyAccess) {
        let PropertyAccess::Simple(access) = access else { return };
        let (key, at) = match access.field() {
            PropertyAccessField::Const(field) => (Some(self.names.text(field.sym())), self.span(field.span())),
            PropertyAccessField::Expr(field) => match scalar(field, self.names.interner) {
                Some(Scalar::Text(text)) => (Some(text), self.start(field).zip(self.end(field))),
                _ => (None, None),
            },
        };
        if let (Some((start, end)), Some(key), Some((from, to))) = (self.extent(access.target(), &['.', '[']), key, at)
        {
            let at = self.spot(from, to);
            self.add(start, end, Site::Write { key: Some(key), at, value: Value { spot: at, worth: Worth::Computed } });
        }
    }

    /// Marks the value of a class's field.
    pub(super) fn field_of_class(&mut self, field: &ClassFieldDefinition) {
        let Some(init) = field.initializer() else { return };
        let name = match field.name() {
            PropertyName::Literal(name) => self.span(name.span()),
            PropertyName::Computed(name) => self.start(name).zip(self.end(name)),
        };
        let key = match field.name() {
            PropertyName::Literal(name) => Some(self.names.text(name.sym())),
            PropertyName::Computed(_) => None,
        };
        let Some((from, to)) = name else { return };
        let at = self.spot(from, to);
        let told = scalar(init, self.names.interner).is_some()
            || matches!(init, Expression::ObjectLiteral(_) | Expression::ArrayLiteral(_) | Expression::Identifier(_));
        let bytes = self.start(init).zip(self.end(init)).filter(|(start, end)| start < end);
        let is_whole = bytes.is_some_and(|(_, end)| {
            let rest = self.code[end..].lines().next().unwrap_or_default().trim_start();
            rest.is_empty() || rest.starts_with([';', '}']) || rest.starts_with("//")
        });
        if let Some((start, end)) = bytes
            && key.is_some()
            && told
            && is_whole
            && self.depth < DEPTH_MAX
        {
            let value = Value { spot: self.spot(start, end), worth: self.worth(init) };
            let site = self.reserve();
            self.sites[site as usize] = Site::Write { key, at, value };
            self.wraps.push(Wrap { start, end, site, extra: Some(Extra::Field) });
            return;
        }
        self.written_over(init, (key, at, bytes));
    }

    /// A field whose value is computed may stand over the same one of the class's base.
    fn written_over(&mut self, init: &Expression, (key, at, bytes): (Option<String>, Spot, Option<(usize, usize)>)) {
        // They take their names from the field, and are nothing in JSON.
        let is_function = matches!(
            init,
            Expression::FunctionExpression(_)
                | Expression::ArrowFunction(_)
                | Expression::AsyncArrowFunction(_)
                | Expression::AsyncFunctionExpression(_)
                | Expression::GeneratorExpression(_)
                | Expression::AsyncGeneratorExpression(_)
                | Expression::ClassExpression(_)
        );
        let mut equals = skip_blank(self.code, at.bytes.end as usize);
        if self.code[equals..].starts_with(']') {
            equals = skip_blank(self.code, equals + 1);
        }
        if is_function || !self.code[equals..].starts_with('=') {
            return;
        }
        let start = equals + 1;
        let spot = bytes.map_or(at, |(from, to)| self.spot(from, to));
        let site = self.reserve();
        self.sites[site as usize] = Site::Write { key, at, value: Value { spot, worth: Worth::Computed } };
        self.wraps.push(Wrap { start, end: start, site, extra: Some(Extra::Over) });
    }

    /// Marks the object that is written to, and a computed key.
    pub(super) fn write(&mut self, access: &SimplePropertyAccess, value: Option<Spot>) -> Option<u32> {
        let (key, at) = match access.field() {
            PropertyAccessField::Const(field) => (Some(self.names.text(field.sym())), self.span(field.span())),
            PropertyAccessField::Expr(field) => {
                let key = match scalar(field, self.names.interner) {
                    Some(Scalar::Text(text)) => Some(text),
                    Some(Scalar::Number(number)) => Some(js_number(number)),
                    _ => None,
                };
                (key, self.start(field).zip(self.end(field)))
            }
        };
        let untold = match access.field() {
            PropertyAccessField::Expr(field) if key.is_none() => {
                self.pauses && pauses(field.as_ref()) || at.is_none_or(|(_, to)| self.next(to) != Some(']'))
            }
            _ => false,
        };
        let write = match (self.extent(access.target(), &['.', '[']), at) {
            (Some((start, end)), Some((from, to))) if !untold => {
                let at = self.spot(from, to);
                let value = Value { spot: value.unwrap_or(at), worth: Worth::Computed };
                let computed = key.is_none();
                let write = self.add(start, end, Site::Write { key, at, value });
                if computed {
                    let write = self.first + write;
                    self.add(from, to, Site::Key { write });
                }
                Some(write)
            }
            _ => None,
        };
        let _ = access.visit_with(self);
        write
    }

    pub(super) fn call(&mut self, call: &Call) -> ControlFlow<()> {
        self.calls(call.span(), call.function());
        if let (Expression::Identifier(callee), [argument, rest @ ..]) = (call.function(), call.args())
            && self.names.text(callee.sym()) == "require"
        {
            self.request(argument);
            if rest.is_empty() && scalar(argument, self.names.interner).is_some() {
                return self.visit_expression(call.function());
            }
        }
        match call.function() {
            // A direct `eval` is one by its name.
            Expression::Identifier(name) if name.sym() == Sym::EVAL => {}
            function => self.visit_expression(function)?,
        }
        call.args().iter().try_for_each(|argument| {
            self.done(argument);
            self.visit_expression(argument)
        })
    }

    pub(super) fn calls(&mut self, span: Span, function: &Expression) {
        let (Some(bracket), Some(start), Some(end)) =
            (self.offset(span.start()), self.start(function), self.end(function))
        else {
            return;
        };
        let field = match function {
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => match access.field() {
                PropertyAccessField::Const(field) => self.span(field.span()),
                PropertyAccessField::Expr(field) => self.start(field).zip(self.end(field)),
            },
            _ => None,
        };
        let (from, to) = match field {
            // `new` is a part of what is called.
            _ if bracket < start => (bracket, end),
            Some(field) => field,
            None => (start, end),
        };
        let until = self.offset(span.end()).unwrap_or(bracket);
        let callee = Callee {
            whole: Bytes::new(start, end),
            name: Bytes::new(from, to),
            rest: Bytes::new(bracket, until.max(bracket)),
        };
        self.facts.calls.insert(u32::try_from(bracket).unwrap_or(u32::MAX), callee);
    }

    pub(super) fn request(&mut self, argument: &Expression) {
        if let (Some(Scalar::Text(specifier)), Some((start, end))) =
            (scalar(argument, self.names.interner), self.span(argument.span()))
        {
            self.facts.requests.push(Request { specifier, at: Bytes::new(start, end), names: Vec::new() });
        }
    }

    pub(super) fn construct(&mut self, new: &New) -> ControlFlow<()> {
        self.calls(new.span(), new.constructor());
        self.callee(new.constructor())?;
        new.arguments().iter().try_for_each(|argument| self.visit_expression(argument))
    }

    /// `new a.b()`: a call in it, even ours, would be what is constructed.
    pub(super) fn callee(&mut self, expression: &Expression) -> ControlFlow<()> {
        match expression {
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => {
                self.callee(access.target())?;
                self.visit_property_access_field(access.field())
            }
            Expression::Parenthesized(inner) => self.visit_expression(inner.expression()),
            Expression::FunctionExpression(_) | Expression::ClassExpression(_) => expression.visit_with(self),
            Expression::Identifier(name) => {
                if let Some((start, end)) = self.span(name.span()) {
                    self.free(*name, Bytes::new(start, end));
                }
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    /// `const {a} = init`
    pub(super) fn unpack(&mut self, pattern: &Pattern, init: &Expression) {
        if self.names.is_defined(init) {
            return;
        }
        // What follows a declaration may be anything: only those whose end is sure.
        let sure = matches!(
            init,
            Expression::Identifier(_)
                | Expression::Call(_)
                | Expression::PropertyAccess(_)
                | Expression::Parenthesized(_)
                | Expression::Optional(_)
        ) || scalar(init, self.names.interner) == Some(Scalar::Null);
        let (Some(start), Some(end), true) = (self.start(init), self.end(init), sure) else { return };
        let first = match pattern {
            Pattern::Object(_) => self.first_of(pattern),
            Pattern::Array(_) => {
                let at = self.spot(start, end);
                self.add(start, end, Site::Iterate { at });
                return;
            }
        };
        let at = self.spot(start, end);
        let place = self.taken_first(pattern).map_or(at, |(start, end)| self.spot(start, end));
        self.add(start, end, Site::Unpack { first, place, at });
    }

    /// Where that one is taken.
    fn taken_first(&self, pattern: &Pattern) -> Option<(usize, usize)> {
        let Pattern::Object(object) = pattern else { return None };
        self.span(match object.bindings().first() {
            Some(
                ObjectPatternElement::SingleName { ident, name: PropertyName::Literal(_), .. }
                | ObjectPatternElement::RestProperty { ident },
            ) => ident.span(),
            Some(ObjectPatternElement::Pattern { pattern, .. }) => pattern.span(),
            _ => object.span(),
        })
    }

    /// The name of the first property that an object is taken apart for.
    fn first_of(&self, pattern: &Pattern) -> Option<String> {
        let Pattern::Object(object) = pattern else { return None };
        match object.bindings().first()? {
            ObjectPatternElement::SingleName { name: PropertyName::Literal(name), .. }
            | ObjectPatternElement::AssignmentPropertyAccess { name: PropertyName::Literal(name), .. }
            | ObjectPatternElement::Pattern { name: PropertyName::Literal(name), .. } => {
                Some(self.names.text(name.sym()))
            }
            _ => None,
        }
    }

    /// Puts a mark behind each pattern inside of this one: it stands for what is not there.
    pub(super) fn nested(&mut self, pattern: &Pattern) {
        let inner: Vec<&Pattern> = match pattern {
            Pattern::Object(object) => {
                let bindings = object.bindings().iter();
                bindings
                    .filter_map(|element| match element {
                        ObjectPatternElement::Pattern { pattern, default_init: None, .. } => Some(pattern),
                        _ => None,
                    })
                    .collect()
            }
            Pattern::Array(list) => {
                let bindings = list.bindings().iter();
                bindings
                    .filter_map(|element| match element {
                        ArrayPatternElement::Pattern { pattern, default_init: None } => Some(pattern),
                        _ => None,
                    })
                    .collect()
            }
        };
        for pattern in inner {
            let Some((start, end)) = self.span(pattern.span()) else { continue };
            let is_whole = self.code[start..end].starts_with(['{', '[']) && self.code[..end].ends_with(['}', ']']);
            if !is_whole || !matches!(self.next(end), Some(',' | '}' | ']')) {
                continue;
            }
            let first = self.first_of(pattern);
            let (said, at) = match (first, pattern) {
                (Some(name), _) => {
                    let from = skip_blank(self.code, start + 1);
                    let said = format!("Cannot read properties of undefined (reading '{name}')");
                    (said, self.spot(from, from + token(self.code, from)))
                }
                (None, Pattern::Object(_)) => {
                    ("Cannot destructure 'undefined' as it is undefined.".to_owned(), self.spot(start, end))
                }
                (None, Pattern::Array(_)) => {
                    let said = "undefined is not iterable (cannot read property Symbol(Symbol.iterator))";
                    (said.to_owned(), self.spot(start, end))
                }
            };
            self.add(end, end, Site::Missing { said, at });
        }
    }

    pub(super) fn export_variables(&mut self, variables: &[Variable]) {
        for variable in variables {
            let Binding::Identifier(name) = variable.binding() else { continue };
            let Some((start, end)) = self.span(name.span()) else { continue };
            let value = variable.init().and_then(|init| self.value(init, &[',', ';', '}']));
            let at = self.spot(start, end);
            let name = self.names.text(name.sym());
            self.facts.exports.push(Export { name, at, value });
        }
    }
}
