use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;

use super::ambient::ambient;
use super::arguments::{self, Scope, Source};
use super::cautions::Cautions;
use super::error::CliError;
use super::exchange::{self, Outcome, WentBack};
use super::exit::Exit;
use super::loading::EntryFile;
use super::revision::Question;
use super::terminal::{Terminal, counted, harmless};
use super::{diff, drift, instances, loading, progress, saved_plan, surroundings};
use crate::config::World;
use crate::graph::{Graph, Selection};
use crate::plan::{Change, Follower, Plan, Revision, SavedPlan, Step, note_by_hand, plan, render_json, render_text};
use crate::rpc::wire::{Apply, InstanceView, PlanOptions, Request};
use crate::spec::{Field, OnExit};

/// What is to be applied, from a config file or from a plan that was saved.
struct Order {
    file: EntryFile,
    profile: Option<String>,
    options: PlanOptions,
    expected: Option<SavedPlan>,
}

pub(super) fn run(arguments: &arguments::Apply, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let mut world = surroundings::world_of(&arguments.source)?;
    let home = surroundings::home()?;
    let mut order = order(arguments, &home, &world, terminal)?;
    let question = Question::ask(&order.file.path, &world.env);
    world.reading.mode.clone_from(&order.profile);
    let (graph, origins) =
        loading::load(&order.file, order.profile.as_deref(), &order.options.only, arguments.strict, &world, terminal)?;
    let selection = loading::select(&mut order.options.only, &graph)?;
    if let Some(saved) = &order.expected {
        saved_plan::check_offline(saved, &home, |snapshot, state| {
            plan(&graph, snapshot, &diff::policy(&order.options, selection.clone(), state.key))
        })?;
    }
    let origin = diff::origin(&origins);
    let limited = limited(&graph, &selection);
    let cautions = Cautions::of(&graph);
    let revision = question.and_then(Question::answer);
    let request = request(graph, order, arguments, revision, &world);

    // As `diff` tells it, which nobody can when it has been put right.
    let by_hand = drift::by_hand(&home);
    let mut applied = None;
    let outcome = exchange::perform(&home, &request, arguments.no_queue, terminal, &mut |mut plan, terminal| {
        note_by_hand(&mut plan, &by_hand);
        if !arguments.json {
            // Nobody reading the plan is no reason not to do it.
            let _ = terminal.print(with_newline(render_text(&plan, &origin, diff::style(terminal))));
        }
        cautions.say(&plan, terminal);
        applied = Some(plan);
    })?;
    if !limited.is_empty() {
        let newly = applied.as_ref().map(newly_limited).unwrap_or_default();
        say_limits(&instances::all(&home)?, &|app| limited.contains(app), &newly, terminal);
    }
    if arguments.json {
        terminal.json(&result(applied.as_ref(), &origin, &outcome))?;
    }
    if let Some(went) = &outcome.went_back {
        return Err(went_back(went, &outcome, terminal));
    }
    if let Some(followers) = applied.as_ref().filter(|_| outcome.cancelled.is_none()).and_then(followers) {
        terminal.say(followers);
    }
    conclude("applied", &outcome, Exit::NotReady, terminal)
}

/// Who goes with what was done; the apply does not wait for them.
fn followers(plan: &Plan) -> Option<String> {
    let one = |follower: &Follower| {
        let name = harmless(follower.app.as_bytes(), false);
        match follower.on_exit {
            OnExit::Stop => format!("{name} is stopped meanwhile"),
            OnExit::Restart | OnExit::Ignore => format!("{name} is restarted"),
        }
    };
    let all: BTreeSet<String> = plan.followers().map(one).collect();
    (!all.is_empty()).then(|| format!("by on_exit: {}", all.into_iter().collect::<Vec<_>>().join(", ")))
}

