//! An invented machine: processes with scripted behaviour, a disk that may fail, pids that are reused at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::tz::TimeZone;

use super::generations::Memory;
use super::rng::Rng;
use crate::base::{ExitStatus, InstanceId, Key, Mono, Now, Shortage, Wall, first, second};
use crate::plan::spec_digest;
use crate::rpc::wire::Answer;
use crate::runtime::history::{Entry, What, Why};
use crate::runtime::{
    AppRecord, ClientId, Effect, Found, Input, Intent, Past, Recall, Save, Standing, State, Stranger, Survivor, Ticket,
    Watches, possible_launches, rebuild,
};
use crate::spec::Fingerprint;
use crate::supervisor::{Launch, LaunchId, Layout, State as StandsAs};

pub(super) const WALL_OFFSET: u64 = 1_700_000_000_000;
/// What an undead process needs to end after SIGKILL: longer than anybody waits.
const UNDEAD_MS: u64 = 9_000;

/// What comes at some time.
#[derive(Debug)]
pub(super) enum Coming {
    Input(Input),
    /// The first process of a tree ends.
    RootEnds {
        tree: u64,
        status: ExitStatus,
    },
    /// Everything of it that a stop reaches ends.
    TreeEnds {
        tree: u64,
    },
    Ready {
        tree: u64,
    },
    Listens {
        tree: u64,
    },
    SaveEnds {
        ticket: Ticket,
        saves: Vec<Save>,
    },
    RecallEnds {
        ticket: Ticket,
        wanted: Recall,
    },
    /// The user does something.
    User,
    /// Files change.
    Files,
    /// Somebody ends what runs though nobody knows it.
    StrangerEnds {
        tree: u64,
    },
    /// A health check is made.
    Probe {
        launch: LaunchId,
    },
    /// Somebody sets the clock, or the machine slept.
    Clock {
        by_ms: i64,
    },
}

/// The machine's own is Berlin's.
pub(super) fn zone(name: Option<&str>) -> Option<TimeZone> {
    match name {
        Some("UTC") => Some(TimeZone::UTC),
        None => TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").ok(),
        Some(_) => None,
    }
}

fn in_short(save: &Save) -> String {
    match save {
        Save::App(name, record) => {
            let slots = record.instances.iter().map(|(slot, known)| format!("{slot} {:?}", known.intent));
            format!("{name} ({})", slots.collect::<Vec<_>>().join(", "))
        }
        Save::DeleteApp(name) => format!("no {name}"),
        Save::Generation(number) => format!("@{number}"),
        Save::Ended { number, .. } => format!("end of @{number}"),
        Save::Ambient(..) | Save::Began(_) | Save::Applied { .. } | Save::Boot(_) | Save::Strangers(_) => {
            "more".to_owned()
        }
    }
}

/// What is only noted changes nothing of what follows.
fn is_waited_for(saves: &[Save]) -> bool {
    saves.iter().any(|save| !matches!(save, Save::Ended { .. } | Save::Applied { .. }))
}

/// A process and its descendants.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) launch: LaunchId,
    pub(super) marker: String,
    pub(super) list_id: String,
    pub(super) spec_digest: String,
    pub(super) script: String,
    pub(super) pid: u32,
    pub(super) root_alive: bool,
    pub(super) children: BTreeSet<u32>,
    pub(super) started_at_ms: u64,
    /// By the clock that never jumps.
    pub(super) started: u64,
    /// The app's own setting, for what is left when the first process ends by itself.
    pub(super) whole: bool,
    /// Whether the core knows its pid.
    pub(super) announced: bool,
    /// The stop that is under way: whether it is about descendants too.
    watched: Option<bool>,
    /// It was asked to end.
    pub(super) asked: bool,
    /// It was to finish what it is at.
    drains: bool,
    /// It is to relieve another, and nobody who connects is given to it before that: as long as the other is there.
    comes: bool,
    /// Another has taken over, or it is about to end.
    goes: bool,
    /// Of its instance.
    pid_file: String,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    pub(super) failing_saves: u64,
    pub(super) failing_spawns: u64,
    pub(super) duplicates: u64,
    /// Processes that use more memory than they may.
    pub(super) leaks: u64,
    /// Health checks that fail for once.
    pub(super) illness: u64,
}

