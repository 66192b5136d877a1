//! What goes up and down with what it depends on (`on_exit`).

use super::World;
use super::needs::{ends, needs, passes, said, started};
use super::stories::{app, apply, states, targets};
use crate::rpc::wire::Request;
use crate::spec::{Condition, OnExit};

fn restart(names: &[&str]) -> Request {
    Request::Restart { targets: targets(names) }
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
