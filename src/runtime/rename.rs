//! What depends on an app that gets another name goes on to depend on it: at once, on disk too, and whether or not the
//! dependents are part of the command.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::history::Why;
use super::table::{App, Table};
use super::work::Work;
use super::{AppRecord, Save};
use crate::spec::{AppSpec, EcosystemId};

/// A new name. Only apps of the same file can have meant it by the old one.
pub(super) struct Rename<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) ecosystem: Option<EcosystemId>,
}

impl Rename<'_> {
    /// The spec with the new name; none where it does not have the old one.
    fn spec(&self, spec: &AppSpec) -> Option<AppSpec> {
        let place = spec.depends_on.iter().position(|need| need == self.from)?;
        let mut spec = spec.clone();
        if spec.depends_on.iter().any(|need| need == self.to) {
            spec.depends_on.remove(place);
        } else {
            self.to.clone_into(&mut spec.depends_on[place]);
        }
        if let Some(need) = spec.needs.remove(self.from) {
            spec.needs.entry(self.to.to_owned()).or_insert(need);
        }
        Some(spec)
    }

    fn concerns(&self, app: &App) -> bool {
        !app.deleted && app.record.ecosystem == self.ecosystem
    }

    /// Lets an app follow, where it depends on what is renamed. To its machines that is no news.
    pub(super) fn follow(&self, app: &mut App) {
        if !self.concerns(app) {
            return;
        }
        let Some(spec) = self.spec(&app.record.spec).map(Arc::new) else { return };
        let before = std::mem::replace(&mut app.record.spec, Arc::clone(&spec));
        let (old, new) = (format!("`{}` ", self.from), format!("`{}` ", self.to));
        for instance in app.instances.values_mut() {
            let policy = &mut instance.machine.policy;
            if Arc::ptr_eq(policy, &before) {
                *policy = Arc::clone(&spec);
            } else if let Some(own) = self.spec(policy) {
                *policy = Arc::new(own);
            }
            let told = match &mut instance.why {
                Why::Needs { needs } => needs.as_mut_slice(),
                _ => &mut [],
            };
            for unmet in instance.machine.unmet.iter_mut().chain(told) {
                if let Some(rest) = unmet.strip_prefix(&old) {
                    *unmet = format!("{new}{rest}");
                }
            }
            if instance.lost.remove(self.from) {
                instance.lost.insert(self.to.to_owned());
            }
        }
    }
}

/// What has to be durable of those that follow the renames of some works, and have no work themselves.
pub(super) fn saves(works: &[Work], table: &Table, saves: &mut Vec<Save>) {
    let renames: Vec<Rename<'_>> = works.iter().filter_map(|work| rename(work, table)).collect();
    if renames.is_empty() {
        return;
    }
    let own: BTreeSet<&str> =
        works.iter().flat_map(|work| [Some(work.app.as_str()), work.renamed_from.as_deref()]).flatten().collect();
    for (name, app) in table.apps.iter().filter(|(name, _)| !own.contains(name.as_str())) {
        let mut spec: Option<AppSpec> = None;
        for rename in renames.iter().filter(|rename| rename.concerns(app)) {
            spec = rename.spec(spec.as_ref().unwrap_or(&app.record.spec)).or(spec);
        }
        if let Some(spec) = spec {
            saves.push(Save::Ambient(app.ambient.digest.clone(), Arc::clone(&app.ambient.variables)));
            let record = AppRecord { spec: Arc::new(spec), ..app.record.clone() };
            saves.push(Save::App(name.clone(), Box::new(record)));
        }
    }
}

fn rename<'a>(work: &'a Work, table: &Table) -> Option<Rename<'a>> {
    let from = work.renamed_from.as_deref()?;
    let ecosystem = table.apps.get(from)?.record.ecosystem.clone();
    Some(Rename { from, to: &work.app, ecosystem })
}
