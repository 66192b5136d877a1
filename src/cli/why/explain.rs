//! From what is there and what happened to why.

use serde::Serialize;

use super::last_words::{self, LastWords};
use crate::base::{format_bytes, format_millis, format_span, shell_word};
use crate::rpc::wire::{AppView, InstanceView};
use crate::runtime::history::{Entry, What, Why};
use crate::spec::AppSpec;

/// How many events are told of: the latest, and what it began with.
const LATEST: usize = 8;
const FIRST: usize = 2;

/// Why an instance is as it is.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    pub name: String,
    pub slot: u32,
    pub state: String,
    pub pid: Option<u32>,
    /// Wall clock, milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// In words, for people.
    pub because: Vec<String>,
    /// The latest first, back to what somebody asked for.
    pub chain: Vec<Link>,
    pub stderr: Option<LastWords>,
    /// What those show, and what mends it, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What its libraries do not find in cluster mode, as far as it has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cautions: Vec<String>,
    /// The options that made it so.
    pub rules: Vec<Rule>,
    /// What would change it.
    pub commands: Vec<Advice>,
    /// Prints all that is known to have happened to it.
    pub events: String,
    /// Why what it depends on is as it is, where that is why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Self>,
    /// The apps that those are of.
    #[serde(skip)]
    pub led_by: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Link {
    #[serde(flatten)]
    pub entry: Entry,
    /// So many between this and the one before it in the list are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Rule {
    pub option: &'static str,
    pub value: String,
    /// Says where it is set; none where no file says it.
    pub place: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Advice {
    pub command: String,
    pub effect: &'static str,
}

/// `entries` are the app's, oldest first.
pub(super) fn explain(app: &AppView, view: &InstanceView, entries: &[Entry], now_ms: u64) -> Explanation {
    let is_own = |entry: &&Entry| entry.slot.is_none_or(|slot| slot == view.slot) && is_of_who_serves(entry, view);
    let own: Vec<&Entry> = entries.iter().filter(is_own).collect();
    let deciding = deciding(view, &own);
    let chain = chain(&own);
    let stderr = last_words::of(&own, chain.len(), view);
    Explanation {
        name: view.name.clone(),
        slot: view.slot,
        state: view.state.clone(),
        pid: view.pid,
        since_ms: since(view, &own).filter(|at| *at <= now_ms),
        because: because(view, deciding, &own, now_ms),
        stderr,
        remedy: None,
        cautions: Vec::new(),
        rules: rules(app, deciding, &chain),
        commands: commands(view),
        events: format!("pmrun events {}", shell_word(&label(view))),
        led_by: led_by(&app.spec, view, deciding),
        dependencies: Vec::new(),
        chain: shortened(chain),
    }
}

/// While one process relieved another, there were two: what happened to the one that went is not why the other is as it is.
fn is_of_who_serves(entry: &Entry, view: &InstanceView) -> bool {
    !entry.beside || view.pid.is_some_and(|pid| is_start_of(entry, pid))
}

/// What it depends on that made it what it is.
fn led_by(spec: &AppSpec, view: &InstanceView, deciding: Option<&Entry>) -> Vec<String> {
    let what = deciding.map(|entry| &entry.what);
    let mut said: Vec<&str> = match (what, what.and_then(What::why)) {
        (Some(What::Waiting { needs, .. }), _) | (_, Some(Why::Needs { needs })) => {
            needs.iter().map(String::as_str).collect()
        }
        _ => Vec::new(),
    };
    // What it waits for by now.
    said.extend(view.detail.as_deref().filter(|_| view.state == "waiting"));
    let is_back = |name: &String| matches!(what.and_then(What::why), Some(Why::Dependency { app }) if app == name);
    let is_said = |name: &String| said.iter().any(|text| text.contains(&format!("`{name}` to be ")));
    spec.depends_on.iter().filter(|name| is_said(name) || is_back(name)).cloned().collect()
}

fn label(view: &InstanceView) -> String {
    format!("{}:{}", view.name, view.slot)
}

fn is_start_of(entry: &Entry, pid: u32) -> bool {
    matches!(entry.what, What::Started { pid: of, .. } if of == pid)
}

/// What made it what it is: of what runs its start, else what brought it into its state.
fn deciding<'a>(view: &InstanceView, own: &[&'a Entry]) -> Option<&'a Entry> {
    let last = |wanted: &dyn Fn(&Entry) -> bool| own.iter().rev().find(|entry| wanted(entry)).copied();
    match (view.state.as_str(), view.pid) {
        ("online" | "starting", Some(pid)) => last(&|entry| is_start_of(entry, pid)),
        (state, _) => last(&|entry| entry.what.state().is_some()).filter(|entry| entry.what.state() == Some(state)),
    }
}

