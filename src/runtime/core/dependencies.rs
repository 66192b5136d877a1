//! What becomes of apps when those that they depend on come and go.

use std::collections::BTreeSet;

use super::{Core, Ending};
use crate::base::{InstanceId, Now, is_second};
use crate::runtime::Effect;
use crate::runtime::needs::{is_met, unknown, unmet, unmet_but, wanted, with_bereft};
use crate::runtime::operation::Operation;
use crate::runtime::roster::has_needs;
use crate::runtime::table::Instance;
use crate::spec::{AppSpec, OnExit};
use crate::supervisor::{Cause, Event, State, Then};

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
        let (mut events, mut changed) = (Vec::new(), false);
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
            let gone: Vec<String> = unknown(&self.table, &spec).cloned().collect();
            let any_excused = app.instances.values().any(|instance| is_excused(instance));
            let at_work: Vec<&Operation> = self.current.iter().chain(&self.paused).collect();
            let but_stopped = if any_excused { unmet_but(&self.table, &spec, true) } else { Vec::new() };
            let Some(app) = self.table.apps.get_mut(&name) else { continue };
            // What is to take over has come up beside what was met then.
            for (slot, instance) in app.instances.iter_mut().filter(|(slot, _)| !is_second(**slot)) {
                let id = InstanceId::new(&name, *slot);
                // Once is enough, and by what is known then.
                let is_restarted = at_work.iter().any(|operation| operation.will_restart(&id));
                let runs = matches!(instance.machine.state, State::Starting { .. } | State::Online { .. });
                if runs {
                    instance.lost.extend(lost.iter().cloned());
                    let mut returned = back.iter().filter(|_| !is_restarted);
                    let returned = returned.find(|other| instance.lost.contains(*other));
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
                let bereft = bereft(
                    instance,
                    &spec,
                    &gone,
                    app.record.instances.get(slot).is_some_and(|known| known.is_wanted()),
                );
                if bereft != instance.bereft {
                    instance.bereft = bereft;
                    self.table.restless.insert(instance.list_id, id.clone());
                    self.table.completed.insert(name.clone());
                    changed = true;
                }
                let unmet = if is_excused(instance) { &but_stopped } else { &unmet };
                let unmet = with_bereft(&spec, unmet, &instance.bereft);
                // Only news is told: what a command has started all the same is left alone until what it depends on has
                // come and gone.
                let waits_on = is_restarted && unmet.is_empty() && instance.machine.state == State::Blocked;
                if instance.machine.unmet != unmet && !waits_on {
                    events.push((id, Event::Needs { unmet, ended }));
                }
            }
        }
        let any = !events.is_empty() || changed;
        // Who waits for what waits may wait in vain.
        if changed && let Some(mut current) = self.current.take() {
            current.go_on(&mut self.around(now, out));
            self.current = Some(current);
        }
        for (id, event) in events {
            self.feed(&id, event, now, out);
        }
        any
    }
}

/// What of its needs an instance goes on waiting for though it is `gone`: nobody wants it started because of that. By hand it
/// is all the same.
fn bereft(instance: &Instance, spec: &AppSpec, gone: &[String], is_wanted: bool) -> BTreeSet<String> {
    let machine = &instance.machine;
    match machine.state {
        State::Blocked | State::Stopping { then: Then::Block, .. } => {
            let waits = |other: &&String| {
                let wanted = wanted(other, spec.need(other).condition);
                instance.bereft.contains(*other) || machine.unmet.contains(&wanted)
            };
            gone.iter().filter(waits).cloned().collect()
        }
        // An earlier daemon's, that this one has not come to yet; or all were stopped by `kill`.
        State::Stopped | State::Stopping { then: Then::Stop, .. } if is_wanted => {
            gone.iter().filter(|other| instance.bereft.contains(*other)).cloned().collect()
        }
        _ => BTreeSet::new(),
    }
}

/// Whether it does not wait for what somebody has stopped: until it runs.
fn is_excused(instance: &Instance) -> bool {
    instance.excused == Some(true) && matches!(instance.machine.state, State::Blocked | State::Launching { .. })
}
