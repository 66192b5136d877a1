use std::collections::{BTreeMap, BTreeSet};

/// A circle of dependencies, its first name repeated at the end: `a -> b -> a`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle(pub Vec<String>);

impl std::fmt::Display for Cycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(" -> "))
    }
}

/// Names so ordered that each comes after what it depends on, otherwise as they were given.
///
/// Names that are not in the list are ignored: whoever calls has reported them.
///
/// # Errors
/// The first circle found, beginning with the name that comes first in the list.
pub fn dependency_order<'a>(apps: &[(&'a str, Vec<&'a str>)]) -> Result<Vec<&'a str>, Cycle> {
    let by_name: BTreeMap<&str, &[&str]> = apps.iter().map(|(name, needs)| (*name, needs.as_slice())).collect();
    let mut done = BTreeSet::new();
    let mut order = Vec::with_capacity(apps.len());
    for (root, _) in apps {
        // An explicit stack: a chain of 100,000 apps must not exhaust the thread's.
        let mut path: Vec<(&'a str, usize)> = Vec::new();
        let mut on_path = BTreeSet::new();
        if done.insert(*root) {
            path.push((root, 0));
            on_path.insert(*root);
        }
        while let Some((name, next)) = path.last_mut() {
            let name = *name;
            let need = by_name.get(name).and_then(|needs| needs.get(*next)).copied();
            *next += 1;
            match need {
                Some(need) if on_path.contains(need) => {
                    let start = path.iter().position(|(on, _)| *on == need).unwrap_or(0);
                    let mut names: Vec<String> = path[start..].iter().map(|(on, _)| (*on).to_owned()).collect();
                    names.push(need.to_owned());
                    return Err(Cycle(names));
                }
                Some(need) => {
                    if let Some((known, _)) = by_name.get_key_value(need)
                        && done.insert(known)
                    {
                        on_path.insert(known);
                        path.push((known, 0));
                    }
                }
                None => {
                    order.push(name);
                    on_path.remove(name);
                    path.pop();
                }
            }
        }
    }
    Ok(order)
}

/// The circles, each without the link that closes one before it: with all of these links gone there is none left.
/// Nobody reads very many of them.
#[must_use]
pub fn circles<'a>(mut apps: Vec<(&'a str, Vec<&'a str>)>) -> Vec<Cycle> {
    const CIRCLES_MAX: usize = 20;
    let mut found = Vec::new();
    while found.len() < CIRCLES_MAX
        && let Err(cycle) = dependency_order(&apps)
    {
        if let [.., from, to] = cycle.0.as_slice() {
            let closing = apps.iter_mut().filter(|(name, _)| name == from);
            closing.for_each(|(_, needs)| needs.retain(|need| need != to));
        }
        found.push(cycle);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_circle_is_named() {
        let apps = [("s", vec!["s"]), ("a", vec!["b"]), ("b", vec!["a", "c"]), ("c", vec!["a"]), ("x", vec!["a"])];
        let named: Vec<String> = circles(apps.to_vec()).iter().map(ToString::to_string).collect();
        assert_eq!(named, ["s -> s", "a -> b -> a", "a -> b -> c -> a"]);
        assert_eq!(circles(vec![("a", vec!["b"]), ("b", vec![])]), []);
    }

    #[test]
    fn dependencies_come_first_and_the_rest_keeps_its_order() {
        let apps = [
            ("web", vec!["api", "cache"]),
            ("api", vec!["db"]),
            ("db", vec![]),
            ("cache", vec![]),
            ("x", vec!["gone"]),
        ];
        assert_eq!(dependency_order(&apps), Ok(vec!["db", "api", "cache", "web", "x"]));
    }

    #[test]
    fn a_circle_is_named_from_its_start() {
        let apps = [("z", vec!["a"]), ("a", vec!["b"]), ("b", vec!["a"])];
        assert_eq!(dependency_order(&apps).unwrap_err().to_string(), "a -> b -> a");
        assert_eq!(dependency_order(&[("a", vec!["a"])]).unwrap_err().to_string(), "a -> a");
    }

    #[test]
    fn a_chain_of_100_000_needs_no_stack() {
        let names: Vec<String> = (0..100_000).map(|i| format!("a{i:06}")).collect();
        let apps: Vec<(&str, Vec<&str>)> = (0..names.len())
            .map(|i| (names[i].as_str(), names.get(i + 1).map(String::as_str).into_iter().collect()))
            .collect();
        assert_eq!(dependency_order(&apps).unwrap()[0], "a099999");
    }
}
