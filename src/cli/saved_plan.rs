//! Plans that were shown and kept: written by `diff --out`, read by `apply`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::Value;

use super::error::CliError;
use super::exchange;
use super::offline::{self, Source};
use crate::config;
use crate::daemon::stood;
use crate::plan::{Plan, SavedPlan, Seal, Snapshot, check_stale};
use crate::rpc::wire::{Answer, Request};
use crate::runtime::{self, State, store};

const VERSION: u32 = 1;
const BYTES_MAX: u64 = 64 << 20;

/// A plan as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub plan: SavedPlan,
    /// All that the seal is about.
    text: String,
    /// None where somebody took it out.
    seal: Option<Seal>,
}

/// The saved plan in a file, or none when the file is something else: a config, or not there.
pub(super) fn read(path: &Path) -> Result<Option<Kept>, CliError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    // Plans are JSON, whatever their names; so may a config be, but not one of another format.
    let is_config = ending != "json" && config::endings().any(|known| known == ending);
    // Opening a fifo waits for its writer.
    if is_config || !path.is_file() {
        return Ok(None);
    }
    let mut text = String::new();
    let bounded = File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
    // What is wrong with a file that cannot be read is said by whoever reads it as a config.
    if bounded.is_err() { Ok(None) } else { parse(&text, path) }
}

fn parse(text: &str, path: &Path) -> Result<Option<Kept>, CliError> {
    let damaged = |why: String| {
        CliError::error(format!("the saved plan `{}` is damaged: {why}", path.display()))
            .hint("make it anew with `pmrun diff --out`")
    };
    let mut value = match serde_json::from_str::<Value>(text) {
        Ok(value) if ["version", "file", "plan"].iter().all(|key| value.get(key).is_some()) => value,
        // Cut off in the middle: it still begins as we begin it, and no config does.
        Err(err) if looks_cut_off(text) => return Err(damaged(err.to_string())),
        Ok(_) | Err(_) => return Ok(None),
    };
    match value["version"].as_u64() {
        Some(version) if version == u64::from(VERSION) => {}
        _ => {
            return Err(CliError::error(format!(
                "the saved plan `{}` has version {}, and only {VERSION} is known",
                path.display(),
                value["version"]
            ))
            .hint("make it anew with this version of pmrun"));
        }
    }
    let seal = value.as_object_mut().and_then(|entries| entries.remove("seal"));
    let seal = seal.and_then(|seal| serde_json::from_value(seal).ok());
    let text = value.to_string();
    let plan = serde_json::from_value(value).map_err(|err| damaged(err.to_string()))?;
    Ok(Some(Kept { plan, text, seal }))
}

/// Refuses a config's place to a plan.
pub(super) fn refuse(path: &Path, named: &Path) -> Result<(), CliError> {
    if !matches!(read(path), Ok(Some(_))) {
        return Ok(());
    }
    let named = named.display();
    Err(CliError::usage(format!("`{named}` is a saved plan, not a config"))
        .hint(format!("`pmrun apply {named}` does it, or says what has moved since")))
}

/// That the plan was made in this home and is as it was made: nothing of one that was edited is done.
pub(super) fn check_seal(kept: &Kept, path: &Path, home: &Path) -> Result<(), CliError> {
    let plan = path.display();
    let Some(seal) = &kept.seal else {
        return Err(CliError::error(format!("the saved plan `{plan}` was edited: its `seal` is missing"))
            .hint("nothing was done; edit the config and make the plan anew with `pmrun diff --out`"));
    };
    match self::seal(&kept.text, home, false)? {
        Some(ours) if ours == *seal => Ok(()),
        Some(ours) if ours.home == seal.home => {
            Err(CliError::error(format!("the saved plan `{plan}` was edited: it is not what `pmrun diff --out` wrote"))
                .hint("nothing was done; edit the config and make the plan anew with `pmrun diff --out`"))
        }
        Some(_) | None => Err(CliError::error(format!(
            "the saved plan `{plan}` was made in another PMRUN_HOME than `{}`",
            home.display()
        ))
        .hint("nothing was done; set PMRUN_HOME to that one, or make the plan anew with `pmrun diff --out`")),
    }
}

