//! What PM2 says, and how it ends, where it is PM2 that is spoken to: on stdout, a line for each action and instance, and
//! the table of what runs at the end. What is done is the same.

mod commands;
mod describe;
mod program;
mod reload_lock;
mod table;

use std::time::{Duration, Instant};

pub(super) use self::commands::{begin, dispatch, link_names, stay};
pub(super) use self::program::Program;
pub(super) use self::reload_lock::ReloadLock;
pub(super) use self::table::{paragraphs, settle, text as table_text};
use super::arguments::Act;
use super::error::CliError;
use super::exchange::{self, Outcome};
use super::exit::Exit;
use super::terminal::{Colour, Terminal, harmless, paint};
use super::{ambient, arguments, conf, instances, jlist, list, show, surroundings};
use crate::base::InstanceId;
use crate::config::World;
use crate::diag::{Code, Diagnostic, Report, Severity};
use crate::plan::Plan;
use crate::rpc::wire::{Alter, Altered, AppView, InstanceView, Request};
use crate::spec::{AppSpec, ExecMode};

/// How long workers are waited for.
const WORKERS_MAX: Duration = Duration::from_secs(3);
/// How often, and for how many times one after the other, they are seen to wait.
const REST: Duration = Duration::from_millis(10);
const RESTS: u32 = 4;

/// A line as PM2 says it.
pub(super) fn say(text: &str, terminal: &mut Terminal) -> Result<(), CliError> {
    if terminal.silent {
        return Ok(());
    }
    let mark = paint(terminal.colour, Colour::Green, "[PM2]");
    terminal.print(format!("{mark} {text}\n"))
}

pub(super) fn warn(text: &str, terminal: &mut Terminal) -> Result<(), CliError> {
    if terminal.silent {
        return Ok(());
    }
    let mark = paint(terminal.colour, Colour::Yellow, "[PM2][WARN]");
    terminal.print(format!("{mark} {text}\n"))
}

/// What PM2 has one line for. Where in the file it is comes after that, for whoever reads it.
pub(super) fn judged(report: &Report, terminal: &mut Terminal) {
    let file = |what: &str, diagnostic: &Diagnostic| {
        let at = crate::diag::place(&report.sources, &diagnostic.location).unwrap_or_default();
        let path = at.split(':').next().unwrap_or_default().to_owned();
        format!("File {path} {what}")
    };
    let first = report.diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error);
    if let Some(first) = first {
        let words = match first.code {
            Code::File => file("not found", first),
            Code::Syntax | Code::Thrown => file("malformated", first),
            _ => first.message.clone(),
        };
        terminal.say(format!("{} {words}", paint(terminal.colour_err, Colour::Red, "[PM2][ERROR]")));
        let errors = report.diagnostics.iter().filter(|one| one.severity == Severity::Error).cloned().collect();
        let errors = Report { sources: report.sources.clone(), diagnostics: errors };
        terminal.say(crate::diag::render_text(&errors, terminal.colour_err, terminal.unicode));
    }
    for one in report.diagnostics.iter().filter(|one| one.severity == Severity::Warning) {
        // That it cannot be written stops nothing.
        let _ = warn(&one.message, terminal);
    }
}

/// A line without a mark.
pub(super) fn aside(text: &str, terminal: &mut Terminal) -> Result<(), CliError> {
    if terminal.silent { Ok(()) } else { terminal.print(format!("{text}\n")) }
}

/// By the variables that PM2 heeds.
pub(super) fn is_silenced() -> bool {
    ["PM2_SILENT", "PM2_DISCRETE_MODE"].iter().any(|name| std::env::var_os(name).is_some_and(|value| value == "true"))
}

pub(super) fn no_such_command(terminal: &mut Terminal) -> Result<(), CliError> {
    let mark = paint(terminal.colour, Colour::Red, "[PM2][ERROR]");
    terminal.print(format!("{mark} Command not found\n\n"))?;
    usage(terminal)
}

pub(super) fn usage(terminal: &mut Terminal) -> Result<(), CliError> {
    terminal.print("usage: pm2 [options] <command>\n\npm2 --help lists the commands\n")
}

/// The table comes at the end of the command, once. This program's own manners are to say nothing more.
#[expect(clippy::unnecessary_wraps, reason = "the last word of a command")]
pub(super) fn table(terminal: &mut Terminal) -> Result<Exit, CliError> {
    terminal.owes_table = terminal.manners.are_pm2s() && !terminal.silent;
    Ok(Exit::Done)
}

