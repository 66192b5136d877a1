use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::OnceLock;

use super::draft::{Draft, Mark, Outdone, Variable};
use super::options::OVERLAY_PREFIX;
use super::resolve::Request;
use crate::diag;
use crate::document::{Location, Sources};

/// Where each value of each app comes from. Costs next to nothing until it is asked.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    file: PathBuf,
    profile: Option<String>,
    sources: Sources,
    /// The apps' names, and by the same index what they were resolved from: moved here as it is, for drafts are large.
    names: Vec<String>,
    drafts: Vec<Draft>,
    found: Vec<Found>,
    assigned: BTreeMap<String, String>,
    by_name: OnceLock<HashMap<String, usize>>,
}

/// What was found out about an app while it was resolved, and is in no field of it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) env_files: Vec<EnvFile>,
    pub(super) command: CommandBy,
}

/// What an app was resolved from.
#[derive(Clone, Copy, Debug)]
pub struct AppOrigin<'a> {
    pub draft: &'a Draft,
    /// In their order: later ones win.
    pub env_files: &'a [EnvFile],
    /// What the config program has put into `process.env`.
    pub assigned: &'a BTreeMap<String, String>,
    pub command: CommandBy,
}

#[derive(Clone, Debug)]
pub struct EnvFile {
    /// As the app names it.
    pub written: String,
    pub path: PathBuf,
    pub variables: BTreeMap<String, String>,
}

/// Why an app's command is what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandBy {
    pub script: ScriptBy,
    pub interpreter: InterpreterBy,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScriptBy {
    #[default]
    File,
    /// It is in PATH.
    Program,
    /// It is a command line.
    Line,
    /// pmrun's own server of files.
    FileServer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InterpreterBy {
    /// The option says it.
    #[default]
    Written,
    Ending,
    /// `#!node`
    FirstLine,
    /// The file says nothing of itself.
    PlainText,
    /// A command line needs a shell.
    Shell,
    /// It runs by itself.
    Executable,
}

/// One of the values that stand for the same thing. The strongest of them holds.
#[derive(Clone, Debug)]
pub struct Layer<'a> {
    /// The key that it is written under: `env_production`, `exec`, `env_file`.
    pub key: String,
    /// None for the value that holds, where it is an option's: resolving may have made something else of it.
    pub value: Option<String>,
    pub at: Written<'a>,
}

#[derive(Clone, Debug)]
pub enum Written<'a> {
    Mark(Mark),
    EnvFile(&'a EnvFile),
    /// Somewhere in the config program.
    Program,
}

/// The key of what a config program has set.
pub const PROGRAM: &str = "process.env";

impl Origins {
    pub(super) fn new(
        request: Request<'_>,
        sources: &Sources,
        names: Vec<String>,
        drafts: Vec<Draft>,
        found: Vec<Found>,
    ) -> Self {
        Self {
            file: request.file.to_owned(),
            profile: request.profile.map(str::to_owned),
            sources: sources.clone(),
            names,
            drafts,
            found,
            assigned: request.assigned.clone(),
            by_name: OnceLock::new(),
        }
    }

    #[must_use]
    pub fn app(&self, name: &str) -> Option<AppOrigin<'_>> {
        let index = || self.names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect();
        let at = *self.by_name.get_or_init(index).get(name)?;
        let Found { env_files, command } = self.found.get(at)?;
        Some(AppOrigin { draft: self.drafts.get(at)?, env_files, assigned: &self.assigned, command: *command })
    }

    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// What a mark of one of the apps points to.
    #[must_use]
    pub fn location(&self, mark: &Mark) -> Location {
        mark.location(&self.file)
    }

    /// Where a value was written, by its path within the app (`env.PORT`, `script`): `file:line:column`, or
    /// `file (apps[0] (api).script)` for what a program computed. None for what the file does not say.
    #[must_use]
    pub fn place(&self, app: &str, path: &str) -> Option<String> {
        let app = self.app(app)?;
        let mark = match path.strip_prefix("env.") {
            None => app.mark(path)?.clone(),
            Some(name) => match app.variable(name, self.profile.as_deref()).into_iter().next()?.at {
                Written::Mark(mark) => mark,
                Written::EnvFile(file) => return Some(file.written.clone()),
                Written::Program => return diag::place(&self.sources, &Location::File(self.file.clone())),
            },
        };
        diag::place(&self.sources, &self.location(&mark))
    }

    /// All that is written for an option or a variable, the strongest first.
    #[must_use]
    pub fn layers(&self, app: &str, path: &str) -> Vec<Layer<'_>> {
        let Some(app) = self.app(app) else { return Vec::new() };
        let mut layers = match path.strip_prefix("env.") {
            Some(name) => app.variable(name, self.profile.as_deref()),
            None => app.mark(path).map(option).into_iter().collect(),
        };
        let outdone = app.draft.outdone.iter().filter(|outdone| outdone.option == path);
        layers.extend(outdone.rev().map(|Outdone { key, value, mark, .. }| Layer {
            key: key.clone(),
            value: Some(value.clone()),
            at: Written::Mark(mark.clone()),
        }));
        layers
    }
}

impl<'a> AppOrigin<'a> {
    /// Where an option is written, or the one that stands for it.
    fn mark(self, option: &str) -> Option<&'a Mark> {
        let instead = match option {
            "out_file" | "error_file" | "log_file" if self.draft.disable_logs => "disable_logs",
            "log_date_format" if self.draft.time => "time",
            _ => return self.draft.marks.get(option),
        };
        self.draft.marks.get(option).or_else(|| self.draft.marks.get(instead))
    }

    /// The program's, then `env_file`, then `env`, then the profile's overlay, then `port`: this is that order, the other way round.
    fn variable(self, name: &str, profile: Option<&str>) -> Vec<Layer<'a>> {
        let draft = self.draft;
        let mut layers = Vec::new();
        if let Some(port) = draft.port.filter(|_| name == "PORT") {
            layers.push(Layer { value: Some(port.to_string()), ..option(draft.at("port")) });
        }
        let mut of = |profile: Option<&str>, variables: &[Variable]| {
            if let Some(variable) = variables.iter().find(|variable| variable.name == name) {
                let key = profile.map_or_else(|| "env".to_owned(), |profile| format!("{OVERLAY_PREFIX}{profile}"));
                let at = Written::Mark(draft.variable(profile, variable));
                layers.push(Layer { key, value: Some(variable.value.clone()), at });
            }
        };
        if let Some(overlay) = profile.and_then(|profile| draft.overlays.get(profile)) {
            of(profile, overlay);
        }
        of(None, &draft.env);
        layers.extend(self.env_files.iter().rev().filter_map(|file| {
            let value = file.variables.get(name)?.clone();
            Some(Layer { key: "env_file".to_owned(), value: Some(value), at: Written::EnvFile(file) })
        }));
        layers.extend(self.assigned.get(name).filter(|_| !draft.filters(name)).map(|value| Layer {
            key: PROGRAM.to_owned(),
            value: Some(value.clone()),
            at: Written::Program,
        }));
        layers
    }
}

/// The key is the last part of a mark's path.
fn option(mark: &Mark) -> Layer<'static> {
    let key = mark.path.rsplit('.').next().unwrap_or_default().to_owned();
    Layer { key, value: None, at: Written::Mark(mark.clone()) }
}
