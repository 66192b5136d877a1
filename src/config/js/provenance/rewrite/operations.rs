//! Operations that the engine says no place of when they fail, and what is thrown: each tells of itself before it happens.

use boa_ast::Spanned;
use boa_ast::expression::Expression;
use boa_ast::expression::literal::{LiteralKind, TemplateElement, TemplateLiteral};
use boa_ast::expression::operator::assign::{Assign, AssignOp};
use boa_ast::expression::operator::binary::{Binary, BinaryOp, RelationalOp};
use boa_ast::expression::operator::unary::{Unary, UnaryOp};

use super::super::site::{Operation, Scalar, Site, Spot};
use super::super::text::skip_blank;
use super::scribe::{DEPTH_MAX, Scribe, scalar};

/// Words of programs whose arithmetic can fail. In others it is not marked, for the sake of its loops.
const FAILING: [&str; 4] = ["BigInt", "Symbol", "Object.create(", "__proto__"];

/// Whether a program may hold values that no arithmetic takes.
pub(super) fn may_fail(code: &str) -> bool {
    let is_big = |at: usize| {
        let bytes = code.as_bytes();
        bytes[at - 1].is_ascii_hexdigit() && !bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric)
    };
    FAILING.iter().any(|word| code.contains(word))
        || code.match_indices('n').any(|(at, _)| {
            let digits = code[..at].trim_end_matches(|c: char| c.is_ascii_hexdigit() || c == '_' || c == 'x');
            at > 0 && is_big(at) && code[digits.len()..].starts_with(|c: char| c.is_ascii_digit())
        })
}

impl Scribe<'_> {
    /// `a in b`, `a + b`: marks what is evaluated last.
    pub(super) fn binary(&mut self, binary: &Binary) {
        let of = match binary.op() {
            BinaryOp::Relational(RelationalOp::In) => Operation::In(self.key_text(binary.lhs())),
            BinaryOp::Relational(RelationalOp::InstanceOf) => Operation::InstanceOf,
            BinaryOp::Arithmetic(_) | BinaryOp::Bitwise(_) | BinaryOp::Relational(_) if self.fails => {
                Operation::Arithmetic
            }
            _ => return,
        };
        if matches!(of, Operation::In(_)) && matches!(binary.rhs(), Expression::ObjectLiteral(_)) {
            return;
        }
        let sign = binary.op().to_string();
        let at = self.end(binary.lhs()).map(|end| skip_blank(self.code, end));
        let at = at.filter(|at| self.code[*at..].starts_with(&sign)).map(|at| self.spot(at, at + sign.len()));
        self.operation(of, binary.rhs(), at);
    }

    pub(super) fn unary(&mut self, unary: &Unary) {
        if self.fails && matches!(unary.op(), UnaryOp::Plus | UnaryOp::Minus | UnaryOp::Tilde) {
            let at = self.offset(unary.span().start()).map(|at| self.spot(at, at + 1));
            self.operation(Operation::Arithmetic, unary.target(), at);
        }
    }

    /// `a += b`
    pub(super) fn augmented(&mut self, assign: &Assign) {
        let plain = [AssignOp::Assign, AssignOp::BoolAnd, AssignOp::BoolOr, AssignOp::Coalesce];
        if self.fails && !plain.contains(&assign.op()) {
            self.operation(Operation::Arithmetic, assign.rhs(), None);
        }
    }

    /// `${a}`
    pub(super) fn template(&mut self, template: &TemplateLiteral) {
        for element in template.elements() {
            if let TemplateElement::Expr(expression) = element
                && self.fails
            {
                self.operation(Operation::Text, expression, None);
            }
        }
    }

    /// `class A extends B`
    pub(super) fn extends(&mut self, above: Option<&Expression>) {
        if let Some(above) = above {
            self.operation(Operation::Extends, above, None);
        }
    }

    pub(super) fn thrown(&mut self, target: &Expression) {
        self.operation(Operation::Throw, target, None);
    }

    fn operation(&mut self, of: Operation, operand: &Expression, at: Option<Spot>) {
        let extent = self.start(operand).zip(self.end(operand)).filter(|(start, end)| start < end);
        if let Some((start, end)) = extent.filter(|_| is_sure(operand) && self.depth < DEPTH_MAX) {
            let at = at.unwrap_or(self.spot(start, end));
            self.add(start, end, Site::Operation { of, at });
        } else {
            self.facts.untold |= matches!(of, Operation::Arithmetic | Operation::Text);
        }
    }

    fn key_text(&self, key: &Expression) -> Option<String> {
        match scalar(key, self.names.interner)? {
            Scalar::Text(text) => Some(text),
            Scalar::Number(number) => Some(crate::document::js_number(number)),
            Scalar::Bool(_) | Scalar::Null => None,
        }
    }
}

/// Whether the end of an expression is known, whatever follows it.
fn is_sure(expression: &Expression) -> bool {
    match expression {
        Expression::Identifier(_)
        | Expression::Call(_)
        | Expression::PropertyAccess(_)
        | Expression::Parenthesized(_)
        | Expression::This(_)
        | Expression::ObjectLiteral(_)
        | Expression::ArrayLiteral(_)
        | Expression::TemplateLiteral(_) => true,
        Expression::Literal(literal) => !matches!(literal.kind(), LiteralKind::Undefined),
        Expression::Unary(unary) => is_sure(unary.target()) && !matches!(unary.op(), UnaryOp::Delete),
        Expression::Binary(binary) => is_sure(binary.lhs()) && is_sure(binary.rhs()),
        _ => false,
    }
}
