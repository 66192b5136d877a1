//! `limits`, and deaths for want of memory.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Home, needs_root, procs, skipped, stay};

/// A cgroup for a test, which goes with it.
struct Group(PathBuf);

impl Group {
    /// Below the one that this process is in. `controller` is of cgroup v1; without it v2 is meant.
    fn new(controller: Option<&str>) -> Option<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            (controllers.split(',').any(|one| one == controller.unwrap_or_default())).then_some(path)
        })?;
        let mount = mounts.lines().find_map(|line| {
            let (mount, kind) = line.split_once(" - ")?;
            let found = match controller {
                Some(controller) => kind.starts_with("cgroup ") && kind.split([' ', ',']).any(|one| one == controller),
                None => kind.starts_with("cgroup2 "),
            };
            let mut fields = mount.split(' ').skip(3);
            (found && fields.next() == Some("/")).then(|| fields.next().map(str::to_owned))?
        })?;
        let own = Path::new(&mount).join(own.trim_start_matches('/'));
        let folder = own.join(format!("pmrun-test-{}-{:?}", std::process::id(), std::thread::current().id()));
        std::fs::create_dir(&folder).ok()?;
        Some(Self(folder))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Nobody is in it any more: the home has ended everything, or is about to fail the test.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// What is killed at a limit of 30 MB that pmrun does not know of.
#[test]
fn a_death_for_want_of_memory_is_named_wherever_it_is_shown() {
    if !needs_root() {
        return;
    }
    let Some(group) = Group::new(Some("memory")) else { return skipped("no memory cgroup (v1) can be made") };
    if std::fs::write(group.0.join("memory.limit_in_bytes"), "31457280").is_err() {
        return skipped("no limit of memory can be set");
    }
    let home = Home::new();
    let script = format!(
        "#!/bin/sh\necho $$ >'{}/cgroup.procs'\nheld=$(head -c 200000000 /dev/zero | tr '\\0' x)\necho survived\n",
        group.0.display()
    );
    home.write("greedy.sh", script);
    home.write("killed.sh", "#!/bin/sh\nkill -9 $$\n");
    // However long it takes on a busy machine, it is not taken for one that has come up.
    let app = |name: &str| json!({ "name": name, "script": format!("./{name}.sh"), "autorestart": false, "min_uptime": 60_000, "fingerprint": false });
    // Where the kernel's log can be read, and has the pids that are seen here, it says whom it was.
    let first_pids = std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link == Path::new("pid:[4026531836]"));
    let is_sure = first_pids && std::fs::File::open("/dev/kmsg").is_ok();
    let named = if is_sure {
        "out of memory: killed by the kernel, as the machine or a group that it is in had no more"
    } else {
        "killed by SIGKILL, and the kernel's out-of-memory killer acted in the last "
    };
    home.write_json("eco.json", &json!([app("greedy")]));
    home.exits(3, &["apply", "eco.json"]).says(&format!("it ended: {named}"));
    assert_eq!(home.log("greedy-out.log"), "");
    let out_of_memory = home.list()[0].0["last_exit"]["out_of_memory"].clone();
    assert!(out_of_memory["somewhere"]["within_ms"].is_u64() || is_sure && out_of_memory == "above", "{out_of_memory}");
    home.ok(&["show", "greedy"]).prints(&format!("last exit  {named}"));
    assert!(home.daemon_log().contains(&format!("`greedy:0`: {named}")), "{}", home.daemon_log());
    // It stays known when it is stopped.
    home.ok(&["stop", "greedy"]);
    home.ok(&["show", "greedy"]).prints(&format!("last exit  {named}"));
    // What somebody else kills is no more than killed.
    if is_sure {
        home.write_json("eco.json", &json!([app("greedy"), app("killed")]));
        home.exits(3, &["apply", "eco.json"])
            .says("`killed:0` failed: it ended: killed by SIGKILL (autorestart is off)");
    }
}

/// The v2 group that a process is in; none without cgroup v2.
fn group_of(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned))
}

fn limited(name: &str) -> Value {
    let mut app = stay(name);
    app["limits"] = json!({ "memory": "512M", "cpu": 1.5, "pids": 200 });
    app
}

/// The group of an instance that was started with limits. None, and why is said, where pmrun can make none here.
fn grouped(home: &Home, pid: u32) -> Option<PathBuf> {
    let name = group_of(pid).and_then(|group| group.rsplit_once("/pmrun-").map(|(_, name)| format!("pmrun-{name}")));
    let note = home.list()[0].0["limits_note"].as_str().unwrap_or("nothing is said").to_owned();
    let Some(name) = name else {
        skipped(&format!("no cgroup can be made: {note}"));
        return None;
    };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
    let group = group_of(pid).expect("it was there");
    let folder = Path::new(mount.expect("a mount")).join(group.trim_start_matches('/'));
    assert!(name.contains("/a-0."), "{name}");
    Some(folder)
}

