//! Which expressions are marked, and what is known of them.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::ControlFlow;

use boa_ast::declaration::{Binding, Declaration, ExportDeclaration, ImportDeclaration, ImportKind, Variable};
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField, SimplePropertyAccess};
use boa_ast::expression::literal::{LiteralKind, TemplateElement};
use boa_ast::expression::operator::assign::AssignTarget;
use boa_ast::expression::operator::binary::BinaryOp;
use boa_ast::expression::operator::unary::UnaryOp;
use boa_ast::expression::operator::update::UpdateTarget;
use boa_ast::expression::{Expression, Identifier};
use boa_ast::function::{ClassDeclaration, ClassElement};
use boa_ast::operations::{ContainsSymbol, contains};
use boa_ast::pattern::Pattern;
use boa_ast::property::PropertyName;
use boa_ast::statement::iteration::{ForInLoop, ForOfLoop, IterableLoopInitializer};
use boa_ast::statement::{Catch, Statement};
use boa_ast::visitor::{VisitWith, Visitor};
use boa_ast::{Position, Span, Spanned};
use boa_interner::Interner;

use super::super::site::{Scalar, Site, SiteId, Spot, Value, Worth};
use super::super::text::{Bytes, Insertions, Lines, skip_blank};
use super::super::{TAKEN_END, TAKING, TOOK, Trial, likely};
use super::flow::Flow;
use super::names::Names;
use super::operations::may_fail;
use super::{Extra, Facts, Request, Wrap, quoted};

/// The mark doubles how deep the engine's parser goes.
pub(super) const DEPTH_MAX: u32 = 100;

pub(super) struct Scribe<'a> {
    /// The file as it is.
    pub(super) code: &'a str,
    /// Of the text that was parsed.
    pub(super) lines: Lines,
    pub(super) insertions: Insertions,
    pub(super) names: Names<'a>,
    pub(super) flow: &'a Flow<'a>,
    pub(super) file: u32,
    pub(super) first: SiteId,
    pub(super) trial: &'a Trial,
    /// Loops through keys, by where they declare their names.
    loops: HashMap<Position, SiteId>,
    /// The literals around.
    pub(super) depth: u32,
    /// The text has words that interrupt a literal's evaluation.
    pub(super) pauses: bool,
    /// Its arithmetic may fail.
    pub(super) fails: bool,
    pub(super) sites: Vec<Site>,
    pub(super) wraps: Vec<Wrap>,
    pub(super) facts: Facts,
    pub(super) wholes: u32,
    pub(super) broken: bool,
}

/// What one file is to be marked with.
pub(super) struct Marks {
    pub(super) wraps: Vec<Wrap>,
    pub(super) sites: Vec<Site>,
    pub(super) facts: Facts,
}

