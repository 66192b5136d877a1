//! From what is there to what a generation has: `rollback`, and what changed between two generations.

use std::collections::{BTreeMap, BTreeSet};

use super::existing::{Known, Slots, action, reasons, shown_changes};
use super::order::ordered;
use super::planner::{begin_after, declarations, ending};
use super::{
    Action, ActualApp, Completions, Former, Formers, Liveness, Meant, Plan, Reason, Snapshot, Step, note_followers,
    process_visible_eq,
};
use crate::base::Key;
use crate::graph::Selection;
use crate::spec::{EcosystemId, Fingerprint};

/// What stands in the place of an ecosystem's name in a plan that is about all of them.
pub const EVERYTHING: &str = "*";

/// Where a plan goes to.
#[derive(Debug)]
pub struct Destination<'a> {
    pub formers: &'a Formers,
    pub completions: &'a Completions,
    /// None is now.
    pub generation: Option<u64>,
    /// Names that neither side has mean nothing.
    pub selection: &'a Selection,
    pub key: &'a Key,
}

/// What must happen so that the selected apps are as a generation has them, whosever they are. Total: nothing is refused.
#[must_use]
pub fn plan_back(to: &Destination<'_>, actual: &Snapshot) -> Plan {
    let renames = renames(to, actual);
    let mut steps = gone(to, actual, &renames);
    let ending = ending(&steps, actual);
    steps.extend(there(to, actual, &renames));
    begin_after(&mut steps, &ending);
    note_needs(&mut steps, to, actual);
    let ecosystem = EcosystemId(EVERYTHING.to_owned());
    let mut plan = Plan { ecosystem, generation: actual.generation, steps, refusals: Vec::new() };
    note_followers(&mut plan, actual);
    plan
}

/// New names to those from which what runs is taken over: a rename is undone, or done again, as it was done. What was created in
/// place of the other would run beside it until that has ended, and find its port taken. Either name chooses both: they are one app.
fn renames<'a>(to: &Destination<'a>, actual: &'a Snapshot) -> BTreeMap<&'a str, &'a str> {
    let goes = |name: &str| !to.formers.contains_key(name);
    let mut renames = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (name, former) in to.formers.iter().filter(|(name, _)| !actual.apps.contains_key(*name)) {
        let again = former.spec.renamed_from.as_ref().and_then(|from| actual.apps.get_key_value(from));
        let back = || actual.apps.iter().find(|(_, app)| app.spec.renamed_from.as_ref() == Some(name));
        if let Some((from, _)) = again.filter(|(from, _)| goes(from)).or_else(|| back().filter(|(from, _)| goes(from)))
            && taken.insert(from.as_str())
        {
            renames.insert(name.as_str(), from.as_str());
        }
    }
    renames.retain(|name, from| to.selection.contains(name) || to.selection.contains(from));
    renames
}

/// Says where what comes back depends on an app that there will not be: it was left out, or is gone for good.
fn note_needs(steps: &mut [Step], to: &Destination<'_>, actual: &Snapshot) {
    let stays = |name: &str| {
        let is_meant = to.selection.contains(name);
        if is_meant { to.formers.contains_key(name) } else { actual.apps.contains_key(name) }
    };
    for step in steps.iter_mut().filter(|step| !step.is_keep() && step.action != Action::Delete) {
        let needs = to.formers.get(&step.app).into_iter().flat_map(|former| &former.spec.depends_on);
        let missing = needs.filter(|need| !stays(need)).map(|need| Reason::NeedsNobody { app: need.clone() });
        step.reasons.extend(missing);
    }
}

/// Says where the code on disk is not what a generation ran: only what is configured goes back.
pub fn note_code(plan: &mut Plan, then: &Formers, disk: &BTreeMap<String, Fingerprint>) {
    for step in plan.steps.iter_mut().filter(|step| step.action != Action::Delete) {
        let (Some(then), Some(Fingerprint(disk))) = (then.get(&step.app), disk.get(&step.app)) else { continue };
        for (file, digest) in &then.spec.fingerprint.0 {
            if disk.get(file) != Some(digest) {
                step.reasons.push(Reason::CodeSince { file: file.clone() });
            }
        }
    }
}

