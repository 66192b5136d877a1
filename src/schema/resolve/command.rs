use std::path::{Path, PathBuf};

use super::{Resolver, text, title};
use crate::diag::{Code, Diagnostic};
use crate::schema::FileEntry;
use crate::schema::draft::{CodeOption, Draft};
use crate::schema::origins::{InterpreterBy, ScriptBy};
use crate::schema::words::{shell_append, split_words};
use crate::spec::{AppSpec, FILE_SERVER};

/// What a `script` turned out to be.
enum Script {
    /// A file, found against `cwd`.
    File { path: PathBuf, executable: bool },
    /// A name that is in PATH.
    Program(PathBuf),
    /// To be run by a shell.
    Line,
}

/// Interpreters by ending, as PM2 has them; the first that is in PATH is taken. `.mjs` and `.cjs` are text that
/// PM2 gives to node as well.
const BY_ENDING: [(&str, &[&str]); 13] = [
    ("sh", &["bash", "sh"]),
    ("py", &["python", "python3"]),
    ("rb", &["ruby"]),
    ("php", &["php"]),
    ("pl", &["perl"]),
    ("js", &["node"]),
    ("cjs", &["node"]),
    ("mjs", &["node"]),
    ("ts", &["bun", "node"]),
    ("mts", &["bun", "node"]),
    ("tsx", &["bun"]),
    ("coffee", &["coffee"]),
    ("ls", &["lsc"]),
];

/// What `disable_source_map_support` stands for.
pub const NO_SOURCE_MAPS: &str = "--no-enable-source-maps";

const SHELLS: [&str; 2] = ["bash", "sh"];

/// How an app's interpreter is to be.
enum Interpreter {
    /// None was written: the script decides.
    ByScript,
    Direct,
    Named(String),
    /// What was written is wrong and has been told.
    Broken,
}

