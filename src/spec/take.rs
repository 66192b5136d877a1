use super::{AppSpec, Field};

impl AppSpec {
    /// Makes one field what it is in another spec.
    pub fn take(&mut self, field: Field, other: &Self) {
        let from = other.clone();
        match field {
            Field::Name => self.name = from.name,
            Field::Namespace => self.namespace = from.namespace,
            Field::Script => self.script = from.script,
            Field::Args => self.args = from.args,
            Field::Interpreter => self.interpreter = from.interpreter,
            Field::InterpreterArgs => self.interpreter_args = from.interpreter_args,
            Field::Cwd => self.cwd = from.cwd,
            Field::Env => self.env = from.env,
            Field::FilterEnv => self.filter_env = from.filter_env,
            Field::Listen => self.listen = from.listen,
            Field::Distribution => self.distribution = from.distribution,
            Field::ExecMode => self.exec_mode = from.exec_mode,
            Field::Instances => self.instances = from.instances,
            Field::InstanceVar => self.instance_var = from.instance_var,
            Field::IncrementVar => self.increment_var = from.increment_var,
            Field::Autostart => self.autostart = from.autostart,
            Field::Autorestart => self.restart.auto = from.restart.auto,
            Field::MaxRestarts => self.restart.max_restarts = from.restart.max_restarts,
            Field::MinUptime => self.restart.min_uptime_ms = from.restart.min_uptime_ms,
            Field::RestartDelay => self.restart.delay_ms = from.restart.delay_ms,
            Field::ExpBackoffRestartDelay => self.restart.backoff_ms = from.restart.backoff_ms,
            Field::StopExitCodes => self.restart.stop_exit_codes = from.restart.stop_exit_codes,
            Field::MaxAge => self.restart.max_age_ms = from.restart.max_age_ms,
            Field::StopSignal => self.stop.signal = from.stop.signal,
            Field::KillTimeout => self.stop.timeout_ms = from.stop.timeout_ms,
            Field::DrainTimeout => self.stop.drain_ms = from.stop.drain_ms,
            Field::Treekill => self.stop.tree = from.stop.tree,
            Field::ShutdownWithMessage => self.stop.message = from.stop.message,
            Field::WaitReady => self.readiness.wait_ready = from.readiness.wait_ready,
            Field::ReadyLog => self.readiness.log = from.readiness.log,
            Field::ListenTimeout => self.readiness.timeout_ms = from.readiness.timeout_ms,
            Field::OutFile => self.logs.out = from.logs.out,
            Field::ErrorFile => self.logs.error = from.logs.error,
            Field::LogFile => self.logs.combined = from.logs.combined,
            Field::MergeLogs => self.logs.merge = from.logs.merge,
            Field::LogDateFormat => self.logs.date_format = from.logs.date_format,
            Field::LogType => self.logs.json = from.logs.json,
            Field::LogMaxSize => self.logs.rotation.max_size = from.logs.rotation.max_size,
            Field::LogRetain => self.logs.rotation.retain = from.logs.rotation.retain,
            Field::LogCompress => self.logs.rotation.compress = from.logs.rotation.compress,
            Field::PidFile => self.pid_file = from.pid_file,
            Field::DependsOn => (self.depends_on, self.needs) = (from.depends_on, from.needs),
            Field::HealthCheck => self.health_check = from.health_check,
            Field::Code => self.fingerprint = from.fingerprint,
            Field::Fingerprint => self.fingerprint_by = from.fingerprint_by,
            Field::RenamedFrom => self.renamed_from = from.renamed_from,
            Field::Watch => (self.watch.enabled, self.watch.paths) = (from.watch.enabled, from.watch.paths),
            Field::IgnoreWatch => self.watch.ignore = from.watch.ignore,
            Field::WatchDelay => self.watch.delay_ms = from.watch.delay_ms,
            Field::WatchOptions => self.watch.options = from.watch.options,
            Field::CronRestart => self.cron_restart = from.cron_restart,
            Field::Schedule => self.schedule = from.schedule,
            Field::ScheduleOverlap => self.schedule_overlap = from.schedule_overlap,
            Field::CronTimezone => self.cron_timezone = from.cron_timezone,
            Field::MaxMemoryRestart => self.max_memory_restart = from.max_memory_restart,
            Field::Uid => self.uid = from.uid,
            Field::Gid => self.gid = from.gid,
            Field::Umask => self.umask = from.umask,
            Field::Nice => self.nice = from.nice,
            Field::Rlimits => self.rlimits = from.rlimits,
            Field::Limits => self.limits = from.limits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fields_together_are_the_whole_of_it() {
        let mut other = AppSpec::new("b", "/b", "/");
        (other.instances, other.restart.max_restarts, other.stop.tree) = (3, 7, false);
        (other.watch.enabled, other.watch.paths) = (true, vec!["src".to_owned()]);
        (other.logs.json, other.max_memory_restart, other.nice) = (true, Some(1), 4);
        let mut app = AppSpec::new("a", "/a", "/tmp");
        app.take(Field::MaxRestarts, &other);
        assert_eq!((app.restart.max_restarts, app.instances), (7, 1));
        for field in Field::ALL {
            app.take(field, &other);
        }
        assert_eq!(app, other);
    }
}
