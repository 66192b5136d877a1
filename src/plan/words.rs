//! A plan in words: what text, Markdown and messages about stale plans share.

use super::redact::shown_name;
use super::{Action, Change, Counts, Follower, Plan, Reason, Step};
use crate::base::format_span;
use crate::spec::{Field, Impact};

/// Whether what is restarted is relieved by what takes its place, so that nobody waits.
fn is_reload(step: &Step) -> bool {
    step.action == Action::Restart && step.overlaps && !step.replace.is_empty()
}

/// The sign before an app's line.
pub(super) fn marker(step: &Step, unicode: bool) -> &'static str {
    match (step.action, unicode) {
        (Action::Keep, _) => "=",
        (Action::Rename, true) => "→",
        (Action::Rename, false) => "->",
        (Action::Update, _) => "~",
        (Action::Scale, true) => "±",
        (Action::Scale, false) => "+-",
        (Action::Start, _) => ">",
        (Action::Stop, true) => "□",
        (Action::Stop, false) => "x",
        (Action::Restart, true) if is_reload(step) => "↻",
        (Action::Restart, false) if is_reload(step) => "^",
        (Action::Restart, _) => "!",
        (Action::Create, _) => "+",
        (Action::Delete, _) => "-",
    }
}

/// The last line: `Plan: 1 to create, 2 to restart, 9 unchanged`.
pub(super) fn counts(plan: &Plan) -> String {
    if !plan.refusals.is_empty() {
        return "Plan: refused".to_owned();
    }
    let Counts { create, start, update, restart, scale, stop, rename, delete, unchanged, left_alone, follow } =
        plan.counts();
    let reload = plan.steps.iter().filter(|step| is_reload(step)).count();
    let parts = [
        (create, "create"),
        (start, "start"),
        (reload, "reload"),
        (restart.saturating_sub(reload), "restart"),
        (scale, "scale"),
        (stop, "stop"),
        (update, "update"),
        (rename, "rename"),
        (delete, "delete"),
    ];
    let mut parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, verb)| format!("{count} to {verb}")).collect();
    if parts.is_empty() {
        parts.push("nothing to do".to_owned());
    }
    match follow {
        0 => {}
        1 => parts.push("1 follows".to_owned()),
        many => parts.push(format!("{many} follow")),
    }
    parts.push(format!("{unchanged} unchanged"));
    if left_alone > 0 {
        parts.push(format!("{left_alone} left alone"));
    }
    format!("Plan: {}", parts.join(", "))
}

/// What happens to an app as a whole: `restart 2 instances (downtime), start 1`.
pub(super) fn summary(step: &Step) -> String {
    let instances = |count: usize| if count == 1 { "1 instance".to_owned() } else { format!("{count} instances") };
    let mut parts = Vec::new();
    match step.action {
        Action::Keep if step.reasons.contains(&Reason::LeftAlone) => parts.push("left alone".to_owned()),
        Action::Keep => parts.push("unchanged".to_owned()),
        Action::Create if step.start.is_empty() => parts.push("create, start nothing".to_owned()),
        Action::Create if step.reasons.contains(&Reason::Scheduled) => {
            parts.push("create, run at its times".to_owned());
        }
        Action::Create => parts.push(format!("create and start {}", instances(step.start.len()))),
        Action::Delete => parts.push(format!("stop {} and delete", instances(step.remove.len()))),
        Action::Update => parts.push("update, no process is touched".to_owned()),
        Action::Rename | Action::Stop | Action::Scale | Action::Start | Action::Restart => {}
    }
    if !step.replace.is_empty() {
        let count = instances(step.replace.len());
        let last = step.downtime.as_ref().and_then(|downtime| downtime.last_ms);
        parts.push(match last.map(format_span) {
            _ if step.overlaps => format!("reload {count}"),
            Some(span) => format!("restart {count} (downtime, {span} last time)"),
            None => format!("restart {count} (downtime)"),
        });
    }
    if !step.start.is_empty() && step.action != Action::Create {
        parts.push(format!("start {}", instances(step.start.len())));
    }
    if !step.stop.is_empty() {
        parts.push(format!("stop {}", instances(step.stop.len())));
    }
    if !step.done.is_empty() {
        parts.push(format!("have {} as done", instances(step.done.len())));
    }
    if !step.remove.is_empty() && step.action != Action::Delete {
        parts.push(format!("remove {}", instances(step.remove.len())));
    }
    if parts.is_empty() {
        let nothing = if step.action == Action::Rename { "rename, no process is touched" } else { "start nothing" };
        parts.push(nothing.to_owned());
    }
    parts.join(", ")
}

/// What would have nobody wait meanwhile.
pub(super) fn remedy(step: &Step) -> Option<String> {
    let remedy = step.downtime.as_ref()?.remedy.as_deref()?;
    Some(format!("without downtime, for a server: {remedy}"))
}

/// `follows: web (on_exit: restart)`; none where nobody does.
pub(super) fn follows(step: &Step) -> Option<String> {
    let one = |follower: &Follower| format!("{} (on_exit: {})", shown_name(&follower.app), follower.on_exit.word());
    let all: Vec<String> = step.follows.iter().map(one).collect();
    let verb = if all.len() == 1 { "follows" } else { "follow" };
    (!all.is_empty()).then(|| format!("{verb}: {}", all.join(", ")))
}

/// All that distinguishes a step from another of the same app, fields aside.
pub(super) fn step(step: &Step) -> String {
    let mut parts = vec![summary(step)];
    parts.extend(step.reasons.iter().filter_map(|reason| cause(reason, step)));
    parts.extend(follows(step));
    parts.join("; ")
}

