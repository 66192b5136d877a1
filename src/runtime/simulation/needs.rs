//! What apps need of each other, and what health checks find.

use super::World;
use super::host::Coming;
use super::stories::{app, apply, done, list, states, targets};
use crate::base::ExitStatus;
use crate::rpc::wire::{Answer, Request};
use crate::runtime::Input;
use crate::spec::{AppSpec, Condition, HealthAction, HealthCheck, Need, OnExit, Overlap, Probe};

fn needs(name: &str, condition: Condition, on_exit: OnExit) -> impl FnOnce(&mut AppSpec) {
    let name = name.to_owned();
    move |app| {
        app.needs.insert(name.clone(), Need { condition, on_exit });
        app.depends_on.push(name);
    }
}

pub(super) fn checked(app: &mut AppSpec) {
    let check = HealthCheck::new(Probe::Tcp("localhost:1".to_owned()));
    app.health_check = Some(HealthCheck { startup_ms: 5_000, unhealthy_threshold: 2, ..check });
}

/// When each was started, by name.
fn started(world: &World, name: &str) -> u64 {
    let tree = world.host.trees.values().find(|tree| tree.marker == format!("{name}:0"));
    tree.map_or(0, |tree| tree.started)
}

fn ends(world: &mut World, name: &str, code: i32) {
    let trees = world.host.trees.iter();
    let tree = trees.into_iter().find(|(_, tree)| tree.marker == format!("{name}:0")).map(|(key, _)| *key).unwrap();
    world.host.after(1, Coming::RootEnds { tree, status: ExitStatus::Code(code) });
    let end = world.host.mono + 2;
    world.run_until(end);
}

fn passes(world: &mut World, ms: u64) {
    let end = world.host.mono + ms;
    world.run_until(end);
}

/// The state and what is said of it.
fn said(world: &mut World, name: &str) -> String {
    let view = list(world).into_iter().find(|view| view.name == name).unwrap();
    format!("{}: {}", view.state, view.detail.unwrap_or_default())
}

#[test]
fn each_condition_is_waited_for() {
    let table =
        [(Condition::Started, 0), (Condition::Ready, 900), (Condition::Healthy, 900), (Condition::Completed, 900)];
    for (condition, at_least) in table {
        let mut world = World::calm();
        let db = match condition {
            Condition::Completed => app("db", "exit 900 0", |app| app.restart.auto = false),
            _ => app("db", "ready 900", checked),
        };
        let apps = [db, app("web", "stay", needs("db", condition, OnExit::Ignore))];
        let begun = world.host.mono;
        assert_eq!(done(world.ask(apply(&apps))), (2, vec![]), "{condition:?}");
        let waited = started(&world, "web") - begun;
        assert!(waited >= at_least && waited < at_least + 500, "{condition:?}: {waited}");
    }
}

#[test]
fn what_needs_a_job_that_fails_is_not_begun() {
    let mut world = World::calm();
    let job = app("job", "exit 900 1", |app| app.restart.auto = false);
    let apps = [job, app("web", "stay", needs("job", Condition::Completed, OnExit::Ignore))];
    let (_, failed) = done(world.ask(apply(&apps)));
    assert_eq!(failed.last().unwrap(), "web: `job`, which it depends on, is not up");
    assert_eq!(states(&mut world), ["job:0 errored", "web:0 waiting"]);
}

#[test]
fn what_was_stopped_and_is_to_run_waits_for_what_is_down() {
    let mut world = World::calm();
    let job = |script: &str| app("job", script, |app| app.restart.auto = false);
    let web = app("web", "stay", needs("job", Condition::Completed, OnExit::Ignore));
    assert_eq!(done(world.ask(apply(&[job("exit 9 0"), web.clone()]))).1, [""; 0]);
    world.ask(Request::Stop { targets: targets(&["all"]) });
    let failed = done(world.ask(apply(&[job("exit 9 1"), web.clone()]))).1;
    assert_eq!(failed.last().unwrap(), "web: `job`, which it depends on, is not up");
    assert_eq!(states(&mut world), ["job:0 errored", "web:0 waiting"]);
    assert_eq!(done(world.ask(apply(&[job("exit 9 0"), web]))).1, [""; 0]);
    assert!(states(&mut world)[1].starts_with("web:0 online"));
}

#[test]
fn what_waits_for_what_is_deleted_waits_on() {
    let mut world = World::calm();
    let job = |script: &str| app("job", script, |app| app.restart.auto = false);
    let web = app("web", "stay", needs("job", Condition::Completed, OnExit::Ignore));
    let db = app("db", "stay", |_| {});
    let edge = app("edge", "stay", needs("db", Condition::Ready, OnExit::Stop));
    let apps = |script: &str| [job(script), web.clone(), db.clone(), edge.clone()];
    world.ask(apply(&apps("exit 9 1")));
    world.ask(Request::Stop { targets: targets(&["db"]) });
    passes(&mut world, 2_000);
    let waits = ["web:0 waiting", "edge:0 waiting"];
    world.ask(Request::Delete { targets: targets(&["job", "db"]) });
    passes(&mut world, 5_000);
    assert_eq!(states(&mut world), waits);
    assert_eq!(said(&mut world, "web"), "waiting: for `job` to be completed (deleted)");
    // The next daemon does not start it either.
    world.host.daemon_dies();
    passes(&mut world, 5_000);
    assert_eq!(states(&mut world), waits);
    // Whoever wants it in vain is told.
    let Request::Apply(mut only) = apply(&apps("exit 9 0")) else { unreachable!() };
    only.options.only = targets(&["web"]);
    assert_eq!(done(world.ask(Request::Apply(only))).1, ["web: it waits for `job` to be completed"]);
    // By hand it starts, and what is there again is waited for as ever.
    world.ask(Request::Start { targets: targets(&["edge"]) });
    assert!(states(&mut world)[1].starts_with("edge:0 online"));
    assert_eq!(done(world.ask(apply(&apps("exit 9 0")))).1, [""; 0]);
    passes(&mut world, 2_000);
    let online = states(&mut world).into_iter().filter(|state| state.contains(" online ")).count();
    assert_eq!(online, 3, "{:?}", states(&mut world));
}

