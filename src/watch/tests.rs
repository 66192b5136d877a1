//! Against real folders. Nothing is proved by waiting: what must not be told is followed by something that must.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::tracker::Tracker;
use super::{Message, Report};
use crate::spec::AppSpec;

/// An app that is there for its order among the others.
const BARRIER: &str = "barrier";
const BOUND: Duration = Duration::from_secs(20);

struct Rig {
    folder: tempfile::TempDir,
    tracker: Tracker,
    messages: Receiver<Message>,
    sender: Sender<Message>,
    reports: UnboundedReceiver<Report>,
    apps: BTreeMap<String, Arc<AppSpec>>,
    own: BTreeSet<String>,
    heard: Vec<Report>,
    barrier: u32,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sender, messages) = channel();
        let (sink, reports) = unbounded_channel();
        let tracker = Tracker::new(Path::new("/no/such/home"), sender.clone(), sink);
        let (apps, own, heard) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let mut rig = Self { folder, tracker, messages, sender, reports, apps, own, heard, barrier: 0 };
        fs::create_dir(rig.path("barrier")).unwrap();
        rig.watch(BARRIER, "barrier", &[], json!({}));
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// An app that lives in a folder of the rig.
    fn watch(&mut self, app: &str, cwd: &str, paths: &[&str], options: Value) {
        let mut spec = AppSpec::new(app, "/bin/true", self.path(cwd).to_str().unwrap());
        spec.watch.enabled = true;
        spec.watch.paths = paths.iter().map(|path| (*path).to_owned()).collect();
        spec.watch.ignore = vec!["ignored".to_owned()];
        spec.watch.options = Some(options);
        self.apps.insert(app.to_owned(), Arc::new(spec));
        self.set();
    }

    fn set(&mut self) {
        let message = Message::Set { apps: self.apps.clone(), own_files: Arc::new(self.own.clone()) };
        self.tracker.turn(Some(message), &self.messages);
    }

    fn turn(&mut self, deadline: Instant, wanted: &str) {
        let until = self.tracker.next_look().unwrap_or(deadline).min(deadline);
        let message = self.messages.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
        assert!(message.is_some() || Instant::now() < deadline, "`{wanted}` was not told; told was {:?}", self.heard);
        self.tracker.turn(message, &self.messages);
        while let Ok(report) = self.reports.try_recv() {
            self.heard.push(report);
        }
    }

    /// The paths that are told of an app since it was last asked; this one is among them.
    ///
    /// What is told of the barrier's file was told after all that was done before.
    fn told(&mut self, app: &str, wanted: &str) -> Vec<String> {
        let deadline = Instant::now() + BOUND;
        self.settle();
        while !self.has(app, wanted) {
            self.turn(deadline, wanted);
        }
        let mut told: Vec<String> = Vec::new();
        for report in self.heard.extract_if(.., |report| matches!(report, Report::Changed { app: of, .. } if of == app))
        {
            if let Report::Changed { paths, .. } = report {
                told.extend(paths);
            }
        }
        told.sort();
        told.dedup();
        told
    }

    fn settle(&mut self) {
        let deadline = Instant::now() + BOUND;
        self.barrier += 1;
        let barrier = self.barrier.to_string();
        fs::write(self.path("barrier").join(&barrier), "").unwrap();
        while !self.has(BARRIER, &barrier) {
            self.turn(deadline, &barrier);
        }
    }

    fn has(&self, app: &str, path: &str) -> bool {
        self.heard.iter().any(|report| {
            matches!(report, Report::Changed { app: of, paths, .. } if of == app && paths.iter().any(|one| one == path))
        })
    }

    fn trouble(&mut self) -> String {
        let deadline = Instant::now() + BOUND;
        loop {
            while let Ok(report) = self.reports.try_recv() {
                self.heard.push(report);
            }
            for report in self.heard.drain(..) {
                if let Report::Trouble { trouble: Some(trouble), .. } = report {
                    return trouble;
                }
            }
            self.turn(deadline, "trouble");
        }
    }

    /// Writes a file that is watched, and expects that nothing but it is told.
    fn nothing_but(&mut self, app: &str, cwd: &str, marker: &str) {
        self.write(&format!("{cwd}/{marker}"), "now");
        assert_eq!(self.told(app, marker), [marker]);
    }
}

