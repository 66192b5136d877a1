//! What is asked for over the socket, as tasks.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alter::alter;
use super::generation::former_of;
use super::operation::{Afterwards, Caller, Deed, Operation, Rigour};
use super::table::{Ambient, Table};
use super::work::{Aim, Declared};
use super::{AppRecord, Intent, Recalled, Stranger, TargetError, resolve, view};
use crate::base::{InstanceId, Key, Now, shell_word};
use crate::graph::{Graph, Selection};
use crate::plan::{
    Action, Completions, Destination, Formers, Meant, Plan, PlanPolicy, Reason, Snapshot, Step, check_stale, note_code,
    note_followers, plan, plan_back, restrict,
};
use crate::rpc::wire::{Answer, Apply, Back, PlanOptions, Request, RestoredApp, Scale};
use crate::spec::{AppSpec, Condition, Fingerprint};
use crate::supervisor::{State, Then};

/// A command whose turn has come, and what is to be said first.
pub(super) struct Begun {
    pub(super) operation: Operation,
    pub(super) first: Option<Answer>,
}

/// How others are told of it while they wait.
pub(super) fn holder(request: &Request) -> String {
    let of = |verb: &str, targets: &[String]| match targets {
        targets if targets.len() > 3 => format!("{verb} of `{}` and {} more", targets[0], targets.len() - 1),
        targets => format!("{verb} of `{}`", targets.join("`, `")),
    };
    match request {
        Request::Ping => "ping".to_owned(),
        Request::Revision => "revision".to_owned(),
        Request::List => "list".to_owned(),
        Request::Show { .. } => "show".to_owned(),
        Request::CheckState => "state check".to_owned(),
        Request::RepairState => "state repair".to_owned(),
        Request::Keep => "save".to_owned(),
        Request::Plan { .. } | Request::Seal { .. } | Request::Between { .. } => "diff".to_owned(),
        Request::History { .. } | Request::Generation { .. } => "history".to_owned(),
        Request::Drift => "drift".to_owned(),
        Request::Rollback(_) | Request::PlanBack(_) | Request::Formers { .. } => "rollback".to_owned(),
        Request::Apply(apply) => format!("apply of `{}`", apply.graph.ecosystem),
        Request::StartScript { spec, .. } => format!("start of `{}`", spec.name),
        Request::Reset { targets } => of("reset", targets),
        Request::Signal { targets, .. } => of("sendSignal", targets),
        Request::Feed { targets, .. } => of("send", targets),
        Request::Tell { targets, .. } => of("trigger", targets),
        Request::Offers { .. } => "trigger".to_owned(),
        Request::Heed => "a look at what apps say".to_owned(),
        Request::Alter(alter) => of("change", &alter.targets),
        Request::Start { targets } => of("start", targets),
        Request::Stop { targets } => of("stop", targets),
        Request::Restart { targets } => of("restart", targets),
        Request::Reload { targets, .. } => of("reload", targets),
        Request::Scale { targets, .. } => of("scale", targets),
        Request::Delete { targets } => of("delete", targets),
        Request::Resurrect => "resurrect".to_owned(),
        Request::Restore { apps, .. } => {
            of("resurrect", &apps.iter().map(|app| app.spec.name.clone()).collect::<Vec<_>>())
        }
        Request::Kill => "kill".to_owned(),
        Request::Upgrade { .. } => "upgrade".to_owned(),
        Request::Leave => "a daemon that takes over".to_owned(),
    }
}

/// Of an app: as many as a file may say.
const INSTANCES_MAX: u32 = 512;

pub(super) fn unknown(error: TargetError) -> Answer {
    Answer::UnknownTarget { target: error.target, suggestion: error.suggestion, problem: error.problem }
}

/// The plan as `diff` shows it and `apply` does it. Refusals are part of it.
pub(super) fn plan_now(graph: &Graph, options: &PlanOptions, actual: &Snapshot, key: Key) -> Result<Plan, Answer> {
    let selection = Selection::named(&options.only);
    let names = graph.apps.iter().map(|app| app.name.as_str());
    selection.check(names).map_err(|error| Answer::Error {
        message: error.to_string(),
        hint: error.suggestion.map(|name| format!("did you mean `{name}`?")),
    })?;
    let policy =
        PlanPolicy { selection, prune: !options.no_prune, adopt: options.adopt, allow_empty: options.allow_empty, key };
    Ok(plan(graph, actual, &policy))
}