#[test]
fn what_is_taken_away_while_an_apply_is_at_work_is_not_started_without() {
    let conditions = [Condition::Started, Condition::Ready, Condition::Healthy, Condition::Completed];
    // `first` is what everything waits for; `db` is up by then, on its way, or not made yet.
    let places: [(&str, &[&str]); 3] = [("up", &[]), ("on its way", &[]), ("not made yet", &["first"])];
    for condition in conditions {
        for (place, before) in places {
            for delete in [true, false] {
                let at = format!("{condition:?}, {place}, delete: {delete}");
                let mut world = World::calm();
                let first = app("first", "ready 3000", |app| {
                    (app.readiness.wait_ready, app.readiness.timeout_ms) = (true, 20_000);
                });
                let script = if place == "on its way" { "ready 9000" } else { "ready 20" };
                let db = app("db", script, |app| {
                    (app.readiness.wait_ready, app.readiness.timeout_ms) = (true, 20_000);
                    app.depends_on = targets(before);
                    if condition == Condition::Completed {
                        app.restart.stop_exit_codes = vec![0];
                    }
                });
                let web = app("web", "stay", |app| {
                    needs("db", condition, OnExit::Ignore)(app);
                    app.depends_on.push("first".to_owned());
                });
                let client = world.call(apply(&[first, db, web]), false);
                passes(&mut world, 1_000);
                let names = targets(&["db"]);
                let request =
                    if delete { Request::Delete { targets: names } } else { Request::Stop { targets: names } };
                assert_eq!(done(world.ask(request)).1, [""; 0], "{at}");
                let Answer::Done { failed, .. } = world.until_answered(client) else { panic!("{at}") };
                assert!(failed.iter().any(|failure| failure.app == "web"), "{at}: {failed:?}");
                passes(&mut world, 5_000);
                let now = states(&mut world);
                assert!(now.contains(&"web:0 waiting".to_owned()), "{at}: {now:?}");
                assert_eq!(now.contains(&"db:0 stopped".to_owned()), !delete, "{at}: {now:?}");
                let gone = if delete { " (deleted)" } else { "" };
                let word = format!("{condition:?}").to_lowercase();
                assert_eq!(said(&mut world, "web"), format!("waiting: for `db` to be {word}{gone}"), "{at}");
                // Nor is it when everything is stopped and started again.
                world.ask(Request::Kill);
                passes(&mut world, 5_000);
                world.ask(Request::Resurrect);
                if delete {
                    assert!(states(&mut world).contains(&"web:0 waiting".to_owned()), "{at}: {:?}", states(&mut world));
                }
            }
        }
    }
}

#[test]
fn what_goes_with_what_is_restarted_is_waited_for_and_its_failure_told() {
    let slow = |app: &mut AppSpec| (app.readiness.wait_ready, app.readiness.timeout_ms) = (true, 5_000);
    for on_exit in [OnExit::Restart, OnExit::Stop] {
        let mut apps = [
            app("db", "stay", |_| {}),
            app("web", "ready 900", |app| {
                needs("db", Condition::Ready, on_exit)(app);
                slow(app);
            }),
            app("edge", "ready 901", |app| {
                needs("web", Condition::Ready, on_exit)(app);
                slow(app);
            }),
            app("apart", "stay", needs("db", Condition::Ready, OnExit::Ignore)),
        ];
        let mut world = World::calm();
        assert_eq!(done(world.ask(apply(&apps))).1, [""; 0]);
        let restart = || Request::Restart { targets: targets(&["db"]) };
        let before = ["web", "edge", "apart"].map(|name| started(&world, name));
        assert_eq!(done(world.ask(restart())), (3, vec![]), "{on_exit:?}");
        let is_new = ["web", "edge", "apart"]
            .map(|name| started(&world, name))
            .iter()
            .zip(before)
            .map(|(now, was)| *now > was)
            .collect::<Vec<_>>();
        assert_eq!(is_new, [true, true, false], "{on_exit:?}");
        assert!(states(&mut world).iter().all(|state| state.contains(" online ")), "{:?}", states(&mut world));
        // A live change, and a file that restarts what the others go with.
        apps[1].readiness.timeout_ms = 100;
        assert_eq!(done(world.ask(apply(&apps))).1, [""; 0]);
        assert_eq!(done(world.ask(restart())).1[0], "web: not ready within 100ms (listen_timeout); it goes on running");
        passes(&mut world, 5_000);
        apps[0].env.insert("NEW".to_owned(), "1".to_owned());
        let failed = done(world.ask(apply(&apps))).1;
        assert_eq!(failed[0], "web: not ready within 100ms (listen_timeout); it goes on running", "{on_exit:?}");
    }
}

