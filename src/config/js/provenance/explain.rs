//! Errors of the engine, at the user's bytes and in words that a user of Node knows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::brackets::{Odd, closed, odd, string};
use super::rewrite::{Facts, Request, rewrite};
use super::site::Spot;
use super::text::{Bytes, Lines};
use super::{File, OPEN, Shape, Trace, Trial, is_foreign};
use crate::config::js::outline::{self, Called, Iterated, Outline};
use crate::config::js::source::{WRAPPER, without_shebang};
use crate::config::js::words::in_v8s_words;

impl Trace {
    /// The bytes at a line and column of what the engine was given. None where it only knows the file.
    pub(in crate::config::js) fn spot(&self, path: &Path, line: u32, column: u32) -> Option<Spot> {
        let files = self.files.borrow();
        let (index, file) = files.iter().enumerate().rfind(|(_, file)| file.path == path)?;
        let given = Lines::of(&file.given).offset(line, column)?;
        let wrapped = file.given.starts_with(WRAPPER) && !file.text.starts_with(WRAPPER);
        if wrapped && given < WRAPPER.len() {
            return None;
        }
        let at = file.insertions.back(given).min(file.text.len());
        let bytes = Bytes::new(at, at + token(&file.text, at));
        Some(Spot { file: u32::try_from(index).unwrap_or(u32::MAX), bytes })
    }

    /// These bytes of a file.
    pub(in crate::config::js) fn at(&self, path: &Path, start: usize, end: usize) -> Option<Spot> {
        let index = self.files.borrow().iter().rposition(|file| file.path == path)?;
        Some(Spot { file: u32::try_from(index).ok()?, bytes: Bytes::new(start, end) })
    }

    /// The line and column of bytes, both from 1.
    pub(in crate::config::js) fn position(&self, spot: Spot) -> Option<(u32, u32)> {
        let files = self.files.borrow();
        let file = files.get(spot.file as usize)?;
        // As an editor counts, not as the engine does.
        let before = file.text.get(..spot.bytes.start as usize)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some((u32::try_from(line).ok()?, u32::try_from(column).ok()?))
    }

    /// The bytes of a line and column as `position` gives them.
    pub(in crate::config::js) fn bytes(&self, path: &Path, line: u32, column: u32) -> Option<Spot> {
        let files = self.files.borrow();
        let (index, file) = files.iter().enumerate().rfind(|(_, file)| file.path == path)?;
        let start: usize = file.text.split_inclusive('\n').take((line as usize).checked_sub(1)?).map(str::len).sum();
        let rest = file.text.get(start..)?;
        let skipped = rest.chars().take((column as usize).checked_sub(1)?).map(char::len_utf8).sum::<usize>();
        let at = start + skipped;
        let bytes = Bytes::new(at, at + token(&file.text, at));
        Some(Spot { file: u32::try_from(index).unwrap_or(u32::MAX), bytes })
    }

    /// What is open or closed once too often in a file, where the engine has no place for what it found, or one behind the
    /// end.
    pub(in crate::config::js) fn odd(&self, path: &Path, found: Option<Spot>) -> Option<(Odd, Spot, usize)> {
        let files = self.files.borrow();
        let (index, file) = files.iter().enumerate().rfind(|(_, file)| file.path == path)?;
        let end = file.text.trim_end().len();
        if found.is_some_and(|spot| (spot.bytes.start as usize) < end) {
            return None;
        }
        let odd = odd(&file.text)?;
        let at = match odd {
            Odd::Endless(at, _) | Odd::Extra(at, _) | Odd::Open(at, _) => at,
        };
        let line = file.text.get(..at)?.matches('\n').count() + 1;
        // What is never closed is missed at the end.
        let bytes = match odd {
            Odd::Open(..) => Bytes::new(file.text.trim_end().char_indices().next_back().map_or(0, |(at, _)| at), end),
            _ => Bytes::new(at, at + 1),
        };
        Some((odd, Spot { file: u32::try_from(index).unwrap_or(u32::MAX), bytes }, line))
    }

