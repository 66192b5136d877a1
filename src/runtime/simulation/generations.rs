//! What the invented disk remembers of commands, kept whole where the real store keeps differences, and what must hold
//! of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::World;
use super::host::Host;
use super::stories::{app, apply, list, states, targets};
use super::user::ends;
use crate::base::ExitStatus;
use crate::plan::{Completions, Formers, Generation, Meant, Outcome};
use crate::rpc::wire::{Answer, Back, Request};
use crate::runtime::generation::{ByHand, by_hand, completions_of, differing, former_of};
use crate::runtime::{Intent, Recall, RecallError, Recalled, Save};
use crate::spec::{Condition, Need};

#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) generations: BTreeMap<u64, Generation>,
    pub(super) formers: BTreeMap<u64, Formers>,
    completions: BTreeMap<u64, Completions>,
    ambients: BTreeMap<String, Arc<BTreeMap<String, String>>>,
    applied: BTreeMap<String, u64>,
    /// Those whose beginning could not be saved.
    pub(super) missed: BTreeSet<u64>,
}

impl Memory {
    pub(super) fn miss(&mut self, saves: &[Save]) {
        self.missed.extend(saves.iter().filter_map(|save| match save {
            Save::Began(generation) => Some(generation.number),
            _ => None,
        }));
    }
}

impl Host {
    /// What was is lost; what is, is where it begins.
    pub(super) fn forget_what_was(&mut self) {
        let now = self.disk.apps.iter().map(|(name, record)| (name.clone(), former_of(record))).collect();
        self.memory = Memory { formers: BTreeMap::from([(self.disk.generation, now)]), ..Memory::default() };
    }

    /// After a save is on the disk.
    pub(super) fn remember_save(&mut self, save: &Save) {
        match save {
            Save::Began(generation) => {
                let Generation { number, command, .. } = &**generation;
                let number = *number;
                let generations = &self.memory.generations;
                // A stop may have come in between.
                let last = generations.values().next_back().filter(|last| last.command == *command);
                if let Some(other) = last {
                    self.fail(&format!("one command made @{} and @{number}", other.number));
                }
                if number != self.disk.generation {
                    self.fail(&format!("@{number} is remembered under {}", self.disk.generation));
                }
                self.memory.generations.insert(number, (**generation).clone());
            }
            Save::Ended { number, outcome } => match self.memory.generations.get_mut(number) {
                Some(generation) => generation.result = Some(outcome.clone()),
                None if self.memory.missed.contains(number) => {}
                None => self.fail(&format!("@{number} has ended and never began")),
            },
            Save::Applied { ecosystem, number } => _ = self.memory.applied.insert(ecosystem.0.clone(), *number),
            Save::Ambient(digest, variables) => {
                self.memory.ambients.insert(digest.clone(), Arc::clone(variables));
            }
            Save::App(..) | Save::DeleteApp(_) | Save::Generation(_) | Save::Boot(_) | Save::Strangers(_) => {}
        }
        let now: Formers = self.disk.apps.iter().map(|(name, record)| (name.clone(), former_of(record))).collect();
        let number = self.disk.generation;
        let completions = self.disk.apps.iter().map(|(name, record)| (name.clone(), completions_of(record))).collect();
        self.memory.completions.insert(number, completions);
        let before = self.memory.formers.insert(number, now.clone()).unwrap_or_default();
        let is_over = self.memory.generations.get(&number).is_none_or(|generation| generation.result.is_some());
        if is_over && before != now && !matches!(save, Save::Generation(_)) && !only_puts_back(&before, &now) {
            self.fail(&format!("what should run changed after the command of @{number} was over"));
        }
    }

