use std::fmt::Write as _;

use super::description;
use crate::schema::options::{self, Row};
use crate::schema::parts::{HEALTH_CHECK, NEED, Part};
use crate::schema::value::Value;
use crate::spec::{Impact, WatchOption};

const HEAD: &str = "\
# Options of an app

Made from pmrun's option table; `pmrun schema --format markdown` prints it. Each name that has a `_` is also known in
camelCase. `null` is as if the option were not there, and so is `false` where it is not among the values (but at `name` and
`script`): what `condition && value` comes to.
";

/// A reference of all options, in the table's order.
#[must_use]
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    for (title, rows) in options::groups() {
        let _ = write!(text, "\n## {title}\n");
        for row in rows {
            text += &option(row);
        }
    }
    text
}

fn option(row: &Row) -> String {
    let mut text = format!("\n### `{}`\n\n{}\n\n", row.name, description(row));
    let _ = writeln!(text, "* Value: {}", row.value.expects());
    for (value, doc) in row.value.choices().iter().filter(|(value, _)| !value.is_empty()) {
        let _ = writeln!(text, "  * `{value}`: {doc}");
    }
    for (name, doc) in parts(&row.value) {
        let _ = writeln!(text, "  * `{name}`: {doc}");
    }
    if super::types::default(row).is_some() {
        let _ = writeln!(text, "* Default: `{}`", row.default);
    }
    if !row.aliases.is_empty() {
        let names: Vec<String> = row.aliases.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(text, "* Also written: {}", names.join(", "));
    }
    if !row.examples.is_empty() {
        let examples: Vec<String> = row.examples.iter().map(|example| format!("`{example}`")).collect();
        let _ = writeln!(text, "* Examples: {}", examples.join(", "));
    }
    if let Some(field) = row.field {
        let _ = writeln!(text, "* A change of it: {}", cost(field.impact()));
    }
    text
}

/// Of what an object consists, and what each of it is where it is not written.
fn parts(value: &Value) -> Vec<(&'static str, &'static str)> {
    let of = |parts: &'static [Part]| parts.iter().map(|part| (part.name, part.doc)).collect();
    match value {
        Value::HealthCheck(_) => of(HEALTH_CHECK),
        Value::Needs(_) => of(NEED),
        Value::WatchOptions(_) => WatchOption::ALL.iter().map(|(name, _, doc)| (*name, *doc)).collect(),
        _ => Vec::new(),
    }
}

fn cost(impact: Impact) -> &'static str {
    match impact {
        Impact::None => "moves nothing",
        Impact::Live => "holds at once, no process notices",
        Impact::Scale => "starts or stops instances, no other is touched",
        Impact::Reload => "replaces the app's processes",
        Impact::Recreate => "stops and starts the app",
    }
}
