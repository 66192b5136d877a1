//! Puts calls of the mark around the expressions of a program that values come from.
//!
//! `{name: f(x)}` becomes `$pmrun(7,{name: f(x)}/*$pmrun*/)`. The mark returns what it is given, so the program means
//! the same. Only whole expressions are wrapped, never patterns, and no line is added. What is not certain is left alone.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;

use boa_ast::declaration::{
    Binding, Declaration, ExportDeclaration, ImportDeclaration, ImportKind, LexicalDeclaration, VarDeclaration,
    Variable,
};
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField, SimplePropertyAccess};
use boa_ast::expression::literal::{ArrayLiteral, LiteralKind, ObjectLiteral, PropertyDefinition, TemplateElement};
use boa_ast::expression::operator::assign::{Assign, AssignOp, AssignTarget};
use boa_ast::expression::operator::unary::UnaryOp;
use boa_ast::expression::operator::update::{Update, UpdateTarget};
use boa_ast::expression::{Call, Expression, Identifier, New};
use boa_ast::function::{
    AsyncFunctionDeclaration, AsyncGeneratorDeclaration, ClassDeclaration, FunctionDeclaration, GeneratorDeclaration,
};
use boa_ast::operations::{ContainsSymbol, contains};
use boa_ast::pattern::{ObjectPatternElement, Pattern};
use boa_ast::property::{MethodDefinitionKind, PropertyName};
use boa_ast::scope::Scope;
use boa_ast::statement::With;
use boa_ast::statement::iteration::ForOfLoop;
use boa_ast::visitor::{VisitWith, Visitor};
use boa_ast::{Position, Span, Spanned};
use boa_engine::Source;
use boa_interner::{Interner, Sym};
use boa_parser::Parser;

use super::site::{Entry, Export, Item, Object, Scalar, Site, SiteId, Spot, Value, Worth};
use super::text::{Bytes, Insertions, Lines, skip_blank};
use super::{CLOSE, MARK, known};
use crate::config::js::source::{WRAPPER, WRAPPER_END};
use crate::document::js_number;

/// Larger files are bundles: nobody reads places in them, and they would take their time.
const LENGTH_MAX: usize = 512 << 10;
/// The mark doubles how deep the engine's parser goes.
const DEPTH_MAX: u32 = 100;

/// How the engine takes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config::js) enum Shape {
    CommonJs,
    Module,
}

/// A file with its marks.
pub(super) struct Rewritten {
    pub(super) text: String,
    pub(super) insertions: Insertions,
    pub(super) sites: Vec<Site>,
    pub(super) facts: Facts,
}

/// What errors are explained with.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// By the byte of its bracket.
    pub(super) calls: HashMap<u32, Callee>,
    /// Names that the file uses and does not declare.
    pub(super) free: Vec<(String, Bytes)>,
    /// What is required and imported, with the names that are imported from it.
    pub(super) requests: Vec<Request>,
    pub(super) exports: Vec<Export>,
    /// The one value that is exported as a whole.
    pub(super) whole: Option<Value>,
}

/// What a call calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Callee {
    pub(super) whole: Bytes,
    /// Of `a.b.c()`, the `c`; of `new A()`, the `new A`.
    pub(super) name: Bytes,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) specifier: String,
    pub(super) at: Bytes,
    pub(super) names: Vec<(String, Bytes)>,
}

