//! Lives in which files change.

use super::stories::{app, apply, done, list, states, targets};
use super::{Input, World};
use crate::base::Mono;
use crate::rpc::wire::Request;
use crate::spec::{AppSpec, LogTarget};

fn watched(name: &str, script: &str, change: impl FnOnce(&mut AppSpec)) -> AppSpec {
    app(name, script, |app| {
        app.watch.enabled = true;
        change(app);
    })
}

fn change(world: &mut World, app: &str, path: &str) {
    let paths = vec![path.to_owned()];
    world.feed(Input::FilesChanged { app: app.to_owned(), paths, count: 1, more: false });
}

fn wait(world: &mut World, ms: u64) {
    let end = world.host.mono + ms;
    world.run_until(end);
    world.host.mono = world.host.mono.max(end);
}

fn watches(world: &World) -> Vec<&str> {
    world.host.watches.apps.keys().map(String::as_str).collect()
}

#[test]
fn a_change_restarts_every_instance_of_the_app_once_and_no_other() {
    let mut world = World::calm();
    let apps = [watched("a", "stay", |app| app.instances = 2), watched("b", "stay", |_| {}), app("c", "stay", |_| {})];
    assert_eq!(done(world.ask(apply(&apps))), (3, vec![]));
    assert_eq!(watches(&world), ["a", "b"]);
    let before = list(&mut world);
    for _ in 0..1_000 {
        change(&mut world, "a", "src/x.js");
    }
    assert_eq!(list(&mut world)[0].restarts, 0, "it is waited for the rest");
    wait(&mut world, 5_000);
    let after = list(&mut world);
    assert_eq!(after.iter().map(|view| view.restarts).collect::<Vec<_>>(), [1, 1, 0, 0]);
    assert_eq!(after[2].pid, before[2].pid);
    assert!(after.iter().all(|view| view.state == "online"));
    assert_eq!(world.host.restarts_by_files["a"], 1);
}

#[test]
fn what_changes_while_it_is_restarted_is_seen_by_what_comes() {
    let mut world = World::calm();
    done(world.ask(apply(&[watched("a", "deaf", |app| app.stop.timeout_ms = 3_000)])));
    change(&mut world, "a", "x.js");
    wait(&mut world, 1_000);
    assert_eq!(states(&mut world)[0].split(' ').nth(1), Some("stopping"));
    change(&mut world, "a", "x.js");
    wait(&mut world, 20_000);
    assert_eq!(list(&mut world)[0].restarts, 1);
    change(&mut world, "a", "x.js");
    wait(&mut world, 20_000);
    assert_eq!(list(&mut world)[0].restarts, 2);
}

#[test]
fn what_was_stopped_is_not_watched_and_what_was_given_up_on_is_started() {
    let mut world = World::calm();
    let apps = [
        watched("gone", "exit 5 1", |app| app.restart.max_restarts = 2),
        watched("job", "exit 5 0", |app| app.restart.auto = false),
        watched("stopped", "stay", |_| {}),
        watched("waits", "exit 300 1", |app| app.restart.delay_ms = 3_000),
    ];
    world.ask(apply(&apps));
    wait(&mut world, 2_000);
    let restarts = |world: &mut World| list(world).into_iter().map(|view| view.restarts).collect::<Vec<_>>();
    done(world.ask(Request::Stop { targets: targets(&["stopped"]) }));
    assert_eq!(watches(&world), ["gone", "job", "waits"]);
    let before = restarts(&mut world);
    for app in ["gone", "job", "stopped", "waits"] {
        change(&mut world, app, "x.js");
    }
    wait(&mut world, 60);
    let after = restarts(&mut world);
    assert!(after[0] > before[0] && after[1] > before[1] && after[2] == before[2], "{before:?} {after:?}");
    assert_eq!(list(&mut world)[2].state, "stopped");
    // Unlike with PM2, a later start watches again.
    done(world.ask(Request::Start { targets: targets(&["stopped"]) }));
    assert_eq!(watches(&world), ["gone", "job", "stopped", "waits"]);
    change(&mut world, "stopped", "x.js");
    wait(&mut world, 2_000);
    assert_eq!(list(&mut world)[2].restarts, before[2] + 1);
}

