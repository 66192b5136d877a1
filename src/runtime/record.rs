use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Save, Stranger};
use crate::base::{ExitStatus, Key, Run};
use crate::graph::Graph;
use crate::plan::spec_digest;
use crate::spec::{AppSpec, EcosystemId};

/// What is durable about an app: enough to run it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppRecord {
    pub ecosystem: Option<EcosystemId>,
    /// The file it was last applied from.
    pub file: Option<String>,
    pub spec: Arc<AppSpec>,
    /// Digest of the inherited environment that it is started with.
    pub ambient: String,
    /// By slot. Boxed: a map has room for eleven even where there is one.
    pub instances: BTreeMap<u32, Box<InstanceRecord>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// The number that `list` shows and that targets accept, as PM2's `pm_id`.
    pub id: u32,
    pub intent: Intent,
    /// It was up until `kill` stopped everything: nobody meant this one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_kill: bool,
    /// The app's name when its process was started, where it was renamed since: what the process and its pid file
    /// are marked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launched_as: Option<String>,
    /// The digest of the spec that its process was started from, where the app's has changed since in a way that
    /// the process need not notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launched_spec: Option<String>,
    /// Of a job, the last few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    /// What it depends on that was deleted while it waited for it, and that it goes on waiting for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub bereft: BTreeSet<String>,
}

impl InstanceRecord {
    #[must_use]
    pub fn new(id: u32, intent: Intent) -> Self {
        Self {
            id,
            intent,
            until_kill: false,
            launched_as: None,
            launched_spec: None,
            runs: Vec::new(),
            bereft: BTreeSet::new(),
        }
    }

    /// Whether it should run, or would if `kill` had not ended everything.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        match self.intent {
            Intent::Up => true,
            Intent::Stopped => self.until_kill,
            Intent::Done { .. } => false,
        }
    }

    /// Whether a process that says that it was started from `digest` is as good as one started from `spec`.
    #[must_use]
    pub fn is_current(&self, digest: &str, spec: &AppSpec) -> bool {
        self.launched_spec.as_deref() == Some(digest) || spec_digest(spec) == digest
    }
}

/// What somebody last asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    Up,
    Stopped,
    /// It ran, and has done what it was started for: it is not started again by itself.
    Done {
        status: ExitStatus,
    },
}

/// Everything durable, as the daemon finds it when it starts.
#[derive(Clone, Debug)]
pub struct State {
    pub generation: u64,
    pub key: Key,
    /// Counts up: which of two copies is the older one.
    pub saves: u64,
    /// What is left alone though nobody knows it.
    pub strangers: Vec<Stranger>,
    /// Of the machine, when a daemon last started; empty where none has said it.
    pub boot: String,
    pub apps: BTreeMap<String, AppRecord>,
    pub ambients: BTreeMap<String, Arc<BTreeMap<String, String>>>,
}

impl State {
    /// Nothing should run.
    #[must_use]
    pub fn empty(key: Key) -> Self {
        let (apps, ambients) = (BTreeMap::new(), BTreeMap::new());
        Self { generation: 0, key, boot: String::new(), saves: 0, strangers: Vec::new(), apps, ambients }
    }

    /// All that a file declares should run, and nothing else: what only starts by hand (`autostart: false`) is known.
    #[must_use]
    pub fn declared(graph: &Graph, ambient: BTreeMap<String, String>, key: Key) -> Self {
        let mut state = Self::empty(key);
        // Names and values of one map only.
        let digest = "declared".to_owned();
        for spec in &graph.apps {
            let intent = if spec.autostart { Intent::Up } else { Intent::Stopped };
            let first = state.next_list_id();
            let slots = (0..spec.instances).map(|slot| (slot, Box::new(InstanceRecord::new(first + slot, intent))));
            let record = AppRecord {
                ecosystem: Some(graph.ecosystem.clone()),
                file: Some(graph.file.clone()),
                spec: Arc::new(spec.clone()),
                ambient: digest.clone(),
                instances: slots.collect(),
            };
            state.apps.insert(spec.name.clone(), record);
        }
        state.ambients.insert(digest, Arc::new(ambient));
        state
    }

    /// What it is once this is saved. Environments that lose their last app go with it.
    pub fn apply(&mut self, saves: &[Save]) {
        self.saves += 1;
        for save in saves {
            match save {
                Save::App(name, record) => _ = self.apps.insert(name.clone(), (**record).clone()),
                Save::DeleteApp(name) => _ = self.apps.remove(name),
                Save::Ambient(digest, variables) => _ = self.ambients.insert(digest.clone(), Arc::clone(variables)),
                Save::Generation(generation) => self.generation = *generation,
                Save::Boot(boot) => self.boot.clone_from(boot),
                // What was is not in it.
                Save::Began(_) | Save::Ended { .. } | Save::Applied { .. } => {}
                Save::Strangers(strangers) => self.strangers.clone_from(strangers),
            }
        }
        let apps = &self.apps;
        self.ambients.retain(|digest, _| apps.values().any(|app| app.ambient == *digest));
    }

    /// What `list` calls the next instance.
    #[must_use]
    pub fn next_list_id(&self) -> u32 {
        let known = self.apps.values().flat_map(|app| app.instances.values()).map(|instance| instance.id);
        known.chain(self.strangers.iter().map(|stranger| stranger.list_id)).map(|id| id + 1).max().unwrap_or(0)
    }
}
