use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::task::JoinHandle;

use super::checks::Checks;
use super::codes::{Codes, Looked};
use super::door;
use super::dump::{dump_path, write_dump};
use super::foreground::{self, Foreground};
use super::journal::Journal;
use super::log;
use super::presence::{Presence, Seen};
use super::ready::Ready;
use super::saver::{Saver, Told};
use super::standings::Standings;
use crate::base::{InstanceId, Now};
use crate::health;
use crate::logs::rotate::Rotator;
use crate::platform::{
    Alarm, Clock, Event, Host, LockFile, Pending, Signals, account_numbers, awaitable, fault_point, give_back, is_same,
    names, user_id, user_name,
};
use crate::rpc::server::{FromClient, Replies, Server};
use crate::rpc::wire::{Answer, Failure, OffersView, Request};
use crate::runtime::history::{Entry, What};
use crate::runtime::store::Store;
use crate::runtime::verdict::Verdict;
use crate::runtime::{Around, ClientId, Core, Effect, Input, Partner, State, Stranger, Talk, pm2_dump};
use crate::supervisor::{Launch, LaunchId, Layout, Names};
use crate::watch::{Report, Watcher};

/// How long the last answers may take to be read when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(2);
/// The same when it only becomes another program: nobody is to wait for long.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How much longer than the next timeout a service manager is asked to wait for the end of everything.
const STOP_SLACK: Duration = Duration::from_secs(30);
/// How long nothing has happened when memory is given back: what goes on touches the same pages again, and an app that is
/// restarted meanwhile is back sooner.
const QUIET: Duration = Duration::from_secs(5);
/// How many processes are started before commands are listened to again; each takes a good part of a millisecond.
const SPAWNS_PER_TURN: usize = 16;

/// The loop: everything that happens becomes an [`Input`], and what the core asks for is done in order.
#[derive(Debug)]
pub(super) struct Daemon {
    home: PathBuf,
    clock: Clock,
    host: Host,
    rotator: Rotator,
    journal: Journal,
    host_ready: AsyncFd<OwnedFd>,
    signals: Signals,
    signals_ready: AsyncFd<OwnedFd>,
    alarm: Alarm,
    alarm_ready: AsyncFd<OwnedFd>,
    saver: Saver,
    saved: UnboundedReceiver<Told>,
    checks: Checks,
    from_checks: UnboundedReceiver<health::Report>,
    codes: Codes,
    from_codes: UnboundedReceiver<Looked>,
    ready: Ready,
    from_ready: UnboundedReceiver<LaunchId>,
    watcher: Watcher,
    from_watcher: UnboundedReceiver<Report>,
    presence: Presence,
    server: JoinHandle<()>,
    /// How many have connected.
    connected: Arc<AtomicU64>,
    to_loop: UnboundedSender<FromClient>,
    from_clients: UnboundedReceiver<FromClient>,
    clients: HashMap<ClientId, Replies>,
    /// Those of them that only listen, for as long as they like.
    heeders: BTreeSet<ClientId>,
    /// Each connection holds a sender: its end is the end of all of them.
    alive: (Sender<()>, Receiver<()>),
    standings: Standings,
    /// What runs and nobody knows.
    strangers: Vec<Stranger>,
    inputs: VecDeque<Input>,
    /// Asked for and not done yet.
    spawns: VecDeque<Box<Launch>>,
    /// Those that are asked to end when the host is next told to go on.
    asked: Vec<LaunchId>,
    /// Something was done since memory was last given back.
    worked: bool,
    gives_back_at: Option<Instant>,
    /// When what an earlier daemon has left is ended at the latest, where that is still to be done.
    sweeps_at: Option<Instant>,
    ending: bool,
    /// The program that this process is to go on as.
    becomes: Option<PathBuf>,
    /// It ends, and another daemon goes on with what runs.
    leaves: bool,
    /// It was told to end, and stops everything.
    stops: bool,
    listener: OwnedFd,
    /// It is no daemon, but ends with its apps.
    foreground: Option<Foreground>,
    /// Waits for programs that use PM2's library.
    door: Option<JoinHandle<()>>,
}

