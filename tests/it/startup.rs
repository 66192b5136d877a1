//! The daemon of a service manager: `pmrun daemon`, and what `startup` has systemd and others do with it.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, Output, fixture, needs_node, needs_root, procs, skipped, stay};

const SOON: Duration = Duration::from_mins(1);

/// What a service manager is, as far as a service sees it.
struct Manager<'a> {
    home: &'a Home,
    socket: UnixDatagram,
}

impl<'a> Manager<'a> {
    fn new(home: &'a mut Home) -> Self {
        let path = home.temporary().join("manager");
        let socket = UnixDatagram::bind(&path).expect("bind");
        socket.set_read_timeout(Some(SOON)).expect("a timeout");
        home.set_env("NOTIFY_SOCKET", path.to_str().expect("UTF-8"));
        Self { home, socket }
    }

    /// Its pid is that of the service, whatever becomes of the daemon.
    fn start(&self) -> Child {
        let (child, ..) = self.home.start_command(&mut self.home.command(&["daemon"]));
        self.hears("READY=1");
        child
    }

    /// Until it is told so.
    #[track_caller]
    fn hears(&self, begins: &str) -> String {
        let mut message = [0; 4096];
        loop {
            let length = self.socket.recv(&mut message);
            let length = length.unwrap_or_else(|error| panic!("no {begins}: {error}{}", self.home.daemon_log()));
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.starts_with(begins) {
                return text;
            }
        }
    }
}

#[test]
fn a_service_manager_sees_one_process_that_stays_whatever_becomes_of_the_daemon() {
    let mut home = Home::new();
    home.app("stay.sh", "stay.sh");
    let manager = Manager::new(&mut home);
    let service = manager.start();
    let home = manager.home;
    assert_eq!(home.keeper(), Some(service.id()));
    home.apply(&json!([stay("a"), stay("b")]));
    let (pids, daemon) = (home.pids(), home.daemon().expect("a daemon"));
    for pid in pids.values() {
        assert!(!procs::environ(*pid).contains_key("NOTIFY_SOCKET"), "apps are no services");
    }
    procs::signal(daemon, Signal::KILL);
    manager.hears("READY=1");
    assert_eq!((home.keeper(), home.pids()), (Some(service.id()), pids.clone()));
    // An upgrade is no other process either.
    home.ok(&["daemon", "upgrade"]);
    home.until("its keeper follows", |_| home.keeper() == Some(service.id()));
    assert_eq!(home.pids(), pids);
    procs::signal(service.id(), Signal::TERM);
    manager.hears("STOPPING=1");
    manager.hears("EXTEND_TIMEOUT_USEC=");
    assert_eq!(procs::finish(service).0.code(), Some(0));
    assert!(pids.values().all(|pid| procs::wait_gone(*pid, SOON)));
}

#[test]
fn a_restart_of_the_service_is_not_noticed_by_what_runs() {
    if !needs_node() {
        return;
    }
    let mut home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write(
        "talks.js",
        "process.on('SIGUSR2', () => process.send('ready'));\n\
         process.on('disconnect', () => console.log('disconnected'));\n\
         process.on('message', (message) => { console.log('told ' + message); process.exit(0); });\n\
         console.log('up');\n",
    );
    let talks = json!({ "name": "talks", "script": "talks.js", "wait_ready": true, "listen_timeout": 600_000, "shutdown_with_message": true });
    home.write_json("eco.json", &json!([talks, stay("a")]));
    // As somebody does who has no service yet.
    let (mut apply, ..) = home.start_command(&mut home.command(&["apply", "eco.json"]));
    home.until("both are up", |_| home.log("talks-out.log") == "up\n" && home.pids().len() == 2);
    let pids = home.pids();
    let waits = home.daemon().expect("a daemon");
    // It waits for `talks`, and nobody takes over from who is at work.
    procs::signal(apply.id(), Signal::INT);
    let _ = apply.wait();
    let manager = Manager::new(&mut home);
    let first = manager.start();
    let home = manager.home;
    assert!(!procs::alive(waits));
    assert_eq!((home.keeper(), home.pids()), (Some(first.id()), pids.clone()), "{}", home.daemon_log());
    assert_eq!(home.state("talks:0"), "starting");
    // What a restart of a unit comes to: its process ends, and another is started.
    let left = home.daemon();
    procs::signal(first.id(), Signal::USR1);
    procs::signal(first.id(), Signal::TERM);
    assert_eq!(procs::finish(first).0.code(), Some(0));
    home.until("the daemon goes on", |_| home.daemon() == left && home.keeper().is_some());
    assert_eq!(home.pids(), pids);
    let second = manager.start();
    assert_eq!((home.keeper(), home.pids()), (Some(second.id()), pids.clone()), "{}", home.daemon_log());
    assert_ne!(home.daemon(), left);
    // And when it was killed.
    procs::signal(second.id(), Signal::KILL);
    procs::finish(second);
    let third = manager.start();
    assert_eq!((home.keeper(), home.pids()), (Some(third.id()), pids.clone()), "{}", home.daemon_log());
    procs::signal(pids["talks:0"], Signal::USR2);
    home.until_state("talks:0", "online");
    home.ok(&["stop", "talks"]);
    assert_eq!(home.log("talks-out.log"), "up\ntold shutdown\n");
    home.ok(&["kill"]);
    assert_eq!(procs::finish(third).0.code(), Some(0));
}

