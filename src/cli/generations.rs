//! `history`: what was asked for, by whom, and what came of it. And what changed between two of those moments.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::error::CliError;
use super::exit::Exit;
use super::terminal::{Colour, Terminal, harmless};
use super::{apply, arguments, diff, exchange, offline, surroundings, table};
use crate::plan::{Formers, Generation, Outcome, Plan, render_json, render_markdown, render_text};
use crate::platform::{time_zone, user_name};
use crate::rpc::wire::{Answer, Request};
use crate::runtime::generation::{self, former_of};
use crate::runtime::{Recall, RecallError, Recalled, State};

/// How many are listed when nothing else is said.
const LISTED: u64 = 20;

/// What knows what was.
enum Known {
    Daemon(Answer),
    /// And what is recorded now.
    Store(Recalled, Option<State>),
}

pub(super) fn run(arguments: &arguments::History, terminal: &mut Terminal) -> Result<Exit, CliError> {
    match &arguments.generation {
        Some(written) => one(number(written)?, arguments.json, terminal),
        None => list(arguments.lines.unwrap_or(LISTED), arguments.json, terminal),
    }
}

/// `@7`, as a number.
pub(super) fn number(written: &str) -> Result<u64, CliError> {
    parse(written).ok_or_else(|| {
        CliError::usage(format!("`{written}` is no generation"))
            .hint("one is written as `@7`; `pmrun history` lists them")
    })
}

/// None where it is something else, like a file.
pub(super) fn parse(written: &str) -> Option<u64> {
    written.strip_prefix('@')?.parse().ok()
}

fn list(count: u64, as_json: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let mut remembers = true;
    let (generations, at_work) = match ask(&home, &Request::History { count }, &Recall::Last { count }, terminal)? {
        Known::Daemon(Answer::History { generations, at_work }) => (generations, at_work),
        Known::Daemon(other) => return Err(exchange::unexpected(&other)),
        Known::Store(found, state) => {
            remembers = state.is_none_or(|state| state.generation == 0);
            (found.generations, None)
        }
    };
    if as_json {
        let all: Vec<Value> = generations.iter().map(|one| value(one, at_work == Some(one.number))).collect();
        terminal.json(&json!({ "version": 1, "generations": all }))?;
        return Ok(Exit::Done);
    }
    if generations.is_empty() {
        terminal.say(if remembers { "nothing was ever changed" } else { "what was asked for before is not recorded" });
        return Ok(Exit::Done);
    }
    let rows = generations.iter().rev().map(|one| {
        let (hue, result) = result(one, at_work == Some(one.number));
        let cell = |text: String| (harmless(text.as_bytes(), false), None);
        vec![
            cell(format!("@{}", one.number)),
            cell(when(one.at_ms)),
            cell(user(one.uid)),
            cell(short(&one.command)),
            cell(source(one)),
            (harmless(result.as_bytes(), false), Some(hue)),
        ]
    });
    let columns =
        [("", false), ("when", false), ("who", false), ("command", false), ("file", false), ("result", false)];
    terminal.print(table::draw(&columns, rows.collect(), terminal.colour))?;
    Ok(Exit::Done)
}

fn one(number: u64, as_json: bool, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let (generation, at_work, plan) =
        match ask(&home, &Request::Generation { number }, &Recall::One { number }, terminal)? {
            Known::Daemon(Answer::Generation { generation, at_work, plan }) => (generation, at_work, *plan),
            Known::Daemon(other) => return Err(exchange::unexpected(&other)),
            Known::Store(found, state) => {
                let key = state.map(|state| state.key).ok_or_else(nothing)?;
                let plan = generation::step_to(number, &found.formers, &key);
                (found.generations.into_iter().next().map(Box::new), false, plan)
            }
        };
    let Some(mut generation) = generation else {
        terminal.say(format!("@{number} is what there was before anything was remembered"));
        return Ok(Exit::Done);
    };
    // What was shown then says why; of what was no plan it is said what it changed.
    let plan = generation.plan.take().map_or(plan, |plan| *plan);
    if as_json {
        let mut value = value(&generation, at_work);
        value["plan"] = render_json(&plan, &|_, _| None);
        terminal.json(&json!({ "version": 1, "generation": value }))?;
        return Ok(Exit::Done);
    }
    let (_, result) = result(&generation, at_work);
    let mut lines = vec![
        format!("@{number}  {}  {} (pid {})", when(generation.at_ms), user(generation.uid), generation.pid),
        format!("command  pmrun {}", generation.command),
    ];
    if generation.file.is_some() {
        lines.push(format!("file     {}", source_in_full(&generation)));
    }
    lines.push(format!("result   {result}"));
    for shortfall in shortfalls(generation.result.as_ref()) {
        let slot = shortfall.slot.map(|slot| format!(":{slot}")).unwrap_or_default();
        lines.push(format!("         {}{slot}: {}", shortfall.app, shortfall.reason));
    }
    let head: String = lines.iter().map(|line| harmless(line.as_bytes(), false) + "\n").collect();
    let text = render_text(&plan, &|_, _| None, diff::style(terminal));
    terminal.print(format!("{head}\n{}", apply::with_newline(text)))?;
    Ok(Exit::Done)
}

