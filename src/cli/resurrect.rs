//! What should run is started again: as it is recorded, as it was saved, or as PM2 has saved it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::ambient::ambient;
use super::apply::with_newline;
use super::arguments::Resurrect;
use super::error::CliError;
use super::exit::Exit;
use super::loading::{self, Talk};
use super::terminal::{Terminal, counted, harmless};
use super::{change, diff, events, instances, random, saved, surroundings};
use crate::base::Key;
use crate::config::pm2_dump::{self, Dumped};
use crate::config::{self, World};
use crate::graph::{Graph, Selection};
use crate::plan::{Action, EVERYTHING, Plan, Reason, Snapshot, Step, plan, render_text};
use crate::platform::time_zone;
use crate::rpc::wire::{InstanceView, PlanOptions, Request, RestoredApp};
use crate::runtime::State;
use crate::spec::EcosystemId;

pub(super) fn run(arguments: &Resurrect, terminal: &mut Terminal) -> Result<Exit, CliError> {
    if let Some(dump) = &arguments.from {
        return from_pm2(dump, arguments, terminal);
    }
    let home = surroundings::home()?;
    // What cannot be read is built anew by the daemon, or said by it.
    let nothing_known = instances::all(&home).is_ok_and(|all| all.is_empty());
    let saved = if arguments.saved || nothing_known { saved::saved(&home)? } else { None };
    let Some(backup) = saved else {
        if arguments.saved {
            return Err(CliError::error("nothing was saved").hint("`pmrun save` does so"));
        }
        return change::bring_up(&Request::Resurrect, &["all".to_owned()], "resurrected", arguments.turn, terminal);
    };
    let at = events::at(backup.at_ms, time_zone(None).as_ref(), "%Y-%m-%d %H:%M:%S");
    let apps = restored(backup.state);
    if arguments.dry_run {
        terminal.say(format!("would bring back what was saved at {at}"));
        return Ok(exit_of(&show(&apps, &instances::all(&home)?, terminal)?));
    }
    terminal.say(format!("brings back what was saved at {at}"));
    let request = Request::Restore { apps, wake: true };
    change::bring_up(&request, &["all".to_owned()], "resurrected", arguments.turn, terminal)
}

/// Prints what would be done about what was kept.
fn show(apps: &[RestoredApp], known: &[InstanceView], terminal: &mut Terminal) -> Result<Plan, CliError> {
    let shown = plan_of(apps, known, random::key()?);
    print(&shown, terminal)?;
    Ok(shown)
}

fn print(plan: &Plan, terminal: &mut Terminal) -> Result<(), CliError> {
    terminal.print(with_newline(render_text(plan, &|_, _| None, diff::style(terminal))))
}

fn exit_of(plan: &Plan) -> Exit {
    if plan.is_empty() { Exit::Done } else { Exit::Changes }
}

/// What nobody knows is made known, of the others what should run and does not is started.
fn plan_of(apps: &[RestoredApp], known: &[InstanceView], key: Key) -> Plan {
    let is_known = |app: &&RestoredApp| known.iter().any(|view| view.name == app.spec.name);
    let (there, new): (Vec<&RestoredApp>, Vec<&RestoredApp>) = apps.iter().partition(is_known);
    let specs = new.iter().map(|app| (*app.spec).clone()).collect();
    // Of no file: what is in no file, nobody has edited.
    let ecosystem = EcosystemId(EVERYTHING.to_owned());
    let graph = Graph { ecosystem, file: String::new(), profile: None, apps: specs, deploy: None };
    let options = PlanOptions { allow_empty: true, ..PlanOptions::default() };
    let mut plan = plan(&graph, &Snapshot::default(), &diff::policy(&options, Selection::All, key));
    for step in &mut plan.steps {
        if let Some(app) = new.iter().find(|app| app.spec.name == step.app) {
            step.start.clone_from(&app.up);
        }
    }
    plan.steps.extend(there.into_iter().map(|app| wake(app, known)));
    plan
}

