//! What `pmrun run` asks of the core besides.

use super::World;
use super::stories::{app, apply, targets};
use crate::rpc::wire::Request;
use crate::runtime::{Effect, Input};
use crate::spec::AppSpec;

fn is_finished(apps: &[AppSpec]) -> bool {
    let mut world = World::calm();
    world.ask(apply(apps));
    let later = world.host.mono + 60_000;
    world.run_until(later);
    world.core.is_finished()
}

#[test]
fn it_is_finished_when_nothing_runs_and_nothing_will_by_itself() {
    let job = |name: &str, code: u32| app(name, &format!("exit 5 {code}"), |app| app.restart.auto = false);
    let timed = app("t", "exit 5 0", |app| {
        app.schedule = Some("0 * * * *".to_owned());
        app.cron_timezone = Some("UTC".to_owned());
    });
    let watched = app("w", "exit 5 0", |app| (app.restart.auto, app.watch.enabled) = (false, true));
    let needs = app("n", "stay", |app| app.depends_on = targets(&["b"]));
    let patient = app("p", "exit 5 1", |app| (app.restart.delay_ms, app.restart.max_restarts) = (3_600_000, 99));
    let stays = app("s", "stay", |_| {});
    let table = [
        (vec![], true),
        (vec![job("a", 0), job("b", 3)], true),
        (vec![job("b", 3), needs], true),
        (vec![job("a", 0), stays], false),
        (vec![timed], false),
        (vec![watched], false),
        (vec![patient], false),
    ];
    for (apps, want) in table {
        let names: Vec<&str> = apps.iter().map(|app| app.name.as_str()).collect();
        assert_eq!(is_finished(&apps), want, "{names:?}");
    }
}

#[test]
fn what_somebody_is_at_work_on_is_not_finished() {
    let mut world = World::calm();
    let slow = app("slow", "never", |app| app.readiness.timeout_ms = 100_000);
    world.call(apply(&[slow]), false);
    assert!(!world.core.is_finished());
    world.ask(Request::Stop { targets: targets(&["slow"]) });
    let later = world.host.mono + 60_000;
    world.run_until(later);
    assert!(world.core.is_finished());
}

#[test]
fn a_kill_waits_for_nobody_and_keeps_no_order() {
    let mut world = World::calm();
    let needs = app("needs", "stay", |app| app.depends_on = targets(&["db"]));
    world.ask(apply(&[app("db", "stay", |_| {}), needs]));
    let now = world.host.now();
    let killed = |effects: &[Effect]| effects.iter().filter(|effect| matches!(effect, Effect::Kill { .. })).count();
    let asked = |effects: &[Effect]| effects.iter().filter(|effect| matches!(effect, Effect::Stop { .. })).count();
    let first = world.core.handle(Input::Terminate, now);
    assert_eq!((asked(&first), killed(&first)), (1, 0));
    let second = world.core.handle(Input::Kill, now);
    assert_eq!((asked(&second), killed(&second)), (1, 2));
}
