//! From a path to something that runs: CommonJS functions, modules, JSON; and `import`, which may cross between them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use boa_engine::builtins::promise::PromiseState;
use boa_engine::module::{ModuleLoader, ModuleRequest, Referrer, SyntheticModuleInitializer};
use boa_engine::object::JsObject;
use boa_engine::{
    Context, JsError, JsNativeError, JsResult, JsString, JsValue, Module, NativeFunction, Script, Source, js_string,
};

use super::early;
use super::engine::call;
use super::fault;
use super::host::Host;
use super::json_words::not_json;
use super::orders::Failure;
use super::provenance::{Shape, Trace, is_foreign};
use super::resolver::{self, Format, Style};
use super::source::{DEPTH_MAX, GLOBALS, find_quoted, is_nodes, too_deep, with_attributes, without_shebang};
use super::typescript;
use crate::diag::Code;

/// What helps where this engine ends.
pub(super) const USE_NODE: &str = "`--js-engine node` runs the config with Node";

/// A file, ready to run.
pub(super) enum Compiled {
    /// The function of Node's wrapper.
    Function(JsValue),
    Module(Module),
    /// A JSON file's value.
    Value(JsValue),
}

/// Reads and parses a file as what it is.
pub(super) fn compile(host: &Host, path: &Path, context: &mut Context) -> JsResult<Compiled> {
    match resolver::format(&host.files, path) {
        Format::Json => json(host, path, context).map(Compiled::Value),
        Format::Module => module(host, path, context).map(Compiled::Module),
        Format::Foreign => {
            let native = path.extension().is_some_and(|ending| ending == "node");
            let what = if native { "is a native module, which pmrun's own engine" } else { "is a file that pmrun" };
            let failure = Failure::new(Code::Unsupported, format!("`{}` {what} cannot run", path.display()));
            let hint = if native { USE_NODE } else { "what can be run is .js, .ts, .json and their like" };
            // The place is where it is asked for.
            Err(raise(host, failure.hint(hint)))
        }
        style @ (Format::CommonJs | Format::Either) => {
            let text = text(host, path, context)?;
            provide(host, &text, context)?;
            let trace = Trace::of(context);
            let code = without_shebang(&text);
            let given = trace.prepare(path, &text, &code, Shape::CommonJs, &[]);
            let mut parse = |given: &str| Script::parse(Source::from_bytes(given).with_path(path), None, context);
            let parsed = parse(&given).or_else(|_| parse(&trace.without(&code, Shape::CommonJs, &[])));
            let error = match parsed {
                Ok(script) => {
                    unambiguous(host, path, &code, Shape::CommonJs, context)?;
                    return script.evaluate(context).map(Compiled::Function);
                }
                Err(error) => error,
            };
            // As Node does: a file that does not say what it is, and that only a module's grammar accepts, is a module.
            if style == Format::Either
                && (mentions_modules(&text) || redeclares_wrapper(&fault::message(&error, context)))
            {
                return module(host, path, context).map(Compiled::Module);
            }
            Err(syntax(host, &error, path, &code, Shape::CommonJs, context))
        }
    }
}

/// Refuses a name that is declared twice, as the engine does not in functions.
fn unambiguous(host: &Host, path: &Path, code: &str, shape: Shape, context: &Context) -> JsResult<()> {
    if is_foreign(path) || Trace::of(context).is_unambiguous() {
        return Ok(());
    }
    match early::declared_twice(code, shape) {
        Some(refused) => Err(raise(host, fault::early(&refused, path, &Trace::of(context)))),
        None => Ok(()),
    }
}

fn syntax(host: &Host, error: &JsError, path: &Path, text: &str, shape: Shape, context: &mut Context) -> JsError {
    let mut failure = fault::syntax(&fault::message(error, context), path, text, shape, context);
    if failure.message == fault::ABRUPT {
        // Where that is goes without saying, and is not said.
        "unexpected end of the file".clone_into(&mut failure.message);
        let (above, last) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
        let line = if above.is_empty() { 1 } else { above.matches('\n').count() + 2 };
        failure.position = u32::try_from(line).ok().zip(u32::try_from(last.chars().count().max(1)).ok());
    }
    // The bracket is the wrapper's.
    let is_past_all = |(text, start, _): &(String, u32, u32)| *start as usize >= text.trim_end().len();
    if failure.message == "unexpected `}`" && failure.excerpt.as_deref().is_some_and(is_past_all) {
        "unexpected end of the file".clone_into(&mut failure.message);
    }
    raise(host, failure)
}

