//! What is remembered of a command: who asked for what, what came of it, and what there was before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Aim, Operation, Phase, Surroundings};
use crate::base::InstanceId;
use crate::plan::{Completions, Former, Formers, Generation, Outcome, Plan, Revision, Shortfall};
use crate::rpc::wire::{Answer, Back, Failure};
use crate::runtime::generation::{completions_of, former_of};
use crate::runtime::table::{Ambient, Table};
use crate::runtime::work::Work;
use crate::runtime::{Intent, Save, Ticket};
use crate::spec::{Condition, EcosystemId};
use crate::supervisor::State;

/// What a generation says of the command that made it.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Deed {
    pub(in crate::runtime) uid: u32,
    pub(in crate::runtime) pid: u32,
    pub(in crate::runtime) command: String,
    pub(in crate::runtime) by_hand: bool,
    pub(in crate::runtime) ecosystem: Option<EcosystemId>,
    pub(in crate::runtime) file: Option<String>,
    pub(in crate::runtime) revision: Option<Revision>,
    pub(in crate::runtime) auto_rollback: bool,
    pub(in crate::runtime) plan: Option<Box<Plan>>,
    /// It is about all that its file says.
    pub(in crate::runtime) whole: bool,
}

/// What the apps were that a command has touched.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Before {
    /// None: there was none of that name.
    apps: BTreeMap<String, Option<(Former, Ambient)>>,
    completions: Completions,
    /// All that ran when the first of them was touched.
    ran: Option<BTreeSet<InstanceId>>,
}

/// A command that undoes another, as part of it.
#[derive(Clone, Debug)]
pub(super) struct Undoes {
    to: u64,
    touched: usize,
    failed: Vec<Failure>,
    /// What it has become what it was.
    apps: BTreeSet<String>,
    /// What ran before, and is to run again.
    ran: BTreeSet<InstanceId>,
}

/// A way back whose generation is being read.
#[derive(Debug)]
pub(in crate::runtime) struct Recalling {
    pub(in crate::runtime) ticket: Ticket,
    pub(in crate::runtime) back: Back,
}

/// What a way back is made of.
pub(in crate::runtime) struct WayBack {
    pub(in crate::runtime) formers: Formers,
    pub(in crate::runtime) completions: Completions,
    pub(in crate::runtime) ambients: BTreeMap<String, Ambient>,
    /// Names that it is about.
    pub(in crate::runtime) touched: BTreeSet<String>,
    pub(in crate::runtime) operation: Operation,
    pub(in crate::runtime) failed: Vec<Failure>,
    pub(in crate::runtime) to: u64,
}

impl Deed {
    fn generation(&self, number: u64, at_ms: u64) -> Generation {
        let Self { uid, pid, command, by_hand, ecosystem, file, revision, auto_rollback, plan, whole: _ } =
            self.clone();
        let result = None;
        Generation { number, at_ms, uid, pid, command, by_hand, ecosystem, file, revision, auto_rollback, plan, result }
    }
}

impl Before {
    /// Before the works of a wave are done.
    pub(super) fn note(&mut self, works: &[Work], table: &Table) {
        let needs = |name: &str, from: &str| {
            table.apps.get(name).is_some_and(|app| app.record.spec.depends_on.iter().any(|need| need == from))
        };
        for work in works.iter().filter(|work| work.watch.is_empty()) {
            self.ran.get_or_insert_with(|| running(table));
            self.keep(&work.app, table);
            if let Some(from) = &work.renamed_from {
                self.keep(from, table);
                // They follow the rename.
                let dependents = table.apps.keys().filter(|name| needs(name, from));
                dependents.for_each(|name| self.keep(name, table));
            }
        }
    }

    fn keep(&mut self, name: &str, table: &Table) {
        if self.apps.contains_key(name) {
            return;
        }
        let known = table.apps.get(name).filter(|app| !app.deleted);
        self.apps.insert(name.to_owned(), known.map(|app| (former_of(&app.record), app.ambient.clone())));
        let known = known.into_iter();
        self.completions.extend(known.map(|app| (name.to_owned(), completions_of(&app.record))));
    }

    /// Those that are not what they were.
    fn changed(&mut self, table: &Table) -> BTreeMap<String, Option<(Former, Ambient)>> {
        let mut apps = std::mem::take(&mut self.apps);
        apps.retain(|name, before| {
            let known = table.apps.get(name).filter(|app| !app.deleted);
            known.map(|app| former_of(&app.record)).as_ref() != before.as_ref().map(|(former, _)| former)
        });
        apps
    }
}

