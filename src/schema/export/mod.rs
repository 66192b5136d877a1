//! The option table for editors and for people: a JSON Schema, TypeScript types, a reference.
//!
//! The schema accepts what the decoder accepts without an error and without an unknown option; a test generates
//! configs and holds them against each other. These rules a schema cannot say, or would say so that no editor could
//! explain them:
//!
//! * what the machine decides: that a script, folder or interpreter is there;
//! * what apps are to each other: unique names, `depends_on` and `renamed_from`, the value that `increment_var` counts;
//! * an option that is written under two of its names: one counts, and the other is not looked at;
//! * an unknown option that is `null`: passed over, as is every `null` in an app;
//! * numbers in quotes: their range (`"70000"` as a port), and spellings other than digits (`"1e3"`, `"+5"`);
//! * fractions so long that they round to a whole number of bytes or milliseconds;
//! * which letters of the rarer scripts an account's name may have;
//! * a name's length in bytes;
//! * the `name` of a `package.json` whose `pm2` has a name of its own.

mod json;
mod markdown;
mod types;
mod typescript;

#[cfg(test)]
mod tests;

pub use json::json_schema;
pub use markdown::markdown;
pub use typescript::typescript;

use super::options::{Row, Status};
use super::value::Value;

/// What an editor shows of an option.
fn description(row: &Row) -> String {
    described(row, row.doc.to_owned())
}

/// The same with the units and ranges that a type does not say.
fn description_of_value(row: &Row) -> String {
    let mut text = row.doc.to_owned();
    if is_more_than_a_type(&row.value) {
        let expects = row.value.expects();
        let (first, rest) = expects.split_at(1);
        text.extend([" ", &first.to_uppercase(), rest, "."]);
    }
    described(row, text)
}

fn is_more_than_a_type(value: &Value) -> bool {
    matches!(
        value,
        Value::Whole { .. }
            | Value::Millis(_)
            | Value::Bytes(_)
            | Value::Cron(_)
            | Value::Account(_)
            | Value::Umask(_)
            | Value::ExitCodes(_)
    )
}

fn described(row: &Row, mut text: String) -> String {
    if !row.default.is_empty() && types::default(row).is_none() {
        text.extend([" Default: ", row.default, "."]);
    }
    match row.status {
        Status::Honoured => {}
        Status::Meaningless(why) => text.extend([" Means nothing here: ", why, "."]),
    }
    text
}