    /// The line on which the code before a place ends, where that is not the place's own.
    pub(in crate::config::js) fn end_above(&self, spot: Spot) -> Option<usize> {
        let files = self.files.borrow();
        let before = files.get(spot.file as usize)?.text.get(..spot.bytes.start as usize)?;
        let code = before.lines().rev().find(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"))?;
        let end = code.as_ptr() as usize - before.as_ptr() as usize + code.trim_end().len();
        let line = before.get(..end)?.matches('\n').count() + 1;
        before.get(end..)?.contains('\n').then_some(line)
    }

    /// Where a module is required or imported in a file.
    pub(in crate::config::js) fn request(&self, path: &Path, specifier: &str) -> Option<Spot> {
        let files = self.files.borrow();
        let (index, file) = files.iter().enumerate().rfind(|(_, file)| file.path == path)?;
        let request = file.facts.requests.iter().find(|request| request.specifier == specifier)?;
        Some(Spot { file: u32::try_from(index).unwrap_or(u32::MAX), bytes: request.at })
    }

    /// Whether a file of the user's requires or imports a module of Node's.
    pub(in crate::config::js) fn requests(&self, module: &str) -> bool {
        let is_it = |specifier: &str| {
            let name = specifier.strip_prefix("node:").unwrap_or(specifier);
            name.split('/').next() == Some(module)
        };
        let files = self.files.borrow();
        files.iter().flat_map(|file| &file.facts.requests).any(|request| is_it(&request.specifier))
    }

    /// The name of what is called, where the place is a call's bracket.
    pub(in crate::config::js) fn callee(&self, at: Option<Spot>) -> Option<Spot> {
        let files = self.files.borrow();
        let spot = at?;
        let callee = files.get(spot.file as usize)?.facts.calls.get(&spot.bytes.start)?;
        Some(Spot { bytes: callee.name, ..spot })
    }

    /// What was called from a place, as far as its text says so: by which name, and which bytes the call has.
    pub(in crate::config::js) fn call(&self, at: Spot) -> Option<(String, Bytes)> {
        self.learn(at.file);
        let files = self.files.borrow();
        let file = files.get(at.file as usize)?;
        let call = file.facts.calls.get(&at.bytes.start)?;
        let whole = Bytes { start: call.whole.start.min(call.rest.start), end: call.rest.end };
        Some((call.name.of(&file.text).to_owned(), whole))
    }

    /// Of a package's file nothing is known before one of its errors is asked about.
    pub(in crate::config::js) fn learn(&self, file: u32) {
        if let Some(file) = self.files.borrow_mut().get_mut(file as usize)
            && is_foreign(&file.path)
            && file.facts.calls.is_empty()
        {
            self.vague.set(true);
            let code = without_shebang(&file.text);
            let known = rewrite(&code, shape(file), &[], (0, 0), &Trial::default()).map(|known| known.facts);
            if let Some(Facts { calls, free, .. }) = known {
                file.facts = Facts { calls, free, ..Facts::default() };
            }
        }
    }

    /// The engine's message, which may begin with its class, and its place, as Node would word them.
    pub(in crate::config::js) fn explain(
        &self,
        message: &str,
        at: Option<Spot>,
        called: &Called,
    ) -> (String, Option<Spot>) {
        // Whatever goes wrong with the words, there is an error to tell of.
        let told = catch_unwind(AssertUnwindSafe(|| self.told(message, at, called)));
        told.unwrap_or_else(|_| (message.to_owned(), at))
    }

    fn told(&self, message: &str, at: Option<Spot>, called: &Called) -> (String, Option<Spot>) {
        let unchanged = (message.to_owned(), at);
        let files = self.files.borrow();
        let file = at.and_then(|spot| files.get(spot.file as usize));
        let (class, bare) = message.split_once(": ").unwrap_or(("", message));
        let said = |text: String| format!("{class}: {text}");
        if let Some((_, spot)) = self.refused.borrow().iter().rev().find(|(refused, _)| refused == bare) {
            return (message.to_owned(), Some(*spot));
        }
        if !class.ends_with("Error") || class == "Error" {
            return unchanged;
        }
        if let Some(name) = bare.strip_prefix("could not find export `").and_then(|rest| rest.strip_suffix('`')) {
            let lacks = |from: &str| format!("The requested module '{from}' does not provide an export named '{name}'");
            if let Some((spot, request)) = imported(&files, name) {
                return (said(lacks(&request.specifier)), Some(spot));
            }
            let handed = handed_on(&files, name);
            let Some((spot, from)) = handed.first() else { return (said(lacks("")), at) };
            // A name that is only ever handed on goes in a circle.
            let circle = format!("Detected cycle while resolving name '{name}' in '{from}'");
            return (said(if handed.len() > 1 { circle } else { lacks(from) }), Some(*spot));
        }
        let missing = bare.strip_suffix(" is not defined");
        if missing.is_some() || bare == "access of uninitialized binding" {
            if let Some((name, bytes)) = too_early(file, at, missing) {
                let text = format!("Cannot access '{name}' before initialization");
                return (said(text), at.map(|spot| Spot { bytes, ..spot }));
            }
            if let Some(name) = missing {
                let undeclared = || {
                    let (file, spot) = (file?, at?);
                    let from = spot.bytes.start as usize;
                    let (start, end) = outline::undeclared(&file.text, shape(file), name, from)?;
                    Some(Spot { bytes: Bytes::new(start, end), ..spot })
                };
                return (message.to_owned(), named(&files, name, at).or_else(undeclared).or(at));
            }
        }
        if let Some((file, spot)) = file.zip(at)
            && self.is_anothers(file, spot, bare)
        {
            let text = in_v8s_words(bare).unwrap_or(std::borrow::Cow::Borrowed(bare));
            return (said(text.into_owned()), None);
        }
        // Of these the engine knows the function at best.
        let only_these = ["right-hand side of 'in", "superclass must", "cannot mix BigInt"];
        let of_operation = only_these.iter().any(|said| bare.starts_with(said));
        let without_place = at.filter(|at| of_operation || at.bytes == Bytes::new(0, 0));
        if let Some((text, bytes)) = without_place.and_then(|at| self.failed(bare, at.file)) {
            let text = in_v8s_words(&text).map_or(text.clone(), std::borrow::Cow::into_owned);
            return (said(text), at.map(|spot| Spot { bytes, ..spot }));
        }
        if let Some(spot) = at
            && let Some((null, name, place)) = self.unwritten(spot, bare)
        {
            let kind = if null { "null" } else { "undefined" };
            return (said(format!("Cannot set properties of {kind} (setting '{name}')")), Some(place));
        }
        let (text, bytes) = match (file, at) {
            (Some(file), Some(spot)) => reworded(file, spot, bare, called).unwrap_or((bare.to_owned(), spot.bytes)),
            _ => (bare.to_owned(), Bytes::new(0, 0)),
        };
        let text = in_v8s_words(&text).map_or(text.clone(), std::borrow::Cow::into_owned);
        (said(text), at.map(|spot| Spot { bytes, ..spot }))
    }
}

impl Trace {
    /// What was to be written where there is nothing to write to.
    fn unwritten(&self, spot: Spot, bare: &str) -> Option<(bool, String, Spot)> {
        if bare != "cannot convert 'null' or 'undefined' to object" {
            return None;
        }
        let nothing = self.nothing.borrow();
        let at = |place: &&Spot| place.file == spot.file && place.bytes.start == spot.bytes.start;
        let files = self.files.borrow();
        let text = &files.get(spot.file as usize)?.text;
        // What is written to may begin before its last name.
        let inside = |place: &&Spot| {
            let between = Bytes { start: spot.bytes.start, end: place.bytes.start };
            let one = || !between.of(text).contains([' ', '=', ';', ',', '\n']);
            place.file == spot.file && spot.bytes.start < place.bytes.start && one()
        };
        let place = nothing.keys().find(at).or_else(|| nothing.keys().find(inside))?;
        let (null, name) = nothing.get(place)?;
        Some((*null, name.clone(), *place))
    }

