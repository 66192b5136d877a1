use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use super::own_files::OwnFiles;
use super::scope::Scope;

/// What a walk meets, by the name under which the app knows it.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// Before it is looked into. `real` is the folder itself, where links lead to it.
    Folder {
        path: &'a Path,
        real: &'a Path,
    },
    File {
        path: &'a Path,
    },
    Unreadable {
        path: &'a Path,
        error: io::Error,
    },
}

/// Everything that counts for a scope at and below a folder, or one file. What is ignored is not looked into, however
/// much there is in it. A root is looked into even where it is a link; below it links are not followed unless asked.
pub(super) fn walk(scope: &Scope, own: &OwnFiles, start: &Path, tell: &mut dyn FnMut(&Found<'_>)) {
    let Ok(metadata) = start.metadata() else { return };
    if !metadata.is_dir() {
        if scope.counts(start) && !own.contains(start) {
            tell(&Found::File { path: start });
        }
        return;
    }
    let Ok(real) = start.canonicalize() else { return };
    let mut open = vec![(start.to_owned(), real)];
    let mut seen = HashSet::new();
    while let Some((path, real)) = open.pop() {
        // Only links can make it meet the same folder again.
        if scope.options.follow_symlinks && !seen.insert(real.clone()) {
            continue;
        }
        tell(&Found::Folder { path: &path, real: &real });
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                tell(&Found::Unreadable { path: &path, error });
                continue;
            }
        };
        for entry in entries.flatten() {
            let (inner, real) = (path.join(entry.file_name()), real.join(entry.file_name()));
            match folder_behind(scope, &entry, &inner, real) {
                Some(real) if !scope.ignores(&inner, true) && scope.may_hold(&inner) => open.push((inner, real)),
                None if scope.counts(&inner) && !own.contains(&inner) => tell(&Found::File { path: &inner }),
                Some(_) | None => {}
            }
        }
    }
}

/// The real folder, where an entry is one that is looked into.
fn folder_behind(scope: &Scope, entry: &std::fs::DirEntry, path: &Path, real: PathBuf) -> Option<PathBuf> {
    let kind = entry.file_type().ok()?;
    if kind.is_symlink() && scope.options.follow_symlinks {
        return path.canonicalize().ok().filter(|real| real.is_dir());
    }
    kind.is_dir().then_some(real)
}
