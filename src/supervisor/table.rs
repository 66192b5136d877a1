//! Every state against every event, as a table that a reviewer can read: `fixtures/machine/transitions.txt`.
//! `BLESS=1 cargo test` writes it anew.

use std::fmt::Write as _;
use std::sync::Arc;

use super::*;
use crate::base::{ExitStatus, Mono, Now, Wall};
use crate::spec::{AppSpec, HealthCheck, Overlap, Probe};

const NOW: Now = Now { mono: Mono(100_000), wall: Wall(1_000_000) };
const THIS: LaunchId = LaunchId(1);
const OTHER: LaunchId = LaunchId(99);
const FRESH: LaunchId = LaunchId(2);
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/machine/transitions.txt");

fn spec(change: impl FnOnce(&mut AppSpec)) -> Arc<AppSpec> {
    let mut spec = AppSpec::new("a", "/x", "/");
    change(&mut spec);
    Arc::new(spec)
}

fn specs() -> Vec<(&'static str, Arc<AppSpec>)> {
    vec![
        ("default", spec(|_| {})),
        (
            "wait_ready, restart_delay 500, kill by message",
            spec(|s| {
                s.readiness.wait_ready = true;
                s.restart.delay_ms = 500;
                s.stop.message = true;
            }),
        ),
        (
            "autorestart false, stop_exit_codes 3",
            spec(|s| {
                s.restart.auto = false;
                s.restart.stop_exit_codes = vec![3];
            }),
        ),
        (
            "max_restarts 1, min_uptime 0, treekill false",
            spec(|s| {
                s.restart.max_restarts = 1;
                s.restart.min_uptime_ms = 0;
                s.stop.tree = false;
            }),
        ),
        (
            "schedule, schedule_overlap queue",
            spec(|s| {
                s.schedule = Some("0 3 * * *".to_owned());
                s.schedule_overlap = Overlap::Queue;
            }),
        ),
        ("listen", spec(|s| s.listen = vec!["tcp:80".to_owned()])),
        (
            "health_check with unhealthy_threshold 1",
            spec(|s| {
                let check = HealthCheck::new(Probe::Tcp("localhost:1".to_owned()));
                s.health_check = Some(HealthCheck { unhealthy_threshold: 1, ..check });
            }),
        ),
    ]
}

fn states() -> Vec<State> {
    let (launch, pid, since) = (THIS, 10, Mono(99_900));
    let due = Mono(99_999);
    let later = Mono(100_500);
    let (none, ready) = (Awaits::default(), Awaits { ready: true, ..Awaits::default() });
    let health = Awaits { health: true, ..none };
    let listening = Awaits { listening: true, ..none };
    let stopping = |phase, then| State::Stopping { launch, pid: Some(pid), phase, then };
    vec![
        State::Stopped,
        State::Waiting { until: later },
        State::Waiting { until: due },
        State::Launching { launch },
        State::Blocked,
        State::Scheduled,
        State::Starting { launch, pid, since, awaits: none, late: false },
        State::Starting { launch, pid, since: Mono(50_000), awaits: none, late: false },
        State::Starting { launch, pid, since: Mono(50_000), awaits: ready, late: false },
        State::Starting { launch, pid, since: Mono(50_000), awaits: ready, late: true },
        State::Starting { launch, pid, since, awaits: health, late: false },
        State::Starting { launch, pid, since: Mono(50_000), awaits: health, late: false },
        State::Starting { launch, pid, since: Mono(50_000), awaits: health, late: true },
        State::Starting { launch, pid, since: Mono(99_000), awaits: listening, late: false },
        State::Starting { launch, pid, since: Mono(50_000), awaits: listening, late: false },
        State::Online { launch, pid, since: Mono(50_000), healthy: true },
        State::Online { launch, pid, since: Mono(50_000), healthy: false },
        State::Stopping { launch, pid: None, phase: StopPhase::Spawning, then: Then::Stop },
        State::Stopping { launch, pid: None, phase: StopPhase::Spawning, then: Then::Restart },
        stopping(StopPhase::Draining { deadline: later }, Then::Stop),
        stopping(StopPhase::Draining { deadline: due }, Then::Restart),
        stopping(StopPhase::Asked { deadline: later }, Then::Stop),
        stopping(StopPhase::Asked { deadline: due }, Then::Restart),
        stopping(StopPhase::Asked { deadline: later }, Then::Again { delay_ms: 0 }),
        stopping(StopPhase::Asked { deadline: later }, Then::Again { delay_ms: 500 }),
        stopping(StopPhase::Asked { deadline: later }, Then::Block),
        stopping(StopPhase::Asked { deadline: later }, Then::Schedule),
        stopping(StopPhase::Killed { deadline: later }, Then::Restart),
        stopping(StopPhase::Killed { deadline: due }, Then::Stop),
        State::Errored { reason: ErrorReason::Exited(ExitStatus::Code(1)) },
        State::Errored { reason: ErrorReason::WouldNotDie { launch, pid: Some(pid), then: Then::Stop } },
        State::Errored { reason: ErrorReason::WouldNotDie { launch, pid: Some(pid), then: Then::Restart } },
        State::Errored { reason: ErrorReason::SpawnFailed { reason: "no such file".to_owned(), again: Some(due) } },
        State::Errored { reason: ErrorReason::SpawnFailed { reason: "no such file".to_owned(), again: None } },
        State::Completed { status: ExitStatus::Code(0) },
    ]
}

