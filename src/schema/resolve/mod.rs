//! From drafts to specs: overlays merged, paths absolute, names checked, the machine asked for what must be there.

mod code;
mod command;
mod effect;
mod environment;
mod names;
mod starting;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::command::NO_SOURCE_MAPS;
pub(super) use self::names::shown;
use super::draft::{Count, Draft, Mark};
use super::origins::{CommandBy, Found, Origins};
use super::{FileEntry, Surroundings};
use crate::base::{CpuLimit, DateFormat};
use crate::diag::{Code, Diagnostic, place};
use crate::document::Sources;
use crate::graph::Selection;
use crate::spec::{AppSpec, ExecMode, LogTarget, Runtime};

/// What one load is about.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The config file as the user named it.
    pub file: &'a Path,
    /// The folder that holds it, absolute.
    pub folder: &'a Path,
    pub profile: Option<&'a str>,
    /// What is asked for: nothing is said of what others lack on this machine.
    pub selection: &'a Selection,
    /// Variables that the config program has put into its own environment.
    pub assigned: &'a BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct Resolved {
    /// Those that could be resolved, in the file's order.
    pub apps: Vec<AppSpec>,
    pub origins: Origins,
    pub diagnostics: Vec<Diagnostic>,
    /// Paths in the document of the apps that were not selected.
    pub unselected: Vec<String>,
    /// Paths in the document of all apps, in their order.
    pub paths: Vec<String>,
}

/// Resolves all apps and checks them against each other. Only without errors is the result a graph.
pub fn resolve(
    drafts: Vec<Draft>,
    request: Request<'_>,
    surroundings: &dyn Surroundings,
    sources: &Sources,
) -> Resolved {
    let mut resolver = Resolver { request, surroundings, sources, by: CommandBy::default(), diagnostics: Vec::new() };
    resolver.profile(&drafts);
    let mut apps = Vec::with_capacity(drafts.len());
    let mut found = Vec::with_capacity(drafts.len());
    let mut unselected = Vec::new();
    for draft in &drafts {
        let (spec, one) = resolver.app(draft);
        if !request.selection.contains(&spec.name) {
            unselected.push(draft.whole.path.clone());
        }
        found.push(one);
        apps.push(spec);
    }
    resolver.between(&apps, &drafts);
    let paths = drafts.iter().map(|draft| draft.whole.path.clone()).collect();
    let names = apps.iter().map(|app| app.name.clone()).collect();
    let origins = Origins::new(request, sources, names, drafts, found);
    Resolved { apps, origins, diagnostics: resolver.diagnostics, unselected, paths }
}

struct Resolver<'a> {
    request: Request<'a>,
    surroundings: &'a dyn Surroundings,
    sources: &'a Sources,
    /// Of the app that is being resolved.
    by: CommandBy,
    diagnostics: Vec<Diagnostic>,
}

