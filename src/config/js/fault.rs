//! From what the engine threw to one failure: its message, and the place in the user's files.

use std::path::Path;

use boa_engine::object::JsObject;
use boa_engine::property::PropertyKey;
use boa_engine::{Context, JsError, JsValue, js_string};

use super::early::{self, Early};
use super::engine::RECURSION_MAX;
use super::host::Host;
use super::modules::USE_NODE;
use super::orders::{Doubt, Failure};
use super::outline::Called;
use super::provenance::{Odd, Place, Shape, Spot, Trace, is_foreign};
use super::resolver;
use super::source::{OWN, lacking};
use super::words::{TOO_DEEP, is_engines, of_syntax};
use crate::diag::Code;

/// How far causes of causes are followed, and how many of one error are told.
const CAUSES_MAX: u32 = 3;

/// What is said of a place that is not the error's own.
pub(super) const NEAR: &str = "the engine does not say where: this is what the config came to last";

const COMMENT: &str = "a comment begins with `//` here";

/// Words that are the engine's for more than one thing.
const GUESSES: [&str; 7] = [
    "Cannot convert undefined or null to object",
    "the called value is not",
    "of undefined or null",
    "Cannot destructure 'undefined'",
    "Cannot destructure 'null'",
    "is not iterable",
    "Class constructor cannot be",
];

/// Why a file has no `module`.
pub(super) const RUN_AS_MODULE: &str =
    "the file is run as a module: write `export default { apps: [...] }`, or name it `.cjs` (TypeScript: `.cts`)";

/// Classes of classes of an error.
const CLASSES_MAX: usize = 50;

/// Puts Node's words in the place of the engine's in an error that a program has caught.
pub(super) fn in_nodes_words(value: &JsValue, context: &mut Context) {
    let Some(object) = value.as_object().filter(|object| object.is::<boa_engine::builtins::error::Error>()) else {
        return;
    };
    let message = js_string!("message");
    let held = |object: &JsObject, key: &boa_engine::JsString| {
        object.borrow().properties().get(&key.clone().into()).and_then(|property| property.value().cloned())
    };
    let Some(bare) = held(&object, &message).and_then(|said| said.as_string()).map(|said| said.to_std_string_lossy())
    else {
        return;
    };
    let name = object.prototype().and_then(|class| held(&class, &js_string!("name"))?.as_string());
    let Some(class) = name.map(|name| name.to_std_string_lossy()).filter(|_| is_engines(&bare)) else { return };
    let trace = Trace::of(context);
    let text = frames(value, context).unwrap_or_default();
    let (spot, called) = innermost(&text, &trace);
    // The config's own, whatever it says.
    if spot.and_then(|spot| trace.call(spot)).is_some_and(|(name, _)| name.ends_with(&class)) {
        return;
    }
    let (said, _) = trace.explain(&format!("{class}: {bare}"), spot, &called);
    let said = said.strip_prefix(&format!("{class}: ")).unwrap_or(&said);
    if said != bare {
        trace.know_reworded(value, &format!("{class}: {bare}"));
        // An error that is frozen keeps its words.
        let _ = object.set(message, boa_engine::JsString::from(said), false, context);
    }
}