#[test]
fn files_that_change_come_and_go_are_told_and_what_is_ignored_is_not() {
    let mut rig = Rig::new();
    rig.write("app/a.js", "1");
    rig.write("app/src/deep/ü.js", "1");
    rig.write("app/node_modules/x/index.js", "1");
    rig.write("app/ignored/x", "1");
    rig.own.insert(rig.path("app/logs/out.log").to_str().unwrap().to_owned());
    rig.write("app/logs/out.log", "1");
    rig.watch("a", "app", &[], json!({}));

    rig.write("app/src/deep/ü.js", "2");
    assert_eq!(rig.told("a", "src/deep/ü.js"), ["src/deep/ü.js"]);
    rig.write("app/node_modules/x/index.js", "2");
    rig.write("app/ignored/x", "2");
    rig.write("app/.hidden", "2");
    rig.write("app/src/.x.swp", "2");
    rig.write("app/logs/out.log", "2");
    rig.write("app/logs/out-1.log", "2");
    rig.write("app/logs/out.log.1.gz", "2");
    // Read, but not written to.
    fs::read(rig.path("app/a.js")).unwrap();
    drop(fs::OpenOptions::new().write(true).open(rig.path("app/a.js")).unwrap());
    fs::create_dir(rig.path("app/empty")).unwrap();
    rig.nothing_but("a", "app", "marker-1");
    fs::remove_file(rig.path("app/a.js")).unwrap();
    assert_eq!(rig.told("a", "a.js"), ["a.js"]);
    rig.write("app/empty/new/er/x.js", "3");
    rig.told("a", "empty/new/er/x.js");
    rig.write("app/empty/new/er/y.js", "3");
    assert_eq!(rig.told("a", "empty/new/er/y.js"), ["empty/new/er/y.js"]);
}

#[test]
fn an_editor_that_saves_by_renaming_changes_one_file() {
    let mut rig = Rig::new();
    rig.write("app/a.js", "1");
    rig.watch("whole", "app", &[], json!({}));
    rig.watch("one", "app", &["a.js"], json!({}));
    // vim: a test of the folder, a backup, the new file.
    rig.write("app/4913", "");
    fs::remove_file(rig.path("app/4913")).unwrap();
    fs::rename(rig.path("app/a.js"), rig.path("app/a.js~")).unwrap();
    rig.write("app/a.js", "2");
    fs::remove_file(rig.path("app/a.js~")).unwrap();
    assert_eq!(rig.told("whole", "a.js"), ["a.js"]);
    for turn in 0..3 {
        rig.write("app/.a.js.tmp", &format!("new {turn}"));
        rig.write("app/b.js", "not watched by one");
        fs::rename(rig.path("app/.a.js.tmp"), rig.path("app/a.js")).unwrap();
        assert_eq!(rig.told("one", "a.js"), ["a.js"]);
    }
}

#[test]
fn folders_that_move_take_their_files_along() {
    let mut rig = Rig::new();
    rig.write("app/src/lib/a.js", "1");
    rig.write("outside/b.js", "1");
    rig.watch("a", "app", &[], json!({}));
    fs::rename(rig.path("app/src/lib"), rig.path("gone")).unwrap();
    assert_eq!(rig.told("a", "src/lib"), ["src/lib"]);
    rig.write("gone/a.js", "no longer watched");
    rig.nothing_but("a", "app", "marker-1");
    fs::rename(rig.path("outside"), rig.path("app/src/in")).unwrap();
    assert_eq!(rig.told("a", "src/in/b.js"), ["src/in/b.js"]);
    rig.write("app/src/in/c.js", "1");
    assert_eq!(rig.told("a", "src/in/c.js"), ["src/in/c.js"]);
    fs::rename(rig.path("app/src/in"), rig.path("app/src/other")).unwrap();
    rig.told("a", "src/other/c.js");
    rig.write("app/src/other/d.js", "1");
    assert_eq!(rig.told("a", "src/other/d.js"), ["src/other/d.js"]);
}

