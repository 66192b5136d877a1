use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
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

    /// What a command is told, where its paths lead to this version's files.
    #[must_use]
    pub fn told(&self, text: &str) -> String {
        [&self.named, &self.canonical].iter().fold(text.to_owned(), |text, place| {
            let told = renamed(text.as_bytes(), &place.seen, &place.real, |path| {
                self.real(path).is_some_and(|real| real != path)
            });
            String::from_utf8_lossy(&told).into_owned()
        })
    }

    /// What a command that knows nothing of the mapping printed, in the names that everything else has.
    #[must_use]
    pub fn printed(&self, text: &[u8]) -> Vec<u8> {
        let canonical = renamed(text, &self.canonical.real, &self.canonical.seen, |_| true);
        renamed(&canonical, &self.named.real, &self.named.seen, |_| true)
    }
}

/// The text with one folder's name for another's, wherever a path below it that is to be changed begins.
fn renamed(text: &[u8], from: &Path, to: &Path, is_meant: impl Fn(&Path) -> bool) -> Vec<u8> {
    let (from, to) = (from.as_os_str().as_bytes(), to.as_os_str().as_bytes());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(&first) = rest.first() {
        let before = out.last().copied();
        let is_start = before.is_none_or(|byte| !in_name(byte) && byte != b'/');
        match rest.strip_prefix(from) {
            Some(after) if is_start && after.first().is_none_or(|byte| !in_name(*byte)) && from.len() > 1 => {
                let length = after.iter().take_while(|byte| in_name(**byte) || **byte == b'/').count();
                let path = &rest[..from.len() + length];
                out.extend_from_slice(if is_meant(Path::new(OsStr::from_bytes(path))) { to } else { from });
                rest = after;
            }
            _ => {
                out.push(first);
                rest = &rest[1..];
            }
        }
    }
    out
}

/// What may stand in a name that nobody had to quote.
fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-+~".contains(&byte) || !byte.is_ascii()
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

    #[test]
    fn commands_are_told_where_the_files_are_and_what_they_print_is_named_as_usual() {
        let mut mapping = world().mapping.unwrap();
        mapping.ignored.insert("/tmp/old/.env".into());
        let table = [
            ("/srv/site", "/tmp/old"),
            ("cat /srv/site/a.js /srv/sites/b", "cat /tmp/old/a.js /srv/sites/b"),
            ("cd '/srv/site' && git -C \"/srv/site/x\" log", "cd '/tmp/old' && git -C \"/tmp/old/x\" log"),
            ("--work-tree=/srv/site:/srv/site", "--work-tree=/tmp/old:/tmp/old"),
            ("old/srv/site/a /srv", "old/srv/site/a /srv"),
            ("cat /srv/site/.env", "cat /srv/site/.env"),
        ];
        for (said, want) in table {
            assert_eq!(mapping.told(said), want, "{said}");
            assert_eq!(String::from_utf8(mapping.printed(want.as_bytes())).unwrap(), said, "{want}");
        }
        assert_eq!(mapping.printed(b"/tmp/old\n\xff/tmp/older"), b"/srv/site\n\xff/tmp/older");
    }
}
