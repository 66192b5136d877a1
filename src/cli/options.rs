//! What can be said of an app on the command line: each option is one of an ecosystem file, by a name of PM2's. What values it
//! takes, and what is wrong with one, the file's table says.

use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches};

use crate::document::{Entry, Key, Kind, Node};
use crate::schema::options::{Row, Status, find};

/// An option of the command line.
#[derive(Debug)]
pub(super) struct Flag {
    pub long: &'static str,
    pub short: Option<char>,
    /// The file's option.
    pub key: &'static str,
    pub takes: Takes,
}

/// How the words after it become a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// One, as it is.
    Text,
    /// A number where it is one.
    Number,
    /// The same, and without it nothing is said.
    MaybeNumber,
    /// Several, by commas or white space, or by saying it again.
    List,
    /// Of numbers.
    Codes,
    /// One, or that it is on.
    TextOrOn,
    /// Several by saying it again, or that it is on.
    ListOrOn,
    /// Seconds, unless it says another unit.
    Seconds,
    /// Endings of the files that are watched.
    Endings,
    /// Nothing: it is what it says.
    Is(bool),
}

const fn flag(long: &'static str, short: Option<char>, key: &'static str, takes: Takes) -> Flag {
    Flag { long, short, key, takes }
}

pub(super) const FLAGS: &[Flag] = &[
    flag("name", Some('n'), "name", Takes::Text),
    flag("namespace", None, "namespace", Takes::Text),
    flag("cwd", None, "cwd", Takes::Text),
    flag("interpreter", None, "interpreter", Takes::Text),
    flag("interpreter-args", None, "node_args", Takes::Text),
    flag("node-args", None, "node_args", Takes::Text),
    flag("execute-command", Some('x'), "execute_command", Takes::Is(true)),
    flag("instances", Some('i'), "instances", Takes::Number),
    flag("watch", None, "watch", Takes::ListOrOn),
    flag("ext", None, "watch", Takes::Endings),
    flag("ignore-watch", None, "ignore_watch", Takes::List),
    flag("watch-delay", None, "watch_delay", Takes::Seconds),
    flag("output", Some('o'), "out_file", Takes::Text),
    flag("error", Some('e'), "error_file", Takes::Text),
    flag("log", Some('l'), "log_file", Takes::TextOrOn),
    flag("log-type", None, "log_type", Takes::Text),
    flag("log-date-format", None, "log_date_format", Takes::Text),
    flag("time", None, "time", Takes::Is(true)),
    flag("disable-logs", None, "disable_logs", Takes::Is(true)),
    flag("merge-logs", None, "merge_logs", Takes::Is(true)),
    flag("pid", Some('p'), "pid_file", Takes::Text),
    flag("cron", Some('c'), "cron_restart", Takes::Text),
    flag("cron-restart", None, "cron_restart", Takes::Text),
    flag("max-memory-restart", None, "max_memory_restart", Takes::Number),
    flag("restart-delay", None, "restart_delay", Takes::Number),
    flag("exp-backoff-restart-delay", None, "exp_backoff_restart_delay", Takes::Number),
    flag("max-restarts", None, "max_restarts", Takes::MaybeNumber),
    flag("min-uptime", None, "min_uptime", Takes::Number),
    flag("no-autorestart", None, "autorestart", Takes::Is(false)),
    flag("no-autostart", None, "autostart", Takes::Is(false)),
    flag("stop-exit-codes", None, "stop_exit_codes", Takes::Codes),
    flag("kill-timeout", Some('k'), "kill_timeout", Takes::Number),
    flag("no-treekill", None, "treekill", Takes::Is(false)),
    flag("shutdown-with-message", None, "shutdown_with_message", Takes::Is(true)),
    flag("wait-ready", None, "wait_ready", Takes::Is(true)),
    flag("listen-timeout", None, "listen_timeout", Takes::Number),
    flag("filter-env", None, "filter_env", Takes::List),
    flag("uid", None, "uid", Takes::Text),
    flag("user", Some('u'), "uid", Takes::Text),
    flag("gid", None, "gid", Takes::Text),
    // PM2's, which mean nothing here: the file's table says why.
    flag("source-map-support", None, "source_map_support", Takes::Is(true)),
    flag("disable-source-map-support", None, "disable_source_map_support", Takes::Is(true)),
    flag("no-vizion", None, "vizion", Takes::Is(false)),
    flag("no-pmx", None, "pmx", Takes::Is(false)),
    flag("no-automation", None, "automation", Takes::Is(false)),
    flag("trace", None, "trace", Takes::Is(true)),
    flag("disable-trace", None, "disable_trace", Takes::Is(true)),
    flag("v8", None, "v8", Takes::Is(true)),
    flag("event-loop-inspector", None, "event_loop_inspector", Takes::Is(true)),
    flag("deep-monitoring", None, "deep_monitoring", Takes::Is(true)),
];

