//! What a word on the command line of `start`, `stop` and the like means.

use std::path::PathBuf;

use crate::config::{self, World};
use crate::rpc::wire::AppView;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// An ecosystem file on stdin.
    Stdin,
    /// An ecosystem file.
    File(String),
    /// Apps that are known.
    Target(String),
    /// A script, or a program in PATH.
    Script(String),
    /// A program with its arguments, in one word.
    Line(String),
}

/// What there is to know about words: files, apps, programs.
pub(super) struct Ground<'a> {
    pub world: &'a World,
    pub known: &'a [AppView],
    /// PM2 takes every file for a config that has `.json` and the like in its name.
    pub by_pm2s_names: bool,
    /// What is a file is meant, whatever is called so.
    pub forces: bool,
    /// `--cwd`, where a script is looked for first: PM2 does so.
    pub folder: Option<String>,
}

impl Ground<'_> {
    /// Of a word after `start`.
    pub(super) fn word(&self, word: &str) -> Word {
        let owned = word.to_owned();
        if word == "-" {
            Word::Stdin
        } else if is_ecosystem(word, self.by_pm2s_names) && (self.is_file(word) || !self.names(word)) {
            Word::File(owned)
        } else if is_regex(word) || word == "all" {
            Word::Target(owned)
        } else if word.contains(char::is_whitespace) && !self.names(word) && !self.is_file(word) {
            Word::Line(owned)
        } else if word.contains('/') || self.is_file(word) && (self.forces || has_ending(word) || !self.names(word)) {
            Word::Script(owned)
        } else if self.names(word) {
            Word::Target(owned)
        } else if self.is_program(word) {
            Word::Script(owned)
        } else {
            Word::Target(owned)
        }
    }

    /// Of a word after anything else: nothing is a script but by the app that runs it.
    pub(super) fn known_word(&self, word: &str) -> Word {
        match self.word(word) {
            Word::Script(script) | Word::Line(script) => Word::Target(script),
            other => other,
        }
    }

    /// Apps by the path of their script, where a word is one; else the word itself.
    pub(super) fn targets(&self, word: &str) -> Vec<String> {
        if self.names(word) || is_regex(word) {
            return vec![word.to_owned()];
        }
        let path = self.path(word);
        let runs = |app: &&AppView| std::path::Path::new(&app.spec.script) == path;
        let apps: Vec<String> = self.known.iter().filter(runs).map(|app| app.spec.name.clone()).collect();
        if apps.is_empty() { vec![word.to_owned()] } else { apps }
    }

    fn is_file(&self, word: &str) -> bool {
        self.path(word).is_file()
    }

    fn path(&self, word: &str) -> PathBuf {
        script_path(word, self.folder.as_deref(), self.world)
    }

    /// Whether known apps are meant by it, as `resolve` has it.
    pub(super) fn names(&self, word: &str) -> bool {
        let views: Vec<_> = self.known.iter().flat_map(|app| app.instances.iter().cloned()).collect();
        crate::runtime::resolve(&[word.to_owned()], &views).is_ok_and(|found| !found.is_empty())
    }

    fn is_program(&self, word: &str) -> bool {
        let path = self.world.env.get("PATH").map(String::as_str).unwrap_or_default();
        let program = |folder: &str| {
            let file = std::path::Path::new(folder).join(word);
            file.is_file() && crate::platform::may(&file, crate::platform::Use::Run).is_ok()
        };
        path.split(':').filter(|folder| !folder.is_empty()).any(program)
    }
}

/// Where a script is that the command line names: in its `--cwd`, as PM2 has it, else where its user stands.
pub(super) fn script_path(script: &str, folder: Option<&str>, world: &World) -> PathBuf {
    let inside = folder.map(|folder| world.resolve(&world.resolve(&world.cwd, folder), script));
    inside.filter(|path| path.exists()).unwrap_or_else(|| world.resolve(&world.cwd, script))
}

