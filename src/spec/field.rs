use serde::{Deserialize, Serialize};

/// What it takes to make a changed field true, gentlest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// Nothing: the field says how to plan.
    None,
    /// The manager itself acts on it: it holds from now on, no process notices.
    Live,
    /// Instances are added or removed, none of the others is touched.
    Scale,
    /// The process sees it: it has to be replaced, rolling where the app can roll, else by a restart.
    Reload,
    /// Neither the old processes nor what the manager holds for them can be kept.
    Recreate,
}

/// A field of an [`super::AppSpec`], as far as planning tells fields apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    Name,
    Namespace,
    Script,
    Args,
    Interpreter,
    InterpreterArgs,
    Cwd,
    Env,
    FilterEnv,
    Listen,
    Distribution,
    ExecMode,
    Instances,
    InstanceVar,
    IncrementVar,
    Autostart,
    Autorestart,
    MaxRestarts,
    MinUptime,
    RestartDelay,
    ExpBackoffRestartDelay,
    StopExitCodes,
    MaxAge,
    StopSignal,
    KillTimeout,
    DrainTimeout,
    Treekill,
    ShutdownWithMessage,
    WaitReady,
    ReadyLog,
    ListenTimeout,
    OutFile,
    ErrorFile,
    LogFile,
    MergeLogs,
    LogDateFormat,
    LogType,
    LogMaxSize,
    LogRetain,
    LogCompress,
    PidFile,
    DependsOn,
    HealthCheck,
    Code,
    Fingerprint,
    RenamedFrom,
    Watch,
    IgnoreWatch,
    WatchDelay,
    WatchOptions,
    CronRestart,
    Schedule,
    ScheduleOverlap,
    CronTimezone,
    MaxMemoryRestart,
    Uid,
    Gid,
    Umask,
    Nice,
    Rlimits,
    Limits,
}

impl Field {
    /// Every field, in the order of [`super::AppSpec`].
    pub const ALL: [Self; 61] = [
        Self::Name,
        Self::Namespace,
        Self::Script,
        Self::Args,
        Self::Interpreter,
        Self::InterpreterArgs,
        Self::Cwd,
        Self::Env,
        Self::FilterEnv,
        Self::Listen,
        Self::Distribution,
        Self::ExecMode,
        Self::Instances,
        Self::InstanceVar,
        Self::IncrementVar,
        Self::Autostart,
        Self::Autorestart,
        Self::MaxRestarts,
        Self::MinUptime,
        Self::RestartDelay,
        Self::ExpBackoffRestartDelay,
        Self::StopExitCodes,
        Self::MaxAge,
        Self::StopSignal,
        Self::KillTimeout,
        Self::DrainTimeout,
        Self::Treekill,
        Self::ShutdownWithMessage,
        Self::WaitReady,
        Self::ReadyLog,
        Self::ListenTimeout,
        Self::OutFile,
        Self::ErrorFile,
        Self::LogFile,
        Self::MergeLogs,
        Self::LogDateFormat,
        Self::LogType,
        Self::LogMaxSize,
        Self::LogRetain,
        Self::LogCompress,
        Self::PidFile,
        Self::DependsOn,
        Self::HealthCheck,
        Self::Code,
        Self::Fingerprint,
        Self::RenamedFrom,
        Self::Watch,
        Self::IgnoreWatch,
        Self::WatchDelay,
        Self::WatchOptions,
        Self::CronRestart,
        Self::Schedule,
        Self::ScheduleOverlap,
        Self::CronTimezone,
        Self::MaxMemoryRestart,
        Self::Uid,
        Self::Gid,
        Self::Umask,
        Self::Nice,
        Self::Rlimits,
        Self::Limits,
    ];

