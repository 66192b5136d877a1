use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use super::{arguments, exchange, surroundings};
use crate::rpc::wire::{Answer, Request};

pub(super) fn run(arguments: &arguments::Json, terminal: &mut Terminal) -> Result<Exit, CliError> {
    match exchange::ask(&surroundings::home()?, Request::Ping)? {
        None => Err(CliError::new(Exit::Unreachable, "no daemon is running")
            .hint("`pmrun apply` starts one, and so does every command that changes something")),
        Some(Answer::Pong { version, protocol, pid, .. }) => {
            if arguments.json {
                let daemon = json!({ "version": version, "protocol": protocol, "pid": pid });
                terminal.json(&json!({ "version": 1, "daemon": daemon }))?;
            } else {
                terminal.print(format!("pong: pmrun {version}, pid {pid}\n"))?;
            }
            Ok(Exit::Done)
        }
        Some(other) => Err(exchange::unexpected(&other)),
    }
}