/// What an uncaught error means.
pub(super) fn failure(error: &JsError, context: &mut Context) -> Failure {
    let host = Host::of(context);
    let own = error.as_opaque().map(classes);
    let find = |text: &str| match &own {
        Some(own) => thrown_place(text, own),
        None => place(text),
    };
    let frame = find(&error.to_string()).or_else(|| find(&stack(error, context)?));
    let trace = Trace::of(context);
    let spot = frame.as_ref().and_then(|(file, line, column)| trace.spot(Path::new(file), *line, *column));
    // An error is made where it is meant to be; of anything else, `throw` is the place, through whatever it came here.
    let thrown = || trace.thrown(error.as_opaque()?);
    // What was caught and is thrown on has two places.
    let again = error.as_opaque().filter(|value| trace.has_caught(value)).and_then(|_| thrown());
    let known =
        if error.as_opaque().is_some_and(JsValue::is_object) { spot.or_else(thrown) } else { thrown().or(spot) };
    // Of some errors the engine only knows the file.
    let start = frame.as_ref().and_then(|(file, _, _)| trace.at(Path::new(file), 0, 0));
    let frames = stack(error, context).filter(|frames| !frames.is_empty()).unwrap_or_else(|| error.to_string());
    let (mut failure, at) = describe(error, (&frames, known.or(start)), &host, context);
    let at = at.filter(|at| known.is_some() || Some(*at) != start);
    let first = at.zip(again).filter(|(first, again)| first != again);
    if let Some((first, _)) = first
        && failure.hint.is_none()
        && let (Some((path, _)), Some((line, column))) = (trace.file(first.file), trace.position(first))
    {
        let here = again.is_some_and(|again| again.file == first.file);
        let path = path.strip_prefix(host.cwd()).unwrap_or(&path).display();
        let from = if here { format!("line {line}, column {column}") } else { format!("{path}:{line}:{column}") };
        failure.hint = Some(format!("it was caught, and comes from {from}"));
    }
    let at = first.map(|(_, again)| again).or(at);
    if failure.file.is_none() {
        let known = at.and_then(|spot| trace.file(spot.file)).map(|(path, _)| path);
        failure.file = known.or(frame.map(|(file, _, _)| file.into()));
        failure.position = at.and_then(|spot| trace.position(spot));
        failure.excerpt = at.and_then(|spot| excerpt(&trace, spot));
    }
    failure.in_package = trace.is_vague();
    failure.doubt.iter_mut().for_each(|doubt| doubt.thrown_on = again.is_some() && at == again);
    doubted(&mut failure, error, &trace, context);
    shown(failure, &host, context)
}

/// Tells what is certain of a thrown error: in a run for the sake of that, what the guards know of it.
fn doubted(failure: &mut Failure, error: &JsError, trace: &Trace, context: &mut Context) {
    let guard = error.as_opaque().and_then(|value| trace.guard(value, context));
    let words = guard.as_ref().and_then(|(_, words)| words.clone());
    if let Some((spot, _)) = guard {
        failure.file = trace.file(spot.file).map(|(path, _)| path);
        failure.position = trace.position(spot);
        failure.excerpt = excerpt(trace, spot);
    }
    if let Some(doubt) = &mut failure.doubt {
        doubt.has_place = failure.position.is_some();
        doubt.has_words = words.is_some();
        if let Some(words) = words {
            let class = doubt.message.split_once(": ").map_or("TypeError", |(class, _)| class);
            failure.message = format!("config threw: {class}: {words}");
        } else if !trace.is_guarded() {
            doubt.has_words = !GUESSES.iter().any(|guess| failure.message.contains(guess));
        }
    }
    failure.doubt.take_if(|doubt| !trace.is_guarded() && doubt.has_place && doubt.has_words);
    if failure.position.is_none()
        && let Some(spot) = trace.last_met()
    {
        failure.file = trace.file(spot.file).map(|(path, _)| path);
        failure.position = trace.position(spot);
        failure.excerpt = excerpt(trace, spot);
        failure.near = true;
        failure.hint = failure.hint.take().or_else(|| Some(NEAR.to_owned()));
    }
}

/// What is exported and cannot be held, where it comes from.
pub(super) fn unfit(mut failure: Failure, place: Option<Place>, host: &Host, context: &Context) -> Failure {
    let trace = Trace::of(context);
    if let Some(spot) = place.map(|place| place.spot) {
        failure.file = trace.file(spot.file).map(|(path, _)| path);
        failure.position = trace.position(spot);
        failure.excerpt = excerpt(&trace, spot);
    }
    shown(failure, host, context)
}

/// What a failure needs for its excerpt, and the name of its file for a person.
pub(super) fn shown(mut failure: Failure, host: &Host, context: &Context) -> Failure {
    let trace = Trace::of(context);
    if let (Some(file), Some((line, column)), None) = (&failure.file, failure.position, &failure.excerpt)
        && let Some(spot) = trace.bytes(file, line, column)
    {
        failure.excerpt = excerpt(&trace, spot);
    }
    // Types were blanked for the engine, byte for byte.
    if let (Some(file), Some((text, _, _))) = (&failure.file, failure.excerpt.as_deref_mut())
        && resolver::is_typescript(file)
        && let Ok(written) = host.files.read_text(file)
        && written.len() == text.len()
    {
        *text = written;
    }
    failure.file = failure.file.map(|file| host.shown(&file));
    failure
}

