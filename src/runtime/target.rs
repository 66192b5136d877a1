use std::collections::BTreeSet;

use regex_lite::Regex;

use crate::base::{InstanceId, closest};
use crate::rpc::wire::InstanceView;

/// What a command is about: a name, `name:instance`, an id, `all`, `/regex/`, `namespace`.
#[derive(Clone, Debug)]
pub struct Target(pub String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problem.clone().unwrap_or_else(|| format!("nothing is called `{target}`")))]
pub struct TargetError {
    pub target: String,
    pub suggestion: Option<String>,
    /// What is wrong with it, where it is more than that nothing has the name.
    pub problem: Option<String>,
}

/// The instances that a list of targets names, in the order of `instances`, each once.
///
/// What a target can mean is tried in this order, and the first meaning that names anything holds, as in PM2: an app's
/// name (it may be a number, or `api:1`), `name:slot`, a namespace, an id. `/regex/` is looked for in names.
///
/// # Errors
/// The first target that names nothing (`all` never fails).
pub fn resolve(targets: &[String], instances: &[InstanceView]) -> Result<Vec<InstanceId>, TargetError> {
    let mut named = BTreeSet::new();
    for target in targets {
        let found = one(target, instances).map_err(|problem| TargetError {
            target: target.clone(),
            suggestion: None,
            problem: Some(problem),
        })?;
        if found.is_empty() && target != "all" {
            return Err(unknown(target, instances));
        }
        named.extend(found);
    }
    let picked = instances.iter().enumerate().filter(|(index, _)| named.contains(index));
    Ok(picked.map(|(_, view)| InstanceId::new(&view.name, view.slot)).collect())
}

/// Fails, with what is wrong, when no name could ever be meant.
fn one(target: &str, instances: &[InstanceView]) -> Result<Vec<usize>, String> {
    let pick = |wanted: &dyn Fn(&InstanceView) -> bool| -> Vec<usize> {
        instances.iter().enumerate().filter(|(_, view)| wanted(view)).map(|(index, _)| index).collect()
    };
    if target == "all" {
        return Ok(pick(&|_| true));
    }
    let by_name = pick(&|view| view.name == target);
    if !by_name.is_empty() {
        return Ok(by_name);
    }
    if let Some(pattern) = target.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        return match Regex::new(pattern) {
            _ if pattern.is_empty() => Err(format!("the regular expression in `{target}` is empty")),
            Ok(regex) => Ok(pick(&|view| regex.is_match(&view.name))),
            Err(error) => Err(format!("`{target}` is not a valid regular expression: {error}")),
        };
    }
    if let Ok(id) = target.parse::<InstanceId>() {
        let by_slot = pick(&|view| view.name == id.app && view.slot == id.slot);
        if !by_slot.is_empty() {
            return Ok(by_slot);
        }
    }
    let by_namespace = pick(&|view| view.namespace == target);
    if !by_namespace.is_empty() {
        return Ok(by_namespace);
    }
    Ok(target.parse::<u32>().map(|id| pick(&|view| view.id == id)).unwrap_or_default())
}

fn unknown(target: &str, instances: &[InstanceView]) -> TargetError {
    let known = |name: &str| instances.iter().any(|view| view.name == name);
    let (mut suggestion, mut problem) = (None, None);
    if target.trim().is_empty() {
        problem = Some("an empty target names nothing".to_owned());
    } else if let Some(InstanceId { app, slot }) = target.parse().ok().filter(|id: &InstanceId| known(&id.app)) {
        let slots = instances.iter().filter(|view| view.name == app).map(|view| view.slot).collect();
        problem = Some(format!("`{app}` has no instance {slot}: it has {}", ranges(slots)));
        suggestion = Some(app);
    } else if target.parse::<u32>().is_ok() && !instances.is_empty() {
        let ids = instances.iter().map(|view| view.id).collect();
        problem = Some(format!("no app is called `{target}`, and no instance has this id: there are {}", ranges(ids)));
    } else {
        let names = instances.iter().flat_map(|view| [view.name.as_str(), view.namespace.as_str()]);
        suggestion = closest(target, names.filter(|name| *name != "default")).map(str::to_owned);
    }
    TargetError { target: target.to_owned(), suggestion, problem }
}

/// `0 to 2, 5`.
fn ranges(mut numbers: Vec<u32>) -> String {
    numbers.sort_unstable();
    let runs = numbers.chunk_by(|one, next| one.checked_add(1) == Some(*next)).map(|run| match run {
        [first, .., last] => format!("{first} to {last}"),
        _ => run.iter().map(u32::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(id: u32, name: &str, slot: u32, namespace: &str) -> InstanceView {
        InstanceView { namespace: namespace.to_owned(), ..InstanceView::sample(id, name, slot) }
    }

    type Case = (&'static [&'static str], Result<&'static [&'static str], Option<&'static str>>);

    #[test]
    fn what_targets_name() {
        let instances = [
            view(0, "api", 0, "default"),
            view(1, "api", 1, "default"),
            view(2, "web:1", 0, "shop"),
            view(3, "0", 0, "shop"),
            view(4, "job", 0, "jobs"),
        ];
        let table: [Case; 16] = [
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
            // Not the namespace or the app with this id.
            (&["web:1:0"], Ok(&["web:1:0"])),
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
            assert_eq!(found, want, "{targets:?}");
        }
        assert_eq!(resolve(&["all".to_owned()], &[]), Ok(vec![]));
    }

    #[test]
    fn an_app_of_exactly_that_name_comes_before_an_instance() {
        let instances = [view(0, "api", 0, "default"), view(1, "api", 1, "default"), view(2, "api:1", 0, "default")];
        let named = |target: &str| resolve(&[target.to_owned()], &instances).unwrap();
        assert_eq!(named("api:1"), [InstanceId::new("api:1", 0)]);
        assert_eq!(named("api:0"), [InstanceId::new("api", 0)]);
        assert_eq!(named("1"), [InstanceId::new("api", 1)]);
    }

    #[test]
    fn what_is_wrong_with_a_target_is_said() {
        let instances = [
            view(0, "api", 0, "default"),
            view(1, "api", 1, "default"),
            view(2, "api", 2, "default"),
            view(7, "web", 4, "default"),
        ];
        let table = [
            ("api:9", "`api` has no instance 9: it has 0 to 2"),
            ("web:0", "`web` has no instance 0: it has 4"),
            ("12", "no app is called `12`, and no instance has this id: there are 0 to 2, 7"),
            ("", "an empty target names nothing"),
            (" ", "an empty target names nothing"),
            ("//", "the regular expression in `//` is empty"),
            ("/x+/", "nothing is called `/x+/`"),
            ("wob", "nothing is called `wob`"),
        ];
        for (target, want) in table {
            assert_eq!(resolve(&[target.to_owned()], &instances).unwrap_err().to_string(), want, "{target}");
        }
        let error = resolve(&["/(/".to_owned()], &instances).unwrap_err().to_string();
        assert!(error.starts_with("`/(/` is not a valid regular expression: "), "{error}");
        assert!(error.len() > "`/(/` is not a valid regular expression: ".len(), "with the reason: {error}");
    }
}
