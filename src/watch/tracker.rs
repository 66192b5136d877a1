use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use notify::event::{AccessKind, CreateKind, ModifyKind, RemoveKind, RenameMode};
use notify::{Event, EventKind};
use tokio::sync::mpsc::UnboundedSender;

use super::folders::{Folders, Refused};
use super::own_files::OwnFiles;
use super::polling::Polling;
use super::scope::{Scope, absolute};
use super::walk::{Found, walk};
use super::{Message, Report};
use crate::platform::reason;
use crate::spec::AppSpec;

/// As many paths as one report names.
const PATHS_MAX: usize = 64;
/// After so many events what has come so far is told.
const EVENTS_PER_TURN: usize = 4_096;
/// More files than this that were written to and not closed yet are not remembered.
const WRITTEN_MAX: usize = 1_024;
/// As many links in a row as the system follows (path_resolution(7)).
const HOPS_MAX: usize = 40;

/// The thread's state: the apps, their folders, and what is to be told of them.
#[derive(Debug)]
pub(super) struct Tracker {
    home: PathBuf,
    sink: UnboundedSender<Report>,
    folders: Folders,
    apps: BTreeMap<String, Tracked>,
    own_files: Arc<BTreeSet<String>>,
    own: OwnFiles,
    /// Written to and not closed yet: one that is only closed has not changed.
    written: HashSet<PathBuf>,
    /// Apps whose roots have to be looked up anew, and what has come or gone.
    astray: BTreeMap<String, BTreeSet<PathBuf>>,
}

#[derive(Debug)]
struct Tracked {
    spec: Arc<AppSpec>,
    scope: Scope,
    polling: Option<Polling>,
    /// Where roots lead that are symbolic links: each path on the way, and the root.
    hops: Vec<(PathBuf, PathBuf)>,
    news: News,
    trouble: Option<String>,
}

/// What is to be told of one app.
#[derive(Debug, Default)]
struct News {
    paths: Vec<PathBuf>,
    count: usize,
    more: bool,
}

/// What kept folders from being watched, while they are walked through.
#[derive(Debug, Default)]
struct Missed {
    full: usize,
    other: Option<String>,
}

impl Tracker {
    pub(super) fn new(home: &Path, events: Sender<Message>, sink: UnboundedSender<Report>) -> Self {
        Self {
            home: home.to_owned(),
            sink,
            folders: Folders::new(events),
            apps: BTreeMap::new(),
            own_files: Arc::default(),
            own: OwnFiles::default(),
            written: HashSet::new(),
            astray: BTreeMap::new(),
        }
    }