fn excerpt(trace: &Trace, spot: Spot) -> Option<Box<(String, u32, u32)>> {
    let (_, text) = trace.file(spot.file)?;
    Some(Box::new((text.to_string(), spot.bytes.start, spot.bytes.end)))
}

/// The frames of an error as the engine has them.
pub(super) fn frames(error: &JsValue, context: &mut Context) -> Option<String> {
    let genuine = Host::of(context).genuine_stack.borrow().clone()?;
    Some(genuine.call(error, &[], context).ok()?.as_string()?.to_std_string_lossy())
}

/// The frames that a rejected promise's error remembers.
fn stack(error: &JsError, context: &mut Context) -> Option<String> {
    frames(error.as_opaque()?, context)
}

/// The message of a thrown value, as Node would print its first line: `TypeError: x is not a function`.
pub(super) fn message(error: &JsError, context: &mut Context) -> String {
    if let Some(native) = error.as_native() {
        let message = native.message();
        return match native.kind().to_string().as_str() {
            "Error" => message.to_owned(),
            "UriError" => format!("URIError: {message}"),
            kind => format!("{kind}: {message}"),
        };
    }
    let Some(value) = error.as_opaque() else { return error.to_string().lines().next().unwrap_or_default().to_owned() };
    shortened(&thrown(value, 0, context))
}

/// What went wrong, and its place: better known than the engine's, where the message says more.
fn describe(
    error: &JsError,
    (frames, at): (&str, Option<Spot>),
    host: &Host,
    context: &mut Context,
) -> (Failure, Option<Spot>) {
    let trace = Trace::of(context);
    let called = trace.callee(at).or(at);
    if let Some(call) = host.ended() {
        return (exited(&call), called);
    }
    if error.as_engine().is_some() {
        return (recursion(), called);
    }
    let message = message(error, context);
    let raw = error.as_opaque().and_then(|value| trace.reworded(value)).unwrap_or_else(|| message.clone());
    let doubt = Doubt { message: raw, has_place: false, has_words: false, thrown_on: false };
    if let Some(known) = host.noted(bare(&message)) {
        return (known, called);
    }
    if message.contains("Maximum call stack size exceeded") {
        return (recursion(), called);
    }
    // Where a package has failed, its file has the words, and the user's the place.
    let (inner, called) = innermost(frames, &trace);
    let foreign = inner.filter(|inner| trace.file(inner.file).is_some_and(|(path, _)| is_foreign(&path)));
    let (message, at) = match foreign.filter(|inner| at.is_none_or(|at| at.file != inner.file)) {
        // The words of another error in one that the config has made.
        _ if error.as_opaque().is_some_and(|value| is_bare(value, &message)) => (message, at),
        Some(inner) => (trace.explain(&message, Some(inner), &called).0, at),
        None => trace.explain(&message, at, &called),
    };
    let message = format!("config threw: {message}");
    if let Some(lacks) = lacks_of_node(&message, &trace) {
        let advice = format!("pmrun's own engine does not have {lacks}: {USE_NODE}");
        return (Failure::new(Code::Unsupported, message).hint(advice), trace.callee(at).or(at));
    }
    let failure = match advice(&message) {
        Some((code, "")) => Failure::new(code, message),
        Some((code, advice)) => Failure::new(code, message).hint(advice),
        None => Failure::new(Code::Thrown, message),
    };
    (Failure { doubt: Some(Box::new(doubt)), ..failure }, trace.callee(at).or(at))
}

/// `process.exit` was called, or its like, perhaps in a `try` that went on.
pub(super) fn exited(call: &str) -> Failure {
    let advice = "a config only describes apps: throw an error to refuse, or leave the call out";
    Failure::new(Code::Exit, format!("the config called `{call}`")).hint(advice)
}

pub(super) fn textless() -> Failure {
    Failure::new(Code::Export, "the config exports nothing that JSON could hold")
        .hint("`undefined`, functions and symbols have no text in JSON")
}

pub(super) fn class() -> Failure {
    Failure::new(Code::Export, "the config exports a class, which describes no apps")
        .hint("export an object with `apps`, or a function that returns one")
}

