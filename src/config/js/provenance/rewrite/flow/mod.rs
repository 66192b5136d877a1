//! Which written-down values a name can stand for, as far as the text alone says so for certain.
//!
//! Numbers, booleans and null cannot be told apart once the program runs, as texts can. What is found here is complete or
//! nothing: every value that may have come to the place, through constants, parameters whose every call is known,
//! items of lists and properties of literals. Among them the one that the place holds in the end is looked for.

mod visit;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use boa_ast::Position;
use boa_ast::Spanned;
use boa_ast::declaration::{Binding, Variable};
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::expression::literal::{ObjectLiteral, PropertyDefinition};
use boa_ast::expression::operator::binary::BinaryOp;
use boa_ast::expression::operator::unary::UnaryOp;
use boa_ast::expression::{Expression, Identifier};
use boa_ast::function::{FormalParameterList, FunctionBody};
use boa_ast::pattern::{ArrayPatternElement, ObjectPatternElement, Pattern};
use boa_ast::property::PropertyName;
use boa_ast::visitor::{VisitWith, Visitor as _};
use boa_interner::{Interner, Sym};

/// Names of names are followed this far.
const HOPS_MAX: u32 = 30;
/// A value that may be any of more is searched for in vain.
const CANDIDATES_MAX: usize = 500;

/// The names of one file, and what they are given.
pub(super) struct Flow<'p> {
    interner: &'p Interner,
    scopes: Vec<Scope>,
    current: usize,
    names: Vec<Name<'p>>,
    uses: HashMap<Position, (Sym, usize)>,
    calls: Vec<(Sym, usize, &'p [Expression])>,
    /// Uses other than calls: whoever gets a function may call it with anything.
    handed: Vec<(Sym, usize)>,
    /// Uses other than reading a property or an item: whoever gets an object may write to it.
    lent: Vec<(Sym, usize)>,
    /// Uses that go through a list, and give its items to names alone.
    iterated: Vec<(Sym, usize)>,
    assigned: Vec<(Sym, usize)>,
    exporting: bool,
    /// What `let`, `const` and `class` declare, and what everything else does.
    lexical: HashSet<Sym>,
    loose: HashSet<Sym>,
    /// A scope has a name twice.
    twice: bool,
    /// What names hold can change behind the text's back.
    dynamic: bool,
}

#[derive(Default)]
struct Scope {
    above: Option<usize>,
    is_function: bool,
    names: HashMap<Sym, usize>,
}

struct Name<'p> {
    from: From<'p>,
    /// The property of it that the name stands for, and what it is without one.
    key: Option<Sym>,
    default: Option<&'p Expression>,
    calls: Vec<&'p [Expression]>,
    /// Somebody else may call it.
    handed: bool,
    /// What it holds may not be any more what it was made as.
    lent: bool,
    /// Uses, less those that only go through it.
    uses: i32,
    assigned: bool,
}

#[derive(Clone, Copy)]
enum From<'p> {
    Value(&'p Expression),
    /// The function's name, and which of its parameters.
    Parameter(usize, usize),
    /// Any item of a list.
    Item(&'p Expression),
    /// Any key of what a loop goes through; the loop is known by where it declares the name.
    Key(Position),
    Unknown,
}

/// Every value that may have come to a place.
struct Search<'p> {
    found: Vec<&'p Expression>,
    hops: u32,
}

impl<'p> Flow<'p> {
    pub(super) fn of<P: VisitWith>(program: &'p P, interner: &'p Interner) -> Self {
        let scope = Scope { is_function: true, ..Scope::default() };
        let mut flow = Self {
            interner,
            scopes: vec![scope],
            current: 0,
            names: Vec::new(),
            uses: HashMap::new(),
            calls: Vec::new(),
            handed: Vec::new(),
            lent: Vec::new(),
            iterated: Vec::new(),
            assigned: Vec::new(),
            exporting: false,
            lexical: HashSet::new(),
            loose: HashSet::new(),
            twice: false,
            dynamic: false,
        };
        let _ = program.visit_with(&mut flow);
        // Parameters can be written to through it.
        let arguments = interner.get("arguments");
        flow.dynamic |= flow.uses.values().any(|(sym, _)| Some(*sym) == arguments);
        flow.settle();
        flow
    }

    /// Whether a name may be declared twice where the language has it only once: the engine does not say so.
    pub(super) fn may_declare_twice(&self) -> bool {
        self.twice || !self.lexical.is_disjoint(&self.loose)
    }

