use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::World;
use super::discovery::{PROGRAMS, endings};
use super::js::Assigned;
use super::machine::Machine;
use crate::diag::{Code, Diagnostic, Report, Severity};
use crate::document::{Entry, Format, Key, Kind, Location, Node, SourceId, Span, to_json_text};
use crate::graph::{Graph, Selection};
use crate::schema::{self, Origins, Request};
use crate::spec::{AppSpec, EcosystemId};

/// A graph when the file has no errors, or none that is overlooked, and everything there is to say about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub graph: Option<Graph>,
    pub origins: Origins,
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
    let mut report = Report::default();
    let folder = folder(entry, world);
    let started = Instant::now();
    let document = if is_text(&folder, entry, &mut report) { read_document(entry, world, &mut report) } else { None };
    let file = world.mapping.as_ref().and_then(|mapping| mapping.shown.as_deref()).unwrap_or(entry);
    report.rename(entry, file);
    let assigned = &world.reading.journal.take_assigned();
    let mut loaded = match document {
        Some(document) => {
            let request = || Request { file, folder: &folder, profile, selection, assigned };
            let read = report.clone();
            let is_quick = started.elapsed() < super::js::SOON;
            let loaded = resolve(&document, report, request(), world);
            let better = if is_quick { located(entry, &document, &loaded.report, read, world) } else { None };
            match better {
                Some((document, mut report)) => {
                    report.rename(entry, file);
                    resolve(&document, report, request(), world)
                }
                None => loaded,
            }
        }
        None => Loaded { graph: None, origins: Origins::default(), report },
    };
    loaded.report.shorten(file);
    loaded
}

/// The document with the places of literals, where something is said of values that only were computed so far.
fn located(entry: &Path, document: &Node, said: &Report, mut report: Report, world: &World) -> Option<(Node, Report)> {
    let computed = |span: &Span| report.sources.get(span.source).computed;
    let mut spans: HashSet<Span> = HashSet::new();
    spans.extend(said.diagnostics.iter().filter_map(|diagnostic| match &diagnostic.location {
        Location::At { span, .. } if said.sources.get(span.source).computed => Some(*span),
        _ => None,
    }));
    if spans.is_empty() && !world.reading.exact {
        return None;
    }
    let mut doubted = Vec::new();
    document.each(&mut |node| {
        let wanted = |span: &Span| world.reading.exact && computed(span) || spans.contains(span);
        doubted.extend(node.span.filter(wanted).map(|_| node));
    });
    let node = super::js::settle(entry, world, document, &doubted, &mut report.sources)?;
    Some((node, report))
}

/// One app that something else describes, as a file in `folder` that says `{"apps": [app]}` would give it. `file` is what
/// messages say.
#[must_use]
pub fn load_node(folder: &Path, file: &Path, app: Node, world: &World) -> Loaded {
    let key = Key { text: "apps".to_owned(), span: None };
    let apps = Node::new(Kind::Sequence(vec![app]), None);
    let document = Node::new(Kind::Mapping(vec![Entry { key, value: apps }]), None);
    let (selection, assigned) = (&Selection::All, &BTreeMap::new());
    let request = Request { file, folder, profile: None, selection, assigned };
    let mut report = Report::default();
    is_text(folder, request.file, &mut report);
    resolve(&document, report, request, world)
}

/// A text that stands for an ecosystem file in `folder`: JSON, as PM2's users write it. `file` is what messages say.
#[must_use]
pub fn load_text(
    folder: &Path,
    file: &Path,
    text: &str,
    profile: Option<&str>,
    selection: &Selection,
    world: &World,
) -> Loaded {
    let assigned = &BTreeMap::new();
    let request = Request { file, folder, profile, selection, assigned };
    let mut report = Report::default();
    is_text(folder, file, &mut report);
    let source = report.sources.add(file, text);
    let (node, diagnostics) = super::json::parse(text, source);
    report.diagnostics.extend(diagnostics);
    match node {
        Some(document) => resolve(&document, report, request, world),
        None => Loaded { graph: None, origins: Origins::default(), report },
    }
}

/// Whether a folder has a name that a config, and a state, can say.
fn is_text(folder: &Path, file: &Path, report: &mut Report) -> bool {
    if folder.to_str().is_none() {
        let message = format!("the name of the folder `{}` is not UTF-8", folder.display());
        let problem = Diagnostic::error(Code::File, message, Location::File(file.to_owned()));
        report.push(problem.hint("an ecosystem is known by its folder, and its apps run there: give it another name"));
    }
    folder.to_str().is_some()
}