impl Operation {
    /// What is remembered of it.
    pub(in crate::runtime) fn remember(&mut self, deed: Deed) {
        self.deed = Some(deed);
    }

    /// The plan that it does, when that is known.
    pub(in crate::runtime) fn remember_plan(&mut self, plan: &Plan) {
        if let Some(deed) = &mut self.deed {
            deed.plan = Some(Box::new(plan.clone()));
        }
    }

    /// When something does not come up, what it touched becomes what it was before.
    pub(in crate::runtime) fn undo_when_it_fails(&mut self) {
        self.before = Some(Before::default());
    }

    /// It has no generation yet, and these are its first changes: it begins one.
    pub(super) fn begins(&self, saves: &[Save], around: &Surroundings<'_>) -> Option<Generation> {
        // Another may have come in between.
        let is_last = |own: u64| own >= *around.generation;
        let is_beginning = self.saving.as_ref().is_some_and(|(_, wave)| wave.begins.is_some());
        let deed = self.deed.as_ref().filter(|_| !is_beginning && !self.generation.is_some_and(is_last))?;
        let known = |name: &str| around.table.apps.get(name).filter(|app| !app.deleted);
        let changes = saves
            .iter()
            .filter_map(Save::app)
            .any(|(name, record)| known(name).map(|app| former_of(&app.record)) != record.map(former_of));
        let number = *around.generation + 1;
        changes.then(|| deed.generation(number, around.now.wall.0))
    }

    /// What is saved belongs to that generation; its number.
    pub(super) fn open(&mut self, generation: Generation, saves: &mut Vec<Save>) -> u64 {
        let number = generation.number;
        self.earlier.extend(self.generation);
        // What comes after the number belongs to it.
        saves.splice(0..0, [Save::Generation(number), Save::Began(Box::new(generation))]);
        number
    }

    /// The command that has everything it touched become what it was, where it is such a one and something failed.
    pub(in crate::runtime) fn way_back(&mut self, table: &Table) -> Option<WayBack> {
        let mut before = self.before.take().filter(|_| !self.failed.is_empty() && !self.cancelled)?;
        let generation = self.generation?;
        let changed = before.changed(table);
        let Before { completions, ran, .. } = before;
        if changed.is_empty() {
            return None;
        }
        let failed = std::mem::take(&mut self.failed);
        let to = generation.saturating_sub(1);
        let mut operation = Self::new(self.caller.clone(), super::Rigour::Strict, super::Afterwards::GoOn);
        operation.generation = Some(generation);
        let touched: BTreeSet<String> = changed.keys().cloned().collect();
        let (apps, ran) = (touched.clone(), ran.unwrap_or_default());
        operation.undoes = Some(Undoes { to, touched: self.touched, failed: failed.clone(), apps, ran });
        let (mut formers, mut ambients) = (Formers::new(), BTreeMap::new());
        for (name, (former, ambient)) in changed.into_iter().filter_map(|(name, before)| Some((name, before?))) {
            ambients.insert(ambient.digest.clone(), ambient);
            formers.insert(name, former);
        }
        Some(WayBack { formers, completions, ambients, touched, operation, failed, to })
    }

