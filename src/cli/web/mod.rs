//! `web`: a client of the daemon that others ask over HTTP.

mod knowledge;
mod machine;
mod tail;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

pub(super) use self::knowledge::Knowledge;
use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use super::{arguments, surroundings};
use crate::http::{self, Names, Scope};
use crate::platform::{ensure_home, reason};

/// Each of them asks the daemon one thing at a time.
const THREADS_MAX: usize = 12;

pub(super) fn run(arguments: &arguments::Web, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    ensure_home(&home).map_err(|err| CliError::io("make", &home, &err))?;
    if arguments.new_token {
        let scope = if arguments.write { Scope::Write } else { Scope::Read };
        let path = home.join(http::TOKENS);
        let token = http::new_token(&home, scope).map_err(|err| CliError::io("write", &path, &err))?;
        terminal.print(format!("{token}\n"))?;
        let may = if arguments.write { "look and change something" } else { "look" };
        terminal.note(&format!("whoever has it may {may}; it is not told again. `{}` has its digest", path.display()));
        return Ok(Exit::Done);
    }
    let wanted = SocketAddr::new(arguments.host, arguments.port);
    let cannot = |err: &std::io::Error| {
        CliError::error(format!("cannot listen at {wanted}: {}", reason(err)))
            .hint("another may listen there already: `--port` names another port")
    };
    let listener = TcpListener::bind(wanted).map_err(|err| cannot(&err))?;
    let address = listener.local_addr().map_err(|err| cannot(&err))?;
    if !http::has_tokens(&home) {
        terminal.note("nobody may ask yet, but for /health: `pmrun web --new-token` makes a token");
    }
    if !address.ip().is_loopback() {
        terminal.note("what is sent can be read on its way, tokens too: put something that does TLS in front");
    }
    terminal.note(&format!("serving on http://{address}"));
    let knowledge: Arc<dyn http::Source> = Arc::new(Knowledge::new(home.clone(), "web:"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS_MAX)
        .build()
        .map_err(|err| CliError::error(format!("cannot begin: {err}")))?;
    let names = Names(arguments.allow_host.clone());
    let served = runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            served = http::serve(listener, knowledge, home, names) => served,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    });
    // Whoever waits for the daemon does so for nobody any more.
    runtime.shutdown_background();
    served.map(|()| Exit::Done).map_err(|err| cannot(&err))
}
