//! What a person sees while a command works, as lines of text. Knows neither a terminal nor a clock.

use std::collections::BTreeMap;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::progress::{seconds, subject, waiting, words};
use super::terminal::{Colour, paint};
use crate::rpc::wire::{Progress, ProgressKind};

/// More is not read while it changes.
const LINES_MAX: usize = 24;

/// Everything that a command touches, in the order of the plan or of what happened, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Board {
    rows: Vec<Row>,
    /// By app.
    places: BTreeMap<String, Vec<usize>>,
    waiting: Option<Waiting>,
}

/// Another command that has to end before this begins.
#[derive(Debug)]
struct Waiting {
    holder: String,
    pid: u32,
    /// How long it had been at work, and when that was.
    for_ms: u64,
    at_ms: u64,
}

#[derive(Debug)]
struct Row {
    slot: Option<u32>,
    name: String,
    stage: Stage,
    hue: Colour,
    text: String,
    since_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Pending,
    InFlight,
    Done,
    Bad,
}

/// The place that there is, and what may be written there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub columns: usize,
    pub rows: usize,
    pub colour: bool,
}

impl Board {
    /// Another command is at work.
    pub(super) fn waits(&mut self, holder: &str, pid: u32, for_ms: u64, now_ms: u64) {
        self.waiting = Some(Waiting { holder: holder.to_owned(), pid, for_ms, at_ms: now_ms });
    }

    /// It will be touched. Without slots: as a whole.
    pub(super) fn expect(&mut self, app: &str, slots: impl IntoIterator<Item = u32>) {
        self.waiting = None;
        for slot in slots {
            self.add(app, Some(slot));
        }
        if !self.places.contains_key(app) {
            self.add(app, None);
        }
    }

    /// Something happened.
    pub(super) fn note(&mut self, event: &Progress, now_ms: u64) {
        self.waiting = None;
        let known = self.places.get(&event.app).into_iter().flatten().copied();
        let mut meant: Vec<usize> =
            known.filter(|at| event.slot.is_none() || self.rows[*at].slot == event.slot).collect();
        if meant.is_empty() {
            meant.push(self.add(&event.app, event.slot));
        }
        let (hue, text) = words(&event.what);
        let stage = stage(&event.what);
        for at in meant {
            let row = &mut self.rows[at];
            if row.stage != Stage::InFlight {
                row.since_ms = now_ms;
            }
            (row.stage, row.hue) = (stage, hue);
            row.text.clone_from(&text);
        }
    }

    /// As it stands now. Never as high as the terminal, and no line as wide: neither scrolls or wraps.
    pub(super) fn frame(&self, now_ms: u64, style: Style) -> Vec<String> {
        let room = style.rows.saturating_sub(1).clamp(1, LINES_MAX);
        if let Some(Waiting { holder, pid, for_ms, at_ms }) = &self.waiting {
            let line = waiting(holder, *pid, for_ms + now_ms.saturating_sub(*at_ms));
            return vec![paint(style.colour, Colour::Dim, &fit(&line, style.columns))];
        }
        if self.rows.len() <= room {
            return self.lines(self.rows.iter().collect(), Some(now_ms), style);
        }
        let of = |stage| self.rows.iter().filter(move |row| row.stage == stage);
        let shown: Vec<&Row> = of(Stage::Bad).chain(of(Stage::InFlight)).collect();
        let mut lines = vec![paint(style.colour, Colour::Bold, &fit(&self.counts(), style.columns))];
        let (room, all) = (room - 1, shown.len());
        let fits = if all > room { room.saturating_sub(1) } else { all };
        lines.extend(self.lines(shown.into_iter().take(fits).collect(), Some(now_ms), style));
        if all > fits && room > 0 {
            lines.push(fit(&format!("and {} more", all - fits), style.columns));
        }
        lines
    }

    /// What stays when it is over: every line where they fit, else what went wrong.
    pub(super) fn last(&self, style: Style) -> Vec<String> {
        let all = self.rows.len() <= style.rows.saturating_sub(1).clamp(1, LINES_MAX);
        let wanted = self.rows.iter().filter(|row| all || row.stage == Stage::Bad);
        self.lines(wanted.collect(), None, style)
    }

