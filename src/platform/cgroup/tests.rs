//! Against an invented tree that has the kernel's rules (cgroups(7), "no internal processes").

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::place::{CONTROLLERS, Me, Place, Tree, find, folder_of};
use super::*;

#[derive(Clone, Debug, Default)]
struct Folder {
    procs: BTreeSet<u32>,
    passes_on: BTreeSet<String>,
    delegated: bool,
    closed: bool,
    values: BTreeMap<String, String>,
}

/// Below `/g`, where the hierarchy is mounted.
#[derive(Debug)]
struct Invented {
    has: BTreeSet<String>,
    ours: BTreeSet<u32>,
    folders: RefCell<BTreeMap<PathBuf, Folder>>,
}

const ME: u32 = 7;

fn words(text: &str) -> BTreeSet<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn error(errno: rustix::io::Errno) -> io::Error {
    errno.into()
}

impl Invented {
    /// This process is in `own`, to whose parents everything is passed on.
    fn new(has: &str, own: &str) -> Self {
        let mut folders = BTreeMap::new();
        for folder in Path::new(own).ancestors().filter(|folder| folder.starts_with("/g")) {
            folders.insert(folder.to_owned(), Folder { passes_on: words(has), ..Folder::default() });
        }
        folders.insert(own.into(), Folder { procs: BTreeSet::from([ME]), ..Folder::default() });
        Self { has: words(has), ours: BTreeSet::from([ME]), folders: RefCell::new(folders) }
    }

    fn with(self, folder: &str, change: impl FnOnce(&mut Folder)) -> Self {
        change(self.folders.borrow_mut().entry(folder.into()).or_default());
        self
    }

    fn controllers(&self, folder: &Path) -> BTreeSet<String> {
        match folder.parent().filter(|parent| parent.starts_with("/g")) {
            Some(parent) => self.folders.borrow()[parent].passes_on.clone(),
            None => self.has.clone(),
        }
    }

    fn value(&self, file: &str) -> Option<String> {
        let file = Path::new(file);
        self.folders.borrow()[file.parent()?].values.get(file.file_name()?.to_str()?).cloned()
    }

    fn procs(&self, folder: &str) -> Vec<u32> {
        self.folders.borrow().get(Path::new(folder)).into_iter().flat_map(|folder| folder.procs.clone()).collect()
    }
}

impl Tree for Invented {
    fn read(&self, path: &Path) -> io::Result<String> {
        let folder = path.parent().unwrap();
        let folders = self.folders.borrow();
        let known = folders.get(folder).ok_or_else(|| error(rustix::io::Errno::NOENT))?;
        let join = |words: &BTreeSet<String>| words.iter().cloned().collect::<Vec<_>>().join(" ");
        Ok(match path.file_name().unwrap().to_str().unwrap() {
            "cgroup.subtree_control" => join(&known.passes_on),
            "cgroup.procs" => known.procs.iter().map(u32::to_string).collect::<Vec<_>>().join("\n"),
            "cgroup.controllers" => {
                drop(folders);
                join(&self.controllers(folder))
            }
            other => known.values.get(other).cloned().ok_or_else(|| error(rustix::io::Errno::NOENT))?,
        })
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let (folder, file) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
        let controllers = self.controllers(folder);
        let mut folders = self.folders.borrow_mut();
        if folders.get(folder).ok_or_else(|| error(rustix::io::Errno::NOENT))?.closed {
            return Err(error(rustix::io::Errno::ACCESS));
        }
        match file {
            "cgroup.subtree_control" => {
                let known = folders.get_mut(folder).unwrap();
                let controller = text.strip_prefix('+').unwrap();
                if !controllers.contains(controller) {
                    return Err(error(rustix::io::Errno::NOENT));
                }
                if !known.procs.is_empty() && folder != Path::new("/g") {
                    return Err(error(rustix::io::Errno::BUSY));
                }
                known.passes_on.insert(controller.to_owned());
            }
            "cgroup.procs" => {
                if !folders[folder].passes_on.is_empty() {
                    return Err(error(rustix::io::Errno::BUSY));
                }
                let pid = text.parse().unwrap();
                folders.values_mut().for_each(|folder| _ = folder.procs.remove(&pid));
                folders.get_mut(folder).unwrap().procs.insert(pid);
            }
            file => {
                let controller = file.split('.').next().unwrap();
                if !controllers.contains(controller) {
                    return Err(error(rustix::io::Errno::NOENT));
                }
                folders.get_mut(folder).unwrap().values.insert(file.to_owned(), text.to_owned());
            }
        }
        Ok(())
    }