#[test]
fn watch_can_be_switched_on_and_off_and_no_process_notices() {
    let mut world = World::calm();
    done(world.ask(apply(&[app("a", "stay", |_| {})])));
    let pid = list(&mut world)[0].pid;
    assert!(watches(&world).is_empty());
    done(world.ask(apply(&[watched("a", "stay", |app| app.watch.delay_ms = 700)])));
    assert_eq!(watches(&world), ["a"]);
    assert_eq!(list(&mut world)[0].pid, pid);
    change(&mut world, "a", "x.js");
    assert_eq!(world.core.deadline(), Some(Mono(world.host.mono + 700)));
    done(world.ask(apply(&[app("a", "stay", |_| {})])));
    assert!(watches(&world).is_empty());
    wait(&mut world, 3_000);
    let view = &list(&mut world)[0];
    assert_eq!((view.pid, view.restarts), (pid, 0));
}

#[test]
fn logs_of_what_runs_and_of_what_comes_are_own_files() {
    let mut world = World::calm();
    let logs_to = |path: &str| {
        let path = path.to_owned();
        watched("a", "deaf", |app| app.logs.out = LogTarget::Path(path))
    };
    done(world.ask(apply(&[logs_to("/p/old.log"), app("b", "stay", |_| {})])));
    let has = |world: &World, path: &str| world.host.watches.own_files.contains(path);
    assert!(has(&world, "/p/old.log") && has(&world, "/h/logs/b-out.log") && has(&world, "/h/pids/b-1.pid"));
    world.call(apply(&[logs_to("/p/new.log"), app("b", "stay", |_| {})]), false);
    wait(&mut world, 100);
    assert_eq!(states(&mut world)[0].split(' ').nth(1), Some("stopping"));
    assert!(has(&world, "/p/old.log") && has(&world, "/p/new.log"));
}

#[test]
fn a_change_that_waits_goes_along_with_a_new_name() {
    let mut world = World::calm();
    done(world.ask(apply(&[watched("old", "stay", |app| app.watch.delay_ms = 700)])));
    change(&mut world, "old", "x.js");
    let renamed = watched("new", "stay", |app| {
        app.watch.delay_ms = 700;
        app.renamed_from = Some("old".to_owned());
    });
    done(world.ask(apply(&[renamed])));
    assert_eq!(watches(&world), ["new"]);
    assert_eq!(list(&mut world)[0].restarts, 0);
    wait(&mut world, 3_000);
    assert_eq!(list(&mut world)[0].restarts, 1);
}

#[test]
fn a_file_that_the_app_writes_at_each_start_is_found_out_and_named() {
    let mut world = World::calm();
    done(world.ask(apply(&[watched("a", "stay", |_| {})])));
    let note = "watch: `gen/x.txt` seems to be written by the app itself after each start (add it to ignore_watch)";
    let is_named = |world: &mut World| list(world)[0].detail.as_deref() == Some(note);
    let loops = |world: &mut World| {
        let mut turns = 0;
        while !is_named(world) {
            let restarts = list(world)[0].restarts;
            change(world, "a", "gen/x.txt");
            wait(world, 300);
            turns += 1;
            assert!(turns < 20 && (list(world)[0].restarts > restarts || is_named(world)));
        }
        turns
    };
    assert_eq!(loops(&mut world), 8);
    assert_eq!(list(&mut world)[0].detail.as_deref(), Some(note));
    assert!(world.host.trace.iter().any(|line| line.contains(note)));
    let restarts = list(&mut world)[0].restarts;
    change(&mut world, "a", "gen/x.txt");
    wait(&mut world, 300);
    assert_eq!(list(&mut world)[0].restarts, restarts, "it is passed over");
    change(&mut world, "a", "src/a.js");
    wait(&mut world, 300);
    assert_eq!(list(&mut world)[0].restarts, restarts + 1, "others are not");
    done(world.ask(Request::Restart { targets: targets(&["a"]) }));
    assert_eq!(list(&mut world)[0].detail, None, "whoever restarts it may have mended it");
    assert_eq!(loops(&mut world), 8);
}

