use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::InstanceId;

/// One attempt to run an instance. Never used twice, unlike a pid: every event that comes back from the
/// operating system names the launch it is about, so that a late one cannot be taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaunchId(pub u64);

/// Everything the host needs to start a process; it decides nothing itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    pub id: LaunchId,
    pub instance: InstanceId,
    /// Absolute, or to be found in the new process's PATH.
    pub program: String,
    /// Without the program itself.
    pub args: Vec<String>,
    pub cwd: String,
    /// What the invoking shell had, already filtered. Shared by all that were started by one command.
    pub ambient: Arc<BTreeMap<String, String>>,
    /// Declared and computed variables; they win over `ambient`.
    pub env: BTreeMap<String, String>,
    pub out: Output,
    pub error: Output,
    pub pid_file: String,
    /// Give it Node's channel on a socket pair (`NODE_CHANNEL_FD`).
    pub channel: bool,
    /// Give it `NOTIFY_SOCKET`.
    pub notify: bool,
    /// When its first process ends by itself, kill what is left of its process group.
    pub tree: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Opened for appending by the process itself; its folder is made when missing.
    File(String),
    Null,
}

/// Where files go when nothing else is said: `PMRUN_HOME` and what is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Absolute.
    pub home: String,
}

/// How an instance of an app is started.
#[must_use]
pub fn launch(
    _id: LaunchId,
    _spec: &crate::spec::AppSpec,
    _slot: u32,
    _list_id: u32,
    _layout: &Layout,
    _ambient: &Arc<BTreeMap<String, String>>,
) -> Launch {
    unimplemented!()
}
