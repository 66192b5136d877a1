//! A daemon that dies anywhere in an apply, alone or with its keeper, and what the next makes of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, Instance, needs_python, procs};

/// `PMRUN_FAULT_RUNS=200 cargo test --test it -- faults` tries as many.
const RUNS: u64 = 30;
/// More than there are places in an apply of these: some come to its end.
const PLACES_MAX: u64 = 60;

/// Of it there is one at most, ever: it says so where another holds its lock.
const ONCE: &str =
    "exec 9>\"lock-$PMRUN_INSTANCE\"\nflock -n 9 || echo \"$PMRUN_INSTANCE\" >> twice\nexec sleep 1000\n";

/// The same numbers each time (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// An ecosystem of which anything may have changed but the first app.
fn ecosystem(dice: &mut Dice) -> (Value, BTreeMap<String, u64>) {
    let app = |name: &str, instances: u64, value: u64, needs: &[&str]| {
        json!({ "name": name, "script": "once.sh", "interpreter": "bash", "min_uptime": 10, "kill_timeout": 2000,
            "instances": instances, "exec_mode": "fork", "env": { "VALUE": value.to_string() }, "depends_on": needs })
    };
    let mut apps = vec![app("steady", 1, 0, &[])];
    let mut instances = BTreeMap::from([("steady".to_owned(), 1)]);
    for name in ["a", "b", "c"] {
        if dice.below(4) == 0 {
            continue;
        }
        let count = 1 + dice.below(3);
        let needs: &[&str] = if dice.below(2) == 0 { &["steady"] } else { &[] };
        apps.push(app(name, count, dice.below(3), needs));
        instances.insert(name.to_owned(), count);
    }
    (Value::from(apps), instances)
}

#[test]
fn a_daemon_that_dies_anywhere_in_an_apply_leaves_nothing_double_and_nothing_undone() {
    let runs = std::env::var("PMRUN_FAULT_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(RUNS);
    let mut home = Home::new();
    let fault = home.work.join("fault");
    home.set_env("PMRUN_FAULT", fault.to_str().expect("UTF-8"));
    home.write("once.sh", ONCE);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    home.apply(&ecosystem(&mut dice).0);
    let steady = home.pid("steady:0");
    let mut died = 0;
    for run in 0..runs {
        let (apps, wanted) = ecosystem(&mut dice);
        home.write_json("eco.json", &apps);
        let before = home.daemon().expect("a daemon");
        let places = 1 + dice.below(PLACES_MAX);
        let keeper = if dice.below(3) == 0 { " keeper" } else { "" };
        std::fs::write(&fault, format!("{places}{keeper}")).expect("write");
        // It may say that the daemon went away.
        let cut = home.run(&["apply", "eco.json"]);
        assert!(!cut.timed_out, "run {run}, place {places}{keeper}: {cut}");
        // Where it has not come to that place, it lives.
        std::fs::write(&fault, "0").expect("write");
        died += u64::from(!procs::alive(before));
        let said = |what: &str| format!("run {run}, place {places}{keeper}: {what}{cut}{}", home.daemon_log());
        let again = home.run(&["apply", "eco.json"]);
        assert_eq!(again.code, Some(0), "{}", said(&again.to_string()));
        let diff = home.run(&["diff", "eco.json"]);
        assert_eq!(diff.code, Some(0), "{}", said(&diff.to_string()));
        let runs_now: BTreeMap<String, usize> =
            home.marked().into_iter().map(|(instance, pids)| (instance, pids.len())).collect();
        let one_each =
            wanted.iter().flat_map(|(name, count)| (0..*count).map(move |slot| (format!("{name}:{slot}"), 1)));
        assert_eq!(runs_now, one_each.collect(), "{}", said("other processes than the file says"));
        assert_eq!(home.pid("steady:0"), steady, "{}", said("what did not change was touched"));
        let twice = std::fs::read_to_string(home.work.join("twice")).unwrap_or_default();
        assert_eq!(twice, "", "{}", said("there were two at once"));
        assert!(home.daemon().is_some() && home.keeper().is_some(), "{}", said("nobody looks after it"));
    }
    assert!(died * 3 > runs, "only {died} of {runs} runs came to their place");
}

/// Behind the end of a process and the start of the next there are fewer.
const PLACES_OF_AN_END: u64 = 24;

#[test]
fn who_ends_while_the_daemon_dies_is_known_by_its_end_and_started_once() {
    let mut home = Home::new();
    let fault = home.work.join("fault");
    home.set_env("PMRUN_FAULT", fault.to_str().expect("UTF-8"));
    home.write("once.sh", format!("echo \"$PMRUN_INSTANCE\" >> starts\n{ONCE}"));
    let app = |name: &str, again: bool| json!({ "name": name, "script": "once.sh", "interpreter": "bash", "min_uptime": 10, "autorestart": again });
    home.apply(&json!([app("steady", true), app("service", true), app("job", false)]));
    let steady = home.pid("steady:0");
    let mut died = 0;
    for place in 1..=PLACES_OF_AN_END {
        let signal = [Signal::USR1, Signal::USR2, Signal::TERM][usize::try_from(place % 3).expect("small")];
        let starts = || std::fs::read_to_string(home.work.join("starts")).expect("lines");
        let (before, started) = (home.list(), starts());
        let of = |all: &[Instance], name: &str| {
            all.iter().find(|one| one.name() == name).cloned().unwrap_or_else(|| panic!("no {name}"))
        };
        let (service, job) = (of(&before, "service"), of(&before, "job"));
        let daemon = home.daemon().expect("a daemon");
        std::fs::write(&fault, place.to_string()).expect("write");
        for one in [&service, &job] {
            procs::signal(one.pid().expect("it runs"), signal);
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        let after = loop {
            // One that has died soon after it was started is followed after a while, or when a command asks.
            if !procs::alive(daemon) {
                home.ok(&["start", "steady"]);
            }
            let now = home.list();
            let goes_on = |one: &Instance| one.state() == "online" && one.pid() != service.pid();
            if now.len() == 3 && goes_on(&of(&now, "service")) && of(&now, "job").state() == "errored" {
                break now;
            }
            assert!(Instant::now() < deadline, "place {place}: {now:#?}\n{}", home.daemon_log());
        };
        std::fs::write(&fault, "0").expect("write");
        died += u64::from(!procs::alive(daemon));
        let said = |what: &str| format!("place {place}: {what}{after:#?}\n{}", home.daemon_log());
        for name in ["service", "job"] {
            assert_eq!(of(&after, name).0["last_exit"], json!({ "signal": signal.as_raw() }), "{}", said(name));
        }
        assert_eq!(of(&after, "service").restarts(), service.restarts() + 1, "{}", said("counted otherwise"));
        assert_eq!(of(&after, "job").restarts(), job.restarts(), "{}", said("counted otherwise"));
        let fresh = starts().strip_prefix(&started).map(str::to_owned);
        assert_eq!(fresh.as_deref(), Some("service:0\n"), "{}", said("what was started"));
        let twice = std::fs::read_to_string(home.work.join("twice")).unwrap_or_default();
        assert_eq!(twice, "", "{}", said("there were two at once"));
        assert_eq!(home.pid("steady:0"), steady, "{}", said("what went on was touched"));
        // Earlier ends are not held against them.
        home.ok(&["restart", "service", "job"]);
    }
    assert!(died * 3 > PLACES_OF_AN_END, "only {died} of {PLACES_OF_AN_END} runs came to their place");
}

/// From a `reload` to where who comes is waited for there are fewer.
const PLACES_OF_A_RELIEF: u64 = 24;

/// Only where it may, it says that it is up.
const READY: &str = r"
import os, signal, socket
if os.path.exists('good'):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])
signal.pause()
";

