use super::error::CliError;
use super::exit::Exit;
use super::loading::{self, Talk};
use super::terminal::{Terminal, counted};
use super::{arguments, saved_plan, surroundings};
use crate::{config, diag};

pub(super) fn run(arguments: &arguments::Validate, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let world = surroundings::world_for(&arguments.source.access)?;
    let entry = loading::entry(arguments.source.file.as_deref(), &world, terminal)?;
    saved_plan::refuse(&entry.path, &entry.named)?;
    let loaded = config::load(&entry.named, arguments.source.env.as_deref(), &world);
    let talk = if arguments.json {
        terminal.json(&diag::render_json(&loaded.report))?;
        Talk::None
    } else {
        Talk::All
    };
    let graph = loading::judge(loaded.graph, &loaded.report, arguments.strict, talk, terminal)?;
    if !arguments.json {
        let file = entry.named.display();
        terminal.print(format!("{file}: ok, {}\n", counted(graph.apps.len(), "app")))?;
    }
    Ok(Exit::Done)
}
