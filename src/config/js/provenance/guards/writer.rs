//! From a program to the same one with its operations done by helpers.

use oxc_ast::ast::{
    Argument, ArrayExpressionElement, ArrayPattern, AssignmentExpression, AssignmentOperator, AssignmentTarget,
    BindingPattern, BindingProperty, CallExpression, ChainElement, Class, ComputedMemberExpression, Expression,
    ForOfStatement, ForStatementLeft, FormalParameter, FunctionBody, MemberExpression, NewExpression, ObjectProperty,
    Program, PropertyKey, SimpleAssignmentTarget, StaticMemberExpression, TaggedTemplateExpression, ThrowStatement,
    UnaryExpression, UnaryOperator, VariableDeclarator,
};
use oxc_ast_visit::{Visit, walk};
use oxc_span::{GetSpan, Span};

use super::super::explain;
use super::super::site::Spot;
use super::super::text::{Bytes, Insertions};
use super::{Guard, NAME};

/// Writes the program anew, from its beginning to its end.
pub(super) struct Writer<'s> {
    text: &'s str,
    out: String,
    /// How much of the text is written.
    done: usize,
    /// Of the file as it is.
    length: usize,
    insertions: &'s Insertions,
    file: u32,
    strict: bool,
    /// Something came in another order than it is written in.
    broken: bool,
    first: usize,
    made: Vec<Guard>,
}

impl<'s> Writer<'s> {
    pub(super) fn new(
        (text, insertions): (&'s str, &'s Insertions),
        length: usize,
        (file, first): (u32, usize),
        strict: bool,
    ) -> Self {
        let out = String::with_capacity(text.len() * 3);
        Self { text, out, done: 0, length, insertions, file, strict, broken: false, first, made: Vec::new() }
    }

    /// The text, and its guards.
    pub(super) fn write(mut self, program: &Program<'_>) -> Option<(String, Vec<Guard>)> {
        self.visit_program(program);
        self.upto(self.text.len());
        (!self.broken).then_some((self.out, self.made))
    }
}