fn resolve(document: &Node, mut report: Report, request: Request<'_>, world: &World) -> Loaded {
    let Request { file, folder, profile, .. } = request;
    let decoded = schema::decode(document, file);
    report.diagnostics.extend(decoded.diagnostics);
    let resolved = schema::resolve(decoded.drafts, request, &Machine::new(world, folder), &report.sources);
    report.diagnostics.extend(resolved.diagnostics);
    if world.mapping.is_some() {
        // An older version need not have the profile yet.
        let profiles = report.diagnostics.iter_mut().filter(|diagnostic| diagnostic.code == Code::Profile);
        profiles.for_each(|diagnostic| diagnostic.severity = Severity::Warning);
    }
    report.diagnostics.retain(|diagnostic| {
        let at_fault =
            diagnostic.severity == Severity::Error && !matches!(diagnostic.code, Code::NotFound | Code::Refused);
        at_fault || !resolved.unselected.iter().any(|app| is_of(diagnostic, app))
    });
    let ecosystem = decoded.ecosystem.unwrap_or_else(|| folder.to_string_lossy().into_owned());
    let apps = if !report.has_errors() {
        Some(resolved.apps)
    } else if world.reading.overlooks_missing {
        those_that_are_there(resolved.apps, &resolved.paths, &report)
    } else {
        None
    };
    let graph = apps.map(|apps| Graph {
        ecosystem: EcosystemId(ecosystem),
        file: file.display().to_string(),
        profile: profile.map(str::to_owned),
        apps,
        deploy: decoded.deploy,
    });
    Loaded { graph, origins: resolved.origins, report }
}

/// Where nothing is wrong but that programs of some are missing: the others, unless one of them needs such a one.
fn those_that_are_there(apps: Vec<AppSpec>, paths: &[String], report: &Report) -> Option<Vec<AppSpec>> {
    let errors = || report.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    let lacks = |path: &String| errors().any(|diagnostic| is_of(diagnostic, path));
    let is_told =
        |diagnostic: &Diagnostic| diagnostic.code == Code::NotFound && paths.iter().any(|path| is_of(diagnostic, path));
    if !errors().all(is_told) {
        return None;
    }
    let (there, missing): (Vec<_>, Vec<_>) = apps.into_iter().zip(paths).partition(|(_, path)| !lacks(path));
    let there: Vec<AppSpec> = there.into_iter().map(|(app, _)| app).collect();
    let needs = |app: &AppSpec| app.depends_on.iter().any(|name| missing.iter().any(|(one, _)| one.name == *name));
    (!there.is_empty() && !there.iter().any(needs)).then_some(there)
}

