//! What becomes of apps when those that they depend on come and go.

use super::{Core, Ending};
use crate::base::{InstanceId, Now};
use crate::runtime::Effect;
use crate::runtime::needs::{is_met, unmet, unmet_but, wanted};
use crate::runtime::roster::has_needs;
use crate::runtime::table::Instance;
use crate::spec::OnExit;
use crate::supervisor::{Cause, Event, State};

impl Core {
    /// What an app depends on and is not as it must be.
    pub(super) fn unmet(&self, name: &str) -> Vec<String> {
        self.table.apps.get(name).map(|app| unmet(&self.table, &app.record.spec)).unwrap_or_default()
    }

    /// Tells each instance which of its needs are not met, where that has changed, and restarts what asked for it when
    /// what it depends on is back. Whether there was anything to tell.
    pub(super) fn keep_needs(&mut self, now: Now, out: &mut Vec<Effect>) -> bool {
        if self.ending != Ending::No {
            return false;
        }
        let mut events = Vec::new();
        debug_assert!(
            self.table.apps.iter().all(|(name, app)| !has_needs(app) || self.table.roster.dependents.contains(name))
        );
        let apps = &self.table.apps;
        let dependents = self.table.roster.dependents.iter().filter(|name| apps.get(*name).is_some_and(has_needs));
        let dependents: Vec<String> = dependents.cloned().collect();
        for name in dependents {
            let Some(app) = self.table.apps.get(&name) else { continue };
            let spec = std::sync::Arc::clone(&app.record.spec);
            let (mut unmet, mut ended) = (Vec::new(), false);
            let (mut lost, mut back) = (Vec::new(), Vec::new());
            for other in &spec.depends_on {
                let need = spec.need(other);
                let is_met = is_met(&self.table, other, need.condition);
                if !is_met {
                    unmet.push(wanted(other, need.condition));
                    ended |= need.on_exit == OnExit::Stop;
                }
                if need.on_exit == OnExit::Restart {
                    if is_met { &mut back } else { &mut lost }.push(other.clone());
                }
            }
            let any_excused = app.instances.values().any(|instance| is_excused(instance));
            let but_stopped = if any_excused { unmet_but(&self.table, &spec, true) } else { Vec::new() };
            let Some(app) = self.table.apps.get_mut(&name) else { continue };
            for (slot, instance) in &mut app.instances {
                let id = InstanceId::new(&name, *slot);
                let runs = matches!(instance.machine.state, State::Starting { .. } | State::Online { .. });
                if runs {
                    instance.lost.extend(lost.iter().cloned());
                    let returned = back.iter().find(|other| instance.lost.contains(*other));
                    events.extend(returned.map(|other| {
                        let cause = Cause::Dependency { app: other.clone() };
                        (id.clone(), Event::Renew { cause })
                    }));
                } else {
                    instance.lost.clear();
                }
                if runs && events.last().is_some_and(|(last, _)| *last == id) {
                    instance.lost.clear();
                }
                if runs {
                    instance.excused = None;
                }
                let unmet = if is_excused(instance) { but_stopped.clone() } else { unmet.clone() };
                // Only news is told: what a command has started all the same is left alone until what it depends on has
                // come and gone.
                if instance.machine.unmet != unmet {
                    events.push((id, Event::Needs { unmet, ended }));
                }
            }
        }
        let any = !events.is_empty();
        for (id, event) in events {
            self.feed(&id, event, now, out);
        }
        any
    }
}

/// Whether it does not wait for what somebody has stopped: until it runs.
fn is_excused(instance: &Instance) -> bool {
    instance.excused == Some(true) && matches!(instance.machine.state, State::Blocked | State::Launching { .. })
}
