//! Stops in whose midst the daemon is killed.

use super::World;
use super::needs::passes;
use super::stories::{app, apply, done, states, targets};
use crate::rpc::wire::{Call, Request};
use crate::runtime::{ClientId, Effect, Input};
use crate::spec::AppSpec;

fn slow_to_stop(name: &str, script: &str) -> AppSpec {
    app(name, script, |app| app.stop.timeout_ms = 4_000)
}

fn restart(name: &str) -> Request {
    Request::Restart { targets: targets(&[name]) }
}

fn words(world: &mut World) -> Vec<String> {
    states(world).iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn an_apply_waits_for_what_is_being_restarted_since_an_earlier_daemon() {
    for comes_up in [true, false] {
        let mut world = World::calm();
        let db = slow_to_stop("db", "deaf");
        let web = app("web", "stay", |web| web.depends_on = targets(&["db"]));
        done(world.ask(apply(std::slice::from_ref(&db))));
        for file in [vec![db.clone()], vec![db, web]] {
            world.call(restart("db"), false);
            passes(&mut world, 1_000);
            world.restart();
            assert_eq!(words(&mut world), ["db:0 stopping"]);
            world.host.faults.failing_spawns = if comes_up { 0 } else { 100 };
            let before = world.host.mono;
            let (_, failed) = done(world.ask(apply(&file)));
            assert!(world.host.mono - before > 1_000);
            if !comes_up {
                assert_eq!(failed, ["db: cannot be started: no such file"]);
                break;
            }
            assert_eq!(failed, Vec::<String>::new());
            assert_eq!(words(&mut world), ["db:0 online", "web:0 online"][..file.len()]);
        }
    }
}

/// A daemon that dies between saying where everybody stands and sending signals, or right after that.
fn dies_at_a_stop(world: &mut World, request: Request, sent: bool) {
    let client = world.next_client + 1;
    let call = Call {
        protocol: 1,
        version: "0".to_owned(),
        pid: 1,
        no_wait: false,
        hasty: false,
        uid: None,
        words: Vec::new(),
        request,
    };
    world.next_client = client;
    let mut inputs = vec![Input::Call { client: ClientId(client), call }];
    while let Some(input) = inputs.pop() {
        let effects = world.core.handle(input, world.host.now());
        let stops = effects.iter().any(super::is_stop);
        for effect in effects {
            match effect {
                Effect::Save { ticket, .. } => inputs.push(Input::Saved { ticket, result: Ok(()) }),
                effect if super::is_stop(&effect) && !sent => {}
                effect => world.host.perform(effect),
            }
        }
        if stops {
            return world.restart();
        }
    }
    panic!("nobody was asked to end");
}

#[test]
fn who_was_not_told_to_end_is_told_by_the_next_daemon_and_has_all_its_time() {
    for sent in [true, false] {
        let mut world = World::calm();
        done(world.ask(apply(&[slow_to_stop("db", "stay")])));
        dies_at_a_stop(&mut world, restart("db"), sent);
        assert_eq!(words(&mut world), ["db:0 stopping"]);
        assert!(world.host.trees.values().all(|tree| tree.asked), "{sent}");
        passes(&mut world, 200);
        assert_eq!(words(&mut world), ["db:0 starting"]);
    }
}

#[test]
fn who_was_told_to_end_is_not_told_again() {
    let mut world = World::calm();
    done(world.ask(apply(&[slow_to_stop("db", "deaf")])));
    world.call(restart("db"), false);
    passes(&mut world, 1_000);
    world.host.trees.values_mut().for_each(|tree| tree.asked = false);
    world.restart();
    assert!(world.host.trees.values().all(|tree| !tree.asked));
    // What an earlier pmrun has written says nothing of it: that it was told.
    let known = world.host.standings.values().next().unwrap();
    assert!(!serde_json::to_string(known).unwrap().contains("untold"));
}
