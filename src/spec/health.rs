use std::fmt;

use serde::{Deserialize, Serialize};

/// How it is found out, again and again, whether an instance works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    pub probe: Probe,
    /// From the end of one probe to the next.
    pub interval_ms: u64,
    /// A probe that takes longer has failed.
    pub timeout_ms: u64,
    /// How long an instance may take until its first pass; failures until then do not count.
    pub startup_ms: u64,
    /// So many failures in a row make an instance unhealthy.
    pub unhealthy_threshold: u32,
    /// So many passes in a row make it healthy again.
    pub healthy_threshold: u32,
    pub action: HealthAction,
}

/// What is asked. `$NAME` and `${NAME}` are the instance's own variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A URL; a status from 200 to 399 passes.
    Http(String),
    /// `host:port`; it passes when somebody listens.
    Tcp(String),
    /// A command in the app's folder, with its variables and as its user; it passes when it exits with 0.
    Exec(Vec<String>),
}

/// What is done about an instance that is unhealthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthAction {
    #[default]
    Restart,
    Reload,
    /// It is only said.
    None,
}

impl HealthAction {
    pub const WORDS: [(&'static str, &'static str); 3] = [
        ("restart", "The instance is restarted."),
        ("reload", "The instance is replaced, as gently as a reload does it."),
        ("none", "It is shown and recorded, nothing else."),
    ];

    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Restart, Self::Reload, Self::None].into_iter().find(|one| one.word() == word)
    }

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::None => "none",
        }
    }
}

impl HealthCheck {
    #[must_use]
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            interval_ms: 10_000,
            timeout_ms: 5_000,
            startup_ms: 30_000,
            unhealthy_threshold: 3,
            healthy_threshold: 1,
            action: HealthAction::default(),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url),
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Exec(words) => write!(f, "exec {}", words.join(" ")),
        }
    }
}