fn events(policy: &Arc<AppSpec>) -> Vec<Event> {
    let exited = |launch, status| Event::Exited { launch, status, left: false };
    vec![
        Event::Start,
        Event::Resume,
        Event::Schedule,
        Event::Stop,
        Event::Conclude { status: ExitStatus::Code(0) },
        Event::Restart,
        Event::Reload,
        Event::Retire,
        Event::Renew { cause: Cause::Cron },
        Event::Renew { cause: Cause::Schedule },
        Event::Renew { cause: Cause::Memory { bytes: 1 << 30 } },
        Event::Policy(Arc::clone(policy)),
        Event::Spawned { launch: THIS, pid: 11 },
        Event::SpawnFailed { launch: THIS, reason: "no such file".to_owned() },
        exited(THIS, ExitStatus::Code(0)),
        exited(THIS, ExitStatus::Code(3)),
        exited(THIS, ExitStatus::Signal(9)),
        Event::TreeGone { launch: THIS },
        Event::Ready { launch: THIS },
        Event::Listening { launch: THIS },
        Event::Drained { launch: THIS },
        Event::Untold,
        Event::Probed { launch: THIS, result: Ok(()) },
        Event::Probed { launch: THIS, result: Err("refused".to_owned()) },
        Event::Needs { unmet: vec!["`db` to be ready".to_owned()], ended: true },
        Event::Tick,
    ]
}

fn about_another_launch() -> Vec<Event> {
    vec![
        Event::Spawned { launch: OTHER, pid: 11 },
        Event::SpawnFailed { launch: OTHER, reason: "no such file".to_owned() },
        Event::Exited { launch: OTHER, status: ExitStatus::Code(0), left: false },
        Event::TreeGone { launch: OTHER },
        Event::Ready { launch: OTHER },
        Event::Listening { launch: OTHER },
        Event::Drained { launch: OTHER },
        Event::Probed { launch: OTHER, result: Err("refused".to_owned()) },
    ]
}

fn machine(policy: &Arc<AppSpec>, state: State) -> Machine {
    let launched = state.launch().is_some().then(|| Arc::clone(policy));
    Machine { state, launched, ..Machine::new(Arc::clone(policy)) }
}

