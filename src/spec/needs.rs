use std::fmt;

use serde::{Deserialize, Serialize};

/// What an app needs of one that it depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// What has to be so before the app is started.
    pub condition: Condition,
    /// What becomes of the app when that ends.
    pub on_exit: OnExit,
}

/// Words and meanings are those of Compose, less its `service_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It has a process.
    Started,
    /// It is up: it has said so, passed its health check, or run for `min_uptime`.
    #[default]
    Ready,
    /// Its health check passes.
    Healthy,
    /// It has ended, with success.
    Completed,
}

/// What becomes of an app whose dependency ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExit {
    /// It goes on.
    #[default]
    Ignore,
    /// It is restarted once the dependency is back.
    Restart,
    /// It is stopped, and started once the dependency is back.
    Stop,
}

impl Condition {
    pub const WORDS: [(&'static str, &'static str); 4] = [
        ("started", "It has a process."),
        ("ready", "It is up: it said that it is ready, passed its health check, or ran for `min_uptime`."),
        ("healthy", "Its `health_check` passes."),
        ("completed", "It has ended, with success."),
    ];

    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Started, Self::Ready, Self::Healthy, Self::Completed].into_iter().find(|one| one.word() == word)
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Healthy => "healthy",
            Self::Completed => "completed",
        }
    }
}

impl OnExit {
    pub const WORDS: [(&'static str, &'static str); 3] = [
        ("ignore", "The app goes on."),
        ("restart", "The app is restarted when the other is back."),
        ("stop", "The app is stopped, and started when the other is back."),
    ];

    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Ignore, Self::Restart, Self::Stop].into_iter().find(|one| one.word() == word)
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Restart => "restart",
            Self::Stop => "stop",
        }
    }
}

impl fmt::Display for Need {
    /// Nothing where it is the usual.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return Ok(());
        }
        write!(f, " ({}", self.condition.word())?;
        if self.on_exit != OnExit::default() {
            write!(f, ", on_exit: {}", self.on_exit.word())?;
        }
        f.write_str(")")
    }
}
