use std::collections::BTreeSet;
use std::path::Path;

use super::arguments::{self, Scope};
use super::cautions::Cautions;
use super::error::CliError;
use super::exit::Exit;
use super::offline::{self, Source};
use super::terminal::Terminal;
use super::{apply, baseline, drift, exchange, generations, list, loading, random, saved_plan, surroundings};
use crate::config::World;
use crate::daemon::stood;
use crate::graph::{Graph, Selection};
use crate::plan::{
    Drift, DriftKind, Plan, PlanPolicy, Snapshot, Style, note_by_hand, plan, render_json, render_markdown_with,
    render_text_with,
};
use crate::rpc::wire::{Answer, PlanOptions, Request};
use crate::runtime;
use crate::schema::Origins;

pub(super) fn run(arguments: &arguments::Diff, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let written = arguments.source.file.as_deref().and_then(Path::to_str);
    if let Some(old) = written.and_then(generations::parse) {
        refuse_other_wishes(arguments)?;
        let new = arguments.until.as_deref().map(generations::number).transpose()?;
        return generations::changes(old, new, arguments, terminal);
    }
    if let Some(until) = &arguments.until {
        return Err(CliError::usage(format!("`{until}` stands beside a file")).hint("like `pmrun diff @3 @7`"));
    }
    let world = surroundings::world_of(&arguments.source)?;
    let entry = loading::entry(arguments.source.file.as_deref(), &world, terminal)?;
    saved_plan::refuse(&entry.path, &entry.named)?;
    if let Some(out) = &arguments.out {
        saved_plan::check_target(&loading::absolute(out, &world), &entry.path, out)?;
    }
    let profile = arguments.source.env.as_deref();
    let mut options = options(&arguments.scope)?;
    let (graph, origins) = loading::load(&entry, profile, &options.only, false, &world, terminal)?;
    let selection = loading::select(&mut options.only, &graph)?;
    let cautions = Cautions::of(&graph);

    let plan = match &arguments.base {
        Some(written) => {
            let snapshot = baseline::snapshot(written, &entry, profile, &selection, &world, terminal)?;
            plan(&graph, &snapshot, &policy(&options, selection, random::key()?))
        }
        // As it is recorded.
        None => against_what_runs(
            Graph { file: entry.path.to_string_lossy().into_owned(), ..graph },
            &options,
            selection,
            arguments.out.is_some(),
            terminal,
        )?,
    };
    // Another version of the file has not been applied, and nothing has drifted from it.
    let drifts = if arguments.base.is_none() { drifted(&plan, &options.only, terminal) } else { Vec::new() };
    // What is saved is compared with what `apply` finds, which asks for no drift.
    let mut shown = plan.clone();
    note_by_hand(&mut shown, &drifts);
    show(&shown, &drifts, &origins, arguments, terminal)?;
    cautions.say(&plan, terminal);
    if !plan.refusals.is_empty() {
        return Err(exchange::refusal(&plan.refusals));
    }
    let exit = if plan.is_empty() { Exit::Done } else { Exit::Changes };
    if let Some(out) = &arguments.out {
        save(out, &entry.path, profile, &options, plan, &world, terminal)?;
    }
    Ok(exit)
}

/// Generations are of everything, and no file is read.
fn refuse_other_wishes(arguments: &arguments::Diff) -> Result<(), CliError> {
    let plain = arguments.source.env.is_none()
        && arguments.scope == Scope::default()
        && arguments.base.is_none()
        && arguments.out.is_none();
    if plain {
        return Ok(());
    }
    Err(CliError::usage("generations are compared as they are")
        .hint("leave out `--env`, `--only`, `--no-prune`, `--adopt`, `--allow-empty`, `--base` and `--out`"))
}

pub(super) fn options(scope: &Scope) -> Result<PlanOptions, CliError> {
    // A variable that was not set, most likely: never all apps.
    if Selection::possible(&scope.only).names().is_some_and(BTreeSet::is_empty) {
        return Err(CliError::usage("`--only` names no app").hint("like `--only api,worker`"));
    }
    let only = scope.only.clone();
    Ok(PlanOptions { only, no_prune: scope.no_prune, adopt: scope.adopt, allow_empty: scope.allow_empty })
}