/// The namespace of a module that CommonJS requires, as Node 22 allows.
pub(super) fn import_now(module: &Module, path: &Path, host: &Host, context: &mut Context) -> JsResult<JsValue> {
    let promise = module.load_link_evaluate(context);
    context.run_jobs()?;
    host.handle(&promise.clone().into());
    match promise.state() {
        PromiseState::Fulfilled(_) => Ok(module.namespace(context).into()),
        PromiseState::Rejected(reason) => Err(JsError::from_opaque(reason)),
        PromiseState::Pending => {
            let message = format!("`{}` awaits at its top level, so it can only be imported", path.display());
            Err(raise(host, Failure::new(Code::Unsupported, message)))
        }
    }
}

/// The file that a specifier names; else an error with Node's message and code.
pub(super) fn resolve(
    host: &Host,
    specifier: &str,
    folder: &Path,
    from: &Path,
    style: Style,
    context: &mut Context,
) -> JsResult<PathBuf> {
    if let Some(path) = resolver::resolve(&host.files, specifier, folder, style) {
        return permitted(host, &path, specifier, from, context).map(|()| path);
    }
    // Without a manifest that it may not read, a package leads nowhere.
    if let Some(path) = host.files.take_denied() {
        permitted(host, path.parent().unwrap_or(&path), specifier, from, context)?;
    }
    let unexported = resolver::unexported(&host.files, specifier, folder);
    let (message, code) = match (&unexported, style) {
        (Some(manifest), _) => (
            format!("'{specifier}' is not defined by \"exports\" in {}", manifest.display()),
            js_string!("ERR_PACKAGE_PATH_NOT_EXPORTED"),
        ),
        (None, Style::Require) => (format!("Cannot find module '{specifier}'"), js_string!("MODULE_NOT_FOUND")),
        (None, Style::Import) => (format!("Cannot find module '{specifier}'"), js_string!("ERR_MODULE_NOT_FOUND")),
    };
    let mut failure = missing(host, specifier, from, context);
    if let Some(manifest) = unexported {
        failure.message = format!("the package does not export `{specifier}`");
        failure.hint = Some(format!("what it exports is said in `{}`", manifest.display()));
    }
    host.note(&message, failure);
    let error = JsNativeError::error().with_message(message).into_opaque(context);
    error.set(js_string!("code"), code, false, context)?;
    let stack = boa_engine::object::builtins::JsArray::from_iter([text_value(from)], context);
    error.set(js_string!("requireStack"), stack, false, context)?;
    Err(JsError::from_opaque(error.into()))
}

/// Whether a file may be run; else the place that asks for it is where it is refused.
fn permitted(host: &Host, path: &Path, specifier: &str, from: &Path, context: &mut Context) -> JsResult<()> {
    let position = asked(host, specifier, from, context);
    host.gate.module(path, from, || position, context)
}

/// Where a file asks for a module.
fn asked(host: &Host, specifier: &str, from: &Path, context: &Context) -> Option<(u32, u32)> {
    let trace = Trace::of(context);
    let asked = trace.request(from, specifier).and_then(|spot| trace.position(spot));
    asked.or_else(|| find_quoted(&host.files.read_text(from).ok()?, specifier))
}

/// An error to throw for a failure that is known by more than its message.
pub(super) fn raise(host: &Host, failure: Failure) -> JsError {
    let error = match failure.code {
        Code::Syntax => JsNativeError::syntax(),
        _ => JsNativeError::error(),
    };
    let error = error.with_message(failure.message.clone());
    host.note(&failure.message.clone(), failure);
    error.into()
}

pub(super) fn text_value(path: &Path) -> JsValue {
    JsString::from(path.to_string_lossy().as_ref()).into()
}

fn missing(host: &Host, specifier: &str, from: &Path, context: &Context) -> Failure {
    let code = if is_nodes(specifier) { Code::Unsupported } else { Code::MissingModule };
    let failure = Failure {
        file: Some(from.to_owned()),
        position: asked(host, specifier, from, context),
        ..Failure::new(code, format!("Cannot find module '{specifier}'"))
    };
    if code == Code::Unsupported {
        return failure.hint(
            "pmrun's own engine does not have this module of Node's: `--js-engine node` runs the config with Node",
        );
    }
    if specifier.starts_with(['.', '/']) {
        return failure.hint("the path is relative to the file that requires it");
    }
    failure.hint("it is neither built in nor in a `node_modules` folder at or above this file: is it installed?")
}

fn text(host: &Host, path: &Path, context: &Context) -> JsResult<String> {
    let text = host.files.read_text(path).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::FileTooLarge => error.to_string(),
            _ => format!("cannot read `{}`: {error}", path.display()),
        };
        raise(host, Failure::new(Code::File, message))
    })?;
    match too_deep(&text) {
        Some(line) => {
            let message = format!("brackets are nested too deeply: more than {DEPTH_MAX}");
            let failure = Failure::new(Code::DepthLimit, message);
            Err(raise(host, Failure { file: Some(path.to_owned()), position: Some((line, 1)), ..failure }))
        }
        None if resolver::is_typescript(path) => {
            Trace::of(context).know_typed(path, &text);
            without_types(host, path, &text)
        }
        None => Ok(text),
    }
}