impl<'a> Scribe<'a> {
    pub(super) fn over(
        code: &'a str,
        base: &str,
        insertions: Insertions,
        (names, flow): (Names<'a>, &'a Flow<'a>),
        (file, first): (u32, SiteId),
        trial: &'a Trial,
    ) -> Self {
        Self {
            code,
            lines: Lines::of(base),
            insertions,
            names,
            flow,
            file,
            first,
            trial,
            loops: HashMap::new(),
            depth: 0,
            pauses: code.contains("await") || code.contains("yield"),
            fails: may_fail(code),
            sites: Vec::new(),
            wraps: Vec::new(),
            facts: Facts::default(),
            wholes: 0,
            broken: false,
        }
    }

    pub(super) fn visit<P: VisitWith>(mut self, program: &P) -> Option<Marks> {
        if self.names.dynamic {
            return None;
        }
        let _ = program.visit_with(&mut self);
        if self.wholes != 1 {
            self.facts.whole = None;
        }
        (!self.broken).then_some(Marks { wraps: self.wraps, sites: self.sites, facts: self.facts })
    }

    pub(super) fn offset(&self, position: Position) -> Option<usize> {
        let at = self.lines.offset(position.line_number(), position.column_number())?;
        let at = self.insertions.back(at);
        self.code.is_char_boundary(at).then_some(at)
    }

    pub(super) fn span(&self, span: Span) -> Option<(usize, usize)> {
        Some((self.offset(span.start())?, self.offset(span.end())?)).filter(|(start, end)| start <= end)
    }

    pub(super) fn spot(&self, start: usize, end: usize) -> Spot {
        Spot { file: self.file, bytes: Bytes::new(start, end) }
    }

    /// The first significant character from here on.
    pub(super) fn next(&self, at: usize) -> Option<char> {
        self.code.get(skip_blank(self.code, at)..)?.chars().next()
    }

    pub(super) fn reserve(&mut self) -> u32 {
        let id = u32::try_from(self.sites.len()).unwrap_or(u32::MAX);
        self.sites.push(Site::Free);
        id
    }

    pub(super) fn add(&mut self, start: usize, end: usize, site: Site) -> u32 {
        let id = self.reserve();
        self.sites[id as usize] = site;
        self.wraps.push(Wrap { start, end, site: id, extra: None });
        id
    }

    /// Where an expression starts. The engine's parser says of a call only where its brackets are.
    pub(super) fn start(&self, expression: &Expression) -> Option<usize> {
        let inner = match expression {
            Expression::Call(call) => call.function(),
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => access.target(),
            Expression::PropertyAccess(PropertyAccess::Private(access)) => access.target(),
            Expression::Optional(optional) => optional.target(),
            Expression::TaggedTemplate(tagged) => tagged.tag(),
            Expression::Binary(binary) => binary.lhs(),
            Expression::Conditional(conditional) => conditional.condition(),
            Expression::Assign(assign) => match assign.lhs() {
                AssignTarget::Access(PropertyAccess::Simple(access)) => access.target(),
                other => return self.offset(other.span().start()),
            },
            Expression::Update(update) => match update.target() {
                UpdateTarget::PropertyAccess(PropertyAccess::Simple(access))
                    if !is_prefix(self.code, self.offset(update.span().start())?) =>
                {
                    access.target()
                }
                _ => return self.offset(update.span().start()),
            },
            other => return self.offset(other.span().start()),
        };
        self.start(inner)
    }

    /// Where an expression ends. The parser forgets the bracket behind a computed name.
    pub(super) fn end(&self, expression: &Expression) -> Option<usize> {
        match expression {
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => self.access_end(access),
            Expression::Binary(binary) => self.end(binary.rhs()),
            Expression::Conditional(conditional) => self.end(conditional.if_false()),
            Expression::Assign(assign) => self.end(assign.rhs()),
            Expression::Unary(unary) => self.end(unary.target()),
            Expression::Await(awaited) => self.end(awaited.target()),
            other => {
                let end = self.offset(other.span().end())?;
                Some(end)
            }
        }
    }

    pub(super) fn access_end(&self, access: &SimplePropertyAccess) -> Option<usize> {
        match access.field() {
            PropertyAccessField::Const(field) => self.offset(field.span().end()),
            PropertyAccessField::Expr(field) => {
                let end = skip_blank(self.code, self.end(field)?);
                self.code[end..].starts_with(']').then_some(end + 1)
            }
        }
    }

    /// The expression's bytes, if one of these characters follows.
    pub(super) fn extent(&self, expression: &Expression, followed_by: &[char]) -> Option<(usize, usize)> {
        let (start, end) = (self.start(expression)?, self.end(expression)?);
        (start < end && self.next(end).is_some_and(|c| followed_by.contains(&c))).then_some((start, end))
    }

    pub(super) fn value(&self, expression: &Expression, followed_by: &[char]) -> Option<Value> {
        let (start, end) = self.extent(expression, followed_by)?;
        let worth = self.worth(expression);
        Some(Value { spot: self.made_at(expression, self.spot(start, end), &worth), worth })
    }

    /// Where a value was made, if the expression there only names it.
    pub(super) fn made_at(&self, expression: &Expression, at: Spot, worth: &Worth) -> Spot {
        match expression.flatten() {
            Expression::Identifier(name) => self.named_at(*name, at, worth),
            _ => at,
        }
    }

    pub(super) fn named_at(&self, name: Identifier, at: Spot, worth: &Worth) -> Spot {
        let maker = Some(name).filter(|_| *worth == Worth::Computed).and_then(|name| self.flow.maker(name));
        let known = maker.and_then(|maker| self.start(maker).zip(self.end(maker))).filter(|(start, end)| start < end);
        known.map_or(at, |(start, end)| self.spot(start, end))
    }

    /// Literals get their number when they are visited: until then they count as computed.
    pub(super) fn worth(&self, expression: &Expression) -> Worth {
        match scalar(expression, self.names.interner) {
            Some(scalar) => Worth::Scalar(scalar),
            None => self.one_of(self.flow.scalars(expression)),
        }
    }

    pub(super) fn one_of(&self, expressions: Option<Vec<&Expression>>) -> Worth {
        let place = |expression: &&Expression| {
            let spot = self.start(expression).zip(self.end(expression)).map(|(start, end)| self.spot(start, end));
            spot.zip(scalar(expression, self.names.interner))
        };
        let known: Option<Vec<_>> = expressions.and_then(|expressions| expressions.iter().map(place).collect());
        known.map_or(Worth::Computed, |known| Worth::OneOf(known.into()))
    }

    /// Visits the expression; the site of the literal that it is.
    pub(super) fn inner(&mut self, expression: &Expression) -> Option<SiteId> {
        let shallow = self.depth < DEPTH_MAX;
        self.depth += 1;
        let site = match expression.flatten() {
            Expression::ObjectLiteral(literal) if shallow => self.object(literal),
            Expression::ArrayLiteral(literal) if shallow => self.array(literal),
            other => {
                let _ = self.visit_other(other);
                None
            }
        };
        self.depth -= 1;
        site
    }

    pub(super) fn visit_other(&mut self, expression: &Expression) -> ControlFlow<()> {
        if self.doubted(expression) {
            return ControlFlow::Continue(());
        }
        match expression {
            Expression::Identifier(name) => {
                if let Some((start, end)) = self.span(name.span()) {
                    self.key_of(*name, start, end);
                    self.name(*name, start, end);
                }
                ControlFlow::Continue(())
            }
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => {
                self.read(access);
                access.visit_with(self)
            }
            Expression::Assign(assign) => {
                self.assign(assign);
                ControlFlow::Continue(())
            }
            Expression::Update(update) => {
                self.update(update);
                ControlFlow::Continue(())
            }
            Expression::Unary(unary) => {
                match (unary.op(), unary.target().flatten()) {
                    // What is deleted is a reference, not a value.
                    (UnaryOp::Delete, Expression::PropertyAccess(PropertyAccess::Simple(access))) => {
                        access.visit_with(self)
                    }
                    (UnaryOp::Delete, _) | (UnaryOp::TypeOf, Expression::Identifier(_)) => ControlFlow::Continue(()),
                    _ => {
                        self.unary(unary);
                        unary.visit_with(self)
                    }
                }
            }
            Expression::Literal(_) | Expression::TemplateLiteral(_) if is_text(expression) => {
                self.text(expression);
                ControlFlow::Continue(())
            }
            // What is compared or put together is handed on by neither.
            Expression::Binary(binary) if !matches!(binary.op(), BinaryOp::Logical(_)) => {
                self.binary(binary);
                let sides = [binary.lhs(), binary.rhs()].into_iter().filter(|side| !is_text(side));
                sides.into_iter().try_for_each(|side| self.visit_expression(side))
            }
            Expression::TemplateLiteral(template) => {
                self.template(template);
                template.visit_with(self)
            }
            Expression::ClassExpression(class) => {
                self.extends(class.super_ref());
                class.visit_with(self)
            }
            Expression::Optional(optional) => {
                self.optional(optional);
                optional.visit_with(self)
            }
            Expression::TaggedTemplate(tagged) => {
                self.tagged(tagged);
                tagged.visit_with(self)
            }
            Expression::Call(call) => self.call(call),
            Expression::New(new) => self.construct(new),
            other => other.visit_with(self),
        }
    }
}

impl Scribe<'_> {
    /// Gives a key that a loop has come to a string of its own.
    fn key_of(&mut self, name: Identifier, start: usize, end: usize) {
        let keys = self.flow.key_of(name).and_then(|each| self.loops.get(&each)).copied();
        if let Some(keys) = keys
            && self.depth < DEPTH_MAX
        {
            self.add(start, end, Site::KeyOf(keys));
        }
    }

