use crate::base::Key;
use crate::graph::Selection;

/// What the user allows and asks for besides the file.
#[derive(Clone, Debug)]
pub struct PlanPolicy {
    pub selection: Selection,
    /// Delete apps of this ecosystem that the file no longer has. Never with a selection.
    pub prune: bool,
    /// Take over apps that another ecosystem (or nobody) owns.
    pub adopt: bool,
    /// Accept a file without apps.
    pub allow_empty: bool,
    /// For the digests that stand for secret values.
    pub key: Key,
}

impl PlanPolicy {
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { selection: Selection::All, prune: true, adopt: false, allow_empty: false, key }
    }
}
