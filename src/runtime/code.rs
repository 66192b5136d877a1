//! The code that processes run, where that is not what was known when their app was applied: whoever starts one again later
//! has it run what is on disk then.
//!
//! What stands for an app's code is found out when its file is applied, and recorded with it. At each start the host looks
//! once more, and says where it finds something else. That is noted of this one process ([`Standing::code`] for the daemon
//! that follows), and not of the app: what was applied, and what a process is marked with, stay as they are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Effect;
use super::table::{Instance, Table};
use crate::base::InstanceId;
use crate::plan::{Formers, Snapshot, spec_digest};
use crate::spec::{AppSpec, Fingerprint, FingerprintBy};
use crate::supervisor::{LaunchId, State};

/// Code that a process was found to run, for the daemon that follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OtherCode {
    /// [`spec_digest`] of what it runs with this code.
    spec: String,
    code: Fingerprint,
}

impl OtherCode {
    pub(super) fn of(instance: &Instance) -> Option<Self> {
        let launched = instance.machine.launched.as_ref().filter(|_| instance.mark.is_some())?;
        Some(Self { spec: spec_digest(launched), code: launched.fingerprint.clone() })
    }

    /// What such a process runs, where nothing but its code may differ from what its app is to be.
    pub(super) fn launched(&self, spec: &Arc<AppSpec>) -> Option<Arc<AppSpec>> {
        let launched = with(spec, &self.code);
        (spec_digest(&launched) == self.spec).then_some(launched)
    }

    /// Whether it runs just what its app is to be.
    pub(super) fn is_of(&self, spec: &AppSpec) -> bool {
        spec_digest(spec) == self.spec
    }
}

/// What the host is to look at when a process is started. Of a job with times nobody asks which run has run what.
pub(super) fn look(launch: LaunchId, spec: &Arc<AppSpec>) -> Option<Effect> {
    let stands_for_code = match spec.fingerprint_by {
        FingerprintBy::Globs(_) => true,
        FingerprintBy::Script | FingerprintBy::Git => !spec.fingerprint.0.is_empty(),
        FingerprintBy::Off => false,
    };
    let is_asked_for = stands_for_code && spec.schedule.is_none();
    is_asked_for.then(|| Effect::Code { launch, of: Arc::clone(spec) })
}

impl Table {
    /// Notes which code a process was started from, as far as that is still of use.
    pub(super) fn runs_code(&mut self, launch: LaunchId, of: &AppSpec, found: &Fingerprint) {
        let Some(id) = self.owner(launch).or_else(|| self.completed(launch)) else { return };
        let app = self.apps.get_mut(&id.app);
        let Some(instance) = app.and_then(|app| app.instances.get_mut(&id.slot)) else { return };
        // Something else may stand for its code by now.
        let is_of = |launched: &&Arc<AppSpec>| {
            launched.fingerprint_by == of.fingerprint_by && launched.cwd == of.cwd && launched.fingerprint != *found
        };
        let Some(launched) = instance.machine.launched.as_ref().filter(is_of) else { return };
        instance.mark.get_or_insert_with(|| spec_digest(launched));
        instance.machine.launched = Some(with(launched, found));
        self.restless.insert(instance.list_id, id);
    }

    /// What runs, as a command sees it that is taken back: a process that was started from what its app was before is not
    /// replaced for the code that it was found to run even then.
    pub(super) fn leave_as_before(&self, formers: &Formers, snapshot: &mut Snapshot) {
        for (name, former) in formers {
            let (Some(app), Some(actual)) = (self.apps.get(name), snapshot.apps.get_mut(name)) else { continue };
            let marked = app.instances.iter().filter_map(|(slot, instance)| Some((slot, instance.mark.as_ref()?)));
            for (slot, _) in marked.filter(|(_, mark)| **mark == spec_digest(&former.spec)) {
                if let Some(instance) = actual.instances.get_mut(slot).filter(|instance| instance.launched.is_some()) {
                    instance.launched = Some(Arc::clone(&former.spec));
                }
            }
        }
    }

    /// Whose process that was, where it has ended and done what it was started for: it is run again when its code changes.
    fn completed(&self, launch: LaunchId) -> Option<InstanceId> {
        self.ids().find(|id| {
            let of_launch = self.instance(id).filter(|instance| instance.asked_for == Some(launch));
            of_launch.is_some_and(|instance| matches!(instance.machine.state, State::Completed { .. }))
        })
    }
}

fn with(spec: &Arc<AppSpec>, code: &Fingerprint) -> Arc<AppSpec> {
    if spec.fingerprint == *code {
        return Arc::clone(spec);
    }
    Arc::new(AppSpec { fingerprint: code.clone(), ..(**spec).clone() })
}
