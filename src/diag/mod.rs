//! What is told to people about their files: one diagnostic a problem, all of them in one run.

mod github;
mod limit;
mod mask;
mod render;
mod report;

pub use github::render_github;
pub use render::{place, render_json, render_text};
pub use report::{Code, Diagnostic, Report, Severity};
