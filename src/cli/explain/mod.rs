//! `explain CODE`: what a diagnostic means. `explain APP.OPTION`: where a value comes from.
//!
//! `page` prints the former; of the latter `ask` reads which value is meant, `answer` finds its layers, `derived` says
//! how what is written became what holds, and `show` prints it.

mod answer;
mod ask;
mod derived;
mod page;
mod show;

use std::path::Path;

use self::answer::Context;
use self::ask::{Asked, Value};
use super::arguments::{self, Source};
use super::error::CliError;
use super::exit::Exit;
use super::loading::{self, Talk};
use super::terminal::Terminal;
use super::{render, saved_plan, surroundings};
use crate::base::closest;
use crate::config::{self, Loaded, Reading, World};
use crate::diag::Code;
use crate::graph::{Graph, Selection};
use crate::schema::Origins;

pub(super) fn run(arguments: &arguments::Explain, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let Some(what) = arguments.what.as_deref() else {
        page::list(arguments.json, terminal)?;
        return Ok(Exit::Done);
    };
    // Whoever names a file means a value of it, even where an app is called like a code.
    if let Some(code) = code(what).filter(|_| arguments.source.file.is_none()) {
        page::print(code, arguments.json, terminal)?;
        return Ok(Exit::Done);
    }
    let world = surroundings::world_of(&arguments.source)?;
    if loading::absolute(Path::new(what), &world).is_file() {
        let error = CliError::usage(format!("`{what}` is a file, not a value"));
        return Err(error.hint(format!("the value goes first: `pmrun explain APP.OPTION {what}`")));
    }
    let (graph, origins) = load(what, &arguments.source, &world, terminal)?;
    let Asked { app, value } = ask::asked(what, &graph)?;
    let mut spec = app.clone();
    if !arguments.reveal {
        render::hide(&mut spec);
    }
    let file = Path::new(&graph.file);
    let profile = graph.profile.as_deref();
    let mut context = Context::new(spec, &app.env, file, profile, &origins, &world, arguments.reveal);
    let single = !matches!(value, Value::Several(_));
    let answers = context.answers(value)?;
    if arguments.json {
        terminal.json(&show::document(what, &app.name, &answers, &context))?;
    } else {
        let text = match answers.as_slice() {
            [one] if single => show::whole(&app.name, one, &context, terminal.colour, terminal.unicode),
            many => show::table(&app.name, many, &context, terminal.colour),
        };
        terminal.print(text)?;
    }
    Ok(Exit::Done)
}

/// A code as people copy it: `unknown-option`, `error[unknown-option]`.
fn code(what: &str) -> Option<Code> {
    let bare = what.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']')).unwrap_or(what);
    Code::find(bare)
}

/// What the other apps lack on this machine does not matter.
fn load(what: &str, source: &Source, world: &World, terminal: &mut Terminal) -> Result<(Graph, Origins), CliError> {
    let file = loading::entry(source.file.as_deref(), world, terminal).map_err(|error| {
        let near = closest(what, Code::ALL.iter().map(|code| code.name()));
        let message = format!("`{what}` is no code of a diagnostic, and {}", error.message);
        match near {
            Some(_) => CliError::error(message).suggest(near),
            None => CliError { message, ..error },
        }
    })?;
    saved_plan::refuse(&file.path, &file.named)?;
    let selection = Selection::Only(ask::beginnings(what).map(str::to_owned).collect());
    let reading = Reading { exact: true, ..world.reading.clone() };
    let world = World { reading, ..world.clone() };
    let loaded = config::load_selected(&file.named, source.env.as_deref(), &selection, &world);
    let Loaded { graph, origins, report } = loaded;
    let talk = if report.has_errors() { Talk::Warnings } else { Talk::None };
    loading::judge(graph, &report, false, talk, terminal).map(|graph| (graph, origins))
}
