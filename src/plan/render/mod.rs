//! A plan for people, for programs and for pull requests.

mod json;
mod markdown;
mod text;

pub use json::render_json;
pub use markdown::render_markdown;
pub use text::render_text;

use super::{Change, Step, words};
use crate::spec::Field;

/// How a plan is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    pub unicode: bool,
}

/// Where a value was written: app, path within the app, to `file:line:column`.
pub type Origin<'a> = &'a dyn Fn(&str, &str) -> Option<String>;

/// One line about a step's fields.
struct Row {
    field: String,
    /// None where there is nothing old to compare with.
    old: Option<String>,
    new: String,
    place: Option<String>,
    why: &'static str,
}

/// A line a field. Of an app that is new, variables and code are named in one line each.
fn rows(step: &Step, origin: Origin<'_>) -> Vec<Row> {
    if step.action != super::Action::Create {
        return step.changes.iter().map(|change| row(change, step, origin)).collect();
    }
    let mut rows = Vec::new();
    for change in &step.changes {
        match change.field {
            Field::Env | Field::Code => {
                let (name, path) = if change.field == Field::Env { ("env", "env") } else { ("code", "fingerprint") };
                if rows.iter().any(|row: &Row| row.field == name) {
                    continue;
                }
                let of_field = step.changes.iter().filter(|other| other.field == change.field);
                let names: Vec<String> = of_field.map(entry_name).collect();
                let place = origin(&step.app, path).or_else(|| origin(&step.app, &change.path));
                rows.push(Row { field: name.to_owned(), old: None, new: some_of(&names), place, why: "" });
            }
            _ => rows.push(Row { old: None, ..row(change, step, origin) }),
        }
    }
    rows
}

fn row(change: &Change, step: &Step, origin: Origin<'_>) -> Row {
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| words::NOT_SET.to_owned());
    Row {
        field: words::field(change),
        old: Some(side(&change.old)),
        new: side(&change.new),
        place: origin(&step.app, &change.path),
        why: words::why(change, step),
    }
}

fn entry_name(change: &Change) -> String {
    let name = change.path.split_once('.').map_or(change.path.as_str(), |(_, name)| name);
    super::redact::shown_name(name)
}

/// The first few of many names.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

#[cfg(test)]
mod tests;