    /// Begins a handler with a mark of what it has caught.
    fn caught(&mut self, name: Identifier) {
        let Some((start, end)) = self.span(name.span()) else { return };
        let behind = skip_blank(self.code, end);
        let Some(text) = self.code[behind..].starts_with(')').then(|| self.code[start..end].to_owned()) else { return };
        let block = skip_blank(self.code, behind + 1);
        if self.code[block..].starts_with('{') {
            let site = self.reserve();
            self.sites[site as usize] = Site::Caught;
            self.put(block + 1, site, Extra::Caught(text));
        }
    }

    /// The same, where it is taken apart at once.
    fn caught_apart(&mut self, pattern: &Pattern) {
        let Some((start, end)) = self.span(pattern.span()) else { return };
        let is_whole = self.code[start..end].starts_with(['{', '[']) && self.code[..end].ends_with(['}', ']']);
        let behind = skip_blank(self.code, end);
        if !is_whole || !self.code[behind..].starts_with(')') {
            return;
        }
        let block = skip_blank(self.code, behind + 1);
        let Some(length) = likely::block(&self.code[block..]) else { return };
        let site = self.reserve();
        self.sites[site as usize] = Site::Caught;
        self.put(start, site, Extra::Text(TAKING));
        self.put(end, site, Extra::Taken);
        self.put(behind + 1, site, Extra::Text(TOOK));
        self.put(block + length, site, Extra::Text(TAKEN_END));
    }

