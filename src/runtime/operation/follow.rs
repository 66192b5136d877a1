//! What goes with what a command restarts (`on_exit`), without being named by it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Aim, Operation, Phase, Surroundings, Task};
use crate::base::InstanceId;
use crate::runtime::needs::{Outlook, is_met, outlook};
use crate::runtime::table::{Instance, Moved, Table};
use crate::spec::{Condition, Need, OnExit};
use crate::supervisor::{Cause, Machine, State, Then};

impl Operation {
    /// What goes down because of what this is at work on (`on_exit`), or because of what did.
    pub(super) fn note_follower(&mut self, moved: &Moved, around: &Surroundings<'_>) {
        let State::Stopping { then, .. } = moved.after else { return };
        let brings_up = || self.tasks.values().any(|task| task.aim.brings_up() && !task.aim.is_silent());
        let Some(instance) = around.table.instance(&moved.instance).filter(|_| brings_up()) else { return };
        let Machine { cause, policy, .. } = &instance.machine;
        let is_mine = |app: &&String| self.has(app) || self.followers.iter().any(|id| id.app == **app);
        let is_down = |app: &&String| !is_met(around.table, app, policy.need(app).condition);
        let with: Vec<String> = match (then, cause) {
            (Then::Block, _) => policy.depends_on.iter().filter(is_mine).filter(is_down).cloned().collect(),
            (_, Some(Cause::Dependency { app })) => Some(app).filter(is_mine).into_iter().cloned().collect(),
            _ => Vec::new(),
        };
        if self.will_restart(&moved.instance) {
            return;
        }
        for app in with {
            let is_new = self.followed.insert((moved.instance.clone(), app.clone()));
            if is_new || self.is_moving(&app) {
                self.followers.insert(moved.instance.clone());
            }
        }
    }

    /// What goes down again with an app that this is done with does so because of that one's own crashes, for ever maybe.
    fn is_moving(&self, app: &str) -> bool {
        let is_open = |task: &Task| !matches!(task.phase, Phase::Done | Phase::Failed);
        self.tasks.get(app).is_some_and(|task| is_open(task) && !matches!(task.aim, Aim::Watch { .. }))
    }

    /// Has those waited for, too, that went down with what it restarts (`on_exit`). Whether there are any.
    pub(in crate::runtime) fn waits_for_followers(&mut self, table: &Table) -> bool {
        let mut apps: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for id in std::mem::take(&mut self.followers) {
            let is_over = self.tasks.get(&id.app).is_none_or(|task| matches!(task.phase, Phase::Done));
            if is_over && !self.given_up && table.instance(&id).is_some() {
                apps.entry(id.app).or_default().push(id.slot);
            }
        }
        let any = !apps.is_empty();
        for (app, slots) in apps {
            self.add(app, Aim::Watch { slots, asked: true }, BTreeSet::new());
        }
        self.stirred |= any;
        any
    }

    /// What will be restarted when that is back which this has begun to restart, whoever waits for it.
    pub(super) fn following(&self, table: &Table) -> BTreeSet<InstanceId> {
        let mut found = BTreeSet::new();
        loop {
            let mut more = BTreeSet::new();
            for name in &table.roster.dependents {
                let Some(app) = table.apps.get(name).filter(|app| !app.deleted) else { continue };
                for (slot, instance) in &app.instances {
                    let id = InstanceId::new(name, *slot);
                    if app.is_leaving(*slot) || id.is_second() || found.contains(&id) {
                        continue;
                    }
                    let spec = &app.record.spec;
                    let mut needs = spec.depends_on.iter().map(|other| (other, spec.need(other)));
                    let follows = needs.any(|(other, need)| {
                        let is_mine = self.is_bringing(other) || found.iter().any(|id: &InstanceId| id.app == *other);
                        is_mine && follows(instance, other, need, table)
                            || need.on_exit != OnExit::Ignore
                                && need.condition != Condition::Completed
                                && runs(instance)
                                && goes_down(other, &found, table)
                    });
                    if follows {
                        more.insert(id);
                    }
                }
            }
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    fn is_bringing(&self, app: &str) -> bool {
        self.tasks.get(app).is_some_and(|task| task.aim.brings_up())
    }

    /// What of it was not begun and is not done all the same: what was only to be restarted is, and all that is new of an
    /// app whose rollout has begun is recorded.
    pub(super) fn not_done_by_following(&self, name: String, following: &BTreeSet<InstanceId>) -> Vec<String> {
        let slots = match self.tasks.get(&name).map(|task| &task.aim) {
            Some(Aim::Up { slots, .. }) => slots.iter().map(|slot| InstanceId::new(&name, *slot)).collect(),
            Some(_) => Vec::new(),
            None => name.parse().into_iter().collect(),
        };
        if !slots.iter().any(|id| following.contains(id)) {
            return vec![name];
        }
        slots.iter().filter(|id| !following.contains(id)).map(ToString::to_string).collect()
    }
}

/// Whether an instance has gone down with what it depends on, or has seen that do so, and that may be back.
fn follows(instance: &Instance, other: &str, need: Need, table: &Table) -> bool {
    let is_back = is_met(table, other, need.condition);
    let may_come = || outlook(table, other, need.condition) == Outlook::MayCome;
    match need.on_exit {
        OnExit::Ignore => false,
        OnExit::Restart => runs(instance) && instance.lost.contains(other) && (is_back || may_come()),
        OnExit::Stop => {
            let waits = matches!(instance.machine.state, State::Blocked | State::Stopping { then: Then::Block, .. });
            waits && !is_back && may_come()
        }
    }
}

fn runs(instance: &Instance) -> bool {
    matches!(instance.machine.state, State::Starting { .. } | State::Online { .. })
}

/// Whether there will be a moment at which none of an app is up.
fn goes_down(app: &str, down: &BTreeSet<InstanceId>, table: &Table) -> bool {
    let Some(known) = table.apps.get(app) else { return false };
    let mut up = known.instances.iter().filter(|(_, instance)| runs(instance)).peekable();
    up.peek().is_some() && up.all(|(slot, _)| down.contains(&InstanceId::new(app, *slot)))
}