impl Daemon {
    /// From here on commands can connect.
    pub(super) fn new(
        home: &Path,
        host: Host,
        rotator: Rotator,
        signals: Signals,
        (store, state): (Option<Store>, &State),
        standings: Standings,
        listener: Option<OwnedFd>,
    ) -> io::Result<Self> {
        let (to_loop, saved) = unbounded_channel();
        let (to_watch, from_watcher) = unbounded_channel();
        let (to_checks, from_checks) = unbounded_channel();
        let (to_codes, from_codes) = unbounded_channel();
        let (to_ready, from_ready) = unbounded_channel();
        let (from_server, from_clients) = unbounded_channel();
        let alive = channel(1);
        let alarm = Alarm::new()?;
        let server = match listener {
            Some(listener) => Server::go_on(listener)?,
            None => Server::bind(home)?,
        };
        let listener = server.listener()?;
        let host_waits = host.has_leftovers();
        Ok(Self {
            presence: Presence::begin(home, host.is_kept())?,
            connected: server.clients(),
            home: home.to_owned(),
            clock: Clock::start(),
            host_ready: awaitable(host.readiness()?)?,
            host,
            rotator,
            journal: Journal::open(home),
            signals_ready: awaitable(signals.as_fd().try_clone_to_owned()?)?,
            signals,
            alarm_ready: awaitable(alarm.as_fd().try_clone_to_owned()?)?,
            alarm,
            saver: match store {
                Some(store) => Saver::start(home, store, state.clone(), to_loop)?,
                None => Saver::Nowhere(to_loop),
            },
            strangers: state.strangers.clone(),
            saved,
            checks: Checks::new(to_checks),
            from_checks,
            codes: Codes::new(to_codes),
            from_codes,
            ready: Ready::new(to_ready),
            from_ready,
            watcher: Watcher::new(home, to_watch),
            from_watcher,
            server: tokio::spawn(server.serve(from_server.clone(), alive.0.clone())),
            to_loop: from_server,
            from_clients,
            clients: HashMap::new(),
            heeders: BTreeSet::new(),
            alive,
            standings,
            inputs: VecDeque::new(),
            spawns: VecDeque::new(),
            asked: Vec::new(),
            worked: false,
            gives_back_at: Some(Instant::now() + QUIET),
            sweeps_at: host_waits.then(|| Instant::now() + QUIET),
            ending: false,
            becomes: None,
            leaves: false,
            stops: false,
            listener,
            foreground: None,
            door: None,
        })
    }

    /// From now on it is no daemon.
    pub(super) fn be_in_foreground(&mut self, foreground: Foreground) {
        self.foreground = Some(foreground);
    }

    /// What came of it, once all is over that apps have started, and printed; that may take as long as whoever reads it takes.
    pub(super) async fn last_lines(&mut self) -> Option<Verdict> {
        self.host.end_all();
        let foreground = self.foreground.take()?;
        Some(foreground.last_lines(&mut self.signals, &mut self.signals_ready).await)
    }

    /// From here on programs that use PM2's library can connect.
    pub(super) fn open_door(&mut self) {
        self.door = door::attend(&self.home);
    }

    async fn close_door(door: Option<JoinHandle<()>>) {
        if let Some(door) = door {
            door.abort();
            let _ = door.await;
        }
    }

    /// From now on another is started when this one is killed.
    pub(super) fn serves(&self) {
        self.host.serves();
    }