/// Turns a request into an operation, against what is there now.
pub(super) fn begin(
    request: Request,
    caller: &Caller,
    table: &Table,
    generation: u64,
    key: Key,
    now: Now,
) -> Result<Begun, Answer> {
    let resolved = |targets: &[String]| resolve(targets, &view::views(table, now)).map(by_app).map_err(unknown);
    let up = |slots, renew| Aim::Up { slots, renew, gently: false };
    let (strict, go_on) = (Rigour::Strict, Afterwards::GoOn);
    let operation = match request {
        Request::Apply(wanted) => {
            let snapshot = view::snapshot(table, generation);
            return apply(*wanted, caller.clone(), table, &snapshot, key);
        }
        Request::Restore { apps, wake } => restore(apps, wake, caller.clone(), table)?,
        Request::Alter(wanted) => {
            let named = resolved(&wanted.targets)?;
            let snapshot = view::snapshot(table, generation);
            return alter(*wanted, &named, caller.clone(), table, &snapshot, &key);
        }
        Request::StartScript { spec, ambient } => start_script(*spec, ambient, caller.clone(), table)?,
        Request::Start { targets } => {
            let mut operation = Operation::new(caller.clone(), strict, go_on);
            dependencies_first(&mut operation, resolved(&targets)?, table, |slots| up(slots, false));
            operation
        }
        Request::Restart { targets } => {
            let mut operation = Operation::new(caller.clone(), strict, go_on);
            dependencies_first(&mut operation, resolved(&targets)?, table, |slots| up(slots, true));
            operation
        }
        Request::Reload { targets, parallel } => {
            let mut operation = Operation::new(caller.clone(), strict, go_on);
            if let Some(parallel) = parallel {
                operation.limit(parallel);
            }
            let again = |slots| Aim::Up { slots, renew: true, gently: true };
            dependencies_first(&mut operation, resolved(&targets)?, table, again);
            operation
        }
        Request::Resurrect => {
            let mut operation = Operation::new(caller.clone(), strict, go_on);
            let mut wanted = wanted(table);
            // Nobody is told of what was up already.
            if wanted.iter().all(|id| is_settled(table, id)) {
                wanted.clear();
            }
            dependencies_first(&mut operation, by_app(wanted), table, |slots| up(slots, false));
            operation.resurrects = true;
            operation
        }
        Request::Stop { targets } => {
            let mut operation = Operation::new(caller.clone(), strict, go_on);
            dependents_first(&mut operation, resolved(&targets)?, table, |slots| Aim::Stop { slots, by_kill: false });
            operation
        }
        Request::Scale { targets, to } => scale(resolved(&targets)?, to, caller.clone(), table)?,
        Request::Delete { targets } => {
            let mut operation = Operation::new(caller.clone(), strict, go_on);
            dependents_first(&mut operation, resolved(&targets)?, table, |slots| Aim::Delete { slots });
            operation
        }
        Request::Kill => {
            let mut operation = Operation::new(caller.clone(), strict, Afterwards::EndTheDaemon);
            dependents_first(&mut operation, by_app(table.ids().collect()), table, |slots| Aim::Stop {
                slots,
                by_kill: true,
            });
            operation
        }
        // The last two are done by who would begin them; what a way back is to do is read first.
        Request::Rollback(_)
        | Request::PlanBack(_)
        | Request::Formers { .. }
        | Request::History { .. }
        | Request::Generation { .. }
        | Request::Between { .. }
        | Request::Drift
        | Request::Ping
        | Request::Revision
        | Request::List
        | Request::Show { .. }
        | Request::Plan { .. }
        | Request::Seal { .. }
        | Request::CheckState
        | Request::RepairState
        | Request::Keep
        | Request::Reset { .. }
        | Request::Signal { .. }
        | Request::Feed { .. }
        | Request::Tell { .. }
        | Request::Offers { .. }
        | Request::Heed
        | Request::Upgrade { .. }
        | Request::Leave => Operation::new(caller.clone(), strict, go_on),
    };
    Ok(Begun { operation, first: None })
}

