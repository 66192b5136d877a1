use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::table::{Moved, Table};
use super::view::outputs;
use super::work::{Aim, Work};
use super::{ClientId, Effect, Intent, Save, Ticket};
use crate::base::{InstanceId, Mono, Now, format_millis};
use crate::plan::Action;
use crate::rpc::wire::{Answer, Failure, Progress, ProgressKind};
use crate::supervisor::{By, Event, Machine, Output, State};

/// Processes that may be on their way up at the same time.
const STARTING_MAX: usize = 16;

/// When a command stops waiting for an instance that keeps ending. Its policy goes on restarting it.
///
/// A crash is only final when the machine says so, which with a `restart_delay` can take minutes. Nobody who applies
/// a file wants to wait for that: an instance counts as failed when its next start is more than `CRASH_WAIT_MS_MAX`
/// away, or when it ends `CRASH_PATIENCE_MS` after it was begun. With no delay the default sixteen launches are over
/// long before that.
const CRASH_WAIT_MS_MAX: u64 = 2_000;
const CRASH_PATIENCE_MS: u64 = 5_000;

/// Who asked for something, and how it is told.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// None for what the daemon does by itself, and once the client hung up.
    pub(super) client: Option<ClientId>,
    pub(super) pid: u32,
    /// What it is at, for others who wait.
    pub(super) holder: String,
    pub(super) since: Mono,
}

impl Caller {
    pub(super) fn tell(&self, answer: Answer, last: bool, out: &mut Vec<Effect>) {
        if let Some(client) = self.client {
            out.push(Effect::Answer { client, answer: Box::new(answer), last });
        }
    }
}

/// What comes after the last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    GoOn,
    EndTheDaemon,
}

/// How hard an operation insists on what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rigour {
    /// What depends on a failed app is not begun.
    Strict,
    /// Order only: everything is begun sooner or later, and nobody waits for what nothing depends on.
    Lenient,
}

/// A command that changes something, step by step.
///
/// Tasks become ready when those that they come after are done. All that are ready at one moment form a wave: one
/// durable change, and only when it is durable are they begun. So what runs was always recorded before.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) caller: Caller,
    pub(super) afterwards: Afterwards,
    rigour: Rigour,
    tasks: BTreeMap<String, Task>,
    /// The wave that is being made durable.
    saving: Option<(Ticket, Wave)>,
    /// Slots of begun tasks whose turn has not come.
    queue: VecDeque<(InstanceId, Start)>,
    /// Slots that count as being started.
    starting: BTreeSet<InstanceId>,
    /// No further step is begun, nobody waits for what comes of the others.
    given_up: bool,
    /// Tasks may have become ready since they were last looked at.
    stirred: bool,
    /// Something was begun or saved.
    begun_any: bool,
    touched: usize,
    failed: Vec<Failure>,
}

#[derive(Debug)]
struct Wave {
    works: Vec<Work>,
    next_list_id: u32,
    generation: u64,
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
    failed: bool,
}

/// A slot on its way to where the task wants it.
#[derive(Debug)]
struct Flight {
    goal: Goal,
    since: Mono,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Up,
    Down,
}

/// What a look at a slot in flight says.
enum Verdict {
    Wait,
    Arrived,
    Failed(String),
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
}

impl Operation {
    pub(super) fn new(caller: Caller, rigour: Rigour, afterwards: Afterwards) -> Self {
        Self {
            caller,
            afterwards,
            rigour,
            tasks: BTreeMap::new(),
            saving: None,
            queue: VecDeque::new(),
            starting: BTreeSet::new(),
            given_up: false,
            stirred: true,
            begun_any: false,
            touched: 0,
            failed: Vec::new(),
        }
    }

    /// Apps in `after` that have no task are not waited for.
    pub(super) fn add(&mut self, app: String, aim: Aim, after: BTreeSet<String>) {
        self.touched += usize::from(!aim.is_watch());
        self.tasks.insert(app, Task { aim, after, phase: Phase::Pending });
    }

    pub(super) fn has(&self, app: &str) -> bool {
        self.tasks.contains_key(app)
    }