/// The program as the engine is given it, without marks.
pub(super) fn plain(code: &str, shape: Shape, before: &[(usize, &'static str)]) -> (String, Insertions) {
    let mut all: Vec<(usize, Cow<'_, str>)> = before.iter().map(|(at, text)| (*at, (*text).into())).collect();
    if shape == Shape::CommonJs {
        all.insert(0, (0, WRAPPER.into()));
        all.push((code.len(), WRAPPER_END.into()));
    }
    Insertions::apply(code, all)
}

/// The program with its marks; None when that cannot be, or is not worth it. `before` is what has to be inserted anyway.
pub(super) fn rewrite(
    code: &str,
    shape: Shape,
    before: &[(usize, &'static str)],
    file: u32,
    first: SiteId,
) -> Option<Rewritten> {
    if code.len() > LENGTH_MAX || code.contains(MARK) {
        return None;
    }
    let (base, insertions) = plain(code, shape, before);
    let mut interner = Interner::default();
    let mut parser = Parser::new(Source::from_bytes(&base));
    let mut names = Names { interner: &Interner::default(), declared: HashMap::new(), dynamic: false };
    let scribe = match shape {
        Shape::CommonJs => {
            let (program, _) = parser.parse_eval(false, &mut interner).ok()?;
            names.interner = &interner;
            let _ = program.visit_with(&mut names);
            names.declare_wrapper();
            Scribe::over(code, &base, insertions, names, file, first).visit(&program)?
        }
        Shape::Module => {
            let program = parser.parse_module(&Scope::new_global(), &mut interner).ok()?;
            names.interner = &interner;
            let _ = program.visit_with(&mut names);
            Scribe::over(code, &base, insertions, names, file, first).visit(&program)?
        }
    };
    let (text, insertions) = inserted(code, shape, before, scribe.wraps, first)?;
    Some(Rewritten { text, insertions, sites: scribe.sites, facts: scribe.facts })
}

/// The text with the wraps, which have to lie within each other.
fn inserted(
    code: &str,
    shape: Shape,
    before: &[(usize, &'static str)],
    mut wraps: Vec<Wrap>,
    first: SiteId,
) -> Option<(String, Insertions)> {
    // Stable: of two around the same bytes, the outer one was met first.
    wraps.sort_by_key(|wrap| (wrap.start, std::cmp::Reverse(wrap.end)));
    let mut all: Vec<(usize, Cow<'_, str>)> = before.iter().map(|(at, text)| (*at, (*text).into())).collect();
    let split = all.len();
    let mut open: Vec<usize> = Vec::new();
    for wrap in &wraps {
        while open.last().is_some_and(|end| *end <= wrap.start) {
            all.extend(open.pop().map(|end| (end, CLOSE.into())));
        }
        if open.last().is_some_and(|end| *end < wrap.end) {
            return None;
        }
        let joins =
            code[..wrap.start].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii());
        let apart = if joins { super::APART } else { "" };
        all.push((wrap.start, format!("{apart}{MARK}({},", first + wrap.site).into()));
        open.push(wrap.end);
    }
    all.extend(open.into_iter().rev().map(|end| (end, CLOSE.into())));
    if split > 0 {
        all.sort_by_key(|(at, _)| *at);
    }
    if shape == Shape::CommonJs {
        all.insert(0, (0, WRAPPER.into()));
        all.push((code.len(), WRAPPER_END.into()));
    }
    Some(Insertions::apply(code, all))
}

/// Names that a file declares anywhere, and whether what they hold can be undefined.
struct Names<'a> {
    interner: &'a Interner,
    declared: HashMap<Sym, bool>,
    /// There is a `with`: names mean something else in it.
    dynamic: bool,
}

impl Names<'_> {
    fn declare(&mut self, name: Identifier, defined: bool) {
        self.declared.entry(name.sym()).and_modify(|known| *known = *known && defined).or_insert(defined);
    }

    /// The parameters of Node's wrapper are never undefined.
    fn declare_wrapper(&mut self) {
        for name in ["exports", "require", "module", "__filename", "__dirname"] {
            self.declared.extend(self.interner.get(name).map(|sym| (sym, true)));
        }
    }

    fn variables(&mut self, variables: &[Variable], constant: bool) {
        for variable in variables {
            if let Binding::Identifier(name) = variable.binding() {
                let defined = constant && variable.init().is_some_and(|init| self.is_defined(init));
                self.declare(*name, defined);
            }
        }
    }

    /// Whether the expression certainly has properties.
    fn is_defined(&self, expression: &Expression) -> bool {
        match expression.flatten() {
            Expression::This(_)
            | Expression::RegExpLiteral(_)
            | Expression::ArrayLiteral(_)
            | Expression::ObjectLiteral(_)
            | Expression::FunctionExpression(_)
            | Expression::ArrowFunction(_)
            | Expression::AsyncArrowFunction(_)
            | Expression::AsyncFunctionExpression(_)
            | Expression::ClassExpression(_)
            | Expression::TemplateLiteral(_)
            | Expression::ImportMeta(_)
            | Expression::New(_) => true,
            Expression::Literal(literal) => !matches!(literal.kind(), LiteralKind::Null | LiteralKind::Undefined),
            Expression::Identifier(name) => match self.declared.get(&name.sym()) {
                Some(defined) => *defined,
                None => known::is_global(&self.text(name.sym())),
            },
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => {
                let PropertyAccessField::Const(field) = access.field() else { return false };
                let Expression::Identifier(object) = access.target() else { return false };
                let pair = (self.text(object.sym()), self.text(field.sym()));
                matches!((pair.0.as_str(), pair.1.as_str()), ("process", "env") | ("module", "exports"))
            }
            _ => false,
        }
    }

    fn text(&self, sym: Sym) -> String {
        self.interner.resolve_expect(sym).to_string()
    }
}

impl<'ast> Visitor<'ast> for Names<'_> {
    type BreakTy = ();

    fn visit_identifier(&mut self, name: &'ast Identifier) -> ControlFlow<()> {
        // Parameters, patterns and what `catch` binds come here; so do names in expressions, unless they are kept away.
        self.declare(*name, false);
        ControlFlow::Continue(())
    }

    fn visit_expression(&mut self, expression: &'ast Expression) -> ControlFlow<()> {
        match expression {
            Expression::Identifier(_) => ControlFlow::Continue(()),
            _ => expression.visit_with(self),
        }
    }

    fn visit_property_name(&mut self, name: &'ast PropertyName) -> ControlFlow<()> {
        match name {
            PropertyName::Literal(_) => ControlFlow::Continue(()),
            PropertyName::Computed(expression) => self.visit_expression(expression),
        }
    }

    fn visit_property_access_field(&mut self, field: &'ast PropertyAccessField) -> ControlFlow<()> {
        match field {
            PropertyAccessField::Const(_) => ControlFlow::Continue(()),
            PropertyAccessField::Expr(expression) => self.visit_expression(expression),
        }
    }

    fn visit_property_definition(&mut self, property: &'ast PropertyDefinition) -> ControlFlow<()> {
        match property {
            PropertyDefinition::IdentifierReference(_) => ControlFlow::Continue(()),
            _ => property.visit_with(self),
        }
    }

    fn visit_var_declaration(&mut self, declaration: &'ast VarDeclaration) -> ControlFlow<()> {
        self.variables(declaration.0.as_ref(), false);
        declaration.visit_with(self)
    }

    fn visit_lexical_declaration(&mut self, declaration: &'ast LexicalDeclaration) -> ControlFlow<()> {
        self.variables(declaration.variable_list().as_ref(), declaration.is_const());
        declaration.visit_with(self)
    }

    fn visit_variable(&mut self, variable: &'ast Variable) -> ControlFlow<()> {
        if let Binding::Pattern(pattern) = variable.binding() {
            self.visit_pattern(pattern)?;
        }
        variable.init().map_or(ControlFlow::Continue(()), |init| self.visit_expression(init))
    }

    fn visit_function_declaration(&mut self, function: &'ast FunctionDeclaration) -> ControlFlow<()> {
        self.declare(function.name(), true);
        self.visit_formal_parameter_list(function.parameters())?;
        self.visit_function_body(function.body())
    }

    fn visit_generator_declaration(&mut self, function: &'ast GeneratorDeclaration) -> ControlFlow<()> {
        self.declare(function.name(), true);
        self.visit_formal_parameter_list(function.parameters())?;
        self.visit_function_body(function.body())
    }

    fn visit_async_function_declaration(&mut self, function: &'ast AsyncFunctionDeclaration) -> ControlFlow<()> {
        self.declare(function.name(), true);
        self.visit_formal_parameter_list(function.parameters())?;
        self.visit_function_body(function.body())
    }

    fn visit_async_generator_declaration(&mut self, function: &'ast AsyncGeneratorDeclaration) -> ControlFlow<()> {
        self.declare(function.name(), true);
        self.visit_formal_parameter_list(function.parameters())?;
        self.visit_function_body(function.body())
    }

    fn visit_class_declaration(&mut self, class: &'ast ClassDeclaration) -> ControlFlow<()> {
        class.visit_with(self)
    }

    fn visit_with(&mut self, with: &'ast With) -> ControlFlow<()> {
        self.dynamic = true;
        VisitWith::visit_with(with, self)
    }
}

/// One call of the mark.
struct Wrap {
    start: usize,
    end: usize,
    /// Counted from the file's first one.
    site: u32,
}

struct Scribe<'a> {
    /// The file as it is.
    code: &'a str,
    /// Of the text that was parsed.
    lines: Lines,
    insertions: Insertions,
    names: Names<'a>,
    file: u32,
    first: SiteId,
    /// The literals around.
    depth: u32,
    /// The text has words that interrupt a literal's evaluation.
    pauses: bool,
    sites: Vec<Site>,
    wraps: Vec<Wrap>,
    facts: Facts,
    wholes: u32,
    broken: bool,
}

impl<'a> Scribe<'a> {
    fn over(code: &'a str, base: &str, insertions: Insertions, names: Names<'a>, file: u32, first: SiteId) -> Self {
        Self {
            code,
            lines: Lines::of(base),
            insertions,
            names,
            file,
            first,
            depth: 0,
            pauses: code.contains("await") || code.contains("yield"),
            sites: Vec::new(),
            wraps: Vec::new(),
            facts: Facts::default(),
            wholes: 0,
            broken: false,
        }
    }

    fn visit<P: VisitWith>(mut self, program: &P) -> Option<Self> {
        if self.names.dynamic {
            return None;
        }
        let _ = program.visit_with(&mut self);
        if self.wholes != 1 {
            self.facts.whole = None;
        }
        (!self.broken).then_some(self)
    }

    fn offset(&self, position: Position) -> Option<usize> {
        let at = self.lines.offset(position.line_number(), position.column_number())?;
        let at = self.insertions.back(at);
        self.code.is_char_boundary(at).then_some(at)
    }

    fn span(&self, span: Span) -> Option<(usize, usize)> {
        Some((self.offset(span.start())?, self.offset(span.end())?)).filter(|(start, end)| start <= end)
    }

    fn spot(&self, start: usize, end: usize) -> Spot {
        Spot { file: self.file, bytes: Bytes::new(start, end) }
    }

    /// The first significant character from here on.
    fn next(&self, at: usize) -> Option<char> {
        self.code.get(skip_blank(self.code, at)..)?.chars().next()
    }

    fn reserve(&mut self) -> u32 {
        let id = u32::try_from(self.sites.len()).unwrap_or(u32::MAX);
        self.sites.push(Site::Free);
        id
    }

    fn add(&mut self, start: usize, end: usize, site: Site) -> u32 {
        let id = self.reserve();
        self.sites[id as usize] = site;
        self.wraps.push(Wrap { start, end, site: id });
        id
    }

    /// Where an expression starts. The engine's parser says of a call only where its brackets are.
    fn start(&self, expression: &Expression) -> Option<usize> {
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
    fn end(&self, expression: &Expression) -> Option<usize> {
        match expression {
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => self.access_end(access),
            Expression::Binary(binary) => self.end(binary.rhs()),
            Expression::Conditional(conditional) => self.end(conditional.if_false()),
            Expression::Assign(assign) => self.end(assign.rhs()),
            Expression::Unary(unary) => self.end(unary.target()),
            Expression::Await(awaited) => self.end(awaited.target()),
            other => {
                let end = self.offset(other.span().end())?;
                let bracket = matches!(other, Expression::Optional(_)) && self.next(end) == Some(']');
                Some(if bracket { skip_blank(self.code, end) + 1 } else { end })
            }
        }
    }

    fn access_end(&self, access: &SimplePropertyAccess) -> Option<usize> {
        match access.field() {
            PropertyAccessField::Const(field) => self.offset(field.span().end()),
            PropertyAccessField::Expr(field) => {
                let end = skip_blank(self.code, self.end(field)?);
                self.code[end..].starts_with(']').then_some(end + 1)
            }
        }
    }

    /// The expression's bytes, if one of these characters follows.
    fn extent(&self, expression: &Expression, followed_by: &[char]) -> Option<(usize, usize)> {
        let (start, end) = (self.start(expression)?, self.end(expression)?);
        (start < end && self.next(end).is_some_and(|c| followed_by.contains(&c))).then_some((start, end))
    }

    fn value(&self, expression: &Expression, followed_by: &[char]) -> Option<Value> {
        let (start, end) = self.extent(expression, followed_by)?;
        Some(Value { spot: self.spot(start, end), worth: self.worth(expression) })
    }

    /// Literals get their number when they are visited: until then they count as computed.
    fn worth(&self, expression: &Expression) -> Worth {
        scalar(expression, self.names.interner).map_or(Worth::Computed, Worth::Scalar)
    }

    fn object(&mut self, literal: &ObjectLiteral) -> Option<SiteId> {
        let (start, end) = self.span(literal.span())?;
        if !self.code[start..end].starts_with('{') || !self.code[..end].ends_with('}') {
            self.broken = true;
            return None;
        }
        let id = self.add(start, end, Site::Free);
        let spreads =
            literal.properties().iter().any(|property| matches!(property, PropertyDefinition::SpreadObject(_)));
        let told = !(spreads && self.pauses && pauses(literal));
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

    fn entry(&mut self, property: &PropertyDefinition) -> Option<Entry> {
        match property {
            PropertyDefinition::IdentifierReference(name) => {
                let (start, end) = self.span(name.span())?;
                let key = self.names.text(name.sym());
                self.free(*name, Bytes::new(start, end));
                let at = self.spot(start, end);
                Some(Entry::Named { key, at, value: Value { spot: at, worth: Worth::Computed } })
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
    fn key(&mut self, name: &PropertyName) -> Option<(Option<String>, Spot)> {
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
                if in_brackets {
                    let _ = self.visit_expression(expression);
                }
                Some((text, self.spot(start, end)))
            }
        }
    }

    fn spread(&mut self, operand: &Expression, literal: u32, slot: Option<u32>, followed_by: &[char]) -> Option<Spot> {
        let (start, end) = self.extent(operand, followed_by)?;
        if let Some(slot) = slot {
            let literal = self.first + literal;
            self.add(start, end, Site::Spread { literal, slot });
        }
        Some(self.spot(start, end))
    }

    fn array(&mut self, literal: &ArrayLiteral) -> Option<SiteId> {
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

    /// Visits the expression; the site of the literal that it is.
    fn inner(&mut self, expression: &Expression) -> Option<SiteId> {
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

    fn visit_other(&mut self, expression: &Expression) -> ControlFlow<()> {
        match expression {
            Expression::Identifier(name) => {
                if let Some((start, end)) = self.span(name.span()) {
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
                    _ => unary.visit_with(self),
                }
            }
            Expression::Call(call) => self.call(call),
            Expression::New(new) => self.construct(new),
            other => other.visit_with(self),
        }
    }

    fn name(&mut self, name: Identifier, start: usize, end: usize) {
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

    fn free(&mut self, name: Identifier, at: Bytes) {
        if !self.names.declared.contains_key(&name.sym()) {
            self.facts.free.push((self.names.text(name.sym()), at));
        }
    }

    /// Checks what a property is read of: the engine does not say which one was undefined.
    fn read(&mut self, access: &SimplePropertyAccess) {
        if self.names.is_defined(access.target()) {
            return;
        }
        let (name, at) = match access.field() {
            PropertyAccessField::Const(field) => (self.names.text(field.sym()), self.span(field.span())),
            PropertyAccessField::Expr(field) => {
                let name = match scalar(field, self.names.interner) {
                    Some(Scalar::Text(text)) => text,
                    Some(Scalar::Number(number)) => js_number(number),
                    _ => return,
                };
                (name, self.start(field).zip(self.end(field)))
            }
        };
        let (Some((start, end)), Some((from, to))) = (self.extent(access.target(), &['.', '[']), at) else { return };
        let at = self.spot(from, to);
        self.add(start, end, Site::Read { name, at });
    }

    fn assign(&mut self, assign: &Assign) {
        let rhs = assign.rhs();
        if let AssignTarget::Access(PropertyAccess::Simple(access)) = assign.lhs() {
            let plain = assign.op() == AssignOp::Assign;
            let start = self.start(rhs);
            let spot = start.zip(self.end(rhs)).map(|(start, end)| self.spot(start, end));
            let write = self.write(access, spot);
            let site = self.inner(rhs);
            let worth = match site {
                _ if !plain => Worth::Computed,
                Some(site) => Worth::Literal(site),
                None => self.worth(rhs),
            };
            if let Some(spot) = spot {
                let value = Value { spot, worth };
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
        let _ = self.visit_assign_target(assign.lhs());
        let _ = self.inner(rhs);
    }

    fn update(&mut self, update: &Update) {
        match update.target() {
            UpdateTarget::PropertyAccess(PropertyAccess::Simple(access)) => {
                let spot = self.start(access.target()).zip(self.access_end(access));
                let spot = spot.map(|(start, end)| self.spot(start, end));
                self.write(access, spot);
            }
            UpdateTarget::PropertyAccess(other) => {
                let _ = other.visit_with(self);
            }
            UpdateTarget::Identifier(_) => {}
        }
    }

    fn is_exports(&self, access: &SimplePropertyAccess) -> bool {
        let (Expression::Identifier(object), PropertyAccessField::Const(field)) = (access.target(), access.field())
        else {
            return false;
        };
        self.names.text(object.sym()) == "module" && self.names.text(field.sym()) == "exports"
    }

    /// Marks the object that is written to, and a computed key.
    fn write(&mut self, access: &SimplePropertyAccess, value: Option<Spot>) -> Option<u32> {
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

    fn call(&mut self, call: &Call) -> ControlFlow<()> {
        self.calls(call.span(), call.function());
        if let (Expression::Identifier(callee), [argument, ..]) = (call.function(), call.args())
            && self.names.text(callee.sym()) == "require"
        {
            self.request(argument);
        }
        match call.function() {
            // A direct `eval` is one by its name.
            Expression::Identifier(name) if name.sym() == Sym::EVAL => {}
            function => self.visit_expression(function)?,
        }
        call.args().iter().try_for_each(|argument| self.visit_expression(argument))
    }

    fn calls(&mut self, span: Span, function: &Expression) {
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
        let callee = Callee { whole: Bytes::new(start, end), name: Bytes::new(from, to) };
        self.facts.calls.insert(u32::try_from(bracket).unwrap_or(u32::MAX), callee);
    }

    fn request(&mut self, argument: &Expression) {
        if let (Some(Scalar::Text(specifier)), Some((start, end))) =
            (scalar(argument, self.names.interner), self.span(argument.span()))
        {
            self.facts.requests.push(Request { specifier, at: Bytes::new(start, end), names: Vec::new() });
        }
    }

    fn construct(&mut self, new: &New) -> ControlFlow<()> {
        self.calls(new.span(), new.constructor());
        self.callee(new.constructor())?;
        new.arguments().iter().try_for_each(|argument| self.visit_expression(argument))
    }

    /// `new a.b()`: a call in it, even ours, would be what is constructed.
    fn callee(&mut self, expression: &Expression) -> ControlFlow<()> {
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
    fn unpack(&mut self, pattern: &Pattern, init: &Expression) {
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
        );
        let (Some(start), Some(end), true) = (self.start(init), self.end(init), sure) else { return };
        let first = match pattern {
            Pattern::Object(object) => object.bindings().first().and_then(|element| match element {
                ObjectPatternElement::SingleName { name: PropertyName::Literal(name), .. }
                | ObjectPatternElement::Pattern { name: PropertyName::Literal(name), .. } => {
                    Some(self.names.text(name.sym()))
                }
                _ => None,
            }),
            Pattern::Array(_) => {
                let at = self.spot(start, end);
                self.add(start, end, Site::Iterate { at });
                return;
            }
        };
        let at = self.spot(start, end);
        self.add(start, end, Site::Unpack { first, at });
    }

    fn export_variables(&mut self, variables: &[Variable]) {
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

impl<'ast> Visitor<'ast> for Scribe<'_> {
    type BreakTy = ();

    fn visit_expression(&mut self, expression: &'ast Expression) -> ControlFlow<()> {
        self.inner(expression);
        ControlFlow::Continue(())
    }

    fn visit_variable(&mut self, variable: &'ast Variable) -> ControlFlow<()> {
        if let (Binding::Pattern(pattern), Some(init)) = (variable.binding(), variable.init()) {
            self.unpack(pattern, init);
        }
        variable.visit_with(self)
    }

    fn visit_for_of_loop(&mut self, each: &'ast ForOfLoop) -> ControlFlow<()> {
        let iterable = each.iterable();
        if !each.r#await()
            && !self.names.is_defined(iterable)
            && let Some((start, end)) = self.extent(iterable, &[')'])
        {
            let at = self.spot(start, end);
            self.add(start, end, Site::Iterate { at });
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
fn pauses<N: VisitWith>(node: &N) -> bool {
    contains(node, ContainsSymbol::AwaitExpression) || contains(node, ContainsSymbol::YieldExpression)
}

fn is_prefix(code: &str, at: usize) -> bool {
    code[at..].starts_with("++") || code[at..].starts_with("--")
}

/// Where a specifier stands in quotes.
pub(super) fn quoted(code: &str, specifier: &str, from: usize) -> Option<Bytes> {
    let find = |quote: char| code.get(from..)?.find(&format!("{quote}{specifier}{quote}")).map(|at| at + from);
    let at = ['\'', '"', '`'].into_iter().filter_map(find).min()?;
    Some(Bytes::new(at, at + specifier.len() + 2))
}

/// The value that an expression writes down.
fn scalar(expression: &Expression, interner: &Interner) -> Option<Scalar> {
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
