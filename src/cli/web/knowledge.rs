//! What the daemon, the system and the files know, for whoever asks over HTTP.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{machine, tail};
use crate::cli::history::{self, History};
use crate::cli::instances;
use crate::cli::jlist;
use crate::cli::looks::{self, Looks};
use crate::cli::{list, offline};
use crate::http::{Action, Feed, Instance, Load, Problem, Source, Streams};
use crate::logs::{Follower, Line, Log, Reader, Sink, Stamps, Told, Wanted};
use crate::platform::reason;
use crate::rpc::client::{ConnectError, Connection};
use crate::rpc::wire::{Answer, AppView, Call, InstanceView, PROTOCOL, Request, Scale};
use crate::runtime::history::HISTORY;

/// What only reads is answered within milliseconds.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
/// An app may take its time to stop; nobody waits for ever.
const CHANGE_PATIENCE: Duration = Duration::from_mins(10);
/// What reading a config may take, and then some.
const PLAN_PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(in crate::cli) struct Knowledge {
    home: PathBuf,
    /// Through whom what is changed is changed.
    by: &'static str,
    looks: Mutex<Looks>,
    /// What was said of all apps, as of which revision.
    apps: Mutex<Option<(u64, Arc<str>)>>,
    /// Reading a config is work: one at a time.
    planning: Mutex<()>,
}

impl Knowledge {
    pub(in crate::cli) fn new(home: PathBuf, by: &'static str) -> Self {
        Self { home, by, looks: Mutex::default(), apps: Mutex::default(), planning: Mutex::default() }
    }

    /// The last answer to a question.
    fn ask(&self, request: Request, words: &[&str], patience: Duration) -> Result<Answer, Problem> {
        let gone = |error: &io::Error| Problem::unavailable(format!("the daemon does not answer: {}", reason(error)));
        let mut connection = Connection::open(&self.home).map_err(|error| match error {
            ConnectError::NoDaemon => Problem::unavailable("no daemon runs")
                .hint("any command that changes something starts one: `pmrun apply`"),
            other => Problem::unavailable(other.to_string()),
        })?;
        connection.limit_wait(patience).map_err(|error| gone(&error))?;
        let call = Call {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            no_wait: true,
            uid: None,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            request,
        };
        connection.send(&call).map_err(|error| gone(&error))?;
        loop {
            match connection.next_answer().map_err(|error| gone(&error))? {
                Answer::Waiting { .. } | Answer::Begun { .. } | Answer::Progress(_) | Answer::GoingBack { .. } => {}
                answer => return understood(answer),
            }
        }
    }

    fn list(&self, target: Option<&str>) -> Result<Vec<InstanceView>, Problem> {
        let Answer::List { instances, .. } = self.ask(Request::List, &[], LOOK_PATIENCE)? else {
            return Err(strange());
        };
        match target {
            Some(target) => instances::select(&[target.to_owned()], &instances)
                .map_err(|error| Problem::missing(error.message.clone())),
            None => Ok(instances),
        }
    }

    fn show(&self, target: Option<&str>) -> Result<Vec<AppView>, Problem> {
        let targets = target.iter().map(|target| (*target).to_owned()).collect();
        let request = Request::Show { targets, reveal: false, ambient: false };
        let Answer::Show { apps, .. } = self.ask(request, &[], LOOK_PATIENCE)? else { return Err(strange()) };
        Ok(apps)
    }

    /// With the names of their variables.
    fn described(&self, target: Option<&str>) -> Result<Vec<Value>, Problem> {
        let app = |mut app: AppView| {
            let variables: Vec<String> = std::mem::take(&mut app.spec.env).into_keys().collect();
            let mut spec = json!(app.spec);
            if let Some(fields) = spec.as_object_mut() {
                fields.remove("env");
            }
            let instances: Vec<Value> = app
                .instances
                .iter()
                .map(|view| json!({ "id": view.id, "slot": view.slot, "state": view.state }))
                .collect();
            json!({
                "name": app.spec.name,
                "file": app.file,
                "variables": variables,
                "spec": spec,
                "instances": instances,
            })
        };
        Ok(self.show(target)?.into_iter().map(app).collect())
    }

