//! What goes up and down with what it depends on (`on_exit`).

use super::World;
use super::host::Coming;
use super::needs::{ends, needs, passes, said, started};
use super::stories::{app, apply, done, list, states, targets};
use crate::base::ExitStatus;
use crate::rpc::wire::{Answer, Request};
use crate::runtime::Input;
use crate::spec::{AppSpec, Condition, OnExit};

fn restart(names: &[&str]) -> Request {
    Request::Restart { targets: targets(names) }
}

fn with(app: &AppSpec, variable: &str) -> AppSpec {
    AppSpec { env: [("NEW".to_owned(), variable.to_owned())].into(), ..app.clone() }
}

#[test]
fn what_is_deleted_is_not_back() {
    for (on_its_way, conditions) in [
        ("stopping", &[Condition::Started, Condition::Ready][..]),
        ("starting", &[Condition::Ready]),
        ("waiting", &[Condition::Started, Condition::Ready]),
    ] {
        for condition in conditions.iter().copied() {
            let mut world = World::calm();
            let script = if on_its_way == "stopping" { "deaf" } else { "ready 900" };
            let db = app("db", script, |app| app.restart.delay_ms = 10_000);
            let web = app("web", "stay", needs("db", condition, OnExit::Restart));
            world.ask(apply(&[db, web]));
            if on_its_way == "waiting" {
                ends(&mut world, "db", 1);
            } else {
                world.call(restart(&["db"]), false);
            }
            while !said(&mut world, "db").starts_with(on_its_way) {
                world.turn();
            }
            let before = started(&world, "web");
            world.ask(Request::Delete { targets: targets(&["db"]) });
            passes(&mut world, 100_000);
            assert_eq!(states(&mut world).len(), 1);
            assert_eq!(started(&world, "web"), before, "{on_its_way} {condition:?}");
        }
    }
}

/// Keeps an app from running as long as another runs in this version.
fn cannot_run_beside(world: &mut World, name: &str, script: &str) {
    let bad = world.host.trees.values().any(|tree| tree.script == script && tree.announced);
    let running = |tree: &super::host::Tree| tree.marker == format!("{name}:0") && tree.root_alive;
    let found = world.host.trees.iter().find(|(_, tree)| running(tree)).map(|(key, _)| *key);
    if let Some(tree) = found.filter(|_| bad) {
        world.host.after(1, Coming::RootEnds { tree, status: ExitStatus::Code(1) });
    }
}

fn undone(apps: &[AppSpec]) -> Request {
    match apply(apps) {
        Request::Apply(mut wanted) => {
            wanted.auto_rollback = true;
            Request::Apply(wanted)
        }
        other => other,
    }
}

#[test]
fn a_way_back_brings_back_what_could_not_run_beside_what_failed() {
    for (on_exit, auto) in
        [(OnExit::Restart, true), (OnExit::Restart, false), (OnExit::Stop, true), (OnExit::Ignore, true)]
    {
        let mut world = World::calm();
        let db = |script: &str| app("db", script, |_| {});
        let web = app("web", "stay", |app| {
            needs("db", Condition::Started, on_exit)(app);
            app.restart.auto = auto;
        });
        let edge = app("edge", "stay", |app| {
            needs("web", Condition::Started, on_exit)(app);
            app.restart.auto = auto;
        });
        // What nothing of this concerns is left alone.
        let apart = app("apart", "stay", |app| app.restart.auto = false);
        let apps = |script: &str| [db(script), web.clone(), edge.clone(), apart.clone()];
        world.ask(apply(&apps("ready 20")));
        passes(&mut world, 5_000);
        let client = world.call(undone(&apps("never")), false);
        ends(&mut world, "apart", 1);
        let mut fell = false;
        while !world.host.finished.contains_key(&client) {
            assert!(world.turn());
            cannot_run_beside(&mut world, "web", "never");
            cannot_run_beside(&mut world, "edge", "never");
            fell |= said(&mut world, "web").starts_with("errored");
        }
        let Some(Answer::RolledBack { left, .. }) = world.host.answers[&client].last() else { panic!() };
        assert!(left.is_empty(), "{left:?}");
        assert!(fell || on_exit == OnExit::Stop);
        let now = states(&mut world);
        let up = now.iter().filter(|line| line.contains(" online ")).count();
        assert_eq!((up, said(&mut world, "apart").starts_with("errored")), (3, true), "{on_exit:?} {auto}: {now:?}");
    }
}