fn without_types(host: &Host, path: &Path, text: &str) -> JsResult<String> {
    typescript::strip(text).map_err(|refusal| {
        let word =
            text.get(refusal.at..).unwrap_or_default().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let end = text.ceil_char_boundary(refusal.at + word.len().max(1)).min(text.len());
        let bytes = u32::try_from(refusal.at).ok().zip(u32::try_from(end).ok());
        let failure = Failure {
            file: Some(path.to_owned()),
            position: refusal.position(text),
            excerpt: bytes.map(|(start, end)| Box::new((text.to_owned(), start, end))),
            ..Failure::new(Code::Syntax, refusal.message)
        };
        raise(host, Failure { hint: refusal.hint.map(str::to_owned), ..failure })
    })
}

/// Makes the globals that a text names.
fn provide(host: &Host, text: &str, context: &mut Context) -> JsResult<()> {
    for (index, name) in GLOBALS.iter().enumerate() {
        let bit = 1 << index;
        if host.provided.get() & bit == 0 && text.contains(name) {
            host.provided.set(host.provided.get() | bit);
            booted(host, "provide", JsString::from(*name).into(), context)?;
        }
    }
    Ok(())
}

fn json(host: &Host, path: &Path, context: &mut Context) -> JsResult<JsValue> {
    let text = text(host, path, context)?;
    match serde_json::from_str(&text) {
        Ok(value) => {
            let value = JsValue::from_json(&value, context)?;
            Trace::of(context).know_json(path, &text, &value, context)?;
            Ok(value)
        }
        Err(error) => {
            Trace::of(context).know_text(path, &text);
            Err(raise(host, not_json(path, &text, &error)))
        }
    }
}