#[test]
fn a_root_that_is_not_there_yet_is_waited_for_and_found_again_after_it_was_deleted() {
    let mut rig = Rig::new();
    fs::create_dir(rig.path("app")).unwrap();
    rig.watch("a", "app", &["made/later", "config.json", "x.js"], json!({}));
    rig.write("app/x.js", "1");
    assert_eq!(rig.told("a", "x.js"), ["x.js"]);
    for turn in 0..3 {
        rig.write("app/made/other.js", "not watched");
        rig.write("app/made/later/a.js", "1");
        rig.told("a", "made/later/a.js");
        rig.write("app/made/later/b.js", "1");
        rig.told("a", "made/later/b.js");
        rig.write("app/config.json", &format!("{turn}"));
        rig.told("a", "config.json");
        fs::remove_dir_all(rig.path("app/made")).unwrap();
        fs::remove_file(rig.path("app/config.json")).unwrap();
        rig.told("a", "config.json");
    }
    // The app's own folder.
    fs::remove_dir_all(rig.path("app")).unwrap();
    rig.write("app/config.json", "back");
    rig.told("a", "config.json");
    rig.write("app/config.json", "again");
    rig.told("a", "config.json");
}

#[test]
fn a_release_behind_a_link_is_watched_and_so_is_the_next_one() {
    let mut rig = Rig::new();
    for release in ["r1", "r2"] {
        rig.write(&format!("{release}/a.js"), release);
    }
    symlink("r1", rig.path("current")).unwrap();
    rig.watch("a", "current", &[], json!({}));
    rig.watch("other", "r1", &[], json!({}));
    rig.write("r1/a.js", "new");
    assert_eq!(rig.told("a", "a.js"), ["a.js"]);
    symlink("r2", rig.path("next")).unwrap();
    fs::rename(rig.path("next"), rig.path("current")).unwrap();
    assert_eq!(rig.told("a", "a.js"), ["a.js"]);
    rig.write("r1/b.js", "of the old release");
    rig.write("r2/c.js", "of the new one");
    assert_eq!(rig.told("a", "c.js"), ["c.js"]);
    rig.write("r1/a.js", "both names are watched");
    rig.told("other", "a.js");
}

#[test]
fn what_a_link_leads_to_that_is_watched_by_its_name_is_watched() {
    for options in [json!({}), json!({ "usePolling": true, "interval": 20 })] {
        let mut rig = Rig::new();
        rig.write("shared/real.json", "1");
        rig.write("shared/other.json", "1");
        rig.write("app/a.js", "1");
        symlink("real.json", rig.path("shared/link.json")).unwrap();
        symlink("../shared/link.json", rig.path("app/conf.json")).unwrap();
        rig.watch("a", "app", &["conf.json"], options);
        for turn in 0..2 {
            rig.write("shared/other.json", "2");
            rig.write("shared/real.json", &format!("2 {turn}"));
            assert_eq!(rig.told("a", "conf.json"), ["conf.json"]);
            // As editors save.
            rig.write("shared/new", &format!("3 {turn}"));
            fs::rename(rig.path("shared/new"), rig.path("shared/real.json")).unwrap();
            assert_eq!(rig.told("a", "conf.json"), ["conf.json"]);
        }
        fs::remove_file(rig.path("shared/real.json")).unwrap();
        assert_eq!(rig.told("a", "conf.json"), ["conf.json"]);
        rig.write("shared/real.json", "back");
        assert_eq!(rig.told("a", "conf.json"), ["conf.json"]);
        // A link on the way leads to another file.
        symlink("other.json", rig.path("shared/next")).unwrap();
        fs::rename(rig.path("shared/next"), rig.path("shared/link.json")).unwrap();
        assert_eq!(rig.told("a", "conf.json"), ["conf.json"]);
        rig.write("shared/other.json", "3");
        assert_eq!(rig.told("a", "conf.json"), ["conf.json"]);
    }
}

