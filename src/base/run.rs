use serde::{Deserialize, Serialize};

use super::ExitStatus;

/// One run of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Wall clock, milliseconds since 1970.
    pub at_ms: u64,
    pub took_ms: u64,
    /// None where it was skipped, because the run before went on.
    pub status: Option<ExitStatus>,
}