/// A program that is found by its name, by its path.
pub(super) fn in_path(word: &Word, folder: Option<&str>, world: &World) -> Option<Word> {
    let Word::Script(name) = word else { return None };
    if name.contains('/') || script_path(name, folder, world).exists() {
        return None;
    }
    let path = world.env.get("PATH").map(String::as_str).unwrap_or_default();
    let mut files =
        path.split(':').filter(|folder| !folder.is_empty()).map(|folder| std::path::Path::new(folder).join(name));
    let is_program =
        |file: &std::path::PathBuf| file.is_file() && crate::platform::may(file, crate::platform::Use::Run).is_ok();
    files.find(is_program).map(|file| Word::Script(file.to_string_lossy().into_owned()))
}

/// As scripts have it.
fn has_ending(word: &str) -> bool {
    word.rsplit_once('.').is_some_and(|(stem, ending)| {
        !stem.is_empty() && !ending.is_empty() && ending.chars().all(|c| c.is_ascii_alphabetic())
    })
}

fn is_regex(word: &str) -> bool {
    word.len() > 2 && word.starts_with('/') && word.ends_with('/')
}

/// By its name: what PM2's users hand to `start`.
pub(super) fn is_ecosystem(file: &str, by_pm2s_names: bool) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let parts = [".json", ".yml", ".yaml", ".config.js", ".config.cjs", ".config.mjs"];
    config::DATA.contains(&ending)
        || config::PROGRAMS.contains(&ending) && stem.ends_with(".config")
        || by_pm2s_names && parts.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::wire::InstanceView;
    use crate::spec::AppSpec;

    #[test]
    fn files_paths_and_programs_are_told_from_apps() {
        let folder = tempfile::tempdir().unwrap();
        let cwd = folder.path().canonicalize().unwrap();
        for file in ["api", "worker.py", "both", "eco.json", "apps.config.js", "with space.sh"] {
            std::fs::write(cwd.join(file), "").unwrap();
        }
        let mut world = World::for_test(&cwd);
        world.env.insert("PATH".to_owned(), "/bin:/usr/bin".to_owned());
        let spec = AppSpec::new("api", cwd.join("worker.py").to_str().unwrap(), "/");
        let known = [AppView { spec, file: None, ambient: None, instances: vec![InstanceView::sample(3, "api", 0)] }];
        let ground = Ground { world: &world, known: &known, by_pm2s_names: false, forces: false, folder: None };
        for (word, want) in [
            ("api", Word::Target as fn(String) -> Word),
            ("3", Word::Target),
            ("all", Word::Target),
            ("/^api/", Word::Target),
            ("nobody", Word::Target),
            ("worker.py", Word::Script),
            ("both", Word::Script),
            ("./gone.sh", Word::Script),
            ("sleep", Word::Script),
            ("sleep 5", Word::Line),
            ("with space.sh", Word::Script),
            ("eco.json", Word::File),
            ("gone/apps.yaml", Word::File),
            ("apps.config.js", Word::File),
        ] {
            assert_eq!(ground.word(word), want(word.to_owned()), "{word}");
        }
        assert_eq!(ground.word("-"), Word::Stdin);
        assert_eq!(ground.known_word("worker.py"), Word::Target("worker.py".to_owned()));
        assert_eq!(ground.targets("worker.py"), ["api"]);
        assert_eq!(ground.targets("both"), ["both"]);
        std::fs::create_dir(cwd.join("sub")).unwrap();
        for file in ["worker.py", "inside"] {
            std::fs::write(cwd.join("sub").join(file), "").unwrap();
        }
        let inside = Ground { folder: Some("./sub".to_owned()), ..ground };
        assert_eq!(inside.word("inside"), Word::Script("inside".to_owned()));
        assert_eq!(inside.targets("worker.py"), ["worker.py"], "another than the one that runs");
        let path = |script: &str| script_path(script, Some("sub"), &world);
        assert_eq!((path("worker.py"), path("both")), (cwd.join("sub/worker.py"), cwd.join("both")));
        assert!(is_ecosystem("x.json.bak", true) && !is_ecosystem("x.json.bak", false));
        for ending in config::endings() {
            assert!(is_ecosystem(&format!("eco.config.{ending}"), false), "{ending}");
        }
        assert!(!is_ecosystem("server.ts", true) && !is_ecosystem("config.js", true));
    }
}
