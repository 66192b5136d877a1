use std::collections::BTreeMap;
use std::sync::Arc;

use super::table::{App, Instance, Table};
use super::work::Declared;
use super::{AppRecord, InstanceRecord, Intent, Standing, State, Stranger, Survivor};
use crate::base::{InstanceId, Key, Now, first, format_span, is_second, second};
use crate::plan::{
    ActualApp, ActualInstance, Liveness, Snapshot, Step, holds_secret, shown_digest, shown_env, shown_text, shown_words,
};
use crate::rpc::wire::{AppView, BesideView, InstanceView, StrangerView};
use crate::schedule::Agenda;
use crate::spec::{AppSpec, ExecMode, Probe};
use crate::supervisor::{
    self, Cause, ErrorReason, Layout, Machine, Output, StopPhase, Then, combined_log, log_outputs,
};

/// What `list` says of a process that nobody knows.
#[must_use]
pub fn stranger(stranger: &Stranger) -> StrangerView {
    let InstanceId { app, slot } = &stranger.instance;
    StrangerView { pid: stranger.pid, name: app.clone(), slot: *slot }
}

/// What `list` shows when no daemon runs: everything known, nothing running.
#[must_use]
pub fn offline_views(state: &State, layout: &Layout, unwatched: &Unwatched) -> Vec<InstanceView> {
    let mut views: Vec<InstanceView> = state
        .apps
        .values()
        .flat_map(|record| {
            record.instances.iter().map(|(slot, instance)| {
                let logs = logs(&record.spec, instance.launched_as.as_deref(), (*slot, instance.id), layout);
                let mut view = blank(record, *slot, instance.id, logs);
                view.runs.clone_from(&instance.runs);
                if let Some(survivor) = unwatched.get(&InstanceId::new(view.name.as_str(), *slot)) {
                    view.pid = Some(survivor.pid);
                    view.started_at_ms = Some(survivor.started_at_ms);
                    "online".clone_into(&mut view.state);
                    view.detail = Some(
                        match instance.intent {
                            Intent::Stopped => {
                                "its stop was cut short: the next command that changes something ends it"
                            }
                            Intent::Up | Intent::Done { .. } => {
                                "no daemon watches it until the next command that changes something"
                            }
                        }
                        .to_owned(),
                    );
                    return view;
                }
                match instance.intent {
                    Intent::Up => {
                        let what = match record.spec.schedule {
                            Some(_) => "has a schedule, and no daemon that runs it: the next command that changes something starts one",
                            None => "should run: the next command that changes something starts it",
                        };
                        view.detail = Some(what.to_owned());
                    }
                    Intent::Stopped => {}
                    Intent::Done { status } => {
                        "completed".clone_into(&mut view.state);
                        view.detail = Some(status.to_string());
                        view.last_exit = Some(status);
                    }
                }
                view
            })
        })
        .collect();
    views.sort_by_key(|view| view.id);
    views
}

/// What `show` shows when no daemon runs. Secrets in the specs are hidden unless `reveal`; whole variables are for programs.
#[must_use]
pub fn offline_apps(state: &State, layout: &Layout, unwatched: &Unwatched, reveal: bool, whole: bool) -> Vec<AppView> {
    let views = offline_views(state, layout, unwatched);
    let records = state.apps.iter().map(|(name, record)| (name.as_str(), record));
    let spec = |spec: &AppSpec| presented(spec, &state.key, reveal, whole);
    grouped(views, &records.collect(), spec)
}