/// Whether nothing can come of it but its answer.
pub(super) fn only_reads(request: &Request) -> bool {
    matches!(
        request,
        Request::Ping
            | Request::Revision
            | Request::List
            | Request::Show { .. }
            | Request::Plan { .. }
            | Request::Seal { .. }
    )
}

/// Whether something may be started by it that was not there before.
pub(super) fn may_start(request: &Request) -> bool {
    matches!(
        request,
        Request::Apply(_)
            | Request::StartScript { .. }
            | Request::Start { .. }
            | Request::Restart { .. }
            | Request::Reload { .. }
            | Request::Scale { .. }
            | Request::Resurrect
            | Request::Restore { .. }
            | Request::Rollback(_)
    )
}

/// What is remembered of a command. Of one that is about what a file says, it is said there.
pub(super) fn deed(request: &Request, caller: &Caller, own_uid: u32) -> Deed {
    let by_hand = matches!(
        request,
        Request::Start { .. }
            | Request::Stop { .. }
            | Request::Restart { .. }
            | Request::Reload { .. }
            | Request::Alter(_)
            | Request::Scale { .. }
            | Request::Delete { .. }
            | Request::Resurrect
            | Request::Restore { .. }
            | Request::Kill
    );
    let command = if caller.command.is_empty() { caller.holder.clone() } else { caller.command.clone() };
    let deed = Deed {
        uid: caller.uid.unwrap_or(own_uid),
        pid: caller.pid,
        command,
        by_hand,
        ecosystem: None,
        file: None,
        revision: None,
        auto_rollback: false,
        plan: None,
        whole: false,
    };
    let Request::Apply(apply) = request else { return deed };
    let Apply { graph, options, revision, expected, auto_rollback, .. } = &**apply;
    Deed {
        ecosystem: Some(graph.ecosystem.clone()),
        file: Some(graph.file.clone()),
        revision: revision.clone(),
        auto_rollback: *auto_rollback,
        whole: options.only.is_empty() && expected.is_none(),
        ..deed
    }
}

/// The plan of a way back, and what the apps are then. What stands for their code stays as it is: that does not go back.
pub(super) fn plan_to(
    back: &Back,
    found: Recalled,
    snapshot: &Snapshot,
    key: &Key,
) -> Result<(Plan, Formers, Completions), Answer> {
    let completions = found.completions;
    let (number, then) = found.formers.into_iter().next().unwrap_or_default();
    let names = then.keys().chain(snapshot.apps.keys()).map(String::as_str);
    let selection = Selection::among(&back.only, &names).map_err(|error| Answer::Error {
        message: format!("no app `{}`, neither now nor in @{number}", error.name),
        hint: error.suggestion.map(|name| format!("did you mean `{name}`?")),
    })?;
    let mut formers = then.clone();
    for (name, former) in &mut formers {
        // Of another script it says nothing.
        let is_alike = |now: &&Fingerprint| now.0.keys().eq(former.spec.fingerprint.0.keys());
        let renamed = || snapshot.apps.values().find(|app| is_renamed(&app.spec, &former.spec));
        let now = snapshot.apps.get(name).or_else(renamed).map(|app| &app.spec.fingerprint).filter(is_alike);
        if let Some(code) = now.or_else(|| back.code.get(name)).filter(|code| **code != former.spec.fingerprint) {
            former.spec = Arc::new(AppSpec { fingerprint: code.clone(), ..(*former.spec).clone() });
        }
    }
    let snapshot = &with_code_of_disk(snapshot, &formers, &back.code);
    let to = Destination {
        formers: &formers,
        completions: &completions,
        generation: Some(number),
        selection: &selection,
        key,
    };
    let mut plan = plan_back(&to, snapshot);
    note_code(&mut plan, &then, &back.code);
    Ok((plan, formers, completions))
}

/// Whether one is what the other was before, or will be again.
fn is_renamed(one: &AppSpec, other: &AppSpec) -> bool {
    one.renamed_from.as_ref() == Some(&other.name) || other.renamed_from.as_ref() == Some(&one.name)
}

