//! What of the engine's is given another form so that values can be followed: the mark, and functions of the language.

use std::path::Path;

use boa_engine::object::FunctionObjectBuilder;
use boa_engine::object::builtins::JsFunction;
use boa_engine::property::PropertyDescriptor;
use boa_engine::{Context, JsResult, JsString, JsValue, NativeFunction, Script, Source, js_string};

use super::site::SiteId;
use super::{APART, CLOSE, FIELD, MARK, NOTHING, OPEN, OVER, STATEMENT, TAKEN, TAKEN_END, TAKING, TOOK, Trace};
use crate::config::js::fault::in_nodes_words;

/// Puts all of them in place.
pub(super) fn install(context: &mut Context) -> JsResult<()> {
    bind_mark(context)?;
    wrap_assign(context)?;
    wrap_define(context)?;
    wrap_to_string(context)?;
    wrap_then(context)
}

/// `$pmrun(site, value)`
fn mark(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let value = args.get(1).cloned().unwrap_or_default();
    if let Some(id) = args.first().and_then(JsValue::as_number) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sites are small and whole")]
        let id = id as SiteId;
        let trace = Trace::of(context);
        trace.pass(id, &value);
        if let Some(object) = args.get(2).and_then(JsValue::as_object)
            && trace.has_field(id, &object, context)?
        {
            return Ok(value);
        }
        if let Some(other) = trace.own(id, &value).or_else(|| trace.substitute(id)) {
            return Ok(other);
        }
        if let Some(key) = trace.own_key(id, &value, context)? {
            return Ok(key.into());
        }
        trace.met(id, &value, context)?;
    }
    Ok(value)
}

/// A name that all files see and that is a property of nothing.
fn bind_mark(context: &mut Context) -> JsResult<()> {
    let function = FunctionObjectBuilder::new(context.realm(), NativeFunction::from_fn_ptr(mark)).length(2).build();
    let global = context.global_object();
    let passed = js_string!("$pmrun$");
    global.set(passed.clone(), function, true, context)?;
    let source = Source::from_bytes("const $pmrun = globalThis.$pmrun$;").with_path(Path::new("pmrun:mark"));
    Script::parse(source, None, context)?.evaluate(context)?;
    global.delete_property_or_throw(passed, context)?;
    Ok(())
}

/// `Object.assign` that tells what was assigned.
fn wrap_assign(context: &mut Context) -> JsResult<()> {
    replace("Object", None, "assign", 2, context, |genuine, this, args, context| {
        let target = genuine.call(this, args, context)?;
        if let Some(object) = target.as_object() {
            Trace::of(context).assigned(&object, args.get(1..).unwrap_or_default(), context)?;
        }
        Ok(target)
    })
}

/// What gives a property another value without an assignment.
fn wrap_define(context: &mut Context) -> JsResult<()> {
    for (owner, name, length) in
        [("Object", "defineProperty", 3), ("Reflect", "defineProperty", 3), ("Reflect", "set", 3)]
    {
        replace(owner, None, name, length, context, |genuine, this, args, context| {
            let result = genuine.call(this, args, context)?;
            if let (Some(object), Some(key)) = (args.first().and_then(JsValue::as_object), args.get(1)) {
                Trace::of(context).replaced(&object, key, context)?;
            }
            Ok(result)
        })?;
    }
    replace("Object", None, "defineProperties", 2, context, |genuine, this, args, context| {
        let result = genuine.call(this, args, context)?;
        let object = args.first().and_then(JsValue::as_object);
        if let (Some(object), Some(given)) = (object, args.get(1).and_then(JsValue::as_object)) {
            for key in given.own_property_keys(context)? {
                Trace::of(context).replaced(&object, &JsValue::from(key), context)?;
            }
        }
        Ok(result)
    })
}

/// A function's text is the one that was written.
fn wrap_to_string(context: &mut Context) -> JsResult<()> {
    replace("Function", Some("prototype"), "toString", 0, context, |genuine, this, args, context| {
        let text = genuine.call(this, args, context)?;
        match text.as_string() {
            Some(found) if found.to_std_string_lossy().contains(MARK) => {
                Ok(JsString::from(without_marks(&found.to_std_string_lossy())).into())
            }
            _ => Ok(text),
        }
    })
}

/// What a promise is rejected with is told in Node's words to whoever handles it.
fn wrap_then(context: &mut Context) -> JsResult<()> {
    replace("Promise", Some("prototype"), "then", 2, context, |genuine, this, args, context| {
        let Some(handler) = args.get(1).and_then(JsValue::as_function) else {
            return genuine.call(this, args, context);
        };
        let told = NativeFunction::from_copy_closure_with_captures(
            |_, args, handler: &JsFunction, context| {
                args.first().inspect(|reason| in_nodes_words(reason, context));
                handler.call(&JsValue::undefined(), args, context)
            },
            handler,
        );
        let told = FunctionObjectBuilder::new(context.realm(), told).length(1).build();
        genuine.call(this, &[args.first().cloned().unwrap_or_default(), told.into()], context)
    })
}

type Wrapped = fn(&JsFunction, &JsValue, &[JsValue], &mut Context) -> JsResult<JsValue>;

/// Puts a function of ours in the place of one of the language's.
pub(super) fn replace(
    owner: &str,
    inner: Option<&str>,
    name: &str,
    length: usize,
    context: &mut Context,
    wrapped: Wrapped,
) -> JsResult<()> {
    let mut object = context.global_object().get(JsString::from(owner), context)?.to_object(context)?;
    if let Some(inner) = inner {
        object = object.get(JsString::from(inner), context)?.to_object(context)?;
    }
    let Some(genuine) = object.get(JsString::from(name), context)?.as_function() else { return Ok(()) };
    let call = NativeFunction::from_copy_closure_with_captures(
        move |this, args, genuine: &JsFunction, context| wrapped(genuine, this, args, context),
        genuine,
    );
    let function = FunctionObjectBuilder::new(context.realm(), call).name(JsString::from(name)).length(length).build();
    let property =
        PropertyDescriptor::builder().value(function).writable(true).enumerable(false).configurable(true).build();
    object.define_property_or_throw(JsString::from(name), property, context)?;
    Ok(())
}

fn without_marks(text: &str) -> String {
    let mut text = text.to_owned();
    let statement = format!(",{NOTHING}{CLOSE}{STATEMENT}");
    while let Some(end) = text.find(&statement) {
        let start = text[..end].rfind(OPEN).unwrap_or(end);
        text.replace_range(start..end + statement.len(), "");
    }
    while let Some(end) = text.find(TAKEN) {
        let start = text[..end].rfind(OPEN).map_or(end, |start| start - 1);
        text.replace_range(start..end + TAKEN.len(), "");
    }
    while let Some(end) = text.find(OVER) {
        let start = text[..end].rfind(OPEN).unwrap_or(end);
        text.replace_range(start..end + OVER.len(), "");
    }
    for taken in [TAKING, TOOK, TAKEN_END] {
        text = text.replace(taken, "");
    }
    let alone = format!(",{NOTHING}{CLOSE}");
    while let Some(end) = text.find(&alone) {
        let start = text[..end].rfind(OPEN).map_or(end, |start| start - 1);
        text.replace_range(start..end + alone.len(), "");
    }
    let text = text.replace(FIELD, "").replace(CLOSE, "").replace(APART, "");
    let mut parts = text.split(OPEN);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.split_once(',').map_or(part, |(_, rest)| rest));
    }
    out
}