/// When it came into its state, and not only heard of it again.
fn since(view: &InstanceView, own: &[&Entry]) -> Option<u64> {
    let states = own.iter().rev().filter(|entry| entry.what.state().is_some());
    let same = states.take_while(|entry| entry.what.state() == Some(view.state.as_str()));
    let told = same.last().map(|entry| entry.at_ms);
    match view.state.as_str() {
        "online" => view.started_at_ms.or(told),
        _ => told,
    }
}

fn because(view: &InstanceView, deciding: Option<&Entry>, own: &[&Entry], now_ms: u64) -> Vec<String> {
    let mut because = Vec::new();
    let detail = view.detail.as_ref().filter(|detail| !detail.starts_with("restarted: "));
    let says_more = !matches!(view.state.as_str(), "errored" | "completed" | "waiting") || deciding.is_none();
    because.extend(detail.filter(|_| says_more).cloned());
    match deciding {
        Some(Entry { what: What::Waiting { for_ms: Some(ms), .. }, at_ms, .. }) => {
            let for_ms = Some(at_ms.saturating_add(*ms).saturating_sub(now_ms));
            because.push(What::Waiting { for_ms, needs: Vec::new() }.to_string());
            // Of what was asked to end, why it was says more.
            let is_why = |what: &What| match what {
                What::Exited { asked, .. } => !asked,
                What::Stopping { why, .. } => *why != Why::Remains,
                _ => false,
            };
            let ended = own.iter().rev().find(|entry| is_why(&entry.what));
            because.extend(ended.map(|entry| entry.what.to_string()));
        }
        // How long it is until then is known better now.
        Some(Entry { what: What::SpawnFailed { again_ms: Some(_), .. }, .. }) if detail.is_some() => {
            because.extend(detail.cloned());
        }
        Some(entry) => because.push(entry.what.to_string()),
        None if view.pid.is_some() => because.push("how it was started is not known any more".to_owned()),
        None if own.is_empty() && view.state == "stopped" => {
            because.push("it was never started, as far as is known".to_owned());
        }
        None => {}
    }
    if matches!(view.state.as_str(), "online" | "starting" | "waiting") {
        because.extend(crash_loop(own, now_ms));
    }
    let since = deciding.map_or(0, |entry| entry.number);
    let unrelieved = own.iter().rev().find(|entry| matches!(entry.what, What::Unrelieved { .. }));
    because.extend(unrelieved.filter(|entry| entry.number > since).map(|entry| entry.what.to_string()));
    because
}

/// Crashes in a row, as long as nobody has asked for anything, which make a loop of it.
const LOOP_CRASHES: usize = 3;
/// A run of this length is no part of a loop: the longest that the supervisor's own measure of one reaches, twice over, so
/// that one that is slower than what the backoff is for has its name here.
const LOOP_RUN_MS_MAX: u64 = 120_000;

/// That it crashes again and again, also where each run is long enough to be started again at once.
fn crash_loop(own: &[&Entry], now_ms: u64) -> Option<String> {
    let mut crashes: Vec<(u64, u64)> = Vec::new();
    for entry in own.iter().rev() {
        match &entry.what {
            What::Exited { status, after_ms: Some(after_ms), asked: false }
                if !status.is_success() && *after_ms < LOOP_RUN_MS_MAX =>
            {
                crashes.push((entry.at_ms, *after_ms));
            }
            // A job that fails each time has not been started by its end.
            What::Exited { .. } | What::Created { .. } | What::Started { why: Why::Schedule | Why::Cron, .. } => break,
            what if what.why().is_some_and(|why| !is_rule(why)) => break,
            _ => {}
        }
    }
    let ((last, _), (first, _)) = (crashes.first()?, crashes.last()?);
    if crashes.len() < LOOP_CRASHES || now_ms.saturating_sub(*last) > LOOP_RUN_MS_MAX {
        return None;
    }
    let longest = crashes.iter().map(|(_, after_ms)| *after_ms).max()?;
    Some(format!(
        "a crash loop: {} runs in a row crashed, within {}, the longest after {}",
        crashes.len(),
        format_span(now_ms.saturating_sub(*first)),
        format_span(longest),
    ))
}