impl Writer<'_> {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn upto(&mut self, end: usize) {
        match self.text.get(self.done..end) {
            Some(text) => self.out.push_str(text),
            None => self.broken = true,
        }
        self.done = end;
    }

    /// Leaves out, but for lines.
    fn skip(&mut self, end: usize) {
        match self.text.get(self.done..end) {
            Some(text) => self.out.extend(text.chars().filter(|c| *c == '\n')),
            None => self.broken = true,
        }
        self.done = end;
    }

    fn of(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn bytes(&self, at: Span) -> Bytes {
        let back = |at: u32| self.insertions.back(at as usize).min(self.length);
        Bytes::new(back(at.start), back(at.end))
    }

    fn add(&mut self, at: Span, shown: String) -> usize {
        let at = Spot { file: self.file, bytes: self.bytes(at) };
        self.made.push(Guard { at, shown, pattern: None });
        self.first + self.made.len() - 1
    }

    /// `$pmrun$g.name(site,`
    fn open(&mut self, name: &str, at: Span, shown: String) {
        let site = self.add(at, shown);
        self.put(&format!(" {NAME}.{name}({site},"));
    }

    /// An expression with something of ours around it; there may be commas in it.
    fn inside(&mut self, name: &str, expression: &Expression<'_>, at: Span, shown: String) {
        self.upto(expression.span().start as usize);
        self.open(name, at, shown);
        self.out.push('(');
        self.visit_expression(expression);
        self.upto(expression.span().end as usize);
        self.out.push_str("))");
    }

    /// Whether it may be put into a function.
    fn is_closed(&self, span: Span) -> bool {
        let text = self.of(span);
        !text.contains("await") && !text.contains("yield") && !text.contains("super(")
    }

    /// As a whole, by an arrow function, where that can be; `rest` writes what is in it.
    fn whole(&mut self, span: Span, at: Span, rest: impl FnOnce(&mut Self)) {
        self.upto(span.start as usize);
        let closed = self.is_closed(span);
        if closed {
            self.open("run", at, String::new());
            self.out.push_str("()=>(");
        }
        rest(self);
        self.upto(span.end as usize);
        if closed {
            self.out.push_str("))");
        }
    }

    /// As V8 shows it.
    fn shown(&self, span: Span) -> String {
        explain::callee_text(self.of(span))
    }

    /// What is gone through: V8 says of calls that they may be it.
    fn shown_list(&self, expression: &Expression<'_>) -> String {
        match expression.without_parentheses() {
            Expression::CallExpression(call) => {
                format!("{} is not a function or its return value", self.shown(call.callee.span()))
            }
            other => self.shown(other.span()),
        }
    }

    fn key(&mut self, name: &str) {
        let quoted = serde_json::to_string(name).unwrap_or_default();
        self.out.push_str(&quoted);
    }

    /// `OBJ,KEY)` of a property that is read or called.
    fn property(&mut self, helper: &str, member: Member<'_, '_>) {
        let (object, end) = (member.object(), member.span().end as usize);
        self.open(helper, member.name(), String::new());
        self.skip(object.span().start as usize);
        self.visit_expression(object);
        self.upto(object.span().end as usize);
        self.out.push(',');
        self.key_of(member);
        self.skip(end);
        self.out.push(')');
    }

    fn key_of(&mut self, member: Member<'_, '_>) {
        match member {
            Member::Static(it) => self.key(&it.property.name),
            Member::Computed(it) => {
                self.skip(it.expression.span().start as usize);
                self.out.push('(');
                self.visit_expression(&it.expression);
                self.upto(it.expression.span().end as usize);
                self.out.push(')');
            }
        }
    }

    /// `[ARGS])`, to the end of the call.
    fn arguments(&mut self, arguments: &[Argument<'_>], end: u32) {
        self.out.push('[');
        for argument in arguments {
            let span = argument.span();
            self.skip(span.start as usize);
            match argument {
                Argument::SpreadElement(spread) => {
                    self.skip(spread.argument.span().start as usize);
                    self.out.push_str("...");
                    let shown = self.shown(spread.argument.span());
                    self.inside("spread", &spread.argument, spread.argument.span(), shown);
                }
                other => {
                    if let Some(expression) = other.as_expression() {
                        self.visit_expression(expression);
                    }
                }
            }
            self.upto(span.end as usize);
            self.out.push(',');
        }
        self.skip(end as usize);
        self.out.push_str("])");
    }

    /// `a.b` as what is called, with its object.
    fn called(&mut self, callee: &Expression<'_>) {
        if let Some(member) = Member::of(callee.without_parentheses()) {
            self.skip(member.object().span().start as usize);
            self.property("ref", member);
            self.skip(callee.span().end as usize);
        } else {
            self.put(&format!(" {NAME}.val("));
            self.visit_expression(callee);
            self.upto(callee.span().end as usize);
            self.out.push(')');
        }
    }

    fn call(&mut self, it: &CallExpression<'_>) {
        let callee = it.callee.without_parentheses();
        let verbatim = match callee {
            Expression::Super(_) => true,
            Expression::Identifier(name) => name.name == "eval",
            _ => false,
        };
        let opaque = match callee {
            Expression::PrivateFieldExpression(_) | Expression::ChainExpression(_) => true,
            other => other.as_member_expression().is_some_and(|member| is_super(member.object())),
        };
        let arguments = |this: &mut Self| {
            this.upto(it.callee.span().end as usize);
            it.arguments.iter().for_each(|argument| this.visit_argument(argument));
        };
        if verbatim {
            return arguments(self);
        }
        let at = name_of(callee);
        if opaque {
            return self.whole(it.span, at, arguments);
        }
        self.upto(it.span.start as usize);
        let shown = self.shown(it.callee.span());
        self.open("call", at, shown);
        self.called(&it.callee);
        self.out.push(',');
        self.arguments(&it.arguments, it.span.end);
    }

    fn construct(&mut self, it: &NewExpression<'_>) {
        self.upto(it.span.start as usize);
        let shown = self.shown(it.callee.span());
        self.open("make", it.span, shown);
        self.skip(it.callee.span().start as usize);
        self.visit_expression(&it.callee);
        self.upto(it.callee.span().end as usize);
        self.out.push(',');
        self.arguments(&it.arguments, it.span.end);
    }

    fn tagged(&mut self, it: &TaggedTemplateExpression<'_>) {
        let tag = it.tag.without_parentheses();
        if Member::of(tag).is_none() && tag.as_member_expression().is_some()
            || matches!(tag, Expression::ChainExpression(_))
        {
            self.upto(it.quasi.span.start as usize);
        } else {
            self.upto(it.span.start as usize);
            let shown = self.shown(it.tag.span());
            self.open("tag", name_of(tag), shown);
            self.called(&it.tag);
            self.out.push(')');
        }
        for expression in &it.quasi.expressions {
            self.upto(expression.span().start as usize);
            self.visit_expression(expression);
        }
        self.upto(it.span.end as usize);
    }

    /// A part of an optional chain, which may have ended before.
    fn link(&mut self, part: &Expression<'_>) {
        match part {
            Expression::CallExpression(call) => self.link_call(call),
            other => {
                if let Some(member) = Member::of(other) {
                    return self.link_member("lget", member);
                }
                self.visit_expression(other);
                self.upto(other.span().end as usize);
            }
        }
    }

    fn link_member(&mut self, helper: &str, member: Member<'_, '_>) {
        self.upto(member.span().start as usize);
        self.open(helper, member.name(), String::new());
        self.link(member.object());
        self.out.push_str(if member.optional() { ",true,()=>(" } else { ",false,()=>(" });
        self.key_of(member);
        self.skip(member.span().end as usize);
        self.out.push_str("))");
    }

    fn link_call(&mut self, call: &CallExpression<'_>) {
        self.upto(call.span.start as usize);
        let shown = self.shown(call.callee.span());
        self.open("lcall", name_of(&call.callee), shown);
        if let Some(member) = Member::of(&call.callee) {
            self.link_member("lref", member);
        } else {
            self.put(&format!(" {NAME}.lval("));
            self.link(&call.callee);
            self.out.push(')');
        }
        self.out.push_str(if call.optional { ",true,()=>" } else { ",false,()=>" });
        self.arguments(&call.arguments, call.span.end);
    }

    fn chain(&mut self, it: &ChainElement<'_>, span: Span) {
        let followed = match it {
            ChainElement::CallExpression(call) => may_follow_call(call),
            other => other.as_member_expression().is_some_and(may_follow_member),
        };
        let begun = match it {
            ChainElement::CallExpression(call) => beginning(&call.callee),
            other => other.as_member_expression().map_or(span, |member| beginning(member.object())),
        };
        if !followed || !self.is_closed(Span::new(begun.end, span.end)) {
            return self.whole(span, span, |_| ());
        }
        self.upto(span.start as usize);
        self.put(&format!(" {NAME}.end("));
        match it {
            ChainElement::CallExpression(call) => self.link_call(call),
            ChainElement::StaticMemberExpression(it) => self.link_member("lget", Member::Static(it)),
            ChainElement::ComputedMemberExpression(it) => self.link_member("lget", Member::Computed(it)),
            _ => self.broken = true,
        }
        self.out.push(')');
    }

    fn assign(&mut self, it: &AssignmentExpression<'_>) {
        let member = match &it.left {
            AssignmentTarget::StaticMemberExpression(it) => Some(Member::Static(it)),
            AssignmentTarget::ComputedMemberExpression(it) => Some(Member::Computed(it)),
            _ => None,
        };
        let plain = it.operator == AssignmentOperator::Assign;
        match member.filter(|member| !is_super(member.object())) {
            Some(member) if plain => {
                self.upto(it.span.start as usize);
                let helper = if self.strict { "putStrict" } else { "put" };
                self.property(helper, member);
                // The value comes behind the name.
                self.out.pop();
                self.out.push(',');
                self.skip(it.right.span().start as usize);
                self.visit_expression(&it.right);
                self.upto(it.span.end as usize);
                self.out.push(')');
            }
            Some(member) => {
                self.target("obj", member);
                self.visit_expression(&it.right);
            }
            None => match &it.left {
                AssignmentTarget::AssignmentTargetIdentifier(name) => {
                    self.whole(it.span, name.span, |this| this.visit_expression(&it.right));
                }
                AssignmentTarget::ObjectAssignmentTarget(pattern) => {
                    self.visit_assignment_target(&it.left);
                    let first = pattern.properties.first().map_or(pattern.span, GetSpan::span);
                    let shown = self.shown(it.right.span());
                    self.inside("pat", &it.right, first, shown);
                }
                AssignmentTarget::ArrayAssignmentTarget(_) => {
                    self.visit_assignment_target(&it.left);
                    let shown = self.shown_list(&it.right);
                    self.inside("list", &it.right, it.right.span(), shown);
                }
                _ => walk::walk_assignment_expression(self, it),
            },
        }
    }

    /// Looks at what is read before it is written to.
    fn target(&mut self, helper: &str, member: Member<'_, '_>) {
        let object = member.object();
        self.upto(object.span().start as usize);
        self.open(helper, member.name(), String::new());
        self.visit_expression(object);
        self.upto(object.span().end as usize);
        if let Member::Static(it) = member {
            self.out.push(',');
            self.key(&it.property.name);
        }
        self.out.push(')');
        if let Member::Computed(it) = member {
            self.upto(it.expression.span().start as usize);
            self.visit_expression(&it.expression);
        }
        self.upto(member.span().end as usize);
    }

    fn unary(&mut self, it: &UnaryExpression<'_>) {
        let argument = it.argument.without_parentheses();
        match it.operator {
            UnaryOperator::Typeof if matches!(argument, Expression::Identifier(_)) => self.upto(it.span.end as usize),
            UnaryOperator::Delete => match Member::of(argument) {
                Some(member) => self.target("del", member),
                None => self.upto(it.span.end as usize),
            },
            UnaryOperator::UnaryPlus | UnaryOperator::UnaryNegation | UnaryOperator::BitwiseNot
                if !argument.is_literal() =>
            {
                self.upto(it.span.start as usize);
                self.open("un", it.span, String::new());
                self.put(&format!("\"{}\",", it.operator.as_str()));
                self.skip(it.argument.span().start as usize);
                self.visit_expression(&it.argument);
                self.upto(it.span.end as usize);
                self.out.push(')');
            }
            _ => walk::walk_unary_expression(self, it),
        }
    }

    /// Behind a pattern that nothing stands for: what happens then.
    fn missing(&mut self, pattern: &BindingPattern<'_>, helper: &str) {
        let (at, first) = match pattern {
            BindingPattern::ObjectPattern(_) => first_of(pattern),
            _ => return,
        };
        self.upto(pattern.span().end as usize);
        self.out.push('=');
        self.open(helper, at, "undefined".to_owned());
        self.out.push_str(if helper == "pat" { "undefined," } else { "" });
        match first {
            Some(first) => self.key(&first),
            None => self.out.push_str("undefined"),
        }
        self.out.push(')');
    }
}

/// `a.b` and `a[b]`, but not of `super`.
#[derive(Clone, Copy)]
enum Member<'m, 'a> {
    Static(&'m StaticMemberExpression<'a>),
    Computed(&'m ComputedMemberExpression<'a>),
}

impl<'m, 'a> Member<'m, 'a> {
    fn of(expression: &'m Expression<'a>) -> Option<Self> {
        let member = match expression {
            Expression::StaticMemberExpression(it) => Self::Static(it),
            Expression::ComputedMemberExpression(it) => Self::Computed(it),
            _ => return None,
        };
        (!is_super(member.object())).then_some(member)
    }

    fn object(self) -> &'m Expression<'a> {
        match self {
            Self::Static(it) => &it.object,
            Self::Computed(it) => &it.object,
        }
    }

    fn optional(self) -> bool {
        match self {
            Self::Static(it) => it.optional,
            Self::Computed(it) => it.optional,
        }
    }

    fn span(self) -> Span {
        match self {
            Self::Static(it) => it.span,
            Self::Computed(it) => it.span,
        }
    }

    fn name(self) -> Span {
        match self {
            Self::Static(it) => it.property.span,
            Self::Computed(it) => it.expression.span(),
        }
    }
}

fn is_super(expression: &Expression<'_>) -> bool {
    matches!(expression.without_parentheses(), Expression::Super(_))
}

/// Of `a.b`, the `b`.
fn name_of(callee: &Expression<'_>) -> Span {
    let callee = callee.without_parentheses();
    match callee {
        Expression::PrivateFieldExpression(it) => it.field.span,
        other => Member::of(other).map_or(other.span(), Member::name),
    }
}

/// Whether a chain has only what helpers can do.
fn may_follow(part: &Expression<'_>) -> bool {
    match part {
        Expression::CallExpression(call) => may_follow_call(call),
        other => other.as_member_expression().is_none_or(may_follow_member),
    }
}

fn may_follow_call(call: &CallExpression<'_>) -> bool {
    !matches!(&call.callee, Expression::Super(_)) && may_follow(&call.callee)
}

fn may_follow_member(member: &MemberExpression<'_>) -> bool {
    !matches!(member, MemberExpression::PrivateFieldExpression(_))
        && !is_super(member.object())
        && may_follow(member.object())
}

/// What a chain begins with.
fn beginning(part: &Expression<'_>) -> Span {
    match part {
        Expression::CallExpression(call) => beginning(&call.callee),
        other => other.as_member_expression().map_or(other.span(), |member| beginning(member.object())),
    }
}

/// The first property that an object is taken apart for: where it stands, and its name.
fn first_of(pattern: &BindingPattern<'_>) -> (Span, Option<String>) {
    let BindingPattern::ObjectPattern(object) = pattern else { return (pattern.span(), None) };
    match object.properties.first() {
        Some(property) if !property.computed => {
            let name = match &property.key {
                PropertyKey::StaticIdentifier(name) => Some(name.name.to_string()),
                _ => None,
            };
            (property.value.span(), name)
        }
        _ => (object.span, None),
    }
}

impl<'a> Visit<'a> for Writer<'_> {
    fn visit_expression(&mut self, it: &Expression<'a>) {
        match it {
            Expression::Identifier(name) if !matches!(name.name.as_str(), "undefined" | "arguments" | "eval") => {
                self.upto(name.span.start as usize);
                self.open("id", name.span, String::new());
                self.out.push_str("()=>");
                self.upto(name.span.end as usize);
                self.out.push(')');
            }
            Expression::StaticMemberExpression(_) | Expression::ComputedMemberExpression(_) => match Member::of(it) {
                Some(member) => {
                    self.upto(it.span().start as usize);
                    self.property("get", member);
                }
                None => self.whole(it.span(), it.span(), |_| ()),
            },
            Expression::PrivateFieldExpression(field) => {
                self.whole(field.span, field.field.span, |this| this.visit_expression(&field.object));
            }
            Expression::CallExpression(call) => self.call(call),
            Expression::NewExpression(new) => self.construct(new),
            Expression::TaggedTemplateExpression(tagged) => self.tagged(tagged),
            Expression::ChainExpression(chain) => self.chain(&chain.expression, chain.span),
            Expression::TemplateLiteral(template) => {
                for expression in &template.expressions {
                    self.inside("str", expression, expression.span(), String::new());
                }
            }
            Expression::AssignmentExpression(assign) => self.assign(assign),
            Expression::UpdateExpression(update) => match &update.argument {
                SimpleAssignmentTarget::StaticMemberExpression(it) if !is_super(&it.object) => {
                    self.target("obj", Member::Static(it));
                }
                SimpleAssignmentTarget::ComputedMemberExpression(it) if !is_super(&it.object) => {
                    self.target("obj", Member::Computed(it));
                }
                other => self.whole(update.span, other.span(), |_| ()),
            },
            Expression::UnaryExpression(unary) => self.unary(unary),
            Expression::BinaryExpression(binary)
                if !(matches!(binary.operator.as_str(), "===" | "!==")
                    || binary.left.is_literal() && binary.right.is_literal()) =>
            {
                self.upto(binary.span.start as usize);
                self.open("bin", binary.span, String::new());
                self.put(&format!("\"{}\",", binary.operator.as_str()));
                self.visit_expression(&binary.left);
                self.upto(binary.left.span().end as usize);
                self.out.push(',');
                self.skip(binary.right.span().start as usize);
                self.visit_expression(&binary.right);
                self.upto(binary.span.end as usize);
                self.out.push(')');
            }
            Expression::AwaitExpression(awaited) => {
                self.inside("wait", &awaited.argument, awaited.span, String::new());
            }
            Expression::YieldExpression(yielded) => match &yielded.argument {
                Some(list) if yielded.delegate => {
                    let shown = self.shown_list(list);
                    self.inside("iter", list, list.span(), shown);
                }
                _ => walk::walk_yield_expression(self, yielded),
            },
            _ => walk::walk_expression(self, it),
        }
    }

    fn visit_argument(&mut self, it: &Argument<'a>) {
        match it {
            Argument::SpreadElement(spread) => {
                let shown = self.shown(spread.argument.span());
                self.inside("spread", &spread.argument, spread.argument.span(), shown);
            }
            other => other.as_expression().into_iter().for_each(|expression| self.visit_expression(expression)),
        }
    }

    fn visit_array_expression_element(&mut self, it: &ArrayExpressionElement<'a>) {
        match it {
            ArrayExpressionElement::SpreadElement(spread) => {
                let shown = self.shown_list(&spread.argument);
                self.inside("spread", &spread.argument, spread.argument.span(), shown);
            }
            other => other.as_expression().into_iter().for_each(|expression| self.visit_expression(expression)),
        }
    }

    fn visit_object_property(&mut self, it: &ObjectProperty<'a>) {
        if !it.shorthand {
            walk::walk_object_property(self, it);
        }
    }

    fn visit_throw_statement(&mut self, it: &ThrowStatement<'a>) {
        self.inside("thrown", &it.argument, it.argument.span(), String::new());
    }

    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        self.visit_binding_pattern(&it.id);
        let Some(init) = &it.init else { return };
        match &it.id {
            BindingPattern::ObjectPattern(_) => {
                let (at, first) = first_of(&it.id);
                let shown = self.shown(init.span());
                let site = self.made.len();
                self.inside("pat", init, at, shown);
                self.made[site].pattern = Some(self.bytes(it.id.span()));
                if let Some(first) = first {
                    self.out.pop();
                    self.out.push(',');
                    self.key(&first);
                    self.out.push(')');
                }
            }
            BindingPattern::ArrayPattern(_) => {
                let shown = self.shown_list(init);
                self.inside("list", init, init.span(), shown);
            }
            _ => self.visit_expression(init),
        }
    }

    fn visit_for_of_statement(&mut self, it: &ForOfStatement<'a>) {
        self.visit_for_statement_left(&it.left);
        if it.r#await {
            self.visit_expression(&it.right);
        } else {
            let pattern = match &it.left {
                ForStatementLeft::VariableDeclaration(declared) => declared.declarations.first().map(|each| &each.id),
                _ => None,
            };
            let shown = self.shown_list(&it.right);
            if let Some(pattern @ BindingPattern::ObjectPattern(_)) = pattern {
                let (at, first) = first_of(pattern);
                let inner = self.add(at, ".for".to_owned());
                let whole = self.bytes(pattern.span());
                self.made.last_mut().into_iter().for_each(|guard| guard.pattern = Some(whole));
                self.inside("each", &it.right, it.right.span(), shown);
                self.out.pop();
                self.put(&format!(",{inner},"));
                match first {
                    Some(first) => self.key(&first),
                    None => self.out.push_str("undefined"),
                }
                self.out.push(')');
            } else {
                self.inside("iter", &it.right, it.right.span(), shown);
            }
        }
        self.visit_statement(&it.body);
    }

    fn visit_formal_parameter(&mut self, it: &FormalParameter<'a>) {
        walk::walk_formal_parameter(self, it);
        if it.initializer.is_none() {
            self.missing(&it.pattern, "pat");
        }
    }

    fn visit_binding_property(&mut self, it: &BindingProperty<'a>) {
        walk::walk_binding_property(self, it);
        self.missing(&it.value, "missing");
    }

    fn visit_array_pattern(&mut self, it: &ArrayPattern<'a>) {
        for element in it.elements.iter().flatten() {
            self.visit_binding_pattern(element);
            self.missing(element, "missing");
        }
        if let Some(rest) = &it.rest {
            self.visit_binding_rest_element(rest);
        }
    }

    fn visit_class(&mut self, it: &Class<'a>) {
        let around = std::mem::replace(&mut self.strict, true);
        if let Some(above) = &it.super_class {
            self.inside("above", above, above.span(), String::new());
        }
        self.visit_class_body(&it.body);
        self.strict = around;
    }

    fn visit_function_body(&mut self, it: &FunctionBody<'a>) {
        let around = self.strict;
        self.strict |= it.directives.iter().any(|directive| directive.directive == "use strict");
        walk::walk_function_body(self, it);
        self.strict = around;
    }
}
