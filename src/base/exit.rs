use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Signal, format_bytes, format_millis};

/// How a process ended. A death by signal is never an exit code: PM2 reports both as 0 and so
/// confuses `kill -9` with success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    Code(i32),
    Signal(i32),
    /// SIGKILL that nobody sent but the kernel, as far as can be known.
    OutOfMemory(Shortage),
    /// It ended while nobody was its parent (it was adopted after a daemon's death).
    Unknown,
}

/// Who had no more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortage {
    /// The instance: its limit in bytes.
    Limit(u64),
    /// The machine, or a group that the instance's is in.
    Above,
    /// Somebody: the kernel has killed something for that since it was last asked, so long ago.
    Somewhere { within_ms: u64 },
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
            Self::OutOfMemory(shortage) => shortage.fmt(f),
            Self::Unknown => f.write_str("unknown exit status (the daemon that started it was gone)"),
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(bytes) => {
                write!(f, "out of memory: killed by the kernel at its limit of {}", format_bytes(*bytes))
            }
            Self::Above => {
                f.write_str("out of memory: killed by the kernel, as the machine or a group that it is in had no more")
            }
            Self::Somewhere { within_ms } => {
                // It says "at most", so that it may be rounded up.
                let unit = match within_ms {
                    0..1_000 => 1,
                    1_000..600_000 => 1_000,
                    600_000..36_000_000 => 60_000,
                    _ => 3_600_000,
                };
                let within = format_millis(within_ms.div_ceil(unit).saturating_mul(unit));
                write!(f, "killed by SIGKILL, and the kernel's out-of-memory killer acted in the last {within}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_named() {
        let somewhere = |within_ms| ExitStatus::OutOfMemory(Shortage::Somewhere { within_ms });
        let acted = "killed by SIGKILL, and the kernel's out-of-memory killer acted in the last";
        for (status, want) in [
            (ExitStatus::Code(1), "exit code 1".to_owned()),
            (ExitStatus::Signal(9), "killed by SIGKILL".to_owned()),
            (
                ExitStatus::OutOfMemory(Shortage::Limit(512 << 20)),
                "out of memory: killed by the kernel at its limit of 512M".to_owned(),
            ),
            (somewhere(12), format!("{acted} 12ms")),
            (somewhere(1_001), format!("{acted} 2s")),
            (somewhere(601_000), format!("{acted} 11m")),
            (somewhere(90_000_001), format!("{acted} 26h")),
        ] {
            assert_eq!(status.to_string(), want);
            let text = serde_json::to_string(&status).unwrap();
            assert_eq!(serde_json::from_str::<ExitStatus>(&text).unwrap(), status, "{text}");
        }
    }
}
