//! What is committed is what is made, and what it says is what the decoder does.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::diag::{Code, Severity};
use crate::schema::options::{find, rows};
use crate::schema::testing::{Table, run_on};

fn validator() -> jsonschema::Validator {
    jsonschema::draft7::new(&json::schema()).expect("a schema")
}

fn machine() -> Table {
    let mut machine = Table::usual();
    machine.folders.extend(["/srv/api", "/srv/site/api"].map(PathBuf::from));
    machine
}

/// Whether the decoder takes a document: an unknown option counts as a refusal. None where one of the rules decides
/// that a schema cannot say.
fn decoder_accepts(document: &Json) -> Option<bool> {
    let run = run_on(document, None, &machine());
    let mut accepted = true;
    for diagnostic in &run.diagnostics {
        match (diagnostic.code, diagnostic.severity) {
            // Nothing is looked for in a folder that is not there, nor missed.
            (Code::NotFound, _) if diagnostic.message.starts_with("`cwd`") => return None,
            // Of two names of one option only one is looked at.
            (Code::DuplicateOption, _) if diagnostic.message.contains("are the same option") => return None,
            (Code::Value, _) if diagnostic.message.contains("which is no whole number") => return None,
            // Of `"1K"` no pattern says how much that is.
            (Code::Value, _) if diagnostic.message.contains("is less than any program needs") => return None,
            // Draft 07 has a format for the expressions of ECMA 262, which are not ours, and no pattern describes either.
            (Code::Value, _) if diagnostic.message.contains("is no regular expression") => return None,
            (Code::Shape | Code::Value | Code::Missing, Severity::Error) | (Code::UnknownOption, _) => accepted = false,
            _ => {}
        }
    }
    Some(accepted)
}

#[track_caller]
fn agree(validator: &jsonschema::Validator, document: &Json) {
    let Some(decoder) = decoder_accepts(document) else { return };
    let schema = validator.is_valid(document);
    assert_eq!(
        schema,
        decoder,
        "schema and decoder of {document}\ndecoder: {:?}\nschema: {:?}",
        run_on(document, None, &machine()).lines(),
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect::<Vec<_>>()
    );
}

fn in_app(key: &str, value: &Json) -> Json {
    let mut app = json!({ "name": "api", "script": "x.sh" });
    app[key] = value.clone();
    json!({ "apps": [app] })
}

fn key_of(row: &Row) -> String {
    row.name.replace("<name>", "production")
}

#[test]
fn every_word_that_is_offered_is_explained() {
    let schema = super::json::schema();
    let mut found = 0;
    let mut look = vec![&schema];
    while let Some(value) = look.pop() {
        let words = value["enum"].as_array().filter(|words| words.iter().any(Json::is_string));
        if let Some(words) = words {
            let docs = value["enumDescriptions"].as_array().unwrap_or_else(|| panic!("{value}"));
            assert_eq!(docs.len(), words.len(), "{value}");
            assert!(docs.iter().all(|doc| doc.as_str().is_some_and(|doc| !doc.is_empty())), "{value}");
            found += 1;
        }
        match value {
            Json::Array(items) => look.extend(items),
            Json::Object(entries) => look.extend(entries.values()),
            _ => {}
        }
    }
    assert!(found >= 3, "{found}");
    for (name, option) in schema["definitions"]["app"]["properties"].as_object().unwrap() {
        assert!(option["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}");
        assert!(option["errorMessage"].as_str().is_some_and(|text| text.contains(name.as_str())), "{name}");
    }
    let kill = schema["definitions"]["app"]["properties"]["kill_timeout"]["description"].as_str().unwrap();
    assert!(kill.ends_with("killed. A number of milliseconds, or a duration such as \"3s\"."), "{kill}");
}

#[test]
fn the_committed_files_are_what_the_table_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for (name, fresh) in [("ecosystem.schema.json", json_schema()), ("ecosystem.d.ts", typescript())] {
        let path: PathBuf = folder.join(name);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == fresh, "schema/{name} is not what the option table makes: BLESS=1 rewrites it");
    }
}

