/// The candidate that was most likely meant, or none when nothing is near.
///
/// A distance as long as what was written says nothing: no single letter is near another.
///
/// Case, `_` and `-` do not count, so `maxMemoryRestart` finds `max_memory_restart`. Near is an optimal string
/// alignment distance of at most a third of the length, or a shared prefix of four letters that is the whole of
/// what was written (`max_memory` for `max_memory_restart`). Jaro-Winkler gives `evn` and `env` 0.56: unusable.
pub fn closest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain =
        |text: &str| text.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect::<String>();
    let wanted = plain(written);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = plain(candidate);
            let distance = strsim::osa_distance(&wanted, &other);
            let length = wanted.chars().count();
            if distance <= (length / 3).max(1) && distance < length {
                Some((distance, candidate))
            } else if wanted.len() >= 4 && other.starts_with(&wanted) {
                Some((100, candidate))
            } else {
                None
            }
        })
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let options = ["instances", "script", "max_memory_restart", "max_restarts", "env", "exec_mode", "interpreter"];
        let table = [
            ("instnaces", Some("instances")),
            ("scrpt", Some("script")),
            ("maxMemoryRestart", Some("max_memory_restart")),
            ("max_memory", Some("max_memory_restart")),
            ("evn", Some("env")),
            ("exec_mod", Some("exec_mode")),
            ("intepreter", Some("interpreter")),
            ("completely", None),
            ("x", None),
            ("", None),
        ];
        for (written, want) in table {
            assert_eq!(closest(written, options), want, "{written:?}");
        }
        assert_eq!(closest("b", ["a", "c"]), None);
        assert_eq!(closest("A", ["a", "c"]), Some("a"));
    }
}
