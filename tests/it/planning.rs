//! What `diff` says, in all its forms; plans that are kept; comparing without a daemon.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Home, Output, needs_git, stay};

fn home_with(apps: &[&str]) -> Home {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    if !apps.is_empty() {
        home.apply(&json!({ "name": "shop", "apps": apps.iter().map(|name| stay(name)).collect::<Vec<_>>() }));
    }
    home
}

pub(crate) fn git(home: &Home, line: &str) -> Output {
    let line = format!(
        "git -C '{}' -c user.name=t -c user.email=t@example.org -c init.defaultBranch=main {line}",
        home.work.display()
    );
    let output = home.run_command(home.shell(&line), Duration::from_secs(30));
    output.exited(0);
    output
}

pub(crate) fn commit_all(home: &Home) {
    for line in ["init -q", "add -A", "commit -qm all"] {
        git(home, line);
    }
}

pub(crate) fn action<'a>(plan: &'a Value, app: &str) -> &'a str {
    let steps = plan["steps"].as_array().expect("steps");
    let step = steps.iter().find(|step| step["app"] == app).unwrap_or_else(|| panic!("no step of `{app}` in {plan}"));
    step["action"].as_str().expect("action")
}

pub(crate) fn validated(output: &Output) -> Value {
    let value: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/plan.schema.json");
    let schema = std::fs::read_to_string(path).expect("the schema is committed");
    let schema: Value = serde_json::from_str(&schema).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is one");
    let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
    value
}

#[test]
fn diff_says_old_new_where_and_why_and_exits_2() {
    let home = home_with(&["api", "web"]);
    home.ok(&["diff", "eco.json"]).prints("2 unchanged");

    let text = r#"{
  "name": "shop",
  "apps": [
    { "name": "api", "script": "./stay.sh", "kill_timeout": 1000, "min_uptime": 100,
      "env": { "PORT": 8080 } },
    { "name": "new", "script": "./stay.sh" }
  ]
}
"#;
    home.write("eco.json", text);
    let before = home.pids();
    let diff = home.exits(2, &["diff", "eco.json"]);
    diff.prints("api").prints("env.PORT").prints("8080").prints("eco.json:5:");
    diff.prints("new").prints("web");
    let last = diff.stdout.trim_end().lines().last().unwrap_or_default().to_owned();
    assert!(last.starts_with("Plan: "), "{diff}");
    for count in ["1 to create", "1 to restart", "1 to delete"] {
        assert!(last.contains(count), "`{count}` in `{last}`");
    }
    assert_eq!(home.pids(), before, "a diff does nothing");
}

