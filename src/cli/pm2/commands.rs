//! Commands that PM2 has other words for, or another meaning. All others are this program's own.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::arguments::{self, Command, Scale};
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::terminal::{Terminal, harmless};
use super::super::{flush, init, instances, kill, reload_logs, resurrect, saved, show, surroundings};
use super::{Said, act, aside, quietly, say, table, warn};
use crate::rpc::client::Connection;
use crate::rpc::wire::{self, AppView, InstanceView, Request};
use crate::runtime::store::SAVED;
use crate::spec::{ExecMode, LogTarget};

const DUMP: &str = "dump.pm2";

/// None where PM2 would say nothing else.
pub(in super::super) fn dispatch(command: &Command, terminal: &mut Terminal) -> Option<Result<Exit, CliError>> {
    Some(match command {
        Command::Kill => end(terminal),
        Command::Ping(_) => ping(terminal),
        Command::Save(arguments) => save(arguments.force, terminal),
        Command::Resurrect(arguments) => bring_back(arguments, terminal),
        Command::ClearDump => clear(terminal),
        Command::Scale(arguments) => scale(arguments, terminal),
        Command::Init(arguments) => generate(arguments, terminal),
        Command::Flush(arguments) => empty(arguments, terminal),
        Command::ReloadLogs => reopen(terminal),
        _ => return None,
    })
}

/// Names that PM2 has for files which are here under others.
pub(in super::super) fn link_names(home: &Path) {
    for (name, own) in [("pm2.pid", "pmrun.pid"), ("pm2.log", "pmrun.log")] {
        let path = home.join(name);
        let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
        if home.is_dir() && !is_link && !path.exists() {
            // Who cannot have it can do without.
            let _ = std::os::unix::fs::symlink(own, &path);
        }
    }
}

/// PM2 knows of nothing any more that it has killed.
fn end(terminal: &mut Terminal) -> Result<Exit, CliError> {
    let all = ["all".to_owned()];
    if instances::all(&surroundings::home()?).is_ok_and(|known| !known.is_empty()) {
        act(&Request::Delete { targets: all.to_vec() }, &all, Said::Here, terminal)?;
        terminal.owes_table = false;
    } else {
        warn("No process found", terminal)?;
    }
    hushed(terminal, kill::run)?;
    say("[v] All Applications Stopped", terminal)?;
    say("[v] PM2 Daemon Stopped", terminal)?;
    Ok(Exit::Done)
}

fn hushed(
    terminal: &mut Terminal,
    run: impl FnOnce(&mut Terminal) -> Result<Exit, CliError>,
) -> Result<Exit, CliError> {
    terminal.hushed = true;
    let result = run(terminal);
    terminal.hushed = false;
    result
}

fn ping(terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    Connection::open_or_start(&home).map_err(|err| CliError::error(err.to_string()))?;
    aside("{ msg: 'pong' }", terminal)?;
    Ok(Exit::Done)
}

fn save(force: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let apps = show::apps(&home, &["all".to_owned()], true, terminal)?;
    say("Saving current process list...", terminal)?;
    if apps.is_empty() && !force && std::env::var_os("FORCE").is_none() {
        warn("PM2 is not managing any process, skipping save...", terminal)?;
        warn("To force saving use: pm2 save --force", terminal)?;
        return Ok(Exit::Done);
    }
    let path = dump_path(&home);
    write(&path, &dump(&apps))?;
    hushed(terminal, |terminal| saved::save(&arguments::Save { force: true }, terminal))?;
    say(&format!("Successfully saved in {}", path.display()), terminal)?;
    Ok(Exit::Done)
}

fn dump_path(home: &Path) -> PathBuf {
    std::env::var_os("PM2_DUMP_FILE_PATH").map_or_else(|| home.join(DUMP), PathBuf::from)
}

/// The one before is kept beside it.
fn write(path: &Path, processes: &Value) -> Result<(), CliError> {
    let io = |err| CliError::io("write", path, &err);
    if let Some(folder) = path.parent() {
        crate::platform::ensure_home(folder).map_err(io)?;
    }
    if path.exists() {
        let mut backup = path.as_os_str().to_owned();
        backup.push(".bak");
        std::fs::copy(path, backup).map_err(io)?;
    }
    let text = serde_json::to_string_pretty(processes).unwrap_or_default();
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut options = std::fs::OpenOptions::new();
    // It holds the environments of apps.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create(true).truncate(true).open(&beside).map_err(io)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(io)?;
    std::fs::rename(&beside, path).map_err(io)
}

