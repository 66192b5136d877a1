//! Groups of processes with limits: cgroup v2, one group a launch, as `<own>/pmrun-<home>/<app>-<slot>.<mark>`.
//!
//! A limit that cannot be set keeps no app from running: what is not in force, and why, is told as a note.
//!
//! * `memory.max` alone, not `memory.high`: below its limit nothing is slowed down, at its limit all of a launch ends
//!   (`memory.oom.group`), as one that has lost some of its processes is neither up nor down. Swap is not used: else a
//!   leak would fill that first, and the limit would not be one.
//! * A group is new for each launch, so that its counts are that launch's. It is removed when the last of it has ended.

mod kernel;
mod pen;
mod place;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use self::kernel::Kernel;
pub(super) use self::pen::Pen;
use self::place::{Place, Tree};
use super::oom::count;
use super::reason;
use crate::spec::Limits;
use crate::supervisor::LaunchId;

/// What a share of a processor is measured in, in microseconds: the kernel's own default.
const PERIOD_US: u64 = 100_000;

/// The groups of one home's launches.
#[derive(Debug)]
pub(super) struct Groups {
    home: String,
    /// Looked for when the first launch has limits.
    place: Option<Result<Place, String>>,
    of: HashMap<LaunchId, Group>,
    /// Of what has ended, with somebody in it still.
    left: Vec<PathBuf>,
}

#[derive(Debug)]
struct Group {
    folder: PathBuf,
    memory: Option<u64>,
    /// What of its limits is not in force.
    note: Option<String>,
}

impl Group {
    /// What to say where its process is not in it.
    fn outside(&self) -> String {
        let why = "not in force: the kernel did not let it into its cgroup";
        // What was known before may be the reason.
        self.note.as_ref().map_or_else(|| why.to_owned(), |note| format!("{note}; {why}"))
    }
}

/// What the kernel has killed in a group for want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kills {
    None,
    AtLimit(u64),
    Above,
}

impl Groups {
    pub(super) fn new(home: &str) -> Self {
        Self { home: home.to_owned(), place: None, of: HashMap::new(), left: Vec::new() }
    }

    /// The folder of the group that this process is in.
    pub(super) fn own() -> Option<PathBuf> {
        kernel::folder(std::process::id()).map(|(folder, _)| folder)
    }

    /// A group for a launch: its folder, and what of the limits is not in force. `name` is the launch's alone.
    pub(super) fn open(&mut self, launch: LaunchId, name: &str, limits: &Limits) -> (Option<File>, Option<String>) {
        let folder = match self.make(name) {
            Ok(folder) => folder,
            Err(why) => return (None, Some(format!("not in force: {why}"))),
        };
        let opened = File::open(&folder);
        let note = self.set(&folder, &Limits::default(), limits);
        self.of.insert(launch, Group { folder, memory: limits.memory, note: note.clone() });
        match opened {
            Ok(opened) => (Some(opened), note),
            Err(error) => (None, Some(format!("not in force: cannot enter the cgroup: {}", reason(&error)))),
        }
    }

    /// What to say when a process that was to enter the group of its launch did not.
    pub(super) fn entered(&self, launch: LaunchId, pid: u32) -> Option<String> {
        let group = self.of.get(&launch)?;
        let is_in = kernel::folder(pid).is_none_or(|(folder, _)| folder == group.folder);
        (!is_in).then(|| group.outside())
    }

    /// Takes over the group of a launch that an earlier daemon started. False where it is in none.
    pub(super) fn adopt(&mut self, launch: LaunchId, pid: u32, limits: &Limits) -> bool {
        let folder = group_of(&self.home, pid);
        let found = folder.is_some();
        if found {
            // What can be set there, and what is to be removed in the end.
            let _ = self.place();
        }
        self.of.extend(folder.map(|folder| (launch, Group { folder, memory: limits.memory, note: None })));
        found
    }

    /// Other limits for what runs: what of them is not in force, and whether memory that it has already escapes them as
    /// long as it runs. `members` are all its processes, asked for until there are no more, where it is in no
    /// group yet.
    pub(super) fn change(
        &mut self,
        launch: LaunchId,
        name: &str,
        limits: &Limits,
        mut members: impl FnMut() -> Vec<u32>,
    ) -> (Option<String>, bool) {
        if let Some(group) = self.of.get_mut(&launch) {
            group.memory = limits.memory;
            let folder = group.folder.clone();
            let every = Limits { memory: Some(0), cpu_percent: Some(0), pids: Some(0) };
            return (self.set(&folder, &every, limits), false);
        }
        if limits.is_none() {
            return (None, false);
        }
        let (opened, note) = self.open(launch, name, limits);
        let Some(folder) = opened.and_then(|_| Some(self.of.get(&launch)?.folder.clone())) else {
            return (note, false);
        };
        let is_in = |pid: &u32| kernel::folder(*pid).is_none_or(|(theirs, _)| theirs == folder);
        let mut outside = || -> Vec<u32> { members().into_iter().filter(|pid| !is_in(pid)).collect() };
        // Who is forked by one that has been moved is in the group already.
        for _ in 0..place::ROUNDS {
            let left = outside();
            if left.is_empty() {
                let escapes = note.is_none() && limits.memory.is_some();
                return (note, escapes);
            }
            for pid in left {
                // It may have ended.
                let _ = Kernel.write(&folder.join("cgroup.procs"), &pid.to_string());
            }
        }
        let why = "not in force: it cannot be moved into a cgroup while it runs; they are from its next start on";
        (Some(why.to_owned()), false)
    }

