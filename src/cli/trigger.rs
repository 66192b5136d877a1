//! `trigger` and `inspect`: actions that apps offer over Node's channel, in the words of PM2's libraries.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::terminal::{Terminal, counted, harmless};
use super::{exchange, surroundings};
use crate::base::closest;
use crate::rpc::client::Connection;
use crate::rpc::wire::{Answer, OffersView, Request};

/// An action that has not answered by then is not waited for.
const PATIENCE: Duration = Duration::from_mins(1);
const SOON: Duration = Duration::from_secs(10);

pub(super) const TRIGGER: &str = "\
Examples:
  pmrun trigger api db:clean            have an app do what it offers under this name
  pmrun trigger all loglevel debug      with a parameter

Apps offer actions by PM2's libraries (`@pm2/io`, `tx2`, `pmx`): io.action('db:clean', reply => ...). pmrun puts nothing into
apps by itself.";

#[derive(Args, Debug)]
#[command(after_help = TRIGGER)]
pub(super) struct Trigger {
    #[arg(value_name = "TARGET")]
    pub target: String,

    pub action: String,

    /// What the action is given
    #[arg(allow_hyphen_values = true)]
    pub params: Option<String>,

    /// Print the answers as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Inspect {
    #[arg(value_name = "TARGET")]
    pub target: String,
}

pub(super) fn trigger(arguments: &Trigger, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let Trigger { target, action, params, json } = arguments;
    ask(target, action, params.as_deref(), *json, terminal)
}

pub(super) fn inspect(arguments: &Inspect, terminal: &mut Terminal) -> Result<Exit, CliError> {
    ask(&arguments.target, "internal:inspect", None, false, terminal).map_err(|err| {
        if err.hint.is_some() {
            return err;
        }
        err.hint("`--inspect` in `node_args` opens Node's inspector: each instance has a port of its own")
    })
}

fn ask(
    target: &str,
    action: &str,
    params: Option<&str>,
    json: bool,
    terminal: &mut Terminal,
) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let words = "Not any process has received a command (offline or unexistent)";
    let none = || CliError::error(format!("no instance of `{target}` that runs was told")).in_pm2s_words(words);
    let request = Request::Offers { targets: vec![target.to_owned()] };
    let offers = match exchange::ask_who_follows(&home, &request).map_err(|err| err.in_pm2s_words(words))? {
        Some(Answer::Offers { offers }) => offers,
        Some(other) => return Err(exchange::unexpected(&other)),
        None => return Err(none()),
    };
    // Who may have said so to a daemon before this one is asked, too.
    let offered = |view: &&OffersView| view.offers.as_ref().is_none_or(|offers| offers.has(action));
    let asked: Vec<&OffersView> = offers.iter().filter(offered).collect();
    if asked.is_empty() && !offers.is_empty() {
        return Err(not_offered(target, action, &offers).in_pm2s_words(words));
    }
    let ids: Vec<u32> = asked.iter().map(|view| view.id).collect();
    let mut ear = listen(&home)?;
    let message = params.map_or_else(|| json!(action), |params| json!({ "msg": action, "opts": params }));
    let targets = ids.iter().map(u32::to_string).collect();
    let told = exchange::ask(&home, Request::Tell { targets, message })?;
    let Some(Answer::Done { failed, .. }) = told else { return Err(none()) };
    let mut waiting: Vec<u32> = ids;
    waiting.retain(|id| {
        let view = asked.iter().find(|view| view.id == *id);
        !failed.iter().any(|one| view.is_some_and(|view| view.name == one.app && one.slot == Some(view.slot)))
    });
    if waiting.is_empty() {
        let why = failed.first().map(|one| format!(": {}", one.reason)).unwrap_or_default();
        return Err(CliError { message: format!("no instance of `{target}` was told{why}"), ..none() });
    }
    if !json {
        let text = format!("{} processes have received command {}", waiting.len(), harmless(action.as_bytes(), false));
        if terminal.manners.are_pm2s() {
            terminal.print(format!("{text}\n"))?;
        } else {
            terminal.say(text);
        }
        terminal.flush()?;
    }
    let (deadline, mut replies) = (Instant::now() + PATIENCE, Vec::new());
    while !waiting.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let said = if left.is_zero() { None } else { ear.limit_wait(left).ok().and_then(|()| ear.next_answer().ok()) };
        let Some(said) = said else {
            let who = waiting.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            let many = counted(waiting.len(), "instance");
            return Err(CliError::error(format!(
                "{many} did not answer `{action}` within {}s: {who}",
                PATIENCE.as_secs()
            )));
        };
        let Answer::Said { id, name, namespace, message, .. } = said else { continue };
        let is_reply = message["type"] == "axm:reply" && message["data"]["action_name"] == action;
        let Some(place) = waiting.iter().position(|waits| is_reply && *waits == id) else { continue };
        waiting.remove(place);
        let answer = message["data"]["return"].clone();
        if json {
            replies.push(json!({ "id": id, "name": name, "namespace": namespace, "return": answer }));
        } else {
            let line = format!("[{name}:{id}:{namespace}]={answer}");
            terminal.print(format!("{}\n", harmless(line.as_bytes(), false)))?;
            terminal.flush()?;
        }
    }
    if json {
        terminal.json(&json!({ "version": 1, "action": action, "replies": replies }))?;
    }
    Ok(Exit::Done)
}

fn not_offered(target: &str, action: &str, offers: &[OffersView]) -> CliError {
    let known = offers.iter().filter_map(|view| view.offers.as_ref()).flat_map(|offers| &offers.actions);
    let mut names: Vec<&str> = known.filter_map(|action| action["action_name"].as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let error = CliError::error(format!("no instance of `{target}` that runs offers the action `{action}`"));
    match (closest(action, names.iter().copied()), &names[..]) {
        (Some(name), _) => error.hint(format!("did you mean `{name}`?")),
        (None, []) => error.hint(
            "an app offers actions by PM2's libraries: `require('@pm2/io').action(name, reply => ...)`; \
             `pmrun sendSignal SIGUSR2` reaches any",
        ),
        (None, names) => error.hint(format!("it offers `{}`", names.join("`, `"))),
    }
}

/// Everything that apps say from when this returns.
pub(super) fn listen(home: &std::path::Path) -> Result<Connection, CliError> {
    let cannot = |what: String| CliError::error(format!("cannot listen to what apps say: {what}"));
    let mut connection = Connection::open(home).map_err(|err| cannot(err.to_string()))?;
    connection.limit_wait(SOON).map_err(|err| cannot(err.to_string()))?;
    connection.send(&exchange::call(Request::Heed, false)).map_err(|err| cannot(err.to_string()))?;
    match connection.next_answer().map_err(|err| cannot(err.to_string()))? {
        Answer::Heeding => Ok(connection),
        other => Err(exchange::unexpected(&other)),
    }
}

/// Of each instance, what PM2's list calls `axm_actions`, `axm_monitor` and `axm_options`; nothing where no daemon can say.
pub(super) fn offers(home: &std::path::Path) -> std::collections::BTreeMap<u32, OffersView> {
    let request = Request::Offers { targets: vec!["all".to_owned()] };
    match exchange::ask(home, request) {
        Ok(Some(Answer::Offers { offers })) => offers.into_iter().map(|view| (view.id, view)).collect(),
        _ => std::collections::BTreeMap::new(),
    }
}
