use std::time::Instant;

use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use super::{arguments, exchange, surroundings};
use crate::rpc::client::DAEMON_LOG;
use crate::rpc::wire::{Answer, Request};
use crate::runtime::store::FORMAT;

/// How often a daemon is asked that becomes another program each time before it has answered.
const ATTEMPTS: u32 = 10;

/// What a daemon says of itself.
struct Daemon {
    version: String,
    pid: u32,
    format: u32,
    program: Option<String>,
}

pub(super) fn run(arguments: &arguments::Json, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let daemon = || match exchange::ask(&home, Request::Ping)? {
        None => Ok(None),
        Some(Answer::Pong { version, pid, format, program, .. }) => Ok(Some(Daemon { version, pid, format, program })),
        Some(other) => Err(exchange::unexpected(&other)),
    };
    let Some(before) = daemon()? else {
        return Err(CliError::new(Exit::Unreachable, "no daemon is running")
            .hint("there is nothing to upgrade: the next command that changes something starts this one"));
    };
    if before.format > FORMAT {
        let (format, version) = (before.format, before.version);
        let problem =
            format!("the daemon is pmrun {version}, which stores what this one cannot read (format {format})");
        return Err(CliError::error(problem).hint("nothing was done; use that pmrun, or a newer one"));
    }
    let program = std::env::current_exe().ok().and_then(|program| program.into_os_string().into_string().ok());
    let program = program.ok_or_else(|| CliError::error("cannot tell where this pmrun is"))?;
    let begun = Instant::now();
    let is_it = |daemon: &Daemon| daemon.program.as_ref() == Some(&program) && daemon.pid == before.pid;
    let mut after = None;
    for attempt in 1.. {
        let wanted = Request::Upgrade { program: program.clone() };
        let asked = exchange::perform(&home, &wanted, false, terminal, &mut |_, _| ());
        after = daemon()?;
        match asked {
            Ok(_) => break,
            // Whoever asks at the same time is cut off by the one that comes first: the process is this program by then,
            // or another that is to be asked again.
            Err(err) if err.exit == Exit::Unreachable && attempt < ATTEMPTS => {
                if after.as_ref().is_some_and(is_it) {
                    break;
                }
            }
            Err(err) => return Err(err),
        }
    }
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    match after {
        Some(after) if is_it(&after) => {
            if arguments.json {
                let daemon = json!({ "version": after.version, "pid": after.pid, "program": program });
                terminal.json(&json!({ "version": 1, "daemon": daemon, "before": before.version, "ms": ms }))?;
            } else {
                let (old, new, pid) = (before.version, after.version, after.pid);
                terminal.print(format!("the daemon is pmrun {new} now (pid {pid}); it was {old}\n"))?;
            }
            Ok(Exit::Done)
        }
        _ => Err(CliError::error(format!("the daemon could not become `{program}`"))
            .hint(format!("what runs goes on; its own words are in `{}`", home.join(DAEMON_LOG).display()))),
    }
}
