//! Restarts when files change.

use super::{Row, Status};
use crate::schema::value::Value;
use crate::spec::Field;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "watch",
        aliases: &[],
        value: Value::Watch(|app, on, paths| (app.spec.watch.enabled, app.spec.watch.paths) = (on, paths)),
        default: "false",
        doc: "Restarts the app when its files change: `true` for its folder, or paths and globs against `cwd`. An app \
              that was stopped stays so; one that was given up on, or is done, is started. A job with `schedule` is not \
              watched: each run has the files as they are when it begins.",
        examples: &["true", r#"["src", "config/*.json"]"#],
        status: Status::Honoured,
        field: Some(Field::Watch),
    },
    Row {
        name: "ignore_watch",
        aliases: &[],
        value: Value::Patterns(|app, patterns| app.spec.watch.ignore = patterns),
        default: "",
        doc: "What `watch` does not look at, as lines of a `.gitignore`. Never looked at: dotfiles, `node_modules` and \
              what editors leave, unless `!` takes them back in; and the log and pid files of apps.",
        examples: &[r#"["logs", "/public/uploads", "*.sqlite", "!.env"]"#],
        status: Status::Honoured,
        field: Some(Field::IgnoreWatch),
    },
    Row {
        name: "watch_delay",
        aliases: &[],
        value: Value::Millis(|app, ms| app.spec.watch.delay_ms = ms),
        default: "0",
        doc: "How long files must be quiet before `watch` restarts, in milliseconds. Ten times as long, and two \
              seconds at least, is the longest that it waits for quiet.",
        examples: &["1000"],
        status: Status::Honoured,
        field: Some(Field::WatchDelay),
    },
    Row {
        name: "watch_options",
        aliases: &[],
        value: Value::WatchOptions(|app, options| app.spec.watch.options = Some(options)),
        default: "",
        doc: "How files are watched, by the names of PM2's watcher: `usePolling` with `interval` and `binaryInterval`, \
              `followSymlinks`, `ignored`, `depth`, `disableGlobbing`, `awaitWriteFinish`.",
        examples: &[r#"{"usePolling": true, "interval": 500}"#],
        status: Status::Honoured,
        field: Some(Field::WatchOptions),
    },
];
