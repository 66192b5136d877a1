//! The version of an app, by the package that its script is in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::platform::open_regular;

/// A larger one is no package's description.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What was found, by folder: apps of one folder are of one package.
#[derive(Debug, Default)]
pub(super) struct Packages(HashMap<PathBuf, Option<String>>);

impl Packages {
    /// Of the nearest `package.json`, from the script's folder on upwards.
    pub(super) fn version(&mut self, script: &str) -> Option<String> {
        let script = Path::new(script);
        let folder = script.parent().filter(|folder| folder.is_absolute())?;
        if let Some(known) = self.0.get(folder) {
            return known.clone();
        }
        let version = folder
            .ancestors()
            .find_map(|folder| read(&folder.join("package.json")))
            .and_then(|package| package.version);
        self.0.insert(folder.to_owned(), version.clone());
        version
    }
}

/// Of Node that a process runs, by the headers that are installed with it.
pub(super) fn node_version(pid: u32) -> Option<String> {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let header = program.parent()?.parent()?.join("include/node/node_version.h");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(open_regular(&header).ok()?, FILE_BYTES_MAX), &mut text)
        .ok()?;
    let number = |name: &str| {
        let is_it = |line: &&str| line.split_whitespace().nth(1) == Some(name);
        text.lines().find(is_it)?.split_whitespace().nth(2)?.parse::<u32>().ok()
    };
    let [major, minor, patch] = ["NODE_MAJOR_VERSION", "NODE_MINOR_VERSION", "NODE_PATCH_VERSION"].map(number);
    Some(format!("{}.{}.{}", major?, minor?, patch?))
}

/// Whether a script in `folder` finds a package, and its own names it among what it needs: many are there for others.
pub(super) fn depends(folder: &Path, package: &str) -> bool {
    let is_there = |folder: &Path| folder.join("node_modules").join(package).join("package.json").is_file();
    let own = || folder.ancestors().find_map(|folder| read(&folder.join("package.json")));
    folder.ancestors().any(is_there) && own().is_none_or(|own| own.dependencies.get(package).is_some())
}

#[derive(Default, Deserialize)]
struct Package {
    version: Option<String>,
    #[serde(default)]
    dependencies: serde_json::Value,
}

/// None where there is none. One that makes no sense says nothing.
fn read(path: &Path) -> Option<Package> {
    let file = std::io::Read::take(open_regular(path).ok()?, FILE_BYTES_MAX);
    Some(serde_json::from_reader(std::io::BufReader::new(file)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_package_says_it() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        std::fs::create_dir_all(base.join("a/src")).unwrap();
        std::fs::create_dir_all(base.join("b")).unwrap();
        std::fs::write(base.join("package.json"), r#"{"version": "1.2.3"}"#).unwrap();
        std::fs::write(base.join("a/package.json"), r#"{"name": "a"}"#).unwrap();
        let mut packages = Packages::default();
        let mut version = |path: &str| packages.version(&base.join(path).to_string_lossy());
        assert_eq!(version("b/x.js").as_deref(), Some("1.2.3"));
        assert_eq!(version("a/src/x.js"), None, "the nearest has none");
        assert_eq!(version("x.js").as_deref(), Some("1.2.3"));
        std::fs::write(base.join("package.json"), "no JSON").unwrap();
        assert_eq!(version("x.js").as_deref(), Some("1.2.3"), "asked once");
        assert_eq!(Packages::default().version(&base.join("x.js").to_string_lossy()), None);
        assert_eq!(Packages::default().version("sleep"), None, "a program of PATH");
    }
}
