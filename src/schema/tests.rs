//! The table, the shapes, and what comes of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::options::{camel_case, find, rows};
use super::testing::{FOLDER, Run, Table, decoded, line, node, run, run_node, run_on};
use super::{Row, Shape, Status, Value};
use crate::diag::{Code, Severity};
use crate::document::{Entry, Key, Kind, Node};
use crate::spec::{AppSpec, ExecMode, Fingerprint, Limits, LogTarget};

fn key_of(row: &Row) -> String {
    row.name.replace("<name>", "production")
}

fn one(document: &Json) -> AppSpec {
    let Run { mut resolved, diagnostics } = run(document);
    let lines: Vec<String> = diagnostics.iter().filter(|d| d.severity == Severity::Error).map(line).collect();
    assert!(lines.is_empty(), "{document}: {lines:?}");
    assert_eq!(resolved.apps.len(), 1, "{document}");
    resolved.apps.remove(0)
}

fn app(options: &Json) -> AppSpec {
    one(&with_script(options))
}

fn with_script(options: &Json) -> Json {
    let mut object = options.as_object().unwrap().clone();
    object.entry("script").or_insert(json!("x.sh"));
    json!({ "apps": [object] })
}

fn check(options: &Json, want: &[&str]) {
    assert_eq!(run(&with_script(options)).lines(), want, "{options}");
}

#[test]
fn no_two_options_share_a_name() {
    let mut seen = BTreeMap::new();
    for row in rows() {
        for name in row.names() {
            for spelling in std::collections::BTreeSet::from([name.to_owned(), camel_case(name)]) {
                assert_eq!(seen.insert(spelling.clone(), row.name), None, "{spelling}");
            }
            assert!(!row.doc.is_empty() && row.doc.ends_with('.'), "{}", row.name);
        }
    }
}

#[test]
fn rows_and_fields_have_the_same_names() {
    for row in rows() {
        if let Some(field) = row.field {
            assert_eq!(field.option(), row.name);
        }
        assert!(row.field.is_none() || !matches!(row.status, Status::Meaningless(_)), "{}", row.name);
    }
}

#[test]
fn every_name_of_every_option_reaches_it() {
    for row in rows().filter(|row| !row.is_overlay()) {
        for (rank, name) in row.names().enumerate() {
            for spelling in [name.to_owned(), camel_case(name)] {
                let (found, found_rank) = find(&spelling).unwrap();
                let twin = usize::from(spelling != name);
                assert_eq!((found.name, found_rank), (row.name, 2 * rank + twin), "{spelling}");
            }
        }
    }
    assert!(find("env_staging").unwrap().0.is_overlay());
    assert_eq!(find("env_file").unwrap().0.name, "env_file");
    assert!(find("env_").is_none());
    assert!(find("instnaces").is_none());
}

/// One wrong type for every option there is, by the table itself.
#[test]
fn a_wrong_type_is_one_error_at_every_option() {
    for row in rows() {
        let samples = [
            (Shape::Number, json!(-1.5)),
            (Shape::Object, json!({ "a": 1 })),
            (Shape::Boolean, json!(true)),
            (Shape::List, json!([["a"]])),
            (Shape::String, json!("\u{0}")),
        ];
        let mut tried = 0;
        for (shape, sample) in samples {
            if row.value.shapes().contains(&shape) {
                continue;
            }
            tried += 1;
            let key = key_of(row);
            let mut options = json!({ "name": "api" });
            options[&key] = sample.clone();
            let run = run(&with_script(&options));
            let errors = run.errors();
            assert_eq!(errors.len(), 1, "{key}: {sample}: {errors:?}");
            assert!(errors[0].contains(&format!("`{key}` must be {}", row.value.expects())), "{errors:?}");
            assert!(errors[0].contains(&format!(".{key}: ")), "{errors:?}");
            assert_eq!(run.lines().len(), 1, "nothing else is said: {:?}", run.lines());
        }
        assert!(tried > 0, "{} accepts everything", row.name);
    }
}

/// What no option means: absurd numbers, empty and blank strings, empty lists. What is accepted is said here.
#[test]
fn absurd_values_are_one_error_at_every_option() {
    let number = |number: f64| Node::new(Kind::Number(number), None);
    let samples: [(&str, Node); 12] = [
        ("1e300", number(1e300)),
        ("-1", number(-1.0)),
        ("0.5", number(0.5)),
        ("NaN", number(f64::NAN)),
        ("true", node(&json!(true))),
        ("[]", node(&json!([]))),
        ("{}", node(&json!({}))),
        ("''", node(&json!(""))),
        ("' '", node(&json!(" "))),
        ("'-1'", node(&json!("-1"))),
        ("'1e300'", node(&json!("1e300"))),
        ("'0.5'", node(&json!("0.5"))),
    ];
    for row in rows() {
        let key = key_of(row);
        let accepted: &[&str] = match row.value {
            // Each needs a name; where an empty one stands for the default it is PM2's way to say so.
            Value::Text(_) if ["script", "name"].contains(&row.name) => &[],
            Value::Whole { min, .. } if min < 0 => &["-1", "'-1'", "''"],
            Value::Text(_)
            | Value::Whole { .. }
            | Value::Mode(_)
            | Value::LogType(_)
            | Value::Cron(_)
            | Value::Account(_)
            | Value::Umask(_)
            | Value::Millis(_)
            | Value::Bytes(_)
            | Value::Signal(_) => &["''"],
            Value::Flag(_) => &["true"],
            Value::Words(_) | Value::Patterns(_) => &["[]", "''", "' '"],
            Value::Names(_) | Value::Sockets(_) | Value::Filter(_) | Value::ExitCodes(_) => &["[]", "''"],
            Value::Count(_) => &["-1", "'-1'", "''"],
            Value::Variables(_) | Value::Overlay(_) | Value::WatchOptions(_) | Value::Limits(_) | Value::Uses(_) => {
                &["{}"]
            }
            Value::Needs(_) => &["[]", "''", "{}"],
            Value::HealthCheck(_) | Value::Overlap(_) | Value::Distribution(_) => &[],
            Value::PathOrFlag(_) => &["true", "''"],
            Value::Watch(_) => &["true", "[]", "''"],
            Value::Code(_) => &["true", "[]"],
            // Nobody reads them.
            Value::Ignored(_) | Value::Off(..) => continue,
        };
        let is_text = row.value.shapes().contains(&Shape::String) && !row.value.shapes().contains(&Shape::Number);
        for (sample, value) in &samples {
            // As text these may be a file's name.
            if is_text && ["'-1'", "'1e300'", "'0.5'"].contains(sample) && !matches!(row.value, Value::Mode(_)) {
                continue;
            }
            let entry = |key: &str, value: Node| Entry { key: Key { text: key.to_owned(), span: None }, value };
            let mut entries = vec![entry(&key, value.clone())];
            entries.extend((key != "script").then(|| entry("script", node(&json!("x.sh")))));
            let app = Node::new(Kind::Mapping(entries), None);
            let run = run_node(&Node::new(Kind::Sequence(vec![app]), None), None, &Table::usual());
            let errors = run.errors();
            assert_eq!(errors.len(), usize::from(!accepted.contains(sample)), "{key}: {sample}: {errors:?}");
            assert!(errors.iter().all(|error| error.contains(&format!(".{key}: `{key}` "))), "{errors:?}");
        }
    }
}

