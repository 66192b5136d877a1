//! `run`: the apps of a file in the foreground of this process, and nothing else.

mod place;
mod press;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use self::place::Place;
use self::press::{Printer, words};
use super::ambient::ambient;
use super::arguments;
use super::error::CliError;
use super::exit::Exit;
use super::loading::EntryFile;
use super::terminal::Terminal;
use super::{loading, saved_plan, surroundings};
use crate::base::Key;
use crate::config::{self, World};
use crate::daemon::{Task, in_foreground};
use crate::document::Node;
use crate::graph::Graph;
use crate::platform::{Signals, random_bytes, reason};
use crate::runtime::State;
use crate::spec::{AppSpec, LogTarget};

/// `signals`: where what comes waits already.
pub(super) fn run(
    arguments: &arguments::Run,
    signals: Option<io::Result<Signals>>,
    terminal: &mut Terminal,
) -> Result<ExitCode, CliError> {
    let signals =
        signals.transpose().map_err(|err| CliError::error(format!("cannot watch signals: {}", reason(&err))))?;
    let mut world = surroundings::world_of(&arguments.source)?;
    world.reading.writes_nothing = true;
    let file = loading::entry(arguments.source.file.as_deref(), &world, terminal)?;
    if saved_plan::read(&file.path)?.is_some() {
        return Err(CliError::usage(format!("`{}` is a saved plan", file.named.display()))
            .hint("`pmrun apply` does what it says; `pmrun run` takes the file that it was made from"));
    }
    world.reading.mode.clone_from(&arguments.source.env);
    let graph = declared(arguments, &file, &world, terminal)?;
    foreground(&graph, arguments, &world, signals, terminal)
}

/// A script alone, as PM2's names for containers have it: `node` describes it.
pub(super) fn script(
    node: Node,
    what: &str,
    arguments: &arguments::Run,
    signals: Option<io::Result<Signals>>,
    terminal: &mut Terminal,
) -> Result<ExitCode, CliError> {
    let signals =
        signals.transpose().map_err(|err| CliError::error(format!("cannot watch signals: {}", reason(&err))))?;
    let mut world = surroundings::world()?;
    world.reading.writes_nothing = true;
    let loaded = config::load_node(&world.cwd, Path::new("command line"), node, &world);
    let mut graph = loading::judge(loaded.graph, &loaded.report, false, loading::Talk::Warnings, terminal)?;
    if graph.apps.is_empty() {
        return Err(CliError::error(format!("`{what}` describes no app")));
    }
    silence(&mut graph);
    foreground(&graph, arguments, &world, signals, terminal)
}

fn foreground(
    graph: &Graph,
    arguments: &arguments::Run,
    world: &World,
    signals: Option<Signals>,
    terminal: &mut Terminal,
) -> Result<ExitCode, CliError> {
    let (place, lock) = Place::find(terminal)?;
    let key: [u8; 32] =
        random_bytes().map_err(|err| CliError::error(format!("cannot get random bytes: {}", reason(&err))))?;
    let state = State::declared(graph, ambient(&world.env), Key(key));
    let printer = Printer::new(&graph.apps, arguments, terminal);
    let task = Task {
        home: place.path(),
        is_private: place.is_private(),
        lock,
        state,
        signals,
        words: Arc::new(words(&printer)),
        press: Arc::new(printer),
        exit_on_failure: arguments.exit_on_failure,
        grace: arguments.grace.map(Duration::from_millis),
    };
    terminal.flush()?;
    let verdict = in_foreground(task);
    drop(place);
    // Nothing is said from here on: a stderr that nobody reads would be waited for without end.
    Ok(verdict.map_err(CliError::error)?.code().into())
}

/// The apps that are to be run, as they are run here.
fn declared(
    arguments: &arguments::Run,
    file: &EntryFile,
    world: &World,
    terminal: &mut Terminal,
) -> Result<Graph, CliError> {
    let mut only = arguments.only.clone();
    let profile = arguments.source.env.as_deref();
    let loaded = loading::load(file, profile, &only, arguments.strict, world, terminal);
    let (mut graph, _) = loaded.map_err(|error| may_be_a_script(error, file))?;
    let selection = loading::select(&mut only, &graph)?;
    graph.apps.retain(|app| selection.contains(&app.name));
    let named = file.named.display();
    if graph.apps.is_empty() {
        let error = CliError::new(Exit::Config, format!("`{named}` has no apps: there is nothing to run"));
        return Err(may_be_a_script(error, file));
    }
    let runs = |app: &AppSpec| app.autostart && app.instances > 0;
    if !graph.apps.iter().any(runs) {
        return Err(CliError::new(
            Exit::Config,
            format!("no app of `{named}` is to be started: there is nothing to run"),
        )
        .hint("`autostart: false` is what only starts by hand"));
    }
    graph.file = file.path.to_string_lossy().into_owned();
    let names: BTreeSet<String> =
        graph.apps.iter().filter(|app| has_files(app)).map(|app| format!("`{}`", app.name)).collect();
    if !names.is_empty() {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        terminal.note(&format!("log files of {names} are not written: what apps write goes to stdout and stderr"));
    }
    silence(&mut graph);
    Ok(graph)
}

/// What they write is printed.
fn silence(graph: &mut Graph) {
    for app in &mut graph.apps {
        (app.logs.out, app.logs.error, app.logs.combined) = (LogTarget::Null, LogTarget::Null, None);
        app.pid_file = None;
    }
}

/// An app's program is what other process managers run as well, and by its name this may be one.
fn may_be_a_script(error: CliError, file: &EntryFile) -> CliError {
    let name = file.named.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let is_program = [".js", ".cjs", ".mjs", ".ts", ".cts", ".mts"].iter().any(|end| name.ends_with(end));
    if !is_program || name.contains(".config.") || name.contains("ecosystem") || error.hint.is_some() {
        return error;
    }
    error.hint(format!(
        "`pmrun run` takes an ecosystem file; if `{}` is an app's script, `pmrun init` writes one",
        file.named.display()
    ))
}

/// Whether it names files for what it writes. Devices are what configs for containers name, and mean what is done.
fn has_files(app: &AppSpec) -> bool {
    let is_file = |target: &LogTarget| match target {
        LogTarget::Path(path) => !path.starts_with("/dev/") && !path.starts_with("/proc/"),
        LogTarget::Default | LogTarget::Null => false,
    };
    is_file(&app.logs.out) || is_file(&app.logs.error) || app.logs.combined.as_ref().is_some_and(is_file)
}
