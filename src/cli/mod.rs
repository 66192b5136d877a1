//! One file a command; the only code that prints or exits.
//!
//! To add a command: a variant of `arguments::Command` with its arguments, a file with a `run`, a line in
//! `dispatch`. Data goes to stdout and talk to stderr, both through `terminal::Terminal`; errors are
//! `error::CliError`s, printed here and nowhere else; exit codes are those of `exit::Exit`.

mod ambient;
mod api;
mod apply;
mod arguments;
mod baseline;
mod cautions;
mod change;
mod checkout;
mod columns;
mod commander;
mod completion;
mod conf;
mod container;
mod convert;
mod diff;
mod drift;
mod error;
mod events;
mod exchange;
mod exit;
mod explain;
mod facts;
mod flush;
mod generations;
mod hand;
mod help;
mod history;
mod init;
mod inputs;
mod instances;
mod jlist;
mod kill;
mod list;
mod live;
mod loading;
mod logs;
mod looks;
mod manners;
mod migrate;
mod monit;
mod more;
mod offline;
mod options;
mod package;
mod ping;
mod pm2;
mod progress;
mod quick;
mod random;
mod reload_logs;
mod render;
mod report;
mod resurrect;
mod revision;
mod rollback;
mod run;
mod saved;
mod saved_plan;
mod schema;
mod screen;
mod send;
mod serve;
mod show;
mod startup;
mod state;
mod surroundings;
mod table;
mod terminal;
mod traps;
mod trigger;
mod upgrade;
mod validate;
mod version;
mod web;
mod why;
mod worktrees;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser as _};

use self::arguments::{Cli, Command, DaemonCommand, Service};
use self::container::Called;
use self::error::CliError;
use self::exit::Exit;
use self::manners::Manners;
use self::terminal::Terminal;
use crate::platform::Signals;

/// The program: reads its arguments, does what they say, and returns its exit code.
#[must_use]
pub fn run() -> ExitCode {
    // A command waits for this one, and making the parser of all commands takes longer than a look.
    if arguments::is_eval(std::env::args_os()) {
        return crate::config::js::child_main();
    }
    // Nor can a command be answered before this is.
    if let Some(fd) = arguments::resumed(std::env::args_os()) {
        return crate::daemon::resume(fd);
    }
    // The first process of a container hears of no signal that it has no handler for: what comes from now on waits.
    let mut signals = (std::process::id() == 1).then(Signals::block_all);
    let manners = Manners::own();
    completion::answer_shells();
    let args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if let Some(called) = Called::of(args.first().map(|program| &**program)) {
        return container::main(called, &args, signals.take());
    }
    let line = commander::arrange(args, manners, |command| quick::definition(command).unwrap_or_else(Cli::command));
    surroundings::settle(manners);
    let cli = match quick::parse(&line.args).map_or_else(|| Cli::try_parse_from(&line.args), Ok) {
        Ok(cli) => cli,
        Err(err) => return manners.exit(not_parsed(&err, manners)).into(),
    };
    if !matches!(cli.command, Command::Run(_))
        && let Some(Ok(signals)) = signals.take()
    {
        signals.let_go();
    }
    match cli.command {
        Command::Eval => return crate::config::js::child_main(),
        Command::Daemon => return crate::daemon::main(),
        Command::Service(Service { make_room: true, .. }) => return crate::daemon::make_room(),
        Command::Service(Service { command: None, .. }) => return crate::daemon::service(),
        Command::ResumeDaemon { fd } => return crate::daemon::resume(fd),
        Command::ResumeKeeper { fd } => return crate::daemon::keep_on(fd),
        Command::Keeper { daemon, soft_file_limit } => return crate::daemon::keep(daemon, soft_file_limit),
        Command::Ward { tag, folder, group } => return crate::platform::ward(tag, &folder, group.as_deref()),
        Command::Pump => return crate::logs::pump::main(),
        Command::Api { daemon } => return api::main(daemon),
        Command::ServeFiles => return serve::be(),
        _ => {}
    }
    let mut terminal = Terminal::new(cli.no_color, cli.command.json());
    terminal.manners = manners;
    terminal.silent = line.silent || manners.are_pm2s() && pm2::is_silenced();
    terminal.mute = manners.are_pm2s()
        && terminal.silent
        && !matches!(cli.command, Command::Jlist(_) | Command::PrettyList(_) | Command::Logs(_) | Command::Version(_));
    let result = match &cli.command {
        // Its exit code is its apps'.
        Command::Run(arguments) => run::run(arguments, signals, &mut terminal),
        command => {
            if let (true, Ok(home)) = (manners.are_pm2s(), surroundings::home()) {
                pm2::begin(&home, command);
            }
            let in_pm2s_words = if manners.are_pm2s() { pm2::dispatch(command, &mut terminal) } else { None };
            let result = in_pm2s_words.unwrap_or_else(|| dispatch(command, &mut terminal));
            if let (true, Ok(home)) = (manners.are_pm2s(), surroundings::home()) {
                pm2::link_names(&home);
            }
            let result = result.and_then(|exit| {
                if terminal.owes_table {
                    pm2::print_table(&mut terminal)?;
                }
                Ok(terminal.exit().unwrap_or_else(|| manners.exit(exit).into()))
            });
            // Afterwards: it may be so only now.
            if let (true, Ok(home)) = (command.is_of_operators(), surroundings::home()) {
                state::note_rebuilt(&home, &mut terminal);
            }
            result
        }
    };
    match result.and_then(|code| terminal.flush().map(|()| code)) {
        Ok(code) => code,
        Err(error) => {
            // What was printed before it failed is printed; that it cannot be is not what went wrong.
            let _ = terminal.flush();
            terminal.say_error(&error);
            manners.exit(error.exit).into()
        }
    }
}