/// What `diff` compares with when no daemon runs: only what is really there counts as running. Where the last daemon knew of
/// other code that runs, by the number that `list` shows, that is what the next will know.
#[must_use]
pub fn offline_snapshot(state: &State, unwatched: &Unwatched, stood: &BTreeMap<u32, Standing>) -> Snapshot {
    let app = |name: &String, record: &AppRecord| {
        let instance = |slot: u32, known: &InstanceRecord| match unwatched.get(&InstanceId::new(name.as_str(), slot)) {
            // The next daemon brings the stop that was begun to its end.
            Some(_) if known.intent == Intent::Stopped => {
                ActualInstance { liveness: Liveness::Stopped, launched: None }
            }
            Some(survivor) => {
                let same = known.is_current(&survivor.spec_digest, &record.spec);
                let standing = stood.get(&known.id).filter(|standing| standing.pid() == Some(survivor.pid));
                let launched = standing.and_then(|standing| standing.other_code(&record.spec));
                let launched = launched.or_else(|| same.then(|| Arc::clone(&record.spec)));
                ActualInstance { liveness: Liveness::Up, launched }
            }
            None => match known.intent {
                Intent::Up | Intent::Stopped => ActualInstance { liveness: Liveness::Stopped, launched: None },
                Intent::Done { status } => {
                    let standing = stood
                        .get(&known.id)
                        .filter(|standing| standing.state == supervisor::State::Completed { status });
                    let launched = standing.and_then(|standing| standing.other_code(&record.spec));
                    let launched = launched.unwrap_or_else(|| Arc::clone(&record.spec));
                    ActualInstance { liveness: Liveness::Completed, launched: Some(launched) }
                }
            },
        };
        ActualApp {
            ecosystem: record.ecosystem.clone(),
            file: record.file.clone(),
            spec: Arc::clone(&record.spec),
            instances: record.instances.iter().map(|(slot, known)| (*slot, instance(*slot, known))).collect(),
            downtime_ms: None,
        }
    };
    Snapshot {
        generation: state.generation,
        apps: state.apps.iter().map(|(name, record)| (name.clone(), app(name, record))).collect(),
    }
}

/// What runs though no daemon watches it.
pub type Unwatched = BTreeMap<InstanceId, Survivor>;

/// What `list` shows, by id.
pub(super) fn views(table: &Table, now: Now) -> Vec<InstanceView> {
    let mut views: Vec<InstanceView> = table
        .apps
        .values()
        .flat_map(|app| {
            // Who goes may be the last of its slot.
            let is_shown = |slot: u32| !is_second(slot) || !app.instances.contains_key(&first(slot));
            let shown = app.instances.iter().filter(move |(slot, _)| is_shown(**slot));
            shown.map(|(slot, instance)| view(app, *slot, instance, &table.layout, now))
        })
        .collect();
    views.sort_by_key(|view| view.id);
    views
}

/// What can be named of apps that are not there yet.
pub(super) fn unborn(apps: &[(&Declared, &Step)]) -> Vec<InstanceView> {
    let views = |(declared, step): &(&Declared, &Step)| -> Vec<InstanceView> {
        let Declared { ecosystem, file, spec, ambient, .. } = declared;
        let (ecosystem, file, spec) = (ecosystem.clone(), file.clone(), Arc::clone(spec));
        let record = AppRecord { ecosystem, file, spec, ambient: ambient.digest.clone(), instances: BTreeMap::new() };
        let nowhere = || (Output::Null, Output::Null, None, (None, false));
        step.start.iter().map(|slot| blank(&record, *slot, u32::MAX, nowhere())).collect()
    };
    apps.iter().flat_map(views).collect()
}

/// What `show` shows of the instances that were picked among `views`.
pub(super) fn apps(
    table: &Table,
    mut views: Vec<InstanceView>,
    picked: &[InstanceId],
    spec: impl Fn(&AppSpec) -> AppSpec,
) -> Vec<AppView> {
    let picked: std::collections::BTreeSet<(&str, u32)> = picked.iter().map(|id| (id.app.as_str(), id.slot)).collect();
    views.retain(|view| picked.contains(&(view.name.as_str(), view.slot)));
    let records = table.apps.iter().map(|(name, app)| (name.as_str(), &app.record));
    grouped(views, &records.collect(), spec)
}

/// Where the process of an instance writes, or the last one did: after a rename, to the files of the former name.
pub(super) fn outputs(record: &AppRecord, slot: u32, instance: &Instance, layout: &Layout) -> Logs {
    let spec = instance.machine.launched.as_ref().unwrap_or(&record.spec);
    logs(spec, instance.launched_as.as_deref(), (slot, first(instance.list_id)), layout)
}

/// What plans are made against.
pub(super) fn snapshot(table: &Table, generation: u64) -> Snapshot {
    let known = table.apps.iter().filter(|(_, app)| !app.deleted);
    let apps = known.map(|(name, app)| (name.clone(), actual(app))).collect();
    Snapshot { generation, apps }
}