/// Back to what somebody asked for; the latest first.
fn chain<'a>(own: &[&'a Entry]) -> Vec<&'a Entry> {
    let is_root = |entry: &&&Entry| match &entry.what {
        What::Created { .. } => true,
        What::Started { why, .. } | What::Stopped { why } => !is_rule(why),
        _ => false,
    };
    let latest: Vec<&'a Entry> = own.iter().rev().copied().collect();
    let Some(root) = latest.iter().position(|entry| is_root(&entry)) else { return latest };
    // What was done in the course of the same command belongs to it.
    let same = |entry: &Entry| match &entry.what {
        What::Exited { asked, .. } => *asked,
        What::Killed { .. } => true,
        what => what.why().is_some() && what.why() == latest[root].what.why(),
    };
    let more = latest[root + 1..].iter().take_while(|entry| same(entry)).count();
    latest[..=root + more].to_vec()
}

fn is_rule(why: &Why) -> bool {
    why.option().is_some() || matches!(why, Why::Remains | Why::Resume)
}

fn shortened(chain: Vec<&Entry>) -> Vec<Link> {
    let left_out = chain.len().saturating_sub(LATEST + FIRST);
    let link = |(place, entry): (usize, &Entry)| Link {
        entry: entry.clone(),
        left_out: if left_out > 0 && place == LATEST + left_out { left_out } else { 0 },
    };
    let is_shown = |place: usize| place < LATEST || place >= LATEST + left_out;
    chain.into_iter().enumerate().filter(|(place, _)| is_shown(*place)).map(link).collect()
}

/// The options that the state, and what led to it directly, go back to.
fn rules(app: &AppView, deciding: Option<&Entry>, chain: &[&Entry]) -> Vec<Rule> {
    let spec = &app.spec;
    let mut options: Vec<&'static str> = Vec::new();
    match deciding.map(|entry| &entry.what) {
        Some(What::GivenUp { .. }) if !spec.restart.auto => options.push("autorestart"),
        Some(What::GivenUp { .. }) => options.extend(["max_restarts", "min_uptime"]),
        Some(What::SpawnFailed { .. }) if spec.schedule.is_some() => options.push("schedule"),
        Some(What::SpawnFailed { .. }) => options.push("max_restarts"),
        Some(What::NotReady { .. }) if spec.readiness.log.is_some() => options.extend(["ready_log", "listen_timeout"]),
        Some(What::NotReady { .. }) if spec.readiness.wait_ready => options.push("listen_timeout"),
        Some(What::NotReady { .. } | What::Unhealthy { .. }) => options.push("health_check"),
        Some(What::Waiting { needs, .. }) if !needs.is_empty() => options.push("depends_on"),
        Some(What::Waiting { .. }) if spec.restart.backoff_ms > 0 => options.push("exp_backoff_restart_delay"),
        Some(What::Waiting { .. }) if spec.restart.delay_ms > 0 => options.push("restart_delay"),
        Some(What::Waiting { .. }) if spec.restart.auto => options.extend(["autorestart", "min_uptime"]),
        Some(What::Completed { .. }) if spec.restart.auto => options.push("stop_exit_codes"),
        Some(What::Completed { .. }) => options.push("autorestart"),
        Some(what) => options.extend(what.why().and_then(Why::option)),
        None => {}
    }
    if chain.iter().any(|entry| matches!(entry.what, What::Killed { .. })) {
        options.push("kill_timeout");
    }
    let name = shell_word(&spec.name);
    let place = |option| app.file.as_ref().map(|file| format!("pmrun explain {name}.{option} {}", shell_word(file)));
    options.into_iter().map(|option| Rule { option, value: value(spec, option), place: place(option) }).collect()
}