#[test]
fn what_has_a_step_of_its_own_is_not_restarted_a_second_time_with_what_it_depends_on() {
    for on_exit in [OnExit::Restart, OnExit::Stop] {
        let mut world = World::calm();
        let mut apps = [app("db", "ready 40", |_| {}), app("web", "ready 30", needs("db", Condition::Ready, on_exit))];
        assert_eq!(done(world.ask(apply(&apps))), (2, vec![]));
        for app in &mut apps {
            app.env.insert("NEW".to_owned(), "1".to_owned());
        }
        assert_eq!(done(world.ask(apply(&apps))), (2, vec![]));
        passes(&mut world, 10_000);
        assert_eq!(world.host.spawned["ready 30"], 2, "{on_exit:?}");
        world.ask(Request::Restart { targets: targets(&["db", "web"]) });
        passes(&mut world, 10_000);
        assert_eq!(world.host.spawned["ready 30"], 3, "{on_exit:?}");
    }
}

/// What an apply waits for is deleted.
#[test]
fn an_apply_ends_when_what_it_waits_for_is_deleted() {
    let mut world = World::calm();
    let db = app("db", "stay", |app| {
        app.readiness.wait_ready = true;
        app.readiness.timeout_ms = 600_000;
    });
    let web = app("web", "stay", needs("db", Condition::Ready, OnExit::Ignore));
    let client = world.call(apply(&[db, web]), false);
    passes(&mut world, 1_000);
    world.ask(Request::Delete { targets: targets(&["db"]) });
    passes(&mut world, 10_000);
    assert_eq!(world.host.finished.get(&client), Some(&1));
}

#[test]
fn what_waits_for_a_job_waits_on_when_everything_is_killed_and_resurrected() {
    let mut world = World::calm();
    let job = |script: &str| app("job", script, |app| app.restart.auto = false);
    let web = app("web", "stay", needs("job", Condition::Completed, OnExit::Ignore));
    world.ask(apply(&[job("exit 9 1"), web.clone()]));
    world.ask(Request::Kill);
    passes(&mut world, 5_000);
    world.ask(Request::Resurrect);
    assert_eq!(states(&mut world), ["job:0 errored", "web:0 waiting"]);
    world.ask(Request::Start { targets: targets(&["web"]) });
    assert!(states(&mut world)[1].starts_with("web:0 online"));
}

#[test]
fn what_waits_for_what_somebody_has_stopped_is_not_resurrected() {
    let mut world = World::calm();
    let job = app("job", "exit 90000 0", |app| app.restart.auto = false);
    let apps = [
        app("db", "stay", |_| {}),
        app("ends", "stay", needs("db", Condition::Ready, OnExit::Stop)),
        app("goes on", "stay", needs("db", Condition::Ready, OnExit::Ignore)),
        job,
        app("web", "stay", needs("job", Condition::Completed, OnExit::Ignore)),
    ];
    world.call(apply(&apps), false);
    passes(&mut world, 5_000);
    world.ask(Request::Stop { targets: targets(&["db", "job"]) });
    world.ask(Request::Kill);
    passes(&mut world, 5_000);
    world.ask(Request::Resurrect);
    passes(&mut world, 5_000);
    let states: Vec<String> = states(&mut world).into_iter().filter(|state| !state.contains(" stopped")).collect();
    assert!(states.contains(&"ends:0 waiting".to_owned()), "{states:?}");
    let up: Vec<&String> = states.iter().filter(|state| state.contains(" online ")).collect();
    assert!(up.len() == 1 && up[0].starts_with("goes on:0"), "{states:?}");
}

#[test]
fn a_job_is_not_run_beside_what_it_depends_on() {
    let mut world = World::calm();
    let base = app("base", "stay", |_| {});
    let job = app("job", "exit 9 0", |app| {
        app.schedule = Some("0 * * * *".to_owned());
        app.cron_timezone = Some("UTC".to_owned());
        app.depends_on = targets(&["base"]);
    });
    world.ask(apply(&[base, job]));
    world.ask(Request::Stop { targets: targets(&["base"]) });
    passes(&mut world, 3_600_000);
    let runs = list(&mut world).into_iter().find(|view| view.name == "job").unwrap().runs;
    assert_eq!(runs.iter().map(|run| run.error.as_deref()).collect::<Vec<_>>(), [Some("it needs `base` to be ready")]);
    world.ask(Request::Start { targets: targets(&["base"]) });
    passes(&mut world, 3_600_000);
    let runs = list(&mut world).into_iter().find(|view| view.name == "job").unwrap().runs;
    assert_eq!(runs.last().unwrap().status, Some(ExitStatus::Code(0)));
}

