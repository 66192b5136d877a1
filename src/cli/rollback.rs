//! Everything as a generation had it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use super::{apply, arguments, diff, exchange, generations, offline, surroundings};
use crate::config::retake;
use crate::daemon::stood;
use crate::graph::Selection;
use crate::plan::{Plan, Reason, Snapshot, Step, render_json, render_text};
use crate::rpc::wire::{Answer, Back, Request};
use crate::runtime::{self, Recall, Recalled};
use crate::spec::{AppSpec, Fingerprint};

pub(super) fn run(arguments: &arguments::Rollback, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let wanted = arguments.generation.as_deref().map(generations::number).transpose()?;
    if Selection::possible(&arguments.only).names().is_some_and(std::collections::BTreeSet::is_empty) {
        return Err(CliError::usage("`--only` names no app").hint("like `--only api,worker`"));
    }
    let (to, apps, found) = former(&home, wanted)?;
    let back = Back { to: Some(to), only: arguments.only.clone(), code: code(&apps)? };
    let missing = missing(&apps);
    if arguments.dry_run {
        let plan = planned(&home, &back, found)?;
        refuse_missing(&plan, &missing)?;
        return dry_run(&plan, arguments.json, terminal);
    }
    // Mostly nothing is, and the plan is made once.
    if !missing.is_empty() {
        refuse_missing(&planned(&home, &back, found)?, &missing)?;
    }
    let mut done = None;
    let request = Request::Rollback(back);
    let outcome = exchange::perform(&home, &request, arguments.no_queue, terminal, &mut |plan, terminal| {
        if !arguments.json {
            let text = render_text(&plan, &|_, _| None, diff::style(terminal));
            let _ = terminal.print(apply::with_newline(text));
            note_code(&plan, terminal);
        }
        note_needs(&plan, terminal);
        done = Some(plan);
    })?;
    if arguments.json {
        terminal.json(&apply::result(done.as_ref(), &|_, _| None, &outcome))?;
    }
    apply::conclude(&format!("rolled back to @{to}"), &outcome, Exit::NotReady, terminal)
}

/// Which one is meant, and its apps; where no daemon runs, with all that is known of it.
fn former(home: &Path, wanted: Option<u64>) -> Result<(u64, Vec<AppSpec>, Option<Recalled>), CliError> {
    match offline::recall(home, &Request::Formers { to: wanted }, &Recall::Back { to: wanted })? {
        offline::Past::Daemon(Answer::Formers { to, apps }) => Ok((to, apps, None)),
        offline::Past::Daemon(other) => Err(exchange::unexpected(&other)),
        offline::Past::Store(found, _) => {
            let found = found.map_err(|error| generations::unknown(&error))?;
            let (to, apps) = found
                .formers
                .first()
                .map(|(to, formers)| (*to, formers.values().map(|former| (*former.spec).clone()).collect()))
                .unwrap_or_default();
            Ok((to, apps, Some(found)))
        }
    }
}

/// What stands for the code of each app, as it is on disk.
fn code(apps: &[AppSpec]) -> Result<BTreeMap<String, Fingerprint>, CliError> {
    let env = surroundings::world()?.env;
    let taken = apps.iter().filter(|app| !app.fingerprint.0.is_empty());
    Ok(taken.map(|app| (app.name.clone(), retake(&app.cwd, &app.fingerprint, &app.fingerprint_by, &env))).collect())
}

