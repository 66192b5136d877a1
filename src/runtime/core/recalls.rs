//! What has to be read before it can be answered: what was.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Core, ends};
use crate::base::is_second;
use crate::plan::{Formers, Snapshot};
use crate::rpc::wire::{Answer, Back, Request};
use crate::runtime::generation::{self, former_of};
use crate::runtime::operation::Recalling;
use crate::runtime::table::Ambient;
use crate::runtime::{ClientId, Effect, Recall, RecallError, Recalled, Ticket, drift, request, view};

/// Who waits for what is being read.
#[derive(Debug)]
pub(super) struct Asked {
    client: ClientId,
    request: Request,
}

impl Core {
    /// Whether a request only reads, and has to wait until what it asks for is read.
    pub(super) fn looks_back(&mut self, client: ClientId, request: &Request, out: &mut Vec<Effect>) -> bool {
        let wanted = match request {
            Request::History { count } => Recall::Last { count: *count },
            Request::Generation { number } => Recall::One { number: *number },
            Request::Between { old, new } => Recall::Two { old: *old, new: *new },
            Request::Formers { to } => Recall::Back { to: *to },
            Request::PlanBack(back) => Recall::Back { to: back.to },
            Request::Drift => Recall::ByHand,
            _ => return false,
        };
        let ticket = self.recall(wanted, out);
        self.asked.insert(ticket, Asked { client, request: request.clone() });
        true
    }

    pub(super) fn recall(&mut self, wanted: Recall, out: &mut Vec<Effect>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        out.push(Effect::Recall { ticket, wanted });
        ticket
    }

    pub(super) fn recalled(
        &mut self,
        ticket: Ticket,
        result: Result<Box<Recalled>, RecallError>,
        out: &mut Vec<Effect>,
    ) {
        if let Some(Asked { client, request }) = self.asked.remove(&ticket) {
            let answer = result.map_or_else(|error| refusal(&error), |found| self.answer(request, *found));
            out.push(Effect::Answer { client, answer: Box::new(answer), last: true });
            return;
        }
        let waits = |recalling: &mut Recalling| recalling.ticket == ticket;
        let Some(Recalling { back, .. }) = self.current.as_mut().and_then(|current| current.recalling.take_if(waits))
        else {
            return;
        };
        let prepared = result.map_err(|error| refusal(&error)).and_then(|found| self.go_back(&back, *found, out));
        if let Err(answer) = prepared
            && let Some(current) = self.current.take()
        {
            current.caller.tell(answer, true, out);
            self.table.asking = crate::runtime::history::Why::Unknown;
        }
    }

    /// Whoever waits for what is read when the daemon ends asks the next.
    pub(super) fn forget_who_asked(&mut self, out: &mut Vec<Effect>) {
        for (_, Asked { client, .. }) in std::mem::take(&mut self.asked) {
            out.push(Effect::Answer { client, answer: Box::new(Answer::Ending), last: true });
        }
    }

    fn answer(&self, request: Request, found: Recalled) -> Answer {
        let at_work = self.current.as_ref().and_then(super::Operation::generation);
        match request {
            Request::Generation { number } => {
                let plan = generation::step_to(number, &found.formers, &self.key);
                let generation = found.generations.into_iter().next().map(Box::new);
                Answer::Generation { generation, at_work: at_work == Some(number), plan: Box::new(plan) }
            }
            Request::Between { new, .. } => {
                Answer::Plan { plan: Box::new(generation::between(new, found.formers, self.formers(), &self.key)) }
            }
            Request::Formers { .. } => {
                let (to, formers) = found.formers.into_iter().next().unwrap_or_default();
                Answer::Formers {
                    to,
                    apps: formers.into_values().map(|former| Arc::unwrap_or_clone(former.spec)).collect(),
                }
            }
            Request::PlanBack(back) => {
                let snapshot = view::snapshot(&self.table, self.generation);
                match request::plan_to(&back, found, &snapshot, &self.key) {
                    Ok((plan, ..)) => Answer::Plan { plan: Box::new(plan) },
                    Err(answer) => answer,
                }
            }
            Request::Drift => {
                let snapshot = view::snapshot(&self.table, self.generation);
                let drifts = drift::of(&snapshot, &self.formers(), &found, &self.key);
                let running = self.table.apps.iter().flat_map(|(name, app)| {
                    let own = app.instances.iter().filter(|(slot, _)| !is_second(**slot));
                    let pids = own.map(|(slot, instance)| (*slot, instance.machine.state.pid()));
                    let pids: BTreeMap<u32, u32> = pids.filter_map(|(slot, pid)| Some((slot, pid?))).collect();
                    snapshot.apps.get(name).map(|actual| drift::running(name, actual, &pids)).unwrap_or_default()
                });
                Answer::Drift { drifts, running: running.collect() }
            }
            _ => Answer::History { generations: found.generations, at_work },
        }
    }

    /// What should run now, as a generation has it.
    fn formers(&self) -> Formers {
        let known = self.table.apps.iter().filter(|(_, app)| !app.deleted);
        known.map(|(name, app)| (name.clone(), former_of(&app.record))).collect()
    }

    /// Now that it is known what a way back goes back to.
    fn go_back(&mut self, back: &Back, found: Recalled, out: &mut Vec<Effect>) -> Result<(), Answer> {
        let snapshot = view::snapshot(&self.table, self.generation);
        let ambients: BTreeMap<String, Ambient> = found
            .ambients
            .iter()
            .map(|(digest, variables)| {
                (digest.clone(), Ambient { digest: digest.clone(), variables: Arc::clone(variables) })
            })
            .collect();
        let (plan, formers, completions) = request::plan_to(back, found, &snapshot, &self.key)?;
        let Some(current) = &mut self.current else { return Err(ends()) };
        current.remember_plan(&plan);
        request::add_back(current, &plan, &formers, &completions, &ambients, &self.table);
        current.caller.tell(Answer::Begun { plan: Box::new(plan) }, false, out);
        Ok(())
    }

    /// A command that failed and said so beforehand has everything that it touched become what it was.
    pub(super) fn undo(&mut self, mut way: crate::runtime::operation::WayBack, out: &mut Vec<Effect>) {
        let mut snapshot: Snapshot = view::snapshot(&self.table, self.generation);
        self.table.leave_as_before(&way.formers, &mut snapshot);
        let selection = crate::graph::Selection::Only(way.touched);
        let to = crate::plan::Destination {
            formers: &way.formers,
            completions: &way.completions,
            generation: Some(way.to),
            selection: &selection,
            key: &self.key,
        };
        let plan = crate::plan::plan_back(&to, &snapshot);
        request::add_back(&mut way.operation, &plan, &way.formers, &way.completions, &way.ambients, &self.table);
        way.operation.caller.tell(Answer::GoingBack { failed: way.failed, plan: Box::new(plan) }, false, out);
        self.current = Some(way.operation);
    }
}

fn refusal(error: &RecallError) -> Answer {
    let hint = matches!(error, RecallError::Unknown { .. }).then(|| "`pmrun history` lists them".to_owned());
    Answer::Error { message: error.to_string(), hint }
}