pub(super) fn print_table(terminal: &mut Terminal) -> Result<(), CliError> {
    terminal.owes_table = false;
    list::run(&arguments::List::default(), terminal).map(|_| ())
}

/// Where nothing was meant that is known.
pub(super) fn or_nothing(terminal: &mut Terminal) -> Result<Exit, CliError> {
    if terminal.manners.are_pm2s() {
        return table(terminal);
    }
    Err(CliError::error("none of these apps is known: nothing was done"))
}

pub(super) fn named(targets: &[String], known: &[AppView]) -> Result<Vec<InstanceId>, CliError> {
    let views: Vec<InstanceView> = known.iter().flat_map(|app| app.instances.iter().cloned()).collect();
    crate::runtime::resolve(targets, &views).map_err(|err| exchange::unknown_target(&err))
}

/// The name of what is done to each process, in PM2's code.
fn action(request: &Request) -> &'static str {
    match request {
        Request::Stop { .. } => "stopProcessId",
        Request::Delete { .. } => "deleteProcessId",
        Request::Reload { .. } => "reloadProcessId",
        Request::Reset { .. } => "resetMetaProcessId",
        Request::Signal { .. } => "sendSignalToProcessId",
        _ => "restartProcessId",
    }
}

/// Where what is meant was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// By its name.
    Here,
    /// The same after `start`.
    ToStart,
    InFile,
}

/// Whether it stands for apps whatever they are called.
pub(super) fn is_selector(word: &str) -> bool {
    word == "all" || word.parse::<u32>().is_ok() || word.len() > 2 && word.starts_with('/') && word.ends_with('/')
}

/// Something that is done to instances that are known.
pub(super) fn act(
    request: &Request,
    targets: &[String],
    said: Said,
    terminal: &mut Terminal,
) -> Result<Exit, CliError> {
    let all = instances::all(&surroundings::home()?)?;
    let verb = action(request);
    let is_restart = matches!(verb, "restartProcessId" | "reloadProcessId");
    let updates = matches!(request, Request::Alter(alter) if alter.ambient.is_some());
    if is_restart && !updates && said == Said::Here {
        aside("Use --update-env to update environment variables", terminal)?;
    }
    for target in targets {
        let found = instances::select(std::slice::from_ref(target), &all).unwrap_or_default();
        let is_id = target.parse::<u32>().is_ok() && !all.iter().any(|view| view.name == *target);
        let many = target == "all" || target.starts_with('/') && target.ends_with('/');
        if found.is_empty() && many {
            let mark = paint(terminal.colour_err, Colour::Yellow, "[PM2][WARN]");
            terminal.say(format!("{mark} No process found"));
            return Err(CliError::said(Exit::Error));
        }
        if found.is_empty() && !is_id {
            return Err(CliError::error(format!("Process or Namespace {target} not found")));
        }
        let ids = found.iter().map(|view| view.id.to_string()).collect::<Vec<_>>().join(", ");
        let ids = if is_id { format!("'{target}'") } else { ids };
        let what = harmless(target.as_bytes(), false);
        if is_restart || said != Said::InFile {
            say(&format!("Applying action {verb} on app [{what}](ids: [ {ids} ])"), terminal)?;
        }
        if found.is_empty() {
            let words = match verb {
                "reloadProcessId" => "PM2 ID unknown".to_owned(),
                "restartProcessId" => "God db process id unknown".to_owned(),
                _ => format!("{target} : id unknown"),
            };
            return Err(CliError::error(words));
        }
    }
    if matches!(request, Request::Stop { .. }) {
        disarm(targets, &all, terminal)?;
    }
    let outcome = quietly(request, &mut |_, _| (), terminal)?;
    for view in instances::select(targets, &all).unwrap_or_default() {
        if !outcome.failed.iter().any(|failure| failure.app == view.name && failure.skipped) {
            say(&format!("[{}]({}) ✓", harmless(view.name.as_bytes(), false), view.id), terminal)?;
        }
    }
    if matches!(request, Request::Stop { .. }) {
        let stopped = instances::select(targets, &all).unwrap_or_default();
        for app in show::apps(&surroundings::home()?, &["all".to_owned()], false, terminal)? {
            let is_meant = stopped.iter().any(|view| view.name == app.spec.name);
            if let Some(pattern) = app.spec.cron_restart.as_ref().filter(|_| is_meant) {
                let name = harmless(app.spec.name.as_bytes(), false);
                warn(&format!("App {name} stopped but CRON RESTART is still UP {pattern}"), terminal)?;
            }
        }
    }
    if said == Said::ToStart {
        say("Process successfully started", terminal)?;
    }
    if matches!(request, Request::Reload { .. }) && said != Said::InFile {
        return Ok(Exit::Done);
    }
    table(terminal)
}

