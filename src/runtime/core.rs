mod agendas;
mod at_once;
mod cuts;
mod dependencies;
mod leaving;
mod memory;
mod recalls;
mod renew;

use std::collections::{BTreeMap, VecDeque};

use jiff::tz::TimeZone;

pub(super) use self::memory::Measured;

use super::history::{Entry, What, Why};
use super::needs::with_bereft;
use super::operation::{Afterwards, Caller, Operation, Recalling, Surroundings};
use super::request::{self, Begun};
use super::standing::Open;
use super::table::{Ambient, Moved, Table};
use super::watching::Watching;
use super::{
    ClientId, Effect, Errand, Input, Intent, Leaving, Past, Recall, Save, Standing, State, Ticket, restore, view,
};
use crate::base::{ExitStatus, InstanceId, Key, Mono, Now, Wall, first, shell_word};
use crate::plan::{Outcome, Seal, shown_words};
use crate::rpc::wire::{Answer, Call, PROTOCOL, Request};
use crate::spec::{AppSpec, EcosystemId};
use crate::supervisor::{self, ErrorReason, Event, LaunchId, Layout, StopPhase};

/// How long a daemon waits for the command that started it, which may have been killed meanwhile.
const RESUME_MS: u64 = 1_000;

/// Looks up a time zone by its name, or the machine's own.
pub type Zones = fn(Option<&str>) -> Option<TimeZone>;

/// The daemon's whole state and every decision it makes.
#[derive(Debug)]
pub struct Core {
    table: Table,
    generation: u64,
    key: Key,
    /// The command at work. One at a time; restarts by policy go on meanwhile.
    current: Option<Operation>,
    /// One that waits for a stop, which came in between.
    paused: Option<Operation>,
    queue: VecDeque<Queued>,
    tickets: u64,
    /// What happened to instances since the command at work last looked.
    moved: VecDeque<Moved>,
    ending: Ending,
    watching: Watching,
    /// What is started when it is recorded that it should run.
    reviving: BTreeMap<Ticket, renew::Revived>,
    /// When what should run and does not is started, unless a command ends before. None: it was.
    resume_at: Option<Mono>,
    /// A command has had its turn.
    commanded: bool,
    /// Who waits for what is being read.
    asked: BTreeMap<Ticket, recalls::Asked>,
    /// The generation in which all that a file says was last found to hold, where that is known, by its ecosystem.
    holds: BTreeMap<EcosystemId, u64>,
    /// What was being stopped for good by the daemon before.
    leaving: Vec<Leaving>,
    /// When this began.
    restored: Mono,
    /// The user that the daemon runs as.
    uid: u32,
    /// The daemon's own, for `ping`.
    pid: u32,
    program: Option<String>,
    zones: Zones,
    /// When the clock that never goes back began, by the other. Another since: that was set.
    began: Wall,
    /// Another number after everything that may have changed something; above those of any earlier daemon.
    revision: u64,
}

/// A clock that is off by less was not set: it is led.
const SET_MS: u64 = 2_000;

fn began(now: Now) -> Wall {
    Wall(now.wall.0.saturating_sub(now.mono.0))
}

/// No daemon hears more in a millisecond.
const REVISIONS_A_MS: u64 = 1 << 20;

/// A command that waits for its turn.
#[derive(Debug)]
struct Queued {
    caller: Caller,
    request: Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    No,
    /// Told to end: every process is being stopped, what should run stays as it is.
    Stopping,
    /// `Exit` was said.
    Ended,
}

/// A process of an earlier daemon that is still there when a new one starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// What events about it will name; new launches count up from above the highest of these.
    pub launch: LaunchId,
    pub instance: InstanceId,
    pub pid: u32,
    /// [`crate::plan::spec_digest`] of what it was started from, by its own marker.
    pub spec_digest: String,
    /// Wall clock, milliseconds since 1970.
    pub started_at_ms: u64,
    /// The app's name when it was started, by its own marker.
    pub launched_as: String,
    /// Node's channel to it is open still.
    pub channel: bool,
    /// So is the socket over which it says that it is ready.
    pub notify: bool,
    /// Its pid is where that of one is which does not serve yet, or any more.
    pub beside: bool,
}

