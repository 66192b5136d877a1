//! Commands that PM2 has other words for, or another meaning. All others are this program's own.

use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde_json::Value;

use super::super::arguments::{self, Command, Scale};
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::more::More;
use super::super::terminal::{Terminal, harmless};
use super::super::{
    change, flush, init, instances, kill, list, offline, reload_logs, resurrect, saved, show, surroundings, trigger,
};
use super::{Said, act, aside, quietly, say, table, warn};
use crate::daemon::{dump_path, write_dump};
use crate::platform::{Interrupts, MANNERS, account_numbers, must_be_regular};
use crate::rpc::client::Connection;
use crate::rpc::wire::{self, InstanceView, Request};
use crate::runtime::store::SAVED;
use crate::runtime::{Around, pm2_dump};

/// In a home that has been used.
const STATE: &str = "state";

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
        Command::Upgrade(arguments) if !arguments.json => update(arguments, terminal),
        Command::Show(arguments) if !arguments.json => super::describe::run(arguments, terminal),
        Command::More(More::Inspect(arguments)) => inspect(arguments, terminal),
        _ => return None,
    })
}

/// Whatever nobody has used so far is PM2's from now on: its files have PM2's names, whoever asks for them later.
/// And whatever is asked, there is a daemon from then on.
pub(in super::super) fn begin(home: &Path, command: &Command) {
    let path = home.join(MANNERS);
    if !home.join(STATE).exists() && !path.exists() {
        // A home that cannot be written to is told of by whatever needs it.
        let _ = crate::platform::ensure_home(home).and_then(|()| std::fs::write(&path, "pm2\n"));
    }
    let asks = matches!(
        command,
        Command::List(_) | Command::Jlist(_) | Command::PrettyList(_) | Command::Show(_) | Command::Logs(_)
    );
    if asks {
        // The command itself says what is wrong, where something is.
        let _ = Connection::open_or_start(home);
    }
}

/// Names that PM2 has for files which are here under others, as long as they are here.
pub(in super::super) fn link_names(home: &Path) {
    for (name, variable, own) in
        [("pm2.pid", "PM2_PID_FILE_PATH", "pmrun.pid"), ("pm2.log", "PM2_LOG_FILE_PATH", "pmrun.log")]
    {
        link(Path::new(own), &home.join(name), home);
        if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
            link(&home.join(own), &PathBuf::from(path), home);
        }
    }
}

/// One that leads nowhere any more goes, as PM2's file does. Who cannot have it can do without.
fn link(own: &Path, path: &Path, home: &Path) {
    let is_there = home.join(own).exists();
    let is_ours = std::fs::read_link(path).is_ok_and(|to| to == own);
    if is_there && path.symlink_metadata().is_err() {
        let _ = std::os::unix::fs::symlink(own, path);
    } else if !is_there && is_ours {
        let _ = std::fs::remove_file(path);
    }
}

