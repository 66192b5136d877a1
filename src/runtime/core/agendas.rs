//! What happens at the times of `cron_restart` and `schedule`.

use super::Core;
use crate::base::{InstanceId, Now, Wall};
use crate::runtime::Effect;
use crate::runtime::roster::has_times;
use crate::runtime::table::{App, Table};
use crate::schedule::Agenda;
use crate::spec::AppSpec;
use crate::supervisor::{Cause, ErrorReason, Names, State, Then};

impl Core {
    /// When `Tick` is wanted next by the wall clock, and whenever that is set.
    #[must_use]
    pub fn wall_deadline(&self) -> Option<Wall> {
        let (current, paused) = (&self.current, &self.paused);
        let at_work = |name: &str| current.iter().chain(paused).any(|operation| operation.is_at_work_on(name));
        let names = self.table.roster.timed.iter().filter(|name| !at_work(name));
        names.filter_map(|name| self.table.apps.get(name)?.agenda.as_ref()?.next()).min()
    }

    /// Until when all has been done that was due, or could not be.
    #[must_use]
    pub fn turned_until(&self, now: Now) -> Wall {
        let agendas = self.table.roster.timed.iter().filter_map(|name| self.table.apps.get(name)?.agenda.as_ref());
        let turned: Vec<Wall> = agendas.map(|agenda| agenda.turned_until(now.wall)).collect();
        let waits = turned.iter().filter(|until| **until < now.wall).min();
        // One that has run at its time is not to do so again where the clock was set back since.
        let furthest = turned.iter().max().copied().unwrap_or(now.wall);
        waits.copied().unwrap_or(furthest)
    }

    /// An app has an agenda as long as there is something that its times are for: what somebody stopped has none, and
    /// its next time is looked for when it is started. `since`: what was due until then has been done.
    pub(super) fn keep_agendas(&mut self, since: Wall, out: &mut Vec<Effect>) {
        debug_assert!(
            self.table.apps.iter().all(|(name, app)| !has_times(app) || self.table.roster.timed.contains(name))
        );
        let Table { apps, roster, layout, .. } = &mut self.table;
        // Under PM2's name the times of what was stopped come, too, and start it.
        let wakes = |spec: &AppSpec| layout.names == Names::Pm2 && spec.schedule.is_none();
        for name in &roster.timed {
            let Some(app) = apps.get_mut(name) else { continue };
            let spec = &app.record.spec;
            let Some(pattern) = times(spec).filter(|_| is_open(app) || wakes(spec) && !app.deleted) else {
                app.agenda = None;
                continue;
            };
            let zone = spec.cron_timezone.as_deref();
            if app.agenda.as_ref().is_none_or(|agenda| !agenda.is_of(pattern, zone)) {
                let agenda = Agenda::new(pattern, zone, (self.zones)(zone).as_ref(), since);
                if agenda.next().is_none() {
                    let zone = zone.unwrap_or("of the machine");
                    out.push(Effect::Log(format!(
                        "`{name}` has no times: its cron pattern or the time zone `{zone}` is not known here"
                    )));
                }
                app.agenda = Some(agenda);
            }
        }
    }

    /// Apps that a command is at work on have their turn when it is done with them.
    pub(super) fn run_agendas(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut due = Vec::new();
        let Table { apps, roster, .. } = &mut self.table;
        for name in &roster.timed {
            let Some(app) = apps.get_mut(name) else { continue };
            let Some(agenda) = &mut app.agenda else { continue };
            if self.current.iter().chain(&self.paused).any(|operation| operation.is_at_work_on(name)) {
                continue;
            }
            let zone = (self.zones)(agenda.zone());
            if agenda.turn(now.wall, zone.as_ref()) {
                let slots = app.record.instances.keys().filter(|_| !app.deleted);
                let cause = if app.record.spec.schedule.is_some() { Cause::Schedule } else { Cause::Cron };
                due.extend(slots.map(|slot| (InstanceId::new(name, *slot), cause.clone())));
            }
        }
        self.renew(due, now, out);
    }
}

/// The pattern of the times at which something is to be done about an app.
fn times(spec: &AppSpec) -> Option<&str> {
    spec.schedule.as_deref().or(spec.cron_restart.as_deref())
}

/// Whether any of its instances is neither stopped nor on the way to that.
fn is_open(app: &App) -> bool {
    let is_closed = |state: &State| {
        matches!(
            state,
            State::Stopped
                | State::Stopping { then: Then::Stop, .. }
                | State::Errored { reason: ErrorReason::WouldNotDie { .. } }
        )
    };
    let mut there = app.instances.iter().filter(|(slot, _)| !app.is_leaving(**slot));
    there.any(|(_, instance)| !is_closed(&instance.machine.state))
}
