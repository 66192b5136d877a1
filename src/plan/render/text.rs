use std::fmt::Write as _;

use super::{Origin, Row, Style, rows};
use crate::plan::redact::shown_name;
use crate::plan::{Action, Cause, Plan, Step, words};

/// For people: a line an app, a line a field, the counts last.
///
/// Apps that stay as they are are only counted.
#[must_use]
pub fn render_text(plan: &Plan, origin: Origin<'_>, style: Style) -> String {
    render_text_with(plan, &[], origin, style)
}

/// With lines about drift, which stand with the steps that come of it: apart from what somebody has edited.
#[must_use]
pub fn render_text_with(plan: &Plan, drift: &[String], origin: Origin<'_>, style: Style) -> String {
    let mut text = String::new();
    let steps = || plan.steps.iter().filter(|step| !step.is_keep());
    let (drifted, edited): (Vec<&Step>, Vec<&Step>) = steps().partition(|step| plan.cause(step) == Some(Cause::Drift));
    let heads = !drifted.is_empty() || !drift.is_empty();
    if heads && !edited.is_empty() {
        text.push_str(&painted("Your edit:\n", "1", style));
    }
    for step in edited {
        app(&mut text, step, origin, style);
    }
    if heads {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&painted("Drift, changed since it was applied:\n", "1", style));
    }
    for step in drifted {
        app(&mut text, step, origin, style);
    }
    for line in drift {
        let _ = writeln!(text, "  {line}");
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&words::counts(plan));
    text.push('\n');
    text
}

fn app(text: &mut String, step: &Step, origin: Origin<'_>, style: Style) {
    let marker = words::marker(step, style.unicode);
    let head = format!("{marker} {}", shown_name(&step.app));
    text.push_str(&painted(&head, colour(step.action), style));
    text.push_str("  ");
    text.push_str(&words::summary(step));
    text.push('\n');
    for cause in step.reasons.iter().filter_map(|reason| words::cause(reason, step)) {
        let _ = writeln!(text, "    {cause}");
    }
    for more in words::follows(step).into_iter().chain(words::remedy(step)) {
        let _ = writeln!(text, "    {more}");
    }
    let rows = rows(step, origin);
    let values: Vec<String> = rows.iter().map(value).collect();
    let width = values.iter().map(|value| value.chars().count()).filter(|width| *width <= 60).max().unwrap_or(0);
    for (row, value) in rows.iter().zip(&values) {
        let notes = notes(row);
        if notes.is_empty() {
            let _ = writeln!(text, "    {value}");
        } else {
            let _ = writeln!(text, "    {value:width$}  {}", painted(&notes, "2", style));
        }
    }
}

fn value(row: &Row) -> String {
    match &row.old {
        Some(old) => format!("{}: {old} -> {}", row.field, row.new),
        None => format!("{}: {}", row.field, row.new),
    }
}

/// Where it is written and why that matters.
fn notes(row: &Row) -> String {
    let why = if row.why.is_empty() { String::new() } else { format!("({})", row.why) };
    match &row.place {
        Some(place) if why.is_empty() => place.clone(),
        Some(place) => format!("{place}  {why}"),
        None => why,
    }
}

/// The parameter of an ANSI colour sequence.
fn colour(action: Action) -> &'static str {
    match action {
        Action::Create => "1;32",
        Action::Delete => "1;31",
        Action::Restart | Action::Stop => "1;33",
        Action::Start => "32",
        Action::Scale | Action::Update | Action::Rename => "36",
        Action::Keep => "2",
    }
}

fn painted(text: &str, colour: &str, style: Style) -> String {
    if style.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}
