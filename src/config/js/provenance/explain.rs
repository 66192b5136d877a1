//! Errors of the engine, at the user's bytes and in words that a user of Node knows.

use std::path::Path;

use super::brackets::{Odd, odd};
use super::rewrite::Request;
use super::site::Spot;
use super::text::{Bytes, Lines};
use super::{File, Trace};
use crate::config::js::source::WRAPPER;

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
        let line = file.text[..at].matches('\n').count() + 1;
        // What is never closed is missed at the end.
        let bytes = match odd {
            Odd::Open(..) => Bytes::new(file.text[..end].char_indices().next_back().map_or(0, |(at, _)| at), end),
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
        let line = before[..end].matches('\n').count() + 1;
        (before[end..].contains('\n')).then_some(line)
    }

    /// Where a module is required or imported in a file.
    pub(in crate::config::js) fn request(&self, path: &Path, specifier: &str) -> Option<Spot> {
        let files = self.files.borrow();
        let (index, file) = files.iter().enumerate().rfind(|(_, file)| file.path == path)?;
        let request = file.facts.requests.iter().find(|request| request.specifier == specifier)?;
        Some(Spot { file: u32::try_from(index).unwrap_or(u32::MAX), bytes: request.at })
    }

    /// The name of what is called, where the place is a call's bracket.
    pub(in crate::config::js) fn callee(&self, at: Option<Spot>) -> Option<Spot> {
        let files = self.files.borrow();
        let spot = at?;
        let callee = files.get(spot.file as usize)?.facts.calls.get(&spot.bytes.start)?;
        Some(Spot { bytes: callee.name, ..spot })
    }

    /// The engine's message, which may begin with its class, and its place, as Node would word them.
    pub(in crate::config::js) fn explain(&self, message: &str, at: Option<Spot>) -> (String, Option<Spot>) {
        let unchanged = (message.to_owned(), at);
        let files = self.files.borrow();
        let file = at.and_then(|spot| files.get(spot.file as usize));
        let (class, bare) = message.split_once(": ").unwrap_or(("", message));
        let said = |text: String| format!("{class}: {text}");
        if let Some((_, spot)) = self.refused.borrow().iter().rev().find(|(refused, _)| refused == bare) {
            return (message.to_owned(), Some(*spot));
        }
        if let Some(name) = bare.strip_suffix(" is not defined") {
            return (message.to_owned(), named(&files, name, at).or(at));
        }
        if let Some(name) = bare.strip_prefix("could not find export `").and_then(|rest| rest.strip_suffix('`')) {
            let spot = imported(&files, name).map(|(spot, _)| spot);
            let from = imported(&files, name).map_or(String::new(), |(_, request)| request.specifier.clone());
            let text = format!("The requested module '{from}' does not provide an export named '{name}'");
            return (said(text), spot.or(at));
        }
        let (Some(file), Some(spot)) = (file, at) else { return unchanged };
        match bare {
            "not a callable function" | "not a constructor" => {
                let Some(callee) = file.facts.calls.get(&spot.bytes.start) else { return unchanged };
                let text = callee.whole.of(&file.text).split_whitespace().collect::<Vec<_>>().join(" ");
                let what = if bare.ends_with("function") { "a function" } else { "a constructor" };
                (said(format!("{text} is not {what}")), Some(Spot { bytes: callee.name, ..spot }))
            }
            "cannot convert 'null' or 'undefined' to object" => {
                let name = spot.bytes.of(&file.text);
                let read = file.text[..spot.bytes.start as usize].trim_end().ends_with(['.', '[']);
                if !read {
                    return (said("Cannot read properties of undefined or null".to_owned()), at);
                }
                let name = name.trim_matches(['\'', '"', '`']);
                (said(format!("Cannot read properties of undefined or null (reading '{name}')")), at)
            }
            _ => match bare.strip_prefix("cannot mutate an immutable binding") {
                Some(_) => (said("Assignment to constant variable.".to_owned()), at),
                None => unchanged,
            },
        }
    }
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

/// How long the word or the mark at a byte is.
fn token(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let word: usize = rest.chars().take_while(|c| part(*c)).map(char::len_utf8).sum();
    match rest.chars().next() {
        Some('\'' | '"') => {
            let quote = &rest[..1];
            rest[1..].find([quote.chars().next().unwrap_or('"'), '\n']).map_or(1, |end| end + 2)
        }
        _ if word > 0 => word,
        Some(c) if !c.is_whitespace() => c.len_utf8(),
        _ => 0,
    }
}