#[test]
fn limits_are_what_people_write() {
    let limits = |value: Json| app(&json!({ "limits": value })).limits;
    for (cpu, want) in [
        (json!(1.5), Some(150)),
        (json!("1.5"), Some(150)),
        (json!("150%"), Some(150)),
        (json!(" 50 % "), Some(50)),
        (json!(0.004), Some(1)),
        (json!(999), Some(99_900)),
        (json!(null), None),
    ] {
        assert_eq!(limits(json!({ "cpu": cpu.clone() })).cpu_percent, want, "{cpu}");
    }
    let all = Limits { memory: Some(512 << 20), cpu_percent: Some(200), pids: Some(200) };
    assert_eq!(limits(json!({ "memory": "512M", "cpu": 2, "pids": "200" })), all);
    assert_eq!(limits(json!({ "memory": "4M", "pids": 1, "cpu": "1%" })).pids, Some(1));
    for (name, little) in [("memory", json!(0)), ("memory", json!("3M")), ("pids", json!(0)), ("cpu", json!(0))] {
        let want = format!(
            "error at apps[0].limits.{name}: `{name}` in `limits` is less than any program needs \
             (memory is 4M at least, cpu 1%, pids 1; for no limit leave it out)"
        );
        check(&json!({ "limits": { name: little } }), &[&want]);
    }
    let cpu = "error at apps[0].limits.cpu: `cpu` in `limits` must be a number of processors up to 999, or a share of one such as \"150%\", not";
    for wrong in [json!(-1), json!(1_000), json!("1e2"), json!("%"), json!(".5"), json!("1000"), json!(true)] {
        let found = if wrong.is_string() { wrong.to_string() } else { format!("`{wrong}`") };
        check(&json!({ "limits": { "cpu": wrong } }), &[&format!("{cpu} {found}")]);
    }
    check(
        &json!({ "limits": { "memory": "lots", "pids": 1.5, "cpus": 1 } }),
        &[
            "error at apps[0].limits.memory: `memory` in `limits` must be a number of bytes, or a size such as \"512M\", not \"lots\"",
            "error at apps[0].limits.pids: `pids` in `limits` must be a whole number of processes, not `1.5`",
            "error at apps[0].limits.cpus: `limits` has no limit `cpus`: there are memory, cpu, pids (did you mean `cpu`?)",
        ],
    );
}

#[test]
fn users_groups_and_cron_patterns_are_read_as_such() {
    let uid = |value: Json| app(&json!({ "uid": value })).uid;
    for (written, want) in [
        (json!(0), "0"),
        (json!("33"), "33"),
        (json!(4_294_967_294_u32), "4294967294"),
        (json!("www-data"), "www-data"),
        (json!("_dnsmasq$"), "_dnsmasq$"),
        (json!("DOMAIN\\jo doe"), "DOMAIN\\jo doe"),
    ] {
        assert_eq!(uid(written.clone()).as_deref(), Some(want), "{written}");
    }
    let error = "error at apps[0].gid: `gid` must be a name, or a whole number from 0 to 4294967294, not";
    for wrong in ["4294967295", "1e300", "-1", "\"4294967295\"", "\"-1\"", "\"1 0\"", "\"a:b\"", "\"/x\""] {
        check(
            &json!({ "gid": serde_json::from_str::<Json>(wrong).unwrap() }),
            &[&match wrong {
                "1e300" => format!("{error} `1e+300`"),
                _ if wrong.starts_with('"') => format!("{error} {wrong}"),
                _ => format!("{error} `{wrong}`"),
            }],
        );
    }
    for (pattern, fine) in [
        ("0 3 * * *", true),
        ("*/5 * * * * *", true),
        ("0 0 1,15 * MON-FRI", true),
        ("0 0 L * ?", true),
        (" @daily", true),
        ("@", false),
        ("banana", false),
        ("0 3 * *", false),
        ("every day at three o'clock", false),
        ("5", false),
        ("0 0 31 2 *", false),
        ("0 0 1 1 * 2030 *", false),
        ("1,, * * * *", false),
    ] {
        assert_eq!(run(&with_script(&json!({ "cron": pattern }))).errors().is_empty(), fine, "{pattern}");
    }
}

#[test]
fn numbers_that_are_none_are_passed_on_with_a_warning() {
    let nan = || Node::new(Kind::Number(f64::NAN), None);
    let entry = |key: &str, value: Node| Entry { key: Key { text: key.to_owned(), span: None }, value };
    let entries = vec![
        entry("script", node(&json!("x.sh"))),
        entry("args", Node::new(Kind::Sequence(vec![nan()]), None)),
        entry("env", Node::new(Kind::Mapping(vec![entry("PORT", nan()), entry("ID", node(&json!(1e17)))]), None)),
    ];
    let run = run_node(&Node::new(Kind::Mapping(entries), None), None, &Table::usual());
    let want = [
        "warning at args[0]: an item of `args` is the number `NaN`, and is passed on as this text",
        "warning at env.PORT: `PORT` is the number `NaN`, and is passed on as this text",
        "warning at env.ID: `ID` is too large for an exact number, and is passed on as `100000000000000000` \
         (put it in quotes to keep every digit)",
    ];
    assert_eq!(run.lines(), want);
    assert_eq!(run.resolved.apps[0].env["PORT"], "NaN");
}

#[test]
fn null_is_unset_at_every_option() {
    let plain = app(&json!({ "name": "api" }));
    for row in rows().filter(|row| !["name", "script"].contains(&row.name)) {
        let document = with_script(&json!({ key_of(row): null, "name": "api" }));
        assert_eq!(run(&document).lines(), Vec::<String>::new(), "{}", row.name);
        assert_eq!(one(&document), plain, "{}", row.name);
    }
}

/// Whatever is set leaves a trace: nothing but meaningless options may decode into nothing.
#[test]
fn every_option_changes_the_app() {
    let mut machine = Table::usual();
    machine.add("/srv/site/.env", "FROM_FILE=1\n", false);
    machine.add("/srv/site/other.sh", "#!/bin/sh\n", false);
    let samples: BTreeMap<&str, Json> = [
        ("script", json!("./other.sh")),
        ("name", json!("other")),
        ("namespace", json!("blue")),
        ("cwd", json!("/srv")),
        ("args", json!("a b")),
        ("interpreter", json!("node")),
        ("node_args", json!("--inspect")),
        ("env", json!({ "A": 1 })),
        ("env_<name>", json!({ "A": 2 })),
        ("env_file", json!(".env")),
        ("filter_env", json!(["AWS"])),
        ("listen", json!("tcp:80")),
        ("distribution", json!("sticky")),
        ("port", json!(80)),
        ("instances", json!(3)),
        ("exec_mode", json!("cluster")),
        ("instance_var", json!("SLOT")),
        ("increment_var", json!("PORT")),
        ("append_env_to_name", json!(true)),
        ("fingerprint", json!(false)),
        ("renamed_from", json!("old")),
        ("depends_on", json!("other")),
        ("health_check", json!({ "tcp": "localhost:1" })),
        ("stop_exit_codes", json!([0, "3"])),
        ("min_uptime", json!("5s")),
        ("stop_signal", json!("SIGTERM")),
        ("out_file", json!("/dev/null")),
        ("error_file", json!("e.log")),
        ("pid_file", json!("x.pid")),
        ("ready_log", json!("^up")),
        ("watch", json!(["src"])),
        ("ignore_watch", json!("node_modules")),
        ("watch_options", json!({ "depth": 1 })),
        ("cron_restart", json!("0 0 * * *")),
        ("schedule", json!("0 0 * * *")),
        ("schedule_overlap", json!("queue")),
        ("cron_timezone", json!("UTC")),
        ("max_memory_restart", json!("300M")),
        ("uid", json!("www-data")),
        ("gid", json!(33)),
        ("umask", json!("027")),
        ("nice", json!(10)),
        ("rlimits", json!({ "nofile": 100 })),
        ("limits", json!({ "pids": 100 })),
        ("log_file", json!(true)),
        ("log_date_format", json!("HH:mm")),
        ("log_type", json!("json")),
    ]
    .into();
    for row in rows().filter(|row| !matches!(row.status, Status::Meaningless(_))) {
        let default_on = ["true"].contains(&row.default);
        let sample = samples.get(row.name).cloned().unwrap_or_else(|| match row.value.shapes() {
            [Shape::Boolean] => json!(!default_on),
            _ => json!(77),
        });
        machine.folders.push("/srv".into());
        machine.add("/srv/x.sh", "", false);
        let mut base = json!({ "name": "api", "script": "x.sh", "env_production": { "B": "1" } });
        if row.name == "disable_source_map_support" {
            base["interpreter"] = json!("node");
        }
        let mut changed = base.clone();
        changed[key_of(row)] = sample;
        let apps = |document: Json| {
            let others = json!({ "name": "other-app", "script": "x.sh" });
            run_on(&json!({ "apps": [document, others] }), Some("production"), &machine).resolved.apps[0].clone()
        };
        assert_ne!(apps(base), apps(changed), "{}", row.name);
    }
}