    pub(super) fn recall(&self, wanted: &Recall) -> Result<Box<Recalled>, RecallError> {
        let memory = &self.memory;
        let known = |number: u64| {
            let last = memory.formers.range(..=number).next_back().filter(|_| number <= self.disk.generation);
            let found = last.map(|(_, formers)| (number, formers.clone()));
            found.ok_or(RecallError::Unknown { number, first: 0, last: self.disk.generation })
        };
        let digests: BTreeMap<u64, BTreeMap<String, String>> = memory
            .formers
            .iter()
            .map(|(number, formers)| {
                let text = |former| serde_json::to_string(former).unwrap();
                (*number, formers.iter().map(|(name, former)| (name.clone(), text(former))).collect())
            })
            .collect();
        let all: Vec<Generation> = memory.generations.values().cloned().collect();
        let mut found = Recalled::default();
        match wanted {
            Recall::Last { .. } => found.generations = all,
            Recall::One { number } => found.formers = vec![known(number - 1)?, known(*number)?],
            Recall::Two { old, new } => {
                found.formers = [Some(*old), *new].into_iter().flatten().map(known).collect::<Result<_, _>>()?;
            }
            Recall::Back { to } => {
                let to = to.or_else(|| differing(&digests)).ok_or(RecallError::NothingBefore)?;
                found.formers = vec![known(to)?];
                let last = memory.completions.range(..=to).next_back();
                found.completions = last.map(|(_, completions)| completions.clone()).unwrap_or_default();
                found.ambients = memory.ambients.clone();
            }
            Recall::ByHand => {
                let former = |digest: &str| serde_json::from_str(digest).ok();
                let applied = |ecosystem: &crate::spec::EcosystemId| memory.applied.get(&ecosystem.0).copied();
                let traces = by_hand(&all, &digests).into_iter();
                found.by_hand = traces.filter_map(|trace| ByHand::of(trace, former, applied)).collect();
                found.generations = all;
            }
        }
        Ok(Box::new(found))
    }
}

/// What would not die was put back, as stopped: nobody asked for that.
fn only_puts_back(before: &Formers, now: &Formers) -> bool {
    now.iter().all(|(name, former)| {
        let known = before.get(name);
        former.slots.iter().all(|(slot, meant)| {
            matches!(meant, Meant::Stopped | Meant::Killed)
                || known.is_some_and(|known| known.slots.get(slot) == Some(meant))
        })
    }) && before.keys().all(|name| now.contains_key(name))
}

fn formers(world: &World) -> Formers {
    world.host.disk.apps.iter().map(|(name, record)| (name.clone(), former_of(record))).collect()
}

/// The last command taken back in calm: what should run is what it was before. What stands for code does not go back.
pub(super) fn the_last_command_can_be_taken_back(world: &mut World) {
    let now = formers(world);
    let mut earlier = world.host.memory.formers.iter().rev().filter(|(_, formers)| **formers != now);
    let Some((to, before)) = earlier.next().map(|(to, before)| (*to, before.clone())) else { return };
    // Of two files, each right by itself, one may have taken from the other what that waited for.
    let never_comes = |(other, need): (&String, &Need)| {
        need.condition == Condition::Completed && before.get(other).is_some_and(|former| !ends(&former.spec))
    };
    if before.values().any(|former| former.spec.needs.iter().any(never_comes)) {
        return;
    }
    let answer = world.ask(Request::Rollback(Back::default()));
    let Answer::Done { failed, .. } = answer else {
        world.fail(&format!("the way back to @{to} ends with {answer:?}"))
    };
    // What depends on something that failed was not begun.
    if !failed.is_empty() {
        return;
    }
    if formers(world) != before && !only_puts_back(&before, &formers(world)) {
        let found = formers(world);
        world.fail(&format!("@{to} was {before:#?}\nand is {found:#?}"));
    }
}

fn outcome(world: &World, number: u64) -> Option<&Outcome> {
    world.host.memory.generations[&number].result.as_ref()
}

#[test]
fn a_command_is_one_generation_however_many_waves_it_has() {
    let mut world = World::calm();
    let needs = |name: &'static str| move |app: &mut crate::spec::AppSpec| app.depends_on = targets(&[name]);
    let apps = [app("a", "ready 20", |_| {}), app("b", "ready 20", needs("a")), app("c", "stay", needs("b"))];
    world.ask(apply(&apps));
    assert_eq!(world.host.disk.generation, 1);
    // Nothing durable comes of these.
    world.ask(apply(&apps));
    world.ask(Request::Restart { targets: targets(&["all"]) });
    world.ask(Request::Start { targets: targets(&["a"]) });
    assert_eq!(world.host.disk.generation, 1);
    world.ask(Request::Stop { targets: targets(&["c"]) });
    world.ask(Request::Stop { targets: targets(&["c"]) });
    assert_eq!(world.host.disk.generation, 2);
    world.run_until(world.host.mono + 100);
    assert_eq!(outcome(&world, 1), Some(&Outcome::Done { touched: 3 }));
    assert!(!world.host.memory.generations[&1].by_hand && world.host.memory.generations[&2].by_hand);
    let Answer::History { generations, at_work } = world.ask(Request::History { count: 5 }) else { panic!() };
    assert_eq!((generations.len(), at_work), (2, None));
}