impl Resolver<'_> {
    /// Fills in script, interpreter and arguments. The script's file where there is one that is the app's own.
    pub(super) fn command(&mut self, draft: &Draft, cwd: &Path, spec: &mut AppSpec) -> Option<PathBuf> {
        let code = self.what_runs(draft, cwd, spec);
        if draft.disable_source_maps && spec.interpreter.as_deref().is_some_and(|program| base_name(program) == "node")
        {
            spec.interpreter_args.push(NO_SOURCE_MAPS.to_owned());
        }
        code
    }

    fn what_runs(&mut self, draft: &Draft, cwd: &Path, spec: &mut AppSpec) -> Option<PathBuf> {
        let interpreter = self.interpreter(draft, cwd, spec);
        let Some(written) = draft.script.as_deref() else {
            if !draft.wrote("script") {
                let hint = "write what it runs: `script: \"./app.js\"`".to_owned();
                self.error_with_hint(
                    Code::Missing,
                    format!("{} has no `script`", title(draft)),
                    &draft.whole,
                    Some(hint),
                );
            }
            return None;
        };
        written.clone_into(&mut spec.script);
        if written == FILE_SERVER && matches!(interpreter, Interpreter::ByScript | Interpreter::Direct) {
            self.file_server(draft, spec);
            return None;
        }
        match self.script(draft, cwd, written, &interpreter, spec)? {
            Script::File { path, executable } => {
                spec.script = text(&path);
                spec.interpreter = self.interpreter_of(interpreter, &path, executable, draft, spec);
                self.unused_arguments(draft, spec);
                Some(path)
            }
            Script::Program(path) => {
                self.by.script = ScriptBy::Program;
                spec.interpreter = self.interpreter_of(interpreter, &path, true, draft, spec);
                // An interpreter does not look into PATH; a program that is run directly keeps its name, so that
                // the spec is the same on another machine.
                if spec.interpreter.is_some() {
                    spec.script = text(&path);
                }
                self.unused_arguments(draft, spec);
                self.named_file(&spec.args, false, cwd, draft)
            }
            Script::Line => {
                self.by.script = ScriptBy::Line;
                spec.interpreter = match interpreter {
                    Interpreter::Named(shell) => Some(shell),
                    Interpreter::Broken => return None,
                    Interpreter::ByScript | Interpreter::Direct => {
                        self.by.interpreter = InterpreterBy::Shell;
                        self.first_in_path(&SHELLS, spec)
                    }
                };
                if spec.interpreter.is_none() {
                    let message =
                        format!("{} is a command line, and there is no shell in PATH to run it", title(draft));
                    self.error(Code::NotFound, message, draft.at("script"));
                }
                self.first_word(written, draft, cwd, spec);
                spec.script = shell_append(written, &spec.args);
                let args = std::mem::take(&mut spec.args);
                spec.interpreter_args.push("-c".to_owned());
                let words: Vec<String> = split_words(written).into_iter().chain(args).collect();
                self.named_file(&words, true, cwd, draft)
            }
        }
    }

    /// pmrun's own: its variables say everything, and it says itself when it serves.
    fn file_server(&mut self, draft: &Draft, spec: &mut AppSpec) {
        self.by.script = ScriptBy::FileServer;
        if !draft.wrote("wait_ready") {
            spec.readiness.wait_ready = true;
        }
        if !spec.args.is_empty() {
            let at = draft.at("args").location(self.request.file);
            let message =
                format!("`args` of {} are not used: `script: \"serve\"` is pmrun's own, as in PM2", title(draft));
            let hint =
                "it is told by `PM2_SERVE_PATH` and the like in `env`; another program of that name is run by its path";
            self.diagnostics.push(Diagnostic::warning(Code::Conflict, message, at).hint(hint));
        }
    }

    /// What `script` is, or an error.
    fn script(
        &mut self,
        draft: &Draft,
        cwd: &Path,
        written: &str,
        interpreter: &Interpreter,
        spec: &AppSpec,
    ) -> Option<Script> {
        let at = draft.at("script");
        if written.trim().is_empty() {
            self.error(Code::Value, "`script` must not be empty".to_owned(), at);
            return None;
        }
        let path = self.surroundings.absolute(cwd, written);
        let entry = self.surroundings.entry(&path);
        if let FileEntry::File { executable } = entry {
            return Some(Script::File { path, executable });
        }
        let search = spec.env.get("PATH").map(String::as_str);
        if !written.contains('/')
            && let Some(program) = self.surroundings.program(written, search)
        {
            return Some(Script::Program(program));
        }
        let shell_may_run_it = match interpreter {
            Interpreter::ByScript | Interpreter::Direct | Interpreter::Broken => true,
            Interpreter::Named(name) => SHELLS.contains(&base_name(name)),
        };
        if entry == FileEntry::Missing && written.trim().contains(char::is_whitespace) && shell_may_run_it {
            return Some(Script::Line);
        }
        let (problem, hint) = match entry {
            FileEntry::Folder => ("is a folder".to_owned(), Some("name the file in it".to_owned())),
            FileEntry::Other => ("is not a regular file".to_owned(), None),
            FileEntry::Unusable(why) => (format!("cannot be used: {why}"), None),
            FileEntry::File { .. } | FileEntry::Missing => {
                let nearby = self.surroundings.absolute(self.request.folder, written);
                let beside = matches!(self.surroundings.entry(&nearby), FileEntry::File { .. });
                let hint =
                    beside.then(|| format!("there is `{}`, but `script` is read against `cwd`", nearby.display()));
                let path_too = if written.contains('/') { "" } else { ", nor is it in PATH" };
                (format!("does not exist{path_too}"), hint)
            }
        };
        let message = format!("script of {}: `{}` {problem}", title(draft), path.display());
        self.error_with_hint(Code::NotFound, message, at, hint);
        None
    }

    /// What can be told of an app whose folder is not there: what is wrong wherever that is.
    pub(super) fn without_cwd(&mut self, draft: &Draft, spec: &mut AppSpec) -> Option<PathBuf> {
        let written = draft.interpreter.as_deref().unwrap_or_default();
        if !written.contains('/') || written.starts_with(['/', '~']) {
            self.interpreter(draft, self.request.folder, spec);
        }
        self.patterns(draft);
        None
    }

    fn interpreter(&mut self, draft: &Draft, cwd: &Path, spec: &AppSpec) -> Interpreter {
        let Some(written) = draft.interpreter.as_deref() else { return Interpreter::ByScript };
        if written == "none" {
            return Interpreter::Direct;
        }
        let at = draft.at("interpreter");
        if let Some(version) = written.strip_prefix("node@") {
            let message = format!("`interpreter: \"node@{version}\"`: pmrun installs no versions of Node");
            let hint = "give the path of its `node`, or put that first in PATH".to_owned();
            self.error_with_hint(Code::Value, message, at, Some(hint));
            return Interpreter::Broken;
        }
        if written.contains('/') || written.starts_with('~') {
            let path = self.surroundings.absolute(cwd, written);
            let problem = match self.surroundings.entry(&path) {
                FileEntry::File { executable: true } => return Interpreter::Named(text(&path)),
                FileEntry::File { executable: false } => "is not executable".to_owned(),
                FileEntry::Missing => "does not exist".to_owned(),
                FileEntry::Folder | FileEntry::Other => "is not a program".to_owned(),
                FileEntry::Unusable(why) => format!("cannot be used: {why}"),
            };
            self.error(Code::NotFound, format!("interpreter of {}: `{}` {problem}", title(draft), path.display()), at);
            return Interpreter::Broken;
        }
        let search = spec.env.get("PATH").map(String::as_str);
        if self.surroundings.program(written, search).is_some() {
            return Interpreter::Named(written.to_owned());
        }
        let other = if written == "python" { "python3" } else { "python" };
        let hint = (written.starts_with("python") && self.surroundings.program(other, search).is_some())
            .then(|| format!("there is `{other}`"));
        let message = format!("interpreter `{written}` of {} is not in PATH", title(draft));
        self.error_with_hint(Code::NotFound, message, at, hint);
        Interpreter::Broken
    }

    /// The interpreter of a script that is a file; sets what it needs in the environment.
    fn interpreter_of(
        &mut self,
        interpreter: Interpreter,
        path: &Path,
        executable: bool,
        draft: &Draft,
        spec: &mut AppSpec,
    ) -> Option<String> {
        let named = match interpreter {
            Interpreter::Broken => return None,
            Interpreter::Named(name) => Some(name),
            Interpreter::Direct => {
                if !executable {
                    self.not_executable(path, draft);
                }
                None
            }
            Interpreter::ByScript => self.by_script(path, executable, draft, spec),
        };
        // Output into a file is buffered by Python, so a log would stay empty for long. PM2 sets it too.
        let head = if named.is_none() { self.surroundings.head(path) } else { Vec::new() };
        if executable {
            self.first_line(path, &head, draft, spec);
        }
        let runs = named.as_deref().map(base_name).or_else(|| first_line(&head).map(|line| line.program()));
        if runs.is_some_and(|program| program.contains("python")) {
            spec.env.entry("PYTHONUNBUFFERED".to_owned()).or_insert_with(|| "1".to_owned());
        }
        named
    }

    /// By ending, then by content. PM2 ignores a first line `#!` and gives any text to node, a shell script without
    /// ending as well; here the file's own word counts, and only text that says nothing is taken for Node's.
    fn by_script(&mut self, path: &Path, executable: bool, draft: &Draft, spec: &AppSpec) -> Option<String> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let candidates = BY_ENDING.iter().find(|(known, _)| *known == ending).map(|(_, candidates)| *candidates);
        if let Some(candidates) = candidates {
            self.by.interpreter = InterpreterBy::Ending;
            return self.needed(candidates, path, draft, spec);
        }
        let head = self.surroundings.head(path);
        let Some(line) = first_line(&head) else {
            if !head.contains(&0) {
                self.by.interpreter = InterpreterBy::PlainText;
                return self.needed(&["node"], path, draft, spec);
            }
            self.by.interpreter = InterpreterBy::Executable;
            if !executable {
                self.not_executable(path, draft);
            }
            return None;
        };
        self.by.interpreter = InterpreterBy::FirstLine;
        match line.program() {
            // As an interpreter it gets `node_args` and Node's channel.
            program @ ("node" | "nodejs" | "bun") => self.needed(&[program], path, draft, spec),
            _ if executable => {
                self.by.interpreter = InterpreterBy::Executable;
                None
            }
            "" => {
                self.not_executable(path, draft);
                None
            }
            program if base_name(line.interpreter) == "env" => self.needed(&[program], path, draft, spec),
            _ => {
                let interpreter = line.interpreter.to_owned();
                self.first_line(path, &head, draft, spec);
                Some(interpreter)
            }
        }
    }

    fn needed(&mut self, candidates: &[&str], path: &Path, draft: &Draft, spec: &AppSpec) -> Option<String> {
        let found = self.first_in_path(candidates, spec);
        if found.is_none() {
            let wanted = candidates.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
            let message =
                format!("script `{}` of {} needs {wanted}, which is not in PATH", path.display(), title(draft));
            self.error(Code::NotFound, message, draft.at("script"));
        }
        found
    }

    /// The file that a command names as what it runs: its program where that is a path, else the first argument that
    /// is there and ends as code does. An argument of another kind is data, which changes while the app runs.
    fn named_file(&mut self, words: &[String], has_program: bool, cwd: &Path, draft: &Draft) -> Option<PathBuf> {
        let found = words.iter().enumerate().find_map(|(at, word)| {
            let path = self.surroundings.absolute(cwd, word);
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            let is_code = BY_ENDING.iter().any(|(known, _)| *known == ending);
            let is_program = has_program && at == 0 && word.contains('/');
            let is_file = || matches!(self.surroundings.entry(&path), FileEntry::File { .. });
            ((is_code || is_program) && !word.starts_with('-') && is_file()).then_some(path)
        });
        if found.is_none() && draft.code == CodeOption::Script {
            let message = format!("no file stands for the code of {}: its command names none", title(draft));
            let at = draft.at("script").location(self.request.file);
            let hint = "`fingerprint: [\"src/**\"]` makes an apply notice new code";
            self.diagnostics.push(Diagnostic::info(Code::NoCode, message, at).hint(hint));
        }
        found
    }

    fn first_in_path(&self, candidates: &[&str], spec: &AppSpec) -> Option<String> {
        let search = spec.env.get("PATH").map(String::as_str);
        let found = candidates.iter().find(|name| self.surroundings.program(name, search).is_some());
        found.map(|name| (*name).to_owned())
    }

    fn not_executable(&mut self, path: &Path, draft: &Draft) {
        let message = format!("script `{}` of {} is not executable", path.display(), title(draft));
        let hint = format!("run `chmod +x {}`, or name an `interpreter`", path.display());
        self.error_with_hint(Code::NotFound, message, draft.at("script"), Some(hint));
    }

    fn unused_arguments(&mut self, draft: &Draft, spec: &AppSpec) {
        if spec.interpreter.is_none() && !spec.interpreter_args.is_empty() {
            let message =
                format!("`node_args` of {} are not used: its script runs without an interpreter", title(draft));
            self.warning(Code::Conflict, message, draft.at("node_args"));
        }
    }
}

pub(super) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `#!interpreter argument`
pub(super) struct FirstLine<'a> {
    pub(super) interpreter: &'a str,
    pub(super) argument: Option<&'a str>,
}

impl<'a> FirstLine<'a> {
    /// The program that is meant; empty where that takes more than looking.
    fn program(&self) -> &'a str {
        match (base_name(self.interpreter), self.argument) {
            ("env", Some(program)) if !program.starts_with('-') && !program.contains(char::is_whitespace) => program,
            (program, None) => program,
            _ => "",
        }
    }
}

pub(super) fn first_line(head: &[u8]) -> Option<FirstLine<'_>> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim();
    let (interpreter, argument) = match line.split_once(char::is_whitespace) {
        Some((interpreter, argument)) => (interpreter, Some(argument.trim())),
        None => (line, None),
    };
    (!interpreter.is_empty()).then_some(FirstLine { interpreter, argument })
}