/// Its first sentence.
fn in_short(doc: &str) -> String {
    let end = [". ", "; "].iter().filter_map(|end| doc.find(end)).min().unwrap_or(doc.len());
    doc[..end].trim_end_matches('.').to_owned()
}

impl Flag {
    pub(super) fn row(&self) -> &'static Row {
        find(self.key).expect("a key of the option table").0
    }

    /// Whether the word after it can be its own.
    pub(super) fn may_take(&self) -> bool {
        !matches!(self.takes, Takes::Is(_))
    }

    /// Whether the word after it is its own, whatever it is.
    pub(super) fn must_take(&self) -> bool {
        self.may_take() && !matches!(self.takes, Takes::MaybeNumber | Takes::TextOrOn | Takes::ListOrOn)
    }

    fn arg(&self) -> Arg {
        let row = self.row();
        let help = match row.status {
            Status::Honoured => in_short(row.doc),
            Status::Meaningless(why) => format!("PM2's, without meaning: {why}"),
        };
        let help = if self.takes == Takes::Seconds { help.replace("in milliseconds", "in seconds") } else { help };
        let help = if self.takes == Takes::Is(false) { format!("Not `{}`: {help}", self.key) } else { help };
        let arg = Arg::new(self.long).long(self.long).short(self.short).help(help).help_heading("Options of the app");
        let arg = if matches!(row.status, Status::Meaningless(_)) { arg.hide(true) } else { arg };
        let name: &'static str = match self.takes {
            Takes::Number | Takes::MaybeNumber => "N",
            Takes::Text | Takes::TextOrOn => "VALUE",
            Takes::Seconds => "SECONDS",
            Takes::List | Takes::Codes | Takes::ListOrOn | Takes::Endings => "VALUE,...",
            Takes::Is(_) => return arg.action(ArgAction::SetTrue),
        };
        let arg = arg.value_name(name).action(ArgAction::Append);
        if self.must_take() { arg.allow_hyphen_values(true) } else { arg.num_args(0..=1) }
    }

    /// None where nothing is said by it.
    fn value(&self, words: &[String]) -> Option<Node> {
        let last = words.last();
        let split = || words.iter().flat_map(|word| word.split([',', ' '])).filter(|word| !word.is_empty());
        let list = |nodes: Vec<Node>| Node::new(Kind::Sequence(nodes), None);
        Some(match self.takes {
            Takes::Is(on) => Node::new(Kind::Bool(on), None),
            Takes::Text => text(last?),
            Takes::Number | Takes::MaybeNumber => number_or_text(last?),
            Takes::Seconds => match last?.parse::<f64>() {
                Ok(seconds) => Node::new(Kind::Number(seconds * 1_000.0), None),
                Err(_) => text(last?),
            },
            Takes::List => list(split().map(text).collect()),
            Takes::Codes => list(split().map(number_or_text).collect()),
            Takes::TextOrOn => last.map_or_else(|| Node::new(Kind::Bool(true), None), |word| text(word)),
            Takes::ListOrOn if words.is_empty() => Node::new(Kind::Bool(true), None),
            Takes::ListOrOn => list(words.iter().map(|word| text(word)).collect()),
            Takes::Endings => {
                list(split().map(|ending| text(&format!("**/*.{}", ending.trim_start_matches('.')))).collect())
            }
        })
    }
}

/// What was said of an app.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AppOptions {
    given: Vec<(&'static str, &'static str, Node)>,
    /// The script's arguments; none where none were said, not even that there are none.
    pub args: Option<Vec<String>>,
}