/// What is stopped is watched no more, and is not again when it is started.
fn disarm(targets: &[String], all: &[InstanceView], terminal: &mut Terminal) -> Result<(), CliError> {
    let found = instances::select(targets, all).unwrap_or_default();
    if !found.iter().any(|view| view.watching) {
        return Ok(());
    }
    let mut apps = show::apps(&surroundings::home()?, targets, true, terminal)?;
    apps.retain(|app| app.spec.watch.enabled);
    let disarmed = |app: AppView| {
        let mut spec = app.spec;
        spec.watch.enabled = false;
        Altered { name: spec.name.clone(), spec }
    };
    let apps = apps.into_iter().map(disarmed).collect();
    let request = Request::Alter(Box::new(Alter { apps, targets: Vec::new(), renew: false, ambient: None }));
    quietly(&request, &mut |_, _| (), terminal).map(|_| ())
}

/// An app that something was kept for is restarted with that.
pub(super) fn renew(name: &str, terminal: &mut Terminal) -> Result<(), CliError> {
    let home = surroundings::home()?;
    if !instances::all(&home).is_ok_and(|all| all.iter().any(|view| view.name == name)) {
        return Ok(());
    }
    let targets = vec![name.to_owned()];
    let mut apps = Vec::new();
    for app in show::apps(&home, &targets, true, terminal)? {
        let mut spec = app.spec;
        spec.env.extend(conf::of_app(&spec.name));
        apps.push(Altered { name: spec.name.clone(), spec });
    }
    let ambient = Some(ambient::ambient(&surroundings::world()?.env));
    let request = Request::Alter(Box::new(Alter { apps, targets: targets.clone(), renew: true, ambient }));
    act(&request, &targets, Said::Here, terminal)?;
    terminal.owes_table = false;
    Ok(())
}

/// What failed after it was begun is no error to PM2, which does not look.
fn quietly(
    request: &Request,
    begun: &mut dyn FnMut(Plan, &mut Terminal),
    terminal: &mut Terminal,
) -> Result<Outcome, CliError> {
    terminal.flush()?;
    terminal.hushed = true;
    let outcome = exchange::perform(&surroundings::home()?, request, false, terminal, begun);
    terminal.hushed = false;
    outcome
}

/// A script that nothing ran so far.
pub(super) fn start(request: &Request, spec: &AppSpec, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let mode = if spec.is_worker() && spec.exec_mode == ExecMode::Cluster { "cluster_mode" } else { "fork_mode" };
    let count = spec.instances;
    let instances = if count == 1 { "instance" } else { "instances" };
    // What runs a command line is its shell.
    let shell = spec.shell().map(|shell| jlist::program(shell, std::env::var("PATH").ok().as_deref()));
    let script = harmless(shell.as_deref().unwrap_or(&spec.script).as_bytes(), false);
    say(&format!("Starting {script} in {mode} ({count} {instances})"), terminal)?;
    quietly(request, &mut |_, _| (), terminal)?;
    if mode == "cluster_mode" {
        await_workers(&[&spec.name])?;
    }
    say("Done.", terminal)?;
    table(terminal)
}

/// PM2 returns when Node runs in its workers, which hear a signal then instead of dying of it: here, when they have nothing to do any
/// more, for a moment. What is always busy is not waited for without end.
fn await_workers(names: &[&String]) -> Result<(), CliError> {
    let home = surroundings::home()?;
    let is_worker = |view: &&InstanceView| names.contains(&&view.name) && view.mode == "cluster";
    let mut pids: Vec<(u32, u32)> =
        instances::all(&home)?.iter().filter(is_worker).filter_map(|view| Some((view.pid?, 0))).collect();
    let deadline = Instant::now() + WORKERS_MAX;
    while pids.iter().any(|(_, rests)| *rests < RESTS) && Instant::now() < deadline {
        std::thread::sleep(REST);
        for (pid, rests) in &mut pids {
            *rests = if crate::platform::is_at_rest(*pid) { *rests + 1 } else { 0 };
        }
    }
    Ok(())
}

