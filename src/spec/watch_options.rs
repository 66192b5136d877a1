use serde_json::Value;

use super::Watch;

/// `watch_options` as it is acted on. The names are chokidar's, which PM2 hands them to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// Look at the files again and again, for file systems that tell of no change: NFS, folders of a virtual machine.
    pub polling: bool,
    pub interval_ms: u64,
    /// The same for files that are large and rarely change, by their ending.
    pub binary_interval_ms: u64,
    pub follow_symlinks: bool,
    /// Folders below what is watched, 0 for none; no bound where there is none.
    pub depth: Option<u32>,
    /// Every path means itself: no globs.
    pub literal: bool,
    /// How long a file must not have been written to, on top of nothing: the longer of this and `watch_delay` counts.
    pub stability_ms: u64,
    pub ignored: Vec<String>,
}

/// A name that `watch_options` may have, and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchOption {
    Flag,
    Number,
    Patterns,
    /// `awaitWriteFinish`: a flag, or an object of numbers.
    Stability,
    /// `atomic`: a flag, or milliseconds.
    FlagOrNumber,
}

/// Shorter ones would be nothing but work.
const INTERVAL_MS_MIN: u64 = 20;
/// A day; more is no interval.
const NUMBER_MAX: f64 = 86_400_000.0;
/// chokidar's.
const STABILITY_MS: u64 = 2_000;

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            polling: false,
            interval_ms: 100,
            binary_interval_ms: 300,
            follow_symlinks: false,
            depth: None,
            literal: false,
            stability_ms: 0,
            ignored: Vec::new(),
        }
    }
}

impl WatchOption {
    /// Some need nothing done: files that are there at the beginning are never a change, nothing ends before its time,
    /// a file that is replaced by another is one change, and what may not be read is passed over.
    pub const ALL: [(&'static str, Self, &'static str); 13] = [
        ("usePolling", Self::Flag, "Look again and again instead of being told: for file systems that do not tell."),
        ("interval", Self::Number, "Milliseconds between two looks, with `usePolling`. Default: 100."),
        ("binaryInterval", Self::Number, "The same for images, archives and the like. Default: 300."),
        ("followSymlinks", Self::Flag, "Look into folders behind symbolic links. Default: false."),
        ("ignored", Self::Patterns, "More patterns for `ignore_watch`."),
        ("depth", Self::Number, "How many folders below what is watched."),
        ("disableGlobbing", Self::Flag, "Each path means itself."),
        ("awaitWriteFinish", Self::Stability, "Waits until a file has not been written to for `stabilityThreshold`."),
        ("ignoreInitial", Self::Flag, "Always so."),
        ("persistent", Self::Flag, "Always so."),
        ("atomic", Self::FlagOrNumber, "Always so."),
        ("alwaysStat", Self::Flag, "Nobody would see it."),
        ("ignorePermissionErrors", Self::Flag, "Always so, and what cannot be read is told."),
    ];

    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, ..)| *known == name).map(|(_, option, _)| *option)
    }

    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|(name, ..)| *name)
    }

    #[must_use]
    pub fn accepts(self, value: &Value) -> bool {
        let is_text = |value: &Value| value.is_string() || is_regular_expression(value);
        match (self, value) {
            (_, Value::Null) | (Self::Flag | Self::Stability | Self::FlagOrNumber, Value::Bool(_)) => true,
            (Self::Number | Self::FlagOrNumber, value) => number(value).is_some(),
            (Self::Patterns, Value::Array(items)) => items.iter().all(is_text),
            (Self::Patterns, value) => is_text(value),
            (Self::Stability, Value::Object(parts)) => {
                let known = |name: &String| ["stabilityThreshold", "pollInterval"].contains(&name.as_str());
                parts.iter().all(|(name, value)| known(name) && number(value).is_some())
            }
            (Self::Flag | Self::Stability, _) => false,
        }
    }

    /// The end of "must be".
    #[must_use]
    pub fn expects(self) -> &'static str {
        match self {
            Self::Flag => "`true` or `false`",
            Self::Number => "a whole number up to 86400000",
            Self::Patterns => "a pattern, or a list of patterns",
            Self::Stability => "`true`, `false`, or `{ stabilityThreshold, pollInterval }`",
            Self::FlagOrNumber => "`true`, `false`, or a number of milliseconds",
        }
    }
}

