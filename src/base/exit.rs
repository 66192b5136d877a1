use std::fmt;

use serde::{Deserialize, Serialize};

use super::Signal;

/// How a process ended. A death by signal is never an exit code: PM2 reports both as 0 and so
/// confuses `kill -9` with success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    Code(i32),
    Signal(i32),
    /// It ended while nobody was its parent (it was adopted after a daemon's death).
    Unknown,
}

impl ExitStatus {
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match Signal::from_number(*number) {
                Some(signal) => write!(f, "killed by {signal}"),
                None => write!(f, "killed by signal {number}"),
            },
            Self::Unknown => f.write_str("unknown exit status"),
        }
    }
}
