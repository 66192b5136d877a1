//! Which names a program's text declares, uses, calls and assigns to, and in which scope.

use std::ops::ControlFlow;

use boa_ast::Spanned;
use boa_ast::declaration::{Binding, ExportDeclaration, ExportSpecifier, LexicalDeclaration, VarDeclaration};
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::expression::literal::PropertyDefinition;
use boa_ast::expression::operator::assign::{Assign, AssignTarget};
use boa_ast::expression::operator::update::{Update, UpdateTarget};
use boa_ast::expression::{Call, Expression, Identifier};
use boa_ast::function::{
    ArrowFunction, AsyncArrowFunction, AsyncFunctionDeclaration, AsyncFunctionExpression, AsyncGeneratorDeclaration,
    ClassDeclaration, FormalParameterList, FunctionDeclaration, FunctionExpression, GeneratorDeclaration,
};
use boa_ast::operations::bound_names;
use boa_ast::property::PropertyName;
use boa_ast::statement::iteration::{ForInLoop, ForLoop, ForOfLoop, IterableLoopInitializer};
use boa_ast::statement::{Block, Catch, Switch};
use boa_ast::visitor::{VisitWith, Visitor};
use boa_interner::Sym;

use super::{Caller, Flow, From, function};

impl<'p> Visitor<'p> for Flow<'p> {
    type BreakTy = ();

    fn visit_expression(&mut self, expression: &'p Expression) -> ControlFlow<()> {
        match expression {
            Expression::Identifier(name) => {
                self.lent.push((name.sym(), self.current));
                self.read(expression)
            }
            Expression::PropertyAccess(PropertyAccess::Simple(access)) => {
                self.read(access.target())?;
                self.visit_property_access_field(access.field())
            }
            Expression::Spread(spread) => self.read(spread.target()),
            _ => expression.visit_with(self),
        }
    }

    fn visit_property_definition(&mut self, property: &'p PropertyDefinition) -> ControlFlow<()> {
        if let PropertyDefinition::IdentifierReference(name) = property {
            self.used(*name);
            self.handed.push((name.sym(), self.current));
            self.lent.push((name.sym(), self.current));
            return ControlFlow::Continue(());
        }
        match property {
            PropertyDefinition::SpreadObject(spread) => self.read(spread),
            _ => property.visit_with(self),
        }
    }

    fn visit_call(&mut self, call: &'p Call) -> ControlFlow<()> {
        match call.function() {
            // It may assign to any name that it sees.
            Expression::Identifier(name) if name.sym() == Sym::EVAL => self.dynamic = true,
            Expression::Identifier(name) => self.calls.push((name.sym(), self.current, call.args())),
            Expression::PropertyAccess(PropertyAccess::Simple(access)) if self.is_call_on_items(access.field()) => {
                self.read(access.target())?;
                if let [callback, rest @ ..] = call.args()
                    && let Some((parameters, body)) = function(callback)
                {
                    if !self.is_filter(access.field()) {
                        self.iterate(access.target());
                    }
                    self.enter(Some(Caller::Items(access.target())), parameters, body)?;
                    return rest.iter().try_for_each(|argument| self.visit_expression(argument));
                }
            }
            // A method may write to what it belongs to.
            Expression::PropertyAccess(PropertyAccess::Simple(access)) if !self.is_reading(access.field()) => {
                access.visit_with(self)?;
            }
            other => self.visit_expression(other)?,
        }
        call.args().iter().try_for_each(|argument| self.visit_expression(argument))
    }

    fn visit_assign(&mut self, assign: &'p Assign) -> ControlFlow<()> {
        match assign.lhs() {
            AssignTarget::Identifier(name) => self.assigned.push((name.sym(), self.current)),
            AssignTarget::Pattern(pattern) => {
                let scope = self.current;
                self.assigned.extend(bound_names(pattern).into_iter().map(|name| (name, scope)));
                self.visit_pattern(pattern)?;
            }
            AssignTarget::Access(_) => self.visit_assign_target(assign.lhs())?,
        }
        self.visit_expression(assign.rhs())
    }

    fn visit_update(&mut self, update: &'p Update) -> ControlFlow<()> {
        match update.target() {
            UpdateTarget::Identifier(name) => self.assigned.push((name.sym(), self.current)),
            UpdateTarget::PropertyAccess(access) => return access.visit_with(self),
        }
        ControlFlow::Continue(())
    }

    /// Of a pattern, whether it declares or assigns: what it declares is known by its place in the scope already.
    fn visit_identifier(&mut self, name: &'p Identifier) -> ControlFlow<()> {
        if !self.scopes[self.current].names.contains_key(&name.sym()) {
            self.assigned.push((name.sym(), self.current));
        }
        ControlFlow::Continue(())
    }

    fn visit_property_name(&mut self, name: &'p PropertyName) -> ControlFlow<()> {
        match name {
            PropertyName::Literal(_) => ControlFlow::Continue(()),
            PropertyName::Computed(expression) => self.visit_expression(expression),
        }
    }

    fn visit_property_access_field(&mut self, field: &'p PropertyAccessField) -> ControlFlow<()> {
        match field {
            PropertyAccessField::Const(_) => ControlFlow::Continue(()),
            PropertyAccessField::Expr(expression) => self.visit_expression(expression),
        }
    }

    fn visit_lexical_declaration(&mut self, declaration: &'p LexicalDeclaration) -> ControlFlow<()> {
        let scope = self.current;
        let names = declaration.variable_list().as_ref().iter().flat_map(|variable| bound_names(variable.binding()));
        self.lexical.extend(names);
        declaration.variable_list().as_ref().iter().try_for_each(|variable| self.variable(scope, variable))
    }

    fn visit_var_declaration(&mut self, declaration: &'p VarDeclaration) -> ControlFlow<()> {
        let scope = self.function_scope();
        let names = declaration.0.as_ref().iter().flat_map(|variable| bound_names(variable.binding()));
        self.loose.extend(names);
        declaration.0.as_ref().iter().try_for_each(|variable| self.variable(scope, variable))
    }

    fn visit_class_declaration(&mut self, class: &'p ClassDeclaration) -> ControlFlow<()> {
        self.declare(self.current, class.name(), From::Unknown);
        self.lexical.insert(class.name().sym());
        class.visit_with(self)
    }

    fn visit_function_declaration(&mut self, function: &'p FunctionDeclaration) -> ControlFlow<()> {
        self.loose.insert(function.name().sym());
        let name = self.declare(self.current, function.name(), From::Unknown);
        self.enter(Some(Caller::Name(name)), function.parameters(), function.body())
    }

    fn visit_generator_declaration(&mut self, function: &'p GeneratorDeclaration) -> ControlFlow<()> {
        self.loose.insert(function.name().sym());
        function.visit_with(self)
    }

    fn visit_async_generator_declaration(&mut self, function: &'p AsyncGeneratorDeclaration) -> ControlFlow<()> {
        self.loose.insert(function.name().sym());
        function.visit_with(self)
    }

    fn visit_async_function_declaration(&mut self, function: &'p AsyncFunctionDeclaration) -> ControlFlow<()> {
        self.loose.insert(function.name().sym());
        let name = self.declare(self.current, function.name(), From::Unknown);
        self.enter(Some(Caller::Name(name)), function.parameters(), function.body())
    }

    fn visit_arrow_function(&mut self, function: &'p ArrowFunction) -> ControlFlow<()> {
        self.enter(None, function.parameters(), function.body())
    }

    fn visit_async_arrow_function(&mut self, function: &'p AsyncArrowFunction) -> ControlFlow<()> {
        self.enter(None, function.parameters(), function.body())
    }

    fn visit_function_expression(&mut self, function: &'p FunctionExpression) -> ControlFlow<()> {
        self.within(false, |flow| {
            if let Some(name) = function.name() {
                flow.declare(flow.current, name, From::Unknown);
            }
            flow.enter(None, function.parameters(), function.body())
        })
    }

    fn visit_async_function_expression(&mut self, function: &'p AsyncFunctionExpression) -> ControlFlow<()> {
        self.within(false, |flow| {
            if let Some(name) = function.name() {
                flow.declare(flow.current, name, From::Unknown);
            }
            flow.enter(None, function.parameters(), function.body())
        })
    }

    /// Of methods, generators and whatever else has no scope here.
    fn visit_formal_parameter_list(&mut self, parameters: &'p FormalParameterList) -> ControlFlow<()> {
        for parameter in parameters.as_ref() {
            self.declare_binding(self.current, parameter.variable().binding(), From::Unknown);
        }
        parameters.visit_with(self)
    }

    fn visit_block(&mut self, block: &'p Block) -> ControlFlow<()> {
        self.within(false, |flow| block.visit_with(flow))
    }

    fn visit_switch(&mut self, switch: &'p Switch) -> ControlFlow<()> {
        self.within(false, |flow| switch.visit_with(flow))
    }

    fn visit_for_loop(&mut self, each: &'p ForLoop) -> ControlFlow<()> {
        self.within(false, |flow| each.visit_with(flow))
    }

    fn visit_for_in_loop(&mut self, each: &'p ForInLoop) -> ControlFlow<()> {
        self.within(false, |flow| {
            if let IterableLoopInitializer::Const(binding) | IterableLoopInitializer::Let(binding) = each.initializer()
            {
                let from = match binding {
                    Binding::Identifier(name) => From::Key(name.span().start()),
                    Binding::Pattern(_) => From::Unknown,
                };
                flow.declare_binding(flow.current, binding, from);
            }
            each.visit_with(flow)
        })
    }

    fn visit_for_of_loop(&mut self, each: &'p ForOfLoop) -> ControlFlow<()> {
        self.within(false, |flow| {
            match each.initializer() {
                IterableLoopInitializer::Const(binding) | IterableLoopInitializer::Let(binding) => {
                    flow.declare_binding(flow.current, binding, From::Item(each.iterable()));
                }
                IterableLoopInitializer::Var(variable) => {
                    let scope = flow.function_scope();
                    flow.declare_binding(scope, variable.binding(), From::Unknown);
                }
                IterableLoopInitializer::Identifier(name) => flow.assigned.push((name.sym(), flow.current)),
                IterableLoopInitializer::Pattern(pattern) => {
                    let scope = flow.current;
                    flow.assigned.extend(bound_names(pattern).into_iter().map(|name| (name, scope)));
                }
                IterableLoopInitializer::Access(_) => {}
            }
            let _ = flow.visit_iterable_loop_initializer(each.initializer());
            flow.read(each.iterable())?;
            flow.iterate(each.iterable());
            flow.visit_statement(each.body())
        })
    }

    fn visit_catch(&mut self, catch: &'p Catch) -> ControlFlow<()> {
        self.within(false, |flow| {
            if let Some(binding) = catch.parameter() {
                flow.declare_binding(flow.current, binding, From::Unknown);
                flow.loose.extend(bound_names(binding));
            }
            catch.visit_with(flow)
        })
    }

    fn visit_export_declaration(&mut self, export: &'p ExportDeclaration) -> ControlFlow<()> {
        self.exporting = true;
        let flow = export.visit_with(self);
        self.exporting = false;
        flow
    }

    fn visit_export_specifier(&mut self, export: &'p ExportSpecifier) -> ControlFlow<()> {
        self.handed.push((export.private_name(), self.current));
        self.lent.push((export.private_name(), self.current));
        ControlFlow::Continue(())
    }
}
