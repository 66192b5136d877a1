mod caller;
mod deed;
mod flight;
mod follow;
mod wave;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;

pub(super) use self::caller::{Afterwards, Caller, Rigour};
use self::deed::{Before, Undoes};
pub(super) use self::deed::{Deed, Recalling, WayBack};
use self::flight::{Flight, Goal};
use self::wave::Wave;
use super::needs::unmet_but;
use super::table::{Moved, Table};
use super::work::{Aim, Declared};
use super::{AppRecord, Effect, Intent, Save, Ticket};
use crate::base::{InstanceId, Now};
use crate::plan::Step;
use crate::rpc::wire::{Answer, Failure, Progress, ProgressKind};
use crate::spec::Condition;
use crate::supervisor::{Cause, ErrorReason, Event, State, Then};

/// Instances that may be on their way up at the same time, where the caller has no limit of its own.
///
/// One that does not say when it is ready is only known to be up once its `min_uptime` has passed: it counts while it
/// is launched, or 500 such apps would take half a minute of waiting for nothing.
const STARTING_MAX: usize = 16;

/// A command that changes something, step by step.
///
/// Tasks become ready when those that they come after are done. All that are ready at one moment form a wave: one
/// durable change, and only when it is durable are they begun. So what runs was always recorded before.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) caller: Caller,
    pub(super) afterwards: Afterwards,
    rigour: Rigour,
    /// The caller's own limit: every instance counts until it is up.
    parallel: Option<usize>,
    tasks: BTreeMap<String, Task>,
    /// The places of apps in their file, by which those get their ids whose turn comes at once.
    places: BTreeMap<String, usize>,
    /// The wave that is being made durable.
    saving: Option<(Ticket, Wave)>,
    /// Slots of begun tasks whose turn has not come.
    queue: VecDeque<(InstanceId, Start)>,
    /// Slots that count as being started.
    starting: BTreeSet<InstanceId>,
    /// No further step is begun, nobody waits for what comes of the others.
    given_up: bool,
    /// Apps that are done with and that somebody waits for to become what they are not yet.
    held: BTreeSet<String>,
    /// How often one of those has ended meanwhile without having become it.
    relapses: BTreeMap<String, u32>,
    /// What went down with what it restarts, and is to come back by itself.
    followers: BTreeSet<InstanceId>,
    /// What has been one of those, and with which app it went down.
    followed: BTreeSet<(InstanceId, String)>,
    /// Apps that it has recorded as stopped before another has made them.
    stillborn: BTreeSet<String>,
    /// Apps of which somebody has stopped or deleted something meanwhile.
    taken: BTreeSet<String>,
    /// Slots that were on their way and have come up.
    arrived: BTreeSet<InstanceId>,
    /// Apps that their own rules have restarted before they ended, and how often, and the rule.
    cut: BTreeMap<String, (u32, Cause)>,
    /// Tasks may have become ready since they were last looked at.
    stirred: bool,
    /// Something was begun or saved.
    begun_any: bool,
    touched: usize,
    failed: Vec<Failure>,
    /// What is remembered of it. None: nobody asked for it.
    deed: Option<Deed>,
    /// The number of its generation, once it has begun one.
    generation: Option<u64>,
    /// And those before something came in between.
    earlier: Vec<u64>,
    /// What it has touched, as that was before; where it is to be so again when something fails.
    before: Option<Before>,
    /// It is the way back of another.
    undoes: Option<Undoes>,
    /// What it is to do is not known before that is read.
    pub(super) recalling: Option<Recalling>,
    /// Who asked for it took it back.
    cancelled: bool,
    /// It starts what should run anyway, and nothing else: what waits goes on waiting.
    pub(super) resurrects: bool,
    /// New apps that are recorded and not started, and why.
    skipped: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug)]
enum Start {
    First,
    Anew,
}

#[derive(Debug)]
struct Task {
    aim: Aim,
    after: BTreeSet<String>,
    /// Of those that it comes after and needs: what they must be.
    needs: BTreeMap<String, Condition>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Pending,
    Saving,
    Running(Running),
    Done,
    Failed,
}

#[derive(Debug, Default)]
struct Running {
    in_flight: BTreeMap<u32, Flight>,
    queued: usize,
    replace: VecDeque<u32>,
    /// So many are replaced at a time, at least one.
    at_once: usize,
    failed: bool,
}

