//! What is not as it was applied, though no file says it otherwise.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Change, EVERYTHING, Plan, Reason, Step};
use crate::spec::{EcosystemId, Field, Fingerprint, FingerprintBy};

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
    /// Options were changed by hand, by the names of a file; and from what to what.
    Changed {
        options: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<Change>,
    },
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
    /// Nor is there another in its place: it cannot be started again.
    MissingProgram { slots: Vec<u32>, program: String },
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
    #[serde(default)]
    pub script: String,
    pub code: Fingerprint,
    pub by: FingerprintBy,
}

impl Drift {
    /// Whether `apply` of its file puts it right.
    #[must_use]
    pub fn is_put_right(&self) -> bool {
        let stays = matches!(
            self.what,
            DriftKind::Started { .. } | DriftKind::DeletedProgram { .. } | DriftKind::MissingProgram { .. }
        );
        // What was started by hand is in no file.
        !stays && self.ecosystem.is_some()
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
            DriftKind::Changed { options, .. } => format!("changed by hand: {}", options.join(", ")),
            DriftKind::GivenUp { slots: of } => format!("should run and was given up on: {}", slots(of)),
            DriftKind::Down { slots: of } => format!("should run and is down, and no daemon runs: {}", slots(of)),
            DriftKind::EarlierVersion { slots: of } => {
                format!("started from an earlier version of the file: {}", slots(of))
            }
            DriftKind::OlderCode { slots: of, files } => {
                format!("runs other code than there is on disk ({}): {}", files.join(", "), slots(of))
            }
            DriftKind::DeletedProgram { slots: of, program } => format!(
                "runs a program that was deleted or replaced ({program}), and `apply` leaves it so: {}",
                slots(of)
            ),
            DriftKind::MissingProgram { slots: of, program } => format!(
                "its program is gone ({program}): {} runs on, and cannot be started again, nor the file applied",
                slots(of)
            ),
        }
    }
}

impl DriftKind {
    /// Whether what a plan changes only takes it back.
    fn is_taken_back_by(&self, change: &Change) -> bool {
        match self {
            Self::Scaled { from, .. } => {
                change.field == Field::Instances && change.new.as_deref() == Some(from.to_string().as_str())
            }
            Self::Changed { changes, .. } => {
                changes.iter().any(|by_hand| by_hand.path == change.path && by_hand.old == change.new)
            }
            _ => false,
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

/// Says of what a plan creates, or changes, that it was deleted or changed by hand, where that is so: nobody has edited that.
pub fn note_by_hand(plan: &mut Plan, drifts: &[Drift]) {
    for step in &mut plan.steps {
        let of_it = || drifts.iter().filter(|drift| drift.app == step.app);
        if of_it().any(|drift| drift.what == DriftKind::Deleted) {
            for reason in step.reasons.iter_mut().filter(|reason| **reason == Reason::NewInFile) {
                *reason = Reason::DeletedByHand;
            }
        }
        let by_hand = |change: &&Change| of_it().any(|drift| drift.what.is_taken_back_by(change));
        for Change { path, impact, .. } in step.changes.iter().filter(by_hand) {
            let noted = Reason::ChangedByHand { path: path.clone(), impact: *impact };
            let is_it = |reason: &&mut Reason| matches!(reason, Reason::Changed { path: of, .. } if of == path);
            match step.reasons.iter_mut().find(is_it) {
                Some(reason) => *reason = noted,
                None => step.reasons.push(noted),
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
        let by_hand = |of: &str| {
            self.reasons.iter().any(|reason| matches!(reason, Reason::ChangedByHand { path, .. } if path == of))
        };
        let drifts = |reason: &&Reason| {
            matches!(
                reason,
                Reason::DeletedByHand
                    | Reason::ChangedByHand { .. }
                    | Reason::Stopped { .. }
                    | Reason::Errored { .. }
                    | Reason::RunsEarlierVersion { .. }
                    | Reason::RunsOtherCode { .. }
                    | Reason::CodeChanged { .. }
            )
        };
        let scaled_by_hand = |reason: &&Reason| {
            let by_file = self.changes.iter().any(|change| change.field == Field::Instances && !by_hand(&change.path));
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
        // Beside what was changed by hand, what needs no process to be touched has no reason of its own.
        let beside = self.reasons.iter().any(|reason| matches!(reason, Reason::ChangedByHand { .. }))
            && self
                .changes
                .iter()
                .any(|change| !matches!(change.field, Field::Code | Field::Fingerprint) && !by_hand(&change.path));
        // Of an app that is new, code and fields are said, and are no more than that.
        match (beside || self.reasons.iter().any(|reason| edits(&reason)), by_drift) {
            (true, true) => Some(Cause::Both),
            (false, true) => Some(Cause::Drift),
            (_, false) => Some(Cause::Edit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Impact;

    fn change(field: Field, path: &str, old: &str, new: &str) -> Change {
        let impact = if field == Field::Instances { Impact::Scale } else { Impact::Live };
        Change { field, path: path.to_owned(), old: Some(old.to_owned()), new: Some(new.to_owned()), impact }
    }

    fn check(changes: Vec<Change>, reasons: Vec<Reason>, what: DriftKind, want: Cause) {
        let step = Step { action: crate::plan::Action::Update, changes, ..Step::create("b", Vec::new()) };
        let step = Step { reasons, ..step };
        let mut plan =
            Plan { ecosystem: EcosystemId("one".to_owned()), generation: 1, steps: vec![step], refusals: vec![] };
        let drift = Drift { app: "b".to_owned(), ecosystem: None, what, by: None };
        note_by_hand(&mut plan, &[drift]);
        assert_eq!(plan.cause(&plan.steps[0]), Some(want), "{:?}", plan.steps[0].reasons);
    }

    #[test]
    fn what_only_takes_back_what_a_hand_did_is_nobody_s_edit() {
        let scaled = |from| DriftKind::Scaled { from, to: 1 };
        let up = || vec![Reason::ScaledUp { from: 1, to: 3 }];
        let instances = || change(Field::Instances, "instances", "1", "3");
        check(vec![instances()], up(), scaled(3), Cause::Drift);
        // The file was edited, too.
        check(vec![instances()], up(), scaled(2), Cause::Edit);

        let limit = || change(Field::MaxMemoryRestart, "max_memory_restart", "300M", "200M");
        let cron = || change(Field::CronRestart, "cron_restart", "1 * * * *", "2 * * * *");
        let reason = |path: &str| Reason::Changed { path: path.to_owned(), impact: Impact::Live };
        let by_hand = |old: &str| DriftKind::Changed {
            options: vec!["max_memory_restart".to_owned()],
            changes: vec![change(Field::MaxMemoryRestart, "max_memory_restart", old, "300M")],
        };
        check(vec![limit()], vec![reason("max_memory_restart")], by_hand("200M"), Cause::Drift);
        check(vec![limit()], vec![reason("max_memory_restart")], by_hand("100M"), Cause::Edit);
        let both = || vec![reason("max_memory_restart"), reason("cron_restart")];
        check(vec![limit(), cron()], both(), by_hand("200M"), Cause::Both);
        check(vec![limit(), cron()], vec![reason("max_memory_restart")], by_hand("200M"), Cause::Both);
    }
}
