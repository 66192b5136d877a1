use std::collections::{BTreeMap, BTreeSet};

use super::table::App;
use crate::base::{InstanceId, Mono};

/// Who has to be looked at whenever something happens, and who at which time: all the others cost nothing then.
///
/// An app may be named that need not be, or is there no more; none is left out.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// Apps that depend on others, or have been told that they do.
    pub(super) dependents: BTreeSet<String>,
    /// Apps with a `cron_restart` or a `schedule`.
    pub(super) timed: BTreeSet<String>,
    /// Apps with a `max_memory_restart`.
    pub(super) limited: BTreeSet<String>,
    /// Apps with `watch`.
    pub(super) watched: BTreeSet<String>,
    /// When a machine is to be told the time; each instance once.
    due: BTreeSet<(Mono, InstanceId)>,
    due_of: BTreeMap<InstanceId, Mono>,
}

impl Roster {
    /// What there is of an app has changed.
    pub(super) fn note(&mut self, name: &str, app: Option<&App>) {
        let is = |has: fn(&App) -> bool| app.is_some_and(has);
        for (names, is_in) in [
            (&mut self.dependents, is(has_needs)),
            (&mut self.timed, is(has_times)),
            (&mut self.limited, is(has_limit)),
            (&mut self.watched, is(|app| app.record.spec.watch.enabled)),
        ] {
            if !is_in {
                names.remove(name);
            } else if !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
    }

    pub(super) fn set_due(&mut self, id: &InstanceId, due: Option<Mono>) {
        if self.due_of.get(id).copied() == due {
            return;
        }
        if let Some(before) = self.due_of.remove(id) {
            self.due.remove(&(before, id.clone()));
        }
        if let Some(due) = due {
            self.due_of.insert(id.clone(), due);
            self.due.insert((due, id.clone()));
        }
    }

    pub(super) fn next_due(&self) -> Option<Mono> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(super) fn due(&self, now: Mono) -> impl Iterator<Item = &InstanceId> {
        self.due.iter().take_while(move |(at, _)| *at <= now).map(|(_, id)| id)
    }
}

/// What was never told anything has nothing to be told when there is nothing to tell.
pub(super) fn has_needs(app: &App) -> bool {
    !app.record.spec.depends_on.is_empty() || app.instances.values().any(|instance| !instance.machine.unmet.is_empty())
}

pub(super) fn has_times(app: &App) -> bool {
    let spec = &app.record.spec;
    app.agenda.is_some() || spec.schedule.is_some() || spec.cron_restart.is_some()
}

/// By the rules of its processes, which may not be those of the record yet.
pub(super) fn has_limit(app: &App) -> bool {
    let mut machines = app.instances.values().map(|instance| &instance.machine);
    app.record.spec.max_memory_restart.is_some() || machines.any(|machine| machine.policy.max_memory_restart.is_some())
}
