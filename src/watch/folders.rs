use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use notify::event::AccessKind;
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Message;

/// The folders that the system tells about, each once, whoever wants it and by whatever name.
///
/// Each is watched by itself: notify's recursive watches would put one on everything below `node_modules`.
#[derive(Debug)]
pub(super) struct Folders {
    /// None until something is watched, and where the system has none to give.
    watcher: Option<RecommendedWatcher>,
    sink: Sender<Message>,
    /// By the real path, for a folder has one watch by any name: who wants it, and as what.
    wanted: HashMap<PathBuf, BTreeSet<(String, PathBuf)>>,
    /// What each app wants: the name, and the real path that it had.
    by_app: BTreeMap<String, BTreeMap<PathBuf, PathBuf>>,
}

/// Why a folder is not watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The system's bound of watches is reached.
    Full,
    /// It has no more watchers to give, or something else is wrong.
    Other(String),
}

impl Folders {
    pub(super) fn new(sink: Sender<Message>) -> Self {
        Self { watcher: None, sink, wanted: HashMap::new(), by_app: BTreeMap::new() }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.wanted.len()
    }

    /// Whether an app has this folder, by its own name for it.
    pub(super) fn has(&self, app: &str, path: &Path) -> bool {
        self.by_app.get(app).is_some_and(|folders| folders.contains_key(path))
    }

    /// Who wants a folder, and as what.
    pub(super) fn owners(&self, real: &Path) -> Vec<(String, PathBuf)> {
        self.wanted.get(real).map(|owners| owners.iter().cloned().collect()).unwrap_or_default()
    }

    /// One that is gone by now is no failure.
    pub(super) fn add(&mut self, app: &str, path: &Path, real: &Path) -> Result<(), Refused> {
        if let Some(before) = self.by_app.get(app).and_then(|folders| folders.get(path)) {
            if before == real {
                return Ok(());
            }
            self.remove(app, path);
        }
        if !self.wanted.contains_key(real) && !self.watch(real)? {
            return Ok(());
        }
        self.wanted.entry(real.to_owned()).or_default().insert((app.to_owned(), path.to_owned()));
        self.by_app.entry(app.to_owned()).or_default().insert(path.to_owned(), real.to_owned());
        Ok(())
    }

    /// Forgets a folder and all below it, by the app's name for it.
    pub(super) fn remove_below(&mut self, app: &str, path: &Path) {
        let below = self.by_app.get(app).into_iter().flat_map(|folders| folders.keys());
        let below: Vec<PathBuf> = below.filter(|folder| folder.starts_with(path)).cloned().collect();
        for folder in below {
            self.remove(app, &folder);
        }
    }

    /// Keeps what is in the set and nothing else.
    pub(super) fn retain(&mut self, app: &str, keep: &BTreeSet<PathBuf>) {
        let known = self.by_app.get(app).into_iter().flat_map(|folders| folders.keys());
        let gone: Vec<PathBuf> = known.filter(|folder| !keep.contains(*folder)).cloned().collect();
        for folder in gone {
            self.remove(app, &folder);
        }
    }

    pub(super) fn forget(&mut self, app: &str) {
        self.retain(app, &BTreeSet::new());
        self.by_app.remove(app);
    }

    /// The system no longer watches it: it is gone, or has another name. Whoever wants it may add it again.
    pub(super) fn lost(&mut self, real: &Path) {
        for (app, path) in self.owners(real) {
            self.remove(&app, &path);
        }
    }

    fn remove(&mut self, app: &str, path: &Path) {
        let Some(real) = self.by_app.get_mut(app).and_then(|folders| folders.remove(path)) else { return };
        let Some(owners) = self.wanted.get_mut(&real) else { return };
        owners.remove(&(app.to_owned(), path.to_owned()));
        if owners.is_empty() {
            self.wanted.remove(&real);
            // Gone already where the folder is.
            let _ = self.watcher.as_mut().map(|watcher| watcher.unwatch(&real));
        }
    }

    /// False where there is nothing to watch.
    fn watch(&mut self, real: &Path) -> Result<bool, Refused> {
        if self.watcher.is_none() {
            let sink = self.sink.clone();
            let hear = move |event: notify::Result<Event>| {
                // Files that are only read are no news, and there are many.
                let is_news = event.as_ref().map_or(true, |event| match event.kind {
                    EventKind::Access(kind) => matches!(kind, AccessKind::Close(notify::event::AccessMode::Write)),
                    _ => true,
                });
                if is_news {
                    let _ = sink.send(Message::Event(event));
                }
            };
            let watcher = notify::recommended_watcher(hear).map_err(|error| Refused::Other(words(&error)))?;
            self.watcher = Some(watcher);
        }
        let Some(watcher) = &mut self.watcher else { return Ok(false) };
        match watcher.watch(real, RecursiveMode::NonRecursive) {
            Ok(()) => Ok(true),
            Err(error) => match error.kind {
                ErrorKind::MaxFilesWatch => Err(Refused::Full),
                ErrorKind::PathNotFound => Ok(false),
                _ if !real.exists() => Ok(false),
                _ => Err(Refused::Other(words(&error))),
            },
        }
    }
}

/// The system's words where they are the system's.
fn words(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::Io(error) => crate::platform::reason(error),
        _ => error.to_string(),
    }
}
