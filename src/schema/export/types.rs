//! What each kind of value is in JSON Schema. As the decoder has it, `null` is unset at every option, and `false` at
//! every option that is neither switched nor required.

use serde_json::{Map, Value as Json, json};

use crate::base::Signal;
use crate::schema::decode::{MEMORY_MIN, MILLIS_MAX, PIDS_MAX};
use crate::schema::options::Row;
use crate::schema::parts::{HEALTH_CHECK, NEED, PROBES, Part, PartKind};
use crate::schema::value::{ACCOUNT_MAX, INSTANCES_MAX, Value};
use crate::spec::{Condition, LIMITS, WatchOption};

/// No text may hold a NUL: it could not be given to a process.
const TEXT: &str = r"^[^\u0000]*$";
/// A name or a path: white space alone is neither.
const NAMED: &str = r"^(\s*[^\s\u0000][^\u0000]*)?$";
const NAMED_NOT_EMPTY: &str = r"^\s*[^\s\u0000][^\u0000]*$";
const SOCKET: &str = r"^\s*([A-Za-z0-9._-]+=)?((tcp|udp):\S*[0-9]|unix:/[^\u0000]*)\s*$";
const SOCKET_OR_NOTHING: &str = r"^(\s*([A-Za-z0-9._-]+=)?((tcp|udp):\S*[0-9]|unix:/[^\u0000]*)\s*)?$";
const DIGITS: &str = r"^\s*[0-9]+\s*$";
const DIGITS_OR_NOTHING: &str = r"^(\s*[0-9]+\s*)?$";
const SOME: &str = r"^\s*0*[1-9][0-9]*\s*$";
const SOME_OR_NOTHING: &str = r"^(\s*0*[1-9][0-9]*\s*)?$";
const NICE: &str = r"^(\s*(-0*(1?[0-9]|20)|0*1?[0-9])\s*)?$";
const COUNT: &str = r"^(max|\s*-?[0-9]+\s*|\s*0*([1-9][0-9]{0,2}|1000)%\s*)?$";
/// There is no half of a millisecond, nor of a byte.
const MILLIS: &str = r"^(\s*(([0-9]+\.?0*|\.0+)\s*(ms)?|([0-9]+\.?[0-9]*|\.[0-9]+)\s*(s|m|min|h))\s*)?$";
const MILLIS_NOT_EMPTY: &str = r"^\s*(([0-9]+\.?0*|\.0+)\s*(ms)?|([0-9]+\.?[0-9]*|\.[0-9]+)\s*(s|m|min|h))\s*$";
const BYTES: &str = r"^(\s*(([0-9]+\.?0*|\.0+)\s*[bB]?|([0-9]+\.?[0-9]*|\.[0-9]+)\s*[kKmMgG]([iI]?[bB])?)\s*)?$";
/// `""` and 0 switch it off.
const CRON: &str = r"^(0?|\s*@(yearly|annually|monthly|weekly|daily|hourly)\s*|\s*[A-Za-z0-9*/,?#+-]+(\s+[A-Za-z0-9*/,?#+-]+){4,5}\s*)$";
/// Letters beyond Latin, Greek, Cyrillic and the rest of this range are too rare in accounts to be listed.
const LIMIT: &str =
    r"^(unlimited|\s*(([0-9]+\.?0*|\.0+)\s*[bB]?|([0-9]+\.?[0-9]*|\.[0-9]+)\s*[kKmMgG]([iI]?[bB])?)\s*)$";
const SIZE: &str = r"^\s*(([0-9]+\.?0*|\.0+)\s*[bB]?|([0-9]+\.?[0-9]*|\.[0-9]+)\s*[kKmMgG]([iI]?[bB])?)\s*$";
const PROCESSORS: &str = r"^\s*([0-9]{1,3}(\.[0-9]+)?|[0-9]{1,5}(\.[0-9]+)?\s*%)\s*$";
const PIDS: &str = r"^\s*[0-9]{1,7}\s*$";
const UMASK: &str = "^(0?[0-7]{3}|[0-7]{1,2})?$";
const ACCOUNT: &str =
    r"^(\s*[0-9]+\s*|[A-Za-z_\u00c0-\u1fff]([A-Za-z0-9_.$@\\+ \u00c0-\u1fff-]*[A-Za-z0-9_.$@\\+\u00c0-\u1fff-])?)?$";
/// Of a variable.
const NAME: &str = r"^[^=\u0000]+$";
const OPTIONAL_NAME: &str = r"^(\s*[^=\s\u0000][^=\u0000]*)?$";
/// At least one character that shows, and none that steers a terminal.
pub(super) const TITLE: &str =
    r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";