/// Dependents first.
fn gone(to: &Destination<'_>, actual: &Snapshot, renames: &BTreeMap<&str, &str>) -> Vec<Step> {
    let is_renamed = |name: &String| renames.values().any(|from| from == name);
    let is_gone = |name: &String| to.selection.contains(name) && !to.formers.contains_key(name) && !is_renamed(name);
    let gone: BTreeMap<&str, &ActualApp> =
        actual.apps.iter().filter(|(name, _)| is_gone(name)).map(|(name, app)| (name.as_str(), app)).collect();
    let mut dependents: BTreeMap<&str, Vec<&str>> = gone.keys().map(|name| (*name, Vec::new())).collect();
    for (name, app) in &gone {
        for need in &app.spec.depends_on {
            if let Some(dependents) = dependents.get_mut(need.as_str()) {
                dependents.push(name);
            }
        }
    }
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut steps = Vec::with_capacity(gone.len());
    for name in ordered(&dependents) {
        let after = dependents[name].iter().filter(|dependent| done.contains(*dependent));
        steps.push(Step {
            action: Action::Delete,
            remove: gone[name].instances.keys().copied().collect(),
            after: after.map(|name| (*name).to_owned()).collect(),
            ..Step::keep(name, vec![Reason::NotThere { generation: to.generation }])
        });
        done.insert(name);
    }
    steps
}

/// Each after what it depends on.
fn there(to: &Destination<'_>, actual: &Snapshot, renames: &BTreeMap<&str, &str>) -> Vec<Step> {
    let wanted: BTreeMap<&str, &Former> = to
        .formers
        .iter()
        .filter(|(name, _)| to.selection.contains(name) || renames.contains_key(name.as_str()))
        .map(|(name, former)| (name.as_str(), former))
        .collect();
    let needs =
        wanted.iter().map(|(name, former)| (*name, former.spec.depends_on.iter().map(String::as_str).collect()));
    let mut acting: BTreeSet<&str> = BTreeSet::new();
    let mut steps = Vec::with_capacity(wanted.len());
    for name in ordered(&needs.collect()) {
        let former = wanted[name];
        let renamed_from = renames.get(name).copied();
        let mut step = match actual.apps.get(renamed_from.unwrap_or(name)) {
            Some(actual) => existing(former, actual, renamed_from, to),
            None => create(former, to),
        };
        if !step.is_keep() {
            step.after = former.spec.depends_on.iter().filter(|need| acting.contains(need.as_str())).cloned().collect();
            acting.insert(name);
        }
        steps.push(step);
    }
    steps
}

fn create(former: &Former, to: &Destination<'_>) -> Step {
    let up = former.slots.iter().filter(|(_, meant)| **meant == Meant::Up).map(|(slot, _)| *slot);
    let (done, start): (Vec<u32>, Vec<u32>) = up.partition(|slot| to.was_done(former, *slot));
    let mut reasons = vec![Reason::There { generation: to.generation }];
    reasons.extend(to.completed(&done));
    Step { start, done, changes: declarations(&former.spec, to.key), ..Step::create(&former.spec.name, reasons) }
}

impl Destination<'_> {
    /// What has done its work by what it is to be again has done it. A job with a schedule has another run to come.
    fn was_done(&self, former: &Former, slot: u32) -> bool {
        let done = self.completions.get(&former.spec.name);
        former.spec.schedule.is_none() && done.is_some_and(|done| done.contains_key(&slot))
    }

    fn completed(&self, slots: &[u32]) -> Option<Reason> {
        (!slots.is_empty()).then(|| Reason::CompletedThen { slots: slots.to_vec(), generation: self.generation })
    }
}