    /// Until it is told to end.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let message = match self.next_look() {
                None => messages.recv().ok(),
                Some(at) => match messages.recv_timeout(at.saturating_duration_since(Instant::now())) {
                    Ok(message) => Some(message),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                },
            };
            if !self.turn(message, messages) {
                return;
            }
        }
    }

    /// When files are looked at that the system tells nothing about.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.apps.values().filter_map(|app| app.polling.as_ref()).map(|polling| polling.next).min()
    }

    /// What has come, and whatever else is there already. False at the end.
    pub(super) fn turn(&mut self, first: Option<Message>, messages: &Receiver<Message>) -> bool {
        let mut message = first;
        let mut handled = 0;
        while let Some(current) = message.take() {
            match current {
                Message::End => return false,
                Message::Set { apps, own_files } => self.set(apps, own_files),
                Message::Event(Ok(event)) => self.event(&event),
                // Whatever it was, something may have been missed.
                Message::Event(Err(_)) => self.missed_events(),
            }
            handled += 1;
            if handled < EVENTS_PER_TURN {
                message = messages.try_recv().ok();
            }
        }
        for (app, paths) in std::mem::take(&mut self.astray) {
            self.look_up(&app, &paths);
        }
        self.poll();
        self.tell();
        true
    }

    /// How many folders the system watches for it.
    #[cfg(test)]
    pub(super) fn watches(&self) -> usize {
        self.folders.count()
    }

    fn set(&mut self, apps: BTreeMap<String, Arc<AppSpec>>, own_files: Arc<BTreeSet<String>>) {
        if own_files != self.own_files {
            self.own = OwnFiles::new(&own_files);
            self.own_files = own_files;
        }
        let gone: Vec<String> = self.apps.keys().filter(|app| !apps.contains_key(*app)).cloned().collect();
        for app in gone {
            self.apps.remove(&app);
            self.folders.forget(&app);
        }
        for (app, spec) in apps {
            let same = |held: &Tracked| held.spec.watch == spec.watch && held.spec.cwd == spec.cwd;
            if self.apps.get(&app).is_some_and(same) {
                continue;
            }
            let scope = Scope::new(&spec, &self.home);
            let trouble = self.apps.remove(&app).and_then(|held| held.trouble);
            let polls = scope.options.polling;
            let polling = polls.then(|| Polling::new(&scope, &self.own, Instant::now()));
            self.apps.insert(
                app.clone(),
                Tracked { spec, scope, polling, hops: Vec::new(), news: News::default(), trouble },
            );
            if polls {
                self.folders.forget(&app);
                self.trouble(&app, Missed::default());
            } else {
                self.survey(&app);
            }
        }
    }

    /// Watches what is to be watched for an app, and nothing else. What counts among the files that are there.
    fn survey(&mut self, app: &str) -> Vec<PathBuf> {
        let Some(Tracked { scope, .. }) = self.apps.get(app) else { return Vec::new() };
        let (mut keep, mut files, mut missed) = (BTreeSet::new(), Vec::new(), Missed::default());
        let mut all_hops = Vec::new();
        for root in &scope.roots {
            let ways = || std::iter::once(root.base.clone()).chain(hops(&root.base));
            let missing =
                |keep: &BTreeSet<PathBuf>| ways().flat_map(|way| anchors(&way)).find(|anchor| !keep.contains(anchor));
            // What comes or goes between looking and watching would go unseen: look again.
            while let Some(anchor) = missing(&keep) {
                if let Ok(real) = anchor.canonicalize() {
                    missed.count(self.folders.add(app, &anchor, &real));
                }
                keep.insert(anchor);
            }
            all_hops.extend(hops(&root.base).into_iter().map(|hop| (hop, root.base.clone())));
            let mut tell = |found: &Found<'_>| match found {
                Found::Folder { path, real } => {
                    missed.count(self.folders.add(app, path, real));
                    keep.insert((*path).to_owned());
                }
                Found::File { path } => files.push((*path).to_owned()),
                Found::Unreadable { path, error } => missed.unreadable(scope, path, error),
            };
            walk(scope, &self.own, &root.base, &mut tell);
        }
        self.folders.retain(app, &keep);
        self.trouble(app, missed);
        if let Some(tracked) = self.apps.get_mut(app) {
            tracked.hops = all_hops;
        }
        files
    }

    /// After something on the way to a root, or the root itself, has come or gone.
    fn look_up(&mut self, app: &str, paths: &BTreeSet<PathBuf>) {
        let files = self.survey(app);
        if let Some(tracked) = self.apps.get_mut(app) {
            for file in files.into_iter().filter(|file| paths.iter().any(|path| file.starts_with(path))) {
                tracked.news.add(file);
            }
        }
    }

    /// Events were lost: everything may have changed.
    fn missed_events(&mut self) {
        let told = self.apps.iter().filter(|(_, tracked)| tracked.polling.is_none());
        let apps: Vec<String> = told.map(|(app, _)| app.clone()).collect();
        for app in apps {
            self.survey(&app);
            if let Some(tracked) = self.apps.get_mut(&app) {
                tracked.news.more = true;
                tracked.news.count += EVENTS_PER_TURN;
            }
        }
    }

    fn event(&mut self, event: &Event) {
        if event.need_rescan() {
            return self.missed_events();
        }
        // Both of its halves come by themselves.
        if event.kind == EventKind::Modify(ModifyKind::Name(RenameMode::Both)) {
            return;
        }
        for real in &event.paths {
            let is_gone = is_gone(event.kind);
            let own = if is_gone { self.folders.owners(real) } else { Vec::new() };
            if !own.is_empty() {
                self.folders.lost(real);
                for (app, path) in own {
                    self.folder_gone(&app, &path, event.kind);
                }
            }
            let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else { continue };
            let owners = self.folders.owners(folder);
            if owners.is_empty() || !self.is_written(real, event.kind) || self.own.contains(real) {
                continue;
            }
            for (app, folder) in owners {
                self.happened(&app, &folder.join(name), event.kind);
            }
        }
    }

    /// Whether it is more than the closing of a file that nothing was written to.
    fn is_written(&mut self, real: &Path, kind: EventKind) -> bool {
        match kind {
            EventKind::Access(AccessKind::Close(_)) => self.written.remove(real),
            EventKind::Modify(ModifyKind::Data(_)) => {
                if self.written.len() < WRITTEN_MAX {
                    self.written.insert(real.to_owned());
                }
                true
            }
            _ => true,
        }
    }

    fn folder_gone(&mut self, app: &str, path: &Path, kind: EventKind) {
        self.folders.remove_below(app, path);
        let Some(tracked) = self.apps.get_mut(app) else { return };
        let behind = tracked.behind(path);
        if tracked.scope.depends_on(path) || !behind.is_empty() {
            self.astray.entry(app.to_owned()).or_default().extend(behind.into_iter().chain([path.to_owned()]));
        }
        // What was in one that is deleted was told by itself; what moves away goes all at once.
        if kind == EventKind::Modify(ModifyKind::Name(RenameMode::From)) {
            tracked.news.add(path.to_owned());
        }
    }

    /// Something in a folder that an app has, by the app's name for it.
    fn happened(&mut self, app: &str, path: &Path, kind: EventKind) {
        let Some(tracked) = self.apps.get_mut(app) else { return };
        let came = matches!(kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)));
        let behind = tracked.behind(path);
        if (came || is_gone(kind)) && (tracked.scope.depends_on(path) || !behind.is_empty()) {
            let touched = behind.into_iter().chain([path.to_owned()]);
            for path in touched {
                if is_gone(kind) && tracked.scope.counts(&path) {
                    tracked.news.add(path.clone());
                }
                self.astray.entry(app.to_owned()).or_default().insert(path);
            }
            return;
        }
        for root in behind {
            tracked.news.add(root);
        }
        if self.folders.has(app, path) {
            return;
        }
        let follow = tracked.scope.options.follow_symlinks;
        if came && is_folder(path, kind, follow) {
            self.new_folder(app, path);
        } else if kind != EventKind::Remove(RemoveKind::Folder)
            && tracked.scope.counts(path)
            && !self.own.contains(path)
        {
            tracked.news.add(path.to_owned());
        }
    }

    fn new_folder(&mut self, app: &str, path: &Path) {
        let Some(Tracked { scope, .. }) = self.apps.get(app) else { return };
        if scope.ignores(path, true) || !scope.may_hold(path) {
            return;
        }
        let (mut files, mut missed) = (Vec::new(), Missed::default());
        let mut tell = |found: &Found<'_>| match found {
            Found::Folder { path, real } => missed.count(self.folders.add(app, path, real)),
            Found::File { path } => files.push((*path).to_owned()),
            Found::Unreadable { path, error } => missed.unreadable(scope, path, error),
        };
        walk(scope, &self.own, path, &mut tell);
        if missed.is_any() {
            self.trouble(app, missed);
        }
        if let Some(tracked) = self.apps.get_mut(app) {
            for file in files {
                tracked.news.add(file);
            }
        }
    }

    fn poll(&mut self) {
        let now = Instant::now();
        for tracked in self.apps.values_mut() {
            if let Some(polling) = tracked.polling.as_mut().filter(|polling| polling.next <= now) {
                for path in polling.look(&tracked.scope, &self.own, now) {
                    tracked.news.add(path);
                }
            }
        }
    }

    fn trouble(&mut self, app: &str, missed: Missed) {
        let Some(tracked) = self.apps.get_mut(app) else { return };
        let trouble = missed.words().or_else(|| tracked.scope.problem.clone());
        if trouble != tracked.trouble {
            tracked.trouble.clone_from(&trouble);
            let _ = self.sink.send(Report::Trouble { app: app.to_owned(), trouble });
        }
    }

    fn tell(&mut self) {
        for (app, tracked) in &mut self.apps {
            let News { paths, count, more } = std::mem::take(&mut tracked.news);
            if count > 0 {
                let paths = paths.iter().map(|path| tracked.scope.shown(path)).collect();
                let _ = self.sink.send(Report::Changed { app: app.clone(), paths, count, more });
            }
        }
    }
}