    fn loads<'a>(&self, views: impl Iterator<Item = &'a InstanceView>) -> looks::Loads {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.look(views.filter_map(|view| view.pid))
    }
}

fn strange() -> Problem {
    Problem::broken("the daemon gave an answer of another kind")
}

/// An answer to what was asked, and else why there is none.
fn understood(answer: Answer) -> Result<Answer, Problem> {
    match answer {
        Answer::UnknownTarget { target, suggestion, problem } => {
            let found = problem.unwrap_or_else(|| format!("nothing is called `{target}`"));
            let problem = Problem::missing(found);
            Err(match suggestion {
                Some(name) => problem.hint(format!("did you mean `{name}`?")),
                None => problem,
            })
        }
        Answer::Busy { holder, pid, for_ms } => {
            let at_work = format!("{holder} (pid {pid}) has been at work for {}s", for_ms / 1_000);
            Err(Problem::conflict(at_work).hint("try again when it is done"))
        }
        Answer::Ending => Err(Problem::unavailable("the daemon is on its way out")),
        Answer::Refused { refusals } => {
            let said: Vec<String> = refusals.iter().map(ToString::to_string).collect();
            Err(Problem::conflict(said.join("; ")))
        }
        Answer::Error { message, hint } => {
            let problem = Problem::conflict(message);
            Err(match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            })
        }
        answer => Ok(answer),
    }
}

impl Source for Knowledge {
    fn is_up(&self) -> bool {
        self.ask(Request::Ping, &[], LOOK_PATIENCE).is_ok()
    }

    fn pm2(&self) -> Result<Value, Problem> {
        let apps = self.show(None)?;
        let loads = self.loads(apps.iter().flat_map(|app| &app.instances));
        let (owner, layout) = (list::owner(&self.home), offline::layout(&self.home));
        let mut processes = Vec::new();
        for app in &apps {
            for view in &app.instances {
                let load = view.pid.and_then(|pid| loads.get(&pid).copied());
                processes.push((view.id, jlist::bare(app, view, load, &owner, &layout)));
            }
        }
        processes.sort_by_key(|(id, _)| *id);
        let processes: Vec<Value> = processes.into_iter().map(|(_, process)| process).collect();
        let (system, monit) = machine::facts();
        Ok(json!({ "system_info": system, "monit": monit, "processes": processes }))
    }

    fn instances(&self, target: Option<&str>) -> Result<Vec<Instance>, Problem> {
        let views = self.list(target)?;
        let loads = self.loads(views.iter());
        let instance = |view: InstanceView| {
            let load = view.pid.and_then(|pid| loads.get(&pid)).map(|load| Load {
                memory_bytes: load.memory_bytes,
                cpu_percent: load.cpu_percent(),
                cpu_ms: load.cpu_ms,
                processes: load.processes,
            });
            Instance { view, load }
        };
        Ok(views.into_iter().map(instance).collect())
    }

    fn apps(&self, target: &str) -> Result<Vec<Value>, Problem> {
        self.described(Some(target))
    }

