//! What a command finds around itself: environment, working directory, home. Read here and nowhere else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::arguments::{Access, Source};
use super::error::CliError;
use super::manners::Manners;
use crate::config::js::Engine;
use crate::config::{Hermetic, Reading, World};
use crate::platform;
use crate::supervisor::Names;

/// Every environment variable that pmrun itself reads, for `--help`.
pub(super) const VARIABLES: &str = "\
Environment:
  PMRUN_HOME       where the daemon keeps its socket, state and logs (default: ~/.pmrun)
  PMRUN_JS_ENGINE  what runs config programs, as --js-engine says it
  NO_COLOR         when set, nothing is coloured";

/// The others, which nobody needs every day.
pub(super) const MORE_VARIABLES: &str = "\
Beside these:
  PMRUN_LOGS_MAX                         the daemon's: what all rotated logs may take together (default: 4G)
  PM2_HOME                               where `migrate pm2` finds PM2
  PM2_ENABLE_GIT_PARSING                 when `true`, `jlist` has what git says of an app's folder

Run under the name `pm2`:
  PM2_HOME                               the home (default: ~/.pm2); PMRUN_HOME is not asked
  PM2_SILENT, PM2_DISCRETE_MODE          when `true`, nothing is said but what was asked for
  PM2_KILL_TIMEOUT, PM2_KILL_SIGNAL, PM2_KILL_USE_MESSAGE, PM2_GRACEFUL_LISTEN_TIMEOUT, PM2_PROCESS_INSTANCE_VAR
                                         of apps that do not say it: kill_timeout, kill_signal, shutdown_with_message,
                                         listen_timeout and instance_var
  PM2_RELOAD_LOCK_TIMEOUT                how old the lock of a reload may be, in ms (default: 30000)
  PM2_DUMP_FILE_PATH                     where `save` writes and `resurrect` reads
  PM2_PID_FILE_PATH, PM2_LOG_FILE_PATH   where links to the daemon's files are made
  FORCE                                  when set, `save` saves an empty list, too";

const JS_ENGINE: &str = "PMRUN_JS_ENGINE";

/// `PMRUN_HOME`, absolute. It need not exist.
pub(super) fn home() -> Result<PathBuf, CliError> {
    let home = platform::default_home(variable)
        .map_err(|problem| CliError::error(problem).hint("unset it for `~/.pmrun`, or name a folder"))?;
    match unfit(&home, platform::user_id()) {
        None => Ok(home),
        Some((problem, hint)) => Err(CliError::error(format!("`{}` {problem}", home.display())).hint(hint)),
    }
}

/// Whether the home is one that the name `pm2` began.
fn is_pm2s() -> bool {
    platform::default_home(variable).is_ok_and(|home| platform::names(&home) == Names::Pm2)
}

static MANNERS: OnceLock<Manners> = OnceLock::new();

/// Says, once, by whose manners the home is found.
pub(super) fn settle(manners: Manners) {
    let _ = MANNERS.set(manners);
}

/// A variable; PM2's home is where PM2_HOME says, else `.pm2`.
fn variable(name: &str) -> Option<OsString> {
    let manners = MANNERS.get().copied().unwrap_or_default();
    if name != "PMRUN_HOME" || !manners.are_pm2s() {
        return std::env::var_os(name);
    }
    let below = |folder: OsString| PathBuf::from(folder).join(".pm2").into_os_string();
    let set = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    set("PM2_HOME").or_else(|| set("HOME").map(below))
}

/// Whether a variable names the home.
pub(super) fn names_home() -> bool {
    let manners = MANNERS.get().copied().unwrap_or_default();
    let name = if manners.are_pm2s() { "PM2_HOME" } else { "PMRUN_HOME" };
    std::env::var_os(name).is_some_and(|value| !value.is_empty() || !manners.are_pm2s())
}

/// The home of somebody whose folder this is, where no variable names one.
pub(super) fn home_in(folder: &Path) -> PathBuf {
    let manners = MANNERS.get().copied().unwrap_or_default();
    folder.join(if manners.are_pm2s() { ".pm2" } else { ".pmrun" })
}

/// Why a folder cannot be PMRUN_HOME for a user, and what to do about it. One that is not there yet can.
fn unfit(home: &Path, user: u32) -> Option<(String, &'static str)> {
    if home.to_str().is_none() {
        return Some(("is not valid UTF-8".to_owned(), "PMRUN_HOME has to be text: give the folder another name"));
    }
    match home.metadata() {
        Ok(meta) if !meta.is_dir() => {
            let hint = "unset PMRUN_HOME for `~/.pmrun`, or name a folder; it is made where there is none";
            Some(("is not a folder".to_owned(), hint))
        }
        Ok(meta) if user != 0 && meta.uid() != user => {
            let hint = "use a folder of your own, or be that user: whoever commands a daemon is who its apps run as";
            Some((format!("belongs to another user ({})", meta.uid()), hint))
        }
        Err(err) if !matches!(err.kind(), std::io::ErrorKind::NotFound) => {
            let hint = "PMRUN_HOME has to be a folder of yours that you may write to";
            Some((format!("cannot be used: {}", platform::reason(&err)), hint))
        }
        Ok(_) | Err(_) => None,
    }
}

