//! What becomes ready at one moment: made durable in one go, and only then begun.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::flight::RELAPSES_MAX;
use super::{Aim, Flight, Goal, Operation, Phase, Rigour, Running, Start, Surroundings, Task, is_down};
use crate::base::{ExitStatus, InstanceId, second};
use crate::plan::{Action, Step};
use crate::rpc::wire::{Answer, Failure, ProgressKind};
use crate::runtime::needs::{Outlook, is_left_out, is_met, outlook, unknown, unmet, wanted, with_bereft};
use crate::runtime::rename;
use crate::runtime::table::Table;
use crate::runtime::work::Work;
use crate::runtime::{Effect, Intent, Ticket};
use crate::spec::{AppSpec, Condition};
use crate::supervisor::{Event, State};

#[derive(Debug)]
pub(super) struct Wave {
    pub(super) works: Vec<Work>,
    pub(super) next_list_id: u32,
    pub(super) generation: u64,
    /// The generation that is begun with it.
    pub(super) begins: Option<u64>,
}

impl Operation {
    /// What only stops is done all the same, and said to be unrecorded: the app that fills the disk must not be the
    /// one that cannot be stopped.
    pub(super) fn not_saved(&mut self, wave: Wave, reason: &str, around: &mut Surroundings<'_>) -> Option<Answer> {
        // That it should run is on disk: what is not is only that it has no former name any more.
        if self.rigour == Rigour::Lenient {
            let apps: Vec<String> = wave.works.iter().map(|work| work.app.clone()).collect();
            self.begin(Wave { generation: *around.generation, ..wave }, around);
            for app in apps {
                if let Some(app) = around.table.apps.get_mut(&app) {
                    app.unsaved = true;
                }
            }
            return None;
        }
        let only_stops = |work: &Work| matches!(self.tasks.get(&work.app), Some(Task { aim: Aim::Stop { .. }, .. }));
        // One that was only about to be made has nothing to stop.
        let is_made = |work: &&Work| !self.stillborn.contains(&work.app);
        if wave.works.iter().any(only_stops) && wave.works.iter().filter(is_made).all(only_stops) {
            let apps: Vec<String> = wave.works.iter().map(|work| work.app.clone()).collect();
            self.begin(wave, around);
            for app in apps {
                if let Some(app) = around.table.apps.get_mut(&app) {
                    app.unsaved = true;
                }
                let reason =
                    format!("stopped, but the next daemon starts it again: the state cannot be saved: {reason}");
                self.failed.push(Failure::of_app(app, reason));
            }
            return None;
        }
        for work in &wave.works {
            self.skipped.remove(&work.app);
            if let Some(task) = self.tasks.get_mut(&work.app) {
                task.phase = Phase::Pending;
            }
        }
        let pending: Vec<String> = self.pending().map(str::to_owned).collect();
        for app in pending {
            self.skip(&app, format!("the state cannot be saved: {reason}"));
        }
        self.look_at_blocked(None, around);
        if self.begun_any {
            return None;
        }
        let message = format!("the state cannot be saved, nothing was changed: {reason}");
        Some(Answer::Error { message, hint: None })
    }

    /// Makes what has become ready durable.
    pub(super) fn next_wave(&mut self, around: &mut Surroundings<'_>) {
        let mut ready = self.ready(around);
        if ready.is_empty() && self.is_stuck() {
            // A circle: the apps that run may have come from several versions of a file. It is cut anywhere.
            ready.extend(self.pending().next().map(str::to_owned));
        }
        if ready.is_empty() {
            return;
        }
        ready.sort_by_key(|app| self.places.get(app).copied().unwrap_or(usize::MAX));
        let begins_anew = around.table.apps.is_empty() && around.table.strangers.is_empty();
        let mut next_list_id = if begins_anew { 0 } else { around.table.next_list_id };
        let mut works = Vec::with_capacity(ready.len());
        for app in ready {
            let Some(task) = self.tasks.get_mut(&app) else { continue };
            task.phase = Phase::Saving;
            let Some(work) = task.aim.work(&app, around.table, &mut next_list_id) else {
                task.phase = Phase::Done;
                self.skipped.remove(&app);
                // Who comes after it has its turn.
                self.stirred = true;
                continue;
            };
            works.push(work);
        }
        let mut saves = Vec::new();
        rename::saves(&works, around.table, &mut saves);
        for work in &works {
            work.saves(around.table, &mut saves);
        }
        let mut wave = Wave { works, next_list_id, generation: *around.generation, begins: None };
        if saves.is_empty() {
            self.begin(wave, around);
            return;
        }
        if let Some(generation) = self.begins(&saves, around) {
            wave.generation = self.open(generation, &mut saves);
            wave.begins = Some(wave.generation);
        }
        *around.tickets += 1;
        let ticket = Ticket(*around.tickets);
        around.out.push(Effect::Save { ticket, saves });
        self.saving = Some((ticket, wave));
    }

