//! What objects that are one option's value consist of. As with options, one row feeds the decoder, the schema and the
//! types.

use crate::base::closest;
use crate::spec::{Condition, HealthAction, OnExit};

/// One key of such an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) kind: PartKind,
    pub(super) doc: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum PartKind {
    /// Milliseconds as a number, or a string with a unit.
    Millis,
    Count {
        min: u32,
        max: u32,
    },
    /// One of these words.
    Word(&'static [(&'static str, &'static str)]),
    /// A string that fits a pattern, and what to call it.
    Text {
        pattern: &'static str,
        expects: &'static str,
        fits: fn(&str) -> bool,
    },
    /// A list of words, or a command line.
    Command,
}

/// `http://host:port/path`; no TLS.
const URL: &str = r"^http://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._${}-]+)(:(0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])|\$[A-Za-z_][A-Za-z0-9_]*|\$\{[A-Za-z_][A-Za-z0-9_]*\}))?([/?][!-~]*)?$";
const ADDRESS: &str = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._${}-]+):(0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])|\$[A-Za-z_][A-Za-z0-9_]*|\$\{[A-Za-z_][A-Za-z0-9_]*\})$";

pub(super) const NEED: &[Part] = &[
    Part {
        name: "condition",
        kind: PartKind::Word(&Condition::WORDS),
        doc: "What it must be before the app is started. Default: ready.",
    },
    Part {
        name: "on_exit",
        kind: PartKind::Word(&OnExit::WORDS),
        doc: "What becomes of the app when it ends. Default: ignore.",
    },
];

pub(super) const HEALTH_CHECK: &[Part] = &[
    Part {
        name: "http",
        kind: PartKind::Text {
            pattern: URL,
            expects: "a URL such as \"http://127.0.0.1:3000/health\" (for https, use `exec` with curl)",
            fits: is_url,
        },
        doc: "A URL that is asked for; a status from 200 to 399 passes.",
    },
    Part {
        name: "tcp",
        kind: PartKind::Text {
            pattern: ADDRESS,
            expects: "a host and a port, such as \"localhost:5432\"",
            fits: is_address,
        },
        doc: "A host and a port; it passes when a connection is accepted.",
    },
    Part {
        name: "exec",
        kind: PartKind::Command,
        doc: "A command, run in the app's folder with its variables and as its user; it passes when it exits with 0.",
    },
    Part {
        name: "interval",
        kind: PartKind::Millis,
        doc: "From the end of one probe to the next, give or take a tenth; 100ms at least. Default: 10s.",
    },
    Part { name: "timeout", kind: PartKind::Millis, doc: "A probe that takes longer has failed. Default: 5s." },
    Part {
        name: "startup",
        kind: PartKind::Millis,
        doc: "How long an instance may take until its first pass; failures until then do not count, and it is asked more often; \
              1s at least. Default: 30s.",
    },
    Part {
        name: "unhealthy_threshold",
        kind: PartKind::Count { min: 1, max: 1_000 },
        doc: "So many failures in a row make an instance unhealthy. Default: 3.",
    },
    Part {
        name: "healthy_threshold",
        kind: PartKind::Count { min: 1, max: 1_000 },
        doc: "So many passes in a row make it healthy again. Default: 1.",
    },
    Part {
        name: "action",
        kind: PartKind::Word(&HealthAction::WORDS),
        doc: "What is done about an instance that is unhealthy. One that becomes so again and again is stopped and waits longer \
              each time, as after crashes (`restart_delay` and `exp_backoff_restart_delay` hold), until it has been healthy \
              for a while; one that is never healthy is left as it is after `max_restarts`. Default: restart.",
    },
];

/// What a health check asks: exactly one of these.
pub(super) const PROBES: [&str; 3] = ["http", "tcp", "exec"];

/// What other managers call them.
const ELSEWHERE: [(&str, &str); 24] = [
    ("command", "exec"),
    ("cmd", "exec"),
    ("test", "exec"),
    ("script", "exec"),
    ("url", "http"),
    ("uri", "http"),
    ("path", "http"),
    ("http_get", "http"),
    ("port", "tcp"),
    ("tcp_socket", "tcp"),
    ("period", "interval"),
    ("period_seconds", "interval"),
    ("timeout_seconds", "timeout"),
    ("start_period", "startup"),
    ("initial_delay", "startup"),
    ("initial_delay_seconds", "startup"),
    ("grace_period", "startup"),
    ("retries", "unhealthy_threshold"),
    ("failures", "unhealthy_threshold"),
    ("failure_threshold", "unhealthy_threshold"),
    ("success_threshold", "healthy_threshold"),
    ("on_failure", "action"),
    ("state", "condition"),
    ("when", "condition"),
];

/// The part that a key is near to, however its words are put together.
pub(super) fn meant(parts: &'static [Part], key: &str) -> Option<&'static str> {
    let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let written = plain(key);
    let elsewhere = || ELSEWHERE.iter().find(|(name, _)| plain(name) == written);
    let known = elsewhere().map(|(_, known)| *known).and_then(|known| part(parts, known));
    known.map(|part| part.name).or_else(|| closest(key, parts.iter().map(|part| part.name)))
}

pub(super) fn part(parts: &'static [Part], name: &str) -> Option<&'static Part> {
    parts.iter().find(|part| part.name == name)
}

fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://") else { return false };
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    (is_host(host) || is_address(host)) && path.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port))
}

/// A name or an address; one with colons in brackets.
fn is_host(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let is_part = |c: char| match bare {
        Some(_) => c.is_ascii_hexdigit() || ":.".contains(c),
        None => c.is_ascii_alphanumeric() || "._${}-".contains(c),
    };
    let text = bare.unwrap_or(text);
    !text.is_empty() && text.chars().all(is_part)
}

/// A number, or a variable.
fn is_port(text: &str) -> bool {
    let digits = text.trim_start_matches('0');
    let number = text.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() <= 5;
    let variable = text.strip_prefix('$').is_some_and(|name| {
        let name = name.strip_prefix('{').map_or(Some(name), |braced| braced.strip_suffix('}'));
        name.is_some_and(is_variable)
    });
    variable || number && digits.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl PartKind {
    /// The end of "must be".
    pub(super) fn expects(self) -> String {
        match self {
            Self::Millis => "a number of milliseconds, or a duration such as \"3s\"".to_owned(),
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Word(words) => {
                let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                match words.as_slice() {
                    [first @ .., last] => format!("{} or {last}", first.join(", ")),
                    [] => String::new(),
                }
            }
            Self::Text { expects, .. } => expects.to_owned(),
            Self::Command => "a command line, or a list of a program and its arguments".to_owned(),
        }
    }
}
