//! One run of one config: everything that knows the engine is this file and its neighbours `natives`, `modules`, `values`
//! and `fault`. Another engine would have to bring `run`.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use boa_engine::builtins::promise::{OperationType, Promise, PromiseState};
use boa_engine::context::HostHooks;
use boa_engine::module::ModuleNamespace;
use boa_engine::object::JsObject;
use boa_engine::object::builtins::{JsArray, JsFunction, JsPromise};
use boa_engine::optimizer::OptimizerOptions;
use boa_engine::property::PropertyKey;
use boa_engine::{Context, JsError, JsString, JsValue, Script, Source, js_string};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::fault;
use super::host::{Host, Outside};
use super::language;
use super::modules::Loader;
use super::natives;
use super::orders::{Failure, Orders};
use super::provenance::{Trace, Trial};
use super::resolver::{self, Format};
use super::source::BOOT;
use super::values::{Exported, Unfit, Walker};
use crate::diag::Code;
use crate::document::{Kind, Node};

/// The stack that `run` needs: the engine's parser and its natives recurse.
pub(super) const STACK_BYTES: usize = 256 << 20;

/// About what Node allows.
pub(super) const RECURSION_MAX: usize = 9_000;
/// Values on the engine's own stack.
const VALUES_MAX: usize = 2 << 20;
/// A function may return a promise of a function, but not for ever.
const UNWRAPS_MAX: u32 = 8;

/// Runs the entry and returns what it exports. Needs a thread with `STACK_BYTES`.
///
/// # Errors
/// When the config cannot be read, parsed or run to its end, or exports what no file can hold.
pub(super) fn run(orders: Orders, outside: Outside) -> Result<Exported, Failure> {
    tried(orders, outside, Trial::default()).map(|(exported, _)| exported)
}

/// The same, in a trial.
///
/// # Errors
/// As [`run`].
pub(super) fn tried(orders: Orders, outside: Outside, trial: Trial) -> Result<(Exported, Rc<Trace>), Failure> {
    let Outside { print, ask, journal, refused } = outside;
    let host = Rc::new(Host::new(orders, print, ask, journal));
    readable(&host)?;
    let hooks = Rc::new(Hooks { zone: OnceCell::new() });
    let built = Context::builder().module_loader(Rc::new(Loader)).host_hooks(hooks).build();
    let mut context =
        built.map_err(|error| Failure::new(Code::Engine, format!("the JavaScript engine did not start: {error}")))?;
    // Folding constants takes longer than what it saves a program that runs once. Modules are never optimised.
    context.set_optimizer_options(OptimizerOptions::empty());
    context.runtime_limits_mut().set_recursion_limit(RECURSION_MAX);
    context.runtime_limits_mut().set_stack_size_limit(VALUES_MAX);
    context.insert_data(host.clone());
    let trace = Trace::install(host.orders.trace, trial, &mut context)
        .map_err(|error| Failure::new(Code::Engine, format!("the JavaScript engine did not start: {error}")))?;
    language::install(&host, &mut context)
        .map_err(|error| Failure::new(Code::Engine, format!("the JavaScript engine did not start: {error}")))?;
    let outcome = evaluate(&host, &trace, &mut context).and_then(|exported| {
        host.gate.journal.assign(assigned(&host, &mut context)?);
        Ok(exported)
    });
    let outcome = outcome.map_err(|stop| match stop {
        Stop::Threw(error) => fault::failure(&error, &mut context),
        Stop::Unhandled(error) => fault::unhandled(fault::failure(&error, &mut context)),
        Stop::Failed(failure) => fault::shown(failure, &host, &context),
        Stop::Unfit(failure, place) => fault::unfit(*failure, place, &host, &context),
    });
    refused(host.gate.refusals().into_iter().map(|refusal| fault::shown(refusal, &host, &context)).collect());
    // Dropping a deep value recurses, and the process is about to end.
    std::mem::forget(context);
    match host.ended() {
        Some(call) if outcome.is_ok() => Err(fault::exited(&call)),
        _ => outcome.map(|exported| (exported, trace)),
    }
}

