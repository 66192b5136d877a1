//! The table of `ls`, as PM2 draws it: with borders, and the same words in each column.

use std::path::Path;

use unicode_width::UnicodeWidthStr as _;

use super::super::columns::Row;
use super::super::error::CliError;
use super::super::jlist::status;
use super::super::list::now_ms;
use super::super::looks::percent;
use super::super::terminal::{Colour, Terminal, harmless, paint};
use super::super::{offline, show};
use crate::rpc::wire::InstanceView;
use crate::supervisor::pid_file;

/// Headings, and how wide each column is at least.
const COLUMNS: [(&str, usize); 13] = [
    ("id", 2),
    ("name", 11),
    ("namespace", 11),
    ("version", 7),
    ("mode", 7),
    ("pid", 8),
    ("uptime", 6),
    ("↺", 4),
    ("status", 9),
    ("cpu", 8),
    ("mem", 8),
    ("user", 8),
    ("watching", 8),
];

pub(in super::super) fn text(rows: &[Row], colour: bool, now_ms: u64) -> String {
    let cells: Vec<[String; 13]> = rows.iter().map(|row| cells(row, now_ms)).collect();
    let width = |at: usize| {
        let (heading, least) = COLUMNS[at];
        cells.iter().map(|row| row[at].width()).chain([heading.width(), least]).max().unwrap_or(least)
    };
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let headings = COLUMNS.map(|(heading, _)| heading.to_owned());
    let mut text = border(&widths, ['┌', '┬', '┐']);
    text += &line(&headings, &widths, |_, cell| paint(colour, Colour::Cyan, cell));
    text += &border(&widths, ['├', '┼', '┤']);
    for (row, cells) in rows.iter().zip(&cells) {
        text += &line(cells, &widths, |at, cell| match COLUMNS[at].0 {
            "id" | "name" => paint(colour, Colour::Cyan, cell),
            "mode" => paint(colour, Colour::Blue, cell),
            "status" => paint(colour, hue(word(&row.view)), cell),
            "user" => paint(colour, Colour::Bold, cell),
            _ => cell.to_owned(),
        });
    }
    text + &border(&widths, ['└', '┴', '┘'])
}

/// What is not to be started again is stopped, however it ended: that is for its app to say.
pub(in super::super) fn settle(rows: &mut [Row], home: &Path, terminal: &mut Terminal) -> Result<(), CliError> {
    let failed = |row: &Row| row.view.state == "errored" && row.view.pid.is_none();
    // Mostly there is none, and nobody is asked.
    if !rows.iter().any(failed) {
        return Ok(());
    }
    let apps = show::apps(home, &["all".to_owned()], false, terminal)?;
    for row in rows.iter_mut().filter(|row| failed(row)) {
        let app = apps.iter().find(|app| app.spec.name == row.view.name);
        if let Some(app) = app {
            status(app, &row.view).clone_into(&mut row.view.state);
        }
    }
    Ok(())
}

/// `ls -m`: what scripts take apart by lines.
pub(in super::super) fn paragraphs(rows: &[Row], home: &Path, terminal: &mut Terminal) -> Result<String, CliError> {
    let apps = show::apps(home, &["all".to_owned()], false, terminal)?;
    let layout = offline::layout(home);
    let text = |row: &Row| {
        let app = apps.iter().find(|app| app.spec.name == row.view.name);
        let pid_file = app.map(|app| pid_file(&app.spec, row.view.slot, row.view.id, &layout)).unwrap_or_default();
        paragraph(row, &pid_file, now_ms())
    };
    Ok(rows.iter().map(text).collect())
}

fn paragraph(row: &Row, pid_file: &str, now_ms: u64) -> String {
    let view = &row.view;
    let safe = |text: &str| harmless(text.as_bytes(), false).replace('\t', " ");
    let [_, name, namespace, version, mode, pid, uptime, restarts, status, ..] = cells(row, now_ms);
    format!(
        "+--- {name}\nnamespace : {namespace}\nversion : {version}\npid : {pid}\npm2 id : {}\nstatus : {status}\n\
         mode : {mode}\nrestarted : {restarts}\nuptime : {uptime}\nmemory usage : {} \nerror log : {}\n\
         watching : {}\nPID file : {}\n\n",
        view.id,
        bytes(row.load.map_or(0, |load| load.memory_bytes)),
        safe(view.error_file.as_deref().unwrap_or("/dev/null")),
        if view.watching { "yes" } else { "no" },
        safe(pid_file),
    )
}

/// Two columns: what each thing is called, and what it is.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let widths = [
        facts.iter().map(|(name, _)| name.width()).max().unwrap_or_default(),
        facts.iter().map(|(_, value)| value.width()).max().unwrap_or_default(),
    ];
    let mut text = border(&widths, ['┌', '┬', '┐']);
    for (name, value) in facts {
        text += &line(&[(*name).to_owned(), value.clone()], &widths, |_, cell| cell.to_owned());
    }
    text + &border(&widths, ['└', '┴', '┘'])
}

