//! `monit` on a real terminal: tmux's, whose screen is read.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Home, needs_tmux, procs, stay};

const BOUND: Duration = Duration::from_mins(1);

/// A tmux of its own, gone with the test.
struct Screen<'a> {
    home: &'a Home,
    socket: String,
}

impl<'a> Screen<'a> {
    /// Has a line of shell run on 80 columns and 24 rows.
    fn start(home: &'a Home, line: &str) -> Self {
        let socket = home.temporary().join("tmux").display().to_string();
        let screen = Self { home, socket };
        let mut command = screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", line]);
        command.env("NO_COLOR", "1").env("LC_ALL", "C").env("SHELL", "/bin/sh");
        let output = home.run_command(command, BOUND);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        screen
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut words = vec!["exec", "tmux", "-S", &self.socket];
        let quoted: Vec<String> = args.iter().map(|arg| format!("'{}'", arg.replace('\'', "'\\''"))).collect();
        words.extend(quoted.iter().map(String::as_str));
        self.home.shell(&words.join(" "))
    }

    fn say(&self, args: &[&str]) -> String {
        let output = self.home.run_command(self.tmux(args), BOUND);
        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
        output.stdout
    }

    fn keys(&self, keys: &[&str]) {
        self.say(&[&["send-keys"], keys].concat());
    }

    fn shown(&self) -> String {
        self.say(&["capture-pane", "-p"])
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + BOUND;
        loop {
            let shown = self.shown();
            if holds(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "waited for: {what}; it shows\n{shown}");
        }
    }

    #[track_caller]
    fn until_it_has(&self, text: &str) -> String {
        self.until(text, |shown| shown.contains(text))
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let _ = self.home.run_command(self.tmux(&["kill-server"]), BOUND);
    }
}

const LINE: &str = "echo before; pmrun monit; echo ended $?; exec cat";

fn shop(home: &Home) {
    home.app("stay.sh", "stay.sh");
    home.write("talk.sh", "echo hello; echo trouble >&2; while read -r line; do echo \"got $line\"; done <> wire");
    home.run_command(home.shell("mkfifo wire"), BOUND).exited(0);
    let talk = json!({ "name": "talk", "script": "talk.sh", "interpreter": "sh" });
    home.apply(&json!({ "name": "shop", "apps": [talk, stay("web")] }));
}

#[test]
fn what_runs_is_seen_and_acted_on_and_the_terminal_is_as_before() {
    if !needs_tmux() {
        return;
    }
    let home = Home::new();
    shop(&home);
    let screen = Screen::start(&home, LINE);
    let shown =
        screen.until("apps and logs", |shown| ["2 online", "hello", "trouble"].iter().all(|text| shown.contains(text)));
    assert!(shown.starts_with("pmrun  2 apps  2 online  cpu "), "{shown}");
    for text in
        ["> talk", "  web", "-- logs of talk ---", "trouble", "r restart l reload", "fork mode  namespace default"]
    {
        assert!(shown.contains(text), "{text}\n{shown}");
    }
    assert!(!shown.contains("before") && shown.is_ascii(), "{shown}");
    // As it is written.
    home.run_command(home.shell("echo one > wire; echo two > wire"), BOUND).exited(0);
    screen.until_it_has("got two");
    screen.keys(&["/", "o", "n", "e", "Enter"]);
    screen.until("what is looked for", |shown| shown.contains("with \"one\": 1") && !shown.contains("got two"));
    screen.keys(&["Escape"]);
    screen.until_it_has("got two");

    let pid = home.pid("web:0");
    screen.keys(&["Down", "r"]);
    screen.until_it_has("restart `web`? y/n");
    screen.keys(&["n"]);
    screen.until("it is given up", |shown| !shown.contains("y/n"));
    assert_eq!(home.pid("web:0"), pid);
    screen.keys(&["r", "y"]);
    screen.until_it_has("restart `web`: done");
    assert_ne!(home.pid("web:0"), pid);
    screen.keys(&["+", "y"]);
    screen.until_it_has("online 2/2");
    screen.keys(&["Tab"]);
    screen.until_it_has("scaled from 1 to 2");
    screen.keys(&["?"]);
    screen.until_it_has("keys");
    screen.keys(&["x"]);

    screen.say(&["resize-window", "-x", "120", "-y", "40"]);
    screen.until("it is as wide as there is room", |shown| {
        let wide = shown.lines().find(|line| line.starts_with("-- events "));
        wide.is_some_and(|line| line.len() == 120) && shown.lines().count() > 24
    });
    screen.say(&["resize-window", "-x", "40", "-y", "10"]);
    screen.until("it is narrow", |shown| shown.contains("> web") && shown.lines().all(|line| line.len() <= 40));

    screen.keys(&["q"]);
    let shown = screen.until_it_has("ended 0");
    assert!(shown.starts_with("before\nended 0"), "{shown}");
    // Typed lines are lines again, and seen.
    screen.keys(&["echo", "Enter"]);
    screen.until("it is echoed", |shown| shown.matches("echo").count() == 2);
}

#[test]
fn a_daemon_that_ends_is_missed_and_found_again_and_a_signal_restores_the_terminal() {
    if !needs_tmux() {
        return;
    }
    let home = Home::new();
    shop(&home);
    let screen = Screen::start(&home, LINE);
    screen.until_it_has("2 online");
    home.ok(&["kill"]);
    let shown = screen.until_it_has("no daemon runs: what is shown is what was");
    assert!(shown.contains("> talk"), "{shown}");
    screen.keys(&["r", "y"]);
    screen.until_it_has("restart `talk`: no daemon runs");
    home.ok(&["resurrect"]);
    screen.until("it is there again", |shown| shown.contains("2 online") && !shown.contains("no daemon runs:"));
    let monit = procs::all().into_iter().find(|pid| {
        let is_of_here =
            procs::environ(*pid).get("PMRUN_HOME").is_some_and(|of| *of == home.folder.display().to_string());
        is_of_here && procs::command_line(*pid).ends_with("pmrun monit")
    });
    procs::signal(monit.expect("it runs"), rustix::process::Signal::TERM);
    let shown = screen.until_it_has("ended 143");
    assert!(shown.starts_with("before\nended 143"), "{shown}");
}

#[test]
fn where_there_is_no_terminal_it_says_so() {
    let home = Home::new();
    let output = home.run(&["monit"]);
    assert_eq!(output.code, Some(64));
    output.says("`monit` draws on a terminal and reads its keys, and this is none").says("pmrun list --json");
    assert!(output.stdout.is_empty());
    assert_eq!(home.daemon(), None);
}
