//! Restarts because files changed: who is watched, which changes one restart answers, and which are the app's own.
//!
//! Invariants:
//! * An app is watched while somebody wants it to run: what was stopped is neither watched nor started, nor is a job
//!   between its times.
//! * A restart answers changes that came before the process that runs was asked for; that has seen them.
//! * No change is lost: one that is passed over, for it seems to be the app's own, is answered within ten seconds, unless the
//!   app has written it at every start of many that were made to see that.
//! * Nothing is armed while no change waits.

mod burst;
mod habits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::burst::Burst;
use self::habits::{Duty, Habits, Starts};
use super::table::{App, Instance, Table};
use super::{Effect, view};
use crate::base::{InstanceId, Mono, Now, first};
use crate::rpc::wire::InstanceView;
use crate::spec::{AppSpec, LogTarget, WatchOptions};
use crate::supervisor::{Cause, ErrorReason, Output, State, Then, log_outputs, pid_file};

/// What is to be watched, all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watches {
    pub apps: BTreeMap<String, Arc<AppSpec>>,
    /// Log and pid files of all apps, absolute: they change because apps run.
    pub own_files: Arc<BTreeSet<String>>,
}

/// What is known of the apps that are watched.
#[derive(Debug, Default)]
pub(super) struct Watching {
    apps: BTreeMap<String, Watched>,
    own_files: Arc<BTreeSet<String>>,
}

#[derive(Debug)]
struct Watched {
    spec: Arc<AppSpec>,
    /// `watch_delay`, or what `watch_options` says.
    quiet_ms: u64,
    burst: Option<Burst>,
    habits: Habits,
    /// Why not everything is watched that should be.
    trouble: Option<String>,
}

impl Watched {
    fn new(spec: &Arc<AppSpec>) -> Self {
        let options = WatchOptions::of(&spec.watch);
        // What changes from one look to the next is told a look apart.
        let look_ms = if options.polling { options.interval_ms.saturating_mul(3) / 2 } else { 0 };
        let quiet_ms = spec.watch.delay_ms.max(options.stability_ms).max(look_ms);
        let spec = Arc::clone(spec);
        Self { spec, quiet_ms, burst: None, habits: Habits::default(), trouble: None }
    }

    /// What of a burst is to be answered, and since when that has been so.
    fn answer(&mut self, app: &App, burst: &Burst, out: &mut Vec<Effect>) -> Option<(String, Mono)> {
        outdated(app, burst.last).next()?;
        if !self.habits.judge(burst, last_start(app)).is_empty() {
            out.extend(self.habits.note().map(|note| Effect::Log(format!("{}: {note}", self.spec.name))));
        }
        let script = script(&self.spec);
        let mut paths = burst.paths.iter().map(|(path, _)| path);
        let path = paths.find(|path| !self.habits.is_paused(path, script)).cloned();
        let path = path.or_else(|| burst.more.then(|| "many files".to_owned()))?;
        Some((path, burst.last))
    }

    /// What was passed over and is to be answered now, and since when that has been so.
    fn make_up(&mut self, app: &App, now: Mono, out: &mut Vec<Effect>) -> Option<(String, Mono)> {
        loop {
            match self.habits.duty(&starts(app)).filter(|(due, _)| *due <= now)?.1 {
                Duty::Restart { path, changed } => {
                    self.habits.tests(now);
                    return Some((path, changed));
                }
                Duty::Count { key } => {
                    let name = &self.spec.name;
                    out.push(Effect::Log(format!(
                        "{name}: watch: `{key}` was not written at the last start, changes of it count again"
                    )));
                    self.habits.count(&key);
                }
            }
        }
    }
}

