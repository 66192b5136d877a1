//! What goes over the control socket: one [`Call`], then any number of [`Answer`]s, the last of which is final.
//!
//! A byte that the client sends after its call takes the call back: nothing further is begun, and the last answer is
//! [`Answer::Cancelled`]. Hanging up does the same without an answer.
//!
//! Fields are only ever added, with a default that means "as before". [`PROTOCOL`] grows when that is not enough;
//! read-only calls of any earlier protocol must go on working.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{ExitStatus, Offers, Run, Signal};
use crate::graph::Graph;
use crate::plan::{Drift, Generation, Plan, Refusal, Revision, Running, SavedPlan, Seal, Stale};
use crate::spec::{AppSpec, EcosystemId, Fingerprint};

pub const PROTOCOL: u32 = 1;
/// What every daemon understands, however old: whoever asks who it is, or has it become another.
const FIRST_PROTOCOL: u32 = 1;
/// How a daemon begins its answer to what it does not know.
pub const NOT_UNDERSTOOD: &str = "the call makes no sense: ";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    pub protocol: u32,
    /// The command's version, for messages.
    pub version: String,
    /// The command's pid, so that others can be told who holds the lock.
    pub pid: u32,
    /// Give up with `Busy` when another command is at work, instead of waiting for it.
    #[serde(default)]
    pub no_wait: bool,
    /// What runs is taken for up, unless it says by itself when it is: nobody waits for it to prove so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hasty: bool,
    /// Whose command it is, by the socket, where that is not the daemon's own user. What a command says is not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// As it was typed, without the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    pub request: Request,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Request {
    // These only read, are answered at once, and never wait for another command.
    Ping,
    /// Whether what `List` and `Show` would say is still what they said.
    Revision,
    List,
    /// Like `List`, with the specs (secrets hidden unless `reveal`).
    Show {
        targets: Vec<String>,
        #[serde(default)]
        reveal: bool,
        /// With what each app inherits.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ambient: bool,
    },
    Plan {
        graph: Box<Graph>,
        options: PlanOptions,
    },
    /// What only this home can give a plan that is kept.
    Seal {
        text: String,
    },

    /// Whether what is recorded on disk is what was written there.
    CheckState,
    /// Write what is recorded anew, where it is damaged; what was there is set aside.
    RepairState,
    /// Keep what should run now for `resurrect`.
    Keep,
    /// The last so many generations.
    History {
        count: u64,
    },
    /// One generation, and what it did.
    Generation {
        number: u64,
    },
    /// What changed from one generation to another; without that, to now.
    Between {
        old: u64,
        new: Option<u64>,
    },
    /// What it is that a way back goes back to.
    Formers {
        to: Option<u64>,
    },
    /// What `Rollback` would do.
    PlanBack(Back),
    /// What is not as it was applied, though nobody says it otherwise.
    Drift,

    // These are done at once, and change nothing that is recorded.
    /// Count what happens to instances from nothing again.
    Reset {
        targets: Vec<String>,
    },
    /// Send the first process of each a signal; what it makes of it is its own affair.
    Signal {
        targets: Vec<String>,
        signal: Signal,
    },
    /// Write to the standard input of each; nothing is added.
    Feed {
        targets: Vec<String>,
        text: String,
    },
    /// Send each a message over Node's channel.
    Tell {
        targets: Vec<String>,
        message: Value,
    },
    /// What of their actions and measures instances have told.
    Offers {
        targets: Vec<String>,
    },
    /// From now on everything that apps say over Node's channel: no answer is the last.
    Heed,

    // These change something: one at a time, in the order in which they came.
    /// Apps that are known otherwise than they are, by hand.
    Alter(Box<Alter>),
    Apply(Box<Apply>),
    /// An app that belongs to no file.
    StartScript {
        spec: Box<AppSpec>,
        ambient: BTreeMap<String, String>,
    },
    Start {
        targets: Vec<String>,
    },
    Stop {
        targets: Vec<String>,
    },
    Restart {
        targets: Vec<String>,
    },
    /// As `Restart`, but each process in cluster mode finishes what it is at.
    Reload {
        targets: Vec<String>,
        /// Instances of an app that are replaced at a time; none is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parallel: Option<NonZeroU32>,
    },
    /// More or fewer instances of each app; none of the others is touched.
    Scale {
        targets: Vec<String>,
        to: Scale,
    },
    Delete {
        targets: Vec<String>,
    },
    /// Make apps known again, and start of each what should run. Those that are known already are left as they are; with
    /// `wake` what should run of them is started.
    Restore {
        apps: Vec<RestoredApp>,
        #[serde(default)]
        wake: bool,
    },
    /// Have the apps as a generation has them.
    Rollback(Back),
    /// Start every app that should run and does not: what `kill` has ended, not what was stopped.
    Resurrect,
    /// Stop every app, record it as stopped by hand, end the daemon.
    Kill,
    /// Become this program, when nothing is at work; nothing that runs notices.
    Upgrade {
        program: String,
    },
    /// End when nothing is at work, and leave everything as it runs to the daemon that asks for it.
    Leave,
}

