//! From a path to something that runs: CommonJS functions, modules, JSON; and `import`, which may cross between them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use boa_engine::builtins::promise::PromiseState;
use boa_engine::module::{ModuleLoader, ModuleRequest, Referrer, SyntheticModuleInitializer};
use boa_engine::object::JsObject;
use boa_engine::{Context, JsError, JsNativeError, JsResult, JsString, JsValue, Module, Script, Source, js_string};

use super::engine::call;
use super::fault;
use super::host::Host;
use super::orders::{Failure, FailureKind};
use super::resolver::{self, Format, Style};
use super::source::{DEPTH_MAX, GLOBALS, WRAPPER, WRAPPER_END, find_quoted, is_nodes, too_deep, without_shebang};

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
            let message = format!("`{}` cannot be run: only .js, .cjs, .mjs and .json can", path.display());
            Err(raise(host, Failure { file: Some(path.to_owned()), ..Failure::evaluation(message) }))
        }
        style @ (Format::CommonJs | Format::Either) => {
            let text = text(host, path)?;
            provide(host, &text, context)?;
            let wrapped = format!("{WRAPPER}{}{WRAPPER_END}", without_shebang(&text));
            let error = match Script::parse(Source::from_bytes(&wrapped).with_path(path), None, context) {
                Ok(script) => return script.evaluate(context).map(Compiled::Function),
                Err(error) => error,
            };
            // As Node does: a file that does not say what it is, and that only a module's grammar accepts, is a module.
            if style == Format::Either && mentions_modules(&text) {
                return module(host, path, context).map(Compiled::Module);
            }
            Err(raise(host, fault::syntax(&fault::message(&error, context), path, true)))
        }
    }
}

/// The namespace of a module that CommonJS requires, as Node 22 allows.
pub(super) fn import_now(module: &Module, path: &Path, host: &Host, context: &mut Context) -> JsResult<JsValue> {
    let promise = module.load_link_evaluate(context);
    context.run_jobs()?;
    match promise.state() {
        PromiseState::Fulfilled(_) => Ok(module.namespace(context).into()),
        PromiseState::Rejected(reason) => Err(JsError::from_opaque(reason)),
        PromiseState::Pending => {
            let message = format!("`{}` awaits at its top level, so it can only be imported", path.display());
            Err(raise(host, Failure::evaluation(message)))
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
        let position = || host.files.read_text(from).ok().and_then(|text| find_quoted(&text, specifier));
        return host.gate.module(&path, from, position, context).map(|()| path);
    }
    let message = format!("Cannot find module '{specifier}'");
    host.note(&message, missing(host, specifier, from));
    let error = JsNativeError::error().with_message(message).into_opaque(context);
    error.set(js_string!("code"), js_string!("MODULE_NOT_FOUND"), false, context)?;
    let stack = boa_engine::object::builtins::JsArray::from_iter([text_value(from)], context);
    error.set(js_string!("requireStack"), stack, false, context)?;
    Err(JsError::from_opaque(error.into()))
}

/// An error to throw for a failure that is known by more than its message.
pub(super) fn raise(host: &Host, failure: Failure) -> JsError {
    let error = match failure.kind {
        FailureKind::Syntax => JsNativeError::syntax(),
        _ => JsNativeError::error(),
    };
    let error = error.with_message(failure.message.clone());
    host.note(&failure.message.clone(), failure);
    error.into()
}

pub(super) fn text_value(path: &Path) -> JsValue {
    JsString::from(path.to_string_lossy().as_ref()).into()
}

fn missing(host: &Host, specifier: &str, from: &Path) -> Failure {
    let position = host.files.read_text(from).ok().and_then(|text| find_quoted(&text, specifier));
    let failure = Failure {
        file: Some(from.to_owned()),
        position,
        ..Failure::evaluation(format!("cannot find module `{specifier}`"))
    };
    if is_nodes(specifier) {
        return failure.hint(
            "this module of Node's is not there for configs; path, fs, os, url, util, process and child_process are",
        );
    }
    if specifier.starts_with(['.', '/']) {
        return failure.hint("the path is relative to the file that requires it");
    }
    failure.hint("it is neither built in nor in a `node_modules` folder at or above this file: is it installed?")
}

fn text(host: &Host, path: &Path) -> JsResult<String> {
    let text = host.files.read_text(path).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::FileTooLarge => error.to_string(),
            _ => format!("cannot read `{}`: {error}", path.display()),
        };
        raise(host, Failure { kind: FailureKind::File, ..Failure::evaluation(message) })
    })?;
    match too_deep(&text) {
        Some(line) => {
            let failure = Failure::evaluation(format!("brackets are nested too deeply: more than {DEPTH_MAX}"));
            Err(raise(
                host,
                Failure {
                    kind: FailureKind::Syntax,
                    file: Some(path.to_owned()),
                    position: Some((line, 1)),
                    ..failure
                },
            ))
        }
        None => Ok(text),
    }
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
    let text = text(host, path)?;
    match serde_json::from_str(&text) {
        Ok(value) => JsValue::from_json(&value, context),
        Err(error) => {
            let said = error.to_string();
            let said = said.split(" at line ").next().unwrap_or_default();
            let position = u32::try_from(error.line()).ok().zip(u32::try_from(error.column().max(1)).ok());
            let failure = Failure::evaluation(format!("`{}` is not JSON: {said}", path.display()));
            Err(raise(host, Failure { kind: FailureKind::Syntax, file: Some(path.to_owned()), position, ..failure }))
        }
    }
}

fn module(host: &Host, path: &Path, context: &mut Context) -> JsResult<Module> {
    if let Some(module) = host.modules.borrow().get(path) {
        return Ok(module.clone());
    }
    let text = text(host, path)?;
    provide(host, &text, context)?;
    let source = without_shebang(&text);
    let mut parse = |source: &str| Module::parse(Source::from_bytes(source).with_path(path), None, context);
    let parsed = parse(&source).or_else(|error| match async_default(&source) {
        Some(rewritten) => parse(&rewritten).map_err(|_| error),
        None => Err(error),
    });
    let module = parsed.map_err(|error| raise(host, fault::syntax(&fault::message(&error, context), path, false)))?;
    host.modules.borrow_mut().insert(path.to_owned(), module.clone());
    Ok(module)
}

/// The engine's parser takes the `async` of `export default async () => ...` for a declaration's: name the function first.
fn async_default(text: &str) -> Option<String> {
    const WRITTEN: &str = "export default async";
    let at = text.match_indices(WRITTEN).map(|(at, _)| at).find(|at| {
        let rest = text[at + WRITTEN.len()..].trim_start();
        let before = text[..*at].rsplit('\n').next().unwrap_or_default();
        !rest.starts_with("function") && before.trim().is_empty()
    })?;
    let (before, rest) = (&text[..at], &text[at + WRITTEN.len()..]);
    Some(format!("{before}export {{ $default as default }}; const $default = async{rest}"))
}

/// Whether a line starts with `import` or `export`, or something is awaited.
fn mentions_modules(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| {
        ["import", "export"].iter().any(|word| {
            line.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '{', '*', '"', '\'', '.', '\t']))
        }) || line.contains("await ")
            || line.contains("import.meta")
            || line.contains(";import ")
            || line.contains(";export ")
    })
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
        if resolver::builtin(&specifier).is_some() {
            let value = booted(&host, "builtin", request.specifier().clone().into(), context)?;
            return exporting(&value, context);
        }
        let folder = from.parent().map_or_else(|| host.cwd(), Path::to_owned);
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