#[test]
fn what_keeps_a_service_from_serving_is_said_where_its_manager_reads() {
    let home = Home::new();
    std::fs::create_dir(&home.folder).expect("mkdir");
    std::fs::create_dir(home.folder.join("state")).expect("mkdir");
    home.exits(1, &["daemon"]).prints("state");
    std::fs::remove_dir(home.folder.join("state")).expect("rmdir");
}

#[test]
fn what_startup_writes_is_shown_first_and_nothing_edited_is_written_over() {
    let mut home = Home::new();
    let config = home.work.join("config");
    home.set_env("XDG_CONFIG_HOME", config.to_str().expect("UTF-8"));
    let unit = home.ok(&["startup", "systemd", "--print"]).stdout;
    assert!(unit.contains(&format!("PMRUN_HOME={}", home.folder.display())), "{unit}");
    home.ok(&["startup", "launchd", "--print"]).prints("<plist version=");
    home.exits(64, &["startup", "sysvinit"]).says("openrc");
    home.exits(1, &["startup", "systemd", "-u", "nobody-of-that-name"]).says("there is no user");
    if !Path::new("/usr/bin/systemctl").exists() {
        return skipped("there is no systemctl on this machine");
    }
    let file = config.join("systemd/user/pmrun.service");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("mkdir");
    let own = home.ok(&["startup", "systemd", "--user", "--print"]).stdout;
    std::fs::write(&file, own.replace("65536", "100")).expect("write");
    let refused = home.exits(1, &["startup", "systemd", "--user"]);
    refused.says("was edited since pmrun wrote it").says("--yes").says("LimitNOFILE=100").prints(&own);
    home.exits(1, &["unstartup", "systemd", "--user"]).says("was edited since pmrun wrote it");
    assert!(std::fs::read_to_string(&file).expect("it is there").contains("LimitNOFILE=100:"));
    std::fs::write(&file, "[Service]\nExecStart=/bin/true\n").expect("write");
    home.exits(1, &["startup", "systemd", "--user"]).says("was not written by pmrun");
    home.ok(&["unstartup", "systemd", "--user", "--service-name", "other"]).says("nothing to undo");
}

#[test]
fn what_other_service_managers_are_told_is_of_their_language() {
    let home = Home::new();
    let script = home.write("script", home.ok(&["startup", "openrc", "--print"]).stdout);
    let checked = home.run_command(home.shell(&format!("sh -n '{}'", script.display())), SOON);
    checked.exited(0);
    let plist = home.write("plist", home.ok(&["startup", "launchd", "--print"]).stdout);
    if crate::support::needs_python() {
        let line = format!(
            "python3 -c 'import plistlib,sys; print(plistlib.load(open(sys.argv[1],\"rb\"))[\"EnvironmentVariables\"][\"PMRUN_HOME\"])' '{}'",
            plist.display()
        );
        let parsed = home.run_command(home.shell(&line), SOON);
        parsed.exited(0).prints(home.folder.to_str().expect("UTF-8"));
    }
    let unit = home.write("pmrun-x.service", home.ok(&["startup", "systemd", "--print"]).stdout);
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        return skipped("there is no systemd-analyze on this machine");
    }
    let verified = home.run_command(home.shell(&format!("systemd-analyze verify '{}'", unit.display())), SOON);
    verified.exited(0).never_shows("pmrun-x");
}

#[test]
fn without_root_the_line_is_printed_that_root_is_to_run() {
    let mut home = Home::new();
    if !needs_root() {
        let output = home.exits(1, &["startup", "systemd"]);
        output.prints("sudo env PATH=\"$PATH\" PMRUN_HOME=").says("--user");
        return;
    }
    let program = home.work.join("pmrun");
    std::fs::copy(env!("CARGO_BIN_EXE_pmrun"), &program).expect("copy");
    for folder in [home.work.clone(), home.work.parent().expect("a folder").to_owned()] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    home.set_env("HOME", "/nonexistent");
    let line =
        format!("unset PMRUN_HOME; setpriv --reuid nobody --clear-groups '{}' startup systemd", program.display());
    let output = home.run_command(home.shell(&line), SOON);
    let want = format!("sudo env PATH=\"$PATH\" {} startup systemd -u nobody --hp ", program.display());
    output.exited(1).prints(&want).says("--user");
    home.set_env("HOME", home.work.clone().to_str().expect("UTF-8"));
}

