use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Endings that rotation and writing anew put behind a file's name.
const ENDINGS: [&str; 10] = ["gz", "zst", "bz2", "xz", "tmp", "new", "old", "part", "lock", "bak"];

/// Files that change because apps run: their logs and pid files, those of other instances beside them (`x-1.log`), and
/// what rotation makes of them (`x.log.1.gz`, `x__2026-01-31.log`).
#[derive(Debug, Default)]
pub(super) struct OwnFiles {
    /// By folder: what a name begins with, and its ending with the dot.
    names: HashMap<PathBuf, Vec<(String, String)>>,
}

impl OwnFiles {
    pub(super) fn new(files: &BTreeSet<String>) -> Self {
        let mut names: HashMap<PathBuf, Vec<(String, String)>> = HashMap::new();
        for file in files {
            let path = Path::new(file);
            let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
                continue;
            };
            let split = match name.rfind('.') {
                Some(dot) if dot > 0 => name.split_at(dot),
                _ => (name, ""),
            };
            let split = (split.0.to_owned(), split.1.to_owned());
            // Where the folder is reached through a link, changes come under its other name.
            let real = folder.canonicalize().ok().filter(|real| real != folder);
            for folder in std::iter::once(folder.to_owned()).chain(real) {
                let known = names.entry(folder).or_default();
                if !known.contains(&split) {
                    known.push(split.clone());
                }
            }
        }
        Self { names }
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        let Some(known) = path.parent().and_then(|folder| self.names.get(folder)) else { return false };
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
        known.iter().any(|(stem, ending)| name.strip_prefix(stem.as_str()).is_some_and(|rest| is_sibling(rest, ending)))
    }
}

/// What follows the stem: numbers or a time, the ending, and what rotation puts behind it.
fn is_sibling(rest: &str, ending: &str) -> bool {
    let is_time = |text: &str| text.chars().all(|c| c.is_ascii_digit() || ".-_:T+Z".contains(c));
    let is_suffix = |text: &str| {
        text.is_empty()
            || text.starts_with(['.', '-', '_', '~'])
                && text.split(['.', '-', '_', '~']).all(|part| is_time(part) || ENDINGS.contains(&part))
    };
    if ending.is_empty() {
        return is_suffix(rest);
    }
    rest.match_indices(ending).any(|(at, _)| is_time(&rest[..at]) && is_suffix(&rest[at + ending.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_and_rotated_files_are_own_and_code_is_not() {
        let files = ["/a/logs/app.log", "/a/app.pid", "/a/out", "/a/.hidden"].map(str::to_owned);
        let own = OwnFiles::new(&BTreeSet::from(files));
        let table = [
            ("/a/logs/app.log", true),
            ("/a/logs/app-1.log", true),
            ("/a/logs/app-12.log.3.gz", true),
            ("/a/logs/app__2026-01-31_00-00-00.log", true),
            ("/a/logs/app.log-20260131", true),
            ("/a/logs/app.log.2026-01-31T10:00:00Z.gz", true),
            ("/a/logs/app.1.log", true),
            ("/a/logs/app.js", false),
            ("/a/logs/app-utils.log", false),
            ("/a/logs/application.log", false),
            ("/a/logs/app.logic.js", false),
            ("/a/app.log", false),
            ("/a/app.pid.new", true),
            ("/a/app-2.pid", true),
            ("/a/out", true),
            ("/a/out-1", true),
            ("/a/out.1.gz", true),
            ("/a/out.js", false),
            ("/a/output", false),
            ("/a/.hidden", true),
            ("/a/.hidden-1", true),
        ];
        for (path, want) in table {
            assert_eq!(own.contains(Path::new(path)), want, "{path}");
        }
    }
}
