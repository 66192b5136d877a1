//! Options that are understood, carried along, and honoured by a later version.

use super::{Row, Status, not_empty};
use crate::schema::value::{PathOrFlag, Value};
use crate::spec::Field;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "watch",
        aliases: &[],
        value: Value::Watch(|app, on, paths| (app.spec.watch.enabled, app.spec.watch.paths) = (on, paths)),
        default: "false",
        doc: "Restarts the app when its files change: `true` for its folder, or paths.",
        examples: &["true", r#"["src", "config"]"#],
        status: Status::Later("files are not watched"),
        field: Some(Field::Watch),
    },
    Row {
        name: "ignore_watch",
        aliases: &[],
        value: Value::Patterns(|app, patterns| app.spec.watch.ignore = patterns),
        default: "",
        doc: "What `watch` does not look at.",
        examples: &[r#"["node_modules", "logs"]"#],
        status: Status::Later("files are not watched"),
        field: Some(Field::IgnoreWatch),
    },
    Row {
        name: "watch_delay",
        aliases: &[],
        value: Value::Millis(|app, ms| app.spec.watch.delay_ms = ms),
        default: "0",
        doc: "How long files must be quiet before `watch` restarts.",
        examples: &["1000"],
        status: Status::Later("files are not watched"),
        field: Some(Field::WatchDelay),
    },
    Row {
        name: "watch_options",
        aliases: &[],
        value: Value::Object(|app, options| app.spec.watch.options = Some(options)),
        default: "",
        doc: "Options of the file watcher.",
        examples: &[r#"{"usePolling": true}"#],
        status: Status::Later("files are not watched"),
        field: Some(Field::WatchOptions),
    },
    Row {
        name: "log_file",
        aliases: &["log"],
        value: Value::PathOrFlag(|app, target| {
            app.log_file = match target {
                PathOrFlag::Flag(false) => None,
                PathOrFlag::Flag(true) => Some(String::new()),
                PathOrFlag::Path(path) => not_empty(path),
            }
        }),
        default: "",
        doc: "One further file for both streams.",
        examples: &[r#""./logs/all.log""#, "true"],
        status: Status::Later("no combined file is written, only `out_file` and `error_file`"),
        field: Some(Field::LogFile),
    },
    Row {
        name: "log_date_format",
        aliases: &[],
        value: Value::Text(|app, text| app.spec.logs.date_format = not_empty(text)),
        default: "",
        doc: "Puts the time before each line.",
        examples: &[r#""YYYY-MM-DD HH:mm:ss""#],
        status: Status::Later("lines are written as the app writes them"),
        field: Some(Field::LogDateFormat),
    },
    Row {
        name: "time",
        aliases: &[],
        value: Value::Flag(|app, on| app.time = on),
        default: "false",
        doc: "Puts the time before each line, as `YYYY-MM-DDTHH:mm:ss`.",
        examples: &["true"],
        status: Status::Later("lines are written as the app writes them"),
        field: None,
    },
    Row {
        name: "log_type",
        aliases: &[],
        value: Value::LogType(|app, json| app.spec.logs.json = json),
        default: "raw",
        doc: "`json` makes each line an object.",
        examples: &[r#""json""#],
        status: Status::Later("lines are written as the app writes them"),
        field: Some(Field::LogType),
    },
];
