//! The places in a program that errors of its run are about: what it iterates over, takes apart, writes to and hands on. Made
//! when there is an error, for its words.

use std::borrow::Cow;
use std::collections::HashSet;

use oxc_ast::ast::{
    Argument, ArrayExpressionElement, ArrayPattern, ArrowFunctionExpression, AssignmentExpression, AssignmentPattern,
    AssignmentTarget, BindingPattern, CallExpression, Class, ClassElement, ExportNamedDeclaration, Expression,
    ForOfStatement, FormalParameter, Function, FunctionBody, MethodDefinitionKind, ObjectPattern, ObjectProperty,
    ThrowStatement, VariableDeclarator,
};
use oxc_ast_visit::{Visit, walk};
use oxc_semantic::{ScopeFlags, Semantic, SemanticBuilder, SymbolFlags, SymbolId};
use oxc_span::{GetSpan, Span};

use super::early::read;
use super::provenance::Shape;

/// Bytes of a text.
type Range = (usize, usize);

/// Methods that return lists.
const LISTING: [&str; 17] = [
    "concat",
    "entries",
    "filter",
    "flat",
    "flatMap",
    "from",
    "keys",
    "map",
    "matchAll",
    "of",
    "readdirSync",
    "reverse",
    "slice",
    "sort",
    "split",
    "splice",
    "values",
];

#[derive(Debug, Default)]
pub(super) struct Outline {
    /// What stands before the text.
    base: usize,
    /// What is iterated over, but for what is a list for sure.
    iterated: Vec<Iterated>,
    /// Where a call's callee ends, and what is spread into its arguments.
    spread: Vec<(usize, Iterated)>,
    written: Vec<(Range, String)>,
    patterns: Vec<Pattern>,
    /// Lists that are taken apart and have no name: parameters, items, what is inside of other patterns.
    lists_apart: Vec<Range>,
    reexports: Vec<(String, Range, String)>,
    /// Names that are declared with a list.
    lists: HashSet<String>,
    /// Patterns around.
    depth: u32,
    /// What the next function is called, and whose parameters these are.
    naming: Option<String>,
    within: Option<String>,
}

/// An expression, and the part of it that V8 points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Iterated {
    pub(super) whole: Range,
    pub(super) place: Range,
}

/// What is taken apart, and the first property that it is taken apart for.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) name: Option<String>,
    pub(super) at: Range,
    pub(super) of: Apart,
    /// The function whose parameter it is, by the name that it is called by.
    pub(super) function: Option<String>,
}

/// How a function was called that the engine has no place in.
#[derive(Clone, Debug, Default)]
pub(super) struct Called {
    /// What the function is called, by itself and by its caller.
    pub(super) names: Vec<String>,
    /// The bytes of the call, where it is in the same file.
    pub(super) call: Option<Range>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Apart {
    /// A parameter or an item, which has no name.
    Unnamed,
    /// Something inside of another pattern.
    Nested,
    /// The value of a declaration, which tells of itself where its end is sure.
    Declared { value: Range, sure: bool },
    /// What has a value of its own where there is none.
    Otherwise,
}

impl Pattern {
    /// What V8 says of a value that it was to be.
    pub(super) fn refuses(&self, value: &str, code: &str) -> String {
        let Some(name) = &self.name else {
            return match self.of {
                Apart::Declared { .. } => format!("Cannot destructure '{value}' as it is {value}."),
                _ => format!("{value} is not iterable (cannot read property Symbol(Symbol.iterator))"),
            };
        };
        match self.of {
            Apart::Nested => format!("Cannot read properties of {value} (reading '{name}')"),
            Apart::Declared { value: (start, end), .. } => {
                let text = code.get(start..end).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
                format!("Cannot destructure property '{name}' of '{text}' as it is {value}.")
            }
            Apart::Unnamed | Apart::Otherwise => {
                format!("Cannot destructure property '{name}' of '{value}' as it is {value}.")
            }
        }
    }
}

impl Outline {
    pub(super) fn of(code: &str, shape: Shape) -> Option<Self> {
        read(code, shape, |program, base| {
            let mut outline = Self { base, ..Self::default() };
            outline.visit_program(program);
            outline
        })
    }

    /// What a place iterates over: the expression around it, or the only one behind it.
    pub(super) fn iterated(&self, at: usize) -> Option<Iterated> {
        let around = self.iterated.iter().filter(|it| (it.whole.0..it.whole.1).contains(&at));
        let mut behind = self.iterated.iter().filter(|it| it.whole.0 >= at);
        let around = around.min_by_key(|it| it.whole.1 - it.whole.0);
        around.or_else(|| behind.next().filter(|_| behind.next().is_none())).copied()
    }