    /// Whether the place that the engine has is only around the one that failed, which it does not know.
    fn is_anothers(&self, file: &File, spot: Spot, bare: &str) -> bool {
        let may_be = ["not a callable function", "not a constructor", "cannot convert 'null' or 'undefined' to object"];
        if !may_be.contains(&bare) || spot.bytes == Bytes::new(0, 0) {
            return false;
        }
        match file.facts.calls.get(&spot.bytes.start) {
            // A constructor is never asked for as a function.
            Some(_) if bare == "not a callable function" && spot.bytes.of(&file.text) == "new" => true,
            Some(call) => {
                let inside = |start: &Bytes| call.rest.start < start.start && start.end < call.rest.end;
                file.facts.unfollowed.iter().any(inside) || self.has_unsure(spot.file, call.rest)
            }
            // A function or a literal does not fail itself.
            None => matches!(spot.bytes.of(&file.text), "{" | "=" | "}") || spot.bytes.of(&file.text) == "function",
        }
    }
}

/// The engine's words for what a place says more of.
fn reworded(file: &File, spot: Spot, bare: &str, called: &Called) -> Option<(String, Bytes)> {
    let (text, shape, start) = (file.text.as_ref(), shape(file), spot.bytes.start as usize);
    let same = |text: String| Some((text, spot.bytes));
    let before = text.get(..start).unwrap_or_default().trim_end();
    let outline = || Outline::of(text, shape);
    let not_iterable = |it: Iterated| {
        (
            format!("{} is not iterable", one_line(text.get(it.whole.0..it.whole.1).unwrap_or_default())),
            Bytes::new(it.place.0, it.place.1),
        )
    };
    match bare {
        "not a callable function" | "not a constructor" => {
            let callee = file.facts.calls.get(&spot.bytes.start)?;
            let what = if bare.ends_with("function") { "a function" } else { "a constructor" };
            Some((format!("{} is not {what}", callee_text(callee.whole.of(text))), callee.name))
        }
        "class constructor cannot be invoked without 'new'" => {
            let callee = file.facts.calls.get(&spot.bytes.start)?;
            let name = one_line(callee.whole.of(text));
            Some((format!("Class constructor {name} cannot be invoked without 'new'"), callee.name))
        }
        "access of uninitialized binding" => {
            let name = spot.bytes.of(text);
            is_name(name).then(|| (format!("Cannot access '{name}' before initialization"), spot.bytes))
        }
        "cannot convert 'null' or 'undefined' to object" => {
            let name = spot.bytes.of(text).trim_matches(['\'', '"', '`']);
            if let Some(name) = outline()?.written(start) {
                return same(format!("Cannot set properties of undefined or null (setting '{name}')"));
            }
            match name {
                "(" => outline()?.spread(start).map(not_iterable),
                "[" | "." => outline()?.iterated(start).map(not_iterable),
                // What a computed name holds is not known here.
                _ if before.ends_with('[') && is_name(spot.bytes.of(text)) => {
                    same("Cannot read properties of undefined or null".to_owned())
                }
                _ if before.ends_with(['.', '[']) => {
                    same(format!("Cannot read properties of undefined or null (reading '{name}')"))
                }
                _ => same("Cannot read properties of undefined or null".to_owned()),
            }
        }
        "Cannot destructure 'undefined' value" | "Cannot destructure 'null' value" => {
            let value = bare.split('\'').nth(1)?;
            let outline = outline()?;
            let pattern = outline.pattern(value, file.given.contains(OPEN), called)?;
            let said = pattern.refuses(value, text);
            Some((said, Bytes::new(pattern.at.0, pattern.at.1)))
        }
        _ if bare.starts_with("value with type `") => {
            let called = matches!(spot.bytes.of(text), "(" | "new") || before.ends_with("new");
            if spot.bytes == Bytes::new(0, 0)
                && let Some((start, end)) = outline()?.list_apart()
            {
                let kind = bare.split('`').nth(1)?;
                let said = format!("{kind} is not iterable (cannot read property Symbol(Symbol.iterator))");
                return Some((said, Bytes::new(start, end)));
            }
            let found = if called { outline()?.spread(start) } else { outline()?.iterated(start) };
            if called && found.is_none() {
                let kind = bare.split('`').nth(1)?;
                return same(format!("{kind} is not iterable (cannot read property Symbol(Symbol.iterator))"));
            }
            found.map(not_iterable)
        }
        _ if bare.starts_with("cannot mutate an immutable binding") => {
            same("Assignment to constant variable.".to_owned())
        }
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '$'))
}

