//! `migrate pm2`: the apps of a PM2, one after the other, each with PM2 as the way back.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::ambient::ambient;
use super::api::amp::{self, Arg, Decoder};
use super::convert;
use super::error::CliError;
use super::exit::Exit;
use super::instances;
use super::loading;
use super::surroundings;
use super::terminal::{Terminal, counted, harmless};
use crate::config::pm2_dump::{self, Dumped};
use crate::document::{Entry, Format, Key, Kind, Node};

/// An app may take its time to stop.
const PATIENCE: Duration = Duration::from_mins(2);
const FILE: &str = "ecosystem.config.json";
/// What the apps belong to from then on.
const ECOSYSTEM: &str = "pm2";

pub(super) const HELP: &str = "\
Examples:
  pmrun migrate pm2 --dry-run          write what PM2 runs as ecosystem.config.json, and show what would be done
  pmrun migrate pm2                    then stop each app in PM2 and start it here, one after the other
  pmrun migrate pm2 --only api,web

An app that does not come up here is deleted again and started in PM2 as it was. PM2 goes on running, and knows the apps that were taken over as
stopped: `pm2 kill` ends it. Where no PM2 runs, its dump is read (`pm2 save` writes it).";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(super) struct Migrate {
    /// What is left
    #[arg(value_parser = ["pm2"])]
    pub from: String,

    /// PM2's home (default: PM2_HOME or ~/.pm2)
    #[arg(long, value_name = "FOLDER")]
    pub pm2_home: Option<PathBuf>,

    /// Where the apps are written to
    #[arg(short, long, value_name = "FILE", default_value = FILE)]
    pub out: PathBuf,

    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,

    /// Only these apps
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Write the file and show the plan; nothing is stopped or started
    #[arg(long)]
    pub dry_run: bool,
}

/// One app, and its processes in PM2.
struct App {
    name: String,
    node: Node,
    /// Those that run.
    ids: Vec<u64>,
    runs: bool,
    /// PM2 starts it at its times though it is stopped.
    cron: bool,
}

pub(super) fn run(arguments: &Migrate, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let world = surroundings::world()?;
    let home = surroundings::home()?;
    let named = arguments.pm2_home.clone().or_else(|| world.env.get("PM2_HOME").map(PathBuf::from));
    let theirs = named.or_else(|| world.home.as_ref().map(|home| home.join(".pm2")));
    let theirs =
        theirs.ok_or_else(|| CliError::error("nobody says where PM2's home is").hint("`--pm2-home` names it"))?;
    if theirs == home || theirs.join("pmrun.sock").exists() {
        return Err(CliError::error(format!("`{}` is a home of pmrun's, and not PM2's", theirs.display()))
            .hint("`--pm2-home` names PM2's"));
    }
    refuse_a_second(&home, &arguments.out)?;
    let mut pm2 = Pm2::connect(&theirs);
    let processes = match &mut pm2 {
        Some(pm2) => pm2.call("getMonitorData", &json!({})).map_err(|error| of_pm2(&error))?,
        None => dumped(&theirs)?,
    };
    if pm2.is_none() {
        refuse_orphans(&processes, &theirs)?;
    }
    let (dumped, notes) =
        pm2_dump::parse(processes.to_string().as_bytes(), &ambient(&world.env)).map_err(|error| of_pm2(&error))?;
    for note in notes {
        terminal.note(&harmless(note.as_bytes(), false));
    }
    let apps = chosen(dumped, &processes, &arguments.only)?;
    if apps.is_empty() {
        terminal.say("PM2 has no apps: nothing to take over");
        return Ok(Exit::Done);
    }
    let out = loading::absolute(&arguments.out, &world);
    write(&apps, &out, arguments.force)?;
    terminal.say(format!("{}: written, with {}", arguments.out.display(), counted(apps.len(), "app")));
    terminal.note("it holds the variables of the apps: only you may read it");
    terminal.flush()?;
    // What is shown is what `apply` does.
    let shown = pmrun(&home, &out, &["diff"], &[])?;
    if !matches!(shown, Some(0 | 2)) {
        return Err(CliError::new(
            Exit::Config,
            "what PM2 runs cannot be started here as it is; PM2 goes on as before",
        )
        .hint(format!("edit `{}`, then `pmrun apply` it, app by app (--only)", arguments.out.display())));
    }
    if arguments.dry_run {
        return Ok(Exit::Changes);
    }
    let mut left = Vec::new();
    for app in &apps {
        if !take_over(app, &home, &out, pm2.as_mut(), terminal)? {
            left.push(format!("`{}`", harmless(app.name.as_bytes(), false)));
        }
    }
    if pm2.is_some() {
        terminal.note("PM2 runs, and knows what was taken over as stopped: `pm2 kill` ends it, `pm2 unstartup` keeps it from coming back at boot");
    }
    if left.is_empty() {
        let stopped = match apps.iter().filter(|app| !app.runs).count() {
            0 => String::new(),
            stopped => format!(", {stopped} of them stopped as in PM2"),
        };
        terminal.say(format!(
            "{} taken over{stopped}; `pmrun startup` has them started at boot",
            counted(apps.len(), "app")
        ));
        return Ok(Exit::Done);
    }
    let where_they_are = if pm2.is_some() { "run in PM2 as before" } else { "do not run" };
    Err(CliError::new(Exit::NotReady, format!("not taken over: {}, which {where_they_are}", left.join(", "))))
}

