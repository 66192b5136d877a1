use super::{Plan, PlanPolicy, Snapshot};
use crate::graph::Graph;

/// What must happen so that the ecosystem's apps are as the graph says.
#[must_use]
pub fn plan(_desired: &Graph, _actual: &Snapshot, _policy: &PlanPolicy) -> Plan {
    unimplemented!()
}
