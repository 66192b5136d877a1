use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Reading;
use super::js::Engine;

/// Everything a config depends on besides its own bytes, taken once, at the edge.
#[derive(Clone, Debug)]
pub struct World {
    /// The invoking shell's environment.
    pub env: BTreeMap<String, String>,
    /// Where the command was run.
    pub cwd: PathBuf,
    /// What `~` means.
    pub home: Option<PathBuf>,
    /// CPUs that this process may use: what `instances: "max"` means.
    pub cpus: u32,
    /// Reads another version of the files as if it stood here (`diff --base`).
    pub mapping: Option<Mapping>,
    /// What runs config programs.
    pub engine: Engine,
    /// What reading may do, and what it did.
    pub reading: Reading,
}

/// Files below (or equal to) a `seen` are read from its `real`. Everything that is shown or compared says `seen`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// As the user names the files.
    pub named: Place,
    /// The same without symlinks, as Node names modules (`__dirname`).
    pub canonical: Place,
    /// The commit that the files are of, where git has them from.
    pub revision: Option<String>,
    /// What git ignores, by where it would be among the files: no revision has it, so both versions have it alike.
    pub ignored: BTreeSet<PathBuf>,
    /// What messages call the file, where that is not the name that it stands for.
    pub shown: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub seen: PathBuf,
    pub real: PathBuf,
}

impl Mapping {
    /// For a place whose name without symlinks stands for the same files.
    #[must_use]
    pub fn new(seen: PathBuf, real: PathBuf) -> Self {
        let canonical = Place { seen: canonical(&seen), real: canonical(&real) };
        Self { named: Place { seen, real }, canonical, revision: None, ignored: BTreeSet::new(), shown: None }
    }

    /// Where the bytes of a path are; none where it is not another version's.
    #[must_use]
    pub fn real(&self, path: &Path) -> Option<PathBuf> {
        let real = self.named.real(path).or_else(|| self.canonical.real(path))?;
        let is_ignored = !self.ignored.is_empty() && real.ancestors().any(|above| self.ignored.contains(above));
        Some(if is_ignored && !real.exists() { path.to_owned() } else { real })
    }
}

impl Place {
    fn real(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.seen).ok().map(|rest| below(&self.real, rest))
    }

    /// The name of what was found below `real`.
    pub(super) fn seen(&self, found: &Path) -> Option<PathBuf> {
        found.strip_prefix(&self.real).ok().map(|rest| below(&self.seen, rest))
    }
}

/// Joined without the slash that an empty rest would add.
fn below(folder: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { folder.to_owned() } else { folder.join(rest) }
}

/// Without symlinks, as far as the path is there.
fn canonical(path: &Path) -> PathBuf {
    let parent = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(parent).unwrap_or_else(|| path.to_owned())
}

impl World {
    /// Where the bytes of a path are.
    #[must_use]
    pub fn real(&self, path: &Path) -> PathBuf {
        self.mapping.as_ref().and_then(|mapping| mapping.real(path)).unwrap_or_else(|| path.to_owned())
    }

    /// A path as the command line has it, made absolute; the shell has already expanded `~`.
    #[must_use]
    pub fn resolve_plain(&self, path: &Path) -> PathBuf {
        normalise(&self.cwd.join(path))
    }

    /// A path as a config file writes it: `~` is the home folder, relative ones are below `base`.
    #[must_use]
    pub fn resolve(&self, base: &Path, written: &str) -> PathBuf {
        let path = match (written.strip_prefix('~'), &self.home) {
            (Some(""), Some(home)) => home.clone(),
            (Some(rest), Some(home)) if rest.starts_with('/') => home.join(&rest[1..]),
            _ => base.join(written),
        };
        normalise(&path)
    }
}

/// Takes out `.` and `..` by their names, as Node's `path.resolve` does: symlinks are kept as the user named them.
fn normalise(path: &Path) -> PathBuf {
    use std::path::Component;
    path.components().fold(PathBuf::new(), |mut out, part| {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        World {
            env: BTreeMap::new(),
            cwd: "/work".into(),
            home: Some("/home/app".into()),
            cpus: 2,
            mapping: Some(Mapping::new("/srv/site".into(), "/tmp/old".into())),
            engine: Engine::Embedded,
            reading: Reading::default(),
        }
    }

    #[test]
    fn paths_resolve_as_written() {
        let table = [
            ("a.js", "/srv/a.js"),
            ("./lib/../a.js", "/srv/a.js"),
            ("../x", "/x"),
            ("/abs", "/abs"),
            ("~", "/home/app"),
            ("~/logs", "/home/app/logs"),
            ("~other", "/srv/~other"),
        ];
        for (written, want) in table {
            assert_eq!(world().resolve(Path::new("/srv"), written), Path::new(want), "{written}");
        }
    }

    #[test]
    fn mapped_files_are_read_elsewhere() {
        assert_eq!(world().real(Path::new("/srv/site/a.js")), Path::new("/tmp/old/a.js"));
        assert_eq!(world().real(Path::new("/srv/site")), Path::new("/tmp/old"));
        assert_eq!(world().real(Path::new("/srv/sites")), Path::new("/srv/sites"));
    }
}