/// Each machine that differs is printed; what stays as it is, is not.
fn table() -> String {
    let mut text = String::from(
        "# now is 100000; launch 1 is the machine's own, launch 2 is offered. An event that is not listed under a state\n\
         # changes nothing there. What is counted follows the state; what is asked for follows the arrow `=>`.\n",
    );
    for (name, policy) in specs() {
        let _ = writeln!(text, "\n## {name}");
        for state in states() {
            let machine = machine(&policy, state);
            let wake = deadline(&machine).map_or_else(|| "-".to_owned(), |at| at.0.to_string());
            let _ = writeln!(text, "\n{:?}  wake {wake}", machine.state);
            for event in events(&policy) {
                let next = step(&machine, event.clone(), NOW, FRESH);
                if next.machine == machine && next.asks.is_empty() {
                    continue;
                }
                let event = match event {
                    Event::Policy(_) => "Policy".to_owned(),
                    event => format!("{event:?}"),
                };
                let m = &next.machine;
                let _ = write!(text, "  {event}\n    {:?}", m.state);
                let counts = [("restarts", m.restarts), ("unstable", m.unstable), ("backoff", m.backoff)];
                for (name, count) in counts.iter().filter(|(_, count)| *count > 0) {
                    let _ = write!(text, " {name} {count}");
                }
                text.push('\n');
                for ask in &next.asks {
                    let _ = writeln!(text, "    => {ask:?}");
                }
            }
        }
    }
    text
}

#[test]
fn every_state_and_event_is_as_reviewed() {
    let found = table();
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(FIXTURE).parent().unwrap()).unwrap();
        std::fs::write(FIXTURE, &found).unwrap();
    }
    let expected = std::fs::read_to_string(FIXTURE).unwrap_or_default();
    let line = found.lines().zip(expected.lines()).position(|(a, b)| a != b);
    assert!(found == expected, "differs from {FIXTURE} at line {line:?}; BLESS=1 writes it anew");
}

#[test]
fn what_is_about_another_launch_changes_nothing() {
    for (_, policy) in specs() {
        for state in states() {
            let machine = machine(&policy, state);
            for event in about_another_launch() {
                let next = step(&machine, event, NOW, FRESH);
                assert_eq!((next.machine, next.asks), (machine.clone(), vec![]));
            }
        }
    }
}

#[test]
fn terminal_states_want_no_waking() {
    for state in states().into_iter().filter(State::is_terminal) {
        assert_eq!(deadline(&machine(&spec(|_| {}), state)), None);
    }
}

/// Runs it until it rests, each process ending after `run_ms`; how many were started and where it ended.
fn launches(policy: &Arc<AppSpec>, run_ms: u64, most: u32) -> (u32, State) {
    let mut machine = Machine::new(Arc::clone(policy));
    let mut now = 0;
    let mut count = 0;
    let mut event = Event::Start;
    loop {
        let at = Now { mono: Mono(now), wall: Wall(0) };
        let next = step(&machine, event, at, LaunchId(u64::from(count) + 1));
        machine = next.machine;
        event = match machine.state {
            State::Launching { launch } => {
                count += 1;
                if count > most {
                    return (count, machine.state);
                }
                machine = step(&machine, Event::Spawned { launch, pid: 5 }, at, LaunchId(0)).machine;
                now += run_ms;
                Event::Exited { launch, status: ExitStatus::Code(1), left: false }
            }
            State::Waiting { until } => {
                now = until.0;
                Event::Tick
            }
            _ => return (count, machine.state),
        };
    }
}

#[test]
fn a_crash_loop_ends_after_max_restarts_launches() {
    let crash = |runs| State::Errored { reason: ErrorReason::CrashLoop { runs, status: ExitStatus::Code(1) } };
    assert_eq!(launches(&spec(|_| {}), 10, 100), (16, crash(16)));
    for (max_restarts, want) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
        let policy = spec(|s| s.restart.max_restarts = max_restarts);
        assert_eq!(launches(&policy, 10, 100), (want, crash(want)), "max_restarts {max_restarts}");
    }
    // PM2 never gives up when the delay is a second or more.
    assert_eq!(launches(&spec(|s| s.restart.delay_ms = 3_000), 10, 100), (16, crash(16)));
    assert_eq!(launches(&spec(|s| s.restart.backoff_ms = 100), 10, 100), (16, crash(16)));
    // One that stays up for `min_uptime` each time is never given up on.
    assert_eq!(launches(&spec(|_| {}), 1_000, 100).0, 101);
    // With `min_uptime: 0` too, what ends at once is no stable run.
    assert_eq!(launches(&spec(|s| s.restart.min_uptime_ms = 0), 10, 100), (16, crash(16)));
    assert_eq!(launches(&spec(|s| s.restart.min_uptime_ms = 0), 100, 100).0, 101);
}