/// By the daemon, or where none runs with the key in the store. None when there is none, and none is to be made.
fn seal(text: &str, home: &Path, make: bool) -> Result<Option<Seal>, CliError> {
    match offline::ask(home, &Request::Seal { text: text.to_owned() })? {
        Source::Daemon(Answer::Seal { seal }) => Ok(Some(seal)),
        Source::Daemon(other) => Err(exchange::unexpected(&other)),
        Source::Store(Some(state)) => Ok(Some(Seal::of(text, &state.key))),
        Source::Store(None) if make => {
            let key = store::key(home).map_err(|err| CliError::error(err.to_string()))?;
            Ok(Some(Seal::of(text, &key)))
        }
        Source::Store(None) => Ok(None),
    }
}

/// Refuses a plan that is stale, so that no daemon is started for nothing. `fresh` makes the plan anew.
pub(super) fn check_offline(
    saved: &SavedPlan,
    home: &Path,
    fresh: impl Fn(&Snapshot, &State) -> Plan,
) -> Result<(), CliError> {
    let Source::Store(Some(mut state)) = offline::ask(home, &Request::Ping)? else { return Ok(()) };
    let unwatched = offline::unwatched(home, &mut state);
    let found = runtime::offline_snapshot(&state, &unwatched, &stood(home));
    check_stale(&saved.plan, &fresh(&found, &state)).map_err(|stale| exchange::stale_plan(&stale))
}

fn looks_cut_off(text: &str) -> bool {
    let has = |key| text.contains(key);
    text.trim_start().starts_with('{') && has("\"version\"") && has("\"no_prune\"") && !has("\"apps\"")
}

pub(super) fn new(
    file: &Path,
    profile: Option<&str>,
    options: &crate::rpc::wire::PlanOptions,
    plan: crate::plan::Plan,
) -> SavedPlan {
    SavedPlan {
        version: VERSION,
        file: file.to_string_lossy().into_owned(),
        profile: profile.map(str::to_owned),
        only: options.only.clone(),
        no_prune: options.no_prune,
        adopt: options.adopt,
        allow_empty: options.allow_empty,
        plan,
    }
}

/// Whether a plan may be written to `path`, which the user calls `named`: over an earlier plan, never over the config
/// or anything else.
pub(super) fn check_target(path: &Path, config: &Path, named: &Path) -> Result<(), CliError> {
    let named = named.display();
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if path.file_name().is_some_and(|name| name == "-") {
        return Err(
            CliError::usage("`--out -` is no file").hint("`--json` prints the plan; `--out plan.json` keeps it")
        );
    }
    if real(path) == real(config) {
        return Err(CliError::usage(format!("`--out {named}` is the config file itself"))
            .hint("name another file, like `--out plan.json`"));
    }
    // `mktemp` makes an empty one.
    let is_free = fs::metadata(path).map_or(true, |meta| meta.is_file() && meta.len() == 0);
    // A plan that is damaged or of another version is an error to read, and a plan.
    if is_free || !matches!(read(path), Ok(None)) {
        return Ok(());
    }
    Err(CliError::error(format!("`{named}` is there already and is no saved plan"))
        .hint("name another file, or delete this one first"))
}

/// Sealed by the home that it was made in.
pub(super) fn write(path: &Path, saved: &SavedPlan, home: &Path) -> Result<(), CliError> {
    let failed = |err: serde_json::Error| CliError::io("write", path, &err.into());
    let mut value = serde_json::to_value(saved).map_err(failed)?;
    let seal = seal(&value.to_string(), home, true)?;
    value["seal"] = serde_json::to_value(seal).map_err(failed)?;
    write_value(path, &value)
}