    /// Returns when the core has said `Exit`.
    ///
    /// With nothing to do it sleeps without a timeout: an idle daemon is never woken.
    pub(super) async fn run(&mut self, mut core: Core, effects: Vec<Effect>, upgraded: bool) -> io::Result<()> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let started = What::DaemonStarted { pid: std::process::id(), version, upgraded };
        self.journal.note(Entry::of_daemon(started, self.clock.now()));
        // Who has ended while this process was another program, and is nobody's now.
        self.host.reap();
        self.perform_all(effects);
        self.settle(&mut core);
        // Logs of what an earlier daemon has started.
        self.rotator.flush();
        self.journal.flush(self.clock.now());
        while !self.ending {
            if self.alarm.set(core.wall_deadline()) {
                self.inputs.push_back(Input::Tick);
                self.settle(&mut core);
                continue;
            }
            let deadline = core.deadline().map(|mono| self.clock.instant(mono));
            if self.sweeps_at.is_some_and(|at| at <= Instant::now()) {
                self.sweeps_at = None;
                self.host.end_leftovers();
            }
            let grace = self.foreground.as_ref().and_then(Foreground::deadline);
            let deadline =
                deadline.into_iter().chain(grace).chain(self.sweeps_at).min().map(tokio::time::Instant::from_std);
            let tick = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            // Idle is what a daemon is most of the time.
            let quiet = async {
                match self.gives_back_at {
                    Some(at) => tokio::time::sleep_until(tokio::time::Instant::from_std(at)).await,
                    None => std::future::pending().await,
                }
            };
            let mut is_busy = false;
            tokio::select! {
                guard = self.host_ready.readable() => {
                    let mut guard = guard?;
                    is_busy = self.host.dispatch();
                    if !is_busy {
                        guard.clear_ready();
                    }
                }
                guard = self.signals_ready.readable() => {
                    guard?.clear_ready();
                    self.take_signals();
                }
                guard = self.alarm_ready.readable() => {
                    guard?.clear_ready();
                    self.alarm.take();
                    self.inputs.push_back(Input::Tick);
                }
                Some(event) = self.from_clients.recv() => self.client_did(event),
                Some(told) = self.saved.recv() => self.saver_did(told),
                Some(report) = self.from_watcher.recv() => self.files_did(report),
                Some(report) = self.from_checks.recv() => self.check_did(report),
                Some(looked) = self.from_codes.recv() => self.inputs.extend(self.codes.heard(looked)),
                () = self.presence.doubtful() => self.look_for_itself(&core),
                Some(launch) = self.from_ready.recv() => self.is_ready(launch),
                () = unread(&mut self.foreground) => {
                    let ready = self.foreground.as_mut().map(Foreground::take_ready).unwrap_or_default();
                    for launch in ready {
                        self.is_ready(launch);
                    }
                }
                () = tick => self.inputs.push_back(Input::Tick),
                () = quiet => {
                    self.gives_back_at = None;
                    give_back();
                    continue;
                }
                // Comes back after everything else that is ready has had its turn.
                () = tokio::task::yield_now(), if !self.spawns.is_empty() => {}
            }
            self.collect();
            self.settle(&mut core);
            self.attend(&mut core);
            self.ask_for_time(&core);
            if self.spawns.is_empty() {
                self.host.tidy();
                self.rest();
            } else if self.journal.is_full() {
                self.journal.flush(self.clock.now());
            }
            // An app that never stops talking keeps nobody from being heard.
            if is_busy {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// In the foreground: whether it is to go on.
    fn attend(&mut self, core: &mut Core) {
        while !self.ending {
            let wanted = self.foreground.as_mut().and_then(|foreground| foreground.wants(core.is_finished()));
            let Some(input) = wanted else { return };
            self.inputs.push_back(input);
            self.settle(core);
        }
    }

    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    /// What this process is to go on as, where it is to.
    pub(super) fn becomes(&self) -> Option<PathBuf> {
        self.becomes.clone()
    }

    /// Its keeper becomes what it is.
    pub(super) fn have_keeper_follow(&self) {
        self.host.have_keeper_follow();
    }

    /// Goes on as another program. Who has connected meanwhile is answered by that; the others get their last answers first.
    /// Returns when it cannot be.
    pub(super) async fn become_program(mut self, program: &Path, lock: LockFile) -> io::Error {
        self.server.abort();
        Self::close_door(self.door.take()).await;
        // What has been asked and not looked at is asked again by its client, of who comes.
        drop(self.from_clients);
        self.journal.flush(self.clock.now());
        let _ = self.saver.close();
        drop(self.clients);
        let (own, mut others) = self.alive;
        drop(own);
        let _ = tokio::time::timeout(LAST_WORDS, others.recv()).await;
        let lock = self.presence.lock().unwrap_or(lock);
        self.host.hand_over(program, self.listener, lock.into_fd())
    }

    /// Whether another daemon goes on with what runs.
    pub(super) fn leaves(&self) -> bool {
        self.leaves
    }

    /// As [`Self::become_program`], for another process.
    pub(super) async fn leave(mut self, lock: LockFile) {
        self.server.abort();
        Self::close_door(self.door.take()).await;
        drop(self.from_clients);
        self.presence.withdraw();
        let lock = (self.presence.lock(), lock);
        self.journal.flush(self.clock.now());
        self.saver.finish();
        self.rotator.stop();
        drop(self.clients);
        let (own, mut others) = self.alive;
        drop(own);
        let _ = tokio::time::timeout(LAST_WORDS, others.recv()).await;
        match self.host.leave() {
            Ok(()) => log::line("has left to another daemon what runs"),
            Err(what) => log::line(format_args!("has left, and the daemon that takes over does without {what}")),
        }
        drop(lock);
    }

    /// Somebody may have taken away what commands find it by.
    fn look_for_itself(&mut self, core: &Core) {
        match self.presence.look() {
            Seen::All => {}
            Seen::Again(server) => {
                log::line("somebody has taken away what commands find this daemon by: it is there again");
                if let Some(server) = server
                    && let Ok(listener) = server.listener()
                {
                    self.server.abort();
                    let server = server.after(Arc::clone(&self.connected));
                    self.server = tokio::spawn(server.serve(self.to_loop.clone(), self.alive.0.clone()));
                    self.listener = listener;
                }
                self.saver.mend();
                self.standings.mend(core, self.clock.now());
            }
        }
        self.host.have_keeper_listen();
    }

    /// The service manager waits as long as something goes on: until the next timeout, and a while.
    fn ask_for_time(&self, core: &Core) {
        if !self.stops {
            return;
        }
        let next = core.deadline().map(|mono| self.clock.instant(mono).saturating_duration_since(Instant::now()));
        let micros = (next.unwrap_or_default() + STOP_SLACK).as_micros();
        self.host.tell_manager(&format!("EXTEND_TIMEOUT_USEC={micros}"));
    }

    /// When a command learns that the daemon has ended, the next can be started: everything is released first, and
    /// the last answers go out then.
    pub(super) async fn end(mut self, lock: LockFile) {
        self.server.abort();
        Self::close_door(self.door.take()).await;
        drop(self.from_clients);
        self.host.end();
        self.presence.withdraw();
        let lock = (self.presence.lock(), lock);
        self.journal.flush(self.clock.now());
        self.saver.finish();
        self.standings.end();
        self.rotator.stop();
        if self.host.is_kept() {
            log::line("ended");
        }
        drop(lock);
        drop(self.clients);
        let (own, mut others) = self.alive;
        drop(own);
        let _ = tokio::time::timeout(FAREWELL, others.recv()).await;
    }

    /// After work, once nobody waits for anything.
    fn rest(&mut self) {
        let is_asked = self.clients.len() > self.heeders.len();
        self.worked |= self.journal.flush(self.clock.now()) || is_asked;
        if is_asked {
            self.gives_back_at = None;
            return;
        }
        self.rotator.flush();
        if std::mem::take(&mut self.worked) {
            self.gives_back_at = Some(Instant::now() + QUIET);
        }
    }

    /// What has come already besides what woke the loop; it is cheaper together.
    fn collect(&mut self) {
        while let Ok(event) = self.from_clients.try_recv() {
            self.client_did(event);
        }
        while let Ok(told) = self.saved.try_recv() {
            self.saver_did(told);
        }
        while let Ok(report) = self.from_watcher.try_recv() {
            self.files_did(report);
        }
        while let Ok(report) = self.from_checks.try_recv() {
            self.check_did(report);
        }
        while let Ok(looked) = self.from_codes.try_recv() {
            self.inputs.extend(self.codes.heard(looked));
        }
    }

    /// Until nothing follows from anything any more.
    fn settle(&mut self, core: &mut Core) {
        let mut started = false;
        loop {
            self.hear_host();
            while let Some(input) = self.inputs.pop_front() {
                if self.ending {
                    self.standings.flush(core, self.clock.now());
                    return;
                }
                if matches!(input, Input::Terminate) {
                    self.dump(core);
                }
                let effects = core.handle(input, self.clock.now());
                self.perform_all(effects);
            }
            // Before anybody is started or sent anything: the daemon that follows is to know who has ended and how, who was to
            // end, and who has not been told yet.
            self.standings.flush(core, self.clock.now());
            fault_point();
            if !started && !self.spawns.is_empty() {
                started = true;
                self.spawn(SPAWNS_PER_TURN);
            }
            // What is gone is not waited for by what is to come.
            self.host.bury();
            // Only now, so that all stops of this turn share one look at the processes.
            self.host.flush();
            if !self.asked.is_empty() {
                let launches = std::mem::take(&mut self.asked);
                self.inputs.push_back(Input::Told { launches });
            }
            fault_point();
            self.host.reap_others();
            self.hear_host();
            if self.inputs.is_empty() {
                return;
            }
        }
    }

    fn perform_all(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        fault_point();
        match effect {
            Effect::Spawn(launch) => self.spawns.push_back(launch),
            Effect::Code { launch, of } => self.codes.expect(launch, of),
            Effect::Stop { launch, signal, tree } => {
                self.spawn_before(launch);
                self.asked.push(launch);
                self.host.stop(launch, signal, tree);
            }
            Effect::Signal { launch, signal } => {
                self.spawn_before(launch);
                self.host.signal(launch, signal);
            }
            Effect::Heed { client } => {
                self.heeders.insert(client);
                self.host.heed(true);
                self.answer(client, &Answer::Heeding, false);
            }
            Effect::Said(said) => {
                for client in self.heeders.clone() {
                    self.answer(client, &said, false);
                }
            }
            Effect::Converse { client, talk, with, failed } => self.converse(client, &talk, with, failed),
            Effect::StopByMessage { launch, tree } => {
                self.spawn_before(launch);
                self.asked.push(launch);
                self.host.stop_by_message(launch, tree);
            }
            Effect::Tree { launch, tree } => {
                self.spawn_before(launch);
                self.host.set_tree(launch, tree);
            }
            Effect::Kill { launch, tree } => {
                self.spawn_before(launch);
                self.host.kill(launch, tree);
            }
            Effect::Await { launch, tree } => {
                self.spawn_before(launch);
                self.host.await_end(launch, tree);
            }
            Effect::Standing { id, standing } => self.standings.note(id, standing),
            Effect::Measure { launches } => {
                let measured = self.host.memory(&launches);
                self.inputs.extend(measured.into_iter().map(|(launch, bytes)| Input::Memory { launch, bytes }));
            }
            Effect::Check { launch, check } => self.checks.set(launch, check),
            // A start that is still to come brings its own.
            Effect::Rotation { launch, rotation } => {
                self.spawn_before(launch);
                self.host.set_rotation(launch, &rotation);
                self.rotator.change(launch.0, rotation);
            }
            Effect::Limits { launch, limits } => {
                self.spawn_before(launch);
                self.host.set_limits(launch, &limits);
            }
            Effect::Drain { launch } => {
                self.spawn_before(launch);
                self.host.drain(launch);
            }
            Effect::TakeOver { launch, from } => {
                self.spawn_before(launch);
                self.host.change_places(launch, from);
            }
            Effect::Unlisten { instance } => self.host.unlisten(&instance),
            Effect::Rename { from, to } => self.host.rename(&from, &to),
            Effect::Save { ticket, saves } => self.saver.save(ticket, saves),
            Effect::Errand { client, errand } => self.saver.run(client, errand),
            Effect::Recall { ticket, wanted } => self.saver.recall(ticket, wanted),
            Effect::Answer { client, answer, last } => self.answer(client, &answer, last),
            Effect::Watch(watches) => self.watcher.set(&watches.apps, &watches.own_files),
            Effect::History(entry) => {
                if let Some(foreground) = &mut self.foreground {
                    foreground.note(&entry);
                }
                self.journal.note(*entry);
            }
            Effect::Log(text) => log::line(text),
            Effect::Exit => self.ending = true,
            Effect::Leave => {
                self.leaves = true;
                self.ending = true;
            }
            Effect::Become { program } => {
                self.becomes = Some(program.into());
                self.ending = true;
            }
        }
    }

    fn spawn(&mut self, at_most: usize) {
        for _ in 0..at_most {
            let Some(launch) = self.spawns.pop_front() else { break };
            let launch = &*launch;
            // In the foreground who prints what it writes looks for it.
            let is_awaited = self.foreground.is_some() || self.ready.await_line(launch);
            let input = match self.host.spawn(launch) {
                Ok((pid, error_log_offset)) => {
                    let at = self.clock.now();
                    // This process is woken as soon as the new one has called exec (vfork(2)), and the scheduler would have it
                    // go on first, with what nobody waits for: 0.3 ms on a machine with two cores.
                    if self.spawns.is_empty() {
                        std::thread::yield_now();
                    }
                    // Whoever writes them rotates them.
                    watch_logs(&self.rotator, &self.home, launch, launch.framing.is_some());
                    Input::Spawned { launch: launch.id, pid, error_log_offset, at }
                }
                Err(reason) => {
                    self.ready.forget(launch.id);
                    Input::SpawnFailed { launch: launch.id, reason }
                }
            };
            self.codes.spawned(launch.id, matches!(input, Input::Spawned { .. }));
            self.inputs.push_back(input);
            if !is_awaited {
                self.inputs.push_back(Input::Ready { launch: launch.id });
            }
        }
        self.codes.look();
        if let Some(foreground) = &self.foreground {
            foreground.read(self.host.take_taps());
        }
    }

    /// A stop must not overtake the start that it is about.
    fn spawn_before(&mut self, stopped: LaunchId) {
        if let Some(place) = self.spawns.iter().position(|launch| launch.id == stopped) {
            self.spawn(place + 1);
        }
    }

    fn answer(&mut self, client: ClientId, answer: &Answer, last: bool) {
        let Some(replies) = self.clients.get(&client) else { return };
        if !replies.send(answer, last) {
            self.forget_client(client);
            self.inputs.push_back(Input::ClientGone { client });
        } else if last {
            self.forget_client(client);
        }
    }

    fn converse(&mut self, client: ClientId, talk: &Talk, with: Vec<Partner>, mut failed: Vec<Failure>) {
        let (touched, mut offers) = (with.len(), Vec::new());
        for Partner { instance, launch, list_id } in with {
            self.spawn_before(launch);
            let said = match talk {
                Talk::Feed(text) => self.host.feed(launch, text),
                Talk::Tell(message) => self.host.message(launch, message),
                Talk::Offers => {
                    let InstanceId { app: name, slot } = instance;
                    offers.push(OffersView { id: list_id, name, slot, offers: self.host.offers(launch) });
                    continue;
                }
            };
            if let Err(reason) = said {
                failed.push(Failure { slot: Some(instance.slot), ..Failure::of_app(instance.app, reason) });
            }
        }
        let answer = match talk {
            Talk::Offers => Answer::Offers { offers },
            Talk::Feed(_) | Talk::Tell(_) => Answer::Done { touched, failed },
        };
        self.answer(client, &answer, true);
    }

    fn forget_client(&mut self, client: ClientId) -> bool {
        if self.heeders.remove(&client) {
            self.host.heed(!self.heeders.is_empty());
        }
        self.clients.remove(&client).is_some()
    }

    fn client_did(&mut self, event: FromClient) {
        match event {
            FromClient::Call { client, call, replies } => {
                let client = ClientId(client.0);
                if self.foreground.is_some()
                    && let Some(refusal) = foreground::refusal(&call.request)
                {
                    let _ = replies.send(&refusal, true);
                    return;
                }
                self.worked = true;
                self.clients.insert(client, replies);
                self.look_for_strangers();
                if matches!(call.request, Request::Upgrade { .. }) {
                    // What is still to be done is not left to the time when nobody answers.
                    self.sweeps_at = None;
                    self.host.end_leftovers();
                    self.saver.prepare(client, call);
                } else {
                    self.inputs.push_back(Input::Call { client, call: *call });
                }
            }
            FromClient::Cancel { client } => self.inputs.push_back(Input::Cancel { client: ClientId(client.0) }),
            FromClient::Gone { client } => {
                let client = ClientId(client.0);
                if self.forget_client(client) {
                    self.inputs.push_back(Input::ClientGone { client });
                }
            }
        }
    }

    fn saver_did(&mut self, told: Told) {
        match told {
            Told::Answer { client, answer } => self.answer(client, &answer, true),
            Told::Ready { client, call, result: Ok(()) } => self.inputs.push_back(Input::Call { client, call: *call }),
            Told::Ready { client, result: Err(answer), .. } => self.answer(client, &answer, true),
            Told::Read { ticket, result } => self.inputs.push_back(Input::Recalled { ticket, result }),
            Told::Written { ticket, result, saves } => {
                self.standings.saved(saves);
                if let Err(problem) = &result {
                    log::line(problem);
                }
                self.inputs.push_back(Input::Saved { ticket, result });
            }
        }
    }

    /// Those that have ended since are no strangers any more. Looked at when somebody asks: nothing depends on it before.
    fn look_for_strangers(&mut self) {
        let known = self.strangers.len();
        self.strangers.retain(|stranger| is_same(stranger.pid, stranger.start));
        if self.strangers.len() < known {
            self.inputs.push_back(Input::Strangers { left: self.strangers.clone() });
        }
    }

    fn files_did(&mut self, report: Report) {
        self.inputs.push_back(match report {
            Report::Changed { app, paths, count, more } => Input::FilesChanged { app, paths, count, more },
            Report::Trouble { app, trouble } => Input::WatchTrouble { app, trouble },
        });
    }

    fn check_did(&mut self, report: health::Report) {
        if let Some((launch, result)) = self.checks.heard(report, &mut self.host) {
            self.inputs.push_back(Input::Probed { launch, result });
        }
    }

    fn take_signals(&mut self) {
        let Some(foreground) = &mut self.foreground else {
            let pending = self.signals.take();
            return self.signalled(pending);
        };
        let pending = self.signals.take_wish();
        if pending.terminate {
            foreground.asked_to_end();
        }
        if pending.child {
            self.host.reap();
        }
    }

    fn signalled(&mut self, pending: Pending) {
        if pending.child {
            self.host.reap();
        }
        if pending.terminate {
            log::line("asked to end by a signal");
            self.host.take_leave();
            self.stops = true;
            self.inputs.push_back(Input::Terminate);
        }
    }

    /// As PM2 does before it ends by a signal: what ran is what the next one is to bring back.
    fn dump(&self, core: &Core) {
        if self.foreground.is_some() || names(&self.home) != Names::Pm2 {
            return;
        }
        let (apps, ambients) = core.apps(self.clock.now());
        let path = dump_path(&self.home);
        let layout = Layout { home: self.home.to_string_lossy().into_owned(), names: Names::Pm2 };
        let owner = user_name(user_id()).unwrap_or_default();
        let around = Around { layout: &layout, ambients: &ambients, owner: &owner, numbers: account_numbers };
        if !apps.is_empty()
            && let Err(error) = write_dump(&path, &pm2_dump(&apps, around))
        {
            log::line(format_args!("failed to write `{}`: {error}", path.display()));
        }
    }

    fn is_ready(&mut self, launch: LaunchId) {
        self.ready.forget(launch);
        self.inputs.push_back(Input::Ready { launch });
    }

    fn hear_host(&mut self) {
        for event in self.host.take_events() {
            let Some(event) = self.checks.host_did(event, &mut self.host) else { continue };
            let input = match event {
                Event::Exited { launch, status, left } => {
                    self.rotator.forget(launch.0);
                    self.ready.forget(launch);
                    Input::Exited { launch, status, left }
                }
                Event::TreeGone { launch } => Input::TreeGone { launch },
                Event::Ready { launch } => Input::Ready { launch },
                Event::Listening { launch } => Input::Listening { launch },
                Event::Drained { launch } => Input::Drained { launch },
                // Only checks ask for it.
                Event::Reached { .. } => continue,
                Event::Limits { launch, note } => {
                    if let (Some(foreground), Some(note)) = (&mut self.foreground, &note) {
                        foreground.limits(note);
                    }
                    Input::Limits { launch, note }
                }
                Event::Said { launch, message } => Input::Said { launch, message },
                Event::Notice(text) => {
                    log::line(text);
                    continue;
                }
            };
            self.inputs.push_back(input);
        }
    }
}

/// Comes when nobody reads any more what is printed.
async fn unread(foreground: &mut Option<Foreground>) {
    match foreground {
        Some(foreground) => foreground.unread().await,
        None => std::future::pending().await,
    }
}

/// Files in a folder of another user are left alone: whoever may put links there would have root follow them.
/// What passes through pmrun is rotated there.
pub(super) fn watch_logs(rotator: &Rotator, home: &Path, launch: &Launch, passes: bool) {
    if passes {
        return;
    }
    let is_own = launch.user.is_none() && launch.group.is_none();
    let files = launch.log_files().into_iter().map(PathBuf::from);
    let (files, left): (Vec<_>, Vec<_>) = files.partition(|file| is_own || file.starts_with(home));
    if let Some(file) = left.first().filter(|_| launch.rotation.max_size > 0) {
        let (instance, file) = (&launch.instance, file.display());
        log::line(format_args!("`{instance}` runs as another user: `{file}` is not rotated outside of PMRUN_HOME"));
    }
    rotator.look(launch.id.0, files, launch.rotation.clone());
}
