use std::ffi::OsString;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::{Timestamp, Zoned};
use regex_lite::Regex;

use super::columns::Sorting;
use super::more::More;
use super::options::AppOptions;
use super::{exit, surroundings};
use crate::base::{DateFormat, parse_millis};
use crate::config::js::Engine;
use crate::logs::{MOMENTS, parse_moment};
use crate::rpc::wire::Scale as Many;

/// Runs the apps that an ecosystem file declares, and changes only what changed.
#[derive(Debug, Parser)]
#[command(
    name = "pmrun",
    bin_name = "pmrun",
    version,
    after_help = after_help(),
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    infer_long_args = false,
    disable_help_subcommand = true
)]
pub(super) struct Cli {
    /// Do not colour what is printed
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_color: bool,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make what runs be what the file says; whatever did not change is not touched
    Apply(Apply),
    /// Run the file's apps in the foreground, for containers: what they write is printed, and they end with it
    Run(Run),
    /// Show what `apply` would do, field by field
    Diff(Diff),
    /// Show what is not as it was applied, though nobody has edited the file
    #[command(after_help = DRIFT)]
    Drift(Json),
    /// List what was changed: when, by whom, from which file, with which result
    History(History),
    /// Make everything what it was in an earlier generation
    Rollback(Rollback),
    /// Show what a file comes to once everything in it is resolved
    Render(Render),
    /// Check a file and report everything that is wrong with it
    Validate(Validate),
    /// Say what a diagnostic means, or where a value comes from
    Explain(Explain),
    /// Write an ecosystem file for what is in this folder
    #[command(visible_alias = "ecosystem")]
    Init(Init),
    /// Print a file in another format; it means the same
    Convert(Convert),
    /// Print the options of ecosystem files, for editors and for people
    Schema(Schema),
    /// List instances
    #[command(visible_aliases = ["ls", "l", "ps", "status"])]
    List(List),
    /// Show everything about apps
    #[command(visible_aliases = ["describe", "desc", "info"])]
    Show(Show),
    /// Print what an instance's process is given as its environment
    Env(Env),
    /// List instances for programs written for PM2: JSON with PM2's names, on one line
    Jlist(PlainList),
    /// The same for people and for grep: a name on each line
    #[command(name = "prettylist")]
    PrettyList(PlainList),
    /// Serve what runs over HTTP, in the foreground: JSON, metrics for Prometheus, and actions for who may
    Web(Web),
    /// Look at everything on one screen: what runs, what it uses, what it writes; and act on it
    #[command(visible_aliases = ["dashboard", "dash", "imonit"], after_help = MONIT)]
    Monit,
    /// Serve a folder over HTTP, as an app
    #[command(visible_alias = "expose", after_help = SERVE)]
    Serve(Serve),
    /// Print, and follow, what apps write
    #[command(visible_alias = "log")]
    Logs(Logs),
    /// Empty the logs of apps, and remove what was rotated out of them
    Flush(Flush),
    /// Open log files anew that were moved away, by logrotate for one
    #[command(name = "reloadLogs", visible_alias = "reload-logs")]
    ReloadLogs,
    /// Say why apps are as they are: what led to it, by which rule, and what would change it
    Why(Why),
    /// Print, and follow, what happened to apps
    Events(Events),
    /// Start apps: of a file, by their names, or scripts and command lines that no file declares
    #[command(after_help = START)]
    Start(Act),
    /// Stop apps; they stay known, and stay stopped
    Stop(Targets),
    /// Restart apps, one instance after the other; with options they are changed by hand
    #[command(after_help = RESTART)]
    Restart(Act),
    /// Restart apps, one instance after the other, each when it has finished what it is at (in cluster mode)
    #[command(visible_alias = "gracefulReload", after_help = RESTART)]
    Reload(Act),
    /// Restart the apps of a file, and start those that do not run
    #[command(name = "startOrRestart", visible_alias = "start-or-restart")]
    StartOrRestart(Act),
    /// Reload the apps of a file, and start those that do not run
    #[command(name = "startOrReload", visible_aliases = ["startOrGracefulReload", "start-or-reload"])]
    StartOrReload(Act),
    /// Start more instances of an app, or take some away; the others notice nothing
    Scale(Scale),
    /// Stop apps and forget them
    #[command(visible_alias = "del")]
    Delete(Targets),
    /// Keep what should run now, for `resurrect`
    #[command(visible_alias = "dump")]
    Save(Save),
    /// Start every app that should run and does not: what `kill` has ended, not what was stopped
    Resurrect(Resurrect),
    /// Forget what `save` has kept
    #[command(name = "cleardump")]
    ClearDump,
    /// Stop every app and the daemon; `resurrect` or `apply` starts them again
    Kill,
    /// Have the daemon become this pmrun: the same process, and nothing that runs notices
    #[command(visible_aliases = ["update", "updatePM2"])]
    Upgrade(Json),
    /// Look after what is recorded: whether it is whole, and building it anew where it is not
    #[command(subcommand)]
    State(StateCommand),
    /// Ask whether the daemon runs
    Ping(Json),
    /// Print the version
    Version(Json),

    /// Have the daemon, and what should run, start with the machine
    Startup(Startup),
    /// Undo what `startup` did; what runs goes on
    Unstartup(Unstartup),
    /// Be the daemon, in the foreground: for service managers, as `startup` has them run it
    ///
    /// It takes over from a daemon that runs already; what runs goes on. SIGTERM stops everything; SIGUSR1 ends
    /// only this process, when another is about to be started in its place.
    #[command(name = "daemon")]
    Service(Service),

    #[command(flatten)]
    More(More),

    /// Evaluate a config program (what `apply` and others run to read one)
    #[command(name = "__eval", hide = true)]
    Eval,
    /// Be the daemon
    #[command(name = "__daemon", hide = true)]
    Daemon,
    /// Be the daemon that was in this process before
    #[command(name = "__daemon-resume", hide = true)]
    ResumeDaemon { fd: i32 },
    /// Be the keeper that was in this process before
    #[command(name = "__keeper-resume", hide = true)]
    ResumeKeeper { fd: i32 },
    /// Start another daemon when this one is killed (what a daemon starts that has lost its keeper)
    #[command(name = "__keeper", hide = true)]
    Keeper { daemon: u32, soft_file_limit: Option<u64> },
    /// Write what apps say to their logs (what the daemon starts where something is added to it)
    #[command(name = "__log", hide = true)]
    Pump,
    /// Answer programs that use PM2's library (what a daemon starts when one connects)
    #[command(name = "__api", hide = true)]
    Api { daemon: u32 },
    /// Serve a folder (what an app of `script: "serve"` is started as)
    #[command(name = "__serve", hide = true)]
    ServeFiles,
    /// End what a config's commands have left, when whoever reads it has ended
    #[command(name = "__ward", hide = true)]
    Ward { tag: u64, folder: std::path::PathBuf, group: Option<std::path::PathBuf> },
}

