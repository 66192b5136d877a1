//! A plan for people, for programs and for pull requests.

mod json;
mod markdown;
mod text;

pub use json::render_json;
pub use markdown::{render_markdown, render_markdown_with};
pub use text::{render_text, render_text_with};

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
        // Of a rename, the reason says all.
        let shown = step.changes.iter().filter(|change| change.field != Field::Name);
        return shown.map(|change| row(change, step, origin)).collect();
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
            _ => rows.push(Row { old: None, why: "", ..row(change, step, origin) }),
        }
    }
    rows
}

fn row(change: &Change, step: &Step, origin: Origin<'_>) -> Row {
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| words::NOT_SET.to_owned());
    let is_entry = matches!(change.field, Field::Env | Field::Code);
    // Where nothing at all is known of the app, nothing is known to be the default either.
    let is_default = !is_entry
        && step.action != super::Action::Create
        && change.new.is_some()
        && origin(&step.app, &change.path).is_none()
        && origin(&step.app, "script").is_some();
    let default = if is_default { " (default)" } else { "" };
    Row {
        field: words::field(change),
        old: Some(side(&change.old)),
        new: format!("{}{default}", side(&change.new)),
        place: place(change, step, origin).map(|place| super::redact::escaped(&place)),
        why: words::why(change, step),
    }
}

/// Where the value is written; of one that an app no longer has, where it would be: with its like, else in the app, which
/// begins with its script for all that anybody looks for.
fn place(change: &Change, step: &Step, origin: Origin<'_>) -> Option<String> {
    let like = match change.field {
        Field::Env => "env",
        Field::Code => "fingerprint",
        _ => change.field.option(),
    };
    let known = if step.action == super::Action::Create { 1 } else { 4 };
    let places = [change.path.as_str(), like, "name", "script"];
    places.into_iter().take(known).find_map(|path| origin(&step.app, path))
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
pub(super) mod tests;
