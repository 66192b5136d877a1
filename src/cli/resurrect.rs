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
use super::{change, diff, events, instances, saved, surroundings};
use crate::base::Key;
use crate::config::pm2_dump::{self, Dumped};
use crate::config::{self, World};
use crate::graph::{Graph, Selection};
use crate::plan::{PlanPolicy, Snapshot, plan, render_text};
use crate::platform::{self, time_zone};
use crate::rpc::wire::{PlanOptions, Request, RestoredApp};
use crate::runtime::State;
use crate::spec::EcosystemId;

pub(super) fn run(arguments: &Resurrect, terminal: &mut Terminal) -> Result<Exit, CliError> {
    if let Some(dump) = &arguments.from {
        return from_pm2(dump, arguments.dry_run, terminal);
    }
    let home = surroundings::home()?;
    // What cannot be read is built anew by the daemon, or said by it.
    let nothing_known = instances::all(&home).is_ok_and(|all| all.is_empty());
    let saved = if arguments.saved || nothing_known { saved::saved(&home)? } else { None };
    let Some(backup) = saved else {
        if arguments.saved {
            return Err(CliError::error("nothing was saved").hint("`pmrun save` does so"));
        }
        return change::bring_up(&Request::Resurrect, &["all".to_owned()], "resurrected", terminal);
    };
    let at = events::at(backup.at_ms, time_zone(None).as_ref(), "%Y-%m-%d %H:%M:%S");
    terminal.say(format!("brings back what was saved at {at}"));
    let request = Request::Restore { apps: restored(backup.state), wake: true };
    change::bring_up(&request, &["all".to_owned()], "resurrected", terminal)
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
fn from_pm2(dump: &Path, dry_run: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
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
    let specs = apps.iter().map(|app| (*app.spec).clone()).collect();
    let graph =
        Graph { ecosystem: EcosystemId(String::new()), file: String::new(), profile: None, apps: specs, deploy: None };
    let key = platform::random_bytes().map_err(|error| CliError::error(platform::reason(&error)))?;
    let options = PlanOptions { allow_empty: true, ..PlanOptions::default() };
    let policy: PlanPolicy = diff::policy(&options, Selection::All, Key(key));
    let shown = plan(&graph, &Snapshot::default(), &policy);
    terminal.print(with_newline(render_text(&shown, &|_, _| None, diff::style(terminal))))?;
    let stopped: Vec<String> =
        apps.iter().filter(|app| app.up.is_empty()).map(|app| format!("`{}`", app.spec.name)).collect();
    if !stopped.is_empty() {
        terminal.note(&format!("stopped, and stays so: {}", harmless(stopped.join(", ").as_bytes(), false)));
    }
    let exit = if dry_run || apps.is_empty() {
        Exit::Done
    } else {
        change::bring_up(&Request::Restore { apps, wake: false }, &["all".to_owned()], "resurrected", terminal)?
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
