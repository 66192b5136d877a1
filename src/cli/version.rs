use serde_json::json;

use super::arguments;
use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;

pub(super) fn run(arguments: &arguments::Json, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    if arguments.json {
        terminal.json(&json!({ "version": 1, "pmrun": version }))?;
    } else {
        terminal.print(format!("pmrun {version}\n"))?;
    }
    Ok(Exit::Done)
}
