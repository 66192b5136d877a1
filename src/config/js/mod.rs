use std::path::Path;
use std::process::ExitCode;

use super::World;
use crate::diag::Diagnostic;
use crate::document::Node;

/// What a config program may use before it is ended.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub deadline_ms: u64,
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deadline_ms: 5_000, memory_bytes: 512 << 20 }
    }
}

/// Runs a config program in a child process and returns what it exports. Nodes have no spans.
///
/// # Errors
/// One diagnostic: a syntax error, what was thrown, a missing module, a limit that was hit.
pub fn evaluate(_entry: &Path, _world: &World, _limits: Limits) -> Result<Node, Box<Diagnostic>> {
    unimplemented!()
}

/// The child: reads its orders from stdin, evaluates, writes the result to stdout (`pmrun __eval`, hidden).
#[must_use]
pub fn child_main() -> ExitCode {
    unimplemented!()
}