fn wake(app: &RestoredApp, known: &[InstanceView]) -> Step {
    let name = &app.spec.name;
    let are = |state: &str| -> Vec<u32> {
        let down = known.iter().filter(|view| view.name == *name && app.up.contains(&view.slot) && view.state == state);
        down.map(|view| view.slot).collect()
    };
    let (stopped, errored) = (are("stopped"), are("errored"));
    let mut start = [&stopped[..], &errored].concat();
    start.sort_unstable();
    let mut reasons = Vec::new();
    reasons.extend((!stopped.is_empty()).then_some(Reason::Stopped { slots: stopped }));
    reasons.extend((!errored.is_empty()).then_some(Reason::Errored { slots: errored }));
    if start.is_empty() {
        reasons.push(Reason::Unchanged);
    }
    let action = if start.is_empty() { Action::Keep } else { Action::Start };
    Step { action, start, ..Step::keep(name, reasons) }
}

fn restored(state: State) -> Vec<RestoredApp> {
    let State { apps, ambients, .. } = state;
    let restored = |(_, record): (String, crate::runtime::AppRecord)| {
        let wanted = record.instances.iter().filter(|(_, instance)| instance.is_wanted());
        RestoredApp {
            up: wanted.map(|(slot, _)| *slot).collect(),
            ambient: ambients.get(&record.ambient).map(|variables| (**variables).clone()).unwrap_or_default(),
            ecosystem: record.ecosystem,
            file: record.file,
            spec: Box::new((*record.spec).clone()),
        }
    };
    apps.into_iter().map(restored).collect()
}

/// Apps that cannot be started here are said and left out; the others are started.
fn from_pm2(dump: &Path, arguments: &Resurrect, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let world = surroundings::world()?;
    let home = surroundings::home()?;
    let path = loading::absolute(dump, &world);
    let unusable = |problem: String| {
        CliError::new(Exit::Config, format!("`{}` is no dump of PM2's: {problem}", dump.display()))
            .hint("`pm2 save` writes one to ~/.pm2/dump.pm2")
    };
    let text = pm2_dump::read(&path).map_err(|error| CliError::io("read", dump, &error))?;
    let inherited = ambient(&world.env);
    let (dumped, notes) = pm2_dump::parse(&text, &inherited).map_err(unusable)?;
    for note in notes {
        terminal.note(&harmless(note.as_bytes(), false));
    }
    let known: BTreeSet<String> = instances::all(&home)?.into_iter().map(|view| view.name).collect();
    let (mut apps, mut left_out) = (Vec::new(), Vec::new());
    for app in dumped {
        let name = harmless(app.name.as_bytes(), false);
        if known.contains(&app.name) {
            terminal.note(&format!("`{name}` is known already, and left as it is"));
        } else if let Some(app) = spec(app, dump, &inherited, &world, terminal) {
            apps.push(app);
        } else {
            left_out.push(format!("`{name}`"));
        }
    }
    let shown = plan_of(&apps, &[], random::key()?);
    if arguments.dry_run || !terminal.manners.are_pm2s() {
        print(&shown, terminal)?;
    }
    let stopped: Vec<String> =
        apps.iter().filter(|app| app.up.is_empty()).map(|app| format!("`{}`", app.spec.name)).collect();
    if !stopped.is_empty() {
        terminal.note(&format!("stopped, and stays so: {}", harmless(stopped.join(", ").as_bytes(), false)));
    }
    let exit = if arguments.dry_run {
        exit_of(&shown)
    } else if apps.is_empty() {
        Exit::Done
    } else {
        change::bring_up(
            &Request::Restore { apps, wake: false },
            &["all".to_owned()],
            "resurrected",
            arguments.turn,
            terminal,
        )?
    };
    if left_out.is_empty() {
        return Ok(exit);
    }
    Err(CliError::new(
        Exit::NotReady,
        format!("{} could not be taken over: {}", counted(left_out.len(), "app"), left_out.join(", ")),
    )
    .hint("each is explained above; `pmrun start SCRIPT`, or an ecosystem file, starts it otherwise"))
}

/// By the rules of files. None when it cannot be started; that has been said.
fn spec(
    app: Dumped,
    dump: &Path,
    inherited: &BTreeMap<String, String>,
    world: &World,
    terminal: &mut Terminal,
) -> Option<RestoredApp> {
    let Dumped { name: _, node, up } = app;
    let loaded = config::load_node(&world.cwd, dump, node, world);
    let graph = loading::judge(loaded.graph, &loaded.report, false, Talk::Warnings, terminal).ok()?;
    let spec = Box::new(graph.apps.into_iter().next()?);
    Some(RestoredApp { ecosystem: None, file: None, spec, ambient: inherited.clone(), up })
}