fn existing(former: &Former, actual: &ActualApp, renamed_from: Option<&str>, to: &Destination<'_>) -> Step {
    let (app, known) = (&*former.spec, Known { actual, renamed_from, adopted: actual.ecosystem != former.ecosystem });
    let changes = shown_changes(app, &known, to.key);
    let (slots, Down { stop, done }) = slots(former, actual, to);
    let own = action(&changes, &slots, &known);
    let ends = |slot: &u32| actual.instances.get(slot).is_some_and(|instance| instance.liveness == Liveness::Up);
    let action = match own {
        Action::Keep | Action::Update | Action::Rename if !stop.is_empty() || done.iter().any(ends) => Action::Stop,
        Action::Keep | Action::Rename if !done.is_empty() => Action::Update,
        own => own,
    };
    let mut reasons = reasons(app, &changes, &slots, &known);
    for reason in &mut reasons {
        if let Reason::Stopped { slots } = reason {
            *reason = Reason::UpThen { slots: std::mem::take(slots), generation: to.generation };
        }
    }
    if !stop.is_empty() {
        reasons.retain(|reason| *reason != Reason::Unchanged);
        reasons.push(Reason::StoppedThen { slots: stop.clone(), generation: to.generation });
    }
    if let Some(completed) = to.completed(&done) {
        reasons.retain(|reason| *reason != Reason::Unchanged);
        reasons.push(completed);
    }
    if action == Action::Keep {
        return Step::keep(&app.name, reasons);
    }
    Step {
        action,
        renamed_from: renamed_from.map(str::to_owned),
        start: slots.start(),
        remove: slots.remove.clone(),
        overlaps: slots.overlaps(actual, &former.spec),
        downtime: slots.downtime(actual, &former.spec),
        replace: slots.replace,
        stop,
        done,
        changes,
        ..Step::keep(&app.name, reasons)
    }
}

/// Slots that stay, and that do not run then.
#[derive(Default)]
struct Down {
    stop: Vec<u32>,
    done: Vec<u32>,
}

/// What is to be done about each slot.
fn slots(former: &Former, actual: &ActualApp, to: &Destination<'_>) -> (Slots, Down) {
    let mut slots = Slots { count: count(actual.instances.len()), ..Slots::default() };
    let Down { mut stop, mut done } = Down::default();
    for (&slot, instance) in &actual.instances {
        let launched = instance.launched.as_deref();
        let (was, is) = (&*actual.spec, &*former.spec);
        let current = launched.is_some_and(|launched| {
            launched.schedule.is_some() && is.schedule.is_some() || process_visible_eq(launched, is)
        });
        match (former.slots.get(&slot), instance.liveness) {
            (None, _) => slots.remove.push(slot),
            (Some(Meant::Up), Liveness::Up) if current => {}
            // What has done its work by what it is to be again has done it.
            (Some(Meant::Up), Liveness::Completed)
                if process_visible_eq(launched.unwrap_or(was), is) && (was.restart.auto || !is.restart.auto) =>
            {
                slots.completed = true;
            }
            (Some(Meant::Up), _) if to.was_done(former, slot) => done.push(slot),
            (Some(Meant::Up), Liveness::Up) => {
                slots.replace.push(slot);
                slots.note_behind(slot, launched, was, is);
            }
            (Some(Meant::Up), Liveness::Stopped) => slots.stopped.push(slot),
            (Some(Meant::Up), Liveness::Errored) => slots.errored.push(slot),
            (Some(Meant::Up), Liveness::Completed) => {
                slots.rerun.push(slot);
                slots.note_other_code(slot, launched, was, is);
            }
            (Some(Meant::Stopped | Meant::Killed), Liveness::Stopped) => {}
            (Some(Meant::Stopped | Meant::Killed), _) => stop.push(slot),
        }
    }
    let added = former.slots.iter().filter(|(slot, _)| !actual.instances.contains_key(slot));
    for (slot, meant) in added {
        slots.added.push(*slot);
        if *meant == Meant::Up && to.was_done(former, *slot) {
            done.push(*slot);
        } else if *meant == Meant::Up {
            slots.started.push(*slot);
        }
    }
    (slots, Down { stop, done })
}