/// One column.
pub(super) fn words(words: &[String]) -> String {
    let widths = [words.iter().map(|word| word.width()).max().unwrap_or_default()];
    let lines = words.iter().map(|word| line(std::slice::from_ref(word), &widths, |_, cell| cell.to_owned()));
    [border(&widths, ['┌', '┬', '┐']), lines.collect(), border(&widths, ['└', '┴', '┘'])].concat()
}

fn border(widths: &[usize], [left, between, right]: [char; 3]) -> String {
    let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
    format!("{left}{}{right}\n", parts.join(&between.to_string()))
}

fn line(cells: &[String], widths: &[usize], paint: impl Fn(usize, &str) -> String) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let room = " ".repeat(width.saturating_sub(cell.width()) + 1);
        line.extend(["│ ", &paint(at, cell), &room]);
    }
    line + "│\n"
}

fn cells(row: &Row, now_ms: u64) -> [String; 13] {
    let view = &row.view;
    let safe = |text: &str| harmless(text.as_bytes(), false).replace('\t', " ");
    let memory = row.load.map_or(0, |load| load.memory_bytes);
    [
        view.id.to_string(),
        safe(&view.name),
        safe(&view.namespace),
        row.version.as_deref().map_or_else(|| "N/A".to_owned(), safe),
        view.mode.clone(),
        view.pid.unwrap_or(0).to_string(),
        uptime(view, now_ms),
        view.restarts.to_string(),
        word(view).to_owned(),
        percent(row.load.map_or(0, |load| load.cpu_permille)),
        bytes(memory),
        safe(&row.user),
        if view.watching { "enabled" } else { "disabled" }.to_owned(),
    ]
}

/// `5s`, `3m`, `2h`, `4D`; 0 of what does not run.
pub(super) fn uptime(view: &InstanceView, now_ms: u64) -> String {
    let Some(started) = view.started_at_ms.filter(|_| view.pid.is_some()) else { return "0".to_owned() };
    match now_ms.saturating_sub(started) / 1_000 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}D", seconds / 86_400),
    }
}

/// `51.7mb`
fn bytes(bytes: u64) -> String {
    let units = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    #[expect(clippy::cast_precision_loss, reason = "for the eye")]
    let of = |unit: u64| bytes as f64 / unit as f64;
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1}{name}", of(unit)),
        None => format!("{bytes}b"),
    }
}

/// In PM2's words, as far as an instance alone tells.
fn word(view: &InstanceView) -> &'static str {
    match view.state.as_str() {
        "stopping" => "stopping",
        "waiting" if view.waits_ms.is_some() => "waiting restart",
        "waiting" => "launching",
        "starting" if view.pid.is_none() => "launching",
        "errored" if view.pid.is_none() => "errored",
        "online" | "unhealthy" | "starting" | "errored" => "online",
        _ => "stopped",
    }
}

fn hue(status: &str) -> Colour {
    match status {
        "online" => Colour::Green,
        "launching" => Colour::Blue,
        _ => Colour::Red,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::looks::Load;
    use super::*;

    #[test]
    fn a_table_has_borders_and_pm2s_words() {
        let mut view = InstanceView::sample(3, "api", 0);
        (view.state, view.pid, view.started_at_ms) = ("online".to_owned(), Some(77), Some(1_000));
        let load = Some(Load { memory_bytes: 54_211_379, cpu_permille: 12, cpu_ms: 0, processes: 1 });
        let row = Row { view, label: "api".to_owned(), load, version: None, user: "root".to_owned() };
        let said = paragraph(&row, "/h/pids/api-3.pid", 200_000);
        let want = "+--- api\nnamespace : default\nversion : N/A\npid : 77\npm2 id : 3\nstatus : online\nmode : fork\n\
                    restarted : 0\nuptime : 3m\nmemory usage : 51.7mb \nerror log : /logs/api-error.log\nwatching : no\n\
                    PID file : /h/pids/api-3.pid\n\n";
        assert_eq!(said, want);
        let mut gone = row.clone();
        (gone.view.state, gone.view.pid, gone.load) = ("completed".to_owned(), None, None);
        let text = text(&[row, gone], false, 200_000);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6);
        assert!(lines.iter().all(|line| line.width() == lines[0].width()), "{text}");
        let words =
            |line: &str| line.split('│').map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        assert_eq!(words(lines[3]), "3 api default N/A fork 77 3m 0 online 1.2% 51.7mb root disabled");
        assert_eq!(words(lines[4]), "3 api default N/A fork 0 0 0 stopped 0% 0b root disabled");
        assert!(lines[1].starts_with("│ id │ name        │ namespace   │ version │ mode    │ pid      │ uptime │"));
    }
}
