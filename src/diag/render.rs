use serde_json::Value;

use super::Report;

/// Every diagnostic with its excerpt, errors first, for a terminal.
#[must_use]
pub fn render_text(_report: &Report, _colour: bool, _unicode: bool) -> String {
    unimplemented!()
}

/// `{"version": 1, "diagnostics": [...]}`
#[must_use]
pub fn render_json(_report: &Report) -> Value {
    unimplemented!()
}
