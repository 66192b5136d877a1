use std::collections::BTreeMap;
use std::path::Path;

use super::{Resolver, title};
use crate::diag::Code;
use crate::schema::draft::{CodeOption, Draft};
use crate::spec::Fingerprint;

impl Resolver<'_> {
    /// What stands for the app's code. Of a program in PATH or a command line, `script` is the file that it names, if
    /// any: the program itself is not the user's own.
    pub(super) fn code(
        &mut self,
        draft: &Draft,
        cwd: &Path,
        script: Option<&Path>,
        env_files: &BTreeMap<String, String>,
    ) -> Fingerprint {
        if draft.code == CodeOption::Off {
            return Fingerprint::default();
        }
        let mut parts = env_files.clone();
        let with_script = matches!(draft.code, CodeOption::Script | CodeOption::Globs(_));
        if let Some(script) = script.filter(|_| with_script) {
            match self.surroundings.digest(script) {
                Ok(digest) => {
                    parts.insert(label(script, cwd), digest);
                }
                Err(why) => {
                    let message = format!("script `{}` of {} {why}", script.display(), title(draft));
                    self.error(Code::NotFound, message, draft.at("script"));
                }
            }
        }
        match &draft.code {
            CodeOption::Script | CodeOption::Off => {}
            CodeOption::Globs(globs) => self.globs(draft, cwd, globs, &mut parts),
            CodeOption::Git => match self.surroundings.revision(cwd) {
                Ok(revision) => {
                    parts.insert("git".to_owned(), revision);
                }
                Err(why) => {
                    let message = format!("`fingerprint: \"git\"` of {}: {why}", title(draft));
                    self.error(self.unread(cwd, Code::NotFound), message, draft.at("fingerprint"));
                }
            },
        }
        Fingerprint(parts)
    }

    /// Whether the globs are any, whatever they match.
    pub(super) fn patterns(&mut self, draft: &Draft) {
        let CodeOption::Globs(globs) = &draft.code else { return };
        if let Err(why) = self.surroundings.patterns(globs) {
            self.error(Code::Value, format!("`fingerprint` of {}: {why}", title(draft)), draft.at("fingerprint"));
        }
    }

    fn globs(&mut self, draft: &Draft, cwd: &Path, globs: &[String], parts: &mut BTreeMap<String, String>) {
        match self.surroundings.matching(cwd, globs) {
            Ok(found) if found.is_empty() => {
                let message = format!("`fingerprint` of {} matches no file in `{}`", title(draft), cwd.display());
                self.warning(Code::NotFound, message, draft.at("fingerprint"));
            }
            Ok(found) => parts.extend(found),
            Err(why) => {
                let message = format!("`fingerprint` of {}: {why}", title(draft));
                self.error(self.unread(cwd, Code::Value), message, draft.at("fingerprint"));
            }
        }
    }

    /// The code of what kept a folder from being read.
    fn unread(&self, folder: &Path, otherwise: Code) -> Code {
        if self.surroundings.refuses(folder, true) { Code::Refused } else { otherwise }
    }
}

/// A file's name in a fingerprint: relative to the app's folder, so that moving a checkout changes nothing.
pub(super) fn label(path: &Path, cwd: &Path) -> String {
    path.strip_prefix(cwd).unwrap_or(path).to_string_lossy().into_owned()
}
