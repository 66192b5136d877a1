//! Assembly: lock, socket, restore, serve.
//!
//! Files in `PMRUN_HOME`, and who keeps them:
//!
//! | name | what |
//! | --- | --- |
//! | `daemon.lock` | locked as long as a daemon lives; readers of `state` share it |
//! | `start.lock` | whose turn it is to start a daemon |
//! | `pmrun.sock` | the control socket, while a daemon serves |
//! | `pmrun.pid` | the daemon's pid, while it serves |
//! | `pmrun.log` | the daemon's own few lines |
//! | `state` | what should run: [`crate::runtime::store`] |
//! | `events.jsonl`, `.1` | what happened: [`crate::runtime::history`] |
//! | `notify/` | a socket for each app that says `READY=1` |
//! | `logs-1.sock` | where the log process is found: [`crate::logs::pump`] |
//! | `logs/`, `pids/` | of the apps |

mod checks;
mod journal;
mod log;
mod saver;
mod serve;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::base::{ExitStatus, InstanceId, Now, parse_bytes};
use crate::logs::rotate::{BUDGET_DEFAULT, Rotator};
use crate::platform::{
    Adopted, Clock, Host, LockFile, LockKind, Signals, become_daemon, default_home, ensure_home, reason, time_zone,
};
use crate::rpc::client::{HINT, SERVING};
use crate::runtime::history::{Entry, What};
use crate::runtime::store::{Store, StoreError};
use crate::runtime::{Core, Effect, Intent, State, Survivor, possible_launches};
use crate::supervisor::{Launch, Layout};
use serve::{Daemon, watch_logs};

/// How long another daemon may take to end, or a reader to read.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Runs the daemon of `PMRUN_HOME` until it is told to end.
///
/// Whoever starts it learns from its standard output how that went: one line, [`SERVING`] or what is wrong, and then
/// its end. Must be called before the process has opened files or started threads.
#[must_use]
pub fn main() -> ExitCode {
    match default_home(|name| std::env::var_os(name)).and_then(|home| start(&home)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log::line(&problem);
            say(&problem);
            ExitCode::FAILURE
        }
    }
}

fn start(home: &Path) -> Result<(), String> {
    let cannot = |what: &'static str| move |error: std::io::Error| format!("cannot {what}: {}", reason(&error));
    let setup = become_daemon().map_err(cannot("leave the terminal"))?;
    let layout = Layout { home: home.to_str().ok_or("PMRUN_HOME is not valid UTF-8")?.to_owned() };
    ensure_home(home).map_err(cannot("make PMRUN_HOME"))?;
    // Before there are threads: they inherit what is blocked.
    let signals = Signals::block().map_err(cannot("watch signals"))?;
    let lock = LockFile::acquire(&home.join("daemon.lock"), LockKind::Exclusive, LOCK_PATIENCE)
        .map_err(cannot("lock `daemon.lock`"))?
        .ok_or("another daemon, or a command that reads its state, holds `daemon.lock`")?;
    let mut store = Store::open(home).map_err(|error| with_hint(&error))?;
    let state = store.load().map_err(|error| with_hint(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(cannot("start the event loop"))?;
    let mut host = Host::new(home, setup).map_err(cannot("watch processes"))?;
    let clock = Clock::start();
    let rotator = Rotator::start(home.join("logs"), log_budget()?, log::line);
    let rotator = rotator.map_err(cannot("start a thread"))?;
    let survivors = adopt(&mut host, &rotator, home, &state, &layout);
    let unseen = host.take_unseen();
    runtime.block_on(async {
        let mut daemon = Daemon::new(home, clock, host, rotator, signals, store).map_err(cannot("serve"))?;
        log::line(format_args!("pmrun {} serves as process {}", env!("CARGO_PKG_VERSION"), std::process::id()));
        say(SERVING);
        let now = clock.now();
        let (mut core, next) = Core::restore(state, survivors, layout, time_zone, now);
        // Told before what follows from it.
        let effects = unseen.iter().flat_map(|(id, status)| told(id, *status, now)).chain(next).collect();
        core.set_pid(std::process::id());
        daemon.run(core, effects).await.map_err(cannot("wait for events"))?;
        daemon.end(lock).await;
        Ok(())
    })
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
    format!("{error}{hint}")
}

/// Takes over the processes of an earlier daemon that belong to what should be there.
fn adopt(host: &mut Host, rotator: &Rotator, home: &Path, state: &State, layout: &Layout) -> Vec<Survivor> {
    let (instances, launches): (Vec<InstanceId>, Vec<Launch>) = possible_launches(state, layout).into_iter().unzip();
    let survivor = |adopted: Adopted| {
        let known = launches.iter().position(|launch| launch.id == adopted.launch)?;
        watch_logs(rotator, home, launches.get(known)?);
        Some(Survivor {
            launch: adopted.launch,
            instance: instances.get(known)?.clone(),
            pid: adopted.pid,
            launched_as: launches.get(known)?.instance.app.clone(),
            spec_digest: adopted.spec_digest,
            started_at_ms: adopted.started_at_ms,
        })
    };
    let is_done = |id: &InstanceId| {
        let known = state.apps.get(&id.app).and_then(|app| app.instances.get(&id.slot));
        known.is_some_and(|known| matches!(known.intent, Intent::Done { .. }))
    };
    let all = instances.iter().zip(&launches);
    let done = all.filter(|(instance, _)| is_done(instance)).map(|(_, launch)| launch.id).collect();
    host.adopt(&launches, &done).into_iter().filter_map(survivor).collect()
}

/// The one line that the command which started this waits for. Its pipe is closed by it: the log is standard output
/// from then on.
fn say(line: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    let _ = nix::unistd::dup2_stdout(std::io::stderr());
}
