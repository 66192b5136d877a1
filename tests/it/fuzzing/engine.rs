use boa_engine::{Context, JsResult, JsValue, Module, Source, js_string, property::Attribute};
use pmrun::document::Format;

/// What a program exports, as JSON, or what it throws.
pub(super) fn exported(text: &str, format: Format) -> Result<String, String> {
    let text = text.trim_start_matches('\u{feff}');
    let context = &mut Context::default();
    let exports = match format {
        Format::Module => default_of(text, context),
        _ => context.eval(Source::from_bytes(&format!(
            "(function () {{ const module = {{ exports: {{}} }}; (function (module, exports) {{{text}\n}})(module, \
             module.exports); return module.exports; }})()"
        ))),
    };
    let json = exports.and_then(|exports| {
        context.register_global_property(js_string!("exported"), exports, Attribute::all())?;
        context.eval(Source::from_bytes("JSON.stringify(exported)"))
    });
    match json {
        Ok(json) => Ok(json.as_string().map(|text| text.to_std_string_lossy()).unwrap_or_default()),
        Err(error) => Err(error.to_string()),
    }
}

fn default_of(text: &str, context: &mut Context) -> JsResult<JsValue> {
    let module = Module::parse(Source::from_bytes(text), None, context)?;
    let _ = module.load_link_evaluate(context);
    context.run_jobs()?;
    module.namespace(context).get(js_string!("default"), context)
}

/// What comes of a program that the engine is given as it is: what it exports as JSON, or that it fails. None for what two
/// runs need not agree on: time, chance, the text of the program itself, and what goes on for long.
pub(super) fn outcome(given: &str, is_module: bool) -> Option<Result<String, ()>> {
    const OTHERWISE: [&str; 14] = [
        "random", "Date", "now", "stack", "toString", "String", "eval", "Function", "Error", "repeat", "pad", "Buffer",
        "Temporal", "Atomics",
    ];
    if OTHERWISE.iter().any(|word| given.contains(word)) {
        return None;
    }
    let context = &mut Context::default();
    let limits = context.runtime_limits_mut();
    limits.set_loop_iteration_limit(1_000);
    limits.set_recursion_limit(64);
    let run = |context: &mut Context| -> JsResult<Option<String>> {
        context.eval(Source::from_bytes("globalThis.$pmrun = (site, value) => value;"))?;
        let exports = if is_module {
            default_of(given, context)?
        } else {
            context.eval(Source::from_bytes(&format!(
                "(function () {{ const module = {{ exports: {{}} }}; ({given}).call(module.exports, module.exports, \
                 undefined, module, '/p/a.js', '/p'); return module.exports; }})()"
            )))?
        };
        context.register_global_property(js_string!("exported"), exports, Attribute::all())?;
        let json = context.eval(Source::from_bytes("JSON.stringify(exported)"))?;
        Ok(json.as_string().map(|text| text.to_std_string_lossy()))
    };
    match run(context) {
        // A function became text in it.
        Ok(Some(json)) if json.contains("$pmrun") || json.contains("=>") || json.contains("function") => None,
        Ok(json) => Some(Ok(json.unwrap_or_default())),
        Err(error) if error.to_string().contains("limit") => None,
        Err(_) => Some(Err(())),
    }
}
