//! The same loop for `pmrun run`: in the process that was started, without a keeper and with nothing on disk that another
//! would go on from. What apps write is printed, and when they are through it ends.

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::serve::Daemon;
use super::standings::Standings;
use super::{cannot, log, log_budget, program};
use crate::logs::console::{Console, Heard, Press, STREAMS};
use crate::logs::rotate::Rotator;
use crate::platform::{Host, LockFile, Signals, Tap, become_foreground, time_zone, user_id};
use crate::rpc::wire::{Answer, Request};
use crate::runtime::history::Entry;
use crate::runtime::verdict::{Failure, Verdict};
use crate::runtime::{Core, Input, Past, State};
use crate::supervisor::{LaunchId, Layout, Names};

/// How long whoever reads may take for the last lines, when it is to end.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What pmrun itself has to say.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    Event(&'a Entry),
    Note(&'a str),
    /// Whose exit code is the run's.
    Failed(&'a Failure),
}

/// As lines for stderr; nothing, where it is not worth one.
pub type Words = Arc<dyn Fn(Said<'_>) -> Option<String> + Send + Sync>;

/// What is to be run, and how.
pub struct Task<'a> {
    /// Where sockets and pid files are.
    pub home: &'a Path,
    /// Nobody else has ever been there.
    pub is_private: bool,
    /// `daemon.lock` of that home.
    pub lock: LockFile,
    pub state: State,
    /// Where they are held back already.
    pub signals: Option<Signals>,
    pub press: Arc<dyn Press>,
    pub words: Words,
    pub exit_on_failure: bool,
    /// Of everything together, once it is asked to end.
    pub grace: Option<Duration>,
}

impl fmt::Debug for Task<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("home", &self.home).field("state", &self.state).finish_non_exhaustive()
    }
}

/// Runs it until nothing is left that runs, or will by itself.
///
/// To be called by the only thread there is.
///
/// # Errors
/// What kept it from being run.
pub fn in_foreground(task: Task<'_>) -> Result<Verdict, String> {
    let Task { home, is_private, lock, state, signals, press, words, exit_on_failure, grace } = task;
    let layout =
        Layout { home: home.to_str().ok_or("its folder's name is not valid UTF-8")?.to_owned(), names: Names::Own };
    let signals = signals.map_or_else(Signals::block_all, Ok).map_err(cannot("watch signals"))?;
    let setup = become_foreground().map_err(cannot("adopt orphans"))?;
    let (to_loop, heard) = unbounded_channel();
    let told = move |what| _ = to_loop.send(what);
    let console = Console::start(press, told).map_err(cannot("print what apps write"))?;
    let (own, to) = (Arc::clone(&words), console.clone());
    log::into(Box::new(move |text| say(&to, own(Said::Note(text)))));
    let mut host = Host::new(home, setup).map_err(cannot("watch processes"))?;
    host.tap();
    if !is_private {
        // One that was killed has left them: a second copy is not to be put beside.
        host.end_all();
    }
    let rotator = Rotator::start(home.join("logs"), log_budget()?, log::line).map_err(cannot("start a thread"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(cannot("start the event loop"))?.block_on(async {
        let kept = (None, &state);
        let mut daemon = Daemon::new(home, host, rotator, signals, kept, Standings::nowhere(), None)
            .map_err(cannot("listen to commands"))?;
        daemon.be_in_foreground(Foreground::new(console, heard, words, exit_on_failure, grace));
        // As if it went on after another: everything is started at once, and in order.
        let past = Past { follows: true, ..Past::default() };
        let (mut core, effects) = Core::restore(state, past, layout, time_zone, daemon.now());
        core.set_process(user_id(), std::process::id(), program());
        daemon.run(core, effects, false).await.map_err(cannot("wait for events"))?;
        let verdict = daemon.last_lines().await.unwrap_or_default();
        daemon.end(lock).await;
        Ok(verdict)
    })
}

/// Why what it asks for cannot be had here, where it cannot.
pub(super) fn refusal(request: &Request) -> Option<Answer> {
    let (message, hint) = match request {
        Request::Upgrade { .. } | Request::Leave => {
            ("`pmrun run` runs here, and no daemon", "its apps end with it: stop it, and start it anew")
        }
        // What it runs is not as the file has it: without logs. Every app would be another one.
        Request::Plan { .. }
        | Request::Apply(_)
        | Request::StartScript { .. }
        | Request::Alter(_)
        | Request::Scale { .. }
        | Request::Delete { .. }
        | Request::Restore { .. } => (
            "`pmrun run` runs here, and runs what its file said when it began",
            "`start`, `stop` and `restart` reach its apps; for another file, stop it and start it anew",
        ),
        _ => return None,
    };
    Some(Answer::Error { message: message.to_owned(), hint: Some(hint.to_owned()) })
}

fn say(console: &Console, line: Option<String>) {
    if let Some(mut line) = line {
        line.push('\n');
        console.say(line.into_bytes());
    }
}

/// What is known of the run besides its apps.
pub(super) struct Foreground {
    console: Console,
    heard: UnboundedReceiver<Heard>,
    words: Words,
    verdict: Verdict,
    exit_on_failure: bool,
    grace: Option<Duration>,
    /// How often somebody has asked for its end.
    wishes: u32,
    /// Since when everything is being stopped because somebody wants that.
    since: Option<Instant>,
    unread: bool,
    ready: Vec<LaunchId>,
    failed: bool,
    unlimited: BTreeSet<String>,
    /// What the core was told.
    stopping: bool,
    killing: bool,
}

impl fmt::Debug for Foreground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreground").field("verdict", &self.verdict).finish_non_exhaustive()
    }
}