    fn add(&mut self, app: &str, slot: Option<u32>) -> usize {
        let row = Row {
            slot,
            name: subject(app, slot),
            stage: Stage::Pending,
            hue: Colour::Dim,
            text: "waiting".to_owned(),
            since_ms: 0,
        };
        self.places.entry(app.to_owned()).or_default().push(self.rows.len());
        self.rows.push(row);
        self.rows.len() - 1
    }

    fn counts(&self) -> String {
        let count = |stage| self.rows.iter().filter(|row| row.stage == stage).count();
        let rest = [(Stage::Bad, "failed"), (Stage::InFlight, "in flight"), (Stage::Pending, "waiting")];
        let rest = rest.map(|(stage, word)| (count(stage), word)).into_iter().filter(|(count, _)| *count > 0);
        let done = format!("{} of {} done", count(Stage::Done), self.rows.len());
        rest.fold(done, |text, (count, word)| format!("{text}, {count} {word}"))
    }

    /// With the time that what is in flight takes, unless it is over.
    fn lines(&self, rows: Vec<&Row>, now_ms: Option<u64>, style: Style) -> Vec<String> {
        let width = self.rows.iter().map(|row| row.name.width()).max().unwrap_or(0).min(style.columns / 2);
        let line = |row: &Row| {
            let name = fit(&row.name, width + 1);
            let gap = " ".repeat(width - name.width().min(width) + 2);
            let elapsed = now_ms.filter(|_| row.stage == Stage::InFlight);
            let elapsed = elapsed.map(|now| format!("  {}", seconds(now.saturating_sub(row.since_ms))));
            let room = style.columns.saturating_sub(width + 2);
            // The time is what changes: it is the last to go.
            let elapsed = elapsed.filter(|text| text.width() < room).unwrap_or_default();
            let text = fit(&row.text, room - elapsed.width()) + &elapsed;
            if text.is_empty() { name } else { format!("{name}{gap}{}", paint(style.colour, row.hue, &text)) }
        };
        rows.into_iter().map(line).collect()
    }
}

fn stage(what: &ProgressKind) -> Stage {
    match what {
        ProgressKind::Starting { .. } | ProgressKind::Stopping => Stage::InFlight,
        ProgressKind::Waiting { .. } => Stage::Pending,
        ProgressKind::Failed { .. } | ProgressKind::Skipped { .. } => Stage::Bad,
        ProgressKind::Up { .. }
        | ProgressKind::Stopped
        | ProgressKind::Created
        | ProgressKind::Updated
        | ProgressKind::Renamed { .. }
        | ProgressKind::Deleted => Stage::Done,
    }
}