    /// What was said of names before all of them were known.
    fn settle(&mut self) {
        for (sym, scope, arguments) in std::mem::take(&mut self.calls) {
            if let Some(name) = self.resolve(sym, scope) {
                self.names[name].calls.push(arguments);
            }
        }
        for (sym, scope) in std::mem::take(&mut self.handed) {
            if let Some(name) = self.resolve(sym, scope) {
                self.names[name].handed = true;
            }
        }
        for (sym, scope) in std::mem::take(&mut self.lent) {
            if let Some(name) = self.resolve(sym, scope) {
                self.names[name].lent = true;
            }
        }
        let uses: Vec<_> = self.uses.values().copied().map(|used| (used, 1)).collect();
        let less = std::mem::take(&mut self.iterated).into_iter().map(|used| (used, -1));
        for ((sym, scope), count) in uses.into_iter().chain(less) {
            if let Some(name) = self.resolve(sym, scope) {
                self.names[name].uses += count;
            }
        }
        for (sym, scope) in std::mem::take(&mut self.assigned) {
            if let Some(name) = self.resolve(sym, scope) {
                self.names[name].assigned = true;
            }
        }
    }

    fn resolve(&self, sym: Sym, scope: usize) -> Option<usize> {
        let mut at = Some(scope);
        while let Some(scope) = at.and_then(|at| self.scopes.get(at)) {
            if let Some(name) = scope.names.get(&sym) {
                return Some(*name);
            }
            at = scope.above;
        }
        None
    }

