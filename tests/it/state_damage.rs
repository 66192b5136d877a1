//! What is recorded may be torn, cut off, gone, or not to be read at all: nothing that runs is harmed, and it is built anew.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Home, Output, fill, needs_root, procs, skipped, small_disk, stay};

const SOON: Duration = Duration::from_secs(30);

fn apps(names: &[&str]) -> Value {
    json!(names.iter().map(|name| stay(name)).collect::<Vec<_>>())
}

/// Applied, and in the backup.
fn running(names: &[&str]) -> Home {
    let home = Home::new();
    apply(&home, names);
    home
}

fn apply(home: &Home, names: &[&str]) {
    home.app("stay.sh", "stay.sh");
    home.apply(&apps(names));
    backed_up(home, names);
}

/// Until exactly these are in the backup.
#[track_caller]
fn backed_up(home: &Home, names: &[&str]) {
    let deadline = Instant::now() + SOON;
    let of = |line: &str| serde_json::from_str::<Value>(line).ok()?.get("app")?.get(0)?.as_str().map(str::to_owned);
    loop {
        let text = std::fs::read_to_string(home.folder.join("state.backup")).unwrap_or_default();
        let known: Vec<String> = text.lines().filter_map(of).collect();
        if known == names {
            return;
        }
        assert!(Instant::now() < deadline, "in the backup: {known:?}{}", home.daemon_log());
        std::thread::yield_now();
    }
}

fn state(home: &Home) -> PathBuf {
    home.folder.join("state")
}

fn set_aside(home: &Home) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(&home.folder).expect("it is there").flatten().map(|entry| entry.path());
    let is_one =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("state.damaged-"));
    entries.filter(is_one).collect()
}

/// Ways to lose it; none: it is gone.
type Damage = fn(&[u8]) -> Option<Vec<u8>>;

const WAYS: [(&str, Damage); 7] = [
    ("cut off", |whole| Some(whole[..9_000].to_vec())),
    ("cut off early", |whole| Some(whole[..100].to_vec())),
    ("flipped", |whole| {
        let mut bytes = whole.to_vec();
        bytes.iter_mut().skip(4096).filter(|byte| **byte != 0).step_by(31).for_each(|byte| *byte ^= 0x10);
        Some(bytes)
    }),
    ("torn", |whole| {
        let mut bytes = whole.to_vec();
        bytes[4096..].chunks_mut(4096).step_by(2).for_each(|page| page.fill(0));
        Some(bytes)
    }),
    ("empty", |_| Some(Vec::new())),
    ("something else", |_| Some(b"not a database\n".repeat(1000))),
    ("gone", |_| None),
];

fn spoil(home: &Home, damage: Damage) -> Option<Vec<u8>> {
    let path = state(home);
    let damaged = damage(&std::fs::read(&path).expect("it is there"));
    match &damaged {
        Some(bytes) => std::fs::write(&path, bytes).expect("write"),
        None => std::fs::remove_file(&path).expect("it is there"),
    }
    damaged
}

#[track_caller]
fn all_as_before(home: &Home, before: &BTreeMap<String, u32>) {
    assert_eq!(home.pids(), *before, "{}", home.daemon_log());
    assert!(before.values().all(|pid| procs::alive(*pid)));
    assert_eq!(home.marked().values().map(Vec::len).collect::<Vec<_>>(), vec![1; before.len()]);
    home.exits(0, &["diff", "eco.json"]);
    home.ok(&["state", "check"]).prints("state: sound");
}

/// Says that it is damaged, and touches nothing.
#[track_caller]
fn is_damaged(home: &Home, damaged: Option<&Vec<u8>>) {
    home.exits(1, &["state", "check"]).prints("state: damaged: ").says("`pmrun state repair`");
    let report = home.json(&["state", "check", "--json"]);
    assert_eq!((&report["sound"], report["problem"].is_string()), (&json!(false), true), "{report}");
    home.run(&["list"]).says("`pmrun state repair`").never_shows("panicked");
    assert_eq!(std::fs::read(state(home)).ok().as_ref(), damaged, "looking changed it");
}