fn count(slots: usize) -> u32 {
    u32::try_from(slots).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::ActualInstance;
    use crate::spec::AppSpec;

    const KEY: Key = Key([3; 32]);

    fn former(name: &str, env: &str, slots: &[Meant]) -> Former {
        let mut spec = AppSpec::new(name, "/bin/x", "/");
        spec.env.insert("X".into(), env.into());
        spec.instances = count(slots.len());
        if name == "b" {
            spec.depends_on = vec!["a".into()];
        }
        Former {
            ecosystem: Some(EcosystemId("one".into())),
            file: None,
            spec: Arc::new(spec),
            ambient: String::new(),
            slots: (0..).zip(slots.iter().copied()).collect(),
        }
    }

    /// All that an app may have been.
    fn shapes(name: &str) -> Vec<Option<Former>> {
        use Meant::{Killed, Stopped, Up};
        let slots: [&[Meant]; 5] = [&[Up], &[Stopped], &[Up, Up], &[Up, Stopped], &[Killed, Up, Up]];
        let known = slots.into_iter().flat_map(|slots| ["1", "2"].map(|env| Some(former(name, env, slots))));
        std::iter::once(None).chain(known).collect()
    }

    fn generation(a: Option<&Former>, b: Option<&Former>) -> Formers {
        a.into_iter().chain(b).map(|former| (former.spec.name.clone(), former.clone())).collect()
    }

    fn back(to: &Formers, actual: &Snapshot, selection: &Selection) -> Plan {
        back_with(to, &Completions::new(), actual, selection)
    }

    fn back_with(to: &Formers, completions: &Completions, actual: &Snapshot, selection: &Selection) -> Plan {
        plan_back(&Destination { formers: to, completions, generation: Some(7), selection, key: &KEY }, actual)
    }

    /// Every process that is started comes up.
    fn perform(plan: &Plan, to: &Formers, state: &mut Snapshot) {
        for step in plan.steps.iter().filter(|step| !step.is_keep()) {
            let Some(former) = to.get(&step.app) else {
                state.apps.remove(&step.app);
                continue;
            };
            let before = step.renamed_from.as_ref().unwrap_or(&step.app);
            let known = state.apps.remove(before).map(|app| app.instances).unwrap_or_default();
            let mut app = Snapshot::of_generation(7, &generation(Some(former), None)).apps.remove(&step.app).unwrap();
            for (slot, instance) in &mut app.instances {
                let is_done = [&step.start, &step.replace, &step.stop].into_iter().any(|slots| slots.contains(slot));
                if let Some(known) = known.get(slot).filter(|_| !is_done) {
                    *instance = known.clone();
                }
            }
            state.apps.insert(step.app.clone(), app);
        }
    }

    #[test]
    fn a_rename_is_undone_and_done_again_as_it_was_done() {
        let old = former("old", "1", &[Meant::Up, Meant::Up]);
        let mut new = former("new", "1", &[Meant::Up, Meant::Up]);
        Arc::make_mut(&mut new.spec).renamed_from = Some("old".into());
        let (before, after) = (generation(Some(&old), None), generation(Some(&new), None));
        for (from, to, names) in [(&after, &before, ("old", "new")), (&before, &after, ("new", "old"))] {
            let mut state = Snapshot::of_generation(1, from);
            let plan = back(to, &state, &Selection::All);
            let [step] = plan.steps.as_slice() else { panic!("{plan:?}") };
            assert_eq!((step.app.as_str(), step.renamed_from.as_deref()), (names.0, Some(names.1)));
            assert!(step.start.is_empty() && step.replace.is_empty() && step.remove.is_empty(), "{step:?}");
            perform(&plan, to, &mut state);
            assert!(back(to, &state, &Selection::All).is_empty());
            // By either of the two names both are meant.
            for name in [names.0, names.1] {
                let only = Selection::named(&[name.to_owned()]);
                let same = back(to, &Snapshot::of_generation(1, from), &only);
                assert_eq!(same.steps, plan.steps, "{name}");
            }
            let other = Selection::named(&["other".to_owned()]);
            assert!(back(to, &Snapshot::of_generation(1, from), &other).steps.is_empty());
        }
        // Another build, of another size, that was stopped: all of that is undone beside the name.
        let mut new = former("new", "2", &[Meant::Stopped, Meant::Up, Meant::Up]);
        Arc::make_mut(&mut new.spec).renamed_from = Some("old".into());
        let mut state = Snapshot::of_generation(1, &generation(Some(&new), None));
        let plan = back(&before, &state, &Selection::All);
        assert_eq!(plan.steps.len(), 1, "{plan:?}");
        assert_eq!((&plan.steps[0].remove, &plan.steps[0].start), (&vec![2], &vec![0]));
        perform(&plan, &before, &mut state);
        assert!(back(&before, &state, &Selection::All).is_empty());
        // Two who were one: one goes on with it.
        let mut other = former("other", "1", &[Meant::Up]);
        Arc::make_mut(&mut other.spec).renamed_from = Some("old".into());
        let plan = back(&generation(Some(&new), Some(&other)), &Snapshot::of_generation(1, &before), &Selection::All);
        assert_eq!(plan.steps.iter().filter(|step| step.renamed_from.is_some()).count(), 1, "{plan:?}");
    }

    #[test]
    fn from_anything_to_anything_one_way_back_is_enough_and_in_order() {
        for (a, b) in shapes("a").iter().flat_map(|a| shapes("b").into_iter().map(move |b| (a.clone(), b))) {
            let from = generation(a.as_ref(), b.as_ref());
            for (c, d) in shapes("a").iter().flat_map(|c| shapes("b").into_iter().map(move |d| (c.clone(), d))) {
                let to = generation(c.as_ref(), d.as_ref());
                let mut state = Snapshot::of_generation(1, &from);
                let plan = back(&to, &state, &Selection::All);
                assert_eq!(plan.is_empty(), equal(&from, &to), "{plan:?}");
                for (at, step) in plan.steps.iter().enumerate() {
                    let later = |need: &String| plan.steps.iter().skip(at).any(|other| other.app == *need);
                    assert!(!step.after.iter().any(later), "{plan:?}");
                    assert_eq!(plan.cause(step), None, "nobody has edited anything: {step:?}");
                }
                perform(&plan, &to, &mut state);
                assert!(back(&to, &state, &Selection::All).is_empty(), "{from:?} {to:?}");
                let only = Selection::named(&["a".to_owned()]);
                let some = back(&to, &Snapshot::of_generation(1, &from), &only);
                assert!(some.steps.iter().all(|step| step.app == "a"));
            }
        }
    }

    /// What `kill` stopped is as stopped as anything.
    fn equal(from: &Formers, to: &Formers) -> bool {
        let plain = |formers: &Formers| -> Formers {
            let mut formers = formers.clone();
            let slots = formers.values_mut().flat_map(|former| former.slots.values_mut());
            slots.filter(|meant| **meant == Meant::Killed).for_each(|meant| *meant = Meant::Stopped);
            formers
        };
        plain(from) == plain(to)
    }

    #[test]
    fn what_runs_something_else_is_replaced_and_code_is_named() {
        let mut then = generation(Some(&former("a", "1", &[Meant::Up])), None);
        let mut state = Snapshot::of_generation(1, &then);
        let other = former("a", "2", &[Meant::Up]).spec;
        let instance = ActualInstance { liveness: Liveness::Up, launched: Some(other) };
        state.apps.get_mut("a").unwrap().instances.insert(0, instance);
        let mut plan = back(&then, &state, &Selection::All);
        assert_eq!((plan.steps[0].action, &plan.steps[0].replace[..]), (Action::Restart, &[0][..]));
        let code = |digest: &str| Fingerprint([("x.js".to_owned(), digest.to_owned())].into());
        let former = then.get_mut("a").unwrap();
        former.spec = Arc::new(AppSpec { fingerprint: code("11"), ..(*former.spec).clone() });
        note_code(&mut plan, &then, &[("a".to_owned(), code("11"))].into());
        assert!(!plan.steps[0].reasons.contains(&Reason::CodeSince { file: "x.js".into() }));
        note_code(&mut plan, &then, &[("a".to_owned(), code("22"))].into());
        assert!(plan.steps[0].reasons.contains(&Reason::CodeSince { file: "x.js".into() }));
    }
}