    fn put(&mut self, at: usize, site: u32, extra: Extra) {
        self.wraps.push(Wrap { start: at, end: at, site, extra: Some(extra) });
    }

    /// Gives a text in quotes a string of its own.
    fn text(&mut self, expression: &Expression) {
        let Some((start, end)) = self.span(expression.span()) else { return };
        let text = &self.code[start..end];
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"' | '`'));
        if self.depth < DEPTH_MAX && quote.is_some_and(|quote| end - start > 2 && text.ends_with(quote)) {
            let at = self.spot(start, end);
            self.add(start, end, Site::Text { at, own: OnceCell::new() });
        }
    }
}

impl<'ast> Visitor<'ast> for Scribe<'_> {
    type BreakTy = ();

    fn visit_expression(&mut self, expression: &'ast Expression) -> ControlFlow<()> {
        self.inner(expression);
        ControlFlow::Continue(())
    }

    fn visit_statement(&mut self, statement: &'ast Statement) -> ControlFlow<()> {
        self.choice(statement);
        match statement {
            // `'use strict'` is none with a mark.
            Statement::Expression(expression) if is_text(expression) => ControlFlow::Continue(()),
            Statement::Throw(throw) => {
                self.thrown(throw.target());
                statement.visit_with(self)
            }
            _ => statement.visit_with(self),
        }
    }

    fn visit_class_declaration(&mut self, class: &'ast ClassDeclaration) -> ControlFlow<()> {
        self.extends(class.super_ref());
        class.visit_with(self)
    }

    fn visit_class_element(&mut self, element: &'ast ClassElement) -> ControlFlow<()> {
        if let ClassElement::FieldDefinition(field) = element {
            self.field_of_class(field);
        }
        element.visit_with(self)
    }

    fn visit_property_access_field(&mut self, field: &'ast PropertyAccessField) -> ControlFlow<()> {
        match field {
            PropertyAccessField::Expr(name) if scalar(name, self.names.interner).is_some() => ControlFlow::Continue(()),
            _ => field.visit_with(self),
        }
    }

    fn visit_property_name(&mut self, name: &'ast PropertyName) -> ControlFlow<()> {
        match name {
            PropertyName::Computed(name) if scalar(name, self.names.interner).is_some() => ControlFlow::Continue(()),
            _ => name.visit_with(self),
        }
    }

    fn visit_catch(&mut self, catch: &'ast Catch) -> ControlFlow<()> {
        match catch.parameter() {
            Some(Binding::Identifier(name)) => self.caught(*name),
            Some(Binding::Pattern(pattern)) => self.caught_apart(pattern),
            None => {}
        }
        catch.visit_with(self)
    }

    fn visit_variable(&mut self, variable: &'ast Variable) -> ControlFlow<()> {
        if let (Binding::Pattern(pattern), Some(init)) = (variable.binding(), variable.init()) {
            self.unpack(pattern, init);
        }
        variable.visit_with(self)
    }

    fn visit_pattern(&mut self, pattern: &'ast Pattern) -> ControlFlow<()> {
        self.nested(pattern);
        self.written_apart(pattern);
        pattern.visit_with(self)
    }

    fn visit_for_of_loop(&mut self, each: &'ast ForOfLoop) -> ControlFlow<()> {
        let iterable = each.iterable();
        if let IterableLoopInitializer::Access(access) = each.initializer() {
            self.written_to(access);
        }
        if !each.r#await()
            && !self.names.is_defined(iterable)
            && let Some((start, end)) = self.extent(iterable, &[')'])
        {
            let at = self.spot(start, end);
            self.add(start, end, Site::Iterate { at });
        }
        each.visit_with(self)
    }

    fn visit_for_in_loop(&mut self, each: &'ast ForInLoop) -> ControlFlow<()> {
        let keys = self.extent(each.target(), &[')']);
        if let IterableLoopInitializer::Const(binding) | IterableLoopInitializer::Let(binding) = each.initializer()
            && let (Binding::Identifier(name), Some((start, end))) = (binding, keys)
        {
            let site = self.add(start, end, Site::Keys);
            self.loops.insert(name.span().start(), self.first + site);
        }
        each.visit_with(self)
    }

    fn visit_import_declaration(&mut self, import: &'ast ImportDeclaration) -> ControlFlow<()> {
        let specifier = self.names.text(import.specifier().sym());
        let mut names = Vec::new();
        if let Some(name) = import.default()
            && let Some((start, end)) = self.span(name.span())
        {
            names.push(("default".to_owned(), Bytes::new(start, end)));
        }
        if let ImportKind::Named { names: list } = import.kind() {
            for name in list {
                if let Some((start, end)) = self.span(name.binding().span()) {
                    names.push((self.names.text(name.export_name()), Bytes::new(start, end)));
                }
            }
        }
        // The parser does not say where a declaration's specifier stands: it is the first such text behind the names.
        let from = names.first().map_or(0, |(_, at)| at.start as usize);
        let at = quoted(self.code, &specifier, from).unwrap_or(Bytes::new(0, 0));
        self.facts.requests.push(Request { specifier, at, names });
        ControlFlow::Continue(())
    }

    fn visit_export_declaration(&mut self, export: &'ast ExportDeclaration) -> ControlFlow<()> {
        match export {
            ExportDeclaration::Declaration(Declaration::Lexical(declaration)) => {
                self.export_variables(declaration.variable_list().as_ref());
            }
            ExportDeclaration::VarStatement(declaration) => self.export_variables(declaration.0.as_ref()),
            ExportDeclaration::DefaultAssignmentExpression(expression) => {
                let spot = self.start(expression).zip(self.end(expression));
                let spot = spot.map(|(start, end)| self.spot(start, end));
                let site = self.inner(expression);
                let worth = site.map_or_else(|| self.worth(expression), Worth::Literal);
                self.wholes += 1;
                self.facts.whole = spot.map(|spot| Value { spot, worth });
                return ControlFlow::Continue(());
            }
            ExportDeclaration::DefaultClassDeclaration(class) => {
                if let Some((start, end)) = self.span(class.name().span()) {
                    self.wholes += 1;
                    self.facts.whole = Some(Value { spot: self.spot(start, end), worth: Worth::Computed });
                }
            }
            ExportDeclaration::ReExport { specifier, .. } => {
                let specifier = self.names.text(specifier.sym());
                if let Some(at) = quoted(self.code, &specifier, 0) {
                    self.facts.requests.push(Request { specifier, at, names: Vec::new() });
                }
                return ControlFlow::Continue(());
            }
            _ => {}
        }
        export.visit_with(self)
    }
}

