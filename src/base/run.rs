use serde::{Deserialize, Serialize};

use super::ExitStatus;

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Wall clock, milliseconds since 1970.
    pub at_ms: u64,
    pub took_ms: u64,
    /// None where it was skipped, because the run before went on, or could not be started.
    pub status: Option<ExitStatus>,
    /// Why it could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