/// As a deployment that makes its folder anew each time.
#[test]
fn what_a_link_leads_to_may_be_removed_and_made_again() {
    for (cwd, watched) in
        [("app", &["cur/c.json"][..]), ("app", &["cur"]), ("app/cur", &[]), ("app", &["cur/deep/d.json"])]
    {
        let mut rig = Rig::new();
        let file = if watched == ["cur/deep/d.json"] { "deep/d.json" } else { "c.json" };
        let real = format!("app/releases/1/{file}");
        rig.write(&real, "1");
        symlink("releases/1", rig.path("app/cur")).unwrap();
        rig.watch("a", cwd, watched, json!({}));
        let shown = if cwd == "app" { format!("cur/{file}") } else { file.to_owned() };
        for turn in 0..2 {
            rig.write(&real, &format!("2 {turn}"));
            rig.told("a", &shown);
            fs::remove_dir_all(rig.path("app/releases/1")).unwrap();
            if turn == 0 {
                rig.told("a", &shown);
            }
            rig.write(&real, &format!("3 {turn}"));
            rig.told("a", &shown);
            rig.write(&real, &format!("4 {turn}"));
            rig.told("a", &shown);
        }
    }
}

/// As Kubernetes mounts a ConfigMap.
#[test]
fn a_link_through_a_folder_that_is_one_is_followed_to_the_next() {
    let mut rig = Rig::new();
    rig.write("etc/..1/conf.json", "1");
    rig.write("etc/..2/conf.json", "2");
    symlink("..1", rig.path("etc/..data")).unwrap();
    symlink("..data/conf.json", rig.path("etc/conf.json")).unwrap();
    rig.watch("a", "etc", &["conf.json"], json!({}));
    for turn in [2, 1, 2] {
        symlink(format!("..{turn}"), rig.path("etc/..tmp")).unwrap();
        fs::rename(rig.path("etc/..tmp"), rig.path("etc/..data")).unwrap();
        assert_eq!(rig.told("a", "conf.json"), ["conf.json"]);
        rig.write(&format!("etc/..{turn}/conf.json"), "again");
        assert_eq!(rig.told("a", "conf.json"), ["conf.json"]);
    }
}

#[test]
fn links_to_folders_are_followed_only_when_asked() {
    let mut rig = Rig::new();
    rig.write("lib/x.js", "1");
    rig.write("app/a.js", "1");
    symlink("../lib", rig.path("app/lib")).unwrap();
    symlink(".", rig.path("app/loop")).unwrap();
    rig.watch("plain", "app", &[], json!({}));
    rig.watch("follows", "app", &[], json!({ "followSymlinks": true }));
    rig.write("lib/x.js", "2");
    assert_eq!(rig.told("follows", "lib/x.js"), ["lib/x.js"]);
    rig.nothing_but("plain", "app", "marker-1");
}