/// PM2 knows what was taken over as stopped: what would be written then would stop it here, and leave out what was deleted there.
fn refuse_a_second(home: &Path, out: &Path) -> Result<(), CliError> {
    let here = instances::all(home)?;
    let mut names: Vec<String> = (here.iter())
        .filter(|view| view.ecosystem.as_deref() == Some(ECOSYSTEM))
        .map(|view| format!("`{}`", harmless(view.name.as_bytes(), false)))
        .collect();
    names.dedup();
    if names.is_empty() {
        return Ok(());
    }
    let out = out.display();
    Err(CliError::error(format!("taken over before: {}", names.join(", "))).hint(format!(
        "for what is left, stop it in PM2 and `pmrun apply {out} --only APP`; or `pmrun delete` these, and begin anew"
    )))
}

/// Processes that go on after their PM2 has died would run twice.
fn refuse_orphans(processes: &Value, theirs: &Path) -> Result<(), CliError> {
    let mark = [b"PM2_HOME=", theirs.as_os_str().as_encoded_bytes()].concat();
    let orphan = |process: &Value| {
        let pid: u32 = std::fs::read_to_string(field(process, "pm_pid_path").as_str()?).ok()?.trim().parse().ok()?;
        let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        environ.split(|byte| *byte == 0).any(|variable| variable == mark).then_some(pid)
    };
    let orphans: Vec<String> =
        processes.as_array().into_iter().flatten().filter_map(orphan).map(|pid| pid.to_string()).collect();
    if orphans.is_empty() {
        return Ok(());
    }
    let pids = orphans.join(" ");
    Err(CliError::error(format!("PM2 does not run, and processes of it do: {pids}"))
        .hint(format!("`kill {pids}` ends them, then try again; here they would run twice")))
}

fn of_pm2(error: &str) -> CliError {
    CliError::error(format!("what PM2 runs cannot be read: {error}"))
}

/// What was saved, where no PM2 runs.
fn dumped(home: &Path) -> Result<Value, CliError> {
    let path = home.join("dump.pm2");
    let text = pm2_dump::read(&path).map_err(|error| {
        CliError::io("read", &path, &error)
            .hint("no PM2 runs there that could be asked, either; `--pm2-home` names another home")
    })?;
    serde_json::from_slice(&text).map_err(|error| of_pm2(&error.to_string()))
}

fn chosen(dumped: Vec<Dumped>, processes: &Value, only: &[String]) -> Result<Vec<App>, CliError> {
    let names: BTreeSet<&str> = dumped.iter().map(|app| app.name.as_str()).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name.as_str())) {
        let suggestion = crate::base::closest(unknown, names.iter().copied());
        return Err(CliError::error(format!("PM2 has no app `{unknown}`")).suggest(suggestion));
    }
    let of = |app: Dumped| {
        let all = processes.as_array().into_iter().flatten();
        let own: Vec<&Value> = all.filter(|process| field(process, "name") == app.name.as_str()).collect();
        let is_up =
            |process: &&&Value| !matches!(field(process, "status").as_str(), Some("stopped" | "errored" | "stopping"));
        App {
            ids: own.iter().filter(is_up).filter_map(|process| field(process, "pm_id").as_u64()).collect(),
            cron: own.iter().any(|process| !field(process, "cron_restart").is_null()),
            runs: !app.up.is_empty(),
            name: app.name,
            node: app.node,
        }
    };
    Ok(dumped.into_iter().filter(|app| only.is_empty() || only.contains(&app.name)).map(of).collect())
}

/// A dump has the fields of `pm2_env` themselves.
fn field<'a>(process: &'a Value, name: &str) -> &'a Value {
    if process["pm2_env"].is_object() { &process["pm2_env"][name] } else { &process[name] }
}