#[test]
fn a_way_back_brings_back_what_is_gone_and_stops_what_was_stopped() {
    let mut world = World::calm();
    let plain = |name: &str| app(name, "stay", |_| {});
    world.ask(apply(&[plain("a"), app("b", "stay", |app| app.instances = 2), plain("c")]));
    world.ask(Request::Stop { targets: targets(&["c"]) });
    let before = formers(&world);
    world.ask(apply(&[app("b", "stay", |app| app.env = [("X".into(), "1".into())].into()), plain("c"), plain("d")]));
    assert_ne!(formers(&world), before);
    let answer = world.ask(Request::Rollback(Back::default()));
    assert!(matches!(&answer, Answer::Done { touched: 4, failed } if failed.is_empty()), "{answer:?}");
    assert_eq!(formers(&world), before);
    let up = states(&mut world).into_iter().filter(|line| line.contains("online")).count();
    assert_eq!((up, list(&mut world).len()), (3, 4));
    // Twice is not at all.
    world.ask(Request::Rollback(Back::default()));
    assert_eq!(list(&mut world).iter().map(|view| view.name.as_str()).collect::<Vec<_>>(), ["b", "c", "d"]);
    let answer = world.ask(Request::Rollback(Back { to: Some(99), ..Back::default() }));
    assert!(matches!(&answer, Answer::Error { message, .. } if message.contains("@99")), "{answer:?}");
    // Only one of them.
    let answer = world.ask(Request::Rollback(Back { only: targets(&["a"]), ..Back::default() }));
    assert!(matches!(&answer, Answer::Done { touched: 1, .. }), "{answer:?}");
    assert!(
        list(&mut world).iter().any(|view| view.name == "a") && list(&mut world).iter().any(|view| view.name == "d")
    );
}

fn undone(apps: &[crate::spec::AppSpec]) -> Request {
    let mut request = apply(apps);
    if let Request::Apply(wanted) = &mut request {
        wanted.auto_rollback = true;
    }
    request
}

#[test]
fn what_fails_is_undone_where_that_was_asked_for() {
    let mut world = World::calm();
    let plain = |name: &str| app(name, "stay", |_| {});
    let old = [plain("a"), plain("b"), plain("gone")];
    world.ask(apply(&old));
    let (before, pids) = (formers(&world), states(&mut world));
    let changed = app("a", "stay 2", |_| {});
    let bad = app("bad", "exit 5 1", |_| {});
    let waits = app("waits", "stay", |app| app.depends_on = targets(&["bad"]));
    let answer = world.ask(undone(&[changed.clone(), plain("b"), bad.clone(), waits]));
    let Answer::RolledBack { to: 1, failed, left, .. } = &answer else { panic!("{answer:?}") };
    assert!(failed.iter().all(|failure| failure.app == "bad") && left.is_empty(), "{answer:?}");
    assert_eq!(formers(&world), before);
    assert_eq!(states(&mut world)[1], pids[1], "what was not touched goes on");
    assert_eq!(world.host.disk.generation, 2, "it is one command");
    world.run_until(world.host.mono + 100);
    assert!(matches!(outcome(&world, 2), Some(Outcome::RolledBack { to: 1, .. })));
    // What goes well is left.
    let answer = world.ask(undone(&[changed, plain("b")]));
    assert!(matches!(&answer, Answer::Done { failed, .. } if failed.is_empty()), "{answer:?}");
    // Whoever asked may be gone.
    let before = formers(&world);
    let client = world.call(undone(&[plain("b"), bad]), false);
    world.vanished.insert(client);
    world.feed(crate::runtime::Input::ClientGone { client });
    world.run_until(world.host.mono + 60_000);
    assert_eq!(formers(&world), before);
    assert!(matches!(outcome(&world, 4), Some(Outcome::RolledBack { to: 3, .. })), "{:?}", outcome(&world, 4));
}

