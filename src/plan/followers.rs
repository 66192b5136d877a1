//! Apps that a plan moves without having a step for it: by `on_exit`, when what they depend on goes down.

use std::collections::BTreeSet;

use super::{ActualApp, Follower, Liveness, Plan, Snapshot, Step};
use crate::spec::{Condition, OnExit};

/// Says at each step which apps follow it. By what holds now: steps of dependents come after those of what they depend on.
pub fn note_followers(plan: &mut Plan, actual: &Snapshot) {
    let followers: Vec<Vec<Follower>> = plan.steps.iter().map(|step| of(step, &plan.steps, actual)).collect();
    for (step, follows) in plan.steps.iter_mut().zip(followers) {
        step.follows = follows;
    }
}

/// And what follows those.
fn of(step: &Step, steps: &[Step], actual: &Snapshot) -> Vec<Follower> {
    let mut found: Vec<Follower> = Vec::new();
    let mut seen = BTreeSet::from([name_of(step)]);
    let mut open = vec![name_of(step)];
    while let Some(down) = open.pop() {
        let dependents = actual.apps.iter().filter(|(name, _)| !seen.contains(*name));
        let follows = dependents.filter_map(|(name, app)| {
            let need = app.spec.depends_on.contains(&down).then(|| app.spec.need(&down))?;
            let is_lost = match actual.apps.get(&down) {
                Some(known) if down == name_of(step) => goes_down(step, known, need.condition),
                // All of it ends at once.
                known => known.is_some() && need.condition != Condition::Completed,
            };
            let own = steps.iter().find(|step| name_of(step) == *name);
            let follows = need.on_exit != OnExit::Ignore && is_lost && !own.is_some_and(|own| moves_all(own, app));
            (follows && is_up(app)).then(|| Follower { app: name.clone(), on_exit: need.on_exit })
        });
        let follows: Vec<Follower> = follows.collect();
        for follower in follows {
            seen.insert(follower.app.clone());
            open.push(follower.app.clone());
            found.push(follower);
        }
    }
    found.sort_by(|one, other| one.app.cmp(&other.app));
    found
}

fn name_of(step: &Step) -> String {
    step.renamed_from.clone().unwrap_or_else(|| step.app.clone())
}

fn is_up(app: &ActualApp) -> bool {
    app.instances.values().any(|instance| instance.liveness == Liveness::Up)
}

/// Whether there is a moment at which none of an app is as others need it. What is deleted is nobody's need any more.
fn goes_down(step: &Step, app: &ActualApp, condition: Condition) -> bool {
    let meets = |liveness| match liveness {
        Liveness::Completed => true,
        Liveness::Up => condition != Condition::Completed,
        Liveness::Stopped | Liveness::Errored => false,
    };
    let met = app.instances.iter().filter(|(_, instance)| meets(instance.liveness)).map(|(slot, _)| slot);
    let mut met = met.filter(|slot| !step.remove.contains(slot)).peekable();
    let is_any = met.peek().is_some();
    let moves = |slot: &u32| [&step.replace, &step.stop, &step.start].iter().any(|slots| slots.contains(slot));
    // One after the other, each when the one before is up; or beside the one before.
    let rolls = step.replace.len() > 1 || step.overlaps;
    is_any && !rolls && met.all(moves)
}

