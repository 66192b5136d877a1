//! Options that are understood, carried along, and honoured by a later version.

use super::{Row, Status, not_empty};
use crate::schema::value::{PathOrFlag, Value};
use crate::spec::Field;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "cron_restart",
        aliases: &["cron"],
        value: Value::Cron(|app, pattern| app.spec.cron_restart = pattern),
        default: "",
        doc: "Restarts the app at the times of a cron pattern.",
        examples: &[r#""0 3 * * *""#],
        status: Status::Later("nothing is restarted by schedule"),
        field: Some(Field::CronRestart),
    },
    Row {
        name: "max_memory_restart",
        aliases: &[],
        value: Value::Bytes(|app, bytes| app.spec.max_memory_restart = Some(bytes).filter(|bytes| *bytes > 0)),
        default: "",
        doc: "Restarts an instance that uses more memory than this; 0 is no limit.",
        examples: &[r#""300M""#, r#""1G""#],
        status: Status::Later("memory is not watched"),
        field: Some(Field::MaxMemoryRestart),
    },
    Row {
        name: "uid",
        aliases: &["user"],
        value: Value::Account(|app, user| app.spec.uid = user),
        default: "",
        doc: "The user to run as.",
        examples: &[r#""www-data""#, "1000"],
        status: Status::Later("the app runs as the user who started pmrun"),
        field: Some(Field::Uid),
    },
    Row {
        name: "gid",
        aliases: &["group"],
        value: Value::Account(|app, group| app.spec.gid = group),
        default: "",
        doc: "The group to run as.",
        examples: &[r#""www-data""#],
        status: Status::Later("the app runs with the group of the user who started pmrun"),
        field: Some(Field::Gid),
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
