//! Plans that were shown and kept: written by `diff --out`, read by `apply`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::Value;

use super::error::CliError;
use crate::plan::SavedPlan;

const VERSION: u32 = 1;
const BYTES_MAX: u64 = 64 << 20;

/// Endings of files that are configs without looking.
const CONFIG_ENDINGS: [&str; 9] = ["js", "cjs", "mjs", "ts", "json5", "jsonc", "yaml", "yml", "toml"];

/// The saved plan in a file, or none when the file is something else: a config, or not there.
pub(super) fn read(path: &Path) -> Result<Option<SavedPlan>, CliError> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if CONFIG_ENDINGS.contains(&ending) {
        return Ok(None);
    }
    let mut text = String::new();
    let bounded = File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
    // What is wrong with a file that cannot be read is said by whoever reads it as a config.
    if bounded.is_err() { Ok(None) } else { parse(&text, path) }
}

fn parse(text: &str, path: &Path) -> Result<Option<SavedPlan>, CliError> {
    let damaged = |why: String| {
        CliError::error(format!("the saved plan `{}` is damaged: {why}", path.display()))
            .hint("make it anew with `pmrun diff --out`")
    };
    let value = match serde_json::from_str::<Value>(text) {
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
    serde_json::from_value(value).map(Some).map_err(|err| damaged(err.to_string()))
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

/// All of it or nothing, for the user's eyes only.
pub(super) fn write(path: &Path, saved: &SavedPlan) -> Result<(), CliError> {
    let failed = |err: &io::Error| CliError::io("write", path, err);
    let mut bytes = serde_json::to_vec_pretty(saved).map_err(|err| failed(&err.into()))?;
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
        write(&path, &sample()).unwrap();
        write(&path, &sample()).unwrap();
        assert_eq!(read(&path).unwrap(), Some(sample()));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
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