impl Foreground {
    fn new(
        console: Console,
        heard: UnboundedReceiver<Heard>,
        words: Words,
        exit_on_failure: bool,
        grace: Option<Duration>,
    ) -> Self {
        Self {
            console,
            heard,
            words,
            verdict: Verdict::default(),
            exit_on_failure,
            grace,
            wishes: 0,
            since: None,
            unread: false,
            ready: Vec::new(),
            failed: false,
            unlimited: BTreeSet::new(),
            stopping: false,
            killing: false,
        }
    }

    pub(super) fn read(&self, taps: Vec<Tap>) {
        for tap in taps {
            self.console.read(tap);
        }
    }

    pub(super) fn note(&mut self, entry: &Entry) {
        say(&self.console, (self.words)(Said::Event(entry)));
        self.failed |= self.verdict.note(entry);
    }

    /// What of an app's `limits` is not in force: said once, and nothing fails for it.
    pub(super) fn limits(&mut self, note: &str) {
        if self.unlimited.insert(note.to_owned()) {
            say(&self.console, (self.words)(Said::Note(&format!("limits: {note}"))));
        }
    }

    /// By a signal. What it had begun goes on in good order; the next kills it.
    pub(super) fn asked_to_end(&mut self) {
        self.wishes += 1;
        let note = match self.wishes {
            1 => "stopping everything; a second signal kills it",
            2 => "killing what is left",
            _ => return,
        };
        say(&self.console, (self.words)(Said::Note(note)));
    }

    /// When the time is over that everything has to end.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.zip(self.grace).map(|(since, grace)| since + grace).filter(|_| !self.killing)
    }

    /// What the core is to do next because of what is known here.
    pub(super) fn wants(&mut self, is_finished: bool) -> Option<Input> {
        let fails = self.exit_on_failure && self.failed;
        if !self.stopping && (self.wishes > 0 || self.unread || fails || is_finished) {
            self.stopping = true;
            if !is_finished {
                self.since = Some(Instant::now());
                self.verdict.stops();
            }
            if fails && self.wishes == 0 {
                say(&self.console, (self.words)(Said::Note("stopping everything (--exit-on-failure)")));
            }
            return Some(Input::Terminate);
        }
        let is_late = self.deadline().is_some_and(|deadline| deadline <= Instant::now());
        if !self.killing && (self.wishes > 1 || is_late) {
            self.killing = true;
            if is_late {
                say(&self.console, (self.words)(Said::Note("killing what is left: its time is over (--grace)")));
            }
            self.verdict.kills();
            return Some(Input::Kill);
        }
        None
    }

    /// Those that have said that they are up, since it was asked last.
    pub(super) fn take_ready(&mut self) -> Vec<LaunchId> {
        std::mem::take(&mut self.ready)
    }

    /// Comes when nobody reads any more what is printed, which it does once, or an app has said that it is up.
    pub(super) async fn unread(&mut self) {
        while !self.unread {
            match self.heard.recv().await {
                Some(Heard::Written) => {}
                Some(Heard::Ready(launch)) => {
                    self.ready.push(LaunchId(launch));
                    return;
                }
                Some(Heard::Unread) | None => {
                    self.unread = true;
                    return;
                }
            }
        }
        std::future::pending::<()>().await;
    }

    pub(super) async fn last_lines(mut self, signals: &mut Signals, ready: &mut AsyncFd<OwnedFd>) -> Verdict {
        if let Some(failure) = self.verdict.failure() {
            say(&self.console, (self.words)(Said::Failed(failure)));
        }
        self.console.end();
        // Whoever wants it to end does not want to wait for who does not read. Else it is as with every program.
        let limit = self.since.map(|_| tokio::time::Instant::now() + LAST_LINES);
        let mut written = 0;
        loop {
            let late = async {
                match limit {
                    Some(limit) => tokio::time::sleep_until(limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = self.heard.recv() => match heard {
                    Some(Heard::Unread | Heard::Ready(_)) => {}
                    Some(Heard::Written) if written + 1 < STREAMS => written += 1,
                    Some(Heard::Written) | None => return self.verdict,
                },
                guard = ready.readable() => {
                    if let Ok(mut guard) = guard {
                        guard.clear_ready();
                    }
                    if signals.take_wish().terminate {
                        return self.verdict;
                    }
                }
                () = late => return self.verdict,
            }
        }
    }
}
