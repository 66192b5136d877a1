//! What is told of what happened, in its words.

use super::World;
use super::host::Coming;
use super::stories::{app, apply, targets};
use crate::base::ExitStatus;
use crate::rpc::wire::Request;
use crate::runtime::Input;
use crate::spec::{AppSpec, Condition, HealthCheck, Need, OnExit, Probe};

fn passes(world: &mut World, ms: u64) {
    let end = world.host.mono + ms;
    world.run_until(end);
}

/// What was told since it was last asked, but for what came of applying.
fn told(world: &mut World) -> Vec<String> {
    std::mem::take(&mut world.host.history)
}

fn applied(apps: &[AppSpec]) -> World {
    let mut world = World::calm();
    world.ask(apply(apps));
    told(&mut world);
    world
}

fn ends(world: &mut World, name: &str, status: ExitStatus) {
    let trees = world.host.trees.iter();
    let tree = trees.into_iter().find(|(_, tree)| tree.marker == format!("{name}:0")).map(|(key, _)| *key).unwrap();
    world.host.after(1, Coming::RootEnds { tree, status });
    passes(world, 200);
}

#[test]
fn a_life_is_told_from_its_making_to_its_end() {
    let mut world = World::calm();
    let spec = |instances| app("a", "stay", move |app| app.instances = instances);
    world.ask(apply(&[spec(1)]));
    assert_eq!(
        told(&mut world),
        [
            "a created, 1 instance: apply of `one` (pid 1)",
            "a:0 started (pid 100): apply of `one` (pid 1)",
            "a:0 online after 1.0s"
        ]
    );
    world.ask(apply(&[spec(2)]));
    world.ask(apply(&[app("b", "stay", |app| (app.instances, app.renamed_from) = (1, Some("a".to_owned())))]));
    assert_eq!(
        told(&mut world),
        [
            "a scaled from 1 to 2: apply of `one` (pid 1)",
            "a:1 started (pid 101): apply of `one` (pid 1)",
            "a:1 online after 1.0s",
            "b renamed from a: apply of `one` (pid 1)",
            "b scaled from 2 to 1: apply of `one` (pid 1)",
            "b:1 asked to stop: apply of `one` (pid 1)",
            "b:1 ended after 1.0s, as asked: killed by SIGTERM",
            "b:1 stopped: apply of `one` (pid 1)",
        ]
    );
    world.ask(Request::Restart { targets: targets(&["b"]) });
    world.ask(Request::Delete { targets: targets(&["b"]) });
    assert_eq!(
        told(&mut world),
        [
            "b:0 asked to stop: restart of `b` (pid 1)",
            "b:0 ended after 2.1s, as asked: killed by SIGTERM",
            "b:0 started (pid 100): restart of `b` (pid 1)",
            "b:0 online after 1.0s",
            "b deleted: delete of `b` (pid 1)",
            "b:0 asked to stop: delete of `b` (pid 1)",
            "b:0 ended after 1.0s, as asked: killed by SIGTERM",
            "b:0 stopped: delete of `b` (pid 1)",
        ]
    );
}

#[test]
fn what_ends_by_itself_is_told_with_what_comes_of_it() {
    let mut world = applied(&[app("a", "stay", |app| app.restart.delay_ms = 5_000)]);
    ends(&mut world, "a", ExitStatus::Signal(11));
    passes(&mut world, 10_000);
    assert_eq!(
        told(&mut world),
        [
            "a:0 ended after 1.0s: killed by SIGSEGV",
            "a:0 starts again in 5.0s",
            "a:0 started (pid 100): it had ended after 1.0s: killed by SIGSEGV (autorestart)",
            "a:0 online after 1.0s",
        ]
    );
    let mut world = World::calm();
    world.ask(apply(&[app("loop", "exit 5 1", |app| app.restart.max_restarts = 2)]));
    world.ask(apply(&[app("job", "exit 900 0", |app| app.restart.auto = false)]));
    passes(&mut world, 2_000);
    assert_eq!(
        told(&mut world),
        [
            "loop created, 1 instance: apply of `one` (pid 1)",
            "loop:0 started (pid 100): apply of `one` (pid 1)",
            "loop:0 ended after 9ms: exit code 1",
            "loop:0 started (pid 100): it had ended after 9ms: exit code 1 (autorestart)",
            "loop:0 ended after 8ms: exit code 1",
            "loop:0 given up on: it ended too soon 2 times (max_restarts), last: exit code 1",
            "job created, 1 instance: apply of `one` (pid 1)",
            "loop deleted: apply of `one` (pid 1)",
            "loop:0 what its last process may have left is asked to stop: apply of `one` (pid 1)",
            "loop:0 stopped: apply of `one` (pid 1)",
            "job:0 started (pid 100): apply of `one` (pid 1)",
            "job:0 ended after 907ms: exit code 0",
            "job:0 completed: exit code 0",
        ]
    );
    let mut world = World::calm();
    world.ask(apply(&[app("gone", "nospawn", |app| app.restart.max_restarts = 2)]));
    passes(&mut world, 5_000);
    world.ask(apply(&[app("late", "never", |app| app.readiness.timeout_ms = 100)]));
    assert_eq!(
        told(&mut world),
        [
            "gone created, 1 instance: apply of `one` (pid 1)",
            "gone:0 cannot be started: no such file; tried again in 1.0s",
            "gone:0 cannot be started: no such file",
            "late created, 1 instance: apply of `one` (pid 1)",
            "gone deleted: apply of `one` (pid 1)",
            "gone:0 stopped: apply of `one` (pid 1)",
            "late:0 started (pid 100): apply of `one` (pid 1)",
            "late:0 errored: not ready within 100ms (listen_timeout); it goes on running",
        ]
    );
}

