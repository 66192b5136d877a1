//! The dashboard as a screen. What it shows is the model's, and nothing else.

use std::collections::VecDeque;
use std::fmt::Write as _;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Row, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::model::{App, Line, Mode, Model, Pane};
use crate::base::{format_bytes, format_span};
use crate::cli::columns;
use crate::cli::terminal::{Colour, harmless};

const BARS: [char; 8] =
    ['\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];
const ASCII_BARS: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];
const HELP: [&str; 6] = [
    " up, down, k, j   another app          Home, End, g, G  the first, the last",
    " tab              logs, or events      PgUp, PgDn       further back, and on",
    " /                only lines with these words; Esc shows all again",
    " r  restart       l  reload            s  stop          S  start",
    " +  one more instance                  -  one fewer     (each is asked about)",
    " q  end           what runs goes on    ?  this",
];
/// Less of a processor than this, in tenths of a percent, is low whatever else there was.
const CPU_LEAST: u64 = 100;
/// As short as it makes sense.
const SPARK: usize = 10;

/// What may be drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub(super) colour: bool,
    pub(super) unicode: bool,
}

impl Theme {
    fn hue(self, colour: Colour) -> Style {
        let style = Style::new();
        match colour {
            Colour::Bold => style.add_modifier(Modifier::BOLD),
            Colour::Dim => style.add_modifier(Modifier::DIM),
            // What is wrong must show without colours, too.
            Colour::Red if !self.colour => style.add_modifier(Modifier::BOLD),
            _ if !self.colour => style,
            Colour::Red => style.fg(Color::Red),
            Colour::Green => style.fg(Color::Green),
            Colour::Yellow => style.fg(Color::Yellow),
            Colour::Cyan => style.fg(Color::Cyan),
            Colour::Magenta => style.fg(Color::Magenta),
            Colour::Blue => style.fg(Color::Blue),
        }
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme) {
    let area = frame.area();
    let listed = u16::try_from(model.apps.len()).unwrap_or(u16::MAX).clamp(1, (area.height / 3).max(1));
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1 + listed),
        Constraint::Length(3),
        Constraint::Min(1),
        Constraint::Length(1),
    ]);
    let [head, list, details, pane, foot] = rows.areas(area);
    frame.render_widget(header(model, theme), head);
    frame.render_widget(apps(model, theme, list), list);
    frame.render_widget(about(model, theme, details), details);
    frame.render_widget(lines(model, theme, pane), pane);
    frame.render_widget(footer(model, theme), foot);
    if model.mode == Mode::Help {
        let height = u16::try_from(HELP.len()).unwrap_or(0) + 2;
        let width = u16::try_from(HELP.iter().map(|line| line.len()).max().unwrap_or(0)).unwrap_or(0) + 3;
        let (width, height) = (width.min(area.width), height.min(area.height));
        let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
        frame.render_widget(Clear, place);
        frame.render_widget(Paragraph::new(HELP.join("\n")).block(bordered(theme).title(" keys ")), place);
    }
}

fn bordered(theme: Theme) -> Block<'static> {
    let plain = ratatui::symbols::border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    };
    let block = Block::new().borders(Borders::ALL);
    if theme.unicode { block } else { block.border_set(plain) }
}

fn header(model: &Model, theme: Theme) -> Paragraph<'static> {
    let count = |state: &str| model.apps.iter().filter(|app| app.state().0 == state).count();
    let mut words = vec![format!("pmrun  {}", crate::cli::terminal::counted(model.apps.len(), "app"))];
    for state in ["online", "starting", "stopping", "waiting", "unhealthy", "errored", "stopped", "completed"] {
        let count = count(state);
        if count > 0 {
            words.push(format!("{count} {state}"));
        }
    }
    let sum = |of: fn(&App) -> &VecDeque<u64>| model.apps.iter().filter_map(|app| of(app).back()).sum::<u64>();
    words.push(format!("cpu {}", percent(sum(|app| &app.cpu))));
    words.push(format!("mem {}", format_bytes(sum(|app| &app.memory))));
    let style = theme.hue(Colour::Bold);
    match &model.away {
        Some(why) => Paragraph::new(format!("{why}: what is shown is what was; waiting for it"))
            .style(theme.hue(Colour::Red).add_modifier(Modifier::REVERSED)),
        None if model.is_new => Paragraph::new("asking the daemon ...").style(style),
        None => Paragraph::new(words.join("  ")).style(style),
    }
}

