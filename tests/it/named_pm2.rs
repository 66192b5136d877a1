//! Run under the name `pm2`: what scripts written for PM2 see.

use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::{Home, Output};

pub(crate) struct Pm2 {
    pub(crate) home: Home,
    program: std::path::PathBuf,
}

impl Pm2 {
    pub(crate) fn new() -> Self {
        let mut home = Home::new();
        home.app("stay.sh", "echo.sh");
        let folder = home.folder.to_str().expect("text").to_owned();
        home.set_env("PM2_HOME", &folder);
        let program = home.work.with_file_name("pm2");
        symlink(env!("CARGO_BIN_EXE_pmrun"), &program).expect("a link");
        Self { home, program }
    }

    /// What `jlist` prints.
    #[track_caller]
    pub(crate) fn list(&self) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.says(0, &["jlist"], &[]).stdout).expect("a list")
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.home.run_command(self.command(args), Duration::from_mins(1))
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        // Everything but the program is as ever.
        let like = self.home.command(args);
        let mut command = Command::new(&self.program);
        command.args(args).env_clear().current_dir(&self.home.work);
        for (name, value) in like.get_envs() {
            if let Some(value) = value.filter(|_| name != "PMRUN_HOME") {
                command.env(name, value);
            }
        }
        command
    }

    #[track_caller]
    pub(crate) fn says(&self, code: i32, args: &[&str], lines: &[&str]) -> Output {
        let output = self.run(args);
        assert_eq!(output.code, Some(code), "{output}");
        let said = format!("{}{}", output.stdout, output.stderr);
        for line in lines {
            assert!(said.lines().any(|one| one == *line), "no `{line}`: {output}");
        }
        output
    }
}

#[test]
fn each_action_is_told_in_pm2s_words_and_with_its_exit_codes() {
    let pm2 = Pm2::new();
    let path = pm2.home.work.join("echo.sh");
    let starting = format!("[PM2] Starting {} in fork_mode (1 instance)", path.display());
    for all in ["restart", "stop", "delete", "reload"] {
        pm2.says(1, &[all, "all"], &["[PM2][WARN] No process found"]);
    }
    pm2.says(0, &["start", "echo.sh"], &[&starting, "[PM2] Done."]).prints("online");
    pm2.says(1, &["start", "echo.sh"], &["[PM2][ERROR] Script already launched, add -f option to force re-execution"]);
    pm2.says(0, &["start", "echo.sh", "-f"], &[&starting]);
    pm2.says(
        0,
        &["restart", "echo"],
        &[
            "Use --update-env to update environment variables",
            "[PM2] Applying action restartProcessId on app [echo](ids: [ 0, 1 ])",
            "[PM2] [echo](0) ✓",
            "[PM2] [echo](1) ✓",
        ],
    );
    let changed = ["restart", "0", "--max-memory-restart", "100M", "--silent-typo"];
    pm2.says(1, &changed, &[]);
    pm2.says(0, &changed[..4], &["[PM2] Applying action restartProcessId on app [0](ids: [ '0' ])"]);
    pm2.says(1, &["stop", "99"], &["[PM2][ERROR] 99 : id unknown"]);
    pm2.says(1, &["restart", "nope"], &["[PM2][ERROR] Process or Namespace nope not found"]);
    let gone = format!("[PM2][ERROR] Script not found: {}", pm2.home.work.join("nope").display());
    pm2.says(1, &["start", "nope"], &[&gone]);
    pm2.says(0, &["stop", "0", "1", "--watch", "src"], &["[PM2] [echo](0) ✓", "[PM2] [echo](1) ✓"]).prints("stopped");
    pm2.says(0, &["pid", "echo"], &["0"]);
    pm2.says(0, &["id", "zz"], &["[]"]);
    pm2.says(0, &["scale", "echo", "+1"], &["[PM2] Scaling up application"]);
    pm2.says(1, &["scale", "echo", "3"], &["[PM2][ERROR] Nothing to do"]);
    pm2.says(0, &["reset", "all"], &["[PM2] Resetting meta for process id 2"]);
    pm2.says(1, &["nonsense"], &["[PM2][ERROR] Command not found"]);
    pm2.says(0, &["delete", "all"], &["[PM2] Applying action deleteProcessId on app [all](ids: [ 0, 1, 2 ])"]);
    // An app that crashes at once is started all the same.
    pm2.home.write("crash.sh", "exit 1\n");
    pm2.says(0, &["start", "crash.sh", "--max-restarts", "2"], &["[PM2] Done."]);
    assert!(pm2.run(&["-s", "stop", "all"]).stdout.is_empty());
    pm2.says(0, &["ping"], &["{ msg: 'pong' }"]);
    pm2.says(0, &["kill"], &["[PM2] [v] All Applications Stopped", "[PM2] [v] PM2 Daemon Stopped"]);
}