    /// What could not run beside what failed is started again, now that this has become what it was: it has not changed
    /// itself. Whether there is any.
    pub(in crate::runtime) fn brings_back(&mut self, table: &Table) -> bool {
        let Some(undoes) = self.undoes.as_mut().filter(|_| !self.given_up) else { return false };
        let ran = std::mem::take(&mut undoes.ran);
        let concerned = with_dependents(&undoes.apps, table);
        let (mut fallen, mut on_their_way) = (BTreeMap::new(), BTreeMap::new());
        for id in ran.into_iter().filter(|id| concerned.contains(&id.app)) {
            let is_over = self.tasks.get(&id.app).is_none_or(|task| matches!(task.phase, Phase::Done));
            let state = table.instance(&id).map(|instance| &instance.machine.state);
            let (Some(state), Some(app)) = (state.filter(|_| is_over), table.apps.get(&id.app)) else { continue };
            let slots: &mut BTreeMap<String, Vec<u32>> = match state {
                _ if app.intent(id.slot) != Some(Intent::Up) => continue,
                State::Errored { .. } => &mut fallen,
                State::Waiting { .. } | State::Blocked | State::Launching { .. } | State::Starting { .. } => {
                    &mut on_their_way
                }
                State::Stopped
                | State::Scheduled
                | State::Online { .. }
                | State::Stopping { .. }
                | State::Completed { .. } => continue,
            };
            slots.entry(id.app).or_default().push(id.slot);
        }
        let any = !fallen.is_empty() || !on_their_way.is_empty();
        for (app, slots) in on_their_way {
            self.add(app, Aim::Watch { slots, asked: true }, BTreeSet::new());
        }
        let names: BTreeSet<String> = fallen.keys().cloned().collect();
        for (app, slots) in fallen {
            let spec = table.apps.get(&app).map(|known| Arc::clone(&known.record.spec));
            let needs =
                spec.iter().flat_map(|spec| spec.depends_on.iter().map(|need| (need, spec.need(need).condition)));
            let among = needs.filter(|(need, _)| names.contains(*need) || self.has(need));
            let among: BTreeMap<String, Condition> = among.map(|(need, one)| (need.clone(), one)).collect();
            let after = among.keys().cloned().collect();
            self.add_needing(app, Aim::Up { slots, renew: false, gently: false }, after, among);
        }
        self.stirred |= any;
        any
    }

    /// The last answer, and what is remembered of it.
    pub(in crate::runtime) fn conclude(&mut self) -> (Answer, Outcome) {
        let failed = std::mem::take(&mut self.failed);
        let (touched, short) = (self.touched, shortfalls(&failed));
        if let Some(Undoes { to, touched, failed: cause, .. }) = self.undoes.take().filter(|_| !self.cancelled) {
            let outcome = Outcome::RolledBack { to, failed: shortfalls(&cause), left: short };
            return (Answer::RolledBack { to, touched, failed: cause, left: failed }, outcome);
        }
        let outcome = match failed.is_empty() {
            _ if self.cancelled => Outcome::Cancelled,
            true => Outcome::Done { touched },
            false => Outcome::Failed { touched, failed: short },
        };
        (Answer::Done { touched, failed }, outcome)
    }

    /// What is saved at its end, without anybody waiting for it. `holds`: the last generation in which all that a file
    /// says was found to hold, by its ecosystem.
    pub(in crate::runtime) fn last_words(
        &self,
        outcome: Outcome,
        generation: u64,
        holds: &mut BTreeMap<EcosystemId, u64>,
    ) -> Vec<Save> {
        let mut saves = Vec::new();
        let all_is_well = matches!(outcome, Outcome::Done { .. });
        saves.extend(self.earlier.iter().map(|number| Save::Ended { number: *number, outcome: outcome.clone() }));
        saves.extend(self.generation.map(|number| Save::Ended { number, outcome }));
        let applied = self.deed.as_ref().filter(|deed| deed.whole && all_is_well);
        if let Some(ecosystem) = applied.and_then(|deed| deed.ecosystem.clone())
            && holds.get(&ecosystem) != Some(&generation)
        {
            holds.insert(ecosystem.clone(), generation);
            saves.push(Save::Applied { ecosystem, number: generation });
        }
        saves
    }

    /// Its generation, where it has begun one.
    pub(in crate::runtime) fn generation(&self) -> Option<u64> {
        self.generation
    }
}

/// What runs, and need not be brought up.
fn running(table: &Table) -> BTreeSet<InstanceId> {
    let runs = |id: &InstanceId| {
        let state = table.instance(id).map(|instance| &instance.machine.state);
        matches!(state, Some(State::Starting { late: false, .. } | State::Online { .. }))
    };
    table.ids().filter(|id| !id.is_second() && runs(id)).collect()
}

/// Some apps, what depends on them, and what on that.
fn with_dependents(apps: &BTreeSet<String>, table: &Table) -> BTreeSet<String> {
    let mut found = apps.clone();
    loop {
        let needs_any = |name: &&String| {
            let app = table.apps.get(*name);
            app.is_some_and(|app| app.record.spec.depends_on.iter().any(|need| found.contains(need)))
        };
        let dependents = table.roster.dependents.iter().filter(|name| !found.contains(*name));
        let more: Vec<String> = dependents.filter(needs_any).cloned().collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

fn shortfalls(failed: &[Failure]) -> Vec<Shortfall> {
    let one =
        |failure: &Failure| Shortfall { app: failure.app.clone(), slot: failure.slot, reason: failure.reason.clone() };
    failed.iter().map(one).collect()
}