#[test]
fn meaningless_options_are_one_line_of_information() {
    for row in rows() {
        let Status::Meaningless(why) = row.status else { continue };
        let sample = match row.value.shapes()[0] {
            Shape::Boolean => json!(false),
            Shape::Number => json!(5),
            Shape::String => json!("a"),
            Shape::List => json!(["a"]),
            Shape::Object => json!({}),
        };
        let want = format!("info at apps[0].{}: `{}` means nothing here: {why}", row.name, row.name);
        check(&json!({ row.name: sample }), &[&want]);
    }
}

#[test]
fn falsy_values_mean_what_they_say() {
    let spec = app(&json!({
        "max_restarts": 0, "kill_timeout": 0, "restart_delay": 0, "min_uptime": 0, "listen_timeout": 0,
        "wait_ready": false, "merge_logs": false, "treekill": false, "autostart": false, "autorestart": false,
        "stop_exit_codes": 0, "env": { "EMPTY": "", "ZERO": 0, "NO": false }, "port": 0, "args": "",
        "interpreter": "", "out_file": "",
    }));
    assert_eq!(spec.restart.max_restarts, 0);
    assert_eq!((spec.stop.timeout_ms, spec.restart.delay_ms), (0, 0));
    assert_eq!((spec.restart.min_uptime_ms, spec.readiness.timeout_ms), (0, 0));
    assert!(!spec.stop.tree && !spec.autostart && !spec.restart.auto && !spec.logs.merge);
    assert_eq!(spec.restart.stop_exit_codes, [0]);
    let env: Vec<(&str, &str)> = spec.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(env, [("EMPTY", ""), ("NO", "false"), ("PORT", "0"), ("ZERO", "0")]);
    assert!(spec.args.is_empty());
    assert_eq!((spec.interpreter.as_deref(), spec.logs.out), (Some("bash"), LogTarget::Default));
}

#[test]
fn what_a_false_condition_leaves_is_not_set() {
    let plain = app(&json!({}));
    for row in rows() {
        let key = row.name.replace("<name>", "production");
        let run = run(&with_script(&json!({ &key: false })));
        match row.value.shapes() {
            _ if matches!(row.name, "name" | "script") => {
                assert_eq!(run.errors().len(), 1, "{key}: {:?}", run.lines());
            }
            shapes if shapes.contains(&Shape::Boolean) => assert_eq!(run.errors(), [""; 0], "{key}"),
            _ => {
                assert_eq!(run.lines(), [""; 0], "{key}");
                assert_eq!(run.resolved.apps, std::slice::from_ref(&plain), "{key}");
            }
        }
    }
    // The other name counts, as in PM2.
    let spec = app(&json!({ "out_file": false, "output": "/srv/x.log" }));
    assert_eq!(spec.logs.out, LogTarget::Path("/srv/x.log".into()));
    let document = json!({ "script": "x.sh", "env_production": false });
    let run = run_on(&document, Some("production"), &Table::usual());
    assert_eq!(run.errors().len(), 1, "it has no such profile: {:?}", run.lines());
}