#[test]
fn the_next_command_builds_a_damaged_state_anew_and_no_pid_moves() {
    let home = running(&["a", "b"]);
    home.ok(&["stop", "b"]);
    home.ok(&["start", "b"]);
    let before = home.pids();
    for (number, (name, damage)) in WAYS.into_iter().enumerate() {
        home.lose_daemon();
        let damaged = spoil(&home, damage);
        is_damaged(&home, damaged.as_ref());
        let output = home.ok(&["start", "a"]);
        output.says("the state was damaged (").says("it was built anew from `").says("with 2 apps");
        assert!(!output.stderr.contains("panicked"), "{name}: {output}");
        all_as_before(&home, &before);
        if let Some(damaged) = damaged {
            let kept = set_aside(&home).iter().any(|path| std::fs::read(path).expect("it is there") == damaged);
            assert!(kept, "{name}: it is kept");
        }
        let told = home.ok(&["events", "--json"]).stdout.matches("\"event\":\"state_rebuilt\"").count();
        assert_eq!(told, number + 1, "{name}");
    }
    home.ok(&["events"]).prints("the state was damaged (");
    home.lose_daemon();
    spoil(&home, WAYS[0].1);
    home.ok(&["kill"]).says("it was built anew from");
    assert!(before.values().all(|pid| !procs::alive(*pid)), "all are known, and ended");
    home.ok(&["resurrect"]);
    assert_eq!(home.pids().len(), 2);
    home.ok(&["stop", "b"]);
    home.lose_daemon();
    assert_eq!(home.state("b:0"), "stopped", "what is recorded later counts");
}

/// Nothing is said twice, and what is there is not less than what is recorded.
#[test]
fn what_only_reads_shows_the_backup_of_a_damaged_state_and_says_so() {
    let home = running(&["a", "b"]);
    let before = home.pids();
    home.lose_daemon();
    let backup = std::fs::read(home.folder.join("state.backup")).expect("it is there");
    for (name, damage) in WAYS {
        let whole = std::fs::read(state(&home)).expect("it is there");
        let damaged = spoil(&home, damage);
        for (code, command, shown) in [
            (0, &["list"][..], "unwatched"),
            (0, &["show", "a"], "stay.sh"),
            (0, &["why", "b"], "b"),
            (0, &["history"], ""),
            (0, &["diff", "eco.json"], "2 unchanged"),
            (0, &["drift"], ""),
            (0, &["logs", "--nostream"], ""),
            (0, &["events", "a:0"], "online"),
        ] {
            let output = home.exits(code, command);
            output.prints(shown).says("the state is damaged (").says("): shown is its backup from ");
            let told = output.stderr.matches("the state is damaged (").count();
            assert_eq!(told, 1, "{name}: {command:?}: {output}");
            assert_eq!(std::fs::read(state(&home)).ok(), damaged, "{name}: {command:?} changed it");
        }
        assert_eq!(home.pids(), before, "{name}");
        home.ok(&["history"]).says("what was asked for before is not recorded");
        home.exits(1, &["history", "@1"]).says("no generation is in the backup");
        let output = home.ok(&["list", "--json"]);
        output.says("\"note\":\"the state is damaged (");
        // What would write something does not begin from there.
        home.exits(1, &["diff", "eco.json", "--out", "plan.json"]).says("`pmrun state repair`");
        home.exits(1, &["save"]).says("`pmrun state repair`");
        assert_eq!((home.daemon(), set_aside(&home).len()), (None, 0), "{name}");
        std::fs::write(state(&home), whole).expect("write");
    }
    assert_eq!(std::fs::read(home.folder.join("state.backup")).expect("it is there"), backup);
    home.ok(&["list"]).never_shows("damaged");
    // The one before it is better than none.
    home.ok(&["restart", "a"]);
    home.lose_daemon();
    let whole = std::fs::read(state(&home)).expect("it is there");
    spoil(&home, WAYS[0].1);
    std::fs::write(home.folder.join("state.backup"), "{\"backup\":1").expect("write");
    home.ok(&["list"]).prints("unwatched").says("shown is its backup from ");
    std::fs::remove_file(home.folder.join("state.backup.1")).expect("it is there");
    home.exits(1, &["list"]).says("`pmrun state repair`").never_shows("shown is its backup");
    std::fs::write(state(&home), whole).expect("write");
}

