//! Ecosystem files where apps are named: what they say is applied, and nothing is deleted for what they do not say.

use std::path::Path;

use super::super::ambient::ambient;
use super::super::arguments::Picks;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::options::AppOptions;
use super::super::terminal::Terminal;
use super::super::{change, diff, exchange, loading, pm2, surroundings};
use super::app::changed;
use super::{Scene, Verb};
use crate::config::World;
use crate::document::Node;
use crate::graph::Graph;
use crate::plan::{Plan, Revision, render_text};
use crate::rpc::wire::{Alter, Altered, AppView, Apply, PlanOptions, Request};
use crate::schema::Origins;
use crate::spec::AppSpec;

pub(super) fn apply(
    scene: &Scene<'_>,
    word: &str,
    known: &[AppView],
    terminal: &mut Terminal,
) -> Result<Exit, CliError> {
    let Scene { verb, arguments, world } = scene;
    let manners = terminal.manners;
    if !arguments.app.is_empty() && !manners.are_pm2s() {
        let said = arguments.app.keys().collect::<Vec<_>>().join("`, `");
        return Err(CliError::usage(format!("`{said}`: what a file says of its apps is said in the file"))
            .hint("of what a file may be told there is `--only` and `--env`; of a script or a known app more"));
    }
    let stdin = stdin(word)?;
    if let Some(names) = stdin.as_deref().and_then(|text| names_alone(text, known))
        && manners.are_pm2s()
        && *verb != Verb::Start
    {
        return scene.known_apps(&names, known, terminal);
    }
    let (mut graph, origins, revision) = read(word, stdin.as_deref(), &arguments.picks, world, terminal)?;
    let mut only = arguments.picks.only.clone();
    if manners.are_pm2s() {
        // Who is not in the file is passed over.
        only.retain(|name| graph.apps.iter().any(|app| app.name == *name));
        if only.is_empty() && !arguments.picks.only.is_empty() || graph.apps.is_empty() {
            return pm2::table(terminal);
        }
    }
    let selection = loading::select(&mut only, &graph)?;
    let names: Vec<String> =
        graph.apps.iter().map(|app| app.name.clone()).filter(|name| selection.contains(name)).collect();
    let up = |name: &&String| {
        let app = known.iter().find(|app| app.spec.name == **name);
        app.is_some_and(|app| app.instances.iter().any(|view| view.pid.is_some()))
    };
    let up: Vec<String> = names.iter().filter(up).cloned().collect();
    let mut variables = ambient(&world.env);
    if manners.are_pm2s() {
        graph.apps.iter_mut().for_each(|app| pm2::by_environment(app, world));
        // What the shell has goes before it.
        for (name, value) in deployed(&graph, arguments.picks.env.as_deref()) {
            variables.entry(name).or_insert(value);
        }
        if let Some(args) = arguments.app.args.as_ref().filter(|args| !args.is_empty()) {
            graph.apps.iter_mut().for_each(|app| app.args.extend(args.iter().cloned()));
        }
        if arguments.app.get("cwd").is_some() {
            pm2::warn("`--cwd` is not taken with a file: `cwd` is said in the file", terminal)?;
        }
        for app in &mut graph.apps {
            let is_known = known.iter().any(|other| other.spec.name == app.name);
            let options = lacking(app, &arguments.app, is_known);
            if options.keys().next().is_some() {
                *app = changed(app, &options, world, terminal)?.0;
            }
        }
    }
    let apps = graph.apps.clone();
    let options = PlanOptions { only, no_prune: true, adopt: manners.are_pm2s(), allow_empty: false };
    let request = Request::Apply(Box::new(Apply {
        graph,
        options,
        ambient: variables.clone(),
        expected: None,
        parallel: arguments.parallel,
        revision,
        auto_rollback: false,
    }));
    let origin = diff::origin(&origins);
    let home = surroundings::home()?;
    let mut replaced = Vec::new();
    let mut done = |plan: Plan, terminal: &mut Terminal| {
        let is_replaced = |name: &&String| {
            plan.steps.iter().any(|step| step.app == **name && !(step.replace.is_empty() && step.start.is_empty()))
        };
        replaced = names.iter().filter(is_replaced).cloned().collect();
        if !manners.are_pm2s() {
            let _ = terminal.print(format!("{}\n", render_text(&plan, &origin, diff::style(terminal)).trim_end()));
        }
    };
    if manners.are_pm2s() {
        let new = pm2::launch(&request, &names, known, &mut done, terminal)?;
        // Of what was there already PM2 says that it is restarted, whatever that took.
        let again = |name: &&String| known.iter().any(|app| app.spec.name == **name);
        let again: Vec<String> = replaced.iter().filter(again).cloned().collect();
        pm2::say_restarted(&again, matches!(verb, Verb::Reload | Verb::StartOrReload), terminal)?;
        pm2::say_launched(&new, terminal)?;
    } else {
        let outcome = exchange::perform(&home, &request, arguments.turn.no_queue, terminal, &mut done)?;
        let exit = change::concluded(&home, &names, "applied", &outcome, terminal)?;
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    // What ran, and was not replaced for what the file says, is replaced because that was asked for.
    let renews = verb.renews() || manners.are_pm2s();
    let rest: Vec<String> = up.into_iter().filter(|name| renews && !replaced.contains(name)).collect();
    if rest.is_empty() {
        return pm2::table(terminal);
    }
    let request = if matches!(verb, Verb::Reload | Verb::StartOrReload) {
        Request::Reload { targets: rest.clone(), parallel: arguments.parallel }
    } else {
        let apps = apps.into_iter().filter(|app| rest.contains(&app.name));
        let apps = apps.map(|spec| Altered { name: spec.name.clone(), spec }).collect();
        let ambient = Some(variables);
        Request::Alter(Box::new(Alter { apps, targets: rest.clone(), renew: true, ambient }))
    };
    if manners.are_pm2s() {
        return pm2::act(&request, &rest, pm2::Said::InFile, terminal);
    }
    change::bring_up(&request, &rest, verb.done(), arguments.turn, terminal)
}

/// What PM2 takes of the command line with a file: what the file does not say of an app, and of watching only when that is new.
fn lacking(app: &AppSpec, said: &AppOptions, is_known: bool) -> AppOptions {
    let mut options = said.clone();
    options.args = None;
    let usual = AppSpec::new("", "", "");
    let others: Vec<&'static str> = options
        .keys()
        .filter(|key| match *key {
            "namespace" => app.namespace != usual.namespace,
            "ignore_watch" => !app.watch.ignore.is_empty(),
            "watch" => is_known || app.watch.enabled,
            _ => true,
        })
        .collect();
    for key in others {
        options.take(key);
    }
    options
}

/// What `deploy` has of variables for a profile.
fn deployed(graph: &Graph, profile: Option<&str>) -> Vec<(String, String)> {
    let env = graph.deploy.as_ref().zip(profile).and_then(|(deploy, profile)| deploy.get(profile)?.get("env"));
    let variables = env.and_then(serde_json::Value::as_object).into_iter().flatten();
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    variables.map(|(name, value)| (name.clone(), text(value))).collect()
}

/// The apps of a file that are known.
pub(super) fn names(
    word: &str,
    picks: &Picks,
    world: &World,
    known: &[AppView],
    terminal: &mut Terminal,
) -> Result<Vec<String>, CliError> {
    let stdin = stdin(word)?;
    if let Some(names) = stdin.as_deref().and_then(|text| names_alone(text, known))
        && terminal.manners.are_pm2s()
    {
        return Ok(names);
    }
    let (graph, ..) = read(word, stdin.as_deref(), picks, world, terminal)?;
    let mut only = picks.only.clone();
    if terminal.manners.are_pm2s() {
        only.retain(|name| graph.apps.iter().any(|app| app.name == *name));
        if only.is_empty() && !picks.only.is_empty() {
            return Ok(Vec::new());
        }
    }
    let selection = loading::select(&mut only, &graph)?;
    let is_known = |name: &String| known.iter().any(|app| app.spec.name == *name);
    let (there, unknown): (Vec<String>, Vec<String>) =
        graph.apps.into_iter().map(|app| app.name).filter(|name| selection.contains(name)).partition(is_known);
    if !unknown.is_empty() && !terminal.manners.are_pm2s() {
        terminal.note(&format!("not known, and left at that: {}", unknown.join(", ")));
    }
    Ok(there)
}

fn stdin(word: &str) -> Result<Option<String>, CliError> {
    if word != "-" {
        return Ok(None);
    }
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::stdin().lock(), &mut text)
        .map_err(|err| CliError::error(format!("failed to read stdin: {err}")))?;
    Ok(Some(text))
}