/// What is not there any more, or is something else, without which an app cannot be started, as where old releases are removed.
fn missing(apps: &[AppSpec]) -> BTreeMap<&str, String> {
    // What only another user may see is there, for all that is known; other programs are looked for in a PATH.
    let absolute = |path: &&String| path.starts_with('/');
    let is_gone = |path: &&String| {
        let error = Path::new(path).metadata().err().map(|error| error.kind());
        matches!(error, Some(ErrorKind::NotFound | ErrorKind::NotADirectory))
    };
    let missing = |app: &AppSpec| {
        // Of a command line there is a shell.
        let script = Some(&app.script).filter(|_| app.shell().is_none());
        let programs = app.interpreter.iter().chain(script).filter(absolute);
        if let Some(gone) = [&app.cwd].into_iter().chain(programs).find(is_gone) {
            return Some(format!("`{gone}` does not exist"));
        }
        if Path::new(&app.cwd).metadata().is_ok_and(|found| !found.is_dir()) {
            return Some(format!("`{}` is not a folder", app.cwd));
        }
        // With an interpreter the script is only read.
        let program = app.interpreter.as_ref().unwrap_or(&app.script);
        let is_program = |found: std::fs::Metadata| found.is_file() && found.mode() & 0o111 != 0;
        let cannot_run = absolute(&program) && Path::new(program).metadata().is_ok_and(|found| !is_program(found));
        cannot_run.then(|| format!("`{program}` is not executable"))
    };
    apps.iter().filter_map(|app| Some((app.name.as_str(), missing(app)?))).collect()
}

/// What runs would be stopped for what cannot be started.
fn refuse_missing(plan: &Plan, missing: &BTreeMap<&str, String>) -> Result<(), CliError> {
    let starts = |step: &&Step| !step.start.is_empty() || !step.replace.is_empty();
    let lost = plan.steps.iter().filter(starts).filter_map(|step| Some((&step.app, missing.get(step.app.as_str())?)));
    let lost: Vec<String> =
        lost.map(|(app, what)| format!("`{app}` could not be started as it was then: {what}")).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let message = format!("nothing was done: {}", lost.join("; "));
    Err(CliError::new(Exit::Config, message).hint("put it back, or name the other apps by `--only`"))
}

/// What would be done.
fn planned(home: &Path, back: &Back, found: Option<Recalled>) -> Result<Plan, CliError> {
    Ok(match offline::ask(home, &Request::PlanBack(back.clone()))? {
        offline::Source::Daemon(Answer::Plan { plan }) => *plan,
        offline::Source::Daemon(other) => return Err(exchange::unexpected(&other)),
        offline::Source::Store(state) => {
            let (Some(mut state), Some(found)) = (state, found) else {
                return Err(CliError::new(Exit::Unreachable, "the daemon ended meanwhile").hint("try again"));
            };
            let unwatched = offline::unwatched(home, &mut state);
            let snapshot: Snapshot = runtime::offline_snapshot(&state, &unwatched, &stood(home));
            runtime::plan_to(back, found, &snapshot, &state.key).map_err(exchange::error_of)?
        }
    })
}

fn dry_run(plan: &Plan, as_json: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
    if as_json {
        terminal.json(&render_json(plan, &|_, _| None))?;
    } else {
        terminal.print(apply::with_newline(render_text(plan, &|_, _| None, diff::style(terminal))))?;
        note_code(plan, terminal);
    }
    note_needs(plan, terminal);
    Ok(if plan.is_empty() { Exit::Done } else { Exit::Changes })
}

fn note_needs(plan: &Plan, terminal: &mut Terminal) {
    for step in &plan.steps {
        for reason in &step.reasons {
            if let Reason::NeedsNobody { app } = reason {
                terminal.note(&format!("`{}` depends on `{app}`, which there is not: nobody waits for it", step.app));
            }
        }
    }
}

/// That code does not go back is said of apps, too, that have no line in the plan.
fn note_code(plan: &Plan, terminal: &mut Terminal) {
    let since = |reason: &Reason| matches!(reason, Reason::CodeSince { .. });
    let apps = plan.steps.iter().filter(|step| step.reasons.iter().any(since));
    let names: Vec<String> = apps.map(|step| format!("`{}`", step.app)).collect();
    if !names.is_empty() {
        terminal.note(&format!(
            "only what is configured goes back: the code of {} is not what it was then, and stays as it is on disk",
            names.join(", ")
        ));
    }
}
