//! What `list` shows of each instance, and which of it there is room for. Knows neither a terminal nor a clock.

use std::cmp::Ordering;
use std::str::FromStr;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::looks::{Load, percent};
use super::table::{self, Cell};
use super::terminal::{Colour, harmless};
use crate::base::format_bytes;
use crate::rpc::wire::InstanceView;

/// An instance with what only the system knows of it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub view: InstanceView,
    /// As people call it.
    pub label: String,
    pub load: Option<Load>,
    pub version: Option<String>,
    /// As whom it runs.
    pub user: String,
}

/// What the rows are shown on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// None where what is printed is not looked at: nothing is left out then, and nothing cut.
    pub width: Option<usize>,
    pub colour: bool,
    pub unicode: bool,
    /// A daemon sees to them.
    pub watched: bool,
    pub now_ms: u64,
}

/// What a column is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Id,
    Name,
    Namespace,
    Version,
    Mode,
    Pid,
    Uptime,
    Restarts,
    Status,
    Cpu,
    Memory,
    User,
    Watching,
    Why,
}

const ALL: [Column; 14] = [
    Column::Id,
    Column::Name,
    Column::Namespace,
    Column::Version,
    Column::Mode,
    Column::Pid,
    Column::Uptime,
    Column::Restarts,
    Column::Status,
    Column::Cpu,
    Column::Memory,
    Column::User,
    Column::Watching,
    Column::Why,
];

/// What goes first where there is too little room.
const LEAST: [Column; 11] = [
    Column::User,
    Column::Version,
    Column::Mode,
    Column::Watching,
    Column::Namespace,
    Column::Pid,
    Column::Why,
    Column::Uptime,
    Column::Restarts,
    Column::Cpu,
    Column::Memory,
];

/// What is told of a reason is of use from here on.
const WHY_MIN: usize = 16;
/// As much of a name is always shown.
const NAME_MIN: usize = 8;
/// What a name keeps as long as other columns can be shown for it.
const NAME_SHORT: usize = 20;

impl Column {
    fn heading(self, unicode: bool) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Namespace => "namespace",
            Self::Version => "version",
            Self::Mode => "mode",
            Self::Pid => "pid",
            Self::Uptime => "uptime",
            Self::Restarts if unicode => "↺",
            Self::Restarts => "restarts",
            Self::Status => "status",
            Self::Cpu => "cpu",
            Self::Memory => "mem",
            Self::User => "user",
            Self::Watching => "watching",
            Self::Why => "why",
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Id | Self::Pid | Self::Uptime | Self::Restarts | Self::Cpu | Self::Memory)
    }

    fn cell(self, row: &Row, style: &Style) -> Cell {
        let view = &row.view;
        let safe = |text: &str| harmless(text.as_bytes(), false).replace('\t', " ");
        let text = match self {
            Self::Id => view.id.to_string(),
            Self::Name => safe(&row.label),
            Self::Namespace => safe(&view.namespace),
            Self::Version => or_dash(row.version.as_deref().map(safe)),
            Self::Mode => view.mode.clone(),
            Self::Pid => or_dash(view.pid),
            Self::Uptime => or_dash(uptime(view, style.now_ms)),
            Self::Restarts => view.restarts.to_string(),
            Self::Status => {
                let (text, hue) = status(view, style.watched);
                return (text, Some(hue));
            }
            Self::Cpu => or_dash(row.load.map(|load| percent(load.cpu_permille))),
            Self::Memory => or_dash(row.load.map(|load| format_bytes(load.memory_bytes))),
            Self::User => safe(&row.user),
            Self::Watching if view.watching => "enabled".to_owned(),
            Self::Watching => "-".to_owned(),
            Self::Why => reason(view).map(|text| safe(&text)).unwrap_or_default(),
        };
        (text, None)
    }
}

