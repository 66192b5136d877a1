use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{bytes, json, toml, yaml};
use crate::document::{Kind, Node, SourceId};

/// The file that was found in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    pub file: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// `tried` says what was looked for, and which files were left aside, and why.
    #[error("no ecosystem file in `{folder}`")]
    None { folder: PathBuf, tried: Vec<String> },
    #[error("more than one ecosystem file in `{folder}`: {}", .files.join(", "))]
    Several { folder: PathBuf, files: Vec<String> },
    #[error("`{path}` {why}")]
    Unusable { path: PathBuf, why: String },
}

/// Endings of files that are run.
pub const PROGRAMS: &[&str] = &["js", "cjs", "mjs", "ts", "cts", "mts"];
/// Endings of files that are read.
pub const DATA: &[&str] = &["json", "json5", "jsonc", "yaml", "yml", "toml"];

/// Every ending that a config file may have.
pub fn endings() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().chain(DATA).copied()
}

/// The names that PM2's users know. The first group wins over the second, within a group two are too many.
const GROUPS: [&[&str]; 2] = [&["ecosystem.config"], &["ecosystem", "pm2.config", "process.config", "pm2", "process"]];

/// Every Node project has one; it is meant where it has a `pm2` and there is nothing else.
const PACKAGE: &str = "package.json";

/// Looks for the usual names in a folder.
///
/// # Errors
/// When there is none, or more than one.
pub fn discover(folder: &Path) -> Result<Discovery, DiscoveryError> {
    let mut tried = Vec::new();
    for (rank, stems) in GROUPS.iter().enumerate() {
        let mut found = Vec::new();
        for name in stems.iter().flat_map(|stem| names(stem)) {
            let file = folder.join(&name);
            match look(&file) {
                Found::File => {}
                Found::Nothing => continue,
                Found::Dangling(why) if rank == 0 => return Err(DiscoveryError::Unusable { path: file, why }),
                Found::Dangling(why) => {
                    tried.push(format!("{name} ({why})"));
                    continue;
                }
                Found::NoEntry(why) => return Err(DiscoveryError::Unusable { path: folder.to_owned(), why }),
            }
            // `ecosystem.config` is nobody else's name; `process.json` is anybody's.
            if rank == 0 || is_ours(&file) {
                found.push(name);
            } else {
                tried.push(format!("{name} (holds no apps)"));
            }
        }
        match found.as_slice() {
            [] => {}
            [name] => return Ok(Discovery { file: folder.join(name) }),
            _ => return Err(DiscoveryError::Several { folder: folder.to_owned(), files: found }),
        }
    }
    let package = folder.join(PACKAGE);
    if fs::metadata(&package).is_ok_and(|metadata| metadata.is_file()) {
        match bytes::read(&package, &package).map(|text| (json::parse(&text, SourceId(0)).0, text.contains("\"pm2\"")))
        {
            Ok((Some(node), _)) if node.get("pm2").is_some_and(|pm2| pm2.kind != Kind::Null) => {
                return Ok(Discovery { file: package });
            }
            // Its error is worth more than "no file".
            Ok((None, true)) => return Ok(Discovery { file: package }),
            Ok((None, false)) => tried.push(format!("{PACKAGE} (is no valid JSON)")),
            Ok((Some(_), _)) => tried.push(format!("{PACKAGE} (has no `pm2`)")),
            Err(_) => tried.push(format!("{PACKAGE} (cannot be read)")),
        }
    }
    let mut looked: Vec<String> = GROUPS.concat().iter().map(|stem| pattern(stem)).collect();
    looked.append(&mut tried);
    Err(DiscoveryError::None { folder: folder.to_owned(), tried: looked })
}

fn names(stem: &str) -> impl Iterator<Item = String> {
    endings_of(stem).map(move |ending| format!("{stem}.{ending}"))
}

fn pattern(stem: &str) -> String {
    format!("{stem}.{{{}}}", endings_of(stem).collect::<Vec<_>>().join(","))
}

/// A plain `process.js` or `pm2.js` is a program more often than a config.
fn endings_of(stem: &str) -> impl Iterator<Item = &'static str> + use<> {
    let programs = if matches!(stem, "process" | "pm2") { &[] } else { PROGRAMS };
    programs.iter().chain(DATA).copied()
}

/// Whether a file is plainly not another tool's. A program is not run to find out.
fn is_ours(file: &Path) -> bool {
    let parse = match file.extension().and_then(|ending| ending.to_str()) {
        Some("json" | "json5" | "jsonc") => json::parse,
        Some("yaml" | "yml") => yaml::parse,
        Some("toml") => toml::parse,
        _ => return true,
    };
    let Ok(text) = bytes::read(file, file) else { return false };
    // A broken file that speaks of apps is ours: its error is worth more than "no file".
    match parse(&text, SourceId(0)) {
        (Some(node), _) => holds_apps(&node),
        (None, _) => ["apps", "script", "pm2"].iter().any(|word| text.contains(word)),
    }
}

enum Found {
    File,
    Nothing,
    /// A symlink that leads nowhere.
    Dangling(String),
    /// Its folder cannot be searched.
    NoEntry(String),
}