/// Who has nothing to inspect is told so, which is no error to PM2.
fn inspect(arguments: &trigger::Inspect, terminal: &mut Terminal) -> Result<Exit, CliError> {
    if let Err(err) = trigger::inspect(arguments, terminal) {
        terminal.say(err.message);
        let name = harmless(arguments.target.as_bytes(), false);
        aside(&format!("Unable to activate inspect mode on {name} !!!"), terminal)?;
    }
    Ok(Exit::Done)
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

/// `--no-daemon`: what the apps write is printed until a signal comes, which ends everything; but where a daemon `served`
/// already, nothing: others count on that one.
pub(in super::super) fn stay(served: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
    terminal.owes_table = false;
    terminal.flush()?;
    let program =
        std::env::current_exe().map_err(|err| CliError::error(format!("cannot tell what runs here: {err}")))?;
    let mut logs = std::process::Command::new(program);
    std::os::unix::process::CommandExt::arg0(&mut logs, "pm2");
    // Whoever reads a line may send one at once. It is not held back from the command that is started here: std clears the mask.
    let held = Interrupts::hold();
    let logs = logs.args(["logs", "--lines", "0"]).stdin(std::process::Stdio::null()).spawn();
    let mut logs = logs.map_err(|err| CliError::error(format!("cannot print logs: {err}")))?;
    let held = held.and_then(|mut interrupts| interrupts.await_one());
    // It may have had the same signal.
    let _ = logs.kill().and_then(|()| logs.wait().map(|_| ()));
    held.map_err(|err| CliError::error(format!("cannot wait for signals: {err}")))?;
    if !served {
        hushed(terminal, end)?;
    }
    terminal.owes_table = false;
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

/// Where there is no daemon, one is started.
fn update(arguments: &arguments::Json, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    Connection::open_or_start(&home).map_err(|err| CliError::error(err.to_string()))?;
    super::super::upgrade::run(arguments, terminal)?;
    table(terminal)
}

fn ping(terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    Connection::open_or_start(&home).map_err(|err| CliError::error(err.to_string()))?;
    aside("{ msg: 'pong' }", terminal)?;
    Ok(Exit::Done)
}

fn save(force: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let (apps, ambients) = show::everything(&home, &["all".to_owned()], true, true, terminal)?;
    say("Saving current process list...", terminal)?;
    if apps.is_empty() && !force && std::env::var_os("FORCE").is_none() {
        warn("PM2 is not managing any process, skipping save...", terminal)?;
        warn("To force saving use: pm2 save --force", terminal)?;
        return Ok(Exit::Done);
    }
    let path = dump_path(&home);
    let (layout, owner) = (offline::layout(&home), list::owner(&home));
    let around = Around { layout: &layout, ambients: &ambients, owner: &owner, numbers: account_numbers };
    write_dump(&path, &pm2_dump(&apps, around)).map_err(|err| CliError::io("write", &path, &err))?;
    hushed(terminal, |terminal| saved::save(&arguments::Save { force: true }, terminal))?;
    say(&format!("Successfully saved in {}", path.display()), terminal)?;
    Ok(Exit::Done)
}

fn bring_back(arguments: &arguments::Resurrect, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let mut path = dump_path(&home);
    say("Resurrecting", terminal)?;
    if !is_sound(&path) {
        // One that is broken is of no use to anybody, and would be found again.
        match std::fs::remove_file(&path) {
            Err(err) if err.kind() != ErrorKind::NotFound => return Err(CliError::io("remove", &path, &err)),
            _ => {}
        }
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
    let mut results = vec![hushed(terminal, |terminal| resurrect::run(&wanted, terminal))];
    // PM2's daemon forgets all when it is ended by a signal. Here what should run is still known, and is started again.
    let all_down = !before.is_empty() && before.iter().all(|view| view.pid.is_none());
    if all_down && !arguments.dry_run {
        let all = ["all".to_owned()];
        let revive = |terminal: &mut Terminal| {
            change::bring_up(&Request::Resurrect, &all, "resurrected", arguments.turn, terminal)
        };
        results.push(hushed(terminal, revive));
    }
    for result in results {
        if let Err(err) = result
            && err.exit != Exit::NotReady
        {
            return Err(err);
        }
    }
    for app in show::apps(&home, &["all".to_owned()], false, terminal)? {
        let is_new = !before.iter().any(|view| view.name == app.spec.name);
        for _ in app.instances.iter().filter(|view| is_new || all_down && view.pid.is_some()) {
            say(&format!("Process {} restored", harmless(app.spec.script.as_bytes(), false)), terminal)?;
        }
    }
    table(terminal)
}

fn is_sound(path: &Path) -> bool {
    let parsed = std::fs::read(path).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    parsed.is_some_and(|value| value.is_array())
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
        // Who wants none of them says 0, or `delete`.
        wire::Scale::By(more) if count + i64::from(*more) <= 0 => {
            return Err(CliError::error(format!("{target} has {count} instances: not so many can go")));
        }
        wire::Scale::By(more) => count + i64::from(*more),
    };
    if wanted == count {
        return Err(CliError::error("Nothing to do"));
    }
    if wanted == 0 {
        return act(&Request::Delete { targets: targets.to_vec() }, &targets, Said::Here, terminal);
    }
    if wanted > count {
        say("Scaling up application", terminal)?;
    } else {
        // Those with the lowest numbers go.
        let mut ids: Vec<u32> = found.iter().map(|view| view.id).collect();
        ids.sort_unstable();
        ids.truncate(usize::try_from(count - wanted).unwrap_or(0));
        let targets: Vec<String> = ids.iter().map(u32::to_string).collect();
        quietly(&Request::Delete { targets }, &mut |_, _| (), terminal)?;
        for id in ids {
            say(&format!("[{}]({id}) ✓", harmless(target.as_bytes(), false)), terminal)?;
        }
        return table(terminal);
    }
    let to = wire::Scale::To(u32::try_from(wanted).unwrap_or(u32::MAX));
    quietly(&Request::Scale { targets: targets.to_vec(), to }, &mut |_, _| (), terminal)?;
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
    aside("Reloading all logs...", terminal)?;
    let exit = hushed(terminal, reload_logs::run)?;
    aside("All logs reloaded", terminal)?;
    // A worker of PM2's opens its log itself, and says so in it.
    for app in show::apps(&surroundings::home()?, &["all".to_owned()], false, terminal)? {
        // Files of another user may be links to anything.
        let is_own = app.spec.uid.is_none() && app.spec.gid.is_none();
        let is_plain = app.spec.logs.date_format.is_none() && !app.spec.logs.json && is_own;
        let up = app.instances.iter().filter(|view| view.pid.is_some() && app.spec.is_worker() && is_plain);
        for path in up.filter_map(|view| view.out_file.as_deref()) {
            let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
            let log = std::fs::OpenOptions::new().append(true).custom_flags(flags).open(path);
            let log = log.and_then(|log| must_be_regular(&log.metadata()?).map(|()| log));
            // Who may not write there only misses a word.
            let _ = log.and_then(|mut log| std::io::Write::write_all(&mut log, b"Reloading log...\n"));
        }
    }
    Ok(exit)
}