#[test]
fn what_cannot_be_read_is_told() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let mut rig = Rig::new();
    rig.write("app/secret/x", "1");
    fs::set_permissions(rig.path("app/secret"), fs::Permissions::from_mode(0o000)).unwrap();
    rig.watch("a", "app", &[], json!({}));
    assert!(rig.trouble().starts_with("cannot look into `secret`: "));
    fs::set_permissions(rig.path("app/secret"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_pattern_that_is_none_is_told() {
    let mut rig = Rig::new();
    rig.write("app/a.js", "1");
    rig.watch("a", "app", &["src/{a"], json!({}));
    assert!(rig.trouble().contains("src/{a"));
}

#[test]
fn lost_events_count_as_a_change_and_nothing_is_missed_afterwards() {
    let mut rig = Rig::new();
    rig.write("app/a.js", "1");
    rig.watch("a", "app", &[], json!({}));
    let lost = notify::Event::new(notify::EventKind::Other).set_flag(notify::event::Flag::Rescan);
    rig.sender.send(Message::Event(Ok(lost))).unwrap();
    let deadline = Instant::now() + BOUND;
    let is_told = |report: &Report| matches!(report, Report::Changed { more: true, .. });
    while !rig.heard.iter().any(is_told) {
        rig.turn(deadline, "lost events");
    }
    rig.write("app/src/b.js", "1");
    rig.told("a", "src/b.js");
}

#[test]
fn many_changes_are_told_in_few_reports() {
    let mut rig = Rig::new();
    fs::create_dir(rig.path("app")).unwrap();
    rig.watch("a", "app", &[], json!({}));
    for number in 0..1_000 {
        rig.write(&format!("app/{}", number % 100), "x");
    }
    rig.settle();
    let (mut reports, mut changes) = (0, 0);
    for report in &rig.heard {
        if let Report::Changed { app, paths, count, .. } = report
            && app == "a"
        {
            assert!(paths.len() <= 64);
            reports += 1;
            changes += count;
        }
    }
    assert!(reports <= 20 && changes >= 1_000, "{reports} reports of {changes} changes");
}

#[test]
fn with_polling_every_change_is_found_within_the_second_too() {
    let mut rig = Rig::new();
    rig.write("app/a.js", "0");
    rig.write("app/pic.png", "0");
    rig.write("app/node_modules/x.js", "0");
    rig.watch("a", "app", &[], json!({ "usePolling": true, "interval": 20, "binaryInterval": 40 }));
    for turn in 0..5 {
        rig.write("app/a.js", &format!("{turn}"));
        assert_eq!(rig.told("a", "a.js"), ["a.js"]);
    }
    rig.write("app/node_modules/x.js", "1");
    rig.write("app/pic.png", "1");
    assert_eq!(rig.told("a", "pic.png"), ["pic.png"]);
    rig.write("app/new/b.js", "1");
    assert_eq!(rig.told("a", "new/b.js"), ["new/b.js"]);
    fs::remove_file(rig.path("app/a.js")).unwrap();
    assert_eq!(rig.told("a", "a.js"), ["a.js"]);
}

#[test]
fn what_is_no_longer_watched_is_forgotten_and_other_rules_hold_at_once() {
    let mut rig = Rig::new();
    rig.write("app/src/a.js", "1");
    rig.write("app/lib/a.js", "1");
    rig.watch("a", "app", &["src"], json!({}));
    rig.watch("b", "app", &["lib"], json!({}));
    rig.watch("a", "app", &["lib"], json!({}));
    rig.write("app/src/a.js", "2");
    rig.write("app/lib/a.js", "2");
    assert_eq!(rig.told("a", "lib/a.js"), ["lib/a.js"]);
    rig.apps.remove("a");
    rig.set();
    rig.write("app/lib/b.js", "2");
    rig.told("b", "lib/b.js");
    assert!(rig.heard.iter().all(|report| !matches!(report, Report::Changed { app, .. } if app == "a")));
}

/// The figure behind "costs nothing": one watch a folder that is not ignored.
#[test]
fn fifty_thousand_files_that_are_ignored_cost_no_watch() {
    let mut rig = Rig::new();
    for package in 0..500 {
        let folder = rig.path(&format!("app/node_modules/p{package}/lib"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..100 {
            fs::File::create(folder.join(file.to_string())).unwrap();
        }
    }
    for folder in ["src/a", "src/b/c", "test"] {
        rig.write(&format!("app/{folder}/x.js"), "1");
    }
    let began = Instant::now();
    rig.watch("a", "app", &[], json!({}));
    let took = began.elapsed();
    let watches = rig.tracker.watches();
    assert_eq!(watches, 6 + 1, "app, src, src/a, src/b, src/b/c, test, and the barrier");
    rig.nothing_but("a", "app", "marker");
    // A figure to be read, with `--nocapture`: no machine is fast enough to be asserted on.
    let _ = std::io::Write::write_fmt(
        &mut std::io::stdout(),
        format_args!("50,000 files in node_modules: {watches} watches, set up in {took:?}\n"),
    );
}
