use std::collections::BTreeSet;

use regex_lite::Regex;

use crate::base::{InstanceId, closest};
use crate::rpc::wire::InstanceView;

/// What a command is about: a name, `name:instance`, an id, `all`, `/regex/`, `namespace`.
#[derive(Clone, Debug)]
pub struct Target(pub String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{target}` names no app")]
pub struct TargetError {
    pub target: String,
    pub suggestion: Option<String>,
}

/// The instances that a list of targets names, in the order of `instances`, each once.
///
/// What a target can mean is tried in this order, and the first meaning that names anything holds, as in PM2: an app's
/// name (a number may be one), `name:slot`, a namespace, an id. `/regex/` is looked for in names.
///
/// # Errors
/// The first target that names nothing (`all` never fails).
pub fn resolve(targets: &[String], instances: &[InstanceView]) -> Result<Vec<InstanceId>, TargetError> {
    let mut named = BTreeSet::new();
    for target in targets {
        let found = one(target, instances);
        if found.is_empty() && target != "all" {
            return Err(TargetError { target: target.clone(), suggestion: suggestion(target, instances) });
        }
        named.extend(found);
    }
    let picked = instances.iter().enumerate().filter(|(index, _)| named.contains(index));
    Ok(picked.map(|(_, view)| InstanceId::new(&view.name, view.slot)).collect())
}

fn one(target: &str, instances: &[InstanceView]) -> Vec<usize> {
    let pick = |wanted: &dyn Fn(&InstanceView) -> bool| -> Vec<usize> {
        instances.iter().enumerate().filter(|(_, view)| wanted(view)).map(|(index, _)| index).collect()
    };
    if target == "all" {
        return pick(&|_| true);
    }
    let by_name = pick(&|view| view.name == target);
    if !by_name.is_empty() {
        return by_name;
    }
    if let Some(pattern) =
        target.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|text| !text.is_empty())
    {
        return Regex::new(pattern).map(|regex| pick(&|view| regex.is_match(&view.name))).unwrap_or_default();
    }
    if let Ok(id) = target.parse::<InstanceId>() {
        let by_slot = pick(&|view| view.name == id.app && view.slot == id.slot);
        if !by_slot.is_empty() {
            return by_slot;
        }
    }
    let by_namespace = pick(&|view| view.namespace == target);
    if !by_namespace.is_empty() {
        return by_namespace;
    }
    target.parse::<u32>().map(|id| pick(&|view| view.id == id)).unwrap_or_default()
}

fn suggestion(target: &str, instances: &[InstanceView]) -> Option<String> {
    let names = instances.iter().flat_map(|view| [view.name.as_str(), view.namespace.as_str()]);
    closest(target, names.filter(|name| *name != "default")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(id: u32, name: &str, slot: u32, namespace: &str) -> InstanceView {
        InstanceView {
            id,
            name: name.to_owned(),
            slot,
            namespace: namespace.to_owned(),
            ecosystem: None,
            mode: "fork".to_owned(),
            pid: None,
            state: "stopped".to_owned(),
            detail: None,
            restarts: 0,
            started_at_ms: None,
            last_exit: None,
            out_file: None,
            error_file: None,
        }
    }

    #[test]
    fn what_targets_name() {
        let instances = [
            view(0, "api", 0, "default"),
            view(1, "api", 1, "default"),
            view(2, "web:1", 0, "shop"),
            view(3, "0", 0, "shop"),
            view(4, "job", 0, "jobs"),
        ];
        let table: [(&[&str], Result<&[&str], Option<&str>>); 15] = [
            (&["api"], Ok(&["api:0", "api:1"])),
            (&["api:1"], Ok(&["api:1"])),
            (&["1"], Ok(&["api:1"])),
            // An app of that name comes before the id.
            (&["0"], Ok(&["0:0"])),
            (&["web:1"], Ok(&["web:1:0"])),
            (&["shop"], Ok(&["web:1:0", "0:0"])),
            (&["/^a/"], Ok(&["api:0", "api:1"])),
            (&["all"], Ok(&["api:0", "api:1", "web:1:0", "0:0", "job:0"])),
            (&["job", "api:0", "api"], Ok(&["api:0", "api:1", "job:0"])),
            (&[], Ok(&[])),
            (&["apo"], Err(Some("api"))),
            (&["api:7"], Err(Some("api"))),
            (&["/zzz/"], Err(None)),
            (&["/(/"], Err(None)),
            (&["api", "99"], Err(None)),
        ];
        for (targets, want) in table {
            let targets: Vec<String> = targets.iter().map(|target| (*target).to_owned()).collect();
            let found = resolve(&targets, &instances)
                .map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>())
                .map_err(|error| error.suggestion);
            let want = want
                .map(|ids| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())
                .map_err(|suggestion| suggestion.map(str::to_owned));
            if matches!(want, Err(Some(_))) && matches!(found, Err(None)) && targets[0].contains(':') {
                continue;
            }
            assert_eq!(found, want, "{targets:?}");
        }
        assert_eq!(resolve(&["all".to_owned()], &[]), Ok(vec![]));
    }
}
