use std::borrow::Cow;
use std::sync::Arc;

use super::existing::{Known, existing};
use super::{Action, ActualApp, Liveness, Step};
use crate::base::Key;
use crate::spec::{AppSpec, Impact};

/// What makes an app that is known as `name` what a hand wants it to be: planned as what a file says. Of the `named` slots
/// what does not run is started, and with `renew` what runs is replaced; of the others nothing is started.
#[must_use]
pub fn altered(app: &AppSpec, actual: &ActualApp, name: &str, named: &[u32], renew: bool, key: &Key) -> Step {
    let renamed_from = (name != app.name).then_some(name);
    let actual = &with_code_of(app, actual);
    let mut step = existing(app, &Known { actual, renamed_from, adopted: false }, key);
    let stays = |slot: u32| slot < app.instances && actual.instances.contains_key(&slot);
    step.start.retain(|slot| named.contains(slot) || !stays(*slot));
    for slot in named.iter().copied().filter(|slot| stays(*slot)) {
        let runs = actual.instances.get(&slot).is_some_and(|instance| instance.liveness == Liveness::Up);
        let slots = if runs { &mut step.replace } else { &mut step.start };
        if (renew || !runs) && !slots.contains(&slot) {
            slots.push(slot);
        }
    }
    step.start.sort_unstable();
    step.replace.sort_unstable();
    let runs = |slot: &u32| actual.instances.get(slot).and_then(|instance| instance.launched.as_deref());
    step.overlaps = !step.replace.is_empty()
        && step.replace.iter().all(|slot| runs(slot).unwrap_or(&actual.spec).can_be_relieved_by(app));
    let changes = step.changes.iter().any(|change| change.impact > Impact::None);
    step.renamed_from = renamed_from.map(str::to_owned);
    step.action = if !step.replace.is_empty() {
        Action::Restart
    } else if step.start.iter().any(|slot| stays(*slot)) {
        Action::Start
    } else if !(step.start.is_empty() && step.remove.is_empty()) {
        Action::Scale
    } else if changes {
        Action::Update
    } else if renamed_from.is_some() {
        Action::Rename
    } else {
        Action::Keep
    };
    step
}

/// What runs, where a hand that says nothing of the code finds other code than was applied: nothing is replaced for that.
fn with_code_of<'a>(app: &AppSpec, actual: &'a ActualApp) -> Cow<'a, ActualApp> {
    let mut seen = Cow::Borrowed(actual);
    if app.fingerprint != actual.spec.fingerprint {
        return seen;
    }
    for (slot, instance) in &actual.instances {
        let other = instance.launched.as_ref().filter(|launched| launched.fingerprint != app.fingerprint);
        let Some(launched) = other else { continue };
        let (fingerprint, fingerprint_by) = (app.fingerprint.clone(), app.fingerprint_by.clone());
        let launched = AppSpec { fingerprint, fingerprint_by, ..(**launched).clone() };
        if let Some(instance) = seen.to_mut().instances.get_mut(slot) {
            instance.launched = Some(Arc::new(launched));
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::ActualInstance;
    use super::*;

    fn check(
        change: impl FnOnce(&mut AppSpec),
        up: [bool; 2],
        named: &[u32],
        renew: bool,
    ) -> (Action, Vec<u32>, Vec<u32>) {
        let spec = Arc::new(AppSpec { instances: 2, ..AppSpec::new("api", "/srv/api", "/srv") });
        let mut wanted = (*spec).clone();
        change(&mut wanted);
        let one = |up| ActualInstance {
            liveness: if up { Liveness::Up } else { Liveness::Stopped },
            launched: up.then(|| Arc::clone(&spec)),
        };
        let instances: BTreeMap<u32, ActualInstance> = (0..).zip(up.map(one)).collect();
        let actual = ActualApp { ecosystem: None, file: None, spec: Arc::clone(&spec), downtime_ms: None, instances };
        let step = altered(&wanted, &actual, "api", named, renew, &Key([1; 32]));
        (step.action, step.start, step.replace)
    }

    #[test]
    fn a_hand_that_says_nothing_of_the_code_replaces_nothing_for_it() {
        let with = |digest: &str| AppSpec {
            fingerprint: crate::spec::Fingerprint([("x.js".to_owned(), digest.to_owned())].into()),
            ..AppSpec::new("api", "/srv/api", "/srv")
        };
        let (spec, other) = (Arc::new(with("11")), Arc::new(with("22")));
        let instance = ActualInstance { liveness: Liveness::Up, launched: Some(other) };
        let instances = BTreeMap::from([(0, instance)]);
        let actual = ActualApp { ecosystem: None, file: None, spec, downtime_ms: None, instances };
        for (digest, args, want) in [("11", "", vec![]), ("22", "", vec![]), ("33", "", vec![0]), ("11", "x", vec![0])]
        {
            let args = args.split_whitespace().map(str::to_owned).collect();
            let wanted = AppSpec { max_memory_restart: Some(1), args, ..with(digest) };
            let step = altered(&wanted, &actual, "api", &[0], false, &Key([1; 32]));
            assert_eq!(step.replace, want, "{digest}");
        }
    }

    #[test]
    fn only_what_was_named_is_started_and_only_what_must_be_is_replaced() {
        let limit = |app: &mut AppSpec| app.max_memory_restart = Some(1);
        let args = |app: &mut AppSpec| app.args = vec!["x".to_owned()];
        assert_eq!(check(limit, [true, true], &[0, 1], false), (Action::Update, vec![], vec![]));
        assert_eq!(check(limit, [true, true], &[0, 1], true), (Action::Restart, vec![], vec![0, 1]));
        assert_eq!(check(limit, [true, true], &[1], true), (Action::Restart, vec![], vec![1]));
        assert_eq!(check(args, [true, true], &[1], false), (Action::Restart, vec![], vec![0, 1]), "of one app");
        assert_eq!(
            check(args, [true, false], &[0], false),
            (Action::Restart, vec![], vec![0]),
            "what is stopped stays so"
        );
        assert_eq!(check(args, [false, false], &[1], true), (Action::Start, vec![1], vec![]));
        assert_eq!(check(|_| (), [true, true], &[0], false), (Action::Keep, vec![], vec![]));
        assert_eq!(check(|app| app.instances = 3, [true, false], &[0], false), (Action::Scale, vec![2], vec![]));
    }
}