#[test]
fn it_is_a_draft_07_schema() {
    assert!(jsonschema::draft7::meta::is_valid(&json::schema()));
    for definition in ["ecosystem", "app", "bareApp"] {
        assert_eq!(json::schema()["definitions"][definition]["additionalProperties"], json!(false), "{definition}");
    }
}

#[test]
fn every_option_says_what_it_is() {
    let schema = json::schema();
    for row in rows().filter(|row| !row.is_overlay()) {
        for at in ["app", "bareApp"] {
            for spelling in row.names().map(str::to_owned).chain(row.other_spellings()) {
                assert!(schema["definitions"][at]["properties"][&spelling].is_object(), "{at}: {spelling}");
            }
        }
        let has_example = matches!(row.status, Status::Meaningless(_)) || !row.examples.is_empty();
        assert!(has_example, "`{}` has no example", row.name);
    }
    let (text, reference) = (typescript(), markdown());
    for row in rows() {
        assert!(text.contains(row.doc.trim_end_matches('.')) && reference.contains(row.doc), "{}", row.name);
    }
}

#[test]
fn examples_and_defaults_are_right() {
    let validator = validator();
    for row in rows() {
        let key = key_of(row);
        for example in row.examples {
            let value: Json = serde_json::from_str(example).unwrap_or_else(|error| panic!("{key}: {example}: {error}"));
            let document = in_app(&key, &value);
            assert_eq!(decoder_accepts(&document), Some(true), "{key}: {example}");
            assert!(validator.is_valid(&document), "{key}: {example}");
        }
        if let Some(default) = types::default(row) {
            let spec = |document: &Json| run_on(document, None, &machine()).resolved.apps.remove(0);
            let with = spec(&in_app(&key, &default));
            assert_eq!(with, spec(&in_app("name", &json!("api"))), "writing the default of `{key}` changes nothing");
        }
    }
}

#[test]
fn real_values_validate() {
    let validator = validator();
    let values = [
        ("instances", json!("max")),
        ("instances", json!("4")),
        ("instances", json!(-1)),
        ("max_memory_restart", json!("1G")),
        ("max_memory_restart", json!("300MB")),
        ("max_memory_restart", json!(209_715_200)),
        ("watch", json!(["server", "client"])),
        ("watch", json!(true)),
        ("ignore_watch", json!("node_modules")),
        ("restart_delay", json!("3000")),
        ("max_restarts", json!("10")),
        ("kill_timeout", json!("1.5s")),
        ("port", json!("3000")),
        ("args", json!(["--port", 3000, true])),
        ("env", json!({ "PORT": 3000, "DEBUG": true, "NONE": null, "LIST": [1], "OBJECT": { "a": 1 } })),
        ("env_production", json!({ "NODE_ENV": "production" })),
        ("env_file", json!([".env"])),
        ("exec_mode", json!("cluster_mode")),
        ("stop_signal", json!("term")),
        ("stop_signal", json!(15)),
        ("stop_exit_codes", json!(["0", 3])),
        ("out", json!("a.log")),
        ("outFile", json!("a.log")),
        ("maxMemoryRestart", json!("1G")),
        ("log_file", json!(false)),
        ("filter_env", json!(false)),
        ("vizion", json!(false)),
        ("uid", json!("1000")),
        ("cwd", json!(null)),
    ];
    for (key, value) in values {
        let document = in_app(key, &value);
        assert!(validator.is_valid(&document), "{key}: {value}");
        assert_eq!(decoder_accepts(&document), Some(true), "{key}: {value}");
    }
}

