//! What is done at once, whatever is at work: nothing of it is recorded.

use serde_json::Value;

use super::Core;
use crate::base::{InstanceId, Now};
use crate::rpc::wire::{Answer, Failure, Request};
use crate::runtime::{ClientId, Effect, Partner, Talk, request, resolve, view};
use crate::supervisor::LaunchId;

impl Core {
    pub(super) fn at_once(&mut self, request: &Request, now: Now, out: &mut Vec<Effect>) -> Option<Answer> {
        let named = |core: &Self, targets: &[String]| {
            resolve(targets, &view::views(&core.table, now)).map_err(request::unknown)
        };
        Some(match request {
            Request::Reset { targets } => match named(self, targets) {
                Ok(ids) => self.reset(&ids),
                Err(answer) => answer,
            },
            Request::Signal { targets, signal } => match named(self, targets) {
                Ok(ids) => {
                    let (mut touched, mut failed) = (0, Vec::new());
                    for id in ids {
                        let state = self.table.instance(&id).map(|instance| &instance.machine.state);
                        match state.and_then(crate::supervisor::State::launch) {
                            Some(launch) => {
                                touched += 1;
                                out.push(Effect::Signal { launch, signal: *signal });
                            }
                            None => failed.push(not_running(id)),
                        }
                    }
                    Answer::Done { touched, failed }
                }
                Err(answer) => answer,
            },
            _ => return None,
        })
    }

    /// What only the processes themselves can hear, or know.
    pub(super) fn converse(&self, client: ClientId, request: &Request, now: Now) -> Option<Effect> {
        let (targets, talk) = match request {
            Request::Feed { targets, text } => (targets, Talk::Feed(text.clone())),
            Request::Tell { targets, message } => (targets, Talk::Tell(message.clone())),
            Request::Offers { targets } => (targets, Talk::Offers),
            Request::Heed => return Some(Effect::Heed { client }),
            _ => return None,
        };
        let ids = match resolve(targets, &view::views(&self.table, now)) {
            Ok(ids) => ids,
            Err(error) => {
                return Some(Effect::Answer { client, answer: Box::new(request::unknown(error)), last: true });
            }
        };
        let (mut with, mut failed) = (Vec::new(), Vec::new());
        for id in ids {
            let instance = self.table.instance(&id);
            let launch = instance.and_then(|instance| instance.machine.state.launch());
            let spec = self.table.apps.get(&id.app).map(|app| &app.record.spec);
            if matches!(talk, Talk::Feed(_)) && spec.is_some_and(|spec| !spec.has_stdin()) {
                let reason = "neither workers of a cluster nor jobs have a standard input".to_owned();
                failed.push(Failure { slot: Some(id.slot), ..Failure::of_app(id.app, reason) });
                continue;
            }
            match (instance, launch) {
                (Some(instance), Some(launch)) => {
                    with.push(Partner { instance: id, list_id: instance.list_id, launch });
                }
                _ => failed.push(not_running(id)),
            }
        }
        Some(Effect::Converse { client, talk: Box::new(talk), with, failed })
    }

    /// Whose words these are.
    pub(super) fn said(&self, launch: LaunchId, message: Box<Value>) -> Option<Effect> {
        let id = self.table.owner(launch)?;
        let app = self.table.apps.get(&id.app)?;
        let instance = self.table.instance(&id)?;
        let namespace = app.record.spec.namespace.clone();
        let said = Answer::Said { id: instance.list_id, name: id.app, slot: id.slot, namespace, message };
        Some(Effect::Said(Box::new(said)))
    }

    /// What was counted of runs that were too short counts no more, either.
    fn reset(&mut self, ids: &[InstanceId]) -> Answer {
        for id in ids {
            let app = self.table.apps.get_mut(&id.app);
            if let Some(instance) = app.and_then(|app| app.instances.get_mut(&id.slot)) {
                (instance.machine.restarts, instance.machine.unstable) = (0, 0);
            }
            self.table.unsettle(id);
        }
        Answer::Done { touched: ids.len(), failed: Vec::new() }
    }
}

fn not_running(id: InstanceId) -> Failure {
    Failure { slot: Some(id.slot), ..Failure::of_app(id.app, "it does not run".to_owned()) }
}
