//! How a command that changes something says how it goes.

use std::collections::BTreeMap;
use std::path::Path;

use super::exchange::{Cancelled, Outcome};
use super::exit::Exit;
use super::terminal::{Colour, Terminal, counted, harmless, paint};
use super::traps;
use crate::logs::Tail;
use crate::rpc::wire::{Failure, Progress, ProgressKind};

/// How many failed instances are shown with their last words.
const DETAILED_MAX: usize = 10;
const LAST_LINES: usize = 10;
/// Lines that pass through pmrun arrive a moment later: so often, and so long, it is looked again for the first ones.
const LOOKS_MAX: u32 = 10;
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);
/// How many names are listed.
const LISTED_MAX: usize = 12;
/// Bytes of a line in an excerpt; `pmrun logs` shows it whole.
const EXCERPT_LINE_MAX: usize = 2_000;

/// What last happened to each app.
#[derive(Debug, Default)]
pub(super) struct Tally {
    apps: BTreeMap<String, Last>,
    /// Slots that were stopped, by app.
    stopped: BTreeMap<String, usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Up,
    Created,
    Renamed,
    Updated,
    /// Nobody waited for what came of it.
    Starting,
    Stopping,
    Stopped,
    Deleted,
}

impl Tally {
    pub(super) fn count(&mut self, event: &Progress) {
        if event.what == ProgressKind::Stopped {
            *self.stopped.entry(event.app.clone()).or_default() += 1;
        }
        let last = match event.what {
            ProgressKind::Up { .. } => Last::Up,
            ProgressKind::Created => Last::Created,
            ProgressKind::Renamed { .. } => Last::Renamed,
            ProgressKind::Updated => Last::Updated,
            ProgressKind::Stopped => Last::Stopped,
            ProgressKind::Deleted => Last::Deleted,
            ProgressKind::Starting { .. } => Last::Starting,
            ProgressKind::Stopping => Last::Stopping,
            ProgressKind::Failed { .. } | ProgressKind::Waiting { .. } | ProgressKind::Skipped { .. } => return,
        };
        let known = self.apps.entry(event.app.clone()).or_insert(last);
        // An app that is scaled down or renamed while others of its instances came up is still one that came up.
        let of_others = [Last::Stopped, Last::Renamed, Last::Updated, Last::Starting, Last::Stopping];
        if !(*known == Last::Up && of_others.contains(&last)) {
            *known = last;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }

    /// `3 apps up, 1 deleted`; nothing when nothing happened. What the verb says is not said twice.
    fn text(&self, verb: &str) -> Option<String> {
        let parts = [
            (Last::Up, "up"),
            (Last::Created, "created"),
            (Last::Renamed, "renamed"),
            (Last::Updated, "updated"),
            (Last::Starting, "starting"),
            (Last::Stopping, "stopping"),
            (Last::Stopped, "stopped"),
            (Last::Deleted, "deleted"),
        ];
        let apps = |last| self.apps.iter().filter(move |(_, known)| **known == last);
        let counts = parts.map(|(last, word)| (apps(last).count(), word)).into_iter().filter(|(count, _)| *count > 0);
        if verb == "deleted" && apps(Last::Stopped).next().is_some() {
            // Of an app that is still there.
            let slots = apps(Last::Stopped).filter_map(|(app, _)| self.stopped.get(app)).sum();
            let whole = apps(Last::Deleted).count();
            let whole = (whole > 0).then(|| counted(whole, "app"));
            return Some(whole.into_iter().chain([counted(slots, "instance")]).collect::<Vec<_>>().join(", "));
        }
        let words: Vec<String> = counts
            .enumerate()
            .map(|(at, (count, word))| match at {
                // It is scaled down and goes on with the rest.
                _ if word == "stopped" && matches!(verb, "applied" | "scaled") => {
                    format!("{} stopped", counted(self.stopped.values().sum(), "instance"))
                }
                0 if word == verb => counted(count, "app"),
                0 => format!("{} {word}", counted(count, "app")),
                _ => format!("{count} {word}"),
            })
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// The last line: `applied: 3 apps up in 1.2s`.
pub(super) fn summary(verb: &str, touched: usize, tally: &Tally, ms: u64) -> String {
    match tally.text(verb) {
        Some(what) => format!("{verb}: {what} in {}", seconds(ms)),
        None if touched == 0 => "nothing to do".to_owned(),
        None => format!("{verb}: {} in {}", counted(touched, "app"), seconds(ms)),
    }
}

pub(super) fn line(event: &Progress, colour: bool) -> String {
    let (hue, what) = words(&event.what);
    format!("{} {}", subject(&event.app, event.slot), paint(colour, hue, &what))
}

/// What is said of an event.
pub(super) fn words(what: &ProgressKind) -> (Colour, String) {
    match what {
        ProgressKind::Starting { pid } => (Colour::Dim, format!("starting (pid {pid})")),
        ProgressKind::Up { after_ms } => (Colour::Green, format!("up after {}", seconds(*after_ms))),
        ProgressKind::Stopping => (Colour::Dim, "stopping".to_owned()),
        ProgressKind::Stopped => (Colour::Yellow, "stopped".to_owned()),
        ProgressKind::Updated => (Colour::Green, "updated".to_owned()),
        ProgressKind::Created => (Colour::Green, "created, not started".to_owned()),
        ProgressKind::Renamed { from } => (Colour::Green, format!("renamed from {}", harmless(from.as_bytes(), false))),
        ProgressKind::Deleted => (Colour::Yellow, "deleted".to_owned()),
        ProgressKind::Failed { reason } => (Colour::Red, format!("failed: {}", harmless(reason.as_bytes(), false))),
        ProgressKind::Waiting { needs } => (Colour::Dim, format!("waits for {}", harmless(needs.as_bytes(), false))),
        ProgressKind::Skipped { reason } => {
            (Colour::Yellow, format!("not begun: {}", harmless(reason.as_bytes(), false)))
        }
    }
}

pub(super) fn waiting(holder: &str, pid: u32, for_ms: u64) -> String {
    format!("waiting for {}", at_work(holder, pid, for_ms))
}

pub(super) fn at_work(holder: &str, pid: u32, for_ms: u64) -> String {
    let holder = harmless(holder.as_bytes(), false);
    // The daemon itself, right after it was started.
    let who = if pid == 0 { holder } else { format!("{holder} (pid {pid})") };
    format!("{who}, at work for {}", seconds(for_ms))
}

/// What became of a command that was taken back.
pub(super) fn interrupted(outcome: &Outcome, cancelled: &Cancelled) -> String {
    let word = if cancelled.exit == Exit::Terminated { "terminated" } else { "interrupted" };
    let done = outcome.tally.text("").unwrap_or_else(|| "nothing was done".to_owned());
    // What is restarted with what it depends on is so as it was.
    let goes_on =
        |app: &str| cancelled.going_on.iter().any(|name| name.rsplit_once(':').is_some_and(|(of, _)| of == app));
    let of = |app: &String| if goes_on(app) { format!("what is new of {app}") } else { app.clone() };
    let not_begun = cancelled.not_begun.iter().map(of).collect();
    let rest = [("goes on", &cancelled.going_on), ("not begun", &not_begun)];
    let rest = rest.into_iter().filter(|(_, names)| !names.is_empty());
    rest.fold(format!("{word} after {}: {done}", seconds(outcome.ms)), |text, (what, names)| {
        format!("{text}\n  {what}: {}", listed(names))
    })
}

/// How to go on after that.
pub(super) fn how_on(cancelled: &Cancelled) -> &'static str {
    match (cancelled.going_on.is_empty(), cancelled.not_begun.is_empty()) {
        (false, true) => "what goes on is brought to its end by the daemon; `pmrun list` shows what runs",
        (false, false) => {
            "what goes on is brought to its end by the daemon; `pmrun diff` shows what is left, `pmrun list` what runs"
        }
        (true, false) => "`pmrun diff` shows what is left, `pmrun list` what runs",
        (true, true) => "nothing of it was left to do; `pmrun list` shows what runs",
    }
}

fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(LISTED_MAX).map(|name| harmless(name.as_bytes(), false)).collect();
    let more = names.len().saturating_sub(LISTED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

/// What went wrong with each instance, with the last of what it wrote to stderr since it was started.
pub(super) fn failures(failed: &[Failure], terminal: &mut Terminal) {
    let mut looks = LOOKS_MAX;
    for (at, failure) in failed.iter().enumerate() {
        let mark = paint(terminal.colour_err, Colour::Red, "error:");
        let name = subject(&failure.app, failure.slot);
        let what = if failure.skipped { "was not begun" } else { "failed" };
        terminal.say(format!("{mark} `{name}` {what}: {}", harmless(failure.reason.as_bytes(), false)));
        if at >= DETAILED_MAX {
            continue;
        }
        // What could not even be started has written nothing.
        let mut words = vec![failure.reason.clone()];
        if let Some(path) = &failure.error_log {
            let mut lines = excerpt(Path::new(path), failure.error_log_offset, terminal);
            while lines.is_empty() && looks > 0 {
                looks -= 1;
                std::thread::sleep(LOOK_EVERY);
                lines = excerpt(Path::new(path), failure.error_log_offset, terminal);
            }
            words.extend(lines);
        }
        if let Some(remedy) = traps::seen(&failure.app, &words) {
            terminal.say(format!("  hint: {}", harmless(remedy.as_bytes(), false)));
        }
    }
}

/// What was shown.
fn excerpt(path: &Path, offset: u64, terminal: &mut Terminal) -> Vec<String> {
    let mut lines = Vec::new();
    // A file that cannot be read says nothing about why the app failed.
    let Ok(mut tail) = Tail::open(path, LAST_LINES, offset) else { return lines };
    while let Ok(Some(line)) = tail.next_line() {
        if lines.is_empty() {
            terminal.say(format!("  the last lines of {}:", path.display()));
        }
        let line = harmless(&line.bytes[..line.bytes.len().min(EXCERPT_LINE_MAX)], false);
        terminal.say(format!("  | {line}"));
        lines.push(line);
    }
    lines
}

/// `api:0`, or `api` where the whole app is meant.
pub(super) fn subject(app: &str, slot: Option<u32>) -> String {
    let app = harmless(app.as_bytes(), false);
    slot.map_or_else(|| app.clone(), |slot| format!("{app}:{slot}"))
}

/// `0.3s`, `1.0s`, `75.2s`: one form for all, so that lines can be compared at a glance.
pub(super) fn seconds(ms: u64) -> String {
    let tenths = (ms + 50) / 100;
    format!("{}.{}s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(app: &str, slot: Option<u32>, what: ProgressKind) -> Progress {
        Progress { app: app.to_owned(), slot, what }
    }

    #[test]
    fn each_event_is_one_plain_line() {
        let table = [
            (event("api", Some(0), ProgressKind::Starting { pid: 123 }), "api:0 starting (pid 123)"),
            (event("api", Some(0), ProgressKind::Up { after_ms: 1_004 }), "api:0 up after 1.0s"),
            (event("api", Some(1), ProgressKind::Stopping), "api:1 stopping"),
            (event("api", Some(1), ProgressKind::Stopped), "api:1 stopped"),
            (event("api", None, ProgressKind::Updated), "api updated"),
            (event("api", None, ProgressKind::Renamed { from: "old".into() }), "api renamed from old"),
            (event("api", None, ProgressKind::Deleted), "api deleted"),
            (event("api", Some(0), ProgressKind::Failed { reason: "exit code 1".into() }), "api:0 failed: exit code 1"),
            (
                event("web", None, ProgressKind::Skipped { reason: "`api` failed".into() }),
                "web not begun: `api` failed",
            ),
        ];
        for (event, want) in table {
            assert_eq!(line(&event, false), want);
        }
        let up = event("api", Some(0), ProgressKind::Up { after_ms: 40 });
        assert_eq!(line(&up, true), "api:0 \x1b[32mup after 0.0s\x1b[0m");
    }

    #[test]
    fn the_last_line_counts_apps_by_what_became_of_them() {
        let mut tally = Tally::default();
        assert_eq!(summary("applied", 0, &tally, 5), "nothing to do");
        assert_eq!(summary("applied", 2, &tally, 5), "applied: 2 apps in 0.0s");
        let events = [
            event("api", Some(0), ProgressKind::Stopped),
            event("api", Some(0), ProgressKind::Up { after_ms: 1 }),
            event("api", Some(1), ProgressKind::Stopped),
            event("old", Some(0), ProgressKind::Stopped),
            event("old", None, ProgressKind::Deleted),
            event("cron", None, ProgressKind::Updated),
            event("job", None, ProgressKind::Created),
            event("edge", None, ProgressKind::Renamed { from: "gateway".into() }),
            event("bad", Some(0), ProgressKind::Failed { reason: String::new() }),
        ];
        for event in &events {
            tally.count(event);
        }
        assert_eq!(
            summary("applied", 4, &tally, 1_240),
            "applied: 1 app up, 1 created, 1 renamed, 1 updated, 1 deleted in 1.2s"
        );

        let mut deleted = Tally::default();
        deleted.count(&event("api", Some(1), ProgressKind::Stopped));
        assert_eq!(summary("deleted", 1, &deleted, 90), "deleted: 1 instance in 0.1s");
        deleted.count(&event("web", None, ProgressKind::Deleted));
        assert_eq!(summary("deleted", 2, &deleted, 90), "deleted: 1 app, 1 instance in 0.1s");

        let mut stopped = Tally::default();
        stopped.count(&event("api", Some(0), ProgressKind::Stopped));
        stopped.count(&event("web", Some(0), ProgressKind::Stopped));
        assert_eq!(summary("stopped", 2, &stopped, 90), "stopped: 2 apps in 0.1s");
    }

    #[test]
    fn waiting_says_for_whom_and_how_long() {
        assert_eq!(waiting("apply of `shop`", 123, 3_400), "waiting for apply of `shop` (pid 123), at work for 3.4s");
    }

    #[test]
    fn an_interruption_says_what_was_done_what_goes_on_and_what_was_not_begun() {
        let mut tally = Tally::default();
        tally.count(&event("api", Some(0), ProgressKind::Up { after_ms: 1 }));
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let outcome =
            |tally| Outcome { touched: 3, failed: vec![], tally, ms: 1_240, cancelled: None, went_back: None };
        let cancelled =
            Cancelled { exit: Exit::Interrupted, going_on: names(&["web:0"]), not_begun: names(&["a", "b"]) };
        let want = "interrupted after 1.2s: 1 app up\n  goes on: web:0\n  not begun: a, b";
        assert_eq!(interrupted(&outcome(tally), &cancelled), want);
        // What was begun was done, though nobody waits for its end.
        for (what, word) in [(ProgressKind::Stopping, "stopping"), (ProgressKind::Starting { pid: 7 }, "starting")] {
            let mut tally = Tally::default();
            tally.count(&event("api", Some(0), what));
            let want = format!("interrupted after 1.2s: 1 app {word}\n  goes on: web:0\n  not begun: a, b");
            assert_eq!(interrupted(&outcome(tally), &cancelled), want);
        }
        // What goes with what was restarted does so in its old version.
        let cancelled =
            Cancelled { exit: Exit::Interrupted, going_on: names(&["db:0", "web:0"]), not_begun: names(&["a", "web"]) };
        let said = interrupted(&outcome(Tally::default()), &cancelled);
        assert!(said.ends_with("\n  goes on: db:0, web:0\n  not begun: a, what is new of web"), "{said}");
        let many: Vec<String> = (0..15).map(|at| format!("a{at}")).collect();
        let cancelled = Cancelled { exit: Exit::Terminated, going_on: vec![], not_begun: many };
        let said = interrupted(&outcome(Tally::default()), &cancelled);
        assert!(said.starts_with("terminated after 1.2s: nothing was done\n  not begun: a0, a1, "), "{said}");
        assert!(said.ends_with(", a11 and 3 more"), "{said}");
        // Nothing goes on where nothing does.
        for (going_on, not_begun, want) in
            [(true, true, true), (true, false, true), (false, true, false), (false, false, false)]
        {
            let some = |any: bool| names(if any { &["a"] } else { &[] });
            let one = Cancelled { exit: Exit::Interrupted, going_on: some(going_on), not_begun: some(not_begun) };
            assert_eq!(how_on(&one).contains("what goes on"), want);
            assert_eq!(how_on(&one).contains("what is left"), not_begun);
        }
    }
}
