//! Commands of PM2's that ask or tell small things, and what there is instead of those that there are none of.

use clap::{Args, Subcommand};

use super::arguments::Targets;
use super::error::CliError;
use super::exit::Exit;
use super::terminal::{Terminal, harmless};
use super::{completion, conf, exchange, help, instances, migrate, pm2, report, send, surroundings, trigger};
use crate::base::{Signal, closest};
use crate::rpc::wire::{InstanceView, Request};
use crate::runtime;

#[derive(Debug, Subcommand)]
pub(super) enum More {
    /// Print the pids of apps, one a line
    Pid(Names),
    /// Print the ids of an app's instances
    Id(Name),
    /// Count the restarts of apps from nothing again
    Reset(Targets),
    /// Send apps a signal; what they make of it is their own affair
    #[command(name = "sendSignal", visible_alias = "signal")]
    SendSignal(SendSignal),
    /// Write a line to the standard input of apps
    Send(send::Send),
    /// Type to an app, and see what it writes
    Attach(send::Attach),
    /// Have apps do what they offer to do by PM2's libraries
    Trigger(trigger::Trigger),
    /// Have an app open Node's inspector, where it offers that
    Inspect(trigger::Inspect),
    /// Keep a value under a key, as `pm2 set` does
    Set(conf::Set),
    /// Print what is kept under a key, or everything
    #[command(visible_alias = "conf")]
    Get(conf::Get),
    /// Print what is kept under a key, or keep a value there
    Config(conf::Config),
    /// Keep several: `multiset "key value key value"`
    Multiset(conf::Multiset),
    /// Forget what is kept under a key
    Unset(conf::Unset),
    /// Take over what a PM2 runs, one app after the other
    Migrate(migrate::Migrate),
    /// Print what helps to look into a problem: versions, the machine, the daemon, the apps
    Report,
    /// Say how logs are rotated: it is built in
    Logrotate,
    /// Print completions for a shell, with the names of apps
    #[command(after_help = completion::HELP)]
    Completion(completion::Completion),
    /// Say more: exit-codes, env, ecosystem, protocol, man, or a command
    Help(help::Help),
    /// The names of apps, for completions
    #[command(name = "__names", hide = true)]
    CompletedNames,

    #[command(flatten)]
    Absent(Absent),
}

/// What PM2 has and there is something else instead.
#[derive(Debug, Subcommand)]
pub(super) enum Absent {
    #[command(hide = true)]
    Link(Anything),
    #[command(hide = true)]
    Unlink(Anything),
    #[command(hide = true, alias = "register")]
    Plus(Anything),
    #[command(hide = true)]
    Login(Anything),
    #[command(hide = true)]
    Logout(Anything),
    #[command(hide = true)]
    Open(Anything),
    #[command(hide = true)]
    Monitor(Anything),
    #[command(hide = true)]
    Unmonitor(Anything),
    #[command(hide = true, aliases = ["module:install", "module:update", "autoinstall"])]
    Install(Anything),
    #[command(hide = true, alias = "module:uninstall")]
    Uninstall(Anything),
    #[command(hide = true, aliases = ["module:publish", "module:generate", "package"])]
    Publish(Anything),
    #[command(hide = true)]
    Deploy(Anything),
    #[command(hide = true, aliases = ["forward", "backward"])]
    Pull(Anything),
    #[command(hide = true, name = "profile:cpu", aliases = ["profile:mem", "profile"])]
    Profile(Anything),
    #[command(hide = true, name = "install-otel", alias = "uninstall-otel")]
    Otel(Anything),
    #[command(hide = true, name = "deepUpdate")]
    DeepUpdate(Anything),
    #[command(hide = true, aliases = ["sysinfos", "sysmonit"])]
    Slist(Anything),
    #[command(hide = true)]
    Examples(Anything),
    #[command(hide = true)]
    Create(Anything),
}

#[derive(Args, Debug)]
pub(super) struct Anything {
    #[arg(num_args(0..), trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<String>,
}

#[derive(Args, Debug)]
pub(super) struct Names {
    /// Apps (default: all)
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
}

