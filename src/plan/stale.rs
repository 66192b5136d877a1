use serde::{Deserialize, Serialize};

use super::Plan;

/// A plan that was shown and kept (`diff --out`), with what it takes to make it anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlan {
    /// Of this format: 1.
    pub version: u32,
    /// The config file, absolute.
    pub file: String,
    pub profile: Option<String>,
    pub only: Vec<String>,
    pub no_prune: bool,
    pub adopt: bool,
    pub allow_empty: bool,
    pub plan: Plan,
}

/// What has moved since a plan was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stale {
    pub app: String,
    /// None where the app itself came, went, or changed hands.
    pub field: Option<String>,
    pub saved: Option<String>,
    pub now: Option<String>,
}

/// Whether a plan made now does the same to the apps that the saved one touches.
///
/// # Errors
/// The first app and field that moved.
pub fn check_stale(_saved: &Plan, _now: &Plan) -> Result<(), Stale> {
    unimplemented!()
}
