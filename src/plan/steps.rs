use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ActualApp;
use crate::spec::{EcosystemId, Field, Impact, OnExit};

/// A list of steps, one an app, in an order in which they may be done: deletions first (dependents before what
/// they depend on), then the others, each after what it depends on.
///
/// It holds no secret: values are already in the form in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub ecosystem: EcosystemId,
    /// The generation of the snapshot that it was made from.
    pub generation: u64,
    pub steps: Vec<Step>,
    /// Why nothing may be done at all; then there are no steps.
    pub refusals: Vec<Refusal>,
}

/// Everything that happens to one app. Once it is done, the app has exactly the slots that it declares: those that
/// are new and not in `start` (`autostart: false`) are there as stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub app: String,
    pub action: Action,
    /// The name it had; it is renamed before anything else happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// Slots that get a first process, or one again, in order.
    pub start: Vec<u32>,
    /// Slots whose process is replaced.
    pub replace: Vec<u32>,
    /// Each process of `replace` goes when its successor is up beside it: nobody waits meanwhile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overlaps: bool,
    /// Where they do not: for how long one of them is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime: Option<Downtime>,
    /// Slots that go away.
    pub remove: Vec<u32>,
    /// Slots that stay, and whose process is stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<u32>,
    /// Slots that had done their work and are taken for done again: what runs of them is stopped, and nothing is run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<u32>,
    pub changes: Vec<Change>,
    /// At least one, for `keep` too.
    pub reasons: Vec<Reason>,
    /// Apps whose steps come before this one.
    pub after: Vec<String>,
    /// Apps that this takes with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follows: Vec<Follower>,
}

/// That nobody serves in a slot from when its process is asked to end until its successor is up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downtime {
    /// How long that was the last time, at most, where it has been.
    pub last_ms: Option<u64>,
    /// What to set to be rid of it, as it is written in a file; [`AppSpec::downtime_remedy`].
    pub remedy: Option<String>,
}

/// An app that is restarted, or stopped for a while, because what it depends on is down for a moment: by its `on_exit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    pub app: String,
    pub on_exit: OnExit,
}

/// The strongest thing that happens to an app; what its line is marked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Keep,
    Rename,
    Update,
    Stop,
    Scale,
    Start,
    Restart,
    Create,
    Delete,
}

/// One field's old and new value, as they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub field: Field,
    /// `script`, `env.PORT`, `code.dist/server.js`
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    pub impact: Impact,
}

/// Why a step does what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The file has it, nothing of that name is known.
    NewInFile,
    /// The file no longer has it.
    GoneFromFile {
        /// Where it came from, when that is another file of the same ecosystem.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
    /// A field that needs this action differs: one reason a changed path.
    Changed {
        path: String,
        impact: Impact,
    },
    /// The content of a file that stands for the app's code differs.
    CodeChanged {
        file: String,
    },
    Renamed {
        from: String,
    },
    ScaledUp {
        from: u32,
        to: u32,
    },
    ScaledDown {
        from: u32,
        to: u32,
    },
    /// It is to be created because somebody has deleted it by hand.
    DeletedByHand,
    /// What is not as it was applied: somebody has changed it by hand.
    ChangedByHand {
        path: String,
        impact: Impact,
    },
    /// It should run and does not.
    Stopped {
        slots: Vec<u32>,
    },
    Errored {
        slots: Vec<u32>,
    },
    /// A process runs what an earlier version of the file said.
    RunsEarlierVersion {
        slots: Vec<u32>,
    },
    /// A process runs other code than was applied, and than there is on disk: it was started from that later on.
    RunsOtherCode {
        slots: Vec<u32>,
        files: Vec<String>,
    },
    /// Another ecosystem, or nobody, owned it, and `--adopt` was given.
    Adopted {
        from: Option<EcosystemId>,
    },
    /// A generation, or what is there now, has it.
    There {
        generation: Option<u64>,
    },
    /// A generation, or what is there now, does not have it.
    NotThere {
        generation: Option<u64>,
    },
    /// A generation, or what is there now, has it running.
    UpThen {
        slots: Vec<u32>,
        generation: Option<u64>,
    },
    /// A generation, or what is there now, has it stopped.
    StoppedThen {
        slots: Vec<u32>,
        generation: Option<u64>,
    },
    /// A generation, or what is there now, has it done: it is not run once more.
    CompletedThen {
        slots: Vec<u32>,
        generation: Option<u64>,
    },
    /// It depends on an app that there is not.
    NeedsNobody {
        app: String,
    },
    /// A file of its code is not on disk as it was then, and does not go back.
    CodeSince {
        file: String,
    },
    Unchanged,
    /// It is a job, run at the times of its `schedule`.
    Scheduled,
    /// `autostart: false`, and it is not running.
    NotAutostarted,
    /// It ended by itself, and its policy says that this is all.
    Completed,
    /// It was not selected, or pruning is off.
    LeftAlone,
}

