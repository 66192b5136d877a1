//! What V8 refuses before it runs a program, in its words: a second reading of the text, by a parser that knows every place.
//! The engine accepts some of what is refused here, and of the rest it often knows no place.

use oxc_allocator::Allocator;
use oxc_ast::ast::{ArrowFunctionExpression, Function, Program, Statement};
use oxc_ast_visit::{Visit, walk};
use oxc_diagnostics::OxcDiagnostic;
use oxc_parser::{ParseOptions, Parser, ParserReturn};
use oxc_semantic::{ScopeFlags, SemanticBuilder};
use oxc_span::{SourceType, Span};

use super::provenance::Shape;
use super::source::{WRAPPER, WRAPPER_END};

/// Larger files are bundles, which nobody writes by hand.
const LENGTH_MAX: usize = 256 << 10;

const SECOND_DEFAULT: &str = "A module cannot have multiple default exports";

/// A refusal in V8's words, and the bytes that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Early {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) message: String,
}

/// What is refused of a text that the engine refuses, where that is no question of the grammar alone.
pub(super) fn refused(code: &str, shape: Shape) -> Option<Early> {
    first(code, shape, |_| true)
}

/// A name that is declared twice, which the engine accepts in functions.
pub(super) fn declared_twice(code: &str, shape: Shape) -> Option<Early> {
    first(code, shape, |message| message.starts_with("Identifier `"))
}

fn first(code: &str, shape: Shape, is_meant: fn(&str) -> bool) -> Option<Early> {
    with_parsed(code, shape, |parsed, base| {
        let program = &parsed.program;
        let text = program.source_text;
        let early = |span: Span, message: String| {
            let (start, end) = (span.start as usize, span.end as usize);
            Some(Early { start: start.checked_sub(base)?, end: end.checked_sub(base)?, message })
        };
        let told = |error: &OxcDiagnostic| {
            let labels = error.labels.as_deref()?;
            let again =
                ["already been declared", "Duplicated export", "Multiple constructor", "A `continue` statement"];
            // What was there before comes first.
            let label = if error.message.contains(SECOND_DEFAULT) {
                labels.iter().max_by_key(|label| label.offset())
            } else if again.iter().any(|said| error.message.contains(said)) {
                labels.last()
            } else {
                labels.first()
            };
            let span = Span::sized(u32::try_from(label?.offset()).ok()?, u32::try_from(label?.len()).ok()?);
            early(declaration(text, span), in_v8s_words(&error.message, span.source_text(text)))
        };
        if !parsed.errors.is_empty() {
            let error = parsed.errors.iter().filter(|error| is_meant(&error.message)).find(|error| is_early(error));
            return error.and_then(told);
        }
        let built = SemanticBuilder::new().with_check_syntax_error(true).build(program);
        let refusals = built.errors.iter().filter(|error| is_meant(&error.message)).filter_map(told);
        let mut jumps = Jumps::default();
        if is_meant("") {
            jumps.visit_program(program);
        }
        let lost = jumps.lost.iter().filter_map(|(span, message)| early(*span, (*message).to_owned()));
        refusals.chain(lost).min_by_key(|refusal| refusal.start)
    })
    .flatten()
}

/// What the parser itself says is early, and knows the place of better than the engine.
fn is_early(error: &OxcDiagnostic) -> bool {
    let said = [
        "Duplicated export",
        SECOND_DEFAULT,
        "Missing initializer in const declaration",
        "Cannot assign to this expression",
        "Invalid assignment in object literal",
        "Expected function name",
    ];
    said.iter().any(|said| error.message.starts_with(said))
}

/// A name that is declared a second time as a function or class begins with that word.
fn declaration(text: &str, name: Span) -> Span {
    let before = text[..name.start as usize].trim_end();
    match ["function", "class"].into_iter().find(|word| before.ends_with(word)) {
        Some(word) => Span::new(u32::try_from(before.len() - word.len()).unwrap_or(name.start), name.end),
        None => name,
    }
}

fn with_parsed<T>(code: &str, shape: Shape, use_it: impl FnOnce(&ParserReturn<'_>, usize) -> T) -> Option<T> {
    if code.len() > LENGTH_MAX {
        return None;
    }
    let (text, base, kind) = match shape {
        Shape::CommonJs => (format!("{WRAPPER}{code}{WRAPPER_END}"), WRAPPER.len(), SourceType::script()),
        Shape::Module => (code.to_owned(), 0, SourceType::mjs()),
    };
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, &text, kind).with_options(ParseOptions::default()).parse();
    Some(use_it(&parsed, base))
}

/// Calls with what the text is, and how many bytes of ours stand before it.
pub(super) fn read<T>(code: &str, shape: Shape, use_it: impl FnOnce(&Program<'_>, usize) -> T) -> Option<T> {
    let whole = |parsed: &ParserReturn<'_>, base| {
        (parsed.errors.is_empty() && !parsed.panicked).then(|| use_it(&parsed.program, base))
    };
    with_parsed(code, shape, whole).flatten()
}

