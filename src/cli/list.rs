use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::json;

use super::columns::{self, Row, Style, is_down};
use super::error::CliError;
use super::exit::Exit;
use super::instances::Known;
use super::looks::{self, Load, Loads, Looks};
use super::manners::Manners;
use super::package::Packages;
use super::terminal::{Terminal, harmless};
use super::{arguments, instances, surroundings};
use crate::platform::{self, Wish, tell_keeper, terminal_size};
use crate::rpc::wire::{BesideView, InstanceView, StrangerView};

/// An instance with what only the system knows of it, for programs.
#[derive(Serialize)]
struct Measured<'a> {
    #[serde(flatten)]
    view: &'a InstanceView,
    /// These are of the process with all that it has started; resident.
    memory_bytes: Option<u64>,
    /// Of one processor, since somebody last looked.
    cpu_percent: Option<f64>,
    processes: Option<u32>,
}

impl<'a> Measured<'a> {
    fn new(row: &'a Row) -> Self {
        Self {
            view: &row.view,
            memory_bytes: row.load.map(|load| load.memory_bytes),
            cpu_percent: row.load.map(Load::cpu_percent),
            processes: row.load.map(|load| load.processes),
        }
    }
}

/// How often a list that is watched is drawn anew.
const PERIOD: Duration = Duration::from_secs(1);

pub(super) fn run(arguments: &arguments::List, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    if arguments.watch {
        return watch(arguments, &home, terminal);
    }
    let look = looks::begin(&home);
    let Known { instances, strangers, watched } = known(arguments, &home, terminal)?;
    let loads = look.of(&home, instances.iter().filter_map(|view| view.pid));
    let mut packages = Packages::default();
    let mut rows = rows(instances, &loads, arguments, &home, &mut packages);
    if terminal.manners.are_pm2s() && !arguments.json {
        super::pm2::settle(&mut rows, &home, terminal)?;
    }
    if arguments.json {
        let measured: Vec<Measured<'_>> = rows.iter().map(Measured::new).collect();
        terminal.json(&json!({ "version": 1, "daemon": watched, "instances": measured, "strangers": strangers }))?;
        return Ok(Exit::Done);
    }
    if terminal.manners.are_pm2s() && !arguments.mini {
        return terminal.print(super::pm2::table_text(&rows, terminal.colour, now_ms())).map(|()| Exit::Done);
    }
    if terminal.manners.are_pm2s() {
        let text = super::pm2::paragraphs(&rows, &home, terminal)?;
        return terminal.print(text).map(|()| Exit::Done);
    }
    let style = style(terminal, watched);
    let text = if arguments.mini { columns::paragraphs(&rows, &style) } else { columns::text(&rows, &style) };
    terminal.print(text)?;
    if let Some(note) = (!watched).then(|| unwatched(&rows, tell_keeper(&home, Wish::Nothing))).flatten() {
        terminal.note(note);
    }
    for (view, other) in rows.iter().filter_map(|row| Some((&row.view, row.view.beside.as_ref()?))) {
        let instance = harmless(view.name.as_bytes(), false);
        terminal.note(&format!("`{instance}:{}` is being replaced; beside it: {}", view.slot, beside(other)));
    }
    for row in &rows {
        if let Some(waits) = waits_in_vain(&row.view) {
            terminal.note(&waits);
        }
    }
    for StrangerView { pid, name, slot } in strangers {
        let instance = harmless(name.as_bytes(), false);
        terminal.note(&format!(
            "process {pid} runs as `{instance}:{slot}` and is not known: it is from before the state was built anew, and left \
             alone; once it has ended (`kill {pid}`), `pmrun apply` starts it"
        ));
    }
    if let Some(hint) = hint(&rows).filter(|_| watched) {
        terminal.note(&hint);
    }
    Ok(Exit::Done)
}