#[test]
fn both_know_every_shape() {
    let validator = validator();
    let app = json!({ "script": "x.sh" });
    let shapes = [
        (json!({ "apps": [app] }), true),
        (json!({ "apps": app }), true),
        (
            json!({ "apps": [app], "name": "shop", "deploy": { "production": { "user": "me" } }, "$schema": "./x" }),
            true,
        ),
        (json!([app]), true),
        (app.clone(), true),
        (json!({ "cmd": "x.sh", "deploy": 5, "$schema": 7 }), true),
        (json!({ "name": "site", "dependencies": {}, "pm2": { "apps": [app] } }), true),
        (json!({ "name": "site", "pm2": [app] }), true),
        (json!({ "pm2": app, "script": 5 }), true),
        (json!({ "apps": [app], "static": [] }), true),
        (json!({ "static": [{ "path": "public", "port": 8080 }] }), true),
        (json!({ "static": [] }), false),
        (json!({ "static": 5 }), false),
        (json!({ "apps": [app], "pm2": [app] }), false),
        (json!({ "apps": [app], "script": "x.sh" }), false),
        (json!({ "apps": [app], "name": " " }), false),
        (json!({ "apps": { "api": app } }), false),
        (json!({ "apps": null }), false),
        (json!({ "apps": [[app]] }), false),
        (json!({ "apps": [{ "script": "x.sh", "$schema": "./x" }] }), false),
        (json!({ "apps": [{ "name": "api" }] }), false),
        (json!({ "apps": [{ "script": null }] }), false),
        (json!({ "pm2": { "pm2": [app] } }), false),
        (json!({ "pm2": null }), false),
        (json!({ "app": [app] }), false),
        (json!({}), false),
        (json!([]), true),
        (json!("x"), false),
        (json!(null), false),
    ];
    for (document, want) in shapes {
        assert_eq!(decoder_accepts(&document), Some(want), "the decoder: {document}");
        assert_eq!(validator.is_valid(&document), want, "the schema: {document}");
    }
}