#[derive(Args, Debug)]
pub(super) struct Name {
    #[arg(value_name = "TARGET")]
    pub target: String,
}

#[derive(Args, Debug)]
pub(super) struct SendSignal {
    /// `SIGUSR2`, `USR2` or 12
    pub signal: String,

    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,
}

pub(super) fn run(command: &More, terminal: &mut Terminal) -> Result<Exit, CliError> {
    match command {
        More::Pid(names) => pid(&names.targets, terminal),
        More::Id(name) => id(&name.target, terminal),
        More::Reset(targets) => reset(&targets.targets, terminal),
        More::SendSignal(arguments) => send_signal(arguments, terminal),
        More::Send(arguments) => send::send(arguments, terminal),
        More::Attach(arguments) => send::attach(arguments, terminal),
        More::Trigger(arguments) => trigger::trigger(arguments, terminal),
        More::Inspect(arguments) => trigger::inspect(arguments, terminal),
        More::Set(arguments) => conf::set(arguments, terminal),
        More::Get(arguments) => conf::get(arguments, terminal),
        More::Config(arguments) => conf::config(arguments, terminal),
        More::Multiset(arguments) => conf::multiset(arguments, terminal),
        More::Unset(arguments) => conf::unset(arguments, terminal),
        More::Migrate(arguments) => migrate::run(arguments, terminal),
        More::Report => report::run(terminal),
        More::Logrotate => {
            terminal.print("logs are rotated by pmrun itself: `log_max_size`, `log_retain` and `log_compress` of each app say how\n")?;
            Ok(Exit::Done)
        }
        More::Completion(arguments) => completion::run(arguments, terminal),
        More::Help(arguments) => help::run(arguments, terminal),
        More::CompletedNames => completion::names(terminal),
        More::Absent(absent) => Err(absent.instead()),
    }
}

impl Absent {
    fn instead(&self) -> CliError {
        let (what, instead) = match self {
            Self::Link(_) | Self::Unlink(_) | Self::Plus(_) | Self::Login(_) | Self::Logout(_) | Self::Open(_) => {
                ("there is no hosted dashboard", "`pmrun list` and `pmrun events` show what happens here")
            }
            Self::Monitor(_) | Self::Unmonitor(_) => (
                "nothing is sent to a hosted dashboard",
                "`pmrun list` shows what runs, `pmrun events -f` what happens",
            ),
            Self::Install(_) | Self::Uninstall(_) | Self::Publish(_) => (
                "there are no modules",
                "log rotation is built in (`log_max_size`); anything else is an app: `pmrun start`",
            ),
            Self::Deploy(_) => {
                ("nothing is deployed over ssh", "after `git pull`, `pmrun apply` restarts what changed")
            }
            Self::Pull(_) => {
                ("work trees are left to git", "`git pull`, then `pmrun apply`, which restarts what changed")
            }
            Self::Profile(_) | Self::Otel(_) => {
                ("nothing is injected into apps", "Node's own `--cpu-prof` and `--heap-prof` in `node_args` do it")
            }
            Self::Slist(_) => ("there is no list of sensors", "`pmrun report` tells of the machine"),
            Self::Examples(_) => {
                ("there is no list of examples", "`pmrun help start` and other commands begin with theirs")
            }
            Self::Create(_) => ("nothing is scaffolded", "`pmrun init` writes an ecosystem file for what is there"),
            Self::DeepUpdate(_) => ("pmrun installs nothing", "install the new one, then `pmrun upgrade`"),
        };
        CliError::error(what).hint(instead).in_pm2s_words(format!("{what}: {instead}"))
    }
}

fn all() -> Result<Vec<InstanceView>, CliError> {
    instances::all(&surroundings::home()?)
}