fn known(arguments: &arguments::List, home: &Path, terminal: &mut Terminal) -> Result<Known, CliError> {
    let mut known = instances::shown(home, terminal)?;
    // PM2 lists all, whatever is named.
    if !arguments.targets.is_empty() && !terminal.manners.are_pm2s() {
        known.instances = instances::select(&arguments.targets, &known.instances)?;
    }
    Ok(known)
}

fn rows(
    instances: Vec<InstanceView>,
    loads: &Loads,
    arguments: &arguments::List,
    home: &Path,
    packages: &mut Packages,
) -> Vec<Row> {
    let labels = instances::labels(&instances);
    let owner = owner(home);
    let row = |(view, label): (InstanceView, String)| Row {
        label,
        load: view.pid.and_then(|pid| loads.get(&pid).copied()),
        version: packages.version(&view.script),
        user: view.user.clone().unwrap_or_else(|| owner.clone()),
        view,
    };
    let mut rows: Vec<Row> = instances.into_iter().zip(labels).map(row).collect();
    // PM2 has them by name.
    let by_name = Manners::own().are_pm2s().then(|| "name".parse().ok()).flatten();
    if let Some(by) = arguments.sort.or(by_name) {
        columns::sort(&mut rows, by);
    }
    rows
}

/// Whose daemon it is: as whom apps run that do not say it.
pub(super) fn owner(home: &Path) -> String {
    let uid = home.metadata().map_or_else(|_| platform::user_id(), |meta| meta.uid());
    platform::user_name(uid).unwrap_or_else(|| uid.to_string())
}

fn style(terminal: &Terminal, watched: bool) -> Style {
    let width = terminal.interactive.then(|| terminal_size(io::stdout()).map_or(80, |(columns, _)| columns));
    Style { width, colour: terminal.colour, unicode: terminal.unicode, watched, now_ms: now_ms() }
}

/// Draws it over and over in its place, until the command is ended. The terminal is put into no mode of its own: there is
/// nothing to undo.
fn watch(arguments: &arguments::List, home: &Path, terminal: &mut Terminal) -> Result<Exit, CliError> {
    if !terminal.interactive {
        return Err(CliError::usage("`--watch` draws on a terminal, and stdout is none")
            .hint("`pmrun events --follow --json` tells programs what happens"));
    }
    let (mut looks, mut packages) = (Looks::default(), Packages::default());
    let mut before = "\x1b[2J";
    loop {
        let Known { instances, watched, .. } = known(arguments, home, terminal)?;
        let loads = looks.look(instances.iter().filter_map(|view| view.pid));
        let rows = rows(instances, &loads, arguments, home, &mut packages);
        let text = columns::text(&rows, &style(terminal, watched));
        let height = terminal_size(io::stdout()).map_or(24, |(_, rows)| rows);
        terminal.print(format!("{before}{}", frame(&text, height)))?;
        terminal.flush_now().map_err(|err| CliError::output(&err))?;
        before = "";
        std::thread::sleep(PERIOD);
    }
}

/// From the upper left corner on, and no line more than there is room for.
fn frame(text: &str, height: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let room = height.saturating_sub(1).max(1);
    let shown = if lines.len() > room { room.saturating_sub(1) } else { lines.len() };
    let mut frame = "\x1b[H".to_owned();
    for line in &lines[..shown] {
        frame += line;
        frame += "\x1b[K\n";
    }
    if shown < lines.len() {
        let more = lines.len() - shown;
        frame.extend(["and ", &more.to_string(), " more\x1b[K\n"]);
    }
    frame + "\x1b[J"
}

/// Where to go on when something is not as it should be.
fn hint(rows: &[Row]) -> Option<String> {
    let mut unwell = rows.iter().filter(|row| columns::is_unwell(&row.view));
    let first = unwell.next()?;
    let name = harmless(first.view.name.as_bytes(), false);
    let more = match unwell.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let label = harmless(first.label.as_bytes(), false);
    Some(format!("`{label}` is {}{more}: `pmrun why {name}` says why", first.view.state))
}

