use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::history::{Entry, What, Why};
use super::needs::is_met;
use super::operation::{Afterwards, Caller, Operation, Rigour};
use super::standing::{Open, Standing};
use super::table::{Ambient, App, Instance, Table};
use super::work::Aim;
use super::{AppRecord, Effect, InstanceRecord, Intent, Past, Save, State, Survivor};
use crate::base::{ExitStatus, InstanceId, Mono, Now, first, second};
use crate::spec::AppSpec;
use crate::supervisor::{self, Launch, LaunchId, Layout, Machine, launch};

/// Every instance's launch as an earlier daemon may have made it, and whose it would be. They are numbered from 1.
///
/// Where one process may relieve another, the slot's second name is looked for as well.
///
/// An app that was renamed runs under the name that it had when it was started: both are looked for.
#[must_use]
pub fn possible_launches(state: &State, layout: &Layout) -> Vec<(InstanceId, Launch)> {
    launches_of(state, layout, |_, _| true)
}

fn launches_of(
    state: &State,
    layout: &Layout,
    is_wanted: impl Fn(&AppRecord, &InstanceRecord) -> bool,
) -> Vec<(InstanceId, Launch)> {
    let nothing = Arc::new(BTreeMap::new());
    let mut launches = Vec::new();
    for (name, record) in &state.apps {
        for (slot, instance) in record.instances.iter().filter(|(_, instance)| is_wanted(record, instance)) {
            let former = instance.launched_as.as_ref().filter(|former| *former != name);
            let former = former.map(|former| AppSpec { name: former.clone(), ..(*record.spec).clone() });
            for spec in std::iter::once(&*record.spec).chain(&former) {
                let next = |launches: &Vec<_>| LaunchId(launches.len() as u64 + 1);
                let of = |id| launch(id, spec, *slot, instance.id, layout, &nothing);
                let id = InstanceId::new(name, *slot);
                launches.push((id.clone(), of(next(&launches))));
                if spec.shares_sockets() {
                    launches.push((id.second(), of(next(&launches)).by_second_name()));
                }
            }
        }
    }
    launches
}

/// Jobs that should run, as an earlier daemon may have started them.
#[must_use]
pub fn open_jobs(state: &State, layout: &Layout) -> Vec<(InstanceId, Launch)> {
    launches_of(state, layout, |app, instance| {
        !app.spec.restart.auto && app.spec.schedule.is_none() && instance.intent == Intent::Up
    })
}

/// What nobody saw the end of is done: a job is not run twice for that. What is to be recorded.
pub fn close_jobs(state: &mut State, ended: &BTreeSet<InstanceId>) -> Vec<Save> {
    for id in ended {
        let app = state.apps.get_mut(&id.app);
        if let Some(known) = app.and_then(|app| app.instances.get_mut(&id.slot)) {
            known.intent = Intent::Done { status: ExitStatus::Unknown };
        }
    }
    let names: BTreeSet<&String> = ended.iter().map(|id| &id.app).collect();
    let records = names.into_iter().filter_map(|name| Some((name.clone(), state.apps.get(name)?.clone())));
    records.map(|(name, record)| Save::App(name, Box::new(record))).collect()
}

pub(super) struct Restored {
    pub(super) table: Table,
    /// What survived and should not run.
    pub(super) unwanted: Vec<InstanceId>,
    /// What was under way.
    pub(super) open: Vec<(InstanceId, Open)>,
    /// Who serves though its pid is where that of one is which does not, and who is beside it, where somebody is.
    pub(super) serving: Vec<(LaunchId, Option<LaunchId>)>,
    /// Where somebody stood who is no more: whoever gets the number, or the pid, is somebody else.
    pub(super) gone: Vec<u32>,
}

/// Launches of a slot, by what its process is marked as.
type Named = BTreeMap<(InstanceId, InstanceId), LaunchId>;

