//! Processes that are started again when there is other code on disk than was applied.

use std::sync::Arc;

use super::World;
use super::needs::passes;
use super::stories::{app, apply, done, states, targets};
use crate::plan::{Action, Reason, Step};
use crate::rpc::wire::{Answer, Request};
use crate::runtime::{Effect, Input};
use crate::spec::{AppSpec, Fingerprint};
use crate::supervisor::LaunchId;

fn code(digest: &str) -> Fingerprint {
    Fingerprint([("x.js".to_owned(), digest.to_owned())].into())
}

fn web(digest: &str) -> AppSpec {
    app("web", "stay", |app| (app.fingerprint, app.instances) = (code(digest), 2))
}

/// As a file would be planned that is applied now.
fn planned(world: &mut World, app: &AppSpec) -> Step {
    let Request::Apply(wanted) = apply(std::slice::from_ref(app)) else { panic!("an apply") };
    let answer = world.ask(Request::Plan { graph: Box::new(wanted.graph), options: wanted.options });
    let Answer::Plan { plan } = answer else { panic!("{answer:?}") };
    plan.steps[0].clone()
}

fn is_started(world: &mut World, request: Request, digest: &str) {
    world.host.code = [("web".to_owned(), code(digest))].into();
    world.ask(request);
    passes(world, 5_000);
}

fn restart() -> Request {
    Request::Restart { targets: targets(&["web"]) }
}

fn drifts(world: &mut World) -> (usize, Vec<Fingerprint>) {
    match world.ask(Request::Drift) {
        Answer::Drift { drifts, running } => (drifts.len(), running.into_iter().map(|one| one.code).collect()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_runs_is_what_was_on_disk_when_it_was_started_and_the_next_daemon_knows() {
    let mut world = World::calm();
    done(world.ask(apply(&[web("11")])));
    is_started(&mut world, restart(), "22");
    let other = Reason::RunsOtherCode { slots: vec![0, 1], files: vec!["x.js".to_owned()] };
    for killed in [false, true, true] {
        if killed {
            world.restart();
        }
        let step = planned(&mut world, &web("22"));
        assert_eq!((step.action, step.replace), (Action::Update, vec![]), "it runs that already");
        let step = planned(&mut world, &web("11"));
        assert_eq!((step.action, step.replace, step.reasons), (Action::Restart, vec![0, 1], vec![other.clone()]));
        assert_eq!(drifts(&mut world), (0, vec![code("22"), code("22")]), "that of the disk is not known here");
    }
    // Applied, it is what is recorded, whatever the processes are marked with, and whoever has forgotten what they run.
    let before = states(&mut world);
    assert_eq!(done(world.ask(apply(&[web("22")]))), (1, vec![]));
    for lost in [None, Some(false), Some(true)] {
        if lost == Some(true) {
            world.host.standings.clear();
        }
        if lost.is_some() {
            world.restart();
        }
        assert_eq!(planned(&mut world, &web("22")).action, Action::Keep);
        assert_eq!(states(&mut world), before);
    }
    // Started from what is recorded, there is nothing to note.
    is_started(&mut world, restart(), "22");
    assert!(world.host.standings.values().all(|standing| standing.code.is_none()));
    assert_eq!(planned(&mut world, &web("22")).action, Action::Keep);
    assert_eq!(planned(&mut world, &web("11")).action, Action::Restart);
}

#[test]
fn what_is_taken_back_leaves_alone_what_was_not_begun_with_whatever_it_runs() {
    let mut world = World::calm();
    done(world.ask(apply(&[web("11")])));
    is_started(&mut world, restart(), "22");
    // Pids are used again.
    let trees = |world: &World| -> Vec<(String, u64)> {
        let living = world.host.trees.iter().filter(|(_, tree)| tree.root_alive);
        let mut trees: Vec<_> = living.map(|(key, tree)| (tree.marker.clone(), *key)).collect();
        trees.sort();
        trees
    };
    let before = trees(&world);
    let Request::Apply(mut wanted) = apply(&[AppSpec { script: "exit 5 1".to_owned(), ..web("33") }]) else {
        panic!("an apply")
    };
    wanted.auto_rollback = true;
    is_started(&mut world, Request::Apply(wanted), "33");
    let after = trees(&world);
    assert_eq!((before.len(), after.len()), (2, 2));
    assert_ne!(after[0], before[0], "it was begun with, and failed");
    assert_eq!(after[1], before[1]);
}

#[test]
fn what_crashes_is_started_from_what_is_on_disk_then() {
    let crashes = |digest: &str| app("web", "exit 20000 1", |app| app.fingerprint = code(digest));
    let mut world = World::calm();
    done(world.ask(apply(&[crashes("11")])));
    world.host.code = [("web".to_owned(), code("22"))].into();
    passes(&mut world, 22_000);
    assert_eq!(planned(&mut world, &crashes("22")).action, Action::Update);
    assert_eq!(planned(&mut world, &crashes("11")).replace, [0]);
}

#[test]
fn a_job_has_done_what_was_on_disk_when_it_was_run_even_if_that_was_heard_of_later() {
    let job = |digest: &str| {
        app("web", "exit 0 0", |app| {
            app.fingerprint = code(digest);
            app.restart.auto = false;
        })
    };
    let mut world = World::calm();
    done(world.ask(apply(&[job("11")])));
    done(world.ask(restart()));
    passes(&mut world, 1_000);
    assert_eq!(states(&mut world), ["web:0 completed"]);
    let launches: Vec<u64> = (1..20).collect();
    for launch in launches {
        let of = Arc::new(job("11"));
        world.feed(Input::Code { launch: LaunchId(launch), of, found: code("22") });
    }
    for killed in [false, true] {
        if killed {
            world.restart();
        }
        assert_eq!(states(&mut world), ["web:0 completed"]);
        assert_eq!(planned(&mut world, &job("22")).start, [0; 0]);
        assert_eq!(planned(&mut world, &job("11")).start, [0]);
    }
}

#[test]
fn what_comes_late_or_says_nothing_new_changes_nothing() {
    let mut world = World::calm();
    done(world.ask(apply(&[web("11")])));
    let launches: Vec<LaunchId> = world.host.trees.values().map(|tree| tree.launch).collect();
    done(world.ask(restart()));
    passes(&mut world, 5_000);
    let now = world.host.trees.values().map(|tree| tree.launch).filter(|launch| !launches.contains(launch));
    let now: Vec<LaunchId> = now.collect();
    let by_other = Arc::new(AppSpec { fingerprint_by: crate::spec::FingerprintBy::Git, ..web("11") });
    let of = Arc::new(web("11"));
    let said = launches.iter().map(|launch| (*launch, &of, "22"));
    let said = said.chain(now.iter().flat_map(|launch| [(*launch, &of, "11"), (*launch, &by_other, "22")]));
    let said: Vec<_> = said.collect();
    assert_eq!(said.len(), 6);
    for (launch, of, digest) in said {
        let input = Input::Code { launch, of: Arc::clone(of), found: code(digest) };
        let effects = world.core.handle(input, world.host.now());
        assert!(effects.is_empty(), "{effects:?}");
    }
    let of = Arc::clone(&of);
    let effects = world.core.handle(Input::Code { launch: now[0], of, found: code("22") }, world.host.now());
    assert!(matches!(&effects[..], [Effect::Standing { .. }]), "{effects:?}");
    assert_eq!(planned(&mut world, &web("11")).replace.len(), 1);
}
