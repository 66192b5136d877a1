//! What is not as it was applied, though no file says it otherwise.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{EVERYTHING, Plan, Reason, Step};
use crate::spec::{EcosystemId, Fingerprint, FingerprintBy};

/// Something about an app that is not as it was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    pub app: String,
    pub ecosystem: Option<EcosystemId>,
    #[serde(flatten)]
    pub what: DriftKind,
    /// Who did it, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ByWhom>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "drift")]
pub enum DriftKind {
    /// Applied as running, stopped by hand.
    Stopped { slots: Vec<u32> },
    /// Applied as not running, started by hand.
    Started { slots: Vec<u32> },
    /// Deleted by hand.
    Deleted,
    /// The number of instances was changed by hand.
    Scaled { from: usize, to: usize },
    /// Options were changed by hand, by the names of a file.
    Changed { options: Vec<String> },
    /// It should run, and was given up on.
    GivenUp { slots: Vec<u32> },
    /// It should run, does not, and there is no daemon that would start it.
    Down { slots: Vec<u32> },
    /// A process runs what an earlier version of the file said.
    EarlierVersion { slots: Vec<u32> },
    /// A process runs other code than there is on disk.
    OlderCode { slots: Vec<u32>, files: Vec<String> },
    /// The program that a process runs is no longer on disk.
    DeletedProgram { slots: Vec<u32>, program: String },
}

/// The last command that had a part in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByWhom {
    pub generation: u64,
    pub at_ms: u64,
    pub uid: u32,
    pub command: String,
}

/// What a process was started from, as far as that can be compared with what is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub app: String,
    pub slot: u32,
    pub pid: u32,
    pub ecosystem: Option<EcosystemId>,
    pub cwd: String,
    pub code: Fingerprint,
    pub by: FingerprintBy,
}

impl Drift {
    /// Whether `apply` of its file puts it right.
    #[must_use]
    pub fn is_put_right(&self) -> bool {
        !matches!(self.what, DriftKind::Started { .. } | DriftKind::DeletedProgram { .. })
    }

    /// As a sentence about the app: `stopped by hand`.
    #[must_use]
    pub fn text(&self) -> String {
        let slots = |slots: &[u32]| super::words::slots(&self.app, slots);
        match &self.what {
            DriftKind::Stopped { slots: of } => format!("stopped by hand: {}", slots(of)),
            DriftKind::Started { slots: of } => {
                format!("started by hand, and `apply` leaves it so: {}", slots(of))
            }
            DriftKind::Deleted => "deleted by hand".to_owned(),
            DriftKind::Scaled { from, to } => format!("instances changed by hand: {from} -> {to}"),
            DriftKind::Changed { options } => format!("changed by hand: {}", options.join(", ")),
            DriftKind::GivenUp { slots: of } => format!("should run and was given up on: {}", slots(of)),
            DriftKind::Down { slots: of } => format!("should run and is down, and no daemon runs: {}", slots(of)),
            DriftKind::EarlierVersion { slots: of } => {
                format!("started from an earlier version of the file: {}", slots(of))
            }
            DriftKind::OlderCode { slots: of, files } => {
                format!("runs older code than there is on disk ({}): {}", files.join(", "), slots(of))
            }
            DriftKind::DeletedProgram { slots: of, program } => format!(
                "runs a program that was deleted or replaced ({program}), and `apply` leaves it so: {}",
                slots(of)
            ),
        }
    }
}

impl fmt::Display for ByWhom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{} `{}`", self.generation, self.command)
    }
}

/// Where a step comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The file says something else than when it was applied.
    Edit,
    /// The file says the same; what runs is not so any more.
    Drift,
    Both,
}

impl Plan {
    /// None where nothing happens, and on a way back, which no file asks for.
    #[must_use]
    pub fn cause(&self, step: &Step) -> Option<Cause> {
        step.cause().filter(|_| self.ecosystem.0 != EVERYTHING)
    }
}

/// Says of what a plan creates that it was deleted by hand, where that is so: nobody has edited that.
pub fn note_deleted(plan: &mut Plan, drifts: &[Drift]) {
    for step in &mut plan.steps {
        let is_gone = |drift: &Drift| drift.app == step.app && drift.what == DriftKind::Deleted;
        if drifts.iter().any(is_gone) {
            for reason in step.reasons.iter_mut().filter(|reason| **reason == Reason::NewInFile) {
                *reason = Reason::DeletedByHand;
            }
        }
    }
}

impl Step {
    /// None where nothing happens.
    fn cause(&self) -> Option<Cause> {
        if self.is_keep() {
            return None;
        }
        let drifts = |reason: &&Reason| {
            matches!(
                reason,
                Reason::DeletedByHand
                    | Reason::Stopped { .. }
                    | Reason::Errored { .. }
                    | Reason::RunsEarlierVersion { .. }
                    | Reason::CodeChanged { .. }
            )
        };
        let scaled_by_hand = |reason: &&Reason| {
            let by_file = self.changes.iter().any(|change| change.field == crate::spec::Field::Instances);
            matches!(reason, Reason::ScaledUp { .. } | Reason::ScaledDown { .. }) && !by_file
        };
        let edits = |reason: &&Reason| {
            matches!(
                reason,
                Reason::NewInFile
                    | Reason::GoneFromFile { .. }
                    | Reason::Changed { .. }
                    | Reason::Renamed { .. }
                    | Reason::ScaledUp { .. }
                    | Reason::ScaledDown { .. }
                    | Reason::Adopted { .. }
            ) && !scaled_by_hand(reason)
        };
        let by_drift = self.reasons.iter().any(|reason| drifts(&reason) || scaled_by_hand(&reason));
        // Of an app that is new, code and fields are said, and are no more than that.
        match (self.reasons.iter().any(|reason| edits(&reason)), by_drift) {
            (true, true) => Some(Cause::Both),
            (false, true) => Some(Cause::Drift),
            (_, false) => Some(Cause::Edit),
        }
    }
}