pub(super) fn world() -> Result<World, CliError> {
    Ok(World {
        env: environment(),
        cwd: working_directory()?,
        home: user_home(),
        cpus: platform::cpus(),
        mapping: None,
        engine: Engine::Embedded,
        reading: Reading {
            merges_logs: is_pm2s(),
            overlooks_profiles: MANNERS.get().is_some_and(|manners| manners.are_pm2s()),
            ..Reading::default()
        },
    })
}

/// The world as the config of a command may see it.
pub(super) fn world_of(source: &Source) -> Result<World, CliError> {
    let mut world = world_for(&source.access)?;
    world.reading.mode.clone_from(&source.env);
    Ok(world)
}

/// The same for what is read without a profile.
pub(super) fn world_for(access: &Access) -> Result<World, CliError> {
    let mut world = world()?;
    if let Some(ms) = access.eval_timeout {
        world.reading.limits.deadline_ms = ms;
    }
    if access.hermetic {
        let paths = access.allow_read.iter().map(|path| allowed(path, &world)).collect::<Result<_, _>>()?;
        world.reading.hermetic = Some(Hermetic { variables: access.allow_env.clone(), paths });
    }
    world.engine = match (access.js_engine, world.env.get(JS_ENGINE).map(String::as_str)) {
        (Some(engine), _) => engine.into(),
        (None, None | Some("" | "embedded")) => Engine::Embedded,
        (None, Some("node")) => Engine::Node,
        (None, Some(other)) => {
            let problem = format!("{JS_ENGINE} is `{other}`, which is no engine");
            return Err(CliError::usage(problem).hint("`embedded` or `node`"));
        }
    };
    Ok(world)
}

/// A config may ask whether a file is there that is not. One in no folder would allow nothing: a slip, most likely.
fn allowed(path: &Path, world: &World) -> Result<PathBuf, CliError> {
    let full = world.cwd.join(path);
    let missing = || Some(full.parent()?.canonicalize().ok()?.join(full.file_name()?));
    full.canonicalize().or_else(|err| missing().ok_or(err)).map_err(|err| {
        let reason = platform::reason(&err);
        CliError::usage(format!("`--allow-read {}` cannot be used: {}", path.display(), reason))
    })
}

/// Variables that are not text are passed over: neither a config nor JSON could say them.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn user_home() -> Option<PathBuf> {
    std::env::home_dir().filter(|path| path.is_absolute())
}

/// The working directory as the user named it: a `current` symlink that was followed to get here stays in the
/// name, because an ecosystem is known by its folder's name.
fn working_directory() -> Result<PathBuf, CliError> {
    let actual = std::env::current_dir()
        .map_err(|err| CliError::error(format!("failed to find the working directory: {err}")))?;
    let named = std::env::var_os("PWD").map(PathBuf::from);
    Ok(named.filter(|named| is_same_folder(named, &actual)).unwrap_or(actual))
}

fn is_same_folder(named: &Path, actual: &Path) -> bool {
    let tidy = named.is_absolute() && !named.components().any(|part| part == std::path::Component::ParentDir);
    let identity = |path: &Path| path.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    tidy && identity(named).is_some_and(|named| Some(named) == identity(actual))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_a_folder_of_ones_own_or_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let user = folder.path().metadata().unwrap().uid();
        let problem = |path: &Path, user| unfit(path, user).map(|(problem, _)| problem).unwrap_or_default();
        assert_eq!(problem(folder.path(), user), "");
        assert_eq!(problem(&folder.path().join("not yet"), user), "");
        assert_eq!(problem(folder.path(), 0), "", "root may");
        assert_eq!(problem(folder.path(), user + 1), format!("belongs to another user ({user})"));
        assert_eq!(problem(&file, user), "is not a folder");
        assert_eq!(problem(&file.join("below"), user), "cannot be used: Not a directory");
        assert_eq!(problem(&folder.path().join("x".repeat(300)), user), "cannot be used: File name too long");
    }

    #[test]
    fn a_symlinked_folder_keeps_its_name_and_a_wrong_one_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let (release, current) = (folder.path().join("release"), folder.path().join("current"));
        std::fs::create_dir(&release).unwrap();
        std::os::unix::fs::symlink(&release, &current).unwrap();
        assert!(is_same_folder(&current, &release));
        assert!(!is_same_folder(folder.path(), &release));
        assert!(!is_same_folder(Path::new("."), &release));
        assert!(!is_same_folder(&folder.path().join("gone"), &release));
    }
}
