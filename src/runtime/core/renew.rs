use std::collections::BTreeMap;

use super::Core;
use crate::base::{InstanceId, Now};
use crate::runtime::table::Ambient;
use crate::runtime::{Effect, Intent, Save, Ticket};
use crate::supervisor::{Cause, Event, Names};

/// Instances of an app that are done and are started once this is recorded, and why.
pub(super) type Revived = BTreeMap<String, Vec<(u32, Cause)>>;

impl Core {
    /// Restarts of pmrun's own accord. That a job is done is on disk: before it runs again, that it should is.
    pub(super) fn renew(&mut self, due: Vec<(InstanceId, Cause)>, now: Now, out: &mut Vec<Effect>) {
        let mut revived = Revived::new();
        for (id, cause) in due {
            let intent = self.table.apps.get(&id.app).and_then(|app| app.intent(id.slot));
            let wakes = cause == Cause::Cron && self.table.layout.names == Names::Pm2;
            if matches!(intent, Some(Intent::Done { .. })) || wakes && intent == Some(Intent::Stopped) {
                // Until that is recorded the next daemon is to know of it, too.
                self.table.note_renewal(&id, Some(cause.clone()));
                revived.entry(id.app).or_default().push((id.slot, cause));
            } else {
                self.feed(&id, Event::Renew { cause }, now, out);
            }
        }
        let mut saves = Vec::new();
        for (name, slots) in &revived {
            let Some(app) = self.table.apps.get(name) else { continue };
            let mut record = app.record.clone();
            for (slot, _) in slots {
                if let Some(instance) = record.instances.get_mut(slot) {
                    instance.intent = Intent::Up;
                }
            }
            let Ambient { digest, variables } = app.ambient.clone();
            saves.push(Save::Ambient(digest, variables));
            saves.push(Save::App(name.clone(), Box::new(record)));
        }
        if !saves.is_empty() {
            self.tickets += 1;
            self.reviving.insert(Ticket(self.tickets), revived);
            out.push(Effect::Save { ticket: Ticket(self.tickets), saves });
        }
    }

    /// Whether a save was about what is done. What a command is at work on meanwhile is left to it, and so is everything
    /// when it could not be recorded: the next change, or the next time, tries again.
    pub(super) fn revive(&mut self, ticket: Ticket, saved: bool, now: Now, out: &mut Vec<Effect>) -> bool {
        let Some(revived) = self.reviving.remove(&ticket) else { return false };
        for (name, slots) in &revived {
            for (slot, _) in slots {
                self.table.note_renewal(&InstanceId::new(name, *slot), None);
            }
        }
        if !saved || self.ending != super::Ending::No {
            return true;
        }
        for (name, slots) in revived {
            if self.is_at_work_on(&name) {
                continue;
            }
            for (slot, cause) in slots {
                let Some(app) = self.table.apps.get_mut(&name).filter(|app| !app.deleted) else { continue };
                let Some(known) = app.record.instances.get_mut(&slot) else { continue };
                let before = std::mem::replace(&mut known.intent, Intent::Up);
                let event = match before {
                    Intent::Up => continue,
                    Intent::Done { .. } => Event::Renew { cause },
                    Intent::Stopped => Event::Start,
                };
                self.feed(&InstanceId::new(&name, slot), event, now, out);
            }
        }
        true
    }

    /// Whether an app's next run is being recorded: nothing else about it is, until it has begun.
    pub(super) fn is_reviving(&self, app: &str) -> bool {
        self.reviving.values().any(|revived| revived.contains_key(app))
    }
}