#[test]
fn diff_exits_0_without_changes_65_for_an_invalid_file_and_1_for_a_refusal() {
    let home = home_with(&["api"]);
    home.exits(0, &["diff", "eco.json"]);
    home.write("bad.json", r#"{ "apps": [ { "name": "api" } ] }"#);
    home.exits(65, &["diff", "bad.json"]);
    home.write_json("other.json", &json!({ "name": "other", "apps": [stay("api")] }));
    home.exits(1, &["diff", "other.json"]).says("`api`").says("shop").says("--adopt");
    home.write_json("empty.json", &json!({ "name": "shop", "apps": [] }));
    home.exits(1, &["diff", "empty.json"]).says("--allow-empty");
    home.exits(2, &["diff", "empty.json", "--allow-empty"]);
    home.exits(64, &["diff", "--nonsense"]);
}

#[test]
fn json_follows_the_committed_schema() {
    let home = home_with(&["keep", "change", "gone", "more", "live", "old"]);
    let mut change = stay("change");
    change["env"] = json!({ "A": "1" });
    let mut more = stay("more");
    more["instances"] = json!(3);
    let mut live = stay("live");
    live["max_restarts"] = json!(4);
    let mut renamed = stay("fresh");
    renamed["renamed_from"] = json!("old");
    let apps = json!([stay("keep"), change, more, live, renamed, stay("create")]);
    home.write_json("eco.json", &json!({ "name": "shop", "apps": apps }));
    let plan = validated(&home.exits(2, &["diff", "eco.json", "--json"]));
    let want = [
        ("keep", "keep"),
        ("change", "restart"),
        ("gone", "delete"),
        ("more", "scale"),
        ("live", "update"),
        ("fresh", "rename"),
        ("create", "create"),
    ];
    for (app, wanted) in want {
        assert_eq!(action(&plan, app), wanted, "{app}");
    }
    let steps = plan["steps"].as_array().expect("steps");
    assert!(steps.iter().all(|step| step["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty())));

    // With nothing known, and with a refusal, too.
    let fresh = Home::new();
    fresh.app("stay.sh", "stay.sh");
    fresh.write_json("eco.json", &json!([stay("a")]));
    validated(&fresh.exits(2, &["diff", "eco.json", "--json"]));
    assert!(fresh.daemon().is_none(), "diff starts no daemon");
    home.write_json("other.json", &json!({ "name": "other", "apps": [stay("keep")] }));
    let refused = validated(&home.exits(1, &["diff", "other.json", "--json"]));
    assert_eq!(refused["refusals"][0]["refusal"], "owned_by_other");
}

#[test]
fn markdown_fits_a_comment_on_a_pull_request() {
    let home = home_with(&["api"]);
    let mut api = stay("api");
    api["args"] = json!(["a|b", "`tick`", "<b>"]);
    home.write_json("eco.json", &json!({ "name": "shop", "apps": [api, stay("new")] }));
    let output = home.exits(2, &["diff", "eco.json", "--markdown"]);
    output.prints("api").prints("new").prints("args");
    assert!(!output.stdout.contains('\x1b'), "{output}");
    assert!(output.stdout.contains('|') || output.stdout.contains("- "), "a table or a list: {output}");
}

#[test]
fn a_word_after_a_flag_that_names_a_secret_is_never_shown() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut list = stay("list");
    list["args"] = json!(["--user", "me", "--password", "leak-1"]);
    let mut text = stay("text");
    text["args"] = json!("--token leak-2 -v");
    let mut first = stay("first");
    first["interpreter"] = json!("/bin/sh");
    first["interpreter_args"] = json!(["-c", "exec sleep 1000", "--secret", "leak-3"]);
    home.apply(&json!([list, text, first]));
    for offline in [false, true] {
        for args in [&["show", "all"][..], &["show", "all", "--json"]] {
            home.ok(args).prints("--password").prints("me").never_shows("leak-");
        }
        assert_eq!(home.json(&["show", "list", "--json", "--reveal"])["apps"][0]["spec"]["args"][3], "leak-1");
        if !offline {
            home.ok(&["kill"]);
        }
    }
}

#[test]
fn values_that_look_like_secrets_are_never_printed() {
    let mut home = home_with(&[]);
    home.set_env("AMBIENT_TOKEN", "ambient-secret-3");
    let app = |token: &str| {
        let mut app = stay("api");
        app["env"] = json!({
            "API_TOKEN": token,
            "DB_PASSWORD": "hunter2-secret",
            "DATABASE_URL": "postgres://user:urlsecret@db/x",
            "PLAIN": "visible",
        });
        json!({ "name": "shop", "apps": [app] })
    };
    let secrets = ["first-secret-1", "second-secret-2", "hunter2-secret", "urlsecret", "ambient-secret-3"];
    let hides = |output: &Output| {
        for secret in secrets {
            output.never_shows(secret);
        }
    };
    hides(&home.apply(&app("first-secret-1")));
    home.write_json("eco.json", &app("second-secret-2"));
    for form in [&[][..], &["--json"], &["--markdown"], &["--out", "plan.json"]] {
        let output = home.exits(2, &[&["diff", "eco.json"], form].concat());
        output.prints("API_TOKEN");
        hides(&output);
    }
    let saved = std::fs::read_to_string(home.work.join("plan.json")).expect("it was written");
    assert!(secrets.iter().all(|secret| !saved.contains(secret)), "{saved}");
    for args in [
        &["list", "--json"][..],
        &["show", "api"],
        &["show", "api", "--json"],
        &["render", "eco.json"],
        &["render", "eco.json", "--json"],
        &["validate", "eco.json"],
        &["apply", "eco.json"],
    ] {
        hides(&home.ok(args));
    }
    home.ok(&["show", "api", "--json", "--reveal"]).prints("second-secret-2");
    home.ok(&["render", "eco.json", "--json", "--reveal"]).prints("second-secret-2");
    let log = std::fs::read_to_string(home.folder.join("pmrun.log")).unwrap_or_default();
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "the daemon's log holds a secret");
}

#[test]
fn a_changed_secret_is_seen_to_change() {
    let home = home_with(&[]);
    let app = |token: &str| json!({ "name": "shop", "apps": [{ "name": "a", "script": "./stay.sh", "min_uptime": 100, "env": { "TOKEN": token } }] });
    home.apply(&app("one-is-secret"));
    home.write_json("eco.json", &app("two-is-secret"));
    let change = home.run(&["diff", "eco.json", "--json"]);
    let plan: Value = serde_json::from_str(&change.stdout).unwrap_or_else(|error| panic!("{error}: {change}"));
    let change = &plan["steps"][0]["changes"][0];
    assert_eq!(change["path"], "env.TOKEN");
    assert_ne!(change["old"], change["new"]);
}

#[test]
fn two_configs_are_compared_without_a_daemon() {
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut old = stay("api");
    old["env"] = json!({ "PORT": 1 });
    home.write_json("old.json", &json!([old, stay("gone")]));
    let mut new = stay("api");
    new["env"] = json!({ "PORT": 2 });
    home.write_json("new.json", &json!([new, stay("more")]));
    let output = home.exits(2, &["diff", "new.json", "--base", "old.json", "--json"]);
    let plan = validated(&output);
    assert_eq!(action(&plan, "api"), "restart");
    assert_eq!(action(&plan, "gone"), "delete");
    assert_eq!(action(&plan, "more"), "create");
    home.exits(0, &["diff", "new.json", "--base", "new.json"]);
    home.exits(2, &["diff", "new.json", "--base", "old.json", "--markdown"]).prints("more");
    assert!(home.daemon().is_none());
    assert!(!home.folder.join("pmrun.sock").exists());
}

#[test]
fn a_revision_is_compared_without_touching_the_work_tree() {
    if !needs_git() {
        return;
    }
    let home = Home::new();
    let git = |line: &str| git(&home, line);
    home.app("stay.sh", "site/stay.sh");
    home.write("site/lib/names.js", "exports.name = 'before';\n");
    home.write(
        "site/ecosystem.config.js",
        "const { name } = require('./lib/names');\nmodule.exports = [{ name, script: './stay.sh' }];\n",
    );
    git("init -q");
    git("add -A");
    git("commit -qm one");
    // Changed in the work tree and in the index, differently; plus a file that git does not know.
    home.write("site/lib/names.js", "exports.name = 'staged';\n");
    git("add -A");
    home.write("site/lib/names.js", "exports.name = 'after';\n");
    home.write("site/untracked.txt", "x");
    let index = home.work.join(".git/index");
    // `git status` may refresh the index itself, so it is asked first.
    let status = git("status --porcelain").stdout;
    let stamp = index.metadata().and_then(|data| data.modified()).expect("an index");

    let mut command = home.command(&["diff", "--base", "git:HEAD", "--json"]);
    command.current_dir(home.work.join("site"));
    let output = home.run_command(command, Duration::from_secs(30));
    output.exited(2);
    let plan = validated(&output);
    assert_eq!(action(&plan, "before"), "delete");
    assert_eq!(action(&plan, "after"), "create");

    // A change of nothing but code is seen as well.
    home.write("site/lib/names.js", "exports.name = 'before';\n");
    home.write("site/stay.sh", "#!/bin/sh\nexec sleep 100001\n");
    let output = home.exits(2, &["diff", "site/ecosystem.config.js", "--base", "git:HEAD", "--json"]);
    let plan = validated(&output);
    assert_eq!(action(&plan, "before"), "restart");
    assert_eq!(plan["steps"][0]["changes"][0]["path"], "code.stay.sh");

    assert_eq!(index.metadata().and_then(|data| data.modified()).expect("an index"), stamp, "the index was written");
    home.app("stay.sh", "site/stay.sh");
    home.write("site/lib/names.js", "exports.name = 'after';\n");
    assert_eq!(git("status --porcelain").stdout, status);
    assert_eq!(git("worktree list").stdout.lines().count(), 1);
    let left: Vec<_> = std::fs::read_dir(home.temporary()).expect("it is there").collect();
    assert!(left.is_empty(), "left in TMPDIR: {left:?}");
    assert!(home.daemon().is_none());

    home.exits(1, &["diff", "site/ecosystem.config.js", "--base", "git:nowhere"]).says("nowhere");
}

#[test]
fn a_saved_plan_is_done_exactly_or_refused_naming_app_and_field() {
    let home = home_with(&["api", "web"]);
    let config = |port: u32, note: &str| {
        let mut api = stay("api");
        api["env"] = json!({ "PORT": port });
        let mut web = stay("web");
        web["env"] = json!({ "NOTE": note });
        json!({ "name": "shop", "apps": [api, web] })
    };
    home.write_json("eco.json", &config(1, "x"));
    home.exits(2, &["diff", "eco.json", "--only", "api", "--out", "plan.json"]);

    // Nothing moved: exactly that is done.
    let before = home.pids();
    home.ok(&["apply", "plan.json"]);
    let after = home.pids();
    assert_ne!(before["api:0"], after["api:0"]);
    assert_eq!(before["web:0"], after["web:0"]);

    // The file moved on.
    home.write_json("eco.json", &config(2, "x"));
    home.exits(2, &["diff", "eco.json", "--only", "api", "--out", "plan.json"]);
    home.write_json("eco.json", &config(3, "x"));
    let stale = home.exits(5, &["apply", "plan.json"]);
    stale.says("api").says("env.PORT");
    assert_eq!(home.pids(), after, "a stale plan does nothing");

    // What runs moved on.
    home.write_json("eco.json", &config(3, "x"));
    home.exits(2, &["diff", "eco.json", "--only", "api", "--out", "plan.json"]);
    home.ok(&["apply", "eco.json", "--only", "api"]);
    home.exits(5, &["apply", "plan.json"]).says("api");

    // Somebody else's app may move as it likes.
    home.write_json("eco.json", &config(4, "x"));
    home.exits(2, &["diff", "eco.json", "--only", "api", "--out", "plan.json"]);
    home.write_json("eco.json", &config(4, "y"));
    home.ok(&["apply", "eco.json", "--only", "web"]);
    home.ok(&["apply", "plan.json"]);
    home.ok(&["diff", "eco.json"]);
}

#[test]
fn an_edited_script_counts_as_a_change() {
    let home = home_with(&["api", "web"]);
    home.app("stay.sh", "web.sh");
    let mut web = stay("web");
    web["script"] = json!("./web.sh");
    let config = json!({ "name": "shop", "apps": [stay("api"), web] });
    home.apply(&config);
    let before = home.pids();
    let text = std::fs::read_to_string(home.work.join("web.sh")).expect("it is there");
    home.write("web.sh", text.replace("100000", "100002"));
    let diff = home.exits(2, &["diff", "eco.json"]);
    diff.prints("web.sh").prints("1 to restart").prints("1 unchanged");
    home.ok(&["apply", "eco.json"]);
    let after = home.pids();
    assert_eq!(before["api:0"], after["api:0"]);
    assert_ne!(before["web:0"], after["web:0"]);
}

#[test]
fn only_without_a_name_is_refused_and_prunes_nothing() {
    let home = home_with(&["api", "web"]);
    home.write_json("eco.json", &json!({ "name": "shop", "apps": [stay("api")] }));
    let before = home.pids();
    for only in ["", ",", " "] {
        home.exits(64, &["apply", "eco.json", "--only", only]).says("`--only` names no app");
        home.exits(64, &["diff", "eco.json", "--only", only]).says("`--only` names no app");
    }
    assert_eq!(home.pids(), before);
}

#[test]
fn a_plan_is_never_written_over_the_config_or_another_file() {
    let home = home_with(&["api"]);
    let config = std::fs::read_to_string(home.work.join("eco.json")).expect("it is there");
    home.exits(64, &["diff", "eco.json", "--out", "./eco.json"]).says("config file");
    home.write("notes.txt", "hello");
    home.exits(1, &["diff", "eco.json", "--out", "notes.txt"]).says("no saved plan");
    home.ok(&["diff", "eco.json", "--out", "plan.json"]);
    home.ok(&["diff", "eco.json", "--out", "plan.json"]);
    assert_eq!(std::fs::read_to_string(home.work.join("eco.json")).expect("it is there"), config);
    assert_eq!(std::fs::read_to_string(home.work.join("notes.txt")).expect("it is there"), "hello");
}

#[test]
fn the_commit_that_is_checked_out_is_no_change_by_any_fingerprint() {
    if !needs_git() {
        return;
    }
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut by_git = stay("by-git");
    by_git["fingerprint"] = json!("git");
    let mut by_globs = stay("by-globs");
    by_globs["fingerprint"] = json!(["dist/**", "lib/*.js"]);
    home.write_json("eco.json", &json!([by_git, by_globs]));
    home.write(".gitignore", "dist/\n");
    home.write("lib/a.js", "1");
    commit_all(&home);
    // Built, and known to no revision.
    home.write("dist/server.js", "built");
    for base in ["HEAD", "main", "HEAD^{commit}"] {
        home.exits(0, &["diff", "eco.json", "--base", &format!("git:{base}")]);
    }
    home.exits(0, &["diff", "eco.json", "--base", "eco.json"]);

    // A new file that git would take is a change, and so is another commit.
    home.write("lib/new.js", "2");
    let diff = home.exits(2, &["diff", "eco.json", "--base", "git:HEAD"]);
    diff.prints("lib/new.js").prints("1 to restart, 1 unchanged").never_shows("dist/server.js");
    commit_all(&home);
    let plan = validated(&home.exits(2, &["diff", "eco.json", "--base", "git:HEAD~1", "--json"]));
    assert_eq!((action(&plan, "by-git"), action(&plan, "by-globs")), ("restart", "restart"));
}

#[test]
fn the_repository_is_the_configs_whoever_asks() {
    if !needs_git() {
        return;
    }
    let home = Home::new();
    home.app("stay.sh", "stay.sh");
    let mut app = stay("by-git");
    app["fingerprint"] = json!("git");
    home.write_json("eco.json", &json!([app]));
    commit_all(&home);
    // As in a hook of another repository.
    for line in [&["diff", "eco.json", "--base", "git:HEAD"][..], &["validate", "eco.json"]] {
        let mut command = home.command(line);
        for (name, value) in
            [("GIT_DIR", "/nowhere/.git"), ("GIT_INDEX_FILE", "/nowhere/index"), ("GIT_COMMON_DIR", "/x")]
        {
            command.env(name, value);
        }
        home.run_command(command, Duration::from_secs(30)).exited(0);
    }
}

#[test]
fn a_base_names_its_modules_as_the_work_tree_does_through_a_symlink_too() {
    if !needs_git() {
        return;
    }
    let home = Home::new();
    home.app("stay.sh", "app/stay.sh");
    home.write("lib/note.js", "module.exports = 'one';\n");
    home.write(
        "app/ecosystem.config.js",
        "const path = require('path');\nmodule.exports = [{ name: 'a', script: path.join(__dirname, 'stay.sh'), \
         args: [__dirname, __filename, require('../lib/note')] }];\n",
    );
    home.write("same.config.js", std::fs::read(home.work.join("app/ecosystem.config.js")).expect("it is there"));
    std::os::unix::fs::symlink("app", home.work.join("current")).expect("a link");
    commit_all(&home);
    let elsewhere = home.work.with_file_name("elsewhere");
    std::os::unix::fs::symlink(home.work.join("app"), &elsewhere).expect("a link");
    let through = elsewhere.join("ecosystem.config.js");
    let through = through.to_str().expect("UTF-8");
    for file in ["app/ecosystem.config.js", "current/ecosystem.config.js", through] {
        home.exits(0, &["diff", file, "--base", "git:HEAD"]);
        home.exits(0, &["diff", file, "--base", file]);
        home.exits(0, &["diff", file, "--base", "same.config.js"]);
    }
    // What is read through the other name is the revision's all the same.
    home.write("lib/note.js", "module.exports = 'two';\n");
    home.write("app/stay.sh", "#!/bin/sh\nexec sleep 100001\n");
    for file in ["app/ecosystem.config.js", "current/ecosystem.config.js", through] {
        let plan = validated(&home.exits(2, &["diff", file, "--base", "git:HEAD", "--json"]));
        let changes = plan["steps"][0]["changes"].as_array().expect("changes");
        let paths: Vec<&str> = changes.iter().filter_map(|change| change["path"].as_str()).collect();
        assert_eq!(paths.len(), 2, "{file}: {paths:?}");
        assert!(paths.iter().any(|path| path.starts_with("code.")), "{file}: {paths:?}");
    }
}

#[test]
fn a_plan_is_stale_when_only_what_runs_moved_and_says_how() {
    let home = home_with(&["api", "web"]);
    let config = |port: u32| {
        let mut api = stay("api");
        api["env"] = json!({ "PORT": port });
        json!({ "name": "shop", "apps": [api, stay("web")] })
    };
    home.write_json("eco.json", &config(1));
    home.exits(2, &["diff", "eco.json", "--out", "plan.json"]);
    home.ok(&["stop", "api"]);
    let stale = home.exits(5, &["apply", "plan.json"]);
    stale.says("`state` of app `api` was `api:0 running` and is now `api:0 stopped`");

    // The same is known without a daemon, and then none is started.
    home.ok(&["kill"]);
    home.exits(5, &["apply", "plan.json"]).says("`state` of app `api`").says("api:0 stopped");
    assert!(home.daemon().is_none());

    // A plan that is made then is done.
    home.exits(2, &["diff", "eco.json", "--out", "plan.json"]);
    home.ok(&["apply", "plan.json"]);
    home.exits(0, &["diff", "eco.json"]);
    home.write_json("eco.json", &json!({ "name": "shop", "apps": [stay("web")] }));
    home.exits(2, &["diff", "eco.json", "--out", "plan.json"]);
    home.ok(&["delete", "api"]);
    home.exits(5, &["apply", "plan.json"]).says("`app` of app `api` was `there` and is now nothing");
}

#[test]
fn an_edited_plan_and_one_of_another_home_are_refused_whole() {
    let home = home_with(&["api", "web"]);
    let mut apps = [stay("api"), stay("web")];
    for app in &mut apps {
        app["env"] = json!({ "PORT": 1 });
    }
    home.write_json("eco.json", &json!({ "name": "shop", "apps": apps }));
    home.exits(2, &["diff", "eco.json", "--out", "plan.json"]);
    let before = home.pids();
    let text = std::fs::read_to_string(home.work.join("plan.json")).expect("it was written");
    let mut edited: Value = serde_json::from_str(&text).expect("JSON");
    edited["plan"]["steps"].as_array_mut().expect("steps").truncate(1);
    home.write_json("edited.json", &edited);
    home.exits(1, &["apply", "edited.json"]).says("`edited.json` was edited").says("nothing was done");
    let mut other = home.command(&["apply", "plan.json"]);
    other.env("PMRUN_HOME", home.work.join("other-home"));
    let refused = home.run_command(other, Duration::from_secs(30));
    refused.exited(1);
    refused.says("made in another PMRUN_HOME");
    assert!(!home.work.join("other-home").exists());
    assert_eq!(home.pids(), before);
    for command in ["diff", "validate"] {
        home.exits(64, &[command, "plan.json"]).says("is a saved plan").says("pmrun apply plan.json");
    }
    home.ok(&["apply", "plan.json"]);
}

#[test]
fn a_broken_app_that_is_not_selected_is_in_nobodys_way() {
    let home = home_with(&["api"]);
    let mut api = stay("api");
    api["env"] = json!({ "PORT": 1 });
    let broken = json!({ "name": "broken", "script": "./gone.sh", "exec_mode": "cluster" });
    home.write_json("eco.json", &json!({ "name": "shop", "apps": [broken, api] }));
    home.exits(65, &["apply", "eco.json"]).says("gone.sh").says("cluster");
    home.exits(65, &["apply", "eco.json", "--only", "broken"]).says("gone.sh");
    home.exits(2, &["diff", "eco.json", "--only", "api"]).never_shows("gone.sh");
    home.ok(&["apply", "eco.json", "--only", "api"]).never_shows("gone.sh").never_shows("cluster");
    home.exits(0, &["diff", "eco.json", "--only", "api", "--base", "eco.json"]);
    // What is wrong with the file itself is nobody's app.
    home.write_json("eco.json", &json!([{ "name": "broken", "script": "./gone.sh", "instances": {} }, stay("api")]));
    home.exits(65, &["apply", "eco.json", "--only", "api"]).says("instances");
}

#[test]
fn what_is_left_alone_is_not_called_unchanged() {
    let home = home_with(&["api", "web"]);
    home.write_json("eco.json", &json!({ "name": "shop", "apps": [stay("api")] }));
    let diff = home.exits(0, &["diff", "eco.json", "--no-prune"]);
    diff.prints("Plan: nothing to do, 1 unchanged, 1 left alone");
    let plan = validated(&home.exits(0, &["diff", "eco.json", "--no-prune", "--json"]));
    assert_eq!((&plan["counts"]["unchanged"], &plan["counts"]["left_alone"]), (&json!(1), &json!(1)));
}

#[test]
fn a_rename_of_anothers_app_is_a_conflict_and_each_thing_is_called_what_it_is() {
    let home = home_with(&["api"]);
    let pid = home.pid("api:0");
    let mut taker = stay("taken");
    taker["renamed_from"] = json!("api");
    home.write_json("other.json", &json!({ "name": "other", "apps": [taker] }));
    home.exits(1, &["apply", "other.json"]).says("`taken` cannot be renamed from `api`").says("`shop`").says("--adopt");
    home.ok(&["apply", "other.json", "--adopt"]);
    assert_eq!(home.pid("taken:0"), pid);

    let mut renamed = stay("again");
    renamed["renamed_from"] = json!("taken");
    let mut job = stay("job");
    job["autostart"] = json!(false);
    home.write_json("other.json", &json!({ "name": "other", "apps": [renamed.clone(), job.clone()] }));
    let applied = home.ok(&["apply", "other.json"]);
    applied.says("job created, not started").says("again renamed from taken").says("1 app created, 1 renamed");
    applied.never_shows("updated");

    renamed = stay("final");
    renamed["renamed_from"] = json!("again");
    renamed["instances"] = json!(2);
    home.write_json("other.json", &json!({ "name": "other", "apps": [renamed, job] }));
    home.exits(2, &["diff", "other.json"]).prints("1 to scale, 1 to rename, 1 unchanged");
}

#[test]
fn digests_of_env_files_cannot_be_guessed_from_and_empty_words_are_quoted_once() {
    let home = home_with(&[]);
    home.write(".env", "A=1\n");
    let mut api = stay("api");
    api["env_file"] = json!(".env");
    api["args"] = json!(["", "b c"]);
    let config = json!({ "name": "shop", "apps": [api] });
    home.apply(&config);
    let plain = home.json(&["show", "api", "--json", "--reveal"])["apps"][0]["spec"]["fingerprint"][".env"].clone();
    let plain = plain.as_str().expect("a digest").to_owned();
    assert_eq!(plain.len(), 64);
    home.ok(&["show", "api"]).never_shows(&plain[..8]).prints("\"\" \"b c\"");
    assert_eq!(home.json(&["show", "api", "--json"])["apps"][0]["spec"]["args"][0], "");
    home.write(".env", "A=2\n");
    let plan = validated(&home.exits(2, &["diff", "eco.json", "--json"]));
    assert!(plan["steps"][0]["changes"][0]["why"].as_str().is_some_and(|why| !why.is_empty()), "{plan}");
    home.exits(2, &["diff", "eco.json"]).prints("code changed: .env").never_shows(&plain[..8]);
    home.ok(&["render", "eco.json", "--json"]).prints("(hidden)");
}

#[test]
fn what_is_no_longer_written_has_its_place_and_defaults_are_called_so() {
    let home = home_with(&[]);
    let text = |more: &str| {
        format!(
            "[\n  {{ \"name\": \"a\", \"script\": \"./stay.sh\", \"min_uptime\": 100,\n{more}\n  \"namespace\": \"n\" }}\n]\n"
        )
    };
    home.write("eco.json", text("  \"env\": { \"A\": \"1\", \"B\": \"2\" }, \"max_restarts\": 3,"));
    home.ok(&["apply", "eco.json"]);
    home.write("eco.json", text("  \"env\": { \"B\": \"2\" },"));
    home.app("stay.sh", "stay.sh");
    let script = std::fs::read_to_string(home.work.join("stay.sh")).expect("it is there");
    home.write("stay.sh", script + "# edited\n");
    let diff = home.exits(2, &["diff", "eco.json"]);
    let line = |of: &str| diff.stdout.lines().find(|line| line.contains(of)).unwrap_or_else(|| panic!("{of}: {diff}"));
    assert!(line("env.A: 1 -> (none)").contains("eco.json:3:"), "{diff}");
    assert!(line("max_restarts: 3 -> 16 (default)").contains("eco.json:2:"), "{diff}");
    assert!(line("code changed: stay.sh").contains("eco.json:2:"), "{diff}");
}
