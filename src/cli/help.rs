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

Beside these a call may have no_wait (true: `busy` instead of waiting), hasty (true: what runs is taken for up) and words
(the command as it was typed, for `pmrun history`). What answers say in \"is\" is what they are. A byte that is sent after the
call takes it back: what was begun goes on, nothing else is begun. Fields are only ever added; a protocol that is newer than
the daemon's is refused in words.

What a request says in \"do\", its fields beside that, and the answer; of fields with `?` none need be there. `targets` are
names, ids, namespaces, /regexes/ or \"all\".

These only read, and are answered at once:
  ping                                          pong
  revision                                      revision
  list                                          list
  show             targets, reveal?, ambient?   show
  plan             graph, options               plan, refused
  plan_back        as rollback                  plan
  seal             text                         seal
  history          count                        history
  generation       number                       generation
  between          old, new? (now)              plan
  formers          to?                          formers
  drift                                         drift
  check_state                                   state

These are done at once, and nothing that is recorded changes:
  reset            targets                      done
  signal           targets, signal              done
  feed             targets, text                done: the text is on their standard inputs
  tell             targets, message             done: the message is on Node's channel
  offers           targets                      offers
  heed                                          heeding, then said for each message over Node's channel, until you hang up
  repair_state                                  state
  keep                                          kept

These change something, one at a time, and end in done, cancelled, busy, unknown_target, error or ending. Before that there
may be a waiting, a begun and any number of progress:
  start, stop, restart, delete                  targets
  reload           targets, parallel?           so many instances of an app at a time
  scale            targets, to                  {\"to\": 4} or {\"by\": -1}
  apply            graph, options, ambient, expected?, parallel?, revision?, auto_rollback?; also stale, refused,
                   going_back, rolled_back
  rollback         to (a generation, or null), only?, code?
  start_script     spec (an app, as `show` has it), ambient (the variables that it inherits)
  alter            apps: [{name, spec}], targets, renew (true: restart what nothing asks for), ambient?
  restore          apps: [{ecosystem, file, spec, ambient, up: [slots]}], wake?
  resurrect, kill, leave
  upgrade          program

  graph            what `pmrun render --json --reveal` says of a file
  options          {only?: [names], no_prune?, adopt?, allow_empty?}
  expected         what `pmrun diff --out FILE` keeps: that plan, or stale
  revision         {commit, dirty}, of the file's folder
  code             {app: {file: digest}}, as it is on disk

And of answers:
  pong             version, protocol, pid, format, program
  revision         revision: another number whenever something else would be shown; null: something changes all the time
  list             instances: [{id, name, slot, namespace, mode, pid, state, detail, restarts, started_at_ms, last_exit,
                   out_file, error_file, ...}], strangers?: [{pid, name, slot}]; state is stopped, waiting, starting,
                   online, unhealthy, stopping, errored or completed
  show             apps: [{spec, file, ambient, instances}], ambients?: {digest: variables}
  offers           offers: [{id, name, slot, offers}]
  said             id, name, slot, namespace, message
  plan             plan: {ecosystem, generation, steps, refusals}
                   a step: {app, action, renamed_from?, start, replace, overlaps?, downtime?, remove, stop?, done?, changes,
                   reasons, after, follows?}: slots that start, are replaced, go, stop, are done; what changed (path, old,
                   new, impact) and why; the apps whose steps come first; `pmrun diff --json` says the same, with places
  begun            plan: the one that is done now
  history          generations: [{number, at_ms, uid, pid, command, by_hand, ecosystem?, file?, revision?, plan?, result?}],
                   at_work (a number, or null)
  generation       generation, at_work, plan: from what was before to what was after
  formers          to, apps: [spec]
  drift            drifts: [{app, ecosystem, drift, by?, ...}], running: [{app, slot, pid, ecosystem, cwd, script, code, by}]
  seal             seal: stands for the text, as only this home can tell
  state            problem (null: it is sound), apps, aside
  kept             apps, path
  waiting          holder, pid, for_ms: another command is at work
  progress         app, slot, what: {kind}: starting (pid), up (after_ms), stopping, stopped, updated, created,
                   renamed (from), deleted, failed (reason), waiting (needs), skipped (reason)
  done             touched, failed: [{app, slot, reason, skipped, error_log, error_log_offset}]; nothing failed: all holds
  going_back       failed, plan: what is done to have everything as it was
  rolled_back      to, touched, failed, left: what did not come up again
  cancelled        touched, failed, going_on, not_begun
  busy             holder, pid, for_ms
  unknown_target   target, suggestion, problem
  stale            stale: why the plan that was expected is not the plan any more
  refused          refusals
  ending           the daemon ends: ask the next one
  error            message, hint
";

const EXAMPLES: &str = "\
Examples:
  pmrun init                          write a file for what is in this folder
  pmrun diff                          what would change
  pmrun apply                         change it, and nothing else
  pmrun start ./server.js -i 2        without a file
  pmrun list                          what runs; `pmrun monit` goes on showing it
  pmrun logs api -f                   what it writes
  pmrun why api                       why it is as it is";

/// What commands are about. Those that are not there are left out.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "What a file declares",
        &[
            "init", "validate", "diff", "apply", "run", "drift", "history", "rollback", "render", "convert", "schema",
            "explain", "migrate", "deploy",
        ],
    ),
    (
        "Apps by hand",
        &[
            "start",
            "stop",
            "restart",
            "reload",
            "startOrRestart",
            "startOrReload",
            "scale",
            "delete",
            "serve",
            "reset",
            "sendSignal",
            "send",
            "attach",
            "trigger",
            "inspect",
        ],
    ),
    (
        "What runs",
        &[
            "list",
            "monit",
            "show",
            "logs",
            "why",
            "events",
            "env",
            "id",
            "pid",
            "jlist",
            "prettylist",
            "web",
            "flush",
            "reloadLogs",
            "logrotate",
            "report",
        ],
    ),
    (
        "The daemon",
        &[
            "startup",
            "unstartup",
            "save",
            "resurrect",
            "cleardump",
            "kill",
            "upgrade",
            "state",
            "daemon",
            "ping",
            "version",
        ],
    ),
    ("Settings and help", &["set", "get", "config", "multiset", "unset", "completion", "help"]),
];