    /// The one place that decides what a change of an option costs.
    #[must_use]
    pub fn impact(self) -> Impact {
        match self {
            // Planning only. A changed name is another app unless `renamed_from` says otherwise, and then it
            // moves nothing.
            Self::Name | Self::RenamedFrom => Impact::None,

            // Read by the manager each time it decides.
            Self::Namespace
            | Self::Autostart
            | Self::Autorestart
            | Self::MaxRestarts
            | Self::MinUptime
            | Self::RestartDelay
            | Self::ExpBackoffRestartDelay
            | Self::StopExitCodes
            | Self::MaxAge
            | Self::StopSignal
            | Self::KillTimeout
            | Self::DrainTimeout
            | Self::Treekill
            | Self::ListenTimeout
            | Self::ReadyLog
            | Self::DependsOn
            | Self::HealthCheck
            | Self::Fingerprint
            | Self::Watch
            | Self::IgnoreWatch
            | Self::WatchDelay
            | Self::WatchOptions
            | Self::CronRestart
            | Self::ScheduleOverlap
            | Self::CronTimezone
            | Self::MaxMemoryRestart
            | Self::LogMaxSize
            | Self::LogRetain
            | Self::LogCompress
            | Self::Limits => Impact::Live,

            Self::Instances => Impact::Scale,

            // Given to the process when it starts: its command, its environment, its open files. `wait_ready` and
            // `shutdown_with_message` decide whether it gets a channel, log files where its output goes,
            // what is to be added to its lines whether it writes to a pipe; its pid file is written then, too.
            Self::Script
            | Self::Args
            | Self::Interpreter
            | Self::InterpreterArgs
            | Self::Cwd
            | Self::Env
            | Self::FilterEnv
            | Self::Listen
            | Self::Distribution
            | Self::InstanceVar
            | Self::IncrementVar
            | Self::ShutdownWithMessage
            | Self::WaitReady
            | Self::OutFile
            | Self::ErrorFile
            | Self::LogFile
            | Self::MergeLogs
            | Self::LogDateFormat
            | Self::LogType
            | Self::PidFile
            | Self::Code
            | Self::Schedule
            | Self::Uid
            | Self::Gid
            | Self::Umask
            | Self::Nice
            | Self::Rlimits => Impact::Reload,

            Self::ExecMode => Impact::Recreate,
        }
    }

    /// The option's name in a config file.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Namespace => "namespace",
            Self::Script => "script",
            Self::Args => "args",
            Self::Interpreter => "interpreter",
            Self::InterpreterArgs => "node_args",
            Self::Cwd => "cwd",
            Self::Env => "env",
            Self::FilterEnv => "filter_env",
            Self::Listen => "listen",
            Self::Distribution => "distribution",
            Self::ExecMode => "exec_mode",
            Self::Instances => "instances",
            Self::InstanceVar => "instance_var",
            Self::IncrementVar => "increment_var",
            Self::Autostart => "autostart",
            Self::Autorestart => "autorestart",
            Self::MaxRestarts => "max_restarts",
            Self::MinUptime => "min_uptime",
            Self::RestartDelay => "restart_delay",
            Self::ExpBackoffRestartDelay => "exp_backoff_restart_delay",
            Self::StopExitCodes => "stop_exit_codes",
            Self::MaxAge => "max_age",
            Self::StopSignal => "stop_signal",
            Self::KillTimeout => "kill_timeout",
            Self::DrainTimeout => "drain_timeout",
            Self::Treekill => "treekill",
            Self::ShutdownWithMessage => "shutdown_with_message",
            Self::WaitReady => "wait_ready",
            Self::ReadyLog => "ready_log",
            Self::ListenTimeout => "listen_timeout",
            Self::OutFile => "out_file",
            Self::ErrorFile => "error_file",
            Self::LogFile => "log_file",
            Self::MergeLogs => "merge_logs",
            Self::LogDateFormat => "log_date_format",
            Self::LogType => "log_type",
            Self::LogMaxSize => "log_max_size",
            Self::LogRetain => "log_retain",
            Self::LogCompress => "log_compress",
            Self::PidFile => "pid_file",
            Self::DependsOn => "depends_on",
            Self::HealthCheck => "health_check",
            Self::Code | Self::Fingerprint => "fingerprint",
            Self::RenamedFrom => "renamed_from",
            Self::Watch => "watch",
            Self::IgnoreWatch => "ignore_watch",
            Self::WatchDelay => "watch_delay",
            Self::WatchOptions => "watch_options",
            Self::CronRestart => "cron_restart",
            Self::Schedule => "schedule",
            Self::ScheduleOverlap => "schedule_overlap",
            Self::CronTimezone => "cron_timezone",
            Self::MaxMemoryRestart => "max_memory_restart",
            Self::Uid => "uid",
            Self::Gid => "gid",
            Self::Umask => "umask",
            Self::Nice => "nice",
            Self::Rlimits => "rlimits",
            Self::Limits => "limits",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_writes_to_is_its_own() {
        let pipes = [Field::LogFile, Field::LogDateFormat, Field::LogType];
        for field in [Field::OutFile, Field::ErrorFile, Field::MergeLogs, Field::PidFile].into_iter().chain(pipes) {
            assert_eq!(field.impact(), Impact::Reload, "{field:?}");
        }
    }
}
