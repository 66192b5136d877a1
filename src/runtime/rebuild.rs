//! What should run when the state is damaged: what its last backup says, and what runs. Nobody's process is ended for it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{InstanceRecord, Intent, Standing, State};
use crate::base::InstanceId;
use crate::supervisor;

/// A process with this home's marks, with what it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub pid: u32,
    /// With the pid it names a process for good.
    pub start: u64,
    pub instance: InstanceId,
    /// As `list` numbered it.
    pub list_id: u32,
    /// Its launch's mark.
    pub mark: String,
    /// It may be the first of its launch: others descend from such a one.
    pub first: bool,
    /// It is: its pid file says so.
    pub filed: bool,
}

/// What an earlier daemon started and nobody knows the settings of: it is left running, and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    pub pid: u32,
    pub start: u64,
    pub instance: InstanceId,
    pub list_id: u32,
    pub mark: String,
}

/// What an older state comes to, seeing what runs: what runs of its apps should run, whatever was recorded. Who is just being
/// stopped, and what a job that is done has left, is not meant: `standings` say where each stood.
#[must_use]
pub fn rebuild(mut state: State, found: &[Found], standings: &BTreeMap<u32, Standing>) -> State {
    state.strangers.retain(|stranger| found.iter().any(|one| one.mark == stranger.mark));
    let mut launches: Vec<&Found> = Vec::new();
    for one in found {
        match launches.iter_mut().find(|known| known.mark == one.mark) {
            Some(known) if (!one.first, one.start, one.pid) < (!known.first, known.start, known.pid) => *known = one,
            Some(_) => {}
            None => launches.push(one),
        }
    }
    // The latest launch of an instance is the one that was meant to go on.
    launches.sort_by_key(|one| std::cmp::Reverse((one.start, one.pid)));
    let is_known = |one: &&Found| state.strangers.iter().any(|stranger| stranger.mark == one.mark);
    launches.retain(|one| !is_known(one));
    let mut taken: BTreeSet<InstanceId> = BTreeSet::new();
    let mut take = |claim: fn(&State, &Found) -> Option<InstanceId>, state: &mut State| {
        launches.retain(|one| {
            let Some(id) = claim(state, one).filter(|id| one.first && !taken.contains(id)) else { return true };
            recall(state, &id, one, standings.get(&one.list_id));
            taken.insert(id);
            false
        });
    };
    take(same, &mut state);
    take(renamed, &mut state);
    take(anew, &mut state);
    // What other launches of theirs have left is ended as after any crash.
    launches.retain(|one| same(&state, one).is_none() && renamed(&state, one).is_none());
    let stranger = |one: &Found| {
        let Found { pid, start, instance, list_id, mark, .. } = one.clone();
        Stranger { pid, start, instance, list_id, mark }
    };
    state.strangers.extend(launches.into_iter().map(stranger));
    state.strangers.sort_by_key(|stranger| (stranger.instance.to_string(), stranger.pid));
    state
}

/// The instance that it was recorded as.
fn same(state: &State, one: &Found) -> Option<InstanceId> {
    let InstanceId { app, slot } = &one.instance;
    let known = state.apps.get(app)?.instances.get(slot)?;
    (known.id == one.list_id).then(|| one.instance.clone())
}

/// One whose app has, or had, another name.
fn renamed(state: &State, one: &Found) -> Option<InstanceId> {
    let InstanceId { app, slot } = &one.instance;
    let has = |name: &String| state.apps[name].instances.get(slot).is_some_and(|known| known.id == one.list_id);
    let is_by_former_name = |name: &String| {
        let known = state.apps[name].instances.get(slot);
        known.is_some_and(|known| known.launched_as.as_ref() == Some(app))
    };
    let name = state.apps.keys().find(|name| has(name) && (is_by_former_name(name) || !state.apps.contains_key(app)));
    name.map(|name| InstanceId::new(name, *slot))
}

/// A further instance of an app that is known, or one that has been deleted and made anew.
fn anew(state: &State, one: &Found) -> Option<InstanceId> {
    state.apps.contains_key(&one.instance.app).then(|| one.instance.clone())
}

