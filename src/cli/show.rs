use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::error::CliError;
use super::exit::Exit;
use super::history::{History, of_app};
use super::looks::{self, Loads};
use super::offline::{self, Source};
use super::package::Packages;
use super::terminal::{Colour, Terminal, harmless, paint};
use super::{arguments, columns, events, exchange, facts, instances, list, surroundings};
use crate::base::{Run, format_bytes, format_millis};
use crate::plan::Revision;
use crate::platform::time_zone;
use crate::rpc::wire::{Answer, AppView, InstanceView, Request};
use crate::runtime::history::{Entry, What};
use crate::runtime::{self, State};

/// Ends of its last processes that are told of.
const ENDS_SHOWN: usize = 5;
/// A file's revision is looked for in so many generations.
const GENERATIONS_LOOKED_AT: u64 = 50;

/// What only the system, the files and the history know of an app.
#[derive(Debug, Default)]
struct Beside {
    loads: Loads,
    version: Option<String>,
    revision: Option<Revision>,
    /// By slot, newest first.
    ends: BTreeMap<u32, Vec<String>>,
}

pub(super) fn run(arguments: &arguments::Show, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let apps = apps(&home, &arguments.targets, arguments.reveal, terminal)?;
    let beside = beside(&home, &apps);
    if arguments.json {
        let apps: Vec<Value> = apps.iter().zip(&beside).map(|(app, beside)| for_programs(app, beside)).collect();
        terminal.json(&json!({ "version": 1, "apps": apps }))?;
        return Ok(Exit::Done);
    }
    if apps.is_empty() {
        terminal.note("there are no apps");
    }
    let now_ms = list::now_ms();
    for (at, (app, beside)) in apps.iter().zip(&beside).enumerate() {
        let gap = if at > 0 { "\n" } else { "" };
        terminal.print(format!("{gap}{}", text(app, beside, now_ms, terminal.colour)))?;
    }
    Ok(Exit::Done)
}

/// Of each app. What cannot be known is not shown, and everything else is.
fn beside(home: &Path, apps: &[AppView]) -> Vec<Beside> {
    let pids = apps.iter().flat_map(|app| app.instances.iter().filter_map(|view| view.pid));
    let loads = looks::begin(home).of(home, pids);
    let mut packages = Packages::default();
    let history = History::read(home).unwrap_or_default();
    let lines = history.lines();
    let revisions = revisions(home);
    let of = |app: &AppView| Beside {
        loads: loads.clone(),
        version: packages.version(&app.spec.script),
        revision: app.file.as_ref().and_then(|file| revisions.get(file).cloned()),
        ends: ends(&of_app(&lines, &app.spec.name)),
    };
    apps.iter().map(of).collect()
}

/// By file, what git said of its folder when it was applied last.
fn revisions(home: &Path) -> BTreeMap<String, Revision> {
    let request = Request::History { count: GENERATIONS_LOOKED_AT };
    let Ok(Some(Answer::History { generations, .. })) = exchange::ask(home, request) else { return BTreeMap::new() };
    // Oldest first: the last one stays.
    generations.into_iter().filter_map(|generation| Some((generation.file?, generation.revision?))).collect()
}

/// How the last processes ended, and what came of it.
fn ends(entries: &[Entry]) -> BTreeMap<u32, Vec<String>> {
    let mut ends: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let zone = time_zone(None);
    for entry in entries.iter().rev() {
        let Some(slot) = entry.slot else { continue };
        let is_end = matches!(entry.what, What::Exited { .. } | What::SpawnFailed { .. } | What::GivenUp { .. });
        let of_slot = ends.entry(slot).or_default();
        if is_end && of_slot.len() < ENDS_SHOWN {
            let at = events::at(entry.at_ms, zone.as_ref(), "%Y-%m-%d %H:%M:%S");
            of_slot.push(format!("{at} {}", harmless(entry.what.to_string().as_bytes(), false)));
        }
    }
    ends
}