/// A line each, below a heading.
pub(super) fn text(rows: &[Row], style: &Style) -> String {
    let mut columns: Vec<Column> = ALL.to_vec();
    let mut cells: Vec<Vec<Cell>> =
        rows.iter().map(|row| ALL.iter().map(|column| column.cell(row, style)).collect()).collect();
    let place = |wanted: Column| ALL.iter().position(|column| *column == wanted).unwrap_or_default();
    if cells.iter().all(|row| row[place(Column::Why)].0.is_empty()) {
        columns.retain(|column| *column != Column::Why);
    }
    let headings = ALL.map(|column| (column.heading(style.unicode), column.is_number()));
    let mut widths = table::widths(&headings, &cells);
    if let Some(width) = style.width {
        // A reason and a name are cut before anything is left out: one long name would take the others' columns.
        let why = widths[place(Column::Why)].min(WHY_MIN);
        let name = widths[place(Column::Name)];
        let needed = |columns: &[Column], why: usize, name: usize| {
            table::total(columns.iter().map(|column| match column {
                Column::Why => why,
                Column::Name => name,
                column => widths[place(*column)],
            }))
        };
        if rows.iter().all(|row| row.view.namespace == "default") {
            columns.retain(|column| *column != Column::Namespace);
        }
        for least in LEAST {
            if needed(&columns, why, name.min(NAME_SHORT)) > width {
                columns.retain(|column| *column != least);
            }
        }
        let over = needed(&columns, why, name).saturating_sub(width);
        let name = name.saturating_sub(over).max(NAME_MIN);
        let left = width.saturating_sub(needed(&columns, 0, name));
        widths[place(Column::Why)] = left;
        for row in &mut cells {
            cut(&mut row[place(Column::Name)].0, name);
            cut(&mut row[place(Column::Why)].0, left);
        }
    }
    let shown: Vec<table::Column> = columns.iter().map(|column| headings[place(*column)]).collect();
    let kept = ALL.map(|column| columns.contains(&column));
    for row in &mut cells {
        let mut kept = kept.iter();
        row.retain(|_| kept.next() == Some(&true));
    }
    table::draw(&shown, cells, style.colour)
}

/// No wider than that; a mark where something is missing.
pub(super) fn cut(text: &mut String, width: usize) {
    if text.width() <= width {
        return;
    }
    let mut room = width.saturating_sub(1);
    let fits = |(_, c): &(usize, char)| {
        let needed = c.width().unwrap_or(0);
        let fits = needed <= room;
        room = room.saturating_sub(needed);
        fits
    };
    let end = text.char_indices().take_while(fits).last().map_or(0, |(at, c)| at + c.len_utf8());
    text.truncate(end);
    if width > 0 {
        text.push('~');
    }
}

/// A paragraph each, as `-m` of PM2's list.
pub(super) fn paragraphs(rows: &[Row], style: &Style) -> String {
    let mut text = String::new();
    for row in rows {
        let cell = |column: Column| column.cell(row, style).0;
        text.extend(["+--- ", &cell(Column::Name), "\n"]);
        for (name, value) in [
            ("namespace", cell(Column::Namespace)),
            ("version", cell(Column::Version)),
            ("pid", cell(Column::Pid)),
            ("id", cell(Column::Id)),
            ("status", cell(Column::Status)),
            ("why", cell(Column::Why)),
            ("mode", cell(Column::Mode)),
            ("restarted", cell(Column::Restarts)),
            ("uptime", cell(Column::Uptime)),
            ("cpu", cell(Column::Cpu)),
            ("memory usage", cell(Column::Memory)),
            ("error log", harmless(row.view.error_file.as_deref().unwrap_or("-").as_bytes(), false)),
            ("watching", cell(Column::Watching)),
        ] {
            if !value.is_empty() {
                text.extend([name, " : ", &value, "\n"]);
            }
        }
    }
    text
}

/// `online` and `stopped` are what a daemon has seen to.
fn status(view: &InstanceView, watched: bool) -> (String, Colour) {
    let hue = hue(&view.state);
    match view {
        InstanceView { waits_ms: Some(ms), .. } if watched => {
            (format!("{} {}", view.state, rough(ms.div_ceil(1_000))), hue)
        }
        _ if watched => (view.state.clone(), hue),
        InstanceView { pid: Some(_), .. } => ("unwatched".to_owned(), Colour::Yellow),
        view if is_down(view) => ("down".to_owned(), Colour::Red),
        _ => (view.state.clone(), hue),
    }
}

/// It should run: only of such a one that is stopped there is more to say.
pub(super) fn is_down(view: &InstanceView) -> bool {
    view.state == "stopped" && view.detail.is_some()
}

/// It should run, and does not as it should.
pub(super) fn is_unwell(view: &InstanceView) -> bool {
    matches!(view.state.as_str(), "errored" | "unhealthy") || view.waits_ms.is_some()
}

