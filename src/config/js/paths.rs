//! Node's `path`. Almost every config asks for it, and reading its JavaScript takes longer than reading most configs: what
//! they call of it is here, for POSIX and for strings. The rest, and every complaint, is `builtins/paths.js`.

use boa_engine::object::builtins::JsFunction;
use boa_engine::object::{FunctionObjectBuilder, JsObject, ObjectInitializer};
use boa_engine::property::Attribute;
use boa_engine::{Context, JsResult, JsString, JsValue, NativeFunction, js_string};

use super::host::Host;

/// None for what only the JavaScript knows.
type Quick = fn(&[JsValue], &Context) -> Option<JsValue>;

const SLASH: u16 = b'/' as u16;
const DOT: u16 = b'.' as u16;

/// In Node's order: name, number of parameters.
const FUNCTIONS: [(&str, usize, Option<Quick>); 11] = [
    ("isAbsolute", 1, Some(is_absolute)),
    ("normalize", 1, Some(normalize)),
    ("join", 0, Some(join)),
    ("resolve", 0, Some(resolve)),
    ("dirname", 1, Some(dirname)),
    ("basename", 2, Some(basename)),
    ("extname", 1, Some(extname)),
    ("relative", 2, None),
    ("parse", 1, None),
    ("format", 1, None),
    ("toNamespacedPath", 1, None),
];

/// `path(require)`
pub(super) fn path(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let require = args.first().cloned().unwrap_or_default().to_object(context)?;
    let posix = kind(&require, false, context);
    let win32 = kind(&require, true, context);
    let long = posix.get(js_string!("toNamespacedPath"), context)?;
    posix.create_data_property(js_string!("_makeLong"), long, context)?;
    for path in [&posix, &win32] {
        path.create_data_property(js_string!("posix"), posix.clone(), context)?;
        path.create_data_property(js_string!("win32"), win32.clone(), context)?;
    }
    Ok(posix.into())
}

fn kind(require: &JsObject, windows: bool, context: &mut Context) -> JsObject {
    let function = |index| function(require, windows, index, context);
    let functions: Vec<JsFunction> = (0..FUNCTIONS.len()).map(function).collect();
    let (sep, delimiter) = if windows { ("\\", ";") } else { ("/", ":") };
    let mut object = ObjectInitializer::new(context);
    object.property(js_string!("sep"), JsString::from(sep), Attribute::all());
    object.property(js_string!("delimiter"), JsString::from(delimiter), Attribute::all());
    for ((name, ..), function) in FUNCTIONS.iter().zip(functions) {
        object.property(JsString::from(*name), function, Attribute::all());
    }
    object.build()
}

fn function(require: &JsObject, windows: bool, index: usize, context: &mut Context) -> JsFunction {
    let (name, length, _) = FUNCTIONS[index];
    let call = NativeFunction::from_copy_closure_with_captures(
        |this, args, (require, windows, index): &(JsObject, bool, usize), context| {
            let (name, _, quick) = FUNCTIONS[*index];
            if let Some(value) = quick.filter(|_| !windows).and_then(|quick| quick(args, context)) {
                return Ok(value);
            }
            let whole = require.call(&JsValue::undefined(), &[js_string!("pmrun:paths").into()], context)?;
            let kind = if *windows { js_string!("win32") } else { js_string!("posix") };
            let path = whole.to_object(context)?.get(kind, context)?.to_object(context)?;
            path.get(JsString::from(name), context)?.to_object(context)?.call(this, args, context)
        },
        (require.clone(), windows, index),
    );
    FunctionObjectBuilder::new(context.realm(), call).name(JsString::from(name)).length(length).build()
}

fn text(args: &[JsValue], index: usize) -> Option<JsString> {
    args.get(index)?.as_string()
}

fn made(units: &[u16]) -> JsValue {
    match String::from_utf16(units) {
        Ok(text) => JsString::from(text).into(),
        Err(_) => JsString::from(units).into(),
    }
}

fn is_absolute(args: &[JsValue], _: &Context) -> Option<JsValue> {
    Some((text(args, 0)?.iter().next() == Some(SLASH)).into())
}

fn normalize(args: &[JsValue], _: &Context) -> Option<JsValue> {
    Some(made(&normal(&text(args, 0)?.to_vec())))
}