/// As many as there is room for, with the selected one among them.
fn apps(model: &Model, theme: Theme, area: Rect) -> Paragraph<'static> {
    let room = usize::from(area.height.saturating_sub(1));
    let width = usize::from(area.width);
    if model.apps.is_empty() && !model.is_new {
        return Paragraph::new("\nno apps: `pmrun start` or `pmrun apply` starts some");
    }
    // Name and sparklines take what the figures leave.
    let figures = 3 + 12 + 8 + 9 + 5 + 8;
    let spark = (width.saturating_sub(figures + 24) / 2).clamp(SPARK, 30);
    let name = width.saturating_sub(figures + 2 * spark).clamp(8, 40);
    let title = format!(
        "  {} {:<12}{:>7} {:spark$}{:>8} {:spark$}{:>5}{:>8}",
        fitted("name", name),
        "status",
        "cpu",
        "",
        "mem",
        "",
        if theme.unicode { "\u{21ba}" } else { "rst" },
        "up"
    );
    let first = model.selected.saturating_sub(room / 2).min(model.apps.len().saturating_sub(room));
    let mut rows = vec![Row::styled(title, theme.hue(Colour::Dim))];
    for (at, app) in model.apps.iter().enumerate().skip(first).take(room) {
        let is_selected = at == model.selected;
        let (state, online) = app.state();
        let status = match app.instances.len() {
            1 => state.to_owned(),
            all => format!("{state} {online}/{all}"),
        };
        let up = app.started_at_ms().map_or_else(|| "-".to_owned(), |at| age(model.now_ms.saturating_sub(at)));
        let (cpu, memory) = (app.cpu.back().copied().unwrap_or(0), app.memory.back().copied().unwrap_or(0));
        let base = if is_selected { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        let bars = |history, least| sparkline(history, spark, least, theme);
        rows.push(Row::from(vec![
            Span::styled(format!("{} {} ", if is_selected { ">" } else { " " }, fitted(&app.name, name)), base),
            Span::styled(fitted(&status, 12), base.patch(theme.hue(columns::hue(state)))),
            Span::styled(format!("{:>7} ", percent(cpu)), base),
            Span::styled(bars(&app.cpu, CPU_LEAST), base.patch(theme.hue(Colour::Cyan))),
            Span::styled(format!("{:>8} ", format_bytes(memory)), base),
            Span::styled(bars(&app.memory, 1), base.patch(theme.hue(Colour::Magenta))),
            Span::styled(format!("{:>5}{up:>8}", app.restarts()), base),
        ]));
    }
    Paragraph::new(rows)
}

fn about(model: &Model, theme: Theme, area: Rect) -> Paragraph<'static> {
    let dim = theme.hue(Colour::Dim);
    let rule = if theme.unicode { "\u{2500}" } else { "-" };
    let mut rows = vec![Row::styled(rule.repeat(area.width.into()), dim)];
    if let Some(app) = model.app() {
        let ids: Vec<String> = app.instances.iter().map(|view| view.id.to_string()).collect();
        let pids: Vec<String> = app.instances.iter().filter_map(|view| view.pid).map(|pid| pid.to_string()).collect();
        let first = &app.instances[0];
        let few = |words: Vec<String>| match words.len() {
            0 => "-".to_owned(),
            1..=6 => words.join(" "),
            more => format!("{} and {} more", words[..5].join(" "), more - 5),
        };
        rows.push(Row::from(harmless(
            format!(
                "id {}  pid {}  {} mode  namespace {}  {}",
                few(ids),
                few(pids),
                first.mode,
                first.namespace,
                first.script
            )
            .as_bytes(),
            false,
        )));
        let worst = app.state().0;
        let of_worst = app.instances.iter().find(|view| view.state == worst).unwrap_or(first);
        let why = of_worst.detail.clone().map(|why| format!("{worst}: {why}"));
        let exit = of_worst.last_exit.map(|exit| format!("last exit: {exit}"));
        let words: Vec<String> = why.into_iter().chain(exit).collect();
        rows.push(Row::styled(harmless(words.join("  ").as_bytes(), false), theme.hue(columns::hue(worst))));
    }
    Paragraph::new(rows)
}