impl AppOptions {
    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty() && self.args.is_none()
    }

    /// Text that a key was given.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.given.iter().find(|(known, ..)| *known == key).and_then(|(.., node)| match &node.kind {
            Kind::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The file's options that were given.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.given.iter().map(|(key, ..)| *key).chain(self.args.as_ref().map(|_| "args"))
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let at = self.given.iter().position(|(known, ..)| *known == key)?;
        Some(self.given.remove(at).2)
    }

    pub(super) fn set(&mut self, key: &'static str, value: Node) {
        self.take(key);
        self.given.push((key, key, value));
    }

    /// The one word that a list, or a text, was given.
    pub(super) fn only_word(&self, key: &str) -> Option<String> {
        let (.., node) = self.given.iter().find(|(known, ..)| *known == key)?;
        match &node.kind {
            Kind::String(text) => Some(text.clone()),
            Kind::Sequence(items) => match &items[..] {
                [Node { kind: Kind::String(text), .. }] => Some(text.clone()),
                _ => None,
            },
            _ => None,
        }
    }

    /// An option without a value.
    pub(super) fn switch_on(&mut self, key: &str) {
        for (known, _, value) in &mut self.given {
            if *known == key {
                *value = Node::new(Kind::Bool(true), None);
            }
        }
        // Without one, this says nothing.
        self.given.retain(|(known, ..)| *known != "max_restarts" || key != "max_restarts");
    }

    /// As entries of a file.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.given.iter().map(|(key, _, value)| entry(key, value.clone())).collect();
        if let Some(args) = &self.args {
            entries.push(entry("args", Node::new(Kind::Sequence(args.iter().map(|arg| text(arg)).collect()), None)));
        }
        entries
    }

    /// A line for each that means nothing here: what it is called, and why.
    pub(super) fn meaningless(&self) -> impl Iterator<Item = String> + '_ {
        self.given.iter().filter_map(|(key, long, _)| match find(key)?.0.status {
            // What it does is done elsewhere.
            Status::Meaningless(_) if *key == "execute_command" => None,
            Status::Meaningless(why) => Some(format!("`--{long}` has no meaning here: {why}")),
            Status::Honoured => None,
        })
    }
}

impl clap::Args for AppOptions {
    fn augment_args(command: Command) -> Command {
        let command = FLAGS.iter().fold(command, |command, flag| command.arg(flag.arg()));
        let args = Arg::new("args").value_name("ARG").last(true).num_args(0..).allow_hyphen_values(true);
        command.arg(args.action(ArgAction::Append).help("The script's arguments"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for AppOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut options = Self::default();
        for flag in FLAGS {
            let said = matches.value_source(flag.long) == Some(clap::parser::ValueSource::CommandLine);
            let words = if flag.may_take() { matches.get_many::<String>(flag.long) } else { None };
            let words: Vec<String> = words.into_iter().flatten().cloned().collect();
            if let Some(value) = said.then(|| flag.value(&words)).flatten() {
                options.take(flag.key);
                options.given.push((flag.key, flag.long, value));
            }
        }
        options.args = matches.get_many::<String>("args").map(|args| args.cloned().collect());
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

pub(super) fn entry(key: &str, value: Node) -> Entry {
    Entry { key: Key { text: key.to_owned(), span: None }, value }
}

pub(super) fn text(value: &str) -> Node {
    Node::new(Kind::String(value.to_owned()), None)
}

pub(super) fn number_or_text(value: &str) -> Node {
    value.parse().map_or_else(|_| text(value), |number: f64| Node::new(Kind::Number(number), None))
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;
    use crate::document::to_json;

    fn said(line: &str) -> String {
        let command = AppOptions::augment_args(Command::new("x").arg(Arg::new("what").num_args(0..)));
        let matches = command.try_get_matches_from(std::iter::once("x").chain(line.split(' '))).unwrap();
        let options = AppOptions::from_arg_matches(&matches).unwrap();
        to_json(&Node::new(Kind::Mapping(options.entries()), None)).to_string()
    }

    #[test]
    fn each_is_an_option_of_files() {
        for flag in FLAGS {
            assert!(find(flag.key).is_some(), "{}", flag.long);
            assert!(!flag.row().doc.is_empty());
        }
        AppOptions::augment_args(Command::new("x")).debug_assert();
    }

    #[test]
    fn what_is_said_is_what_a_file_would_say() {
        for (line, want) in [
            ("-n a -i 2", r#"{"name":"a","instances":2}"#),
            ("-i max --max-memory-restart 100M", r#"{"instances":"max","max_memory_restart":"100M"}"#),
            ("a.js --watch", r#"{"watch":true}"#),
            ("--watch lib --watch src --watch-delay 4", r#"{"watch":["lib","src"],"watch_delay":4000}"#),
            ("--watch-delay 400ms --ext js,.json", r#"{"watch":["**/*.js","**/*.json"],"watch_delay":"400ms"}"#),
            ("-l --no-autorestart --time", r#"{"log_file":true,"time":true,"autorestart":false}"#),
            ("--stop-exit-codes 0,3 --max-restarts", r#"{"stop_exit_codes":[0,3]}"#),
            ("--node-args --harmony -c 0", r#"{"node_args":"--harmony","cron_restart":"0"}"#),
            ("-u bob --uid bob -- -x --name b", r#"{"uid":"bob","args":["-x","--name","b"]}"#),
        ] {
            assert_eq!(said(line), want, "{line}");
        }
    }
}