impl Faults {
    pub(super) const NONE: Self = Self { failing_saves: 0, failing_spawns: 0, duplicates: 0, leaks: 0, illness: 0 };
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) mono: u64,
    /// What the wall clock is ahead of the other.
    pub(super) wall_offset: u64,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) trees: BTreeMap<u64, Tree>,
    pub(super) disk: State,
    /// As it was one save ago.
    backup: State,
    /// For what befalls the disk: lives without that are what they were before anything could.
    pub(super) fate: Rng,
    /// What is on it besides.
    pub(super) memory: Memory,
    /// As of the last save that the core has heard of.
    pub(super) heard_disk: State,
    /// Apps whose last save failed and had a slot stopped: what only stops is done all the same.
    pub(super) unrecorded_stops: BTreeSet<String>,
    pub(super) trace: VecDeque<String>,
    pub(super) answers: BTreeMap<ClientId, Vec<Answer>>,
    pub(super) finished: BTreeMap<ClientId, u32>,
    pub(super) exited: bool,
    /// What the core wants to be watched.
    pub(super) watches: Watches,
    /// Restarts because of files, by app.
    pub(super) restarts_by_files: BTreeMap<String, u32>,
    pub(super) layout: Layout,
    /// What was told of what happened.
    pub(super) history: Vec<String>,
    /// Apps that were deleted, by the history.
    gone: BTreeSet<String>,
    /// State and last pid, by the history.
    pub(super) told: BTreeMap<(String, u32), (&'static str, u32)>,
    /// Whose health is looked after.
    pub(super) checked: BTreeSet<LaunchId>,
    seed: u64,
    saved_until: u64,
    trace_lines: usize,
    queue: BTreeMap<(u64, u64), Coming>,
    order: u64,
    pid_files: BTreeMap<String, u32>,
    next_tree: u64,
    /// How often each script was started.
    pub(super) spawned: BTreeMap<String, usize>,
    /// What stands for the code that an app's processes are started from, where that is not what was applied.
    pub(super) code: BTreeMap<String, Fingerprint>,
    /// What the core has said last of where everybody stands.
    pub(super) standings: BTreeMap<u32, Standing>,
    /// Until when all was done that was due, as the last of these says.
    pub(super) until: Option<Wall>,
    /// How processes have ended that the core never heard of.
    unheard: BTreeMap<LaunchId, ExitStatus>,
    /// What processes have to say to the daemon can be said to the next.
    hears: bool,
}

impl Host {
    pub(super) fn new(seed: u64) -> Self {
        let disk = State::empty(Key([7; 32]));
        Self {
            mono: 1_000_000,
            wall_offset: WALL_OFFSET,
            rng: Rng::new(seed),
            seed,
            saved_until: 0,
            // All of it for one seed.
            trace_lines: if std::env::var_os("PMRUN_SIM_SEED").is_some() { usize::MAX } else { 50 },
            faults: Faults { failing_saves: 8, failing_spawns: 4, duplicates: 5, leaks: 20, illness: 10 },
            trees: BTreeMap::new(),
            heard_disk: disk.clone(),
            backup: disk.clone(),
            fate: Rng::new(seed ^ 0xfa7e),
            unrecorded_stops: BTreeSet::new(),
            disk,
            memory: Memory::default(),
            trace: VecDeque::new(),
            answers: BTreeMap::new(),
            finished: BTreeMap::new(),
            exited: false,
            watches: Watches::default(),
            restarts_by_files: BTreeMap::new(),
            layout: Layout { home: "/h".to_owned(), names: crate::supervisor::Names::Own },
            history: Vec::new(),
            gone: BTreeSet::new(),
            told: BTreeMap::new(),
            checked: BTreeSet::new(),
            queue: BTreeMap::new(),
            order: 0,
            pid_files: BTreeMap::new(),
            next_tree: 0,
            spawned: BTreeMap::new(),
            code: BTreeMap::new(),
            standings: BTreeMap::new(),
            until: None,
            unheard: BTreeMap::new(),
            hears: false,
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: Mono(self.mono), wall: Wall(self.wall_offset + self.mono) }
    }

    pub(super) fn set_clock(&mut self, by_ms: i64) {
        self.wall_offset = self.wall_offset.checked_add_signed(by_ms).unwrap();
        self.note(&format!("the clock is set by {by_ms} ms"));
    }

    /// How much of an input: all of it where one seed is looked at.
    pub(super) fn shown_characters(&self) -> usize {
        if self.trace_lines == usize::MAX { usize::MAX } else { 300 }
    }

    pub(super) fn note(&mut self, line: &str) {
        if self.trace.len() == self.trace_lines {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:>9}  {line}", self.mono));
    }

    pub(super) fn after(&mut self, delay_ms: u64, coming: Coming) {
        self.order += 1;
        self.queue.insert((self.mono + delay_ms, self.order), coming);
    }

    /// The earlier of two deadlines.
    pub(super) fn earlier(&self, deadline: Option<Mono>, wall_deadline: Option<Wall>) -> Option<Mono> {
        let by_wall = wall_deadline.map(|at| Mono(at.0.saturating_sub(self.wall_offset)));
        deadline.into_iter().chain(by_wall).min()
    }

    /// When something comes next.
    pub(super) fn comes_at(&self, deadline: Option<Mono>) -> Option<u64> {
        let first = self.queue.keys().next().map(|key| key.0);
        first.into_iter().chain(deadline.map(|deadline| deadline.0)).min()
    }

    /// The next thing that comes, unless a deadline comes first.
    pub(super) fn next(&mut self, deadline: Option<Mono>) -> Option<Coming> {
        let first = self.queue.keys().next().copied();
        match (first, deadline) {
            (None, None) => None,
            (Some((at, _)), Some(deadline)) if deadline.0 < at => Some(self.tick(deadline)),
            (None, Some(deadline)) => Some(self.tick(deadline)),
            (Some(key), _) => {
                self.mono = self.mono.max(key.0);
                self.queue.remove(&key)
            }
        }
    }