    /// Pending tasks whose turn has come. Those whose dependencies failed are skipped.
    fn ready(&mut self, around: &mut Surroundings<'_>) -> Vec<String> {
        enum Turn {
            Now,
            Later,
            Held(String),
            Never(String),
        }
        let mut ready = Vec::new();
        loop {
            let relapses = |app: &str| self.relapses.get(app).is_some_and(|count| *count >= RELAPSES_MAX);
            let is_cut =
                |app: &str, condition| condition == Some(Condition::Completed) && self.cut_short(app).is_some();
            let turn = |task: &Task| {
                let strict = self.rigour == Rigour::Strict && task.aim.brings_up();
                let mut turn = Turn::Now;
                let is_starting = |task: &Task| {
                    !matches!(task.phase, Phase::Done | Phase::Failed)
                        && !matches!(&task.aim, Aim::Apply { step, .. } if step.start.is_empty())
                };
                for other in &task.after {
                    let condition = task.needs.get(other).copied().filter(|_| strict);
                    let is_started = || outlook(around.table, other, Condition::Started) == Outlook::Met;
                    // What somebody has taken away meanwhile is not started without.
                    let need = task.needs.get(other).copied().unwrap_or_default();
                    if strict && self.is_taken(around.table, other, need) {
                        return Turn::Never(other.clone());
                    }
                    // What has come up was ready and healthy once; that may be over, and it may still have to do its work.
                    let outlook = condition.and_then(|condition| match condition {
                        Condition::Started | Condition::Ready => None,
                        Condition::Healthy if is_met(around.table, other, condition) => Some(Outlook::Met),
                        Condition::Healthy | Condition::Completed => Some(outlook(around.table, other, condition)),
                    });
                    // It is known from now on, and not started.
                    let left_out = around.table.apps.get(other).is_some_and(is_left_out);
                    if left_out && condition.is_some() && !self.tasks.get(other).is_some_and(is_starting) {
                        return Turn::Never(other.clone());
                    }
                    match self.tasks.get(other) {
                        // Enough for who needs no more.
                        Some(Task { phase: Phase::Running(_) | Phase::Failed, .. })
                            if condition == Some(Condition::Started) && is_started() => {}
                        Some(Task { phase: Phase::Failed, aim, .. }) if strict && aim.brings_up() => {
                            return Turn::Never(other.clone());
                        }
                        // It may have been left out (`--only`): what needs it is not begun without a word.
                        None if strict && task.aim.applies_processes() && is_down(around.table, other) => {
                            return Turn::Never(other.clone());
                        }
                        None | Some(Task { phase: Phase::Done | Phase::Failed, .. }) => match outlook {
                            Some(Outlook::WillNot) => return Turn::Never(other.clone()),
                            Some(Outlook::MayCome) if relapses(other) || is_cut(other, condition) => {
                                return Turn::Never(other.clone());
                            }
                            Some(Outlook::MayCome) => turn = Turn::Held(other.clone()),
                            Some(Outlook::Met) | None => {}
                        },
                        // Its move may be all that is waited for.
                        Some(_) if condition == Some(Condition::Started) => turn = Turn::Held(other.clone()),
                        Some(_) => turn = Turn::Later,
                    }
                }
                turn
            };
            let mut skipped = Vec::new();
            let mut held = BTreeSet::new();
            let mut waiting = Vec::new();
            ready.clear();
            for (app, task) in self.tasks.iter().filter(|(_, task)| matches!(task.phase, Phase::Pending)) {
                match turn(task) {
                    Turn::Now => ready.push(app.clone()),
                    Turn::Later => {}
                    Turn::Held(other) => {
                        let condition = task.needs.get(&other).copied().unwrap_or_default();
                        if condition != Condition::Started && !self.held.contains(&other) {
                            waiting.push((app.clone(), wanted(&other, condition)));
                        }
                        held.insert(other);
                    }
                    Turn::Never(failed) => skipped.push((app.clone(), failed)),
                }
            }
            skipped.retain(|(app, _)| !self.skipped.contains_key(app));
            if skipped.is_empty() {
                for (app, needs) in waiting {
                    self.progress(&app, None, ProgressKind::Waiting { needs }, around.out);
                }
                self.held = held;
                ready.extend(self.skipped.keys().cloned());
                return ready;
            }
            for (app, failed) in skipped {
                let condition = self.tasks.get(&app).and_then(|task| task.needs.get(&failed));
                let cut = self.cut_short(&failed).filter(|_| condition == Some(&Condition::Completed));
                let reason = match cut {
                    Some(cause) => format!("`{failed}`, which it depends on, does not come to its end: {cause}"),
                    None if condition == Some(&Condition::Completed) && is_unknown(around.table, &failed) => format!(
                        "`{failed}` ended while no daemon watched it, and whether it did its work is not known: \
                         `pmrun start {failed}` runs it again"
                    ),
                    None if around.table.apps.get(&failed).is_some_and(is_left_out) => {
                        format!(
                            "`{failed}`, which it depends on, is only started by hand (`autostart: false`), and was not"
                        )
                    }
                    None => format!("`{failed}`, which it depends on, is not up"),
                };
                let what = ProgressKind::Skipped { reason: reason.clone() };
                self.progress(&app, None, what, around.out);
                if self.will_wait(&app, around.table) {
                    self.skipped.insert(app, reason);
                    continue;
                }
                self.skip(&app, reason);
            }
            // Somebody may wait for what was to be started here.
            self.look_at_blocked(None, around);
        }
    }