/// A process an element, in PM2's keys: what each resurrects from.
fn dump(apps: &[AppView]) -> Value {
    let mut processes: Vec<(u32, Value)> = Vec::new();
    for app in apps {
        processes.extend(app.instances.iter().map(|view| (view.id, process(app, view))));
    }
    processes.sort_by_key(|(id, _)| *id);
    processes.into_iter().map(|(_, process)| process).collect()
}

fn process(app: &AppView, view: &InstanceView) -> Value {
    let spec = &app.spec;
    let runs = !matches!(view.state.as_str(), "stopped" | "errored" | "completed");
    let path = |target: &LogTarget, known: &Option<String>| match target {
        LogTarget::Null => json!("/dev/null"),
        LogTarget::Default | LogTarget::Path(_) => json!(known),
    };
    let mut process = json!({
        "name": spec.name,
        "namespace": spec.namespace,
        "args": spec.args,
        "node_args": spec.interpreter_args,
        "exec_interpreter": spec.interpreter.as_deref().unwrap_or("none"),
        "exec_mode": if spec.exec_mode == ExecMode::Cluster { "cluster_mode" } else { "fork_mode" },
        "pm_exec_path": spec.script,
        "pm_cwd": spec.cwd,
        "pm_out_log_path": path(&spec.logs.out, &view.out_file),
        "pm_err_log_path": path(&spec.logs.error, &view.error_file),
        "merge_logs": spec.logs.merge,
        "instance_var": spec.instance_var,
        "NODE_APP_INSTANCE": view.slot,
        "autostart": spec.autostart,
        "autorestart": spec.restart.auto,
        "treekill": spec.stop.tree,
        "kill_timeout": spec.stop.timeout_ms,
        "max_restarts": spec.restart.max_restarts,
        "min_uptime": spec.restart.min_uptime_ms,
        "restart_delay": spec.restart.delay_ms,
        "exp_backoff_restart_delay": spec.restart.backoff_ms,
        "stop_exit_codes": spec.restart.stop_exit_codes,
        "wait_ready": spec.readiness.wait_ready,
        "listen_timeout": spec.readiness.timeout_ms,
        "shutdown_with_message": spec.stop.message,
        "filter_env": spec.filter_env,
        "watch": if spec.watch.paths.is_empty() { json!(spec.watch.enabled) } else { json!(spec.watch.paths) },
        "ignore_watch": spec.watch.ignore,
        "watch_delay": spec.watch.delay_ms,
        "env": spec.env,
        "status": if runs { "online" } else { "stopped" },
        "restart_time": view.restarts,
    });
    let more = [
        ("cron_restart", json!(spec.cron_restart)),
        ("max_memory_restart", json!(spec.max_memory_restart)),
        ("log_date_format", json!(spec.logs.date_format)),
        ("log_type", json!(spec.logs.json.then_some("json"))),
        ("pm_log_path", json!(view.log_file)),
        ("uid", json!(spec.uid)),
        ("gid", json!(spec.gid)),
        ("increment_var", json!(spec.increment_var)),
    ];
    for (key, value) in more.into_iter().filter(|(_, value)| !value.is_null()) {
        process[key] = value;
    }
    process
}

