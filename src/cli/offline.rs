//! What is known when no daemon runs. Commands that only read never start one.

use std::path::Path;
use std::time::Duration;

use super::error::CliError;
use super::terminal::Terminal;
use super::{events, exchange};
use crate::base::InstanceId;
use crate::daemon::rebuild;
use crate::platform::{self, Adopted, LockFile, LockKind, Wish, names, time_zone};
use crate::rpc::client::START_LOCK;
use crate::rpc::wire::{Answer, InstanceView, Request};
use crate::runtime::store::{self, Backup, StoreError};
use crate::runtime::{self, Recall, RecallError, Recalled, State, Survivor, Unwatched, possible_launches};
use crate::supervisor::{Launch, Layout};

/// How long a daemon may take to start before it is not waited for.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// How many daemons may begin, and end, while what was is looked up.
const DAEMONS_MAX: u32 = 5;

/// What knows the answer to a question.
#[derive(Debug)]
pub(super) enum Source {
    Daemon(Answer),
    /// None: nothing was ever started.
    Store(Option<State>),
}

/// Asks the daemon, or where none runs reads what is stored.
///
/// A daemon that is just starting or ending holds the store and answers nobody yet, or no longer: that passes within
/// moments, so both are tried again.
pub(super) fn ask(home: &Path, request: &Request) -> Result<Source, CliError> {
    Ok(find(home, request)?)
}

/// As [`ask`], for who only shows it: where what is stored is damaged, its backup is as good as it gets, and said to be that.
pub(super) fn show(home: &Path, request: &Request, terminal: &mut Terminal) -> Result<Source, CliError> {
    match find(home, request) {
        Err(failure) => Ok(Source::Store(Some(backed_up(home, failure, terminal)?))),
        Ok(source) => Ok(source),
    }
}

/// The newest backup that can be used, where that is what there is. Nothing is changed.
fn backed_up(home: &Path, failure: Failure, terminal: &mut Terminal) -> Result<State, CliError> {
    let Failure::Store(StoreError::Damaged { reason, .. }) = &failure else { return Err(failure.into()) };
    let Some(Backup { state, at_ms }) = store::backups(home).into_iter().find_map(|(_, backup)| backup.ok()) else {
        return Err(failure.into());
    };
    let at = events::at(at_ms, time_zone(None).as_ref(), "%Y-%m-%d %H:%M:%S");
    terminal.note_once(&format!(
        "the state is damaged ({reason}): shown is its backup from {at}; `pmrun state repair` builds it anew"
    ));
    Ok(state)
}

/// Why nobody knows.
#[derive(Debug)]
pub(super) enum Failure {
    Daemon(CliError),
    Store(StoreError),
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        Self::Daemon(error)
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Daemon(error) => error,
            Failure::Store(error) => Self::store(&error),
        }
    }
}

/// As [`ask`], for who does something about a store that cannot be read.
pub(super) fn find(home: &Path, request: &Request) -> Result<Source, Failure> {
    const PAUSES_MS: [u64; 5] = [10, 30, 100, 300, 1_000];
    let mut pauses = PAUSES_MS.into_iter();
    loop {
        if let Some(answer) = exchange::ask(home, request.clone())? {
            return Ok(Source::Daemon(answer));
        }
        // Where one is being started, what it will say is worth more than what is stored.
        let turn = home.join(START_LOCK);
        if turn.exists() && !matches!(LockFile::acquire(&turn, LockKind::Shared, Duration::ZERO), Ok(Some(_))) {
            let _ = LockFile::acquire(&turn, LockKind::Shared, START_PATIENCE);
            if let Some(answer) = exchange::ask(home, request.clone())? {
                return Ok(Source::Daemon(answer));
            }
        }
        match (store::read(home), pauses.next()) {
            (Ok(None), _) => {
                let missing = rebuild::missing(home).map_err(|error| CliError::error(error.to_string()))?;
                let path = || home.join("state").display().to_string();
                return match missing {
                    Some(reason) => Err(Failure::Store(StoreError::Damaged { path: path(), reason })),
                    None => Ok(Source::Store(None)),
                };
            }
            (Ok(state), _) => return Ok(Source::Store(state)),
            (Err(StoreError::Held { .. }), Some(ms)) => std::thread::sleep(Duration::from_millis(ms)),
            // A daemon that is about to follow one that was killed mends it.
            (Err(StoreError::Damaged { .. }), Some(ms)) if platform::tell_keeper(home, Wish::Nothing) => {
                std::thread::sleep(Duration::from_millis(ms));
            }
            (Err(err), _) => return Err(Failure::Store(err)),
        }
    }
}

