use serde_json::Value;

use super::Plan;

/// How a plan is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    pub unicode: bool,
}

/// Where a value was written: app, path within the app, to `file:line:column`.
pub type Origin<'a> = &'a dyn Fn(&str, &str) -> Option<String>;

/// For people: a line an app, a line a field, the counts last.
#[must_use]
pub fn render_text(_plan: &Plan, _origin: Origin<'_>, _style: Style) -> String {
    unimplemented!()
}

/// For programs: the format of `schema/plan.schema.json`.
#[must_use]
pub fn render_json(_plan: &Plan, _origin: Origin<'_>) -> Value {
    unimplemented!()
}

/// For a comment on a pull request.
#[must_use]
pub fn render_markdown(_plan: &Plan, _origin: Origin<'_>) -> String {
    unimplemented!()
}
