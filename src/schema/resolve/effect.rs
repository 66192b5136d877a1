//! What is right by itself and does not do what it was written for.

use super::{Resolver, title};
use crate::diag::{Code, Diagnostic};
use crate::schema::Draft;
use crate::spec::{AppSpec, ExecMode, Overlap, Probe};

impl Resolver<'_> {
    /// Options that do nothing where none of some others is written.
    pub(super) fn effects(&mut self, draft: &Draft, spec: &AppSpec) {
        // `ignore_watch` and the like are not among them: they stay where `watch` is turned on by hand, now and then.
        let alone: [(&str, bool, &[&str]); 2] = [
            ("schedule_overlap", spec.schedule_overlap != Overlap::default(), &["schedule"]),
            ("cron_timezone", spec.cron_timezone.is_some(), &["schedule", "cron_restart"]),
        ];
        for (option, is_set, others) in alone {
            if is_set && !others.iter().any(|other| draft.wrote(other)) {
                let others = others.iter().map(|other| format!("`{other}`")).collect::<Vec<_>>().join(" or ");
                let message = format!("`{option}` of {} does nothing without {others}", title(draft));
                self.warning(Code::NoEffect, message, draft.at(option));
            }
        }
        self.of_a_job(draft, spec);
        self.shared_port(draft, spec);
    }

    /// What is meant for services.
    fn of_a_job(&mut self, draft: &Draft, spec: &AppSpec) {
        let title = title(draft);
        let ages = spec.restart.max_age_ms > 0;
        if spec.schedule.is_some() {
            for (option, is_set, why) in [
                ("watch", spec.watch.enabled, "each run has the files as they are when it begins"),
                ("max_age", ages, "a run ends by itself"),
            ] {
                if is_set {
                    let message = format!("`{option}` of {title} does nothing with `schedule`: {why}");
                    self.warning(Code::NoEffect, message, draft.at(option));
                }
            }
        } else if ages && !spec.restart.auto {
            let message = format!(
                "`max_age` of {title} starts anew what `autorestart: false` has run once: a run that takes longer never \
                 comes to its end"
            );
            let place = draft.at("max_age").location(self.request.file);
            self.diagnostics.push(Diagnostic::warning(Code::Conflict, message, place).hint("take one of them out"));
        }
    }

    /// Of several instances that are asked at one port one answers, for all of them.
    fn shared_port(&mut self, draft: &Draft, spec: &AppSpec) {
        let Some(Probe::Http(target) | Probe::Tcp(target)) = spec.health_check.as_ref().map(|check| &check.probe)
        else {
            return;
        };
        if spec.instances < 2 || spec.exec_mode != ExecMode::Fork || !is_here(target) || has_own_part(target, spec) {
            return;
        }
        let message = format!(
            "`health_check` asks all {} instances of {} at one address, `{target}`: only one of them can listen there",
            spec.instances,
            title(draft)
        );
        let place = draft.at("health_check").location(self.request.file);
        let hint = "count a port up with `increment_var: \"PORT\"`, and write `$PORT` in the address";
        self.diagnostics.push(Diagnostic::warning(Code::Conflict, message, place).hint(hint));
    }
}

/// Whether an address, or a URL's, is this machine's own. Another's may be anything that the instances need.
fn is_here(target: &str) -> bool {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    matches!(host, "localhost" | "::1" | "0.0.0.0") || host.starts_with("127.")
}

/// Whether a variable in it differs from one instance to the next, as far as that shows: of one that the app does not
/// declare nobody knows.
fn has_own_part(target: &str, spec: &AppSpec) -> bool {
    target.split('$').skip(1).any(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        spec.increment_var.as_deref() == Some(name) || name == spec.instance_var || !spec.env.contains_key(name)
    })
}
