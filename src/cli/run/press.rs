//! How what apps write, and what pmrun has to say of them, is printed.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::json;

use crate::base::{DateFormat, InstanceId};
use crate::cli::arguments;
use crate::cli::progress::subject;
use crate::cli::terminal::{Colour, Terminal, harmless, paint};
use crate::daemon::Said;
use crate::logs::civil;
use crate::logs::console::Press;
use crate::runtime::history::{Entry, What, Why};
use crate::runtime::verdict::Failure;
use crate::spec::AppSpec;

/// Of apps, one after the other.
const HUES: [Colour; 5] = [Colour::Cyan, Colour::Yellow, Colour::Green, Colour::Magenta, Colour::Blue];
/// Whose lines are pmrun's own.
const OWN: &str = "pmrun";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Named,
    Raw,
    Json,
}

/// Prints lines.
#[derive(Clone, Debug)]
pub(super) struct Printer {
    apps: BTreeMap<String, App>,
    shape: Shape,
    width: usize,
    out: Looks,
    err: Looks,
    zone: TimeZone,
}

/// What is known of an app.
#[derive(Clone, Debug)]
struct App {
    namespace: String,
    /// As `list` numbers the first of its instances.
    first: u32,
    instances: u32,
    hue: Colour,
    date_format: Option<DateFormat>,
}

/// What may be written to a stream.
#[derive(Clone, Copy, Debug)]
struct Looks {
    colour: bool,
    /// Somebody looks at it: nothing that apps write may move the cursor.
    terminal: bool,
}

impl Printer {
    pub(super) fn new(specs: &[AppSpec], arguments: &arguments::Run, terminal: &Terminal) -> Self {
        let shape = match (arguments.json, arguments.raw) {
            (true, _) => Shape::Json,
            (false, true) => Shape::Raw,
            (false, false) => Shape::Named,
        };
        let mut first = 0;
        let mut apps = BTreeMap::new();
        for (spec, hue) in specs.iter().zip(HUES.into_iter().cycle()) {
            let app = App {
                namespace: spec.namespace.clone(),
                first,
                instances: spec.instances,
                hue,
                date_format: spec.logs.date_format.as_deref().map(DateFormat::parse),
            };
            first += spec.instances;
            apps.insert(spec.name.clone(), app);
        }
        let mut printer = Self {
            apps,
            shape,
            width: OWN.len(),
            out: Looks { colour: terminal.colour, terminal: terminal.interactive },
            err: Looks { colour: terminal.colour_err, terminal: std::io::stderr().is_terminal() },
            zone: TimeZone::system(),
        };
        let last = |(name, app): (&String, &App)| InstanceId::new(name, app.instances.saturating_sub(1));
        let widths = printer.apps.iter().map(last).map(|id| printer.label(&id).chars().count());
        printer.width = widths.chain([OWN.len()]).max().unwrap_or(0);
        printer
    }

    /// `api`, or `api:1` where it has several instances.
    fn label(&self, id: &InstanceId) -> String {
        let name = harmless(id.app.as_bytes(), false);
        match self.apps.get(&id.app) {
            Some(app) if app.instances == 1 && id.slot == 0 => name,
            _ => format!("{name}:{}", id.slot),
        }
    }

    fn prefix(&self, label: &str, hue: Colour, looks: Looks) -> String {
        paint(looks.colour, hue, &format!("{label:width$} | ", width = self.width))
    }

    fn object(&self, id: &InstanceId, error: bool, line: &[u8], at: Timestamp) -> String {
        let app = self.apps.get(&id.app);
        let number = app.filter(|app| id.slot < app.instances).map(|app| app.first + id.slot);
        let object = json!({
            "message": String::from_utf8_lossy(line),
            "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            "timestamp_from": "arrival",
            "type": if error { "err" } else { "out" },
            "process_id": number,
            "app_name": id.app,
            "namespace": app.map(|app| &app.namespace),
            "instance": id.to_string(),
        });
        object.to_string()
    }
}

impl Press for Printer {
    /// Data goes to stdout: which stream it was is in it.
    fn is_for_stderr(&self, error: bool) -> bool {
        error && self.shape != Shape::Json
    }

    fn line(&self, id: &InstanceId, error: bool, line: &[u8], page: &mut Vec<u8>) {
        if self.shape == Shape::Json {
            page.extend(self.object(id, error, line, Timestamp::now()).into_bytes());
            page.push(b'\n');
            return;
        }
        let looks = if error { self.err } else { self.out };
        if self.shape == Shape::Named {
            let hue = self.apps.get(&id.app).map_or(Colour::Dim, |app| app.hue);
            page.extend(self.prefix(&self.label(id), hue, looks).into_bytes());
        }
        if let Some(format) = self.apps.get(&id.app).and_then(|app| app.date_format.as_ref()) {
            let mut time = String::new();
            format.write(&civil(&Zoned::now().with_time_zone(self.zone.clone())), &mut time);
            page.extend(time.bytes().chain(*b": "));
        }
        if looks.terminal {
            page.extend(harmless(line, true).into_bytes());
        } else {
            page.extend(line);
        }
        page.push(b'\n');
    }
}