/// As V8 shows what is called: `a.b(...)[c].d`.
pub(super) fn callee_text(text: &str) -> String {
    let text = one_line(text);
    let mut rest = text.as_str();
    while closed(rest) == Some(rest.len())
        && let Some(inner) = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'))
    {
        rest = inner;
    }
    let is_whole = rest.len() == text.len();
    let mut out = String::new();
    while let Some(c) = rest.chars().next() {
        let called = c == '(' && out.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | ')' | ']'));
        let length = match c {
            '(' if called => closed(rest).inspect(|_| out.push_str("(...)")),
            '[' => written_key(rest).map(|(key, length)| {
                out.push('.');
                out.push_str(key);
                length
            }),
            '\'' | '"' => string(rest, c).inspect(|length| out.extend(rest.get(..*length))),
            _ => None,
        };
        let length = length.unwrap_or_else(|| {
            out.push(c);
            c.len_utf8()
        });
        rest = rest.get(length..).unwrap_or_default();
    }
    if !is_whole && out.contains([' ', ',', '|', '&']) { format!("({out})") } else { out }
}

/// The key of `['key']`, which a text begins with, and the length of that.
fn written_key(text: &str) -> Option<(&str, usize)> {
    let quote = text.chars().nth(1).filter(|c| matches!(c, '\'' | '"'))?;
    let length = string(text.get(1..)?, quote)?;
    let key = text.get(2..length).filter(|key| !key.is_empty() && !key.contains('\\'))?;
    text.get(length + 1..)?.starts_with(']').then_some((key, length + 2))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shape(file: &File) -> Shape {
    if file.given.starts_with(WRAPPER) && !file.text.starts_with(WRAPPER) { Shape::CommonJs } else { Shape::Module }
}

fn too_early(file: Option<&File>, at: Option<Spot>, name: Option<&str>) -> Option<(String, Bytes)> {
    let (file, from) = (file?, at?.bytes.start as usize);
    let (name, (start, end)) = outline::too_early(&file.text, shape(file), name, from)?;
    Some((name, Bytes::new(start, end)))
}

/// The use of an undeclared name that the engine means: the one at the place or the first one behind it.
fn named(files: &[File], name: &str, at: Option<Spot>) -> Option<Spot> {
    let spot = at?;
    let file = files.get(spot.file as usize)?;
    let uses = || file.facts.free.iter().filter(|(free, _)| free == name).map(|(_, bytes)| *bytes);
    let behind = uses().filter(|bytes| bytes.start >= spot.bytes.start).min_by_key(|bytes| bytes.start);
    behind.or_else(|| uses().next()).map(|bytes| Spot { bytes, ..spot })
}

fn imported<'a>(files: &'a [File], name: &str) -> Option<(Spot, &'a Request)> {
    files.iter().enumerate().find_map(|(index, file)| {
        file.facts.requests.iter().find_map(|request| {
            let (_, bytes) = request.names.iter().find(|(known, _)| known == name)?;
            Some((Spot { file: u32::try_from(index).ok()?, bytes: *bytes }, request))
        })
    })
}