fn is_being_stopped(standing: &Standing) -> bool {
    use supervisor::{ErrorReason, State, Then};
    matches!(
        standing.state,
        State::Stopping { then: Then::Stop, .. }
            | State::Errored { reason: ErrorReason::WouldNotDie { then: Then::Stop, .. } }
    )
}

/// Two are never called by one number.
fn give_way(state: &mut State, id: &InstanceId, list_id: u32) {
    let next = state.next_list_id().max(list_id + 1);
    let all = state.apps.iter_mut().flat_map(|(name, app)| app.instances.iter_mut().map(move |one| (name, one)));
    let mut others = all.filter(|(name, (slot, known))| known.id == list_id && (**name != id.app || **slot != id.slot));
    if let Some((_, (_, other))) = others.next() {
        other.id = next;
    }
}

fn recall(state: &mut State, id: &InstanceId, one: &Found, standing: Option<&Standing>) {
    give_way(state, id, one.list_id);
    let Some(app) = state.apps.get_mut(&id.app) else { return };
    let known = app.instances.entry(id.slot).or_insert_with(|| Box::new(InstanceRecord::new(one.list_id, Intent::Up)));
    known.id = one.list_id;
    if one.instance.app != id.app {
        known.launched_as = Some(one.instance.app.clone());
    }
    let should_run = match known.intent {
        Intent::Up => true,
        Intent::Stopped => !standing.is_some_and(is_being_stopped),
        // What it left may look as its first process did.
        Intent::Done { .. } => match standing {
            Some(standing) => standing.pid() == Some(one.pid) && !is_being_stopped(standing),
            None => one.filed,
        },
    };
    if should_run {
        known.intent = Intent::Up;
        known.until_kill = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{ExitStatus, Key, Mono};
    use crate::runtime::AppRecord;
    use crate::spec::AppSpec;

    /// `web:0=3 stopped` is instance 0 of web, which `list` calls 3.
    fn state(instances: &[&str]) -> State {
        let mut state = State::empty(Key([0; 32]));
        for text in instances {
            let (id, rest) = text.split_once('=').unwrap();
            let (number, intent) = rest.split_once(' ').unwrap();
            let id: InstanceId = id.parse().unwrap();
            let intent = match intent {
                "up" => Intent::Up,
                "stopped" => Intent::Stopped,
                _ => Intent::Done { status: ExitStatus::Code(0) },
            };
            let spec = Arc::new(AppSpec::new(&id.app, "/bin/true", "/"));
            let new =
                || AppRecord { ecosystem: None, file: None, spec, ambient: String::new(), instances: BTreeMap::new() };
            let record = state.apps.entry(id.app.clone()).or_insert_with(new);
            let known = InstanceRecord::new(number.parse().unwrap(), intent);
            record.instances.insert(id.slot, Box::new(known));
        }
        state
    }

    fn told(state: &State) -> Vec<String> {
        let word = |known: &InstanceRecord| match known.intent {
            Intent::Up => "up",
            Intent::Stopped => "stopped",
            Intent::Done { .. } => "done",
        };
        let of = |(name, app): (&String, &AppRecord)| {
            let former = |known: &InstanceRecord| {
                known.launched_as.as_ref().map(|name| format!(" as {name}")).unwrap_or_default()
            };
            let one = |slot: &u32, known: &InstanceRecord| {
                format!("{name}:{slot}={} {}{}", known.id, word(known), former(known))
            };
            app.instances.iter().map(|(slot, known)| one(slot, known)).collect::<Vec<_>>()
        };
        let strangers = state.strangers.iter().map(|one| format!("stranger {} {}", one.instance, one.mark));
        state.apps.iter().flat_map(of).chain(strangers).collect()
    }

    /// 99 was being stopped, 98 ran as the first process of a list.
    fn standings() -> BTreeMap<u32, Standing> {
        let launch = supervisor::LaunchId(1);
        let (phase, then) = (supervisor::StopPhase::Killed { deadline: Mono(0) }, supervisor::Then::Stop);
        let stopping = supervisor::State::Stopping { launch, pid: Some(10), phase, then };
        let online = supervisor::State::Online { launch, pid: 10, since: Mono(0), healthy: true };
        let standing =
            |state: supervisor::State| serde_json::from_value(serde_json::json!({ "state": state })).unwrap();
        BTreeMap::from([(99, standing(stopping)), (98, standing(online))])
    }

    fn check(before: &[&str], running: &[&str], want: &[&str]) {
        let found: Vec<Found> = running
            .iter()
            .zip(10..)
            .map(|(text, pid)| {
                let (id, rest) = text.split_once('=').unwrap();
                let (number, mark) = rest.split_once(' ').unwrap();
                let (instance, list_id) = (id.parse().unwrap(), number.parse().unwrap());
                Found {
                    pid,
                    start: u64::from(pid),
                    instance,
                    list_id,
                    mark: mark.to_owned(),
                    first: true,
                    filed: false,
                }
            })
            .collect();
        let rebuilt = rebuild(state(before), &found, &standings());
        assert_eq!(told(&rebuilt), want, "{before:?} with {running:?}");
        let again = rebuild(rebuilt.clone(), &found, &standings());
        assert_eq!(told(&again), want, "a second time: {before:?} with {running:?}");
    }

    #[test]
    fn what_runs_of_a_known_app_should_run_and_the_rest_is_left_alone() {
        check(&["a:0=1 up", "b:0=2 stopped"], &["a:0=1 m1"], &["a:0=1 up", "b:0=2 stopped"]);
        check(&["a:0=1 stopped"], &["a:0=1 m1"], &["a:0=1 up"]);
        check(&["a:0=99 stopped"], &["a:0=99 m1"], &["a:0=99 stopped"]);
        check(&["a:0=1 done"], &["a:0=1 m1"], &["a:0=1 done"]);
        check(&["a:0=98 done"], &["a:0=98 m1"], &["a:0=98 up"]);
        check(&["a:0=99 done"], &["a:0=99 m1"], &["a:0=99 done"]);
        // Scaled up since.
        check(&["a:0=1 up"], &["a:0=1 m1", "a:1=5 m2"], &["a:0=1 up", "a:1=5 up"]);
        // Deleted and made anew since.
        check(&["a:0=1 up"], &["a:0=7 m1"], &["a:0=7 up"]);
        // Both launches of a reload.
        check(&["a:0=1 up"], &["a:0=1 m1", "a:0=1 m2"], &["a:0=1 up"]);
        // Renamed, and started anew since; and one that is another's.
        check(&["a:0=1 up"], &["b:0=1 m1"], &["a:0=1 up as b"]);
        check(&["a:0=1 up", "b:0=2 up"], &["b:0=1 m1"], &["a:0=3 up", "b:0=1 up"]);
        // Nobody knows it.
        check(&[], &["a:0=1 m1"], &["stranger a:0 m1"]);
        check(&["a:0=1 up"], &["z:0=4 m1"], &["a:0=1 up", "stranger z:0 m1"]);
    }

    #[test]
    fn a_job_that_is_done_and_runs_is_to_run_where_it_was_not_being_stopped() {
        let one = |filed| Found {
            pid: 10,
            start: 10,
            instance: InstanceId::new("a", 0),
            list_id: 1,
            mark: "m".to_owned(),
            first: true,
            filed,
        };
        for (filed, want) in [(true, "a:0=1 up"), (false, "a:0=1 done")] {
            let rebuilt = rebuild(state(&["a:0=1 done"]), &[one(filed)], &BTreeMap::new());
            assert_eq!(told(&rebuilt), [want]);
        }
    }

    #[test]
    fn what_a_first_process_has_started_is_not_taken_for_it() {
        let one = |pid, first| Found {
            pid,
            start: u64::from(pid),
            instance: InstanceId::new("a", 0),
            list_id: 1,
            mark: "m".to_owned(),
            first,
            filed: false,
        };
        let rebuilt = rebuild(state(&[]), &[one(5, false), one(7, true), one(9, true)], &BTreeMap::new());
        assert_eq!(rebuilt.strangers.iter().map(|stranger| stranger.pid).collect::<Vec<_>>(), [7]);
        let rebuilt = rebuild(state(&["a:0=1 stopped"]), &[one(5, false)], &BTreeMap::new());
        assert_eq!(told(&rebuilt), ["a:0=1 stopped"], "only what its first process left");
    }
}