fn look(file: &Path) -> Found {
    match (fs::metadata(file), fs::read_link(file)) {
        (Ok(metadata), _) if metadata.is_file() => Found::File,
        (Err(_), Ok(target)) => {
            Found::Dangling(format!("is a symlink to `{}`, which cannot be reached", target.display()))
        }
        (Err(err), Err(_)) if err.kind() == ErrorKind::PermissionDenied => {
            Found::NoEntry("cannot be searched: permission denied".to_owned())
        }
        _ => Found::Nothing,
    }
}

fn holds_apps(node: &Node) -> bool {
    const MARKS: [&str; 3] = ["apps", "pm2", "script"];
    match &node.kind {
        Kind::Mapping(entries) => entries.iter().any(|entry| MARKS.contains(&entry.key.text.as_str())),
        Kind::Sequence(items) => items.iter().any(|item| item.get("script").is_some() || item.get("cmd").is_some()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Result<String, DiscoveryError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        discover(folder.path()).map(|found| found.file.file_name().unwrap().to_string_lossy().into_owned())
    }

    const APPS: &str = "{\"apps\": []}";
    const PACKAGED: &str = "{\"name\": \"shop\", \"pm2\": [{\"script\": \"a.js\"}]}";

    #[test]
    fn one_file_is_taken() {
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[("ecosystem.config.js", "")], "ecosystem.config.js"),
            (&[("ecosystem.config.yml", ""), ("ecosystem.json", APPS), ("process.json", APPS)], "ecosystem.config.yml"),
            (&[("ecosystem.example.json5", APPS), ("process.json", APPS)], "process.json"),
            (&[("process.json", "{\"type\": \"x\"}"), ("pm2.config.cjs", "")], "pm2.config.cjs"),
            (&[("process.yaml", "- script: a.js\n")], "process.yaml"),
            (&[("pm2.json", "{\"script\": \"a.js\"}")], "pm2.json"),
            (&[("process.toml", "[[apps]]\nname = 'a'")], "process.toml"),
            (&[("ecosystem.json", "{\"apps\": [")], "ecosystem.json"),
            (&[("package.json", PACKAGED), ("process.json", "{\"type\": \"x\"}")], "package.json"),
            (&[("package.json", PACKAGED), ("process.json", APPS)], "process.json"),
        ];
        for (files, want) in table {
            assert_eq!(found(files).as_deref(), Ok(*want), "{files:?}");
        }
    }

    #[test]
    fn two_of_a_group_are_too_many() {
        for pair in [["ecosystem.config.js", "ecosystem.config.json"], ["ecosystem.json", "process.json"]] {
            let Err(DiscoveryError::Several { files, .. }) = found(&[(pair[0], APPS), (pair[1], APPS)]) else {
                panic!("{pair:?}");
            };
            assert_eq!(files, pair);
        }
    }

    #[test]
    fn none_says_what_was_looked_for() {
        let other = "{\"name\": \"other\"}";
        let Err(DiscoveryError::None { tried, .. }) = found(&[("process.json", other), ("package.json", other)]) else {
            panic!("is not an ecosystem");
        };
        assert_eq!(tried[0], "ecosystem.config.{js,cjs,mjs,ts,cts,mts,json,json5,jsonc,yaml,yml,toml}");
        assert_eq!(tried[tried.len() - 2..], ["process.json (holds no apps)", "package.json (has no `pm2`)"]);
    }

    #[test]
    fn a_package_that_does_not_parse_is_ours_when_it_speaks_of_pm2() {
        assert_eq!(found(&[("package.json", "{\"name\": \"x\", \"pm2\": {\"apps\": []},,}")]).unwrap(), "package.json");
        let Err(DiscoveryError::None { tried, .. }) = found(&[("package.json", "{")]) else { panic!("it is not") };
        assert_eq!(tried.last().unwrap(), "package.json (is no valid JSON)");
    }

    #[test]
    fn a_symlink_to_nowhere_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let link = |name: &str| std::os::unix::fs::symlink("/nope", folder.path().join(name)).unwrap();
        link("process.json");
        let why = "is a symlink to `/nope`, which cannot be reached";
        let Err(DiscoveryError::None { tried, .. }) = discover(folder.path()) else { panic!("there is none") };
        assert_eq!(tried.last().unwrap(), &format!("process.json ({why})"));
        // What is meant is not to be passed over for another one.
        link("ecosystem.config.js");
        fs::write(folder.path().join("ecosystem.json"), APPS).unwrap();
        let path = folder.path().join("ecosystem.config.js");
        assert_eq!(discover(folder.path()), Err(DiscoveryError::Unusable { path, why: why.to_owned() }));
    }

    #[test]
    fn a_folder_that_may_not_be_entered_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        if nix::unistd::geteuid().is_root() {
            // Root may go anywhere.
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let set = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        set(0o000);
        let found = discover(folder.path());
        set(0o700);
        let why = "cannot be searched: permission denied".to_owned();
        assert_eq!(found, Err(DiscoveryError::Unusable { path: folder.path().to_owned(), why }));
    }

    #[test]
    fn folders_and_missing_folders_hold_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("ecosystem.config.js")).unwrap();
        assert!(matches!(discover(folder.path()), Err(DiscoveryError::None { .. })));
        assert!(matches!(discover(&folder.path().join("gone")), Err(DiscoveryError::None { .. })));
    }
}