/// What runs, as a way back sees it: a process that runs the code that is on disk is not replaced for that. Another would run
/// the same.
fn with_code_of_disk<'a>(
    snapshot: &'a Snapshot,
    formers: &Formers,
    disk: &BTreeMap<String, Fingerprint>,
) -> Cow<'a, Snapshot> {
    let mut seen = Cow::Borrowed(snapshot);
    for (name, app) in &snapshot.apps {
        let (Some(former), Some(code)) = (formers.get(name), disk.get(name)) else { continue };
        for (slot, instance) in &app.instances {
            let runs_it = |launched: &&Arc<AppSpec>| launched.fingerprint == *code && *code != former.spec.fingerprint;
            let Some(launched) = instance.launched.as_ref().filter(runs_it) else { continue };
            let launched = AppSpec { fingerprint: former.spec.fingerprint.clone(), ..(**launched).clone() };
            let app = seen.to_mut().apps.get_mut(name);
            if let Some(instance) = app.and_then(|app| app.instances.get_mut(slot)) {
                instance.launched = Some(Arc::new(launched));
            }
        }
    }
    seen
}

/// What a way back would do where no daemon runs.
///
/// # Errors
/// The answer to what cannot be.
pub fn offline_plan_to(back: &Back, found: Recalled, snapshot: &Snapshot, key: &Key) -> Result<Plan, Answer> {
    plan_to(back, found, snapshot, key).map(|(plan, ..)| plan)
}

/// Of others than those that it touches only the order counts, as for whoever starts an app by its name.
pub(super) fn add_back(
    operation: &mut Operation,
    plan: &Plan,
    formers: &Formers,
    completions: &Completions,
    ambients: &BTreeMap<String, Ambient>,
    table: &Table,
) {
    // What runs may be as it was, and what is recorded not: a start that was given up before it was begun.
    let is_recorded = |step: &Step| {
        let known = table.apps.get(&step.app).filter(|app| !app.deleted && !app.unsaved);
        known.map(|app| former_of(&app.record)).as_ref() == formers.get(&step.app)
    };
    for step in plan.steps.iter().filter(|step| step.action != Action::Keep || !is_recorded(step)) {
        let action = if step.is_keep() { Action::Update } else { step.action };
        let step = Step { action, ..step.clone() };
        let declared = formers.get(&step.app).filter(|_| step.action != Action::Delete).map(|former| Declared {
            ecosystem: former.ecosystem.clone(),
            file: former.file.clone(),
            spec: Arc::clone(&former.spec),
            ambient: table.shared(
                ambients
                    .get(&former.ambient)
                    .cloned()
                    .unwrap_or_else(|| Ambient { digest: former.ambient.clone(), variables: Arc::default() }),
            ),
            slots: Some(former.slots.clone()),
            done: completions.get(&step.app).cloned().unwrap_or_default(),
        });
        let (app, after): (String, BTreeSet<String>) = (step.app.clone(), step.after.iter().cloned().collect());
        let needs = declared.iter().flat_map(|declared| conditions(&declared.spec));
        let needs = needs.filter(|(need, _)| after.contains(need)).collect();
        operation.add_needing(app, Aim::Apply { step: Box::new(step), declared }, after, needs);
    }
}

