//! What an app inherits of the shell that its command was typed into.
//!
//! PM2 hands down everything, so that an app that was started from tmux keeps `TMUX` for years, and one that was
//! started by another manager answers that manager's readiness socket. Left out is what describes the shell's own
//! session, what other managers tell their children, and our own markers. Whoever wants one of these declares it
//! in `env`.

use std::collections::BTreeMap;

/// Names that are left out.
const NAMES: [&str; 46] = [
    // the shell's own bookkeeping
    "_",
    "SHLVL",
    "PWD",
    "OLDPWD",
    "COLUMNS",
    "LINES",
    "PS0",
    "PS1",
    "PS2",
    "PS3",
    "PS4",
    "PROMPT",
    "RPROMPT",
    "PROMPT_COMMAND",
    "HISTFILE",
    "HISTSIZE",
    "HISTFILESIZE",
    "HISTCONTROL",
    "SHELLOPTS",
    "BASHOPTS",
    // the window and the connection that it runs in
    "WINDOW",
    "WINDOWID",
    "STY",
    "SSH_TTY",
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "GPG_TTY",
    "XDG_SESSION_ID",
    "XDG_VTNR",
    "XDG_SEAT",
    "SUDO_COMMAND",
    // what Node and PM2 tell their children
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
    "NODE_APP_INSTANCE",
    "pm_id",
    "PM2_USAGE",
    // what systemd tells its services
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "MAINPID",
    "MANAGERPID",
    "SYSTEMD_EXEC_PID",
    "MEMORY_PRESSURE_WATCH",
];

/// Beginnings of names that are left out.
const PREFIXES: [&str; 8] =
    ["PMRUN_", "LISTEN_", "BASH_FUNC_", "TERM_PROGRAM", "TERM_SESSION_ID", "TMUX", "ITERM_", "VSCODE_"];

pub(super) fn ambient(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    env.iter().filter(|(name, _)| is_inherited(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(super) fn is_inherited(name: &str) -> bool {
    !NAMES.contains(&name) && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_app_needs_stays_and_the_session_goes() {
        let stays = [
            "PATH",
            "HOME",
            "USER",
            "LANG",
            "LC_ALL",
            "TZ",
            "TERM",
            "NODE_ENV",
            "NODE_OPTIONS",
            "PORT",
            "XDG_RUNTIME_DIR",
            "HTTP_PROXY",
            "PM2_HOME",
            "SSH_AUTH_SOCK",
            "LISTENER",
            "LINES_PER_PAGE",
            "_SECRET",
            "DBUS_SESSION_BUS_ADDRESS",
        ];
        let goes = [
            "_",
            "SHLVL",
            "PWD",
            "OLDPWD",
            "TERM_PROGRAM",
            "TERM_PROGRAM_VERSION",
            "TMUX",
            "TMUX_PANE",
            "PS1",
            "BASH_FUNC_which%%",
            "PMRUN_HOME",
            "PMRUN_INSTANCE",
            "PMRUN_LAUNCH",
            "NODE_CHANNEL_FD",
            "pm_id",
            "LISTEN_FDS",
            "LISTEN_PID",
            "NOTIFY_SOCKET",
            "INVOCATION_ID",
            "SSH_CONNECTION",
        ];
        for name in stays {
            assert!(is_inherited(name), "{name}");
        }
        for name in goes {
            assert!(!is_inherited(name), "{name}");
        }
    }
}
