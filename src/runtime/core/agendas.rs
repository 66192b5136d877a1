//! What happens at the times of `cron_restart`.

use super::Core;
use crate::base::{InstanceId, Now, Wall};
use crate::runtime::table::{Ambient, App};
use crate::runtime::{Effect, Intent, Save, Ticket};
use crate::schedule::Agenda;
use crate::supervisor::{Cause, ErrorReason, Event, State, Then};

impl Core {
    /// When `Tick` is wanted next by the wall clock, and whenever that is set.
    #[must_use]
    pub fn wall_deadline(&self) -> Option<Wall> {
        let at_work = |name: &str| self.current.as_ref().is_some_and(|current| current.is_at_work_on(name));
        let apps = self.table.apps.iter().filter(|(name, _)| !at_work(name));
        apps.filter_map(|(_, app)| app.agenda.as_ref()?.next()).min()
    }

    /// An app has an agenda as long as there is something that its times are for: what somebody stopped has none, and
    /// its next time is looked for when it is started.
    pub(super) fn keep_agendas(&mut self, now: Now, out: &mut Vec<Effect>) {
        for (name, app) in &mut self.table.apps {
            let spec = &app.record.spec;
            let Some(pattern) = spec.cron_restart.as_deref().filter(|_| is_open(app)) else {
                app.agenda = None;
                continue;
            };
            let zone = spec.cron_timezone.as_deref();
            if app.agenda.as_ref().is_none_or(|agenda| !agenda.is_of(pattern, zone)) {
                let agenda = Agenda::new(pattern, zone, (self.zones)(zone).as_ref(), now.wall);
                if agenda.next().is_none() {
                    let zone = zone.unwrap_or("of the machine");
                    out.push(Effect::Notice(format!(
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
        for (name, app) in &mut self.table.apps {
            let Some(agenda) = &mut app.agenda else { continue };
            if self.current.as_ref().is_some_and(|current| current.is_at_work_on(name)) {
                continue;
            }
            let zone = (self.zones)(agenda.zone());
            if agenda.turn(now.wall, zone.as_ref()) {
                due.push(name.clone());
            }
        }
        for name in due {
            self.renew(&name, &Cause::Cron, now, out);
        }
    }

    /// Starts all instances of an app anew, of pmrun's own accord.
    ///
    /// Of what is recorded as done it is recorded first that it is to run, as of everything that is started.
    pub(super) fn renew(&mut self, name: &str, cause: &Cause, now: Now, out: &mut Vec<Effect>) {
        let Some(app) = self.table.apps.get_mut(name).filter(|app| !app.deleted) else { return };
        let mut done = false;
        for instance in app.record.instances.values_mut() {
            if cause.revives() && matches!(instance.intent, Intent::Done { .. }) {
                instance.intent = Intent::Up;
                done = true;
            }
        }
        if done {
            app.unsaved = true;
            let Ambient { digest, variables } = app.ambient.clone();
            let saves =
                vec![Save::Ambient(digest, variables), Save::App(name.to_owned(), Box::new(app.record.clone()))];
            self.tickets += 1;
            self.renewals.insert(Ticket(self.tickets), (name.to_owned(), cause.clone()));
            out.push(Effect::Save { ticket: Ticket(self.tickets), saves });
            return;
        }
        let slots: Vec<u32> = app.record.instances.keys().copied().collect();
        for slot in slots {
            self.feed(&InstanceId::new(name, slot), Event::Renew { cause: cause.clone() }, now, out);
        }
    }

    /// Whether the save was about a renewal. One that failed is none: its next time is the next chance.
    pub(super) fn renewal_saved(
        &mut self,
        ticket: Ticket,
        result: &Result<(), String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some((name, cause)) = self.renewals.remove(&ticket) else { return false };
        let taken = self.current.as_ref().is_some_and(|current| current.is_at_work_on(&name));
        if result.is_ok() && !taken {
            self.renew(&name, &cause, now, out);
        } else {
            // What is done after all is recorded so, once nobody is at work on it.
            self.table.completed.insert(name);
        }
        true
    }
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
