use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value as Json;

use super::Change;
use super::redact::{shown_digest, shown_env, shown_list, shown_text};
use crate::base::{Key, Signal, format_bytes, format_millis, parse_bytes, sha256_hex};
use crate::spec::{
    AppSpec, ExecMode, Field, Fingerprint as Code, FingerprintBy, HealthCheck, Impact, Limits, LogTarget, Logs, Need,
    Probe, Readiness, RestartPolicy, Rotation, StopPolicy, Watch,
};

/// Every field in which two specs differ, in the order of [`AppSpec`]'s, secrets hidden.
///
/// A variable and a file of the fingerprint are a change each (`env.PORT`, `code.dist/server.js`); everything else
/// is one change an option.
#[must_use]
pub fn compare(was: &AppSpec, is: &AppSpec, key: &Key) -> Vec<Change> {
    let mut changes = Vec::new();
    for ((field, old), (_, new)) in fields(was).into_iter().zip(fields(is)) {
        if field == Field::Code {
            changes.extend(code_changes(was, is, key));
        } else if old != new {
            differences(field, &old, &new, key, &mut changes);
        }
    }
    changes
}

/// Every field of a spec as people write it, nothing hidden. None where it is not set.
#[must_use]
pub fn values(spec: &AppSpec) -> Vec<(Field, Option<String>)> {
    fields(spec).into_iter().map(|(field, value)| (field, plain(&value))).collect()
}

fn code_changes(old: &AppSpec, new: &AppSpec, key: &Key) -> Vec<Change> {
    let change = |(label, old, new): (&str, Option<&str>, Option<&str>)| {
        let shown = |digest: Option<&str>| digest.map(|digest| shown_digest(label, digest, key));
        let (old, new) = (shown(old), shown(new));
        let (old, new) = short_digests(old.as_deref(), new.as_deref());
        Change { field: Field::Code, path: format!("code.{label}"), old, new, impact: Field::Code.impact() }
    };
    Code::changed(old, new).into_iter().map(change).collect()
}

/// Whether a process that was started from one spec is as good as one started from the other: all that it sees is
/// the same. The name is no part of that, so that a rename moves nothing.
#[must_use]
pub fn process_visible_eq(a: &AppSpec, b: &AppSpec) -> bool {
    differs_in_code_at_most(a, b) && (a.fingerprint == b.fingerprint || Code::changed(a, b).is_empty())
}

/// The same but for the code that a process runs.
#[must_use]
pub fn differs_in_code_at_most(a: &AppSpec, b: &AppSpec) -> bool {
    let compared = |field: Field| process_sees(field) && field != Field::Code;
    fields(a).into_iter().zip(fields(b)).filter(|((field, _), _)| compared(*field)).all(|((_, a), (_, b))| a == b)
}

/// 16 hexadecimal digits that stand for everything a process sees of its spec; what `PMRUN_SPEC` carries.
///
/// Values that are the default are left out of what is digested, so that a later version with more options gives
/// the same digest to the same app.
#[must_use]
pub fn spec_digest(spec: &AppSpec) -> String {
    let default = AppSpec::new("", "", "");
    let seen: BTreeMap<&str, Value<'_>> = fields(spec)
        .into_iter()
        .zip(fields(&default))
        .filter(|((field, value), (_, usual))| process_sees(*field) && value != usual)
        .map(|((field, value), _)| (field.option(), value))
        .collect();
    // Strings, numbers and maps of them: there is nothing that JSON could refuse.
    let bytes = serde_json::to_vec(&seen).unwrap_or_default();
    sha256_hex(&bytes).chars().take(16).collect()
}

fn process_sees(field: Field) -> bool {
    field.impact() >= Impact::Reload
}