    fn make(&self, folder: &Path) -> io::Result<()> {
        let mut folders = self.folders.borrow_mut();
        if folders.contains_key(folder) {
            return Err(error(rustix::io::Errno::EXIST));
        }
        if folders.get(folder.parent().unwrap()).ok_or_else(|| error(rustix::io::Errno::NOENT))?.closed {
            return Err(error(rustix::io::Errno::ACCESS));
        }
        folders.insert(folder.to_owned(), Folder::default());
        Ok(())
    }

    fn remove(&self, folder: &Path) -> io::Result<()> {
        self.folders.borrow_mut().remove(folder).map(|_| ()).ok_or_else(|| error(rustix::io::Errno::NOENT))
    }

    fn is_delegated(&self, folder: &Path) -> bool {
        self.folders.borrow()[folder].delegated
    }

    fn is_ours(&self, pid: u32) -> bool {
        self.ours.contains(&pid)
    }
}

fn me(group: &str) -> Me {
    Me { mount: "/g".into(), group: group.into(), name: "pmrun-1".to_owned(), is_root: true, systemd: true }
}

#[track_caller]
fn works(tree: &Invented, me: &Me, folder: &str) {
    assert_eq!(find(tree, me), Ok(Place { folder: folder.into(), missing: BTreeMap::new() }));
    let passes_on = tree.folders.borrow()[Path::new(folder)].passes_on.clone();
    assert_eq!(passes_on, CONTROLLERS.iter().map(|one| (*one).to_owned()).collect());
}

const ALL: &str = "cpu memory pids io";
const SERVICE: &str = "/g/system.slice/pmrun.service";

#[test]
fn a_delegated_group_is_made_room_in() {
    let tree = Invented::new(ALL, SERVICE).with(SERVICE, |own| own.delegated = true);
    // Whoever else is in it: all of it is the service's.
    let tree = tree.with(SERVICE, |own| _ = own.procs.insert(8));
    works(&tree, &me(SERVICE), &format!("{SERVICE}/pmrun-1"));
    assert_eq!(tree.procs(SERVICE), [0_u32; 0]);
    assert_eq!(tree.procs(&format!("{SERVICE}/pmrun-1-main")), [ME, 8]);
    // The next daemon, started from there.
    works(&tree, &me(&format!("{SERVICE}/pmrun-1-main")), &format!("{SERVICE}/pmrun-1"));
}

#[test]
fn where_nobody_manages_groups_but_the_kernel() {
    let free = |group: &str| Me { systemd: false, ..me(group) };
    // The machine's root may have processes and pass on controllers.
    let tree = Invented::new(ALL, "/g").with("/g", |own| _ = own.procs.insert(8));
    works(&tree, &free("/g"), "/g/pmrun-1");
    assert_eq!(tree.procs("/g"), [ME, 8]);
    // Below it there is room to be made, if all that is there is ours.
    let mut tree = Invented::new(ALL, "/g/a").with("/g/a", |own| _ = own.procs.insert(8));
    let missing = find(&tree, &free("/g/a")).unwrap().missing;
    let why = "other processes run in the cgroup `/a`; pmrun needs one that it may write to and that nobody else is in";
    assert_eq!(missing, CONTROLLERS.map(|one| (one, why.to_owned())).into());
    tree.ours.insert(8);
    works(&tree, &free("/g/a"), "/g/a/pmrun-1");
}

#[test]
fn what_is_in_the_way_is_said_with_what_to_do() {
    let user = Me { is_root: false, ..me("/g/user/terminal.scope") };
    let check = |tree: &Invented, me: &Me, want: &str| {
        let why = match find(tree, me) {
            Err(why) => why,
            Ok(place) => set(tree, &place.folder, &place.missing, &Limits::default(), &LIMITS).unwrap_or_default(),
        };
        assert!(why.starts_with(want) && why.contains("; "), "{why}");
    };
    check(
        &Invented::new(ALL, SERVICE),
        &me(SERVICE),
        "the cgroup `/system.slice/pmrun.service` is systemd's own; `pmrun kill`, then `systemd-run --scope",
    );
    let scope = "/g/user/terminal.scope";
    let tree = Invented::new(ALL, scope).with(scope, |own| own.closed = true);
    check(
        &tree,
        &user,
        "cannot make a cgroup in `/user/terminal.scope`: Permission denied; `pmrun kill`, then `systemd-run --user",
    );
    let tree = Invented::new(ALL, scope).with(scope, |own| _ = own.procs.insert(8));
    check(&tree, &user, "not in force (memory, cpu, pids): other processes run in the cgroup `/user/terminal.scope`; ");
    let tree = Invented::new(ALL, scope).with("/g/user", |above| above.passes_on = words("memory pids"));
    check(&tree, &user, "not in force (cpu): the cgroup above `/user/terminal.scope` does not pass it on; ");
    let tree = tree.with(scope, |own| own.delegated = true);
    check(
        &tree,
        &user,
        "not in force (cpu): the cgroup above `/user/terminal.scope` does not pass it on; `Delegate=cpu memory pids` in",
    );
    // A machine on whose v2 hierarchy there is none of them.
    check(
        &Invented::new("hugetlb", scope),
        &user,
        "not in force (memory, cpu, pids): cgroup v2 has no such controller on this machine; ",
    );
}