    fn all_apps(&self) -> Result<Arc<str>, Problem> {
        // Asked before: what has changed since is seen the next time.
        let revision = match self.ask(Request::Revision, &[], LOOK_PATIENCE) {
            Ok(Answer::Revision { revision }) => revision,
            // An older daemon.
            _ => None,
        };
        let lock = || self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(revision), Some((known, text))) = (revision, &*lock())
            && revision == *known
        {
            return Ok(Arc::clone(text));
        }
        let text: Arc<str> = json!({ "apps": self.described(None)? }).to_string().into();
        *lock() = revision.map(|revision| (revision, Arc::clone(&text)));
        Ok(text)
    }

    fn events(&self, after: u64, most: usize) -> Result<Vec<Value>, Problem> {
        let history = History::read(&self.home).map_err(|error| Problem::unavailable(error.message))?;
        let lines = history.lines();
        let wanted = lines.iter().filter(|(number, _)| *number > after);
        let values: Vec<Value> = wanted.filter_map(|(_, line)| serde_json::from_str(line).ok()).collect();
        Ok(values[values.len().saturating_sub(most)..].to_vec())
    }

    fn history(&self, count: u64) -> Result<Vec<Value>, Problem> {
        let answer = self.ask(Request::History { count }, &[], LOOK_PATIENCE)?;
        let Answer::History { generations, .. } = answer else { return Err(strange()) };
        Ok(generations.iter().map(|generation| record(json!(generation))).collect())
    }

    fn generation(&self, number: u64) -> Result<Value, Problem> {
        let asked = self.ask(Request::Generation { number }, &[], LOOK_PATIENCE);
        // The daemon says that it is not there as it says that something cannot be done.
        let answer = asked.map_err(Problem::or_missing)?;
        let Answer::Generation { generation, plan, .. } = answer else { return Err(strange()) };
        let generation = generation.ok_or_else(|| Problem::missing(format!("no generation {number} is kept")))?;
        Ok(json!({ "generation": record(json!(generation)), "plan": without_variables(json!(plan)) }))
    }

    fn plan(&self, file: Option<&str>, profile: Option<&str>) -> Result<Value, Problem> {
        let mut files: Vec<String> = self.show(None)?.into_iter().filter_map(|app| app.file).collect();
        files.sort();
        files.dedup();
        // Others are none of a network's business.
        let file = match (file, &files[..]) {
            (Some(file), files) if files.iter().any(|known| known == file) => file.to_owned(),
            (None, [file]) => file.clone(),
            (None, []) => return Err(Problem::missing("no app has come from a file")),
            (Some(_), _) => return Err(Problem::missing("no app has come from that file")),
            (None, _) => {
                let files = files.join("`, `");
                return Err(Problem::conflict(format!("apps have come from several files: `{files}`"))
                    .hint("`?file=` names one"));
            }
        };
        let busy = |_| Problem::conflict("another plan is being made").hint("try again in a moment");
        let _turn = self.planning.try_lock().map_err(busy)?;
        let (code, plan) = diff(&self.home, &file, profile)?;
        Ok(json!({ "file": file, "changes": code == 2, "plan": without_variables(plan) }))
    }

    fn logs(&self, target: &str, streams: Streams, lines: usize) -> Result<Vec<Value>, Problem> {
        tail::last(&self.list(Some(target))?, streams, lines)
    }

    fn follow_events(&self, feed: Feed) {
        let log =
            Log { path: self.home.join(HISTORY), stamps: Stamps::new(None, false, TimeZone::UTC), lines: Some(0) };
        let Ok(follower) = Follower::new(Reader::new(vec![log], Wanted::default())) else { return };
        let mut fed = Fed { feed: &feed };
        // It ends with the program.
        let _ = follower.with_listener(feed.listener.as_fd()).run(&mut fed);
    }

    fn follow_logs(&self, target: &str, streams: Streams, lines: usize, feed: Feed) -> Result<(), Problem> {
        tail::follow(&self.list(Some(target))?, streams, lines, &feed)
    }

    fn act(&self, target: &str, action: Action) -> Result<Value, Problem> {
        let targets = vec![target.to_owned()];
        let (word, request) = match action {
            Action::Start => ("start", Request::Start { targets }),
            Action::Stop => ("stop", Request::Stop { targets }),
            Action::Restart => ("restart", Request::Restart { targets }),
            Action::Reload => ("reload", Request::Reload { targets, parallel: None }),
            Action::Delete => ("delete", Request::Delete { targets }),
            Action::Scale(count) => ("scale", Request::Scale { targets, to: Scale::To(count) }),
        };
        match self.ask(request, &[self.by, word, target], CHANGE_PATIENCE)? {
            Answer::Done { touched, failed } => Ok(json!({ "touched": touched, "failed": failed })),
            Answer::Cancelled { .. } => Err(Problem::conflict("it was given up")),
            _ => Err(strange()),
        }
    }
}