/// Why it is as it is, where that is not plain.
fn reason(view: &InstanceView) -> Option<String> {
    match (view.waits_ms, view.last_exit) {
        // How long it waits stands beside its state.
        (Some(_), Some(status)) if view.detail.as_ref().is_none_or(|detail| !detail.contains(": ")) => {
            Some(format!("ended: {status}"))
        }
        _ => view.detail.clone().filter(|_| view.state != "completed" || view.last_exit.is_some()),
    }
}

/// Since when its process runs: `5s`, `3m`, `2h`, `4d`. One unit is what the eye can take in.
pub(super) fn uptime(view: &InstanceView, now_ms: u64) -> Option<String> {
    view.pid?;
    Some(rough(now_ms.saturating_sub(view.started_at_ms?) / 1_000))
}

/// A span of time in its largest unit.
pub(super) fn rough(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

pub(super) fn hue(state: &str) -> Colour {
    match state {
        "online" => Colour::Green,
        "errored" | "unhealthy" => Colour::Red,
        "stopped" | "completed" => Colour::Dim,
        _ => Colour::Yellow,
    }
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// An order of instances, as `--sort` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sorting {
    field: Field,
    descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Id,
    Name,
    Namespace,
    Pid,
    Uptime,
    Restarts,
    Status,
    Cpu,
    Memory,
}

impl FromStr for Sorting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (field, order) = text.split_once(':').map_or((text, None), |(field, order)| (field, Some(order)));
        let field = match field {
            "id" | "pm_id" => Field::Id,
            "name" => Field::Name,
            "namespace" => Field::Namespace,
            "pid" => Field::Pid,
            "uptime" => Field::Uptime,
            "restarts" => Field::Restarts,
            "status" | "state" => Field::Status,
            "cpu" => Field::Cpu,
            "memory" | "mem" => Field::Memory,
            _ => return Err("one of id, name, namespace, pid, uptime, restarts, status, cpu, memory".to_owned()),
        };
        let descending = match order {
            Some("asc") => false,
            Some("desc") => true,
            None => matches!(field, Field::Uptime | Field::Restarts | Field::Cpu | Field::Memory),
            Some(_) => return Err("`asc` or `desc` behind the colon".to_owned()),
        };
        Ok(Self { field, descending })
    }
}

