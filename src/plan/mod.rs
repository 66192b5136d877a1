//! What must happen so that what runs is what is declared: decided here, done elsewhere.
//!
//! [`plan`] is total, pure and deterministic. `diff` renders its result, `apply` executes it, and a saved plan is
//! compared with a fresh one, so that what is shown is what is done.
//!
//! In reading order: `steps` is what a plan is, `planner` decides about the ecosystem and `existing` about one app,
//! `compare` holds the one list of everything an app consists of, `redact` says what may be seen of a value.

mod altered;
mod compare;
mod drift;
mod existing;
mod followers;
mod generation;
mod going_back;
mod order;
mod planner;
mod policy;
mod redact;
mod render;
mod snapshot;
mod stale;
mod steps;
mod words;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod simulate;

pub use altered::altered;
pub use compare::{compare, differs_in_code_at_most, process_visible_eq, spec_digest, values};
pub use drift::{ByWhom, Cause, Drift, DriftKind, Running, note_by_hand};
pub use followers::note_followers;
pub use generation::{Completions, Former, Formers, GENERATIONS_KEPT, Generation, Meant, Outcome, Revision, Shortfall};
pub use going_back::{Destination, EVERYTHING, note_code, plan_back};
pub use planner::plan;
pub use policy::PlanPolicy;
pub use redact::{holds_secret, is_secret_file, is_secret_name, shown_digest, shown_env, shown_text, shown_words};
pub use render::{Origin, Style, render_json, render_markdown, render_markdown_with, render_text, render_text_with};
pub use snapshot::{ActualApp, ActualInstance, Liveness, Snapshot};
pub use stale::{SavedPlan, Seal, Stale, check_stale, restrict};
pub use steps::{Action, Change, Counts, Downtime, Follower, Plan, Reason, Refusal, Step};