/// A reason that no line about a field gives.
pub(super) fn cause(reason: &Reason, step: &Step) -> Option<String> {
    let scaled = || step.changes.iter().any(|change| change.field == Field::Instances);
    let text = match reason {
        // Said by the line of the app, or by its changes.
        Reason::NewInFile
        | Reason::DeletedByHand
        | Reason::ChangedByHand { .. }
        | Reason::Changed { .. }
        | Reason::CodeChanged { .. }
        | Reason::Scheduled
        | Reason::Unchanged => return None,
        Reason::ScaledUp { .. } | Reason::ScaledDown { .. } if scaled() => return None,
        Reason::GoneFromFile { from: None } => "the file no longer has it".to_owned(),
        Reason::GoneFromFile { from: Some(from) } => format!(
            "the file does not have it; it came from {} (without a `name`, the files of one folder are one ecosystem)",
            shown_name(from)
        ),
        Reason::Renamed { from } => format!("renamed from {}", shown_name(from)),
        Reason::ScaledUp { from, to } | Reason::ScaledDown { from, to } => format!("instances there: {from} -> {to}"),
        Reason::Stopped { slots } => format!("should run and is stopped: {}", instances(step, slots)),
        Reason::Errored { slots } => format!("should run and was given up on: {}", instances(step, slots)),
        Reason::RunsEarlierVersion { slots } => {
            format!("started from an earlier version of the file: {}", instances(step, slots))
        }
        Reason::RunsOtherCode { slots, files } => {
            let files: Vec<String> = files.iter().map(|file| shown_name(file)).collect();
            format!("runs other code than there is on disk ({}): {}", files.join(", "), instances(step, slots))
        }
        Reason::There { generation } => format!("{} has it", at(*generation)),
        Reason::NotThere { generation } => format!("{} does not have it", at(*generation)),
        Reason::UpThen { slots, generation } => {
            format!("running in {}: {}", at(*generation), self::instances(step, slots))
        }
        Reason::StoppedThen { slots, generation } => {
            format!("stopped in {}: {}", at(*generation), self::instances(step, slots))
        }
        Reason::CompletedThen { slots, generation } => {
            format!("done in {}, and not run again: {}", at(*generation), self::instances(step, slots))
        }
        Reason::NeedsNobody { app } => format!("it depends on {}, which there is not", shown_name(app)),
        Reason::CodeSince { file } => {
            format!("its code has changed since and stays as it is: {}", shown_name(file))
        }
        Reason::Adopted { from: Some(from) } => format!("taken over from ecosystem {}", shown_name(&from.0)),
        Reason::Adopted { from: None } => "taken over: it was started by hand".to_owned(),
        Reason::NotAutostarted => "not started: `autostart: false`".to_owned(),
        Reason::Completed => "ended by itself, which is all it should".to_owned(),
        Reason::LeftAlone => "left alone".to_owned(),
    };
    Some(text)
}

/// A generation, as it is written.
fn at(generation: Option<u64>) -> String {
    generation.map_or_else(|| "what is there now".to_owned(), |number| format!("@{number}"))
}

fn instances(step: &Step, slots: &[u32]) -> String {
    self::slots(&step.app, slots)
}

/// `api:0, api:1`, or `api:0-7` where there are many.
pub(super) fn slots(app: &str, slots: &[u32]) -> String {
    let app = shown_name(app);
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &slot in slots {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == slot => *last = slot,
            _ => runs.push((slot, slot)),
        }
    }
    let text = runs.iter().map(|(first, last)| match last - first {
        0 => format!("{app}:{first}"),
        1 => format!("{app}:{first}, {app}:{last}"),
        _ => format!("{app}:{first}-{last}"),
    });
    text.collect::<Vec<_>>().join(", ")
}

/// Why a change needs what happens.
pub(super) fn why(change: &Change, step: &Step) -> &'static str {
    match change.impact {
        Impact::None => "no process is touched",
        Impact::Live => "takes effect at once",
        Impact::Scale => "adds or removes instances, the others stay",
        Impact::Reload | Impact::Recreate if step.replace.is_empty() && step.start.is_empty() => {
            let waits =
                |reason: &Reason| matches!(reason, Reason::NotAutostarted | Reason::Completed | Reason::Scheduled);
            if step.reasons.iter().any(waits) { "holds when it is started next" } else { "what runs has it already" }
        }
        Impact::Reload if change.field == Field::Code => "the process runs the code it was started with",
        Impact::Reload => match change.field {
            Field::PidFile => "it is written when the process starts",
            Field::OutFile | Field::ErrorFile | Field::MergeLogs => "logs are opened when the process starts",
            Field::WaitReady | Field::ShutdownWithMessage => "the process gets its channel at its start",
            _ => "the process reads it at its start",
        },
        Impact::Recreate => "the process cannot be kept",
    }
}

/// A field as it is named to people: `env.PORT`, `code changed: dist/server.js`.
pub(super) fn field(change: &Change) -> String {
    let part = |prefix: &str| change.path.strip_prefix(prefix).map(shown_name);
    match change.field {
        Field::Code => format!("code changed: {}", part("code.").unwrap_or_default()),
        Field::Env => format!("env.{}", part("env.").unwrap_or_default()),
        _ => change.path.clone(),
    }
}

/// What stands for a value that is not there.
pub(super) const NOT_SET: &str = "(none)";
