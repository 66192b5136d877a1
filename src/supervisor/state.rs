use std::fmt;

use serde::{Deserialize, Serialize};

use super::LaunchId;
use crate::base::{ExitStatus, Mono, format_bytes};

/// Where an instance is. Each state holds what is known in it and nothing else, so that there is no pid beside
/// "stopped" and no timer beside "online".
///
/// ```text
///              start                spawned              ready / min_uptime
///  stopped ───────────▶ launching ───────────▶ starting ───────────────────▶ online
///     ▲                  ▲     │ cannot start     │ ends                       │ ends
///     │ tree gone        │     ▼                  ▼                            ▼
///  stopping ◀─ stop ─    │   errored ◀──── too many, not wanted ──── by policy: completed
///  (any with a process)  └───────── waiting ◀──────── again, later
/// ```
///
/// What depends on an app that is not up is `blocked` instead of launched, where nobody insists.
///
/// To add a state: the compiler then asks for it in `step`, `deadline`, the views and the table test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    Stopped,
    /// It ended, and is started again when the time has come.
    Waiting {
        until: Mono,
    },
    /// It should run, and is started when what it depends on is as it must be.
    Blocked,
    /// A job between its runs.
    Scheduled,
    /// The host was asked for a process and has not answered yet.
    Launching {
        launch: LaunchId,
    },
    /// It runs, and is not up yet.
    Starting {
        launch: LaunchId,
        pid: u32,
        since: Mono,
        awaits: Awaits,
        /// What it awaits did not come in time, and this was reported.
        late: bool,
    },
    Online {
        launch: LaunchId,
        pid: u32,
        since: Mono,
        /// By its health check, where it has one.
        healthy: bool,
    },
    /// Its whole tree is on its way out; left only when nothing of it is there any more.
    Stopping {
        launch: LaunchId,
        /// None until the host has said it.
        pid: Option<u32>,
        phase: StopPhase,
        then: Then,
    },
    /// Given up on, until somebody asks.
    Errored {
        reason: ErrorReason,
    },
    /// It ended by itself in a way that its policy calls done.
    Completed {
        status: ExitStatus,
    },
}

/// What has to come before an instance is up. With nothing of it, `min_uptime` has to pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaits {
    /// It says so itself.
    pub ready: bool,
    /// Its health check passes.
    pub health: bool,
    /// It listens, as the process does that it is to relieve.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listening: bool,
}

impl Awaits {
    #[must_use]
    pub fn any(self) -> bool {
        self.ready || self.health || self.listening
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopPhase {
    /// There may be no process yet to signal; the host's answer to the launch decides.
    Spawning,
    /// It accepts no more connections and finishes those that it has; at the deadline it is asked to end.
    Draining { deadline: Mono },
    /// It was asked to end, and is killed at the deadline.
    Asked { deadline: Mono },
    /// It was killed, and is given up on at the deadline.
    Killed { deadline: Mono },
}

/// Why pmrun replaces, or starts again, what nobody asked it to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// One of its files changed; relative to what is watched.
    Files { path: String },
    /// The time of `cron_restart` has come.
    Cron,
    /// The time of `schedule` has come.
    Schedule,
    /// It uses more than `max_memory_restart`.
    Memory { bytes: u64 },
    /// It has run for `max_age`.
    Age,
    /// Its health check failed.
    Unhealthy { reason: String },
    /// What it depends on ended, and is back.
    Dependency { app: String },
    /// It has closed the channel over which it shares a port (`worker.disconnect()`), and has not ended since.
    Left,
}

impl Cause {
    /// Whether the process may finish what it is at: it works, and only is to be replaced in time.
    pub(super) fn is_patient(&self) -> bool {
        match self {
            Self::Cron | Self::Memory { .. } | Self::Age => true,
            Self::Files { .. } | Self::Schedule | Self::Unhealthy { .. } | Self::Dependency { .. } | Self::Left => {
                false
            }
        }
    }

    /// Whether it is a reason to start what does not run, as long as nobody stopped it: an app that was given up on is
    /// worth a try when its files have changed, and a job that is done runs again when its time comes.
    #[must_use]
    pub fn revives(&self) -> bool {
        match self {
            Self::Files { .. } | Self::Cron | Self::Schedule => true,
            Self::Memory { .. } | Self::Age | Self::Unhealthy { .. } | Self::Dependency { .. } | Self::Left => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files { path } => write!(f, "`{path}` changed (watch)"),
            Self::Cron => f.write_str("its time has come (cron_restart)"),
            Self::Schedule => f.write_str("its time has come (schedule)"),
            Self::Memory { bytes } => write!(f, "it used {} (max_memory_restart)", format_bytes(*bytes)),
            Self::Age => f.write_str("it has run for long enough (max_age)"),
            Self::Left => {
                f.write_str("it has disconnected from its cluster by itself, and has not ended within kill_timeout")
            }
            Self::Unhealthy { reason } => write!(f, "it was unhealthy: {reason} (health_check)"),
            Self::Dependency { app } => write!(f, "`{app}`, which it depends on, is back (on_exit)"),
        }
    }
}

/// What comes after a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    Stop,
    Restart,
    /// What ended by itself is started again after this wait: it was only what it left behind that had to end first.
    Again {
        delay_ms: u64,
    },
    /// It is started again when what it depends on is back.
    Block,
    /// It is a job from now on, that waits for its time.
    Schedule,
}

