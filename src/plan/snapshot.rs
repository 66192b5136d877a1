use std::collections::BTreeMap;
use std::sync::Arc;

use crate::graph::Graph;
use crate::spec::{AppSpec, EcosystemId};

/// What is known and what runs, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows by one with every change of what should run.
    pub generation: u64,
    pub apps: BTreeMap<String, ActualApp>,
}

#[derive(Clone, Debug)]
pub struct ActualApp {
    /// None was started by hand and belongs to no file.
    pub ecosystem: Option<EcosystemId>,
    /// The file that it was last applied from, absolute; None where no file runs.
    pub file: Option<String>,
    /// As it was last applied: what the manager goes by.
    pub spec: Arc<AppSpec>,
    /// By slot.
    pub instances: BTreeMap<u32, ActualInstance>,
    /// How long an instance of it was missing the last time that one was replaced, at most.
    pub downtime_ms: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct ActualInstance {
    pub liveness: Liveness,
    /// What its process was started from, where one runs; of one that ended by itself, where it is known. None with
    /// [`Liveness::Up`]: it was adopted and runs something older.
    pub launched: Option<Arc<AppSpec>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// Has a process, or will have one again without being asked (starting, online, waiting to restart).
    Up,
    /// Was stopped by somebody, or `autostart: false` left it so.
    Stopped,
    /// Ended by itself in a way that its policy calls done.
    Completed,
    /// Given up on.
    Errored,
}

impl Snapshot {
    /// What would run had a graph been applied and nothing happened since: what `diff --base` compares with.
    #[must_use]
    pub fn of(graph: &Graph) -> Self {
        let apps = graph.apps.iter().map(|app| {
            let spec = Arc::new(app.clone());
            let instance = || ActualInstance { liveness: Liveness::Up, launched: Some(Arc::clone(&spec)) };
            let instances = (0..spec.instances).map(|slot| (slot, instance())).collect();
            (
                app.name.clone(),
                ActualApp {
                    ecosystem: Some(graph.ecosystem.clone()),
                    file: None,
                    spec: Arc::clone(&spec),
                    instances,
                    downtime_ms: None,
                },
            )
        });
        Self { generation: 0, apps: apps.collect() }
    }
}