impl Watching {
    /// Says what is to be watched, where that has changed.
    pub(super) fn follow(&mut self, table: &mut Table, out: &mut Vec<Effect>) {
        let touched = std::mem::take(&mut table.touched);
        for name in &touched {
            if let Some(watched) = self.apps.get_mut(name) {
                watched.habits = Habits::default();
            }
        }
        let watched = || table.roster.watched.iter().filter_map(|name| table.apps.get_key_value(name));
        let wanted = || watched().filter(|(_, app)| is_wanted(app)).map(|(name, app)| (name, &app.record.spec));
        let known = self.apps.iter().map(|(name, watched)| (name, &watched.spec));
        let same = wanted()
            .map(|(name, spec)| (name, Arc::as_ptr(spec)))
            .eq(known.map(|(name, spec)| (name, Arc::as_ptr(spec))));
        if same && (touched.is_empty() || self.apps.is_empty()) {
            return;
        }
        let own_files = own_files(table);
        if same && own_files == *self.own_files {
            return;
        }
        if own_files != *self.own_files {
            self.own_files = Arc::new(own_files);
        }
        let mut before = std::mem::take(&mut self.apps);
        for (name, spec) in wanted() {
            let fresh = Watched::new(spec);
            let former = spec.renamed_from.as_ref();
            let watched = match before.remove(name).or_else(|| before.remove(former?)) {
                // The same files, perhaps by other rules: what has changed has changed.
                Some(held) => Watched { burst: held.burst, habits: held.habits, trouble: held.trouble, ..fresh },
                None => fresh,
            };
            self.apps.insert(name.clone(), watched);
        }
        let apps = self.apps.iter().map(|(name, watched)| (name.clone(), Arc::clone(&watched.spec))).collect();
        out.push(Effect::Watch(Box::new(Watches { apps, own_files: Arc::clone(&self.own_files) })));
    }

    /// Whether anybody is watched.
    pub(super) fn any(&self) -> bool {
        !self.apps.is_empty()
    }

    /// Files of an app have changed.
    pub(super) fn changed(&mut self, table: &Table, app: &str, paths: Vec<String>, count: usize, more: bool, now: Now) {
        let Some(watched) = self.apps.get_mut(app) else { return };
        let started = table.apps.get(app).and_then(last_start);
        let others = started_since(table, app, started);
        for path in &paths {
            watched.habits.changes(path, now.mono, started, &others);
        }
        let script = script(&watched.spec);
        let paths: Vec<String> = paths.into_iter().filter(|path| !watched.habits.is_paused(path, script)).collect();
        if !paths.is_empty() || more {
            let burst = watched.burst.get_or_insert_with(|| Burst::new(now.mono, started, others));
            burst.add(paths, count, more, now.mono);
        }
    }

    pub(super) fn trouble(&mut self, app: &str, trouble: Option<String>, out: &mut Vec<Effect>) {
        let Some(watched) = self.apps.get_mut(app) else { return };
        if let Some(trouble) = trouble.as_ref().filter(|trouble| watched.trouble.as_ref() != Some(trouble)) {
            out.push(Effect::Log(format!("{app}: watch: {trouble}")));
        }
        watched.trouble = trouble;
    }

    /// When the next restart is due. Apps that a command is at work on are left to it until it is done.
    pub(super) fn deadline(&self, table: &Table, busy: impl Fn(&str) -> bool) -> Option<Mono> {
        self.waiting(table).filter(|(name, _)| !busy(name)).map(|(_, due)| due).min()
    }

    fn waiting(&self, table: &Table) -> impl Iterator<Item = (&String, Mono)> {
        self.apps.iter().filter_map(|(name, watched)| {
            let burst = watched.burst.as_ref().map(|burst| burst.due(watched.quiet_ms));
            let duty = table.apps.get(name).and_then(|app| watched.habits.duty(&starts(app)));
            Some((name, burst.into_iter().chain(duty.map(|(due, _)| due)).min()?))
        })
    }

    /// The instances that are to be renewed now, and why.
    pub(super) fn due(
        &mut self,
        table: &Table,
        now: Now,
        busy: impl Fn(&str) -> bool,
        out: &mut Vec<Effect>,
    ) -> Vec<(InstanceId, Cause)> {
        let due = self.waiting(table).filter(|(name, at)| *at <= now.mono && !busy(name));
        let due: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        let mut renewed = Vec::new();
        for name in due {
            let (Some(watched), Some(app)) = (self.apps.get_mut(&name), table.apps.get(&name)) else { continue };
            let burst = watched.burst.take_if(|burst| burst.due(watched.quiet_ms) <= now.mono);
            let change = burst.and_then(|burst| watched.answer(app, &burst, out));
            let Some((path, changed)) = change.or_else(|| watched.make_up(app, now.mono, out)) else { continue };
            let cause = Cause::Files { path };
            out.push(Effect::Log(format!("{name}: restarts: {cause}")));
            renewed.extend(outdated(app, changed).map(|slot| (InstanceId::new(&name, slot), cause.clone())));
        }
        renewed
    }