/// No command has waited for the daemon that did it.
#[test]
fn that_it_was_built_anew_is_said_until_the_damaged_one_is_removed() {
    let home = running(&["a", "b"]);
    let daemon = home.daemon().expect("it runs");
    let whole = home.ok(&["list", "--json"]);
    assert!(whole.stderr.is_empty(), "{whole}");
    spoil(&home, WAYS[0].1);
    procs::signal(daemon, Signal::KILL);
    home.until("another daemon", |_| home.daemon().is_some_and(|other| other != daemon));
    home.ok(&["state", "check"]).prints("state: sound");
    let kept = set_aside(&home);
    let path = kept[0].display().to_string();
    let told = |output: &Output, times: usize| {
        assert_eq!(output.stderr.matches("the state was damaged").count(), times, "{output}");
    };
    for command in [
        &["list"][..],
        &["apply", "eco.json"],
        &["restart", "a"],
        &["reload", "a"],
        &["stop", "a"],
        &["start", "a"],
        &["daemon", "upgrade"],
        &["list", "--json"],
        &["delete", "b"],
    ] {
        let output = home.ok(command);
        output.says(&path).says("`pmrun history` and `pmrun state check` tell more");
        told(&output, 1);
        assert!(!output.stdout.contains("damaged"), "{output}");
    }
    told(&home.ok(&["history"]), 0);
    // What the daemon that a command has started says itself is not said again.
    home.lose_daemon();
    spoil(&home, WAYS[0].1);
    for older in kept {
        std::fs::remove_file(older).expect("it is there");
    }
    told(&home.ok(&["start", "a"]), 1);
    told(&home.ok(&["start", "a"]), 1);
    let upgraded = running(&["a"]);
    spoil(&upgraded, WAYS[0].1);
    told(&upgraded.ok(&["daemon", "upgrade"]), 1);
    for path in set_aside(&home) {
        // As long ago.
        std::fs::rename(path, home.folder.join("state.damaged-2026-01-01T00-00-00Z")).expect("rename");
    }
    told(&home.ok(&["list"]), 0);
}

#[test]
fn a_state_that_was_built_anew_is_no_command_that_was_cut_off() {
    let home = running(&["a"]);
    home.lose_daemon();
    let result = |home: &Home| home.json(&["history", "--json"])["generations"][0]["result"]["outcome"].clone();
    spoil(&home, WAYS[0].1);
    home.ok(&["state", "repair"]);
    assert_eq!((result(&home), home.daemon()), (json!("done"), None));
    home.ok(&["start", "a"]);
    assert_eq!(result(&home), json!("done"));
    home.ok(&["history"]).prints("(state built anew)").never_shows("interrupted");
    home.lose_daemon();
    spoil(&home, WAYS[1].1);
    home.ok(&["start", "a"]);
    home.ok(&["history"]).prints("(state built anew)").never_shows("interrupted");
    spoil(&home, WAYS[2].1);
    home.ok(&["state", "repair"]);
    home.lose_daemon();
    home.ok(&["history"]).prints("(state built anew)").never_shows("interrupted");
}

#[test]
fn standings_that_cannot_be_read_are_named_in_the_log() {
    let home = running(&["a", "b"]);
    let before = home.pids();
    home.lose_daemon();
    std::fs::write(home.folder.join("standings"), [0x81, 0xFE, 0x00, b'\n', 0x9C].repeat(500)).expect("write");
    home.ok(&["start", "a"]);
    all_as_before(&home, &before);
    let log = home.daemon_log();
    assert_eq!(log.matches("standings` could not be used: it is not pmrun's").count(), 1, "{log}");
}

#[test]
fn repair_does_the_same_without_a_daemon_and_refuses_what_is_sound() {
    let home = running(&["a", "b"]);
    let before = home.pids();
    home.exits(1, &["state", "repair"]).says("the state is sound: there is nothing to repair");
    home.lose_daemon();
    home.exits(1, &["state", "repair"]).says("there is nothing to repair");
    assert_eq!(home.daemon(), None, "none is started for it");
    for (_, damage) in WAYS {
        let damaged = spoil(&home, damage);
        is_damaged(&home, damaged.as_ref());
        let report = home.json(&["state", "repair", "--json"]);
        assert_eq!((&report["apps"], &report["strangers"]), (&json!(2), &json!([])), "{report}");
        assert_eq!(home.pids(), before);
        home.ok(&["state", "check"]).prints("state: sound, 2 apps").prints("state.backup: sound, 2 apps");
    }
    home.ok(&["start", "a"]);
    all_as_before(&home, &before);
}