/// Apps that are known, where nothing but their names is said: PM2 takes that for whom it is to act on.
fn names_alone(text: &str, known: &[AppView]) -> Option<Vec<String>> {
    let node = crate::config::parse(text, crate::document::Format::Json).0?;
    let apps = node.get("apps").unwrap_or(&node);
    let apps = apps.items().unwrap_or(std::slice::from_ref(apps));
    let name = |app: &Node| {
        let [entry] = app.entries()? else { return None };
        let name = entry.value.as_str().filter(|_| entry.key.text == "name")?;
        known.iter().any(|app| app.spec.name == name).then(|| name.to_owned())
    };
    let names: Option<Vec<String>> = apps.iter().map(name).collect();
    names.filter(|names| !names.is_empty())
}

/// A file, or what stdin says.
fn read(
    word: &str,
    stdin: Option<&str>,
    picks: &Picks,
    world: &World,
    terminal: &mut Terminal,
) -> Result<(Graph, Origins, Option<Revision>), CliError> {
    let mut world = world.clone();
    world.reading.mode.clone_from(&picks.env);
    world.reading.overlooks_missing = terminal.manners.are_pm2s();
    let profile = picks.env.as_deref();
    if let Some(text) = stdin {
        let (graph, origins) = loading::load_stdin(text, profile, &picks.only, &world, terminal)?;
        return Ok((graph, origins, None));
    }
    let file = loading::entry((word != ".").then(|| Path::new(word)), &world, terminal)?;
    if terminal.manners.are_pm2s()
        && let Some(program) = pm2::Program::of(&file.path, &world)
    {
        let selection = crate::graph::Selection::possible(&picks.only);
        let loaded = crate::config::load_selected(&program.entry.named, profile, &selection, &program.world);
        // What is no expression either is told of as what it is called.
        if !loaded.report.diagnostics.iter().any(|one| one.code == crate::diag::Code::Syntax) {
            let (graph, origins) = (loaded.graph, loaded.origins);
            let graph = loading::judge_apps(graph, &loaded.report, false, &program.world, terminal)?;
            return Ok((graph, origins, None));
        }
    }
    let question = super::super::revision::Question::ask(&file.path, &world.env);
    let (mut graph, origins) = loading::load(&file, profile, &picks.only, false, &world, terminal)?;
    graph.file = file.path.to_string_lossy().into_owned();
    Ok((graph, origins, question.and_then(super::super::revision::Question::answer)))
}
