use std::path::{Path, PathBuf};

use super::World;
use super::machine::Machine;
use crate::diag::{Code, Diagnostic, Report, Severity};
use crate::document::{Entry, Key, Kind, Location, Node, SourceId};
use crate::graph::{Graph, Selection};
use crate::schema::{self, Places, Request};
use crate::spec::EcosystemId;

/// A graph when the file has no errors, and everything there is to say about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub graph: Option<Graph>,
    pub report: Report,
}

/// Reads, decodes, overlays and validates an ecosystem file. Never stops at the first problem.
#[must_use]
pub fn load(entry: &Path, profile: Option<&str>, world: &World) -> Loaded {
    load_selected(entry, profile, &Selection::All, world)
}

/// The same for a command that is about some of the apps: what the others lack on this machine does not matter to it,
/// what is wrong with the file does.
#[must_use]
pub fn load_selected(entry: &Path, profile: Option<&str>, selection: &Selection, world: &World) -> Loaded {
    let (document, report) = load_document(entry, world);
    let folder = folder(entry, world);
    match document {
        Some(document) => {
            resolve(&document, report, Request { file: entry, folder: &folder, profile, selection }, world)
        }
        None => Loaded { graph: None, report },
    }
}

/// One app that a command line describes, as a file in `folder` that says `{"apps": [app]}` would give it.
#[must_use]
pub fn load_node(folder: &Path, app: Node, world: &World) -> Loaded {
    let key = Key { text: "apps".to_owned(), span: None };
    let apps = Node::new(Kind::Sequence(vec![app]), None);
    let document = Node::new(Kind::Mapping(vec![Entry { key, value: apps }]), None);
    let request = Request { file: Path::new("command line"), folder, profile: None, selection: &Selection::All };
    resolve(&document, Report::default(), request, world)
}

fn resolve(document: &Node, mut report: Report, request: Request<'_>, world: &World) -> Loaded {
    let Request { file, folder, profile, .. } = request;
    let decoded = schema::decode(document, file);
    report.diagnostics.extend(decoded.diagnostics);
    let resolved = {
        let places = Places::new(file, &report.sources);
        schema::resolve(decoded.drafts, request, &Machine::new(world), &places)
    };
    report.diagnostics.extend(resolved.diagnostics);
    report.diagnostics.retain(|diagnostic| {
        let at_fault = diagnostic.severity == Severity::Error && diagnostic.code != Code::NotFound;
        at_fault || !resolved.unselected.iter().any(|app| is_of(diagnostic, app))
    });
    let ecosystem = decoded.ecosystem.unwrap_or_else(|| folder.to_string_lossy().into_owned());
    let graph = (!report.has_errors()).then(|| Graph {
        ecosystem: EcosystemId(ecosystem),
        file: file.display().to_string(),
        profile: profile.map(str::to_owned),
        apps: resolved.apps,
        deploy: decoded.deploy,
        origins: resolved.origins,
    });
    Loaded { graph, report }
}

/// Whether a diagnostic is about an app, by its path in the document.
fn is_of(diagnostic: &Diagnostic, app: &str) -> bool {
    let (Location::At { path, .. } | Location::Value { path, .. }) = &diagnostic.location else { return false };
    let rest = path.strip_prefix(app).filter(|_| !app.is_empty());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Only what the file says (`render --raw`).
#[must_use]
pub fn load_document(entry: &Path, world: &World) -> (Option<Node>, Report) {
    let mut report = Report::default();
    let node = read_document(entry, world, &mut report);
    (node, report)
}

/// What turns a text into a tree.
type Parse = fn(&str, SourceId) -> (Option<Node>, Vec<Diagnostic>);

fn read_document(entry: &Path, world: &World, report: &mut Report) -> Option<Node> {
    let ending = entry.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let parse: Parse = match ending.as_str() {
        "json" | "json5" | "jsonc" => super::json::parse,
        "yaml" | "yml" => super::yaml::parse,
        "toml" => super::toml::parse,
        "js" | "cjs" | "mjs" => {
            if let Some(node) = read_literal(entry, world, report) {
                return Some(node);
            }
            return match super::js::evaluate(entry, world, super::js::Limits::default()) {
                Ok(node) => Some(node),
                Err(diagnostic) => {
                    report.push(*diagnostic);
                    None
                }
            };
        }
        _ => {
            let message = format!("`{}` has no ending that a config file has", entry.display());
            let hint = "one of .js, .cjs, .mjs, .json, .json5, .jsonc, .yaml, .yml, .toml";
            report.push(Diagnostic::error(Code::File, message, Location::File(entry.to_owned())).hint(hint));
            return None;
        }
    };
    let real = world.real(&world.resolve_plain(entry));
    match super::bytes::read(&real, entry) {
        Ok(text) => {
            let source = report.sources.add(entry, text);
            let text = report.sources.get(source).text.clone();
            let (node, diagnostics) = parse(&text, source);
            report.diagnostics.extend(diagnostics);
            node
        }
        Err(diagnostic) => {
            report.push(*diagnostic);
            None
        }
    }
}

/// What a config program says that is only one literal. Every problem is the engine's to find again.
fn read_literal(entry: &Path, world: &World, report: &mut Report) -> Option<Node> {
    let (real, form) = super::js::form(entry, world)?;
    let text = super::bytes::read(&real, entry).ok()?;
    let mut sources = report.sources.clone();
    let source = sources.add(entry, text);
    let node = super::literal::parse(&sources.get(source).text, form, source)?;
    report.sources = sources;
    Some(node)
}

/// The folder that holds the file, absolute, symlinks kept as the user named them.
fn folder(entry: &Path, world: &World) -> PathBuf {
    let file = world.resolve_plain(entry);
    file.parent().map_or_else(|| world.cwd.clone(), Path::to_owned)
}

#[cfg(test)]
mod tests;
