use std::io;
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthStr as _;

use super::live::{Board, Style};
use super::progress;
use super::terminal::Terminal;
use crate::plan::{Action, Plan};
use crate::platform::terminal_size;
use crate::rpc::wire::Progress;

/// Often enough for a clock that shows tenths, seldom enough to be read.
const PERIOD: Duration = Duration::from_millis(100);

/// How a command says on stderr how it goes: on a terminal by lines that are drawn over and over in their place, else
/// by a line for each event.
///
/// The terminal is never put into a mode of its own, so there is nothing to undo, however the command ends.
#[derive(Debug)]
pub(super) struct Screen {
    live: Option<Live>,
    colour: bool,
}

#[derive(Debug)]
struct Live {
    board: Board,
    begun: Instant,
    next: Instant,
    /// How wide each line is that stands above the cursor.
    drawn: Vec<usize>,
}

impl Screen {
    pub(super) fn new(terminal: &Terminal) -> Self {
        let begun = Instant::now();
        // What is over before anybody could read it is drawn once.
        let live = Live { board: Board::default(), begun, next: begun + PERIOD, drawn: Vec::new() };
        Self { live: terminal.live.then_some(live), colour: terminal.colour_err }
    }

    /// How long nothing needs to be drawn; none is for ever.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.live.as_ref().map(|live| live.next.saturating_duration_since(Instant::now()))
    }

    pub(super) fn waits(&mut self, holder: &str, pid: u32, for_ms: u64, terminal: &mut Terminal) {
        match &mut self.live {
            Some(live) => live.board.waits(holder, pid, for_ms, live.now_ms()),
            None => terminal.say(progress::waiting(holder, pid, for_ms)),
        }
    }

    /// Before something else is printed.
    pub(super) fn clear(&mut self, terminal: &mut Terminal) {
        if let Some(live) = &mut self.live {
            live.draw(&[], terminal);
        }
    }

    pub(super) fn begin(&mut self, plan: &Plan) {
        let Some(live) = &mut self.live else { return };
        for step in plan.steps.iter().filter(|step| step.action != Action::Keep) {
            let slots = step.start.iter().chain(&step.replace).chain(&step.stop).chain(&step.remove);
            live.board.expect(&step.app, slots.copied().collect::<std::collections::BTreeSet<u32>>());
        }
    }

    pub(super) fn note(&mut self, event: &Progress, terminal: &mut Terminal) {
        match &mut self.live {
            Some(live) => live.board.note(event, live.now_ms()),
            None => terminal.say(progress::line(event, self.colour)),
        }
    }

    /// Draws when it is time to.
    pub(super) fn refresh(&mut self, terminal: &mut Terminal) {
        let Some(live) = &mut self.live else { return };
        if Instant::now() >= live.next {
            live.next = Instant::now() + PERIOD;
            let lines = live.board.frame(live.now_ms(), style(self.colour));
            live.draw(&lines, terminal);
        }
    }

    /// Leaves what stays.
    pub(super) fn end(&mut self, terminal: &mut Terminal) {
        if let Some(mut live) = self.live.take() {
            let lines = live.board.last(style(self.colour));
            live.draw(&lines, terminal);
        }
    }
}

impl Live {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Instead of what was drawn before. A terminal that cannot be written to stops nothing.
    fn draw(&mut self, lines: &[String], terminal: &mut Terminal) {
        if self.drawn.is_empty() && lines.is_empty() {
            return;
        }
        let Style { columns, rows, .. } = style(false);
        terminal.draw(&redrawn(&self.drawn, lines, columns, rows));
        self.drawn = lines.iter().map(|line| visible(line)).collect();
    }
}

/// Over lines of these widths, in one go: nothing flickers. A terminal that has become narrower has wrapped them.
fn redrawn(before: &[usize], lines: &[String], columns: usize, rows: usize) -> String {
    let height: usize = before.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
    let mut text = match height.min(rows.saturating_sub(1)) {
        0 => "\r".to_owned(),
        up => format!("\r\x1b[{up}A"),
    };
    for line in lines {
        text.push_str(line);
        text.push_str("\x1b[K\n");
    }
    text.push_str("\x1b[J");
    text
}

/// Without colours.
fn visible(line: &str) -> usize {
    let mut width = 0;
    for (at, part) in line.split("\x1b[").enumerate() {
        let part = if at == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) };
        width += part.width();
    }
    width
}

/// As it is now: the window may have been resized.
fn style(colour: bool) -> Style {
    let (columns, rows) = terminal_size(io::stderr()).unwrap_or((80, 24));
    Style { columns, rows, colour }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_drawn_is_drawn_over_even_where_it_has_been_wrapped() {
        let lines = ["a".to_owned()];
        assert_eq!(redrawn(&[], &lines, 80, 24), "\ra\x1b[K\n\x1b[J");
        assert_eq!(redrawn(&[10, 30], &lines, 80, 24), "\r\x1b[2Aa\x1b[K\n\x1b[J");
        assert_eq!(redrawn(&[10, 30], &lines, 20, 24), "\r\x1b[3Aa\x1b[K\n\x1b[J");
        assert_eq!(redrawn(&[0, 30], &lines, 1, 10), "\r\x1b[9Aa\x1b[K\n\x1b[J");
        assert_eq!(redrawn(&[10], &[], 80, 24), "\r\x1b[1A\x1b[J");
    }

    #[test]
    fn colours_take_no_room() {
        assert_eq!(visible("api:0  \x1b[32mup\x1b[0m"), 9);
        assert_eq!(visible("\u{6f22}"), 2);
    }
}
