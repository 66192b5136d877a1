use std::collections::{BTreeMap, BTreeSet};

use super::{Resolver, place};
use crate::base::closest;
use crate::diag::Code;
use crate::graph::circles;
use crate::schema::Mark;
use crate::schema::draft::Draft;
use crate::spec::{AppSpec, Condition};

/// Long enough for any name, short enough for a table, a lock file and a message.
const NAME_BYTES_MAX: usize = 1_000;
/// Each unknown name is compared with all that there are.
const SUGGESTIONS_MAX: usize = 100;

impl Resolver<'_> {
    /// The app's name: as written, else after its script, with the profile where the app asks for it.
    pub(super) fn name(&mut self, draft: &Draft) -> String {
        let base = match &draft.name {
            Some(name) => {
                self.check_name(name, draft);
                name.clone()
            }
            // What is wrong with it has been told; another one would be taken for a second app of that name.
            None if draft.wrote("name") => return String::new(),
            None => draft.script.as_deref().map(default_name).unwrap_or_default(),
        };
        let name = match self.request.profile {
            Some(profile) if draft.append_env_to_name => format!("{base}-{profile}"),
            _ => base,
        };
        self.check_reserved(&name, draft.at(if draft.name.is_some() { "name" } else { "script" }));
        name
    }

    fn check_name(&mut self, name: &str, draft: &Draft) {
        let at = draft.at("name");
        if name.is_empty() {
            self.error(Code::Value, "`name` must not be empty".to_owned(), at);
        } else if name.len() > NAME_BYTES_MAX {
            let message = format!("`name` is {} bytes long, at most {NAME_BYTES_MAX} are allowed", name.len());
            self.error(Code::Value, message, at);
        } else if name.contains(char::is_control) || name.contains(turns_text) {
            self.error(Code::Value, format!("`name` contains a control character: {name:?}"), at);
        }
    }

    /// Of the name that the app has in the end, whoever gave it.
    fn check_reserved(&mut self, name: &str, at: &Mark) {
        if name == "all" {
            let message = "commands take the name `all` for every app".to_owned();
            self.warning(Code::ReservedName, message, at);
        } else if !name.is_empty() && name.chars().all(|c| c.is_ascii_digit()) {
            let message = format!("`{name}` in a command means this app, not the instance with this id");
            self.warning(Code::ReservedName, message, at);
        }
    }

    /// `--env` must name a profile that some app has; an app without it runs with its plain `env`.
    pub(super) fn profile(&mut self, drafts: &[Draft]) {
        let Some(profile) = self.request.profile else { return };
        let known: BTreeSet<&str> = drafts.iter().flat_map(|draft| draft.overlays.keys().map(String::as_str)).collect();
        if known.contains(profile) {
            return;
        }
        if self.surroundings.overlooks_profiles() {
            let message = format!("Environment [{profile}] is not defined in process file");
            return self.warning(Code::Profile, message, &crate::schema::Mark::default());
        }
        let hint = match closest(profile, known.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`? there are: {}", list(&known))),
            None if known.is_empty() => Some(format!("no app has an `env_...`; add `env_{profile}: {{}}` to one")),
            None => Some(format!("there are: {}", list(&known))),
        };
        let message = format!("no app defines `env_{profile}`");
        self.error_with_hint(Code::Profile, message, &crate::schema::Mark::default(), hint);
    }

    /// What can only be told with all apps at hand: names, dependencies, renames.
    pub(super) fn between(&mut self, apps: &[AppSpec], drafts: &[Draft]) {
        let mut first: BTreeMap<&str, &Draft> = BTreeMap::new();
        for (app, draft) in apps.iter().zip(drafts) {
            if app.name.is_empty() {
                continue;
            }
            match first.get(app.name.as_str()) {
                None => {
                    first.insert(&app.name, draft);
                }
                Some(other) => {
                    let message = format!("two apps are called `{}`", shown(&app.name));
                    let other = place(self.sources, &other.at("name").location(self.request.file));
                    let hint = format!("the other one is at {}", other.unwrap_or_default());
                    self.error_with_hint(Code::DuplicateName, message, draft.at("name"), Some(hint));
                }
            }
        }
        let names: BTreeSet<&str> = first.keys().copied().collect();
        self.dependencies(apps, drafts, &names);
        self.renames(apps, drafts, &names);
    }

    fn dependencies(&mut self, apps: &[AppSpec], drafts: &[Draft], names: &BTreeSet<&str>) {
        let mut told = 0;
        for (app, draft) in apps.iter().zip(drafts) {
            for (index, needed) in app.depends_on.iter().enumerate() {
                if !names.contains(needed.as_str()) {
                    let message = format!("app `{}` needs `{}`, which is not defined", shown(&app.name), shown(needed));
                    // A thousand such errors are no typing errors.
                    let near = closest(needed, names.iter().copied().filter(|_| told < SUGGESTIONS_MAX));
                    told += 1;
                    let hint = near.map(|near| format!("did you mean `{near}`?"));
                    self.error_with_hint(Code::UnknownDependency, message, &draft.item("depends_on", index), hint);
                }
            }
        }
        self.conditions(apps, drafts);
        let edges: Vec<(&str, Vec<&str>)> =
            apps.iter().map(|app| (app.name.as_str(), app.depends_on.iter().map(String::as_str).collect())).collect();
        for cycle in circles(edges) {
            let start = cycle.0.first().map_or("", String::as_str);
            let draft = apps.iter().position(|app| app.name == start).and_then(|at| drafts.get(at));
            let mark = draft.map(|draft| draft.at("depends_on").clone()).unwrap_or_default();
            self.error(Code::DependencyCircle, format!("apps depend on each other in a circle: {cycle}"), &mark);
        }
    }

    /// Conditions that could never be met.
    fn conditions(&mut self, apps: &[AppSpec], drafts: &[Draft]) {
        let by_name: BTreeMap<&str, &AppSpec> = apps.iter().map(|app| (app.name.as_str(), app)).collect();
        for (app, draft) in apps.iter().zip(drafts) {
            for (index, needed) in app.depends_on.iter().enumerate() {
                let Some(other) = by_name.get(needed.as_str()) else { continue };
                let (name, needed) = (shown(&app.name), shown(needed));
                let problem = match app.need(&other.name).condition {
                    Condition::Healthy if other.health_check.is_none() => Some((
                        format!("app `{name}` needs `{needed}` to be healthy, which has no `health_check`"),
                        format!("give `{needed}` a `health_check`, or need it to be \"ready\""),
                    )),
                    Condition::Completed if other.schedule.is_some() => Some((
                        format!(
                            "app `{name}` needs `{needed}` to be completed, which runs at its times only (`schedule`)"
                        ),
                        "need it to be \"started\": its times are in force then".to_owned(),
                    )),
                    Condition::Completed if other.restart.auto && other.restart.stop_exit_codes.is_empty() => Some((
                        format!(
                            "app `{name}` needs `{needed}` to be completed, which is started again whenever it ends"
                        ),
                        format!("give `{needed}` `autorestart: false`"),
                    )),
                    _ => None,
                };
                if let Some((message, hint)) = problem {
                    self.error_with_hint(Code::Conflict, message, &draft.item("depends_on", index), Some(hint));
                }
            }
        }
    }

    fn renames(&mut self, apps: &[AppSpec], drafts: &[Draft], names: &BTreeSet<&str>) {
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for (app, draft) in apps.iter().zip(drafts) {
            let Some(old) = app.renamed_from.as_deref() else { continue };
            let at = draft.at("renamed_from");
            if names.contains(old) {
                let message = format!("`renamed_from`: there still is an app `{}` in the file", shown(old));
                self.error(Code::Conflict, message, at);
            } else if let Some(other) = taken.insert(old, &app.name) {
                let message = format!(
                    "apps `{}` and `{}` are both renamed from `{}`",
                    shown(other),
                    shown(&app.name),
                    shown(old)
                );
                self.error(Code::Conflict, message, at);
            }
        }
    }
}

/// PM2's rule: the last part of the script's path, less its ending. A command line goes by the same rule:
/// `python3 /srv/web.py --port 80` is `web`. White space of any kind, as a command of several lines has it, becomes
/// one space, and what is longer than any name is cut.
fn default_name(script: &str) -> String {
    const CHARS_MAX: usize = 200;
    let plain: String = script.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let script: String = plain.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(CHARS_MAX).collect();
    let script = script.as_str();
    let base = script.trim_end_matches('/').rsplit('/').next().unwrap_or(script);
    match base.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem.to_owned(),
        _ if base.is_empty() => script.to_owned(),
        _ => base.to_owned(),
    }
}

/// What breaks a line or turns the reading direction of what follows: a name with it could pass for another in a list.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A name in a message: 300 characters of it help nobody.
pub(in crate::schema) fn shown(name: &str) -> String {
    const SHOWN: usize = 60;
    let mut text = String::new();
    for c in name.chars().take(SHOWN) {
        // Control characters are shown as what they are.
        if c.is_control() || turns_text(c) { text.extend(c.escape_debug()) } else { text.push(c) }
    }
    if name.chars().count() > SHOWN {
        text.push_str("...");
    }
    text
}

fn list(names: &BTreeSet<&str>) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_scripts_as_in_pm2() {
        let table = [
            ("./api.js", "api"),
            ("dist/server.prod.js", "server.prod"),
            ("npm", "npm"),
            ("npm run start", "npm run start"),
            ("python3 /srv/web.py --port 80", "web"),
            ("./.hidden", ".hidden"),
            ("bin/", "bin"),
            ("/", "/"),
            ("set -e\n\tnpm start", "set -e npm start"),
        ];
        for (script, want) in table {
            assert_eq!(default_name(script), want, "{script}");
        }
    }

    #[test]
    fn long_and_odd_names_are_shown_short_and_plain() {
        assert_eq!(shown("a b 🦀 ../x"), "a b 🦀 ../x");
        assert_eq!(shown("a\u{1b}[31m"), "a\\u{1b}[31m");
        assert_eq!(shown(&"x".repeat(300)).len(), 63);
    }
}
