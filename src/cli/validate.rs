use std::path::{Path, PathBuf};

use super::arguments::{self, ReportFormat};
use super::error::CliError;
use super::exit::Exit;
use super::loading::{self, Talk};
use super::terminal::{Terminal, counted};
use super::{saved_plan, surroundings};
use crate::config::World;
use crate::diag::{Code, Diagnostic, Report};
use crate::document::Location;
use crate::{config, diag};

pub(super) fn run(arguments: &arguments::Validate, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let mut world = surroundings::world_of(&arguments.source)?;
    let format = if arguments.json { ReportFormat::Json } else { arguments.format };
    world.reading.for_runner = format == ReportFormat::Github;
    let entry = loading::entry(arguments.source.file.as_deref(), &world, terminal);
    let entry = entry.and_then(|entry| saved_plan::refuse(&entry.path, &entry.named).map(|()| entry));
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => {
            report_no_file(&error, format, terminal)?;
            return Err(error);
        }
    };
    let loaded = config::load(&entry.named, arguments.source.env.as_deref(), &world);
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

/// For programs: that there is nothing to read is a problem as any other.
fn report_no_file(error: &CliError, format: ReportFormat, terminal: &mut Terminal) -> Result<(), CliError> {
    let diagnostic = Diagnostic::error(Code::File, error.message.clone(), Location::Nowhere);
    let mut report = Report::default();
    report.push(match &error.hint {
        Some(hint) => diagnostic.hint(hint.clone()),
        None => diagnostic,
    });
    match format {
        ReportFormat::Text => Ok(()),
        ReportFormat::Json => terminal.json(&diag::render_json(&report)),
        ReportFormat::Github => terminal.print(diag::render_github(&report, false, Path::to_owned)),
    }
}

/// GitHub finds a file by its path below the checkout, wherever the command is run.
fn below_repository(path: &Path, world: &World) -> PathBuf {
    let checkout = world.env.get("GITHUB_WORKSPACE").map_or(&*world.cwd, Path::new);
    let whole = loading::absolute(path, world);
    whole.strip_prefix(checkout).map_or_else(|_| path.to_owned(), Path::to_owned)
}