fn taken_back(world: &mut World, request: Request, after_ms: u64) -> (Vec<String>, Vec<String>) {
    let client = world.call(request, false);
    passes(world, after_ms);
    world.feed(Input::Cancel { client });
    match world.host.answers[&client].last() {
        Some(Answer::Cancelled { going_on, not_begun, .. }) => (going_on.clone(), not_begun.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_takes_a_command_back_is_told_what_goes_with_what_it_has_restarted() {
    for on_exit in [OnExit::Restart, OnExit::Stop] {
        let db = app("db", "ready 900", |_| {});
        let web = app("web", "stay", needs("db", Condition::Ready, on_exit));
        let edge = app("edge", "stay", needs("web", Condition::Ready, on_exit));
        let apart = app("apart", "stay", needs("db", Condition::Ready, OnExit::Ignore));
        let apps = [db.clone(), web.clone(), edge.clone(), apart.clone()];
        let new = [with(&db, "1"), with(&web, "1"), edge.clone(), with(&apart, "1")];
        let table: [(Request, &[&str]); 4] = [
            (restart(&["db"]), &[]),
            (restart(&["db", "web"]), &[]),
            (restart(&["all"]), &["apart"]),
            (apply(&new), &["apart", "web"]),
        ];
        for (request, want) in table {
            let mut world = World::calm();
            world.ask(apply(&apps));
            passes(&mut world, 5_000);
            let before = ["web", "edge", "apart"].map(|name| started(&world, name));
            let (going_on, not_begun) = taken_back(&mut world, request.clone(), 300);
            assert_eq!(not_begun, want, "{on_exit:?} {request:?}");
            assert_eq!(going_on, ["db:0", "edge:0", "web:0"], "{on_exit:?} {request:?}");
            passes(&mut world, 60_000);
            let after = ["web", "edge", "apart"].map(|name| started(&world, name));
            let restarted: Vec<bool> = before.iter().zip(after).map(|(before, after)| *before < after).collect();
            assert_eq!(restarted, [true, true, false], "{on_exit:?} {request:?}");
            // As it was: what is new of it was not begun.
            assert!(world.host.disk.apps["web"].spec.env.is_empty());
            assert_eq!(done(world.ask(apply(&new))).1, [""; 0]);
        }
    }
}

#[test]
fn what_will_not_come_back_takes_nobody_with_it() {
    let mut world = World::calm();
    let apps = [app("db", "deaf", |_| {}), app("web", "stay", needs("db", Condition::Ready, OnExit::Restart))];
    world.ask(apply(&apps));
    let stop = Request::Stop { targets: targets(&["db"]) };
    assert_eq!(taken_back(&mut world, stop, 50), (targets(&["db:0"]), vec![]));
    assert_eq!(list(&mut world).len(), 2);
}

#[test]
fn what_goes_up_and_down_with_what_crashes_again_and_again_is_not_waited_for_for_ever() {
    let crashes = app("crashes", "exit 1500 1", |_| {});
    let web = app("web", "ready 900", needs("crashes", Condition::Started, OnExit::Stop));
    let edge = app("edge", "stay", needs("web", Condition::Ready, OnExit::Restart));
    let apps = [crashes, web, edge];
    let mut world = World::calm();
    for request in [apply(&apps), apply(&apps), restart(&["crashes"]), restart(&["all"])] {
        let begun = world.host.mono;
        world.ask(request.clone());
        assert!(world.host.mono < begun + 60_000, "{request:?}");
        passes(&mut world, 60_000);
    }
}
