//! Against an invented tree that has the kernel's rules (cgroups(7), "no internal processes" and "thread mode").

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::place::{CONTROLLERS, Me, Place, Tree, find, folder_of, make_room as make_room_in, take_back};
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
const THREADED: [&str; 3] = ["cpu", "pids", "cpuset"];

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

    /// As `cgroup.type` has it; none of the machine's root.
    fn kind(&self, folder: &Path) -> Option<&'static str> {
        let above = folder.parent().filter(|_| folder != Path::new("/g"))?;
        if self.kind(above).is_some_and(|kind| kind != "domain") {
            return Some("domain invalid");
        }
        let known = &self.folders.borrow()[folder];
        // Whoever passes on something else beside processes was not let.
        Some(if known.procs.is_empty() || known.passes_on.is_empty() { "domain" } else { "domain threaded" })
    }

    fn is_populated(&self, folder: &Path) -> bool {
        self.folders.borrow().iter().any(|(path, known)| path.starts_with(folder) && !known.procs.is_empty())
    }

    fn set_subtree(&self, folder: &Path, text: &str) -> io::Result<()> {
        let (there, kind) = (self.controllers(folder), self.kind(folder));
        for word in text.split(' ') {
            let (sign, controller) = word.split_at(1);
            let used = self.below(folder).iter().any(|one| self.folders.borrow()[one].passes_on.contains(controller));
            let mut folders = self.folders.borrow_mut();
            let known = folders.get_mut(folder).unwrap();
            match sign {
                "-" if used => return Err(error(rustix::io::Errno::BUSY)),
                "-" => _ = known.passes_on.remove(controller),
                _ if !there.contains(controller) => return Err(error(rustix::io::Errno::NOENT)),
                _ if kind == Some("domain invalid") => return Err(error(rustix::io::Errno::OPNOTSUPP)),
                _ if !THREADED.contains(&controller) && kind == Some("domain threaded") => {
                    return Err(error(rustix::io::Errno::OPNOTSUPP));
                }
                _ if !THREADED.contains(&controller) && kind.is_some() && !known.procs.is_empty() => {
                    return Err(error(rustix::io::Errno::BUSY));
                }
                _ => _ = known.passes_on.insert(controller.to_owned()),
            }
        }
        Ok(())
    }

    fn enter(&self, folder: &Path, pid: u32) -> io::Result<()> {
        if self.kind(folder) == Some("domain invalid") {
            return Err(error(rustix::io::Errno::OPNOTSUPP));
        }
        let passes_on = self.folders.borrow()[folder].passes_on.clone();
        let threads = passes_on.iter().all(|one| THREADED.contains(&one.as_str()))
            && !self.below(folder).iter().any(|one| self.is_populated(one));
        if folder != Path::new("/g") && !passes_on.is_empty() && !threads {
            return Err(error(rustix::io::Errno::BUSY));
        }
        let mut folders = self.folders.borrow_mut();
        folders.values_mut().for_each(|folder| _ = folder.procs.remove(&pid));
        folders.get_mut(folder).unwrap().procs.insert(pid);
        Ok(())
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
            "cgroup.type" => {
                drop(folders);
                self.kind(folder).ok_or_else(|| error(rustix::io::Errno::NOENT))?.to_owned()
            }
            other => known.values.get(other).cloned().ok_or_else(|| error(rustix::io::Errno::NOENT))?,
        })
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let (folder, file) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
        let controllers = self.controllers(folder);
        if self.folders.borrow().get(folder).ok_or_else(|| error(rustix::io::Errno::NOENT))?.closed {
            return Err(error(rustix::io::Errno::ACCESS));
        }
        match file {
            "cgroup.subtree_control" => self.set_subtree(folder, text),
            "cgroup.procs" => self.enter(folder, text.parse().unwrap()),
            file => {
                if !controllers.contains(file.split('.').next().unwrap()) {
                    return Err(error(rustix::io::Errno::NOENT));
                }
                let mut folders = self.folders.borrow_mut();
                folders.get_mut(folder).unwrap().values.insert(file.to_owned(), text.to_owned());
                Ok(())
            }
        }
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
        if self.is_populated(folder) || !self.below(folder).is_empty() {
            return Err(error(rustix::io::Errno::BUSY));
        }
        self.folders.borrow_mut().remove(folder).map(|_| ()).ok_or_else(|| error(rustix::io::Errno::NOENT))
    }

    fn below(&self, folder: &Path) -> Vec<PathBuf> {
        self.folders.borrow().keys().filter(|path| path.parent() == Some(folder)).cloned().collect()
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
    let place = find(tree, me).unwrap();
    assert_eq!((place.folder, place.missing), (folder.into(), BTreeMap::new()));
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
fn the_next_service_process_is_let_into_a_group_that_apps_with_limits_run_on_in() {
    let tree = Invented::new(ALL, SERVICE).with(SERVICE, |own| own.delegated = true);
    works(&tree, &me(SERVICE), &format!("{SERVICE}/pmrun-1"));
    let app = format!("{SERVICE}/pmrun-1/api-0.x");
    tree.make(Path::new(&app)).unwrap();
    tree.enter(Path::new(&app), 8).unwrap();
    // As systemd starts what is beside the service, and then the service itself.
    let beside = format!("{SERVICE}/.control");
    tree.make(Path::new(&beside)).unwrap();
    assert!(tree.enter(Path::new(SERVICE), 9).is_err());
    for _ in 0..2 {
        make_room_in(&tree, &me(&beside)).unwrap();
    }
    tree.enter(Path::new(SERVICE), 9).unwrap();
    works(&tree, &me(SERVICE), &format!("{SERVICE}/pmrun-1"));
    assert_eq!((tree.procs(&app), tree.procs(&format!("{SERVICE}/pmrun-1-main"))), (vec![8], vec![ME, 9]));
    // What is nobody's is left alone.
    let tree = Invented::new(ALL, SERVICE).with(SERVICE, |own| own.passes_on = words("cpu"));
    make_room_in(&tree, &me(SERVICE)).unwrap();
    assert_eq!(tree.folders.borrow()[Path::new(SERVICE)].passes_on, words("cpu"));
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
    // Nothing is half done: who starts there can enter its group, if to no avail.
    assert_eq!(tree.folders.borrow()[Path::new("/g/a")].passes_on, words(""));
    tree.make(Path::new("/g/a/pmrun-1/x")).unwrap();
    tree.enter(Path::new("/g/a/pmrun-1/x"), 9).unwrap();
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

#[test]
fn where_cpu_and_pids_alone_are_passed_on_processes_make_room_all_the_same() {
    let free = Me { systemd: false, ..me("/g/a") };
    let tree = Invented::new(ALL, "/g/a").with("/g", |above| above.passes_on = words("cpu pids"));
    let place = find(&tree, &free).unwrap();
    assert_eq!(place.missing.keys().copied().collect::<Vec<_>>(), ["memory"]);
    assert_eq!((tree.procs("/g/a"), tree.procs("/g/a/pmrun-1-main")), (vec![], vec![ME]));
    let group = place.folder.join("x");
    tree.make(&group).unwrap();
    tree.enter(&group, 9).unwrap();
    assert_eq!(tree.controllers(&group), words("cpu pids"));
}

#[test]
fn a_group_that_passes_them_on_beside_processes_is_healed() {
    let free = Me { systemd: false, ..me("/g/a") };
    let poisoned = |passes_on: &str| {
        let tree = Invented::new("cpu memory pids cpuset", "/g/a");
        tree.with("/g/a", |own| own.passes_on = words(passes_on)).with("/g/a/pmrun-1", |_| ())
    };
    for passes_on in ["cpu pids", "pids"] {
        works(&poisoned(passes_on), &free, "/g/a/pmrun-1");
    }
    let tree = poisoned("cpu pids cpuset");
    works(&tree, &free, "/g/a/pmrun-1");
    assert_eq!(tree.folders.borrow()[Path::new("/g/a")].passes_on, words("cpu memory pids cpuset"));
    // As long as others are in it, it is left as it is.
    let tree = poisoned("cpu pids").with("/g/a", |own| _ = own.procs.insert(8));
    assert_eq!(find(&tree, &free).unwrap().missing.len(), 3);
    assert_eq!(tree.folders.borrow()[Path::new("/g/a")].passes_on, words("cpu pids"));
}

#[test]
fn in_the_end_the_group_is_as_it_was() {
    let free = Me { systemd: false, ..me("/g/a") };
    let end = |tree: &Invented, me: &Me| {
        let place = find(tree, me).unwrap();
        tree.remove(&place.folder).unwrap();
        take_back(tree, &place.made);
    };
    let is_as_before = |tree: &Invented| {
        assert_eq!((tree.procs("/g/a"), tree.below(Path::new("/g/a"))), (vec![ME], vec![]));
        assert_eq!(tree.folders.borrow()[Path::new("/g/a")].passes_on, words(""));
    };
    let tree = Invented::new(ALL, "/g/a");
    end(&tree, &free);
    is_as_before(&tree);
    // A daemon that takes over from one that was killed.
    find(&tree, &free).unwrap();
    end(&tree, &Me { group: "/g/a/pmrun-1-main".into(), ..free.clone() });
    is_as_before(&tree);
    // Another home's, or the user's own, may need what was passed on.
    let tree = Invented::new(ALL, "/g/a");
    find(&tree, &free).unwrap();
    let tree = tree.with("/g/a/other", |_| ());
    end(&tree, &Me { group: "/g/a/pmrun-1-main".into(), ..free });
    assert_eq!(tree.folders.borrow()[Path::new("/g/a")].passes_on, words("cpu memory pids"));
    // What the machine's root passed on before is not pmrun's to take.
    let tree = Invented::new(ALL, "/g").with("/g", |own| own.passes_on = words("cpu"));
    end(&tree, &Me { systemd: false, ..me("/g") });
    assert_eq!(tree.folders.borrow()[Path::new("/g")].passes_on, words("cpu"));
}

const LIMITS: Limits = Limits { memory: Some(512 << 20), cpu_percent: Some(150), pids: Some(200) };

#[test]
fn limits_are_written_and_taken_away_again() {
    let tree = Invented::new(ALL, SERVICE).with(SERVICE, |own| own.delegated = true);
    let Place { folder, missing, .. } = find(&tree, &me(SERVICE)).unwrap();
    let group = folder.join("api-0.x");
    tree.make(&group).unwrap();
    let value = |file: &str| tree.value(group.join(file).to_str().unwrap());
    assert_eq!(set(&tree, &group, &missing, &Limits::default(), &LIMITS), None);
    let files = ["memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max", "memory.high"];
    let want = [Some("536870912"), Some("0"), Some("1"), Some("150000 100000"), Some("200"), None];
    assert_eq!(files.map(value), want.map(|text| text.map(str::to_owned)));
    assert_eq!(set(&tree, &group, &missing, &LIMITS, &Limits { pids: Some(9), ..Limits::default() }), None);
    assert_eq!(["memory.max", "cpu.max", "pids.max"].map(value), ["max", "max", "9"].map(|text| Some(text.to_owned())));
    assert_eq!(unset(&tree, &group, &Limits { pids: Some(9), ..Limits::default() }), None);
    let unset = unset(&tree, &group, &LIMITS);
    assert_eq!(unset.as_deref(), Some("not in force (memory, cpu): its cgroup has no such limit"));
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
        groups.of.insert(launch, Group { folder: folder.path().to_owned(), memory, note: None });
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
fn who_does_not_get_in_is_told_what_was_known_before() {
    let outside =
        |note: Option<&str>| Group { folder: "/g/x".into(), memory: None, note: note.map(str::to_owned) }.outside();
    let why = "not in force: the kernel did not let it into its cgroup";
    assert_eq!(outside(None), why);
    assert_eq!(outside(Some("not in force (cpu): who; what")), format!("not in force (cpu): who; what; {why}"));
}

#[test]
fn what_ended_while_no_daemon_ran_is_known_by_its_group() {
    let parent = tempfile::tempdir().unwrap();
    let group = |name: &str, kills: u32| {
        let folder = parent.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("memory.events"), format!("oom_kill {kills}\n")).unwrap();
        std::fs::write(folder.join("memory.events.local"), format!("oom {kills}\n")).unwrap();
        folder
    };
    let left_over = counted(vec![group("api-0.x.1", 1), group("web-0.x.2", 0), group("api-0.web-1.x.3", 1)]);
    // They may be gone by the time somebody asks.
    std::fs::remove_dir_all(parent.path().join("api-0.x.1")).unwrap();
    assert_eq!(kills_of(&left_over, "api-0", Some(9)), Some(Kills::AtLimit(9)));
    assert_eq!(kills_of(&left_over, "api-0", None), Some(Kills::Above));
    for name in ["web-0", "web-1", "api", "api-1"] {
        assert_eq!(kills_of(&left_over, name, Some(9)), None, "{name}");
    }
}

#[test]
fn a_group_goes_when_the_last_of_it_has_ended() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("api-0.x");
    // As long as somebody is in it, it cannot be removed.
    std::fs::create_dir_all(folder.join("somebody")).unwrap();
    let mut groups = Groups::new("/h");
    groups.of.insert(LaunchId(1), Group { folder: folder.clone(), memory: None, note: None });
    groups.tidy();
    groups.release(LaunchId(1));
    groups.tidy();
    assert!(folder.exists());
    std::fs::remove_dir(folder.join("somebody")).unwrap();
    groups.tidy();
    assert!(!folder.exists() && groups.left.is_empty());
}