/// Whether these are the arguments that the child of a config is run with.
pub(super) fn is_eval(args: impl Iterator<Item = OsString>) -> bool {
    args.skip(1).eq(["__eval"])
}

/// Which descriptor a daemon goes on with that was another program before, where these are its arguments.
pub(super) fn resumed(args: impl Iterator<Item = OsString>) -> Option<i32> {
    match &args.skip(1).collect::<Vec<_>>()[..] {
        [word, fd] if word == "__daemon-resume" => fd.to_str()?.parse().ok(),
        _ => None,
    }
}

impl Command {
    /// Whether programs read what is printed.
    pub(super) fn json(&self) -> bool {
        match self {
            Self::Apply(Apply { json, .. })
            | Self::Diff(Diff { json, .. })
            | Self::Run(Run { json, .. })
            | Self::Drift(Json { json })
            | Self::History(History { json, .. })
            | Self::Rollback(Rollback { json, .. })
            | Self::Render(Render { json, .. })
            | Self::Explain(Explain { json, .. })
            | Self::Show(Show { json, .. })
            | Self::Logs(Logs { json, .. })
            | Self::Why(Why { json, .. })
            | Self::Events(Events { json, .. })
            | Self::List(List { json, .. })
            | Self::Env(Env { json, .. })
            | Self::Ping(Json { json })
            | Self::Upgrade(Json { json })
            | Self::Service(Service { command: Some(DaemonCommand::Upgrade(Json { json })), .. })
            | Self::State(StateCommand::Check(Json { json }) | StateCommand::Repair(Json { json }))
            | Self::Version(Json { json }) => *json,
            Self::Validate(Validate { json, format, .. }) => *json || *format == ReportFormat::Json,
            Self::Init(_)
            | Self::Convert(_)
            | Self::Schema(_)
            | Self::Jlist(_)
            | Self::PrettyList(_)
            | Self::Web(_)
            | Self::Serve(_)
            | Self::Monit
            | Self::Flush(_)
            | Self::ReloadLogs
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::Reload(_)
            | Self::StartOrRestart(_)
            | Self::StartOrReload(_)
            | Self::Scale(_)
            | Self::Delete(_)
            | Self::Resurrect(_)
            | Self::Save(_)
            | Self::ClearDump
            | Self::Kill
            | Self::More(_)
            | Self::Eval
            | Self::Daemon
            | Self::Service(Service { command: None, .. })
            | Self::Startup(_)
            | Self::Unstartup(_)
            | Self::Pump
            | Self::Api { .. }
            | Self::ServeFiles
            | Self::Keeper { .. }
            | Self::ResumeDaemon { .. }
            | Self::ResumeKeeper { .. }
            | Self::Ward { .. } => false,
        }
    }

    /// Whether who looks after apps says it, and should know that what is recorded was damaged not long ago.
    pub(super) fn is_of_operators(&self) -> bool {
        matches!(
            self,
            Self::List(_)
                | Self::Apply(_)
                | Self::Rollback(_)
                | Self::Serve(_)
                | Self::Start(_)
                | Self::Stop(_)
                | Self::Restart(_)
                | Self::Reload(_)
                | Self::StartOrRestart(_)
                | Self::StartOrReload(_)
                | Self::Scale(_)
                | Self::Delete(_)
                | Self::Upgrade(_)
                | Self::Service(Service { command: Some(DaemonCommand::Upgrade(_)), .. })
        )
    }
}

/// Which file, and how it is read.
#[derive(Args, Debug, Default)]
pub(super) struct Source {
    /// The ecosystem file; without it the usual names are looked for in this folder
    pub file: Option<PathBuf>,

    /// Lay `env_NAME` over `env`
    #[arg(long, value_name = "NAME")]
    pub env: Option<String>,

    #[command(flatten)]
    pub access: Access,
}

/// What reading the file may take, and see.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    /// What runs a config program: pmrun's own engine, or the Node in PATH (default: embedded)
    ///
    /// Node can do everything, but nothing is kept from it: it runs with your rights. pmrun never changes over by itself.
    #[arg(long, value_name = "ENGINE", value_enum, help_heading = "Reading a config program")]
    pub js_engine: Option<JsEngine>,

    /// End a config program that takes longer than this, commands that it runs included (default: 5s)
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Reading a config program")]
    pub eval_timeout: Option<u64>,

    /// Let the config see nothing but itself: no commands, no variables, no other files
    ///
    /// The file itself, and the modules that it requires from its own folder and below, are always read.
    #[arg(long, help_heading = "Reading a config program")]
    pub hermetic: bool,

    /// With --hermetic: variables that may be seen; `*` stands for anything, as in CI_*
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        requires = "hermetic",
        help_heading = "Reading a config program"
    )]
    pub allow_env: Vec<String>,

    /// With --hermetic: a file, or a folder with everything below it, that may be read; can be repeated
    #[arg(long, value_name = "PATH", requires = "hermetic", help_heading = "Reading a config program")]
    pub allow_read: Vec<PathBuf>,
}

fn at_least_one(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "a whole number from 1 on".to_owned())
}

/// Milliseconds.
fn duration(text: &str) -> Result<u64, String> {
    match parse_millis(text) {
        Some(0) => Err("a config cannot be read in no time".to_owned()),
        Some(ms) if ms <= EVAL_TIMEOUT_MAX_MS => Ok(ms),
        Some(_) => Err("at most one hour".to_owned()),
        None => Err("not a duration: like `10s`, `500ms`, `1m`".to_owned()),
    }
}

