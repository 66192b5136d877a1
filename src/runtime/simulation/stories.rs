//! Small lives, each about one thing.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::World;
use crate::base::{ExitStatus, Shortage};
use crate::graph::Graph;
use crate::rpc::wire::{Answer, Apply, Failure, InstanceView, PlanOptions, ProgressKind, Request};
use crate::runtime::{ClientId, Effect, Input, Intent};
use crate::spec::{AppSpec, EcosystemId};

pub(super) fn app(name: &str, script: &str, change: impl FnOnce(&mut AppSpec)) -> AppSpec {
    let mut app = AppSpec::new(name, script, "/p");
    app.readiness.wait_ready = script.starts_with("ready") || script == "never";
    change(&mut app);
    app
}

fn plain(name: &str) -> AppSpec {
    app(name, "stay", |_| {})
}

pub(super) fn apply(apps: &[AppSpec]) -> Request {
    apply_with(apps, None)
}

fn apply_with(apps: &[AppSpec], parallel: Option<NonZeroU32>) -> Request {
    Request::Apply(Box::new(Apply {
        graph: Graph {
            ecosystem: EcosystemId("one".to_owned()),
            file: "/p/ecosystem.json5".to_owned(),
            profile: None,
            apps: apps.to_vec(),
            deploy: None,
        },
        options: PlanOptions::default(),
        ambient: BTreeMap::new(),
        expected: None,
        parallel,
        revision: None,
        auto_rollback: false,
    }))
}