/// All of it or nothing, for the user's eyes only.
fn write_value(path: &Path, value: &Value) -> Result<(), CliError> {
    let failed = |err: &io::Error| CliError::io("write", path, err);
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|err| failed(&err.into()))?;
    bytes.push(b'\n');
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|err| {
        let _ = fs::remove_file(&beside);
        failed(&err)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cli::exit::Exit;
    use crate::plan::Plan;
    use crate::rpc::wire::PlanOptions;
    use crate::spec::EcosystemId;

    fn sample() -> SavedPlan {
        let plan = Plan { ecosystem: EcosystemId("shop".into()), generation: 3, steps: vec![], refusals: vec![] };
        new(Path::new("/srv/eco.json"), Some("production"), &PlanOptions::default(), plan)
    }

    #[test]
    fn what_is_written_is_read_back_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let home = folder.path().join("home");
        write(&path, &sample(), &home).unwrap();
        write(&path, &sample(), &home).unwrap();
        let kept = read(&path).unwrap().unwrap();
        assert_eq!(kept.plan, sample());
        check_seal(&kept, &path, &home).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn every_edit_is_seen_and_so_is_another_home() {
        let folder = tempfile::tempdir().unwrap();
        let (path, home) = (folder.path().join("plan.json"), folder.path().join("home"));
        write(&path, &sample(), &home).unwrap();
        let whole: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let check = |value: &Value, home: &Path| {
            let kept = parse(&value.to_string(), &path).unwrap().unwrap();
            check_seal(&kept, &path, home).err().map_or_else(String::new, |error| error.message)
        };
        assert_eq!(check(&whole, &home), "", "white space does not matter");
        for (key, value) in [("only", serde_json::json!(["x"])), ("adopt", true.into()), ("extra", 1.into())] {
            let mut edited = whole.clone();
            edited[key] = value;
            assert!(check(&edited, &home).contains("was edited"), "{key}");
        }
        let mut bare = whole.clone();
        bare.as_object_mut().unwrap().remove("seal");
        assert!(check(&bare, &home).contains("`seal` is missing"));
        let other = folder.path().join("other");
        assert!(check(&whole, &other).contains("another PMRUN_HOME"));
        assert!(!other.exists(), "looking makes no home");
        store::key(&other).unwrap();
        assert!(check(&whole, &other).contains("another PMRUN_HOME"));
    }

    #[test]
    fn only_a_plan_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let config = file("eco.json", "{\"apps\": []}");
        let link = folder.path().join("link.json");
        std::os::unix::fs::symlink(&config, &link).unwrap();
        let plan = serde_json::to_string(&sample()).unwrap();
        let exit = |path: &Path| check_target(path, &config, path).err().map(|error| error.exit);
        let table = [
            (config.clone(), Some(Exit::Usage)),
            (link, Some(Exit::Usage)),
            (file("other.json", "{\"apps\": []}"), Some(Exit::Error)),
            (file("notes.txt", "hello"), Some(Exit::Error)),
            (file("old.js", "module.exports = {}"), Some(Exit::Error)),
            (folder.path().to_owned(), Some(Exit::Error)),
            (file("empty", ""), None),
            (file("plan.json", &plan), None),
            (file("newer.json", &plan.replacen("\"version\":1", "\"version\":9", 1)), None),
            (folder.path().join("new.json"), None),
        ];
        for (path, want) in table {
            assert_eq!(exit(&path), want, "{}", path.display());
        }
    }

    #[test]
    fn a_config_is_no_plan_and_a_broken_plan_is_said_to_be_one() {
        let whole = serde_json::to_string_pretty(&sample()).unwrap();
        let path = Path::new("p.json");
        assert_eq!(parse("{\"apps\": []}", path).unwrap(), None);
        assert_eq!(parse("{\"apps\": [", path).unwrap(), None);
        assert_eq!(parse("[]", path).unwrap(), None);
        assert!(parse(&whole[..whole.len() - 20], path).unwrap_err().message.contains("damaged"));
        let newer = whole.replacen("\"version\": 1", "\"version\": 9", 1);
        assert_eq!(
            parse(&newer, path).unwrap_err().message,
            "the saved plan `p.json` has version 9, and only 1 is known"
        );
        let wrong = whole.replacen("\"generation\": 3", "\"generation\": \"x\"", 1);
        assert!(parse(&wrong, path).unwrap_err().message.contains("damaged"));
        assert_eq!(read(Path::new("/nonexistent/plan.json")).unwrap(), None);
    }
}
