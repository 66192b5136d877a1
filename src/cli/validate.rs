use std::path::{Path, PathBuf};

use super::arguments::{self, ReportFormat};
use super::error::CliError;
use super::exit::Exit;
use super::loading::{self, Talk};
use super::terminal::{Terminal, counted};
use super::{saved_plan, surroundings};
use crate::config::World;
use crate::{config, diag};

pub(super) fn run(arguments: &arguments::Validate, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let world = surroundings::world_for(&arguments.source.access)?;
    let entry = loading::entry(arguments.source.file.as_deref(), &world, terminal)?;
    saved_plan::refuse(&entry.path, &entry.named)?;
    let loaded = config::load(&entry.named, arguments.source.env.as_deref(), &world);
    let format = if arguments.json { ReportFormat::Json } else { arguments.format };
    let talk = match format {
        ReportFormat::Text => Talk::All,
        ReportFormat::Json => {
            terminal.json(&diag::render_json(&loaded.report))?;
            Talk::None
        }
        ReportFormat::Github => {
            let path = |path: &Path| below_repository(path, &world);
            terminal.print(diag::render_github(&loaded.report, arguments.strict, path))?;
            Talk::None
        }
    };
    let graph = loading::judge(loaded.graph, &loaded.report, arguments.strict, talk, terminal)?;
    if format == ReportFormat::Text {
        let file = entry.named.display();
        terminal.print(format!("{file}: ok, {}\n", counted(graph.apps.len(), "app")))?;
    }
    Ok(Exit::Done)
}

/// GitHub finds a file by its path below the checkout, wherever the command is run.
fn below_repository(path: &Path, world: &World) -> PathBuf {
    let checkout = world.env.get("GITHUB_WORKSPACE").map_or(&*world.cwd, Path::new);
    let whole = loading::absolute(path, world);
    whole.strip_prefix(checkout).map_or_else(|_| path.to_owned(), Path::to_owned)
}
