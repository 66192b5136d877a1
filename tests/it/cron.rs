//! `cron_restart`: what runs is restarted at its times, a job runs at them, what was stopped stays stopped.

use serde_json::json;

use crate::support::{Home, stay};

#[test]
fn an_app_is_restarted_at_its_times_until_somebody_stops_it() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut app = stay("api");
    app["cron_restart"] = json!("* * * * * *");
    app["cron_timezone"] = json!("UTC");
    app["min_uptime"] = json!(100);
    home.write_json("eco.json", &json!([app, stay("other")]));
    home.ok(&["apply", "eco.json"]);
    home.until("api is restarted twice", |all| all.iter().any(|one| one.name() == "api" && one.restarts() >= 2));
    let line = "`api:0` is restarted: its time has come (cron_restart)";
    assert!(home.daemon_log().contains(line), "{}", home.daemon_log());
    let shown = &home.json(&["show", "api", "--json"])["apps"][0]["instances"][0];
    assert!(shown["next_run_at_ms"].as_u64().is_some_and(|at| at % 1_000 == 0), "{shown}");
    home.ok(&["show", "api"]).prints("next run   20").prints("+00:00, in ");
    home.ok(&["stop", "api"]);
    let stopped = home.until_state("api:0", "stopped").restarts();
    // Its time comes a few times more: another app's restarts say how time goes.
    let mut other = stay("other");
    other["cron_restart"] = json!("* * * * * *");
    app["autostart"] = json!(false);
    home.write_json("eco.json", &json!([app, other]));
    home.ok(&["apply", "eco.json"]);
    let all = home
        .until("other is restarted twice", |all| all.iter().any(|one| one.name() == "other" && one.restarts() >= 2));
    let api = all.iter().find(|one| one.name() == "api").expect("api is known");
    assert_eq!((api.state().as_str(), api.restarts()), ("stopped", stopped));
}

#[test]
fn a_job_runs_at_its_times_and_apply_leaves_it_alone() {
    let home = Home::new();
    let job = json!({
        "name": "job", "script": "echo ran", "autorestart": false, "cron_restart": "*/1 * * * * *", "fingerprint": false,
    });
    home.write_json("eco.json", &json!([job]));
    home.ok(&["apply", "eco.json"]);
    home.until("it ran three times", |all| all[0].restarts() >= 2 && all[0].state() == "completed");
    home.ok(&["diff", "eco.json"]);
    let lines = home.log("job-out.log").lines().count();
    assert!(lines >= 3, "{lines}");
}

#[test]
fn a_pattern_whose_time_never_comes_and_an_unknown_zone_are_refused_where_they_are_written() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut app = stay("api");
    app["cron_restart"] = json!("0 0 31 2 *");
    app["cron_timezone"] = json!("Mars/Olympus");
    home.write_json("eco.json", &json!([app]));
    let output = home.exits(65, &["validate", "eco.json"]);
    output.says("`cron_restart`: \"0 0 31 2 *\" never comes true: there is no such day");
    output.says("this machine knows no time zone `Mars/Olympus`");
}

#[test]
fn a_scheduled_job_runs_at_its_times_only_and_its_runs_are_kept() {
    let home = Home::new();
    let job = |pattern: &str, change: fn(&mut serde_json::Value)| {
        let mut job = json!({ "name": "job", "script": "echo ran; exit 3", "schedule": pattern, "fingerprint": false });
        change(&mut job);
        home.write_json("eco.json", &json!([job]));
    };
    job("0 3 1 1 *", |_| ());
    home.ok(&["apply", "eco.json"]).prints("create, run at its times");
    assert_eq!(home.state("job:0"), "waiting");
    assert_eq!(home.log("job-out.log"), "", "it is not run by being applied");
    home.ok(&["restart", "job"]);
    home.until("it was run by hand", |_| home.log("job-out.log") == "ran\n");
    job("* * * * * *", |_| ());
    home.ok(&["apply", "eco.json"]);
    let runs = || home.json(&["show", "job", "--json"])["apps"][0]["instances"][0]["runs"].clone();
    home.until("it ran three times more", |_| runs().as_array().is_some_and(|runs| runs.len() >= 4));
    assert_eq!(runs()[0]["status"]["code"], 3);
    home.ok(&["show", "job"]).prints("last runs  20").prints("exit code 3 after");
    // One that goes on is not run a second time.
    job("* * * * * *", |job| job["script"] = json!("cat ../gate"));
    let _gate = home.fifo("gate");
    home.ok(&["apply", "eco.json"]);
    home.until("one is skipped", |_| {
        runs().as_array().is_some_and(|runs| runs.iter().any(|run| run["status"].is_null()))
    });
    assert_eq!(home.state("job:0"), "online");
    home.ok(&["stop", "job"]);
    assert_eq!(home.state("job:0"), "stopped");
    home.exits(2, &["diff", "eco.json"]).prints("should run and is stopped");
}
