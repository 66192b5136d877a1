//! Files of PM2's that are called JSON and are expressions: PM2 evaluates every one of them.

use std::path::{Path, PathBuf};

use super::super::loading::EntryFile;
use super::super::surroundings;
use crate::config::{Mapping, World, parse};
use crate::document::Format;

/// Such a file as a program, which the engine for those runs: without Node, without files or network.
pub(in super::super) struct Program {
    pub entry: EntryFile,
    pub world: World,
    written: PathBuf,
}

impl Program {
    /// None for what is JSON, also in the wider sense, and for what cannot be read.
    pub(in super::super) fn of(path: &Path, world: &World) -> Option<Self> {
        if path.extension().is_none_or(|ending| ending != "json") {
            return None;
        }
        let text = std::fs::read_to_string(path).ok()?;
        if parse(&text, Format::Json).0.is_some() {
            return None;
        }
        let mut seen = path.as_os_str().to_owned();
        seen.push(".config.cjs");
        let seen = PathBuf::from(seen);
        let home = surroundings::home().ok()?;
        let written = home.join(format!("evaluated-{}.config.cjs", std::process::id()));
        crate::platform::ensure_home(&home).ok()?;
        std::fs::write(&written, format!("module.exports = (\n{text}\n);\n")).ok()?;
        let mapping = Mapping { shown: Some(path.to_owned()), ..Mapping::new(seen.clone(), written.clone()) };
        let entry = EntryFile::at(seen, world);
        Some(Self { entry, world: World { mapping: Some(mapping), ..world.clone() }, written })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It is found again by nobody.
        let _ = std::fs::remove_file(&self.written);
    }
}
