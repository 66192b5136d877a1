//! Where a program puts a variable into `process.env`, by its text.

use std::ops::Range;

use oxc_allocator::Allocator;
use oxc_ast::ast::{AssignmentExpression, AssignmentTarget, Expression};
use oxc_ast_visit::{Visit, walk};
use oxc_parser::Parser;
use oxc_span::{GetSpan as _, SourceType};

/// Larger files are bundles, which nobody looks into.
const LENGTH_MAX: usize = 256 << 10;

/// An assignment to `process.env.NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The bytes of what is assigned.
    pub at: Range<usize>,
    /// It says the value itself; else it is computed there.
    pub is_literal: bool,
}

/// The assignment that a variable has its value from. None where there is none, and where several may have been it.
#[must_use]
pub fn assigned(code: &str, name: &str, value: &str) -> Option<Assigned> {
    if code.len() > LENGTH_MAX {
        return None;
    }
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, code, SourceType::ts()).parse();
    if parsed.panicked {
        return None;
    }
    let mut found = Found { name, literals: Vec::new(), others: Vec::new() };
    found.visit_program(&parsed.program);
    let literals: Vec<Range<usize>> =
        found.literals.into_iter().filter(|(text, _)| text == value).map(|(_, at)| at).collect();
    let (at, is_literal) = match (literals.as_slice(), found.others.as_slice()) {
        ([at], _) => (at, true),
        ([], [at]) => (at, false),
        _ => return None,
    };
    Some(Assigned { at: at.clone(), is_literal })
}

struct Found<'s> {
    name: &'s str,
    /// With what they become as a variable.
    literals: Vec<(String, Range<usize>)>,
    others: Vec<Range<usize>>,
}

impl<'a> Visit<'a> for Found<'_> {
    fn visit_assignment_expression(&mut self, it: &AssignmentExpression<'a>) {
        let (object, name) = match &it.left {
            AssignmentTarget::StaticMemberExpression(member) => {
                (Some(&member.object), Some(member.property.name.as_str()))
            }
            AssignmentTarget::ComputedMemberExpression(member) => (Some(&member.object), literal(&member.expression)),
            _ => (None, None),
        };
        if name == Some(self.name) && object.is_some_and(is_environment) {
            let span = it.right.span();
            let at = span.start as usize..span.end as usize;
            let text = match &it.right {
                Expression::NumericLiteral(number) => number.raw.map(|raw| raw.to_string()),
                Expression::BooleanLiteral(value) => Some(value.value.to_string()),
                other => literal(other).map(str::to_owned),
            };
            match text {
                Some(text) => self.literals.push((text, at)),
                None => self.others.push(at),
            }
        }
        walk::walk_assignment_expression(self, it);
    }
}

fn literal<'e>(expression: &'e Expression<'_>) -> Option<&'e str> {
    match expression {
        Expression::StringLiteral(text) => Some(text.value.as_str()),
        Expression::TemplateLiteral(template) if template.expressions.is_empty() => {
            Some(template.quasis.first()?.value.cooked.as_ref()?.as_str())
        }
        _ => None,
    }
}

/// `process.env`, or `env` by whatever name it was taken out.
fn is_environment(object: &Expression<'_>) -> bool {
    match object {
        Expression::StaticMemberExpression(member) => member.property.name == "env",
        Expression::Identifier(name) => name.name == "env",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_found_where_it_can_only_be_that_one() {
        let table: [(&str, Option<(&str, bool)>); 10] = [
            ("process.env.X = 'a';", Some(("'a'", true))),
            ("// process.env.X = 'a'\nprocess.env['X'] = `a`", Some(("`a`", true))),
            ("const { env } = process; env.X = 'a'", Some(("'a'", true))),
            ("process.env.X = f('a')", Some(("f('a')", false))),
            ("process.env.X ??= 'a'; process.env.Y = 'a'", Some(("'a'", true))),
            ("if (p) process.env.X = 'b'; else process.env.X = 'a'", Some(("'a'", true))),
            ("process.env.X = 'a'; process.env.X = 'a'", None),
            ("process.env.X = 'b'", None),
            ("other.X = 'a'", None),
            ("process.env.X = (", None),
        ];
        for (code, want) in table {
            let found = assigned(code, "X", "a").map(|found| (code.get(found.at).unwrap(), found.is_literal));
            assert_eq!(found, want, "{code}");
        }
        assert!(assigned("process.env.X = 3000", "X", "3000").is_some_and(|found| found.is_literal));
    }
}