pub(super) fn targets(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn list(world: &mut World) -> Vec<InstanceView> {
    match world.ask(Request::List) {
        Answer::List { instances, .. } => instances,
        other => panic!("{other:?}"),
    }
}

/// `api:0 online 100`, in the order of `list`.
pub(super) fn states(world: &mut World) -> Vec<String> {
    let line = |view: InstanceView| {
        let pid = view.pid.map_or_else(String::new, |pid| format!(" {pid}"));
        format!("{}:{} {}{pid}", view.name, view.slot, view.state)
    };
    list(world).into_iter().map(line).collect()
}

/// How many were touched, and what failed, as `app: reason`.
pub(super) fn done(answer: Answer) -> (usize, Vec<String>) {
    let line = |failure: Failure| format!("{}: {}", failure.app, failure.reason);
    match answer {
        Answer::Done { touched, failed } => (touched, failed.into_iter().map(line).collect()),
        other => panic!("{other:?}"),
    }
}

fn progress_of(world: &World, client: u64) -> Vec<(String, ProgressKind)> {
    let answers = world.host.answers[&ClientId(client)].iter();
    answers
        .filter_map(|answer| match answer {
            Answer::Progress(progress) => Some((progress.app.clone(), progress.what.clone())),
            _ => None,
        })
        .collect()
}

fn only(apps: &[AppSpec], name: &str) -> Request {
    match apply(apps) {
        Request::Apply(mut wanted) => {
            wanted.options.only = targets(&[name]);
            Request::Apply(wanted)
        }
        other => other,
    }
}

#[test]
fn what_depends_on_an_app_that_is_down_and_left_out_is_not_begun() {
    let not_begun = |app: &str, need: &str| vec![format!("{app}: `{need}`, which it depends on, is not up")];
    let mut world = World::calm();
    let needs = |name: &'static str| move |app: &mut AppSpec| app.depends_on = targets(&[name]);
    let mut apps = vec![app("bad", "exit 5 1", |_| {}), plain("db"), app("later", "stay", |app| app.autostart = false)];
    world.ask(apply(&apps));
    world.ask(Request::Stop { targets: targets(&["db"]) });
    apps.extend([
        app("one", "stay", needs("bad")),
        app("two", "stay", needs("db")),
        app("three", "stay", needs("later")),
    ]);
    assert_eq!(done(world.ask(only(&apps, "one"))), (1, not_begun("one", "bad")));
    assert_eq!(done(world.ask(only(&apps, "two"))), (1, not_begun("two", "db")));
    assert_eq!(states(&mut world).len(), 5, "both are known, and wait");
    let by_hand = "three: `later`, which it depends on, is only started by hand (`autostart: false`), and was not";
    assert_eq!(done(world.ask(only(&apps, "three"))), (1, vec![by_hand.to_owned()]));
    world.ask(Request::Start { targets: targets(&["later"]) });
    assert_eq!(done(world.ask(only(&apps, "three"))).1, Vec::<String>::new());
    // It comes up with what it needs; by hand it does without.
    assert_eq!(done(world.ask(only(&apps, "db"))), (1, vec![]));
    assert_eq!(done(world.ask(only(&apps, "two"))).1, Vec::<String>::new());
    world.ask(Request::Stop { targets: targets(&["db", "two"]) });
    assert_eq!(done(world.ask(Request::Start { targets: targets(&["two"]) })), (1, vec![]));
}

#[test]
fn what_comes_in_between_and_cannot_be_saved_keeps_nothing_from_being_started() {
    for name in ["queued", "on-its-way"] {
        let mut world = World::calm();
        let slow = app("on-its-way", "ready 900", |_| {});
        let client = world.call(apply_with(&[slow, plain("queued")], NonZeroU32::new(1)), false);
        world.run_until(world.host.mono + 100);
        world.host.faults.failing_saves = 100;
        let answer = world.ask(Request::Delete { targets: targets(&[name]) });
        assert!(
            matches!(&answer, Answer::Error { message, .. } if message.contains("nothing was changed")),
            "{answer:?}"
        );
        world.host.faults.failing_saves = 0;
        world.until_answered(client);
        world.run_until(world.host.mono + 5_000);
        let up = states(&mut world).into_iter().filter(|line| line.contains(" online "));
        assert_eq!(up.count(), 2, "{name}: {:?}", states(&mut world));
    }
}

#[test]
fn a_stop_does_not_wait_until_something_else_is_ready() {
    let mut world = World::calm();
    let slow = app("slow", "stay", |app| {
        app.readiness.wait_ready = true;
        app.readiness.timeout_ms = 100_000;
    });
    let needs = app("needs", "stay", |app| app.depends_on = targets(&["slow"]));
    world.ask(apply(&[plain("other")]));
    let client = world.call(apply(&[plain("other"), slow, needs]), false);
    let at = world.host.mono;
    assert_eq!(done(world.ask(Request::Stop { targets: targets(&["other"]) })), (1, vec![]));
    assert!(!world.host.finished.contains_key(&client), "it goes on");
    assert_eq!(done(world.ask(Request::Stop { targets: targets(&["slow"]) })), (1, vec![]));
    assert!(world.host.mono < at + 50_000);
    let failed = done(world.until_answered(client)).1;
    let want = ["slow: stop of `slow` came in between", "needs: `slow`, which it depends on, is not up"];
    assert_eq!(failed, want);
    assert!(world.host.mono < at + 50_000);
}

#[test]
fn a_stop_does_not_wait_until_another_app_has_ended() {
    for second in [Request::Stop { targets: targets(&["other"]) }, Request::Delete { targets: targets(&["other"]) }] {
        let mut world = World::calm();
        let deaf = app("deaf", "deaf", |app| app.stop.timeout_ms = 60_000);
        let needed = app("needed", "stay", |_| {});
        let needs = app("needs", "stay", |app| app.depends_on = targets(&["needed"]));
        world.ask(apply(&[deaf, plain("other"), needed, needs]));
        let first = world.call(Request::Stop { targets: targets(&["deaf", "other", "needed", "needs"]) }, false);
        let at = world.host.mono;
        assert_eq!(done(world.ask(second)).1, [""; 0]);
        let third = world.ask(Request::Stop { targets: targets(&["deaf", "needs"]) });
        assert_eq!(done(third).1, [""; 0]);
        assert!(world.host.mono >= at + 60_000, "it is the same end that it waits for");
        assert_eq!(done(world.until_answered(first)).1, [""; 0]);
        assert!(states(&mut world).iter().all(|state| state.ends_with(" stopped")), "{:?}", states(&mut world));
    }
    let mut world = World::calm();
    let deaf = app("deaf", "deaf", |app| app.stop.timeout_ms = 60_000);
    world.ask(apply(&[deaf, plain("other")]));
    let first = world.call(Request::Stop { targets: targets(&["deaf"]) }, false);
    let at = world.host.mono;
    assert_eq!(done(world.ask(Request::Stop { targets: targets(&["other"]) })), (1, vec![]));
    assert!(world.host.mono < at + 1_000);
    assert!(!world.host.finished.contains_key(&first), "it goes on");
    // Who starts something waits, and is told for whom and how long already.
    world.run_until(at + 2_000);
    let start = world.call(Request::Start { targets: targets(&["other"]) }, false);
    let told = format!("{:?}", world.host.answers[&start]);
    assert!(told.contains("stop of `deaf`") && told.contains("for_ms: 2000"), "{told}");
    assert_eq!(done(world.until_answered(first)), (1, vec![]));
    assert_eq!(done(world.until_answered(start)), (1, vec![]));
}

#[test]
fn what_a_first_apply_has_not_come_to_can_be_stopped_by_its_name() {
    for stop in
        [Request::Stop { targets: targets(&["later", "other"]) }, Request::Delete { targets: targets(&["later"]) }]
    {
        let mut world = World::calm();
        let slow = app("slow", "ready 2500", |app| app.readiness.wait_ready = true);
        let later = app("later", "stay", |app| app.depends_on = targets(&["slow"]));
        let after = app("after", "stay", |app| app.depends_on = targets(&["later"]));
        let client = world.call(apply(&[slow, later, after, plain("other")]), false);
        let answer = world.ask(stop.clone());
        assert_eq!(done(answer).1, [""; 0]);
        let names = if matches!(stop, Request::Stop { .. }) { "stop of `later`, `other`" } else { "delete of `later`" };
        let mut failed = done(world.until_answered(client)).1;
        failed.retain(|line| !line.starts_with("other"));
        let want = [format!("later: {names} came in between"), "after: `later`, which it depends on, is not up".into()];
        assert_eq!(failed, want);
        let deletes = matches!(stop, Request::Delete { .. });
        let later = states(&mut world).into_iter().find(|state| state.starts_with("later"));
        assert_eq!(later.as_deref(), (!deletes).then_some("later:0 stopped"));
        // By hand as ever: the next apply starts it, and what waits for it.
        let after = states(&mut world).into_iter().find(|state| state.starts_with("after"));
        assert_eq!(after.as_deref(), Some("after:0 waiting"));
        let again = world.ask(Request::Stop { targets: targets(&["later"]) });
        assert_eq!(matches!(again, Answer::UnknownTarget { .. }), deletes, "{again:?}");
    }
}

#[test]
fn what_is_stopped_after_it_came_up_is_not_said_to_be_up() {
    let mut world = World::calm();
    let slow = app("slow", "ready 2500", |app| app.readiness.wait_ready = true);
    let client = world.call(apply(&[plain("quick"), slow]), false);
    world.run_until(world.host.mono + 2_000);
    assert!(states(&mut world)[0].starts_with("quick:0 online"));
    assert_eq!(done(world.ask(Request::Stop { targets: targets(&["quick"]) })), (1, vec![]));
    assert_eq!(done(world.until_answered(client)).1, ["quick: stop of `quick` came in between"]);
}

#[test]
fn a_daemon_that_is_told_to_end_waits_for_nothing_when_nothing_runs() {
    let mut world = World::calm();
    let apps: [(&str, &[&str]); 4] = [("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"])];
    for (name, needs) in apps {
        let spec = app(name, "exit 5 1", |app| {
            app.restart.delay_ms = 60_000;
            (app.stop.tree, app.depends_on) = (false, targets(needs));
        });
        world.ask(Request::StartScript { spec: Box::new(spec), ambient: BTreeMap::new() });
    }
    assert_eq!(states(&mut world), ["a:0 waiting", "b:0 waiting", "c:0 waiting", "d:0 waiting"]);
    let effects = world.core.handle(Input::Terminate, world.host.now());
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Exit)), "{effects:?}");
}

