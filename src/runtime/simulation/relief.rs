//! Small lives of processes that relieve each other.

use super::World;
use super::needs::checked;
use super::stories::{app, apply, done, list, states, targets};
use crate::base::{ExitStatus, InstanceId};
use crate::rpc::wire::Request;
use crate::runtime::{Input, Intent};
use crate::spec::{AppSpec, ExecMode};

/// A worker of node's cluster that behaves as its script says.
fn worker(script: &str, instances: u32, change: impl FnOnce(&mut AppSpec)) -> AppSpec {
    app("web", script, |app| {
        (app.exec_mode, app.interpreter) = (ExecMode::Cluster, Some("node".to_owned()));
        app.instances = instances;
        change(app);
    })
}

fn reload() -> Request {
    Request::Reload { targets: targets(&["web"]), parallel: None }
}

fn pids(world: &mut World) -> Vec<Option<u32>> {
    list(world).iter().map(|view| view.pid).collect()
}

fn none_is_beside(world: &mut World) -> bool {
    list(world).iter().all(|view| view.beside.is_none())
}

#[test]
fn at_every_moment_as_many_serve_as_there_are_slots() {
    let mut world = World::calm();
    done(world.ask(apply(&[worker("stay", 3, |_| ())])));
    let before = pids(&mut world);
    let client = world.call(reload(), false);
    let mut most = 0;
    while !world.host.finished.contains_key(&client) {
        assert!(world.turn());
        let all = list(&mut world);
        assert!(all.iter().all(|view| view.state == "online"), "{all:?}");
        most =
            most.max(all.iter().filter(|view| view.beside.as_ref().is_some_and(|one| one.state == "starting")).count());
    }
    assert_eq!(most, 1);
    assert!(none_is_beside(&mut world));
    let after = pids(&mut world);
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
    assert!(list(&mut world).iter().all(|view| view.restarts == 1));
    // And so it is again, by the other names.
    assert_eq!(done(world.ask(reload())), (1, vec![]));
    assert!(none_is_beside(&mut world) && list(&mut world).iter().all(|view| view.restarts == 2));
}

/// One that is given its socket, in whichever language.
fn given(script: &str, change: impl FnOnce(&mut AppSpec)) -> AppSpec {
    app("web", script, |app| {
        app.listen = vec!["tcp:80".to_owned()];
        app.readiness.wait_ready = true;
        change(app);
    })
}

#[test]
fn nobody_who_connects_is_given_to_who_is_not_up_yet_nor_to_who_goes() {
    let mut world = World::calm();
    done(world.ask(apply(&[given("ready 50", |app| app.instances = 2)])));
    let client = world.call(reload(), false);
    let (mut came, mut went) = (0, 0);
    while !world.host.finished.contains_key(&client) {
        assert!(world.turn());
        for view in list(&mut world) {
            let beside = view.beside.as_ref().and_then(|one| Some((one.pid?, one.state.clone())));
            let Some((pid, state)) = beside else { continue };
            let tree = world.host.trees.values().find(|tree| tree.pid == pid && tree.root_alive);
            assert!(tree.is_none_or(|tree| !world.host.is_given(tree)), "{state}");
            (came, went) = (came + u32::from(state == "starting"), went + u32::from(state == "stopping"));
        }
    }
    assert!(came > 0 && went > 0);
    assert!(world.host.trace.iter().filter(|line| line.contains("asked to drain")).count() == 2);
}

#[test]
fn where_nobody_comes_up_who_connects_is_given_to_who_was_there() {
    for script in ["never", "exit 50 7", "nospawn"] {
        let mut world = World::calm();
        done(world.ask(apply(&[given("ready 50", |_| ())])));
        let before = pids(&mut world);
        let (_, failed) = done(world.ask(apply(&[given(script, |_| ())])));
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!(pids(&mut world), before);
        assert!(none_is_beside(&mut world));
        // Of who was to wait for nobody and shares the socket with its successor.
        done(world.ask(apply(&[given("ready 50", |app| app.stop.drain_ms = 0)])));
        assert_eq!(done(world.ask(reload())), (1, vec![]));
    }
}

#[test]
fn what_fails_goes_and_the_next_is_not_tried() {
    let cases = [
        ("exit 50 7", "exit code 7"),
        ("nospawn", "cannot be started: no such file"),
        ("never", "not ready within 3s (listen_timeout)"),
        ("ill", "no health check passed within 5s (health_check.startup): refused"),
    ];
    for (script, reason) in cases {
        let mut world = World::calm();
        done(world.ask(apply(&[worker("stay", 2, |_| ())])));
        let before = pids(&mut world);
        let broken = worker(script, 2, |app| {
            app.readiness.wait_ready = script == "never";
            if script == "ill" {
                checked(app);
            }
        });
        let (_, failed) = done(world.ask(apply(std::slice::from_ref(&broken))));
        assert_eq!(failed, [format!("web: {reason}; its process before goes on")]);
        assert_eq!(pids(&mut world), before);
        assert!(none_is_beside(&mut world) && list(&mut world).iter().all(|view| view.restarts == 0));
        assert_eq!(world.host.spawned[script], 1, "{script}");
        // Told once more by the next plan.
        let (_, failed) = done(world.ask(apply(&[broken])));
        assert_eq!(failed.len(), 1, "{failed:?}");
    }
}

