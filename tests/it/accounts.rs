//! `uid` and `gid`: as whom apps run, and whose their files are.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde_json::json;

use crate::support::{Home, needs_root, procs, skipped};

/// `nobody` is on every machine.
const NOBODY: &str = "nobody";

fn nobody() -> nix::unistd::User {
    nix::unistd::User::from_name(NOBODY).expect("the user database").expect("nobody is in it")
}

/// Where other users may enter.
fn open(folder: &Path) {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("chmod");
}

#[test]
fn an_app_runs_as_its_user_and_its_files_are_the_users() {
    if !needs_root() {
        return;
    }
    let home = Home::new();
    open(home.work.parent().expect("the test's folder"));
    open(&home.work);
    let script = "id -u; id -g; echo $HOME $USER $LOGNAME; ls /proc/self/fd | wc -l; exec sleep 600";
    let app = json!({
        "name": "api", "script": script, "uid": NOBODY, "min_uptime": 100, "fingerprint": false,
        "out_file": "logs/deep/out.log", "pid_file": "run/api.pid",
    });
    let mut plain = app.clone();
    (plain["name"], plain["uid"], plain["error_file"]) = (json!("root"), json!(0), json!("own.log"));
    (plain["out_file"], plain["pid_file"]) = (json!("own.log"), json!("run/root.pid"));
    home.write_json("eco.json", &json!([app, plain]));
    home.ok(&["apply", "eco.json"]);
    let user = nobody();
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let pid = home.pid("api:0");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let ids = |name: &str, id: u32| format!("{name}:\t{id}\t{id}\t{id}\t{id}\n");
    assert!(status.contains(&ids("Uid", uid)) && status.contains(&ids("Gid", gid)), "{status}");
    let out = std::fs::read_to_string(home.work.join("logs/deep/out.log")).expect("a log");
    let folder = user.dir.display();
    // Of descriptors it has the three and the one that `ls` reads with.
    assert_eq!(out, format!("{uid}\n{gid}\n{folder} {NOBODY} {NOBODY}\n4\n"));
    let owner = |path: &Path| path.metadata().map(|metadata| metadata.uid()).expect("it is there");
    let theirs = [home.work.join("logs/deep/out.log"), home.work.join("logs"), home.folder.join("logs/api-error.log")];
    for path in theirs {
        assert_eq!(owner(&path), uid, "{}", path.display());
    }
    assert_eq!(owner(&home.work.join("own.log")), 0);
    assert_eq!(std::fs::read_to_string(home.work.join("run/api.pid")).expect("a pid file"), format!("{pid}\n"));
    // Another user is another process; the same again is nothing to do.
    home.ok(&["diff", "eco.json"]);
    home.ok(&["stop", "all"]);
    assert!(procs::wait_gone(pid, std::time::Duration::from_secs(30)));
}

#[test]
fn what_passes_through_is_rotated_as_its_user_wherever_it_is() {
    if !needs_root() {
        return;
    }
    let home = Home::new();
    open(home.work.parent().expect("the test's folder"));
    open(&home.work);
    let app = json!({
        "name": "api", "script": "while :; do echo a line of some length, as lines have; sleep 0.01; done", "uid": NOBODY,
        "min_uptime": 1, "fingerprint": false, "out_file": "logs/out.log", "time": true, "log_max_size": "1K",
    });
    home.write_json("eco.json", &json!([app]));
    home.ok(&["apply", "eco.json"]);
    let path = |name: &str| home.work.join("logs").join(name);
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !(path("out.log.1.gz").exists() && path("out.log.2.gz").exists()) {
        assert!(std::time::Instant::now() < deadline, "{}", home.daemon_log());
        home.ok(&["version"]);
    }
    home.ok(&["stop", "all"]);
    let uid = nobody().uid.as_raw();
    for name in ["out.log", "out.log.1.gz", "out.log.2.gz"] {
        assert_eq!(path(name).metadata().expect(name).uid(), uid, "{name}");
    }
    assert!(!home.daemon_log().contains("rotate"), "{}", home.daemon_log());
}

#[test]
fn an_app_has_a_umask_and_a_niceness_of_its_own() {
    let home = Home::new();
    let script = "umask; cut -d' ' -f19 /proc/self/stat; trap '' INT; ls /proc/self/fd | wc -l; ulimit -n; ulimit -Hc; exec sleep 600";
    let app = json!({
        "name": "api", "script": script, "rlimits": { "nofile": 99, "core": 0 }, "umask": "027", "nice": 3, "min_uptime": 100, "fingerprint": false,
    });
    home.write_json("eco.json", &json!([app]));
    let own = home.run_command(home.shell("cut -d' ' -f19 /proc/self/stat"), std::time::Duration::from_secs(5));
    let own: i32 = own.stdout.trim().parse().expect("a number");
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.log("api-out.log"), format!("0027\n{}\n4\n99\n0\n", (own + 3).min(19)));
    home.ok(&["diff", "eco.json"]);
}

#[test]
fn what_another_user_may_not_do_is_said_in_words() {
    if !needs_root() {
        return;
    }
    let home = Home::new();
    open(home.work.parent().expect("the test's folder"));
    open(&home.work);
    std::fs::create_dir(home.work.join("closed")).expect("mkdir");
    std::fs::set_permissions(home.work.join("closed"), std::fs::Permissions::from_mode(0o700)).expect("chmod");
    let app = json!({
        "name": "api", "script": "/bin/sleep", "args": "600", "cwd": "closed", "uid": NOBODY, "gid": "0",
        "fingerprint": false,
    });
    home.write_json("eco.json", &json!([app]));
    home.exits(3, &["apply", "eco.json"]).says("as user `nobody`: Permission denied");
    assert_eq!(home.state("api:0"), "errored");
}

#[test]
fn an_unknown_user_is_told_before_anything_is_stopped() {
    let home = Home::new();
    home.write_json(
        "eco.json",
        &json!([{ "name": "api", "script": "/bin/sleep", "args": "600", "user": "no-such-user" }]),
    );
    home.exits(65, &["apply", "eco.json"]).says("there is no user `no-such-user` on this machine");
    if nix::unistd::geteuid().is_root() {
        return skipped("as root everybody may be named");
    }
    home.write_json("eco.json", &json!([{ "name": "api", "script": "/bin/sleep", "args": "600", "uid": 0 }]));
    home.exits(65, &["apply", "eco.json"]).says("only root can run an app as user `0`");
}