impl WatchOptions {
    /// What was checked when the file was read; anything else is passed over.
    #[must_use]
    pub fn of(watch: &Watch) -> Self {
        let mut options = Self::default();
        let Some(Value::Object(written)) = &watch.options else { return options };
        let flag = |name: &str| written.get(name).and_then(Value::as_bool).unwrap_or(false);
        let millis = |name: &str| written.get(name).and_then(number);
        options.polling = flag("usePolling");
        options.follow_symlinks = flag("followSymlinks");
        options.literal = flag("disableGlobbing");
        options.interval_ms = millis("interval").unwrap_or(options.interval_ms).max(INTERVAL_MS_MIN);
        options.binary_interval_ms = millis("binaryInterval").unwrap_or(options.binary_interval_ms);
        options.depth = millis("depth").and_then(|depth| u32::try_from(depth).ok());
        options.stability_ms = match written.get("awaitWriteFinish") {
            Some(Value::Bool(true)) => STABILITY_MS,
            Some(Value::Object(parts)) => parts.get("stabilityThreshold").and_then(number).unwrap_or(STABILITY_MS),
            _ => 0,
        };
        options.ignored = match written.get("ignored") {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(pattern)) => vec![pattern.clone()],
            _ => Vec::new(),
        };
        options
    }
}

fn number(value: &Value) -> Option<u64> {
    let number = value.as_f64().filter(|number| (0.0..=NUMBER_MAX).contains(number) && number.fract() == 0.0)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and within its bounds")]
    Some(number as u64)
}

/// What a regular expression is once a config program's result is data.
fn is_regular_expression(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(options: Value) -> WatchOptions {
        WatchOptions::of(&Watch { options: Some(options), ..Watch::default() })
    }

    #[test]
    fn what_is_written_is_what_holds() {
        assert_eq!(WatchOptions::of(&Watch::default()), WatchOptions::default());
        let options = read(json!({
            "usePolling": true, "interval": 500, "binaryInterval": 900, "followSymlinks": true, "depth": 2,
            "ignored": ["tmp", {}], "awaitWriteFinish": { "stabilityThreshold": 300 }, "disableGlobbing": true,
        }));
        let want = WatchOptions {
            polling: true,
            interval_ms: 500,
            binary_interval_ms: 900,
            follow_symlinks: true,
            depth: Some(2),
            literal: true,
            stability_ms: 300,
            ignored: vec!["tmp".to_owned()],
        };
        assert_eq!(options, want);
        assert_eq!(read(json!({ "awaitWriteFinish": true })).stability_ms, 2_000);
        assert_eq!(read(json!({ "interval": 1 })).interval_ms, 20, "no busy loop");
        assert_eq!(read(json!({ "interval": -1, "depth": "x", "ignored": 3 })), WatchOptions::default());
    }

    #[test]
    fn each_option_takes_what_it_is_about() {
        let table = [
            ("usePolling", json!(true), true),
            ("usePolling", json!(1), false),
            ("interval", json!(100.0), true),
            ("interval", json!(0.5), false),
            ("interval", json!(true), false),
            ("ignored", json!(["a", {}]), true),
            ("ignored", json!([1]), false),
            ("awaitWriteFinish", json!({ "pollInterval": 10 }), true),
            ("awaitWriteFinish", json!({ "poll": 10 }), false),
            ("atomic", json!(100), true),
            ("atomic", json!("x"), false),
            ("persistent", json!(null), true),
        ];
        for (name, value, fine) in table {
            assert_eq!(WatchOption::find(name).unwrap().accepts(&value), fine, "{name}: {value}");
        }
    }
}