    /// What is spread into the arguments of the call whose bracket is at a place.
    pub(super) fn spread(&self, bracket: usize) -> Option<Iterated> {
        let of_call = self.spread.iter().filter(|(callee, it)| (*callee..it.whole.0).contains(&bracket));
        of_call.min_by_key(|(_, it)| it.whole.0).map(|(_, it)| *it)
    }

    /// The property that is written to by the assignment that a place belongs to.
    pub(super) fn written(&self, at: usize) -> Option<&str> {
        let around = self.written.iter().filter(|((start, end), _)| (*start..*end).contains(&at));
        around.min_by_key(|((start, end), _)| end - start).map(|(_, name)| name.as_str())
    }

    /// The only one that may have failed for such a value. With marks, those for which nothing is there tell of themselves.
    pub(super) fn pattern<'s>(&'s self, value: &str, marked: bool, called: &Called) -> Option<&'s Pattern> {
        let nothing = value == "undefined";
        let left: Vec<&Pattern> = self
            .patterns
            .iter()
            .filter(|pattern| match pattern.of {
                Apart::Unnamed => true,
                Apart::Nested => !(marked && nothing),
                Apart::Declared { sure, .. } => !(marked && sure),
                Apart::Otherwise => !nothing,
            })
            .collect();
        let only = |fits: &dyn Fn(&Pattern) -> bool| {
            let mut left = left.iter().filter(|pattern| fits(pattern));
            left.next().filter(|_| left.next().is_none()).copied()
        };
        let named = |pattern: &Pattern| pattern.function.as_ref().is_some_and(|name| called.names.contains(name));
        let inside = |at: Range, pattern: &Pattern| at.0 <= pattern.at.0 && pattern.at.1 <= at.1;
        let within = |pattern: &Pattern| called.call.is_some_and(|call| inside(call, pattern));
        only(&|_| true).or_else(|| only(&named)).or_else(|| only(&within))
    }

    /// The only list that has no name and is taken apart, where nothing else can be.
    pub(super) fn list_apart(&self) -> Option<Range> {
        self.lists_apart.first().copied().filter(|_| self.lists_apart.len() == 1)
    }

    /// Where a name is exported from another file, and from which one.
    pub(super) fn reexport(&self, name: &str) -> Option<(Range, &str)> {
        self.reexports.iter().find(|(known, _, _)| known == name).map(|(_, at, from)| (*at, from.as_str()))
    }

    fn apart(&mut self, name: Option<String>, span: Span) {
        let of = if self.depth > 0 { Apart::Nested } else { Apart::Unnamed };
        let function = self.within.clone();
        self.patterns.push(Pattern { name, at: self.range(span), of, function });
    }

    fn range(&self, span: Span) -> Range {
        ((span.start as usize).saturating_sub(self.base), (span.end as usize).saturating_sub(self.base))
    }

    fn iterates(&mut self, expression: &Expression<'_>) {
        if !self.is_list(expression) {
            self.iterated.push(self.iterated_as(expression));
        }
    }

    fn iterated_as(&self, expression: &Expression<'_>) -> Iterated {
        let place = match expression {
            Expression::StaticMemberExpression(member) => member.property.span,
            other => other.span(),
        };
        Iterated { whole: self.range(expression.span()), place: self.range(place) }
    }

    fn is_list(&self, expression: &Expression<'_>) -> bool {
        match expression {
            Expression::ArrayExpression(_) | Expression::StringLiteral(_) | Expression::TemplateLiteral(_) => true,
            Expression::Identifier(name) => self.lists.contains(name.name.as_str()),
            Expression::CallExpression(call) => call
                .callee
                .get_member_expr()
                .and_then(oxc_ast::ast::MemberExpression::static_property_name)
                .is_some_and(|name| LISTING.contains(&name)),
            _ => false,
        }
    }
}

/// Whether a declaration of it is marked.
fn is_sure(init: &Expression<'_>) -> bool {
    matches!(
        init,
        Expression::Identifier(_)
            | Expression::CallExpression(_)
            | Expression::StaticMemberExpression(_)
            | Expression::ComputedMemberExpression(_)
            | Expression::ParenthesizedExpression(_)
            | Expression::ChainExpression(_)
            | Expression::NullLiteral(_)
            | Expression::ObjectExpression(_)
            | Expression::ArrayExpression(_)
    )
}

impl<'a> Visit<'a> for Outline {
    fn visit_for_of_statement(&mut self, it: &ForOfStatement<'a>) {
        self.iterates(&it.right);
        walk::walk_for_of_statement(self, it);
    }