#[test]
fn what_ends_while_its_dependency_is_down_waits_for_it() {
    let mut world = World::calm();
    let apps = [
        app("db", "stay", |app| app.restart.delay_ms = 10_000),
        app("web", "stay", needs("db", Condition::Ready, OnExit::Ignore)),
    ];
    world.ask(apply(&apps));
    ends(&mut world, "db", 1);
    assert_eq!(said(&mut world, "web"), "online: ", "it goes on");
    ends(&mut world, "web", 1);
    assert_eq!(said(&mut world, "web"), "waiting: for `db` to be ready");
    passes(&mut world, 10_500);
    assert_eq!(said(&mut world, "web"), "waiting: for `db` to be ready", "started is not ready");
    passes(&mut world, 2_000);
    assert_eq!(said(&mut world, "web"), "online: ");
    // Whoever says so starts it without.
    ends(&mut world, "db", 1);
    ends(&mut world, "web", 1);
    world.ask(Request::Start { targets: targets(&["web"]) });
    passes(&mut world, 2_000);
    assert_eq!(said(&mut world, "web"), "online: ");
    // And whoever stops it has it stopped.
    ends(&mut world, "web", 1);
    world.ask(Request::Stop { targets: targets(&["web"]) });
    passes(&mut world, 20_000);
    assert_eq!(said(&mut world, "web"), "stopped: ");
}

#[test]
fn it_is_restarted_or_stopped_with_what_it_depends_on_where_it_says_so() {
    for (on_exit, meanwhile) in [(OnExit::Restart, "online: "), (OnExit::Stop, "waiting: for `db` to be ready")] {
        let mut world = World::calm();
        let apps = [
            app("db", "stay", |app| app.restart.delay_ms = 10_000),
            app("web", "stay", needs("db", Condition::Ready, on_exit)),
        ];
        world.ask(apply(&apps));
        let before = started(&world, "web");
        ends(&mut world, "db", 1);
        passes(&mut world, 5_000);
        assert_eq!(said(&mut world, "web"), meanwhile, "{on_exit:?}");
        passes(&mut world, 10_000);
        assert!(said(&mut world, "web").starts_with("online"), "{on_exit:?}");
        assert!(started(&world, "web") > before + 10_000, "{on_exit:?}");
        // Once.
        let once = started(&world, "web");
        passes(&mut world, 60_000);
        assert_eq!(started(&world, "web"), once, "{on_exit:?}");
    }
}

#[test]
fn one_of_several_instances_takes_nobody_with_it() {
    let mut world = World::calm();
    let apps = [
        app("db", "stay", |app| (app.instances, app.restart.delay_ms) = (2, 10_000)),
        app("web", "stay", needs("db", Condition::Ready, OnExit::Stop)),
    ];
    world.ask(apply(&apps));
    let before = started(&world, "web");
    ends(&mut world, "db", 1);
    passes(&mut world, 30_000);
    assert_eq!((said(&mut world, "web").as_str(), started(&world, "web")), ("online: ", before));
}

#[test]
fn a_new_daemon_starts_in_order_and_what_waits_says_so() {
    let mut world = World::calm();
    let apps = [
        app("db", "ready 900", |_| {}),
        app("web", "stay", needs("db", Condition::Ready, OnExit::Ignore)),
        app("top", "stay", needs("web", Condition::Started, OnExit::Ignore)),
    ];
    world.ask(apply(&apps));
    world.feed(Input::Terminate);
    let begun = world.host.mono;
    passes(&mut world, 1_500);
    assert_eq!(said(&mut world, "web"), "waiting: for `db` to be ready");
    assert_eq!(said(&mut world, "top"), "waiting: for `web` to be started");
    passes(&mut world, 60_000);
    assert!(states(&mut world).iter().all(|state| state.contains(" online ")));
    let [db, web, top] = ["db", "web", "top"].map(|name| started(&world, name));
    assert!(begun < db && db + 900 <= web && web <= top, "{db} {web} {top}");
}

#[test]
fn what_was_stopped_by_hand_keeps_nobody_from_being_brought_back() {
    let mut world = World::calm();
    let after = |name: &str, on_exit| app(name, "stay", needs("db", Condition::Ready, on_exit));
    let apps = [
        app("db", "ready 5", |_| {}),
        app("cache", "ready 900", |_| {}),
        after("api", OnExit::Ignore),
        after("goes-with-it", OnExit::Stop),
        app("web", "stay", |app| {
            app.depends_on = vec!["cache".into(), "db".into()];
            app.needs = [("cache".to_owned(), Need { condition: Condition::Ready, ..Need::default() })].into();
        }),
        app("later", "stay", |app| app.depends_on = vec!["by-hand".into()]),
        app("by-hand", "stay", |app| app.autostart = false),
    ];
    world.ask(apply(&apps));
    world.ask(Request::Stop { targets: vec!["db".into()] });
    world.feed(Input::Terminate);
    passes(&mut world, 2_000);
    assert_eq!(said(&mut world, "web"), "waiting: for `cache` to be ready", "in order, and not for what stays stopped");
    world.restart();
    passes(&mut world, 60_000);
    let mut is = |name: &str| {
        let of = format!("{name}:0 ");
        let state = states(&mut world).into_iter().find_map(|line| line.strip_prefix(&of).map(str::to_owned));
        state.unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
    };
    assert_eq!([is("api"), is("web"), is("cache")], ["online"; 3]);
    assert_eq!([is("db"), is("by-hand")], ["stopped"; 2]);
    // It was down before, and goes with what it depends on; nobody has started what only starts by hand.
    assert_eq!([is("goes-with-it"), is("later")], ["waiting"; 2]);
}

