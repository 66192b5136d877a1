//! What becomes of a damaged state: it is set aside, and another is built from its backup and what runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::copies::now_ms;
use super::standings::{Known, Unusable, known};
use super::utc_name;
use crate::base::Key;
use crate::plan::Generation;
use crate::platform::{LockFile, LockKind, Marked, boot_id, marked, names, pid_in, random_bytes, reason, user_id};
use crate::runtime::store::{self, Backup, StoreError};
use crate::runtime::{Found, State, Stranger, possible_launches, rebuild};
use crate::supervisor::Layout;

/// How long another may have it that is about to end, or reads.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// How the name of a damaged one that is kept says when that was, in UTC.
pub const SET_ASIDE_TIME: &str = "%Y-%m-%dT%H-%M-%SZ";

/// What was done about a damaged state.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// What was wrong with it.
    pub reason: String,
    /// Where it is now; none where it was gone.
    pub aside: Option<PathBuf>,
    /// Which backup it was built from, and when that was written, in milliseconds since 1970.
    pub from: Option<(PathBuf, u64)>,
    /// Backups, and what else would have helped, that could not be used, and why.
    pub passed_over: Vec<(PathBuf, String)>,
    pub apps: usize,
    /// What runs and is not known any more.
    pub strangers: Vec<Stranger>,
}

/// Why there is no new one. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the state in `{}` is damaged ({reason}), and there is no backup that could be used{said}", path.display())]
    NoBackup { path: PathBuf, reason: String, said: String },
    #[error("cannot look at what runs: {0}")]
    Processes(String),
}

/// With `regardless` it is done without a backup, too: then only what runs is known, and nothing of it but that it runs. `older`
/// is what it says, where it is only that: a backup may be older still. The caller holds `daemon.lock`.
///
/// # Errors
/// When nothing was done.
pub(super) fn build(
    home: &Path,
    reason: &str,
    known: &Known,
    older: Option<State>,
    regardless: bool,
) -> Result<Rebuilt, RebuildError> {
    let (mut from, mut passed_over) = (None, Vec::new());
    for (path, backup) in store::backups(home) {
        match backup {
            Ok(backup) => {
                from = Some((path, backup));
                break;
            }
            Err(problem) => passed_over.push((path, problem)),
        }
    }
    let is_newer = |state: &State| from.as_ref().is_none_or(|(_, backup)| backup.state.saves < state.saves);
    if let Some(state) = older.filter(is_newer) {
        let path = home.join("state");
        let at_ms = written_ms(&path);
        from = Some((path, Backup { state, at_ms }));
    }
    let (from, state) = match from {
        Some((path, Backup { state, at_ms })) => (Some((path, at_ms)), state),
        None if regardless => {
            let key = random_bytes().map_err(|error| RebuildError::Processes(self::reason(&error)))?;
            (None, State::empty(Key(key)))
        }
        None => {
            let said: Vec<String> =
                passed_over.iter().map(|(path, why)| format!("; `{}`: {why}", path.display())).collect();
            let (path, reason) = (home.join("state"), reason.to_owned());
            return Err(RebuildError::NoBackup { path, reason, said: said.concat() });
        }
    };
    let found = marked(home).map_err(|error| RebuildError::Processes(self::reason(&error)))?;
    let layout = Layout { home: home.to_string_lossy().into_owned(), names: names(home) };
    let launches = possible_launches(&state, &layout).into_iter().map(|(_, launch)| launch);
    let filed: BTreeSet<u32> = launches.filter_map(|launch| pid_in(Path::new(&launch.pid_file))).collect();
    let found: Vec<Found> = found.into_iter().map(|marked| of_marked(marked, &filed)).collect();
    let mut state = rebuild(state, &found, &known.standings);
    // Newer than any backup, and than any that there was.
    state.saves = state.saves.max(known.saves.unwrap_or_default()) + 1;
    state.generation += 1;
    let note = rebuilt_generation(state.generation, state.apps.len());
    let aside = store::replace(home, &state, &note, &utc_name())?;
    let (apps, strangers) = (state.apps.len(), state.strangers);
    Ok(Rebuilt { reason: reason.to_owned(), aside, from, passed_over, apps, strangers })
}

