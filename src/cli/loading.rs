//! Finding and reading an ecosystem file, and saying what was found in it.

use std::path::{Path, PathBuf};

use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use crate::config::{self, DiscoveryError, Loaded, World};
use crate::diag::{self, Code, Report, Severity};
use crate::graph::{Graph, Selection};
use crate::schema::Origins;

/// How much is said about a file that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Talk {
    /// What is likely wrong. Options that mean nothing here are no news at every `apply`.
    Warnings,
    /// Everything (`validate`).
    All,
    /// Nothing: it is printed in another form.
    None,
}

/// An ecosystem file, by its two names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryFile {
    /// Absolute, symlinks kept.
    pub path: PathBuf,
    /// As the user named it: what messages say.
    pub named: PathBuf,
}

impl EntryFile {
    /// One whose absolute path is all that is known.
    pub(super) fn at(path: PathBuf, world: &World) -> Self {
        let named = path.strip_prefix(&world.cwd).unwrap_or(&path).to_owned();
        Self { path, named }
    }
}

/// The file that is meant. Says which one it found when it had to look.
pub(super) fn entry(file: Option<&Path>, world: &World, terminal: &mut Terminal) -> Result<EntryFile, CliError> {
    let folder = match file {
        None => world.cwd.clone(),
        Some(file) => {
            let path = absolute(file, world);
            if !path.is_dir() {
                return Ok(EntryFile { path, named: file.to_owned() });
            }
            path
        }
    };
    let found = config::discover(&folder).map_err(not_found)?;
    let file = EntryFile::at(folder.join(found.file), world);
    terminal.note(&format!("using {}", file.named.display()));
    Ok(file)
}

/// Reads a file; everything that is wrong with it goes to stderr. Of apps beyond `only` no more is asked than that they
/// are written as apps are.
pub(super) fn load(
    file: &EntryFile,
    profile: Option<&str>,
    only: &[String],
    strict: bool,
    world: &World,
    terminal: &mut Terminal,
) -> Result<(Graph, Origins), CliError> {
    let Loaded { graph, origins, report } =
        config::load_selected(&file.named, profile, &Selection::possible(only), world);
    judge_apps(graph, &report, strict, world, terminal).map(|graph| (graph, origins))
}

/// The same of what stdin says, as if it were a file of this folder.
pub(super) fn load_stdin(
    text: &str,
    profile: Option<&str>,
    only: &[String],
    world: &World,
    terminal: &mut Terminal,
) -> Result<(Graph, Origins), CliError> {
    let (name, selection) = (Path::new("stdin"), Selection::possible(only));
    let Loaded { graph, origins, report } = config::load_text(&world.cwd, name, text, profile, &selection, world);
    judge_apps(graph, &report, false, world, terminal).map(|graph| (graph, origins))
}

/// As [`judge`]; but where that is to be overlooked, what is wrong with some apps only keeps the others from nothing.
pub(super) fn judge_apps(
    graph: Option<Graph>,
    report: &Report,
    strict: bool,
    world: &World,
    terminal: &mut Terminal,
) -> Result<Graph, CliError> {
    match graph {
        Some(graph) if world.reading.overlooks_missing && report.has_errors() => {
            say(report, Talk::Warnings, terminal);
            terminal.exit_with(Exit::Error.into());
            Ok(graph)
        }
        graph => judge(graph, report, strict, Talk::Warnings, terminal),
    }
}

/// Says what a report says, and whether what was read can be used.
pub(super) fn judge<T>(
    value: Option<T>,
    report: &Report,
    strict: bool,
    talk: Talk,
    terminal: &mut Terminal,
) -> Result<T, CliError> {
    if terminal.for_programs && report.has_errors() {
        let details = (talk != Talk::None).then(|| Box::new(diag::render_json(report)));
        return Err(CliError { details, ..CliError::new(Exit::Config, "the file has errors") });
    }
    say(report, talk, terminal);
    if report.has_errors() {
        return Err(CliError::said(Exit::Config));
    }
    if strict && report.diagnostics.iter().any(|d| d.severity == Severity::Warning) {
        return Err(CliError::new(Exit::Config, "warnings are errors because of `--strict`"));
    }
    value.ok_or_else(|| CliError::new(Exit::Config, "the file could not be read"))
}

/// What `--only` means, given the apps of the file; `only` holds exact names from then on.
pub(super) fn select(only: &mut Vec<String>, graph: &Graph) -> Result<Selection, CliError> {
    let selection = Selection::among(only, &graph.apps.iter().map(|app| app.name.as_str()))
        .map_err(|unknown| CliError::error(unknown.to_string()).suggest(unknown.suggestion.as_deref()))?;
    *only = selection.names().into_iter().flatten().cloned().collect();
    Ok(selection)
}

/// A path as messages show it: relative where it is below the working directory.
pub(super) fn shown(path: &Path, world: &World) -> String {
    path.strip_prefix(&world.cwd).unwrap_or(path).display().to_string()
}

/// Relative paths are below the working directory as the user named it. A shell has expanded `~` already.
pub(super) fn absolute(path: &Path, world: &World) -> PathBuf {
    match path.to_str() {
        Some(text) if !text.starts_with('~') => world.resolve(&world.cwd, text),
        _ => world.cwd.join(path),
    }
}

fn say(report: &Report, talk: Talk, terminal: &mut Terminal) {
    if terminal.manners.are_pm2s() && talk != Talk::None {
        return super::pm2::judged(report, terminal);
    }
    let wanted = |severity: Severity, code: Code| match talk {
        Talk::All => true,
        Talk::Warnings => severity != Severity::Info || !matches!(code, Code::Meaningless | Code::NoCode),
        Talk::None => false,
    };
    let diagnostics: Vec<_> = report.diagnostics.iter().filter(|d| wanted(d.severity, d.code)).cloned().collect();
    if !diagnostics.is_empty() {
        let report = Report { sources: report.sources.clone(), diagnostics };
        terminal.say(diag::render_text(&report, terminal.colour_err, terminal.unicode));
        let worst = report.diagnostics.iter().min_by_key(|diagnostic| diagnostic.severity);
        if let Some(worst) = worst.filter(|_| talk == Talk::All) {
            terminal.say(format!("\n`pmrun explain {}` says more", worst.code.name()));
        }
    }
}

fn not_found(err: DiscoveryError) -> CliError {
    let error = CliError::new(Exit::Config, err.to_string());
    match err {
        DiscoveryError::None { tried, .. } if tried.is_empty() => error.hint("name the file that is meant"),
        DiscoveryError::None { tried, .. } => error.hint(format!("looked for {}", tried.join(", "))),
        DiscoveryError::Unusable { .. } => error,
        DiscoveryError::Several { files, .. } => {
            error.hint(format!("name the one that is meant, like `{}`", files.first().map_or("FILE", String::as_str)))
        }
    }
}