/// Milliseconds.
fn age(text: &str) -> Result<u64, String> {
    parse_millis(text).ok_or_else(|| "not a duration: like `10m`, `90s`, `2h`".to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum JsEngine {
    Embedded,
    Node,
}

impl From<JsEngine> for Engine {
    fn from(engine: JsEngine) -> Self {
        match engine {
            JsEngine::Embedded => Self::Embedded,
            JsEngine::Node => Self::Node,
        }
    }
}

const EVAL_TIMEOUT_MAX_MS: u64 = 3_600_000;

/// What a plan may contain.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// Only these apps; others are neither touched nor deleted
    #[arg(long, value_name = "APP,...")]
    pub only: Vec<String>,

    /// Keep apps that the file no longer has
    #[arg(long)]
    pub no_prune: bool,

    /// Take over apps that belong to another file, or to none
    #[arg(long)]
    pub adopt: bool,

    /// Accept a file without apps: all apps that came from it are deleted
    #[arg(long)]
    pub allow_empty: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pmrun apply                         the ecosystem file of this folder
  pmrun apply --env production --only api,worker
  pmrun apply --auto-rollback         what fails is taken back
  pmrun apply plan.json               what `pmrun diff --out plan.json` showed, or nothing")]
pub(super) struct Apply {
    #[command(flatten)]
    pub source: Source,

    #[command(flatten)]
    pub scope: Scope,

    /// Instances that may be on their way up at once, each until it is up
    ///
    /// Without it 16, of which those that do not say when they are ready (`wait_ready`) count only while they are
    /// launched: 500 plain apps are launched within a second, and their `min_uptime` passes for all of them together.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub parallel: Option<NonZeroU32>,

    /// When something does not come up, have what was touched be again what it was before, and exit with 4
    ///
    /// The daemon does that, whether or not the command still runs. What was created is deleted, the rest is configured
    /// and runs as before; code on disk stays as it is. 3 where that does not come up either.
    #[arg(long)]
    pub auto_rollback: bool,

    /// When another command is at work, exit with 75 instead of waiting for its end
    #[arg(long)]
    pub no_queue: bool,

    /// Treat warnings about the file as errors
    #[arg(long)]
    pub strict: bool,

    /// Print the plan and its result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug, Default)]
#[command(after_help = RUN)]
pub(super) struct Run {
    #[command(flatten)]
    pub source: Source,

    /// Only these apps; what they depend on and is not among them is not waited for
    #[arg(long, value_name = "APP,...")]
    pub only: Vec<String>,

    /// Stop everything as soon as one app has failed for good; without it the others run on
    #[arg(long)]
    pub exit_on_failure: bool,

    /// Kill what is left so long after it was asked to end; without it each app has its own `kill_timeout`
    #[arg(long, value_name = "DURATION", value_parser = age)]
    pub grace: Option<u64>,

    /// Treat warnings about the file as errors
    #[arg(long)]
    pub strict: bool,

    /// Print lines as they were written, without whose they are in front
    #[arg(long, visible_alias = "no-prefix", conflicts_with = "json")]
    pub raw: bool,

    /// Print each line as a JSON object, as `logs --json` does, and each event on stderr, as `events --json` does
    #[arg(long)]
    pub json: bool,
}

const RUN: &str = "\
It ends when no app runs and none will by itself, with the exit code of the first that failed for good: its own, 128
and the number of the signal that killed it, or 1 where it never ran; 0 where none has. SIGTERM, SIGINT, SIGHUP and
SIGQUIT stop everything, dependents first: 0 where every app ended as asked, 137 where one had to be killed; what an
app that had ended left behind does not count. A second one kills at once. 65 is an invalid file, or one that has nothing to run.

With PMRUN_HOME set, other commands reach it there as they would a daemon.

Examples:
  pmrun run                           the ecosystem file of this folder
  pmrun run --env production --only api,worker
  pmrun run --json --exit-on-failure --grace 8s
  CMD [\"pmrun\", \"run\", \"/app/ecosystem.config.js\"]     in a Dockerfile";

#[derive(Args, Debug)]
#[command(after_help = "\
Exit codes: 0 no changes, 2 changes, 1 or 65 error

Examples:
  pmrun diff                          against what runs
  pmrun diff --base git:origin/main --markdown
  pmrun diff @3 @7                    what changed between two generations
  pmrun diff @3                       what changed since
  pmrun diff --out plan.json          then: pmrun apply plan.json")]
pub(super) struct Diff {
    #[command(flatten)]
    pub source: Source,

    /// With two generations (`@3 @7`), the later; without it, what there is now
    #[arg(value_name = "@GENERATION", conflicts_with_all = ["base", "out"])]
    pub until: Option<String>,

    #[command(flatten)]
    pub scope: Scope,

    /// Print the plan as JSON
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,

    /// Print the plan as Markdown, for a comment on a pull request
    #[arg(long)]
    pub markdown: bool,

    /// Save the plan, for `pmrun apply PLAN`
    #[arg(long, value_name = "PLAN")]
    pub out: Option<PathBuf>,

    /// Compare with another version of the file instead of with what runs; needs no daemon
    ///
    /// A FILE is read as if it stood where the config is: what it requires and names is looked for there.
    /// Files that git ignores are in no revision: those that `fingerprint` matches count as the same on both sides.
    #[arg(long, value_name = "git:REV|FILE", conflicts_with = "out")]
    pub base: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
A command that changes what should run makes a generation, one that changes nothing makes none. The last 100 are kept.

Examples:
  pmrun history
  pmrun history @7                    one, with its plan
  pmrun diff @3 @7                    what changed between two")]
pub(super) struct History {
    /// One of them, like `@7`
    #[arg(value_name = "@GENERATION")]
    pub generation: Option<String>,

    /// How many of the last (default: 20)
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "generation")]
    pub lines: Option<u64>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
What is configured and what is meant to run go back, of all files; code on disk stays as it is. A rollback is a
generation itself: another one takes it back.

Examples:
  pmrun rollback --dry-run            what it would do
  pmrun rollback                      to the last generation that is not what there is now
  pmrun rollback @7 --only api")]
pub(super) struct Rollback {
    /// To this one, like `@7` (default: the last that is not what there is now)
    #[arg(value_name = "@GENERATION")]
    pub generation: Option<String>,

    /// Only these apps
    #[arg(long, value_name = "APP,...")]
    pub only: Vec<String>,

    /// Show what it would do, and exit with 2 if that is anything
    #[arg(long)]
    pub dry_run: bool,

    /// When another command is at work, exit with 75 instead of waiting for its end
    #[arg(long)]
    pub no_queue: bool,

    /// Print the plan and its result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Render {
    #[command(flatten)]
    pub source: Source,

    /// Print the whole graph as JSON
    #[arg(long)]
    pub json: bool,

    /// Print only what the file says, secrets too, as JSON, before anything is resolved
    #[arg(long, conflicts_with_all = ["json", "env", "reveal"])]
    pub raw: bool,

    /// Print what was read instead: variables, files, commands
    #[arg(long, conflicts_with = "raw")]
    pub inputs: bool,

    /// Print values that look like secrets too
    #[arg(long)]
    pub reveal: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Exit codes: 0 valid, 65 invalid (with --strict: or warned about)

Examples:
  pmrun validate --strict
  pmrun validate --format github      in a workflow of GitHub")]
pub(super) struct Validate {
    #[command(flatten)]
    pub source: Source,

    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,

    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,

    /// How to print what was found; `github` annotates the lines of a pull request
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, conflicts_with = "json")]
    pub format: ReportFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    Text,
    Json,
    Github,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pmrun schema > pmrun.schema.json    for JSON, YAML and TOML
  pmrun schema --format ts > pmrun.d.ts
                                      for JavaScript: /** @type {import(\"./pmrun\").Config} */
  pmrun schema --format markdown      to read")]
pub(super) struct Schema {
    /// A JSON Schema (draft-07), TypeScript types, or a reference
    #[arg(long, value_enum, default_value_t = SchemaFormat::Json)]
    pub format: SchemaFormat,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Takes the apps of an ecosystem file under another name, of a Procfile, or of package.json's scripts.
Beside the file goes what editors complete and check it by: pmrun.d.ts, or pmrun.schema.json.")]
pub(super) struct Init {
    /// PM2's word for a short one
    #[arg(value_name = "simple", hide = true)]
    pub kind: Option<String>,

    /// What to write
    #[arg(long, value_enum, default_value_t = ConfigFormat::Js)]
    pub format: ConfigFormat,

    /// Overwrite the file where it is already there
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
What cannot be kept (comments, code) is said on stderr.

Examples:
  pmrun convert ecosystem.config.js --to yaml
  pmrun convert process.json --to toml --out ecosystem.config.toml")]
pub(super) struct Convert {
    /// The ecosystem file
    pub file: PathBuf,

    /// The format to print
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub to: ConfigFormat,

    /// Write to this file, in the same folder
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Overwrite it where it is already there
    #[arg(long, requires = "out")]
    pub force: bool,

    #[command(flatten)]
    pub access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ConfigFormat {
    Js,
    Ts,
    Json5,
    Json,
    Yaml,
    Toml,
}

impl ConfigFormat {
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Js => "js",
            Self::Ts => "ts",
            Self::Json5 => "json5",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Toml => "toml",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaFormat {
    Json,
    Ts,
    Markdown,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pmrun explain                       all codes of diagnostics
  pmrun explain unknown-option        what one means, and its fix
  pmrun explain api.env.PORT --env production
  pmrun explain api ecosystem.json    all values of an app, and what set them")]
pub(super) struct Explain {
    /// The code of a diagnostic, an app, or an app's value; without it all codes are listed
    #[arg(value_name = "CODE|APP|APP.OPTION")]
    pub what: Option<String>,

    #[command(flatten)]
    pub source: Source,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Print values that look like secrets too
    #[arg(long)]
    pub reveal: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
What should run is recorded with each command, and comes back after a reboot without this. What is
kept is for `pmrun resurrect`, when nothing is known any more, and for `pmrun resurrect --saved`.

Examples:
  pmrun save
  pmrun delete all; pmrun resurrect   all as it was")]
pub(super) struct Save {
    /// Keep it though it is nothing
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("kept").args(["saved", "from"])))]
#[command(after_help = "\
Where no app is known (after `delete all`), it is what `pmrun save` has kept that is started.

Examples:
  pmrun resurrect                     what `pmrun kill` has ended
  pmrun resurrect --saved             what `pmrun save` has kept, too
  pmrun resurrect --saved --dry-run   what that would start
  pmrun resurrect --from ~/.pm2/dump.pm2
                                      what `pm2 save` has kept")]
pub(super) struct Resurrect {
    /// Bring back what `pmrun save` has kept: apps that were deleted since, and those that were stopped
    #[arg(long)]
    pub saved: bool,

    /// Start the apps of a PM2 dump, as apps of no file; those that are known by name are left as they are
    ///
    /// The dump is read as data. It is shown first what is started, and said what of it has no meaning here.
    #[arg(long, value_name = "DUMP")]
    pub from: Option<PathBuf>,

    /// With --saved or --from: show what would be started, and end (exit code 2: something would be)
    #[arg(long, requires = "kept")]
    pub dry_run: bool,

    #[command(flatten)]
    pub turn: Turn,
}

#[derive(Debug, Subcommand)]
pub(super) enum StateCommand {
    /// Say whether what is recorded is as it was written; changes nothing
    #[command(after_help = "\
Exit codes: 0 sound, 1 damaged

Examples:
  pmrun state check && echo fine
  pmrun state check --json | jq .backups")]
    Check(Json),
    /// Set a damaged one aside and build it anew, from its backup and what runs
    ///
    /// A daemon does so by itself when it starts and there is a backup that can be used. What runs is not touched in any case:
    /// what nobody knows any more is left alone, and listed.
    #[command(after_help = "\
Examples:
  pmrun state repair                  then: pmrun list")]
    Repair(Json),
}

#[derive(Args, Debug)]
pub(super) struct Json {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug, Default)]
#[command(after_help = LIST)]
pub(super) struct List {
    /// Without a target: all
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,

    /// In which order: by id, name, namespace, pid, uptime, restarts, status, cpu or memory (default: id)
    ///
    /// What is most comes first for cpu, memory, restarts and uptime; `:asc` and `:desc` say it otherwise.
    #[arg(long, value_name = "FIELD[:asc|desc]")]
    pub sort: Option<Sorting>,

    /// A paragraph for each instance instead of a line
    #[arg(short, long = "mini-list", conflicts_with_all = ["json", "watch"])]
    pub mini: bool,

    /// Show it anew every second, in its place
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

const LIST: &str = "\
A target is an app's name, `name:instance`, an id, a namespace, `/regex/`, or `all`.

The columns that there is room for are shown; where stdout is no terminal, all. cpu and mem are of the process with
all that it has started. cpu is of one processor, since somebody last looked, and since the start the first time.

Examples:
  pmrun list
  pmrun ls api web                    only these
  pmrun list --sort cpu               the busiest first
  pmrun list --watch
  pmrun list --json | jq '.instances[] | select(.state != \"online\")'";

#[derive(Args, Debug)]
#[command(after_help = TARGETS)]
pub(super) struct Show {
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Print values that look like secrets too
    #[arg(long)]
    pub reveal: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pmrun jlist | jq '.[] | {name, pid, status: .pm2_env.status}'
  pmrun prettylist | grep -c \"status: 'online'\"")]
pub(super) struct PlainList {
    /// Print values that look like secrets too; called as `pm2` that is done in any case
    #[arg(long)]
    pub reveal: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  pmrun env 0
  pmrun env api:1 --reveal | grep ^DATABASE_URL")]
pub(super) struct Env {
    /// An id that `list` shows, or an app's name
    #[arg(value_name = "TARGET")]
    pub target: String,

    /// Print values that look like secrets too
    #[arg(long)]
    pub reveal: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Serve {
    /// The folder (default: this one)
    pub path: Option<PathBuf>,

    /// The port to listen at (default: 8080)
    #[arg(value_name = "PORT", value_parser = port)]
    pub at: Option<u16>,

    /// The same
    #[arg(long, value_name = "PORT", value_parser = port)]
    pub port: Option<u16>,

    /// The address to listen at (default: 0.0.0.0, whoever reaches this machine)
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<String>,

    /// Answer with the homepage where there is no file: for applications of one page
    #[arg(long)]
    pub spa: bool,

    /// What `/` is (default: /index.html)
    #[arg(long, value_name = "PATH")]
    pub homepage: Option<String>,

    /// List folders that have no index.html
    #[arg(long, visible_alias = "list")]
    pub ftp: bool,

    /// Let in who says this name and the password, nobody else
    #[arg(long, value_name = "NAME", requires = "basic_auth_password")]
    pub basic_auth_username: Option<String>,

    /// Without TLS in front of it, it can be read on its way
    #[arg(long, value_name = "PASSWORD", requires = "basic_auth_username")]
    pub basic_auth_password: Option<String>,

    /// Serve what symbolic links lead to outside the folder, too
    #[arg(long)]
    pub follow_symlinks: bool,

    /// PM2's, without meaning: nothing is put into pages
    #[arg(long)]
    pub monitor: bool,

    /// Serve once more what is served already, as a further instance
    #[arg(short, long, hide = true)]
    pub force: bool,

    #[command(flatten)]
    pub turn: Turn,

    #[command(flatten)]
    pub app: AppOptions,
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| "a port from 1 to 65535".to_owned())
}

const MONIT: &str = "\
Keys: up and down another app, r restart, l reload, s stop, S start, + and - another number of instances (each is asked
about), / only lines with these words, Tab events, PgUp further back, ? all of them, q end. What runs goes on.
With NO_COLOR or --no-color without colours.";

const SERVE: &str = "\
The app is called `static-page-server-PORT`. Ranges, HEAD and ETags are answered; names that begin with a dot are not
served (but for `.well-known`), nor what links lead to outside the folder. `404.html` is what is said where there is
nothing.

Examples:
  pmrun serve                         this folder on port 8080
  pmrun serve dist 3000 --spa         an application of one page
  pmrun serve ~/pub --port 80 --ftp   with lists of what is in folders
  pmrun delete static-page-server-3000

In an ecosystem file:
  { script: \"serve\", env: { PM2_SERVE_PATH: \"dist\", PM2_SERVE_PORT: 3000, PM2_SERVE_SPA: \"true\" } }
with PM2_SERVE_HOST, _HOMEPAGE, _FTP, _BASIC_AUTH_USERNAME, _BASIC_AUTH_PASSWORD and _FOLLOW_SYMLINKS for the rest.";

#[derive(Args, Debug)]
#[command(after_help = WEB)]
pub(super) struct Web {
    /// 0: any that is free, which is said
    #[arg(long, value_name = "PORT", default_value_t = 9615)]
    pub port: u16,

    /// The address to listen at. Whoever reaches it needs a token all the same, which is sent as it is: no TLS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,

    /// Answer to this name, too, besides addresses and `localhost`; can be repeated
    #[arg(long, value_name = "NAME")]
    pub allow_host: Vec<String>,

    /// Make a token that lets its bearer look, print it, and end; it is not told again
    #[arg(long)]
    pub new_token: bool,

    /// With --new-token: one that may start, stop, restart, reload, delete and scale apps, too
    #[arg(long, requires = "new_token")]
    pub write: bool,
}

const WEB: &str = "\
  GET /                   the machine and all processes in PM2's shape
  GET /api/v1/...         instances, apps, logs, events, plan, history; `/api/v1/openapi.json` describes it
  GET /metrics            for Prometheus
  GET /health             for who watches this; the only one that takes no token

A token is kept as a digest, a line in `web-tokens` in PMRUN_HOME; without its line it is none any more. No variable's
value is ever served.

Examples:
  pmrun web --new-token --write       prints a token
  pmrun web                           serves on http://127.0.0.1:9615
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:9615/api/v1/instances
  curl -H \"Authorization: Bearer $TOKEN\" -X POST http://127.0.0.1:9615/api/v1/apps/api/restart
  pmrun start \"pmrun web\" --name web  have pmrun run it, too";

#[derive(Args, Clone, Debug, Default)]
#[command(after_help = LOGS)]
pub(super) struct Logs {
    /// Without a target: all
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,

    /// Go on printing what is written; what a terminal is shown goes on in any case
    #[arg(short, long, conflicts_with_all = ["nostream", "until"])]
    pub follow: bool,

    /// Print what there is, and end; what goes to a file or a program ends in any case
    #[arg(long)]
    pub nostream: bool,

    /// How many lines of each file to begin with: of those that `--grep` leaves (default: 15; with a time: all)
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,

    /// Only standard output
    #[arg(long)]
    pub out: bool,

    /// Only standard error
    #[arg(long)]
    pub err: bool,

    /// Only what was written since then
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub since: Option<Timestamp>,

    /// Only what was written until then
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub until: Option<Timestamp>,

    /// Only lines that this is found in
    #[arg(long, value_name = "REGEX", value_parser = regex)]
    pub grep: Option<Regex>,

    /// Mark a text where it occurs, on a terminal with colours
    #[arg(long, value_name = "TEXT")]
    pub highlight: Option<String>,

    /// Begin each line with its time, in dayjs' tokens (default: YYYY-MM-DD-HH:mm:ss)
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, default_missing_value = "YYYY-MM-DD-HH:mm:ss", value_parser = date_format)]
    pub timestamp: Option<String>,

    /// Print lines as they were written, those of standard error to stderr
    #[arg(long, conflicts_with_all = ["json", "format", "timestamp"])]
    pub raw: bool,

    /// Print each line as a JSON object
    #[arg(long, conflicts_with_all = ["format", "timestamp"])]
    pub json: bool,

    /// Print each line as `timestamp=... app=... id=... type=... message=...`
    #[arg(long, conflicts_with = "timestamp")]
    pub format: bool,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    parse_moment(text, &Zoned::now()).ok_or_else(|| format!("not a time: {MOMENTS}"))
}

fn regex(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| error.to_string())
}

/// What follows `--timestamp` may have been meant as a target.
fn date_format(text: &str) -> Result<String, String> {
    match DateFormat::unknown(text).first() {
        None => Ok(text.to_owned()),
        Some(word) => {
            Err(format!("`{word}` is no part of a time, like `HH:mm:ss`; targets come first: `logs api --timestamp`"))
        }
    }
}

#[derive(Args, Debug)]
#[command(after_help = FLUSH)]
pub(super) struct Flush {
    /// Without a target: all
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = TARGETS)]
pub(super) struct Why {
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = EVENTS)]
pub(super) struct Events {
    /// Without a target: all, and the daemon's own
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,

    /// Go on printing what happens
    #[arg(short, long)]
    pub follow: bool,

    /// The last N only (with --follow and without --since: 15)
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,

    /// Only what happened since then
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    pub since: Option<Timestamp>,

    /// Print each event as a JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[expect(clippy::struct_field_names, reason = "what is named, what of it, and how it waits")]
#[command(after_help = TARGETS)]
pub(super) struct Targets {
    /// What is meant; an ecosystem file is all of its apps, and `-` is one from stdin
    #[arg(required = true, value_name = "TARGET|FILE")]
    pub targets: Vec<String>,

    #[command(flatten)]
    pub picks: Picks,

    #[command(flatten)]
    pub turn: Turn,
}

/// One command changes what runs at a time.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// When another command is at work, exit with 75 instead of waiting for its end
    #[arg(long)]
    pub no_queue: bool,
}

/// What of a file is meant, where one is named.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Picks {
    /// Of a file: only these apps
    #[arg(long, value_name = "APP,...", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Of a file: lay `env_NAME` over `env`
    #[arg(long, value_name = "NAME")]
    pub env: Option<String>,
}

/// What brings apps up.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Act {
    /// Files, scripts, command lines or apps, one after the other; `-` is an ecosystem file from stdin
    #[arg(value_name = "FILE|SCRIPT|TARGET")]
    pub what: Vec<String>,

    #[command(flatten)]
    pub picks: Picks,

    #[command(flatten)]
    pub turn: Turn,

    /// Instances of an app that are replaced at a time, where each new process comes up beside the one that it relieves
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub parallel: Option<NonZeroU32>,

    /// Start a script that runs already once more, as a further instance
    #[arg(short, long)]
    pub force: bool,

    /// Run it in this shell's environment from now on
    #[arg(short = 'a', long)]
    pub update_env: bool,

    /// Write what was started to NAME-pm2.json here
    #[arg(short, long)]
    pub write: bool,

    /// Print what the apps write from then on
    #[arg(long)]
    pub attach: bool,

    /// Run the file in the foreground, as `pmrun run` does
    #[arg(long)]
    pub no_daemon: bool,

    #[command(flatten)]
    pub app: AppOptions,
}

#[derive(Args, Debug)]
#[command(after_help = SCALE)]
pub(super) struct Scale {
    #[arg(required = true, value_name = "TARGET")]
    pub target: String,

    /// So many; `+N` more, `-N` fewer; `max` is one a CPU, `50%` half as many
    #[arg(required = true, value_name = "N", allow_hyphen_values = true, value_parser = scale)]
    pub to: Many,

    #[command(flatten)]
    pub turn: Turn,
}

/// `4`, `+2`, `-1`, `max`, `50%`.
fn scale(text: &str) -> Result<Many, String> {
    let wrong = || "a number such as 4, +2 or -1, `max`, or a share of the CPUs such as 50%".to_owned();
    let cpus = || crate::platform::cpus().usable;
    if let Some(share) = text.strip_suffix('%') {
        let percent = share.parse::<u16>().ok().filter(|percent| *percent > 0).ok_or_else(wrong)?;
        return Ok(Many::To((cpus().saturating_mul(percent.into()) / 100).max(1)));
    }
    let by = |number: &str| number.parse::<u16>().ok().filter(|number| *number > 0).map(i32::from).ok_or_else(wrong);
    match text.split_at_checked(1) {
        Some(("+", number)) => Ok(Many::By(by(number)?)),
        Some(("-", number)) => Ok(Many::By(-by(number)?)),
        _ if text == "max" => Ok(Many::To(cpus())),
        // How many there must be is said by who knows.
        _ => text.parse::<u16>().map(|number| Many::To(number.into())).map_err(|_| wrong()),
    }
}

#[derive(Args, Debug)]
pub(super) struct Service {
    /// Let another process into the cgroup that apps with limits run in, and end
    #[arg(long, hide = true)]
    pub make_room: bool,

    #[command(subcommand)]
    pub command: Option<DaemonCommand>,
}

#[derive(Subcommand, Debug)]
pub(super) enum DaemonCommand {
    /// Have the daemon that runs become this pmrun, as `pmrun upgrade` does
    Upgrade(Json),
}

/// Whose service, and which.
#[derive(Args, Debug)]
pub(super) struct Whose {
    /// The service manager (default: the one that started this machine)
    #[arg(value_enum, value_name = "systemd|openrc|launchd", hide_possible_values = true)]
    pub platform: Option<InitSystem>,

    /// Run the daemon as this user
    #[arg(short = 'u', value_name = "USER", id = "account")]
    pub account: Option<String>,

    /// That user's home folder, which holds `.pmrun`; PMRUN_HOME goes before it
    #[arg(long, value_name = "FOLDER")]
    pub hp: Option<PathBuf>,

    /// A service of your own, which needs no root
    #[arg(long = "user", conflicts_with = "account")]
    pub of_user: bool,

    /// What it is called (default: `pmrun-USER`; with --user `pmrun`)
    #[arg(long, value_name = "NAME", value_parser = service_name)]
    pub service_name: Option<String>,
}

fn service_name(text: &str) -> Result<String, String> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.is_empty() || text.starts_with(['.', '-']) || !text.chars().all(is_fit) {
        return Err("letters, digits, `.`, `_` and `-`".to_owned());
    }
    Ok(text.trim_end_matches(".service").to_owned())
}