impl Request {
    /// The oldest that knows it.
    #[must_use]
    pub fn protocol(&self) -> u32 {
        match self {
            Self::Ping | Self::Upgrade { .. } | Self::Leave => FIRST_PROTOCOL,
            _ => PROTOCOL,
        }
    }
}

/// How many instances an app is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    To(u32),
    /// More, or fewer where it is negative.
    By(i32),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Apply {
    pub graph: Graph,
    pub options: PlanOptions,
    /// The invoking shell's environment, less the shell session's own noise.
    pub ambient: BTreeMap<String, String>,
    /// Do exactly this, or refuse as stale.
    #[serde(default)]
    pub expected: Option<SavedPlan>,
    /// Instances that may be on their way up at once. None is the daemon's own measure.
    #[serde(default)]
    pub parallel: Option<NonZeroU32>,
    /// What git says of the file's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// When something does not come up, what was touched becomes what it was before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_rollback: bool,
}

/// What is changed of apps by hand, and what becomes of the instances that were named.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alter {
    pub apps: Vec<Altered>,
    /// Of these apps, the instances that are to run; what a change makes true of others of them is done, too.
    pub targets: Vec<String>,
    /// What runs is replaced even where nothing asks for it.
    pub renew: bool,
    /// The environment to run in from now on; none is each one's own.
    #[serde(default)]
    pub ambient: Option<BTreeMap<String, String>>,
}

/// An app as it is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Altered {
    /// The name that it has now; the spec may say another.
    pub name: String,
    pub spec: AppSpec,
}

/// A way back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Back {
    /// None is the last generation that is not what there is now.
    pub to: Option<u64>,
    /// Empty is all.
    #[serde(default)]
    pub only: Vec<String>,
    /// What stands for the apps' code on disk, by app.
    #[serde(default)]
    pub code: BTreeMap<String, Fingerprint>,
}

