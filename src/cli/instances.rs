//! The instances that there are, from the daemon or, where none runs, from what is stored.

use std::path::Path;

use super::error::CliError;
use super::exchange;
use super::offline::{self, Source};
use super::terminal::Terminal;
use crate::base::InstanceId;
use crate::platform;
use crate::rpc::wire::{Answer, InstanceView, Request, StrangerView};
use crate::runtime;

/// Everything that is known of what runs.
pub(super) struct Known {
    pub instances: Vec<InstanceView>,
    /// What runs and is not known.
    pub strangers: Vec<StrangerView>,
    /// By a daemon.
    pub watched: bool,
}

pub(super) fn all(home: &Path) -> Result<Vec<InstanceView>, CliError> {
    Ok(known(home)?.instances)
}

pub(super) fn known(home: &Path) -> Result<Known, CliError> {
    of(home, offline::ask(home, &Request::List)?)
}

/// For who only shows them: of a damaged state its backup says which there are.
pub(super) fn shown(home: &Path, terminal: &mut Terminal) -> Result<Known, CliError> {
    of(home, offline::show(home, &Request::List, terminal)?)
}

fn of(home: &Path, source: Source) -> Result<Known, CliError> {
    match source {
        Source::Daemon(Answer::List { instances, strangers }) => Ok(Known { instances, strangers, watched: true }),
        Source::Daemon(other) => Err(exchange::unexpected(&other)),
        Source::Store(None) => Ok(Known { instances: Vec::new(), strangers: Vec::new(), watched: false }),
        Source::Store(Some(mut state)) => {
            let unwatched = offline::unwatched(home, &mut state);
            let left = state.strangers.iter().filter(|one| platform::is_same(one.pid, one.start));
            let strangers = left.map(runtime::stranger).collect();
            let mut views = runtime::offline_views(&state, &offline::layout(home), &unwatched);
            offline::look_at_limits(home, &state, views.iter_mut());
            Ok(Known { instances: views, strangers, watched: false })
        }
    }
}

/// Those that the targets name, in the order of `list`.
pub(super) fn select(targets: &[String], instances: &[InstanceView]) -> Result<Vec<InstanceView>, CliError> {
    let named = runtime::resolve(targets, instances).map_err(|err| exchange::unknown_target(&err))?;
    let named: std::collections::BTreeSet<InstanceId> = named.into_iter().collect();
    Ok(instances
        .iter()
        .filter(|view| named.contains(&InstanceId::new(view.name.as_str(), view.slot)))
        .cloned()
        .collect())
}

/// How people call each: by its app's name alone where the app has one instance.
pub(super) fn labels(instances: &[InstanceView]) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for view in instances {
        *counts.entry(&view.name).or_default() += 1;
    }
    let label = |view: &InstanceView| match counts.get(view.name.as_str()) {
        Some(1) if view.slot == 0 => view.name.clone(),
        _ => format!("{}:{}", view.name, view.slot),
    };
    instances.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_apps_with_several_instances_show_the_slot() {
        let views = [
            InstanceView::sample(0, "api", 0),
            InstanceView::sample(1, "api", 1),
            InstanceView::sample(2, "cron", 0),
            InstanceView::sample(3, "left", 2),
        ];
        assert_eq!(labels(&views), ["api:0", "api:1", "cron", "left:2"]);
    }
}
