//! What somebody meant who wrote a key that is no option.

use crate::base::closest;

use super::{OVERLAY_PREFIX, keys};

/// What other managers call an option.
const ELSEWHERE: [(&str, &str); 36] = [
    ("arguments", "args"),
    ("argv", "args"),
    ("clusters", "instances"),
    ("count", "instances"),
    ("copies", "instances"),
    ("dir", "cwd"),
    ("directory", "cwd"),
    ("dotenv", "env_file"),
    ("entry", "script"),
    ("entrypoint", "script"),
    ("environment", "env"),
    ("environment_file", "env_file"),
    ("environment_variables", "env"),
    ("exclude", "ignore_watch"),
    ("file", "script"),
    ("grace_period", "kill_timeout"),
    ("main", "script"),
    ("memory", "max_memory_restart"),
    ("memory_limit", "max_memory_restart"),
    ("mode", "exec_mode"),
    ("numprocs", "instances"),
    ("processes", "instances"),
    ("program", "script"),
    ("replicas", "instances"),
    ("requires", "depends_on"),
    ("restart_sec", "restart_delay"),
    ("scale", "instances"),
    ("signal", "stop_signal"),
    ("stderr", "error_file"),
    ("stdout", "out_file"),
    ("stop_grace_period", "kill_timeout"),
    ("variables", "env"),
    ("workdir", "cwd"),
    ("workers", "instances"),
    ("working_dir", "cwd"),
    ("working_directory", "cwd"),
];

/// Profiles by their usual names, as they follow `env` where nothing parts them.
const PROFILES: [&str; 11] =
    ["dev", "development", "local", "prod", "production", "qa", "stage", "staging", "test", "testing", "uat"];

/// Bytes that nobody types as a name.
const KEY_MAX: usize = 100;

/// The option that a key is near to, as a file would write it.
#[must_use]
pub fn meant(key: &str) -> Option<String> {
    if key.len() > KEY_MAX {
        return None;
    }
    let elsewhere = || {
        let near = closest(key, ELSEWHERE.iter().map(|(word, _)| *word));
        near.and_then(|near| ELSEWHERE.iter().find(|(word, _)| *word == near)).map(|(_, option)| *option)
    };
    let option = || closest(key, keys().filter(|name| !name.contains('<'))).or_else(|| same_words(key));
    overlay(key).or_else(|| option().or_else(elsewhere).map(str::to_owned))
}

/// `envProduction`, `env-production`, `ENV_PRODUCTION`, `evn_production`, `envproduction`, `environment_production`.
fn overlay(key: &str) -> Option<String> {
    let snake = snake_case(key);
    let (head, profile) = match snake.split_once('_') {
        Some(parts) => parts,
        None => snake.split_at_checked("env".len()).filter(|(_, rest)| closest(rest, PROFILES) == Some(*rest))?,
    };
    let is_env = closest(head, ["env", "environment"]).is_some();
    // `env-file` is an option.
    let is_option = keys().any(|name| name == snake || closest(&snake, [name]).is_some());
    let is_name = !profile.is_empty() && profile.chars().all(|c| c.is_alphanumeric() || c == '_');
    (is_env && is_name && !is_option).then(|| format!("{OVERLAY_PREFIX}{profile}"))
}

/// `watch_ignore` for `ignore_watch`.
fn same_words(key: &str) -> Option<&'static str> {
    let sorted = |name: &str| {
        let snake = snake_case(name);
        let mut words: Vec<_> = snake.split('_').map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    let wanted = sorted(key);
    keys().find(|name| sorted(name) == wanted)
}

/// `maxMemory-restart` to `max_memory_restart`.
fn snake_case(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    let mut before = '_';
    for c in key.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            text.push('_');
        }
        text.extend(if matches!(c, '-' | '.' | ' ') { '_' } else { c }.to_lowercase());
        before = c;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_meant() {
        let table = [
            ("envProduction", "env_production"),
            ("env-production", "env_production"),
            ("env.production", "env_production"),
            ("envproduction", "env_production"),
            ("envprod", "env_prod"),
            ("ENV_production", "env_production"),
            ("ENV_PRODUCTION", "env_production"),
            ("EnvProduction", "env_production"),
            ("evn_production", "env_production"),
            ("envs_staging", "env_staging"),
            ("envStagingEu", "env_staging_eu"),
            ("environment_production", "env_production"),
            ("env_", "env"),
            ("Env", "env"),
            ("environment", "env"),
            ("enviroment", "env"),
            ("env-file", "env_file"),
            ("envfile", "env_file"),
            ("ENV_FILE", "env_file"),
            ("instance", "instances"),
            ("Instances", "instances"),
            ("maxMemory", "max_memory_restart"),
            ("max_memory", "max_memory_restart"),
            ("max-memory-restart", "max_memory_restart"),
            ("logs", "log"),
            ("errors", "error"),
            ("outfile", "out_file"),
            ("ignore-watch", "ignore_watch"),
            ("watch_ignore", "ignore_watch"),
            ("depends", "depends_on"),
            ("depend-on", "depends_on"),
            ("dependson", "depends_on"),
            ("healthcheck", "health_check"),
            ("max_restart", "max_restarts"),
            ("stdout", "out_file"),
            ("replicas", "instances"),
            ("workingDirectory", "cwd"),
        ];
        for (key, want) in table {
            assert_eq!(meant(key).as_deref(), Some(want), "{key}");
        }
        for key in ["", "x", "env_\u{0}x".trim_start_matches("env_"), "envelope", "completely", "environs", "wealthy"] {
            assert_eq!(meant(key), None, "{key}");
        }
    }

    #[test]
    fn what_is_meant_is_an_option() {
        for (_, option) in ELSEWHERE {
            assert!(super::super::find(option).is_some_and(|(row, _)| row.name == option), "{option}");
        }
    }
}