    fn visit_array_expression_element(&mut self, it: &ArrayExpressionElement<'a>) {
        if let ArrayExpressionElement::SpreadElement(spread) = it {
            self.iterates(&spread.argument);
        }
        walk::walk_array_expression_element(self, it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        for argument in &it.arguments {
            if let Argument::SpreadElement(spread) = argument {
                let callee = self.range(it.callee.span()).1;
                self.spread.push((callee, self.iterated_as(&spread.argument)));
            }
        }
        walk::walk_call_expression(self, it);
    }

    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        match (&it.id, &it.init) {
            (BindingPattern::ArrayPattern(_), Some(init)) => self.iterates(init),
            (BindingPattern::BindingIdentifier(name), Some(init)) if self.is_list(init) => {
                self.lists.insert(name.name.to_string());
            }
            (BindingPattern::BindingIdentifier(name), Some(init)) => self.naming = named(init, &name.name),
            _ => {}
        }
        let (outer, lists) = (self.patterns.len(), self.lists_apart.len());
        walk::walk_variable_declarator(self, it);
        if let Some(init) = &it.init {
            if matches!(it.id, BindingPattern::ArrayPattern(_)) && lists < self.lists_apart.len() {
                self.lists_apart.remove(lists);
            }
            let value = self.range(init.span());
            if !it.id.is_binding_identifier()
                && let Some(pattern) = self.patterns.get_mut(outer)
            {
                pattern.function = None;
                pattern.of = Apart::Declared { value, sure: is_sure(init) };
            }
        }
    }

    fn visit_formal_parameter(&mut self, it: &FormalParameter<'a>) {
        let outer = self.patterns.len();
        walk::walk_formal_parameter(self, it);
        if it.initializer.is_some()
            && !it.pattern.is_binding_identifier()
            && let Some(pattern) = self.patterns.get_mut(outer)
        {
            pattern.of = Apart::Otherwise;
        }
    }

    fn visit_assignment_pattern(&mut self, it: &AssignmentPattern<'a>) {
        let outer = self.patterns.len();
        walk::walk_assignment_pattern(self, it);
        if !it.left.is_binding_identifier()
            && let Some(pattern) = self.patterns.get_mut(outer)
        {
            pattern.of = Apart::Otherwise;
        }
    }

    fn visit_array_pattern(&mut self, it: &ArrayPattern<'a>) {
        self.lists_apart.push(self.range(it.span));
        self.apart(None, it.span);
        self.depth += 1;
        walk::walk_array_pattern(self, it);
        self.depth -= 1;
    }

    fn visit_object_pattern(&mut self, it: &ObjectPattern<'a>) {
        let first = it.properties.first().and_then(|first| Some((first.key.static_name()?, first.key.span())));
        let (name, span) = first.map_or((Some(String::new()), it.span), |(name, span)| (Some(name.into_owned()), span));
        self.apart(name, span);
        self.depth += 1;
        walk::walk_object_pattern(self, it);
        self.depth -= 1;
    }

    /// What a function does has nothing to do with the pattern around it.
    fn visit_function_body(&mut self, it: &FunctionBody<'a>) {
        let (depth, within) = (std::mem::take(&mut self.depth), self.within.take());
        walk::walk_function_body(self, it);
        (self.depth, self.within) = (depth, within);
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        let naming = self.naming.take();
        let name = it.id.as_ref().map(|id| id.name.to_string()).or(naming);
        let within = std::mem::replace(&mut self.within, name);
        walk::walk_function(self, it, flags);
        self.within = within;
    }

    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        let naming = self.naming.take();
        let within = std::mem::replace(&mut self.within, naming);
        walk::walk_arrow_function_expression(self, it);
        self.within = within;
    }

    fn visit_class(&mut self, it: &Class<'a>) {
        let naming = self.naming.take();
        let class = it.id.as_ref().map(|id| id.name.to_string()).or(naming);
        for element in &it.body.body {
            if let ClassElement::MethodDefinition(method) = element {
                let constructs = method.kind == MethodDefinitionKind::Constructor;
                self.naming = if constructs { class.clone() } else { method.key.static_name().map(Cow::into_owned) };
            }
            self.visit_class_element(element);
        }
        it.super_class.iter().for_each(|above| self.visit_expression(above));
    }

    fn visit_object_property(&mut self, it: &ObjectProperty<'a>) {
        self.naming = it.key.static_name().and_then(|name| named(&it.value, &name));
        walk::walk_object_property(self, it);
    }

    fn visit_assignment_expression(&mut self, it: &AssignmentExpression<'a>) {
        let name = match &it.left {
            AssignmentTarget::ArrayAssignmentTarget(_) => {
                self.iterates(&it.right);
                None
            }
            AssignmentTarget::StaticMemberExpression(member) => Some(member.property.name.to_string()),
            AssignmentTarget::ComputedMemberExpression(member) => match &member.expression {
                Expression::NumericLiteral(number) => Some(number.raw_str().to_string()),
                Expression::StringLiteral(text) => Some(text.value.to_string()),
                _ => None,
            },
            _ => None,
        };
        if let Some(name) = name {
            self.naming = named(&it.right, &name);
            self.written.push((self.range(it.left.span()), name));
        }
        walk::walk_assignment_expression(self, it);
    }

    fn visit_export_named_declaration(&mut self, it: &ExportNamedDeclaration<'a>) {
        for specifier in it.source.iter().flat_map(|_| &it.specifiers) {
            let from = it.source.as_ref().map_or(String::new(), |source| source.value.to_string());
            self.reexports.push((specifier.local.name().to_string(), self.range(specifier.local.span()), from));
        }
        walk::walk_export_named_declaration(self, it);
    }
}