/// An app as it was kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RestoredApp {
    pub ecosystem: Option<EcosystemId>,
    pub file: Option<String>,
    pub spec: Box<AppSpec>,
    pub ambient: BTreeMap<String, String>,
    /// The instances that should run.
    pub up: Vec<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanOptions {
    /// Empty is all.
    #[serde(default)]
    pub only: Vec<String>,
    #[serde(default)]
    pub no_prune: bool,
    #[serde(default)]
    pub adopt: bool,
    #[serde(default)]
    pub allow_empty: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Answer {
    Pong {
        version: String,
        protocol: u32,
        pid: u32,
        /// What is stored can be read by those that know this format. 0: of a pmrun that did not say.
        #[serde(default)]
        format: u32,
        /// What it runs, where the system says.
        #[serde(default)]
        program: Option<String>,
    },
    /// A number that no other state of things has; none while something is shown that changes by itself, as the time that is
    /// left of a wait does.
    Revision {
        revision: Option<u64>,
    },
    List {
        instances: Vec<InstanceView>,
        /// What runs and nobody knows.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        strangers: Vec<StrangerView>,
    },
    /// Final: what is recorded on disk.
    State {
        /// Why it is damaged; none where it is sound.
        #[serde(default)]
        problem: Option<String>,
        apps: usize,
        /// Where the damaged one was put, when it was written anew.
        #[serde(default)]
        aside: Option<String>,
    },
    /// Final: so many apps are kept, and where.
    Kept {
        apps: usize,
        path: String,
    },
    Show {
        apps: Vec<AppView>,
        /// What they inherit, by [`AppView::ambient`]; where that was asked for.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        ambients: BTreeMap<String, BTreeMap<String, String>>,
    },
    /// Of instances that run.
    Offers {
        offers: Vec<OffersView>,
    },
    /// Not final: it is listened from now on.
    Heeding,
    /// Not final: what an instance has said.
    Said {
        id: u32,
        name: String,
        slot: u32,
        namespace: String,
        message: Box<Value>,
    },
    Plan {
        plan: Box<Plan>,
    },
    Seal {
        seal: Seal,
    },
    History {
        /// Oldest first.
        generations: Vec<Generation>,
        /// The one whose command is at work.
        at_work: Option<u64>,
    },
    Generation {
        generation: Option<Box<Generation>>,
        at_work: bool,
        /// From what was before to what was after it.
        plan: Box<Plan>,
    },
    Formers {
        to: u64,
        apps: Vec<AppSpec>,
    },
    Drift {
        drifts: Vec<Drift>,
        running: Vec<Running>,
    },

    /// Not final: another command is at work, this one waits for it.
    Waiting {
        holder: String,
        pid: u32,
        for_ms: u64,
    },
    /// Not final: the plan that is now executed.
    Begun {
        plan: Box<Plan>,
    },
    /// Not final: something happened to an instance that the command is about.
    Progress(Progress),
    /// Final, of everything that changes something. `failed` empty means that all that was asked holds.
    Done {
        touched: usize,
        failed: Vec<Failure>,
    },

    /// Not final: something did not come up, and this is done to have everything as it was.
    GoingBack {
        failed: Vec<Failure>,
        plan: Box<Plan>,
    },
    /// Final: something did not come up, and what was touched is what it was in an earlier generation; but for what is
    /// `left`.
    RolledBack {
        to: u64,
        touched: usize,
        failed: Vec<Failure>,
        left: Vec<Failure>,
    },

    /// Final: the call was taken back. What was begun goes on to its end, what was not never begins.
    Cancelled {
        touched: usize,
        failed: Vec<Failure>,
        /// Instances, or apps where nobody can tell yet. Those, too, that are restarted with what was (`on_exit`).
        going_on: Vec<String>,
        /// Apps, or instances of an app of which others were begun.
        not_begun: Vec<String>,
    },

    Busy {
        holder: String,
        pid: u32,
        for_ms: u64,
    },
    /// The daemon is on its way out, and nothing was done: the next one can be asked once this connection has ended.
    Ending,
    UnknownTarget {
        target: String,
        suggestion: Option<String>,
        /// What is wrong with it, where it is more than that nothing has the name.
        #[serde(default)]
        problem: Option<String>,
    },
    Stale {
        stale: Stale,
    },
    Refused {
        refusals: Vec<Refusal>,
    },
    /// Anything else that went wrong; nothing was changed unless the message says so.
    Error {
        message: String,
        #[serde(default)]
        hint: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub app: String,
    /// None where the whole app is meant.
    pub slot: Option<u32>,
    pub what: ProgressKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ProgressKind {
    Starting {
        pid: u32,
    },
    Up {
        after_ms: u64,
    },
    Stopping,
    Stopped,
    Updated,
    /// Known from now on, and not started.
    Created,
    Renamed {
        from: String,
    },
    Deleted,
    Failed {
        reason: String,
    },
    /// Not begun yet: for whom it waits, and to be what.
    Waiting {
        needs: String,
    },
    /// Not begun, because an app that it depends on failed, or the command was given up.
    Skipped {
        reason: String,
    },
}

/// An app that is not as it was asked to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub app: String,
    pub slot: Option<u32>,
    pub reason: String,
    /// Nothing of it was begun.
    #[serde(default)]
    pub skipped: bool,
    /// Where its last words are: the file, and how long it was when the instance was started.
    pub error_log: Option<String>,
    pub error_log_offset: u64,
}

impl Failure {
    #[must_use]
    pub fn of_app(app: String, reason: String) -> Self {
        Self { app, slot: None, reason, skipped: false, error_log: None, error_log_offset: 0 }
    }
}

/// One line of `list`. Holds no environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceView {
    pub id: u32,
    pub name: String,
    pub slot: u32,
    pub namespace: String,
    /// None was started by hand.
    pub ecosystem: Option<String>,
    /// `fork` or `cluster`.
    pub mode: String,
    pub pid: Option<u32>,
    /// `stopped`, `waiting`, `starting`, `online`, `unhealthy`, `stopping`, `errored`, `completed`.
    pub state: String,
    /// Why it is in that state, where that is not plain.
    pub detail: Option<String>,
    pub restarts: u32,
    /// Wall clock, milliseconds since 1970; of the process that runs.
    pub started_at_ms: Option<u64>,
    /// The same of the last one, where none runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_started_at_ms: Option<u64>,
    pub last_exit: Option<ExitStatus>,
    /// Wall clock, milliseconds since 1970: when `cron_restart` or `schedule` starts it next.
    #[serde(default)]
    pub next_run_at_ms: Option<u64>,
    /// Of a job, the last few, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// What of its `limits` is not in force, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits_note: Option<String>,
    /// How long it was missing the last time that it was restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_ms: Option<u64>,
    /// While one process relieves another: the one that does not serve yet, or any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<BesideView>,
    /// None is thrown away.
    pub out_file: Option<String>,
    pub error_file: Option<String>,
    /// Both streams, where they go to a further file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_file: Option<String>,
    /// By which its lines say when they were written, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_date_format: Option<String>,
    /// `json` where each line is an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_type: Option<String>,
    /// What is run. Empty: of a daemon that does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub script: String,
    /// As whom it runs, where that is not the daemon's own user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// It is restarted when its files change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watching: bool,
    /// Of those that were too short, since the last that was not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unstable_restarts: u32,
    /// Of one that waits for it: how long until it is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_ms: Option<u64>,
    /// How long it was last made to wait by its `exp_backoff_restart_delay`, until a long run ends that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<u64>,
}

impl Answer {
    /// What a daemon has sent. Of the large ones everything would be kept aside until the tag is known, and be read twice:
    /// as it comes first, that can be spared.
    ///
    /// # Errors
    /// What is no answer.
    pub fn decode(bytes: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct List {
            instances: Vec<InstanceView>,
            #[serde(default)]
            strangers: Vec<StrangerView>,
        }
        #[derive(Deserialize)]
        struct Show {
            apps: Vec<AppView>,
            #[serde(default)]
            ambients: BTreeMap<String, BTreeMap<String, String>>,
        }
        if bytes.starts_with(br#"{"is":"list","#) {
            return serde_json::from_slice(bytes)
                .map(|List { instances, strangers }| Self::List { instances, strangers });
        }
        if bytes.starts_with(br#"{"is":"show","#) {
            return serde_json::from_slice(bytes).map(|Show { apps, ambients }| Self::Show { apps, ambients });
        }
        serde_json::from_slice(bytes)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a process has said of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OffersView {
    pub id: u32,
    pub name: String,
    pub slot: u32,
    /// None where it may have said so to an earlier daemon.
    #[serde(default)]
    pub offers: Option<Offers>,
}

/// The other process of an instance, while one relieves the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BesideView {
    /// None until it has one.
    pub pid: Option<u32>,
    /// As of an instance: `starting` is to take over, `stopping` goes.
    pub state: String,
    pub detail: Option<String>,
}

/// A process that an earlier daemon started, of which nothing is recorded: it is left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrangerView {
    pub pid: u32,
    /// As it was called when it was started.
    pub name: String,
    pub slot: u32,
}

#[cfg(test)]
impl InstanceView {
    /// A stopped one.
    pub(crate) fn sample(id: u32, name: &str, slot: u32) -> Self {
        Self {
            id,
            name: name.to_owned(),
            slot,
            namespace: "default".to_owned(),
            ecosystem: None,
            mode: "fork".to_owned(),
            pid: None,
            state: "stopped".to_owned(),
            detail: None,
            restarts: 0,
            started_at_ms: None,
            last_started_at_ms: None,
            last_exit: None,
            next_run_at_ms: None,
            runs: Vec::new(),
            limits_note: None,
            downtime_ms: None,
            beside: None,
            out_file: Some(format!("/logs/{name}-out.log")),
            error_file: Some(format!("/logs/{name}-error.log")),
            log_file: None,
            log_date_format: None,
            log_type: None,
            script: format!("/srv/{name}.js"),
            user: None,
            watching: false,
            unstable_restarts: 0,
            waits_ms: None,
            backoff_ms: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppView {
    pub spec: AppSpec,
    pub file: Option<String>,
    /// What it inherits, by its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambient: Option<String>,
    pub instances: Vec<InstanceView>,
}
