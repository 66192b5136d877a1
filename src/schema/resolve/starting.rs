//! What would keep an app from starting, found before anything that runs is stopped.

use std::path::Path;

use super::command::{FirstLine, base_name, first_line};
use super::{Resolver, title};
use crate::diag::Code;
use crate::schema::FileEntry;
use crate::schema::draft::Draft;
use crate::schema::value::TEXT_BYTES_MAX;
use crate::spec::{AppSpec, LogTarget};

/// Of arguments and declared variables. The system gives a process 2 MB for both (a quarter of the usual stack), and
/// what the shell has comes on top.
const START_BYTES_MAX: usize = 1536 * 1024;

/// The system looks no further for the end of a first line.
const FIRST_LINE_BYTES_MAX: usize = 255;

/// First words of a command line that no PATH has: what bash and POSIX shells do themselves.
const SHELL_WORDS: [&str; 74] = [
    ".",
    ":",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "case",
    "cd",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disown",
    "do",
    "done",
    "echo",
    "elif",
    "else",
    "enable",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "fi",
    "for",
    "function",
    "getopts",
    "hash",
    "help",
    "history",
    "if",
    "in",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "select",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "true",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
];

impl Resolver<'_> {
    /// The files that pmrun writes for the app, where they are its own choice.
    pub(super) fn files(&mut self, draft: &Draft, spec: &AppSpec, has_cwd: bool) {
        let log = |target: &LogTarget| match target {
            LogTarget::Path(path) => Some(path.clone()),
            LogTarget::Default | LogTarget::Null => None,
        };
        let files = [
            ("out_file", &draft.out_file, log(&spec.logs.out)),
            ("error_file", &draft.error_file, log(&spec.logs.error)),
            ("log_file", &draft.log_file, spec.logs.combined.as_ref().and_then(log)),
            ("pid_file", &draft.pid_file, spec.pid_file.clone()),
        ];
        for (option, written, path) in files {
            let (Some(written), Some(path)) = (written, path) else { continue };
            if !has_cwd && !written.starts_with(['/', '~']) {
                continue;
            }
            let problem = match option {
                "pid_file" => self.surroundings.replaceable(Path::new(&path)),
                _ => self.surroundings.appendable(Path::new(&path)),
            };
            if let Err(why) = problem {
                self.error(Code::NotFound, format!("`{option}` of {}: `{path}` {why}", title(draft)), draft.at(option));
            }
        }
    }

    /// What goes to the process as a whole; texts that were written in the file were measured as they were read.
    pub(super) fn size(&mut self, draft: &Draft, spec: &AppSpec) {
        if spec.script.len() > TEXT_BYTES_MAX {
            let message = format!("the command line of {} has more than {TEXT_BYTES_MAX} bytes", title(draft));
            self.error(Code::Value, message, draft.at("script"));
        }
        for (name, value) in &spec.env {
            let bytes = name.len() + 1 + value.len();
            if bytes > TEXT_BYTES_MAX {
                let message = format!(
                    "`env_file` of {}: the variable `{name}` has {bytes} bytes, a process can be given {TEXT_BYTES_MAX} in one",
                    title(draft)
                );
                self.error(Code::Value, message, draft.at("env_file"));
            }
        }
        // Each is counted with its end and with the pointer to it.
        let args = spec.interpreter_args.iter().chain([&spec.script]).chain(&spec.args).map(|text| text.len() + 9);
        let env = spec.env.iter().map(|(name, value)| name.len() + value.len() + 10);
        let (args, env): (usize, usize) = (args.sum(), env.sum());
        if args + env > START_BYTES_MAX {
            let message = format!(
                "arguments and variables of {} have {} KB, a process can be given {} KB",
                title(draft),
                (args + env) / 1024,
                START_BYTES_MAX / 1024
            );
            let option = match (env > args, draft.wrote("env")) {
                (true, true) => "env",
                (true, false) => "env_file",
                (false, _) => "args",
            };
            self.error(Code::Value, message, draft.at(option));
        }
    }

    /// The interpreter that the first line of a script names.
    pub(super) fn first_line(&mut self, path: &Path, head: &[u8], draft: &Draft, spec: &AppSpec) {
        let Some(line) = first_line(head) else { return };
        let Some(end) = head.iter().position(|byte| *byte == b'\n').filter(|end| *end <= FIRST_LINE_BYTES_MAX) else {
            return;
        };
        let (script, app) = (path.display(), title(draft));
        let (message, hint) = if head[..end].ends_with(b"\r") {
            let hint = "save it with the line ends of Unix".to_owned();
            (format!("the first line of script `{script}` of {app} ends with a carriage return"), Some(hint))
        } else if let Some(problem) = self.interpreter_problem(&line, spec) {
            (format!("script `{script}` of {app} needs {problem}"), None)
        } else {
            return;
        };
        self.error_with_hint(Code::NotFound, message, draft.at("script"), hint);
    }

    fn interpreter_problem(&self, line: &FirstLine<'_>, spec: &AppSpec) -> Option<String> {
        let cwd = Path::new(&spec.cwd);
        let path = self.surroundings.absolute(cwd, line.interpreter);
        if let Some(problem) = self.program_problem(&path) {
            return Some(format!("`{}`, which {problem}", line.interpreter));
        }
        let program = line.argument.filter(|_| base_name(line.interpreter) == "env")?;
        let is_name = !program.starts_with('-') && !program.contains(['=', '/', ' ', '\t']);
        let search = spec.env.get("PATH").map(String::as_str);
        (is_name && !self.surroundings.finds(program, search, cwd))
            .then(|| format!("`{program}`, which is not in PATH"))
    }

    /// The program of a command line, where the line leaves no doubt about which that is.
    pub(super) fn first_word(&mut self, line: &str, draft: &Draft, cwd: &Path, spec: &AppSpec) {
        let Some(word) = plain_first_word(line) else { return };
        let problem = if word.contains('/') {
            self.program_problem(&self.surroundings.absolute(cwd, word))
        } else {
            let search = spec.env.get("PATH").map(String::as_str);
            (!self.surroundings.finds(word, search, cwd)).then(|| "is not in PATH".to_owned())
        };
        if let Some(problem) = problem {
            let message = format!("the command line of {} runs `{word}`, which {problem}", title(draft));
            self.error(Code::NotFound, message, draft.at("script"));
        }
    }

    fn program_problem(&self, path: &Path) -> Option<String> {
        match self.surroundings.entry(path) {
            FileEntry::File { executable: true } => None,
            FileEntry::File { executable: false } => Some("is not executable".to_owned()),
            FileEntry::Missing => Some("does not exist".to_owned()),
            FileEntry::Folder | FileEntry::Other => Some("is not a program".to_owned()),
            FileEntry::Unusable(why) => Some(format!("cannot be used: {why}")),
        }
    }
}

/// The first word, where the shell takes it for a program and the line ends with it when there is none.
fn plain_first_word(line: &str) -> Option<&str> {
    // `a || b`, `a; b`, `a & b`, `a | b` go on without `a`.
    if line.replace("&&", "").replace(">&", "").contains(['|', ';', '&', '\n']) {
        return None;
    }
    let word = line.split_whitespace().next()?;
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '+' | '-' | '@'));
    (is_plain && !word.starts_with('-') && !SHELL_WORDS.contains(&word)).then_some(word)
}

#[cfg(test)]
#[path = "starting_tests.rs"]
mod tests;