/// What is alike keeps its order, by id.
pub(super) fn sort(rows: &mut [Row], by: Sorting) {
    let started = |row: &Row| row.view.pid.and(row.view.started_at_ms);
    let compare = |a: &Row, b: &Row| -> Ordering {
        match by.field {
            Field::Id => a.view.id.cmp(&b.view.id),
            Field::Name => (&a.view.name, a.view.slot).cmp(&(&b.view.name, b.view.slot)),
            Field::Namespace => a.view.namespace.cmp(&b.view.namespace),
            Field::Pid => a.view.pid.cmp(&b.view.pid),
            // The later the start the shorter the time; what does not run has run for no time.
            Field::Uptime => {
                let key = |row: &Row| started(row).map(std::cmp::Reverse);
                key(a).cmp(&key(b))
            }
            Field::Restarts => a.view.restarts.cmp(&b.view.restarts),
            Field::Status => a.view.state.cmp(&b.view.state),
            Field::Cpu => {
                let key = |row: &Row| row.load.map(|load| load.cpu_permille);
                key(a).cmp(&key(b))
            }
            Field::Memory => {
                let key = |row: &Row| row.load.map(|load| load.memory_bytes);
                key(a).cmp(&key(b))
            }
        }
    };
    rows.sort_by(|a, b| if by.descending { compare(b, a) } else { compare(a, b) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ExitStatus;

    fn row(id: u32, name: &str, state: &str) -> Row {
        let mut view = InstanceView::sample(id, name, 0);
        view.state = state.to_owned();
        if state == "online" {
            (view.pid, view.started_at_ms) = (Some(100 + id), Some(u64::from(id) * 1_000));
        }
        let load = view.pid.map(|pid| Load { memory_bytes: 3 << 20, cpu_permille: pid, cpu_ms: 0, processes: 1 });
        Row { view, label: name.to_owned(), load, version: Some("1.0.0".to_owned()), user: "app".to_owned() }
    }

    fn style(width: Option<usize>) -> Style {
        Style { width, colour: false, unicode: false, watched: true, now_ms: 61_000 }
    }

    fn rows() -> Vec<Row> {
        let mut rows = vec![row(0, "api", "online"), row(1, "漢字-web", "errored"), row(2, "\u{1f980}", "waiting")];
        rows[1].view.detail = Some("16 unstable runs, last exit code 1".to_owned());
        rows[2].view.detail = Some("starts again in 12s".to_owned());
        (rows[2].view.waits_ms, rows[2].view.last_exit) = (Some(12_000), Some(ExitStatus::Code(3)));
        rows
    }

    #[test]
    fn what_there_is_room_for_is_shown() {
        let lines = |width| text(&rows(), &style(width));
        assert_eq!(
            lines(None),
            "\
id  name      namespace  version  mode  pid  uptime  restarts  status         cpu  mem  user  watching  why
 0  api       default    1.0.0    fork  100      1m         0  online       10.0%   3M  app   -
 1  漢字-web  default    1.0.0    fork    -       -         0  errored          -    -  app   -         16 unstable runs, last exit code 1
 2  \u{1f980}        default    1.0.0    fork    -       -         0  waiting 12s      -    -  app   -         ended: exit code 3
"
        );
        assert_eq!(
            lines(Some(80)),
            "\
id  name      pid  uptime  restarts  status         cpu  mem  why
 0  api       100      1m         0  online       10.0%   3M
 1  漢字-web    -       -         0  errored          -    -  16 unstable runs,~
 2  \u{1f980}          -       -         0  waiting 12s      -    -  ended: exit code 3
"
        );
        assert_eq!(lines(Some(60)).lines().next(), Some("id  name      uptime  restarts  status         cpu  mem"));
    }

    #[test]
    fn a_long_name_takes_nobodys_columns() {
        let mut rows = rows();
        rows[1].label = "a-name-that-somebody-has-made-of-too-many-words-for-any-table".to_owned();
        let text = text(&rows, &style(Some(80)));
        let heading = text.lines().next().unwrap();
        for column in ["uptime", "restarts", "cpu", "mem"] {
            assert!(heading.contains(column), "{text}");
        }
        assert!(text.contains("a-name-that-somebod"), "{text}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut rows = rows();
        rows[0].label = "漢".repeat(60);
        rows[1].view.detail = Some("\x1b[2J\r\n long".repeat(30));
        for width in 40..200 {
            for line in text(&rows, &style(Some(width))).lines() {
                assert!(line.width() <= width, "{width}: {line}");
                assert!(!line.contains(['\x1b', '\r']), "{line:?}");
            }
        }
    }

    #[test]
    fn rows_can_be_in_any_order() {
        let mut rows = vec![row(0, "b", "online"), row(1, "c", "stopped"), row(2, "a", "online")];
        let mut ids = |by: &str| -> Vec<u32> {
            sort(&mut rows, by.parse().unwrap());
            rows.iter().map(|row| row.view.id).collect()
        };
        assert_eq!(ids("name"), [2, 0, 1]);
        assert_eq!(ids("name:desc"), [1, 0, 2]);
        assert_eq!(ids("id"), [0, 1, 2]);
        assert_eq!(ids("cpu"), [2, 0, 1], "the busiest first");
        assert_eq!(ids("uptime"), [0, 2, 1]);
        assert_eq!(ids("status"), [0, 2, 1]);
        assert_eq!(ids("mem:asc"), [1, 0, 2]);
        for wrong in ["", "size", "cpu:", "cpu:up", ":asc"] {
            assert!(wrong.parse::<Sorting>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn uptime_has_one_unit_and_needs_a_process() {
        let mut view = InstanceView::sample(0, "api", 0);
        view.started_at_ms = Some(0);
        assert_eq!(uptime(&view, 5_000), None);
        view.pid = Some(1);
        let table = [(0, "0s"), (59_999, "59s"), (60_000, "1m"), (7_200_000, "2h"), (864_000_000, "10d")];
        for (now, want) in table {
            assert_eq!(uptime(&view, now).as_deref(), Some(want));
        }
    }

    #[test]
    fn what_is_cut_shows_that_it_is() {
        for (text, width, want) in
            [("abc", 3, "abc"), ("abc", 2, "a~"), ("漢字", 3, "漢~"), ("漢字", 2, "~"), ("abc", 0, "")]
        {
            let mut cut_text = text.to_owned();
            cut(&mut cut_text, width);
            assert_eq!(cut_text, want, "{text} {width}");
        }
    }
}