/// What it waits for has been deleted, and does not come by itself.
fn waits_in_vain(view: &InstanceView) -> Option<String> {
    let detail = view.detail.as_ref().filter(|detail| view.state == "waiting" && detail.contains(" (deleted)"))?;
    let (name, detail) = (harmless(view.name.as_bytes(), false), harmless(detail.as_bytes(), false));
    Some(format!("`{name}:{}` waits {detail}; see `pmrun why {name}`", view.slot))
}

/// The other process of an instance: `pid 123, stopping: finishes what it has begun`.
pub(super) fn beside(view: &BesideView) -> String {
    let BesideView { pid, state, detail } = view;
    let pid = pid.map(|pid| format!("pid {pid}, ")).unwrap_or_default();
    let detail = detail.as_ref().map(|detail| format!(": {}", harmless(detail.as_bytes(), false)));
    format!("{pid}{state}{}", detail.unwrap_or_default())
}

/// What it means that no daemon runs; nothing where nothing runs or should.
fn unwatched(rows: &[Row], is_kept: bool) -> Option<&'static str> {
    // A keeper whose daemon has ended as it was told to is on its way out, too.
    if is_kept && rows.iter().any(|row| row.view.pid.is_some() || is_down(&row.view)) {
        return Some(
            "no daemon runs just now: the last one has ended, and its keeper starts another, within a minute at the latest",
        );
    }
    if rows.iter().any(|row| row.view.pid.is_some()) {
        return Some(
            "no daemon runs: nobody watches these apps, and what ends stays down; `pmrun apply`, or any command that \
             changes something, starts one, which takes over what runs",
        );
    }
    rows.iter().any(|row| is_down(&row.view)).then_some(
        "no daemon runs, and nothing that should run does; `pmrun apply`, or any command that changes something, \
         starts one, which starts what should run",
    )
}

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_what_was_deleted_says_so() {
        let mut view = InstanceView::sample(0, "web", 1);
        for (state, detail, want) in [
            ("waiting", "for `db` to be ready", None),
            ("online", "(deleted)", None),
            (
                "waiting",
                "for `db` to be ready (deleted)",
                Some("`web:1` waits for `db` to be ready (deleted); see `pmrun why web`"),
            ),
        ] {
            (view.state, view.detail) = (state.to_owned(), Some(detail.to_owned()));
            assert_eq!(waits_in_vain(&view).as_deref(), want);
        }
    }

    fn row(name: &str, state: &str) -> Row {
        let mut view = InstanceView::sample(3, name, 0);
        view.state = state.to_owned();
        Row { view, label: name.to_owned(), load: None, version: None, user: "app".to_owned() }
    }

    #[test]
    fn what_is_wrong_leads_to_why() {
        assert_eq!(hint(&[row("api", "online"), row("web", "stopped")]), None);
        let rows = [row("api", "online"), row("web", "errored"), row("db", "unhealthy")];
        assert_eq!(hint(&rows[..2]).as_deref(), Some("`web` is errored: `pmrun why web` says why"));
        assert_eq!(hint(&rows).as_deref(), Some("`web` is errored, and 1 more: `pmrun why web` says why"));
    }

    #[test]
    fn a_frame_is_never_as_high_as_the_terminal() {
        assert_eq!(frame("a\nb\n", 24), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        let many = "line\n".repeat(500);
        assert_eq!(frame(&many, 24).lines().count(), 24);
        assert!(frame(&many, 24).contains("and 478 more\x1b[K"), "{}", frame(&many, 24));
    }

    #[test]
    fn json_has_the_view_and_the_load_side_by_side() {
        let mut row = row("api", "stopped");
        let value = json!(Measured::new(&row));
        assert_eq!((&value["id"], &value["name"], &value["memory_bytes"]), (&json!(3), &json!("api"), &json!(null)));
        row.load = Some(Load { memory_bytes: 7, cpu_permille: 123, cpu_ms: 0, processes: 2 });
        let value = json!(Measured::new(&row));
        assert_eq!((&value["memory_bytes"], &value["cpu_percent"]), (&json!(7), &json!(12.3)));
    }
}