/// A machine of its own, with systemd as its first process.
struct Machine<'a> {
    home: &'a Home,
    root: PathBuf,
    group: PathBuf,
    booted: Option<(Child, u32)>,
}

impl<'a> Machine<'a> {
    /// None where there can be none; says why.
    fn new(home: &'a Home) -> Option<Self> {
        if !needs_root() {
            return None;
        }
        for program in ["/lib/systemd/systemd", "/usr/bin/unshare", "/usr/bin/nsenter"] {
            if !Path::new(program).exists() {
                skipped(&format!("there is no `{program}` on this machine"));
                return None;
            }
        }
        let mounts = std::fs::read_to_string("/proc/mounts").expect("mounts");
        let mount = mounts.lines().find(|line| line.contains(" cgroup2 ")).and_then(|line| line.split(' ').nth(1));
        let Some(mount) = mount else {
            skipped("no cgroup v2 is mounted here");
            return None;
        };
        let group = Path::new(mount).join(format!("pmrun-test-{}", std::process::id()));
        if let Err(error) = std::fs::create_dir(&group) {
            skipped(&format!("no cgroup can be made: {error}"));
            return None;
        }
        let root = home.work.join("machine");
        std::fs::create_dir_all(root.join("srv")).expect("mkdir");
        let mut machine = Self { home, root, group, booted: None };
        machine.boot().then_some(machine)
    }

    fn boot(&mut self) -> bool {
        let script = format!(
            "echo $$ >'{}/cgroup.procs' && exec unshare --pid --mount --cgroup --ipc --uts --fork --kill-child sh '{}' '{}' '{}'",
            self.group.display(),
            fixture("startup/boot.sh").display(),
            self.root.display(),
            env!("CARGO_BIN_EXE_pmrun"),
        );
        let (mut child, _, errors) =
            self.home.start_command(Command::new("/bin/sh").arg("-c").arg(script).stdin(Stdio::null()));
        let deadline = Instant::now() + SOON;
        loop {
            let children = format!("/proc/{0}/task/{0}/children", child.id());
            let first = std::fs::read_to_string(children).unwrap_or_default().trim().parse().unwrap_or(0);
            if first != 0 && procs::command_line(first).starts_with("/lib/systemd/systemd") {
                self.booted = Some((child, first));
                break;
            }
            if child.try_wait().expect("our child").is_some() {
                let said = std::fs::read_to_string(errors).unwrap_or_default();
                procs::finish(child);
                skipped(&format!("no systemd can be run here: {said}"));
                return false;
            }
            assert!(Instant::now() < deadline, "systemd does not start");
            std::thread::yield_now();
        }
        self.until("it has booted", |machine| machine.run("systemctl is-system-running").stdout == "running\n");
        true
    }

    fn run(&self, line: &str) -> Output {
        let (_, first) = self.booted.as_ref().expect("it has booted");
        let (first, root) = (first.to_string(), format!("/proc/{first}/root"));
        let mut command = Command::new("nsenter");
        command.args(["-t", &first, "-p", "-m", "-C", "-i", "-u"]).arg(format!("-r{root}")).arg(format!("-w{root}"));
        command.args(["sh", "-c", line]).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/sbin:/usr/bin:/opt").env("HOME", "/root");
        self.home.run_command(command, SOON)
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        output.exited(0);
        output.stdout
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !holds(self) {
            let log = std::fs::read_to_string(self.root.join("root/.pmrun/pmrun.log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "waited until {what}; {}\n{log}",
                self.run("systemctl status pmrun-root")
            );
        }
    }

    #[track_caller]
    fn list(&self) -> Value {
        serde_json::from_str(&self.ok("pmrun list --json")).expect("JSON")
    }

    /// Names, states and pids.
    #[track_caller]
    fn stands(&self) -> Vec<(String, String, Option<u64>)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let all = self.list()["instances"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| (text(&one["name"]), text(&one["state"]), one["pid"].as_u64())).collect()
    }

    fn main_pid(&self) -> String {
        self.ok("systemctl show -p MainPID --value pmrun-root").trim().to_owned()
    }