#[test]
fn who_serves_is_not_touched_while_the_daemon_dies_with_another_on_its_way() {
    if !needs_python() {
        return;
    }
    let mut home = Home::new();
    let fault = home.work.join("fault");
    home.set_env("PMRUN_FAULT", fault.to_str().expect("UTF-8"));
    home.write("app.py", READY);
    home.write("good", "");
    let socket = format!("unix:{}", home.work.join("socket").display());
    home.apply(
        &json!([{ "name": "web", "script": "app.py", "interpreter": "python3", "listen": socket, "wait_ready": true,
        "listen_timeout": 500, "kill_timeout": 1000, "drain_timeout": 0, "min_uptime": 10 }]),
    );
    let mut died = 0;
    for place in 1..=PLACES_OF_A_RELIEF {
        // By turns who serves has the slot's one name and the other.
        home.ok(&["reload", "web"]);
        let serves = home.pid("web:0");
        let daemon = home.daemon().expect("a daemon");
        std::fs::remove_file(home.work.join("good")).expect("it is there");
        std::fs::write(&fault, place.to_string()).expect("write");
        let cut = home.run(&["reload", "web"]);
        assert!(!cut.timed_out && cut.code != Some(0), "place {place}: {cut}");
        std::fs::write(&fault, "0").expect("write");
        died += u64::from(!procs::alive(daemon));
        // One that has died soon after it was started is followed after a while, or when a command asks. Who comes may fail meanwhile.
        let _ = home.run(&["start", "web"]);
        let said = |what: &str| format!("place {place}: {what}: {cut}{}", home.daemon_log());
        assert_eq!(home.pid("web:0"), serves, "{}", said("another serves"));
        home.until("one process", |list| list.len() == 1 && list[0].beside().is_none());
        assert_eq!(home.pid("web:0"), serves, "{}", said("another serves in the end"));
        let marked: Vec<u32> = home.marked().into_values().flatten().collect();
        assert_eq!(marked, [serves], "{}", said("other processes"));
        home.write("good", "");
    }
    assert!(died * 3 > PLACES_OF_A_RELIEF, "only {died} of {PLACES_OF_A_RELIEF} runs came to their place");
}
