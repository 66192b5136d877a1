//! PM2's names for containers, `pm2-runtime` and `pm2-docker`: what `pmrun run` does, for scripts, too. And `pm2-dev`, which there is none of.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use super::arguments::{Act, Cli, Command, Run, Source};
use super::error::CliError;
use super::exit::Exit;
use super::terminal::Terminal;
use super::{commander, hand, run};
use crate::cli::manners::Manners;
use crate::platform::Signals;

/// Options of `pm2-runtime` that are so in any case, and whether a value comes after them.
const USUAL: [(&str, bool); 10] = [
    ("--auto-exit", false),
    ("--no-auto-exit", false),
    ("--no-daemon", false),
    ("--formatted", false),
    ("--format", false),
    ("--web", false),
    ("--secret", true),
    ("--public", true),
    ("--machine-name", true),
    ("--error-notify", false),
];

/// What the program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    Container,
    Dev,
}

impl Called {
    pub(super) fn of(program: Option<&OsStr>) -> Option<Self> {
        match Path::new(program?).file_name()?.to_str()? {
            "pm2-runtime" | "pm2-docker" => Some(Self::Container),
            "pm2-dev" => Some(Self::Dev),
            _ => None,
        }
    }
}

/// Everything that this program does under that name.
pub(super) fn main(called: Called, args: &[OsString], signals: Option<io::Result<Signals>>) -> ExitCode {
    let mut terminal = Terminal::new(false, false);
    let result = match called {
        Called::Container => contain(args, signals, &mut terminal),
        Called::Dev => Err(CliError::error("there is no `pm2-dev` here").hint(
            "`pmrun run FILE` runs an ecosystem file in the foreground, and restarts what has `watch: true` when its files change",
        )),
    };
    match result.and_then(|code| terminal.flush().map(|()| code)) {
        Ok(code) => code,
        Err(error) => {
            let _ = terminal.flush();
            terminal.say_error(&error);
            error.exit.into()
        }
    }
}

fn contain(
    args: &[OsString],
    signals: Option<io::Result<Signals>>,
    terminal: &mut Terminal,
) -> Result<ExitCode, CliError> {
    let (line, printed) = arranged(args);
    // Words of PM2's that mean nothing here are none of `start`'s, either.
    let line = commander::arrange(line, Manners::Pm2, |_| <Cli as clap::CommandFactory>::command());
    let cli = match Cli::try_parse_from(&line.args) {
        Ok(cli) => cli,
        Err(err) => {
            // Nobody reading it is no matter.
            let _ = err.print();
            return Ok(if err.use_stderr() { Exit::Usage } else { Exit::Done }.into());
        }
    };
    let Command::Start(act) = cli.command else {
        return Err(CliError::usage("what runs in a container is a file, or a script"));
    };
    let Act { what, app, picks, .. } = &act;
    let run = Run {
        source: Source { env: picks.env.clone(), ..Source::default() },
        only: picks.only.clone(),
        raw: printed == Printed::Raw,
        json: printed == Printed::Json,
        ..Run::default()
    };
    match &what[..] {
        [] => run::run(&run, signals, terminal),
        [file] if hand::is_file(file) => {
            let source = Source { file: Some(file.into()), ..run.source };
            run::run(&Run { source, ..run }, signals, terminal)
        }
        [script] => run::script(hand::described_by(script, app)?, script, &run, signals, terminal),
        _ => Err(CliError::usage("one file, or one script").hint("an ecosystem file holds several apps")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Printed {
    Raw,
    Json,
}

/// As `start` takes it, less what says how lines are printed.
fn arranged(args: &[OsString]) -> (Vec<OsString>, Printed) {
    let mut printed = Printed::Raw;
    let mut line = vec![OsString::from("pmrun"), OsString::from("start")];
    let mut words = args.iter().skip(1).peekable();
    words.next_if(|word| *word == "start");
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let usual = USUAL.iter().find(|(name, _)| text.split('=').next() == Some(name));
        match (&*text, usual) {
            ("--", _) => {
                line.push(word.clone());
                line.extend(words.by_ref().cloned());
            }
            ("--raw", _) => printed = Printed::Raw,
            ("--json", _) => printed = Printed::Json,
            (_, Some((_, takes))) => {
                if *takes && !text.contains('=') {
                    words.next();
                }
            }
            _ => line.push(word.clone()),
        }
    }
    (line, printed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_that_of_start_less_what_is_so_anyway() {
        for (said, want, printed) in [
            ("app.js", "app.js", Printed::Raw),
            ("start app.js --json -i 2", "app.js -i 2", Printed::Json),
            ("--no-auto-exit --secret x eco.config.js --only a", "eco.config.js --only a", Printed::Raw),
            ("app.js --raw -- --json --web", "app.js -- --json --web", Printed::Raw),
        ] {
            let args: Vec<OsString> =
                std::iter::once("pm2-runtime").chain(said.split(' ')).map(OsString::from).collect();
            let (line, how) = arranged(&args);
            let line: Vec<String> = line.iter().skip(2).map(|word| word.to_string_lossy().into_owned()).collect();
            assert_eq!((line.join(" ").as_str(), how), (want, printed));
        }
        let called = |name: &str| Called::of(Some(OsStr::new(name)));
        assert_eq!(called("/usr/bin/pm2-docker"), Some(Called::Container));
        assert_eq!((called("pm2-dev"), called("pm2")), (Some(Called::Dev), None));
    }
}