/// The name that a function or class is given by what it is put into.
fn named(value: &Expression<'_>, name: &str) -> Option<String> {
    let is_one = matches!(
        value,
        Expression::FunctionExpression(_) | Expression::ArrowFunctionExpression(_) | Expression::ClassExpression(_)
    );
    is_one.then(|| name.to_owned())
}

/// Where the program throws a value that is no error and that is shown like this: the only such `throw`, or the only one
/// that is not of something else for sure.
pub(super) fn throws(code: &str, shape: Shape, shown: &str) -> Vec<(Range, bool)> {
    struct Throws<'s>(&'s str, Vec<(Span, bool)>);
    impl<'a> Visit<'a> for Throws<'_> {
        fn visit_throw_statement(&mut self, it: &ThrowStatement<'a>) {
            let written = match &it.argument {
                Expression::NewExpression(_) => None,
                Expression::StringLiteral(text) => (text.value == self.0).then_some(true),
                Expression::NullLiteral(_) => (self.0 == "null").then_some(true),
                Expression::NumericLiteral(number) => (number.raw_str() == self.0).then_some(true),
                Expression::Identifier(name) if name.name == "undefined" => (self.0 == "undefined").then_some(true),
                _ => Some(false),
            };
            self.1.extend(written.map(|written| (it.argument.span(), written)));
            walk::walk_throw_statement(self, it);
        }
    }
    let found = read(code, shape, |program, base| {
        let mut throws = Throws(shown, Vec::new());
        throws.visit_program(program);
        let range = |span: Span| ((span.start as usize).saturating_sub(base), (span.end as usize).saturating_sub(base));
        throws.1.into_iter().map(|(span, written)| (range(span), written)).collect()
    });
    found.unwrap_or_default()
}

/// A name that is used before its declaration has run, and the bytes of the use: at or behind a byte. The engine says the
/// name where the use is in a function that was called too early, and only there.
pub(super) fn too_early(code: &str, shape: Shape, name: Option<&str>, from: usize) -> Option<(String, Range)> {
    read(code, shape, |program, base| {
        let semantic = SemanticBuilder::new().build(program).semantic;
        let all = too_early_uses(&semantic, name);
        let place =
            |span: Span| Some(((span.start as usize).checked_sub(base)?, (span.end as usize).checked_sub(base)?));
        let uses = || all.iter().filter_map(|(name, span)| Some((*name, place(*span)?)));
        let is_free =
            |name: &str| semantic.scoping().root_unresolved_references().keys().any(|free| free.as_str() == name);
        let exact = uses().find(|(_, (start, _))| *start == from);
        let found = match name {
            Some(name) if exact.is_none() && is_free(name) => None,
            _ => exact.or_else(|| uses().find(|(_, (start, _))| *start >= from)).or_else(|| uses().next()),
        };
        found.map(|(name, range)| (name.to_owned(), range))
    })
    .flatten()
}

/// The use of a name that nothing around it declares: the one at or behind a byte, or the first.
pub(super) fn undeclared(code: &str, shape: Shape, name: &str, from: usize) -> Option<Range> {
    read(code, shape, |program, base| {
        let semantic = SemanticBuilder::new().build(program).semantic;
        let scoping = semantic.scoping();
        let free = scoping.root_unresolved_references();
        let uses = free.iter().filter(|(free, _)| free.as_str() == name).flat_map(|(_, uses)| uses.iter());
        let spans = uses.map(|id| semantic.reference_span(scoping.get_reference(*id)));
        let starts: Vec<usize> = spans.filter_map(|span| (span.start as usize).checked_sub(base)).collect();
        let behind = starts.iter().filter(|start| **start >= from).min();
        behind.or(starts.first()).map(|start| (*start, start + name.len()))
    })
    .flatten()
}

