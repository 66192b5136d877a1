use std::collections::BTreeMap;
use std::path::Path;

use super::{Resolver, title};
use crate::diag::{Code, Diagnostic};
use crate::document::{Location, Position};
use crate::schema::decode::variable_name_problem;
use crate::schema::draft::{Draft, Variable};
use crate::schema::origins::EnvFile;
use crate::schema::{EnvText, FileEntry};

/// An app's declared variables.
#[derive(Default)]
pub(super) struct Environment {
    pub(super) values: BTreeMap<String, String>,
    /// The env files that were read, in their order.
    pub(super) read: Vec<EnvFile>,
    /// The same, as they were written, with their digests.
    pub(super) files: BTreeMap<String, String>,
}

/// As PM2 has it, which evaluates a config in its own process: what the config sets is what its shell has, and
/// `filter_env` filters it. No process can be given the rest.
fn assigned_to<'a>(
    draft: &'a Draft,
    assigned: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (String, String)> + 'a {
    let fits = |(name, value): &(&String, &String)| variable_name_problem(name).is_none() && !value.contains('\0');
    let assigned = assigned.iter().filter(fits).filter(|(name, _)| !draft.filters(name));
    assigned.map(|(name, value)| (name.clone(), value.clone()))
}

impl Resolver<'_> {
    /// What the config program has put into `process.env`, then `env_file`, then `env`, then the profile's overlay, then
    /// `port`: later ones win.
    pub(super) fn environment(&mut self, draft: &Draft, cwd: &Path) -> Environment {
        let mut environment = Environment::default();
        environment.values.extend(assigned_to(draft, self.request.assigned));
        for (index, written) in draft.env_files.iter().enumerate() {
            self.env_file(index, written, draft, cwd, &mut environment);
        }
        let overlay = self.request.profile.and_then(|profile| draft.overlays.get(profile));
        for Variable { name, value, span: _ } in draft.env.iter().chain(overlay.into_iter().flatten()) {
            environment.values.insert(name.clone(), value.clone());
        }
        if let Some(port) = draft.port {
            environment.values.insert("PORT".to_owned(), port.to_string());
        }
        // Where PM2's lists are looked at, they show it; PM2's apps find it there, too.
        for name in draft.off.iter().filter(|_| self.surroundings.merges_logs()) {
            environment.values.entry((*name).to_owned()).or_insert_with(|| "false".to_owned());
        }
        environment
    }

    fn env_file(&mut self, index: usize, written: &str, draft: &Draft, cwd: &Path, environment: &mut Environment) {
        let at = draft.item("env_file", index);
        let path = self.surroundings.absolute(cwd, written);
        let EnvText { variables, digest, oddities } = match self.surroundings.env_file(&path) {
            Ok(read) => read,
            Err(why) => {
                let message = format!("`env_file` of {}: `{}` {why}", title(draft), path.display());
                let missing = self.surroundings.entry(&path) == FileEntry::Missing;
                let hint = missing.then(|| "create the file, or take it out of `env_file`".to_owned());
                let refused = !missing && self.surroundings.refuses(&path, false);
                let code = if refused { Code::Refused } else { Code::NotFound };
                self.error_with_hint(code, message, &at, hint);
                return;
            }
        };
        environment.files.insert(super::code::label(&path, cwd), digest);
        let mut read = EnvFile { written: written.to_owned(), path: path.clone(), variables: BTreeMap::new() };
        self.oddities(&path, oddities);
        for (name, value) in variables {
            match variable_name_problem(&name) {
                None if value.contains('\0') => {
                    let message = format!("`{}` gives `{name}` a value with a NUL character", path.display());
                    self.error(Code::Value, message, &at);
                }
                None => {
                    environment.values.insert(name.clone(), value.clone());
                    read.variables.insert(name, value);
                }
                Some(why) => {
                    let message = format!("`{}` has a variable whose name {why}", path.display());
                    self.error(Code::Value, message, &at);
                }
            }
        }
        environment.read.push(read);
    }

    /// Tells of each odd line once, however many apps read the file. What it holds may be a secret.
    fn oddities(&mut self, path: &Path, oddities: Vec<(u32, &'static str)>) {
        const TOLD: usize = 5;
        let more = oddities.len().saturating_sub(TOLD);
        for (index, (line, what)) in oddities.into_iter().take(TOLD).enumerate() {
            let last = index + 1 == TOLD && more > 0;
            let rest = if last { format!("; {more} more lines of this file are odd") } else { String::new() };
            let message = format!("this line {what}{rest}");
            let location = Location::Line { file: path.to_owned(), position: Position { line, column: 1 } };
            let diagnostic = Diagnostic::warning(Code::Value, message, location);
            if !self.diagnostics.contains(&diagnostic) {
                self.diagnostics.push(diagnostic);
            }
        }
    }
}