/// Runs it for an hour, each process being up after `up_ms` and failing its check `well_ms` later; when each was
/// started, and where it ended.
fn ailing(policy: &Arc<AppSpec>, up_ms: u64, well_ms: u64) -> (Vec<u64>, State) {
    let mut machine = Machine::new(Arc::clone(policy));
    let (mut now, mut starts) = (0, Vec::new());
    let feed = |machine: &mut Machine, event: Event, now: u64, fresh: usize| {
        *machine = step(machine, event, Now { mono: Mono(now), wall: Wall(0) }, LaunchId(fresh as u64 + 1)).machine;
    };
    feed(&mut machine, Event::Start, now, 0);
    while now < 3_600_000 {
        match machine.state {
            State::Launching { launch } => {
                starts.push(now);
                feed(&mut machine, Event::Spawned { launch, pid: 5 }, now, 0);
                now += up_ms;
                feed(&mut machine, Event::Probed { launch, result: Ok(()) }, now, 0);
                now += well_ms;
                for _ in 0..3 {
                    feed(&mut machine, Event::Probed { launch, result: Err("refused".to_owned()) }, now, starts.len());
                    now += 10_000;
                }
            }
            State::Stopping { launch, .. } => {
                feed(&mut machine, Event::Exited { launch, status: ExitStatus::Signal(2), left: false }, now, 0);
                feed(&mut machine, Event::TreeGone { launch }, now, starts.len());
            }
            State::Waiting { until } => {
                now = until.0;
                feed(&mut machine, Event::Tick, now, starts.len());
            }
            _ => break,
        }
    }
    (starts, machine.state)
}

#[test]
fn what_becomes_unhealthy_again_and_again_is_restarted_less_and_less_often() {
    let checked = |change: fn(&mut AppSpec)| {
        spec(|s| {
            s.health_check = Some(HealthCheck::new(Probe::Tcp("localhost:1".to_owned())));
            change(s);
        })
    };
    let waits = |policy: &Arc<AppSpec>, up_ms: u64, well_ms: u64| {
        let (starts, state) = ailing(policy, up_ms, well_ms);
        let each = up_ms + well_ms + 30_000;
        (starts.windows(2).map(|pair| pair[1] - pair[0] - each).collect::<Vec<_>>(), state)
    };
    let is_backoff = |waits: &[u64], first: u64| {
        let mut want = first;
        for wait in waits {
            assert!((want..=want + want / 10).contains(wait), "{wait} for {want}: {waits:?}");
            want = (want * 3 / 2).min(15_000);
        }
        assert!(want > first * 10, "{waits:?}");
    };
    // However long it takes until it is up, and until it is noticed.
    for up_ms in [0, 60_000] {
        let (found, _) = waits(&checked(|_| {}), up_ms, 1_000);
        assert_eq!(found[0], 0, "the first time costs nothing: {found:?}");
        is_backoff(&found[1..], 100);
    }
    is_backoff(&waits(&checked(|s| s.restart.backoff_ms = 200), 0, 1_000).0, 200);
    assert!(waits(&checked(|s| s.restart.delay_ms = 3_000), 0, 1_000).0.iter().all(|wait| *wait == 3_000));
    // A stretch of health makes up for what was before.
    let (found, _) = waits(&checked(|_| {}), 0, 26_000);
    assert!(found.iter().all(|wait| *wait == 0), "{found:?}");
    // What is never well for as long as `min_uptime` is given up on, and left as it is: it may yet heal.
    let (found, state) = waits(&checked(|_| {}), 60_000, 500);
    assert_eq!(found.len(), 15, "{found:?}");
    assert!(matches!(state, State::Online { healthy: false, .. }), "{state:?}");
}

