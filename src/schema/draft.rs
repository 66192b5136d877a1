use std::collections::BTreeMap;
use std::path::Path;

use super::options::OVERLAY_PREFIX;
use crate::document::{Location, Span};
pub use crate::spec::FingerprintBy as CodeOption;
use crate::spec::{AppSpec, ExecMode};

/// One app as its file writes it: types checked, nothing resolved.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Options that mean the same wherever the file lies; the rest of it is filled in by `resolve`.
    pub spec: AppSpec,
    pub name: Option<String>,
    pub script: Option<String>,
    pub cwd: Option<String>,
    pub interpreter: Option<String>,
    pub exec_mode: Option<ExecMode>,
    pub instances: Option<Count>,
    pub env: Vec<Variable>,
    /// `env_<name>` by `<name>`.
    pub overlays: BTreeMap<String, Vec<Variable>>,
    pub env_files: Vec<String>,
    pub port: Option<u16>,
    pub out_file: Option<String>,
    pub error_file: Option<String>,
    pub log_file: Option<String>,
    pub pid_file: Option<String>,
    pub disable_logs: bool,
    /// What PM2 puts into apps and is not to, by the names of its options.
    pub off: Vec<&'static str>,
    /// `disable_source_map_support`, which stands for an argument of node's.
    pub disable_source_maps: bool,
    /// `time`, which stands for a date format.
    pub time: bool,
    pub append_env_to_name: bool,
    pub code: CodeOption,
    /// What is written for an option and does not count, because another of its names is written as well, or the same
    /// one again.
    pub outdone: Vec<Outdone>,
    /// Where the items of lists of names are.
    pub items: BTreeMap<&'static str, Vec<Item>>,
    /// Where each option is written, by its canonical name. An option that is marked and has no value had one
    /// that was wrong, and has been reported.
    pub marks: BTreeMap<&'static str, Mark>,
    /// The app itself.
    pub whole: Mark,
}

/// Where an item of a list of names is; with its key where the list is an object.
pub(super) type Item = (Option<String>, Option<Span>);

/// How many instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// One a CPU: `"max"` and 0.
    Max,
    Exactly(u32),
    /// One a CPU less so many, at least one.
    MaxLess(u32),
    /// A share of them: `"50%"`, rounded down, at least one.
    Percent(u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub value: String,
    pub span: Option<Span>,
}

/// A value that another one stands in for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outdone {
    /// `script`, `env.PORT`, `env_production.PORT`
    pub option: String,
    /// The last key of its path, as it is written.
    pub key: String,
    pub value: String,
    pub mark: Mark,
}

/// A place in the document: bytes where there are any, and always a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub span: Option<Span>,
    /// `apps[0] (api).env.PORT`
    pub path: String,
}

impl Draft {
    #[must_use]
    pub fn new(whole: Mark) -> Self {
        Self {
            spec: AppSpec::new("", "", ""),
            name: None,
            script: None,
            cwd: None,
            interpreter: None,
            exec_mode: None,
            instances: None,
            env: Vec::new(),
            overlays: BTreeMap::new(),
            env_files: Vec::new(),
            port: None,
            out_file: None,
            error_file: None,
            log_file: None,
            pid_file: None,
            disable_logs: false,
            off: Vec::new(),
            disable_source_maps: false,
            time: false,
            append_env_to_name: false,
            code: CodeOption::Script,
            outdone: Vec::new(),
            items: BTreeMap::new(),
            marks: BTreeMap::new(),
            whole,
        }
    }

    /// Whether `filter_env` keeps a variable of the shell from it.
    #[must_use]
    pub fn filters(&self, name: &str) -> bool {
        self.spec.filter_env.iter().any(|part| !part.is_empty() && name.contains(part))
    }

    /// Where an option is written, else the app.
    #[must_use]
    pub fn at(&self, option: &str) -> &Mark {
        self.marks.get(option).unwrap_or(&self.whole)
    }

    /// Where a name of a list of names is written, else the list.
    #[must_use]
    pub fn item(&self, option: &str, index: usize) -> Mark {
        let list = self.at(option);
        match self.items.get(option).and_then(|items| items.get(index)) {
            Some((None, span)) => list.item(index, *span),
            Some((Some(key), span)) => list.key(key, *span),
            None => list.clone(),
        }
    }

    /// Where a variable of `env`, or of a profile's overlay, is written.
    #[must_use]
    pub fn variable(&self, profile: Option<&str>, variable: &Variable) -> Mark {
        let key = profile.map_or_else(|| "env".to_owned(), |profile| format!("{OVERLAY_PREFIX}{profile}"));
        self.whole.key(&key, None).key(&variable.name, variable.span)
    }

    #[must_use]
    pub fn wrote(&self, option: &str) -> bool {
        self.marks.contains_key(option)
    }
}

impl Mark {
    #[must_use]
    pub fn key(&self, key: &str, span: Option<Span>) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { span, path }
    }

    #[must_use]
    pub fn item(&self, index: usize, span: Option<Span>) -> Self {
        Self { span, path: format!("{}[{index}]", self.path) }
    }

    #[must_use]
    pub fn location(&self, file: &Path) -> Location {
        match self.span {
            Some(span) => Location::At { span, path: self.path.clone() },
            None if self.path.is_empty() => Location::File(file.to_owned()),
            None => Location::Value { file: file.to_owned(), path: self.path.clone() },
        }
    }
}