/// What an operation needs to get on.
pub(super) struct Surroundings<'a> {
    pub(super) table: &'a mut Table,
    pub(super) generation: &'a mut u64,
    pub(super) tickets: &'a mut u64,
    pub(super) moved: &'a mut VecDeque<Moved>,
    pub(super) now: Now,
    pub(super) out: &'a mut Vec<Effect>,
}

impl Surroundings<'_> {
    fn feed(&mut self, id: &InstanceId, event: Event) {
        let moved = self.table.feed(id, event, self.now, self.out);
        self.moved.extend(moved);
    }

    fn call_off(&mut self, id: &InstanceId, reason: &str) {
        let moved = self.table.call_off(id, reason, self.now, self.out);
        self.moved.extend(moved);
    }

    /// False where no other process can be started beside its own.
    fn relieve(&mut self, id: &InstanceId) -> bool {
        let moved = self.table.relieve(id, self.now, self.out);
        let begun = moved.is_some();
        self.moved.extend(moved.into_iter().flatten());
        begun
    }
}

impl Operation {
    pub(super) fn new(caller: Caller, rigour: Rigour, afterwards: Afterwards) -> Self {
        Self {
            caller,
            afterwards,
            rigour,
            parallel: None,
            tasks: BTreeMap::new(),
            places: BTreeMap::new(),
            saving: None,
            queue: VecDeque::new(),
            starting: BTreeSet::new(),
            given_up: false,
            held: BTreeSet::new(),
            relapses: BTreeMap::new(),
            followers: BTreeSet::new(),
            followed: BTreeSet::new(),
            stillborn: BTreeSet::new(),
            taken: BTreeSet::new(),
            arrived: BTreeSet::new(),
            cut: BTreeMap::new(),
            stirred: true,
            begun_any: false,
            touched: 0,
            failed: Vec::new(),
            deed: None,
            generation: None,
            earlier: Vec::new(),
            before: None,
            undoes: None,
            recalling: None,
            cancelled: false,
            resurrects: false,
            skipped: BTreeMap::new(),
        }
    }

    /// At most so many instances are on their way up at once, each from its launch until it is up.
    pub(super) fn limit(&mut self, parallel: NonZeroU32) {
        self.parallel = Some(usize::try_from(parallel.get()).unwrap_or(usize::MAX));
    }

    /// As a file has them.
    pub(super) fn order(&mut self, names: impl Iterator<Item = String>) {
        self.places = names.zip(0..).collect();
    }

    /// Apps in `after` that have no task are not waited for.
    pub(super) fn add(&mut self, app: String, aim: Aim, after: BTreeSet<String>) {
        self.add_needing(app, aim, after, BTreeMap::new());
    }

    pub(super) fn add_needing(
        &mut self,
        app: String,
        aim: Aim,
        after: BTreeSet<String>,
        needs: BTreeMap<String, Condition>,
    ) {
        self.touched += usize::from(!aim.is_silent());
        self.tasks.insert(app, Task { aim, after, needs, phase: Phase::Pending });
    }

    /// Whether it may change something of an app.
    pub(super) fn is_about(&self, app: &str) -> bool {
        self.tasks.iter().any(|(name, task)| match &task.aim {
            Aim::Watch { .. } => false,
            Aim::Apply { step, .. } => name == app || step.renamed_from.as_deref() == Some(app),
            Aim::Up { .. } | Aim::Stop { .. } | Aim::Delete { .. } => name == app,
        })
    }

    /// Whether it may still record or start something of an app.
    pub(super) fn is_at_work_on(&self, app: &str) -> bool {
        let mut wave = self.saving.iter().flat_map(|(_, wave)| &wave.works);
        let is_open = |task: &Task| !matches!(task.phase, Phase::Done | Phase::Failed);
        self.tasks.get(app).is_some_and(is_open) || wave.any(|work| work.renamed_from.as_deref() == Some(app))
    }

    /// Whether a stop may come in between.
    pub(super) fn gives_way(&self) -> bool {
        let brings_up = self.tasks.values().any(|task| task.aim.brings_up());
        // Nor does one wait until another's app has ended.
        (brings_up || self.only_ends())
            && self.afterwards == Afterwards::GoOn
            && self.recalling.is_none()
            && !self.goes_on_alone()
    }