#[test]
fn the_last_save_of_a_person_is_seen_though_it_came_like_an_apps_own() {
    for saves in 8..20 {
        let mut world = World::calm();
        done(world.ask(apply(&[watched("a", "stay", |_| {})])));
        for _ in 0..saves {
            wait(&mut world, 750);
            change(&mut world, "a", "src/x.js");
        }
        let launches = |world: &World| world.host.restarts_by_files.get("a").copied().unwrap_or(0);
        wait(&mut world, 11_000);
        let before = launches(&world);
        assert!(before >= 8);
        wait(&mut world, 60_000);
        assert_eq!(launches(&world), before, "no more than once");
        assert_eq!(list(&mut world)[0].detail.as_deref(), Some("restarted: `src/x.js` changed (watch)"));
        change(&mut world, "a", "src/x.js");
        wait(&mut world, 300);
        assert_eq!(launches(&world), before + 1, "and the next one counts");
    }
}

#[test]
fn an_app_that_writes_what_is_watched_is_restarted_some_times_to_see_it_and_no_more() {
    let mut world = World::calm();
    done(world.ask(apply(&[watched("a", "stay", |app| app.instances = 2)])));
    let restarts = |world: &mut World| list(world)[0].restarts;
    let mut seen = u32::MAX;
    for _ in 0..40_000 {
        if restarts(&mut world) != seen {
            seen = restarts(&mut world);
            change(&mut world, "a", "gen/x.txt");
        }
        wait(&mut world, 100);
    }
    assert!((8..30).contains(&seen), "{seen}");
    assert!(
        list(&mut world)[0].detail.as_deref().is_some_and(|detail| detail.contains("to be written by the app itself"))
    );
    change(&mut world, "a", "gen/x.txt");
    wait(&mut world, 300);
    assert_eq!(restarts(&mut world), seen + 1, "somebody else's, at any other time");
}

#[test]
fn two_apps_that_write_into_each_others_folders_are_named() {
    let mut world = World::calm();
    done(world.ask(apply(&[watched("a", "stay", |_| {}), watched("b", "stay", |_| {})])));
    wait(&mut world, 20_000);
    let mut seen = [0, 0];
    change(&mut world, "a", "in/x.txt");
    let named = |world: &mut World| {
        let views = list(world);
        let named = [("a", "b"), ("b", "a")].into_iter().filter(|(name, other)| {
            let detail = views.iter().find(|view| view.name == *name).and_then(|view| view.detail.clone());
            let want =
                format!("watch: `in/x.txt` seems to be written by `{other}`, which starts each time before that, or");
            detail.is_some_and(|detail| detail.starts_with(&want))
        });
        named.count()
    };
    let mut unnamed = 0;
    for turn in 0..8_000 {
        let now = [0, 1].map(|place| list(&mut world)[place].restarts);
        for (place, other) in [(0, "b"), (1, "a")] {
            if now[place] != seen[place] {
                change(&mut world, other, "in/x.txt");
            }
        }
        seen = now;
        wait(&mut world, 50);
        unnamed += usize::from(turn > 200 && named(&mut world) == 0);
    }
    assert!(named(&mut world) > 0 && unnamed < 2_000, "{unnamed}");
    assert!(seen.iter().all(|restarts| *restarts < 100), "{seen:?}");
}

#[test]
fn what_cannot_be_watched_is_shown_with_the_app() {
    let mut world = World::calm();
    done(world.ask(apply(&[watched("a", "stay", |_| {})])));
    let trouble = Some("cannot look into `secret`: permission denied".to_owned());
    world.feed(Input::WatchTrouble { app: "a".to_owned(), trouble });
    let detail = list(&mut world)[0].detail.clone();
    assert_eq!(detail.as_deref(), Some("watch: cannot look into `secret`: permission denied"));
    world.feed(Input::WatchTrouble { app: "a".to_owned(), trouble: None });
    assert_eq!(list(&mut world)[0].detail, None);
}
