//! What happened, for people.

use std::fmt;

use super::{What, Why};
use crate::base::{format_bytes, format_span};

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { command, pid, uid } => {
                let user = if *uid == Some(0) { ", root" } else { "" };
                write!(f, "{command} (pid {pid}{user})")
            }
            Self::Resume => f.write_str("it should run, and a daemon was started"),
            Self::CutShort => f.write_str("it should not run, and its stop had been cut short"),
            Self::Signal => f.write_str("the daemon was told to end by a signal"),
            Self::Exit { status, after_ms } => {
                write!(f, "it had ended after {}: {status} (autorestart)", format_span(*after_ms))
            }
            Self::Retry => f.write_str("it could not be started before (autorestart)"),
            Self::Remains => f.write_str("what its last process left behind ends first"),
            Self::Files { path } => write!(f, "`{path}` changed (watch)"),
            Self::Cron => f.write_str("its time had come (cron_restart)"),
            Self::Memory { bytes } => write!(f, "it used {} (max_memory_restart)", format_bytes(*bytes)),
            Self::Schedule => f.write_str("its time had come (schedule)"),
            Self::Age => f.write_str("it had run for long enough (max_age)"),
            Self::Left => {
                f.write_str("it had disconnected from its cluster by itself, and had not ended within kill_timeout")
            }
            Self::Unhealthy { reason } => write!(f, "it was unhealthy: {reason} (health_check)"),
            Self::Dependency { app } => write!(f, "`{app}`, which it depends on, is back (on_exit)"),
            Self::Needs { needs } => write!(f, "it needs {} (depends_on)", needs.join(", ")),
            Self::Unknown => f.write_str("nobody knows why"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { pid, why: Why::Needs { needs }, .. } => {
                write!(f, "started (pid {pid}): it had waited for {} (depends_on)", needs.join(", "))
            }
            Self::Started { pid, why, .. } => write!(f, "started (pid {pid}): {why}"),
            Self::Adopted { pid, .. } => write!(f, "taken over by a new daemon (pid {pid})"),
            Self::Online { after_ms } => write!(f, "online after {}", format_span(*after_ms)),
            Self::TookOver { pid, from, up } => {
                let of =
                    |pid: &Option<u32>| pid.map_or_else(|| "another process".to_owned(), |pid| format!("pid {pid}"));
                write!(f, "{} takes over from {}", of(pid), of(from))?;
                f.write_str(if *up { "" } else { ", which has ended" })
            }
            Self::Unrelieved { reason, .. } => {
                write!(f, "not replaced, its process goes on: the new one failed: {reason}")
            }
            Self::NotReady { reason } => write!(f, "errored: {reason}; it goes on running"),
            Self::Unhealthy { reason } => write!(f, "unhealthy: {reason}"),
            Self::Healthy => f.write_str("healthy again"),
            Self::Stopping { why, remains: true } => {
                write!(f, "what its last process may have left is asked to stop: {why}")
            }
            Self::Stopping { why, remains: false } => write!(f, "asked to stop: {why}"),
            Self::Killed { after_ms, remains: true } => {
                write!(
                    f,
                    "what it had left is killed: it had not ended within {} (kill_timeout)",
                    format_span(*after_ms)
                )
            }
            Self::Killed { after_ms, remains: false } => {
                write!(f, "killed: it had not ended within {} (kill_timeout)", format_span(*after_ms))
            }
            Self::Exited { status, after_ms, asked } => {
                let after = after_ms.map(|ms| format!(" after {}", format_span(ms))).unwrap_or_default();
                write!(f, "ended{after}{}: {status}", if *asked { ", as asked" } else { "" })
            }
            Self::Stopped { why } => write!(f, "stopped: {why}"),
            Self::Waiting { for_ms: Some(ms), .. } => write!(f, "starts again in {}", format_span(*ms)),
            Self::Waiting { needs, .. } => write!(f, "waits for {}", needs.join(", ")),
            Self::SpawnFailed { reason, again_ms } => {
                write!(f, "cannot be started: {reason}")?;
                again_ms.map_or(Ok(()), |ms| write!(f, "; tried again in {}", format_span(ms)))
            }
            Self::GivenUp { reason } => write!(f, "given up on: {reason}"),
            Self::Scheduled => f.write_str("waits for its time (schedule)"),
            Self::Completed { status } => write!(f, "completed: {status}"),
            Self::Created { instances, why } => {
                let plural = if *instances == 1 { "" } else { "s" };
                write!(f, "created, {instances} instance{plural}: {why}")
            }
            Self::Scaled { from, to, why } => write!(f, "scaled from {from} to {to}: {why}"),
            Self::Renamed { from, why } => write!(f, "renamed from {from}: {why}"),
            Self::Deleted { why } => write!(f, "deleted: {why}"),
            Self::DaemonStarted { pid, version, upgraded: false } => write!(f, "pmrun {version} serves (pid {pid})"),
            Self::DaemonStarted { pid, version, upgraded: true } => {
                write!(f, "pmrun {version} serves (pid {pid}) in place of the program before, which was upgraded")
            }
            Self::DaemonEnded { why } => write!(f, "ended: {why}"),
            Self::StateRebuilt { reason, aside, apps, strangers } => {
                write!(f, "the state was damaged ({reason}) and was built anew: {apps} apps")?;
                if !strangers.is_empty() {
                    write!(f, ", not known any more and left running: {}", strangers.join(", "))?;
                }
                aside.as_ref().map_or(Ok(()), |aside| write!(f, "; the damaged one is `{aside}`"))
            }
            Self::Interrupted { generation, command, auto_rollback } => {
                write!(f, "`pmrun {command}` (@{generation}) was interrupted, the daemon was killed: ")?;
                if *auto_rollback {
                    let before = generation.saturating_sub(1);
                    write!(
                        f,
                        "what it had changed stands, and nothing goes back by itself; `pmrun rollback @{before}` takes it back"
                    )
                } else {
                    f.write_str("what it had changed stands; `pmrun diff` shows what is left")
                }
            }
            Self::Lost { count } => write!(f, "{count} events before this could not be written"),
            Self::Unknown => f.write_str("something that a newer pmrun wrote (`--json` shows it)"),
        }
    }
}