/// A field's value: compared, digested and shown without being copied.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Flag(bool),
    Count(u32),
    Whole(i32),
    Limits(&'a BTreeMap<String, Option<u64>>),
    Uses(&'a Limits),
    Millis(u64),
    Bytes(Option<u64>),
    Text(Option<&'a str>),
    Words(&'a [String]),
    Needs { apps: &'a [String], needs: &'a BTreeMap<String, Need> },
    Health(Option<&'a HealthCheck>),
    Codes(&'a [i32]),
    Vars(&'a BTreeMap<String, String>),
    Digests(&'a BTreeMap<String, String>),
    By(&'a FingerprintBy),
    Mode(ExecMode),
    Signal(Signal),
    Log(Option<&'a LogTarget>),
    Watched { enabled: bool, paths: &'a [String] },
    Json(Option<&'a Json>),
}

/// The one list of everything an app consists of. A field that is added to a spec does not compile until it is
/// here, and one that is here has an [`Impact`].
fn fields(spec: &AppSpec) -> [(Field, Value<'_>); Field::ALL.len()] {
    let AppSpec {
        name,
        namespace,
        script,
        args,
        interpreter,
        interpreter_args,
        cwd,
        env,
        filter_env,
        listen,
        distribution,
        exec_mode,
        instances,
        instance_var,
        increment_var,
        autostart,
        restart: RestartPolicy { auto, max_restarts, min_uptime_ms, delay_ms, backoff_ms, stop_exit_codes, max_age_ms },
        stop: StopPolicy { signal, timeout_ms: kill_timeout_ms, drain_ms, tree, message },
        readiness: Readiness { wait_ready, log: ready_log, timeout_ms: listen_timeout_ms },
        logs: Logs { out, error, combined, merge, date_format, json, rotation: Rotation { max_size, retain, compress } },
        pid_file,
        depends_on,
        needs,
        health_check,
        fingerprint: Code(code),
        fingerprint_by,
        renamed_from,
        watch: Watch { enabled: watched, paths, ignore, delay_ms: watch_delay_ms, options },
        cron_restart,
        schedule,
        schedule_overlap,
        cron_timezone,
        max_memory_restart,
        uid,
        gid,
        umask,
        nice,
        rlimits,
        limits,
    } = spec;
    [
        (Field::Name, Value::Text(Some(name))),
        (Field::Namespace, Value::Text(Some(namespace))),
        (Field::Script, Value::Text(Some(script))),
        (Field::Args, Value::Words(args)),
        (Field::Interpreter, Value::Text(interpreter.as_deref())),
        (Field::InterpreterArgs, Value::Words(interpreter_args)),
        (Field::Cwd, Value::Text(Some(cwd))),
        (Field::Env, Value::Vars(env)),
        (Field::FilterEnv, Value::Words(filter_env)),
        (Field::Listen, Value::Words(listen)),
        (Field::Distribution, Value::Text(Some(distribution.word()))),
        (Field::ExecMode, Value::Mode(*exec_mode)),
        (Field::Instances, Value::Count(*instances)),
        (Field::InstanceVar, Value::Text(Some(instance_var))),
        (Field::IncrementVar, Value::Text(increment_var.as_deref())),
        (Field::Autostart, Value::Flag(*autostart)),
        (Field::Autorestart, Value::Flag(*auto)),
        (Field::MaxRestarts, Value::Count(*max_restarts)),
        (Field::MinUptime, Value::Millis(*min_uptime_ms)),
        (Field::RestartDelay, Value::Millis(*delay_ms)),
        (Field::ExpBackoffRestartDelay, Value::Millis(*backoff_ms)),
        (Field::StopExitCodes, Value::Codes(stop_exit_codes)),
        (Field::MaxAge, Value::Millis(*max_age_ms)),
        (Field::StopSignal, Value::Signal(*signal)),
        (Field::KillTimeout, Value::Millis(*kill_timeout_ms)),
        (Field::DrainTimeout, Value::Millis(*drain_ms)),
        (Field::Treekill, Value::Flag(*tree)),
        (Field::ShutdownWithMessage, Value::Flag(*message)),
        (Field::WaitReady, Value::Flag(*wait_ready)),
        (Field::ReadyLog, Value::Text(ready_log.as_deref())),
        (Field::ListenTimeout, Value::Millis(*listen_timeout_ms)),
        (Field::OutFile, Value::Log(Some(out))),
        (Field::ErrorFile, Value::Log(Some(error))),
        (Field::LogFile, Value::Log(combined.as_ref())),
        (Field::MergeLogs, Value::Flag(*merge)),
        (Field::LogDateFormat, Value::Text(date_format.as_deref())),
        (Field::LogType, Value::Text(Some(if *json { "json" } else { "raw" }))),
        (Field::LogMaxSize, Value::Bytes(Some(*max_size))),
        (Field::LogRetain, Value::Count(*retain)),
        (Field::LogCompress, Value::Flag(*compress)),
        (Field::PidFile, Value::Text(pid_file.as_deref())),
        (Field::DependsOn, Value::Needs { apps: depends_on, needs }),
        (Field::HealthCheck, Value::Health(health_check.as_ref())),
        (Field::Code, Value::Digests(code)),
        (Field::Fingerprint, Value::By(fingerprint_by)),
        (Field::RenamedFrom, Value::Text(renamed_from.as_deref())),
        (Field::Watch, Value::Watched { enabled: *watched, paths }),
        (Field::IgnoreWatch, Value::Words(ignore)),
        (Field::WatchDelay, Value::Millis(*watch_delay_ms)),
        (Field::WatchOptions, Value::Json(options.as_ref())),
        (Field::CronRestart, Value::Text(cron_restart.as_deref())),
        (Field::Schedule, Value::Text(schedule.as_deref())),
        (Field::ScheduleOverlap, Value::Text(Some(schedule_overlap.word()))),
        (Field::CronTimezone, Value::Text(cron_timezone.as_deref())),
        (Field::MaxMemoryRestart, Value::Bytes(*max_memory_restart)),
        (Field::Uid, Value::Text(uid.as_deref())),
        (Field::Gid, Value::Text(gid.as_deref())),
        (Field::Umask, Value::Text(umask.as_deref())),
        (Field::Nice, Value::Whole(*nice)),
        (Field::Rlimits, Value::Limits(rlimits)),
        (Field::Limits, Value::Uses(limits)),
    ]
}

/// One change a variable or file, else one for the whole field.
fn differences(field: Field, old: &Value<'_>, new: &Value<'_>, key: &Key, changes: &mut Vec<Change>) {
    let mut push = |path, old, new| changes.push(Change { field, path, old, new, impact: field.impact() });
    match (old, new) {
        (Value::Vars(old), Value::Vars(new)) => {
            for (name, old, new) in moved(old, new) {
                let shown = |value: &String| shown_env(name, value, key);
                push(format!("env.{name}"), old.map(shown), new.map(shown));
            }
        }
        _ => push(field.option().to_owned(), shown(old, key), shown(new, key)),
    }
}

type Moved<'a> = (&'a String, Option<&'a String>, Option<&'a String>);

/// The entries that two maps do not share, by name.
fn moved<'a>(old: &'a BTreeMap<String, String>, new: &'a BTreeMap<String, String>) -> impl Iterator<Item = Moved<'a>> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names.into_iter().map(|name| (name, old.get(name), new.get(name))).filter(|(_, old, new)| old != new)
}

/// Eight characters tell two versions of a file apart; where they do not, all are shown.
fn short_digests(old: Option<&str>, new: Option<&str>) -> (Option<String>, Option<String>) {
    let short = |digest: &str| digest.chars().take(8).collect::<String>();
    let (short_old, short_new) = (old.map(short), new.map(short));
    if short_old == short_new { (old.map(str::to_owned), new.map(str::to_owned)) } else { (short_old, short_new) }
}

/// Nothing where the option is not set.
fn shown(value: &Value<'_>, key: &Key) -> Option<String> {
    match value {
        Value::Flag(flag) => Some(flag.to_string()),
        Value::Count(count) => Some(count.to_string()),
        Value::Whole(number) => Some(number.to_string()),
        Value::Limits(limits) => {
            let limit = |limit: &Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
            let limits: Vec<String> = limits.iter().map(|(name, value)| format!("{name}: {}", limit(value))).collect();
            Some(format!("{{{}}}", limits.join(", ")))
        }
        Value::Uses(Limits { memory, cpu_percent, pids }) => {
            let limits = [
                memory.map(|bytes| format!("memory: {}", exact_bytes(bytes))),
                cpu_percent.map(|percent| format!("cpu: {percent}%")),
                pids.map(|pids| format!("pids: {pids}")),
            ];
            let limits: Vec<String> = limits.into_iter().flatten().collect();
            (!limits.is_empty()).then(|| format!("{{{}}}", limits.join(", ")))
        }
        Value::Millis(ms) => Some(format_millis(*ms)),
        Value::Bytes(bytes) => bytes.map(exact_bytes),
        Value::Text(text) => text.map(|text| shown_text(text, key)),
        Value::Words(words) => Some(shown_list(words, key)),
        Value::Needs { apps, needs } => {
            let need = |app: &String| needs.get(app).map(ToString::to_string).unwrap_or_default();
            let apps: Vec<String> = apps.iter().map(|app| format!("{}{}", shown_text(app, key), need(app))).collect();
            Some(format!("[{}]", apps.join(", ")))
        }
        Value::Health(check) => check.map(|check| shown_check(check, key)),
        Value::Codes(codes) => {
            let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
            Some(format!("[{}]", codes.join(", ")))
        }
        // These two are shown entry by entry; how many there are is all that is left to say.
        Value::Vars(entries) | Value::Digests(entries) => Some(entries.len().to_string()),
        Value::By(FingerprintBy::Script) => Some("true".to_owned()),
        Value::By(FingerprintBy::Globs(globs)) => Some(shown_list(globs, key)),
        Value::By(FingerprintBy::Git) => Some("git".to_owned()),
        Value::By(FingerprintBy::Off) => Some("false".to_owned()),
        Value::Mode(ExecMode::Fork) => Some("fork".to_owned()),
        Value::Mode(ExecMode::Cluster) => Some("cluster".to_owned()),
        Value::Signal(signal) => Some(signal.to_string()),
        Value::Log(target) => target.map(|target| match target {
            LogTarget::Default => "default".to_owned(),
            LogTarget::Path(path) => shown_text(path, key),
            LogTarget::Null => "null".to_owned(),
        }),
        Value::Watched { enabled, paths: [] } => Some(enabled.to_string()),
        Value::Watched { enabled: true, paths } => Some(shown_list(paths, key)),
        Value::Watched { enabled: false, paths } => Some(format!("false, not {}", shown_list(paths, key))),
        Value::Json(json) => json.map(|json| shown_text(&json.to_string(), key)),
    }
}

/// What differs from the defaults.
fn shown_check(check: &HealthCheck, key: &Key) -> String {
    described(check, |text| shown_text(text, key), |words| shown_list(words, key))
}

fn described(check: &HealthCheck, text: impl Fn(&str) -> String, list: impl Fn(&[String]) -> String) -> String {
    let HealthCheck { probe, interval_ms, timeout_ms, startup_ms, unhealthy_threshold, healthy_threshold, action } =
        check;
    let usual = HealthCheck::new(probe.clone());
    let millis =
        |name: &str, value: u64, usual: u64| (value != usual).then(|| format!("{name}: {}", format_millis(value)));
    let count = |name: &str, value: u32, usual: u32| (value != usual).then(|| format!("{name}: {value}"));
    let probe = match probe {
        Probe::Http(url) => format!("http: {}", text(url)),
        Probe::Tcp(address) => format!("tcp: {}", text(address)),
        Probe::Exec(words) => format!("exec: {}", list(words)),
    };
    let parts = [
        Some(probe),
        millis("interval", *interval_ms, usual.interval_ms),
        millis("timeout", *timeout_ms, usual.timeout_ms),
        millis("startup", *startup_ms, usual.startup_ms),
        count("unhealthy_threshold", *unhealthy_threshold, usual.unhealthy_threshold),
        count("healthy_threshold", *healthy_threshold, usual.healthy_threshold),
        (*action != usual.action).then(|| format!("action: {}", action.word())),
    ];
    format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// The same as [`shown`], with every secret in it.
fn plain(value: &Value<'_>) -> Option<String> {
    let list = |words: &[String]| {
        let words: Vec<String> = words.iter().map(|word| Json::from(word.as_str()).to_string()).collect();
        format!("[{}]", words.join(", "))
    };
    match value {
        Value::Text(text) => text.map(str::to_owned),
        Value::Words(words) => Some(list(words)),
        Value::By(FingerprintBy::Globs(globs)) => Some(list(globs)),
        Value::Log(Some(LogTarget::Path(path))) => Some(path.clone()),
        Value::Watched { enabled: true, paths } if !paths.is_empty() => Some(list(paths)),
        Value::Json(json) => json.map(Json::to_string),
        Value::Health(check) => check.map(|check| described(check, str::to_owned, list)),
        // Nothing of the rest is text that could hold one.
        other => shown(other, &Key([0; 32])),
    }
}

/// With a unit where that loses nothing: two sizes that differ must not be shown alike.
fn exact_bytes(bytes: u64) -> String {
    let text = format_bytes(bytes);
    if parse_bytes(&text) == Some(bytes) { text } else { format!("{bytes}B") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Distribution, Overlap};

    const KEY: Key = Key([7; 32]);

    fn spec() -> AppSpec {
        AppSpec::new("api", "/srv/api.js", "/srv")
    }

    /// A spec that differs from [`spec`] in one field.
    fn altered(field: Field) -> AppSpec {
        let mut app = spec();
        let text = || Some("x".to_owned());
        let words = || vec!["x".to_owned()];
        match field {
            Field::Name => app.name = "x".into(),
            Field::Namespace => app.namespace = "x".into(),
            Field::Script => app.script = "/x".into(),
            Field::Args => app.args = words(),
            Field::Interpreter => app.interpreter = text(),
            Field::InterpreterArgs => app.interpreter_args = words(),
            Field::Cwd => app.cwd = "/x".into(),
            Field::Env => _ = app.env.insert("A".into(), "1".into()),
            Field::FilterEnv => app.filter_env = words(),
            Field::Listen => app.listen = words(),
            Field::Distribution => app.distribution = Distribution::Sticky,
            Field::ExecMode => app.exec_mode = ExecMode::Cluster,
            Field::Instances => app.instances = 3,
            Field::InstanceVar => app.instance_var = "X".into(),
            Field::IncrementVar => app.increment_var = text(),
            Field::Autostart => app.autostart = false,
            Field::Autorestart => app.restart.auto = false,
            Field::MaxRestarts => app.restart.max_restarts = 0,
            Field::MinUptime => app.restart.min_uptime_ms = 5,
            Field::RestartDelay => app.restart.delay_ms = 5,
            Field::ExpBackoffRestartDelay => app.restart.backoff_ms = 5,
            Field::StopExitCodes => app.restart.stop_exit_codes = vec![0],
            Field::MaxAge => app.restart.max_age_ms = 5,
            Field::StopSignal => app.stop.signal = Signal::TERM,
            Field::KillTimeout => app.stop.timeout_ms = 5,
            Field::DrainTimeout => app.stop.drain_ms = 5,
            Field::Treekill => app.stop.tree = false,
            Field::ShutdownWithMessage => app.stop.message = true,
            Field::WaitReady => app.readiness.wait_ready = true,
            Field::ReadyLog => app.readiness.log = text(),
            Field::ListenTimeout => app.readiness.timeout_ms = 5,
            Field::OutFile => app.logs.out = LogTarget::Path("/x".into()),
            Field::ErrorFile => app.logs.error = LogTarget::Null,
            Field::LogFile => app.logs.combined = Some(LogTarget::Default),
            Field::MergeLogs => app.logs.merge = true,
            Field::LogDateFormat => app.logs.date_format = text(),
            Field::LogType => app.logs.json = true,
            Field::LogMaxSize => app.logs.rotation.max_size = 5,
            Field::LogRetain => app.logs.rotation.retain = 5,
            Field::LogCompress => app.logs.rotation.compress = false,
            Field::PidFile => app.pid_file = text(),
            Field::DependsOn => app.depends_on = words(),
            Field::HealthCheck => app.health_check = Some(HealthCheck::new(Probe::Tcp("localhost:1".into()))),
            Field::Code => _ = app.fingerprint.0.insert("api.js".into(), "aa".into()),
            Field::Fingerprint => app.fingerprint_by = FingerprintBy::Git,
            Field::RenamedFrom => app.renamed_from = text(),
            Field::Watch => app.watch.paths = words(),
            Field::IgnoreWatch => app.watch.ignore = words(),
            Field::WatchDelay => app.watch.delay_ms = 5,
            Field::WatchOptions => app.watch.options = Some(serde_json::json!({ "x": 1 })),
            Field::CronRestart => app.cron_restart = text(),
            Field::Schedule => app.schedule = text(),
            Field::ScheduleOverlap => app.schedule_overlap = Overlap::Queue,
            Field::CronTimezone => app.cron_timezone = text(),
            Field::MaxMemoryRestart => app.max_memory_restart = Some(5),
            Field::Uid => app.uid = text(),
            Field::Gid => app.gid = text(),
            Field::Umask => app.umask = text(),
            Field::Nice => app.nice = 5,
            Field::Rlimits => _ = app.rlimits.insert("core".into(), Some(0)),
            Field::Limits => app.limits.pids = Some(5),
        }
        app
    }

    #[test]
    fn fields_are_listed_once_and_in_order() {
        assert_eq!(fields(&spec()).map(|(field, _)| field), Field::ALL);
    }

    #[test]
    fn every_field_is_one_change_and_processes_see_what_its_impact_says() {
        for field in Field::ALL {
            let app = altered(field);
            let changes = compare(&spec(), &app, &KEY);
            assert_eq!(changes.iter().map(|change| change.field).collect::<Vec<_>>(), [field]);
            assert_ne!(changes[0].old, changes[0].new, "{field:?}");
            let visible = field.impact() >= Impact::Reload;
            assert_eq!(process_visible_eq(&spec(), &app), !visible, "{field:?}");
            assert_eq!(spec_digest(&spec()) == spec_digest(&app), !visible, "{field:?}");
        }
        assert_eq!(compare(&spec(), &spec(), &KEY), []);
    }

    #[test]
    fn the_digest_is_stable_between_versions() {
        // Processes that run carry it: a change here makes the next daemon replace all of them.
        assert_eq!(spec_digest(&spec()), "9a3ec2f636e2ce5c");
    }

    #[test]
    fn values_are_shown_as_people_write_them() {
        let mut old = spec();
        let mut new = spec();
        old.env = [("A", "1"), ("GONE", "x"), ("PORT", "3000")].map(|(k, v)| (k.into(), v.into())).into();
        new.env =
            [("A", "1"), ("PORT", "3001"), ("NEW", ""), ("API_KEY", "k")].map(|(k, v)| (k.into(), v.into())).into();
        new.args = vec!["--port".into(), "80 81".into()];
        new.max_memory_restart = Some(300 << 20);
        old.restart.min_uptime_ms = 1_500;
        new.restart.stop_exit_codes = vec![0, 143];
        old.fingerprint.0.insert("dist/server.js".into(), "aaaaaaaaaa11".into());
        new.fingerprint.0.insert("dist/server.js".into(), "aaaaaaaaaa22".into());
        new.watch.enabled = true;
        let lines: Vec<String> = compare(&old, &new, &KEY)
            .iter()
            .map(|c| {
                let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
                format!("{}: {} -> {}", c.path, side(&c.old), side(&c.new))
            })
            .collect();
        assert_eq!(
            lines,
            [
                "args: [] -> [--port, \"80 81\"]".to_owned(),
                format!("env.API_KEY: - -> {}", shown_env("API_KEY", "k", &KEY)),
                "env.GONE: x -> -".to_owned(),
                "env.NEW: - -> \"\"".to_owned(),
                "env.PORT: 3000 -> 3001".to_owned(),
                "min_uptime: 1.5s -> 1s".to_owned(),
                "stop_exit_codes: [] -> [0, 143]".to_owned(),
                "code.dist/server.js: aaaaaaaaaa11 -> aaaaaaaaaa22".to_owned(),
                "watch: false -> true".to_owned(),
                "max_memory_restart: - -> 300M".to_owned(),
            ]
        );
    }

    #[test]
    fn sizes_that_differ_are_shown_differently() {
        assert_eq!(exact_bytes(300 << 20), "300M");
        assert_eq!(exact_bytes((300 << 20) + 1), "314572801B");
    }
}