    /// Whether all that it does is to end some, and nothing else follows from it.
    pub(super) fn only_ends(&self) -> bool {
        let ends = |task: &Task| matches!(task.aim, Aim::Stop { .. } | Aim::Delete { .. });
        self.afterwards == Afterwards::GoOn && self.tasks.values().all(ends)
    }

    pub(super) fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Whether it is about to restart an instance, and has not begun to.
    pub(super) fn will_restart(&self, id: &InstanceId) -> bool {
        let Some(task) = self.tasks.get(&id.app).filter(|_| !self.given_up) else { return false };
        let replaces = match &task.aim {
            Aim::Apply { step, .. } => step.replace.contains(&id.slot),
            Aim::Up { slots, renew, .. } => *renew && slots.contains(&id.slot),
            Aim::Stop { .. } | Aim::Delete { .. } | Aim::Watch { .. } => false,
        };
        let is_queued = || self.queue.iter().any(|(queued, start)| queued == id && matches!(start, Start::Anew));
        replaces
            && match &task.phase {
                Phase::Pending | Phase::Saving => true,
                Phase::Running(running) => running.replace.contains(&id.slot) || is_queued(),
                Phase::Done | Phase::Failed => false,
            }
    }

    /// What it ends for good.
    pub(super) fn stops(&self) -> Vec<InstanceId> {
        let stopped = self.tasks.iter().filter_map(|(app, task)| match &task.aim {
            Aim::Stop { slots, .. } | Aim::Delete { slots } => Some((app, slots)),
            Aim::Apply { .. } | Aim::Up { .. } | Aim::Watch { .. } => None,
        });
        stopped.flat_map(|(app, slots)| slots.iter().map(move |slot| InstanceId::new(app, *slot))).collect()
    }

    /// New apps whose turn has not come, and the slots that they are to have.
    pub(super) fn unborn(&self, table: &Table) -> Vec<(&Declared, &Step)> {
        let pending = self.tasks.iter().filter(|(app, task)| {
            matches!(task.phase, Phase::Pending) && table.apps.get(*app).is_none_or(|known| known.deleted)
        });
        let declared = pending.filter_map(|(_, task)| match &task.aim {
            Aim::Apply { step, declared: Some(declared) } if step.renamed_from.is_none() => Some((declared, &**step)),
            _ => None,
        });
        declared.collect()
    }

    /// Has apps recorded as stopped, too, that `other` is about to make.
    pub(super) fn stop_unborn(&mut self, apps: &[&str], other: &Self, table: &Table) {
        for (declared, step) in other.unborn(table) {
            if apps.contains(&step.app.as_str()) {
                let step = Box::new(Step { start: Vec::new(), ..step.clone() });
                self.stillborn.insert(step.app.clone());
                let app = step.app.clone();
                self.add(app, Aim::Apply { step, declared: Some(declared.clone()) }, BTreeSet::new());
            }
        }
    }

    /// These are none of its business any more: somebody stops them.
    pub(super) fn take_back(&mut self, stopped: &[InstanceId], by: &str, around: &mut Surroundings<'_>) {
        let reason = format!("{by} came in between");
        self.taken.extend(stopped.iter().map(|id| id.app.clone()));
        for id in stopped {
            let queued = self.queue.len();
            self.queue.retain(|(other, _)| other != id);
            let queued = queued - self.queue.len();
            let Some(task) = self.tasks.get_mut(&id.app) else { continue };
            let is_silent = task.aim.is_silent();
            match &mut task.phase {
                Phase::Pending if task.aim.brings_up() => self.skip(&id.app, reason.clone()),
                Phase::Running(running) => {
                    running.queued -= queued;
                    let replaced = running.replace.len();
                    running.replace.retain(|slot| *slot != id.slot);
                    let flew = matches!(running.in_flight.get(&id.slot), Some(Flight { goal: Goal::Up, .. }));
                    if flew {
                        running.in_flight.remove(&id.slot);
                    }
                    if queued > 0 || flew || replaced > running.replace.len() {
                        running.failed = true;
                        self.starting.remove(id);
                        if !is_silent {
                            let failure = Failure::of_app(id.app.clone(), reason.clone());
                            self.failed.push(Failure { slot: Some(id.slot), ..failure });
                        }
                    }
                }
                // It was told to be up, and that is not what is left of it.
                Phase::Done if self.arrived.contains(id) && !is_silent => {
                    let failure = Failure::of_app(id.app.clone(), reason.clone());
                    self.failed.push(Failure { slot: Some(id.slot), ..failure });
                }
                Phase::Pending | Phase::Saving | Phase::Done | Phase::Failed => {}
            }
        }
        for id in stopped {
            self.next_replacement(&id.app);
            self.settle(&id.app, around);
        }
        self.stirred = true;
    }

