//! What is marked when a program is run for the sake of its places alone (`trial`).

use boa_ast::expression::Expression;
use boa_ast::expression::operator::binary::BinaryOp;
use boa_ast::statement::Statement;

use super::super::site::{Scalar, Site};
use super::scribe::{Scribe, scalar};

impl Scribe<'_> {
    /// Marks a literal that is looked for, or what decides in an expression; whether there is nothing else in it.
    pub(super) fn doubted(&mut self, expression: &Expression) -> bool {
        if self.trial.wanted.is_empty() {
            return false;
        }
        match expression {
            Expression::Conditional(either) => self.decides(either.condition(), &['?']),
            Expression::Binary(binary) if matches!(binary.op(), BinaryOp::Logical(_)) => {
                self.decides(binary.lhs(), &['|', '&', '?']);
            }
            Expression::Literal(_) | Expression::Unary(_) => {
                let found = scalar(expression, self.names.interner).filter(|scalar| self.trial.wants(scalar));
                let place = self.start(expression).zip(self.end(expression));
                if let (Some(scalar), Some((start, end))) = (found, place)
                    && !matches!(scalar, Scalar::Text(_))
                    && start < end
                    && !self.code[start..end].contains(['(', '/'])
                {
                    let at = self.spot(start, end);
                    self.add(start, end, Site::Doubted { at, scalar });
                    return true;
                }
            }
            _ => {}
        }
        false
    }

    /// Marks what decides in a statement.
    pub(super) fn choice(&mut self, statement: &Statement) {
        match statement {
            _ if self.trial.wanted.is_empty() => {}
            Statement::If(decided) => self.decides(decided.cond(), &[')']),
            Statement::WhileLoop(decided) => self.decides(decided.condition(), &[')']),
            Statement::DoWhileLoop(decided) => self.decides(decided.cond(), &[')']),
            Statement::ForLoop(decided) => {
                decided.condition().into_iter().for_each(|condition| self.decides(condition, &[';']));
            }
            _ => {}
        }
    }

    fn decides(&mut self, condition: &Expression, followed_by: &[char]) {
        if let Some((start, end)) = self.extent(condition, followed_by) {
            self.add(start, end, Site::Choice);
        }
    }
}