fn for_programs(app: &AppView, beside: &Beside) -> Value {
    let mut value = json!(app);
    value["package_version"] = json!(beside.version);
    value["revision"] = json!(beside.revision);
    for (view, shown) in app.instances.iter().zip(value["instances"].as_array_mut().into_iter().flatten()) {
        let load = view.pid.and_then(|pid| beside.loads.get(&pid));
        shown["memory_bytes"] = json!(load.map(|load| load.memory_bytes));
        shown["cpu_percent"] = json!(load.map(|load| load.cpu_percent()));
        shown["processes"] = json!(load.map(|load| load.processes));
        shown["last_ends"] = json!(beside.ends.get(&view.slot).cloned().unwrap_or_default());
    }
    value
}

pub(super) fn apps(
    home: &Path,
    targets: &[String],
    reveal: bool,
    terminal: &mut Terminal,
) -> Result<Vec<AppView>, CliError> {
    Ok(everything(home, targets, reveal, false, terminal)?.0)
}

/// What an app inherits, by what stands for it in [`AppView::ambient`].
pub(super) type Ambients = BTreeMap<String, BTreeMap<String, String>>;

/// Apps, and what they inherit where that is asked for.
pub(super) fn everything(
    home: &Path,
    targets: &[String],
    reveal: bool,
    ambient: bool,
    terminal: &mut Terminal,
) -> Result<(Vec<AppView>, Ambients), CliError> {
    let request = Request::Show { targets: targets.to_vec(), reveal, ambient };
    let state = match offline::show(home, &request, terminal)? {
        Source::Daemon(Answer::Show { apps, ambients }) => return Ok((apps, ambients)),
        Source::Daemon(other) => return Err(exchange::unexpected(&other)),
        Source::Store(state) => state,
    };
    let known = |mut state: State| {
        let unwatched = offline::unwatched(home, &mut state);
        let mut apps = runtime::offline_apps(&state, &offline::layout(home), &unwatched, reveal, ambient);
        offline::look_at_limits(home, &state, apps.iter_mut().flat_map(|app| &mut app.instances));
        let ambients = if ambient { runtime::offline_ambients(&state, reveal) } else { Ambients::new() };
        (apps, ambients)
    };
    let (apps, ambients) = state.map(known).unwrap_or_default();
    if targets.is_empty() {
        return Ok((apps, ambients));
    }
    let all: Vec<InstanceView> = apps.iter().flat_map(|app| app.instances.iter().cloned()).collect();
    let named = instances::select(targets, &all)?;
    let kept = apps.into_iter().filter_map(|mut app| {
        app.instances.retain(|instance| named.contains(instance));
        (!app.instances.is_empty()).then_some(app)
    });
    Ok((kept.collect(), ambients))
}

fn text(app: &AppView, beside: &Beside, now_ms: u64, colour: bool) -> String {
    let zone = time_zone(app.spec.cron_timezone.as_deref());
    let name = paint(colour, Colour::Bold, &harmless(app.spec.name.as_bytes(), false));
    let mut facts = facts::facts(&app.spec);
    let ecosystem = app.instances.first().and_then(|instance| instance.ecosystem.clone());
    facts.push(("ecosystem".to_owned(), ecosystem.unwrap_or_else(|| "none, it was started by hand".to_owned())));
    facts.extend(app.file.clone().map(|file| ("file".to_owned(), file)));
    let revision = beside.revision.as_ref().map(|revision| {
        let dirty = if revision.dirty { ", and something changed since" } else { "" };
        format!("{}{dirty}", harmless(revision.commit.as_bytes(), false))
    });
    facts.extend(revision.map(|revision| ("revision".to_owned(), revision)));
    let version = beside.version.as_ref().map(|version| harmless(version.as_bytes(), false));
    facts.extend(version.map(|version| ("version".to_owned(), version)));
    let instances = app.instances.iter().map(|instance| instance_text(instance, beside, zone.as_ref(), now_ms, colour));
    format!("{name}\n{}{}", facts::lines(&facts), instances.collect::<String>())
}

