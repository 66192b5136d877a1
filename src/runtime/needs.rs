//! Whether an app is what another needs it to be.

use std::collections::BTreeSet;

use super::Intent;
use super::table::{App, Table};
use crate::base::ExitStatus;
use crate::spec::{AppSpec, Condition, OnExit};
use crate::supervisor::{Machine, State};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    Met,
    MayCome,
    /// Not by itself.
    WillNot,
}

/// Of all instances of an app. What nobody knows is not waited for.
pub(super) fn outlook(table: &Table, app: &str, condition: Condition) -> Outlook {
    look(table, app, condition, &mut BTreeSet::new())
}

fn look<'a>(table: &'a Table, app: &'a str, condition: Condition, seen: &mut BTreeSet<&'a str>) -> Outlook {
    let Some(app) = known(table, app).filter(|_| seen.insert(app)) else { return Outlook::Met };
    let unmet: Vec<&Machine> = there(app).filter(|machine| !meets(machine, condition)).collect();
    let spec = &app.record.spec;
    let will_not = |machine: &&Machine| {
        matches!(
            machine.state,
            State::Stopped
                | State::Scheduled
                | State::Completed { .. }
                | State::Errored { .. }
                | State::Starting { late: true, .. }
        )
    };
    // A service is started again whenever it ends. Its own file's checks say so; another's may have taken over the name.
    let never_ends = condition == Condition::Completed
        && spec.restart.auto
        && spec.restart.stop_exit_codes.is_empty()
        && spec.schedule.is_none();
    let is_blocked = unmet.iter().any(|machine| machine.state == State::Blocked);
    let is_bereft = app.instances.values().any(|one| one.machine.state == State::Blocked && !one.bereft.is_empty());
    if unmet.is_empty() {
        Outlook::Met
    } else if never_ends
        || is_bereft
        || unmet.iter().any(will_not)
        || is_blocked
            && spec
                .depends_on
                .iter()
                .any(|other| look(table, other, spec.need(other).condition, seen) == Outlook::WillNot)
    {
        Outlook::WillNot
    } else {
        Outlook::MayCome
    }
}

/// Whether what is not as it must be of an app is `far` from it, or waits for another of which that is so; but not of what
/// somebody `brings`.
pub(super) fn is_far_off<'a>(
    table: &'a Table,
    (app, condition): (&'a str, Condition),
    far: &dyn Fn(&State) -> bool,
    brings: &dyn Fn(&str) -> bool,
    seen: &mut BTreeSet<&'a str>,
) -> bool {
    if brings(app) || is_met(table, app, condition) {
        return false;
    }
    let Some(app) = known(table, app).filter(|_| seen.insert(app)) else { return false };
    let spec = &app.record.spec;
    let mut others = spec.depends_on.iter();
    let waits = there(app).any(|machine| machine.state == State::Blocked);
    there(app).any(|machine| far(&machine.state))
        || waits && others.any(|other| is_far_off(table, (other, spec.need(other).condition), far, brings, seen))
}

/// Whether what depends on all that `spec` does waits for `app` in the end: what is in between waits as well.
pub(super) fn waits_for(table: &Table, spec: &AppSpec, app: &str) -> bool {
    let (mut todo, mut seen) = (vec![spec], BTreeSet::new());
    while let Some(spec) = todo.pop() {
        for other in spec.depends_on.iter().filter(|other| seen.insert(other.as_str())) {
            if other == app {
                return true;
            }
            let waits = |app: &&App| there(app).any(|machine| machine.state == State::Blocked);
            todo.extend(known(table, other).filter(waits).map(|app| &*app.record.spec));
        }
    }
    false
}

/// Whether at least one instance is as it must be: one of several that crashes takes nobody with it.
pub(super) fn is_met(table: &Table, app: &str, condition: Condition) -> bool {
    // What an earlier daemon started is taken for what it was until it is known to be otherwise.
    let was = |machine: &Machine| machine.adopted && matches!(machine.state, State::Starting { late: false, .. });
    known(table, app).is_none_or(|app| there(app).any(|machine| meets(machine, condition) || was(machine)))
}