impl Core {
    /// Takes up what an earlier daemon left: survivors are adopted, what should not run and does is stopped; what
    /// should run and does not is started after the command that started the daemon, so that it acts on what was
    /// recorded: nothing is started only to be stopped or replaced.
    #[must_use]
    pub fn restore(state: State, past: Past, layout: Layout, zones: Zones, now: Now) -> (Self, Vec<Effect>) {
        let (generation, key) = (state.generation, state.key);
        let known = |survivor: &Survivor| {
            let app = state.apps.get(&survivor.instance.app);
            app.is_some_and(|app| app.instances.contains_key(&first(survivor.instance.slot)))
        };
        let (follows, until, leaving) = (past.follows, past.until, past.leaving.clone());
        let strangers = past.survivors.iter().filter(|survivor| !known(survivor));
        let mut out: Vec<Effect> =
            strangers.map(|survivor| Effect::Kill { launch: survivor.launch, tree: true }).collect();
        let restore::Restored { mut table, unwanted, open, serving, gone } = restore::table(state, past, layout, now);
        out.extend(gone.into_iter().map(|id| Effect::Standing { id, standing: None }));
        // Nobody is called 0: then there is only who serves.
        let take_over = |(launch, beside): (_, Option<_>)| (launch, beside.unwrap_or(LaunchId(0)));
        out.extend(serving.into_iter().map(take_over).map(|(launch, from)| Effect::TakeOver { launch, from }));
        restore::tell(&table, now, &mut out);
        table.asking = Why::CutShort;
        let mut core = Self {
            current: None,
            paused: None,
            resume_at: restore::resume(&table, now).map(|_| now.mono.plus_ms(if follows { 0 } else { RESUME_MS })),
            commanded: false,
            table,
            generation,
            key,
            queue: VecDeque::new(),
            tickets: 0,
            moved: VecDeque::new(),
            ending: Ending::No,
            watching: Watching::default(),
            reviving: BTreeMap::new(),
            asked: BTreeMap::new(),
            holds: BTreeMap::new(),
            leaving: Vec::new(),
            restored: now.mono,
            uid: 0,
            pid: 0,
            program: None,
            zones,
            began: began(now),
            revision: now.wall.0.saturating_mul(REVISIONS_A_MS),
        };
        for id in unwanted {
            core.feed(&id, Event::Stop, now, &mut out);
        }
        core.table.asking = Why::Unknown;
        core.see_off(leaving, now, &mut out);
        core.close(open, now, &mut out);
        core.table.check_all(&mut out);
        core.table.tend_all(now, &mut out);
        core.keep_needs(now, &mut out);
        core.go_on(now, &mut out);
        // What was due while no daemon was there is made up for, as after a sleep of the machine.
        core.keep_agendas(until.unwrap_or(now.wall), &mut out);
        core.watching.follow(&mut core.table, &mut out);
        core.table.note_standings(now, &mut out);
        (core, out)
    }

    /// Takes up what was under way.
    fn close(&mut self, open: Vec<(InstanceId, Open)>, now: Now, out: &mut Vec<Effect>) {
        let mut due = Vec::new();
        for (id, open) in open {
            // What is down is not started beside what it depends on.
            let unmet = self.unmet(&id.app);
            let app = self.table.apps.get_mut(&id.app);
            if let Some(app) = app
                && let Some(instance) = app.instances.get_mut(&id.slot)
                && !matches!(open, Open::Stopping { .. })
            {
                instance.machine.unmet = with_bereft(&app.record.spec, &unmet, &instance.bereft);
            }
            match open {
                Open::Ended { launch, status } => {
                    out.push(Effect::Log(format!("`{id}` ended while no daemon ran: {status}")));
                    self.feed(&id, Event::Exited { launch, status, left: false }, now, out);
                }
                Open::Unseen => {
                    let status = ExitStatus::Unknown;
                    out.push(Effect::Log(format!("`{id}` ended while no daemon ran, and nobody knows how")));
                    let what = What::Exited { status, after_ms: None, asked: false };
                    out.push(Effect::History(Box::new(Entry::of_instance(&id, what, now))));
                }
                Open::Stopped => {
                    let what = What::Stopped { why: Why::CutShort };
                    out.push(Effect::History(Box::new(Entry::of_instance(&id, what, now))));
                }
                Open::Gone { launch } => self.feed(&id, Event::TreeGone { launch }, now, out),
                Open::Due { cause } => due.push((id, cause)),
                Open::Stopping { launch } => {
                    self.table.own(launch, id.clone());
                    let instance = self.table.instance(&id);
                    let tree = instance.is_some_and(|instance| instance.machine.policy.stop.tree);
                    let untold = instance.is_some_and(|instance| instance.untold);
                    let phase = instance.and_then(|instance| match &instance.machine.state {
                        supervisor::State::Stopping { phase, .. } => Some(*phase),
                        _ => None,
                    });
                    match phase {
                        // It says when it is done, if it has not yet; then it is asked to end.
                        Some(StopPhase::Draining { .. }) => out.push(Effect::Drain { launch }),
                        Some(StopPhase::Asked { .. }) if untold => self.feed(&id, Event::Untold, now, out),
                        // A second signal may mean something else to it than the first.
                        Some(StopPhase::Asked { .. }) => out.push(Effect::Await { launch, tree }),
                        _ => out.push(Effect::Kill { launch, tree }),
                    }
                }
            }
        }
        self.renew(due, now, out);
    }

    /// Where everybody stands, as [`Effect::Standing`] would say it.
    pub fn standings(&self) -> impl Iterator<Item = (u32, Standing)> {
        self.table.standings().chain(self.standings_of_leaving())
    }

    /// What `ping` answers, and whose it is.
    pub fn set_process(&mut self, uid: u32, pid: u32, program: Option<String>) {
        self.uid = uid;
        self.pid = pid;
        self.program = program;
    }

