use super::State;
use crate::plan::Snapshot;
use crate::rpc::wire::{AppView, InstanceView};
use crate::supervisor::Layout;

/// What `list` shows when no daemon runs: everything known, nothing running.
#[must_use]
pub fn offline_views(_state: &State, _layout: &Layout) -> Vec<InstanceView> {
    unimplemented!()
}

/// What `show` shows when no daemon runs. Secrets in the specs are hidden unless `reveal`.
#[must_use]
pub fn offline_apps(_state: &State, _layout: &Layout, _reveal: bool) -> Vec<AppView> {
    unimplemented!()
}

/// What `diff` compares with when no daemon runs.
#[must_use]
pub fn offline_snapshot(_state: &State) -> Snapshot {
    unimplemented!()
}