/// What an app depends on and is not as it must be.
pub(super) fn unmet(table: &Table, spec: &AppSpec) -> Vec<String> {
    unmet_but(table, spec, false)
}

/// And where it is `excused`, less what somebody has stopped.
pub(super) fn unmet_but(table: &Table, spec: &AppSpec, excused: bool) -> Vec<String> {
    let needs = spec.depends_on.iter().map(|other| (other, spec.need(other)));
    let unmet = needs.filter(|(other, need)| {
        // Who needs its work done, or ends with it, did not run beside it either.
        let ran_without = need.on_exit != OnExit::Stop && need.condition != Condition::Completed;
        let stays_down = || excused && ran_without && is_stopped(table, other);
        !is_met(table, other, need.condition) && !stays_down()
    });
    unmet.map(|(other, need)| wanted(other, need.condition)).collect()
}

/// And what of its needs it goes on waiting for though it was deleted.
pub(super) fn with_bereft(spec: &AppSpec, unmet: &[String], bereft: &BTreeSet<String>) -> Vec<String> {
    let needs = spec.depends_on.iter().map(|other| (other, wanted(other, spec.need(other).condition)));
    needs
        .filter(|(other, wanted)| unmet.contains(wanted) || bereft.contains(*other))
        .map(|(_, wanted)| wanted)
        .collect()
}

/// What an app depends on and nobody knows.
pub(super) fn unknown<'a>(table: &Table, spec: &'a AppSpec) -> impl Iterator<Item = &'a String> {
    spec.depends_on.iter().filter(|other| known(table, other).is_none())
}

/// Whether somebody has stopped all of it; not what was never started (`autostart: false`).
fn is_stopped(table: &Table, app: &str) -> bool {
    let stopped = |app: &App| {
        let mut slots = app.instances.keys().filter(|slot| !app.is_leaving(**slot));
        slots.all(|slot| app.intent(*slot) == Some(Intent::Stopped))
    };
    known(table, app).is_some_and(|app| app.record.spec.autostart && stopped(app))
}

fn known<'a>(table: &'a Table, app: &str) -> Option<&'a App> {
    table.apps.get(app).filter(|app| !app.deleted && there(app).next().is_some())
}

/// Whether nobody has started what only ever starts by hand (`autostart: false`).
pub(super) fn is_left_out(app: &App) -> bool {
    !app.record.spec.autostart && there(app).all(|machine| machine.state == State::Stopped)
}

fn there(app: &App) -> impl Iterator<Item = &Machine> {
    app.instances.iter().filter(|(slot, _)| !app.is_leaving(**slot)).map(|(_, instance)| &instance.machine)
}

/// A job that is done was started, and was up.
fn meets(machine: &Machine, condition: Condition) -> bool {
    match (&machine.state, condition) {
        // Of a job that ended unseen nobody knows whether it did what it was there for.
        (State::Completed { status: ExitStatus::Unknown }, Condition::Completed) => false,
        (State::Completed { .. }, _)
        | (State::Scheduled, Condition::Started | Condition::Ready | Condition::Healthy)
        | (State::Starting { .. }, Condition::Started)
        | (State::Online { .. }, Condition::Started | Condition::Ready)
        | (State::Online { healthy: true, .. }, Condition::Healthy) => true,
        // A job between its runs is as its last run was.
        (State::Scheduled, Condition::Completed) => machine.last_exit.is_some_and(ExitStatus::is_success),
        _ => false,
    }
}

/// `db` to be ready
pub(super) fn wanted(app: &str, condition: Condition) -> String {
    match condition {
        Condition::Started => format!("`{app}` to be started"),
        Condition::Ready => format!("`{app}` to be ready"),
        Condition::Healthy => format!("`{app}` to be healthy"),
        Condition::Completed => format!("`{app}` to be completed"),
    }
}