/// The newest at the bottom, but for who has gone back.
fn lines(model: &Model, theme: Theme, area: Rect) -> Paragraph<'static> {
    let shown = model.shown();
    let room = usize::from(area.height.saturating_sub(1));
    let end = shown.len().saturating_sub(model.back);
    let what = match model.pane {
        Pane::Logs => model.app().map_or_else(|| "logs".to_owned(), |app| format!("logs of {}", app.name)),
        Pane::Events => "events".to_owned(),
    };
    let dash = if theme.unicode { "\u{2500}\u{2500}" } else { "--" };
    let mut title = format!("{dash} {} ", harmless(what.as_bytes(), false));
    // A string takes everything.
    if !model.search.is_empty() {
        let search = harmless(model.search.as_bytes(), false);
        let _ = write!(title, "{dash} with \"{search}\": {} ", shown.len());
    }
    if model.back > 0 {
        let _ = write!(title, "{dash} {} further on (PgDn) ", model.back.min(shown.len()));
    }
    let fill = usize::from(area.width).saturating_sub(title.width());
    title += &(if theme.unicode { "\u{2500}" } else { "-" }).repeat(fill);
    let mut rows = vec![Row::styled(title, theme.hue(Colour::Dim))];
    if shown.is_empty() {
        let nothing = if model.search.is_empty() { "nothing yet" } else { "nothing with these words" };
        rows.push(Row::styled(nothing, theme.hue(Colour::Dim)));
    }
    let has_labels = model.pane == Pane::Logs && model.app().is_some_and(|app| app.instances.len() > 1);
    for line in &shown[end.saturating_sub(room)..end] {
        rows.push(row(line, &model.search, has_labels, theme));
    }
    Paragraph::new(rows)
}

/// With what is looked for marked.
fn row(line: &Line, search: &str, has_label: bool, theme: Theme) -> Row<'static> {
    let style = if line.is_bad { theme.hue(Colour::Red) } else { Style::new() };
    let mut spans = Vec::new();
    if has_label {
        spans.push(Span::styled(format!("{} ", line.label), theme.hue(Colour::Dim)));
    }
    let text = line.text.replace('\t', "    ");
    let lower = text.to_lowercase();
    // Some letters have another length in lower case: then nothing is marked.
    let found = (!search.is_empty() && lower.len() == text.len()).then(|| lower.find(&search.to_lowercase())).flatten();
    match found.and_then(|at| Some((text.get(..at)?, text.get(at..at + search.len())?, text.get(at + search.len()..)?)))
    {
        Some((before, hit, after)) => spans.extend([
            Span::styled(before.to_owned(), style),
            Span::styled(hit.to_owned(), style.add_modifier(Modifier::REVERSED)),
            Span::styled(after.to_owned(), style),
        ]),
        None => spans.push(Span::styled(text, style)),
    }
    Row::from(spans)
}

fn footer(model: &Model, theme: Theme) -> Paragraph<'static> {
    let bold = theme.hue(Colour::Yellow).add_modifier(Modifier::BOLD);
    match (&model.mode, &model.said) {
        (Mode::Search(text), _) => Paragraph::new(format!("only lines with: {text}_")).style(bold),
        (Mode::Confirm(deed), _) => Paragraph::new(format!("{}? y/n", deed.words())).style(bold),
        (_, Some(said)) => Paragraph::new(harmless(said.as_bytes(), false)).style(bold),
        _ => Paragraph::new("r restart l reload s stop S start +/- scale / search tab events ? keys q end")
            .style(theme.hue(Colour::Dim)),
    }
}

/// So wide, with spaces after it or `~` where it is cut.
fn fitted(text: &str, width: usize) -> String {
    let text = harmless(text.as_bytes(), false);
    if width == 0 {
        return String::new();
    }
    let mut taken = 0;
    let mut fitting = String::new();
    for c in text.chars() {
        let own = c.width().unwrap_or(0);
        if taken + own > width {
            while taken >= width {
                taken -= fitting.pop().and_then(char::width).unwrap_or(1);
            }
            fitting.push('~');
            taken += 1;
            break;
        }
        fitting.push(c);
        taken += own;
    }
    fitting + &" ".repeat(width - taken)
}

/// The newest at the right; as high as the highest of them, but for less than `least`.
fn sparkline(history: &VecDeque<u64>, width: usize, least: u64, theme: Theme) -> String {
    let bars = if theme.unicode { BARS } else { ASCII_BARS };
    let shown = history.iter().skip(history.len().saturating_sub(width));
    let top = shown.clone().copied().max().unwrap_or(0).max(least);
    let bar = |value: &u64| bars[usize::try_from(value.saturating_mul(7) / top).unwrap_or(7).min(7)];
    let line: String = shown.map(bar).collect();
    format!("{}{line}", " ".repeat(width - line.chars().count()))
}

fn percent(permille: u64) -> String {
    format!("{}.{}%", permille / 10, permille % 10)
}

