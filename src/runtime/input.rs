use std::sync::Arc;

use serde_json::Value;

use super::{RecallError, Recalled, Stranger};
use crate::base::{ExitStatus, Now};
use crate::rpc::wire::Call;
use crate::spec::{AppSpec, Fingerprint};
use crate::supervisor::LaunchId;

/// A connection to the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// A save that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Everything that can happen to the daemon.
#[derive(Clone, Debug)]
pub enum Input {
    Call {
        client: ClientId,
        call: Call,
    },
    /// It takes back what it asked for: what was not begun is not begun, and it is told so.
    Cancel {
        client: ClientId,
    },
    /// It hung up; what it asked for and was not begun is not begun.
    ClientGone {
        client: ClientId,
    },
    Spawned {
        launch: LaunchId,
        pid: u32,
        error_log_offset: u64,
        /// When: of many that are started together, not all are heard of at once.
        at: Now,
    },
    /// The reason in words, with the system's own.
    SpawnFailed {
        launch: LaunchId,
        reason: String,
    },
    /// The code that it was started from is other than what was known of it: the answer to `Code`, where there is one. May come
    /// after its end.
    Code {
        launch: LaunchId,
        of: Arc<AppSpec>,
        found: Fingerprint,
    },
    /// The first process ended. Comes exactly once a launch that was spawned. `left`: others of its launch are still there.
    Exited {
        launch: LaunchId,
        status: ExitStatus,
        left: bool,
    },
    /// After a `Stop` or `Kill`: nothing of the launch is left, descendants included.
    TreeGone {
        launch: LaunchId,
    },
    /// It said that it is ready.
    Ready {
        launch: LaunchId,
    },
    /// It can be connected to.
    Listening {
        launch: LaunchId,
    },
    /// It has closed its channel: as a worker that was asked to drain does when it has finished what it was at.
    Drained {
        launch: LaunchId,
    },
    /// What `Stop` and `StopByMessage` had for these has gone out to them.
    Told {
        launches: Vec<LaunchId>,
    },
    /// What a health check found. Failures always, passes until it is plain that it passes.
    Probed {
        launch: LaunchId,
        result: Result<(), String>,
    },
    /// What it says to whoever listens.
    Said {
        launch: LaunchId,
        message: Box<Value>,
    },
    /// What of its `limits` is not in force, and why; none where all are. Comes after each start with some, and when
    /// they have changed.
    Limits {
        launch: LaunchId,
        note: Option<String>,
    },
    /// What a process uses with all that it has started; the answer to `Measure`.
    Memory {
        launch: LaunchId,
        bytes: u64,
    },
    Saved {
        ticket: Ticket,
        result: Result<(), String>,
    },
    Recalled {
        ticket: Ticket,
        result: Result<Box<Recalled>, RecallError>,
    },
    /// Files that are watched for an app have changed: `count` times in all, these among them, relative to its folder.
    FilesChanged {
        app: String,
        paths: Vec<String>,
        count: usize,
        /// There were other paths as well.
        more: bool,
    },
    /// Why not all files of an app can be watched, or that they are again.
    WatchTrouble {
        app: String,
        trouble: Option<String>,
    },
    /// Of what nobody knows and runs all the same, these are left.
    Strangers {
        left: Vec<Stranger>,
    },
    /// A deadline may have passed (`Core::deadline`).
    Tick,
    /// SIGTERM or SIGINT to the daemon.
    Terminate,
    /// As `Terminate`, and nobody is waited for any more: what still runs is killed.
    Kill,
}
