//! `serve`: a folder over HTTP as an app, and what that app runs.

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::arguments::{Act, Serve};
use super::error::CliError;
use super::exit::Exit;
use super::options::{entry, text};
use super::terminal::Terminal;
use super::{hand, pm2, surroundings};
use crate::document::{Entry, Kind, Node};
use crate::http::{self, FileSite};
use crate::platform::{reason, say_ready};
use crate::spec::FILE_SERVER;

const PORT_DEFAULT: u16 = 8080;
/// What reads files for those who asked for them.
const THREADS_MAX: usize = 16;

pub(super) fn run(arguments: &Serve, terminal: &mut Terminal) -> Result<Exit, CliError> {
    if arguments.monitor && !terminal.manners.are_pm2s() {
        terminal.note("`--monitor` has no meaning here: nothing is put into pages");
    }
    let world = surroundings::world()?;
    let written = arguments.path.as_deref().unwrap_or_else(|| Path::new("."));
    let root = folder(&world.cwd.join(written), written)?;
    let port = arguments.port.or(arguments.at).unwrap_or(PORT_DEFAULT);
    let name = arguments.app.get("name").map_or_else(|| format!("static-page-server-{port}"), str::to_owned);
    let mut options = arguments.app.clone();
    options.set("name", text(&name));
    if terminal.manners.are_pm2s() {
        pm2::say(&format!("Serving {root} on port {port}"), terminal)?;
    }
    let act =
        Act { what: vec![name.clone()], app: options, turn: arguments.turn, force: arguments.force, ..Act::default() };
    let node = node(arguments, &root, port, &act);
    let host = arguments.host.as_deref().unwrap_or("0.0.0.0");
    // Before there is an app that fails and is tried again.
    let check = || listen(host, port).map(drop);
    hand::start_described(&node, &name, &act, &check, terminal)
}

/// As it is served from: as the user named it, so that a link may be moved to another release.
fn folder(path: &Path, written: &Path) -> Result<String, CliError> {
    let shown = written.display();
    match std::fs::metadata(path) {
        Err(err) => Err(CliError::error(format!("cannot serve `{shown}`: {}", reason(&err)))),
        Ok(meta) if !meta.is_dir() => {
            let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let hint =
                beside.map_or_else(String::new, |parent| format!("`pmrun serve {}` serves it", parent.display()));
            Err(CliError::error(format!("cannot serve `{shown}`: it is a file, and `serve` takes a folder")).hint(hint))
        }
        Ok(_) => {
            let absolute = std::path::absolute(path).map_err(|err| CliError::io("find", path, &err))?;
            let clean: std::path::PathBuf = absolute.components().collect();
            clean.to_str().map(str::to_owned).ok_or_else(|| {
                CliError::error(format!(
                    "cannot serve `{shown}`: its path is not valid UTF-8, and a variable has to hold it"
                ))
            })
        }
    }
}

/// As a file would say it.
fn node(arguments: &Serve, root: &str, port: u16, act: &Act) -> Node {
    let on = |is: bool| is.then(|| "true".to_owned());
    let variables = [
        ("PATH", Some(root.to_owned())),
        ("PORT", Some(port.to_string())),
        ("HOST", arguments.host.clone()),
        ("SPA", on(arguments.spa)),
        ("HOMEPAGE", arguments.homepage.clone()),
        ("FTP", on(arguments.ftp)),
        ("BASIC_AUTH", on(arguments.basic_auth_username.is_some())),
        ("BASIC_AUTH_USERNAME", arguments.basic_auth_username.clone()),
        ("BASIC_AUTH_PASSWORD", arguments.basic_auth_password.clone()),
        ("FOLLOW_SYMLINKS", on(arguments.follow_symlinks)),
    ];
    let variable = |(name, value): (&str, Option<String>)| Some(entry(&format!("PM2_SERVE_{name}"), text(&value?)));
    let env: Vec<Entry> = variables.into_iter().filter_map(variable).collect();
    let own = [entry("script", text(FILE_SERVER)), entry("env", Node::new(Kind::Mapping(env), None))];
    Node::new(Kind::Mapping(own.into_iter().chain(act.app.entries()).collect()), None)
}

fn listen(host: &str, port: u16) -> Result<TcpListener, CliError> {
    // `[::1]` is how a URL writes it.
    let plain = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    TcpListener::bind((plain, port)).map_err(|err| {
        let error = CliError::error(format!("cannot listen at {host}:{port}: {}", reason(&err)));
        match err.kind() {
            std::io::ErrorKind::AddrInUse => error.hint("another serves there already: name another port"),
            std::io::ErrorKind::PermissionDenied => error.hint("ports below 1024 are root's: name another port"),
            _ => error,
        }
    })
}

/// Is the server, as its variables say.
pub(super) fn be() -> ExitCode {
    let mut terminal = Terminal::new(true, false);
    match serve(&mut terminal) {
        Ok(exit) => exit.into(),
        Err(error) => {
            terminal.say_error(&error);
            error.exit.into()
        }
    }
}

fn serve(terminal: &mut Terminal) -> Result<Exit, CliError> {
    let site = FileSite::of(|name| std::env::var(name).ok()).map_err(|wrong| CliError::error(wrong.to_string()))?;
    let root = folder(&site.root, &site.root)?;
    let listener = listen(&site.host, site.port)?;
    let cannot = |err: &std::io::Error| CliError::error(format!("cannot serve `{root}`: {}", reason(err)));
    let address = listener.local_addr().map_err(|err| cannot(&err))?;
    terminal.print(format!("serving {root} on http://{address}\n"))?;
    terminal.flush()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(THREADS_MAX)
        .build()
        .map_err(|err| cannot(&err))?;
    let served = runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        say_ready();
        tokio::select! {
            served = http::serve_files(listener, site) => served,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    });
    runtime.shutdown_background();
    served.map(|()| Exit::Done).map_err(|err| cannot(&err))
}
