use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::instances::Known;
use super::terminal::{Colour, Terminal, harmless};
use super::{arguments, instances, memory, surroundings, table};
use crate::base::format_bytes;
use crate::platform::{Wish, tell_keeper};
use crate::rpc::wire::{BesideView, InstanceView, StrangerView};

/// An instance with what only the system knows of it.
#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    view: InstanceView,
    /// Resident, of the process itself.
    memory_bytes: Option<u64>,
}

pub(super) fn run(arguments: &arguments::List, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let Known { mut instances, strangers, watched } = instances::shown(&home, terminal)?;
    if !arguments.targets.is_empty() {
        instances = instances::select(&arguments.targets, &instances)?;
    }
    let page = rustix::param::page_size() as u64;
    let measured: Vec<Measured> = instances
        .into_iter()
        .map(|view| Measured { memory_bytes: view.pid.and_then(|pid| memory::resident(pid, page)), view })
        .collect();
    if arguments.json {
        terminal.json(&json!({ "version": 1, "daemon": watched, "instances": measured, "strangers": strangers }))?;
    } else {
        terminal.print(text(&measured, watched, now_ms(), terminal))?;
        if let Some(note) = (!watched).then(|| unwatched(&measured, tell_keeper(&home, Wish::Nothing))).flatten() {
            terminal.note(note);
        }
        for (view, other) in measured.iter().filter_map(|one| Some((&one.view, one.view.beside.as_ref()?))) {
            let instance = harmless(view.name.as_bytes(), false);
            terminal.note(&format!("`{instance}:{}` is being replaced; beside it: {}", view.slot, beside(other)));
        }
        for view in measured.iter().map(|one| &one.view) {
            if let Some(waits) = waits_in_vain(view) {
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
    }
    Ok(Exit::Done)
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
fn unwatched(measured: &[Measured], is_kept: bool) -> Option<&'static str> {
    // A keeper whose daemon has ended as it was told to is on its way out, too.
    if is_kept && measured.iter().any(|one| one.view.pid.is_some() || is_down(&one.view)) {
        return Some(
            "no daemon runs just now: the last one has ended, and its keeper starts another, within a minute at the latest",
        );
    }
    if measured.iter().any(|one| one.view.pid.is_some()) {
        return Some(
            "no daemon runs: nobody watches these apps, and what ends stays down; `pmrun apply`, or any command that \
             changes something, starts one, which takes over what runs",
        );
    }
    measured.iter().any(|one| is_down(&one.view)).then_some(
        "no daemon runs, and nothing that should run does; `pmrun apply`, or any command that changes something, \
         starts one, which starts what should run",
    )
}

/// It should run: only of such a one that is stopped there is more to say.
fn is_down(view: &InstanceView) -> bool {
    view.state == "stopped" && view.detail.is_some()
}

/// `online` and `stopped` are what a daemon has seen to.
fn state(view: &InstanceView, watched: bool) -> (String, Option<Colour>) {
    match view {
        _ if watched => (view.state.clone(), Some(hue(&view.state))),
        InstanceView { pid: Some(_), .. } => ("unwatched".to_owned(), Some(Colour::Yellow)),
        view if is_down(view) => ("down".to_owned(), Some(Colour::Red)),
        _ => (view.state.clone(), Some(hue(&view.state))),
    }
}

fn text(measured: &[Measured], watched: bool, now_ms: u64, terminal: &Terminal) -> String {
    let views: Vec<InstanceView> = measured.iter().map(|one| one.view.clone()).collect();
    let namespaces = views.iter().any(|view| view.namespace != "default");
    let restarts = if terminal.unicode { "↺" } else { "restarts" };
    let mut columns: Vec<table::Column> = vec![("id", true), ("name", false)];
    columns.extend(namespaces.then_some(("namespace", false)));
    columns.extend([("pid", true), ("state", false), (restarts, true), ("uptime", true), ("memory", true)]);

    let rows = measured.iter().zip(instances::labels(&views)).map(|(one, label)| {
        let view = &one.view;
        let mut row = vec![(view.id.to_string(), None), (harmless(label.as_bytes(), false), None)];
        row.extend(namespaces.then(|| (harmless(view.namespace.as_bytes(), false), None)));
        row.extend([
            (or_dash(view.pid), None),
            state(view, watched),
            (view.restarts.to_string(), None),
            (or_dash(uptime(view, now_ms)), None),
            (or_dash(one.memory_bytes.map(format_bytes)), None),
        ]);
        row
    });
    table::draw(&columns, rows.collect(), terminal.colour)
}

/// Since when its process runs: `5s`, `3m`, `2h`, `4d`. One unit is what the eye can take in.
pub(super) fn uptime(view: &InstanceView, now_ms: u64) -> Option<String> {
    view.pid?;
    let seconds = now_ms.saturating_sub(view.started_at_ms?) / 1_000;
    Some(rough(seconds))
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

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
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
    fn the_table_shows_namespaces_only_where_there_are_some() {
        let terminal = Terminal::for_test();
        let mut view = InstanceView::sample(3, "api", 0);
        (view.pid, view.started_at_ms, view.state) = (Some(7), Some(0), "online".to_owned());
        let one = |view: &InstanceView| Measured { view: view.clone(), memory_bytes: Some(3 << 20) };
        assert_eq!(
            text(&[one(&view)], true, 61_000, &terminal),
            "id  name  pid  state   restarts  uptime  memory\n 3  api     7  online         0      1m      3M\n"
        );
        view.namespace = "shop".to_owned();
        assert!(text(&[one(&view)], true, 0, &terminal).starts_with("id  name  namespace  pid"));
    }

    #[test]
    fn json_has_the_view_and_the_memory_side_by_side() {
        let value = json!(Measured { view: InstanceView::sample(3, "api", 0), memory_bytes: None });
        assert_eq!((&value["id"], &value["name"], &value["memory_bytes"]), (&json!(3), &json!("api"), &json!(null)));
    }
}
