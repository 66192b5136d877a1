use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Reading;
use super::js::Engine;
use crate::base::Cpus;

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
    pub cpus: Cpus,
    /// Reads another version of the files as if it stood here (`diff --base`).
    pub mapping: Option<Mapping>,
    /// What runs config programs.
    pub engine: Engine,
    /// What reading may do, and what it did.
    pub reading: Reading,
}

#[cfg(test)]
impl World {
    pub(crate) fn for_test(cwd: &std::path::Path) -> Self {
        Self {
            env: BTreeMap::new(),
            cwd: cwd.to_owned(),
            home: None,
            cpus: crate::base::Cpus::of_machine(1),
            mapping: None,
            engine: Engine::Embedded,
            reading: Reading::default(),
        }
    }
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

    /// What a command is told: the names of files and folders that this version has lead to them. One file that
    /// stands for another has no folder of its own, and goes by the name that it stands for.
    #[must_use]
    pub fn told(&self, text: &str) -> String {
        if self.revision.is_none() {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let is_start =
                !out.ends_with(|c: char| c.is_alphanumeric() || "._-+~/".contains(c)) || out.ends_with("://");
            if let Some((seen, real)) = is_start.then(|| self.moved(rest)).flatten() {
                out.push_str(&real);
                rest = &rest[seen..];
            } else {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        out
    }

    /// The work tree's name, where a text begins with a path in it that this version has: its length, and the other name.
    fn moved(&self, text: &str) -> Option<(usize, String)> {
        let found = [&self.named, &self.canonical].into_iter().find_map(|place| {
            let seen = place.seen.to_str().filter(|seen| seen.len() > 1)?;
            let rest = text.strip_prefix(seen)?;
            (!rest.starts_with(in_name)).then_some((seen.len(), place))
        });
        let (length, place) = found?;
        let end = text[length..].find(|c: char| !in_name(c) && c != '/').map_or(text.len(), |end| length + end);
        let path = Path::new(text[..end].trim_end_matches('.'));
        let is_there = self.real(path).is_some_and(|real| real != path && real.exists());
        is_there.then(|| (length, place.real.to_string_lossy().into_owned()))
    }

    /// What a command that knows nothing of the mapping printed, in the names that everything else has. The folder's name
    /// is one that nothing else has.
    #[must_use]
    pub fn printed(&self, text: &[u8]) -> Vec<u8> {
        if self.revision.is_none() {
            return text.to_owned();
        }
        replaced(text, self.canonical.real.as_os_str().as_bytes(), self.canonical.seen.as_os_str().as_bytes())
    }
}

/// The text with one name for another, wherever it stands.
pub(super) fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(&first) = rest.first() {
        if let Some(after) = rest.strip_prefix(from).filter(|_| !from.is_empty()) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(first);
            rest = &rest[1..];
        }
    }
    out
}

/// What goes on in a name that nobody had to quote.
fn in_name(c: char) -> bool {
    c.is_alphanumeric() || "._-+@~%#".contains(c)
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
pub(super) fn normalise(path: &Path) -> PathBuf {
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
            cpus: Cpus::of_machine(2),
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

    #[test]
    fn commands_are_told_where_the_files_are_and_what_they_print_is_named_as_usual() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().canonicalize().unwrap();
        for file in ["a.js", "x/y"] {
            std::fs::create_dir_all(old.join(file).parent().unwrap()).unwrap();
            std::fs::write(old.join(file), "").unwrap();
        }
        let mut mapping = Mapping::new("/srv/site".into(), old.clone());
        mapping.revision = Some("4f2a".to_owned());
        mapping.ignored.insert(old.join(".env"));
        let old = old.to_str().unwrap();
        let table = [
            ("/srv/site", "OLD"),
            ("cat /srv/site/a.js /srv/sites/a.js", "cat OLD/a.js /srv/sites/a.js"),
            ("cd '/srv/site' && git -C \"/srv/site/x\" log", "cd 'OLD' && git -C \"OLD/x\" log"),
            ("--work-tree=/srv/site:/srv/site", "--work-tree=OLD:OLD"),
            ("old/srv/site/a.js /srv", "old/srv/site/a.js /srv"),
            // Ignored, not in this version, and other folders' names.
            ("cat /srv/site/.env /srv/site/new", "cat /srv/site/.env /srv/site/new"),
            ("ls /srv/site@tmp /srv/site~ /srv/site@2/a.js", "ls /srv/site@tmp /srv/site~ /srv/site@2/a.js"),
            ("see file:///srv/site/a.js.", "see file://OLD/a.js."),
        ];
        for (said, want) in table {
            let want = want.replace("OLD", old);
            assert_eq!(mapping.told(said), want, "{said}");
            assert_eq!(String::from_utf8(mapping.printed(want.as_bytes())).unwrap(), said, "{want}");
        }
        assert_eq!(mapping.printed(&[old.as_bytes(), b"\n\xff"].concat()), b"/srv/site\n\xff");
        // A base that is one file has no folder of its own.
        let mapping = Mapping { revision: None, ..mapping };
        assert_eq!(mapping.told("cat /srv/site/a.js"), "cat /srv/site/a.js");
    }
}
