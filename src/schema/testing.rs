//! A machine in a table, and documents from JSON.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::{Decoded, EnvText, FileEntry, Request, Resolved, Surroundings, decode, resolve};
use crate::base::Cpus;
use crate::diag::{Diagnostic, Severity};
use crate::document::{Entry, Key, Kind, Location, Node, Sources};

pub(super) const FILE: &str = "ecosystem.json";
pub(super) const FOLDER: &str = "/srv/site";

/// Files by absolute path; programs are files in `/bin`.
#[derive(Default)]
pub(super) struct Table {
    pub(super) files: BTreeMap<PathBuf, (Vec<u8>, bool)>,
    pub(super) folders: Vec<PathBuf>,
    pub(super) read: RefCell<Vec<PathBuf>>,
}

impl Table {
    /// A usual machine, and `x.sh` in the config's folder.
    pub(super) fn usual() -> Self {
        let mut table = Self::default();
        for program in ["sh", "bash", "node", "python3", "npm", "sleep"] {
            let head = if program == "npm" { "#!/usr/bin/env node\n" } else { "\u{7f}ELF\0" };
            table.add(&format!("/bin/{program}"), head, true);
        }
        table.add("/usr/bin/env", "\u{7f}ELF\0", true);
        table.add("/srv/site/x.sh", "#!/bin/sh\n", false);
        table.folders = ["/srv/site", "/srv/site/sub", "/home/app"].map(PathBuf::from).to_vec();
        table
    }

    pub(super) fn add(&mut self, path: &str, content: &str, executable: bool) {
        self.files.insert(path.into(), (content.as_bytes().to_vec(), executable));
    }
}

impl Surroundings for Table {
    fn cpus(&self) -> Cpus {
        Cpus::of_machine(4)
    }

    fn merges_logs(&self) -> bool {
        false
    }

    fn overlooks_profiles(&self) -> bool {
        false
    }

    fn account(&self, user: Option<&str>, group: Option<&str>) -> Result<(), String> {
        match user.into_iter().chain(group).find(|name| *name == "nobody-here") {
            Some(name) => Err(format!("there is no user `{name}` on this machine")),
            None => Ok(()),
        }
    }

    fn knows_zone(&self, name: &str) -> bool {
        matches!(name, "UTC" | "Europe/Berlin")
    }

    fn absolute(&self, base: &Path, written: &str) -> PathBuf {
        let path = match written.strip_prefix("~/") {
            Some(rest) => Path::new("/home/app").join(rest),
            None => base.join(written),
        };
        path.components().fold(PathBuf::new(), |mut out, part| {
            match part {
                Component::ParentDir => {
                    out.pop();
                }
                Component::CurDir => {}
                other => out.push(other),
            }
            out
        })
    }

    fn entry(&self, path: &Path) -> FileEntry {
        if let Some((_, executable)) = self.files.get(path) {
            return FileEntry::File { executable: *executable };
        }
        if path == Path::new("/locked") {
            return FileEntry::Unusable("permission denied".to_owned());
        }
        if self.folders.iter().any(|folder| folder == path) { FileEntry::Folder } else { FileEntry::Missing }
    }

    fn head(&self, path: &Path) -> Vec<u8> {
        self.files.get(path).map(|(content, _)| content.clone()).unwrap_or_default()
    }

    fn program(&self, name: &str, search: Option<&str>) -> Option<PathBuf> {
        let path = Path::new(search.unwrap_or("/bin")).join(name);
        matches!(self.entry(&path), FileEntry::File { executable: true }).then_some(path)
    }

    fn finds(&self, name: &str, search: Option<&str>, _: &Path) -> bool {
        self.program(name, search).is_some()
    }

    fn appendable(&self, path: &Path) -> Result<(), String> {
        if path.starts_with("/locked") { Err("cannot be written: permission denied".to_owned()) } else { Ok(()) }
    }

    fn replaceable(&self, path: &Path) -> Result<(), String> {
        self.appendable(path)
    }

    fn patterns(&self, globs: &[String]) -> Result<(), String> {
        if globs.iter().any(|glob| glob == "[") { Err("`[` is not closed".to_owned()) } else { Ok(()) }
    }