pub(super) fn style(terminal: &Terminal) -> Style {
    Style { colour: terminal.colour, unicode: terminal.unicode }
}

/// Where the file that was just read says what a plan is about.
pub(super) fn origin(origins: &Origins) -> impl Fn(&str, &str) -> Option<String> {
    |app, path| origins.place(app, path)
}

/// A plan that is `kept` is compared with a later one, so that its digests have to be made with the key of the home.
fn against_what_runs(
    graph: Graph,
    options: &PlanOptions,
    selection: Selection,
    kept: bool,
    terminal: &mut Terminal,
) -> Result<Plan, CliError> {
    let home = surroundings::home()?;
    let request = Request::Plan { graph: Box::new(graph), options: options.clone() };
    let state = match offline::show(&home, &request, terminal)? {
        Source::Daemon(Answer::Plan { plan }) => return Ok(*plan),
        Source::Daemon(other) => return Err(exchange::unexpected(&other)),
        Source::Store(state) => state,
    };
    let Request::Plan { graph, .. } = request else { unreachable!("made above") };
    let (snapshot, key) = match state {
        Some(mut state) => {
            let unwatched = offline::unwatched(&home, &mut state);
            (runtime::offline_snapshot(&state, &unwatched, &stood(&home)), state.key)
        }
        None if kept => {
            let key = runtime::store::key(&home).map_err(|err| CliError::store(&err))?;
            (Snapshot::default(), key)
        }
        None => (Snapshot::default(), random::key()?),
    };
    Ok(plan(&graph, &snapshot, &policy(options, selection, key)))
}

pub(super) fn policy(options: &PlanOptions, selection: Selection, key: crate::base::Key) -> PlanPolicy {
    PlanPolicy { selection, prune: !options.no_prune, adopt: options.adopt, allow_empty: options.allow_empty, key }
}

/// What of the plan's apps somebody has changed by hand, and what no step of it is about. What a daemon of another
/// version does not know is no reason to show no plan.
fn drifted(plan: &Plan, only: &[String], terminal: &mut Terminal) -> Vec<Drift> {
    let mut drifts = surroundings::home().and_then(|home| drift::all(&home, terminal)).unwrap_or_default();
    drifts.retain(|drift| {
        let is_said = drift.by.is_none()
            && !matches!(drift.what, DriftKind::DeletedProgram { .. } | DriftKind::MissingProgram { .. });
        let is_meant = only.is_empty() || only.contains(&drift.app);
        drift.ecosystem.as_ref() == Some(&plan.ecosystem) && is_meant && !is_said
    });
    drifts
}

fn show(
    plan: &Plan,
    drifts: &[Drift],
    origins: &Origins,
    arguments: &arguments::Diff,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let origin = origin(origins);
    if arguments.json {
        let mut value = render_json(plan, &origin);
        value["drift"] = drifts.iter().map(drift::value).collect();
        return terminal.json(&value);
    }
    let lines =
        |colour| -> Vec<String> { drifts.iter().map(|drift| drift::line(drift, list::now_ms(), colour)).collect() };
    if arguments.markdown {
        return terminal.print(apply::with_newline(render_markdown_with(plan, &lines(false), &origin)));
    }
    // Why there is no plan goes to stderr, as an error.
    if !plan.refusals.is_empty() {
        return Ok(());
    }
    let text = render_text_with(plan, &lines(terminal.colour), &origin, style(terminal));
    terminal.print(apply::with_newline(text))
}

fn save(
    out: &Path,
    entry: &Path,
    profile: Option<&str>,
    options: &PlanOptions,
    plan: Plan,
    world: &World,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let out = loading::absolute(out, world);
    saved_plan::write(&out, &saved_plan::new(entry, profile, options, plan), &surroundings::home()?)?;
    terminal.say(format!("saved {}", loading::shown(&out, world)));
    Ok(())
}
