//! Where groups can be made, and which limits can be set there.
//!
//! Cgroup v2 has two rules that decide it. A controller works in a group when the group above passes it on
//! (`cgroup.subtree_control`), and who passes one on may have no processes of its own (but for the machine's root). Of
//! cpu and pids the kernel does not enforce that: where there are processes, what is below can then be entered by nobody.
//! So it is seen to before anything is passed on.
//! Whoever has made a group may have its reasons for what is in it: on a machine of systemd's, pmrun works below a group
//! only where systemd has left that to it (`Delegate=yes`), or where it is the user's own.

use std::collections::{BTreeMap, BTreeSet};
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
    /// The groups in it.
    fn below(&self, folder: &Path) -> Vec<PathBuf>;
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
    pub(super) made: Made,
}

/// What was done to the group that this process was started in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    own: PathBuf,
    /// Where its processes have gone.
    main: PathBuf,
    passed_on: BTreeSet<&'static str>,
}

/// # Errors
/// Why no groups can be made, and what to do about it.
pub(super) fn find(tree: &impl Tree, me: &Me) -> Result<Place, String> {
    let own = own(me);
    let moved = own != me.group;
    let finder = Finder { tree, me, main: own.join(main(me)), own };
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
    let mut missing: BTreeMap<&'static str, String> =
        CONTROLLERS.into_iter().filter_map(|one| Some((one, finder.lacks(one)?))).collect();
    let has: Vec<&str> = CONTROLLERS.into_iter().filter(|one| !missing.contains_key(one)).collect();
    // Once and for all of them: one alone that is passed on beside processes spoils the group.
    let room = if has.is_empty() { Ok(()) } else { finder.make_room() };
    let mut passed_on = BTreeSet::new();
    for controller in has {
        let cannot = |error| format!("it cannot be passed on in `{}`: {}", folder.display(), reason(&error));
        let done = room.clone().and_then(|()| finder.pass_on(controller)).and_then(|new| {
            // What an earlier daemon has passed on is pmrun's as well.
            passed_on.extend((new || moved).then_some(controller));
            enable(tree, &folder, controller).map(drop).map_err(cannot)
        });
        if let Err(why) = done {
            missing.insert(controller, why);
        }
    }
    let made = Made { own: finder.own, main: finder.main, passed_on };
    Ok(Place { folder, missing, made })
}

fn main(me: &Me) -> String {
    format!("{}-main", me.name)
}

/// The group in which those of this home are made.
pub(super) fn own(me: &Me) -> PathBuf {
    match me.group.parent() {
        // Where an earlier daemon has moved itself, and this one was started from.
        Some(parent) if me.group.ends_with(main(me)) => parent.to_owned(),
        _ => me.group.clone(),
    }
}

/// What was made is undone, where nobody else has come to rely on it: who wants to join the group can again.
pub(super) fn take_back(tree: &impl Tree, made: &Made) {
    let Made { own, main, passed_on } = made;
    if tree.below(own).iter().any(|group| group != main) {
        return;
    }
    let words: Vec<String> = passed_on.iter().map(|controller| format!("-{controller}")).collect();
    if !words.is_empty() && tree.write(&own.join("cgroup.subtree_control"), &words.join(" ")).is_err() {
        return;
    }
    // Where there is none, nobody was in the way.
    let _ = move_all(tree, main, own);
    let _ = tree.remove(main);
}

