use std::collections::BTreeMap;

use super::{CodeOption, Count, Draft, Variable};
use crate::base::Signal;
use crate::spec::{Distribution, ExecMode, HealthCheck, Limits, Need, Overlap};

/// What an option's value may be, and the function that stores it.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    Text(fn(&mut Draft, String)),
    Flag(fn(&mut Draft, bool)),
    /// A whole number, or a string of one.
    Whole {
        min: i64,
        max: i64,
        set: fn(&mut Draft, i64),
    },
    /// Milliseconds as a number, or a string with a unit: `"3s"`.
    Millis(fn(&mut Draft, u64)),
    /// Bytes as a number, or a string with a unit: `"300M"`.
    Bytes(fn(&mut Draft, u64)),
    /// A list, or a string that is split at white space.
    Words(fn(&mut Draft, Vec<String>)),
    /// A list, or one string that stays whole.
    Names(fn(&mut Draft, Vec<String>)),
    /// As `Names`, each as [`crate::spec::Listener`] reads it.
    Sockets(fn(&mut Draft, Vec<String>)),
    /// As `Names`, or an object of what is needed of each.
    Needs(fn(&mut Draft, Vec<(String, Need)>)),
    /// An object by [`super::parts::HEALTH_CHECK`].
    HealthCheck(fn(&mut Draft, HealthCheck)),
    /// As `Names`, or `false` for none.
    Filter(fn(&mut Draft, Vec<String>)),
    /// A cron pattern, or 0 for none.
    Cron(fn(&mut Draft, Option<String>)),
    /// A user or a group: its name, or its number.
    Account(fn(&mut Draft, Option<String>)),
    /// Octal digits in a string: what a number means depends on the format.
    Umask(fn(&mut Draft, Option<String>)),
    /// An object of limits by their names: numbers, sizes, or `"unlimited"`.
    Limits(fn(&mut Draft, BTreeMap<String, Option<u64>>)),
    /// An object of what an instance may use.
    Uses(fn(&mut Draft, Limits)),
    /// One exit code, or a list.
    ExitCodes(fn(&mut Draft, Vec<i32>)),
    Count(fn(&mut Draft, Count)),
    Mode(fn(&mut Draft, ExecMode)),
    LogType(fn(&mut Draft, bool)),
    Overlap(fn(&mut Draft, Overlap)),
    Distribution(fn(&mut Draft, Distribution)),
    Signal(fn(&mut Draft, Signal)),
    /// An object of variables.
    Variables(fn(&mut Draft, Vec<Variable>)),
    /// The same under a key that ends in a profile's name.
    Overlay(fn(&mut Draft, &str, Vec<Variable>)),
    /// A path, or a boolean: the default path or none.
    PathOrFlag(fn(&mut Draft, PathOrFlag)),
    /// A boolean, or what is to be watched.
    Watch(fn(&mut Draft, bool, Vec<String>)),
    /// A list, or a string that is split. A regular expression in it (an empty object, once a config program's
    /// result is data) is passed over.
    Patterns(fn(&mut Draft, Vec<String>)),
    Code(fn(&mut Draft, CodeOption)),
    /// An object of the file watcher's options.
    WatchOptions(fn(&mut Draft, serde_json::Value)),
    /// Checked for its type and dropped: for options that mean nothing here.
    Ignored(&'static [Shape]),
    /// The same, but that it is switched off is kept: PM2's lists show it.
    Off(&'static [Shape], fn(&mut Draft)),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathOrFlag {
    Flag(bool),
    Path(String),
}

/// The types of values that files have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Boolean,
    Number,
    String,
    List,
    Object,
}