pub(super) fn unhandled(failure: Failure) -> Failure {
    let advice = "a promise was rejected with it, which nothing awaits or catches";
    Failure { hint: failure.hint.or_else(|| Some(advice.to_owned())), ..failure }
}

pub(super) fn unsettled() -> Failure {
    Failure::new(Code::Unsettled, "the config waits for a promise that nothing settles")
        .hint("a config can wait for files and timers, not for the network")
}

pub(super) fn recursion() -> Failure {
    Failure::new(
        Code::DepthLimit,
        "Maximum call stack size exceeded: the config recurses without end or is nested too deeply",
    )
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

/// Whether an error without a class of its own says this.
fn is_bare(value: &JsValue, message: &str) -> bool {
    let held = |object: JsObject| {
        object.borrow().properties().get(&js_string!("message").into()).and_then(|property| property.value().cloned())
    };
    let said = value.as_object().and_then(held).and_then(|said| said.as_string());
    said.is_some_and(|said| said.to_std_string_lossy() == message)
}

/// What Node has, and the stand-in for its module does not, where a message is about that.
fn lacks_of_node(message: &str, trace: &Trace) -> Option<String> {
    let bare = bare(message.strip_prefix("config threw: ").unwrap_or(message));
    let called = bare.strip_suffix(" is not a function").or_else(|| bare.strip_suffix(" is not a constructor"));
    let (owner, name) = if let Some(callee) = called {
        callee.rsplit_once(['.', '?']).unwrap_or(("", callee))
    } else {
        let rest = bare.strip_prefix("The requested module '")?.strip_suffix('\'')?;
        rest.split_once("' does not provide an export named '")?
    };
    let meant = |module: &&str| *module == owner || trace.requests(module);
    lacking(name).find(meant).map(|module| format!("`{module}.{name}`"))
}

/// What a module has instead of what it lacks.
pub(super) fn of_module(message: &str) -> Option<&'static str> {
    let missing = |name: &str| message.contains(&format!(" {name} is not defined"));
    if missing("__dirname") {
        return Some("the file is run as a module, whose folder is `import.meta.dirname`");
    }
    if missing("__filename") {
        return Some("the file is run as a module, whose name is `import.meta.filename`");
    }
    if missing("require") {
        return Some("the file is run as a module: `import` what it needs, or name it `.cjs` (TypeScript: `.cts`)");
    }
    ["module", "exports"].iter().any(|name| missing(name)).then_some(RUN_AS_MODULE)
}

/// What kind of error the message is, and what helps.
fn advice(message: &str) -> Option<(Code, &'static str)> {
    let missing = |name: &str| message.contains(&format!(" {name} is not defined"));
    if let Some(advice) = of_module(message) {
        return Some((Code::Thrown, advice));
    }
    let lacking = [
        "Intl",
        "WebAssembly",
        "AbortController",
        "EventTarget",
        "Event",
        "Blob",
        "MessageChannel",
        "BroadcastChannel",
        "FormData",
        "Headers",
        "Request",
        "Response",
        "AbortSignal",
        "CompressionStream",
        "CryptoKey",
        "CustomEvent",
        "DecompressionStream",
        "DOMException",
        "File",
        "MessageEvent",
        "MessagePort",
        "ReadableStream",
        "TransformStream",
        "WritableStream",
        "navigator",
        "Worker",
        "Temporal",
        "Float16Array",
        "DisposableStack",
        "AsyncDisposableStack",
    ];
    if lacking.iter().any(|name| missing(name))
        || message.contains("is not available to a config in pmrun's own engine")
    {
        return Some((Code::Unsupported, USE_NODE));
    }
    if message.contains(TOO_DEEP) {
        return Some((Code::DepthLimit, USE_NODE));
    }
    if message.ends_with("is not available: a config may only read") {
        return Some((Code::Refused, ""));
    }
    if ["fetch", "XMLHttpRequest", "WebSocket"].iter().any(|name| missing(name)) {
        return Some((
            Code::Refused,
            "a config cannot use the network: write what it fetches into a file first, or pass it as a variable",
        ));
    }
    None
}