fn actual(app: &App) -> ActualApp {
    let there = app.instances.iter().filter(|(slot, _)| !app.is_leaving(**slot));
    ActualApp {
        ecosystem: app.record.ecosystem.clone(),
        file: app.record.file.clone(),
        spec: Arc::clone(&app.record.spec),
        instances: there.map(|(slot, instance)| (*slot, actual_instance(&instance.machine))).collect(),
        downtime_ms: app.instances.values().filter_map(|instance| instance.downtime_ms).max(),
    }
}

fn actual_instance(machine: &Machine) -> ActualInstance {
    use supervisor::State;
    // A run that goes on is let go on: the next is by what is known then.
    let is_job = machine.policy.schedule.is_some();
    let launched = if is_job { Some(Arc::clone(&machine.policy)) } else { machine.launched.clone() };
    // What is not there yet will be started from what is known then.
    let next = Some(Arc::clone(&machine.policy));
    let (liveness, launched) = match &machine.state {
        // A command that made it a service was given up before it was started.
        State::Scheduled if !is_job => (Liveness::Stopped, None),
        State::Launching { .. } | State::Starting { .. } | State::Online { .. } => (Liveness::Up, launched),
        State::Waiting { .. }
        | State::Blocked
        | State::Scheduled
        | State::Stopping { then: Then::Restart | Then::Again { .. } | Then::Block | Then::Schedule, .. } => {
            (Liveness::Up, next)
        }
        State::Stopped | State::Stopping { then: Then::Stop, .. } => (Liveness::Stopped, None),
        State::Completed { .. } => (Liveness::Completed, launched),
        State::Errored { .. } => (Liveness::Errored, None),
    };
    ActualInstance { liveness, launched }
}

fn view(app: &App, slot: u32, instance: &Instance, layout: &Layout, now: Now) -> InstanceView {
    let machine = &instance.machine;
    let pid = machine.state.pid();
    let outputs = outputs(&app.record, first(slot), instance, layout);
    let other = app.instances.get(&second(slot)).filter(|_| !is_second(slot));
    InstanceView {
        pid,
        state: machine.state.word().to_owned(),
        detail: planned(app, machine, now).or_else(|| waits(instance)).or_else(|| detail(machine, now)),
        restarts: machine.restarts,
        started_at_ms: instance.started_at_ms.filter(|_| pid.is_some()),
        last_started_at_ms: instance.started_at_ms.filter(|_| pid.is_none()),
        last_exit: machine.last_exit,
        next_run_at_ms: next_run(app, machine),
        runs: instance.runs.clone(),
        limits_note: instance.limits_note.clone(),
        unstable_restarts: machine.unstable,
        waits_ms: match &machine.state {
            supervisor::State::Waiting { until } => Some(until.ms_since(now.mono)),
            _ => None,
        },
        backoff_ms: machine.last_backoff_ms(),
        downtime_ms: instance.downtime_ms,
        beside: other.map(|other| beside(&other.machine, now)),
        ..blank(&app.record, first(slot), first(instance.list_id), outputs)
    }
}

/// The other process of a slot, while one relieves the other.
fn beside(machine: &Machine, now: Now) -> BesideView {
    let (pid, state) = (machine.state.pid(), machine.state.word().to_owned());
    BesideView { pid, state, detail: detail(machine, now) }
}

/// When its time comes next. What was stopped has none, though another instance may.
fn next_run(app: &App, machine: &Machine) -> Option<u64> {
    let next = app.agenda.as_ref()?.next()?;
    (machine.state != supervisor::State::Stopped).then_some(next.0)
}

/// What is said of a job between its runs.
fn planned(app: &App, machine: &Machine, now: Now) -> Option<String> {
    if machine.state != supervisor::State::Scheduled {
        return None;
    }
    if machine.policy.schedule.is_none() {
        return Some("no job any more: the next apply starts it".to_owned());
    }
    let next = match app.agenda.as_ref().and_then(Agenda::next) {
        Some(next) => {
            format!("runs in {}", roughly(next.0.saturating_sub(now.wall.0)))
        }
        None => "never runs: its time does not come".to_owned(),
    };
    let failed = machine.last_exit.filter(|status| !status.is_success());
    Some(failed.map_or(next.clone(), |status| format!("{next}; the last run failed: {status}")))
}