/// What knows what was.
#[derive(Debug)]
pub(super) enum Past {
    Daemon(Answer),
    /// And what is recorded now.
    Store(Result<Recalled, RecallError>, Option<State>),
}

/// Asks the daemon for what was, or where none runs reads it.
pub(super) fn recall(home: &Path, request: &Request, wanted: &Recall) -> Result<Past, CliError> {
    Ok(look_back(home, request, wanted)?)
}

/// As [`recall`], for who only shows it. A backup is of what is, and not of what was.
pub(super) fn show_past(
    home: &Path,
    request: &Request,
    wanted: &Recall,
    terminal: &mut Terminal,
) -> Result<Past, CliError> {
    let failure = match look_back(home, request, wanted) {
        Ok(past) => return Ok(past),
        Err(failure) => failure,
    };
    let state = backed_up(home, failure, terminal)?;
    let found = match wanted {
        Recall::Last { .. } | Recall::ByHand => Ok(Recalled::default()),
        Recall::One { .. } | Recall::Two { .. } | Recall::Back { .. } => {
            Err(RecallError::Unreadable("no generation is in the backup of the state".to_owned()))
        }
    };
    Ok(Past::Store(found, Some(state)))
}

fn look_back(home: &Path, request: &Request, wanted: &Recall) -> Result<Past, Failure> {
    let mut left = DAEMONS_MAX;
    loop {
        left -= 1;
        let state = match find(home, request)? {
            Source::Daemon(answer) => return Ok(Past::Daemon(answer)),
            Source::Store(state) => state,
        };
        match store::read_back(home, wanted) {
            Ok(found) => return Ok(Past::Store(found, state)),
            // One has begun in between, which can be asked.
            Err(StoreError::Held { .. }) if left > 0 => {}
            Err(err) => return Err(Failure::Store(err)),
        }
    }
}

/// What a daemon that was killed left running. Jobs that it left and that have ended are done, as the next will find.
pub(super) fn unwatched(home: &Path, state: &mut State) -> Unwatched {
    let layout = layout(home);
    if state.boot == platform::boot_id() {
        let (instances, launches): (Vec<InstanceId>, Vec<Launch>) =
            runtime::open_jobs(state, &layout).into_iter().unzip();
        let found = platform::ended_unseen(&launches, &layout.home, &platform::Begun::new());
        let ended = instances.into_iter().zip(launches).filter(|(_, launch)| found.contains(&launch.id));
        runtime::close_jobs(state, &ended.map(|(instance, _)| instance).collect());
    }
    let (instances, launches): (Vec<InstanceId>, Vec<Launch>) = possible_launches(state, &layout).into_iter().unzip();
    let mut found = Unwatched::new();
    for Adopted { launch, pid, spec_digest, started_at_ms, beside, .. } in platform::unwatched(&launches, &layout.home)
    {
        let Some(at) = launches.iter().position(|known| known.id == launch) else { continue };
        let launched_as = launches[at].instance.app.clone();
        // Of two in a slot, where one relieves the other, one is enough.
        let instance = instances[at].first();
        if found.contains_key(&instance) {
            continue;
        }
        let (channel, notify) = (false, false);
        found.insert(
            instance.clone(),
            Survivor { launch, instance, pid, spec_digest, started_at_ms, launched_as, channel, notify, beside },
        );
    }
    found
}

/// Which limits are not in force: a daemon that is gone cannot be asked, what it left running can be looked at.
pub(super) fn look_at_limits<'a>(home: &Path, state: &State, views: impl Iterator<Item = &'a mut InstanceView>) {
    let home = layout(home).home;
    for view in views {
        if let (Some(pid), Some(app)) = (view.pid, state.apps.get(&view.name)) {
            view.limits_note = platform::not_in_force(&home, pid, &app.spec.limits);
        }
    }
}

pub(super) fn layout(home: &Path) -> Layout {
    Layout { home: home.to_string_lossy().into_owned(), names: names(home) }
}