/// Where an error was made, and what was called there: of a function that fails with its parameters only the call is known.
fn innermost(text: &str, trace: &Trace) -> (Option<Spot>, Called) {
    let frames = text.lines().filter_map(|line| line.trim_start().strip_prefix("at "));
    let mut frames = frames.filter(|line| !line.ends_with("(native)") && !line.contains("(native at "));
    let Some((first, (file, line, column))) = frames.next().and_then(|first| Some((first, frame(first)?))) else {
        return (None, Called::default());
    };
    let spot = |file: &str, line, column| trace.spot(Path::new(file), line, column);
    let at = spot(&file, line, column).or_else(|| trace.at(Path::new(&file), 0, 0));
    let name = first.split(" (").next().filter(|name| *name != "<main>").map(str::to_owned);
    let by = frames.next().and_then(frame).and_then(|(file, line, column)| spot(&file, line, column));
    let called = by.and_then(|by| Some((by.file, trace.call(by)?)));
    let same = called.as_ref().filter(|(file, _)| at.is_some_and(|at| at.file == *file));
    let call = same.map(|(_, (_, bytes))| (bytes.start as usize, bytes.end as usize));
    let names = name.into_iter().chain(called.map(|(_, (name, _))| name)).collect();
    at.inspect(|at| trace.learn(at.file));
    (at, Called { names, call })
}

/// The innermost frame in a file of the user's; in a package's, where there is no other.
pub(super) fn place(text: &str) -> Option<(String, u32, u32)> {
    let mut frames = text.lines().filter_map(|line| frame(line.trim_start().strip_prefix("at ")?)).peekable();
    let first = frames.peek().cloned();
    frames.find(|(file, _, _)| !file.contains("/node_modules/")).or(first)
}

/// The same, where the engine knows the line: not in constructors that nobody wrote, and not in those of the error's own
/// classes, which say nothing of who threw it.
fn thrown_place(text: &str, own: &[String]) -> Option<(String, u32, u32)> {
    let known: Vec<&str> = text.lines().filter(|line| !line.ends_with(":?:?)")).collect();
    let is_own = |line: &&&str| {
        let called = line.trim_start().strip_prefix("at ").and_then(|frame| frame.split(" (").next());
        called.is_none_or(|called| own.iter().any(|class| class == called))
    };
    let outside: Vec<&str> = known.iter().skip_while(is_own).copied().collect();
    place(&outside.join("\n")).or_else(|| place(&known.join("\n"))).or_else(|| place(text))
}

/// The names of the classes of a thrown value that the config has written.
fn classes(value: &JsValue) -> Vec<String> {
    let mut names = Vec::new();
    let mut above = value.as_object().and_then(|object| object.prototype());
    while let Some(object) = above.filter(|_| names.len() < CLASSES_MAX) {
        let held = |object: &JsObject, key: boa_engine::JsString| {
            object.borrow().properties().get(&key.into()).and_then(|property| property.value().cloned())
        };
        let name = held(&object, js_string!("constructor"))
            .and_then(|constructor| held(&constructor.as_object()?, js_string!("name")))
            .and_then(|name| name.as_string().map(|name| name.to_std_string_lossy()));
        names.extend(name.filter(|name| name != "Error" && name != "Object"));
        above = object.prototype();
    }
    names
}

/// `name (/srv/a.js:3:7)`
pub(super) fn frame(text: &str) -> Option<(String, u32, u32)> {
    let inside = text.strip_suffix(')')?;
    let inside = &inside[inside.find(" (")? + 2..];
    let mut parts = inside.rsplitn(3, ':');
    // Of some places the engine does not know the line.
    let mut number = || parts.next().and_then(|part| if part == "?" { Some(0) } else { part.parse().ok() });
    let (column, line): (u32, u32) = (number()?, number()?);
    let file = parts.next()?;
    if file.starts_with(OWN) || !file.starts_with('/') {
        return None;
    }
    Some((file.to_owned(), line, column))
}

/// What the engine says of a file that ends too early.
pub(super) const ABRUPT: &str = "abrupt end";