/// In the largest unit of which it has two or more.
fn roughly(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// What it waits for, and what of that is not there any more.
fn waits(instance: &Instance) -> Option<String> {
    let machine = &instance.machine;
    let is_gone = |unmet: &String| instance.bereft.iter().any(|app| unmet.starts_with(&format!("`{app}` ")));
    let named = |unmet: &String| if is_gone(unmet) { format!("{unmet} (deleted)") } else { unmet.clone() };
    let unmet: Vec<String> = machine.unmet.iter().map(named).collect();
    (machine.state == supervisor::State::Blocked).then(|| format!("for {}", unmet.join(", ")))
}

/// Why it is in its state, where that is not plain.
fn detail(machine: &Machine, now: Now) -> Option<String> {
    use supervisor::State;
    if let (
        Some(cause),
        State::Launching { .. } | State::Starting { late: false, .. } | State::Online { healthy: true, .. },
    ) = (&machine.cause, &machine.state)
    {
        return Some(format!("restarted: {cause}"));
    }
    match &machine.state {
        State::Waiting { until } => {
            let again = format!("starts again in {}", format_span(until.ms_since(now.mono)));
            let cause = machine.cause.as_ref().filter(|cause| matches!(cause, Cause::Unhealthy { .. }));
            Some(cause.map_or(again.clone(), |cause| format!("{again}: {cause}")))
        }
        State::Starting { late: true, awaits, .. } => {
            Some(format!("{}; it goes on running", machine.lateness(*awaits)))
        }
        State::Online { healthy: false, .. } => {
            let ailment = machine.ailment.as_deref().unwrap_or("no answer");
            let given_up = if machine.is_given_up_on() { "; not restarted any more (max_restarts)" } else { "" };
            Some(format!("{ailment} (health_check){given_up}"))
        }
        State::Stopping { phase: StopPhase::Draining { deadline }, .. } => {
            let left = format_span(deadline.ms_since(now.mono));
            Some(format!("finishes what it has begun, for {left} at most (drain_timeout)"))
        }
        State::Stopping { phase: StopPhase::Killed { .. }, .. } => Some("killed, something is still there".to_owned()),
        State::Errored { reason: ErrorReason::CrashLoop { runs, status } } => {
            let runs = if *runs == 1 { "1 unstable run".to_owned() } else { format!("{runs} unstable runs") };
            Some(format!("{runs}, last {status}"))
        }
        State::Errored { reason: reason @ ErrorReason::SpawnFailed { again: Some(at), .. } } => {
            Some(format!("{reason}; tried again in {}", format_span(at.ms_since(now.mono))))
        }
        State::Errored { reason } => Some(reason.to_string()),
        State::Completed { status } => Some(status.to_string()),
        // What it waits for is said apart.
        State::Blocked
        | State::Stopped
        | State::Scheduled
        | State::Launching { .. }
        | State::Starting { .. }
        | State::Online { .. }
        | State::Stopping { .. } => None,
    }
}

fn logs(spec: &AppSpec, launched_as: Option<&str>, (slot, list_id): (u32, u32), layout: &Layout) -> Logs {
    let of = |spec: &AppSpec| {
        let (out, error) = log_outputs(spec, slot, list_id, layout);
        let combined = combined_log(spec, slot, list_id, layout);
        (out, error, combined, (spec.logs.date_format.clone(), spec.logs.json))
    };
    match launched_as.filter(|former| *former != spec.name) {
        Some(former) => of(&AppSpec { name: former.to_owned(), ..spec.clone() }),
        None => of(spec),
    }
}

/// stdout's, stderr's, the one for both, and what their lines say besides: when, and whether each is an object.
type Logs = (Output, Output, Option<String>, (Option<String>, bool));

/// One that goes, and of which nothing more is known.
pub(super) fn leaving(name: &str, slot: u32, list_id: u32, pid: Option<u32>, detail: String) -> InstanceView {
    let spec = Arc::new(AppSpec::new(name, "", ""));
    let record = AppRecord { ecosystem: None, file: None, spec, ambient: String::new(), instances: BTreeMap::new() };
    let nowhere = (Output::Null, Output::Null, None, (None, false));
    let state = "stopping".to_owned();
    InstanceView { pid, state, detail: Some(detail), ..blank(&record, slot, list_id, nowhere) }
}

fn blank(
    record: &AppRecord,
    slot: u32,
    list_id: u32,
    (out, error, log_file, (log_date_format, json)): Logs,
) -> InstanceView {
    let file = |output| match output {
        Output::File(path) => Some(path),
        Output::Null => None,
    };
    InstanceView {
        id: list_id,
        name: record.spec.name.clone(),
        slot,
        namespace: record.spec.namespace.clone(),
        ecosystem: record.ecosystem.as_ref().map(ToString::to_string),
        mode: match record.spec.exec_mode {
            ExecMode::Fork => "fork".to_owned(),
            ExecMode::Cluster => "cluster".to_owned(),
        },
        pid: None,
        state: supervisor::State::Stopped.word().to_owned(),
        detail: None,
        restarts: 0,
        started_at_ms: None,
        last_started_at_ms: None,
        last_exit: None,
        next_run_at_ms: None,
        runs: Vec::new(),
        limits_note: None,
        downtime_ms: None,
        beside: None,
        out_file: file(out),
        error_file: file(error),
        log_file,
        log_date_format,
        log_type: json.then(|| "json".to_owned()),
        script: record.spec.script.clone(),
        user: record.spec.uid.clone(),
        watching: record.spec.watch.enabled,
        unstable_restarts: 0,
        waits_ms: None,
        backoff_ms: None,
    }
}

fn grouped(
    views: Vec<InstanceView>,
    records: &BTreeMap<&str, &AppRecord>,
    presented: impl Fn(&AppSpec) -> AppSpec,
) -> Vec<AppView> {
    let mut apps: Vec<AppView> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for view in views {
        if let Some(place) = places.get(&view.name) {
            apps[*place].instances.push(view);
        } else if let Some(record) = records.get(view.name.as_str()) {
            places.insert(view.name.clone(), apps.len());
            let spec = presented(&record.spec);
            let ambient = Some(record.ambient.clone()).filter(|digest| !digest.is_empty());
            apps.push(AppView { spec, file: record.file.clone(), ambient, instances: vec![view] });
        }
    }
    apps
}

/// What the apps that are shown inherit, each once.
pub(super) fn ambients(
    table: &Table,
    apps: &[AppView],
    key: &Key,
    reveal: bool,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let known = apps.iter().filter_map(|app| table.apps.get(&app.spec.name));
    let by_digest: BTreeMap<&String, &App> = known.map(|app| (&app.ambient.digest, app)).collect();
    by_digest.into_iter().map(|(digest, app)| (digest.clone(), shown(&app.ambient.variables, key, reveal))).collect()
}

/// The same where no daemon runs.
#[must_use]
pub fn offline_ambients(state: &State, reveal: bool) -> BTreeMap<String, BTreeMap<String, String>> {
    let known = state.ambients.iter();
    known.map(|(digest, variables)| (digest.clone(), shown(variables, &state.key, reveal))).collect()
}

/// Variables as programs may read them: what is no secret is as it is, however long.
fn shown(variables: &BTreeMap<String, String>, key: &Key, reveal: bool) -> BTreeMap<String, String> {
    let is_shown = |name: &str, value: &str| reveal || !holds_secret(name, value);
    let value = |name: &str, value: &str| {
        if is_shown(name, value) { value.to_owned() } else { shown_env(name, value, key) }
    };
    variables.iter().map(|(name, text)| (name.clone(), value(name, text))).collect()
}

/// An app as it is shown: to people, or with `whole` variables to programs.
pub(super) fn presented(spec: &AppSpec, key: &Key, reveal: bool, whole: bool) -> AppSpec {
    if reveal {
        return spec.clone();
    }
    let mut hidden = hidden(spec, key);
    if whole {
        hidden.env = shown(&spec.env, key, false);
    } else {
        for (name, value) in &mut hidden.env {
            *value = shown_env(name, value, key);
        }
    }
    hidden
}

/// All but the variables.
fn hidden(spec: &AppSpec, key: &Key) -> AppSpec {
    let mut spec = spec.clone();
    for (file, digest) in &mut spec.fingerprint.0 {
        *digest = shown_digest(file, digest, key);
    }
    spec.args = shown_words(&spec.args, key);
    spec.interpreter_args = shown_words(&spec.interpreter_args, key);
    spec.script = shown_text(&spec.script, key);
    match spec.health_check.as_mut().map(|check| &mut check.probe) {
        Some(Probe::Exec(words)) => *words = shown_words(words, key),
        Some(Probe::Http(text) | Probe::Tcp(text)) => *text = shown_text(text, key),
        None => {}
    }
    spec
}
