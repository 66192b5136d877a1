//! What is done at once, whatever is at work: nothing of it is recorded.

use super::Core;
use crate::base::{InstanceId, Now};
use crate::rpc::wire::{Answer, Failure, Request};
use crate::runtime::{Effect, request, resolve, view};

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