/// Jobs that run once and end well in their first version.
fn job(script: &str) -> crate::spec::AppSpec {
    app("job", script, |app| app.restart.auto = false)
}

fn runs_of(world: &World, script: &str) -> usize {
    world.host.spawned.get(script).copied().unwrap_or(0)
}

#[test]
fn a_way_back_runs_no_job_again_that_was_done() {
    for again in [false, true] {
        let mut world = World::calm();
        let plain = app("a", "stay", |_| {});
        world.ask(apply(&[plain.clone(), job("exit 30 0")]));
        world.run_until(world.host.mono + 1_000);
        let done = states(&mut world)[1].clone();
        assert!(done.contains("completed"), "{done}");
        let ran = runs_of(&world, "exit 30 0");
        assert_eq!(ran, 1);
        let edited = [plain, job("exit 5 1"), app("bad", "exit 5 1", |_| {})];
        if again {
            world.ask(apply(&edited));
            world.ask(Request::Rollback(Back { to: Some(1), ..Back::default() }));
        } else {
            let answer = world.ask(undone(&edited));
            assert!(matches!(&answer, Answer::RolledBack { left, .. } if left.is_empty()), "{answer:?}");
        }
        world.run_until(world.host.mono + 1_000);
        assert_eq!(runs_of(&world, "exit 30 0"), ran, "it is not run twice");
        assert_eq!(states(&mut world)[1], done);
        assert_eq!(world.host.disk.apps["job"].spec.args, job("exit 30 0").args);
        let intent = world.host.disk.apps["job"].instances[&0].intent;
        assert_eq!(intent, Intent::Done { status: ExitStatus::Code(0) });
        // Nor by the next daemon, nor when it was deleted.
        world.restart();
        world.run_until(world.host.mono + 60_000);
        assert_eq!(runs_of(&world, "exit 30 0"), ran);
        let number = world.host.disk.generation;
        world.ask(Request::Delete { targets: targets(&["job"]) });
        world.ask(Request::Rollback(Back { to: Some(number), ..Back::default() }));
        world.run_until(world.host.mono + 1_000);
        assert_eq!((runs_of(&world, "exit 30 0"), states(&mut world)[1].contains("completed")), (ran, true));
    }
}

/// A way back has recorded that a job is done, and what had taken its place is being stopped when the daemon is killed.
#[test]
fn what_had_taken_the_place_of_a_job_that_is_done_ends_though_the_daemon_is_killed() {
    for (script, lost, damaged) in [
        ("stay", false, false),
        ("deaf", false, false),
        ("deaf", true, false),
        ("deaf", false, true),
        ("undead", false, false),
        ("undead", true, false),
        ("undead", false, true),
    ] {
        let at = format!("{script}, standings lost: {lost}, state damaged: {damaged}");
        let mut world = World::calm();
        world.ask(apply(&[job("exit 30 0")]));
        world.run_until(world.host.mono + 1_000);
        world.ask(apply(&[app("job", script, |_| {})]));
        assert!(states(&mut world)[0].contains("online"), "{at}");
        world.call(Request::Rollback(Back { to: Some(1), ..Back::default() }), false);
        let is_done = |world: &World| matches!(world.host.disk.apps["job"].instances[&0].intent, Intent::Done { .. });
        while !is_done(&world) {
            assert!(world.turn(), "{at}");
        }
        let patience = if script == "undead" { 8_000 } else { 0 };
        world.run_until(world.host.mono + patience);
        assert_eq!(world.host.trees.len(), 1, "{at}: it is on its way out");
        if lost {
            world.host.standings.clear();
        }
        if damaged {
            // The copy is as new.
            world.host.back_up();
            world.host.damage();
        }
        world.restart();
        assert!(states(&mut world)[0].contains("stopping"), "{at}: {:?}", states(&mut world));
        world.run_until(world.host.mono + 60_000);
        assert_eq!(world.host.trees.len(), 0, "{at}");
        assert_eq!(states(&mut world), ["job:0 completed"], "{at}");
        assert!(is_done(&world), "{at}");
    }
}