/// What changed from one to another, or to now.
pub(super) fn changes(
    old: u64,
    new: Option<u64>,
    arguments: &arguments::Diff,
    terminal: &mut Terminal,
) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let plan: Plan = match ask(&home, &Request::Between { old, new }, &Recall::Two { old, new }, terminal)? {
        Known::Daemon(Answer::Plan { plan }) => *plan,
        Known::Daemon(other) => return Err(exchange::unexpected(&other)),
        Known::Store(found, state) => {
            let state = state.ok_or_else(nothing)?;
            let now: Formers = state.apps.iter().map(|(name, record)| (name.clone(), former_of(record))).collect();
            generation::between(new, found.formers, now, &state.key)
        }
    };
    if arguments.json {
        terminal.json(&render_json(&plan, &|_, _| None))?;
    } else if arguments.markdown {
        terminal.print(apply::with_newline(render_markdown(&plan, &|_, _| None)))?;
    } else {
        terminal.print(apply::with_newline(render_text(&plan, &|_, _| None, diff::style(terminal))))?;
    }
    Ok(if plan.is_empty() { Exit::Done } else { Exit::Changes })
}

/// By the daemon, or where none runs from what is stored.
fn ask(home: &Path, request: &Request, wanted: &Recall, terminal: &mut Terminal) -> Result<Known, CliError> {
    Ok(match offline::show_past(home, request, wanted, terminal)? {
        offline::Past::Daemon(answer) => Known::Daemon(answer),
        offline::Past::Store(found, state) => Known::Store(found.map_err(|error| unknown(&error))?, state),
    })
}

fn nothing() -> CliError {
    unknown(&RecallError::None)
}

pub(super) fn unknown(error: &RecallError) -> CliError {
    let shown = CliError::error(error.to_string());
    if matches!(error, RecallError::Unknown { .. }) { shown.hint("`pmrun history` lists them") } else { shown }
}

fn value(generation: &Generation, at_work: bool) -> Value {
    let mut value = json!(generation);
    value["user"] = json!(user_name(generation.uid));
    value["at_work"] = json!(at_work);
    // What has none was cut off by the end of its daemon.
    if generation.result.is_none() && !at_work {
        value["result"] = json!({ "outcome": "interrupted" });
    }
    if let Some(entries) = value.as_object_mut() {
        entries.remove("plan");
    }
    value
}

fn user(uid: u32) -> String {
    user_name(uid).unwrap_or_else(|| uid.to_string())
}