fn value(spec: &AppSpec, option: &str) -> String {
    let (restart, stop) = (&spec.restart, &spec.stop);
    match option {
        "autorestart" => restart.auto.to_string(),
        "max_restarts" => restart.max_restarts.to_string(),
        "min_uptime" => format_millis(restart.min_uptime_ms),
        "restart_delay" => format_millis(restart.delay_ms),
        "exp_backoff_restart_delay" => format_millis(restart.backoff_ms),
        "stop_exit_codes" => format!("{:?}", restart.stop_exit_codes),
        "max_age" => format_millis(restart.max_age_ms),
        "kill_timeout" => format_millis(stop.timeout_ms),
        "listen_timeout" => format_millis(spec.readiness.timeout_ms),
        "watch" => spec.watch.enabled.to_string(),
        "schedule" => spec.schedule.clone().unwrap_or_default(),
        "cron_restart" => spec.cron_restart.clone().unwrap_or_default(),
        "max_memory_restart" => spec.max_memory_restart.map(format_bytes).unwrap_or_default(),
        "depends_on" => spec.depends_on.join(", "),
        "health_check" => spec.health_check.as_ref().map_or_else(String::new, |check| {
            format!(
                "action {}, interval {}, {} failures in a row count",
                check.action.word(),
                format_millis(check.interval_ms),
                check.unhealthy_threshold
            )
        }),
        _ => String::new(),
    }
}

