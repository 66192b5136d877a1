//! Commands that a config runs and waits for: its parent runs them.

use boa_engine::object::builtins::JsArray;
use boa_engine::{Context, JsNativeError, JsResult, JsString, JsValue};

use super::host::Host;
use super::natives::{binary, bytes, record, text};
use super::orders::{Command, Ran, Reply, Request};
use crate::base::Signal;

/// `spawn(file, args, cwd, [[key, value]], input, timeout, maxBuffer)` as `{pid, status, signal, stdout, stderr, code}`,
/// with a `code` when it did not start or was ended.
pub(super) fn spawn(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let host = Host::of(context);
    let file = text(args, 0, context)?;
    let words = strings(args.get(1), context)?;
    let cwd = host.path(&text(args, 2, context)?);
    let argv: Vec<String> = std::iter::once(&file).chain(&words).cloned().collect();
    host.gate.command(&argv, context)?;
    let mut env = Vec::new();
    for pair in values(args.get(3), context)? {
        if let [key, value] = strings(Some(&pair), context)?.as_slice() {
            env.push((key.clone(), value.clone()));
        }
    }
    let input = bytes(args, 4, context)?;
    let (timeout_ms, output_max) = (whole(args.get(5)), whole(args.get(6)));
    let request = Request::Command(Command { file, args: words, cwd, env, input, timeout_ms, output_max });
    match (host.ask)(request) {
        Ok(Reply::Ran(ran)) => Ok(result(&ran, context)),
        Ok(Reply::Refused(why)) => Err(JsNativeError::error().with_message(why).into()),
        Ok(Reply::Made(_) | Reply::Failed(_)) => Err(JsNativeError::error().with_message("no such reply").into()),
        Err(error) => Err(JsNativeError::error().with_message(error.to_string()).into()),
    }
}

fn result(ran: &Ran, context: &mut Context) -> JsValue {
    let signal = ran.signal.and_then(Signal::from_number);
    let mut pairs = vec![
        ("pid", f64::from(ran.pid).into()),
        ("status", ran.status.map_or_else(JsValue::null, JsValue::from)),
        ("signal", signal.map_or_else(JsValue::null, |signal| JsString::from(signal.to_string()).into())),
        ("stdout", binary(&ran.stdout)),
        ("stderr", binary(&ran.stderr)),
    ];
    pairs.extend(ran.code.as_ref().map(|code| ("code", JsString::from(code.as_str()).into())));
    record(pairs, context)
}

/// A whole number above 0; nothing and infinity are no limit.
fn whole(value: Option<&JsValue>) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is at least 1 and saturates")]
    value.and_then(JsValue::as_number).filter(|number| *number >= 1.0).map(|number| number as u64)
}

fn values(list: Option<&JsValue>, context: &mut Context) -> JsResult<Vec<JsValue>> {
    let Some(object) = list.and_then(JsValue::as_object) else { return Ok(Vec::new()) };
    let array = JsArray::from_object(object)?;
    (0..array.length(context)?).map(|index| array.get(index, context)).collect()
}

fn strings(list: Option<&JsValue>, context: &mut Context) -> JsResult<Vec<String>> {
    let items = values(list, context)?;
    items.into_iter().map(|item| Ok(item.to_string(context)?.to_std_string_lossy())).collect()
}