fn apply(wanted: Apply, caller: Caller, table: &Table, snapshot: &Snapshot, key: Key) -> Result<Begun, Answer> {
    let Apply { graph, options, ambient, expected, parallel, revision: _, auto_rollback } = wanted;
    let mut plan = plan_now(&graph, &options, snapshot, key)?;
    if let Some(saved) = &expected {
        check_stale(&saved.plan, &plan).map_err(|stale| Answer::Stale { stale })?;
        plan = restrict(&plan, &saved.plan);
        note_followers(&mut plan, snapshot);
    }
    if !plan.refusals.is_empty() {
        return Err(Answer::Refused { refusals: plan.refusals });
    }
    let created = plan.steps.iter().filter(|step| step.action == Action::Create && !step.start.is_empty());
    not_beside_strangers(created.map(|step| step.app.as_str()), table)?;
    let mut operation = Operation::new(caller, Rigour::Strict, Afterwards::GoOn);
    if let Some(parallel) = parallel {
        operation.limit(parallel);
    }
    if auto_rollback {
        operation.undo_when_it_fails();
    }
    // What is as it should be may still be on its way up: an apply returns when it is.
    for step in plan.steps.iter().filter(|step| step.is_keep() && !step.reasons.contains(&Reason::LeftAlone)) {
        let slots = slots_on_their_way(table, &step.app);
        if !slots.is_empty() {
            operation.add(step.app.clone(), Aim::Watch { slots, asked: true }, BTreeSet::new());
        }
    }
    if !plan.is_empty() {
        let ambient = table.shared(Ambient::new(ambient));
        let Graph { ecosystem, file, apps, .. } = graph;
        operation.order(apps.iter().map(|app| app.name.clone()));
        let mut declared: BTreeMap<String, AppSpec> = apps.into_iter().map(|app| (app.name.clone(), app)).collect();
        for step in plan.steps.iter().filter(|step| step.action != Action::Keep) {
            let declared = declared.remove(&step.app).filter(|_| step.action != Action::Delete).map(|spec| Declared {
                ecosystem: Some(ecosystem.clone()),
                file: Some(file.clone()),
                spec: Arc::new(spec),
                ambient: ambient.clone(),
                slots: None,
                done: BTreeMap::new(),
            });
            add_step(&mut operation, step, declared, table);
        }
    }
    Ok(Begun { operation, first: Some(Answer::Begun { plan: Box::new(plan) }) })
}

/// Nothing is started a second time that runs though nobody knows it. All that are in the way are named, so that one command
/// ends them.
fn not_beside_strangers<'a>(apps: impl Iterator<Item = &'a str>, table: &Table) -> Result<(), Answer> {
    let apps: BTreeSet<&str> = apps.collect();
    let in_the_way: Vec<&Stranger> =
        table.strangers.iter().filter(|stranger| apps.contains(stranger.instance.app.as_str())).collect();
    let pids: Vec<String> = in_the_way.iter().map(|stranger| stranger.pid.to_string()).collect();
    let (message, whom) = match in_the_way[..] {
        [] => return Ok(()),
        [Stranger { pid, instance, .. }] => (
            format!(
                "`{instance}` runs already, as process {pid}: it was started before the state was built anew, which does \
                 not know it"
            ),
            "it",
        ),
        _ => {
            let named = |stranger: &&Stranger| format!("`{}` as process {}", stranger.instance, stranger.pid);
            let named: Vec<String> = in_the_way.iter().map(named).collect();
            (
                format!(
                    "these run already: {}; they were started before the state was built anew, which does not know them",
                    named.join(", ")
                ),
                "them",
            )
        }
    };
    Err(Answer::Error { message, hint: Some(format!("end {whom} first: kill {}", pids.join(" "))) })
}

pub(super) fn add_step(operation: &mut Operation, step: &Step, declared: Option<Declared>, table: &Table) {
    let mut after: BTreeSet<String> = step.after.iter().cloned().collect();
    // What stays as it is has no turn, but may be on its way up itself.
    let needs = declared.iter().flat_map(|declared| &declared.spec.depends_on).filter(|need| !after.contains(*need));
    for need in needs.cloned().collect::<Vec<_>>() {
        let on_its_way = slots_on_their_way(table, &need);
        if !on_its_way.is_empty() && !operation.has(&need) {
            operation.add(need.clone(), Aim::Watch { slots: on_its_way, asked: false }, BTreeSet::new());
        }
        after.insert(need);
    }
    let conditions = declared.iter().flat_map(|declared| conditions(&declared.spec)).collect();
    operation.add_needing(step.app.clone(), Aim::Apply { step: Box::new(step.clone()), declared }, after, conditions);
}

fn conditions(spec: &AppSpec) -> impl Iterator<Item = (String, Condition)> {
    spec.depends_on.iter().map(|name| (name.clone(), spec.need(name).condition))
}