fn write(apps: &[App], path: &Path, force: bool) -> Result<(), CliError> {
    let entry =
        |text: &str, kind| Entry { key: Key { text: text.to_owned(), span: None }, value: Node::new(kind, None) };
    let node = |app: &App| {
        let mut node = app.node.clone();
        // What was stopped stays so.
        if let (false, Kind::Mapping(entries)) = (app.runs, &mut node.kind) {
            entries.retain(|entry| entry.key.text != "autostart");
            entries.push(entry("autostart", Kind::Bool(false)));
        }
        node
    };
    let all = Kind::Sequence(apps.iter().map(node).collect());
    let document = Kind::Mapping(vec![entry("name", Kind::String(ECOSYSTEM.to_owned())), entry("apps", all)]);
    let text = convert::proven(&Node::new(document, None), Format::Json).map_err(|unsaid| unsaid.at(None))?;
    // What `--dry-run` has written, say.
    let is_there = std::fs::read(path).is_ok_and(|found| found == text.as_bytes());
    let saved = if is_there { Ok(()) } else { convert::save(path, &text, force) };
    saved.map_err(|err| err.hint("`--out` names another file, `--force` writes over this one"))?;
    let private = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
    private.map_err(|err| CliError::io("protect", path, &err))
}

/// True when it runs here. Else it is as it was.
fn take_over(
    app: &App,
    home: &Path,
    file: &Path,
    mut pm2: Option<&mut Pm2>,
    terminal: &mut Terminal,
) -> Result<bool, CliError> {
    let name = harmless(app.name.as_bytes(), false);
    let mut stopped = Vec::new();
    let mut problem = None;
    if let Some(pm2) = pm2.as_deref_mut() {
        for id in &app.ids {
            terminal.say(format!("{name}: stopping {id} in PM2"));
            stopped.push(*id);
            if let Err(error) = pm2.call("stopProcessId", &json!(id)) {
                problem = Some(format!("PM2 does not stop it: {error}"));
                break;
            }
        }
    }
    terminal.flush()?;
    if problem.is_none() {
        match pmrun(home, file, &["apply"], &["--only", &app.name])? {
            Some(0) => {
                if let (Some(pm2), true) = (pm2, app.cron) {
                    for id in &app.ids {
                        terminal.say(format!("{name}: deleted in PM2, which would start it at its times"));
                        let _ = pm2.call("deleteProcessId", &json!(id));
                    }
                }
                return Ok(true);
            }
            _ => problem = Some("it does not come up here".to_owned()),
        }
        // Whatever is there of it is in PM2's way.
        let _ = pmrun(home, Path::new(&app.name), &["delete"], &[])?;
    }
    let problem = problem.unwrap_or_default();
    terminal.say(format!("{name}: {problem}"));
    if let Some(pm2) = pm2 {
        for id in stopped {
            match pm2.call("restartProcessId", &json!({ "id": id, "env": {} })) {
                Ok(_) => terminal.say(format!("{name}: {id} is started again in PM2")),
                Err(error) => terminal.say(format!("{name}: PM2 does not start {id} again: {error}")),
            }
        }
    }
    Ok(false)
}

/// One of this program's own commands, as somebody would type it.
fn pmrun(home: &Path, what: &Path, words: &[&str], options: &[&str]) -> Result<Option<i32>, CliError> {
    let cannot = |error: &std::io::Error| CliError::error(format!("this program cannot be run: {error}"));
    let program = std::env::current_exe().map_err(|error| cannot(&error))?;
    let mut command = Command::new(program);
    command.args(words).args(options).arg("--").arg(what).env("PMRUN_HOME", home).stdin(Stdio::null());
    Ok(command.status().map_err(|error| cannot(&error))?.code())
}

/// A PM2 that runs.
struct Pm2 {
    stream: UnixStream,
    decoder: Decoder,
    calls: u64,
}

impl Pm2 {
    fn connect(home: &Path) -> Option<Self> {
        let stream = UnixStream::connect(home.join("rpc.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        Some(Self { stream, decoder: Decoder::default(), calls: 0 })
    }

    fn call(&mut self, method: &str, arg: &Value) -> Result<Value, String> {
        let lost = |error: std::io::Error| format!("PM2 does not answer: {error}");
        let id = format!("pmrun:{}", self.calls);
        self.calls += 1;
        let message = json!({ "type": "call", "method": method, "args": [arg] });
        self.stream.write_all(&amp::encode(&[Arg::Json(message), Arg::Text(id.clone())])).map_err(lost)?;
        let mut piece = vec![0; 64 << 10];
        loop {
            while let Some(mut args) = self.decoder.next().map_err(|garbage| format!("PM2 says {}", garbage.0))? {
                let (is_ours, answer) = (args.pop() == Some(Arg::Text(id.clone())), args.into_iter().next());
                if let (true, Some(Arg::Json(answer))) = (is_ours, answer) {
                    return match answer.get("error") {
                        Some(error) => Err(error.as_str().map_or_else(|| error.to_string(), str::to_owned)),
                        None => Ok(answer["args"][0].clone()),
                    };
                }
            }
            match self.stream.read(&mut piece).map_err(lost)? {
                0 => return Err("PM2 has hung up".to_owned()),
                length => self.decoder.take(&piece[..length]),
            }
        }
    }
}