/// Fewer columns than there are: the last is left free, where terminals differ about what happens next.
fn fit(text: &str, columns: usize) -> String {
    let room = columns.saturating_sub(1);
    if text.width() <= room {
        return text.to_owned();
    }
    let mut width = 0;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width < room
    };
    let mut short: String = text.chars().take_while(fits).collect();
    if room > 0 {
        short.push('~');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Style = Style { columns: 80, rows: 24, colour: false };

    fn event(app: &str, slot: Option<u32>, what: ProgressKind) -> Progress {
        Progress { app: app.to_owned(), slot, what }
    }

    fn failed(reason: &str) -> ProgressKind {
        ProgressKind::Failed { reason: reason.to_owned() }
    }

    /// Of every kind, some seconds after it began.
    fn board() -> Board {
        let mut board = Board::default();
        board.expect("api", [0, 1]);
        board.expect("web", [0]);
        board.expect("cron", []);
        board.expect("old", [0]);
        board.note(&event("api", Some(0), ProgressKind::Starting { pid: 7 }), 1_000);
        board.note(&event("api", Some(0), ProgressKind::Up { after_ms: 900 }), 1_900);
        board.note(&event("api", Some(1), ProgressKind::Stopping), 2_000);
        board.note(&event("api", Some(1), ProgressKind::Starting { pid: 8 }), 3_000);
        board.note(&event("cron", None, ProgressKind::Updated), 3_000);
        board.note(&event("old", Some(0), ProgressKind::Stopped), 3_000);
        board.note(&event("old", None, ProgressKind::Deleted), 3_000);
        board.note(&event("late", Some(0), failed("exit code 1")), 3_000);
        board
    }

    #[test]
    fn each_instance_is_a_line_with_its_state_and_how_long_it_takes() {
        let want = [
            "api:0   up after 0.9s",
            "api:1   starting (pid 8)  2.5s",
            "web:0   waiting",
            "cron    updated",
            "old:0   deleted",
            "late:0  failed: exit code 1",
        ];
        assert_eq!(board().frame(4_500, WIDE), want);
        let mut last = want.map(str::to_owned);
        last[1] = "api:1   starting (pid 8)".to_owned();
        assert_eq!(board().last(WIDE), last);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let short = |rows| board().frame(4_500, Style { rows, ..WIDE });
        let counts = "3 of 6 done, 1 failed, 1 in flight, 1 waiting";
        assert_eq!(short(5), [counts, "late:0  failed: exit code 1", "api:1   starting (pid 8)  2.5s"]);
        assert_eq!(short(4), [counts, "late:0  failed: exit code 1", "api:1   starting (pid 8)  2.5s"]);
        assert_eq!(short(3), [counts, "and 2 more"]);
        for rows in 0..3 {
            assert_eq!(short(rows), [counts]);
        }
        assert_eq!(board().last(Style { rows: 3, ..WIDE }), ["late:0  failed: exit code 1"]);
    }

    #[test]
    fn five_hundred_apps_are_a_few_lines() {
        let mut board = Board::default();
        for app in 0..500 {
            board.expect(&format!("app{app}"), [0]);
        }
        for app in 0..100 {
            board.note(&event(&format!("app{app}"), Some(0), ProgressKind::Starting { pid: 1 }), 0);
        }
        let lines = board.frame(0, Style { rows: 200, ..WIDE });
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines[0], "0 of 500 done, 100 in flight, 400 waiting");
        assert_eq!(lines[LINES_MAX - 1], "and 78 more");
        assert!(board.last(WIDE).is_empty());
    }

    #[test]
    fn no_line_is_as_wide_as_the_terminal() {
        let mut board = board();
        board.note(&event("\u{1f980}\u{6f22}\u{5b57}-long-name", Some(0), failed("\u{6f22}".repeat(80).as_str())), 0);
        board.note(&event("evil", Some(0), failed("\x1b[2J\r\n")), 0);
        for columns in 0..120 {
            for rows in [2, 5, 24] {
                for line in board.frame(9_999, Style { columns, rows, colour: false }) {
                    assert!(line.width() < columns.max(4), "{columns}x{rows}: {line}");
                    assert!(!line.contains(['\x1b', '\r', '\n']), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn where_it_is_narrow_the_time_is_kept() {
        let mut board = Board::default();
        board.note(&event("api", Some(0), ProgressKind::Starting { pid: 1_234_567 }), 0);
        let frame = |columns| board.frame(1_500, Style { columns, ..WIDE });
        assert_eq!(frame(26), ["api:0  starting (p~  1.5s"]);
        assert_eq!(frame(16), ["api:0  s~  1.5s"]);
    }

    #[test]
    fn colour_surrounds_the_state_alone() {
        let mut board = Board::default();
        board.note(&event("api", Some(0), ProgressKind::Up { after_ms: 40 }), 0);
        let style = Style { colour: true, ..WIDE };
        assert_eq!(board.frame(0, style), ["api:0  \x1b[32mup after 0.0s\x1b[0m"]);
    }

    #[test]
    fn waiting_for_another_command_is_one_line_until_something_happens() {
        let mut board = Board::default();
        board.waits("apply of `shop`", 7, 12_000, 1_000);
        assert_eq!(board.frame(4_000, WIDE), ["waiting for apply of `shop` (pid 7), at work for 15.0s"]);
        board.expect("api", [0]);
        assert_eq!(board.frame(4_000, WIDE), ["api:0  waiting"]);
    }
}