impl Value {
    /// The types that are accepted; which values of them is told by [`Value::expects`].
    #[must_use]
    pub fn shapes(&self) -> &'static [Shape] {
        use Shape::{Boolean, List, Number, Object, String};
        match self {
            Self::Text(_)
            | Self::Mode(_)
            | Self::LogType(_)
            | Self::Overlap(_)
            | Self::Distribution(_)
            | Self::Umask(_) => &[String],
            Self::Flag(_) => &[Boolean],
            Self::Whole { .. }
            | Self::Millis(_)
            | Self::Bytes(_)
            | Self::Cron(_)
            | Self::Account(_)
            | Self::Count(_)
            | Self::Signal(_) => &[Number, String],
            Self::Words(_) | Self::Names(_) | Self::Sockets(_) | Self::Patterns(_) => &[List, String],
            Self::Needs(_) => &[List, String, Object],
            Self::Filter(_) | Self::Watch(_) | Self::Code(_) => &[Boolean, List, String],
            Self::ExitCodes(_) => &[Number, String, List],
            Self::Variables(_)
            | Self::Overlay(_)
            | Self::WatchOptions(_)
            | Self::Limits(_)
            | Self::Uses(_)
            | Self::HealthCheck(_) => &[Object],
            Self::PathOrFlag(_) => &[Boolean, String],
            Self::Ignored(shapes) | Self::Off(shapes, _) => shapes,
        }
    }

    /// The texts that are accepted where only some are, and what each means.
    #[must_use]
    pub fn choices(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Mode(_) => &[
                ("fork", "Plain processes, each on its own."),
                ("cluster", "Node's instances share their ports."),
                ("fork_mode", "The same as `fork`."),
                ("cluster_mode", "The same as `cluster`."),
                ("", "As if it were not there."),
            ],
            Self::LogType(_) => &[
                ("raw", "Lines as the app writes them."),
                ("json", "Each line as a JSON object."),
                ("text", "The same as `raw`."),
                ("format", "The same as `raw`."),
                ("", "The same as `raw`."),
            ],
            Self::Overlap(_) => &Overlap::WORDS,
            Self::Distribution(_) => &Distribution::WORDS,
            _ => &[],
        }
    }

    /// Whether `""` says that it is not set: `process.env.X || ''` where a number is meant. PM2 drops such keys.
    #[must_use]
    pub fn may_be_empty(&self) -> bool {
        matches!(
            self,
            Self::Whole { .. }
                | Self::Millis(_)
                | Self::Bytes(_)
                | Self::Count(_)
                | Self::ExitCodes(_)
                | Self::Signal(_)
        )
    }

    /// What would be right: the end of "must be".
    #[must_use]
    pub fn expects(&self) -> String {
        match self {
            Self::Text(_) => "a string".to_owned(),
            Self::Flag(_) => "`true` or `false`".to_owned(),
            Self::Whole { min, max, .. } => format!("a whole number from {min} to {max}"),
            Self::Millis(_) => "a number of milliseconds, or a duration such as \"3s\"".to_owned(),
            Self::Bytes(_) => "a number of bytes, or a size such as \"300M\"".to_owned(),
            Self::Words(_) => "a list of strings, or a string".to_owned(),
            Self::Names(_) => "a string, or a list of strings".to_owned(),
            Self::Sockets(_) => "an address such as \"tcp:0.0.0.0:8000\", or a list of them".to_owned(),
            Self::Needs(_) => "an app's name, a list of names, or an object such as `{ db: \"healthy\" }`".to_owned(),
            Self::HealthCheck(_) => "an object such as `{ http: \"http://127.0.0.1:3000/health\" }`".to_owned(),
            Self::Filter(_) => "a list of strings, a string, or `false`".to_owned(),
            Self::Cron(_) => "a cron pattern such as \"0 3 * * *\"".to_owned(),
            Self::Account(_) => format!("a name, or a whole number from 0 to {ACCOUNT_MAX}"),
            Self::Umask(_) => "octal digits in quotes, such as \"027\"".to_owned(),
            Self::Limits(_) => "an object of limits, such as `{ nofile: 65536 }`".to_owned(),
            Self::Uses(_) => "an object such as `{ memory: \"512M\", cpu: 1.5, pids: 200 }`".to_owned(),
            Self::ExitCodes(_) => "an exit code (0 to 255), or a list of them".to_owned(),
            Self::Count(_) => {
                format!("a whole number up to {INSTANCES_MAX}, \"max\", or a share of the CPUs such as \"50%\"")
            }
            Self::Mode(_) => "\"fork\" or \"cluster\"".to_owned(),
            Self::LogType(_) => "\"raw\" or \"json\"".to_owned(),
            Self::Distribution(_) => "\"reuseport\", \"shared\", \"round_robin\" or \"sticky\"".to_owned(),
            Self::Overlap(_) => "\"skip\", \"queue\" or \"replace\"".to_owned(),
            Self::Signal(_) => "a signal such as \"SIGTERM\"".to_owned(),
            Self::Variables(_) | Self::Overlay(_) => "an object of variables".to_owned(),
            Self::PathOrFlag(_) => "a path, `true`, or `false`".to_owned(),
            Self::Watch(_) => "`true`, `false`, a path, or a list of paths".to_owned(),
            Self::Patterns(_) => "a list of patterns, or a string".to_owned(),
            Self::Code(_) => "`false`, \"git\", or a list of globs".to_owned(),
            Self::WatchOptions(_) => "an object".to_owned(),
            Self::Ignored(shapes) | Self::Off(shapes, _) => {
                shapes.iter().map(|shape| shape.name()).collect::<Vec<_>>().join(" or ")
            }
        }
    }
}

/// The longest argument, or variable with its name and `=`, that a process can be started with: 128 KB with the zero
/// byte at its end (`MAX_ARG_STRLEN`, execve(2)).
pub(super) const TEXT_BYTES_MAX: usize = 128 * 1024 - 1;

/// More is a slip of the finger more often than a wish.
pub(super) const INSTANCES_MAX: u32 = 512;
/// Ten a CPU: more is a slip.
pub(super) const INSTANCES_PERCENT_MAX: u32 = 1_000;

/// The highest id of a user or group: the next one is -1, which means none to the system.
pub(super) const ACCOUNT_MAX: u32 = u32::MAX - 1;

impl Shape {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }

    /// What JSON Schema calls it.
    pub(super) fn json_name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::String => "string",
            Self::List => "array",
            Self::Object => "object",
        }
    }
}