/// The engine's syntax error as a failure: its message says where, in its last words.
pub(super) fn syntax(message: &str, file: &Path, code: &str, shape: Shape, context: &Context) -> Failure {
    let (text, position) = parts(message);
    let trace = Trace::of(context);
    if let Some(refused) = early::refused(code, shape) {
        return early(&refused, file, &trace);
    }
    let spot = position.and_then(|(line, column)| trace.spot(file, line, column));
    // The engine notices a regular expression without an end on the next line.
    let known = spot.filter(|_| !text.contains("not allowed in regular expressions"));
    let (message, spot, hint) = match trace.odd(file, known) {
        Some((Odd::Endless(_, what), spot, _)) => (format!("this {what} does not end"), Some(spot), None),
        Some((Odd::Extra(_, bracket), spot, _)) => (format!("unexpected `{bracket}`"), Some(spot), None),
        Some((Odd::Open(_, bracket), spot, line)) => {
            let hint = format!("the `{bracket}` on line {line} is never closed");
            ("unexpected end of the file".to_owned(), Some(spot), Some(hint))
        }
        None => {
            let above = spot.filter(|_| text.contains("','")).and_then(|spot| trace.end_above(spot));
            let literal = spot.and_then(|spot| pattern(&trace, spot));
            let comment = spot.is_some_and(|spot| is_comment(&trace, spot));
            let hint = if comment { Some(COMMENT.to_owned()) } else { above.map(missing_comma) };
            (of_syntax(text, &reworded(text), literal.as_deref()), spot, hint)
        }
    };
    let deep = message.contains(TOO_DEEP);
    Failure {
        code: if deep { Code::DepthLimit } else { Code::Syntax },
        message,
        file: Some(file.to_owned()),
        position: spot.and_then(|spot| trace.position(spot)),
        excerpt: spot.and_then(|spot| excerpt(&trace, spot)),
        hint: if deep { Some(USE_NODE.to_owned()) } else { hint },
        near: false,
        in_package: false,
        doubt: None,
    }
}

/// What V8 refuses before it runs a file.
pub(super) fn early(refused: &Early, file: &Path, trace: &Trace) -> Failure {
    let spot = trace.at(file, refused.start, refused.end);
    Failure {
        file: Some(file.to_owned()),
        position: spot.and_then(|spot| trace.position(spot)),
        excerpt: spot.and_then(|spot| excerpt(trace, spot)),
        ..Failure::new(Code::Syntax, refused.message.clone())
    }
}

/// The regular expression that starts at a place.
fn pattern(trace: &Trace, spot: Spot) -> Option<String> {
    let (_, text) = trace.file(spot.file)?;
    let rest = text.get(spot.bytes.start as usize..)?.strip_prefix('/')?;
    let line = rest.lines().next()?;
    Some(format!("/{}", &line[..=line.rfind('/')?]))
}

/// Whether a line begins there as comments do elsewhere.
fn is_comment(trace: &Trace, spot: Spot) -> bool {
    let Some((_, text)) = trace.file(spot.file) else { return false };
    let Some((before, rest)) = text.split_at_checked(spot.bytes.start as usize) else { return false };
    rest.starts_with('#') && before.rsplit('\n').next().is_some_and(|line| line.trim().is_empty())
}

fn missing_comma(line: usize) -> String {
    format!("is a comma missing at the end of line {line}?")
}

/// A syntax error's message, and the line and column that are its last words.
fn parts(message: &str) -> (&str, Option<(u32, u32)>) {
    let message = message.strip_prefix("SyntaxError: ").unwrap_or(message);
    match message.rsplit_once(" at line ") {
        Some((text, at)) => match at.split_once(", col ") {
            Some((line, column)) => (text, line.parse().ok().zip(column.parse().ok())),
            None => (message, None),
        },
        None => (message, None),
    }
}

/// `expected token ',', got 'env' in object literal` as a person would say it.
fn reworded(text: &str) -> String {
    // `unexpected token ';', primary expression`
    if let Some((token, _)) = text.strip_prefix("unexpected token '").and_then(|rest| rest.rsplit_once("', ")) {
        return format!("unexpected `{token}`");
    }
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
            ("<main> (/srv/a b (c).js:1:62)", Some(("/srv/a b (c).js", 1, 62))),
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
        let message = "SyntaxError: expected token ',', got 'env' in object literal at line 9, col 7";
        let (text, position) = parts(message);
        assert_eq!(reworded(text), "unexpected `env` in object literal: expected `,`");
        assert_eq!(position, Some((9, 7)));
        assert_eq!(parts("unterminated string literal"), ("unterminated string literal", None));
    }
}
