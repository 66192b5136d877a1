//! What happened to apps, and why: one [`Entry`] for each thing that is worth telling, made where events are fed to
//! machines, so that nothing is forgotten. Kept in a file that outlives the daemon; the core itself remembers only why
//! the next process of each instance is started.

mod tell;
mod words;

use serde::{Deserialize, Serialize};

pub(super) use self::tell::{Heard, Moment};
use crate::base::{ExitStatus, InstanceId, Now, first};
use crate::supervisor::Cause;

/// In `PMRUN_HOME`: an entry a line, as JSON, oldest first.
pub const HISTORY: &str = "events.jsonl";
/// What came before.
pub const OLDER_HISTORY: &str = "events.jsonl.1";

/// Something that happened. Its names are those of `events --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up from one to the next; given when it is written.
    pub number: u64,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: u64,
    /// None is the daemon itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// None is the whole app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// Of two processes of the slot, where one relieves the other, it is about the one that does not serve yet, or any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside: bool,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum What {
    Started {
        pid: u32,
        /// Times it was started again until now.
        restarts: u32,
        why: Why,
        /// Where its last words will be, and how long that file was before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_log: Option<String>,
        #[serde(default)]
        error_log_offset: u64,
    },
    /// An earlier daemon started it, and it is watched from now on.
    Adopted {
        pid: u32,
        /// By its health check it is found out first whether it works.
        #[serde(default)]
        unchecked: bool,
    },
    Online {
        after_ms: u64,
    },
    /// Another process serves in its slot from now on, and the one that did goes.
    TookOver {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<u32>,
        /// False: there was no time to wait until it is.
        up: bool,
    },
    /// What was to take over goes, and its process goes on.
    Unrelieved {
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error_log: Option<String>,
        #[serde(default)]
        error_log_offset: u64,
    },
    /// It is not up in time, and goes on running.
    NotReady {
        reason: String,
    },
    Unhealthy {
        reason: String,
    },
    Healthy,
    Stopping {
        why: Why,
        /// Nothing of it runs: only what its last process may have left is meant.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        remains: bool,
    },
    /// It did not end when it was asked to.
    Killed {
        after_ms: u64,
        /// Only of what its first process has left, which had ended.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        remains: bool,
    },
    /// Its first process ended, `asked` to or not.
    Exited {
        status: ExitStatus,
        #[serde(default)]
        after_ms: Option<u64>,
        asked: bool,
    },
    Stopped {
        why: Why,
    },
    /// It is started when the time has come, or when what it depends on is as it must be.
    Waiting {
        #[serde(default)]
        for_ms: Option<u64>,
        #[serde(default)]
        needs: Vec<String>,
    },
    /// It is a job, that waits for its time.
    Scheduled,
    SpawnFailed {
        reason: String,
        /// When it is tried again.
        #[serde(default)]
        again_ms: Option<u64>,
    },
    GivenUp {
        reason: String,
    },
    Completed {
        status: ExitStatus,
    },

    // Of a whole app.
    Created {
        instances: usize,
        why: Why,
    },
    Scaled {
        from: usize,
        to: usize,
        why: Why,
    },
    Renamed {
        from: String,
        why: Why,
    },
    Deleted {
        why: Why,
    },

    // Of the daemon.
    DaemonStarted {
        pid: u32,
        version: String,
        /// The same process goes on as another program, or as a newer one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        upgraded: bool,
    },
    DaemonEnded {
        why: Why,
    },
    /// What is recorded was damaged, and was built anew from its backup and what runs.
    StateRebuilt {
        reason: String,
        /// Where the damaged one is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        aside: Option<String>,
        apps: usize,
        /// What runs and is not known any more.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        strangers: Vec<String>,
    },
    /// The daemon was killed while a command was at work.
    Interrupted {
        generation: u64,
        command: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        auto_rollback: bool,
    },
    /// So many before this could not be written.
    Lost {
        count: u64,
    },
    /// Of a newer pmrun.
    #[serde(other)]
    Unknown,
}

/// Who, or which rule, led to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "rule")]
pub enum Why {
    /// Somebody asked.
    Command {
        command: String,
        pid: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
    },
    /// It should run, and a daemon was started.
    Resume,
    /// It should not run: its stop was cut short by the last daemon's end.
    CutShort,
    /// The daemon was told to end.
    Signal,
    #[serde(rename = "autorestart")]
    Exit {
        status: ExitStatus,
        after_ms: u64,
    },
    /// It could not be started before.
    Retry,
    /// What a process left behind ends before the next is started.
    Remains,
    #[serde(rename = "watch")]
    Files {
        path: String,
    },
    #[serde(rename = "cron_restart")]
    Cron,
    Schedule,
    #[serde(rename = "max_memory_restart")]
    Memory {
        bytes: u64,
    },
    #[serde(rename = "max_age")]
    Age,
    #[serde(rename = "health_check")]
    Unhealthy {
        reason: String,
    },
    /// What it depends on was started again.
    #[serde(rename = "on_exit")]
    Dependency {
        app: String,
    },
    /// It has disconnected from its cluster, and did not end.
    #[serde(rename = "disconnected")]
    Left,
    /// What it depends on is not as it must be.
    #[serde(rename = "depends_on")]
    Needs {
        needs: Vec<String>,
    },
    #[default]
    #[serde(other)]
    Unknown,
}

impl From<&Cause> for Why {
    fn from(cause: &Cause) -> Self {
        match cause {
            Cause::Files { path } => Self::Files { path: path.clone() },
            Cause::Cron => Self::Cron,
            Cause::Schedule => Self::Schedule,
            Cause::Memory { bytes } => Self::Memory { bytes: *bytes },
            Cause::Age => Self::Age,
            Cause::Left => Self::Left,
            Cause::Unhealthy { reason } => Self::Unhealthy { reason: reason.clone() },
            Cause::Dependency { app } => Self::Dependency { app: app.clone() },
        }
    }
}