fn slots_on_their_way(table: &Table, app: &str) -> Vec<u32> {
    // Nobody waits for a run of a job that has begun by itself.
    let known = table.apps.get(app).filter(|app| !app.deleted && app.record.spec.schedule.is_none());
    let Some(app) = known else { return Vec::new() };
    let on_its_way = |state: &State| match state {
        State::Launching { .. } | State::Starting { .. } | State::Waiting { .. } | State::Blocked => true,
        // By a restart that was interrupted, or of pmrun's own accord.
        State::Stopping { then, .. } => *then != Then::Stop,
        _ => false,
    };
    let slots =
        app.instances.iter().filter(|(slot, instance)| !app.is_leaving(**slot) && on_its_way(&instance.machine.state));
    slots.map(|(slot, _)| *slot).collect()
}

/// What was kept, as it was; in the order of dependencies, of which those count that are to be started, too.
fn restore(apps: Vec<RestoredApp>, wake: bool, caller: Caller, table: &Table) -> Result<Operation, Answer> {
    let mut operation = Operation::new(caller, Rigour::Strict, Afterwards::GoOn);
    let starts = |app: &RestoredApp| !app.up.is_empty();
    let started: BTreeSet<String> = apps.iter().filter(|app| starts(app)).map(|app| app.spec.name.clone()).collect();
    let is_new = |name: &&str| table.apps.get(*name).is_none_or(|known| known.deleted);
    not_beside_strangers(apps.iter().map(|app| app.spec.name.as_str()).filter(is_new), table)?;
    operation.order(apps.iter().map(|app| app.spec.name.clone()));
    for app in apps {
        let RestoredApp { ecosystem, file, spec, ambient, up } = app;
        let name = spec.name.clone();
        let among = conditions(&spec).filter(|(need, _)| started.contains(need)).collect();
        let aim = match table.apps.get(&name).filter(|known| !known.deleted) {
            Some(_) if !wake => continue,
            Some(known) => {
                // What has done its work since has done it.
                let is_done = |slot: &u32| matches!(known.intent(*slot), Some(Intent::Done { .. }));
                let slots: Vec<u32> = up.into_iter().filter(|slot| !is_done(slot)).collect();
                if slots.is_empty() {
                    continue;
                }
                Aim::Up { slots, renew: false, gently: false }
            }
            None => {
                let step = Step { start: up, ..Step::create(&name, Vec::new()) };
                let ambient = table.shared(Ambient::new(ambient));
                let (slots, done) = (None, BTreeMap::new());
                let declared = Declared { ecosystem, file, spec: Arc::from(spec.clone()), ambient, slots, done };
                Aim::Apply { step: Box::new(step), declared: Some(declared) }
            }
        };
        operation.add_needing(name, aim, spec.depends_on.iter().cloned().collect(), among);
    }
    Ok(operation)
}

fn start_script(
    spec: AppSpec,
    ambient: BTreeMap<String, String>,
    caller: Caller,
    table: &Table,
) -> Result<Operation, Answer> {
    if let Some(known) = table.apps.get(&spec.name) {
        let owner = known.record.ecosystem.as_ref();
        let of = owner.map(|id| format!(" (of `{id}`)")).unwrap_or_default();
        return Err(Answer::Error {
            message: format!("there is an app `{}` already{of}", spec.name),
            hint: Some(format!(
                "give another name with --name, or delete it first: pmrun delete {}",
                shell_word(&spec.name)
            )),
        });
    }
    not_beside_strangers(std::iter::once(spec.name.as_str()), table)?;
    // As PM2: it is known from now on, and waits for somebody to start it.
    let start = if spec.autostart { (0..spec.instances).collect() } else { Vec::new() };
    let step = Step { start, ..Step::create(&spec.name, Vec::new()) };
    let ambient = table.shared(Ambient::new(ambient));
    let name = spec.name.clone();
    let done = BTreeMap::new();
    let declared = Declared { ecosystem: None, file: None, spec: Arc::new(spec), ambient, slots: None, done };
    let mut operation = Operation::new(caller, Rigour::Strict, Afterwards::GoOn);
    operation.add(name, Aim::Apply { step: Box::new(step), declared: Some(declared) }, BTreeSet::new());
    Ok(operation)
}