/// The apps of a file; those that are new, after what is said of the others.
pub(super) fn launch<'a>(
    request: &Request,
    names: &'a [String],
    known: &[AppView],
    begun: &mut dyn FnMut(Plan, &mut Terminal),
    terminal: &mut Terminal,
) -> Result<Vec<&'a String>, CliError> {
    let is_new = |name: &&String| !known.iter().any(|app| app.spec.name == **name);
    let new: Vec<&String> = names.iter().filter(is_new).collect();
    quietly(request, begun, terminal)?;
    await_workers(&new)?;
    Ok(new)
}

pub(super) fn say_launched(new: &[&String], terminal: &mut Terminal) -> Result<(), CliError> {
    if !new.is_empty() {
        let named: Vec<&str> = new.iter().map(|name| name.as_str()).collect();
        warn(&format!("Applications {} not running, starting...", named.join(", ")), terminal)?;
    }
    let all = instances::all(&surroundings::home()?)?;
    for name in new {
        let count = all.iter().filter(|view| view.name == **name).count();
        say(&format!("App [{}] launched ({count} instances)", harmless(name.as_bytes(), false)), terminal)?;
    }
    Ok(())
}

/// Apps that a file has, and that were there before it was read.
pub(super) fn say_restarted(names: &[String], reloads: bool, terminal: &mut Terminal) -> Result<(), CliError> {
    let verb = if reloads { "reloadProcessId" } else { "restartProcessId" };
    let all = instances::all(&surroundings::home()?)?;
    let of = |name: &String| all.iter().filter(|view| view.name == *name).map(|view| view.id).collect::<Vec<_>>();
    let named: Vec<(String, Vec<u32>)> =
        names.iter().map(|name| (harmless(name.as_bytes(), false), of(name))).collect();
    for (name, ids) in &named {
        let ids = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        say(&format!("Applying action {verb} on app [{name}](ids: [ {ids} ])"), terminal)?;
    }
    for (name, id) in named.iter().flat_map(|(name, ids)| ids.iter().map(move |id| (name, id))) {
        say(&format!("[{name}]({id}) ✓"), terminal)?;
    }
    Ok(())
}

/// What PM2 takes from its own environment where nothing else is said of an app.
pub(super) fn by_environment(spec: &mut AppSpec, world: &World) {
    let usual = AppSpec::new("", "", "");
    let said = |name: &str| world.env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let ms = |name: &str| said(name).and_then(|value| value.parse::<u64>().ok());
    if let Some(ms) = ms("PM2_KILL_TIMEOUT").filter(|_| spec.stop.timeout_ms == usual.stop.timeout_ms) {
        spec.stop.timeout_ms = ms;
    }
    if let Some(ms) =
        ms("PM2_GRACEFUL_LISTEN_TIMEOUT").filter(|_| spec.readiness.timeout_ms == usual.readiness.timeout_ms)
    {
        spec.readiness.timeout_ms = ms;
    }
    let signal = said("PM2_KILL_SIGNAL").and_then(|value| value.parse().ok());
    if let Some(signal) = signal.filter(|_| spec.stop.signal == usual.stop.signal) {
        spec.stop.signal = signal;
    }
    spec.stop.message |= said("PM2_KILL_USE_MESSAGE").is_some_and(|value| value != "false");
    if let Some(name) = said("PM2_PROCESS_INSTANCE_VAR").filter(|_| spec.instance_var == usual.instance_var) {
        name.clone_into(&mut spec.instance_var);
    }
    spec.env.extend(conf::of_app(&spec.name));
}

/// As PM2 changes an app: its `--watch` goes off where it is on, and the shell's variables go before the file's.
pub(super) fn altered(mut spec: AppSpec, before: &AppSpec, arguments: &Act, world: &World) -> AppSpec {
    if arguments.app.keys().any(|key| key == "watch") && before.watch.enabled {
        spec.watch.enabled = false;
    }
    if arguments.update_env {
        for (name, value) in &mut spec.env {
            if let Some(now) = world.env.get(name) {
                value.clone_from(now);
            }
        }
    }
    spec
}
