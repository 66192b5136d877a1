use std::path::Path;

use super::World;
use crate::diag::Report;
use crate::document::Node;
use crate::graph::Graph;

/// A graph when the file has no errors, and everything there is to say about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub graph: Option<Graph>,
    pub report: Report,
}

/// Reads, decodes, overlays and validates an ecosystem file. Never stops at the first problem.
#[must_use]
pub fn load(_entry: &Path, _profile: Option<&str>, _world: &World) -> Loaded {
    unimplemented!()
}

/// Only what the file says (`render --raw`).
#[must_use]
pub fn load_document(_entry: &Path, _world: &World) -> (Option<Node>, Report) {
    unimplemented!()
}

/// One app that is described by a command line instead of a file, as `{"apps": [node]}` in `entry_dir` would give it.
#[must_use]
pub fn load_node(_entry_dir: &Path, _node: Node, _world: &World) -> Loaded {
    unimplemented!()
}