#[test]
fn a_daemon_that_ends_stops_dependents_first() {
    let mut world = World::calm();
    let apps = [
        app("db", "stay", |_| {}),
        app("web", "deaf", needs("db", Condition::Ready, OnExit::Ignore)),
        app("top", "deaf", needs("web", Condition::Ready, OnExit::Ignore)),
    ];
    world.ask(apply(&apps));
    world.feed(Input::Terminate);
    let runs = |world: &World, name: &str| world.host.trees.values().any(|tree| tree.marker == format!("{name}:0"));
    passes(&mut world, 1_000);
    assert!(["db", "web", "top"].iter().all(|name| runs(&world, name)), "the last one is asked to end, and is deaf");
    passes(&mut world, 1_000);
    assert!(runs(&world, "db") && runs(&world, "web") && !runs(&world, "top"));
}

#[test]
fn what_is_healthy_is_up_and_what_is_not_is_restarted() {
    let mut world = World::calm();
    world.ask(apply(&[app("web", "stay", checked)]));
    assert_eq!(said(&mut world, "web"), "online: ");
    let first = started(&world, "web");
    let launch = world.host.trees.values().next().unwrap().launch;
    let fails = |world: &mut World| world.feed(Input::Probed { launch, result: Err("refused".to_owned()) });
    fails(&mut world);
    assert_eq!(said(&mut world, "web"), "online: ", "one is none");
    passes(&mut world, 2_000);
    fails(&mut world);
    assert_eq!(said(&mut world, "web"), "online: ", "a pass came in between");
    fails(&mut world);
    passes(&mut world, 5_000);
    assert_eq!(said(&mut world, "web"), "online: restarted: it was unhealthy: refused (health_check)");
    assert!(started(&world, "web") > first);
}

#[test]
fn what_is_only_watched_is_shown_as_unhealthy_and_left_alone() {
    let mut world = World::calm();
    let quiet = |app: &mut AppSpec| {
        checked(app);
        app.health_check.as_mut().unwrap().action = HealthAction::None;
    };
    world.ask(apply(&[app("web", "stay", quiet)]));
    let (first, launch) = (started(&world, "web"), world.host.trees.values().next().unwrap().launch);
    for _ in 0..2 {
        world.feed(Input::Probed { launch, result: Err("status 503".to_owned()) });
    }
    assert_eq!(said(&mut world, "web"), "unhealthy: status 503 (health_check)");
    passes(&mut world, 2_000);
    assert_eq!(said(&mut world, "web"), "online: ");
    assert_eq!(started(&world, "web"), first);
}

#[test]
fn what_never_becomes_healthy_is_told_and_not_restarted_for_ever() {
    let mut world = World::calm();
    let ill = |app: &mut AppSpec| {
        checked(app);
        app.restart.max_restarts = 3;
    };
    let (_, failed) = done(world.ask(apply(&[app("web", "ill", ill)])));
    assert_eq!(failed, ["web: it was unhealthy: refused (health_check); it is restarted"]);
    passes(&mut world, 120_000);
    let last = started(&world, "web");
    let want = "errored: no health check passed within 5s (health_check.startup): refused; it goes on running";
    assert_eq!(said(&mut world, "web"), want);
    passes(&mut world, 120_000);
    assert_eq!(started(&world, "web"), last);
    assert_eq!(list(&mut world)[0].restarts, 2);
}

#[test]
fn what_falls_ill_again_and_again_waits_longer_each_time_and_says_so() {
    let mut world = World::calm();
    world.ask(apply(&[app("web", "ill 1500", checked)]));
    passes(&mut world, 600_000);
    let before = list(&mut world)[0].restarts;
    passes(&mut world, 600_000);
    let restarts = list(&mut world)[0].restarts - before;
    assert!((25..=35).contains(&restarts), "some eighteen seconds each: {restarts}");
    while !said(&mut world, "web").starts_with("waiting: ") {
        world.turn();
    }
    assert!(world.host.trees.is_empty(), "what is sick does not run meanwhile");
    let text = said(&mut world, "web");
    assert!(text.starts_with("waiting: starts again in 1"), "{text}");
    assert!(text.ends_with("s: it was unhealthy: refused (health_check)"), "{text}");
    // Whoever asks has it at once.
    world.ask(Request::Restart { targets: targets(&["web"]) });
    assert_eq!(said(&mut world, "web"), "online: ");
}

#[test]
fn a_check_that_is_taken_out_is_forgotten() {
    let mut world = World::calm();
    world.ask(apply(&[app("web", "ill", checked)]));
    let (first, plain) = (started(&world, "web"), app("web", "ill", |_| {}));
    world.ask(apply(&[plain]));
    passes(&mut world, 60_000);
    assert_eq!(said(&mut world, "web").split(':').next(), Some("online"));
    assert!(started(&world, "web") >= first && world.host.checked.is_empty());
}

