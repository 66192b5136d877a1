//! Functions of the language that answer as V8's do: `JSON.parse` in its complaints, `stack` in its lines.

use std::path::Path;

use boa_engine::object::builtins::JsFunction;
use boa_engine::object::{FunctionObjectBuilder, JsObject};
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::{Context, JsNativeError, JsResult, JsString, JsValue, NativeFunction, js_string};

use super::fault::frame;
use super::host::Host;
use super::json_words::complaint;
use super::modules::{USE_NODE, raise};
use super::orders::Failure;
use super::outline::Called;
use super::provenance::Trace;
use crate::diag::Code;

/// As V8 shows by default.
const FRAMES_MAX: usize = 10;

type Wrapped = fn(&JsValue, &[JsValue], &JsFunction, &mut Context) -> JsResult<JsValue>;

/// Puts the functions in place.
pub(super) fn install(host: &Host, context: &mut Context) -> JsResult<()> {
    let global = context.global_object();
    let json = global.get(js_string!("JSON"), context)?.to_object(context)?;
    if let Some(genuine) = json.get(js_string!("parse"), context)?.as_function() {
        let function = wrapped(genuine, js_string!("parse"), 2, parse_json, context);
        let property = PropertyDescriptor::builder().value(function).writable(true).enumerable(false);
        json.define_property_or_throw(js_string!("parse"), property.configurable(true).build(), context)?;
    }
    let error = context.intrinsics().constructors().error().prototype();
    let known = error.borrow().properties().get(&PropertyKey::from(js_string!("stack")));
    if let Some(property) = known
        && let Some(genuine) = property.get().and_then(JsValue::as_function)
    {
        host.genuine_stack.replace(Some(genuine.clone()));
        let getter = wrapped(genuine, js_string!("stack"), 0, stack, context);
        let changed = PropertyDescriptor::builder().get(getter).maybe_set(property.set().cloned());
        error.define_property_or_throw(
            js_string!("stack"),
            changed.enumerable(false).configurable(true).build(),
            context,
        )?;
    }
    Ok(())
}

fn wrapped(genuine: JsFunction, name: JsString, length: usize, call: Wrapped, context: &mut Context) -> JsFunction {
    let call = NativeFunction::from_copy_closure_with_captures(
        move |this, args, genuine: &JsFunction, context| call(this, args, genuine, context),
        genuine,
    );
    FunctionObjectBuilder::new(context.realm(), call).name(name).length(length).build()
}

fn parse_json(this: &JsValue, args: &[JsValue], genuine: &JsFunction, context: &mut Context) -> JsResult<JsValue> {
    let error = match genuine.call(this, args, context) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    // What a reviver throws, or a text's `toString`, is thrown on.
    let Some(said) = error.as_native().map(|native| native.message().to_owned()) else { return Err(error) };
    let Ok(text) = args.first().cloned().unwrap_or_default().to_string(context) else { return Err(error) };
    if said.contains("recursion limit exceeded") {
        let message = "JSON.parse: the text is nested deeper than 127 levels";
        return Err(raise(&Host::of(context), Failure::new(Code::DepthLimit, message).hint(USE_NODE)));
    }
    match complaint(&text.iter().collect::<Vec<_>>()) {
        Some(said) => Err(JsNativeError::syntax().with_message(said).into()),
        None => Err(error),
    }
}

/// The error's own words, and the frames in the user's files, as they were written.
fn stack(this: &JsValue, _: &[JsValue], genuine: &JsFunction, context: &mut Context) -> JsResult<JsValue> {
    let raw = genuine.call(this, &[], context)?;
    let Some(object) = this.as_object() else { return Ok(raw) };
    let frames = raw.as_string().map_or(String::new(), |raw| raw.to_std_string_lossy());
    let trace = Trace::of(context);
    let shown = frames.lines().filter_map(|line| shown(line.trim_start().strip_prefix("at ")?, &trace));
    let mut shown: Vec<String> = shown.take(FRAMES_MAX).collect();
    let header = header(&object, context)?;
    // What a mark throws stands at what it marks.
    if let (Some(frame), (_, Some(spot))) = (shown.first_mut(), trace.explain(&header, None, &Called::default()))
        && let (Some((line, column)), Some((end, _))) = (trace.position(spot), frame.rmatch_indices(':').nth(1))
    {
        frame.truncate(end);
        *frame = format!("{frame}:{line}:{column})");
    }
    Ok(JsString::from([vec![header], shown].concat().join("\n")).into())
}

fn header(object: &JsObject, context: &mut Context) -> JsResult<String> {
    let mut text = |key| {
        Ok::<_, boa_engine::JsError>(object.get(key, context)?.as_string().map(|text| text.to_std_string_lossy()))
    };
    let name = text(js_string!("name"))?.unwrap_or_else(|| "Error".to_owned());
    let message = text(js_string!("message"))?.unwrap_or_default();
    Ok(if message.is_empty() { name } else { format!("{name}: {message}") })
}

/// `f (/srv/a.js:3:70)` with the line and column that the user wrote; None for what is no file of a user's.
fn shown(text: &str, trace: &Trace) -> Option<String> {
    let (file, line, column) = frame(text)?;
    let name = text.split(" (").next().unwrap_or_default();
    let spot = trace.spot(Path::new(&file), line, column);
    let (line, column) = trace.position(trace.callee(spot).or(spot)?)?;
    let name = if name == "<main>" || name.is_empty() { "Object.<anonymous>" } else { name };
    Some(format!("    at {name} ({file}:{line}:{column})"))
}