/// A daemon has everything in memory.
#[test]
fn a_state_that_is_damaged_under_a_daemon_is_written_anew_by_it() {
    let home = running(&["a", "b"]);
    let (daemon, before) = (home.daemon(), home.pids());
    for (name, damage) in WAYS {
        spoil(&home, damage);
        home.exits(1, &["state", "check"]).prints("state: damaged: ");
        home.ok(&["state", "repair"]).says("the daemon wrote it anew, with 2 apps");
        all_as_before(&home, &before);
        assert_eq!(home.daemon(), daemon, "{name}");
    }
    home.ok(&["restart", "a"]);
    // The keeper starts one that nobody asked for: it does the same.
    let before = home.pids();
    spoil(&home, WAYS[2].1);
    procs::signal(daemon.expect("it runs"), Signal::KILL);
    home.until("another daemon", |_| home.daemon().is_some_and(|other| Some(other) != daemon));
    all_as_before(&home, &before);
    assert!(home.daemon_log().contains("the state was damaged ("), "{}", home.daemon_log());
}

#[test]
fn a_state_that_is_cut_under_a_daemon_is_there_again_with_the_next_change() {
    let home = running(&["a", "b"]);
    let (daemon, before) = (home.daemon(), home.pids());
    for (length, third) in [(0, "c"), (4096, "d"), (9000, "e")] {
        let file = std::fs::OpenOptions::new().write(true).open(state(&home)).expect("a state");
        file.set_len(length).expect("room");
        apply(&home, &["a", "b", third]);
        home.ok(&["state", "check"]).prints("state: sound, 3 apps");
        let (now, kept) = (home.pids(), ["a:0", "b:0"]);
        assert!(kept.iter().all(|name| now[*name] == before[*name]), "cut to {length}");
        assert_eq!(home.daemon(), daemon, "cut to {length}");
    }
}

/// As whoever started them by hand would.
fn end(pids: impl Iterator<Item = u32>) {
    for pid in pids {
        procs::signal(pid, Signal::KILL);
        assert!(procs::wait_gone(pid, SOON));
    }
}

#[test]
fn without_a_backup_nothing_is_begun_and_what_runs_is_left_alone() {
    let home = running(&["a", "b"]);
    let before = home.pids();
    home.lose_daemon();
    let damaged = spoil(&home, WAYS[3].1);
    for name in ["state.backup", "state.backup.1"] {
        // One is no better than none.
        std::fs::write(home.folder.join(name), "{\"backup\":1").expect("write");
    }
    is_damaged(&home, damaged.as_ref());
    let alive = || before.values().all(|pid| procs::alive(*pid));
    for command in [&["apply", "eco.json"][..], &["stop", "a"], &["resurrect"], &["kill"]] {
        home.exits(1, command).says("`pmrun state repair`");
        assert!(alive(), "{command:?}");
    }
    assert_eq!(std::fs::read(state(&home)).ok(), damaged, "nothing is set aside by itself");
    let said = home.ok(&["state", "repair"]);
    said.says("from nothing").says("could not be used: ");
    for (instance, pid) in &before {
        said.says(&format!("process {pid} runs as `{instance}`, and nobody knows its settings any more"));
    }
    let listed = |home: &Home| home.json(&["list", "--json"])["strangers"].as_array().expect("a list").len();
    for _ in 0..2 {
        assert!(home.pids().is_empty() && alive());
        assert_eq!(listed(&home), 2);
        // All at once, and one command ends them.
        let (a, b) = (before["a:0"], before["b:0"]);
        home.exits(1, &["apply", "eco.json"])
            .says(&format!("these run already: `a:0` as process {a}, `b:0` as process {b}; they were"))
            .says(&format!("end them first: kill {a} {b}"));
        assert!(alive() && home.daemon().is_some());
        home.ok(&["list"]).says("and is not known");
        home.lose_daemon();
    }
    // Not even a daemon that ends takes them along.
    home.exits(1, &["apply", "eco.json"]);
    home.ok(&["kill"]);
    assert!(alive());
    end(before.values().copied());
    home.ok(&["apply", "eco.json"]);
    assert_eq!((home.pids().len(), listed(&home)), (2, 0));
    home.exits(0, &["diff", "eco.json"]);
}