/// The whole program on one page: examples first, then commands by what they are about.
pub(super) fn overview(cli: &clap::Command) -> String {
    let about = cli.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("{about}.\n\n{EXAMPLES}\n\nUsage: pmrun [OPTIONS] <COMMAND>\n");
    let mut rest: Vec<&clap::Command> = cli.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    for (title, names) in GROUPS {
        let found = names.iter().filter_map(|name| {
            let at = rest.iter().position(|command| command.get_name() == *name)?;
            Some(rest.remove(at))
        });
        let lines: String = found.map(line).collect();
        text.extend(["\n", title, ":\n", &lines]);
    }
    if !rest.is_empty() {
        text.push_str("\nOthers:\n");
        text.extend(rest.into_iter().map(line));
    }
    format!(
        "{text}\nOptions:\n      --no-color      Do not colour what is printed\n  -h, --help          Print help; \
         `pmrun COMMAND --help` of a command\n  -V, --version       Print version\n\nMore: {}\n\n{}\n\n{}\n",
        TOPICS.map(|topic| format!("`pmrun help {topic}`")).join(", "),
        exit::HELP,
        surroundings::VARIABLES
    )
}

/// A command in a line: its name, and the first thing that there is to say of it.
fn line(command: &clap::Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let first = about.split([':', ';']).next().unwrap_or_default();
    format!("  {:<16}{first}\n", command.get_name())
}

/// Of a command that there is none of: which may be meant.
pub(super) fn no_such_command(cli: &clap::Command, written: &str) -> CliError {
    let names: Vec<&str> = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .flat_map(|command| std::iter::once(command.get_name()).chain(command.get_visible_aliases()))
        .collect();
    let shown = super::terminal::harmless(written.as_bytes(), false);
    let error = CliError::usage(format!("there is no command `{shown}`"));
    match closest(written, names) {
        Some(name) => error.suggest(Some(name)),
        None => error.hint("`pmrun help` lists them"),
    }
}

pub(super) fn run(arguments: &Help, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let mut cli = Cli::command();
    let text = match arguments.topic.first().map(String::as_str) {
        None => overview(&cli),
        Some("exit-codes" | "exit_codes" | "exitcodes") => format!("{}\n", exit::HELP),
        Some("env" | "environment") => {
            format!("{}\n\n{}\n", surroundings::VARIABLES, surroundings::MORE_VARIABLES)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_on_the_page_once_and_in_a_group() {
        let cli = Cli::command();
        let page = overview(&cli);
        assert!(page.find("Examples:") < page.find("What a file declares:"), "{page}");
        assert!(!page.contains("Others:") && !page.contains("__"), "{page}");
        for command in cli.get_subcommands().filter(|command| !command.is_hide_set()) {
            let start = format!("  {:<16}", command.get_name());
            assert_eq!(page.lines().filter(|line| line.starts_with(&start)).count(), 1, "{start}\n{page}");
        }
        assert!(page.lines().all(|line| line.chars().count() <= 120), "{page}");
    }

    /// As the enums are written: a name that is new there is missed here.
    #[test]
    fn every_request_and_every_answer_is_described() {
        let source = include_str!("../rpc/wire.rs");
        for name in ["Request", "Answer"] {
            let body =
                source.split(&format!("pub enum {name} {{\n")).nth(1).and_then(|rest| rest.split("\n}\n").next());
            let variants = body.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("    "));
            let variants = variants.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
            let mut count = 0;
            for variant in variants {
                let name: String = variant.chars().take_while(char::is_ascii_alphanumeric).collect();
                let mut snake = String::new();
                for (at, letter) in name.char_indices() {
                    if letter.is_ascii_uppercase() && at > 0 {
                        snake.push('_');
                    }
                    snake.push(letter.to_ascii_lowercase());
                }
                let is_word = |word: &str| word == snake;
                let mut words = PROTOCOL.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                assert!(words.any(is_word), "`{snake}` is not described");
                count += 1;
            }
            assert!(count > 20, "{name}: {count}");
        }
        assert!(PROTOCOL.lines().all(|line| line.chars().count() <= 125));
    }

    #[test]
    fn what_is_mistyped_is_found() {
        let cli = Cli::command();
        for (written, want) in [
            ("lst", Some("list")),
            ("monti", Some("monit")),
            ("aply", Some("apply")),
            ("resart", Some("restart")),
            ("dashbord", Some("dashboard")),
            ("zzz", None),
        ] {
            let want =
                want.map_or_else(|| "`pmrun help` lists them".to_owned(), |name| format!("did you mean `{name}`?"));
            assert_eq!(no_such_command(&cli, written).hint, Some(want), "{written}");
        }
    }
}