enum Stop {
    Threw(JsError),
    /// A promise was rejected, and nothing was there to handle it.
    Unhandled(JsError),
    Failed(Failure),
    /// What is exported cannot be held, and where it comes from.
    Unfit(Box<Failure>, Option<super::provenance::Place>),
}

impl From<JsError> for Stop {
    fn from(error: JsError) -> Self {
        Self::Threw(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Unfit> for Stop {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Threw(error) => Self::Threw(error),
            Unfit::Value(message, place) => Self::Unfit(Box::new(Failure::new(Code::Export, message)), place),
            Unfit::TooMuch(message) => Self::Failed(Failure::new(Code::OutputLimit, message)),
            Unfit::TooDeep(message) => Self::Failed(Failure::new(Code::DepthLimit, message)),
        }
    }
}

fn readable(host: &Host) -> Result<(), Failure> {
    let fail = |message: String| Failure { file: Some(host.orders.entry.clone()), ..Failure::new(Code::File, message) };
    if let Err(error) = host.files.read(&host.entry) {
        return Err(fail(format!("cannot read the config: {error}")));
    }
    if resolver::format(&host.files, &host.entry) == Format::Foreign {
        let advice = "a config program ends in .js, .cjs, .mjs, .ts, .cts or .mts";
        return Err(fail("this kind of file cannot be run".to_owned()).hint(advice));
    }
    Ok(())
}

fn evaluate(host: &Rc<Host>, trace: &Rc<Trace>, context: &mut Context) -> Result<Exported, Stop> {
    let walker = Walker::new(genuine("Object", "keys", context)?, trace.clone());
    let stringify = genuine("JSON", "stringify", context)?;
    let boot = boot(host, context)?;
    host.boot.replace(Some(boot.clone()));
    let entry = JsString::from(host.entry.to_string_lossy().as_ref());
    let mut exports = call(&boot, "start", &[entry.into()], context)?;
    let module = host.entry_module.borrow_mut().take();
    if let Some(module) = module {
        let promise = module.load_link_evaluate(context);
        settle(host, &promise, context)?;
        let namespace = module.namespace(context);
        trace.know_exports(&host.entry, &namespace, context)?;
        exports = chosen(namespace, context)?;
        if let Some(object) = exports.as_object().filter(|object| trace.is_unknown(object, context)) {
            trace.know_exports(&host.entry, &object, context)?;
        }
    } else {
        context.run_jobs()?;
        // `module.exports = ...` may have been run by a job.
        exports = transpiled(call(&boot, "exports", &[], context)?, exports, context)?;
    }
    let value = unwrapped(host, &boot, exports, context)?;
    context.run_jobs()?;
    unhandled(host, context)?;
    let exported = exported(host, &value, walker, &stringify, trace, context)?;
    turn(host, context)?;
    Ok(exported)
}

fn exported(
    host: &Host,
    value: &JsValue,
    walker: Walker,
    stringify: &JsFunction,
    trace: &Trace,
    context: &mut Context,
) -> Result<Exported, Stop> {
    if !host.orders.stringify {
        return Ok(walker.walk(value, trace.whole(&host.entry), context)?);
    }
    match stringify.call(&JsValue::undefined(), std::slice::from_ref(value), context) {
        Ok(text) => {
            let Some(text) = text.as_string() else {
                return Err(Stop::Unfit(Box::new(fault::textless()), trace.whole(&host.entry)));
            };
            Ok(Exported { node: Node::new(Kind::String(text.to_std_string_lossy()), None), files: Vec::new() })
        }
        // The walker knows the path of what cannot be held.
        Err(error) => Err(walker.walk(value, None, context).err().map_or(Stop::Threw(error), Stop::from)),
    }
}

/// One of the language's own functions, as long as no config has replaced it.
fn genuine(object: &str, name: &str, context: &mut Context) -> Result<JsFunction, Stop> {
    let owner = context.global_object().get(JsString::from(object), context)?.to_object(context)?;
    let function = owner.get(JsString::from(name), context)?.as_function();
    function.ok_or_else(|| Failure::new(Code::Engine, format!("the JavaScript engine has no {object}.{name}")).into())
}

/// Our JavaScript side: `start`, `require`, `builtin`, `environment`, `exports`.
fn boot(host: &Host, context: &mut Context) -> Result<JsObject, JsError> {
    let script = Script::parse(Source::from_bytes(BOOT).with_path(Path::new("pmrun:boot")), None, context)?;
    let make = script.evaluate(context)?;
    let natives = natives::object(host, context);
    let made = match make.as_callable() {
        Some(make) => make.call(&JsValue::undefined(), &[natives.into()], context)?,
        None => JsValue::undefined(),
    };
    made.to_object(context)
}

/// Calls one of the functions that `boot.js` returns.
pub(super) fn call(boot: &JsObject, name: &str, args: &[JsValue], context: &mut Context) -> Result<JsValue, JsError> {
    let function = boot.get(JsString::from(name), context)?.to_object(context)?;
    function.call(&JsValue::undefined(), args, context)
}

/// What the config has put into `process.env`.
fn assigned(host: &Host, context: &mut Context) -> Result<BTreeMap<String, String>, JsError> {
    let Some(boot) = host.boot.borrow().clone() else { return Ok(BTreeMap::new()) };
    let list = call(&boot, "assigned", &[], context)?.to_object(context)?;
    let list = JsArray::from_object(list)?;
    let text = |index: u64, context: &mut Context| {
        Ok::<_, JsError>(list.get(index, context)?.to_string(context)?.to_std_string_lossy())
    };
    (0..list.length(context)?).step_by(2).map(|at| Ok((text(at, context)?, text(at + 1, context)?))).collect()
}

/// What a module means to export: its default, unless the named exports hold the apps.
fn chosen(namespace: JsObject, context: &mut Context) -> Result<JsValue, JsError> {
    if !namespace.has_property(js_string!("default"), context)? {
        return Ok(namespace.into());
    }
    let default = namespace.get(js_string!("default"), context)?;
    let named = namespace.has_property(js_string!("apps"), context)?;
    let Some(object) = default.as_object() else { return Ok(if named { namespace.into() } else { default }) };
    let whole = object.is_array() || object.is_callable() || object.has_property(js_string!("apps"), context)?;
    if whole || !named {
        return Ok(default);
    }
    let rest = JsObject::with_object_proto(context.intrinsics());
    for key in namespace.own_property_keys(context)? {
        let name = key.to_string();
        if name != "default" && name != "__esModule" && !matches!(key, PropertyKey::Symbol(_)) {
            let value = namespace.get(key.clone(), context)?;
            rest.create_data_property(key, value, context)?;
        }
    }
    Ok(rest.into())
}

/// A module that a compiler turned into CommonJS exports its `default` by that name.
fn transpiled(exports: JsValue, fallback: JsValue, context: &mut Context) -> Result<JsValue, JsError> {
    let exports = if exports.is_undefined() { fallback } else { exports };
    let Some(object) = exports.as_object() else { return Ok(exports) };
    if !object.is_callable() && object.get(js_string!("__esModule"), context)?.to_boolean() {
        return chosen(object, context);
    }
    Ok(exports)
}

/// Calls exported functions with `{env, mode}`, awaits promises and opens modules that were imported, until there is a
/// plain value.
fn unwrapped(host: &Host, boot: &JsObject, exports: JsValue, context: &mut Context) -> Result<JsValue, Stop> {
    let mut value = exports;
    for _ in 0..UNWRAPS_MAX {
        if let Some(promise) = awaited(&value, context)? {
            value = settle(host, &promise, context)?;
        } else if let Some(function) = value.as_callable() {
            if call(boot, "isClass", std::slice::from_ref(&value), context)?.to_boolean() {
                return Err(Stop::Unfit(Box::new(fault::class()), Trace::of(context).whole(&host.entry)));
            }
            let env = call(boot, "environment", &[], context)?;
            let mode = match &host.orders.mode {
                Some(mode) => JsString::from(mode.as_str()).into(),
                None => call(boot, "mode", &[], context)?,
            };
            let given = JsObject::with_object_proto(context.intrinsics());
            given.set(js_string!("env"), env, false, context)?;
            given.set(js_string!("mode"), mode, false, context)?;
            value = function.call(&JsValue::undefined(), &[given.into()], context)?;
        } else if let Some(object) = value.as_object().filter(|object| object.is::<ModuleNamespace>()) {
            // `export default await import("./x.mjs")`
            value = chosen(object.clone(), context)?;
            if value.as_object().is_some_and(|chosen| JsObject::equals(&chosen, &object)) {
                return Ok(value);
            }
        } else {
            return Ok(value);
        }
    }
    let endless = Failure::new(Code::Export, "the exported function returns functions without end");
    Err(Stop::Unfit(Box::new(endless), Trace::of(context).whole(&host.entry)))
}

/// The promise that a value is, or that its `then` makes it.
fn awaited(value: &JsValue, context: &mut Context) -> Result<Option<JsPromise>, Stop> {
    let Some(object) = value.as_object().filter(|object| !object.is::<ModuleNamespace>()) else { return Ok(None) };
    if let Some(promise) = value.as_promise() {
        return Ok(Some(promise));
    }
    let then = object.get(js_string!("then"), context)?;
    Ok(if then.is_callable() { Some(JsPromise::resolve(value.clone(), context)?) } else { None })
}

/// Runs jobs and timers until the promise has an outcome.
fn settle(host: &Host, promise: &JsPromise, context: &mut Context) -> Result<JsValue, Stop> {
    loop {
        context.run_jobs()?;
        if let Some(call) = host.ended() {
            return Err(fault::exited(&call).into());
        }
        match promise.state() {
            PromiseState::Rejected(reason) => return Err(Stop::Threw(JsError::from_opaque(reason))),
            PromiseState::Fulfilled(value) => {
                unhandled(host, context)?;
                return Ok(value);
            }
            PromiseState::Pending => unhandled(host, context)?,
        }
        let Some((due, timer)) = host.next_timer() else {
            return Err(fault::unsettled().into());
        };
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        timer.callback.call(&JsValue::undefined(), &[], context)?;
    }
}

/// As Node does when there are no more jobs: what was rejected by then and has no handler ends the program.
fn unhandled(host: &Host, context: &mut Context) -> Result<(), Stop> {
    let rejected = host.take_rejected();
    let Some(first) = rejected.first() else { return Ok(()) };
    let PromiseState::Rejected(reason) = JsPromise::from_object(first.clone())?.state() else { return Ok(()) };
    let boot = host.boot.borrow().clone();
    let listens = boot.map(|boot| call(&boot, "listens", &[js_string!("unhandledRejection").into()], context));
    if listens.transpose()?.is_some_and(|listens| listens.to_boolean()) {
        return Ok(());
    }
    Err(Stop::Unhandled(JsError::from_opaque(reason)))
}

/// Runs the timers that are due at once. The others are for a program that goes on, and this one has said what it has to.
fn turn(host: &Host, context: &mut Context) -> Result<(), Stop> {
    let until = Instant::now() + Duration::from_millis(1);
    while host.ended().is_none()
        && let Some((due, timer)) = host.next_timer_until(until)
    {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        timer.callback.call(&JsValue::undefined(), &[], context)?;
        context.run_jobs()?;
        unhandled(host, context)?;
    }
    Ok(())
}

/// Local time: the engine's own answer is UTC in a program with threads.
struct Hooks {
    zone: OnceCell<TimeZone>,
}

impl HostHooks for Hooks {
    fn local_timezone_offset_seconds(&self, unix_time_seconds: i64) -> i32 {
        let zone = self.zone.get_or_init(TimeZone::system);
        Timestamp::from_second(unix_time_seconds).map_or(0, |time| zone.to_offset(time).seconds())
    }

    fn promise_rejection_tracker(&self, promise: &JsObject<Promise>, operation: OperationType, context: &mut Context) {
        let (host, promise) = (Host::of(context), promise.clone().upcast());
        match operation {
            OperationType::Reject => host.reject(promise),
            OperationType::Handle => host.handle(&promise),
        }
    }
}