fn dispatch(command: &Command, terminal: &mut Terminal) -> Result<Exit, CliError> {
    match command {
        Command::Apply(arguments) => apply::run(arguments, terminal),
        Command::Diff(arguments) => diff::run(arguments, terminal),
        Command::Drift(arguments) => drift::run(arguments, terminal),
        Command::History(arguments) => generations::run(arguments, terminal),
        Command::Rollback(arguments) => rollback::run(arguments, terminal),
        Command::Render(arguments) => render::run(arguments, terminal),
        Command::Validate(arguments) => validate::run(arguments, terminal),
        Command::Init(arguments) => init::run(arguments, terminal),
        Command::Convert(arguments) => convert::run(arguments, terminal),
        Command::Schema(arguments) => schema::run(arguments, terminal),
        Command::Explain(arguments) => explain::run(arguments, terminal),
        Command::List(arguments) => list::run(arguments, terminal),
        Command::Show(arguments) => show::run(arguments, terminal),
        Command::Env(arguments) => jlist::env(arguments, terminal),
        Command::Jlist(arguments) => jlist::run(arguments, terminal),
        Command::PrettyList(arguments) => jlist::pretty(arguments, terminal),
        Command::Web(arguments) => web::run(arguments, terminal),
        Command::Serve(arguments) => serve::run(arguments, terminal),
        Command::Monit => monit::run(terminal),
        Command::Logs(arguments) => logs::run(arguments, terminal),
        Command::Flush(arguments) => flush::run(arguments, terminal),
        Command::ReloadLogs => reload_logs::run(terminal),
        Command::Why(arguments) => why::run(arguments, terminal),
        Command::Events(arguments) => events::run(arguments, terminal),
        Command::Start(arguments) => hand::run(hand::Verb::Start, arguments, terminal),
        Command::Stop(arguments) => hand::end(hand::End::Stop, arguments, terminal),
        Command::Restart(arguments) => hand::run(hand::Verb::Restart, arguments, terminal),
        Command::Reload(arguments) => hand::run(hand::Verb::Reload, arguments, terminal),
        Command::StartOrRestart(arguments) => hand::run(hand::Verb::StartOrRestart, arguments, terminal),
        Command::StartOrReload(arguments) => hand::run(hand::Verb::StartOrReload, arguments, terminal),
        Command::Scale(arguments) => change::scale(arguments, terminal),
        Command::Delete(arguments) => hand::end(hand::End::Delete, arguments, terminal),
        Command::Resurrect(arguments) => resurrect::run(arguments, terminal),
        Command::Save(arguments) => saved::save(arguments, terminal),
        Command::ClearDump => saved::forget(terminal),
        Command::Kill => kill::run(terminal),
        Command::More(command) => more::run(command, terminal),
        Command::State(command) => state::run(command, terminal),
        Command::Ping(arguments) => ping::run(arguments, terminal),
        Command::Startup(arguments) => startup::run(arguments, terminal),
        Command::Unstartup(arguments) => startup::undo(arguments, terminal),
        Command::Upgrade(arguments)
        | Command::Service(Service { command: Some(DaemonCommand::Upgrade(arguments)), .. }) => {
            upgrade::run(arguments, terminal)
        }
        Command::Version(arguments) => version::run(arguments, terminal),
        Command::Run(_)
        | Command::Eval
        | Command::Daemon
        | Command::Service(_)
        | Command::Pump
        | Command::Api { .. }
        | Command::ServeFiles
        | Command::Keeper { .. }
        | Command::ResumeDaemon { .. }
        | Command::ResumeKeeper { .. }
        | Command::Ward { .. } => Err(CliError::usage("these are run by pmrun itself")),
    }
}