    fn is_stuck(&self) -> bool {
        self.pending().next().is_some()
            && self.held.iter().all(|app| self.pending().any(|pending| pending == app))
            && !self.tasks.values().any(|task| matches!(task.phase, Phase::Saving | Phase::Running(_)))
    }

    /// What is durable becomes what is done.
    pub(super) fn begin(&mut self, wave: Wave, around: &mut Surroundings<'_>) {
        around.table.next_list_id = wave.next_list_id;
        let mut works = wave.works;
        if let Some(before) = &mut self.before {
            before.note(&works, around.table);
        }
        // Whoever takes a name that a rename frees comes after it.
        works.sort_by_key(|work| work.renamed_from.is_none());
        for work in &works {
            self.begun_any |= work.watch.is_empty();
            work.install(around.table, around.now, around.out);
        }
        for work in &works {
            self.begin_task(work, around);
        }
    }

    fn begin_task(&mut self, work: &Work, around: &mut Surroundings<'_>) {
        let app = work.app.as_str();
        if let Some(from) = &work.renamed_from {
            self.progress(app, None, ProgressKind::Renamed { from: from.clone() }, around.out);
        }
        let nothing = work.stop.is_empty() && work.start.is_empty() && work.replace.is_empty();
        if nothing && work.watch.is_empty() && work.record.is_some() && !self.only_renames(app) {
            let what = match work.is_new {
                true if self.stillborn.contains(app) => ProgressKind::Stopped,
                true => ProgressKind::Created,
                false => ProgressKind::Updated,
            };
            self.progress(app, None, what, around.out);
        }
        if let Some(reason) = self.skipped.remove(app) {
            return self.have_wait(work, reason, around);
        }
        let since = around.now.mono;
        let flight = |goal| Flight { goal, since };
        let can_be_relieved = |slot: &u32| {
            let instance = around.table.instance(&InstanceId::new(app, *slot));
            instance.is_some_and(|instance| instance.machine.can_be_relieved())
        };
        // Others go on meanwhile.
        let at_once = self.parallel.filter(|_| work.replace.iter().all(can_be_relieved)).unwrap_or(1);
        let replace = work.replace.iter().copied().collect();
        let mut running = Running { queued: work.start.len(), replace, at_once, ..Running::default() };
        // With each goes what was to relieve it, or is relieved already.
        let others = work.stop.iter().map(|slot| second(*slot));
        let others: Vec<u32> =
            others.filter(|slot| around.table.instance(&InstanceId::new(app, *slot)).is_some()).collect();
        running.in_flight.extend(work.stop.iter().chain(&others).map(|slot| (*slot, flight(Goal::Down))));
        running.in_flight.extend(work.watch.iter().map(|slot| (*slot, flight(Goal::Up))));
        if self.given_up {
            running.replace.clear();
        }
        self.queue.extend(work.start.iter().map(|slot| (InstanceId::new(app, *slot), Start::First)));
        if let Some(task) = self.tasks.get_mut(app) {
            task.phase = Phase::Running(running);
        }
        // What others go on with is not cut off.
        let is_fewer = matches!(self.tasks.get(app).map(|task| &task.aim), Some(Aim::Apply { .. }))
            && work
                .record
                .as_ref()
                .is_some_and(|record| record.instances.values().any(|known| known.intent == Intent::Up));
        for slot in &work.stop {
            let id = InstanceId::new(app, *slot);
            around.feed(&id, if is_fewer { Event::Retire } else { Event::Stop });
            self.judge(&id, false, around);
        }
        for slot in others {
            let id = InstanceId::new(app, slot);
            around.feed(&id, Event::Stop);
            self.judge(&id, false, around);
        }
        for slot in &work.watch {
            self.judge(&InstanceId::new(app, *slot), false, around);
        }
        self.next_replacement(app);
        self.settle(app, around);
    }