fn when(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    let zone = time_zone(None).unwrap_or(TimeZone::UTC);
    at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// As much of a command as fits a line among others.
fn short(command: &str) -> String {
    const LONGEST: usize = 48;
    if command.chars().count() <= LONGEST {
        return command.to_owned();
    }
    command.chars().take(LONGEST - 3).collect::<String>() + "..."
}

/// `eco.json@1a2b3c4d+`, the plus where something was not committed.
fn source(generation: &Generation) -> String {
    let Some(file) = generation.file.as_deref() else { return "-".to_owned() };
    let name = file.rsplit('/').next().unwrap_or(file);
    format!("{name}{}", revision(generation, 8))
}

fn source_in_full(generation: &Generation) -> String {
    format!("{}{}", generation.file.as_deref().unwrap_or("-"), revision(generation, 40))
}

fn revision(generation: &Generation, digits: usize) -> String {
    let of = |revision: &crate::plan::Revision| {
        let commit: String = revision.commit.chars().take(digits).collect();
        format!("@{commit}{}", if revision.dirty { "+" } else { "" })
    };
    generation.revision.as_ref().map(of).unwrap_or_default()
}

fn shortfalls(result: Option<&Outcome>) -> &[crate::plan::Shortfall] {
    match result {
        Some(Outcome::Failed { failed, .. } | Outcome::RolledBack { failed, .. }) => failed,
        _ => &[],
    }
}

/// In a few words.
fn result(generation: &Generation, at_work: bool) -> (Colour, String) {
    let apps = |failed: &[crate::plan::Shortfall]| {
        let mut names: Vec<&str> = failed.iter().map(|one| one.app.as_str()).collect();
        names.dedup();
        names.join(", ")
    };
    match &generation.result {
        None if at_work => (Colour::Yellow, "at work".to_owned()),
        None | Some(Outcome::Interrupted) if generation.auto_rollback => (
            Colour::Yellow,
            format!(
                "interrupted: the daemon was killed, and nothing went back (`pmrun rollback @{}` does)",
                generation.number.saturating_sub(1)
            ),
        ),
        None | Some(Outcome::Interrupted) => (Colour::Yellow, "interrupted: the daemon was killed".to_owned()),
        Some(Outcome::Done { touched }) => (Colour::Green, format!("done ({touched})")),
        Some(Outcome::Failed { failed, .. }) => (Colour::Red, format!("failed: {}", apps(failed))),
        Some(Outcome::Cancelled) => (Colour::Yellow, "cancelled".to_owned()),
        Some(Outcome::CutShort) => (Colour::Yellow, "cut short: the daemon was told to end".to_owned()),
        Some(Outcome::RolledBack { to, failed, left }) if left.is_empty() => {
            (Colour::Red, format!("rolled back to @{to}, as this failed: {}", apps(failed)))
        }
        Some(Outcome::RolledBack { to, left, .. }) => {
            (Colour::Red, format!("rolled back to @{to}, but this did not come up again: {}", apps(left)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Revision, Shortfall};

    fn generation(result: Option<Outcome>) -> Generation {
        Generation {
            number: 7,
            at_ms: 0,
            uid: 0,
            pid: 1,
            command: "apply".to_owned(),
            by_hand: false,
            ecosystem: None,
            file: Some("/srv/eco.json".to_owned()),
            revision: Some(Revision { commit: "0123456789abcdef".repeat(3), dirty: true }),
            auto_rollback: false,
            plan: None,
            result,
        }
    }

    #[test]
    fn a_generation_is_written_with_its_sign() {
        assert_eq!((parse("@7"), parse("7"), parse("@"), parse("@x"), parse("@-1")), (Some(7), None, None, None, None));
        assert_eq!(number("seven").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn results_are_a_few_words() {
        let api = |reason: &str| vec![Shortfall { app: "api".into(), slot: Some(0), reason: reason.into() }];
        let table = [
            (None, true, "at work"),
            (None, false, "interrupted: the daemon was killed"),
            (Some(Outcome::Interrupted), false, "interrupted: the daemon was killed"),
            (Some(Outcome::Done { touched: 3 }), false, "done (3)"),
            (Some(Outcome::Failed { touched: 3, failed: api("x") }), false, "failed: api"),
            (Some(Outcome::Cancelled), false, "cancelled"),
            (
                Some(Outcome::RolledBack { to: 6, failed: api("x"), left: vec![] }),
                false,
                "rolled back to @6, as this failed: api",
            ),
            (
                Some(Outcome::RolledBack { to: 6, failed: vec![], left: api("x") }),
                false,
                "rolled back to @6, but this did not come up again: api",
            ),
        ];
        for (outcome, at_work, want) in table {
            assert_eq!(result(&generation(outcome), at_work).1, want);
        }
        let all_or_nothing = Generation { auto_rollback: true, ..generation(Some(Outcome::Interrupted)) };
        let want = "interrupted: the daemon was killed, and nothing went back (`pmrun rollback @6` does)";
        assert_eq!(result(&all_or_nothing, false).1, want);
    }

    #[test]
    fn a_file_is_shown_with_its_revision() {
        assert_eq!(source(&generation(None)), "eco.json@01234567+");
        assert_eq!(short(&"x".repeat(60)).len(), 48);
    }

    #[test]
    fn programs_see_no_plan_in_a_list_and_an_interruption_as_a_result() {
        let value = value(&generation(None), false);
        assert_eq!(value["result"]["outcome"], "interrupted");
        assert!(value.get("plan").is_none());
        assert_eq!(self::value(&generation(None), true)["result"], Value::Null);
    }
}