    fn refuses(&self, _: &Path, _: bool) -> bool {
        false
    }

    fn env_file(&self, path: &Path) -> Result<EnvText, String> {
        let (content, _) = self.files.get(path).ok_or("does not exist")?;
        let text = String::from_utf8_lossy(content);
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Ok(EnvText {
            variables: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            digest: format!("digest of {text:?}"),
            oddities: (1..)
                .zip(text.lines())
                .filter(|(_, line)| !line.contains('='))
                .map(|(n, _)| (n, "is odd"))
                .collect(),
        })
    }

    fn digest(&self, path: &Path) -> Result<String, String> {
        self.read.borrow_mut().push(path.to_owned());
        let (content, _) = self.files.get(path).ok_or("is gone")?;
        Ok(format!("digest of {:?}", String::from_utf8_lossy(content)))
    }

    fn matching(&self, folder: &Path, globs: &[String]) -> Result<BTreeMap<String, String>, String> {
        let found = globs.iter().filter(|glob| self.files.contains_key(&folder.join(glob)));
        Ok(found.map(|glob| (glob.clone(), "digest".to_owned())).collect())
    }

    fn revision(&self, _: &Path) -> Result<String, String> {
        Ok("4f2a".to_owned())
    }
}

/// A document without spans, as a config program gives it.
pub(super) fn node(value: &serde_json::Value) -> Node {
    use serde_json::Value;
    let kind = match value {
        Value::Null => Kind::Null,
        Value::Bool(value) => Kind::Bool(*value),
        Value::Number(number) => Kind::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::String(text.clone()),
        Value::Array(items) => Kind::Sequence(items.iter().map(node).collect()),
        Value::Object(entries) => Kind::Mapping(
            entries
                .iter()
                .map(|(key, value)| Entry { key: Key { text: key.clone(), span: None }, value: node(value) })
                .collect(),
        ),
    };
    Node::new(kind, None)
}

pub(super) fn decoded(document: &serde_json::Value) -> Decoded {
    decode(&node(document), Path::new(FILE))
}

pub(super) struct Run {
    pub(super) resolved: Resolved,
    /// Of decoding and resolving.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// The whole way through the pure layers.
pub(super) fn run_on(document: &serde_json::Value, profile: Option<&str>, machine: &Table) -> Run {
    run_node(&node(document), profile, machine)
}

pub(super) fn run_node(document: &Node, profile: Option<&str>, machine: &Table) -> Run {
    run_with(document, profile, &BTreeMap::new(), machine)
}

/// With what a config program has set in its environment.
pub(super) fn run_with(
    document: &Node,
    profile: Option<&str>,
    assigned: &BTreeMap<String, String>,
    machine: &Table,
) -> Run {
    let decoded = decode(document, Path::new(FILE));
    let sources = Sources::default();
    let selection = &crate::graph::Selection::All;
    let request = Request { file: Path::new(FILE), folder: Path::new(FOLDER), profile, selection, assigned };
    let resolved = resolve(decoded.drafts, request, machine, &sources);
    let diagnostics = decoded.diagnostics.iter().chain(&resolved.diagnostics).cloned().collect();
    Run { resolved, diagnostics }
}

pub(super) fn run(document: &serde_json::Value) -> Run {
    run_on(document, None, &Table::usual())
}

impl Run {
    /// Every diagnostic as a line: severity, path, message, hint.
    pub(super) fn lines(&self) -> Vec<String> {
        self.diagnostics.iter().map(line).collect()
    }

    pub(super) fn errors(&self) -> Vec<String> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).map(line).collect()
    }
}

pub(super) fn line(diagnostic: &Diagnostic) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let place = match &diagnostic.location {
        Location::Value { path, .. } | Location::At { path, .. } => format!(" at {path}"),
        Location::File(_) => " at the file".to_owned(),
        Location::Line { .. } | Location::Nowhere => String::new(),
    };
    let hint = diagnostic.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{severity}{place}: {}{hint}", diagnostic.message)
}