/// Takes controllers back from this home's groups, for a process that systemd is about to start in the group above.
pub(super) fn make_room(tree: &impl Tree, me: &Me) -> io::Result<()> {
    // Where systemd runs what it runs beside a service.
    let own = me.group.parent().filter(|_| me.group.ends_with(".control")).map_or_else(|| own(me), Path::to_owned);
    let ours = own.join(&me.name);
    if !may_use(tree, me, &own) || !tree.below(&own).contains(&ours) {
        return Ok(());
    }
    for folder in [&ours, &own] {
        let file = folder.join("cgroup.subtree_control");
        let words: Vec<String> =
            tree.read(&file)?.split_ascii_whitespace().map(|controller| format!("-{controller}")).collect();
        if !words.is_empty() {
            tree.write(&file, &words.join(" "))?;
        }
    }
    Ok(())
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
    /// Why a controller is not there to be passed on.
    fn lacks(&self, controller: &str) -> Option<String> {
        let has = |folder: &Path| has_word(self.tree, &folder.join("cgroup.controllers"), controller);
        if has(&self.own) {
            return None;
        }
        Some(if has(&self.me.mount) {
            let user_service = "`Delegate=cpu memory pids` in `user@.service` has it do that";
            let done = self.me.systemd && !self.me.is_root && self.tree.is_delegated(&self.own);
            let advice = if done { user_service } else { self.advice() };
            format!("the cgroup above {} does not pass it on; {advice}", self.shown())
        } else {
            let what = "cgroup v2 has no such controller on this machine";
            format!("{what}; where cgroup v1 has it, the kernel's parameter `cgroup_no_v1=all` brings it over")
        })
    }

    /// From the group that this process is in to those below. False where it was already.
    fn pass_on(&self, controller: &str) -> Result<bool, String> {
        let enabled = match enable(self.tree, &self.own, controller) {
            // Somebody has come in meanwhile.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                self.make_room()?;
                enable(self.tree, &self.own, controller)
            }
            enabled => enabled,
        };
        enabled.map_err(|error| self.cannot(&error))
    }

    /// Who passes on controllers has no processes: those that are there go to a group of their own, if they are pmrun's to
    /// move.
    fn make_room(&self) -> Result<(), String> {
        let kind = match self.tree.read(&self.own.join("cgroup.type")) {
            // The machine's root, which may have both.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            kind => kind.map_err(|error| self.cannot(&error))?,
        };
        let members = members(self.tree, &self.own).map_err(|error| self.cannot(&error))?;
        if members.is_empty() {
            return Ok(());
        }
        let movable = self.tree.is_delegated(&self.own) || members.iter().all(|pid| self.tree.is_ours(*pid));
        if !movable {
            return Err(format!("other processes run in the cgroup {}; {}", self.shown(), self.advice()));
        }
        let healed = if kind.trim() == "domain threaded" { self.heal()? } else { String::new() };
        let moved = match self.tree.make(&self.main) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => move_all(self.tree, &self.own, &self.main),
        };
        if !healed.is_empty() && matches!(moved, Ok(true)) {
            self.tree.write(&self.own.join("cgroup.subtree_control"), &healed).map_err(|error| self.cannot(&error))?;
        }
        match moved {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("processes in the cgroup {} cannot be moved; {}", self.shown(), self.advice())),
            Err(error) => Err(self.cannot(&error)),
        }
    }

    /// Somebody has passed on cpu or pids beside processes, so that these can go nowhere: that is taken back first. What
    /// has it as it was.
    fn heal(&self) -> Result<String, String> {
        let kind = |group: &PathBuf| self.tree.read(&group.join("cgroup.type")).unwrap_or_default();
        if self.tree.below(&self.own).iter().any(|group| kind(group).trim() == "threaded") {
            return Err(format!("somebody has threads in groups below {}; {}", self.shown(), self.advice()));
        }
        let file = self.own.join("cgroup.subtree_control");
        let words = |sign: char, text: &str| {
            text.split_ascii_whitespace().map(|word| format!("{sign}{word}")).collect::<Vec<_>>().join(" ")
        };
        let on = self.tree.read(&file).map_err(|error| self.cannot(&error))?;
        self.tree.write(&file, &words('-', &on)).map_err(|error| self.cannot(&error))?;
        Ok(words('+', &on))
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

/// Whether all have gone.
fn move_all(tree: &impl Tree, from: &Path, to: &Path) -> io::Result<bool> {
    // Who is being started meanwhile is met the next time.
    for _ in 0..ROUNDS {
        let members = members(tree, from)?;
        if members.is_empty() {
            return Ok(true);
        }
        for pid in members {
            // It may have ended.
            let _ = tree.write(&to.join("cgroup.procs"), &pid.to_string());
        }
    }
    Ok(members(tree, from)?.is_empty())
}

fn members(tree: &impl Tree, folder: &Path) -> io::Result<Vec<u32>> {
    let text = tree.read(&folder.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// False where it was already.
fn enable(tree: &impl Tree, folder: &Path, controller: &str) -> io::Result<bool> {
    let file = folder.join("cgroup.subtree_control");
    let new = !has_word(tree, &file, controller);
    if new { tree.write(&file, &format!("+{controller}")).map(|()| true) } else { Ok(false) }
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