#[test]
fn drift_is_what_was_changed_by_hand_since_a_file_had_its_say() {
    let mut world = World::calm();
    let plain = |name: &str| app(name, "stay", |_| {});
    let apps = [
        plain("a"),
        plain("b"),
        app("c", "stay", |app| app.instances = 3),
        app("d", "stay", |app| app.autostart = false),
    ];
    let drifts = |world: &mut World| -> Vec<String> {
        let Answer::Drift { drifts, .. } = world.ask(Request::Drift) else { panic!() };
        drifts.into_iter().map(|drift| format!("{} {}", drift.app, drift.text())).collect()
    };
    world.ask(apply(&apps));
    assert_eq!(drifts(&mut world), [""; 0]);
    world.ask(Request::Stop { targets: targets(&["a", "b"]) });
    world.ask(Request::Start { targets: targets(&["b", "d"]) });
    world.ask(Request::Delete { targets: targets(&["c:1"]) });
    let want = [
        "a stopped by hand: a:0",
        "c instances changed by hand: 3 -> 2",
        "d started by hand, and `apply` leaves it so: d:0",
    ];
    assert_eq!(drifts(&mut world), want);
    world.ask(Request::Delete { targets: targets(&["a"]) });
    assert_eq!(drifts(&mut world)[0], "a deleted by hand");
    world.ask(apply(&apps));
    world.run_until(world.host.mono + 100);
    assert_eq!(drifts(&mut world), [""; 0]);
    // A file that no longer has it has nothing against that.
    world.ask(Request::Delete { targets: targets(&["a"]) });
    assert_eq!(drifts(&mut world).len(), 1);
    world.ask(apply(&apps[1..]));
    world.run_until(world.host.mono + 100);
    assert_eq!(drifts(&mut world), [""; 0]);
}

#[test]
fn each_drift_names_the_command_that_did_that_very_thing() {
    let stop = Request::Stop { targets: targets(&["a:2"]) };
    let delete = Request::Delete { targets: targets(&["a:1"]) };
    let again = Request::Delete { targets: targets(&["a"]) };
    for order in [[stop.clone(), delete.clone()], [delete, stop]] {
        let mut world = World::calm();
        let apps = [app("a", "stay", |app| app.instances = 4)];
        world.ask(apply(&apps));
        let is_stop = |request: &Request| matches!(request, Request::Stop { .. });
        let of = |stop: bool| 2 + order.iter().position(|request| is_stop(request) == stop).unwrap() as u64;
        for request in order.clone() {
            world.ask(request);
        }
        world.ask(Request::Stop { targets: targets(&["a:3"]) });
        let drifts = |world: &mut World| -> Vec<(String, u64)> {
            let Answer::Drift { drifts, .. } = world.ask(Request::Drift) else { panic!() };
            drifts.into_iter().map(|drift| (drift.text(), drift.by.unwrap().generation)).collect()
        };
        let mut want = vec![
            ("instances changed by hand: 4 -> 3".to_owned(), of(false)),
            ("stopped by hand: a:2".to_owned(), of(true)),
            ("stopped by hand: a:3".to_owned(), 4),
        ];
        assert_eq!(drifts(&mut world), want);
        // What came and went again has nothing to do with it.
        world.ask(Request::Start { targets: targets(&["a:2"]) });
        want.remove(1);
        assert_eq!(drifts(&mut world), want);
        world.ask(again.clone());
        assert_eq!(drifts(&mut world), [("deleted by hand".to_owned(), 6)]);
    }
}

#[test]
fn a_command_that_the_daemons_death_cut_off_has_no_result() {
    let mut world = World::calm();
    let client = world.call(apply(&[app("a", "never", |_| {})]), false);
    world.run_until(world.host.mono + 50);
    let Answer::History { generations, at_work } = world.ask(Request::History { count: 1 }) else { panic!() };
    assert_eq!((generations[0].number, at_work), (1, Some(1)));
    world.restart();
    world.vanished.insert(client);
    let Answer::History { generations, at_work } = world.ask(Request::History { count: 1 }) else { panic!() };
    assert_eq!((generations[0].result.as_ref(), at_work), (None, None));
}