/// What failed has been said; what there is to say is how it stands now.
fn went_back(went: &WentBack, outcome: &Outcome, terminal: &mut Terminal) -> CliError {
    progress::failures(&went.left, terminal);
    let failed = shortfall(outcome);
    if went.left.is_empty() {
        let message = format!("{failed}: everything that was touched is what it was in @{} again", went.to);
        return CliError::new(Exit::RolledBack, message).hint("`pmrun diff` shows what is left to apply");
    }
    let left: BTreeSet<&str> = went.left.iter().map(|failure| failure.app.as_str()).collect();
    let message = format!(
        "{failed}: what was touched went back to @{}, but {} did not come up again",
        went.to,
        counted(left.len(), "app")
    );
    CliError::new(Exit::NotReady, message)
        .hint("`pmrun logs --err TARGET` shows what an app said, `pmrun show TARGET` where it stands")
}

/// The apps that are to have limits.
fn limited(graph: &Graph, selection: &Selection) -> BTreeSet<String> {
    let apps = graph.apps.iter().filter(|app| !app.limits.is_none() && selection.contains(&app.name));
    apps.map(|app| app.name.clone()).collect()
}

/// The apps whose processes go on, and are held by a limit of memory for the first time.
fn newly_limited(plan: &Plan) -> BTreeSet<String> {
    let limits_memory = |change: &Change| {
        let has = |value: &Option<String>| value.as_ref().is_some_and(|value| value.contains("memory: "));
        change.field == Field::Limits && change.old.is_none() && has(&change.new)
    };
    let goes_on = |step: &&Step| step.start.is_empty() && step.replace.is_empty();
    let steps = plan.steps.iter().filter(goes_on).filter(|step| step.changes.iter().any(limits_memory));
    steps.map(|step| step.app.clone()).collect()
}

/// What of them is not in force, each reason once. Nothing fails for it, but nobody is to believe in limits that are none.
///
/// What `newly` has a limit of memory goes on with what it has taken before.
pub(super) fn say_limits(
    views: &[InstanceView],
    concerns: &dyn Fn(&str) -> bool,
    newly: &BTreeSet<String>,
    terminal: &mut Terminal,
) {
    let mut notes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for view in views.iter().filter(|view| concerns(&view.name)) {
        let later = view.pid.is_some() && newly.contains(&view.name);
        let counts = later.then_some("memory that it has already counts from its next start on");
        if let Some(note) = view.limits_note.as_deref().or(counts) {
            notes.entry(note).or_default().insert(format!("`{}`", harmless(view.name.as_bytes(), false)));
        }
    }
    for (note, apps) in notes {
        let apps = apps.into_iter().collect::<Vec<_>>().join(", ");
        terminal.note(&format!("limits of {apps}: {}", harmless(note.as_bytes(), false)));
    }
}

/// The last line of a command that changed something, and its exit code: `failed` when something is not as asked.
pub(super) fn conclude(verb: &str, outcome: &Outcome, failed: Exit, terminal: &mut Terminal) -> Result<Exit, CliError> {
    if let Some(cancelled) = &outcome.cancelled {
        progress::failures(&outcome.failed, terminal);
        return Err(
            CliError::new(cancelled.exit, progress::interrupted(outcome, cancelled)).hint(progress::how_on(cancelled))
        );
    }
    if outcome.failed.is_empty() {
        terminal.say(progress::summary(verb, outcome.touched, &outcome.tally, outcome.ms));
        return Ok(Exit::Done);
    }
    progress::failures(&outcome.failed, terminal);
    Err(CliError::new(failed, format!("{verb}, but {}", shortfall(outcome)))
        .hint("`pmrun logs --err TARGET` shows what an app said, `pmrun show TARGET` where it stands"))
}

/// `1 of 3 apps failed, 1 was not begun`.
fn shortfall(outcome: &Outcome) -> String {
    let apps = |skipped| -> BTreeSet<&str> {
        let some = outcome.failed.iter().filter(|failure| failure.skipped == skipped);
        some.map(|failure| failure.app.as_str()).collect()
    };
    let (failed, skipped) = (apps(false).len(), apps(true).len());
    let of = format!("of {}", counted(outcome.touched.max(failed + skipped), "app"));
    let were = if skipped == 1 { "was" } else { "were" };
    match (failed, skipped) {
        (0, _) => format!("{skipped} {of} {were} not begun"),
        (_, 0) => format!("{failed} {of} failed"),
        _ => format!("{failed} {of} failed, {skipped} {were} not begun"),
    }
}

