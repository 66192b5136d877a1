//! Puts calls of the mark around the expressions of a program that values come from.
//!
//! `{name: f(x)}` becomes `$pmrun(7,{name: f(x)}/*$pmrun*/)`. The mark returns what it is given, so the program means
//! the same. Only whole expressions are wrapped, never patterns, and no line is added. What is not certain is left alone.

mod accesses;
mod chains;
mod flow;
mod literals;
mod names;
mod operations;
mod scribe;
mod tried;

use std::borrow::Cow;
use std::collections::HashMap;

use boa_ast::scope::Scope;
use boa_ast::visitor::VisitWith;
use boa_engine::Source;
use boa_interner::Interner;
use boa_parser::Parser;

use self::flow::Flow;
use self::names::Names;
use self::scribe::Scribe;
use super::site::{Export, Site, SiteId, Value};
use super::text::{Bytes, Insertions};
use super::{APART, CLOSE, FIELD, MARK, NOTHING, OPEN, OVER, STATEMENT, TAKEN, Trial};
use crate::config::js::source::{WRAPPER, WRAPPER_END};

/// Larger files are bundles: nobody reads places in them, and they would take their time.
const LENGTH_MAX: usize = 512 << 10;

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
    /// What optional chains begin with that are not marked.
    pub(super) unfollowed: Vec<Bytes>,
    /// The one value that is exported as a whole.
    pub(super) whole: Option<Value>,
    /// Some of its arithmetic does not tell of itself.
    pub(super) untold: bool,
    /// The file was gone through, and no name can be declared in it twice where that is an error.
    pub(super) unambiguous: bool,
}

/// What a call calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Callee {
    pub(super) whole: Bytes,
    /// Of `a.b.c()`, the `c`; of `new A()`, the `new A`.
    pub(super) name: Bytes,
    /// From its bracket to its end.
    pub(super) rest: Bytes,
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
    (file, first): (u32, SiteId),
    trial: &Trial,
) -> Option<Rewritten> {
    let has_marks = [APART, OPEN].iter().any(|mark| code.contains(mark));
    if code.len() > LENGTH_MAX || has_marks {
        return None;
    }
    let (base, insertions) = plain(code, shape, before);
    let mut interner = Interner::default();
    let mut parser = Parser::new(Source::from_bytes(&base));
    let mut names = Names { interner: &Interner::default(), declared: HashMap::new(), dynamic: false };
    let unambiguous;
    let marks = match shape {
        Shape::CommonJs => {
            let (program, _) = parser.parse_eval(false, &mut interner).ok()?;
            not_named(&interner)?;
            names.interner = &interner;
            let _ = program.visit_with(&mut names);
            names.declare_wrapper();
            let flow = Flow::of(&program, &interner);
            unambiguous = !flow.may_declare_twice();
            Scribe::over(code, &base, insertions, (names, &flow), (file, first), trial).visit(&program)?
        }
        Shape::Module => {
            let program = parser.parse_module(&Scope::new_global(), &mut interner).ok()?;
            not_named(&interner)?;
            names.interner = &interner;
            let _ = program.visit_with(&mut names);
            let flow = Flow::of(&program, &interner);
            unambiguous = !flow.may_declare_twice();
            Scribe::over(code, &base, insertions, (names, &flow), (file, first), trial).visit(&program)?
        }
    };
    let (text, insertions) = inserted(code, shape, before, marks.wraps, first)?;
    Some(Rewritten { text, insertions, sites: marks.sites, facts: Facts { unambiguous, ..marks.facts } })
}

/// No name of the program is the mark's.
fn not_named(interner: &Interner) -> Option<()> {
    interner.get(MARK).is_none().then_some(())
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
    let mut open: Vec<(usize, &'static str)> = Vec::new();
    for wrap in &wraps {
        while open.last().is_some_and(|(end, _)| *end <= wrap.start) {
            all.extend(open.pop().map(|(end, close)| (end, close.into())));
        }
        if open.last().is_some_and(|(end, _)| *end < wrap.end) {
            return None;
        }
        let site = first + wrap.site;
        let extra = match &wrap.extra {
            None | Some(Extra::Field) => None,
            Some(Extra::Caught(name)) => Some(format!("{MARK}({site},{name},{NOTHING}{CLOSE}{STATEMENT}")),
            Some(Extra::Taken) => Some(format!("={MARK}({site}{TAKEN}")),
            Some(Extra::Over) => Some(format!("{MARK}({site},{OVER}")),
            Some(Extra::Text(text)) => Some((*text).to_owned()),
        };
        if let Some(extra) = extra {
            all.push((wrap.start, extra.into()));
            continue;
        }
        // Behind a pattern, as what it is where there is nothing.
        if wrap.start == wrap.end {
            all.push((wrap.start, format!("={MARK}({},{NOTHING}{CLOSE}", first + wrap.site).into()));
            continue;
        }
        let joins =
            code[..wrap.start].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii());
        let apart = if joins { APART } else { "" };
        all.push((wrap.start, format!("{apart}{MARK}({},", first + wrap.site).into()));
        open.push((wrap.end, if wrap.extra.is_some() { FIELD } else { CLOSE }));
    }
    all.extend(open.into_iter().rev().map(|(end, close)| (end, close.into())));
    if split > 0 {
        all.sort_by_key(|(at, _)| *at);
    }
    if shape == Shape::CommonJs {
        all.insert(0, (0, WRAPPER.into()));
        all.push((code.len(), WRAPPER_END.into()));
    }
    Some(Insertions::apply(code, all))
}

/// One call of the mark.
struct Wrap {
    start: usize,
    end: usize,
    /// Counted from the file's first one.
    site: u32,
    extra: Option<Extra>,
}

/// What is put in besides calls around expressions.
enum Extra {
    /// A statement about what this name has caught.
    Caught(String),
    /// `catch ({ message }) {}`, with a name for what is taken apart, so that it can be marked before:
    /// `catch ($pmrun$e){let { message }=$pmrun(7,$pmrun$e);{}}`
    Taken,
    Text(&'static str),
    /// The mark is told the object whose field this is.
    Field,
    /// And this one stands before a value that is not marked itself.
    Over,
}

/// Where a specifier stands in quotes.
pub(super) fn quoted(code: &str, specifier: &str, from: usize) -> Option<Bytes> {
    let find = |quote: char| code.get(from..)?.find(&format!("{quote}{specifier}{quote}")).map(|at| at + from);
    let at = ['\'', '"', '`'].into_iter().filter_map(find).min()?;
    Some(Bytes::new(at, at + specifier.len() + 2))
}
