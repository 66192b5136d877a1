//! From what the engine threw to one failure: its message, and the place in the user's files.

use std::path::Path;

use boa_engine::object::JsObject;
use boa_engine::property::PropertyKey;
use boa_engine::{Context, JsError, JsValue, js_string};

use super::engine::RECURSION_MAX;
use super::host::Host;
use super::orders::{Failure, FailureKind};
use super::source::{OWN, WRAPPER};

/// How far causes of causes are followed, and how many of one error are told.
const CAUSES_MAX: u32 = 3;

/// What an uncaught error means.
pub(super) fn failure(error: &JsError, context: &mut Context) -> Failure {
    let host = Host::of(context);
    let place = place(&error.to_string());
    let mut failure = describe(error, &host, context);
    if failure.file.is_none()
        && let Some((file, line, column)) = place
    {
        failure.file = Some(file.into());
        failure.position = Some((line, column));
    }
    failure.file = failure.file.map(|file| host.shown(&file));
    failure
}

/// The message of a thrown value, as Node would print its first line: `TypeError: x is not a function`.
pub(super) fn message(error: &JsError, context: &mut Context) -> String {
    if let Some(native) = error.as_native() {
        let message = native.message();
        return match native.kind().to_string().as_str() {
            "Error" => message.to_owned(),
            kind => format!("{kind}: {message}"),
        };
    }
    let Some(value) = error.as_opaque() else { return error.to_string().lines().next().unwrap_or_default().to_owned() };
    shortened(&thrown(value, 0, context))
}

fn describe(error: &JsError, host: &Host, context: &mut Context) -> Failure {
    if let Some(call) = host.ended() {
        return exited(&call);
    }
    if error.as_engine().is_some() {
        return recursion();
    }
    let message = message(error, context);
    if let Some(known) = host.noted(bare(&message)) {
        return known;
    }
    if message.contains("Maximum call stack size exceeded") {
        return recursion();
    }
    let failure = Failure::evaluation(format!("config threw: {message}"));
    match advice(&message) {
        Some(advice) => failure.hint(advice),
        None => failure,
    }
}

/// `process.exit` was called, or its like, perhaps in a `try` that went on.
pub(super) fn exited(call: &str) -> Failure {
    let advice = "a config only describes apps: throw an error to refuse, or leave the call out";
    Failure::evaluation(format!("the config called `{call}`")).hint(advice)
}

pub(super) fn recursion() -> Failure {
    Failure::evaluation("the config is nested too deeply or recursing without end")
        .hint(format!("at most {RECURSION_MAX} calls may be open, and 256 MB of stack be used"))
}

/// What a thrown value says of itself. Whatever its getters and methods throw in turn is passed over.
fn thrown(value: &JsValue, depth: u32, context: &mut Context) -> String {
    let Some(object) = value.as_object() else {
        return match value.as_string() {
            Some(text) => text.to_std_string_lossy(),
            None => value.display().to_string(),
        };
    };
    let mut text = |key| Some(object.get(key, context).ok()?.as_string()?.to_std_string_lossy());
    let (name, message) = (text(js_string!("name")), text(js_string!("message")));
    let own = match (name, message) {
        _ if object.is_callable() => "a function".to_owned(),
        (Some(name), Some(message)) if message.is_empty() => name,
        (Some(name), Some(message)) if name != "Error" => format!("{name}: {message}"),
        (_, Some(message)) if !message.is_empty() => message,
        _ => described(value, &object, context),
    };
    let because = if depth < CAUSES_MAX { causes(&object, depth, context) } else { Vec::new() };
    if because.is_empty() { own } else { format!("{own} (because of: {})", because.join("; ")) }
}

/// What an error names as its cause, and what an `AggregateError` holds.
fn causes(object: &JsObject, depth: u32, context: &mut Context) -> Vec<String> {
    let mut found = Vec::new();
    let mut get = |object: &JsObject, key: PropertyKey| {
        object.get(key, context).ok().filter(|value| !value.is_null_or_undefined())
    };
    found.extend(get(object, js_string!("cause").into()));
    if let Some(errors) = get(object, js_string!("errors").into()).and_then(|errors| errors.as_object())
        && errors.is_array()
    {
        found.extend((0..CAUSES_MAX).map_while(|at| get(&errors, at.into())));
    }
    found.iter().map(|cause| thrown(cause, depth + 1, context)).collect()
}

/// An object without a message: its own words where it has some, else what JSON holds of it.
fn described(value: &JsValue, object: &JsObject, context: &mut Context) -> String {
    // A method of the config's may do anything, such as ending the program; then that is what happened.
    let own = value.to_string(context).ok().map(|text| text.to_std_string_lossy());
    if let Some(own) = own.filter(|own| !own.starts_with("[object ") && !own.is_empty() && !object.is_array()) {
        return own;
    }
    match stringified(value, context) {
        Some(json) if json != "{}" => json,
        _ => "an object without a message".to_owned(),
    }
}