    fn tick(&mut self, deadline: Mono) -> Coming {
        self.mono = self.mono.max(deadline.0);
        Coming::Input(Input::Tick)
    }

    /// What the world does by itself, and what the core hears of it.
    pub(super) fn happens(&mut self, coming: Coming) -> Option<Input> {
        match coming {
            Coming::Input(input) => return Some(input),
            Coming::RootEnds { tree, status } => self.root_ends(tree, status),
            Coming::TreeEnds { tree } => self.tree_ends(tree),
            Coming::Ready { tree } => {
                let tree = self.trees.get(&tree)?;
                let (alive, launch) = (tree.root_alive, tree.launch);
                return alive.then_some(Input::Ready { launch });
            }
            Coming::Listens { tree } => {
                let tree = self.trees.get(&tree)?;
                let (alive, launch) = (tree.root_alive, tree.launch);
                return alive.then_some(Input::Listening { launch });
            }
            Coming::SaveEnds { ticket, saves } => return Some(self.save(ticket, saves)),
            Coming::RecallEnds { ticket, wanted } => {
                return Some(Input::Recalled { ticket, result: self.recall(&wanted) });
            }
            Coming::Probe { launch } => return self.probe(launch),
            Coming::StrangerEnds { tree } => return Some(self.stranger_ends(tree)),
            Coming::User | Coming::Files | Coming::Clock { .. } => {}
        }
        None
    }

    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn(launch) => self.spawn(*launch),
            Effect::Stop { launch, tree, .. } | Effect::StopByMessage { launch, tree } => self.stop(launch, tree),
            Effect::Kill { launch, tree } => self.kill(launch, tree),
            // Some have connections that never end.
            Effect::Drain { launch } => {
                let ends = self.rng.percent(70);
                self.note(&format!("asked to drain {}", launch.0));
                if let Some(tree) = self.of_launch(launch).and_then(|key| self.trees.get_mut(&key)) {
                    tree.drains = true;
                }
                self.give_way(launch);
                if ends {
                    let takes = self.rng.below(3_000);
                    self.after(takes, Coming::Input(Input::Drained { launch }));
                }
            }
            Effect::TakeOver { launch, from } => self.change_places(launch, from),
            Effect::Await { launch, tree } => self.await_end(launch, tree),
            Effect::Standing { id, standing: Some(standing) } => {
                self.standings.insert(id, *standing);
            }
            Effect::Standing { id, standing: None } => {
                self.standings.remove(&id);
            }
            Effect::Code { launch, of } => {
                let other = self.code.get(&of.name).filter(|found| **found != of.fingerprint);
                if let Some(found) = other.cloned() {
                    self.after(1, Coming::Input(Input::Code { launch, of, found }));
                }
            }
            // Its programs have nothing to say to a signal that nobody knows.
            Effect::Signal { .. }
            | Effect::Converse { .. }
            | Effect::Heed { .. }
            | Effect::Said(_)
            | Effect::Rotation { .. }
            | Effect::Errand { .. }
            | Effect::Unlisten { .. }
            | Effect::Rename { .. } => {}
            Effect::Check { launch, check } => self.check(launch, check.is_some()),
            Effect::Limits { launch, limits } => self.note_limits(launch, limits.pids),
            Effect::Tree { launch, tree } => {
                let known = self.of_launch(launch).and_then(|key| self.trees.get_mut(&key));
                if let Some(held) = known {
                    held.whole = tree;
                }
            }
            Effect::Save { ticket, saves } => {
                let shown: Vec<String> = saves.iter().map(in_short).collect();
                self.note(&format!("asked to save as {}: {}", ticket.0, shown.join(", ")));
                // One thread saves, in the order in which it was asked to.
                let takes = if is_waited_for(&saves) { self.rng.below(4) } else { 0 };
                self.saved_until = self.saved_until.max(self.mono + takes) + 1;
                let delay = self.saved_until - self.mono;
                self.after(delay, Coming::SaveEnds { ticket, saves });
            }
            Effect::Recall { ticket, wanted } => {
                self.saved_until = self.saved_until.max(self.mono + self.rng.below(2)) + 1;
                let delay = self.saved_until - self.mono;
                self.after(delay, Coming::RecallEnds { ticket, wanted });
            }
            Effect::Answer { client, answer, last } => {
                self.answers.entry(client).or_default().push(*answer);
                if last {
                    *self.finished.entry(client).or_default() += 1;
                }
            }
            Effect::Measure { launches } => {
                for launch in launches {
                    if self.of_launch(launch).is_some() {
                        let grown = self.rng.percent(self.faults.leaks);
                        self.after(0, Coming::Input(Input::Memory { launch, bytes: if grown { 200 } else { 10 } }));
                    }
                }
            }
            Effect::History(entry) => self.remember(*entry),
            Effect::Watch(watches) => self.watches = *watches,
            Effect::Log(text) => {
                if let Some((app, _)) = text.split_once(": restarts: ") {
                    *self.restarts_by_files.entry(app.to_owned()).or_default() += 1;
                }
                self.note(&text);
            }
            Effect::Exit | Effect::Become { .. } | Effect::Leave => self.exited = true,
        }
    }

    /// What the history says of each instance, as somebody who reads nothing else knows it.
    fn remember(&mut self, entry: Entry) {
        let Entry { app, slot, beside, what, .. } = entry;
        let tilde = if beside { "~" } else { "" };
        let slotted = slot.map(|slot| format!(":{slot}{tilde}")).unwrap_or_default();
        self.history.push(format!("{}{slotted} {what}", app.as_deref().unwrap_or("daemon")));
        // Who looks at one seed wants to know all.
        if self.trace_lines == usize::MAX {
            self.note(&format!("history: {}", self.history.last().cloned().unwrap_or_default()));
        }
        if matches!(&what, What::Started { why: Why::Unknown, .. }) {
            self.fail(&format!("{app:?}:{slot:?} was started and nobody knows why"));
        }
        let Some(app) = app.filter(|_| !beside) else { return };
        if let What::Renamed { from, .. } = &what {
            // Whoever had the name before is gone, and what was said of it is not about the new one.
            self.told.retain(|(name, _), _| *name != app);
            for ((name, slot), known) in std::mem::take(&mut self.told) {
                let name = if name == *from { app.clone() } else { name };
                self.told.insert((name, slot), known);
            }
        }
        // Another of that name is another app.
        match &what {
            What::Deleted { .. } => {
                self.told.retain(|(name, _), known| *name != app || known.0 != "stopped");
                self.gone.insert(app.clone());
            }
            What::Created { .. } | What::Renamed { .. } => _ = self.gone.remove(&app),
            _ => {}
        }
        if let (Some(slot), Some(state)) = (slot, what.state()) {
            let is_gone = state == "stopped" && self.gone.contains(&app);
            let known = self.told.entry((app.clone(), slot)).or_default();
            known.0 = state;
            if let What::Started { pid, .. } | What::Adopted { pid, .. } | What::TookOver { pid: Some(pid), .. } = what
            {
                known.1 = pid;
            }
            if is_gone {
                self.told.remove(&(app, slot));
            }
        }
    }

    /// From now on it is probed, or no longer.
    fn check(&mut self, launch: LaunchId, on: bool) {
        if on {
            self.checked.insert(launch);
            self.after(100, Coming::Probe { launch });
        } else {
            self.checked.remove(&launch);
        }
    }

    /// An instance answers as its script says: `ill` never does, `ill 1500` does so for a while; others fail now and then.
    fn probe(&mut self, launch: LaunchId) -> Option<Input> {
        let tree = self.of_launch(launch).and_then(|key| self.trees.get(&key)).filter(|tree| tree.root_alive)?;
        if !self.checked.contains(&launch) {
            return None;
        }
        let mut words = tree.script.split(' ');
        let well_ms = (words.next() == Some("ill")).then(|| words.next().and_then(|ms| ms.parse().ok()).unwrap_or(0));
        let is_ill = well_ms.is_some_and(|ms| self.mono - tree.started >= ms);
        let fails = is_ill || self.rng.percent(self.faults.illness);
        self.after(1_000, Coming::Probe { launch });
        let result = if fails { Err("refused".to_owned()) } else { Ok(()) };
        Some(Input::Probed { launch, result })
    }

    /// The daemon is gone; what it had not heard yet nobody hears, and a save may have come through or not.
    pub(super) fn daemon_dies(&mut self) {
        self.unheard.clear();
        self.hears = self.rng.percent(50);
        let queue = std::mem::take(&mut self.queue);
        let mut through = true;
        for ((at, order), coming) in queue {
            match coming {
                Coming::Input(Input::Exited { launch, status, .. }) => {
                    self.unheard.insert(launch, status);
                }
                Coming::Input(_) | Coming::Probe { .. } | Coming::RecallEnds { .. } => {}
                Coming::Ready { .. } if !self.hears => {}
                Coming::SaveEnds { saves, .. } => {
                    through = through && self.rng.percent(50);
                    if through {
                        self.write(saves);
                    }
                }
                coming => {
                    self.queue.insert((at, order), coming);
                }
            }
        }
        self.heard_disk = self.disk.clone();
        self.checked.clear();
        for tree in self.trees.values_mut() {
            tree.watched = None;
        }
    }

    pub(super) fn back_up(&mut self) {
        self.backup = self.disk.clone();
    }

    /// The disk is damaged, and built anew from its backup and what runs.
    pub(super) fn damage(&mut self) {
        let found: Vec<Found> = self
            .trees
            .iter()
            .map(|(key, tree)| Found {
                pid: tree.pid,
                start: tree.started,
                instance: tree.marker.parse::<InstanceId>().unwrap().first(),
                list_id: tree.list_id.parse().unwrap(),
                mark: key.to_string(),
                first: tree.root_alive,
                filed: tree.root_alive,
            })
            .collect();
        self.disk = rebuild(self.backup.clone(), &found, &self.standings);
        self.note(&format!("the state is damaged; strangers: {:?}", self.disk.strangers));
        // By the rules that are known again, which may be older than those that it was started by.
        for tree in self.trees.values_mut() {
            let (app, _) = tree.marker.rsplit_once(':').unwrap();
            tree.whole &= self.disk.apps.get(app).is_none_or(|record| record.spec.stop.tree);
        }
        self.heard_disk = self.disk.clone();
        self.backup = self.disk.clone();
        self.unrecorded_stops.clear();
        self.forget_what_was();
        for stranger in self.disk.strangers.clone() {
            let key: u64 = stranger.mark.parse().unwrap();
            let delay = self.fate.below(20_000);
            self.after(delay, Coming::StrangerEnds { tree: key });
        }
    }

    fn living_strangers(&self) -> Vec<Stranger> {
        let lives = |stranger: &&Stranger| self.trees.contains_key(&stranger.mark.parse().unwrap());
        self.disk.strangers.iter().filter(lives).cloned().collect()
    }

    /// Somebody ends what nobody knows.
    fn stranger_ends(&mut self, key: u64) -> Input {
        // It may have ended by itself.
        self.trees.remove(&key);
        Input::Strangers { left: self.living_strangers() }
    }

    /// As the real host: what its pid file and its marks say is taken over, everything else is ended.
    fn adopt(&mut self, hears: bool) -> Vec<Survivor> {
        let mut survivors = Vec::new();
        let mut adopted = BTreeSet::new();
        for (instance, launch) in possible_launches(&self.disk, &self.layout) {
            let intent = self.disk.apps[&instance.app].instances[&first(instance.slot)].intent;
            if matches!(intent, Intent::Done { .. }) {
                let is_left = |tree: &Tree| tree.list_id == launch.env["pm_id"] && !tree.root_alive;
                let left = self.trees.iter_mut().filter(|(_, tree)| is_left(tree));
                for (key, tree) in left {
                    tree.launch = launch.id;
                    adopted.insert(*key);
                }
            }
            let pids = [&launch.pid_file, &beside(&launch.pid_file)].map(|file| self.pid_files.get(file).copied());
            let is_it = |tree: &Tree| {
                let is_filed = tree.root_alive && pids.contains(&Some(tree.pid));
                is_filed && tree.marker == launch.instance.to_string() && tree.list_id == launch.env["pm_id"]
            };
            let found = self.trees.iter_mut().find(|(_, tree)| is_it(tree));
            let Some((key, tree)) = found else {
                if launch.tree && self.is_ending(&instance, &launch.instance) {
                    let marker = launch.instance.to_string();
                    let is_left =
                        |tree: &Tree| tree.marker == marker && tree.list_id == launch.env["pm_id"] && !tree.root_alive;
                    for (key, tree) in self.trees.iter_mut().filter(|(_, tree)| is_left(tree)) {
                        tree.launch = launch.id;
                        adopted.insert(*key);
                    }
                }
                continue;
            };
            if !adopted.insert(*key) {
                continue;
            }
            tree.launch = launch.id;
            tree.announced = true;
            // As far as the next daemon can see.
            (tree.comes, tree.goes) = (launch.steered && pids[1] == Some(tree.pid), false);
            survivors.push(Survivor {
                launch: launch.id,
                instance,
                pid: tree.pid,
                spec_digest: tree.spec_digest.clone(),
                started_at_ms: tree.started_at_ms,
                launched_as: launch.instance.app,
                channel: hears,
                notify: hears,
                beside: pids[1] == Some(tree.pid),
            });
        }
        self.disk.strangers = self.living_strangers();
        let strangers = &self.disk.strangers;
        self.trees.retain(|key, tree| {
            let is_stranger = strangers.iter().any(|stranger| stranger.mark == key.to_string());
            if is_stranger {
                // None that the core could mean.
                tree.launch = LaunchId(u64::MAX - key);
                tree.announced = false;
            }
            is_stranger || adopted.contains(key)
        });
        survivors
    }

    /// Whether what the process of that name leaves behind is awaited: it was being stopped.
    fn is_ending(&self, id: &InstanceId, name: &InstanceId) -> bool {
        let number = self.disk.apps[&id.app].instances[&first(id.slot)].id;
        let mut stood = [number, second(number)].into_iter().filter_map(|number| self.standings.get(&number));
        stood.any(|standing| standing.is_ending() && standing.name(id) == *name)
    }

    /// What the next daemon is told. Some of where everybody stood may be lost, and not everything that ended was seen.
    pub(super) fn past(&mut self, killed: bool) -> Past {
        let lost: Vec<u32> = self.standings.keys().copied().filter(|_| self.rng.percent(5)).collect();
        let known = killed && self.rng.percent(80);
        let ended = |host: &Self, standing: &Standing| {
            let launch = standing.state.launch()?;
            host.unheard.get(&launch).copied().filter(|_| known)
        };
        let kept: BTreeMap<u32, Standing> =
            lost.iter().filter_map(|id| Some((*id, self.standings.remove(id)?))).collect();
        let survivors = self.adopt(self.hears);
        self.standings.extend(kept);
        let apps = &self.disk.apps;
        self.told.retain(|(name, slot), _| apps.get(name).is_some_and(|app| app.instances.contains_key(slot)));
        let mut statuses = BTreeMap::new();
        for (name, app) in &self.disk.apps {
            for (slot, instance) in &app.instances {
                let id = InstanceId::new(name, *slot);
                let standing = self.standings.get(&instance.id).filter(|_| !lost.contains(&instance.id));
                let status = standing.and_then(|known| ended(self, known));
                let lives = survivors.iter().any(|survivor| survivor.instance.first() == id);
                // What nobody knows any more is found out anew, and told again.
                let goes_on = standing.is_some_and(|known| match known.state {
                    StandsAs::Launching { .. } | StandsAs::Blocked => false,
                    StandsAs::Starting { .. } | StandsAs::Online { .. } => status.is_some(),
                    StandsAs::Completed { .. } => !known.is_outdated(instance, &app.spec),
                    StandsAs::Scheduled => app.spec.schedule.is_some(),
                    StandsAs::Errored { .. } if known.is_ending() && app.spec.stop.tree => true,
                    StandsAs::Waiting { .. } | StandsAs::Errored { .. } => app.spec.schedule.is_none(),
                    _ => true,
                });
                let goes_on = goes_on && !matches!(instance.intent, Intent::Done { .. });
                if !lives && !goes_on {
                    self.told.remove(&(name.clone(), *slot));
                } else if let Some(known) = standing {
                    // Renamed, and the daemon died before it said so.
                    let told = (known.state.word(), known.pid().unwrap_or(0));
                    self.told.entry((name.clone(), *slot)).or_insert(told);
                }
                statuses.extend(status.map(|status| (id, status)));
            }
        }
        for id in lost {
            self.standings.remove(&id);
        }
        let (standings, until) = (self.standings.clone(), self.until);
        // What is known no more is ended at once here.
        Past { survivors, standings, ended: statuses, follows: known, until, leaving: Vec::new() }
    }

    fn change_places(&mut self, launch: LaunchId, from: LaunchId) {
        let of = |host: &Self, launch| {
            host.of_launch(launch).map(|key| &host.trees[&key]).map(|tree| (tree.pid, tree.pid_file.clone()))
        };
        if let Some((pid, file)) = of(self, launch) {
            self.pid_files.insert(file, pid);
        }
        if let Some((pid, file)) = of(self, from) {
            self.pid_files.insert(beside(&file), pid);
        }
        // The one before may have ended already.
        if let Some(tree) = self.of_launch(launch).and_then(|key| self.trees.get_mut(&key)) {
            (tree.comes, tree.goes) = (false, false);
        }
        self.give_way(from);
    }

    /// Who connects is given to the other process of its slot.
    fn give_way(&mut self, launch: LaunchId) {
        let Some(key) = self.of_launch(launch) else { return };
        let slot = self.trees[&key].list_id.clone();
        for (other, tree) in self.trees.iter_mut().filter(|(_, tree)| tree.list_id == slot && tree.root_alive) {
            (tree.comes, tree.goes) = (false, *other == key);
        }
    }

    /// Whether who connects to the slot of a process is given to it, too.
    pub(super) fn is_given(&self, tree: &Tree) -> bool {
        let serves = |other: &&Tree| other.list_id == tree.list_id && other.root_alive && !other.comes && !other.goes;
        !tree.goes && (!tree.comes || !self.trees.values().any(|other| serves(&other)))
    }

    /// It goes its way.
    fn await_end(&mut self, launch: LaunchId, whole: bool) {
        match self.of_launch(launch).and_then(|key| self.trees.get_mut(&key)) {
            Some(tree) => tree.watched = Some(whole),
            None => self.deliver(0, Input::TreeGone { launch }),
        }
    }

    fn spawn(&mut self, launch: Launch) {
        self.check_spawn(&launch);
        // What node runs behaves as its script says.
        let script =
            if launch.worker { launch.args.first().cloned().unwrap_or_default() } else { launch.program.clone() };
        *self.spawned.entry(script.clone()).or_default() += 1;
        if script == "nospawn" || self.rng.percent(self.faults.failing_spawns) {
            let input = Input::SpawnFailed { launch: launch.id, reason: "no such file".to_owned() };
            self.deliver(0, input);
            return;
        }
        let pid = self.free_pid();
        self.next_tree += 1;
        let key = self.next_tree;
        let tree = Tree {
            launch: launch.id,
            marker: launch.instance.to_string(),
            list_id: launch.env["pm_id"].clone(),
            spec_digest: launch.env["PMRUN_SPEC"].clone(),
            script: script.clone(),
            pid,
            root_alive: true,
            children: self.children(&script),
            started_at_ms: self.now().wall.0,
            started: self.mono,
            whole: launch.tree,
            announced: false,
            watched: None,
            asked: false,
            drains: false,
            comes: launch.relieves && launch.steered,
            goes: false,
            pid_file: launch.pid_file.clone(),
        };
        self.pid_files.insert(if launch.relieves { beside(&launch.pid_file) } else { launch.pid_file }, pid);
        let answered = self.rng.below(3);
        self.after(
            answered,
            Coming::Input(Input::Spawned { launch: launch.id, pid, error_log_offset: 0, at: self.now() }),
        );
        if !launch.limits.is_none() {
            self.note_limits(launch.id, launch.limits.pids);
        }
        self.note(&format!("spawn {} as {} pid {pid}: {script}", tree.marker, launch.id.0));
        let words: Vec<&str> = script.split(' ').collect();
        let number = |index: usize| words.get(index).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        let status = ExitStatus::Code(i32::try_from(number(2)).unwrap());
        let ends = 3 + number(1) + self.rng.below(5);
        match words[0] {
            "exit" => self.after(ends, Coming::RootEnds { tree: key, status }),
            // What it has started goes on without it.
            "forks" if words.len() > 1 => self.after(ends, Coming::RootEnds { tree: key, status }),
            "oom" => {
                let status = ExitStatus::OutOfMemory(Shortage::Limit(1 << 20));
                self.after(ends, Coming::RootEnds { tree: key, status });
            }
            "ready" => self.after(ends, Coming::Ready { tree: key }),
            "listens" => self.after(ends, Coming::Listens { tree: key }),
            // Listens, and ends so much later.
            "brief" => {
                self.after(ends, Coming::Listens { tree: key });
                self.after(ends + number(2), Coming::RootEnds { tree: key, status: ExitStatus::Code(7) });
            }
            _ => {}
        }
        self.trees.insert(key, tree);
    }

    /// Here it is processes that cannot be limited.
    fn note_limits(&mut self, launch: LaunchId, pids: Option<u32>) {
        let note = pids.map(|_| "not in force (pids)".to_owned());
        self.after(4, Coming::Input(Input::Limits { launch, note }));
    }

    fn children(&mut self, script: &str) -> BTreeSet<u32> {
        let count = if script.starts_with("forks") { self.rng.below(3) } else { 0 };
        (0..count).map(|_| 10_000 + u32::try_from(self.rng.below(10_000)).unwrap()).collect()
    }

    /// What runs was recorded before, by a save that the core knew of.
    fn check_spawn(&mut self, launch: &Launch) {
        let id = launch.instance.first();
        let says = |state: &State| {
            let app = state.apps.get(&id.app)?;
            let instance = app.instances.get(&id.slot)?;
            Some(instance.intent == Intent::Up && spec_digest(&app.spec) == launch.env["PMRUN_SPEC"])
        };
        if says(&self.disk) != Some(true) && says(&self.heard_disk) != Some(true) {
            self.fail(&format!("{id} was started, which the disk does not say"));
        }
        // While one process relieves another there are two: who serves beside who comes, or goes.
        let others = |tree: &&Tree| tree.list_id == launch.env["pm_id"] && tree.root_alive;
        let serving = |tree: &&Tree| tree.watched.is_none() && !tree.drains;
        let others = self.trees.values().filter(others);
        if others.clone().filter(serving).count() > usize::from(launch.relieves) || others.count() > 1 {
            self.fail(&format!("{id} was started beside another"));
        }
        // What a stop of only the first process left, by the rules of then, is on its own.
        let marker = launch.instance.to_string();
        let is_its = |tree: &&Tree| {
            let is_its = tree.list_id == launch.env["pm_id"] && tree.marker == marker;
            is_its && tree.whole && tree.watched != Some(false) && launch.tree
        };
        let mut earlier = self.trees.values().filter(is_its);
        if let Some(tree) = earlier.find(|tree| tree.root_alive || !tree.children.is_empty()) {
            self.fail(&format!("{id} was started beside what an earlier process of it left: {tree:?}"));
        }
    }

    fn free_pid(&self) -> u32 {
        let taken: BTreeSet<u32> = self
            .trees
            .values()
            .flat_map(|tree| tree.children.iter().copied().chain(tree.root_alive.then_some(tree.pid)))
            .collect();
        (100..10_000).find(|pid| !taken.contains(pid)).unwrap()
    }

    fn deliver(&mut self, delay_ms: u64, input: Input) {
        if self.rng.percent(self.faults.duplicates) {
            let late = delay_ms + 1 + self.rng.below(1_000);
            self.after(late, Coming::Input(input.clone()));
        }
        self.after(delay_ms, Coming::Input(input));
    }

    fn of_launch(&self, launch: LaunchId) -> Option<u64> {
        self.trees.iter().find(|(_, tree)| tree.launch == launch).map(|(key, _)| *key)
    }

    fn stop(&mut self, launch: LaunchId, whole: bool) {
        let Some(key) = self.of_launch(launch) else { return self.deliver(0, Input::TreeGone { launch }) };
        let delay = 1 + self.rng.below(80);
        let tree = self.trees.get_mut(&key).unwrap();
        tree.watched = Some(whole);
        tree.asked = true;
        let deaf = tree.script.starts_with("deaf") || tree.script.starts_with("undead");
        if !deaf || !tree.root_alive {
            self.after(delay, Coming::TreeEnds { tree: key });
        }
    }

    fn kill(&mut self, launch: LaunchId, whole: bool) {
        let Some(key) = self.of_launch(launch) else { return self.deliver(0, Input::TreeGone { launch }) };
        let tree = self.trees.get_mut(&key).unwrap();
        tree.watched = Some(whole);
        if tree.root_alive && !tree.asked {
            let marker = tree.marker.clone();
            self.fail(&format!("{marker} is killed, and was not asked to end"));
        }
        let tree = self.trees.get_mut(&key).unwrap();
        let undead = tree.script.starts_with("undead");
        let delay = if undead { UNDEAD_MS } else { 1 + self.rng.below(5) };
        self.after(delay, Coming::TreeEnds { tree: key });
    }

    fn root_ends(&mut self, key: u64, status: ExitStatus) {
        let Some(tree) = self.trees.get_mut(&key).filter(|tree| tree.root_alive) else { return };
        tree.root_alive = false;
        let (launch, watched, empty) = (tree.launch, tree.watched, tree.children.is_empty());
        self.deliver(0, Input::Exited { launch, status, left: !empty });
        if watched == Some(false) || (watched == Some(true) && empty) {
            self.deliver(1, Input::TreeGone { launch });
        }
        if empty {
            self.trees.remove(&key);
        }
    }

    fn tree_ends(&mut self, key: u64) {
        let Some(tree) = self.trees.get_mut(&key) else { return };
        let launch = tree.launch;
        let was_alive = std::mem::replace(&mut tree.root_alive, false);
        let whole = tree.watched.unwrap_or(tree.whole);
        if whole {
            tree.children.clear();
        }
        let (watched, empty) = (tree.watched.is_some(), tree.children.is_empty());
        if empty {
            self.trees.remove(&key);
        }
        if was_alive {
            self.deliver(0, Input::Exited { launch, status: ExitStatus::Signal(15), left: false });
        }
        if watched {
            self.deliver(1, Input::TreeGone { launch });
        }
    }

    fn save(&mut self, ticket: Ticket, saves: Vec<Save>) -> Input {
        if is_waited_for(&saves) && self.rng.percent(self.faults.failing_saves) {
            self.note("save fails");
            let is_stop = |record: &AppRecord| record.instances.values().any(|i| i.intent == Intent::Stopped);
            let records = saves.iter().filter_map(Save::app);
            let stops = records.filter(|(_, record)| record.is_some_and(is_stop));
            self.unrecorded_stops.extend(stops.map(|(name, _)| name.to_owned()));
            self.memory.miss(&saves);
            return Input::Saved { ticket, result: Err("no space left on device".to_owned()) };
        }
        self.write(saves);
        self.heard_disk = self.disk.clone();
        Input::Saved { ticket, result: Ok(()) }
    }

    /// Environments that lose their last app go, as in the real store.
    fn write(&mut self, saves: Vec<Save>) {
        self.backup = self.disk.clone();
        for save in saves {
            let remembered = save.clone();
            match save {
                Save::App(name, record) => {
                    self.unrecorded_stops.remove(&name);
                    self.disk.apps.insert(name, *record);
                }
                Save::DeleteApp(name) => {
                    self.disk.apps.remove(&name);
                }
                Save::Ambient(digest, variables) => {
                    self.disk.ambients.insert(digest, variables);
                }
                Save::Generation(generation) => {
                    let mut left_out = self.disk.generation + 1..generation;
                    if generation <= self.disk.generation
                        || !left_out.all(|number| self.memory.missed.contains(&number))
                    {
                        self.fail("a generation was left out");
                    }
                    self.disk.generation = generation;
                }
                Save::Began(_) | Save::Ended { .. } | Save::Applied { .. } => {}
                Save::Boot(boot) => self.disk.boot = boot,
                Save::Strangers(strangers) => self.disk.strangers = strangers,
            }
            self.remember_save(&remembered);
        }
        let used: BTreeSet<String> = self.disk.apps.values().map(|app| app.ambient.clone()).collect();
        self.disk.ambients.retain(|digest, _| used.contains(digest));
        if let Some(lost) = used.iter().find(|digest| !self.disk.ambients.contains_key(*digest)) {
            self.fail(&format!("environment {lost} is not stored"));
        }
    }

    pub(super) fn fail(&self, problem: &str) -> ! {
        let trace: Vec<&str> = self.trace.iter().map(String::as_str).collect();
        panic!("seed {}: {problem}\n{}", self.seed, trace.join("\n"));
    }
}

fn beside(pid_file: &str) -> String {
    format!("{pid_file}.beside")
}