impl Why {
    /// The option that says so, where it is one.
    #[must_use]
    pub fn option(&self) -> Option<&'static str> {
        match self {
            Self::Exit { .. } | Self::Retry => Some("autorestart"),
            Self::Files { .. } => Some("watch"),
            Self::Cron => Some("cron_restart"),
            Self::Schedule => Some("schedule"),
            Self::Memory { .. } => Some("max_memory_restart"),
            Self::Age => Some("max_age"),
            Self::Unhealthy { .. } => Some("health_check"),
            Self::Left => Some("kill_timeout"),
            Self::Dependency { .. } | Self::Needs { .. } => Some("depends_on"),
            Self::Command { .. } | Self::Resume | Self::CutShort | Self::Signal | Self::Remains | Self::Unknown => None,
        }
    }
}

impl What {
    /// The state that an instance is in from then on, in the word of `list`. None where it says nothing of that.
    #[must_use]
    pub fn state(&self) -> Option<&'static str> {
        match self {
            Self::Started { .. } | Self::Adopted { unchecked: true, .. } | Self::TookOver { up: false, .. } => {
                Some("starting")
            }
            Self::Online { .. } | Self::Adopted { .. } | Self::Healthy | Self::TookOver { .. } => Some("online"),
            Self::Unhealthy { .. } => Some("unhealthy"),
            Self::Stopping { .. } | Self::Killed { .. } => Some("stopping"),
            Self::Stopped { .. } => Some("stopped"),
            Self::Waiting { .. } | Self::Scheduled => Some("waiting"),
            Self::NotReady { .. } | Self::SpawnFailed { .. } | Self::GivenUp { .. } => Some("errored"),
            Self::Completed { .. } => Some("completed"),
            Self::Exited { .. }
            | Self::Unrelieved { .. }
            | Self::Created { .. }
            | Self::Scaled { .. }
            | Self::Renamed { .. }
            | Self::Deleted { .. }
            | Self::DaemonStarted { .. }
            | Self::DaemonEnded { .. }
            | Self::StateRebuilt { .. }
            | Self::Interrupted { .. }
            | Self::Lost { .. }
            | Self::Unknown => None,
        }
    }

    /// Who, or which rule, led to it.
    #[must_use]
    pub fn why(&self) -> Option<&Why> {
        match self {
            Self::Started { why, .. }
            | Self::Stopping { why, .. }
            | Self::Stopped { why }
            | Self::Created { why, .. }
            | Self::Scaled { why, .. }
            | Self::Renamed { why, .. }
            | Self::Deleted { why }
            | Self::DaemonEnded { why } => Some(why),
            _ => None,
        }
    }
}

impl Entry {
    #[must_use]
    pub fn of_instance(id: &InstanceId, what: What, now: Now) -> Self {
        let slot = Some(first(id.slot));
        Self { number: 0, at_ms: now.wall.0, app: Some(id.app.clone()), slot, beside: id.is_second(), what }
    }

    #[must_use]
    pub fn of_app(app: &str, what: What, now: Now) -> Self {
        Self { number: 0, at_ms: now.wall.0, app: Some(app.to_owned()), slot: None, beside: false, what }
    }

    #[must_use]
    pub fn of_daemon(what: What, now: Now) -> Self {
        Self { number: 0, at_ms: now.wall.0, app: None, slot: None, beside: false, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(what: What, want: &str) {
        let now = Now::default();
        let entry = Entry { number: 7, ..Entry::of_instance(&InstanceId::new("api", 1), what, now) };
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(text, format!(r#"{{"number":7,"at_ms":0,"app":"api","slot":1,{want}}}"#));
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry, "{text}");
    }

    #[test]
    fn entries_are_lines_of_json_with_names_that_stay() {
        let status = ExitStatus::Code(1);
        check(
            What::Exited { status, after_ms: Some(12), asked: false },
            r#""event":"exited","status":{"code":1},"after_ms":12,"asked":false"#,
        );
        let why = Why::Exit { status: ExitStatus::Signal(9), after_ms: 3 };
        check(
            What::Started { pid: 5, restarts: 2, why, error_log: Some("/l".into()), error_log_offset: 9 },
            r#""event":"started","pid":5,"restarts":2,"why":{"rule":"autorestart","status":{"signal":9},"after_ms":3},"error_log":"/l","error_log_offset":9"#,
        );
        let command = Why::Command { command: "stop of `api`".into(), pid: 4, uid: Some(0) };
        check(
            What::Stopping { why: command, remains: false },
            r#""event":"stopping","why":{"rule":"command","command":"stop of `api`","pid":4,"uid":0}"#,
        );
        check(
            What::Stopped { why: Why::Memory { bytes: 3 } },
            r#""event":"stopped","why":{"rule":"max_memory_restart","bytes":3}"#,
        );
        check(What::Healthy, r#""event":"healthy""#);
        check(What::Waiting { for_ms: Some(5), needs: vec![] }, r#""event":"waiting","for_ms":5,"needs":[]"#);
    }

    #[test]
    fn what_a_newer_one_wrote_is_read_all_the_same() {
        let text = r#"{"number":1,"at_ms":2,"app":"a","slot":0,"event":"danced","steps":3,"why":{"rule":"mood"}}"#;
        assert_eq!(serde_json::from_str::<Entry>(text).unwrap().what, What::Unknown);
        let text = r#"{"number":1,"at_ms":2,"app":"a","slot":0,"event":"stopped","why":{"rule":"mood","x":1}}"#;
        assert_eq!(serde_json::from_str::<Entry>(text).unwrap().what, What::Stopped { why: Why::Unknown });
    }
}