/// Help that was asked for is data; everything else is a usage error. Nobody reading either is no matter.
fn not_parsed(err: &clap::Error, manners: Manners) -> Exit {
    let is_about_all = std::env::args_os().nth(1).is_none_or(|first| first == "-h" || first == "--help");
    if is_about_all && matches!(err.kind(), ErrorKind::DisplayHelp) {
        let mut terminal = Terminal::new(true, false);
        let _ = terminal.print(help::overview(&Cli::command())).and_then(|()| terminal.flush());
        return Exit::Done;
    }
    if is_about_all && matches!(err.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        if manners.are_pm2s() {
            let mut terminal = Terminal::new(true, false);
            let _ = pm2::usage(&mut terminal).and_then(|()| terminal.flush());
            return Exit::Usage;
        }
        Terminal::new(true, false).say(help::overview(&Cli::command()));
        return Exit::Usage;
    }
    if manners.are_pm2s() && matches!(err.kind(), ErrorKind::DisplayVersion) {
        let mut terminal = Terminal::new(true, false);
        let _ = terminal.print(concat!(env!("CARGO_PKG_VERSION"), "\n")).and_then(|()| terminal.flush());
        return Exit::Done;
    }
    if matches!(err.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = err.print();
        return Exit::Done;
    }
    if manners.are_pm2s() && matches!(err.kind(), ErrorKind::InvalidSubcommand) {
        let mut terminal = Terminal::new(false, false);
        let _ = pm2::no_such_command(&mut terminal).and_then(|()| terminal.flush());
        return Exit::Usage;
    }
    if let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(written))) =
        (err.kind(), err.get(ContextKind::InvalidSubcommand))
    {
        let for_programs = std::env::args_os().any(|arg| arg == "--json");
        Terminal::new(false, for_programs).say_error(&help::no_such_command(&Cli::command(), written));
        return Exit::Usage;
    }
    if std::env::args_os().any(|arg| arg == "--json") {
        let text = err.render().to_string();
        let message = text.trim().trim_start_matches("error: ").to_owned();
        Terminal::new(true, true).say_error(&CliError::usage(message));
    } else if manners.are_pm2s() {
        Terminal::new(true, false).say(err.render().to_string().replace("Usage: pmrun", "Usage: pm2"));
    } else {
        let _ = err.print();
    }
    Exit::Usage
}