fn stringified(value: &JsValue, context: &mut Context) -> Option<String> {
    let json = context.global_object().get(js_string!("JSON"), context).ok()?.as_object()?;
    let stringify = json.get(js_string!("stringify"), context).ok()?.as_callable()?;
    let text = stringify.call(&JsValue::undefined(), std::slice::from_ref(value), context).ok()?;
    Some(text.as_string()?.to_std_string_lossy())
}

fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 1_000;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The message without the name of its class in front.
fn bare(message: &str) -> &str {
    match message.split_once(": ") {
        Some((class, rest)) if class.ends_with("Error") && class.chars().all(char::is_alphanumeric) => rest,
        _ => message,
    }
}

fn advice(message: &str) -> Option<&'static str> {
    let missing = |name: &str| message.contains(&format!("{name} is not defined"));
    if ["module", "exports", "require", "__dirname", "__filename"].iter().any(|name| missing(name)) {
        return Some("the file is run as a module: name it `.cjs`, or write `export default { apps: [...] }`");
    }
    if ["fetch", "XMLHttpRequest", "WebSocket"].iter().any(|name| missing(name)) {
        return Some(
            "a config cannot use the network: write what it fetches into a file first, or pass it as a variable",
        );
    }
    None
}

/// The innermost frame in a file of the user's.
pub(super) fn place(text: &str) -> Option<(String, u32, u32)> {
    text.lines().find_map(|line| frame(line.trim_start().strip_prefix("at ")?))
}

/// `name (/srv/a.js:3:7)`
fn frame(text: &str) -> Option<(String, u32, u32)> {
    let inside = text.strip_suffix(')')?;
    let inside = &inside[inside.find(" (")? + 2..];
    let mut parts = inside.rsplitn(3, ':');
    let column: u32 = parts.next()?.parse().ok()?;
    let line: u32 = parts.next()?.parse().ok()?;
    let file = parts.next()?;
    if file.starts_with(OWN) || !file.starts_with('/') {
        return None;
    }
    Some((file.to_owned(), line, unwrapped(line, column)))
}

/// Columns of the first line count from behind the CommonJS wrapper, where there is one.
fn unwrapped(line: u32, column: u32) -> u32 {
    let width = u32::try_from(WRAPPER.len()).unwrap_or(0);
    if line == 1 && column > width { column - width } else { column }
}

/// The engine's syntax error as a failure: its message says where, in its last words.
pub(super) fn syntax(message: &str, file: &Path, wrapped: bool) -> Failure {
    let message = message.strip_prefix("SyntaxError: ").unwrap_or(message);
    let (text, position) = match message.rsplit_once(" at line ") {
        Some((text, at)) => match at.split_once(", col ") {
            Some((line, column)) => (text, line.parse().ok().zip(column.parse().ok())),
            None => (message, None),
        },
        None => (message, None),
    };
    Failure {
        kind: FailureKind::Syntax,
        message: reworded(text),
        file: Some(file.to_owned()),
        position: position.map(|(line, column)| (line, if wrapped { unwrapped(line, column) } else { column })),
        hint: None,
    }
}

/// `expected token ',', got 'env' in object literal` as a person would say it.
fn reworded(text: &str) -> String {
    let Some((expected, got)) = text.split_once(", got '") else { return text.to_owned() };
    let Some((got, context)) = got.rsplit_once('\'') else { return text.to_owned() };
    let got = if got == "EOF" || got == "EndOfFile" { "the end of the file".to_owned() } else { format!("`{got}`") };
    let context = context.trim().trim_start_matches("in ");
    let inside = if context.is_empty() { String::new() } else { format!(" in {context}") };
    let expected = expected.trim_start_matches("expected ").trim_start_matches("token ").trim_start_matches("one of ");
    format!("unexpected {got}{inside}: expected {}", expected.replace('\'', "`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let table = [
            ("main (/srv/a.js:3:7)", Some(("/srv/a.js", 3, 7))),
            ("<main> (/srv/a b (c).js:1:62)", Some(("/srv/a b (c).js", 1, 1))),
            ("read (pmrun:fs:3:7)", None),
            ("require (native at x.rs:1:2)", None),
            ("f (unknown at 1:2)", None),
        ];
        for (text, want) in table {
            assert_eq!(frame(text), want.map(|(file, line, column)| (file.to_owned(), line, column)), "{text}");
        }
    }

    #[test]
    fn syntax_errors_say_where() {
        let got = syntax(
            "SyntaxError: expected token ',', got 'env' in object literal at line 9, col 7",
            Path::new("/a.js"),
            true,
        );
        assert_eq!(got.message, "unexpected `env` in object literal: expected `,`");
        assert_eq!(got.position, Some((9, 7)));
        let got = syntax("unterminated string literal at line 1, col 70", Path::new("/a.js"), true);
        assert_eq!((got.message.as_str(), got.position), ("unterminated string literal", Some((1, 9))));
    }
}