#[test]
fn files_ids_and_the_dump_are_pm2s() {
    let pm2 = Pm2::new();
    let app = |name: &str| json!({ "name": name, "script": "./echo.sh", "min_uptime": 100 });
    pm2.home.write_json("all.json", &json!({ "apps": [app("zed"), app("ant")] }));
    let launched =
        ["[PM2][WARN] Applications zed, ant not running, starting...", "[PM2] App [zed] launched (1 instances)"];
    pm2.says(0, &["start", "all.json"], &launched);
    pm2.says(0, &["id", "zed"], &["[ 0 ]"]);
    let again = ["[PM2] Applying action restartProcessId on app [zed](ids: [ 0 ])", "[PM2] [ant](1) ✓"];
    pm2.says(0, &["start", "all.json"], &again);
    pm2.says(0, &["restart", "all.json", "--only", "nobody"], &[]);
    pm2.says(0, &["stop", "all.json", "--only", "ant"], &["[PM2] [ant](1) ✓"]);
    let dump = pm2.home.folder.join("dump.pm2");
    pm2.says(0, &["save"], &[&format!("[PM2] Successfully saved in {}", dump.display())]);
    let dumped: serde_json::Value = serde_json::from_slice(&std::fs::read(&dump).expect("a dump")).expect("JSON");
    assert_eq!((&dumped[0]["name"], &dumped[1]["status"]), (&json!("zed"), &json!("stopped")));
    // PM2 itself takes a file for each process from there, and its variables from nowhere else.
    let pid_file = pm2.home.folder.join("pids/zed-0.pid");
    assert_eq!(dumped[0]["pm_pid_path"], pid_file.to_str().expect("text"));
    assert!(dumped[0]["env"]["PATH"].is_string() && dumped[0]["unique_id"].is_string(), "{dumped}");
    pm2.says(0, &["kill"], &[]);
    let link = pm2.home.folder.join("pm2.pid");
    assert!(link.symlink_metadata().is_err(), "it leads nowhere");
    assert!(pm2.home.list().is_empty(), "PM2 knows of nothing that it has killed");
    pm2.says(0, &["resurrect"], &["[PM2] Resurrecting"]);
    pm2.home.until_state("zed:0", "online");
    assert_eq!(pm2.home.state("ant:0"), "stopped");
    for name in ["pm2.pid", "pm2.log"] {
        assert!(pm2.home.folder.join(name).exists(), "{name}");
    }
    pm2.says(0, &["delete", "all"], &[]);
    pm2.says(0, &["save"], &["[PM2][WARN] PM2 is not managing any process, skipping save..."]);
    pm2.says(0, &["cleardump"], &[]);
    pm2.says(0, &["set", "mod:key", "7"], &["[PM2] Setting changed", "$ pm2 set mod:key 7"]);
    pm2.says(0, &["get", "mod:key"], &["Value for module mod key key: 7"]);
    pm2.says(1, &["get", "nokey"], &[]);
    let generated = format!("File {} generated", pm2.home.work.join("ecosystem.config.js").display());
    pm2.says(0, &["ecosystem"], &[&generated]);
}