/// What would change its state, as it has to be typed.
fn commands(view: &InstanceView) -> Vec<Advice> {
    let label = shell_word(&label(view));
    let advice = |verb: &str, effect| vec![Advice { command: format!("pmrun {verb} {label}"), effect }];
    match view.state.as_str() {
        "errored" if view.pid.is_some() => advice("restart", "starts it anew"),
        "errored" => advice("restart", "tries again, and holds nothing against it"),
        "unhealthy" => advice("restart", "starts it anew"),
        "completed" => advice("start", "runs it again"),
        "waiting" if view.next_run_at_ms.is_some() => advice("restart", "runs it now"),
        "waiting" => advice("start", "does not wait"),
        "stopped" if view.detail.is_some() => {
            vec![Advice { command: "pmrun resurrect".to_owned(), effect: "starts what should run" }]
        }
        "stopped" => advice("start", "starts it"),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ExitStatus, InstanceId, Now, Wall};

    const CRASH: ExitStatus = ExitStatus::Code(1);

    fn command(text: &str) -> Why {
        Why::Command { command: text.to_owned(), pid: 7, uid: None }
    }

    fn started(pid: u32, why: Why) -> What {
        What::Started { pid, restarts: 0, why, error_log: None, error_log_offset: 0 }
    }

    /// A second apart, from 1 on.
    fn history(all: Vec<What>) -> Vec<Entry> {
        let entry = |(at, what)| {
            let now = Now { wall: Wall(at * 1_000), ..Now::default() };
            Entry { number: at, ..Entry::of_instance(&InstanceId::new("api", 0), what, now) }
        };
        (1..).zip(all).map(entry).collect()
    }

    fn told(state: &str, pid: Option<u32>, change: impl FnOnce(&mut AppSpec), entries: &[Entry]) -> Explanation {
        let mut view = InstanceView::sample(0, "api", 0);
        (view.state, view.pid) = (state.to_owned(), pid);
        let mut spec = AppSpec::new("api", "/x", "/");
        change(&mut spec);
        let app = AppView { spec, file: Some("/e c.json".to_owned()), ambient: None, instances: Vec::new() };
        explain(&app, &view, entries, 100_000)
    }

    fn numbers(one: &Explanation) -> Vec<u64> {
        one.chain.iter().map(|link| link.entry.number).collect()
    }

    #[test]
    fn what_a_daemon_has_started_again_leads_back_over_its_end() {
        let entries = history(vec![
            started(1, command("start of `api`")),
            What::Exited { status: ExitStatus::Unknown, after_ms: None, asked: false },
            started(2, Why::Resume),
        ]);
        assert_eq!(numbers(&told("online", Some(2), |_| (), &entries)), [3, 2, 1]);
    }

    #[test]
    fn a_restart_leads_back_to_what_somebody_asked_for() {
        let entries = history(vec![
            started(1, command("start of `api`")),
            What::Stopping { why: command("restart of `api`"), remains: false },
            What::Exited { status: ExitStatus::Signal(15), after_ms: Some(9), asked: true },
            started(2, command("restart of `api`")),
            What::Online { after_ms: 3 },
            What::Exited { status: CRASH, after_ms: Some(9), asked: false },
            started(3, Why::Exit { status: CRASH, after_ms: 9 }),
            What::Online { after_ms: 3 },
        ]);
        let one = told("online", Some(3), |_| (), &entries);
        assert_eq!(one.because, ["started (pid 3): it had ended after 9ms: exit code 1 (autorestart)"]);
        assert_eq!(numbers(&one), [8, 7, 6, 5, 4, 3, 2]);
        assert_eq!(one.rules[0].option, "autorestart");
        assert_eq!(one.rules[0].place.as_deref(), Some("pmrun explain api.autorestart '/e c.json'"));
        assert_eq!(one.commands, []);
        let one = told("online", Some(4), |_| (), &entries);
        assert_eq!(one.because, ["how it was started is not known any more"]);
    }

    #[test]
    fn what_waits_says_why_its_last_process_ended() {
        let sick = Why::Unhealthy { reason: "refused".to_owned() };
        let entries = history(vec![
            started(1, command("start of `api`")),
            What::Stopping { why: sick, remains: false },
            What::Exited { status: ExitStatus::Signal(2), after_ms: Some(9), asked: true },
            What::Waiting { for_ms: Some(100_000), needs: vec![] },
        ]);
        let one = told("waiting", None, |_| (), &entries);
        assert_eq!(one.because, ["starts again in 4.0s", "asked to stop: it was unhealthy: refused (health_check)"]);
        let entries = history(vec![
            started(1, command("start of `api`")),
            What::Exited { status: CRASH, after_ms: Some(9), asked: false },
            What::Stopping { why: Why::Remains, remains: false },
            What::Waiting { for_ms: Some(100_000), needs: vec![] },
        ]);
        assert_eq!(told("waiting", None, |_| (), &entries).because[1], "ended after 9ms: exit code 1");
    }

    #[test]
    fn a_slow_crash_loop_is_called_one() {
        let crash = |after_ms| What::Exited { status: CRASH, after_ms: Some(after_ms), asked: false };
        let again = |pid| started(pid, Why::Exit { status: CRASH, after_ms: 9 });
        let runs = |first: Vec<What>, runs: &[u64]| {
            let crashes = (2..).zip(runs).flat_map(|(pid, ms)| [crash(*ms), again(pid)]);
            history(first.into_iter().chain(crashes).collect())
        };
        let begin = || vec![started(1, command("start of `api`"))];
        let said = |entries: &[Entry], pid| told("online", Some(pid), |_| (), entries).because.get(1).cloned();
        let loops = said(&runs(begin(), &[20_000, 90_000, 30_000]), 4);
        let want = "a crash loop: 3 runs in a row crashed, within 1m 38s, the longest after 1m 30s";
        assert_eq!(loops.as_deref(), Some(want));
        assert_eq!(said(&runs(begin(), &[20_000, 90_000]), 3), None, "twice is bad luck");
        assert_eq!(said(&runs(begin(), &[20_000, 900_000, 30_000]), 4), None, "one was long");
        let asked = vec![
            started(1, command("start of `api`")),
            crash(9),
            again(9),
            crash(9),
            started(1, command("restart of `api`")),
        ];
        assert_eq!(said(&runs(asked, &[20_000]), 2), None, "somebody asked in between");
    }

    #[test]
    fn what_it_depends_on_is_named_where_that_is_why() {
        let on_both = |spec: &mut AppSpec| spec.depends_on = vec!["db".to_owned(), "cache".to_owned()];
        let ready = |name: &str| vec![format!("`{name}` to be ready")];
        let by = |what, state: &str| told(state, Some(1), on_both, &history(vec![what])).led_by;
        assert_eq!(by(What::Waiting { for_ms: None, needs: ready("db") }, "waiting"), ["db"]);
        assert_eq!(by(What::Waiting { for_ms: None, needs: ready("cache2") }, "waiting"), [""; 0]);
        assert_eq!(
            by(What::Stopping { why: Why::Needs { needs: ready("cache") }, remains: false }, "stopping"),
            ["cache"]
        );
        assert_eq!(by(started(1, Why::Needs { needs: ready("db") }), "online"), ["db"]);
        assert_eq!(by(started(1, Why::Dependency { app: "db".to_owned() }), "online"), ["db"]);
        assert_eq!(by(started(1, Why::Cron), "online"), [""; 0]);
    }

    #[test]
    fn a_long_chain_is_told_by_its_ends() {
        let mut all = vec![started(1, command("start of `api`"))];
        for pid in 2..30 {
            all.push(What::Exited { status: CRASH, after_ms: Some(9), asked: false });
            all.push(started(pid, Why::Exit { status: CRASH, after_ms: 9 }));
        }
        all.push(What::GivenUp { reason: "it ended too soon 16 times (max_restarts), last: exit code 1".to_owned() });
        let one = told("errored", None, |_| (), &history(all));
        assert_eq!(numbers(&one), [58, 57, 56, 55, 54, 53, 52, 51, 2, 1]);
        assert_eq!(one.chain[8].left_out, 48);
        assert_eq!(one.since_ms, Some(58_000));
        assert_eq!(one.rules.iter().map(|rule| rule.option).collect::<Vec<_>>(), ["max_restarts", "min_uptime"]);
        assert_eq!(one.commands[0].command, "pmrun restart api:0");
    }

    #[test]
    fn each_state_says_why_by_which_rule_and_what_would_change_it() {
        type Change = fn(&mut AppSpec);
        let job: Change = |spec| spec.restart.auto = false;
        let slow: Change = |spec| spec.restart.delay_ms = 3_000;
        let none: Change = |_| ();
        let needs = || What::Waiting { for_ms: None, needs: vec!["`db` to be ready".to_owned()] };
        let failed = What::SpawnFailed { reason: "no such file".to_owned(), again_ms: None };
        let late = What::NotReady { reason: "no health check passed".to_owned() };
        let table = [
            (
                "stopped",
                None,
                What::Stopped { why: command("stop of `api`") },
                none,
                "stopped: stop of `api` (pid 7)",
                None,
                Some("start"),
            ),
            (
                "completed",
                None,
                What::Completed { status: ExitStatus::Code(0) },
                job,
                "completed: exit code 0",
                Some("autorestart"),
                Some("start"),
            ),
            (
                "waiting",
                None,
                What::Waiting { for_ms: Some(3_000), needs: vec![] },
                slow,
                "starts again in 0ms",
                Some("restart_delay"),
                Some("start"),
            ),
            ("waiting", None, needs(), none, "waits for `db` to be ready", Some("depends_on"), Some("start")),
            ("errored", None, failed, none, "cannot be started: no such file", Some("max_restarts"), Some("restart")),
            (
                "errored",
                Some(1),
                late,
                none,
                "errored: no health check passed; it goes on running",
                Some("health_check"),
                Some("restart"),
            ),
            (
                "unhealthy",
                Some(1),
                What::Unhealthy { reason: "refused".into() },
                none,
                "unhealthy: refused",
                Some("health_check"),
                Some("restart"),
            ),
            (
                "stopping",
                Some(1),
                What::Stopping { why: Why::Cron, remains: false },
                none,
                "asked to stop: its time had come (cron_restart)",
                Some("cron_restart"),
                None,
            ),
        ];
        for (state, pid, what, change, because, rule, verb) in table {
            let one = told(state, pid, change, &history(vec![started(1, command("start of `api`")), what]));
            assert_eq!(one.because, [because]);
            assert_eq!(one.rules.first().map(|rule| rule.option), rule, "{because}");
            let command = one.commands.first().map(|advice| advice.command.clone());
            assert_eq!(command, verb.map(|verb| format!("pmrun {verb} api:0")), "{because}");
            let want = if state == "stopped" { vec![2] } else { vec![2, 1] };
            assert_eq!((numbers(&one), one.since_ms), (want, Some(2_000)), "{because}");
        }
        let one = told("stopped", None, none, &[]);
        assert_eq!(one.because, ["it was never started, as far as is known"]);
    }
}
