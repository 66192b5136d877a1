/// Bytes.
const WRITTEN_MAX: usize = 200;

/// The candidate that was most likely meant, or none when nothing is near.
///
/// A distance as long as what was written says nothing: no single letter is near another.
///
/// Case, `_` and `-` do not count, so `maxMemoryRestart` finds `max_memory_restart`. Near is an optimal string
/// alignment distance of at most a third of the length, or a shared prefix of four letters that is the whole of
/// what was written (`max_memory` for `max_memory_restart`). Jaro-Winkler gives `evn` and `env` 0.56: unusable.
pub fn closest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing takes the product of both lengths, and nobody types so long a name.
    if written.len() > WRITTEN_MAX {
        return None;
    }
    let plain =
        |text: &str| text.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect::<String>();
    let wanted = plain(written);
    let length = wanted.chars().count();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = plain(candidate);
            // What differs so much in length is not near, and need not be compared.
            let far = other.len().abs_diff(wanted.len()) > wanted.len() / 3 + 4;
            let distance = if far { usize::MAX } else { strsim::osa_distance(&wanted, &other) };
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