/// The table as the records say, with what survived in it, and where it stood.
pub(super) fn table(state: State, past: Past, layout: Layout, now: Now) -> Restored {
    let Past { survivors, standings, ended, leaving, .. } = past;
    let survivors = by_role(survivors, &state, &standings);
    let launch_of = |id: &InstanceId| survivors.iter().find(|(other, _)| other == id).map(|(_, found)| found.launch);
    let out_of_place = survivors.iter().filter(|(id, survivor)| !id.is_second() && survivor.beside);
    let serving = out_of_place.map(|(id, survivor)| (survivor.launch, launch_of(&id.second()))).collect();
    let living: BTreeSet<u32> = survivors.iter().map(|(_, survivor)| survivor.pid).collect();
    let lives: BTreeSet<InstanceId> = survivors.iter().map(|(id, _)| id.clone()).collect();
    let mut open = Vec::new();
    let launches = possible_launches(&state, &layout);
    let possible: BTreeMap<InstanceId, LaunchId> =
        launches.iter().map(|(instance, launch)| (instance.clone(), launch.id)).collect();
    let named: Named =
        launches.into_iter().map(|(instance, launch)| ((instance.first(), launch.instance), launch.id)).collect();
    let used = possible.values().copied().chain(leaving.iter().map(|leaving| leaving.launch));
    let first_launch = used.map(|launch| launch.0).max().unwrap_or(0) + 1;
    let mut table = Table::new(layout, first_launch);
    table.next_list_id = state.next_list_id();
    let State { apps, ambients, strangers, .. } = state;
    table.strangers = strangers;
    let nothing = Arc::new(BTreeMap::new());
    for (name, record) in apps {
        let variables = Arc::clone(ambients.get(&record.ambient).unwrap_or(&nothing));
        let ambient = Ambient { digest: record.ambient.clone(), variables };
        let machine = |slot, intent| match intent {
            Intent::Up | Intent::Stopped => Machine::new(Arc::clone(&record.spec)),
            Intent::Done { status } => {
                // What it has left behind, if anything, goes on until somebody stops it.
                let remains = possible.get(&InstanceId::new(&name, slot)).filter(|_| record.spec.stop.tree);
                Machine { remains: remains.copied(), ..Machine::completed(Arc::clone(&record.spec), status) }
            }
        };
        let new = |slot, known: &InstanceRecord| {
            let (bereft, runs) = (known.bereft.clone(), known.runs.clone());
            Box::new(Instance { bereft, runs, ..Instance::new(known.id, machine(slot, known.intent)) })
        };
        let mut instances: BTreeMap<u32, Box<Instance>> =
            record.instances.iter().map(|(slot, known)| (*slot, new(*slot, known))).collect();
        for (slot, instance) in &mut instances {
            let id = InstanceId::new(&name, *slot);
            let (Some(known), Some(standing)) = (record.instances.get(slot), standings.get(&instance.list_id)) else {
                continue;
            };
            if !lives.contains(&id) && !standing.is_outdated(known, &record.spec) {
                let launch = named.get(&(id.clone(), standing.name(&id))).or_else(|| possible.get(&id)).copied();
                let found = standing.resume(instance, known.intent, launch, ended.get(&id).copied());
                open.extend(found.map(|found| (id, found)));
            }
        }
        table.apps.insert(name, App { record, ambient, instances, deleted: false, unsaved: false, agenda: None });
    }
    let mut unwanted = Vec::new();
    for (id, survivor) in survivors {
        let Some(intent) = adopt(&mut table, &id, &survivor, now) else { continue };
        let app = table.apps.get_mut(&id.app);
        if let Some(instance) = app.and_then(|app| app.instances.get_mut(&id.slot))
            && let Some(standing) = standing_of(&standings, instance.list_id, survivor.pid)
        {
            // Who goes while another serves in its slot is not started again.
            let intent = if id.is_second() { Intent::Stopped } else { intent };
            let found = standing.go_on(instance, intent, &survivor);
            open.extend(found.map(|found| (id.clone(), found)));
        }
        if intent != Intent::Up {
            unwanted.push(id);
        }
    }
    for id in table.ids().filter(|id| !id.is_second()).collect::<Vec<_>>() {
        open.extend(left_beside(&mut table, &id, &standings, (&named, &living)));
    }
    let names: Vec<String> = table.apps.keys().cloned().collect();
    // Not everybody stands where it was said.
    for id in table.ids().collect::<Vec<_>>() {
        let list_id = table.instance(&id).map(|instance| instance.list_id);
        table.restless.extend(list_id.map(|list_id| (list_id, id)));
    }
    for name in names {
        table.enrol(&name);
    }
    // Who is beside another first: it would take over from what is stopped.
    unwanted.sort_by_key(|id| !id.is_second());
    let leaving = leaving.iter().map(|leaving| leaving.number);
    let known: BTreeSet<u32> = table.standings().map(|(id, _)| id).chain(leaving).collect();
    let gone = standings.into_keys().filter(|id| !known.contains(id)).collect();
    Restored { table, unwanted, open, serving, gone }
}