#[test]
fn a_job_runs_at_its_times_and_no_others() {
    let mut world = World::calm();
    let job = |change: fn(&mut AppSpec)| {
        app("job", "exit 600000 0", |app| {
            app.schedule = Some("0 * * * *".to_owned());
            app.cron_timezone = Some("UTC".to_owned());
            change(app);
        })
    };
    assert_eq!(done(world.ask(apply(&[job(|_| {})]))), (1, vec![]));
    assert!(said(&mut world, "job").starts_with("waiting: runs in "), "{}", said(&mut world, "job"));
    assert!(world.host.trees.is_empty());
    let next = list(&mut world)[0].next_run_at_ms.unwrap() - world.host.now().wall.0;
    passes(&mut world, next + 5_000);
    assert_eq!(world.host.trees.len(), 1);
    // Another version does not end what runs, and nothing is left to do.
    let (ran, newer) = (started(&world, "job"), job(|app| _ = app.env.insert("X".to_owned(), "1".to_owned())));
    assert_eq!(done(world.ask(apply(std::slice::from_ref(&newer)))), (1, vec![]));
    assert_eq!(done(world.ask(apply(&[newer]))), (0, vec![]));
    assert_eq!(started(&world, "job"), ran);
    passes(&mut world, 610_000);
    assert!(said(&mut world, "job").starts_with("waiting: runs in "));
    let runs = list(&mut world)[0].runs.clone();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].status, Some(ExitStatus::Code(0)));
    assert!((600_000..601_000).contains(&runs[0].took_ms), "{runs:?}");
    // Runs are remembered.
    world.feed(Input::Terminate);
    passes(&mut world, 5_000);
    assert_eq!(list(&mut world)[0].runs, runs);
    assert!(said(&mut world, "job").starts_with("waiting: runs in "), "{}", said(&mut world, "job"));
    // By its name it is run now; stopped, it has no times.
    world.ask(Request::Restart { targets: targets(&["job"]) });
    assert_eq!(world.host.trees.len(), 1);
    world.ask(Request::Stop { targets: targets(&["job"]) });
    assert_eq!((said(&mut world, "job").as_str(), world.core.wall_deadline()), ("stopped: ", None));
}

#[test]
fn a_job_is_run_at_its_times_whatever_becomes_of_its_files() {
    let mut world = World::calm();
    let service = app("job", "exit 600000 0", |app| app.watch.enabled = true);
    world.ask(apply(std::slice::from_ref(&service)));
    assert!(world.host.watches.apps.contains_key("job"));
    let job = AppSpec { schedule: Some("0 * * * *".to_owned()), ..service };
    world.ask(apply(&[job]));
    assert!(world.host.watches.apps.is_empty(), "nobody looks, and nothing is said");
    world.ask(Request::Restart { targets: targets(&["job"]) });
    assert!(world.host.watches.apps.is_empty(), "not while it runs either");
}

#[test]
fn runs_that_overlap_are_skipped_queued_or_replace_each_other() {
    for (overlap, ran) in [(Overlap::Skip, 3), (Overlap::Queue, 4), (Overlap::Replace, 6)] {
        let mut world = World::calm();
        // An hour and a half each, every hour.
        let job = app("job", "exit 5400000 0", |app| {
            app.schedule = Some("0 * * * *".to_owned());
            app.cron_timezone = Some("UTC".to_owned());
            app.schedule_overlap = overlap;
        });
        world.ask(apply(&[job]));
        let next = list(&mut world)[0].next_run_at_ms.unwrap() - world.host.now().wall.0;
        passes(&mut world, next + 5 * 3_600_000 + 60_000);
        let view = &list(&mut world)[0];
        let skipped = view.runs.iter().filter(|run| run.status.is_none()).count();
        let begun = view.runs.len() - skipped + usize::from(view.pid.is_some());
        assert_eq!((begun, skipped > 0), (ran, overlap == Overlap::Skip), "{overlap:?} {:?}", view.runs);
    }
}

#[test]
fn a_run_that_could_not_be_started_is_one_of_the_last() {
    let mut world = World::calm();
    let job = app("job", "nospawn", |app| {
        app.schedule = Some("0 * * * *".to_owned());
        app.cron_timezone = Some("UTC".to_owned());
    });
    world.ask(apply(&[job]));
    passes(&mut world, 2 * 3_600_000);
    let runs = list(&mut world)[0].runs.clone();
    let errors: Vec<_> = runs.iter().map(|run| run.error.as_deref()).collect();
    assert_eq!(errors, [Some("no such file"); 2]);
}

#[test]
fn a_service_becomes_a_job_and_a_job_a_service() {
    let mut world = World::calm();
    let job = app("x", "stay", |app| app.schedule = Some("0 3 * * *".to_owned()));
    let service = app("x", "stay", |_| {});
    world.ask(apply(std::slice::from_ref(&service)));
    assert_eq!(done(world.ask(apply(std::slice::from_ref(&job)))), (1, vec![]));
    assert!(said(&mut world, "x").starts_with("waiting: runs in "), "{}", said(&mut world, "x"));
    assert!(world.host.trees.is_empty());
    assert_eq!(done(world.ask(apply(&[service]))), (1, vec![]));
    assert!(said(&mut world, "x").starts_with("online"));
}

#[test]
fn an_apply_waits_for_what_waits_for_what_it_starts() {
    let mut world = World::calm();
    let apps = [app("db", "ready 900", |_| {}), app("web", "stay", needs("db", Condition::Ready, OnExit::Ignore))];
    world.ask(apply(&apps));
    world.ask(Request::Stop { targets: targets(&["db"]) });
    ends(&mut world, "web", 1);
    assert_eq!(said(&mut world, "web"), "waiting: for `db` to be ready");
    let (_, failed) = done(world.ask(apply(&apps)));
    assert_eq!(failed, Vec::<String>::new());
    assert_eq!(said(&mut world, "web"), "online: ");
    // What does not come is told.
    world.ask(Request::Stop { targets: targets(&["db"]) });
    ends(&mut world, "web", 1);
    let broken = [app("db", "never", |_| {}), apps[1].clone()];
    let (_, failed) = done(world.ask(apply(&broken)));
    assert_eq!(failed.len(), 2, "{failed:?}");
}