/// The backup is of before some changes: what runs says what became of them, as far as it can.
#[test]
fn an_older_backup_harms_nothing_that_was_started_since() {
    let home = running(&["a", "b"]);
    home.ok(&["stop", "b"]);
    home.ok(&["kill"]);
    let backups = ["state.backup", "state.backup.1"].map(|name| home.folder.join(name));
    let older = std::fs::read(&backups[0]).expect("it is there");
    home.ok(&["resurrect"]);
    home.ok(&["start", "b"]);
    let mut a = stay("a");
    a["instances"] = json!(2);
    home.apply(&json!([a, stay("b"), stay("c")]));
    let before = home.pids();
    home.lose_daemon();
    spoil(&home, WAYS[4].1);
    for path in &backups {
        std::fs::write(path, &older).expect("write");
    }
    home.ok(&["start", "a"]).says(&format!("process {} runs as `c:0`", before["c:0"]));
    assert!(before.values().all(|pid| procs::alive(*pid)), "{}", home.daemon_log());
    let known: BTreeMap<String, u32> =
        before.iter().filter(|(name, _)| *name != "c:0").map(|(name, pid)| (name.clone(), *pid)).collect();
    assert_eq!(home.pids(), known, "a further instance of an app that is known is taken over, too");
    home.exits(1, &["apply", "eco.json"]).says("`c:0` runs already, as process");
    assert!(before.values().all(|pid| procs::alive(*pid)));
    end([before["c:0"]].into_iter());
    home.ok(&["apply", "eco.json"]);
    let after = home.pids();
    assert_eq!(
        known.iter().filter(|(name, pid)| after.get(*name) != Some(pid)).count(),
        0,
        "these were as they are to be"
    );
    assert_eq!(after.len(), 4);
    home.exits(0, &["diff", "eco.json"]);
}

fn refused(home: &Home, output: &Output, words: &str, before: &BTreeMap<String, u32>) {
    assert!(matches!(output.code, Some(1 | 69)), "{output}");
    assert!(output.stderr.contains(words), "{output}");
    assert!(before.values().all(|pid| procs::alive(*pid)), "{output}");
    assert!(set_aside(home).is_empty());
}