const UNSET: &str = "As if it were not there.";

/// The whole numbers that a double holds exactly.
const SAFE: i64 = 9_007_199_254_740_991;

/// The keywords that say which values a row takes.
pub(super) fn json_type(row: &Row) -> Map<String, Json> {
    let named_items = || json!({ "type": "string", "pattern": NAMED_NOT_EMPTY });
    let schema = match row.value {
        Value::Text(_) => json!({ "type": ["string", "null"], "pattern": text_pattern(row.name) }),
        Value::Flag(_) => json!({ "type": ["boolean", "null"] }),
        Value::Whole { min, max, .. } => {
            // Bounds are for numbers; of the texts these few can be told.
            let pattern = match (min, max) {
                (-20, 19) => NICE,
                (1, _) => SOME_OR_NOTHING,
                _ => DIGITS_OR_NOTHING,
            };
            json!({ "type": ["integer", "string", "null"], "minimum": min, "maximum": max, "pattern": pattern })
        }
        Value::Millis(_) => {
            json!({ "type": ["integer", "string", "null"], "minimum": 0, "maximum": MILLIS_MAX, "pattern": MILLIS })
        }
        Value::Bytes(_) => {
            json!({ "type": ["integer", "string", "null"], "minimum": 0, "maximum": SAFE, "pattern": BYTES })
        }
        Value::Words(_) => json!({
            "type": ["array", "string", "null"],
            "pattern": TEXT,
            "items": { "type": ["string", "number", "boolean"], "pattern": TEXT },
        }),
        Value::Names(_) => json!({ "type": ["array", "string", "null"], "pattern": NAMED, "items": named_items() }),
        Value::Sockets(_) => json!({
            "type": ["array", "string", "null"],
            "pattern": SOCKET_OR_NOTHING,
            "items": { "type": "string", "pattern": SOCKET },
            "maxItems": 64,
        }),
        Value::Needs(_) => json!({
            "type": ["array", "string", "object", "null"],
            "pattern": NAMED,
            "items": named_items(),
            "propertyNames": { "pattern": NAMED_NOT_EMPTY },
            "additionalProperties": { "anyOf": [
                { "enum": Condition::WORDS.map(|(word, _)| word), "enumDescriptions": Condition::WORDS.map(|(_, doc)| doc) },
                object(NEED),
            ] },
        }),
        Value::HealthCheck(_) => {
            let mut schema = object(HEALTH_CHECK);
            schema["type"] = json!(["object", "null"]);
            // `null` has no keys that could be asked for.
            schema["if"] = json!({ "type": "object" });
            schema["then"] = json!({ "oneOf": PROBES.map(|probe| json!({ "required": [probe] })) });
            schema
        }
        Value::Filter(_) => json!({
            "type": ["array", "string", "boolean", "null"],
            "not": { "const": true },
            "pattern": NAMED,
            "items": named_items(),
        }),
        Value::Cron(_) => {
            json!({ "type": ["string", "integer", "null"], "minimum": 0, "maximum": 0, "pattern": CRON })
        }
        Value::Account(_) => {
            json!({ "type": ["string", "integer", "null"], "minimum": 0, "maximum": ACCOUNT_MAX, "pattern": ACCOUNT })
        }
        Value::Umask(_) => json!({ "type": ["string", "null"], "pattern": UMASK }),
        Value::Limits(_) => json!({
            "type": ["object", "null"],
            "propertyNames": { "pattern": format!("^({})$", LIMITS.join("|")) },
            "additionalProperties": {
                "type": ["integer", "string"],
                "minimum": 0,
                "maximum": SAFE,
                "pattern": LIMIT,
            },
        }),
        Value::Uses(_) => uses(),
        Value::ExitCodes(_) => json!({
            "type": ["integer", "string", "array", "null"],
            "minimum": 0,
            "maximum": 255,
            "pattern": DIGITS_OR_NOTHING,
            "items": { "type": ["integer", "string"], "minimum": 0, "maximum": 255, "pattern": DIGITS },
        }),
        Value::Count(_) => json!({
            "type": ["integer", "string", "null"],
            "minimum": -i64::from(INSTANCES_MAX),
            "maximum": INSTANCES_MAX,
            "pattern": COUNT,
        }),
        Value::Mode(_) | Value::LogType(_) | Value::Overlap(_) | Value::Distribution(_) => choices(row),
        Value::Signal(_) => signal(),
        Value::Variables(_) | Value::Overlay(_) => json!({
            "type": ["object", "null"],
            "propertyNames": { "pattern": NAME },
            "additionalProperties": { "pattern": TEXT },
        }),
        Value::PathOrFlag(_) => json!({ "type": ["string", "boolean", "null"], "pattern": NAMED }),
        Value::Watch(_) => {
            json!({ "type": ["boolean", "array", "string", "null"], "pattern": NAMED, "items": named_items() })
        }
        // A regular expression is an empty object once a config program's result is data.
        Value::Patterns(_) => json!({
            "type": ["array", "string", "null"],
            "pattern": TEXT,
            "items": { "type": ["string", "object"], "pattern": TEXT, "maxProperties": 0 },
        }),
        Value::Code(_) => json!({
            "type": ["array", "string", "boolean", "null"],
            "pattern": NAMED_NOT_EMPTY,
            "items": named_items(),
        }),
        Value::WatchOptions(_) => watch_options(),
        Value::Ignored(shapes) | Value::Off(shapes, _) => {
            let names = shapes.iter().map(|shape| shape.json_name()).chain(["null"]).collect::<Vec<_>>();
            json!({ "type": names })
        }
    };
    match schema {
        Json::Object(mut keywords) => {
            if row.false_is_unset() {
                admit_false(&mut keywords);
            }
            keywords
        }
        _ => Map::new(),
    }
}