#[test]
fn each_rule_that_restarts_is_named() {
    let mut world = applied(&[app("a", "stay", |app| app.max_memory_restart = Some(100))]);
    let launch = world.host.trees.values().next().unwrap().launch;
    world.feed(Input::Memory { launch, bytes: 200 });
    passes(&mut world, 3_000);
    assert_eq!(
        told(&mut world),
        [
            "a:0 asked to stop: it used 200B (max_memory_restart)",
            "a:0 ended after 1.0s, as asked: killed by SIGTERM",
            "a:0 started (pid 100): it used 200B (max_memory_restart)",
            "a:0 online after 1.0s",
        ]
    );
    let mut world = World::calm();
    // Here a timer does run for what is online.
    world.checked = false;
    world.ask(apply(&[app("a", "stay", |app| app.restart.max_age_ms = 60_000)]));
    told(&mut world);
    passes(&mut world, 70_000);
    assert_eq!(
        told(&mut world),
        [
            "a:0 asked to stop: it had run for long enough (max_age)",
            "a:0 ended after 58.6s, as asked: killed by SIGTERM",
            "a:0 started (pid 100): it had run for long enough (max_age)",
            "a:0 online after 1.0s",
        ]
    );
    let mut world = applied(&[app("a", "stay", |app| app.watch.enabled = true)]);
    world.feed(Input::FilesChanged { app: "a".to_owned(), paths: vec!["x.js".to_owned()], count: 1, more: false });
    passes(&mut world, 3_000);
    assert_eq!(
        told(&mut world),
        [
            "a:0 asked to stop: `x.js` changed (watch)",
            "a:0 ended after 1.0s, as asked: killed by SIGTERM",
            "a:0 started (pid 100): `x.js` changed (watch)",
            "a:0 online after 1.0s",
        ]
    );
    let check = |app: &mut AppSpec| {
        let check = HealthCheck::new(Probe::Tcp("localhost:1".to_owned()));
        app.health_check = Some(HealthCheck { unhealthy_threshold: 1, ..check });
    };
    let mut world = applied(&[app("a", "ready 20", check)]);
    let launch = world.host.trees.values().next().unwrap().launch;
    world.feed(Input::Probed { launch, result: Err("refused".to_owned()) });
    passes(&mut world, 3_000);
    assert_eq!(
        told(&mut world),
        [
            "a:0 asked to stop: it was unhealthy: refused (health_check)",
            "a:0 ended after 108ms, as asked: killed by SIGTERM",
            "a:0 started (pid 100): it was unhealthy: refused (health_check)",
            "a:0 online after 100ms",
        ]
    );
}

#[test]
fn dependencies_kills_and_ends_of_daemons_are_told() {
    let needs = |app: &mut AppSpec| {
        app.depends_on.push("db".to_owned());
        app.needs.insert("db".to_owned(), Need { condition: Condition::Ready, on_exit: OnExit::Stop });
    };
    let mut world = applied(&[app("db", "stay", |app| app.restart.delay_ms = 1_000), app("web", "stay", needs)]);
    ends(&mut world, "db", ExitStatus::Code(1));
    passes(&mut world, 5_000);
    assert_eq!(
        told(&mut world),
        [
            "db:0 ended after 2.0s: exit code 1",
            "db:0 starts again in 1.0s",
            "web:0 asked to stop: it needs `db` to be ready (depends_on)",
            "web:0 ended after 1.0s, as asked: killed by SIGTERM",
            "web:0 waits for `db` to be ready",
            "db:0 started (pid 100): it had ended after 2.0s: exit code 1 (autorestart)",
            "db:0 online after 1.0s",
            "web:0 started (pid 101): it had waited for `db` to be ready (depends_on)",
            "web:0 online after 1.0s",
        ]
    );
    let mut world = applied(&[app("deaf", "deaf", |_| ())]);
    world.restart();
    world.ask(Request::Stop { targets: targets(&["deaf"]) });
    world.feed(Input::Terminate);
    assert_eq!(
        told(&mut world),
        [
            "deaf:0 taken over by a new daemon (pid 100)",
            "deaf:0 asked to stop: stop of `deaf` (pid 1)",
            "deaf:0 killed: it had not ended within 1.6s (kill_timeout)",
            "deaf:0 ended after 2.6s, as asked: killed by SIGTERM",
            "deaf:0 stopped: stop of `deaf` (pid 1)",
            "daemon ended: the daemon was told to end by a signal",
        ]
    );
}