#[test]
fn values_are_coerced_as_in_pm2() {
    let instances = |value: Json| app(&json!({ "instances": value })).instances;
    for (written, want) in [
        (json!(3), 3),
        (json!("3"), 3),
        (json!("max"), 4),
        (json!("50%"), 2),
        (json!("10%"), 1),
        (json!(" 200% "), 8),
        (json!(0), 4),
        (json!("0"), 4),
        (json!(-1), 3),
        (json!("-2"), 2),
        (json!(-100), 1),
        (json!(512), 512),
    ] {
        assert_eq!(instances(written.clone()), want, "{written}");
    }
    let spec = app(&json!({
        "max_restarts": "5", "restart_delay": "3000", "kill_timeout": "3s", "max_memory_restart": "1.5G",
        "stop_exit_codes": "3", "args": ["--port", 3000, true, ""], "uid": 1000, "cron_restart": 0, "stop_signal": 15,
        "env": { "N": null, "F": 0.5, "BIG": 1e21, "LIST": [1, "a"], "OBJECT": { "a": { "b": 1.0 } } },
    }));
    assert_eq!((spec.restart.max_restarts, spec.restart.delay_ms, spec.stop.timeout_ms), (5, 3000, 3000));
    assert_eq!((spec.max_memory_restart, spec.restart.stop_exit_codes), (Some(3 << 29), vec![3]));
    assert_eq!(spec.args, ["--port", "3000", "true", ""]);
    assert_eq!((spec.uid.as_deref(), spec.cron_restart, spec.stop.signal.number()), (Some("1000"), None, 15));
    let env: Vec<&str> = spec.env.values().map(String::as_str).collect();
    assert_eq!(env, ["1e+21", "0.5", r#"[1,"a"]"#, "null", r#"{"a":{"b":1}}"#]);
}

#[test]
fn values_out_of_range_are_errors() {
    let table = [
        (
            json!({ "instances": 513 }),
            "error at apps[0].instances: `instances` must be a whole number up to 512, \"max\", or a share of the CPUs such as \"50%\", not `513`",
        ),
        (
            json!({ "instances": "0%" }),
            "error at apps[0].instances: `instances` must be a whole number up to 512, \"max\", or a share of the CPUs such as \"50%\", not \"0%\"",
        ),
        (
            json!({ "instances": 1.5 }),
            "error at apps[0].instances: `instances` must be a whole number up to 512, \"max\", or a share of the CPUs such as \"50%\", not `1.5`",
        ),
        (
            json!({ "restart_delay": -1 }),
            "error at apps[0].restart_delay: `restart_delay` must be a number of milliseconds, or a duration such as \"3s\", not `-1`",
        ),
        (
            json!({ "kill_timeout": 1e15 }),
            "error at apps[0].kill_timeout: `kill_timeout` must be a number of milliseconds, or a duration such as \"3s\", not `1000000000000000` (the longest is a year)",
        ),
        (
            json!({ "autorestart": "false" }),
            "error at apps[0].autorestart: `autorestart` must be `true` or `false`, not \"false\" (write false without quotes)",
        ),
        (
            json!({ "max_memory_restart": "lots" }),
            "error at apps[0].max_memory_restart: `max_memory_restart` must be a number of bytes, or a size such as \"300M\", not \"lots\"",
        ),
        (
            json!({ "stop_exit_codes": [0, 256] }),
            "error at apps[0].stop_exit_codes[1]: an item of `stop_exit_codes` must be a whole number from 0 to 255, not `256`",
        ),
        (
            json!({ "stop_exit_codes": "0 3" }),
            "error at apps[0].stop_exit_codes: `stop_exit_codes` must be an exit code (0 to 255), or a list of them, not \"0 3\"",
        ),
        (json!({ "port": 70000 }), "error at apps[0].port: `port` must be a whole number from 0 to 65535, not `70000`"),
        (
            json!({ "stop_signal": "SIGTREM" }),
            "error at apps[0].stop_signal: `stop_signal` must be a signal such as \"SIGTERM\", not \"SIGTREM\" (did you mean `SIGTERM`?)",
        ),
        (
            json!({ "exec_mode": "clutser" }),
            "error at apps[0].exec_mode: `exec_mode` must be \"fork\" or \"cluster\", not \"clutser\"",
        ),
        (
            json!({ "filter_env": true }),
            "error at apps[0].filter_env: `filter_env` must be a list of strings, a string, or `false`, not `true` (list parts of the names to leave out)",
        ),
        (
            json!({ "env": "TOKEN=x" }),
            "error at apps[0].env: `env` must be an object of variables, not a string (write `env: { NAME: \"value\" }`)",
        ),
        (json!({ "args": ["a", {}] }), "error at apps[0].args[1]: an item of `args` must be a string, not an object"),
        (json!({ "args": "a\u{0}b" }), "error at apps[0].args: `args` contains a NUL character"),
        (json!({ "env": { "": "x" } }), "error at apps[0].env.: a variable in `env` has a name that is empty"),
        (
            json!({ "env": { "A=B": "x" } }),
            "error at apps[0].env.A=B: a variable in `env` has a name that contains `=`",
        ),
        (json!({ "env": { "A": "x\u{0}" } }), "error at apps[0].env.A: the value of `A` contains a NUL character"),
        (json!({ "name": 12 }), "error at apps[0].name: `name` must be a string, not `12` (put it in quotes)"),
    ];
    for (options, want) in table {
        check(&options, &[want]);
    }
}

#[test]
fn all_problems_come_in_one_run() {
    let run = run(&json!({ "apps": [
        { "name": "a", "script": "gone.sh", "instances": "many", "instnaces": 4 },
        { "name": "b", "cwd": "/nowhere", "depends_on": ["cache"], "script": 5 },
        7,
        { "name": "a", "script": "x.sh", "foo_bar_baz": 1 },
        {},
    ]}));
    assert_eq!(
        run.lines(),
        [
            "warning at apps[0] (a).instnaces: unknown option `instnaces` (did you mean `instances`?)",
            "error at apps[0] (a).instances: `instances` must be a whole number up to 512, \"max\", or a share of the CPUs such as \"50%\", not \"many\"",
            "error at apps[1] (b).script: `script` must be a string, not `5` (put it in quotes)",
            "error at apps[2]: an app must be an object, not `7`",
            "warning at apps[3] (a).foo_bar_baz: unknown option `foo_bar_baz`",
            "error at apps[0] (a).script: script of app `a`: `/srv/site/gone.sh` does not exist, nor is it in PATH",
            "error at apps[1] (b).cwd: `cwd` of app `b`: `/nowhere` does not exist",
            "error at apps[4]: `apps[4]` has no `script` (write what it runs: `script: \"./app.js\"`)",
            "error at apps[3] (a).name: two apps are called `a` (the other one is at ecosystem.json (apps[0] (a).name))",
            "error at apps[1] (b).depends_on[0]: app `b` needs `cache`, which is not defined",
        ]
    );
}

#[test]
fn unknown_keys_are_asked_about() {
    for (key, want) in [
        ("instnaces", Some("instances")),
        ("max_restart", Some("max_restarts")),
        ("EXEC_MODE", Some("exec_mode")),
        ("max-memory-restart", Some("max_memory_restart")),
        ("Script", Some("script")),
        ("autoRestart", Some("autorestart")),
        ("qwertyuiop", None),
    ] {
        let hint = want.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
        check(&json!({ key: 1 }), &[&format!("warning at apps[0].{key}: unknown option `{key}`{hint}")]);
    }
}

#[test]
fn names_break_no_line_and_turn_no_text() {
    for name in ["a\nb", "a\u{1b}[2J", "gpj.\u{202e}exe", "a\u{2066}b", "a\u{2028}b"] {
        let document = json!([{ "name": name, "script": "x.sh" }]);
        let run = run_on(&document, None, &Table::usual());
        let errors = run.errors();
        assert!(errors.iter().any(|error| error.contains("contains a control character")), "{name:?}: {errors:?}");
    }
    // Joined emoji and right-to-left scripts are names like others.
    for name in ["👩\u{200d}🚀", "שרת"] {
        assert_eq!(app(&json!({ "name": name })).name, name);
    }
}

#[test]
fn an_option_that_is_said_twice_counts_once() {
    let spec = app(&json!({ "exec_interpreter": "node", "interpreter": "sh" }));
    assert_eq!(spec.interpreter.as_deref(), Some("sh"));
    check(
        &json!({ "interpreter": "sh", "exec_interpreter": "node" }),
        &[
            "warning at apps[0].exec_interpreter: `interpreter` and `exec_interpreter` are the same option, `interpreter` counts",
        ],
    );
    let entry = |key: &str, value: Json| Entry { key: Key { text: key.to_owned(), span: None }, value: node(&value) };
    let document = crate::document::Node::new(
        Kind::Mapping(vec![entry("script", json!("x.sh")), entry("name", json!("a")), entry("name", json!("b"))]),
        None,
    );
    let run = run_node(&document, None, &Table::usual());
    assert_eq!(run.resolved.apps[0].name, "b");
    assert_eq!(run.lines(), ["warning at name: `name` is written twice, the last one counts"]);
}

#[test]
fn all_shapes_are_read() {
    let one = json!({ "name": "a", "script": "x.sh" });
    let two = json!([one, { "name": "b", "script": "x.sh" }]);
    for (document, want, ecosystem) in [
        (json!({ "apps": two }), vec!["a", "b"], None),
        (json!({ "apps": one }), vec!["a"], None),
        (two.clone(), vec!["a", "b"], None),
        (one.clone(), vec!["a"], None),
        (json!({ "pm2": two }), vec!["a", "b"], None),
        (json!({ "pm2": one }), vec!["a"], None),
        (json!({ "pm2": { "apps": two, "name": "shop" } }), vec!["a", "b"], Some("shop")),
        (json!({ "name": "pkg", "version": "1.0.0", "scripts": {}, "pm2": one }), vec!["a"], Some("pkg")),
        (json!({ "name": "shop", "apps": two, "$schema": "x" }), vec!["a", "b"], Some("shop")),
        (json!({ "script": "x.sh" }), vec![""], None),
    ] {
        let decoded = decoded(&document);
        let names: Vec<&str> = decoded.drafts.iter().map(|draft| draft.name.as_deref().unwrap_or("")).collect();
        assert_eq!(names, want, "{document}");
        assert_eq!(decoded.ecosystem.as_deref(), ecosystem, "{document}");
        assert!(decoded.diagnostics.is_empty(), "{document}: {:?}", decoded.diagnostics);
    }
    let deploy = json!({ "production": { "user": "node", "port": 22 } });
    assert_eq!(decoded(&json!({ "apps": two, "deploy": deploy })).deploy, Some(deploy.clone()));
    assert_eq!(decoded(&json!({ "script": "x.sh", "deploy": deploy })).deploy, Some(deploy));
}

#[test]
fn other_shapes_are_explained() {
    let app = json!({ "name": "a", "script": "x.sh" });
    let none = "there are no apps in this file (`apply` refuses it; with `--allow-empty` it deletes every app that was applied from here)";
    let write = "write `apps: [{ name: \"api\", script: \"./api.js\" }]`";
    for (document, want) in [
        (json!({}), format!("error at the file: the file holds an empty object, no apps ({write})")),
        (json!(null), format!("error at the file: the file holds nothing, no apps ({write})")),
        (json!("apps"), format!("error at the file: the file holds a string, no apps ({write})")),
        (json!({ "version": "1.0.0" }), format!("error at the file: the file has no `apps` ({write})")),
        (json!({ "app": [] }), "error at the file: the file has no `apps` (`app` should be `apps`)".to_owned()),
        (json!([]), format!("warning at the file: {none}")),
        (json!({ "apps": [] }), format!("warning at apps: {none}")),
        (json!({ "pm2": [] }), format!("warning at pm2: {none}")),
        (json!({ "apps": 5 }), "error at apps: `apps` must be a list of apps, or one app, not `5`".to_owned()),
        (
            json!({ "apps": { "api": { "script": "x.sh" } } }),
            "error at apps: `apps` must be a list of apps, or one app, not an object of apps \
             (write `apps: [{ name: \"...\", script: \"...\" }]`)"
                .to_owned(),
        ),
        (
            json!({ "apps": [app], "name": 5 }),
            "error at name: the ecosystem's `name` must be a string that is not empty, not `5`".to_owned(),
        ),
        (
            json!({ "apps": [app], "deplyo": {} }),
            "warning at deplyo: unknown top-level key `deplyo` (did you mean `deploy`?)".to_owned(),
        ),
        (
            json!({ "apps": [app], "static": [] }),
            "warning at static: `static` is not read: it is to be a list of folders that are served \
             (write `static: [{ path: \"public\", port: 8080 }]`)"
                .to_owned(),
        ),
        (
            json!({ "apps": [app], "instances": 2 }),
            "warning at instances: unknown top-level key `instances` (options belong to an app, in `apps`)".to_owned(),
        ),
    ] {
        assert_eq!(run(&document).lines(), [want], "{document}");
    }
}

#[test]
fn each_folder_of_static_is_an_app() {
    let folder = json!({
        "path": "public", "port": 8081, "spa": true, "monitor": true, "nope": 1,
        "basic_auth": { "username": "me", "password": "it" },
    });
    let run = run(&json!({ "static": [folder, { "name": "docs" }] }));
    assert_eq!(run.lines().len(), 1, "{:?}", run.lines());
    assert!(run.lines()[0].starts_with("warning at static[0].nope: `nope` of a folder that is served is not read"));
    let [site, docs] = &run.resolved.apps[..] else { panic!("two apps") };
    assert_eq!((site.name.as_str(), docs.name.as_str()), ("static-page-server-8081", "docs"));
    assert!(site.is_file_server() && docs.is_file_server() && docs.env.is_empty());
    let env: Vec<(&str, &str)> = site.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        env,
        [
            ("PM2_SERVE_BASIC_AUTH", "true"),
            ("PM2_SERVE_BASIC_AUTH_PASSWORD", "it"),
            ("PM2_SERVE_BASIC_AUTH_USERNAME", "me"),
            ("PM2_SERVE_PATH", "public"),
            ("PM2_SERVE_PORT", "8081"),
            ("PM2_SERVE_SPA", "true"),
        ]
    );
}

#[test]
fn a_script_called_serve_is_the_server_of_files_whatever_else_is_called_so() {
    let env = json!({ "PM2_SERVE_PATH": ".", "PM2_SERVE_PORT": 8080 });
    let run = run(&json!([
        { "name": "a", "script": "serve", "env": env },
        { "name": "b", "script": "serve", "env": env, "wait_ready": false, "args": "-s build" },
    ]));
    let message = "warning at apps[1].args: `args` of app `b` are not used: `script: \"serve\"` is pmrun's own, as in PM2 (it is \
                   told by `PM2_SERVE_PATH` and the like in `env`; another program of that name is run by its path)";
    let lines = run.lines();
    assert!(lines.len() == 1 && lines[0].ends_with(&message["warning at apps[1].args".len()..]), "{lines:?}");
    let [a, b] = &run.resolved.apps[..] else { panic!() };
    assert!(a.is_file_server() && b.is_file_server());
    assert_eq!((a.readiness.wait_ready, b.readiness.wait_ready), (true, false));
    assert_eq!(a.env["PM2_SERVE_PORT"], "8080");
}

#[test]
fn what_a_program_sets_in_its_environment_lies_below_everything_else() {
    let document = json!([
        { "name": "a", "script": "x.sh", "env": { "A": "env" }, "port": 80, "env_file": ".env" },
        { "name": "b", "script": "x.sh", "filter_env": ["SECRET"] },
    ]);
    let mut machine = Table::usual();
    machine.add("/srv/site/.env", "B=file", false);
    let assigned = ["A", "B", "C", "PORT", "MY_SECRET", "", "X=Y"].map(|name| (name.to_owned(), "program".to_owned()));
    let assigned = &assigned.into_iter().collect();
    let run = super::testing::run_with(&node(&document), None, assigned, &machine);
    assert_eq!(run.lines(), [""; 0]);
    let env = |at: usize| {
        let pairs = run.resolved.apps[at].env.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(env(0), "A=env B=file C=program MY_SECRET=program PORT=80");
    assert_eq!(env(1), "A=program B=program C=program PORT=program");
    let origins = &run.resolved.origins;
    let keys = |app, path| origins.layers(app, path).into_iter().map(|layer| layer.key).collect::<Vec<_>>();
    assert_eq!(keys("a", "env.A"), ["env", "process.env"]);
    assert_eq!(keys("a", "env.B"), ["env_file", "process.env"]);
    assert_eq!(keys("b", "env.MY_SECRET"), [""; 0]);
    assert_eq!(origins.place("b", "env.C").as_deref(), Some(super::testing::FILE));
}

#[test]
fn profiles_lie_over_env() {
    let mut machine = Table::usual();
    machine.add("/srv/site/.env", "A=file\nFILE=1\nPORT=1\n", false);
    machine.add("/srv/site/.env.local", "FILE=2\n", false);
    let document = json!({ "apps": [
        { "name": "a", "script": "x.sh", "env_file": [".env", ".env.local"], "env": { "A": "env", "B": "env", "PORT": 2 },
          "env_production": { "B": "production", "C": 3 }, "port": "8080", "append_env_to_name": true },
        { "name": "b", "script": "x.sh", "env": { "B": "env" }, "env_staging": {} },
    ]});
    let env = |profile: Option<&str>, app: usize| {
        let run = run_on(&document, profile, &machine);
        assert_eq!(run.lines(), Vec::<String>::new());
        let spec = &run.resolved.apps[app];
        let pairs: Vec<String> = spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}: {}", spec.name, pairs.join(" "))
    };
    assert_eq!(env(None, 0), "a: A=env B=env FILE=2 PORT=8080");
    assert_eq!(env(Some("production"), 0), "a-production: A=env B=production C=3 FILE=2 PORT=8080");
    assert_eq!(env(Some("production"), 1), "b: B=env");

    let run = run_on(&document, Some("prodution"), &machine);
    assert_eq!(
        run.lines(),
        [
            "error at the file: no app defines `env_prodution` (did you mean `production`? there are: `production`, `staging`)"
        ]
    );
    assert_eq!(run.diagnostics[0].code, Code::Profile);

    let origins = run_on(&document, Some("production"), &machine).resolved.origins;
    let of = |path: &str| origins.place("a-production", path).unwrap_or_default();
    assert_eq!(of("env.A"), "ecosystem.json (apps[0] (a).env.A)");
    assert_eq!(of("env.B"), "ecosystem.json (apps[0] (a).env_production.B)");
    assert_eq!(of("env.FILE"), ".env.local");
    assert_eq!(of("env.PORT"), "ecosystem.json (apps[0] (a).port)");
    assert_eq!(of("script"), "ecosystem.json (apps[0] (a).script)");
}

#[test]
fn paths_are_read_against_the_file_and_the_apps_folder() {
    let mut machine = Table::usual();
    machine.add("/srv/site/sub/run.sh", "#!/bin/sh\n", true);
    let document = json!({ "apps": [{ "cwd": "./sub", "script": "run.sh", "out_file": "logs/o.log", "error_file": "~/e.log",
        "pid_file": "../x.pid" }] });
    let run = run_on(&document, None, &machine);
    assert_eq!(run.lines(), Vec::<String>::new());
    let spec = &run.resolved.apps[0];
    assert_eq!((spec.name.as_str(), spec.cwd.as_str()), ("run", "/srv/site/sub"));
    assert_eq!(spec.script, "/srv/site/sub/run.sh");
    assert_eq!(spec.logs.out, LogTarget::Path("/srv/site/sub/logs/o.log".to_owned()));
    assert_eq!(spec.logs.error, LogTarget::Path("/home/app/e.log".to_owned()));
    assert_eq!(spec.pid_file.as_deref(), Some("/srv/site/x.pid"));

    check(
        &json!({ "cwd": "/locked" }),
        &["error at apps[0].cwd: `cwd` of `apps[0]`: `/locked` cannot be used: permission denied"],
    );
    check(&json!({ "cwd": "x.sh" }), &["error at apps[0].cwd: `cwd` of `apps[0]`: `/srv/site/x.sh` is not a folder"]);
    check(
        &json!({ "cwd": "sub" }),
        &["error at apps[0].script: script of `apps[0]`: `/srv/site/sub/x.sh` does not exist, nor is it in PATH \
           (there is `/srv/site/x.sh`, but `script` is read against `cwd`)"],
    );
    check(
        &json!({ "script": "./sub" }),
        &["error at apps[0].script: script of `apps[0]`: `/srv/site/sub` is a folder (name the file in it)"],
    );
    check(
        &json!({ "env_file": ".nope" }),
        &[
            "error at apps[0].env_file: `env_file` of `apps[0]`: `/srv/site/.nope` does not exist (create the file, or take it out of `env_file`)",
        ],
    );
    let spec = app(&json!({ "disable_logs": true, "out_file": "x.log" }));
    assert_eq!((spec.logs.out, spec.logs.error), (LogTarget::Null, LogTarget::Null));
    assert_eq!(app(&json!({ "out_file": "NULL" })).logs.out, LogTarget::Null);
}

/// What runs: interpreter, its arguments, script, arguments.
fn command(options: &Json) -> String {
    let mut machine = Table::usual();
    for (path, content, executable) in [
        ("a.js", "", false),
        ("a.mjs", "#!/bin/sh\n", true),
        ("a.py", "", false),
        ("a.ts", "", false),
        ("plain", "console.log(1)", false),
        ("tool", "#!/usr/bin/env node\n", true),
        ("runs", "#!/bin/sh\n", true),
        ("reads", "#!/bin/sh\n", false),
        ("snake", "#!/usr/bin/env python3\n", false),
        ("venv", "#!/opt/venv/bin/python\n", true),
        ("binary", "\u{7f}ELF\0", true),
        ("my script.sh", "", false),
        ("/opt/venv/bin/python", "\u{7f}ELF\0", true),
    ] {
        machine.add(Path::new(FOLDER).join(path).to_str().unwrap(), content, executable);
    }
    let run = run_on(&json!({ "apps": [options] }), None, &machine);
    assert_eq!(run.errors(), Vec::<String>::new(), "{options}");
    let spec = &run.resolved.apps[0];
    let unbuffered = spec.env.contains_key("PYTHONUNBUFFERED").then(|| "unbuffered".to_owned());
    let words = unbuffered.into_iter().chain(spec.interpreter.clone()).chain(spec.interpreter_args.clone());
    let words = words.chain([spec.script.replace("/srv/site/", "")]).chain(spec.args.clone());
    words.map(|word| if word.contains(' ') { format!("[{word}]") } else { word }).collect::<Vec<_>>().join(" ")
}

#[test]
fn scripts_find_their_interpreters() {
    let table = [
        (json!({ "script": "x.sh" }), "bash x.sh"),
        (json!({ "script": "a.js", "args": "-p 1", "node_args": "--inspect" }), "node --inspect a.js -p 1"),
        (json!({ "script": "a.mjs" }), "node a.mjs"),
        (json!({ "script": "a.py" }), "unbuffered python3 a.py"),
        (json!({ "script": "a.ts" }), "node a.ts"),
        (json!({ "script": "plain" }), "node plain"),
        (json!({ "script": "tool" }), "node tool"),
        (json!({ "script": "runs" }), "runs"),
        (json!({ "script": "reads" }), "/bin/sh reads"),
        (json!({ "script": "snake" }), "unbuffered python3 snake"),
        (json!({ "script": "venv" }), "unbuffered venv"),
        (json!({ "script": "binary" }), "binary"),
        (json!({ "script": "python3", "args": "-m http.server" }), "python3 -m http.server"),
        (json!({ "script": "npm", "args": "start" }), "node /bin/npm start"),
        (json!({ "script": "a.js", "interpreter": "/bin/node" }), "/bin/node a.js"),
        (json!({ "script": "runs", "interpreter": "none" }), "runs"),
        (json!({ "script": "python3", "interpreter": "none" }), "python3"),
        (json!({ "script": "my script.sh" }), "bash [my script.sh]"),
        (json!({ "script": "npm run start" }), "bash -c [npm run start]"),
        (json!({ "script": "npm run start", "args": ["a b"] }), "bash -c [npm run start 'a b']"),
        (json!({ "script": "echo $HOME; sleep 1", "interpreter": "sh" }), "sh -c [echo $HOME; sleep 1]"),
        (json!({ "script": "npm start", "interpreter": "none" }), "bash -c [npm start]"),
        (json!({ "cmd": "a.js" }), "node a.js"),
    ];
    for (options, want) in table {
        assert_eq!(command(&options), want, "{options}");
    }
}

#[test]
fn what_cannot_be_run_is_told_before_anything_is_stopped() {
    let mut machine = Table::usual();
    machine.add("/srv/site/a.rb", "", false);
    machine.add("/srv/site/binary", "\u{7f}ELF\0", false);
    let table = [
        (
            json!({ "script": "a.rb" }),
            "script: script `/srv/site/a.rb` of `apps[0]` needs `ruby`, which is not in PATH",
        ),
        (
            json!({ "script": "binary" }),
            "script: script `/srv/site/binary` of `apps[0]` is not executable (run `chmod +x /srv/site/binary`, or name an `interpreter`)",
        ),
        (
            json!({ "script": "x.sh", "interpreter": "pyhton" }),
            "interpreter: interpreter `pyhton` of `apps[0]` is not in PATH",
        ),
        (
            json!({ "script": "x.sh", "interpreter": "python" }),
            "interpreter: interpreter `python` of `apps[0]` is not in PATH (there is `python3`)",
        ),
        (
            json!({ "script": "x.sh", "interpreter": "./venv/python" }),
            "interpreter: interpreter of `apps[0]`: `/srv/site/venv/python` does not exist",
        ),
        (
            json!({ "script": "x.sh", "interpreter": "node@18.1.0" }),
            "interpreter: `interpreter: \"node@18.1.0\"`: pmrun installs no versions of Node (give the path of its `node`, or put that first in PATH)",
        ),
        (json!({ "script": "" }), "script: `script` must not be empty"),
        (
            json!({ "script": "./gone dir/x" , "interpreter": "node" }),
            "script: script of `apps[0]`: `/srv/site/gone dir/x` does not exist",
        ),
        (
            json!({ "script": "x.sh", "env": { "PATH": "/opt" } }),
            "script: script `/srv/site/x.sh` of `apps[0]` needs `bash` or `sh`, which is not in PATH",
        ),
    ];
    for (options, want) in table {
        let run = run_on(&json!({ "apps": [options] }), None, &machine);
        assert_eq!(run.lines(), [format!("error at apps[0].{want}")], "{options}");
    }
}

#[test]
fn instances_of_node_are_a_cluster_unless_it_is_said_otherwise() {
    let mut machine = Table::usual();
    machine.add("/srv/site/a.js", "", false);
    machine.add("/srv/site/tsx", "#!/usr/bin/env node\n", true);
    let run = |options: Json| run_on(&json!({ "apps": [options] }), None, &machine);
    let (fork, cluster) = (ExecMode::Fork, ExecMode::Cluster);
    let table = [
        (json!({ "script": "a.js" }), fork, 0),
        (json!({ "script": "a.js", "instances": 1 }), cluster, 0),
        (json!({ "script": "a.js", "instances": 2 }), cluster, 0),
        (json!({ "script": "a.js", "instances": "max" }), cluster, 0),
        (json!({ "script": "a.js", "instances": -1 }), cluster, 0),
        (json!({ "script": "a.js", "instances": 2, "exec_mode": "fork" }), fork, 0),
        (json!({ "script": "a.js", "exec_mode": "cluster" }), cluster, 0),
        (json!({ "script": "a.js", "exec_mode": "cluster_mode", "instances": 2 }), cluster, 0),
        (json!({ "script": "x.sh", "instances": 2 }), fork, 0),
        (json!({ "script": "x.sh", "exec_mode": "cluster" }), cluster, 1),
        // What starts Node by itself cannot have its instances share a port.
        (json!({ "script": "./tsx", "instances": 2 }), fork, 0),
        (json!({ "script": "./tsx", "instances": 2, "exec_mode": "cluster" }), fork, 1),
    ];
    for (options, mode, warnings) in table {
        let done = run(options.clone());
        assert_eq!(done.resolved.apps[0].exec_mode, mode, "{options}");
        let said = done.diagnostics.iter().filter(|said| said.code == Code::NoEffect).count();
        assert_eq!(said, warnings, "{options}");
    }
}

#[test]
fn any_text_is_a_name_but_for_what_no_terminal_shows() {
    for name in ["a b", "🦀", "../x", &"x".repeat(300), "a:0", "ünï", "A&B;rm -rf"] {
        assert_eq!(app(&json!({ "name": name })).name, name);
        check(&json!({ "name": name }), &[]);
    }
    check(&json!({ "name": "" }), &["error at apps[0].name: `name` must not be empty"]);
    assert_eq!(run(&with_script(&json!({ "name": "a\nb" }))).errors().len(), 1);
    assert_eq!(run(&with_script(&json!({ "name": "x".repeat(1001) }))).errors().len(), 1);
    check(&json!({ "name": "all" }), &["warning at apps[0] (all).name: commands take the name `all` for every app"]);
    check(
        &json!({ "name": "7" }),
        &["warning at apps[0] (7).name: `7` in a command means this app, not the instance with this id"],
    );
}

#[test]
fn dependencies_and_renames_are_checked() {
    let apps = |links: &[(&str, Json)]| {
        let apps: Vec<Json> = links
            .iter()
            .map(|(name, options)| {
                let mut app = json!({ "name": name, "script": "x.sh" });
                app.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
                app
            })
            .collect();
        run(&json!(apps)).lines()
    };
    assert_eq!(apps(&[("a", json!({ "depends_on": "b" })), ("b", json!({}))]), Vec::<String>::new());
    assert_eq!(
        apps(&[("z", json!({})), ("a", json!({ "depends_on": ["b"] })), ("b", json!({ "depends_on": ["z", "a"] }))]),
        ["error at [1] (a).depends_on: apps depend on each other in a circle: a -> b -> a"]
    );
    assert_eq!(
        apps(&[("api", json!({ "depends_on": "db-mian" })), ("db-main", json!({}))]),
        ["error at [0] (api).depends_on: app `api` needs `db-mian`, which is not defined (did you mean `db-main`?)"]
    );
    assert_eq!(
        apps(&[("a", json!({ "renamed_from": "b" })), ("b", json!({}))]),
        ["error at [0] (a).renamed_from: `renamed_from`: there still is an app `b` in the file"]
    );
    assert_eq!(
        apps(&[("a", json!({ "renamed_from": "x" })), ("b", json!({ "renamed_from": "x" }))]),
        ["error at [1] (b).renamed_from: apps `a` and `b` are both renamed from `x`"]
    );
}

#[test]
fn code_is_the_script_and_what_is_named() {
    let mut machine = Table::usual();
    machine.add("/srv/site/.env", "A=1\n", false);
    machine.add("/srv/site/lock", "", false);
    let labels = |options: Json| {
        let run = run_on(&with_script(&options), None, &machine);
        assert_eq!(run.errors(), Vec::<String>::new());
        let Fingerprint(parts) = run.resolved.apps[0].fingerprint.clone();
        parts.into_keys().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(labels(json!({})), "x.sh");
    assert_eq!(labels(json!({ "env_file": ".env" })), ".env x.sh");
    assert_eq!(labels(json!({ "fingerprint": ["lock"] })), "lock x.sh");
    assert_eq!(labels(json!({ "fingerprint": "git", "env_file": ".env" })), ".env git");
    assert_eq!(labels(json!({ "fingerprint": false, "env_file": ".env" })), "");
    assert_eq!(labels(json!({ "cwd": "sub", "script": "../x.sh" })), "/srv/site/x.sh");
    assert_eq!(labels(json!({ "script": "npm" })), "");
    assert_eq!(labels(json!({ "script": "sleep 1" })), "");
    check(
        &json!({ "fingerprint": ["dist/**"] }),
        &["warning at apps[0].fingerprint: `fingerprint` of `apps[0]` matches no file in `/srv/site`"],
    );
}

#[test]
fn regular_expressions_in_ignore_watch_are_passed_over() {
    let spec = app(&json!({ "ignore_watch": [{}, "logs"] }));
    assert_eq!(spec.watch.ignore, ["logs"]);
}

const EXAMPLE: &str = include_str!("../../ecosystem.example.json5");

/// The key that a line of the example writes, in use or at rest (`// option: value`).
fn key_of_line(line: &str) -> Vec<&str> {
    let line = line.trim();
    let line = match line.strip_prefix("//") {
        // A sentence may hold a colon; a key at rest has a value that ends its line with a comma.
        Some(rest) if rest.ends_with(',') => rest.trim(),
        Some(_) => return Vec::new(),
        None => line,
    };
    let key = line.split(':').next().unwrap_or_default();
    let is_key = line.contains(": ") && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_key && !key.is_empty() { vec![key] } else { Vec::new() }
}

#[test]
fn the_example_has_every_honoured_option_once() {
    let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
    for key in EXAMPLE.lines().flat_map(key_of_line) {
        *keys.entry(key).or_default() += 1;
    }
    let apps = 3;
    for row in rows() {
        let key = key_of(row);
        let want = match (row.status, row.name) {
            (Status::Honoured, "name") => apps + 1,
            (Status::Honoured, "script") => apps,
            (Status::Honoured, _) => 1,
            (Status::Meaningless(_), _) => 0,
        };
        assert_eq!(keys.remove(key.as_str()).unwrap_or(0), want, "{key}");
        for alias in row.aliases {
            assert_eq!(keys.remove(alias), None, "{alias}");
        }
    }
    assert_eq!(keys, BTreeMap::from([("apps", 1)]), "all other keys are options");
}

#[test]
fn the_example_is_an_example() {
    let mut machine = Table::default();
    machine.add("/bin/sh", "\u{7f}ELF\0", true);
    for script in ["ticker", "worker", "setup"] {
        machine.add(&format!("{FOLDER}/fixtures/example/{script}.sh"), "#!/bin/sh\n", true);
    }
    machine.folders.push(format!("{FOLDER}/fixtures/example").into());
    let document: Json = json5::from_str(EXAMPLE).unwrap();
    for profile in [None, Some("production")] {
        let run = run_on(&document, profile, &machine);
        assert_eq!(run.lines(), Vec::<String>::new());
        let names: Vec<&str> = run.resolved.apps.iter().map(|app| app.name.as_str()).collect();
        assert_eq!(names, ["ticker", "worker", "setup"]);
    }
    // With everything in use it still is one: what is at rest is right as well.
    let awake: String = EXAMPLE
        .lines()
        .map(|line| if key_of_line(line).is_empty() { line.to_owned() } else { line.replacen("// ", "", 1) })
        .map(|line| line + "\n")
        .collect();
    let document: Json = json5::from_str(&awake).unwrap();
    for file in [".env", ".env.local"] {
        machine.add(&format!("{FOLDER}/fixtures/example/{file}"), "A=1\n", false);
    }
    machine.add(&format!("{FOLDER}/fixtures/example/package-lock.json"), "", false);
    let run = run_on(&document, None, &machine);
    assert_eq!(run.lines(), Vec::<String>::new());
}

fn any_json() -> impl proptest::strategy::Strategy<Value = Json> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        (-3_i64..1_000_000_000_000).prop_map(Json::from),
        "[ -~\\n\u{0}\u{7}é🦀'\"]{0,12}".prop_map(Json::from),
        prop_oneof![Just("x.sh"), Just("max"), Just("git"), Just("3s"), Just("sleep 1"), Just("~/x"), Just("../..")]
            .prop_map(Json::from),
    ];
    let keys: Vec<String> = rows().map(key_of).chain(["apps", "pm2", "deploy", "x"].map(str::to_owned)).collect();
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let key = prop_oneof![4 => proptest::sample::select(keys.clone()), 1 => "[a-z_]{0,9}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            proptest::collection::vec((key, inner), 0..6)
                .prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    /// Whatever a file holds: no panic, every app is accounted for, and names that pass are unique.
    #[test]
    fn any_document_is_an_answer(document in any_json()) {
        for profile in [None, Some("production")] {
            let run = run_on(&document, profile, &Table::usual());
            if run.errors().is_empty() {
                let names: std::collections::BTreeSet<&str> =
                    run.resolved.apps.iter().map(|app| app.name.as_str()).collect();
                assert_eq!(names.len(), run.resolved.apps.len());
                for app in &run.resolved.apps {
                    assert!(!app.name.is_empty() && !app.name.contains(char::is_control) && app.instances >= 1 && app.cwd.starts_with('/'));
                    assert!(!app.env.keys().any(|name| name.is_empty() || name.contains(['=', '\0'])));
                    assert!(app.depends_on.iter().all(|name| names.contains(name.as_str())));
                }
            }
            assert_eq!(run.lines(), run_on(&document, profile, &Table::usual()).lines());
        }
    }
}

#[test]
fn a_file_of_very_many_keys_is_read_in_time() {
    let many = |prefix: &str| -> serde_json::Map<String, Json> {
        (0..50_000).map(|index| (format!("{prefix}{index}"), json!({}))).collect()
    };
    let mut app = many("env_p");
    app.extend(many("unknown"));
    app.insert("env".to_owned(), Json::Object(many("V")));
    app.insert("script".to_owned(), json!("x.sh"));
    let run = run(&Json::Object(app));
    assert_eq!((run.resolved.apps[0].env.len(), run.diagnostics.len()), (50_000, 50_000));
}

#[test]
fn very_many_unknown_dependencies_are_told_in_time() {
    let apps: Vec<Json> = (0..1_000)
        .map(|index| {
            let needs: Vec<String> = (0..50).map(|need| format!("missing-service-{index}-{need}")).collect();
            json!({ "name": format!("service-{index}"), "script": "x.sh", "depends_on": needs })
        })
        .collect();
    assert_eq!(run(&json!(apps)).errors().len(), 50_000);
}

#[test]
fn a_second_pm2_key_is_an_error() {
    let app = |script: &str| node(&json!([{ "script": script }]));
    let entry = |key: &str, value: Node| Entry { key: Key { text: key.to_owned(), span: None }, value };
    let pm2 = ["x.sh", "x.sh"].map(|script| entry("pm2", app(script)));
    let twice = Node::new(Kind::Mapping(pm2.into()), None);
    let want = "error at pm2: `pm2` is written twice at the top level (keep one of them)";
    assert_eq!(run_node(&twice, None, &Table::usual()).errors(), [want]);
}

#[test]
fn what_does_nothing_alone_is_told() {
    let told = |options: Json| run(&with_script(&options)).lines();
    for (option, value, others) in [
        ("schedule_overlap", json!("queue"), "`schedule`"),
        ("cron_timezone", json!("UTC"), "`schedule` or `cron_restart`"),
    ] {
        let want = format!("warning at apps[0].{option}: `{option}` of `apps[0]` does nothing without {others}");
        assert_eq!(told(json!({ option: value })), [want]);
    }
    for fine in [
        json!({ "schedule": "0 3 * * *", "autorestart": false, "cron_timezone": "UTC", "schedule_overlap": "skip" }),
        json!({ "cron_restart": "0 3 * * *", "cronTimezone": "UTC" }),
        json!({ "ignore_watch": ["x"], "watch_delay": 5, "watch_options": { "usePolling": true } }),
        json!({ "log_type": "text" }),
    ] {
        assert_eq!(told(fine), [""; 0]);
    }
}

#[test]
fn what_a_job_cannot_use_is_told() {
    let told = |options: Json| run(&with_script(&options)).lines();
    let aged = "warning at apps[0].max_age: `max_age` of `apps[0]` starts anew what `autorestart: false` has run once: a run that \
                takes longer never comes to its end (take one of them out)";
    assert_eq!(told(json!({ "autorestart": false, "max_age": "1h" })), [aged]);
    assert_eq!(
        told(json!({ "schedule": "@daily", "max_age": "1h", "watch": true })),
        [
            "warning at apps[0].watch: `watch` of `apps[0]` does nothing with `schedule`: each run has the files as they are when it begins",
            "warning at apps[0].max_age: `max_age` of `apps[0]` does nothing with `schedule`: a run ends by itself",
        ]
    );
    for fine in [
        json!({ "autorestart": false, "max_age": 0 }),
        json!({ "max_age": "1h", "watch": true }),
        json!({ "schedule": "@daily", "watch": false, "ignore_watch": ["x"] }),
        json!({ "autorestart": false, "cron_restart": "@daily", "watch": true }),
    ] {
        assert_eq!(told(fine), [""; 0]);
    }
}

#[test]
fn instances_that_are_asked_at_one_port_are_told() {
    let told = |options: Json| run(&with_script(&options)).lines().len();
    let check = |target: &str| json!({ "tcp": target });
    let one = json!({ "instances": 2, "health_check": check("localhost:80") });
    assert_eq!(
        run(&with_script(&one)).lines(),
        [
            "warning at apps[0].health_check: `health_check` asks all 2 instances of `apps[0]` at one address, `localhost:80`: \
             only one of them can listen there (count a port up with `increment_var: \"PORT\"`, and write `$PORT` in the address)"
        ]
    );
    let env = json!({ "PORT": 3000 });
    for (options, want) in [
        (json!({ "health_check": check("localhost:80") }), 0),
        (json!({ "instances": 2, "health_check": { "exec": "curl localhost:80" } }), 0),
        (json!({ "instances": 2, "health_check": { "http": "http://localhost/health" } }), 1),
        (json!({ "instances": 2, "health_check": { "http": "http://[::1]:80/health" } }), 1),
        (json!({ "instances": 2, "health_check": check("db:5432") }), 0),
        (json!({ "instances": 2, "env": env, "health_check": check("localhost:$PORT") }), 1),
        (json!({ "instances": 2, "env": env, "increment_var": "PORT", "health_check": check("localhost:${PORT}") }), 0),
        (json!({ "instances": 2, "env": env, "increment_var": "PORT", "health_check": check("localhost:80") }), 1),
        (json!({ "instances": 2, "health_check": check("localhost:$PORT") }), 0),
    ] {
        assert_eq!(told(options.clone()), want, "{options}");
    }
}

#[test]
fn parts_of_an_option_are_found_as_options_are() {
    for (written, want) in [
        ("startPeriod", "startup"),
        ("start_period", "startup"),
        ("unhealthyThreshold", "unhealthy_threshold"),
        ("healthy-threshold", "healthy_threshold"),
        ("failureThreshold", "unhealthy_threshold"),
        ("retries", "unhealthy_threshold"),
        ("intervall", "interval"),
    ] {
        check(
            &json!({ "healthCheck": { "tcp": "a:1", written: 5 } }),
            &[&format!(
                "warning at apps[0].healthCheck.{written}: unknown option `{written}` in `healthCheck` (did you mean `{want}`?)"
            )],
        );
    }
    check(
        &json!({ "watch": true, "watchOptions": { "use_polling": true } }),
        &[
            "warning at apps[0].watchOptions.use_polling: unknown option `use_polling` in `watchOptions` (did you mean `usePolling`?)",
        ],
    );
    let limits = "as, core, cpu, data, fsize, memlock, nofile, nproc, rtprio, sigpending, stack";
    check(
        &json!({ "rlimits": { "RLIMIT_NOFILE": 99 } }),
        &[&format!(
            "error at apps[0].rlimits.RLIMIT_NOFILE: `rlimits` has no limit `RLIMIT_NOFILE`: there are {limits} (did you mean `nofile`?)"
        )],
    );
    let apps = json!([
        { "name": "a", "script": "x.sh" },
        { "name": "b", "script": "x.sh", "dependsOn": { "a": { "onExit": "stop" } } },
    ]);
    assert_eq!(
        run(&apps).lines(),
        ["warning at [1] (b).dependsOn.a.onExit: unknown option `onExit` in `dependsOn` (did you mean `on_exit`?)"]
    );
}