    /// SIGKILL to everybody in the group at once, whoever forks meanwhile included (Linux 5.14).
    pub(super) fn kill(&self, launch: LaunchId) {
        if let Some(group) = self.of.get(&launch) {
            let _ = Kernel.write(&group.folder.join("cgroup.kill"), "1");
        }
    }

    /// None where nobody counts.
    pub(super) fn kills(&self, launch: LaunchId) -> Option<Kills> {
        let group = self.of.get(&launch)?;
        kills(&group.folder, group.memory)
    }

    /// Groups that an earlier daemon has made and not removed, and what was killed in them.
    pub(super) fn left_over(&self) -> Vec<(PathBuf, Kills)> {
        let folder = kernel::me(&self.home).map(|me| place::own(&me).join(&me.name));
        folder.map(|folder| counted(Kernel.below(&folder))).unwrap_or_default()
    }

    /// Whether it runs in one of its own.
    pub(super) fn has(&self, launch: LaunchId) -> bool {
        self.of.contains_key(&launch)
    }

    /// The launch has ended. Its group goes when nobody is left in it.
    pub(super) fn release(&mut self, launch: LaunchId) {
        self.left.extend(self.of.remove(&launch).map(|group| group.folder));
    }

    pub(super) fn tidy(&mut self) {
        self.left.retain(|folder| match Kernel.remove(folder) {
            Ok(()) => false,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        });
    }

    /// As far as nothing is left running, everything is as it was before.
    pub(super) fn end(&mut self) {
        self.tidy();
        if let Some(Ok(place)) = self.place.take()
            && Kernel.remove(&place.folder).is_ok()
        {
            place::take_back(&Kernel, &place.made);
        }
    }

    fn make(&mut self, name: &str) -> Result<PathBuf, String> {
        // Who was in the way may have gone.
        self.place.take_if(|place| place.is_err());
        for first in [true, false] {
            let folder = self.place()?.folder.join(name);
            match Kernel.make(&folder) {
                Ok(()) => return Ok(folder),
                // Somebody has taken the place away: it is looked for anew.
                Err(error) if first && error.kind() == io::ErrorKind::NotFound => self.place = None,
                Err(error) => return Err(format!("its cgroup cannot be made: {}", reason(&error))),
            }
        }
        Err("its cgroup vanished".to_owned())
    }

    fn place(&mut self) -> Result<&Place, String> {
        let home = &self.home;
        let find = || {
            let me = kernel::me(home)
                .ok_or("no cgroup v2 is mounted here that pmrun is in; mounted at `/sys/fs/cgroup` it brings limits")?;
            let place = place::find(&Kernel, &me)?;
            // What an earlier daemon could not remove any more.
            for group in std::fs::read_dir(&place.folder).into_iter().flatten().flatten() {
                let _ = Kernel.remove(&group.path());
            }
            Ok(place)
        };
        self.place.get_or_insert_with(find).as_ref().map_err(Clone::clone)
    }

    /// What is not in force of `limits`. Where there is none and there may have been one, it is taken away.
    fn set(&self, folder: &Path, before: &Limits, limits: &Limits) -> Option<String> {
        let nothing = BTreeMap::new();
        let missing = match &self.place {
            Some(Ok(place)) if folder.starts_with(&place.folder) => &place.missing,
            _ => &nothing,
        };
        set(&Kernel, folder, missing, before, limits)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.end();
    }
}

/// Counted before anything else is done: whose launch has ended is removed when the first goes on.
fn counted(groups: Vec<PathBuf>) -> Vec<(PathBuf, Kills)> {
    groups.into_iter().filter_map(|group| kills(&group, Some(0)).map(|kills| (group, kills))).collect()
}