/// Whether its own step ends all that runs of it.
fn moves_all(step: &Step, app: &ActualApp) -> bool {
    let mut up = app.instances.iter().filter(|(_, instance)| instance.liveness == Liveness::Up);
    up.all(|(slot, _)| [&step.replace, &step.stop, &step.remove, &step.done].iter().any(|slots| slots.contains(slot)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::base::Key;
    use crate::graph::Graph;
    use crate::plan::{ActualInstance, PlanPolicy, plan};
    use crate::spec::{AppSpec, EcosystemId, Need};

    fn app(name: &str, instances: u32) -> AppSpec {
        AppSpec { instances, ..AppSpec::new(name, "/x", "/") }
    }

    fn needing(name: &str, other: &str, condition: Condition, on_exit: OnExit) -> AppSpec {
        let mut spec = app(name, 1);
        spec.depends_on = vec![other.to_owned()];
        spec.needs = BTreeMap::from([(other.to_owned(), Need { condition, on_exit })]);
        spec
    }

    /// What follows, when these run and others are applied: `db: web (restart)`.
    fn followers(run: &[AppSpec], applied: &[AppSpec], only: &[&str]) -> Vec<String> {
        let ecosystem = EcosystemId("shop".to_owned());
        let actual = |spec: &AppSpec| {
            let spec = Arc::new(spec.clone());
            let up = if spec.restart.auto { Liveness::Up } else { Liveness::Completed };
            let instance = || ActualInstance { liveness: up, launched: Some(Arc::clone(&spec)) };
            let instances = (0..spec.instances).map(|slot| (slot, instance())).collect();
            let app = ActualApp {
                ecosystem: Some(ecosystem.clone()),
                file: None,
                spec: Arc::clone(&spec),
                instances,
                downtime_ms: None,
            };
            (spec.name.clone(), app)
        };
        let snapshot = Snapshot { generation: 1, apps: run.iter().map(actual).collect() };
        let graph = Graph {
            ecosystem: ecosystem.clone(),
            file: String::new(),
            profile: None,
            apps: applied.to_vec(),
            deploy: None,
        };
        let mut policy = PlanPolicy::new(Key([1; 32]));
        if !only.is_empty() {
            policy.selection = crate::graph::Selection::Only(only.iter().map(|name| (*name).to_owned()).collect());
        }
        let plan = plan(&graph, &snapshot, &policy);
        let line = |step: &Step| {
            let follows: Vec<String> =
                step.follows.iter().map(|one| format!("{} ({})", one.app, one.on_exit.word())).collect();
            (!follows.is_empty()).then(|| format!("{}: {}", step.app, follows.join(", ")))
        };
        plan.steps.iter().filter_map(line).collect()
    }

    fn changed(spec: &AppSpec) -> AppSpec {
        AppSpec { script: "/y".to_owned(), ..spec.clone() }
    }

    #[test]
    fn who_is_restarted_or_stopped_with_another_is_named() {
        use Condition::{Completed, Ready};
        let none: [&str; 0] = [];
        let db = app("db", 1);
        for (on_exit, want) in [
            (OnExit::Restart, vec!["db: web (restart)"]),
            (OnExit::Stop, vec!["db: web (stop)"]),
            (OnExit::Ignore, vec![]),
        ] {
            let web = needing("web", "db", Ready, on_exit);
            assert_eq!(followers(&[db.clone(), web.clone()], &[changed(&db), web], &[]), want);
        }
        let web = needing("web", "db", Ready, OnExit::Restart);
        // It is replaced itself; nothing is replaced; it is the other way round.
        assert_eq!(followers(&[db.clone(), web.clone()], &[changed(&db), changed(&web)], &[]), none);
        assert_eq!(followers(&[db.clone(), web.clone()], &[db.clone(), web.clone()], &[]), none);
        assert_eq!(followers(&[db.clone(), web.clone()], &[db.clone(), changed(&web)], &[]), none);
        // It is not selected, and follows all the same.
        assert_eq!(followers(&[db.clone(), web.clone()], &[changed(&db), web.clone()], &["db"]), ["db: web (restart)"]);
        // What rolls is never down, what is gone is nobody's need.
        let two = app("db", 2);
        assert_eq!(followers(&[two.clone(), web.clone()], &[changed(&two), web.clone()], &[]), none);
        let passed = AppSpec { listen: vec!["tcp:0.0.0.0:80".to_owned()], ..db.clone() };
        assert_eq!(followers(&[passed.clone(), web.clone()], &[changed(&passed), web.clone()], &[]), none);
        assert_eq!(
            followers(&[db.clone(), web.clone()], &[changed(&passed), web.clone()], &[]),
            ["db: web (restart)"],
            "what runs shares nothing yet"
        );
        let free = AppSpec { depends_on: Vec::new(), needs: BTreeMap::new(), ..web.clone() };
        assert_eq!(followers(&[db.clone(), web.clone()], &[free], &[]), none);
        // And so on.
        let edge = needing("edge", "web", Ready, OnExit::Stop);
        let all = [db.clone(), web.clone(), edge.clone()];
        assert_eq!(followers(&all, &[changed(&db), web, edge], &[]), ["db: edge (stop), web (restart)"]);
        // A job that is run again is not done while it is.
        let job =
            AppSpec { restart: crate::spec::RestartPolicy { auto: false, ..db.restart.clone() }, ..app("job", 1) };
        let web = needing("web", "job", Completed, OnExit::Restart);
        assert_eq!(followers(&[job.clone(), web.clone()], &[changed(&job), web], &[]), ["job: web (restart)"]);
    }
}