#[test]
fn a_state_of_a_newer_pmrun_is_refused_and_not_touched() {
    const META: redb::TableDefinition<'static, &str, &[u8]> = redb::TableDefinition::new("meta");
    let home = running(&["a"]);
    let before = home.pids();
    home.lose_daemon();
    let own = std::fs::read(state(&home)).expect("it is there");
    {
        let database = redb::Database::open(state(&home)).expect("it is one");
        let transaction = database.begin_write().expect("a transaction");
        transaction.open_table(META).expect("it is there").insert("format", b"99".as_slice()).expect("insert");
        transaction.commit().expect("commit");
    }
    let newer = std::fs::read(state(&home)).expect("it is there");
    for command in [&["list"][..], &["apply", "eco.json"], &["kill"], &["state", "check"], &["state", "repair"]] {
        refused(&home, &home.run(command), "was written by a newer pmrun", &before);
        assert_eq!(std::fs::read(state(&home)).expect("it is there"), newer, "{command:?}");
    }
    std::fs::write(state(&home), own).expect("write");
    home.ok(&["start", "a"]);
    all_as_before(&home, &before);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_no_damage() {
    if nix::unistd::geteuid().is_root() {
        return skipped("root may write everywhere");
    }
    let home = running(&["a"]);
    let before = home.pids();
    home.lose_daemon();
    let whole = std::fs::read(state(&home)).expect("it is there");
    let mode = |folder: u32, file: u32| {
        std::fs::set_permissions(state(&home), std::fs::Permissions::from_mode(file)).expect("chmod");
        std::fs::set_permissions(&home.folder, std::fs::Permissions::from_mode(folder)).expect("chmod");
    };
    for (folder, file, repair) in [(0o500, 0o400, "nothing to repair"), (0o700, 0o000, "denied")] {
        mode(folder, file);
        refused(&home, &home.run(&["apply", "eco.json"]), "denied", &before);
        refused(&home, &home.run(&["state", "repair"]), repair, &before);
    }
    mode(0o700, 0o600);
    assert_eq!(std::fs::read(state(&home)).expect("it is there"), whole);
    home.ok(&["start", "a"]);
    all_as_before(&home, &before);
}

#[test]
fn what_is_on_a_disk_that_is_read_only_can_be_looked_at() {
    if !needs_root() {
        return;
    }
    let mut home = Home::new();
    let disk = home.folder.clone();
    if !small_disk(&mut home, &disk, "8m") {
        return;
    }
    apply(&home, &["a"]);
    home.ok(&["kill"]);
    let mount = |options: &str| {
        let line = format!("mount -o remount,{options} '{}'", disk.display());
        home.run_command(home.shell(&line), Duration::from_secs(20)).code == Some(0)
    };
    if !mount("ro") {
        return skipped("no file system can be made read-only");
    }
    for command in [
        &["list"][..],
        &["show", "a"],
        &["why", "a"],
        &["history"],
        &["logs", "a", "--nostream"],
        &["state", "check"],
        &["jlist"],
        &["events"],
    ] {
        home.ok(command);
    }
    home.exits(2, &["drift"]).prints("a  stopped by hand");
    assert!(mount("rw"));
    home.ok(&["start", "a"]);
}

#[test]
fn a_damaged_state_on_a_full_disk_waits_for_room() {
    if !needs_root() {
        return;
    }
    let mut home = Home::new();
    let disk = home.folder.clone();
    if !small_disk(&mut home, &disk, "8m") {
        return;
    }
    apply(&home, &["a", "b"]);
    let before = home.pids();
    home.lose_daemon();
    let damaged = spoil(&home, WAYS[1].1);
    let filler = fill(&disk);
    for command in [&["start", "a"][..], &["state", "repair"]] {
        refused(&home, &home.run(command), "No space left on device", &before);
        assert_eq!(std::fs::read(state(&home)).ok(), damaged, "{command:?}");
    }
    std::fs::remove_file(filler).expect("it is there");
    home.ok(&["start", "a"]).says("it was built anew from");
    all_as_before(&home, &before);
    // A backup that could not be written is written when there is room.
    let filler = fill(&disk);
    assert!(home.run(&["stop", "b"]).code.is_some());
    std::fs::remove_file(filler).expect("it is there");
    apply(&home, &["a", "b", "c"]);
}

#[test]
fn a_folder_or_a_pipe_in_its_place_is_damage_as_any_other() {
    let home = running(&["a", "b"]);
    let before = home.pids();
    for (kind, words) in
        [("folder", "it is not a file"), ("pipe", "it is not a file"), ("link", "it is a link that leads back")]
    {
        home.lose_daemon();
        std::fs::remove_file(state(&home)).expect("it is there");
        match kind {
            "pipe" => {
                let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                let pipe = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, state(&home), pipe, mode, 0).expect("a pipe");
            }
            "link" => std::os::unix::fs::symlink("state", state(&home)).expect("a link"),
            _ => std::fs::create_dir(state(&home)).expect("a folder"),
        }
        home.exits(1, &["state", "check"]).prints(&format!("state: damaged: {words}"));
        home.ok(&["start", "a"]).says("it was built anew from `").says("with 2 apps");
        all_as_before(&home, &before);
    }
    assert_eq!(set_aside(&home).len(), 3);
}

/// Nothing to build anew from, and not to be taken for a home that nobody has used.
#[test]
fn where_all_is_gone_what_runs_is_not_taken_for_what_nobody_needs() {
    let home = running(&["a", "b"]);
    let before = home.pids();
    home.lose_daemon();
    for name in ["state", "state.backup", "state.backup.1"] {
        let _ = std::fs::remove_file(home.folder.join(name));
    }
    home.exits(1, &["state", "check"]).prints("it is gone with its backups, and 2 processes of its apps run");
    for command in [&["list"][..], &["apply", "eco.json"], &["stop", "a"], &["kill"]] {
        home.exits(1, command).says("`pmrun state repair`");
        assert!(before.values().all(|pid| procs::alive(*pid)), "{command:?}");
    }
    home.ok(&["state", "repair"]).says("from nothing").says("it is left alone");
    home.ok(&["list"]).says("and is not known");
    end(before.values().copied());
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids().len(), 2);
    for name in ["state", "state.backup", "state.backup.1"] {
        let _ = std::fs::remove_file(home.folder.join(name));
    }
    home.ok(&["kill"]);
}