fn module(host: &Host, path: &Path, context: &mut Context) -> JsResult<Module> {
    if let Some(module) = host.modules.borrow().get(path) {
        return Ok(module.clone());
    }
    let text = text(host, path, context)?;
    provide(host, &text, context)?;
    let code = without_shebang(&text);
    let code = with_attributes(&code);
    let trace = Trace::of(context);
    let mut parse = |before: &[(usize, &'static str)]| {
        let given = trace.prepare(path, &text, &code, Shape::Module, before);
        let mut parse = |given: &str| Module::parse(Source::from_bytes(given).with_path(path), None, context);
        parse(&given)
            .or_else(|_| parse(&trace.without(&code, Shape::Module, before)))
            // The engine's parser wants a semicolon after a last `export { apps }`.
            .or_else(|error| parse(&(given + "\n;")).map_err(|_| error))
    };
    let parsed = parse(&[]).or_else(|error| match async_default(&code) {
        Some(before) => parse(&before).map_err(|_| error),
        None => Err(error),
    });
    let module = parsed.map_err(|error| syntax(host, &error, path, &code, Shape::Module, context))?;
    unambiguous(host, path, &code, Shape::Module, context)?;
    host.modules.borrow_mut().insert(path.to_owned(), module.clone());
    Ok(module)
}

/// The engine's parser takes the `async` of `export default async () => ...` for a declaration's: what has to be inserted
/// to name the function first.
fn async_default(text: &str) -> Option<[(usize, &'static str); 2]> {
    const WRITTEN: &str = "export default async";
    let at = text.match_indices(WRITTEN).map(|(at, _)| at).find(|at| {
        let rest = text[at + WRITTEN.len()..].trim_start();
        let before = text[..*at].rsplit('\n').next().unwrap_or_default();
        !rest.starts_with("function") && begins_statement(before)
    })?;
    let name = at + "export ".len();
    Some([(name, "{ $default as default }; const $"), (name + "default".len(), " =")])
}

/// Whether the file declares a name that Node's wrapper has: in a module there is none.
fn redeclares_wrapper(message: &str) -> bool {
    let declared = |name: &str| message.contains(&format!("formal parameter `{name}` declared in lexically"));
    ["exports", "require", "module", "__filename", "__dirname"].into_iter().any(declared)
}

/// Whether a statement begins with `import` or `export`, or something is awaited.
fn mentions_modules(text: &str) -> bool {
    let begins = |(at, word): (usize, &str)| {
        let rest = &text[at + word.len()..];
        rest.starts_with([' ', '{', '*', '"', '\'', '.', '\t']) && begins_statement(&text[..at])
    };
    ["import", "export"].iter().any(|word| text.match_indices(word).any(begins))
        || text.contains("await ")
        || text.contains("import.meta")
}

/// Whether what follows a text may begin a statement, as far as its last character tells.
fn begins_statement(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t']);
    before.is_empty() || before.ends_with(['\n', ';', '}', '/'])
}

pub(super) struct Loader;

impl ModuleLoader for Loader {
    async fn load_imported_module(
        self: Rc<Self>,
        referrer: Referrer,
        request: ModuleRequest,
        context: &RefCell<&mut Context>,
    ) -> JsResult<Module> {
        let context = &mut **context.borrow_mut();
        let host = Host::of(context);
        let specifier = request.specifier().to_std_string_lossy();
        let from = referrer.path().map_or_else(|| host.entry.clone(), Path::to_owned);
        let folder = from.parent().map_or_else(|| host.cwd(), Path::to_owned);
        if resolver::is_builtin(&host.files, &specifier, Some(&folder), Style::Import) {
            let value = booted(&host, "builtin", request.specifier().clone().into(), context)?;
            return exporting(&value, context);
        }
        let path = resolve(&host, &specifier, &folder, &from, Style::Import, context)?;
        if let Some(module) = host.modules.borrow().get(&path) {
            return Ok(module.clone());
        }
        let module = match compile(&host, &path, context)? {
            Compiled::Module(module) => module,
            Compiled::Value(value) => Module::from_value_as_default(value, context),
            Compiled::Function(_) => {
                let exports = booted(&host, "require", text_value(&path), context)?;
                exporting(&exports, context)?
            }
        };
        host.modules.borrow_mut().insert(path, module.clone());
        Ok(module)
    }

    fn init_import_meta(self: Rc<Self>, meta: &JsObject, module: &Module, context: &mut Context) {
        let Some(path) = module.path() else { return };
        let folder = path.parent().unwrap_or(path);
        let url = JsString::from(file_url(path));
        for (key, value) in [("url", url.into()), ("filename", text_value(path)), ("dirname", text_value(folder))] {
            // The object is fresh and extensible: nothing can refuse.
            let _ = meta.create_data_property(JsString::from(key), value, context);
        }
        let resolve = NativeFunction::from_copy_closure_with_captures(
            |_, args, from: &JsString, context| {
                let host = Host::of(context);
                let specifier = args.first().cloned().unwrap_or_default().to_string(context)?.to_std_string_lossy();
                let from = PathBuf::from(from.to_std_string_lossy());
                let folder = from.parent().map_or_else(|| host.cwd(), Path::to_owned);
                if resolver::is_builtin(&host.files, &specifier, None, Style::Import) {
                    let name = specifier.strip_prefix("node:").unwrap_or(&specifier);
                    return Ok(JsString::from(format!("node:{name}")).into());
                }
                let path = resolve(&host, &specifier, &folder, &from, Style::Import, context)?;
                Ok(JsString::from(file_url(&path)).into())
            },
            JsString::from(path.to_string_lossy().as_ref()),
        );
        let resolve = resolve.to_js_function(context.realm());
        // As above.
        let _ = meta.create_data_property(js_string!("resolve"), resolve, context);
    }
}

fn booted(host: &Host, name: &str, argument: JsValue, context: &mut Context) -> JsResult<JsValue> {
    let boot = host.boot.borrow().clone();
    match boot {
        Some(boot) => call(&boot, name, &[argument], context),
        None => Ok(JsValue::undefined()),
    }
}

/// A CommonJS value as a module: its default, and its own properties by name.
fn exporting(value: &JsValue, context: &mut Context) -> JsResult<Module> {
    let default = js_string!("default");
    let mut exports = vec![(default.clone(), value.clone())];
    if let Some(object) = value.as_object() {
        for key in object.own_property_keys(context)? {
            let boa_engine::property::PropertyKey::String(name) = &key else { continue };
            if *name != default {
                exports.push((name.clone(), object.get(key.clone(), context)?));
            }
        }
    }
    let names: Vec<JsString> = exports.iter().map(|(name, _)| name.clone()).collect();
    let initialiser = SyntheticModuleInitializer::from_copy_closure_with_captures(
        |module, exports: &Vec<(JsString, JsValue)>, _| {
            exports.iter().try_for_each(|(name, value)| module.set_export(name, value.clone()))
        },
        exports,
    );
    Ok(Module::synthetic(&names, initialiser, None, None, context))
}

fn file_url(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~!$&'()*+,;=:@".contains(&byte);
    let text = path.to_string_lossy();
    let encoded =
        text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    format!("file://{}", encoded.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_told_by_their_statements() {
        for (text, want) in [
            ("import a from 'b'", true),
            ("  export default {}", true),
            ("module.exports = await x()", true),
            ("const important = 1", false),
            ("exports.a = 1", false),
            ("importScripts()", false),
        ] {
            assert_eq!(mentions_modules(text), want, "{text}");
        }
    }

    #[test]
    fn urls_of_files() {
        assert_eq!(file_url(Path::new("/a b/é#.js")), "file:///a%20b/%C3%A9%23.js");
    }
}
