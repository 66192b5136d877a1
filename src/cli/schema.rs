use super::arguments::{self, SchemaFormat};
use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use crate::schema::export;

pub(super) fn run(arguments: &arguments::Schema, terminal: &mut Terminal) -> Result<Exit, CliError> {
    terminal.print(match arguments.format {
        SchemaFormat::Json => export::json_schema(),
        SchemaFormat::Ts => export::typescript(),
        SchemaFormat::Markdown => export::markdown(),
    })?;
    Ok(Exit::Done)
}