impl Resolver<'_> {
    /// One app. What cannot be resolved keeps its default: there is an error about it.
    fn app(&mut self, draft: &Draft) -> (AppSpec, Found) {
        let mut spec = draft.spec.clone();
        spec.name = self.name(draft);
        let cwd = self.cwd(draft);
        let folder = cwd.as_deref().unwrap_or(self.request.folder);
        spec.cwd = text(folder);
        let environment = self.environment(draft, folder);
        spec.env = environment.values;
        let found = cwd.is_some();
        // Whatever is missing in a folder that is missing has been told.
        self.by = CommandBy::default();
        let script = if found { self.command(draft, folder, &mut spec) } else { self.without_cwd(draft, &mut spec) };
        spec.instances = self.instances(draft);
        self.exec_mode(draft, &mut spec);
        self.logs(draft, folder, &mut spec);
        self.values(draft, &spec);
        self.effects(draft, &spec);
        self.files(draft, &spec, found);
        self.size(draft, &spec);
        spec.fingerprint_by = draft.code.clone();
        if found {
            spec.fingerprint = self.code(draft, folder, script.as_deref(), &environment.files);
        }
        (spec, Found { env_files: environment.read, command: self.by })
    }

    fn cwd(&mut self, draft: &Draft) -> Option<PathBuf> {
        let Some(written) = &draft.cwd else { return Some(self.request.folder.to_owned()) };
        let path = self.surroundings.absolute(self.request.folder, written);
        let problem = match self.surroundings.entry(&path) {
            FileEntry::Folder => return Some(path),
            FileEntry::Missing => "does not exist".to_owned(),
            FileEntry::File { .. } | FileEntry::Other => "is not a folder".to_owned(),
            FileEntry::Unusable(why) => format!("cannot be used: {why}"),
        };
        self.error(
            Code::NotFound,
            format!("`cwd` of {}: `{}` {problem}", title(draft), path.display()),
            draft.at("cwd"),
        );
        None
    }

    fn instances(&mut self, draft: &Draft) -> u32 {
        let by = |cpus: u32| match draft.instances {
            None => 1,
            Some(Count::Max) => cpus,
            Some(Count::Exactly(count)) => count.max(1),
            Some(Count::MaxLess(less)) => cpus.saturating_sub(less).max(1),
            Some(Count::Percent(percent)) => (cpus.saturating_mul(percent) / 100).max(1),
        };
        let cpus = self.surroundings.cpus();
        let count = by(cpus.usable);
        let of_all = match cpus.limit {
            CpuLimit::Machine => cpus.usable,
            CpuLimit::Affinity { of } | CpuLimit::Quota { of } => of,
        };
        let is_spent = matches!(draft.instances, Some(Count::MaxLess(less)) if less >= cpus.usable);
        if is_spent || count < by(of_all) {
            let copies = if count == 1 { "1 instance" } else { &format!("{count} instances") };
            let message = format!("`instances` of {} comes to {copies}: it may use {cpus}", title(draft));
            let at = draft.at("instances").location(self.request.file);
            let hint = "a plain number is the same everywhere";
            self.diagnostics.push(Diagnostic::info(Code::Cpus, message, at).hint(hint));
        }
        count
    }

    /// As PM2, which runs a Node script in cluster mode as soon as `instances` is there: one instance too, and unlike it also
    /// where fewer than one are to be spared for others (-2).
    fn exec_mode(&mut self, draft: &Draft, spec: &mut AppSpec) {
        let runtime = spec.runtime();
        let wrapper = wrapper(spec).map(|(name, remedy)| (name.to_owned(), remedy));
        let is_worker = runtime.is_some() && wrapper.is_none();
        // PM2 knows nothing of Deno, and nobody's file means that there.
        let is_meant = is_worker && runtime != Some(Runtime::Deno);
        let by_default = if draft.wrote("instances") && is_meant { ExecMode::Cluster } else { ExecMode::Fork };
        spec.exec_mode = draft.exec_mode.unwrap_or(by_default);
        if spec.exec_mode == ExecMode::Cluster && !is_worker {
            let by = match (&wrapper, spec.interpreter.as_deref()) {
                (Some((name, _)), _) => format!("`{name}` starts Node by itself, and keeps from it the channel"),
                (None, Some(interpreter)) => {
                    format!("`{}` runs it, and not Node, which has the channel", command::base_name(interpreter))
                }
                (None, None) => "it runs without an interpreter, and not by Node, which has the channel".to_owned(),
            };
            let message =
                format!("`exec_mode` \"cluster\" of {} has no effect: {by} by which a port is shared", title(draft));
            let warning =
                Diagnostic::warning(Code::NoEffect, message, draft.at("exec_mode").location(self.request.file));
            self.diagnostics.push(match &wrapper {
                Some((_, remedy)) => warning.hint(*remedy),
                None => warning,
            });
        }
        if wrapper.is_some() {
            // It would listen by itself, beside the one that it is to relieve.
            spec.exec_mode = ExecMode::Fork;
        }
    }

    fn logs(&mut self, draft: &Draft, cwd: &Path, spec: &mut AppSpec) {
        let target = |written: &Option<String>| match written.as_deref() {
            None => LogTarget::Default,
            Some("NULL" | "/dev/null") => LogTarget::Null,
            Some(path) => LogTarget::Path(text(&self.surroundings.absolute(cwd, path))),
        };
        spec.logs.out = target(&draft.out_file);
        spec.logs.error = target(&draft.error_file);
        // `log_file: true` is the default path, kept as an empty text.
        spec.logs.combined = draft.log_file.as_ref().map(|path| match path.as_str() {
            "" => LogTarget::Default,
            _ => target(&draft.log_file),
        });
        if draft.disable_logs {
            (spec.logs.out, spec.logs.error, spec.logs.combined) = (LogTarget::Null, LogTarget::Null, None);
        }
        if draft.time {
            spec.logs.date_format = Some("YYYY-MM-DDTHH:mm:ss".to_owned());
        }
        let unknown = spec.logs.date_format.as_deref().map(DateFormat::unknown).unwrap_or_default();
        if let Some(first) = unknown.first() {
            let message = format!("`{first}` in `log_date_format` is none of dayjs' tokens and is written as it is");
            let place = draft.at("log_date_format").location(self.request.file);
            let hint = "tokens are such as `YYYY-MM-DD HH:mm:ss.SSS Z`; text stands in brackets: `[at] HH:mm`";
            self.diagnostics.push(Diagnostic::warning(Code::Value, message, place).hint(hint));
        }
        if self.surroundings.merges_logs() && !draft.wrote("merge_logs") {
            // PM2 does so before it knows how many "max" are, and whether Node runs it.
            let is_one = matches!(draft.instances, None | Some(Count::Max));
            spec.logs.merge = is_one && draft.exec_mode != Some(ExecMode::Cluster);
        }
        spec.pid_file = draft.pid_file.as_ref().map(|path| text(&self.surroundings.absolute(cwd, path)));
    }

    /// Values that are wrong only together with others, or only as what they mean.
    fn values(&mut self, draft: &Draft, spec: &AppSpec) {
        for (option, name) in
            [("instance_var", Some(&spec.instance_var)), ("increment_var", spec.increment_var.as_ref())]
        {
            if let Some(why) = name.and_then(|name| super::decode::variable_name_problem(name)) {
                self.error(Code::Value, format!("`{option}` is a variable's name that {why}"), draft.at(option));
            }
        }
        if let Err(why) = self.surroundings.account(spec.uid.as_deref(), spec.gid.as_deref()) {
            let option = if spec.uid.is_some() { "uid" } else { "gid" };
            self.error(Code::NotFound, format!("`{option}` of {}: {why}", title(draft)), draft.at(option));
        }
        if let Some(zone) = spec.cron_timezone.as_deref().filter(|zone| !self.surroundings.knows_zone(zone)) {
            let message = format!("`cron_timezone` of {}: this machine knows no time zone `{zone}`", title(draft));
            let hint = "names are such as \"Europe/Berlin\" or \"UTC\"; a machine without any lacks the package tzdata";
            self.error_with_hint(Code::NotFound, message, draft.at("cron_timezone"), Some(hint.to_owned()));
        }
        self.ready_log(draft, spec);
        if spec.schedule.is_some() && spec.cron_restart.is_some() {
            let message = format!("{} has both `schedule` and `cron_restart`", title(draft));
            let hint = "`schedule` runs a job at its times, `cron_restart` restarts what runs anyway: keep one of them";
            self.error_with_hint(Code::Conflict, message, draft.at("schedule"), Some(hint.to_owned()));
        }
        let counted = spec.increment_var.as_ref().and_then(|name| Some((name, spec.env.get(name)?)));
        if let Some((name, value)) = counted
            && value.parse::<i64>().is_err()
        {
            let message = format!("`increment_var` of {} counts `{name}` up, which is no whole number", title(draft));
            self.error(Code::Value, message, draft.at("increment_var"));
        }
    }

    fn error(&mut self, code: Code, message: String, mark: &Mark) {
        self.diagnostics.push(Diagnostic::error(code, message, mark.location(self.request.file)));
    }

    /// It is to be one that can be found, where its own lines are.
    fn ready_log(&mut self, draft: &Draft, spec: &AppSpec) {
        let Some(pattern) = &spec.readiness.log else { return };
        let title = title(draft);
        let problem = regex_lite::Regex::new(pattern).err();
        if let Some(problem) = problem {
            let message = format!("`ready_log` of {title} is no regular expression: {problem}");
            let hint = "what has a meaning of its own there, such as `(`, is written with a backslash before it";
            self.error_with_hint(Code::Value, message, draft.at("ready_log"), Some(hint.to_owned()));
        }
        if (&spec.logs.out, &spec.logs.error) == (&LogTarget::Null, &LogTarget::Null) {
            let message = format!("`ready_log` of {title} waits for a line, and nothing that it writes is kept");
            let hint = "keep one of its logs, or use `wait_ready` or `health_check`";
            self.error_with_hint(Code::Conflict, message, draft.at("ready_log"), Some(hint.to_owned()));
        } else if spec.logs.merge && spec.instances > 1 {
            let message = format!(
                "`ready_log` of {title} cannot tell its {} instances from each other: `merge_logs` has them write to the same files",
                spec.instances
            );
            self.error_with_hint(
                Code::Conflict,
                message,
                draft.at("ready_log"),
                Some("take one of them out".to_owned()),
            );
        }
    }

    fn error_with_hint(&mut self, code: Code, message: String, mark: &Mark, hint: Option<String>) {
        let diagnostic = Diagnostic::error(code, message, mark.location(self.request.file));
        self.diagnostics.push(match hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        });
    }

    fn warning(&mut self, code: Code, message: String, mark: &Mark) {
        self.diagnostics.push(Diagnostic::warning(code, message, mark.location(self.request.file)));
    }
}