    /// What is worth knowing of the apps that are shown.
    pub(super) fn annotate(&self, views: &mut [InstanceView]) {
        // What keeps it from being watched says more than why it was last restarted.
        let is_open =
            |view: &InstanceView| view.detail.as_deref().is_none_or(|detail| detail.starts_with("restarted: "));
        for view in views.iter_mut().filter(|view| is_open(view)) {
            let Some(watched) = self.apps.get(&view.name) else { continue };
            let trouble = || watched.trouble.as_ref().map(|trouble| format!("watch: {trouble}"));
            if let Some(note) = watched.habits.note().or_else(trouble) {
                view.detail = Some(note);
            }
        }
    }
}

fn last_start(app: &App) -> Option<Mono> {
    app.instances.values().filter_map(|instance| instance.asked_at).max()
}

/// Other apps that were started after this one was.
fn started_since(table: &Table, app: &str, started: Option<Mono>) -> BTreeSet<String> {
    let Some(started) = started else { return BTreeSet::new() };
    let others = table.apps.iter().filter(|(name, other)| *name != app && last_start(other) > Some(started));
    others.map(|(name, _)| name.clone()).collect()
}

/// Below its folder, as changes are told.
fn script(spec: &AppSpec) -> Option<&str> {
    spec.script.strip_prefix(&spec.cwd)?.strip_prefix('/')
}

/// A job is left alone: what runs is let go on, and the next run has the files as they are then.
fn is_wanted(app: &App) -> bool {
    app.record.spec.watch.enabled
        && app.record.spec.schedule.is_none()
        && app.instances.iter().any(|(slot, one)| !app.is_leaving(*slot) && !is_stopped(&one.machine.state))
}

fn is_stopped(state: &State) -> bool {
    matches!(
        state,
        State::Stopped
            | State::Stopping { then: Then::Stop, .. }
            | State::Errored { reason: ErrorReason::WouldNotDie { then: Then::Stop, .. } }
    )
}

/// The slots that have not seen the last of the changes.
fn outdated(app: &App, changed: Mono) -> impl Iterator<Item = u32> {
    running_on(app).filter(move |(_, one)| one.asked_at.is_none_or(|asked| asked <= changed)).map(|(slot, _)| slot)
}

/// What is not on its way to another process.
fn running_on(app: &App) -> impl Iterator<Item = (u32, &Instance)> {
    let runs_on =
        |one: &Instance| !matches!(one.machine.state, State::Stopping { .. }) && !is_stopped(&one.machine.state);
    let staying = app.instances.iter().filter(|(slot, _)| !app.is_leaving(**slot));
    staying.filter(move |(_, one)| runs_on(one)).map(|(slot, one)| (*slot, &**one))
}

fn starts(app: &App) -> Starts {
    let oldest = running_on(app).map(|(_, one)| one.asked_at.unwrap_or_default()).min();
    Starts { oldest, newest: last_start(app) }
}

fn own_files(table: &Table) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for app in table.apps.values() {
        for (slot, instance) in &app.instances {
            let spec = &app.record.spec;
            // Of the process that runs, and of the one that may be about to take its place.
            let (slot, list_id) = (first(*slot), first(instance.list_id));
            let (out, error, ..) = view::outputs(&app.record, slot, instance, &table.layout);
            let (next_out, next_error) = log_outputs(spec, slot, list_id, &table.layout);
            for output in [out, error, next_out, next_error] {
                if let Output::File(path) = output {
                    files.insert(path);
                }
            }
            files.insert(pid_file(spec, slot, list_id, &table.layout));
            if let Some(LogTarget::Path(path)) = &spec.logs.combined {
                files.insert(path.clone());
            }
        }
    }
    files
}