const LIMITS: Limits = Limits { memory: Some(512 << 20), cpu_percent: Some(150), pids: Some(200) };

#[test]
fn limits_are_written_and_taken_away_again() {
    let tree = Invented::new(ALL, SERVICE).with(SERVICE, |own| own.delegated = true);
    let Place { folder, missing } = find(&tree, &me(SERVICE)).unwrap();
    let group = folder.join("api-0.x");
    tree.make(&group).unwrap();
    let value = |file: &str| tree.value(group.join(file).to_str().unwrap());
    assert_eq!(set(&tree, &group, &missing, &Limits::default(), &LIMITS), None);
    let files = ["memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max", "memory.high"];
    let want = [Some("536870912"), Some("0"), Some("1"), Some("150000 100000"), Some("200"), None];
    assert_eq!(files.map(value), want.map(|text| text.map(str::to_owned)));
    assert_eq!(set(&tree, &group, &missing, &LIMITS, &Limits { pids: Some(9), ..Limits::default() }), None);
    assert_eq!(["memory.max", "cpu.max", "pids.max"].map(value), ["max", "max", "9"].map(|text| Some(text.to_owned())));
    let fewer = BTreeMap::from([("memory", "why; what".to_owned())]);
    assert_eq!(set(&tree, &group, &fewer, &LIMITS, &Limits::default()), None);
    let note = set(&tree, &group, &fewer, &LIMITS, &LIMITS);
    assert_eq!(note.as_deref(), Some("not in force (memory): why; what"));
}

#[test]
fn a_process_is_found_in_its_group_wherever_that_is_mounted() {
    let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    let hybrid = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    let part = "30 23 0:26 /docker/ab /sys/fs/cgroup ro shared:4 - cgroup2 cgroup2 rw\n";
    for (cgroup, mountinfo, want) in [
        ("0::/user.slice/a b\n", unified, Some("/sys/fs/cgroup/user.slice/a b")),
        ("4:memory:/x\n0::/\n", hybrid, Some("/sys/fs/cgroup/unified")),
        ("0::/docker/ab/x\n", part, Some("/sys/fs/cgroup/x")),
        ("0::/docker/ab\n", part, Some("/sys/fs/cgroup")),
        ("0::/docker/cd\n", part, None),
        ("0::/../../x\n", unified, None),
        ("0::/x (deleted)\n", unified, None),
        ("4:memory:/x\n", hybrid, None),
        ("0::/x\n", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", None),
    ] {
        let folder = folder_of(cgroup, mountinfo).map(|(folder, _)| folder);
        assert_eq!(folder.as_deref(), want.map(Path::new), "{cgroup}");
    }
}

#[test]
fn who_was_killed_at_its_limit_is_told_from_who_was_killed_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let launch = LaunchId(1);
    let kills = |memory: Option<u64>, events: Option<&str>, local: &str| {
        let mut groups = Groups::new("/h");
        groups.of.insert(launch, Group { folder: folder.path().to_owned(), memory });
        let _ = std::fs::remove_file(folder.path().join("memory.events"));
        let text = |kills: &str| format!("low 0\noom 0\noom_kill {kills}\noom_group_kill 0\n");
        if let Some(kills) = events {
            std::fs::write(folder.path().join("memory.events"), text(kills)).unwrap();
        }
        std::fs::write(folder.path().join("memory.events.local"), format!("oom {local}\n")).unwrap();
        groups.kills(launch)
    };
    assert_eq!(kills(Some(9), None, "0"), None);
    assert_eq!(kills(Some(9), Some("0"), "3"), Some(Kills::None));
    assert_eq!(kills(Some(9), Some("1"), "1"), Some(Kills::AtLimit(9)));
    assert_eq!(kills(Some(9), Some("1"), "0"), Some(Kills::Above));
    assert_eq!(kills(None, Some("2"), "0"), Some(Kills::Above));
    assert_eq!(Groups::new("/h").kills(launch), None);
}

#[test]
fn a_group_goes_when_the_last_of_it_has_ended() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("api-0.x");
    // As long as somebody is in it, it cannot be removed.
    std::fs::create_dir_all(folder.join("somebody")).unwrap();
    let mut groups = Groups::new("/h");
    groups.of.insert(LaunchId(1), Group { folder: folder.clone(), memory: None });
    groups.tidy();
    groups.release(LaunchId(1));
    groups.tidy();
    assert!(folder.exists());
    std::fs::remove_dir(folder.join("somebody")).unwrap();
    groups.tidy();
    assert!(!folder.exists() && groups.left.is_empty());
}