#[test]
fn a_second_apply_changes_and_saves_nothing() {
    let mut world = World::calm();
    let apps = [app("api", "ready 20", |app| app.instances = 2), plain("web")];
    assert_eq!(done(world.ask(apply(&apps))), (2, vec![]));
    let (before, generation) = (states(&mut world), world.host.disk.generation);
    assert_eq!(before, ["api:0 online 100", "api:1 online 101", "web:0 online 102"]);
    assert_eq!(done(world.ask(apply(&apps))), (0, vec![]));
    assert_eq!((states(&mut world), world.host.disk.generation), (before, generation));
}

#[test]
fn only_what_changed_is_touched() {
    let mut world = World::calm();
    let mut apps = vec![app("a", "stay", |a| a.instances = 2), plain("b"), plain("c"), plain("d")];
    world.ask(apply(&apps));
    apps[0].instances = 3;
    apps[1].max_memory_restart = Some(100);
    apps[2].name = "e".to_owned();
    apps[2].renamed_from = Some("c".to_owned());
    apps[3].env.insert("X".to_owned(), "1".to_owned());
    assert_eq!(done(world.ask(apply(&apps))), (4, vec![]));
    let found = states(&mut world);
    // `d` was stopped before another took its place; the first free pid is its own.
    assert_eq!(found[..4], ["a:0 online 100", "a:1 online 101", "b:0 online 102", "e:0 online 103"]);
    assert_eq!(found.len(), 6);
    assert_eq!(world.host.disk.apps["e"].instances[&0].launched_as.as_deref(), Some("c"));
    apps.truncate(1);
    assert_eq!(done(world.ask(apply(&apps))), (3, vec![]));
    assert_eq!(states(&mut world).len(), 3);
}

#[test]
fn what_died_with_its_daemon_does_not_wait_for_a_command_about_something_else() {
    let mut world = World::calm();
    let web = app("web", "stay", |web| web.depends_on = targets(&["a"]));
    let slow = app("slow", "never", |slow| slow.readiness.timeout_ms = 60_000);
    let lost = app("lost", "stay", |lost| lost.depends_on = targets(&["slow"]));
    done(world.ask(apply(&[plain("a"), web, slow, lost])));
    world.host.trees.clear();
    world.host.exited = true;
    world.restart();
    assert!(states(&mut world).iter().all(|line| line.ends_with("stopped")));
    let began = world.host.mono;
    let client = world.call(Request::Restart { targets: targets(&["slow"]) }, false);
    world.run_until(began + 10_000);
    assert!(!world.host.finished.contains_key(&client));
    let states: Vec<String> =
        states(&mut world).iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(states, ["a:0 online", "slow:0 starting", "web:0 online", "lost:0 stopped"]);
}

#[test]
fn what_was_not_ready_in_time_is_tried_once_more_when_it_is_started() {
    let mut world = World::calm();
    let never = app("slow", "never", |slow| slow.readiness.timeout_ms = 1_000);
    let why = ["slow: not ready within 1s (listen_timeout); it goes on running"];
    assert_eq!(done(world.ask(apply(&[never]))), (1, why.map(str::to_owned).to_vec()));
    assert_eq!(done(world.ask(Request::Start { targets: targets(&["slow"]) })), (1, why.map(str::to_owned).to_vec()));
    assert_eq!(world.host.spawned["never"], 2);
}

#[test]
fn a_renamed_app_survives_the_daemon() {
    let mut world = World::calm();
    world.ask(apply(&[plain("a")]));
    world.ask(apply(&[app("b", "stay", |b| b.renamed_from = Some("a".to_owned()))]));
    assert_eq!(states(&mut world), ["b:0 online 100"]);
    world.restart();
    assert_eq!(states(&mut world), ["b:0 online 100"]);
}

#[test]
fn a_renamed_app_and_the_new_owner_of_its_name_keep_their_own_processes() {
    // The newcomer sorts before the renamed one, and behind it.
    for (old, new) in [("a", "b"), ("b", "a")] {
        let mut world = World::calm();
        let renamed = || app(new, "stay", |app| app.renamed_from = Some(old.to_owned()));
        world.ask(apply(&[plain(old)]));
        world.ask(apply(&[renamed()]));
        world.ask(apply(&[renamed(), plain(old)]));
        let before = states(&mut world);
        assert_eq!(before.len(), 2);
        assert!(before.contains(&format!("{new}:0 online 100")), "{before:?}");
        for _ in 0..2 {
            world.restart();
            assert_eq!(states(&mut world), before);
        }
    }
}

#[test]
fn what_depends_on_a_failure_is_not_begun_and_the_rest_is() {
    let mut world = World::calm();
    let needs = |names: &[&str]| targets(names);
    let apps = [
        app("db", "exit 5 1", |_| {}),
        app("api", "stay", |a| a.depends_on = needs(&["db"])),
        app("web", "stay", |a| a.depends_on = needs(&["api"])),
        plain("other"),
    ];
    let (touched, failed) = done(world.ask(apply(&apps)));
    assert_eq!(touched, 4);
    assert_eq!(
        failed,
        [
            "db: it ended too soon 16 times (max_restarts), last: exit code 1",
            "api: `db`, which it depends on, is not up",
            "web: `api`, which it depends on, is not up",
        ]
    );
    assert_eq!(states(&mut world), ["db:0 errored", "other:0 online 101", "api:0 waiting", "web:0 waiting"]);
}

