//! The names that a program declares.

use std::collections::HashMap;
use std::ops::ControlFlow;

use boa_ast::declaration::{Binding, LexicalDeclaration, VarDeclaration, Variable};
use boa_ast::expression::access::{PropertyAccess, PropertyAccessField};
use boa_ast::expression::literal::{LiteralKind, PropertyDefinition};
use boa_ast::expression::{Expression, Identifier};
use boa_ast::function::{
    AsyncFunctionDeclaration, AsyncGeneratorDeclaration, ClassDeclaration, FunctionDeclaration, GeneratorDeclaration,
};
use boa_ast::property::PropertyName;
use boa_ast::statement::With;
use boa_ast::visitor::{VisitWith, Visitor};
use boa_interner::{Interner, Sym};

use super::super::known;

/// Names that a file declares anywhere, and whether what they hold can be undefined.
pub(super) struct Names<'a> {
    pub(super) interner: &'a Interner,
    pub(super) declared: HashMap<Sym, bool>,
    /// There is a `with`: names mean something else in it.
    pub(super) dynamic: bool,
}

impl Names<'_> {
    pub(super) fn declare(&mut self, name: Identifier, defined: bool) {
        self.declared.entry(name.sym()).and_modify(|known| *known = *known && defined).or_insert(defined);
    }

    /// The parameters of Node's wrapper are never undefined.
    pub(super) fn declare_wrapper(&mut self) {
        for name in ["exports", "require", "module", "__filename", "__dirname"] {
            self.declared.extend(self.interner.get(name).map(|sym| (sym, true)));
        }
    }

    pub(super) fn variables(&mut self, variables: &[Variable], constant: bool) {
        for variable in variables {
            if let Binding::Identifier(name) = variable.binding() {
                let defined = constant && variable.init().is_some_and(|init| self.is_defined(init));
                self.declare(*name, defined);
            }
        }
    }

    /// Whether the expression certainly has properties.
    pub(super) fn is_defined(&self, expression: &Expression) -> bool {
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

    pub(super) fn text(&self, sym: Sym) -> String {
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
