//! Where groups can be made, and which limits can be set there.
//!
//! Cgroup v2 has two rules that decide it. A controller works in a group when the group above passes it on
//! (`cgroup.subtree_control`), and who passes one on may have no processes of its own (but for the machine's root).
//! Whoever has made a group may have its reasons for what is in it: on a machine of systemd's, pmrun works below a group
//! only where systemd has left that to it (`Delegate=yes`), or where it is the user's own.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::platform::reason;

/// What the limits need.
pub(super) const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// How often processes are looked for that have to make room.
pub(super) const ROUNDS: u32 = 10;

/// The file system of groups; folders are groups.
pub(super) trait Tree {
    fn read(&self, path: &Path) -> io::Result<String>;
    /// To a file that is there.
    fn write(&self, path: &Path, text: &str) -> io::Result<()>;
    fn make(&self, folder: &Path) -> io::Result<()>;
    fn remove(&self, folder: &Path) -> io::Result<()>;
    /// Whether systemd has left it to whoever runs in it.
    fn is_delegated(&self, folder: &Path) -> bool;
    /// Whether a process is this one, of this program, or comes from it.
    fn is_ours(&self, pid: u32) -> bool;
}

/// This process, as far as it matters.
#[derive(Clone, Debug)]
pub(super) struct Me {
    /// Where the hierarchy is mounted.
    pub(super) mount: PathBuf,
    /// The group that this process is in.
    pub(super) group: PathBuf,
    /// What groups of this home are called after.
    pub(super) name: String,
    pub(super) is_root: bool,
    /// Systemd runs here.
    pub(super) systemd: bool,
}

/// A group whose members are groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    /// Why a controller does not work there; the end of a sentence that names it.
    pub(super) missing: BTreeMap<&'static str, String>,
}

/// # Errors
/// Why no groups can be made, and what to do about it.
pub(super) fn find(tree: &impl Tree, me: &Me) -> Result<Place, String> {
    let main = format!("{}-main", me.name);
    // Where an earlier daemon has moved itself, and this one was started from.
    let own = match me.group.parent() {
        Some(parent) if me.group.ends_with(&main) => parent.to_owned(),
        _ => me.group.clone(),
    };
    let finder = Finder { tree, me, main: own.join(main), own };
    if !may_use(tree, me, &finder.own) {
        return Err(format!("the cgroup {} is systemd's own; {}", finder.shown(), finder.advice()));
    }
    let folder = finder.own.join(&me.name);
    match tree.make(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let what = reason(&error);
            return Err(format!("cannot make a cgroup in {}: {what}; {}", finder.shown(), finder.advice()));
        }
        _ => {}
    }
    let mut missing = BTreeMap::new();
    for controller in CONTROLLERS {
        let cannot = |error| format!("it cannot be passed on in `{}`: {}", folder.display(), reason(&error));
        let passed_on = finder.pass_on(controller).and_then(|()| enable(tree, &folder, controller).map_err(cannot));
        if let Err(why) = passed_on {
            missing.insert(controller, why);
        }
    }
    Ok(Place { folder, missing })
}

/// Whether groups below this one are nobody's affair but ours. Where it is not root that asks, the kernel decides.
pub(super) fn may_use(tree: &impl Tree, me: &Me, group: &Path) -> bool {
    !(me.systemd && me.is_root) || tree.is_delegated(group)
}

struct Finder<'a, T> {
    tree: &'a T,
    me: &'a Me,
    /// Where groups are to be made.
    own: PathBuf,
    /// Where this process goes when it is in the way.
    main: PathBuf,
}

