//! Assembly: lock, socket, restore, serve. [`in_foreground`] is the same for `pmrun run`, without what outlives it.
//!
//! Files in `PMRUN_HOME`, and who keeps them:
//!
//! | name | what |
//! | --- | --- |
//! | `daemon.lock` | locked as long as a daemon lives; readers of `state` share it |
//! | `start.lock` | whose turn it is to start a daemon |
//! | `pmrun.sock` | the control socket, while a daemon serves |
//! | `rpc.sock`, `pub.sock` | where PM2's library connects: [`door`] |
//! | `pmrun.pid` | the daemon's pid, while it serves |
//! | `pmrun.log` | the daemon's own few lines |
//! | `state`, `state.backup`, `.1` | what should run, and copies of it: [`crate::runtime::store`] |
//! | `state.damaged-TIME` | one that could not be read: [`rebuild`] |
//! | `saved` | what should run when `pmrun save` was said last |
//! | `events.jsonl`, `.1` | what happened: [`crate::runtime::history`] |
//! | `standings` | where each instance stands, for the daemon that follows one that was killed |
//! | `notify/` | a socket for each app that says `READY=1` |
//! | `rotate.lock` | which logs are being rotated just now |
//! | `keeper.sock` | where the keeper hears commands that find no daemon |
//! | `successor.sock` | where a daemon that takes over waits for what the one before has open for apps |
//! | `logs-1.sock` | where the log process is found: [`crate::logs::pump`] |
//! | `logs/`, `pids/` | of the apps |

mod checks;
mod codes;
mod copies;
mod door;
mod dump;
mod foreground;
mod journal;
mod log;
mod presence;
mod ready;
pub mod rebuild;
mod saver;
mod serve;
mod service;
mod standings;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::base::{ExitStatus, InstanceId, Now, first, parse_bytes, second};
use crate::logs::rotate::{BUDGET_DEFAULT, Rotator};
use crate::plan::{Generation, Outcome};
use crate::platform::{
    Adopted, Begun, Follows, Host, KeeperLink, Left, LockFile, LockKind, Part, ProcessSetup, Resumed, Signals,
    become_daemon, become_follower, boot_id, default_home, divide, ended_child, ended_unseen, ensure_home, is_alive,
    is_same, limit_files, living_children, names, one_arena, pid_in, reason, time_zone, user_id,
};
use crate::rpc::client::{Connection, DAEMON_LOCK, HELD, HINT, SERVING, START_LOCK, STATE};
use crate::runtime::history::{Entry, What};
use crate::runtime::store::{Store, StoreError};
use crate::runtime::{self, Core, Effect, Intent, Past, Save, Standing, State, Survivor, open_jobs, possible_launches};
use crate::supervisor::{Launch, LaunchId, Layout};
pub use dump::{dump_path, write_dump};
pub use foreground::{Said, Task, Words, in_foreground};
use rebuild::{RebuildError, Rebuilt};
use serve::{Daemon, watch_logs};
pub use service::{make_room, service};
use standings::{Known, Standings};

/// How long the keeper may take to say what it knows.
const KEEPER_PATIENCE: Duration = Duration::from_millis(500);
/// How long another daemon may take to end, or a reader to read.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Before it is looked whether that other one serves.
const LOCK_PATIENCE_FIRST: Duration = Duration::from_millis(200);

/// Runs the daemon of `PMRUN_HOME` until it is told to end.
///
/// Whoever starts it learns from its standard output how that went: one line, [`SERVING`] or what is wrong, and then
/// its end. Must be called before the process has opened files or started threads.
#[must_use]
pub fn main() -> ExitCode {
    run(divide)
}

/// Keeps a daemon that has lost its keeper, and is the next daemon, should it be killed.
#[must_use]
pub fn keep(daemon: u32, soft_file_limit: Option<u64>) -> ExitCode {
    if let Some(limit) = soft_file_limit {
        limit_files(limit);
    }
    run(|home| crate::platform::keep(home, daemon))
}

