//! Options before the command, and with any command: as PM2's parser takes them. What comes out is what ours takes.

use std::ffi::{OsStr, OsString};

use clap::Command;

use super::columns::Sorting;
use super::manners::Manners;
use super::options::FLAGS;

/// A command line as ours takes it, and what was said of the program itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub args: Vec<OsString>,
    /// Nothing is said but what was asked for.
    pub silent: bool,
}

/// PM2's options that are not about an app, and whether a value comes after them.
const OTHERS: &[(&str, &str, bool)] = &[
    ("--env", "", true),
    ("--only", "", true),
    ("--parallel", "", true),
    ("--hp", "", true),
    ("--service-name", "", true),
    ("--sort", "", true),
    ("--image-name", "", true),
    ("--node-version", "", true),
    ("--silent", "-s", false),
    ("--mini-list", "-m", false),
    ("--force", "-f", false),
    ("--update-env", "-a", false),
    ("--write", "-w", false),
    ("--attach", "", false),
    ("--no-daemon", "", false),
    ("--daemon", "", false),
    ("--wait-ip", "", false),
    ("--no-color", "", false),
    ("--fresh", "", false),
    ("--safe", "", false),
];

/// An option of PM2's: how it is called in full, and whether the next word is its own.
fn option(word: &str, next: Option<&OsStr>) -> Option<(String, bool)> {
    let (name, has_value) = match word.split_once('=') {
        Some((name, _)) if name.starts_with("--") => (name, true),
        _ => (word, false),
    };
    let next = next.and_then(OsStr::to_str).filter(|_| !has_value);
    let takes = |must: bool| next.is_some_and(|next| must || !next.starts_with('-') || next == "-");
    for flag in FLAGS {
        let is_short =
            flag.short.is_some_and(|short| name.len() == 2 && name.strip_prefix('-') == Some(&short.to_string()));
        if name.strip_prefix("--") == Some(flag.long) || is_short {
            return Some((format!("--{}", flag.long), flag.may_take() && takes(flag.must_take())));
        }
    }
    let (long, _, value) =
        OTHERS.iter().find(|(long, short, _)| *long == name || !short.is_empty() && *short == name)?;
    Some(((*long).to_owned(), *value && takes(true)))
}

fn is_order(words: &[OsString]) -> bool {
    let said = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join("=");
    said.split_once('=').is_some_and(|(_, order)| order.parse::<Sorting>().is_ok())
}

/// With the command first. Of PM2's manners are that options which mean nothing to a command are no mistake.
/// `cli` has the definition of the command that it is called with, others besides it or not.
pub(super) fn arrange(args: Vec<OsString>, manners: Manners, cli: impl FnOnce(&str) -> Command) -> Line {
    let mut args = args.into_iter();
    let program = args.next();
    let rest: Vec<OsString> = args.collect();
    let end = rest.iter().position(|word| word == "--").unwrap_or(rest.len());
    let (mut line, mut command, mut kept) = (Line::default(), None, Vec::<(Option<String>, Vec<OsString>)>::new());
    let mut at = 0;
    let mut strange = false;
    while at < end {
        let word = rest[at].to_string_lossy();
        let found = (word.starts_with('-') && word.len() > 1)
            .then(|| option(&word, rest[at + 1..end].first().map(|next| &**next)));
        match found {
            None if command.is_none() => command = Some(rest[at].clone()),
            None => kept.push((None, vec![rest[at].clone()])),
            Some(Some((name, takes))) => {
                let words = rest[at..=at + usize::from(takes)].to_vec();
                at += usize::from(takes);
                match name.as_str() {
                    "--silent" => line.silent = true,
                    _ => kept.push((Some(name), words)),
                }
            }
            // Before the command nobody knows what it is.
            Some(None) => {
                strange |= command.is_none();
                kept.push((None, vec![rest[at].clone()]));
            }
        }
        at += 1;
    }
    // As commander has it; `-v` means nothing else here.
    if let [only] = &rest[..]
        && only == "-v"
    {
        return Line { args: program.into_iter().chain(["-V".into()]).collect(), ..Line::default() };
    }
    let untouched = |program: Option<OsString>| program.into_iter().chain(rest.iter().cloned()).collect();
    let Some(command) = command.filter(|_| !strange) else {
        return Line { args: untouched(program), ..Line::default() };
    };
    if manners.are_pm2s() {
        let cli = cli(&command.to_string_lossy());
        let known = cli.find_subcommand(&command);
        let takes = |name: &str| {
            let named = |arg: &clap::Arg| arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
            known.is_none_or(|known| known.get_arguments().any(named))
        };
        kept.retain(|(name, _)| name.as_deref().is_none_or(|name| name == "--no-color" || takes(name)));
        // An order that there is none of is the usual one.
        kept.retain(|(name, words)| name.as_deref() != Some("--sort") || is_order(words));
        // What nothing is done with is passed over. Where an option takes a value it may be that.
        let takes_words = |known: &Command| {
            known.has_subcommands() || known.get_arguments().any(|arg| arg.get_action().takes_values())
        };
        if known.is_some_and(|known| !takes_words(known)) {
            kept.retain(|(_, words)| words.iter().any(|word| word.as_encoded_bytes().starts_with(b"-")));
        }
    }
    line.args = program.into_iter().chain([command]).chain(kept.into_iter().flat_map(|(_, words)| words)).collect();
    line.args.extend(rest[end..].iter().cloned());
    line
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::arguments::Cli;
    use super::*;

    fn arranged(line: &str, manners: Manners) -> (String, bool) {
        let args = std::iter::once("x").chain(line.split_whitespace()).map(OsString::from).collect();
        let Line { args, silent } = arrange(args, manners, |_| Cli::command());
        let words: Vec<String> = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
        (words.join(" "), silent)
    }

    #[test]
    fn the_command_comes_first_and_the_rest_keeps_its_order() {
        for (line, want) in [
            ("start a.js", "start a.js"),
            ("--name a start a.js -i 2", "start --name a a.js -i 2"),
            ("-f start a.js -- --name b start", "start -f a.js -- --name b start"),
            ("start a.js --watch -- -x", "start a.js --watch -- -x"),
            ("--help", "--help"),
            ("--nonsense start", "--nonsense start"),
            ("--watch start a.js", "a.js --watch start"),
            ("", ""),
            ("list --json", "list --json"),
            ("start - --only a", "start - --only a"),
        ] {
            assert_eq!(arranged(line, Manners::Own).0, want, "{line}");
        }
    }

    #[test]
    fn pm2_takes_every_option_with_every_command() {
        let pm2 = |line: &str| arranged(line, Manners::Pm2);
        assert_eq!(pm2("stop all --watch src -s"), ("stop all".to_owned(), true));
        assert_eq!(pm2("-s list --name x"), ("list".to_owned(), true));
        assert_eq!(pm2("start a.js --hp /h -n b").0, "start a.js -n b");
        assert_eq!(pm2("-v").0, "-V");
        assert_eq!(pm2("startup --hp /h -u bob").0, "startup --hp /h -u bob");
        assert_eq!(pm2("kill --no-daemon").0, "kill");
        assert_eq!(pm2("jlist extra words").0, "jlist");
        assert_eq!(pm2("list --sort zzz").0, "list");
        assert_eq!(pm2("list --sort name:desc").0, "list --sort name:desc");
        assert_eq!(pm2("jlist --nonsense").0, "jlist --nonsense");
        assert_eq!(pm2("logs --lines 5 --nostream").0, "logs --lines 5 --nostream");
    }
}