    /// Decides what follows from an input.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Effect> {
        let mut out = Vec::new();
        if self.ending == Ending::Ended {
            return out;
        }
        self.keep_time(now);
        let only_reads = matches!(&input, Input::Call { call, .. } if request::only_reads(&call.request));
        self.revision += u64::from(!only_reads);
        match input {
            Input::Call { client, call } => self.call(client, call, now, &mut out),
            Input::Cancel { client } => self.cancel(client, true, now, &mut out),
            Input::ClientGone { client } => self.client_gone(client, now, &mut out),
            Input::Spawned { launch, pid, error_log_offset, at } => {
                self.spawned(launch, pid, error_log_offset, at, &mut out);
            }
            Input::SpawnFailed { launch, reason } => {
                self.host(launch, Event::SpawnFailed { launch, reason }, now, &mut out);
            }
            Input::Exited { launch, status, left } => {
                if let (ExitStatus::OutOfMemory(_), Some(id)) = (status, self.table.owner(launch)) {
                    out.push(Effect::Log(format!("`{id}`: {status}")));
                }
                self.host(launch, Event::Exited { launch, status, left }, now, &mut out);
            }
            Input::Code { launch, of, found } => self.table.runs_code(launch, &of, &found),
            Input::TreeGone { launch } if self.has_left(launch, &mut out) => {}
            Input::TreeGone { launch } => self.host(launch, Event::TreeGone { launch }, now, &mut out),
            Input::Ready { launch } => self.host(launch, Event::Ready { launch }, now, &mut out),
            Input::Said { launch, message } => out.extend(self.said(launch, message)),
            Input::Drained { launch } => self.host(launch, Event::Drained { launch }, now, &mut out),
            Input::Told { launches } => self.table.told(&launches),
            Input::Listening { launch } => self.host(launch, Event::Listening { launch }, now, &mut out),
            Input::Probed { launch, result } => self.host(launch, Event::Probed { launch, result }, now, &mut out),
            Input::Limits { launch, note } => {
                if let Some(id) = self.table.owner(launch)
                    && let Some(app) = self.table.apps.get_mut(&id.app)
                    && let Some(instance) = app.instances.get_mut(&id.slot)
                {
                    instance.limits_note = note;
                    self.table.restless.insert(instance.list_id, id);
                }
            }
            Input::Memory { launch, bytes } => self.measured(launch, bytes, now, &mut out),
            Input::Saved { ticket, result } => self.saved(ticket, result, now, &mut out),
            Input::Recalled { ticket, result } => self.recalled(ticket, result, &mut out),
            Input::FilesChanged { app, paths, count, more } => {
                self.watching.changed(&self.table, &app, paths, count, more, now);
            }
            Input::WatchTrouble { app, trouble } => self.watching.trouble(&app, trouble, &mut out),
            Input::Strangers { left } => {
                self.table.strangers.clone_from(&left);
                self.tickets += 1;
                out.push(Effect::Save { ticket: Ticket(self.tickets), saves: vec![Save::Strangers(left)] });
            }
            Input::Tick => self.tick(now, &mut out),
            Input::Terminate => self.terminate(now, &mut out),
            Input::Kill => self.kill(now, &mut out),
        }
        self.go_on(now, &mut out);
        self.keep_agendas(now.wall, &mut out);
        self.watching.follow(&mut self.table, &mut out);
        self.table.note_standings(now, &mut out);
        out
    }

    /// When `Tick` is wanted next. Nothing is armed while nothing is waited for.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        if self.ending == Ending::Ended {
            return None;
        }
        let resume = self.resume_at.filter(|_| self.current.is_none());
        let changes = self.watching.deadline(&self.table, |app| self.is_at_work_on(app));
        let leaving = self.leaving.iter().map(|leaving| leaving.deadline);
        self.table
            .deadline()
            .into_iter()
            .chain(resume)
            .chain(self.memory_deadline())
            .chain(changes)
            .chain(leaving)
            .min()
    }

    /// Whether what should run is still to be started.
    #[cfg(test)]
    pub(super) fn is_to_resume(&self) -> bool {
        self.resume_at.is_some()
    }

    /// Who waits for which jobs to be done.
    #[cfg(test)]
    pub(super) fn held(&self) -> Option<(ClientId, Vec<&str>)> {
        let current = self.current.as_ref()?;
        Some((current.caller.client?, current.jobs_waited_for()))
    }

    #[cfg(test)]
    pub(super) fn is_ending(&self) -> bool {
        self.ending != Ending::No
    }

    /// Whether a change of files is still to be answered.
    #[cfg(test)]
    pub(super) fn is_to_renew(&self) -> bool {
        self.watching.deadline(&self.table, |_| false).is_some()
    }

    fn call(&mut self, client: ClientId, call: Call, now: Now, out: &mut Vec<Effect>) {
        let Call { protocol: _, version: _, pid, no_wait, hasty, request, uid, words } = call;
        let holder = request::holder(&request);
        let command = shown_words(&words, &self.key);
        let command = command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ");
        let caller = Caller { client: Some(client), pid, uid, holder, command, hasty, since: now.mono };
        let errand = match request {
            Request::CheckState => Some(Errand::Check),
            Request::RepairState => Some(Errand::Repair),
            Request::Keep => Some(Errand::Keep),
            _ => None,
        };
        if let Some(errand) = errand {
            out.push(Effect::Errand { client, errand });
        } else if let Some(said) = self.converse(client, &request, now) {
            out.push(said);
        } else if let Some(answer) = self.read(&request, now).or_else(|| self.at_once(&request, now, out)) {
            caller.tell(answer, true, out);
        } else if self.ending != Ending::Ended && self.looks_back(client, &request, out) {
        } else if self.ending == Ending::Ended {
            caller.tell(Answer::Ending, true, out);
        } else if self.ending == Ending::Stopping {
            // Told when it has ended: whoever asks again at once would only meet it once more.
            self.queue.push_back(Queued { caller, request });
        } else {
            let kill = matches!(request, Request::Kill);
            if kill {
                self.cut_short(now, out);
            }
            if self.is_cut_into_by(&request) {
                // In the order in which they come.
                let place = self.queue.iter().take_while(|queued| cuts::is_stop(&queued.request)).count();
                self.queue.insert(place, Queued { caller, request });
                return;
            }
            if let Some(current) = &self.current {
                let Caller { holder, pid, since, .. } = current.caller.clone();
                let for_ms = now.mono.ms_since(since);
                if no_wait && !kill {
                    caller.tell(Answer::Busy { holder, pid, for_ms }, true, out);
                    return;
                }
                // What was just cut short is over in a moment.
                if !kill || current.afterwards == Afterwards::EndTheDaemon {
                    caller.tell(Answer::Waiting { holder, pid, for_ms }, false, out);
                }
            } else if let Some((holder, pid, for_ms)) = self.still_leaves(now).filter(|_| request::may_start(&request))
            {
                if no_wait {
                    caller.tell(Answer::Busy { holder, pid, for_ms }, true, out);
                    return;
                }
                caller.tell(Answer::Waiting { holder, pid, for_ms }, false, out);
            }
            self.queue.push_back(Queued { caller, request });
        }
    }

    /// Whoever says `kill` wants it now, not after an app's `listen_timeout`: what is at work begins nothing further,
    /// what waits for its turn is told.
    fn cut_short(&mut self, now: Now, out: &mut Vec<Effect>) {
        if let Some(current) = self.current.take_if(|current| current.afterwards == Afterwards::GoOn) {
            current.caller.tell(ends(), true, out);
            self.give_up(current, now, out);
        }
        if let Some(mut paused) = self.paused.take() {
            paused.caller.tell(ends(), true, out);
            paused.give_up(&mut self.around(now, out));
            self.paused = Some(paused);
        }
        self.queue.retain(|queued| {
            let stays = matches!(queued.request, Request::Kill);
            if !stays {
                queued.caller.tell(ends(), true, out);
            }
            stays
        });
    }

    /// The answer to what only reads.
    fn read(&self, request: &Request, now: Now) -> Option<Answer> {
        match request {
            Request::Ping => {
                let version = env!("CARGO_PKG_VERSION").to_owned();
                let (format, program) = (super::store::FORMAT, self.program.clone());
                Some(Answer::Pong { version, protocol: PROTOCOL, pid: self.pid, format, program })
            }
            Request::Revision => Some(Answer::Revision { revision: (!self.table.is_on_its_way()).then_some(self.revision) }),
            Request::List => {
                let mut instances = view::views(&self.table, now);
                self.watching.annotate(&mut instances);
                instances.extend(self.views_of_leaving());
                let strangers = self.table.strangers.iter().map(view::stranger).collect();
                Some(Answer::List { instances, strangers })
            }
            Request::Show { targets, reveal, ambient } => Some(self.show(targets, *reveal, *ambient, now)),
            Request::Plan { graph, options } => {
                Some(match request::plan_now(graph, options, &view::snapshot(&self.table, self.generation), self.key) {
                    Ok(plan) => Answer::Plan { plan: Box::new(plan) },
                    Err(answer) => answer,
                })
            }
            Request::Seal { text } => Some(Answer::Seal { seal: Seal::of(text, &self.key) }),
            Request::Apply(_)
            | Request::Reset { .. }
            | Request::Signal { .. }
            | Request::Feed { .. }
            | Request::Tell { .. }
            | Request::Offers { .. }
            | Request::Heed
            | Request::Alter(_)
            | Request::StartScript { .. }
            | Request::Start { .. }
            | Request::Stop { .. }
            | Request::Restart { .. }
            | Request::Reload { .. }
            | Request::Scale { .. }
            | Request::Delete { .. }
            | Request::Resurrect
            | Request::Restore { .. }
            | Request::CheckState
            | Request::RepairState
            | Request::Keep
            | Request::Kill
            | Request::Rollback(_)
            // These have to look further.
            | Request::PlanBack(_)
            | Request::Formers { .. }
            | Request::History { .. }
            | Request::Generation { .. }
            | Request::Between { .. }
            | Request::Drift
            | Request::Upgrade { .. }
            | Request::Leave => None,
        }
    }

    /// Everything that is known, secrets included, and what it inherits.
    #[must_use]
    pub fn apps(&self, now: Now) -> (Vec<crate::rpc::wire::AppView>, BTreeMap<String, BTreeMap<String, String>>) {
        match self.show(&[], true, true, now) {
            Answer::Show { apps, ambients } => (apps, ambients),
            _ => Default::default(),
        }
    }

    fn show(&self, targets: &[String], reveal: bool, ambient: bool, now: Now) -> Answer {
        let all = ["all".to_owned()];
        let targets = if targets.is_empty() { &all } else { targets };
        let views = view::views(&self.table, now);
        match super::resolve(targets, &views) {
            Ok(picked) => {
                let spec = |spec: &AppSpec| view::presented(spec, &self.key, reveal, ambient);
                let mut apps = view::apps(&self.table, views, &picked, spec);
                for app in &mut apps {
                    self.watching.annotate(&mut app.instances);
                }
                let ambients =
                    if ambient { view::ambients(&self.table, &apps, &self.key, reveal) } else { BTreeMap::new() };
                Answer::Show { apps, ambients }
            }
            Err(error) => request::unknown(error),
        }
    }

    /// It cannot take anything back any more. What may have to be undone is looked after all the same.
    fn client_gone(&mut self, client: ClientId, now: Now, out: &mut Vec<Effect>) {
        let own = self.current.as_mut().filter(|current| current.caller.client == Some(client));
        match own {
            Some(current) if current.goes_on_alone() => current.leave_alone(),
            _ => self.cancel(client, false, now, out),
        }
    }

    /// What a client asked for begins nothing further. `answered` when it still listens.
    fn cancel(&mut self, client: ClientId, answered: bool, now: Now, out: &mut Vec<Effect>) {
        let place = self.queue.iter().position(|queued| queued.caller.client == Some(client));
        let answer = if let Some(queued) = place.and_then(|place| self.queue.remove(place)) {
            let not_begun = vec![queued.caller.holder];
            Answer::Cancelled { touched: 0, failed: Vec::new(), going_on: Vec::new(), not_begun }
        } else if let Some(current) =
            self.current.take_if(|current| current.caller.client == Some(client) && !current.is_way_back())
        {
            self.give_up(current, now, out)
        } else if let Some(mut paused) = self.paused.take_if(|paused| paused.caller.client == Some(client)) {
            let answer = paused.give_up(&mut self.around(now, out));
            self.paused = Some(paused);
            answer
        } else {
            return;
        };
        if answered {
            out.push(Effect::Answer { client, answer: Box::new(answer), last: true });
        }
    }

    fn give_up(&mut self, mut current: Operation, now: Now, out: &mut Vec<Effect>) -> Answer {
        let answer = current.give_up(&mut self.around(now, out));
        self.current = Some(current);
        answer
    }

    fn spawned(&mut self, launch: LaunchId, pid: u32, error_log_offset: u64, now: Now, out: &mut Vec<Effect>) {
        let Some(id) = self.table.owner(launch) else { return };
        let app = self.table.apps.get_mut(&id.app);
        if let Some(instance) = app.and_then(|app| app.instances.get_mut(&id.slot)) {
            instance.started_at_ms = Some(now.wall.0);
            instance.last_pid = Some(pid);
            instance.error_log_offset = error_log_offset;
        }
        self.feed(&id, Event::Spawned { launch, pid }, now, out);
    }

    fn host(&mut self, launch: LaunchId, event: Event, now: Now, out: &mut Vec<Effect>) {
        let Some(id) = self.table.owner(launch) else { return };
        let state = self.table.instance(&id).map(|instance| &instance.machine.state);
        let was_immortal =
            matches!(state, Some(supervisor::State::Errored { reason: ErrorReason::WouldNotDie { .. } }));
        let is_gone = matches!(event, Event::TreeGone { .. });
        self.feed(&id, event, now, out);
        // A way back, which nobody waits for any more, has recorded that its work is done; it may have been an earlier daemon's.
        let unasked = was_immortal || !self.is_at_work_on(&id.app);
        let intent = self.table.apps.get(&id.app).and_then(|app| app.intent(id.slot));
        if let Some(Intent::Done { status }) = intent.filter(|_| unasked && is_gone) {
            self.feed(&id, Event::Conclude { status }, now, out);
        }
    }

    fn feed(&mut self, id: &InstanceId, event: Event, now: Now, out: &mut Vec<Effect>) {
        let moved = self.table.feed(id, event, now, out);
        if self.current.is_some() {
            self.moved.extend(moved);
        }
    }

    fn saved(&mut self, ticket: Ticket, result: Result<(), String>, now: Now, out: &mut Vec<Effect>) {
        if self.revive(ticket, result.is_ok(), now, out) {
            return;
        }
        let Some(mut current) = self.current.take() else { return };
        // What it was to stop is not begun any more by what it came in between: it should run all the same.
        if result.is_err() && self.paused.is_some() {
            self.resume_at = Some(now.mono);
        }
        let refused = current.saved(ticket, result, &mut self.around(now, out));
        match refused {
            None => self.current = Some(current),
            Some(answer) => current.caller.tell(answer, true, out),
        }
    }

    /// Where the clock was set, what runs began at another time by it: how long it has run is as before.
    fn keep_time(&mut self, now: Now) {
        let (before, began) = (self.began, began(now));
        if began.0.abs_diff(before.0) < SET_MS {
            return;
        }
        self.began = began;
        self.revision += 1;
        for (name, app) in &mut self.table.apps {
            for (slot, instance) in &mut app.instances {
                let Some(at) = &mut instance.started_at_ms else { continue };
                *at = at.saturating_add(began.0).saturating_sub(before.0);
                self.table.restless.insert(instance.list_id, InstanceId::new(name, *slot));
            }
        }
    }

    fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        for id in self.table.due(now) {
            self.feed(&id, Event::Tick, now, out);
            self.keep_if_immortal(&id, out);
        }
        self.hurry(now, out);
        self.run_agendas(now, out);
        self.measure(now, out);
        let (current, paused) = (&self.current, &self.paused);
        let busy = |app: &str| current.iter().chain(paused).any(|operation| operation.is_at_work_on(app));
        let due = self.watching.due(&self.table, now, busy, out);
        self.renew(due, now, out);
    }

    fn is_at_work_on(&self, app: &str) -> bool {
        let at_work = self.current.iter().chain(&self.paused);
        at_work.into_iter().any(|operation| operation.is_at_work_on(app))
    }

    /// A slot that was deleted but would not die is put back, as stopped: nobody may lose sight of what still runs.
    fn keep_if_immortal(&mut self, id: &InstanceId, out: &mut Vec<Effect>) {
        // Who goes while another serves in its slot is found again without that.
        if id.is_second() {
            return;
        }
        let Some(app) = self.table.apps.get_mut(&id.app) else { return };
        let Some(instance) = app.instances.get(&id.slot) else { return };
        let immortal =
            matches!(instance.machine.state, supervisor::State::Errored { reason: ErrorReason::WouldNotDie { .. } });
        if !immortal || !app.is_leaving(id.slot) {
            return;
        }
        if app.deleted {
            app.deleted = false;
            app.record.instances.clear();
        }
        let record = Box::new(super::InstanceRecord::new(instance.list_id, Intent::Stopped));
        app.record.instances.insert(id.slot, record);
        app.unsaved = true;
        let Ambient { digest, variables } = app.ambient.clone();
        let saves = vec![Save::Ambient(digest, variables), Save::App(id.app.clone(), Box::new(app.record.clone()))];
        self.tickets += 1;
        // Whether it works out makes no difference: a later daemon kills what nobody knows.
        out.push(Effect::Save { ticket: Ticket(self.tickets), saves });
    }

    /// Everything is stopped and nothing recorded: what should run is started by the next daemon.
    fn terminate(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.ending != Ending::No {
            return;
        }
        self.ending = Ending::Stopping;
        self.table.asking = Why::Signal;
        self.resume_at = None;
        let at_work: Vec<Operation> = self.current.take().into_iter().chain(self.paused.take()).collect();
        for operation in &at_work {
            self.note_end(operation, Outcome::CutShort, out);
        }
        let waiting = at_work.into_iter().map(|operation| operation.caller);
        let waiting = waiting.into_iter().chain(self.queue.drain(..).map(|queued| queued.caller));
        for caller in waiting {
            caller.tell(ends(), true, out);
        }
        self.moved.clear();
        self.stop_next(now, out);
    }

    /// Without order, and without waiting.
    fn kill(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.terminate(now, out);
        for id in self.table.ids().collect::<Vec<_>>() {
            if self.table.instance(&id).is_some_and(|instance| !instance.machine.state.is_terminal()) {
                self.feed(&id, Event::Stop, now, out);
            }
        }
        for machine in self.table.machines() {
            let tree = machine.policy.stop.tree;
            out.extend(machine.state.launch().map(|launch| Effect::Kill { launch, tree }));
        }
    }

    /// Whether nothing will happen any more unless somebody asks for it: all that was to run has ended for good, or waits for
    /// what has, and nothing has a time at which it is run again, or files whose change would.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let is_idle = self.current.is_none()
            && self.paused.is_none()
            && self.queue.is_empty()
            && self.reviving.is_empty()
            && self.resume_at.is_none();
        let is_over = |state: &supervisor::State| state.is_terminal() || *state == supervisor::State::Blocked;
        is_idle
            && self.ending == Ending::No
            && self.table.machines().all(|machine| is_over(&machine.state))
            && self.wall_deadline().is_none()
            && !self.watching.any()
    }

    /// What nothing that still runs depends on; and, as what has no process is stopped at once, what that depended on.
    fn stop_next(&mut self, now: Now, out: &mut Vec<Effect>) {
        loop {
            let next = self.next_to_stop();
            if next.is_empty() {
                return;
            }
            for id in next {
                self.feed(&id, Event::Stop, now, out);
            }
        }
    }

    fn next_to_stop(&self) -> Vec<InstanceId> {
        let runs = |name: &str| {
            let app = self.table.apps.get(name);
            app.is_some_and(|app| app.instances.values().any(|instance| !instance.machine.state.is_terminal()))
        };
        let running: Vec<&String> = self.table.apps.keys().filter(|name| runs(name)).collect();
        let is_needed = |name: &String| {
            let mut others = running.iter().filter_map(|other| self.table.apps.get(*other));
            others.any(|other| other.record.spec.depends_on.contains(name) && other.record.spec.name != *name)
        };
        let mut next: Vec<&String> = running.iter().copied().filter(|name| !is_needed(name)).collect();
        if next.is_empty() {
            // A circle: the apps that run may have come from several versions of a file.
            next = running;
        }
        let stops = |state: &supervisor::State| {
            matches!(state, supervisor::State::Stopping { then: supervisor::Then::Stop, .. })
        };
        let apps = next.into_iter().filter_map(|name| Some((name, self.table.apps.get(name)?)));
        apps.flat_map(|(name, app)| app.instances.iter().map(move |(slot, instance)| (name, slot, instance)))
            .filter(|(_, _, instance)| !instance.machine.state.is_terminal() && !stops(&instance.machine.state))
            .map(|(name, slot, _)| InstanceId::new(name, *slot))
            .collect()
    }

    /// Until nothing follows from anything any more.
    fn go_on(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.advance(now, out);
        while self.keep_needs(now, out) {
            self.advance(now, out);
        }
    }

    /// Goes on with the command at work, and with the next when it is done.
    fn advance(&mut self, now: Now, out: &mut Vec<Effect>) {
        while self.ending == Ending::No {
            self.cut_in(now, out);
            let Some(mut current) = self.current.take() else {
                if let Some(mut paused) = self.paused.take() {
                    self.table.asking = paused.caller.why();
                    paused.go_on(&mut self.around(now, out));
                    self.current = Some(paused);
                } else if let Some(queued) = self.next_command() {
                    self.commanded = true;
                    self.begin(queued, now, out);
                } else if self.resume_at.is_some_and(|at| self.commanded || at <= now.mono) {
                    self.resume_at = None;
                    self.current = restore::resume(&self.table, now);
                    self.table.asking = Why::Resume;
                } else {
                    break;
                }
                continue;
            };
            let is_over = current.advance(&mut self.around(now, out));
            // Who is told that all is as it should be finds nothing else there. Who ends others has nothing to do with that.
            let waits = current.is_heard() && !current.only_ends() && !self.leaving.is_empty();
            if !is_over || waits {
                self.current = Some(current);
                break;
            }
            // What is to go with what was restarted goes now: it is part of it.
            self.current = Some(current);
            self.keep_needs(now, out);
            let Some(mut current) = self.current.take() else { continue };
            let is_done = current.advance(&mut self.around(now, out));
            if !is_done || current.brings_back(&self.table) || current.waits_for_followers(&self.table) {
                self.current = Some(current);
                continue;
            }
            self.moved.clear();
            if let Some(way) = current.way_back(&self.table) {
                self.undo(way, out);
                continue;
            }
            let (answer, outcome) = current.conclude();
            current.caller.tell(answer, true, out);
            self.note_end(&current, outcome, out);
            // With a disk that is full, some may not have been stopped: they are not left alone.
            if current.afterwards == Afterwards::EndTheDaemon && self.is_at_rest() {
                self.end(now, out);
            }
            self.table.asking = Why::Unknown;
        }
        self.record_completions(out);
        if self.ending == Ending::Stopping {
            self.stop_next(now, out);
        }
        if self.ending == Ending::Stopping && self.is_at_rest() {
            self.end(now, out);
        }
    }

    /// Nothing is started in the place of what still leaves: that would be cut short. What starts nothing does not wait behind it.
    fn next_command(&mut self) -> Option<Queued> {
        let waits = |queued: &Queued| !self.leaving.is_empty() && request::may_start(&queued.request);
        let place = self.queue.iter().position(|queued| !waits(queued))?;
        self.queue.remove(place)
    }

    /// So that the next daemon does not run a job again that is done. An app that a command is at work on has its turn
    /// after that: a slot that is done may be about to be started again, and the last save must be the newest.
    fn record_completions(&mut self, out: &mut Vec<Effect>) {
        let mut saves = Vec::new();
        for name in std::mem::take(&mut self.table.completed) {
            if self.is_at_work_on(&name) || self.is_reviving(&name) {
                self.table.completed.insert(name);
                continue;
            }
            let Some(app) = self.table.apps.get_mut(&name).filter(|app| !app.deleted) else { continue };
            let mut changed = false;
            for (slot, instance) in &app.instances {
                if let Some(record) = app.record.instances.get_mut(slot).filter(|known| known.runs != instance.runs) {
                    record.runs.clone_from(&instance.runs);
                    app.unsaved = true;
                    changed = true;
                }
                if let Some(record) = app.record.instances.get_mut(slot).filter(|known| known.bereft != instance.bereft)
                {
                    record.bereft.clone_from(&instance.bereft);
                    app.unsaved = true;
                    changed = true;
                }
                if let supervisor::State::Completed { status } = instance.machine.state
                    && let Some(record) = app.record.instances.get_mut(slot).filter(|known| known.intent == Intent::Up)
                {
                    record.intent = Intent::Done { status };
                    app.unsaved = true;
                    changed = true;
                }
            }
            if changed {
                let Ambient { digest, variables } = app.ambient.clone();
                saves.push(Save::Ambient(digest, variables));
                saves.push(Save::App(name, Box::new(app.record.clone())));
            }
        }
        if !saves.is_empty() {
            self.tickets += 1;
            // When it cannot be saved, the job is run again: at least once is what a restart promises.
            out.push(Effect::Save { ticket: Ticket(self.tickets), saves });
        }
    }

    /// Nobody waits for it.
    fn note_end(&mut self, operation: &Operation, outcome: Outcome, out: &mut Vec<Effect>) {
        let saves = operation.last_words(outcome, self.generation, &mut self.holds);
        if !saves.is_empty() {
            self.tickets += 1;
            out.push(Effect::Save { ticket: Ticket(self.tickets), saves });
        }
    }

    fn is_at_rest(&self) -> bool {
        self.table.machines().all(|machine| machine.state.is_terminal())
    }

    fn end(&mut self, now: Now, out: &mut Vec<Effect>) {
        let what = What::DaemonEnded { why: self.table.asking.clone() };
        out.push(Effect::History(Box::new(Entry::of_daemon(what, now))));
        for queued in self.queue.drain(..) {
            queued.caller.tell(Answer::Ending, true, out);
        }
        self.forget_who_asked(out);
        self.ending = Ending::Ended;
        out.push(Effect::Exit);
    }

    fn begin(&mut self, queued: Queued, now: Now, out: &mut Vec<Effect>) {
        let Queued { mut caller, request } = queued;
        match request {
            Request::Upgrade { program } => return self.give_way(&caller, Effect::Become { program }, out),
            Request::Leave => return self.give_way(&caller, Effect::Leave, out),
            _ => {}
        }
        caller.since = now.mono;
        let deed = request::deed(&request, &caller, self.uid);
        let back = match &request {
            Request::Rollback(back) => Some(back.clone()),
            _ => None,
        };
        match request::begin(request, &caller, &self.table, self.generation, self.key, now) {
            Ok(Begun { mut operation, first }) => {
                operation.remember(deed);
                if let Some(Answer::Begun { plan }) = &first {
                    operation.remember_plan(plan);
                }
                if let Some(back) = back {
                    let ticket = self.recall(Recall::Back { to: back.to }, out);
                    operation.recalling = Some(Recalling { ticket, back });
                }
                if let Some(first) = first {
                    operation.caller.tell(first, false, out);
                }
                self.resume_others(&operation, now, out);
                self.table.asking = caller.why();
                self.current = Some(operation);
            }
            Err(answer) => caller.tell(answer, true, out),
        }
    }

    /// What should run and a command is not about does not wait for its end, which may take as long as somebody likes.
    fn resume_others(&mut self, operation: &Operation, now: Now, out: &mut Vec<Effect>) {
        let may_change_all = operation.recalling.is_some() || operation.afterwards == Afterwards::EndTheDaemon;
        if self.resume_at.is_none() || may_change_all {
            return;
        }
        self.table.asking = Why::Resume;
        for id in restore::resumable(&self.table, operation) {
            self.feed(&id, Event::Resume, now, out);
        }
    }

    /// Nothing is at work, and nothing is begun any more: whoever waits asks who comes next.
    fn give_way(&mut self, caller: &Caller, last: Effect, out: &mut Vec<Effect>) {
        self.record_completions(out);
        caller.tell(Answer::Done { touched: 0, failed: Vec::new() }, true, out);
        for queued in self.queue.drain(..) {
            queued.caller.tell(Answer::Ending, true, out);
        }
        self.forget_who_asked(out);
        self.ending = Ending::Ended;
        out.push(last);
    }

    fn around<'a>(&'a mut self, now: Now, out: &'a mut Vec<Effect>) -> Surroundings<'a> {
        Surroundings {
            table: &mut self.table,
            generation: &mut self.generation,
            tickets: &mut self.tickets,
            moved: &mut self.moved,
            now,
            out,
        }
    }
}

fn ends() -> Answer {
    let hint = "what was done is recorded; `pmrun diff` shows what is left, `pmrun resurrect` starts what should run";
    Answer::Error {
        message: "the daemon is ending, everything is being stopped".to_owned(),
        hint: Some(hint.to_owned()),
    }
}