pub(super) fn with_newline(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn order(arguments: &arguments::Apply, home: &Path, world: &World, terminal: &mut Terminal) -> Result<Order, CliError> {
    let file = loading::entry(arguments.source.file.as_deref(), world, terminal)?;
    let Some(kept) = saved_plan::read(&file.path)? else {
        let options = diff::options(&arguments.scope)?;
        return Ok(Order { file, profile: arguments.source.env.clone(), options, expected: None });
    };
    refuse_other_wishes(&arguments.source, &arguments.scope, &file.named)?;
    saved_plan::check_seal(&kept, &file.named, home)?;
    let saved = kept.plan;
    let options = PlanOptions {
        only: saved.only.clone(),
        no_prune: saved.no_prune,
        adopt: saved.adopt,
        allow_empty: saved.allow_empty,
    };
    let file = EntryFile::at(saved.file.clone().into(), world);
    Ok(Order { file, profile: saved.profile.clone(), options, expected: Some(saved) })
}

/// A saved plan says all of this itself; something else beside it could only be a misunderstanding.
fn refuse_other_wishes(source: &Source, scope: &Scope, plan: &Path) -> Result<(), CliError> {
    if source.env.is_none() && *scope == Scope::default() {
        return Ok(());
    }
    Err(CliError::usage(format!("`{}` is a saved plan, which says itself what it is about", plan.display()))
        .hint("leave out `--env`, `--only`, `--no-prune`, `--adopt` and `--allow-empty`"))
}

fn request(
    graph: Graph,
    order: Order,
    arguments: &arguments::Apply,
    revision: Option<Revision>,
    world: &World,
) -> Request {
    let Order { file, options, expected, .. } = order;
    // What is recorded has to be found from anywhere.
    let graph = Graph { file: file.path.to_string_lossy().into_owned(), ..graph };
    Request::Apply(Box::new(Apply {
        graph,
        options,
        ambient: ambient(&world.env),
        expected,
        parallel: arguments.parallel,
        revision,
        auto_rollback: arguments.auto_rollback,
    }))
}

pub(super) fn result(
    plan: Option<&Plan>,
    origin: &dyn Fn(&str, &str) -> Option<String>,
    outcome: &Outcome,
) -> serde_json::Value {
    let rolled_back = outcome.went_back.as_ref().map(|went| json!({ "to": went.to, "left": went.left }));
    let cancelled = outcome.cancelled.as_ref();
    let cancelled = cancelled.map(|rest| json!({ "going_on": rest.going_on, "not_begun": rest.not_begun }));
    json!({
        "version": 1,
        "plan": plan.map(|plan| render_json(plan, origin)),
        "result": {
            "touched": outcome.touched,
            "failed": outcome.failed,
            "ms": outcome.ms,
            "interrupted": cancelled,
            "rolled_back": rolled_back,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::progress::Tally;
    use super::*;
    use crate::rpc::wire::Failure;

    #[test]
    fn what_failed_and_what_was_not_begun_are_counted_apart() {
        let failure = |app: &str, skipped| Failure { skipped, ..Failure::of_app(app.to_owned(), String::new()) };
        let table = [
            (vec![failure("a", false), failure("a", false)], "1 of 3 apps failed"),
            (vec![failure("a", false), failure("b", true)], "1 of 3 apps failed, 1 was not begun"),
            (vec![failure("b", true), failure("c", true)], "2 of 3 apps were not begun"),
        ];
        for (failed, want) in table {
            let tally = Tally::default();
            let outcome = Outcome { touched: 3, failed, tally, ms: 0, cancelled: None, went_back: None };
            assert_eq!(shortfall(&outcome), want);
        }
    }
}