/// Why no plan can be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "refusal", rename_all = "snake_case")]
pub enum Refusal {
    #[error("app `{app}` belongs to {}", owner_text(.owner.as_ref()))]
    OwnedByOther { app: String, owner: Option<EcosystemId> },
    #[error("the file has no apps, and applying it would delete all apps of this ecosystem")]
    Empty,
    /// Two apps of the file say that they had this name.
    #[error("app `{app}` cannot be renamed from `{from}`: another app is, too")]
    RenameTaken { app: String, from: String },
    #[error("app `{app}` cannot be renamed from `{from}`, which belongs to {}", owner_text(.owner.as_ref()))]
    RenameForeign { app: String, from: String, owner: Option<EcosystemId> },
}

fn owner_text(owner: Option<&EcosystemId>) -> String {
    owner.map_or_else(|| "no file: it was started by hand".to_owned(), |id| format!("another ecosystem, `{id}`"))
}

/// The numbers of a plan's last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub create: usize,
    pub start: usize,
    pub update: usize,
    pub restart: usize,
    pub scale: usize,
    #[serde(default)]
    pub stop: usize,
    pub rename: usize,
    pub delete: usize,
    pub unchanged: usize,
    /// Not as declared, and not to be touched: `--no-prune`, or beyond a saved plan.
    #[serde(default)]
    pub left_alone: usize,
    /// Apps that the steps of others take with them, and that are moved by none of their own.
    #[serde(default)]
    pub follow: usize,
}

impl Plan {
    #[must_use]
    pub fn counts(&self) -> Counts {
        let count = |action| self.steps.iter().filter(|step| step.action == action).count();
        let left_alone = self.steps.iter().filter(|step| step.reasons.contains(&Reason::LeftAlone)).count();
        let followers: BTreeSet<&str> = self.followers().map(|follower| follower.app.as_str()).collect();
        let is_still = |step: &&Step| step.is_keep() && !step.reasons.contains(&Reason::LeftAlone);
        let still_follow = self.steps.iter().filter(is_still).filter(|step| followers.contains(step.app.as_str()));
        Counts {
            create: count(Action::Create),
            start: count(Action::Start),
            update: count(Action::Update),
            restart: count(Action::Restart),
            scale: count(Action::Scale),
            stop: count(Action::Stop),
            // An app may be renamed and scaled at once.
            rename: self.steps.iter().filter(|step| step.renamed_from.is_some()).count(),
            delete: count(Action::Delete),
            unchanged: count(Action::Keep) - left_alone - still_follow.count(),
            left_alone,
            follow: followers.len(),
        }
    }

    /// Whom its steps take with them; one may follow several.
    pub fn followers(&self) -> impl Iterator<Item = &Follower> {
        self.steps.iter().flat_map(|step| &step.follows)
    }

    /// Whether applying it would do nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.refusals.is_empty() && self.steps.iter().all(|step| step.action == Action::Keep)
    }
}

impl Step {
    /// Whether nothing happens.
    #[must_use]
    pub fn is_keep(&self) -> bool {
        self.action == Action::Keep
    }

    /// Nothing is done.
    #[must_use]
    pub fn keep(app: &str, reasons: Vec<Reason>) -> Self {
        Self {
            app: app.to_owned(),
            action: Action::Keep,
            renamed_from: None,
            start: Vec::new(),
            replace: Vec::new(),
            overlaps: false,
            downtime: None,
            remove: Vec::new(),
            stop: Vec::new(),
            done: Vec::new(),
            changes: Vec::new(),
            reasons,
            after: Vec::new(),
            follows: Vec::new(),
        }
    }

    /// An app that nobody knows; of its slots none is started yet.
    #[must_use]
    pub fn create(app: &str, reasons: Vec<Reason>) -> Self {
        Self { action: Action::Create, ..Self::keep(app, reasons) }
    }

    pub(super) fn delete(app: &str, known: &ActualApp, file: &str, after: Vec<String>) -> Self {
        let from = known.file.clone().filter(|from| from.starts_with('/') && file.starts_with('/') && from != file);
        Self {
            action: Action::Delete,
            remove: known.instances.keys().copied().collect(),
            after,
            ..Self::keep(app, vec![Reason::GoneFromFile { from }])
        }
    }
}