#[test]
fn what_a_process_leaves_behind_is_asked_to_end_before_the_next_is_started() {
    let policy = spec(|s| s.restart.delay_ms = 500);
    let online = machine(&policy, State::Online { launch: THIS, pid: 1, since: Mono(0), healthy: true });
    let exited = |left| Event::Exited { launch: THIS, status: ExitStatus::Code(1), left };
    let asked = Ask::Stop { launch: THIS, signal: crate::base::Signal::INT, tree: true };
    let ended = step(&online, exited(true), NOW, FRESH);
    assert_eq!(ended.asks, std::slice::from_ref(&asked));
    let gone = step(&ended.machine, Event::TreeGone { launch: THIS }, NOW, FRESH).machine;
    assert_eq!(gone.state, State::Waiting { until: NOW.mono.plus_ms(500) });
    assert_eq!(step(&online, exited(false), NOW, FRESH).machine.state, gone.state);
    // What nobody starts again keeps what it has left until somebody asks.
    let once = spec(|s| s.restart.auto = false);
    let done = Event::Exited { launch: THIS, status: ExitStatus::Code(0), left: true };
    let done =
        step(&machine(&once, State::Online { launch: THIS, pid: 1, since: Mono(0), healthy: true }), done, NOW, FRESH);
    assert_eq!((&done.machine.state, done.asks), (&State::Completed { status: ExitStatus::Code(0) }, vec![]));
    assert_eq!(step(&done.machine, Event::Stop, NOW, FRESH).asks, std::slice::from_ref(&asked));
    assert_eq!(step(&done.machine, Event::Restart, NOW, FRESH).asks, [asked]);
    // With `treekill: false` they are on their own.
    let alone = spec(|s| s.stop.tree = false);
    let ended = step(
        &machine(&alone, State::Online { launch: THIS, pid: 1, since: Mono(0), healthy: true }),
        exited(true),
        NOW,
        FRESH,
    );
    assert_eq!(ended.asks, [Ask::Launch { launch: FRESH }]);
}

#[test]
fn what_somebody_stopped_is_not_renewed() {
    let renew = |state: State, cause: Cause| {
        let next = step(&machine(&spec(|_| {}), state), Event::Renew { cause }, NOW, FRESH);
        (next.machine.state, next.machine.cause)
    };
    let cron = || Cause::Cron;
    let memory = || Cause::Memory { bytes: 1 };
    let done = || State::Completed { status: ExitStatus::Code(0) };
    let launching = State::Launching { launch: FRESH };
    assert_eq!(renew(State::Stopped, cron()), (State::Stopped, None));
    let stopping = |then| State::Stopping { launch: THIS, pid: None, phase: StopPhase::Spawning, then };
    assert_eq!(renew(stopping(Then::Stop), cron()), (stopping(Then::Stop), None));
    assert_eq!(renew(done(), cron()), (launching, Some(Cause::Cron)));
    assert_eq!(renew(done(), memory()), (done(), None));
    let (state, cause) = renew(State::Online { launch: THIS, pid: 1, since: Mono(0), healthy: true }, memory());
    assert!(matches!(state, State::Stopping { then: Then::Restart, .. }));
    assert_eq!(cause, Some(memory()));
}

#[test]
fn a_worker_that_leaves_and_does_not_end_is_ended_and_another_comes() {
    let policy = spec(|_| {});
    let run = |policy: &Arc<AppSpec>| {
        let online = machine(policy, State::Online { launch: THIS, pid: 1, since: Mono(0), healthy: true });
        step(&online, Event::Drained { launch: THIS }, NOW, FRESH)
    };
    let left = run(&policy);
    let by = NOW.mono.plus_ms(policy.stop.timeout_ms);
    assert_eq!((left.asks.as_slice(), deadline(&left.machine)), ([].as_slice(), Some(by)));
    // Most end by themselves, as any other does.
    let ended =
        step(&left.machine, Event::Exited { launch: THIS, status: ExitStatus::Code(0), left: false }, NOW, FRESH);
    assert_eq!(
        (ended.asks, ended.machine.left, ended.machine.cause),
        (vec![Ask::Launch { launch: FRESH }], None, None)
    );
    let late = Now { mono: by, ..NOW };
    let asked = step(&left.machine, Event::Tick, late, FRESH);
    assert!(matches!(asked.asks.as_slice(), [Ask::Stop { launch: THIS, .. }]), "{:?}", asked.asks);
    assert_eq!(asked.machine.cause, Some(Cause::Left));
    let gone = step(&asked.machine, Event::TreeGone { launch: THIS }, late, FRESH);
    assert_eq!((gone.asks, gone.machine.left), (vec![Ask::Launch { launch: FRESH }], None));
    // It could not hear that it is to shut down.
    let told = run(&spec(|s| s.stop.message = true));
    assert!(matches!(step(&told.machine, Event::Stop, NOW, FRESH).asks.as_slice(), [Ask::Stop { .. }]));
    // Nothing is put in place of what is not started again.
    assert_eq!(deadline(&run(&spec(|s| s.restart.auto = false)).machine), None);
}

