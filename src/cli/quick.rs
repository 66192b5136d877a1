//! The parser of one command, for those that scripts and dashboards run again and again.
//!
//! To make the parser of all commands takes some 2 ms (of 3 that the program is there for `--version`, measured), and nine
//! tenths of it is thrown away. Whatever one command's own parser does not take, help and mistakes among it, the whole
//! one gets: it alone says what is wrong.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Args, Command as Definition};

use super::arguments::{Cli, Command, Json, List, PlainList};

/// By which names.
const LIST: &[&str] = &["list", "ls", "l", "ps", "status"];
const NO_COLOR: &str = "no-color";

/// A command line of the program's name, the command and its arguments; none where the whole parser has to look at it.
pub(super) fn parse(args: &[OsString]) -> Option<Cli> {
    let (name, line) = (args.get(1)?.to_str()?, args.get(1..)?);
    let (matches, command) = match name {
        name if LIST.contains(&name) => parsed::<List>(line).map(|(it, list)| (it, Command::List(list)))?,
        "jlist" => parsed::<PlainList>(line).map(|(it, list)| (it, Command::Jlist(list)))?,
        "ping" => parsed::<Json>(line).map(|(it, json)| (it, Command::Ping(json)))?,
        _ => return None,
    };
    Some(Cli { no_color: matches.get_flag(NO_COLOR), command })
}

/// What a command takes; none where only the whole definition has it.
pub(super) fn definition(name: &str) -> Option<Definition> {
    let one = match name {
        "jlist" => of::<PlainList>().name("jlist"),
        "ping" => of::<Json>().name("ping"),
        name => of::<List>().name(*LIST.iter().find(|list| **list == name)?),
    };
    Some(Definition::new("pmrun").subcommand(one))
}

fn of<A: Args>() -> Definition {
    let no_color = Arg::new(NO_COLOR).long(NO_COLOR).action(ArgAction::SetTrue);
    A::augment_args(Definition::new("pmrun").arg(no_color)).disable_help_flag(true).disable_version_flag(true)
}

fn parsed<A: Args>(line: &[OsString]) -> Option<(ArgMatches, A)> {
    let matches = of::<A>().try_get_matches_from(line).ok()?;
    let arguments = A::from_arg_matches(&matches).ok()?;
    Some((matches, arguments))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn it_takes_what_the_whole_one_takes_and_makes_the_same_of_it() {
        for name in LIST.iter().chain(&["jlist", "ping"]) {
            for rest in
                ["", "--json", "--no-color", "api web:0", "--sort cpu:desc", "-m", "--reveal", "--json --no-color all"]
            {
                let line: Vec<OsString> =
                    ["pmrun", name].into_iter().chain(rest.split_whitespace()).map(OsString::from).collect();
                let whole = Cli::try_parse_from(&line).ok().map(|cli| format!("{cli:?}"));
                assert_eq!(parse(&line).map(|cli| format!("{cli:?}")), whole, "{line:?}");
            }
            let whole = Cli::command();
            let names = |definition: &Definition| {
                let one = definition.find_subcommand(name).unwrap_or_else(|| panic!("no `{name}`"));
                one.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect::<Vec<_>>()
            };
            let quick = names(&definition(name).unwrap());
            assert!(names(&whole).iter().all(|long| quick.contains(long)), "{name}");
        }
    }

    #[test]
    fn the_rest_is_the_whole_ones() {
        for line in
            ["pmrun", "pmrun list --help", "pmrun list --nonsense", "pmrun apply", "pmrun jlist x", "pmrun nonsense"]
        {
            let line: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            assert!(parse(&line).is_none(), "{line:?}");
        }
    }
}
