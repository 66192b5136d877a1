//! Options that are understood, carried along, and honoured by a later version.

use super::{Row, Status, not_empty};
use crate::schema::value::{PathOrFlag, Value};
use crate::spec::Field;

pub(super) const ROWS: &[Row] = &[
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