impl<T: Tree> Finder<'_, T> {
    /// From the group that this process is in to those below.
    fn pass_on(&self, controller: &str) -> Result<(), String> {
        let has = |folder: &Path| has_word(self.tree, &folder.join("cgroup.controllers"), controller);
        if !has(&self.own) {
            return Err(if has(&self.me.mount) {
                let user_service = "`Delegate=cpu memory pids` in `user@.service` has it do that";
                let done = self.me.systemd && !self.me.is_root && self.tree.is_delegated(&self.own);
                let advice = if done { user_service } else { self.advice() };
                format!("the cgroup above {} does not pass it on; {advice}", self.shown())
            } else {
                let what = "cgroup v2 has no such controller on this machine";
                format!("{what}; where cgroup v1 has it, the kernel's parameter `cgroup_no_v1=all` brings it over")
            });
        }
        let enabled = match enable(self.tree, &self.own, controller) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                if !self.move_out().map_err(|error| self.cannot(&error))? {
                    return Err(format!("other processes run in the cgroup {}; {}", self.shown(), self.advice()));
                }
                enable(self.tree, &self.own, controller)
            }
            enabled => enabled,
        };
        enabled.map_err(|error| self.cannot(&error))
    }

    /// Who passes on controllers has no processes: those that are there go to a group of their own. False where they are
    /// not pmrun's to move.
    fn move_out(&self) -> io::Result<bool> {
        let members = |tree: &T| -> io::Result<Vec<u32>> {
            let text = tree.read(&self.own.join("cgroup.procs"))?;
            Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
        };
        let all_ours = members(self.tree)?.into_iter().all(|pid| self.tree.is_ours(pid));
        if !all_ours && !self.tree.is_delegated(&self.own) {
            return Ok(false);
        }
        match self.tree.make(&self.main) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Who is being started meanwhile is met the next time.
        for _ in 0..ROUNDS {
            let members = members(self.tree)?;
            if members.is_empty() {
                break;
            }
            for pid in members {
                // It may have ended.
                let _ = self.tree.write(&self.main.join("cgroup.procs"), &pid.to_string());
            }
        }
        Ok(true)
    }

    fn cannot(&self, error: &io::Error) -> String {
        format!("it cannot be passed on in {}: {}; {}", self.shown(), reason(error), self.advice())
    }

    fn shown(&self) -> String {
        let path = self.own.strip_prefix(&self.me.mount).unwrap_or(&self.own);
        format!("`/{}`", path.display())
    }

    fn advice(&self) -> &'static str {
        match (self.me.systemd, self.me.is_root) {
            (true, true) => "`pmrun kill`, then `systemd-run --scope -p Delegate=yes pmrun resurrect`, gives pmrun one",
            (true, false) => {
                "`pmrun kill`, then `systemd-run --user --scope -p Delegate=yes pmrun resurrect`, gives pmrun one"
            }
            (false, _) => "pmrun needs one that it may write to and that nobody else is in",
        }
    }
}

fn enable(tree: &impl Tree, folder: &Path, controller: &str) -> io::Result<()> {
    let file = folder.join("cgroup.subtree_control");
    if has_word(tree, &file, controller) { Ok(()) } else { tree.write(&file, &format!("+{controller}")) }
}

fn has_word(tree: &impl Tree, file: &Path, word: &str) -> bool {
    tree.read(file).is_ok_and(|text| text.split_ascii_whitespace().any(|found| found == word))
}

/// The folder of the group that a process is in, by its `/proc/PID/cgroup` and this process's `/proc/self/mountinfo`.
/// The second value is where the hierarchy is mounted.
pub(super) fn folder_of(cgroup: &str, mountinfo: &str) -> Option<(PathBuf, PathBuf)> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let (root, mount) = mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after.starts_with("cgroup2 ").then_some(())?;
        let mut fields = before.split(' ').skip(3);
        Some((fields.next()?, fields.next()?))
    })?;
    // What was removed while somebody was in it, and what lies outside of a container's view.
    let below = Path::new(path).strip_prefix(root).ok()?;
    let plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let there = plain && !path.ends_with(" (deleted)") && !mount.contains('\\');
    there.then(|| (Path::new(mount).join(below), mount.into()))
}