fn join(args: &[JsValue], _: &Context) -> Option<JsValue> {
    let parts = args.iter().map(|part| Some(part.as_string()?.to_vec())).collect::<Option<Vec<_>>>()?;
    let filled: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Some(made(&normal(&filled.join(&SLASH))))
}

fn resolve(args: &[JsValue], context: &Context) -> Option<JsValue> {
    let mut tail = Vec::new();
    // From the last one on: what stands before an absolute one does not count, and may be anything.
    for index in (0..args.len()).rev() {
        let part = text(args, index)?.to_vec();
        if part.is_empty() {
            continue;
        }
        tail = [&part, [SLASH].as_slice(), &tail].concat();
        if part[0] == SLASH {
            return Some(made(&rooted(&tail)));
        }
    }
    let cwd: Vec<u16> = Host::of(context).cwd().to_string_lossy().encode_utf16().collect();
    Some(made(&rooted(&[&cwd, [SLASH].as_slice(), &tail].concat())))
}

/// A slice of the path, which says for itself where it was written.
fn dirname(args: &[JsValue], _: &Context) -> Option<JsValue> {
    let text = text(args, 0)?;
    let units = text.to_vec();
    let root = usize::from(units.first() == Some(&SLASH));
    let mut named = false;
    for at in (root..units.len()).rev() {
        if units[at] != SLASH {
            named = true;
        } else if named {
            return Some(if root == 1 && at == 1 { js_string!("//").into() } else { text.slice(0, at).into() });
        }
    }
    Some(if root == 1 { text.slice(0, 1).into() } else { js_string!(".").into() })
}

fn basename(args: &[JsValue], _: &Context) -> Option<JsValue> {
    let suffix = match args.get(1) {
        Some(suffix) if !suffix.is_undefined() => Some(suffix.as_string()?),
        _ => None,
    };
    let text = text(args, 0)?;
    if suffix.as_ref() == Some(&text) {
        return Some(js_string!("").into());
    }
    let base = last(&text);
    let Some(suffix) = suffix else { return Some(base.into()) };
    let ends = base.to_vec().ends_with(&suffix.to_vec());
    Some(if ends && base != suffix { base.slice(0, base.len() - suffix.len()).into() } else { base.into() })
}

fn extname(args: &[JsValue], _: &Context) -> Option<JsValue> {
    let base = last(&text(args, 0)?);
    let units = base.to_vec();
    let dot = units.iter().rposition(|unit| *unit == DOT).filter(|dot| *dot > 0 && units != [DOT, DOT]);
    Some(dot.map_or(js_string!(""), |dot| base.slice(dot, base.len())).into())
}

/// The last part, without slashes behind it.
fn last(text: &JsString) -> JsString {
    let units = text.to_vec();
    let end = units.iter().rposition(|unit| *unit != SLASH).map_or(0, |at| at + 1);
    let start = units[..end].iter().rposition(|unit| *unit == SLASH).map_or(0, |at| at + 1);
    text.slice(start, end)
}

fn normal(text: &[u16]) -> Vec<u16> {
    let Some((first, inner)) = text.split_first() else { return vec![DOT] };
    let absolute = *first == SLASH;
    let inner = if absolute { inner } else { text };
    let mut rest = collapsed(inner, absolute);
    if rest.is_empty() && !absolute {
        rest.push(DOT);
    }
    if !rest.is_empty() && inner.ends_with(&[SLASH]) {
        rest.push(SLASH);
    }
    if absolute { [[SLASH].as_slice(), &rest].concat() } else { rest }
}

fn rooted(text: &[u16]) -> Vec<u16> {
    [[SLASH].as_slice(), &collapsed(text, true)].concat()
}

/// Without `.`, `..` and empty parts, as far as that can be.
fn collapsed(text: &[u16], absolute: bool) -> Vec<u16> {
    let mut out: Vec<&[u16]> = Vec::new();
    for part in text.split(|unit| *unit == SLASH) {
        match part {
            [] | [DOT] => {}
            [DOT, DOT] if out.last().is_some_and(|last| *last != [DOT, DOT]) => {
                out.pop();
            }
            [DOT, DOT] if absolute => {}
            part => out.push(part),
        }
    }
    out.join(&SLASH)
}
