//! Who stops something does not wait until something else is ready.

use super::{Core, Queued};
use crate::base::{InstanceId, Now};
use crate::rpc::wire::{Answer, Progress, ProgressKind, Request};
use crate::runtime::operation::Operation;
use crate::runtime::{Effect, resolve, view};

impl Core {
    /// Whether what is at work lets this have its turn first.
    pub(super) fn is_cut_into_by(&self, request: &Request) -> bool {
        let at_work = || self.current.as_ref().is_some_and(Operation::gives_way);
        is_stop(request) && self.paused.is_none() && at_work()
    }

    /// What is at work is left at that, and goes on when what came in between is done.
    pub(super) fn cut_in(&mut self, now: Now, out: &mut Vec<Effect>) {
        let next = self.queue.front().is_some_and(|queued| self.is_cut_into_by(&queued.request));
        if !next || self.current.as_ref().is_some_and(Operation::is_saving) {
            return;
        }
        let Some(Queued { caller, mut request }) = self.queue.pop_front() else { return };
        let (by, mut paused) = (caller.holder.clone(), self.current.take());
        let unborn = paused.as_ref().map(|paused| self.take_unborn(&mut request, paused, now)).unwrap_or_default();
        let mut apps: Vec<&str> = unborn.iter().map(|id| id.app.as_str()).collect();
        apps.dedup();
        let deletes = matches!(request, Request::Delete { .. });
        for app in apps.iter().filter(|_| deletes) {
            let what = ProgressKind::Deleted;
            caller.tell(Answer::Progress(Progress { app: (*app).to_owned(), slot: None, what }), false, out);
        }
        if deletes && !unborn.is_empty() && targets(&mut request).is_none_or(|targets| targets.is_empty()) {
            caller.tell(Answer::Done { touched: apps.len(), failed: Vec::new() }, true, out);
        } else {
            self.begin(Queued { caller, request }, now, out);
            if let (Some(stop), Some(paused)) = (self.current.as_mut().filter(|_| !deletes), &paused) {
                stop.stop_unborn(&apps, paused, &self.table);
            }
        }
        let mut stopped = self.current.as_ref().map(Operation::stops).unwrap_or_default();
        stopped.extend(unborn);
        if let Some(paused) = &mut paused {
            paused.take_back(&stopped, &by, &mut self.around(now, out));
        }
        self.paused = paused;
    }

    /// Takes out of a request what is only about to be made by what is at work: nobody knows it yet, but by its name.
    fn take_unborn(&self, request: &mut Request, at_work: &Operation, now: Now) -> Vec<InstanceId> {
        let unborn = view::unborn(&at_work.unborn(&self.table));
        let Some(targets) = targets(request).filter(|_| !unborn.is_empty()) else { return Vec::new() };
        let known = view::views(&self.table, now);
        let all: Vec<_> = known.into_iter().chain(unborn.iter().cloned()).collect();
        // What names nothing is refused as ever.
        let Ok(named) = resolve(targets, &all) else { return Vec::new() };
        let is_unborn = |id: &InstanceId| unborn.iter().any(|view| view.name == id.app);
        let (unborn, known): (Vec<InstanceId>, Vec<InstanceId>) = named.into_iter().partition(is_unborn);
        if !unborn.is_empty() {
            *targets = known.iter().map(ToString::to_string).collect();
        }
        unborn
    }
}

pub(super) fn is_stop(request: &Request) -> bool {
    matches!(request, Request::Stop { .. } | Request::Delete { .. })
}

fn targets(request: &mut Request) -> Option<&mut Vec<String>> {
    match request {
        Request::Stop { targets } | Request::Delete { targets } => Some(targets),
        _ => None,
    }
}