/// `5s`, `3m`, `2h`, `4d`: the first part alone.
fn age(ms: u64) -> String {
    if ms < 1_000 {
        return "0s".to_owned();
    }
    let span = format_span(ms / 1_000 * 1_000);
    let first = span.split(' ').next().unwrap_or_default();
    first.replace(".0s", "s")
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::model::tests::{figures, instance, line, two, typed};
    use super::super::model::{Deed, Key, News};
    use super::*;
    use crate::http::Action;

    const PLAIN: Theme = Theme { colour: false, unicode: false };

    fn screen(model: &Model, columns: u16, rows: u16, theme: Theme) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| draw(frame, model, theme)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..columns).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        let rows: Vec<String> = (0..rows).map(|y| row(y).trim_end().to_owned()).collect();
        rows.join("\n") + "\n"
    }

    fn busy() -> Model {
        let mut model = two();
        for _ in 0..5 {
            model.update(figures(vec![
                instance(0, "api", 0, "online"),
                instance(1, "api", 1, "errored"),
                instance(2, "web", 0, "online"),
                instance(3, "\u{6f22}\u{5b57}\u{1f980}", 0, "stopped"),
            ]));
        }
        for text in ["GET /a 200", "GET /b 500", "listening"] {
            model.update(News::Line { following: model.following, line: line(text) });
        }
        model.update(News::Event(Line {
            label: String::new(),
            is_bad: true,
            text: "12:00:00  api:1  given up".into(),
        }));
        model
    }

    #[test]
    fn a_screen_of_80_columns_has_everything() {
        insta::assert_snapshot!("plain", screen(&busy(), 80, 24, PLAIN));
        insta::assert_snapshot!("unicode", screen(&busy(), 110, 24, Theme { colour: true, unicode: true }));
    }

    #[test]
    fn what_is_asked_looked_for_and_helped_with_is_seen() {
        let mut model = busy();
        typed(&mut model, "s");
        assert!(screen(&model, 80, 24, PLAIN).contains("stop `api`? y/n"));
        typed(&mut model, "n/get");
        assert!(screen(&model, 80, 24, PLAIN).contains("only lines with: get_"));
        model.update(News::Key(Key::Enter));
        let found = screen(&model, 80, 24, PLAIN);
        assert!(found.contains("with \"get\": 2") && !found.contains("listening"), "{found}");
        model.update(News::Key(Key::Escape));
        model.update(News::Key(Key::Tab));
        assert!(screen(&model, 80, 24, PLAIN).contains("12:00:00  api:1  given up"));
        typed(&mut model, "?");
        insta::assert_snapshot!("help", screen(&model, 80, 24, PLAIN));
        typed(&mut model, "x");
        let deed = Deed { app: "api".to_owned(), action: Action::Restart };
        model.update(News::Done { deed, result: Err("busy".to_owned()) });
        assert!(screen(&model, 80, 24, PLAIN).contains("restart `api`: busy"));
        model.update(News::Away("no daemon runs".to_owned()));
        assert!(screen(&model, 80, 24, PLAIN).starts_with("no daemon runs: what is shown is what was"));
        assert!(screen(&Model::new(), 80, 24, PLAIN).contains("asking the daemon"));
    }

    #[test]
    fn no_size_and_no_name_is_too_much_for_it() {
        let mut model = busy();
        let evil = instance(9, "e\x1b[2Jvil\n", 0, "online");
        model
            .update(figures((0..500).map(|at| instance(at, &format!("app{at}"), 0, "online")).chain([evil]).collect()));
        model.update(News::Key(Key::End));
        for columns in [1, 2, 10, 40, 79, 80, 81, 300] {
            for rows in [1, 2, 3, 5, 10, 24, 100] {
                let screen = screen(&model, columns, rows, PLAIN);
                assert!(!screen.contains('\x1b'));
            }
        }
        assert!(screen(&model, 80, 24, PLAIN).contains("> e\\u{1b}[2Jvil"), "{}", screen(&model, 80, 24, PLAIN));
        model.update(News::Key(Key::Home));
        assert!(screen(&model, 80, 24, PLAIN).contains("> app0 "));
    }

    #[test]
    fn five_hundred_apps_are_drawn_in_a_moment() {
        let mut model = Model::new();
        for _ in 0..60 {
            model.update(figures((0..500).map(|at| instance(at, &format!("app{at}"), 0, "online")).collect()));
        }
        let begun = std::time::Instant::now();
        for _ in 0..20 {
            screen(&model, 80, 24, PLAIN);
        }
        // Twenty a second at most are drawn; this machine may be slow and busy.
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn names_are_cut_and_filled_to_a_width() {
        for (text, width, want) in [
            ("api", 5, "api  "),
            ("long-name", 5, "long~"),
            ("\u{6f22}\u{5b57}x", 4, "\u{6f22}~ "),
            ("", 2, "  "),
            ("ab", 0, ""),
        ] {
            let fit = fitted(text, width);
            assert_eq!((fit.as_str(), fit.width()), (want, width), "{text}");
        }
    }
}