#[test]
fn limits_are_in_force_or_it_is_said_that_they_are_not() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let output = home.apply(&json!([limited("a")]));
    let note = home.list()[0].0["limits_note"].as_str().map(str::to_owned);
    match &note {
        Some(note) => {
            assert!(note.starts_with("not in force"), "{note}");
            output.says(&format!("limits of `a`: {note}"));
            home.ok(&["show", "a"]).prints(&format!("limits    {note}"));
            // Each time: nobody is to believe in limits that are none.
            home.ok(&["apply", "eco.json"]).says(&format!("limits of `a`: {note}")).says("nothing to do");
            for command in [&["restart", "a"][..], &["start", "a"], &["resurrect"]] {
                home.ok(command).says(&format!("limits of `a`: {note}"));
            }
        }
        None => _ = output.never_shows("limits of"),
    }
    home.ok(&["diff", "eco.json"]);
    // With no daemon to ask, too.
    home.lose_daemon();
    let said = home.list()[0].0["limits_note"].as_str().map(str::to_owned);
    assert_eq!(said.is_some_and(|said| said.starts_with("not in force")), note.is_some());
    assert_eq!(home.ok(&["show", "a"]).stdout.contains("limits    not in force"), note.is_some());
    let Some(folder) = grouped(&home, home.pid("a:0")) else { return };
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    for (file, want) in [("memory.max", "536870912"), ("cpu.max", "150000 100000"), ("pids.max", "200")] {
        let name = &file[..file.len() - 4];
        if note.as_ref().is_none_or(|note| !note.contains(name)) {
            assert_eq!(read(file).trim(), want, "{file}");
        }
    }
    assert!(read("cgroup.events").contains("populated 1"));
    home.ok(&["stop", "a"]);
    home.list();
    assert!(!folder.exists(), "its group goes with it");
}

#[test]
fn a_whole_group_ends_at_once_whatever_it_does() {
    let home = Home::new();
    home.app("stubborn.sh", "stubborn.sh");
    let mut fifo = home.fifo("fifo");
    let app = json!({
        "name": "a", "script": "./stubborn.sh", "min_uptime": 100, "kill_timeout": 200, "fingerprint": false,
        "env": { "FIFO": fifo.path }, "limits": { "pids": 200 },
    });
    home.apply(&json!([app]));
    let told: Vec<u32> = (0..5)
        .map(|_| {
            let line = fifo.line();
            line.split(' ').nth(1).and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("{line}"))
        })
        .collect();
    let Some(folder) = grouped(&home, home.pid("a:0")) else { return };
    let members = std::fs::read_to_string(folder.join("cgroup.procs")).expect("members");
    for pid in &told {
        assert!(members.lines().any(|line| line == pid.to_string()), "{pid} is not in {members}");
    }
    home.ok(&["stop", "a"]);
    assert!(told.iter().all(|pid| !procs::alive(*pid)));
    home.list();
    assert!(!folder.exists());
}

#[test]
fn limits_come_change_and_go_while_the_app_runs() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.apply(&json!([stay("a")]));
    let pid = home.pid("a:0");
    home.write_json("eco.json", &json!([limited("a")]));
    home.exits(2, &["diff", "eco.json"]).prints("~ a").prints("limits: (none) -> {memory: 512M, cpu: 150%, pids: 200}");
    let applied = home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pid("a:0"), pid);
    home.ok(&["diff", "eco.json"]);
    let Some(folder) = grouped(&home, pid) else { return };
    // What is in force has no note, whatever there is to say about it.
    if home.list()[0].0["limits_note"].is_null() {
        applied.says("limits of `a`: memory that it has already counts from its next start on");
    }
    // A daemon that is killed loses nobody's group.
    home.lose_daemon();
    home.apply(&json!([stay("a")])).prints("limits: {memory: 512M, cpu: 150%, pids: 200} -> (none)");
    assert_eq!(home.pid("a:0"), pid);
    assert_eq!(home.list()[0].0["limits_note"], Value::Null);
    home.ok(&["stop", "a"]);
    home.list();
    assert!(!folder.exists());
}

#[test]
fn a_death_at_the_limit_is_named_as_that() {
    let home = Home::new();
    home.write("greedy.sh", "#!/bin/sh\nheld=$(head -c 200000000 /dev/zero | tr '\\0' x)\necho survived\n");
    let app = json!({
        "name": "greedy", "script": "./greedy.sh", "autorestart": false, "fingerprint": false, "limits": { "memory": "30M" },
    });
    home.write_json("eco.json", &json!([app]));
    let output = home.run(&["apply", "eco.json"]);
    if let Some(note) = home.list()[0].0["limits_note"].as_str() {
        return skipped(&format!("no limit of memory can be set: {note}"));
    }
    output.exited(3).says("it ended: out of memory: killed by the kernel at its limit of 30M");
    assert_eq!(home.log("greedy-out.log"), "");
    assert_eq!(home.list()[0].0["last_exit"], json!({ "out_of_memory": { "limit": 30 << 20 } }));
}