fn in_v8s_words(message: &str, text: &str) -> String {
    let said = match message {
        "Use of undefined label" | "Jump target cannot cross function boundary." => {
            return format!("Undefined label '{text}'");
        }
        _ if message.starts_with("A `continue` statement can only jump") => {
            return format!("Illegal continue statement: '{text}' does not denote an iteration statement");
        }
        _ if message.starts_with("'super' can only") || message.starts_with("Super calls are not permitted") => {
            "'super' keyword unexpected here"
        }
        _ if message.starts_with("Cannot assign to '") => "Unexpected eval or arguments in strict mode",
        _ if message.starts_with("The keyword '") => "Unexpected strict mode reserved word",
        _ if message.starts_with("'0'-prefixed octal") => "Octal literals are not allowed in strict mode.",
        _ if message.starts_with("Export '") => return format!("{message} in module"),
        _ if message.starts_with(SECOND_DEFAULT) => "Duplicate export of 'default'",
        _ if message.starts_with("Duplicated export") => {
            return message.replace("Duplicated export", "Duplicate export of");
        }
        _ if message.starts_with("`let` cannot be declared") => "let is disallowed as a lexically bound name",
        _ if message.contains("`__proto__`") => "Duplicate __proto__ fields are not allowed in object literals",
        "Invalid assignment in object literal" => "Invalid shorthand property initializer",
        "Expected function name" => "Function statements require a function name",
        "Cannot assign to this expression" => "Invalid left-hand side in assignment",
        "Multiple constructor implementations are not allowed." => "A class may only have one constructor",
        "'with' statements are not allowed" => "Strict mode code may not include a with statement",
        _ => return message.replace('`', "'"),
    };
    said.to_owned()
}

/// `break` and `continue` that nothing is around, which the checker looks for in vain across arrow functions.
#[derive(Default)]
struct Jumps {
    loops: u32,
    switches: u32,
    lost: Vec<(Span, &'static str)>,
}

impl Jumps {
    fn apart(&mut self, walk: impl FnOnce(&mut Self)) {
        let around = (std::mem::take(&mut self.loops), std::mem::take(&mut self.switches));
        walk(self);
        (self.loops, self.switches) = around;
    }

    fn in_loop(&mut self, walk: impl FnOnce(&mut Self)) {
        self.loops += 1;
        walk(self);
        self.loops -= 1;
    }
}

impl<'a> Visit<'a> for Jumps {
    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        self.apart(|this| walk::walk_function(this, it, flags));
    }

    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        self.apart(|this| walk::walk_arrow_function_expression(this, it));
    }

    fn visit_statement(&mut self, it: &Statement<'a>) {
        match it {
            Statement::SwitchStatement(_) => {
                self.switches += 1;
                walk::walk_statement(self, it);
                self.switches -= 1;
            }
            Statement::BreakStatement(jump) if jump.label.is_none() && self.loops + self.switches == 0 => {
                self.lost.push((jump.span, "Illegal break statement"));
            }
            Statement::ContinueStatement(jump) if jump.label.is_none() && self.loops == 0 => {
                self.lost.push((jump.span, "Illegal continue statement: no surrounding iteration statement"));
            }
            _ if it.is_iteration_statement() => self.in_loop(|this| walk::walk_statement(this, it)),
            _ => walk::walk_statement(self, it),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_v8s() {
        // As Node 20 words and places them, columns from 0.
        let (js, module) = (Shape::CommonJs, Shape::Module);
        let table = [
            (js, "let a = 1; let a = 2", 15, "Identifier 'a' has already been declared"),
            (js, "let a = 1, a = 2", 11, "Identifier 'a' has already been declared"),
            (js, "const a = 1\nfunction a() {}", 12, "Identifier 'a' has already been declared"),
            (js, "let a; class a {}", 7, "Identifier 'a' has already been declared"),
            (js, "function f(a) { let a }", 20, "Identifier 'a' has already been declared"),
            (js, "{ let b; var b }", 13, "Identifier 'b' has already been declared"),
            (js, "try {} catch (e) { let e }", 23, "Identifier 'e' has already been declared"),
            (js, "const require = 1", 6, "Identifier 'require' has already been declared"),
            (js, "break", 0, "Illegal break statement"),
            (js, "for (;;) { (() => { break })() }", 20, "Illegal break statement"),
            (
                js,
                "switch (1) { case 1: continue }",
                21,
                "Illegal continue statement: no surrounding iteration statement",
            ),
            (js, "a: a: for (;;) {}", 3, "Label 'a' has already been declared"),
            (js, "for (;;) { break foo }", 17, "Undefined label 'foo'"),
            (js, "x: { continue x }", 14, "Illegal continue statement: 'x' does not denote an iteration statement"),
            (js, "function f() { super.x }", 15, "'super' keyword unexpected here"),
            (js, "class A { constructor() { super() } }", 26, "'super' keyword unexpected here"),
            (js, "class A { constructor() {} constructor() {} }", 27, "A class may only have one constructor"),
            (js, "'use strict'; with (a) {}", 14, "Strict mode code may not include a with statement"),
            (js, "'use strict'; eval = 1", 14, "Unexpected eval or arguments in strict mode"),
            (js, "'use strict'; x = 010", 18, "Octal literals are not allowed in strict mode."),
            (js, "1 = 2", 0, "Invalid left-hand side in assignment"),
            (js, "const a", 6, "Missing initializer in const declaration"),
            (module, "let a; let a", 11, "Identifier 'a' has already been declared"),
            (module, "export { nope }", 9, "Export 'nope' is not defined in module"),
            (module, "export { a, a }; let a", 12, "Duplicate export of 'a'"),
        ];
        for (shape, code, at, want) in table {
            let found = refused(code, shape);
            assert_eq!(found.as_ref().map(|it| (it.start, it.message.as_str())), Some((at, want)), "{code}");
        }
        let fine = [
            "var a; var a; function f() {} function f() {} var f",
            "{ function a() {} function a() {} } switch (1) { case 1: function q() {} case 2: function q() {} }",
            "for (const a of []) { const a = 1 } { const a = 1 } function f(a) { { let a } }",
            "a: for (;;) { for (;;) { continue a } } do { break } while (1); switch (1) { case 1: break }",
            "try {} catch (e) { var e } function g(a, a) { var a } return",
        ];
        for code in fine {
            assert_eq!(refused(code, js), None, "{code}");
        }
    }
}