fn pid(targets: &[String], terminal: &mut Terminal) -> Result<Exit, CliError> {
    let all = all()?;
    if targets.is_empty() || !terminal.manners.are_pm2s() {
        let meant = if targets.is_empty() { all } else { instances::select(targets, &all)? };
        for view in meant {
            terminal.print(format!("{}\n", view.pid.unwrap_or(0)))?;
        }
        return Ok(Exit::Done);
    }
    // Who is unknown has an empty line, as scripts expect.
    let found = instances::select(targets, &all).unwrap_or_default();
    let pids: Vec<String> = found.iter().map(|view| view.pid.unwrap_or(0).to_string()).collect();
    terminal.print(format!("{}\n", pids.join("\n")))?;
    Ok(Exit::Done)
}

fn id(target: &str, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let all = all()?;
    let found = instances::select(&[target.to_owned()], &all);
    let found = if terminal.manners.are_pm2s() { found.unwrap_or_default() } else { found? };
    let ids: Vec<String> = found.iter().map(|view| view.id.to_string()).collect();
    terminal.print(if ids.is_empty() { "[]\n".to_owned() } else { format!("[ {} ]\n", ids.join(", ")) })?;
    Ok(Exit::Done)
}

fn reset(targets: &[String], terminal: &mut Terminal) -> Result<Exit, CliError> {
    let home = surroundings::home()?;
    let all = all()?;
    if terminal.manners.are_pm2s() {
        for target in targets {
            let found = instances::select(std::slice::from_ref(target), &all).unwrap_or_default();
            if found.is_empty() && target.parse::<u32>().is_err() && target != "all" {
                return Err(CliError::error("Unknown process name"));
            }
            for view in &found {
                pm2::say(&format!("Resetting meta for process id {}", view.id), terminal)?;
            }
        }
    }
    instances::select(targets, &all)
        .map(|_| ())
        .or_else(|err| if terminal.manners.are_pm2s() { Ok(()) } else { Err(err) })?;
    let answer = exchange::ask(&home, Request::Reset { targets: targets.to_vec() });
    if terminal.manners.are_pm2s() {
        return pm2::table(terminal);
    }
    match answer? {
        Some(_) => terminal.say("the restarts are counted from 0 again"),
        None => terminal.say("no daemon runs: nothing is counted"),
    }
    Ok(Exit::Done)
}

fn send_signal(arguments: &SendSignal, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let SendSignal { signal: written, targets } = arguments;
    let is_pm2 = terminal.manners.are_pm2s();
    if is_pm2 {
        let named = targets.iter().map(|target| harmless(target.as_bytes(), false)).collect::<Vec<_>>().join(" ");
        let kind = if named.parse::<u32>().is_ok() { "id" } else { "name" };
        pm2::say(&format!("Sending signal to process {kind} {named}"), terminal)?;
    }
    let home = surroundings::home()?;
    let all = instances::all(&home)?;
    if let Err(err) = instances::select(targets, &all) {
        let id = targets.iter().find(|target| target.parse::<u32>().is_ok());
        let words = id.map_or_else(|| "Unknown process name".to_owned(), |id| format!("{id} id unknown"));
        return Err(err.in_pm2s_words(words));
    }
    let Ok(signal) = written.parse::<Signal>() else {
        let suggestion = closest(&written.to_uppercase(), Signal::names());
        return Err(CliError::error(format!("`{written}` is no signal that can be sent"))
            .suggest(suggestion)
            .in_pm2s_words(format!("Unknown signal: {written}")));
    };
    match exchange::ask(&home, Request::Signal { targets: targets.clone(), signal })? {
        None => {
            return Err(CliError::error("no daemon runs: nothing was sent a signal").hint("`pmrun apply` starts one"));
        }
        Some(crate::rpc::wire::Answer::Done { touched: 0, .. }) if !is_pm2 => {
            return Err(CliError::error("nothing of it runs: nothing was sent a signal"));
        }
        Some(_) => {}
    }
    if is_pm2 {
        let named = targets.iter().map(|target| harmless(target.as_bytes(), false)).collect::<Vec<_>>().join(" ");
        terminal.print(format!("successfully sent signal {written} to process name {named}\n"))?;
        return pm2::table(terminal);
    }
    let count = runtime::resolve(targets, &all).map_or(0, |found| found.len());
    terminal.say(format!("sent {signal} to {}", super::terminal::counted(count, "instance")));
    Ok(Exit::Done)
}