/// With the systems that PM2 knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum InitSystem {
    #[value(aliases = ["ubuntu", "centos", "arch", "oracle"])]
    Systemd,
    Openrc,
    #[value(aliases = ["darwin", "macos"])]
    Launchd,
    /// What PM2 writes files for, and nothing here does.
    #[value(name = "upstart", hide = true, aliases = [
        "ubuntu14", "ubuntu12", "systemv", "amazon", "centos6", "rcd", "freebsd", "rcd-openbsd", "openbsd", "smf", "sunos", "solaris",
    ])]
    Other,
}

#[derive(Args, Debug)]
#[command(after_help = "\
It is shown, written and enabled; it does not start anything now. Without root it prints the
line that root has to run.

Examples:
  sudo pmrun startup                  the daemon of root
  sudo pmrun startup -u deploy        that of `deploy`
  pmrun startup --user                your own, without root
  pmrun startup openrc --print        what would be written")]
pub(super) struct Startup {
    #[command(flatten)]
    pub whose: Whose,

    /// Only print what would be written
    #[arg(long)]
    pub print: bool,

    /// Write over a file that was edited, without asking
    #[arg(long)]
    pub yes: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
What `startup` was told has to be told again.

Examples:
  sudo pmrun unstartup -u deploy
  pmrun unstartup --user")]
pub(super) struct Unstartup {
    #[command(flatten)]
    pub whose: Whose,