/// Where a process stood. Of two in a slot, the other may be gone by now.
fn standing_of(standings: &BTreeMap<u32, Standing>, list_id: u32, pid: u32) -> Option<&Standing> {
    let of_pid = |list_id| standings.get(&list_id).filter(|standing| standing.pid() == Some(pid));
    let either = of_pid(first(list_id)).or_else(|| of_pid(second(list_id)));
    either.or_else(|| standings.get(&list_id))
}

/// Of two processes of a slot one was being stopped and has ended, and what it has left is awaited beside whoever is in the slot
/// now.
fn left_beside(
    table: &mut Table,
    id: &InstanceId,
    standings: &BTreeMap<u32, Standing>,
    (named, living): (&Named, &BTreeSet<u32>),
) -> Option<(InstanceId, Open)> {
    let beside = id.second();
    let app = table.apps.get_mut(&id.app).filter(|app| !app.instances.contains_key(&beside.slot))?;
    let policy = Arc::clone(&app.record.spec);
    let instance = app.instances.get(&id.slot)?;
    let (list_id, taken) = (second(instance.list_id), instance.machine.state.launch());
    let left = [list_id, first(list_id)].into_iter().find_map(|number| {
        let lives = |standing: &&Standing| standing.unended_pid().is_some_and(|pid| living.contains(&pid));
        let standing = standings.get(&number).filter(|standing| standing.is_ending() && !lives(standing))?;
        let launch = *named.get(&(id.clone(), standing.name(id)))?;
        let is_in_slot = taken == Some(launch);
        (!is_in_slot).then_some((standing, launch))
    });
    let (standing, launch) = left.filter(|_| policy.shares_sockets() && policy.stop.tree)?;
    let mut instance = Instance::new(list_id, Machine::new(policy));
    standing.go_on_without(&mut instance, Intent::Stopped, launch);
    instance.why = standing.why.clone();
    app.instances.insert(beside.slot, Box::new(instance));
    Some((beside, Open::Stopping { launch }))
}

/// Which instance each survivor is. Of two in a slot the one serves that did when that was last said; else the older, which
/// the other was to relieve.
fn by_role(
    survivors: Vec<Survivor>,
    state: &State,
    standings: &BTreeMap<u32, Standing>,
) -> Vec<(InstanceId, Survivor)> {
    let mut slots: BTreeMap<InstanceId, Vec<Survivor>> = BTreeMap::new();
    for survivor in survivors {
        slots.entry(survivor.instance.first()).or_default().push(survivor);
    }
    let mut all = Vec::new();
    for (id, mut both) in slots {
        let known = state.apps.get(&id.app).and_then(|app| app.instances.get(&id.slot));
        let serving = known.and_then(|known| standings.get(&known.id)?.pid());
        both.sort_by_key(|survivor| (Some(survivor.pid) != serving, survivor.started_at_ms));
        let names = [id.clone(), id.second()];
        all.extend(names.into_iter().zip(both));
    }
    all
}

/// Says what was taken over.
pub(super) fn tell(table: &Table, now: Now, out: &mut Vec<Effect>) {
    for (name, app) in &table.apps {
        for (slot, instance) in &app.instances {
            if let Some(pid) = instance.machine.state.pid() {
                let id = InstanceId::new(name, *slot);
                let mut tell = |what| out.push(Effect::History(Box::new(Entry::of_instance(&id, what, now))));
                let unchecked = matches!(instance.machine.state, supervisor::State::Starting { .. });
                tell(What::Adopted { pid, unchecked });
                if let Some(what) = stands(&instance.machine, &instance.why) {
                    tell(what);
                }
            }
        }
    }
}

/// Where it stands, where that is more than that it runs.
fn stands(machine: &Machine, why: &Why) -> Option<What> {
    Some(match &machine.state {
        supervisor::State::Online { healthy: false, .. } => {
            What::Unhealthy { reason: machine.ailment.clone().unwrap_or_else(|| "no answer".to_owned()) }
        }
        supervisor::State::Starting { late: true, awaits, .. } => What::NotReady { reason: machine.lateness(*awaits) },
        supervisor::State::Stopping { .. } => What::Stopping { why: why.clone(), remains: false },
        supervisor::State::Errored { reason } => What::GivenUp { reason: reason.to_string() },
        _ => return None,
    })
}