fn admit_false(keywords: &mut Map<String, Json>) {
    let list = |keywords: &mut Map<String, Json>, keyword: &str, item: Json| match keywords.get_mut(keyword) {
        Some(Json::Array(items)) => {
            items.push(item);
            true
        }
        _ => false,
    };
    if list(keywords, "type", "boolean".into()) {
        keywords.insert("not".to_owned(), json!({ "const": true }));
    }
    if list(keywords, "enum", false.into()) {
        list(keywords, "enumDescriptions", UNSET.into());
    }
    list(keywords, "anyOf", json!({ "const": false }));
}

/// An object of parts. Names that nobody knows are worth a warning, as those of options are.
fn object(parts: &[Part]) -> Json {
    let properties = parts.iter().map(|part| {
        let mut schema = match part.kind {
            PartKind::Millis => json!({
                "type": ["integer", "string"],
                "minimum": 0,
                "maximum": MILLIS_MAX,
                "pattern": MILLIS_NOT_EMPTY,
            }),
            PartKind::Count { min, max } => {
                let pattern = if min == 1 { SOME } else { DIGITS };
                json!({ "type": ["integer", "string"], "minimum": min, "maximum": max, "pattern": pattern })
            }
            PartKind::Word(words) => {
                let (values, docs): (Vec<&str>, Vec<&str>) = words.iter().copied().unzip();
                json!({ "enum": values, "enumDescriptions": docs })
            }
            PartKind::Text { pattern, .. } => json!({ "type": "string", "pattern": pattern }),
            PartKind::Command => json!({
                "type": ["string", "array"],
                "pattern": NAMED_NOT_EMPTY,
                "minItems": 1,
                "items": [{ "type": "string", "pattern": NAMED_NOT_EMPTY }],
                "additionalItems": { "type": "string", "pattern": TEXT },
            }),
        };
        schema["description"] = part.doc.into();
        (part.name.to_owned(), schema)
    });
    json!({
        "type": "object",
        "properties": properties.collect::<Map<_, _>>(),
        "additionalProperties": false,
    })
}

fn uses() -> Json {
    let part = |ty: &str, above: u64, end: i64, pattern: &str, doc: &str| {
        let ty = [ty, "string", "null"];
        json!({ "description": doc, "type": ty, "exclusiveMinimum": above, "exclusiveMaximum": end, "pattern": pattern })
    };
    json!({
        "type": ["object", "null"],
        "properties": {
            "memory": part("integer", MEMORY_MIN - 1, SAFE + 1, SIZE, "A number of bytes, or a size such as \"512M\"; 4M at least."),
            "cpu": part("number", 0, 1_000, PROCESSORS, "How many processors, or a share of one such as \"150%\"."),
            "pids": part("integer", 0, PIDS_MAX + 1, PIDS, "How many processes and threads."),
        },
        "additionalProperties": false,
    })
}