    /// Remove a file that was edited, without asking
    #[arg(long)]
    pub yes: bool,
}

const START: &str = "\
What contains a `/` or is a file here is a script, what contains a space is a command line; anything else names apps
that are known, or a program. An ecosystem file is applied, but nothing is deleted for it.

Examples:
  pmrun start                         the ecosystem file of this folder
  pmrun start api
  pmrun start ecosystem.config.js --only api --env production
  pmrun start ./worker.py --name mailer -i 2 -- --queue mail
  pmrun start \"python3 -m http.server 8000\" --name files
  cat apps.json | pmrun start -";

const RESTART: &str = "\
A target is an app's name, `name:instance`, an id that `list` shows, a namespace, `/regex/`, `all`, a script's path,
or an ecosystem file, which is applied first (nothing is deleted for it).

Examples:
  pmrun restart api --max-memory-restart 300M
  pmrun restart api --update-env
  pmrun reload ecosystem.config.js --only api
  pmrun restart all

What is changed by options is a change by hand: `pmrun drift` shows it, and the next `apply` of the file takes it back.";

const SCALE: &str = "\
Examples:
  pmrun scale api 4       # four instances
  pmrun scale api +2      # two more
  pmrun scale api -1      # one fewer: it finishes what it has begun, the others notice nothing

It is a change by hand: `pmrun diff` shows it as drift, and the next `apply` of the file takes it back.";

const TARGETS: &str = "\
A target is an app's name, `name:instance`, an id that `list` shows, a namespace, `/regex/`, or `all`.
Where it could be several of these, the app of exactly that name is meant (but for `all`), then the instance, the
namespace, the id.";

const LOGS: &str = "\
A TIME is so long ago (`10m`, `2h30m`, `1d`), RFC 3339, or local (`2026-11-21 20:00`, `20:00`).

Lines say when they were written where the app has `time`, `log_date_format` or
`log_type: \"json\"`: several apps are merged by it. Other lines stand where their file was last
written, and a TIME leaves out whole files of theirs only; what is known is said on stderr.
`--json` says in `timestamp_from` whether a time is the line's own or the one it was seen at.
What was rotated is read, too.

A target is an app's name, `name:instance`, an id that `list` shows, a namespace, `/regex/`,
or `all`.

Examples:
  pmrun logs api --lines 100
  pmrun logs all --err --since 10m --grep 'timeout|refused'
  pmrun logs shop -f --json           a namespace, for programs";

const FLUSH: &str = "\
Empties the files that the apps write to, and removes what was rotated out of them. The apps
go on writing, nothing is restarted. It works without a daemon, too.

A target is an app's name, `name:instance`, an id that `list` shows, a namespace, `/regex/`,
or `all`.";

const EVENTS: &str = "\
They are kept in PMRUN_HOME/events.jsonl, the latest megabyte or two of them, and can be read when no daemon runs.
A target is what `pmrun stop` takes, or an app that is gone.

Examples:
  pmrun events --since 10m
  pmrun events api -f
  pmrun events --json | jq 'select(.event == \"exited\" and .asked == false)'";

const DRIFT: &str = "\
Stopped, started, deleted or scaled by hand, given up on, started from an earlier version of the file, running older
code than there is on disk, or a program that was deleted. No file is read. Exit codes: 0 none, 2 some, 1 error";

const ERRORS: &str = "\
With `--json` an error is the last line of stderr: {\"version\":1,\"error\":{\"exit\":1,\"message\":\"...\",\"hint\":null}};
`details` in it holds the report on a file that cannot be used. What is printed before it is talk.";

fn after_help() -> String {
    format!(
        "Start here:\n  pmrun diff    what would change\n  pmrun apply   change it\n  pmrun list    what runs\n\n{}\n\n{ERRORS}\n\n{}",
        exit::HELP,
        surroundings::VARIABLES
    )
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(std::iter::once("pmrun").chain(line.split_whitespace())).map(|cli| cli.command)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_documented_line_parses() {
        let lines = [
            "apply",
            "apply eco.json --env production --only a,b --only c --no-prune --adopt --allow-empty --no-queue --json --strict",
            "diff --markdown --base git:HEAD~1",
            "diff @3 @7 --json",
            "apply --auto-rollback",
            "pid",
            "pid api",
            "id api",
            "reset all",
            "sendSignal SIGUSR2 api web",
            "signal USR1 0",
            "send 0 reload -now",
            "attach 0",
            "trigger all db:clean",
            "trigger 0 level debug --json",
            "inspect api",
            "migrate pm2 --pm2-home /p --out a.json --force --only a,b --dry-run",
            "attach api ;",
            "set a:b 1",
            "get",
            "get a",
            "conf",
            "config a b",
            "multiset a 1 b 2",
            "unset a",
            "report",
            "logrotate",
            "completion bash",
            "help",
            "help exit-codes",
            "help man apply",
            "link a b --force",
            "module:install x",
            "deploy ecosystem.config.js production setup",
            "init simple",
            "ecosystem",
            "history",
            "history @7 --json",
            "history -n 5",
            "rollback",
            "rollback @7 --only a,b --dry-run --json --no-queue",
            "drift --json",
            "diff eco.yaml --out plan.json --no-color",
            "render --json --reveal",
            "render --raw eco.config.js",
            "validate --strict --json",
            "validate --format github",
            "init",
            "init --format toml --force",
            "convert eco.js --to yaml",
            "convert eco.js --to json5 --out eco.json5 --force",
            "schema",
            "schema --format ts",
            "schema --format markdown",
            "explain",
            "explain unknown-option --json",
            "explain api.env.PORT eco.json --env production --json --reveal",
            "ls --json",
            "ps",
            "status",
            "show api:0 --json --reveal",
            "logs",
            "monit",
            "dash",
            "imonit",
            "serve",
            "serve dist 3000 --spa --name site -- x",
            "expose . --port 80 --host ::1 --ftp --basic-auth-username u --basic-auth-password p --monitor --homepage /a",
            "__serve",
            "logs api -f --lines 0 --err",
            "logs api web /x/ --nostream --since 10m --until 20:00 --grep a|b --highlight x -n 5 --timestamp",
            "logs --timestamp HH:mm:ss --out",
            "logs --raw",
            "run",
            "run eco.json --env production --only api,web --exit-on-failure --grace 8s --strict --json",
            "run --no-prefix --hermetic",
            "log api --nostream",
            "logs --format",
            "flush",
            "flush api 0",
            "reloadLogs",
            "reload-logs",
            "why api:0 --json",
            "events",
            "events api web -f -n 3 --since 10m --json",
            "start api 3 /web.*/",
            "start ./a.sh --name a --cwd /tmp --interpreter bash -i -1 -- -x --name b",
            "start",
            "start - --only a,b --env production",
            "start a.js b.js -f -a -w --attach --no-daemon -x -u bob -k 3000 -p a.pid -o o -e e -l",
            "stop all",
            "stop eco.json --only a",
            "startOrRestart eco.json --env production",
            "startOrReload eco.json",
            "startOrGracefulReload eco.json",
            "gracefulReload all",
            "restart api --max-memory-restart 100M --update-env --watch",
            "restart api",
            "delete api",
            "resurrect",
            "resurrect --saved",
            "resurrect --from dump.pm2 --dry-run",
            "save --force",
            "dump",
            "cleardump",
            "kill",
            "ping --json",
            "version",
            "--no-color list",
            "__eval",
            "__daemon",
            "daemon",
            "daemon --make-room",
            "startup",
            "startup systemd -u bob --hp /home/bob --service-name shop --yes",
            "startup ubuntu --print",
            "startup openrc",
            "startup upstart --print",
            "startup rcd-openbsd",
            "startup launchd --user --print",
            "unstartup systemd -u bob --hp /home/bob --service-name shop --yes",
            "unstartup --user",
            "__keeper 1",
            "__daemon-resume 3",
            "__keeper-resume 3",
            "upgrade",
            "state check --json",
            "state repair",
            "update --json",
            "__keeper 1 1024",
            "__ward 1 /tmp/x",
            "__ward 1 /tmp/x /sys/fs/cgroup/x",
            "__log",
        ];
        for line in lines {
            parse(line).unwrap_or_else(|err| panic!("{line}: {err}"));
        }
    }

    #[test]
    fn wrong_lines_are_refused_by_kind() {
        let table = [
            ("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("--help", ErrorKind::DisplayHelp),
            ("--version", ErrorKind::DisplayVersion),
            ("aply", ErrorKind::InvalidSubcommand),
            ("apply --nope", ErrorKind::UnknownArgument),
            ("stop", ErrorKind::MissingRequiredArgument),
            ("start a.js --kill-timeout", ErrorKind::InvalidValue),
            ("validate --json --format github", ErrorKind::ArgumentConflict),
            ("init --format xml", ErrorKind::InvalidValue),
            ("convert eco.js --to yaml --force", ErrorKind::MissingRequiredArgument),
            ("schema --format xml", ErrorKind::InvalidValue),
            ("diff --json --markdown", ErrorKind::ArgumentConflict),
            ("diff --base x --out y", ErrorKind::ArgumentConflict),
            ("serve . 0", ErrorKind::ValueValidation),
            ("serve . 65536", ErrorKind::ValueValidation),
            ("serve . --port http", ErrorKind::ValueValidation),
            ("serve --basic-auth-username u", ErrorKind::MissingRequiredArgument),
            ("logs --lines many", ErrorKind::ValueValidation),
            ("logs --since soon", ErrorKind::ValueValidation),
            ("logs --grep (", ErrorKind::ValueValidation),
            ("logs --timestamp web", ErrorKind::ValueValidation),
            ("logs --raw --json", ErrorKind::ArgumentConflict),
            ("run --raw --json", ErrorKind::ArgumentConflict),
            ("run --grace soon", ErrorKind::ValueValidation),
            ("logs -f --until 20:00", ErrorKind::ArgumentConflict),
            ("why", ErrorKind::MissingRequiredArgument),
            ("startup sysvinit", ErrorKind::InvalidValue),
            ("startup --user -u bob", ErrorKind::ArgumentConflict),
            ("startup --service-name a/b", ErrorKind::ValueValidation),
            ("events --since soon", ErrorKind::ValueValidation),
        ];
        for (line, want) in table {
            assert_eq!(parse(line).unwrap_err().kind(), want, "{line}");
        }
    }

    #[test]
    fn what_follows_two_dashes_is_the_scripts() {
        let Ok(Command::Start(start)) = parse("start ./a.sh -n a -- -n b --flag") else { panic!() };
        assert_eq!(start.what, ["./a.sh"]);
        assert_eq!(start.app.get("name"), Some("a"));
        assert_eq!(start.app.args.as_deref().unwrap_or_default(), ["-n", "b", "--flag"]);
    }
}
