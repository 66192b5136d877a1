//! What is told to people about their files: one diagnostic a problem, all of them in one run.

mod codes;
mod github;
mod limit;
mod mask;
mod render;
mod report;

pub use codes::{Code, Page, Sample};
pub use github::render_github;
pub use render::{excerpt, is_computed, place, render_json, render_text};
pub use report::{Diagnostic, Report, Severity};
