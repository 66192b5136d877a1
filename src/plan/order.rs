use std::collections::{BTreeMap, BTreeSet};

/// Names so ordered that each comes after those it waits for; where that leaves a choice, by name.
///
/// Total: names that are no keys are ignored, and a circle (the apps that run may have come from several versions
/// of a file) is cut at its smallest name.
pub(super) fn ordered<'a>(waits_for: &BTreeMap<&'a str, Vec<&'a str>>) -> Vec<&'a str> {
    let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
    let mut followers: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for (name, needs) in waits_for {
        let needs: BTreeSet<&str> = needs.iter().copied().filter(|need| waits_for.contains_key(need)).collect();
        for need in &needs {
            followers.entry(need).or_default().push(name);
        }
        missing.insert(name, needs.len());
    }
    let mut waiting: BTreeSet<&'a str> = waits_for.keys().copied().collect();
    let mut ready: BTreeSet<&'a str> = waiting.iter().copied().filter(|name| missing[name] == 0).collect();
    let mut order = Vec::with_capacity(waits_for.len());
    while let Some(name) = ready.pop_first().or_else(|| waiting.first().copied()) {
        waiting.remove(name);
        order.push(name);
        for follower in followers.get(name).into_iter().flatten() {
            if let Some(count) = missing.get_mut(follower) {
                *count -= 1;
                if *count == 0 && waiting.contains(follower) {
                    ready.insert(follower);
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_first_then_names() {
        let table: [(&[(&str, &[&str])], &[&str]); 4] = [
            (&[], &[]),
            (&[("b", &[]), ("a", &[]), ("c", &["gone"])], &["a", "b", "c"]),
            (&[("a", &["z", "z"]), ("m", &[]), ("z", &[])], &["m", "z", "a"]),
            (&[("a", &["b"]), ("b", &["a"]), ("c", &["b"]), ("d", &["d"])], &["a", "b", "c", "d"]),
        ];
        for (apps, want) in table {
            let apps = apps.iter().map(|(name, needs)| (*name, needs.to_vec())).collect();
            assert_eq!(ordered(&apps), want);
        }
    }
}