/// None when nobody knows it: then it is killed.
fn adopt(table: &mut Table, id: &InstanceId, survivor: &Survivor, now: Now) -> Option<Intent> {
    let app = table.apps.get_mut(&id.app)?;
    let slot = first(id.slot);
    let intent = app.intent(slot)?;
    let AppRecord { spec, instances, .. } = &mut app.record;
    if let Some(known) = instances.get_mut(&slot).filter(|_| survivor.launched_as == id.app) {
        // Started anew since the rename. That is no news worth a save: a former name only adds a place to look.
        known.launched_as = None;
    }
    if id.is_second() {
        let list_id = second(app.instances.get(&slot)?.list_id);
        let machine = Machine::new(Arc::clone(spec));
        app.instances.insert(id.slot, Box::new(Instance::new(list_id, machine)));
    }
    let instance = app.instances.get_mut(&id.slot)?;
    let ran_ms = now.wall.0.saturating_sub(survivor.started_at_ms);
    let since = Mono(now.mono.0.saturating_sub(ran_ms));
    let current = instances.get(&slot).is_some_and(|known| known.is_current(&survivor.spec_digest, spec));
    let launched = current.then(|| Arc::clone(spec));
    instance.machine = Machine::adopt(Arc::clone(spec), launched, survivor.launch, survivor.pid, since, now.mono);
    instance.started_at_ms = Some(survivor.started_at_ms);
    instance.last_pid = Some(survivor.pid);
    instance.launched_as = Some(survivor.launched_as.clone());
    instance.by_second_name = survivor.instance.is_second();
    table.own(survivor.launch, id.clone());
    Some(intent)
}

/// Starts what should run and does not; what depends on something that is not up waits for it. What a command has started since and seen fail, or
/// end, is not started a second time.
pub(super) fn resume(table: &Table, now: Now) -> Option<Operation> {
    let caller = Caller {
        client: None,
        pid: 0,
        uid: None,
        holder: "the daemon, starting what should run".to_owned(),
        command: String::new(),
        hasty: false,
        since: now.mono,
    };
    let mut operation = Operation::new(caller, Rigour::Lenient, Afterwards::GoOn);
    let down = down(table);
    if down.is_empty() {
        return None;
    }
    for (name, slots) in down {
        operation.add(name.to_owned(), Aim::Up { slots, renew: false, gently: false }, BTreeSet::new());
    }
    Some(operation)
}

/// What of that need not wait for a command that is not about it: what is as it must be, or becomes so, without that.
pub(super) fn resumable(table: &Table, operation: &Operation) -> Vec<InstanceId> {
    let mut down = down(table);
    down.retain(|name, _| {
        let is_job = table.apps.get(*name).is_some_and(|app| app.record.spec.schedule.is_some());
        !is_job && !operation.is_about(name)
    });
    loop {
        let waits = |name: &&str| {
            let spec = table.apps.get(*name).map(|app| &app.record.spec);
            let needs = spec.into_iter().flat_map(|spec| spec.depends_on.iter().map(|other| (other, spec.need(other))));
            let mut needs = needs.filter(|(other, _)| !down.contains_key(other.as_str()));
            needs.any(|(other, need)| !is_met(table, other, need.condition))
        };
        let waiting: Vec<&str> = down.keys().copied().filter(waits).collect();
        if waiting.is_empty() {
            break;
        }
        down.retain(|name, _| !waiting.contains(name));
    }
    down.into_iter().flat_map(|(name, slots)| slots.into_iter().map(move |slot| InstanceId::new(name, slot))).collect()
}

/// Slots that should run and do not.
fn down(table: &Table) -> BTreeMap<&str, Vec<u32>> {
    let slots = |app: &App| {
        let down = app.instances.iter().filter(|(slot, instance)| {
            app.intent(**slot) == Some(Intent::Up) && instance.machine.state == supervisor::State::Stopped
        });
        down.map(|(slot, _)| *slot).collect::<Vec<_>>()
    };
    let all = table.apps.iter().map(|(name, app)| (name.as_str(), slots(app)));
    all.filter(|(_, slots)| !slots.is_empty()).collect()
}
