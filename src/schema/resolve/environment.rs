use std::collections::BTreeMap;
use std::path::Path;

use super::{Resolver, VariableOrigin, VariableOrigins, title};
use crate::diag::Code;
use crate::schema::FileEntry;
use crate::schema::decode::variable_name_problem;
use crate::schema::draft::{Draft, Variable};

/// An app's declared variables.
pub(super) struct Environment {
    pub(super) values: BTreeMap<String, String>,
    pub(super) origins: VariableOrigins,
    /// The env files that were read, as they were written, with their digests.
    pub(super) files: BTreeMap<String, String>,
}

impl Resolver<'_> {
    /// `env_file`, then `env`, then the profile's overlay, then `port`: later ones win.
    pub(super) fn environment(&mut self, draft: &Draft, cwd: &Path) -> Environment {
        let mut environment = Environment { values: BTreeMap::new(), origins: BTreeMap::new(), files: BTreeMap::new() };
        for written in &draft.env_files {
            self.env_file(written, draft, cwd, &mut environment);
        }
        let overlay = self.request.profile.and_then(|profile| draft.overlays.get(profile));
        for Variable { name, value, mark } in draft.env.iter().chain(overlay.into_iter().flatten()) {
            environment.set(name.clone(), value.clone(), VariableOrigin::Mark(mark.clone()));
        }
        if let Some(port) = draft.port {
            environment.set("PORT".to_owned(), port.to_string(), VariableOrigin::Mark(draft.at("port").clone()));
        }
        environment
    }

    fn env_file(&mut self, written: &str, draft: &Draft, cwd: &Path, environment: &mut Environment) {
        let path = self.surroundings.absolute(cwd, written);
        let (variables, digest) = match self.surroundings.env_file(&path) {
            Ok(read) => read,
            Err(why) => {
                let message = format!("`env_file` of {}: `{}` {why}", title(draft), path.display());
                let missing = self.surroundings.entry(&path) == FileEntry::Missing;
                let hint = missing.then(|| "create the file, or take it out of `env_file`".to_owned());
                self.error_with_hint(Code::NotFound, message, draft.at("env_file"), hint);
                return;
            }
        };
        environment.files.insert(super::code::label(&path, cwd), digest);
        for (name, value) in variables {
            match variable_name_problem(&name) {
                None if value.contains('\0') => {
                    let message = format!("`{}` gives `{name}` a value with a NUL character", path.display());
                    self.error(Code::Value, message, draft.at("env_file"));
                }
                None => environment.set(name, value, VariableOrigin::File(written.to_owned())),
                Some(why) => {
                    let message = format!("`{}` has a variable whose name {why}", path.display());
                    self.error(Code::Value, message, draft.at("env_file"));
                }
            }
        }
    }
}

impl Environment {
    fn set(&mut self, name: String, value: String, origin: VariableOrigin) {
        self.origins.insert(name.clone(), origin);
        self.values.insert(name, value);
    }
}