/// Whether evaluating it may be left and come back to.
pub(super) fn pauses<N: VisitWith>(node: &N) -> bool {
    contains(node, ContainsSymbol::AwaitExpression) || contains(node, ContainsSymbol::YieldExpression)
}

fn is_prefix(code: &str, at: usize) -> bool {
    code[at..].starts_with("++") || code[at..].starts_with("--")
}

/// Whether an expression is only a text.
fn is_text(expression: &Expression) -> bool {
    match expression {
        Expression::Literal(literal) => matches!(literal.kind(), LiteralKind::String(_)),
        Expression::TemplateLiteral(template) => matches!(template.elements(), [TemplateElement::String(_)]),
        _ => false,
    }
}

/// The value that an expression writes down.
pub(super) fn scalar(expression: &Expression, interner: &Interner) -> Option<Scalar> {
    match expression.flatten() {
        Expression::Literal(literal) => Some(match literal.kind() {
            LiteralKind::String(sym) => Scalar::Text(interner.resolve_expect(*sym).to_string()),
            LiteralKind::Num(number) => Scalar::Number(*number),
            LiteralKind::Int(number) => Scalar::Number(f64::from(*number)),
            LiteralKind::Bool(value) => Scalar::Bool(*value),
            LiteralKind::Null => Scalar::Null,
            LiteralKind::BigInt(_) | LiteralKind::Undefined => return None,
        }),
        Expression::Unary(unary) => match (unary.op(), scalar(unary.target(), interner)?) {
            (UnaryOp::Minus, Scalar::Number(number)) => Some(Scalar::Number(-number)),
            (UnaryOp::Plus, Scalar::Number(number)) => Some(Scalar::Number(number)),
            _ => None,
        },
        Expression::TemplateLiteral(template) => match template.elements() {
            [TemplateElement::String(sym)] => Some(Scalar::Text(interner.resolve_expect(*sym).to_string())),
            _ => None,
        },
        _ => None,
    }
}