/// What is said of apps, on stderr.
pub(super) fn words(printer: &Printer) -> impl Fn(Said<'_>) -> Option<String> + Send + Sync + use<> {
    let printer = printer.clone();
    move |said| {
        if printer.shape == Shape::Json {
            return Some(match said {
                Said::Event(entry) => event(entry)?,
                Said::Note(note) => noted(note),
                Said::Failed(failure) => noted(&failed(failure)),
            });
        }
        let text = match said {
            Said::Event(entry) => format!("{} {}", printer.label(&id_of(entry)?), sentence(&entry.what)?),
            Said::Note(note) => note.to_owned(),
            Said::Failed(failure) => failed(failure),
        };
        let text = harmless(text.as_bytes(), false);
        Some(match printer.shape {
            Shape::Named => format!("{}{text}", printer.prefix(OWN, Colour::Dim, printer.err)),
            Shape::Raw | Shape::Json => format!("{OWN}: {text}"),
        })
    }
}

fn noted(note: &str) -> String {
    json!({ "version": 1, "note": note }).to_string()
}

fn failed(failure: &Failure) -> String {
    format!("`{}` failed first: exit code {}", subject(&failure.app, failure.slot), failure.code)
}

fn id_of(entry: &Entry) -> Option<InstanceId> {
    Some(InstanceId::new(entry.app.as_ref()?.as_str(), entry.slot?))
}

/// As `events --json` has it, but for the number, which counts what is kept.
fn event(entry: &Entry) -> Option<String> {
    // Of the run itself there is nothing to say that its end does not.
    entry.app.as_ref()?;
    let mut value = serde_json::to_value(entry).ok()?;
    value.as_object_mut()?.shift_remove("number");
    Some(value.to_string())
}

/// Nothing where another line says it.
fn sentence(what: &What) -> Option<String> {
    Some(match what {
        What::Started { pid, why: Why::Resume, .. } => format!("started (pid {pid})"),
        What::Completed { .. } | What::Stopped { .. } | What::Stopping { why: Why::Signal, .. } => return None,
        what => what.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ExitStatus, Now};

    fn printer(shape: Shape) -> Printer {
        let mut worker = AppSpec::new("worker", "/w", "/");
        worker.instances = 2;
        let specs = [AppSpec::new("api", "/a", "/"), worker];
        let arguments = arguments::Run {
            source: arguments::Source::default(),
            only: Vec::new(),
            exit_on_failure: false,
            grace: None,
            strict: false,
            raw: shape == Shape::Raw,
            json: shape == Shape::Json,
        };
        let looks = Looks { colour: false, terminal: false };
        Printer { out: looks, err: looks, ..Printer::new(&specs, &arguments, &Terminal::for_test()) }
    }

    fn printed(printer: &Printer, id: (&str, u32), error: bool, line: &str) -> [String; 2] {
        let mut pages = [Vec::new(), Vec::new()];
        let page = &mut pages[usize::from(printer.is_for_stderr(error))];
        printer.line(&InstanceId::new(id.0, id.1), error, line.as_bytes(), page);
        pages.map(|page| String::from_utf8(page).unwrap())
    }

    #[test]
    fn lines_say_whose_they_are_and_stay_on_their_stream() {
        let named = printer(Shape::Named);
        assert_eq!(printed(&named, ("api", 0), false, "x"), ["api      | x\n", ""]);
        assert_eq!(printed(&named, ("worker", 1), true, "y"), ["", "worker:1 | y\n"]);
        assert_eq!(printed(&printer(Shape::Raw), ("api", 0), true, "x"), ["", "x\n"]);
        let [out, err] = printed(&printer(Shape::Json), ("worker", 1), true, "x");
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((err.as_str(), out.lines().count()), ("", 1));
        assert_eq!(
            (&value["message"], &value["type"], &value["process_id"], &value["instance"]),
            (&json!("x"), &json!("err"), &json!(2), &json!("worker:1"))
        );
    }

    #[test]
    fn what_is_said_is_short() {
        let entry = |what| Entry::of_instance(&InstanceId::new("api", 0), what, Now::default());
        let started = What::Started { pid: 5, restarts: 0, why: Why::Resume, error_log: None, error_log_offset: 0 };
        let exited = What::Exited { status: ExitStatus::Code(3), after_ms: Some(1_000), asked: false };
        let table = [
            (started, Some("pmrun    | api started (pid 5)")),
            (exited.clone(), Some("pmrun    | api ended after 1.0s: exit code 3")),
            (What::Stopped { why: Why::Signal }, None),
        ];
        let say = words(&printer(Shape::Named));
        for (what, want) in table {
            assert_eq!(say(Said::Event(&entry(what))).as_deref(), want);
        }
        assert_eq!(words(&printer(Shape::Raw))(Said::Note("x\x1b[2J")).unwrap(), "pmrun: x\\u{1b}[2J");
        let json = words(&printer(Shape::Json))(Said::Event(&entry(exited))).unwrap();
        assert_eq!(
            json,
            r#"{"at_ms":0,"app":"api","slot":0,"event":"exited","status":{"code":3},"after_ms":1000,"asked":false}"#
        );
    }
}