/// The highest slots go, the lowest that are free come; whoever takes part already notices nothing.
fn scale(apps: ByApp, to: Scale, caller: Caller, table: &Table) -> Result<Operation, Answer> {
    let mut operation = Operation::new(caller, Rigour::Strict, Afterwards::GoOn);
    for name in apps.into_keys() {
        let Some(app) = table.apps.get(&name).filter(|app| !app.deleted) else { continue };
        let slots: BTreeSet<u32> = app.record.instances.keys().copied().collect();
        let count = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let wanted = match to {
            Scale::To(wanted) => i64::from(wanted),
            Scale::By(more) => i64::from(count) + i64::from(more),
        };
        let Some(wanted) = u32::try_from(wanted).ok().filter(|wanted| (1..=INSTANCES_MAX).contains(wanted)) else {
            let name = shell_word(&name);
            return Err(Answer::Error {
                message: format!(
                    "`{name}` has {count} instances, and would have {wanted}: 1 to {INSTANCES_MAX} can be had"
                ),
                hint: Some(format!("`pmrun stop {name}` ends all, `pmrun delete {name}` takes them away")),
            });
        };
        if wanted == count {
            continue;
        }
        // Also where one in the middle was deleted by hand.
        let (fewer, more) = (count.saturating_sub(wanted), wanted.saturating_sub(count));
        let remove: Vec<u32> = slots.iter().rev().take(fewer as usize).rev().copied().collect();
        let start: Vec<u32> = (0..).filter(|slot| !slots.contains(slot)).take(more as usize).collect();
        let stay = slots.iter().filter(|slot| !remove.contains(slot)).chain(&start);
        // What is stopped among them stays so.
        let slots = Some(stay.map(|slot| (*slot, Meant::Up)).collect());
        let spec = AppSpec { instances: wanted, ..(*app.record.spec).clone() };
        let AppRecord { ecosystem, file, .. } = app.record.clone();
        let (ambient, done) = (app.ambient.clone(), BTreeMap::new());
        let declared = Declared { ecosystem, file, spec: Arc::new(spec), ambient, slots, done };
        let step = Step { action: Action::Scale, start, remove, ..Step::create(&name, Vec::new()) };
        operation.add(name, Aim::Apply { step: Box::new(step), declared: Some(declared) }, BTreeSet::new());
    }
    Ok(operation)
}

/// Not what somebody has stopped, nor what has done its work.
fn wanted(table: &Table) -> Vec<InstanceId> {
    let is_wanted = |id: &InstanceId| {
        let app = table.apps.get(&id.app).filter(|app| !app.deleted);
        app.and_then(|app| app.record.instances.get(&id.slot)).is_some_and(|known| known.is_wanted())
    };
    table.ids().filter(is_wanted).collect()
}

fn is_settled(table: &Table, id: &InstanceId) -> bool {
    let state = table.instance(id).map(|instance| &instance.machine.state);
    matches!(state, Some(State::Online { healthy: true, .. } | State::Scheduled))
}

pub(super) type ByApp = BTreeMap<String, Vec<u32>>;

fn by_app(ids: Vec<InstanceId>) -> ByApp {
    let mut apps = ByApp::new();
    for InstanceId { app, slot } in ids {
        apps.entry(app).or_default().push(slot);
    }
    apps
}

fn dependencies_first(operation: &mut Operation, apps: ByApp, table: &Table, aim: impl Fn(Vec<u32>) -> Aim) {
    let among: BTreeSet<String> = apps.keys().cloned().collect();
    for (name, slots) in apps {
        let spec = table.apps.get(&name).map(|app| &app.record.spec);
        let needs: BTreeMap<String, Condition> = spec.into_iter().flat_map(|spec| conditions(spec)).collect();
        // Of others only the order counts: whoever starts an app by its name wants it now.
        let among = needs.iter().filter(|(need, _)| among.contains(*need)).map(|(need, one)| (need.clone(), *one));
        operation.add_needing(name, aim(slots), needs.keys().cloned().collect(), among.collect());
    }
}

fn dependents_first(operation: &mut Operation, apps: ByApp, table: &Table, aim: impl Fn(Vec<u32>) -> Aim) {
    let mut dependents: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for name in apps.keys() {
        for need in table.apps.get(name).into_iter().flat_map(|app| &app.record.spec.depends_on) {
            dependents.entry(need).or_default().insert(name.clone());
        }
    }
    for (name, slots) in apps {
        let after = dependents.get(name.as_str()).cloned().unwrap_or_default();
        operation.add(name, aim(slots), after);
    }
}
