//! `help`: a command's own, or a page about a topic.

use clap::{Args, CommandFactory as _};

use super::arguments::Cli;
use super::error::CliError;
use super::exit::{self, Exit};
use super::surroundings;
use super::terminal::Terminal;
use crate::base::closest;

#[derive(Args, Debug)]
pub(super) struct Help {
    /// exit-codes, env, ecosystem, protocol, man, or a command
    pub topic: Vec<String>,
}

const TOPICS: [&str; 5] = ["exit-codes", "env", "ecosystem", "protocol", "man"];

const ECOSYSTEM: &str = "\
An ecosystem file says what is to run: JavaScript (ecosystem.config.js, .cjs, .mjs, .ts), JSON, JSON5, YAML or TOML.

  module.exports = {
    apps: [{
      name: 'api',
      script: './server.js',
      instances: 2,
      env: { PORT: 3000 },
      env_production: { NODE_ENV: 'production' },
    }],
  };

  pmrun init                           writes one for what is in this folder
  pmrun validate                       says everything that is wrong with it
  pmrun diff                           what would change
  pmrun apply --env production         changes it, and nothing else
  pmrun schema --format markdown       every option, with its default
  pmrun explain api.env.PORT           where a value comes from

Paths are against the file's folder. PM2's files work unchanged; what means nothing here is said by `pmrun validate`.
";

const PROTOCOL: &str = "\
The daemon listens on the unix socket PMRUN_HOME/pmrun.sock (0600, its owner only). A connection is one call: a frame,
then any number of frames as answers, the last of which is final.

A frame is its length as four bytes, the most significant first, and so many bytes of JSON, in UTF-8.

  {\"protocol\": 1, \"version\": \"1.0.0\", \"pid\": 123, \"request\": {\"do\": \"list\"}}

Requests that only read:  ping, list, show (targets), plan, history (count), generation (number), drift
Done at once:             reset (targets), signal (targets, signal), feed (targets, text) to standard inputs,
                          tell (targets, message) over Node's channel, offers (targets): what apps say of themselves
Until you hang up:        heed: first heeding, then a said for each message that an app sends over Node's channel
One at a time:            apply, start_script, start, stop, restart, reload, scale, delete, alter, rollback,
                          resurrect, restore, kill, upgrade

Answers say in \"is\" what they are: pong, list, show, plan, waiting, begun, progress, done, cancelled, busy,
unknown_target, stale, refused, error. A byte that is sent after the call takes it back: what was begun goes on, nothing
else is begun. Fields are only ever added; a protocol that is newer than the daemon's is refused in words.
";

pub(super) fn run(arguments: &Help, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let mut cli = Cli::command();
    let text = match arguments.topic.first().map(String::as_str) {
        None => cli.render_help().to_string(),
        Some("exit-codes" | "exit_codes" | "exitcodes") => format!("{}\n", exit::HELP),
        Some("env" | "environment") => format!("{}\n", surroundings::VARIABLES),
        Some("ecosystem") => ECOSYSTEM.to_owned(),
        Some("protocol") => PROTOCOL.to_owned(),
        Some("man") => page(&mut cli, arguments.topic.get(1).map(String::as_str))?,
        Some(name) => {
            cli.build();
            let names: Vec<String> = cli.get_subcommands().map(|command| command.get_name().to_owned()).collect();
            let Some(command) = cli.find_subcommand_mut(name) else {
                let known = TOPICS.into_iter().chain(names.iter().map(String::as_str));
                return Err(CliError::usage(format!("there is no help about `{name}`")).suggest(closest(name, known)));
            };
            command.render_long_help().to_string()
        }
    };
    terminal.print(text)?;
    Ok(Exit::Done)
}

/// As man(1) reads it: `pmrun help man | man -l -`.
fn page(cli: &mut clap::Command, name: Option<&str>) -> Result<String, CliError> {
    cli.build();
    let command = match name {
        None => cli.clone(),
        Some(name) => {
            let found = cli.find_subcommand(name).cloned();
            found.ok_or_else(|| CliError::usage(format!("there is no command `{name}`")))?
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(|err| CliError::output(&err))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