/// Of a generation, without what it did: that is asked for apart.
fn record(mut generation: Value) -> Value {
    if let Some(fields) = generation.as_object_mut() {
        fields.remove("plan");
    }
    generation
}

/// A plan tells of variables that they change, and over the network not from what to what.
fn without_variables(mut value: Value) -> Value {
    hide_variables(&mut value);
    value
}

fn hide_variables(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide_variables),
        Value::Object(fields) => {
            let names = ["field", "path", "name"].iter().filter_map(|name| fields.get(*name)?.as_str());
            let is_of_env = names.into_iter().any(|name| name == "env" || name.starts_with("env."));
            for (name, inner) in fields.iter_mut() {
                let is_value = matches!(name.as_str(), "old" | "new" | "from" | "to" | "before" | "after");
                let is_env = name == "env" || name.starts_with("env.");
                if is_env || is_of_env && is_value {
                    *inner = Value::Null;
                } else {
                    hide_variables(inner);
                }
            }
        }
        _ => {}
    }
}

/// What `diff` says of a file, in a process of its own: whatever a config does, it ends.
fn diff(home: &Path, file: &str, profile: Option<&str>) -> Result<(i32, Value), Problem> {
    let cannot = |what: &str| Problem::broken(format!("the plan cannot be made: {what}"));
    let program = std::env::current_exe().map_err(|error| cannot(&reason(&error)))?;
    let mut command = Command::new("timeout");
    command.arg(PLAN_PATIENCE.as_secs().to_string()).arg(program).args(["diff", "--json"]);
    command.args(profile.map(|profile| format!("--env={profile}"))).arg("--").arg(file);
    command.env("PMRUN_HOME", home).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(folder) = Path::new(file).parent().filter(|folder| folder.is_dir()) {
        command.current_dir(folder).env_remove("PWD");
    }
    let output = command.output().map_err(|error| cannot(&reason(&error)))?;
    match (output.status.code(), serde_json::from_slice::<Value>(&output.stdout)) {
        (Some(code @ (0 | 2)), Ok(plan)) if plan.is_object() => Ok((code, plan)),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: Option<Value> = said.lines().rev().find_map(|line| serde_json::from_str(line).ok());
            let said = said.and_then(|said| said["error"].as_str().map(str::to_owned));
            Err(Problem::conflict(said.unwrap_or_else(|| "the file cannot be used".to_owned()))
                .hint(format!("`pmrun validate {file}` says what is wrong with it")))
        }
    }
}

struct Fed<'a> {
    feed: &'a Feed,
}

impl Sink for Fed<'_> {
    fn line(&mut self, _: usize, line: &Line, _: &Told<'_>, _: Option<Timestamp>) -> io::Result<()> {
        let line = String::from_utf8_lossy(&line.bytes);
        match history::number(&line).zip(serde_json::from_str::<Value>(&line).ok()) {
            Some((number, event)) => self.feed.give("app", Some(number), &event),
            None => Ok(()),
        }
    }

    fn trouble(&mut self, _: usize, _: &Path, _: &io::Error) {}

    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_tell_of_variables_and_not_of_their_values() {
        let plan = json!({ "steps": [
            { "app": "api", "changes": [{ "field": "env.PORT", "old": "1", "new": "2" }, { "field": "script", "old": "a", "new": "b" }] },
            { "spec": { "env": { "A": "1" }, "name": "x" } },
        ] });
        let want = json!({ "steps": [
            { "app": "api", "changes": [{ "field": "env.PORT", "old": null, "new": null }, { "field": "script", "old": "a", "new": "b" }] },
            { "spec": { "env": null, "name": "x" } },
        ] });
        assert_eq!(without_variables(plan), want);
    }
}