    fn daemon(&self) -> String {
        self.ok("cat $HOME/.pmrun/pmrun.pid").trim().to_owned()
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.join("root/.pmrun/logs").join(name)).unwrap_or_default()
    }

    /// As it is switched off: everything is stopped in order.
    fn power_off(&mut self) {
        self.ok("systemctl poweroff --no-block");
        let (child, first) = self.booted.take().expect("it has booted");
        assert!(procs::wait_gone(first, SOON), "it does not end");
        procs::finish(child);
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if let Some((mut child, first)) = self.booted.take() {
            procs::signal(first, Signal::KILL);
            let _ = child.kill();
            procs::wait_gone(first, SOON);
            procs::finish(child);
        }
        let mut folders = vec![self.group.clone()];
        let mut at = 0;
        while let Some(folder) = folders.get(at).cloned() {
            let below = std::fs::read_dir(folder).into_iter().flatten().flatten();
            folders.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
            at += 1;
        }
        for folder in folders.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

#[test]
fn under_systemd_what_runs_notices_nothing_but_a_stop() {
    let home = Home::new();
    let Some(mut machine) = Machine::new(&home) else { return };
    let asks = "trap 'echo asked; exit 0' INT TERM\necho up\nwhile :; do sleep 1000 & wait; done\n";
    std::fs::write(machine.root.join("srv/asks.sh"), asks).expect("write");
    let app = |name: &str| json!({ "name": name, "script": "/srv/asks.sh", "interpreter": "sh", "min_uptime": 100 });
    let mut web = app("web");
    web["depends_on"] = json!(["db"]);
    let eco = json!([app("db"), web, app("off")]).to_string();
    std::fs::write(machine.root.join("srv/eco.json"), eco).expect("write");
    // A daemon that a command has started.
    machine.ok("pmrun apply /srv/eco.json && pmrun stop off");
    let stood = machine.stands();

    let written = machine.run("pmrun startup");
    written.exited(0).prints("Type=notify").says("written: /etc/systemd/system/pmrun-root.service");
    written.says("to undo it: pmrun unstartup");
    machine.run("pmrun startup").exited(0).says("just so");
    machine.run("systemd-analyze verify pmrun-root.service").exited(0).never_shows("pmrun-root");
    assert_eq!(machine.ok("systemctl is-enabled pmrun-root"), "enabled\n");
    machine.ok("systemctl start pmrun-root");
    assert_eq!(machine.stands(), stood);

    for _ in 0..3 {
        let (main, daemon) = (machine.main_pid(), machine.daemon());
        machine.ok("systemctl restart pmrun-root");
        assert_eq!(machine.stands(), stood);
        assert!(machine.main_pid() != main && machine.daemon() != daemon);
        assert_eq!(machine.ok("pgrep -c -f '[p]mrun daemon'"), "2\n", "a keeper and a daemon");
    }
    let (main, daemon) = (machine.main_pid(), machine.daemon());
    machine.ok("systemctl daemon-reload");
    machine.ok("systemctl daemon-reexec");
    assert_eq!((machine.main_pid(), machine.daemon(), machine.stands()), (main.clone(), daemon.clone(), stood.clone()));
    machine.ok(&format!("kill -9 {daemon}"));
    machine.until("another serves", |machine| machine.run("pmrun ping").code == Some(0) && machine.daemon() != daemon);
    assert_eq!((machine.main_pid(), machine.stands()), (main.clone(), stood.clone()));
    assert_eq!(machine.ok("systemctl is-active pmrun-root"), "active\n");
    machine.ok(&format!("kill -9 {main}"));
    machine.until("systemd has started another", |machine| {
        machine.main_pid() != main && machine.run("systemctl is-active pmrun-root").stdout == "active\n"
    });
    assert_eq!(machine.stands(), stood);
    assert_eq!(machine.ok("pgrep -c -f '[p]mrun (daemon|__keeper)'"), "2\n", "a keeper and a daemon");

    machine.ok("systemctl stop pmrun-root");
    assert_eq!(machine.log("web-out.log"), "up\nasked\n");
    assert_eq!(machine.log("db-out.log"), "up\nasked\n");
    assert_eq!(machine.run("pgrep -c -f '[a]sks.sh|[p]mrun'").stdout, "0\n");
    machine.ok("systemctl start pmrun-root");
    let states =
        |machine: &Machine<'_>| -> Vec<String> { machine.stands().into_iter().map(|(_, state, _)| state).collect() };
    machine.until("all is up again", |machine| states(machine) == ["online", "stopped", "online"]);

    machine.power_off();
    assert_eq!(machine.log("db-out.log"), "up\nasked\nup\nasked\n");
    assert!(machine.boot());
    machine.until("what should run runs", |machine| states(machine) == ["online", "stopped", "online"]);
    assert_eq!(machine.log("off-out.log"), "up\nasked\n");

    let stood = machine.stands();
    machine.run("pmrun unstartup").exited(0).says("removed: /etc/systemd/system/pmrun-root.service");
    assert_eq!(machine.stands(), stood);
    assert_eq!(machine.run("systemctl is-enabled pmrun-root").stdout.trim(), "");
    assert_eq!(machine.ok("ls /etc/systemd/system/multi-user.target.wants 2>/dev/null | grep -c pmrun || true"), "0\n");
    machine.ok("pmrun kill");
}