    /// Nobody wants the rest any more: what is being done is brought to its end, and nothing else is begun. What is
    /// what, for whoever may still listen.
    pub(super) fn give_up(&mut self, around: &mut Surroundings<'_>) -> Answer {
        self.caller.client = None;
        self.given_up = true;
        let (mut going_on, mut not_begun) = (Vec::new(), Vec::new());
        let queued = std::mem::take(&mut self.queue);
        not_begun.extend(queued.iter().map(|(id, _)| id.to_string()));
        for (app, task) in self.tasks.iter_mut().filter(|(_, task)| !task.aim.is_watch()) {
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
        unwant(queued, around);
        let running = self.tasks.iter().filter(|(_, task)| matches!(task.phase, Phase::Running(_)));
        for app in running.map(|(app, _)| app.clone()).collect::<Vec<_>>() {
            self.settle(&app, around);
        }
        Answer::Cancelled { touched: self.touched, failed: std::mem::take(&mut self.failed), going_on, not_begun }
    }

    /// Goes on as far as it can; whether it has come to its end.
    pub(super) fn advance(&mut self, around: &mut Surroundings<'_>) -> bool {
        if self.given_up {
            self.look_again(around);
        }
        loop {
            self.start_queued(around);
            while let Some(moved) = around.moved.pop_front() {
                self.moved(&moved, around);
            }
            if self.saving.is_none() && std::mem::take(&mut self.stirred) {
                self.next_wave(around);
                continue;
            }
            if around.moved.is_empty() && !self.can_start() {
                break;
            }
        }
        self.saving.is_none() && self.tasks.values().all(|task| matches!(task.phase, Phase::Done | Phase::Failed))
    }

    /// The last answer.
    pub(super) fn result(&mut self) -> Answer {
        Answer::Done { touched: self.touched, failed: std::mem::take(&mut self.failed) }
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
                self.begin(wave, around);
                None
            }
            Err(reason) => self.not_saved(wave, &reason, around),
        }
    }

    /// What only stops is done all the same, and said to be unrecorded: the app that fills the disk must not be the
    /// one that cannot be stopped.
    fn not_saved(&mut self, wave: Wave, reason: &str, around: &mut Surroundings<'_>) -> Option<Answer> {
        let only_stops = |work: &Work| matches!(self.tasks.get(&work.app), Some(Task { aim: Aim::Stop { .. }, .. }));
        if wave.works.iter().all(only_stops) {
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
            if let Some(task) = self.tasks.get_mut(&work.app) {
                task.phase = Phase::Pending;
            }
        }
        let pending: Vec<String> = self.pending().map(str::to_owned).collect();
        for app in pending {
            self.skip(&app, format!("the state cannot be saved: {reason}"));
        }
        if self.begun_any {
            return None;
        }
        let message = format!("the state cannot be saved, nothing was changed: {reason}");
        Some(Answer::Error { message, hint: None })
    }

    fn pending(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().filter(|(_, task)| matches!(task.phase, Phase::Pending)).map(|(app, _)| app.as_str())
    }

    fn skip(&mut self, app: &str, reason: String) {
        let Some(task) = self.tasks.get_mut(app) else { return };
        task.phase = Phase::Failed;
        if !task.aim.is_watch() {
            self.failed.push(Failure { skipped: true, ..Failure::of_app(app.to_owned(), reason) });
        }
    }

    /// Makes what has become ready durable.
    fn next_wave(&mut self, around: &mut Surroundings<'_>) {
        let mut ready = self.ready(around);
        if ready.is_empty() && self.is_stuck() {
            // A circle: the apps that run may have come from several versions of a file. It is cut anywhere.
            ready.extend(self.pending().next().map(str::to_owned));
        }
        if ready.is_empty() {
            return;
        }
        let mut next_list_id = if around.table.apps.is_empty() { 0 } else { around.table.next_list_id };
        let mut works = Vec::with_capacity(ready.len());
        for app in ready {
            let Some(task) = self.tasks.get_mut(&app) else { continue };
            task.phase = Phase::Saving;
            match task.aim.work(&app, around.table, &mut next_list_id) {
                Some(work) => works.push(work),
                None => task.phase = Phase::Done,
            }
        }
        let mut saves = Vec::new();
        for work in &works {
            work.saves(around.table, &mut saves);
        }
        let mut wave = Wave { works, next_list_id, generation: *around.generation };
        if saves.is_empty() {
            self.begin(wave, around);
            return;
        }
        wave.generation += 1;
        saves.push(Save::Generation(wave.generation));
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
            Never(String),
        }
        let mut ready = Vec::new();
        loop {
            let turn = |task: &Task| {
                let strict = self.rigour == Rigour::Strict && task.aim.brings_up();
                let mut turn = Turn::Now;
                for other in &task.after {
                    match self.tasks.get(other) {
                        Some(Task { phase: Phase::Failed, aim, .. }) if strict && aim.brings_up() => {
                            return Turn::Never(other.clone());
                        }
                        // It may have been left out (`--only`): what needs it is not begun without a word.
                        None if strict && task.aim.applies_processes() && is_down(around.table, other) => {
                            return Turn::Never(other.clone());
                        }
                        None | Some(Task { phase: Phase::Done | Phase::Failed, .. }) => {}
                        Some(_) => turn = Turn::Later,
                    }
                }
                turn
            };
            let mut skipped = Vec::new();
            ready.clear();
            for (app, task) in self.tasks.iter().filter(|(_, task)| matches!(task.phase, Phase::Pending)) {
                match turn(task) {
                    Turn::Now => ready.push(app.clone()),
                    Turn::Later => {}
                    Turn::Never(failed) => skipped.push((app.clone(), failed)),
                }
            }
            if skipped.is_empty() {
                return ready;
            }
            for (app, failed) in skipped {
                let reason = format!("`{failed}`, which it depends on, is not up");
                let what = ProgressKind::Skipped { reason: reason.clone() };
                self.progress(&app, None, what, around.out);
                self.skip(&app, reason);
            }
        }
    }

    fn is_stuck(&self) -> bool {
        self.pending().next().is_some()
            && !self.tasks.values().any(|task| matches!(task.phase, Phase::Saving | Phase::Running(_)))
    }

    /// What is durable becomes what is done.
    fn begin(&mut self, wave: Wave, around: &mut Surroundings<'_>) {
        around.table.next_list_id = wave.next_list_id;
        let mut works = wave.works;
        // Whoever takes a name that a rename frees comes after it.
        works.sort_by_key(|work| work.renamed_from.is_none());
        for work in &works {
            self.begun_any |= work.watch.is_empty();
            work.install(around.table, around.now);
        }
        for work in works {
            self.begin_task(work, around);
        }
    }

    fn begin_task(&mut self, work: Work, around: &mut Surroundings<'_>) {
        let app = work.app.as_str();
        if let Some(from) = &work.renamed_from {
            self.progress(app, None, ProgressKind::Renamed { from: from.clone() }, around.out);
        }
        let nothing = work.stop.is_empty() && work.start.is_empty() && work.replace.is_empty();
        if nothing && work.watch.is_empty() && work.record.is_some() && !self.only_renames(app) {
            let what = if work.is_new { ProgressKind::Created } else { ProgressKind::Updated };
            self.progress(app, None, what, around.out);
        }
        let since = around.now.mono;
        let flight = |goal| Flight { goal, since };
        let mut running = Running { queued: work.start.len(), replace: work.replace.into(), ..Running::default() };
        running.in_flight.extend(work.stop.iter().map(|slot| (*slot, flight(Goal::Down))));
        running.in_flight.extend(work.watch.iter().map(|slot| (*slot, flight(Goal::Up))));
        if self.given_up {
            running.replace.clear();
        }
        self.queue.extend(work.start.iter().map(|slot| (InstanceId::new(app, *slot), Start::First)));
        if let Some(task) = self.tasks.get_mut(app) {
            task.phase = Phase::Running(running);
        }
        for slot in &work.stop {
            let id = InstanceId::new(app, *slot);
            around.feed(&id, Event::Stop);
            self.judge(&id, false, around);
        }
        for slot in &work.watch {
            self.judge(&InstanceId::new(app, *slot), false, around);
        }
        self.next_replacement(app);
        self.settle(app, around);
    }

    fn only_renames(&self, app: &str) -> bool {
        let aim = self.tasks.get(app).map(|task| &task.aim);
        matches!(aim, Some(Aim::Apply { step, .. }) if step.action == Action::Rename)
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
        if running.queued == 0
            && running.in_flight.values().all(|flight| flight.goal == Goal::Down)
            && let Some(slot) = running.replace.pop_front()
        {
            running.queued += 1;
            self.queue.push_back((InstanceId::new(app, slot), Start::Anew));
        }
    }

    fn can_start(&self) -> bool {
        !self.queue.is_empty() && self.starting.len() < STARTING_MAX
    }

    fn start_queued(&mut self, around: &mut Surroundings<'_>) {
        while self.can_start()
            && let Some((id, start)) = self.queue.pop_front()
        {
            let flight = Flight { goal: Goal::Up, since: around.now.mono };
            let Some(running) = self.running(&id.app) else { continue };
            running.queued -= 1;
            running.in_flight.insert(id.slot, flight);
            self.starting.insert(id.clone());
            let by = if self.rigour == Rigour::Lenient { By::Policy } else { By::Command };
            around.feed(
                &id,
                match start {
                    Start::First => Event::Start { by },
                    Start::Anew => Event::Restart,
                },
            );
            self.judge(&id, false, around);
        }
    }

    fn moved(&mut self, moved: &Moved, around: &mut Surroundings<'_>) {
        let id = &moved.instance;
        let is_ours = self.running(&id.app).is_some_and(|running| running.in_flight.contains_key(&id.slot));
        if !is_ours {
            return;
        }
        let what = match (&moved.before, &moved.after) {
            (State::Launching { .. }, State::Starting { pid, .. } | State::Online { pid, .. }) => {
                Some(ProgressKind::Starting { pid: *pid })
            }
            (before, State::Stopping { .. }) if !matches!(before, State::Stopping { .. }) => {
                Some(ProgressKind::Stopping)
            }
            _ => None,
        };
        if let Some(what) = what {
            self.progress(&id.app, Some(id.slot), what, around.out);
        }
        let ran = matches!(moved.before, State::Launching { .. } | State::Starting { .. } | State::Online { .. });
        let crashed = ran
            && match &moved.after {
                State::Waiting { .. } => true,
                State::Launching { launch, .. } => moved.before.launch() != Some(*launch),
                _ => false,
            };
        self.judge(id, crashed, around);
    }

    /// Everything in flight once more: what had to be waited for need not be any more.
    fn look_again(&mut self, around: &mut Surroundings<'_>) {
        let in_flight: Vec<InstanceId> = self
            .tasks
            .iter()
            .filter_map(|(app, task)| match &task.phase {
                Phase::Running(running) => Some(running.in_flight.keys().map(move |slot| InstanceId::new(app, *slot))),
                Phase::Pending | Phase::Saving | Phase::Done | Phase::Failed => None,
            })
            .flatten()
            .collect();
        for id in in_flight {
            self.judge(&id, false, around);
        }
    }

    /// Whether a slot has got to where it was to go.
    fn judge(&mut self, id: &InstanceId, crashed: bool, around: &mut Surroundings<'_>) {
        let patient = !self.given_up && (self.rigour == Rigour::Strict || self.has_dependents(&id.app));
        let Some(flight) = self.running(&id.app).and_then(|running| running.in_flight.get_mut(&id.slot)) else {
            return;
        };
        let goal = flight.goal;
        let after_ms = around.now.mono.ms_since(flight.since);
        let verdict = match around.table.instance(id) {
            None if goal == Goal::Down => Verdict::Arrived,
            None => Verdict::Failed("it was taken away".to_owned()),
            Some(instance) => {
                let state = &instance.machine.state;
                let policy = &instance.machine.policy;
                let holds = (policy.readiness.wait_ready && patient) || matches!(state, State::Launching { .. });
                if !holds {
                    self.starting.remove(id);
                }
                let Some(flight) = self.running(&id.app).and_then(|running| running.in_flight.get(&id.slot)) else {
                    return;
                };
                match goal {
                    Goal::Down => down(state),
                    Goal::Up if !patient && settled(state) => Verdict::Arrived,
                    Goal::Up => up(&instance.machine, flight, crashed, around.now.mono),
                }
            }
        };
        match verdict {
            Verdict::Wait => return,
            Verdict::Arrived => {
                let what = match goal {
                    Goal::Up => ProgressKind::Up { after_ms },
                    Goal::Down => ProgressKind::Stopped,
                };
                self.progress(&id.app, Some(id.slot), what, around.out);
            }
            Verdict::Failed(reason) => self.fail(id, reason, around),
        }
        self.starting.remove(id);
        if let Some(running) = self.running(&id.app) {
            running.in_flight.remove(&id.slot);
        }
        self.next_replacement(&id.app);
        self.settle(&id.app, around);
    }

    fn has_dependents(&self, app: &str) -> bool {
        self.tasks.values().any(|task| matches!(task.phase, Phase::Pending) && task.after.contains(app))
    }

    fn fail(&mut self, id: &InstanceId, reason: String, around: &mut Surroundings<'_>) {
        if let Some(running) = self.running(&id.app) {
            running.failed = true;
        }
        self.progress(&id.app, Some(id.slot), ProgressKind::Failed { reason: reason.clone() }, around.out);
        if self.tasks.get(&id.app).is_none_or(|task| task.aim.is_watch()) {
            return;
        }
        let known = around.table.apps.get(&id.app).and_then(|app| Some((app, app.instances.get(&id.slot)?)));
        let error_log =
            known.and_then(|(app, instance)| match outputs(&app.record, id.slot, instance, &around.table.layout).1 {
                Output::File(path) => Some(path),
                Output::Null => None,
            });
        let error_log_offset = around.table.instance(id).map_or(0, |instance| instance.error_log_offset);
        let failure = Failure::of_app(id.app.clone(), reason);
        self.failed.push(Failure { slot: Some(id.slot), error_log, error_log_offset, ..failure });
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
    }

    fn progress(&self, app: &str, slot: Option<u32>, what: ProgressKind, out: &mut Vec<Effect>) {
        if self.tasks.get(app).is_some_and(|task| task.aim.is_watch()) {
            return;
        }
        self.caller.tell(Answer::Progress(Progress { app: app.to_owned(), slot, what }), false, out);
    }
}

