//! What must happen so that what runs is what is declared: decided here, done elsewhere.
//!
//! [`plan`] is total, pure and deterministic. `diff` renders its result, `apply` executes it, and a saved plan is
//! compared with a fresh one, so that what is shown is what is done.

mod compare;
mod planner;
mod policy;
mod redact;
mod render;
mod snapshot;
mod stale;
mod steps;

pub use compare::compare;
pub use planner::plan;
pub use policy::PlanPolicy;
pub use redact::{holds_secret, is_secret_name, shown_env, shown_text};
pub use render::{Origin, Style, render_json, render_markdown, render_text};
pub use snapshot::{ActualApp, ActualInstance, Liveness, Snapshot};
pub use stale::{SavedPlan, Stale, check_stale};
pub use steps::{Action, Change, Counts, Plan, Reason, Refusal, Step};