fn instance_text(view: &InstanceView, beside: &Beside, zone: Option<&TimeZone>, now_ms: u64, colour: bool) -> String {
    let name = format!("{}:{}", harmless(view.name.as_bytes(), false), view.slot);
    let mut facts = vec![("id".to_owned(), view.id.to_string())];
    let mut fact = |name: &str, value: Option<String>| facts.extend(value.map(|value| (name.to_owned(), value)));
    fact("why", view.detail.as_ref().map(|detail| harmless(detail.as_bytes(), false)));
    fact("pid", view.pid.map(|pid| pid.to_string()));
    fact("beside", view.beside.as_ref().map(list::beside));
    fact("uptime", columns::uptime(view, now_ms));
    if let Some(load) = view.pid.and_then(|pid| beside.loads.get(&pid)) {
        let processes = if load.processes > 1 { format!(", {} processes", load.processes) } else { String::new() };
        fact("cpu", Some(looks::percent(load.cpu_permille)));
        fact("memory", Some(format!("{}{processes}", format_bytes(load.memory_bytes))));
    }
    fact("restarts", Some(view.restarts.to_string()));
    fact("next run", view.next_run_at_ms.and_then(|at| next_run(at, now_ms, zone)));
    for (index, run) in runs(&view.runs, zone).into_iter().enumerate() {
        fact(if index == 0 { "last runs" } else { "" }, Some(run));
    }
    fact("last exit", view.last_exit.map(|status| status.to_string()));
    for (index, end) in beside.ends.get(&view.slot).into_iter().flatten().enumerate() {
        fact(if index == 0 { "ends" } else { "" }, Some(end.clone()));
    }
    fact("limits", view.limits_note.clone());
    fact("mode", Some(view.mode.clone()));
    fact("out", Some(view.out_file.clone().unwrap_or_else(|| "thrown away".to_owned())));
    fact("error", Some(view.error_file.clone().unwrap_or_else(|| "thrown away".to_owned())));
    fact("both", view.log_file.clone());
    let state = paint(colour, columns::hue(&view.state), &view.state);
    format!("\n{name}  {state}\n{}", facts::lines(&facts))
}

/// `2026-11-22 03:00:00 +01:00, in 11h`
fn next_run(at_ms: u64, now_ms: u64, zone: Option<&TimeZone>) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?.to_zoned(zone?.clone());
    let wait = columns::rough(at_ms.saturating_sub(now_ms) / 1_000);
    Some(format!("{}, in {wait}", at.strftime("%Y-%m-%d %H:%M:%S %:z")))
}

/// A job's last five, newest first: `2026-11-22 03:00:00 +01:00 exit code 0 after 4s`
fn runs(runs: &[Run], zone: Option<&TimeZone>) -> Vec<String> {
    const SHOWN: usize = 5;
    let zone = zone.cloned().unwrap_or(TimeZone::UTC);
    let line = |run: &Run| {
        let at = Timestamp::from_millisecond(i64::try_from(run.at_ms).ok()?).ok()?.to_zoned(zone.clone());
        let outcome = match (run.status, &run.error) {
            (Some(status), _) => format!("{status} after {}", format_millis(run.took_ms)),
            (None, Some(error)) => format!("could not be started: {}", harmless(error.as_bytes(), false)),
            (None, None) => "skipped: the run before went on".to_owned(),
        };
        Some(format!("{} {outcome}", at.strftime("%Y-%m-%d %H:%M:%S %:z")))
    };
    runs.iter().rev().take(SHOWN).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ExitStatus;
    use crate::spec::AppSpec;

    #[test]
    fn an_app_is_shown_with_each_of_its_instances() {
        let mut view = InstanceView::sample(3, "api", 0);
        view.state = "errored".to_owned();
        view.detail = Some("16 unstable runs".to_owned());
        view.last_exit = Some(ExitStatus::Code(1));
        view.next_run_at_ms = Some(1_774_749_600_000);
        let mut spec = AppSpec::new("api", "/srv/api.js", "/srv");
        spec.cron_timezone = Some("UTC".to_owned());
        let app = AppView { spec, file: None, ambient: None, instances: vec![view] };
        let want = "\
api
  script         /srv/api.js
  cwd            /srv
  cron_timezone  UTC
  ecosystem      none, it was started by hand

api:0  errored
  id         3
  why        16 unstable runs
  restarts   0
  next run   2026-03-29 02:00:00 +00:00, in 2h
  last exit  exit code 1
  mode       fork
  out        /logs/api-out.log
  error      /logs/api-error.log
";
        assert_eq!(text(&app, &Beside::default(), 1_774_742_400_000, false), want);
    }
}
