//! What was asked for, by whom, and what the apps were after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ActualApp, ActualInstance, Liveness, Plan, Snapshot};
use crate::base::ExitStatus;
use crate::spec::{AppSpec, EcosystemId};

/// So many generations are kept, the last ones.
pub const GENERATIONS_KEPT: u64 = 100;

/// One command that changed what should run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// One more than the one before.
    pub number: u64,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: u64,
    pub uid: u32,
    /// The command's.
    pub pid: u32,
    /// As it was typed, where the command said so; secrets are hidden.
    pub command: String,
    /// Whether somebody asked for these apps as they are, and not a file for what it says.
    pub by_hand: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecosystem: Option<EcosystemId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What git says of the file's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// When something did not come up, what it had touched was to go back to what it was (`apply --auto-rollback`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_rollback: bool,
    /// What was shown before it was done, where that was a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<Plan>>,
    /// None while it is at work, and when the daemon was killed meanwhile until another runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Outcome>,
}

impl Generation {
    /// Where the history begins anew: the state was built from what was left of it, by this process.
    #[must_use]
    pub fn rebuilt(number: u64, at_ms: u64, uid: u32, pid: u32, apps: usize) -> Self {
        Self {
            number,
            at_ms,
            uid,
            pid,
            command: "(state built anew)".to_owned(),
            by_hand: false,
            ecosystem: None,
            file: None,
            revision: None,
            auto_rollback: false,
            plan: None,
            result: Some(Outcome::Done { touched: apps }),
        }
    }
}

/// The commit of a work tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    pub commit: String,
    /// Something that git knows was changed since.
    pub dirty: bool,
}

/// What came of the command that made a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    Done {
        touched: usize,
    },
    /// Not everything came to be as it was asked for.
    Failed {
        touched: usize,
        failed: Vec<Shortfall>,
    },
    /// It was taken back: what it had begun goes on.
    Cancelled,
    /// It failed, and the apps that it had touched are what they were before.
    RolledBack {
        to: u64,
        failed: Vec<Shortfall>,
        /// What did not come up again.
        left: Vec<Shortfall>,
    },
    /// The daemon was told to end before the command was done.
    CutShort,
    /// It was killed, and what had been changed by then stands.
    Interrupted,
}

/// An app that is not as it should be, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    pub app: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    pub reason: String,
}

/// An app as a generation has it: all that it takes to have it so again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Former {
    pub ecosystem: Option<EcosystemId>,
    pub file: Option<String>,
    pub spec: Arc<AppSpec>,
    /// Digest of the inherited environment.
    pub ambient: String,
    pub slots: BTreeMap<u32, Meant>,
}

/// What somebody wanted of an instance. Whether it then did its work and ended by itself is no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meant {
    Up,
    Stopped,
    /// Up, until `kill` ended everything.
    Killed,
}

/// How each ended that had done its work, by app and slot. It stands beside what somebody wanted: that does not change by it.
pub type Completions = BTreeMap<String, BTreeMap<u32, ExitStatus>>;

/// All apps of a generation.
pub type Formers = BTreeMap<String, Former>;

impl Snapshot {
    /// What ran if everything was as a generation has it.
    #[must_use]
    pub fn of_generation(number: u64, formers: &Formers) -> Self {
        let app = |former: &Former| {
            let instance = |meant: &Meant| match meant {
                Meant::Up => ActualInstance { liveness: Liveness::Up, launched: Some(Arc::clone(&former.spec)) },
                Meant::Stopped | Meant::Killed => ActualInstance { liveness: Liveness::Stopped, launched: None },
            };
            ActualApp {
                ecosystem: former.ecosystem.clone(),
                file: former.file.clone(),
                spec: Arc::clone(&former.spec),
                instances: former.slots.iter().map(|(slot, meant)| (*slot, instance(meant))).collect(),
                downtime_ms: None,
            }
        };
        Self { generation: number, apps: formers.iter().map(|(name, former)| (name.clone(), app(former))).collect() }
    }
}
