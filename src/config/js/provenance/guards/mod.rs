//! Where an error was thrown of which the engine does not say so: the program is run again with each of its operations done
//! by a helper that knows its place (`guards.js`). `a.b(c)` becomes `$pmrun$g.call(2,$pmrun$g.ref(1,a,"b"),[c])`.

mod writer;

use std::path::Path;

use boa_engine::object::JsObject;
use boa_engine::{Context, JsResult, JsString, JsValue, Script, Source, js_string};
use oxc_allocator::Allocator;
use oxc_parser::Parser;
use oxc_span::SourceType;

use self::writer::Writer;

use super::rewrite::{Shape, plain};
use super::site::Spot;
use super::text::Bytes;
use super::{Trace, token};

const HELPERS: &str = include_str!("../guards.js");
const NAME: &str = "$pmrun$g";
/// Larger files are bundles.
const LENGTH_MAX: usize = 256 << 10;

/// One operation.
#[derive(Debug)]
pub(super) struct Guard {
    at: Spot,
    /// What is called, gone through or taken apart, as V8 shows it.
    shown: String,
    /// The pattern that takes it apart.
    pattern: Option<Bytes>,
}

/// The helpers, and what they stand for.
#[derive(Default)]
pub(super) struct Guards {
    all: Vec<Guard>,
    helpers: Option<JsObject>,
}

/// Makes the helpers a name that all files see.
pub(super) fn install(trace: &Trace, context: &mut Context) -> JsResult<()> {
    let source = Source::from_bytes(HELPERS).with_path(Path::new("pmrun:guards"));
    let helpers = Script::parse(source, None, context)?.evaluate(context)?;
    let global = context.global_object();
    let passed = js_string!("$pmrun$");
    global.set(passed.clone(), helpers.clone(), true, context)?;
    let source = Source::from_bytes("const $pmrun$g = globalThis.$pmrun$;").with_path(Path::new("pmrun:guards"));
    Script::parse(source, None, context)?.evaluate(context)?;
    global.delete_property_or_throw(passed, context)?;
    trace.guards.borrow_mut().helpers = helpers.as_object();
    Ok(())
}

impl Trace {
    /// The program with its guards; None when that cannot be.
    pub(super) fn guarded(
        &self,
        code: &str,
        shape: super::Shape,
        before: &[(usize, &'static str)],
        file: u32,
    ) -> Option<String> {
        if code.len() > LENGTH_MAX || code.contains("$pmrun") {
            return None;
        }
        let (text, insertions) = plain(code, shape, before);
        let allocator = Allocator::default();
        let kind = if shape == Shape::Module { SourceType::mjs() } else { SourceType::script() };
        let parsed = Parser::new(&allocator, &text, kind).parse();
        if parsed.panicked || !parsed.errors.is_empty() {
            return None;
        }
        let mut guards = self.guards.borrow_mut();
        let first = guards.all.len();
        let writer = Writer::new((&text, &insertions), code.len(), (file, first), shape == Shape::Module);
        let (out, made) = writer.write(&parsed.program)?;
        guards.all.extend(made);
        Some(out)
    }

    pub(in crate::config::js) fn is_guarded(&self) -> bool {
        self.trial.guarded
    }

    /// Where the program is, and, if it takes an object apart, takes this property.
    pub(in crate::config::js) fn guarded_now(&self, name: &str, context: &mut Context) -> Option<Spot> {
        let now = self.helper("now", &[], context)?.as_number()?;
        let guards = self.guards.borrow();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "guards are small and whole")]
        let Guard { at, pattern, .. } = guards.all.get(now as usize)?;
        let files = self.files.borrow();
        let text = &files.get(at.file as usize)?.text;
        let found = pattern.and_then(|pattern| {
            let starts = pattern.of(text).match_indices(name).map(|(start, _)| pattern.start as usize + start);
            let is_word = |start: &usize| token(text, *start) == name.len() && !text[..*start].ends_with(is_word);
            starts.into_iter().find(is_word)
        });
        let bytes = found.map_or(at.bytes, |start| Bytes::new(start, start + name.len()));
        Some(Spot { file: at.file, bytes })
    }

    fn helper(&self, name: &str, args: &[JsValue], context: &mut Context) -> Option<JsValue> {
        let helpers = self.guards.borrow().helpers.clone()?;
        let function = helpers.get(JsString::from(name), context).ok()?.as_callable()?;
        function.call(&JsValue::undefined(), args, context).ok()
    }

    /// Where a value was thrown, and the words for it where they are certain.
    pub(in crate::config::js) fn guard(
        &self,
        error: &JsValue,
        context: &mut Context,
    ) -> Option<(Spot, Option<String>)> {
        let found = self.helper("found", std::slice::from_ref(error), context)?.as_object()?;
        let site = found.get(0, context).ok()?.as_number()?;
        let words = found.get(1, context).ok()?.as_string().map(|words: JsString| words.to_std_string_lossy());
        let guards = self.guards.borrow();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "guards are small and whole")]
        let guard = guards.all.get(site as usize)?;
        Some((guard.at, words.map(|words| words.replace('\0', &guard.shown))))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$')
}
