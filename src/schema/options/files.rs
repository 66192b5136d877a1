//! Where output and pids go.

use super::{Row, Status, not_empty};
use crate::schema::value::{PathOrFlag, Value};
use crate::spec::Field;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "out_file",
        aliases: &["out_log", "output", "out"],
        value: Value::Text(|app, text| app.out_file = not_empty(text)),
        default: "~/.pmrun/logs/<name>-out.log",
        doc: "Where standard output goes, against `cwd`; `/dev/null` throws it away.",
        examples: &[r#""./logs/api.log""#, r#""/dev/null""#],
        status: Status::Honoured,
        field: Some(Field::OutFile),
    },
    Row {
        name: "error_file",
        aliases: &["err_log", "err_file", "err", "error"],
        value: Value::Text(|app, text| app.error_file = not_empty(text)),
        default: "~/.pmrun/logs/<name>-error.log",
        doc: "Where standard error goes.",
        examples: &[r#""./logs/api.err.log""#],
        status: Status::Honoured,
        field: Some(Field::ErrorFile),
    },
    Row {
        name: "merge_logs",
        aliases: &["combine_logs"],
        value: Value::Flag(|app, on| app.spec.logs.merge = on),
        default: "false",
        doc: "All instances write to the same files, without `-1`, `-2` in their names.",
        examples: &["true"],
        status: Status::Honoured,
        field: Some(Field::MergeLogs),
    },
    Row {
        name: "disable_logs",
        aliases: &[],
        value: Value::Flag(|app, on| app.disable_logs = on),
        default: "false",
        doc: "Throws both streams away.",
        examples: &["true"],
        status: Status::Honoured,
        field: None,
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
        doc: "One further file for both streams; `true` is `~/.pmrun/logs/<name>-all.log`.",
        examples: &[r#""./logs/all.log""#, "true"],
        status: Status::Honoured,
        field: Some(Field::LogFile),
    },
    Row {
        name: "log_date_format",
        aliases: &[],
        value: Value::Text(|app, text| app.spec.logs.date_format = not_empty(text)),
        default: "",
        doc: "Puts the time before each line, in dayjs' tokens.",
        examples: &[r#""YYYY-MM-DD HH:mm:ss""#],
        status: Status::Honoured,
        field: Some(Field::LogDateFormat),
    },
    Row {
        name: "time",
        aliases: &[],
        value: Value::Flag(|app, on| app.time = on),
        default: "false",
        doc: "Puts the time before each line, as `YYYY-MM-DDTHH:mm:ss`.",
        examples: &["true"],
        status: Status::Honoured,
        field: None,
    },
    Row {
        name: "log_type",
        aliases: &[],
        value: Value::LogType(|app, json| app.spec.logs.json = json),
        default: "raw",
        doc: "`json` makes each line an object: `message`, `timestamp`, `type`, `process_id`, `app_name`, `sequence`.",
        examples: &[r#""json""#],
        status: Status::Honoured,
        field: Some(Field::LogType),
    },
    Row {
        name: "pid_file",
        aliases: &["pid"],
        value: Value::Text(|app, text| app.pid_file = not_empty(text)),
        default: "~/.pmrun/pids/<name>-<id>.pid",
        doc: "Where the process id is written, against `cwd`.",
        examples: &[r#""./api.pid""#],
        status: Status::Honoured,
        field: Some(Field::PidFile),
    },
];