/// What people write, what they nearly write, and what they should not: numbers in quotes stay within every range.
fn value() -> impl Strategy<Value = Json> {
    let number = prop_oneof![
        Just(json!(0)),
        Just(json!(-1)),
        Just(json!(1.5)),
        Just(json!(255)),
        Just(json!(256)),
        Just(json!(513)),
        Just(json!(65_536)),
        Just(json!(1e21)),
        Just(json!(-512)),
        Just(json!(-513)),
        Just(json!(4_294_967_294_u32)),
        Just(json!(4_294_967_295_u32)),
        (-3_i64..40_000_000_000).prop_map(Json::from),
    ];
    let words = [
        "", " ", "x.sh", "max", "git", "fork", "cluster", "json", "raw", "SIGTERM", "sigint", "hup", "SIGNOPE", "7",
        " 12 ", "200", "-1", "50%", "3s", "1.5 h", "3 d", "1G", "1.5gb", "1T", "5 b", ".5m", "1.2.3M", "true", "a b",
        "a=b", "a\u{0}b", "a\nb", "~/x", "node@18", "\t", " a", "0", "me", "é", "me ", "-me", "1.0 ms", ".0b", "1.5ms",
        "@daily", "@", "@Daily",
    ];
    let times = ["0 3 * * *", " * * * * * ", "*/5 * * *", "* * * * * * * *", "* * * * !", "0 0 * * mon-fri"];
    let leaf = prop_oneof![
        1 => Just(Json::Null),
        2 => any::<bool>().prop_map(Json::from),
        3 => number,
        6 => proptest::sample::select(words.to_vec()).prop_map(Json::from),
        1 => proptest::sample::select(times.to_vec()).prop_map(Json::from),
        1 => "[ -~é🦀]{1,8}".prop_filter("not a number", |text| text.parse::<f64>().is_err()).prop_map(Json::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::vec(("[A-Z]{1,3}|a=b||a", inner), 0..3)
                .prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

fn app() -> impl Strategy<Value = Json> {
    let spellings: Vec<String> =
        rows().flat_map(|row| std::iter::once(key_of(row)).chain(row.other_spellings())).collect();
    let unknown = prop_oneof![Just("instnaces".to_owned()), Just("env_".to_owned()), "[a-z_]{1,9}"];
    let known = (proptest::sample::select(spellings), value());
    let of_examples = proptest::sample::select(rows().filter(|row| !row.examples.is_empty()).collect::<Vec<_>>())
        .prop_flat_map(|row| (Just(key_of(row)), proptest::sample::select(row.examples)))
        .prop_map(|(key, text)| (key, serde_json::from_str(text).expect("an example")));
    let entries = (
        proptest::collection::vec(of_examples, 0..6),
        proptest::collection::vec(known, 0..3),
        proptest::option::weighted(0.1, (unknown, value())),
        prop_oneof![9 => Just(true), 1 => Just(false)],
    );
    entries.prop_map(|(examples, known, unknown, script)| {
        let mut app = serde_json::Map::new();
        if script {
            app.insert("script".to_owned(), "x.sh".into());
        }
        // A null at an unknown key is passed over.
        let unknown = unknown.filter(|(key, value)| find(key).is_some() || !value.is_null());
        app.extend(examples.into_iter().chain(known).chain(unknown));
        Json::Object(app)
    })
}

fn document() -> impl Strategy<Value = Json> {
    let extra = prop_oneof![Just("name"), Just("deploy"), Just("$schema"), Just("pm2"), Just("static"), Just("nmae")];
    let extra = proptest::option::weighted(0.3, (extra, value()));
    (proptest::collection::vec(app(), 0..3), 0_u8..8, extra).prop_map(|(apps, shape, extra)| {
        let first = apps.first().cloned().unwrap_or(json!({}));
        let mut document = match shape {
            0 => return json!(apps),
            1 => first,
            2 => json!({ "apps": first }),
            3 => json!({ "pm2": { "apps": apps } }),
            4 => json!({ "version": "1.0.0", "pm2": apps }),
            _ => json!({ "apps": apps }),
        };
        if let (Some((key, value)), Some(object)) = (extra, document.as_object_mut()) {
            let passed_over = shape == 1 && value.is_null();
            // The whole package would be another one.
            let replaces = key == "pm2" && object.contains_key("pm2");
            if !passed_over && !replaces {
                object.insert(key.to_owned(), value);
            }
        }
        document
    })
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4_000)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn schema_and_decoder_agree(document in document()) {
        thread_local!(static VALIDATOR: jsonschema::Validator = validator());
        VALIDATOR.with(|validator| agree(validator, &document));
    }

    #[test]
    fn schema_and_decoder_agree_about_each_value(row in proptest::sample::select(rows().collect::<Vec<_>>()), value in value()) {
        thread_local!(static VALIDATOR: jsonschema::Validator = validator());
        VALIDATOR.with(|validator| agree(validator, &in_app(&key_of(row), &value)));
    }
}

#[test]
fn the_reference_has_each_part_and_what_it_is_when_it_is_not_written() {
    use crate::base::format_millis;
    use crate::spec::{HealthCheck, Probe};

    let text = super::markdown::markdown();
    let usual = HealthCheck::new(Probe::Tcp(String::new()));
    for (name, default) in [
        ("interval", format_millis(usual.interval_ms)),
        ("timeout", format_millis(usual.timeout_ms)),
        ("startup", format_millis(usual.startup_ms)),
        ("unhealthy_threshold", usual.unhealthy_threshold.to_string()),
        ("healthy_threshold", usual.healthy_threshold.to_string()),
        ("action", usual.action.word().to_owned()),
        ("condition", crate::spec::Need::default().condition.word().to_owned()),
        ("on_exit", crate::spec::Need::default().on_exit.word().to_owned()),
    ] {
        let line = text.lines().find(|line| line.starts_with(&format!("  * `{name}`: ")));
        let line = line.unwrap_or_else(|| panic!("{name} is not there"));
        assert!(line.ends_with(&format!(" Default: {default}.")), "{line}, {default}");
    }
}
