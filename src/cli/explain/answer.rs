//! A value, and everything that was said of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::ambient::is_inherited;
use super::super::error::CliError;
use super::super::loading::shown;
use super::super::render::HIDDEN;
use super::ask::{Value, Which};
use super::derived;
use crate::base::closest;
use crate::config::js::Assigned;
use crate::config::{self, World};
use crate::document::{Location, Sources, Span};
use crate::plan;
use crate::schema::options;
use crate::schema::{AppOrigin, Layer, Origins, Row, Status, Written};
use crate::spec::{AppSpec, Field};

/// What there is to say of one value.
#[derive(Debug)]
pub(super) struct Answer {
    /// `env.PORT`, `max_restarts`
    pub path: String,
    /// None where there is none.
    pub value: Option<String>,
    /// What holds, then what it stands in for.
    pub layers: Vec<Told>,
    pub notes: Vec<String>,
}

/// A layer, ready to be shown.
#[derive(Debug)]
pub(super) struct Told {
    pub key: String,
    /// None for one that holds: the answer has its value.
    pub value: Option<String>,
    /// Nowhere for what no file says.
    pub location: Location,
}

/// The layers that are in no file.
pub(super) const DEFAULT: &str = "default";
pub(super) const SHELL: &str = "shell";
pub(super) const PMRUN: &str = "pmrun";

/// Options whose default is pmrun's own: PM2 has another, or no such option.
pub(super) const OWN_DEFAULTS: [&str; 8] =
    ["name", "cwd", "out_file", "error_file", "pid_file", "merge_logs", "fingerprint", "interpreter"];

pub(super) struct Context<'a> {
    /// Secrets are hidden in it, where they are not to be revealed.
    pub spec: AppSpec,
    /// As it is.
    env: &'a BTreeMap<String, String>,
    pub file: &'a Path,
    pub profile: Option<&'a str>,
    pub origin: Option<AppOrigin<'a>>,
    origins: &'a Origins,
    pub world: &'a World,
    pub reveal: bool,
    /// With the env files.
    pub sources: Sources,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        spec: AppSpec,
        env: &'a BTreeMap<String, String>,
        file: &'a Path,
        profile: Option<&'a str>,
        origins: &'a Origins,
        world: &'a World,
        reveal: bool,
    ) -> Self {
        let (origin, sources) = (origins.app(&spec.name), origins.sources().clone());
        Self { spec, env, file, profile, origin, origins, world, reveal, sources }
    }
}