/// What is recorded as running and was never started is recorded as stopped again: the next daemon must not start
/// what was taken back. Where that cannot be saved, it does.
fn unwant(queued: VecDeque<(InstanceId, Start)>, around: &mut Surroundings<'_>) {
    let mut changed = BTreeSet::new();
    for (id, start) in queued {
        let Some(app) = around.table.apps.get_mut(&id.app).filter(|app| !app.deleted) else { continue };
        let is_down = app.instances.get(&id.slot).is_some_and(|held| held.machine.state == State::Stopped);
        if let Start::First = start
            && is_down
            && let Some(record) = app.record.instances.get_mut(&id.slot)
        {
            record.intent = Intent::Stopped;
            app.unsaved = true;
            changed.insert(id.app);
        }
    }
    let records = changed.into_iter().filter_map(|name| {
        let record = around.table.apps.get(&name)?.record.clone();
        Some(Save::App(name, Box::new(record)))
    });
    let saves: Vec<Save> = records.collect();
    if !saves.is_empty() {
        *around.tickets += 1;
        around.out.push(Effect::Save { ticket: Ticket(*around.tickets), saves });
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

fn down(state: &State) -> Verdict {
    match state {
        State::Stopped => Verdict::Arrived,
        State::Errored { reason } => Verdict::Failed(reason.to_string()),
        _ => Verdict::Wait,
    }
}

/// Its outcome is the policy's business from now on.
fn settled(state: &State) -> bool {
    !matches!(state, State::Launching { .. } | State::Stopping { .. } | State::Stopped)
}

fn up(machine: &Machine, flight: &Flight, crashed: bool, now: Mono) -> Verdict {
    let ended = || machine.last_exit.map_or_else(|| "it ended".to_owned(), |status| status.to_string());
    let waited_ms = now.ms_since(flight.since);
    match &machine.state {
        State::Online { .. } | State::Completed { .. } => Verdict::Arrived,
        State::Errored { reason } => Verdict::Failed(reason.to_string()),
        State::Stopped => Verdict::Failed("it was stopped".to_owned()),
        State::Starting { late: true, .. } => {
            let after = format_millis(machine.policy.readiness.timeout_ms);
            Verdict::Failed(format!("not ready within {after} (listen_timeout); it goes on running"))
        }
        State::Waiting { until } => {
            let wait_ms = until.ms_since(now);
            if wait_ms > CRASH_WAIT_MS_MAX || waited_ms >= CRASH_PATIENCE_MS {
                Verdict::Failed(format!("{}; it is started again in {}", ended(), format_millis(wait_ms)))
            } else {
                Verdict::Wait
            }
        }
        State::Launching { .. } if crashed && waited_ms >= CRASH_PATIENCE_MS => {
            Verdict::Failed(format!("{}; it is started again and again", ended()))
        }
        State::Launching { .. } | State::Starting { .. } | State::Stopping { .. } => Verdict::Wait,
    }
}