impl Tracked {
    /// The roots that lead to this path, or through it.
    fn behind(&self, path: &Path) -> Vec<PathBuf> {
        self.hops.iter().filter(|(hop, _)| hop.starts_with(path)).map(|(_, root)| root.clone()).collect()
    }
}

impl News {
    fn add(&mut self, path: PathBuf) {
        self.count += 1;
        if self.paths.contains(&path) {
            return;
        }
        if self.paths.len() < PATHS_MAX {
            self.paths.push(path);
        } else {
            self.more = true;
        }
    }
}

impl Missed {
    fn count(&mut self, added: Result<(), Refused>) {
        match added {
            Ok(()) => {}
            Err(Refused::Full) => self.full += 1,
            Err(Refused::Other(why)) => _ = self.other.get_or_insert(why),
        }
    }

    fn unreadable(&mut self, scope: &Scope, path: &Path, error: &std::io::Error) {
        self.other.get_or_insert_with(|| format!("cannot look into `{}`: {}", scope.shown(path), reason(error)));
    }

    fn is_any(&self) -> bool {
        self.full > 0 || self.other.is_some()
    }

    fn words(self) -> Option<String> {
        let Self { full, other } = self;
        if full == 0 {
            return other;
        }
        let folders = if full == 1 { "1 folder".to_owned() } else { format!("{full} folders") };
        Some(format!(
            "the system's limit of watches is reached, {folders} are not watched \
             (raise fs.inotify.max_user_watches, or name less in `watch`)"
        ))
    }
}

