use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use crate::config::{Hermetic, Journal, Mapping, bytes};

/// The file system as a config sees it: names below `seen` are read below `real`.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    mapping: Option<Mapping>,
    /// What is read to be run is written down here.
    journal: Journal,
    bounds: Option<Rc<Bounds>>,
}

/// What a config that may see nothing else is made of.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) hermetic: Hermetic,
    /// The entry's, without symlinks: the modules in it and below are the config itself.
    folder: PathBuf,
    /// What was last kept from the resolver.
    denied: RefCell<Option<PathBuf>>,
}

impl Bounds {
    /// `entry` has no symlinks.
    pub(super) fn new(entry: &Path, hermetic: Hermetic) -> Self {
        let folder = entry.parent().unwrap_or(Path::new("/")).to_owned();
        Self { hermetic, folder, denied: RefCell::default() }
    }

    /// Of a path without symlinks.
    pub(super) fn is_own(&self, path: &Path) -> bool {
        path.starts_with(&self.folder)
    }

    /// Whether a file may be run, or required as JSON.
    pub(super) fn may_be_run(&self, path: &Path) -> bool {
        self.is_own(path) || self.hermetic.allows_path(path)
    }

    /// Node's rules ask the manifests above a module what it is.
    fn is_manifest(&self, path: &Path) -> bool {
        path.ends_with("package.json") && path.parent().is_some_and(|above| self.folder.starts_with(above))
    }
}

impl Files {
    pub(super) fn new(mapping: Option<Mapping>) -> Self {
        Self { mapping, ..Self::default() }
    }

    pub(super) fn recorded(self, journal: Journal) -> Self {
        Self { journal, ..self }
    }

    /// Nothing else is read to be run.
    pub(super) fn within(self, bounds: Option<Rc<Bounds>>) -> Self {
        Self { bounds, ..self }
    }

    /// What was last kept from the resolver.
    pub(super) fn take_denied(&self) -> Option<PathBuf> {
        self.bounds.as_ref()?.denied.take()
    }

    /// Where the bytes of a path are.
    pub(super) fn real(&self, path: &Path) -> PathBuf {
        self.mapping.as_ref().and_then(|mapping| mapping.real(path)).unwrap_or_else(|| path.to_owned())
    }

    /// Whether the path is another version's, which nothing may be written into.
    pub(super) fn is_mapped(&self, path: &Path) -> bool {
        self.mapping.as_ref().is_some_and(|mapping| mapping.real(path).is_some())
    }

    /// The path without symlinks, as Node names modules: of a mapped one, the name that the work tree's file has.
    pub(super) fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        let found = fs::canonicalize(self.real(path))?;
        Ok(self.mapping.as_ref().and_then(|mapping| mapping.canonical.seen(&found)).unwrap_or(found))
    }

    /// What a command is told, and what it prints: it knows nothing of the mapping.
    pub(super) fn told(&self, text: &str) -> String {
        self.mapping.as_ref().map_or_else(|| text.to_owned(), |mapping| mapping.told(text))
    }

    pub(super) fn printed(&self, text: Vec<u8>) -> Vec<u8> {
        match &self.mapping {
            Some(mapping) => mapping.printed(&text),
            None => text,
        }
    }

    /// The same of a path that may not be there: its end keeps its name.
    pub(super) fn canonical_as_far(&self, path: &Path) -> PathBuf {
        let known = path.ancestors().find_map(|above| {
            let rest = path.strip_prefix(above).ok()?;
            Some(self.canonical(above).ok()?.join(rest))
        });
        // A joined empty rest would end the path with a slash.
        normalise(&known.unwrap_or_else(|| path.to_owned()))
    }

    pub(super) fn is_file(&self, path: &Path) -> bool {
        self.real(path).is_file()
    }

    pub(super) fn is_dir(&self, path: &Path) -> bool {
        self.real(path).is_dir()
    }

    /// The bytes of something to run. What is too large for the engine is not handed to it.
    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let real = self.real(path);
        let size = fs::metadata(&real)?.len();
        self.permitted(path)?;
        if size > bytes::LIMIT {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, bytes::too_large(path, Some(size))));
        }
        let bytes = fs::read(real)?;
        self.journal.file(path, &bytes);
        Ok(bytes)
    }

    fn permitted(&self, path: &Path) -> io::Result<()> {
        let Some(bounds) = &self.bounds else { return Ok(()) };
        let plain = self.canonical_as_far(path);
        if bounds.may_be_run(&plain) || bounds.is_manifest(&plain) {
            return Ok(());
        }
        bounds.denied.replace(Some(plain));
        Err(io::ErrorKind::PermissionDenied.into())
    }

    /// The text as Node decodes it: bytes that are not UTF-8 become U+FFFD, a byte order mark is dropped.
    pub(super) fn read_text(&self, path: &Path) -> io::Result<String> {
        let bytes = self.read(path)?;
        let text =
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        })
    }
}

/// Takes `.` and `..` out by their names, as Node's `path.resolve` does.
pub(super) fn normalise(path: &Path) -> PathBuf {
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