/// Names that nobody knows are worth a warning, as those of options are.
fn watch_options() -> Json {
    let number = json!({ "type": ["integer", "null"], "minimum": 0, "maximum": 86_400_000 });
    let part = json!({ "type": "integer", "minimum": 0, "maximum": 86_400_000 });
    let properties = WatchOption::ALL.into_iter().map(|(name, option, doc)| {
        let mut schema = match option {
            WatchOption::Flag => json!({ "type": ["boolean", "null"] }),
            WatchOption::Number => number.clone(),
            WatchOption::Patterns => json!({
                "type": ["string", "object", "array", "null"],
                "maxProperties": 0,
                "items": { "type": ["string", "object"], "maxProperties": 0 },
            }),
            WatchOption::Stability => json!({
                "type": ["boolean", "object", "null"],
                "properties": { "stabilityThreshold": part, "pollInterval": part },
                "additionalProperties": false,
            }),
            WatchOption::FlagOrNumber => {
                json!({ "type": ["boolean", "integer", "null"], "minimum": 0, "maximum": 86_400_000 })
            }
        };
        schema["description"] = doc.into();
        (name.to_owned(), schema)
    });
    json!({
        "type": ["object", "null"],
        "properties": properties.collect::<Map<_, _>>(),
        "additionalProperties": false,
    })
}

/// The default as a value, where it is one: the table also says defaults in words.
pub(super) fn default(row: &Row) -> Option<Json> {
    let word = !row.default.is_empty() && row.default.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match row.value {
        _ if !word => None,
        Value::Text(_)
        | Value::Mode(_)
        | Value::LogType(_)
        | Value::Overlap(_)
        | Value::Distribution(_)
        | Value::Signal(_) => Some(row.default.into()),
        _ => serde_json::from_str(row.default).ok(),
    }
}

/// What resolving asks of some texts.
fn text_pattern(option: &str) -> &'static str {
    match option {
        "name" => TITLE,
        "script" => NAMED_NOT_EMPTY,
        "instance_var" | "increment_var" => OPTIONAL_NAME,
        // No versions of Node are installed.
        "interpreter" => r"^(?!node@)(\s*[^\s\u0000][^\u0000]*)?$",
        _ => NAMED,
    }
}

fn choices(row: &Row) -> Json {
    let (values, docs): (Vec<&str>, Vec<&str>) = row.value.choices().iter().copied().unzip();
    let values: Vec<Json> = values.into_iter().map(Json::from).chain([Json::Null]).collect();
    let docs: Vec<&str> = docs.into_iter().chain([UNSET]).collect();
    json!({ "enum": values, "enumDescriptions": docs })
}

/// The names as they are offered, then every way to write them.
fn signal() -> Json {
    let names: Vec<&str> = Signal::names().collect();
    let numbers: Vec<i32> = names.iter().filter_map(|name| name.parse::<Signal>().ok()).map(Signal::number).collect();
    let docs: Vec<&str> = names.iter().map(|name| signal_doc(name)).collect();
    let spelled: Vec<String> = names.iter().map(|name| any_case(&name[3..])).collect();
    let digits: Vec<String> = numbers.iter().map(i32::to_string).collect();
    let pattern = format!("^(({})?({})|{})?$", any_case("SIG"), spelled.join("|"), digits.join("|"));
    json!({ "anyOf": [
        { "enum": names, "enumDescriptions": docs },
        { "type": "string", "pattern": pattern },
        { "enum": numbers },
        { "type": "null" },
    ] })
}

/// What programs take signals for.
fn signal_doc(name: &str) -> &'static str {
    match name {
        "SIGHUP" => "The terminal is gone. Many servers read their config again.",
        "SIGINT" => "Stop, as Ctrl-C says it.",
        "SIGQUIT" => "Stop, and leave a core dump. nginx and others finish their requests first.",
        "SIGILL" => "An illegal instruction.",
        "SIGABRT" => "Abort, and leave a core dump.",
        "SIGBUS" => "A bus error.",
        "SIGFPE" => "An arithmetic error.",
        "SIGKILL" => "Ends at once: the app cannot clean up.",
        "SIGUSR1" => "The app's own. Node starts its debugger.",
        "SIGSEGV" => "A memory error.",
        "SIGUSR2" => "The app's own.",
        "SIGPIPE" => "Nobody reads what is written.",
        "SIGALRM" => "A timer has run out.",
        "SIGTERM" => "Stop, as systemd, Docker and Kubernetes say it.",
        "SIGXCPU" => "The limit of CPU time is reached.",
        "SIGWINCH" => "The terminal's size has changed. Apache finishes its requests, then stops.",
        _ => "",
    }
}

fn any_case(word: &str) -> String {
    word.chars()
        .map(|c| match c {
            'A'..='Z' => format!("[{c}{}]", c.to_ascii_lowercase()),
            other => other.to_string(),
        })
        .collect()
}