/// Whether a diagnostic is about an app, by its path in the document.
fn is_of(diagnostic: &Diagnostic, app: &str) -> bool {
    let (Location::At { path, .. } | Location::Value { path, .. }) = &diagnostic.location else { return false };
    let rest = path.strip_prefix(app).filter(|_| !app.is_empty());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// What the file says or exports, as `JSON.stringify` prints it (`render --raw`).
#[must_use]
pub fn load_raw(entry: &Path, world: &World) -> (Option<String>, Report) {
    let mut report = Report::default();
    let text = read_raw(entry, world, &mut report);
    (text, report)
}

fn read_raw(entry: &Path, world: &World, report: &mut Report) -> Option<String> {
    match front(entry, report)? {
        Front::Data(parse) => read_data(entry, parse, world, report).as_ref().map(to_json_text),
        Front::Program => match read_program(entry, world, report)? {
            Program::Literal(node) => Some(to_json_text(&node)),
            Program::Code => {
                let text = super::js::stringify(entry, world, &mut report.sources);
                ran(text, world, report)
            }
        },
    }
}

/// What the file says, before anything is made of it.
#[must_use]
pub fn load_document(entry: &Path, world: &World) -> (Option<Node>, Report) {
    let mut report = Report::default();
    let document = read_document(entry, world, &mut report);
    (document, report)
}

/// The tree of a text, and everything there is to say about it. Of JavaScript a program that is one literal; anything
/// else is None.
#[must_use]
pub fn parse(text: &str, format: Format) -> (Option<Node>, Vec<Diagnostic>) {
    let source = SourceId(0);
    match format {
        Format::Json | Format::Json5 => super::json::parse(text, source),
        Format::Yaml => super::yaml::parse(text, source),
        Format::Toml => super::toml::parse(text, source),
        Format::CommonJs => (super::literal::parse(text, super::js::Form::CommonJs, source), Vec::new()),
        Format::Module => (super::literal::parse(text, super::js::Form::Module, source), Vec::new()),
    }
}

/// Reads a text that was written as this format; None for what does not read back.
#[must_use]
pub fn read_back(text: &str, format: Format) -> Option<Node> {
    let (node, diagnostics) = parse(text, format);
    node.filter(|_| diagnostics.is_empty())
}

/// Whether a file is a program that computes something.
#[must_use]
pub fn is_program(entry: &Path, world: &World) -> bool {
    let report = &mut Report::default();
    matches!(front(entry, report), Some(Front::Program))
        && matches!(read_program(entry, world, report), Some(Program::Code))
}

/// The text of an env file, and where in it a variable is set.
#[must_use]
pub fn env_file(path: &Path, name: &str, world: &World) -> Option<(String, Range<usize>)> {
    let text = super::dotenv::plain(&super::bytes::read(&world.real(path), path).ok()?);
    let at = super::dotenv::find(&text, name)?;
    Some((text, at))
}

/// Where a config program, or the `.env` beside it that it may have read, says what it has put into `process.env`: the
/// file, its text, and the place in that.
#[must_use]
pub fn assigned(program: &Path, name: &str, value: &str, world: &World) -> Option<(PathBuf, String, Assigned)> {
    let text = super::bytes::read(&world.real(program), program).ok()?;
    if let Some(found) = super::js::assigned(&text, name, value) {
        return Some((program.to_owned(), text, found));
    }
    if !text.contains("dotenv") && !text.contains("loadEnvFile") {
        return None;
    }
    let beside = program.with_file_name(".env");
    let (text, at) = env_file(&beside, name, world)?;
    let holds = super::dotenv::parse(&text).iter().any(|(key, found)| key == name && found == value);
    holds.then_some((beside, text, Assigned { at, is_literal: true }))
}

/// What turns a text into a tree.
type Parse = fn(&str, SourceId) -> (Option<Node>, Vec<Diagnostic>);

fn read_document(entry: &Path, world: &World, report: &mut Report) -> Option<Node> {
    match front(entry, report)? {
        Front::Data(parse) => read_data(entry, parse, world, report),
        Front::Program => match read_program(entry, world, report)? {
            Program::Literal(node) => Some(node),
            Program::Code => {
                let node = super::js::evaluate(entry, world, &mut report.sources);
                ran(node, world, report)
            }
        },
    }
}

/// What reads a file.
enum Front {
    Data(Parse),
    Program,
}

fn front(entry: &Path, report: &mut Report) -> Option<Front> {
    let ending = entry.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    Some(match ending.as_str() {
        "json" | "json5" | "jsonc" => Front::Data(super::json::parse),
        "yaml" | "yml" => Front::Data(super::yaml::parse),
        "toml" => Front::Data(super::toml::parse),
        ending if PROGRAMS.contains(&ending) => Front::Program,
        _ => {
            let message = format!("`{}` has no ending that a config file has", entry.display());
            let hint = format!("one of .{}", endings().collect::<Vec<_>>().join(", ."));
            report.push(Diagnostic::error(Code::File, message, Location::File(entry.to_owned())).hint(hint));
            return None;
        }
    })
}

fn read_data(entry: &Path, parse: Parse, world: &World, report: &mut Report) -> Option<Node> {
    let text = told(super::bytes::read(&real(entry, world), entry), report)?;
    world.reading.journal.file(&world.resolve_plain(entry), text.as_bytes());
    let source = report.sources.add(entry, text);
    let text = report.sources.get(source).text.clone();
    let (node, diagnostics) = parse(&text, source);
    report.diagnostics.extend(diagnostics);
    node
}

/// What a config program is.
enum Program {
    /// Only one literal.
    Literal(Node),
    /// It takes the engine, which finds every problem again.
    Code,
}

/// None when there is nothing to run.
fn read_program(entry: &Path, world: &World, report: &mut Report) -> Option<Program> {
    let bytes = told(super::bytes::read_bytes(&real(entry, world), entry), report)?;
    world.reading.journal.file(&world.resolve_plain(entry), &bytes);
    if let Some(problem) = super::bytes::utf16(&bytes, entry) {
        report.push(problem);
        return None;
    }
    let literal = || {
        // Whoever asks for Node is to get Node.
        if world.engine != super::js::Engine::Embedded {
            return None;
        }
        let form = super::js::form(entry, world)?;
        let mut sources = report.sources.clone();
        let source = sources.add(entry, String::from_utf8(bytes).ok()?);
        let node = super::literal::parse(&sources.get(source).text, form, source)?;
        Some((node, sources))
    };
    let Some((node, sources)) = literal() else { return Some(Program::Code) };
    report.sources = sources;
    Some(Program::Literal(node))
}

/// Where the entry's bytes are.
fn real(entry: &Path, world: &World) -> PathBuf {
    world.real(&world.resolve_plain(entry))
}

/// The value, or its problem in the report.
fn told<T>(read: Result<T, Box<Diagnostic>>, report: &mut Report) -> Option<T> {
    read.map_err(|diagnostic| report.push(*diagnostic)).ok()
}

/// The same of a program, which may have more than one problem.
fn ran<T>(read: Result<T, Box<Diagnostic>>, world: &World, report: &mut Report) -> Option<T> {
    let value = told(read, report);
    report.diagnostics.extend(world.reading.journal.take_told());
    value
}

/// The folder that holds the file, absolute, symlinks kept as the user named them.
fn folder(entry: &Path, world: &World) -> PathBuf {
    let file = world.resolve_plain(entry);
    file.parent().map_or_else(|| world.cwd.clone(), Path::to_owned)
}

#[cfg(test)]
mod convert_tests;
#[cfg(test)]
mod tests;