/// In a group of `left_over` whose launch was called `name`, but for its mark.
pub(super) fn kills_of(left_over: &[(PathBuf, Kills)], name: &str, memory: Option<u64>) -> Option<Kills> {
    let is_its = |folder: &Path| {
        let text = folder.file_name().and_then(|name| name.to_str());
        text.and_then(|text| text.rsplitn(3, '.').nth(2)) == Some(name)
    };
    let (_, kills) = left_over.iter().find(|(folder, kills)| *kills != Kills::None && is_its(folder))?;
    Some(match kills {
        Kills::AtLimit(_) => memory.map_or(Kills::Above, Kills::AtLimit),
        kills => *kills,
    })
}

fn kills(folder: &Path, memory: Option<u64>) -> Option<Kills> {
    let events = |file: &str| Kernel.read(&folder.join(file)).unwrap_or_default();
    if count(&events("memory.events"), "oom_kill")? == 0 {
        return Some(Kills::None);
    }
    let at_limit = count(&events("memory.events.local"), "oom").is_some_and(|times| times > 0);
    Some(memory.filter(|_| at_limit).map_or(Kills::Above, Kills::AtLimit))
}

/// What this home's groups need is passed on to them no more, so that the group above may have processes again. The next
/// daemon passes it on, and sets limits anew.
///
/// # Errors
/// The system's.
pub fn make_room(home: &str) -> io::Result<()> {
    match kernel::me(home) {
        Some(me) => place::make_room(&Kernel, &me),
        None => Ok(()),
    }
}

/// What of its limits is not in force for a process that no daemon watches, by what the kernel has for it.
pub fn not_in_force(home: &str, pid: u32, limits: &Limits) -> Option<String> {
    if limits.is_none() {
        return None;
    }
    let Some(folder) = group_of(home, pid) else {
        return Some("not in force: it runs in no cgroup of pmrun's".to_owned());
    };
    unset(&Kernel, &folder, limits)
}

fn unset(tree: &impl Tree, folder: &Path, limits: &Limits) -> Option<String> {
    let wanted =
        [("memory", limits.memory.is_some()), ("cpu", limits.cpu_percent.is_some()), ("pids", limits.pids.is_some())];
    let is_set = |controller: &str| {
        let text = tree.read(&folder.join(format!("{controller}.max")));
        text.is_ok_and(|text| !text.starts_with("max"))
    };
    let names: Vec<&str> = wanted.into_iter().filter(|(name, on)| *on && !is_set(name)).map(|(name, _)| name).collect();
    (!names.is_empty()).then(|| format!("not in force ({}): its cgroup has no such limit", names.join(", ")))
}

/// The folder of the group that was made for a launch of this home's, by a process in it.
fn group_of(home: &str, pid: u32) -> Option<PathBuf> {
    let name = kernel::name(home);
    if !kernel::may_be_below(pid, &name) {
        return None;
    }
    let (folder, _) = kernel::folder(pid)?;
    folder.parent().is_some_and(|parent| parent.ends_with(name)).then_some(folder)
}

fn set(
    tree: &impl Tree,
    folder: &Path,
    missing: &BTreeMap<&'static str, String>,
    before: &Limits,
    limits: &Limits,
) -> Option<String> {
    let mut failed: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let wanted = [
        ("memory", before.memory.is_some(), limits.memory.map(|bytes| bytes.to_string())),
        ("cpu", before.cpu_percent.is_some(), limits.cpu_percent.map(quota)),
        ("pids", before.pids.is_some(), limits.pids.map(|pids| pids.to_string())),
    ];
    for (controller, had, value) in wanted {
        let why = match (missing.get(controller), &value) {
            (_, None) if !had => continue,
            (Some(_), None) => continue,
            (Some(why), Some(_)) => Err(why.clone()),
            (None, _) => write(tree, folder, controller, value.as_deref()),
        };
        if let Err(why) = why {
            failed.entry(why).or_default().push(controller);
        }
    }
    let told: Vec<String> =
        failed.into_iter().map(|(why, names)| format!("not in force ({}): {why}", names.join(", "))).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// None is no limit.
fn write(tree: &impl Tree, folder: &Path, controller: &str, value: Option<&str>) -> Result<(), String> {
    if controller == "memory" {
        // Without swap, or on an old kernel, there is no such file.
        let _ = tree.write(&folder.join("memory.swap.max"), if value.is_some() { "0" } else { "max" });
        let _ = tree.write(&folder.join("memory.oom.group"), "1");
    }
    let (file, text) = (format!("{controller}.max"), value.unwrap_or("max"));
    let written = match tree.write(&folder.join(&file), text) {
        // What is not there limits nothing.
        Err(error) if value.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written,
    };
    written.map_err(|error| format!("cannot write `{text}` to `{file}`: {}", reason(&error)))
}

fn quota(percent: u32) -> String {
    format!("{} {PERIOD_US}", u64::from(percent) * PERIOD_US / 100)
}
