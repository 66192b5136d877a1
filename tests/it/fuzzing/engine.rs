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