#[test]
fn what_ends_right_after_it_was_up_is_not_tried_in_the_other_slots() {
    // When the second is on its way, and when a third would be next.
    for (instances, lives_ms) in [(2, 10), (3, 10), (4, 60)] {
        let mut world = World::calm();
        done(world.ask(apply(&[worker("listens 30", instances, |_| ())])));
        let before = pids(&mut world);
        let broken = worker(&format!("brief 30 {lives_ms}"), instances, |_| ());
        let (_, failed) = done(world.ask(apply(&[broken])));
        let why = "web: it was up, and ended at once: exit code 7; no other instance is replaced";
        assert!(failed.contains(&why.to_owned()), "{failed:?}");
        let after = pids(&mut world);
        let kept = before.iter().zip(&after).filter(|(before, after)| before == after).count();
        assert!(kept >= usize::try_from(instances).unwrap() - 2 && kept > 0, "{before:?} {after:?}");
    }
}

#[test]
fn who_relieves_one_that_listens_listens_first() {
    let mut world = World::calm();
    done(world.ask(apply(&[worker("listens 20", 1, |_| ())])));
    for (script, takes_ms, relieves) in
        [("listens 9000", 9_000, true), ("stay", 30_000, false), ("listens 20", 20, true)]
    {
        let (before, began) = (pids(&mut world), world.host.mono);
        let (_, failed) = done(world.ask(apply(&[worker(script, 1, |_| ())])));
        let took = world.host.mono - began;
        assert!((takes_ms..takes_ms + 5_000).contains(&took), "{script}: {took}");
        let why = "web: it has not listened within 30s, as the process does that it was to relieve (`restart` replaces that all the same); its process before goes on";
        assert_eq!(failed, if relieves { vec![] } else { vec![why.to_owned()] }, "{script}");
        assert_eq!(pids(&mut world) != before, relieves, "{script}");
    }
    // That one need not listen again which nobody waits for.
    done(world.ask(apply(&[worker("stay", 1, |app| app.stop.drain_ms = 1)])));
    assert_eq!(done(world.ask(Request::Restart { targets: targets(&["web"]) })), (1, vec![]));
    assert_eq!(done(world.ask(reload())), (1, vec![]));
}

#[test]
fn over_a_daemons_end_too_it_is_known_who_listens() {
    let mut world = World::calm();
    done(world.ask(apply(&[worker("listens 20", 1, |_| ())])));
    world.restart();
    let before = pids(&mut world);
    world.call(apply(&[worker("stay", 1, |_| ())]), false);
    while list(&mut world)[0].beside.as_ref().is_none_or(|one| one.pid.is_none()) {
        world.turn();
    }
    world.restart();
    let end = world.host.mono + 20_000;
    world.run_until(end);
    assert_eq!(pids(&mut world), before);
    assert!(!none_is_beside(&mut world));
    world.run_until(end + 20_000);
    assert_eq!(pids(&mut world), before);
    assert!(none_is_beside(&mut world));
}

#[test]
fn who_dies_while_it_is_being_relieved_is_not_started_again_beside_who_comes() {
    let mut world = World::calm();
    done(world.ask(apply(&[worker("stay", 1, |_| ())])));
    let client = world.call(reload(), false);
    while list(&mut world)[0].beside.as_ref().is_none_or(|one| one.pid.is_none()) {
        world.turn();
    }
    let (old, new) = (list(&mut world)[0].pid, list(&mut world)[0].beside.as_ref().and_then(|one| one.pid));
    let launch = world.host.trees.values().find(|tree| Some(tree.pid) == old).map(|tree| tree.launch).unwrap();
    world.host.trees.retain(|_, tree| Some(tree.pid) != old);
    world.feed(Input::Exited { launch, status: ExitStatus::Code(1), left: false });
    assert_eq!(states(&mut world), [format!("web:0 starting {}", new.unwrap())]);
    assert_eq!(done(world.until_answered(client)), (1, vec![]));
    assert_eq!(states(&mut world), [format!("web:0 online {}", new.unwrap())]);
    assert_eq!(world.host.spawned["stay"], 2);
}