    /// After something came in between.
    pub(super) fn go_on(&mut self, around: &mut Surroundings<'_>) {
        self.stirred = true;
        self.look_again(around);
    }

    pub(super) fn has(&self, app: &str) -> bool {
        self.tasks.contains_key(app)
    }

    /// Nobody wants the rest any more: what is being done is brought to its end, and nothing else is begun. What is
    /// what, for whoever may still listen.
    pub(super) fn give_up(&mut self, around: &mut Surroundings<'_>) -> Answer {
        self.caller.client = None;
        self.cancelled = true;
        let (mut going_on, not_begun) = self.break_off(around);
        let following = self.following(around.table);
        let not_begun = not_begun.into_iter().flat_map(|name| self.not_done_by_following(name, &following)).collect();
        going_on.extend(following.iter().map(ToString::to_string));
        going_on.sort();
        going_on.dedup();
        Answer::Cancelled { touched: self.touched, failed: std::mem::take(&mut self.failed), going_on, not_begun }
    }

    /// Whether it goes on to its end though nobody listens any more: it may have to be undone, or undoes something.
    pub(super) fn goes_on_alone(&self) -> bool {
        self.before.is_some() || self.undoes.is_some()
    }

    /// Nobody is told how it goes any more.
    pub(super) fn leave_alone(&mut self) {
        self.caller.client = None;
    }

    /// Whether somebody waits for it.
    pub(super) fn is_heard(&self) -> bool {
        self.caller.client.is_some()
    }

    /// Whether it undoes another, which nobody takes back.
    pub(super) fn is_way_back(&self) -> bool {
        self.undoes.is_some()
    }

    /// What goes on, and what will not be begun.
    fn break_off(&mut self, around: &mut Surroundings<'_>) -> (Vec<String>, Vec<String>) {
        self.given_up = true;
        self.recalling = None;
        let (mut going_on, mut not_begun) = (Vec::new(), Vec::new());
        let queued = std::mem::take(&mut self.queue);
        not_begun.extend(queued.iter().map(|(id, _)| id.to_string()));
        for (app, task) in self.tasks.iter_mut().filter(|(_, task)| !task.aim.is_silent()) {
            let label = |slot: &u32| InstanceId::new(app, *slot).to_string();
            match &mut task.phase {
                Phase::Pending => {
                    task.phase = Phase::Failed;
                    not_begun.push(app.clone());
                }
                Phase::Running(running) => {
                    running.queued = 0;
                    not_begun.extend(running.replace.drain(..).map(|slot| label(&slot)));
                    going_on.extend(running.in_flight.keys().map(label));
                }
                Phase::Saving => going_on.push(app.clone()),
                Phase::Done | Phase::Failed => {}
            }
        }
        not_begun.sort();
        self.unwant(queued, around);
        let running = self.tasks.iter().filter(|(_, task)| matches!(task.phase, Phase::Running(_)));
        for app in running.map(|(app, _)| app.clone()).collect::<Vec<_>>() {
            self.settle(&app, around);
        }
        (going_on, not_begun)
    }

    /// Goes on as far as it can; whether it has come to its end.
    pub(super) fn advance(&mut self, around: &mut Surroundings<'_>) -> bool {
        if self.recalling.is_some() {
            return false;
        }
        if self.given_up {
            self.look_again(around);
        }
        loop {
            self.start_queued(around);
            while let Some(moved) = around.moved.pop_front() {
                self.moved(&moved, around);
            }
            // The rest would only have to be undone, too.
            if self.before.is_some() && !self.failed.is_empty() && !self.given_up {
                self.break_off(around);
                self.look_again(around);
                continue;
            }
            if self.saving.is_none() && std::mem::take(&mut self.stirred) {
                self.next_wave(around);
                continue;
            }
            if around.moved.is_empty() && self.startable(around.table).is_none() {
                break;
            }
        }
        self.saving.is_none() && self.tasks.values().all(|task| matches!(task.phase, Phase::Done | Phase::Failed))
    }

