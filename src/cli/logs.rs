use std::io;
use std::path::PathBuf;

use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::terminal::{Colour, Terminal, harmless, paint};
use super::{arguments, instances, surroundings};
use crate::logs::{FollowError, Follower, Line, Sink, Tail};
use crate::rpc::wire::InstanceView;

/// A log file and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LogFile {
    path: PathBuf,
    label: String,
    stream: Stream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Out,
    Error,
}

pub(super) fn run(arguments: &arguments::Logs, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let all = instances::all(&surroundings::home()?)?;
    let everything = ["all".to_owned()];
    let targets = if arguments.targets.is_empty() { &everything[..] } else { &arguments.targets };
    let chosen = instances::select(targets, &all)?;
    // Neither flag is both streams, and so are both flags.
    let (out, error) = if arguments.out == arguments.err { (true, true) } else { (arguments.out, arguments.err) };
    let files = log_files(&chosen, out, error);
    if files.is_empty() {
        terminal.note("no log files");
        return Ok(Exit::Done);
    }
    let mut printer = Printer::new(files, arguments.json, terminal);
    if arguments.follow { follow(&mut printer, arguments.lines) } else { tail(&mut printer, arguments.lines) }
}

fn tail(printer: &mut Printer<'_>, count: usize) -> Result<Exit, CliError> {
    for (at, file) in printer.files.clone().iter().enumerate() {
        let mut tail = match Tail::open(&file.path, count, 0) {
            Ok(tail) => tail,
            // Nothing was written yet.
            Err(err) if err.kind() == io::ErrorKind::NotFound => continue,
            Err(err) => {
                printer.terminal.say_error(&CliError::io("read", &file.path, &err));
                continue;
            }
        };
        while let Some(line) = tail.next_line().map_err(|err| CliError::io("read", &file.path, &err))? {
            printer.line(at, &line).map_err(|err| CliError::output(&err))?;
        }
    }
    Ok(Exit::Done)
}

fn follow(printer: &mut Printer<'_>, count: usize) -> Result<Exit, CliError> {
    let paths = printer.files.iter().map(|file| file.path.clone()).collect();
    let result = Follower::new(paths).and_then(|follower| follower.run(count, printer));
    result.map(|()| Exit::Done).map_err(|err| cannot_follow(&err))
}

pub(super) fn cannot_follow(err: &FollowError) -> CliError {
    if let FollowError::Sink(err) = err {
        return CliError::output(err);
    }
    let cause = std::error::Error::source(err).map(|cause| format!(": {cause}")).unwrap_or_default();
    CliError::error(format!("{err}{cause}"))
        .hint("the system's limits are in `/proc/sys/fs/inotify`; leaving out `--follow` needs none of it")
}

/// Each file once: instances may share theirs, and both streams may go to one.
fn log_files(views: &[InstanceView], out: bool, error: bool) -> Vec<LogFile> {
    let mut files: Vec<LogFile> = Vec::new();
    let mut by_path = std::collections::BTreeMap::<PathBuf, usize>::new();
    for (view, label) in views.iter().zip(instances::labels(views)) {
        let nowhere_else = view.out_file.is_none() && view.error_file.is_none();
        let streams = [
            (out, &view.out_file, Stream::Out),
            (error, &view.error_file, Stream::Error),
            (nowhere_else, &view.log_file, Stream::Out),
        ];
        for (wanted, path, stream) in streams {
            let Some(path) = path.as_ref().filter(|_| wanted).map(PathBuf::from) else { continue };
            if let Some(known) = by_path.get(&path) {
                // It is nobody's alone: it is called after the app.
                let shared = &mut files[*known];
                if shared.label != label {
                    shared.label.clone_from(&view.name);
                }
                continue;
            }
            by_path.insert(path.clone(), files.len());
            files.push(LogFile { path, label: label.clone(), stream });
        }
    }
    files
}

/// Prints lines, each with whose it is where that is not plain.
struct Printer<'a> {
    files: Vec<LogFile>,
    /// By file.
    prefixes: Vec<String>,
    json: bool,
    terminal: &'a mut Terminal,
}

impl<'a> Printer<'a> {
    fn new(files: Vec<LogFile>, json: bool, terminal: &'a mut Terminal) -> Self {
        let labels: Vec<String> = files.iter().map(|file| harmless(file.label.as_bytes(), false)).collect();
        let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        let prefix = |(file, label): (&LogFile, String)| {
            if files.len() == 1 {
                return String::new();
            }
            let hue = if file.stream == Stream::Out { Colour::Green } else { Colour::Red };
            paint(terminal.colour, hue, &format!("{label:width$} | "))
        };
        let prefixes = files.iter().zip(labels).map(prefix).collect();
        Self { files, prefixes, json, terminal }
    }
}

impl Sink for Printer<'_> {
    fn line(&mut self, file: usize, line: &Line) -> io::Result<()> {
        let cut = if line.cut > 0 { format!(" [{} bytes cut]", line.cut) } else { String::new() };
        if self.json {
            let log = &self.files[file];
            let stream = if log.stream == Stream::Out { "out" } else { "error" };
            let text = String::from_utf8_lossy(&line.bytes);
            let object = json!({ "app": log.label, "stream": stream, "line": text, "cut_bytes": line.cut });
            return self.terminal.write(format!("{object}\n").as_bytes());
        }
        self.terminal.write(self.prefixes[file].as_bytes())?;
        if self.terminal.interactive {
            self.terminal.write(harmless(&line.bytes, true).as_bytes())?;
        } else {
            self.terminal.write(&line.bytes)?;
        }
        self.terminal.write(cut.as_bytes())?;
        self.terminal.write(b"\n")
    }

    fn idle(&mut self) -> io::Result<()> {
        self.terminal.flush_now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_files_are_read_once_and_named_after_the_app() {
        let (mut a, mut b) = (InstanceView::sample(0, "api", 0), InstanceView::sample(1, "api", 1));
        b.error_file = Some("/logs/api-error-1.log".into());
        let mut quiet = InstanceView::sample(2, "quiet", 0);
        (quiet.out_file, quiet.error_file) = (None, Some("/logs/quiet.log".into()));
        let named = |views: &[InstanceView], out, error| -> Vec<(String, String)> {
            let files = log_files(views, out, error);
            files.into_iter().map(|file| (file.label, file.path.display().to_string())).collect()
        };
        let pair = |label: &str, path: &str| (label.to_owned(), path.to_owned());
        assert_eq!(
            named(&[a.clone(), b.clone(), quiet.clone()], true, true),
            [
                pair("api", "/logs/api-out.log"),
                pair("api:0", "/logs/api-error.log"),
                pair("api:1", "/logs/api-error-1.log"),
                pair("quiet", "/logs/quiet.log"),
            ]
        );
        assert_eq!(named(&[quiet.clone()], true, false), []);
        quiet.log_file = Some("/logs/all.log".into());
        assert_eq!(named(&[quiet.clone()], true, true), [pair("quiet", "/logs/quiet.log")]);
        quiet.error_file = None;
        assert_eq!(named(&[quiet], true, true), [pair("quiet", "/logs/all.log")]);
        a.error_file.clone_from(&a.out_file);
        assert_eq!(named(&[a], true, true), [pair("api", "/logs/api-out.log")]);
    }
}