#[test]
fn what_an_earlier_daemon_started_is_checked_before_it_is_up() {
    let mut world = World::calm();
    let apps = [app("api", "ill", checked), app("web", "stay", needs("api", Condition::Healthy, OnExit::Stop))];
    let (_, failed) = done(world.ask(apply(&apps)));
    assert_eq!(failed.len(), 2, "{failed:?}");
    // Where it stood is lost.
    world.host.standings.clear();
    world.restart();
    assert_eq!(said(&mut world, "api"), "starting: ");
    let (_, failed) = done(world.ask(apply(&apps)));
    assert_eq!(failed.len(), 2, "{failed:?}");
    // One that worked is not taken for one that does not, by nobody.
    let apps = [app("api", "stay", checked), apps[1].clone()];
    world.ask(apply(&apps));
    let before = (started(&world, "api"), started(&world, "web"));
    world.restart();
    passes(&mut world, 30_000);
    assert_eq!((started(&world, "api"), started(&world, "web")), before);
    assert!(said(&mut world, "api").starts_with("online: "));
}

#[test]
fn a_job_that_runs_again_is_done_when_it_has_ended() {
    let mut world = World::calm();
    let apps = [
        app("mig", "exit 4000 0", |app| app.restart.auto = false),
        app("web", "stay", needs("mig", Condition::Completed, OnExit::Restart)),
    ];
    world.ask(apply(&apps));
    let before = started(&world, "web");
    world.ask(Request::Restart { targets: targets(&["mig"]) });
    assert_eq!(started(&world, "web"), before);
    passes(&mut world, 2_000);
    assert_eq!(started(&world, "web"), before, "it still runs");
    passes(&mut world, 5_000);
    assert!(started(&world, "web") > before + 3_000);
}

/// Under its new name, with a new variable where it is `edited`.
fn renamed(from: &AppSpec, name: &str, edited: bool) -> AppSpec {
    let mut app = AppSpec { name: name.to_owned(), renamed_from: Some(from.name.clone()), ..from.clone() };
    if edited {
        app.env.insert("X".to_owned(), "1".to_owned());
    }
    app
}

/// With and without the dependents.
fn wholly_or(apps: &[AppSpec], only: Option<&str>) -> Request {
    match apply(apps) {
        Request::Apply(mut wanted) => {
            wanted.options.only = targets(only.as_slice());
            Request::Apply(wanted)
        }
        other => other,
    }
}

#[test]
fn what_waits_for_a_job_that_is_renamed_waits_on() {
    for only in [None, Some("migrate")] {
        let mut world = World::calm();
        let mig = app("mig", "exit 4000 0", |app| app.restart.auto = false);
        let web = |need: &str| app("web", "stay", needs(need, Condition::Completed, OnExit::Stop));
        world.ask(apply(&[mig.clone(), web("mig")]));
        // Who has no patience until the job is done, and what goes with it back.
        let client = world.call(Request::Restart { targets: targets(&["mig"]) }, false);
        passes(&mut world, 100);
        assert!(!world.host.finished.contains_key(&client));
        world.feed(Input::Cancel { client });
        assert_eq!(said(&mut world, "web"), "waiting: for `mig` to be completed");
        let (again, apps) = (started(&world, "mig"), [renamed(&mig, "migrate", false), web("migrate")]);
        let client = world.call(wholly_or(&apps, only), false);
        passes(&mut world, 100);
        assert_eq!(said(&mut world, "web"), "waiting: for `migrate` to be completed");
        assert_eq!(done(world.until_answered(client)).1, Vec::<String>::new());
        passes(&mut world, 5_000);
        assert_eq!(said(&mut world, "web"), "online: ");
        assert!(started(&world, "web") >= again + 4_000, "{only:?}");
        assert_eq!(done(world.ask(apply(&apps))), (0, vec![]), "nothing is left to do");
    }
}

#[test]
fn what_goes_with_its_dependency_does_when_that_is_renamed_too() {
    for (on_exit, only) in [OnExit::Restart, OnExit::Stop].into_iter().flat_map(|one| [(one, None), (one, Some("pg2"))])
    {
        let mut world = World::calm();
        let pg = app("pg", "ready 900", |_| {});
        let web = |need: &str| app("web", "stay", needs(need, Condition::Ready, on_exit));
        world.ask(apply(&[pg.clone(), web("pg")]));
        let (before, begun) = (started(&world, "web"), world.host.mono);
        let apps = [renamed(&pg, "pg2", true), web("pg2")];
        world.ask(wholly_or(&apps, only));
        passes(&mut world, 3_000);
        assert!(started(&world, "web") >= begun + 900, "{on_exit:?} {only:?}: {before}");
        assert!(said(&mut world, "web").starts_with("online"), "{on_exit:?} {only:?}");
        // The next daemon knows it by its new name, too.
        assert_eq!(world.host.disk.apps["web"].spec.depends_on, ["pg2"]);
        assert_eq!(done(world.ask(apply(&apps))), (0, vec![]), "nothing is left to do");
    }
}