/// Nor is a new folder in its place a home that nobody has used.
#[test]
fn where_the_whole_home_was_moved_away_what_runs_is_left_alone() {
    let home = running(&["a", "b"]);
    let before = home.pids();
    home.lose_daemon();
    let aside = home.folder.with_extension("aside");
    std::fs::rename(&home.folder, &aside).expect("moved");
    for command in [&["list"][..], &["apply", "eco.json"], &["stop", "a"]] {
        home.exits(1, command).says("2 processes of its apps run").says("`pmrun state repair`");
        assert!(before.values().all(|pid| procs::alive(*pid)), "{command:?}");
    }
    std::fs::remove_dir_all(&home.folder).expect("it was made again");
    std::fs::rename(&aside, &home.folder).expect("moved back");
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids(), before);
}

/// What is written to a file that has no name any more is lost.
#[test]
fn a_state_that_is_taken_away_under_a_daemon_is_there_again_with_the_next_change() {
    let home = running(&["a", "b"]);
    std::fs::remove_file(state(&home)).expect("it is there");
    home.ok(&["stop", "b"]);
    home.lose_daemon();
    assert_eq!(home.state("b:0"), "stopped");
    home.ok(&["state", "check"]).prints("state: sound, 2 apps");
    // All that was in it.
    let told = home.ok(&["history"]);
    told.prints("apply eco.json").prints("stop b").never_shows("built anew");
}

/// Its backup may be as old: what runs is meant to, whatever an older one says.
#[test]
fn an_older_state_in_the_place_of_the_last_ends_nothing_that_runs() {
    let home = running(&["a", "b"]);
    home.ok(&["stop", "b"]);
    let older = std::fs::read(state(&home)).expect("it is there");
    let backups =
        ["state.backup", "state.backup.1"].map(|name| std::fs::read(home.folder.join(name)).unwrap_or_default());
    home.ok(&["start", "b"]);
    let before = home.pids();
    home.lose_daemon();
    std::fs::write(state(&home), older).expect("written");
    for (name, text) in ["state.backup", "state.backup.1"].iter().zip(backups) {
        std::fs::write(home.folder.join(name), text).expect("written");
    }
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids(), before);
    assert!(home.daemon_log().contains("it is older than what was saved last"), "{}", home.daemon_log());
    home.ok(&["state", "check"]).prints("state: sound, 2 apps");
    home.lose_daemon();
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids(), before);
}

#[test]
fn a_daemon_becomes_another_program_only_where_that_can_read_what_is_recorded() {
    let home = running(&["a", "b"]);
    let before = home.pids();
    for (_, damage) in WAYS {
        spoil(&home, damage);
        home.ok(&["upgrade"]);
        all_as_before(&home, &before);
    }
    for name in ["state", "state.backup", "state.backup.1"] {
        std::fs::write(home.folder.join(name), "no state").expect("write");
    }
    home.ok(&["upgrade"]);
    all_as_before(&home, &before);
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_named_and_nobody_waits_for_it() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    home.write("eco.json", apps(&["a"]).to_string());
    std::fs::create_dir_all(&home.folder).expect("a folder");
    let pipe = |name: &str| {
        let path = home.folder.join(name);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        path
    };
    for name in ["pmrun.log", "standings", "events.jsonl"] {
        let path = pipe(name);
        home.exits(69, &["apply", "eco.json"]).says(name).says("is a pipe: move it away");
        if name == "events.jsonl" {
            home.exits(1, &["events"]).says("events.jsonl`: not a regular file").says("move it away");
        }
        std::fs::remove_file(&path).expect("it is there");
    }
    // Nothing is lost with these.
    for name in ["pmrun.pid", "usage"] {
        pipe(name);
    }
    home.ok(&["apply", "eco.json"]);
    assert_eq!(home.pids().len(), 1);
}