/// Folders in which it shows that a root, or what it is reached through, comes or goes: where each symbolic link on the
/// way lies, where a root that is a file lies, and for one that is missing the nearest folder that is there.
fn anchors(base: &Path) -> Vec<PathBuf> {
    let mut anchors = Vec::new();
    let is_link = |path: &&Path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    anchors.extend(base.ancestors().filter(is_link).filter_map(Path::parent).map(Path::to_owned));
    if !base.is_dir() {
        anchors.extend(base.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_owned));
    }
    anchors
}

/// Where a path leads that is a symbolic link, or goes through one, and that one, and so on.
fn hops(base: &Path) -> Vec<PathBuf> {
    let mut hops: Vec<PathBuf> = Vec::new();
    while hops.len() < HOPS_MAX {
        let at = hops.last().map_or(base, PathBuf::as_path);
        let Some(next) = hop(at).filter(|next| next != base && !hops.contains(next)) else { return hops };
        hops.push(next);
    }
    hops
}

/// The path with the first link on it followed.
fn hop(path: &Path) -> Option<PathBuf> {
    let mut ways: Vec<&Path> = path.ancestors().collect();
    ways.reverse();
    let (link, target) = ways.into_iter().find_map(|way| Some((way, std::fs::read_link(way).ok()?)))?;
    // What `..` means is known of the folder itself only.
    let folder = link.parent().map(|folder| folder.canonicalize().unwrap_or_else(|_| folder.to_owned()))?;
    let rest = path.strip_prefix(link).ok()?;
    Some(absolute(&folder, target).join(rest).components().collect())
}

fn is_gone(kind: EventKind) -> bool {
    matches!(kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)))
}

fn is_folder(path: &Path, kind: EventKind, follow: bool) -> bool {
    match kind {
        EventKind::Create(CreateKind::File) if !follow => false,
        _ if follow => path.is_dir(),
        _ => path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()),
    }
}