#[test]
fn who_stops_or_deletes_an_app_ends_both() {
    for request in [Request::Stop { targets: targets(&["web"]) }, Request::Delete { targets: targets(&["web"]) }] {
        for until in ["starting", "stopping"] {
            let mut world = World::calm();
            done(world.ask(apply(&[worker("deaf", 1, |app| app.stop.drain_ms = 60_000)])));
            world.call(reload(), false);
            while list(&mut world)[0].beside.as_ref().is_none_or(|one| one.state != until) {
                world.turn();
            }
            done(world.ask(request.clone()));
            assert_eq!(world.host.trees.len(), 0, "{until} {request:?}");
        }
    }
}

#[test]
fn a_daemon_that_follows_knows_which_of_two_is_which() {
    for until in ["starting", "stopping"] {
        for lost in [false, true] {
            let mut world = World::calm();
            done(world.ask(apply(&[worker("deaf", 1, |app| app.stop.drain_ms = 2_000)])));
            world.call(reload(), false);
            while list(&mut world)[0].beside.as_ref().is_none_or(|one| one.pid.is_none() || one.state != until) {
                world.turn();
            }
            let both = |world: &mut World| {
                let view = &list(world)[0];
                (view.pid, view.beside.as_ref().and_then(|one| one.pid))
            };
            let before = both(&mut world);
            if lost {
                world.host.standings.clear();
            }
            world.restart();
            let (serving, beside) = both(&mut world);
            assert!(serving.is_some() && beside.is_some());
            assert!(lost || (serving, beside) == before, "{until}: {before:?} {serving:?} {beside:?}");
            let end = world.host.mono + 60_000;
            world.run_until(end);
            // Whoever was newer serves, and alone.
            let newer = if until == "starting" { before.1 } else { before.0 };
            assert_eq!(both(&mut world), (newer, None), "{until} {lost}");
            assert_eq!(world.host.spawned["deaf"], 2);
        }
    }
}

#[test]
fn one_that_serves_by_its_second_name_is_one_like_all_others() {
    let mut world = World::calm();
    done(world.ask(apply(&[worker("stay", 1, |_| ())])));
    done(world.ask(reload()));
    let id = InstanceId::new("web", 0);
    let tree = world.host.trees.values().next().unwrap();
    assert_eq!(tree.marker, id.second().to_string());
    let before = pids(&mut world);
    world.restart();
    assert_eq!(pids(&mut world), before);
    done(world.ask(Request::Restart { targets: targets(&["web"]) }));
    assert_eq!(world.host.trees.len(), 1);
    done(world.ask(Request::Stop { targets: targets(&["web"]) }));
    assert_eq!(states(&mut world), ["web:0 stopped"]);
    assert!(world.host.trees.is_empty());
}

#[test]
fn of_what_is_to_be_stopped_a_daemon_that_follows_ends_both() {
    for until in ["starting", "stopping"] {
        for lost in [false, true] {
            let mut world = World::calm();
            done(
                world.ask(apply(&[worker("deaf", 1, |app| (app.stop.drain_ms, app.stop.timeout_ms) = (9_000, 9_000))])),
            );
            world.call(reload(), false);
            while list(&mut world)[0].beside.as_ref().is_none_or(|one| one.pid.is_none() || one.state != until) {
                world.turn();
            }
            world.call(Request::Stop { targets: targets(&["web"]) }, false);
            let stopped = |world: &World| world.host.disk.apps["web"].instances[&0].intent == Intent::Stopped;
            while !stopped(&world) {
                world.turn();
            }
            if lost {
                world.host.standings.clear();
            }
            world.restart();
            let end = world.host.mono + 60_000;
            world.run_until(end);
            assert_eq!(states(&mut world), ["web:0 stopped"], "{until} {lost}");
            assert!(world.host.trees.is_empty(), "{until} {lost}");
        }
    }
}

/// After a daemon that was killed amid a reload: the next one finds two of a slot.
#[test]
fn who_is_reloaded_while_two_of_its_slot_are_there_is_relieved_when_one_is_gone() {
    for until in ["starting", "stopping"] {
        let mut world = World::calm();
        done(world.ask(apply(&[worker("stay", 2, |app| app.stop.drain_ms = 2_000)])));
        world.call(reload(), false);
        while list(&mut world)[0].beside.as_ref().is_none_or(|one| one.pid.is_none() || one.state != until) {
            world.turn();
        }
        let before = world.host.spawned["stay"];
        world.restart();
        let client = world.call(reload(), false);
        while !world.host.finished.contains_key(&client) {
            world.turn();
            assert!(list(&mut world).iter().all(|view| view.state == "online"), "{until}: {:?}", states(&mut world));
        }
        let end = world.host.mono + 60_000;
        world.run_until(end);
        assert_eq!((world.host.spawned["stay"], world.host.trees.len()), (before + 2, 2), "{until}");
    }
}
