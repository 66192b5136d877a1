//! `send` and `attach`: the standard input of apps.

use std::io::BufRead as _;

use clap::Args;

use super::error::CliError;
use super::exit::Exit;
use super::terminal::{Terminal, counted};
use super::{arguments, exchange, instances, logs, pm2, surroundings};
use crate::rpc::wire::{Answer, InstanceView, Request};

pub(super) const SEND: &str = "\
Examples:
  pmrun send 3 reload              as if `reload` was typed into the instance with this number
  pmrun send console \"user add bob\"

Apps in fork mode have a pipe as standard input, which never ends. Workers of a cluster and jobs (`schedule`) have
`/dev/null`.";

pub(super) const ATTACH: &str = "\
Examples:
  pmrun attach 3                   type to the instance with this number, and see what it writes
  echo status | pmrun attach console

It ends with Ctrl-D, or with Ctrl-C; the app goes on.";

#[derive(Args, Debug)]
#[command(after_help = SEND)]
pub(super) struct Send {
    #[arg(value_name = "TARGET")]
    pub target: String,

    /// Its end is added
    #[arg(required = true, allow_hyphen_values = true, num_args = 1.., value_name = "LINE")]
    pub line: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = ATTACH)]
pub(super) struct Attach {
    #[arg(value_name = "TARGET")]
    pub target: String,

    /// What is sent after each line, for an end of line
    pub separator: Option<String>,
}

pub(super) fn send(arguments: &Send, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let Send { target, line } = arguments;
    let found = one_or_more(target, terminal)?;
    feed(target, format!("{}\n", line.join(" ")), &found)?;
    if terminal.manners.are_pm2s() {
        return pm2::table(terminal);
    }
    terminal.say(format!("sent to {}", counted(found.len(), "instance")));
    Ok(Exit::Done)
}

pub(super) fn attach(arguments: &Attach, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let Attach { target, separator } = arguments;
    if terminal.manners.are_pm2s() && target.parse::<u32>().is_err() {
        return Err(CliError::error("pm_id must be a process number (not a process name)"));
    }
    let found = one_or_more(target, terminal)?;
    if let [_, other, ..] = &found[..] {
        return Err(CliError::error(format!("`{target}` has {} instances", found.len()))
            .hint(format!("`pmrun attach {}` is one of them", other.id)));
    }
    terminal.note("what is typed goes to it: Ctrl-D ends that, the app goes on");
    terminal.flush()?;
    let shown = arguments::Logs {
        targets: vec![target.clone()],
        follow: true,
        lines: Some(0),
        raw: true,
        ..arguments::Logs::default()
    };
    // Whoever reads there is waited for by nobody: the program ends with its input.
    let (begun, has_begun) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut terminal = Terminal::new(false, false);
        let begin = move || {
            let _ = begun.send(());
        };
        if let Err(err) = logs::run_telling(&shown, &mut terminal, begin) {
            terminal.say_error(&err);
        }
    });
    // What it answers to the first line is shown, too. Where there is nothing to follow, that is dropped.
    let _ = has_begun.recv();
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.map_err(|err| CliError::error(format!("failed to read what is typed: {err}")))?;
        let line = String::from_utf8_lossy(&line);
        let end = separator.as_deref().unwrap_or("\n");
        feed(target, format!("{}{end}", line.strip_suffix('\r').unwrap_or(&line)), &found)?;
    }
    Ok(Exit::Done)
}

fn one_or_more(target: &str, terminal: &Terminal) -> Result<Vec<InstanceView>, CliError> {
    let home = surroundings::home()?;
    let unknown = format!("Process with ID <{target}> unknown.");
    let found = instances::select(&[target.to_owned()], &instances::all(&home)?)
        .map_err(|err| err.in_pm2s_words(unknown.clone()))?;
    let Some(first) = found.first() else { return Err(CliError::error(unknown)) };
    // PM2 looks at the mode first.
    if first.mode == "cluster" && terminal.manners.are_pm2s() {
        return Err(CliError::error("Cannot send line to processes in cluster mode"));
    }
    Ok(found)
}

fn feed(target: &str, text: String, found: &[InstanceView]) -> Result<(), CliError> {
    let home = surroundings::home()?;
    let offline = format!("Process with ID <{target}> offline.");
    let answer = exchange::ask_who_follows(&home, &Request::Feed { targets: vec![target.to_owned()], text })?;
    let failed = match answer {
        Some(Answer::Done { failed, .. }) => failed,
        Some(other) => return Err(exchange::unexpected(&other)),
        None => {
            return Err(CliError::error("no daemon runs: nothing was sent").in_pm2s_words(offline));
        }
    };
    let Some(first) = failed.first() else { return Ok(()) };
    let others = match failed.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let what = if found.len() == failed.len() { "nothing was sent" } else { "not all were sent it" };
    let slot = first.slot.map(|slot| format!(":{slot}")).unwrap_or_default();
    Err(CliError::error(format!("{what}: `{}{slot}`: {}{others}", first.app, first.reason)).in_pm2s_words(offline))
}