    /// The scalars that the expression may be; None where there may be others.
    pub(super) fn scalars<'e>(&self, expression: &'e Expression) -> Option<Vec<&'e Expression>>
    where
        'p: 'e,
    {
        if matches!(expression.flatten(), Expression::Literal(_)) {
            return None;
        }
        let mut search = Search { found: Vec::new(), hops: HOPS_MAX };
        (self.values(expression, &mut search) && !search.found.is_empty()).then_some(search.found)
    }

    /// The same of a name alone.
    pub(super) fn named<'e>(&self, name: Identifier) -> Option<Vec<&'e Expression>>
    where
        'p: 'e,
    {
        let mut search = Search { found: Vec::new(), hops: HOPS_MAX };
        (self.name(name, &mut search) && !search.found.is_empty()).then_some(search.found)
    }

    /// The expression that made what a name holds: that of its declaration, or of the only call of its function.
    pub(super) fn maker<'e>(&self, name: Identifier) -> Option<&'e Expression>
    where
        'p: 'e,
    {
        let mut found = self.made(name)?;
        for _ in 0..HOPS_MAX {
            let Expression::Identifier(name) = found.flatten() else { break };
            let Some(further) = self.made(*name) else { break };
            found = further;
        }
        Some(found)
    }

    /// The loop through an object's keys that a name certainly holds one of.
    pub(super) fn key_of(&self, name: Identifier) -> Option<Position> {
        let (sym, scope) = self.uses.get(&name.span().start())?;
        let name = self.names.get(self.resolve(*sym, *scope)?)?;
        match name.from {
            From::Key(each) if !name.assigned && !self.dynamic => Some(each),
            _ => None,
        }
    }

    fn made(&self, name: Identifier) -> Option<&'p Expression> {
        let (sym, scope) = self.uses.get(&name.span().start())?;
        let name = self.names.get(self.resolve(*sym, *scope)?)?;
        if name.assigned || name.default.is_some() || self.dynamic {
            return None;
        }
        let value = match name.from {
            From::Value(value) => value,
            From::Parameter(function, index) => {
                let function = self.names.get(function).filter(|it| !it.handed && !it.assigned)?;
                let [arguments] = function.calls.as_slice() else { return None };
                let told = arguments.iter().take(index + 1).all(|it| !matches!(it, Expression::Spread(_)));
                arguments.get(index).filter(|_| told)?
            }
            From::Item(_) | From::Key(_) | From::Unknown => return None,
        };
        let Some(key) = name.key else { return Some(value) };
        let Expression::ObjectLiteral(literal) = value.flatten() else { return None };
        let mut found = None;
        for property in literal.properties() {
            let PropertyDefinition::Property(PropertyName::Literal(known), value) = property else { return None };
            if known.sym() == key {
                found = Some(value);
            }
        }
        found
    }

    /// Whether everything that the expression may be was found.
    fn values<'e>(&self, expression: &'e Expression, search: &mut Search<'e>) -> bool
    where
        'p: 'e,
    {
        if search.hops == 0 || search.found.len() > CANDIDATES_MAX || self.dynamic {
            return false;
        }
        search.hops -= 1;
        let complete = match expression.flatten() {
            literal @ Expression::Literal(_) => {
                search.found.push(literal);
                true
            }
            signed @ Expression::Unary(unary) => match (unary.op(), unary.target().flatten()) {
                (UnaryOp::Minus | UnaryOp::Plus, Expression::Literal(_)) => {
                    search.found.push(signed);
                    true
                }
                _ => false,
            },
            Expression::ObjectLiteral(_) | Expression::ArrayLiteral(_) | Expression::ArrowFunction(_) => true,
            Expression::Identifier(name) => self.name(*name, search),
            Expression::Conditional(either) => {
                self.values(either.if_true(), search) && self.values(either.if_false(), search)
            }
            Expression::Binary(binary) if matches!(binary.op(), BinaryOp::Logical(_)) => {
                self.values(binary.lhs(), search) && self.values(binary.rhs(), search)
            }
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => match access.field() {
                PropertyAccessField::Const(field) => self.property(access.target(), field.sym(), search),
                PropertyAccessField::Expr(_) => false,
            },
            _ => false,
        };
        search.hops += 1;
        complete
    }

    fn name<'e>(&self, name: Identifier, search: &mut Search<'e>) -> bool
    where
        'p: 'e,
    {
        let Some((sym, scope)) = self.uses.get(&name.span().start()) else { return false };
        let Some(name) = self.resolve(*sym, *scope).and_then(|name| self.names.get(name)) else { return false };
        self.given(name, None, search)
    }

    /// What a property of the expression's value may be.
    fn property<'e>(&self, expression: &'e Expression, key: Sym, search: &mut Search<'e>) -> bool
    where
        'p: 'e,
    {
        if search.hops == 0 {
            return false;
        }
        search.hops -= 1;
        let complete = match expression.flatten() {
            Expression::ObjectLiteral(literal) => self.entry(literal, key, search),
            Expression::Identifier(name) => match self.uses.get(&name.span().start()) {
                Some((sym, scope)) => match self.resolve(*sym, *scope).and_then(|name| self.names.get(name)) {
                    Some(name) if name.key.is_none() && !name.lent => self.given(name, Some(key), search),
                    _ => false,
                },
                None => false,
            },
            _ => false,
        };
        search.hops += 1;
        complete
    }

    fn entry<'e>(&self, literal: &'e ObjectLiteral, key: Sym, search: &mut Search<'e>) -> bool
    where
        'p: 'e,
    {
        literal.properties().iter().all(|property| match property {
            // What is above it has properties too.
            PropertyDefinition::Property(PropertyName::Literal(name), _) if self.is_above(name.sym()) => false,
            PropertyDefinition::Property(PropertyName::Literal(name), value) => {
                name.sym() != key || self.values(value, search)
            }
            PropertyDefinition::IdentifierReference(name) => name.sym() != key || self.name(*name, search),
            _ => false,
        })
    }

    /// What a name, or a property of it, may hold.
    fn given<'e>(&self, name: &Name<'p>, key: Option<Sym>, search: &mut Search<'e>) -> bool
    where
        'p: 'e,
    {
        if name.assigned || search.hops == 0 || self.dynamic {
            return false;
        }
        search.hops -= 1;
        let key = key.or(name.key);
        let take = |value: &'e Expression, search: &mut Search<'e>| match key {
            Some(key) => self.property(value, key, search),
            None => self.values(value, search),
        };
        let complete = match name.from {
            From::Value(value) => take(value, search),
            From::Item(list) => {
                let items = self.items(list, key.is_some(), 0);
                items.is_some_and(|items| items.into_iter().all(|item| take(item, search)))
            }
            From::Parameter(function, index) => self.names.get(function).is_some_and(|function| {
                let known = !function.handed && !function.assigned;
                known
                    && function.calls.iter().all(|arguments| {
                        let before = arguments.iter().take(index + 1);
                        let told = before.clone().all(|argument| !matches!(argument, Expression::Spread(_)));
                        told && arguments.get(index).is_none_or(|argument| take(argument, search))
                    })
            }),
            From::Key(_) | From::Unknown => false,
        };
        let complete = complete && name.default.is_none_or(|default| self.values(default, search));
        search.hops += 1;
        complete
    }

    fn is_above(&self, key: Sym) -> bool {
        self.interner.resolve_expect(key).to_string() == "__proto__"
    }

    /// The items of a list, or those that are `objects` that nobody else has seen.
    fn items<'e>(&self, list: &'e Expression, objects: bool, hops: u32) -> Option<Vec<&'e Expression>>
    where
        'p: 'e,
    {
        match list.flatten() {
            Expression::ArrayLiteral(list) => list
                .as_ref()
                .iter()
                .flatten()
                .map(|item| (!matches!(item, Expression::Spread(_))).then_some(item))
                .collect(),
            Expression::Identifier(name) if hops < HOPS_MAX => {
                let (sym, scope) = self.uses.get(&name.span().start())?;
                let index = self.resolve(*sym, *scope)?;
                let name = self.names.get(index)?;
                match name.from {
                    From::Value(list) if !name.assigned && !name.lent && name.key.is_none() => (!objects
                        || name.uses == 0 && !self.lends_items(index))
                    .then(|| self.items(list, objects, hops + 1))?,
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether a name for the items of a list, which is this name, does more than read them.
    fn lends_items(&self, list: usize) -> bool {
        let is_of = |of: &Expression| match of {
            Expression::Identifier(name) => {
                self.uses.get(&name.span().start()).is_some_and(|(sym, scope)| self.resolve(*sym, *scope) == Some(list))
            }
            _ => false,
        };
        let mut items = self.names.iter().filter(|item| item.lent && item.key.is_none());
        items.any(|item| matches!(item.from, From::Item(of) if is_of(of)))
    }

    fn declare(&mut self, scope: usize, name: Identifier, from: From<'p>) -> usize {
        self.declare_part(scope, name, from, None, None)
    }

    fn declare_part(
        &mut self,
        scope: usize,
        name: Identifier,
        from: From<'p>,
        key: Option<Sym>,
        default: Option<&'p Expression>,
    ) -> usize {
        let index = self.names.len();
        self.names.push(Name {
            from,
            key,
            default,
            calls: Vec::new(),
            handed: self.exporting,
            lent: self.exporting,
            uses: 0,
            assigned: false,
        });
        // Of what is declared twice nothing is certain.
        if let Some(before) = self.scopes[scope].names.insert(name.sym(), index) {
            self.names[before].from = From::Unknown;
            self.names[index].from = From::Unknown;
            self.names[index].handed = true;
            self.twice = true;
        }
        index
    }

    fn declare_pattern(&mut self, scope: usize, pattern: &'p Pattern, from: From<'p>) {
        match pattern {
            Pattern::Object(object) => {
                for element in object.bindings() {
                    match element {
                        ObjectPatternElement::SingleName { name: PropertyName::Literal(key), ident, default_init } => {
                            self.declare_part(scope, *ident, from, Some(key.sym()), default_init.as_ref());
                        }
                        ObjectPatternElement::SingleName { ident, .. }
                        | ObjectPatternElement::RestProperty { ident, .. } => {
                            self.declare(scope, *ident, From::Unknown);
                        }
                        ObjectPatternElement::Pattern { pattern, .. } => {
                            self.declare_pattern(scope, pattern, From::Unknown);
                        }
                        _ => {}
                    }
                }
            }
            Pattern::Array(array) => {
                for element in array.bindings() {
                    match element {
                        ArrayPatternElement::SingleName { ident, .. }
                        | ArrayPatternElement::SingleNameRest { ident } => {
                            self.declare(scope, *ident, From::Unknown);
                        }
                        ArrayPatternElement::Pattern { pattern, .. } | ArrayPatternElement::PatternRest { pattern } => {
                            self.declare_pattern(scope, pattern, From::Unknown);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn declare_binding(&mut self, scope: usize, binding: &'p Binding, from: From<'p>) -> Option<usize> {
        match binding {
            Binding::Identifier(name) => Some(self.declare(scope, *name, from)),
            Binding::Pattern(pattern) => {
                self.declare_pattern(scope, pattern, from);
                None
            }
        }
    }

    fn variable(&mut self, scope: usize, variable: &'p Variable) -> ControlFlow<()> {
        let from = variable.init().map_or(From::Unknown, From::Value);
        let name = self.declare_binding(scope, variable.binding(), from);
        if let Binding::Pattern(pattern) = variable.binding() {
            self.visit_pattern(pattern)?;
        }
        match variable.init() {
            Some(init) => match function(init) {
                Some((parameters, body)) => self.enter(name.map(Caller::Name), parameters, body),
                None if name.is_none() => self.read(init),
                None => self.visit_expression(init),
            },
            None => ControlFlow::Continue(()),
        }
    }

    /// The scope that a `var` belongs to.
    fn function_scope(&self) -> usize {
        let mut at = self.current;
        while !self.scopes[at].is_function {
            let Some(above) = self.scopes[at].above else { break };
            at = above;
        }
        at
    }

    fn within(&mut self, is_function: bool, visit: impl FnOnce(&mut Self) -> ControlFlow<()>) -> ControlFlow<()> {
        let above = self.current;
        let exporting = std::mem::replace(&mut self.exporting, false);
        self.scopes.push(Scope { above: Some(above), is_function, names: HashMap::new() });
        self.current = self.scopes.len() - 1;
        let flow = visit(self);
        self.current = above;
        self.exporting = exporting;
        flow
    }

    fn enter(
        &mut self,
        caller: Option<Caller<'p>>,
        parameters: &'p FormalParameterList,
        body: &'p FunctionBody,
    ) -> ControlFlow<()> {
        self.within(true, |flow| {
            for (index, parameter) in parameters.as_ref().iter().enumerate() {
                let from = match caller {
                    _ if parameter.is_rest_param() => From::Unknown,
                    // Who has the whole list may put other items into it.
                    Some(Caller::Items(_)) if parameters.as_ref().len() > 2 => From::Unknown,
                    Some(Caller::Name(name)) => From::Parameter(name, index),
                    Some(Caller::Items(list)) if index == 0 => From::Item(list),
                    _ => From::Unknown,
                };
                let (variable, scope) = (parameter.variable(), flow.current);
                match variable.binding() {
                    Binding::Identifier(name) => {
                        flow.declare_part(scope, *name, from, None, variable.init());
                    }
                    Binding::Pattern(pattern) => {
                        flow.declare_pattern(scope, pattern, from);
                        flow.visit_pattern(pattern)?;
                    }
                }
                if let Some(init) = variable.init() {
                    flow.visit_expression(init)?;
                }
            }
            flow.visit_function_body(body)
        })
    }

    fn iterate(&mut self, list: &'p Expression) {
        if let Expression::Identifier(name) = list {
            self.iterated.push((name.sym(), self.current));
        }
    }

    /// A use that takes something out of what a name holds.
    fn read(&mut self, expression: &'p Expression) -> ControlFlow<()> {
        let Expression::Identifier(name) = expression else { return self.visit_expression(expression) };
        self.used(*name);
        self.handed.push((name.sym(), self.current));
        ControlFlow::Continue(())
    }

    fn used(&mut self, name: Identifier) {
        self.uses.insert(name.span().start(), (name.sym(), self.current));
    }

    fn is_call_on_items(&self, field: &PropertyAccessField) -> bool {
        let PropertyAccessField::Const(field) = field else { return false };
        let name = self.interner.resolve_expect(field.sym()).to_string();
        matches!(name.as_str(), "map" | "flatMap" | "forEach" | "filter")
    }

    /// It hands the items on.
    fn is_filter(&self, field: &PropertyAccessField) -> bool {
        matches!(field, PropertyAccessField::Const(name) if self.interner.resolve_expect(name.sym()).to_string() == "filter")
    }

    /// Whether a method changes nothing of what it is called on.
    fn is_reading(&self, field: &PropertyAccessField) -> bool {
        const NAMES: &[&str] = &[
            "at", "concat", "every", "filter", "find", "flatMap", "forEach", "includes", "indexOf", "join", "map",
            "reduce", "slice", "some", "toString",
        ];
        let PropertyAccessField::Const(field) = field else { return false };
        NAMES.contains(&self.interner.resolve_expect(field.sym()).to_string().as_str())
    }
}

/// Who calls a function.
#[derive(Clone, Copy)]
enum Caller<'p> {
    Name(usize),
    /// A method of this list, with every item of it.
    Items(&'p Expression),
}

fn function(expression: &Expression) -> Option<(&FormalParameterList, &FunctionBody)> {
    match expression.flatten() {
        Expression::ArrowFunction(function) => Some((function.parameters(), function.body())),
        Expression::AsyncArrowFunction(function) => Some((function.parameters(), function.body())),
        Expression::FunctionExpression(function) if function.name().is_none() => {
            Some((function.parameters(), function.body()))
        }
        Expression::AsyncFunctionExpression(function) if function.name().is_none() => {
            Some((function.parameters(), function.body()))
        }
        _ => None,
    }
}