/// Why an instance was given up on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ErrorReason {
    /// It ended too soon too many times, with no long run in between.
    CrashLoop { runs: u32, status: ExitStatus },
    /// The system's own words, and when it is tried again.
    SpawnFailed { reason: String, again: Option<Mono> },
    /// It failed, and is not to be started again (`autorestart: false`).
    Exited(ExitStatus),
    /// Something of it outlived SIGKILL. It is still watched, so that no second process is put beside it; what was to
    /// come after the stop comes when it ends after all.
    WouldNotDie { launch: LaunchId, pid: Option<u32>, then: Then },
}

impl fmt::Display for ErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrashLoop { runs: 1, status } => write!(f, "it ended too soon: {status}"),
            Self::CrashLoop { runs, status } => {
                write!(f, "it ended too soon {runs} times (max_restarts), last: {status}")
            }
            Self::SpawnFailed { reason, .. } => write!(f, "cannot be started: {reason}"),
            Self::Exited(status) => write!(f, "it ended: {status} (autorestart is off)"),
            Self::WouldNotDie { pid: Some(pid), .. } => {
                write!(f, "would not die: pid {pid} or a child outlives SIGKILL")
            }
            Self::WouldNotDie { pid: None, .. } => f.write_str("would not die: something outlives SIGKILL"),
        }
    }
}

impl State {
    /// The word that `list` shows.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Waiting { .. } | Self::Blocked | Self::Scheduled => "waiting",
            Self::Launching { .. } | Self::Starting { late: false, .. } => "starting",
            Self::Online { healthy: true, .. } => "online",
            Self::Online { healthy: false, .. } => "unhealthy",
            Self::Stopping { .. } => "stopping",
            // It goes on running, and is online as soon as it says so after all.
            Self::Starting { late: true, .. } | Self::Errored { .. } => "errored",
            Self::Completed { .. } => "completed",
        }
    }

    /// The first process, where one is known to run.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Starting { pid, .. } | Self::Online { pid, .. } => Some(*pid),
            Self::Stopping { pid, .. } | Self::Errored { reason: ErrorReason::WouldNotDie { pid, .. } } => *pid,
            Self::Stopped
            | Self::Waiting { .. }
            | Self::Blocked
            | Self::Scheduled
            | Self::Launching { .. }
            | Self::Errored { .. }
            | Self::Completed { .. } => None,
        }
    }

    /// The same of another launch, where it is of one.
    #[must_use]
    pub fn of_launch(self, other: LaunchId) -> Self {
        match self {
            Self::Launching { .. } => Self::Launching { launch: other },
            Self::Starting { pid, since, awaits, late, .. } => {
                Self::Starting { launch: other, pid, since, awaits, late }
            }
            Self::Online { pid, since, healthy, .. } => Self::Online { launch: other, pid, since, healthy },
            Self::Stopping { pid, phase, then, .. } => Self::Stopping { launch: other, pid, phase, then },
            Self::Errored { reason: ErrorReason::WouldNotDie { pid, then, .. } } => {
                Self::Errored { reason: ErrorReason::WouldNotDie { launch: other, pid, then } }
            }
            Self::Stopped
            | Self::Waiting { .. }
            | Self::Blocked
            | Self::Scheduled
            | Self::Errored { .. }
            | Self::Completed { .. } => self,
        }
    }

    /// The launch that the host may still say something about.
    #[must_use]
    pub fn launch(&self) -> Option<LaunchId> {
        match self {
            Self::Launching { launch }
            | Self::Starting { launch, .. }
            | Self::Online { launch, .. }
            | Self::Stopping { launch, .. }
            | Self::Errored { reason: ErrorReason::WouldNotDie { launch, .. } } => Some(*launch),
            Self::Stopped
            | Self::Waiting { .. }
            | Self::Blocked
            | Self::Scheduled
            | Self::Errored { .. }
            | Self::Completed { .. } => None,
        }
    }

    /// Nothing happens to it any more unless somebody asks.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Stopped | Self::Completed { .. } => true,
            Self::Errored { reason } => !matches!(reason, ErrorReason::SpawnFailed { again: Some(_), .. }),
            Self::Waiting { .. }
            | Self::Blocked
            | Self::Scheduled
            | Self::Launching { .. }
            | Self::Starting { .. }
            | Self::Online { .. }
            | Self::Stopping { .. } => false,
        }
    }
}