/// What of an app's command starts Node, and keeps the channel to itself by which instances share a port; and what to write
/// instead.
fn wrapper(spec: &AppSpec) -> Option<(&str, &'static str)> {
    const LOADERS: [&str; 5] = ["tsx", "ts-node", "ts-node-esm", "ts-node-dev", "tsnd"];
    const RUNNERS: [&str; 9] = ["npm", "npx", "yarn", "pnpm", "pnpx", "bunx", "nodemon", "node-dev", "cross-env"];
    let names = spec.interpreter.as_deref().into_iter().chain([spec.script.as_str()]).map(command::base_name);
    names.into_iter().find_map(|name| match name {
        name if LOADERS.contains(&name) => {
            Some((name, "`interpreter: \"node\"` with `node_args: \"--import tsx\"` has Node load the server itself"))
        }
        name if RUNNERS.contains(&name) => Some((name, "name the file that it runs as `script`")),
        _ => None,
    })
}

/// What messages call an app: its name, else where it stands.
fn title(draft: &Draft) -> String {
    match (&draft.name, draft.whole.path.as_str()) {
        (Some(name), _) => format!("app `{}`", names::shown(name)),
        (None, "") => "the app".to_owned(),
        (None, path) => format!("`{path}`"),
    }
}

/// Config files are UTF-8, so a path that came from one is; another (the folder's) is shown as well as it can be.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