/// Uses of names that `let`, `const` and `class` declare, in the text's order.
fn too_early_uses<'a>(semantic: &'a Semantic<'_>, name: Option<&str>) -> Vec<(&'a str, Span)> {
    let scoping = semantic.scoping();
    let mut uses = Vec::new();
    for symbol in scoping.symbol_ids() {
        let flags = scoping.symbol_flags(symbol);
        let known = scoping.symbol_name(symbol);
        let lexical = flags.intersects(SymbolFlags::BlockScopedVariable | SymbolFlags::Class) && !flags.is_function();
        if !lexical || name.is_some_and(|name| name != known) {
            continue;
        }
        let declared = scoping.symbol_span(symbol);
        for reference in scoping.get_resolved_references(symbol) {
            let span = semantic.reference_span(reference);
            if name.is_some() || span.start < declared.start || initialises(semantic, symbol, span) {
                uses.push((known, span));
            }
        }
    }
    uses.sort_by_key(|(_, span)| span.start);
    uses
}

/// `const a = a.b`
fn initialises(semantic: &Semantic<'_>, symbol: SymbolId, used: Span) -> bool {
    let declaration = semantic.nodes().kind(semantic.scoping().symbol_declaration(symbol));
    declaration.as_variable_declarator().and_then(|it| it.init.as_ref()).is_some_and(|init| {
        let closure = matches!(init, Expression::ArrowFunctionExpression(_) | Expression::FunctionExpression(_));
        init.span().contains_inclusive(used) && !closure
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_before_declarations_are_found() {
        let table = [
            ("console.log(a); let a", None, 8, Some(("a", 12))),
            ("const f = () => b; f(); const b = 1", Some("b"), 16, Some(("b", 16))),
            ("{ let b; b } b", Some("b"), 13, None),
            ("let x = 5; { log(x); let x }", None, 13, Some(("x", 17))),
            ("const a = a + 1", None, 0, Some(("a", 10))),
            ("var a = a; function f() {} f()", None, 0, None),
        ];
        for (code, name, from, want) in table {
            let found = too_early(code, Shape::CommonJs, name, from);
            let found = found.as_ref().map(|(name, (start, _))| (name.as_str(), *start));
            assert_eq!(found, want, "{code}");
        }
    }

    #[test]
    fn what_is_iterated_is_found() {
        let table = [
            ("for (const x of 5) {}", 0, Some("5")),
            ("const xs = [1]; for (const x of xs) {} for (const y of n) {}", 0, Some("n")),
            ("for (const x of m) {} for (const y of n) {}", 0, None),
            ("for (const x of m.a) {} for (const y of n) {}", 18, Some("m.a")),
            ("const [a] = n", 0, Some("n")),
            ("x = [...a.b.map((c) => c), ...d.e]", 4, Some("d.e")),
        ];
        for (code, at, want) in table {
            let found = Outline::of(code, Shape::CommonJs).unwrap().iterated(at);
            assert_eq!(found.map(|it| &code[it.whole.0..it.whole.1]), want, "{code}");
        }
        let code = "f(...g(...x.y))";
        let outline = Outline::of(code, Shape::CommonJs).unwrap();
        let spread = |at| outline.spread(at).map(|it| (it.whole, it.place));
        assert_eq!(spread(1), Some(((5, 14), (5, 14))));
        assert_eq!(spread(6), Some(((10, 13), (12, 13))));
    }

    #[test]
    fn patterns_without_a_name_are_found() {
        let property = |name: &str| Some(format!("Cannot destructure property '{name}' of 'null' as it is null."));
        for (code, want) in [
            ("function f({ a, b }) {}", property("a")),
            ("const { a: { b } } = x()", Some("Cannot read properties of null (reading 'b')".to_owned())),
            ("const [{ b }] = []", Some("Cannot read properties of null (reading 'b')".to_owned())),
            ("const { a } = b", None),
            ("f(({ a } = {}) => a)", property("a")),
            ("f(({ a }) => a, ({ b }) => b)", None),
            (
                "const { a } = b ? c : d",
                Some("Cannot destructure property 'a' of 'b ? c : d' as it is null.".to_owned()),
            ),
        ] {
            let outline = Outline::of(code, Shape::CommonJs).unwrap();
            let found = outline.pattern("null", true, &Called::default()).map(|pattern| pattern.refuses("null", code));
            assert_eq!(found, want, "{code}");
        }
    }
}