/// Goes on as the daemon that was in this process before, in another program.
#[must_use]
pub fn resume(fd: i32) -> ExitCode {
    let resumed = default_home(|name| std::env::var_os(name)).and_then(|home| {
        let Resumed { setup, link, listener, lock } =
            crate::platform::resume(fd).map_err(cannot("go on where the program before was"))?;
        start(&home, setup, link, Some((listener, LockFile::of(lock))))
    });
    resumed.map_or_else(
        |problem| {
            log::line(without_mark(&problem));
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// The same of its keeper.
#[must_use]
pub fn keep_on(fd: i32) -> ExitCode {
    let kept = default_home(|name| std::env::var_os(name)).and_then(|home| {
        match crate::platform::keep_on(&home, fd).map_err(cannot("go on as the keeper"))? {
            Part::Keeper(code) => Ok(code),
            Part::Daemon(link) => start(&home, become_follower(), link, None).map(|()| ExitCode::SUCCESS),
        }
    });
    kept.unwrap_or_else(|problem| {
        log::line(without_mark(&problem));
        ExitCode::FAILURE
    })
}

fn run(divide: impl FnOnce(&Path) -> std::io::Result<Part>) -> ExitCode {
    let divided = || {
        let home = default_home(|name| std::env::var_os(name))?;
        let setup = become_daemon().map_err(cannot("leave the terminal"))?;
        Ok(match divide(&home).map_err(cannot("start its keeper"))? {
            Part::Keeper(code) => Ok(code),
            Part::Daemon(link) => Err((home, setup, link)),
        })
    };
    let ended = divided().and_then(|part| match part {
        Ok(code) => Ok(code),
        Err((home, setup, link)) => start(&home, setup, link, None).map(|()| ExitCode::SUCCESS),
    });
    finish(ended)
}

/// What kept it from serving is told to whoever has started it.
fn finish(ended: Result<ExitCode, String>) -> ExitCode {
    ended.unwrap_or_else(|problem| {
        log::line(without_mark(&problem));
        say(&problem);
        ExitCode::FAILURE
    })
}

/// As people read it.
fn without_mark(problem: &str) -> &str {
    [STATE, HELD].iter().find_map(|mark| problem.strip_prefix(mark)).unwrap_or(problem)
}

fn cannot(what: &'static str) -> impl Fn(std::io::Error) -> String {
    move |error| format!("cannot {what}: {}", reason(&error))
}

fn start(
    home: &Path,
    setup: ProcessSetup,
    mut link: KeeperLink,
    taken: Option<(OwnedFd, LockFile)>,
) -> Result<(), String> {
    let layout = Layout { home: home.to_str().ok_or("PMRUN_HOME is not valid UTF-8")?.to_owned(), names: names(home) };
    ensure_home(home).map_err(cannot("make PMRUN_HOME"))?;
    // Whoever opens a pipe waits for its other end.
    let is_pipe = |path: &PathBuf| path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
    let ours = ["standings", "events.jsonl"].map(|name| home.join(name));
    if let Some(path) = ours.into_iter().find(is_pipe) {
        return Err(format!("`{}` is a pipe: move it away", path.display()));
    }
    one_arena();
    // Before there are threads: they inherit what is blocked.
    let signals = Signals::block().map_err(cannot("watch signals"))?;
    // Nobody starts one meanwhile, who knows less.
    let turn = link
        .follows
        .is_some()
        .then(|| LockFile::acquire(&home.join(START_LOCK), LockKind::Exclusive, LOCK_PATIENCE).ok().flatten());
    let (listener, lock) = if let Some((listener, lock)) = taken {
        (Some(listener), lock)
    } else {
        let lock = lock(home).map_err(cannot("lock `daemon.lock`"))?;
        (None, lock.ok_or("another daemon, or a command that reads its state, holds `daemon.lock`")?)
    };
    let boot = boot_id();
    let known = standings::known(home, &boot);
    if let Some(unusable) = &known.unusable {
        log::line(unusable);
    }
    let Opened { mut store, mut state, unfinished, rebuilt } = open_store(home, &known)?;
    // Who follows has what is running to look after first: the disk is waited for beside that.
    if link.follows.is_none() {
        store.wake().map_err(|error| with_hint(&error))?;
    }
    // Not before: a daemon that has lost its lock would go on writing to a file that nobody reads.
    let goes_on = matches!(link.follows, Some(Follows::Version(_)));
    let mut standings = Standings::open(home, boot, &known, goes_on);
    let begun = known.begun();
    let interrupted = close_generations(&mut store, unfinished);
    state.strangers.retain(|stranger| is_same(stranger.pid, stranger.start));
    let (until, follows) = (known.until, link.follows.is_some());
    let mut past = Past { standings: known.standings, follows, until, ..Past::default() };
    let mut asked_after = BTreeSet::new();
    let begun_runs = begun_runs(&state, &layout, &past);
    learn(&mut link, &state, &mut past, &begun_runs, &mut asked_after);
    let jobs = unseen_jobs(&state, &layout, &past, &begun);
    if !jobs.is_empty() {
        // They may have ended since.
        learn(&mut link, &state, &mut past, &begun_runs, &mut asked_after);
    }
    let closed = close_jobs(&mut store, &mut state, jobs, &past);
    standings.saved(store.saves());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(cannot("start the event loop"))?;
    let mut host = Host::new(home, setup).map_err(cannot("watch processes"))?;
    let rotator = Rotator::start(home.join("logs"), log_budget()?, log::line);
    let rotator = rotator.map_err(cannot("start a thread"))?;
    standings.mark_with(host.nonce());
    host.take_held(&mut link);
    host.expect(begun);
    host.spare(state.strangers.iter().map(|stranger| stranger.mark.clone()));
    let leaving = leaving(&state, &past.standings, &layout);
    let stood = |number: &u32| past.standings.get(number);
    past.leaving = leaving.iter().filter_map(|(number, launch)| stood(number)?.leaving(*number, *launch)).collect();
    past.survivors = adopt(&mut host, &rotator, home, (&state, &past.standings), &layout, &leaving);
    let named = past.leaving.drain(..).map(|leaving| leaving.named(|number| host.who_leaves(number)));
    past.leaving = named.collect();
    // Some may have ended just now.
    learn(&mut link, &state, &mut past, &begun_runs, &mut asked_after);
    let follows = link.follows.clone();
    host.be_kept(link).map_err(cannot("listen to its keeper"))?;
    let (known, unseen): (Vec<_>, Vec<_>) =
        host.take_unseen().into_iter().partition(|(id, _)| standing(&state, &past, id).is_some());
    past.ended.extend(known);
    runtime.block_on(async {
        let mut daemon = Daemon::new(home, host, rotator, signals, (Some(store), &state), standings, listener)
            .map_err(cannot("serve"))?;
        match &follows {
            Some(Follows::Ended(status)) => {
                log::line(format_args!("the daemon before was gone without a word: {}", of_daemon(*status)));
            }
            Some(Follows::Version(before)) => log::line(format_args!("goes on in place of pmrun {before}")),
            Some(Follows::Asked { left: true }) => log::line("goes on where the daemon before has left off"),
            Some(Follows::Asked { left: false }) | None => {}
        }
        log::line(format_args!("pmrun {} serves as process {}", env!("CARGO_PKG_VERSION"), std::process::id()));
        if follows.is_none() {
            let notes = rebuilt.iter().flat_map(Rebuilt::lines);
            say(&std::iter::once(SERVING.to_owned()).chain(notes).collect::<Vec<_>>().join("\n"));
        }
        daemon.serves();
        daemon.open_door();
        if goes_on {
            daemon.have_keeper_follow();
        }
        drop(turn);
        let now = daemon.now();
        let (mut core, next) = Core::restore(state, past, layout, time_zone, now);
        // Told before what follows from it.
        let told = unseen.iter().flat_map(|(id, status)| told(id, *status, now)).chain(tell_closed(&closed, now));
        let told = interrupted.iter().flat_map(|generation| tell_interrupted(generation, now)).chain(told);
        let told = rebuilt.iter().flat_map(|rebuilt| tell_rebuilt(rebuilt, now)).chain(told);
        let effects = told.chain(next).collect();
        core.set_process(user_id(), std::process::id(), program());
        daemon.run(core, effects, goes_on).await.map_err(cannot("wait for events"))?;
        if let Some(program) = daemon.becomes() {
            let error = daemon.become_program(&program, lock).await;
            return Err(format!("cannot become `{}`: {}", program.display(), reason(&error)));
        }
        if daemon.leaves() {
            daemon.leave(lock).await;
        } else {
            daemon.end(lock).await;
        }
        Ok(())
    })
}

/// None where another has it, and keeps it.
fn lock(home: &Path) -> std::io::Result<Option<LockFile>> {
    let path = home.join(DAEMON_LOCK);
    let lock = LockFile::acquire(&path, LockKind::Exclusive, LOCK_PATIENCE_FIRST)?;
    // One that serves is not about to end.
    if lock.is_some() || Connection::open(home).is_ok() {
        return Ok(lock);
    }
    LockFile::acquire(&path, LockKind::Exclusive, LOCK_PATIENCE)
}

/// What this process runs, where the system says.
fn program() -> Option<String> {
    std::env::current_exe().ok()?.into_os_string().into_string().ok()
}

/// Where the last daemon of a home said that everybody stands, by their numbers, as far as it holds since the machine was started.
#[must_use]
pub fn stood(home: &Path) -> BTreeMap<u32, Standing> {
    standings::known(home, &boot_id()).standings
}

/// How the last daemon ended, in words.
fn of_daemon(status: ExitStatus) -> String {
    match status {
        ExitStatus::Unknown => "nobody knows how it ended".to_owned(),
        status => status.to_string(),
    }
}

fn standing<'a>(state: &State, past: &'a Past, id: &InstanceId) -> Option<&'a Standing> {
    past.standings.get(&state.apps.get(&id.app)?.instances.get(&id.slot)?.id)
}

/// Which processes scheduled jobs have got that were just being started: where one is not there any more it has run.
fn begun_runs(state: &State, layout: &Layout, past: &Past) -> BTreeMap<InstanceId, u32> {
    // Mostly there is none, and commands wait.
    if !past.standings.values().any(|standing| standing.begins().is_some()) {
        return BTreeMap::new();
    }
    let is_scheduled = |id: &InstanceId| state.apps.get(&id.app).is_some_and(|app| app.spec.schedule.is_some());
    let launches = possible_launches(state, layout).into_iter().filter(|(id, _)| is_scheduled(id));
    let begun = launches.filter_map(|(id, launch)| {
        let standing = standing(state, past, &id).filter(|standing| standing.begins().is_some())?;
        let pid = pid_in(Path::new(&launch.pid_file)).filter(|pid| Some(*pid) != standing.pid_before())?;
        Some((id, pid))
    });
    begun.collect()
}

/// Asks the keeper how those ended that are not there any more. What it did not know of those that were `asked_after` before it
/// is not given time for again.
fn learn(
    link: &mut KeeperLink,
    state: &State,
    past: &mut Past,
    begun_runs: &BTreeMap<InstanceId, u32>,
    asked_after: &mut BTreeSet<u32>,
) {
    // They are this process's own children still.
    let is_same = matches!(link.follows, Some(Follows::Version(_)));
    let living = if is_same { living_children() } else { BTreeSet::new() };
    let is_alive = |pid: u32| living.contains(&pid) || is_alive(pid);
    let mut gone = Vec::new();
    for (name, app) in &state.apps {
        for slot in app.instances.keys() {
            let id = InstanceId::new(name, *slot);
            let pid = standing(state, past, &id).and_then(Standing::unended_pid);
            let pid = pid.or_else(|| begun_runs.get(&id).copied());
            gone.extend(pid.filter(|pid| !past.ended.contains_key(&id) && !is_alive(*pid)).map(|pid| (pid, id)));
        }
    }
    if is_same {
        link.ended.extend(gone.iter().filter_map(|(pid, _)| Some((*pid, ended_child(*pid)?))));
    }
    // Another keeper knows of none of them.
    if is_same || matches!(link.follows, Some(Follows::Ended(_))) {
        let (known, new): (Vec<u32>, Vec<u32>) =
            gone.iter().map(|(pid, _)| *pid).partition(|pid| asked_after.contains(pid));
        link.learn(&new, KEEPER_PATIENCE);
        link.learn(&known, Duration::ZERO);
        asked_after.extend(new);
    }
    for (pid, id) in gone {
        let known = link.ended.iter().find(|(ended, _)| *ended == pid).map(|(_, status)| *status);
        // A run is a run, however it ended.
        let status = known.or_else(|| begun_runs.contains_key(&id).then_some(ExitStatus::Unknown));
        past.ended.extend(status.map(|status| (id, status)));
    }
}

/// Jobs that ran when the last daemon died and do not any more, and nobody knows so far how they ended; with their pid files.
fn unseen_jobs(state: &State, layout: &Layout, past: &Past, begun: &Begun) -> BTreeMap<InstanceId, String> {
    // Where it stood says more than a pid file does.
    let is_open = |id: &InstanceId, launch: &Launch| {
        standing(state, past, id).is_none_or(|standing| standing.may_have_ended(pid_in(Path::new(&launch.pid_file))))
    };
    let unknown = open_jobs(state, layout).into_iter();
    let unknown = unknown.filter(|(id, launch)| is_open(id, launch) && !past.ended.contains_key(id));
    let (instances, launches): (Vec<InstanceId>, Vec<Launch>) = unknown.unzip();
    let found = ended_unseen(&launches, &layout.home, begun);
    let all = instances.into_iter().zip(launches).filter(|(_, launch)| found.contains(&launch.id));
    all.map(|(instance, launch)| (instance, launch.pid_file)).collect()
}

/// A job that ran when the last daemon died and has ended since is done, whatever its status was. After the machine was
/// started anew it is run: it was cut off.
fn close_jobs(
    store: &mut Store,
    state: &mut State,
    unseen: BTreeMap<InstanceId, String>,
    past: &Past,
) -> BTreeSet<InstanceId> {
    let unseen = unseen.into_iter().filter(|(id, _)| !past.ended.contains_key(id));
    let (mut ended, pid_files): (BTreeSet<InstanceId>, Vec<String>) = unseen.unzip();
    let boot = boot_id();
    let mut saves = Vec::new();
    if state.boot == boot {
        saves = runtime::close_jobs(state, &ended);
    } else {
        ended.clear();
        // Gone before the start is recorded, or the next daemon would take them for files of this one.
        remove(&pid_files);
        saves.push(Save::Boot(boot));
    }
    match if saves.is_empty() { Ok(()) } else { store.save(&saves) } {
        Ok(()) => remove(&pid_files),
        Err(error) => log::line(without_mark(&with_hint(&error))),
    }
    ended
}

/// Commands that were at work when the last daemon was killed. Nobody goes on with them, and nothing goes back by itself: the
/// last of them may have been told that all is done, and only that was not recorded yet.
fn close_generations(store: &mut Store, unfinished: Vec<Generation>) -> Vec<Generation> {
    let ended = |generation: &Generation| Save::Ended { number: generation.number, outcome: Outcome::Interrupted };
    let saves: Vec<Save> = unfinished.iter().map(ended).collect();
    match if saves.is_empty() { Ok(()) } else { store.save(&saves) } {
        Ok(()) => unfinished,
        Err(error) => {
            log::line(without_mark(&with_hint(&error)));
            Vec::new()
        }
    }
}

/// What is recorded, taken up.
struct Opened {
    store: Store,
    state: State,
    unfinished: Vec<Generation>,
    /// It was damaged.
    rebuilt: Option<Rebuilt>,
}

impl Opened {
    fn of(home: &Path, rebuilt: Option<Rebuilt>) -> Result<Self, StoreError> {
        let (store, state, unfinished) = Store::take_up(home)?;
        Ok(Self { store, state, unfinished, rebuilt })
    }
}

/// A damaged one is built anew first: what runs is not to be harmed by it, and what should run is to be known.
fn open_store(home: &Path, known: &Known) -> Result<Opened, String> {
    let missing = rebuild::missing(home).map_err(|error| error.to_string())?;
    let (reason, older) = match missing {
        Some(reason) => (reason, None),
        None => match Opened::of(home, None) {
            // Somebody has put an older one in its place.
            Ok(opened) if known.saves.is_some_and(|last| opened.state.saves < last) => {
                ("it is older than what was saved last".to_owned(), Some(opened.state))
            }
            Ok(opened) => return Ok(opened),
            Err(StoreError::Damaged { reason, .. }) => (reason, None),
            Err(error) => return Err(with_hint(&error)),
        },
    };
    let rebuilt = rebuild::build(home, &reason, known, older, false).map_err(|error| match error {
        RebuildError::Store(error) => with_hint(&error),
        error => format!(
            "{STATE}{error}{HINT}nothing that runs was touched; `pmrun state repair` begins anew all the same, and leaves alone \
             what runs"
        ),
    })?;
    Opened::of(home, Some(rebuilt)).map_err(|error| with_hint(&error))
}

fn tell_rebuilt(rebuilt: &Rebuilt, now: Now) -> Vec<Effect> {
    let Rebuilt { reason, aside, apps, strangers, .. } = rebuilt;
    let what = What::StateRebuilt {
        reason: reason.clone(),
        aside: aside.as_ref().map(|aside| aside.display().to_string()),
        apps: *apps,
        strangers: strangers.iter().map(|stranger| format!("{} (pid {})", stranger.instance, stranger.pid)).collect(),
    };
    let entry = Effect::History(Box::new(Entry::of_daemon(what, now)));
    rebuilt.lines().into_iter().map(Effect::Log).chain([entry]).collect()
}

fn tell_interrupted(generation: &Generation, now: Now) -> [Effect; 2] {
    let Generation { number, command, auto_rollback, .. } = generation;
    let what = What::Interrupted { generation: *number, command: command.clone(), auto_rollback: *auto_rollback };
    [Effect::Log(what.to_string()), Effect::History(Box::new(Entry::of_daemon(what, now)))]
}

/// The time, as a part of a file's name.
pub(super) fn utc_name() -> String {
    jiff::Timestamp::now().strftime(rebuild::SET_ASIDE_TIME).to_string()
}

fn remove(files: &[String]) {
    for file in files {
        let _ = std::fs::remove_file(file);
    }
}

fn tell_closed(ended: &BTreeSet<InstanceId>, now: Now) -> Vec<Effect> {
    let status = ExitStatus::Unknown;
    let tell = |id: &InstanceId| {
        let entry = Entry::of_instance(id, What::Completed { status }, now);
        let text = format!("`{id}` ended while no daemon watched it; it is done and not run again by itself");
        [Effect::History(Box::new(entry)), Effect::Log(text)]
    };
    ended.iter().flat_map(tell).collect()
}

/// How something ended while no daemon was there.
fn told(id: &InstanceId, status: ExitStatus, now: Now) -> [Effect; 2] {
    let entry = Entry::of_instance(id, What::Exited { status, after_ms: None, asked: false }, now);
    [Effect::Log(format!("`{id}`, while no daemon ran: {status}")), Effect::History(Box::new(entry))]
}

/// What all rotated logs may take.
fn log_budget() -> Result<u64, String> {
    match std::env::var("PMRUN_LOGS_MAX") {
        Err(_) => Ok(BUDGET_DEFAULT),
        Ok(text) => parse_bytes(&text).ok_or_else(|| format!("PMRUN_LOGS_MAX is no size such as `4G`: `{text}`")),
    }
}

/// As one text, which the command that started this takes apart again.
fn with_hint(error: &StoreError) -> String {
    let hint = error.hint().map(|hint| format!("{HINT}{hint}")).unwrap_or_default();
    let mark = if matches!(error, StoreError::Held { .. }) { HELD } else { STATE };
    format!("{mark}{error}{hint}")
}

/// What was being stopped for good and is known no more, by its number, and what it is called from now on.
fn leaving(state: &State, standings: &BTreeMap<u32, Standing>, layout: &Layout) -> BTreeMap<u32, LaunchId> {
    let known: BTreeSet<u32> =
        state.apps.values().flat_map(|app| app.instances.values()).map(|known| known.id).collect();
    let unknown = standings.iter().filter(|(number, _)| !known.contains(&first(**number)));
    let ending = unknown.filter(|(number, standing)| standing.leaving(**number, LaunchId(0)).is_some());
    let ending: Vec<u32> = ending.map(|(number, _)| *number).collect();
    if ending.is_empty() {
        return BTreeMap::new();
    }
    let next = possible_launches(state, layout).iter().map(|(_, launch)| launch.id.0).max().unwrap_or(0) + 1;
    ending.into_iter().zip((next..).map(LaunchId)).collect()
}

/// Takes over the processes of an earlier daemon that belong to what should be there.
fn adopt(
    host: &mut Host,
    rotator: &Rotator,
    home: &Path,
    (state, standings): (&State, &BTreeMap<u32, Standing>),
    layout: &Layout,
    leaving: &BTreeMap<u32, LaunchId>,
) -> Vec<Survivor> {
    let (instances, launches): (Vec<InstanceId>, Vec<Launch>) = possible_launches(state, layout).into_iter().unzip();
    let survivor = |adopted: Adopted| {
        let known = launches.iter().position(|launch| launch.id == adopted.launch)?;
        // By what it was started with: what passes through pmrun may be told otherwise by now.
        watch_logs(rotator, home, launches.get(known)?, adopted.piped);
        Some(Survivor {
            launch: adopted.launch,
            instance: instances.get(known)?.clone(),
            pid: adopted.pid,
            launched_as: launches.get(known)?.instance.app.clone(),
            spec_digest: adopted.spec_digest,
            started_at_ms: adopted.started_at_ms,
            channel: adopted.channel,
            notify: adopted.notify,
            beside: adopted.beside,
        })
    };
    let left = |(id, launch): (&InstanceId, &Launch)| {
        let known = state.apps.get(&id.app)?.instances.get(&first(id.slot))?;
        if matches!(known.intent, Intent::Done { .. }) {
            return Some((launch.id, Left::Over));
        }
        let both = [known.id, second(known.id)];
        let stood = both.iter().filter_map(|number| standings.get(number));
        let mut stood = stood.filter(|standing| standing.is_ending() && standing.name(id) == launch.instance);
        stood.next().map(|standing| (launch.id, if standing.is_over() { Left::Over } else { Left::OnceGone }))
    };
    let left = instances.iter().zip(&launches).filter_map(left).collect();
    let listened = |id: &InstanceId| {
        let known = state.apps.get(&id.app).and_then(|app| app.instances.get(&first(id.slot)));
        let both = known.into_iter().flat_map(|known| [known.id, second(known.id)]);
        both.filter_map(|number| standings.get(&number)).any(Standing::listens)
    };
    let who = instances.iter().zip(&launches).filter(|(id, _)| listened(id)).map(|(_, launch)| launch.id);
    host.hear_who_listened(who.collect());
    let survivors: Vec<Survivor> = host.adopt(&launches, &left, leaving).into_iter().filter_map(survivor).collect();
    // Who has ended meanwhile may have written until then.
    let ran = |id: &InstanceId| {
        let known = state.apps.get(&id.app).and_then(|app| app.instances.get(&first(id.slot)));
        known.and_then(|known| standings.get(&known.id)).is_some_and(|standing| standing.pid().is_some())
    };
    let living: BTreeSet<InstanceId> = survivors.iter().map(|survivor| survivor.instance.first()).collect();
    for (instance, launch) in instances.iter().zip(&launches) {
        if ran(instance) && !living.contains(&instance.first()) {
            watch_logs(rotator, home, launch, launch.framing.is_some());
            rotator.forget(launch.id.0);
        }
    }
    survivors
}

/// The one line that the command which started this waits for. Its pipe is closed by it: the log is standard output
/// from then on.
fn say(line: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    let _ = nix::unistd::dup2_stdout(std::io::stderr());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime::{AppRecord, InstanceRecord};
    use crate::spec::AppSpec;

    #[test]
    fn a_job_whose_end_nobody_saw_is_done_unless_the_machine_was_started_anew() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout { home: home.path().to_str().unwrap().to_owned(), names: crate::supervisor::Names::Own };
        let mut store = Store::open(home.path()).unwrap();
        let record = |name: &str, auto: bool| {
            let mut spec = AppSpec::new(name, "/bin/true", "/");
            spec.restart.auto = auto;
            let instances = BTreeMap::from([(0, Box::new(InstanceRecord::new(0, Intent::Up)))]);
            let record =
                AppRecord { ecosystem: None, file: None, spec: Arc::new(spec), ambient: "d".into(), instances };
            Save::App(name.to_owned(), Box::new(record))
        };
        let ambient = Save::Ambient("d".to_owned(), Arc::new(BTreeMap::new()));
        store.save(&[ambient, record("job", false), record("new", false), record("web", true)]).unwrap();
        let pid_file = |name: &str| {
            let launches = possible_launches(&store_state(home.path()), &layout);
            let (_, launch) = launches.into_iter().find(|(id, _)| id.app == name).unwrap();
            std::path::PathBuf::from(launch.pid_file)
        };
        drop(store);
        let [job, web] = ["job", "web"].map(pid_file);
        let mut store = Store::open(home.path()).unwrap();
        std::fs::create_dir_all(job.parent().unwrap()).unwrap();
        // No pid is as high.
        let leave = || [&job, &web].map(|file| std::fs::write(file, "2147483647\n").unwrap());
        for (rebooted, want) in [(true, vec![]), (false, vec![InstanceId::new("job", 0)])] {
            leave();
            let mut state = store.load().unwrap();
            assert_eq!(state.boot.is_empty(), rebooted);
            let past = Past::default();
            let unseen = unseen_jobs(&state, &layout, &past, &Begun::new());
            assert_eq!(close_jobs(&mut store, &mut state, unseen, &past), want.into_iter().collect());
            assert_eq!((job.exists(), web.exists()), (false, true));
            let status = ExitStatus::Unknown;
            let is_done = |state: &State| state.apps["job"].instances[&0].intent == Intent::Done { status };
            assert_eq!((is_done(&state), is_done(&store.load().unwrap())), (!rebooted, !rebooted));
        }
    }

    fn store_state(home: &Path) -> State {
        crate::runtime::store::read(home).unwrap().unwrap()
    }
}