#[test]
fn whether_descendants_end_too_can_be_changed_while_it_runs() {
    let policy = spec(|_| {});
    let online = machine(&policy, State::Online { launch: THIS, pid: 1, since: Mono(0), healthy: true });
    let alone = || Event::Policy(spec(|s| s.stop.tree = false));
    assert_eq!(step(&online, alone(), NOW, FRESH).asks, [Ask::Tree { launch: THIS, tree: false }]);
    assert_eq!(step(&online, Event::Policy(policy.clone()), NOW, FRESH).asks, []);
    assert_eq!(step(&machine(&policy, State::Stopped), alone(), NOW, FRESH).asks, []);
}

#[test]
fn a_changed_timeout_holds_at_once() {
    let policy = spec(|_| {});
    let starting = machine(
        &policy,
        State::Starting { launch: THIS, pid: 1, since: Mono(0), awaits: Awaits::default(), late: false },
    );
    assert_eq!(deadline(&starting), Some(Mono(1_000)));
    let longer = step(&starting, Event::Policy(spec(|s| s.restart.min_uptime_ms = 7_000)), NOW, FRESH).machine;
    assert_eq!(deadline(&longer), Some(Mono(7_000)));
    assert_eq!(longer.launched, starting.launched);
}

#[test]
fn an_adopted_process_is_stopped_by_signal_for_its_channel_is_gone() {
    let policy = spec(|s| s.stop.message = true);
    let adopted = Machine::adopt(Arc::clone(&policy), Some(policy), THIS, 10, Mono(0), Mono(5));
    let asks = step(&adopted, Event::Stop, NOW, FRESH).asks;
    assert_eq!(asks, [Ask::Stop { launch: THIS, signal: crate::base::Signal::INT, tree: true }]);
}

/// All orders of stop, restart, exit, tree's end and time's passing: it always comes to rest as last asked for.
#[test]
fn every_order_of_events_ends_where_it_was_asked_to() {
    let policy = spec(|_| {});
    let kinds = 6_usize;
    for code in 0..kinds.pow(5) {
        let mut machine = machine(&policy, State::Online { launch: THIS, pid: 1, since: Mono(0), healthy: true });
        let mut wanted_up = true;
        let mut now = 10_000;
        let mut fresh = 1;
        let mut rest = code;
        let mut feed = |machine: &mut Machine, event: Event, now: u64| {
            fresh += 1;
            let at = Now { mono: Mono(now), wall: Wall(0) };
            *machine = step(machine, event, at, LaunchId(fresh)).machine;
            if let State::Launching { launch } | State::Stopping { launch, phase: StopPhase::Spawning, .. } =
                machine.state
            {
                *machine = step(machine, Event::Spawned { launch, pid: 2 }, at, LaunchId(u64::MAX)).machine;
            }
        };
        for _ in 0..5 {
            let launch = machine.state.launch().unwrap_or(OTHER);
            let event = match rest % kinds {
                0 => {
                    wanted_up = false;
                    Event::Stop
                }
                1 => {
                    wanted_up = true;
                    Event::Restart
                }
                2 => {
                    wanted_up = true;
                    Event::Start
                }
                3 => Event::Exited { launch, status: ExitStatus::Signal(9), left: false },
                4 => Event::TreeGone { launch },
                _ => {
                    now += 2_000;
                    Event::Tick
                }
            };
            rest /= kinds;
            feed(&mut machine, event, now);
        }
        for _ in 0..4 {
            now += 10_000;
            let event = match machine.state {
                State::Stopping { launch, .. } => Event::TreeGone { launch },
                _ => Event::Tick,
            };
            feed(&mut machine, event, now);
        }
        let up = matches!(machine.state, State::Online { .. });
        assert!(up == wanted_up || matches!(machine.state, State::Errored { .. }), "{code}: {machine:?}");
    }
}
