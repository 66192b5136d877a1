//! `limits`, and deaths for want of memory.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Home, needs_root, skipped};

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
    let app = |name: &str| json!({ "name": name, "script": format!("./{name}.sh"), "autorestart": false, "fingerprint": false });
    let named = "killed by SIGKILL, and the kernel's out-of-memory killer acted in the last ";
    home.write_json("eco.json", &json!([app("greedy")]));
    home.exits(3, &["apply", "eco.json"]).says(&format!("it ended: {named}"));
    assert_eq!(home.log("greedy-out.log"), "");
    let out_of_memory = home.list()[0].0["last_exit"]["out_of_memory"].clone();
    assert!(out_of_memory["somewhere"]["within_ms"].is_u64(), "{out_of_memory}");
    home.ok(&["show", "greedy"]).prints(&format!("last exit  {named}"));
    assert!(home.daemon_log().contains(&format!("`greedy:0`: {named}")), "{}", home.daemon_log());
    // It stays known when it is stopped.
    home.ok(&["stop", "greedy"]);
    home.ok(&["show", "greedy"]).prints(&format!("last exit  {named}"));
}