fn bring_back(arguments: &arguments::Resurrect, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let mut path = dump_path(&home);
    say("Resurrecting", terminal)?;
    if !is_sound(&path) {
        let mut backup = path.as_os_str().to_owned();
        backup.push(".bak");
        path = PathBuf::from(backup);
    }
    if !is_sound(&path) {
        let error = CliError::error("No processes saved; DUMP file doesn't exist");
        terminal.say_error(&error);
        return table(terminal);
    }
    say(&format!("Restoring processes located in {}", path.display()), terminal)?;
    // What was saved here says more than PM2's keys can, where nobody has written another since.
    let time = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    let is_ours = time(&home.join(SAVED)) >= time(&path);
    let before = instances::all(&home)?;
    let from = (!is_ours).then_some(path);
    let saved = from.is_none();
    let wanted = arguments::Resurrect { from, saved, dry_run: arguments.dry_run, turn: arguments.turn };
    let result = hushed(terminal, |terminal| resurrect::run(&wanted, terminal));
    if let Err(err) = result
        && err.exit != Exit::NotReady
    {
        return Err(err);
    }
    for app in show::apps(&home, &["all".to_owned()], false, terminal)? {
        let is_new = !before.iter().any(|view| view.name == app.spec.name);
        for _ in app.instances.iter().filter(|_| is_new) {
            say(&format!("Process {} restored", harmless(app.spec.script.as_bytes(), false)), terminal)?;
        }
    }
    table(terminal)
}

fn is_sound(path: &Path) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| !text.trim().is_empty())
}

fn clear(terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let path = dump_path(&home);
    if let Some(folder) = path.parent() {
        crate::platform::ensure_home(folder).map_err(|err| CliError::io("make", folder, &err))?;
    }
    std::fs::write(&path, "[]").map_err(|err| CliError::io("write", &path, &err))?;
    match std::fs::remove_file(home.join(SAVED)) {
        Err(err) if err.kind() != ErrorKind::NotFound => return Err(CliError::io("remove", &home.join(SAVED), &err)),
        _ => {}
    }
    say(&format!("Successfully created {}", path.display()), terminal)?;
    Ok(Exit::Done)
}

/// Down to none is a deletion.
fn scale(arguments: &Scale, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let Scale { target, to, .. } = arguments;
    let targets = [target.clone()];
    let all = instances::all(&surroundings::home()?)?;
    let found: Vec<&InstanceView> = all.iter().filter(|view| view.name == *target).collect();
    if found.is_empty() {
        return Err(CliError::error(format!("Application {target} not found")));
    }
    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let wanted = match to {
        wire::Scale::To(wanted) => i64::from(*wanted),
        wire::Scale::By(more) => (count + i64::from(*more)).max(0),
    };
    if wanted == count {
        return Err(CliError::error("Nothing to do"));
    }
    if wanted == 0 {
        return act(&Request::Delete { targets: targets.to_vec() }, &targets, Said::Here, terminal);
    }
    if wanted > count {
        say("Scaling up application", terminal)?;
    }
    let to = wire::Scale::To(u32::try_from(wanted).unwrap_or(u32::MAX));
    quietly(&Request::Scale { targets: targets.to_vec(), to }, &mut |_, _| (), terminal)?;
    if wanted < count {
        let gone = found.iter().filter(|view| i64::from(view.slot) >= wanted);
        for view in gone {
            say(&format!("[{}]({}) ✓", harmless(view.name.as_bytes(), false), view.id), terminal)?;
        }
    }
    table(terminal)
}

fn generate(arguments: &arguments::Init, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let path = surroundings::world()?.cwd.join("ecosystem.config.js");
    let arguments = arguments::Init { force: true, ..arguments.clone() };
    hushed(terminal, |terminal| init::run(&arguments, terminal))?;
    aside(&format!("File {} generated", path.display()), terminal)?;
    Ok(Exit::Done)
}

/// Who is unknown has nothing to be emptied.
fn empty(arguments: &arguments::Flush, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let all = instances::all(&surroundings::home()?)?;
    let targets = if arguments.targets.is_empty() { vec!["all".to_owned()] } else { arguments.targets.clone() };
    let found = instances::select(&targets, &all).unwrap_or_default();
    if !found.is_empty() {
        hushed(terminal, |terminal| flush::run(arguments, terminal))?;
    }
    for view in found {
        say("Flushing:", terminal)?;
        for path in [&view.out_file, &view.error_file].into_iter().flatten() {
            say(&harmless(path.as_bytes(), false), terminal)?;
        }
    }
    say("Logs flushed", terminal)?;
    Ok(Exit::Done)
}

fn reopen(terminal: &mut Terminal) -> Result<Exit, CliError> {
    say("Reloading all logs...", terminal)?;
    hushed(terminal, reload_logs::run)
}