impl Context<'_> {
    pub(super) fn answers(&mut self, value: Value) -> Result<Vec<Answer>, CliError> {
        match value {
            Value::Option(row) => Ok(vec![self.option(row)]),
            Value::Variable(name) => match self.variable(&name) {
                Some(answer) => Ok(vec![answer]),
                None => Err(self.no_variable(&name)),
            },
            Value::Several(Which::Env) => Ok(self.variables()),
            Value::Several(Which::All) => {
                let mut all = Vec::new();
                for row in options::rows().filter(|row| !row.is_overlay()) {
                    let written = self.origin.is_some_and(|origin| origin.draft.wrote(row.name));
                    match row.name {
                        "env" => all.extend(self.variables()),
                        _ if written || !row.default.is_empty() => all.push(self.option(row)),
                        _ => {}
                    }
                }
                Ok(all)
            }
        }
    }

    fn option(&mut self, row: &'static Row) -> Answer {
        let written = self.origins.layers(&self.spec.name, row.name);
        let mut layers: Vec<Told> = written.into_iter().map(|layer| self.told(layer, row.name)).collect();
        if !row.default.is_empty() {
            let default = row.default.to_owned();
            layers.push(Told { key: DEFAULT.to_owned(), value: Some(default), location: Location::Nowhere });
        }
        let written = layers.first().is_some_and(|layer| layer.key != DEFAULT);
        // A path in `PMRUN_HOME`, or several files: better said than shown.
        let in_words = !written && matches!(row.name, "out_file" | "error_file" | "pid_file" | "fingerprint");
        let value = match self.value(row) {
            Some(value) if !in_words => Some(self.hidden_option(row, value)),
            _ => in_words.then(|| row.default.to_owned()),
        };
        let mut notes = derived::notes(self, row);
        match row.status {
            Status::Meaningless(why) => notes.push(format!("it means nothing here: {why}")),
            Status::Honoured => {}
        }
        Answer { path: row.name.to_owned(), value, layers, notes }
    }

    /// What holds in the end.
    fn value(&self, row: &Row) -> Option<String> {
        let draft = &self.origin?.draft;
        let field = match row.name {
            "port" => return draft.port.map(|port| port.to_string()),
            "env_file" => return Some(draft.env_files.join(", ")).filter(|files| !files.is_empty()),
            "disable_logs" => return Some(draft.disable_logs.to_string()),
            "disable_source_map_support" => return Some(draft.disable_source_maps.to_string()),
            "time" => return Some(draft.time.to_string()),
            "append_env_to_name" => return Some(draft.append_env_to_name.to_string()),
            // Its row's field is what it digests.
            "fingerprint" => Field::Fingerprint,
            _ => row.field?,
        };
        let (_, value) = plan::values(&self.spec).into_iter().find(|(known, _)| *known == field)?;
        value
    }

    fn variables(&mut self) -> Vec<Answer> {
        let names: Vec<String> = self.env.keys().cloned().collect();
        names.iter().filter_map(|name| self.variable(name)).collect()
    }

    fn variable(&mut self, name: &str) -> Option<Answer> {
        let path = format!("env.{name}");
        let written = self.origins.layers(&self.spec.name, &path);
        let mut layers: Vec<Told> = written.into_iter().map(|layer| self.told(layer, name)).collect();
        let mut notes = derived::of_variable(self, name);
        let declared = self.env.get(name).map(|value| self.hidden(name, value.clone()));
        if declared.is_some() && layers.is_empty() {
            layers.push(Told { key: PMRUN.to_owned(), value: declared.clone(), location: Location::Nowhere });
        }
        let inherited = self.inherited(name);
        if let Some(value) = inherited.clone() {
            layers.push(Told { key: SHELL.to_owned(), value: Some(value), location: Location::Nowhere });
        }
        let computed = derived::computed(self, name);
        if let Some(value) = computed.clone() {
            layers.insert(0, Told { key: PMRUN.to_owned(), value: Some(value), location: Location::Nowhere });
        }
        let value = computed.or(declared).or(inherited);
        let elsewhere = self.other_profiles(name);
        if value.is_none() && elsewhere.is_empty() {
            return None;
        }
        notes.extend(elsewhere);
        Some(Answer { path, value, layers, notes })
    }

    /// What the app gets of the shell when this command's shell applies the file.
    fn inherited(&self, name: &str) -> Option<String> {
        let passes =
            is_inherited(name) && !self.spec.filter_env.iter().any(|part| !part.is_empty() && name.contains(part));
        let value = self.world.env.get(name).filter(|_| passes)?;
        Some(self.hidden(name, value.clone()))
    }

    fn other_profiles(&self, name: &str) -> Vec<String> {
        let overlays = self.origin.into_iter().flat_map(|origin| &origin.draft.overlays);
        let others = overlays.filter(|(profile, _)| Some(profile.as_str()) != self.profile);
        let told = others.filter_map(|(profile, variables)| {
            let variable = variables.iter().find(|variable| variable.name == name)?;
            let value = self.hidden(name, variable.value.clone());
            Some(format!("with `--env {profile}` it is {value}"))
        });
        told.collect()
    }

    fn no_variable(&self, name: &str) -> CliError {
        let app = &self.spec.name;
        let known = self.env.keys().chain(self.world.env.keys().filter(|name| is_inherited(name)));
        let near = closest(name, known.map(String::as_str)).map(|near| format!("{app}.env.{near}"));
        let error = CliError::error(format!("app `{app}` gets no variable `{name}`"));
        let hint =
            format!("neither the file nor this shell sets it; `pmrun explain {app}.env` lists what the file sets");
        if near.is_some() { error.suggest(near.as_deref()) } else { error.hint(hint) }
    }

    /// Where the program puts it into `process.env`, as far as its text tells.
    fn assigned(&mut self, name: &str, value: Option<&str>) -> Location {
        let whole = Location::File(self.file.to_owned());
        let value = value.or_else(|| self.env.get(name).map(String::as_str));
        let found = value.and_then(|value| config::assigned(self.file, name, value, self.world));
        let Some((file, text, Assigned { at, is_literal })) = found else { return whole };
        let shown = PathBuf::from(shown(&file, self.world));
        let source = if is_literal { self.sources.add(&shown, text) } else { self.sources.add_computed(&shown, text) };
        let byte = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Location::At { span: Span { source, start: byte(at.start), end: byte(at.end) }, path: String::new() }
    }

    fn told(&mut self, layer: Layer<'_>, name: &str) -> Told {
        let Layer { key, value, at } = layer;
        let location = match at {
            Written::Mark(mark) => self.origins.location(&mark),
            Written::Program => self.assigned(name, value.as_deref()),
            Written::EnvFile(file) => {
                let shown = PathBuf::from(shown(&file.path, self.world));
                match config::env_file(&file.path, name, self.world) {
                    Some((text, range)) => {
                        let source = self.sources.add(&shown, text);
                        let byte = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                        let span = Span { source, start: byte(range.start), end: byte(range.end) };
                        Location::At { span, path: String::new() }
                    }
                    // It was there a moment ago.
                    None => Location::File(shown),
                }
            }
        };
        Told { key, value: value.map(|value| self.hidden(name, value)), location }
    }

    /// Words of a command were looked at one by one: `--token (hidden)` holds no secret any more.
    fn hidden_option(&self, row: &Row, value: String) -> String {
        if matches!(row.name, "script" | "args" | "node_args") { value } else { self.hidden(row.name, value) }
    }

    fn hidden(&self, name: &str, mut value: String) -> String {
        if !self.reveal {
            // A list is told from a command line by its signs only.
            let words = value.replace(['[', ']', ',', '"'], " ");
            if plan::holds_secret(name, &value) || plan::holds_secret(name, &words) {
                HIDDEN.clone_into(&mut value);
            }
        }
        value
    }
}