#[test]
fn nobody_waits_long_for_what_keeps_ending() {
    for (script, delay_ms, wait_ready, want) in [
        ("exit 5 1", 3_000, false, "exit code 1; it is started again in 3.0s"),
        ("exit 5 1", 2_500, false, "exit code 1; it is started again in 2.5s"),
        ("nospawn", 0, false, "cannot be started: no such file"),
        ("never", 0, true, "not ready within 3s (listen_timeout); it goes on running"),
    ] {
        let mut world = World::calm();
        let begun = world.host.mono;
        let app = app("a", script, |app| {
            app.restart.delay_ms = delay_ms;
            app.readiness.wait_ready = wait_ready;
        });
        assert_eq!(done(world.ask(apply(&[app]))).1, [format!("a: {want}")]);
        assert!(world.host.mono - begun < 3_100, "{script}");
    }
}

#[test]
fn what_never_ran_is_not_shown_with_the_words_of_another_run() {
    for (script, has_log) in [("exit 5 1", true), ("nospawn", false)] {
        let mut world = World::calm();
        let app = app("a", script, |app| app.restart.max_restarts = 1);
        let answer = world.ask(apply(&[app]));
        let Answer::Done { failed, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(failed[0].error_log.is_some(), has_log, "{script}");
    }
}

#[test]
fn one_unstable_run_is_one() {
    for (most, said) in [(1, "1 unstable run, last"), (2, "2 unstable runs, last")] {
        let mut world = World::calm();
        let brief = app("brief", "exit 5 1", |brief| brief.restart.max_restarts = most);
        world.ask(apply(&[brief]));
        let detail = list(&mut world).remove(0).detail.unwrap();
        assert!(detail.starts_with(said), "{detail}");
    }
}

#[test]
fn a_rollout_stops_at_the_first_failure() {
    let mut world = World::calm();
    let mut apps = [app("a", "stay", |a| a.instances = 3)];
    world.ask(apply(&apps));
    apps[0].script = "nospawn".to_owned();
    assert_eq!(done(world.ask(apply(&apps))).1.len(), 1);
    assert_eq!(states(&mut world), ["a:0 errored", "a:1 online 101", "a:2 online 102"]);
}

#[test]
fn one_that_was_told_late_comes_up_later() {
    let mut world = World::calm();
    let slow = app("a", "ready 5000", |_| {});
    assert_eq!(done(world.ask(apply(&[slow]))).1.len(), 1);
    assert_eq!(states(&mut world), ["a:0 errored 100"]);
    // Asked for again, nobody waits for what has no deadline any more.
    assert_eq!(done(world.ask(Request::Start { targets: targets(&["a"]) })).1.len(), 1);
    let later = world.host.mono + 3_000;
    world.run_until(later);
    assert_eq!(states(&mut world), ["a:0 online 100"]);
}

#[test]
fn a_second_command_waits_or_is_told_that_it_would_have_to() {
    let mut world = World::calm();
    world.call(apply(&[plain("a")]), false);
    let busy = world.call(Request::Restart { targets: targets(&["a"]) }, true);
    assert!(matches!(world.host.answers[&busy][..], [Answer::Busy { pid: 1, .. }]));
    let waiting = world.call(Request::Restart { targets: targets(&["a"]) }, false);
    assert!(matches!(world.host.answers[&waiting][..], [Answer::Waiting { pid: 1, .. }]));
    assert_eq!(done(world.until_answered(waiting)), (1, vec![]));
    assert_eq!(states(&mut world), ["a:0 online 100"]);
}

#[test]
fn a_full_disk_changes_nothing_but_lets_apps_be_stopped() {
    let mut world = World::calm();
    world.ask(apply(&[plain("a")]));
    let before = states(&mut world);
    world.host.faults.failing_saves = 100;
    let answer = world.ask(apply(&[plain("b")]));
    assert!(matches!(&answer, Answer::Error { message, .. } if message.contains("no space left")), "{answer:?}");
    assert_eq!(states(&mut world), before);
    // What crashes is restarted all the same, and what is there already needs no save.
    assert_eq!(done(world.ask(apply(&[plain("a")]))), (0, vec![]));
    let (_, failed) = done(world.ask(Request::Stop { targets: targets(&["all"]) }));
    assert!(failed[0].contains("the state cannot be saved: no space left"), "{failed:?}");
    assert_eq!(states(&mut world), ["a:0 stopped"]);
    world.host.faults.failing_saves = 0;
    assert_eq!(done(world.ask(apply(&[plain("b")]))), (2, vec![]));
}

#[test]
fn kill_does_not_wait_for_a_command_that_waits() {
    let mut world = World::calm();
    let slow = app("a", "never", |app| {
        app.readiness.wait_ready = true;
        app.readiness.timeout_ms = 600_000;
    });
    let waiting = world.call(apply(&[slow]), false);
    let begun = world.host.mono;
    assert_eq!(done(world.ask(Request::Kill)), (1, vec![]));
    assert!(world.host.mono - begun < 5_000);
    assert_eq!(world.host.finished.get(&waiting), Some(&1));
}

#[test]
fn kill_records_that_everything_was_stopped_and_a_signal_does_not() {
    let mut world = World::calm();
    world.ask(apply(&[plain("a"), plain("b")]));
    world.feed(crate::runtime::Input::Terminate);
    let later = world.host.mono + 5_000;
    world.run_until(later);
    assert!(states(&mut world).iter().all(|line| line.contains("online")));
    assert_eq!(done(world.ask(Request::Kill)), (2, vec![]));
    let stopped = |app: &crate::runtime::AppRecord| app.instances.values().all(|i| i.intent == Intent::Stopped);
    assert!(world.host.disk.apps.values().all(stopped));
    let later = world.host.mono + 5_000;
    world.run_until(later);
    assert_eq!(states(&mut world), ["a:0 stopped", "b:0 stopped"]);
    assert_eq!(done(world.ask(Request::Resurrect)), (2, vec![]));
    assert!(states(&mut world).iter().all(|line| line.contains("online")));
}

#[test]
fn what_kill_ended_is_resurrected_and_what_was_stopped_or_is_done_is_not() {
    let mut world = World::calm();
    let job = app("job", "exit 1500 0", |app| app.restart.auto = false);
    world.ask(apply(&[plain("off"), plain("on"), plain("later"), job]));
    world.ask(Request::Stop { targets: targets(&["off"]) });
    let later = world.host.mono + 5_000;
    world.run_until(later);
    world.ask(Request::Kill);
    // A second one changes nothing, a stop in between does.
    world.ask(Request::Stop { targets: targets(&["later"]) });
    world.ask(Request::Kill);
    let stopped = ["off:0 stopped", "on:0 stopped", "later:0 stopped", "job:0 completed"];
    assert_eq!(states(&mut world), stopped);
    assert_eq!(done(world.ask(Request::Resurrect)), (1, vec![]));
    let states_now = states(&mut world);
    assert!(states_now[1].starts_with("on:0 online"));
    assert_eq!((states_now[0].as_str(), &states_now[2..]), (stopped[0], &stopped.map(str::to_owned)[2..]));
    // It goes on to be so.
    world.ask(Request::Stop { targets: targets(&["on"]) });
    assert_eq!(done(world.ask(Request::Resurrect)), (0, vec![]));
}

#[test]
fn stops_go_against_dependencies_and_starts_along() {
    let mut world = World::calm();
    let apps = [plain("db"), app("api", "stay", |a| a.depends_on = targets(&["db"]))];
    world.ask(apply(&apps));
    let order = |world: &World, client: u64, wanted: &dyn Fn(&ProgressKind) -> bool| {
        let all = progress_of(world, client).into_iter();
        all.filter(|(_, what)| wanted(what)).map(|(app, _)| app).collect::<Vec<_>>()
    };
    assert_eq!(order(&world, 1, &|what| matches!(what, ProgressKind::Up { .. })), ["db", "api"]);
    world.ask(Request::Stop { targets: targets(&["all"]) });
    assert_eq!(order(&world, 2, &|what| matches!(what, ProgressKind::Stopped)), ["api", "db"]);
}

#[test]
fn deleting_a_slot_leaves_the_others_and_ids_begin_again_when_nothing_is_left() {
    let mut world = World::calm();
    world.ask(apply(&[app("a", "stay", |a| a.instances = 2)]));
    assert_eq!(done(world.ask(Request::Delete { targets: targets(&["a:0"]) })), (1, vec![]));
    assert_eq!(states(&mut world), ["a:1 online 101"]);
    world.ask(Request::Delete { targets: targets(&["all"]) });
    assert!(list(&mut world).is_empty());
    assert!(world.host.disk.apps.is_empty() && world.host.disk.ambients.is_empty());
    world.ask(apply(&[plain("a")]));
    assert_eq!(list(&mut world)[0].id, 0);
}

#[test]
fn a_name_that_is_taken_and_one_that_nobody_has() {
    let mut world = World::calm();
    let script = || Request::StartScript { spec: Box::new(plain("api")), ambient: BTreeMap::new() };
    assert_eq!(done(world.ask(script())), (1, vec![]));
    assert!(matches!(world.ask(script()), Answer::Error { hint: Some(_), .. }));
    assert!(matches!(world.ask(apply(&[plain("api")])), Answer::Refused { .. }));
    let answer = world.ask(Request::Stop { targets: targets(&["apo"]) });
    assert!(matches!(answer, Answer::UnknownTarget { suggestion: Some(name), .. } if name == "api"));
}

#[test]
fn who_hangs_up_leaves_what_is_recorded_true() {
    let mut world = World::calm();
    let mut apps = vec![app("a", "stay", |a| a.instances = 3)];
    world.ask(apply(&apps));
    apps[0].env.insert("X".to_owned(), "1".to_owned());
    apps.push(app("b", "stay", |b| b.depends_on = targets(&["a"])));
    let client = world.call(apply(&apps), false);
    let soon = world.host.mono + 100;
    world.run_until(soon);
    world.feed(crate::runtime::Input::ClientGone { client });
    let later = world.host.mono + 10_000;
    world.run_until(later);
    // The first slot was replaced, the others run on, `b` was not begun: the next apply knows.
    assert_eq!(states(&mut world).len(), 3);
    assert_eq!(done(world.ask(apply(&apps))), (2, vec![]));
    assert_eq!(done(world.ask(apply(&apps))), (0, vec![]));
}

#[test]
fn who_takes_a_command_back_is_told_what_goes_on_and_what_was_not_begun() {
    let mut world = World::calm();
    let mut apps: Vec<AppSpec> =
        (0..20).map(|index| app(&format!("app{index:02}"), "never", |a| a.readiness.timeout_ms = 60_000)).collect();
    apps.push(app("last", "stay", |a| a.depends_on = targets(&["app00"])));
    let client = world.call(apply(&apps), false);
    let starting = |answer: &&Answer| matches!(answer, Answer::Progress(event) if matches!(event.what, ProgressKind::Starting { .. }));
    while world.host.answers[&client].iter().filter(starting).count() < 16 {
        assert!(world.turn());
    }
    world.feed(crate::runtime::Input::Cancel { client });
    let Some(Answer::Cancelled { touched, failed, going_on, not_begun }) = world.host.answers[&client].last() else {
        panic!("{:?}", world.host.answers[&client].last());
    };
    assert_eq!((*touched, failed.as_slice(), going_on.len()), (21, &[][..], 16));
    assert_eq!(not_begun, &["app16:0", "app17:0", "app18:0", "app19:0", "last"]);
    let later = world.host.mono + 10_000;
    world.run_until(later);
    // No later daemon starts what was taken back, and the next apply does.
    let stopped = states(&mut world).into_iter().filter(|line| line.ends_with("stopped") || line.contains(" stopped"));
    assert_eq!(stopped.count(), 4);
    world.restart();
    let stopped = states(&mut world).into_iter().filter(|line| line.contains(" stopped"));
    assert_eq!(stopped.count(), 4);
    assert!(world.host.disk.apps.contains_key("app19") && !world.host.disk.apps.contains_key("last"));

    // One that has not had its turn is as if it had never been said.
    let first = world.call(Request::Restart { targets: targets(&["app00"]) }, false);
    let second = world.call(Request::Restart { targets: targets(&["all"]) }, false);
    world.feed(crate::runtime::Input::Cancel { client: second });
    assert!(matches!(world.host.answers[&second].last(), Some(Answer::Cancelled { touched: 0, .. })));
    world.feed(crate::runtime::Input::ClientGone { client: first });
}

#[test]
fn no_more_are_on_their_way_up_than_the_limit_allows() {
    let some = |count: usize, script: &str| -> Vec<AppSpec> {
        (0..count).map(|index| app(&format!("app{index:03}"), script, |_| {})).collect()
    };
    let mut slots = some(5, "stay");
    slots[0].instances = 20;
    // The apps, the caller's limit, and how many are seen on their way up at once.
    let table = [
        (some(40, "ready 900"), NonZeroU32::new(3), 3),
        (some(40, "stay"), NonZeroU32::new(3), 3),
        (slots, NonZeroU32::new(1), 1),
        (some(40, "stay"), NonZeroU32::new(100), 40),
        (some(40, "ready 900"), None, 16),
        (some(40, "stay"), None, 40),
    ];
    for (apps, parallel, expected) in table {
        let mut world = World::calm();
        let client = world.call(apply_with(&apps, parallel), false);
        let (mut most, end) = (0, world.host.mono + 120_000);
        let is_done =
            |answer: Option<&Answer>| matches!(answer, Some(Answer::Done { failed, .. }) if failed.is_empty());
        while !is_done(world.host.answers[&client].last()) && world.host.mono < end && world.turn() {
            let on_their_way = |line: &&String| line.contains("launching") || line.contains("starting");
            most = most.max(states(&mut world).iter().filter(on_their_way).count());
        }
        assert!(is_done(world.host.answers[&client].last()), "{parallel:?}: {:?}", world.host.answers[&client].last());
        assert_eq!(most, expected, "{parallel:?} of {}", apps.len());
    }
}

#[test]
fn five_hundred_apps_start_with_one_save_and_cost_nothing_to_look_at() {
    let mut world = World::calm();
    let apps: Vec<AppSpec> = (0..500).map(|index| plain(&format!("app{index:03}"))).collect();
    let request = apply(&apps);
    let client = world.call(request.clone(), false);
    let end = world.host.mono + 3_000;
    // The checkers look at everything after each input, which for so many is too much.
    world.unchecked(end);
    assert!(
        matches!(world.host.answers[&client].last(), Some(Answer::Done { touched: 500, failed }) if failed.is_empty())
    );
    assert_eq!(world.host.disk.generation, 1);
    assert_eq!(done(world.ask(request)), (0, vec![]));
    assert_eq!(world.host.disk.generation, 1);
}

fn nightly(name: &str, script: &str, auto: bool) -> AppSpec {
    app(name, script, |app| {
        app.cron_restart = Some("0 3 * * *".to_owned());
        app.cron_timezone = Some("UTC".to_owned());
        app.restart.auto = auto;
    })
}

const HOUR_MS: u64 = 3_600_000;

/// To so many milliseconds before the next full hour of the day, by the wall clock.
fn run_to(world: &mut World, hour: u64, before_ms: u64) {
    let day = 24 * HOUR_MS;
    let wall = world.host.now().wall.0;
    let at = wall / day * day + hour * HOUR_MS - before_ms;
    let at = if at > wall { at } else { at + day };
    let end = world.host.mono + (at - wall);
    world.run_until(end);
}

fn restarts(world: &mut World) -> Vec<u32> {
    list(world).into_iter().map(|view| view.restarts).collect()
}

#[test]
fn what_runs_is_restarted_at_its_time_and_what_was_stopped_is_not() {
    let mut world = World::calm();
    let apps = [nightly("api", "stay", true), nightly("idle", "stay", true), nightly("job", "exit 40 0", false)];
    world.ask(apply(&apps));
    world.ask(Request::Stop { targets: targets(&["idle"]) });
    run_to(&mut world, 3, 1);
    assert_eq!(states(&mut world), ["api:0 online 100", "idle:0 stopped", "job:0 completed"]);
    let next: Vec<bool> = list(&mut world).iter().map(|view| view.next_run_at_ms.is_some()).collect();
    assert_eq!(next, [true, false, true]);
    let end = world.host.mono + 10_000;
    world.run_until(end);
    assert_eq!(restarts(&mut world), [1, 0, 1]);
    let details: Vec<Option<String>> = list(&mut world).into_iter().map(|view| view.detail).collect();
    let why = "restarted: its time has come (cron_restart)".to_owned();
    assert_eq!(details, [Some(why), None, Some("exit code 0".to_owned())]);
    // The job is recorded as done again, and a second apply has nothing to do.
    assert_eq!(world.host.disk.apps["job"].instances[&0].intent, Intent::Done { status: ExitStatus::Code(0) });
    assert_eq!(done(world.ask(apply(&apps))), (1, vec![]), "what was stopped is started, nothing else is touched");
    assert_eq!(restarts(&mut world), [1, 0, 1]);
    for day in 2..5 {
        run_to(&mut world, 3, 1);
        run_to(&mut world, 4, 0);
        assert_eq!(restarts(&mut world), [day, day - 1, day]);
    }
}

#[test]
fn a_clock_that_is_set_runs_nothing_twice_and_makes_up_for_what_was_missed() {
    let mut world = World::calm();
    world.ask(apply(&[nightly("api", "stay", true)]));
    let set = |world: &mut World, by_ms: i64| {
        world.host.after(0, super::Coming::Clock { by_ms });
        let end = world.host.mono + 5_000;
        world.run_until(end);
        restarts(world)[0]
    };
    let hours = |hours: i64| hours * 3_600_000;
    run_to(&mut world, 2, 0);
    assert_eq!(set(&mut world, hours(3)), 1, "asleep over it: made up for");
    assert_eq!(set(&mut world, hours(-3)), 1, "set back to before it: it has run");
    run_to(&mut world, 4, 0);
    assert_eq!(restarts(&mut world), [1]);
    run_to(&mut world, 4, 0);
    assert_eq!(restarts(&mut world), [2]);
    assert_eq!(set(&mut world, hours(24 * 5)), 3, "five were missed: one");
    assert_eq!(set(&mut world, -hours(24 * 40)), 3, "the clock was wrong");
    run_to(&mut world, 4, 0);
    assert_eq!(restarts(&mut world), [4], "and goes by what it says now");
}

#[test]
fn a_clock_that_is_set_changes_nothing_about_how_long_something_has_run() {
    let mut world = World::calm();
    world.ask(apply(&[app("a", "stay", |_| ())]));
    world.run_until(world.host.mono + 10_000);
    let ran = |world: &mut World| {
        let at = list(world)[0].started_at_ms.unwrap();
        world.host.now().wall.0.saturating_sub(at) / 1_000
    };
    let before = ran(&mut world);
    for by_ms in [2 * 86_400_000, -7_200_000, -86_400_000] {
        world.host.set_clock(by_ms);
        assert_eq!(ran(&mut world), before, "{by_ms}");
    }
}

/// The hour that is left out, and the one that comes twice, also where a daemon is killed in it.
#[test]
fn each_time_comes_once_in_the_nights_in_which_the_clock_is_changed() {
    for (evening, killed) in [
        ("2026-03-28T23:30:00Z", false),
        ("2026-03-28T23:30:00Z", true),
        ("2026-10-24T22:30:00Z", false),
        ("2026-10-24T22:30:00Z", true),
    ] {
        let at = format!("{evening}, killed: {killed}");
        let mut world = World::calm();
        let evening: jiff::Timestamp = evening.parse().unwrap();
        let now = i64::try_from(world.host.now().wall.0).unwrap();
        world.host.set_clock(evening.as_millisecond() - now);
        let by_cron = app("api", "stay", |app| app.cron_restart = Some("30 2 * * *".to_owned()));
        let job = |name: &str, script: &str, pattern: &str| {
            app(name, script, |app| (app.schedule, app.restart.auto) = (Some(pattern.to_owned()), false))
        };
        world.ask(apply(&[by_cron, job("often", "exit 40 0", "*/30 * * * *"), job("once", "exit 41 0", "30 2 * * *")]));
        let begun = world.host.mono;
        let spawned = |world: &World, script: &str| world.host.spawned.get(script).copied().unwrap_or(0);
        for half in 1..=48 {
            world.run_until(begun + half * HOUR_MS / 2 + 1_000);
            if killed && half < 9 {
                world.restart();
            }
        }
        assert_eq!(spawned(&world, "exit 40 0"), 48, "{at}: every half hour");
        assert_eq!(
            (spawned(&world, "stay"), spawned(&world, "exit 41 0")),
            (2, 1),
            "{at}: started, and once that night"
        );
        world.run_until(begun + 40 * HOUR_MS);
        assert_eq!((spawned(&world, "stay"), spawned(&world, "exit 41 0")), (3, 2), "{at}: and in the next");
    }
}

#[test]
fn a_job_is_not_run_again_by_the_next_daemon_and_keeps_its_time() {
    let mut world = World::calm();
    world.ask(apply(&[nightly("job", "exit 40 0", false)]));
    run_to(&mut world, 2, 0);
    world.restart();
    assert_eq!(states(&mut world), ["job:0 completed"]);
    run_to(&mut world, 3, 1);
    assert_eq!(restarts(&mut world), [0]);
    run_to(&mut world, 4, 0);
    assert_eq!((restarts(&mut world), states(&mut world)), (vec![1], vec!["job:0 completed".to_owned()]));
}

/// As after a sleep: once, and not again by the daemon after that.
#[test]
fn a_time_that_comes_while_no_daemon_is_there_is_made_up_for() {
    for script in ["stay", "exit 40 0"] {
        let mut world = World::calm();
        world.ask(apply(&[nightly("api", script, script == "stay")]));
        run_to(&mut world, 3, 1);
        world.host.set_clock(500);
        world.restart();
        world.run_until(world.host.mono + 5_000);
        assert_eq!(restarts(&mut world), [1], "{script}");
        world.restart();
        world.run_until(world.host.mono + 5_000);
        assert_eq!(restarts(&mut world), [1], "{script}: it has run");
        run_to(&mut world, 4, 0);
        run_to(&mut world, 4, 0);
        assert_eq!(restarts(&mut world), [2], "{script}: and in the next night");
    }
}

/// Whenever the daemon is killed in the first moments of it.
#[test]
fn a_run_that_was_just_being_begun_is_not_lost_and_none_is_made_twice() {
    let scheduled = app("job", "exit 40 0", |app| {
        app.schedule = Some("0 3 * * *".to_owned());
        app.cron_timezone = Some("UTC".to_owned());
    });
    for (job, before) in [(nightly("job", "exit 40 0", false), 1), (scheduled, 0)] {
        for after_ms in 0..60 {
            let mut world = World::calm();
            world.ask(apply(std::slice::from_ref(&job)));
            run_to(&mut world, 3, 1);
            let spawned = |world: &World| world.host.spawned.get("exit 40 0").copied().unwrap_or(0);
            assert_eq!(spawned(&world), before);
            world.run_until(world.host.mono + 1 + after_ms);
            world.restart();
            world.run_until(world.host.mono + 5_000);
            assert_eq!(spawned(&world), before + 1, "killed {after_ms} ms after its time");
        }
    }
}

#[test]
fn a_changed_pattern_holds_at_once_and_touches_no_process() {
    let mut world = World::calm();
    let mut api = nightly("api", "stay", true);
    world.ask(apply(std::slice::from_ref(&api)));
    let first = list(&mut world)[0].next_run_at_ms;
    api.cron_timezone = None;
    assert_eq!(done(world.ask(apply(std::slice::from_ref(&api)))), (1, vec![]));
    let there = list(&mut world)[0].clone();
    // Berlin's three o'clock comes first.
    assert!(there.next_run_at_ms < first && there.pid == Some(100), "{first:?} {there:?}");
    api.cron_restart = None;
    world.ask(apply(&[api]));
    assert_eq!((list(&mut world)[0].next_run_at_ms, world.core.wall_deadline()), (None, None));
}

#[test]
fn many_at_one_time_are_all_restarted_once() {
    let mut world = World::calm();
    let apps: Vec<AppSpec> = (0..200).map(|number| nightly(&format!("a{number}"), "stay", true)).collect();
    world.checked = false;
    world.ask(apply(&apps));
    run_to(&mut world, 4, 0);
    assert!(list(&mut world).iter().all(|view| view.restarts == 1 && view.state == "online"));
}

#[test]
fn what_uses_too_much_memory_is_restarted_but_not_each_second() {
    let mut world = World::calm();
    world.ask(apply(&[app("api", "stay", |app| app.max_memory_restart = Some(100)), plain("web")]));
    let seconds = |world: &mut World, seconds: u64| {
        let end = world.host.mono + seconds * 1_000;
        world.run_until(end);
        restarts(world)
    };
    assert_eq!(seconds(&mut world, 300), [0, 0], "ten are not too much");
    world.host.faults.leaks = 100;
    assert_eq!(seconds(&mut world, 11), [1, 0], "seen within ten seconds");
    let detail = list(&mut world)[0].detail.clone();
    assert_eq!(detail.as_deref(), Some("restarted: it used 200B (max_memory_restart)"));
    let restarted = seconds(&mut world, 300);
    assert!((10..=11).contains(&restarted[0]), "each half minute: {restarted:?}");
    world.host.faults.leaks = 0;
    let settled = seconds(&mut world, 60);
    assert_eq!(seconds(&mut world, 300), settled);
    // Nobody is looked at when nobody has a limit.
    world.ask(apply(&[plain("api"), plain("web")]));
    assert_eq!((restarts(&mut world), world.core.deadline()), (settled, None));
}

#[test]
fn what_is_stopped_or_taken_anew_is_not_judged_by_what_was() {
    let mut world = World::calm();
    world.ask(apply(&[app("api", "stay", |app| app.max_memory_restart = Some(100))]));
    let launch = world.host.trees.values().next().unwrap().launch;
    world.ask(Request::Restart { targets: targets(&["api"]) });
    world.feed(crate::runtime::Input::Memory { launch, bytes: 1_000 });
    assert_eq!(states(&mut world), ["api:0 online 100"]);
    let launch = world.host.trees.values().next().unwrap().launch;
    world.ask(Request::Stop { targets: targets(&["api"]) });
    world.feed(crate::runtime::Input::Memory { launch, bytes: 1_000 });
    assert_eq!((states(&mut world), world.core.deadline()), (vec!["api:0 stopped".to_owned()], None));
}

#[test]
fn limits_change_without_a_process_and_what_is_not_in_force_is_known() {
    let mut world = World::calm();
    let limited = |memory, pids| app("api", "stay", move |app| (app.limits.memory, app.limits.pids) = (memory, pids));
    let note = |world: &mut World| {
        let end = world.host.mono + 10;
        world.run_until(end);
        let view = list(world).remove(0);
        assert_eq!((view.pid, view.restarts), (Some(100), 0));
        view.limits_note
    };
    let why = || Some("not in force (pids)".to_owned());
    for (memory, pids, want) in [
        (None, None, None),
        (Some(1 << 20), Some(9), why()),
        (Some(1 << 20), None, None),
        (None, Some(8), why()),
        (None, None, None),
        (None, Some(8), why()),
    ] {
        world.ask(apply(&[limited(memory, pids)]));
        assert_eq!(note(&mut world), want, "{memory:?} {pids:?}");
    }
    // It is of the process that runs: the next is told of anew.
    world.ask(Request::Restart { targets: targets(&["api"]) });
    assert_eq!(list(&mut world)[0].limits_note, why());
    world.ask(Request::Stop { targets: targets(&["api"]) });
    world.ask(apply(&[limited(None, None)]));
    world.ask(Request::Start { targets: targets(&["api"]) });
    assert_eq!(list(&mut world)[0].limits_note, None);
}

#[test]
fn what_an_ended_process_left_ends_by_the_rules_of_then() {
    let mut world = World::calm();
    let leaves = app("a", "forks 30 1", |app| (app.instances, app.restart.auto) = (8, false));
    world.ask(apply(&[leaves]));
    world.run_until(world.host.mono + 1_000);
    assert!(!world.host.trees.is_empty(), "some have left something");
    // None of it is the new one's.
    let alone = app("a", "stay", |app| (app.stop.tree, app.stop.timeout_ms) = (false, 0));
    world.ask(apply(&[alone]));
    world.run_until(world.host.mono + 10_000);
    let left: Vec<_> = world.host.trees.values().map(|tree| &tree.script).collect();
    assert_eq!(left, ["stay"]);
}

#[test]
fn a_death_for_want_of_memory_stays_known_and_is_logged() {
    let mut world = World::calm();
    let why = "out of memory: killed by the kernel at its limit of 1M";
    let failed = vec![format!("api: it ended: {why} (autorestart is off)")];
    assert_eq!(done(world.ask(apply(&[app("api", "oom", |app| app.restart.auto = false)]))), (1, failed));
    assert!(world.host.trace.iter().any(|line| line.ends_with(&format!("`api:0`: {why}"))));
    world.ask(Request::Stop { targets: targets(&["api"]) });
    assert_eq!(list(&mut world)[0].last_exit, Some(ExitStatus::OutOfMemory(Shortage::Limit(1 << 20))));
}