/// Where no daemon runs: what is damaged is built anew, of whatever is left. None where it is sound.
///
/// # Errors
/// When nothing was done.
pub fn repair(home: &Path) -> Result<Option<Rebuilt>, RebuildError> {
    let lock = home.join("daemon.lock");
    let held = || StoreError::Held { path: home.join("state").display().to_string() };
    let failed = |error: std::io::Error| RebuildError::Processes(format!("`{}`: {}", lock.display(), reason(&error)));
    let _lock = LockFile::acquire(&lock, LockKind::Exclusive, LOCK_PATIENCE).map_err(failed)?.ok_or_else(held)?;
    let reason = match store::check(home) {
        Ok(Some(_)) => return Ok(None),
        Ok(None) => missing(home)?,
        Err(StoreError::Damaged { reason, .. }) => Some(reason),
        Err(error) => return Err(error.into()),
    };
    let Some(reason) = reason else { return Ok(None) };
    let known = known(home, &boot_id());
    let mut rebuilt = build(home, &reason, &known, None, true)?;
    rebuilt.passed_over.extend(known.unusable.map(|Unusable { path, reason }| (path, reason)));
    Ok(Some(rebuilt))
}

/// In milliseconds since 1970.
fn written_ms(path: &Path) -> u64 {
    let written = path.metadata().and_then(|found| found.modified()).ok();
    let since = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or_default()
}

/// Why nothing is known of what was before.
pub(super) fn rebuilt_generation(number: u64, apps: usize) -> Generation {
    Generation::rebuilt(number, now_ms(), user_id(), std::process::id(), apps)
}

/// Why there should be a state where there is neither one nor a backup: a daemon that begins from nothing would take
/// what runs for what nobody needs. None where nothing of this home runs.
///
/// # Errors
/// When that cannot be looked at.
pub fn missing(home: &Path) -> Result<Option<String>, RebuildError> {
    // Also where nothing else is there: somebody may have moved the whole folder away.
    if store::is_there(home) {
        return Ok(None);
    }
    let found = marked(home).map_err(|error| RebuildError::Processes(self::reason(&error)))?.len();
    let processes = if found == 1 { "1 process".to_owned() } else { format!("{found} processes") };
    Ok((found > 0).then(|| format!("it is gone with its backups, and {processes} of its apps run")))
}

fn of_marked(marked: Marked, filed: &BTreeSet<u32>) -> Found {
    let Marked { pid, start, instance, list_id, launch, leads } = marked;
    // Of two processes of a slot, where one relieves the other, either may be meant to go on.
    let instance = instance.first();
    Found { pid, start, instance, list_id, mark: launch, first: leads, filed: leads && filed.contains(&pid) }
}

impl Rebuilt {
    /// A line each: what was done, and what to know about it.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let apps = if self.apps == 1 { "1 app".to_owned() } else { format!("{} apps", self.apps) };
        let from = match &self.from {
            Some((path, at_ms)) => format!("from `{}` of {}, with {apps}", path.display(), at(*at_ms)),
            None => "from nothing: there was no backup, and which apps there are is forgotten".to_owned(),
        };
        let mut lines = vec![format!("the state was damaged ({}): it was built anew {from}", self.reason)];
        lines.extend(self.aside.iter().map(|aside| format!("the damaged one is kept as `{}`", aside.display())));
        let passed_over = self.passed_over.iter();
        lines.extend(passed_over.map(|(path, why)| format!("`{}` could not be used: {why}", path.display())));
        lines.extend(self.strangers.iter().map(|stranger| {
            let Stranger { pid, instance, .. } = stranger;
            format!("process {pid} runs as `{instance}`, and nobody knows its settings any more: it is left alone")
        }));
        lines
    }
}

fn at(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map_or_else(|| at_ms.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
