//! The option table: one row an option, every app attribute of PM2 among them.

mod files;
mod lifecycle;
mod meaningless;
mod meant;
mod process;
mod watch;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use meant::meant;

use super::{Shape, Value};
use crate::spec::Field;

/// One option of an app.
#[derive(Debug)]
pub struct Row {
    /// The canonical name. Each name and alias that has a `_` is also known in camelCase, as in PM2.
    pub name: &'static str,
    /// Other names; where several are written the canonical one wins, then these in their order.
    pub aliases: &'static [&'static str],
    pub value: Value,
    /// What holds without it, for people; empty is nothing.
    pub default: &'static str,
    pub doc: &'static str,
    /// Values that people write, as JSON: for editors and the reference.
    pub examples: &'static [&'static str],
    pub status: Status,
    /// The field that it sets, whose [`Field::impact`] says what a change costs. None where it works on another
    /// option's field, or on none.
    pub field: Option<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Honoured,
    /// PM2's, and why it has no meaning here. Using it is worth a line of information.
    Meaningless(&'static str),
}

/// The key of an overlay less the profile's name.
pub const OVERLAY_PREFIX: &str = "env_";

/// Titles, and the options below each, as the documentation shows them.
const GROUPS: [(&str, &[Row]); 5] = [
    ("What is run", process::ROWS),
    ("Start, restart, stop", lifecycle::ROWS),
    ("Restart when files change", watch::ROWS),
    ("Files", files::ROWS),
    ("Accepted, and without meaning here", meaningless::ROWS),
];

pub fn rows() -> impl Iterator<Item = &'static Row> + Clone {
    groups().flat_map(|(_, rows)| rows)
}

pub(super) fn groups() -> impl Iterator<Item = (&'static str, &'static [Row])> + Clone {
    GROUPS.into_iter()
}

/// The option that a key means, and the key's rank among the option's names: 0 is the canonical one, each name comes
/// before its camelCase twin.
#[must_use]
pub fn find(key: &str) -> Option<(&'static Row, usize)> {
    BY_KEY.get(key).copied().or_else(|| is_overlay(key).then_some((&**OVERLAY, 0)))
}

/// Every way to write an option, for suggestions.
fn keys() -> impl Iterator<Item = &'static str> {
    rows().flat_map(Row::names)
}

impl Row {
    /// The canonical name, then the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The names after the canonical one that a file may write, camelCase spellings among them.
    pub(super) fn other_spellings(&self) -> impl Iterator<Item = String> + use<> {
        let (canonical, is_overlay) = (self.name, self.is_overlay());
        let spellings = self.names().flat_map(|name| [name.to_owned(), camel_case(name)]);
        let mut seen = vec![canonical.to_owned()];
        spellings.filter(move |spelling| {
            let fresh = !is_overlay && !seen.contains(spelling);
            seen.push(spelling.clone());
            fresh
        })
    }

    #[must_use]
    pub fn is_overlay(&self) -> bool {
        matches!(self.value, Value::Overlay(_))
    }

    /// Whether `false` says that it is not set: what `condition && value` comes to. PM2 drops most of such keys. Every
    /// app has a name and a script, so that there it is a mistake.
    pub(super) fn false_is_unset(&self) -> bool {
        !self.value.shapes().contains(&Shape::Boolean) && !matches!(self.name, "name" | "script")
    }
}

static BY_KEY: LazyLock<HashMap<String, (&'static Row, usize)>> = LazyLock::new(|| {
    let mut map = HashMap::new();
    for row in rows().filter(|row| !row.is_overlay()) {
        for (at, name) in row.names().enumerate() {
            // A name without `_` is its own twin.
            map.insert(camel_case(name), (row, 2 * at + 1));
            map.insert(name.to_owned(), (row, 2 * at));
        }
    }
    map
});

static OVERLAY: LazyLock<&'static Row> =
    LazyLock::new(|| rows().find(|row| row.is_overlay()).expect("the table has a row for `env_<name>`"));

fn is_overlay(key: &str) -> bool {
    key.strip_prefix(OVERLAY_PREFIX).is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
}

/// `max_memory_restart` to `maxMemoryRestart`.
pub(super) fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut text, word| {
        let mut chars = word.chars();
        text.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        text.push_str(chars.as_str());
        text
    })
}

/// An empty string is PM2's way of not setting an option that has a default.
fn not_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// The same where the default is in place already.
fn set_unless_empty(target: &mut String, text: String) {
    if !text.is_empty() {
        *target = text;
    }
}

/// Within the row's range, so never saturated.
fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