#[test]
fn what_was_started_without_its_dependency_is_left_alone_when_that_is_renamed() {
    let mut world = World::calm();
    let pg = app("pg", "ready 900", |app| app.restart.delay_ms = 10_000);
    let web = |need: &str| app("web", "stay", needs(need, Condition::Ready, OnExit::Stop));
    world.ask(apply(&[pg.clone(), web("pg")]));
    ends(&mut world, "pg", 1);
    passes(&mut world, 100);
    world.ask(Request::Start { targets: targets(&["web"]) });
    let before = started(&world, "web");
    let client = world.call(apply(&[renamed(&pg, "pg2", false), web("pg2")]), false);
    passes(&mut world, 3_000);
    assert_eq!((started(&world, "web"), said(&mut world, "web").as_str()), (before, "online: "));
    world.until_answered(client);
}

#[test]
fn nobody_waits_for_a_job_that_its_own_rules_end_before_it_can() {
    let utc = |app: &mut AppSpec, pattern: &str| {
        (app.cron_restart, app.cron_timezone) = (Some(pattern.to_owned()), Some("UTC".to_owned()));
    };
    let job = |change: &dyn Fn(&mut AppSpec)| {
        app("job", "exit 40000 0", |app| {
            app.restart.auto = false;
            change(app);
        })
    };
    let web = app("web", "stay", needs("job", Condition::Completed, OnExit::Ignore));
    let cut = |why: &str| vec![format!("web: `job`, which it depends on, does not come to its end: {why}")];
    let aged = job(&|app| app.restart.max_age_ms = 10_000);
    let ticking = job(&|app| utc(app, "*/30 * * * * *"));
    let age = cut("it has run for long enough (max_age)");
    for (job, want) in [(aged, age), (ticking, cut("its time has come (cron_restart)"))] {
        let mut world = World::calm();
        let apps = [job, web.clone()];
        assert_eq!(done(world.ask(apply(&apps))), (2, want));
        assert!(states(&mut world).contains(&"web:0 waiting".to_owned()));
    }
    // Once is bad luck.
    let mut world = World::calm();
    let until_the_hour = 3_600_000 - world.host.now().wall.0 % 3_600_000;
    world.host.after(until_the_hour - 5_000, Coming::Input(Input::Tick));
    passes(&mut world, until_the_hour);
    let begun = world.host.mono;
    assert_eq!(done(world.ask(apply(&[job(&|app| utc(app, "0 * * * *")), web.clone()]))), (2, vec![]));
    assert!(started(&world, "web") > begun + 45_000);
    // Nor for one that fails as often, though it is started again each time.
    let failing = app("job", "exit 20000 1", |app| app.restart.stop_exit_codes = vec![0]);
    let not_up = vec!["web: `job`, which it depends on, is not up".to_owned()];
    assert_eq!(done(World::calm().ask(apply(&[failing, web.clone()]))), (2, not_up));
    // Nor does anybody wait for what waits for it.
    let mut world = World::calm();
    let web = app("web", "stay", needs("job", Condition::Completed, OnExit::Stop));
    world.ask(apply(&[job(&|_| {}), web.clone()]));
    let aged = [job(&|app| app.restart.max_age_ms = 10_000), web];
    world.ask(apply(&aged));
    world.ask(Request::Restart { targets: targets(&["job"]) });
    assert_eq!(said(&mut world, "web"), "waiting: for `job` to be completed");
    assert_eq!(done(world.ask(apply(&aged))).1, ["web: it waits for `job` to be completed"]);
    // What else it needs may be replaced meanwhile.
    let mut world = World::calm();
    let mut apps = [app("db", "stay", |app| app.restart.max_age_ms = 8_000), job(&|_| {}), aged[1].clone()];
    needs("db", Condition::Ready, OnExit::Ignore)(&mut apps[2]);
    world.ask(apply(&apps));
    world.ask(Request::Restart { targets: targets(&["job"]) });
    assert_eq!(done(world.ask(apply(&apps))).1, Vec::<String>::new());
}

#[test]
fn a_job_that_fails_while_somebody_waits_for_it_is_named_with_its_words() {
    let job = |script: &str| app("job", script, |app| app.restart.auto = false);
    let web = app("web", "stay", needs("job", Condition::Completed, OnExit::Ignore));
    let want = ["job: it ended: exit code 1 (autorestart is off)", "web: `job`, which it depends on, is not up"];
    // Too late to have been taken for one that does not come up.
    let mut world = World::calm();
    let answer = world.ask(apply(&[job("exit 3000 1"), web.clone()]));
    let Answer::Done { failed, .. } = &answer else { panic!("{answer:?}") };
    assert!(failed[0].error_log.is_some() && failed[0].slot == Some(0), "{failed:?}");
    assert_eq!(done(answer), (2, want.map(str::to_owned).to_vec()));
    // Early, and begun by somebody else, on its way up or up.
    for (script, waits_ms) in [("exit 3000 1", 2_000), ("exit 3000 1", 200), ("exit 900 1", 200)] {
        let mut world = World::calm();
        let apps = [job(script), web.clone()];
        let first = world.call(apply(&apps[..1]), false);
        passes(&mut world, waits_ms);
        world.feed(Input::Cancel { client: first });
        assert_eq!(done(world.ask(apply(&apps))).1, want, "{script} {waits_ms}");
    }
    // What is started again by its policy has not failed.
    let apps = [
        app("crashes", "exit 1500 1", |_| {}),
        app("slow", "exit 4000 0", |app| app.restart.auto = false),
        app("web", "stay", needs("slow", Condition::Completed, OnExit::Ignore)),
    ];
    assert_eq!(done(World::calm().ask(apply(&apps))), (3, vec![]));
}