    /// A save ended. None when it was another's; else what to answer when nothing at all could be done.
    pub(super) fn saved(
        &mut self,
        ticket: Ticket,
        result: Result<(), String>,
        around: &mut Surroundings<'_>,
    ) -> Option<Answer> {
        let (_, wave) = self.saving.take_if(|(expected, _)| *expected == ticket)?;
        match result {
            Ok(()) => {
                *around.generation = wave.generation;
                self.generation = wave.begins.or(self.generation);
                self.begin(wave, around);
                None
            }
            Err(reason) => self.not_saved(wave, &reason, around),
        }
    }

    #[cfg(test)]
    pub(super) fn jobs_waited_for(&self) -> Vec<&str> {
        let pending = self.tasks.values().filter(|task| matches!(task.phase, Phase::Pending));
        let needs = pending.flat_map(|task| &task.needs);
        let jobs = needs.filter(|(app, condition)| **condition == Condition::Completed && self.held.contains(*app));
        jobs.map(|(app, _)| app.as_str()).collect()
    }

    fn pending(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().filter(|(_, task)| matches!(task.phase, Phase::Pending)).map(|(app, _)| app.as_str())
    }

    fn skip(&mut self, app: &str, reason: String) {
        let Some(task) = self.tasks.get_mut(app) else { return };
        task.phase = Phase::Failed;
        if !task.aim.is_silent() {
            self.failed.push(Failure { skipped: true, ..Failure::of_app(app.to_owned(), reason) });
        }
    }

    fn running(&mut self, app: &str) -> Option<&mut Running> {
        match &mut self.tasks.get_mut(app)?.phase {
            Phase::Running(running) => Some(running),
            Phase::Pending | Phase::Saving | Phase::Done | Phase::Failed => None,
        }
    }

    /// The next slot of a rollout, when the one before is up.
    fn next_replacement(&mut self, app: &str) {
        let Some(running) = self.running(app) else { return };
        if running.failed {
            running.replace.clear();
        }
        let coming = running.in_flight.values().filter(|flight| flight.goal == Goal::Up).count();
        let at_once = running.at_once.max(1);
        let mut next = Vec::new();
        while running.queued + coming < at_once
            && let Some(slot) = running.replace.pop_front()
        {
            running.queued += 1;
            next.push((InstanceId::new(app, slot), Start::Anew));
        }
        self.queue.extend(next);
    }

    /// Where in the queue the next is that can be started now. Who is to be relieved and has one beside it still, which comes or
    /// goes, waits for that: without a process beside it there would be a moment in which nobody serves.
    fn startable(&self, table: &Table) -> Option<usize> {
        if self.starting.len() >= self.parallel.unwrap_or(STARTING_MAX) {
            return None;
        }
        let waits = |id: &InstanceId, start: &Start| {
            matches!(start, Start::Anew) && self.replaces_gently(&id.app) && table.is_about_to_be_single(id)
        };
        self.queue.iter().position(|(id, start)| !waits(id, start))
    }

    fn replaces_gently(&self, app: &str) -> bool {
        let aim = self.tasks.get(app).map(|task| &task.aim);
        matches!(aim, Some(Aim::Apply { .. } | Aim::Up { gently: true, .. }))
    }

    fn start_queued(&mut self, around: &mut Surroundings<'_>) {
        while let Some(at) = self.startable(around.table)
            && let Some((id, start)) = self.queue.remove(at)
        {
            let flight = Flight { goal: Goal::Up, since: around.now.mono };
            let Some(running) = self.running(&id.app) else { continue };
            running.queued -= 1;
            running.in_flight.insert(id.slot, flight);
            self.starting.insert(id.clone());
            let app = around.table.apps.get(&id.app);
            let is_job = app.is_some_and(|app| app.record.spec.schedule.is_some());
            let aim = self.tasks.get(&id.app).map(|task| &task.aim);
            let now = matches!(aim, Some(Aim::Up { renew: true, .. }));
            let gently = self.replaces_gently(&id.app);
            let event = match start {
                // Only who restarts a job by its name wants it run now.
                _ if is_job && !now => Event::Schedule,
                // What it depends on comes up in its own time, and it then.
                Start::First if self.rigour == Rigour::Lenient || self.resurrects => {
                    excuse(around.table, &id);
                    Event::Resume
                }
                Start::First => Event::Start,
                Start::Anew if gently => Event::Reload,
                Start::Anew => Event::Restart,
            };
            if event != Event::Reload || !around.relieve(&id) {
                around.feed(&id, event);
            }
            self.judge(&id, false, around);
        }
    }