    /// What is down and something keeps from being started will start by itself when that is over: it is recorded, and waits.
    fn will_wait(&self, app: &str, table: &Table) -> bool {
        let only_starts = |step: &Step| {
            step.replace.is_empty() && step.stop.is_empty() && step.remove.is_empty() && step.renamed_from.is_none()
        };
        let known = table.apps.get(app);
        let (slots, spec) = match self.tasks.get(app).map(|task| &task.aim) {
            Some(Aim::Apply { step, declared: Some(declared) }) if only_starts(step) => (&step.start, &declared.spec),
            Some(Aim::Up { slots, renew: false, .. }) if let Some(known) = known => (slots, &known.record.spec),
            _ => return false,
        };
        let is_down = |slot: &u32| {
            let instance = table.instance(&InstanceId::new(app, *slot));
            instance.is_none_or(|instance| instance.machine.state == State::Stopped)
        };
        let can_wait = !slots.is_empty() && slots.iter().all(is_down);
        let is_kept = || !unmet(table, spec).is_empty() || !self.taken_from(table, spec).is_empty();
        can_wait && !self.given_up && !self.goes_on_alone() && is_kept()
    }

    /// What it needs and somebody has deleted, or kept from being made, meanwhile.
    fn taken_from(&self, table: &Table, spec: &AppSpec) -> BTreeSet<String> {
        let is_gone = |other: &&String| self.is_taken(table, other, spec.need(other).condition);
        unknown(table, spec).filter(is_gone).cloned().collect()
    }

    /// Whether somebody has stopped or deleted it since this began, and it is not back.
    fn is_taken(&self, table: &Table, app: &str, condition: Condition) -> bool {
        let is_known = || table.apps.get(app).is_some_and(|known| !known.deleted);
        self.taken.contains(app) && !(is_known() && is_met(table, app, condition))
    }

    fn have_wait(&mut self, work: &Work, reason: String, around: &mut Surroundings<'_>) {
        let app = work.app.as_str();
        let spec = around.table.apps.get(app).map(|known| Arc::clone(&known.record.spec));
        let gone = spec.as_ref().map(|spec| self.taken_from(around.table, spec)).unwrap_or_default();
        let needs = spec.map(|spec| with_bereft(&spec, &unmet(around.table, &spec), &gone)).unwrap_or_default();
        if !gone.is_empty() {
            around.table.completed.insert(app.to_owned());
        }
        for slot in &work.start {
            let known = around.table.apps.get_mut(app).and_then(|known| known.instances.get_mut(slot));
            if let Some(instance) = known {
                instance.excused = None;
                instance.bereft.clone_from(&gone);
                instance.machine.unmet.clone_from(&needs);
                around.feed(&InstanceId::new(app, *slot), Event::Resume);
            }
        }
        self.skip(app, reason);
        self.stirred = true;
        self.look_at_blocked(None, around);
    }

    fn only_renames(&self, app: &str) -> bool {
        let aim = self.tasks.get(app).map(|task| &task.aim);
        matches!(aim, Some(Aim::Apply { step, .. }) if step.action == Action::Rename)
    }
}

/// Whether an app is done without anybody knowing how.
fn is_unknown(table: &Table, app: &str) -> bool {
    let unknown = State::Completed { status: ExitStatus::Unknown };
    table.apps.get(app).is_some_and(|app| app.instances.values().any(|instance| instance.machine.state == unknown))
}