/// Where files export a name that another one exports, and its specifier.
fn handed_on(files: &[File], name: &str) -> Vec<(Spot, String)> {
    let found = files.iter().enumerate().filter_map(|(index, file)| {
        let outline = Outline::of(&file.text, shape(file))?;
        let ((start, end), from) = outline.reexport(name)?;
        Some((Spot { file: u32::try_from(index).ok()?, bytes: Bytes::new(start, end) }, from.to_owned()))
    });
    found.collect()
}

/// How long the word or the mark at a byte is.
pub(in crate::config::js) fn token(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let word: usize = rest.chars().take_while(|c| part(*c)).map(char::len_utf8).sum();
    match rest.chars().next() {
        Some(quote @ ('\'' | '"')) => rest.get(1..).and_then(|rest| rest.find([quote, '\n'])).map_or(1, |end| end + 2),
        _ if word > 0 => word,
        Some(c) if !c.is_whitespace() => c.len_utf8(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::super::rewrite::Callee;
    use super::*;

    #[test]
    fn callees_are_shown_as_v8_does() {
        for (text, want) in [
            ("fs.readFileSync(path.join(__dirname, '.env')).split", "fs.readFileSync(...).split"),
            ("f(g(1), ')')[h(2)]['k'](3)", "f(...)[h(...)].k(...)"),
            ("({ a: b() }).c", "({ a: b(...) }).c"),
            ("(a.b)", "a.b"),
            ("((f(1)).b)", "(f(...)).b"),
            ("((a || b))", "(a || b)"),
            ("(a)(b)", "(a)(...)"),
            ("x)", "x)"),
            ("é(ü)[''][\"ß\"][c", "é(...)[''].ß[c"),
            ("a(`)`)(b", "a(...)(b"),
            ("'('.x", "'('.x"),
        ] {
            assert_eq!(callee_text(text), want, "{text}");
        }
    }

    fn faulty() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                proptest::sample::select(vec![
                    "(",
                    ")",
                    "[",
                    "]",
                    "{",
                    "}",
                    "'",
                    "\"",
                    "`",
                    "${",
                    "\\",
                    ".",
                    "?.",
                    ",",
                    "=",
                    "a",
                    "é",
                    "\u{1f600}",
                    " ",
                    "\n",
                    "/",
                    "//",
                    "/*",
                    "*/",
                    "...",
                    "new ",
                    "=>",
                    "const ",
                    "for (const x of y)",
                    "f(",
                ])
                .prop_map(str::to_owned),
                any::<char>().prop_map(String::from),
            ],
            0..24,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        /// No text of a program and no place in it is too odd to be told of.
        #[test]
        fn words_are_found_for_any_text_and_place(text in faulty(), places in proptest::collection::vec(0_usize..80, 6)) {
            let _ = (callee_text(&text), odd(&text), closed(&text), one_line(&text));
            let bytes = |at: usize| Bytes::new(places[at], places[at + 1]);
            let callee = Callee { whole: bytes(0), name: bytes(2), rest: bytes(4) };
            let mut file = File {
                path: "/a.js".into(),
                text: Rc::from(text.as_str()),
                given: text.clone(),
                insertions: crate::config::js::provenance::Insertions::default(),
                facts: Facts::default(),
            };
            for (start, _) in text.char_indices().chain([(text.len(), ' '), (text.len() + 9, ' ')]) {
                let spot = Spot { file: 0, bytes: Bytes::new(start, start + token(&text, start)) };
                file.facts.calls.insert(spot.bytes.start, callee);
                for bare in [
                    "not a callable function",
                    "not a constructor",
                    "class constructor cannot be invoked without 'new'",
                    "access of uninitialized binding",
                    "cannot convert 'null' or 'undefined' to object",
                    "Cannot destructure 'undefined' value",
                    "Cannot destructure 'null' value",
                    "value with type `number` is not iterable",
                    "value with type",
                    "cannot mutate an immutable binding",
                ] {
                    let _ = reworded(&file, spot, bare, &Called::default());
                }
            }
        }
    }
}