    /// Ends a task that has nothing left to do.
    fn settle(&mut self, app: &str, around: &mut Surroundings<'_>) {
        let Some(running) = self.running(app) else { return };
        if !running.in_flight.is_empty() || running.queued > 0 || !running.replace.is_empty() {
            return;
        }
        let phase = if running.failed { Phase::Failed } else { Phase::Done };
        if !around.table.apps.contains_key(app) {
            self.progress(app, None, ProgressKind::Deleted, around.out);
        }
        if let Some(task) = self.tasks.get_mut(app) {
            task.phase = phase;
        }
        self.stirred = true;
        // Who waits for an app is patient as long as this is about to bring it up.
        self.look_at_blocked(None, around);
    }

    /// What is recorded as running and was never started is recorded as stopped again: the next daemon must not start
    /// what was taken back. Where that cannot be saved, it does.
    fn unwant(&mut self, queued: VecDeque<(InstanceId, Start)>, around: &mut Surroundings<'_>) {
        let mut records: BTreeMap<String, AppRecord> = BTreeMap::new();
        for (id, start) in queued {
            let Some(app) = around.table.apps.get(&id.app).filter(|app| !app.deleted) else { continue };
            let is_down = app.instances.get(&id.slot).is_some_and(|held| {
                let will_not_die =
                    |reason: &ErrorReason| matches!(reason, ErrorReason::WouldNotDie { then: Then::Stop, .. });
                match &held.machine.state {
                    State::Stopped | State::Stopping { then: Then::Stop, .. } => true,
                    State::Errored { reason } => will_not_die(reason),
                    _ => false,
                }
            });
            if let Start::First = start
                && is_down
            {
                let record = records.entry(id.app).or_insert_with(|| app.record.clone());
                record.instances.entry(id.slot).and_modify(|instance| instance.intent = Intent::Stopped);
            }
        }
        let record = |(name, record): (&String, &AppRecord)| Save::App(name.clone(), Box::new(record.clone()));
        let mut saves: Vec<Save> = records.iter().map(record).collect();
        if saves.is_empty() {
            return;
        }
        // Where another came in between, what was its own before is that one's to begin with.
        if let Some(generation) = self.begins(&saves, around) {
            *around.generation = self.open(generation, &mut saves);
            self.generation = Some(*around.generation);
        }
        *around.tickets += 1;
        around.out.push(Effect::Save { ticket: Ticket(*around.tickets), saves });
        for (name, record) in records {
            if let Some(app) = around.table.apps.get_mut(&name) {
                app.record = record;
                app.unsaved = true;
            }
        }
    }

    fn progress(&self, app: &str, slot: Option<u32>, what: ProgressKind, out: &mut Vec<Effect>) {
        if self.tasks.get(app).is_some_and(|task| task.aim.is_silent()) {
            return;
        }
        self.caller.tell(Answer::Progress(Progress { app: app.to_owned(), slot, what }), false, out);
    }
}

/// What somebody has stopped is no reason not to bring back what should run.
fn excuse(table: &mut Table, id: &InstanceId) {
    let Some(app) = table.apps.get(&id.app) else { return };
    let unmet = unmet_but(table, &app.record.spec, true);
    let instance = table.apps.get_mut(&id.app).and_then(|app| app.instances.get_mut(&id.slot));
    if let Some(instance) = instance.filter(|instance| instance.excused != Some(false) && instance.bereft.is_empty()) {
        instance.excused = Some(true);
        instance.machine.unmet = unmet;
    }
}

/// Whether nothing of a known app runs and nobody is about to start it. One that only ever starts by hand
/// (`autostart: false`) may be down: whoever needs it is started without it from the beginning.
fn is_down(table: &Table, app: &str) -> bool {
    let Some(app) = table.apps.get(app).filter(|app| !app.deleted && !app.instances.is_empty()) else { return false };
    let mut states = app.instances.values().map(|instance| &instance.machine.state);
    states.all(|state| match state {
        State::Errored { .. } => true,
        State::Stopped => app.record.spec.autostart,
        _ => false,
    })
}
